"""Where stamps stand on a page: pure geometry (rules SIG-1, SIG-2).

Two systems. *As seen*: fractions of the page as a reader shows it (cropped, turned by `/Rotate`), origin at the upper
left; this is what a person points at. *User space*: the file's own units, which `/Rect` uses, inside the CropBox and
before `/Rotate`; one unit is `/UserUnit` / 72 inch.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from signing.pdf.errors import PdfError
from signing.pdf.reader import Page

__all__ = [
    "EDGE_MM",
    "NOTE_LEAST_MM",
    "NOTE_MOST_MM",
    "FieldKind",
    "Place",
    "Rect",
    "automatic",
    "matrix",
    "over_left",
    "seen_from_user",
    "seen_size",
    "top_right",
    "user_from_seen",
]

Rect = tuple[float, float, float, float]


class FieldKind(StrEnum):
    PERSON = "person"
    INITIALS = "initials"  # ký nháy: who drafted or checked, before the person who signs (SIG-10)
    SEAL = "seal"
    ANNEX = "annex"  # the organisation on an annex in its own file: text without a seal (SIG-4)
    COPY = "copy"  # the organisation on a copy: its seal with text (SIG-6)


class Place(msgspec.Struct, frozen=True):
    """A rectangle as seen: `left`, `top`, `width`, `height` are fractions (0 to 1) of the shown page.

    `page` counts from 0; negative from the end.
    """

    page: int
    left: float
    top: float
    width: float
    height: float


# Points. A person's stamp is 63 x 22.5 mm, a mark of initials 20 x 7 mm; the seal 36 mm, the common diameter of a provincial
# agency's (SIG-2).
_PERSON: Final = (180.0, 64.0)
_INITIALS: Final = (56.7, 19.85)
_SEAL: Final = (102.05, 102.05)
_MARGIN: Final = (42.5, 56.7)
_GAP: Final = 22.0


def seen_size(page: Page) -> tuple[float, float]:
    """Width and height of the page as seen, in user space units."""
    left, bottom, right, top = page.crop_box
    size = (right - left, top - bottom)
    return size if page.rotate % 180 == 0 else (size[1], size[0])


def user_from_seen(page: Page, place: Place) -> Rect:
    """The rectangle (left, bottom, right, top) in user space, rounded to 1/100 unit. Raises `bad-request`."""
    edges = (place.left, place.top, place.left + place.width, place.top + place.height)
    if not (0 <= edges[0] < edges[2] <= 1.000001 and 0 <= edges[1] < edges[3] <= 1.000001):
        raise PdfError("bad-request", "a stamp's rectangle leaves the page")
    x0, y0, x1, y1 = page.crop_box
    width, height = x1 - x0, y1 - y0
    u0, v0, u1, v1 = edges
    match page.rotate:
        case 0:
            box = (x0 + u0 * width, y1 - v1 * height, x0 + u1 * width, y1 - v0 * height)
        case 90:
            box = (x0 + v0 * width, y0 + u0 * height, x0 + v1 * width, y0 + u1 * height)
        case 180:
            box = (x1 - u1 * width, y0 + v0 * height, x1 - u0 * width, y0 + v1 * height)
        case _:
            box = (x1 - v1 * width, y1 - u1 * height, x1 - v0 * width, y1 - u0 * height)
    a, b, c, d = (round(value, 2) for value in box)
    if a >= c or b >= d:
        raise PdfError("bad-request", "a stamp's rectangle is too small")
    return (a, b, c, d)


def seen_from_user(page: Page, rect: Rect) -> Place:
    """The inverse of `user_from_seen`."""
    x0, y0, x1, y1 = page.crop_box
    width, height = x1 - x0, y1 - y0
    left, right = (rect[0] - x0) / width, (rect[2] - x0) / width
    low, high = (rect[1] - y0) / height, (rect[3] - y0) / height
    match page.rotate:
        case 0:
            return Place(page.index, left, 1 - high, right - left, high - low)
        case 90:
            return Place(page.index, low, left, high - low, right - left)
        case 180:
            return Place(page.index, 1 - right, low, right - left, high - low)
        case _:
            return Place(page.index, 1 - high, 1 - right, high - low, right - left)


def matrix(rotate: int) -> tuple[int, int, int, int, int, int]:
    """The appearance's `/Matrix`, which turns it against the page's `/Rotate` so that it is upright as seen."""
    return {
        0: (1, 0, 0, 1, 0, 0),
        90: (0, 1, -1, 0, 0, 0),
        180: (-1, 0, 0, -1, 0, 0),
        270: (0, -1, 1, 0, 0, 0),
    }[rotate]


def automatic(page: Page, kinds: list[FieldKind]) -> list[Place]:
    """Places for a route that names none, all on `page`, in the order of `kinds`.

    The first person (the leader) stands at the bottom right; further persons are stacked above, then in columns to the
    left; a seal covers a third of the leader's stamp on its left side (SIG-2); initials stand in rows above the first
    column. On small pages, and for long routes, all is scaled down together.
    """
    points = [length * page.user_unit for length in seen_size(page)]
    scale = 1.0
    while not _fits(points[0], points[1], kinds, scale) and scale > 0.02:
        scale *= 0.95
    boxes = _layout(points[0], points[1], kinds, scale)
    return [Place(page.index, x / points[0], y / points[1], w / points[0], h / points[1]) for x, y, w, h in boxes]


def over_left(page: Page, signature: Place, diameter_mm: float) -> Place:
    """Where a seal of its real size covers a third of `signature` on its left side (SIG-2), kept on the page."""
    across, down = (length * page.user_unit * _MM for length in seen_size(page))
    wide, high = diameter_mm / across, diameter_mm / down
    left = signature.left + signature.width / 3 - wide
    top = signature.top + (signature.height - high) / 2
    if left < 0 or wide > 1 or high > 1:
        raise PdfError("placement-required", "there is no room for the seal beside the signature")
    return Place(signature.page, left, min(max(0.0, top), 1 - high), wide, high)


def top_right(page: Page, width_mm: float, height_mm: float) -> Place:
    """A rectangle in the upper right corner, 5 mm from both edges (SIG-4, SIG-6)."""
    across, down = (length * page.user_unit * _MM for length in seen_size(page))
    if width_mm + 2 * EDGE_MM > across or height_mm + 2 * EDGE_MM > down:
        raise PdfError("placement-required", "the page is too small for the note")
    left, top = across - EDGE_MM - width_mm, EDGE_MM
    return Place(page.index, left / across, top / down, width_mm / across, height_mm / down)


_MM: Final = 25.4 / 72

# Of the note on an annex or a copy, without its seal: the least room that it is given, six lines of size 10, and the widest that a line of
# it gets where the page allows. Wide rather than high: above the head of a document there is nothing but the margin.
NOTE_LEAST_MM: Final = (60.0, 6 * 10.0 * 1.2 * _MM)
NOTE_MOST_MM: Final = 150.0
EDGE_MM: Final = 5.0


def _columns(height: float, kinds: list[FieldKind], scale: float) -> tuple[int, int]:
    """Rows of a column of persons, and how many columns they need."""
    people = max(1, kinds.count(FieldKind.PERSON))
    free = height - (2 * _MARGIN[1] + _marks(kinds)) * scale
    rows = max(1, int((free + _GAP * scale) // ((_PERSON[1] + _GAP) * scale)))
    return rows, -(-people // rows)


_MARKS_IN_ROW: Final = 3
_MARK_GAP: Final = 4.0


def _marks(kinds: list[FieldKind]) -> float:
    """How high the rows of initials stand above the first column, in points at full size."""
    return -(-kinds.count(FieldKind.INITIALS) // _MARKS_IN_ROW) * (_INITIALS[1] + _MARK_GAP)


def _seals(kinds: list[FieldKind]) -> int:
    return len(kinds) - kinds.count(FieldKind.PERSON) - kinds.count(FieldKind.INITIALS)


def _fits(width: float, height: float, kinds: list[FieldKind], scale: float) -> bool:
    rows, columns = _columns(height, kinds, scale)
    # Beside the leader's stamp the seal needs its two thirds to the left, and columns keep clear of it.
    pitch = (_PERSON[0] + _SEAL[0] * 2 / 3 + _GAP) * scale
    wide = columns * pitch * max(_seals(kinds), 1) + 2 * _MARGIN[0] * scale
    first = min(rows, max(1, kinds.count(FieldKind.PERSON)))
    tall = (first * (_PERSON[1] + _GAP) + _marks(kinds) + _MARGIN[1]) * scale
    return wide <= width and (_SEAL[1] + 2 * _MARGIN[1] / 2) * scale <= height and tall <= height


def _layout(width: float, height: float, kinds: list[FieldKind], scale: float) -> list[Rect]:
    rows, _columns_used = _columns(height, kinds, scale)
    w, h = _PERSON[0] * scale, _PERSON[1] * scale
    side = _SEAL[0] * scale
    pitch = (_PERSON[0] + _SEAL[0] * 2 / 3 + _GAP) * scale
    right, bottom = width - _MARGIN[0] * scale, height - _MARGIN[1] * scale
    first = min(rows, max(1, kinds.count(FieldKind.PERSON)))
    above = bottom - first * (h + _GAP * scale) + (_GAP - _MARK_GAP) * scale
    wide, high = (length * scale for length in _INITIALS)
    boxes: list[Rect] = []
    person = seal = mark = 0
    for kind in kinds:
        if kind is FieldKind.PERSON:
            column, row = divmod(person, rows)
            boxes.append((right - w - column * pitch, bottom - h - row * (h + _GAP * scale), w, h))
            person += 1
        elif kind is FieldKind.INITIALS:
            row, place = divmod(mark, _MARKS_IN_ROW)
            step = _MARK_GAP * scale
            boxes.append((right - w + place * (wide + step), above - high - row * (high + step), wide, high))
            mark += 1
        else:
            middle = bottom - h / 2
            # The seal's right edge lies a third into the leader's stamp.
            left = right - w + w / 3 - side - seal * (side + _GAP * scale)
            boxes.append((max(0.0, left), max(0.0, min(middle - side / 2, height - side)), side, side))
            seal += 1
    return boxes
