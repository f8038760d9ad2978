"""A small server of HTTP/1.1, and of HTTP/2 where TLS agrees on it, for the demonstration's stand-ins: loopback, keep-alive, misbehaviour on demand.

It exists because a stand-in must be able to do what a web framework prevents: cut a connection, never answer, count
connections, keep the raw bytes. It is not a server for production.
"""

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from server.demo.exchanged import CUT, Cut, Reply, Request
from server.demo.http2 import Http2Service

__all__ = ["CUT", "Cut", "Handler", "LoopbackServer", "Reply", "Request", "json_reply"]

_MAX_HEAD = 64 * 1024
_MAX_BODY = 4 * 1024 * 1024


Handler = Callable[[Request], Awaitable[Reply | Cut]]


def json_reply(value: object, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(value, ensure_ascii=False).encode(), headers=headers)


class LoopbackServer:
    """Serves `handler` on 127.0.0.1. `async with` starts and stops it; `port` 0 takes a free one. Larger bodies end the connection."""

    def __init__(
        self, handler: Handler, *, port: int = 0, max_body: int = _MAX_BODY, tls: ssl.SSLContext | None = None
    ) -> None:
        self._handler = handler
        self._tls = tls
        self._max_body = max_body
        self.port = port
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, limit=_MAX_HEAD, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer, self.connections))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _answer(self, request: Request) -> Reply | Cut:
        try:
            return await self._handler(request)
        except Exception as error:
            # A stand-in shows a fault of its own as an answer: whoever tests against it sees it there.
            return json_reply({"error": f"stand-in failed: {type(error).__name__}"}, 500)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        tls = writer.get_extra_info("ssl_object")
        try:
            if tls is not None and tls.selected_alpn_protocol() == "h2":
                await Http2Service(self._answer, number).serve(reader, writer)
                return
            while (request := await _read(reader, number, self._max_body)) is not None:
                reply = await self._answer(request)
                if reply.delay_s:
                    await asyncio.sleep(reply.delay_s)
                if isinstance(reply, Cut):
                    return
                writer.write(_encode(reply, head_only=request.method == "HEAD"))
                await writer.drain()
                if request.headers.get("connection", "").lower() == "close":
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            return  # the client left, or spoke no HTTP
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def _read(reader: asyncio.StreamReader, number: int, max_body: int) -> Request | None:
    """The next request of a connection, None at its end. Raises ValueError where it is malformed or too large."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    arrived_us = time.time_ns() // 1000
    start, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, _version = start.split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await _read_body(reader, headers, max_body)
    parts = urlsplit(target)
    return Request(
        method=method,
        path=unquote(parts.path),
        query=dict(parse_qsl(parts.query)),
        headers=headers,
        body=body,
        connection=number,
        arrived_us=arrived_us,
    )


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str], max_body: int) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = bytearray()
        while size := int((await reader.readline()).split(b";")[0], 16):
            if len(body) + size > max_body:
                raise ValueError("body too large")
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return bytes(body)
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= max_body:
        raise ValueError("body too large")
    return await reader.readexactly(length)


def _encode(reply: Reply, *, head_only: bool) -> bytes:
    phrase = HTTPStatus(reply.status).phrase
    lines = [f"HTTP/1.1 {reply.status} {phrase}", f"Content-Type: {reply.content_type}"]
    lines += [f"Content-Length: {len(reply.body)}", *(f"{name}: {value}" for name, value in reply.headers.items())]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if head_only else head + reply.body
