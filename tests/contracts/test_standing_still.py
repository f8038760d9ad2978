"""Arrivals that wait for a direction, and directions that nobody begins, on both engines: told like documents, until somebody acts (NOT-1, "ngâm")."""

import datetime as dt
import secrets

import msgspec
import pytest

from server.arrivals import queries as arrivals
from server.arrivals.model import Kind, unknown_of
from server.arrivals.service import ArrivalService
from server.directives.model import Order, Report, WorkState
from server.directives.service import About, DirectiveService
from server.exchange.model import Organisation, ResponseFor, StatusPacket
from server.identity.model import Actor, Role
from server.notices.arrangements import ArrangementService
from server.notices.calendar import local_us
from server.notices.rules import Idle, Rules
from server.notices.service import NoticeService
from server.once import Once
from server.oversight.service import OversightService
from server.oversight.tasks import OversightTasks
from tests.fakes.clock import FrozenClock

pytestmark = pytest.mark.asyncio

MONDAY = local_us("2026-11-23T08:00")
HERE, BELOW = ("1" * 32, "2" * 32)
LEADER, SECOND_LEADER, STAFF, OTHER_STAFF, CLERK, UNIT_HEAD, UNIT_CLERK, BOSS = (letter * 32 for letter in "abcdef56")
PEOPLE = {
    LEADER: (HERE, Role.LEADER), SECOND_LEADER: (HERE, Role.LEADER), STAFF: (HERE, Role.STAFF), OTHER_STAFF: (HERE, Role.STAFF), CLERK: (HERE, Role.CLERK),
    BOSS: (HERE, Role.ADMINISTRATOR), UNIT_HEAD: (BELOW, Role.LEADER), UNIT_CLERK: (BELOW, Role.CLERK),
}  # fmt: skip
ARRIVAL = "9" * 32


def actor(person):
    organisation, role = PEOPLE[person]
    return Actor("person", person, organisation, frozenset({role}))


class Office:
    """Two organisations, one below the other, with the services that their people use."""

    def __init__(self, db):
        self.db = db
        self.clock = FrozenClock(MONDAY)
        self.arrivals = ArrivalService(db, None, None, self.clock, max_pages=10)
        self.directives = DirectiveService(db, None, self.arrivals, None, None, None, self.clock, max_pages=10)
        self.tasks = OversightTasks(db, self.clock)
        self.service = OversightService(db, self.clock)

    def once(self):
        return Once(actor="x", route="r", key=secrets.token_urlsafe(16), request=b"", now_us=self.clock.now_us())

    async def open(self):
        """With an arrival that its clerk has registered, so that both leaders are asked for a direction."""
        status = StatusPacket(
            sender=Organisation(organ_id="X09", name="Bộ Mẫu"), response_for=ResponseFor(organ_id="X01", document_id="X09,2026/11/20,57/CV-CQM", code="57/CV-CQM", promulgated=dt.date(2026, 11, 20)),
            status="13", at_us=MONDAY,
        )  # fmt: skip
        row = msgspec.structs.replace(
            unknown_of(HERE, status), id=ARRIVAL, kind=Kind.NEW, subject="Về việc BIMAT", received_us=MONDAY, urgency=1
        )

        async def body(tx):
            for id_, code, parent in ((HERE, "X01", None), (BELOW, "X02", HERE)):
                await tx.execute(
                    "INSERT INTO organisations (id, code, name, parent, created_us) VALUES ($1, $2, $3, $4, 1)",
                    id_, code, f"Cơ quan {code}", parent,
                )  # fmt: skip
            for person, (organisation, role) in PEOPLE.items():
                await tx.execute(
                    "INSERT INTO people (id, organisation, name, position, authority_line, state, locale, created_us) VALUES ($1, $2, $3, 'Chuyên viên', '', 'active', 'vi', 1)",
                    person, organisation, f"Người {person[0]}",
                )  # fmt: skip
                await tx.execute(
                    "INSERT INTO roles (person, role, granted_by, granted_us) VALUES ($1, $2, 'x', 1)",
                    person, role.value,
                )  # fmt: skip
            assert await arrivals.insert(tx, row)

        await self.db.transact(body)
        rules = Rules(idle=Idle(handler_hours=4, head_hours=8), digest=480, heads=(BOSS,), policies=())
        await ArrangementService(self.db, self.clock, frozenset()).set_rules(actor(BOSS), rules)
        await self.arrivals.register(actor(CLERK), ARRIVAL, "Bản giấy đã đối chiếu", self.once())
        return self

    async def direct(self, lead=STAFF, coordinators=(), **order):
        wanted = Order(text="Tham mưu trả lời", lead=lead, coordinators=coordinators, **order)
        made = await self.directives.give(actor(LEADER), About(arrival=ARRIVAL), wanted, self.once())
        return msgspec.json.decode(made)["id"]

    async def report(self, who, directive, sequence=0):
        given = Report(sequence, WorkState.IN_WORK, 10, "Đang làm")
        await self.directives.report(actor(who), directive, given, self.once())

    async def at(self, text, every_s=1800):
        """Look every so often up to that local time, as the worker does."""
        end_us = local_us(text)
        while self.clock.now_us() < end_us:
            self.clock.advance(min(every_s, (end_us - self.clock.now_us()) / 1e6))
            await self.tasks.look()

    async def told(self, prefix):
        """(person, kind, hours since Monday's start, state) of what was told of something."""
        rows = await self.db.fetch_all(
            "SELECT person, kind, created_us, state FROM notices WHERE about LIKE $1 ORDER BY created_us, person",
            f"{prefix}%",
        )
        return [(row["person"], row["kind"], (row["created_us"] - MONDAY) / 3.6e9, row["state"]) for row in rows]

    async def held(self, by=BOSS):
        """What the page behind the digest counts and lists."""
        counts, rows = await self.service.overview(actor(by))
        return counts.held, [(row["what"], row["handler"], row["idle"], row["subject"]) for row in rows]


async def test_an_arrival_that_no_leader_directs_is_told_to_them_and_then_to_the_head(db):
    office = await Office(db).open()
    assert (await office.held())[0] == 1
    await office.at("2026-11-24T08:30")
    assert [one[:3] for one in await office.told("idle:arrival")] == [
        (LEADER, "document_idle", 4), (SECOND_LEADER, "document_idle", 4), (BOSS, "idle_below", 8),
    ]  # fmt: skip
    digest = await db.fetch_one("SELECT headline FROM notices WHERE kind = 'morning_digest' ORDER BY created_us DESC")
    assert digest["headline"] == "Chờ xử lý 1 · Chưa động đến 1 · Quá hạn 0 · Chưa ai xác nhận 0"
    assert await office.held() == (1, [("arrival", "leaders", 1, None)])
    below = await db.fetch_one("SELECT headline FROM notices WHERE kind = 'idle_below'")
    assert below["headline"] == "57/CV-CQM · Lãnh đạo"
    await office.direct(due_date="2026-11-27")
    await office.at("2026-11-24T09:00")
    assert await office.held() == (0, [])
    assert {one[3] for one in await office.told("idle:arrival")} == {"settled"}


async def test_one_leader_who_acknowledges_has_seen_that_nothing_is_to_be_directed(db):
    office = await Office(db).open()
    await office.at("2026-11-23T11:00")
    asked = await db.fetch_one("SELECT id FROM notices WHERE kind = 'to_direct' AND person = $1", SECOND_LEADER)
    await NoticeService(db, office.clock).acknowledge(actor(SECOND_LEADER), asked["id"])
    await office.at("2026-11-25T09:00", 3600)
    assert await office.told("idle:") == []
    assert (await office.held())[0] == 0


async def test_who_has_not_begun_a_direction_without_a_deadline_is_told_alone(db):
    office = await Office(db).open()
    directive = await office.direct(coordinators=(OTHER_STAFF,))
    await office.at("2026-11-23T10:00")
    await office.report(OTHER_STAFF, directive)
    await office.at("2026-11-24T08:00")
    assert [one[:3] for one in await office.told("idle:order")] == [
        (STAFF, "document_idle", 4), (BOSS, "idle_below", 8),
    ]  # fmt: skip
    assert await office.held() == (1, [("order", STAFF, 1, None)])
    await office.report(STAFF, directive)
    await office.at("2026-11-24T08:30")
    assert await office.held() == (0, [])
    assert {one[3] for one in await office.told("idle:order")} == {"settled"}


async def test_a_change_begins_the_time_anew_and_a_deadline_has_reminders_of_its_own(db):
    office = await Office(db).open()
    directive = await office.direct()
    await office.at("2026-11-23T11:00")
    wanted = Order(text="Tham mưu và báo cáo", lead=STAFF)
    await office.directives.change(actor(LEADER), directive, 0, wanted, office.once())
    await office.at("2026-11-23T14:30")
    assert await office.told("idle:order") == []
    await office.at("2026-11-23T15:30")
    assert [one[:2] for one in await office.told("idle:order")] == [(STAFF, "document_idle")]
    wanted = msgspec.structs.replace(wanted, due_date="2026-11-27")
    await office.directives.change(actor(LEADER), directive, 1, wanted, office.once())
    await office.at("2026-11-26T09:00", 3600)
    assert [(one[1], one[3]) for one in await office.told("idle:order")] == [("document_idle", "settled")]


async def test_an_organisation_that_does_not_begin_is_told_in_its_own_house(db):
    """Leaders and clerks act for it; the one above is told nothing of what stands still in there (C1)."""
    office = await Office(db).open()
    directive = await office.direct(lead=BELOW)
    await office.at("2026-11-24T17:00", 3600)
    told = await office.told("idle:order")
    assert {one[0] for one in told} == {UNIT_HEAD, UNIT_CLERK}
    assert (await office.held())[0] == 0
    counts, rows = await office.service.overview(actor(UNIT_HEAD))
    assert [(row["what"], row["id"], row["handler"], row["subject"]) for row in rows] == [
        ("order", directive, "unit", "Về việc BIMAT"),
    ]  # fmt: skip
    assert (counts.held, counts.idle) == (1, 1)


async def test_a_subject_is_shown_to_whoever_may_read_it(db):
    office = await Office(db).open()
    await office.at("2026-11-23T17:00")
    await ArrangementService(db, office.clock, frozenset()).set_rules(
        actor(BOSS),
        Rules(idle=Idle(handler_hours=4, head_hours=8), heads=(LEADER, CLERK, STAFF, OTHER_STAFF), policies=()),
    )
    everybody = (LEADER, CLERK, STAFF, OTHER_STAFF)
    assert {who for who in everybody if (await office.held(who))[1][0][3]} == {LEADER, CLERK}
    await office.direct()
    await office.at("2026-11-24T17:00", 3600)
    assert {who for who in everybody if (await office.held(who))[1][0][3]} == {LEADER, CLERK, STAFF}
