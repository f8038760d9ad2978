"""A neighbour on the axis that sends documents to the stack's organisation."""

import asyncio
import secrets
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec

from server.db import Transaction
from server.exchange import edxml
from server.exchange.axis import VxpAxis
from server.exchange.business import Meaning, New, business, status
from server.exchange.model import (
    DocumentPacket,
    MessageHeader,
    Organisation,
    OtherInfo,
    ResponseFor,
    StatusCode,
    StatusPacket,
    document_id,
)
from tests.fakes.stack import ORGANISATION, Caller, Stack
from tests.unit.server.exchange.samples import DAY

SENDER = "X02"


def now_us() -> int:
    return time.time_ns() // 1000


async def send(stack: Stack, pdf: bytes, *, asked: Meaning | None = None, number: str = "", **header: object) -> str:
    """Send a packet of `X02` to the stack's organisation; its DocumentId."""
    number = number or str(secrets.randbelow(10**6))
    folder = stack.folder / f"sent-{uuid.uuid4().hex}"
    folder.mkdir()
    (folder / "file").write_bytes(pdf)
    attachment = edxml.attachment(folder / "file", "Công văn mẫu.pdf", "application/pdf", content_id=str(uuid.uuid4()))
    values = MessageHeader(
        sender=Organisation(organ_id=SENDER, name="Cơ quan Mẫu Hai"), receivers=(Organisation(organ_id=ORGANISATION),),
        document_id=document_id(SENDER, DAY, number, "CV-CQM"), number=number, notation="CV-CQM", promulgated=DAY, type_name="Công văn",
        subject="Về việc phối hợp công tác mẫu", other=OtherInfo(priority=1),
    )  # fmt: skip
    values = msgspec.structs.replace(values, **header)
    packet = DocumentPacket(header=values, business=business(asked or New()), attachments=(attachment,))
    await _deliver(stack, packet, folder)
    return values.document_id


async def answer(stack: Stack, exchange_id: str, code: StatusCode) -> None:
    """Answer a document of the stack's organisation by a business status, as its receiver `X02` does."""
    folder = stack.folder / f"sent-{uuid.uuid4().hex}"
    folder.mkdir()
    answered = ResponseFor(organ_id=ORGANISATION, document_id=exchange_id)
    packet = status(code, sender=Organisation(organ_id=SENDER), answered=answered, at_us=now_us())
    await _deliver(stack, packet, folder)


async def _deliver(stack: Stack, packet: DocumentPacket | StatusPacket, folder: Path) -> None:
    edxml.write(packet, folder / "packet")
    axis = VxpAxis(stack.axis_url, SENDER, stack.axis.secrets[SENDER], now_us)
    try:
        outcome = await axis.send(packet.kind, folder / "packet", SENDER, [ORGANISATION])
        assert getattr(outcome, "doc_id", ""), outcome
    finally:
        await axis.close()


async def until_judged(clerk: Caller, arrival: str, within_s: float = 90.0) -> dict[str, Any]:
    """The arrival once our validation has spoken."""
    deadline = time.monotonic() + within_s
    while (found := await clerk.json("GET", f"/api/v1/arrivals/{arrival}"))["judgement"] == "pending":
        assert time.monotonic() < deadline, "not judged"
        await asyncio.sleep(0.05)
    return dict(found)


async def arrived(stack: Stack, pdf: bytes, *, kind: str = "new", within_s: float = 90.0, **packet: object) -> str:
    """Send a packet and wait until it stands in the organisation's list as this kind; the arrival's id."""
    exchange_id = await send(stack, pdf, **packet)  # type: ignore[arg-type]
    deadline = time.monotonic() + within_s
    while True:
        row = await stack.wiring.db.fetch_one(
            "SELECT id FROM arrivals WHERE exchange_id = $1 AND kind = $2", exchange_id, kind
        )
        if row is not None:
            return str(row["id"])
        assert time.monotonic() < deadline, "nothing arrived"
        await asyncio.sleep(0.05)


async def left(stack: Stack, document: str) -> None:
    """As if a document of ours had left and X02 accepted it: signing, sealing and sending have tests of their own."""
    now_us = stack.wiring.clock.now_us()

    async def body(tx: Transaction) -> None:
        await tx.execute("UPDATE documents SET state = 'forwarded' WHERE id = $1", document)
        await tx.execute(
            "INSERT INTO outgoing_packets (id, organisation, document, kind, sender, reference, revision, blob, stage, attempts, not_before_us, doc_id, "
            "code, description, created_us, sent_us, accepted_us) SELECT id, organisation, id, 'edoc', 'X01', code_number || '/' || code_notation, head, "
            "head, 'accepted', 1, 0, id, '', '', $2, $2, $2 FROM documents WHERE id = $1",
            document, now_us,
        )  # fmt: skip
        await tx.execute(
            "INSERT INTO packet_receivers (packet, organ_id, position, name, state, updated_us) VALUES ($1, 'X02', 0, 'Cơ quan Mẫu Hai', 'accepted', $2)",
            document, now_us,
        )  # fmt: skip

    await stack.wiring.db.transact(body)
