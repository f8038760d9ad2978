"""Deadlines of sending and receiving by rule, as pure functions of a time and the organisation's working calendar (TIM-1 to TIM-5, TIM-7)."""

import datetime as dt
from enum import StrEnum
from typing import Final

import msgspec

from server.exchange.model import VIETNAM
from server.notices.calendar import is_working_day
from server.notices.rules import Rules

_MINUTE_US: Final = 60_000_000
_AT_ONCE_US: Final = 30 * _MINUTE_US
"""How long "immediately" may take before somebody is told."""
_LEAD_US: Final = 120 * _MINUTE_US
_NOON: Final = 12 * 60


class Rule(StrEnum):
    """The rule that sets the time, as it is reported."""

    REGISTER_URGENT = "TIM-1"
    REGISTER = "TIM-2"
    SEND_URGENT = "TIM-3"
    SEND = "TIM-4"
    RECEIPT = "TIM-5"


class Deadline(msgspec.Struct, frozen=True):
    """`warn_us` lies two hours before `due_us`, or half-way where less is left."""

    rule: Rule
    warn_us: int
    due_us: int


def about_deadline(about: str, rule: Rule) -> str:
    """The subject of the notices of a rule on what `about` names."""
    return f"{about}:{rule.value}"


def sending(signed_us: int, urgency: int, rules: Rules) -> Deadline:
    """Urgent: at once after the last personal signature (TIM-3); else by the next working day's morning (TIM-4, narrower than TIM-3)."""
    if urgency > 0:
        return _deadline(Rule.SEND_URGENT, signed_us, signed_us + _AT_ONCE_US)
    day = _working(_day(signed_us) + dt.timedelta(days=1), rules)
    return _deadline(Rule.SEND, signed_us, _at(day, min(_NOON, rules.work.end)))


def receipt(accepted_us: int, rules: Rules) -> Deadline:
    """The receiver's system confirms within the day (TIM-5): the day on which it came, or the next working day after office hours."""
    day = _day(accepted_us)
    if accepted_us >= _at(day, rules.work.end):
        day += dt.timedelta(days=1)
    return _deadline(Rule.RECEIPT, accepted_us, _at(_working(day, rules), 24 * 60))


def registering(received_us: int, urgency: int, rules: Rules) -> Deadline:
    """Urgent: at once (TIM-1); else the same day, at the latest the next working day (TIM-2)."""
    if urgency > 0:
        return _deadline(Rule.REGISTER_URGENT, received_us, received_us + _AT_ONCE_US)
    day = _working(_day(received_us) + dt.timedelta(days=1), rules)
    return _deadline(Rule.REGISTER, received_us, _at(day, rules.work.end))


def _deadline(rule: Rule, since_us: int, due_us: int) -> Deadline:
    return Deadline(rule, max(due_us - _LEAD_US, (since_us + due_us) // 2), due_us)


def _working(day: dt.date, rules: Rules) -> dt.date:
    """The first working day from `day` on. A year without one is a mistake in the rules: `day` itself then."""
    for ahead in range(366):
        if is_working_day(day + dt.timedelta(days=ahead), rules):
            return day + dt.timedelta(days=ahead)
    return day


def _day(at_us: int) -> dt.date:
    return dt.datetime.fromtimestamp(at_us // 1_000_000, VIETNAM).date()


def _at(day: dt.date, minute: int) -> int:
    midnight = dt.datetime.combine(day, dt.time(), VIETNAM)
    return int(midnight.timestamp()) * 1_000_000 + minute * _MINUTE_US
