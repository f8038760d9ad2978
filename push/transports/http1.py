"""One HTTP/1.1 connection as a client (RFC 9112), one request at a time; the protocol's state machine is h11."""

import asyncio
from collections.abc import Callable
from typing import Any

import h11

from push.transports.pending import MAX_ANSWER, Answer, LostError

__all__ = ["Http1Connection"]


class Http1Connection(asyncio.Protocol):
    """`changed` is called when the place became free or the connection was lost; `ready` gets this connection."""

    multiplexed = False

    def __init__(self, changed: Callable[[], None], ready: "asyncio.Future[Http1Connection]") -> None:
        self._changed = changed
        self._ready = ready
        self._h11 = h11.Connection(h11.CLIENT)
        self._transport: Any = None
        self._open = False
        self._future: asyncio.Future[Answer] | None = None
        self._until = 0.0
        self._answer: h11.Response | None = None
        self._body = b""

    @property
    def free(self) -> int:
        return int(self._open and self._future is None)

    @property
    def usable(self) -> bool:
        return self._open

    @property
    def busy(self) -> bool:
        return self._future is not None

    def begin(
        self, path: str, headers: tuple[tuple[str, str], ...], body: bytes, until: float
    ) -> asyncio.Future[Answer]:
        """POST; only while `free`. The future gets an answer or fails."""
        future = self._future = asyncio.get_running_loop().create_future()
        self._until = until
        self._answer, self._body = None, b""
        request = h11.Request(method="POST", target=path, headers=[*headers, ("content-length", str(len(body)))])
        parts = [self._h11.send(request), self._h11.send(h11.Data(data=body)), self._h11.send(h11.EndOfMessage())]
        self._transport.write(b"".join(part for part in parts if part))
        return future

    def abandon(self, future: asyncio.Future[Answer]) -> None:
        """The caller no longer waits; in HTTP/1.1 only the end of the connection says so."""
        if future is self._future:
            self._lose(LostError("abandoned"))

    def expire(self, now: float) -> None:
        """Fail what waits past its time, and the connection with it."""
        if self._future is not None and self._until <= now:
            self._lose(LostError("no answer in time"))

    def close(self) -> None:
        self._lose(LostError("closed"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._open = True
        if not self._ready.done():
            self._ready.set_result(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(LostError("connection lost" if exc is None else f"connection lost ({type(exc).__name__})"))

    def data_received(self, data: bytes) -> None:
        try:
            self._h11.receive_data(data)
            while (event := self._h11.next_event()) is not h11.NEED_DATA and event is not h11.PAUSED:
                self._take(event)
                if self._future is None:
                    return
        except (h11.RemoteProtocolError, h11.LocalProtocolError):
            self._lose(LostError("protocol error"))

    def _take(self, event: Any) -> None:
        match event:
            case h11.Response():
                self._answer = event
            case h11.Data():
                self._body += bytes(event.data)
                if len(self._body) > MAX_ANSWER:
                    self._lose(LostError("answer too long"))
            case h11.EndOfMessage():
                self._end()
            case h11.ConnectionClosed():
                self._lose(LostError("connection lost"))
            case _:
                pass

    def _end(self) -> None:
        future, answer = self._future, self._answer
        self._future = None
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        else:
            self._open = False
            self._transport.close()
        if future is not None and not future.done() and answer is not None:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
            future.set_result(Answer(answer.status_code, headers, self._body))
        self._changed()

    def _lose(self, error: LostError) -> None:
        self._open = False
        if self._transport is not None:
            self._transport.abort()
        if not self._ready.done():
            self._ready.set_exception(error)
        future, self._future = self._future, None
        if future is not None and not future.done():
            future.set_exception(error)
        self._changed()
