"""Arrivals over HTTP: what a document management system fetches, what a clerk is told and refused, and the changes of receivers."""

import hashlib
import json
import time

import pytest

from server.exchange.business import Revoke
from tests.api.conftest import World, code
from tests.fakes import pdfs
from tests.fakes.arrivals import arrived, send

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def judged(world: World, arrival: str) -> dict[str, object]:
    """The arrival once our validation has spoken."""
    deadline = time.monotonic() + 90
    while (found := await world.clerk.json("GET", f"/api/v1/arrivals/{arrival}"))["judgement"] == "pending":
        assert time.monotonic() < deadline, "not judged"
    return dict(found)


async def test_the_management_system_fetches_file_metadata_and_report_and_numbers_it(world: World) -> None:
    """EXC-2: exact bytes, the MessageHeader, the whole report; its own number goes into the log (DOC-7)."""
    pdf = pdfs.vietnamese()
    arrival = await arrived(world.stack, pdf, subject="Về việc mẫu cho QLVB", number="9101")
    await judged(world, arrival)
    found = await world.qlvb.json("GET", f"/api/v1/arrivals/{arrival}")
    assert found["header"]["subject"] == "Về việc mẫu cho QLVB"
    [file] = found["files"]
    fetched = await world.qlvb.call("GET", f"/api/v1/arrivals/{arrival}/files/1", expect=200)
    assert hashlib.sha256(fetched.content).hexdigest() == file["sha256"] == hashlib.sha256(pdf).hexdigest()
    assert fetched.headers["content-disposition"].startswith("attachment")
    report = await world.qlvb.json("GET", f"/api/v1/arrivals/{arrival}/files/1/validation")
    assert (report["verdict"], report["sha256"]) == (file["verdict"], file["sha256"]) == ("not_valid", file["sha256"])
    assert [one["vi"] for one in report["reasons"]] == [one["vi"] for one in file["reasons"]]
    for _ in range(2):
        await world.qlvb.call("PUT", f"/api/v1/arrivals/{arrival}/own-number", expect=204, json={"number": "000118"})
    assert (await world.clerk.json("GET", f"/api/v1/arrivals/{arrival}"))["arrival"]["own_number"] == "000118"
    assert await world.count("audit_events", "kind = 'arrival.numbered' AND subject = $1", arrival) == 1
    for path in ("files/2", "files/1/pages/99999", "files/2/validation"):
        answer = await world.qlvb.call("GET", f"/api/v1/arrivals/{arrival}/{path}")
        assert answer.status_code in {400, 404}, path


async def test_arrived_is_a_change_and_a_webhook(world: World) -> None:
    """The system hears of it without asking, and may ask again from where it stood."""
    body = {"url": "http://127.0.0.1:9/arrived", "events": ["arrival.arrived"]}
    hook = await world.qlvb.json("POST", "/api/v1/webhooks", expect=201, json=body)
    place = ""
    while (page := await world.qlvb.json("GET", f"/api/v1/changes?limit=200{place}"))["items"]:
        place = f"&cursor={page['next']}"
    arrival = await arrived(world.stack, pdfs.plain(), number="9102")
    page = await world.qlvb.json("GET", f"/api/v1/changes?limit=200{place}")
    [change] = [one for one in page["items"] if one["document"] == arrival]
    assert (change["kind"], change["state"], change["tombstone"]) == ("arrival.arrived", "waiting", False)
    rows = await world.rows("SELECT payload FROM jobs WHERE kind = 'webhooks.deliver'")
    sent = [json.loads(json.loads(row["payload"])["body"]) for row in rows if hook["id"] in str(row["payload"])]
    assert arrival in {one["data"]["arrival"] for one in sent}
    await world.qlvb.call("DELETE", f"/api/v1/webhooks/{hook['id']}", expect=204)


async def test_a_clerk_is_refused_what_the_rules_refuse(world: World) -> None:
    """EXC-2, EXC-3, EXC-5."""
    pdf = pdfs.plain()
    exchange_id = await send(world.stack, pdf, number="9103")
    request = await arrived(
        world.stack, pdf, asked=Revoke(document_id=exchange_id, reason="Sai"), number="9103", kind="revoke"
    )
    rows = await world.rows("SELECT id FROM arrivals WHERE exchange_id = $1 AND kind = 'new'", exchange_id)
    document = rows[0]["id"]
    await judged(world, document)

    async def refused(what: str, body: dict[str, object], arrival: str = document) -> str:
        return code(await world.clerk.call("POST", f"/api/v1/arrivals/{arrival}/{what}", json=body))

    assert await refused("register", {"despite": "x"}) == "arrival-asked-back"
    assert await refused("answer", {"agree": True}) == "conflict"
    assert await refused("register", {}, request) == "conflict"
    assert await refused("answer", {"agree": False, "reason": " \u202e"}, request) == "invalid-request"
    assert await refused("return", {"reason": "  "}) == "invalid-request"
    await world.clerk.call(
        "POST", f"/api/v1/arrivals/{request}/answer", expect=200, json={"agree": False, "reason": "Đã xử lý"}
    )
    assert await refused("register", {}) == "arrival-not-valid"
    await world.execute("DELETE FROM incoming_validations WHERE source = (SELECT axis_id FROM arrivals WHERE id = $1)", document)  # fmt: skip
    assert await refused("register", {"despite": "x"}) == "arrival-not-judged"
    report = await world.clerk.call("GET", f"/api/v1/arrivals/{document}/files/1/validation")
    assert code(report) == "arrival-not-judged"


async def test_the_list_has_what_waits_first_and_turns_its_pages(world: World) -> None:
    """TIM-1."""
    for number in ("9104", "9105", "9106"):
        await arrived(world.stack, pdfs.plain(), number=number)
    first = (await world.clerk.json("GET", "/api/v1/arrivals?waiting=true"))["items"]
    waiting = [one for one in first if one["state"] == "waiting"]
    assert first[: len(waiting)] == waiting
    assert [one["urgency"] for one in waiting] == sorted((one["urgency"] for one in waiting), reverse=True)
    seen, place = [], ""
    while True:
        page = await world.qlvb.json("GET", f"/api/v1/arrivals?limit=2{place}")
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        place = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == await world.count("arrivals", "organisation = $1", world.stack.organisation)


async def test_a_receiver_is_named_once_also_before_a_document_leaves(world: World) -> None:
    document = await world.taken(world.leader)
    path = f"/api/v1/documents/{document}/receivers"
    add = [{"organ_id": "X03", "name": "Ba"}]
    assert code(await world.qlvb.call("POST", path, json={"add": add})) == "receiver-unknown"
    for body in ({}, {"add": add, "remove": ["x03"]}):
        assert code(await world.qlvb.call("POST", path, json=body)) == "invalid-request"
    other = await world.stack.take_in(pdfs.plain(), [world.leader], replaces=[document])
    assert code(other) == "conflict"
