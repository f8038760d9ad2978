"""Live streams of `hoatoc serve`: what a thousand of them hold, and how soon all of them hear of one change. Linux only (/proc).

The server is a process of its own; the thousand clients are sockets of this one. The change is a recall by the document management system, which
every clerk is shown; the clock runs from its request to the last stream's event. The limits are absolute, so `against` is the limit itself.
"""

import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from httpx2 import AsyncClient

from server.identity.model import Role
from server.settings import load
from server.wiring import Wiring
from tests.bench.measure import Row, at_most, show
from tests.bench.memory import _end, _port, _ready, _serve, pss_mb
from tests.fakes import pdfs
from tests.fakes.live import PATH
from tests.fakes.stack import ORGANISATION, ORIGIN, UNLIMITED, Caller, Stack

STREAMS = 1000
ROUNDS = 7
_HOST = ORIGIN.removeprefix("http://")


class _Client:
    """One open stream, and up to which place of the feed its client was told."""

    def __init__(self, rang: asyncio.Event) -> None:
        self.place = -1
        self.beats = 0
        self._rang = rang

    async def run(self, caller: Caller, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"GET {PATH} HTTP/1.1\r\nHost: {_HOST}\r\nAuthorization: DPoP {caller.access}\r\nDPoP: {caller.proof('GET', PATH, caller.access)}\r\n\r\n"
        writer.write(head.encode())
        try:
            async for line in reader:
                if line.startswith(b"id: "):
                    self.place = int(line[4:].split(b"-")[0])
                    self._rang.set()
                elif line.startswith(b"HTTP/1.1 "):
                    assert line.split()[1] == b"200", line
        finally:
            writer.close()


async def _clerks(stack: Stack) -> list[Caller]:
    made: list[Caller] = []
    for start in range(0, STREAMS, 50):
        made += await asyncio.gather(
            *(stack.person(f"Văn thư mẫu {number}", Role.CLERK) for number in range(start, start + 50))
        )
    return made


async def _until(clients: list[_Client], rang: asyncio.Event, place: int) -> None:
    """One after the other: to look at all of them at each event would be most of what is measured."""
    async with asyncio.timeout(60):
        for one in clients:
            while one.place < place:
                rang.clear()
                await rang.wait()


async def _rows(folder: Path) -> list[Row]:
    port = _port()
    environ = {
        "HOATOC_STATE_DIR": str(folder / "state"), "HOATOC_SERVER__PUBLIC_URL": ORIGIN, "HOATOC_BLOBS__RESERVE_BYTES": "0", **UNLIMITED,
    }  # fmt: skip
    stack = Stack(folder)
    stack.settings = load(None, environ)
    process = _serve(environ, port)
    try:
        await _ready(port, process)
        stack.wiring = await Wiring.open(stack.settings)
        stack.http = AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"Host": _HOST}, timeout=120)
        stack.organisation = (await stack.wiring.identity.create_organisation(ORGANISATION, "Cơ quan mẫu")).id
        stack.qlvb = await stack.service("QLVB mẫu")
        return await _measured(stack, port, process.pid)
    finally:
        await stack.http.aclose()
        await stack.wiring.close()
        _end(process)


async def _measured(stack: Stack, port: int, pid: int) -> list[Row]:
    clerks = await _clerks(stack)
    leader = await stack.person("Người ký mẫu", Role.LEADER)
    documents = []
    for _ in range(ROUNDS):
        taken = await stack.take_in(pdfs.plain(), [leader])
        assert taken.status_code == 201, taken.text
        await stack.until(taken.json()["id"], "in_review")
        documents.append(taken.json()["id"])
    before = pss_mb([pid])
    rang = asyncio.Event()
    clients = [_Client(rang) for _ in clerks]
    running = []
    for start in range(0, STREAMS, 50):
        some = list(zip(clients, clerks, strict=True))[start : start + 50]
        running += [asyncio.create_task(client.run(caller, port)) for client, caller in some]
        await _until(clients[: start + 50], rang, 0)
    open_mb = pss_mb([pid])
    spent = []
    for document in documents:
        place = max(one.place for one in clients)
        await asyncio.sleep(0.5)
        begin = time.perf_counter()
        asked = asyncio.create_task(
            stack.qlvb.call("POST", f"/api/v1/documents/{document}/recall", json={"reason": "mẫu"}, expect=200)
        )
        await _until(clients, rang, place + 1)
        spent.append(time.perf_counter() - begin)
        await asked
    held_mb = pss_mb([pid])
    assert not any(one.done() for one in running), "a stream ended"
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    grown = {
        "before_MB": round(before),
        "growth_MB": round(open_mb - before, 1),
        "kB_each": round((open_mb - before) * 1000 / STREAMS, 1),
    }
    return [
        at_most(f"sse: {STREAMS} open streams, the server process, Pss", max(open_mb, held_mb), 150.0, "MB", 1.0, **grown),
        at_most(
            f"sse: a change heard by all {STREAMS} streams, from its request", statistics.median(spent), 1.0, "s", 1.0, worst_s=round(max(spent), 3)
        ),
    ]  # fmt: skip


def rows() -> Iterator[Row]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with tempfile.TemporaryDirectory() as name:
            yield from asyncio.run(_rows(Path(name)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


if __name__ == "__main__":
    for row in rows():
        show(row)
