"""The record of a document, of ours or of others, over HTTP."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from litestar import get
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Stream

from server.documents.service import DocumentService
from server.http import Given, Id
from server.identity.guard import allow
from server.identity.model import Actor, Role
from server.preservation.record import RecordService

_ZIP: dict[int, ResponseSpec] = {200: ResponseSpec(bytes, generate_examples=False, media_type="application/zip")}
_READERS: dict[str, Any] = {"roles": {Role.CLERK}, "scopes": {"documents:read"}}


@get(
    "/api/v1/documents/{document:str}/record",
    operation_id="exportRecord",
    summary="Everything that proves a document, as one ZIP",
    tags=["receipts", "phone"],
    opt=allow(**_READERS),
    responses=_ZIP,
)
async def export(
    document: Id, actor: Given[Actor], documents: Given[DocumentService], records: Given[RecordService]
) -> Stream:
    """Revisions, approvals, receipts, packets both ways, certificates with their status, the log. Check it offline with
    `hoatoc verify record.zip --trust roots.pem`.
    """
    row = await documents.get(actor, document)
    return await _answer(records.stream(actor, document), f"{row.code_number}-{row.code_notation}")


@get(
    "/api/v1/arrivals/{arrival:str}/record",
    operation_id="exportArrivalRecord",
    summary="Everything about a document of others, as one ZIP",
    tags=["arrivals", "phone"],
    opt=allow(**_READERS),
    responses=_ZIP,
)
async def export_arrival(arrival: Id, actor: Given[Actor], records: Given[RecordService]) -> Stream:
    """Raw packets both ways, files, validation reports, arrival number, the log. Checked as the record of a document is."""
    return await _answer(records.arrival(actor, arrival), arrival)


async def _answer(stream: AsyncIterator[bytes], name: str) -> Stream:
    # What can be refused is refused before the answer begins.
    first = await anext(stream)

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for piece in stream:
            yield piece

    filename = f"{name}-record.zip".replace("/", "-")
    return Stream(
        whole(),
        media_type="application/zip",
        headers={
            # RFC 6266 with the name of RFC 8187 (threat B11).
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )


HANDLERS: list[Any] = [export, export_arrival]
