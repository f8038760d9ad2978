"""Does a font draw the same in every reader? Its program and the map from codes to glyphs must be in the file (threat B5).

A reader that does not find them takes what its machine has, now or on another day: the signer and the recipient then see
different letters. A program is known by how it begins and, where it is TrueType or OpenType, by its tables lying within
it; whether every glyph is well formed is the renderer's matter.
"""

from __future__ import annotations

import re
import struct
from typing import Final

from signing.pdf.errors import PdfError
from signing.pdf.objects import Name, PdfObject, Stream
from signing.pdf.reader import Revision

__all__ = ["STANDARD_FONTS", "is_held"]

STANDARD_FONTS: Final = frozenset(
    {
        *("Courier", "Courier-Bold", "Courier-Oblique", "Courier-BoldOblique", "Symbol", "ZapfDingbats"),
        *("Helvetica", "Helvetica-Bold", "Helvetica-Oblique", "Helvetica-BoldOblique"),
        *("Times-Roman", "Times-Bold", "Times-Italic", "Times-BoldItalic"),
    }
)
# ISO 32000-1, table 118: maps that every reader brings along.
_BOTH_WAYS: Final = (
    "Identity GB-EUC GBpc-EUC GBK-EUC GBKp-EUC GBK2K UniGB-UCS2 UniGB-UTF16 B5pc HKscs-B5 ETen-B5 ETenms-B5 CNS-EUC"
    " UniCNS-UCS2 UniCNS-UTF16 90ms-RKSJ 90msp-RKSJ Add-RKSJ EUC Ext-RKSJ UniJIS-UCS2 UniJIS-UCS2-HW UniJIS-UTF16"
    " KSC-EUC KSCms-UHC KSCms-UHC-HW UniKS-UCS2 UniKS-UTF16"
)
_PREDEFINED: Final = frozenset(
    {f"{name}-{way}" for name in _BOTH_WAYS.split() for way in "HV"}
    | {"H", "V", "83pv-RKSJ-H", "90pv-RKSJ-H", "KSCpc-EUC-H"}
)
_MAX_PROGRAM: Final = 64 * 1024 * 1024
_MAX_MAP: Final = 8 * 1024 * 1024
_USES: Final = re.compile(rb"/([^\0\t\n\f\r ()<>\[\]{}/%]+)[\0\t\n\f\r ]+usecmap")
_TABLES: Final = (b"\0\1\0\0", b"true", b"OTTO")


def is_held(view: Revision, font: dict[Name, PdfObject]) -> bool:
    """Whether program and map of a font are in the file; the fourteen standard fonts count as held (ISO 32000-1, 9.6.2.2).

    The contents of a Type 3 font are the caller's to judge.
    """
    kind = view.resolve(font.get(Name("Subtype")))
    if kind == "Type3":
        return True
    if kind == "Type0":
        below = view.array(font.get(Name("DescendantFonts")))
        if len(below) != 1 or not _map_held(view, font.get(Name("Encoding")), 0):
            return False
        font = view.dictionary(below[0])
        if Name("CIDToGIDMap") in font:
            glyphs = view.resolve(font[Name("CIDToGIDMap")])
            if glyphs != "Identity" and not isinstance(glyphs, Stream):
                return False
    elif view.resolve(font.get(Name("BaseFont"))) in STANDARD_FONTS:
        return True
    descriptor = view.dictionary(font.get(Name("FontDescriptor")))
    programs = (view.resolve(descriptor.get(Name(key))) for key in ("FontFile", "FontFile2", "FontFile3"))
    return any(isinstance(program, Stream) and _is_program(view, program) for program in programs)


def _map_held(view: Revision, encoding: PdfObject, depth: int) -> bool:
    found = view.resolve(encoding)
    if isinstance(found, Name):
        return found in _PREDEFINED
    if not isinstance(found, Stream) or depth > 4:
        return False
    if Name("UseCMap") in found.dictionary:
        return _map_held(view, found.dictionary[Name("UseCMap")], depth + 1)
    named = _USES.findall(view.decode(found, _MAX_MAP))
    return all(name.decode("latin-1") in _PREDEFINED for name in named)


def _is_program(view: Revision, stream: Stream) -> bool:
    """Raises `PdfError("too-large")` where it unpacks beyond the bound; one that cannot be unpacked is none."""
    try:
        data = view.decode(stream, _MAX_PROGRAM)
    except PdfError as error:
        if error.code == "too-large":
            raise
        return False
    if data[:4] in _TABLES:
        return _tables_within(data)
    # A collection; Type 1, plain or in segments; a bare CFF (its major version and the size of its header).
    return data[:4] == b"ttcf" or data.lstrip()[:2] == b"%!" or data[:2] == b"\x80\1" or data[:3] == b"\1\0\4"


def _tables_within(data: bytes) -> bool:
    count = int.from_bytes(data[4:6], "big")
    if not count or len(data) < 12 + 16 * count:
        return False
    for at in range(12, 12 + 16 * count, 16):
        tag, _sum, offset, length = struct.unpack_from(">4sIII", data, at)
        # Subsetters write wrong lengths of tables that nobody needs; where letters are drawn from must be there.
        if tag in {b"glyf", b"CFF ", b"loca", b"head"} and offset >= len(data):
            return bool(tag == b"glyf" and length == 0)
    return True
