"""The stand-in axis on the wire: a small HTTP/1.1 server that streams bodies both ways and may drop a connection on purpose."""

import asyncio
import contextlib
import email.utils
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import h11
import msgspec

from server.exchange.model import ExchangeError

__all__ = ["CHUNK", "Answer", "Dropped", "Refusal", "Request", "Server", "envelope"]

CHUNK: Final = 1 << 18
_MAX_BODY: Final = 1 << 20
_LOOPBACK_NAMES: Final = {"127.0.0.1", "localhost", "[::1]"}

Answering = Callable[["Request"], Awaitable["Answer"]]


class Answer(msgspec.Struct, frozen=True):
    """`file` instead of `body` is streamed, its first `size` bytes."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    file: Path | None = None
    size: int = 0
    headers: tuple[tuple[str, str], ...] = ()


class Refusal(Exception):  # noqa: N818 - becomes an answer
    """A business error, with HTTP 200 as the axis does."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(code)
        self.answer = envelope(ErrorCode=code, ErrorDesc=description, status="FAIL")


class Dropped(Exception):  # noqa: N818 - the scripted loss of the connection
    pass


def envelope(**fields: object) -> Answer:
    return Answer(body=json.dumps({"status": "OK", "ErrorCode": "0", "ErrorDesc": "Thanh cong"} | fields).encode())


class Request(msgspec.Struct, frozen=True):
    """`path` without slashes around it. `peer` is the address that the connection came from."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    peer: str
    chunks: Callable[[], AsyncIterator[bytes]]

    async def body(self) -> bytes:
        data = bytearray()
        async for chunk in self.chunks():
            data += chunk
            if len(data) > _MAX_BODY:
                raise Refusal("10", "Noi dung qua lon")
        return bytes(data)

    def is_local(self) -> bool:
        """From this machine and from no other site's page: neither by another address nor through a browser led here."""
        host = self.headers.get("host", "")
        origin = self.headers.get("origin")
        if not ip_address(self.peer.partition("%")[0]).is_loopback or host.rpartition(":")[0] not in _LOOPBACK_NAMES:
            return False
        return origin in {None, f"http://{host}"} and self.headers.get("sec-fetch-site", "none") in {
            "none",
            "same-origin",
        }


class Server:
    """Serves `answering` until `close`. What it raises: Refusal becomes its answer, Dropped ends the connection, input errors are 400."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """The port."""
        self._server = await asyncio.start_server(self._connection, host, port, limit=CHUNK)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
            while await self._exchange(connection, reader, writer):
                connection.start_next_cycle()
            writer.close()
        except (Dropped, h11.RemoteProtocolError, ConnectionError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _exchange(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        async def event() -> Any:
            while (found := connection.next_event()) is h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    writer.write(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                connection.receive_data(await reader.read(CHUNK))
            return found

        async def chunks() -> AsyncIterator[bytes]:
            while isinstance(found := await event(), h11.Data):
                yield bytes(found.data)

        first = await event()
        if not isinstance(first, h11.Request):
            return False
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in first.headers}
        path, _, query = first.target.decode("latin-1").partition("?")
        peer = (writer.get_extra_info("peername") or ("",))[0]
        method = first.method.decode()
        answer = await self._answer(Request(method, path.strip("/"), dict(parse_qsl(query)), headers, peer, chunks))
        while connection.their_state is h11.SEND_BODY:
            await event()  # the rest of a refused body, or the refusal would be lost in a reset connection
        keep = connection.their_state is h11.DONE
        await _write(connection, writer, answer, method, keep=keep)
        return keep

    async def _answer(self, request: Request) -> Answer:
        try:
            return await self._answering(request)
        except Refusal as refusal:
            return refusal.answer
        except (msgspec.MsgspecError, ExchangeError, ValueError):
            return Answer(status=400, body=b"Bad Request", content_type="text/plain")


async def _write(
    connection: h11.Connection, writer: asyncio.StreamWriter, answer: Answer, method: str, *, keep: bool
) -> None:
    size = answer.size if answer.file else len(answer.body)
    headers = [
        ("Date", email.utils.formatdate(usegmt=True)), ("Content-Type", answer.content_type), ("Content-Length", str(size)), *answer.headers,
    ]  # fmt: skip
    if not keep:
        headers.append(("Connection", "close"))
    # What stands in memory leaves in one piece: each write is a turn of the kernel, and of whoever reads.
    parts = [connection.send(h11.Response(status_code=answer.status, headers=headers))]
    if method == "HEAD":
        size = 0
    if answer.file and size:
        with contextlib.closing(answer.file.open("rb")) as source:
            while size and (chunk := source.read(min(CHUNK, size))):
                size -= len(chunk)
                parts.append(connection.send(h11.Data(data=chunk)))
                writer.writelines(part for part in parts if part)
                parts.clear()
                await writer.drain()
    elif size:
        parts.append(connection.send(h11.Data(data=answer.body)))
    parts.append(connection.send(h11.EndOfMessage()))
    writer.write(b"".join(part for part in parts if part))
    await writer.drain()
