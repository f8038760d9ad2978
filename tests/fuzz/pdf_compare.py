"""Fuzz target: the comparison. The input is what stands behind an honest parent; only `PdfError` may come out, and
whatever passes must name exactly the fields of the manifest (threats A11, B1, B4).

`python tests/fuzz/pdf_compare.py [libFuzzer options] [corpus]`.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["signing.pdf"]):
    from signing.pdf.compare import Expected, chain, compare
    from signing.pdf.errors import CODES, PdfError
    from signing.pdf.prepare import prepare

from tests.fakes import pdf_signing, pdfs
from tests.fakes.fuzz_corpus import corpus

FOLDER = Path(tempfile.mkdtemp(prefix="hoatoc-fuzz-"))
PARENT, CHILD, HONEST = FOLDER / "parent.pdf", FOLDER / "child.pdf", FOLDER / "honest.pdf"
PARENT.write_bytes(pdfs.plain())
INFO = prepare(PARENT, pdf_signing.request(cms_size=64), HONEST)
EXPECTED = Expected.of(INFO)
HEAD = PARENT.read_bytes()


def one_input(data: bytes) -> None:
    CHILD.write_bytes(HEAD + data)
    try:
        chain(CHILD)
        found = compare(PARENT, CHILD, EXPECTED)
    except PdfError as error:
        if error.code not in CODES:
            raise AssertionError(error.code) from error
        return
    names = {field.name for field in found.fields}
    if found.touched_pages != INFO.touched_pages or not names >= {rect.field_name for rect in INFO.rects}:
        raise AssertionError("a revision passed that is not the manifest's")


if __name__ == "__main__":
    seeds = corpus("pdf_compare", [HONEST.read_bytes()[len(HEAD) :]])
    atheris.Setup([*sys.argv, "-max_len=80000", seeds], one_input)
    atheris.Fuzz()
