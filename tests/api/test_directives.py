"""Directions over HTTP: from a registered arrival to the sender's 06, what assignees read, receivers in the tree, lists (EXC-6, TIM-6, C1, C16)."""

import asyncio
import json
import secrets
import time
from typing import Any

import pytest
from httpx2 import AsyncClient

from server.identity.model import Role
from tests.api.conftest import World, code
from tests.fakes import pdfs
from tests.fakes.arrivals import arrived, now_us, send, until_judged
from tests.fakes.stack import Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT = "Văn phòng chủ trì BIMAT-6012, trình trước hạn"


async def registered(world: World, **packet: Any) -> str:
    arrival = await arrived(world.stack, pdfs.vietnamese(), **packet)
    await until_judged(world.clerk, arrival)
    await world.clerk.call("POST", f"/api/v1/arrivals/{arrival}/register", expect=200, json={"despite": "Đã xác nhận"})
    return arrival


async def given(world: World, arrival: str, by: Caller | None = None, **order: Any) -> str:
    body = {
        "arrival": arrival,
        "text": TEXT,
        "lead": world.staff.person,
        "coordinators": [world.clerk.person],
        "due_date": "2027-01-15",
        **order,
    }
    return str((await (by or world.leader).json("POST", "/api/v1/directives", expect=201, json=body))["id"])


async def shown(caller: Caller, directive: str) -> Any:
    return await caller.json("GET", f"/api/v1/directives/{directive}")


async def reported(caller: Caller, directive: str, state: str = "in_work", **more: Any) -> Any:
    body = {"sequence": 0, "state": state, **more}
    return await caller.call("POST", f"/api/v1/directives/{directive}/reports", json=body)


async def seen_by_the_axis(world: World, exchange_id: str, last: str) -> list[str]:
    """Every status that the stand-in axis accepted from us about a sender's document, in order, once `last` is there."""
    deadline = time.monotonic() + 120
    while True:
        async with AsyncClient() as axis:
            packets = (await axis.get(f"{world.stack.axis_url}/_oracle")).json()["packets"]
        codes = [one["status"] for one in packets if one["kind"] == "status" and one["document_id"] == exchange_id]
        if last in codes:
            return codes
        assert time.monotonic() < deadline, codes
        await asyncio.sleep(0.2)


async def test_from_the_order_to_the_senders_06_each_status_once_and_in_order(world: World) -> None:
    """Reference §6.4: 04 when it is assigned, 05 when somebody works on it, 06 when it is completed."""
    exchange_id = await send(world.stack, pdfs.vietnamese(), number="9201", subject="Về việc BIMAT-6012")
    arrival = str((await until_row(world, exchange_id))["id"])
    await world.leader.call("GET", f"/api/v1/arrivals/{arrival}", expect=404)  # a leader reads what was registered
    await until_judged(world.clerk, arrival)
    await world.clerk.call("POST", f"/api/v1/arrivals/{arrival}/register", expect=200, json={"despite": "Đã xác nhận"})
    await world.leader.call("GET", f"/api/v1/arrivals/{arrival}", expect=200)
    assert await kinds(world.leader, f"arrival:{arrival}") == [("to_direct", "open")]
    directive = await given(world, arrival)
    assert await kinds(world.leader, f"arrival:{arrival}") == [("to_direct", "settled")]
    known = [(await who.json("GET", f"/api/v1/arrivals/{arrival}"))["directed"] for who in (world.leader, world.second)]
    assert [[(one["id"], one["author"], one["opens"]) for one in found] for found in known] == [
        [(directive, "Nguyễn Văn Mẫu", True)],
        [(directive, "Nguyễn Văn Mẫu", False)],  # another leader knows that it is directed, and not what was said
    ]
    assert await kinds(world.staff, f"order:{directive}") == [("directed", "open")]
    [line] = [one for one in (await lists(world.staff))["items"] if one["id"] == directive]
    assert (line["title"], line["open"], line["line"]["text"], line["line"]["opens"]) == (
        "Về việc BIMAT-6012",
        True,
        TEXT,
        True,
    )
    seen = await shown(world.staff, directive)
    assert (seen["author"], seen["mine"], seen["manages"], seen["arrival"]) == (
        "Nguyễn Văn Mẫu",
        "assigned",
        False,
        arrival,
    )
    manifest = (await world.staff.call("GET", f"/api/v1/directives/{directive}/files/1/manifest", expect=200)).json()
    assert manifest["page_count"] >= 1
    page = await world.staff.call("GET", f"/api/v1/directives/{directive}/files/1/pages/1", expect=200)
    assert page.content.startswith(b"\xff\xd8")
    file = await world.staff.call("GET", f"/api/v1/directives/{directive}/files/1", expect=200)
    assert file.content == pdfs.vietnamese()
    await world.staff.call("GET", f"/api/v1/arrivals/{arrival}", expect=403)
    await world.staff.call("GET", f"/api/v1/directives/{directive}/files/9", expect=404)
    for word in ("Đang lấy số liệu", "Đã có dự thảo"):
        assert (await reported(world.clerk, directive, progress=50, word=word)).status_code == 200
    assert code(await reported(world.staff, directive)) == "invalid-request"
    done = await reported(world.staff, directive, "completed", word="Đã trình văn bản trả lời")
    assert done.json() == {"id": directive, "sequence": 0, "state": "completed"}
    assert code(await reported(world.staff, directive, "completed")) == "directive-over"
    tree = (await shown(world.leader, directive))["lines"]
    assert [(one["name"], one["lead"], one["progress"], one["word"], one["words"]["vi"]) for one in tree] == [
        ("Phạm Văn Mẫu", True, 100, "Đã trình văn bản trả lời", "Đã hoàn thành"),
        ("Trần Thị Mẫu", False, 50, "Đã có dự thảo", "Đã kết thúc"),
    ]
    assert [kind for kind, _ in await kinds(world.leader, f"order:{directive}:reports")] == [
        "directive_completed",
        "directive_reported",
        "directive_reported",
    ]
    assert await seen_by_the_axis(world, exchange_id, "06") == ["01", "03", "04", "05", "06"]
    changes = await world.rows("SELECT kind, detail FROM changes WHERE document = $1 ORDER BY seq", arrival)
    handled = [json.loads(row["detail"])["status_code"] for row in changes if row["kind"] == "arrival.handled"]
    assert handled == ["04", "05", "06"]


async def until_row(world: World, exchange_id: str) -> Any:
    deadline = time.monotonic() + 90
    while not (rows := await world.rows("SELECT id FROM arrivals WHERE exchange_id = $1", exchange_id)):
        assert time.monotonic() < deadline, "nothing arrived"
        await asyncio.sleep(0.05)
    return rows[0]


async def kinds(caller: Caller, about: str) -> list[tuple[str, str]]:
    """Kind and state of what this person was told of a subject, the newest first."""
    items = (await caller.json("GET", "/api/v1/notices?limit=200"))["items"]
    return [(one["kind"], one["state"]) for one in items if one["about"] == about]


async def lists(caller: Caller, which: str = "mine") -> Any:
    return await caller.json("GET", f"/api/v1/directives?list={which}&limit=200")


async def test_what_is_not_allowed_is_refused_with_its_reason(world: World) -> None:
    arrival = await registered(world, number="9202")
    body = {"text": "x", "lead": world.staff.person}
    for wrong in (
        {},
        {"arrival": arrival, "document": arrival},
        {"arrival": arrival, "due_date": "2026-01-01"},
        {"arrival": arrival, "text": " \u202e "},
    ):
        assert code(await world.leader.call("POST", "/api/v1/directives", json=body | wrong)) == "invalid-request", (
            wrong
        )
    for lead in (world.foreign_leader.person, world.leader.person, world.foreign_organisation, "0" * 32):
        answer = await world.leader.call("POST", "/api/v1/directives", json=body | {"arrival": arrival, "lead": lead})
        assert code(answer) == "assignee-unknown"
    assert code(await world.clerk.call("POST", "/api/v1/directives", json=body | {"arrival": arrival})) == "forbidden"
    unsigned = await world.taken(world.leader)
    assert code(await world.leader.call("POST", "/api/v1/directives", json=body | {"document": unsigned})) == "conflict"
    directive = await given(world, arrival)
    path = f"/api/v1/directives/{directive}"
    order = {"text": TEXT, "lead": world.staff.person, "coordinators": [world.clerk.person], "due_date": "2027-01-20"}
    assert code(await world.staff.call("POST", f"{path}/changes", json=order | {"sequence": 0})) == "not-found"
    assert (
        code(await world.staff.call("POST", f"{path}/withdrawal", json={"sequence": 0, "reason": "x"})) == "not-found"
    )
    inner = {"above": directive, "text": "Chuẩn bị số liệu", "lead": world.second.person}
    below = (await world.staff.json("POST", "/api/v1/directives", expect=201, json=inner))["id"]
    assert code(await reported(world.staff, directive, "completed")) == "directive-open-below"
    # The second leader now knows what he was asked, and still not what it hangs below.
    assert code(await world.second.call("GET", path)) == "not-found"
    assert (await shown(world.second, below))["due_date"] == "2027-01-15"
    assert (await world.leader.call("POST", f"{path}/changes", json=order | {"sequence": 0})).json()["sequence"] == 1
    late = await reported(world.staff, directive, progress=5)
    assert (code(late), late.json()["sequence"]) == ("directive-changed", 1)
    gone = await world.leader.json("POST", f"{path}/withdrawal", json={"sequence": 1, "reason": "Giao đơn vị khác"})
    assert gone["state"] == "withdrawn"
    assert (await shown(world.second, below))["state"] == "withdrawn"


async def test_a_unit_below_finds_it_in_its_own_inbox_and_directs_onwards(world: World) -> None:
    """C1: another organisation's people read the text through the direction alone, and nothing else of ours."""
    unit = await world.stack.wiring.identity.create_organisation("X01.05", "Phòng Mẫu Một", parent_code="X01")
    clerk = await world.stack.person("Bùi Thị Đơn Vị", Role.CLERK, organisation=unit.id, position="Văn thư")
    worker = await world.stack.person("Cao Văn Đơn Vị", Role.STAFF, organisation=unit.id, position="Chuyên viên")
    assert [one["name"] for one in await world.leader.json("GET", "/api/v1/directives/units")] == ["Phòng Mẫu Một"]
    assert await world.foreign_leader.json("GET", "/api/v1/directives/units") == []
    arrival = await registered(world, number="9203")
    directive = await given(world, arrival, lead=unit.id, coordinators=[])
    assert await kinds(clerk, f"order:{directive}") == [("directed", "open")]
    [line] = (await lists(clerk))["items"]
    assert (line["author_unit"], line["line"]["name"]) == ("Ủy ban nhân dân xã Mẫu", "Phòng Mẫu Một")
    body = {"above": directive, "text": "Xử lý nội bộ", "lead": worker.person, "due_date": "2027-01-10"}
    inner = (await clerk.json("POST", "/api/v1/directives", expect=201, json=body))["id"]
    page = await worker.call("GET", f"/api/v1/directives/{inner}/files/1/pages/1", expect=200)
    assert page.content.startswith(b"\xff\xd8")
    for path in (f"/api/v1/directives/{directive}", f"/api/v1/directives/{directive}/files/1"):
        await worker.call("GET", path, expect=404)
    assert (await shown(clerk, directive))["arrival"] is None
    assert (await reported(worker, inner, "completed", word="Đã xong phần số liệu")).status_code == 200
    assert (await reported(clerk, directive, word="Đơn vị đã xong", progress=90)).status_code == 200
    found = (await world.leader.call("GET", f"/api/v1/directives/{directive}")).text
    assert "Đơn vị đã xong" in found
    assert not [
        word for word in ("Xử lý nội bộ", "Cao Văn Đơn Vị", "Bùi Thị Đơn Vị", "Đã xong phần số liệu") if word in found
    ]


async def test_receivers_of_documents_stand_in_the_tree_as_the_exchange_tells(world: World) -> None:
    """EXC-6: 04, 05, 06 of the receivers, under the direction that caused the document."""
    document = await world.taken(world.leader, number="9204", due_date="2026-11-20")
    now = now_us()

    async def sent(tx: Any) -> None:
        """As if it had left: signing and sealing have tests of their own."""
        await tx.execute("UPDATE documents SET state = 'forwarded' WHERE id = $1", document)
        await tx.execute(
            "INSERT INTO outgoing_packets (id, organisation, document, kind, sender, reference, revision, blob, stage, attempts, not_before_us, doc_id, "
            "code, description, created_us, sent_us, accepted_us) SELECT id, organisation, id, 'edoc', 'X01', '9204/QĐ-UBND', head, head, 'accepted', 1, "
            "0, 'sample-9204', '', '', $2, $2, $2 FROM documents WHERE id = $1",
            document, now,
        )  # fmt: skip
        for place, (receiver, state) in enumerate((("X02", "in_progress"), ("X03", "finished"))):
            await tx.execute(
                "INSERT INTO packet_receivers (packet, organ_id, position, name, state, updated_us) VALUES ($1, $2, $3, $4, $5, $6)",
                document, receiver, place, f"Cơ quan {receiver}", state, now,
            )  # fmt: skip

    await world.stack.wiring.db.transact(sent)
    directive = await given(world, await registered(world, number="9205"))
    body = {"document": document}
    for _ in range(2):
        await world.qlvb.call("POST", f"/api/v1/directives/{directive}/documents", expect=200, json=body)
    lines = [one for one in (await shown(world.leader, directive))["lines"] if one["kind"] == "receiver"]
    assert [(one["name"], one["state"], one["words"]["vi"]) for one in lines] == [
        ("Cơ quan X02", "in_work", "Đang xử lý"), ("Cơ quan X03", "completed", "Đã hoàn thành")
    ]  # fmt: skip
    assert all(one["days_late"] > 0 for one in lines)
    assert [one["kind"] for one in (await shown(world.staff, directive))["lines"]] == ["person", "person"]
    own = {"document": document, "text": "Đôn đốc nơi nhận", "lead": world.staff.person}
    made = (await world.leader.json("POST", "/api/v1/directives", expect=201, json=own))["id"]
    seen = await shown(world.leader, made)
    assert [(one["kind"], one["depth"]) for one in seen["lines"]] == [("person", 0), ("receiver", 0), ("receiver", 0)]
    assert [(one["position"], one["pdf"]) for one in seen["files"]] == [(1, True)]
    await world.staff.call("GET", f"/api/v1/directives/{made}/files/1/manifest", expect=200)
    assert (await lists(world.leader, "given"))["items"][0]["line"]["lead"]


async def test_the_same_order_again_is_one_direction(world: World) -> None:
    """C16."""
    arrival = await registered(world, number="9206")
    body = {"arrival": arrival, "text": TEXT, "lead": world.staff.person}
    headers = {"Idempotency-Key": secrets.token_urlsafe(16)}
    answers = [
        await world.leader.json("POST", "/api/v1/directives", expect=201, json=body, headers=headers) for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert await world.count("directives", "arrival = $1", arrival) == 1
