"""The PIN's envelope around a wrapped private key: Argon2id, then the pepper, then AES-256-GCM. No PIN hash exists.

The GCM tag is the only verifier of a PIN and cannot be tested without the pepper, which is never in a database (A2).
Sources: RFC 9106 (Argon2id), RFC 5869 (HKDF), NIST SP 800-38D (GCM).
"""

import secrets
from collections.abc import Callable

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from signing.core.codec import lp
from signing.core.pin import Pin

Pepper = Callable[[bytes], bytes]


class PinMismatch(Exception):  # noqa: N818 - a verdict, not a defect
    """The tag does not verify: a wrong PIN, or an envelope that is not this holder's."""


class Argon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Argon2id cost; the defaults are A2's floor. Stored with every envelope."""

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 1


class Binding(msgspec.Struct, frozen=True):
    """What an envelope belongs to; any other value leaves it shut (A4)."""

    organisation: str
    credential: str
    holder: str
    epoch: int
    pepper_id: str
    custody_id: str

    def aad(self) -> bytes:
        fields = (self.organisation, self.credential, self.holder, self.epoch, self.pepper_id, self.custody_id)
        return lp("hoatoc-envelope-v1", *fields)


class Envelope(msgspec.Struct, frozen=True):
    v: int
    pepper_id: str
    custody_id: str
    argon: Argon
    salt: bytes
    nonce: bytes
    sealed: bytes


def derive(pin: Pin, salt: bytes, argon: Argon) -> bytes:
    """Argon2id(PIN, salt), 32 bytes; tens to hundreds of milliseconds, without the interpreter lock."""
    kdf = Argon2id(salt=salt, length=32, iterations=argon.iterations, lanes=argon.lanes, memory_cost=argon.memory_kib)
    return kdf.derive(pin.digits)


def _kek(pepper: Pepper, aad: bytes, derived: bytes) -> AESGCM:
    secret = pepper(aad + derived)
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=b"hoatoc-kek-v1").derive(secret))


def seal_envelope(inner: bytes, pin: Pin, binding: Binding, argon: Argon, pepper: Pepper) -> Envelope:
    """Close `inner` under the PIN; derives."""
    salt, nonce, aad = secrets.token_bytes(16), secrets.token_bytes(12), binding.aad()
    kek = _kek(pepper, aad, derive(pin, salt, argon))
    return Envelope(1, binding.pepper_id, binding.custody_id, argon, salt, nonce, kek.encrypt(nonce, inner, aad))


def open_envelope(envelope: Envelope, derived: bytes, binding: Binding, pepper: Pepper) -> bytes:
    """`inner`, given the derived PIN; raises `PinMismatch`."""
    aad = binding.aad()
    try:
        return _kek(pepper, aad, derived).decrypt(envelope.nonce, envelope.sealed, aad)
    except InvalidTag as error:
        raise PinMismatch from error
