"""Software custody: the custody key and the pepper are files of the signer's user.

Not a certified signature activation module: whoever reads these files and the store can test PINs off line.
"""

import hmac
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import CertificateSigningRequestBuilder, Name

from signing.core.codec import b64u, lp
from signing.core.custody import KeyMismatch
from signing.core.model import KeyType

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_SHA256 = SHA256()
_PSS = padding.PSS(padding.MGF1(SHA256()), 32)


class SoftwareCustody:
    """Custody over two 32-byte secrets; their ids name which of them closed an envelope."""

    def __init__(self, custody_key: bytes, pepper_key: bytes) -> None:
        if len(custody_key) != 32 or len(pepper_key) != 32:
            raise ValueError("custody key and pepper have 32 bytes")
        self._wrap = AESGCM(custody_key)
        self._pepper_key = pepper_key
        self.custody_id = _key_id(custody_key)
        self.pepper_id = _key_id(pepper_key)

    def __repr__(self) -> str:
        return f"SoftwareCustody(custody_id={self.custody_id!r}, pepper_id={self.pepper_id!r})"

    def pepper(self, data: bytes) -> bytes:
        return hmac.digest(self._pepper_key, data, "sha256")

    def generate(self, key_type: KeyType, subject: str, context: bytes) -> tuple[bytes, bytes, bytes]:
        key: PrivateKey = ec.generate_private_key(ec.SECP256R1())
        if key_type is KeyType.RSA3072:
            key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
        builder = CertificateSigningRequestBuilder().subject_name(Name.from_rfc4514_string(subject))
        request = builder.sign(key, _SHA256, rsa_padding=_PSS if isinstance(key, rsa.RSAPrivateKey) else None)
        nonce = secrets.token_bytes(12)
        inner = nonce + self._wrap.encrypt(nonce, private_der(key), self._aad(key_type, context))
        return inner, _spki(key), request.public_bytes(serialization.Encoding.DER)

    def sign(
        self, inner: bytes, key_type: KeyType, context: bytes, public_key: bytes, messages: Sequence[bytes]
    ) -> list[bytes]:
        key = self._unwrap(inner, key_type, context)
        if not hmac.compare_digest(_spki(key), public_key):
            raise KeyMismatch("another key")
        if isinstance(key, rsa.RSAPrivateKey):
            return [key.sign(message, _PSS, _SHA256) for message in messages]
        return [key.sign(message, ec.ECDSA(_SHA256)) for message in messages]

    def _unwrap(self, inner: bytes, key_type: KeyType, context: bytes) -> PrivateKey:
        try:
            der = self._wrap.decrypt(inner[:12], inner[12:], self._aad(key_type, context))
        except (InvalidTag, ValueError) as error:
            raise KeyMismatch("the wrapped key is not authentic") from error
        # The blob was authenticated a line above; checking the primes again would cost 150 to 1,000 ms.
        key = serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
        expected = ec.EllipticCurvePrivateKey if key_type is KeyType.P256 else rsa.RSAPrivateKey
        if not isinstance(key, expected):
            raise KeyMismatch("another key type")
        return key

    def _aad(self, key_type: KeyType, context: bytes) -> bytes:
        return lp("hoatoc-inner-v1", self.custody_id, key_type, context)


def private_der(key: PrivateKey) -> bytes:
    """PKCS #8, not encrypted: for files of the signer's user and for wrapping."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())


def _key_id(key: bytes) -> str:
    return b64u(hmac.digest(key, b"hoatoc-key-id-v1", "sha256")[:8])


def _spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
