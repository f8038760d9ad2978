"""Reads hostile edXML (threat B6) into a small tree, with attachment payloads decoded to files as they flow by.

Expat is used without namespace processing: prefixes are resolved here, because packets with unbound or missing
prefixes circulate and must still be read. There is no DTD: the first DOCTYPE ends the reading, so no entity can be
declared, expanded or fetched. Memory is constant in the size of the attachments. The middle of a payload, where nothing but base64
stands, does not pass through expat, which would copy each byte four times.
"""

import binascii
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final
from xml.parsers import expat

import msgspec

from server.exchange.model import ExchangeError

NAMESPACE: Final = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
CHUNK: Final = 1 << 16
_PROLOGUE: Final = 1 << 16
_START: Final = re.compile(rb"<\?xml[\s]|<(?:edXML:)?edXML[\s>/]")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_BOM: Final = b"\xef\xbb\xbf"
_ENCODINGS: Final = frozenset({"utf-8", "utf8", "utf-16", "us-ascii", "ascii"})
_PAYLOADS: Final = frozenset({"ContentTransferEncoded", "ContentTransferEncoding"})
_PREFIXES: Final = 256
_SPACE: Final = b" \t\r\n"
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="


class Unreadable(ExchangeError):  # noqa: N818 - the outcome, not a fault of ours
    """The packet is beyond repair: keep it raw, quarantine it, confirm `fail`. `line` counts from 1, 0 = unknown."""

    def __init__(self, code: str, reason: str = "", line: int = 0) -> None:
        super().__init__(code, f"line {line}: {reason}" if line else reason)
        self.line = line
        self.reason = reason


class Repair(msgspec.Struct, frozen=True):
    """Something that was wrong and was read all the same. `code` is stable; `element` a local name or empty."""

    code: str
    line: int = 0
    element: str = ""


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one packet, in bytes unless said otherwise; `max_token` bounds a tag, comment or instruction.

    60,000 elements are about 6,000 receivers; with them and all text the tree stays within 20 MB (threat B6). As many attributes at most.
    """

    max_packet: int = 700 << 20
    max_depth: int = 32
    max_elements: int = 60_000
    max_text: int = 64 << 10
    max_all_text: int = 4 << 20
    max_token: int = 1 << 20
    max_attachments: int = 200
    max_attachment: int = 100 << 20
    max_all_attachments: int = 500 << 20


class Node:
    """One element: local name with `Bussiness` read as `Business`, text of its own, children of edXML only."""

    __slots__ = ("children", "length", "line", "name", "parts", "payload")

    def __init__(self, name: str, line: int) -> None:
        self.name = name
        self.line = line
        self.parts: list[str] = []
        self.length = 0  # of all parts
        self.children: list[Node] = []
        self.payload: Path | None = None

    @property
    def text(self) -> str:
        return "".join(self.parts).strip()

    def all(self, name: str) -> list["Node"]:
        return [child for child in self.children if child.name == name]

    def first(self, name: str) -> "Node | None":
        for child in self.children:
            if child.name == name:
                return child
        return None


class _Payload:
    """Strict base64 (RFC 4648 §4), white space allowed, decoded to a file four characters at a time."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self._file: BinaryIO = path.open("wb")
        self._rest = b""
        self._ended = False
        self._left = limit
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Raises Unreadable, and has then taken nothing."""
        data = self._rest + data
        try:
            raw, rest, ended = _decoded(data)
        except binascii.Error:
            try:
                raw, rest, ended = _decoded(data.translate(None, _SPACE))
            except binascii.Error:
                raise Unreadable("bad-base64", "not base64") from None
        if self._ended and (raw or rest):
            raise Unreadable("bad-base64", "data after the padding")
        if self.size + len(raw) > self._left:
            raise Unreadable("attachment-too-large")
        self._rest = rest
        self._ended = self._ended or ended
        self.size += len(raw)
        self._file.write(raw)

    def finish(self) -> Path:
        self._file.close()
        if self._rest:
            raise Unreadable("bad-base64", "truncated")
        return self.path

    def close(self) -> None:
        self._file.close()


def _decoded(data: bytes) -> tuple[bytes, bytes, bool]:
    """The bytes of all whole groups of four characters, the characters left over, and whether padding ended them."""
    whole = len(data) & ~3
    raw = binascii.a2b_base64(data[:whole], strict_mode=True) if whole else b""
    rest = data[whole:].translate(None, _SPACE)
    if rest.translate(None, _ALPHABET):
        raise binascii.Error("a character outside the alphabet")
    return raw, rest, data[whole - 1 : whole] == b"="


class _Reader:
    def __init__(self, scratch: Callable[[], Path], limits: Limits) -> None:
        self._scratch = scratch
        self._limits = limits
        self.repairs: list[Repair] = []
        self.root: Node | None = None
        self.ended = False
        self._open: list[Node | None] = []  # None stands for a foreign element and all below it
        self._scopes: list[dict[str, str]] = [{"xml": "http://www.w3.org/XML/1998/namespace"}]
        self._payload: _Payload | None = None
        self._elements = self._attributes = self._text = self._payloads = self._payload_bytes = 0
        self._lines = 0  # in what expat did not see
        self.ascii = True  # whether a byte of the packet's ASCII is a character; in UTF-16 two are
        self.expat = self._parser()

    def _parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.buffer_size = CHUNK
        parser.ordered_attributes = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        return parser

    @property
    def line(self) -> int:
        return self.expat.CurrentLineNumber + self._lines

    def following(self, file: BinaryIO, fed: int) -> bytes:
        """What expat reads after the first `fed` bytes that it was given; empty at the end of the file.

        Where it stands inside a payload and holds nothing back, what is plain base64 up to the next markup goes to the decoder; a
        reference, the end of a CDATA section or an error goes to expat as everything does.
        """
        data = file.read(CHUNK)
        while data and self.ascii and self._payload is not None and self.expat.CurrentByteIndex == fed:
            markup = data.find(b"<")
            plain = data if markup < 0 else data[:markup]
            try:
                self._payload.feed(plain)
            except Unreadable:
                break
            self._lines += plain.count(b"\n")
            if markup >= 0:
                return data[markup:]
            data = file.read(CHUNK)
        return data

    def repaired(self, code: str, element: str = "") -> None:
        if len(self.repairs) < 100 and all((r.code, r.element) != (code, element) for r in self.repairs):
            self.repairs.append(Repair(code, self.line, element))

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise Unreadable("encoding-refused", "only UTF-8 and UTF-16 are read")

    def _doctype(self, *_args: object) -> None:
        raise Unreadable("doctype-refused", "a document type declaration")

    def _start(self, tag: str, attributes: list[str]) -> None:
        self._elements += 1
        if len(self._open) >= self._limits.max_depth:
            raise Unreadable("too-deep")
        self._attributes += len(attributes) // 2
        if max(self._elements, self._attributes) > self._limits.max_elements:
            raise Unreadable("too-many-elements")
        if self._payload is not None:
            raise Unreadable("bad-base64", "an element inside the payload")
        self._scopes.append(self._scope(attributes))
        node = self._resolved(tag)
        parent = self._open[-1] if self._open else None
        if self._open and parent is None:
            node = None
        if node is not None and parent is not None:
            parent.children.append(node)
        if not self._open:
            self._check_root(node)
        self._open.append(node)
        if node is not None and node.name in _PAYLOADS and parent is not None and parent.name == "Attachment":
            self._payload = self._new_payload()

    def _check_root(self, node: Node | None) -> None:
        if node is None or node.name != "edXML":
            raise Unreadable("not-edxml", "the root element is not edXML")
        self.root = node

    def _new_payload(self) -> _Payload:
        self._payloads += 1
        if self._payloads > self._limits.max_attachments:
            raise Unreadable("too-many-attachments")
        left = self._limits.max_all_attachments - self._payload_bytes
        return _Payload(self._scratch(), min(self._limits.max_attachment, left))

    def _scope(self, attributes: list[str]) -> dict[str, str]:
        scope = self._scopes[-1]
        if not attributes:
            return scope
        pairs = list(zip(attributes[::2], attributes[1::2], strict=True))
        declared = {name[6:]: value for name, value in pairs if name == "xmlns" or name.startswith("xmlns:")}
        if declared:
            scope = {**scope, **declared}  # each element that declares one copies all of them
            if len(scope) > _PREFIXES:
                raise Unreadable("too-many-elements", "namespace declarations")
        for name, _ in pairs:
            prefix, colon, _ = name.partition(":")
            if colon and prefix != "xmlns" and prefix not in scope:
                self.repaired("unbound-prefix", prefix)
        return scope

    def _resolved(self, tag: str) -> Node | None:
        prefix, colon, local = tag.rpartition(":")
        uri = self._scopes[-1].get(prefix)
        if uri is None:
            self.repaired("unbound-prefix" if colon else "no-namespace", prefix)
        elif uri.rstrip("/") != NAMESPACE:
            if not self._open:
                raise Unreadable("not-edxml", "another namespace")
            return None
        if "siness" in local:
            if local.startswith("Business"):
                self.repaired("business-spelling", local)
            local = local.replace("Bussiness", "Business")
        if not colon and local == "MessageHeader":
            self.repaired("missing-prefix", local)
        return Node(local, self.line)

    def _characters(self, text: str) -> None:
        if self._payload is not None:
            try:
                self._payload.feed(text.encode("ascii"))
            except UnicodeEncodeError:
                raise Unreadable("bad-base64", "a character outside the alphabet") from None
            return
        node = self._open[-1] if self._open else None
        if node is None:
            return
        self._text += len(text)
        node.length += len(text)
        if self._text > self._limits.max_all_text or node.length > self._limits.max_text:
            raise Unreadable("text-too-long")
        node.parts.append(text)

    def _end(self, _tag: str) -> None:
        node = self._open.pop()
        self._scopes.pop()
        if self._payload is not None and node is not None:
            payload, self._payload = self._payload, None
            try:
                node.payload = payload.finish()
            finally:
                payload.close()
            self._payload_bytes += payload.size
        if node is not None and node.children:
            node.parts = []  # white space between elements
        self.ended = not self._open

    def close(self) -> None:
        if self._payload is not None:
            self._payload.close()


def read_tree(path: Path, scratch: Callable[[], Path], limits: Limits) -> tuple[Node, list[Repair]]:
    """The tree of the packet at `path`; each payload is decoded into a fresh path from `scratch()`.

    Raises Unreadable with a code of: empty, too-large, doctype-refused, encoding-refused, not-xml, not-edxml, too-deep,
    too-many-elements, too-many-attachments, attachment-too-large, text-too-long, token-too-long, bad-base64.
    """
    if path.stat().st_size > limits.max_packet:
        raise Unreadable("too-large")
    reader = _Reader(scratch, limits)
    try:
        with path.open("rb") as file:
            _feed(reader, file, limits)
    except expat.ExpatError as error:
        raise Unreadable("not-xml", expat.ErrorString(error.code), reader.line) from None
    except Unreadable as error:
        raise Unreadable(error.code, error.reason, reader.line) from None
    finally:
        reader.close()
    if reader.root is None or not reader.ended:
        raise Unreadable("not-xml", "no element found")
    return reader.root, reader.repairs


def _feed(reader: _Reader, file: BinaryIO, limits: Limits) -> None:
    data, junk = _from_start(file.read(_PROLOGUE))
    if junk:
        reader.repairs.append(Repair("junk-before-xml", 1))
    reader.ascii = not data.startswith(_UTF16) and b"\0" not in data[:2]  # as expat tells encodings apart
    fed = 0
    while data:
        fed += len(data)
        try:
            reader.expat.Parse(data, False)
        except expat.ExpatError:
            if reader.ended:
                reader.repaired("junk-after-xml")
                return
            raise
        if fed - reader.expat.CurrentByteIndex > limits.max_token:
            raise Unreadable("token-too-long")
        data = reader.following(file, fed)
    if not reader.ended:
        reader.expat.Parse(b"", True)


def _from_start(head: bytes) -> tuple[bytes, bool]:
    """The bytes from the XML declaration or root on, and whether anything but a byte-order mark stood before."""
    if not head.strip():
        raise Unreadable("empty")
    if head.startswith(_UTF16):
        return head, False
    body = head.removeprefix(_BOM)
    found = _START.search(body)
    if found is None:
        return body, False
    before = body[: found.start()]
    if b"<!" in before.replace(b"<!--", b""):
        raise Unreadable("doctype-refused", "a declaration before the document", 1)
    if before.lstrip(_SPACE).startswith((b"<!--", b"<?")):
        return body, False  # comments and instructions are legal before the root
    return body[found.start() :], bool(before)
