"""What changed, in words that a person reads: names instead of ids, times as in Vietnam."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from server.meetings.model import Details, Difference, differences

ZONE: Final = ZoneInfo("Asia/Ho_Chi_Minh")
_NAMES: Final = {
    "time": ("Thời gian", "Time"),
    "place": ("Địa điểm", "Place"),
    "chair": ("Chủ trì", "Chair"),
    "title": ("Nội dung", "Subject"),
    "agenda": ("Chương trình", "Agenda"),
    "asked": ("Yêu cầu chuẩn bị", "To prepare"),
    "attendees": ("Thành phần rút / thêm", "Left / joined"),
}


class ChangeView(msgspec.Struct, frozen=True):
    """`before` and `after` are texts for people, times in Asia/Ho_Chi_Minh; of `attendees` who left and who joined."""

    field: str
    name: str
    name_en: str
    before: str
    after: str


def span(starts_us: int, ends_us: int) -> str:
    """`14:00–16:30 24/11/2026`, the day of the end only where it is another."""
    starts, ends = (datetime.fromtimestamp(us // 1_000_000, ZONE) for us in (starts_us, ends_us))
    if starts.date() == ends.date():
        return f"{starts:%H:%M}–{ends:%H:%M} {starts:%d/%m/%Y}"
    return f"{starts:%H:%M %d/%m/%Y} – {ends:%H:%M %d/%m/%Y}"


def people_in(before: Details, after: Details) -> set[str]:
    """Ids whose names `changes` needs."""
    found: set[str] = set()
    for one in differences(before, after):
        if one.field == "chair":
            found |= {str(one.before), str(one.after)}
        elif one.field == "attendees":
            found |= {str(person) for side in (one.before, one.after) for person in side}
    return found


def changes(before: Details | None, after: Details, names: Mapping[str, str]) -> list[ChangeView]:
    """`names` of `people_in`; nothing where there is no revision before."""
    return [] if before is None else [_view(one, names) for one in differences(before, after)]


def _view(one: Difference, names: Mapping[str, str]) -> ChangeView:
    said = [_text(one.field, side, names) for side in (one.before, one.after)]
    return ChangeView(one.field, *_NAMES[one.field], *said)


def _text(field: str, value: Any, names: Mapping[str, str]) -> str:
    if field == "time":
        return span(*value)
    if field == "attendees":
        return ", ".join(names.get(one, "") for one in value)
    return names.get(value, "") if field == "chair" else str(value)
