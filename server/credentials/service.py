"""Use cases around the signer's credentials. The server carries; the signer checks and decides (threats A3, A8).

A voucher passes from the officer to the phone that it names, the phone's join and sealed PIN pass to the signer, the CSR passes
to the officer and the certificate back. Nothing here can make a credential or admit a key without an officer's signature.
"""

import contextlib
import hashlib

import msgspec
from cryptography import x509

from server import audit
from server.approvals.service import refused
from server.clock import Clock
from server.credentials import queries
from server.db import Database, Row, Transaction
from server.errors import Refused
from server.identity.model import Actor
from server.identity.service import IdentityService
from signing.client import Approval, Kind, PublicJwk, SignerClient, SignerError, Voucher, VoucherKind
from signing.core.codec import CodecError, parse_jws, thumbprint, unb64u
from signing.core.errors import UnknownDevice
from signing.core.model import APPROVAL_TYP, VOUCHER_LIFE_US, VOUCHER_TYP

PURPOSES = ("person", "seal")


class Enrolled(msgspec.Struct, frozen=True):
    credential: str
    csr: bytes


class CredentialService:
    def __init__(self, db: Database, signer: SignerClient, identity: IdentityService, clock: Clock) -> None:
        self._db = db
        self._signer = signer
        self._identity = identity
        self._clock = clock

    # Vouchers.

    async def carry(self, actor: Actor, voucher: str, purpose: str) -> str:
        """Keep an officer's voucher for the phone that it names; its digest. The signer will check its signature.

        Raises: Refused("voucher-invalid") unless it is about a person of the officer's own organisation.
        """
        payload = _voucher(voucher)
        code = await queries.organisation_code(self._db, actor.organisation)
        now_us = self._clock.now_us()
        if (
            payload.organisation != code
            or not now_us < payload.not_after <= now_us + VOUCHER_LIFE_US
            or purpose not in PURPOSES
        ):
            raise Refused("voucher-invalid")
        if not await queries.member(self._db, actor.organisation, payload.person):
            raise Refused("voucher-invalid")
        digest = hashlib.sha256(voucher.encode()).hexdigest()
        if payload.kind is VoucherKind.REACTIVATE:
            await self._tell(self._signer.reactivate(voucher))

        async def body(tx: Transaction) -> None:
            made = await queries.insert_voucher(
                tx, digest=digest, organisation=actor.organisation, kind=payload.kind.value, person=payload.person, credential=payload.credential,
                approval_key=thumbprint(payload.approval_key), purpose=purpose, voucher=voucher, not_after_us=payload.not_after, now_us=now_us,
            )  # fmt: skip
            if made:
                await self._log(
                    tx,
                    "credential.voucher",
                    actor,
                    payload.credential,
                    {"kind": payload.kind.value, "person": payload.person, "voucher": digest},
                )
            if payload.kind is VoucherKind.REACTIVATE:
                await queries.redeem(tx, digest)

        await self._db.transact(body)
        return digest

    async def waiting(self, actor: Actor) -> list[Row]:
        """Vouchers for this device."""
        return await queries.waiting_for(self._db, actor, self._clock.now_us())

    async def sealing_key(self) -> tuple[str, PublicJwk]:
        """The statement of the key that PINs are sealed to, and the identity key that it verifies with."""
        try:
            grant = await self._signer.sealing_key()
        except SignerError as error:
            raise refused(error) from None
        return grant.statement, grant.identity

    async def enrol(self, actor: Actor, digest: str, join: str, sealed_pin: bytes) -> Enrolled | None:
        """Redeem an `enrol` voucher with this phone's join and first PIN; for `add_holder`, leave both for the holder who hands over.

        Raises: Refused("not-found", "voucher-invalid", "approval-invalid", "pin-weak").
        """
        row = await queries.mine(self._db, actor, digest)
        if row is None:
            raise Refused("not-found")
        if row["kind"] == VoucherKind.ADD_HOLDER.value:
            await self._db.transact(lambda tx: queries.put_join(tx, digest, join, sealed_pin))
            return None
        if row["kind"] != VoucherKind.ENROL.value:
            raise Refused("voucher-invalid")
        payload = _voucher(row["voucher"])
        try:
            made = await self._signer.enrol(row["voucher"], join, sealed_pin)
        except SignerError as error:
            raise refused(error) from None

        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            await queries.insert_credential(
                tx, id_=made.credential, organisation=actor.organisation, kind=row["purpose"], person=actor.id if row["purpose"] == "person" else None,
                key_type=payload.key_type.value, subject=payload.subject, csr=made.csr, now_us=now_us,
            )  # fmt: skip
            await self._joined(tx, actor.organisation, actor.id, row, now_us)
            await self._log(
                tx, "credential.enrolled", actor, made.credential, {"voucher": digest, "purpose": row["purpose"]}
            )

        await self._db.transact(body)
        return Enrolled(credential=made.credential, csr=made.csr)

    async def add_device(self, actor: Actor, digest: str, approval: str, sealed_pin: bytes) -> None:
        """Admit this phone's approval key to a credential that the person holds already: voucher and PIN (also after losing the only phone)."""
        row = await queries.mine(self._db, actor, digest)
        if row is None or row["kind"] != VoucherKind.ADD_DEVICE.value:
            raise Refused("not-found")
        await self._tell(self._signer.add_device(approval, sealed_pin, row["voucher"]))

        async def body(tx: Transaction) -> None:
            await self._joined(tx, actor.organisation, actor.id, row, self._clock.now_us())
            await self._log(
                tx,
                "credential.device_added",
                actor,
                row["credential"],
                {"voucher": digest, "approval_key": row["approval_key"]},
            )

        await self._db.transact(body)

    async def handovers(self, actor: Actor) -> list[Row]:
        """Newcomers who wait for this holder to hand the credential over (SIG-8)."""
        return await queries.handovers(self._db, actor, self._clock.now_us())

    async def hand_over(self, actor: Actor, digest: str, approval: str, sealed_pin: bytes) -> None:
        """Add a holder: this holder's approval and PIN, the newcomer's voucher, join and PIN, in one call to the signer."""
        row = await queries.handover(self._db, actor, digest)
        if row is None or row["join_sealed_pin"] is None:
            raise Refused("not-found")
        await self._tell(
            self._signer.add_holder(
                approval, sealed_pin, row["voucher"], row["join_approval"], bytes(row["join_sealed_pin"])
            )
        )

        async def body(tx: Transaction) -> None:
            await self._joined(tx, actor.organisation, row["person"], row, self._clock.now_us())
            await self._log(
                tx, "credential.holder_added", actor, row["credential"], {"voucher": digest, "person": row["person"]}
            )

        await self._db.transact(body)

    async def _joined(self, tx: Transaction, organisation: str, person: str, row: Row, now_us: int) -> None:
        await queries.redeem(tx, row["digest"])
        await queries.insert_holder(tx, row["credential"], person, now_us)
        await self._identity.admitted(tx, organisation, row["approval_key"])

    # Certificates.

    async def pending(self, actor: Actor) -> list[Row]:
        return await queries.pending(self._db, actor)

    async def of_organisation(self, actor: Actor) -> list[Row]:
        """Every credential of the organisation with its holders, a row for each pair: what an officer vouches to extend."""
        return await queries.of_organisation(self._db, actor)

    async def csr(self, actor: Actor, credential: str) -> bytes:
        """PKCS #10, DER. Raises: Refused("not-found")."""
        row = await queries.credential(self._db, actor, credential)
        if row is None or row["csr"] is None:
            raise Refused("not-found")
        return bytes(row["csr"])

    async def import_certificate(self, actor: Actor, credential: str, certificate: bytes, chain: list[bytes]) -> None:
        """Give the credential its certificate; the signer checks key, subject and chain. Also renewal.

        Raises: Refused("not-found", "certificate-invalid").
        """
        if await queries.credential(self._db, actor, credential) is None:
            raise Refused("not-found")
        await self._tell(self._signer.import_certificate(credential, certificate, chain))
        not_after_us = int(x509.load_der_x509_certificate(certificate).not_valid_after_utc.timestamp() * 1e6)

        async def body(tx: Transaction) -> None:
            await queries.put_certificate(
                tx, credential, certificate=certificate, chain=b"".join(chain), not_after_us=not_after_us
            )
            await self._log(
                tx, "credential.certified", actor, credential, {"certificate": hashlib.sha256(certificate).hexdigest()}
            )

        await self._db.transact(body)

    # The holder.

    async def held(self, actor: Actor) -> list[Row]:
        return await queries.held(self._db, actor)

    async def tries_left(self, actor: Actor, credential: str) -> tuple[int, int]:
        """Tries to the next lock, and until when it is locked (0: it is not), from the signer. Raises: Refused("not-found")."""
        if not await queries.holds(self._db, actor, credential):
            raise Refused("not-found")
        try:
            status = await self._signer.status(credential)
        except SignerError as error:
            raise refused(error) from None
        for holder in status.holders:
            if holder.person == actor.id:
                return holder.tries_left, holder.locked_until_us
        raise Refused("not-found")

    async def change_pin(self, actor: Actor, approval: str, sealed_pin: bytes) -> None:
        """Old and new PIN are both inside the sealed blob; the server never sees either.

        Raises: Refused("approval-invalid", "pin-wrong", "pin-weak", "pin-locked").
        """
        try:
            payload = parse_jws(approval, APPROVAL_TYP).peek(Approval)
            unb64u(payload.credential, 16)
        except CodecError:
            raise Refused("approval-invalid") from None
        if payload.kind is not Kind.CHANGE_PIN or not await queries.holds(self._db, actor, payload.credential):
            raise Refused("approval-invalid")
        await self._tell(self._signer.change_pin(approval, sealed_pin))
        await self._db.transact(lambda tx: self._log(tx, "credential.pin_changed", actor, payload.credential, {}))

    async def _tell(self, call: object) -> None:
        try:
            await call  # type: ignore[misc]
        except SignerError as error:
            raise refused(error) from None

    async def _log(self, tx: Transaction, kind: str, actor: Actor, subject: str, body: dict[str, str]) -> None:
        await audit.append(
            tx,
            kind,
            organisation=actor.organisation,
            actor=actor.id,
            subject=subject,
            body=body,
            now_us=self._clock.now_us(),
        )


class SignerAdapter:
    """What identity tells the signer (`server.identity.model.SignerPort`)."""

    def __init__(self, db: Database, signer: SignerClient) -> None:
        self._db = db
        self._signer = signer

    async def revoke_device(self, *, organisation: str, person: str, approval_key: str) -> None:
        """End the approval key in every credential that the person holds; nothing un-revokes."""
        for row in await queries.credentials_of(self._db, person, organisation):
            # A device is admitted to each credential by a voucher of its own: one that never met it must not shield the next (A1).
            with contextlib.suppress(UnknownDevice):
                await self._signer.revoke_device(row["id"], approval_key)

    async def set_frozen(self, *, organisation: str, person: str, frozen: bool) -> None:
        """The person's own credentials. The organisation's seal has other holders too: the server refuses this one's activations."""
        for row in await queries.credentials_of(self._db, person, organisation):
            if row["kind"] == "person":
                await (self._signer.freeze(row["id"]) if frozen else self._signer.unfreeze(row["id"]))


def _voucher(text: str) -> Voucher:
    """The payload, not verified: that is the signer's work."""
    try:
        payload = parse_jws(text, VOUCHER_TYP).peek(Voucher)
        unb64u(payload.credential, 16)
    except CodecError:
        raise Refused("voucher-invalid") from None
    if not payload.person.isprintable() or not payload.subject.isprintable():
        raise Refused("voucher-invalid")
    return payload
