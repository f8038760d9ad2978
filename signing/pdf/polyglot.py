"""Is the file something else as well? A PDF whose bytes another program opens as an archive has two readings (threats B8, B9).

Looked for are only marks at the places where such a program looks for them, long enough that no picture or packed text
has them there by chance.
"""

from __future__ import annotations

import mmap
from typing import Final

__all__ = ["other_reading"]

_ZIP_END: Final = b"PK\x05\x06"
_ZIP_RECORD: Final = 22
_ZIP_COMMENT: Final = 0xFFFF
_TAR: Final = (257, b"ustar")
_ISO: Final = (0x8001, b"CD001")
_SEARCHED: Final = 1 << 20  # how far programs look for an archive behind a program that unpacks it
_EMBEDDED: Final = {b"Rar!\x1a\x07": "RAR", b"7z\xbc\xaf\x27\x1c": "7z"}


def other_reading(data: bytes | mmap.mmap) -> str:
    """The kind of archive that the whole file also is; empty where it is none."""
    if _is_zip(data):
        return "ZIP"
    for (at, mark), kind in ((_TAR, "TAR"), (_ISO, "ISO 9660")):
        if data[at : at + len(mark)] == mark:
            return kind
    return next((kind for mark, kind in _EMBEDDED.items() if data.find(mark, 0, _SEARCHED) >= 0), "")


def _is_zip(data: bytes | mmap.mmap) -> bool:
    """An end record whose comment reaches the end of the file (APPNOTE 4.3.16), and whose directory begins where it says."""
    size = len(data)
    low = max(0, size - _ZIP_RECORD - _ZIP_COMMENT)
    at = data.rfind(_ZIP_END, low)
    while at >= 0:
        comment = int.from_bytes(data[at + 20 : at + 22], "little")
        length = int.from_bytes(data[at + 12 : at + 16], "little")
        # Readers take what stands before the archive for a program: offsets may count from there, so the size decides.
        directory = at - length
        if at + _ZIP_RECORD + comment <= size and directory >= 0 and data[directory : directory + 4] == b"PK\x01\x02":
            return True
        at = data.rfind(_ZIP_END, low, at)
    return False
