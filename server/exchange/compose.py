"""From a sealed document to the packet that carries it: the header's fields, and the file with the PDF byte for byte."""

import datetime as dt
import tempfile
import uuid
from pathlib import Path

import msgspec

from server.documents.model import DocumentRow
from server.exchange import edxml
from server.exchange.model import (
    BUSINESS_REASONS,
    Business,
    BusinessKind,
    DocumentPacket,
    ExchangeError,
    MessageHeader,
    Organisation,
    OtherInfo,
    Signer,
    StaffInfo,
    TraceHeader,
    document_type,
)

_MAX_PAGE_AMOUNT = 999
_NO_STEERING = 1
_ANY_SIZE = edxml.Limits(max_packet=1 << 40, max_attachment=1 << 40, max_all_attachments=1 << 40)


class Sender(msgspec.Struct, frozen=True):
    """Who issues: the agency by the axis' code, the person who signed last, and the clerk whom receivers call."""

    organ_id: str
    name: str
    signer: Signer
    clerk: str


def header_of(row: DocumentRow, sender: Sender) -> MessageHeader:
    """The MessageHeader of a sealed document. Whether its fields fit, `model.too_long` says (DOC-7)."""
    metadata = row.metadata()
    kind = document_type(metadata.type_name)
    return MessageHeader(
        sender=Organisation(organ_id=sender.organ_id, name=sender.name),
        receivers=tuple(Organisation(organ_id=to.organ_id, name=to.name) for to in metadata.receivers),
        document_id=row.exchange_id,
        number=metadata.number,
        notation=metadata.notation,
        place=metadata.promulgation_place,
        promulgated=dt.date.fromisoformat(metadata.promulgation_date),
        type_code=None if kind is None else kind.code,
        type_name=metadata.type_name,
        subject=metadata.subject,
        content=metadata.content,
        signer=sender.signer,
        due=None if metadata.due_date is None else dt.date.fromisoformat(metadata.due_date),
        other=OtherInfo(
            priority=metadata.urgency,
            # The register has three digits (DOC-7); a longer document goes without the number rather than not at all.
            page_amount=row.page_count if row.page_count <= _MAX_PAGE_AMOUNT else None,
            direction=False,
        ),
        steering=_NO_STEERING,
        to_places=tuple(metadata.to_places),
    )


def write_packet(row: DocumentRow, header: MessageHeader, clerk: str, pdf: Path, into: Path) -> edxml.Written:
    """Write the packet with the file `pdf` to the new file `into`. Blocks. The same document always gives the same bytes.

    Raises: ExchangeError("attachment-changed") if the packet would not give back exactly the bytes whose digest is the
    document's head (reference §10), and what the writer raises.
    """
    name = f"{row.code_number}-{row.code_notation}.pdf".replace("/", "-").replace("\\", "-")
    content_id = str(uuid.uuid5(uuid.UUID(row.id), row.head))
    attachment = edxml.attachment(pdf, name, "application/pdf", content_id=content_id)
    packet = DocumentPacket(
        header=header,
        traces=(TraceHeader(organ_id=header.sender.organ_id, at_us=row.state_since_us),),
        business=Business(
            kind=BusinessKind.NEW,
            reason=BUSINESS_REASONS[BusinessKind.NEW],
            paper=0,  # EXC-1: no paper copy follows
            staff=StaffInfo(department=header.sender.name, staff=clerk) if clerk else None,
        ),
        attachments=(attachment,),
    )
    written = edxml.write(packet, into)
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        read = edxml.parse(written.path, Path(folder), _ANY_SIZE).packet
    if not isinstance(read, DocumentPacket) or [file.sha256 for file in read.attachments] != [row.head]:
        raise ExchangeError("attachment-changed", "the packet does not carry the signed bytes")
    return written
