"""The signer's process: configuration, first keys and store, and the socket.

The socket speaks `wire`: u32 length ‖ msgpack ≤ 256 KiB; only the allowed uids may connect (SO_PEERCRED). Everything is
bounded: frame, time to send one, idle time, connections, activations in the queue (`busy`, before a try is charged).
"""

import asyncio
import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import struct
import sys
import tomllib
from pathlib import Path

import msgspec

from signing.core import wire
from signing.core.activation import Limits
from signing.core.clock import SignerClock
from signing.core.codec import PublicJwk, thumbprint
from signing.core.envelope import Argon
from signing.core.errors import ClockDrift, MalformedRequest, SignerError
from signing.core.keys import Keys
from signing.core.model import FRAME_LIMIT
from signing.core.pin import Ladder
from signing.core.service import Service
from signing.core.store import StartRefused, Store
from signing.core.trust import Trust

_PR_SET_DUMPABLE = 4
_PEER = struct.Struct("3i")  # pid, uid, gid
_FRAME_TIMEOUT_S = 10.0
_IDLE_TIMEOUT_S = 300.0
_DRAIN_S = 30.0
_PRUNE_S = 3600.0


class ConfigRefused(Exception):  # noqa: N818 - an answer to the operator
    """The configuration cannot be used; the message names the key."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`signer.toml`. `profile`: production | embedded | test; only test takes smaller Argon2id costs or another ladder.

    `head_dir` belongs on another volume than `state_dir`. Folders not given lie in `state_dir`: keys, officers.d,
    roots.d. `allowed_uids` empty = the signer's own user.
    """

    state_dir: str
    head_dir: str
    socket: str
    organisations: tuple[str, ...]
    profile: str = "production"
    keys_dir: str = ""
    officers_dir: str = ""
    roots_dir: str = ""
    custody: str = "software"
    allowed_uids: tuple[int, ...] = ()
    queue: int = 64
    connections: int = 256
    pin: Ladder = Ladder()
    argon: Argon = Argon()

    def __post_init__(self) -> None:
        floor = Argon()
        cheap = self.argon.memory_kib < floor.memory_kib or self.argon.iterations < floor.iterations
        if self.profile not in ("production", "embedded", "test"):
            raise ValueError("profile is production, embedded or test")
        if self.profile != "test" and (cheap or self.pin != Ladder()):
            raise ValueError("argon and pin below the product's values are for the test profile alone")
        if self.custody != "software":
            raise ValueError("custody: only software is built in")
        if min(self.queue, self.connections) < 1:
            raise ValueError("queue and connections must not be empty")

    def folder(self, name: str) -> Path:
        """keys, officers or roots."""
        default = {"keys": "keys", "officers": "officers.d", "roots": "roots.d"}[name]
        return Path(getattr(self, f"{name}_dir") or Path(self.state_dir) / default)


def load_config(path: str | Path) -> Config:
    """Read the TOML file; raises `ConfigRefused` naming an unknown key or a refused value."""
    try:
        return msgspec.convert(tomllib.loads(Path(path).read_text("utf-8")), Config)
    except (OSError, ValueError) as error:
        raise ConfigRefused(str(error)) from error


def init(config: Config) -> str:
    """Create folders, keys, store and first head; the identity key's thumbprint. Raises `FileExistsError`."""
    for folder in (config.state_dir, config.head_dir, config.folder("officers"), config.folder("roots")):
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    Keys.create(config.folder("keys"))
    keys = Keys(config.folder("keys"))
    now = SignerClock().now_us()
    Store.create(Path(config.state_dir), Path(config.head_dir), keys.row_key, keys.identity, now)
    return thumbprint(keys.identity_jwk)


def identity(config: Config) -> tuple[str, PublicJwk]:
    """Thumbprint (for pairing codes) and key that sealing statements and heads verify with."""
    jwk = Keys(config.folder("keys")).identity_jwk
    return thumbprint(jwk), jwk


# The process. -------------------------------------------------------------------------------------------------------


def main(config_path: str | Path) -> int:
    """Run until SIGTERM or SIGINT; the exit code: 0, or 2 when the signer refuses to start."""
    try:
        config = load_config(config_path)
        _harden()
        asyncio.run(serve(config))
    except (ConfigRefused, StartRefused, SignerError, OSError, ValueError) as error:
        _say("refused", reason=getattr(error, "code", type(error).__name__), detail=str(error))
        return 2
    return 0


def _harden() -> None:
    """No core file, no ptrace by the same user: a dump would hold keys and PINs (A14)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _say(event: str, **fields: object) -> None:
    print(json.dumps({"logger": "signer", "event": event, **fields}, ensure_ascii=False), file=sys.stderr, flush=True)  # noqa: T201 - one JSON line per event is the process's log


def trust(config: Config) -> Trust:
    """Whom this signer believes."""
    return Trust(config.folder("officers"), config.folder("roots"), config.organisations)


async def serve(config: Config) -> None:
    """Open the store, settle what a crash left, listen; returns after a graceful stop."""
    keys = Keys(config.folder("keys"))
    store = Store.open(Path(config.state_dir), Path(config.head_dir), keys.row_key, keys.identity)
    try:
        clock = SignerClock(store.time_us)
    except ClockDrift:
        store.close()
        raise
    service = Service(
        store, keys, trust(config), Limits(config.pin, config.argon, config.queue), clock, config.connections
    )
    await service.start()
    if Path(config.state_dir).stat().st_dev == Path(config.head_dir).stat().st_dev:
        _say("same-volume", detail="state_dir and head_dir share a volume: a restored volume takes the head along")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    door = _Door(service, config)
    server = await asyncio.start_unix_server(door.enter, sock=_listen(config), limit=FRAME_LIMIT)
    pruning = loop.create_task(_prune(service))
    _say("ready", identity=thumbprint(keys.identity_jwk))
    await stop.wait()
    server.close()
    pruning.cancel()
    await door.drain()
    await service.stop()
    _say("stopped")


async def _prune(service: Service) -> None:
    while True:
        with contextlib.suppress(SignerError):
            await service.prune()
        await asyncio.sleep(_PRUNE_S)


def _listen(config: Config) -> socket.socket:
    """Bound under a temporary name and moved into place: whoever sees the socket can connect. The store's lock is
    held.
    """
    path = Path(config.socket)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(temporary))
    temporary.chmod(0o660)
    listener.listen(128)
    temporary.replace(path)
    return listener


class _Door:
    """Connections: who may enter, how long they may take, one answer per request."""

    def __init__(self, service: Service, config: Config) -> None:
        self._service, self._room = service, config.connections
        self._uids = frozenset(config.allowed_uids or (os.getuid(),))
        self._busy: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._closing = False

    async def enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        _, uid, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        self._open.add(writer)
        try:
            if uid in self._uids and len(self._open) <= self._room:
                await self._talk(reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass  # the peer went away or was too slow; an activation that it began ends by itself
        finally:
            self._open.discard(writer)
            writer.close()

    async def drain(self) -> None:
        """Let requests that were read be answered, then close."""
        self._closing = True
        if self._busy:
            await asyncio.wait(self._busy, timeout=_DRAIN_S)
        for writer in tuple(self._open):
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        while not self._closing:
            async with asyncio.timeout(_IDLE_TIMEOUT_S):
                length = int.from_bytes(await reader.readexactly(4), "big")
            self._busy.add(task)
            try:
                async with asyncio.timeout(_FRAME_TIMEOUT_S):
                    raw = await reader.readexactly(length) if 0 < length <= FRAME_LIMIT else b""
                answer = await self._answer(raw)
                async with asyncio.timeout(_FRAME_TIMEOUT_S):
                    writer.write(len(answer).to_bytes(4, "big") + answer)
                    await writer.drain()
            finally:
                self._busy.discard(task)
            if not raw:
                return

    async def _answer(self, raw: bytes) -> bytes:
        try:
            answer = msgspec.msgpack.encode({"ok": await self._service.handle(_request(raw))})
            if len(answer) > FRAME_LIMIT:
                raise MalformedRequest("the answer would not fit a frame")
        except SignerError as error:
            if error.code in ("tampered", "unavailable", "clock-drift"):
                _say(error.code, detail=error.detail)
            return msgspec.msgpack.encode(wire.Refusal(error.code, error.detail, error.fields))
        except Exception as error:  # a defect must not end the process; its text could hold anything, so it stays here
            _say("internal", kind=type(error).__name__)
            return msgspec.msgpack.encode(wire.Refusal("internal", "internal"))
        return answer


def _request(raw: bytes) -> wire.Request:
    try:
        request: wire.Request = msgspec.msgpack.decode(raw, type=wire.Request)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # msgspec leaves bad UTF-8 and too deep nesting to Python's own errors.
        raise MalformedRequest("not a request of this protocol") from error
    return request
