"""Receipts over HTTP, and the log's newest head for whoever keeps one outside."""

from typing import Any

import msgspec
from litestar import Response, get

from server.audit import queries
from server.audit.model import Receipt
from server.audit.service import AuditService
from server.db import Database
from server.documents.service import DocumentService
from server.errors import Refused
from server.http import READERS, Given, Id
from server.identity.guard import allow, public
from server.identity.model import Actor
from server.wire import iso


class ReceiptLine(msgspec.Struct, frozen=True):
    id: str
    kind: str
    at: str


class LogHeadView(msgspec.Struct, frozen=True):
    """`head` is a JWS by `log_key`; keep some outside, and no history before them can be rewritten unnoticed."""

    head: str
    log_key: dict[str, str]


@get(
    "/api/v1/documents/{document:str}/receipts",
    operation_id="listReceipts",
    summary="Receipts of a document",
    tags=["receipts", "phone"],
    opt=allow(**READERS),
)
async def listing(
    document: Id,
    actor: Given[Actor],
    documents: Given[DocumentService],
    audit: Given[AuditService],
) -> list[ReceiptLine]:
    await documents.get(actor, document)
    return [
        ReceiptLine(id=row["id"], kind=row["kind"], at=iso(row["created_us"]))
        for row in await audit.receipts(actor, document)
    ]


@get(
    "/api/v1/documents/{document:str}/receipts/{receipt:str}",
    operation_id="readReceipt",
    summary="A receipt, to be checked offline",
    tags=["receipts", "phone"],
    opt=allow(**READERS),
)
async def read(
    document: Id,
    receipt: Id,
    actor: Given[Actor],
    documents: Given[DocumentService],
    audit: Given[AuditService],
) -> Response[Receipt]:
    """Check it with `hoatoc verify receipt.json --trust roots.pem`."""
    await documents.get(actor, document)
    found = await audit.receipt(actor, receipt)
    if found.document != document:
        raise Refused("not-found")
    return Response(content=found, headers={"Cache-Control": "private, no-cache"})


@get(
    "/api/v1/log/head",
    operation_id="readLogHead",
    summary="The log's newest signed head",
    tags=["receipts"],
    opt=public(),
)
async def head(db: Given[Database], audit: Given[AuditService]) -> LogHeadView:
    newest = await queries.newest_head(db)
    if newest is None:
        raise Refused("file-pending")
    return LogHeadView(
        head=newest["head"], log_key={"kty": "EC", "crv": "P-256", "x": audit.log_key.x, "y": audit.log_key.y}
    )


HANDLERS: list[Any] = [listing, read, head]
