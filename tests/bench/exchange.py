"""Figures of the exchange, one JSON line each: `python -m tests.bench.exchange`.

`exchange-write` and `exchange-read` of a 50 MB PDF against the bare work that no reader or writer can avoid (deflate or copy,
base64, SHA-256 in memory); `exchange-memory` is the peak of both over the attachment's size. `exchange-build-2MB` against lxml with the whole
packet as a tree, `exchange-parse-2MB` against lxml on the skeleton, base64 and inflate. `exchange-agencies-*` of a list as long as the
nation's: taken over against `executemany` of the same rows and against ten seconds, one keystroke against a scan. `exchange-drain-100kB`: packets a second that a worker sends
to the stand-in (a process of its own) after an outage, against 50; beside it the CPU time of both for each.
"""

import asyncio
import base64
import hashlib
import io
import random
import re
import sqlite3
import statistics
import tempfile
import time
import tracemalloc
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import uvloop
from lxml import etree

from server.db import migrate, open_database
from server.exchange import edxml
from server.exchange.axis import Agency
from server.exchange.directory import queries
from server.exchange.directory.changes import changes
from server.exchange.directory.service import AgencyDirectory
from server.exchange.model import DocumentPacket, MessageHeader, Organisation
from server.exchange.xmlread import NAMESPACE
from tests.bench.measure import Row, at_least, at_most, medians_ms, medians_ms_async, show, times_faster
from tests.faults.exchange_loops import outage

SIZE = 50 << 20
SMALL = 2 << 20
ROUNDS = 5
AGENCIES = 123_265
TYPED = ("u", "ubn", "ubnd xa", "so noi vu l", "truong tieu hoc", "h01.1", "xa m h")


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


def agencies_of(count: int) -> list[Agency]:
    """A list with the shape of the nation's: provinces, what is below them, and what is below that."""
    chosen = random.Random(3)
    syllables = [
        "An",
        "Bình",
        "Châu",
        "Đức",
        "Giang",
        "Hà",
        "Hải",
        "Hòa",
        "Hưng",
        "Khánh",
        "Lâm",
        "Long",
        "Lộc",
        "Minh",
        "Mỹ",
        "Nam",
        "Phú",
        "Quang",
        "Sơn",
        "Tân",
        "Thành",
        "Thịnh",
        "Vĩnh",
        "Xuân",
    ]
    kinds = (
        "UBND xã",
        "UBND phường",
        "Phòng Kinh tế",
        "Sở Nội vụ",
        "Trường Tiểu học",
        "Trường Mầm non",
        "Ủy ban nhân dân xã",
    )
    listed = [
        Agency(code=f"H{n:02}", name=f"UBND tỉnh Mẫu {n}", old_code=f"000.00.00.H{n:02}", unit_id=str(n))
        for n in range(64)
    ]
    for number in range(64, count):
        above = listed[chosen.randrange(64) if number < 4000 else chosen.randrange(64, 4000)]
        name = f"{chosen.choice(kinds)} {chosen.choice(syllables)} {chosen.choice(syllables)}, {above.name}"
        code = f"{above.code}.{number % 1000:03}.{number // 1000:03}"
        old = f"{number % 1000:03}.{number // 1000:03}.00.{above.code}"
        listed.append(Agency(code=code, name=name, old_code=old, unit_id=str(number), parent_id=above.unit_id))
    return listed


class _Listed:
    """In place of the axis: the list, at once."""

    def __init__(self, listed: list[Agency]) -> None:
        self._listed = listed

    async def agencies(self) -> list[Agency]:
        return self._listed


class _Clock:
    def now_us(self) -> int:
        return 1_795_000_000_000_000


def insert_all(file: Path, rows: list[tuple[object, ...]], found_by: list[tuple[int, str]]) -> float:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA synchronous = FULL")
    put = re.sub(r"\$(\d+)", lambda match: f"?{match[1]}", queries.PUT_SQLITE)
    begun = time.process_time()
    with connection:
        connection.executemany(put, rows)
        connection.executemany("INSERT INTO agency_words (rowid, words) VALUES (?, ?)", found_by)
    spent = time.process_time() - begun
    connection.close()
    return spent


async def agency_rows(folder: Path) -> list[Row]:
    listed = agencies_of(AGENCIES)
    plan = changes(listed, [])
    rows = [(*msgspec.structs.astuple(entry), 1) for entry in plan.put]
    found_by = [(entry.id, entry.words) for entry in plan.put]
    spent: list[tuple[float, float, float]] = []
    for turn in range(3):
        floor = await open_database(f"sqlite:///{folder}/floor{turn}.db")
        await migrate(floor)
        await floor.close()
        bare = insert_all(folder / f"floor{turn}.db", rows, found_by)
        db = await open_database(f"sqlite:///{folder}/list{turn}.db")
        await migrate(db)
        directory = AgencyDirectory(db, _Listed(listed), _Clock(), name="bench")  # type: ignore[arg-type]
        begun, wall = time.process_time(), time.perf_counter()
        await directory.synchronise()
        spent.append((time.process_time() - begun, bare, time.perf_counter() - wall))
        if turn < 2:
            await db.close()
    ours, bare, wall_s = (statistics.median(column) for column in zip(*spent, strict=True))
    made = [
        at_most("exchange-agencies-sync", ours, bare, "s cpu", 4, rows=AGENCIES),
        at_most("exchange-agencies-sync-10s", wall_s, 10.0, "s", 1.0, rows=AGENCIES),
    ]

    async def typed() -> None:
        for text in TYPED:
            await directory.find(text, 20)

    async def scanned() -> None:
        for text in TYPED:
            await db.fetch_all(
                "SELECT code FROM agencies WHERE words LIKE $1 ORDER BY level, code LIMIT 20", f"%{text}%"
            )

    key_ms, scan_ms = await medians_ms_async((typed, scanned))
    made.append(times_faster("exchange-agencies-keystroke", key_ms / len(TYPED), scan_ms / len(TYPED), "ms", 2))
    await db.close()
    return made


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
