"""Arrivals over HTTP: for the clerks who decide, the leaders who direct what was registered, and the document management system that fetches file, metadata and report."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter, QueryParameter

from server.arrivals.model import DOCUMENTS, JUDGEMENTS, ArrivalRow, FileRow, judged, words_of
from server.arrivals.service import ArrivalService, Decided, Opened, Registered
from server.clock import Clock
from server.documents.model import clean
from server.errors import Refused
from server.exchange.words import Words, of_code
from server.http import Given, Id, Key, Whole, blob_answer, cursor, encoded, from_cursor, once
from server.identity.guard import allow
from server.identity.model import Actor, Role
from server.previews.model import RevisionManifest
from server.storage import Blobs
from server.validations.model import Report
from server.wire import iso, iso_or_none

_READERS: dict[str, Any] = {"roles": {Role.CLERK, Role.LEADER}, "scopes": {"documents:read"}}
_CLERK: dict[str, Any] = {**allow(roles={Role.CLERK}), "idempotent": True}
_PDF = "application/pdf"

Position = Annotated[int, PathParameter(ge=1, le=1000)]
Limit = Annotated[int, QueryParameter(ge=1, le=200, required=False)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class ArrivalLine(msgspec.Struct, frozen=True):
    """`kind`: new or replace is a document; revoke, update and take_back ask something about the document `about`.

    `urgency` is null where the sender gave a grade that nobody knows: show it as unknown, never as normal. `number` and `year` are the
    agency's arrival number, `own_number` the document management system's. `words` say where it stands.
    """

    id: str
    kind: str
    state: str
    words: Words
    about: str | None
    sender: str
    sender_name: str
    reference: str
    subject: str
    type_name: str
    urgency: int | None
    promulgation_date: str | None
    due_date: str | None
    year: int | None
    number: int | None
    own_number: str | None
    received_at: str


class ArrivalPage(msgspec.Struct, frozen=True):
    items: list[ArrivalLine]
    next: str | None


class ArrivalFile(msgspec.Struct, frozen=True):
    """`verdict` of our validation (EXC-2): null until it is judged; never for what is no PDF; `reasons` say
    why it is not valid. `findings` name what looks damaged or mislabelled.
    """

    position: int
    name: str
    content_type: str
    sha256: str
    size: int
    pdf: bool
    verdict: str | None
    reasons: list[Words]
    findings: list[str]


class JudgedWords(msgspec.Struct, frozen=True):
    """What our validation says of the files together."""

    words: Words


class RelatedArrival(msgspec.Struct, frozen=True):
    """What came about the same document."""

    id: str
    kind: str
    words: Words
    state: str
    asked: str
    received_at: str


class ArrivalDirected(msgspec.Struct, frozen=True):
    """A direction on it: `state` open or completed; `opens`: the caller may read it."""

    id: str
    author: str
    state: str
    at: str
    opens: bool


class ArrivalView(msgspec.Struct, frozen=True):
    """`judgement` of all files together: pending, valid, not_valid, or nothing where there is no PDF. `asked` are the sender's words, `remark`
    the clerk's. `header` is the packet's MessageHeader as it came; its texts are the sender's.
    """

    arrival: ArrivalLine
    receiver: str
    exchange_id: str
    asked: str
    judgement: str
    judged: JudgedWords
    files: list[ArrivalFile]
    related: list[RelatedArrival]
    directed: list[ArrivalDirected]
    decided_at: str | None
    remark: str
    header: dict[str, Any]


class RegisterBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`despite`: why the document is registered although its files are not valid; it goes into the log."""

    despite: Annotated[str, msgspec.Meta(max_length=500)] = ""


class ReturnBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Reason


class AnswerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refusal says why."""

    agree: bool
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


class OwnNumber(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ten digits at most (DOC-7)."""

    number: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,10}$")]


@get(
    "/api/v1/arrivals",
    operation_id="listArrivals",
    summary="What came over the exchange",
    tags=["arrivals", "phone"],
    opt=allow(**_READERS),
)
async def listing(
    actor: Given[Actor],
    arrivals: Given[ArrivalService],
    waiting: Annotated[bool, QueryParameter(required=False)] = False,  # noqa: FBT002 - a query
    cursor_: Annotated[str | None, QueryParameter(name="cursor", max_length=400)] = None,
    limit: Limit = 50,
) -> ArrivalPage:
    """Newest first. With `waiting`: what a clerk has to decide, the most urgent first, then the oldest; then what was decided last."""
    if waiting:
        return ArrivalPage([_line(row) for row in await arrivals.waiting(actor, limit)], None)
    before = from_cursor(cursor_, tuple[Whole, Key], (2**62, ""))
    rows = await arrivals.listing(actor, before=before, limit=limit)
    last = rows[-1] if len(rows) == limit else None
    return ArrivalPage([_line(row) for row in rows], None if last is None else cursor((last.received_us, last.id)))


@get(
    "/api/v1/arrivals/{arrival:str}",
    operation_id="readArrival",
    summary="One arrival with its files and what they are worth",
    tags=["arrivals", "phone"],
    opt=allow(**_READERS),
)
async def read(arrival: Id, actor: Given[Actor], arrivals: Given[ArrivalService]) -> ArrivalView:
    return _view(await arrivals.open(actor, arrival), actor)


@get(
    "/api/v1/arrivals/{arrival:str}/files/{position:int}",
    operation_id="fetchArrivalFile",
    summary="A file of the packet, byte for byte",
    tags=["arrivals", "phone"],
    opt=allow(**_READERS),
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="application/octet-stream")},
)
async def file(
    request: Request[Any, Any, Any],
    arrival: Id,
    position: Position,
    actor: Given[Actor],
    arrivals: Given[ArrivalService],
    blobs: Given[Blobs],
) -> Response[Any]:
    """Always a download, never shown inline (B5); typed by its bytes, not by its sender's words."""
    _, found = await arrivals.file(actor, arrival, position)
    media_type = _PDF if found.pdf else "application/octet-stream"
    return await blob_answer(request, blobs, found.digest, media_type=media_type, filename=found.name)


@get(
    "/api/v1/arrivals/{arrival:str}/files/{position:int}/validation",
    operation_id="readArrivalValidation",
    summary="What our validation says of a PDF",
    tags=["arrivals", "phone"],
    opt={**allow(**_READERS), "problems": ("arrival-not-judged",)},
    responses={200: ResponseSpec(Report, generate_examples=False)},
)
async def report(
    arrival: Id, position: Position, actor: Given[Actor], arrivals: Given[ArrivalService]
) -> Response[bytes]:
    return encoded(await arrivals.report(actor, arrival, position))


@get(
    "/api/v1/arrivals/{arrival:str}/files/{position:int}/manifest",
    operation_id="readArrivalManifest",
    summary="The page images of a PDF",
    tags=["arrivals", "phone"],
    opt=allow(**_READERS),
    responses={200: ResponseSpec(RevisionManifest, generate_examples=False)},
)
async def manifest(
    arrival: Id, position: Position, actor: Given[Actor], arrivals: Given[ArrivalService]
) -> Response[bytes]:
    return encoded(await arrivals.manifest(actor, arrival, position))


@get(
    "/api/v1/arrivals/{arrival:str}/files/{position:int}/pages/{page:int}",
    operation_id="fetchArrivalPage",
    summary="One page as an image",
    tags=["arrivals", "phone"],
    opt=allow(**_READERS),
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="image/jpeg")},
)
async def page(
    request: Request[Any, Any, Any],
    arrival: Id,
    position: Position,
    page: Annotated[int, PathParameter(ge=1, le=5000)],
    actor: Given[Actor],
    arrivals: Given[ArrivalService],
    blobs: Given[Blobs],
    width: Annotated[int, QueryParameter(description="360, 720 or 1080 pixels", required=False)] = 720,
) -> Response[Any]:
    """Flat pixels of the exact bytes; the ETag is the image's SHA-256, as the manifest names it."""
    digest = await arrivals.page(actor, arrival, position, page, width)
    return await blob_answer(request, blobs, digest, media_type="image/jpeg", private_s=86_400)


@post(
    "/api/v1/arrivals/{arrival:str}/register",
    operation_id="registerArrival",
    summary="Enter it under the next arrival number",
    tags=["arrivals", "phone"],
    status_code=200,
    opt={**_CLERK, "problems": ("arrival-not-judged", "arrival-not-valid", "arrival-asked-back")},
    responses={200: ResponseSpec(Registered, generate_examples=False)},
)
async def register(
    request: Request[Any, Any, Any],
    arrival: Id,
    data: JSONBody[RegisterBody],
    actor: Given[Actor],
    arrivals: Given[ArrivalService],
    clock: Given[Clock],
) -> Response[bytes]:
    """Without gaps per agency and year. Its sender is told (03). Files that are not valid need a reason (EXC-2)."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(await arrivals.register(actor, arrival, clean(data.despite), claim))


@post(
    "/api/v1/arrivals/{arrival:str}/return",
    operation_id="returnArrival",
    summary="Return it to its sender with a reason",
    tags=["arrivals", "phone"],
    status_code=200,
    opt=_CLERK,
    responses={200: ResponseSpec(Decided, generate_examples=False)},
)
async def give_back(
    request: Request[Any, Any, Any],
    arrival: Id,
    data: JSONBody[ReturnBody],
    actor: Given[Actor],
    arrivals: Given[ArrivalService],
    clock: Given[Clock],
) -> Response[bytes]:
    """Not authentic, not intact or wrongly addressed (EXC-3): status 02."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(await arrivals.give_back(actor, arrival, _said(data.reason), claim))


@post(
    "/api/v1/arrivals/{arrival:str}/answer",
    operation_id="answerArrival",
    summary="Agree or refuse what its sender asks",
    tags=["arrivals", "phone"],
    status_code=200,
    opt=_CLERK,
    responses={200: ResponseSpec(Decided, generate_examples=False)},
)
async def answer(
    request: Request[Any, Any, Any],
    arrival: Id,
    data: JSONBody[AnswerBody],
    actor: Given[Actor],
    arrivals: Given[ArrivalService],
    clock: Given[Clock],
) -> Response[bytes]:
    """Status 15 or 16. An agreed revocation or take-back ends the document here: its files are shown no more (EXC-5)."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    reason = clean(data.reason) if data.agree else _said(data.reason)
    return encoded(await arrivals.answer(actor, arrival, reason, claim, agree=data.agree))


@put(
    "/api/v1/arrivals/{arrival:str}/own-number",
    operation_id="numberArrival",
    summary="The document management system's own arrival number",
    tags=["arrivals"],
    status_code=204,
    opt=allow(scopes={"documents:write"}),
)
async def number(arrival: Id, data: JSONBody[OwnNumber], actor: Given[Actor], arrivals: Given[ArrivalService]) -> None:
    await arrivals.number(actor, arrival, data.number)


def _said(reason: str) -> str:
    """Shown to others: without control and direction characters (threats B11, C17)."""
    said = clean(reason)
    if not said:
        raise Refused("invalid-request", detail="the reason is empty")
    return said


def _line(row: ArrivalRow) -> ArrivalLine:
    return ArrivalLine(
        id=row.id,
        kind=row.kind.value,
        state=row.state.value,
        words=words_of(row),
        about=row.about,
        sender=row.sender,
        sender_name=row.sender_name,
        reference=row.reference,
        subject=row.subject,
        type_name=row.type_name,
        urgency=row.urgency,
        promulgation_date=row.promulgation_date,
        due_date=row.due_date,
        year=row.arrival_year,
        number=row.arrival_number,
        own_number=row.own_number,
        received_at=iso(row.received_us),
    )


def _view(found: Opened, actor: Actor) -> ArrivalView:
    row = found.row
    judgement = judged(found.files)
    return ArrivalView(
        arrival=_line(row),
        receiver=row.receiver,
        exchange_id=row.exchange_id,
        asked=row.asked if row.kind not in DOCUMENTS else "",
        judgement=judgement.value,
        judged=JudgedWords(JUDGEMENTS[judgement]),
        files=[_file(file) for file in found.files],
        related=[
            RelatedArrival(
                one["id"], one["kind"], of_code(one["kind"]), one["state"], one["asked"], iso(one["received_us"])
            )
            for one in found.related
        ],
        directed=[
            ArrivalDirected(
                one["id"],
                one["name"],
                one["state"],
                iso(one["created_us"]),
                one["author"] == actor.id or actor.has(Role.CLERK),
            )
            for one in found.directed
        ],
        decided_at=iso_or_none(row.decided_us),
        remark=row.remark,
        header=msgspec.json.decode(row.header),
    )


def _reasons(file: FileRow) -> list[Words]:
    if file.report is None or file.verdict == "valid":
        return []
    report = msgspec.json.decode(file.report, type=Report)
    found = [*report.reasons, *(reason for signature in report.signatures for reason in signature.reasons)]
    return list(dict.fromkeys(Words(one.vi, one.en) for one in found))


def _file(file: FileRow) -> ArrivalFile:
    return ArrivalFile(
        position=file.position,
        name=file.name,
        content_type=file.content_type,
        sha256=file.digest,
        size=file.size,
        pdf=bool(file.pdf),
        verdict=file.verdict,
        reasons=_reasons(file),
        findings=msgspec.json.decode(file.findings, type=list[str]),
    )


HANDLERS: list[Any] = [listing, read, file, report, manifest, page, register, give_back, answer, number]
