"""edXML packets (QCVN 102:2016, amended 2022): `parse`, `write`, `inspect`.

Reading is lenient where packets in circulation are wrong and the meaning is plain, and lists what it repaired; beyond
that it raises `Unreadable` with a stable code, a line and a reason. Reading and writing block: call them off the loop.

The module is over 400 lines because the mapping of every element to `model` reads best in one place, beside the rules
of what is repaired.
"""

import base64
import hashlib
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

import msgspec

from server.exchange import zips
from server.exchange.filetypes import real_type
from server.exchange.model import (
    Attachment,
    Business,
    DocumentPacket,
    MessageHeader,
    Organisation,
    OtherInfo,
    Packet,
    ReceiverChange,
    Replacement,
    ResponseFor,
    Signer,
    StaffInfo,
    StatusCode,
    StatusPacket,
    TraceHeader,
    UpdateInfo,
    too_long,
)
from server.exchange.wire import read_date, read_flag, read_number, read_time, write_date, write_time
from server.exchange.xmlread import Limits, Node, Repair, Unreadable, read_tree
from server.exchange.xmlwrite import Written, write

__all__ = ["FINDINGS", "Limits", "Parsed", "Repair", "Unreadable", "Written", "attachment", "inspect", "parse", "write"]

T = TypeVar("T")

FINDINGS: Final = {
    "text-corrupted": "the file passed through a text conversion and is damaged",
    "magic-mismatch": "the content is not what the extension says",
    "wrong-content-type": "the declared type is not the extension's",
}
"""What can be wrong with a received file whose packet is readable: the clerk decides (EXC-2, EXC-3)."""

_TYPES: Final = {
    ".pdf": ("application/pdf", b"%PDF-"),
    ".docx": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", b"PK\x03\x04"),
    ".xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK\x03\x04"),
    ".pptx": ("application/vnd.openxmlformats-officedocument.presentationml.presentation", b"PK\x03\x04"),
    ".doc": ("application/msword", b"\xd0\xcf\x11\xe0"),
    ".xls": ("application/vnd.ms-excel", b"\xd0\xcf\x11\xe0"),
    ".ppt": ("application/vnd.ms-powerpoint", b"\xd0\xcf\x11\xe0"),
    ".zip": ("application/zip", b"PK"),
    ".png": ("image/png", b"\x89PNG"),
    ".jpg": ("image/jpeg", b"\xff\xd8\xff"),
    ".jpeg": ("image/jpeg", b"\xff\xd8\xff"),
    ".tif": ("image/tiff", b""),
    ".tiff": ("image/tiff", b""),
    ".txt": ("text/plain", b""),
    ".xml": ("application/xml", b""),
    ".edxml": ("application/xml", b""),
}


_NULL: Final = base64.b64decode("null")
"""What the literal `null` of some senders decodes to: no file has these three bytes alone."""


class Parsed(msgspec.Struct, frozen=True):
    """`repairs` in the order of reading; empty for a packet that follows the reference."""

    packet: Packet
    repairs: tuple[Repair, ...]


def attachment(path: Path, name: str, content_type: str, *, content_id: str, description: str = "") -> Attachment:
    """An attachment of the file at `path`, measured and hashed now. `content_id` is a fresh UUID without `cid:`."""
    size, digest = _measure(path)
    return Attachment(
        content_id=content_id,
        name=name,
        content_type=content_type,
        size=size,
        sha256=digest,
        path=path,
        description=description,
    )


def parse(path: Path, into: Path, limits: Limits | None = None) -> Parsed:
    """Reads the packet at `path`; attachments become files of ours in the existing folder `into`.

    Raises Unreadable: the codes of `xmlread.read_tree`, and nonstandard-attachments, missing-element, ambiguous,
    bad-status, zip-bomb, zip-broken, zip-entry-refused. Files made until then are removed.
    """
    return _Parser(into, limits or Limits()).run(path)


class _Parser:
    def __init__(self, into: Path, limits: Limits) -> None:
        self._into = into
        self._limits = limits
        self._made: list[Path] = []
        self.repairs: list[Repair] = []

    def run(self, path: Path) -> Parsed:
        try:
            root, self.repairs = read_tree(path, self._scratch, self._limits)
            packet = self._packet(root)
        except BaseException:
            self._remove(self._made)
            raise
        kept = {file.path for file in packet.attachments} if isinstance(packet, DocumentPacket) else set()
        self._remove([made for made in self._made if made not in kept])
        return Parsed(packet, tuple(self.repairs))

    def _scratch(self) -> Path:
        self._made.append(self._into / f"part-{uuid.uuid4().hex}")
        return self._made[-1]

    @staticmethod
    def _remove(paths: list[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)

    def repaired(self, code: str, node: Node, element: str = "") -> None:
        if len(self.repairs) < 100:
            self.repairs.append(Repair(code, node.line, element or node.name))

    # -- leaves ------------------------------------------------------------------------------------------------------

    def _text(self, node: Node | None, name: str) -> str:
        found = node.first(name) if node else None
        return "" if found is None else self._said(found)

    def _texts(self, node: Node | None, name: str) -> tuple[str, ...]:
        said = (self._said(child) for child in (node.all(name) if node else ()))
        return tuple(text for text in said if text)

    def _said(self, node: Node) -> str:
        text = node.text
        if text != "null":
            return text
        self.repaired("literal-null", node)
        return ""

    def _value(self, node: Node | None, name: str, read: Callable[[str], T]) -> T | None:
        text = self._text(node, name)
        if not text:
            return None
        try:
            return read(text)
        except (ValueError, OverflowError):
            if node is not None:
                self.repaired("unreadable-value", node.first(name) or node)
            return None

    def _only(self, node: Node, name: str) -> Node:
        found = node.all(name)
        if not found:
            raise Unreadable("missing-element", name, node.line)
        if len(found) > 1:
            # Two of them could be read differently by us and by the next system (threat B7): neither is taken.
            raise Unreadable("ambiguous", f"more than one {name}", found[1].line)
        return found[0]

    def _at_most_one(self, node: Node, *names: str) -> None:
        for name in names:
            if len(node.all(name)) > 1:
                raise Unreadable("ambiguous", f"more than one {name}", node.all(name)[1].line)

    # -- parts -------------------------------------------------------------------------------------------------------

    def _packet(self, root: Node) -> Packet:
        envelope = self._only(root, "edXMLEnvelope")
        if envelope.first("edXMLAttachments") or root.first("edXMLAttachments"):
            raise Unreadable("nonstandard-attachments", "edXMLAttachments is not part of the regulation", envelope.line)
        head = self._only(envelope, "edXMLHeader")
        message = self._only(head, "MessageHeader")
        self._at_most_one(message, "From", "DocumentId", "StatusCode", "Code")
        if message.first("StatusCode"):
            return self._status(message)
        header = self._header(message)
        traces = head.first("TraceHeaderList") or Node("TraceHeaderList", head.line)
        if not traces.all("TraceHeader"):
            self.repaired("no-trace", head)
        self._at_most_one(traces, "Business")
        business = traces.first("Business")
        return DocumentPacket(
            header=header,
            traces=tuple(self._trace(trace) for trace in traces.all("TraceHeader")),
            business=self._business(business) if business else None,
            attachments=self._attachments(root, envelope),
        )

    def _status(self, message: Node) -> StatusPacket:
        answered = self._only(message, "ResponseFor")
        status = self._text(message, "StatusCode")
        if len(status) == 1 and status.isdigit():
            self.repaired("status-without-zero", message, "StatusCode")
            status = "0" + status
        if not (len(status) == 2 and status.isascii() and status.isdigit()):
            raise Unreadable("bad-status", "StatusCode is not two digits", message.line)
        if not self._text(answered, "OrganId"):
            raise Unreadable("missing-element", "ResponseFor/OrganId", answered.line)
        return StatusPacket(
            sender=self._sender(message),
            response_for=self._response(answered),
            status=status,
            description=self._text(message, "Description"),
            at_us=self._value(message, "Timestamp", read_time),
            staff=self._staff(message.first("StaffInfo")),
        )

    def _sender(self, message: Node) -> Organisation:
        sender = self._organisation(self._only(message, "From"))
        if not sender.organ_id:
            raise Unreadable("missing-element", "From/OrganId", message.line)
        return sender

    def _header(self, message: Node) -> MessageHeader:
        receivers = []
        for node in message.all("To"):
            receiver = self._organisation(node)
            if receiver.organ_id:
                receivers.append(receiver)
            else:
                self.repaired("receiver-without-code", node)
        if not receivers:
            raise Unreadable("missing-element", "To/OrganId", message.line)
        code, issue = message.first("Code"), message.first("PromulgationInfo")
        kind, signer = message.first("DocumentType"), message.first("SignerInfo")
        places = message.first("ToPlaces")
        tasks = message.first("ResponseForTask")
        responses = (self._response(node) for node in message.all("ResponseFor"))
        return MessageHeader(
            sender=self._sender(message),
            receivers=tuple(receivers),
            document_id=self._text(message, "DocumentId"),
            number=self._text(code, "CodeNumber"),
            notation=self._text(code, "CodeNotation"),
            place=self._text(issue, "Place"),
            promulgated=self._value(issue, "PromulgationDate", read_date),
            type_code=self._value(kind, "Type", read_number),
            type_detail=self._value(kind, "TypeDetail", read_number),
            type_name=self._text(kind, "TypeName"),
            subject=self._text(message, "Subject"),
            content=self._text(message, "Content"),
            signer=Signer(
                competence=self._text(signer, "Competence"),
                position=self._text(signer, "Position"),
                full_name=self._text(signer, "FullName"),
            ),
            due=self._value(message, "DueDate", read_date),
            other=self._other(message.first("OtherInfo")),
            responses=tuple(response for response in responses if response != ResponseFor()),
            steering=self._value(message, "SteeringType", read_number),
            tasks=self._texts(tasks, "TaskCode"),
            application_type=self._text(message, "ApplicationType"),
            to_places=self._texts(places, "Place"),
        )

    def _organisation(self, node: Node) -> Organisation:
        in_charge = self._text(node, "OrganizationInCharge")
        if node.first("OrganInCharge") and not in_charge:
            self.repaired("old-element-name", node, "OrganInCharge")
            in_charge = self._text(node, "OrganInCharge")
        self._at_most_one(node, "OrganId")
        return Organisation(
            organ_id=self._text(node, "OrganId"),
            in_charge=in_charge,
            name=self._text(node, "OrganName"),
            address=self._text(node, "OrganAdd"),
            email=self._text(node, "Email"),
            telephone=self._text(node, "Telephone"),
            fax=self._text(node, "Fax"),
            website=self._text(node, "Website"),
        )

    def _other(self, node: Node | None) -> OtherInfo:
        return OtherInfo(
            priority=self._value(node, "Priority", read_number),
            sphere=self._text(node, "SphereOfPromulgation"),
            typist=self._text(node, "TyperNotation"),
            issued_amount=self._value(node, "PromulgationAmount", read_number),
            page_amount=self._value(node, "PageAmount", read_number),
            reply_fors=self._text(node, "ReplyFors"),
            direction=self._value(node, "Direction", read_flag),
            reference_codes=self._text(node, "ReferenceCodes"),
            appendixes=self._texts(node.first("Appendixes") if node else None, "Appendix"),
        )

    def _response(self, node: Node) -> ResponseFor:
        return ResponseFor(
            organ_id=self._text(node, "OrganId"),
            code=self._text(node, "Code"),
            document_id=self._text(node, "DocumentId"),
            promulgated=self._value(node, "PromulgationDate", read_date),
        )

    def _trace(self, node: Node) -> TraceHeader:
        return TraceHeader(organ_id=self._text(node, "OrganId"), at_us=self._value(node, "Timestamp", read_time))

    def _staff(self, node: Node | None) -> StaffInfo | None:
        if node is None:
            return None
        return StaffInfo(
            department=self._text(node, "Department"),
            department_id=self._text(node, "DepartmentId"),
            staff=self._text(node, "Staff"),
            staff_id=self._text(node, "StaffId"),
            email=self._text(node, "Email"),
            mobile=self._text(node, "Mobile"),
        )

    def _business(self, node: Node) -> Business:
        self._at_most_one(node, "BusinessDocType", "DocumentId")
        kind = self._value(node, "BusinessDocType", read_number)
        if kind is None and self._text(node, "BusinessDocType"):
            raise Unreadable("missing-element", "BussinessDocType is not a number", node.line)
        update = node.first("BusinessDocumentInfo")
        replacements = node.first("ReplacementInfoList")
        return Business(
            kind=kind or 0,
            document_id=self._text(node, "DocumentId"),
            reason=self._text(node, "BusinessDocReason"),
            paper=self._value(node, "Paper", read_number),
            update=self._update(update) if update else None,
            replacements=self._replacements(replacements) if replacements else (),
            staff=self._staff(node.first("StaffInfo")),
        )

    def _update(self, node: Node) -> UpdateInfo:
        receivers = node.first("ReceiverList")
        return UpdateInfo(
            document_changed=self._value(node, "DocumentInfo", read_number),
            receivers_changed=self._value(node, "DocumentReceiver", read_number),
            receivers=tuple(
                ReceiverChange(
                    organ_id=self._text(receiver, "OrganId"), change=self._value(receiver, "ReceiverType", read_number)
                )
                for receiver in (receivers.all("Receiver") if receivers else ())
            ),
        )

    def _replacements(self, node: Node) -> tuple[Replacement, ...]:
        found = []
        for entry in node.all("ReplacementInfo"):
            holders = self._texts(entry.first("OrganIdList"), "OrganId")
            replaced = Replacement(document_id=self._text(entry, "DocumentId"), organ_ids=holders)
            if replaced in found:
                self.repaired("repeated-entry", entry)
            else:
                found.append(replaced)
        return tuple(found)

    # -- attachments -------------------------------------------------------------------------------------------------

    def _attachments(self, root: Node, envelope: Node) -> tuple[Attachment, ...]:
        body = envelope.first("edXMLBody")
        manifest = body.first("edXMLManifest") if body else None
        references = {self._content_id(node): node for node in (manifest.all("Reference") if manifest else ())}
        lists = [*root.all("AttachmentEncoded"), *envelope.all("AttachmentEncoded")]
        nodes = [node for encoded in lists for node in encoded.all("Attachment")]
        files: list[Attachment] = []
        for index, node in enumerate(nodes):
            file = self._attachment(node, references.pop(self._content_id(node), None), f"part-{index}")
            if any(file.content_id == other.content_id for other in files):
                raise Unreadable("ambiguous", "two attachments share a ContentId", node.line)
            files.append(file)
        for node in references.values():
            self.repaired("reference-without-attachment", node)
        return tuple(files)

    def _content_id(self, node: Node) -> str:
        return self._text(node, "ContentId").removeprefix("cid:")

    def _attachment(self, node: Node, reference: Node | None, unnamed: str) -> Attachment:
        self._at_most_one(node, "ContentTransferEncoded", "ContentTransferEncoding")
        payload = node.first("ContentTransferEncoded") or node.first("ContentTransferEncoding")
        if payload is None or payload.payload is None:
            raise Unreadable("missing-element", "ContentTransferEncoded", node.line)
        if payload.name == "ContentTransferEncoding":
            self.repaired("old-element-name", payload)
        if reference is None:
            self.repaired("attachment-without-reference", node)
        name = self._text(node, "AttachmentName") or self._text(reference, "AttachmentName") or "attachment"
        declared = self._text(node, "ContentType")
        try:
            path, size, digest, wrapped = self._unwrapped(payload, payload.payload, name, declared)
        except zips.ZipRefused as error:
            raise Unreadable(error.code, error.reason, payload.line) from error
        if size == len(_NULL) and path.read_bytes() == _NULL:
            raise Unreadable("bad-base64", "the literal null", payload.line)
        if wrapped and declared != "application/zip":
            self.repaired("zip-not-declared", node)
        content_type = _content_type(self._text(reference, "ContentType"), declared, name)
        return Attachment(
            content_id=self._content_id(node) or unnamed,
            name=name,
            content_type=content_type,
            size=size,
            sha256=digest,
            path=path,
            description=self._text(node, "Description") or self._text(reference, "Description"),
            findings=_findings(path, name, content_type),
        )

    def _unwrapped(self, node: Node, payload: Path, name: str, declared: str) -> tuple[Path, int, str, bool]:
        """The file itself by the reference's decoding rule §4.8, steps 2 to 4. Raises: ZipRefused."""
        entry = zips.single_entry(payload)
        forced = declared == "application/zip" and not name.lower().endswith(".zip")
        if entry is None or not (forced or zips.is_wrapper(entry, name)):
            if declared == "application/zip" and not zips.is_zip(payload):
                self.repaired("not-zipped", node, "Attachment")
            return payload, *_measure(payload), False
        target = self._scratch()
        zip_limits = zips.ZipLimits(max_bytes=self._limits.max_attachment)
        size, digest = zips.unwrap(payload, target, zip_limits)
        payload.unlink()
        return target, size, digest, True


def _measure(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _content_type(referenced: str, declared: str, name: str) -> str:
    known = _TYPES.get(PurePosixPath(name).suffix.lower(), ("application/octet-stream", b""))[0]
    for given in (referenced, declared):
        if given and (given != "application/zip" or known == given):
            return given
    return known


def _findings(path: Path, name: str, content_type: str) -> tuple[str, ...]:
    known = _TYPES.get(PurePosixPath(name).suffix.lower())
    with path.open("rb") as file:
        head = file.read(1024)
    found = []
    # Replacement characters right after the header show that binary bytes were decoded as text on the way.
    if b"%PDF-" in head and b"\xef\xbf\xbd\xef\xbf\xbd" in head[:128]:
        found.append("text-corrupted")
    if known and known[1] and known[1] not in (head if known[1] == b"%PDF-" else head[: len(known[1])]):
        found.append("magic-mismatch")
    if known and content_type != known[0]:
        found.append("wrong-content-type")
    return tuple(found)


def inspect(path: Path) -> dict[str, object]:
    """What `hoatoc edxml inspect` shows: JSON values only, never raises Unreadable.

    `{"readable": true, "kind", ..., "repairs": [{code, line, element}]}`, or
    `{"readable": false, "code", "line", "reason"}`.
    """
    with tempfile.TemporaryDirectory(prefix="edxml-") as folder:
        try:
            parsed = parse(path, Path(folder))
        except Unreadable as error:
            return {"readable": False, "code": error.code, "line": error.line, "reason": error.reason}
        packet = parsed.packet
        shown = _shown_status(packet) if isinstance(packet, StatusPacket) else _shown_document(packet)
    return {
        "readable": True,
        "kind": packet.kind.value,
        **shown,
        "repairs": [msgspec.to_builtins(repair) for repair in parsed.repairs],
    }


def _shown_status(packet: StatusPacket) -> dict[str, object]:
    return {
        "from": packet.sender.organ_id,
        "to": [packet.response_for.organ_id],
        "document_id": packet.response_for.document_id,
        "code": packet.response_for.code,
        "status": packet.status,
        "known_status": packet.status in list(StatusCode),
        "description": packet.description,
        "at": write_time(packet.at_us),
    }


def _shown_document(packet: DocumentPacket) -> dict[str, object]:
    header = packet.header
    return {
        "from": header.sender.organ_id,
        "to": [to.organ_id for to in header.receivers],
        "document_id": header.document_id,
        "code": header.code,
        "promulgated": write_date(header.promulgated),
        "type_name": header.type_name,
        "subject": header.subject,
        "priority": header.other.priority,
        "business": packet.business_kind,
        "reason": packet.business.reason if packet.business else "",
        "about": _about(packet.business),
        "traces": [{"organ_id": trace.organ_id, "at": write_time(trace.at_us)} for trace in packet.traces],
        "attachments": [
            {
                "name": file.name,
                "content_type": file.content_type,
                "real_type": real_type(file.path),
                "size": file.size,
                "sha256": file.sha256,
                "findings": list(file.findings),
            }
            for file in packet.attachments
        ],
        "too_long": [msgspec.to_builtins(field) for field in too_long(header)],
    }


def _about(business: Business | None) -> list[str]:
    """The earlier documents that a packet speaks of."""
    if business is None:
        return []
    return [one for one in (business.document_id, *(replaced.document_id for replaced in business.replacements)) if one]
