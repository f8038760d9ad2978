"""Meetings over HTTP: who calls, changes, answers and reads them; papers, calendars, the list of who came (MTG-1, MTG-5, MTG-6, C12).

Longer than most: one meeting is seen by each of its readers.
"""

import asyncio
import base64
import csv
import hashlib
import hmac
import io
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from icalendar import Calendar

from server.app import schema_document
from server.demo.loopback import LoopbackServer, Reply, Request
from tests.api.conftest import World, code
from tests.fakes import pdfs
from tests.fakes.stack import Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")

TITLE = "Họp BIMAT-4471 về phân công"


def at(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def plan(world: World, hours: float = 72, **changes: Any) -> dict[str, Any]:
    return {
        "title": TITLE, "place": "Phòng họp A", "starts_at": at(hours), "ends_at": at(hours + 2), "chair": world.leader.person,
        "attendees": [world.second.person], "agenda": "1. Khai mạc\n2. Thảo luận", "asked": "Chuẩn bị báo cáo", **changes,
    }  # fmt: skip


async def convened(world: World, by: Caller | None = None, **changes: Any) -> str:
    made = await (by or world.staff).json("POST", "/api/v1/meetings", expect=201, json=plan(world, **changes))
    return str(made["id"])


async def shown(caller: Caller, meeting: str) -> Any:
    return await caller.json("GET", f"/api/v1/meetings/{meeting}")


async def changed(world: World, meeting: str, sequence: int, **changes: Any) -> Any:
    body = plan(world, **changes) | {"sequence": sequence}
    return await world.staff.call("POST", f"/api/v1/meetings/{meeting}/changes", json=body)


async def answered(caller: Caller, meeting: str, sequence: int, answer: str = "attend", **more: Any) -> Any:
    body = {"sequence": sequence, "answer": answer, **more}
    return await caller.call("POST", f"/api/v1/meetings/{meeting}/answer", json=body)


async def told(caller: Caller) -> list[str]:
    """What this person was told of meetings, the newest first; documents of other tests may still move."""
    items = (await caller.json("GET", "/api/v1/notices?limit=200"))["items"]
    return [one["kind"] for one in items if one["kind"].startswith("meeting_")]


async def begun(world: World, meeting: str) -> None:
    """As if its start had come."""
    assert await world.execute("UPDATE meetings SET starts_us = $2 WHERE id = $1", meeting, time.time_ns() // 1000 - 1)


def refusal(answer: Any) -> tuple[str, str]:
    return code(answer), json.loads(answer.content).get("reason", "")


async def test_from_the_invitation_over_a_change_to_the_list_of_who_came(world: World) -> None:
    """MTG-1, MTG-5, MTG-6: one meeting, told, changed, answered, held."""
    meeting = await convened(world)
    path = f"/api/v1/meetings/{meeting}"
    seen = await shown(world.leader, meeting)
    assert (seen["title"], seen["agenda"], seen["open"], seen["managed"]) == (
        TITLE,
        "1. Khai mạc\n2. Thảo luận",
        True,
        False,
    )
    assert [one["answer"] for one in seen["attendees"] if one["person"] == world.second.person] == [None]
    assert (await told(world.leader))[0] == "meeting_invited"
    assert (await answered(world.leader, meeting, 0)).status_code == 200
    assert (await shown(world.staff, meeting))["silent"] == 1
    soon = at(3)
    answer = await changed(world, meeting, 0, starts_at=soon, ends_at=at(5), place="Phòng họp B", attendees=[])
    assert answer.json() == {
        "id": meeting,
        "sequence": 1,
        "state": "planned",
        "urgency": 3,
        "short_notice": True,
    }  # less than four hours
    seen = await shown(world.leader, meeting)
    assert [(one["field"], one["name"]) for one in seen["changes"]] == [
        ("time", "Thời gian"),
        ("place", "Địa điểm"),
        ("attendees", "Thành phần rút / thêm"),
    ]
    place, left = seen["changes"][1:]
    assert (place["before"], place["after"]) == ("Phòng họp A", "Phòng họp B")
    assert (left["before"], left["after"]) == ("Lê Thị Mẫu", "")
    local = datetime.fromisoformat(soon) + timedelta(hours=7)
    assert seen["changes"][0]["after"].startswith(f"{local:%H:%M}")
    line = (await world.leader.json("GET", "/api/v1/meetings"))["items"]
    assert [one["changes"] for one in line if one["id"] == meeting] == [seen["changes"]]
    late = await answered(world.leader, meeting, 0)
    assert refusal(late)[0] == "meeting-changed"
    assert json.loads(late.content)["sequence"] == 1
    assert refusal(await answered(world.leader, meeting, 1, "decline"))[0] == "answer-invalid"
    assert refusal(await answered(world.leader, meeting, 1, "substitute", substitute=world.foreign_leader.person)) == (
        "answer-invalid",
        "substitute",
    )
    said = await answered(world.leader, meeting, 1, "substitute", substitute=world.clerk.person)
    assert said.status_code == 200
    assert (await told(world.clerk))[0] == "meeting_invited"
    assert (await told(world.staff))[0] == "meeting_answered"
    await world.staff.call("POST", f"{path}/attendance", expect=409, json={"people": [world.clerk.person]})
    await world.execute(
        "UPDATE meetings SET starts_us = $2 WHERE id = $1", meeting, time.time_ns() // 1000 + 60_000_000
    )
    await world.staff.call("POST", f"{path}/attendance", expect=204, json={"people": [world.clerk.person]})
    unknown = await world.staff.call("POST", f"{path}/attendance", json={"people": [world.second.person]})
    assert code(unknown) == "attendee-unknown"
    table = (await world.staff.call("GET", f"{path}/report", expect=200)).content
    assert table.startswith(b"\xef\xbb\xbf")
    rows = {row["Họ và tên"]: row for row in csv.DictReader(io.StringIO(table.decode("utf-8-sig")))}
    assert rows.keys() == {"Nguyễn Văn Mẫu", "Trần Thị Mẫu"}
    leader, clerk = rows["Nguyễn Văn Mẫu"], rows["Trần Thị Mẫu"]
    assert (leader["Trả lời"], leader["Người dự thay"], leader["Có mặt lúc"]) == (
        "Cử người dự thay",
        "Trần Thị Mẫu",
        "",
    )
    assert (clerk["Trả lời"], clerk["Dự thay cho"], bool(clerk["Có mặt lúc"])) == (
        "Chưa trả lời",
        "Nguyễn Văn Mẫu",
        True,
    )
    assert leader["Được báo lúc"]
    kinds = [
        row["kind"] for row in await world.rows("SELECT kind FROM audit_events WHERE subject = $1 ORDER BY id", meeting)
    ]
    assert kinds == ["meeting.invited", "meeting.answered", "meeting.changed", "meeting.answered", "meeting.checked_in"]
    bodies = await world.rows("SELECT body FROM audit_events WHERE subject = $1", meeting)
    assert not any(b"BIMAT" in bytes(row["body"]) for row in bodies)


async def test_what_is_pushed_of_a_meeting_says_nothing_of_it(world: World) -> None:
    """C12, NOT-3: an opaque id and neutral words; the phone fetches the rest."""
    phone = await world.stack.phone(world.second.person)
    address = f"sample-token-meeting-{phone.device}"
    await phone.call("PUT", "/api/v1/me/push-addresses/fcm", json={"registration_token": address})
    meeting = await convened(world, hours=20)
    assert (await changed(world, meeting, 0, hours=3)).status_code == 200

    def sent() -> list[str]:
        return [one.raw for one in world.stack.fcm.records if one.address == address]

    for _ in range(4500):
        if sent():
            break
        await asyncio.sleep(0.02)
    assert sent()
    for raw in sent():
        for word in ("BIMAT", "phân công", "Phòng họp", "Nguyễn", meeting, json.dumps("Phòng họp")[1:-1]):
            assert word not in raw
    await phone.call("DELETE", "/api/v1/me/push-addresses/fcm")


async def test_after_the_start_nothing_is_changed_answered_or_told(world: World) -> None:
    meeting = await convened(world)
    await begun(world, meeting)
    said = ("notices", "about LIKE 'meeting%'")
    before = await world.count(*said)
    path = f"/api/v1/meetings/{meeting}"
    for answer in (
        await changed(world, meeting, 0, place="Nơi khác"),
        await answered(world.leader, meeting, 0),
        await world.staff.call("POST", f"{path}/cancellation", json={"sequence": 0, "reason": "Muộn"}),
        await paper(world, meeting),
    ):
        assert code(answer) == "meeting-over"
    assert await world.count(*said) == before
    assert (await shown(world.leader, meeting))["open"] is False


async def test_what_is_no_meeting_is_refused(world: World) -> None:
    for why, changes in (
        ("invalid-request", {"starts_at": at(-1)}),
        ("invalid-request", {"ends_at": at(1)}),
        ("invalid-request", {"title": " \u202e "}),
        ("invalid-request", {"starts_at": "2027-01-01T08:00:00"}),  # without a zone
        ("invalid-request", {"starts_at": at(24 * 800), "ends_at": at(24 * 800 + 1)}),
        ("attendee-unknown", {"attendees": ["0" * 32]}),
        ("attendee-unknown", {"chair": world.foreign_leader.person}),
    ):
        answer = await world.staff.call("POST", "/api/v1/meetings", json=plan(world) | changes)
        assert code(answer) == why, changes
    meeting = await convened(world, starts_at="2027-03-01T08:00:00+07:00", ends_at="2027-03-01T10:00:00+07:00")
    same = {"starts_at": "2027-03-01T01:00:00Z", "ends_at": "2027-03-01T03:00:00Z"}
    assert code(await changed(world, meeting, 0, **same)) == "invalid-request"  # nothing differs
    assert code(await world.leader.call("POST", "/api/v1/meetings", json=plan(world))) == "forbidden"
    seen = await shown(world.clerk, meeting)  # any clerk of the organisation may take over
    assert (seen["managed"], seen["attends"]) == (True, False)
    body = {"sequence": 0, "reason": "Hoãn để chuẩn bị thêm"}
    await world.clerk.call("POST", f"/api/v1/meetings/{meeting}/cancellation", expect=200, json=body)
    gone = await shown(world.second, meeting)
    assert (gone["state"], gone["note"], gone["changes"]) == ("cancelled", "Hoãn để chuẩn bị thêm", [])
    assert (await told(world.second))[0] == "meeting_cancelled"


# -- Papers -------------------------------------------------------------------------------------------------------------------


async def paper(world: World, meeting: str, pdf: bytes | None = None, **fields: str) -> Any:
    parts: dict[str, Any] = {name: (None, value) for name, value in ({"name": "Báo cáo"} | fields).items()}
    files = parts | {"file": ("bao-cao.pdf", pdf or pdfs.plain(), "application/pdf")}
    return await world.staff.call("POST", f"/api/v1/meetings/{meeting}/papers", files=files)


async def test_a_paper_is_read_whole_and_a_changed_one_takes_its_place(world: World) -> None:
    meeting = await convened(world)
    first = await paper(world, meeting)
    assert first.status_code == 201, first.text
    made = first.json()
    assert (made["version"], made["revision"]) == (1, hashlib.sha256(pdfs.plain()).hexdigest())
    listed = (await shown(world.leader, meeting))["papers"]
    assert [(one["id"], one["size"]) for one in listed] == [(made["id"], len(pdfs.plain()))]
    path = f"/api/v1/meetings/{meeting}/papers/{made['id']}/revisions/{made['revision']}"
    manifest = await world.leader.json("GET", f"{path}/manifest")
    image = next(one for one in manifest["images"] if one["width"] == 720)
    page = await world.leader.call("GET", f"{path}/pages/1?width=720", expect=200)
    assert hashlib.sha256(page.content).hexdigest() == image["digest"]
    assert code(await world.leader.call("GET", f"{path}/pages/99")) == "not-found"
    file = await world.leader.call("GET", f"{path}/file", expect=200)
    assert file.content == pdfs.plain()
    assert file.headers["content-disposition"].startswith("attachment")
    second = (await paper(world, meeting, pdfs.vietnamese(), replaces=made["id"], name="Báo cáo sửa")).json()
    assert (second["id"], second["version"]) == (made["id"], 2)
    listed = (await shown(world.leader, meeting))["papers"]
    assert [(one["name"], one["version"], one["revision"]) for one in listed] == [
        ("Báo cáo sửa", 2, second["revision"])
    ]
    assert code(await world.leader.call("GET", f"{path}/file")) == "not-found"
    assert (await told(world.leader))[:3] == ["meeting_paper_replaced", "meeting_papers", "meeting_invited"]
    states = await world.rows(
        "SELECT kind, state FROM notices WHERE person = $1 AND kind LIKE 'meeting%' ORDER BY created_us DESC LIMIT 3",
        world.leader.person,
    )
    # The newer word on papers replaces the older one, and neither hides the invitation.
    assert [row["state"] for row in states] == ["open", "superseded", "open"]


async def test_what_may_not_be_shown_is_no_paper(world: World) -> None:
    """B2, SEC-1: looked at as any document; and read by those on the list alone (C1)."""
    meeting = await convened(world)
    assert code(await paper(world, meeting, b"no pdf")) == "broken-structure"
    assert code(await paper(world, meeting, name="\u202e")) == "invalid-request"
    assert code(await paper(world, meeting, replaces="0" * 32)) == "not-found"
    made = (await paper(world, meeting)).json()
    path = f"/api/v1/meetings/{meeting}/papers/{made['id']}/revisions/{made['revision']}/file"
    assert (await changed(world, meeting, 0, attendees=[], place="Phòng kín")).status_code == 200
    for stranger in (world.second, world.duty, world.foreign_leader):
        assert code(await stranger.call("GET", path)) == "not-found"
    seen = await shown(world.second, meeting)
    assert (seen["state"], seen["place"], seen["papers"], len(seen["attendees"])) == ("withdrawn", "Phòng họp A", [], 1)


# -- Other systems ------------------------------------------------------------------------------------------------------------


async def test_a_system_calls_a_meeting_once_and_is_told_of_answers(world: World) -> None:
    """Idempotency-Key (C16); webhooks signed by standardwebhooks.com."""
    system = await world.stack.service("Lịch công tác mẫu", "meetings:write", "webhooks:manage")
    got: list[Request] = []
    both = asyncio.Event()

    async def receive(request: Request) -> Reply:
        got.append(request)
        if len(got) == 2:
            both.set()
        return Reply(200)

    async with LoopbackServer(receive) as server:
        hook = {"url": f"{server.url}/hook", "events": ["meeting.answered"]}
        registered = await system.json("POST", "/api/v1/webhooks", expect=201, json=hook)
        body, key = plan(world) | {"source_reference": "LCT-7\u0000"}, {"Idempotency-Key": "lich-cong-tac-0007"}
        answers = [await system.call("POST", "/api/v1/meetings", json=body, headers=key) for _ in range(2)]
        assert answers[0].content == answers[1].content
        meeting = answers[0].json()["id"]
        other = await system.call("POST", "/api/v1/meetings", json=plan(world), headers=key)
        assert code(other) == "idempotency-key-reused"
        assert (await answered(world.leader, meeting, 0)).status_code == 200
        assert (await answered(world.second, meeting, 0, "decline", reason="Đi công tác")).status_code == 200
        async with asyncio.timeout(90):
            await both.wait()
        await system.call("DELETE", f"/api/v1/webhooks/{registered['id']}", expect=204)
    secret = base64.b64decode(registered["secret"].removeprefix("whsec_"))
    told = []
    for request in got:
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
        mac = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
        assert request.headers["webhook-signature"] == f"v1,{mac}"
        told.append(json.loads(request.body))
    assert [one["type"] for one in told] == ["meeting.answered"] * 2
    data = [one["data"] for one in told]
    described = json.loads(schema_document())["webhooks"]["documentChanged"]["post"]["requestBody"]["content"]
    schema = described["application/json"]["schema"]["properties"]["data"]["anyOf"][1]
    assert all(one.keys() == schema["properties"].keys() for one in data)
    assert [(one["person"], one["answer"], one["reason"]) for one in data] == [
        (world.leader.person, "attend", ""),
        (world.second.person, "decline", "Đi công tác"),
    ]
    assert {(one["meeting"], one["source_reference"], one["sequence"]) for one in data} == {(meeting, "LCT-7", 0)}
    seen = await shown(system, meeting)
    assert (seen["silent"], seen["source_reference"], seen["managed"]) == (0, "LCT-7", True)
    another = await world.stack.service("Lịch khác", "meetings:write")
    assert code(await another.call("GET", f"/api/v1/meetings/{meeting}")) == "not-found"
    assert [one["id"] for one in (await system.json("GET", "/api/v1/meetings"))["items"]] == [meeting]


async def test_a_list_of_meetings_goes_on_where_it_ended(world: World) -> None:
    system = await world.stack.service("Lịch phân trang", "meetings:write")
    hours = (90, 30, 60)
    made = {one: await convened(world, system, hours=one) for one in hours}
    await begun(world, made[90])
    await world.execute("UPDATE meetings SET ends_us = $2 WHERE id = $1", made[90], time.time_ns() // 1000 - 1)
    walked, path = [], "/api/v1/meetings?limit=1"
    for _ in range(5):
        page = await system.json("GET", path)
        walked += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        path = f"/api/v1/meetings?limit=1&cursor={page['next']}"
    assert walked == [made[30], made[60], made[90]]  # the next first, what has ended last


# -- Calendars ----------------------------------------------------------------------------------------------------------------


async def test_a_change_that_says_nothing_of_urgency_keeps_what_was_wanted(world: World) -> None:
    """MTG-5: the organiser's least grade is not lost by whoever moves the room."""
    meeting = await convened(world, hours=96, urgency=2)
    for sequence, said, urgency in ((0, {}, 2), (1, {"urgency": 1}, 1), (2, {}, 1), (3, {"urgency": 0}, 0)):
        answer = await changed(world, meeting, sequence, hours=96, place=f"Phòng {sequence}", **said)
        assert answer.json()["urgency"] == urgency


async def invitation(caller: Caller, meeting: str) -> Any:
    answer = await caller.call("GET", f"/api/v1/meetings/{meeting}/invitation", expect=200)
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    return Calendar.from_ical(answer.content)


async def test_one_event_keeps_its_uid_through_every_revision(world: World) -> None:
    """RFC 5546: REQUEST with a growing SEQUENCE, CANCEL for whoever is off the list, CANCEL for all at the end."""
    title = "Họp; dấu, phẩy \\ và một tiêu đề rất dài để dòng phải gãy theo RFC 5545 ở bảy mươi lăm byte"
    meeting = await convened(
        world, title=title, starts_at="2027-03-01T08:00:00+07:00", ends_at="2027-03-01T09:30:00+07:00"
    )
    assert (await answered(world.leader, meeting, 0)).status_code == 200
    first = await invitation(world.leader, meeting)
    event = first.walk("VEVENT")[0]
    assert (first["METHOD"], event["SEQUENCE"], str(event["SUMMARY"])) == ("REQUEST", 0, title)
    assert event["DTSTART"].to_ical() == b"20270301T010000Z"
    assert event["DTEND"].to_ical() == b"20270301T023000Z"
    people = {one.params["CN"]: one.params["PARTSTAT"] for one in event["ATTENDEE"]}
    assert people == {"Nguyễn Văn Mẫu": "ACCEPTED", "Lê Thị Mẫu": "NEEDS-ACTION"}
    # C1: what somebody answered is for whoever called the meeting, and for himself.
    for caller, known in ((world.second, "NEEDS-ACTION"), (world.staff, "ACCEPTED")):
        event_seen = (await invitation(caller, meeting)).walk("VEVENT")[0]
        assert {one.params["CN"]: one.params["PARTSTAT"] for one in event_seen["ATTENDEE"]} == {
            **people,
            "Nguyễn Văn Mẫu": known,
        }
    assert (await changed(world, meeting, 0, hours=96, attendees=[world.clerk.person])).status_code == 200
    for caller, method in ((world.leader, "REQUEST"), (world.second, "CANCEL")):
        again = await invitation(caller, meeting)
        assert (again["METHOD"], again.walk("VEVENT")[0]["UID"], again.walk("VEVENT")[0]["SEQUENCE"]) == (
            method,
            event["UID"],
            1,
        )
    body = {"sequence": 1, "reason": "Hủy"}
    await world.staff.call("POST", f"/api/v1/meetings/{meeting}/cancellation", expect=200, json=body)
    last = await invitation(world.leader, meeting)
    assert (last["METHOD"], last.walk("VEVENT")[0]["STATUS"], last.walk("VEVENT")[0]["SEQUENCE"]) == (
        "CANCEL",
        "CANCELLED",
        2,
    )
    raw = (await world.leader.call("GET", f"/api/v1/meetings/{meeting}/invitation")).content
    assert all(len(line) <= 75 for line in raw.split(b"\r\n"))


async def test_a_feed_is_read_by_its_address_until_that_ends(world: World) -> None:
    """C6, C7, A2: the secret stands in no row, an unknown and an ended one answer alike, and nobody is led away from the page."""
    meeting = await convened(world, hours=120)
    fresh = await world.stack.phone(world.leader.person)
    assert await fresh.json("GET", "/api/v1/me/calendar") is None
    key = {"Idempotency-Key": "lich-ca-nhan-0001"}
    made = [await fresh.json("POST", "/api/v1/me/calendar", expect=201, headers=key) for _ in range(2)]
    assert made[0] == made[1]
    path = made[0]["url"].removeprefix("http://testserver.local")
    secret = path.removeprefix("/calendar/").removesuffix(".ics")
    answer = await world.stack.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-robots-tag"] == "noindex"
    assert "no-store" in answer.headers["cache-control"]
    uids = {str(one["UID"]) for one in Calendar.from_ical(answer.content).walk("VEVENT")}
    assert f"{meeting}@hoatoc" in uids
    own = {str(row["uid"]) for row in await world.rows("SELECT m.uid FROM meetings m JOIN meeting_attendees a ON a.meeting = m.id WHERE a.person = $1", world.leader.person)}  # fmt: skip
    assert uids <= own
    assert (await fresh.json("GET", "/api/v1/me/calendar"))["fetched_at"] is not None
    for table in ("calendar_feeds", "once_answers", "audit_events"):
        kept = [str(tuple(row)) for row in await world.rows(f"SELECT * FROM {table}")]
        assert not [one for one in kept if secret in one]
    unknown = await world.stack.http.get(f"/calendar/{'A' * 43}.ics")
    assert code(unknown) == "not-found"
    next_path = (await fresh.json("POST", "/api/v1/me/calendar", expect=201))["url"].removeprefix(
        "http://testserver.local"
    )
    old = await world.stack.http.get(path)
    assert {**old.json(), "trace_id": ""} == {**unknown.json(), "trace_id": ""}
    assert (await world.stack.http.get(next_path)).status_code == 200
    await fresh.call("DELETE", "/api/v1/me/calendar", expect=204)
    await fresh.call("DELETE", "/api/v1/me/calendar", expect=204)
    assert code(await world.stack.http.get(next_path)) == "not-found"
