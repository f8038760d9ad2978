"""Text forms of the wire: dates, times, numbers and flags as edXML writes them, and every variant that circulates."""

import datetime as dt
import re
from typing import Final

from server.exchange.model import VIETNAM

_DATE: Final = re.compile(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})(?=$|[T ])|(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?=$|[T ])")
_TIME: Final = re.compile(r"[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})?$")
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}
_NUMBER: Final = re.compile(r"-?\d{1,12}")


def write_date(day: dt.date | None) -> str:
    """`yyyy/MM/dd`, or empty."""
    return "" if day is None else f"{day.year:04}/{day.month:02}/{day.day:02}"


def write_time(at_us: int | None) -> str:
    """`yyyy/MM/dd HH:mm:ss` Vietnam time, or empty; fractions of a second are cut."""
    if at_us is None:
        return ""
    at = dt.datetime.fromtimestamp(at_us // 1_000_000, VIETNAM)
    return f"{write_date(at.date())} {at:%H:%M:%S}"


def read_date(text: str) -> dt.date:
    """The day in any circulating form (`yyyy/MM/dd`, `dd/MM/yyyy`, `yyyy-MM-dd`, ISO date-time). Raises ValueError."""
    found = _DATE.match(text)
    if found is None:
        raise ValueError("date")
    year, month, day = found.group(1, 2, 3) if found.group(1) else found.group(6, 5, 4)
    return dt.date(int(year), int(month), int(day))


def read_time(text: str) -> int:
    """Microseconds UTC. A time without zone is Vietnam's; a date alone is its midnight. Raises ValueError."""
    day = read_date(text)
    found = _TIME.search(text)
    if found is None:
        if len(text) > 10:
            raise ValueError("time")
        return _us(dt.datetime.combine(day, dt.time(), VIETNAM))
    hour, minute, second = (int(part or 0) for part in found.group(1, 2, 3))
    return _us(dt.datetime.combine(day, dt.time(hour, minute, second), _zone(found.group(4))))


def _zone(text: str | None) -> dt.timezone:
    if text is None:
        return VIETNAM
    if text == "Z":
        return dt.UTC
    offset = dt.timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return dt.timezone(-offset if text[0] == "-" else offset)


def _us(at: dt.datetime) -> int:
    return int((at - dt.datetime.fromtimestamp(0, dt.UTC)).total_seconds()) * 1_000_000


def read_number(text: str) -> int:
    """Decimal digits. Raises ValueError."""
    if not _NUMBER.fullmatch(text):
        raise ValueError("number")
    return int(text)


def read_flag(text: str) -> bool:
    """`true`, `false`, `1` or `0`. Raises ValueError."""
    if text.lower() not in _FLAGS:
        raise ValueError("flag")
    return _FLAGS[text.lower()]
