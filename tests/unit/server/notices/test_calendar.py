"""The working calendar and quiet hours against the law's own words and the moon (TIM-7)."""

import math
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.jobs import Lane
from server.notices.calendar import (
    LUNAR,
    add_working,
    before_working,
    held_until,
    is_working_day,
    local_us,
    public_holidays,
)
from server.notices.rules import Hours, Rules

RULES = Rules()


def new_moon(number):
    """Julian day (UT) of a new moon, by Meeus' series without its planetary terms: within a quarter of an hour, which no table year comes near."""
    t = number / 1236.85
    radian = math.pi / 180
    day = 2415020.75933 + 29.53058868 * number + 0.0001178 * t**2 - 0.000000155 * t**3
    day += 0.00033 * math.sin((166.56 + 132.87 * t - 0.009173 * t**2) * radian)
    sun = (359.2242 + 29.10535608 * number - 0.0000333 * t**2 - 0.00000347 * t**3) * radian
    moon = (306.0253 + 385.81691806 * number + 0.0107306 * t**2 + 0.00001236 * t**3) * radian
    node = (21.2964 + 390.67050646 * number - 0.0016528 * t**2 - 0.00000239 * t**3) * radian
    day += (0.1734 - 0.000393 * t) * math.sin(sun) + 0.0021 * math.sin(2 * sun)
    day += -0.4068 * math.sin(moon) + 0.0161 * math.sin(2 * moon) - 0.0004 * math.sin(3 * moon)
    day += 0.0104 * math.sin(2 * node) - 0.0051 * math.sin(sun + moon) - 0.0074 * math.sin(sun - moon)
    day += 0.0004 * math.sin(2 * node + sun) - 0.0004 * math.sin(2 * node - sun) - 0.0006 * math.sin(2 * node + moon)
    day += 0.0010 * math.sin(2 * node - moon) + 0.0005 * math.sin(sun + 2 * moon)
    return day - (-0.000278 + 0.000265 * t + 0.000262 * t**2)


def local_day(number):
    return date.fromordinal(math.floor(new_moon(number) + 0.5 + 7 / 24) - 1721425)


def longitude(day):
    """The sun's longitude in degrees at local midnight (Meeus, low accuracy)."""
    t = (day.toordinal() + 1721424.5 - 7 / 24 - 2451545.0) / 36525
    anomaly = math.radians(357.52910 + 35999.05030 * t)
    centre = 1.914600 * math.sin(anomaly) + 0.019993 * math.sin(2 * anomaly) + 0.00029 * math.sin(3 * anomaly)
    return (280.46645 + 36000.76983 * t + centre) % 360


def months_of(year):
    """First days of the first and third lunar months: the eleventh is the one with the winter solstice; one without a principal term is a leap month."""
    number = round((year - 1900) * 12.3685) - 3
    days = [local_day(number + index) for index in range(20)]
    terms = [int(longitude(day) // 30) for day in days]
    eleventh = next(index for index in range(19) if terms[index] != 9 and terms[index + 1] == 9)
    named, month = {}, 11
    following = next(index for index in range(eleventh + 11, 19) if terms[index] != 9 and terms[index + 1] == 9)
    leap_year, leap_done = following - eleventh == 13, False
    for index in range(eleventh, 19):
        if index > eleventh:
            if leap_year and not leap_done and terms[index] == terms[index + 1]:
                leap_done = True
                continue
            month = month % 12 + 1
        named.setdefault(month, days[index])
    return named[1], named[3]


@pytest.mark.parametrize("year", sorted(LUNAR))
def test_tet_and_the_hung_kings_follow_the_moon_at_utc_plus_seven(year):
    first, third = months_of(year)
    assert LUNAR[year] == (first, third + timedelta(days=9))


# Official announcements of the years that are past or announced.
@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2024-02-08", "2024-02-14"),
        ("2025-01-27", "2025-01-31"),
        ("2026-02-16", "2026-02-20"),
        ("2025-09-01", "2025-09-02"),
        ("2026-04-30", "2026-05-01"),
    ],
)
def test_announced_holidays_are_days_off(first, last):
    day, end = date.fromisoformat(first), date.fromisoformat(last)
    while day <= end:
        assert not is_working_day(day, RULES), day
        day += timedelta(days=1)


@pytest.mark.parametrize(
    "day", ["2024-02-07", "2024-02-15", "2025-02-03", "2026-02-13", "2026-02-23", "2026-04-28", "2026-09-03"]
)
def test_days_beside_them_are_not(day):
    assert is_working_day(date.fromisoformat(day), RULES)


def test_a_holiday_on_a_day_of_rest_is_made_up_on_the_next_working_day():
    assert date(2026, 4, 26).weekday() == 6
    assert not is_working_day(date(2026, 4, 27), RULES)  # the Hùng Kings' Sunday
    # Every holiday of a year gives a day off that is no weekend.
    for year in LUNAR:
        assert sum(day.weekday() < 5 for day in public_holidays(year)) == 11, year


def test_exchanged_days_are_set_by_the_organisation():
    rules = Rules(days={"2026-08-31": False, "2026-08-22": True})
    assert not is_working_day(date(2026, 8, 31), rules)
    assert is_working_day(date(2026, 8, 22), rules)
    assert is_working_day(date(2026, 8, 31), RULES)


@pytest.mark.parametrize(
    ("start", "seconds", "end"),
    [
        ("2026-11-20T16:50", 1200, "2026-11-23T07:40"),  # Friday's end to Monday
        ("2026-11-21T10:00", 60, "2026-11-23T07:31"),  # a Saturday
        ("2026-11-23T05:00", 60, "2026-11-23T07:31"),
        ("2026-11-23T16:59", 60, "2026-11-23T17:00"),
        ("2026-02-13T16:59", 120, "2026-02-23T07:31"),  # Tết and the weekends around it
        ("2026-11-23T08:00", 34200 * 5, "2026-11-30T08:00"),
    ],
)  # fmt: skip
def test_working_time_passes_over_nights_weekends_and_tet(start, seconds, end):
    assert add_working(local_us(start), seconds, RULES) == local_us(end)


NIGHT = Hours(start=1290, end=390)  # 21:30 to 06:30


@pytest.mark.parametrize(
    ("now", "lane", "rules", "own", "until"),
    [
        ("2026-11-23T22:00", Lane.NORMAL, Rules(quiet=NIGHT), None, "2026-11-24T06:30"),
        ("2026-11-24T06:29", Lane.BULK, Rules(quiet=NIGHT), None, "2026-11-24T06:30"),
        ("2026-11-24T06:30", Lane.NORMAL, Rules(quiet=NIGHT), None, None),
        ("2026-11-23T22:00", Lane.URGENT, Rules(quiet=NIGHT, quiet_off_days=True), NIGHT, None),
        ("2026-11-24T12:10", Lane.NORMAL, Rules(quiet=NIGHT), Hours(start=690, end=810), "2026-11-24T13:30"),
        # One's own end lies within the organisation's hours.
        ("2026-11-23T21:00", Lane.NORMAL, Rules(quiet=NIGHT), Hours(start=1200, end=1320), "2026-11-24T06:30"),
        ("2026-11-20T23:00", Lane.NORMAL, Rules(quiet=NIGHT, quiet_off_days=True), None, "2026-11-23T06:30"),
        ("2026-02-16T09:00", Lane.NORMAL, Rules(quiet=NIGHT, quiet_off_days=True), None, "2026-02-23T06:30"),
        ("2026-02-16T09:00", Lane.NORMAL, Rules(quiet=NIGHT), None, None),
    ],
)  # fmt: skip
def test_quiet_hours_hold_until_they_end(now, lane, rules, own, until):
    assert held_until(local_us(now), lane, rules, own) == (until and local_us(until))


@given(
    now_us=st.integers(local_us("2024-01-01T00:00"), local_us("2035-12-01T00:00")),
    quiet=st.one_of(st.none(), st.builds(Hours, start=st.integers(0, 1440), end=st.integers(0, 1440))),
    own=st.one_of(st.none(), st.builds(Hours, start=st.integers(0, 1440), end=st.integers(0, 1440))),
    off_days=st.booleans(),
)
def test_what_is_held_may_go_when_the_hours_end(now_us, quiet, own, off_days):
    rules = Rules(quiet=quiet, quiet_off_days=off_days)
    until_us = held_until(now_us, Lane.NORMAL, rules, own)
    if until_us is not None:
        assert until_us > now_us
        never = {hours for hours in (quiet, own) if hours is not None and hours.end - hours.start == 1440}
        both = quiet is not None and own is not None  # two that cover the whole day never end
        assert never or both or held_until(until_us, Lane.NORMAL, rules, own) is None


@given(now_us=st.integers(local_us("2024-01-01T00:00"), local_us("2035-12-01T00:00")), seconds=st.integers(1, 400_000))
def test_working_time_is_never_shorter_than_time(now_us, seconds):
    assert add_working(now_us, seconds, RULES) >= now_us + seconds * 1_000_000


@given(
    st.integers(local_us("2026-01-01T00:00"), local_us("2027-12-31T00:00")),
    st.integers(1, 400 * 3600),
    st.sampled_from(
        [Rules(), Rules(work=Hours(start=0, end=1440)), Rules(days={"2026-11-28": True, "2026-11-30": False})]
    ),
)
def test_looking_back_over_working_time_is_looking_ahead_turned_round(now_us, seconds, rules):
    since_us = before_working(now_us, seconds, rules)
    assert add_working(since_us, seconds, rules) <= now_us
    # It is the latest such time: a moment later it is not over yet.
    assert add_working(since_us + 1_000_000, seconds, rules) > now_us
