"""Whole signatures against warm PDFBox: one page and a scan of 25 MB, invisible, the same file, key and certificates.

Both by processor time of their processes, collectors included; PDFBox has signed four hundred files before. Both read a file and write
one, in memory where the machine offers it, with the key in the same process. `stored` is what our two passes take: the prepared file is
laid down for a person to approve, read again and proved, and copied with its signature.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from signing.pdf.placement import FieldKind
from signing.pdf.prepare import RouteField
from tests.bench.measure import Row, at_most, show
from tests.bench.pdf_levels import sign_ours, sign_stored
from tests.fakes import pdf_signing as fakes
from tests.fakes import pdfbox, pdfs

_ROUNDS = 7
_UNSEEN = (RouteField("HT_SIG1", FieldKind.PERSON),)


def rows() -> Iterator[Row]:
    why = pdfbox.missing()
    if why:
        yield {"bench": "pdf: against warm PDFBox", "not_measured": why}
        return
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        folder = Path(name)
        page, scan = folder / "page.pdf", folder / "scan.pdf"
        page.write_bytes(pdfs.vietnamese())
        scan.write_bytes(pdfs.scan(25_000_000))
        for kind, holder in (("P-256", fakes.leader()), ("RSA-3072", fakes.clerk())):
            with pdfbox.running(holder) as peer:
                yield _row(f"{kind}, one page", page, folder, holder, peer, warm=400, calls=20, goal=0.3)
                if holder is fakes.leader():
                    yield _row(f"{kind}, a scan of 25 MB", scan, folder, holder, peer, warm=10, calls=2, goal=0.4)


def _row(
    label: str,
    source: Path,
    folder: Path,
    holder: fakes.Holder,
    peer: pdfbox.PdfBox,
    *,
    warm: int,
    calls: int,
    goal: float,
) -> Row:
    out = folder / "theirs.pdf"
    peer.sign(source, out, count=warm)
    taken: list[tuple[float, float, float]] = []
    for _ in range(_ROUNDS):
        ours, stored = (_spent(sign, calls, source, folder, holder) for sign in (sign_ours, sign_stored))
        taken.append((ours, stored, peer.sign(source, out, count=calls)))
    mine, twice, against = (statistics.median(column) for column in zip(*taken, strict=True))
    two = {"stored_ms": round(twice, 2), "stored_ratio": round(twice / against, 2)}
    return at_most(f"pdf: B-B invisible, {label}, against warm PDFBox", mine, against, "ms", goal, **two)


def _spent(sign: Callable[..., None], calls: int, source: Path, folder: Path, holder: fakes.Holder) -> float:
    """Milliseconds of processor time of one signature."""
    gc.collect()
    begin = time.process_time_ns()
    for _ in range(calls):
        sign(source, folder, holder, _UNSEEN)
    return (time.process_time_ns() - begin) / 1e6 / calls


if __name__ == "__main__":
    for row in rows():
        show(row)
