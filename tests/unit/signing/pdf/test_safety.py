"""What may be put before a signer, and what is refused with which reason (DOC-3, SEC-1, B2, B3, B4, B5, B9)."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signing.pdf.errors import REFUSALS, PdfError
from signing.pdf.reader import open_document
from signing.pdf.safety import inspect
from signing.pdf.text_agreement import _compare, agreement, secrecy_mark
from tests.fakes import pdfs

VECTORS = Path(__file__).resolve().parents[3] / "vectors" / "pdf_refusals.json"
ROWS = json.loads(VECTORS.read_text(encoding="utf-8"))
# Each of these would take a renderer hours or gigabytes; they are judged in a child below.
BOMBS = {
    "flate-bomb",
    "flate-bomb-layers",
    "object-stream-bomb",
    "many-filters",
    "million-objects",
    "claimed-size",
    "claimed-rows",
    "deep-array",
    "deep-tree",
    "form-loop",
    "form-doubling",
    "form-doubling-shallow",
    "reference-loop",
    "xref-loop",
    "cyclic-tree",
    "huge-image",
}


def put(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "file.pdf"
    path.write_bytes(data)
    return path


def refusal(path: Path) -> str:
    """The code with which intake refuses the file: the structural pass first, the second parser only if it passes."""
    with pytest.raises(PdfError) as caught:
        inspect(path)
        agreement(path)
    return caught.value.code


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row["generator"] not in BOMBS], ids=lambda row: row["generator"]
)
def test_a_hostile_file_is_refused_with_its_listed_reason(row: dict[str, str], tmp_path: Path) -> None:
    path = put(tmp_path, pdfs.HOSTILE[row["generator"]]())
    assert refusal(path) == row["code"]
    if row["found_by"] == "agreement":
        inspect(path)


def test_every_generator_has_a_row_with_a_listed_code_and_both_languages() -> None:
    assert [row["generator"] for row in ROWS] == list(pdfs.HOSTILE)
    assert {row["code"] for row in ROWS} <= REFUSALS
    assert all(row["vi"].strip() and row["en"].strip() for row in ROWS)


@pytest.mark.parametrize("name", pdfs.HONEST)
def test_an_honest_file_is_never_refused(name: str, tmp_path: Path) -> None:
    path = put(tmp_path, pdfs.HONEST[name]())
    report = inspect(path)
    agreed = agreement(path)
    assert agreed.page_count == report.page_count == len(report.pages)
    assert report.length == path.stat().st_size
    assert secrecy_mark(path) is None


@pytest.mark.parametrize("name", ["plain", "vietnamese", "form", "two-revisions", "117-pages"])
def test_linearizing_and_packing_an_honest_file_changes_nothing_of_the_verdict(name: str, tmp_path: Path) -> None:
    path = put(tmp_path, pdfs.HONEST[name]())
    linear, packed, both = tmp_path / "linear.pdf", tmp_path / "packed.pdf", tmp_path / "both.pdf"
    subprocess.run(["qpdf", "--linearize", path, linear], check=True)
    subprocess.run(["qpdf", "--object-streams=generate", path, packed], check=True)
    subprocess.run(["qpdf", "--linearize", "--object-streams=generate", path, both], check=True)
    for other in (linear, packed, both):
        assert inspect(other).page_count == inspect(path).page_count
        assert agreement(other).characters == agreement(path).characters


def test_the_report_says_what_a_stamp_and_the_route_need(tmp_path: Path) -> None:
    turned = inspect(put(tmp_path, pdfs.rotated()))
    assert [page.rotate for page in turned.pages] == [0, 90, 180, 270, 270]
    cropped = inspect(put(tmp_path, pdfs.crop_and_unit())).pages[0]
    assert (cropped.crop, cropped.user_unit) == ((20, 30, 500, 800), 2)
    assert inspect(put(tmp_path, pdfs.inherited())).pages[0].media == (0, 0, 595, 842)
    assert [inspect(put(tmp_path, pdfs.pdfa(part))).pdfa for part in (1, 2)] == ["1B", "2B"]
    filled = inspect(put(tmp_path, pdfs.form()))
    assert filled.needs_field_lock
    assert [(field.name, field.kind, field.filled) for field in filled.fields] == [
        ("ho_ten", "Tx", True),
        ("dong_y", "Btn", True),
        ("ghi_chu", "Tx", False),
    ]
    assert inspect(put(tmp_path, pdfs.two_revisions())).revisions == 2


@pytest.mark.parametrize(
    ("make", "pages"),
    [(lambda: pdfs.many_pages_compressed(2000), 2000), (lambda: pdfs.scan(25_000_000), 1)],
    ids=["2000-pages", "scan-of-25-mb"],
)
def test_large_honest_files_are_within_the_bounds(make: Callable[[], bytes], pages: int, tmp_path: Path) -> None:
    path = put(tmp_path, make())
    assert inspect(path).page_count == agreement(path).page_count == pages


@pytest.mark.parametrize(
    ("name", "certified", "visible", "invisible", "empty"),
    [
        ("signed", None, True, True, []),
        ("signed-with-empty-field", None, True, True, ["Ky2"]),
        ("certified-2", 2, False, True, ["Ky2"]),
        ("certified-3", 3, False, True, []),
        ("locked-include", None, True, True, []),
        ("locked-exclude-named", None, False, False, ["Ky2"]),
    ],
)
def test_what_earlier_signatures_allow(
    name: str, certified: int | None, visible: bool, invisible: bool, empty: list[str], tmp_path: Path
) -> None:
    path = put(tmp_path, pdfs.HONEST[name]())
    found = inspect(path).signatures
    assert (found.certified, found.may_add_visible, found.may_add_invisible) == (certified, visible, invisible)
    assert [field.name for field in found.empty] == empty
    assert [signature.covers for signature in found.signed] == [path.stat().st_size]


@pytest.mark.parametrize("mark", ["TUYỆT MẬT", "TỐI MẬT", "MẬT", "Độ mật: Tối mật"])
def test_sec_1_a_secrecy_mark_on_page_one_is_found(mark: str, tmp_path: Path) -> None:
    pdf = pdfs.Pdf("1.7")
    pdfs.vietnamese_page(pdf, (mark, *pdfs.VIETNAMESE))
    assert secrecy_mark(put(tmp_path, pdf.classic())) == mark.rpartition(": ")[2].upper()


@pytest.mark.parametrize("line", ["BÍ MẬT KINH DOANH", "Bảo vệ bí mật nhà nước", "Mật độ dân số", "MẬT ONG"])
def test_sec_1_words_that_are_no_mark_are_not_taken_for_one(line: str, tmp_path: Path) -> None:
    pdf = pdfs.Pdf("1.7")
    pdfs.vietnamese_page(pdf, (line, *pdfs.VIETNAMESE))
    assert secrecy_mark(put(tmp_path, pdf.classic())) is None


def test_b9_two_readings_of_one_file_are_refused_whatever_makes_them(tmp_path: Path) -> None:
    # Our reader sees `one`, the second parser `other`: a text, a size, a number of pages apart.
    one = put(tmp_path, pdfs.many_pages(3))
    other = tmp_path / "other.pdf"
    honest = one.read_bytes()
    changed = {
        "text": honest.replace(b"(Trang 2)", b"(Trang 3)"),
        "size": honest.replace(b"595 842", b"595 843", 1),
        "pages": pdfs.many_pages(2),
    }
    for name, data in {"same": honest, **changed}.items():
        other.write_bytes(data)
        with open_document(one) as document:
            if name == "same":
                assert _compare(document, other).page_count == 3
                continue
            with pytest.raises(PdfError) as caught:
                _compare(document, other)
            assert caught.value.code == "parsers-disagree"
    with pytest.raises(PdfError) as caught:
        agreement(put(tmp_path, pdfs.wrong_count()))
    assert caught.value.code == "broken-structure"  # a tree that miscounts itself is not even asked about


CHILD = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
from signing.pdf.errors import PdfError
from signing.pdf.safety import inspect
try:
    inspect(Path(sys.argv[1]))
    print("accepted")
except PdfError as error:
    print(error.code)
"""


@pytest.mark.parametrize("row", [row for row in ROWS if row["generator"] in BOMBS], ids=lambda row: row["generator"])
def test_b3_a_bomb_is_refused_within_the_limits_of_its_child(row: dict[str, str], tmp_path: Path) -> None:
    # 512 MiB of address space and 10 s of processor: a child that needs more is killed and prints nothing.
    path = put(tmp_path, pdfs.HOSTILE[row["generator"]]())
    done = subprocess.run([sys.executable, "-c", CHILD, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, row["code"]), done.stderr[-500:]


def test_importing_the_structural_pass_loads_nothing_heavy() -> None:
    heavy = ("pyhanko", "pypdfium2", "fontTools", "asn1crypto", "cryptography", "litestar")
    code = f"import sys, signing.pdf.safety, signing.pdf.compare; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


SEEDS = [
    pdfs.HONEST[name]()
    for name in (
        "plain",
        "vietnamese",
        "object-streams",
        "hybrid",
        "form",
        "links",
        "signed",
        "certified-2",
        "two-revisions",
    )
]
TOKENS = [
    b"<<",
    b">>",
    b"[",
    b"]",
    b"(",
    b"null",
    b"5 0 R",
    b"99999999 0 R",
    b"-1",
    b"1e9",
    b"/Kids",
    b"endobj",
    b"stream\n",
]


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_b4_whatever_is_broken_only_pdf_errors_come_out(tmp_path: Path, data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(seed) - 1))
        length = data.draw(st.integers(0, 12))
        seed[at : at + length] = data.draw(st.one_of(st.binary(max_size=12), st.sampled_from(TOKENS)))
    path = put(tmp_path, bytes(seed))
    try:
        inspect(path)
    except PdfError as error:
        assert error.code in REFUSALS  # noqa: PT017 - a refusal is one of two good ends
