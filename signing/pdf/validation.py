"""Validation of the signatures of a file by our own chain of revisions, before seal and before forward (threats B1,
B4).

The words are those of EN 319 102-1. A signature is TOTAL-PASSED only where its byte range leaves out exactly its own
/Contents and covers its whole revision, the CMS holds what was signed and by whom, the certificate chains to a given
root at the time that its time stamp proves (else now), and every later revision changes only what our closed list
allows: form filling after signing is never taken for harmless. Whatever a parser raises is a reason not to believe,
never an exception.

Revocation is not judged here. A later revision of another product is INDETERMINATE, since only our own are known.

It is longer than most because a verdict is one chain of findings, from byte range to certificate path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from signing.pdf.compare import compare_revisions
from signing.pdf.errors import PdfError
from signing.pdf.fields import FormField, form_fields
from signing.pdf.locks import byte_range
from signing.pdf.objects import Name, Ref, dictionary_spans
from signing.pdf.reader import Document, Revision, open_document

__all__ = ["Indication", "SignatureResult", "Trust", "ValidationResult", "validate", "validate_cms"]

_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})
# What says something about this machine and nothing about the file: no verdict may come of it.
_MACHINE: Final = (MemoryError, ImportError)
_BLANK: Final = b"\0\t\n\f\r "


class Indication(StrEnum):
    """EN 319 102-1, 5.1.3."""

    PASSED = "TOTAL-PASSED"
    FAILED = "TOTAL-FAILED"
    INDETERMINATE = "INDETERMINATE"


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
    `revocation` of the signer's certificate: "good", "revoked", "unknown" (asked for, nothing conclusive), "not-checked".
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
    level: str = ""  # B-B, B-T, B-LT, B-LTA; empty for a document time stamp
    time_source: str = ""
    revocation: str = "not-checked"


class ValidationResult(msgspec.Struct, frozen=True):
    """All signatures in the order of their revisions; `reason` where the file as a whole cannot be read."""

    signatures: tuple[SignatureResult, ...]
    revisions: int
    reason: str = ""

    @property
    def valid(self) -> bool:
        passed = all(found.indication is Indication.PASSED for found in self.signatures)
        return bool(self.signatures) and passed and not self.reason


class _Failure(Exception):  # noqa: N818 - a finding, not an error
    """A finding that ends the judgement of one signature."""

    def __init__(self, reason: str, sub_indication: str, indication: Indication = Indication.FAILED) -> None:
        self.reason = reason
        self.sub_indication = sub_indication
        self.indication = indication
        super().__init__(reason)


class _Doubt(_Failure):
    def __init__(self, reason: str, sub_indication: str) -> None:
        super().__init__(reason, sub_indication, Indication.INDETERMINATE)


def validate(path: Path, trust: Trust, now_us: int) -> ValidationResult:
    """Judge every signature of the file at `path`. Raises `OSError` and `MemoryError` only."""
    try:
        with open_document(path) as document:
            return _validate(document, trust, now_us)
    except (OSError, *_MACHINE):
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
            raise _Doubt("weak-digest", "CRYPTO_CONSTRAINTS_FAILURE")
        return tbs

    seen: dict[str, Any] = {"field": ""}
    reasons: list[_Failure] = []
    try:
        _signature(der, digest, trust, now_us, seen, reasons)
    except _Failure as failure:
        reasons.append(failure)
    except _MACHINE:
        raise
    except Exception:
        # Threat B4, as in `_judge`.
        reasons.append(_Failure("malformed", "FORMAT_FAILURE"))
    return _result(seen, reasons)


def _validate(document: Document, trust: Trust, now_us: int) -> ValidationResult:
    signed = [field for field in form_fields(document.head) if field.is_signature and field.is_filled]
    ours = _permitted_changes(document) if signed else {}
    results = [_judge(document, field, trust, now_us, ours) for field in signed]
    results.sort(key=lambda result: result.covers)
    return ValidationResult(tuple(results), len(document.revisions))


def _permitted_changes(document: Document) -> dict[int, bool]:
    """Whether each later revision, by its index, changes only what the closed list allows."""
    found = {}
    for index in range(1, len(document.revisions)):
        try:
            compare_revisions(document, index)
            found[index] = True
        except _MACHINE:
            raise
        except Exception:
            # A revision that cannot be compared is not known to be harmless (threats B1, B4).
            found[index] = False
    return found


def _judge(document: Document, field: FormField, trust: Trust, now_us: int, ours: dict[int, bool]) -> SignatureResult:
    seen: dict[str, Any] = {"field": field.name}
    reasons: list[_Failure] = []
    try:
        revision, cms, digest = _signed_bytes(document, field, seen)
        if not all(ours[index] for index in range(revision.index + 1, len(document.revisions))):
            reasons.append(_Doubt("changed-after-signing", "SIG_CONSTRAINTS_FAILURE"))
        if seen["timestamp"]:
            _document_timestamp(cms, digest("sha256"), trust, seen)
        else:
            _signature(cms, digest, trust, now_us, seen, reasons)
    except _Failure as failure:
        reasons.append(failure)
    except _MACHINE:
        raise
    except Exception:
        # Threat B4: a parser's exception of any kind is "not valid", never "unknown, go on".
        reasons.append(_Failure("malformed", "FORMAT_FAILURE"))
    return _result(seen, reasons)


def _result(seen: dict[str, Any], reasons: list[_Failure]) -> SignatureResult:
    reasons.sort(key=lambda failure: failure.indication is not Indication.FAILED)
    worst = reasons[0] if reasons else None
    return SignatureResult(
        indication=worst.indication if worst else Indication.PASSED,
        sub_indication=worst.sub_indication if worst else "",
        reasons=tuple(dict.fromkeys(failure.reason for failure in reasons)),
        **seen,
    )


# --- the file -------------------------------------------------------------------------------------------------------


class _Digest:
    """Digests of what a byte range covers, by name."""

    def __init__(self, document: Document, ranges: tuple[int, int, int, int]) -> None:
        self._document = document
        self._ranges = ranges

    def __call__(self, name: str) -> bytes:
        if name not in _HASHES:
            raise _Doubt("weak-digest", "CRYPTO_CONSTRAINTS_FAILURE")
        state = hashlib.new(name)
        a, b, c, d = self._ranges
        for start, length in ((a, b), (c, d)):
            for at in range(start, start + length, 1 << 20):
                state.update(self._document.data[at : min(at + (1 << 20), start + length)])
        return state.digest()


def _signed_bytes(document: Document, field: FormField, seen: dict[str, Any]) -> tuple[Revision, bytes, _Digest]:
    """(the signature's own revision, its CMS, what was signed); the hole must be exactly the value of /Contents."""
    view = document.head
    value = view.resolve(field.value)
    found = view.indirect(field.value) if isinstance(field.value, Ref) else None
    if not isinstance(value, dict) or found is None or found.offset is None:
        raise _Failure("malformed", "FORMAT_FAILURE")
    seen["timestamp"] = value.get(Name("SubFilter")) == "ETSI.RFC3161"
    ranges = byte_range(view, value, field.ref)
    seen["covers"] = ranges[2] + ranges[3]
    spans = {key: (start, end) for key, _at, start, end in dictionary_spans(found.data, found.start)}
    if spans.get(Name("Contents")) != (ranges[1], ranges[2]) or document.data[ranges[1]] != 0x3C:
        raise _Failure("range-not-exact", "FORMAT_FAILURE")
    revision = _revision_of(document, field.value, seen["covers"])
    contents = value.get(Name("Contents"))
    if not isinstance(contents, bytes):
        raise _Failure("malformed", "FORMAT_FAILURE")
    return revision, _cms(contents), _Digest(document, ranges)


def _revision_of(document: Document, ref: object, covers: int) -> Revision:
    """The revision that wrote the signature, which the signature must cover to its end."""
    assert isinstance(ref, Ref)
    entry = document.head.locate(ref.num)
    revision = next(found for found in document.revisions if found.locate(ref.num) == entry)
    # A producer may leave the line end behind %%EOF outside, or sign blank bytes behind it.
    low, high = sorted((revision.end, covers))
    if (covers < revision.end - 2) or document.data[low:high].strip(_BLANK):
        raise _Failure("range-not-whole", "FORMAT_FAILURE")
    return revision


def _cms(contents: bytes) -> bytes:
    """The DER at the beginning of the hole; what follows must be the zeros that filled it."""
    from asn1crypto import parser

    length = int(parser.peek(contents))
    if contents[length:].strip(b"\0"):
        raise _Failure("hole-not-empty", "FORMAT_FAILURE")
    return contents[:length]


# --- the signature --------------------------------------------------------------------------------------------------


def _document_timestamp(token: bytes, imprint: bytes, trust: Trust, seen: dict[str, Any]) -> None:
    seen["time_us"] = _token(token, imprint, trust, seen)


def _token(token: bytes, imprint: bytes, trust: Trust, seen: dict[str, Any] | None = None) -> int:
    from signing.pdf.timestamp import TimeStampTrust, check_token

    believed = TimeStampTrust(trust.timestamp_roots or trust.roots, trust.timestamp_intermediates)
    try:
        found = check_token(token, imprint, nonce=None, trust=believed, now_us=None)
    except PdfError as error:
        if error.code == "tsa-untrusted":
            raise _Doubt("timestamp-untrusted", "NO_CERTIFICATE_CHAIN_FOUND") from None
        raise _Failure("timestamp-wrong", "SIG_CRYPTO_FAILURE") from None
    if seen is not None:
        _names(found.certificate, seen)
    return found.gen_time_us


def _signature(
    der: bytes,
    digest: Callable[[str], bytes],
    trust: Trust,
    now_us: int,
    seen: dict[str, Any],
    reasons: list[_Failure],
) -> None:
    from asn1crypto import cms, tsp  # noqa: F401 - tsp teaches cms the signing-certificate-v2 attribute (RFC 5035)

    content = cms.ContentInfo.load(der, strict=True)
    signed = content["content"]
    if content["content_type"].native != "signed_data" or len(signed["signer_infos"]) != 1:
        raise _Failure("malformed", "FORMAT_FAILURE")
    if signed["encap_content_info"]["content_type"].native != "data" or signed["encap_content_info"]["content"].native:
        raise _Failure("malformed", "FORMAT_FAILURE")
    signer = signed["signer_infos"][0]
    certificates = [choice.chosen.dump() for choice in signed["certificates"] if choice.name == "certificate"]
    certificate = _signers_certificate(signer, certificates)
    _names(certificate, seen)
    digest_name = signer["digest_algorithm"]["algorithm"].native
    if _attribute(signer, "content_type").native != "data":
        raise _Failure("malformed", "FORMAT_FAILURE")
    if _attribute(signer, "message_digest").native != digest(digest_name):
        raise _Failure("content-changed", "HASH_FAILURE")
    seen["algorithm"] = _verify(signer, certificate, digest_name)
    seen["level"] = "B-B"
    try:
        seen["time_us"] = _signature_timestamp(signer, trust)
        seen["level"] = "B-B" if seen["time_us"] is None else "B-T"
    except _Failure as failure:
        # A signature whose time stamp does not hold is judged as one without, and never passes.
        reasons.append(_Doubt(failure.reason, failure.sub_indication))
    _path(certificate, certificates, trust, now_us if seen.get("time_us") is None else seen["time_us"])


def _attribute(signer: Any, name: str) -> Any:
    """The only value of a signed attribute that must stand exactly once (RFC 5652, 11)."""
    found = [item for item in signer["signed_attrs"] if item["type"].native == name]
    if len(found) != 1 or len(found[0]["values"]) != 1:
        raise _Failure("attribute-missing", "FORMAT_FAILURE")
    return found[0]["values"][0]


def _signers_certificate(signer: Any, certificates: list[bytes]) -> bytes:
    """The certificate that the signing-certificate-v2 attribute names by its hash (RFC 5035, EN 319 122-1 5.2.2)."""
    if not any(item["type"].native == "signing_certificate_v2" for item in signer["signed_attrs"]):
        raise _Doubt("signing-certificate-missing", "SIG_CONSTRAINTS_FAILURE")
    first = _attribute(signer, "signing_certificate_v2")["certs"][0]
    name = first["hash_algorithm"]["algorithm"].native
    if name not in _HASHES:
        raise _Doubt("weak-digest", "CRYPTO_CONSTRAINTS_FAILURE")
    wanted = first["cert_hash"].native
    found = next((der for der in certificates if hashlib.new(name, der).digest() == wanted), None)
    if found is None:
        raise _Doubt("signing-certificate-missing", "NO_SIGNING_CERTIFICATE_FOUND")
    if not _names_signer(signer["sid"], found):
        raise _Failure("signing-certificate-differs", "FORMAT_FAILURE")
    return found


def _names_signer(sid: Any, certificate: bytes) -> bool:
    from asn1crypto import x509

    own = x509.Certificate.load(certificate)
    if sid.name == "issuer_and_serial_number":
        same_issuer = sid.chosen["issuer"].dump() == own.issuer.dump()
        return bool(same_issuer and sid.chosen["serial_number"].native == own.serial_number)
    return bool(sid.chosen.native == own.key_identifier)


def _names(certificate: bytes, seen: dict[str, Any]) -> None:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    own = x509.load_der_x509_certificate(certificate)

    def first(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
        return next((str(item.value) for item in name.get_attributes_for_oid(oid)), "")

    seen["signer"] = first(own.subject, NameOID.COMMON_NAME)
    seen["organisation"] = first(own.subject, NameOID.ORGANIZATION_NAME)
    seen["issuer"] = first(own.issuer, NameOID.COMMON_NAME) or own.issuer.rfc4514_string()
    seen["serial"] = f"{own.serial_number:x}"
    seen["certificate_sha256"] = hashlib.sha256(certificate).hexdigest()
    seen["not_before_us"] = round(own.not_valid_before_utc.timestamp() * 1_000_000)
    seen["not_after_us"] = round(own.not_valid_after_utc.timestamp() * 1_000_000)


def _verify(signer: Any, certificate: bytes, digest_name: str) -> str:
    """Check the raw signature over the signed attributes (RFC 5652, 5.4); gives the algorithm's name."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    known: dict[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
        "sha256": hashes.SHA256,
        "sha384": hashes.SHA384,
        "sha512": hashes.SHA512,
    }
    key = x509.load_der_x509_certificate(certificate).public_key()
    algorithm = signer["signature_algorithm"]
    scheme = algorithm.signature_algo
    name = digest_name if algorithm["algorithm"].native == "rsassa_pkcs1v15" else algorithm.hash_algo
    # RFC 5652 lets both digests differ; no honest producer does it, and readers disagree where it happens.
    if name not in known or name != digest_name:
        raise _Doubt("weak-digest", "CRYPTO_CONSTRAINTS_FAILURE")
    digest, signature, data = known[name](), signer["signature"].native, signer["signed_attrs"].untag().dump()
    try:
        if scheme == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(digest))
        elif isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
            raise _Doubt("weak-key", "CRYPTO_CONSTRAINTS_FAILURE")
        elif scheme == "rsassa_pss" and isinstance(key, rsa.RSAPublicKey):
            salt = algorithm["parameters"]["salt_length"].native
            key.verify(signature, data, padding.PSS(padding.MGF1(digest), salt), digest)
        elif scheme == "rsassa_pkcs1v15" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), digest)
        else:
            raise _Doubt("unknown-algorithm", "CRYPTO_CONSTRAINTS_FAILURE")
    except InvalidSignature:
        raise _Failure("signature-wrong", "SIG_CRYPTO_FAILURE") from None
    return f"{scheme.replace('_', '-')}-{name}"


def _signature_timestamp(signer: Any, trust: Trust) -> int | None:
    """The time that the signature's time stamp proves (EN 319 122-1, 5.3), None without one."""
    stamps = [item for item in signer["unsigned_attrs"] if item["type"].native == "signature_time_stamp_token"]
    if not stamps:
        return None
    if len(stamps) != 1 or len(stamps[0]["values"]) != 1:
        raise _Failure("timestamp-wrong", "FORMAT_FAILURE")
    imprint = hashlib.sha256(signer["signature"].native).digest()
    return _token(stamps[0]["values"][0].dump(), imprint, trust)


# --- the certificate ------------------------------------------------------------------------------------------------


def _path(certificate: bytes, others: list[bytes], trust: Trust, at_us: int) -> None:
    """Prove that the certificate chains to a root at the time `at_us` and may sign documents."""
    from cryptography import x509
    from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

    own = x509.load_der_x509_certificate(certificate)
    moment = datetime.fromtimestamp(at_us / 1_000_000, UTC)
    if not own.not_valid_before_utc <= moment <= own.not_valid_after_utc:
        early = moment < own.not_valid_before_utc
        raise _Doubt("not-yet-valid" if early else "expired", "NOT_YET_VALID" if early else "OUT_OF_BOUNDS_NO_POE")
    _may_sign(own)
    if not trust.roots:
        raise _Doubt("no-chain", "NO_CERTIFICATE_CHAIN_FOUND")
    between = [x509.load_der_x509_certificate(der) for der in (*others, *trust.intermediates) if der != certificate]
    from signing.pdf.timestamp import _authority_policy  # one meaning of "certificate authority" for both kinds of path

    verifier = (
        PolicyBuilder()
        .store(Store([x509.load_der_x509_certificate(der) for der in trust.roots]))
        .time(moment.replace(tzinfo=None))
        .max_chain_depth(4)
        .extension_policies(ca_policy=_authority_policy(), ee_policy=ExtensionPolicy.permit_all())
        .build_client_verifier()
    )
    try:
        verifier.verify(own, between)
    except VerificationError:
        raise _Doubt("no-chain", "NO_CERTIFICATE_CHAIN_FOUND") from None


def _may_sign(own: Any) -> None:
    """RFC 5280, 4.2.1.3: where the use of the key is stated, it must name signatures or commitments."""
    from cryptography import x509

    try:
        usage = own.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not (usage.digital_signature or usage.content_commitment):
        raise _Doubt("key-usage", "CHAIN_CONSTRAINTS_FAILURE")
