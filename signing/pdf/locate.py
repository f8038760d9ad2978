"""Where a person signs: between the line of the position and the line of the name, found in the text layer (SIG-1).

Text is read through pdfium with the box of every character, put into NFC and compared without case, so that a layer in
NFD is found as well. Nothing is guessed: without both lines, or with two places that fit, there is no answer. The same
lines serve the layout checker, which warns and refuses nothing.

pdfium is imported on use: run this in a limited child process only, on files that passed `safety.inspect`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from signing.pdf.placement import Place

__all__ = ["SignatureSpace", "TextLine", "find_end", "find_space", "fit", "fold", "lines_of"]

MAX_PAGES: Final = 40  # the block of signatures is looked for on the last pages
_MAX_CHARACTERS: Final = 40_000  # of one page
_LEAST_GAP_MM: Final = 8.0
_MOST_GAP_MM: Final = 90.0
_END: Final = "./."  # what the text of a document ends with
_MARK_MM: Final = (20.0, 7.0)
_AIR_MM: Final = 1.0
_EDGE_MM: Final = 5.0
_MM: Final = 25.4 / 72


class TextLine(msgspec.Struct, frozen=True):
    """A run of text that stands together. Millimetres from the upper left corner of the page as seen; `text` is NFC."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2


class SignatureSpace(msgspec.Struct, frozen=True):
    """The free space between position and name. Page from 0; millimetres as seen: the middle across, upper and lower edge.

    `across`, `down`: the page's size.
    """

    page: int
    middle: float
    top: float
    bottom: float
    across: float
    down: float


def fold(text: str) -> str:
    """What two writings of one text have in common: NFC, case, white space."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def lines_of(page: Any) -> list[TextLine]:
    """The lines of a page of pdfium's. A gap wider than the letters are high begins a new one, as columns do."""
    text_page = page.get_textpage()
    try:
        runs = _runs(text_page)
        size = page.get_size()
    finally:
        text_page.close()
    box = page.get_bbox() if page.get_rotation() == 0 else None
    if box is None:  # turned pages are read by people alone: the rectangle comes from the drafter
        return []
    left, bottom = box[0], box[1]
    height = size[1]
    return [
        TextLine(
            unicodedata.normalize("NFC", "".join(text)).strip(),
            (x0 - left) * _MM,
            (height - (y1 - bottom)) * _MM,
            (x1 - left) * _MM,
            (height - (y0 - bottom)) * _MM,
        )
        for text, (x0, y0, x1, y1) in runs
    ]


_Box = tuple[float, float, float, float]


def _runs(text_page: Any) -> list[tuple[list[str], _Box]]:
    count = min(text_page.count_chars(), _MAX_CHARACTERS)
    found: list[tuple[list[str], _Box]] = []
    for index in range(count):
        char = text_page.get_text_range(index, 1)
        if char in {"\r", "\n", ""}:
            continue
        x0, y0, x1, y1 = text_page.get_charbox(index, loose=True)
        if found:
            text, box = found[-1]
            tall = box[3] - box[1]
            beside = min(y1, box[3]) - max(y0, box[1]) > 0.4 * min(tall, y1 - y0)
            close = box[0] - tall <= x0 <= box[2] + tall
            if char.isspace() or unicodedata.combining(char[0]):
                # White space has no reliable box, and a mark stands on the letter before it.
                text.append(char)
                continue
            if beside and close:
                text.append(char)
                found[-1] = (text, (min(box[0], x0), min(box[1], y0), max(box[2], x1), max(box[3], y1)))
                continue
        if not char.isspace():
            found.append(([char], (x0, y0, x1, y1)))
    return found


def find_space(path: Path, name: str, positions: Sequence[str]) -> SignatureSpace | None:
    """The space in which `name` signs, under one of `positions`; on the last page that has both lines.

    None where there is no such page, or where more than one place fits.
    """
    import pypdfium2

    document = pypdfium2.PdfDocument(str(path))
    try:
        for index in range(len(document) - 1, max(-1, len(document) - 1 - MAX_PAGES), -1):
            page = document[index]
            if not _mentions(page, name):
                page.close()
                continue
            width, height = (side * _MM for side in page.get_size())
            spaces = _spaces(lines_of(page), name, positions)
            page.close()
            if spaces:
                middle, top, bottom = spaces[0]
                return SignatureSpace(index, middle, top, bottom, width, height) if len(spaces) == 1 else None
    finally:
        document.close()
    return None


def _mentions(page: Any, name: str) -> bool:
    """Whether the page has the name at all, in any order of lines: reading every character's box takes much longer."""
    text_page = page.get_textpage()
    text = "".join(fold(text_page.get_text_range()).split())
    text_page.close()
    return "".join(fold(name).split()) in text


def _spaces(lines: list[TextLine], name: str, positions: Sequence[str]) -> list[tuple[float, float, float]]:
    wanted = [fold(position) for position in positions if fold(position)]
    found = []
    for below in lines:
        if fold(below.text) != fold(name):
            continue
        above = [
            line
            for line in lines
            if _LEAST_GAP_MM <= below.top - line.bottom <= _MOST_GAP_MM
            and (line.left < below.middle < line.right or below.left < line.middle < below.right)
        ]
        nearest = max(above, key=lambda line: line.bottom, default=None)
        if nearest is not None and any(_says(nearest.text, position) for position in wanted):
            found.append(((nearest.middle + below.middle) / 2, nearest.bottom, below.top))
    return found


def _says(line: str, position: str) -> bool:
    """Whether a line is the position, or one says the other with words before or behind it ("KT. CHỦ TỊCH")."""
    said = f" {fold(line)} "
    return len(position) >= 2 and (f" {position} " in said or (len(said) >= 6 and said in f" {position} "))


def fit(space: SignatureSpace, aspect: float, *, most_wide_mm: float = 60.0, most_high_mm: float = 25.0) -> Place:
    """The largest rectangle of `aspect` (width over height) in the middle of the space, with 1 mm of air; within the bounds."""
    room = 2 * min(space.middle, space.across - space.middle) - 10
    high = min(space.bottom - space.top - 2, most_high_mm, min(most_wide_mm, room) / aspect)
    wide = high * aspect
    return Place(
        space.page,
        (space.middle - wide / 2) / space.across,
        ((space.top + space.bottom) / 2 - high / 2) / space.down,
        wide / space.across,
        high / space.down,
    )


def find_end(path: Path, count: int) -> list[Place] | None:
    """Room for `count` marks of initials where the text ends ("./."): behind it, then in the line below, never over other text.

    None where no line, or more than one of the last pages, ends so, and where there is no room.
    """
    import pypdfium2

    document = pypdfium2.PdfDocument(str(path))
    ends: list[tuple[int, TextLine, list[TextLine], tuple[float, float]]] = []
    try:
        for index in range(max(0, len(document) - MAX_PAGES), len(document)):
            page = document[index]
            if _says_end(page):
                lines = lines_of(page)
                width, height = (side * _MM for side in page.get_size())
                ends += [(index, line, lines, (width, height)) for line in lines if line.text.endswith(_END)]
            page.close()
    finally:
        document.close()
    if len(ends) != 1:
        return None
    index, end, lines, (across, down) = ends[0]
    wide, high = _MARK_MM
    free = [
        (left, top)
        for left, top in _beside(end, across)
        if top + high <= down - _EDGE_MM and not any(_covers(line, left, top) for line in lines if line is not end)
    ]
    if len(free) < count:
        return None
    return [Place(index, left / across, top / down, wide / across, high / down) for left, top in free[:count]]


def _says_end(page: Any) -> bool:
    text_page = page.get_textpage()
    try:
        return _END in text_page.get_text_range()
    finally:
        text_page.close()


def _beside(end: TextLine, across: float) -> list[tuple[float, float]]:
    """Upper left corners for marks, the best first: to the right of the line, then below it from the right to the left."""
    wide, high = _MARK_MM
    step = wide + _AIR_MM
    level = (end.top + end.bottom) / 2 - high / 2
    behind = int((across - _EDGE_MM - end.right - _AIR_MM) // step)
    below = min(end.right, across - _EDGE_MM) - wide
    return [
        *((end.right + _AIR_MM + number * step, level) for number in range(max(0, behind))),
        *((left, end.bottom + _AIR_MM) for number in range(6) if (left := below - number * step) >= _EDGE_MM),
    ]


def _covers(line: TextLine, left: float, top: float) -> bool:
    wide, high = _MARK_MM
    return line.left < left + wide and left < line.right and line.top < top + high and top < line.bottom
