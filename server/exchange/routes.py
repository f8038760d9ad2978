"""The exchange over HTTP: what became of a document at each of its receivers, and who there is to send to."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, QueryParameter

from server.clock import Clock
from server.documents.model import DocumentId, OrganId, Receiver, clean
from server.errors import Refused
from server.exchange.directory.queries import AgencyRow
from server.exchange.directory.service import Agencies
from server.exchange.followups import ReceiversChanged
from server.exchange.forward import Forwarding, Stage
from server.exchange.service import Deliveries, ExchangeService
from server.exchange.words import Words, of_code, of_refusal, of_state
from server.http import READERS, Given, Id, encoded, once
from server.identity.guard import PERSON, allow
from server.identity.model import Actor, Role, Scope
from server.wire import iso, iso_or_none


class FailureView(msgspec.Struct, frozen=True):
    """Why something was not sent. `code` and `description` are the axis' words as received; without a description, a code of ours."""

    code: str
    words: Words
    description: str


class PacketView(msgspec.Struct, frozen=True):
    """`stage`: ready, sending, unknown, accepted or refused. `code` and `description` are the axis' last words, as received."""

    stage: str
    digest: str
    revision: str
    axis_id: str | None
    code: str | None
    description: str | None
    sent_at: str | None
    accepted_at: str | None


class StatusView(msgspec.Struct, frozen=True):
    """`stated_at` is the receiver's clock, `received_at` ours."""

    code: str
    words: Words
    description: str
    stated_at: str | None
    received_at: str


class ReceiverView(msgspec.Struct, frozen=True):
    """`status_code` is the status that led to `state`; `statuses` all that came, in the order of their coming."""

    organ_id: str
    name: str
    state: str
    words: Words
    status_code: str | None
    updated_at: str
    statuses: list[StatusView]


class MessageView(msgspec.Struct, frozen=True):
    """Said to receivers beside the document's own packet. `what`: revoke, update, new (to late receivers), or 13."""

    what: str
    words: Words
    receivers: list[str]
    stage: str
    code: str | None
    failure: FailureView | None
    created_at: str
    accepted_at: str | None


class HolderView(msgspec.Struct, frozen=True):
    """A device that had a recalled document and has not said that it removed it. `label` is what its owner calls it."""

    device: str
    label: str
    person: str


class PurgeView(msgspec.Struct, frozen=True):
    """A device that says it removed its copies after a recall (EXC-5)."""

    device: str
    label: str
    person: str
    at: str


class DeliveriesView(msgspec.Struct, frozen=True):
    """`packet` is null before the document leaves; `receivers` are then who will receive it. `failure`: the packet could not be made, or the axis refused it; an operator has it sent again."""

    document: str
    packet: PacketView | None
    failure: FailureView | None
    receivers: list[ReceiverView]
    messages: list[MessageView]
    purged: list[PurgeView]
    unpurged: list[HolderView]


class ChangeReceivers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`remove`: codes of receivers that are asked to give the document back."""

    add: Annotated[list[Receiver], msgspec.Meta(max_length=500)] = []
    remove: Annotated[list[OrganId], msgspec.Meta(max_length=500)] = []


class Purged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Documents and arrivals that the feed named with a tombstone."""

    documents: Annotated[list[DocumentId], msgspec.Meta(min_length=1, max_length=200)]


class PurgesKept(msgspec.Struct, frozen=True):
    recorded: int


@post(
    "/api/v1/documents/{document:str}/receivers",
    operation_id="changeReceivers",
    summary="Send it to further receivers, take it back from others",
    tags=["documents", "phone"],
    status_code=200,
    opt={
        **allow(roles={Role.CLERK}, scopes={"documents:write"}),
        "idempotent": True,
        "problems": ("receiver-unknown",),
    },
    responses={200: ResponseSpec(ReceiversChanged, generate_examples=False)},
)
async def change_receivers(
    request: Request[Any, Any, Any],
    document: Id,
    data: JSONBody[ChangeReceivers],
    actor: Given[Actor],
    exchange: Given[ExchangeService],
    clock: Given[Clock],
) -> Response[bytes]:
    """Before a document leaves, its first packet names them. Afterwards: an update packet to all who have it, the document itself to the new ones.

    Nothing signed is edited, and nobody signs again.
    """
    codes = [*(to.organ_id for to in data.add), *data.remove]
    if not codes or len({code.casefold() for code in codes}) != len(codes):
        raise Refused("invalid-request", detail="no receiver is named, or one twice")
    add = [Receiver(organ_id=to.organ_id, name=clean(to.name)) for to in data.add]
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    return encoded(await exchange.change_receivers(actor, document, add, data.remove, claim))


@post(
    "/api/v1/purges",
    operation_id="reportPurges",
    summary="This device removed what was recalled",
    tags=["documents", "phone"],
    status_code=200,
    opt=allow(roles=READERS["roles"]),
)
async def report_purges(data: JSONBody[Purged], actor: Given[Actor], exchange: Given[ExchangeService]) -> PurgesKept:
    """Proof of purge by device (EXC-5); the first word counts, and what was not recalled is not counted."""
    return PurgesKept(await exchange.purged(actor, data.documents))


@get(
    "/api/v1/documents/{document:str}/deliveries",
    operation_id="readDeliveries",
    summary="What became of the document at its receivers",
    tags=["documents", "phone"],
    opt=allow(**READERS),
)
async def deliveries(document: Id, actor: Given[Actor], exchange: Given[ExchangeService]) -> DeliveriesView:
    """Per receiver: state, business status codes and times (EXC-6)."""
    return view(document, await exchange.deliveries(actor, document))


def view(document: str, found: Deliveries) -> DeliveriesView:
    by_receiver: dict[str, list[StatusView]] = {}
    for status in found.statuses:
        by_receiver.setdefault(status["organ_id"], []).append(
            StatusView(
                code=status["status_code"],
                words=of_code(status["status_code"]),
                description=status["description"],
                stated_at=status["stated_at"] or None,
                received_at=iso(status["received_us"]),
            )
        )
    sent = found.packet
    packet = (
        None
        if sent is None
        else PacketView(
            stage=sent.stage.value,
            digest=sent.blob,
            revision=sent.revision,
            axis_id=sent.doc_id or None,
            code=sent.code or None,
            description=sent.description or None,
            sent_at=iso_or_none(sent.sent_us),
            accepted_at=iso_or_none(sent.accepted_us),
        )
    )
    failure = None if sent is None else _failure(sent.forwarding)
    if found.failure:
        failure = FailureView(found.failure, of_refusal(found.failure), "")
    return DeliveriesView(
        document=document,
        packet=packet,
        failure=failure,
        receivers=[
            ReceiverView(
                organ_id=to.organ_id,
                name=to.name,
                state=to.state.value,
                words=of_state(to.state),
                status_code=to.status_code,
                updated_at=iso(to.updated_us),
                statuses=by_receiver.get(to.organ_id, []),
            )
            for to in found.receivers
        ],
        messages=[
            MessageView(
                what=one.what,
                words=of_code(one.what),
                receivers=msgspec.json.decode(one.receivers, type=list[str]),
                stage=one.stage.value,
                code=one.code or None,
                failure=_failure(one.forwarding),
                created_at=iso(one.created_us),
                accepted_at=iso_or_none(one.accepted_us),
            )
            for one in found.messages
        ],
        purged=[PurgeView(one["device"], one["label"], one["name"], iso(one["at_us"])) for one in found.purged],
        unpurged=[HolderView(one["device"], one["label"], one["name"]) for one in found.unpurged],
    )


def _failure(sent: Forwarding) -> FailureView | None:
    refused = sent.stage is Stage.REFUSED
    return FailureView(sent.code, of_refusal(sent.code), sent.description) if refused else None


class ParentView(msgspec.Struct, frozen=True):
    """The unit above."""

    code: str
    name: str


class AgencyView(msgspec.Struct, frozen=True):
    """One agency of the national list. `level` is its depth in the list's tree, 1 at the top.

    `old_code` is the list's own; empty where it gives none. `closed`: its code takes no packets any more, since `closed_at` where that
    was seen, and `successor` has its work where the list says so. `test`: a unit for trials, found by its whole code only.
    """

    code: str
    name: str
    old_code: str
    level: int
    parent: ParentView | None
    test: bool
    closed: bool
    closed_at: str | None
    successor: str | None


class AgenciesView(msgspec.Struct, frozen=True):
    """`synchronised_at` is when the list was last taken over from the axis; null before the first time."""

    items: list[AgencyView]
    synchronised_at: str | None


@get(
    "/api/v1/agencies",
    operation_id="findAgencies",
    summary="Agencies by code or name",
    tags=["exchange", "phone"],
    opt={**allow(roles=PERSON, scopes=frozenset(Scope)), "problems": ("invalid-request",)},
)
async def find_agencies(
    actor: Given[Actor],
    agencies: Given[Agencies],
    query_: Annotated[str, QueryParameter(name="query", min_length=1, max_length=100)],
    limit: Annotated[int, QueryParameter(ge=1, le=50, required=False)] = 20,
) -> AgenciesView:
    """For a field that searches while somebody types: marks and case do not matter, and a word is found by its beginning.

    A whole code, new or old, is found first, also one that is closed. High units and short names come before others.
    """
    found = await agencies.find(actor.organisation, query_, limit)
    return AgenciesView([_agency(row) for row in found.agencies], iso_or_none(found.synchronised_us))


def _agency(row: AgencyRow) -> AgencyView:
    above = None if row.parent_code is None else ParentView(row.parent_code, row.parent_name or "")
    return AgencyView(
        code=row.code,
        name=row.name,
        old_code=row.old_code,
        level=row.level,
        parent=above,
        test=bool(row.test),
        closed=bool(row.closed),
        closed_at=iso_or_none(row.closed_us),
        successor=row.successor or None,
    )


HANDLERS: list[Any] = [deliveries, change_receivers, report_purges, find_agencies]
