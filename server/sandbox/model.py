"""What passes between the server and its limited children, and what a caller can meet.

This module is loaded by zygote and children too, so it imports nothing heavy.
"""

from collections.abc import Callable
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

__all__ = [
    "MAX_FRAME",
    "Answer",
    "Failure",
    "Isolation",
    "Order",
    "Overloaded",
    "Priority",
    "SandboxError",
    "SandboxFailure",
    "SandboxRefused",
    "Walls",
    "decode",
    "decoder",
    "encode",
]

T = TypeVar("T")

MAX_FRAME: Final = 4 * 1024 * 1024
"""Bytes of a frame's body. A child may be in an attacker's hands, so the server never buffers more than this for it."""

Field = str | int | float | bool | None


class Priority(IntEnum):
    """Somebody is waiting, or nobody is (warming previews, checks before forwarding)."""

    INTERACTIVE = 0
    BACKGROUND = 1


class Failure(StrEnum):
    """Why a child gave no answer. To users all of them are "cannot be shown" or "cannot be checked" (threat B3)."""

    CRASHED = "crashed"  # a signal, an exit, an untyped exception, a malformed or oversized answer
    TIMEOUT = "timeout"  # wall or CPU time
    MEMORY = "memory"  # address space
    REFUSED = "refused"  # the child touched what is closed to it, or the limits could not be set


class SandboxError(Exception):
    """Base of what `Sandbox.call` raises; `code` is stable."""

    code: str


class SandboxFailure(SandboxError):  # noqa: N818 -- an outcome of a document, not a defect
    """The child ended without a verdict. `detail` names a signal or an exception class, never content of a document."""

    def __init__(self, code: Failure, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}" if detail else str(code))


class SandboxRefused(SandboxError):  # noqa: N818 -- said as an outcome, like every refusal of the house
    """The task itself refused the document with a stable `code` of its library (as `signing.pdf.errors.PdfError`)."""

    def __init__(self, code: str, fields: dict[str, Field] | None = None) -> None:
        self.code = code
        self.fields = fields or {}
        super().__init__(code)


class Overloaded(SandboxError):  # noqa: N818 -- a state, shown to users as busy
    """The bounded queue is full (threat D13); nothing was done, try again later."""

    code = "busy"


class Walls(msgspec.Struct, frozen=True):
    """What a child may do for as long as it lives. Paths are absolute; `scratch` is the only folder that it may write in."""

    reads: list[str]
    scratch: str | None
    cpu_s: int
    memory_mb: int  # above what the child holds when the task's code is loaded
    file_mb: int  # largest file that the child may write
    nice: int


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """One task for a child. The first brings the walls, which stand from then on; a later one is about the same document."""

    target: str  # "module:function", from the server's closed list, never from a document
    request: bytes  # `encode` of the function's struct, or of its arguments by name
    walls: Walls | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to an order: `result`, or a `failure` of the child, or a `refusal` by the task."""

    result: bytes | None = None  # msgpack of the task's own struct
    failure: Failure | None = None
    refusal: str | None = None
    fields: dict[str, Field] = {}
    detail: str = ""


class Isolation(msgspec.Struct, frozen=True):
    """Which walls stand on this machine, for `hoatoc doctor`.

    `network`: an empty network namespace. `syscalls`: a seccomp filter (no sockets, no exec, no signals to others).
    `files`: Landlock (only the document and the scratch folder). Resource limits and no-new-privileges always stand.
    """

    network: bool
    syscalls: bool
    files: bool

    @property
    def offline(self) -> bool:
        """Whether a child can reach no network: either wall is enough."""
        return self.network or self.syscalls

    @property
    def complete(self) -> bool:
        return self.network and self.syscalls and self.files


def encode(value: object) -> bytes:
    """Msgpack of structs, containers of them, and paths."""
    return msgspec.msgpack.encode(value, enc_hook=_from_path)


def decode(body: bytes, type_: type[T]) -> T:
    """The value of `encode`. Raises `msgspec.MsgspecError`."""
    return msgspec.msgpack.decode(body, type=type_, dec_hook=_to_path)


def decoder(type_: type[T]) -> Callable[[bytes], T]:
    """`decode` for one type. What msgspec has to know of it is found out here, in a zygote once for all children."""
    return msgspec.msgpack.Decoder(type_, dec_hook=_to_path).decode


def _from_path(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    msg = f"{type(value).__name__} does not pass to a child"
    raise NotImplementedError(msg)


def _to_path(type_: type, value: Any) -> object:
    if issubclass(type_, Path) and isinstance(value, str):
        return Path(value)
    msg = f"{type_.__name__} does not pass from a child"
    raise NotImplementedError(msg)
