"""The record of a document over HTTP."""

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


@get(
    "/api/v1/documents/{document:str}/record",
    operation_id="exportRecord",
    summary="Everything that proves a document, as one ZIP",
    tags=["receipts"],
    opt=allow(roles={Role.CLERK}, scopes={"documents:read"}),
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="application/zip")},
)
async def export(
    document: Id, actor: Given[Actor], documents: Given[DocumentService], records: Given[RecordService]
) -> Stream:
    """Revisions, approvals, receipts, packets, certificates with their status, the log. Check it offline with
    `hoatoc verify record.zip --trust roots.pem`.
    """
    row = await documents.get(actor, document)
    stream = records.stream(actor, document)
    # What can be refused is refused before the answer begins.
    first = await anext(stream)

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for piece in stream:
            yield piece

    name = f"{row.code_number}-{row.code_notation}-record.zip".replace("/", "-")
    return Stream(
        whole(),
        media_type="application/zip",
        headers={
            # RFC 6266 with the name of RFC 8187 (threat B11).
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )


HANDLERS: list[Any] = [export]
