"""Admitting people, keys and holders: what a voucher, a newcomer's join and a first PIN make in the store (A9).

Used by enrolment and by the activations that add a device or a holder. Nothing here charges a try.
"""

import msgspec
from msgspec.structs import replace

from signing.core.codec import b64u, lp, parse_jws, refused_as, sha256, thumbprint
from signing.core.envelope import Argon, Binding, seal_envelope
from signing.core.errors import ApprovalInvalid, CredentialExists, DeviceRevoked, KindRefused, PinMalformed
from signing.core.keys import Keys
from signing.core.model import APPROVAL_TYP, Approval, DeviceState, HolderState, Kind, Voucher
from signing.core.pin import Pin, check_choice
from signing.core.rows import DeviceRow, HolderRow, RevokedRow, VoucherRow
from signing.core.store import Tx


class Newcomer(msgspec.Struct, frozen=True):
    """Whoever a voucher admits, with the first PIN that the join sealed."""

    voucher: Voucher
    voucher_sha256: str
    join_sha256: str
    pin: Pin


def inner_context(organisation: str, credential: str) -> bytes:
    return lp("hoatoc-key-v1", organisation, credential)


def binding(keys: Keys, organisation: str, holder: HolderRow) -> Binding:
    custody = keys.custody
    return Binding(organisation, holder.credential, holder.person, holder.epoch, custody.pepper_id, custody.custody_id)


def sealed(keys: Keys, argon: Argon, organisation: str, holder: HolderRow, pin: Pin, inner: bytes) -> HolderRow:
    """The holder with an envelope of its own around the credential's key; derives."""
    envelope = seal_envelope(inner, pin, binding(keys, organisation, holder), argon, keys.custody.pepper)
    return replace(holder, envelope=msgspec.msgpack.encode(envelope))


def new_holder(keys: Keys, argon: Argon, newcomer: Newcomer, inner: bytes) -> HolderRow:
    """The newcomer as a holder; derives."""
    voucher, forbidden = newcomer.voucher, " ".join(newcomer.voucher.pin_forbidden)
    state = HolderState.ACTIVE
    holder = HolderRow(credential=voucher.credential, person=voucher.person, state=state, pin_forbidden=forbidden)
    return sealed(keys, argon, voucher.organisation, holder, newcomer.pin, inner)


def fresh_device(tx: Tx, voucher: Voucher) -> DeviceRow:
    """The row of a voucher's approval key; a revoked key is never admitted again."""
    device, key = thumbprint(voucher.approval_key), msgspec.json.encode(voucher.approval_key)
    if tx.get(RevokedRow, device) is not None:
        raise DeviceRevoked
    if tx.get(DeviceRow, voucher.credential, device) is not None:
        raise CredentialExists("the approval key is already admitted")
    state = DeviceState.ACTIVE
    return DeviceRow(credential=voucher.credential, device=device, person=voucher.person, key=key, state=state)


def spend(tx: Tx, voucher: Voucher, voucher_sha256: str, now: int, newcomer: Newcomer | None = None) -> None:
    """A voucher admits once; `join_sha256` lets the same enrolment be answered again."""
    join, credential = newcomer.join_sha256 if newcomer else "", voucher.credential
    row = VoucherRow(voucher=voucher_sha256, kind=voucher.kind, credential=credential, join_sha256=join, time_us=now)
    tx.put(row)


def check_join(keys: Keys, voucher: Voucher, voucher_text: str, join: str, sealed_pin: bytes) -> Newcomer:
    """The newcomer's own signature over voucher and first sealed PIN; the PIN passes policy (A9).

    Raises ApprovalInvalid, KindRefused, PinMalformed, PinForbidden.
    """
    voucher_hash = sha256(voucher_text.encode())
    with refused_as(ApprovalInvalid):
        approval = parse_jws(join, APPROVAL_TYP).verify(voucher.approval_key, Approval)
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
