"""Fuzz target: a CMS from a file or a receipt. A verdict comes out, never an exception, and only the signer's own bytes pass
(threats B4, B7).

`python tests/fuzz/cms.py [libFuzzer options] [corpus]`.
"""

import hashlib
import sys

import atheris

with atheris.instrument_imports(include=["signing.pdf", "asn1crypto"]):
    from signing.pdf.errors import CODES, PdfError
    from signing.pdf.timestamp import signature_value
    from signing.pdf.validation import Indication, Trust, validate_cms

from tests.fakes import pdf_signing
from tests.fakes.fuzz_corpus import corpus

TBS = hashlib.sha256(b"sample").digest()
TRUST = Trust(roots=(pdf_signing.root().der,))
SEEDS = [pdf_signing.cms_for(holder, TBS) for holder in (pdf_signing.leader(), pdf_signing.clerk())]
SIGNERS = {"Sample Leader", "Sample Seal"}


def one_input(data: bytes) -> None:
    found = validate_cms(data, TBS, TRUST, pdf_signing.NOW_US)
    if found.indication is Indication.PASSED and found.signer not in SIGNERS:
        raise AssertionError("a CMS passed that nobody signed")
    other = validate_cms(data, hashlib.sha256(b"other").digest(), TRUST, pdf_signing.NOW_US)
    if other.indication is Indication.PASSED:
        raise AssertionError("a CMS passed over what it does not sign")
    try:
        signature_value(data)
    except PdfError as error:
        if error.code not in CODES:
            raise AssertionError(error.code) from error


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=8000", corpus("cms", SEEDS)], one_input)
    atheris.Fuzz()
