"""What a packet asks of its receiver, as values that cannot be half filled: new, revoke, update, replace; and business statuses.

`meaning` reads a packet's Bussiness, `business` writes it back (reference §4.6, §6.3); `status` makes a status packet (reference §5).
"""

from typing import Final

import msgspec

from server.exchange.model import (
    BUSINESS_REASONS,
    REASON_REQUIRED,
    Business,
    BusinessKind,
    DocumentPacket,
    ExchangeError,
    Organisation,
    Replacement,
    ResponseFor,
    StaffInfo,
    StatusCode,
    StatusPacket,
    UpdateInfo,
)


class New(msgspec.Struct, frozen=True, kw_only=True):
    """A document that the receiver has not had before."""

    reason: str = BUSINESS_REASONS[BusinessKind.NEW]


class Revoke(msgspec.Struct, frozen=True, kw_only=True):
    """The document with this DocumentId is taken back from every receiver (EXC-5)."""

    document_id: str
    reason: str = BUSINESS_REASONS[BusinessKind.REVOKE]


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """The document with this DocumentId has other metadata, other receivers or both."""

    document_id: str
    info: UpdateInfo
    reason: str = BUSINESS_REASONS[BusinessKind.UPDATE]


class Replace(msgspec.Struct, frozen=True, kw_only=True):
    """The packet's document stands in the place of others; `replaced` has at least one."""

    replaced: tuple[Replacement, ...]
    reason: str = BUSINESS_REASONS[BusinessKind.REPLACE]


Meaning = New | Revoke | Update | Replace

KINDS: Final = {
    New: BusinessKind.NEW,
    Revoke: BusinessKind.REVOKE,
    Update: BusinessKind.UPDATE,
    Replace: BusinessKind.REPLACE,
}


def meaning(packet: DocumentPacket) -> Meaning:
    """What the packet asks. A revocation or update without Bussiness/DocumentId means the header's, as samples do.

    Raises: ExchangeError("business-unknown") for a kind outside the regulation, ("business-incomplete") where it names no document.
    """
    said = packet.business or Business()
    reason = said.reason or BUSINESS_REASONS.get(said.kind, "")  # type: ignore[call-overload]
    target = said.document_id or packet.header.document_id
    match said.kind:
        case BusinessKind.NEW:
            return New(reason=reason)
        case BusinessKind.REVOKE if target:
            return Revoke(document_id=target, reason=reason)
        case BusinessKind.UPDATE if target:
            return Update(document_id=target, info=said.update or UpdateInfo(), reason=reason)
        case BusinessKind.REPLACE if said.replacements:
            return Replace(replaced=said.replacements, reason=reason)
        case BusinessKind.REVOKE | BusinessKind.UPDATE | BusinessKind.REPLACE:
            raise ExchangeError("business-incomplete", "the packet does not say which document it is about")
    raise ExchangeError("business-unknown", "BussinessDocType is none of the regulation's")


def business(asked: Meaning, *, staff: StaffInfo | None = None) -> Business:
    """The element that says `asked`; no paper copy follows (EXC-1)."""
    return Business(
        kind=KINDS[type(asked)],
        document_id=asked.document_id if isinstance(asked, Revoke | Update) else "",
        reason=asked.reason,
        paper=0,
        update=asked.info if isinstance(asked, Update) else None,
        replacements=asked.replaced if isinstance(asked, Replace) else (),
        staff=staff,
    )


def status(
    code: StatusCode,
    *,
    sender: Organisation,
    answered: ResponseFor,
    at_us: int,
    reason: str = "",
    staff: StaffInfo | None = None,
) -> StatusPacket:
    """A status packet for the agency that `answered.organ_id` names.

    Raises: ExchangeError("reason-missing") for a code that must say why (EXC-3).
    """
    if code in REASON_REQUIRED and not reason.strip():
        raise ExchangeError("reason-missing", f"status {code} needs a reason")
    return StatusPacket(
        sender=sender, response_for=answered, status=code.value, description=reason, at_us=at_us, staff=staff
    )
