"""The signer's own keys as files of its user, and what is derived from them: challenges, row MACs, sealed PINs.

`custody` and `pepper` are 32 random bytes, `identity` and `sealing` PKCS #8 DER; all mode 0600, outside the store.
"""

import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from signing.core.codec import PublicJwk, b64u, lp, public_jwk, refused_as, sha256, sign_jws, unb64u
from signing.core.custody import Custody
from signing.core.custody.software import SoftwareCustody, private_der
from signing.core.errors import ApprovalInvalid, ChallengeExpired, PinMalformed
from signing.core.model import CHALLENGE_LIFE_US, SEALING_TYP, ChallengeId, SealingStatement
from signing.core.pin import Pin, parse

_SUITE = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_STATEMENT_LIFE_US = 24 * 3_600_000_000


def challenge_time(challenge: str) -> int:
    """The time inside a challenge, not authenticated; raises `ApprovalInvalid` if it is not 32 bytes of base64url."""
    with refused_as(ApprovalInvalid):
        return int.from_bytes(unb64u(challenge, 32)[:8], "big")


class Challenges:
    """Stateless challenges: time ‖ random ‖ HMAC(time ‖ random ‖ credential ‖ approval key), cut to 16 bytes (A10)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, credential: str, device: str, now_us: int) -> ChallengeId:
        head = now_us.to_bytes(8, "big") + secrets.token_bytes(8)
        return ChallengeId(b64u(head + self._tag(head, credential, device)))

    def check(self, challenge: str, credential: str, device: str, now_us: int) -> None:
        """Raises `ApprovalInvalid` for a challenge of somebody else, `ChallengeExpired` for an old one."""
        issued = challenge_time(challenge)
        raw = unb64u(challenge, 32)
        if not hmac.compare_digest(raw[16:], self._tag(raw[:16], credential, device)):
            raise ApprovalInvalid("the challenge was issued for another credential or device")
        if not 0 <= now_us - issued < CHALLENGE_LIFE_US:
            raise ChallengeExpired

    def _tag(self, head: bytes, credential: str, device: str) -> bytes:
        return hmac.digest(self._key, lp("hoatoc-challenge-v1", head, credential, device), "sha256")[:16]


class Keys:
    """All keys of one signer, loaded. Shows none of them."""

    def __init__(self, directory: Path) -> None:
        self.custody: Custody = SoftwareCustody(_read(directory, "custody"), _read(directory, "pepper"))
        self.identity = _load(_read(directory, "identity"))
        self._sealing = _load(_read(directory, "sealing"))
        self.identity_jwk: PublicJwk = public_jwk(self.identity.public_key())
        self._sealing_jwk = public_jwk(self._sealing.public_key())
        self._sealing_id = sha256(b"\x04" + unb64u(self._sealing_jwk.x) + unb64u(self._sealing_jwk.y))
        self.row_key = self.custody.pepper(b"hoatoc-row-key-v1")
        self.challenges = Challenges(self.custody.pepper(b"hoatoc-challenge-key-v1"))
        self._statement = ("", 0)

    def __repr__(self) -> str:
        return "Keys(******)"

    @staticmethod
    def create(directory: Path) -> None:
        """Fresh keys; raises `FileExistsError` if one is there already."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        contents = [("custody", secrets.token_bytes(32)), ("pepper", secrets.token_bytes(32))]
        contents += [(name, private_der(ec.generate_private_key(ec.SECP256R1()))) for name in ("identity", "sealing")]
        for name, content in contents:
            descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)

    def statement(self, now_us: int) -> str:
        """The sealing key's statement, valid a day; signed anew when less than half of that is left."""
        text, not_after = self._statement
        if not_after - now_us < _STATEMENT_LIFE_US // 2:
            not_after = now_us + _STATEMENT_LIFE_US
            payload = SealingStatement(v=1, key=self._sealing_jwk, id=b64u(self._sealing_id), not_after=not_after)
            text = sign_jws(payload, SEALING_TYP, self.identity)
            self._statement = (text, not_after)
        return text

    def open_pin(self, sealed: bytes, credential: str, bound_to: bytes) -> tuple[Pin, Pin | None]:
        """PIN and, for change_pin, the new one, sealed for this credential and challenge or voucher hash.

        Raises `PinMalformed`.
        """
        info = b"hoatoc-pin-v1" + self._sealing_id + unb64u(credential, 16) + bound_to
        try:
            plaintext = _SUITE.decrypt(sealed, self._sealing, info=info)
        except (InvalidTag, ValueError) as error:
            raise PinMalformed("the sealed PIN does not open for this use") from error
        return parse(plaintext)


def _read(directory: Path, name: str) -> bytes:
    path = directory / name
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"the key file {name} may be read by others")
    return path.read_bytes()


def _load(der: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_der_private_key(der, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not a P-256 key")
    return key
