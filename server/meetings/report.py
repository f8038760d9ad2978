"""What became of an invitation: who was told when, what was answered, who came; as CSV for the organiser's spreadsheet."""

import csv
import io
from datetime import datetime

from server.meetings.model import Answer, AttendeeRow
from server.meetings.words import ZONE
from server.notices.model import Course

_HEAD = (
    "Họ và tên", "Chức vụ", "Được báo lúc", "Máy nhận lúc", "Đã xem lúc", "Trả lời", "Trả lời lúc", "Lý do", "Người dự thay", "Dự thay cho", "Có mặt lúc",
)  # fmt: skip
_ANSWERS = {
    Answer.NONE: "Chưa trả lời",
    Answer.ATTEND: "Tham dự",
    Answer.DECLINE: "Vắng mặt",
    Answer.SUBSTITUTE: "Cử người dự thay",
}


def table(sequence: int, attendees: list[AttendeeRow], told: dict[str, Course]) -> bytes:
    """UTF-8 with a byte-order mark, times as in Vietnam, one line a person on the list; answers for the newest revision alone."""
    names = {one.person: one.name for one in attendees}
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_HEAD)
    for one in attendees:
        if one.last is None:
            answer, mine = one.answer_for(sequence), told.get(one.person)
            counts = answer is not Answer.NONE
            writer.writerow(
                _safe(value)
                for value in (
                    one.name, one.position, *(("", "", "") if mine is None else (_local(mine.told_us), _local(mine.received_us), _local(mine.seen_us))),
                    _ANSWERS[answer], _local(one.answered_us if counts else None), one.reason if counts else "",
                    names.get(one.substitute or "", "") if counts else "", names.get(one.substitute_for or "", ""), _local(one.came_us),
                )
            )  # fmt: skip
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _local(us: int | None) -> str:
    return "" if us is None else datetime.fromtimestamp(us // 1_000_000, ZONE).strftime("%d/%m/%Y %H:%M:%S")


def _safe(text: str) -> str:
    """A text that a spreadsheet takes for a formula is shown as what it is."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text
