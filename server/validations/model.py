"""What a validation answers: rule SW-7's fields in Vietnamese and English, with the words of ETSI EN 319 102-1."""

import msgspec

from server.verification import intact, valid_then
from server.verification_texts import text
from server.wire import iso
from signing.pdf.validation import SignatureResult, ValidationResult

__all__ = ["VERDICTS", "Report", "Sentence", "SignatureReport", "report_of"]

VERDICTS: dict[str, tuple[str, str]] = {
    "valid": ("HỢP LỆ", "Valid"),
    "not_valid": ("KHÔNG HỢP LỆ", "Not valid"),
}
_MAX_NAME = 400
_LAST_US = 253_402_300_799_000_000  # the end of year 9999, the last that RFC 3339 can write


class Sentence(msgspec.Struct, frozen=True):
    """A stable code and what it says."""

    code: str
    vi: str
    en: str


class SignatureReport(msgspec.Struct, frozen=True, kw_only=True):
    """One signature, or a document time stamp (`kind`: "signature" | "document_timestamp").

    `indication`, `sub_indication`: EN 319 102-1. `organisation`: the certificate's managing unit. `time` is proven by a time
    stamp of `time_source` ("signature", "document", "" for none). `integrity`, `valid_at_signing`: None where that could not be
    read. `revocation`: "good", "revoked", "unknown" or "not-checked". `covers`: bytes of the file when it was signed;
    `whole_file`: nothing was added afterwards. `purpose`: what the signer wrote as the reason, his own word ("Ký nháy": initials).
    """

    field: str
    kind: str
    indication: str
    sub_indication: str
    level: str
    signer: str
    organisation: str
    issuer: str
    serial: str
    algorithm: str
    certificate_sha256: str
    not_before: str | None
    not_after: str | None
    time: str | None
    time_source: str
    integrity: bool | None
    valid_at_signing: bool | None
    revocation: str
    covers: int
    whole_file: bool
    purpose: str
    reasons: list[Sentence]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A file's verdict ("valid" | "not_valid") and why. `reasons` speak of the file as a whole, `notes` of what was not judged."""

    verdict: str
    vi: str
    en: str
    sha256: str
    size: int
    checked_at: str
    revisions: int
    reasons: list[Sentence]
    notes: list[Sentence]
    signatures: list[SignatureReport]


def sentence(code: str) -> Sentence:
    return Sentence(code, *text(code))


def report_of(result: ValidationResult, *, sha256: str, size: int, now_us: int) -> Report:
    verdict = "valid" if result.valid else "not_valid"
    signed = any(not found.timestamp for found in result.signatures)
    reasons = [result.reason] if result.reason else [] if signed else ["no-signature"]
    notes = (
        [] if all(found.revocation in {"good", "revoked"} for found in result.signatures) else ["revocation-unknown"]
    )
    return Report(
        verdict=verdict,
        vi=VERDICTS[verdict][0],
        en=VERDICTS[verdict][1],
        sha256=sha256,
        size=size,
        checked_at=iso(now_us),
        revisions=result.revisions,
        reasons=[sentence(code) for code in reasons],
        notes=[sentence(code) for code in notes],
        signatures=[_signature(found, size) for found in result.signatures],
    )


def _signature(found: SignatureResult, size: int) -> SignatureReport:
    return SignatureReport(
        field=_printable(found.field),
        kind="document_timestamp" if found.timestamp else "signature",
        indication=found.indication.value,
        sub_indication=found.sub_indication,
        level=found.level,
        signer=_printable(found.signer),
        organisation=_printable(found.organisation),
        issuer=_printable(found.issuer),
        serial=found.serial,
        algorithm=found.algorithm,
        certificate_sha256=found.certificate_sha256,
        not_before=_moment(found.not_before_us) if found.certificate_sha256 else None,
        not_after=_moment(found.not_after_us) if found.certificate_sha256 else None,
        time=_moment(found.time_us),
        time_source=found.time_source,
        integrity=intact(found),
        valid_at_signing=valid_then(found),
        revocation=found.revocation,
        covers=found.covers,
        whole_file=found.covers >= size - 2,
        purpose=_printable(found.purpose),
        reasons=[sentence(code) for code in found.reasons],
    )


def _moment(at_us: int | None) -> str | None:
    """A time from a certificate or token may be one that RFC 3339 cannot write."""
    return None if at_us is None or not 0 <= at_us <= _LAST_US else iso(at_us)


def _printable(words: str) -> str:
    """Names come from certificates and files: without control and direction characters (threat B11)."""
    return "".join(letter if letter.isprintable() else "�" for letter in words)[:_MAX_NAME]
