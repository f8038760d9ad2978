"""Fuzz target: the structural pass. Only `PdfError` with a listed code may come out (threats B3, B4).

`python tests/fuzz/pdf_structure.py [libFuzzer options] [corpus]`, for example `-max_total_time=60 -rss_limit_mb=512`.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["signing.pdf"]):
    from signing.pdf.errors import REFUSALS, PdfError
    from signing.pdf.safety import inspect

from tests.fakes import pdfs
from tests.fakes.fuzz_corpus import corpus

FILE = Path(tempfile.mkdtemp(prefix="hoatoc-fuzz-")) / "input.pdf"


def one_input(data: bytes) -> None:
    FILE.write_bytes(data)
    try:
        inspect(FILE)
    except PdfError as error:
        if error.code not in REFUSALS:
            raise AssertionError(error.code) from error


def seeds() -> list[bytes]:
    """The small honest and hostile files."""
    large = {"million-objects", "117-pages", "deep-tree", "deep-array"}
    made = {**pdfs.HONEST, **pdfs.HOSTILE}.items()
    return [make() for name, make in made if "bomb" not in name and name not in large]


if __name__ == "__main__":
    atheris.Setup([*sys.argv, corpus("pdf_structure", seeds())], one_input)
    atheris.Fuzz()
