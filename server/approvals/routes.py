"""Approvals over HTTP: the sheet, its manifest and images, the challenge, the approval."""

from functools import lru_cache
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter

from server.approvals.model import ActivationState
from server.approvals.service import ApprovalService
from server.errors import Refused
from server.http import Given, Id, blob_answer, encoded
from server.identity.guard import SPENDS_ITS_PROOF, allow, unspent
from server.identity.model import Actor, Role
from server.limits import Rate
from server.previews.model import PreparedManifest, parse
from server.storage import Blobs
from server.wire import from_b64u, iso, iso_or_none

_SIGNERS = {Role.LEADER, Role.CLERK, Role.STAFF}
"""A staff member's are his initials; whose turn it is, and for what, the documents decide."""
Sha256 = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$")]


class CertificateStatusView(msgspec.Struct, frozen=True):
    """What was known of the signer's certificate and those above it when the sheet was opened (SW-4).

    `state`: "good", "unknown" or "not_checked"; all but the first are a warning that the person must see before the PIN. `source`:
    "ocsp", "crl" or empty. `signing_stops_at`: until when one may sign without a status; null where it is good, or where nobody
    can be asked.
    """

    state: str
    source: str
    checked_at: str
    signing_stops_at: str | None


class SheetView(msgspec.Struct, frozen=True):
    """The approval sheet. The device recomputes `manifest_digest` from the manifest, checks the image digests, and signs both
    digests; `organisation` and `credential` go into the approval as they stand. `kind`: "person" (a signature), "initials" (ký
    nháy) or "seal". `unopened`: pages that the document wants opened first (`reportOpenings`), of itself or of an annex, as `unopened_in`
    says; until it is empty the approval is refused.
    """

    prepared: str
    document: str
    kind: str
    parent: str
    tbs: str
    manifest_digest: str
    organisation: str
    credential: str
    subject: str
    field: str
    page: int
    page_count: int
    unopened: list[int]
    unopened_in: str
    expires_at: str
    certificate_status: CertificateStatusView


class ApprovalRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`approval` is a compact JWS by the device's approval key, `sealed_pin` the HPKE ciphertext (base64url)."""

    approval: Annotated[str, msgspec.Meta(min_length=100, max_length=100_000)]
    sealed_pin: Annotated[str, msgspec.Meta(min_length=100, max_length=400)]


class ApprovalAnswer(msgspec.Struct, frozen=True):
    """The documents are signed; each becomes a file when its time stamp is there (see the changes feed)."""

    documents: list[str]


@post(
    "/api/v1/documents/{document:str}/sheet",
    operation_id="openSheet",
    summary="Open the approval sheet",
    tags=["approvals", "phone"],
    status_code=201,
    opt=allow(roles=_SIGNERS),
)
async def open_sheet(document: Id, actor: Given[Actor], approvals: Given[ApprovalService]) -> SheetView:
    """Prepares the revision that would be signed: field, stamp, empty hole. It lives 15 minutes."""
    sheet = await approvals.open_sheet(actor, document)
    return SheetView(
        prepared=sheet.prepared,
        document=sheet.document,
        kind=sheet.kind.value,
        parent=sheet.parent,
        tbs=sheet.tbs,
        manifest_digest=sheet.manifest_digest,
        organisation=sheet.organisation,
        credential=sheet.credential,
        subject=sheet.subject,
        field=sheet.field,
        page=sheet.page,
        page_count=sheet.page_count,
        unopened=sheet.unopened,
        unopened_in=sheet.unopened_in,
        expires_at=iso(sheet.expires_us),
        certificate_status=CertificateStatusView(
            state=sheet.certificate.state.value,
            source=sheet.certificate.source,
            checked_at=iso(sheet.certificate.checked_us),
            signing_stops_at=None if sheet.signing_stops_us is None else iso(sheet.signing_stops_us),
        ),
    )


@get(
    "/api/v1/prepared/{prepared:str}/manifest",
    operation_id="readPreparedManifest",
    summary="What the sheet shows, in canonical bytes",
    tags=["approvals", "phone"],
    opt=allow(roles=_SIGNERS),
    responses={200: ResponseSpec(PreparedManifest, generate_examples=False)},
)
async def manifest(prepared: Id, actor: Given[Actor], approvals: Given[ApprovalService]) -> Response[bytes]:
    """The digest of exactly these bytes is `manifest_digest`."""
    return encoded(await approvals.manifest(actor, prepared))


@get(
    "/api/v1/prepared/{prepared:str}/images/{digest:str}",
    operation_id="fetchPreparedImage",
    summary="A page image that the manifest names",
    tags=["approvals", "phone"],
    opt=allow(roles=_SIGNERS),
    responses={200: ResponseSpec(bytes, generate_examples=False, media_type="image/jpeg")},
)
async def image(
    request: Request[Any, Any, Any],
    prepared: Id,
    digest: Sha256,
    actor: Given[Actor],
    approvals: Given[ApprovalService],
    blobs: Given[Blobs],
) -> Response[Any]:
    if digest not in _images_of(await approvals.manifest(actor, prepared)):
        raise Refused("not-found")
    return await blob_answer(request, blobs, digest, media_type="image/jpeg", private_s=900)


@lru_cache(maxsize=32)
def _images_of(manifest: bytes) -> frozenset[str]:
    """The images of a manifest, which a phone fetches one after another and which never changes."""
    shown = parse(manifest)
    assert isinstance(shown, PreparedManifest)
    return frozenset(one.digest for one in shown.images)


@post(
    "/api/v1/credentials/{credential:str}/challenge",
    operation_id="askChallenge",
    summary="A challenge for one approval",
    tags=["approvals", "phone"],
    status_code=201,
    opt={**allow(roles=_SIGNERS), "rate": Rate.SIGN},
)
async def challenge(
    credential: Annotated[str, PathParameter(pattern="^[A-Za-z0-9_-]{22}$")],
    actor: Given[Actor],
    approvals: Given[ApprovalService],
) -> dict[str, Any]:
    """Valid 120 s, for this device's approval key. `statement` names the key that the PIN is sealed to; `identity` verifies it."""
    return await approvals.challenge(actor, credential)


@post(
    "/api/v1/approvals",
    operation_id="approve",
    summary="Approve and sign",
    tags=["approvals", "phone"],
    status_code=200,
    opt={**allow(roles=_SIGNERS), "rate": Rate.SIGN, **SPENDS_ITS_PROOF},
)
async def approve(
    request: Request[Any, Any, Any],
    data: JSONBody[ApprovalRequest],
    actor: Given[Actor],
    approvals: Given[ApprovalService],
) -> ApprovalAnswer:
    """Single use: the challenge inside the approval is consumed once, whatever is repeated (A10). No Idempotency-Key is needed."""
    documents = await approvals.approve(actor, data.approval, from_b64u(data.sealed_pin), unspent(request))
    return ApprovalAnswer(documents=documents)


class ApprovalDocument(msgspec.Struct, frozen=True):
    """`state`: "signing", "stamping" (signed, its time stamp is awaited), "signed" (`revision` is stored) or "not_signed"."""

    document: str
    state: str
    revision: str | None
    at: str | None


class ApprovalProgress(msgspec.Struct, frozen=True):
    """All documents of an approval are signed or none is; each becomes a file by itself."""

    documents: list[ApprovalDocument]


_UNDER_WAY = {ActivationState.INTENT: "signing", ActivationState.SIGNED: "stamping", ActivationState.VOID: "not_signed"}


@get(
    "/api/v1/approvals/{challenge:str}",
    operation_id="readApproval",
    summary="What became of an approval, document by document",
    tags=["approvals", "phone"],
    opt=allow(roles=_SIGNERS),
)
async def progress(
    challenge: Annotated[str, PathParameter(pattern="^[A-Za-z0-9_-]{43}$")],
    actor: Given[Actor],
    approvals: Given[ApprovalService],
) -> ApprovalProgress:
    """One's own, by the challenge that it was made for; unknown until the server has taken it."""
    return ApprovalProgress(
        documents=[
            ApprovalDocument(
                document=row["document"],
                state="signed" if row["stamped_us"] is not None else _UNDER_WAY[ActivationState(row["state"])],
                revision=row["revision"],
                at=iso_or_none(row["stamped_us"]),
            )
            for row in await approvals.progress(actor, challenge)
        ]
    )


HANDLERS: list[Any] = [open_sheet, manifest, image, challenge, approve, progress]
