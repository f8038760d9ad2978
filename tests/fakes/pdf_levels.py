"""From a signed file to B-LTA with the sample PKI: what a server gathers, made here at a time of our choice."""

from __future__ import annotations

from pathlib import Path

from signing.pdf.archive import prepare_archive, signed_with
from signing.pdf.assemble import assemble
from signing.pdf.compare import compare_archive
from signing.pdf.prepare import Prepared
from signing.pdf.revocation import ValidationData, path_of
from signing.pdf.timestamp import check_reply, timestamp_request
from tests.fakes import pdf_signing as fakes
from tests.fakes.revocation import revocation_list


def gathered(path: Path, at_us: int) -> ValidationData:
    """Certificates of every path, and the sample root's list, which covers all of them."""
    certificates: list[bytes] = []
    for one in signed_with(path):
        if not one.field.startswith("HT_"):
            continue  # what the file brought along ends at roots that nobody here knows
        pool = (*one.certificates, *one.token, fakes.root().der)
        for leaf in (one.certificate, *one.token[:1]):
            certificates += path_of(leaf, pool)
    return ValidationData(tuple(dict.fromkeys(certificates)), (), (revocation_list(fakes.root(), at_us=at_us),))


def stamped(parent: Path, out: Path, data: ValidationData, *, at_us: int, tsa: fakes.Holder | None = None) -> Prepared:
    """Write `parent` as B-LTA to `out`, compared with it."""
    prepared = out.with_suffix(".prepared")
    info = prepare_archive(parent, data, prepared, room=16 * 1024)
    compare_archive(parent, prepared)
    reply = fakes.stamp_reply(timestamp_request(info.tbs, 99), at_us, tsa=tsa)
    token = check_reply(reply, info.tbs, 99, trust=fakes.trust(), now_us=at_us)
    assemble(prepared, info, token.der, out)
    prepared.unlink()
    return info
