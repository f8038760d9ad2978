"""Every refusal of the signer, as it is raised in the core, crosses the socket and is raised again by the client.

A refusal has a stable kebab-case `code` and public fields; a PIN, a key or a name never stands in either.
"""

# ruff: noqa: N818 - refusals are named as the protocol names them

from typing import ClassVar

_BY_CODE: dict[str, type["SignerError"]] = {}


class SignerError(Exception):
    """Base of all refusals; `code` is stable, `fields` are safe to show to the person concerned."""

    code: ClassVar[str] = "internal"

    def __init_subclass__(cls, *, code: str) -> None:
        cls.code = code
        _BY_CODE[code] = cls

    def __init__(self, detail: str = "", **fields: int | str) -> None:
        super().__init__(f"{self.code}: {detail}" if detail else self.code)
        self.detail = detail
        self.fields = fields


class MalformedRequest(SignerError, code="malformed-request"):
    """The request is not in the wire's form; a caller's defect."""


class UnknownCredential(SignerError, code="unknown-credential"):
    """The signer has no such credential."""


class UnknownDevice(SignerError, code="unknown-device"):
    """No such approval key for this credential: nothing is charged (A8)."""


class OrganisationRefused(SignerError, code="organisation-refused"):
    """The organisation is not the signer's, the officer's or the credential's."""


class ApprovalInvalid(SignerError, code="approval-invalid"):
    """The approval's signature, form or binding (credential, sealed PIN, voucher, device, challenge) does not hold."""


class KindRefused(SignerError, code="kind-refused"):
    """An approval or voucher of another kind than the call needs; kinds are never interchangeable."""


class ChallengeExpired(SignerError, code="challenge-expired"):
    """Older than 120 s by the signer's clock: ask for a new challenge and approve again."""


class ChallengeUsed(SignerError, code="challenge-used"):
    """The challenge was consumed before (A10); `state` says how it ended or that it runs. Ask `result`."""


class VoucherInvalid(SignerError, code="voucher-invalid"):
    """Not signed by a trusted officer for this organisation, expired, or not in form."""


class VoucherSpent(SignerError, code="voucher-spent"):
    """A voucher admits once."""


class CredentialExists(SignerError, code="credential-exists"):
    """The credential id, or the holder on it, is already taken."""


class PinMalformed(SignerError, code="pin-malformed"):
    """The sealed PIN does not open, or is not 6 to 31 digits in the 64-byte form."""


class PinForbidden(SignerError, code="pin-forbidden"):
    """The new PIN is guessable (A9); `reason` is one of length, repeated, run, common, personal, unchanged."""


class WrongPin(SignerError, code="wrong-pin"):
    """The PIN did not open the envelope. Fields: `tries_left` (in this stage), `locked_until_us` (0 if not locked)."""

    @property
    def tries_left(self) -> int:
        return int(self.fields.get("tries_left", 0))

    @property
    def locked_until_us(self) -> int:
        return int(self.fields.get("locked_until_us", 0))


class Locked(SignerError, code="locked"):
    """Too many wrong PINs; answered before any cryptography. Field: `locked_until_us`."""


class Ended(SignerError, code="ended"):
    """The envelope was destroyed after the last stage: a new key, a new certificate, in person (A3)."""


class Busy(SignerError, code="busy"):
    """Another activation of this holder runs, or the queue is full. Nothing was charged; try again shortly."""


class Void(SignerError, code="void"):
    """The activation was fenced, its device revoked, or its envelope changed while it ran: there is no signature."""


class Frozen(SignerError, code="frozen"):
    """The credential is frozen by its owner or a duty officer."""


class Suspended(SignerError, code="suspended"):
    """The store was restored from a backup: a `reactivate` voucher must name the approval keys to keep."""


class DeviceRevoked(SignerError, code="device-revoked"):
    """The approval key was revoked; it is never admitted again."""


class CertificateMissing(SignerError, code="certificate-missing"):
    """No certificate yet, or today is outside its dates: nothing can be signed, nothing was charged."""


class CertificateRefused(SignerError, code="certificate-refused"):
    """The certificate's key, subject, dates or chain do not match the credential and the configured roots."""


class ClockDrift(SignerError, code="clock-drift"):
    """The wall clock and the signer's own clock are more than 60 s apart."""


class Tampered(SignerError, code="tampered"):
    """A row of the store does not carry the MAC that the signer wrote last (A4): it stops until it is restarted."""


class Unavailable(SignerError, code="unavailable"):
    """The signer, its store or its head volume cannot be reached or written (A15)."""


def error_from(code: str, detail: str, fields: dict[str, int | str]) -> SignerError:
    """The typed error for an answer of the wire; an unlisted code becomes the base class."""
    return _BY_CODE.get(code, SignerError)(detail, **fields)
