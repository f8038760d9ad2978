"""A receipt beside a file that goes on behind its revision: an archive's additions pass and are named, anything else fails (A4, B1)."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from pyhanko.pdf_utils.generic import NameObject, pdf_string
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from server.cli import cli
from signing.pdf.archive import append_validation_data
from tests.fakes import pdf_signing as fakes
from tests.fakes.pdf_levels import gathered, stamped
from tests.unit.server import receipt_samples as samples

AT = fakes.NOW_US + 3_600_000_000


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> samples.Signed:
    return samples.Signed(tmp_path_factory.mktemp("signed"))


@pytest.fixture(scope="module")
def judge(signed: samples.Signed) -> Callable[[Path], tuple[int, str, str]]:
    """(exit code, last step's code, its detail) of the receipt beside a PDF."""
    receipt = signed.folder / "receipt.json"
    receipt.write_bytes(msgspec.json.encode(samples.Maker(signed).receipt()))

    def judged(pdf: Path) -> tuple[int, str, str]:
        arguments = ["verify", str(receipt), "--trust", str(signed.trust), "--pdf", str(pdf), "--json"]
        done = CliRunner().invoke(cli, arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        last = json.loads(done.stdout)["steps"][-1]
        return done.exit_code, last["code"], last.get("detail", "")

    return judged


Judge = Callable[[Path], tuple[int, str, str]]


def test_validation_data_and_time_stamps_pass_and_are_named(
    signed: samples.Signed, judge: Judge, tmp_path: Path
) -> None:
    data = gathered(signed.pdf, AT)
    store, archived, renewed = (tmp_path / f"{name}.pdf" for name in ("store", "archived", "renewed"))
    append_validation_data(signed.pdf, data, store)
    assert judge(store) == (0, "pdf-archived", "DSS")
    stamped(signed.pdf, archived, data, at_us=AT)
    code, step, detail = judge(archived)
    assert (code, step) == (0, "pdf-archived")
    assert detail.startswith("DSS + DocTimeStamp 20")
    stamped(archived, renewed, gathered(archived, AT), at_us=AT + 60_000_000)
    code, step, detail = judge(renewed)
    assert (code, step) == (0, "pdf-archived")
    assert detail.count("DocTimeStamp") == 2


def _co_signed(signed: samples.Signed, folder: Path) -> Path:
    return signed.final


def _archived_then_signed(signed: samples.Signed, folder: Path) -> Path:
    archived = folder / "archived.pdf"
    stamped(signed.pdf, archived, gathered(signed.pdf, AT), at_us=AT)
    return fakes.sign(archived, folder, fakes.request(1), fakes.leader())[0]


def _signed_then_archived(signed: samples.Signed, folder: Path) -> Path:
    out = folder / "out.pdf"
    stamped(signed.final, out, gathered(signed.final, AT), at_us=AT)
    return out


def _stamp_of_a_stranger(signed: samples.Signed, folder: Path) -> Path:
    archived, out = folder / "archived.pdf", folder / "out.pdf"
    stamped(signed.pdf, archived, gathered(signed.pdf, AT), at_us=AT)
    raw = bytearray(archived.read_bytes())
    # A byte of the token's signature, which stands at the end of its DER: before the zeros that fill the hole.
    at = raw.rindex(b"/Contents <") + 11
    end = raw.index(b">", at)
    last = len(bytes(raw[at:end]).rstrip(b"0"))
    raw[at + last - 20] = ord("0") if raw[at + last - 20] != ord("0") else ord("1")
    out.write_bytes(raw)
    return out


def _another_products_update(signed: samples.Signed, folder: Path) -> Path:
    out = folder / "out.pdf"
    with signed.pdf.open("rb") as source, out.open("wb") as target:
        writer = IncrementalPdfFileWriter(source)
        writer.root["/Lang"] = pdf_string("vi-VN")
        writer.root[NameObject("/PageLayout")] = NameObject("/OneColumn")
        writer.update_root()
        writer.write(target)
    return out


def _garbage(signed: samples.Signed, folder: Path) -> Path:
    out = folder / "out.pdf"
    out.write_bytes(signed.pdf.read_bytes() + b"\n% mot dong la\n")
    return out


@pytest.mark.parametrize(
    "make",
    [
        _co_signed,
        _archived_then_signed,
        _signed_then_archived,
        _stamp_of_a_stranger,
        _another_products_update,
        _garbage,
    ],
)
def test_anything_else_fails(
    make: Callable[[samples.Signed, Path], Path], signed: samples.Signed, judge: Judge, tmp_path: Path
) -> None:
    assert judge(make(signed, tmp_path))[:2] == (1, "pdf-extends")
