"""Validation of the signatures of a file by our own chain of revisions, before seal and before forward, and of whatever
file is brought (rules SW-7, SW-8, EXC-2; threats B1, B2, B4, B7, B9, B10).

The words are those of EN 319 102-1. A signature is TOTAL-PASSED only where its byte range leaves out exactly its own
/Contents and covers its whole revision, the CMS holds what was signed and by whom, the certificate chains to a given
root at the time that a time stamp proves (else now) and was not revoked then as far as the file's own validation data
tell, and every later revision changes only what may change: `compare` knows our own, `later` those of other products.
Form filling after signing is never taken for harmless. Whatever a parser raises is a reason not to believe, never an
exception.

Judged from the newest signature to the oldest: a document time stamp that passes proves that all before it existed by
then, so that an authority's certificate may have ended since (archive renewal, EN 319 102-1, 5.6).

It is longer than most because a verdict is one chain of findings, from byte range to proof of existence.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from signing.pdf.cms_validation import HASHES, Finding, Indication, Signed, check_path, doubt, names_of, read_cms
from signing.pdf.compare import compare_revisions
from signing.pdf.errors import MACHINE, PdfError
from signing.pdf.fields import FormField, decode_text, form_fields
from signing.pdf.later import check_later
from signing.pdf.locks import byte_range
from signing.pdf.objects import Buffer, Name, Ref, dictionary_spans
from signing.pdf.reader import Document, Revision, open_document

if TYPE_CHECKING:
    from signing.pdf.revocation import ValidationData

__all__ = ["Indication", "SignatureResult", "Trust", "ValidationResult", "validate", "validate_cms"]

_BLANK: Final = b"\0\t\n\f\r "
_SKEW_US: Final = 60_000_000
_MAX_PURPOSE: Final = 200
_PADES: Final = "ETSI.CAdES.detached"
_KINDS: Final = frozenset({_PADES, "adbe.pkcs7.detached"})


class Trust(msgspec.Struct, frozen=True):
    """DER certificates: `roots` and `intermediates` of signers, and of time-stamping authorities."""

    roots: tuple[bytes, ...]
    intermediates: tuple[bytes, ...] = ()
    timestamp_roots: tuple[bytes, ...] = ()
    timestamp_intermediates: tuple[bytes, ...] = ()


class SignatureResult(msgspec.Struct, frozen=True, kw_only=True):
    """One signature. Names are those of the certificate; times are microseconds UTC.

    `sub_indication` is a word of EN 319 102-1 (empty when passed); `reasons` are stable codes of ours, worst first.
    `time_us` is what a verified time stamp proves, None without one; `algorithm` is like "ecdsa-sha256".
    `covers` is the number of bytes of the file when it was signed. `not_before_us`, `not_after_us`: the certificate's
    period (rule SW-7). `time_source`: "signature" or "document", whichever time stamp proves `time_us`, else empty.
    `revocation` of the signer's path: "good", "revoked", "unknown" (the file's validation data do not tell of all of it),
    "not-checked" (the file has none). `level`: B-B, B-T, B-LT, B-LTA; empty for a document time stamp and for a signature
    that is no PAdES. `purpose`: what the signer wrote as `/Reason`, his own word and covered by his signature; initials say so.
    """

    field: str
    indication: Indication
    sub_indication: str = ""
    reasons: tuple[str, ...] = ()
    timestamp: bool = False
    signer: str = ""
    organisation: str = ""
    issuer: str = ""
    serial: str = ""
    algorithm: str = ""
    certificate_sha256: str = ""
    not_before_us: int = 0
    not_after_us: int = 0
    time_us: int | None = None
    covers: int = 0
    level: str = ""
    time_source: str = ""
    revocation: str = "not-checked"
    purpose: str = ""


class ValidationResult(msgspec.Struct, frozen=True):
    """All signatures in the order of their revisions; `reason` where the file as a whole cannot be read."""

    signatures: tuple[SignatureResult, ...]
    revisions: int
    reason: str = ""

    @property
    def valid(self) -> bool:
        passed = all(found.indication is Indication.PASSED for found in self.signatures)
        signed = any(not found.timestamp for found in self.signatures)
        return signed and passed and not self.reason


def validate(path: Path, trust: Trust, now_us: int) -> ValidationResult:
    """Judge every signature of the file at `path`. Raises `OSError` and `MemoryError` only."""
    try:
        with open_document(path) as document:
            return _File(document, trust, now_us).judge()
    except (OSError, *MACHINE):
        raise
    except PdfError as error:
        return ValidationResult((), 0, error.code)
    except Exception:
        # Threat B4: what a hostile file makes a parser raise says that the file is not valid, and nothing else.
        return ValidationResult((), 0, "broken-structure")


def validate_cms(der: bytes, tbs: bytes, trust: Trust, now_us: int) -> SignatureResult:
    """Judge a CMS apart from its file, as a receipt carries it: `tbs` is SHA-256 of what it signs (32 bytes).

    Raises MemoryError only; where the CMS names another digest than SHA-256 the result is INDETERMINATE.
    """

    def digest(name: str) -> bytes:
        if name != "sha256":
            raise doubt("weak-digest", "CRYPTO_CONSTRAINTS_FAILURE")
        return tbs

    found = _Found("")
    try:
        signed = read_cms(der, digest, found.seen, pades=True)
        _Judge(trust, now_us, None).signature(signed, found, pades=True)
    except Finding as failure:
        found.reasons.append(failure)
    except MACHINE:
        raise
    except Exception:
        # Threat B4, as in `_File`.
        found.reasons.append(Finding("malformed", "FORMAT_FAILURE"))
    return found.result()


class _Found:
    """What is known so far of one signature."""

    def __init__(self, field: str) -> None:
        self.seen: dict[str, Any] = {"field": field}
        self.reasons: list[Finding] = []

    @property
    def passed(self) -> bool:
        return not self.reasons

    def result(self) -> SignatureResult:
        self.reasons.sort(key=lambda failure: failure.indication is not Indication.FAILED)
        worst = self.reasons[0] if self.reasons else None
        return SignatureResult(
            indication=worst.indication if worst else Indication.PASSED,
            sub_indication=worst.sub_indication if worst else "",
            reasons=tuple(dict.fromkeys(failure.reason for failure in self.reasons)),
            **self.seen,
        )


# --- time, certificate, status --------------------------------------------------------------------------------------


class _Judge:
    """Judges one CMS against trust and time. `poe_us`: when a later document time stamp proves that it existed."""

    def __init__(self, trust: Trust, now_us: int, poe_us: int | None, data: ValidationData | None = None) -> None:
        self.trust = trust
        self.now_us = now_us
        self.poe_us = poe_us
        self.data = data
        self.until_us = now_us if poe_us is None else poe_us

    def signature(self, signed: Signed, found: _Found, *, pades: bool) -> None:
        """Raises `Finding`."""
        found.seen["level"] = "B-B" if pades else ""
        times = [] if self.poe_us is None else [(self.poe_us, "document")]
        try:
            if signed.tokens:
                if len(signed.tokens) != 1:
                    raise Finding("timestamp-wrong", "FORMAT_FAILURE")
                imprint = hashlib.sha256(signed.signature).digest()
                times.append((self.token(signed.tokens[0], imprint), "signature"))
        except Finding as failure:
            # A signature whose time stamp does not hold is judged as one without, and never passes.
            found.reasons.append(doubt(failure.reason, failure.sub_indication))
        if times:
            found.seen["time_us"], found.seen["time_source"] = min(times)
            found.seen["level"] = "B-T" if pades else ""
        at_us = min(times)[0] if times else self.now_us
        certificates = self.data.certificates if self.data is not None else ()
        pool = (*signed.certificates, *self.trust.intermediates, *certificates)
        path = check_path(signed.certificate, pool, self.trust.roots, at_us)
        found.seen["revocation"] = self.status(path, (*pool, *self.trust.roots), at_us)
        if found.seen["revocation"] == "revoked":
            raise doubt("revoked", "REVOKED_NO_POE")

    def token(self, token: bytes, imprint: bytes, seen: dict[str, Any] | None = None) -> int:
        """The time that a token proves. Raises `Finding`."""
        from signing.pdf.timestamp import TimeStampTrust, check_token

        trust = self.trust
        certificates = self.data.certificates if self.data is not None else ()
        roots = trust.timestamp_roots or trust.roots
        if not roots:
            raise doubt("timestamp-untrusted", "NO_CERTIFICATE_CHAIN_FOUND")
        between = (*trust.timestamp_intermediates, *certificates)
        try:
            found = check_token(token, imprint, nonce=None, trust=TimeStampTrust(roots, between), now_us=None)
        except PdfError as error:
            if error.code == "tsa-untrusted":
                raise doubt("timestamp-untrusted", "NO_CERTIFICATE_CHAIN_FOUND") from None
            raise Finding("timestamp-wrong", "SIG_CRYPTO_FAILURE") from None
        names = names_of(found.certificate)
        if seen is not None:
            seen.update(names)
        if found.gen_time_us > self.until_us + _SKEW_US:
            raise doubt("timestamp-wrong", "TIMESTAMP_ORDER_FAILURE")
        if self.until_us > names["not_after_us"]:
            # Who holds an ended key may stamp any time: only a later stamp proves that this one is older than the end.
            raise doubt("timestamp-expired", "OUT_OF_BOUNDS_NO_POE")
        if self.status(found.path, (*between, *roots), self.until_us) == "revoked":
            raise doubt("timestamp-untrusted", "REVOKED_NO_POE")
        return found.gen_time_us

    def status(self, proved: tuple[bytes, ...], pool: tuple[bytes, ...], at_us: int) -> str:
        """Of all certificates of a proved path but the root (rule SW-8), by the file's own validation data.

        Where the path ends at a certificate that is believed without being self-signed, those above it in `pool` count too.
        """
        if self.data is None or not (self.data.ocsps or self.data.crls):
            return "not-checked"
        from signing.pdf.revocation import CertificateState, path_of, status_of

        path = proved + path_of(proved[-1], pool)[1:]
        states = {
            status_of(own, above, self.data, at_us=at_us, now_us=self.now_us).state
            for own, above in itertools.pairwise(path)
        }
        if CertificateState.REVOKED in states:
            return "revoked"
        return "good" if states == {CertificateState.GOOD} else "unknown"


# --- the file -------------------------------------------------------------------------------------------------------


class _Beginnings:
    """Digests of the file from its first byte up to each hole, where what a signature covers has its first end.

    Every later signature covers what the earlier ones did: however many there are, the file is gone through about once.
    """

    def __init__(self, data: Buffer) -> None:
        self._data = data
        self._holes: set[int] = set()
        self._states: dict[tuple[str, int], Any] = {}

    def digest(self, ranges: tuple[int, int, int, int]) -> Callable[[str], bytes]:
        """What gives the digest of a byte range by name, once all holes are known."""
        _first, hole, behind, length = ranges
        self._holes.add(hole)

        def give(name: str) -> bytes:
            if name not in HASHES:
                raise doubt("weak-digest", "CRYPTO_CONSTRAINTS_FAILURE")
            state = self._up_to(hole, name)
            self._feed(state, behind, behind + length)
            found: bytes = state.digest()
            return found

        return give

    def _up_to(self, hole: int, name: str) -> Any:
        at = max((known for kind, known in self._states if kind == name and known <= hole), default=0)
        state = self._states[name, at].copy() if at else hashlib.new(name)
        for stop in sorted(other for other in self._holes if at < other <= hole):
            self._feed(state, at, stop)
            self._states[name, stop] = state.copy()
            at = stop
        return state

    def _feed(self, state: Any, start: int, end: int) -> None:
        for at in range(start, end, 1 << 20):
            state.update(self._data[at : min(at + (1 << 20), end)])


class _Place(msgspec.Struct, frozen=True):
    """Where a signature stands in its file: its own revision, its CMS, what it signs, its /SubFilter."""

    revision: Revision
    cms: bytes
    digest: Callable[[str], bytes]
    kind: str


class _File:
    def __init__(self, document: Document, trust: Trust, now_us: int) -> None:
        self.document = document
        self.trust = trust
        self.now_us = now_us
        self._permitted: dict[int, bool] = {}
        self._beginnings = _Beginnings(document.data)
        self.stamped: list[int] = []  # indices of revisions whose document time stamp passed

    def judge(self) -> ValidationResult:
        if self.document.data[self.document.head.end :].strip(_BLANK):
            # The last startxref leads back over bytes that no revision owns: other readers read them (threat B9).
            raise PdfError("broken-structure", "bytes stand behind the newest revision")
        signed = [field for field in form_fields(self.document.head) if field.is_signature and field.is_filled]
        self.data = self._validation_data() if signed else None
        founds: list[tuple[_Found, _Place | None]] = [self._placed(field) for field in signed]
        founds.sort(key=lambda pair: pair[0].seen.get("covers", 0), reverse=True)
        poe_us: int | None = None
        for found, place in founds:
            if place is None:
                continue
            self._one(found, place, poe_us)
            if found.seen["timestamp"] and found.passed:
                self.stamped.append(place.revision.index)
                poe_us = min(found.seen["time_us"], poe_us or found.seen["time_us"])
        results = tuple(found.result() for found, _place in reversed(founds))
        return ValidationResult(results, len(self.document.revisions))

    def _validation_data(self) -> ValidationData | None:
        if Name("DSS") not in self.document.catalog:
            return None
        from signing.pdf.revocation import read_dss

        try:
            return read_dss(self.document.head)
        except PdfError:
            return None  # what cannot be read proves nothing about any certificate

    def _placed(self, field: FormField) -> tuple[_Found, _Place | None]:
        found = _Found(field.name)
        place = None
        try:
            place = _place(self.document, field, found.seen, self._beginnings)
        except Finding as failure:
            found.reasons.append(failure)
        except MACHINE:
            raise
        except Exception:
            # Threat B4: a parser's exception of any kind is "not valid", never "unknown, go on".
            found.reasons.append(Finding("malformed", "FORMAT_FAILURE"))
        return found, place

    def _one(self, found: _Found, place: _Place, poe_us: int | None) -> None:
        try:
            after = range(place.revision.index + 1, len(self.document.revisions))
            if not all(map(self._may_follow, after)):
                found.reasons.append(doubt("changed-after-signing", "SIG_CONSTRAINTS_FAILURE"))
            judge = _Judge(self.trust, self.now_us, poe_us, self.data)
            if found.seen["timestamp"]:
                found.seen["time_us"] = judge.token(place.cms, place.digest("sha256"), found.seen)
                found.seen["time_source"] = "document"
                return
            if place.kind not in _KINDS:
                raise doubt(
                    "weak-digest" if "sha1" in place.kind else "unknown-algorithm", "CRYPTO_CONSTRAINTS_FAILURE"
                )
            pades = place.kind == _PADES
            signed = read_cms(place.cms, place.digest, found.seen, pades=pades)
            judge.signature(signed, found, pades=pades)
            if found.seen["level"] == "B-T" and found.seen["revocation"] == "good":
                found.seen["level"] = "B-LTA" if self._archived(place.revision.index) else "B-LT"
        except Finding as failure:
            found.reasons.append(failure)
        except MACHINE:
            raise
        except Exception:
            # Threat B4, as above.
            found.reasons.append(Finding("malformed", "FORMAT_FAILURE"))

    def _archived(self, index: int) -> bool:
        """Whether a passing document time stamp after the signature covers validation data (EN 319 142-1, 5.4.3)."""
        return any(stamp > index and Name("DSS") in self.document.revisions[stamp].catalog for stamp in self.stamped)

    def _may_follow(self, index: int) -> bool:
        """Whether revision `index` changes only what may change after a signature."""
        if index not in self._permitted:
            self._permitted[index] = _accepted(compare_revisions, self.document, index) or _accepted(
                check_later, self.document, index
            )
        return self._permitted[index]


def _accepted(check: Any, document: Document, index: int) -> bool:
    try:
        check(document, index)
    except MACHINE:
        raise
    except Exception:
        # A revision that cannot be compared is not known to be harmless (threats B1, B4).
        return False
    return True


def _place(document: Document, field: FormField, seen: dict[str, Any], beginnings: _Beginnings) -> _Place:
    """Where the signature stands; the hole must be exactly the value of its /Contents."""
    view = document.head
    value = view.resolve(field.value)
    found = view.indirect(field.value) if isinstance(field.value, Ref) else None
    if not isinstance(value, dict) or found is None or found.offset is None:
        raise Finding("malformed", "FORMAT_FAILURE")
    kind = value.get(Name("SubFilter"))
    seen["timestamp"] = kind == "ETSI.RFC3161"
    purpose = view.resolve(value.get(Name("Reason")))
    seen["purpose"] = decode_text(purpose)[:_MAX_PURPOSE] if isinstance(purpose, bytes) else ""
    ranges = byte_range(view, value, field.ref)
    seen["covers"] = ranges[2] + ranges[3]
    spans = {key: (start, end) for key, _at, start, end in dictionary_spans(found.data, found.start)}
    if spans.get(Name("Contents")) != (ranges[1], ranges[2]) or document.data[ranges[1]] != 0x3C:
        raise Finding("range-not-exact", "FORMAT_FAILURE")
    revision = _revision_of(document, field.value, seen["covers"])
    contents = value.get(Name("Contents"))
    if not isinstance(contents, bytes) or not isinstance(kind, Name):
        raise Finding("malformed", "FORMAT_FAILURE")
    return _Place(revision, _cms(contents), beginnings.digest(ranges), str(kind))


def _revision_of(document: Document, ref: object, covers: int) -> Revision:
    """The revision that wrote the signature, which the signature must cover to its end."""
    assert isinstance(ref, Ref)
    entry = document.head.locate(ref.num)
    revision = next(found for found in document.revisions if found.locate(ref.num) == entry)
    # A producer may leave the line end behind %%EOF outside, or sign blank bytes behind it.
    low, high = sorted((revision.end, covers))
    if (covers < revision.end - 2) or document.data[low:high].strip(_BLANK):
        raise Finding("range-not-whole", "FORMAT_FAILURE")
    return revision


def _cms(contents: bytes) -> bytes:
    """The DER at the beginning of the hole; what follows must be the zeros that filled it."""
    from asn1crypto import parser

    length = int(parser.peek(contents))
    if contents[length:].strip(b"\0"):
        raise Finding("hole-not-empty", "FORMAT_FAILURE")
    return contents[:length]
