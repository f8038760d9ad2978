"""Notices and their chains on both engines: what is told, to whom, when; and that nothing is lost, doubled or sent too late.

Longer than most: notices and the chains that begin with them share their people and their clock.
"""

import base64
import json
import os
import unicodedata
import uuid

import pytest

from push.model import Address, AddressKind
from push.outcome import RetryAfter, RetryCause, TokenDead
from server.errors import Refused
from server.identity.model import Role
from server.jobs import Lane
from server.notices import chains
from server.notices.calendar import local_us
from server.notices.model import Course, DeviceEvent, Escalate, NoticeKind, OwnSettings, lifetime_us
from server.notices.rules import EXPRESS, Caps, Channel, Hours, Policy, Rules, Step, Target
from server.notices.service import notify, settle, withdraw
from server.notices.telling import courses
from tests.fakes.notices import ORGANISATION, House, another_device

pytestmark = pytest.mark.asyncio

ROUNDS = int(os.environ.get("TEST_ROUNDS", "0"))
MONDAY = local_us("2026-11-23T09:00")
MINUTE_US = 60_000_000
LEADER, DEPUTY, SECOND, DUTY, CLERK, BOSS = (digit * 32 for digit in "123456")


async def house_of(db, *, at_us=MONDAY):
    """A leader with two phones and a number, a deputy, the deputy's deputy, a duty officer, a clerk and an administrator."""
    house = House(db, at_us)
    house.leader = await house.person(LEADER, Role.LEADER, devices=2, phone="+84900000001")
    house.deputy = await house.person(DEPUTY, Role.LEADER)
    house.second = await house.person(SECOND, Role.LEADER)
    house.duty = await house.person(DUTY, Role.DUTY_OFFICER, email="truc@example.vn")
    house.clerk = await house.person(CLERK, Role.CLERK)
    house.boss = await house.person(BOSS, Role.ADMINISTRATOR)
    own = OwnSettings(quiet_from=None, quiet_to=None, deputy=DEPUTY, phone="+84900000001", email="")
    await house.arrangements.set_own(house.leader, own)
    return house


def receivers(house):
    """Addresses of all messages but the silent ones. What one step sends goes side by side, so only the report has an order."""
    return sorted(address for _, address, _, _, silent in house.sent if not silent)


ALL = sorted(
    [*[f"{LEADER}-0", f"{LEADER}-1"] * 2, "+84900000001", f"{DEPUTY}-0", f"{DUTY}-0", "truc@example.vn", f"{CLERK}-0"]
)


async def test_a_chain_that_nobody_stops_reaches_everybody_once(db):
    house = await house_of(db)
    (notice,) = await house.tell(LEADER)
    await house.work(until_us=MONDAY + 60 * MINUTE_US)
    assert receivers(house) == ALL
    report = await house.arrangements.told(house.duty, notice)
    assert report.chain["state"] == "exhausted"
    minutes = [
        ((row["at_us"] - MONDAY) / MINUTE_US, row["person"], row["channel"], row["outcome"]) for row in report.lines
    ]
    assert minutes == [
        (0, LEADER, "fcm", "accepted"), (0, LEADER, "fcm", "accepted"), (5, LEADER, "fcm", "accepted"), (5, LEADER, "fcm", "accepted"),
        (7, LEADER, "sms", "accepted"), (10, DEPUTY, "fcm", "accepted"), (15, DUTY, "email", "accepted"), (15, DUTY, "fcm", "accepted"),
        (20, CLERK, "fcm", "accepted"),
    ]  # fmt: skip
    kinds = await db.fetch_all("SELECT person, kind, headline, document FROM notices WHERE origin = $1", notice)
    assert {(row["person"], row["kind"]) for row in kinds} == {
        (DEPUTY, "standing_in"),
        (DUTY, "standing_in"),
        (CLERK, "unanswered"),
    }
    assert all(row["headline"].startswith("Người 1") and row["document"] is None for row in kinds)


@pytest.mark.parametrize("commit", ["before", "after"])
async def test_a_worker_that_dies_between_any_two_steps_loses_nothing(sqlite_db, commit):
    """One chain for each commit that a worker makes: it dies there, another takes over, and the same people are told."""
    house = await house_of(sqlite_db)
    died = 0
    for number in range(1, 200):
        house.sent.clear()
        house.transactions, house.dies_before, house.dies_after = (
            0,
            number * (commit == "before"),
            number * (commit == "after"),
        )
        start_us = house.clock.now_us()
        (notice,) = await house.tell(LEADER)
        await house.work(until_us=start_us + 60 * MINUTE_US)
        if house.transactions < number:
            break
        died += 1
        got = receivers(house)
        # Only a push whose answer was not yet stored may be there twice, under the same id.
        assert set(got) == set(ALL), number
        assert len(ALL) <= len(got) <= len(ALL) + 2, number
        report = await house.arrangements.told(house.duty, notice)
        assert [row["outcome"] for row in report.lines] == ["accepted"] * len(ALL), number
        assert report.chain["state"] == "exhausted"
    assert died > 12


async def test_an_acknowledgement_stops_everything_also_what_is_queued(db):
    house = await house_of(db)
    (notice,) = await house.tell(LEADER)
    await house.work(until_us=MONDAY + 4 * MINUTE_US)
    house.sent.clear()

    async def acknowledge():
        house.before_send = None
        await house.notices.acknowledge(house.leader, notice)

    # The step's deliveries are queued and claimed; the acknowledgement comes before they are sent.
    house.before_send = acknowledge
    await house.work(until_us=MONDAY + 120 * MINUTE_US)
    assert receivers(house) == []
    # The phone where it was acknowledged keeps quiet, the other one takes the notification away.
    assert [(address, silent) for _, address, _, _, silent in house.sent] == [(f"{LEADER}-1", True)]
    report = await house.arrangements.told(house.duty, notice)
    assert report.chain["state"] == "stopped"
    assert [row["outcome"] for row in report.lines] == ["accepted", "accepted", "superseded", "superseded"]


async def test_a_deputy_acknowledges_for_the_leader_and_the_rest_is_not_told(db):
    house = await house_of(db)
    (notice,) = await house.tell(LEADER)
    await house.work(until_us=MONDAY + 16 * MINUTE_US)
    mine = (await house.notices.listing(house.deputy, before=(2**62, ""), limit=9))[0]
    await house.notices.acknowledge(house.deputy, mine["id"])
    await house.work(until_us=MONDAY + 120 * MINUTE_US)
    assert f"{CLERK}-0" not in receivers(house)
    report = await house.arrangements.told(house.leader, notice)
    assert (report.chain["state"], report.notice["state"]) == ("stopped", "open")
    theirs = (await house.notices.listing(house.duty, before=(2**62, ""), limit=9))[0]
    assert theirs["state"] == "settled"
    assert (f"{DUTY}-0", True) in [(address, silent) for _, address, _, _, silent in house.sent]


async def test_the_sender_who_hears_that_nobody_acknowledged_stops_nothing(sqlite_db):
    house = await house_of(sqlite_db)
    (notice,) = await house.tell(LEADER)
    await house.work(until_us=MONDAY + 30 * MINUTE_US)
    heard = (await house.notices.listing(house.clerk, before=(2**62, ""), limit=9))[0]
    await house.notices.acknowledge(house.clerk, heard["id"])
    theirs = (await house.notices.listing(house.duty, before=(2**62, ""), limit=9))[0]
    assert theirs["state"] == "open"
    assert (await house.arrangements.told(house.duty, notice)).chain["state"] == "exhausted"
    await house.notices.acknowledge(house.duty, theirs["id"])
    assert (await house.arrangements.told(house.duty, notice)).chain["state"] == "stopped"


async def test_many_duty_officers_and_clerks_leave_no_deputy_out(sqlite_db):
    house = await house_of(sqlite_db)
    for number in range(100, 170):
        await house.person(f"{number:032x}", Role.CLERK, devices=0)
    await house.tell(LEADER)
    await house.work(until_us=MONDAY + 11 * MINUTE_US)
    assert f"{DEPUTY}-0" in receivers(house)


async def test_leave_travel_and_a_deputy_who_is_away_too(sqlite_db):
    house = await house_of(sqlite_db, at_us=local_us("2026-02-15T10:00"))
    start_us = house.clock.now_us()
    times = {"from_us": start_us, "to_us": local_us("2026-02-23T00:00")}
    await house.arrangements.set_absence(house.leader, kind="travel", deputy=DEPUTY, **times)
    await house.tell(LEADER)
    await house.work(until_us=start_us + 9 * MINUTE_US)
    assert f"{DEPUTY}-0" not in receivers(house)  # who travels reads on the phone
    await house.work(until_us=start_us + 60 * MINUTE_US)
    house.sent.clear()
    await house.arrangements.set_absence(house.leader, kind="leave", deputy=DEPUTY, **times)
    await house.arrangements.set_absence(house.deputy, kind="leave", deputy=SECOND, **times)
    await house.tell(LEADER)
    await house.work()
    assert receivers(house) == [f"{LEADER}-0", f"{LEADER}-1", f"{SECOND}-0"]
    house.sent.clear()
    house.clock.advance((local_us("2026-02-23T08:00") - house.clock.now_us()) / 1e6)
    await house.tell(LEADER)
    await house.work()
    assert receivers(house) == [f"{LEADER}-0", f"{LEADER}-1"]  # both are back, by the calendar alone


async def test_what_waits_for_a_signature_over_tet_escalates_when_work_begins_again(sqlite_db):
    house = await house_of(sqlite_db, at_us=local_us("2026-02-13T16:45"))
    policy = Policy(urgency=1, steps=EXPRESS.steps[-3:], working_time=True)
    await house.arrangements.set_rules(house.boss, Rules(policies=(policy,), work=Hours(start=480, end=1000)))
    values = {"document": "d" * 32, "kind": "to_sign", "urgency": 1, "now_us": house.clock.now_us()}
    await sqlite_db.transact(lambda tx: notify(tx, organisation=ORGANISATION, people=[LEADER], **values))
    await house.work(until_us=local_us("2026-02-23T08:00"))
    assert receivers(house) == [f"{LEADER}-0", f"{LEADER}-1"]
    await house.work(until_us=local_us("2026-02-23T10:00"))
    assert {f"{DEPUTY}-0", f"{DUTY}-0", f"{CLERK}-0"} <= set(receivers(house))


async def test_what_arrives_on_a_saturday_is_pushed_when_work_begins_again(sqlite_db):
    house = await house_of(sqlite_db, at_us=local_us("2026-11-21T09:00"))
    await house.arrangements.set_rules(house.boss, Rules(quiet=Hours(start=0, end=450), quiet_off_days=True))
    expires_us = house.clock.now_us() + lifetime_us(NoticeKind.ARRIVED)
    await house.tell(CLERK, urgency=0, kind=NoticeKind.ARRIVED, expires_us=expires_us)
    await house.work(until_us=local_us("2026-11-23T07:29"))
    assert receivers(house) == []
    await house.work(until_us=local_us("2026-11-23T07:31"))
    assert receivers(house) == [f"{CLERK}-0"]


async def test_where_the_named_duty_officers_have_left_the_administrators_are_told(sqlite_db):
    house = await house_of(sqlite_db)
    policy = Policy(urgency=3, steps=EXPRESS.steps, duty=(SECOND,))
    await house.arrangements.set_rules(house.boss, Rules(policies=(policy,)))
    await sqlite_db.transact(lambda tx: tx.execute("UPDATE people SET state = 'left' WHERE id = $1", SECOND))
    await house.tell(LEADER)
    await house.work(until_us=MONDAY + 16 * MINUTE_US)
    assert f"{BOSS}-0" in receivers(house)


@pytest.mark.parametrize("duty", [(), (BOSS, "f" * 32)])
async def test_rules_whose_chain_ends_with_nobody_are_refused(sqlite_db, duty):
    house = await house_of(sqlite_db)
    await sqlite_db.transact(lambda tx: tx.execute("DELETE FROM roles WHERE role = 'duty_officer'"))
    with pytest.raises(Refused) as refused:
        await house.arrangements.set_rules(
            house.boss, Rules(policies=(Policy(urgency=3, steps=EXPRESS.steps, duty=duty),))
        )
    assert refused.value.code == "escalation-ends-with-nobody"


async def test_a_later_revision_supersedes_what_is_queued_and_acknowledges_nothing(db):
    house = await house_of(db)
    about = f"meeting:{uuid.uuid4().hex}"
    (first,) = await house.tell(DEPUTY, urgency=1, about=about)
    (second,) = await house.tell(DEPUTY, urgency=1, about=about, revision=2, kind=NoticeKind.MEETING_CHANGED)
    (late,) = await house.tell(DEPUTY, urgency=1, about=about, revision=1)
    await house.work()
    assert [notice for _, _, _, notice, _ in house.sent] == [second]
    states = {row["id"]: row["state"] for row in await db.fetch_all("SELECT id, state FROM notices")}
    assert states == {first: "superseded", second: "open", late: "superseded"}
    payloads = house.transports["fcm"]
    ((_, payload),) = next(recorder.sent for recorder in payloads.values() if recorder.sent)
    assert (payload.data["r"], len(payload.collapse_id)) == ("2", 32)
    assert about.partition(":")[2] not in payload.collapse_id
    await house.notices.acknowledge(house.deputy, first)
    (third,) = await house.tell(DEPUTY, urgency=1, about=about, revision=3)
    assert {row["id"]: row["state"] for row in await db.fetch_all("SELECT id, state FROM notices")}[third] == "open"


async def running(db, notice):
    row = await db.fetch_one("SELECT state, position, next_us FROM escalations WHERE notice = $1", notice)
    return row["state"], row["position"], row["next_us"]


async def state(db, notice):
    return (await db.fetch_one("SELECT state FROM notices WHERE id = $1", notice))["state"]


async def test_what_is_overtaken_or_taken_back_ends_its_chain_at_once(db):
    """Also for whoever was told in another's place: their phones take it away."""
    house = await house_of(db)
    about = f"meeting:{uuid.uuid4().hex}"
    (first,) = await house.tell(LEADER, about=about)
    (again,) = await house.tell(LEADER, about=about)  # the same revision once more: the later one counts
    assert (await state(db, first), await running(db, first)) == ("superseded", ("stopped", 0, None))
    await house.work(until_us=MONDAY + 16 * MINUTE_US)
    house.sent.clear()
    changes = {"organisation": ORGANISATION, "about": about, "now_us": house.clock.now_us()}
    assert await db.transact(lambda tx: settle(tx, kinds={NoticeKind.TO_SIGN}, **changes)) == 0
    assert (await running(db, again))[0] == "running"
    assert await db.transact(lambda tx: withdraw(tx, **changes)) == 1
    assert (await state(db, again), (await running(db, again))[::2]) == ("withdrawn", ("stopped", None))
    rows = await db.fetch_all("SELECT person, state FROM notices WHERE origin = $1", again)
    assert {(row["person"], row["state"]) for row in rows} == {(DEPUTY, "settled"), (DUTY, "settled")}
    await house.work(until_us=MONDAY + 60 * MINUTE_US)
    cleared = [f"{DEPUTY}-0", f"{DUTY}-0", f"{LEADER}-0", f"{LEADER}-1"]
    assert sorted((address, silent) for _, address, _, _, silent in house.sent) == [
        (one, True) for one in cleared[2:] + cleared[:2]
    ]


async def test_a_step_is_taken_once_and_none_after_the_notice_has_ended(sqlite_db):
    """A job that comes a second time finds the chain elsewhere; a meeting that has begun waits for no deputy."""
    house = await house_of(sqlite_db)
    (notice,) = await house.tell(LEADER)
    (over,) = await house.tell(LEADER, expires_us=MONDAY + 8 * MINUTE_US)
    await house.work(until_us=MONDAY + 6 * MINUTE_US)
    before = await running(sqlite_db, notice)
    assert before == ("running", 1, MONDAY + 7 * MINUTE_US)
    twice = Escalate(notice=notice, position=0)
    await sqlite_db.transact(lambda tx: chains.step(tx, twice, tuple(house.transports), house.clock.now_us()))
    assert await running(sqlite_db, notice) == before
    await house.work(until_us=MONDAY + 11 * MINUTE_US)
    assert await running(sqlite_db, over) == ("stopped", 2, None)
    rows = await sqlite_db.fetch_all("SELECT origin FROM notices WHERE person = $1", DEPUTY)
    assert [row["origin"] for row in rows] == [notice]


async def test_the_steps_of_chains_are_within_the_caps_too(sqlite_db):
    """C13: a push above waits for the next hour, a message above is not sent and the report says so."""
    house = await house_of(sqlite_db)
    await house.arrangements.set_rules(house.boss, Rules(caps=Caps(express=2, second=1)))
    notices = await house.tell(LEADER, LEADER)
    await house.work(until_us=MONDAY + 9 * MINUTE_US)
    assert receivers(house) == sorted(["+84900000001", *[f"{LEADER}-0", f"{LEADER}-1"] * 2])
    reports = [await house.arrangements.told(house.duty, notice) for notice in notices]
    outcomes = sorted((row["channel"], row["outcome"]) for report in reports for row in report.lines)
    assert outcomes == sorted([("fcm", "accepted"), ("fcm", "held")] * 4 + [("sms", "accepted"), ("sms", "over-cap")])
    await house.work(until_us=MONDAY + 61 * MINUTE_US)
    assert receivers(house).count(f"{LEADER}-0") == 4


async def test_the_deputy_of_an_absence_goes_before_the_standing_one(sqlite_db):
    house = await house_of(sqlite_db)
    times = {"from_us": MONDAY, "to_us": MONDAY + 600 * MINUTE_US}
    await house.arrangements.set_absence(house.leader, kind="leave", deputy=SECOND, **times)
    await house.tell(LEADER)
    await house.work(until_us=MONDAY + MINUTE_US)
    assert receivers(house) == [f"{LEADER}-0", f"{LEADER}-1", f"{SECOND}-0"]


async def test_who_sent_it_to_himself_is_not_told_that_he_did_not_answer(sqlite_db):
    house = await house_of(sqlite_db)
    (notice,) = await house.tell(LEADER, sender=LEADER)
    await house.work(until_us=MONDAY + 30 * MINUTE_US)
    assert (await house.arrangements.told(house.duty, notice)).lines[-1]["outcome"] == "no-sender"
    rows = await sqlite_db.fetch_all("SELECT kind FROM notices WHERE person = $1", LEADER)
    assert [row["kind"] for row in rows] == ["meeting_invited"]


async def test_as_many_as_an_hour_allows_are_pushed_when_quiet_hours_end(sqlite_db):
    house = await house_of(sqlite_db, at_us=local_us("2026-11-23T23:00"))
    await house.arrangements.set_rules(house.boss, Rules(quiet=Hours(start=1320, end=360), caps=Caps(normal=2)))
    held = await house.tell(DEPUTY, DEPUTY, urgency=0, kind=NoticeKind.ACCEPTED)
    await house.work(until_us=local_us("2026-11-24T06:00"))
    assert sorted(notice for _, _, _, notice, _ in house.sent) == sorted(held)


async def test_what_was_revoked_or_left_meanwhile_is_pushed_nothing(sqlite_db):
    """C14: of devices and people, as they stand when it is sent."""
    house = await house_of(sqlite_db)
    await house.tell(DEPUTY, SECOND, CLERK, urgency=1)

    async def gone(tx):
        await tx.execute("UPDATE devices SET state = 'revoked' WHERE person = $1", DEPUTY)
        await tx.execute("UPDATE people SET state = 'left' WHERE id = $1", SECOND)

    await sqlite_db.transact(gone)
    await house.work()
    assert receivers(house) == [f"{CLERK}-0"]
    (later,) = await house.tell(DEPUTY, urgency=1)
    assert await sqlite_db.fetch_all("SELECT id FROM deliveries WHERE notice = $1", later) == []


async def test_whoever_stands_in_stops_what_is_queued_for_the_leader(sqlite_db):
    """His own notice stays open, and no step of the chain is pushed for it any more."""
    house = await house_of(sqlite_db)
    steps = tuple(
        Step(after_s=60, target=target, channel=Channel.PUSH)
        for target in (Target.DEPUTY, Target.PERSON, Target.DUTY_OFFICER)
    )
    await house.arrangements.set_rules(house.boss, Rules(policies=(Policy(urgency=3, steps=steps),)))
    (notice,) = await house.tell(LEADER)
    await house.work(until_us=MONDAY + MINUTE_US + 1)
    house.sent.clear()
    (mine,) = await house.notices.listing(house.deputy, before=(2**62, ""), limit=9)

    async def acknowledge():
        house.before_send = None
        await house.notices.acknowledge(house.deputy, mine["id"])

    house.before_send = acknowledge
    await house.work(until_us=MONDAY + 9 * MINUTE_US)
    assert house.before_send is None, "the leader's step was queued"
    assert (house.sent, await state(sqlite_db, notice)) == ([], "open")


async def test_of_several_clerks_one_answers_for_all_but_everybody_for_himself_alone(sqlite_db):
    """One seal is one deed, whoever does it; an invitation is each one's own."""
    house = await house_of(sqlite_db)
    for kind, stopped in ((NoticeKind.TO_SEAL, "stopped"), (NoticeKind.MEETING_INVITED, "running")):
        mine, other = await house.tell(CLERK, SECOND, kind=kind, about=f"x:{kind.value}")
        await house.notices.acknowledge(house.clerk, mine)
        assert [(await running(sqlite_db, one))[0] for one in (mine, other)] == ["stopped", stopped]
        assert await state(sqlite_db, other) == "open"


async def test_what_was_read_is_taken_away_in_quiet_hours_too(sqlite_db):
    house = await house_of(sqlite_db, at_us=local_us("2026-11-23T21:00"))
    await house.arrangements.set_rules(house.boss, Rules(quiet=Hours(start=1320, end=360)))
    (notice,) = await house.tell(LEADER, urgency=0, kind=NoticeKind.ACCEPTED)
    await house.work(until_us=local_us("2026-11-23T23:00"))
    house.sent.clear()
    await house.notices.acknowledge(house.leader, notice)
    await house.work()
    assert [(address, silent) for _, address, _, _, silent in house.sent] == [(f"{LEADER}-1", True)]


async def test_whose_leave_was_ended_is_waited_for_again(sqlite_db):
    house = await house_of(sqlite_db)
    times = {"from_us": MONDAY, "to_us": MONDAY + 600 * MINUTE_US}
    await house.arrangements.set_absence(house.leader, kind="leave", deputy=DEPUTY, **times)
    await house.arrangements.end_absence(house.leader)
    await house.tell(LEADER)
    await house.work(until_us=MONDAY + 4 * MINUTE_US)
    assert receivers(house) == [f"{LEADER}-0", f"{LEADER}-1"]


async def test_what_ends_before_it_is_sent_is_not_sent(db):
    house = await house_of(db)
    (over,) = await house.tell(DEPUTY, urgency=1, expires_us=MONDAY + MINUTE_US)
    (taken_back,) = await house.tell(SECOND, urgency=1, about="meeting:" + "a" * 32)
    (answered,) = await house.tell(CLERK, urgency=1, about="meeting:" + "a" * 32)
    changes = {"organisation": ORGANISATION, "about": "meeting:" + "a" * 32, "now_us": MONDAY}
    await db.transact(lambda tx: settle(tx, people={CLERK}, **changes))
    await db.transact(lambda tx: withdraw(tx, **changes))
    house.clock.advance(120)
    await house.work()
    assert house.sent == []
    rows = await db.fetch_all(
        "SELECT n.id, n.state, y.state AS delivery FROM notices n JOIN deliveries y ON y.notice = n.id"
    )
    found = {row["id"]: (row["state"], row["delivery"]) for row in rows}
    assert found == {
        over: ("open", "expired"),
        taken_back: ("withdrawn", "superseded"),
        answered: ("settled", "superseded"),
    }


async def test_a_storm_is_capped_and_nothing_is_lost(db):
    """C13: pushes up to the cap, all in the inbox, one more push when the hour is over; urgent ones have their own budget. The soak has 10,000 in a minute."""
    storm = max(40, 100 * ROUNDS)
    house = await house_of(db)
    await house.arrangements.set_rules(house.boss, Rules(caps=Caps(normal=5, urgent=7)))
    for _ in range(storm // 10):
        await house.tell(*[DEPUTY] * 10, urgency=0, kind=NoticeKind.ACCEPTED)
        house.clock.advance(600 / storm)
    await house.tell(*[DEPUTY] * 3, urgency=1)
    await house.work()
    assert [lane for _, _, lane, _, _ in house.sent].count("n") == 5
    assert [lane for _, _, lane, _, _ in house.sent].count("u") == 3
    inbox, before = set(), (2**62, "")
    while page := await house.notices.listing(house.deputy, before=before, limit=200):
        inbox |= {row["id"] for row in page}
        before = (page[-1]["created_us"], page[-1]["id"])
    assert len(inbox) == storm + 3
    await house.work(until_us=MONDAY + 600 * MINUTE_US)
    assert [lane for _, _, lane, _, _ in house.sent].count("n") == 6
    states = [row["state"] for row in await db.fetch_all("SELECT state FROM deliveries ORDER BY state")]
    assert states == ["accepted"] * 9 + ["folded"] * (storm - 6)


async def test_after_a_storm_the_most_urgent_notice_is_the_one_that_is_pushed(sqlite_db):
    house = await house_of(sqlite_db)
    await house.arrangements.set_rules(house.boss, Rules(caps=Caps(urgent=2), policies=()))
    await house.tell(*[DEPUTY] * 3, urgency=1)
    (urgent,) = await house.tell(DEPUTY, urgency=2)
    await house.tell(*[DEPUTY] * 3, urgency=1)
    await house.work(until_us=MONDAY + 61 * MINUTE_US)
    assert [notice for _, _, _, notice, _ in house.sent][2:] == [urgent]


async def test_a_storm_of_urgent_notices_leaves_express_ones_their_pushes(db):
    """C13: each grade's storm is its own, is released by itself at the end of its own hour, and folds nothing of the other."""
    house = await house_of(db)
    await house.arrangements.set_rules(house.boss, Rules(caps=Caps(urgent=2, express=2), policies=()))
    await house.tell(*[DEPUTY] * 5, urgency=1)
    await house.work()
    assert len(house.sent) == 2
    house.clock.advance(1800)
    express = await house.tell(*[DEPUTY] * 4)
    await house.work()
    assert sorted(notice for _, _, _, notice, _ in house.sent[2:]) == sorted(express[:2])
    # An hour after it began the first storm ends with one push; what is held of the second stays held.
    await house.work(until_us=MONDAY + 61 * MINUTE_US)
    assert len(house.sent) == 5
    rows = await db.fetch_all(
        "SELECT y.state FROM deliveries y JOIN notices n ON n.id = y.notice AND n.urgency = 3 ORDER BY 1"
    )
    assert [row["state"] for row in rows] == ["accepted", "accepted", "held", "held"]
    await house.work(until_us=MONDAY + 91 * MINUTE_US)
    assert sorted(notice for _, _, _, notice, _ in house.sent[5:]) == sorted(express[2:])
    assert (await db.fetch_one("SELECT count(*) AS n FROM deliveries WHERE state = 'held'"))["n"] == 0


async def test_a_chain_whose_job_is_gone_goes_on_and_none_goes_twice(db):
    """A job that was buried (D14) left its chain running and nobody told; the sweep gives it a new one, and others keep theirs."""
    house = await house_of(db)
    (lost,) = await house.tell(LEADER)
    (other,) = await house.tell(SECOND)
    await db.transact(
        lambda tx: tx.execute(
            "UPDATE jobs SET state = 'buried', dedupe_key = NULL WHERE kind = 'notices.escalate' AND payload LIKE '%' || $1 || '%'", lost
        )
    )  # fmt: skip
    await house.work(until_us=MONDAY + 5 * MINUTE_US + MINUTE_US // 2)
    before = len(house.sent)
    await house.tasks.rearm(None, None)
    await house.work()
    assert len(house.sent) == before  # half a minute late is not gone yet
    await house.work(until_us=MONDAY + 6 * MINUTE_US + MINUTE_US // 2)
    for _ in range(2):
        await house.tasks.rearm(None, None)
    await house.work(until_us=MONDAY + 60 * MINUTE_US)
    for notice in (lost, other):
        report = await house.arrangements.told(house.duty, notice)
        assert report.chain["state"] == "exhausted"
        steps = [row["step"] for row in report.lines if row["person"] in (LEADER, SECOND) and row["step"] == 1]
        assert len(steps) == (2 if notice == lost else 1)


async def test_the_end_of_a_storm_comes_although_two_clocks_differ(db):
    """D7: the database's clock, by which jobs are due, runs a second ahead of this machine's."""
    house = await house_of(db)
    await house.arrangements.set_rules(house.boss, Rules(caps=Caps(normal=5)))
    await house.tell(*[DEPUTY] * 8, urgency=0, kind=NoticeKind.ACCEPTED)
    await house.work()
    house.clock.advance(3599)
    await db.transact(lambda tx: tx.execute("UPDATE jobs SET due_us = 1 WHERE kind = 'notices.release'"))
    await house.work()
    assert len(receivers(house)) == 5
    await house.work(until_us=MONDAY + 61 * MINUTE_US)
    assert len(receivers(house)) == 8
    assert (await db.fetch_one("SELECT count(*) AS n FROM jobs"))["n"] == 0


async def test_quiet_hours_hold_and_deliver_at_their_end_to_the_devices_of_then(db):
    house = await house_of(db, at_us=local_us("2026-11-23T21:00"))
    await house.arrangements.set_rules(house.boss, Rules(quiet=Hours(start=1320, end=360)))
    own = OwnSettings(quiet_from=1200, quiet_to=420, deputy=None, phone="", email="")
    await house.arrangements.set_own(house.deputy, own)
    (quiet,) = await house.tell(DEPUTY, urgency=0, kind=NoticeKind.ACCEPTED)
    (gone,) = await house.tell(DEPUTY, urgency=0, about="meeting:" + "b" * 32)
    (urgent,) = await house.tell(DEPUTY, urgency=1)
    await house.tell(SECOND, urgency=0, kind=NoticeKind.ACCEPTED)
    await house.work(until_us=local_us("2026-11-24T06:59"))
    assert [(address, notice) for _, address, _, notice, _ in house.sent if address.startswith(DEPUTY)] == [
        (f"{DEPUTY}-0", urgent)
    ]
    assert f"{SECOND}-0" in receivers(house)  # at nine in the evening the organisation's hours have not begun
    await db.transact(
        lambda tx: withdraw(tx, organisation=ORGANISATION, about="meeting:" + "b" * 32, now_us=house.clock.now_us())
    )
    await another_device(db, DEPUTY)
    await house.work(until_us=local_us("2026-11-24T07:00"))
    assert [(address, notice) for _, address, _, notice, _ in sorted(house.sent[-2:])] == [
        (f"{DEPUTY}-0", quiet),
        (f"{DEPUTY}-1", quiet),
    ]
    row = await db.fetch_one("SELECT state FROM deliveries WHERE notice = $1", gone)
    assert row["state"] == "superseded"


async def test_a_broadcast_is_some_jobs_and_each_address_has_its_own_outcome(db):
    house = await house_of(db)
    people = [f"{number:032x}" for number in range(100, 160)]
    for person in people:
        await house.person(person)
    bulk = house.transports["fcm"]["b"]

    def address(person):
        return Address(kind=AddressKind.TOKEN, value=f"{person}-0")

    bulk.script(address(people[3]), [TokenDead("unregistered")])
    bulk.script(address(people[4]), [RetryAfter(RetryCause.UNAVAILABLE, 30.0)])
    notices = await house.tell(*people, urgency=0, lane=Lane.BULK, about="meeting:" + "c" * 32)
    count = await db.fetch_one("SELECT count(*) AS n FROM jobs")
    assert count["n"] == 2
    await house.work(until_us=MONDAY + 5 * MINUTE_US)
    assert len(bulk.sent) == 59
    rows = await db.fetch_all(
        "SELECT y.state, y.attempts, n.person FROM deliveries y JOIN notices n ON n.id = y.notice ORDER BY n.person"
    )
    assert [row["state"] for row in rows] == ["accepted"] * 3 + ["dead"] + ["accepted"] * 56
    assert [row["attempts"] for row in rows] == [1] * 4 + [2] + [1] * 55
    assert len(set(notices)) == 60
    assert (await db.fetch_one("SELECT count(*) AS n FROM jobs"))["n"] == 0


async def test_a_broadcast_wakes_nobody_whatever_its_grade(sqlite_db):
    """Or phones would lower the app's priority, and what is urgent would come late."""
    house = await house_of(sqlite_db)
    await house.tell(DEPUTY, urgency=1, lane=Lane.BULK)
    await house.tell(DEPUTY, urgency=1)
    await house.tell(DEPUTY, urgency=0)
    await house.work()
    woken = {lane.value: [one.wakes for _, one in recorder.sent] for lane, recorder in house.transports["fcm"].items()}
    assert woken == {"u": [True], "n": [False], "b": [False]}


async def test_what_devices_report_is_kept_once_and_not_from_the_future(sqlite_db):
    """NOT-4: an organiser sees who has seen it; a phone's clock may be wrong."""
    house = await house_of(sqlite_db)
    about = f"meeting:{uuid.uuid4().hex}"
    first, second = await house.tell(DEPUTY, SECOND, urgency=1, about=about)
    await house.work()
    house.clock.advance(60)
    now_us = house.clock.now_us()
    told = [(first, DeviceEvent.RECEIVED, now_us - 5), (first, DeviceEvent.SHOWN, now_us + 10**9)]
    assert [await house.notices.report(house.deputy, told) for _ in range(2)] == [2, 0]
    found = await courses(sqlite_db, ORGANISATION, about, 1)
    assert found == {DEPUTY: Course(MONDAY, now_us - 5, now_us), SECOND: Course(MONDAY, None, None)}
    await house.notices.acknowledge(house.second, second)
    assert (await courses(sqlite_db, ORGANISATION, about, 1))[SECOND].seen_us == now_us


async def test_nothing_of_content_leaves_by_any_channel(sqlite_db):
    """C12: headline, names and subject of everything told, looked for in every outgoing value, in each way that it may be written."""
    house = await house_of(sqlite_db)
    subject = "meeting:" + "d" * 32
    await house.tell(LEADER, headline="Phương án Điều động KHẨN-9143", about=subject)
    await house.work(until_us=MONDAY + 60 * MINUTE_US)
    sent = [pair for lanes in house.transports.values() for recorder in lanes.values() for pair in recorder.sent]
    assert len(sent) == len(ALL)
    outgoing = b"\n".join(json.dumps(_values(payload), ensure_ascii=False).encode() for _, payload in sent)
    for canary in ("Phương án Điều động", "KHẨN-9143", "Người 1", "d" * 32, LEADER, "CHUYÊN VIÊN"):
        for form in written(canary):
            assert form not in outgoing, canary
    assert any(
        form in outgoing for form in written("thông báo khẩn")
    )  # the neutral sentence is found, so a canary would be


def _values(payload):
    return {name: getattr(payload, name) for name in payload.__struct_fields__}


def written(text):
    """A text in each form that a channel may carry: UTF-8, JSON-escaped, composed and decomposed, base64 at each of three offsets."""
    for form in ("NFC", "NFD"):
        raw = unicodedata.normalize(form, text).encode()
        yield raw
        yield json.dumps(unicodedata.normalize(form, text)).strip('"').encode()
        for offset in range(3):
            whole = base64.b64encode(b"\0" * offset + raw)
            yield whole[4 if offset else 0 : len(whole) - 4]
