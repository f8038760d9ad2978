"""Writes packets exactly as receivers behind the axis expect them: prefixes, order and encodings of the reference.

The header is serialised from a small tree; attachments flow from their files through zip and base64 into the output,
so memory does not grow with their size. The same packet always gives the same bytes, so a repeated send has the same
file hash (threat D2).
"""

import binascii
import hashlib
import re
import uuid
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final
from xml.sax.saxutils import escape

import msgspec

from server.exchange.model import (
    Attachment,
    Business,
    DocumentPacket,
    ExchangeError,
    MessageHeader,
    Organisation,
    OtherInfo,
    Packet,
    ResponseFor,
    StaffInfo,
    StatusPacket,
    TraceHeader,
)
from server.exchange.wire import write_date, write_time
from server.exchange.xmlread import NAMESPACE

CHUNK: Final = 3 << 16
_SAMPLE: Final = 1 << 14
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_EXTENSION: Final = re.compile(r"\.[0-9A-Za-z]{1,10}")
_PREFIX: Final = "edXML:"

Element = tuple[str, "str | list[Element | None]"]


class Written(msgspec.Struct, frozen=True):
    """`size` in bytes and lower-case hex `sha256` of the packet file, as the axis' `hash-file` wants it."""

    path: Path
    size: int
    sha256: str


class _Out:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
        self._file.write(data)

    def line(self, depth: int, text: str) -> None:
        self.write(f"{'  ' * depth}{text}\n".encode())

    def digest(self) -> str:
        return self._hash.hexdigest()


class _Base64:
    """File-like end of the zip writer; it cannot seek, which makes zipfile stream with data descriptors."""

    def __init__(self, out: _Out) -> None:
        self._out = out
        self._rest = b""

    def write(self, data: bytes) -> int:
        joined = self._rest + data if self._rest else data
        whole = len(joined) - len(joined) % 3
        self._out.write(binascii.b2a_base64(joined[:whole], newline=False))
        self._rest = bytes(joined[whole:])
        return len(data)

    def flush(self) -> None:
        """Nothing is held back but the last incomplete group."""

    def finish(self) -> None:
        self._out.write(binascii.b2a_base64(self._rest, newline=False))


def write(packet: Packet, path: Path) -> Written:
    """Writes `packet` to `path` (replaced, not synced). Blocking: call it off the event loop.

    Raises ExchangeError: `attachment-changed` if a file's bytes are not those of its `sha256` and `size`,
    `invalid-text` for characters that XML cannot carry. On any error no file is left.
    """
    try:
        with path.open("wb") as file:
            out = _Out(file)
            _packet(out, packet)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Written(path, out.size, out.digest())


def _packet(out: _Out, packet: Packet) -> None:
    out.line(0, '<?xml version="1.0" encoding="UTF-8"?>')
    out.line(0, f'<edXML xmlns="{NAMESPACE}">')
    out.line(1, f'<edXML:edXMLEnvelope xmlns:edXML="{NAMESPACE}">')
    if isinstance(packet, StatusPacket):
        _element(out, 2, ("edXMLHeader", [("MessageHeader", _status(packet))]))
        out.line(1, "</edXML:edXMLEnvelope>")
    else:
        traces: list[Element | None] = [_trace(trace) for trace in packet.traces]
        traces.append(_business(packet.business) if packet.business else None)
        head: list[Element | None] = [("MessageHeader", _header(packet.header)), ("TraceHeaderList", traces)]
        _element(out, 2, ("edXMLHeader", head))
        _body(out, packet)
        out.line(1, "</edXML:edXMLEnvelope>")
        _attachments(out, packet)
    out.line(0, "</edXML>")


def _element(out: _Out, depth: int, element: Element, prefix: str = _PREFIX) -> None:
    name, content = element
    if isinstance(content, str):
        out.line(depth, f"<{prefix}{name}>{_escaped(name, content)}</{prefix}{name}>")
        return
    out.line(depth, f"<{prefix}{name}>")
    for child in content:
        if child is not None:
            _element(out, depth + 1, child, prefix)
    out.line(depth, f"</{prefix}{name}>")


def _escaped(name: str, text: str) -> str:
    if _NOT_XML.search(text):
        raise ExchangeError("invalid-text", f"{name} holds a character that XML cannot carry")
    return escape(text, {"\r": "&#13;"})


def _optional(name: str, text: str | int | None) -> Element | None:
    return None if text is None or text == "" else (name, str(text))


def _organisation(name: str, organ: Organisation) -> Element:
    return (
        name,
        [
            ("OrganId", organ.organ_id),
            _optional("OrganizationInCharge", organ.in_charge),
            _optional("OrganName", organ.name),
            _optional("OrganAdd", organ.address),
            _optional("Email", organ.email),
            _optional("Telephone", organ.telephone),
            _optional("Fax", organ.fax),
            _optional("Website", organ.website),
        ],
    )


def _header(header: MessageHeader) -> list[Element | None]:
    signer = header.signer
    signer_info: list[Element | None] = [
        _optional("Competence", signer.competence),
        _optional("Position", signer.position),
        _optional("FullName", signer.full_name),
    ]
    return [
        _organisation("From", header.sender),
        *(_organisation("To", to) for to in header.receivers),
        ("DocumentId", header.document_id),
        ("Code", [("CodeNumber", header.number), ("CodeNotation", header.notation)]),
        (
            "PromulgationInfo",
            [_optional("Place", header.place), ("PromulgationDate", write_date(header.promulgated))],
        ),
        (
            "DocumentType",
            [
                ("Type", "" if header.type_code is None else str(header.type_code)),
                _optional("TypeDetail", header.type_detail),
                ("TypeName", header.type_name),
            ],
        ),
        ("Subject", header.subject),
        _optional("Content", header.content),
        ("SignerInfo", signer_info) if any(signer_info) else None,
        _optional("DueDate", write_date(header.due)),
        _other(header.other),
        *(_response(response) for response in header.responses),
        _optional("SteeringType", header.steering),
        ("ResponseForTask", [("TaskCode", task) for task in header.tasks]) if header.tasks else None,
        _optional("ApplicationType", header.application_type),
        ("ToPlaces", [("Place", place) for place in header.to_places]) if header.to_places else None,
    ]


def _other(other: OtherInfo) -> Element | None:
    direction = None if other.direction is None else str(other.direction).lower()
    content: list[Element | None] = [
        _optional("Priority", other.priority),
        _optional("SphereOfPromulgation", other.sphere),
        _optional("TyperNotation", other.typist),
        _optional("PromulgationAmount", other.issued_amount),
        _optional("PageAmount", other.page_amount),
        _optional("ReplyFors", other.reply_fors),
        _optional("Direction", direction),
        _optional("ReferenceCodes", other.reference_codes),
        ("Appendixes", [("Appendix", text) for text in other.appendixes]) if other.appendixes else None,
    ]
    return ("OtherInfo", content) if any(content) else None


def _response(response: ResponseFor) -> Element:
    return (
        "ResponseFor",
        [
            ("OrganId", response.organ_id),
            ("Code", response.code),
            ("DocumentId", response.document_id),
            ("PromulgationDate", write_date(response.promulgated)),
        ],
    )


def _trace(trace: TraceHeader) -> Element:
    return ("TraceHeader", [("OrganId", trace.organ_id), ("Timestamp", write_time(trace.at_us))])


def _business(business: Business) -> Element:
    update = business.update
    return (
        "Bussiness",
        [
            _optional("DocumentId", business.document_id),
            ("BussinessDocType", str(business.kind)),
            _optional("BussinessDocReason", business.reason),
            _optional("Paper", business.paper),
            (
                "BussinessDocumentInfo",
                [
                    _optional("DocumentInfo", update.document_changed),
                    _optional("DocumentReceiver", update.receivers_changed),
                    (
                        "ReceiverList",
                        [
                            ("Receiver", [("OrganId", to.organ_id), _optional("ReceiverType", to.change)])
                            for to in update.receivers
                        ],
                    )
                    if update.receivers
                    else None,
                ],
            )
            if update
            else None,
            (
                "ReplacementInfoList",
                [
                    (
                        "ReplacementInfo",
                        [
                            ("DocumentId", replaced.document_id),
                            ("OrganIdList", [("OrganId", organ_id) for organ_id in replaced.organ_ids]),
                        ],
                    )
                    for replaced in business.replacements
                ],
            )
            if business.replacements
            else None,
            _staff(business.staff) if business.staff else None,
        ],
    )


def _staff(staff: StaffInfo) -> Element:
    return (
        "StaffInfo",
        [
            _optional("Department", staff.department),
            _optional("DepartmentId", staff.department_id),
            _optional("Staff", staff.staff),
            _optional("StaffId", staff.staff_id),
            _optional("Email", staff.email),
            _optional("Mobile", staff.mobile),
        ],
    )


def _status(packet: StatusPacket) -> list[Element | None]:
    answered = packet.response_for
    return [
        _organisation("From", packet.sender),
        (
            "ResponseFor",
            [
                ("OrganId", answered.organ_id),
                ("Code", answered.code),
                ("PromulgationDate", write_date(answered.promulgated)),
                ("DocumentId", answered.document_id),
            ],
        ),
        _staff(packet.staff) if packet.staff else None,
        ("StatusCode", packet.status),
        _optional("Description", packet.description),
        ("Timestamp", write_time(packet.at_us)),
    ]


def _body(out: _Out, packet: DocumentPacket) -> None:
    out.line(2, "<edXML:edXMLBody>")
    out.line(3, '<edXML:edXMLManifest version="1.0">')
    for attachment in packet.attachments:
        reference: list[Element | None] = [
            ("ContentId", f"cid:{attachment.content_id}"),
            ("ContentType", attachment.content_type),
            _optional("Description", attachment.description),
            ("AttachmentName", attachment.name),
        ]
        _element(out, 4, ("Reference", reference))
    out.line(3, "</edXML:edXMLManifest>")
    out.line(2, "</edXML:edXMLBody>")


def _attachments(out: _Out, packet: DocumentPacket) -> None:
    if not packet.attachments:
        return
    out.line(1, "<AttachmentEncoded>")
    for attachment in packet.attachments:
        out.line(2, "<Attachment>")
        for name, text in (
            ("ContentId", f"cid:{attachment.content_id}"),
            ("AttachmentName", attachment.name),
            ("Description", attachment.description),
            ("ContentType", "application/zip"),
        ):
            _element(out, 3, (name, text), prefix="")
        out.write(f'      <edXML:ContentTransferEncoded xmlns:edXML="{NAMESPACE}">'.encode())
        _payload(out, attachment)
        out.write(b"</edXML:ContentTransferEncoded>\n")
        out.line(2, "</Attachment>")
    out.line(1, "</AttachmentEncoded>")


def _payload(out: _Out, attachment: Attachment) -> None:
    encoded = _Base64(out)
    digest = hashlib.sha256()
    size = 0
    with (
        attachment.path.open("rb") as source,
        zipfile.ZipFile(encoded, "w", zipfile.ZIP_DEFLATED, compresslevel=_level(source, attachment.size)) as archive,  # type: ignore[call-overload]
        archive.open(_entry_name(attachment), "w", force_zip64=attachment.size >= 1 << 31) as target,
    ):
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            target.write(chunk)
    encoded.finish()
    if digest.hexdigest() != attachment.sha256 or size != attachment.size:
        # What has force is the signature inside the file: other bytes than those that were checked never leave.
        raise ExchangeError("attachment-changed", "the file's bytes are not those of its digest")


def _level(source: BinaryIO, size: int) -> int:
    """Deflate level: 0 (stored blocks) where three looks into the file gain less than 4 %, as in scans and office files."""
    sample = b""
    for place in (0, size // 2, size // 4 * 3):
        source.seek(place)
        sample += source.read(_SAMPLE)
    source.seek(0)
    return 1 if len(zlib.compress(sample, 1)) < len(sample) * 0.96 else 0


def _entry_name(attachment: Attachment) -> str:
    """`<uuid>.<extension>` as the exchange's SDK does; the UUID follows from the content id, so bytes are stable."""
    suffix = PurePosixPath(attachment.name).suffix
    extension = suffix if _EXTENSION.fullmatch(suffix) else ""
    return f"{uuid.uuid5(uuid.NAMESPACE_OID, attachment.content_id)}{extension}"
