"""Who stands in, who was told and an organisation's rules over HTTP (NOT-4, C1)."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.identity.model import Role
from tests.api.conftest import World, code
from tests.fakes.stack import Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")

STEPS = [
    {"after_s": 300, "target": "person", "channel": "push"},
    {"after_s": 300, "target": "duty_officer", "channel": "all"},
]


def absence(deputy: str, **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    times = {"from": now - timedelta(hours=1), "to": now + timedelta(days=2)}
    return {"kind": "leave", "deputy": deputy, **{name: at.isoformat() for name, at in times.items()}, **changes}


async def until(ask: Any, wanted: Any, within_s: float = 60.0) -> Any:
    deadline = time.monotonic() + within_s
    while not wanted(found := await ask()):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)
    return found


async def reached(world: World, name: str, *roles: Role) -> Caller:
    """A person whose phone FCM's double knows."""
    caller = await world.stack.person(name, *roles)
    address = {"registration_token": f"sample-token-{caller.person}"}
    await caller.call("PUT", "/api/v1/me/push-addresses/fcm", expect=204, json=address)
    return caller


async def test_on_leave_the_deputy_is_told_acknowledges_and_everybody_who_may_see_it_sees_it(world: World) -> None:
    leader, deputy = (
        await reached(world, "Lãnh đạo nghỉ mẫu", Role.LEADER),
        await reached(world, "Người thay mẫu", Role.LEADER),
    )
    await leader.call("PUT", "/api/v1/me/absence", expect=204, json=absence(deputy.person))
    own = await leader.json("GET", "/api/v1/me/notice-settings")
    assert own["absence"]["deputy"] == deputy.person
    document = await world.taken(leader, urgency=3, subject="Về việc BIMAT-4410")

    async def mine() -> Any:
        return (await deputy.json("GET", "/api/v1/notices"))["items"]

    (standing_in,) = await until(mine, bool)
    assert (standing_in["kind"], standing_in["document"], standing_in["subject"]) == ("standing_in", None, None)
    assert standing_in["headline"].startswith("Lãnh đạo nghỉ mẫu")
    # Whoever stands in is told that somebody waits, and reads no document for it.
    await deputy.call("GET", f"/api/v1/documents/{document}", expect=404)
    asked = (await leader.json("GET", "/api/v1/notices"))["items"][0]
    assert asked["next"]["target"] == "duty_officer"
    path = f"/api/v1/notices/{asked['id']}/told"

    async def report() -> Any:
        return await leader.json("GET", path)

    told = await until(report, lambda found: all(one["accepted_at"] for one in found["told"]))
    assert [(one["step"], one["name"], one["channel"]) for one in told["told"]] == [
        (0, "Lãnh đạo nghỉ mẫu", "fcm"), (3, "Người thay mẫu", "fcm"),
    ]  # fmt: skip
    assert told["next"][0]["target"] == "duty_officer"
    for caller in (deputy, world.duty, world.administrator):
        assert (await caller.json("GET", f"/api/v1/notices/{standing_in['id']}/told"))["notice"] == asked["id"]
    for stranger in (world.second, world.clerk, world.staff, world.foreign_leader, world.foreign_administrator):
        assert code(await stranger.call("GET", path)) == "not-found"
    assert asked["id"] in {one["notice"] for one in (await world.duty.json("GET", "/api/v1/escalations"))["items"]}
    assert (await world.second.json("GET", "/api/v1/escalations?limit=200"))["items"] == [
        one
        for one in (await world.second.json("GET", "/api/v1/escalations?limit=200"))["items"]
        if one["name"] == "Lê Thị Mẫu"
    ]
    await deputy.call("POST", f"/api/v1/notices/{standing_in['id']}/acknowledgement", expect=204)
    told = await leader.json("GET", path)
    assert (told["chain"], told["next"]) == ("stopped", [])
    assert told["told"][1]["acknowledged_at"]
    await leader.call("DELETE", "/api/v1/me/absence", expect=204)
    assert (await leader.json("GET", "/api/v1/me/notice-settings"))["absence"] is None


async def test_a_chain_is_listed_page_by_page(world: World) -> None:
    leader = await world.stack.person("Lãnh đạo nhiều việc mẫu", Role.LEADER)
    for _ in range(3):
        await world.taken(leader, urgency=4)
    seen, cursor = [], ""
    while True:
        page = await leader.json("GET", f"/api/v1/escalations?limit=2{cursor}")
        seen += [one["notice"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == 3
    assert code(await leader.call("GET", "/api/v1/escalations?cursor=xx")) == "invalid-request"


async def test_a_deputy_is_another_person_of_the_house_who_is_in_office(world: World) -> None:
    gone = await world.stack.person("Người đã nghỉ mẫu", Role.LEADER)
    await world.administrator.call("DELETE", f"/api/v1/people/{gone.person}", expect=None)
    await world.execute("UPDATE people SET state = 'left' WHERE id = $1", gone.person)
    for deputy in (world.leader.person, world.foreign_leader.person, gone.person, "0" * 32):
        assert code(await world.leader.call("PUT", "/api/v1/me/absence", json=absence(deputy))) == "deputy-unusable"
        answer = await world.leader.call("PUT", "/api/v1/me/notice-settings", json={"deputy": deputy})
        assert code(answer) == "deputy-unusable"
    past = absence(world.second.person, to="2020-01-01T00:00:00Z")
    assert code(await world.leader.call("PUT", "/api/v1/me/absence", json=past)) == "invalid-request"
    for wrong in (
        {"phone": "0900"},
        {"email": "a@b"},
        {"email": "a@b.vn\r\nBcc: x@y.vn"},
        {"quiet": {"start": 0, "end": 1441}},
    ):
        assert code(await world.leader.call("PUT", "/api/v1/me/notice-settings", json=wrong)) == "invalid-request"


async def test_rules_are_the_administrators_and_end_at_a_person(world: World) -> None:
    before = await world.administrator.json("GET", "/api/v1/notice-rules")
    assert [step["target"] for step in before["policies"][0]["steps"]] == [
        "person",
        "person",
        "deputy",
        "duty_officer",
        "sender",
    ]
    path = "/api/v1/notice-rules"
    assert code(await world.duty.call("PUT", path, json=before)) == "forbidden"
    nobody = {"policies": [{"urgency": 3, "steps": STEPS[:1]}]}
    assert code(await world.administrator.call("PUT", path, json=nobody)) == "escalation-ends-with-nobody"
    left = {"policies": [{"urgency": 3, "steps": STEPS, "duty": ["0" * 32]}]}
    assert code(await world.administrator.call("PUT", path, json=left)) == "escalation-ends-with-nobody"
    assert (
        code(await world.administrator.call("PUT", path, json={"work": {"start": 600, "end": 600}}))
        == "notice-rules-unusable"
    )
    rules = {
        **before,
        "policies": [{"urgency": 1, "steps": STEPS, "duty": [world.duty.person]}],
        "days": {"2026-08-31": False},
    }
    await world.administrator.call("PUT", path, expect=204, json=rules)
    # Another administrator read them before: what was set meanwhile is not lost.
    assert code(await world.administrator.call("PUT", path, json={**before, "open_every_page": True})) == "conflict"
    assert code(await world.administrator.call("PUT", path, json={**before, "revision": ""})) == "conflict"
    after = await world.duty.json("GET", path)
    assert (after["days"], after["policies"][0]["duty"]) == ({"2026-08-31": False}, [world.duty.person])
    assert (await world.foreign_administrator.json("GET", path))["days"] == {}
    await world.administrator.call("PUT", path, expect=204, json=before | {"revision": None})


async def test_a_signature_settles_what_it_was_asked_by(world: World) -> None:
    """Nothing escalates after the document was signed, though nobody tapped "acknowledge"."""
    document = await world.taken(world.leader, urgency=3)
    await world.open(world.leader, document)
    assert (await world.leader.sign(document)).status_code == 200
    rows = await world.rows(
        "SELECT n.state, e.state AS chain FROM notices n JOIN escalations e ON e.notice = n.id WHERE n.document = $1 AND n.person = $2", document, world.leader.person
    )  # fmt: skip
    assert [(row["state"], row["chain"]) for row in rows] == [("settled", "stopped")]
