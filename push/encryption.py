"""Message encryption for Web Push: RFC 8291 over the aes128gcm content coding of RFC 8188, one record a message.

The push service sees the endpoint, the time and one size: every message is padded to the same length.
"""

import secrets
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["MAX_PLAINTEXT", "encrypt"]

_RECORD: Final = 4096
_HEADER: Final = 16 + 4 + 1 + 65
_TAG: Final = 16
MAX_PLAINTEXT: Final = _RECORD - _HEADER - _TAG - 1
"""A push service must take a body of 4,096 bytes (RFC 8030 §7.2); what is left of it for the message: 3,993."""


def encrypt(
    plaintext: bytes,
    *,
    point: bytes,
    auth: bytes,
    padded: int = 0,
    sender: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """The body of a push to a receiver with public key `point` (65 bytes) and secret `auth` (16 bytes).

    `padded`: plaintexts below this length look as if they had it. `sender` and `salt` are fresh for each message; only test vectors
    name them. Raises ValueError for a point that is not on P-256 and for a plaintext over `MAX_PLAINTEXT`.
    """
    if len(plaintext) > MAX_PLAINTEXT:
        raise ValueError("the plaintext is too long for one record")
    sender = sender or ec.generate_private_key(ec.SECP256R1())
    salt = salt or secrets.token_bytes(16)
    receiver = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    own = sender.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    shared = sender.exchange(ec.ECDH(), receiver)
    keying = _hkdf(auth, shared, b"WebPush: info\x00" + point + own, 32)
    key = _hkdf(salt, keying, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _hkdf(salt, keying, b"Content-Encoding: nonce\x00", 12)
    # 0x02 ends the last record; zeros after it are padding (RFC 8188 §2).
    record = plaintext + b"\x02" + bytes(max(0, min(padded, MAX_PLAINTEXT) - len(plaintext)))
    header = salt + _RECORD.to_bytes(4, "big") + bytes([len(own)]) + own
    return header + AESGCM(key).encrypt(nonce, record, None)


def _hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)
