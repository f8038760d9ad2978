"""A file's real type follows from its content alone."""

import io
import re
import zipfile
from pathlib import Path

import pytest

from server.cli import verify_screen
from server.exchange import edxml
from server.exchange.filetypes import HEAD, real_type


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
CASES = [
    (b"%PDF-1.7", "application/pdf"),
    (b"MZ\x90\x00", "application/vnd.microsoft.portable-executable"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (zipped("[Content_Types].xml", "word/document.xml"), WORD),
    (zipped("word/document.xml"), "application/zip"),
    (zipped(), "application/zip"),
    (b'\xef\xbb\xbf<?xml version="1.0"?>', "application/xml"),
    ("Kính gửi: Ủy ban nhân dân\n".encode(), "text/plain"),
    ("Đ".encode() * HEAD, "text/plain"),
    (b"a" + "Đ".encode() * HEAD, "text/plain"),
    (b"\xff\xfe\x00", "application/octet-stream"),
    (b"\xc4\x90\xe1", "application/octet-stream"),
    (b"", "application/octet-stream"),
]


@pytest.mark.parametrize(("data", "wanted"), CASES)
def test_the_beginning_tells(tmp_path, data, wanted):
    (tmp_path / "x.pdf").write_bytes(data)
    assert real_type(tmp_path / "x.pdf") == wanted


def test_every_repair_and_finding_has_words_for_people():
    folder = Path(edxml.__file__).parent
    codes = set()
    for name in ("edxml.py", "xmlread.py"):
        text = (folder / name).read_text("utf-8")
        for pair in re.findall(r'(?:repaired|Repair)\("([a-z-]+)"(?: if \w+ else "([a-z-]+)")?', text):
            codes |= set(filter(None, pair))
    assert len(codes) > 12
    assert codes <= set(verify_screen._REPAIRS)
    assert set(edxml.FINDINGS) == set(verify_screen._FINDINGS)
