"""Values of approvals: the prepared revision, the activation (intent and outcome), and how the signer's refusals are told."""

from enum import StrEnum

import msgspec


class PreparedState(StrEnum):
    READY = "ready"
    USED = "used"
    DEAD = "dead"


class ActivationState(StrEnum):
    """Of the server's intent: written before the signer is asked (S1), settled afterwards (S2)."""

    INTENT = "intent"
    SIGNED = "signed"
    VOID = "void"


class PreparedRow(msgspec.Struct, frozen=True):
    id: str
    document: str
    position: int
    person: str
    credential: str
    parent: str
    blob: str
    tbs: str
    manifest: bytes
    manifest_digest: str
    assembly: bytes
    state: PreparedState
    created_us: int
    expires_us: int
    authority_grant: str | None = None


class ItemRow(msgspec.Struct, frozen=True):
    challenge: str
    item: int
    document: str
    position: int
    prepared: str
    tbs: str
    manifest_digest: str
    cms: bytes | None
    signed_us: int | None
    stamped_us: int | None
    revision: str | None


class ActivationRow(msgspec.Struct, frozen=True):
    challenge: str
    organisation: str
    person: str
    device: str
    credential: str
    approval: str
    state: ActivationState
    outcome: str | None
    created_us: int
    settled_us: int | None


class CredentialRow(msgspec.Struct, frozen=True):
    id: str
    organisation: str
    kind: str
    person: str | None
    key_type: str
    subject: str
    certificate: bytes | None
    chain: bytes | None
    not_after_us: int | None
    state: str


# The signer's refusal codes (signing.core.errors) as problem types; its own name where it may be told as it is.
PROBLEM_OF_SIGNER = {
    "malformed-request": "internal",
    "internal": "internal",
    "tampered": "signer-unavailable",
    "unavailable": "signer-unavailable",
    "clock-drift": "signer-unavailable",
    "challenge-used": "approval-used",
    "void": "approval-used",
    "unknown-credential": "credential-unavailable",
    "certificate-missing": "credential-unavailable",
    "organisation-refused": "approval-invalid",
    "kind-refused": "approval-invalid",
    "unknown-device": "device-not-admitted",
    "device-revoked": "device-not-admitted",
    "pin-malformed": "approval-invalid",
    "wrong-pin": "pin-wrong",
    "locked": "pin-locked",
    "ended": "key-destroyed",
    "frozen": "key-frozen",
    "suspended": "key-frozen",
    "pin-forbidden": "pin-weak",
    "voucher-invalid": "voucher-invalid",
    "voucher-spent": "voucher-invalid",
    "credential-exists": "voucher-invalid",
    "certificate-refused": "certificate-invalid",
}


def problem_of(code: str) -> str:
    return PROBLEM_OF_SIGNER.get(code, code)
