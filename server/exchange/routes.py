"""The exchange over HTTP: what became of a document at each of its receivers."""

from typing import Any

import msgspec
from litestar import get

from server.exchange.service import Deliveries, ExchangeService
from server.http import READERS, Given, Id
from server.identity.guard import allow
from server.identity.model import Actor
from server.wire import iso, iso_or_none


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
    description: str
    stated_at: str | None
    received_at: str


class ReceiverView(msgspec.Struct, frozen=True):
    """`status_code` is the status that led to `state`; `statuses` all that came, in the order of their coming."""

    organ_id: str
    name: str
    state: str
    status_code: str | None
    updated_at: str
    statuses: list[StatusView]


class DeliveriesView(msgspec.Struct, frozen=True):
    """`packet` is null before the document leaves."""

    document: str
    packet: PacketView | None
    receivers: list[ReceiverView]


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
    return DeliveriesView(
        document=document,
        packet=packet,
        receivers=[
            ReceiverView(
                organ_id=to.organ_id,
                name=to.name,
                state=to.state.value,
                status_code=to.status_code,
                updated_at=iso(to.updated_us),
                statuses=by_receiver.get(to.organ_id, []),
            )
            for to in found.receivers
        ],
    )


HANDLERS: list[Any] = [deliveries]
