"""A PDF of somebody else's archive: signed (B-LT) and under a document time stamp, both by pyHanko (EN 319 142-1, B-LTA)."""

import time

from tests.fakes import pdf_signing, pdfs, products
from tests.fakes.revocation import revocation_list


def lta(times: int = 1) -> bytes:
    now_us = max(pdf_signing.NOW_US, time.time_ns() // 1000)
    crl = revocation_list(pdf_signing.root(), at_us=now_us - 60_000_000)
    made = products.hanko(pdfs.vietnamese(), times=times, archived=True, crls=(crl,))
    for name in (b"/DSS", b"/VRI", b"/DocTimeStamp", b"ETSI.RFC3161", b"ETSI.CAdES.detached"):
        assert name in made, name
    return made
