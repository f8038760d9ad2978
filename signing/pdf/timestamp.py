"""RFC 3161 time stamps: the request, the strict judgement of a reply, and the token's place in a CMS (PAdES B-T).

No HTTP here: the transport is handed in. A reply is hostile until proved: bounded, canonical enough to be parsed, about
our imprint and nonce, signed by a certificate that may only stamp time, chained to configured roots, and close to our
own clock (threat D7). Revocation of the authority's certificate is judged elsewhere, with the other certificates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from asn1crypto import cms, core, tsp
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from signing.pdf import chain
from signing.pdf.attributes import SignedAttributes, as_it_stands
from signing.pdf.errors import MACHINE, PdfError

__all__ = [
    "MAX_REPLY",
    "MAX_SKEW_US",
    "Post",
    "TimeStampToken",
    "TimeStampTrust",
    "attach_timestamp",
    "check_reply",
    "check_token",
    "obtain",
    "signature_value",
    "timestamp_request",
]

MAX_REPLY: Final = 64 * 1024
MAX_SKEW_US: Final = 60_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Post = Callable[[str, bytes], Awaitable[bytes]]
"""Sends an application/timestamp-query to a URL; gives the body of a 200 of type application/timestamp-reply.

Must bound the reply's size (`MAX_REPLY`) and the time it takes; raises `OSError` or `TimeoutError` when there is none.
"""

_HASHES: Final[dict[str, Callable[[], hashes.HashAlgorithm]]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


class TimeStampTrust(msgspec.Struct, frozen=True):
    """Whom to believe: DER certificates of the roots, DER intermediates, and allowed policies (dotted; empty: any)."""

    roots: tuple[bytes, ...]
    intermediates: tuple[bytes, ...] = ()
    policies: frozenset[str] = frozenset()


class TimeStampToken(msgspec.Struct, frozen=True):
    """A verified token. `gen_time_us`: microseconds UTC. `certificate`: the authority's, DER; `path`: from it to the root, as proved."""

    der: bytes
    gen_time_us: int
    serial: int
    policy: str
    certificate: bytes
    path: tuple[bytes, ...] = ()


class _Reply(core.Sequence):  # type: ignore[misc]  # asn1crypto is untyped
    """TimeStampResp as RFC 3161, 2.4.2 has it; asn1crypto's own demands a token even in a refusal."""

    _fields = [("status", tsp.PKIStatusInfo), ("time_stamp_token", cms.ContentInfo, {"optional": True})]  # noqa: RUF012 -- the library's form


def timestamp_request(imprint: bytes, nonce: int) -> bytes:
    """TimeStampReq (DER) over a SHA-256 imprint (32 bytes), with a 64-bit random nonce; asks for the certificate."""
    if len(imprint) != 32 or not 0 < nonce < 1 << 64:
        raise PdfError("bad-request", "a time stamp needs a SHA-256 imprint and a nonce of 64 bits")
    algorithm = {"algorithm": "sha256"}
    body = {"hash_algorithm": algorithm, "hashed_message": imprint}
    request = tsp.TimeStampReq({"version": "v1", "message_imprint": body, "nonce": nonce, "cert_req": True})
    return bytes(request.dump())


async def obtain(
    post: Post, url: str, signature: bytes, *, nonce: int, trust: TimeStampTrust, now_us: Callable[[], int]
) -> TimeStampToken:
    """Stamp a raw signature value: one request, one verified token. Raises `PdfError` with a `tsa-...` code."""
    imprint = hashlib.sha256(signature).digest()
    try:
        reply = await post(url, timestamp_request(imprint, nonce))
    except (OSError, TimeoutError) as error:
        raise PdfError("tsa-unreachable", type(error).__name__) from error
    return check_reply(reply, imprint, nonce, trust=trust, now_us=now_us())


def check_reply(reply: bytes, imprint: bytes, nonce: int, *, trust: TimeStampTrust, now_us: int) -> TimeStampToken:
    """Judge a TimeStampResp. Raises `PdfError`: `tsa-refused`, `tsa-bad-reply`, `tsa-untrusted`, `tsa-clock-skew`."""
    if not 0 < len(reply) <= MAX_REPLY:
        raise _bad("the reply's size is out of range")
    try:
        parsed = _Reply.load(reply, strict=True)
        status = parsed["status"]["status"].native
        token = as_it_stands(parsed["time_stamp_token"]) if status in {"granted", "granted_with_mods"} else b""
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _bad("the reply is not DER") from error
    if not token:
        raise PdfError("tsa-refused", f"status {str(status)[:40]}")
    return check_token(token, imprint, nonce=nonce, trust=trust, now_us=now_us)


def check_token(
    token: bytes, imprint: bytes, *, nonce: int | None, trust: TimeStampTrust, now_us: int | None
) -> TimeStampToken:
    """Judge a token (ContentInfo, DER). `nonce` and `now_us` None: not compared, for tokens from the past.

    Any exception of the parser, whatever its type, leaves as `tsa-bad-reply` (threat B4).
    """
    if not 0 < len(token) <= MAX_REPLY:
        raise _bad("the token's size is out of range")
    try:
        found = _read(token, imprint, nonce, trust)
    except (PdfError, *MACHINE):
        raise
    except Exception as error:
        raise _bad(f"the token cannot be read ({type(error).__name__})") from error
    if now_us is not None and abs(found.gen_time_us - now_us) > MAX_SKEW_US:
        raise PdfError("tsa-clock-skew", "the token's time and ours are more than 60 s apart")
    return found


def _bad(why: str) -> PdfError:
    return PdfError("tsa-bad-reply", why)


def _read(token: bytes, imprint: bytes, nonce: int | None, trust: TimeStampTrust) -> TimeStampToken:
    content = cms.ContentInfo.load(token, strict=True)
    if content["content_type"].native != "signed_data":
        raise _bad("the token is no SignedData")
    signed = content["content"]
    inside = signed["encap_content_info"]
    if inside["content_type"].native != "tst_info" or len(signed["signer_infos"]) != 1:
        raise _bad("the token does not hold one signed time")
    info_der = bytes(inside["content"].contents)
    info = tsp.TSTInfo.load(info_der, strict=True)
    stamped = info["message_imprint"]
    if stamped["hash_algorithm"]["algorithm"].native != "sha256" or stamped["hashed_message"].native != imprint:
        raise _bad("the token is about something else")
    if nonce is not None and info["nonce"].native != nonce:
        raise _bad("the token answers another request")
    policy = str(info["policy"].dotted)
    if trust.policies and policy not in trust.policies:
        raise PdfError("tsa-untrusted", "the token's policy is not accepted")
    moment = info["gen_time"].native
    signer = signed["signer_infos"][0]
    certificates = [as_it_stands(choice.chosen) for choice in signed["certificates"] if choice.name == "certificate"]
    certificate = _verify_signature(signer, info_der, certificates)
    path = _verify_chain(certificate, certificates, trust, moment)
    micros = (moment - _EPOCH) // timedelta(microseconds=1)
    return TimeStampToken(bytes(token), micros, int(info["serial_number"].native), policy, certificate, path)


def _verify_signature(signer: Any, info: bytes, certificates: Sequence[bytes]) -> bytes:
    """Check the CMS signature (RFC 5652, 5.4) and its binding to the certificate (RFC 5035); gives the certificate."""
    digest_name = signer["digest_algorithm"]["algorithm"].native
    if digest_name not in _HASHES:
        raise _bad("the token's digest is too weak or unknown")
    attributes = SignedAttributes(signer)
    if attributes["content_type"].native != "tst_info":
        raise _bad("the token signs another type of content")
    if attributes["message_digest"].native != hashlib.new(digest_name, info).digest():
        raise _bad("the token's digest is wrong")
    wanted = _certificate_hash(attributes)
    certificate = next((der for der in certificates if wanted(der)), None)
    if certificate is None:
        raise _bad("the token does not carry its signer's certificate")
    key = chain.load(certificate).public_key()
    algorithm = signer["signature_algorithm"]
    try:
        _verify(key, signer["signature"].native, attributes.signed, algorithm, digest_name)
    except InvalidSignature:
        raise _bad("the token's signature is wrong") from None
    return certificate


def _certificate_hash(attributes: SignedAttributes) -> Callable[[bytes], bool]:
    """Whether a certificate is the one that the signing-certificate attribute names by its hash."""
    if "signing_certificate_v2" in attributes:
        first = attributes["signing_certificate_v2"]["certs"][0]
        algorithm = first["hash_algorithm"]["algorithm"].native
        if algorithm not in _HASHES:
            raise _bad("the token names its certificate by a weak digest")
    else:
        # RFC 3161 itself knows only SHA-1 here; it selects among certificates and is no defence, the chain is.
        first, algorithm = attributes["signing_certificate"]["certs"][0], "sha1"
    wanted = first["cert_hash"].native
    return lambda der: hashlib.new(algorithm, der, usedforsecurity=algorithm != "sha1").digest() == wanted


def _verify(key: object, signature: bytes, signed: bytes, algorithm: Any, digest_name: str) -> None:
    scheme = algorithm.signature_algo
    # The bare RSA identifier names no digest: the signer's own digest algorithm is meant (RFC 3370, 3.2).
    bare = algorithm["algorithm"].native == "rsassa_pkcs1v15"
    digest = _HASHES.get(digest_name if bare else algorithm.hash_algo)
    if digest is None:
        raise _bad("the token's signature uses a weak digest")
    if scheme == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, signed, ec.ECDSA(digest()))
    elif scheme in {"rsassa_pkcs1v15", "rsassa_pss"} and isinstance(key, rsa.RSAPublicKey):
        if key.key_size < 2048:
            raise _bad("the authority's key is too short")
        if scheme == "rsassa_pss":
            salt = algorithm["parameters"]["salt_length"].native
            key.verify(signature, signed, padding.PSS(padding.MGF1(digest()), salt), digest())
        else:
            key.verify(signature, signed, padding.PKCS1v15(), digest())
    else:
        raise _bad("the token's signature algorithm is not accepted")


def _verify_chain(
    certificate: bytes, others: Sequence[bytes], trust: TimeStampTrust, moment: datetime
) -> tuple[bytes, ...]:
    try:
        return chain.prove(certificate, (*others, *trust.intermediates), trust.roots, moment, stamps=True)
    except chain.VerificationError:
        raise PdfError("tsa-untrusted", "the authority's certificate does not chain to a configured root") from None


# The CMS that carries the token


def _signer_info(signature_cms: bytes) -> tuple[Any, Any]:
    try:
        content = cms.ContentInfo.load(signature_cms, strict=True)
        infos = content["content"]["signer_infos"]
        if content["content_type"].native != "signed_data" or len(infos) != 1:
            raise PdfError("bad-request", "the CMS does not hold one signature")
        return content, infos[0]
    except (ValueError, TypeError, KeyError) as error:
        raise PdfError("bad-request", "the CMS cannot be read") from error


def signature_value(signature_cms: bytes) -> bytes:
    """The raw signature of a CMS with one signer, which a signature time stamp is about (EN 319 122-1, 5.3)."""
    try:
        return bytes(_signer_info(signature_cms)[1]["signature"].native)
    except (ValueError, TypeError, KeyError) as error:
        raise PdfError("bad-request", "the CMS cannot be read") from error


def attach_timestamp(signature_cms: bytes, token: TimeStampToken) -> bytes:
    """The CMS with the token as its signature-time-stamp attribute (RFC 3161, appendix A).

    The token must be about this CMS' signature: proved again here, as nothing later would notice before a reader does.
    """
    content, signer = _signer_info(signature_cms)
    stamped = cms.ContentInfo.load(token.der)["content"]["encap_content_info"]["content"].parsed
    imprint = hashlib.sha256(signer["signature"].native).digest()
    if stamped["message_imprint"]["hashed_message"].native != imprint:
        raise PdfError("bad-request", "the token is about another signature")
    if not isinstance(signer["unsigned_attrs"], core.Void) and len(signer["unsigned_attrs"]):
        raise PdfError("bad-request", "the signature is stamped already")
    value = cms.ContentInfo.load(token.der)
    signer["unsigned_attrs"] = [cms.CMSAttribute({"type": "signature_time_stamp_token", "values": [value]})]
    return bytes(content.dump())
