"""The pure rules of directions: what a sender is told never goes back, how late something is, when people are reminded (TIM-6, TIM-7)."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.directives.model import (
    AssigneeRow,
    DirectiveState,
    Handled,
    Order,
    Report,
    WorkState,
    asked_again,
    checked,
    days_late,
    reminder,
    reported,
    status_of,
)
from server.errors import Refused
from server.notices.calendar import local_us
from server.notices.model import NoticeKind, lifetime_us
from server.notices.rules import DEFAULT

NOW = local_us("2026-11-23T09:00")
PLACE = AssigneeRow("p", "d", "a" * 32, "o", "a" * 32, 1, WorkState.ASSIGNED, 0, "", None, None)


def handled(state, *, begun=False):
    return Handled(DirectiveState(state), begun)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([], None), ([handled("withdrawn", begun=True)], None), ([handled("open")], "04"), ([handled("open", begun=True)], "05"),
        ([handled("completed", begun=True)], "06"), ([handled("completed", begun=True), handled("open")], "05"),
        ([handled("completed", begun=True), handled("withdrawn")], "06"), ([handled("open"), handled("withdrawn", begun=True)], "04"),
    ],
)  # fmt: skip
def test_the_sender_is_told_of_all_directions_together(found, code):
    """Reference §6.4: 04 assigned, 05 in work, 06 completed."""
    assert status_of(found) == code


@given(st.lists(st.tuples(st.sampled_from(["open", "completed", "withdrawn"]), st.booleans()), max_size=6))
def test_completed_is_said_only_when_nothing_is_open(facts):
    found = [handled(state, begun=begun) for state, begun in facts]
    code = status_of(found)
    assert (code == "06") == (
        any(one.state == "completed" for one in found) and all(one.state != "open" for one in found)
    )
    assert code == status_of(list(reversed(found)))


@pytest.mark.parametrize(
    ("due", "done", "now", "days"),
    [
        (None, None, "2026-11-23T09:00", 0), ("2026-11-23", None, "2026-11-23T23:59", 0), ("2026-11-23", None, "2026-11-24T00:00", 1),
        ("2026-11-23", None, "2026-12-01T10:00", 8), ("2026-11-23", "2026-11-25T08:00", "2027-01-01T10:00", 2),
        ("2026-11-23", "2026-11-23T23:00", "2027-01-01T10:00", 0),
    ],
)  # fmt: skip
def test_days_late_count_from_the_day_after_the_deadline_in_vietnam(due, done, now, days):
    assert days_late(due, None if done is None else local_us(done), local_us(now)) == days


@pytest.mark.parametrize(
    ("due", "since", "warn", "late"),
    [
        ("2026-11-27", "2026-11-16T09:00", "2026-11-26T07:30", "2026-11-30T07:30"),  # a Friday: the next working day is Monday
        ("2026-11-30", "2026-11-16T09:00", "2026-11-27T07:30", "2026-12-01T07:30"),
        ("2027-02-12", "2027-01-04T09:00", "2027-02-04T07:30", "2027-02-15T07:30"),
        ("2027-02-06", "2027-01-04T09:00", "2027-02-04T07:30", "2027-02-12T07:30"),  # in Tết
        ("2026-11-27", "2026-11-26T15:30", "2026-11-27T07:30", "2026-11-30T07:30"),  # given the day before: half-way is at night
        ("2026-11-30", "2026-11-27T16:00", "2026-11-30T07:30", "2026-12-01T07:30"),  # over a weekend
        ("2026-11-27", "2026-11-27T09:00", "2026-11-27T13:00", "2026-11-30T07:30"),  # for the same day, and not at once
    ],
)  # fmt: skip
def test_people_are_reminded_in_working_hours(due, since, warn, late):
    found = reminder(due, local_us(since), DEFAULT)
    assert (found.warn_us, found.late_us) == (local_us(warn), local_us(late))


def test_texts_from_outside_are_cleaned_and_nobody_stands_twice():
    order = checked(Order("  Một\u202e\n\x07Hai ", "a", ("b", "a", "b")), NOW, "2026-12-01")
    assert (order.text, order.coordinators, order.due_date) == ("Một\nHai", ("b",), "2026-12-01")


_REPORTS = st.builds(
    Report, sequence=st.just(0), state=st.sampled_from([WorkState.IN_WORK, WorkState.COMPLETED]), progress=st.none() | st.integers(0, 99),
    word=st.sampled_from(["", " ", "Đã có dự thảo"]),
)  # fmt: skip


@given(st.lists(st.tuples(_REPORTS, st.booleans()), max_size=8))
def test_a_place_is_finished_exactly_when_its_last_report_said_so(steps):
    place = PLACE
    for number, (report, changed) in enumerate(steps):
        silent = report.state is WorkState.IN_WORK and report.progress is None and not report.word.strip()
        if place.state is WorkState.COMPLETED or silent:
            with pytest.raises(
                Refused, match="directive-over" if place.state is WorkState.COMPLETED else "invalid-request"
            ):
                reported(place, report, NOW + number)
        else:
            after = reported(place, report, NOW + number)
            assert after.word == (report.word.strip() or place.word)
            assert after.state is report.state
            place = after
        if changed:
            place = asked_again(place, text_changed=True)
            assert place.state is not WorkState.COMPLETED
        assert (place.progress == 100) == (place.done_us is not None) == (place.state is WorkState.COMPLETED)


def test_the_deadline_above_binds():
    with pytest.raises(Refused, match="invalid-request"):
        checked(Order("x", "a", due_date="2026-12-02"), NOW, "2026-12-01")
    assert (
        checked(Order("x", "a", due_date=dt.date(2026, 12, 1).isoformat()), NOW, "2026-12-01").due_date == "2026-12-01"
    )


def test_what_was_directed_is_told_for_as_long_as_anything_else_to_do():
    """TIM-7: a chain that stands still over Tết, or a push that is held until its end, outlives a day."""
    kinds = ("to_direct", "directed", "directive_changed", "directive_near", "directive_late")
    assert {lifetime_us(NoticeKind(kind)) for kind in kinds} == {lifetime_us(NoticeKind.TO_SIGN)}
