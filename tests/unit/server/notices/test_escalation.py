"""Escalation as a table: (time, what happened) → (who, by which channel), over a weekend, Tết, absences and acknowledgements (NOT-4)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.notices.calendar import add_working, local_us
from server.notices.escalation import ChainState, Member, Office, Way, advance, begin, stop
from server.notices.rules import EXPRESS, Channel, Hours, Policy, Rules, Step, Target, ends_at_a_person, usable

RULES = Rules()
LEADER, DEPUTY, SECOND, DUTY, RELIEF, SENDER = "leader", "deputy", "second deputy", "duty", "relief", "sender"
MEMBERS = {
    LEADER: Member(deputy=DEPUTY, phone=True),
    DEPUTY: Member(deputy=SECOND, phone=True),
    SECOND: Member(email=True),
    DUTY: Member(phone=True, email=True),
    RELIEF: Member(push=False, email=True),
    SENDER: Member(),
}


def office(on_duty=(DUTY, RELIEF), senders=(SENDER,), **changes):
    return Office(
        person=LEADER,
        members={**MEMBERS, **{name.replace("_", " "): one for name, one in changes.items()}},
        duty=on_duty,
        senders=senders,
    )


def clock(at_us, seconds):
    return at_us + seconds * 1_000_000


def run(policy, office_, start, *, stopped_at=None):
    """All lines of a chain that nobody or somebody stops, as (local time, person, way or reason)."""
    later = _working if policy.working_time else clock
    now_us = local_us(start)
    chain = begin(policy, office_, now_us, later)
    lines = []
    while chain.due_us is not None:
        now_us = chain.due_us
        if stopped_at is not None and now_us >= local_us(stopped_at):
            chain = stop(chain)
        chain, told = advance(chain, office_, now_us, later)
        lines += [
            (_local(now_us), line.person, line.way.value if line.outcome == "told" else line.outcome) for line in told
        ]
    return chain, lines


def _working(at_us, seconds):
    return add_working(at_us, seconds, RULES)


def _local(at_us):
    return (datetime.fromtimestamp(at_us // 1_000_000, UTC) + timedelta(hours=7)).strftime("%m-%d %H:%M")


URGENT = Policy(
    urgency=1,
    steps=(
        Step(after_s=1800, target=Target.PERSON, channel=Channel.ALL),
        Step(after_s=3600, target=Target.DEPUTY, channel=Channel.PUSH),
        Step(after_s=3600, target=Target.DUTY_OFFICER, channel=Channel.ALL),
    ),
    working_time=True,
)

MESSAGES = Policy(urgency=3, steps=(Step(after_s=300, target=Target.DUTY_OFFICER, channel=Channel.SECOND),))

TABLE = [
    # Hỏa tốc runs by the clock, on a working day, in a Saturday night and in the night of Tết alike.
    *(
        (name, EXPRESS, office(), start, None,
         [(f"{day} {hour}:05", LEADER, "push"), (f"{day} {hour}:07", LEADER, "sms"), (f"{day} {hour}:10", DEPUTY, "push"), (f"{day} {hour}:10", DEPUTY, "sms"),
          (f"{day} {hour}:15", DUTY, "push"), (f"{day} {hour}:15", DUTY, "sms"), (f"{day} {hour}:20", SENDER, "push")])
        for name, start, day, hour in (
            ("a working day", "2026-11-23T09:00", "11-23", "09"),
            ("a Saturday night", "2026-11-21T23:00", "11-21", "23"),
            ("the night of Tết", "2026-02-17T00:00", "02-17", "00"),
        )
    ),
    ("acknowledged before anything was due", EXPRESS, office(), "2026-11-23T09:00", "2026-11-23T09:04", []),
    ("acknowledged between the push again and the message", EXPRESS, office(), "2026-11-23T09:00", "2026-11-23T09:06", [("11-23 09:05", LEADER, "push")]),
    ("acknowledged at the very time of a step", EXPRESS, office(), "2026-11-23T09:00", "2026-11-23T09:07", [("11-23 09:05", LEADER, "push")]),
    ("the leader has no number: nobody waits for a channel that is not there", EXPRESS, office(leader=Member(deputy=DEPUTY)), "2026-11-23T09:00", "2026-11-23T09:09",
     [("11-23 09:05", LEADER, "push"), ("11-23 09:07", LEADER, "no-such-channel"), ("11-23 09:07", DEPUTY, "push"), ("11-23 09:07", DEPUTY, "sms")]),
    ("the leader has no phone that is reached by push", EXPRESS, office(leader=Member(deputy=DEPUTY, push=False, email=True)), "2026-11-23T09:00",
     "2026-11-23T09:06", [("11-23 09:05", LEADER, "email")]),
    ("on leave: the deputy is told at once", EXPRESS, office(leader=Member(deputy=DEPUTY, on_leave=True, phone=True)), "2026-02-18T20:00", "2026-02-18T20:01",
     [("02-18 20:00", DEPUTY, "push"), ("02-18 20:00", DEPUTY, "sms")]),
    ("on leave, and the deputy, too: the deputy's deputy", EXPRESS, office(leader=Member(deputy=DEPUTY, on_leave=True), deputy=Member(deputy=SECOND, on_leave=True)),
     "2026-02-18T20:00", "2026-02-18T20:01", [("02-18 20:00", DEPUTY, "absent"), ("02-18 20:00", SECOND, "push"), ("02-18 20:00", SECOND, "email")]),
    ("two on leave who name each other: the duty officer at once", EXPRESS,
     office(leader=Member(deputy=DEPUTY, on_leave=True), deputy=Member(deputy=LEADER, on_leave=True)), "2026-02-18T20:00", "2026-02-18T20:01",
     [("02-18 20:00", DEPUTY, "absent"), ("02-18 20:00", DUTY, "push"), ("02-18 20:00", DUTY, "sms")]),
    ("no deputy: the duty officer does not wait for one", EXPRESS, office(leader=Member(phone=True)), "2026-11-23T09:00", "2026-11-23T09:11",
     [("11-23 09:05", LEADER, "push"), ("11-23 09:07", LEADER, "sms"), ("11-23 09:10", None, "no-deputy"), ("11-23 09:10", DUTY, "push"), ("11-23 09:10", DUTY, "sms")]),
    ("the deputy has left office", EXPRESS, office(leader=Member(deputy=DEPUTY, phone=True), deputy=Member(left=True)), "2026-11-23T09:00", "2026-11-23T09:11",
     [("11-23 09:05", LEADER, "push"), ("11-23 09:07", LEADER, "sms"), ("11-23 09:10", DEPUTY, "absent"), ("11-23 09:10", DUTY, "push"), ("11-23 09:10", DUTY, "sms")]),
    ("the duty officer is on leave: the next one, by e-mail, having no device", EXPRESS,
     office(leader=Member(phone=True), duty=Member(on_leave=True)), "2026-11-23T09:00", "2026-11-23T09:11",
     [("11-23 09:05", LEADER, "push"), ("11-23 09:07", LEADER, "sms"), ("11-23 09:10", None, "no-deputy"), ("11-23 09:10", DUTY, "absent"), ("11-23 09:10", RELIEF, "email")]),
    ("the duty officer has no channel at all: the next one is told beside", EXPRESS,
     office(leader=Member(), duty=Member(push=False)), "2026-11-23T09:00", "2026-11-23T09:08",
     [("11-23 09:05", LEADER, "push"), ("11-23 09:07", LEADER, "no-such-channel"), ("11-23 09:07", None, "no-deputy"), ("11-23 09:07", DUTY, "inbox"),
      ("11-23 09:07", RELIEF, "email")]),
    ("a message is asked for and the duty officer has a device alone: it is pushed", MESSAGES, office(duty=Member()), "2026-11-23T09:00", None,
     [("11-23 09:05", DUTY, "push")]),
    ("khẩn waits in working time: from Friday's end to Monday", URGENT, office(), "2026-11-20T16:45", None,
     [("11-23 07:45", LEADER, "push"), ("11-23 07:45", LEADER, "sms"), ("11-23 08:45", DEPUTY, "push"), ("11-23 09:45", DUTY, "push"), ("11-23 09:45", DUTY, "sms")]),
    ("khẩn over Tết", URGENT, office(), "2026-02-15T10:00", "2026-02-23T08:30", [("02-23 08:00", LEADER, "push"), ("02-23 08:00", LEADER, "sms")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "office_", "start", "stopped_at", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_who_is_told_when_by_which_channel(policy, office_, start, stopped_at, expected):
    chain, lines = run(policy, office_, start, stopped_at=stopped_at)
    assert lines == expected
    assert chain.state is (ChainState.EXHAUSTED if stopped_at is None else ChainState.STOPPED)


def test_where_all_duty_officers_are_away_all_are_told():
    away = office(leader=Member(), duty=Member(on_leave=True, phone=True), relief=Member(on_leave=True, email=True))
    _, lines = run(EXPRESS, away, "2026-11-23T09:00")
    assert ("11-23 09:05", LEADER, "push") in lines
    assert {(person, way) for _, person, way in lines if person in (DUTY, RELIEF)} == {
        (DUTY, "push"),
        (DUTY, "sms"),
        (RELIEF, "push"),
        (RELIEF, "email"),
    }


steps = st.builds(Step, after_s=st.integers(30, 7200), target=st.sampled_from(Target), channel=st.sampled_from(Channel))
members = st.builds(
    Member, deputy=st.sampled_from([None, *MEMBERS]), on_leave=st.booleans(), left=st.booleans(), push=st.booleans(), phone=st.booleans(), email=st.booleans()
)  # fmt: skip


@given(
    policies=st.lists(steps, min_size=1, max_size=6).map(lambda some: Policy(urgency=3, steps=tuple(some))),
    people=st.fixed_dictionaries(dict.fromkeys(MEMBERS, members)),
    duty=st.lists(st.sampled_from([DUTY, RELIEF, DEPUTY]), min_size=1, max_size=3, unique=True),
    data=st.data(),
)
def test_every_chain_that_can_be_saved_ends_at_a_person(policies, people, duty, data):
    if not ends_at_a_person(policies):
        return
    there = Office(person=LEADER, members=people, duty=tuple(duty), senders=(SENDER,))
    chain, lines, taken = begin(policies, there, 0, clock), [], 0
    while chain.due_us is not None:
        before = chain
        chain, told = advance(chain, there, chain.due_us, clock)
        assert chain.position > before.position
        assert chain.due_us is None or chain.due_us > before.due_us
        lines += told
        taken += 1
    assert chain.state is ChainState.EXHAUSTED
    assert taken <= len(policies.steps)
    assert any(line.target is Target.DUTY_OFFICER and line.outcome == "told" and line.person in duty for line in lines)
    assert all(line.way is Way.NONE or people[line.person].push or line.way is not Way.PUSH for line in lines)
    # After an acknowledgement no step tells anybody, whichever it was.
    stopped = stop(data.draw(st.sampled_from([before, chain])))
    assert advance(stopped, there, 10**15, clock) == (stopped, ())


@pytest.mark.parametrize(
    "targets",
    [
        (),
        (Target.PERSON,),
        (Target.PERSON, Target.DEPUTY),
        (Target.SENDER,),
        (Target.DUTY_OFFICER, Target.DEPUTY),
        (Target.DUTY_OFFICER, Target.PERSON),
    ],
)
def test_a_policy_that_ends_with_nobody_is_refused(targets):
    policy = Policy(urgency=3, steps=tuple(Step(after_s=60, target=target, channel=Channel.PUSH) for target in targets))
    assert not ends_at_a_person(policy)


def test_two_policies_of_one_grade_and_no_working_hours_are_refused():
    assert not usable(Rules(policies=(EXPRESS, EXPRESS)))
    assert not usable(Rules(work=Hours(start=600, end=600)))
    assert usable(RULES)
    assert ends_at_a_person(EXPRESS)
    assert RULES.policy(4) is EXPRESS
    assert RULES.policy(2) is None
