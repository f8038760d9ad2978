"""Charts as SVG 1.1, drawn here: columns over days and bars by name. They need no script, no style and no font of their own.

360 units wide, so that a phone shows text in its own size; a white ground, so that they can be read in either theme and on paper.
"""

from collections.abc import Sequence
from html import escape
from typing import Final

from server.reports.words import Language, number

_WIDTH: Final = 360
_INK: Final = "#1d2330"
_SOFT: Final = "#4b5567"
_LINE: Final = "#d5d9e0"
_FILL: Final = "#0b5cad"
_HIGH: Final = 120
_LEFT: Final = 16
_ROOM: Final = _WIDTH - 2 * _LEFT
_LETTER: Final = 7  # a digit of 11 units, with what a wider font may need
_MOST_BARS: Final = 12
_LABEL: Final = 44


def columns(title: str, items: Sequence[tuple[str, int]], language: Language) -> str:
    """One column an item, left to right; the highest and the ends are named, all of them where they have room."""
    most = max((value for _, value in items), default=0)
    step = _ROOM / max(1, len(items))
    wide = max(1.0, min(step * 0.72, 40))
    base = 46 + _HIGH
    parts = [_line(base)]
    roomy = step >= _LETTER * max((len(number(value, language)) for _, value in items), default=0) + 4
    peak = next((place for place, (_, value) in enumerate(items) if value == most), -1)
    for place, (name, value) in enumerate(items):
        high = 0 if not value else max(1.5, _HIGH * value / most)
        middle = _LEFT + step * (place + 0.5)
        if value:
            parts.append(_rect(middle - wide / 2, base - high, wide, high, f"{name}: {number(value, language)}"))
        if value and (roomy or place == peak):
            half = _LETTER * len(number(value, language)) / 2
            parts.append(_text(_held(middle, half), base - high - 5, number(value, language), anchor="middle", size=11))
    for place in _named(len(items)):
        middle = _held(_LEFT + step * (place + 0.5), _LETTER * len(items[place][0]) / 2)
        parts.append(_text(middle, base + 16, items[place][0], anchor="middle", size=11, ink=_SOFT))
    if not most:
        parts.append(_text(_LEFT, 64, _none(language), ink=_SOFT))
    return _picture(title, items, language, base + 28, parts)


def bars(title: str, items: Sequence[tuple[str, int]], language: Language, *, values: Sequence[str] = ()) -> str:
    """One bar an item, top to bottom, its name above it. `values`: what is written beside each instead of its number."""
    shown = items[:_MOST_BARS]
    most = max((value for _, value in shown), default=0)
    parts, top = [], 42
    for place, (name, value) in enumerate(shown):
        said = values[place] if values else number(value, language)
        wide = 0 if not value else max(2.0, (_ROOM - 90) * value / most)
        parts.append(_text(_LEFT, top + 12, _short(name)))
        parts.append(_rect(_LEFT, top + 18, wide, 14, f"{name}: {said}"))
        parts.append(_text(_LEFT + wide + 6, top + 30, said, size=11))
        top += 42
    rest = len(items) - len(shown)
    if rest > 0:
        parts.append(_text(_LEFT, top + 12, f"+ {rest} …", ink=_SOFT))
        top += 20
    if not items:
        parts.append(_text(_LEFT, top + 14, _none(language), ink=_SOFT))
        top += 24
    return _picture(title, items, language, top + 8, parts, values)


def _picture(
    title: str, items: Sequence[tuple[str, int]], language: Language, high: float, parts: Sequence[str], values: Sequence[str] = ()
) -> str:  # fmt: skip
    """Title and description are what a screen reader says of it."""
    told = "; ".join(
        f"{name}: {values[place] if values else number(value, language)}" for place, (name, value) in enumerate(items)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_n(high)}" viewBox="0 0 {_WIDTH} {_n(high)}" role="img" '
        f'aria-labelledby="title desc" lang="{language.value}" font-family="system-ui, sans-serif">'
        f'<title id="title">{_said(title)}</title><desc id="desc">{_said(told)}</desc>'
        f'<rect width="{_WIDTH}" height="{_n(high)}" fill="#ffffff"/>'
        f"{_text(_LEFT, 26, title, size=15, weight=600)}{''.join(parts)}</svg>"
    )


def _none(language: Language) -> str:
    return "Không có" if language is Language.VIETNAMESE else "None"


def _named(count: int) -> list[int]:
    if count <= 6:
        return list(range(count))
    return [0, (count - 1) // 2, count - 1]


def _line(y: float) -> str:
    return f'<path d="M{_LEFT} {_n(y)}H{_WIDTH - _LEFT}" stroke="{_LINE}"/>'


def _rect(x: float, y: float, wide: float, high: float, said: str) -> str:
    return f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(wide)}" height="{_n(high)}" rx="2" fill="{_FILL}"><title>{_said(said)}</title></rect>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, weight: int = 400, ink: str = _INK
) -> str:
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{ink}">{_said(text)}</text>'
    )  # fmt: skip


def _held(x: float, half: float) -> float:
    """A middle from which a text of twice `half` stays within the picture."""
    return min(max(x, _LEFT + half), _WIDTH - _LEFT - half)


def _short(text: str) -> str:
    return text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"


def _said(text: str) -> str:
    """Escaped, without characters that XML 1.0 has no way to say."""
    return escape(
        "".join(one for one in text if one >= " " and not "\ud800" <= one <= "\udfff" and one not in "\ufffe\uffff")
    )


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
