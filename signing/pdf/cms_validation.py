"""One CMS signature and its certificate: whose it is, whether it verifies, whether the certificate may be believed (RFC
5652, RFC 5035, RFC 5280; rules SW-8, SW-9, SW-10; threat B10).

What is found wrong is a `Finding` with the word of EN 319 102-1; the file around the signature is `validation`'s matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import msgspec

from signing.pdf.attributes import SignedAttributes, as_it_stands

__all__ = ["HASHES", "Finding", "Indication", "Signed", "check_path", "doubt", "names_of", "names_signer", "read_cms"]

HASHES: Final = frozenset({"sha256", "sha384", "sha512"})
_KEPT: Final = 256  # certificates of which is known what their bytes alone say


class Indication(StrEnum):
    """EN 319 102-1, 5.1.3."""

    PASSED = "TOTAL-PASSED"
    FAILED = "TOTAL-FAILED"
    INDETERMINATE = "INDETERMINATE"


class Finding(Exception):  # noqa: N818 - a finding, not an error
    """What ends the judgement of one signature: a stable code of ours and a sub-indication of EN 319 102-1."""

    def __init__(self, reason: str, sub_indication: str, indication: Indication = Indication.FAILED) -> None:
        self.reason = reason
        self.sub_indication = sub_indication
        self.indication = indication
        super().__init__(reason)


def doubt(reason: str, sub_indication: str) -> Finding:
    """A finding that leaves the signature INDETERMINATE."""
    return Finding(reason, sub_indication, Indication.INDETERMINATE)


class Signed(msgspec.Struct, frozen=True):
    """A CMS whose signature verifies. Certificates are DER; `tokens` are its signature time stamps (ContentInfo, DER)."""

    certificate: bytes
    certificates: tuple[bytes, ...]
    signature: bytes
    algorithm: str
    tokens: tuple[bytes, ...]


def read_cms(der: bytes, digest: Callable[[str], bytes], seen: dict[str, Any], *, pades: bool) -> Signed:
    """Verify a detached CMS of one signer over what `digest` gives by the digest's name; `seen` takes the names.

    `pades`: the signing-certificate attribute must stand (EN 319 122-1, 5.2.2); the older kind of PDF signature may go
    without, its signer is then the one that the signer's identifier names. Raises `Finding`, and what a parser raises.
    """
    from asn1crypto import cms, tsp  # noqa: F401 - tsp teaches cms the signing-certificate-v2 attribute (RFC 5035)

    content = cms.ContentInfo.load(der, strict=True)
    signed = content["content"]
    if content["content_type"].native != "signed_data" or len(signed["signer_infos"]) != 1:
        raise Finding("malformed", "FORMAT_FAILURE")
    if signed["encap_content_info"]["content_type"].native != "data" or signed["encap_content_info"]["content"].native:
        raise Finding("malformed", "FORMAT_FAILURE")
    signer = signed["signer_infos"][0]
    attributes = SignedAttributes(signer)
    certificates = tuple(
        as_it_stands(choice.chosen) for choice in signed["certificates"] if choice.name == "certificate"
    )
    certificate = _signers_certificate(signer, attributes, certificates, pades=pades)
    seen.update(names_of(certificate))
    digest_name = signer["digest_algorithm"]["algorithm"].native
    if _only(attributes, "content_type").native != "data":
        raise Finding("malformed", "FORMAT_FAILURE")
    if _only(attributes, "message_digest").native != digest(digest_name):
        raise Finding("content-changed", "HASH_FAILURE")
    algorithm = _verify(signer, attributes.signed, certificate, digest_name)
    seen["algorithm"] = algorithm
    return Signed(certificate, certificates, bytes(signer["signature"].native), algorithm, _tokens(signer))


def _tokens(signer: Any) -> tuple[bytes, ...]:
    """Signature time stamps (EN 319 122-1, 5.3)."""
    stamps = [item for item in signer["unsigned_attrs"] if item["type"].native == "signature_time_stamp_token"]
    return tuple(as_it_stands(value) for stamp in stamps for value in stamp["values"])


def _only(attributes: SignedAttributes, name: str) -> Any:
    try:
        return attributes[name]
    except LookupError:
        raise Finding("attribute-missing", "FORMAT_FAILURE") from None


def _signers_certificate(
    signer: Any, attributes: SignedAttributes, certificates: tuple[bytes, ...], *, pades: bool
) -> bytes:
    """The certificate that the signing-certificate-v2 attribute names by its hash (RFC 5035, EN 319 122-1 5.2.2)."""
    if "signing_certificate_v2" not in attributes:
        named = [der for der in certificates if names_signer(signer["sid"], der)]
        if pades or len(set(named)) != 1:
            raise doubt("signing-certificate-missing", "SIG_CONSTRAINTS_FAILURE")
        return named[0]
    first = _only(attributes, "signing_certificate_v2")["certs"][0]
    name = first["hash_algorithm"]["algorithm"].native
    if name not in HASHES:
        raise doubt("weak-digest", "CRYPTO_CONSTRAINTS_FAILURE")
    wanted = first["cert_hash"].native
    found = next((der for der in certificates if hashlib.new(name, der).digest() == wanted), None)
    if found is None:
        raise doubt("signing-certificate-missing", "NO_SIGNING_CERTIFICATE_FOUND")
    if not names_signer(signer["sid"], found):
        raise Finding("signing-certificate-differs", "FORMAT_FAILURE")
    return found


def names_signer(sid: Any, certificate: bytes) -> bool:
    """Whether a SignerIdentifier (RFC 5652, 5.3) means this certificate."""
    if sid.name == "issuer_and_serial_number":
        issuer, serial = _issuer_and_serial(certificate)
        return bool(sid.chosen["issuer"].dump() == issuer and sid.chosen["serial_number"].native == serial)
    return bool(sid.chosen.native == _key_identifier(certificate))


@lru_cache(_KEPT)
def _issuer_and_serial(certificate: bytes) -> tuple[bytes, int]:
    """The issuer's name as its bytes stand."""
    from asn1crypto import x509

    own = x509.Certificate.load(certificate)
    return bytes(own.issuer.dump()), int(own.serial_number)


@lru_cache(_KEPT)
def _key_identifier(certificate: bytes) -> bytes | None:
    from asn1crypto import x509

    found: bytes | None = x509.Certificate.load(certificate).key_identifier
    return found


@lru_cache(_KEPT)
def names_of(certificate: bytes) -> Mapping[str, Any]:
    """What rule SW-7 shows of a certificate, by the names of `SignatureResult`."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    from signing.pdf.chain import load

    own = load(certificate)

    def first(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
        return next((str(item.value) for item in name.get_attributes_for_oid(oid)), "")

    return MappingProxyType(
        {
            "signer": first(own.subject, NameOID.COMMON_NAME),
            "organisation": first(own.subject, NameOID.ORGANIZATION_NAME),
            "issuer": first(own.issuer, NameOID.COMMON_NAME) or own.issuer.rfc4514_string(),
            "serial": f"{own.serial_number:x}",
            "certificate_sha256": hashlib.sha256(certificate).hexdigest(),
            "not_before_us": round(own.not_valid_before_utc.timestamp() * 1_000_000),
            "not_after_us": round(own.not_valid_after_utc.timestamp() * 1_000_000),
        }
    )


def _verify(signer: Any, attributes: bytes, certificate: bytes, digest_name: str) -> str:
    """Check the raw signature over the signed attributes (RFC 5652, 5.4); gives the algorithm's name."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    from signing.pdf.chain import load

    known: dict[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
        "sha256": hashes.SHA256,
        "sha384": hashes.SHA384,
        "sha512": hashes.SHA512,
    }
    key = load(certificate).public_key()
    algorithm = signer["signature_algorithm"]
    scheme = algorithm.signature_algo
    name = digest_name if algorithm["algorithm"].native == "rsassa_pkcs1v15" else algorithm.hash_algo
    # RFC 5652 lets both digests differ; no honest producer does it, and readers disagree where it happens.
    if name not in known or name != digest_name:
        raise doubt("weak-digest", "CRYPTO_CONSTRAINTS_FAILURE")
    digest, signature = known[name](), signer["signature"].native
    try:
        if scheme == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, attributes, ec.ECDSA(digest))
        elif isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
            raise doubt("weak-key", "CRYPTO_CONSTRAINTS_FAILURE")
        elif scheme == "rsassa_pss" and isinstance(key, rsa.RSAPublicKey):
            salt = algorithm["parameters"]["salt_length"].native
            key.verify(signature, attributes, padding.PSS(padding.MGF1(digest), salt), digest)
        elif scheme == "rsassa_pkcs1v15" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, attributes, padding.PKCS1v15(), digest)
        else:
            raise doubt("unknown-algorithm", "CRYPTO_CONSTRAINTS_FAILURE")
    except InvalidSignature:
        raise Finding("signature-wrong", "SIG_CRYPTO_FAILURE") from None
    return f"{scheme.replace('_', '-')}-{name}"


# --- the certificate ------------------------------------------------------------------------------------------------


def check_path(certificate: bytes, others: Iterable[bytes], roots: Iterable[bytes], at_us: int) -> tuple[bytes, ...]:
    """The path (DER) by which the certificate chains to one of the `roots` at the time `at_us`; it may sign documents.

    Raises `Finding`: INDETERMINATE with the sub-indication of EN 319 102-1.
    """
    from signing.pdf.chain import VerificationError, load, prove  # one meaning of "authority" for both kinds of path

    own = load(certificate)
    moment = datetime.fromtimestamp(at_us / 1_000_000, UTC)
    if not own.not_valid_before_utc <= moment <= own.not_valid_after_utc:
        early = moment < own.not_valid_before_utc
        raise doubt("not-yet-valid" if early else "expired", "NOT_YET_VALID" if early else "OUT_OF_BOUNDS_NO_POE")
    _may_sign(own)
    believed = tuple(roots)
    if not believed:
        raise doubt("no-chain", "NO_CERTIFICATE_CHAIN_FOUND")
    try:
        return prove(certificate, tuple(others), believed, moment)
    except VerificationError:
        raise doubt("no-chain", "NO_CERTIFICATE_CHAIN_FOUND") from None


def _may_sign(own: Any) -> None:
    """RFC 5280, 4.2.1.3: where the use of the key is stated, it must name signatures or commitments."""
    from cryptography import x509

    try:
        usage = own.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not (usage.digital_signature or usage.content_commitment):
        raise doubt("key-usage", "CHAIN_CONSTRAINTS_FAILURE")
