"""Meetings over HTTP: for those who call them (clerk, staff, other systems), for those who attend, and calendars.

Longer than most: one meeting has many readers, and what each is shown stands in one place.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Body, JSONBody, PathParameter, QueryParameter

from server.clock import Clock
from server.db import Row
from server.documents.model import clean
from server.http import Given, Id, Key, Whole, blob_answer, cursor, encoded, from_cursor, once, save_upload
from server.identity.guard import PERSON, allow, public
from server.identity.model import Actor, Role
from server.limits import Rate
from server.meetings import report
from server.meetings.calendar import CalendarService, invitation
from server.meetings.model import Answer, AttendeeRow, Details
from server.meetings.papers import PaperAnswer, PaperService
from server.meetings.service import AnswerGiven, MeetingAnswer, MeetingService, Shown
from server.meetings.words import ChangeView
from server.previews.model import RevisionManifest
from server.settings import Settings
from server.storage import Blobs
from server.wire import iso, iso_or_none

_CALLERS = allow(roles={Role.CLERK, Role.STAFF}, scopes={"meetings:write"})
_READERS = allow(roles=PERSON, scopes={"meetings:write"})
_TAGS = ["meetings", "phone"]

PersonId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
Reason = Annotated[str, msgspec.Meta(max_length=1000)]
Sha256 = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$")]


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an invitation says (MTG-1). `asked`: what attendees are asked to prepare.

    `chair` is the id of a member of the organisation, who attends whether named or not; `attendees` are members, and leaders of other organisations
    (`GET /api/v1/meetings/guests`).
    """

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    place: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    starts_at: Moment
    ends_at: Moment
    chair: PersonId
    attendees: Annotated[list[PersonId], msgspec.Meta(max_length=500)]
    agenda: Annotated[str, msgspec.Meta(max_length=8000)] = ""
    asked: Annotated[str, msgspec.Meta(max_length=2000)] = ""

    def details(self, urgency: int) -> Details:
        return Details(
            title=self.title, place=self.place, starts_us=_us(self.starts_at), ends_us=_us(self.ends_at), chair=self.chair, attendees=tuple(self.attendees),
            agenda=self.agenda, asked=self.asked, urgency=urgency,
        )  # fmt: skip


class Convening(Plan, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`urgency` 0 to 4: the least for its notices. `source_reference`: the caller's own name for it, given back in webhooks."""

    urgency: Annotated[int, msgspec.Meta(ge=0, le=4)] = 0
    source_reference: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class Rescheduling(Plan, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of the new revision; `sequence` is the revision that it was made from. Without `urgency` it keeps that revision's."""

    sequence: Sequence
    urgency: Literal[0, 1, 2, 3, 4] | None = None


class Cancellation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sequence: Sequence
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`answer`: attend, decline (with `reason`), substitute (with a person's id). `sequence`: the revision that it is for (MTG-5)."""

    sequence: Sequence
    answer: Answer
    reason: Reason = ""
    substitute: PersonId | None = None


class Attendance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    people: Annotated[list[PersonId], msgspec.Meta(min_length=1, max_length=500)]
    came: bool = True


class PaperForm(msgspec.Struct):
    """multipart/form-data: `file` is a PDF, `name` what it is called, `replaces` the id of the paper whose place it takes."""

    file: UploadFile
    name: str
    replaces: str = ""


class MeetingLine(msgspec.Struct, frozen=True):
    """A meeting in a list. `state`: planned, cancelled, or withdrawn for whoever was taken off.

    `time` is start and end as in Vietnam. `answer` counts for revision `sequence`; `open`: it can still be answered and changed. `changes`: since the caller's last answer, else since the
    revision before. `silent`: how many have not answered, for whoever manages the meeting.
    """

    id: str
    state: str
    sequence: int
    title: str
    place: str
    starts_at: str
    ends_at: str
    time: str
    urgency: int
    open: bool
    managed: bool
    attends: bool
    answer: Answer
    silent: int | None
    changes: list[ChangeView]


class MeetingPage(msgspec.Struct, frozen=True):
    items: list[MeetingLine]
    next: str | None


class AttendeeView(msgspec.Struct, frozen=True):
    """What a person answered for the newest revision is for whoever manages the meeting, and for himself. `organisation`: a guest's, null for members."""

    person: str
    name: str
    position: str
    organisation: str | None
    answer: Answer | None
    answered_at: str | None
    reason: str
    substitute: str | None
    substitute_for: str | None
    came_at: str | None


class PaperView(msgspec.Struct, frozen=True):
    """`revision` (SHA-256) and `size` in bytes let a phone fetch all papers ahead; `version` above 1: it took another's place."""

    id: str
    name: str
    revision: str
    size: int
    page_count: int
    version: int
    changed_at: str


class ConflictView(msgspec.Struct, frozen=True):
    """Another meeting of this person at the same time; its id and title only where it is the caller's own. `time` as in Vietnam."""

    person: str
    name: str
    time: str
    meeting: str | None
    title: str | None


class MeetingView(MeetingLine, frozen=True):
    """`note`: why it was cancelled. `mine`: the caller's own place on the list."""

    uid: str
    chair: str
    agenda: str
    asked: str
    note: str
    changed_at: str
    organiser: str | None
    source_reference: str | None
    mine: AttendeeView | None
    attendees: list[AttendeeView]
    papers: list[PaperView]
    conflicts: list[ConflictView]


class GuestView(msgspec.Struct, frozen=True):
    """A leader of another organisation of this installation."""

    id: str
    name: str
    position: str
    organisation: str


class FeedAddress(msgspec.Struct, frozen=True):
    """Whoever knows `url` reads the calendar: it is for the person's own calendar application."""

    url: str


class FeedView(msgspec.Struct, frozen=True):
    created_at: str
    fetched_at: str | None


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def _line(shown: Shown) -> dict[str, Any]:
    row, details = shown.row, shown.details
    return {
        "id": row["id"], "state": shown.state, "sequence": row["shown"], "title": details.title, "place": details.place, "starts_at": iso(details.starts_us),
        "ends_at": iso(details.ends_us), "time": shown.time, "urgency": row["urgency"], "open": shown.open, "managed": bool(row["managed"]),
        "attends": row["person"] is not None and row["last"] is None, "answer": shown.answer, "silent": shown.silent, "changes": shown.changes,
    }  # fmt: skip


def _attendee(one: AttendeeRow, sequence: int, home: str, *, whole: bool) -> AttendeeView:
    answer = one.answer_for(sequence)
    counts = whole and answer is not Answer.NONE
    return AttendeeView(
        person=one.person, name=one.name, position=one.position, organisation=None if one.organisation == home else one.organisation_name,
        answer=answer if whole else None, answered_at=iso_or_none(one.answered_us) if counts else None,
        reason=one.reason if counts else "", substitute=one.substitute if counts else None, substitute_for=one.substitute_for,
        came_at=iso_or_none(one.came_us) if whole else None,
    )  # fmt: skip


def _paper(row: Row) -> PaperView:
    return PaperView(
        row["id"], row["name"], row["digest"], row["size"], row["page_count"], row["version"], iso(row["changed_us"])
    )


@post(
    "/api/v1/meetings",
    operation_id="conveneMeeting",
    summary="Call a meeting",
    tags=_TAGS,
    status_code=201,
    opt={**_CALLERS, "idempotent": True},
    responses={201: ResponseSpec(MeetingAnswer, generate_examples=False)},
)
async def convene(
    request: Request[Any, Any, Any], data: JSONBody[Convening], actor: Given[Actor], meetings: Given[MeetingService], clock: Given[Clock],
) -> Response[bytes]:  # fmt: skip
    """Everybody on the list is told at once; how urgently follows from the time that is left (MTG-5)."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(
        await meetings.convene(actor, data.details(data.urgency), clean(data.source_reference or "") or None, claim),
        201,
    )


@get("/api/v1/meetings", operation_id="listMeetings", summary="My meetings, the next first", tags=_TAGS, opt=_READERS)
async def listing(
    actor: Given[Actor],
    meetings: Given[MeetingService],
    cursor_: Annotated[str | None, QueryParameter(name="cursor", max_length=400)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
) -> MeetingPage:
    """What the caller attends or manages; behind them what ended within a week."""
    after = from_cursor(cursor_, tuple[Annotated[int, msgspec.Meta(ge=-1, le=1)], Whole, Key], (-1, 0, ""))
    found = await meetings.listing(actor, after=after, limit=limit)
    last = found[-1].row if len(found) == limit else None
    return MeetingPage(
        items=[MeetingLine(**_line(one)) for one in found],
        next=None if last is None else cursor((last["ended"], last["starts_us"], last["id"])),
    )


@get(
    "/api/v1/meetings/guests",
    operation_id="findGuests",
    summary="Leaders of other organisations who may be invited",
    tags=_TAGS,
    opt=_CALLERS,
)
async def guests(
    actor: Given[Actor], meetings: Given[MeetingService], words: Annotated[str, QueryParameter(name="query", min_length=2, max_length=100)]
) -> list[GuestView]:  # fmt: skip
    """By words of name, position or organisation, with or without marks; fifty at most."""
    rows = await meetings.guests(actor, words)
    return [GuestView(row["id"], row["name"], row["position"], row["organisation"]) for row in rows]


@get("/api/v1/meetings/{meeting:str}", operation_id="readMeeting", summary="One meeting", tags=_TAGS, opt=_READERS)
async def read(
    meeting: Id, actor: Given[Actor], meetings: Given[MeetingService], meeting_papers: Given[PaperService]
) -> MeetingView:
    """Who was taken off the list sees the last revision that was his, without papers."""
    shown = await meetings.show(actor, meeting)
    row, managed = shown.row, bool(shown.row["managed"])
    views = {
        one.person: _attendee(one, row["shown"], row["organisation"], whole=managed or one.person == actor.id)
        for one in shown.attendees
    }
    return MeetingView(
        **_line(shown), uid=row["uid"], chair=shown.details.chair, agenda=shown.details.agenda, asked=shown.details.asked, note=row["note"],
        changed_at=iso(row["changed_us"]), organiser=row["organiser"], source_reference=row["source_reference"] if managed else None,
        mine=views.get(actor.id), attendees=list(views.values()), papers=[_paper(one) for one in await meeting_papers.of(row)],
        conflicts=[
            ConflictView(one.person, one.name, one.time, one.meeting, one.title) for one in shown.conflicts
        ],
    )  # fmt: skip


@post(
    "/api/v1/meetings/{meeting:str}/changes",
    operation_id="changeMeeting",
    summary="Change a meeting",
    tags=_TAGS,
    status_code=200,
    opt={**_CALLERS, "idempotent": True},
    responses={200: ResponseSpec(MeetingAnswer, generate_examples=False)},
)
async def change(
    request: Request[Any, Any, Any], meeting: Id, data: JSONBody[Rescheduling], actor: Given[Actor], meetings: Given[MeetingService], clock: Given[Clock],
) -> Response[bytes]:  # fmt: skip
    """The next revision of the same event: everybody is told before and after, and answers again. By whoever called it, or a clerk."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    wanted = data.details(data.urgency or 0)
    return encoded(
        await meetings.change(actor, meeting, data.sequence, wanted, claim, keeps_urgency=data.urgency is None)
    )


@post(
    "/api/v1/meetings/{meeting:str}/cancellation",
    operation_id="cancelMeeting",
    summary="Cancel a meeting",
    tags=_TAGS,
    status_code=200,
    opt={**_CALLERS, "idempotent": True},
    responses={200: ResponseSpec(MeetingAnswer, generate_examples=False)},
)
async def cancel(
    request: Request[Any, Any, Any], meeting: Id, data: JSONBody[Cancellation], actor: Given[Actor], meetings: Given[MeetingService], clock: Given[Clock],
) -> Response[bytes]:  # fmt: skip
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(await meetings.cancel(actor, meeting, data.sequence, data.reason, claim))


@post(
    "/api/v1/meetings/{meeting:str}/answer",
    operation_id="answerMeeting",
    summary="Attend, decline or send a substitute",
    tags=_TAGS,
    status_code=200,
    opt={**allow(roles=PERSON), "idempotent": True},
    responses={200: ResponseSpec(MeetingAnswer, generate_examples=False)},
)
async def answer(
    request: Request[Any, Any, Any], meeting: Id, data: JSONBody[Reply], actor: Given[Actor], meetings: Given[MeetingService], clock: Given[Clock],
) -> Response[bytes]:  # fmt: skip
    """For the newest revision, until it starts; the last answer counts (MTG-6). It acknowledges the notice, too."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    given = AnswerGiven(data.sequence, data.answer, data.reason, data.substitute)
    return encoded(await meetings.answer(actor, meeting, given, claim))


@post(
    "/api/v1/meetings/{meeting:str}/attendance",
    operation_id="checkIn",
    summary="Write down who came",
    tags=_TAGS,
    status_code=204,
    opt=_CALLERS,
)
async def check_in(
    meeting: Id, data: JSONBody[Attendance], actor: Given[Actor], meetings: Given[MeetingService]
) -> None:
    """From two hours before the start to a week after the end; `came` false takes it back."""
    await meetings.check_in(actor, meeting, tuple(data.people), came=data.came)


@get(
    "/api/v1/meetings/{meeting:str}/invitation",
    operation_id="fetchInvitation",
    summary="The meeting for a calendar (.ics)",
    tags=_TAGS,
    opt=_READERS,
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="text/calendar")},
)
async def fetch_invitation(meeting: Id, actor: Given[Actor], meetings: Given[MeetingService]) -> Response[bytes]:
    """RFC 5546 REQUEST, or CANCEL where it was cancelled or the caller was taken off its list."""
    shown = await meetings.show(actor, meeting)
    return _file(invitation(shown.row, shown.attendees, shown.organisation), "text/calendar", "meeting.ics")


@get(
    "/api/v1/meetings/{meeting:str}/report",
    operation_id="exportAttendance",
    summary="Who was told, answered and came (CSV)",
    tags=_TAGS,
    opt=_CALLERS,
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="text/csv")},
)
async def export(meeting: Id, actor: Given[Actor], meetings: Given[MeetingService]) -> Response[bytes]:
    row, attendees, told = await meetings.course(actor, meeting)
    return _file(report.table(row, attendees, told), "text/csv", "attendance.csv")


def _file(body: bytes, media_type: str, name: str) -> Response[bytes]:
    return Response(
        content=body,
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@post(
    "/api/v1/meetings/{meeting:str}/papers",
    operation_id="putPaper",
    summary="Add or replace a paper",
    tags=["meetings"],
    status_code=201,
    opt={**_CALLERS, "idempotent": True, "rate": Rate.INTAKE},
    responses={201: ResponseSpec(PaperAnswer, generate_examples=False)},
    request_max_body_size=None,
)
async def put_paper(
    request: Request[Any, Any, Any],
    meeting: Id,
    data: Annotated[PaperForm, Body(media_type=RequestEncodingType.MULTI_PART)],
    actor: Given[Actor],
    meeting_papers: Given[PaperService],
    blobs: Given[Blobs],
    settings: Given[Settings],
    clock: Given[Clock],
) -> Response[bytes]:
    """A PDF, looked at as any document's; attendees are told."""
    path, digest = await save_upload(data.file, blobs.scratch(), settings.limits.document_bytes)
    try:
        asked = msgspec.json.encode((digest, data.name, data.replaces))
        claim = once(request, actor.id, asked, clock.now_us())
        replaces = clean(data.replaces) or None
        return encoded(
            await meeting_papers.put(actor, meeting, path, name=data.name[:200], replaces=replaces, once=claim), 201
        )
    finally:
        path.unlink(missing_ok=True)


@get(
    "/api/v1/meetings/{meeting:str}/papers/{paper:str}/revisions/{revision:str}/manifest",
    operation_id="readPaperManifest",
    summary="The page images of a paper",
    tags=_TAGS,
    opt=_READERS,
    responses={200: ResponseSpec(RevisionManifest, generate_examples=False)},
)
async def manifest(
    meeting: Id, paper: Id, revision: Sha256, actor: Given[Actor], meeting_papers: Given[PaperService]
) -> Response[bytes]:
    return encoded(await meeting_papers.manifest(actor, meeting, paper, revision))


@get(
    "/api/v1/meetings/{meeting:str}/papers/{paper:str}/revisions/{revision:str}/pages/{page:int}",
    operation_id="fetchPaperPage",
    summary="One page of a paper as an image",
    tags=_TAGS,
    opt=_READERS,
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="image/jpeg")},
)
async def page(
    request: Request[Any, Any, Any],
    meeting: Id,
    paper: Id,
    revision: Sha256,
    page: Annotated[int, PathParameter(ge=1, le=5000)],
    actor: Given[Actor],
    meeting_papers: Given[PaperService],
    blobs: Given[Blobs],
    width: Annotated[int, QueryParameter(description="360, 720 or 1080 pixels")] = 720,
) -> Response[Any]:
    digest = await meeting_papers.page(actor, meeting, paper, revision, page, width)
    return await blob_answer(request, blobs, digest, media_type="image/jpeg", private_s=86_400)


@get(
    "/api/v1/meetings/{meeting:str}/papers/{paper:str}/revisions/{revision:str}/file",
    operation_id="fetchPaper",
    summary="A paper as it was given",
    tags=_TAGS,
    opt=_READERS,
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="application/pdf")},
)
async def fetch_paper(
    request: Request[Any, Any, Any],
    meeting: Id,
    paper: Id,
    revision: Sha256,
    actor: Given[Actor],
    meeting_papers: Given[PaperService],
    blobs: Given[Blobs],
) -> Response[Any]:
    row = await meeting_papers.find(actor, meeting, paper, revision)
    return await blob_answer(
        request, blobs, revision, media_type="application/pdf", filename=f"{row['name']}.pdf", private_s=86_400
    )


@post(
    "/api/v1/me/calendar",
    operation_id="openCalendar",
    summary="An address for my own calendar",
    tags=_TAGS,
    status_code=201,
    opt={**allow(roles=PERSON), "idempotent": True},
)
async def open_calendar(
    request: Request[Any, Any, Any], actor: Given[Actor], calendars: Given[CalendarService], clock: Given[Clock]
) -> FeedAddress:
    """It stands in this answer only; the one before stops working."""
    return FeedAddress(await calendars.open(actor, once(request, actor.id, b"", clock.now_us())))


@get(
    "/api/v1/me/calendar",
    operation_id="readCalendar",
    summary="Whether I have one",
    tags=_TAGS,
    opt=allow(roles=PERSON),
)
async def standing(actor: Given[Actor], calendars: Given[CalendarService]) -> FeedView | None:
    row = await calendars.standing(actor)
    return None if row is None else FeedView(iso(row["created_us"]), iso_or_none(row["fetched_us"]))


@delete(
    "/api/v1/me/calendar",
    operation_id="endCalendar",
    summary="End my calendar's address",
    tags=_TAGS,
    opt=allow(roles=PERSON),
)
async def end_calendar(actor: Given[Actor], calendars: Given[CalendarService]) -> None:
    await calendars.end(actor)


@get(
    "/calendar/{secret:str}",
    operation_id="fetchCalendar",
    summary="The calendar behind an address",
    tags=["meetings"],
    opt=public(),
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="text/calendar")},
)
async def fetch_calendar(
    secret: Annotated[str, PathParameter(pattern=r"^[A-Za-z0-9_-]{43}\.ics$")], calendars: Given[CalendarService]
) -> Response[bytes]:
    """For calendar applications, which cannot sign a request; counted by address (C7), never indexed or kept by others."""
    answer = _file(await calendars.feed(secret), "text/calendar", "calendar.ics")
    answer.headers.update({"X-Robots-Tag": "noindex", "Cache-Control": "private, no-store"})
    return answer


HANDLERS: list[Any] = [
    convene, listing, guests, read, change, cancel, answer, check_in, fetch_invitation, export, put_paper, manifest, page, fetch_paper, open_calendar, standing,
    end_calendar, fetch_calendar,
]  # fmt: skip
