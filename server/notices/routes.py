"""Notices over HTTP: the list, one by its opaque id, acknowledgement, what devices report, who was told, and what people arrange.

Longer than most: half of it is the description of what is shown.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter, QueryParameter

from server.clock import Clock
from server.db import Row
from server.documents.model import clean
from server.http import Given, Id, Key, Whole, cursor, encoded, from_cursor, once
from server.identity.guard import PERSON, allow
from server.identity.model import Actor, Role, Scope
from server.notices.announcements import AnnouncementAnswer, AnnouncementService, Announcing
from server.notices.arrangements import ArrangementService, Report
from server.notices.model import TITLES, URGENCIES, DeviceEvent, NoticeKind, OwnSettings
from server.notices.rules import Hours, PersonId, Policy, Rules
from server.notices.service import NoticeService
from server.wire import iso, iso_or_none

NoticeId = Annotated[str, PathParameter(pattern="^[A-Za-z0-9_-]{22}$")]


class NextStep(msgspec.Struct, frozen=True):
    """Who is told next when nobody acknowledges, and when: `person` (the same again), `deputy`, `duty_officer` or `sender`."""

    at: str
    target: str


class NoticeView(msgspec.Struct, frozen=True):
    """A notice with its texts; `subject`, `number` and `headline` only reach a phone through this answer, never through a push.

    `about` names what it is about (`document:…`, `arrival:…`, `meeting:…`, `order:…` a direction, `escalation:…`); of one `about` the highest `revision` counts. `state` is open,
    acknowledged, superseded, withdrawn or settled (what it asked for was done). Who is told in another's place reads in `headline` whom they
    stand in for, and acknowledges for that person.
    """

    id: str
    kind: str
    state: str
    urgency: int
    urgency_name: str
    title: str
    title_en: str
    document: str | None
    subject: str | None
    number: str | None
    about: str
    revision: int
    headline: str
    created_at: str
    expires_at: str
    acknowledged_at: str | None
    next: NextStep | None


class NoticePage(msgspec.Struct, frozen=True):
    items: list[NoticeView]
    next: str | None


class DeviceReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    notice: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{22}$")]
    event: DeviceEvent
    at: datetime


class DeviceReports(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reports: Annotated[list[DeviceReport], msgspec.Meta(min_length=1, max_length=200)]


class Recorded(msgspec.Struct, frozen=True):
    recorded: int


@get(
    "/api/v1/notices",
    operation_id="listNotices",
    summary="My notices, newest first",
    tags=["notices", "phone"],
    opt=allow(roles=PERSON),
)
async def listing(
    actor: Given[Actor], notices: Given[NoticeService], cursor_: Annotated[str | None, QueryParameter(name="cursor", max_length=400)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
) -> NoticePage:  # fmt: skip
    rows = await notices.listing(actor, before=from_cursor(cursor_, tuple[Whole, Key], (2**62, "")), limit=limit)
    last = rows[-1] if len(rows) == limit else None
    return NoticePage(
        items=[_view(row) for row in rows], next=None if last is None else cursor((last["created_us"], last["id"]))
    )


@get(
    "/api/v1/notices/{notice:str}",
    operation_id="fetchNotice",
    summary="The notice that a push announced",
    tags=["notices", "phone"],
    opt=allow(roles=PERSON),
)
async def fetch(notice: NoticeId, actor: Given[Actor], notices: Given[NoticeService]) -> NoticeView:
    """Fetching is the first receipt: it says that this device received the push."""
    return _view(await notices.fetch(actor, notice))


@post(
    "/api/v1/notices/{notice:str}/acknowledgement",
    operation_id="acknowledgeNotice",
    summary="I have seen it",
    tags=["notices", "phone"],
    status_code=204,
    opt=allow(roles=PERSON),
)
async def acknowledge(notice: NoticeId, actor: Given[Actor], notices: Given[NoticeService]) -> None:
    await notices.acknowledge(actor, notice)


@post(
    "/api/v1/receipts",
    operation_id="reportReceipts",
    summary="What this device received, showed, had read",
    tags=["notices", "phone"],
    status_code=200,
    opt=allow(roles=PERSON),
)
async def report(data: JSONBody[DeviceReports], actor: Given[Actor], notices: Given[NoticeService]) -> Recorded:
    """In batches, in any order, repeated as often as the network needs: each event counts once."""
    events = [(one.notice, one.event, _us(one.at)) for one in data.reports]
    return Recorded(recorded=await notices.report(actor, events))


class Told(msgspec.Struct, frozen=True):
    """One telling, with its receipts. `channel`: fcm, webpush, sms, email, inbox or none. `step` 0 is the notice itself.

    `outcome`: queued, held (quiet hours, a storm), accepted (by the push service, gateway or mail server), seen (the open app
    showed it before a push left), dead, expired, superseded …; where
    `channel` is none, why nobody was told: absent, on-leave, no-deputy, no-such-channel.
    """

    at: str
    step: int
    person: str | None
    name: str | None
    position: str | None
    channel: str
    outcome: str
    accepted_at: str | None
    received_at: str | None
    shown_at: str | None
    read_at: str | None
    acknowledged_at: str | None


class Foreseen(msgspec.Struct, frozen=True):
    """Whom the next step would tell, as people are reachable now."""

    at: str
    target: str
    name: str
    channel: str


class ToldView(msgspec.Struct, frozen=True):
    """Who was told of one notice, when, by which channel. `chain`: none, running, stopped or exhausted."""

    notice: str
    person: str
    name: str
    position: str
    urgency: int
    state: str
    chain: str
    told: list[Told]
    next: list[Foreseen]


class ChainView(msgspec.Struct, frozen=True):
    """`state`: running, stopped (acknowledged, answered or withdrawn) or exhausted. `ended_by`: a person, or `system`."""

    notice: str
    kind: str
    title: str
    urgency: int
    name: str
    position: str
    state: str
    started_at: str
    ended_at: str | None
    ended_by: str | None
    next: NextStep | None


class ChainPage(msgspec.Struct, frozen=True):
    items: list[ChainView]
    next: str | None


class AbsenceKind(StrEnum):
    """On `leave` nobody is waited for; who travels reads and signs on the phone."""

    LEAVE = "leave"
    TRAVEL = "travel"


class Absence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`deputy`: a person of the same organisation, who is told in one's place."""

    kind: AbsenceKind
    from_: datetime = msgspec.field(name="from")
    to: datetime
    deputy: PersonId


class AbsenceView(msgspec.Struct, frozen=True):
    kind: str
    from_: str = msgspec.field(name="from")
    to: str
    deputy: str


class NoticeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`quiet`: no notices below khẩn are pushed then; they come at its end. `deputy` stands in whenever no absence names another. `phone` (E.164) and
    `email` are told of notices that nobody acknowledges, without a word of what they are about; empty: not. `meetings_by_mail`: invitations
    come to `email` as well, as much of them as the organisation's rules let out.
    """

    quiet: Hours | None = None
    deputy: PersonId | None = None
    phone: Annotated[str, msgspec.Meta(pattern=r"^(\+[1-9][0-9]{7,14})?$")] = ""
    email: Annotated[
        str,
        msgspec.Meta(
            max_length=254, pattern=r"^([A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)?$"
        ),
    ] = ""
    meetings_by_mail: bool = False


class OwnView(msgspec.Struct, frozen=True):
    quiet: Hours | None
    deputy: str | None
    phone: str
    email: str
    meetings_by_mail: bool
    absence: AbsenceView | None


@get(
    "/api/v1/notices/{notice:str}/told",
    operation_id="whoWasTold",
    summary="Who was told, when, by which channel",
    tags=["notices", "phone"],
    opt={**allow(roles=PERSON), "problems": ("not-found",)},
)
async def told(notice: NoticeId, actor: Given[Actor], arrangements: Given[ArrangementService]) -> ToldView:
    """For whom it was for, who sent it, whom its chain told, and the duty officer (NOT-4)."""
    return _told(await arrangements.told(actor, notice))


@get(
    "/api/v1/escalations",
    operation_id="listEscalations",
    summary="Notices that somebody has to acknowledge, newest first",
    tags=["notices", "phone"],
    opt={**allow(roles=PERSON), "problems": ("invalid-request",)},
)
async def escalations(
    actor: Given[Actor], arrangements: Given[ArrangementService], cursor_: Annotated[str | None, QueryParameter(name="cursor", max_length=400)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
) -> ChainPage:  # fmt: skip
    """A person sees those sent to and by him or her; duty officer and administrator see the organisation's."""
    rows = await arrangements.chains(actor, before=from_cursor(cursor_, tuple[Whole, Key], (2**62, "")), limit=limit)
    last = rows[-1] if len(rows) == limit else None
    return ChainPage(
        items=[_chain(row) for row in rows],
        next=None if last is None else cursor((last["started_us"], last["notice"])),
    )


@get(
    "/api/v1/me/notice-settings",
    operation_id="readNoticeSettings",
    summary="My quiet hours, channels, deputy and absence",
    tags=["notices", "phone"],
    opt=allow(roles=PERSON),
)
async def own(actor: Given[Actor], arrangements: Given[ArrangementService]) -> OwnView:
    settings, absence = await arrangements.own(actor)
    away = None
    if absence is not None:
        away = AbsenceView(
            kind=absence["kind"], from_=iso(absence["from_us"]), to=iso(absence["to_us"]), deputy=absence["deputy"]
        )
    if settings is None:
        return OwnView(quiet=None, deputy=None, phone="", email="", meetings_by_mail=False, absence=away)
    quiet = None if settings["quiet_from"] is None else Hours(start=settings["quiet_from"], end=settings["quiet_to"])
    return OwnView(
        quiet=quiet,
        deputy=settings["deputy"],
        phone=settings["phone"],
        email=settings["email"],
        meetings_by_mail=bool(settings["meetings_by_mail"]),
        absence=away,
    )


@put(
    "/api/v1/me/notice-settings",
    operation_id="setNoticeSettings",
    summary="Set my quiet hours, channels and deputy",
    tags=["notices", "phone"],
    status_code=204,
    opt={**allow(roles=PERSON), "problems": ("deputy-unusable",)},
)
async def set_own(data: JSONBody[NoticeSettings], actor: Given[Actor], arrangements: Given[ArrangementService]) -> None:
    start, end = (None, None) if data.quiet is None else (data.quiet.start, data.quiet.end)
    await arrangements.set_own(
        actor,
        OwnSettings(
            quiet_from=start,
            quiet_to=end,
            deputy=data.deputy,
            phone=data.phone.strip(),
            email=data.email.strip(),
            meetings_by_mail=data.meetings_by_mail,
        ),
    )


@put(
    "/api/v1/me/absence",
    operation_id="setAbsence",
    summary="I am on leave or travelling, and who stands in",
    tags=["notices", "phone"],
    status_code=204,
    opt={**allow(roles=PERSON), "problems": ("invalid-request", "deputy-unusable")},
)
async def set_absence(data: JSONBody[Absence], actor: Given[Actor], arrangements: Given[ArrangementService]) -> None:
    """In the place of the one before. It gives nobody authority to sign (that is a grant)."""
    await arrangements.set_absence(
        actor, kind=data.kind.value, from_us=_us(data.from_), to_us=_us(data.to), deputy=data.deputy
    )


@delete(
    "/api/v1/me/absence",
    operation_id="endAbsence",
    summary="I am back",
    tags=["notices", "phone"],
    opt=allow(roles=PERSON),
)
async def end_absence(actor: Given[Actor], arrangements: Given[ArrangementService]) -> None:
    await arrangements.end_absence(actor)


class RulesView(Rules, frozen=True, kw_only=True):
    """`revision` goes back with the changed rules: what somebody else set meanwhile is then not lost."""

    revision: str


class RulesRequest(Rules, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With the `revision` that they were made from they are refused where there is a later one; without, the last one counts."""

    revision: Annotated[str, msgspec.Meta(max_length=64)] | None = None


for _struct in (RulesView, RulesRequest):
    _struct.__doc__ = f"{(Rules.__doc__ or '').rstrip()} {_struct.__doc__}"


@get(
    "/api/v1/notice-rules",
    operation_id="readNoticeRules",
    summary="The organisation's quiet hours, calendar, caps and escalation policies",
    tags=["notices"],
    opt=allow(roles={Role.ADMINISTRATOR, Role.DUTY_OFFICER}),
)
async def rules(actor: Given[Actor], arrangements: Given[ArrangementService]) -> RulesView:
    found, revision = await arrangements.rules(actor)
    return RulesView(**msgspec.structs.asdict(found), revision=revision)


@put(
    "/api/v1/notice-rules",
    operation_id="setNoticeRules",
    summary="Set them",
    tags=["notices"],
    status_code=204,
    opt={
        **allow(roles={Role.ADMINISTRATOR}),
        "problems": ("notice-rules-unusable", "escalation-ends-with-nobody", "conflict"),
    },
)
async def set_rules(data: JSONBody[RulesRequest], actor: Given[Actor], arrangements: Given[ArrangementService]) -> None:
    """A policy whose chain ends with nobody is refused: its last human step is a duty officer who is in office (NOT-4)."""
    said = msgspec.structs.asdict(data)
    revision = said.pop("revision")
    await arrangements.set_rules(actor, Rules(**said), revision=revision)


class AnnouncementRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What other systems tell people of the organisation. `headline` is shown after the phone has fetched it and never leaves in a push (C12).

    `urgency` 0 to 4: lane, and the chain of escalation that the organisation has for the grade. `source_reference`: the system's own name for it,
    given back in webhooks. Without `expires_at` it is told for two weeks.
    """

    people: Annotated[list[PersonId], msgspec.Meta(min_length=1, max_length=500)]
    headline: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    urgency: Annotated[int, msgspec.Meta(ge=0, le=4)] = 0
    source_reference: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class AnnouncedTo(msgspec.Struct, frozen=True):
    """What became of it at one person: told, on a device, seen, acknowledged. `chain`: none, running, stopped or exhausted."""

    person: str
    notice: str
    state: str
    chain: str
    told_at: str
    received_at: str | None
    seen_at: str | None
    acknowledged_at: str | None


class AnnouncementView(msgspec.Struct, frozen=True):
    id: str
    source_reference: str | None
    headline: str
    urgency: int
    created_at: str
    withdrawn_at: str | None
    people: list[AnnouncedTo]


_SYSTEMS = allow(scopes={Scope.NOTICES_WRITE})


@post(
    "/api/v1/announcements",
    operation_id="announce",
    summary="Tell people something",
    tags=["notices"],
    status_code=201,
    opt={**_SYSTEMS, "idempotent": True, "problems": ("person-unknown",)},
    responses={201: ResponseSpec(AnnouncementAnswer, generate_examples=False)},
)
async def announce(
    request: Request[Any, Any, Any], data: JSONBody[AnnouncementRequest], actor: Given[Actor], announcements: Given[AnnouncementService], clock: Given[Clock],
) -> Response[bytes]:  # fmt: skip
    """Webhooks tell its own system what follows: notice.acknowledged, notice.escalated, notice.unanswered."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    reference = clean(data.source_reference or "") or None
    expires_us = None if data.expires_at is None else _us(data.expires_at)
    wanted = Announcing(tuple(data.people), data.urgency, data.headline, expires_us, reference)
    return encoded(await announcements.announce(actor, wanted, claim), 201)


@get(
    "/api/v1/announcements/{announcement:str}",
    operation_id="readAnnouncement",
    summary="What became of it, person by person",
    tags=["notices"],
    opt=_SYSTEMS,
)
async def read_announcement(
    announcement: Id, actor: Given[Actor], announcements: Given[AnnouncementService]
) -> AnnouncementView:
    """Kept for a year."""
    row, people = await announcements.show(actor, announcement)
    return AnnouncementView(
        id=row["id"], source_reference=row["source_reference"], headline=row["headline"], urgency=row["urgency"], created_at=iso(row["created_us"]),
        withdrawn_at=iso_or_none(row["withdrawn_us"]),
        people=[
            AnnouncedTo(
                person=one["person"], notice=one["id"], state=one["state"], chain=one["chain"] or "none", told_at=iso(one["told_us"]),
                received_at=iso_or_none(one["received_us"]), seen_at=iso_or_none(one["seen_us"]), acknowledged_at=iso_or_none(one["acknowledged_us"]),
            )
            for one in people
        ],
    )  # fmt: skip


@post(
    "/api/v1/announcements/{announcement:str}/withdrawal",
    operation_id="withdrawAnnouncement",
    summary="Take it back",
    tags=["notices"],
    status_code=204,
    opt=_SYSTEMS,
)
async def withdraw_announcement(
    announcement: Id, actor: Given[Actor], announcements: Given[AnnouncementService]
) -> None:
    """What is queued is not sent, phones take it away, nothing escalates."""
    await announcements.withdraw(actor, announcement)


def _us(at: datetime) -> int:
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1e6)


def _view(row: Row) -> NoticeView:
    title_vi, title_en = TITLES[NoticeKind(row["kind"])]
    gone = row["document_state"] == "recalled"
    following = None
    if row["next_us"] is not None and row["acknowledged_us"] is None:
        policy = msgspec.json.decode(row["policy"], type=Policy)
        following = NextStep(at=iso(row["next_us"]), target=policy.steps[row["step"]].target.value)
    return NoticeView(
        id=row["id"], kind=row["kind"], state=row["state"], urgency=row["urgency"], urgency_name=URGENCIES[row["urgency"]][0], title=title_vi,
        title_en=title_en, document=row["document"], subject=None if gone else row["subject"],
        number=None if gone or row["code_number"] is None else f"{row['code_number']}/{row['code_notation']}", about=row["about"], revision=row["revision"],
        headline=row["headline"], next=following, created_at=iso(row["created_us"]),
        expires_at=iso(row["expires_us"]), acknowledged_at=iso_or_none(row["acknowledged_us"]),
    )  # fmt: skip


def _told(report: Report) -> ToldView:
    notice, chain = report.notice, report.chain
    return ToldView(
        notice=notice["id"], person=notice["person"], name=notice["name"], position=notice["position"], urgency=notice["urgency"], state=notice["state"],
        chain="none" if chain is None else chain["state"],
        told=[
            Told(
                at=iso(row["at_us"]), step=row["step"], person=row["person"], name=row["name"], position=row["position"], channel=row["channel"],
                outcome=row["outcome"], accepted_at=iso_or_none(row["accepted_us"]), received_at=iso_or_none(row["received_us"]),
                shown_at=iso_or_none(row["shown_us"]), read_at=iso_or_none(row["read_us"]), acknowledged_at=iso_or_none(row["acknowledged_us"]),
            )
            for row in report.lines
        ],
        next=[
            Foreseen(at="" if chain is None else iso(chain["next_us"]), target=line.target.value, name=name, channel=line.way.value)
            for line, name in report.next_lines
        ],
    )  # fmt: skip


def _chain(row: Row) -> ChainView:
    steps = msgspec.json.decode(row["policy"], type=Policy).steps
    following = (
        None if row["next_us"] is None else NextStep(at=iso(row["next_us"]), target=steps[row["position"]].target.value)
    )
    return ChainView(
        notice=row["notice"], kind=row["kind"], title=TITLES[NoticeKind(row["kind"])][0], urgency=row["urgency"], name=row["name"], position=row["office"],
        state=row["state"], started_at=iso(row["started_us"]), ended_at=iso_or_none(row["ended_us"]), ended_by=row["ended_by"], next=following,
    )  # fmt: skip


HANDLERS: list[Any] = [
    listing, fetch, acknowledge, report, told, escalations, own, set_own, set_absence, end_absence, rules, set_rules, announce,
    read_announcement, withdraw_announcement,
]  # fmt: skip
