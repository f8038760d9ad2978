"""Page images over HTTP: the manifest of a revision, its pages one by one as a phone scrolls, and which of them were shown."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter, QueryParameter

from server.documents.service import DocumentService
from server.errors import Refused
from server.http import READERS, Given, Id, blob_answer, encoded
from server.identity.guard import allow
from server.identity.model import Actor
from server.previews.model import Digest, PageNumber, RevisionManifest
from server.previews.openings import PageOpenings
from server.previews.service import PreviewService
from server.storage import Blobs

Sha256 = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$")]


@get(
    "/api/v1/documents/{document:str}/revisions/{revision:str}/manifest",
    operation_id="readManifest",
    summary="The page images of a revision",
    tags=["previews", "phone"],
    opt=allow(**READERS),
    responses={200: ResponseSpec(RevisionManifest, generate_examples=False)},
)
async def manifest(
    document: Id,
    revision: Sha256,
    actor: Given[Actor],
    documents: Given[DocumentService],
    previews: Given[PreviewService],
    blobs: Given[Blobs],
) -> Response[bytes]:
    row = await documents.get(actor, document)
    if not await previews.belongs(actor.organisation, document, revision):
        raise Refused("not-found")
    return encoded(await previews.manifest(revision, await blobs.size(revision), row.page_count))


@get(
    "/api/v1/documents/{document:str}/revisions/{revision:str}/pages/{page:int}",
    operation_id="fetchPage",
    summary="One page as an image",
    tags=["previews", "phone"],
    opt=allow(**READERS),
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="image/jpeg")},
)
async def page(
    request: Request[Any, Any, Any],
    document: Id,
    revision: Sha256,
    page: Annotated[int, PathParameter(ge=1, le=5000)],
    actor: Given[Actor],
    documents: Given[DocumentService],
    previews: Given[PreviewService],
    blobs: Given[Blobs],
    width: Annotated[int, QueryParameter(description="360, 720 or 1080 pixels")] = 720,
) -> Response[Any]:
    """Flat pixels of the exact bytes; the ETag is the image's SHA-256, as the manifest names it."""
    await documents.get(actor, document)
    digest, _ = await previews.page(actor.organisation, document, revision, page, width)
    return await blob_answer(request, blobs, digest, media_type="image/jpeg", private_s=86_400)


class ShownPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`image`: SHA-256 of the image that was on the screen, as the manifest names it."""

    page: PageNumber
    image: Digest


class ShownPages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pages: Annotated[list[ShownPage], msgspec.Meta(min_length=1, max_length=200)]


class Counted(msgspec.Struct, frozen=True):
    """How many of them are page images of that revision."""

    counted: int


@post(
    "/api/v1/documents/{document:str}/revisions/{revision:str}/openings",
    operation_id="reportOpenings",
    summary="Which pages stood on the screen",
    tags=["previews", "phone"],
    status_code=200,
    opt={**allow(roles=READERS["roles"]), "problems": ("not-found",)},
)
async def openings(
    document: Id,
    revision: Sha256,
    data: JSONBody[ShownPages],
    actor: Given[Actor],
    documents: Given[DocumentService],
    openings: Given[PageOpenings],
) -> Counted:
    """For documents that are signed only after every page was opened. In batches, repeated as often as the network needs: each counts once."""
    await documents.get(actor, document)
    shown = [(one.page, one.image) for one in data.pages]
    return Counted(counted=await openings.report(actor, document, revision, shown))


HANDLERS: list[Any] = [manifest, page, openings]
