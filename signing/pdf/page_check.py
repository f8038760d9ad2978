"""The layout checker: what a document's first page lacks of Decree 30's form, and marks that a drafter put where they do not belong.
It warns with rule ids and refuses nothing.

Run it in a limited child process only, on files that passed `safety.inspect`; pdfium is imported on use.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from signing.pdf.locate import find_space, fold, lines_of

__all__ = ["URGENCY_MARKS", "Drawn", "Millimetres", "check_first_page", "check_places"]

URGENCY_MARKS: Final = ("", "KHẨN", "THƯỢNG KHẨN", "HỎA TỐC", "HỎA TỐC")
"""By urgency 0 to 4 (SIG-12)."""

Millimetres = tuple[int, float, float, float, float]
"""A rectangle as the reader sees the page: page from 1, left, top, width, height."""

_OFF_MIDDLE_MM: Final = 2.0
_OVER_EDGE_MM: Final = 0.5
_COVERED: Final = (0.28, 0.38)
"""What "about a third" of the signature may be (SIG-2)."""


class Drawn(msgspec.Struct, frozen=True):
    """A person's image where the drafter's rectangle puts it."""

    name: str
    positions: Sequence[str]
    covers: Millimetres


_NATION: Final = ("CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", "Độc lập - Tự do - Hạnh phúc")


def check_first_page(path: Path, number: str, urgency: int) -> list[str]:
    """Names of what is missing on page one: `DOC-3` no text layer, `DOC-2` national name or motto, `DOC-6` number and
    symbol, `SIG-12` a mark of urgency other than the declared one.
    """
    import pypdfium2

    document = pypdfium2.PdfDocument(str(path))
    try:
        page = document[0]
        text_page = page.get_textpage()
        lines = [fold(line) for line in text_page.get_text_range().splitlines()]
        text_page.close()
        page.close()
    finally:
        document.close()
    together = _squeezed(" ".join(lines))
    if not together:
        return ["DOC-3"]
    found = []
    if not all(_squeezed(text) in together for text in _NATION):
        found.append("DOC-2")
    if _squeezed(number) not in together:
        found.append("DOC-6")
    marks = {mark for mark in URGENCY_MARKS if mark and fold(mark) in lines}
    if marks != {URGENCY_MARKS[urgency]} - {""}:
        found.append("SIG-12")
    return found


def _squeezed(text: str) -> str:
    """Without white space and with one kind of dash, as layouts space and break lines in their own ways."""
    return "".join(fold(text).replace("–", "-").split())


def check_places(path: Path, people: Sequence[Drawn], last: Millimetres | None, seal: Millimetres | None) -> list[str]:
    """`SIG-1` where an image does not stand in the middle between position and name, or, where the text does not say them, covers
    text; `SIG-2` where the `seal` does not cover about a third of the `last` person's signature on its left.
    """
    found = []
    if not all(_between(path, one) for one in people):
        found.append("SIG-1")
    if last is not None and seal is not None and not _a_third(last, seal):
        found.append("SIG-2")
    return found


def _between(path: Path, drawn: Drawn) -> bool:
    page, left, top, width, height = drawn.covers
    space = find_space(path, drawn.name, drawn.positions)
    if space is None:
        return not _covers_text(path, drawn.covers)
    inside = space.top - _OVER_EDGE_MM <= top and top + height <= space.bottom + _OVER_EDGE_MM
    return space.page + 1 == page and abs(left + width / 2 - space.middle) <= _OFF_MIDDLE_MM and inside


def _covers_text(path: Path, covers: Millimetres) -> bool:
    import pypdfium2

    number, left, top, width, height = covers
    document = pypdfium2.PdfDocument(str(path))
    try:
        page = document[number - 1]
        lines = lines_of(page)
        page.close()
    finally:
        document.close()
    return any(
        line.left < left + width and left < line.right and line.top < top + height and top < line.bottom
        for line in lines
    )


def _a_third(signature: Millimetres, seal: Millimetres) -> bool:
    page, left, top, width, height = signature
    on, across, down, wide, high = seal
    beside = down < top + height and top < down + high
    return page == on and beside and across < left and _COVERED[0] <= (across + wide - left) / width <= _COVERED[1]
