"""A phone and a registration officer in Python: keys, join, approvals, sealed PINs.

Pure library functions over `signing.device`; whoever drives the API imports these and adds its own transport.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec

from signing import device as crypto
from signing.core.codec import PublicJwk
from signing.core.model import ChallengeGrant, Item, KeyType, Kind, VoucherKind

__all__ = ["Officer", "Phone", "item"]


def item(tbs: bytes, manifest: bytes = b"{}") -> Item:
    """`tbs` is the 32-byte digest to sign, `manifest` the manifest's bytes."""
    return Item(tbs=crypto.b64u(tbs), manifest=crypto.manifest_digest(manifest))


@dataclass
class Officer:
    """A registration officer's device."""

    organisations: tuple[str, ...]
    key: ec.EllipticCurvePrivateKey = field(default_factory=crypto.new_key)

    @property
    def jwk(self) -> PublicJwk:
        return crypto.public_jwk(self.key.public_key())

    @property
    def thumbprint(self) -> str:
        return crypto.thumbprint(self.jwk)

    def voucher(
        self,
        kind: VoucherKind,
        phone: "Phone",
        *,
        now_us: int,
        subject: str = "",
        key_type: KeyType = KeyType.P256,
        pin_forbidden: Sequence[str] = (),
        organisation: str = "",
        credential: str = "",
        person: str = "",
        life_us: int = 3_600_000_000,
    ) -> str:
        return crypto.voucher_jws(
            self.key,
            kind=kind,
            organisation=organisation or phone.organisation,
            person=person or phone.person,
            credential=credential or phone.credential,
            key_type=key_type,
            subject=subject or f"CN={phone.person},O=Sample Agency,C=VN",
            approval_key=phone.jwk,
            now_us=now_us,
            pin_forbidden=pin_forbidden,
            life_us=life_us,
        )


@dataclass
class Phone:
    """One person's device: its approval key and the pinned thumbprint of the signer's identity key."""

    organisation: str
    person: str
    identity: str
    credential: str = field(default_factory=crypto.new_credential_id)
    pin: str = "482915"
    key: ec.EllipticCurvePrivateKey = field(default_factory=crypto.new_key)

    @property
    def jwk(self) -> PublicJwk:
        return crypto.public_jwk(self.key.public_key())

    @property
    def device(self) -> str:
        return crypto.thumbprint(self.jwk)

    def sealing_key(self, grant: ChallengeGrant, now_us: int) -> crypto.SealingKey:
        return crypto.verify_statement(grant.statement, grant.identity, self.identity, now_us=now_us)

    def join(self, grant: ChallengeGrant, voucher: str, *, now_us: int, pin: str = "") -> tuple[str, bytes]:
        """(join JWS, sealed PIN) under an enrol or add_holder voucher."""
        sealed = crypto.seal_pin(pin or self.pin, self.sealing_key(grant, now_us), self.credential, voucher=voucher)
        jws = crypto.join_jws(
            self.key, voucher=voucher, organisation=self.organisation, credential=self.credential, sealed_pin=sealed
        )
        return jws, sealed

    def approve(
        self,
        grant: ChallengeGrant,
        items: Sequence[Item] = (),
        *,
        now_us: int,
        kind: Kind = Kind.DOCUMENT,
        pin: str = "",
        new_pin: str = "",
        voucher: str = "",
    ) -> tuple[str, bytes]:
        """(approval JWS, sealed PIN) for a challenge."""
        sealed = crypto.seal_pin(
            pin or self.pin,
            self.sealing_key(grant, now_us),
            self.credential,
            challenge=grant.challenge,
            new_pin=new_pin,
        )
        approval = crypto.approval_jws(
            self.key,
            kind=kind,
            challenge=grant.challenge,
            organisation=self.organisation,
            credential=self.credential,
            sealed_pin=sealed,
            items=items,
            voucher=voucher,
        )
        return approval, sealed
