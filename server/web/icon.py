"""The application's sign, drawn from one list of points: a flame that is also a pen's nib, white on the red of urgent mail."""

import io
from functools import cache
from typing import Final

RED: Final = "#b3201c"
_SIZE = 512
# On a 512 grid; everything lies inside the circle of radius 205 that a masked icon keeps.
_FLAME: Final = (
    (256, 84), (294, 138), (330, 190), (352, 246), (352, 298), (330, 344), (296, 376), (256, 420),
    (216, 376), (182, 344), (160, 298), (160, 250), (178, 206), (206, 176), (214, 214), (232, 232), (246, 196), (254, 150),
)  # fmt: skip
_SLIT: Final = ((256, 420), (250, 330), (256, 322), (262, 330))
_HOLE: Final = (256, 300, 22)


def svg() -> str:
    """The sign as SVG; the corners are left to whoever shows it."""
    flame, slit = (" ".join(f"{x},{y}" for x, y in points) for points in (_FLAME, _SLIT))
    x, y, radius = _HOLE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIZE} {_SIZE}"><rect width="{_SIZE}" height="{_SIZE}" fill="{RED}"/>'
        f'<polygon points="{flame}" fill="#fff" stroke="#fff" stroke-width="16" stroke-linejoin="round"/>'
        f'<polygon points="{slit}" fill="{RED}" stroke="{RED}" stroke-width="6"/><circle cx="{x}" cy="{y}" r="{radius}" fill="{RED}"/></svg>'
    )


@cache
def png(size: int) -> bytes:
    """The sign as a square PNG of `size` pixels, drawn four times as large and reduced."""
    from PIL import Image, ImageDraw

    scale = 4 * size / _SIZE
    image = Image.new("RGB", (4 * size, 4 * size), RED)
    draw = ImageDraw.Draw(image)

    def shape(points: tuple[tuple[int, int], ...], colour: str, width: float) -> None:
        scaled = [(x * scale, y * scale) for x, y in points]
        draw.polygon(scaled, fill=colour)
        draw.line([*scaled, *scaled[:2]], fill=colour, width=round(width * scale), joint="curve")

    shape(_FLAME, "#ffffff", 16)
    shape(_SLIT, RED, 6)
    x, y, radius = (value * scale for value in _HOLE)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=RED)
    out = io.BytesIO()
    image.resize((size, size), Image.Resampling.LANCZOS).save(out, "PNG", optimize=True)
    return out.getvalue()
