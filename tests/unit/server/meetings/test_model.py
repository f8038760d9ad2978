"""The rules of meetings that need no store: urgency from the time left, what differs, whole answers, the door (MTG-1, MTG-5, MTG-6)."""

import csv
import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import logs
from server.errors import Refused
from server.meetings import report, words
from server.meetings.model import (
    DAY_US,
    HOUR_US,
    MINUTE_US,
    Answer,
    AttendeeRow,
    Details,
    MeetingRow,
    MeetingState,
    check_answer,
    check_in_open,
    checked,
    differences,
    open_for,
    urgency_of,
)
from server.notices.model import Course

NOW = 1_795_000_020_000_000
SECOND_US = 1_000_000
PLAN = Details("Giao ban", "Phòng A", NOW + DAY_US, NOW + DAY_US + HOUR_US, "c", ("a", "b", "c"))
MEETING = MeetingRow(
    "m", "o", "m@hoatoc", "p", None, None, MeetingState.PLANNED, 2, NOW + DAY_US, NOW + DAY_US + HOUR_US, NOW
)
ATTENDEE = AttendeeRow("a", "Người a", "", None, None, Answer.NONE, None, None, "", None, None)


@pytest.mark.parametrize(
    ("left_us", "grade"),
    [
        (4 * HOUR_US - 1, 3), (4 * HOUR_US, 1), (DAY_US - 1, 1), (DAY_US, 0), (0, 3), (-HOUR_US, 3),
    ],
)  # fmt: skip
def test_the_time_left_is_the_least_urgency(left_us: int, grade: int) -> None:
    assert urgency_of(0, NOW, NOW + left_us) == grade
    assert urgency_of(2, NOW, NOW + left_us) == max(2, grade)
    assert urgency_of(4, NOW, NOW + left_us) == 4
    # Moved to next week, it would still have been soon: whoever is on the way there must know.
    assert urgency_of(0, NOW, NOW + left_us, NOW + 7 * DAY_US) == grade
    assert urgency_of(0, NOW, NOW + 7 * DAY_US, NOW + left_us) == grade


_TEXT = st.text(st.sampled_from("ab \n"), max_size=6)
_MINUTE = st.integers(0, 9).map(lambda minutes: minutes * MINUTE_US)
_DETAILS = st.builds(
    Details, title=_TEXT, place=_TEXT, starts_us=_MINUTE, ends_us=_MINUTE, chair=st.sampled_from("abc"),
    attendees=st.frozensets(st.sampled_from("abcd")).map(lambda some: tuple(sorted(some))), agenda=_TEXT, asked=_TEXT,
)  # fmt: skip


@given(before=_DETAILS, after=_DETAILS)
def test_what_differs_leads_from_one_to_the_other_and_nothing_else_does(before: Details, after: Details) -> None:
    made = msgspec.structs.asdict(before)
    for one in differences(before, after):
        if one.field == "time":
            made["starts_us"], made["ends_us"] = one.after
        elif one.field == "attendees":
            made["attendees"] = tuple(sorted((set(before.attendees) - set(one.before)) | set(one.after)))
        else:
            made[one.field] = one.after
        assert one.before != one.after
    assert Details(**made) == after
    named = words.people_in(before, after)
    for view in words.changes(before, after, {one: f"Người {one}" for one in named}):
        assert view.before != view.after
    assert words.changes(None, after, {}) == []


def test_what_is_kept_is_clean_and_the_chair_attends() -> None:
    given_ = msgspec.structs.replace(
        PLAN,
        title=" Giao\u202e  ban ",
        agenda="\n1. Một\x00\n\n2. Hai \n",
        attendees=("b", "b"),
        starts_us=PLAN.starts_us + 59_999_999,
    )
    tidy = checked(given_, NOW)
    assert tidy.starts_us == PLAN.starts_us
    assert (tidy.title, tidy.agenda, tidy.attendees) == ("Giao ban", "1. Một\n\n2. Hai", ("b", "c"))
    for change in (
        {"starts_us": NOW}, {"ends_us": PLAN.starts_us}, {"place": " \u202e"}, {"ends_us": PLAN.starts_us + 32 * DAY_US},
    ):  # fmt: skip
        with pytest.raises(Refused) as refused:
            checked(msgspec.structs.replace(PLAN, **change), NOW)
        assert refused.value.code == "invalid-request"


def test_a_meeting_is_open_until_it_starts_for_its_newest_revision() -> None:
    open_for(MEETING, 2, MEETING.starts_us - 1)
    for meeting, sequence, now_us, why in (
        (MEETING, 2, MEETING.starts_us, "meeting-over"),
        (MEETING, 1, NOW, "meeting-changed"),
        (MEETING, 3, NOW, "meeting-changed"),
        (MEETING, 1, MEETING.starts_us, "meeting-over"),
        (msgspec.structs.replace(MEETING, state=MeetingState.CANCELLED), 2, NOW, "meeting-over"),
    ):
        with pytest.raises(Refused) as refused:
            open_for(meeting, sequence, now_us)
        assert refused.value.code == why


def test_the_door_opens_before_the_start_and_closes_after_a_week() -> None:
    early, late = MEETING.starts_us - 2 * HOUR_US, MEETING.ends_us + 7 * DAY_US
    for now_us in (early, late):
        check_in_open(MEETING, now_us)
    for meeting, now_us in (
        (MEETING, early - 1), (MEETING, late + 1), (msgspec.structs.replace(MEETING, state=MeetingState.CANCELLED), early),
    ):  # fmt: skip
        with pytest.raises(Refused):
            check_in_open(meeting, now_us)


@pytest.mark.parametrize(
    ("answer", "reason", "substitute", "stands_for", "why"),
    [
        (Answer.ATTEND, "", None, None, ""),
        (Answer.DECLINE, " Đi\u202e công tác ", None, None, ""),
        (Answer.SUBSTITUTE, "", "b", None, ""),
        (Answer.NONE, "", None, None, "answer"),
        (Answer.DECLINE, " \u202e", None, None, "reason"),
        (Answer.ATTEND, "", "b", None, "substitute"),
        (Answer.SUBSTITUTE, "", None, None, "substitute"),
        (Answer.SUBSTITUTE, "", "a", None, "substitute"),
        (Answer.SUBSTITUTE, "", "b", "z", "substitute-of-substitute"),
    ],
)
def test_an_answer_is_whole_or_refused(
    answer: Answer, reason: str, substitute: str | None, stands_for: str | None, why: str
) -> None:
    attendee = msgspec.structs.replace(ATTENDEE, substitute_for=stands_for)
    if not why:
        assert check_answer(answer, reason, substitute, attendee) == ("Đi công tác" if reason else "")
        return
    with pytest.raises(Refused) as refused:
        check_answer(answer, reason, substitute, attendee)
    assert (refused.value.code, refused.value.fields) == ("answer-invalid", {"reason": why})


def test_an_answer_to_an_older_revision_is_none() -> None:
    attendee = msgspec.structs.replace(ATTENDEE, answer=Answer.ATTEND, answered=1)
    assert [attendee.answer_for(sequence) for sequence in (0, 1, 2)] == [Answer.NONE, Answer.ATTEND, Answer.NONE]


def test_times_are_told_as_in_vietnam() -> None:
    """TIM-7: UTC inside, Asia/Ho_Chi_Minh outside."""
    starts_us = 1_793_494_800 * SECOND_US  # 2026-11-01T01:00:00Z
    assert words.span(starts_us, starts_us + 2 * HOUR_US) == "08:00–10:00 01/11/2026"
    assert words.span(starts_us, starts_us + 20 * HOUR_US) == "08:00 01/11/2026 – 04:00 02/11/2026"


def test_no_log_says_the_address_of_a_feed() -> None:
    """A14: the path of a request that failed is logged; this one opens a person's calendar."""
    path = "/calendar/" + "Ab3_-" * 9 + ".ics"
    assert logs.redact(None, "", {"path": path}) == {"path": "/calendar/[redacted].ics"}


def test_a_spreadsheet_runs_nothing_of_a_list_and_old_answers_are_none() -> None:
    """CSV (RFC 4180) of what people wrote: a cell that looks like a formula is a text."""
    rows = [
        msgspec.structs.replace(ATTENDEE, name='=HYPERLINK("http://x")', organisation="o1", organisation_name="Xã Mẫu", answer=Answer.DECLINE, answered=3, answered_us=NOW, reason="-1+1,\"'"),
        msgspec.structs.replace(ATTENDEE, person="b", name="@b", answer=Answer.ATTEND, answered=2, answered_us=NOW, reason="cũ", position="Chủ tịch", organisation="o2", organisation_name="Xã Bạn"),
        msgspec.structs.replace(ATTENDEE, person="c", name="đã thôi", last=2),
    ]  # fmt: skip
    told = {"a": Course(NOW, NOW + SECOND_US, None)}
    first, second = list(
        csv.reader(
            io.StringIO(
                report.table(msgspec.structs.replace(MEETING, organisation="o1", sequence=3), rows, told).decode(
                    "utf-8-sig"
                )
            )
        )
    )[1:]
    assert first == ["'=HYPERLINK(\"http://x\")", "", "18/11/2026 18:07:00", "18/11/2026 18:07:01", "", "Vắng mặt", "18/11/2026 18:07:00", "'-1+1,\"'", "", "", ""]  # fmt: skip
    assert second == ["'@b", "Chủ tịch, Xã Bạn", *[""] * 3, "Chưa trả lời", *[""] * 5]
