"""The rollback guard on another volume: two alternating slots for the signed head, and an append-only copy of the log
(A5).

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
        self._copy = os.open(directory / "log.copy", flags | os.O_APPEND, 0o600)
        self.copied = self._trim()
        current = read_head(directory, public_jwk(identity.public_key()))
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
            end = os.fstat(self._copy).st_size
            try:
                _write_all(self._copy, b"".join(len(event).to_bytes(4, "big") + event for event in events))
                os.fdatasync(self._copy)
            except OSError:
                os.ftruncate(self._copy, end)
                raise
            self.copied += len(events)
            events.clear()
        jws = sign_head(self._identity, **msgspec.structs.asdict(state))
        slot = self._slots[self._turn]
        os.pwrite(slot, jws.encode().ljust(_SLOT - 1) + b"\n", 0)
        os.fdatasync(slot)
        self._turn = 1 - self._turn
        self.current, self._written = jws, state.sequence

    def restart_copy(self, sequence: int) -> None:
        """Put the copy of an abandoned history aside and begin a new one (accepted restore)."""
        os.close(self._copy)
        path = self._directory / "log.copy"
        path.rename(self._directory / f"log.copy.{sequence}")
        self._copy = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND, 0o600)
        self.copied = 0

    def _trim(self) -> int:
        """Count the copy's events and cut off a torn last one."""
        size = os.fstat(self._copy).st_size
        offset = count = 0
        while offset + 4 <= size:
            length = int.from_bytes(os.pread(self._copy, 4, offset), "big")
            if not length or offset + 4 + length > size:  # zeros are what a power cut leaves where bytes were to stand
                break
            offset, count = offset + 4 + length, count + 1
        os.ftruncate(self._copy, offset)
        return count

    def _slot_of(self, jws: str) -> int:
        first = os.pread(self._slots[0], _SLOT, 0).decode("ascii", "replace").rstrip("\n ")
        return 0 if jws and first == jws else 1


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
