"""One HTTP/2 connection as a client (RFC 9113); the protocol's state machine is h2."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from push.transports.pending import MAX_ANSWER, Answer, LostError, UnsentError

__all__ = ["Http2Connection"]

_OPEN = h2.connection.ConnectionState.CLIENT_OPEN

_ACKNOWLEDGE_AT = 32_768
_LAST_STREAM = 2**31 - 1_001


class _ReadsOn(h2.connection.H2ConnectionStateMachine):
    """After GOAWAY the streams that the service accepted are still answered (RFC 9113, 6.8); h2 would read no more."""

    _transitions = {  # noqa: RUF012  # the base class's own table, one row changed
        **h2.connection.H2ConnectionStateMachine._transitions,  # noqa: SLF001  # no public way; a test of GOAWAY holds it
        (_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY): (None, _OPEN),
    }


class _Counted(h2.connection.H2Connection):
    """h2 looks at every open stream to begin one more. Here they are counted already and never too many, so it is let
    to look only now and then, for then it forgets the ended ones.
    """

    _begun = 0

    @property
    def open_outbound_streams(self) -> int:
        self._begun += 1
        return 0 if self._begun % 64 else super().open_outbound_streams


class _Stream:
    __slots__ = ("body", "future", "headers", "number", "started", "unsent", "until")

    def __init__(self, number: int, future: asyncio.Future[Answer], unsent: bytes, until: float) -> None:
        self.number = number
        self.future = future
        self.unsent = unsent
        self.started = time.monotonic()
        self.until = until
        self.headers: Sequence[tuple[bytes, bytes]] = ()
        self.body = b""


class Http2Connection(asyncio.Protocol):
    """Up to `streams` requests at a time, fewer where the service says so. `changed` is called when places came or went.

    `ready` gets this connection once the service's settings are known, so its limit is never exceeded.
    """

    multiplexed = True

    def __init__(self, streams: int, changed: Callable[[], None], ready: "asyncio.Future[Http2Connection]") -> None:
        self._most = streams
        self._changed = changed
        self._ready = ready
        self._streams: dict[int, _Stream] = {}
        self._stalled: dict[int, _Stream] = {}
        self._unacknowledged = 0
        self._given: tuple[tuple[str, str], ...] = ()
        self._path = ""
        self._block: list[tuple[bytes, bytes]] = []
        self._transport: Any = None
        self._leaving = False
        self._paused = False
        self._flushing = False
        self._heard = time.monotonic()
        # What we send is made of constants and one checked token, so h2 need not look at each header again. Without its
        # rewriting the token enters the compression table, as RFC 7541, 7.1.3 leaves to the sender: one secret of high
        # entropy, and nothing that a stranger chooses is compressed beside it.
        # Of what comes only the status and Retry-After are read, as numbers or not at all, and h2's checks cost a tenth.
        config = h2.config.H2Configuration(
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
        )
        self._h2 = _Counted(config)
        self._h2.state_machine = _ReadsOn()

    @property
    def free(self) -> int:
        """Requests that may begin now."""
        if self._leaving or self._paused:
            return 0
        return min(self._most, self._h2.remote_settings.max_concurrent_streams) - len(self._streams)

    @property
    def usable(self) -> bool:
        return not self._leaving

    @property
    def busy(self) -> bool:
        return bool(self._streams)

    def begin(
        self, path: str, headers: tuple[tuple[str, str], ...], body: bytes, until: float
    ) -> asyncio.Future[Answer]:
        """POST on a new stream; only while `free`. `headers` starts with `host`. The future gets an answer or fails."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        number = self._h2.get_next_available_stream_id()
        if headers is not self._given or path != self._path:
            pseudo = ((":method", "POST"), (":scheme", "https"), (":authority", headers[0][1]), (":path", path))
            self._given, self._path = headers, path
            self._block = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (*pseudo, *headers[1:])]
        try:
            self._h2.send_headers(number, self._block)
        except h2.exceptions.ProtocolError:
            future.set_exception(UnsentError())
            self._leave()
            return future
        stream = self._streams[number] = _Stream(number, future, body, until)
        self._send_body(stream)
        if number > _LAST_STREAM:
            self._leave()
        self._flush_soon()
        return future

    def abandon(self, future: asyncio.Future[Answer]) -> None:
        """The caller no longer waits: end the stream (RFC 9113, 8.1.1, CANCEL)."""
        for stream in list(self._streams.values()):
            if stream.future is future:
                self._reset(stream, h2.errors.ErrorCodes.CANCEL)
        self._changed()

    def expire(self, now: float) -> None:
        """Fail what waits past its time; a connection that was silent all the while is dead itself."""
        silent = False
        for stream in list(self._streams.values()):
            if stream.until > now:
                break  # the oldest stand first, and all have the same patience
            silent = silent or self._heard < stream.started
            self._fail(stream, LostError("no answer in time"))
            self._reset(stream, h2.errors.ErrorCodes.CANCEL)
        if silent:
            self._lose(LostError("silent connection"))
            return
        if self._leaving and not self._streams:
            self._transport.close()
        self._changed()

    def close(self) -> None:
        """Say goodbye and end; what is under way fails."""
        if self._transport is not None and not self._transport.is_closing():
            try:
                self._h2.close_connection()
                self._flush()
            except h2.exceptions.ProtocolError:
                pass
        self._lose(LostError("closed"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 16_384,
            },
        )
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(LostError("connection lost" if exc is None else f"connection lost ({type(exc).__name__})"))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._changed()

    def data_received(self, data: bytes) -> None:
        self._heard = time.monotonic()
        if self._flushing:
            self._write()  # a GOAWAY would make h2 forget what is not yet handed over
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._flush()
            self._lose(LostError("protocol error"))
            return
        ended = False
        for event in events:
            ended = self._take(event) or ended
        if self._unacknowledged >= _ACKNOWLEDGE_AT:
            self._h2.increment_flow_control_window(self._unacknowledged)
            self._unacknowledged = 0
        self._flush_soon()
        if ended:
            if self._leaving and not self._streams:
                self._transport.close()
            self._changed()

    def _take(self, event: Any) -> bool:
        """Act on one event; True where places came or went."""
        match event:
            case h2.events.ResponseReceived():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.headers = event.headers
            case h2.events.DataReceived():
                self._unacknowledged += event.flow_controlled_length
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.body += event.data
                    if len(stream.body) > MAX_ANSWER:
                        self._fail(stream, LostError("answer too long"))
                        self._reset(stream, h2.errors.ErrorCodes.CANCEL)
            case h2.events.StreamEnded():
                return self._end(event.stream_id)
            case h2.events.StreamReset():
                return self._was_reset(event)
            case h2.events.ConnectionTerminated():
                self._goaway(event)
                return True
            case h2.events.RemoteSettingsChanged():
                if not self._ready.done():
                    self._ready.set_result(self)
                self._send_stalled()
                return True
            case h2.events.WindowUpdated():
                self._send_stalled()
            case _:
                pass
        return False

    def _end(self, number: int) -> bool:
        stream = self._streams.pop(number, None)
        if stream is None:
            return False
        if self._stalled.pop(number, None) is not None:
            # Answered before all was sent (RFC 9113, 8.1): the rest is not wanted.
            self._h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        if not stream.future.done():
            status, headers = _read(stream.headers)
            stream.future.set_result(Answer(status, headers, stream.body))
        return True

    def _was_reset(self, event: Any) -> bool:
        stream = self._streams.pop(event.stream_id, None)
        self._stalled.pop(event.stream_id, None)
        if stream is None:
            return False
        refused = event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
        self._fail(stream, UnsentError() if refused else LostError("stream reset"))
        return True

    def _goaway(self, event: Any) -> None:
        """Streams above the last that the service looked at may be sent again; the others are still answered (6.8)."""
        self._leaving = True
        last = event.last_stream_id if event.last_stream_id is not None else 2**31 - 1
        for number in [number for number in self._streams if number > last]:
            self._stalled.pop(number, None)
            self._fail(self._streams.pop(number), UnsentError())
        if not self._streams:
            self._transport.close()

    def _send_body(self, stream: _Stream) -> None:
        """As much of the body as both windows allow (RFC 9113, 5.2); the rest waits for a WINDOW_UPDATE."""
        while stream.unsent:
            window = self._h2.local_flow_control_window(stream.number)
            size = min(window, self._h2.max_outbound_frame_size, len(stream.unsent))
            if size <= 0:
                self._stalled[stream.number] = stream
                return
            part, stream.unsent = stream.unsent[:size], stream.unsent[size:]
            self._h2.send_data(stream.number, part, end_stream=not stream.unsent)
        self._stalled.pop(stream.number, None)

    def _send_stalled(self) -> None:
        for stream in list(self._stalled.values()):
            self._send_body(stream)

    def _flush_soon(self) -> None:
        if not self._flushing:
            # Requests that begin in one turn of the loop leave in one TLS record.
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._write()

    def _write(self) -> None:
        if (data := self._h2.data_to_send()) and not self._transport.is_closing():
            self._transport.write(data)

    def _reset(self, stream: _Stream, code: h2.errors.ErrorCodes) -> None:
        self._streams.pop(stream.number, None)
        self._stalled.pop(stream.number, None)
        try:
            self._h2.reset_stream(stream.number, code)
        except h2.exceptions.ProtocolError:
            return  # it has ended meanwhile
        self._flush_soon()

    def _leave(self) -> None:
        """Take no more requests; end when the last one has its answer."""
        self._leaving = True
        if not self._streams:
            self._transport.close()

    def _lose(self, error: LostError) -> None:
        self._leaving = True
        if self._transport is not None:
            self._transport.abort()
        if not self._ready.done():
            self._ready.set_exception(error)
        streams = list(self._streams.values())
        self._streams.clear()
        self._stalled.clear()
        for stream in streams:
            self._fail(stream, error)
        self._changed()

    @staticmethod
    def _fail(stream: _Stream, error: Exception) -> None:
        if not stream.future.done():
            stream.future.set_exception(error)


def _read(headers: Sequence[tuple[bytes, bytes]]) -> tuple[int, dict[str, str]]:
    """Status and headers; of an accepted request nobody reads the headers. 0 is no status, which no caller takes for good."""
    if headers and headers[0] == (b":status", b"200"):
        return 200, {}
    read = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    status = read.pop(":status", "")
    return int(status) if len(status) == 3 and status.isascii() and status.isdigit() else 0, read
