"""What the socket can ask: every request of `wire`, answered from the store. `Activations` does those that take a
PIN.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from signing.core import wire
from signing.core.activation import (
    _STATES,
    Activations,
    Limits,
    Newcomer,
    check_join,
    fresh_device,
    inner_context,
    new_holder,
)
from signing.core.clock import SignerClock
from signing.core.codec import CodecError, b64u, sha256, thumbprint, unb64u
from signing.core.errors import (
    Busy,
    CredentialExists,
    DeviceRevoked,
    MalformedRequest,
    UnknownCredential,
    UnknownDevice,
    VoucherSpent,
)
from signing.core.keys import Keys, challenge_time
from signing.core.model import (
    CHALLENGE_LIFE_US,
    FRAME_LIMIT,
    Activation,
    ActivationState,
    ChallengeGrant,
    ChallengeId,
    CredentialId,
    DeviceId,
    DeviceState,
    DeviceStatus,
    Enrolment,
    HolderState,
    HolderStatus,
    KeyType,
    LogEvents,
    LogHead,
    Outcome,
    Status,
    VoucherKind,
)
from signing.core.pin import tries_left
from signing.core.store import (
    ActivationRow,
    CredentialRow,
    DeviceRow,
    Event,
    HolderRow,
    RevokedRow,
    Store,
    Tx,
    VoucherRow,
)
from signing.core.trust import Trust

T = TypeVar("T")
RESULT_LIFE_US = 90 * 86_400_000_000
"""How long an activation's result can be asked for; the log keeps its events for ever."""


class Service:
    """One signer over an opened store. Raises `SignerError`s; everything else is a defect."""

    def __init__(self, store: Store, keys: Keys, trust: Trust, limits: Limits, clock: SignerClock) -> None:
        self._store, self._keys, self._trust, self._limits, self._clock = store, keys, trust, limits, clock
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, "derive")
        self._enrolling: set[str] = set()
        self.activations = Activations(store, keys, trust, limits, clock, self._pool)

    async def start(self) -> None:
        """Settle what a crash left: running activations are void, an ended holder's envelope is destroyed."""

        def body(tx: Tx) -> None:
            now = self._clock.now_us()
            for row in tx.find(ActivationRow, "state", "charged"):
                tx.put(msgspec.structs.replace(row, state="void"))
                tx.log(Event(event="void", time_us=now, credential=row.credential, challenge=row.challenge))
            for holder in tx.find(HolderRow, "state", HolderState.ENDED):
                if holder.envelope:
                    tx.put(msgspec.structs.replace(holder, envelope=b""))
                    tx.scrub()
            tx.log(Event(event="started", time_us=now))

        await self._commit(body)

    async def stop(self) -> None:
        await self.activations.settle()
        self._pool.shutdown()
        await asyncio.to_thread(self._store.close)

    async def prune(self) -> None:
        """Forget results older than `RESULT_LIFE_US`, some at a time."""

        def body(tx: Tx) -> int:
            rows = tx.finished_before(self._clock.now_us() - RESULT_LIFE_US, 500)
            for row in rows:
                tx.delete(row)
            return len(rows)

        while await self._commit(body) == 500:
            pass

    async def handle(self, request: wire.Request) -> object:
        match request:
            case wire.ActivateRequest():
                return await self.activations.activate(request)
            case wire.ChallengeRequest(credential, device):
                return self._grant(self._challenge(credential, device))
            case wire.SealingKeyRequest():
                return self._grant(ChallengeId(""))
            case wire.EnrolRequest():
                return await self._enrol(request)
            case wire.ImportCertificateRequest():
                return await self._durably(lambda tx: self._import(tx, request))
            case wire.ResultRequest(challenge):
                return await self._commit(lambda tx: _outcome(tx.get(ActivationRow, challenge)))
            case wire.VoidRequest(challenge):
                return await self._durably(lambda tx: self._void(tx, challenge))
            case wire.StatusRequest(credential):
                return await self._commit(lambda tx: self._status(tx, credential))
            case wire.RevokeDeviceRequest(credential, device):
                return await self._durably(lambda tx: self._revoke(tx, credential, device))
            case wire.FreezeRequest(credential, frozen):
                return await self._durably(lambda tx: self._freeze(tx, credential, int(frozen)))
            case wire.ReactivateRequest(voucher):
                return await self._durably(lambda tx: self._reactivate(tx, voucher))
            case wire.LogHeadRequest():
                return LogHead(self._store.heads.current, self._keys.identity_jwk)
            case wire.LogEventsRequest(start, count):
                return await self._commit(lambda tx: _events(tx, start, count))

    def _grant(self, challenge: ChallengeId) -> ChallengeGrant:
        return ChallengeGrant(challenge, self._keys.statement(self._clock.now_us()), self._keys.identity_jwk)

    def _challenge(self, credential: str, device: str) -> ChallengeId:
        try:
            unb64u(credential, 16)
            unb64u(device, 32)
        except CodecError as error:
            raise MalformedRequest(str(error)) from error
        return self._keys.challenges.issue(credential, device, self._clock.checked_us())

    # Enrolment and certificate. ---------------------------------------------------------------------------------------

    async def _enrol(self, request: wire.EnrolRequest) -> Enrolment:
        voucher = self._trust.voucher(request.voucher, VoucherKind.ENROL, self._clock.checked_us())
        newcomer = check_join(self._keys, voucher, request.voucher, request.join, request.sealed_pin)
        done = await self._commit(lambda tx: self._enrolled(tx, newcomer))
        if done is not None:
            return done
        if voucher.credential in self._enrolling or len(self._enrolling) >= self._limits.queue:
            raise Busy("an enrolment runs")
        self._enrolling.add(voucher.credential)
        try:
            rows = await asyncio.get_running_loop().run_in_executor(self._pool, lambda: self._make(newcomer))
            return await self._durably(lambda tx: self._insert(tx, newcomer, *rows))
        finally:
            self._enrolling.discard(voucher.credential)

    def _enrolled(self, tx: Tx, newcomer: Newcomer) -> Enrolment | None:
        """The answer of the same voucher and join before, or None. The rest of what forbids this voucher is checked
        too.
        """
        spent = tx.get(VoucherRow, newcomer.voucher_sha256)
        existing = tx.get(CredentialRow, newcomer.voucher.credential)
        if spent is not None and existing is not None and spent.join_sha256 == newcomer.join_sha256:
            return Enrolment(CredentialId(existing.credential), existing.csr)
        if spent is not None:
            raise VoucherSpent
        if existing is not None:
            raise CredentialExists
        fresh_device(tx, newcomer.voucher)
        return None

    def _make(self, newcomer: Newcomer) -> tuple[CredentialRow, HolderRow]:
        voucher = newcomer.voucher
        context = inner_context(voucher.organisation, voucher.credential)
        inner, public_key, csr = self._keys.custody.generate(voucher.key_type, voucher.subject, context)
        credential = CredentialRow(
            credential=voucher.credential,
            organisation=voucher.organisation,
            key_type=voucher.key_type,
            subject=voucher.subject,
            public_key=public_key,
            csr=csr,
            certificate=b"",
            chain=msgspec.msgpack.encode(()),
            frozen=0,
        )
        return credential, new_holder(self._keys, self._limits.argon, newcomer, inner)

    def _insert(self, tx: Tx, newcomer: Newcomer, credential: CredentialRow, holder: HolderRow) -> Enrolment:
        done = self._enrolled(tx, newcomer)
        if done is not None:
            return done
        now = self._clock.now_us()
        device = fresh_device(tx, newcomer.voucher)
        for row in (
            credential,
            holder,
            device,
            _spent(newcomer.voucher_sha256, VoucherKind.ENROL, device, now, newcomer),
        ):
            tx.put(row)
        tx.log(_about("enrolled", now, credential, device, newcomer.voucher_sha256))
        return Enrolment(CredentialId(credential.credential), credential.csr)

    def _import(self, tx: Tx, request: wire.ImportCertificateRequest) -> None:
        now = self._clock.checked_us()
        credential = _credential(tx, request.credential)
        self._trust.check_certificate(
            request.certificate,
            request.chain,
            subject=credential.subject,
            public_key=credential.public_key,
            key_type=KeyType(credential.key_type),
            now_us=now,
        )
        changed = msgspec.structs.replace(
            credential, certificate=request.certificate, chain=msgspec.msgpack.encode(request.chain)
        )
        if changed != credential:
            tx.put(changed)
            tx.log(_about("certificate", now, credential, detail=b64u(sha256(request.certificate))))

    # Fences. ----------------------------------------------------------------------------------------------------------

    def _void(self, tx: Tx, challenge: str) -> Outcome:
        now, issued = self._clock.now_us(), challenge_time(challenge)
        row = tx.get(ActivationRow, challenge)
        if row is None:
            if now - issued >= CHALLENGE_LIFE_US:
                return Outcome(ActivationState.VOID)  # can no longer begin, so it needs no fence
            row = ActivationRow(
                challenge=challenge,
                kind="",
                credential="",
                person="",
                device="",
                approval_sha256="",
                state="charged",
                epoch=0,
                time_us=now,
                result=b"",
            )
        if row.state == "charged":
            row = msgspec.structs.replace(row, state="void")
            tx.put(row)
            tx.log(Event(event="fenced", time_us=now, credential=row.credential, challenge=challenge))
        return _outcome(row)

    def _revoke(self, tx: Tx, credential: str, device: str) -> None:
        row = tx.get(DeviceRow, credential, device)
        if row is None:
            raise UnknownDevice
        if row.state == DeviceState.REVOKED:
            return
        now = self._clock.now_us()
        tx.put(msgspec.structs.replace(row, state=DeviceState.REVOKED))
        tx.put(RevokedRow(device=device, time_us=now))
        tx.log(_about("device_revoked", now, _credential(tx, credential), row))

    def _freeze(self, tx: Tx, credential: str, frozen: int) -> None:
        row = _credential(tx, credential)
        if row.frozen != frozen:
            tx.put(msgspec.structs.replace(row, frozen=frozen))
            tx.log(_about("frozen" if frozen else "unfrozen", self._clock.now_us(), row))

    def _reactivate(self, tx: Tx, text: str) -> None:
        now = self._clock.checked_us()
        voucher = self._trust.voucher(text, VoucherKind.REACTIVATE, now)
        text_hash, device_id = b64u(sha256(text.encode())), thumbprint(voucher.approval_key)
        if tx.get(VoucherRow, text_hash) is not None:
            raise VoucherSpent
        credential = _credential(tx, voucher.credential)
        holder = tx.get(HolderRow, voucher.credential, voucher.person)
        device = tx.get(DeviceRow, voucher.credential, device_id)
        if holder is None or device is None or device.person != voucher.person:
            raise UnknownDevice
        if credential.organisation != voucher.organisation:
            raise UnknownCredential
        if device.state == DeviceState.REVOKED:
            raise DeviceRevoked
        if holder.state == HolderState.SUSPENDED:
            tx.put(msgspec.structs.replace(holder, state=HolderState.ACTIVE))
        tx.put(msgspec.structs.replace(device, state=DeviceState.ACTIVE))
        tx.put(_spent(text_hash, VoucherKind.REACTIVATE, device, now))
        tx.log(_about("reactivated", now, credential, device, text))

    # Reading. ---------------------------------------------------------------------------------------------------------

    def _status(self, tx: Tx, credential: str) -> Status:
        row, now = _credential(tx, credential), self._clock.now_us()
        devices = tx.find(DeviceRow, "credential", credential)
        holders = tuple(
            HolderStatus(
                holder.person,
                HolderState(holder.state),
                tries_left(self._limits.ladder, holder.failures, holder.locked_until_us, now),
                holder.locked_until_us if holder.locked_until_us > now else 0,
                tuple(
                    DeviceStatus(DeviceId(device.device), DeviceState(device.state))
                    for device in devices
                    if device.person == holder.person
                ),
            )
            for holder in tx.find(HolderRow, "credential", credential)
        )
        return Status(
            credential=CredentialId(row.credential),
            organisation=row.organisation,
            key_type=KeyType(row.key_type),
            subject=row.subject,
            csr=row.csr,
            certificate=row.certificate,
            chain=msgspec.msgpack.decode(row.chain, type=tuple[bytes, ...]),
            frozen=bool(row.frozen),
            holders=holders,
        )

    async def _commit(self, body: Callable[[Tx], T]) -> T:
        return await asyncio.wrap_future(self._store.write(body))

    async def _durably(self, body: Callable[[Tx], T]) -> T:
        """A change is answered when its head is on the other volume."""
        value, sequence = await self._commit(lambda tx: (body(tx), tx.sequence))
        await asyncio.wrap_future(self._store.heads.durable(sequence))
        return value


def _credential(tx: Tx, credential: str) -> CredentialRow:
    row = tx.get(CredentialRow, credential)
    if row is None:
        raise UnknownCredential
    return row


def _outcome(row: ActivationRow | None) -> Outcome:
    if row is None:
        return Outcome(ActivationState.UNKNOWN)
    state = _STATES[row.state]
    signed = state is ActivationState.SIGNED
    return Outcome(state, msgspec.msgpack.decode(row.result, type=Activation) if signed else None)


def _events(tx: Tx, start: int, count: int) -> LogEvents:
    room, events = FRAME_LIMIT - 4096, []
    for body in tx.events(max(start, 0), min(count, 1000)):
        room -= len(body) + 8
        if room < 0:
            break
        events.append(body)
    return LogEvents(start, tuple(events))


def _spent(
    text_hash: str, kind: VoucherKind, device: DeviceRow, now: int, newcomer: Newcomer | None = None
) -> VoucherRow:
    join = newcomer.join_sha256 if newcomer else ""
    return VoucherRow(voucher=text_hash, kind=kind, credential=device.credential, join_sha256=join, time_us=now)


def _about(name: str, now: int, credential: CredentialRow, device: DeviceRow | None = None, detail: str = "") -> Event:
    return Event(
        event=name,
        time_us=now,
        organisation=credential.organisation,
        credential=credential.credential,
        person=device.person if device else "",
        device=device.device if device else "",
        detail=detail,
    )
