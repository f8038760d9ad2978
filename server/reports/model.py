"""What reports say, and how it is computed: pure functions over what was counted."""

from datetime import date, timedelta
from typing import Final

import msgspec

from server.errors import Refused
from server.notices.calendar import day_us

_LONGEST: Final = 366
_USUAL: Final = timedelta(days=29)
_EPOCH: Final = date(1970, 1, 1)


class Period(msgspec.Struct, frozen=True):
    """Local days in Vietnam, both included."""

    first: date
    last: date

    @property
    def start_us(self) -> int:
        return day_us(self.first)

    @property
    def end_us(self) -> int:
        """The midnight behind the last day."""
        return day_us(self.last + timedelta(days=1))

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


def period(first: date | None, last: date | None, today: date) -> Period:
    """The wanted days; without them the last thirty. Raises: Refused("invalid-request") unless 1 to 366 days, in order."""
    end = last or today
    try:
        wanted = Period(first or end - _USUAL, end)
        possible = date(2000, 1, 1) <= wanted.first <= wanted.last <= date(2200, 1, 1) and wanted.days <= _LONGEST
    except OverflowError:
        possible = False
    if not possible:
        raise Refused("invalid-request", detail="a period has 1 to 366 days; `from` comes first")
    return wanted


class DayCount(msgspec.Struct, frozen=True):
    """How many on one local day; days without any are left out."""

    day: date
    count: int


def day_of(number: int) -> date:
    """A local day by its number since 1970."""
    return _EPOCH + timedelta(days=number)


class Ranked(msgspec.Struct, frozen=True):
    """One of the sorted durations, µs, with its place from 0 among `total`."""

    value: int
    place: int
    total: int


class Signing(msgspec.Struct, frozen=True):
    """From intake to the last personal signature, of the documents that were signed in the period; seconds."""

    documents: int
    median_s: float | None
    p90_s: float | None


def signing(ranked: list[Ranked]) -> Signing:
    if not ranked:
        return Signing(0, None, None)
    return Signing(ranked[0].total, quantile(ranked, 5) / 1e6, quantile(ranked, 9) / 1e6)


def quantile(ranked: list[Ranked], tenths: int) -> float:
    """The continuous quantile (SQL's percentile_cont): between two places it lies on the line between their values.

    `ranked` holds at least the values at the places beside it.
    """
    whole, rest = divmod((ranked[0].total - 1) * tenths, 10)
    values = {one.place: one.value for one in ranked}
    low = values[whole]
    return low if rest == 0 else low + (values[whole + 1] - low) * (rest / 10)


class Acknowledgement(msgspec.Struct, frozen=True):
    """Notices that somebody had to acknowledge: `in_time` before anybody else was told in that one's place or the same again, `late` after.

    Those that wait within their time, and those that were overtaken, are in neither. `share` is `in_time` of both, null where there is none.
    """

    in_time: int
    late: int
    share: float | None


def acknowledgement(in_time: int, late: int) -> Acknowledgement:
    return Acknowledgement(in_time, late, in_time / (in_time + late) if in_time + late else None)


class Overdue(msgspec.Struct, frozen=True):
    """What is overdue now. `kind`: document, arrival, directive or dossier; a late arrival with a late direction on it is in both. `unit`: who holds it: a
    person, the clerks, the leaders, an organisation, the receivers, this system, a unit.
    """

    kind: str
    unit: str
    count: int


class Postage(msgspec.Struct, frozen=True):
    """What letters would have cost: `total` = `deliveries` × `tariff`, đồng. One letter a receiver, not one a document."""

    deliveries: int
    tariff: int
    total: int


def postage(deliveries: int, tariff: int) -> Postage:
    return Postage(deliveries, tariff, deliveries * tariff)


class Numbers(msgspec.Struct, frozen=True):
    """All of a report. Documents issued and deliveries are two things: one document goes to many receivers."""

    period: Period
    issued: list[DayCount]
    deliveries: list[DayCount]
    signing: Signing
    acknowledgement: Acknowledgement
    overdue: list[Overdue]
    postage: Postage


def together(counts: list[DayCount]) -> int:
    return sum(one.count for one in counts)
