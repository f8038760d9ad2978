"""Live streams of `hoatoc serve` over sockets: more of them than the HTTP server takes requests by itself, and a stop that waits for none (D11)."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from httpx2 import AsyncClient

from server.identity.model import Role
from server.settings import load
from server.wiring import Wiring
from tests.fakes.live import LONG, PATH
from tests.fakes.stack import ORGANISATION, ORIGIN, UNLIMITED, Caller, Stack

STREAMS = 140
HOST = ORIGIN.removeprefix("http://")
HOATOC = (sys.executable, "-c", "from server.cli import main; main()")


async def until_ready(http: AsyncClient, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + LONG
    while True:
        assert process.poll() is None, "the server did not start"
        with contextlib.suppress(Exception):
            if (await http.get("/readyz")).status_code == 200:
                return
        assert time.monotonic() < deadline, "the server did not get ready"
        await asyncio.sleep(0.05)


class Reader:
    """One connection with one stream on it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.ended = False
        self.rang = asyncio.Event()

    async def run(self, caller: Caller, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: DPoP {caller.access}\r\nDPoP: {caller.proof('GET', PATH, caller.access)}\r\n\r\n"
        writer.write(head.encode())
        async for line in reader:
            if line.startswith(b"event: "):
                self.names.append(line[7:].decode().strip())
                self.rang.set()
            if line == b"0\r\n":  # the last chunk: the answer is whole
                break
        self.ended = True
        self.rang.set()
        writer.close()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(LONG):
            while len(self.names) < count:
                self.rang.clear()
                await self.rang.wait()


@pytest.mark.asyncio
async def test_many_streams_leave_room_for_others_hear_at_once_and_end_with_the_server(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {
        "HOATOC_STATE_DIR": str(tmp_path / "state"), "HOATOC_SERVER__PUBLIC_URL": ORIGIN, "HOATOC_BLOBS__RESERVE_BYTES": "0",
        "HOATOC_LIMITS__LIVE_STREAMS_PER_PERSON": str(STREAMS), **UNLIMITED,
    }  # fmt: skip
    process = subprocess.Popen(  # noqa: ASYNC220 - it is waited for below
        [*HOATOC, "serve", "--port", str(port)], env={**os.environ, **environ}, stderr=subprocess.DEVNULL
    )
    stack = Stack(tmp_path)
    try:
        async with AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"Host": HOST}, timeout=LONG) as stack.http:
            await until_ready(stack.http, process)
            stack.wiring = await Wiring.open(load(None, environ))
            try:
                stack.organisation = (await stack.wiring.identity.create_organisation(ORGANISATION, "Cơ quan mẫu")).id
                leader = await stack.person("Người ký mẫu", Role.LEADER, Role.STAFF)
            finally:
                await stack.wiring.close()
            readers = [Reader() for _ in range(STREAMS)]
            tasks = [asyncio.create_task(one.run(leader, port)) for one in readers]
            for one in readers:
                await one.until(1)
            day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 30 * 86_400))
            body = {
                "title": "Họp mẫu", "place": "x", "starts_at": f"{day}T08:00:00Z", "ends_at": f"{day}T09:00:00Z", "chair": leader.person, "attendees": [],
            }  # fmt: skip
            await leader.call("POST", "/api/v1/meetings", expect=201, json=body)
            for one in readers:
                await one.until(2)
            assert not any(one.ended for one in readers)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(LONG):
                await asyncio.gather(*tasks)
            assert all(one.ended for one in readers)
            assert await asyncio.to_thread(process.wait, LONG) == 0
    finally:
        process.kill()
        process.wait()
