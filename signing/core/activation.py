"""Activations: one approval, one PIN, one effect. G1 charges a try durably before the PIN is looked at, G3 makes the
effect and its record one commit, and nothing is answered before a head of it is on the other volume (A5, A6, A7, A10,
A12).

Everything that decides whether a try is charged stands in `_admit`, inside G1's transaction, in the order of its
cost: what the store says (locked, ended, busy) before any signature is verified, signatures before the sealed PIN is
opened.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
from cryptography.x509 import load_der_x509_certificate

from signing.core import cms, crash
from signing.core.clock import SignerClock
from signing.core.codec import CodecError, PublicJwk, Unverified, b64u, lp, parse_jws, sha256, thumbprint, unb64u
from signing.core.custody import KeyMismatch
from signing.core.envelope import Argon, Binding, Envelope, PinMismatch, derive, open_envelope, seal_envelope
from signing.core.errors import (
    ApprovalInvalid,
    Busy,
    CertificateMissing,
    ChallengeUsed,
    CredentialExists,
    DeviceRevoked,
    Ended,
    Frozen,
    KindRefused,
    Locked,
    OrganisationRefused,
    PinMalformed,
    SignerError,
    Suspended,
    Tampered,
    UnknownCredential,
    UnknownDevice,
    Void,
    VoucherSpent,
    WrongPin,
)
from signing.core.keys import Keys
from signing.core.model import (
    APPROVAL_TYP,
    MAX_ITEMS,
    VOUCHER_TYP,
    Activation,
    ActivationState,
    Approval,
    ChallengeId,
    CredentialId,
    DeviceState,
    HolderState,
    KeyType,
    Kind,
    Signature,
    Voucher,
    VoucherKind,
)
from signing.core.pin import Ladder, Pin, charge, check_choice, tries_left
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
from signing.core.trust import Trust, valid_at
from signing.core.wire import ActivateRequest

T = TypeVar("T")
_KINDS = (Kind.DOCUMENT, Kind.CHANGE_PIN, Kind.ADD_DEVICE, Kind.ADD_HOLDER)


class Limits(msgspec.Struct, frozen=True):
    ladder: Ladder
    argon: Argon
    queue: int


class Newcomer(msgspec.Struct, frozen=True):
    """Whoever a voucher admits, with the first PIN that the join sealed."""

    voucher: Voucher
    voucher_sha256: str
    join_sha256: str
    pin: Pin


class Charge(msgspec.Struct, frozen=True):
    """What G1 committed: enough to derive, open, act and finish. Lives in memory only."""

    sequence: int
    activation: ActivationRow
    credential: CredentialRow
    holder: HolderRow
    approval: Approval
    pin: Pin
    new_pin: Pin | None
    voucher: Voucher | None
    newcomer: Newcomer | None


def inner_context(organisation: str, credential: str) -> bytes:
    return lp("hoatoc-key-v1", organisation, credential)


def binding(keys: Keys, organisation: str, holder: HolderRow) -> Binding:
    custody = keys.custody
    return Binding(organisation, holder.credential, holder.person, holder.epoch, custody.pepper_id, custody.custody_id)


def new_holder(keys: Keys, argon: Argon, newcomer: Newcomer, inner: bytes) -> HolderRow:
    """A holder with an envelope of its own around the credential's key; derives."""
    voucher = newcomer.voucher
    holder = HolderRow(
        credential=voucher.credential,
        person=voucher.person,
        state=HolderState.ACTIVE,
        epoch=1,
        failures=0,
        locked_until_us=0,
        pin_forbidden=" ".join(voucher.pin_forbidden),
        envelope=b"",
    )
    envelope = seal_envelope(
        inner, newcomer.pin, binding(keys, voucher.organisation, holder), argon, keys.custody.pepper
    )
    return msgspec.structs.replace(holder, envelope=msgspec.msgpack.encode(envelope))


def fresh_device(tx: Tx, voucher: Voucher) -> DeviceRow:
    """The row of a voucher's approval key; a revoked key is never admitted again."""
    device = thumbprint(voucher.approval_key)
    if tx.get(RevokedRow, device) is not None:
        raise DeviceRevoked
    if tx.get(DeviceRow, voucher.credential, device) is not None:
        raise CredentialExists("the approval key is already admitted")
    return DeviceRow(
        credential=voucher.credential,
        device=device,
        person=voucher.person,
        key=msgspec.json.encode(voucher.approval_key),
        state=DeviceState.ACTIVE,
    )


def check_join(keys: Keys, voucher: Voucher, voucher_text: str, join: str, sealed_pin: bytes) -> Newcomer:
    """The newcomer's own signature over voucher and first sealed PIN; the PIN passes policy (A9).

    Raises ApprovalInvalid, KindRefused, PinMalformed, PinForbidden.
    """
    voucher_hash = sha256(voucher_text.encode())
    try:
        approval = parse_jws(join, APPROVAL_TYP).verify(voucher.approval_key, Approval)
    except CodecError as error:
        raise ApprovalInvalid(str(error)) from error
    if approval.kind is not Kind.JOIN:
        raise KindRefused("not a join")
    expected = Approval(
        v=1,
        kind=Kind.JOIN,
        challenge="",
        organisation=voucher.organisation,
        credential=voucher.credential,
        device=thumbprint(voucher.approval_key),
        items=(),
        pin_sha256=b64u(sha256(sealed_pin)),
        voucher_sha256=b64u(voucher_hash),
    )
    if approval != expected:
        raise ApprovalInvalid("the join is not for this voucher and sealed PIN")
    pin, second = keys.open_pin(sealed_pin, voucher.credential, voucher_hash)
    if second is not None:
        raise PinMalformed
    check_choice(pin, voucher.pin_forbidden)
    return Newcomer(voucher, b64u(voucher_hash), b64u(sha256(join.encode())), pin)


class Activations:
    """Runs activations on a store. `pool` derives and signs; one activation per holder is in flight at a time."""

    def __init__(
        self, store: Store, keys: Keys, trust: Trust, limits: Limits, clock: SignerClock, pool: ThreadPoolExecutor
    ) -> None:
        self._store, self._keys, self._trust, self._limits = store, keys, trust, limits
        self._clock, self._pool = clock, pool
        self._in_flight: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[Activation]] = set()

    async def settle(self) -> None:
        """Wait for what runs: after G1 an activation ends whatever its connection does."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def activate(self, request: ActivateRequest) -> Activation:
        """Raises the refusals of `SignerClient.activate`; see there which are charged."""
        claim, unverified = _claim(request, self._trust.organisations)
        if len(self._tasks) >= self._limits.queue:
            raise Busy("the queue is full")
        task = asyncio.get_running_loop().create_task(self._run(request, claim, unverified))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _run(self, request: ActivateRequest, claim: Approval, unverified: Unverified) -> Activation:
        entered: list[tuple[str, str]] = []

        def enter(key: tuple[str, str]) -> None:
            if key in self._in_flight:
                raise Busy("another activation of this holder runs")
            self._in_flight.add(key)
            entered.append(key)

        try:
            if not self._store.heads.healthy:
                await self._durable(self._store.state.sequence)  # nothing is charged while nothing could be signed
            crash.point("g1-before")
            charged = await self._commit(lambda tx: self._admit(tx, request, claim, unverified, enter))
            crash.point("g1-committed")
            return await self._drive(charged)
        finally:
            self._in_flight.difference_update(entered)

    async def _drive(self, charged: Charge) -> Activation:
        """From the charged try to the answer."""
        try:
            envelope = msgspec.msgpack.decode(charged.holder.envelope, type=Envelope)
            head = asyncio.ensure_future(self._durable(charged.sequence))
            derived = await self._in_pool(lambda: derive(charged.pin, envelope.salt, envelope.argon))
            crash.point("derived")
            await head  # before the verdict is used: a killed signer and a restored store must not give a free guess
            outcome = await self._in_pool(lambda: self._use(charged, envelope, derived))
            crash.point("signed")
        except PinMismatch:
            raise await self._wrong(charged) from None
        except KeyMismatch as error:
            await self._abandon(charged)
            raise Tampered("the opened key is not the certificate's") from error
        except BaseException:
            await self._abandon(charged)
            raise
        crash.point("g3-before")
        activation, sequence = await self._commit(lambda tx: self._finish(tx, charged, *outcome))
        crash.point("g3-committed")
        await self._durable(sequence)
        crash.point("head-written")
        if activation is None:
            raise Void
        return activation

    # G1. --------------------------------------------------------------------------------------------------------------

    def _admit(
        self,
        tx: Tx,
        request: ActivateRequest,
        claim: Approval,
        unverified: Unverified,
        enter: Callable[[tuple[str, str]], None],
    ) -> Charge:
        now = self._clock.checked_us()
        credential = tx.get(CredentialRow, claim.credential)
        if credential is None:
            raise UnknownCredential
        if credential.organisation != claim.organisation:
            raise OrganisationRefused
        person, key = self._approver(tx, request, claim)
        holder = tx.get(HolderRow, claim.credential, person)
        if holder is None:
            raise UnknownDevice("no such holder")
        _check_open(credential, holder, now)
        try:
            voucher = self._voucher(tx, request, claim.kind, credential, now)
            key = voucher.approval_key if voucher and claim.kind is Kind.ADD_DEVICE else key
            approval = unverified.verify(key, Approval)
        except CodecError as error:
            raise ApprovalInvalid(str(error)) from error
        self._keys.challenges.check(approval.challenge, approval.credential, approval.device, now)
        used = tx.get(ActivationRow, approval.challenge)
        if used is not None:
            raise ChallengeUsed(state=_STATES[used.state])
        if approval.kind is Kind.DOCUMENT:
            _check_certificate(credential, now)
        pin, new_pin = self._keys.open_pin(request.sealed_pin, approval.credential, unb64u(approval.challenge))
        if (new_pin is not None) != (approval.kind is Kind.CHANGE_PIN):
            raise PinMalformed
        if new_pin is not None:
            check_choice(new_pin, holder.pin_forbidden.split(), previous=pin)
        newcomer = self._newcomer(tx, request, voucher) if voucher and approval.kind is Kind.ADD_HOLDER else None
        enter((holder.credential, holder.person))
        return self._charge(
            tx,
            request,
            Charge(0, _activation_row(approval, person, holder, request, now), credential, holder, approval, pin,
            new_pin,
                   voucher, newcomer),
            now,
        )  # fmt: skip

    def _approver(self, tx: Tx, request: ActivateRequest, claim: Approval) -> tuple[str, PublicJwk]:
        """Person and key behind the approval: a device of the store, or the key that the voucher claims (checked
        later).
        """
        if claim.kind is Kind.ADD_DEVICE:
            try:
                voucher = parse_jws(request.voucher, VOUCHER_TYP).peek(Voucher)
            except CodecError as error:
                raise ApprovalInvalid("no voucher in form") from error
            return voucher.person, voucher.approval_key
        device = tx.get(DeviceRow, claim.credential, claim.device)
        if device is None:
            raise UnknownDevice
        if device.state == DeviceState.REVOKED:
            raise DeviceRevoked
        if device.state != DeviceState.ACTIVE:
            raise Suspended
        return device.person, msgspec.json.decode(device.key, type=PublicJwk)

    def _voucher(
        self, tx: Tx, request: ActivateRequest, kind: Kind, credential: CredentialRow, now: int
    ) -> Voucher | None:
        if kind not in (Kind.ADD_DEVICE, Kind.ADD_HOLDER):
            return None
        voucher = self._trust.voucher(request.voucher, VoucherKind(kind.value), now)
        if (voucher.credential, voucher.organisation) != (credential.credential, credential.organisation):
            raise ApprovalInvalid("the voucher is for another credential")
        if tx.get(VoucherRow, b64u(sha256(request.voucher.encode()))) is not None:
            raise VoucherSpent
        fresh_device(tx, voucher)
        return voucher

    def _newcomer(self, tx: Tx, request: ActivateRequest, voucher: Voucher) -> Newcomer:
        if tx.get(HolderRow, voucher.credential, voucher.person) is not None:
            raise CredentialExists("the person is a holder already")
        return check_join(self._keys, voucher, request.voucher, request.join, request.join_sealed_pin)

    def _charge(self, tx: Tx, request: ActivateRequest, draft: Charge, now: int) -> Charge:
        counters = charge(self._limits.ladder, draft.holder.failures, now)
        holder = msgspec.structs.replace(
            draft.holder,
            failures=counters.failures,
            locked_until_us=counters.locked_until_us,
            state=HolderState.ENDED if counters.ended else draft.holder.state,
        )
        tx.put(holder)
        tx.put(draft.activation)
        tx.log(_event("charged", draft, now, request.approval))
        return msgspec.structs.replace(draft, sequence=tx.sequence, holder=holder)

    # Between. ---------------------------------------------------------------------------------------------------------

    def _use(
        self, charged: Charge, envelope: Envelope, derived: bytes
    ) -> tuple[tuple[Signature, ...], HolderRow | None]:
        """With the right PIN: the signatures of a document, or the holder whose envelope is new. Raises PinMismatch."""
        credential, custody = charged.credential, self._keys.custody
        bound = binding(self._keys, credential.organisation, charged.holder)
        inner = open_envelope(envelope, derived, bound, custody.pepper)
        context = inner_context(credential.organisation, credential.credential)
        items = charged.approval.items
        attributes = [cms.signed_attributes(unb64u(item.tbs, 32), credential.certificate) for item in items]
        key_type = KeyType(credential.key_type)
        raw = custody.sign(inner, key_type, context, credential.public_key, attributes)
        signatures = tuple(
            Signature(unb64u(item.tbs), attribute, signature)
            for item, attribute, signature in zip(items, attributes, raw, strict=True)
        )
        holder: HolderRow | None = None
        if charged.newcomer is not None:
            holder = new_holder(self._keys, self._limits.argon, charged.newcomer, inner)
        elif charged.new_pin is not None:
            old = charged.holder
            later = msgspec.structs.replace(old, epoch=old.epoch + 1)
            fresh = seal_envelope(
                inner,
                charged.new_pin,
                binding(self._keys, credential.organisation, later),
                self._limits.argon,
                custody.pepper,
            )
            holder = msgspec.structs.replace(later, envelope=msgspec.msgpack.encode(fresh))
        return signatures, holder

    # G3. --------------------------------------------------------------------------------------------------------------

    def _finish(
        self, tx: Tx, charged: Charge, signatures: tuple[Signature, ...], changed: HolderRow | None
    ) -> tuple[Activation | None, int]:
        """The right PIN resets the tries in any case; the effect happens only if nothing fenced it meanwhile."""
        now = self._clock.now_us()
        row = tx.get(ActivationRow, charged.activation.challenge)
        holder = tx.get(HolderRow, charged.holder.credential, charged.holder.person)
        if holder is None or row is None:
            raise Tampered("a row is missing")
        open_still = self._still_open(tx, charged, holder) and row.state == "charged"
        if holder.envelope and holder.epoch == charged.holder.epoch:
            state = HolderState.ACTIVE if holder.state == HolderState.ENDED else holder.state
            holder = msgspec.structs.replace(holder, failures=0, locked_until_us=0, state=state)
            tx.put(holder)
        if not open_still:
            if row.state == "charged":
                tx.put(msgspec.structs.replace(row, state="void"))
            tx.log(_event("void", charged, now))
            return None, tx.sequence
        self._apply(tx, charged, changed, now)
        credential = charged.credential
        activation = Activation(
            ChallengeId(row.challenge),
            CredentialId(row.credential),
            KeyType(credential.key_type),
            credential.certificate,
            msgspec.msgpack.decode(credential.chain, type=tuple[bytes, ...]),
            signatures,
        )
        result = msgspec.msgpack.encode(activation)
        tx.put(msgspec.structs.replace(row, state="signed", result=result))
        tx.log(_event("signed", charged, now, b64u(sha256(result))))
        return activation, tx.sequence

    def _still_open(self, tx: Tx, charged: Charge, holder: HolderRow) -> bool:
        credential = tx.get(CredentialRow, charged.credential.credential)
        if charged.approval.kind is Kind.ADD_DEVICE:
            approved = tx.get(RevokedRow, charged.approval.device) is None
        else:
            device = tx.get(DeviceRow, holder.credential, charged.approval.device)
            approved = device is not None and device.state == DeviceState.ACTIVE
        voucher = charged.voucher
        if voucher is not None:
            admitted = tx.get(DeviceRow, voucher.credential, thumbprint(voucher.approval_key)) is not None
            spent = tx.get(VoucherRow, charged.approval.voucher_sha256) is not None
            known = charged.newcomer is not None and tx.get(HolderRow, voucher.credential, voucher.person) is not None
            approved = approved and not (admitted or spent or known)
        same = holder.epoch == charged.holder.epoch and bool(holder.envelope) and holder.state != HolderState.SUSPENDED
        return credential is not None and not credential.frozen and approved and same

    def _apply(self, tx: Tx, charged: Charge, changed: HolderRow | None, now: int) -> None:
        if changed is not None:
            reset = msgspec.structs.replace(changed, failures=0, locked_until_us=0, state=HolderState.ACTIVE)
            tx.put(reset)
            tx.scrub()
        if charged.voucher is not None:
            text_hash = charged.approval.voucher_sha256
            tx.put(fresh_device(tx, charged.voucher))
            join = charged.newcomer.join_sha256 if charged.newcomer else ""
            tx.put(
                VoucherRow(
                    voucher=text_hash,
                    kind=charged.voucher.kind,
                    credential=charged.voucher.credential,
                    join_sha256=join,
                    time_us=now,
                )
            )

    # The other ends. --------------------------------------------------------------------------------------------------

    async def _wrong(self, charged: Charge) -> SignerError:
        def body(tx: Tx) -> SignerError:
            now = self._clock.now_us()
            row = tx.get(ActivationRow, charged.activation.challenge)
            holder = tx.get(HolderRow, charged.holder.credential, charged.holder.person)
            if row is None or holder is None:
                raise Tampered("a row is missing")
            if row.state == "charged":
                tx.put(msgspec.structs.replace(row, state="wrong_pin"))
            if holder.state == HolderState.ENDED and holder.envelope:
                tx.put(msgspec.structs.replace(holder, envelope=b""))
                tx.scrub()
            tx.log(_event("wrong_pin", charged, now))
            left = tries_left(self._limits.ladder, holder.failures, holder.locked_until_us, now)
            return WrongPin(tries_left=left, locked_until_us=holder.locked_until_us)

        return await self._commit(body)

    async def _abandon(self, charged: Charge) -> None:
        """The verdict is unknown: the try stays charged, the activation can never be signed."""

        def body(tx: Tx) -> None:
            row = tx.get(ActivationRow, charged.activation.challenge)
            if row is not None and row.state == "charged":
                tx.put(msgspec.structs.replace(row, state="void"))
                tx.log(_event("void", charged, self._clock.now_us()))

        try:
            await self._commit(body)
        except SignerError:
            return  # a store that cannot be written now voids it at the next start

    async def _commit(self, body: Callable[[Tx], T]) -> T:
        return await asyncio.wrap_future(self._store.write(body))

    async def _durable(self, sequence: int) -> None:
        await asyncio.wrap_future(self._store.heads.durable(sequence))

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


_STATES = {
    "charged": ActivationState.RUNNING,
    "signed": ActivationState.SIGNED,
    "void": ActivationState.VOID,
    "wrong_pin": ActivationState.WRONG_PIN,
}


def _claim(request: ActivateRequest, organisations: frozenset[str]) -> tuple[Approval, Unverified]:
    """Form and bindings that need neither store nor key."""
    try:
        unverified = parse_jws(request.approval, APPROVAL_TYP)
        claim = unverified.peek(Approval)
        unb64u(claim.credential, 16)
        unb64u(claim.challenge, 32)
        digests = [unb64u(text, 32) for item in claim.items for text in (item.tbs, item.manifest)]
    except CodecError as error:
        raise ApprovalInvalid(str(error)) from error
    if claim.kind not in _KINDS or request.kind != claim.kind:
        raise KindRefused("the approval is for something else")
    if claim.organisation not in organisations:
        raise OrganisationRefused
    takes_voucher = claim.kind in (Kind.ADD_DEVICE, Kind.ADD_HOLDER)
    voucher_sha256 = b64u(sha256(request.voucher.encode())) if takes_voucher else ""
    bound = (
        claim.v == 1
        and claim.device == unverified.kid
        and claim.pin_sha256 == b64u(sha256(request.sealed_pin))
        and claim.voucher_sha256 == voucher_sha256
        and bool(request.voucher) == takes_voucher
        and bool(request.join) == (claim.kind is Kind.ADD_HOLDER)
    )
    if not bound:
        raise ApprovalInvalid("the approval is not for this sealed PIN, voucher and device")
    if (claim.kind is Kind.DOCUMENT) != bool(digests) or len(claim.items) > MAX_ITEMS:
        raise ApprovalInvalid("wrong number of items")
    if len({item.tbs for item in claim.items}) != len(claim.items):
        raise ApprovalInvalid("the same digest twice")
    return claim, unverified


def _check_open(credential: CredentialRow, holder: HolderRow, now: int) -> None:
    if holder.state == HolderState.ENDED or not holder.envelope:
        raise Ended
    if holder.state == HolderState.SUSPENDED:
        raise Suspended
    if credential.frozen:
        raise Frozen
    if holder.locked_until_us > now:
        raise Locked(locked_until_us=holder.locked_until_us)


def _check_certificate(credential: CredentialRow, now: int) -> None:
    if not credential.certificate:
        raise CertificateMissing
    if not valid_at(load_der_x509_certificate(credential.certificate), now):
        raise CertificateMissing("today is outside the certificate's dates")


def _activation_row(
    approval: Approval, person: str, holder: HolderRow, request: ActivateRequest, now: int
) -> ActivationRow:
    return ActivationRow(
        challenge=approval.challenge,
        kind=approval.kind,
        credential=approval.credential,
        person=person,
        device=approval.device,
        approval_sha256=b64u(sha256(request.approval.encode())),
        state="charged",
        epoch=holder.epoch,
        time_us=now,
        result=b"",
    )


def _event(name: str, charged: Charge, now: int, detail: str = "") -> Event:
    row = charged.activation
    return Event(
        event=name,
        time_us=now,
        organisation=charged.credential.organisation,
        credential=row.credential,
        person=row.person,
        device=row.device,
        challenge=row.challenge,
        detail=detail,
    )
