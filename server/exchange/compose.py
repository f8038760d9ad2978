"""From a sealed document to the packet that carries it: the header's fields, and the file with the PDF byte for byte."""

import datetime as dt
import tempfile
import uuid
from collections.abc import Mapping, Sequence
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


def header_of(row: DocumentRow, sender: Sender, annexes: Sequence[DocumentRow] = ()) -> MessageHeader:
    """The MessageHeader of a sealed document and of the annexes that go with it. Whether its fields fit, `model.too_long` says (DOC-7)."""
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
            appendixes=tuple(annex.subject for annex in annexes),
        ),
        steering=_NO_STEERING,
        to_places=tuple(metadata.to_places),
    )


def pdf_name(row: DocumentRow, annex: int = 0) -> str:
    """What receivers see as the file's name; `annex`: its number, from 1."""
    behind = f"-phu-luc-{annex}" if annex else ""
    return f"{row.code_number}-{row.code_notation}{behind}.pdf".replace("/", "-").replace("\\", "-")


def content_id(document: str, revision: str) -> str:
    """The same for the same bytes of the same document."""
    return str(uuid.uuid5(uuid.UUID(document), revision))


def write_packet(
    row: DocumentRow,
    header: MessageHeader,
    clerk: str,
    files: Sequence[tuple[DocumentRow, Path]],
    into: Path,
    asked: Meaning,
) -> edxml.Written:
    """Write the packet of the document `row` to the new file `into`. Blocks. The same document always gives the same bytes.

    `files`: the document with its PDF, then its annexes with theirs, each an attachment (SIG-4). Raises:
    ExchangeError("attachment-changed") if the packet would not give back exactly the bytes whose digests are their heads (reference §10),
    and what the writer raises.
    """
    attachments = tuple(
        edxml.attachment(
            pdf,
            pdf_name(row, number),
            "application/pdf",
            content_id=content_id(one.id, one.head),
            description=one.subject if number else "",
        )
        for number, (one, pdf) in enumerate(files)
    )
    packet = DocumentPacket(
        header=header,
        traces=(TraceHeader(organ_id=header.sender.organ_id, at_us=row.state_since_us),),
        business=business(asked, staff=StaffInfo(department=header.sender.name, staff=clerk) if clerk else None),
        attachments=attachments,
    )
    written = edxml.write(packet, into)
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        read = edxml.parse(written.path, Path(folder), _ANY_SIZE).packet
    if not isinstance(read, DocumentPacket) or [file.sha256 for file in read.attachments] != [
        one.head for one, _ in files
    ]:
        raise ExchangeError("attachment-changed", "the packet does not carry the signed bytes")
    return written
