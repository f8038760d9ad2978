"""Frames between server and child: u32 big-endian length of the body, then the body (msgpack), over a socket pair."""

import os
import struct
from typing import TYPE_CHECKING

from server.sandbox.model import MAX_FRAME

if TYPE_CHECKING:  # children load no asyncio
    import socket
    from asyncio import AbstractEventLoop

__all__ = ["FrameError", "ask", "pack", "receive", "send"]

_LENGTH = struct.Struct(">I")


class FrameError(Exception):
    """The other side closed in the middle, or announced more than `MAX_FRAME`."""


def pack(body: bytes) -> bytes:
    if len(body) > MAX_FRAME:
        msg = "a frame is larger than the protocol allows"
        raise FrameError(msg)
    return _LENGTH.pack(len(body)) + body


def _length(head: bytes) -> int:
    (length,) = _LENGTH.unpack(head)
    if length > MAX_FRAME:
        msg = "a frame announces more than the protocol allows"
        raise FrameError(msg)
    return int(length)


async def ask(loop: "AbstractEventLoop", stream: "socket.socket", body: bytes) -> bytes:
    """The server's side: send one frame, receive one. Raises `FrameError`, `EOFError` when the child is gone, `OSError`."""
    await loop.sock_sendall(stream, pack(body))
    return await _receive(loop, stream, _length(await _receive(loop, stream, _LENGTH.size)))


async def _receive(loop: "AbstractEventLoop", stream: "socket.socket", size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = await loop.sock_recv(stream, min(size - len(parts), 256 * 1024))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def receive(descriptor: int) -> bytes | None:
    """The child's side: the body, or `None` when the server closed before it asked for anything."""
    head = _exactly(descriptor, _LENGTH.size)
    if not head:
        return None
    body = _exactly(descriptor, _length(head))
    if not body:
        msg = "closed within a frame"
        raise FrameError(msg)
    return body


def send(descriptor: int, body: bytes) -> None:
    """The child's side. `write(2)`, because the filter closes the socket calls."""
    view = memoryview(pack(body))
    while view:
        view = view[os.write(descriptor, view) :]


def _exactly(descriptor: int, size: int) -> bytes:
    """`size` bytes, or none at all at the end of the stream."""
    parts: list[bytes] = []
    missing = size
    while missing:
        part = os.read(descriptor, missing)
        if not part:
            if parts:
                msg = "closed within a frame"
                raise FrameError(msg)
            return b""
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
