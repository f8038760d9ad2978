"""Signing and looking at pages while the push service hangs, against while it answers (threat D4). Blocks in turn, in one process with its worker.

Every document has its notices; in the one half of the blocks FCM keeps each request open and says nothing. Afterwards all notices are delivered.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from server.demo.fcm import Step
from server.identity.model import Role
from tests.bench.measure import Row, at_most, show
from tests.fakes import pdfs
from tests.fakes.stack import Caller, Stack, running

_BLOCKS, _EACH = 4, 13
_TOKEN = "sample-token-of-the-leader"


async def _one(stack: Stack, leader: Caller, spent: dict[str, list[float]]) -> None:
    """One document: its first page, once drawn, then its sheet and its approval."""
    taken = (await stack.take_in(pdfs.vietnamese(), [leader])).json()
    await stack.until(taken["id"], "in_review")
    page = f"/api/v1/documents/{taken['id']}/revisions/{taken['revision']}/pages/1?width=720"
    await leader.call("GET", page, expect=200)
    for name, call in (
        ("preview", lambda: leader.call("GET", page, expect=200)),
        ("sign", lambda: _sign(leader, taken["id"])),
    ):
        begin = time.perf_counter()
        await call()
        spent[name].append((time.perf_counter() - begin) * 1e3)


async def _sign(leader: Caller, document: str) -> None:
    sheet = await leader.json("POST", f"/api/v1/documents/{document}/sheet", expect=201)
    await leader.call("POST", "/api/v1/approvals", json=await leader.approval_for(sheet), expect=200)


async def _rows(folder: Path) -> list[Row]:
    async with running(folder) as stack:
        leader = await stack.person("Người ký mẫu", Role.LEADER)
        await stack.credential(leader, "Người ký mẫu")
        await leader.call("PUT", "/api/v1/me/push-addresses/fcm", expect=204, json={"registration_token": _TOKEN})
        sides: dict[str, dict[str, list[float]]] = {one: {"preview": [], "sign": []} for one in ("ok", "hang")}
        await _one(stack, leader, {"preview": [], "sign": []})
        for _ in range(_BLOCKS):
            for how, spent in sides.items():
                stack.fcm.script(_TOKEN, Step(how, times=None))
                for _ in range(_EACH):
                    await _one(stack, leader, spent)
        stack.fcm.script(_TOKEN, Step("ok", times=None))
        async with asyncio.timeout(300):
            while await stack.wiring.db.fetch_one("SELECT 1 AS one FROM deliveries WHERE state = 'queued' LIMIT 1"):  # noqa: ASYNC110 - the worker changes what the query sees
                await asyncio.sleep(0.2)
    return [
        at_most(
            f"push down: {words}, p99 while FCM hangs against while it answers", _p99(sides["hang"][name]), _p99(sides["ok"][name]), "ms", 1.1,
            median_ms=[round(sorted(sides[how][name])[_BLOCKS * _EACH // 2]) for how in ("hang", "ok")], each=_BLOCKS * _EACH,
        )
        for name, words in (("preview", "a page's image"), ("sign", "sheet and approval"))
    ]  # fmt: skip


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        yield from asyncio.run(_rows(Path(name) / "h"))


if __name__ == "__main__":
    for row in rows():
        show(row)
