"""How a signature looks: the stamp's font, its text, and its drawing (rules SIG-1, SIG-2, SIG-4 to SIG-6, SIG-11).

Everything is drawn in the reader's orientation in a box of width x height user space units, without background and
without transparency (so PDF/A-1 input stays PDF/A-1). Text is NFC and extractable: Identity-H over an embedded TrueType
subset with a ToUnicode map. The subset holds every Vietnamese letter and is made once a process; a text with further
characters makes one more.

Longer than most: text, font and drawing are measured against each other, and none is of use alone.
"""

from __future__ import annotations

import math
import unicodedata
import zlib
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from signing.pdf.errors import PdfError
from signing.pdf.objects import Ref
from signing.pdf.stamp_image import StampImage
from signing.pdf.writer import Addition, name_token, number_token

if TYPE_CHECKING:
    # Loaded where a font is really cut: it is a third of the memory of a process that forks for each file.
    from fontTools.ttLib import TTFont

__all__ = [
    "DEFAULT_FONT",
    "VIETNAMESE_LETTERS",
    "SealStamp",
    "StampFont",
    "TextStamp",
    "check_font",
    "draw_image",
    "draw_image_right",
    "draw_initials",
    "draw_note",
    "draw_seal",
    "draw_text",
    "embed_font",
    "embed_image",
    "hold_font",
    "stamp_font",
]

DEFAULT_FONT: Final = Path(str(resources.files("font_source_serif_pro") / "files" / "SourceSerifPro-Regular.ttf"))


def _vietnamese() -> str:
    """The 134 letters that Vietnamese adds to ASCII: 12 vowels in all tones, and đ, in both cases."""
    tones = ["", "\u0300", "\u0309", "\u0303", "\u0301", "\u0323"]
    letters = {unicodedata.normalize("NFC", vowel + tone) for vowel in "aăâeêioôơuưy" for tone in tones} | {"đ"}
    return "".join(sorted(both for letter in letters if not letter.isascii() for both in (letter, letter.upper())))


VIETNAMESE_LETTERS: Final = _vietnamese()
_BASE: Final = frozenset(VIETNAMESE_LETTERS) | frozenset(map(chr, range(0x20, 0x7F))) | frozenset("–—“”‘’…·№°")
_NEEDED: Final = frozenset(VIETNAMESE_LETTERS) | frozenset(map(chr, range(0x20, 0x7F)))

INITIALS: Final = "Ký nháy"
PERSON_COLOUR: Final = (0.05, 0.18, 0.55)  # blue as ink, SIG-11
SEAL_COLOUR: Final = (0.80, 0.0, 0.0)  # red, SIG-2


class TextStamp(msgspec.Struct, frozen=True):
    """A person's stamp: `heading` small lines, the name, `footer` small lines.

    `clear_left` is the share of the width on the left that the text leaves free for the seal (SIG-2).
    """

    name: str
    heading: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()
    clear_left: float = 0.0


class SealStamp(msgspec.Struct, frozen=True):
    """The organisation's stamp: its name in the ring, `footer` small lines (clerk, time)."""

    name: str
    footer: tuple[str, ...] = ()


class StampFont(msgspec.Struct, frozen=True):
    """A subset, ready to be embedded. `glyphs` maps characters to glyph ids; widths are in 1/1000 of the size."""

    program: bytes  # compressed TrueType
    program_length: int
    glyphs: dict[str, int]
    widths: dict[str, float]
    descriptor: bytes
    width_array: bytes
    to_unicode: bytes  # compressed CMap
    base_name: str

    def measure(self, text: str) -> float:
        """Width of `text` at size 1."""
        return sum(self.widths[char] for char in text) / 1000

    def show(self, text: str) -> bytes:
        return b"<" + b"".join(b"%04X" % self.glyphs[char] for char in text) + b"> Tj"


def _open_font(path: Path) -> TTFont:
    from fontTools.ttLib import TTFont, TTLibError

    try:
        return TTFont(BytesIO(path.read_bytes()), lazy=True)
    except (TTLibError, OSError):
        raise PdfError("bad-font", "the stamp's font cannot be read") from None


def check_font(path: Path) -> None:
    """Refuse a font that cannot be the stamp's: raises `PdfError("bad-font")`.

    Needed: TrueType outlines, every Vietnamese letter with a glyph that is not empty, and the right to embed a subset.
    """
    with _open_font(path) as font:
        if "glyf" not in font:
            raise PdfError("bad-font", "the stamp's font has no TrueType outlines")
        if "OS/2" in font and font["OS/2"].fsType & 0x0302:
            raise PdfError("bad-font", "the stamp's font may not be embedded as a subset")
        letters = font.getBestCmap() or {}
        outlines = font["glyf"]
        missing = [
            char
            for char in sorted(_NEEDED)
            if (glyph := letters.get(ord(char))) is None or (char != " " and outlines[glyph].numberOfContours == 0)
        ]
        if missing:
            raise PdfError("bad-font", f"the stamp's font lacks {len(missing)} letters")


def stamp_font(path: Path, texts: Iterable[str]) -> StampFont:
    """The subset for `texts`; the same object for all texts that need no rare character. Raises `bad-font`."""
    letters = unicodedata.normalize("NFC", "".join("".join(text.split()) for text in texts))
    return _subset(path, frozenset(letters) - _BASE)


_held: dict[Path, StampFont] = {}


def hold_font(path: Path, font: StampFont) -> None:
    """Use `font`, which another process cut, for all texts that need no rare character."""
    _held[path] = font


@lru_cache(maxsize=32)
def _subset(path: Path, extra: frozenset[str]) -> StampFont:
    if not extra and path in _held:
        return _held[path]
    from fontTools import subset

    check_font(path)
    with _open_font(path) as font:
        letters = font.getBestCmap()
        if any(ord(char) not in letters for char in extra):
            raise PdfError("bad-font", "the stamp's font lacks a character of the stamp's text")
        wanted = sorted(ord(char) for char in _BASE | extra if ord(char) in letters)
        options = subset.Options(layout_features=[], hinting=False, retain_gids=False, notdef_outline=True)
        options.drop_tables += ["OS/2", "post", "name", "DSIG", "GSUB", "GPOS", "GDEF", "gasp"]
        upright = {key: getattr(font["OS/2"], key) for key in ("sTypoAscender", "sTypoDescender", "sCapHeight")}
        box = [getattr(font["head"], key) for key in ("xMin", "yMin", "xMax", "yMax")]
        base_name = _base_name(font)
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=wanted)
        cutter.subset(font)
        cmap = font.getBestCmap()
        order = {name: gid for gid, name in enumerate(font.getGlyphOrder())}
        scale = 1000 / font["head"].unitsPerEm
        glyphs = {chr(code): order[cmap[code]] for code in wanted}
        widths = {chr(code): round(font["hmtx"][cmap[code]][0] * scale, 1) for code in wanted}
        del font["cmap"]
        out = BytesIO()
        font.save(out)
    program = out.getvalue()
    figures = b" ".join(number_token(value * scale) for value in box)
    descriptor = b"/Flags 4 /FontBBox [%s] /ItalicAngle 0 /Ascent %s /Descent %s /CapHeight %s /StemV 80" % (
        figures,
        *(number_token(upright[key] * scale) for key in ("sTypoAscender", "sTypoDescender", "sCapHeight")),
    )
    return StampFont(
        program=zlib.compress(program, 9),
        program_length=len(program),
        glyphs=glyphs,
        widths=widths,
        descriptor=descriptor,
        width_array=_width_array({glyphs[char]: widths[char] for char in glyphs}),
        to_unicode=zlib.compress(_to_unicode(glyphs), 9),
        base_name=base_name,
    )


def _base_name(font: TTFont) -> str:
    name = font["name"].getDebugName(6) or "Stamp"
    return "HTSTMP+" + "".join(char for char in name if char.isascii() and (char.isalnum() or char == "-"))


def _width_array(widths: dict[int, float]) -> bytes:
    by_glyph = [number_token(widths.get(glyph, 0)) for glyph in range(max(widths) + 1)]
    return b"[0 [" + b" ".join(by_glyph) + b"]]"


def _to_unicode(glyphs: dict[str, int]) -> bytes:
    # Two characters may share a glyph (space and no-break space): the lower one is what the glyph reads as.
    reverse: dict[int, str] = {}
    for char in sorted(glyphs, reverse=True):
        reverse[glyphs[char]] = char
    lines = [b"<%04X> <%s>" % (gid, reverse[gid].encode("utf-16-be").hex().upper().encode()) for gid in sorted(reverse)]
    blocks = b"".join(
        b"%d beginbfchar\n%s\nendbfchar\n" % (len(part), b"\n".join(part))
        for part in (lines[at : at + 100] for at in range(0, len(lines), 100))
    )
    return (
        b"/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
        b"/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n"
        b"/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"
        b"1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n" + blocks + b"endcmap\n"
        b"CMapName currentdict /CMap defineresource pop\nend\nend\n"
    )


def embed_font(addition: Addition, font: StampFont) -> Ref:
    """Add the font's objects; gives the reference of the Type 0 font."""
    base = name_token(font.base_name)
    program = addition.add_stream(b"/Length1 %d /Filter /FlateDecode" % font.program_length, font.program)
    descriptor = addition.add(
        b"<< /Type /FontDescriptor /FontName %s %s /FontFile2 %d %d R >>" % (base, font.descriptor, *program)
    )
    descendant = addition.add(
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont %s"
        b" /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >>"
        b" /FontDescriptor %d %d R /CIDToGIDMap /Identity /DW 0 /W %s >>" % (base, *descriptor, font.width_array)
    )
    unicode_map = addition.add_stream(b"/Filter /FlateDecode", font.to_unicode)
    return addition.add(
        b"<< /Type /Font /Subtype /Type0 /BaseFont %s /Encoding /Identity-H /DescendantFonts [%d %d R]"
        b" /ToUnicode %d %d R >>" % (base, *descendant, *unicode_map)
    )


def embed_image(addition: Addition, image: StampImage) -> Ref:
    """Add the image and its mask; gives the reference of the image."""
    mask = addition.add_stream(
        b"/Type /XObject /Subtype /Image /Width %d /Height %d /ImageMask true /BitsPerComponent 1 /Filter /FlateDecode"
        % (image.mask_width, image.mask_height),
        image.mask,
    )
    return addition.add_stream(
        b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceRGB /BitsPerComponent 8"
        b" /Mask %d %d R /Filter /FlateDecode" % (image.width, image.height, *mask),
        image.colours,
    )


# Drawing. Colours are DeviceRGB; coordinates have their origin at the lower left of the box as the reader sees it.


class _Line(msgspec.Struct, frozen=True):
    text: str
    size: float


def _wrap(font: StampFont, text: str, size: float, width: float) -> list[str]:
    """Break at spaces into as few lines as fit `width`, of even lengths; a single long word stays whole."""
    whole = _greedy(font, text, size, width)
    fewest = len(whole)
    if fewest == 1:
        return whole
    narrow, wide = 0.0, width
    for _ in range(6):
        middle = (narrow + wide) / 2
        if len(_greedy(font, text, size, middle)) <= fewest:
            wide = middle
        else:
            narrow = middle
    return _greedy(font, text, size, wide)


def _greedy(font: StampFont, text: str, size: float, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.measure(longer) * size <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _fit(font: StampFont, parts: list[tuple[str, float]], width: float, height: float) -> list[_Line]:
    """Lay out paragraphs of (text, relative size) in a box: the largest scale at which all lines fit, at most 1."""
    scale = 1.0
    while True:
        lines = [
            _Line(piece, size * scale)
            for text, size in parts
            for paragraph in text.splitlines()
            for piece in _wrap(font, unicodedata.normalize("NFC", paragraph), size * scale, width)
        ]
        tall = sum(line.size * LEADING for line in lines) <= height
        wide = all(font.measure(line.text) * line.size <= width for line in lines)
        if (tall and wide) or scale < 0.02:
            return lines
        scale *= 0.94


LEADING: Final = 1.2


def _text_block(font: StampFont, lines: list[_Line], centre: float, top: float) -> bytes:
    out = [b"BT"]
    y = top
    for line in lines:
        y -= line.size * LEADING
        x = centre - font.measure(line.text) * line.size / 2
        baseline = y + line.size * 0.28
        out.append(b"/F0 %s Tf 1 0 0 1 %s %s Tm " % _numbers(line.size, x, baseline) + font.show(line.text))
    out.append(b"ET")
    return b"\n".join(out)


def _numbers(*values: float) -> tuple[bytes, ...]:
    return tuple(number_token(value) for value in values)


def _paint(colour: tuple[float, float, float]) -> bytes:
    return b"%s %s %s rg %s %s %s RG" % _numbers(*colour, *colour)


def draw_text(font: StampFont, stamp: TextStamp, width: float, height: float) -> bytes:
    """A person's stamp: a thin frame, position lines, the name larger, time and reference below; blue as ink."""
    unit = min(width / 180, height / 64)
    inset = 4 * unit
    parts = [(text, 8.0 * unit) for text in stamp.heading]
    parts += [(stamp.name, 12.5 * unit)] + [(text, 7.0 * unit) for text in stamp.footer]
    clear = width * stamp.clear_left
    lines = _fit(font, parts, width - clear - 2 * inset, height - 2 * inset)
    tall = sum(line.size * LEADING for line in lines)
    edge = 0.8 * unit
    frame = b"%s w %s %s %s %s re S" % _numbers(edge, edge / 2, edge / 2, width - edge, height - edge)
    inner = 2.2 * unit
    hair = b"%s w %s %s %s %s re S" % _numbers(0.3 * unit, inner, inner, width - 2 * inner, height - 2 * inner)
    text = _text_block(font, lines, (width + clear) / 2, height / 2 + tall / 2)
    return b"\n".join([b"q", _paint(PERSON_COLOUR), frame, hair, text, b"Q"])


def draw_initials(font: StampFont, name: str, width: float, height: float) -> bytes:
    """The small mark of who drafted or checked, blue as ink and without a frame: it must not look like a signature (SIG-10)."""
    unit = min(width / 56.7, height / 19.85)
    lines = _fit(font, [(INITIALS, 6.0 * unit), (name, 8.0 * unit)], width, height)
    tall = sum(line.size * LEADING for line in lines)
    return b"\n".join([b"q", _paint(PERSON_COLOUR), _text_block(font, lines, width / 2, height / 2 + tall / 2), b"Q"])


def draw_image(width: float, height: float, drawn: tuple[float, float]) -> bytes:
    """The image `/I0` of the size `drawn` in the middle of the box."""
    wide, high = drawn
    return b"q %s 0 0 %s %s %s cm /I0 Do Q" % _numbers(wide, high, (width - wide) / 2, (height - high) / 2)


def draw_image_right(width: float, drawn: tuple[float, float]) -> bytes:
    """The same in the lower right corner of the box."""
    return b"q %s 0 0 %s %s 0 cm /I0 Do Q" % _numbers(*drawn, width - drawn[0])


def note_lines(font: StampFont, texts: Iterable[str], size: float, width: float) -> list[str]:
    """How the texts of a note break in a box of `width`."""
    return [
        piece
        for text in texts
        for paragraph in text.splitlines()
        for piece in _wrap(font, unicodedata.normalize("NFC", paragraph), size, width)
    ]


def draw_note(
    font: StampFont, texts: Iterable[str], size: float, width: float, top: float, room: float | None = None
) -> bytes:
    """The text of a signed annex or copy: black, upright, of exactly `size`, from `top` down (SIG-4 to SIG-6).

    `room`: how high it may be, where that is less than `top`. Raises `bad-request` where it does not fit: the rule sets the size, so it never shrinks.
    """
    lines = note_lines(font, texts, size, width)
    if len(lines) * size * LEADING > (top if room is None else room) + 0.01 or any(
        font.measure(line) * size > width for line in lines
    ):
        raise PdfError("bad-request", "the note does not fit its rectangle")
    block = _text_block(font, [_Line(line, size) for line in lines], width / 2, top)
    return b"\n".join([b"q", _paint((0.0, 0.0, 0.0)), block, b"Q"])


def draw_seal(font: StampFont, stamp: SealStamp, width: float, height: float) -> bytes:
    """The organisation's stamp: two red rings, a star, the name in capitals, clerk and time below."""
    radius = min(width, height) / 2
    x, y = width / 2, height / 2
    rings = b"\n".join(
        b"%s w " % number_token(stroke * radius) + _circle(x, y, radius * share)
        for stroke, share in ((0.045, 0.97), (0.014, 0.90))
    )
    star = _star(x, y + radius * 0.60, radius * 0.17)
    name = _fit(font, [(stamp.name.upper(), radius * 0.185)], radius * 1.62, radius * 0.66)
    footer = _fit(font, [(text, radius * 0.115) for text in stamp.footer], radius * 1.20, radius * 0.46)
    tall = sum(line.size * LEADING for line in name)
    blocks = [
        _text_block(font, name, x, y + radius * 0.04 + tall / 2),
        _text_block(font, footer, x, y - radius * 0.32),
    ]
    return b"\n".join([b"q", _paint(SEAL_COLOUR), rings, star, *(block for block in blocks), b"Q"])


def _circle(x: float, y: float, r: float) -> bytes:
    k = r * 0.5522847498
    turns = ((r, k, k, r, 0, r), (-k, r, -r, k, -r, 0), (-r, -k, -k, -r, 0, -r), (k, -r, r, -k, r, 0))
    curves = b" ".join(
        b"%s %s %s %s %s %s c" % _numbers(x + a, y + b, x + c, y + d, x + e, y + f) for a, b, c, d, e, f in turns
    )
    return b"%s %s m " % _numbers(x + r, y) + curves + b" h S"


def _star(x: float, y: float, r: float) -> bytes:
    points = []
    for corner in range(10):
        angle = math.pi / 2 + corner * math.pi / 5
        reach = r if corner % 2 == 0 else r * 0.382
        points.append(b"%s %s" % _numbers(x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return points[0] + b" m " + b" ".join(point + b" l" for point in points[1:]) + b" h f"
