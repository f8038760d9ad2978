"""Tasks that behave as badly as a parser taken over by its input could. They are registered by tests only."""

import ctypes
import os
import signal
import socket
import sys
import time
from pathlib import Path

import msgspec

from server.sandbox.model import MAX_FRAME


class Ask(msgspec.Struct, frozen=True):
    text: str = ""
    number: int = 0


class Told(msgspec.Struct, frozen=True):
    text: str = ""
    number: int = 0
    names: list[str] = []


class CodedError(Exception):
    def __init__(self) -> None:
        super().__init__("a text that must stay in the child")
        self.code = "hidden-content"
        self.reason = "overlay"
        self.place = "12 0"


def echo(ask: Ask) -> Told:
    return Told(text=ask.text, number=os.getpid())


def by_name(path: Path, ask: Ask, times: int = 2) -> Told:
    return Told(text=path.name + ask.text * times)


def sleep(ask: Ask) -> Told:
    time.sleep(ask.number / 1000)
    return Told(number=os.getpid())


def refuse(ask: Ask) -> Told:
    raise CodedError


def fail(ask: Ask) -> Told:
    errors = {"assertion": AssertionError, "recursion": RecursionError, "type": TypeError, "system-exit": SystemExit}
    raise errors[ask.text]("a text that must stay in the child")


def crash(ask: Ask) -> Told:
    signal.signal(ask.number, signal.SIG_DFL)
    if ask.number == signal.SIGSEGV:
        ctypes.string_at(0)
    os.abort()


def leave(ask: Ask) -> Told:
    os._exit(ask.number)


def spin(ask: Ask) -> Told:
    while True:
        pass


def burn(ask: Ask) -> Told:
    """`number` milliseconds of CPU time."""
    until = time.process_time() + ask.number / 1000
    while time.process_time() < until:
        pass
    return Told()


def hoard(ask: Ask) -> Told:
    held = [bytearray(16 * 1024 * 1024) for _ in range(ask.number // 16)]
    return Told(number=len(held))


def flood(ask: Ask) -> Told:
    """Writes to its socket behind the back of the protocol: a length that no parent should believe, then bytes without end."""
    descriptor = _own_socket()
    os.write(descriptor, (0xFFFFFFFF if ask.text == "length" else MAX_FRAME).to_bytes(4, "big"))
    while True:
        os.write(descriptor, b"\xc1" * 65536)


def babble(ask: Ask) -> Told:
    body = {"text": b"\x81\xa7refusal\xa1\xff", "deep": b"\x81\xa6fields\x81\xa1x" + b"\x91" * 100_000}.get(
        ask.text, b"\xc1" * 4
    )
    os.write(_own_socket(), len(body).to_bytes(4, "big") + body)
    return Told()


def _own_socket() -> int:
    for descriptor in range(3, 64):
        try:
            socket.socket(fileno=os.dup(descriptor)).getpeername()
        except OSError:
            continue
        return descriptor
    raise AssertionError


def large(ask: Ask) -> Told:
    return Told(text="x" * ask.number)


def modules(ask: Ask) -> Told:
    return Told(names=sorted(sys.modules))


def environment(ask: Ask) -> Told:
    return Told(names=sorted(os.environ))


def attempt(ask: Ask) -> Told:
    """Try one forbidden thing; `text` of the answer is the name of the error, or "done"."""
    kind, _, argument = ask.text.partition(" ")
    try:
        _TRIES[kind](argument)
    except (OSError, RuntimeError) as error:
        return Told(text=type(error).__name__)
    return Told(text="done")


def _connect(port: str) -> None:
    socket.create_connection(("127.0.0.1", int(port)), timeout=1).close()


def _socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(path)


def _datagram(path: str) -> None:
    left, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.sendto(b"x", path)


def _pair(_: str) -> None:
    left, right = socket.socketpair()
    left.send(b"x")
    assert right.recv(1) == b"x"


def _grow(path: str) -> None:
    with Path(path).open("wb") as file:
        file.writelines(bytes(1024 * 1024) for _ in range(70))


_TRIES = {
    "connect": _connect,
    "socket": _socket,
    "datagram": _datagram,
    "pair": _pair,
    "grow": _grow,
    "read": lambda path: Path(path).read_bytes(),
    "list": lambda path: os.listdir(path),
    "write": lambda path: Path(path).write_bytes(b"x"),
    "link": lambda path: os.symlink("/etc/passwd", path),
    "kill": lambda pid: os.kill(int(pid), signal.SIGTERM),
    "fork": lambda _: os.fork(),
    "run": lambda path: os.execv(path, [path]),
}
