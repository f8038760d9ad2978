"""Do two independent parsers see the same pages? (architecture 6.1, threat B9; rule SEC-1 for `secrecy_mark`)

The first parser is our own reader, which also places the signature; the second is pdfium, which draws the page
images. Our reader's view of every page (boxes, content and fonts, all filters undone by our own code) is written into
a fresh file with nothing else in it; pdfium then extracts the text of both files. Since the text engine is one and
the same, text is compared exactly, character by character and page by page, without any normalisation: a difference
is one of structure. Pages, their sizes and the number of things drawn on each are compared as well. Annotations take
no part (pdfium leaves them out of the text, poppler does not). Form fields are compared with their values: both in
NFKC, white space left out.

pdfium is imported on use. Run this in a limited child process only, and only on files that passed `safety.inspect`:
pdfium draws without bounds of its own.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec

from signing.pdf.content import page_content
from signing.pdf.errors import MACHINE, PdfError
from signing.pdf.fields import decode_text, form_fields
from signing.pdf.interactive import Widget, shown_values
from signing.pdf.objects import Name, PdfObject, Real, Ref, Stream
from signing.pdf.reader import Document, Page, Revision, open_document

__all__ = ["Agreement", "agreement", "secrecy_mark"]

MAX_REBUILT: Final = 256 * 1024 * 1024
_MARKS: Final = ("TUYỆT MẬT", "TỐI MẬT", "MẬT")
_PLAIN_IMAGE: Final = (
    b"<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>\n"
    b"stream\n\xff\nendstream"
)
_PAGE_KEYS: Final = ("UserUnit", "Group")


class Agreement(msgspec.Struct, frozen=True):
    """What both parsers saw: pages, characters of text on all of them, form fields whose drawn text was compared.

    `blank_fields` are filled but drawn blank, because /NeedAppearances asks readers to draw them: whoever removes
    that key must draw these fields, or their values vanish from sight.
    """

    page_count: int
    characters: int
    compared_fields: int
    blank_fields: int


def agreement(path: Path) -> Agreement:
    """Raise `PdfError("parsers-disagree")` unless both parsers see the same pages and text.

    Also raises `form-appearance` where a field shows other text than its value, and what the reader refuses. Files are
    expected to have passed `safety.inspect`.
    """
    try:
        with open_document(path) as document:
            return _compare(document, path)
    except (PdfError, OSError, *MACHINE):
        raise
    except Exception as error:
        raise PdfError("parsers-disagree", f"unreadable: {type(error).__name__}") from None


def _compare(document: Document, path: Path) -> Agreement:
    pages = list(document.pages())
    head = document.head
    widgets = shown_values(head, form_fields(head))
    redrawn = head.resolve(head.dictionary(head.catalog.get(Name("AcroForm"))).get(Name("NeedAppearances"))) is True
    rebuilt = _Rebuilt(head).write(pages, widgets)
    with _Opened(path) as theirs, _Opened(rebuilt) as ours:
        if len(theirs) != len(pages) or len(ours) != len(pages) + len(widgets):
            raise PdfError("parsers-disagree", "two readers count different pages")
        characters = 0
        for index in range(len(pages)):
            seen = theirs.seen(index)
            if seen != ours.seen(index):
                raise PdfError("parsers-disagree", "two readers see different pages", place=f"page {index + 1}")
            characters += len(seen.text)
        drawn = [ours.seen(len(pages) + index).text for index in range(len(widgets))]
    blank = sum(_is_blank(widget, shown, redrawn=redrawn) for widget, shown in zip(widgets, drawn, strict=True))
    return Agreement(page_count=len(pages), characters=characters, compared_fields=len(widgets), blank_fields=blank)


def _is_blank(widget: Widget, shown: str, *, redrawn: bool) -> bool:
    """Whether a filled field is drawn blank, which is allowed only where the file asks readers to draw it
    (`redrawn`).
    """
    wanted = {_folded(decode_text(text)) for text in widget.texts} - {""} or {""}
    if _folded(shown) in wanted:
        return False
    if redrawn and not _folded(shown):
        return True
    raise PdfError("form-appearance", "a field shows other text than its value")


def _folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split()).replace("\ufffe", "").replace("\x00", "")


def secrecy_mark(path: Path) -> str | None:
    """The mark of a state secret that stands on page one as a line of its own (rule SEC-1), or None.

    A mark is written in capitals; a line like "Độ mật: Tối mật" counts as well. Raises `PdfError` where pdfium cannot
    open the file.
    """
    with _Opened(path) as opened:
        for piece in opened.pieces(0):
            line = " ".join(unicodedata.normalize("NFC", piece).replace("\ufffe", "").split()).strip(" .,:;[]()*-–|")
            label, _, value = line.upper().rpartition(":")
            if label.strip() in {"ĐỘ MẬT", "MỨC ĐỘ MẬT", "DẤU MẬT"} and value.strip() in _MARKS:
                return value.strip()
            for mark in _MARKS:
                if line.replace(" ", "") == mark.replace(" ", ""):
                    return mark
    return None


class _Seen(NamedTuple):
    """A page: width and height in 1/100 point, rotation, number of things drawn, text."""

    width: int
    height: int
    rotation: int
    drawn: int
    text: str


class _Opened:
    """A file in pdfium. Not thread safe, like pdfium itself."""

    def __init__(self, source: Path | bytes) -> None:
        import pypdfium2  # heavy, and nothing that the structural pass needs

        self._source = source
        self._library = pypdfium2
        self._document: Any = None

    def __enter__(self) -> Self:
        source = str(self._source) if isinstance(self._source, Path) else self._source
        try:
            self._document = self._library.PdfDocument(source)
        except self._library.PdfiumError:
            raise PdfError("parsers-disagree", "the second reader cannot open the file") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._document.close()

    def __len__(self) -> int:
        return len(self._document)

    def _page(self, index: int) -> Any:
        try:
            return self._document[index]
        except self._library.PdfiumError:
            raise PdfError("parsers-disagree", "the second reader cannot open a page") from None

    def seen(self, index: int) -> _Seen:
        page = self._page(index)
        width, height = page.get_size()
        count = int(self._library.raw.FPDFPage_CountObjects(page))
        textpage = page.get_textpage()
        text = str(textpage.get_text_range())
        textpage.close()
        turn = int(page.get_rotation())
        page.close()
        return _Seen(round(width * 100), round(height * 100), turn, count, text)

    def pieces(self, index: int) -> Iterator[str]:
        """Lines of the page, and the runs that stand together on it: a mark may share its height with other text."""
        page = self._page(index)
        textpage = page.get_textpage()
        yield from str(textpage.get_text_range()).splitlines()
        for place in range(min(textpage.count_rects(), 5000)):
            yield str(textpage.get_text_bounded(*textpage.get_rect(place)))
        textpage.close()
        page.close()


class _Rebuilt:
    """A fresh file of what our reader sees: one dictionary a page, decoded content, the resources that it reaches."""

    def __init__(self, view: Revision) -> None:
        self.view = view
        self.out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
        self.offsets: dict[int, int] = {}
        self.numbers: dict[Ref, int] = {}
        self.next = 3
        self.waiting: list[tuple[int, PdfObject]] = []

    def write(self, pages: list[Page], widgets: list[Widget]) -> bytes:
        kids = [self._write_page(page) for page in pages] + [self._write_widget(widget) for widget in widgets]
        while self.waiting:
            number, value = self.waiting.pop()
            self._object(number, self._body(value))
        self._object(
            2, b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(b"%d 0 R" % k for k in kids))
        )
        self._object(1, b"<< /Type /Catalog /Pages 2 0 R >>")
        start = len(self.out)
        rows = b"".join(
            b"%010d 00000 n \n" % self.offsets[n] if n in self.offsets else b"0000000000 00001 f \n"
            for n in range(1, self.next)
        )
        self.out += b"xref\n0 %d\n0000000000 65535 f \n" % self.next + rows
        self.out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (self.next, start)
        return bytes(self.out)

    def _number(self) -> int:
        self.next += 1
        return self.next - 1

    def _object(self, number: int, body: bytes) -> None:
        self.offsets[number] = len(self.out)
        self.out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
        if len(self.out) > MAX_REBUILT:
            raise PdfError("too-large", "the pages' content is larger than the bound")

    def _stream(self, head: bytes, data: bytes) -> bytes:
        return b"<< " + head + b" /Length %d >>\nstream\n" % len(data) + data + b"\nendstream"

    def _write_page(self, page: Page) -> int:
        content = self._number()
        self._object(content, self._stream(b"", page_content(self.view, page)))
        keys: dict[Name, PdfObject] = {
            Name(k): page.dictionary[Name(k)] for k in _PAGE_KEYS if Name(k) in page.dictionary
        }
        keys[Name("Resources")] = page.resources
        boxes = b"/MediaBox [%s] /CropBox [%s]" % tuple(_numbers(box) for box in (page.media_box, page.crop_box))
        number = self._number()
        head = b"<< /Type /Page /Parent 2 0 R /Contents %d 0 R /Rotate %d " % (content, page.rotate) + boxes + b" "
        self._object(number, head + self._serialise(keys)[2:])
        return number

    def _write_widget(self, widget: Widget) -> int:
        form, content, number = self._number(), self._number(), self._number()
        self.waiting.append((form, widget.form))
        self._object(content, self._stream(b"", b"/X Do"))
        box = [self.view.resolve(n) for n in self.view.array(widget.form.dictionary.get(Name("BBox")))]
        sides = tuple(float(n) for n in box if isinstance(n, int | Real))
        resources = b"/Resources << /XObject << /X %d 0 R >> >>" % form
        head = b"<< /Type /Page /Parent 2 0 R /Contents %d 0 R /MediaBox [%s] " % (content, _numbers(sides))
        self._object(number, head + resources + b" >>")
        return number

    def _body(self, value: PdfObject) -> bytes:
        if not isinstance(value, Stream):
            return self._serialise(value)
        own = value.dictionary
        if own.get(Name("Subtype")) == "Image":
            return _PLAIN_IMAGE
        dropped = {"Filter", "DecodeParms", "DP", "Length", "SMask", "Metadata", "PieceInfo", "StructParent", "OC"}
        keys = {key: item for key, item in own.items() if key not in dropped}
        return self._stream(self._serialise(keys)[2:-2], self.view.decode(value))

    def _serialise(self, value: PdfObject) -> bytes:
        match value:
            case None:
                return b"null"
            case bool():
                return b"true" if value else b"false"
            case Real():
                return value.token
            case int():
                return b"%d" % value
            case Name():
                return b"/" + b"".join(
                    b"#%02x" % b if b < 33 or b > 126 or b in b"#()<>[]{}/%" else bytes([b])
                    for b in value.encode("latin-1")
                )
            case bytes():
                return b"<" + value.hex().encode("ascii") + b">"
            case list():
                return b"[" + b" ".join(map(self._serialise, value)) + b"]"
            case dict():
                parts = (
                    self._serialise(key) + b" " + self._serialise(item)
                    for key, item in value.items()
                    if key != "Parent"
                )
                return b"<< " + b" ".join(parts) + b" >>"
            case Ref():
                return b"%d 0 R" % self._reference(value)
            case _:
                raise PdfError("broken-structure", "a stream stands inside another object")

    def _reference(self, ref: Ref) -> int:
        if ref not in self.numbers:
            self.numbers[ref] = self._number()
            self.waiting.append((self.numbers[ref], self.view.get(ref)))
        return self.numbers[ref]


def _numbers(values: tuple[float, ...]) -> bytes:
    return b" ".join(b"%.6f" % value for value in values)
