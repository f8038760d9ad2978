"""Figures of the exchange, one JSON line each: `python -m tests.bench.exchange`.

`exchange-write` and `exchange-read` of a 50 MB PDF against the bare work that no reader or writer can avoid (deflate or copy,
base64, SHA-256 in memory); `exchange-memory` is the peak of both over the attachment's size. `exchange-build-2MB` against lxml with the whole
packet as a tree, `exchange-parse-2MB` against lxml on the skeleton, base64 and inflate. `exchange-agencies-*` of a list as long as the
nation's stand in `agencies`. `exchange-drain-100kB`: packets a second that a worker sends
to the stand-in (a process of its own) after an outage, against 50; beside it the CPU time of both for each.
"""

import asyncio
import base64
import hashlib
import io
import random
import re
import statistics
import tempfile
import time
import tracemalloc
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import uvloop
from lxml import etree

from server.exchange import edxml
from server.exchange.model import DocumentPacket, MessageHeader, Organisation
from server.exchange.xmlread import NAMESPACE
from tests.bench.agencies import agency_rows
from tests.bench.measure import Row, at_least, at_most, medians_ms, show, times_faster
from tests.faults.exchange_loops import outage

SIZE = 50 << 20
SMALL = 2 << 20
ROUNDS = 5


def packet_of(path: Path) -> DocumentPacket:
    sender = Organisation(organ_id="X01")
    file = edxml.attachment(path, "Bản quét.pdf", "application/pdf", content_id=str(uuid.UUID(int=1)))
    return DocumentPacket(header=MessageHeader(sender=sender, receivers=(sender,)), attachments=(file,))


def bare_write(data: bytes, out: Path) -> None:
    encoded = base64.b64encode(data)
    hashlib.sha256(data)
    hashlib.sha256(encoded)
    out.write_bytes(encoded)


def bare_read(encoded: Path, out: Path) -> None:
    data = base64.b64decode(encoded.read_bytes(), validate=True)
    hashlib.sha256(data)
    out.write_bytes(data)


def tree_write(skeleton: bytes, source: Path, out: Path) -> None:
    """The packet as most programs build it: the file zipped and encoded into the text of one element of a tree."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{uuid.UUID(int=1)}.pdf", source.read_bytes())
    root = etree.fromstring(skeleton)
    next(root.iter(f"{{{NAMESPACE}}}ContentTransferEncoded")).text = base64.b64encode(buffer.getvalue()).decode()
    data = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    hashlib.sha256(data)
    out.write_bytes(data)


def floor_read(skeleton: bytes, payload: bytes, out: Path) -> None:
    etree.fromstring(skeleton)
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(payload, validate=True))) as archive:
        data = archive.read(archive.namelist()[0])
    hashlib.sha256(data)
    out.write_bytes(data)


def timed(work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def small_rows(folder: Path) -> Iterator[Row]:
    data = b"%PDF-1.4\n" + random.Random(2).randbytes(SMALL)
    (folder / "small.pdf").write_bytes(data)
    packet = packet_of(folder / "small.pdf")
    edxml.write(packet, folder / "small")
    text = (folder / "small").read_bytes()
    found = re.search(rb"(<edXML:ContentTransferEncoded[^>]*>)([^<]*)", text)
    assert found is not None
    skeleton = text[: found.end(1)] + text[found.end(2) :]
    into = folder / "small-in"
    into.mkdir()
    ours, tree, read, floor = medians_ms(
        (
            lambda: edxml.write(packet, folder / "small"),
            lambda: tree_write(skeleton, folder / "small.pdf", folder / "tree"),
            lambda: edxml.parse(folder / "small", into),
            lambda: floor_read(skeleton, found[2], folder / "floor"),
        )
    )
    yield times_faster("exchange-build-2MB", ours, tree, "ms", 5)
    yield at_most("exchange-parse-2MB", read, floor, "ms", 1.5)


def large_rows(folder: Path) -> Iterator[Row]:
    data = b"%PDF-1.4\n" + random.Random(1).randbytes(SIZE)
    (folder / "a.pdf").write_bytes(data)
    packet = packet_of(folder / "a.pdf")
    into = folder / "in"
    into.mkdir()
    figures: dict[str, list[float]] = {name: [] for name in ("write", "bare write", "read", "bare read")}
    for _ in range(ROUNDS):
        figures["write"].append(timed(lambda: edxml.write(packet, folder / "p")))
        figures["bare write"].append(timed(lambda: bare_write(data, folder / "b64")))
        figures["read"].append(timed(lambda: edxml.parse(folder / "p", into)))
        figures["bare read"].append(timed(lambda: bare_read(folder / "b64", folder / "back")))
    medians = {name: statistics.median(values) for name, values in figures.items()}
    yield at_most("exchange-write-50MB", medians["write"], medians["bare write"], "s", 3.0)
    yield at_most("exchange-read-50MB", medians["read"], medians["bare read"], "s", 3)
    tracemalloc.start()
    edxml.write(packet, folder / "p")
    edxml.parse(folder / "p", into)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    yield at_most("exchange-memory-50MB", peak, len(data), "bytes", 2.5)


async def drain_rows(folder: Path) -> Iterator[Row]:
    runs = [await outage(folder / f"drain{turn}", documents=200, hours=0.05, seed=turn) for turn in range(ROUNDS)]
    rate, cpu_ms, axis_ms = (
        statistics.median(float(str(run[name])) for run in runs) for name in ("drain_per_s", "drain_cpu_ms_each", "axis_cpu_ms_each")
    )  # fmt: skip
    return iter([at_least("exchange-drain-100kB", rate, 50, "packets/s", 1, cpu_ms=cpu_ms, axis_cpu_ms=axis_ms)])


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from small_rows(folder)
        yield from large_rows(folder)
        yield from asyncio.run(agency_rows(folder))
        yield from uvloop.run(drain_rows(folder))  # as the product's own commands run


if __name__ == "__main__":
    for row in rows():
        show(row)
