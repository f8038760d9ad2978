"""What other systems post and are told, on both engines: announcements with their chains, and messages that could not be delivered (NOT-4, C16, D14)."""

import asyncio
import secrets
import uuid

import msgspec
import pytest

from server import jobs
from server.clock import SystemClock
from server.demo.loopback import LoopbackServer, Reply
from server.errors import Refused
from server.identity.model import Actor, Role
from server.jobs import queries as job_queries
from server.notices.announcements import AnnouncementAnswer, AnnouncementService, Announcing
from server.notices.calendar import local_us
from server.notices.model import NoticeKind, OwnSettings
from server.once import Once
from server.settings import WebhooksSettings
from server.webhooks import service as webhooks
from server.webhooks.service import EVENTS, Deliver, WebhookService
from server.webhooks.tasks import WebhookTasks
from tests.fakes.clock import FrozenClock
from tests.fakes.notices import ORGANISATION, House

pytestmark = pytest.mark.asyncio

MONDAY = local_us("2026-11-23T09:00")
MINUTE_US = 60_000_000
LEADER, DEPUTY, DUTY, CLERK, BOSS = (digit * 32 for digit in "12345")
SYSTEM = Actor("service", "c" * 32, ORGANISATION, scopes=frozenset({"notices:write", "webhooks:manage"}))
NEIGHBOUR = Actor("service", "d" * 32, ORGANISATION, scopes=SYSTEM.scopes)
SETTINGS = WebhooksSettings(allow_private_addresses=True)


def once(key=None):
    return Once(actor="x", route="r", key=key or secrets.token_urlsafe(16), request=b"", now_us=MONDAY)


async def office(db):
    """A leader with a deputy, a duty officer, a clerk; one system that listens to all that notices say."""
    house = House(db, MONDAY)
    house.leader = await house.person(LEADER, Role.LEADER)
    house.deputy = await house.person(DEPUTY, Role.LEADER)
    await house.person(DUTY, Role.DUTY_OFFICER)
    await house.person(CLERK, Role.CLERK)
    await house.arrangements.set_own(house.leader, OwnSettings(None, None, DEPUTY, "", ""))

    async def body(tx):
        for client in (SYSTEM.id, NEIGHBOUR.id):
            await tx.execute(
                "INSERT INTO service_clients (id, organisation, name, secret_hash, scopes, state, created_us) VALUES ($1, $2, 'Mẫu', 'x', '', 'active', 1)",
                client, ORGANISATION,
            )  # fmt: skip
        await tx.execute(
            "INSERT INTO webhooks (id, organisation, client, url, secret, events, state, created_us) VALUES ($1, $2, $3, 'u', $4, $5, 'active', 1)",
            "a" * 32, ORGANISATION, SYSTEM.id, b"s",
            ",".join(one for one in EVENTS if one.startswith("notice.")),
        )  # fmt: skip

    await db.transact(body)
    house.heard = []
    handlers = dict(house.tasks.handlers())

    async def hear(job, _context):
        message = msgspec.json.decode(job.decode(Deliver).body)
        house.heard.append((message["type"], message["data"]))

    house.tasks.handlers = lambda: {**handlers, "webhooks.deliver": hear}
    house.announcements = AnnouncementService(db, house.clock)
    return house


async def announced(house, *people, urgency=3, key=None, **changes):
    values = {
        "people": people or (LEADER,),
        "urgency": urgency,
        "headline": "Mực nước báo động 2",
        "expires_us": None,
        "source_reference": "TB-42",
    }
    answer = await house.announcements.announce(SYSTEM, Announcing(**{**values, **changes}), once(key))
    return msgspec.json.decode(answer, type=AnnouncementAnswer)


async def test_a_system_hears_to_whom_it_escalated_and_that_nobody_acknowledged(db):
    """The hỏa tốc chain: the person again, the deputy, the duty officer, the sender. Then nobody."""
    house = await office(db)
    made = await announced(house)
    await house.work(until_us=MONDAY + 60 * MINUTE_US)
    said = [(event, data.get("target"), data.get("told"), data.get("outcome")) for event, data in house.heard]
    assert [one[:3] for one in said if one[0] == "notice.escalated" and one[3] == "told"] == [
        ("notice.escalated", "person", LEADER), ("notice.escalated", "deputy", DEPUTY), ("notice.escalated", "duty_officer", DUTY),
        ("notice.escalated", "sender", CLERK),
    ]  # fmt: skip
    assert said[-1][0] == "notice.unanswered"
    assert [one[0] for one in said].count("notice.unanswered") == 1
    for _, data in house.heard:
        assert (data["notice"], data["about"], data["person"]) == (
            made.notices[0].notice,
            f"announcement:{made.id}",
            LEADER,
        )
        assert (data["source_reference"], data["kind"], data["urgency"]) == ("TB-42", "announced", 3)
        assert "Mực nước" not in str(data), "no text of a notice leaves"
    row, people = await house.announcements.show(SYSTEM, made.id)
    assert (row["headline"], people[0]["chain"], people[0]["state"]) == ("Mực nước báo động 2", "exhausted", "open")


async def test_an_announcement_is_its_own_systems_and_what_the_house_says_is_for_all_that_listen(db):
    """C1: another system hears of no announcement that it did not make."""
    house = await office(db)
    await db.transact(
        lambda tx: tx.execute(
            "INSERT INTO webhooks (id, organisation, client, url, secret, events, state, created_us) VALUES ($1, $2, $3, 'u', $4, 'notice.acknowledged', 'active', 1)",
            "b" * 32, ORGANISATION, NEIGHBOUR.id, b"s",
        )
    )  # fmt: skip
    made = await announced(house, LEADER)
    (ours,) = await house.tell(DEPUTY, kind=NoticeKind.TO_SIGN)
    for who, notice in ((house.leader, made.notices[0].notice), (house.deputy, ours)):
        await house.notices.acknowledge(who, notice)
    await house.work(until_us=MONDAY + MINUTE_US)
    assert sorted(data["notice"] for _, data in house.heard) == sorted([made.notices[0].notice, ours, ours])


async def test_an_announcement_is_forgotten_after_a_year_and_its_notices_are_not(db):
    house = await office(db)
    old = await announced(house, LEADER)
    house.clock.advance(200 * 86_400)
    new = await announced(house, LEADER)
    house.clock.advance(166 * 86_400)
    await house.tasks.sweep(None, None)
    await house.announcements.show(SYSTEM, new.id)
    with pytest.raises(Refused, match="not-found"):
        await house.announcements.show(SYSTEM, old.id)
    assert len(await house.notices.listing(house.leader, before=(2**62, ""), limit=50)) == 2


async def test_an_acknowledgement_is_told_once_with_who_gave_it(db):
    house = await office(db)
    made = await announced(house, LEADER, CLERK)
    await house.work(until_us=MONDAY + MINUTE_US)
    mine = made.notices[0].notice
    await asyncio.gather(*(house.notices.acknowledge(house.leader, mine) for _ in range(5)))
    await house.work(until_us=MONDAY + 2 * MINUTE_US)
    assert [(event, data["notice"], data["person"], data["by"]) for event, data in house.heard] == [
        ("notice.acknowledged", mine, LEADER, LEADER)
    ]
    _, people = await house.announcements.show(SYSTEM, made.id)
    assert [(one["person"], one["state"], one["chain"]) for one in people] == [
        (LEADER, "acknowledged", "stopped"),
        (CLERK, "open", "running"),
    ]


async def test_a_deputy_who_stands_in_is_named(sqlite_db):
    house = await office(sqlite_db)
    made = await announced(house)
    await house.work(until_us=MONDAY + 13 * MINUTE_US)
    theirs = (await house.notices.listing(house.deputy, before=(2**62, ""), limit=9))[0]
    await house.notices.acknowledge(house.deputy, theirs["id"])
    await house.work(until_us=MONDAY + 60 * MINUTE_US)
    event, data = house.heard[-1]
    assert (event, data["notice"], data["person"], data["by"]) == (
        "notice.acknowledged",
        made.notices[0].notice,
        LEADER,
        DEPUTY,
    )


async def test_who_confirms_what_asks_nobody_any_more_is_not_told_of(sqlite_db):
    """The deputy, after the leader has; the leader, after the system took it back: the first word stands."""
    house = await office(sqlite_db)
    made = await announced(house)
    await house.work(until_us=MONDAY + 13 * MINUTE_US)
    theirs = (await house.notices.listing(house.deputy, before=(2**62, ""), limit=9))[0]["id"]
    await house.notices.acknowledge(house.leader, made.notices[0].notice)
    await house.notices.acknowledge(house.deputy, theirs)
    other = await announced(house)
    await house.announcements.withdraw(SYSTEM, other.id)
    await house.notices.acknowledge(house.leader, other.notices[0].notice)
    await house.work(until_us=MONDAY + 14 * MINUTE_US)
    said = [(data["about"], data["by"]) for event, data in house.heard if event == "notice.acknowledged"]
    assert said == [(f"announcement:{made.id}", LEADER)]


async def test_a_withdrawn_announcement_stops_and_is_its_clients_alone(sqlite_db):
    house = await office(sqlite_db)
    made = await announced(house)
    for deed in (house.announcements.show(NEIGHBOUR, made.id), house.announcements.withdraw(NEIGHBOUR, made.id)):
        with pytest.raises(Refused, match="not-found"):
            await deed
    for _ in range(2):
        await house.announcements.withdraw(SYSTEM, made.id)
    await house.work(until_us=MONDAY + 60 * MINUTE_US)
    assert house.heard == []
    assert [event async for event in _kinds(sqlite_db, "announcement.withdrawn")] == ["announcement.withdrawn"]
    _, people = await house.announcements.show(SYSTEM, made.id)
    assert people[0]["state"] == "withdrawn"


async def _kinds(db, kind):
    for row in await db.fetch_all("SELECT kind FROM audit_events WHERE kind = $1", kind):
        yield row["kind"]


async def test_what_is_posted_again_is_told_once_and_strangers_are_refused(sqlite_db):
    """C16, C1."""
    house = await office(sqlite_db)
    first, second = await announced(house, key="k" * 20), await announced(house, key="k" * 20)
    assert first == second
    assert len(await sqlite_db.fetch_all("SELECT id FROM notices")) == 1
    for changes, code in (({"people": (LEADER, "f" * 32)}, "person-unknown"), ({"headline": " \u202e "}, "invalid-request"), ({"expires_us": MONDAY}, "invalid-request")):  # fmt: skip
        with pytest.raises(Refused, match=code):
            await announced(house, **changes)


class Post:
    """The queue of webhooks, worked off by hand; the clock is days ahead, so that the first failure is the last."""

    def __init__(self, db):
        self.db = db
        self.clock = FrozenClock(SystemClock().now_us() + 10 * 86_400_000_000)
        self.webhooks = WebhookService(db, self.clock, SETTINGS)
        self.tasks = WebhookTasks(self.webhooks, self.clock, SETTINGS.give_up_after_s)

    async def event(self, subject):
        await self.db.transact(
            lambda tx: webhooks.enqueue(
                tx, organisation=ORGANISATION, event="document.signed", document=subject, data={"document": subject}, now_us=MONDAY
            )
        )  # fmt: skip

    async def work(self, *, late=True):
        """Every job once, in order."""
        while found := await self.db.transact(self._claim):
            for job in found:
                created_us = job.created_us if late else self.clock.now_us()
                job = msgspec.structs.replace(job, created_us=created_us)
                context = jobs.Context(self.db, self.clock, job, job_queries.finish)
                await self.tasks.deliver(job, context)
                if not context.finished:
                    await self.db.transact(context.finish)

    async def _claim(self, tx):
        now_us = self.clock.now_us()
        return await job_queries.claim(
            tx, self.db.dialect, jobs.Lane.NORMAL, owner=uuid.uuid4().hex, limit=9, now_us=now_us, lease_end_us=now_us + 10**9, timed_first=False
        )  # fmt: skip


async def test_what_was_given_up_is_listed_and_sent_again_under_its_id(db):
    """D14: nothing is lost in silence; the receiver tells repeats by `webhook-id`."""
    await office(db)
    await db.transact(lambda tx: tx.execute("DELETE FROM webhooks"))
    post, got, status = Post(db), [], [503]

    async def receive(request):
        got.append((request.headers["webhook-id"], msgspec.json.decode(request.body)["data"]["document"]))
        return Reply(status[0])

    async with LoopbackServer(receive) as server:
        endpoint, _ = await post.webhooks.register(SYSTEM, f"{server.url}/hook", ["document.signed"], once())
        for subject in ("d1", "d2", "d1"):
            await post.event(subject)
        await post.work()
        letters = await post.webhooks.dead_letters(SYSTEM, endpoint, after="", limit=9)
        assert [(one.id, one.subject) for one in letters] == got
        assert {(one.event, one.reason, one.attempts) for one in letters} == {("document.signed", "HTTP 503", 1)}
        paged = await post.webhooks.dead_letters(SYSTEM, endpoint, after=letters[0].id, limit=1)
        assert paged == letters[1:2]
        assert await db.fetch_all("SELECT id FROM jobs WHERE kind = 'webhooks.deliver'") == []
        for deed in (
            post.webhooks.dead_letters(NEIGHBOUR, endpoint, after="", limit=9),
            post.webhooks.retry(NEIGHBOUR, endpoint, ()),
        ):
            with pytest.raises(Refused, match="not-found"):
                await deed
        status[0] = 200
        named = letters[1].id
        assert await post.webhooks.retry(SYSTEM, endpoint, (named, named, "msg_" + "0" * 32)) == 1
        # Two at once take each letter once.
        counts = await asyncio.gather(*(post.webhooks.retry(SYSTEM, endpoint, ()) for _ in range(3)))
        assert sorted(counts) == [0, 0, 2]
        await post.work()
        assert sorted(got[3:]) == sorted(got[:3])
        # Of one document they come in the order in which they were told.
        assert [one for one in got[3:] if one[1] == "d1"] == [got[0], got[2]]
        assert await post.webhooks.dead_letters(SYSTEM, endpoint, after="", limit=9) == []
        # What is given up and not asked for is forgotten after ninety days; an ended endpoint has no list.
        status[0] = 500
        await post.event("d3")
        await post.work()
        assert await post.webhooks.sweep() == 0
        post.clock.advance(91 * 86_400)
        assert await post.webhooks.sweep() == 1
        await post.webhooks.end(SYSTEM, endpoint)
        with pytest.raises(Refused, match="not-found"):
            await post.webhooks.dead_letters(SYSTEM, endpoint, after="", limit=9)
    await post.webhooks.close()


async def test_a_receiver_that_is_gone_leaves_no_letters(sqlite_db):
    await office(sqlite_db)
    await sqlite_db.transact(lambda tx: tx.execute("DELETE FROM webhooks"))
    post = Post(sqlite_db)

    async def receive(_request):
        return Reply(410)

    async with LoopbackServer(receive) as server:
        endpoint, _ = await post.webhooks.register(SYSTEM, f"{server.url}/hook", ["document.signed"], once())
        await post.event("d1")
        await post.work()
    assert await post.webhooks.mine(SYSTEM) == []
    assert await sqlite_db.fetch_all("SELECT id FROM webhook_dead_letters WHERE endpoint = $1", endpoint) == []
    await post.webhooks.close()


async def test_an_endpoint_that_drips_its_answer_holds_nobody_up(sqlite_db):
    """Each byte comes in time, the answer never: given up like any other failure, and kept."""
    await office(sqlite_db)
    await sqlite_db.transact(lambda tx: tx.execute("DELETE FROM webhooks"))
    post = Post(sqlite_db)
    post.webhooks = WebhookService(sqlite_db, post.clock, msgspec.structs.replace(SETTINGS, timeout_s=0.2))
    post.tasks = WebhookTasks(post.webhooks, post.clock, SETTINGS.give_up_after_s)

    ended = asyncio.Event()

    async def drip(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not writer.is_closing():
            writer.write(b"a")
            await asyncio.sleep(0.05)
        writer.close()
        ended.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        endpoint, _ = await post.webhooks.register(SYSTEM, f"http://127.0.0.1:{port}/hook", ["document.signed"], once())
        await post.event("d1")
        async with asyncio.timeout(20):
            await post.work()
        letters = await post.webhooks.dead_letters(SYSTEM, endpoint, after="", limit=9)
        assert [(one.subject, one.reason) for one in letters] == [("d1", "TimeoutError")]
        await post.webhooks.close()
        async with asyncio.timeout(60):
            await ended.wait()
