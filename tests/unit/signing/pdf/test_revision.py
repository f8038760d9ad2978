"""A revision that is written and filled in one pass is the one that two passes make, and nothing else is ever filled."""

import hashlib
from pathlib import Path

import msgspec
import pytest

from signing.pdf.assemble import assemble
from signing.pdf.errors import PdfError
from signing.pdf.prepare import place, prepare, ready
from signing.pdf.revision import Placed, Ready, append_bytes, append_revision
from tests.fakes import pdf_signing as fakes
from tests.fakes.pdfs import HONEST


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    path = tmp_path / "parent.pdf"
    path.write_bytes(HONEST["plain"]())
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.pdf"


@pytest.fixture
def written(parent: Path, out: Path) -> Ready:
    return ready(parent, fakes.request(), out)


def test_one_pass_makes_what_two_passes_make(parent: Path, written: Ready, out: Path, tmp_path: Path) -> None:
    apart = tmp_path / "apart.pdf"
    info = prepare(parent, fakes.request(), apart)
    assert info == written.info
    assert out.read_bytes() == apart.read_bytes()
    assert written.digest == hashlib.sha256(out.read_bytes()).digest()
    cms = fakes.cms_for(fakes.leader(), info.tbs)
    digest = written.fill(cms)
    assert digest == assemble(apart, info, cms, tmp_path / "assembled.pdf")
    assert out.read_bytes() == (tmp_path / "assembled.pdf").read_bytes()


def test_a_hole_is_filled_once(written: Ready, out: Path) -> None:
    first = written.fill(b"\x30\x00")
    with pytest.raises(PdfError) as caught:
        written.fill(b"\x30\x01\x00")
    assert caught.value.code == "hole-not-empty"
    assert hashlib.sha256(out.read_bytes()).digest() == first


def test_what_does_not_fit_is_not_written(written: Ready, out: Path) -> None:
    before = out.read_bytes()
    with pytest.raises(PdfError) as caught:
        written.fill(b"\x30" * (written.info.capacity + 1))
    assert caught.value.code == "hole-too-small"
    assert out.read_bytes() == before
    written.fill(b"\x30" * written.info.capacity)


def test_only_the_file_that_was_written_is_filled(written: Ready, out: Path, tmp_path: Path) -> None:
    # A11: neither another file of the same bytes, nor a link to one, nor a longer one.
    data = out.read_bytes()
    other = tmp_path / "other.pdf"
    other.write_bytes(data)
    kept = out.rename(tmp_path / "kept.pdf")
    out.write_bytes(data)
    assert _refused(written) == "prepared-changed"
    out.unlink()
    out.symlink_to(kept)
    assert _refused(written) == "disk"
    out.unlink()
    kept.rename(out)
    out.write_bytes(data + b"%")
    assert _refused(written) == "prepared-changed"


def test_a_byte_changed_behind_the_writers_back_is_not_in_the_digest(written: Ready, out: Path) -> None:
    # A11, D17: the digest is that of the approved bytes, so the store, which hashes what it finds, sees the difference.
    data = bytearray(out.read_bytes())
    data[written.info.parent_length // 2] ^= 1
    out.write_bytes(data)
    assert written.fill(b"\x30\x00") != hashlib.sha256(out.read_bytes()).digest()


@pytest.mark.parametrize(
    "lie",
    [
        {"parent_length": 1}, {"parent_length": -1}, {"size": 1}, {"hole_start": 0}, {"hole_start": 1 << 62},
        {"hole_length": 0}, {"hole_length": 1 << 62}, {"hole_length": -2},
    ],
)  # fmt: skip
def test_an_answer_that_does_not_fit_is_refused(parent: Path, out: Path, lie: dict[str, int]) -> None:
    # B4: what places a revision met hostile bytes, and may say anything of it.
    placed, tail = place(parent, fakes.request())
    with pytest.raises(PdfError) as caught:
        append_revision(parent, msgspec.structs.replace(placed, **lie), tail, out)
    assert caught.value.code in {"prepared-changed", "hole-not-empty"}
    assert not out.exists()


def test_a_hole_elsewhere_is_refused(parent: Path, out: Path) -> None:
    placed, tail = place(parent, fakes.request())
    for moved in (-1, 1):
        lie = msgspec.structs.replace(placed, hole_start=placed.hole_start + moved)
        with pytest.raises(PdfError) as caught:
            append_revision(parent, lie, tail, out)
        assert caught.value.code == "hole-not-empty"
    assert not out.exists()


@pytest.mark.parametrize("change", [b"%", -1])
def test_a_parent_that_changed_its_length_is_noticed(parent: Path, out: Path, change: bytes | int) -> None:
    placed, tail = place(parent, fakes.request())
    data = parent.read_bytes()
    parent.write_bytes(data + change if isinstance(change, bytes) else data[:change])
    with pytest.raises(PdfError) as caught:
        append_revision(parent, placed, tail, out)
    assert caught.value.code == "prepared-changed"
    assert not out.exists()


def test_bytes_alone_are_appended_and_hashed(parent: Path, out: Path) -> None:
    length = parent.stat().st_size
    assert append_bytes(parent, length, b"more", out) == hashlib.sha256(parent.read_bytes() + b"more").digest()
    assert out.read_bytes() == parent.read_bytes() + b"more"
    with pytest.raises(PdfError) as caught:
        append_bytes(parent, length, b"other", out)
    assert caught.value.code == "disk"
    assert out.read_bytes().endswith(b"more")


def _refused(written: Ready) -> str:
    with pytest.raises(PdfError) as caught:
        written.fill(b"\x30\x00")
    return caught.value.code


def test_a_placed_revision_survives_the_wire(parent: Path) -> None:
    placed, _tail = place(parent, fakes.request())
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(placed), type=Placed) == placed
