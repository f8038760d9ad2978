"""Documents that stand still, on both engines: who is told after how many working hours, once, until when; and the morning's counts (NOT-1)."""

import msgspec
import pytest

from server.errors import Refused
from server.identity.guard import access_of
from server.identity.model import Role
from server.jobs import Lane
from server.notices.calendar import local_us
from server.notices.rules import Idle, Rules
from server.notices.service import NoticeService
from server.oversight.routes import overview
from server.oversight.service import OversightService
from server.oversight.tasks import OversightTasks
from tests.fakes.notices import ORGANISATION, House

pytestmark = pytest.mark.asyncio

MONDAY = local_us("2026-11-23T08:00")
HANDLER, HEAD, OTHER, CLERK, BOSS = (digit * 32 for digit in "12345")
DOCUMENT, ARRIVAL = "d" * 32, "a" * 32
RULES = Rules(idle=Idle(handler_hours=4, head_hours=8), digest=None, heads=(HEAD,))


class Office(House):
    """A house whose head, handler and clerk have papers before them."""

    async def open(self, rules=RULES):
        self.handler = await self.person(HANDLER, Role.LEADER)
        self.head = await self.person(HEAD, Role.LEADER, devices=0, email="lanhdao@example.vn")
        self.other = await self.person(OTHER, Role.LEADER)
        self.clerk = await self.person(CLERK, Role.CLERK)
        self.boss = await self.person(BOSS, Role.ADMINISTRATOR)
        await self.person("9" * 32, Role.DUTY_OFFICER)
        await self.arrangements.set_rules(self.boss, rules)
        self.oversight = OversightTasks(self.db, self.clock)
        self.service = OversightService(self.db, self.clock)
        return self

    async def document(self, id_=DOCUMENT, *, due=None, person=HANDLER, kind="person", state="in_review"):
        async def body(tx):
            now_us = self.clock.now_us()
            await tx.execute(
                "INSERT INTO documents (id, organisation, client, state, state_since_us, state_due_us, step, head, version, page_count, code_number, code_notation,"
                " subject, type_name, urgency, promulgation_place, promulgation_date, due_date, header, exchange_id, created_us, updated_us) VALUES"
                " ($1, $2, 'c', $3, $4, NULL, 1, $5, 1, 7, '31', 'QĐ-UBND', 'Về việc BIMAT', 'Quyết định', 0, 'Xã Mẫu', '2026-11-22', $6, $7, $1, 1, 1)",
                id_, ORGANISATION, state, now_us, "ab" * 32, due, b"{}",
            )  # fmt: skip
            await tx.execute(
                "INSERT INTO route_steps (document, position, kind, person, field_name, authority_line, state) VALUES ($1, 1, $2, $3, '', '', 'open')",
                id_, kind, person,
            )  # fmt: skip
            await tx.execute(
                "INSERT INTO document_readers (person, document, organisation, reason, waiting, urgency, at_us) VALUES ($1, $2, $3, 'sign', 1, 0, $4)",
                person or CLERK, id_, ORGANISATION, now_us,
            )  # fmt: skip

        await self.db.transact(body)

    async def arrival(self):
        await self.db.transact(
            lambda tx: tx.execute(
                "INSERT INTO arrivals (id, organisation, kind, axis_id, blob, sender, sender_key, sender_name, receiver, exchange_id, distinct_key, content, replaced,"
                " reference, promulgation_date, type_name, subject, urgency, due_date, asked, header, state, remark, received_us) VALUES"
                " ($1, $2, 'new', 'x', 'x', 'X02', 'X02', 'Cơ quan Mẫu', 'X01', 'e', '', '', '', '5/CV', '2026-11-20', 'Công văn', 'BIMAT', NULL, NULL, '', $3,"
                " 'waiting', '', $4)",
                ARRIVAL, ORGANISATION, b"{}", self.clock.now_us(),
            )
        )  # fmt: skip

    async def at(self, text, every_s=1800):
        """Look every so often up to that local time, as the worker does."""
        end_us = local_us(text)
        while self.clock.now_us() < end_us:
            self.clock.advance(min(every_s, (end_us - self.clock.now_us()) / 1e6))
            await self.oversight.look()

    async def told(self):
        """(person, kind, hours since Monday) of everything that was told."""
        rows = await self.db.fetch_all("SELECT person, kind, created_us FROM notices ORDER BY created_us, person")
        return [(row["person"], row["kind"], (row["created_us"] - MONDAY) / 3.6e9) for row in rows]


async def test_first_the_handler_then_the_head_in_working_time_and_once(sqlite_db):
    office = await Office(sqlite_db, MONDAY).open()
    await office.document()
    await office.at("2026-11-30T08:00", 7200)
    assert await office.told() == [(HANDLER, "document_idle", 4), (HEAD, "idle_below", 8)]
    rows = await sqlite_db.fetch_all(
        "SELECT person, headline, document, urgency, lane FROM notices ORDER BY created_us"
    )
    assert (rows[0]["document"], rows[0]["headline"]) == (DOCUMENT, "31/QĐ-UBND")
    assert rows[1]["document"] is None
    assert rows[1]["headline"] == f"31/QĐ-UBND · Người {HANDLER}, CHUYÊN VIÊN"
    assert {row["lane"] for row in rows} == {Lane.NORMAL}
    events = await sqlite_db.fetch_all("SELECT subject FROM audit_events WHERE kind = 'document.idle'")
    assert [row["subject"] for row in events] == [DOCUMENT]


async def test_nights_and_days_off_do_not_count(sqlite_db):
    """Friday 16:00 before National Day of 2027: a working hour on Friday, none until Friday morning after it."""
    office = await Office(sqlite_db, local_us("2027-08-31T16:00")).open()
    await office.document()
    await office.at("2027-09-03T10:25", 14400)
    assert await office.told() == []
    await office.at("2027-09-03T10:35")
    assert [one[:2] for one in await office.told()] == [(HANDLER, "document_idle")]


async def test_whoever_touches_a_document_has_as_long_again(db):
    office = await Office(db, MONDAY).open()
    await office.document()
    await office.at("2026-11-23T11:30", 12600)
    (notice,) = await office.tell(HANDLER, about=f"document:{DOCUMENT}", urgency=0)
    await NoticeService(db, office.clock).acknowledge(office.handler, notice)
    await office.at("2026-11-23T15:00", 3600)
    assert [one for one in await office.told() if one[1] == "document_idle"] == []
    await office.at("2026-11-23T16:00")
    assert (HANDLER, "document_idle", 7.5) in await office.told()


async def test_what_moves_on_takes_its_notices_along_and_starts_anew_with_the_next(db):
    office = await Office(db, MONDAY).open()
    await office.document()
    await office.at("2026-11-23T13:00", 3600)
    await db.transact(lambda tx: tx.execute("UPDATE route_steps SET person = $1 WHERE document = $2", OTHER, DOCUMENT))
    await db.transact(
        lambda tx: tx.execute(
            "INSERT INTO document_readers (person, document, organisation, reason, waiting, urgency, at_us) VALUES ($1, $2, $3, 'sign', 1, 0, $4)",
            OTHER, DOCUMENT, ORGANISATION, office.clock.now_us(),
        )
    )  # fmt: skip
    await office.at("2026-11-23T13:30")
    row = await db.fetch_one("SELECT state FROM notices WHERE person = $1", HANDLER)
    assert row["state"] == "settled"
    await office.at("2026-11-24T08:00", 3600)
    assert await office.told() == [(HANDLER, "document_idle", 4), (OTHER, "document_idle", 9.5)]


async def test_clerks_are_told_of_what_nobody_registered_or_sealed(db):
    office = await Office(db, MONDAY).open()
    await office.document(person=None, kind="seal", state="signed")
    await office.arrival()
    await office.at("2026-11-23T17:00", 3600)
    told = await office.told()
    assert [one[:2] for one in told] == [(CLERK, "document_idle")] * 2 + [(HEAD, "idle_below")] * 2
    assert {one[2] for one in told} == {4, 8}
    urgencies = await db.fetch_all("SELECT about, urgency FROM notices WHERE person = $1", CLERK)
    # A grade that nobody knows is never shown as normal, and rings as it did when it arrived.
    assert {(row["about"], row["urgency"]) for row in urgencies} == {
        (f"idle:document:{DOCUMENT}", 0),
        (f"idle:arrival:{ARRIVAL}", 1),
    }


async def test_past_its_own_deadline_handler_and_head_are_told_the_next_day(sqlite_db):
    office = await Office(sqlite_db, MONDAY).open(Rules(idle=None, digest=None, heads=(HEAD,)))
    await office.document(due="2026-11-24")
    await office.at("2026-11-25T07:25", 28_800)
    assert await office.told() == []
    await office.at("2026-11-27T09:00", 28_800)
    assert [one[:2] for one in await office.told()] == [(HANDLER, "document_overdue"), (HEAD, "overdue_below")]


async def test_a_digest_comes_once_a_working_morning_with_counts_alone_and_by_mail_without_a_device(db):
    office = await Office(db, MONDAY).open(
        Rules(idle=Idle(handler_hours=4, head_hours=4), digest=480, heads=(HEAD, OTHER))
    )
    await office.document(due="2026-11-23")
    await office.document("e" * 32)
    await office.at("2026-11-23T16:00", 14_400)
    await office.at("2026-11-24T07:55", 28_800)
    assert [one[:2] for one in await office.told() if one[1] == "morning_digest"] == [
        (HEAD, "morning_digest"),
        (OTHER, "morning_digest"),
    ]
    await office.at("2026-12-01T07:00", 14_400)
    digests = [one for one in await office.told() if one[1] == "morning_digest"]
    # Monday to Friday and Monday, at the first look after eight; none at the weekend.
    days = [0, 24, 48, 72, 96, 168]
    assert [(person, hour // 24 * 24) for person, _, hour in digests] == [
        (who, day) for day in days for who in (HEAD, OTHER)
    ]
    await office.work()
    rows = await db.fetch_all(
        "SELECT headline, state FROM notices WHERE kind = 'morning_digest' AND person = $1 ORDER BY created_us", HEAD
    )
    assert rows[1]["headline"] == "Chờ xử lý 2 · Chưa động đến 2 · Quá hạn 1 · Chưa ai xác nhận 0"
    assert [row["state"] for row in rows] == ["superseded"] * 5 + ["open"]
    digest = await db.fetch_all(
        "SELECT DISTINCT y.transport, y.device FROM deliveries y JOIN notices n ON n.id = y.notice AND n.kind = 'morning_digest' ORDER BY y.transport"
    )
    assert [(row["transport"], row["device"]) for row in digest] == [("email", ""), ("fcm", f"{OTHER}-0")]


async def test_nothing_to_tell_is_not_told_and_two_workers_tell_once(sqlite_db):
    office = await Office(sqlite_db, MONDAY).open(Rules(digest=480, heads=(HEAD,)))
    await office.at("2026-11-24T12:00", 14_400)
    assert await office.told() == []
    await office.document()
    office.clock.advance(86_400 * 7)
    for _ in range(2):
        await OversightTasks(sqlite_db, office.clock).look()
    assert sorted(one[:2] for one in await office.told()) == [
        (HANDLER, "document_idle"),
        (HEAD, "idle_below"),
        (HEAD, "morning_digest"),
    ]


async def test_the_overview_is_the_heads_and_shows_a_subject_to_readers_alone(db):
    office = await Office(db, MONDAY).open()
    await office.document(due="2026-11-23")
    await office.document("e" * 32)
    await office.arrival()
    await office.at("2026-11-24T09:00", 3600)
    counts, rows = await office.service.overview(office.head)
    assert (counts.held, counts.idle, counts.overdue, counts.unanswered) == (3, 3, 1, 0)
    assert [(row["id"], row["overdue"], row["idle"], row["name"], row["subject"]) for row in rows] == [
        (DOCUMENT, 1, 1, f"Người {HANDLER}", None),
        (ARRIVAL, 0, 1, None, None),
        ("e" * 32, 0, 1, f"Người {HANDLER}", None),
    ]
    await db.transact(
        lambda tx: tx.execute(
            "INSERT INTO document_readers (person, document, organisation, reason, waiting, urgency, at_us) VALUES ($1, $2, $3, 'copy', 0, 0, 1)",
            HEAD, DOCUMENT, ORGANISATION,
        )
    )  # fmt: skip
    _, rows = await office.service.overview(office.head)
    assert [row["subject"] for row in rows] == ["Về việc BIMAT", None, None]
    with pytest.raises(Refused, match="forbidden"):
        await office.service.overview(office.other)
    await office.service.overview(office.boss)


async def test_where_nobody_is_named_or_left_every_leader_hears_of_it(sqlite_db):
    office = await Office(sqlite_db, MONDAY).open()
    await sqlite_db.transact(lambda tx: tx.execute("UPDATE people SET state = 'left' WHERE id = $1", HEAD))
    await office.document(person=None, kind="seal", state="signed")
    await office.at("2026-11-23T17:00", 3600)
    assert [one[:2] for one in await office.told()] == [
        (CLERK, "document_idle"),
        (HANDLER, "idle_below"),
        (OTHER, "idle_below"),
    ]


async def test_a_head_of_any_role_may_open_the_page_behind_the_notice(sqlite_db):
    office = await Office(sqlite_db, MONDAY).open(msgspec.structs.replace(RULES, heads=(CLERK,)))
    await office.service.overview(office.clerk)
    access = access_of(overview.opt)
    assert access is not None
    assert access.roles >= office.clerk.roles


async def test_one_organisation_that_cannot_be_looked_at_hides_no_other(sqlite_db):
    office = await Office(sqlite_db, MONDAY).open()
    await office.document()

    async def body(tx):
        await tx.execute("INSERT INTO organisations (id, code, name, created_us) VALUES ('a0', 'X00', 'Trước', 1)")
        await tx.execute(
            "INSERT INTO notice_rules (organisation, rules, updated_by, updated_us) VALUES ('a0', '{\"unknown\": 1}', 'x', 1)"
        )

    await sqlite_db.transact(body)
    office.clock.advance(5 * 3600)
    with pytest.raises(msgspec.ValidationError):
        await office.oversight.look()
    assert [one[:2] for one in await office.told()] == [(HANDLER, "document_idle")]


async def test_rules_that_nobody_could_follow_are_refused(sqlite_db):
    office = await Office(sqlite_db, MONDAY).open()
    for wrong in ({"heads": ("8" * 32,)}, {"idle": Idle(handler_hours=9, head_hours=8)}, {"digest": 1020}):
        with pytest.raises(Refused, match="notice-rules-unusable"):
            await office.arrangements.set_rules(office.boss, Rules(**wrong))
