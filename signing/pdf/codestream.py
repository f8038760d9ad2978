"""How large a packed picture says it is, in its own first bytes: a decoder believes these, not the dictionary (threat B3)."""

from __future__ import annotations

import struct
from typing import Final

from signing.pdf.objects import PdfObject, Stream

__all__ = ["picture_size"]

_SEARCHED: Final = 1 << 16
_MAX_SEGMENTS: Final = 4096


def picture_size(filters: PdfObject, stream: Stream) -> tuple[int, int] | tuple[None, None]:
    """Width and height in pixels of a JPEG or JPEG 2000 that is packed no further; None where it does not say.

    Only the headers are read, where they stand in the file: a scan's picture is as large as the file.
    """
    last = filters[0] if isinstance(filters, list) and len(filters) == 1 else filters
    if last in ("DCTDecode", "DCT"):
        return _jpeg(stream)
    return _jpeg_2000(stream) if last == "JPXDecode" else (None, None)


def _jpeg(stream: Stream) -> tuple[int, int] | tuple[None, None]:
    """The first frame header (ITU-T T.81, B.2.2)."""
    data, at = stream.data, stream.start + 2
    for _ in range(_MAX_SEGMENTS):
        while at + 1 < stream.end and data[at : at + 2] == b"\xff\xff":
            at += 1
        if data[at : at + 1] != b"\xff" or at + 9 > stream.end:
            break
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + (0 if marker == 1 or 0xD0 <= marker <= 0xD8 else int.from_bytes(data[at + 2 : at + 4], "big"))
    return None, None


def _jpeg_2000(stream: Stream) -> tuple[int, int] | tuple[None, None]:
    """The size marker right behind the start of the codestream (ISO 15444-1, A.5.1)."""
    at = stream.data.find(b"\xff\x4f\xff\x51", stream.start, min(stream.end, stream.start + _SEARCHED))
    if at < 0 or at + 24 > stream.end:
        return None, None
    width, height, left, top = struct.unpack_from(">IIII", stream.data, at + 8)
    return width - left, height - top
