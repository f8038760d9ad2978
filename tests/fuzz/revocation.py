"""Fuzz target: answers about a certificate's status: OCSP and revocation lists. Only `PdfError` comes out, and "good" comes from the
issuer's own bytes alone (RFC 6960, RFC 5280; threats B4, D6).

`python tests/fuzz/revocation.py [libFuzzer options] [corpus]`.
"""

import sys

import atheris

with atheris.instrument_imports(include=["signing.pdf", "asn1crypto"]):
    from signing.pdf.errors import CODES, PdfError
    from signing.pdf.revocation import CertificateState, check_crl, check_ocsp, path_of, sources

from tests.fakes import pdf_signing
from tests.fakes.fuzz_corpus import corpus
from tests.fakes.revocation import ocsp_answer, responder_for, revocation_list

OWN, ABOVE = pdf_signing.leader(), pdf_signing.root()
NOW_US = pdf_signing.NOW_US
REVOKED = {OWN.certificate.serial_number: (NOW_US - 1_000_000, None)}
SEEDS = [
    b"\0" + ocsp_answer(OWN, ABOVE, at_us=NOW_US),
    b"\0" + ocsp_answer(OWN, ABOVE, at_us=NOW_US, responder=responder_for(ABOVE)),
    b"\1" + revocation_list(ABOVE, at_us=NOW_US),
    b"\1" + revocation_list(ABOVE, at_us=NOW_US, revoked=REVOKED),
    b"\2" + OWN.der,
]
SIGNED = {seed[1:] for seed in SEEDS}


def one_input(data: bytes) -> None:
    kind, body = data[:1], data[1:]
    try:
        if kind == b"\2":
            sources(body)
            path_of(OWN.der, [body])
            return
        check = check_crl if kind == b"\1" else check_ocsp
        found = check(body, OWN.der, ABOVE.der, at_us=NOW_US, now_us=NOW_US)
    except PdfError as error:
        if error.code not in CODES or not error.code.startswith("status-"):
            raise AssertionError(error.code) from error
        return
    # Bytes outside what is signed may differ (an answer's certificates, trailing fields); a stranger's answer may not pass.
    if found.state is CertificateState.GOOD and not any(part in body for part in (seed[40:90] for seed in SIGNED)):
        raise AssertionError("an answer passed that the issuer did not sign")


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=8000", corpus("revocation", SEEDS)], one_input)
    atheris.Fuzz()
