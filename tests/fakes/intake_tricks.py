"""Files that try intake where a single generator a trick was not enough: bombs, fonts that a reader loads later, one file with two
readings, archives inside (threats B3, B5, B8, B9).

`TRICKS` gives for each name its class, the code with which intake refuses it, and how it is made. They differ in the object attacked.

Longer than most: it is one catalogue of cases.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import NamedTuple

from tests.fakes.pdfs import Pdf, dictionary, embed_font, lines, plain, stream, table, write_objects

__all__ = ["TRICKS", "Trick", "honest_neighbours"]


class Trick(NamedTuple):
    """`kind`: "bomb", "font", "reading" or "archive"."""

    kind: str
    code: str
    make: Callable[[], bytes]


# -- B5: what is drawn depends on a font that the file does not hold ------------------------------------------------------

_DESCRIPTOR = (
    "/Type /FontDescriptor /FontName /Sample /Flags 4 /FontBBox [0 -200 1000 900] /ItalicAngle 0 /Ascent 900 /Descent -200"
    " /CapHeight 700 /StemV 80"
)


def _simple_font(pdf: Pdf, program: str = "") -> int:
    descriptor = pdf.add(f"<< {_DESCRIPTOR} {program} >>")
    return pdf.add(
        "<< /Type /Font /Subtype /TrueType /BaseFont /Sample /Encoding /WinAnsiEncoding /FirstChar 32 /LastChar 33 /Widths [250 300]"
        f" /FontDescriptor {descriptor} 0 R >>"
    )


def _used_on_a_page(font: Callable[[Pdf], int]) -> bytes:
    pdf = Pdf("1.7")
    own = font(pdf)
    content = lines() + "BT /F2 12 Tf 72 400 Td (So tien 100) Tj ET\n"
    pdf.page(content, Resources=f"<< /Font << /F1 {pdf.font} 0 R /F2 {own} 0 R >> >>")
    return pdf.classic()


def _empty_program(pdf: Pdf) -> int:
    return _simple_font(pdf, f"/FontFile2 {pdf.stream(b'')} 0 R")


def _no_program_there(pdf: Pdf) -> int:
    return _simple_font(pdf, "/FontFile2 99 0 R")


def _null_program(pdf: Pdf) -> int:
    return _simple_font(pdf, "/FontFile2 null")


def _program_is_no_stream(pdf: Pdf) -> int:
    return _simple_font(pdf, f"/FontFile2 {pdf.add('<< /Length 4 >>')} 0 R")


def _program_is_no_font(pdf: Pdf) -> int:
    return _simple_font(pdf, f"/FontFile2 {pdf.stream(b'khong phai phong chu ' * 40)} 0 R")


def _program_cut_off(pdf: Pdf) -> int:
    embed_font(pdf, "So tien 0123456789")
    program = max(number for number, body in pdf.objects.items() if b"/Length1" in body)
    raw = pdf.objects[program]
    packed = raw[raw.index(b"stream\n") + 7 : raw.rindex(b"\nendstream")]
    cut = zlib.decompress(packed)[:40]
    pdf.objects[program] = stream(cut, f"/Length1 {len(cut)}")
    return pdf.font


def _other_map(encoding: Callable[[Pdf], str], mapping: str = "/Identity") -> Callable[[Pdf], int]:
    """An embedded Type 0 font whose codes are mapped by something that is elsewhere."""

    def font(pdf: Pdf) -> int:
        embed_font(pdf, "So tien 0123456789")
        pdf.objects[pdf.font] = pdf.objects[pdf.font].replace(b"/Identity-H", encoding(pdf).encode())
        for number, body in pdf.objects.items():
            pdf.objects[number] = body.replace(b"/CIDToGIDMap /Identity", f"/CIDToGIDMap {mapping}".encode())
        return pdf.font

    return font


def _map_of_another_file(pdf: Pdf) -> str:
    keys = "/Type /CMap /CMapName /Own /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /UseCMap /Other-H"
    return f"{pdf.stream('/CIDInit /ProcSet findresource begin begincmap /Other-H usecmap endcmap end', keys)} 0 R"


def _in_an_appearance() -> bytes:
    pdf = Pdf("1.7")
    font = _simple_font(pdf)
    keys = f"/Type /XObject /Subtype /Form /BBox [0 0 200 20] /Resources << /Font << /F2 {font} 0 R >> >>"
    form = pdf.stream("BT /F2 10 Tf 2 6 Td (ghi chu) Tj ET", keys)
    note = pdf.add(f"<< /Type /Annot /Subtype /Stamp /F 4 /Rect [72 300 272 320] /AP << /N {form} 0 R >> >>")
    pdf.page(lines(), Annots=f"[{note} 0 R]")
    return pdf.classic()


def _in_a_form() -> bytes:
    pdf = Pdf("1.7")
    font = _simple_font(pdf)
    keys = f"/Type /XObject /Subtype /Form /BBox [0 0 595 842] /Resources << /Font << /F2 {font} 0 R >> >>"
    form = pdf.stream("BT /F2 10 Tf 72 300 Td (ghi chu) Tj ET", keys)
    pdf.page(lines() + "/X Do", resources=f"/XObject << /X {form} 0 R >>")
    return pdf.classic()


def _in_a_pattern() -> bytes:
    pdf = Pdf("1.7")
    font = _simple_font(pdf)
    keys = (
        "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 100 20] /XStep 100 /YStep 20"
        f" /Resources << /Font << /F2 {font} 0 R >> >>"
    )
    cell = pdf.stream("BT /F2 10 Tf 2 6 Td (ghi chu) Tj ET", keys)
    pdf.page(lines() + "/Pattern cs /P scn 50 100 400 160 re f", resources=f"/Pattern << /P {cell} 0 R >>")
    return pdf.classic()


def _in_a_glyph() -> bytes:
    pdf = Pdf("1.7")
    font = _simple_font(pdf)
    glyph = pdf.stream("800 0 0 0 800 800 d1 BT /F2 900 Tf (A) Tj ET")
    own = pdf.add(
        "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 1000 1000] /FontMatrix [0.001 0 0 0.001 0 0] /FirstChar 65 /LastChar 65 /Widths [800]"
        f" /CharProcs << /a {glyph} 0 R >> /Encoding << /Type /Encoding /Differences [65 /a] >> /Resources << /Font << /F2 {font} 0 R >> >> >>"
    )
    pdf.page(
        lines() + "BT /T3 12 Tf 72 400 Td (AAA) Tj ET\n",
        Resources=f"<< /Font << /F1 {pdf.font} 0 R /T3 {own} 0 R >> >>",
    )
    return pdf.classic()


def _by_graphics_state() -> bytes:
    pdf = Pdf("1.7")
    font = _simple_font(pdf)
    pdf.page(
        lines() + "BT /G gs 72 400 Td (So tien) Tj ET\n",
        resources=f"/ExtGState << /G << /Type /ExtGState /Font [{font} 0 R 12] >> >>",
    )
    return pdf.classic()


def _inherited() -> bytes:
    pdf = Pdf("1.7")
    font = _simple_font(pdf)
    pdf.page(lines() + "BT /F2 12 Tf 72 400 Td (So tien) Tj ET\n")
    pdf.tree["Resources"] = f"<< /Font << /F1 {pdf.font} 0 R /F2 {font} 0 R >> >>"
    del pdf.pages[0][1]["Resources"]
    return pdf.classic()


def _second_descendant() -> bytes:
    pdf = Pdf("1.7")
    encode = embed_font(pdf, "So tien 0123456789")
    body = pdf.objects[pdf.font]
    first = body[body.index(b"/DescendantFonts [") + 18 :].split(b"]")[0].decode()
    pdf.objects[pdf.font] = body.replace(first.encode(), f"{first} {first}".encode())
    pdf.page(f"BT /F1 12 Tf 72 400 Td {encode('So tien 100')} Tj ET\n")
    return pdf.classic()


# -- B3: little that becomes much --------------------------------------------------------------------------------------------


def _with_stream(data: bytes, keys: str) -> bytes:
    """A page whose content is the stream."""
    pdf = Pdf("1.7")
    pdf.page(lines())
    pdf.pages[0][1]["Contents"] = f"{pdf.stream(data, keys)} 0 R"
    return pdf.classic()


def _deflated(piece: bytes, times: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(piece * 1000) for _ in range(times // 1000)) + packer.flush()


def _image_of(keys: str, data: bytes = b"\xff" * 64, *, size: str = "/Width 40 /Height 60") -> bytes:
    pdf = Pdf("1.7")
    number = pdf.stream(
        data, f"/Type /XObject /Subtype /Image {size} /ColorSpace /DeviceGray /BitsPerComponent 8 {keys}"
    )
    pdf.page(lines() + "q 200 0 0 300 72 100 cm /I Do Q", resources=f"/XObject << /I {number} 0 R >>")
    return pdf.classic()


def _jpeg_2000(width: int, height: int) -> bytes:
    """The header of a codestream that says how large the picture is (ISO 15444-1, A.5.1)."""
    body = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, width, height, 0, 0, 1) + bytes([7, 1, 1])
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(body) + 2) + body + b"\xff\xd9"


def _jpeg(width: int, height: int) -> bytes:
    """A JPEG that says how large it is (ITU-T T.81, B.2.2), without a picture."""
    frame = struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0])
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xd9"


def _jpeg_behind_a_reference() -> bytes:
    """The name of the picture's codec stands in an object of its own, as any other value may."""
    pdf = Pdf("1.7")
    codec = pdf.add("/DCTDecode")
    number = pdf.stream(
        _jpeg(65_000, 65_000),
        "/Type /XObject /Subtype /Image /Width 40 /Height 60 /ColorSpace /DeviceGray /BitsPerComponent 8"
        f" /Filter [{codec} 0 R]",
    )
    pdf.page(lines() + "q 200 0 0 300 72 100 cm /I Do Q", resources=f"/XObject << /I {number} 0 R >>")
    return pdf.classic()


def _chain_of_revisions(count: int) -> bytes:
    data = bytearray(plain())
    before = data.rindex(b"startxref\n") + 10
    start = int(data[before:].split(b"\n")[0])
    for _ in range(count):
        at = len(data)
        data += b"xref\n0 0\ntrailer\n<< /Size 6 /Root 1 0 R /Prev %d >>\nstartxref\n%d\n%%%%EOF\n" % (start, at)
        start = at
    return bytes(data)


def _glyph_calls_glyph() -> bytes:
    pdf = Pdf("1.7")
    own = max(pdf.objects) + 2
    glyph = pdf.stream("800 0 d0 " + "BT /T3 900 Tf (AAAAAAAAAA) Tj ET " * 10)
    pdf.add(
        "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 1000 1000] /FontMatrix [0.001 0 0 0.001 0 0] /FirstChar 65 /LastChar 65 /Widths [800]"
        f" /CharProcs << /a {glyph} 0 R >> /Encoding << /Type /Encoding /Differences [65 /a] >> /Resources << /Font << /T3 {own} 0 R >> >> >>"
    )
    pdf.page(
        lines() + "BT /T3 12 Tf 72 400 Td (AAA) Tj ET\n",
        Resources=f"<< /Font << /F1 {pdf.font} 0 R /T3 {own} 0 R >> >>",
    )
    return pdf.classic()


def _pattern_in_pattern() -> bytes:
    pdf = Pdf("1.7")
    own = max(pdf.objects) + 1
    keys = (
        "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 10 10] /XStep 10 /YStep 10"
        f" /Resources << /Pattern << /P {own} 0 R >> >>"
    )
    pdf.stream("/Pattern cs /P scn 0 0 10 10 re f", keys)
    pdf.page(lines() + "/Pattern cs /P scn 50 100 400 160 re f", resources=f"/Pattern << /P {own} 0 R >>")
    return pdf.classic()


# -- B9: a second reading ----------------------------------------------------------------------------------------------------


def _as_zip() -> bytes:
    """A PDF in whose last stream an archive lies; its end record takes what follows for its comment."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("van-ban-khac.txt", "Noi dung khac")
    packed = made.getvalue()
    pdf = Pdf("1.7")
    pdf.page(lines())
    number = pdf.stream(packed)
    pdf.page(lines(("Phu luc",)), resources="")
    pdf.pages[0][1]["PieceInfo"] = f"<< /Own << /LastModified (D:20261122) /Private {number} 0 R >> >>"
    data = pdf.classic()
    end = data.index(b"PK\x05\x06")
    directory = data.index(b"PK\x01\x02")
    # Offsets of the directory and of the entry count from the beginning of the PDF.
    fixed = bytearray(data)
    local = data.index(b"PK\x03\x04")
    fixed[directory + 42 : directory + 46] = struct.pack("<I", local)
    fixed[end + 16 : end + 20] = struct.pack("<I", directory)
    fixed[end + 20 : end + 22] = struct.pack("<H", len(data) - end - 22)
    return bytes(fixed)


def _as_tar() -> bytes:
    """A PDF whose beginning is the header of a tape archive's entry; a comment takes the header's other fields."""
    raw = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT)[:512])
    raw[:100] = b"%PDF-1.7\n%".ljust(99, b"x") + b"\0"
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    pdf = Pdf("1.7")
    pdf.page(lines())
    objects = pdf.close()
    out = raw + b"\n"
    offsets = write_objects(out, objects)
    start = len(out)
    out += table(offsets, max(objects) + 1)
    keys = {"Size": str(max(objects) + 1), "Root": "1 0 R"}
    out += f"trailer\n{dictionary(keys)}\nstartxref\n{start}\n%%EOF\n".encode("latin-1")
    return bytes(out)


def _marked(mark: bytes, at: int | None = None) -> bytes:
    """A PDF with the mark of another kind of file inside a stream; `at`: where that kind's readers look for it."""

    def made(before: int) -> bytes:
        pdf = Pdf("1.7")
        pdf.page(lines())
        number = pdf.stream(b"\0" * before + mark + b"\0" * 2048)
        pdf.pages[0][1]["PieceInfo"] = f"<< /Own << /LastModified (D:20261122) /Private {number} 0 R >> >>"
        return pdf.classic()

    first = made(10_000)
    return first if at is None else made(10_000 + at - first.index(mark))


def _escaped_twice(key: str, escaped: str, value: str) -> bytes:
    """A key twice, once with one of its letters written as a number."""
    pdf = Pdf("1.7")
    pdf.page(lines())
    other = pdf.stream(lines(("SO TIEN KHAC",)))
    assert key in pdf.pages[0][1]
    pdf.pages[0][1][escaped] = value.format(other=other)
    return pdf.classic()


def _content_split() -> bytes:
    """An operator that stands half in one content stream and half in the next: readers join with or without white space."""
    pdf = Pdf("1.7")
    pdf.page(lines())
    one = pdf.stream(b"BT /F1 12 Tf 72 780 Td (So tien 1")
    two = pdf.stream(b"00) Tj ET")
    pdf.pages[0][1]["Contents"] = f"[{one} 0 R {two} 0 R]"
    return pdf.classic()


# -- B8: archives and files inside ---------------------------------------------------------------------------------------------


def _zip_bomb_inside() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.zip", bytes(10_000_000))
    return made.getvalue()


def _attached(where: str) -> bytes:
    pdf = Pdf("1.7")
    file = pdf.stream(_zip_bomb_inside(), "/Type /EmbeddedFile /Subtype /application#2Fzip")
    spec = pdf.add(f"<< /Type /Filespec /F (a.zip) /UF (a.zip) /EF << /F {file} 0 R >> /AFRelationship /Data >>")
    pdf.page(lines())
    holder = pdf.catalog if where != "page" else pdf.pages[0][1]
    if where == "nested names":
        low = pdf.add(f"<< /Limits [(a) (a)] /Names [(a) {spec} 0 R] >>")
        pdf.catalog["Names"] = f"<< /EmbeddedFiles << /Kids [{low} 0 R] >> >>"
    elif where == "structure":
        tree = pdf.add(f"<< /Type /StructTreeRoot /K << /Type /StructElem /S /P /AF [{spec} 0 R] >> >>")
        pdf.catalog["StructTreeRoot"] = f"{tree} 0 R"
    else:
        holder["AF"] = f"[{spec} 0 R]"
    return pdf.classic()


def _untyped_attachment() -> bytes:
    pdf = Pdf("1.7")
    file = pdf.stream(_zip_bomb_inside())
    pdf.page(lines())
    pdf.catalog["AF"] = f"[<< /F (a.zip) /E#46 << /F {file} 0 R >> >>]"
    return pdf.classic()


def _pdf_in_pdf() -> bytes:
    pdf = Pdf("1.7")
    file = pdf.stream(plain(), "/Type /EmbeddedFile /Subtype /application#2Fpdf")
    pdf.page(lines())
    pdf.catalog["Names"] = f"<< /EmbeddedFiles << /Names [(a) << /F (a.pdf) /EF << /F {file} 0 R >> >>] >> >>"
    return pdf.classic()


def _bombs() -> dict[str, tuple[str, Callable[[], bytes]]]:
    deflate = "/Filter /FlateDecode"
    return {
        "operators": ("too-large", lambda: _with_stream(_deflated(b"0 0 m ", 25_000_000), deflate)),
        "graphics-states": ("too-large", lambda: _with_stream(_deflated(b"q ", 2_000_000), deflate)),
        "marked-content": ("too-large", lambda: _with_stream(_deflated(b"/a BMC ", 2_000_000), deflate)),
        "arrays-in-content": ("too-large", lambda: _with_stream(_deflated(b"[", 2_000_000), deflate)),
        "parentheses": ("too-large", lambda: _with_stream(b"BT " + b"(" * 2_000_000, "")),
        "unfinished-strings": ("too-large", lambda: _with_stream(b"BT " + b"(" * 9_000 + b"a\n" * 500_000, "")),
        "run-lengths": (
            "too-large",
            lambda: _with_stream(_deflated(b"\x81 ", 2_500_000), "/Filter [/FlateDecode /RunLengthDecode]"),
        ),
        "predictor-columns": (
            "broken-structure",
            lambda: _with_stream(
                _deflated(b"0", 1000), f"{deflate} /DecodeParms << /Predictor 12 /Columns 1073741824 >>"
            ),
        ),
        "jpeg-2000-of-3.6-gigapixels": (
            "too-large",
            lambda: _image_of("/Filter /JPXDecode", _jpeg_2000(60_000, 60_000)),
        ),
        "jpeg-behind-a-reference": ("too-large", _jpeg_behind_a_reference),
        "jpeg-of-4.2-gigapixels": ("too-large", lambda: _image_of("/Filter /DCTDecode", _jpeg(65_000, 65_000))),
        "revisions": ("too-large", lambda: _chain_of_revisions(20_000)),
        "glyph-in-glyph": ("broken-structure", _glyph_calls_glyph),
        "pattern-in-pattern": ("broken-structure", _pattern_in_pattern),
    }


_FONTS: dict[str, Callable[[], bytes]] = {
    "program-empty": lambda: _used_on_a_page(_empty_program),
    "program-not-there": lambda: _used_on_a_page(_no_program_there),
    "program-null": lambda: _used_on_a_page(_null_program),
    "program-no-stream": lambda: _used_on_a_page(_program_is_no_stream),
    "program-no-font": lambda: _used_on_a_page(_program_is_no_font),
    "program-cut-off": lambda: _used_on_a_page(_program_cut_off),
    "map-of-no-standard": lambda: _used_on_a_page(_other_map(lambda _pdf: "/Unknown-H")),
    "map-by-another": lambda: _used_on_a_page(_other_map(_map_of_another_file)),
    "map-of-glyphs-not-there": lambda: _used_on_a_page(_other_map(lambda _pdf: "/Identity-H", "99 0 R")),
    "two-descendants": _second_descendant,
    "in-an-appearance": _in_an_appearance,
    "in-a-form": _in_a_form,
    "in-a-pattern": _in_a_pattern,
    "in-a-glyph": _in_a_glyph,
    "by-graphics-state": _by_graphics_state,
    "inherited": _inherited,
}
_READINGS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zip": ("broken-structure", _as_zip),
    "tar": ("broken-structure", _as_tar),
    "iso-9660": ("broken-structure", lambda: _marked(b"CD001\x01", 0x8001)),
    "rar": ("broken-structure", lambda: _marked(b"Rar!\x1a\x07\x01\x00")),
    "7z": ("broken-structure", lambda: _marked(b"7z\xbc\xaf\x27\x1c\x00\x04")),
    "contents-twice-escaped": ("broken-structure", lambda: _escaped_twice("Contents", "Con#74ents", "{other} 0 R")),
    "box-twice-escaped": ("broken-structure", lambda: _escaped_twice("MediaBox", "Media#42ox", "[0 0 100 100]")),
    "word-over-two-streams": ("parsers-disagree", _content_split),
}
_ARCHIVES: dict[str, Callable[[], bytes]] = {
    "associated-file": lambda: _attached("catalog"),
    "associated-with-a-page": lambda: _attached("page"),
    "associated-with-a-paragraph": lambda: _attached("structure"),
    "in-a-tree-of-names": lambda: _attached("nested names"),
    "of-no-type-under-an-escaped-key": _untyped_attachment,
    "pdf-in-pdf": _pdf_in_pdf,
}

TRICKS: dict[str, Trick] = {
    **{f"bomb-{name}": Trick("bomb", code, make) for name, (code, make) in _bombs().items()},
    **{f"font-{name}": Trick("font", "external-content", make) for name, make in _FONTS.items()},
    **{f"reading-{name}": Trick("reading", code, make) for name, (code, make) in _READINGS.items()},
    **{f"archive-{name}": Trick("archive", "embedded-file", make) for name, make in _ARCHIVES.items()},
}


def honest_neighbours() -> dict[str, bytes]:
    """Files that look like a trick and are none: they must be taken."""
    return {
        "predefined-map": _used_on_a_page(_other_map(lambda _pdf: "/UniGB-UCS2-H")),
        "map-of-its-own": _used_on_a_page(_other_map(_map_of_its_own)),
        "glyph-with-a-held-font": _glyph_of_text(),
        "marked-content-in-order": _with_stream(_deflated(b"/Span BMC EMC ", 40_000), "/Filter /FlateDecode"),
        "numbers-with-two-signs": _sloppy_arrays(500),
        "large-jpeg": _image_of("/Filter /DCTDecode", _jpeg(14_000, 19_000)),
        "zip-without-its-end": _marked(b"PK\x03\x04" + b"\0" * 40),
        "end-of-a-zip-without-its-directory": _marked(b"PK\x05\x06" + b"\0" * 18),
    }


def _sloppy_arrays(count: int) -> bytes:
    """Arrays of text whose numbers have a sign too many, as some old programs write them; readers skip the odd token."""
    pdf = Pdf("1.7")
    pdf.page("BT /F1 10 Tf 72 780 Td\n" + "[(So)--12(tien)] TJ 0 -1 Td\n" * count + "ET")
    return pdf.classic()


def _map_of_its_own(pdf: Pdf) -> str:
    body = "/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <0000> <ffff> endcodespacerange 1 begincidrange <0000> <ffff> 0 endcidrange endcmap end"
    keys = "/Type /CMap /CMapName /Own /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >>"
    return f"{pdf.stream(body, keys)} 0 R"


def _glyph_of_text() -> bytes:
    pdf = Pdf("1.7")
    glyph = pdf.stream("800 0 0 0 800 800 d1 BT /F1 900 Tf (A) Tj ET")
    own = pdf.add(
        "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 1000 1000] /FontMatrix [0.001 0 0 0.001 0 0] /FirstChar 65 /LastChar 65 /Widths [800]"
        f" /CharProcs << /a {glyph} 0 R >> /Encoding << /Type /Encoding /Differences [65 /a] >> /Resources << /Font << /F1 {pdf.font} 0 R >> >> >>"
    )
    content = lines() + "BT /T3 12 Tf 72 400 Td (AAA) Tj ET\n"
    pdf.page(content, Resources=f"<< /Font << /F1 {pdf.font} 0 R /T3 {own} 0 R >> >>")
    return pdf.classic()
