"""Whole signatures against pyHanko as it comes: B-B invisible on P-256 and RSA-3072, with a Vietnamese stamp, and B-LTA.

Both sides sign the same file with the same keys and certificates, read it from memory and write a new one. `ms` are medians of processor
time, as neither side waits for anything; both run in turn in this process.
"""

from __future__ import annotations

import asyncio
import gc
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from fontTools import subset
from fontTools.ttLib import TTFont
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields as hanko_fields
from pyhanko.sign import signers
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko_certvalidator.registry import SimpleCertificateStore

from signing.pdf.appearance import DEFAULT_FONT
from signing.pdf.archive import prepare_archive
from signing.pdf.assemble import assemble
from signing.pdf.placement import FieldKind, Place
from signing.pdf.prepare import Prepared, RouteField, prepare, ready
from tests.bench.measure import Row, at_most, show, times_faster
from tests.fakes import pdf_signing as fakes
from tests.fakes.pdf_levels import gathered
from tests.fakes.pdfs import HONEST

_STAMPED = (RouteField("HT_SIG1", FieldKind.PERSON, Place(-1, 0.6, 0.85, 0.3, 0.08)),)
_UNSEEN = (RouteField("HT_SIG1", FieldKind.PERSON),)


def _cpu_ms(sides: Sequence[Callable[[], object]], rounds: int, *, calls: int = 5) -> list[float]:
    """Medians of processor time of a call of each side, taken in turn, `calls` together; the first turn fills caches and is not counted."""
    taken: list[list[float]] = [[] for _ in sides]
    for turn in range(rounds + 1):
        for spent, side in zip(taken, sides, strict=True):
            gc.collect()
            begin = time.process_time_ns()
            for _ in range(calls):
                side()
            if turn:
                spent.append((time.process_time_ns() - begin) / 1e6 / calls)
    return [statistics.median(spent) for spent in taken]


def sign_ours(source: Path, folder: Path, holder: fakes.Holder, route: tuple[RouteField, ...]) -> None:
    """One pass: the file is copied and hashed once, and its hole filled where it stands, as the archive's stamp is by the server."""
    out = folder / "ours.pdf"
    revision = ready(source, fakes.request(0, route=route), out)
    revision.fill(fakes.cms_for(holder, revision.info.tbs))
    out.unlink()


def sign_stored(source: Path, folder: Path, holder: fakes.Holder, route: tuple[RouteField, ...]) -> None:
    """Two passes: the prepared file lies somewhere while a person reads and approves, and is proved again when it is assembled."""
    prepared, out = folder / "ready", folder / "ours.pdf"
    info = prepare(source, fakes.request(0, route=route), prepared)
    assemble(prepared, info, fakes.cms_for(holder, info.tbs), out)
    prepared.unlink()
    out.unlink()


def _after_preparation(prepared: Path, info: Prepared, folder: Path) -> None:
    assemble(prepared, info, fakes.cms_for(fakes.leader(), info.tbs), folder / "after")
    (folder / "after").unlink()


@cache
def hanko_signer(holder: fakes.Holder) -> signers.SimpleSigner:
    store = SimpleCertificateStore()
    store.register(asn1_x509.Certificate.load(fakes.root().der))
    der = holder.key.private_bytes(
        fakes.serialization.Encoding.DER, fakes.serialization.PrivateFormat.PKCS8, fakes.serialization.NoEncryption()
    )
    return signers.SimpleSigner(
        signing_cert=asn1_x509.Certificate.load(holder.der),
        signing_key=asn1_keys.PrivateKeyInfo.load(der),
        cert_registry=store,
        prefer_pss=True,
    )


def _pyhanko(source: Path, folder: Path, holder: fakes.Holder, *, stamp: bool) -> None:
    out = folder / "hanko.pdf"
    metadata = signers.PdfSignatureMetadata(field_name="HT_SIG1", subfilter=hanko_fields.SigSeedSubFilter.PADES)
    spec = hanko_fields.SigFieldSpec("HT_SIG1", on_page=-1, box=(350, 60, 530, 124)) if stamp else None
    if stamp:
        _fresh_font("Nguyễn Văn Mẫu CHỦ TỊCH Ký số: 0123456789/+")
    with source.open("rb") as file, out.open("w+b") as target:
        writer = IncrementalPdfFileWriter(file)
        asyncio.run(
            signers.PdfSigner(metadata, signer=hanko_signer(holder), new_field_spec=spec).async_sign_pdf(
                writer, output=target
            )
        )
    out.unlink()


def _fresh_font(text: str) -> None:
    """What pyHanko's embedding does with a font for each signature, by the same library.

    Its own embedding needs a text shaper that nothing else here needs; shaping and drawing are left out, to its advantage.
    """
    font = TTFont(DEFAULT_FONT)
    cut = subset.Subsetter(subset.Options(layout_features=[], retain_gids=True))
    cut.populate(text=text)
    cut.subset(font)
    font.save(io.BytesIO())


def _archive(source: Path, folder: Path, data: Any) -> None:
    prepare_archive(source, data, folder / "archive", room=16 * 1024)
    (folder / "archive").unlink()


def _pyhanko_store(source: Path, folder: Path, data: Any) -> None:
    from asn1crypto import crl

    target = folder / "store.pdf"
    target.write_bytes(source.read_bytes())
    with target.open("r+b") as file:
        writer = IncrementalPdfFileWriter(file)
        DocumentSecurityStore.supply_dss_in_writer(
            writer,
            None,
            certs=[asn1_x509.Certificate.load(one) for one in data.certificates],
            crls=[crl.CertificateList.load(one) for one in data.crls],
        )
        writer.write_in_place()
    target.unlink()


def _with_field(folder: Path) -> Path:
    """One page with an empty invisible field, which both sides fill."""
    source = folder / "field.pdf"
    (folder / "plain.pdf").write_bytes(HONEST["vietnamese"]())
    with (folder / "plain.pdf").open("rb") as file, source.open("wb") as out:
        writer = IncrementalPdfFileWriter(file)
        hanko_fields.append_signature_field(writer, hanko_fields.SigFieldSpec("HT_SIG1"))
        writer.write(out)
    return source


def rows(rounds: int = 9) -> list[Row]:
    """One signature from the file to the signed file, both sides; and what is left to do after preparation."""
    made: list[Row] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        source = _with_field(folder)
        info = prepare(source, fakes.request(0, route=_UNSEEN), folder / "standing")
        for label, holder, goal in (("P-256", fakes.leader(), 15), ("RSA-3072", fakes.clerk(), 40)):
            ours, hanko = _cpu_ms(
                [
                    lambda: sign_ours(source, folder, holder, _UNSEEN),  # noqa: B023 -- called within this turn
                    lambda: _pyhanko(source, folder, holder, stamp=False),  # noqa: B023
                ],
                rounds,
            )
            bench = f"pdf: B-B invisible, {label}, in process, against pyHanko as it comes"
            made.append(times_faster(bench, ours, hanko, "ms", goal))
        (after,) = _cpu_ms([lambda: _after_preparation(folder / "standing", info, folder)], 4 * rounds)
        made.append(at_most("pdf: signing after preparation, one page, against 1 ms", after, 1.0, "ms", 1.0))
        ours, hanko = _cpu_ms(
            [
                lambda: sign_ours(folder / "plain.pdf", folder, fakes.leader(), _STAMPED),
                lambda: _pyhanko(folder / "plain.pdf", folder, fakes.leader(), stamp=True),
            ],
            rounds,
        )
        made.append(
            times_faster("pdf: B-B with a Vietnamese stamp, against pyHanko and a fresh font", ours, hanko, "ms", 20)
        )
        made += _archive_rows(folder, rounds)
    return made


def _archive_rows(folder: Path, rounds: int) -> list[Row]:
    signed, _info = fakes.sign(folder / "plain.pdf", folder, fakes.request(0, route=_STAMPED), fakes.leader())
    data = gathered(signed, fakes.NOW_US)
    ours, hanko = _cpu_ms(
        [lambda: _archive(signed, folder, data), lambda: _pyhanko_store(signed, folder, data)], rounds
    )
    # Ours also places the document time stamp's hole and hashes the file for it.
    return [times_faster("pdf: store and archive stamp's hole, against pyHanko's store alone", ours, hanko, "ms", 1.0)]


if __name__ == "__main__":
    for row in rows():
        show(row)
