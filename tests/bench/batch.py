"""A batch of 50 without time stamps: all prepared, signed by one activation of the real signer with one PIN, and assembled.

Against the sum of its parts, each measured alone in the same run (fifty times preparing, one activation of fifty digests, fifty times CMS and
assembling), and against pyHanko signing the same fifty files one after the other with a key in memory. Argon2id at its smallest; wall time, as the
signer works in a process of its own.
"""

from __future__ import annotations

import asyncio
import gc
import io
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import signers
from pyhanko.sign.fields import SigSeedSubFilter

from signing.client import Activation, cms
from signing.pdf.assemble import assemble
from signing.pdf.placement import FieldKind, Place
from signing.pdf.prepare import Prepared, RouteField, prepare
from tests.bench.measure import Row, at_most, show, times_faster
from tests.bench.pdf_levels import hanko_signer
from tests.fakes import pdf_signing as fakes
from tests.fakes.pdfs import HONEST
from tests.fakes.phone import Phone, item
from tests.fakes.signer import SignerHost, enrol, now_us

COUNT = 50
ROUNDS = 5
_ROUTE = (RouteField("HT_SIG1", FieldKind.PERSON, Place(-1, 0.6, 0.85, 0.3, 0.08)),)


class _Batch:
    """The files of a batch in a folder, and its three stages."""

    def __init__(self, folder: Path, host: SignerHost, phone: Phone) -> None:
        self.folder = folder
        self.client = host.client()
        self.phone = phone
        self.source = folder / "source.pdf"
        self.source.write_bytes(HONEST["vietnamese"]())

    def prepared(self) -> list[tuple[Path, Prepared]]:
        made = []
        for number in range(COUNT):
            path = self.folder / f"ready-{number}"
            path.unlink(missing_ok=True)
            # Another second each, or all would have one digest, which an activation takes once.
            made.append(
                (
                    path,
                    prepare(
                        self.source, fakes.request(0, route=_ROUTE, now_us=fakes.NOW_US + number * 1_000_000), path
                    ),
                )
            )
        return made

    async def signed(self, ready: list[tuple[Path, Prepared]]) -> Activation:
        grant = await self.client.challenge(self.phone.credential, self.phone.device)
        approval = self.phone.approve(grant, [item(info.tbs) for _path, info in ready], now_us=now_us())
        return await self.client.activate(*approval)

    def assembled(self, ready: list[tuple[Path, Prepared]], activation: Activation) -> None:
        for (path, info), container in zip(ready, cms(activation), strict=True):
            out = path.with_suffix(".pdf")
            out.unlink(missing_ok=True)
            assemble(path, info, container, out)

    async def whole(self) -> None:
        ready = self.prepared()
        self.assembled(ready, await self.signed(ready))

    async def parts(self) -> float:
        """Seconds of the stages, each begun when the one before had long ended."""
        spent = 0.0
        begin = time.perf_counter()
        ready = self.prepared()
        spent += time.perf_counter() - begin
        await asyncio.sleep(0.05)
        begin = time.perf_counter()
        activation = await self.signed(ready)
        spent += time.perf_counter() - begin
        await asyncio.sleep(0.05)
        begin = time.perf_counter()
        self.assembled(ready, activation)
        return spent + time.perf_counter() - begin


async def _rows(folder: Path) -> list[Row]:
    host = SignerHost(folder / "signer", argon=(8, 1, 1)).start()
    try:
        client = host.client()
        batch = _Batch(folder, host, await enrol(host, client, host.officer()))
        hanko = hanko_signer(fakes.leader())
        taken: list[tuple[float, float, float]] = []
        for _ in range(ROUNDS + 1):
            gc.collect()
            begin = time.perf_counter()
            await batch.whole()
            ours = time.perf_counter() - begin
            parts = await batch.parts()
            begin = time.perf_counter()
            await _hanko_loop(batch.source.read_bytes(), hanko)
            taken.append((ours * 1e3, parts * 1e3, (time.perf_counter() - begin) * 1e3))
        await client.close()
        await batch.client.close()
    finally:
        host.stop()
    ours, parts, loop = (statistics.median(column) for column in zip(*taken[1:], strict=True))
    said = f"batch of {COUNT}, P-256, no time stamps"
    return [
        at_most(f"{said} / the sum of its parts", ours, parts, "ms", 1.5),
        times_faster(f"{said} / pyHanko one after the other", ours, loop, "ms", 6.0),
    ]


async def _hanko_loop(data: bytes, signer: signers.SimpleSigner) -> None:
    for number in range(COUNT):
        meta = signers.PdfSignatureMetadata(
            field_name=f"S{number}", md_algorithm="sha256", subfilter=SigSeedSubFilter.PADES
        )
        writer = IncrementalPdfFileWriter(io.BytesIO(data))
        await signers.PdfSigner(meta, signer).async_sign_pdf(writer)


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        yield from asyncio.run(_rows(Path(name)))


if __name__ == "__main__":
    for row in rows():
        show(row)
