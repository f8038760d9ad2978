"""What a meeting is and the rules that need no store: who may change it when, what an answer counts for, what changed.

A meeting is one event (`uid`, RFC 5545) in numbered revisions from 0. A change of anything in `Details`, and a cancellation, is the next
one (MTG-5). An answer belongs to the revision that it was given for and counts while that is the newest (MTG-6). Once the meeting has
started nothing is changed, answered or told.
"""

from enum import StrEnum
from typing import Final

import msgspec

from server.documents.model import clean
from server.errors import Refused

MINUTE_US: Final = 60_000_000
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
LONGEST_US: Final = 31 * DAY_US
FURTHEST_US: Final = 731 * DAY_US
EARLY_US: Final = 2 * HOUR_US
LATE_US: Final = 7 * DAY_US


class MeetingState(StrEnum):
    PLANNED = "planned"
    CANCELLED = "cancelled"


class RevisionKind(StrEnum):
    INVITED = "invited"
    CHANGED = "changed"
    CANCELLED = "cancelled"


class Answer(StrEnum):
    NONE = ""
    ATTEND = "attend"
    DECLINE = "decline"
    SUBSTITUTE = "substitute"


class Details(msgspec.Struct, frozen=True):
    """What one revision says (MTG-1). Times are microseconds UTC; `chair` and `attendees` are ids of people, the chair among them.

    `asked`: what attendees are asked to prepare. `urgency`: the least that the organiser wants its notices to have.
    """

    title: str
    place: str
    starts_us: int
    ends_us: int
    chair: str
    attendees: tuple[str, ...]
    agenda: str = ""
    asked: str = ""
    urgency: int = 0


class MailInvitation(msgspec.Struct, frozen=True):
    """Job `meetings.mail`: one mail to one attendee about one revision. `method`: request or cancel."""

    meeting: str
    person: str
    sequence: int
    method: str


class Remind(msgspec.Struct, frozen=True):
    """Job `meetings.remind`: whoever has not answered this revision is asked again."""

    meeting: str
    sequence: int


class MeetingRow(msgspec.Struct, frozen=True):
    id: str
    organisation: str
    uid: str
    organiser: str | None
    client: str | None
    source_reference: str | None
    state: MeetingState
    sequence: int
    starts_us: int
    ends_us: int
    created_us: int


class AttendeeRow(msgspec.Struct, frozen=True):
    """A row of `meeting_attendees` with the person's name, position and organisation as recorded."""

    person: str
    name: str
    position: str
    last: int | None
    substitute_for: str | None
    answer: Answer
    answered: int | None
    answered_us: int | None
    reason: str
    substitute: str | None
    came_us: int | None
    organisation: str = ""
    organisation_name: str = ""

    def answer_for(self, sequence: int) -> Answer:
        """What counts for this revision: an answer to an older one is none (MTG-5)."""
        return self.answer if self.answered == sequence else Answer.NONE


class Difference(msgspec.Struct, frozen=True):
    """One thing before and after: of `time` (starts, ends) in microseconds UTC, of `attendees` the ids that left and the ids that came,
    else the field of `Details`.
    """

    field: str
    before: str | tuple[int, int] | tuple[str, ...]
    after: str | tuple[int, int] | tuple[str, ...]


def paragraphs(text: str) -> str:
    """`clean` for texts of several lines: no control and direction characters (B11), no blank lines at the ends."""
    return "\n".join(clean(line) for line in text.splitlines()).strip()


def checked(details: Details, now_us: int) -> Details:
    """`details` with clean texts, whole minutes (as they are shown), each person once, the chair among them.

    Raises: Refused("invalid-request") for empty texts and times that are past, reversed or too far.
    """
    tidy = msgspec.structs.replace(
        details,
        title=clean(details.title),
        place=clean(details.place),
        starts_us=details.starts_us // MINUTE_US * MINUTE_US,
        ends_us=details.ends_us // MINUTE_US * MINUTE_US,
        agenda=paragraphs(details.agenda),
        asked=paragraphs(details.asked),
        attendees=tuple(sorted({*details.attendees, details.chair})),
    )
    if not tidy.title or not tidy.place:
        raise Refused("invalid-request", detail="title and place must not be empty")
    if not now_us < tidy.starts_us <= now_us + FURTHEST_US:
        raise Refused("invalid-request", detail="a meeting starts in the future, within two years")
    if not tidy.starts_us < tidy.ends_us <= tidy.starts_us + LONGEST_US:
        raise Refused("invalid-request", detail="a meeting ends after its start, within 31 days")
    return tidy


def open_for(meeting: MeetingRow, sequence: int, now_us: int) -> None:
    """A change or an answer for revision `sequence` may be made now.

    Raises: Refused("meeting-over") once it has started or was cancelled; Refused("meeting-changed") where there is a newer revision.
    """
    if meeting.state is MeetingState.CANCELLED or now_us >= meeting.starts_us:
        raise Refused("meeting-over")
    if sequence != meeting.sequence:
        raise Refused("meeting-changed", sequence=meeting.sequence)


def check_in_open(meeting: MeetingRow, now_us: int) -> None:
    """Who came is written down from two hours before the start to a week after the end. Raises: Refused("meeting-over")."""
    begun = meeting.starts_us - EARLY_US <= now_us <= meeting.ends_us + LATE_US
    if meeting.state is MeetingState.CANCELLED or not begun:
        raise Refused("meeting-over")


def urgency_of(wanted: int, now_us: int, *starts_us: int) -> int:
    """MTG-5: less than 24 h before is at least khẩn (1), less than 4 h hỏa tốc (3); of an old and a new start the nearer counts."""
    left_us = min(starts_us) - now_us
    least = 3 if left_us < 4 * HOUR_US else 1 if left_us < DAY_US else 0
    return max(wanted, least)


def differences(before: Details, after: Details) -> list[Difference]:
    """What an attendee has to know, in the order in which it is shown; empty where nothing differs in the end."""
    found: list[Difference] = []
    times = [(one.starts_us, one.ends_us) for one in (before, after)]
    if times[0] != times[1]:
        found.append(Difference("time", times[0], times[1]))
    for field in ("place", "chair", "title", "agenda", "asked"):
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            found.append(Difference(field, old, new))
    left = tuple(one for one in before.attendees if one not in after.attendees)
    came = tuple(one for one in after.attendees if one not in before.attendees)
    if left or came:
        found.append(Difference("attendees", left, came))
    return found


def check_answer(answer: Answer, reason: str, substitute: str | None, attendee: AttendeeRow) -> str:
    """The cleaned reason of an answer that is whole (MTG-6): a refusal says why, a substitute is named and sends nobody further.

    Raises: Refused("answer-invalid") with the part in `reason`.
    """
    said = clean(reason)
    fault = ""
    if answer is Answer.NONE:
        fault = "answer"
    elif answer is Answer.DECLINE and not said:
        fault = "reason"
    elif (answer is Answer.SUBSTITUTE) != (substitute is not None) or substitute == attendee.person:
        fault = "substitute"
    elif answer is Answer.SUBSTITUTE and attendee.substitute_for is not None:
        fault = "substitute-of-substitute"
    if fault:
        raise Refused("answer-invalid", reason=fault)
    return said
