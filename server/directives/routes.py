"""Directions over HTTP: for leaders who give them and for those whom they name, all from the phone."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter, QueryParameter

from server.clock import Clock
from server.directives.model import Order, Report, WorkState
from server.directives.service import About, DirectiveAnswer, DirectiveService, Shown
from server.directives.tree import TreeLine, Viewer, line_of
from server.errors import Refused
from server.http import Given, Id, blob_answer, cursor, encoded, from_cursor, once
from server.identity.guard import allow
from server.identity.model import Actor, Role
from server.previews.model import RevisionManifest
from server.storage import Blobs
from server.wire import iso

_PEOPLE = allow(roles={Role.LEADER, Role.CLERK, Role.STAFF})
_TAGS = ["directives", "phone"]
_PDF = "application/pdf"

AnId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
Position = Annotated[int, PathParameter(ge=1, le=1000)]
Day = Annotated[str, msgspec.Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Key = Annotated[str, msgspec.Meta(max_length=32)]


class OrderBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`lead` and `coordinators`: ids of people of the organisation, or of organisations below it (`GET /api/v1/directives/units`).

    `due_date`: the last day (Vietnam); without one that of the direction above holds.
    """

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
    lead: AnId
    coordinators: Annotated[list[AnId], msgspec.Meta(max_length=100)] = []
    due_date: Day | None = None

    def order(self) -> Order:
        return Order(text=self.text, lead=self.lead, coordinators=tuple(self.coordinators), due_date=self.due_date)


class NewDirective(OrderBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of three: a registered `arrival`, a `document` that was issued, or the direction `above` that names the caller."""

    arrival: AnId | None = None
    document: AnId | None = None
    above: AnId | None = None


class DirectiveChange(OrderBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of the new revision; `sequence` is the revision that it was made from."""

    sequence: Sequence


class DirectiveWithdrawal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sequence: Sequence
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class DirectiveReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`state`: in_work (with `progress` in per cent, `word` or both) or completed. `sequence`: the revision that it is for."""

    sequence: Sequence
    state: Literal["in_work", "completed"]
    progress: Annotated[int, msgspec.Meta(ge=0, le=99)] | None = None
    word: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class CausedDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    document: AnId


class DirectiveLine(msgspec.Struct, frozen=True):
    """A line of a list: who has it (`line`), what it is about, who gave it. `open`: neither completed nor withdrawn."""

    id: str
    title: str
    reference: str
    urgency: int
    author: str
    author_unit: str
    open: bool
    sequence: int
    line: TreeLine


class DirectivePage(msgspec.Struct, frozen=True):
    items: list[DirectiveLine]
    next: str | None


class DirectiveUnit(msgspec.Struct, frozen=True):
    """An organisation of this installation below the caller's."""

    id: str
    code: str
    name: str


class DirectiveEntry(msgspec.Struct, frozen=True):
    """One deed of the course of handling: given, changed, withdrawn, in_work or completed. `author` is empty for people of other organisations."""

    kind: str
    author: str
    sequence: int
    text: str
    due_date: str | None
    progress: int | None
    at: str


class DirectiveFile(msgspec.Struct, frozen=True):
    """A file of what is directed on; pages of a `pdf` are read here, whichever organisation it lies in."""

    position: int
    name: str
    size: int
    pdf: bool


class DirectiveView(msgspec.Struct, frozen=True):
    """`manages`: the caller gave it. `mine`: the state of the caller's own place. `days_late` of its latest line.

    `arrival` and `document`: what it is about, for people of the organisation that gave it. `lines` is the tree, `entries` the newest first.
    """

    id: str
    sequence: int
    state: str
    title: str
    reference: str
    urgency: int
    text: str
    due_date: str | None
    days_late: int
    author: str
    author_position: str
    author_unit: str
    given_at: str
    manages: bool
    mine: str | None
    arrival: str | None
    document: str | None
    lines: list[TreeLine]
    entries: list[DirectiveEntry]
    files: list[DirectiveFile]


@post(
    "/api/v1/directives",
    operation_id="giveDirective",
    summary="Direct what is to be done",
    tags=_TAGS,
    status_code=201,
    opt={**_PEOPLE, "idempotent": True},
    responses={201: ResponseSpec(DirectiveAnswer, generate_examples=False)},
)
async def give(
    request: Request[Any, Any, Any], data: JSONBody[NewDirective], actor: Given[Actor], directives: Given[DirectiveService], clock: Given[Clock],
) -> Response[bytes]:  # fmt: skip
    """On an arrival or a document by a leader; onwards by whoever a direction names. Its people are told at once; the sender of an arrival
    is told 04 when it is assigned, 05 when somebody works on it, 06 when it is completed, each once.
    """
    if sum(one is not None for one in (data.arrival, data.document, data.above)) != 1:
        raise Refused("invalid-request", detail="one of arrival, document and above is given")
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    about = About(arrival=data.arrival, document=data.document, above=data.above)
    return encoded(await directives.give(actor, about, data.order(), claim), 201)


@get(
    "/api/v1/directives",
    operation_id="listDirectives",
    summary="What I have to do, what I gave, what is late",
    tags=_TAGS,
    opt=_PEOPLE,
)
async def listing(
    actor: Given[Actor],
    directives: Given[DirectiveService],
    clock: Given[Clock],
    which: Annotated[Literal["mine", "given", "late"], QueryParameter(name="list", required=False)] = "mine",
    cursor_: Annotated[str | None, QueryParameter(name="cursor", max_length=400)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
) -> DirectivePage:
    """What is open first, by its deadline. `given` has the lead's line of each; `late` everybody's who is late."""
    after = from_cursor(cursor_, tuple[Annotated[int, msgspec.Meta(ge=-1, le=1)], Key, Key], (-1, "", ""))
    rows = await directives.listing(actor, which, after=after, limit=limit)
    now_us = clock.now_us()
    last = rows[-1] if len(rows) == limit else None
    return DirectivePage(
        items=[_line(row, actor, now_us) for row in rows],
        next=None if last is None else cursor((last["over"], last["due_key"], last["id"])),
    )


@get(
    "/api/v1/directives/units",
    operation_id="listDirectiveUnits",
    summary="Organisations that mine may direct",
    tags=_TAGS,
    opt=_PEOPLE,
)
async def units(actor: Given[Actor], directives: Given[DirectiveService]) -> list[DirectiveUnit]:
    return [DirectiveUnit(row["id"], row["code"], row["name"]) for row in await directives.units(actor)]


@get(
    "/api/v1/directives/{directive:str}",
    operation_id="readDirective",
    summary="One direction with its tree",
    tags=_TAGS,
    opt=_PEOPLE,
)
async def read(directive: Id, actor: Given[Actor], directives: Given[DirectiveService]) -> DirectiveView:
    """Who has it, by when, how far, how late, the last word; of other organisations their own line alone. Receivers of the exchange stand in it
    by their statuses 04, 05, 06. Whoever was released sees that and nothing else.
    """
    return _view(await directives.show(actor, directive), actor)


@post(
    "/api/v1/directives/{directive:str}/changes",
    operation_id="changeDirective",
    summary="Change a direction",
    tags=_TAGS,
    status_code=200,
    opt={**_PEOPLE, "idempotent": True},
    responses={200: ResponseSpec(DirectiveAnswer, generate_examples=False)},
)
async def change(
    request: Request[Any, Any, Any], directive: Id, data: JSONBody[DirectiveChange], actor: Given[Actor], directives: Given[DirectiveService],
    clock: Given[Clock],
) -> Response[bytes]:  # fmt: skip
    """By whoever gave it. Reports are for the newest revision; another text asks those again who had finished."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(await directives.change(actor, directive, data.sequence, data.order(), claim))


@post(
    "/api/v1/directives/{directive:str}/withdrawal",
    operation_id="withdrawDirective",
    summary="Take a direction back",
    tags=_TAGS,
    status_code=200,
    opt={**_PEOPLE, "idempotent": True},
    responses={200: ResponseSpec(DirectiveAnswer, generate_examples=False)},
)
async def withdraw(
    request: Request[Any, Any, Any], directive: Id, data: JSONBody[DirectiveWithdrawal], actor: Given[Actor], directives: Given[DirectiveService],
    clock: Given[Clock],
) -> Response[bytes]:  # fmt: skip
    """With everything that was directed onwards below it; by whoever gave it."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(await directives.withdraw(actor, directive, data.sequence, data.reason, claim))


@post(
    "/api/v1/directives/{directive:str}/reports",
    operation_id="reportDirective",
    summary="Report progress or completion",
    tags=_TAGS,
    status_code=200,
    opt={**_PEOPLE, "idempotent": True},
    responses={200: ResponseSpec(DirectiveAnswer, generate_examples=False)},
)
async def report(
    request: Request[Any, Any, Any], directive: Id, data: JSONBody[DirectiveReport], actor: Given[Actor], directives: Given[DirectiveService],
    clock: Given[Clock],
) -> Response[bytes]:  # fmt: skip
    """By whoever it names; for an organisation by one of its leaders or clerks. The lead's completion completes it."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    given = Report(data.sequence, WorkState(data.state), data.progress, data.word)
    return encoded(await directives.report(actor, directive, given, claim))


@post(
    "/api/v1/directives/{directive:str}/documents",
    operation_id="linkDirectiveDocument",
    summary="A document was written because of it",
    tags=["directives"],
    status_code=200,
    opt={**allow(scopes={"documents:write"}), "idempotent": True},
    responses={200: ResponseSpec(DirectiveAnswer, generate_examples=False)},
)
async def link(
    request: Request[Any, Any, Any], directive: Id, data: JSONBody[CausedDocument], actor: Given[Actor], directives: Given[DirectiveService],
    clock: Given[Clock],
) -> Response[bytes]:  # fmt: skip
    """The document management system knows: what its receivers report over the exchange then stands in the direction's tree (EXC-6)."""
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(await directives.link(actor, directive, data.document, claim))


@get(
    "/api/v1/directives/{directive:str}/files/{position:int}",
    operation_id="fetchDirectiveFile",
    summary="A file of what is directed on",
    tags=_TAGS,
    opt=_PEOPLE,
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="application/octet-stream")},
)
async def file(
    request: Request[Any, Any, Any],
    directive: Id,
    position: Position,
    actor: Given[Actor],
    directives: Given[DirectiveService],
    blobs: Given[Blobs],
) -> Response[Any]:
    """Always a download, never shown inline (B5); nothing once it was recalled (EXC-5)."""
    found = await directives.file(actor, directive, position)
    media_type = _PDF if found.pdf else "application/octet-stream"
    return await blob_answer(request, blobs, found.digest, media_type=media_type, filename=found.name)


@get(
    "/api/v1/directives/{directive:str}/files/{position:int}/manifest",
    operation_id="readDirectiveManifest",
    summary="The page images of a PDF",
    tags=_TAGS,
    opt=_PEOPLE,
    responses={200: ResponseSpec(RevisionManifest, generate_examples=False)},
)
async def manifest(
    directive: Id, position: Position, actor: Given[Actor], directives: Given[DirectiveService]
) -> Response[bytes]:
    return encoded(await directives.manifest(actor, directive, position))


@get(
    "/api/v1/directives/{directive:str}/files/{position:int}/pages/{page:int}",
    operation_id="fetchDirectivePage",
    summary="One page as an image",
    tags=_TAGS,
    opt=_PEOPLE,
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="image/jpeg")},
)
async def page(
    request: Request[Any, Any, Any],
    directive: Id,
    position: Position,
    page: Annotated[int, PathParameter(ge=1, le=5000)],
    actor: Given[Actor],
    directives: Given[DirectiveService],
    blobs: Given[Blobs],
    width: Annotated[int, QueryParameter(description="360, 720 or 1080 pixels", required=False)] = 720,
) -> Response[Any]:
    digest = await directives.page(actor, directive, position, page, width)
    return await blob_answer(request, blobs, digest, media_type="image/jpeg", private_s=86_400)


def _line(row: Any, actor: Actor, now_us: int) -> DirectiveLine:
    mine = row["id"] if actor.id == row["person"] or actor.organisation == row["assignee"] else None
    viewer = Viewer(actor.organisation, actor.id, actor.has(Role.CLERK), "", mine, whole=False)
    return DirectiveLine(
        id=row["directive"], title=row["title"], reference=row["reference"], urgency=row["urgency"], author=row["author_name"],
        author_unit=row["author_unit"], open=row["over"] == 0, sequence=row["sequence"], line=line_of(row, 0, viewer, now_us),
    )  # fmt: skip


def _view(shown: Shown, actor: Actor) -> DirectiveView:
    row, author = shown.row, shown.author
    inside = row["organisation"] == actor.organisation
    released = not row["follows"] and row["my_state"] == WorkState.RELEASED
    return DirectiveView(
        id=row["id"], sequence=row["sequence"], state=row["state"], title=row["title"], reference=row["reference"], urgency=row["urgency"],
        text="" if released else row["text"], due_date=None if released else row["due_date"], days_late=shown.days_late, author=author["author_name"],
        author_position=author["author_position"], author_unit=author["author_unit"], given_at=iso(row["created_us"]),
        manages=inside and row["author"] == actor.id, mine=row["my_state"], arrival=row["arrival"] if inside else None,
        document=row["document"] if inside else None, lines=shown.lines, entries=[_entry(one, author["author"], actor) for one in shown.entries],
        files=[DirectiveFile(one.position, one.name, one.size, bool(one.pdf)) for one in shown.files],
    )  # fmt: skip


def _entry(row: Any, author: str, actor: Actor) -> DirectiveEntry:
    known = row["organisation"] == actor.organisation or row["author"] == author
    return DirectiveEntry(
        kind=row["kind"], author=(row["name"] or "") if known else "", sequence=row["sequence"], text=row["text"], due_date=row["due_date"],
        progress=row["progress"], at=iso(row["at_us"]),
    )  # fmt: skip


HANDLERS: list[Any] = [give, listing, units, read, change, withdraw, report, link, file, manifest, page]
