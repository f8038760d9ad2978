"""The live stream over HTTP: who hears what, resuming after a cut at each event, what ends it (C1, C7, C12, D9)."""

import asyncio
import re
import secrets
import time
from typing import Any

import pytest

from server.db import Transaction
from server.documents.service import announce
from server.identity.model import Role
from server.live.model import Topic
from server.live.service import touch
from server.notices.model import NewNotice, NoticeKind
from server.notices.telling import tell
from tests.api.conftest import World, code
from tests.fakes.live import Follower, first_answer, following
from tests.fakes.stack import Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")
ID = re.compile(r"[0-9]+-[0-9]+-[0-9]+")


async def told(world: World, *people: Caller, urgency: int = 0) -> list[str]:
    """A notice to each, committed as any transaction does."""
    now_us = world.stack.wiring.clock.now_us()
    notices = [
        NewNotice(
            organisation=world.stack.organisation, person=one.person, kind=NoticeKind.SEALED, urgency=urgency, about="", expires_us=now_us + 10**12,
            headline="BIMAT-6106",
        )
        for one in people
    ]  # fmt: skip
    return await world.stack.wiring.db.transact(lambda tx: tell(tx, notices, now_us=now_us))


async def person(world: World, *roles: Role) -> Caller:
    return await world.stack.person(f"Người nghe mẫu {secrets.token_hex(3)}", *(roles or (Role.LEADER,)))


async def streams(world: World, device: str) -> int:
    return await world.count("live_streams", "device = $1", device)


async def until(ask: Any, wanted: Any) -> None:
    deadline = time.monotonic() + 60
    while (found := await ask()) != wanted:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)


async def test_a_new_client_is_asked_to_look_at_everything_and_then_hears_of_what_concerns_it(world: World) -> None:
    leader = await person(world)
    async with following(leader) as heard:
        assert heard.status == 200
        headers = dict(heard.headers)
        assert headers[b"content-type"] == b"text/event-stream"
        assert headers[b"cache-control"] == b"no-store"
        await heard.event("reload")
        document = await world.taken(leader, subject="Về việc BIMAT-6106")
        await heard.event("changes")
        await heard.event("notices")
        notice = (await leader.json("GET", "/api/v1/notices"))["items"][0]["id"]
        await leader.call("POST", f"/api/v1/notices/{notice}/acknowledgement", expect=204)
        await heard.event("notices", len(heard.heard))
        # C12: no title, no name, no document: only that there is something.
        for word in ("BIMAT", document, notice, leader.person, leader.device):
            assert word.encode() not in heard.body
        assert all(ID.fullmatch(one) for _, one in heard.heard)
    await until(lambda: streams(world, leader.device), 0)


async def test_a_meeting_is_heard_of_by_its_list_and_by_those_who_manage_it(world: World) -> None:
    staff, guest, stranger = [await person(world, Role.STAFF) for _ in range(3)]
    clerk = await person(world, Role.CLERK)
    async with (
        following(staff) as organiser,
        following(guest) as attendee,
        following(clerk) as manager,
        following(stranger) as outside,
    ):
        for one in (organiser, attendee, manager, outside):
            await one.event("reload")
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 30 * 86_400))
        body = {
            "title": "Họp BIMAT-6106", "place": "Phòng mẫu", "starts_at": f"{day}T08:00:00Z", "ends_at": f"{day}T09:00:00Z", "chair": staff.person,
            "attendees": [guest.person],
        }  # fmt: skip
        made = await staff.json("POST", "/api/v1/meetings", expect=201, json=body)
        for one in (organiser, attendee, manager):
            await one.event("meetings")
        before = len(organiser.heard), len(manager.heard)
        answer = {"sequence": 0, "answer": "attend"}
        await guest.call("POST", f"/api/v1/meetings/{made['id']}/answer", json=answer)
        await organiser.event("meetings", before[0])  # the organiser sees the silent ones live
        await manager.event("meetings", before[1])
        before = (len(attendee.heard), 0)
        cancel = {"sequence": 0, "reason": "mẫu"}
        await staff.call("POST", f"/api/v1/meetings/{made['id']}/cancellation", expect=200, json=cancel)
        await attendee.event("meetings", before[0])
        assert outside.names == ["reload"]


async def test_nobody_hears_of_others(world: World) -> None:
    """C1: nor of documents of the house that he does not read, nor by the numbers in his own events."""
    mine, other = await person(world), await person(world)
    foreign = await world.stack.person("Người bên mẫu", Role.LEADER, organisation=world.foreign_organisation)
    clerk = await person(world, Role.CLERK)
    async with (
        following(other) as heard,
        following(foreign) as abroad,
        following(clerk) as counter,
        following(mine) as own,
    ):
        for one in (heard, abroad, counter, own):
            await one.event("reload")
        before = heard.last, abroad.last
        await world.taken(mine)
        await told(world, mine)
        await own.event("notices")
        await counter.event("changes")  # a clerk sees the organisation's documents
        async with following(other, heard.last) as again:
            await told(world, other)
            await heard.event("notices")
            await again.event("notices")
            assert again.names == ["notices"]
        assert heard.names == ["reload", "notices"]
        assert heard.last.split("-")[0] == before[0].split("-")[0]
        assert (abroad.names, abroad.last) == (["reload"], before[1])


async def test_cut_at_each_event_nothing_is_missed(world: World) -> None:
    """Whatever was heard before the cut, the next stream begins with all that came since and leads to the same place."""
    leader = await person(world)
    document = await world.taken(leader)
    await world.stack.until(document, "in_review")
    wiring = world.stack.wiring

    async def fed(tx: Transaction) -> None:
        await announce(
            tx, document, "document.sample", "in_review", organisation=world.stack.organisation, data={}, detail={}, now_us=wiring.clock.now_us()
        )  # fmt: skip

    async with following(leader) as whole:
        await whole.event("reload")
        for step in range(6):
            before = len(whole.heard)
            if step % 3 != 0:
                await wiring.db.transact(fed)
                await whole.event("changes", before)
            if step % 3 != 1:
                await told(world, leader)
                await whole.event("notices", before)
            if step % 2:
                await wiring.db.transact(lambda tx: touch(tx, Topic.MEETINGS, [leader.person]))
                await whole.event("meetings", before)
        final, heard = whole.last, list(whole.heard)
    assert len(heard) > 10
    for cut, (_, place) in enumerate(heard[:-1]):
        async with following(leader, place) as again:
            await again.until(lambda one: one.last == final)
            assert sorted(again.names) == sorted({name for name, _ in heard[cut + 1 :]}), cut
    async with following(leader, final) as again:
        await told(world, leader)
        await again.event("notices")
        assert again.names == ["notices"]


@pytest.mark.parametrize(
    "last", ["", "x", "1-2", "1-2-3-4", "999999999999-0-0", "0-999999999999-0", "-1-0-0", "1" * 19 + "-0-0", "x" * 64]
)
async def test_who_has_no_place_of_ours_looks_at_everything(world: World, last: str) -> None:
    leader = await person(world)
    await told(world, leader)
    async with following(leader, last) as heard:
        await heard.event("reload")
        assert heard.names[0] == "reload"
        await told(world, leader)
        await heard.event("notices")


async def test_a_stream_ends_with_its_token_and_goes_on_with_the_next(world: World) -> None:
    leader = await person(world)
    expiry = "UPDATE access_tokens SET expires_us = $2 WHERE device = $1"
    for seconds in (2, 10, 30):  # a slow machine may need the longer ones to open it in time
        until_us = world.stack.wiring.clock.now_us() + seconds * 1_000_000
        await world.execute(expiry, leader.device, until_us)
        async with following(leader) as heard:
            await heard.until(lambda one: one.ended)
        if heard.last:
            break
    assert heard.names == ["reload"]
    assert world.stack.wiring.clock.now_us() >= until_us
    assert code(await first_answer(leader)) == "authentication-required"
    await told(world, leader)
    await world.execute(expiry, leader.device, until_us + 600_000_000)
    async with following(leader, heard.last) as again:
        await again.event("notices")
        assert again.names == ["notices"]


async def test_a_device_that_is_revoked_or_signs_out_hears_nothing_more(world: World) -> None:
    leader = await person(world)
    second, third = await world.stack.phone(leader.person), await world.stack.phone(leader.person)
    async with following(second) as revoked, following(third) as out, following(leader) as stays:
        for one in (revoked, out, stays):
            await one.event("reload")
        await leader.call("POST", f"/api/v1/devices/{second.device}/revocation", expect=200)
        await third.call("DELETE", "/api/v1/sessions/current", expect=204)
        await revoked.until(lambda one: one.ended)
        await out.until(lambda one: one.ended)
        await told(world, leader)
        await stays.event("notices")
        assert not stays.ended
    assert code(await first_answer(second)) == "authentication-required"


async def test_a_person_has_a_few_streams_and_the_oldest_gives_way(world: World) -> None:
    leader, other = await person(world), await person(world)
    most = world.stack.wiring.settings.limits.live_streams_per_person
    opened = [following(leader) for _ in range(most + 2)]
    async with following(other) as untouched:
        heard: list[Follower] = [await one.__aenter__() for one in opened]
        for one in heard[:2]:
            await one.until(lambda each: each.ended)
        await told(world, leader)
        for one in heard[2:]:
            await one.event("notices")
        assert [one.ended for one in heard] == [True, True, *[False] * most]
        assert not untouched.ended
        for one in opened:
            await one.__aexit__(None, None, None)
    await until(lambda: streams(world, leader.device), 0)


async def test_a_full_process_says_so(world: World) -> None:
    """C7: the number of streams is bounded; whoever is refused asks again, and polls meanwhile."""
    wiring, leader = world.stack.wiring, await person(world)
    before, wiring.live._most = wiring.live._most, 0
    try:
        answer = await first_answer(leader)
        assert (answer.status_code, code(answer)) == (503, "busy")
    finally:
        wiring.live._most = before


async def test_services_have_webhooks_and_no_stream(world: World) -> None:
    assert code(await first_answer(world.qlvb)) == "forbidden"
