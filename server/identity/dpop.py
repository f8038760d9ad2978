"""DPoP proofs (RFC 9449 §4.3): what makes a token useless away from the key of the device that it was given to.

Stricter than the RFC where that costs an honest client nothing: the header has exactly `typ`, `alg` and `jwk`; the only
algorithm is ES256; binary is base64url in its one canonical spelling; no object has a key twice; `iat` is an integer. A
client in a browser can make such a proof with WebCrypto alone; `openapi/vectors/dpop.json` has inputs and bytes.
"""

import base64
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from server.errors import Refused
from server.wire import iso

PROOF_MAX_CHARS: Final = 4096
WINDOW_S: Final = 60

_JWK_MEMBERS = frozenset({"kty", "crv", "x", "y"})
# Public members that exportKey() of WebCrypto and key stores add. A private member is not among them.
_JWK_EXTRA = frozenset({"alg", "use", "kid", "key_ops", "ext"})
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+\Z")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PORTS = {"http": 80, "https": 443}
_ES256: Final = ec.ECDSA(SHA256())


class Proof(msgspec.Struct, frozen=True):
    """A proof whose every part but its single use has been verified. `seen` names it in the store of used proofs."""

    thumbprint: str
    seen: str
    expires_us: int
    jti: str


class PublicKey(msgspec.Struct, frozen=True):
    """A P-256 public key: RFC 7638 thumbprint, and the JWK reduced to its required members in canonical order."""

    thumbprint: str
    jwk: str


class Origins:
    """The origins under which the server is reached; the first is the public one. Also the list of allowed Host values."""

    __slots__ = ("_by_host", "public")

    def __init__(self, urls: Sequence[str]) -> None:
        """Raises: ValueError for an URL with more than a scheme, host and port."""
        self._by_host: dict[str, str] = {}
        for url in urls:
            parts = urlsplit(url)
            if (
                parts.scheme not in _PORTS
                or not parts.hostname
                or parts.path.strip("/")
                or parts.query
                or parts.username
            ):
                raise ValueError(f"not an origin: {url}")
            self._by_host[_host(parts.scheme, parts.netloc)] = parts.scheme
        if not self._by_host:
            raise ValueError("at least one origin is needed")
        self.public = urls[0].rstrip("/")

    def target(self, host_header: str, raw_path: str) -> str:
        """The normalised URL of a request: what `htu` has to name.

        Raises: Refused("host-unknown") for a Host that is not configured.
        """
        host = host_header.lower()
        for scheme, port in _PORTS.items():
            bare = host.removesuffix(f":{port}")
            if self._by_host.get(bare) == scheme:
                return f"{scheme}://{bare}{normal_path(raw_path)}"
        if host in self._by_host:
            return f"{self._by_host[host]}://{host}{normal_path(raw_path)}"
        raise Refused("host-unknown")


class Verifier:
    """Checks proofs; parses a device's key once, because its header segment never changes."""

    __slots__ = ("_capacity", "_known")

    def __init__(self, capacity: int = 4096) -> None:
        self._known: OrderedDict[str, tuple[ec.EllipticCurvePublicKey, str]] = OrderedDict()
        self._capacity = capacity

    def verify(self, proof: str, *, method: str, target: str, now_us: int, token: str | None) -> Proof:
        """Check everything but single use (RFC 9449 §4.3, steps 2–12).

        `target` is the normalised URL (see `Origins.target`); `token` the access token that goes with the proof, or None at
        endpoints that give tokens. The caller compares `thumbprint` with the token's binding and spends `seen`.

        Raises: Refused("proof-invalid", reason=...) naming the part: form, header, key, signature, claims, method, target,
        time (with `server_time`), token.
        """
        if len(proof) > PROOF_MAX_CHARS:
            _refuse("form")
        segments = proof.split(".")
        if len(segments) != 3 or not all(_SEGMENT.match(segment) for segment in segments):
            _refuse("form")
        header_text, payload_text, signature_text = segments
        payload, signature = _canonical(payload_text), _canonical(signature_text)
        known = self._known.get(header_text)
        key, thumbprint = known if known is not None else _header_key(_canonical(header_text))
        if not _signed(key, proof, signature):
            _refuse("signature")
        self._remember(header_text, key, thumbprint)
        jti, iat = _claims(payload, method=method, target=target, now_us=now_us, token=token)
        seen = hashlib.sha256(thumbprint.encode() + b"\x00" + jti.encode()).digest()[:24]
        # Kept one window longer than the proof is good, so that a process whose clock lags never sees a forgotten proof.
        return Proof(thumbprint, base64.urlsafe_b64encode(seen).decode(), (iat + 2 * WINDOW_S) * 1_000_000, jti)

    def _remember(self, header_text: str, key: ec.EllipticCurvePublicKey, thumbprint: str) -> None:
        self._known[header_text] = (key, thumbprint)
        self._known.move_to_end(header_text)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)


def single(values: Sequence[bytes], *, limit: int = PROOF_MAX_CHARS) -> str | None:
    """The one value of a header, or None when it is absent.

    Raises: Refused("proof-invalid", reason="header") when it is there twice, too long or not ASCII.
    """
    if not values:
        return None
    if len(values) > 1 or len(values[0]) > limit:
        _refuse("header")
    try:
        return values[0].decode("ascii")
    except UnicodeDecodeError:
        _refuse("header")


def public_key(jwk: dict[str, Any]) -> PublicKey:
    """The P-256 public key of a JWK.

    Raises: Refused("proof-invalid", reason="key") for another type, a private member, an unknown member, a coordinate that is
    not 32 bytes in canonical base64url, or a point off the curve.
    """
    members = _public_members(jwk)
    thumbprint = _import(members).thumbprint()
    return PublicKey(thumbprint, json.dumps(members, separators=(",", ":"), sort_keys=True))


def verify_statement(text: str, jwk: str, thumbprint: str, typ: str) -> dict[str, Any]:
    """The payload of a JWS whose header is exactly {alg, typ, kid} (signer.md), signed by the given key.

    Raises: Refused("proof-invalid", reason="statement").
    """
    segments = text.split(".")
    if len(text) > PROOF_MAX_CHARS or len(segments) != 3 or not all(_SEGMENT.match(segment) for segment in segments):
        _refuse("statement")
    header, payload, signature = (_canonical(segment) for segment in segments)
    if _strict_object(header, "statement") != {"alg": "ES256", "typ": typ, "kid": thumbprint}:
        _refuse("statement")
    if not _signed(_import(json.loads(jwk)).public_key, text, signature):
        _refuse("statement")
    return _strict_object(payload, "statement")


def access_token_hash(token: str) -> str:
    """`ath` (RFC 9449 §4.2): base64url of SHA-256 over the token's ASCII characters."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode("ascii")).digest()).rstrip(b"=").decode()


def normal_path(path: str) -> str:
    """Path of an URL by RFC 3986 §6.2.2: escapes in capitals, unreserved characters unescaped. Never decodes a slash."""
    return _ESCAPE.sub(_normal_escape, path) if "%" in path else path or "/"


def normal_url(url: str) -> str | None:
    """`htu` in normal form without query and fragment, or None when it is no http(s) URL or has dot segments or a user."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
            return None
        host = _host(parts.scheme, parts.netloc)
    except ValueError:
        return None
    path = normal_path(parts.path)
    if any(segment in {".", ".."} for segment in path.split("/")) or not url.isprintable() or " " in url:
        return None
    return f"{parts.scheme}://{host}{path or '/'}"


def _host(scheme: str, netloc: str) -> str:
    return netloc.lower().removesuffix(f":{_PORTS[scheme]}")


def _normal_escape(match: re.Match[str]) -> str:
    character = chr(int(match[0][1:], 16))
    return character if character in _UNRESERVED else match[0].upper()


def _refuse(reason: str, **fields: Any) -> NoReturn:
    raise Refused("proof-invalid", reason=reason, **fields)


def _canonical(segment: str) -> bytes:
    try:
        raw = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except ValueError:
        _refuse("form")
    # The last character may carry spare bits; a second spelling of the same bytes would be a second proof.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
        _refuse("form")
    return raw


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant)


def _strict_object(raw: bytes, reason: str) -> dict[str, Any]:
    try:
        value = _DECODER.decode(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        _refuse(reason)
    if not isinstance(value, dict):
        _refuse(reason)
    return value


def _signed(key: ec.EllipticCurvePublicKey, text: str, signature: bytes) -> bool:
    """Whether `signature`, the third part of the compact JWS `text`, is `key`'s over the other two: ES256 (RFC 7518 §3.4).

    The header was compared with its one allowed form before. A library that takes any JWS parses it all again for that, which costs more than
    the curve's arithmetic, and every call of a phone carries a proof.
    """
    if len(signature) != 64:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), text.rpartition(".")[0].encode("ascii"), _ES256)
    except InvalidSignature:
        return False
    return True


def _header_key(raw: bytes) -> tuple[ec.EllipticCurvePublicKey, str]:
    header = _strict_object(raw, "header")
    if header.keys() != {"typ", "alg", "jwk"} or header["typ"] != "dpop+jwt" or header["alg"] != "ES256":
        _refuse("header")
    if not isinstance(header["jwk"], dict):
        _refuse("key")
    key = _import(_public_members(header["jwk"]))
    return key.public_key, key.thumbprint()


def _public_members(jwk: dict[str, Any]) -> dict[str, str]:
    names = jwk.keys()
    if not names >= _JWK_MEMBERS or not names <= _JWK_MEMBERS | _JWK_EXTRA:
        _refuse("key")
    if (
        jwk["kty"] != "EC"
        or jwk["crv"] != "P-256"
        or jwk.get("alg", "ES256") != "ES256"
        or jwk.get("use", "sig") != "sig"
    ):
        _refuse("key")
    for name in ("x", "y"):
        if not isinstance(jwk[name], str) or len(jwk[name]) != 43 or len(_canonical_coordinate(jwk[name])) != 32:
            _refuse("key")
    return {name: jwk[name] for name in sorted(_JWK_MEMBERS)}


def _canonical_coordinate(text: str) -> bytes:
    if not _SEGMENT.match(text):
        _refuse("key")
    return _canonical(text)


def _import(members: dict[str, str]) -> ECKey:
    try:
        key = ECKey.import_key(dict(members))
        # The key object is made lazily; this is where a point off the curve is refused.
        _ = key.public_key
    except (JoseError, ValueError):
        _refuse("key")
    return key


def _claims(raw: bytes, *, method: str, target: str, now_us: int, token: str | None) -> tuple[str, int]:
    claims = _strict_object(raw, "claims")
    jti, iat, htm, htu = claims.get("jti"), claims.get("iat"), claims.get("htm"), claims.get("htu")
    if not isinstance(jti, str) or not 12 <= len(jti) <= 128 or not jti.isprintable():
        _refuse("claims")
    if not isinstance(iat, int) or isinstance(iat, bool) or not isinstance(htm, str) or not isinstance(htu, str):
        _refuse("claims")
    if htm != method:
        _refuse("method")
    if normal_url(htu) != target:
        _refuse("target")
    if abs(iat * 1_000_000 - now_us) > WINDOW_S * 1_000_000:
        _refuse("time", server_time=iso(now_us))
    if token is not None and claims.get("ath") != access_token_hash(token):
        _refuse("token")
    return jti, iat
