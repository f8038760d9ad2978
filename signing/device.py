"""What a device and an officer must compute: keys, sealed PIN, approval, voucher, and the checks before a PIN is asked.

The reference for native clients and the web client; `openapi/vectors/` holds its inputs and bytes. Nothing here is
used by the signer's process. Sources: RFC 9180 (HPKE base mode), RFC 7515, RFC 7638.
"""

import base64
import secrets
from collections.abc import Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from signing.core.codec import CodecError, PublicJwk, b64u, public_jwk, public_key, sha256, sign_jws, thumbprint, unb64u
from signing.core.codec import verify_jws as _verify_jws
from signing.core.model import (
    APPROVAL_TYP,
    RESTORE_TYP,
    SEALING_TYP,
    VOUCHER_LIFE_US,
    VOUCHER_TYP,
    Approval,
    ChallengeId,
    CredentialId,
    Item,
    KeyType,
    Kind,
    RestoreOrder,
    SealingStatement,
    Voucher,
    VoucherKind,
)

__all__ = [
    "Item",
    "KeyType",
    "Kind",
    "PublicJwk",
    "SealingKey",
    "StatementInvalid",
    "VoucherKind",
    "approval_jws",
    "b64u",
    "digest",
    "join_jws",
    "jws_hash",
    "manifest_digest",
    "new_credential_id",
    "new_key",
    "pin_info",
    "pin_plaintext",
    "public_jwk",
    "restore_jws",
    "seal_pin",
    "short_code",
    "short_code_of",
    "thumbprint",
    "verify_statement",
]

_SUITE = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class StatementInvalid(CodecError):  # noqa: N818 - named as the refusals of the protocol
    """The sealing key's statement is not by the pinned identity key, or has ended: do not ask for the PIN."""


class SealingKey(msgspec.Struct, frozen=True):
    """A sealing key whose statement was verified: `id` is SHA-256 of the uncompressed point (32 bytes)."""

    key: PublicJwk
    id: bytes


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key, for approvals or vouchers."""
    return ec.generate_private_key(ec.SECP256R1())


def new_credential_id() -> CredentialId:
    """16 random bytes; chosen by the officer's device before the voucher is signed."""
    return CredentialId(b64u(secrets.token_bytes(16)))


def digest(data: bytes) -> str:
    """SHA-256, base64url unpadded: the form of every digest in a signed payload."""
    return b64u(sha256(data))


def manifest_digest(manifest: bytes) -> str:
    """Digest of the manifest's bytes exactly as the server sent them."""
    return digest(manifest)


def jws_hash(jws: str) -> str:
    """`voucher_sha256`: SHA-256 of the compact JWS text."""
    return digest(jws.encode("ascii"))


def short_code(jwk: PublicJwk) -> str:
    """What officer and person compare by eye: see `short_code_of`."""
    return short_code_of(thumbprint(jwk))


def short_code_of(key: str) -> str:
    """`XXXX-XXXX`: the first 40 bits of SHA-256 over the ASCII characters of an RFC 7638 thumbprint, in base32 (RFC 4648).

    2^40 keys must be tried to meet a given code, inside the life of a pairing code.
    """
    text = base64.b32encode(sha256(key.encode("ascii"))[:5]).decode()
    return f"{text[:4]}-{text[4:]}"


def verify_statement(statement: str, identity: PublicJwk, identity_thumbprint: str, *, now_us: int) -> SealingKey:
    """Check a sealing key's statement against the identity thumbprint that came with the pairing code.

    Raises `StatementInvalid` if the identity key is another one, the signature does not hold, the id is not the
    key's, or the statement has ended.
    """
    try:
        if thumbprint(identity) != identity_thumbprint:
            raise StatementInvalid("another identity key")
        payload = _verify_jws(statement, SEALING_TYP, identity, SealingStatement)
        point = b"\x04" + unb64u(payload.key.x, 32) + unb64u(payload.key.y, 32)
    except CodecError as error:
        raise StatementInvalid(str(error)) from error
    if payload.v != 1 or unb64u(payload.id, 32) != sha256(point) or payload.not_after < now_us:
        raise StatementInvalid("wrong id or ended")
    return SealingKey(payload.key, sha256(point))


def pin_plaintext(pin: str, new_pin: str = "") -> bytes:
    """64 bytes: two fields of {length, digits, zeros to 32}; the second is all zero except for change_pin."""
    parts = []
    for text in (pin, new_pin):
        raw = text.encode("ascii")
        if len(raw) > 31:
            raise ValueError("a PIN has at most 31 digits")
        parts.append((bytes([len(raw)]) + raw).ljust(32, b"\x00"))
    return b"".join(parts)


def pin_info(sealing_key_id: bytes, credential: str, bound_to: bytes) -> bytes:
    """HPKE `info`: label, sealing key id (32), credential (16), challenge or SHA-256 of the voucher (32)."""
    return b"hoatoc-pin-v1" + sealing_key_id + unb64u(credential, 16) + bound_to


def seal_pin(
    pin: str, sealing_key: SealingKey, credential: str, *, challenge: str = "", voucher: str = "", new_pin: str = ""
) -> bytes:
    """`enc ‖ ct` (65 + 80 bytes), HPKE base mode DHKEM(P-256), HKDF-SHA256, AES-256-GCM.

    Bound to the `challenge`, or, for a join, to the `voucher` JWS: give exactly one.
    """
    if bool(challenge) == bool(voucher):
        raise ValueError("bind the PIN to a challenge or to a voucher")
    bound_to = unb64u(challenge, 32) if challenge else sha256(voucher.encode("ascii"))
    info = pin_info(sealing_key.id, credential, bound_to)
    return _SUITE.encrypt(pin_plaintext(pin, new_pin), public_key(sealing_key.key), info=info)


def approval_jws(
    key: ec.EllipticCurvePrivateKey,
    *,
    kind: Kind,
    challenge: ChallengeId | str,
    organisation: str,
    credential: str,
    sealed_pin: bytes,
    items: Sequence[Item] = (),
    voucher: str = "",
) -> str:
    """The approval, signed by the device's approval key. `voucher` is the JWS that add_device and add_holder name."""
    payload = Approval(
        v=1,
        kind=kind,
        challenge=challenge,
        organisation=organisation,
        credential=credential,
        device=thumbprint(public_jwk(key.public_key())),
        items=tuple(items),
        pin_sha256=digest(sealed_pin),
        voucher_sha256=jws_hash(voucher) if voucher else "",
    )
    return sign_jws(payload, APPROVAL_TYP, key)


def join_jws(
    key: ec.EllipticCurvePrivateKey, *, voucher: str, organisation: str, credential: str, sealed_pin: bytes
) -> str:
    """The newcomer's own signature under an enrol or add_holder voucher and the first sealed PIN."""
    return approval_jws(
        key,
        kind=Kind.JOIN,
        challenge="",
        organisation=organisation,
        credential=credential,
        sealed_pin=sealed_pin,
        voucher=voucher,
    )


def voucher_jws(
    officer: ec.EllipticCurvePrivateKey,
    *,
    kind: VoucherKind,
    organisation: str,
    person: str,
    credential: str,
    key_type: KeyType,
    subject: str,
    approval_key: PublicJwk,
    now_us: int,
    pin_forbidden: Sequence[str] = (),
    life_us: int = VOUCHER_LIFE_US // 2,
) -> str:
    """A voucher by a registration officer, after comparing `short_code(approval_key)` with the person's screen."""
    payload = Voucher(
        v=1,
        kind=kind,
        organisation=organisation,
        person=person,
        credential=credential,
        key_type=key_type,
        subject=subject,
        approval_key=approval_key,
        pin_forbidden=tuple(pin_forbidden),
        not_after=now_us + life_us,
        nonce=b64u(secrets.token_bytes(16)),
    )
    return sign_jws(payload, VOUCHER_TYP, officer)


def restore_jws(officer: ec.EllipticCurvePrivateKey, *, old_head: str, sequence: int, root: bytes) -> str:
    """One of the two officers' signatures under the order to accept a restored store."""
    order = RestoreOrder(v=1, old_head_sha256=jws_hash(old_head), sequence=sequence, root=b64u(root))
    return sign_jws(order, RESTORE_TYP, officer)
