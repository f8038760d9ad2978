"""Voluntary application server identification (VAPID, RFC 8292): who sends, proved to a push service by a P-256 key.

A browser's subscription is bound to this key: with another one every subscription is refused and has to be made anew.
"""

import base64
import json
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from push.model import PushError

__all__ = ["VapidKey", "VapidKeyError"]

# RFC 8292 §2 allows 24 h ahead; half of that leaves room for clocks that differ, and a token is used for the half of its life.
_LIFE_S: Final = 12 * 3600
_ORIGINS: Final = 64


class VapidKeyError(PushError):
    """The key file cannot be read, is open to others, or holds no P-256 private key."""

    code = "vapid-key-invalid"


class VapidKey:
    """The sender's key. `contact` is a `mailto:` or `https:` address at which a push service reaches the operator, or empty."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, contact: str = "") -> None:
        if not isinstance(key.curve, ec.SECP256R1):
            raise VapidKeyError("the VAPID key is not on P-256")
        if contact and not contact.startswith(("mailto:", "https:")):
            raise VapidKeyError("the VAPID contact starts with mailto: or https:")
        self._key = key
        self._contact = contact
        self._tokens: dict[str, tuple[str, float]] = {}
        point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        self.public = _b64u(point)
        """The public key as browsers take it (`applicationServerKey`): 65 bytes in base64url."""

    def __repr__(self) -> str:
        return f"VapidKey({self.public[:11]}…)"

    @classmethod
    def load(cls, path: Path, contact: str = "") -> "VapidKey":
        """From a PEM file (PKCS #8). Raises `VapidKeyError`."""
        try:
            if path.stat().st_mode & 0o007:
                raise VapidKeyError("the VAPID key file is open to every user of this machine")
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError):
            # The library's text may quote the file.
            raise VapidKeyError("the VAPID key file cannot be read") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise VapidKeyError("the VAPID key is not on P-256")
        return cls(key, contact)

    @classmethod
    def load_or_create(cls, path: Path, contact: str = "") -> "VapidKey":
        """As `load`; a missing file is made, mode 0600, durably. Two starting processes agree on one key."""
        if not path.exists():
            _write_new(path)
        return cls.load(path, contact)

    def authorization(self, origin: str, now_s: float) -> str:
        """The `Authorization` header for a push service (RFC 8292 §3): one token an origin, signed anew after six hours."""
        token, renew_s = self._tokens.get(origin, ("", 0.0))
        if not token or now_s >= renew_s or now_s < renew_s - _LIFE_S:
            token = self._sign(origin, int(now_s) + _LIFE_S)
            while len(self._tokens) >= _ORIGINS:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[origin] = (token, now_s + _LIFE_S / 2)
        return f"vapid t={token}, k={self.public}"

    def _sign(self, origin: str, ends_s: int) -> str:
        claims: dict[str, object] = {"aud": origin, "exp": ends_s}
        if self._contact:
            claims["sub"] = self._contact
        signed = f"{_json({'typ': 'JWT', 'alg': 'ES256'})}.{_json(claims)}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_b64u(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _write_new(path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, pem)
        os.fsync(descriptor)
        # link() fails when the name exists, where rename() would replace the other process's key.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.close(descriptor)
        temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _json(value: object) -> str:
    return _b64u(json.dumps(value, separators=(",", ":")).encode())


def _b64u(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
