"""Where private keys and the pepper live: the port, and its adapters.

A private key leaves an adapter only as `inner`, wrapped under the custody key; it is used and forgotten inside one
call.
"""

from collections.abc import Sequence
from typing import Protocol

from signing.core.model import KeyType


class KeyMismatch(Exception):  # noqa: N818 - a finding, not a defect
    """`inner` is not authentic, or does not hold the expected key (A4)."""


class Custody(Protocol):
    """`context` is authenticated with the wrapped key; `public_key` is SubjectPublicKeyInfo DER."""

    custody_id: str
    pepper_id: str

    def pepper(self, data: bytes) -> bytes:
        """HMAC-SHA-256 of `data` under the pepper: 32 bytes."""

    def generate(self, key_type: KeyType, subject: str, context: bytes) -> tuple[bytes, bytes, bytes]:
        """A fresh key: (inner, public key, certification request DER for the RFC 4514 `subject`)."""

    def sign(
        self, inner: bytes, key_type: KeyType, context: bytes, public_key: bytes, messages: Sequence[bytes]
    ) -> list[bytes]:
        """Raw signatures over the messages; raises `KeyMismatch` before the first one."""
