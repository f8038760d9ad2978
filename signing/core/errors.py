"""Every refusal of the signer, as it is raised in the core, crosses the socket and is raised again by the client.

A refusal has a stable kebab-case `code` and public fields; a PIN, a key or a name never stands in either.
"""

# ruff: noqa: N818 - refusals are named as the protocol names them

from typing import ClassVar

__all__ = [
    "ApprovalInvalid",
    "Busy",
    "CertificateMissing",
    "CertificateRefused",
    "ChallengeExpired",
    "ChallengeUsed",
    "ClockDrift",
    "CredentialExists",
    "DeviceRevoked",
    "Ended",
    "Frozen",
    "KindRefused",
    "Locked",
    "MalformedRequest",
    "OrganisationRefused",
    "PinForbidden",
    "PinMalformed",
    "SignerError",
    "Suspended",
    "Tampered",
    "Unavailable",
    "UnknownCredential",
    "UnknownDevice",
    "Void",
    "VoucherInvalid",
    "VoucherSpent",
    "WrongPin",
    "error_from",
]

_BY_CODE: dict[str, type["SignerError"]] = {}


class SignerError(Exception):
    """Base of all refusals; `code` is stable, `fields` are safe to show to the person concerned."""

    code: ClassVar[str] = "internal"
    charged: ClassVar[bool] = False
    """Whether a try had been charged when this was raised."""

    def __init_subclass__(cls) -> None:
        _BY_CODE[cls.code] = cls

    def __init__(self, detail: str = "", **fields: int | str) -> None:
        super().__init__(f"{self.code}: {detail}" if detail else self.code)
        self.detail = detail
        self.fields = fields


class MalformedRequest(SignerError):
    """The request is not in the wire's form; a caller's defect."""

    code = "malformed-request"


class UnknownCredential(SignerError):
    code = "unknown-credential"


class UnknownDevice(SignerError):
    """No such approval key for this credential: nothing is charged (A8)."""

    code = "unknown-device"


class OrganisationRefused(SignerError):
    """The organisation is not the signer's, the officer's or the credential's."""

    code = "organisation-refused"


class ApprovalInvalid(SignerError):
    """The approval's signature, form or binding (credential, sealed PIN, voucher, device, challenge) does not hold."""

    code = "approval-invalid"


class KindRefused(SignerError):
    """An approval or voucher of another kind than the call needs; kinds are never interchangeable."""

    code = "kind-refused"


class ChallengeExpired(SignerError):
    """Older than 120 s by the signer's clock: ask for a new challenge and approve again."""

    code = "challenge-expired"


class ChallengeUsed(SignerError):
    """The challenge was consumed before (A10); `state` says how it ended or that it runs. Ask `result`."""

    code = "challenge-used"


class VoucherInvalid(SignerError):
    """Not signed by a trusted officer for this organisation, expired, or not in form."""

    code = "voucher-invalid"


class VoucherSpent(SignerError):
    code = "voucher-spent"


class CredentialExists(SignerError):
    """The credential id, or the holder on it, is already taken."""

    code = "credential-exists"


class PinMalformed(SignerError):
    """The sealed PIN does not open, or is not 6 to 31 digits in the 64-byte form."""

    code = "pin-malformed"


class PinForbidden(SignerError):
    """The new PIN is guessable (A9); `reason` is one of length, repeated, run, common, personal, unchanged."""

    code = "pin-forbidden"


class WrongPin(SignerError):
    """The PIN did not open the envelope. Fields: `tries_left` (in this stage), `locked_until_us` (0 if not locked)."""

    code = "wrong-pin"
    charged = True

    @property
    def tries_left(self) -> int:
        return int(self.fields.get("tries_left", 0))

    @property
    def locked_until_us(self) -> int:
        return int(self.fields.get("locked_until_us", 0))


class Locked(SignerError):
    """Too many wrong PINs; answered before any cryptography. Field: `locked_until_us`."""

    code = "locked"

    @property
    def locked_until_us(self) -> int:
        return int(self.fields.get("locked_until_us", 0))


class Ended(SignerError):
    """The envelope was destroyed after the last stage: a new key, a new certificate, in person (A3)."""

    code = "ended"


class Busy(SignerError):
    """Another activation of this holder runs, or the queue is full. Nothing was charged; try again shortly."""

    code = "busy"


class Void(SignerError):
    """The activation was fenced, its device revoked, or its envelope changed while it ran: there is no signature."""

    code = "void"
    charged = True


class Frozen(SignerError):
    """The credential is frozen by its owner or a duty officer."""

    code = "frozen"


class Suspended(SignerError):
    """The store was restored from a backup: a `reactivate` voucher must name the approval keys to keep."""

    code = "suspended"


class DeviceRevoked(SignerError):
    """The approval key was revoked; it is never admitted again."""

    code = "device-revoked"


class CertificateMissing(SignerError):
    """No certificate yet, or today is outside its dates: nothing can be signed, nothing was charged."""

    code = "certificate-missing"


class CertificateRefused(SignerError):
    """The certificate's key, subject, dates or chain do not match the credential and the configured roots."""

    code = "certificate-refused"


class ClockDrift(SignerError):
    """The wall clock and the signer's own clock are more than 60 s apart."""

    code = "clock-drift"


class Tampered(SignerError):
    """A row of the store does not carry the MAC that the signer wrote last (A4): it stops until it is restarted."""

    code = "tampered"


class Unavailable(SignerError):
    """The signer, its store or its head volume cannot be reached or written (A15)."""

    code = "unavailable"


def error_from(code: str, detail: str, fields: dict[str, int | str]) -> SignerError:
    """The typed error for an answer of the wire; an unlisted code becomes the base class."""
    return _BY_CODE.get(code, SignerError)(detail, **fields)
