"""The socket's messages: u32 length (big-endian) ‖ msgpack, at most 256 KiB, one answer for one request, in order.

A request is a map with its `op`; an answer is {"ok": value} or {"error": code, "detail": text, "fields": map}.
"""

import msgspec

from signing.core.model import CredentialId


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op"):
    """Base of all requests."""


class ChallengeRequest(_Request, frozen=True, tag="challenge"):
    credential: CredentialId
    device: str


class SealingKeyRequest(_Request, frozen=True, tag="sealing_key"):
    """No fields."""


class EnrolRequest(_Request, frozen=True, tag="enrol"):
    voucher: str
    join: str
    sealed_pin: bytes


class ImportCertificateRequest(_Request, frozen=True, tag="import_certificate"):
    credential: CredentialId
    certificate: bytes
    chain: tuple[bytes, ...]


class ActivateRequest(_Request, frozen=True, tag="activate"):
    """`voucher` for add_device and add_holder; `join` and `join_sealed_pin` for add_holder alone.

    `kind` is what the caller means: an approval of another kind is refused.
    """

    kind: str
    approval: str
    sealed_pin: bytes
    voucher: str = ""
    join: str = ""
    join_sealed_pin: bytes = b""


class ResultRequest(_Request, frozen=True, tag="result"):
    challenge: str


class VoidRequest(_Request, frozen=True, tag="void"):
    challenge: str


class StatusRequest(_Request, frozen=True, tag="status"):
    credential: CredentialId


class RevokeDeviceRequest(_Request, frozen=True, tag="revoke_device"):
    credential: CredentialId
    device: str


class FreezeRequest(_Request, frozen=True, tag="freeze"):
    credential: CredentialId
    frozen: bool


class ReactivateRequest(_Request, frozen=True, tag="reactivate"):
    voucher: str


class LogHeadRequest(_Request, frozen=True, tag="log_head"):
    """No fields."""


class LogEventsRequest(_Request, frozen=True, tag="log_events"):
    start: int
    count: int


_Change = EnrolRequest | ImportCertificateRequest | ActivateRequest | VoidRequest | RevokeDeviceRequest | FreezeRequest
_Question = ChallengeRequest | SealingKeyRequest | ResultRequest | StatusRequest | LogHeadRequest | LogEventsRequest
Request = _Change | ReactivateRequest | _Question


class Refusal(msgspec.Struct, frozen=True):
    error: str
    detail: str = ""
    fields: dict[str, int | str] = {}
