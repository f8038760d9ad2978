"""Sample images of a hand's signature and of a seal, drawn here: no person's and no organisation's. And a ruler for pages that show them."""

import io
import math
from pathlib import Path
from typing import Any

import pypdfium2
from PIL import Image, ImageChops, ImageDraw

BLUE = (20, 50, 160)
RED = (214, 16, 24)
DPI = 300
PER_MM = DPI / 25.4


def png(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def signature(
    colour: tuple[int, int, int] = BLUE, ground: tuple[int, int, int, int] = (255, 255, 255, 0), margin: int = 60
) -> bytes:
    """A line such as a pen draws: 600 x 240 pixels of ink, whose extremes lie on its four edges, in an uneven margin."""
    image = Image.new("RGBA", (600 + 3 * margin, 240 + 4 * margin), ground)
    draw = ImageDraw.Draw(image)
    points = [
        (
            margin + 8 + 584 * step / 400,
            3 * margin + 120 + 112 * math.sin(step / 400 * 5 * math.pi),
        )
        for step in range(401)
    ]
    for x, y in points:
        draw.ellipse((x - 8, y - 8, x + 8, y + 8), fill=(*colour, 255))
    return png(image)


def seal(colour: tuple[int, int, int] = RED, side: int = 700, squeeze: float = 1.0) -> bytes:
    """Two rings and a star on a transparent ground; the outer ring touches the image's edges but for a margin of 20."""
    image = Image.new("RGBA", (side + 40, round(side * squeeze) + 40), (255, 255, 255, 0))
    draw = ImageDraw.Draw(image)
    low = 20 + round(side * squeeze) - 1
    draw.ellipse((20, 20, 20 + side - 1, low), outline=(*colour, 255), width=26)
    draw.ellipse((120, 120, side - 80, low - 100), outline=(*colour, 255), width=10)
    middle = (image.width / 2, image.height / 2)
    star = [
        (
            middle[0] + (110 if corner % 2 == 0 else 42) * math.sin(corner * math.pi / 5),
            middle[1] - (110 if corner % 2 == 0 else 42) * math.cos(corner * math.pi / 5),
        )
        for corner in range(10)
    ]
    draw.polygon(star, fill=(*colour, 255))
    return png(image)


def draw(path: Path, page: int = 0) -> Image.Image:
    document = pypdfium2.PdfDocument(str(path))
    document.init_forms()
    image: Image.Image = document[page].render(scale=DPI / 72, may_draw_forms=True).to_pil().convert("RGB")
    document.close()
    return image


def inked(image: Image.Image, low: float, high: float) -> tuple[tuple[int, int, int, int] | None, set[int]]:
    """Bounding box of the pixels that are coloured with a hue in the range (degrees), and their hues."""
    bands = image.split()
    most = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
    least = ImageChops.darker(ImageChops.darker(bands[0], bands[1]), bands[2])
    coloured = ImageChops.subtract(most, least).point(lambda value: 255 if value >= 60 else 0)
    hue = image.convert("HSV").getchannel("H")
    degrees = [value * 360 / 255 for value in range(256)]
    within = [low <= angle <= high or low <= angle - 360 <= high for angle in degrees]
    chosen = ImageChops.multiply(coloured, hue.point([255 * one for one in within]))
    counts = hue.histogram(chosen) if chosen.getbbox() else []
    return chosen.getbbox(), {round(degrees[value]) for value, count in enumerate(counts) if count}
