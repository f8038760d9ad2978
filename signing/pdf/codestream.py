"""How large a packed picture says it is, in its own first bytes: a decoder believes these, not the dictionary (threat B3)."""

from __future__ import annotations

import struct
from typing import Final

from signing.pdf.objects import PdfObject

__all__ = ["picture_size"]

_SEARCHED: Final = 1 << 16
_MAX_SEGMENTS: Final = 4096


def picture_size(filters: PdfObject, data: bytes) -> tuple[int, int] | tuple[None, None]:
    """Width and height in pixels of a JPEG or JPEG 2000 that is packed no further; None where it does not say."""
    last = filters[0] if isinstance(filters, list) and len(filters) == 1 else filters
    if last in ("DCTDecode", "DCT"):
        return _jpeg(data)
    return _jpeg_2000(data) if last == "JPXDecode" else (None, None)


def _jpeg(data: bytes) -> tuple[int, int] | tuple[None, None]:
    """The first frame header (ITU-T T.81, B.2.2)."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] == b"\xff":
            at += 1
        if data[at : at + 1] != b"\xff" or at + 9 > len(data):
            break
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + (0 if marker == 1 or 0xD0 <= marker <= 0xD8 else int.from_bytes(data[at + 2 : at + 4], "big"))
    return None, None


def _jpeg_2000(data: bytes) -> tuple[int, int] | tuple[None, None]:
    """The size marker right behind the start of the codestream (ISO 15444-1, A.5.1)."""
    at = data.find(b"\xff\x4f\xff\x51", 0, _SEARCHED)
    if at < 0 or at + 24 > len(data):
        return None, None
    width, height, left, top = struct.unpack_from(">IIII", data, at + 8)
    return width - left, height - top
