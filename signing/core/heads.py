"""The rollback guard on another volume: two alternating slots for the signed head, and an append-only copy of the log, each
event behind its length, with zeros behind the last while the signer runs (A5).

Whoever needs a head writes it, always of the newest committed state; those who waited meanwhile find theirs written.
"""

import contextlib
import os
import threading
from pathlib import Path

import msgspec

from signing.core.codec import PublicJwk, SigningKey, public_jwk
from signing.core.errors import Unavailable
from signing.core.log import ProofInvalid, sign_head, verify_head
from signing.core.model import Head

_SLOT = 1024
_ROOM = 1 << 16  # bytes of zeros behind the copy's last event


class State(msgspec.Struct, frozen=True):
    """A committed state of the store."""

    sequence: int
    log_size: int
    root: bytes
    row_sum: bytes
    time_us: int


def read_head(directory: Path, identity: PublicJwk) -> tuple[str, Head] | None:
    """The newest head that verifies, as JWS and payload; None when neither slot has one (a torn slot is not a head)."""
    found: list[tuple[str, Head]] = []
    for slot in (0, 1):
        with contextlib.suppress(OSError, UnicodeDecodeError, ProofInvalid):
            with (directory / f"head.{slot}").open("rb") as file:
                jws = file.read(_SLOT).decode("ascii").rstrip("\n ")
            found.append((jws, verify_head(jws, identity)))
    return max(found, key=lambda pair: pair[1].sequence, default=None)


class HeadKeeper:
    """Owns the head directory of an opened store. `copied` is how many events the log's copy holds."""

    def __init__(self, directory: Path, identity: SigningKey) -> None:
        self._directory, self._identity = directory, identity
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._slots = [os.open(directory / f"head.{slot}", flags, 0o600) for slot in (0, 1)]
        self._copy = os.open(directory / "log.copy", flags, 0o600)
        current = read_head(directory, public_jwk(identity.public_key()))
        self.copied, self._end = self._trim(current[1].log_size if current else 0)
        self._room = self._end
        self.current = current[0] if current else ""
        self._written = current[1].sequence if current else -1
        self._turn = 1 - self._slot_of(self.current)
        self._writing = threading.Lock()
        self._handing = threading.Lock()
        self._newest: State | None = None
        self._events: list[bytes] = []
        self.healthy = True

    def close(self) -> None:
        """Write what is pending, then let go of the files."""
        if self._newest is not None:
            with contextlib.suppress(Unavailable):
                self.durable(self._newest.sequence)
        with contextlib.suppress(OSError):
            os.ftruncate(self._copy, self._end)
        for descriptor in (*self._slots, self._copy):
            os.close(descriptor)

    def publish(self, state: State, events: list[bytes]) -> None:
        """The store committed `state`, which added `events` to the log. Called in the order of the commits."""
        with self._handing:
            self._newest = state
            self._events += events

    def durable(self, sequence: int) -> None:
        """Returns when a head of at least `sequence` is on the other volume; raises `Unavailable` if that cannot be."""
        with self._writing:
            if self._written >= sequence:
                return
            with self._handing:
                state, events, self._events = self._newest, self._events, []
            try:
                if state is not None:
                    self.write(state, events)
                self.healthy = True
            except OSError as error:
                self.healthy = False
                with self._handing:  # the next caller who waits makes the next attempt
                    self._events = events + self._events
                raise Unavailable("the head volume cannot be written") from error

    def write(self, state: State, events: list[bytes]) -> None:
        """Copy the events, then the head over the older slot; both durable when this returns. Raises OSError."""
        if events:
            self._append(b"".join(len(event).to_bytes(4, "big") + event for event in events))
            self.copied += len(events)
            events.clear()
        jws = sign_head(self._identity, **msgspec.structs.asdict(state))
        slot = self._slots[self._turn]
        os.pwrite(slot, jws.encode().ljust(_SLOT - 1) + b"\n", 0)
        os.fdatasync(slot)
        self._turn = 1 - self._turn
        self.current, self._written = jws, state.sequence

    def _append(self, data: bytes) -> None:
        """Durably behind the copy's last event, over zeros that are there already: a file that grows costs its file system
        a commit of its own each time. Raises OSError.
        """
        grows = self._end + len(data) > self._room
        try:
            _write_all(self._copy, data + bytes(_ROOM) if grows else data, self._end)
            os.fdatasync(self._copy)
        except OSError:
            os.ftruncate(self._copy, self._end)
            self._room = self._end
            raise
        self._end += len(data)
        self._room = self._end + _ROOM if grows else self._room

    def restart_copy(self, sequence: int) -> None:
        """Put the copy of an abandoned history aside and begin a new one (accepted restore).

        What lies aside already was put there by a restore from the same head that was cut short: then the copy is what that one began.
        """
        path, aside = self._directory / "log.copy", self._directory / f"log.copy.{sequence}"
        if aside.exists():
            os.ftruncate(self._copy, 0)
        else:
            os.close(self._copy)
            path.rename(aside)
            self._copy = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.copied = self._end = self._room = 0

    def _trim(self, sealed: int) -> tuple[int, int]:
        """Count the copy's events, and cut off what stands behind the last whole one; gives (count, end).

        The first `sealed` are behind a head, so they were durable before it. One behind them may have been cut short by a
        loss of power, with zeros where its bytes were to stand: JSON has none.
        """
        size = os.fstat(self._copy).st_size
        offset = count = 0
        while offset + 4 <= size:
            length = int.from_bytes(os.pread(self._copy, 4, offset), "big")
            if not length or offset + 4 + length > size:  # zeros are what a power cut leaves where bytes were to stand
                break
            if count >= sealed and not _whole(os.pread(self._copy, length, offset + 4)):
                break
            offset, count = offset + 4 + length, count + 1
        os.ftruncate(self._copy, offset)
        return count, offset

    def _slot_of(self, jws: str) -> int:
        first = os.pread(self._slots[0], _SLOT, 0).decode("ascii", "replace").rstrip("\n ")
        return 0 if jws and first == jws else 1


def _whole(event: bytes) -> bool:
    try:
        msgspec.json.decode(event)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
