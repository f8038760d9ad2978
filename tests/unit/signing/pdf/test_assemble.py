"""The hole is filled once, in the file that was approved, or not at all."""

import hashlib
from pathlib import Path

import pytest

from signing.pdf.assemble import assemble
from signing.pdf.errors import PdfError
from signing.pdf.prepare import Prepared, prepare
from tests.fakes import pdf_signing as fakes
from tests.fakes.pdfs import HONEST


@pytest.fixture
def ready(tmp_path: Path) -> tuple[Path, Prepared]:
    parent = tmp_path / "parent.pdf"
    parent.write_bytes(HONEST["plain"]())
    out = tmp_path / "prepared.pdf"
    return out, prepare(parent, fakes.request(), out)


def test_only_the_hole_changes(ready: tuple[Path, Prepared], tmp_path: Path) -> None:
    path, info = ready
    before = path.read_bytes()
    cms = fakes.cms_for(fakes.leader(), info.tbs)
    digest = assemble(path, info, cms, tmp_path / "out.pdf")
    data = (tmp_path / "out.pdf").read_bytes()
    start, end = info.hole_start, info.hole_start + info.hole_length
    assert hashlib.sha256(data).digest() == digest
    assert (data[:start], data[end:], len(data)) == (before[:start], before[end:], len(before))
    assert data[start:end] == b"<" + cms.hex().encode().ljust(info.hole_length - 2, b"0") + b">"
    assert path.read_bytes() == before


def test_a_full_hole_holds_exactly_its_capacity(ready: tuple[Path, Prepared], tmp_path: Path) -> None:
    path, info = ready
    assemble(path, info, b"\x30" * info.capacity, tmp_path / "full.pdf")
    with pytest.raises(PdfError) as caught:
        assemble(path, info, b"\x30" * (info.capacity + 1), tmp_path / "over.pdf")
    assert caught.value.code == "hole-too-small"
    assert not (tmp_path / "over.pdf").exists()


@pytest.mark.parametrize("where", ["parent", "tail", "hole", "end", "bracket"])
def test_one_changed_byte_is_noticed(ready: tuple[Path, Prepared], tmp_path: Path, where: str) -> None:
    # A11, D17: what was approved is what is assembled.
    path, info = ready
    data = bytearray(path.read_bytes())
    place = {
        "parent": info.parent_length // 2,
        "tail": info.parent_length + 200,
        "hole": info.hole_start + info.hole_length // 2,
        "bracket": info.hole_start,
        "end": info.size - 3,
    }[where]
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(PdfError) as caught:
        assemble(path, info, b"\x30\x00", tmp_path / "out.pdf")
    assert caught.value.code == ("hole-not-empty" if where in {"hole", "bracket"} else "prepared-changed")
    assert not (tmp_path / "out.pdf").exists()


@pytest.mark.parametrize("change", [b"%", -1, -3000])
def test_another_length_is_noticed(ready: tuple[Path, Prepared], tmp_path: Path, change: bytes | int) -> None:
    path, info = ready
    data = path.read_bytes()
    path.write_bytes(data + change if isinstance(change, bytes) else data[:change])
    with pytest.raises(PdfError) as caught:
        assemble(path, info, b"\x30\x00", tmp_path / "out.pdf")
    assert caught.value.code == ("hole-not-empty" if change == -3000 else "prepared-changed")
    assert not (tmp_path / "out.pdf").exists()


def test_a_revision_is_assembled_once(ready: tuple[Path, Prepared], tmp_path: Path) -> None:
    path, info = ready
    out = tmp_path / "out.pdf"
    first = assemble(path, info, b"\x30\x00", out)
    with pytest.raises(PdfError) as caught:
        assemble(path, info, b"\x30\x01\x00", out)
    assert caught.value.code == "disk"
    assert hashlib.sha256(out.read_bytes()).digest() == first
