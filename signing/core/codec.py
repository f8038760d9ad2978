"""Bytes of the protocol: base64url, length-prefixed hashing input, key thumbprints, JWS of one strict form.

Sources: RFC 4648 §5 (base64url, unpadded), RFC 7515 (JWS compact), RFC 7518 §3.4 (ES256), RFC 7638 (thumbprint).
Everything that is parsed must equal its own encoding, which refuses duplicate keys, spaces, escapes and padding tricks.
"""

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

MAX_JWS = 128 * 1024
_ES256 = ec.ECDSA(SHA256())
T = TypeVar("T", bound=msgspec.Struct)


class CodecError(ValueError):
    """The bytes are not in the one accepted form, or the signature does not hold."""


@contextlib.contextmanager
def refused_as(refusal: Callable[[str], Exception]) -> Iterator[None]:
    """Inside, a `CodecError` becomes this refusal with the same text."""
    try:
        yield
    except CodecError as error:
        raise refusal(str(error)) from error


class SigningKey(Protocol):
    def sign(self, data: bytes, signature_algorithm: ec.ECDSA) -> bytes: ...
    def public_key(self) -> ec.EllipticCurvePublicKey: ...


class PublicJwk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A P-256 public key as JWK. The declared order is RFC 7638's, so the encoding is the thumbprint's input."""

    crv: str
    kty: str
    x: str
    y: str


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alg: str
    typ: str
    kid: str


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64u(text: str, length: int | None = None) -> bytes:
    """The bytes of unpadded base64url; raises `CodecError` unless they encode to `text` again (and have `length`)."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, UnicodeEncodeError) as error:
        raise CodecError("not base64url") from error
    if b64u(data) != text or (length is not None and len(data) != length):
        raise CodecError("not canonical base64url of the expected length")
    return data


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _strict(raw: bytes, type_: type[T]) -> T:
    """The value whose only encoding is `raw`; raises `CodecError` for every other spelling of it."""
    try:
        value = msgspec.json.decode(raw, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # msgspec leaves bad UTF-8 and too deep nesting to Python's own errors.
        raise CodecError("not JSON of the expected form") from error
    if msgspec.json.encode(value) != raw:
        raise CodecError("not its own encoding")
    return value


def lp(label: str, *fields: bytes | str | int) -> bytes:
    """Label ‖ 0x00, then each field as u32 length ‖ bytes; an integer is eight bytes big-endian."""
    parts = [label.encode(), b"\x00"]
    for field in fields:
        raw = field.to_bytes(8, "big") if isinstance(field, int) else field
        raw = raw.encode() if isinstance(raw, str) else raw
        parts += (len(raw).to_bytes(4, "big"), raw)
    return b"".join(parts)


def public_jwk(key: ec.EllipticCurvePublicKey) -> PublicJwk:
    numbers = key.public_numbers()
    x, y = (b64u(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    return PublicJwk(crv="P-256", kty="EC", x=x, y=y)


def public_key(jwk: PublicJwk) -> ec.EllipticCurvePublicKey:
    """The key of a JWK; raises `CodecError` if it is not a point of P-256."""
    if (jwk.kty, jwk.crv) != ("EC", "P-256"):
        raise CodecError("not a P-256 key")
    x, y = (int.from_bytes(unb64u(text, 32), "big") for text in (jwk.x, jwk.y))
    try:
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except ValueError as error:
        raise CodecError("not a point of P-256") from error


def thumbprint(jwk: PublicJwk) -> str:
    """RFC 7638 SHA-256 thumbprint, base64url: the id of every key in this protocol."""
    return b64u(sha256(msgspec.json.encode(jwk)))


def sign_jws(payload: msgspec.Struct, typ: str, key: SigningKey) -> str:
    """Compact JWS, ES256, header exactly {alg, typ, kid}; payload fields in declared order."""
    header = Header(alg="ES256", typ=typ, kid=thumbprint(public_jwk(key.public_key())))
    signing_input = f"{b64u(msgspec.json.encode(header))}.{b64u(msgspec.json.encode(payload))}"
    r, s = decode_dss_signature(key.sign(signing_input.encode(), _ES256))
    return f"{signing_input}.{b64u(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


class Unverified(msgspec.Struct, frozen=True):
    """The parts of a JWS whose signature nobody has checked yet; only `kid` may be used, to find the key."""

    kid: str
    _payload: bytes
    _signing_input: bytes
    _signature: bytes

    def peek(self, type_: type[T]) -> T:
        """The payload before its signature is checked: good for finding rows and for refusing early, for nothing
        else.
        """
        return _strict(self._payload, type_)

    def check(self, jwk: PublicJwk) -> None:
        """Raises `CodecError` unless it is signed with `jwk`; then what `peek` gave is what was signed."""
        if thumbprint(jwk) != self.kid:
            raise CodecError("signed by another key")
        r, s = (int.from_bytes(half, "big") for half in (self._signature[:32], self._signature[32:]))
        try:
            public_key(jwk).verify(encode_dss_signature(r, s), self._signing_input, _ES256)
        except InvalidSignature as error:
            raise CodecError("signature does not hold") from error

    def verify(self, jwk: PublicJwk, type_: type[T]) -> T:
        """The payload under `jwk`; raises `CodecError` if the signature or the form does not hold."""
        self.check(jwk)
        return self.peek(type_)


def parse_jws(text: str, typ: str) -> Unverified:
    """Split a compact JWS of the one accepted form; raises `CodecError`."""
    if len(text) > MAX_JWS or not text.isascii() or text.count(".") != 2:
        raise CodecError("not a compact JWS")
    head, payload, signature = text.split(".")
    header = _strict(unb64u(head), Header)
    if (header.alg, header.typ) != ("ES256", typ):
        raise CodecError("header of another kind")
    return Unverified(header.kid, unb64u(payload), f"{head}.{payload}".encode(), unb64u(signature, 64))


def verify_jws(text: str, typ: str, jwk: PublicJwk, type_: type[T]) -> T:
    """`parse_jws` and `Unverified.verify` in one step, for a key that is known beforehand."""
    return parse_jws(text, typ).verify(jwk, type_)
