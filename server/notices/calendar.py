"""The working calendar and quiet hours: pure functions of a time, an organisation's rules and a person's wishes (TIM-7).

Time is UTC inside and Asia/Ho_Chi_Minh (UTC+7, no daylight saving) outside. Public holidays are those of the Labour Code 2019, art. 112:
New Year, five days of Tết, the Hùng Kings (10 of the third lunar month), 30 April, 1 May, 2 September and one day beside it; one that falls
on a day of rest is made up on the next working day (art. 111.3). What the government announces each year beyond that (exchanged
working days, which days around Tết) is set by the organisation in `Rules.days`.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from server.jobs import Lane
from server.notices.rules import Hours, Rules

_OFFSET_US: Final = 7 * 3_600_000_000
_DAY_US: Final = 86_400_000_000
_MINUTE_US: Final = 60_000_000
_EPOCH = date(1970, 1, 1)

# First day of Tết and the Hùng Kings' day by the Gregorian calendar: the Vietnamese lunar calendar (new moons at UTC+7), which differs from
# the Chinese one in 2030. Computed by the astronomical rules that Hồ Ngọc Đức published; the tests compute them again from the moon's phases.
LUNAR: Final[dict[int, tuple[date, date]]] = {
    2024: (date(2024, 2, 10), date(2024, 4, 18)),
    2025: (date(2025, 1, 29), date(2025, 4, 7)),
    2026: (date(2026, 2, 17), date(2026, 4, 26)),
    2027: (date(2027, 2, 6), date(2027, 4, 16)),
    2028: (date(2028, 1, 26), date(2028, 4, 4)),
    2029: (date(2029, 2, 13), date(2029, 4, 23)),
    2030: (date(2030, 2, 2), date(2030, 4, 12)),
    2031: (date(2031, 1, 23), date(2031, 4, 1)),
    2032: (date(2032, 2, 11), date(2032, 4, 19)),
    2033: (date(2033, 1, 31), date(2033, 4, 9)),
    2034: (date(2034, 2, 19), date(2034, 4, 28)),
    2035: (date(2035, 2, 8), date(2035, 4, 17)),
}
# How many of Tết's five days lie before its first day: announced each year, one or two. One is assumed where nothing is announced yet.
_TET_BEFORE: Final = {2024: 2, 2025: 2, 2026: 1}
# The day beside 2 September: announced each year; the day before is assumed.
_BESIDE_NATIONAL_DAY: Final = {2024: date(2024, 9, 3)}


@lru_cache(maxsize=32)
def public_holidays(year: int) -> frozenset[date]:
    """Days off of a year by the law, made-up days included. Years outside `LUNAR` have the fixed days alone."""
    days = [
        date(year, 1, 1), date(year, 4, 30), date(year, 5, 1), _BESIDE_NATIONAL_DAY.get(year, date(year, 9, 1)), date(year, 9, 2),
    ]  # fmt: skip
    if year in LUNAR:
        first, kings = LUNAR[year]
        days += [first + timedelta(days=number - _TET_BEFORE.get(year, 1)) for number in range(5)]
        days.append(kings)
    off = set(days)
    for day in sorted(day for day in off if day.weekday() >= 5):
        made_up = day
        while made_up in off or made_up.weekday() >= 5:
            made_up += timedelta(days=1)
        off.add(made_up)
    return frozenset(off)


def is_working_day(day: date, rules: Rules) -> bool:
    """What the organisation set decides; else Monday to Friday without public holidays."""
    said = rules.days.get(day.isoformat())
    if said is not None:
        return said
    return day.weekday() < 5 and day not in public_holidays(day.year)


def working_day_after(at_us: int, number: int, rules: Rules) -> date:
    """The `number`-th working day after the day of `at_us`. A year without any is a mistake in the rules: its end then."""
    day = _local(at_us)[0]
    for _ in range(366):
        if number <= 0:
            break
        day += timedelta(days=1)
        number -= is_working_day(day, rules)
    return day


def add_working(now_us: int, seconds: int, rules: Rules) -> int:
    """The time when `seconds` of working time have passed since `now_us`."""
    left_us = seconds * 1_000_000
    day, minute_us = _local(now_us)
    start_us, end_us = rules.work.start * _MINUTE_US, rules.work.end * _MINUTE_US
    at_us = max(minute_us, start_us)
    # A year without a working day is a mistake in the rules: the chain goes on all the same.
    for _ in range(366):
        if is_working_day(day, rules) and at_us < end_us:
            if left_us <= end_us - at_us:
                return _utc(day, at_us + left_us)
            left_us -= end_us - at_us
        day, at_us = day + timedelta(days=1), start_us
    return now_us + seconds * 1_000_000


def before_working(now_us: int, seconds: int, rules: Rules) -> int:
    """The latest time since which `seconds` of working time have passed: `add_working` turned round."""
    left_us = seconds * 1_000_000
    day, minute_us = _local(now_us)
    start_us, end_us = rules.work.start * _MINUTE_US, rules.work.end * _MINUTE_US
    at_us = min(minute_us, end_us)
    for _ in range(366):
        if is_working_day(day, rules) and at_us > start_us:
            if left_us <= at_us - start_us:
                return _utc(day, at_us - left_us)
            left_us -= at_us - start_us
        day, at_us = day - timedelta(days=1), end_us
    return now_us - seconds * 1_000_000


def held_until(now_us: int, lane: Lane, rules: Rules, own: Hours | None) -> int | None:
    """When a push may go: None for now, else the end of the quiet hours. Khẩn and above, the urgent lane, pass always."""
    if lane is Lane.URGENT:
        return None
    at_us = now_us
    # The end of one person's quiet hours may lie within the organisation's, or on a day without work.
    for _ in range(400):
        later_us = max((_end(at_us, hours) for hours in (own, rules.quiet) if hours is not None), default=at_us)
        if rules.quiet_off_days and not is_working_day(_local(later_us)[0], rules):
            later_us = max(later_us, _utc(_local(later_us)[0] + timedelta(days=1), 0))
        if later_us == at_us:
            break
        at_us = later_us
    return None if at_us == now_us else at_us


def _end(at_us: int, hours: Hours) -> int:
    """The end of `hours` when `at_us` lies in them, else `at_us`. Hours may pass midnight; none when both ends are one."""
    day, since_us = _local(at_us)
    start_us, end_us = hours.start * _MINUTE_US, hours.end * _MINUTE_US
    if start_us < end_us:
        return _utc(day, end_us) if start_us <= since_us < end_us else at_us
    if start_us > end_us and since_us >= start_us:
        return _utc(day + timedelta(days=1), end_us)
    return _utc(day, end_us) if start_us > end_us and since_us < end_us else at_us


def local_day(at_us: int) -> date:
    """The day in Vietnam."""
    return _local(at_us)[0]


def day_us(day: date) -> int:
    """The local midnight at which a day begins."""
    return _utc(day, 0)


def _local(at_us: int) -> tuple[date, int]:
    """The local day and the microseconds since its midnight."""
    days, rest = divmod(at_us + _OFFSET_US, _DAY_US)
    return _EPOCH + timedelta(days=days), rest


def _utc(day: date, since_us: int) -> int:
    return (day - _EPOCH).days * _DAY_US + since_us - _OFFSET_US


def local_us(text: str) -> int:
    """A local time `2026-02-17T08:00` in microseconds UTC, for tables of times."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000 - _OFFSET_US
