"""Fuzz target: a time-stamp authority's reply. Only `PdfError` comes out, and a token that passes is about our imprint and nonce
(RFC 3161; threats B4, D7).

`python tests/fuzz/timestamp.py [libFuzzer options] [corpus]`.
"""

import hashlib
import sys

import atheris

with atheris.instrument_imports(include=["signing.pdf", "asn1crypto"]):
    from asn1crypto import tsp

    from signing.pdf.errors import CODES, PdfError
    from signing.pdf.timestamp import check_reply, timestamp_request

from tests.fakes import pdf_signing
from tests.fakes.fuzz_corpus import corpus

IMPRINT = hashlib.sha256(b"sample").digest()
NONCE = 77
TRUST = pdf_signing.trust()
SEEDS = [
    pdf_signing.stamp_reply(timestamp_request(IMPRINT, NONCE)),
    tsp.TimeStampResp({"status": {"status": "rejection"}, "time_stamp_token": {"content_type": "data"}}).dump(),
]


def one_input(data: bytes) -> None:
    try:
        token = check_reply(data, IMPRINT, NONCE, trust=TRUST, now_us=pdf_signing.NOW_US)
    except PdfError as error:
        if error.code not in CODES or not error.code.startswith("tsa-"):
            raise AssertionError(error.code) from error
        return
    if IMPRINT not in token.der or token.certificate != pdf_signing.authority().der:
        raise AssertionError("a token passed that is not ours")


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=8000", corpus("timestamp", SEEDS)], one_input)
    atheris.Fuzz()
