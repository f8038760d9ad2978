"""Stream filters (ISO 32000-1, 7.4), with the size of what they give bounded whatever the bytes (threat B3).

Image codecs (`DCTDecode` and the like) are not decoded: a structural reader has no use for their pixels. Abbreviated
names belong to inline images alone; on a stream they are `unsupported-filter`.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from signing.pdf.errors import PdfError
from signing.pdf.objects import PdfObject

__all__ = ["IMAGE_FILTERS", "MAX_DECODED", "decode"]

MAX_DECODED = 64 * 1024 * 1024
IMAGE_FILTERS = frozenset({"DCTDecode", "JPXDecode", "JBIG2Decode", "CCITTFaxDecode"})
_SPACE = b"\0\t\n\f\r "


def _too_large() -> PdfError:
    return PdfError("too-large", "a stream grows beyond the bound")


def _broken(why: str) -> PdfError:
    return PdfError("broken-structure", why)


def _integer(parms: Mapping[str, PdfObject], key: str, default: int, low: int, high: int) -> int:
    value = parms.get(key, default)
    if not isinstance(value, int) or not low <= value <= high:
        raise _broken("a filter parameter is out of its range")
    return value


def _flate(data: bytes, limit: int) -> bytes:
    inflate = zlib.decompressobj()
    try:
        out = inflate.decompress(data, limit + 1)
    except zlib.error:
        raise _broken("compressed data is damaged") from None
    if len(out) > limit:
        raise _too_large()
    if not inflate.eof:
        raise _broken("compressed data ends early")
    return out


def _lzw(data: bytes, limit: int, early: int) -> bytes:
    """LZW with variable codes of 9 to 12 bits (ISO 32000-1, 7.4.4)."""
    out = bytearray()
    table: list[bytes] = []
    previous = b""
    width, bits, held = 9, 0, 0
    for byte in data:
        held = held << 8 | byte
        bits += 8
        if bits < width:
            continue
        bits -= width
        code = held >> bits
        held &= (1 << bits) - 1
        if code == 257:
            return bytes(out)
        if code == 256:
            table, previous, width = [], b"", 9
            continue
        if code < 256:
            entry = bytes([code])
        elif code - 258 < len(table):
            entry = table[code - 258]
        elif previous and code - 258 == len(table):
            entry = previous + previous[:1]
        else:
            raise _broken("compressed data is damaged")
        out += entry
        if len(out) > limit:
            raise _too_large()
        if previous and len(table) < 4096 - 258:
            table.append(previous + entry[:1])
        previous = entry
        width = min(12, max(9, (len(table) + 258 + early).bit_length()))
    return bytes(out)


def _run_length(data: bytes, limit: int) -> bytes:
    out = bytearray()
    at = 0
    while at < len(data) and data[at] != 128:
        length = data[at]
        if length < 128:
            out += data[at + 1 : at + length + 2]
            at += length + 2
        else:
            out += data[at + 1 : at + 2] * (257 - length)
            at += 2
        if len(out) > limit:
            raise _too_large()
    return bytes(out)


def _ascii_hex(data: bytes) -> bytes:
    digits = data.partition(b">")[0].translate(None, _SPACE)
    try:
        return binascii.unhexlify(digits + b"0" if len(digits) % 2 else digits)
    except ValueError:
        raise _broken("bad hexadecimal data") from None


def _ascii_85(data: bytes) -> bytes:
    try:
        return base64.a85decode(re.sub(rb"^\s*<~", b"", data).partition(b"~")[0], ignorechars=_SPACE)
    except ValueError:
        raise _broken("bad base-85 data") from None


def _unpredict(data: bytes, parms: Mapping[str, PdfObject]) -> bytes:
    """Undo a TIFF or PNG predictor (ISO 32000-1, 7.4.4.4)."""
    predictor = _integer(parms, "Predictor", 1, 1, 15)
    if predictor == 1:
        return data
    colors = _integer(parms, "Colors", 1, 1, 32)
    depth = _integer(parms, "BitsPerComponent", 8, 1, 16)
    columns = _integer(parms, "Columns", 1, 1, 1 << 20)
    pixel = max(1, colors * depth // 8)
    row = (colors * depth * columns + 7) // 8
    if predictor == 2:
        if depth != 8:
            raise PdfError("unsupported-filter", "TIFF predictor with other than 8 bits")
        return b"".join(_left(data[at : at + row], pixel) for at in range(0, len(data), row))
    if len(data) % (row + 1):
        raise _broken("predicted data ends inside a row")
    kinds = data[:: row + 1]
    if kinds.count(2) == len(kinds):
        return _all_up(data, row)
    out = bytearray()
    above = bytes(row)
    for at in range(0, len(data), row + 1):
        above = _png_row(data[at], data[at + 1 : at + row + 1], above, pixel)
        out += above
    return bytes(out)


def _all_up(data: bytes, row: int) -> bytes:
    """Cross-reference streams are nearly always this: every row predicted from the one above, so columns are sums."""
    out = bytearray(len(data) // (row + 1) * row)
    for column in range(row):
        out[column::row] = bytes([total & 255 for total in accumulate(data[column + 1 :: row + 1])])
    return bytes(out)


def _left(line: bytes, pixel: int) -> bytes:
    out = bytearray(line)
    for at in range(pixel, len(out)):
        out[at] = (out[at] + out[at - pixel]) & 255
    return bytes(out)


def _paeth(left: int, above: int, corner: int) -> int:
    estimate = left + above - corner
    by_left, by_above, by_corner = abs(estimate - left), abs(estimate - above), abs(estimate - corner)
    if by_left <= by_above and by_left <= by_corner:
        return left
    return above if by_above <= by_corner else corner


def _png_row(kind: int, line: bytes, above: bytes, pixel: int) -> bytes:
    match kind:
        case 0:
            return line
        case 1:
            return _left(line, pixel)
        case 2:
            return bytes([(a + b) & 255 for a, b in zip(line, above, strict=True)])
        case 3 | 4:
            out = bytearray(line)
            for at, up in enumerate(above):
                left = out[at - pixel] if at >= pixel else 0
                corner = above[at - pixel] if at >= pixel else 0
                out[at] = (out[at] + ((left + up) // 2 if kind == 3 else _paeth(left, up, corner))) & 255
            return bytes(out)
        case _:
            raise _broken("unknown row predictor")


def decode(data: bytes, filters: Sequence[tuple[str, Mapping[str, PdfObject]]], limit: int = MAX_DECODED) -> bytes:
    """`data` after the (name, parameters) pairs of `filters`, in order; stops before an image codec.

    Raises `PdfError`: `too-large` beyond `limit` bytes, `broken-structure`, `unsupported-filter`.
    """
    if len(filters) > 8:
        raise PdfError("too-large", "too many filters on one stream")
    steps: dict[str, Callable[[bytes, Mapping[str, PdfObject]], bytes]] = {
        "FlateDecode": lambda d, p: _unpredict(_flate(d, limit), p),
        "LZWDecode": lambda d, p: _unpredict(_lzw(d, limit, _integer(p, "EarlyChange", 1, 0, 1)), p),
        "RunLengthDecode": lambda d, _p: _run_length(d, limit),
        "ASCIIHexDecode": lambda d, _p: _ascii_hex(d),
        "ASCII85Decode": lambda d, _p: _ascii_85(d),
    }
    for name, parms in filters:
        if name in IMAGE_FILTERS:
            return data
        step = steps.get(name)
        if step is None:
            raise PdfError("unsupported-filter", "a stream filter is not known")
        data = step(data, parms)
    if len(data) > limit:
        raise _too_large()
    return data
