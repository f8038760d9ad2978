"""The list of agencies over HTTP, as a phone asks for it at each keystroke, and the clerk who sends a document to one more of them."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from server.identity.model import Role
from tests.api.conftest import World
from tests.fakes.arrivals import left
from tests.fakes.stack import Caller, running

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATH = "/api/v1/agencies"


async def found(caller: Caller, query: str, **more: Any) -> list[str]:
    shown = await caller.json("GET", PATH, params={"query": query, **more})
    return [one["code"] for one in shown["items"]]


async def asked(caller: Caller) -> None:
    """What people type, on the stand-in's list: without marks, in any order, half a word, either code."""
    assert await found(caller, "co quan mau hai") == ["X02"]
    assert await found(caller, "Cơ quan Mẫu Hai") == ["X02"]
    assert await found(caller, "HAI mau") == ["X02", "X01.02"]
    assert set(await found(caller, "co qu")) == {"X01", "X02", "X03"}
    assert await found(caller, "000.00.00.X03") == await found(caller, "x03") == ["X03"]
    assert (await found(caller, "X01"))[0] == "X01"
    assert len(await found(caller, "mau", limit=2)) == 2
    shown = await caller.json("GET", PATH, params={"query": "x01.02"})
    (unit,) = (one for one in shown["items"] if one["code"] == "X01.02")
    assert (unit["parent"], unit["old_code"], unit["level"]) == (
        {"code": "X01", "name": "Cơ quan Mẫu Một"}, "000.00.12.X01", 2,
    )  # fmt: skip
    assert shown["synchronised_at"] is not None
    # A closed code and a unit for trials are found by their whole code alone.
    closed = await caller.json("GET", PATH, params={"query": "X04"})
    assert [(one["code"], one["closed"]) for one in closed["items"]] == [("X04", True)]
    assert await found(caller, "mau bon") == await found(caller, "don vi thu") == []
    assert await found(caller, "14.00.w00") == ["14.00.W00"]
    # Nothing of either engine's language of queries means anything here.
    for nothing in ("'", '"', "* :* &", "(((", "!", "%", "\\", "NEAR", "-"):
        assert await found(caller, nothing) == []
    assert await found(caller, "mau* & hai:*") == await found(caller, "mau hai")
    for wrong in ({"query": ""}, {}, {"query": "x" * 101}, {"query": "x", "limit": 51}):
        await caller.call("GET", PATH, params=wrong, expect=400)


async def test_agencies_are_found_while_somebody_types(world: World) -> None:
    """Reference §6.6, the list taken over from a real axis over its wire."""
    assert await world.stack.wiring.agencies.synchronise() is not None
    await asked(world.clerk)
    await asked(world.qlvb)


async def test_the_same_with_postgresql(postgres_url: str, tmp_path: Path) -> None:
    async with running(tmp_path / "stack", database=postgres_url, worker=False) as stack:
        clerk = await stack.person("Trần Thị Mẫu", Role.CLERK, office=True, position="Văn thư")
        assert (await clerk.json("GET", PATH, params={"query": "mau"}))["synchronised_at"] is None
        assert await stack.wiring.agencies.synchronise() is not None
        await asked(clerk)


async def test_a_clerk_sends_what_has_left_to_one_more_agency(world: World) -> None:
    """§4.6: an update to who has it, the document itself to the new one; under the clerk's name in the log."""
    assert await world.stack.wiring.agencies.synchronise() is not None
    document = await world.taken(number="8101")
    path = f"/api/v1/documents/{document}/receivers"
    body = {"add": [{"organ_id": "X03", "name": "Cơ quan Mẫu Ba"}]}
    # Before it leaves its first packet will name them.
    assert (await world.clerk.json("POST", path, json={"remove": ["X03"]}))["receivers"] == ["X02"]
    shown = await world.clerk.json("GET", f"/api/v1/documents/{document}/deliveries")
    assert [(one["organ_id"], one["state"]) for one in shown["receivers"]] == [("X02", "queued")]
    await left(world.stack, document)
    for unknown in ("X02", "X04", "X99"):
        answer = await world.clerk.call("POST", path, json={"add": [{"organ_id": unknown, "name": "x"}]})
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (422, "receiver-unknown")
        assert "danh sách cơ quan" in answer.json()["detail"]
    assert (await world.leader.call("POST", path, json=body)).status_code == 403
    assert (await world.clerk.json("POST", path, json=body))["receivers"] == ["X02", "X03"]
    deadline = time.monotonic() + 90
    while True:
        shown = await world.clerk.json("GET", f"/api/v1/documents/{document}/deliveries")
        states = {one["organ_id"]: one["state"] for one in shown["receivers"]}
        if states == {"X02": "accepted", "X03": "accepted_by_exchange"}:
            break
        assert time.monotonic() < deadline, states
        await asyncio.sleep(0.05)
    logged = await world.rows(
        "SELECT actor FROM audit_events WHERE kind = 'document.receivers_changed' AND subject = $1", document
    )
    assert [one["actor"] for one in logged] == [world.clerk.person] * 2
