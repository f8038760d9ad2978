"""Reports on both engines: every number equals what an independent query or a plain count over the same rows says, within one organisation."""

import random
import statistics
from datetime import date, timedelta

import pytest

from server.db import Dialect
from server.identity.model import Actor, Role
from server.notices.calendar import local_us
from server.notices.rules import EXPRESS
from server.reports import queries
from server.reports.model import DayCount, Period, together
from server.reports.service import Chart, Language, ReportService
from server.reports.words import HOLDERS
from tests.fakes.clock import FrozenClock

pytestmark = pytest.mark.asyncio

NOVEMBER = Period(date(2026, 11, 1), date(2026, 11, 30))
NOW = local_us("2026-11-30T12:00")
HOUR_US = 3_600_000_000
WORKER = "3" * 32
HEAD = Actor("person", "1" * 32, "o1", frozenset({Role.LEADER}))
NEIGHBOUR = Actor("person", "2" * 32, "o2", frozenset({Role.LEADER}))
INDEPENDENT = {
    Dialect.POSTGRES: (
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY took) AS median, percentile_cont(0.9) WITHIN GROUP (ORDER BY took) AS p90 FROM signed"
    ),
    # Cumulative distribution: the value up to which as many lie, without a place computed beforehand.
    Dialect.SQLITE: (
        "SELECT (SELECT avg(took) FROM (SELECT took FROM signed ORDER BY took LIMIT 2 - (SELECT count(*) FROM signed) % 2 "
        "OFFSET (SELECT (count(*) - 1) / 2 FROM signed))) AS median, "
        "(SELECT sum(took * share) FROM (SELECT took, max(0, 1 - abs(0.9 * (total - 1) - place)) AS share FROM "
        "(SELECT took, row_number() OVER (ORDER BY took) - 1 AS place, count(*) OVER () AS total FROM signed))) AS p90"
    ),
}
SIGNED = (
    "WITH last AS (SELECT document, max(position) AS position FROM route_steps WHERE kind = 'person' GROUP BY document), "
    "signed AS (SELECT s.decided_us - d.created_us AS took FROM last l JOIN route_steps s ON s.document = l.document AND s.position = l.position "
    "JOIN documents d ON d.id = s.document WHERE d.organisation = 'o1' AND s.state <> 'returned' AND s.decided_us BETWEEN $1 AND $2) "
)


class Office:
    """Rows of two organisations, written as the other rooms write them."""

    def __init__(self, db, seed=1):
        self.db = db
        self.random = random.Random(seed)
        self.number = 0
        self.reports = ReportService(db, FrozenClock(NOW), 7000)

    async def run(self, sql, *args):
        await self.db.transact(lambda tx: tx.execute(sql, *args))

    def id(self):
        self.number += 1
        return f"{self.number:032x}"

    async def found(self):
        for code, actor in (("o1", HEAD), ("o2", NEIGHBOUR)):
            await self.run(
                "INSERT INTO organisations (id, code, name, created_us) VALUES ($1, $1, 'Xã Mẫu', 1)",
                code,
            )
            await self.run(
                "INSERT INTO people (id, organisation, name, position, authority_line, state, locale, created_us) VALUES ($1, $2, $3, 'CHỦ TỊCH', '', 'active', 'vi', 1)",
                actor.id, code, f"Người {code}",
            )  # fmt: skip

    async def document(
        self, organisation="o1", *, created_us, signed_us=None, state="forwarded", due_us=None, initials=False
    ):
        """One with a personal signature, behind initials where wanted, and the seal's step."""
        id_ = self.id()
        person = HEAD.id if organisation == "o1" else NEIGHBOUR.id
        await self.run(
            "INSERT INTO documents (id, organisation, client, state, state_since_us, state_due_us, step, head, version, page_count, code_number, code_notation, subject,"
            " type_name, urgency, promulgation_place, promulgation_date, header, exchange_id, created_us, updated_us) VALUES ($1, $2, 'c', $3, $4, $5, 1, 'h', 1, 1, '1',"
            " 'QĐ', 's', 't', 0, 'p', '2026-11-22', $6, $1, $4, $4)",
            id_, organisation, state, created_us, due_us, b"{}",
        )  # fmt: skip
        steps = [("initials", person, "done", created_us + 1)] if initials else []
        steps += [
            ("person", person, "done" if signed_us else "open", signed_us),
            ("seal", None, "waiting", None),
        ]
        for position, (kind, whose, stands, at_us) in enumerate(steps, 1):
            await self.run(
                "INSERT INTO route_steps (document, position, kind, person, field_name, authority_line, state, decided_us) VALUES ($1, $2, $3, $4, 'f', '', $5, $6)",
                id_, position, kind, whose, stands, at_us,
            )  # fmt: skip
        return id_

    async def issue(self, document, organisation="o1", *, accepted_us, states=("accepted_by_exchange",)):
        packet = self.id()
        await self.run(
            "INSERT INTO outgoing_packets (id, organisation, document, kind, sender, reference, revision, blob, stage, attempts, not_before_us, doc_id, code, description,"
            " created_us, accepted_us) VALUES ($1, $2, $3, 'edoc', 's', 'r', 'x', 'x', 'accepted', 1, 0, '', '', '', 1, $4)",
            packet, organisation, document, accepted_us,
        )  # fmt: skip
        for position, state in enumerate(states):
            await self.run(
                "INSERT INTO packet_receivers (packet, organ_id, position, name, state, updated_us) VALUES ($1, $2, $3, 'n', $4, 1)",
                packet, f"X{position}", position, state,
            )  # fmt: skip

    async def asked(self, state, *, started_us, steps=0, organisation="o1"):
        """A notice that had to be acknowledged, and how many steps its chain took."""
        notice, person = self.id(), HEAD.id if organisation == "o1" else NEIGHBOUR.id
        await self.run(
            "INSERT INTO notices (id, organisation, person, kind, urgency, collapse, revision, state, created_us, expires_us) VALUES ($1, $2, $3, 'to_sign', 3, '', 1, $4, 1, 1)",
            notice, organisation, person, state,
        )  # fmt: skip
        await self.run(
            "INSERT INTO escalations (notice, organisation, person, policy, position, state, started_us) VALUES ($1, $2, $3, '{}', 0, 'stopped', $4)",
            notice, organisation, person, started_us,
        )  # fmt: skip
        for position in range(steps):
            await self.run(
                "INSERT INTO escalation_steps (notice, position, place, target, channel, outcome, at_us) VALUES ($1, $2, 0, $3, 'fcm', 'told', 1)",
                notice, position, EXPRESS.steps[position].target.value,
            )  # fmt: skip

    async def found_with_units(self):
        await self.found()
        await self.run(
            "INSERT INTO people (id, organisation, name, position, authority_line, state, locale, created_us) VALUES ($1, 'o1', 'Người xong', '', '', 'active', 'vi', 1)",
            WORKER,
        )
        return self

    async def arrival(self, *, due, organisation="o1", state="waiting"):
        id_ = self.id()
        await self.run(
            "INSERT INTO arrivals (id, organisation, kind, axis_id, blob, sender, sender_key, sender_name, receiver, exchange_id, distinct_key, content, replaced,"
            " reference, type_name, subject, urgency, due_date, asked, header, state, remark, received_us) VALUES"
            " ($1, $2, 'new', 'x', 'x', 'X02', 'X02', 'x', 'X01', $1, '', '', '', '5/CV', 'Công văn', 'x', 0, $3, '', $4, $5, '', 1)",
            id_, organisation, due, b"{}", state,
        )  # fmt: skip
        return id_

    async def direct(self, arrival, *, due, places, state="open"):
        """A direction of the first organisation's head; the first of its places leads. `places`: (person or None for the organisation, organisation, state)."""
        id_ = self.id()
        await self.run(
            "INSERT INTO directives (id, organisation, root, arrival, author, title, reference, urgency, text, due_date, state, sequence, created_us) VALUES"
            " ($1, 'o1', $1, $2, $3, 'x', 'x', 0, 'x', $4, $5, 0, 1)",
            id_, arrival, HEAD.id, due, state,
        )  # fmt: skip
        for place, (person, organisation, stands) in enumerate(places):
            await self.run(
                "INSERT INTO directive_assignees (id, directive, assignee, organisation, person, lead, state, progress, word, warned, late_told) VALUES"
                " ($1, $2, $3, $4, $5, $6, $7, 0, '', '', '')",
                self.id(), id_, person or organisation, organisation, person, int(place == 0), stands,
            )  # fmt: skip

    async def overdue(self, actor):
        return (await self.reports.numbers(actor, NOVEMBER, Language.VIETNAMESE, None)).overdue


async def test_median_and_p90_equal_an_independent_query(db):
    """From intake to the last personal signature: initials, seals, other organisations and other months are not in it."""
    office = Office(db)
    await office.found()
    await office.document(created_us=local_us("2026-11-05T08:00"))
    await office.document(created_us=local_us("2026-10-31T23:00"), signed_us=local_us("2026-10-31T23:59"))
    await office.document(created_us=local_us("2026-11-30T23:00"), signed_us=local_us("2026-12-01T00:00"))
    await office.document("o2", created_us=local_us("2026-11-05T08:00"), signed_us=local_us("2026-11-25T08:00"))
    took = []
    for count in (1, 2, 3, 11, 40):
        while len(took) < count:
            created_us = local_us("2026-11-02T00:00") + office.random.randrange(20 * 24) * HOUR_US
            took.append(office.random.choice([0, 7, HOUR_US, office.random.randrange(1, 6 * 24 * HOUR_US)]))
            await office.document(created_us=created_us, signed_us=created_us + took[-1], initials=bool(len(took) % 2))
        found = (await office.reports.numbers(HEAD, NOVEMBER, Language.VIETNAMESE, None)).signing
        rows = await db.fetch_all(SIGNED + INDEPENDENT[db.dialect], NOVEMBER.start_us, NOVEMBER.end_us - 1)
        assert found.documents == count
        assert found.median_s == pytest.approx(rows[0]["median"] / 1e6, abs=1e-6)
        assert found.p90_s == pytest.approx(rows[0]["p90"] / 1e6, abs=1e-6)
        assert found.median_s == pytest.approx(statistics.median(took) / 1e6, abs=1e-6)


async def test_documents_and_deliveries_are_counted_apart_by_the_day_in_vietnam(db):
    office = Office(db)
    await office.found()
    waiting = ("queued", "sending", "retry_wait", "failed")
    for text, states in (
        ("2026-11-01T00:00", ("accepted", "rejected", "taken_back", *waiting)), ("2026-11-01T23:59", ("delivered",)), ("2026-11-30T23:59", ("arrived",) * 5),
        ("2026-10-31T23:59", ("accepted",)), ("2026-12-01T00:00", ("accepted",)),
    ):  # fmt: skip
        document = await office.document(created_us=1)
        await office.issue(document, accepted_us=local_us(text), states=states)
    await office.issue(await office.document(created_us=1), accepted_us=None)
    await office.issue(
        await office.document("o2", created_us=1),
        "o2",
        accepted_us=local_us("2026-11-02T08:00"),
        states=("accepted",) * 9,
    )
    numbers = await office.reports.numbers(HEAD, NOVEMBER, Language.VIETNAMESE, None)
    assert numbers.issued == [DayCount(date(2026, 11, 1), 2), DayCount(date(2026, 11, 30), 1)]
    assert numbers.deliveries == [DayCount(date(2026, 11, 1), 4), DayCount(date(2026, 11, 30), 5)]
    assert (numbers.postage.deliveries, numbers.postage.tariff, numbers.postage.total) == (9, 7000, 63_000)
    other = await office.reports.numbers(NEIGHBOUR, NOVEMBER, Language.VIETNAMESE, 4000)
    assert (together(other.issued), together(other.deliveries), other.postage.total) == (1, 9, 36_000)
    # Each picture says its own numbers and none of the other's.
    issued = await office.reports.chart(HEAD, Chart.ISSUED, NOVEMBER, Language.VIETNAMESE)
    sent = await office.reports.chart(HEAD, Chart.DELIVERIES, NOVEMBER, Language.VIETNAMESE)
    assert "01/11: 2;" in issued
    assert "01/11: 4;" in sent
    assert issued.count("/11: ") - issued.count("/11: 0") == sent.count("/11: ") - sent.count("/11: 0")


async def test_in_time_is_before_anybody_else_was_told(db):
    office = Office(db)
    await office.found()
    for state, steps in (
        ("acknowledged", 0), ("acknowledged", 0), ("settled", 0), ("acknowledged", 1), ("open", 3),
        ("open", 0), ("superseded", 0), ("withdrawn", 0),
    ):  # fmt: skip
        await office.asked(state, steps=steps, started_us=NOW - 1000)
    await office.asked("acknowledged", steps=2, started_us=NOVEMBER.start_us - 1)
    await office.asked("acknowledged", steps=2, started_us=NOW, organisation="o2")
    told = (await office.reports.numbers(HEAD, NOVEMBER, Language.VIETNAMESE, None)).acknowledgement
    assert (told.in_time, told.late, told.share) == (3, 2, 0.6)
    nothing = Period(date(2026, 1, 1), date(2026, 1, 31))
    empty = await office.reports.numbers(HEAD, nothing, Language.VIETNAMESE, None)
    assert (empty.acknowledgement.share, empty.signing.median_s, empty.issued) == (None, None, [])


async def test_overdue_is_named_by_who_holds_it(db, monkeypatch):
    office = Office(db)
    await office.found()
    late_us = NOW - 1
    for state in ("in_review", "in_review", "signed_pending_timestamp", "forwarded", "delivered"):
        await office.document(created_us=1, state=state, due_us=late_us)
    await office.document(created_us=1, state="in_review", due_us=NOW + 1)
    await office.document("o2", created_us=1, state="in_review", due_us=late_us)
    sealing = await office.document(created_us=1, signed_us=2, state="signed", due_us=late_us)
    await office.run("UPDATE documents SET step = 2 WHERE id = $1", sealing)
    await office.run(
        "INSERT INTO service_clients (id, organisation, name, secret_hash, scopes, state, created_us) VALUES ('c', 'o1', 'x', 'x', '', 'active', 1)",
    )
    await office.run(
        "INSERT INTO onestop_units (organisation, code, name, name_en, responsible, updated_us) VALUES ('o1', 'd', 'Địa chính', '', '[]', 1)",
    )
    yesterday, today = (str(date(2026, 11, 30) - timedelta(days=days)) for days in (1, 0))
    for number, (promised, late, step) in enumerate(
        [(yesterday, None, "received"), (today, None, "received"), (today, 1, "received"), (yesterday, 1, "supplement")]
    ):
        await office.run(
            "INSERT INTO dossiers (id, organisation, client, secret_hash, sequence, step, unit, promised, handled, step_us, late_us) VALUES ($1, 'o1', 'c', $1, 0, $4, 'd', $2, 0, 1, $3)",
            f"d{number}", promised, late, step,
        )  # fmt: skip
    numbers = await office.reports.numbers(HEAD, NOVEMBER, Language.VIETNAMESE, None)
    assert {(one.kind, one.unit): one.count for one in numbers.overdue} == {
        ("document", "Người o1 · CHỦ TỊCH"): 2, ("document", "Hệ thống"): 1, ("document", "Nơi nhận chưa trả lời"): 2, ("document", "Văn thư (đóng dấu)"): 1,
        ("dossier", "Địa chính"): 2,
    }  # fmt: skip
    monkeypatch.setattr(queries, "_MOST_UNITS", 1)
    fewer = (await office.reports.numbers(HEAD, NOVEMBER, Language.ENGLISH, None)).overdue
    assert sum(one.count for one in fewer) == sum(one.count for one in numbers.overdue), "whom nobody names is counted"
    assert [(one.kind, one.unit, one.count) for one in fewer if one.unit == "Others"] == [("document", "Others", 4)]
    picture = await office.reports.chart(HEAD, Chart.OVERDUE, NOVEMBER, Language.ENGLISH)
    assert "One-stop: Địa chính" in picture
    assert "Người o2" not in picture


async def test_arrivals_and_directions_past_their_deadline_are_named_by_who_has_them(db):
    """An arrival is with the clerks, then with the leaders who are asked, then with the lead; what is finished, not yet late or another's is in none."""
    office = await Office(db).found_with_units()
    yesterday, today = "2026-11-29", "2026-11-30"
    for _ in range(2):
        await office.arrival(due=yesterday)
    await office.arrival(due=today)
    await office.arrival(due=None)
    await office.arrival(due=yesterday, organisation="o2")
    await office.arrival(due=yesterday, state="returned")
    asked = await office.arrival(due=yesterday, state="registered")
    answered = await office.arrival(due=yesterday, state="registered")
    for arrival, states in ((asked, ("open", "settled")), (answered, ("open", "acknowledged"))):
        for state in states:
            await office.run(
                "INSERT INTO notices (id, organisation, person, kind, urgency, collapse, revision, state, created_us, expires_us, about) VALUES ($1, 'o1', $2, 'to_direct', 1, '', 1, $3, 1, 1, $4)",
                office.id(), HEAD.id, state, f"arrival:{arrival}",
            )  # fmt: skip
    directed = await office.arrival(due=yesterday, state="registered")
    done = await office.arrival(due=yesterday, state="registered")
    await office.direct(directed, due=None, places=[(HEAD.id, "o1", "in_work"), (None, "o2", "assigned")])
    await office.direct(done, due=yesterday, state="completed", places=[(HEAD.id, "o1", "completed")])
    later = await office.arrival(due=today, state="registered")
    await office.direct(
        later, due=yesterday, places=[(None, "o2", "assigned"), (HEAD.id, "o1", "in_work"), (WORKER, "o1", "completed")]
    )
    await office.direct(later, due=today, places=[(HEAD.id, "o1", "assigned")])
    here = {(one.kind, one.unit): one.count for one in await office.overdue(HEAD)}
    assert here == {
        ("arrival", "Văn thư"): 2, ("arrival", "Lãnh đạo"): 1, ("arrival", "Người o1 · CHỦ TỊCH"): 1,
        ("directive", "Người o1 · CHỦ TỊCH"): 1, ("directive", "Xã Mẫu"): 1,
    }  # fmt: skip
    # The organisation that a direction names has it in its own report, too.
    below = {(one.kind, one.unit): one.count for one in await office.overdue(NEIGHBOUR)}
    assert below == {("arrival", "Văn thư"): 1, ("directive", "Xã Mẫu"): 1}
    picture = await office.reports.chart(HEAD, Chart.OVERDUE, NOVEMBER, Language.VIETNAMESE)
    assert "Văn bản đến: Văn thư" in picture
    assert "Ý kiến chỉ đạo: Xã Mẫu" in picture


class Recorder:
    """Passes reads on, and keeps them."""

    def __init__(self, db):
        self.db = db
        self.reads = []

    async def fetch_all(self, sql, *args):
        self.reads.append((sql, args))
        return await self.db.fetch_all(sql, *args)

    async def fetch_one(self, sql, *args):
        self.reads.append((sql, args))
        return await self.db.fetch_one(sql, *args)


async def test_no_report_reads_a_whole_table(sqlite_db):
    """Each goes through an index of the organisation or of the period, whatever the number of documents, packets and chains."""
    reads = Recorder(sqlite_db)
    await queries.issued(reads, HEAD, NOVEMBER)
    await queries.deliveries(reads, HEAD, NOVEMBER)
    await queries.durations(reads, HEAD, NOVEMBER)
    await queries.acknowledged(reads, HEAD, NOVEMBER)
    await queries.overdue_documents(reads, HEAD, NOW, HOLDERS[Language.ENGLISH])
    for late in (queries.late_arrivals, queries.late_directives, queries.late_dossiers):
        await late(reads, HEAD, NOVEMBER.last, HOLDERS[Language.ENGLISH])
    assert len(reads.reads) == 8
    for sql, args in reads.reads:
        plan = [row["detail"] for row in await sqlite_db.fetch_all(f"EXPLAIN QUERY PLAN {sql}", *args)]
        scans = [
            step
            for step in plan
            if step.startswith("SCAN")
            and not step.startswith(("SCAN ranked", "SCAN (subquery", "SCAN q", "SCAN held", "SCAN late"))
        ]
        assert scans == [], plan
        ranges = (
            "accepted_us>",
            "decided_us>",
            "started_us>",
            "state_due_us<",
            "dossiers_open",
            "due_date<",
        )
        assert any(one in step for one in ranges for step in plan), plan
