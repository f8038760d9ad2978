"""Figures of the structural pass, the agreement of two parsers and the comparison, against one `qpdf --check`
process.

`rows()` gives one dictionary a figure; both sides are measured in the same run, interleaved, as medians. qpdf only
reads the structure and decodes the streams, in C++; ours also judges what is drawn. The goals say how far behind we
may be.
"""

import asyncio
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asn1crypto import x509 as asn1_x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation.ades import ades_lta_validation
from pyhanko.sign.validation.policy_decl import (
    PdfSignatureValidationSpec,
    RevinfoOnlineFetchingRule,
    RevocationInfoGatheringSpec,
    SignatureValidationSpec,
)
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.ltv.types import ValidationTimingInfo
from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy
from pyhanko_certvalidator.registry import SimpleTrustManager

from signing.pdf.compare import Expected, compare
from signing.pdf.prepare import FieldKind, PrepareRequest, RouteField, StampText, prepare
from signing.pdf.safety import inspect
from signing.pdf.text_agreement import agreement
from signing.pdf.validation import Trust, validate
from tests.bench.measure import at_most, medians_ms, show
from tests.fakes import pdf_signing as fakes
from tests.fakes import pdfs, products
from tests.fakes.revocation import revocation_list

ROUNDS = 7
LIMITS = {"1 page": (5.0, 5.0), "2,000 pages": (400.0, 40.0)}  # ms for the structural pass and the comparison
ROUTE = (RouteField("HT_SIG1", FieldKind.PERSON), RouteField("HT_SEAL", FieldKind.SEAL))


def measure(ours: Callable[[], object], against: Callable[[], object]) -> tuple[float, float]:
    """Medians in milliseconds."""
    mine, theirs = medians_ms([ours, against], ROUNDS)
    return mine, theirs


def row(name: str, ours: float, against: float, goal: float) -> dict[str, Any]:
    return at_most(name, ours, against, "ms", goal)


def rows() -> Iterator[dict[str, Any]]:
    files = {
        "1 page": (pdfs.vietnamese(), 1.0, 1.0, 1.0),
        "117 pages": (pdfs.many_pages(117), 2.0, 3.0, 1.0),
        "2,000 pages": (pdfs.many_pages_compressed(2000), 3.5, 5.0, 1.5),
        "a scan of 25 MB": (pdfs.scan(25_000_000), 1.0, 1.0, 1.0),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, (data, structure_goal, agreement_goal, compare_goal) in files.items():
            path, child = folder / "in.pdf", folder / "child.pdf"
            path.write_bytes(data)
            child.unlink(missing_ok=True)
            request = PrepareRequest(
                route=ROUTE, signer=0, stamp=StampText("Nguyễn Văn Mẫu"), now_us=1_795_000_000_000_000, cms_size=4096
            )
            expected = Expected.of(prepare(path, request, child))

            def qpdf(path: Path = path) -> None:
                subprocess.run(["qpdf", "--check", path], capture_output=True, check=True)

            ours, against = measure(lambda path=path: inspect(path), qpdf)
            yield row(f"pdf: structural pass, {label} / qpdf --check", ours, against, structure_goal)
            ours, against = measure(lambda path=path: agreement(path), qpdf)
            yield row(f"pdf: agreement of two parsers, {label} / qpdf --check", ours, against, agreement_goal)

            def comparison(path: Path = path, child: Path = child, expected: Expected = expected) -> None:
                compare(path, child, expected)

            ours, against = measure(comparison, qpdf)
            yield row(f"pdf: comparison of a revision, {label} / qpdf --check", ours, against, compare_goal)
            if label in LIMITS:
                structure_ms, compare_ms = LIMITS[label]
                ours, compared = measure(lambda path=path: inspect(path), comparison)
                yield row(f"pdf: structural pass, {label} / {structure_ms:g} ms", ours, structure_ms, 1.0)
                yield row(f"pdf: comparison of a revision, {label} / {compare_ms:g} ms", compared, compare_ms, 1.0)
        yield from _validation(folder)


def _validation(folder: Path) -> Iterator[dict[str, Any]]:
    """Every signature of a B-LTA file: our whole validation, against pyHanko's of the same signatures and time stamp."""
    now_us = max(fakes.NOW_US, time.time_ns() // 1000)
    crl = revocation_list(fakes.root(), at_us=now_us - 60_000_000)
    policy = CertValidationPolicySpec(
        trust_manager=SimpleTrustManager.build(trust_roots=[asn1_x509.Certificate.load(fakes.root().der)]),
        revinfo_policy=CertRevTrustPolicy(REQUIRE_REVINFO),
    )
    offline = RevocationInfoGatheringSpec(online_fetching_rule=RevinfoOnlineFetchingRule.LOCAL_ONLY)
    spec = PdfSignatureValidationSpec(SignatureValidationSpec(policy, revinfo_gathering_policy=offline))
    moment = datetime.fromtimestamp(now_us / 1e6 + 60, UTC)
    timing = ValidationTimingInfo(validation_time=moment, best_signature_time=moment, point_in_time_validation=True)
    trust = Trust(roots=(fakes.root().der,))
    for times in (1, 3):
        data = products.hanko(pdfs.vietnamese(), times=times, archived=True, crls=(crl,))
        path = folder / f"lta-{times}.pdf"
        path.write_bytes(data)
        result = validate(path, trust, now_us + 60_000_000)
        assert result.valid, result

        def ours(path: Path = path) -> None:
            validate(path, trust, now_us + 60_000_000)

        def theirs(path: Path = path) -> None:
            with path.open("rb") as file:
                for embedded in PdfFileReader(file).embedded_regular_signatures:
                    found = asyncio.run(ades_lta_validation(embedded, spec, timing))
                    assert str(found.ades_subindic) == "AdESPassed.OK", found.ades_subindic

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mine, against = measure(ours, theirs)
        yield row(f"pdf: validation of a B-LTA file, {times} signatures / pyHanko", mine, against, 0.5)


if __name__ == "__main__":
    for figure in rows():
        show(figure)
