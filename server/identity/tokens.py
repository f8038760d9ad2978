"""Opaque tokens, pairing codes and client secrets. None is stored: the database holds SHA-256 digests or a counter.

A device's tokens are a function of its refresh family, the generation and the token key, so that a lost answer can be given
again (threat C4) and a stolen database opens nothing (threat A2). Each kind has its own prefix and its own derivation, so
that no kind can stand in for another (threat C3).
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.errors import Refused

ACCESS: Final = "hta_"
REFRESH: Final = "htr_"
SERVICE: Final = "hts_"
CLIENT_SECRET: Final = "htc_"  # noqa: S105 the prefix of a secret, not one

_CODE_BYTES = 20


class Secret:
    """A text that no log, repr or format string shows (threat A14). `reveal()` is the one way out."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def digest(self) -> str:
        """Lower-case hex SHA-256, the form that may be stored."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("secrets are not pickled")


class RefreshClaim(NamedTuple):
    """What a genuine refresh token names."""

    family: str
    generation: int


class TokenKeys:
    """The key ring of the token key file: the first key derives, all verify (threat D16)."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != 32 for key in keys):
            raise ValueError("token keys are 32 bytes each, at least one")
        self._keys = tuple(keys)

    def __repr__(self) -> str:
        return f"TokenKeys({len(self._keys)} keys)"

    @classmethod
    def load(cls, path: Path) -> "TokenKeys":
        """Read one base64url key a line, newest first.

        Raises: ValueError when the file is readable by others or not in this form; OSError.
        """
        if path.stat().st_mode & 0o077:
            raise ValueError(f"{path.name} may be read by others; it must have mode 0600")
        lines = path.read_text("ascii").split()
        return cls([base64.urlsafe_b64decode(line + "=" * (-len(line) % 4)) for line in lines])

    @classmethod
    def load_or_create(cls, path: Path) -> "TokenKeys":
        """As `load`; a missing file is made with one fresh key, mode 0600, durably. Two starting processes agree on one."""
        if not path.exists():
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            line = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=") + b"\n"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(descriptor, line)
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
        return cls.load(path)

    def seal(self, plain: bytes, bound_to: bytes) -> bytes:
        """AES-256-GCM: version 1, nonce, ciphertext. For answers with secrets that a repeated request gets again (`server.once`)."""
        nonce = secrets.token_bytes(12)
        return b"\x01" + nonce + AESGCM(_sealing_key(self._keys[0])).encrypt(nonce, plain, bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Raises: Refused("integrity-failed")."""
        if sealed[:1] == b"\x01" and len(sealed) > 29:
            for key in self._keys:
                with contextlib.suppress(InvalidTag):
                    return AESGCM(_sealing_key(key)).decrypt(sealed[1:13], sealed[13:], bound_to)
        raise Refused("integrity-failed")

    def access(self, family: str, generation: int) -> Secret:
        return Secret(ACCESS + _b64u(_derive(self._keys[0], b"access", family, generation)))

    def refresh(self, family: str, generation: int) -> Secret:
        mark = _derive(self._keys[0], b"refresh", family, generation)
        return Secret(REFRESH + _b64u(bytes.fromhex(family) + generation.to_bytes(4, "big") + mark))

    def open_refresh(self, token: str) -> RefreshClaim | None:
        """What the token names, or None when it was not made with a key of this ring. Constant work for every token."""
        try:
            raw = base64.urlsafe_b64decode(token.removeprefix(REFRESH) + "==") if token.startswith(REFRESH) else b""
        except (binascii.Error, ValueError):
            raw = b""
        genuine = len(raw) == 52
        raw = raw if genuine else bytes(52)
        family, generation = raw[:16].hex(), int.from_bytes(raw[16:20], "big")
        matches = False
        for key in self._keys:
            matches |= hmac.compare_digest(raw[20:], _derive(key, b"refresh", family, generation))
        # Base64 has spare bits at the end; only the one spelling that was issued counts.
        return RefreshClaim(family, generation) if genuine and matches and REFRESH + _b64u(raw) == token else None


def service_token() -> Secret:
    return Secret(SERVICE + secrets.token_urlsafe(32))


def client_secret() -> Secret:
    return Secret(CLIENT_SECRET + secrets.token_urlsafe(32))


def pairing_code() -> Secret:
    """160 random bits in base32: 32 capital letters and digits, fit for a link and a QR code's alphanumeric mode."""
    return Secret(base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode())


def canonical_code(typed: str) -> Secret:
    """The code as issued, whatever case, spaces and hyphens a person typed."""
    return Secret("".join(typed.split()).replace("-", "").upper())


def same_digest(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _derive(key: bytes, purpose: bytes, family: str, generation: int) -> bytes:
    message = b"hoatoc-token-v1\x00" + purpose + b"\x00" + family.encode() + b"\x00" + generation.to_bytes(4, "big")
    return hmac.new(key, message, hashlib.sha256).digest()


def _sealing_key(key: bytes) -> bytes:
    return hmac.new(key, b"hoatoc-sealed-answer-v1", hashlib.sha256).digest()


def _b64u(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
