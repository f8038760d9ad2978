"""Fuzz target: preparing a signature revision of any file. Only `PdfError` comes out, and what is prepared passes the
comparison with its parent (threats A11, B4).

`python tests/fuzz/pdf_prepare.py [libFuzzer options] [corpus]`.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["signing.pdf"]):
    from signing.pdf.compare import Expected, compare
    from signing.pdf.errors import CODES, PdfError
    from signing.pdf.prepare import prepare
    from signing.pdf.safety import inspect

from tests.fakes import pdf_signing, pdfs
from tests.fakes.fuzz_corpus import corpus

FOLDER = Path(tempfile.mkdtemp(prefix="hoatoc-fuzz-"))
PARENT, CHILD = FOLDER / "parent.pdf", FOLDER / "child.pdf"
REQUEST = pdf_signing.request(cms_size=64)
SEEDS = [pdfs.HONEST[name]() for name in ("plain", "object-streams", "hybrid", "form", "signed", "links", "rotated")]


def one_input(data: bytes) -> None:
    PARENT.write_bytes(data)
    CHILD.unlink(missing_ok=True)
    try:
        info = prepare(PARENT, REQUEST, CHILD)
        inspect(PARENT)
    except PdfError as error:
        if error.code not in CODES:
            raise AssertionError(error.code) from error
        return
    compare(PARENT, CHILD, Expected.of(info))  # a file that intake accepts must be one that we can sign


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=60000", corpus("pdf_prepare", SEEDS)], one_input)
    atheris.Fuzz()
