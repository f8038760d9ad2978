"""Credentials over HTTP: vouchers and certificates for officers, enrolment and PIN for people."""

from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.params import JSONBody, PathParameter

from server.credentials.service import CredentialService
from server.http import Given
from server.identity.guard import PERSON, allow
from server.identity.model import Actor, Role
from server.limits import Rate
from server.wire import b64u, from_b64u, iso_or_none

_OFFICER = {"roles": {Role.REGISTRATION_OFFICER}}
CredentialId = Annotated[str, PathParameter(pattern="^[A-Za-z0-9_-]{22}$")]
Digest = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$")]
Jws = Annotated[str, msgspec.Meta(min_length=100, max_length=20_000)]
Sealed = Annotated[str, msgspec.Meta(min_length=100, max_length=400, description="HPKE ciphertext, base64url")]


class VoucherRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`purpose`: `person`, or `seal` for the organisation's key."""

    voucher: Jws
    purpose: Annotated[str, msgspec.Meta(pattern="^(person|seal)$")] = "person"


class VoucherAnswer(msgspec.Struct, frozen=True):
    digest: str


class EnrolmentView(msgspec.Struct, frozen=True):
    """A voucher for this device: seal the PIN bound to it, sign the join, and post both under its digest.

    `joined`: that was done, and the present holder has to hand over.
    """

    digest: str
    kind: str
    purpose: str
    credential: str
    voucher: str
    joined: bool


class EnrolmentRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`join`: for `enrol` and `add_holder` the join JWS; for `add_device` the approval by the new key."""

    join: Jws
    sealed_pin: Sealed


class EnrolmentAnswer(msgspec.Struct, frozen=True):
    """`csr` (base64url DER) is there after `enrol`."""

    credential: str
    state: str
    csr: str | None


class SealingKeyView(msgspec.Struct, frozen=True):
    statement: str
    identity: dict[str, str]


class CredentialView(msgspec.Struct, frozen=True):
    id: str
    kind: str
    state: str
    subject: str
    key_type: str
    certificate: str | None
    not_after: str | None


class PendingView(msgspec.Struct, frozen=True):
    id: str
    kind: str
    subject: str
    csr: str


class HeldView(msgspec.Struct, frozen=True):
    """`holders`: ids of people; the seal may have several."""

    id: str
    kind: str
    state: str
    subject: str
    not_after: str | None
    holders: list[str]


class CertificateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """DER, base64url; `chain` at most one intermediate."""

    certificate: Annotated[str, msgspec.Meta(min_length=100, max_length=20_000)]
    chain: Annotated[list[Annotated[str, msgspec.Meta(max_length=20_000)]], msgspec.Meta(max_length=1)] = []


class ApprovalWithPin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    approval: Jws
    sealed_pin: Sealed


class HandoverView(msgspec.Struct, frozen=True):
    digest: str
    credential: str
    voucher: str
    newcomer: str


class TriesView(msgspec.Struct, frozen=True):
    tries_left: int
    locked_until: str | None


@post(
    "/api/v1/vouchers",
    operation_id="carryVoucher",
    summary="Leave a voucher for a phone",
    tags=["credentials", "phone"],
    status_code=201,
    opt=allow(**_OFFICER),
)
async def carry(
    data: JSONBody[VoucherRequest], actor: Given[Actor], credentials: Given[CredentialService]
) -> VoucherAnswer:
    """Signed on the officer's own device, after comparing the short code of the phone's approval key."""
    return VoucherAnswer(digest=await credentials.carry(actor, data.voucher, data.purpose))


@get(
    "/api/v1/me/enrolments",
    operation_id="listEnrolments",
    summary="Vouchers for this device",
    tags=["credentials", "phone"],
    opt=allow(roles=PERSON),
)
async def enrolments(actor: Given[Actor], credentials: Given[CredentialService]) -> list[EnrolmentView]:
    return [
        EnrolmentView(
            digest=row["digest"],
            kind=row["kind"],
            purpose=row["purpose"],
            credential=row["credential"],
            voucher=row["voucher"],
            joined=row["join_approval"] is not None,
        )
        for row in await credentials.waiting(actor)
    ]


@get(
    "/api/v1/signer/sealing-key",
    operation_id="readSealingKey",
    summary="The key that PINs are sealed to",
    tags=["credentials", "phone"],
    opt=allow(roles=PERSON),
)
async def sealing_key(credentials: Given[CredentialService]) -> SealingKeyView:
    """Check `identity` against the thumbprint that came with the pairing code, then `statement` with it."""
    statement, identity = await credentials.sealing_key()
    return SealingKeyView(statement=statement, identity=msgspec.to_builtins(identity))


@post(
    "/api/v1/me/enrolments/{digest:str}",
    operation_id="enrol",
    summary="Redeem a voucher with a PIN",
    tags=["credentials", "phone"],
    status_code=201,
    opt={**allow(roles=PERSON), "rate": Rate.SIGN},
)
async def enrol(
    digest: Digest,
    data: JSONBody[EnrolmentRequest],
    actor: Given[Actor],
    credentials: Given[CredentialService],
) -> EnrolmentAnswer:
    """Repeating with the same voucher and join gives the same answer."""
    made = await credentials.enrol(actor, digest, data.join, from_b64u(data.sealed_pin))
    if made is None:
        return EnrolmentAnswer(credential="", state="waits_for_holder", csr=None)
    return EnrolmentAnswer(credential=made.credential, state="waits_for_certificate", csr=b64u(made.csr))


@post(
    "/api/v1/me/enrolments/{digest:str}/device",
    operation_id="addDevice",
    summary="Let this device sign with a credential I hold",
    tags=["credentials", "phone"],
    status_code=204,
    opt={**allow(roles=PERSON), "rate": Rate.SIGN},
)
async def add_device(
    digest: Digest,
    data: JSONBody[ApprovalWithPin],
    actor: Given[Actor],
    credentials: Given[CredentialService],
) -> None:
    await credentials.add_device(actor, digest, data.approval, from_b64u(data.sealed_pin))


@get(
    "/api/v1/me/handovers",
    operation_id="listHandovers",
    summary="Newcomers who wait for my hand-over",
    tags=["credentials", "phone"],
    opt=allow(roles=PERSON),
)
async def handovers(actor: Given[Actor], credentials: Given[CredentialService]) -> list[HandoverView]:
    return [
        HandoverView(digest=row["digest"], credential=row["credential"], voucher=row["voucher"], newcomer=row["name"])
        for row in await credentials.handovers(actor)
    ]


@post(
    "/api/v1/me/handovers/{digest:str}",
    operation_id="handOver",
    summary="Add a holder to a credential I hold",
    tags=["credentials", "phone"],
    status_code=204,
    opt={**allow(roles=PERSON), "rate": Rate.SIGN},
)
async def hand_over(
    digest: Digest,
    data: JSONBody[ApprovalWithPin],
    actor: Given[Actor],
    credentials: Given[CredentialService],
) -> None:
    """The written handover of SIG-8: approved with the present holder's PIN, named in the log."""
    await credentials.hand_over(actor, digest, data.approval, from_b64u(data.sealed_pin))


@get(
    "/api/v1/me/credentials",
    operation_id="listMyCredentials",
    summary="Credentials I hold",
    tags=["credentials", "phone"],
    opt=allow(roles=PERSON),
)
async def mine(actor: Given[Actor], credentials: Given[CredentialService]) -> list[CredentialView]:
    return [
        CredentialView(
            id=row["id"],
            kind=row["kind"],
            state=row["state"],
            subject=row["subject"],
            key_type=row["key_type"],
            certificate=None if row["certificate"] is None else b64u(bytes(row["certificate"])),
            not_after=iso_or_none(row["not_after_us"]),
        )
        for row in await credentials.held(actor)
    ]


@get(
    "/api/v1/me/credentials/{credential:str}/tries",
    operation_id="readTries",
    summary="PIN tries left",
    tags=["credentials", "phone"],
    opt=allow(roles=PERSON),
)
async def tries(credential: CredentialId, actor: Given[Actor], credentials: Given[CredentialService]) -> TriesView:
    left, until = await credentials.tries_left(actor, credential)
    return TriesView(tries_left=left, locked_until=iso_or_none(until or None))


@post(
    "/api/v1/me/pin",
    operation_id="changePin",
    summary="Change my PIN",
    tags=["credentials", "phone"],
    status_code=204,
    opt={**allow(roles=PERSON), "rate": Rate.SIGN},
)
async def change_pin(
    data: JSONBody[ApprovalWithPin], actor: Given[Actor], credentials: Given[CredentialService]
) -> None:
    """Both PINs travel sealed; the approval is of kind `change_pin`."""
    await credentials.change_pin(actor, data.approval, from_b64u(data.sealed_pin))


@get(
    "/api/v1/credentials",
    operation_id="listCredentials",
    summary="Credentials of the organisation and their holders",
    tags=["credentials", "phone"],
    opt=allow(**_OFFICER),
)
async def of_organisation(actor: Given[Actor], credentials: Given[CredentialService]) -> list[HeldView]:
    """What a voucher for a further device or a further holder names."""
    found: dict[str, HeldView] = {}
    for row in await credentials.of_organisation(actor):
        view = HeldView(row["id"], row["kind"], row["state"], row["subject"], iso_or_none(row["not_after_us"]), [])
        holders = found.setdefault(view.id, view).holders
        if row["holder"] is not None:
            holders.append(row["holder"])
    return list(found.values())


@get(
    "/api/v1/credentials/pending",
    operation_id="listPendingCredentials",
    summary="Credentials that wait for a certificate",
    tags=["credentials", "phone"],
    opt=allow(**_OFFICER),
)
async def pending(actor: Given[Actor], credentials: Given[CredentialService]) -> list[PendingView]:
    return [
        PendingView(id=row["id"], kind=row["kind"], subject=row["subject"], csr=b64u(bytes(row["csr"])))
        for row in await credentials.pending(actor)
    ]


@post(
    "/api/v1/credentials/{credential:str}/certificate",
    operation_id="importCertificate",
    summary="Give a credential its certificate",
    tags=["credentials", "phone"],
    status_code=204,
    opt=allow(**_OFFICER),
)
async def import_certificate(
    credential: CredentialId,
    data: JSONBody[CertificateRequest],
    actor: Given[Actor],
    credentials: Given[CredentialService],
) -> None:
    """The signer refuses another key, another subject, or a chain that ends at no configured root."""
    await credentials.import_certificate(
        actor, credential, from_b64u(data.certificate), [from_b64u(one) for one in data.chain]
    )


HANDLERS: list[Any] = [
    carry,
    enrolments,
    sealing_key,
    enrol,
    add_device,
    handovers,
    hand_over,
    mine,
    tries,
    change_pin,
    of_organisation,
    pending,
    import_certificate,
]
