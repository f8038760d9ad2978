"""Placing a signature: our writer against pyHanko's, both with the same ready-made CMS, files in and out.

`rows()` gives one dictionary per measured pair; both sides run interleaved in this process, medians are compared.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields as hanko_fields
from pyhanko.sign.signers import cms_embedder
from pyhanko.sign.signers.pdf_byterange import SignatureObject

from signing.pdf.assemble import assemble
from signing.pdf.placement import FieldKind, Place
from signing.pdf.prepare import Prepared, RouteField, prepare
from signing.pdf.reader import Document
from signing.pdf.writer import Addition
from tests.bench.measure import Row, at_most, medians_ms, show
from tests.fakes import pdf_signing as fakes
from tests.fakes.pdfs import HONEST

_ROUTE = (RouteField("HT_SIG1", FieldKind.PERSON, Place(-1, 0.6, 0.85, 0.3, 0.08)),)


def _ours(source: Path, folder: Path) -> None:
    ready, out = folder / "ready", folder / "ours.pdf"
    info = prepare(source, fakes.request(0, route=_ROUTE), ready)
    assemble(ready, info, fakes.cms_for(fakes.leader(), info.tbs), out)
    ready.unlink()
    out.unlink()


def _assemble_only(ready: Path, info: Prepared, folder: Path) -> None:
    assemble(ready, info, fakes.cms_for(fakes.leader(), info.tbs), folder / "assembled")
    (folder / "assembled").unlink()


def _prepare_only(source: Path, folder: Path) -> None:
    prepare(source, fakes.request(0, route=_ROUTE), folder / "only")
    (folder / "only").unlink()


def _copy_hash(source: Path, folder: Path) -> None:
    """The least that any preparation does: one copy and one SHA-256 of the file."""
    with source.open("rb") as file, (folder / "copy").open("wb") as out:
        size = source.stat().st_size
        done = 0
        while done < size:
            done += os.copy_file_range(file.fileno(), out.fileno(), size - done, done, done)
        file.seek(0)
        hashlib.file_digest(file, "sha256")
    (folder / "copy").unlink()


def _pyhanko(source: Path, folder: Path) -> None:
    out = folder / "hanko.pdf"
    with source.open("rb") as file, out.open("w+b") as target:
        writer = IncrementalPdfFileWriter(file)
        spec = hanko_fields.SigFieldSpec("HT_SIG1", on_page=-1, box=(350, 60, 530, 124))
        hanko_fields.append_signature_field(writer, spec)
        steps = cms_embedder.PdfCMSEmbedder().write_cms("HT_SIG1", writer)
        next(steps)
        steps.send(
            cms_embedder.SigObjSetup(
                sig_placeholder=SignatureObject(
                    subfilter=hanko_fields.SigSeedSubFilter.PADES, bytes_reserved=2 * (4096 + 16 * 1024)
                )
            )
        )
        document_digest, _out = steps.send(
            cms_embedder.SigIOSetup(md_algorithm="sha256", in_place=False, output=target)
        )
        steps.send(fakes.cms_for(fakes.leader(), document_digest.document_digest))
    out.unlink()


def _row(name: str, ours: float, against: float, goal: float) -> Row:
    return at_most(name, ours, against, "ms", goal)


def _ten_megabytes() -> bytes:
    plain = HONEST["plain"]()
    addition = Addition(Document(plain).head)
    addition.add_stream(b"/Type /XObject /Subtype /Image", os.urandom(10_000_000))
    return plain + addition.render(len(plain))[0]


def rows(rounds: int = 9) -> list[Row]:
    """Signing a file (prepare, CMS, assemble) against pyHanko's placing, and preparation against one copy and hash."""
    made: list[Row] = []
    # Files lie in memory where the machine offers it, so that the disk is not what is measured.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        files = {"1 page": HONEST["vietnamese"](), "117 pages": HONEST["117-pages"](), "10 MB": _ten_megabytes()}
        for label, data in files.items():
            source = folder / "source.pdf"
            source.write_bytes(data)
            ready = folder / "standing"
            info = prepare(source, fakes.request(0, route=_ROUTE), ready)
            ours, assembling, only, floor, hanko = medians_ms(
                [
                    lambda: _ours(source, folder),  # noqa: B023 -- called within this turn
                    lambda: _assemble_only(ready, info, folder),  # noqa: B023
                    lambda: _prepare_only(source, folder),  # noqa: B023
                    lambda: _copy_hash(source, folder),  # noqa: B023
                    lambda: _pyhanko(source, folder),  # noqa: B023
                ],
                rounds,
            )
            # Both stages copy and hash the file, since the approved bytes are proved again before they are named; with
            # a large file that is all they do.
            if label == "10 MB":
                made.append(_row(f"pdf: prepare, {label}, against one copy and one SHA-256", only, floor, 1.5))
                made.append(_row(f"pdf: CMS and assemble, {label}, against the same", assembling, floor, 1.5))
            else:
                made.append(_row(f"pdf: prepare, CMS, assemble, {label}, against pyHanko placing", ours, hanko, 1.0))
                made.append(_row(f"pdf: prepare, {label}, against the same", only, hanko, 1.0))
            ready.unlink()
    return made


if __name__ == "__main__":
    for row in rows():
        show(row)
