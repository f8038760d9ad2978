"""Certificate status: OCSP answers (RFC 6960), revocation lists (RFC 5280, 5) and the DSS that keeps both (EN 319 142-1,
5.4.2). Rules SW-4, SW-5, SW-8, SW-14; threats D6, B4.

Pure functions: nothing is fetched here. An answer is hostile until proved: bounded, about this certificate of this
issuer, signed with an accepted algorithm by the issuer or by a responder that the issuer authorised, and of its time.
What does not hold raises `status-bad-answer` or `status-untrusted` and never counts as "good".

`at_us` is the time for which the status is wanted; `now_us` is when it is judged, and no answer may come from after
that. An answer from after `at_us` is the best evidence there is: a certificate revoked later was good at `at_us`.

It is longer than most because both kinds of answer share one judgement of time, and one caller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    ExtensionOID,
    SignatureAlgorithmOID,
)

from signing.pdf import chain
from signing.pdf.errors import MACHINE, PdfError
from signing.pdf.objects import Name, Stream

if TYPE_CHECKING:
    from signing.pdf.reader import Revision

__all__ = [
    "MAX_CRL",
    "MAX_OCSP",
    "ON_HOLD",
    "CertificateState",
    "Sources",
    "Status",
    "ValidationData",
    "check_crl",
    "check_ocsp",
    "ocsp_request",
    "path_of",
    "read_dss",
    "sources",
    "status_of",
]

MAX_OCSP: Final = 64 * 1024
MAX_CRL: Final = 8 * 1024 * 1024
ON_HOLD: Final = str(x509.ReasonFlags.certificate_hold.value)  # the one revocation that may end (RFC 5280, 5.3.1)
_MAX_ITEMS: Final = 2048
# Clocks of responders and ours differ (threat D7); as far as for time stamps.
_SKEW_US: Final = 60_000_000
# RFC 6960, 4.2.2.1: without nextUpdate newer information is always available; the freshness limit of threat D6.
FRESH_US: Final = 3600 * 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# What cryptography raises for a certificate that is none; names and extensions are parsed when they are asked for.
_UNREADABLE: Final = (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm)
_HASHES: Final[dict[str, Callable[[], hashes.HashAlgorithm]]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
_KNOWN_CRL_EXTENSIONS: Final = frozenset(
    {ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER, ExtensionOID.ISSUING_DISTRIBUTION_POINT}
)


class CertificateState(StrEnum):
    """RFC 6960, 2.2, and `stale` where the only answers are older than their nextUpdate (threat D6)."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    STALE = "stale"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer proves of a certificate. Times are microseconds UTC.

    `source` is "ocsp" or "crl", empty where nothing spoke of the certificate; `answer_sha256` (hex) names the answer.
    `revoked_at_us` and `reason` (RFC 5280, 5.3.1; certificateHold means suspended) stand also where the revocation
    came after the time asked for, and the state is good.
    """

    state: CertificateState
    source: str = ""
    this_update_us: int = 0
    next_update_us: int | None = None
    produced_us: int = 0
    revoked_at_us: int | None = None
    reason: str = ""
    answer_sha256: str = ""

    @property
    def usable_until_us(self) -> int:
        """Until when the answer may be used again without asking (threat D6)."""
        return self.this_update_us + FRESH_US if self.next_update_us is None else self.next_update_us


class ValidationData(msgspec.Struct, frozen=True):
    """What a validator needs beside the signatures: DER certificates, OCSPResponses, CertificateLists."""

    certificates: tuple[bytes, ...] = ()
    ocsps: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()

    def merged(self, other: ValidationData) -> ValidationData:
        """Both, each item once, in the order in which they first stand."""
        return ValidationData(
            tuple(dict.fromkeys(self.certificates + other.certificates)),
            tuple(dict.fromkeys(self.ocsps + other.ocsps)),
            tuple(dict.fromkeys(self.crls + other.crls)),
        )

    @property
    def empty(self) -> bool:
        return not (self.certificates or self.ocsps or self.crls)


class Sources(msgspec.Struct, frozen=True):
    """Where a certificate says that its status can be asked for, in its order. Only data: nobody has to go there."""

    ocsp: tuple[str, ...] = ()
    crl: tuple[str, ...] = ()


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _bad(why: str) -> PdfError:
    return PdfError("status-bad-answer", why)


# What follows from bytes alone is found out once: one path stands behind thousands of signatures, and one answer or list is asked about
# by every certificate of a file.
_KEPT: Final = 512
_LISTS_KEPT: Final = 4  # they may be large
_MAX_CERTIFICATE: Final = (
    64 * 1024
)  # what is kept is kept by the server's process: a file may bring certificates of many MB along


def _load(der: bytes) -> x509.Certificate:
    if len(der) > _MAX_CERTIFICATE:
        raise PdfError("status-bad-answer", "a certificate is too large")
    try:
        return chain.load(der)
    except _UNREADABLE as error:
        raise PdfError("status-bad-answer", "a certificate cannot be read") from error


def sources(certificate: bytes) -> Sources:
    """The addresses in authorityInfoAccess and cRLDistributionPoints. Raises `status-bad-answer` for what is no DER."""
    try:
        return _sources(_load(certificate).extensions)
    except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
        raise _bad("the certificate's extensions cannot be read") from error


def _sources(extensions: x509.Extensions) -> Sources:
    answers: list[str] = []
    lists: list[str] = []
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.AuthorityInformationAccess):
            answers += [
                one.access_location.value
                for one in value
                if one.access_method == AuthorityInformationAccessOID.OCSP
                and isinstance(one.access_location, x509.UniformResourceIdentifier)
            ]
        elif isinstance(value, x509.CRLDistributionPoints):
            lists += [
                name.value
                for point in value
                for name in point.full_name or ()
                if point.crl_issuer is None and isinstance(name, x509.UniformResourceIdentifier)
            ]
    return Sources(tuple(dict.fromkeys(answers))[:8], tuple(dict.fromkeys(lists))[:8])


def ocsp_request(certificate: bytes, issuer: bytes, nonce: bytes | None) -> bytes:
    """An OCSPRequest (DER) for one certificate, with a nonce of 16 to 32 random bytes (RFC 9654) where wanted.

    The CertID is hashed with SHA-1, as every responder understands it (RFC 5019, 2.1.1): it selects a certificate and
    protects nothing; the answer's signature does.
    """
    builder = ocsp.OCSPRequestBuilder().add_certificate(_load(certificate), _load(issuer), hashes.SHA1())  # noqa: S303
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def check_ocsp(
    answer: bytes,
    certificate: bytes,
    issuer: bytes,
    *,
    at_us: int,
    now_us: int,
    nonce: bytes | None = None,
    crls: Sequence[bytes] = (),
) -> Status:
    """What an OCSPResponse (DER) says of `certificate`, whose issuer's certificate is `issuer`.

    An answer that carries a nonce must carry `nonce`, where one was sent; one without is accepted, as most responders
    serve answers made beforehand (RFC 5019), and its times protect from old ones. `crls` may tell of a responder
    whose certificate lacks id-pkix-ocsp-nocheck.

    Raises `PdfError`: `status-bad-answer`, `status-untrusted`. Any exception of a parser leaves as the first (B4).
    """
    return _guarded(lambda: _check_ocsp(answer, certificate, issuer, at_us, now_us, nonce, crls))


def check_crl(crl: bytes, certificate: bytes, issuer: bytes, *, at_us: int, now_us: int) -> Status:
    """What a CertificateList (DER) of `issuer` says of `certificate`. Full lists only: no delta, no indirect lists.

    Raises as `check_ocsp`.
    """
    return _guarded(lambda: _check_crl(crl, certificate, issuer, at_us, now_us))


def _guarded(judge: Callable[[], Status]) -> Status:
    try:
        return judge()
    except (PdfError, *MACHINE):
        raise
    except Exception as error:
        raise _bad(f"the answer cannot be read ({type(error).__name__})") from error


def _check_ocsp(
    answer: bytes,
    certificate: bytes,
    issuer: bytes,
    at_us: int,
    now_us: int,
    nonce: bytes | None,
    crls: Sequence[bytes],
) -> Status:
    if not 0 < len(answer) <= MAX_OCSP:
        raise _bad("the answer's size is out of range")
    response = _response(answer)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise _bad(f"the responder says {response.response_status.name.lower()}")
    own = _load(certificate)
    # A file brings answers about every certificate along; whose signature is worth looking at, the serial number says.
    if own.serial_number not in _serials(answer):
        raise _bad("the answer is not about this certificate")
    _authorised(answer, issuer, now_us, crls)
    _same_nonce(response, nonce)
    found = [one for one in response.responses if _is_about(one, own, issuer)]
    if len(found) != 1:
        raise _bad("the answer is not about this certificate")
    one = found[0]
    status = Status(
        state=CertificateState.GOOD,
        source="ocsp",
        this_update_us=_micros(one.this_update_utc),
        next_update_us=None if one.next_update_utc is None else _micros(one.next_update_utc),
        produced_us=_micros(response.produced_at_utc),
        answer_sha256=hashlib.sha256(answer).hexdigest(),
    )
    if one.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
        return msgspec.structs.replace(status, state=CertificateState.UNKNOWN)
    if one.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        assert one.revocation_time_utc is not None
        reason = one.revocation_reason.value if one.revocation_reason is not None else "unspecified"
        status = msgspec.structs.replace(status, revoked_at_us=_micros(one.revocation_time_utc), reason=reason)
    return _at(status, own, at_us, now_us)


@lru_cache(_KEPT // 4)
def _response(answer: bytes) -> ocsp.OCSPResponse:
    return ocsp.load_der_ocsp_response(answer)


@lru_cache(_KEPT // 4)
def _serials(answer: bytes) -> frozenset[int]:
    return frozenset(one.serial_number for one in _response(answer).responses)


def _is_about(one: Any, certificate: x509.Certificate, issuer: bytes) -> bool:
    digest = one.hash_algorithm
    if one.serial_number != certificate.serial_number or digest.name not in {"sha1", *_HASHES}:
        return False
    return (one.issuer_name_hash, one.issuer_key_hash) == _issuer_hashes(issuer, digest.name)


@lru_cache(_KEPT)
def _issuer_hashes(issuer: bytes, digest: str) -> tuple[bytes, bytes]:
    """Of the name and of the key, as a CertID names an issuer (RFC 6960, 4.1.1)."""
    found = _load(issuer)
    name = hashlib.new(digest, found.subject.public_bytes(), usedforsecurity=False).digest()
    return name, hashlib.new(digest, _key_bits(found), usedforsecurity=False).digest()


@lru_cache(_KEPT)
def _key_bits(certificate: x509.Certificate) -> bytes:
    """The subjectPublicKey's BIT STRING without tag, length and unused bits (RFC 6960, 4.1.1)."""
    from asn1crypto import keys

    der = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return bytes(keys.PublicKeyInfo.load(der)["public_key"].contents[1:])


def _same_nonce(response: ocsp.OCSPResponse, nonce: bytes | None) -> None:
    if nonce is None:
        return
    try:
        said = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        return
    if said != nonce:
        raise _bad("the answer is to another request")


def _authorised(answer: bytes, issuer: bytes, now_us: int, crls: Sequence[bytes]) -> None:
    """RFC 6960, 4.2.2.2: signed by the issuer itself, or by whom the issuer directly certified for it."""
    produced_us, asked_about = _responder(answer, issuer)
    if asked_about is not None and not _listed_good(asked_about, issuer, produced_us, now_us, crls):
        raise _untrusted("the responder's own status is not known")


@lru_cache(_KEPT // 4)
def _responder(answer: bytes, issuer: bytes) -> tuple[int, bytes | None]:
    """When the answer was made, and the responder's certificate where its own status has to be known. Raises `status-untrusted`."""
    response, above = _response(answer), _load(issuer)
    responder = next((one for one in (above, *response.certificates[:16]) if _is_named(response, one)), None)
    if responder is None:
        raise _untrusted("the answer does not carry its responder's certificate")
    asked_about = None
    if responder != above:
        _delegated(responder, issuer, response.produced_at_utc)
        if _extension(responder.extensions, x509.OCSPNoCheck) is None:
            asked_about = responder.public_bytes(Encoding.DER)
    _verify(responder, answer, response)
    return _micros(response.produced_at_utc), asked_about


def _is_named(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    if response.responder_name is not None:
        return response.responder_name == certificate.subject
    return response.responder_key_hash == hashlib.sha1(_key_bits(certificate), usedforsecurity=False).digest()


def _delegated(responder: x509.Certificate, issuer: bytes, produced: datetime) -> None:
    if not _issued(responder.public_bytes(Encoding.DER), issuer):
        raise _untrusted("the responder was not certified by the certificate's issuer")
    if responder.signature_hash_algorithm is not None and responder.signature_hash_algorithm.name not in _HASHES:
        raise _untrusted("the responder's certificate is signed with a weak digest")
    if not responder.not_valid_before_utc <= produced <= responder.not_valid_after_utc:
        raise _untrusted("the answer is not of the responder's time")
    extensions = responder.extensions
    usage = _extension(extensions, x509.ExtendedKeyUsage)
    if usage is None or ExtendedKeyUsageOID.OCSP_SIGNING not in usage:
        raise _untrusted("the responder may not answer for the issuer")
    key_usage = _extension(extensions, x509.KeyUsage)
    if key_usage is not None and not key_usage.digital_signature:
        raise _untrusted("the responder's key may not sign")


def _extension(extensions: x509.Extensions, kind: type[Any]) -> Any:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _listed_good(responder: bytes, issuer: bytes, at_us: int, now_us: int, crls: Sequence[bytes]) -> bool:
    for crl in crls:
        try:
            if _check_crl(crl, responder, issuer, at_us, now_us).state is CertificateState.GOOD:
                return True
        except (PdfError, ValueError):
            continue
    return False


def _untrusted(why: str) -> PdfError:
    return PdfError("status-untrusted", why)


_SCHEMES: Final[dict[x509.ObjectIdentifier, tuple[str, str]]] = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: ("ecdsa", "sha256"),
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: ("ecdsa", "sha384"),
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: ("ecdsa", "sha512"),
    SignatureAlgorithmOID.RSA_WITH_SHA256: ("rsassa_pkcs1v15", "sha256"),
    SignatureAlgorithmOID.RSA_WITH_SHA384: ("rsassa_pkcs1v15", "sha384"),
    SignatureAlgorithmOID.RSA_WITH_SHA512: ("rsassa_pkcs1v15", "sha512"),
}
"""Algorithms that their identifier says all of; the rest, PSS among them, is read with its parameters."""


def _verify(signer: x509.Certificate, answer: bytes, response: ocsp.OCSPResponse) -> None:
    scheme, name = _SCHEMES.get(response.signature_algorithm_oid, ("", ""))
    salt = 0
    if not scheme:
        from asn1crypto import ocsp as asn1_ocsp

        algorithm = asn1_ocsp.OCSPResponse.load(answer)["response_bytes"]["response"].parsed["signature_algorithm"]
        scheme, name = algorithm.signature_algo, algorithm.hash_algo
        if scheme == "rsassa_pss":
            salt = algorithm["parameters"]["salt_length"].native
    key = signer.public_key()
    if name not in _HASHES or (isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048):
        raise _untrusted("the answer is signed with a weak algorithm")
    digest, signature, signed = _HASHES[name](), response.signature, response.tbs_response_bytes
    try:
        if scheme == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(digest))
        elif scheme == "rsassa_pkcs1v15" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), digest)
        elif scheme == "rsassa_pss" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PSS(padding.MGF1(digest), salt), digest)
        else:
            raise _untrusted("the answer is signed with an algorithm that is not accepted")
    except InvalidSignature:
        raise _untrusted("the answer's signature is wrong") from None


class _List:
    """A list as read; `digest`: its SHA-256 (hex); `signed_by`: certificates (DER) whose key has verified it."""

    __slots__ = ("digest", "issuer", "read", "signed_by")

    def __init__(self, crl: bytes) -> None:
        self.read = x509.load_der_x509_crl(crl)
        self.issuer = self.read.issuer
        self.digest = hashlib.sha256(crl).hexdigest()
        self.signed_by: set[bytes] = set()


_list = lru_cache(_LISTS_KEPT)(_List)


def _check_crl(crl: bytes, certificate: bytes, issuer: bytes, at_us: int, now_us: int) -> Status:
    if not 0 < len(crl) <= MAX_CRL:
        raise _bad("the list's size is out of range")
    found, own = _list(crl), _load(certificate)
    _of_issuer(found, certificate, issuer)
    listed = found.read
    next_update = listed.next_update_utc
    status = Status(
        state=CertificateState.GOOD,
        source="crl",
        this_update_us=_micros(listed.last_update_utc),
        next_update_us=None if next_update is None else _micros(next_update),
        produced_us=_micros(listed.last_update_utc),
        answer_sha256=found.digest,
    )
    entry = listed.get_revoked_certificate_by_serial_number(own.serial_number)
    if entry is not None:
        reason = _extension(entry.extensions, x509.CRLReason)
        if any(extension.critical and extension.oid != x509.CRLReason.oid for extension in entry.extensions):
            raise _bad("an entry of the list says something that is not understood")
        name = "unspecified" if reason is None else reason.reason.value
        status = msgspec.structs.replace(status, revoked_at_us=_micros(entry.revocation_date_utc), reason=name)
    return _at(status, own, at_us, now_us)


def _of_issuer(found: _List, certificate: bytes, issuer: bytes) -> None:
    """A complete list of the certificate's own issuer, which covers certificates of this kind (RFC 5280, 6.3.3)."""
    if found.issuer != _names(certificate)[1] or found.issuer != _names(issuer)[0]:
        raise _bad("the list is of another issuer")
    if issuer not in found.signed_by:
        _signed_by(found.read, _load(issuer))
        found.signed_by.add(issuer)
    listed = found.read
    for extension in listed.extensions:
        if extension.oid == ExtensionOID.DELTA_CRL_INDICATOR:
            raise _bad("the list names changes only")
        if extension.critical and extension.oid not in _KNOWN_CRL_EXTENSIONS:
            raise _bad("the list says something that is not understood")
    scope = _extension(listed.extensions, x509.IssuingDistributionPoint)
    if scope is None:
        return
    basic = _extension(_load(certificate).extensions, x509.BasicConstraints)
    authority = basic is not None and basic.ca
    if (
        scope.indirect_crl
        or scope.only_some_reasons
        or scope.only_contains_attribute_certs
        or (scope.only_contains_user_certs and authority)
        or (scope.only_contains_ca_certs and not authority)
    ):
        raise _bad("the list does not cover this certificate")


def _signed_by(listed: x509.CertificateRevocationList, issuer: x509.Certificate) -> None:
    digest = listed.signature_hash_algorithm
    if digest is None or digest.name not in _HASHES:
        raise _untrusted("the list is signed with a weak digest")
    usage = _extension(issuer.extensions, x509.KeyUsage)
    if usage is not None and not usage.crl_sign:
        raise _untrusted("the issuer may not sign lists")
    key = issuer.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) or key.key_size < 224:
        raise _untrusted("the list is signed with an algorithm that is not accepted")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
        raise _untrusted("the issuer's key is too short")
    if not listed.is_signature_valid(key):
        raise _untrusted("the list's signature is wrong")


def _at(status: Status, certificate: x509.Certificate, at_us: int, now_us: int) -> Status:
    """Judge the answer's times: what it proves for `at_us`."""
    this_update, next_update = status.this_update_us, status.next_update_us
    if max(this_update, status.produced_us) > now_us + _SKEW_US:
        raise _bad("the answer is from the future")
    if next_update is not None and next_update < this_update:
        raise _bad("the answer ends before it begins")
    if status.revoked_at_us is not None:
        # However old the answer: what was revoked stays so, and one revoked only later was good.
        later = status.revoked_at_us > at_us
        return msgspec.structs.replace(status, state=CertificateState.GOOD if later else CertificateState.REVOKED)
    if this_update > _micros(certificate.not_valid_after_utc):
        # An issuer may forget what has expired (RFC 5280, 3.3): silence proves nothing then.
        return msgspec.structs.replace(status, state=CertificateState.UNKNOWN)
    if at_us > status.usable_until_us:
        return msgspec.structs.replace(status, state=CertificateState.STALE)
    return status


def status_of(certificate: bytes, issuer: bytes, data: ValidationData, *, at_us: int, now_us: int) -> Status:
    """The status of `certificate` at `at_us` by everything in `data`; answers that do not hold are passed over.

    Revoked wins over good, good over stale, stale over unknown; among equals the newest answer.
    """
    found = [Status(state=CertificateState.UNKNOWN)]
    for answer in data.ocsps:
        try:
            found.append(check_ocsp(answer, certificate, issuer, at_us=at_us, now_us=now_us, crls=data.crls))
        except PdfError:
            continue
    for crl in data.crls:
        try:
            found.append(check_crl(crl, certificate, issuer, at_us=at_us, now_us=now_us))
        except PdfError:
            continue
    return max(found, key=lambda status: (_RANK[status.state], status.this_update_us))


_RANK: Final = {
    CertificateState.REVOKED: 3,
    CertificateState.GOOD: 2,
    CertificateState.STALE: 1,
    CertificateState.UNKNOWN: 0,
}


def path_of(certificate: bytes, pool: Iterable[bytes]) -> tuple[bytes, ...]:
    """The certificate and those above it, found in `pool` by name and signature, up to a self-signed one or the end.

    It proves who signed whom, not that anybody is to be trusted; at most six certificates.
    """
    _load(certificate)
    candidates = [der for der in dict.fromkeys(pool) if len(der) <= _MAX_CERTIFICATE]
    path = [certificate]
    while not _self_named(path[-1]) and len(path) < 6:
        above = next((der for der in candidates if der not in path and _issued(path[-1], der)), None)
        if above is None:
            break
        path.append(above)
    return tuple(path)


@lru_cache(_KEPT)
def _names(certificate: bytes) -> tuple[x509.Name, x509.Name]:
    """Its subject and its issuer; each is parsed anew whenever a certificate is asked for it."""
    found = _load(certificate)
    return found.subject, found.issuer


def _self_named(certificate: bytes) -> bool:
    subject, issuer = _names(certificate)
    return subject == issuer


@lru_cache(4 * _KEPT)
def _issued(certificate: bytes, issuer: bytes) -> bool:
    try:
        own, above = _load(certificate), _load(issuer)
        _name = above.issuer  # names are parsed when they are asked for: here, where an error may be met
        if own.issuer != above.subject:
            return False
        own.verify_directly_issued_by(above)
    except (*_UNREADABLE, PdfError, InvalidSignature):
        return False
    return True


def read_dss(view: Revision) -> ValidationData:
    """What the Document Security Store of a revision holds, `/VRI` aside, whose items stand in the lists as well.

    Raises `PdfError`: what the reader raises, `broken-structure` where the lists hold no streams, `too-large`.
    """
    store = view.dictionary(view.catalog.get(Name("DSS")))
    return ValidationData(
        _streams(view, store.get(Name("Certs")), _MAX_CERTIFICATE),
        _streams(view, store.get(Name("OCSPs")), MAX_OCSP),
        _streams(view, store.get(Name("CRLs")), MAX_CRL),
    )


def _streams(view: Revision, value: Any, limit: int) -> tuple[bytes, ...]:
    items = view.array(value)
    if len(items) > _MAX_ITEMS:
        raise PdfError("too-large", "too much validation data")
    found: list[bytes] = []
    for item in items:
        stream = view.resolve(item)
        if not isinstance(stream, Stream):
            raise PdfError("broken-structure", "validation data is no stream", place=str(item)[:20])
        found.append(view.decode(stream, limit))
    return tuple(dict.fromkeys(found))
