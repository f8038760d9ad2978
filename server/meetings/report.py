"""What became of an invitation: who was told when, what was answered, who came; as CSV for the organiser's spreadsheet."""

from datetime import datetime

from server import spreadsheet
from server.meetings.model import Answer, AttendeeRow, MeetingRow
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


def table(meeting: MeetingRow, attendees: list[AttendeeRow], told: dict[str, Course]) -> bytes:
    """One line a person on the list, times as in Vietnam; answers for the newest revision alone."""
    names = {one.person: one.name for one in attendees}
    return spreadsheet.table([_HEAD, *(_line(meeting, one, names, told) for one in attendees if one.last is None)])


def _line(meeting: MeetingRow, one: AttendeeRow, names: dict[str, str], told: dict[str, Course]) -> tuple[str, ...]:
    answer, mine = one.answer_for(meeting.sequence), told.get(one.person)
    position = one.position if one.organisation == meeting.organisation else f"{one.position}, {one.organisation_name}"
    counts = answer is not Answer.NONE
    return (
        one.name, position, *(("", "", "") if mine is None else (_local(mine.told_us), _local(mine.received_us), _local(mine.seen_us))),
        _ANSWERS[answer], _local(one.answered_us if counts else None), one.reason if counts else "",
        names.get(one.substitute or "", "") if counts else "", names.get(one.substitute_for or "", ""), _local(one.came_us),
    )  # fmt: skip


def _local(us: int | None) -> str:
    return "" if us is None else datetime.fromtimestamp(us // 1_000_000, ZONE).strftime("%d/%m/%Y %H:%M:%S")
