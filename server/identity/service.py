"""The use cases of identity, one transaction each: sessions, pairing, devices, keys' freezes, people, service clients.

Longer than a module should be because sessions and devices are one state: what revoking voids, pairing and refreshing make,
and the reader has to see both. Every change is written with its audit event (threat A15). A command takes the actor; the
command line acts as `operator(...)`, an administrator without a device.
"""

import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from push.model import new_notice_id
from push.subscription import EndpointRefusedError, Subscription, SubscriptionError
from server import jobs
from server.clock import Clock
from server.db import Conflict, Database, Reads, Row, Transaction
from server.errors import Refused
from server.identity import queries
from server.identity.dpop import Origins, Proof, PublicKey, Verifier, verify_statement
from server.identity.model import (
    SECOND_US,
    Actor,
    Audit,
    Device,
    DeviceRevoked,
    DeviceState,
    IdentitySettings,
    NewClient,
    Organisation,
    PairingCode,
    Person,
    PersonState,
    Role,
    RoleWithdrawn,
    Scope,
    Session,
    Tokens,
)
from server.identity.proofs import Proofs, Unspent
from server.identity.tokens import (
    ACCESS,
    SERVICE,
    Secret,
    TokenKeys,
    canonical_code,
    client_secret,
    pairing_code,
    same_digest,
    service_token,
)
from server.ids import new_id
from server.once import Once

T = TypeVar("T")

SESSION_TYP: Final = "hoatoc-session+jws"
REVOKE_AT_SIGNER: Final = "identity.revoke_at_signer"
ALIGN_FREEZE: Final = "identity.align_freeze"
ACTIVATE_PUSH: Final = "push.activate"
ACTIVATION_US: Final = 24 * 3600 * SECOND_US

# An unknown client's secret is compared with this, so that it costs what a known one costs (threat C6).
_NO_SECRET: Final = hashlib.sha256(b"no such client").hexdigest()
_OFFICERS: Final = (Role.DUTY_OFFICER, Role.ADMINISTRATOR)


class RevokeAtSigner(msgspec.Struct, frozen=True):
    organisation: str
    person: str
    approval_key: str


class AlignFreeze(msgspec.Struct, frozen=True):
    organisation: str
    person: str


class ActivatePush(msgspec.Struct, frozen=True):
    """`address`: the digest by which the row is known."""

    address: str


def operator(organisation: str) -> Actor:
    """Who acts on the server's own command line, for one organisation."""
    return Actor("service", "operator", organisation, roles=frozenset({Role.ADMINISTRATOR}))


class IdentityService:
    """`signer_key` gives the thumbprint of the signer's identity key, for the pairing link. The hooks of `on_device_revoked` run
    in the revoking transaction, so that other rooms void what hangs on the device (open activations) with it; those of
    `on_role_withdrawn` in the one that withdraws a role.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        keys: TokenKeys,
        settings: IdentitySettings,
        audit: Audit,
        *,
        signer_key: str | Callable[[], Awaitable[str]] = "",
        on_device_revoked: Sequence[DeviceRevoked] = (),
        on_role_withdrawn: Sequence[RoleWithdrawn] = (),
    ) -> None:
        self._db = db
        self._clock = clock
        self._keys = keys
        self._settings = settings
        self._audit = audit
        self._signer_key = signer_key
        self._on_device_revoked = tuple(on_device_revoked)
        self._on_role_withdrawn = tuple(on_role_withdrawn)
        self._origins = Origins(settings.origins)
        self._verifier = Verifier()
        self._proofs = Proofs(db, clock)

    # -- Calls ------------------------------------------------------------------------------------------------------

    def check_proof(self, proof: str | None, *, method: str, host: str, path: str, token: str | None = None) -> Proof:
        """Verify a DPoP header's value against the request; `path` is as it came, percent-encoded. Not yet spent.

        Raises: Refused("proof-invalid" | "host-unknown").
        """
        if proof is None:
            raise Refused("proof-invalid", reason="missing")
        target = self._origins.target(host, path)
        return self._verifier.verify(proof, method=method, target=target, now_us=self._clock.now_us(), token=token)

    async def authenticate(self, token: str, proof: Proof | None) -> tuple[Actor, int]:
        """The actor of an access token and when the token ends (µs). A proof is spent even if the token turns out void.

        Raises: Refused("authentication-required") alike for unknown, expired, revoked and otherwise bound tokens;
        Refused("proof-invalid", reason="replay").
        """
        digest = Secret(token).digest()
        if token.startswith(ACCESS) and proof is not None:
            found = await self._device_call(digest, proof)
        elif token.startswith(SERVICE):
            found = await self._client_call(digest, proof)
        else:
            found = None
        if found is None:
            raise Refused("authentication-required")
        return found

    async def _device_call(self, digest: str, proof: Proof) -> tuple[Actor, int] | None:
        return _device(await self._proofs.spend(proof, digest), proof)

    async def recognise(self, token: str, unspent: Unspent) -> tuple[Actor, int]:
        """As `authenticate`, for a device's token; the proof is left to the route, which spends it with its effect."""
        proof, digest = unspent.proof, Secret(token).digest()
        rows = await queries.device_of_unspent(self._db, digest, self._clock.now_us(), proof.seen)
        if rows and rows[0]["seen"]:
            raise Refused("proof-invalid", reason="replay")
        found = _device(rows, proof)
        if found is None:
            raise Refused("authentication-required")
        return found

    async def spend(self, token: str, proof: Proof) -> None:
        """Spend the proof of a call whose route did not. Raises: Refused("proof-invalid", reason="replay")."""
        await self._proofs.spend(proof, Secret(token).digest())

    async def _client_call(self, digest: str, proof: Proof | None) -> tuple[Actor, int] | None:
        now = self._clock.now_us()
        if proof is None:
            row = await queries.client_of_token(self._db, digest, now)
        else:

            async def body(tx: Transaction) -> Row | None:
                await self._spend(tx, proof)
                return await queries.client_of_token(tx, digest, now)

            row = await self._db.transact(body)
        if row is None or row["bound_key"] != (None if proof is None else proof.thumbprint):
            return None
        scopes = frozenset(row["scopes"].split())
        return Actor("service", row["id"], row["organisation"], scopes=scopes), row["expires_us"]

    @staticmethod
    async def _spend(tx: Transaction, proof: Proof) -> None:
        if not await queries.spend_proof(tx, proof.seen, proof.expires_us):
            raise Refused("proof-invalid", reason="replay")

    # -- Pairing and sessions ---------------------------------------------------------------------------------------

    async def pairing_code(
        self, actor: Actor, person: str, *, office: bool = False, once: Once | None = None
    ) -> PairingCode:
        """A one-time code for a person of the actor's organisation; `office` marks the device as one of the office (SIG-8).

        Raises: Refused("not-found").
        """
        code, now = pairing_code(), self._clock.now_us()
        expires = now + self._settings.pairing_seconds * SECOND_US
        once = None if once is None else once.sealed(self._keys)

        async def body(tx: Transaction) -> tuple[str, int]:
            if once is not None and (kept := await once.claim(tx)) is not None:
                return msgspec.json.decode(kept, type=tuple[str, int])
            await self._active_person(tx, actor.organisation, person)
            await queries.insert_pairing(
                tx, code_hash=code.digest(), person_id=person, organisation=actor.organisation, office=office,
                issued_by=actor.id, now_us=now, expires_us=expires,
            )  # fmt: skip
            await self._log(tx, "identity.pairing_issued", actor, person, {"office": office})
            made = (code.reveal(), expires)
            if once is not None:
                await once.settle(tx, msgspec.json.encode(made))
            return made

        issued, ends = await self._db.transact(body)
        signer_key = await self._signer_key() if callable(self._signer_key) else self._signer_key
        signer = f"&signer={signer_key}" if signer_key else ""
        return PairingCode(Secret(issued), Secret(f"{self._origins.public}/pair#code={issued}{signer}"), ends)

    async def redeem(
        self, code: str, proof: Proof, *, session: PublicKey, approval: PublicKey, label: str, platform: str
    ) -> Session:
        """Turn a pairing code into a device and its first tokens. The same phone asking again gets the same answer.

        Raises: Refused("pairing-code-invalid") alike for unknown, expired and used codes; Refused("proof-invalid") when the
        proof is not by the session key; Refused("device-key-known") when a key was ever used by a device.
        """
        if proof.thumbprint != session.thumbprint:
            raise Refused("proof-invalid", reason="key")
        if approval.thumbprint == session.thumbprint:
            raise Refused("invalid-request", detail="the session key and the approval key must differ")
        label, platform = clean(label), clean(platform)
        digest, device_id, family, now = canonical_code(code).digest(), new_id(), new_id(), self._clock.now_us()

        async def body(tx: Transaction) -> Session:
            await self._spend(tx, proof)
            row = await queries.redeem_pairing(tx, digest, device_id, now)
            if row is None:
                return await self._redeemed_before(tx, digest, session, approval, now)
            device = Device(
                device_id, row["person"], row["organisation"], session.thumbprint, approval.thumbprint, approval.jwk, label, platform,
                bool(row["office"]), DeviceState.ACTIVE, now, now, None, None,
            )  # fmt: skip
            if not await queries.insert_device(tx, device, session.jwk):
                raise Refused("device-key-known")
            tokens = await self._new_family(tx, family, device.id, now)
            await self._audit.append(
                tx, "identity.device_paired", organisation=device.organisation, actor=device.person, subject=device.id,
                body={"person": device.person, "session_key": device.session_key, "approval_key": device.approval_key},
            )  # fmt: skip
            return Session(device, tokens)

        return await self._db.transact(body)

    async def _redeemed_before(
        self, tx: Transaction, digest: str, session: PublicKey, approval: PublicKey, now: int
    ) -> Session:
        device = await queries.redeemed_device(tx, digest, now)
        if device is None or device.state is not DeviceState.ACTIVE:
            raise Refused("pairing-code-invalid")
        if (device.session_key, device.approval_key) != (session.thumbprint, approval.thumbprint):
            raise Refused("pairing-code-invalid")
        row = await queries.family_of_device(tx, device.id)
        if row is None or row["generation"] != 0:
            raise Refused("pairing-code-invalid")
        return Session(device, await self._issue(tx, row["id"], 0, device.id, now, row["rotated_us"]))

    async def refresh(self, token: str, proof: Proof) -> Tokens:
        """The next tokens of a family (threat C4). The same device asking again within the retry window gets the same answer;
        any other use of a genuine token that is not the newest ends the family.

        Raises: Refused("refresh-invalid") alike for every void token; Refused("proof-invalid", reason="replay").
        """
        claim, now = self._keys.open_refresh(token), self._clock.now_us()

        async def body(tx: Transaction) -> Tokens | None:
            await self._spend(tx, proof)
            # A forged token costs the statements of a genuine one (threat C6).
            name, generation = claim if claim is not None else ("", 0)
            rotated = await queries.rotate_family(tx, name, generation, proof.thumbprint, now)
            row = await queries.family(tx, name)
            if row is None:
                return None
            mine = row["session_key"] == proof.thumbprint
            again = (
                row["generation"] == generation + 1
                and now - row["rotated_us"] <= self._settings.retry_seconds * SECOND_US
            )
            live = row["state"] == "active" and row["expires_us"] > now
            if rotated or (live and mine and again):
                return await self._issue(tx, name, generation + 1, row["device"], now, row["rotated_us"])
            if await queries.end_family(tx, name):
                await self._audit.append(
                    tx, "identity.session_ended", organisation=row["organisation"], actor="system", subject=row["device"],
                    body={"reason": "expired" if mine and row["expires_us"] <= now else "refresh-token-reused"},
                )  # fmt: skip
            return None

        # The family's end is committed; only then is the call refused.
        tokens = await self._db.transact(body)
        if tokens is None:
            raise Refused("refresh-invalid", error="invalid_grant")
        return tokens

    async def resume(self, statement: str, proof: Proof) -> Session:
        """A fresh session for a paired device whose refresh family has ended, on a statement by its approval key.

        `statement` is a JWS {alg, typ: hoatoc-session+jws, kid: approval key} over {v: 1, device, session_key, jti}: the jti of
        the DPoP proof makes it single use. It needs the key that asks for the person's presence, so a leaked token or a
        session key alone does not revive a session.

        Raises: Refused("authentication-required" | "proof-invalid").
        """
        known = await queries.device_by_session_key(self._db, proof.thumbprint)
        if known is None:
            raise Refused("authentication-required")
        said = verify_statement(statement, known.approval_jwk, known.approval_key, SESSION_TYP)
        if said != {"v": 1, "device": known.id, "session_key": known.session_key, "jti": proof.jti}:
            raise Refused("proof-invalid", reason="statement")
        family, now = new_id(), self._clock.now_us()

        async def body(tx: Transaction) -> Session:
            await self._spend(tx, proof)
            device = await queries.device_by_session_key(tx, proof.thumbprint)
            if device is None:
                raise Refused("authentication-required")
            await queries.end_families(tx, device.id)
            tokens = await self._new_family(tx, family, device.id, now)
            await self._audit.append(
                tx,
                "identity.session_resumed",
                organisation=device.organisation,
                actor=device.person,
                subject=device.id,
                body={},
            )
            return Session(device, tokens)

        return await self._db.transact(body)

    async def log_out(self, actor: Actor) -> None:
        """End the sessions of the calling device and forget its push addresses (threat C14)."""
        device = _own_device(actor)

        async def body(tx: Transaction) -> None:
            await queries.void_device(tx, device)
            await self._log(tx, "identity.logged_out", actor, device, {})

        await self._db.transact(body)

    async def _new_family(self, tx: Transaction, family: str, device: str, now: int) -> Tokens:
        await queries.insert_family(tx, family, device, now, now + self._settings.refresh_days * 86_400 * SECOND_US)
        return await self._issue(tx, family, 0, device, now, now)

    async def _issue(self, tx: Transaction, family: str, generation: int, device: str, now: int, since: int) -> Tokens:
        access = self._keys.access(family, generation)
        expires = since + self._settings.access_seconds * SECOND_US
        await queries.replace_access(tx, family, device, access.digest(), now, expires)
        return Tokens(
            access, self._keys.refresh(family, generation), expires, max(0, (expires - now) // SECOND_US), bound=True
        )

    # -- Devices ----------------------------------------------------------------------------------------------------

    async def my_devices(self, actor: Actor) -> list[Device]:
        return await queries.devices_of(self._db, actor.organisation, actor.id)

    async def devices_of(self, actor: Actor, person: str) -> list[Device]:
        """Raises: Refused("not-found")."""
        await self.person(actor, person)
        return await queries.devices_of(self._db, actor.organisation, person)

    async def devices_awaiting(self, actor: Actor) -> list[tuple[Device, str]]:
        """Devices whose approval key waits for a registration officer's voucher, with the person's name."""
        return await queries.devices_awaiting(self._db, actor.organisation, 200)

    async def admitted(self, tx: Transaction, organisation: str, approval_key: str) -> None:
        """The signer admitted this approval key: for whoever carries vouchers, in its own transaction."""
        await queries.admit_device(tx, organisation, approval_key, self._clock.now_us())

    async def revoke_device(self, actor: Actor, device_id: str) -> Device:
        """Void a device, its tokens, refresh families, push addresses and open activations in one transaction, for good.

        By its owner, a duty officer or an administrator of the organisation. Revoking twice is one revocation.

        Raises: Refused("not-found"), also for a device that is not the actor's to revoke.
        """
        now = self._clock.now_us()

        async def body(tx: Transaction) -> Device:
            device = await queries.device(tx, actor.organisation, device_id)
            if device is None or not (device.person == actor.id or actor.has(*_OFFICERS)):
                raise Refused("not-found")
            await self._revoke(tx, actor, device, now)
            after = await queries.device(tx, actor.organisation, device_id)
            assert after is not None
            return after

        return await self._db.transact(body)

    async def _revoke(self, tx: Transaction, actor: Actor, device: Device, now: int) -> None:
        if not await queries.revoke_device(tx, device.organisation, device.id, now):
            return
        await queries.void_device(tx, device.id)
        # Whoever has a stolen phone in hand may have asked for a further device's code with it (A1).
        await queries.delete_own_pairings(tx, device.person)
        for hook in self._on_device_revoked:
            await hook(tx, device)
        await self._log(
            tx,
            "identity.device_revoked",
            actor,
            device.id,
            {"person": device.person, "approval_key": device.approval_key},
        )
        payload = RevokeAtSigner(device.organisation, device.person, device.approval_key)
        await jobs.enqueue(
            tx, REVOKE_AT_SIGNER, payload, lane=jobs.Lane.URGENT, dedupe_key=f"{REVOKE_AT_SIGNER}:{device.id}"
        )

    # -- Freeze -----------------------------------------------------------------------------------------------------

    async def freeze(self, actor: Actor, person: str) -> None:
        """Stop a person's signing key: by its owner or a duty officer.

        Raises: Refused("not-found").
        """
        if person != actor.id and not actor.has(Role.DUTY_OFFICER):
            raise Refused("not-found")
        now = self._clock.now_us()

        async def body(tx: Transaction) -> None:
            await self._active_person(tx, actor.organisation, person)
            if await queries.insert_freeze(tx, actor.organisation, person, actor.id, now):
                await self._log(tx, "identity.key_frozen", actor, person, {})
            await self._tell_freeze(tx, actor.organisation, person)

        await self._db.transact(body)

    async def unfreeze(self, actor: Actor, person: str) -> None:
        """Lift a freeze: by an officer who is neither the key's owner nor the one who froze it.

        Raises: Refused("not-found"), Refused("forbidden") when another officer is needed.
        """

        async def body(tx: Transaction) -> None:
            await self._active_person(tx, actor.organisation, person)
            if await queries.delete_freeze(tx, person, actor.id):
                await self._log(tx, "identity.key_unfrozen", actor, person, {})
                await self._tell_freeze(tx, actor.organisation, person)
            elif await queries.is_frozen(tx, person):
                raise Refused("forbidden", reason="another-officer-needed")

        await self._db.transact(body)

    async def is_frozen(self, reads: Reads, person: str) -> bool:
        """Whether the server refuses to start activations of this person; the signer's own state decides in the end."""
        return await queries.is_frozen(reads, person)

    @staticmethod
    async def _tell_freeze(tx: Transaction, organisation: str, person: str) -> None:
        await jobs.enqueue(
            tx, ALIGN_FREEZE, AlignFreeze(organisation, person), lane=jobs.Lane.URGENT, ordering_key=f"freeze:{person}"
        )

    # -- Push addresses ---------------------------------------------------------------------------------------------

    async def put_fcm_address(self, actor: Actor, registration_token: str) -> None:
        """Raises: Refused("push-address-invalid")."""
        if (
            not 20 <= len(registration_token) <= 4096
            or not registration_token.isascii()
            or not registration_token.isprintable()
        ):
            raise Refused("push-address-invalid")
        device, now = _own_device(actor), self._clock.now_us()

        async def body(tx: Transaction) -> None:
            await self._put_address(tx, actor, device, "fcm", registration_token, registration_token, None, now)

        await self._db.transact(body)

    async def put_webpush_address(self, actor: Actor, subscription: str) -> None:
        """A browser's subscription (JSON). Its endpoint's host must be on the list (threat C10); the sender checks again. It is used
        after `activate_webpush`: a challenge is pushed to it first. One that is active already stays so.

        Raises: Refused("push-address-invalid"), also where this server sends no Web Push.
        """
        device, now = _own_device(actor), self._clock.now_us()
        try:
            found = Subscription.parse(subscription)
            self._settings.push_endpoints.check(found.endpoint)
        except (SubscriptionError, EndpointRefusedError):
            raise Refused("push-address-invalid") from None
        if not self._settings.vapid_key:
            raise Refused("push-address-invalid")
        value = found.value()

        async def body(tx: Transaction) -> None:
            known = await queries.address_of(tx, device, "webpush")
            if known is not None and known["value"] == value and known["state"] == "active":
                await queries.touch_address(tx, known["address"], now)
                return
            challenge = new_notice_id(secrets.token_bytes)
            address = await self._put_address(tx, actor, device, "webpush", found.endpoint, value, challenge, now)
            await jobs.enqueue(tx, ACTIVATE_PUSH, ActivatePush(address), lane=jobs.Lane.URGENT)

        await self._db.transact(body)

    async def _put_address(
        self,
        tx: Transaction,
        actor: Actor,
        device: str,
        transport: str,
        identity: str,
        value: str,
        challenge: str | None,
        now: int,
    ) -> str:
        address = hashlib.sha256(f"{transport}\x00{identity}".encode()).hexdigest()
        kind = "subscription" if transport == "webpush" else "registration_token"
        state = "active" if challenge is None else "pending"
        await queries.put_address(
            tx, address=address, device_id=device, transport=transport, kind=kind, value=value, state=state, challenge=challenge, now_us=now
        )  # fmt: skip
        await self._log(tx, "identity.push_address_set", actor, device, {"transport": transport, "address": address})
        return address

    async def webpush_state(self, actor: Actor) -> tuple[str, str]:
        """The server's VAPID key (empty: no Web Push) and the calling device's address: none, pending, active or dead."""
        row = await queries.address_of(self._db, _own_device(actor), "webpush")
        return self._settings.vapid_key, "none" if row is None else str(row["state"])

    async def activate_webpush(self, actor: Actor, challenge: str) -> None:
        """The device gives back what was pushed to its address within a day: it does receive there.

        Raises: Refused("push-address-invalid").
        """
        device, now = _own_device(actor), self._clock.now_us()

        async def body(tx: Transaction) -> None:
            row = await queries.address_of(tx, device, "webpush")
            if (
                row is None
                or row["challenge"] is None
                or not hmac.compare_digest(row["challenge"], challenge)
                or now - row["seen_us"] > ACTIVATION_US
                or not await queries.activate_address(tx, row["address"])
            ):
                raise Refused("push-address-invalid")
            detail = {"transport": "webpush", "address": row["address"]}
            await self._log(tx, "identity.push_address_activated", actor, device, detail)

        await self._db.transact(body)

    async def pending_address(self, reads: Reads, address: str) -> Row | None:
        """Row address, device, transport, kind, value, challenge, seen_us, locale of an address that is to be activated."""
        return await queries.pending_address(reads, address)

    async def delete_address(self, actor: Actor, transport: str) -> None:
        device = _own_device(actor)

        async def body(tx: Transaction) -> None:
            if await queries.delete_address(tx, device, transport):
                await self._log(tx, "identity.push_address_deleted", actor, device, {"transport": transport})

        await self._db.transact(body)

    async def addresses_of(self, reads: Reads, organisation: str, person: str) -> list[Row]:
        """Rows address, device, transport, kind, value of the person's live addresses, for the sender of notices."""
        return await queries.addresses_of(reads, organisation, person)

    async def address_dead(self, tx: Transaction, device: str, transport: str, address: str) -> None:
        """The push service said that nobody is there any more (threat D4)."""
        await queries.mark_address_dead(tx, device, transport, address)

    # -- Organisations and people -----------------------------------------------------------------------------------

    async def create_organisation(self, code: str, name: str, *, parent_code: str | None = None) -> Organisation:
        """For the command line. `code` is the organisation's id on the exchange axis.

        Raises: Refused("organisation-known" | "not-found" for the parent | "invalid-request").
        """
        now = self._clock.now_us()
        code, name = clean(code), clean(name)

        async def body(tx: Transaction) -> Organisation:
            parent = None if parent_code is None else await queries.organisation_by_code(tx, parent_code)
            if parent_code is not None and parent is None:
                raise Refused("not-found")
            made = Organisation(new_id(), code, name, None if parent is None else parent.id, now)
            await queries.insert_organisation(tx, made)
            await self._audit.append(
                tx,
                "identity.organisation_created",
                organisation=made.id,
                actor="operator",
                subject=made.id,
                body={"code": code},
            )
            return made

        try:
            return await self._db.transact(body)
        except Conflict:
            raise Refused("organisation-known") from None

    async def organisations(self) -> list[Organisation]:
        """All, for the command line."""
        return await queries.organisations(self._db)

    async def organisation(self, organisation: str) -> Organisation:
        """By id. Raises: Refused("not-found")."""
        return _found(await queries.organisation_by_id(self._db, organisation))

    async def organisation_by_code(self, code: str) -> Organisation:
        """Raises: Refused("not-found")."""
        return _found(await queries.organisation_by_code(self._db, code))

    async def create_person(
        self,
        actor: Actor,
        *,
        name: str,
        position: str = "",
        authority_line: str = "",
        locale: str = "vi",
        roles: Iterable[Role] = (),
        once: Once | None = None,
    ) -> Person:
        """A person of the actor's organisation. `authority_line` stands above the name in a signature block (KT., TL., ...).

        Raises: Refused("invalid-request") for empty or unprintable texts.
        """
        made = Person(
            new_id(), actor.organisation, clean(name), clean(position, empty=True), clean(authority_line, empty=True),
            PersonState.ACTIVE, locale, self._clock.now_us(), tuple(sorted(set(roles))),
        )  # fmt: skip

        async def body(tx: Transaction) -> Person:
            if once is not None and (kept := await once.claim(tx)) is not None:
                return msgspec.json.decode(kept, type=Person)
            await queries.insert_person(tx, made)
            for role in made.roles:
                await queries.insert_role(tx, made.id, role, actor.id, made.created_us)
            await self._log(tx, "identity.person_created", actor, made.id, {"roles": list(made.roles)})
            if once is not None:
                await once.settle(tx, msgspec.json.encode(made))
            return made

        return await self._db.transact(body)

    async def person(self, actor: Actor, person: str) -> Person:
        """Raises: Refused("not-found"), alike for foreign and unknown (C1)."""
        return _found(await queries.person(self._db, actor.organisation, person))

    async def people(self, actor: Actor, *, after: tuple[str, str] = ("", ""), limit: int = 50) -> list[Person]:
        """In order of (name, id), after the given pair."""
        return await queries.people_page(self._db, actor.organisation, *after, limit)

    async def grant_role(self, actor: Actor, person: str, role: Role) -> None:
        """Raises: Refused("not-found")."""

        async def body(tx: Transaction) -> None:
            await self._active_person(tx, actor.organisation, person)
            if await queries.insert_role(tx, person, role, actor.id, self._clock.now_us()):
                await self._log(tx, "identity.role_granted", actor, person, {"role": role})

        await self._db.transact(body)

    async def withdraw_role(self, actor: Actor, person: str, role: Role) -> None:
        """Raises: Refused("not-found"), Refused("last-administrator")."""

        async def body(tx: Transaction) -> None:
            await self._active_person(tx, actor.organisation, person)
            if role is Role.ADMINISTRATOR and not await queries.other_administrators(tx, actor.organisation, person):
                raise Refused("last-administrator")
            if await queries.delete_role(tx, person, role):
                for hook in self._on_role_withdrawn:
                    await hook(tx, person, role)
                await self._log(tx, "identity.role_withdrawn", actor, person, {"role": role})

        await self._db.transact(body)

    async def end_person(self, actor: Actor, person: str) -> None:
        """The person left: every device is revoked, no session works from here on. The row stays, for what was signed.

        Raises: Refused("not-found"), Refused("last-administrator").
        """
        now = self._clock.now_us()

        async def body(tx: Transaction) -> None:
            who = await self._active_person(tx, actor.organisation, person)
            if Role.ADMINISTRATOR in who.roles and not await queries.other_administrators(
                tx, actor.organisation, person
            ):
                raise Refused("last-administrator")
            await queries.set_person_state(tx, actor.organisation, person, PersonState.LEFT)
            for device in await queries.devices_of(tx, actor.organisation, person):
                await self._revoke(tx, actor, device, now)
            await self._log(tx, "identity.person_left", actor, person, {})

        await self._db.transact(body)

    @staticmethod
    async def _active_person(tx: Transaction, organisation: str, person: str) -> Person:
        found = _found(await queries.person(tx, organisation, person))
        if found.state is not PersonState.ACTIVE:
            raise Refused("not-found")
        return found

    # -- Service clients --------------------------------------------------------------------------------------------

    async def create_client(
        self, actor: Actor, *, name: str, scopes: Collection[str], once: Once | None = None
    ) -> NewClient:
        """A system that calls for the actor's organisation. The secret is in the answer only.

        Raises: Refused("scope-invalid").
        """
        secret, client, now, name = client_secret(), new_id(), self._clock.now_us(), clean(name)
        if not scopes or not set(scopes) <= set(Scope):
            raise Refused("scope-invalid", error="invalid_scope")
        wanted = " ".join(sorted(scopes))
        once = None if once is None else once.sealed(self._keys)

        async def body(tx: Transaction) -> NewClient:
            if once is not None and (kept := await once.claim(tx)) is not None:
                known, again = msgspec.json.decode(kept, type=tuple[str, str])
                return NewClient(known, Secret(again))
            await queries.insert_client(
                tx,
                client=client,
                organisation=actor.organisation,
                name=name,
                secret_hash=secret.digest(),
                scopes=wanted,
                now_us=now,
            )
            await self._log(tx, "identity.client_created", actor, client, {"scopes": wanted})
            if once is not None:
                await once.settle(tx, msgspec.json.encode((client, secret.reveal())))
            return NewClient(client, secret)

        return await self._db.transact(body)

    async def clients(self, actor: Actor) -> list[Row]:
        """Rows id, name, scopes, state, created_us."""
        return await queries.clients(self._db, actor.organisation)

    async def revoke_client(self, actor: Actor, client: str) -> None:
        """The client and its tokens are void at once. Raises: Refused("not-found")."""

        async def body(tx: Transaction) -> None:
            row = await queries.client(tx, client)
            if row is None or row["organisation"] != actor.organisation:
                raise Refused("not-found")
            if await queries.revoke_client(tx, actor.organisation, client):
                await self._log(tx, "identity.client_revoked", actor, client, {})

        await self._db.transact(body)

    async def client_tokens(
        self, client: str, secret: str, *, scope: str | None, proof: Proof | None
    ) -> tuple[Tokens, str]:
        """A client's access token (RFC 6749 §4.4) and its scopes; bound to the proof's key if there is a proof.

        Raises: Refused("client-invalid") alike for unknown client, wrong secret and revoked client; Refused("scope-invalid").
        """
        row = await queries.client(self._db, client)
        matches = same_digest(Secret(secret).digest(), _NO_SECRET if row is None else row["secret_hash"])
        if row is None or not matches or row["state"] != "active":
            raise Refused("client-invalid", error="invalid_client")
        granted = set(row["scopes"].split())
        wanted = granted if scope is None else set(scope.split())
        if not wanted or not wanted <= granted:
            raise Refused("scope-invalid", error="invalid_scope")
        token, scopes = service_token(), " ".join(sorted(wanted))
        expires = self._clock.now_us() + self._settings.access_seconds * SECOND_US

        async def body(tx: Transaction) -> None:
            if proof is not None:
                await self._spend(tx, proof)
            fresh = await queries.client(tx, client)
            if fresh is None or fresh["state"] != "active":
                raise Refused("client-invalid", error="invalid_client")
            await queries.insert_client_token(
                tx, token_hash=token.digest(), client_id=client, scopes=scopes,
                bound_key=None if proof is None else proof.thumbprint, expires_us=expires,
            )  # fmt: skip

        await self._db.transact(body)
        return Tokens(token, None, expires, self._settings.access_seconds, bound=proof is not None), scopes

    async def sweep(self, tx: Transaction) -> int:
        """Forget ended proofs, tokens and codes; the number of rows."""
        return await queries.sweep(tx, self._clock.now_us())

    async def _log(self, tx: Transaction, kind: str, actor: Actor, subject: str, body: dict[str, Any]) -> None:
        await self._audit.append(tx, kind, organisation=actor.organisation, actor=actor.id, subject=subject, body=body)


def clean(text: str, *, empty: bool = False) -> str:
    """The text in NFC without outer space.

    Raises: Refused("invalid-request") when it is empty or holds control, bidi or other unprintable characters (threat B11).
    """
    text = unicodedata.normalize("NFC", text).strip()
    if not text.isprintable() or not (text or empty):
        raise Refused("invalid-request", detail="a text is empty or holds unprintable characters")
    return text


def _own_device(actor: Actor) -> str:
    if actor.device is None:
        raise Refused("forbidden")
    return actor.device


def _found(value: T | None) -> T:
    if value is None:
        raise Refused("not-found")
    return value


def _device(rows: list[Row], proof: Proof) -> tuple[Actor, int] | None:
    if not rows or not same_digest(rows[0]["session_key"], proof.thumbprint):
        return None
    row = rows[0]
    roles = frozenset(Role(each["role"]) for each in rows if each["role"] is not None)
    actor = Actor(
        "person",
        row["person"],
        row["organisation"],
        roles,
        frozenset(),
        row["device"],
        row["session_key"],
        bool(row["office"]),
    )
    return actor, row["expires_us"]
