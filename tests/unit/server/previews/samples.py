"""Small PDFs for the renderer's tests, each made here object by object."""

import zlib
from importlib import resources

from fontTools.ttLib import TTFont

SERIF = resources.files("font_source_serif_pro") / "files" / "SourceSerifPro-Regular.ttf"


def pdf(*objects: bytes, trailer: bytes = b"") -> bytes:
    """A file of the objects 1, 2, …; the first is the catalog."""
    body, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, item in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return bytes(
        body
    ) + b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF" % (
        *(size, table, size, trailer, len(body)),
    )


def stream(content: bytes, extra: bytes = b"") -> bytes:
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(content), extra, content)


def page(
    content: bytes, *, box: str = "0 0 300 400", extra: bytes = b"", catalog: bytes = b"", more: tuple[bytes, ...] = ()
) -> bytes:
    """One page; objects 1–4 are catalog, pages, page, content; `more` begin at 5."""
    return pdf(
        b"<</Type/Catalog/Pages 2 0 R%s>>" % catalog,
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Contents 4 0 R%s>>" % (box.encode(), extra),
        stream(content),
        *more,
    )


def vietnamese(text: str) -> bytes:
    """One line in an embedded font with every Vietnamese letter."""
    data = SERIF.read_bytes()
    with SERIF.open("rb") as file, TTFont(file) as font:
        glyphs = [font.getGlyphID(font.getBestCmap()[ord(char)]) for char in text]
        scale = 1000 / font["head"].unitsPerEm
        widths = " ".join(f"{glyph}[{font['hmtx'][font.getGlyphName(glyph)][0] * scale:.0f}]" for glyph in glyphs)
    line = "".join(f"{glyph:04x}" for glyph in glyphs)
    return page(
        f"BT /F1 30 Tf 20 40 Td <{line}> Tj ET".encode(),
        box="0 0 600 100",
        extra=b"/Resources<</Font<</F1 5 0 R>>>>",
        more=(
            b"<</Type/Font/Subtype/Type0/BaseFont/Serif/Encoding/Identity-H/DescendantFonts[6 0 R]>>",
            b"<</Type/Font/Subtype/CIDFontType2/BaseFont/Serif/CIDToGIDMap/Identity/FontDescriptor 7 0 R%s>>"
            % (_IDENTITY % widths.encode()),
            _DESCRIPTOR,
            stream(zlib.compress(data), b"/Filter/FlateDecode/Length1 %d" % len(data)),
        ),
    )


def stamped() -> bytes:
    """A blank page with a red widget and a blue annotation, each with an appearance."""
    box = b"<</Type/XObject/Subtype/Form/BBox[0 0 100 100]"
    return page(
        b"",
        extra=b"/Annots[5 0 R 6 0 R]",
        catalog=b"/AcroForm<</Fields[5 0 R]>>",
        more=(
            b"<</Type/Annot/Subtype/Widget/FT/Sig/T(Sig1)/F 132/Rect[0 0 100 100]/P 3 0 R/AP<</N 7 0 R>>>>",
            b"<</Type/Annot/Subtype/Stamp/F 4/Rect[200 300 300 400]/P 3 0 R/AP<</N 8 0 R>>>>",
            *(box.replace(b"<<", b"<</Length 25", 1) + b">>stream\n%s\nendstream" % paint for paint in _PAINT),
        ),
    )


_PAINT = (b"1 0 0 rg 0 0 100 100 re f", b"0 0 1 rg 0 0 100 100 re f")
_IDENTITY = b"/W[%s]/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"
_DESCRIPTOR = (
    b"<</Type/FontDescriptor/FontName/Serif/Flags 4/FontBBox[0 0 1000 1000]/ItalicAngle 0/Ascent 900/Descent -300"
    b"/CapHeight 700/StemV 80/FontFile2 8 0 R>>"
)
