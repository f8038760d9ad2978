"""Values of the protocol: what devices and officers sign, what the wire carries, and in which states things are.

Ids on the wire and in JWS payloads are text: credential = base64url of 16 bytes, challenge = base64url of 32 bytes,
device = RFC 7638 thumbprint of its approval key, digests in payloads = base64url of SHA-256. Times are microseconds
UTC. The declared order of the fields of a signed payload is its wire order.
"""

from enum import StrEnum
from typing import NewType

import msgspec

from signing.core.codec import PublicJwk

CredentialId = NewType("CredentialId", str)
ChallengeId = NewType("ChallengeId", str)
DeviceId = NewType("DeviceId", str)

APPROVAL_TYP = "hoatoc-approval+jws"
VOUCHER_TYP = "hoatoc-voucher+jws"
SEALING_TYP = "hoatoc-sealing-key+jws"
HEAD_TYP = "hoatoc-head+jws"
RESTORE_TYP = "hoatoc-restore+jws"

MAX_ITEMS = 200
FRAME_LIMIT = 256 * 1024
CHALLENGE_LIFE_US = 120_000_000
VOUCHER_LIFE_US = 7 * 86_400_000_000


class Kind(StrEnum):
    """What an approval is for. Kinds are never interchangeable."""

    DOCUMENT = "document"
    CHANGE_PIN = "change_pin"
    ADD_DEVICE = "add_device"
    ADD_HOLDER = "add_holder"
    JOIN = "join"
    RAW_HASH = "raw_hash"


class VoucherKind(StrEnum):
    ENROL = "enrol"
    ADD_DEVICE = "add_device"
    ADD_HOLDER = "add_holder"
    REACTIVATE = "reactivate"


class KeyType(StrEnum):
    """Fixed at enrolment: ECDSA with SHA-256, or RSASSA-PSS with SHA-256, MGF1-SHA-256, salt 32 (RFC 4055)."""

    P256 = "p256"
    RSA3072 = "rsa3072"


class ActivationState(StrEnum):
    RUNNING = "running"
    SIGNED = "signed"
    VOID = "void"
    WRONG_PIN = "wrong_pin"
    UNKNOWN = "unknown"


class HolderState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"  # after an accepted restore, until a reactivate voucher
    ENDED = "ended"  # last try charged; the envelope goes with its wrong verdict or at the next start


class DeviceState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


class _Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the payloads that travel as JWS."""


class Item(_Signed, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One document: digest of the prepared bytes without the hole, digest of the manifest that was shown."""

    tbs: str
    manifest: str


class Approval(_Signed, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a device's approval key signs (`hoatoc-approval+jws`). Absent texts are ""."""

    v: int
    kind: Kind
    challenge: str
    organisation: str
    credential: str
    device: str
    items: tuple[Item, ...]
    pin_sha256: str
    voucher_sha256: str


class Voucher(_Signed, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a registration officer signs (`hoatoc-voucher+jws`).

    `subject` is an RFC 4514 name ("CN=…,O=…,C=VN"; types without a short name as dotted numbers). `pin_forbidden` holds
    digit strings (date of birth, phone, identity number) that no PIN may contain or be contained in. `nonce` is 16
    bytes.
    """

    v: int
    kind: VoucherKind
    organisation: str
    person: str
    credential: str
    key_type: KeyType
    subject: str
    approval_key: PublicJwk
    pin_forbidden: tuple[str, ...]
    not_after: int
    nonce: str


class SealingStatement(_Signed, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Signed by the identity key: the P-256 key that PINs are sealed to; `id` = SHA-256 of its uncompressed point."""

    v: int
    key: PublicJwk
    id: str
    not_after: int


class Head(_Signed, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The signed head of store and log; `root` and `sum` are base64url of 32 bytes."""

    v: int
    sequence: int
    log_size: int
    root: str
    sum: str
    time: int


class RestoreOrder(_Signed, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two officers sign the same order: from this head (SHA-256 of its JWS) back to the store with that sequence and
    root.
    """

    v: int
    old_head_sha256: str
    sequence: int
    root: str


# What the wire answers.
# --------------------------------------------------------------------------------------------------


class ChallengeGrant(msgspec.Struct, frozen=True):
    """A challenge bound to credential and approval key, valid 120 s, and the statement of the key to seal the PIN to."""

    challenge: ChallengeId
    statement: str
    identity: PublicJwk


class Enrolment(msgspec.Struct, frozen=True):
    """A new credential: its certification request (PKCS #10 DER)."""

    credential: CredentialId
    csr: bytes


class Signature(msgspec.Struct, frozen=True):
    """Raw signature over `signed_attributes` (DER SET OF), built by the core from `tbs` (32 bytes)."""

    tbs: bytes
    signed_attributes: bytes
    signature: bytes


class Activation(msgspec.Struct, frozen=True):
    """A finished activation. `signatures` is in the approval's item order, empty for kinds other than document."""

    challenge: ChallengeId
    credential: CredentialId
    key_type: KeyType
    certificate: bytes
    chain: tuple[bytes, ...]
    signatures: tuple[Signature, ...]


class Outcome(msgspec.Struct, frozen=True):
    """How an activation stands; `activation` is there exactly when `state` is signed."""

    state: ActivationState
    activation: Activation | None = None


class DeviceStatus(msgspec.Struct, frozen=True):
    device: DeviceId
    state: DeviceState


class HolderStatus(msgspec.Struct, frozen=True):
    """`tries_left` counts to the next lock, 0 while locked or ended; `locked_until_us` is 0 when not locked."""

    person: str
    state: HolderState
    tries_left: int
    locked_until_us: int
    devices: tuple[DeviceStatus, ...]


class Status(msgspec.Struct, frozen=True):
    credential: CredentialId
    organisation: str
    key_type: KeyType
    subject: str
    csr: bytes
    certificate: bytes
    chain: tuple[bytes, ...]
    frozen: bool
    holders: tuple[HolderStatus, ...]


class LogHead(msgspec.Struct, frozen=True):
    """The newest signed head (`hoatoc-head+jws`, payload `Head`) and the identity key that it verifies with."""

    head: str
    identity: PublicJwk


class LogEvents(msgspec.Struct, frozen=True):
    """Events (JSON bytes, each a leaf) from index `start`; as many as fit a frame."""

    start: int
    events: tuple[bytes, ...]
