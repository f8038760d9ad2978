"""What the pages show and what they hide: a walk over content streams (ISO 32000-1, 7.8.2, 9.3, 8.9, threat B2).

The walk follows graphics state only as far as four questions need it: is text drawn that nobody sees (render mode 3
or 7, transparent, too small or by empty glyphs, outside a scanned image; in the colour of its ground), is something
opaque painted over text (images, filled rectangles and parallelograms, thick lines, large glyphs of Type 3 fonts), is a
font used that every reader replaces by its own, is anything drawn that stands outside the file. Patterns, shadings and
widths are not followed: a string stands for the point where it begins, a clip that is no rectangle for its polygon.
Work is bounded by `Budget`, whatever a page draws (threat B3).

It is longer than most because the operators share one state: matrix, clip, font, colour and mode.
"""

from __future__ import annotations

import itertools
import re
from typing import Final, NamedTuple

from signing.pdf.errors import PdfError
from signing.pdf.fonts import is_held
from signing.pdf.objects import Name, PdfObject, Real, Ref, Stream, parse_object, skip_space
from signing.pdf.painting import BLACK, Colour, Ground, colour_of, quad
from signing.pdf.reader import Page, Revision

__all__ = ["MAX_PIXELS", "Budget", "check_page", "covers_text", "page_content"]

MAX_PIXELS: Final = 300_000_000  # an A3 page at 1,200 dpi has 279 million
MAX_CONTENT: Final = 128 * 1024 * 1024
MAX_DRAWN: Final = 50_000
MAX_NESTING: Final = 24

Matrix = tuple[float, float, float, float, float, float]
Box = tuple[float, float, float, float]
Resources = dict[Name, PdfObject]

_IDENTITY: Final[Matrix] = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
_EVERYWHERE: Final[Box] = (-1e9, -1e9, 1e9, 1e9)

_END = rb"(?=[\0\t\n\f\r /\[(<%]|\Z)"
_PATHS = (
    rb"(?:(?:[-+.0-9]++[\0\t\n\f\r ]++){0,6}+(?:re|[mlcvyhSsFnwJjMiGgKk]|[fBbW]\*?|rg|RG|d[01])"
    + _END
    + rb"[\0\t\n\f\r ]*+)++"
)
# Runs of path and colour operators, most of any drawing, are one token.
_TOKEN = re.compile(
    rb"(?:[\0\t\n\f\r ]++|%[^\r\n]*+)*+(?:"
    rb"(?P<paths>" + _PATHS + rb")"
    rb"|(?P<number>[-+]*+[0-9.][-+0-9.]*+)"
    rb"|(?P<name>/[^\0\t\n\f\r ()<>\[\]{}/%]*+)"
    rb"|(?P<operator>[A-Za-z'\"][A-Za-z0-9*'\"]*+)"
    rb"|(?P<value>[(\[<])"
    rb"|(?P<other>[^\0\t\n\f\r ])"
    rb")"
)
_STEP = re.compile(rb"([-+.0-9]+)|([A-Za-z*]+)")
_INLINE_DATA = re.compile(rb"\bID[\0\t\n\f\r ]")
_INLINE_END = re.compile(rb"[\0\t\n\f\r ]EI(?=[\0\t\n\f\r ]|\Z)")
_PAINT: Final = frozenset({b"S", b"s", b"f", b"F", b"f*", b"B", b"B*", b"b", b"b*", b"n"})
_FILL: Final = _PAINT - {b"S", b"s", b"n"}
_STROKE: Final = _PAINT - {b"f", b"F", b"f*", b"n"}
_COLOURS: Final = {b"g": 1, b"rg": 3, b"k": 4}
_MATTERS: Final = re.compile(rb"[fFbBgkWw]")  # a path operator that fills, clips, or sets colour or width
_GLYPH_PAINTS: Final = re.compile(rb"(?<![A-Za-z/])(?:[fBb]\*?|[FSs]|Do|sh|EI|TJ|Tj)(?![A-Za-z])")
_GLYPH_SIZE: Final = re.compile(rb"((?:[-+.0-9]+\s+){6})d1(?![A-Za-z])")
_RECTANGLE: Final = re.compile(rb"[-+.0-9]+\s+[-+.0-9]+\s+([-+.0-9]+)\s+([-+.0-9]+)\s+re(?![A-Za-z])")
_SHOWS: Final = re.compile(rb"(?<![A-Za-z/])(?:Tj|TJ)(?![A-Za-z])|[\])>)][\0\t\n\f\r ]*['\"]")
_DRAWS_MORE: Final = re.compile(rb"(?<![A-Za-z/])(?:Do|BI|sh|Tj|TJ)(?![A-Za-z])")
_SEEN_AREA: Final = 0.3 * 0.3  # square points of a letter's em; smaller text is seen by nobody
_THICK: Final = 6.0  # points; what a line must have to cover text
_LARGE_GLYPH: Final = 30.0  # points
_KNOWN_SPACES: Final = frozenset({"DeviceGray", "DeviceRGB", "DeviceCMYK", "CalGray", "CalRGB", "ICCBased"})
_GRID: Final = 32.0
_MAX_MARKED: Final = 10_000
_UNFINISHED: Final = 64  # what a byte of a string costs, letter by letter, beside one of content
_MANY_PARTS: Final = 2000  # parts of one path; beyond, it is a drawing and no cover


class Budget:
    """How much more of a file's content may be walked; shared by all its pages."""

    def __init__(self) -> None:
        self.bytes_left = MAX_CONTENT
        self.drawn_left = MAX_DRAWN
        self.fonts: dict[int, bool] = {}
        self.glyphs: dict[int, _Type3 | None] = {}
        self.decoded: dict[int, bytes] = {}

    def spend(self, size: int) -> None:
        self.bytes_left -= size
        self.drawn_left -= 1
        if self.bytes_left < 0 or self.drawn_left < 0:
            raise PdfError("too-large", "the pages draw more than the bound")


class _State(NamedTuple):
    matrix: Matrix
    clip: Box
    font: PdfObject
    render: int
    leading: float
    opaque: bool
    size: float = 0.0
    alpha: float = 1.0
    fill: Colour = BLACK
    space: bool = True  # whether numbers are colours that `colour_of` knows
    lattice: bool = False  # whether areas are filled with a pattern that leaves most of them open
    width: float = 1.0  # of lines, in user space
    clips: tuple[tuple[tuple[float, float], ...], ...] = ()  # polygons of clips that are no rectangles


class _Type3(NamedTuple):
    """A Type 3 font as far as it may hide text: by code (width, box in glyph space, whether anything is painted)."""

    matrix: Matrix
    glyphs: dict[int, tuple[float, Box, bool]]


def _times(a: Matrix, b: Matrix) -> Matrix:
    return (
        a[0] * b[0] + a[1] * b[2],
        a[0] * b[1] + a[1] * b[3],
        a[2] * b[0] + a[3] * b[2],
        a[2] * b[1] + a[3] * b[3],
        a[4] * b[0] + a[5] * b[2] + b[4],
        a[4] * b[1] + a[5] * b[3] + b[5],
    )


def _apply(m: Matrix, x: float, y: float) -> tuple[float, float]:
    return x * m[0] + y * m[2] + m[4], x * m[1] + y * m[3] + m[5]


def _bounds(m: Matrix, box: Box) -> Box:
    corners = [_apply(m, x, y) for x in (box[0], box[2]) for y in (box[1], box[3])]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def _meet(a: Box, b: Box) -> Box:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def _inside(m: Matrix, x: float, y: float, margin: float) -> bool:
    """Whether (x, y) lies in the unit square under `m`, shrunk on each side by the share `margin`."""
    determinant = m[0] * m[3] - m[1] * m[2]
    if abs(determinant) < 1e-9:
        return False
    x, y = x - m[4], y - m[5]
    u, v = (x * m[3] - y * m[2]) / determinant, (y * m[0] - x * m[1]) / determinant
    return margin <= u <= 1 - margin and margin <= v <= 1 - margin


def _in_polygon(points: tuple[tuple[float, float], ...], x: float, y: float) -> bool:
    """Even-odd rule (ISO 32000-1, 8.5.3.3.3); control points stand for curves."""
    inside = False
    ax, ay = points[-1]
    for bx, by in points:
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            inside = not inside
        ax, ay = bx, by
    return inside


def _matrix(value: PdfObject) -> Matrix:
    if not isinstance(value, list) or len(value) != 6:
        return _IDENTITY
    numbers = [float(n) if isinstance(n, int | Real) else 0.0 for n in value]
    return numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]


_START: Final = _State(_IDENTITY, _EVERYWHERE, None, 0, 0.0, opaque=True)


class _Walk:
    """One page being walked. Points and quads are in the page's user space."""

    def __init__(self, view: Revision, budget: Budget) -> None:
        self.view = view
        self.budget = budget
        self.visible: dict[tuple[int, int], list[tuple[float, float]]] = {}
        self.invisible: list[tuple[float, float]] = []
        self.images: list[tuple[Matrix, Box]] = []
        self.ground = Ground()
        self.chain: list[int] = []
        self.over = False  # whether an annotation is being drawn, over the finished page
        self.marked = 0  # marked-content sequences that are open
        self.lenient = False  # whether only what is drawn over the page is judged

    # Text

    def show(self, state: _State, text_matrix: Matrix, shown: PdfObject) -> None:
        parts: list[PdfObject] = [*shown] if isinstance(shown, list) else [shown]
        if not any(isinstance(part, bytes) and part.strip(b"\0 ") for part in parts):
            return
        # The middle of a small letter, not the base line: what covers a line's underside alone hides nothing.
        placed = _times(text_matrix, state.matrix)
        x, y = _apply(placed, 0.2 * state.size, 0.25 * state.size)
        area = state.size * state.size * abs(placed[0] * placed[3] - placed[1] * placed[2])
        glyphs = self._type3(state.font)
        painted = glyphs is None or self._glyphs(glyphs, state, placed, parts)
        if state.render in {3, 7} or state.alpha <= 0.05 or area < _SEEN_AREA or not painted:
            self.invisible.append((x, y))
            if len(self.invisible) > 1_000_000:
                raise PdfError("too-large", "too much invisible text")
            return
        if not self.lenient:
            self.font(state.font)
        if state.clip[0] <= x <= state.clip[2] and state.clip[1] <= y <= state.clip[3] and abs(x) < 1e9 > abs(y):
            if not self.lenient and state.render in {0, 4} and self.ground.hides(state.fill, x, y):
                raise PdfError("hidden-content", "text is drawn in the colour of its ground")
            self.visible.setdefault((int(x // _GRID), int(y // _GRID)), []).append((x, y))

    def _type3(self, font: PdfObject) -> _Type3 | None:
        """The glyphs of a Type 3 font, None for another one."""
        key = font.num if isinstance(font, Ref) else id(font)
        if key not in self.budget.glyphs:
            own = self.view.dictionary(font)
            self.budget.glyphs[key] = self._read_type3(own) if own.get(Name("Subtype")) == "Type3" else None
        return self.budget.glyphs[key]

    def _read_type3(self, own: Resources) -> _Type3:
        names: dict[int, PdfObject] = {}
        code = 0
        for item in self.view.array(self.view.dictionary(own.get(Name("Encoding"))).get(Name("Differences"))):
            value = self.view.resolve(item)
            if isinstance(value, int):
                code = value
            elif isinstance(value, Name) and len(names) < 256:
                names[code] = value
                code += 1
        first = self.view.resolve(own.get(Name("FirstChar"), 0))
        widths = [self.view.resolve(width) for width in self.view.array(own.get(Name("Widths")))]
        procedures = self.view.dictionary(own.get(Name("CharProcs")))
        box = self._numbers(own.get(Name("FontBBox")), 4) or _EVERYWHERE
        matrix = _matrix(self.view.resolve(own.get(Name("FontMatrix"))))
        glyphs = {}
        for code, name in names.items():
            stream = self.view.resolve(procedures.get(name)) if isinstance(name, Name) else None
            data = self._decode(stream) if isinstance(stream, Stream) else b""
            self.budget.spend(len(data))
            if any(self.view.dictionary(font) == own for font in self._own_fonts(own)) and _SHOWS.search(data):
                raise PdfError("broken-structure", "a glyph draws itself")
            self._fonts_within(data, own.get(Name("Resources")))
            sized = _GLYPH_SIZE.search(data)
            own_box = tuple(float(_number(n)) for n in sized[1].split()[2:]) if sized else box
            place = code - first if isinstance(first, int) else -1
            width = widths[place] if 0 <= place < len(widths) else 0
            advance = float(width) if isinstance(width, int | Real) else 0.0
            glyphs[code] = (advance, (own_box[0], own_box[1], own_box[2], own_box[3]), bool(_GLYPH_PAINTS.search(data)))
        return _Type3(matrix, glyphs)

    def _own_fonts(self, own: Resources) -> list[PdfObject]:
        return list(self.view.dictionary(self.view.dictionary(own.get(Name("Resources"))).get(Name("Font"))).values())

    def _glyphs(self, font: _Type3, state: _State, placed: Matrix, parts: list[PdfObject]) -> bool:
        """Whether anything is painted. A large glyph that lies over text hides it like an image."""
        painted = False
        at = 0.0
        for code in b"".join(part for part in parts if isinstance(part, bytes))[:4000]:
            width, box, paints = font.glyphs.get(code, (0.0, _EVERYWHERE, False))
            painted = painted or paints
            own = _times(font.matrix, _times((state.size, 0, 0, state.size, at, 0), placed))
            at += width * font.matrix[0] * state.size
            area = _bounds(own, box)
            large = min(area[2] - area[0], area[3] - area[1]) > _LARGE_GLYPH
            if paints and large and state.opaque:
                over = _times((box[2] - box[0], 0, 0, box[3] - box[1], box[0], box[1]), own)
                self._over(over, _meet(area, state.clip), state, "a glyph is painted over text")
        return painted

    def _numbers(self, value: PdfObject, count: int) -> Box | None:
        numbers = [self.view.resolve(n) for n in self.view.array(value)]
        if len(numbers) != count or not all(isinstance(n, int | Real) for n in numbers):
            return None
        a, b, c, d = (float(n) for n in numbers if isinstance(n, int | Real))
        return (a, b, c, d) if a < c and b < d else None

    def _over(self, matrix: Matrix, area: Box, state: _State, why: str) -> None:
        """Refuse what is opaque and lies over text that was drawn before."""
        if (self.over or not self.lenient) and self._covers(matrix, area, state.clips):
            raise PdfError("hidden-content", why)

    def font(self, font: PdfObject) -> None:
        key = font.num if isinstance(font, Ref) else id(font)
        if key not in self.budget.fonts:
            self.budget.fonts[key] = is_held(self.view, self.view.dictionary(font))
        if not self.budget.fonts[key]:
            raise PdfError("external-content", "a font is used that is not in the file", place=str(font)[:20])

    def _fonts_within(self, data: bytes, resources: PdfObject) -> None:
        """The fonts of a glyph's or a pattern's own resources, where it draws text: nobody follows it to the letters."""
        if self.lenient or not _SHOWS.search(data):
            return
        for font in self.view.dictionary(self.view.dictionary(resources).get(Name("Font"))).values():
            self.font(font)

    # Images

    def image(self, state: _State, own: Resources, *, transparent: bool) -> None:
        width, height = (self.view.resolve(own.get(Name(k), own.get(Name(k[0])))) for k in ("Width", "Height"))
        if isinstance(width, int) and isinstance(height, int) and width * height > MAX_PIXELS:
            raise PdfError("too-large", "an image has too many pixels")
        area = _meet(_bounds(state.matrix, (0, 0, 1, 1)), state.clip)
        self.images.append((state.matrix, area))
        self.ground.add(state.matrix, area, None)
        if not transparent and state.opaque:
            self._over(state.matrix, area, state, "an image is painted over text")

    def _covers(self, matrix: Matrix, area: Box, clips: tuple[tuple[tuple[float, float], ...], ...]) -> bool:
        if area[0] >= area[2] or area[1] >= area[3] or not self.visible:
            return False
        left, bottom, right, top = (int(edge // _GRID) for edge in area)
        if (right - left + 1) * (top - bottom + 1) > len(self.visible):
            cells = [c for c in self.visible if left <= c[0] <= right and bottom <= c[1] <= top]
        else:
            cells = [(x, y) for x in range(left, right + 1) for y in range(bottom, top + 1)]
        return any(
            area[0] <= x <= area[2]
            and area[1] <= y <= area[3]
            and _inside(matrix, x, y, 0.01)
            and all(_in_polygon(points, x, y) for points in clips)
            for cell in cells
            for x, y in self.visible.get(cell, ())
        )

    def finish(self) -> None:
        """Invisible text is a character recogniser's layer only where an image is drawn at its place."""
        big = sorted(self.images, key=lambda i: (i[1][0] - i[1][2]) * (i[1][3] - i[1][1]))[:64]
        for x, y in self.invisible:
            if not any(_inside(matrix, x, y, -0.02) for matrix, _area in big):
                raise PdfError("hidden-content", "text is drawn invisibly outside a scanned image")

    # Objects

    def xobject(self, state: _State, resources: Resources, name: Name) -> None:
        value = self.view.dictionary(resources.get(Name("XObject"))).get(name)
        found = self.view.resolve(value)
        if not isinstance(found, Stream):
            return
        own = found.dictionary
        match self.view.resolve(own.get(Name("Subtype"))):
            case "Image":
                self.budget.spend(0)
                masked = any(
                    self.view.resolve(own.get(Name(key))) not in (None, False) for key in ("ImageMask", "SMaskInData")
                ) or any(Name(key) in own for key in ("SMask", "Mask"))
                self.image(state, own, transparent=masked)
            case "Form":
                self.form(state, found, resources)
            case _ if not self.lenient:
                raise PdfError("external-content", "an XObject of an unsupported kind is drawn")

    def form(self, state: _State, form: Stream, resources: Resources) -> None:
        key = form.start
        if key in self.chain:
            raise PdfError("broken-structure", "a form XObject draws itself", place=f"byte {key}")
        if len(self.chain) >= MAX_NESTING:
            raise PdfError("too-large", "form XObjects nested too deeply")
        own = form.dictionary
        matrix = _times(_matrix(self.view.resolve(own.get(Name("Matrix")))), state.matrix)
        below = self.view.dictionary(own.get(Name("Resources"))) or resources
        state = state._replace(matrix=matrix, clip=_meet(state.clip, _bounds(matrix, self._box(own))))
        self.chain.append(key)
        try:
            self.run(self._decode(form), below, state)
        finally:
            self.chain.pop()

    def _box(self, own: Resources) -> Box:
        box = [self.view.resolve(n) for n in self.view.array(own.get(Name("BBox")))]
        numbers = [float(n) for n in box if isinstance(n, int | Real)]
        if len(numbers) != 4:
            return _EVERYWHERE
        return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])

    def _decode(self, stream: Stream) -> bytes:
        key = stream.start
        data = self.budget.decoded.get(key)
        if data is None:
            data = self.view.decode(stream)
            if len(data) < 20_000 and len(self.budget.decoded) < 500:
                self.budget.decoded[key] = data
        return data

    # The machine

    def run(self, data: bytes, resources: Resources, state: _State) -> None:
        self.budget.spend(len(data))
        stack: list[_State] = []
        operands: list[PdfObject] = []
        text = line = _IDENTITY
        at = 0
        while (token := _TOKEN.match(data, at)) is not None:
            at = token.end()
            kind = token.lastgroup
            if kind == "paths":
                if _MATTERS.search(token["paths"]):
                    state = self._paths(token["paths"], state)
                operands.clear()
            elif kind == "number":
                operands.append(_number(token["number"]))
            elif kind == "name":
                operands.append(_plain_name(token["name"]))
            elif kind == "value":
                value, at, read = _value(data, token.start("value"))
                operands.append(value)
                if value is None and token["value"] != b"<":
                    # What is malformed is read again, letter by letter; of a string or an array without an end that is all the rest (B3).
                    self.budget.spend(_UNFINISHED * read if at + read >= len(data) else read)
            elif kind == "operator":
                operator = token["operator"]
                if operator == b"BI":
                    at = self._inline(data, at, state)
                else:
                    state, text, line = self._step(operator, operands, resources, state, stack, text, line)
                operands.clear()
            if len(operands) > 1000:
                raise PdfError("broken-structure", "an operator has too many operands")

    def _step(
        self,
        operator: bytes,
        operands: list[PdfObject],
        resources: Resources,
        state: _State,
        stack: list[_State],
        text: Matrix,
        line: Matrix,
    ) -> tuple[_State, Matrix, Matrix]:
        last = operands[-1] if operands else None
        match operator:
            case b"Tj" | b"TJ":
                self.show(state, text, last)
            case b"Td" | b"TD" | b"T*" | b"'" | b'"':
                x, y = (0.0, -state.leading) if operator in {b"T*", b"'", b'"'} else _pair(operands)
                if operator == b"TD":
                    state = state._replace(leading=-y)
                text = line = _times((1, 0, 0, 1, x, y), line)
                if operator in {b"'", b'"'}:
                    self.show(state, text, last)
            case b"Tm":
                text = line = _matrix(operands[-6:])
            case b"BT":
                text = line = _IDENTITY
            case b"BMC" | b"BDC":
                self.marked += 1
                if self.marked > _MAX_MARKED:
                    raise PdfError("too-large", "marked content nested too deeply")
            case b"EMC":
                self.marked = max(0, self.marked - 1)
            case b"q":
                stack.append(state)
                if len(stack) > 100_000:
                    raise PdfError("too-large", "graphics states nested too deeply")
            case b"Q":
                state = stack.pop() if stack else state
            case b"cm":
                state = state._replace(matrix=_times(_matrix(operands[-6:]), state.matrix))
            case b"Tf" if len(operands) >= 2 and isinstance(operands[-2], Name):
                fonts = self.view.dictionary(resources.get(Name("Font")))
                size = float(last) if isinstance(last, int | Real) else 0.0
                state = state._replace(font=fonts.get(operands[-2]), size=size)
            case b"cs" if isinstance(last, Name):
                state = state._replace(space=self._known_space(last, resources), fill=None)
                state = state._replace(fill=BLACK if state.space else None, lattice=False)
            case b"sc" | b"scn":
                pattern = last if isinstance(last, Name) else None
                colour = colour_of(operands) if state.space else None
                lattice = pattern is not None and self._lattice(pattern, resources)
                state = state._replace(fill=colour, lattice=lattice)
            case b"sh":
                self.ground.add(None, state.clip, None)
            case b"Tr":
                state = state._replace(render=last if isinstance(last, int) else 0)
            case b"TL" if isinstance(last, int | Real):
                state = state._replace(leading=float(last))
            case b"gs" if isinstance(last, Name):
                state = self._extended(state, self.view.dictionary(resources.get(Name("ExtGState"))).get(last))
            case b"Do" if isinstance(last, Name):
                self.xobject(state, resources, last)
        return state, text, line

    def _extended(self, state: _State, value: PdfObject) -> _State:
        keys = self.view.dictionary(value)
        alpha, mask = self.view.resolve(keys.get(Name("ca"))), self.view.resolve(keys.get(Name("SMask")))
        mode = self.view.resolve(keys.get(Name("BM")))
        if isinstance(alpha, int | Real):
            state = state._replace(opaque=alpha >= 1, alpha=float(alpha))
        if (mask is not None and mask != "None") or (mode is not None and mode not in ("Normal", "Compatible")):
            state = state._replace(opaque=False)
        font = self.view.resolve(keys.get(Name("Font")))
        if isinstance(font, list) and len(font) == 2:
            size = self.view.resolve(font[1])
            return state._replace(font=font[0], size=float(size) if isinstance(size, int | Real) else 0.0)
        return state

    def _lattice(self, name: Name, resources: Resources) -> bool:
        """Whether a pattern is a tiling of lines or small marks, as hatchings are, rather than a ground of its own."""
        found = self.view.resolve(self.view.dictionary(resources.get(Name("Pattern"))).get(name))
        if not isinstance(found, Stream):
            return False
        data = self._decode(found)
        self.budget.spend(len(data))
        below = self.view.dictionary(found.dictionary.get(Name("Resources")))
        inner = [self.view.resolve(one) for one in self.view.dictionary(below.get(Name("Pattern"))).values()]
        if any(isinstance(one, Stream) and one.start == found.start for one in inner):
            raise PdfError("broken-structure", "a pattern draws itself")
        self._fonts_within(data, below)
        steps = [self.view.resolve(found.dictionary.get(Name(key))) for key in ("XStep", "YStep")]
        cell = abs(float(steps[0]) * float(steps[1])) if all(isinstance(n, int | Real) for n in steps) else 0.0  # type: ignore[arg-type]
        filled = 0.0
        for sides in _RECTANGLE.finditer(data):
            filled += abs(float(_number(sides[1])) * float(_number(sides[2])))
        return not _DRAWS_MORE.search(data) and filled < cell / 2

    def _known_space(self, name: Name, resources: Resources) -> bool:
        value = self.view.resolve(self.view.dictionary(resources.get(Name("ColorSpace"))).get(name, name))
        kind = self.view.resolve(value[0]) if isinstance(value, list) and value else value
        return isinstance(kind, Name) and kind in _KNOWN_SPACES

    def _paths(self, paths: bytes, state: _State) -> _State:
        """A run of path, painting and colour operators: what it fills, strokes thickly, clips, and sets."""
        numbers: list[float] = []
        parts: list[list[tuple[float, float]]] = []
        curved = clips = False
        for step in _STEP.finditer(paths):
            if step[1]:
                numbers.append(_float(step[1]))
                continue
            operator = step[2]
            if operator == b"re" and len(numbers) >= 4:
                x, y, w, h = numbers[-4:]
                parts.append([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
            elif operator == b"m":
                parts.append(list(zip(numbers[-2:-1], numbers[-1:], strict=True)))
            elif operator in {b"l", b"c", b"v", b"y"} and parts:
                parts[-1] += zip(numbers[::2], numbers[1::2], strict=False)
                curved = curved or operator != b"l"
            elif operator in {b"W", b"W*"}:
                clips = True
            elif operator == b"w" and numbers:
                state = state._replace(width=numbers[-1])
            elif operator in _COLOURS and len(numbers) >= _COLOURS[operator]:
                state = state._replace(fill=colour_of(numbers[-_COLOURS[operator] :]), space=True, lattice=False)
            elif operator in _PAINT:
                placed = [[_apply(state.matrix, x, y) for x, y in part] for part in parts if part]
                if operator in _FILL:
                    self._filled(placed, state, curved=curved)
                if operator in _STROKE:
                    self._stroked(placed, state)
                if clips and placed:
                    state = self._clipped(placed, state)
                parts, curved, clips = [], False, False
            numbers.clear()
        return state

    def _filled(self, parts: list[list[tuple[float, float]]], state: _State, *, curved: bool) -> None:
        for part in parts:
            matrix = None if curved or len(parts) > _MANY_PARTS else quad(part)
            xs, ys = [x for x, _ in part], [y for _, y in part]
            area = _meet((min(xs), min(ys), max(xs), max(ys)), state.clip)
            if matrix is not None and state.opaque and not state.lattice:
                self._over(matrix, area, state, "a filled area is painted over text")
            plain = matrix is not None and state.opaque and not state.clips
            self.ground.add(matrix, area, state.fill if plain else None)

    def _stroked(self, parts: list[list[tuple[float, float]]], state: _State) -> None:
        half = state.width * abs(state.matrix[0] * state.matrix[3] - state.matrix[1] * state.matrix[2]) ** 0.5 / 2
        if half * 2 < _THICK or not state.opaque:
            return
        for part in parts[:_MANY_PARTS]:
            for (ax, ay), (bx, by) in itertools.pairwise(part):
                length = ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5
                if length < 1e-6:
                    continue
                dx, dy = (by - ay) / length * half, (ax - bx) / length * half
                matrix = (bx - ax, by - ay, -2 * dx, -2 * dy, ax + dx, ay + dy)
                area = _meet(_bounds(matrix, (0, 0, 1, 1)), state.clip)
                self._over(matrix, area, state, "a line is painted over text")
                self.ground.add(matrix, area, None)

    def _clipped(self, parts: list[list[tuple[float, float]]], state: _State) -> _State:
        points = [point for part in parts for point in part]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        box = min(xs), min(ys), max(xs), max(ys)
        matrix = quad(parts[0]) if len(parts) == 1 else None
        upright = matrix is not None and (
            abs(matrix[1]) + abs(matrix[2]) < 0.5 or abs(matrix[0]) + abs(matrix[3]) < 0.5
        )
        state = state._replace(clip=_meet(state.clip, box))
        if upright or len(parts) > 1 or not 3 <= len(points) <= 256 or len(state.clips) >= 8:
            return state
        return state._replace(clips=(*state.clips, tuple(points)))

    def _inline(self, data: bytes, at: int, state: _State) -> int:
        opened = _INLINE_DATA.search(data, at)
        closed = _INLINE_END.search(data, opened.end() - 1) if opened else None
        if opened is None or closed is None:
            raise PdfError("broken-structure", "an inline image does not end")
        head = data[at : opened.start()]
        masked = re.search(rb"/(?:IM|ImageMask)\s+true", head) is not None
        sizes = {key: int(size) for key, size in re.findall(rb"/(W|H|Width|Height)\s+(\d{1,9})", head)}
        width, height = (sizes.get(k, sizes.get(k[:1], 0)) for k in (b"Width", b"Height"))
        self.image(state, {Name("Width"): width, Name("Height"): height}, transparent=masked)
        return closed.end()


def _number(token: bytes) -> int | Real:
    try:
        return int(token) if b"." not in token else Real(token)
    except ValueError:
        # Readers differ on `1-2` or `1.2.3`; geometry alone does not decide anything about such a file.
        return 0


def _float(token: bytes) -> float:
    try:
        return float(token)
    except ValueError:
        return 0.0  # as in `_number`


def _plain_name(token: bytes) -> Name:
    return Name(re.sub(rb"#([0-9A-Fa-f]{2})", lambda m: bytes([int(m[1], 16)]), token[1:]).decode("latin-1"))


def _value(data: bytes, at: int) -> tuple[PdfObject, int, int]:
    """The value, where to go on, and how many bytes behind that were read in vain where it is malformed."""
    try:
        return *parse_object(data, at), 0
    except PdfError as error:
        # In a content stream an odd token is skipped by every reader; a deep one is a bomb all the same.
        if error.code == "too-large":
            raise
        behind = skip_space(data, at + 1)
        reached = error.place.removeprefix("byte ")
        return None, behind, max(0, (int(reached) if reached.isdigit() else len(data)) - behind)


def _pair(operands: list[PdfObject]) -> tuple[float, float]:
    numbers = [float(n) for n in operands[-2:] if isinstance(n, int | Real)]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0.0, 0.0)


def page_content(view: Revision, page: Page) -> bytes:
    """A page's content streams, decoded and joined as readers join them.

    Raises `PdfError`: `broken-structure` where one is missing, `too-large`, `unsupported-filter`.
    """
    value = page.dictionary.get(Name("Contents"))
    found = view.resolve(value)
    if found is None and value is not None:
        raise PdfError("broken-structure", "a page's content is missing", place=str(page.ref))
    out: list[bytes] = []
    size = 0
    for part in found if isinstance(found, list) else [] if found is None else [found]:
        stream = view.resolve(part)
        if not isinstance(stream, Stream):
            raise PdfError("broken-structure", "a page's content is missing", place=str(page.ref))
        out.append(view.decode(stream))
        size += len(out[-1])
        if size > MAX_CONTENT:
            raise PdfError("too-large", "a page draws more than the bound", place=str(page.ref))
    return b"\n".join(out)


def check_page(view: Revision, page: Page, budget: Budget, drawn: list[tuple[Stream, Box]]) -> None:
    """Refuse a page that hides text or shows what is not in the file.

    `drawn` are the appearance streams of the page's visible annotations with their rectangles, in drawing order.
    Raises `PdfError`: `hidden-content`, `external-content`, `too-large`, `broken-structure`, `unsupported-filter`.
    """
    walk = _Walk(view, budget)
    walk.run(page_content(view, page), page.resources, _START)
    _draw_over(walk, drawn)
    walk.finish()


def covers_text(view: Revision, page: Page, drawn: list[tuple[Stream, Box]]) -> bool:
    """Whether what `drawn` paints over the page hides text of it. The page itself is not judged.

    Raises `PdfError` where page or appearance cannot be followed.
    """
    walk = _Walk(view, Budget())
    walk.lenient = True
    walk.run(page_content(view, page), page.resources, _START)
    try:
        _draw_over(walk, drawn)
    except PdfError as error:
        if error.code == "hidden-content":
            return True
        raise
    return False


def _draw_over(walk: _Walk, drawn: list[tuple[Stream, Box]]) -> None:
    walk.over = True
    for form, rect in drawn:
        own = form.dictionary
        box = _bounds(_matrix(walk.view.resolve(own.get(Name("Matrix")))), walk._box(own))  # noqa: SLF001 - this module's own
        if box[0] < box[2] and box[1] < box[3]:
            # Algorithm of ISO 32000-1, 12.5.5: the appearance's box is fitted into the annotation's rectangle.
            sx, sy = (rect[2] - rect[0]) / (box[2] - box[0]), (rect[3] - rect[1]) / (box[3] - box[1])
            fitted = (sx, 0.0, 0.0, sy, rect[0] - box[0] * sx, rect[1] - box[1] * sy)
            walk.form(_START._replace(matrix=fitted), form, {})
