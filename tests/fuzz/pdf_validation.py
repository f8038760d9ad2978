"""Fuzz target: validation. The input stands behind a signed file: a later revision may be anything, no exception comes out, and what
the signer's page draws is never changed under a signature that passes (threats B1, B4).

`python tests/fuzz/pdf_validation.py [libFuzzer options] [corpus]`.
"""

import sys
import tempfile
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["signing.pdf"]):
    from signing.pdf.content import page_content
    from signing.pdf.reader import open_document
    from signing.pdf.validation import Indication, Trust, validate

from tests.fakes import attacks, pdf_signing
from tests.fakes.fuzz_corpus import corpus

FILE = Path(tempfile.mkdtemp(prefix="hoatoc-fuzz-")) / "input.pdf"
TRUST = Trust(roots=(pdf_signing.root().der,))
SIGNED = attacks.base()
NOW_US = max(pdf_signing.NOW_US, time.time_ns() // 1000)
_HONEST = {
    1: attacks.body_of(SIGNED, "catalog")[:-2] + b"/DSS 611 0 R >>",
    611: b"<< /Certs [612 0 R] >>",
    612: b"<< /Length 1 >>\nstream\n0\nendstream",
}
SEEDS = [
    attacks.append(SIGNED.data, _HONEST)[len(SIGNED.data) :],
    attacks.append(SIGNED.data, _HONEST, as_stream=True)[len(SIGNED.data) :],
    *(data[len(SIGNED.data) :] for _name, data in attacks.incremental_saving()),
    *(data[len(SIGNED.data) :] for _name, data in attacks.xref_games()),
]


def drawn() -> list[bytes]:
    with open_document(FILE) as document:
        return [page_content(document.head, page) for page in document.head.pages()]


FILE.write_bytes(SIGNED.data)
BEFORE = drawn()


def one_input(data: bytes) -> None:
    FILE.write_bytes(SIGNED.data + data)
    result = validate(FILE, TRUST, NOW_US)
    passed = [found for found in result.signatures if found.indication is Indication.PASSED]
    if passed and not result.reason and drawn() != BEFORE:
        raise AssertionError("the pages changed under a signature that passes")


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=20000", corpus("pdf_validation", SEEDS)], one_input)
    atheris.Fuzz()
