"""What a direction is and the rules that need no store: what may follow what, how late it is, what its sender is told, when people are reminded.

A direction names one lead and any coordinators, each a person of the organisation or an organisation below it. Whoever it names reports
progress and completion, and may direct onwards; that direction hangs below his place, so all of them are one tree. It is numbered from
revision 0, and a report is for the newest: a change that asks for something else also asks again those who had finished.
"""

import datetime as dt
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from server.documents.model import clean
from server.errors import Refused
from server.exchange.model import VIETNAM, StatusCode
from server.exchange.words import Words
from server.notices.calendar import add_working, is_working_day
from server.notices.rules import Rules

_MINUTE_US: Final = 60_000_000
_FURTHEST: Final = dt.timedelta(days=3 * 366)


class DirectiveState(StrEnum):
    OPEN = "open"
    COMPLETED = "completed"
    WITHDRAWN = "withdrawn"


class WorkState(StrEnum):
    """Of one assignee. `released`: taken off; `ended`: the direction was completed or withdrawn while he was busy with it."""

    ASSIGNED = "assigned"
    IN_WORK = "in_work"
    COMPLETED = "completed"
    RELEASED = "released"
    ENDED = "ended"


BUSY: Final = frozenset({WorkState.ASSIGNED, WorkState.IN_WORK})

WORDS: Final = {
    WorkState.ASSIGNED: Words("Đã giao", "Assigned"),
    WorkState.IN_WORK: Words("Đang xử lý", "In progress"),
    WorkState.COMPLETED: Words("Đã hoàn thành", "Completed"),
    WorkState.RELEASED: Words("Đã rút", "Released"),
    WorkState.ENDED: Words("Đã kết thúc", "Ended"),
}


class Order(msgspec.Struct, frozen=True):
    """What the author asks. `lead` and `coordinators` are ids of people of the organisation or of organisations below it (units).

    `due_date` is a day in Vietnam (`YYYY-MM-DD`): late is what is not finished when it is over (TIM-6).
    """

    text: str
    lead: str
    coordinators: tuple[str, ...] = ()
    due_date: str | None = None

    @property
    def named(self) -> tuple[str, ...]:
        return (self.lead, *self.coordinators)


class Report(msgspec.Struct, frozen=True):
    """Progress in per cent, the word that the author reads last, or both; `state` is `in_work` or `completed`."""

    sequence: int
    state: WorkState
    progress: int | None = None
    word: str = ""


class DirectiveRow(msgspec.Struct, frozen=True):
    """A row of `directives`. `title`, `reference` and `urgency` are those of the arrival or document that it is about."""

    id: str
    organisation: str
    root: str
    parent: str | None
    arrival: str | None
    document: str | None
    author: str
    title: str
    reference: str
    urgency: int
    text: str
    due_date: str | None
    state: DirectiveState
    sequence: int
    created_us: int


class AssigneeRow(msgspec.Struct, frozen=True):
    """A row of `directive_assignees`; `person` None: the organisation as a unit."""

    id: str
    directive: str
    assignee: str
    organisation: str
    person: str | None
    lead: int
    state: WorkState
    progress: int
    word: str
    told_us: int | None
    done_us: int | None


def today(now_us: int) -> dt.date:
    """The day in Vietnam (TIM-7)."""
    return dt.datetime.fromtimestamp(now_us // 1_000_000, VIETNAM).date()


def paragraphs(text: str) -> str:
    """`clean` for texts of several lines: no control and direction characters (B11), no blank lines at the ends."""
    return "\n".join(clean(line) for line in text.splitlines()).strip()


def checked(order: Order, now_us: int, above: str | None, before: str | None = None) -> Order:
    """`order` with clean texts and each coordinator once. `above`: the deadline of the direction that this one hangs below.
    `before`: the deadline until now, which may stand though it is past: what is late is given to somebody else without more time.

    Raises: Refused("invalid-request") for an empty text and a deadline that is past, too far or behind the one above.
    """
    named = tuple(sorted(set(order.coordinators) - {order.lead}))
    tidy = msgspec.structs.replace(order, text=paragraphs(order.text), coordinators=named)
    if not tidy.text:
        raise Refused("invalid-request", detail="the text is empty")
    if tidy.due_date is None:
        return msgspec.structs.replace(tidy, due_date=above)
    try:
        due = dt.date.fromisoformat(tidy.due_date)
    except ValueError:
        raise Refused("invalid-request", detail="due_date is not a day") from None
    if tidy.due_date == before:
        return tidy
    if not today(now_us) <= due <= today(now_us) + _FURTHEST:
        raise Refused("invalid-request", detail="due_date is past or more than three years away")
    if above is not None and tidy.due_date > above:
        raise Refused("invalid-request", detail="due_date is behind the deadline of the direction above")
    return tidy


def open_for(directive: DirectiveRow, sequence: int) -> None:
    """A change or a report for revision `sequence` may be made now.

    Raises: Refused("directive-over") once it is completed or withdrawn; Refused("directive-changed") where there is a newer revision.
    """
    if directive.state is not DirectiveState.OPEN:
        raise Refused("directive-over")
    if sequence != directive.sequence:
        raise Refused("directive-changed", sequence=directive.sequence)


def reported(before: AssigneeRow, report: Report, now_us: int) -> AssigneeRow:
    """The assignee's place after a report.

    Raises: Refused("directive-over") for whoever has finished or is asked no more; Refused("invalid-request") for a report that says nothing.
    """
    if before.state not in BUSY:
        raise Refused("directive-over")
    word = paragraphs(report.word)
    done = report.state is WorkState.COMPLETED
    if not done and report.progress is None and not word:
        raise Refused("invalid-request", detail="progress or word is missing")
    progress = 100 if done else before.progress if report.progress is None else min(report.progress, 99)
    return msgspec.structs.replace(
        before,
        state=report.state,
        progress=progress,
        word=word or before.word,
        told_us=now_us,
        done_us=now_us if done else None,
    )


def asked_again(before: AssigneeRow, *, text_changed: bool) -> AssigneeRow:
    """His place after a change: who had finished what is no more asked is asked again, and who was released is named anew."""
    if before.state is WorkState.RELEASED or (text_changed and before.state is WorkState.COMPLETED):
        state = WorkState.IN_WORK if before.told_us is not None else WorkState.ASSIGNED
        return msgspec.structs.replace(before, state=state, progress=min(before.progress, 99), done_us=None)
    return before


def days_late(due_date: str | None, done_us: int | None, now_us: int) -> int:
    """Days after the deadline on which it was finished, or that have begun since without it; 0 in time or without a deadline."""
    if due_date is None:
        return 0
    return max(0, (today(now_us if done_us is None else done_us) - dt.date.fromisoformat(due_date)).days)


class Handled(msgspec.Struct, frozen=True):
    """How far one direction on an arrival is: its state, and whether anybody whom it names has begun."""

    state: DirectiveState
    begun: bool


def status_of(directives: Sequence[Handled]) -> StatusCode | None:
    """What the sender of an arrival is told of all directions on it together: assigned 04, in work 05, completed 06; None for none."""
    standing = [one for one in directives if one.state is not DirectiveState.WITHDRAWN]
    if not standing:
        return None
    if all(one.state is DirectiveState.COMPLETED for one in standing):
        return StatusCode.FINISHED
    if any(one.begun or one.state is DirectiveState.COMPLETED for one in standing):
        return StatusCode.IN_PROGRESS
    return StatusCode.ASSIGNED


class Reminder(msgspec.Struct, frozen=True):
    """`warn_us` lies before the deadline's day, `late_us` behind it; both in working hours."""

    warn_us: int
    late_us: int


def reminder(due_date: str, since_us: int, rules: Rules) -> Reminder:
    """When people are reminded: as work begins on the last working day before the deadline's, or half-way to its end where less time was
    given, in working hours; and when they are told that it has passed: as work begins on the next working day.
    """
    due = dt.date.fromisoformat(due_date)
    before = _working(due, -1, rules)
    half_us = (since_us + _at(due, rules) + (rules.work.end - rules.work.start) * _MINUTE_US) // 2
    warn_us = add_working(max(_at(before, rules), half_us), 0, rules)
    return Reminder(warn_us, _at(_working(due, 1, rules), rules))


def _working(day: dt.date, step: int, rules: Rules) -> dt.date:
    """The nearest working day before or after `day`. A year without one is a mistake in the rules: the next day then."""
    for ahead in range(1, 367):
        found = day + dt.timedelta(days=step * ahead)
        if is_working_day(found, rules):
            return found
    return day + dt.timedelta(days=step)


def _at(day: dt.date, rules: Rules) -> int:
    midnight = dt.datetime.combine(day, dt.time(), VIETNAM)
    return int(midnight.timestamp()) * 1_000_000 + rules.work.start * _MINUTE_US
