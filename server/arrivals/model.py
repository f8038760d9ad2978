"""States of an arrival, what a clerk may do with it, and the header's fields as they are kept and shown."""

import hashlib
from enum import StrEnum
from typing import Final

import msgspec

from server.documents.model import clean
from server.exchange.business import Meaning, New, Replace, Revoke, Update
from server.exchange.incoming import Came
from server.exchange.model import MessageHeader, Organisation, StatusPacket, Urgency
from server.exchange.words import Words, of_code


class Kind(StrEnum):
    """What came. The last three ask something about an arrival that is here already."""

    NEW = "new"
    REPLACE = "replace"
    REVOKE = "revoke"
    UPDATE = "update"
    TAKE_BACK = "take_back"


class State(StrEnum):
    """`waiting` for the clerk. A document then is `registered` or `returned`; what asks something is `agreed` or `refused`.

    `recalled` and `replaced` are ends of a document that its sender's later packets brought, each by a clerk's decision.
    """

    WAITING = "waiting"
    REGISTERED = "registered"
    RETURNED = "returned"
    AGREED = "agreed"
    REFUSED = "refused"
    RECALLED = "recalled"
    REPLACED = "replaced"


DOCUMENTS: Final = frozenset({Kind.NEW, Kind.REPLACE})
"""What is registered or returned; the other kinds are answered."""

_KINDS: Final = {New: Kind.NEW, Revoke: Kind.REVOKE, Update: Kind.UPDATE, Replace: Kind.REPLACE}
_SUBJECT: Final = 1000


def kind_of(asked: Meaning) -> Kind:
    return _KINDS[type(asked)]


class ArrivalRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `arrivals` (times in microseconds UTC, digests hex SHA-256, dates `YYYY-MM-DD`)."""

    id: str
    organisation: str
    kind: Kind
    axis_id: str
    blob: str
    sender: str
    sender_key: str
    sender_name: str
    receiver: str
    exchange_id: str
    distinct_key: str
    content: str
    about: str | None
    replaced: str
    reference: str
    promulgation_date: str | None
    type_name: str
    subject: str
    urgency: int | None
    due_date: str | None
    asked: str
    header: bytes
    state: State
    arrival_year: int | None
    arrival_number: int | None
    own_number: str | None
    decided_by: str | None
    decided_us: int | None
    remark: str
    received_us: int

    def message(self) -> MessageHeader:
        return msgspec.json.decode(self.header, type=MessageHeader)

    @property
    def grade(self) -> int:
        """For lanes and order: a grade that nobody knows is never taken for normal (reference §6.2)."""
        return int(Urgency.URGENT) if self.urgency is None else self.urgency


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """A file of an arrival. `verdict`: None until it was judged; what is no PDF never is."""

    position: int
    name: str
    content_type: str
    digest: str
    size: int
    pdf: int
    findings: str
    verdict: str | None
    report: str | None


class Judgement(StrEnum):
    """What our validation says of a packet's files together (EXC-2)."""

    PENDING = "pending"
    VALID = "valid"
    NOT_VALID = "not_valid"
    NOTHING = "nothing"


def judged(files: list[FileRow]) -> Judgement:
    """Valid when every PDF is and there is one; other files are for the clerk's own eyes."""
    verdicts = [file.verdict for file in files if file.pdf]
    if not verdicts:
        return Judgement.NOTHING
    if None in verdicts:
        return Judgement.PENDING
    return Judgement.VALID if set(verdicts) == {"valid"} else Judgement.NOT_VALID


JUDGEMENTS: Final = {
    Judgement.PENDING: Words("Đang kiểm tra chữ ký", "The signatures are being verified"),
    Judgement.VALID: Words("Chữ ký hợp lệ", "The signatures are valid"),
    Judgement.NOT_VALID: Words("Chữ ký không hợp lệ", "The signatures are not valid"),
    Judgement.NOTHING: Words("Không có tệp PDF để kiểm tra", "There is no PDF to verify"),
}
_STATES: Final = {
    State.WAITING: Words("Chờ vào sổ", "Waits to be registered"),
    State.REGISTERED: Words("Số đến", "No."),
    State.RETURNED: Words("Đã trả lại", "Returned"),
    State.AGREED: Words("Đã đồng ý", "Agreed"),
    State.REFUSED: Words("Đã từ chối", "Refused"),
    State.RECALLED: Words("Đã thu hồi", "Recalled"),
    State.REPLACED: Words("Đã được thay thế", "Replaced"),
}


def words_of(row: ArrivalRow) -> Words:
    """Where it stands: what is asked while that waits, the arrival number once it has one."""
    said = of_code(row.kind.value) if row.state is State.WAITING and row.kind is not Kind.NEW else _STATES[row.state]
    if row.state is not State.REGISTERED:
        return said
    number = f"{row.arrival_number}/{row.arrival_year}"
    return Words(f"{said.vi} {number}", f"{said.en} {number}")


def row_of(came: Came, asked: Meaning, id_: str, targets: list[str], now_us: int) -> ArrivalRow:
    """The arrival that a packet is, waiting for the clerk; `targets` are the arrivals that it is about. Texts are the sender's, cleaned (B11)."""
    header = came.packet.header
    kind = kind_of(asked)
    content = fingerprint(came, kind)
    target = asked.document_id if isinstance(asked, Revoke | Update) else header.document_id
    # Without an id its number and day say which one it is (reference §5); without those, the packet alone.
    exchange_id = target or (f"{header.code},{header.promulgated}" if header.code else f"packet:{came.axis_id}")
    urgency = header.other.urgency
    return ArrivalRow(
        id=id_,
        organisation=came.organisation,
        kind=kind,
        axis_id=came.axis_id,
        blob=came.blob,
        sender=header.sender.organ_id,
        sender_key=header.sender.organ_id.strip().casefold(),
        sender_name=clean(header.sender.name)[:200],
        receiver=came.addressed.organ_id,
        exchange_id=exchange_id,
        # A second update of one document is another one; a second copy of the same is not (reference §7.2).
        distinct_key=content if kind is Kind.UPDATE else "",
        content=content,
        about=targets[0] if targets else None,
        replaced=msgspec.json.encode(targets if kind is Kind.REPLACE else []).decode(),
        reference=clean(header.code),
        promulgation_date=None if header.promulgated is None else header.promulgated.isoformat(),
        type_name=clean(header.type_name)[:_SUBJECT],
        subject=clean(header.subject)[:_SUBJECT],
        urgency=None if urgency is None else int(urgency),
        due_date=None if header.due is None else header.due.isoformat(),
        asked=clean(asked.reason)[:_SUBJECT],
        header=msgspec.json.encode(header),
        state=State.WAITING,
        arrival_year=None,
        arrival_number=None,
        own_number=None,
        decided_by=None,
        decided_us=None,
        remark="",
        received_us=now_us,
    )


def take_back_of(
    target: ArrivalRow, status: StatusPacket, *, id_: str, axis_id: str, blob: str, now_us: int
) -> ArrivalRow:
    """The request of a status 13 about `target`, which gives it its subject and number."""
    return msgspec.structs.replace(
        target,
        id=id_,
        kind=Kind.TAKE_BACK,
        axis_id=axis_id,
        blob=blob,
        sender=status.sender.organ_id,
        sender_key=status.sender.organ_id.strip().casefold(),
        # A take-back may come again after it was refused: another time of the sender's clock is another request.
        distinct_key=str(status.at_us or axis_id),
        content="",
        about=target.id or None,
        replaced="[]",
        asked=clean(status.description)[:_SUBJECT],
        state=State.WAITING,
        arrival_year=None,
        arrival_number=None,
        own_number=None,
        decided_by=None,
        decided_us=None,
        remark="",
        received_us=now_us,
    )


def unknown_of(organisation: str, status: StatusPacket) -> ArrivalRow:
    """What stands for a document that a status names and that is not here, without an id."""
    asked = status.response_for
    header = MessageHeader(
        sender=status.sender,
        receivers=(Organisation(organ_id=asked.organ_id),),
        document_id=asked.document_id,
        number=asked.code,
        promulgated=asked.promulgated,
    )
    return ArrivalRow(
        id="",
        organisation=organisation,
        kind=Kind.NEW,
        axis_id="",
        blob="",
        sender=status.sender.organ_id,
        sender_key="",
        sender_name=clean(status.sender.name)[:200],
        receiver=asked.organ_id,
        exchange_id=asked.document_id or f"{header.code},{header.promulgated}",
        distinct_key="",
        content="",
        about=None,
        replaced="[]",
        reference=clean(header.code),
        promulgation_date=None if header.promulgated is None else header.promulgated.isoformat(),
        type_name="",
        subject=clean(header.code)[:_SUBJECT],
        urgency=None,
        due_date=None,
        asked="",
        header=msgspec.json.encode(header),
        state=State.WAITING,
        arrival_year=None,
        arrival_number=None,
        own_number=None,
        decided_by=None,
        decided_us=None,
        remark="",
        received_us=0,
    )


def fingerprint(came: Came, kind: Kind) -> str:
    """Whether two packets say the same; the hops that the axis adds do not count.

    Two revocations of one document often have the same words: the time at which each left its sender tells them apart.
    """
    packet = came.packet
    left = packet.traces[:1] if kind is Kind.REVOKE else ()
    said = msgspec.json.encode((packet.header, packet.business, [file.digest for file in came.enclosures], *left))
    return hashlib.sha256(said).hexdigest()
