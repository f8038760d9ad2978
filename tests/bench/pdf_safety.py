"""Figures of the structural pass, the agreement of two parsers and the comparison, against one `qpdf --check`
process.

`rows()` gives one dictionary a figure; both sides are measured in the same run, interleaved, as medians. qpdf only
reads the structure and decodes the streams, in C++; ours also judges what is drawn. The goals say how far behind we
may be.
"""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from signing.pdf.compare import Expected, compare
from signing.pdf.prepare import FieldKind, PrepareRequest, RouteField, StampText, prepare
from signing.pdf.safety import inspect
from signing.pdf.text_agreement import agreement
from tests.bench.measure import at_most, medians_ms, show
from tests.fakes import pdfs

ROUNDS = 7
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


if __name__ == "__main__":
    for figure in rows():
        show(figure)
