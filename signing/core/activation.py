"""Activations: one approval, one PIN, one effect. G1 charges a try durably before the PIN is looked at, G3 makes the
effect and its record one commit, and nothing is answered before a head of it is on the other volume (A5, A6, A7, A10,
A12).

Everything that decides whether a try is charged stands in `_admit`, inside G1's transaction, in the order of its
cost: what the store says (locked, ended, busy) before any signature is verified, signatures before the sealed PIN is
opened.
"""

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
from cryptography.x509 import load_der_x509_certificate
from msgspec.structs import replace

from signing.core import cms, crash, errors, model
from signing.core.admission import Newcomer, binding, check_join, fresh_device, inner_context, new_holder, sealed, spend
from signing.core.clock import SignerClock
from signing.core.codec import PublicJwk, Unverified, b64u, parse_jws, refused_as, sha256, thumbprint, unb64u
from signing.core.custody import KeyMismatch
from signing.core.envelope import Argon, Envelope, PinMismatch, derive, open_envelope
from signing.core.keys import Keys
from signing.core.model import ActivationState, Approval, DeviceState, HolderState, KeyType, Kind, Signature, Voucher
from signing.core.pin import Ladder, Pin, charge, check_choice, tries_left
from signing.core.rows import ActivationRow, CredentialRow, DeviceRow, HolderRow, RevokedRow, VoucherRow
from signing.core.store import Store, Tx
from signing.core.trust import Trust, valid_at
from signing.core.wire import ActivateRequest

HolderId = tuple[str, str]
Effect = tuple[tuple[Signature, ...], HolderRow | None]
_KINDS = (Kind.DOCUMENT, Kind.CHANGE_PIN, Kind.ADD_DEVICE, Kind.ADD_HOLDER)
_BY_VOUCHER = {Kind.ADD_DEVICE: model.VoucherKind.ADD_DEVICE, Kind.ADD_HOLDER: model.VoucherKind.ADD_HOLDER}


class Limits(msgspec.Struct, frozen=True):
    ladder: Ladder
    argon: Argon
    queue: int


class Claim(msgspec.Struct, frozen=True):
    """A request in form, whose bindings hold; nobody has checked the signature of its approval yet."""

    request: ActivateRequest
    approval: Approval
    jws: Unverified


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


class Activations:
    """Runs activations on a store, each in its caller's thread; one activation per holder is in flight at a time.

    `cores`: held by whoever derives, signs or makes keys, so that as many do at once as there are cores.
    """

    def __init__(self, store: Store, keys: Keys, trust: Trust, limits: Limits, clock: SignerClock) -> None:
        self._store, self._keys, self._trust, self._limits, self._clock = store, keys, trust, limits, clock
        self.cores = threading.Semaphore(os.cpu_count() or 1)
        self._room = threading.Semaphore(limits.queue)
        self._in_flight: set[HolderId] = set()
        self._beside = ThreadPoolExecutor(1, "head")

    def close(self) -> None:
        self._beside.shutdown()

    def activate(self, request: ActivateRequest) -> model.Activation:
        """Raises the refusals of `SignerClient.activate`; see there which are charged."""
        claim = _claim(request, self._trust.organisations)
        if not self._room.acquire(blocking=False):
            raise errors.Busy("the queue is full")
        entered: list[HolderId] = []
        try:
            if not self._store.heads.healthy:
                self._store.heads.durable(self._store.state.sequence)  # no charge while nothing could be signed
            crash.point("g1-before")
            charged = self._store.write(lambda tx: self._admit(tx, claim, entered))
            crash.point("g1-committed")
            return self._drive(charged)
        finally:
            self._in_flight.difference_update(entered)
            self._room.release()

    def _drive(self, charged: Charge) -> model.Activation:
        """From the charged try to the answer."""
        try:
            envelope = msgspec.msgpack.decode(charged.holder.envelope, type=Envelope)
            head = self._beside.submit(self._store.heads.durable, charged.sequence)
            with self.cores:
                derived = derive(charged.pin, envelope.salt, envelope.argon)
            crash.point("derived")
            head.result()  # before the verdict is used: a killed signer and a restored store must not give a free guess
            with self.cores:
                effect = self._use(charged, envelope, derived)
            crash.point("signed")
        except PinMismatch:
            raise self._store.durably(lambda tx: self._wrong(tx, charged)) from None
        except KeyMismatch as error:
            self._abandon(charged)
            raise errors.Tampered("the opened key is not the certificate's") from error
        except BaseException:
            self._abandon(charged)
            raise
        crash.point("g3-before")
        activation, sequence = self._store.write(lambda tx: (self._finish(tx, charged, *effect), tx.sequence))
        crash.point("g3-committed")
        self._store.heads.durable(sequence)
        crash.point("head-written")
        if activation is None:
            raise errors.Void
        return activation

    # G1. --------------------------------------------------------------------------------------------------------------

    def _admit(self, tx: Tx, claim: Claim, entered: list[HolderId]) -> Charge:
        now, request, approval = self._clock.checked_us(), claim.request, claim.approval
        credential = tx.need(errors.UnknownCredential(), CredentialRow, approval.credential)
        if credential.organisation != approval.organisation:
            raise errors.OrganisationRefused
        person, key = self._approver(tx, claim)
        holder = tx.need(errors.UnknownDevice("no such holder"), HolderRow, approval.credential, person)
        _check_open(credential, holder, now)
        with refused_as(errors.ApprovalInvalid):
            voucher = self._voucher(tx, claim, credential, now)
            claim.jws.check(key)
        self._keys.challenges.check(approval.challenge, approval.credential, approval.device, now)
        used = tx.get(ActivationRow, approval.challenge)
        if used is not None:
            raise errors.ChallengeUsed(state=state_of(used))
        if approval.kind is Kind.DOCUMENT:
            _check_certificate(credential, now)
        pin, new_pin = self._keys.open_pin(request.sealed_pin, approval.credential, unb64u(approval.challenge))
        if (new_pin is not None) != (approval.kind is Kind.CHANGE_PIN):
            raise errors.PinMalformed
        if new_pin is not None:
            check_choice(new_pin, holder.pin_forbidden.split(), previous=pin)
        newcomer = self._newcomer(tx, request, voucher) if voucher and approval.kind is Kind.ADD_HOLDER else None
        self._enter((holder.credential, holder.person), entered)
        activation = ActivationRow(
            challenge=approval.challenge,
            kind=approval.kind,
            credential=approval.credential,
            person=person,
            device=approval.device,
            approval_sha256=b64u(sha256(request.approval.encode())),
            state="charged",
            epoch=holder.epoch,
            time_us=now,
        )
        count = charge(self._limits.ladder, holder.failures, now)
        state = HolderState.ENDED if count.ended else holder.state
        holder = replace(holder, failures=count.failures, locked_until_us=count.locked_until_us, state=state)
        tx.put(holder)
        tx.put(activation)
        tx.log_about("charged", now, credential, activation, request.approval)
        return Charge(tx.sequence, activation, credential, holder, approval, pin, new_pin, voucher, newcomer)

    def _approver(self, tx: Tx, claim: Claim) -> tuple[str, PublicJwk]:
        """Person and key behind the approval: a device of the store, or the key that the voucher claims (`_voucher`
        verifies it before the key is used).
        """
        if claim.approval.kind is Kind.ADD_DEVICE:
            with refused_as(errors.ApprovalInvalid):
                voucher = parse_jws(claim.request.voucher, model.VOUCHER_TYP).peek(Voucher)
            return voucher.person, voucher.approval_key
        device = tx.need(errors.UnknownDevice(), DeviceRow, claim.approval.credential, claim.approval.device)
        if device.state == DeviceState.REVOKED:
            raise errors.DeviceRevoked
        if device.state != DeviceState.ACTIVE:
            raise errors.Suspended
        return device.person, msgspec.json.decode(device.key, type=PublicJwk)

    def _voucher(self, tx: Tx, claim: Claim, credential: CredentialRow, now: int) -> Voucher | None:
        kind = _BY_VOUCHER.get(claim.approval.kind)
        if kind is None:
            return None
        voucher = self._trust.voucher(claim.request.voucher, kind, now)
        if (voucher.credential, voucher.organisation) != (credential.credential, credential.organisation):
            raise errors.ApprovalInvalid("the voucher is for another credential")
        if tx.get(VoucherRow, claim.approval.voucher_sha256) is not None:
            raise errors.VoucherSpent
        fresh_device(tx, voucher)
        return voucher

    def _newcomer(self, tx: Tx, request: ActivateRequest, voucher: Voucher) -> Newcomer:
        if tx.get(HolderRow, voucher.credential, voucher.person) is not None:
            raise errors.CredentialExists("the person is a holder already")
        return check_join(self._keys, voucher, request.voucher, request.join, request.join_sealed_pin)

    def _enter(self, holder: HolderId, entered: list[HolderId]) -> None:
        if holder in self._in_flight:
            raise errors.Busy("another activation of this holder runs")
        self._in_flight.add(holder)
        entered.append(holder)

    # Between. ---------------------------------------------------------------------------------------------------------

    def _use(self, charged: Charge, envelope: Envelope, derived: bytes) -> Effect:
        """With the right PIN: the signatures of a document, or the holder whose envelope is new. Raises PinMismatch."""
        credential, holder, custody = charged.credential, charged.holder, self._keys.custody
        inner = open_envelope(envelope, derived, binding(self._keys, credential.organisation, holder), custody.pepper)
        context = inner_context(credential.organisation, credential.credential)
        digests = [unb64u(item.tbs, 32) for item in charged.approval.items]
        attributes = [cms.signed_attributes(tbs, credential.certificate) for tbs in digests]
        raw = custody.sign(inner, KeyType(credential.key_type), context, credential.public_key, attributes)
        signatures = tuple(Signature(*each) for each in zip(digests, attributes, raw, strict=True))
        if charged.newcomer is not None:
            return signatures, new_holder(self._keys, self._limits.argon, charged.newcomer, inner)
        if charged.new_pin is not None:
            later = replace(holder, epoch=holder.epoch + 1)
            argon, organisation = self._limits.argon, credential.organisation
            return signatures, sealed(self._keys, argon, organisation, later, charged.new_pin, inner)
        return signatures, None

    # G3. --------------------------------------------------------------------------------------------------------------

    def _finish(
        self, tx: Tx, charged: Charge, signatures: tuple[Signature, ...], changed: HolderRow | None
    ) -> model.Activation | None:
        """The right PIN resets the tries in any case; the effect happens only if nothing fenced it meanwhile."""
        now, credential = self._clock.now_us(), charged.credential
        row, holder = _rows(tx, charged)
        open_still = _still_open(tx, charged, holder) and row.state == "charged"
        if holder.envelope and holder.epoch == charged.holder.epoch:
            state = HolderState.ACTIVE if holder.state == HolderState.ENDED else holder.state
            tx.put(replace(holder, failures=0, locked_until_us=0, state=state))
        if not open_still:
            end(tx, row, ActivationState.VOID)
            tx.log_about("void", now, credential, row)
            return None
        if changed is not None:
            tx.put(replace(changed, failures=0, locked_until_us=0, state=HolderState.ACTIVE))
            tx.scrub()
        if charged.voucher is not None:
            tx.put(fresh_device(tx, charged.voucher))
            spend(tx, charged.voucher, charged.approval.voucher_sha256, now, charged.newcomer)
        activation = model.Activation(
            model.ChallengeId(row.challenge),
            model.CredentialId(row.credential),
            KeyType(credential.key_type),
            credential.certificate,
            msgspec.msgpack.decode(credential.chain, type=tuple[bytes, ...]),
            signatures,
        )
        result = msgspec.msgpack.encode(activation)
        tx.put(replace(row, state="signed", result=result))
        tx.log_about("signed", now, credential, row, b64u(sha256(result)))
        return activation

    # The other ends. --------------------------------------------------------------------------------------------------

    def _wrong(self, tx: Tx, charged: Charge) -> errors.WrongPin:
        now = self._clock.now_us()
        row, holder = _rows(tx, charged)
        end(tx, row, ActivationState.WRONG_PIN)
        destroy_ended(tx, holder)
        tx.log_about("wrong_pin", now, charged.credential, row)
        left = tries_left(self._limits.ladder, holder.failures, holder.locked_until_us, now)
        return errors.WrongPin(tries_left=left, locked_until_us=holder.locked_until_us)

    def _abandon(self, charged: Charge) -> None:
        """The verdict is unknown: the try stays charged, the activation can never be signed."""

        def body(tx: Tx) -> None:
            row = tx.get(ActivationRow, charged.activation.challenge)
            if row is not None and row.state == "charged":
                tx.put(replace(row, state="void"))
                tx.log_about("void", self._clock.now_us(), charged.credential, row)

        with contextlib.suppress(errors.SignerError):  # a store that cannot be written now voids it at the next start
            self._store.durably(body)


def state_of(row: ActivationRow) -> ActivationState:
    return ActivationState.RUNNING if row.state == "charged" else ActivationState(row.state)


def end(tx: Tx, row: ActivationRow, state: ActivationState) -> None:
    """Close an activation that still runs; one that has ended stays as it is."""
    if row.state == "charged":
        tx.put(replace(row, state=state))


def destroy_ended(tx: Tx, holder: HolderRow) -> None:
    """After the last try nobody may ever open the envelope again (A3)."""
    if holder.state == HolderState.ENDED and holder.envelope:
        tx.put(replace(holder, envelope=b""))
        tx.scrub()


def _claim(request: ActivateRequest, organisations: frozenset[str]) -> Claim:
    """Form and bindings that need neither store nor key."""
    with refused_as(errors.ApprovalInvalid):
        unverified = parse_jws(request.approval, model.APPROVAL_TYP)
        said = unverified.peek(Approval)
        unb64u(said.credential, 16)
        unb64u(said.challenge, 32)
        digests = [unb64u(text, 32) for item in said.items for text in (item.tbs, item.manifest)]
    if said.kind not in _KINDS or request.kind != said.kind:
        raise errors.KindRefused("the approval is for something else")
    if said.organisation not in organisations:
        raise errors.OrganisationRefused
    takes_voucher = said.kind in _BY_VOUCHER
    bound = (
        said.v == 1
        and said.device == unverified.kid
        and said.pin_sha256 == b64u(sha256(request.sealed_pin))
        and said.voucher_sha256 == (b64u(sha256(request.voucher.encode())) if takes_voucher else "")
        and bool(request.voucher) == takes_voucher
        and bool(request.join) == (said.kind is Kind.ADD_HOLDER)
    )
    if not bound:
        raise errors.ApprovalInvalid("the approval is not for this sealed PIN, voucher and device")
    if (said.kind is Kind.DOCUMENT) != bool(digests) or len(said.items) > model.MAX_ITEMS:
        raise errors.ApprovalInvalid("wrong number of items")
    if len({item.tbs for item in said.items}) != len(said.items):
        raise errors.ApprovalInvalid("the same digest twice")
    return Claim(request, said, unverified)


def _check_open(credential: CredentialRow, holder: HolderRow, now: int) -> None:
    if holder.state == HolderState.ENDED or not holder.envelope:
        raise errors.Ended
    if holder.state == HolderState.SUSPENDED:
        raise errors.Suspended
    if credential.frozen:
        raise errors.Frozen
    if holder.locked_until_us > now:
        raise errors.Locked(locked_until_us=holder.locked_until_us)


def _check_certificate(credential: CredentialRow, now: int) -> None:
    if not credential.certificate:
        raise errors.CertificateMissing
    if not valid_at(load_der_x509_certificate(credential.certificate), now):
        raise errors.CertificateMissing("today is outside the certificate's dates")


def _rows(tx: Tx, charged: Charge) -> tuple[ActivationRow, HolderRow]:
    missing = errors.Tampered("a row is missing")
    row = tx.need(missing, ActivationRow, charged.activation.challenge)
    return row, tx.need(missing, HolderRow, charged.holder.credential, charged.holder.person)


def _still_open(tx: Tx, charged: Charge, holder: HolderRow) -> bool:
    credential = tx.get(CredentialRow, charged.credential.credential)
    if charged.approval.kind is Kind.ADD_DEVICE:
        approved = tx.get(RevokedRow, charged.approval.device) is None
    else:
        device = tx.get(DeviceRow, holder.credential, charged.approval.device)
        approved = device is not None and device.state == DeviceState.ACTIVE
    if (voucher := charged.voucher) is not None:
        admitted = tx.get(DeviceRow, voucher.credential, thumbprint(voucher.approval_key)) is not None
        spent = tx.get(VoucherRow, charged.approval.voucher_sha256) is not None
        known = charged.newcomer is not None and tx.get(HolderRow, voucher.credential, voucher.person) is not None
        approved = approved and not (admitted or spent or known)
    same = holder.epoch == charged.holder.epoch and bool(holder.envelope) and holder.state != HolderState.SUSPENDED
    return credential is not None and not credential.frozen and approved and same
