"""States of a document, what may follow what, and what a system hands in at intake.

State names are those of the architecture's §6; every state that is not final has a time after which somebody is alarmed.
"""

import re
import unicodedata
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from server.errors import Refused

MINUTE = 60_000_000
HOUR = 60 * MINUTE


class State(StrEnum):
    """Where an outgoing document stands. One owner per transition: the approvals room moves it up to `sealed`, the exchange after.

    What the organisation seals alone (an annex, a copy) waits for its seal in `signed` like everything that waits for the seal.
    """

    IN_REVIEW = "in_review"
    SIGNING = "signing"
    SIGNED_PENDING_TIMESTAMP = "signed_pending_timestamp"
    SIGNED = "signed"
    SEALING = "sealing"
    SEALED_PENDING_TIMESTAMP = "sealed_pending_timestamp"
    SEALED_PENDING_ARCHIVE = "sealed_pending_archive"
    SEALED = "sealed"
    FORWARDED = "forwarded"
    DELIVERED = "delivered"
    ACCEPTED = "accepted"
    RETURNED = "returned"
    REFUSED = "refused"
    RECALLED = "recalled"


FINAL = frozenset({State.ACCEPTED, State.RETURNED, State.REFUSED, State.RECALLED})

FOLLOWS: dict[State, frozenset[State]] = {
    # To `signed` only what is sealed alone, as `leads_to` says (SIG-4, SIG-6, SIG-7).
    State.IN_REVIEW: frozenset({State.SIGNING, State.RETURNED, State.RECALLED, State.IN_REVIEW, State.SIGNED}),
    State.SIGNING: frozenset({State.SIGNED_PENDING_TIMESTAMP, State.IN_REVIEW}),
    State.SIGNED_PENDING_TIMESTAMP: frozenset({State.IN_REVIEW, State.SIGNED}),
    State.SIGNED: frozenset({State.SEALING, State.RETURNED, State.RECALLED}),
    State.SEALING: frozenset({State.SEALED_PENDING_TIMESTAMP, State.SIGNED}),
    State.SEALED_PENDING_TIMESTAMP: frozenset({State.SEALED, State.SEALED_PENDING_ARCHIVE}),
    # Returned where the evidence shows a signer whose certificate was revoked: such a document never leaves.
    State.SEALED_PENDING_ARCHIVE: frozenset({State.SEALED, State.RETURNED, State.RECALLED}),
    # From the seal on a state may follow itself: the archive's renewal gives the file a new head and moves nothing else.
    State.SEALED: frozenset({State.SEALED, State.FORWARDED, State.RECALLED}),
    State.FORWARDED: frozenset({State.FORWARDED, State.DELIVERED, State.ACCEPTED, State.REFUSED, State.RECALLED}),
    State.DELIVERED: frozenset({State.DELIVERED, State.ACCEPTED, State.REFUSED, State.RECALLED}),
    State.ACCEPTED: frozenset({State.ACCEPTED, State.REFUSED, State.RECALLED}),
    State.RETURNED: frozenset({State.IN_REVIEW, State.SIGNED, State.RECALLED}),
    State.REFUSED: frozenset({State.REFUSED, State.ACCEPTED, State.RECALLED}),
    State.RECALLED: frozenset(),
}

# Where an annex goes with its main document, in one packet.
TOGETHER = frozenset({State.FORWARDED, State.DELIVERED, State.ACCEPTED, State.REFUSED, State.RECALLED})

# What the archive's revision may still be appended to.
ARCHIVED = frozenset({State.SEALED, State.FORWARDED, State.DELIVERED, State.ACCEPTED, State.REFUSED})

IN_FLIGHT = frozenset({State.SIGNING, State.SEALING, State.SIGNED_PENDING_TIMESTAMP, State.SEALED_PENDING_TIMESTAMP})

# A person's patience by urgency 0 to 4 (TIM-1: the urgent grades are handled at once), in microseconds.
_REVIEW_US = (24 * HOUR, 4 * HOUR, 1 * HOUR, 15 * MINUTE, 15 * MINUTE)
_CLERK_US = (4 * HOUR, 1 * HOUR, 30 * MINUTE, 10 * MINUTE, 10 * MINUTE)
_MACHINE_US: dict[State, int] = {
    State.SIGNING: MINUTE,
    State.SEALING: MINUTE,
    State.SIGNED_PENDING_TIMESTAMP: 10 * MINUTE,
    State.SEALED_PENDING_TIMESTAMP: 10 * MINUTE,
    State.SEALED_PENDING_ARCHIVE: 10 * MINUTE,
    State.SEALED: 10 * MINUTE,
    State.FORWARDED: 24 * HOUR,  # TIM-5: receipt is confirmed within the day
    State.DELIVERED: 72 * HOUR,
}


def due_us(state: State, urgency: int, now_us: int) -> int | None:
    """When a document that now enters `state` becomes overdue; None for final states."""
    if state in FINAL:
        return None
    if state is State.IN_REVIEW:
        return now_us + _REVIEW_US[urgency]
    if state is State.SIGNED:
        return now_us + _CLERK_US[urgency]
    return now_us + _MACHINE_US[state]


class StepKind(StrEnum):
    """Initials are signed with the person's own key and PIN like a signature, but are none: they give no document its value (DOC-9)."""

    INITIALS = "initials"
    PERSON = "person"
    SEAL = "seal"


class StepState(StrEnum):
    WAITING = "waiting"
    OPEN = "open"
    PENDING_TIMESTAMP = "pending_timestamp"
    DONE = "done"
    RETURNED = "returned"


Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Short = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
OrganId = Annotated[str, msgspec.Meta(min_length=1, max_length=13, pattern=r"^[0-9A-Za-z][0-9A-Za-z.\-]*$")]
DocumentId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
Millimetres = Annotated[float, msgspec.Meta(ge=0, le=5000)]


class Placement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rectangle on a page as the reader sees it: page from 1, millimetres from the top left corner."""

    page: Annotated[int, msgspec.Meta(ge=1, le=5000)]
    x_mm: Millimetres
    y_mm: Millimetres
    width_mm: Annotated[float, msgspec.Meta(gt=0, le=400)]
    height_mm: Annotated[float, msgspec.Meta(gt=0, le=400)]

    def sides(self) -> tuple[int, float, float, float, float]:
        return self.page, self.x_mm, self.y_mm, self.width_mm, self.height_mm


# An empty signature field that the file brings along: a plain name without the dot of a field tree.
FieldName = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[^.\x00-\x1f\x7f]*$")]


class SignerStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One person of the route, in order. `authority` is the line above the position, such as `KT. CHỦ TỊCH` (AUT-1).

    `grant`: the id of a grant of authority that gives this line instead (AUT-6); it is asked again at the signature.
    `field`: an empty signature field of the file to sign in; a certified file (DocMDP P=2) can be signed in such fields alone.
    `initials`: ký nháy of whoever drafted or checked, before those who sign and without an authority of his own (SIG-10).
    """

    person: Annotated[str, msgspec.Meta(min_length=32, max_length=36)]
    authority: Annotated[str, msgspec.Meta(max_length=100)] = ""
    placement: Placement | None = None
    field: FieldName = ""
    grant: Annotated[str, msgspec.Meta(max_length=32, pattern="^([0-9a-f]{32})?$")] = ""
    initials: bool = False


class Receiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    organ_id: OrganId
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class CopyForm(StrEnum):
    """The three forms of a copy (Decree 30 art. 25): of an original, of a certified copy, of a part."""

    SAO_Y = "sao_y"
    SAO_LUC = "sao_luc"
    TRICH_SAO = "trich_sao"


FORM_WORDS = {CopyForm.SAO_Y: "Sao y", CopyForm.SAO_LUC: "Sao lục", CopyForm.TRICH_SAO: "Trích sao"}
"""As a copy says it itself (SIG-6)."""


class Copy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An electronic copy. `of`: number and symbol, date and issuer of what was copied; `original`: whether that is on paper (digitised, DOC-3)
    or electronic; `ordered_by`: name and position of whoever decided that it is copied (Decree 30 art. 27).
    """

    form: CopyForm
    of: Text
    original: Literal["paper", "electronic"]
    ordered_by: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the document management system says of the document: the fields of an edXML MessageHeader (DOC-7 lengths).

    `urgency` 0 to 4 (thường, khẩn, thượng khẩn, hỏa tốc, hỏa tốc hẹn giờ). `secrecy` is declared so that it can be refused (SEC-1).
    Dates are `YYYY-MM-DD`. `open_every_page`: nobody signs or initials before his device has shown every page to him.
    `replaces`: ids of documents that were sent before and that this one stands in the place of at their receivers.

    Marks stand where the text says; `placement` and `seal_placement` are the drafter's own rectangles, and a replacement with others moves them.

    Two kinds of file have no `signers`, as the organisation seals them alone, in the upper right corner of page one. `annex_of`: an annex in a
    file of its own, by the id of its main document, which has not left: number, symbol, date, urgency and receivers are that document's, it
    waits for that document's seal, and all leave in one packet (SIG-4): at most 50 annexes, and 400 MiB with the document. `copy`: a copy, with a
    number and receivers of its own (SIG-6).
    """

    number: Annotated[str, msgspec.Meta(min_length=1, max_length=11)]
    notation: Annotated[str, msgspec.Meta(min_length=1, max_length=30)]
    subject: Text
    type_name: Short
    urgency: Annotated[int, msgspec.Meta(ge=0, le=4)]
    promulgation_place: Short
    promulgation_date: str
    receivers: Annotated[list[Receiver], msgspec.Meta(min_length=1, max_length=500)]
    signers: Annotated[list[SignerStep], msgspec.Meta(max_length=10)]
    seal_placement: Placement | None = None
    seal_field: FieldName = ""
    due_date: str | None = None
    content: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    to_places: Annotated[list[Text], msgspec.Meta(max_length=50)] = []
    secrecy: Annotated[str, msgspec.Meta(max_length=30)] = "none"
    source_reference: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    replaces: Annotated[list[DocumentId], msgspec.Meta(max_length=20)] = []
    open_every_page: bool = False
    annex_of: DocumentId | None = None
    copy: Copy | None = None

    @property
    def sealed_alone(self) -> bool:
        return self.annex_of is not None or self.copy is not None

    def annexed_to(self, main: "Metadata") -> "Metadata":
        """The annex under the number of `main` and for its receivers. Raises: Refused("invalid-request") where it declares another number."""
        if (self.number, self.notation) != (main.number, main.notation):
            raise Refused("invalid-request", detail="an annex has the number and symbol of its main document")
        return self.following(main)

    def following(self, main: "Metadata") -> "Metadata":
        """The annex as its main document is now."""
        return msgspec.structs.replace(
            self,
            number=main.number,
            notation=main.notation,
            urgency=main.urgency,
            promulgation_place=main.promulgation_place,
            promulgation_date=main.promulgation_date,
            receivers=main.receivers,
            due_date=None,
        )

    def placements(self) -> list[Placement | None]:
        """The marks' rectangles in the route's order, the seal's last."""
        return [*(step.placement for step in self.signers), self.seal_placement]

    def route_fields(self) -> list[str]:
        """The file's own fields that the steps name, the seal's last; empty where one of ours is placed."""
        return [*(step.field for step in self.signers), self.seal_field]


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u202a-\u202e\u2066-\u2069\u200e\u200f]")


def clean(text: str) -> str:
    """NFC, without control characters and bidirectional overrides (threat B11), white space folded."""
    return " ".join(_CONTROL.sub(" ", unicodedata.normalize("NFC", text)).split())


def checked(metadata: Metadata, today: date) -> Metadata:
    """Metadata with clean texts.

    Raises: Refused("secret-document") for any declared grade; Refused("invalid-request") for impossible dates or texts that
    are empty once cleaned; Refused("route-invalid") when a person stands twice; Refused("receiver-unknown") for a doubled receiver.
    """
    if metadata.secrecy not in {"", "none"}:
        raise Refused("secret-document")
    for name in ("promulgation_date", "due_date"):
        value = getattr(metadata, name)
        if value is not None:
            # fromisoformat alone would also take 20261122 and 2026-W47-7, which the exchange's ids are not made of.
            try:
                parsed = date.fromisoformat(value if _DATE.fullmatch(value) else "")
            except ValueError:
                raise Refused("invalid-request", detail=f"{name} is not a date YYYY-MM-DD") from None
            if not 1945 <= parsed.year <= today.year + 20:
                raise Refused("invalid-request", detail=f"{name} is out of range")
    people = [step.person for step in metadata.signers]
    if len(set(people)) != len(people):
        raise Refused("route-invalid", detail="a person stands twice in the route")
    _check_route(metadata)
    named = [name for name in metadata.route_fields() if name]
    if len(set(named)) != len(named):
        raise Refused("route-invalid", detail="a signature field stands twice in the route")
    codes = [receiver.organ_id.upper() for receiver in metadata.receivers]
    if len(set(codes)) != len(codes):
        raise Refused("receiver-unknown", detail="a receiver stands twice")
    if sum(len(place) for place in metadata.to_places) + 2 * len(metadata.to_places) > 1000:
        raise Refused("invalid-request", detail="to_places are longer than 1000 characters together")  # DOC-7
    texts = {
        name: clean(getattr(metadata, name))
        for name in ("number", "notation", "subject", "type_name", "promulgation_place", "content")
    }
    for name, value in texts.items():
        if not value and name != "content":
            raise Refused("invalid-request", detail=f"{name} is empty")
    return msgspec.structs.replace(
        metadata,
        **texts,
        receivers=[Receiver(organ_id=receiver.organ_id, name=clean(receiver.name)) for receiver in metadata.receivers],
        signers=[msgspec.structs.replace(step, authority=clean(step.authority)) for step in metadata.signers],
        to_places=[clean(place) for place in metadata.to_places],
        source_reference=None if metadata.source_reference is None else clean(metadata.source_reference),
        copy=None if metadata.copy is None else _cleaned(metadata.copy),
    )


def _cleaned(copy: Copy) -> Copy:
    of, ordered_by = clean(copy.of), clean(copy.ordered_by)
    if not of or not ordered_by:
        raise Refused("invalid-request", detail="what was copied, or who decided it, is empty")
    return msgspec.structs.replace(copy, of=of, ordered_by=ordered_by)


def _check_route(metadata: Metadata) -> None:
    """Somebody signs, or the seal stands alone (SIG-4, SIG-6, SIG-7). Raises: Refused("route-invalid")."""
    if not metadata.sealed_alone:
        if not metadata.signers:
            raise Refused("route-invalid", detail="nobody signs, and it is neither an annex nor a copy")
        _check_initials(metadata.signers)
        return
    if metadata.annex_of is not None and metadata.copy is not None:
        raise Refused("route-invalid", detail="a file is an annex or a copy, not both")
    if metadata.signers or metadata.replaces:
        raise Refused("route-invalid", detail="nobody signs an annex or a copy, and it replaces nothing")
    if metadata.seal_placement is not None or metadata.seal_field:
        raise Refused(
            "route-invalid", detail="an annex or a copy is sealed in the upper right corner of its first page"
        )


def _check_initials(signers: list[SignerStep]) -> None:
    """Initials come first (SIG-10), somebody signs behind them (DOC-9), and they are nobody else's to give (AUT-1).

    Raises: Refused("route-invalid").
    """
    if signers[-1].initials or [step.initials for step in signers] != sorted(
        (step.initials for step in signers), reverse=True
    ):
        raise Refused("route-invalid", detail="initials stand before every signature, and a signature behind them")
    if any(step.initials and (step.authority or step.grant) for step in signers):
        raise Refused("route-invalid", detail="initials carry no authority")


class DocumentRow(msgspec.Struct, frozen=True):
    """A row of `documents` (times in microseconds UTC, digests hex SHA-256)."""

    id: str
    organisation: str
    client: str
    source_reference: str | None
    state: State
    state_since_us: int
    state_due_us: int | None
    step: int | None
    head: str
    version: int
    page_count: int
    code_number: str
    code_notation: str
    subject: str
    type_name: str
    urgency: int
    promulgation_place: str
    promulgation_date: str
    due_date: str | None
    header: bytes
    exchange_id: str
    created_us: int
    updated_us: int
    annex_of: str | None = None

    def metadata(self) -> Metadata:
        return msgspec.json.decode(self.header, type=Metadata)

    @property
    def copy(self) -> Copy | None:
        """What it is a copy of, where it is one."""
        return msgspec.json.decode(self.header, type=_Policy).copy

    @property
    def sealed_alone(self) -> bool:
        return self.annex_of is not None or self.copy is not None

    @property
    def open_every_page(self) -> bool:
        """What the document asks for by itself; `service.asks_every_page` is what holds."""
        return msgspec.json.decode(self.header, type=_Policy).open_every_page


class _Policy(msgspec.Struct):
    """The part of a header that every reading asks for; the rest of it, long lists among it, is passed over."""

    open_every_page: bool = False
    copy: Copy | None = None


class StepRow(msgspec.Struct, frozen=True):
    document: str
    position: int
    kind: StepKind
    person: str | None
    field_name: str
    authority_line: str
    placement: bytes | None
    state: StepState
    decided_by: str | None
    decided_us: int | None
    authority_grant: str | None = None


class InboxLine(msgspec.Struct, frozen=True, array_like=True):
    """One line of a person's inbox: its place in the order, and its JSON (`routes.InboxItem`)."""

    waiting: int
    urgency: int
    at_us: int
    id: str
    line: msgspec.Raw


class RevisionRow(msgspec.Struct, frozen=True):
    document: str
    number: int
    digest: str
    parent: str | None
    size: int
    kind: str
    step: int | None
    version: int
    created_us: int
