"""From a sealed document to the packet that carries it: the header's fields, and the file with the PDF byte for byte."""

import datetime as dt
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

import msgspec

from server.db import Row
from server.documents.model import DocumentRow
from server.exchange import edxml
from server.exchange.business import Meaning, business
from server.exchange.model import (
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

    @classmethod
    def of(cls, facts: Row, organ_codes: Mapping[str, str]) -> "Sender":
        """From `queries.header_facts`; `organ_codes` as in the settings."""
        code = str(facts["code"])
        return cls(
            organ_id=organ_codes.get(code, code),
            name=facts["name"],
            signer=Signer(
                competence=facts["authority_line"] or "",
                position=facts["signer_position"] or "",
                full_name=facts["signer_name"] or "",
            ),
            clerk=facts["clerk_name"] or "",
        )


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


def pdf_name(row: DocumentRow) -> str:
    """What receivers see as the file's name."""
    return f"{row.code_number}-{row.code_notation}.pdf".replace("/", "-").replace("\\", "-")


def write_packet(
    row: DocumentRow, header: MessageHeader, clerk: str, pdf: Path, into: Path, asked: Meaning
) -> edxml.Written:
    """Write the packet with the file `pdf` to the new file `into`. Blocks. The same document always gives the same bytes.

    Raises: ExchangeError("attachment-changed") if the packet would not give back exactly the bytes whose digest is the
    document's head (reference §10), and what the writer raises.
    """
    content_id = str(uuid.uuid5(uuid.UUID(row.id), row.head))
    attachment = edxml.attachment(pdf, pdf_name(row), "application/pdf", content_id=content_id)
    packet = DocumentPacket(
        header=header,
        traces=(TraceHeader(organ_id=header.sender.organ_id, at_us=row.state_since_us),),
        business=business(asked, staff=StaffInfo(department=header.sender.name, staff=clerk) if clerk else None),
        attachments=(attachment,),
    )
    written = edxml.write(packet, into)
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        read = edxml.parse(written.path, Path(folder), _ANY_SIZE).packet
    if not isinstance(read, DocumentPacket) or [file.sha256 for file in read.attachments] != [row.head]:
        raise ExchangeError("attachment-changed", "the packet does not carry the signed bytes")
    return written
