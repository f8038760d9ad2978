"""HTTP/2 for the demonstration's stand-ins (RFC 9113, by h2): many requests at once, each answered when it is ready."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from server.demo.exchanged import Cut, Reply, Request

__all__ = ["Http2Service"]

_CHUNK = 64 * 1024


class Http2Service:
    """One connection. `Cut` ends all of it, as a lost network does, and with it every request under way."""

    def __init__(self, answer: Callable[[Request], Awaitable[Reply | Cut]], number: int) -> None:
        self._answer = answer
        self._number = number
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        self._asked: dict[int, tuple[dict[str, str], bytearray, int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the client leaves or an answer cuts the connection."""
        self._h2.initiate_connection()
        writer.write(self._h2.data_to_send())
        cut = asyncio.create_task(self._cut.wait())
        try:
            while not self._cut.is_set():
                read = asyncio.ensure_future(reader.read(_CHUNK))
                await asyncio.wait({read, cut}, return_when=asyncio.FIRST_COMPLETED)
                if not read.done():
                    read.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await read
                    return
                if not (data := read.result()):
                    return
                for event in self._h2.receive_data(data):
                    self._take(event, writer)
                self._flush(writer)
        except (h2.exceptions.ProtocolError, ConnectionError):
            return
        finally:
            for task in [cut, *self._tasks]:
                task.cancel()
            await asyncio.gather(cut, *self._tasks, return_exceptions=True)

    def _take(self, event: Any, writer: asyncio.StreamWriter) -> None:
        match event:
            case h2.events.RequestReceived():
                self._asked[event.stream_id] = (
                    {str(name): str(value) for name, value in event.headers},
                    bytearray(),
                    time.time_ns() // 1000,
                )
            case h2.events.DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.stream_id in self._asked:
                    self._asked[event.stream_id][1].extend(event.data)
            case h2.events.StreamEnded():
                task = asyncio.create_task(self._reply(event.stream_id, writer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case h2.events.StreamReset():
                self._asked.pop(event.stream_id, None)
            case _:
                pass

    async def _reply(self, stream: int, writer: asyncio.StreamWriter) -> None:
        headers, body, arrived_us = self._asked[stream]
        parts = urlsplit(headers[":path"])
        request = Request(
            method=headers[":method"],
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query)),
            headers=headers,
            body=bytes(body),
            connection=self._number,
            arrived_us=arrived_us,
        )
        reply = await self._answer(request)
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        if isinstance(reply, Cut):
            self._cut.set()
            return
        if self._asked.pop(stream, None) is None:
            return  # the client no longer waits
        more = [(name.lower(), value) for name, value in reply.headers.items()]
        length = ("content-length", str(len(reply.body)))
        head = [(":status", str(reply.status)), ("content-type", reply.content_type), length, *more]
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.send_headers(stream, head, end_stream=not reply.body)
            if reply.body:
                # A stand-in's answers are below the first window (RFC 9113, 6.9.2); larger ones end the stream.
                self._h2.send_data(stream, reply.body, end_stream=True)
        self._flush(writer)

    def _flush(self, writer: asyncio.StreamWriter) -> None:
        if (data := self._h2.data_to_send()) and not writer.is_closing():
            writer.write(data)
