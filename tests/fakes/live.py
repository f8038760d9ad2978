"""A client of the live stream, over ASGI: what `fetch()` in a browser gets, event by event."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from httpx2 import Request, Response

from tests.fakes.stack import ORIGIN, Caller

PATH = "/api/v1/live"
LONG = 60.0


class Follower:
    """`heard`: names and ids of the events so far; `last` is what to come back with."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.beats = 0
        self.heard: list[tuple[str, str]] = []
        self.ended = False
        self.reads = asyncio.Event()
        self.reads.set()
        self._rest = b""
        self._left = asyncio.Event()
        self._rang = asyncio.Event()
        self._asked = False
        self._task: asyncio.Task[None]

    @property
    def last(self) -> str:
        return self.heard[-1][1] if self.heard else ""

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.heard]

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Mapping[str, Any]) -> None:
        await self.reads.wait()  # a client that does not read holds the server's hand
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")
            *blocks, self._rest = (self._rest + message.get("body", b"")).split(b"\n\n")
            for block in blocks if self.status == 200 else ():
                self._take(block.decode())
            self.ended = not message.get("more_body", False)
        self._rang.set()

    def _take(self, block: str) -> None:
        if block.startswith(":"):
            self.beats += 1
            return
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        assert set(fields) == {"id", "event", "data"}, fields
        assert fields["data"] == "{}", "an event says nothing"
        self.heard.append((fields["event"], fields["id"]))

    async def until(self, wanted: Any) -> None:
        async with asyncio.timeout(LONG):
            while not wanted(self):
                self._rang.clear()
                await self._rang.wait()

    async def event(self, name: str, after: int = 0) -> None:
        """Wait until an event of this name stands behind the first `after`."""
        await self.until(lambda one: name in one.names[after:])

    async def leave(self) -> None:
        self.reads.set()
        self._left.set()
        async with asyncio.timeout(LONG):
            await self._task


async def follow(app: Any, headers: Mapping[str, str]) -> Follower:
    """Call the application; returns when it has begun to answer."""
    made = Follower()
    host = ORIGIN.removeprefix("http://")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": PATH, "raw_path": PATH.encode(),
        "root_path": "", "query_string": b"", "server": (host, 80), "client": ("127.0.0.1", 9),
        "headers": [(b"host", host.encode()), *((name.lower().encode(), value.encode("latin-1")) for name, value in headers.items())],
    }  # fmt: skip
    made._task = asyncio.create_task(app(scope, made.receive, made.send))
    await made.until(lambda one: one.status or one._task.done())
    return made


@asynccontextmanager
async def following(caller: Caller, last: str = "", app: Any = None) -> AsyncIterator[Follower]:
    """The stream of a phone, left at the end."""
    await caller._in_time()
    headers = {"Authorization": f"DPoP {caller.access}", "DPoP": caller.proof("GET", PATH, caller.access)}
    if last:
        headers["Last-Event-ID"] = last
    made = await follow(app or caller.http._transport.app, headers)  # type: ignore[attr-defined]
    try:
        yield made
    finally:
        await made.leave()


async def first_answer(caller: Caller, headers: Mapping[str, str] | None = None) -> Response:
    """How the call begins, for tests that take every operation alike: the stream is left as soon as it is there."""
    given = dict(headers or {})
    if caller.service:
        given["Authorization"] = f"Bearer {caller.access}"
    elif caller.access:
        given |= {"Authorization": f"DPoP {caller.access}", "DPoP": caller.proof("GET", PATH, caller.access)}
    made = await follow(caller.http._transport.app, given)  # type: ignore[attr-defined]
    await made.leave()
    body = b"" if made.status == 200 else made.body  # how much of a stream came before it was left is chance
    answer = Response(made.status, headers=made.headers, content=body, request=Request("GET", ORIGIN + PATH))
    answer.elapsed = timedelta()
    return answer
