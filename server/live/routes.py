"""Live updates over HTTP: server-sent events (WHATWG HTML §9.2), read with `fetch()`, because the call needs its proof in a header."""

import asyncio
import contextlib
from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter
from litestar.types import ASGIApp, HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

from server.errors import Refused
from server.http import Given
from server.identity.guard import PERSON, allow
from server.identity.model import Actor
from server.live.hub import Hub, Stream
from server.live.model import places_of

_SEND_S: Final = 20.0
"""A client that takes nothing for so long is given up; it comes again and is told from where it was."""
_MEDIA_TYPE: Final = "text/event-stream"
_HEADERS: Final = [
    (b"content-type", _MEDIA_TYPE.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would wait for more
]


class EventStream(Response[bytes]):
    """The answer that goes on until the stream ends or its client goes or stops reading."""

    def __init__(self, hub: Hub, stream: Stream, send_s: float = _SEND_S) -> None:
        super().__init__(b"", media_type=_MEDIA_TYPE)
        self._hub = hub
        self._stream = stream
        self._send_s = send_s

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # type: ignore[override]
        return self._answer

    async def _answer(self, _scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.create_task(self._until_gone(receive))
        try:
            with contextlib.suppress(TimeoutError, OSError):
                await send(HTTPResponseStartEvent(type="http.response.start", status=200, headers=_HEADERS))
                while body := await self._stream.next():
                    await self._send(send, body)
                await self._send(send, b"")
        finally:
            self._hub.close(self._stream)
            leaving.cancel()

    async def _send(self, send: Send, body: bytes) -> None:
        async with asyncio.timeout(self._send_s):
            await send(HTTPResponseBodyEvent(type="http.response.body", body=body, more_body=bool(body)))

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._stream.end()


@get(
    "/api/v1/live",
    operation_id="followLive",
    summary="What is new, as it happens",
    tags=["notices", "phone"],
    opt={**allow(roles=PERSON), "problems": ("busy",)},
    media_type=_MEDIA_TYPE,
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type=_MEDIA_TYPE)},
)
async def follow(
    request: Request[Any, Any, Any],
    actor: Given[Actor],
    live: Given[Hub],
    last: Annotated[str | None, HeaderParameter(name="Last-Event-ID", max_length=64)] = None,
) -> EventStream:
    """Server-sent events without content. `changes`: the feed has something for the caller; `notices`, `meetings`: ask for them again; `reload`: ask for
    everything. The database is asked at every start, so that whoever comes back with the last id in `Last-Event-ID` hears of all that he missed; without
    one, the first event is `reload`. A comment comes every 15 s. The stream ends with the access token, when the device is signed out, and when
    the person opens too many.
    """
    if actor.device is None:
        raise Refused("forbidden")
    return EventStream(live, await live.open(actor, places_of(last), request.auth))


HANDLERS: list[Any] = [follow]
