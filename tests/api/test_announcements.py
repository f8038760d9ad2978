"""Other systems over HTTP: what they post once, what they are told by signed webhooks, what they get back (C16, C1, C12)."""

import asyncio
import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.app import schema_document
from server.demo.loopback import LoopbackServer, Reply, Request
from tests.api.conftest import World, code

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "/api/v1/announcements"
HEADLINE = "Trực ban BIMAT-8821: mực nước báo động 2"


def body(world: World, **changes: Any) -> dict[str, Any]:
    return {
        "people": [world.staff.person, world.clerk.person],
        "headline": HEADLINE,
        "source_reference": "TB-8821",
        **changes,
    }


async def test_a_system_announces_once_and_hears_who_acknowledged(world: World) -> None:
    system = await world.stack.service("Trực ban mẫu", "notices:write", "webhooks:manage")
    got: list[Request] = []
    came = asyncio.Event()

    async def receive(request: Request) -> Reply:
        got.append(request)
        came.set()
        return Reply(200)

    async with LoopbackServer(receive) as server:
        hook = {"url": f"{server.url}/hook", "events": ["notice.acknowledged", "notice.escalated", "notice.unanswered"]}
        registered = await system.json("POST", "/api/v1/webhooks", expect=201, json=hook)
        key = {"Idempotency-Key": "truc-ban-0000008821"}
        answers = await asyncio.gather(*(system.call("POST", PATH, json=body(world), headers=key) for _ in range(4)))
        assert {one.status_code for one in answers} == {201}
        assert len({one.content for one in answers}) == 1
        made = answers[0].json()
        assert [one["person"] for one in made["notices"]] == [world.staff.person, world.clerk.person]
        assert (
            code(await system.call("POST", PATH, json=body(world, urgency=1), headers=key)) == "idempotency-key-reused"
        )
        mine = made["notices"][0]["notice"]
        shown = await world.staff.json("GET", f"/api/v1/notices/{mine}")
        assert (shown["kind"], shown["title"], shown["headline"]) == ("announced", "Thông báo", HEADLINE)
        await world.staff.call("POST", f"/api/v1/notices/{mine}/acknowledgement", expect=204)
        async with asyncio.timeout(90):
            await came.wait()
        await system.call("DELETE", f"/api/v1/webhooks/{registered['id']}", expect=204)
    secret = base64.b64decode(registered["secret"].removeprefix("whsec_"))
    signed = f"{got[0].headers['webhook-id']}.{got[0].headers['webhook-timestamp']}.".encode() + got[0].body
    mac = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    assert got[0].headers["webhook-signature"] == f"v1,{mac}"
    told = json.loads(got[0].body)
    data = told["data"]
    assert (told["type"], data["notice"], data["person"], data["by"]) == (
        "notice.acknowledged",
        mine,
        world.staff.person,
        world.staff.person,
    )
    assert (data["about"], data["source_reference"]) == (f"announcement:{made['id']}", "TB-8821")
    assert b"BIMAT" not in got[0].body
    described = json.loads(schema_document())["webhooks"]["documentChanged"]["post"]["requestBody"]["content"]
    schema = described["application/json"]["schema"]["properties"]["data"]["anyOf"][2]
    assert set(schema["required"]) <= data.keys() <= schema["properties"].keys()
    found = await system.json("GET", f"{PATH}/{made['id']}")
    states = {one["person"]: (one["state"], one["acknowledged_at"] is not None) for one in found["people"]}
    assert states == {world.staff.person: ("acknowledged", True), world.clerk.person: ("open", False)}
    await system.call("POST", f"{PATH}/{made['id']}/withdrawal", expect=204)
    theirs = await world.clerk.json("GET", f"/api/v1/notices/{made['notices'][1]['notice']}")
    assert theirs["state"] == "withdrawn"


async def test_what_is_refused(world: World) -> None:
    system = await world.stack.service("Trực ban mẫu hai", "notices:write", "webhooks:manage")
    for changes, refusal in (
        ({"people": [world.foreign_leader.person]}, "person-unknown"), ({"people": []}, "invalid-request"), ({"headline": "\u200e"}, "invalid-request"),
        ({"urgency": 5}, "invalid-request"), ({"expires_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}, "invalid-request"),
        ({"expires_at": "2099-01-01T00:00:00"}, "invalid-request"),
    ):  # fmt: skip
        assert code(await system.call("POST", PATH, json=body(world, **changes))) == refusal, changes
    for caller in (world.leader, world.administrator, world.qlvb):
        assert code(await caller.call("POST", PATH, json=body(world))) == "forbidden"
    made = await system.json("POST", PATH, expect=201, json=body(world))
    other = await world.stack.service("Trực ban mẫu ba", "notices:write", "webhooks:manage")
    assert code(await other.call("GET", f"{PATH}/{made['id']}")) == "not-found"
    assert code(await other.call("POST", f"{PATH}/{made['id']}/withdrawal")) == "not-found"
    hook = {"url": "http://127.0.0.1:9/x", "events": ["notice.unanswered"]}
    endpoint = (await system.json("POST", "/api/v1/webhooks", expect=201, json=hook))["id"]
    letters = f"/api/v1/webhooks/{endpoint}/dead-letters"
    assert await system.json("GET", letters) == {"items": [], "next": None}
    assert await system.json("POST", f"{letters}/retry", json={}) == {"queued": 0}
    assert code(await other.call("GET", letters)) == "not-found"
    assert code(await system.call("POST", f"{letters}/retry", json={"messages": ["x"]})) == "invalid-request"
    await system.call("DELETE", f"/api/v1/webhooks/{endpoint}", expect=204)
