"""Deadlines of sending and receiving: computed with the working calendar, warned of before, reported after, each once."""

import datetime as dt

import msgspec
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from server.exchange.deadlines import receipt, registering, sending
from server.exchange.model import VIETNAM, PacketKind
from server.exchange.watch import DeadlineTasks
from server.notices.rules import Rules
from tests.unit.server.exchange.house import CLERK, House
from tests.unit.server.exchange.test_arrivals import Desk, Sender
from tests.unit.server.exchange.test_service_statuses import Sends, forwarded

RULES = Rules()
TIMES = st.integers(1_735_000_000, 2_000_000_000).map(lambda second: second * 1_000_000)


def at(text):
    """A local time in microseconds."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=VIETNAM).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("rule", "since", "urgency", "due"),
    [
        (sending, "2026-03-04T09:00", 0, "2026-03-05T12:00"),  # Wednesday: by Thursday's morning
        (sending, "2026-03-04T23:30", 0, "2026-03-05T12:00"),
        (sending, "2026-03-06T16:00", 0, "2026-03-09T12:00"),  # Friday: by Monday's morning
        (sending, "2026-02-13T16:00", 0, "2026-02-23T12:00"),  # before Tết: after it
        (sending, "2026-04-29T16:00", 0, "2026-05-04T12:00"),  # 30 April and 1 May, then a weekend
        (sending, "2026-03-06T16:00", 1, "2026-03-06T16:30"),  # urgent: at once, whatever the day (TIM-3)
        (registering, "2026-03-04T09:00", 0, "2026-03-05T17:00"),
        (registering, "2026-03-07T09:00", 0, "2026-03-09T17:00"),
        (registering, "2026-03-07T09:00", 3, "2026-03-07T09:30"),  # TIM-1
    ],
)
def test_documents_are_due_by_the_next_working_day(rule, since, urgency, due):
    assert rule(at(since), urgency, RULES).due_us == at(due)


@pytest.mark.parametrize(
    ("accepted", "due"),
    [
        ("2026-03-04T09:00", "2026-03-05T00:00"),  # within the day
        ("2026-03-04T18:00", "2026-03-06T00:00"),  # after office hours: within the next one
        ("2026-03-06T18:00", "2026-03-10T00:00"),
        ("2026-03-07T10:00", "2026-03-10T00:00"),  # on a Saturday
    ],
)
def test_a_receipt_is_due_within_the_day(accepted, due):
    """TIM-5."""
    assert receipt(at(accepted), RULES).due_us == at(due)


def test_an_organisation_says_itself_what_its_days_are():
    """TIM-7: exchanged working days are data."""
    rules = Rules(days={"2026-03-07": True, "2026-03-09": False})
    assert sending(at("2026-03-06T16:00"), 0, rules).due_us == at("2026-03-07T12:00")
    assert sending(at("2026-03-07T16:00"), 0, rules).due_us == at("2026-03-10T12:00")


@given(TIMES, st.integers(0, 4))
def test_a_warning_lies_between_the_beginning_and_the_end(since_us, urgency):
    for deadline in (
        sending(since_us, urgency, RULES),
        registering(since_us, urgency, RULES),
        receipt(since_us, RULES),
    ):
        assert since_us < deadline.warn_us < deadline.due_us


@given(TIMES, TIMES)
def test_what_was_signed_later_is_not_due_earlier(one_us, other_us):
    first, second = sorted((one_us, other_us))
    assert sending(first, 0, RULES).due_us <= sending(second, 0, RULES).due_us
    assert receipt(first, RULES).due_us <= receipt(second, RULES).due_us


@pytest_asyncio.fixture
async def house(db, tmp_path, clock, stage):
    house = House(db, tmp_path, clock, stage.client("X01"))
    await house.found()
    return house


async def told(house):
    rows = await house.db.fetch_all(
        "SELECT kind, about, person FROM notices WHERE kind LIKE 'deadline%' ORDER BY created_us, id"
    )
    assert {row["person"] for row in rows} <= {CLERK}
    return [(row["kind"], row["about"].rpartition(":")[2]) for row in rows]


@pytest.mark.asyncio
async def test_each_deadline_is_warned_of_and_reported_once_and_settled_ones_never(house, stage, tmp_path):
    """TIM-2, TIM-4, TIM-5 on both engines: by clerks' notices, the log and the feed."""
    clock = house.clock
    watch = DeadlineTasks(house.db, clock)
    desk = Desk(house, Sender(stage, tmp_path))
    clock.advance((at("2027-03-03T09:00") - clock.now_us()) / 1e6)  # a Wednesday
    sent = await forwarded(house, "1", ("X02", "X03"))
    await Sends(stage, tmp_path)("X02", "01", number="1")
    await house.exchange.poll(PacketKind.STATUS)
    [arrival] = await desk.take(desk.sender.document("3", urgency=0))
    waiting = await house.sealed("2", urgency=0)
    assert await watch.look() == 0

    async def until(text):
        clock.advance((at(text) - clock.now_us()) / 1e6)
        return [await watch.look(), await watch.look()]

    assert await until("2027-03-03T22:30") == [1, 0]
    assert await told(house) == [("deadline_near", "TIM-5")]
    assert await until("2027-03-04T00:01") == [1, 0]
    assert await until("2027-03-04T10:30") == [1, 0]
    assert await until("2027-03-04T12:01") == [1, 0]
    await desk.judge(arrival)
    await desk.register(arrival)  # before its own warning
    assert await until("2027-03-09T12:00") == [0, 0]
    assert await told(house) == [
        ("deadline_near", "TIM-5"), ("deadline_missed", "TIM-5"), ("deadline_near", "TIM-4"), ("deadline_missed", "TIM-4"),
    ]  # fmt: skip
    rows = await house.db.fetch_all(
        "SELECT subject, body FROM audit_events WHERE kind LIKE '%deadline_missed' ORDER BY id"
    )
    bodies = [(row["subject"], msgspec.json.decode(row["body"])) for row in rows]
    assert [(subject, body["rule"]) for subject, body in bodies] == [(sent, "TIM-5"), (waiting, "TIM-4")]
    assert bodies[0][1]["receivers"] == ["X03"]
    assert [kind for kind, _, _ in await house.changes(sent)][-1] == "document.deadline_missed"


@pytest.mark.asyncio
async def test_an_urgent_arrival_is_due_at_once(sqlite_db, clock, stage, tmp_path):
    """TIM-1: also at night, and where the grade is unknown."""
    house = House(sqlite_db, tmp_path, clock, stage.client("X01"))
    await house.found()
    desk = Desk(house, Sender(stage, tmp_path))
    clock.advance((at("2027-03-06T23:00") - clock.now_us()) / 1e6)
    await desk.take(desk.sender.document("1", urgency=2), desk.sender.document("2", urgency=9))
    clock.advance(16 * 60)
    watch = DeadlineTasks(house.db, clock)
    assert await watch.look() == 2
    clock.advance(15 * 60)
    assert await watch.look() == 2
    assert sorted(await told(house)) == [("deadline_missed", "TIM-1")] * 2 + [("deadline_near", "TIM-1")] * 2
