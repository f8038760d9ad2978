"""Sample PDF files, written by hand: honest ones that must be signed, hostile ones that must be refused.

No third-party writer is used, so that every byte of a hostile file is meant. Each generator in HONEST and HOSTILE
takes nothing and returns the file's bytes; `tests/vectors/pdf_refusals.json` names the refusal of each hostile one.
The file is one catalogue of cases and therefore longer than a module usually is. All agencies, persons and numbers
are plainly samples.
"""

from __future__ import annotations

import functools
import importlib.resources
import io
import re
import struct
import zlib
from collections.abc import Callable, Mapping

TEXT = ("UY BAN NHAN DAN TINH MAU", "So: 01/QD-MAU", "QUYET DINH", "Dieu 1. Ban hanh quy che mau.")
VIETNAMESE = (
    "ỦY BAN NHÂN DÂN TỈNH MẪU",
    "Số: 01/QĐ-MẪU",
    "QUYẾT ĐỊNH",
    "Về việc ban hành Quy chế mẫu",
    "Điều 1. Quyết định này có hiệu lực kể từ ngày ký.",
)
HELVETICA = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


class Pdf:
    """A file being put together. Objects 1 and 2 are the catalog and the page tree; values are PDF source text."""

    def __init__(self, version: str = "1.4") -> None:
        self.version = version
        self.objects: dict[int, bytes] = {1: b"", 2: b""}
        self.catalog: dict[str, str] = {"Type": "/Catalog", "Pages": "2 0 R"}
        self.tree: dict[str, str] = {"Type": "/Pages"}
        self.trailer: dict[str, str] = {"ID": "[<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>]"}
        self.pages: list[tuple[int, dict[str, str]]] = []
        self.font = self.add(HELVETICA)

    def add(self, body: str | bytes) -> int:
        number = max(self.objects) + 1
        self.objects[number] = body if isinstance(body, bytes) else body.encode("latin-1")
        return number

    def stream(self, data: bytes | str, keys: str = "", *, compress: bool = False) -> int:
        return self.add(stream(data, keys, compress=compress))

    def page(self, content: str | bytes = "", *, resources: str = "", **keys: str) -> int:
        contents = self.stream(content, compress=len(content) > 2000)
        page = {
            "Type": "/Page",
            "Parent": "2 0 R",
            "MediaBox": "[0 0 595 842]",
            "Resources": f"<< /Font << /F1 {self.font} 0 R >> {resources} >>",
            "Contents": f"{contents} 0 R",
            **keys,
        }
        number = self.add(b"")
        self.pages.append((number, page))
        return number

    def close(self) -> dict[int, bytes]:
        kids = " ".join(f"{number} 0 R" for number, _ in self.pages)
        tree = {"Kids": f"[{kids}]", "Count": str(len(self.pages)), **self.tree}
        if not self.objects[1]:
            self.objects[1] = dictionary(self.catalog).encode("latin-1")
        if not self.objects[2]:
            self.objects[2] = dictionary(tree).encode("latin-1")
        for number, page in self.pages:
            self.objects[number] = dictionary(page).encode("latin-1")
        return self.objects

    def classic(self) -> bytes:
        """With a cross-reference table."""
        objects = self.close()
        out = bytearray(header(self.version))
        offsets = write_objects(out, objects)
        start = len(out)
        out += table(offsets, max(objects) + 1)
        keys = {"Size": str(max(objects) + 1), "Root": "1 0 R", **self.trailer}
        out += f"trailer\n{dictionary(keys)}\nstartxref\n{start}\n%%EOF\n".encode("latin-1")
        return bytes(out)

    def compressed(self) -> bytes:
        """With object streams and a cross-reference stream."""
        objects = self.close()
        plain = {n: b for n, b in objects.items() if b"endstream" in b}
        packed = [n for n in sorted(objects) if n not in plain]
        out = bytearray(header(max(self.version, "1.5")))
        container = max(objects) + 1
        plain[container] = object_stream(objects, packed)
        offsets = write_objects(out, plain)
        entries = {n: (1, offsets[n], 0) for n in offsets} | {n: (2, container, i) for i, n in enumerate(packed)}
        append_xref_stream(out, entries, {"Root": "1 0 R", **self.trailer})
        return bytes(out)

    def hybrid(self) -> bytes:
        """A table for old readers, a cross-reference stream (/XRefStm) for the objects in object streams."""
        objects = self.close()
        info = max(objects) + 1
        objects = {**objects, info: b"<< /Producer (sample) >>"}
        container, xref = info + 1, info + 2
        plain = {n: b for n, b in objects.items() if n != info}
        plain[container] = object_stream(objects, [info])
        out = bytearray(header("1.5"))
        offsets = write_objects(out, plain)
        xref_at = len(out)
        data = struct.pack(">BIH", 2, container, 0)
        keys = f"/Type /XRef /Size {xref + 1} /W [1 4 2] /Index [{info} 1]"
        out += b"%d 0 obj\n" % xref + stream(data, keys) + b"\nendobj\n"
        offsets[xref] = xref_at
        start = len(out)
        out += table(offsets, xref + 1)
        trailer = {
            "Size": str(xref + 1),
            "Root": "1 0 R",
            "Info": f"{info} 0 R",
            "XRefStm": str(xref_at),
            **self.trailer,
        }
        out += f"trailer\n{dictionary(trailer)}\nstartxref\n{start}\n%%EOF\n".encode("latin-1")
        return bytes(out)


def two_tables() -> bytes:
    """A hybrid file whose table and stream name different objects under one number: readers prefer one or the other."""
    pdf = Pdf("1.5")
    pdf.page(lines())
    objects = pdf.close()
    out = bytearray(header("1.5"))
    offsets = write_objects(out, objects)
    other = len(out)
    out += b"4 0 obj\n" + stream(lines(("DOC KHAC",))) + b"\nendobj\n"
    xref_at, xref = len(out), max(objects) + 1
    out += b"%d 0 obj\n" % xref
    out += (
        stream(struct.pack(">BIH", 1, other, 0), f"/Type /XRef /Size {xref + 1} /W [1 4 2] /Index [4 1]")
        + b"\nendobj\n"
    )
    offsets[xref] = xref_at
    start = len(out)
    out += table(offsets, xref + 1)
    trailer = {"Size": str(xref + 1), "Root": "1 0 R", "XRefStm": str(xref_at), **pdf.trailer}
    out += f"trailer\n{dictionary(trailer)}\nstartxref\n{start}\n%%EOF\n".encode("latin-1")
    return bytes(out)


def header(version: str) -> bytes:
    return f"%PDF-{version}\n".encode() + b"%\xe2\xe3\xcf\xd3\n"


def dictionary(keys: Mapping[str, str]) -> str:
    return "<< " + " ".join(f"/{key} {value}" for key, value in keys.items()) + " >>"


def stream(data: bytes | str, keys: str = "", *, compress: bool = False) -> bytes:
    raw = data.encode("latin-1") if isinstance(data, str) else data
    if compress:
        raw, keys = zlib.compress(raw), keys + " /Filter /FlateDecode"
    return f"<< {keys} /Length {len(raw)} >>\nstream\n".encode("latin-1") + raw + b"\nendstream"


def write_objects(out: bytearray, objects: Mapping[int, bytes]) -> dict[int, int]:
    offsets = {}
    for number in sorted(objects):
        offsets[number] = len(out)
        out += b"%d 0 obj\n" % number + objects[number] + b"\nendobj\n"
    return offsets


def table(offsets: Mapping[int, int], size: int) -> bytes:
    """A cross-reference table of one subsection that covers 0..size-1, absent numbers free."""
    rows = [b"0000000000 65535 f \n"]
    rows += [b"%010d 00000 n \n" % offsets[n] if n in offsets else b"0000000000 00001 f \n" for n in range(1, size)]
    return b"xref\n0 %d\n" % size + b"".join(rows)


def object_stream(objects: Mapping[int, bytes], numbers: list[int]) -> bytes:
    index, body = [], b""
    for number in numbers:
        index.append(f"{number} {len(body)}")
        body += objects[number] + b"\n"
    head = (" ".join(index) + "\n").encode()
    return stream(head + body, f"/Type /ObjStm /N {len(numbers)} /First {len(head)}", compress=True)


def append_xref_stream(out: bytearray, entries: dict[int, tuple[int, int, int]], keys: dict[str, str]) -> None:
    start, own = len(out), max(entries) + 1
    entries = {0: (0, 0, 0xFFFF), **entries, own: (1, start, 0)}
    numbers = sorted(entries)
    data = b"".join(struct.pack(">BIH", *entries[n]) for n in numbers)
    index = " ".join(f"{n} 1" for n in numbers)
    text = f"/Type /XRef /Size {own + 1} /W [1 4 2] /Index [{index}] " + dictionary(keys)[3:-3]
    out += b"%d 0 obj\n" % own + stream(data, text, compress=True) + b"\nendobj\n"
    out += b"startxref\n%d\n%%%%EOF\n" % start


def startxref(data: bytes) -> int:
    return int(re.findall(rb"startxref\s+(\d+)", data)[-1])


def append(data: bytes, objects: Mapping[int, bytes | str], trailer: Mapping[str, str] | None = None) -> bytes:
    """One more revision with a classic table: what an attacker with a text editor adds."""
    out = bytearray(data if data.endswith(b"\n") else data + b"\n")
    bodies = {n: b if isinstance(b, bytes) else b.encode("latin-1") for n, b in objects.items()}
    offsets = write_objects(out, bodies)
    size = max([int(re.findall(rb"/Size (\d+)", data)[-1]), *(n + 1 for n in bodies)])
    start = len(out)
    out += b"xref\n"
    for number, offset in sorted(offsets.items()):
        out += b"%d 1\n%010d 00000 n \n" % (number, offset)
    keys = {"Size": str(size), "Root": "1 0 R", "Prev": str(startxref(data)), **(trailer or {})}
    out += f"trailer\n{dictionary(keys)}\nstartxref\n{start}\n%%EOF\n".encode("latin-1")
    return bytes(out)


def lines(text: tuple[str, ...] = TEXT, *, top: int = 780) -> str:
    rows = "".join(f"({line}) Tj 0 -20 Td " for line in text)
    return f"BT /F1 12 Tf 72 {top} Td {rows}ET\n"


@functools.cache
def _font_bytes(text: str) -> tuple[bytes, dict[str, int], dict[str, int]]:
    """Subset of an embeddable serif font: (font program, glyph id by letter, width in 1/1000 em by letter)."""
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    source = importlib.resources.files("font_source_serif_pro") / "files" / "SourceSerifPro-Regular.ttf"
    font = TTFont(io.BytesIO(source.read_bytes()))
    subsetter = Subsetter(Options(retain_gids=False, layout_features=[], notdef_outline=True))
    subsetter.populate(text=text)
    subsetter.subset(font)
    out = io.BytesIO()
    font.save(out)
    cmap, units = font.getBestCmap(), font["head"].unitsPerEm
    glyphs = {c: font.getGlyphID(cmap[ord(c)]) for c in set(text)}
    widths = {c: round(font["hmtx"][cmap[ord(c)]][0] * 1000 / units) for c in set(text)}
    return out.getvalue(), glyphs, widths


def embed_font(pdf: Pdf, text: str) -> Callable[[str], str]:
    """Replace the builder's font by an embedded Identity-H one for `text`; returns the encoder of a string to hex."""
    program, glyphs, widths = _font_bytes(text)
    pairs = "".join(f"<{glyphs[c]:04x}> <{c.encode('utf-16-be').hex()}>\n" for c in sorted(glyphs))
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /Sample def /CMapType 2 def\n"
        f"1 begincodespacerange <0000> <ffff> endcodespacerange\n{len(glyphs)} beginbfchar\n{pairs}endbfchar\n"
        "endcmap end end"
    )
    to_unicode = pdf.stream(cmap, compress=True)
    file = pdf.stream(program, f"/Length1 {len(program)}", compress=True)
    descriptor = pdf.add(
        "<< /Type /FontDescriptor /FontName /AAAAAA+SampleSerif /Flags 4 /FontBBox [-200 -300 1200 1000]"
        f" /ItalicAngle 0 /Ascent 900 /Descent -300 /CapHeight 700 /StemV 80 /FontFile2 {file} 0 R >>"
    )
    width = " ".join(f"{glyphs[c]} [{widths[c]}]" for c in sorted(glyphs, key=lambda c: glyphs[c]))
    descendant = pdf.add(
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /AAAAAA+SampleSerif /CIDToGIDMap /Identity /DW 500"
        f" /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /W [{width}]"
        f" /FontDescriptor {descriptor} 0 R >>"
    )
    font = (
        "<< /Type /Font /Subtype /Type0 /BaseFont /AAAAAA+SampleSerif /Encoding /Identity-H"
        f" /DescendantFonts [{descendant} 0 R] /ToUnicode {to_unicode} 0 R >>"
    )
    pdf.objects[pdf.font] = font.encode("latin-1")
    return lambda line: "<" + "".join(f"{glyphs[c]:04x}" for c in line) + ">"


def vietnamese_page(pdf: Pdf, text: tuple[str, ...] = VIETNAMESE, **keys: str) -> None:
    encode = embed_font(pdf, "".join(text) + " ")
    rows = "".join(f"{encode(line)} Tj 0 -24 Td " for line in text)
    pdf.page(f"BT /F1 14 Tf 72 780 Td {rows}ET\n", **keys)


def image(pdf: Pdf, width: int = 40, height: int = 60, keys: str = "") -> int:
    data = zlib.compress(bytes((x * 7 + y * 3) & 0xFF for y in range(height) for x in range(width)))
    head = f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray /BitsPerComponent 8"
    return pdf.stream(data, f"{head} /Filter /FlateDecode {keys}")


def appearance(pdf: Pdf, content: str, box: str = "0 0 200 20") -> int:
    keys = f"/Type /XObject /Subtype /Form /BBox [{box}] /Resources << /Font << /F1 {pdf.font} 0 R >> >>"
    return pdf.stream(content, keys)


# --- honest files ---------------------------------------------------------------------------------------------------


def plain() -> bytes:
    pdf = Pdf()
    pdf.page(lines())
    return pdf.classic()


def vietnamese() -> bytes:
    pdf = Pdf("1.7")
    vietnamese_page(pdf)
    return pdf.classic()


def pdfa(part: int = 2, conformance: str = "B") -> bytes:
    pdf = Pdf("1.4" if part == 1 else "1.7")
    vietnamese_page(pdf)
    xmp = (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
        ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/">'
        f"<pdfaid:part>{part}</pdfaid:part><pdfaid:conformance>{conformance}</pdfaid:conformance>"
        "</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
    )
    pdf.catalog["Metadata"] = f"{pdf.stream(xmp, '/Type /Metadata /Subtype /XML')} 0 R"
    return pdf.classic()


def object_streams(version: str = "1.5") -> bytes:
    pdf = Pdf(version)
    vietnamese_page(pdf)
    return pdf.compressed()


def hybrid() -> bytes:
    pdf = Pdf("1.5")
    pdf.page(lines())
    return pdf.hybrid()


def rotated() -> bytes:
    pdf = Pdf()
    for angle in (0, 90, 180, 270, -90):
        pdf.page(lines(), Rotate=str(angle))
    return pdf.classic()


def crop_and_unit() -> bytes:
    pdf = Pdf("1.6")
    pdf.page(lines(), CropBox="[20 30 500 800]", UserUnit="2")
    return pdf.classic()


def inherited() -> bytes:
    """Page boxes, resources and rotation inherited from a two-level page tree."""
    pdf = Pdf()
    pdf.tree |= {"MediaBox": "[0 0 595 842]", "Rotate": "90"}
    page = pdf.page(lines())
    keys = dict(pdf.pages[0][1])
    del keys["MediaBox"]
    node = pdf.add(f"<< /Type /Pages /Parent 2 0 R /Count 1 /Kids [{page} 0 R] /Resources {keys.pop('Resources')} >>")
    pdf.pages[0] = (page, keys | {"Parent": f"{node} 0 R"})
    pdf.tree |= {"Kids": f"[{node} 0 R]", "Count": "1"}
    return pdf.classic()


def form(value: str = "Nguyen Van Mau", shown: str | None = "Nguyen Van Mau", *, flags: int = 4) -> bytes:
    """A text field, a check box and an empty field, filled with drawn appearances."""
    pdf = Pdf("1.7")
    page = pdf.page(lines())
    drawn = (
        ""
        if shown is None
        else f"/AP << /N {appearance(pdf, f'/Tx BMC BT /F1 10 Tf 2 6 Td ({shown}) Tj ET EMC')} 0 R >>"
    )
    widget = f"/Type /Annot /Subtype /Widget /F {flags} /P {page} 0 R"
    text = pdf.add(
        f"<< {widget} /FT /Tx /T (ho_ten) /V ({value}) /DA (/F1 10 Tf 0 g) /Rect [72 500 272 520] {drawn} >>"
    )
    on, off = appearance(pdf, "0 0 m 9 9 l S", "0 0 10 10"), appearance(pdf, "", "0 0 10 10")
    check = pdf.add(
        f"<< {widget} /FT /Btn /T (dong_y) /V /Yes /AS /Yes /Rect [72 470 82 480]"
        f" /AP << /N << /Yes {on} 0 R /Off {off} 0 R >> >> >>"
    )
    empty = pdf.add(f"<< {widget} /FT /Tx /T (ghi_chu) /DA (/F1 10 Tf 0 g) /Rect [72 430 272 450] >>")
    fields = f"{text} 0 R {check} 0 R {empty} 0 R"
    pdf.pages[0][1]["Annots"] = f"[{fields}]"
    pdf.catalog["AcroForm"] = f"<< /Fields [{fields}] /DR << /Font << /F1 {pdf.font} 0 R >> >> /DA (/F1 10 Tf 0 g) >>"
    return pdf.classic()


def links() -> bytes:
    """Outlines, named destinations, internal and web links: ordinary navigation."""
    pdf = Pdf()
    page = pdf.page(lines())
    web = pdf.add(
        "<< /Type /Annot /Subtype /Link /Rect [72 700 200 715] /Border [0 0 0]"
        " /A << /S /URI /URI (https://example.invalid/) >> >>"
    )
    inner = pdf.add(f"<< /Type /Annot /Subtype /Link /Rect [72 600 200 615] /Dest [{page} 0 R /Fit] >>")
    pdf.pages[0][1]["Annots"] = f"[{web} 0 R {inner} 0 R]"
    outlines = pdf.add(b"")
    item = pdf.add(f"<< /Title (Dieu 1) /Parent {outlines} 0 R /A << /S /GoTo /D [{page} 0 R /Fit] >> >>")
    pdf.objects[outlines] = f"<< /Type /Outlines /First {item} 0 R /Last {item} 0 R /Count 1 >>".encode()
    pdf.catalog |= {"Outlines": f"{outlines} 0 R", "OpenAction": f"[{page} 0 R /Fit]"}
    return pdf.classic()


def scan(size: int = 40_000) -> bytes:
    """One image, no text; `size` is the number of image bytes, which do not compress."""
    pdf = Pdf()
    width = 200
    height = max(size // width, 1)
    seed = bytes((i * i + 7 * i) & 0xFF for i in range(4096))
    data = (seed * (width * height // len(seed) + 1))[: width * height]
    head = f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray /BitsPerComponent 8"
    number = pdf.stream(data, head)
    pdf.page("q 595 0 0 842 0 0 cm /I Do Q", resources=f"/XObject << /I {number} 0 R >>")
    return pdf.classic()


def scan_with_text_layer() -> bytes:
    """A scanned page with the invisible text (Tr 3) of a character recogniser."""
    pdf = Pdf()
    number = image(pdf)
    content = "q 595 0 0 842 0 0 cm /I Do Q BT 3 Tr /F1 12 Tf 72 700 Td (van ban quet) Tj ET"
    pdf.page(content, resources=f"/XObject << /I {number} 0 R >>")
    return pdf.classic()


def letterhead() -> bytes:
    """Text beside a logo, and over a background image that is painted first; a stamp with a soft mask over the text."""
    pdf = Pdf()
    logo, mask = image(pdf), image(pdf)
    stamp = image(pdf, keys=f"/SMask {mask} 0 R")
    content = (
        "q 595 0 0 842 0 0 cm /L Do Q " + lines() + "q 100 0 0 100 60 700 cm /S Do Q q 40 0 0 40 500 780 cm /L Do Q"
    )
    pdf.page(content, resources=f"/XObject << /L {logo} 0 R /S {stamp} 0 R >>")
    return pdf.classic()


def many_pages(count: int = 117) -> bytes:
    pdf = Pdf()
    for number in range(count):
        pdf.page(lines((f"Trang {number + 1}", *TEXT)))
    return pdf.classic()


def many_pages_compressed(count: int = 2000) -> bytes:
    pdf = Pdf("1.5")
    for number in range(count):
        pdf.page(lines((f"Trang {number + 1}", *TEXT)))
    return pdf.compressed()


def two_revisions() -> bytes:
    """An honest incremental update: the content of the page was written anew by an editor before signing."""
    pdf = Pdf()
    pdf.page(lines())
    return append(pdf.classic(), {4: stream(lines(("BAN SUA DOI",)))})


def carriage_returns() -> bytes:
    """Old line ends, a comment between objects, white space after %%EOF."""
    return plain().replace(b"endobj\n", b"endobj\r", 1) + b"\r\n\n"


def signed(reference: str = "", *, perms: bool = False, lock: str = "", more: str = "", short: int = 0) -> bytes:
    """A revision with a signature dictionary, whose CMS is empty: what a signature says, not whether it holds.

    `reference` is its /Reference, `lock` the field's own, `more` further objects' references in /Fields; the byte range
    ends `short` bytes before the file does. Object 8 is an empty signature field, for `more`.
    """
    blank = "0000000000"
    value = (
        "<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached"
        f" /ByteRange [0 {blank} {blank} {blank}] /Contents <{'00' * 64}> {reference} >>"
    )
    widget = "/Type /Annot /Subtype /Widget /FT /Sig /F 132 /P 5 0 R"
    objects = {
        1: f"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [6 0 R {more}] /SigFlags 3 >>"
        + (" /Perms << /DocMDP 7 0 R >> >>" if perms else " >>"),
        5: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        f" /Resources << /Font << /F1 3 0 R >>  >> /Annots [6 0 R {more}] >>",
        6: f"<< {widget} /T (Ky1) /Rect [0 0 0 0] /V 7 0 R {lock} >>",
        7: value,
    }
    if more:
        objects[8] = f"<< {widget} /T (Ky2) /Rect [300 100 500 160] >>"
    data = append(plain(), objects, {"ID": Pdf().trailer["ID"]})
    start = data.index(b"/Contents <00") + 10
    end = data.index(b">", start) + 1
    numbers = b"[0 %010d %010d %010d]" % (start, end, len(data) - end - short)
    return data.replace(f"[0 {blank} {blank} {blank}]".encode(), numbers)


def transform(method: str, params: str) -> str:
    return f"/Reference [<< /Type /SigRef /TransformMethod /{method} /TransformParams << /Type /TransformParams {params} >> >>]"


HONEST: dict[str, Callable[[], bytes]] = {
    "no-line-end": lambda: plain().rstrip(b"\r\n"),
    "plain": plain,
    "vietnamese": vietnamese,
    "pdfa-1b": lambda: pdfa(1),
    "pdfa-2b": pdfa,
    "object-streams": object_streams,
    "pdf-2.0": lambda: object_streams("2.0"),
    "hybrid": hybrid,
    "rotated": rotated,
    "crop-and-unit": crop_and_unit,
    "inherited": inherited,
    "form": form,
    "links": links,
    "scan": scan,
    "scan-with-text-layer": scan_with_text_layer,
    "letterhead": letterhead,
    "table": lambda: table_page(),
    "highlighted": lambda: highlighted(),
    "hatched": lambda: patterned("0.3 w 0 0 m 10 10 l S"),
    "white-on-image": lambda: white_on_image(),
    "bitmap-font": lambda: type3({"a": BITMAP_GLYPH, "b": BITMAP_GLYPH}, "abab"),
    "117-pages": many_pages,
    "two-revisions": two_revisions,
    "carriage-returns": carriage_returns,
    "signed": signed,
    "signed-with-empty-field": lambda: signed(more="8 0 R"),
    "certified-2": lambda: signed(transform("DocMDP", "/V /1.2 /P 2"), perms=True, more="8 0 R"),
    "certified-3": lambda: signed(transform("DocMDP", "/V /1.2 /P 3"), perms=True),
    "locked-include": lambda: signed(transform("FieldMDP", "/V /1.2 /Action /Include /Fields [(khac)]")),
    "locked-exclude-named": lambda: signed(
        transform("FieldMDP", "/V /1.2 /Action /Exclude /Fields [(Ky2)]"), more="8 0 R"
    ),
}


# --- hostile files --------------------------------------------------------------------------------------------------


def _catalog(**keys: str) -> bytes:
    pdf = Pdf("1.7")
    pdf.page(lines())
    pdf.catalog |= keys
    return pdf.classic()


def _page(content: str = "", resources: str = "", **keys: str) -> bytes:
    pdf = Pdf("1.7")
    pdf.page(lines() + content, resources=resources, **keys)
    return pdf.classic()


def annotated(body: str, *, extra: Callable[[Pdf], str] | None = None) -> bytes:
    pdf = Pdf("1.7")
    pdf.page(lines())
    tail = extra(pdf) if extra else ""
    number = pdf.add(f"<< /Type /Annot /Rect [72 600 272 640] {body} {tail} >>")
    pdf.pages[0][1]["Annots"] = f"[{number} 0 R]"
    return pdf.classic()


def _drawn(pdf: Pdf) -> str:
    return f"/AP << /N {appearance(pdf, 'BT /F1 10 Tf 2 6 Td (ghi chu) Tj ET')} 0 R >>"


def encrypted() -> bytes:
    pdf = Pdf()
    pdf.page(lines())
    zeros = "00" * 32
    number = pdf.add(f"<< /Filter /Standard /V 1 /R 2 /P -4 /O <{zeros}> /U <{zeros}> >>")
    pdf.trailer["Encrypt"] = f"{number} 0 R"
    return pdf.classic()


def with_image(content: str, *, keys: str = "", before: str = "") -> bytes:
    pdf = Pdf("1.7")
    number = image(pdf, keys=keys)
    pdf.page(before + lines() + content, resources=f"/XObject << /I {number} 0 R >>")
    return pdf.classic()


def annotation_over_text(colours: str = "1 1 1 rg") -> bytes:
    """A box that an annotation paints over the page's text, in which it writes another."""
    pdf = Pdf("1.7")
    pdf.page(lines())
    content = f"{colours} 0 0 400 100 re f 0 g BT /F1 12 Tf 22 80 Td (SO KHAC) Tj ET"
    form = appearance(pdf, content, "0 0 400 100")
    number = pdf.add(
        f"<< /Type /Annot /Subtype /FreeText /F 4 /Rect [50 700 450 800] /DA (/F1 12 Tf) /AP << /N {form} 0 R >> >>"
    )
    pdf.pages[0][1]["Annots"] = f"[{number} 0 R]"
    return pdf.classic()


def image_in_form_over_text() -> bytes:
    pdf = Pdf("1.7")
    number = image(pdf)
    outer = pdf.stream(
        "q 400 0 0 200 0 0 cm /I Do Q",
        f"/Type /XObject /Subtype /Form /BBox [0 0 400 200] /Resources << /XObject << /I {number} 0 R >> >>",
    )
    pdf.page(lines() + "q 1 0 0 1 50 650 cm /X Do Q", resources=f"/XObject << /X {outer} 0 R >>")
    return pdf.classic()


def unreachable(body: str) -> bytes:
    pdf = Pdf("1.7")
    pdf.page(lines())
    pdf.add(body)
    return pdf.classic()


def unlisted(body: str) -> bytes:
    """An object that stands in the bytes but in no cross-reference section: only repairing readers find it."""
    data = plain()
    at = data.index(b"xref\n0 ")
    return move_xref(data[:at] + b"99 0 obj\n" + body.encode() + b"\nendobj\n" + data[at:])


def unlisted_in_object_stream() -> bytes:
    pdf = Pdf("1.5")
    pdf.page(lines())
    objects = {90: b"<< /Type /Catalog /Pages 2 0 R >>"}
    pdf.add(object_stream(objects, [90]))
    return pdf.classic()


def move_xref(data: bytes) -> bytes:
    """Point startxref at the (moved) last table."""
    at = data.rindex(b"xref\n0 ")
    return re.sub(rb"startxref\n\d+", b"startxref\n%d" % at, data)


def wrong_offsets() -> bytes:
    data = plain()
    at = data.rindex(b"xref\n0 ")
    return data[:at] + re.sub(rb"(\d{10}) 00000 n", lambda m: b"%010d 00000 n" % (int(m[1]) + 7), data[at:])


def swapped_offsets() -> bytes:
    """The table names another object's place: readers that trust it and readers that scan see two files."""
    pdf = Pdf()
    pdf.page(lines())
    pdf.page(lines(("TRANG KHAC",)))
    data = pdf.classic()
    at = data.rindex(b"xref\n0 ")
    rows = re.findall(rb"\d{10} 00000 n \n", data[at:])
    first, second = rows[3], rows[5]
    body = data[at:].replace(first, b"@").replace(second, first).replace(b"@", second)
    return data[:at] + body


def two_starts() -> bytes:
    """Two readings by two `startxref`: the last keyword stands in a comment after the real one."""
    other = append(plain(), {4: stream(lines(("DOC KHAC",)))})
    first = startxref(plain())
    return other.rstrip() + b"\nstartxref\n%d\n%%%%EOF\n" % first


def xref_loop() -> bytes:
    data = plain()
    start = startxref(data)
    return data.replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev %d" % start)


def duplicate_object() -> bytes:
    """The number of a reachable object stands twice in one revision; the table names the second."""
    data = plain()
    at = data.index(b"4 0 obj")
    extra = b"4 0 obj\n" + stream(lines(("DOC KHAC",))) + b"\nendobj\n"
    head, tail = data[:at], data[at:]
    table_at = tail.index(b"xref\n0 ")
    shifted = re.sub(
        rb"(\d{10}) 00000 n",
        lambda m: b"%010d 00000 n" % (int(m[1]) + (len(extra) if int(m[1]) >= at else 0)),
        tail[table_at:],
    )
    return move_xref(head + extra + tail[:table_at] + shifted)


def duplicate_key() -> bytes:
    """Two /Contents in the page: some readers take the first, some the last."""
    pdf = Pdf()
    other = pdf.stream(lines(("DOC KHAC",)))
    page = pdf.page(lines())
    data = pdf.close()[page]
    pdf.pages.clear()
    pdf.tree |= {"Kids": f"[{page} 0 R]", "Count": "1"}
    pdf.objects[2] = b""
    pdf.objects[page] = data[:-2] + f"/Contents {other} 0 R >>".encode()
    return pdf.classic()


def wrong_length() -> bytes:
    """/Length ends the stream early: readers that search `endstream` and readers that count see two contents."""
    data = plain()
    found = re.search(rb"4 0 obj\n<<  /Length (\d+)", data)
    assert found
    length = int(found[1])
    return data.replace(b"/Length %d" % length, b"/Length %d" % (length - 40), 1)


def cyclic_tree() -> bytes:
    pdf = Pdf()
    page = pdf.page(lines())
    pdf.tree |= {"Kids": f"[{page} 0 R 2 0 R]", "Count": "2"}
    return pdf.classic()


def shared_page() -> bytes:
    pdf = Pdf()
    page = pdf.page(lines())
    pdf.tree |= {"Kids": f"[{page} 0 R {page} 0 R]", "Count": "2"}
    return pdf.classic()


def wrong_count() -> bytes:
    pdf = Pdf()
    pdf.page(lines())
    pdf.page(lines(("TRANG HAI",)))
    pdf.tree["Count"] = "1"
    return pdf.classic()


def inner_counts() -> bytes:
    """The root counts two pages, its two nodes two and none: readers that trust the counts find another second page."""
    pdf = Pdf()
    first, second = pdf.page(lines()), pdf.page(lines(("TRANG HAI",)))
    one = pdf.add(f"<< /Type /Pages /Parent 2 0 R /Count 2 /Kids [{first} 0 R] >>")
    none = pdf.add(f"<< /Type /Pages /Parent 2 0 R /Count 0 /Kids [{second} 0 R] >>")
    pdf.tree |= {"Kids": f"[{one} 0 R {none} 0 R]", "Count": "2"}
    return pdf.classic()


def deep_tree(depth: int = 5000) -> bytes:
    pdf = Pdf()
    page = pdf.page(lines())
    pdf.pages.clear()
    pdf.objects[page] = b"<< /Type /Page /MediaBox [0 0 595 842] /Parent 2 0 R >>"
    below = page
    for _ in range(depth):
        below = pdf.add(f"<< /Type /Pages /Parent 2 0 R /Count 1 /Kids [{below} 0 R] >>")
    pdf.tree |= {"Kids": f"[{below} 0 R]", "Count": "1"}
    return pdf.classic()


def deep_array(depth: int = 100_000) -> bytes:
    pdf = Pdf()
    pdf.page(lines(), Sample="[" * depth + "]" * depth)
    return pdf.classic()


def packed_spaces(size: int) -> bytes:
    """`size` bytes of spaces as zlib packs them, a whole number of MiB: one block that is repeated."""
    block = b" " * (1 << 20)
    packer = zlib.compressobj(9)
    first = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    check = 1
    for _ in range(size >> 20):
        check = zlib.adler32(block, check)
    return first + again * ((size >> 20) - 1) + b"\x03\x00" + check.to_bytes(4)


def flate_bomb(size: int = 1 << 30, layers: int = 1) -> bytes:
    """A content stream that unpacks to `size` bytes of white space, wrapped `layers` times."""
    data = packed_spaces(size)
    for _ in range(layers - 1):
        data = zlib.compress(data, 9)
    pdf = Pdf()
    page = pdf.page("")
    filters = " ".join(["/FlateDecode"] * layers)
    number = pdf.stream(data, f"/Filter [{filters}]")
    pdf.pages[0] = (page, pdf.pages[0][1] | {"Contents": f"{number} 0 R"})
    return pdf.classic()


def object_stream_bomb(size: int = 1 << 30) -> bytes:
    data = packed_spaces(size)
    pdf = Pdf("1.5")
    pdf.page(lines())
    objects = pdf.close()
    container = max(objects) + 1
    objects[container] = stream(data, "/Type /ObjStm /N 1 /First 10 /Filter /FlateDecode")
    out = bytearray(header("1.5"))
    offsets = write_objects(out, objects)
    entries = {n: (1, offsets[n], 0) for n in offsets}
    entries[4] = (2, container, 0)
    append_xref_stream(out, entries, {"Root": "1 0 R"})
    return bytes(out)


def many_filters() -> bytes:
    pdf = Pdf()
    page = pdf.page("")
    number = pdf.stream(b"00>", f"/Filter [{' '.join(['/ASCIIHexDecode'] * 5000)}]")
    pdf.pages[0] = (page, pdf.pages[0][1] | {"Contents": f"{number} 0 R"})
    return pdf.classic()


def claimed_size() -> bytes:
    return plain().replace(b"/Size 6", b"/Size 999999999")


def claimed_rows() -> bytes:
    data = plain()
    return data.replace(b"xref\n0 6\n", b"xref\n0 999999999\n")


def million_objects(count: int = 1_000_000) -> bytes:
    """A cross-reference stream of some kilobytes that lists a million objects."""
    pdf = Pdf("1.5")
    pdf.page(lines())
    objects = pdf.close()
    out = bytearray(header("1.5"))
    offsets = write_objects(out, objects)
    own = len(objects) + 1
    start = len(out)
    rows = b"".join(struct.pack(">BIH", 1, offsets.get(n, start), 0) for n in range(count))
    keys = f"/Type /XRef /Size {count} /W [1 4 2] /Root 1 0 R"
    out += b"%d 0 obj\n" % own + stream(rows, keys, compress=True) + b"\nendobj\nstartxref\n%d\n%%%%EOF\n" % start
    return bytes(out)


def reference_loop() -> bytes:
    pdf = Pdf()
    page = pdf.page(lines())
    first = pdf.add(b"")
    second = pdf.add(f"{first} 0 R")
    pdf.objects[first] = f"{second} 0 R".encode()
    pdf.pages[0] = (page, pdf.pages[0][1] | {"Contents": f"{first} 0 R"})
    return pdf.classic()


def form_loop() -> bytes:
    """A form XObject that draws itself."""
    pdf = Pdf("1.7")
    number = pdf.add(b"")
    keys = f"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X {number} 0 R >> >>"
    pdf.objects[number] = stream("/X Do", keys)
    pdf.page(lines() + "/X Do", resources=f"/XObject << /X {number} 0 R >>")
    return pdf.classic()


def form_doubling(levels: int = 40) -> bytes:
    """Every form XObject draws the next one twice: 2^levels drawings from a few kilobytes."""
    pdf = Pdf("1.7")
    below = appearance(pdf, "BT /F1 9 Tf (x) Tj ET")
    for _ in range(levels):
        keys = f"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X {below} 0 R >> >>"
        below = pdf.stream("/X Do /X Do", keys)
    pdf.page(lines() + "/X Do", resources=f"/XObject << /X {below} 0 R >>")
    return pdf.classic()


def huge_image() -> bytes:
    pdf = Pdf("1.7")
    data = zlib.compress(b"\0" * 100_000)
    keys = "/Type /XObject /Subtype /Image /Width 40000 /Height 40000 /ColorSpace /DeviceGray /BitsPerComponent 8"
    number = pdf.stream(data, f"{keys} /Filter /FlateDecode")
    pdf.page("q 595 0 0 842 0 0 cm /I Do Q", resources=f"/XObject << /I {number} 0 R >>")
    return pdf.classic()


def unembedded_font() -> bytes:
    pdf = Pdf("1.7")
    pdf.objects[pdf.font] = (
        b"<< /Type /Font /Subtype /TrueType /BaseFont /UnknownSerif /Encoding /WinAnsiEncoding"
        b" /FirstChar 32 /LastChar 33 /Widths [250 300] /FontDescriptor << /Type /FontDescriptor /FontName /UnknownSerif /Flags 32 /ItalicAngle 0"
        b" /FontBBox [0 0 1000 1000] /Ascent 900 /Descent -200 /CapHeight 700 /StemV 80 >> >>"
    )
    pdf.page(lines())
    return pdf.classic()


def external_stream() -> bytes:
    pdf = Pdf("1.7")
    page = pdf.page(lines())
    number = pdf.stream(b"", "/F (other.bin) /FFilter /FlateDecode")
    pdf.pages[0] = (page, pdf.pages[0][1] | {"Contents": f"{number} 0 R"})
    return pdf.classic()


def type3(glyphs: dict[str, str], shown: str, *, size: int = 12, after: str = "") -> bytes:
    """A page with a Type 3 font whose glyphs are given as content, by letter."""
    pdf = Pdf()
    procedures = " ".join(f"/g{ord(c)} {pdf.stream(body)} 0 R" for c, body in glyphs.items())
    names = " ".join(f"{ord(c)} /g{ord(c)}" for c in glyphs)
    codes = [ord(c) for c in glyphs]
    font = pdf.add(
        f"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 1000 1000] /FontMatrix [0.001 0 0 0.001 0 0] /CharProcs << {procedures} >>"
        f" /Encoding << /Type /Encoding /Differences [{names}] >> /FirstChar {min(codes)} /LastChar {max(codes)}"
        f" /Widths [{' '.join('800' for _ in range(min(codes), max(codes) + 1))}] /Resources << >> >>"
    )
    content = lines() + f"BT /T3 {size} Tf 72 700 Td ({shown}) Tj ET\n" + after
    pdf.page(content, resources="", Resources=f"<< /Font << /F1 {pdf.font} 0 R /T3 {font} 0 R >> >>")
    return pdf.classic()


def over_text(content: str, keys: str, *, resources: str = "") -> bytes:
    """The text, then a form XObject of `content` drawn over it."""
    pdf = Pdf("1.7")
    number = pdf.stream(content, f"/Type /XObject /Subtype /Form /BBox [0 0 595 842] {keys}")
    pdf.page(lines() + "/X Do", resources=f"/XObject << /X {number} 0 R >> {resources}")
    return pdf.classic()


def patterned(cell: str) -> bytes:
    """The text, then an area filled with a tiling pattern."""
    pdf = Pdf()
    keys = "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 10 10] /XStep 10 /YStep 10 /Resources << >>"
    number = pdf.stream(cell, keys)
    pdf.page(lines() + "/Pattern cs /P scn 50 650 400 160 re f", resources=f"/Pattern << /P {number} 0 R >>")
    return pdf.classic()


def table_page() -> bytes:
    """A table as office programs print it: grounds first, then rules and text, the heading white on blue; clips everywhere."""
    rows = "0.1 0.2 0.5 rg 60 600 470 24 re f 1 1 1 rg BT /F1 11 Tf 66 608 Td (STT Noi dung) Tj ET\n"
    for row in range(8):
        y = 576 - 24 * row
        rows += f"q 60 {y} 470 24 re W n {0.92 if row % 2 else 1} g 0 0 595 842 re f Q 0 g BT /F1 11 Tf 66 {y + 8} Td ({row} Viec mau) Tj ET\n"
        rows += f"0.5 w 60 {y} m 530 {y} l S\n"
    return _page(rows)


def highlighted() -> bytes:
    """A marker's yellow over the text, which shows through."""
    return _page("/H gs 1 1 0 rg 60 740 300 60 re f", "/ExtGState << /H << /Type /ExtGState /BM /Multiply >> >>")


def white_on_image() -> bytes:
    pdf = Pdf()
    image = pdf.stream(
        b"\x20", "/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8"
    )
    pdf.page(
        "q 595 0 0 200 0 600 cm /I Do Q 1 g BT /F1 20 Tf 72 700 Td (BIA BAO CAO) Tj ET",
        resources=f"/XObject << /I {image} 0 R >>",
    )
    return pdf.classic()


BITMAP_GLYPH = "800 0 0 0 700 700 d1 q 700 0 0 700 0 0 cm BI /W 8 /H 8 /IM true /BPC 1 ID " + "\x7e" * 8 + " EI Q"


def embedded_file() -> bytes:
    pdf = Pdf("1.7")
    pdf.page(lines())
    file = pdf.stream(b"MZ", "/Type /EmbeddedFile")
    spec = pdf.add(f"<< /Type /Filespec /F (a.exe) /EF << /F {file} 0 R >> >>")
    pdf.catalog["Names"] = f"<< /EmbeddedFiles << /Names [(a) {spec} 0 R] >> >>"
    return pdf.classic()


def layers(state: str = "/OFF") -> bytes:
    pdf = Pdf("1.7")
    group = pdf.add("<< /Type /OCG /Name (an) >>")
    pdf.catalog["OCProperties"] = f"<< /OCGs [{group} 0 R] /D << {state} [{group} 0 R] /Order [{group} 0 R] >> >>"
    content = lines() + "/OC /L BDC " + lines(("DONG AN",), top=400) + "EMC"
    pdf.page(content, resources=f"/Properties << /L {group} 0 R >>")
    return pdf.classic()


def outline_action(action: str) -> bytes:
    pdf = Pdf("1.7")
    pdf.page(lines())
    outlines = pdf.add(b"")
    item = pdf.add(f"<< /Title (x) /Parent {outlines} 0 R /A {action} >>")
    pdf.objects[outlines] = f"<< /Type /Outlines /First {item} 0 R /Last {item} 0 R /Count 1 >>".encode()
    pdf.catalog["Outlines"] = f"{outlines} 0 R"
    return pdf.classic()


def hidden_revision() -> bytes:
    """A revision cut out of the chain: its page is found by a reader that scans, not by one that follows /Prev."""
    first = plain()
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 300] >>"
    second = append(first, {5: page})
    return append(second, {3: HELVETICA}, {"Prev": str(startxref(first))})


def external_form() -> bytes:
    pdf = Pdf("1.7")
    keys = "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Ref << /F (other.pdf) /Page 0 >>"
    number = pdf.stream("", keys)
    pdf.page(lines() + "/X Do", resources=f"/XObject << /X {number} 0 R >>")
    return pdf.classic()


SCRIPT = "<< /S /JavaScript /JS (app.alert\\(1\\)) >>"

HOSTILE: dict[str, Callable[[], bytes]] = {
    "encrypted": encrypted,
    "script-open-action": lambda: _catalog(OpenAction=SCRIPT),
    "script-additional-action": lambda: _catalog(AA=f"<< /WC {SCRIPT} >>"),
    "script-names": lambda: _catalog(Names=f"<< /JavaScript << /Names [(a) {SCRIPT}] >> >>"),
    "script-page": lambda: _page(AA=f"<< /O {SCRIPT} >>"),
    "script-link": lambda: annotated(f"/Subtype /Link /A {SCRIPT}"),
    "script-outline": lambda: outline_action(SCRIPT),
    "script-escaped-name": lambda: _catalog(OpenAction="<< /S /J#61vaScript /JS (app.alert\\(1\\)) >>"),
    "script-next": lambda: annotated(f"/Subtype /Link /A << /S /URI /URI (https://example.invalid/) /Next {SCRIPT} >>"),
    "launch": lambda: annotated("/Subtype /Link /A << /S /Launch /F (a.exe) >>"),
    "launch-open-action": lambda: _catalog(OpenAction="<< /S /Launch /F (a.exe) >>"),
    "submit-form": lambda: annotated("/Subtype /Link /A << /S /SubmitForm /F (https://example.invalid/) >>"),
    "import-data": lambda: annotated("/Subtype /Link /A << /S /ImportData /F (a.fdf) >>"),
    "hide-action": lambda: annotated("/Subtype /Link /A << /S /Hide /T (x) >>"),
    "remote-go-to": lambda: annotated("/Subtype /Link /A << /S /GoToR /F (other.pdf) /D [0 /Fit] >>"),
    "embedded-go-to": lambda: annotated("/Subtype /Link /A << /S /GoToE /T << /R /C /N (a) >> >>"),
    "uri-open-action": lambda: _catalog(OpenAction="<< /S /URI /URI (https://example.invalid/) >>"),
    "page-action": lambda: _page(AA="<< /O << /S /URI /URI (https://example.invalid/) >> >>"),
    "unknown-action": lambda: annotated("/Subtype /Link /A << /S /SampleAction >>"),
    "rendition": lambda: annotated("/Subtype /Link /A << /S /Rendition /OP 0 >>"),
    "rich-media": lambda: annotated("/Subtype /RichMedia", extra=_drawn),
    "screen": lambda: annotated("/Subtype /Screen", extra=_drawn),
    "three-dimensional": lambda: annotated("/Subtype /3D", extra=_drawn),
    "xfa": lambda: _catalog(AcroForm="<< /Fields [] /XFA (x) >>"),
    "embedded-file": embedded_file,
    "file-annotation": lambda: annotated("/Subtype /FileAttachment", extra=_drawn),
    "collection": lambda: _catalog(Collection="<< /View /D >>"),
    "layer-off": layers,
    "layer-on": lambda: layers("/ON"),
    "image-over-text": lambda: with_image("q 400 0 0 200 50 650 cm /I Do Q"),
    "image-over-page": lambda: with_image("q 595 0 0 842 0 0 cm /I Do Q"),
    "image-turned-over-text": lambda: with_image("q 0 400 -400 0 450 600 cm /I Do Q"),
    "image-in-form-over-text": image_in_form_over_text,
    "annotation-over-text": annotation_over_text,
    "inline-image-over-text": lambda: _page("q 400 0 0 200 50 650 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \xff EI Q"),
    "invisible-text": lambda: _page("BT 3 Tr /F1 12 Tf 72 300 Td (dong an) Tj ET"),
    "clipped-text": lambda: _page("BT 7 Tr /F1 12 Tf 72 300 Td (dong an) Tj ET"),
    "area-over-text": lambda: _page("1 1 1 rg 50 650 400 160 re f"),
    "area-over-text-turned": lambda: _page("0.7 0.7 -0.7 0.7 250 500 cm 1 g 0 0 300 300 re f"),
    "polygon-over-text": lambda: _page("1 g 50 650 m 450 650 l 450 810 l 50 810 l h f"),
    "line-over-text": lambda: _page("1 G 160 w 50 730 m 450 730 l S"),
    "area-in-form-over-text": lambda: over_text("1 g 50 650 400 160 re f", ""),
    "area-clipped-over-text": lambda: _page(
        "50 650 m 250 600 l 460 650 l 460 810 l 250 830 l 50 810 l h W n 1 g 0 0 595 842 re f"
    ),
    "pattern-over-text": lambda: patterned("1 g 0 0 10 10 re f"),
    "white-text": lambda: _page("1 g BT /F1 12 Tf 72 300 Td (dong an) Tj ET"),
    "white-text-cmyk": lambda: _page("0 0 0 0 k BT /F1 12 Tf 72 300 Td (dong an) Tj ET"),
    "white-text-space": lambda: _page("/DeviceRGB cs 1 1 0.98 sc BT /F1 12 Tf 72 300 Td (dong an) Tj ET"),
    "text-in-its-ground": lambda: _page("0.2 0.3 0.8 rg 60 200 300 100 re f BT /F1 12 Tf 72 250 Td (dong an) Tj ET"),
    "white-text-on-a-white-area": lambda: _page(
        "0 g 50 190 320 120 re f 1 g 60 200 300 100 re f BT /F1 12 Tf 72 250 Td (dong an) Tj ET"
    ),
    "transparent-text": lambda: _page(
        "/H gs BT /F1 12 Tf 72 300 Td (dong an) Tj ET", "/ExtGState << /H << /Type /ExtGState /ca 0 >> >>"
    ),
    "tiny-text": lambda: _page("BT /F1 0.1 Tf 72 300 Td (dong an) Tj ET"),
    "tiny-text-by-matrix": lambda: _page("q 0.005 0 0 0.005 72 300 cm BT /F1 12 Tf (dong an) Tj ET Q"),
    "glyphs-that-draw-nothing": lambda: type3({"a": "800 0 0 0 700 700 d1"}, "aaa"),
    "glyph-over-text": lambda: type3({"a": "800 0 0 0 700 700 d1 0 0 700 700 re f"}, "a", size=200),
    "alternate-image": lambda: with_image(
        "", keys="/Alternates [<< /Image 4 0 R /DefaultForPrinting true >>]", before="/I Do "
    ),
    "external-stream": external_stream,
    "reference-form": external_form,
    "unembedded-font": unembedded_font,
    "hidden-annotation": lambda: annotated("/Subtype /Stamp /F 2", extra=_drawn),
    "no-view-annotation": lambda: annotated("/Subtype /Stamp /F 32", extra=_drawn),
    "toggle-annotation": lambda: annotated("/Subtype /Stamp /F 256", extra=_drawn),
    "free-text-undrawn": lambda: annotated("/Subtype /FreeText /DA (/F1 10 Tf 0 g) /Contents (ghi chu)"),
    "note-undrawn": lambda: annotated("/Subtype /Text /Contents (ghi chu)"),
    "field-undrawn": lambda: form(shown=None),
    "field-differs": lambda: form(shown="Tran Van Khac"),
    "field-hidden": lambda: form(flags=2),
    "unreachable-catalog": lambda: unreachable("<< /Type /Catalog /Pages 2 0 R >>"),
    "unreachable-page": lambda: unreachable("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"),
    "unreachable-tree": lambda: unreachable("<< /Type /Pages /Kids [5 0 R] /Count 1 >>"),
    "unreachable-annotation": lambda: unreachable("<< /Type /Annot /Subtype /Stamp /Rect [0 0 9 9] >>"),
    "unreachable-untyped-annotation": lambda: unreachable("<< /Subtype /Widget /Rect [0 0 9 9] >>"),
    "unlisted-catalog": lambda: unlisted("<< /Type /Catalog /Pages 2 0 R >>"),
    "unlisted-in-object-stream": unlisted_in_object_stream,
    "hidden-revision": hidden_revision,
    "wrong-offsets": wrong_offsets,
    "swapped-offsets": swapped_offsets,
    "two-starts": two_starts,
    "two-tables": two_tables,
    "xref-loop": xref_loop,
    "duplicate-object": duplicate_object,
    "duplicate-key": duplicate_key,
    "wrong-length": wrong_length,
    "junk-before-header": lambda: b"GIF89a\n" + plain(),
    "junk-after-end": lambda: plain() + b"<html></html>\n",
    "other-file-after-end": lambda: plain() + b"PK\x03\x04" + b"\0" * 100,
    "two-files": lambda: plain() + vietnamese(),
    "no-end": lambda: plain().replace(b"%%EOF\n", b""),
    "empty": lambda: b"",
    "not-pdf": lambda: b"\x89PNG\r\n\x1a\n" + b"\0" * 200,
    "old-version": lambda: plain().replace(b"%PDF-1.4", b"%PDF-1.3"),
    "no-pages": lambda: Pdf().classic(),
    "cyclic-tree": cyclic_tree,
    "shared-page": shared_page,
    "wrong-count": wrong_count,
    "inner-counts": inner_counts,
    "deep-tree": deep_tree,
    "deep-array": deep_array,
    "flate-bomb": flate_bomb,
    "flate-bomb-layers": lambda: flate_bomb(layers=3),
    "object-stream-bomb": object_stream_bomb,
    "many-filters": many_filters,
    "claimed-size": claimed_size,
    "claimed-rows": claimed_rows,
    "million-objects": million_objects,
    "reference-loop": reference_loop,
    "form-loop": form_loop,
    "form-doubling": form_doubling,
    "form-doubling-shallow": lambda: form_doubling(20),
    "huge-image": huge_image,
    "huge-page": lambda: _page(MediaBox="[0 0 200000 200000]"),
    "empty-page": lambda: _page(MediaBox="[0 0 0 0]"),
    "missing-contents": lambda: _page(Contents="77 0 R"),
    "certified-1": lambda: signed(transform("DocMDP", "/V /1.2 /P 1"), perms=True, more="8 0 R"),
    "locked-all": lambda: signed(transform("FieldMDP", "/V /1.2 /Action /All"), more="8 0 R"),
    "locked-exclude": lambda: signed(transform("FieldMDP", "/V /1.2 /Action /Exclude /Fields [(khac)]"), more="8 0 R"),
    "locked-pdf-2": lambda: signed(lock="/Lock << /Type /SigFieldLock /Action /All /P 1 >>"),
    "signature-not-whole": lambda: signed(short=40),
}
