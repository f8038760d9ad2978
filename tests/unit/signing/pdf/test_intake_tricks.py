"""Intake against bombs, fonts that are loaded later, second readings and archives inside (B3, B5, B8, B9); files that only look so pass."""

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from signing.pdf.errors import REFUSALS, PdfError
from signing.pdf.safety import inspect
from signing.pdf.text_agreement import agreement
from tests.fakes.intake_tricks import TRICKS, honest_neighbours
from tests.unit.signing.pdf.test_safety import CHILD


@pytest.mark.parametrize("name", [name for name, trick in TRICKS.items() if trick.kind != "bomb"])
def test_a_trick_is_refused_with_its_listed_reason(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pdf"
    path.write_bytes(TRICKS[name].make())
    with pytest.raises(PdfError) as caught:
        inspect(path)
        agreement(path)
    assert caught.value.code == TRICKS[name].code
    assert caught.value.code in REFUSALS


@pytest.mark.parametrize("name", [name for name, trick in TRICKS.items() if trick.kind == "bomb"])
def test_b3_a_bomb_is_refused_within_the_limits_of_its_child(name: str, tmp_path: Path) -> None:
    # 512 MiB of address space and 10 s of processor: a child that needs more is killed and prints nothing.
    path = tmp_path / "file.pdf"
    path.write_bytes(TRICKS[name].make())
    assert path.stat().st_size < 4_000_000
    done = subprocess.run([sys.executable, "-c", CHILD, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, TRICKS[name].code), done.stderr[-500:]


@pytest.mark.parametrize("name", honest_neighbours())
def test_what_only_looks_like_a_trick_is_taken(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pdf"
    path.write_bytes(honest_neighbours()[name])
    inspect(path)
    agreement(path)


def test_the_second_reading_of_the_archives_is_real() -> None:
    # Python's own reader opens the polyglot, so that refusing it proves something.
    with zipfile.ZipFile(io.BytesIO(TRICKS["reading-zip"].make())) as archive:
        assert archive.read("van-ban-khac.txt") == b"Noi dung khac"
    with tarfile.open(fileobj=io.BytesIO(TRICKS["reading-tar"].make())) as archive:
        assert archive.getnames()[0].startswith("%PDF-1.7")
