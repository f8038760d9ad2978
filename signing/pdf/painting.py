"""What lies under a point of a page: filled areas with their colours, in drawing order (threat B2).

Enough to answer whether text is drawn in the colour of its own ground, so that nobody sees it. Colours are RGB from 0 to
1; None is a colour that is not followed (patterns, separations, images), on which any text counts as seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["BLACK", "WHITE", "Colour", "Ground", "colour_of", "quad"]

Colour = tuple[float, float, float] | None
Matrix = tuple[float, float, float, float, float, float]
Box = tuple[float, float, float, float]

BLACK: Final[Colour] = (0.0, 0.0, 0.0)
WHITE: Final[Colour] = (1.0, 1.0, 1.0)
_SAME: Final = 0.045  # about what a reader's eye tells apart on paper: 11 of 255
_CELL: Final = 64.0
_MANY: Final = 400
_THIN: Final = 3.0  # points: a rule, not a ground


def colour_of(operands: Sequence[object]) -> Colour:
    """Of the operands of g, rg, k, sc or scn, by their number: grey, RGB, CMYK; None for names and other numbers."""
    numbers = [float(n) for n in operands if isinstance(n, int | float)]
    if len(numbers) != len(operands):
        return None
    if len(numbers) == 1:
        return numbers[0], numbers[0], numbers[0]
    if len(numbers) == 3:
        return numbers[0], numbers[1], numbers[2]
    if len(numbers) == 4:
        c, m, y, k = numbers
        return max(0.0, 1 - c - k), max(0.0, 1 - m - k), max(0.0, 1 - y - k)
    return None


def quad(points: list[tuple[float, float]]) -> Matrix | None:
    """The matrix that maps the unit square onto four points in order (a fifth may close them), if they are a
    parallelogram; two points make none.
    """
    corners = points[:-1] if len(points) == 5 and points[0] == points[-1] else points
    if len(corners) != 4:
        return None
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    if abs(ax + cx - bx - dx) > 0.5 or abs(ay + cy - by - dy) > 0.5:
        return None
    return bx - ax, by - ay, dx - ax, dy - ay, ax, ay


class Ground:
    """The areas of one page. A point's ground is the last area that holds it, else white paper."""

    def __init__(self) -> None:
        self._areas: list[tuple[Matrix | None, Box, Colour]] = []
        self._cells: dict[tuple[int, int], list[int]] = {}
        self._large: list[int] = []
        self._colours: set[tuple[int, ...] | None] = set()

    def add(self, matrix: Matrix | None, box: Box, colour: Colour) -> None:
        """`matrix` maps the unit square onto the area; None: the box is all that is known of it."""
        if box[2] - box[0] < _THIN or box[3] - box[1] < _THIN:
            return
        number = len(self._areas)
        self._areas.append((matrix, box, colour))
        self._colours.add(_rounded(colour))
        left, bottom, right, top = (int(max(-1e7, min(1e7, edge)) // _CELL) for edge in box)
        if (right - left + 1) * (top - bottom + 1) > _MANY:
            self._large.append(number)
            return
        for x in range(left, right + 1):
            for y in range(bottom, top + 1):
                self._cells.setdefault((x, y), []).append(number)

    def hides(self, colour: Colour, x: float, y: float) -> bool:
        """Whether text of this colour is not seen at the point."""
        if colour is None or (min(colour) < 1 - _SAME and (not self._areas or _rounded(colour) not in self._colours)):
            return False
        ground = self._at(x, y)
        return ground is not None and all(abs(a - b) <= _SAME for a, b in zip(colour, ground, strict=True))

    def _at(self, x: float, y: float) -> Colour:
        near = self._cells.get((int(x // _CELL), int(y // _CELL)), ())
        found = max((n for n in near if self._holds(n, x, y)), default=-1)
        for number in reversed(self._large):
            if number < found:
                break
            if self._holds(number, x, y):
                found = number
                break
        return WHITE if found < 0 else self._areas[found][2]

    def _holds(self, number: int, x: float, y: float) -> bool:
        matrix, box, _colour = self._areas[number]
        if not (box[0] <= x <= box[2] and box[1] <= y <= box[3]):
            return False
        if matrix is None:
            return True
        determinant = matrix[0] * matrix[3] - matrix[1] * matrix[2]
        if abs(determinant) < 1e-9:
            return False
        x, y = x - matrix[4], y - matrix[5]
        u, v = (x * matrix[3] - y * matrix[2]) / determinant, (y * matrix[0] - x * matrix[1]) / determinant
        return -0.001 <= u <= 1.001 and -0.001 <= v <= 1.001


def _rounded(colour: Colour) -> tuple[int, ...] | None:
    """Coarse, so that one that is nearly the same has the same or is compared anyway."""
    return None if colour is None else tuple(round(part * 4) for part in colour)
