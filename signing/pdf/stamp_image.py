"""Images of a signature and of a seal: from an uploaded PNG to what a stamp embeds (rules SIG-1, SIG-2).

A PNG comes from outside, so `read_stamp_image` runs in a limited child process only. What it gives is cut to the ink and
holds no alpha channel: an explicit mask of one bit, finer than the image, cuts it out of its background. So nothing
transparent in the sense of ISO 32000-1, 11 enters a file, and PDF/A-1 input stays PDF/A-1.

Pillow is imported on use.
"""

from __future__ import annotations

import struct
import zlib
from enum import StrEnum
from io import BytesIO
from typing import TYPE_CHECKING, Final

import msgspec

from signing.pdf.errors import PdfError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MAX_PNG", "Ink", "StampImage", "read_stamp_image"]

MAX_PNG: Final = 2 * 1024 * 1024
"""Bytes of an uploaded image."""

_MAX_SIDE: Final = 6000
_MAX_PIXELS: Final = 12_000_000
_KEPT_SIDE: Final = 1000  # pixels; 36 mm at 700 dpi
_MASK_SIDE: Final = 3000
_LEAST_SIDE: Final = 60
_COVERED: Final = 128  # of 255: from here on a pixel is ink


class Ink(StrEnum):
    """Whose image it is, and so its colour: a person's is blue (SIG-1), an organisation's red (SIG-2)."""

    BLUE = "blue"
    RED = "red"


# Hues in degrees, as (from, to) ranges on the circle.
_HUES: Final = {Ink.BLUE: ((195, 270),), Ink.RED: ((0, 20), (335, 360))}


class StampImage(msgspec.Struct, frozen=True):
    """Ink cut out of its background. Sizes in pixels; `colours` (RGB, 8 bit) and `mask` (1 bit, 1 is left out) are packed
    by deflate.
    """

    ink: Ink
    width: int
    height: int
    colours: bytes
    mask_width: int
    mask_height: int
    mask: bytes

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height


def read_stamp_image(data: bytes, ink: Ink) -> StampImage:
    """The image in a PNG. Raises `PdfError("bad-image")` with the reason as its text.

    Refused: what is no PNG or larger than the bounds; without a transparent background; of another colour than `ink`
    on more than a fifth of its area; a seal that is not as wide as high.
    """
    from PIL import Image

    _check_header(data)
    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as opened:
            picture = opened.convert("RGBA")
    except Exception:
        # Decoders fail in many ways on hostile bytes; each of them says the same of the file.
        raise PdfError("bad-image", "not-readable") from None
    alpha = picture.getchannel("A").point(lambda value: 255 if value >= _COVERED else 0)
    box = alpha.getbbox()
    if box is None or min(box[2] - box[0], box[3] - box[1]) < _LEAST_SIDE:
        raise PdfError("bad-image", "too-small")
    if alpha.histogram()[0] < 0.1 * alpha.width * alpha.height:
        raise PdfError("bad-image", "background")
    picture = picture.crop(box)
    _check_colour(picture, alpha.crop(box), ink)
    if ink is Ink.RED and not 0.96 <= picture.width / picture.height <= 1.04:
        raise PdfError("bad-image", "not-round")
    return _packed(picture, ink)


def _check_header(data: bytes) -> None:
    """Signature and sizes, before a decoder sees a byte (ISO/IEC 15948, 5.2 and 11.2.2)."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or data[12:16] != b"IHDR" or len(data) < 33:
        raise PdfError("bad-image", "not-a-png")
    width, height = struct.unpack(">II", data[16:24])
    if len(data) > MAX_PNG or not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE) or width * height > _MAX_PIXELS:
        raise PdfError("bad-image", "too-large")


def _check_colour(picture: Image.Image, covered: Image.Image, ink: Ink) -> None:
    hue, saturation, _value = picture.convert("RGB").convert("HSV").split()
    coloured = saturation.point(lambda value: 255 if value >= 64 else 0)
    right = hue.point(lambda value: 255 if any(low <= value * 360 / 255 <= high for low, high in _HUES[ink]) else 0)
    from PIL import ImageChops

    good = ImageChops.multiply(ImageChops.multiply(coloured, right), covered).histogram()[255]
    if good < 0.8 * covered.histogram()[255]:
        raise PdfError("bad-image", "colour")


def _packed(picture: Image.Image, ink: Ink) -> StampImage:
    from PIL import Image

    longest = max(picture.size)
    scale = min(1.0, _KEPT_SIDE / longest)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    finer = min(4.0, _MASK_SIDE / longest)
    mask_size = (max(1, round(picture.width * finer)), max(1, round(picture.height * finer)))
    alpha = picture.getchannel("A")
    # Of a bit a pixel, at several times the image's resolution, an edge stays as smooth as its alpha was.
    cut = alpha.resize(mask_size, Image.Resampling.BICUBIC).point(lambda value: 0 if value >= _COVERED else 255)
    covered = alpha.point(lambda value: 255 if value >= _COVERED else 0)
    # What shines through the edges is ink, whatever stands under the transparent pixels.
    plain = picture.convert("RGB")
    mean = _mean(plain, covered)
    ground = Image.new("RGB", picture.size, mean)
    ground.paste(plain, mask=covered)
    colours = ground.resize(size, Image.Resampling.BOX) if scale < 1 else ground
    bits = cut.convert("1", dither=Image.Dither.NONE)
    return StampImage(
        ink=ink,
        width=size[0],
        height=size[1],
        colours=zlib.compress(colours.tobytes(), 9),
        mask_width=mask_size[0],
        mask_height=mask_size[1],
        mask=zlib.compress(bits.tobytes(), 9),
    )


def _mean(picture: Image.Image, covered: Image.Image) -> tuple[int, int, int]:
    from PIL import ImageStat

    red, green, blue = ImageStat.Stat(picture, covered).mean
    return round(red), round(green), round(blue)
