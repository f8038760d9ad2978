"""B4, D12: what says something about this machine is never turned into a verdict on the file."""

import errno
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.exchange import zips
from signing.pdf import compare, revocation, safety, text_agreement, timestamp, validation
from signing.pdf.errors import PdfError
from signing.pdf.validation import Trust, ValidationResult
from tests.fakes import pdfs

NOW_US = 1_790_000_000_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.pdf"
    data = pdfs.signed()
    path.write_bytes(pdfs.append(data, {90: "<< /Later true >>"}))
    return path


ENTRIES: dict[str, tuple[Any, str, Callable[[Path], Any]]] = {
    "safety": (safety, "_inspect", safety.inspect),
    "agreement": (text_agreement, "_compare", text_agreement.agreement),
    "compare": (compare, "_extends", lambda path: compare.compare_archive(path, path)),
    "chain": (compare, "compare_revisions", compare.chain),
    "validate": (validation, "_place", lambda path: validation.validate(path, Trust((), ()), NOW_US)),
    "token": (
        timestamp,
        "_read",
        lambda _path: timestamp.check_token(b"x", bytes(32), nonce=None, now_us=None, trust=None),
    ),
    "status": (revocation, "_check_crl", lambda _path: revocation.check_crl(b"x", b"", b"", at_us=0, now_us=0)),
}


@pytest.mark.parametrize("error", [MemoryError, ImportError])
@pytest.mark.parametrize("name", list(ENTRIES))
def test_the_machines_own_errors_pass(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[Exception]
) -> None:
    module, inner, judge = ENTRIES[name]

    def fails(*_args: Any, **_more: Any) -> Any:
        raise error

    monkeypatch.setattr(module, inner, fails)
    with pytest.raises(error):
        judge(file)


@pytest.mark.parametrize("name", list(ENTRIES))
def test_any_other_error_is_a_verdict(file: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    module, inner, judge = ENTRIES[name]

    def fails(*_args: Any, **_more: Any) -> Any:
        raise RecursionError

    monkeypatch.setattr(module, inner, fails)
    try:
        verdict = judge(file)
    except PdfError:
        return
    if isinstance(verdict, ValidationResult):
        assert not verdict.valid
    else:
        assert {(one.change, one.reason) for one in verdict[1:]} == {(None, "RecursionError")}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_full_volume_is_no_broken_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """D8: the axis would be told that the sender's packet cannot be read."""
    path, out = tmp_path / "a.zip", tmp_path / "out"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.pdf", b"content")

    def full(*_args: Any) -> Any:
        raise OSError(code, "full")

    monkeypatch.setattr(zips, "_pour", full)
    with pytest.raises(OSError, match="full"):
        zips.unwrap(path, out, zips.ZipLimits(max_bytes=100))
    assert not out.exists()


def test_an_offset_that_the_archive_invented_is_a_broken_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "a.zip", tmp_path / "out"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.pdf", b"content")

    def seeks(*_args: Any) -> Any:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(zips, "_pour", seeks)
    with pytest.raises(zips.ZipRefused):
        zips.unwrap(path, out, zips.ZipLimits(max_bytes=100))
