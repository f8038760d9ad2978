"""Documents over HTTP: intake by the document management system, inbox and documents for people, the changes feed.

Longer than most: intake and reading share their wire structs, and each handler carries its description of the API.
"""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Body, JSONBody, PathParameter, QueryParameter

from server.clock import Clock
from server.db import Database, Row
from server.documents import queries
from server.documents.model import Copy, CopyForm, DocumentRow, Metadata, State, StepState, clean
from server.documents.service import DocumentService, IntakeAnswer, annexes_of, asks_every_page
from server.errors import Refused
from server.http import READERS, Given, Id, Key, Whole, blob_answer, cursor, encoded, from_cursor, once, save_upload
from server.identity.guard import allow
from server.identity.model import Actor, Role
from server.limits import Rate
from server.settings import Settings
from server.storage import Blobs
from server.wire import iso, iso_or_none

Limit = Annotated[int, QueryParameter(ge=1, le=200, description="Rows on a page")]
Cursor = Annotated[str | None, QueryParameter(max_length=400, description="Where to continue, from the last answer")]


class IntakeForm(msgspec.Struct):
    """multipart/form-data: `metadata` is the JSON of Metadata, `file` the PDF."""

    metadata: str
    file: UploadFile


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class StateView(msgspec.Struct, frozen=True):
    state: str


class StepView(msgspec.Struct, frozen=True):
    position: int
    kind: str
    state: str
    person: str | None
    name: str | None
    title: str | None
    authority: str
    decided_at: str | None


class AnnexView(msgspec.Struct, frozen=True):
    """`revision`: the SHA-256 of its head."""

    id: str
    subject: str
    state: str
    page_count: int
    revision: str


class DocumentView(msgspec.Struct, frozen=True):
    """A document as its readers see it; `revision` is the head's SHA-256. `open_every_page`: who signs or initials must have had every
    page on his screen (`reportOpenings`), because the document or its organisation asks for it. `annexes`: in files of their own, which leave with it;
    `annex_of`: the main document of one of those; `copy`: what this is a copy of. Annexes and copies are sealed alone (SIG-4, SIG-6).
    """

    id: str
    state: str
    state_since: str
    overdue_at: str | None
    step: int | None
    revision: str
    version: int
    page_count: int
    number: str
    notation: str
    subject: str
    type_name: str
    urgency: int
    promulgation_place: str
    promulgation_date: str
    due_date: str | None
    source_reference: str | None
    exchange_id: str
    open_every_page: bool
    created_at: str
    route: list[StepView]
    revisions: list[dict[str, Any]]
    annex_of: str | None = None
    copy: Copy | None = None
    annexes: list[AnnexView] = []


class InboxItem(msgspec.Struct, frozen=True):
    id: str
    waiting: bool
    reason: str
    urgency: int
    state: str
    number: str
    notation: str
    subject: str
    type_name: str
    page_count: int
    revision: str
    due_date: str | None
    overdue_at: str | None
    at: str


class InboxPage(msgspec.Struct, frozen=True):
    items: list[InboxItem]
    next: str | None


class _InboxLines(msgspec.Struct, frozen=True):
    """An `InboxPage` whose items are written already."""

    items: list[msgspec.Raw]
    next: str | None


class DocumentLine(msgspec.Struct, frozen=True):
    """`annex_of`: the main document of an annex, whose number it has; `copy`: the form of a copy."""

    id: str
    state: str
    number: str
    notation: str
    subject: str
    urgency: int
    page_count: int
    revision: str
    created_at: str
    annex_of: str | None = None
    copy: CopyForm | None = None

    @classmethod
    def of(cls, row: DocumentRow) -> "DocumentLine":
        copy = row.copy
        return cls(
            id=row.id,
            state=row.state.value,
            number=row.code_number,
            notation=row.code_notation,
            subject=row.subject,
            urgency=row.urgency,
            page_count=row.page_count,
            revision=row.head,
            created_at=iso(row.created_us),
            annex_of=row.annex_of,
            copy=None if copy is None else copy.form,
        )


class DocumentPage(msgspec.Struct, frozen=True):
    items: list[DocumentLine]
    next: str | None


class ChangeView(msgspec.Struct, frozen=True):
    seq: int
    document: str
    kind: str
    tombstone: bool
    state: str
    detail: dict[str, Any]
    at: str


class ChangesPage(msgspec.Struct, frozen=True):
    """`next` always continues: ask again with it later. A tombstone says: remove every copy of the document."""

    items: list[ChangeView]
    next: str


def _reason(data: Reason) -> str:
    """Shown to others: without control and direction characters (threats B11, C17)."""
    reason = clean(data.reason)
    if not reason:
        raise Refused("invalid-request", detail="the reason is empty")
    return reason


def decode_metadata(text: str) -> Metadata:
    return msgspec.json.decode(text, type=Metadata)


@post(
    "/api/v1/documents",
    operation_id="takeInDocument",
    summary="Take in a document",
    tags=["documents"],
    status_code=201,
    opt={**allow(scopes={"documents:write"}), "idempotent": True, "rate": Rate.INTAKE},
    responses={201: ResponseSpec(IntakeAnswer, generate_examples=False)},
    request_max_body_size=None,
)
async def take_in(
    request: Request[Any, Any, Any],
    data: Annotated[IntakeForm, Body(media_type=RequestEncodingType.MULTI_PART)],
    actor: Given[Actor],
    documents: Given[DocumentService],
    blobs: Given[Blobs],
    settings: Given[Settings],
    clock: Given[Clock],
) -> Response[bytes]:
    """A PDF with its metadata enters; the first person of the route is told. Needs an Idempotency-Key.

    The answer's `placements` say where the marks will stand. The drafter works in his document management system and moves them from there,
    by `replaceDocument` with the same file and other rectangles, before anybody signs (SIG-1, SIG-2).

    An annex in a file of its own names its main document (`annex_of`) and comes before anybody signed that; a `copy` says what it is of.
    """
    metadata = decode_metadata(data.metadata)
    path, digest = await save_upload(data.file, blobs.scratch(), settings.limits.document_bytes)
    try:
        claim = once(request, actor.id, f"{digest}\n{data.metadata}".encode(), clock.now_us())
        return encoded(await documents.intake(actor, metadata, path, claim), 201)
    finally:
        path.unlink(missing_ok=True)


@post(
    "/api/v1/documents/{document:str}/replacements",
    operation_id="replaceDocument",
    summary="Replace the text before it is signed",
    tags=["documents"],
    status_code=200,
    opt={**allow(scopes={"documents:write"}), "idempotent": True, "rate": Rate.INTAKE},
    responses={200: ResponseSpec(IntakeAnswer, generate_examples=False)},
    request_max_body_size=None,
)
async def replace(
    request: Request[Any, Any, Any],
    document: Id,
    data: Annotated[IntakeForm, Body(media_type=RequestEncodingType.MULTI_PART)],
    actor: Given[Actor],
    documents: Given[DocumentService],
    blobs: Given[Blobs],
    settings: Given[Settings],
    clock: Given[Clock],
) -> Response[bytes]:
    """A new text, or the same with other placements, takes the place of one that is not being signed; the route starts again.

    An annex whose main document is signed may only be handed in again as it was, to be sealed anew.
    """
    metadata = decode_metadata(data.metadata)
    path, digest = await save_upload(data.file, blobs.scratch(), settings.limits.document_bytes)
    try:
        claim = once(request, actor.id, f"{digest}\n{data.metadata}".encode(), clock.now_us())
        return encoded(await documents.replace(actor, document, metadata, path, claim))
    finally:
        path.unlink(missing_ok=True)


@get(
    "/api/v1/documents",
    operation_id="listDocuments",
    summary="Documents, newest first",
    tags=["documents", "phone"],
    opt=allow(**READERS),
)
async def listing(
    actor: Given[Actor],
    db: Given[Database],
    cursor_: Annotated[str | None, QueryParameter(name="cursor", max_length=400)] = None,
    limit: Limit = 50,
) -> DocumentPage:
    before = from_cursor(cursor_, tuple[Whole, Key], (2**62, ""))
    rows = await queries.listing(db, actor, before=before, limit=limit)
    last = rows[-1] if len(rows) == limit else None
    return DocumentPage(
        items=[DocumentLine.of(row) for row in rows],
        next=None if last is None else cursor((last.created_us, last.id)),
    )


@get(
    "/api/v1/inbox",
    operation_id="readInbox",
    summary="What waits for me",
    tags=["documents", "phone"],
    opt=allow(roles=READERS["roles"]),
    responses={200: ResponseSpec(InboxPage, generate_examples=False)},
)
async def inbox(
    actor: Given[Actor],
    db: Given[Database],
    cursor_: Annotated[str | None, QueryParameter(name="cursor", max_length=400)] = None,
    limit: Limit = 50,
) -> Response[bytes]:
    """Waiting documents first, then by urgency, then newest."""
    before = from_cursor(cursor_, tuple[Whole, Whole, Whole, Key], (9, 9, 2**62, ""))
    rows = await queries.inbox(db, actor, before=before, limit=limit)
    last = rows[-1] if len(rows) == limit else None
    after = None if last is None else cursor((last.waiting, last.urgency, last.at_us, last.id))
    return encoded(msgspec.json.encode(_InboxLines([row.line for row in rows], after)))


@get(
    "/api/v1/documents/{document:str}",
    operation_id="readDocument",
    summary="One document",
    tags=["documents", "phone"],
    opt=allow(**READERS),
)
async def read(
    document: Id,
    actor: Given[Actor],
    db: Given[Database],
    documents: Given[DocumentService],
) -> DocumentView:
    row = await documents.get(actor, document)
    route = await queries.step_names(db, document)
    chain = await queries.revisions(db, document)
    return view(
        row,
        [
            StepView(
                position=step["position"],
                kind=step["kind"],
                state=_step_state(row, step),
                person=step["person"],
                name=step["name"],
                title=step["title"],
                authority=step["authority_line"],
                decided_at=iso_or_none(step["decided_us"]),
            )
            for step in route
        ],
        [
            {
                "digest": one.digest,
                "parent": one.parent,
                "size": one.size,
                "kind": one.kind,
                "step": one.step,
                "at": iso(one.created_us),
            }
            for one in chain
        ],
        open_every_page=await asks_every_page(db, row),
        annexes=[
            AnnexView(
                id=one.id, subject=one.subject, state=one.state.value, page_count=one.page_count, revision=one.head
            )
            for one in await annexes_of(db, document)
        ],
    )


def _step_state(row: DocumentRow, step: Row) -> str:
    """A step whose signature is made waits for its stamp, not for its person; its row stays open until then."""
    stamping = row.state in {State.SIGNED_PENDING_TIMESTAMP, State.SEALED_PENDING_TIMESTAMP}
    waits = stamping and step["position"] == row.step and step["state"] == StepState.OPEN
    return StepState.PENDING_TIMESTAMP.value if waits else str(step["state"])


def view(
    row: DocumentRow,
    route: list[StepView],
    chain: list[dict[str, Any]],
    *,
    open_every_page: bool,
    annexes: list[AnnexView],
) -> DocumentView:
    return DocumentView(
        id=row.id,
        state=row.state.value,
        state_since=iso(row.state_since_us),
        overdue_at=iso_or_none(row.state_due_us),
        step=row.step,
        revision=row.head,
        version=row.version,
        page_count=row.page_count,
        number=row.code_number,
        notation=row.code_notation,
        subject=row.subject,
        type_name=row.type_name,
        urgency=row.urgency,
        promulgation_place=row.promulgation_place,
        promulgation_date=row.promulgation_date,
        due_date=row.due_date,
        source_reference=row.source_reference,
        exchange_id=row.exchange_id,
        open_every_page=open_every_page,
        created_at=iso(row.created_us),
        route=route,
        revisions=chain,
        annex_of=row.annex_of,
        copy=row.copy,
        annexes=annexes,
    )


@get(
    "/api/v1/documents/{document:str}/files/{which:str}",
    operation_id="fetchFile",
    summary="The PDF: original, signed or final",
    tags=["documents", "phone"],
    opt=allow(**READERS),
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="application/pdf")},
)
async def file(
    request: Request[Any, Any, Any],
    document: Id,
    which: Annotated[str, PathParameter(pattern="^(original|signed|final)$")],
    actor: Given[Actor],
    documents: Given[DocumentService],
    blobs: Given[Blobs],
) -> Response[Any]:
    """Always a download, never shown inline (B5)."""
    digest, row = await documents.file(actor, document, which)
    name = f"{row.code_number}-{row.code_notation}-{which}.pdf".replace("/", "-")
    return await blob_answer(request, blobs, digest, media_type="application/pdf", filename=name)


@get(
    "/api/v1/changes",
    operation_id="readChanges",
    summary="Everything that happened, in order",
    tags=["documents", "phone"],
    opt=allow(roles=READERS["roles"], scopes={"changes:read", "documents:read"}),
)
async def changes(
    actor: Given[Actor],
    documents: Given[DocumentService],
    cursor_: Annotated[str | None, QueryParameter(name="cursor", max_length=400)] = None,
    limit: Limit = 100,
) -> ChangesPage:
    """Resumable: keep `next` and ask again with it. Works the same after being offline for days."""
    after = from_cursor(cursor_, Whole, 0)
    found, following = await documents.changes(actor, after=after, limit=limit)
    return ChangesPage(
        items=[
            ChangeView(
                seq=one.seq,
                document=one.document,
                kind=one.kind,
                tombstone=one.tombstone,
                state=one.state,
                detail=one.detail,
                at=iso(one.at_us),
            )
            for one in found
        ],
        next=cursor(following),
    )


@post(
    "/api/v1/documents/{document:str}/return",
    operation_id="returnDocument",
    summary="Return to the drafter with a reason",
    tags=["documents", "phone"],
    status_code=200,
    opt={**allow(roles={Role.LEADER, Role.CLERK, Role.STAFF}), "idempotent": True},
    responses={200: ResponseSpec(StateView, generate_examples=False)},
)
async def give_back(
    request: Request[Any, Any, Any],
    document: Id,
    data: JSONBody[Reason],
    actor: Given[Actor],
    documents: Given[DocumentService],
    clock: Given[Clock],
) -> Response[bytes]:
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(await documents.give_back(actor, document, _reason(data), claim))


@post(
    "/api/v1/documents/{document:str}/recall",
    operation_id="recallDocument",
    summary="Take a document back",
    tags=["documents"],
    status_code=200,
    opt={**allow(scopes={"documents:write"}), "idempotent": True},
    responses={200: ResponseSpec(StateView, generate_examples=False)},
)
async def recall(
    request: Request[Any, Any, Any],
    document: Id,
    data: JSONBody[Reason],
    actor: Given[Actor],
    documents: Given[DocumentService],
    clock: Given[Clock],
) -> Response[bytes]:
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(await documents.recall(actor, document, _reason(data), claim))


@get(
    "/api/v1/seal-queue",
    operation_id="readSealQueue",
    summary="What waits for the seal",
    tags=["documents", "phone"],
    opt=allow(roles={Role.CLERK}),
)
async def seal_queue(actor: Given[Actor], db: Given[Database], limit: Limit = 50) -> DocumentPage:
    """Signed documents of the clerk's organisation, the most urgent first (SIG-7, SIG-8); with them copies, and annexes of what is sealed
    already (SIG-4, SIG-6).
    """
    rows = await queries.seal_queue(db, actor, limit=limit)
    return DocumentPage(items=[DocumentLine.of(row) for row in rows], next=None)


HANDLERS: list[Any] = [take_in, replace, listing, inbox, read, file, changes, give_back, recall, seal_queue]
