"""What a file is by its content, whatever its name and its sender say. A look at the beginning; nothing is opened or unpacked."""

import codecs
from pathlib import Path
from typing import Final

HEAD: Final = 1 << 16
UNKNOWN: Final = "application/octet-stream"
_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
_MAGIC: Final = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"{\\rtf", "application/rtf"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"\x7fELF", "application/x-elf"),
)
_PARTS: Final = (
    (b"word/", f"{_OFFICE}.wordprocessingml.document"),
    (b"xl/", f"{_OFFICE}.spreadsheetml.sheet"),
    (b"ppt/", f"{_OFFICE}.presentationml.presentation"),
)


def real_type(path: Path) -> str:
    """MIME type by the first bytes; `application/octet-stream` for what is not known. Raises: OSError."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    for magic, found in _MAGIC:
        if head.startswith(magic):
            return found
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _archive(head)
    return _text(head)


def _archive(head: bytes) -> str:
    if b"[Content_Types].xml" in head:
        return next((found for part, found in _PARTS if part in head), "application/zip")
    return "application/zip"


def _text(head: bytes) -> str:
    if not head or b"\0" in head:
        return UNKNOWN
    try:
        # `final` stays false where the head is cut: its last letter may be in two.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head, final=len(head) < HEAD)
    except UnicodeDecodeError:
        return UNKNOWN
    return "application/xml" if text.lstrip().startswith("<?xml") else "text/plain"
