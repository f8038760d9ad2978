"""A plain A4 report as PDF: lines of Vietnamese text in two weights, wrapped and broken over pages.

Fonts are embedded as subsets, text is extractable NFC. Characters that the font lacks are shown as "?": a report quotes
names from foreign certificates, and none of them may stop it.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Iterable
from typing import Final

from signing.pdf.appearance import DEFAULT_FONT, StampFont, stamp_font
from signing.pdf.errors import PdfError

__all__ = ["Sheet"]

_WIDTH, _HEIGHT = 595.28, 841.89
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, _WIDTH - 51.0, _HEIGHT - 62.0, 62.0
_FILES: Final = {"R": DEFAULT_FONT, "B": DEFAULT_FONT.with_name("SourceSerifPro-Bold.ttf")}
MAX_PAGES: Final = 200


class Sheet:
    """Write from the top down, then take `pdf`. Sizes in points. `title` stands in the file's own information."""

    def __init__(self, title: str, footer: str) -> None:
        self._title = title
        self._footer = footer
        self._fonts = {key: stamp_font(path, ()) for key, path in _FILES.items()}
        self._pages: list[list[bytes]] = [[]]
        self._y = _TOP

    def line(self, text: str, size: float = 11.0, *, bold: bool = False, indent: float = 0.0) -> None:
        """A paragraph, wrapped at spaces, and within words that are longer than a line."""
        style = "B" if bold else "R"
        for piece in self._wrapped(text, style, size, _RIGHT - _LEFT - indent):
            self._room(size * 1.35)
            self._show(_LEFT + indent, piece, style, size)

    def pair(self, label: str, value: str, size: float = 10.5, *, width: float = 150.0) -> None:
        """A row of two columns."""
        lines = self._wrapped(value, "R", size, _RIGHT - _LEFT - width)
        names = self._wrapped(label, "R", size, width - 8)
        for row in range(max(len(lines), len(names))):
            self._room(size * 1.35)
            if row < len(names):
                self._show(_LEFT, names[row], "R", size, grey=True)
            if row < len(lines):
                self._show(_LEFT + width, lines[row], "R", size)

    def gap(self, points: float = 10.0) -> None:
        self._y -= points

    def rule(self) -> None:
        self._room(8)
        self._pages[-1].append(b"0.6 w %.2f %.2f m %.2f %.2f l S" % (_LEFT, self._y + 4, _RIGHT, self._y + 4))

    # Layout

    def _room(self, needed: float) -> None:
        if self._y - needed < _BOTTOM:
            if len(self._pages) >= MAX_PAGES:
                raise PdfError("too-large", "the report has too many pages")
            self._pages.append([])
            self._y = _TOP
        self._y -= needed

    def _safe(self, text: str, font: StampFont) -> str:
        flat = unicodedata.normalize("NFC", " ".join(text.split()))
        return "".join(char if char in font.glyphs else "?" for char in flat)

    def _wrapped(self, text: str, style: str, size: float, width: float) -> list[str]:
        font = self._fonts[style]
        lines: list[str] = [""]
        for word in self._safe(text, font).split(" "):
            longer = f"{lines[-1]} {word}" if lines[-1] else word
            if font.measure(longer) * size <= width:
                lines[-1] = longer
                continue
            if lines[-1]:
                lines.append("")
            for char in word:
                if font.measure(lines[-1] + char) * size > width:
                    lines.append("")
                lines[-1] += char
        return lines

    def _show(self, x: float, text: str, style: str, size: float, *, grey: bool = False) -> None:
        colour = b"0.35 g" if grey else b"0 g"
        shown = self._fonts[style].show(text)
        self._pages[-1].append(
            b"BT %s /%s %.2f Tf %.2f %.2f Td %s ET" % (colour, style.encode(), size, x, self._y, shown)
        )

    # The file

    def pdf(self) -> bytes:
        for number, page in enumerate(self._pages, 1):
            self._y = 36.0
            words = f"{self._footer}   {number}/{len(self._pages)}"
            font = self._fonts["R"]
            shown = font.show(self._safe(words, font))
            page.append(b"BT 0.35 g /R 8.5 Tf %.2f %.2f Td %s ET" % (_LEFT, self._y, shown))
        bodies: list[bytes] = [b"", b""]
        names = b" ".join(b"/%s %d 0 R" % (key.encode(), _embed(bodies, font)) for key, font in self._fonts.items())
        bodies.append(b"<< /Font << %s >> >>" % names)
        resources = len(bodies)
        kids = []
        for page in self._pages:
            content = _stream(bodies, b"/Filter /FlateDecode", zlib.compress(b"\n".join(page), 6))
            bodies.append(
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %.2f %.2f] /Resources %d 0 R /Contents %d 0 R >>"
                % (_WIDTH, _HEIGHT, resources, content)
            )
            kids.append(len(bodies))
        bodies.append(b"<< /Title <FEFF%s> >>" % self._title.encode("utf-16-be").hex().upper().encode())
        bodies[0] = b"<< /Type /Catalog /Pages 2 0 R /Lang (vi-VN) >>"
        bodies[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(b"%d 0 R" % kid for kid in kids), len(kids))
        return _file(bodies)


def _stream(bodies: list[bytes], entries: bytes, data: bytes) -> int:
    bodies.append(b"<< %s /Length %d >>\nstream\n%s\nendstream" % (entries, len(data), data))
    return len(bodies)


def _embed(bodies: list[bytes], font: StampFont) -> int:
    base = font.base_name.encode()
    program = _stream(bodies, b"/Length1 %d /Filter /FlateDecode" % font.program_length, font.program)
    bodies.append(b"<< /Type /FontDescriptor /FontName /%s %s /FontFile2 %d 0 R >>" % (base, font.descriptor, program))
    bodies.append(
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /%s /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity)"
        b" /Supplement 0 >> /FontDescriptor %d 0 R /CIDToGIDMap /Identity /DW 0 /W %s >>"
        % (base, len(bodies), font.width_array)
    )
    descendant = len(bodies)
    unicode_map = _stream(bodies, b"/Filter /FlateDecode", font.to_unicode)
    bodies.append(
        b"<< /Type /Font /Subtype /Type0 /BaseFont /%s /Encoding /Identity-H /DescendantFonts [%d 0 R] /ToUnicode %d 0 R >>"
        % (base, descendant, unicode_map)
    )
    return len(bodies)


def _file(bodies: Iterable[bytes]) -> bytes:
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    size = len(places) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % size + b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, size - 1, start)
    return bytes(out)
