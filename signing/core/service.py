"""What the socket can ask: every request of `wire`, answered from the store. `Activations` does those that take a
PIN.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from signing.core import errors, model, wire
from signing.core.activation import Activations, Limits, destroy_ended, end, state_of
from signing.core.admission import Newcomer, check_join, fresh_device, inner_context, new_holder, spend
from signing.core.clock import SignerClock
from signing.core.codec import b64u, refused_as, sha256, thumbprint, unb64u
from signing.core.keys import Keys, challenge_time
from signing.core.model import ActivationState, ChallengeId, CredentialId, DeviceState, HolderState, KeyType
from signing.core.pin import tries_left
from signing.core.rows import ActivationRow, CredentialRow, DeviceRow, Event, HolderRow, RevokedRow, VoucherRow
from signing.core.store import Store, Tx
from signing.core.trust import Trust

RESULT_LIFE_US = 90 * 86_400_000_000
"""How long an activation's result can be asked for; the log keeps its events for ever."""


T = TypeVar("T")


class Service:
    """One signer over an opened store. Raises `SignerError`s; everything else is a defect.

    Every request runs in a thread from its first byte to its last commit: each hand-over between threads would cost more
    than the cryptography between two of them. `requests`: how many may come at once.
    """

    def __init__(
        self, store: Store, keys: Keys, trust: Trust, limits: Limits, clock: SignerClock, requests: int = 256
    ) -> None:
        self._store, self._keys, self._trust, self._limits, self._clock = store, keys, trust, limits, clock
        self._enrolling: set[str] = set()
        self._entering = threading.Lock()
        self.activations = Activations(store, keys, trust, limits, clock)
        self._threads = ThreadPoolExecutor(requests, "request")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Ends whatever becomes of its caller: after G1 an activation does."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def start(self) -> None:
        """Settle what a crash left: running activations are void, an ended holder's envelope is destroyed."""

        def body(tx: Tx) -> None:
            now = self._clock.now_us()
            for row in tx.find(ActivationRow, "state = ?", "charged"):
                end(tx, row, ActivationState.VOID)
                tx.log(Event(event="void", time_us=now, credential=row.credential, challenge=row.challenge))
            for holder in tx.find(HolderRow, "state = ?", HolderState.ENDED):
                destroy_ended(tx, holder)
            tx.log(Event(event="started", time_us=now))

        await self._in_thread(lambda: self._store.durably(body))

    async def stop(self) -> None:
        """Let what runs come to its end, then close the store."""
        await asyncio.to_thread(self._threads.shutdown)
        self.activations.close()
        self._store.close()

    async def prune(self) -> None:
        """Forget results older than `RESULT_LIFE_US`, some at a time."""

        def body(tx: Tx) -> int:
            before = self._clock.now_us() - RESULT_LIFE_US
            rows = tx.find(ActivationRow, "time_us < ? ORDER BY time_us LIMIT 500", before)
            for row in rows:
                tx.delete(row)
            return len(rows)

        while await self._in_thread(lambda: self._store.durably(body)) == 500:
            pass

    async def handle(self, request: wire.Request) -> object:
        return await self._in_thread(lambda: self._answer(request))

    def _answer(self, request: wire.Request) -> object:
        write, durably = self._store.write, self._store.durably
        match request:
            case wire.ActivateRequest():
                return self.activations.activate(request)
            case wire.ChallengeRequest(credential, device):
                return self._grant(self._challenge(credential, device))
            case wire.SealingKeyRequest():
                return self._grant(ChallengeId(""))
            case wire.EnrolRequest():
                return self._enrol(request)
            case wire.ImportCertificateRequest():
                return durably(lambda tx: self._import(tx, request))
            case wire.ResultRequest(challenge):
                return durably(lambda tx: _outcome(tx.get(ActivationRow, challenge)))  # it may hold signatures
            case wire.VoidRequest(challenge):
                return durably(lambda tx: self._void(tx, challenge))
            case wire.StatusRequest(credential):
                return write(lambda tx: self._status(tx, credential))
            case wire.RevokeDeviceRequest(credential, device):
                return durably(lambda tx: self._revoke(tx, credential, device))
            case wire.FreezeRequest(credential, frozen):
                return durably(lambda tx: self._freeze(tx, credential, int(frozen)))
            case wire.ReactivateRequest(voucher):
                return durably(lambda tx: self._reactivate(tx, voucher))
            case wire.LogHeadRequest():
                return model.LogHead(self._store.heads.current, self._keys.identity_jwk)
            case wire.LogEventsRequest(start, count):
                return write(lambda tx: _events(tx, start, count))

    def _grant(self, challenge: ChallengeId) -> model.ChallengeGrant:
        return model.ChallengeGrant(challenge, self._keys.statement(self._clock.now_us()), self._keys.identity_jwk)

    def _challenge(self, credential: str, device: str) -> ChallengeId:
        with refused_as(errors.MalformedRequest):
            unb64u(credential, 16)
            unb64u(device, 32)
        return self._keys.challenges.issue(credential, device, self._clock.checked_us())

    # Enrolment and certificate. ---------------------------------------------------------------------------------------

    def _enrol(self, request: wire.EnrolRequest) -> model.Enrolment:
        voucher = self._trust.voucher(request.voucher, model.VoucherKind.ENROL, self._clock.checked_us())
        newcomer = check_join(self._keys, voucher, request.voucher, request.join, request.sealed_pin)
        done = self._store.durably(lambda tx: _enrolled(tx, newcomer))
        if done is not None:
            return done
        with self._entering:
            if voucher.credential in self._enrolling or len(self._enrolling) >= self._limits.queue:
                raise errors.Busy("an enrolment runs")
            self._enrolling.add(voucher.credential)
        try:
            with self.activations.cores:
                rows = self._make(newcomer)
            return self._store.durably(lambda tx: self._insert(tx, newcomer, *rows))
        finally:
            self._enrolling.discard(voucher.credential)

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
        )
        return credential, new_holder(self._keys, self._limits.argon, newcomer, inner)

    def _insert(self, tx: Tx, newcomer: Newcomer, credential: CredentialRow, holder: HolderRow) -> model.Enrolment:
        done = _enrolled(tx, newcomer)
        if done is not None:
            return done
        now, device = self._clock.now_us(), fresh_device(tx, newcomer.voucher)
        for row in (credential, holder, device):
            tx.put(row)
        spend(tx, newcomer.voucher, newcomer.voucher_sha256, now, newcomer)
        tx.log_about("enrolled", now, credential, device, newcomer.voucher_sha256)
        return model.Enrolment(CredentialId(credential.credential), credential.csr)

    def _import(self, tx: Tx, request: wire.ImportCertificateRequest) -> None:
        now, credential = self._clock.checked_us(), _credential(tx, request.credential)
        certificate, chain, key = request.certificate, request.chain, credential.public_key
        self._trust.check_certificate(certificate, chain, subject=credential.subject, public_key=key, now_us=now)
        changed = replace(credential, certificate=certificate, chain=msgspec.msgpack.encode(chain))
        if changed != credential:
            tx.put(changed)
            tx.log_about("certificate", now, credential, detail=b64u(sha256(certificate)))

    # Fences. ----------------------------------------------------------------------------------------------------------

    def _void(self, tx: Tx, challenge: str) -> model.Outcome:
        now, issued = self._clock.now_us(), challenge_time(challenge)
        row = tx.get(ActivationRow, challenge)
        if row is None:
            if now - issued >= model.CHALLENGE_LIFE_US:
                return model.Outcome(ActivationState.VOID)  # can no longer begin, so it needs no fence
            row = ActivationRow(challenge=challenge, state="charged", time_us=now)
        if row.state == "charged":
            row = replace(row, state="void")
            tx.put(row)
            tx.log(Event(event="fenced", time_us=now, credential=row.credential, challenge=challenge))
        return _outcome(row)

    def _revoke(self, tx: Tx, credential: str, device: str) -> None:
        row = tx.need(errors.UnknownDevice(), DeviceRow, credential, device)
        if row.state == DeviceState.REVOKED:
            return
        now = self._clock.now_us()
        tx.put(replace(row, state=DeviceState.REVOKED))
        tx.put(RevokedRow(device=device, time_us=now))
        tx.log_about("device_revoked", now, _credential(tx, credential), row)

    def _freeze(self, tx: Tx, credential: str, frozen: int) -> None:
        row = _credential(tx, credential)
        if row.frozen != frozen:
            tx.put(replace(row, frozen=frozen))
            tx.log_about("frozen" if frozen else "unfrozen", self._clock.now_us(), row)

    def _reactivate(self, tx: Tx, text: str) -> None:
        now = self._clock.checked_us()
        voucher, text_hash = self._trust.voucher(text, model.VoucherKind.REACTIVATE, now), b64u(sha256(text.encode()))
        if tx.get(VoucherRow, text_hash) is not None:
            raise errors.VoucherSpent
        credential = _credential(tx, voucher.credential)
        holder = tx.need(errors.UnknownDevice(), HolderRow, voucher.credential, voucher.person)
        device_id = thumbprint(voucher.approval_key)
        device = tx.need(errors.UnknownDevice(), DeviceRow, voucher.credential, device_id)
        if device.person != voucher.person:
            raise errors.UnknownDevice
        if credential.organisation != voucher.organisation:
            raise errors.UnknownCredential
        if device.state == DeviceState.REVOKED:
            raise errors.DeviceRevoked
        if holder.state == HolderState.SUSPENDED:
            tx.put(replace(holder, state=HolderState.ACTIVE))
        tx.put(replace(device, state=DeviceState.ACTIVE))
        spend(tx, voucher, text_hash, now)
        tx.log_about("reactivated", now, credential, device, text)

    # Reading. ---------------------------------------------------------------------------------------------------------

    def _status(self, tx: Tx, credential: str) -> model.Status:
        row = _credential(tx, credential)
        devices = tx.find(DeviceRow, "credential = ?", credential)
        holders = tx.find(HolderRow, "credential = ?", credential)
        return model.Status(
            CredentialId(row.credential),
            row.organisation,
            KeyType(row.key_type),
            row.subject,
            row.csr,
            row.certificate,
            msgspec.msgpack.decode(row.chain, type=tuple[bytes, ...]),
            bool(row.frozen),
            tuple(self._holder_status(holder, devices) for holder in holders),
        )

    def _holder_status(self, holder: HolderRow, devices: list[DeviceRow]) -> model.HolderStatus:
        now, until = self._clock.now_us(), holder.locked_until_us
        left = tries_left(self._limits.ladder, holder.failures, until, now)
        theirs = [device for device in devices if device.person == holder.person]
        states = tuple(model.DeviceStatus(model.DeviceId(one.device), DeviceState(one.state)) for one in theirs)
        return model.HolderStatus(holder.person, HolderState(holder.state), left, until if until > now else 0, states)


def _credential(tx: Tx, credential: str) -> CredentialRow:
    return tx.need(errors.UnknownCredential(), CredentialRow, credential)


def _enrolled(tx: Tx, newcomer: Newcomer) -> model.Enrolment | None:
    """The answer of the same voucher and join before, or None. The rest of what forbids this voucher is checked
    too.
    """
    spent = tx.get(VoucherRow, newcomer.voucher_sha256)
    existing = tx.get(CredentialRow, newcomer.voucher.credential)
    if spent is not None and existing is not None and spent.join_sha256 == newcomer.join_sha256:
        return model.Enrolment(CredentialId(existing.credential), existing.csr)
    if spent is not None:
        raise errors.VoucherSpent
    if existing is not None:
        raise errors.CredentialExists
    fresh_device(tx, newcomer.voucher)
    return None


def _outcome(row: ActivationRow | None) -> model.Outcome:
    if row is None:
        return model.Outcome(ActivationState.UNKNOWN)
    if row.state != "signed":
        return model.Outcome(state_of(row))
    return model.Outcome(ActivationState.SIGNED, msgspec.msgpack.decode(row.result, type=model.Activation))


def _events(tx: Tx, start: int, count: int) -> model.LogEvents:
    room, events = model.FRAME_LIMIT - 4096, []
    for body in tx.events(max(start, 0), min(count, 1000)):
        room -= len(body) + 8
        if room < 0:
            break
        events.append(body)
    return model.LogEvents(start, tuple(events))
