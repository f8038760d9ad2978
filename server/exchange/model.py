"""Values of the national document exchange: packets of edXML (QCVN 102:2016, as amended) and what they refer to.

Dates are calendar dates of Vietnam. Times are integer microseconds UTC; on the wire they are Vietnam time in whole
seconds (TIM-7). Codes (`organ_id`, `number`, `notation`) are text: leading zeros matter. Absent text is `""`, an absent
or unreadable number or date is `None`.
"""

import datetime as dt
from collections.abc import Iterator
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Final

import msgspec

VIETNAM: Final = dt.timezone(dt.timedelta(hours=7))
"""UTC+7 without daylight saving (TIM-7)."""


class ExchangeError(Exception):
    """Base of the exchange package's errors. `code` is stable and kebab-case; the text never holds document content."""

    code: str

    def __init__(self, code: str, reason: str = "") -> None:
        super().__init__(f"{code}: {reason}" if reason else code)
        self.code = code
        self.reason = reason


class PacketKind(StrEnum):
    """`messagetype` of the axis: the two kinds of packet, sent and listed apart."""

    DOCUMENT = "edoc"
    STATUS = "status"


class Urgency(IntEnum):
    """Độ khẩn (OtherInfo/Priority). A value outside this list is unknown, never normal."""

    NORMAL = 0
    URGENT = 1
    VERY_URGENT = 2
    EXPRESS = 3
    EXPRESS_TIMED = 4


class BusinessKind(IntEnum):
    """Bussiness/BussinessDocType: what the packet asks of its receiver."""

    NEW = 0
    REVOKE = 1
    UPDATE = 2
    REPLACE = 3


BUSINESS_REASONS: Final = {
    BusinessKind.NEW: "Văn bản điện tử mới",
    BusinessKind.REVOKE: "Thu hồi văn bản điện tử",
    BusinessKind.UPDATE: "Cập nhật văn bản điện tử",
    BusinessKind.REPLACE: "Văn bản thay thế",
}


class StatusCode(StrEnum):
    """Mã trạng thái of a status packet. 07 to 12 and 14 are not in use; unknown codes are kept raw."""

    ARRIVED = "01"
    REJECTED = "02"
    ACCEPTED = "03"
    ASSIGNED = "04"
    IN_PROGRESS = "05"
    FINISHED = "06"
    TAKE_BACK = "13"
    CHANGE_AGREED = "15"
    CHANGE_REFUSED = "16"


REASON_REQUIRED: Final = frozenset({StatusCode.REJECTED, StatusCode.TAKE_BACK})
"""Codes whose packet must carry a reason in `Description` (EXC-3)."""


class DocumentType(msgspec.Struct, frozen=True):
    """One kind of administrative document. `abbreviation` is empty where the decree gives none."""

    code: int
    name: str
    abbreviation: str


DOCUMENT_TYPES: Final = tuple(
    DocumentType(code, name, abbreviation)
    for code, (name, abbreviation) in enumerate(
        (
            ("Nghị quyết (cá biệt)", "NQ"),
            ("Quyết định (cá biệt)", "QĐ"),
            ("Chỉ thị", "CT"),
            ("Quy chế", "QC"),
            ("Quy định", "QyĐ"),
            ("Thông cáo", "TC"),
            ("Thông báo", "TB"),
            ("Hướng dẫn", "HD"),
            ("Chương trình", "CTr"),
            ("Kế hoạch", "KH"),
            ("Phương án", "PA"),
            ("Đề án", "ĐA"),
            ("Dự án", "DA"),
            ("Báo cáo", "BC"),
            ("Biên bản", "BB"),
            ("Tờ trình", "TTr"),
            ("Hợp đồng", "HĐ"),
            ("Công văn", ""),
            ("Công điện", "CĐ"),
            ("Bản ghi nhớ", "BGN"),
            ("Bản thỏa thuận", "BTT"),
            ("Giấy ủy quyền", "GUQ"),
            ("Giấy mời", "GM"),
            ("Giấy giới thiệu", "GGT"),
            ("Giấy nghỉ phép", "GNP"),
            ("Phiếu gửi", "PG"),
            ("Phiếu chuyển", "PC"),
            ("Phiếu báo", "PB"),
            ("Thư công", ""),
        ),
        start=1,
    )
)
"""The 29 kinds of Decree 30/2020 art. 7 and annex III (DOC-1), numbered in the decree's order."""


def document_type(name: str) -> DocumentType | None:
    """The kind with this TypeName, ignoring case, white space and "(cá biệt)"; numbers on the wire are unreliable."""
    wanted = _folded(name)
    return next(
        (
            kind
            for kind in DOCUMENT_TYPES
            if wanted in {_folded(kind.name), _folded(kind.name.removesuffix("(cá biệt)"))}
        ),
        None,
    )


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """From or To. `organ_id` is the routing key, compared without case after trimming, stored as received."""

    organ_id: str
    in_charge: str = ""
    name: str = ""
    address: str = ""
    email: str = ""
    telephone: str = ""
    fax: str = ""
    website: str = ""


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """SignerInfo; `competence` is TM., KT., TL., TUQ. or Q. with what follows it."""

    competence: str = ""
    position: str = ""
    full_name: str = ""


class OtherInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`priority` is kept as received, since values outside `Urgency` circulate."""

    priority: int | None = None
    sphere: str = ""
    typist: str = ""
    issued_amount: int | None = None
    page_amount: int | None = None
    reply_fors: str = ""
    direction: bool | None = None
    reference_codes: str = ""
    appendixes: tuple[str, ...] = ()

    @property
    def urgency(self) -> Urgency | None:
        """The known grade, or None for "không rõ"."""
        return next((grade for grade in Urgency if grade == self.priority), None)


class ResponseFor(msgspec.Struct, frozen=True, kw_only=True):
    """The document that is answered. In a status packet `organ_id` is the addressee."""

    organ_id: str = ""
    code: str = ""
    document_id: str = ""
    promulgated: dt.date | None = None


class MessageHeader(msgspec.Struct, frozen=True, kw_only=True):
    """MessageHeader of a document packet."""

    sender: Organisation
    receivers: tuple[Organisation, ...]
    document_id: str = ""
    number: str = ""
    notation: str = ""
    place: str = ""
    promulgated: dt.date | None = None
    type_code: int | None = None
    type_detail: int | None = None
    type_name: str = ""
    subject: str = ""
    content: str = ""
    signer: Signer = Signer()
    due: dt.date | None = None
    other: OtherInfo = OtherInfo()
    responses: tuple[ResponseFor, ...] = ()
    steering: int | None = None
    tasks: tuple[str, ...] = ()
    application_type: str = ""
    to_places: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """Full reference `number/notation`, as other packets and the sent list quote it."""
        return f"{self.number}/{self.notation}" if self.notation else self.number


class TraceHeader(msgspec.Struct, frozen=True, kw_only=True):
    """One hop. The axis appends its own on delivery; `organ_id` can be missing."""

    organ_id: str = ""
    at_us: int | None = None


class StaffInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The clerk to call."""

    department: str = ""
    department_id: str = ""
    staff: str = ""
    staff_id: str = ""
    email: str = ""
    mobile: str = ""


class ReceiverChange(msgspec.Struct, frozen=True, kw_only=True):
    """BussinessDocumentInfo/ReceiverList/Receiver; `change` 0 = removed, 1 = added."""

    organ_id: str
    change: int | None = None


class UpdateInfo(msgspec.Struct, frozen=True, kw_only=True):
    """BussinessDocumentInfo of an update: whether the content, the receivers or both changed (0 or 1)."""

    document_changed: int | None = None
    receivers_changed: int | None = None
    receivers: tuple[ReceiverChange, ...] = ()


class Replacement(msgspec.Struct, frozen=True, kw_only=True):
    """A replaced document, and who held it."""

    document_id: str
    organ_ids: tuple[str, ...] = ()


class Business(msgspec.Struct, frozen=True, kw_only=True):
    """Bussiness (nghiệp vụ). `kind` is kept as received; see `BusinessKind`."""

    kind: int = 0
    document_id: str = ""
    reason: str = ""
    paper: int | None = None
    update: UpdateInfo | None = None
    replacements: tuple[Replacement, ...] = ()
    staff: StaffInfo | None = None


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """One file. `path` holds its exact bytes, `sha256` their lower-case hex digest, `size` their number.

    `name` is the sender's and untrusted: use `safe_name` for anything but display. `findings` are codes of what looks
    wrong with a received file (see `edxml.FINDINGS`); such a file is kept for the clerk to judge (EXC-2, EXC-3).
    """

    content_id: str
    name: str
    content_type: str
    size: int
    sha256: str
    path: Path
    description: str = ""
    findings: tuple[str, ...] = ()

    @property
    def safe_name(self) -> str:
        """The name without folders, control characters or reserved ones; at most 150 characters, extension kept."""
        base = self.name.replace("\\", "/").rsplit("/", 1)[-1]
        kept = "".join(c for c in base if c.isprintable() and c not in '<>:"|?*').strip(" .")
        stem, dot, extension = kept.rpartition(".")
        if not dot:
            return kept[:150] or "attachment"
        return f"{stem[: 149 - len(extension[:20])] or 'attachment'}.{extension[:20]}"


class DocumentPacket(msgspec.Struct, frozen=True, kw_only=True):
    """A document on its way: addressed by every receiver of its header."""

    header: MessageHeader
    traces: tuple[TraceHeader, ...] = ()
    business: Business | None = None
    attachments: tuple[Attachment, ...] = ()

    @property
    def kind(self) -> PacketKind:
        return PacketKind.DOCUMENT

    @property
    def business_kind(self) -> int:
        """BussinessDocType; an absent Bussiness means a new document."""
        return self.business.kind if self.business else BusinessKind.NEW


class StatusPacket(msgspec.Struct, frozen=True, kw_only=True):
    """What the clerk of `sender` did with a document: addressed by `response_for.organ_id`."""

    sender: Organisation
    response_for: ResponseFor
    status: str
    description: str = ""
    at_us: int | None = None
    staff: StaffInfo | None = None

    @property
    def kind(self) -> PacketKind:
        return PacketKind.STATUS


Packet = DocumentPacket | StatusPacket


def receivers(packet: Packet) -> tuple[str, ...]:
    """Organ codes that the packet is addressed to, in its order."""
    if isinstance(packet, StatusPacket):
        return (packet.response_for.organ_id,)
    return tuple(to.organ_id for to in packet.header.receivers)


def same_organ(one: str, other: str) -> bool:
    """Whether two codes name the same agency, by spelling alone; old and new codes differ (see `agencies`)."""
    return one.strip().casefold() == other.strip().casefold()


def document_id(organ_id: str, promulgated: dt.date, number: str, notation: str) -> str:
    """`{OrganId},{yyyy/MM/dd},{number}/{notation}`: unique per agency and year (DOC-5). Opaque to every reader."""
    return f"{organ_id},{promulgated:%Y/%m/%d},{number}/{notation}"


class TooLong(msgspec.Struct, frozen=True):
    """A field beyond the register's length; `element` names it without showing its content."""

    element: str
    length: int
    limit: int


def too_long(header: MessageHeader) -> tuple[TooLong, ...]:
    """Fields longer than annex VI of Decree 30/2020 allows (DOC-7), in the packet's order; lengths in characters."""
    return tuple(TooLong(name, len(text), limit) for name, text, limit in _measured(header) if len(text) > limit)


def _measured(header: MessageHeader) -> Iterator[tuple[str, str, int]]:
    for element, organisation in (("From", header.sender), *(("To", to) for to in header.receivers)):
        yield f"{element}/OrganId", organisation.organ_id, 13
        yield f"{element}/OrganName", organisation.name, 200
    yield "CodeNumber", header.number, 11
    yield "CodeNotation", header.notation, 30
    yield "TypeName", header.type_name, 100
    yield "Subject", header.subject, 500
    yield "Position", header.signer.position, 100
    yield "FullName", header.signer.full_name, 50
    yield "Priority", _digits(header.other.priority), 1
    yield "PromulgationAmount", _digits(header.other.issued_amount), 3
    yield "PageAmount", _digits(header.other.page_amount), 3
    yield "ToPlaces", "; ".join(header.to_places), 1000


def _digits(number: int | None) -> str:
    return "" if number is None else str(number)
