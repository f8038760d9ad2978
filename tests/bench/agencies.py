"""The list of agencies, as long as the nation's (reference §6.6): taken over from an axis, and searched at each keystroke.

`exchange-agencies-sync` is our CPU time for what a list changes against `executemany` of the same rows; `…-sync-10s` the whole way from a stand-in
axis (a process of its own) over its wire into the tables, on each engine, against ten seconds. `…-keystroke` is one search against a scan, and
against the 50 ms below which typing feels direct.
"""

import asyncio
import os
import random
import re
import sqlite3
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from server.db import Database, migrate, open_database
from server.exchange.axis import Agency, VxpAxis
from server.exchange.directory import queries
from server.exchange.directory.changes import changes
from server.exchange.directory.service import AgencyDirectory
from server.exchange.standin_world import Unit
from tests.bench.measure import Row, at_most, medians_ms_async, times_faster
from tests.conftest import PostgresCluster

AGENCIES = 123_265
TURNS = 3
TYPED = ("u", "ubn", "ubnd xa", "so noi vu l", "truong tieu hoc", "h01.1", "xa m h")
_AXIS = """
import asyncio, sys
from pathlib import Path
from server.exchange import standin
from tests.bench.agencies import units
asyncio.run(standin.run(Path(sys.argv[1]), host="127.0.0.1", port=0, units=units(), told=standin.tell_json))
"""


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


def units() -> list[Unit]:
    """The same as units of a stand-in, received for by one system."""
    listed = agencies_of(AGENCIES)
    codes = {agency.unit_id: agency.code for agency in listed}
    return [
        Unit(
            code=one.code, name=one.name, old_code=one.old_code, unit=str(int(one.unit_id) + 1), parent=codes.get(one.parent_id, ""),
            system="" if one is listed[0] else listed[0].code,
        )
        for one in listed
    ]  # fmt: skip


class _Listed:
    """In place of the axis: the list, at once."""

    def __init__(self, listed: list[Agency]) -> None:
        self._listed = listed

    async def agencies(self) -> list[Agency]:
        return self._listed


class _Clock:
    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000


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


async def written(folder: Path) -> Row:
    """What is not the wire's: comparing, and writing to SQLite."""
    listed = agencies_of(AGENCIES)
    plan = changes(listed, [])
    rows = [(*msgspec.structs.astuple(entry), 1) for entry in plan.put]
    found_by = [(entry.id, entry.words) for entry in plan.put]
    spent: list[tuple[float, float]] = []
    for turn in range(TURNS):
        floor = await open_database(f"sqlite:///{folder}/floor{turn}.db")
        await migrate(floor)
        await floor.close()
        bare = insert_all(folder / f"floor{turn}.db", rows, found_by)
        db = await open_database(f"sqlite:///{folder}/list{turn}.db")
        await migrate(db)
        directory = AgencyDirectory(db, _Listed(listed), _Clock(), name="bench")  # type: ignore[arg-type]
        begun = time.process_time()
        await directory.synchronise()
        spent.append((time.process_time() - begun, bare))
        await db.close()
    ours, bare = (statistics.median(column) for column in zip(*spent, strict=True))
    return at_most("exchange-agencies-sync", ours, bare, "s cpu", 4, rows=AGENCIES)


@asynccontextmanager
async def standin(folder: Path) -> AsyncIterator[VxpAxis]:
    """A client of a stand-in with the whole list."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _AXIS, str(folder / "axis"), env=environ, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        told = msgspec.json.decode(await process.stdout.readline())
        ((system, secret),) = told["secrets"].items()
        axis = VxpAxis(f"http://127.0.0.1:{told['port']}", system, Path(secret), _Clock().now_us)
        yield axis
        await axis.close()
    finally:
        process.kill()
        await process.wait()


async def over_the_wire(axis: VxpAxis, urls: list[str], engine: str) -> list[Row]:
    """Into each database once; keystrokes on the last."""
    walls: list[float] = []
    spent: list[float] = []
    for url in urls:
        db = await open_database(url)
        await migrate(db)
        directory = AgencyDirectory(db, axis, _Clock(), name="bench")
        begun, wall = time.process_time(), time.perf_counter()
        changed = await directory.synchronise()
        walls.append(time.perf_counter() - wall)
        spent.append(time.process_time() - begun)
        assert changed == AGENCIES, changed
        if url != urls[-1]:
            await db.close()
    behind = "" if engine == "sqlite" else f"-{engine}"
    wall_s, cpu_s = statistics.median(walls), round(statistics.median(spent), 2)
    made = [at_most(f"exchange-agencies-sync-10s{behind}", wall_s, 10.0, "s", 1.0, cpu_s=cpu_s, rows=AGENCIES)]
    made += await keystrokes(db, directory, behind)
    await db.close()
    return made


async def keystrokes(db: Database, directory: AgencyDirectory, behind: str) -> list[Row]:
    async def typed() -> None:
        for text in TYPED:
            await directory.find(text, 20)

    async def scanned() -> None:
        for text in TYPED:
            await db.fetch_all(
                "SELECT code FROM agencies WHERE words LIKE $1 ORDER BY level, code LIMIT 20", f"%{text}%"
            )

    key_ms, scan_ms = (spent / len(TYPED) for spent in await medians_ms_async((typed, scanned)))
    return [
        times_faster(f"exchange-agencies-keystroke{behind}", key_ms, scan_ms, "ms", 2),
        at_most(f"exchange-agencies-keystroke-50ms{behind}", key_ms, 50.0, "ms", 1.0),
    ]


async def agency_rows(folder: Path) -> list[Row]:
    made = [await written(folder)]
    cluster = PostgresCluster()
    try:
        async with standin(folder) as axis:
            made += await over_the_wire(axis, [f"sqlite:///{folder}/wire{turn}.db" for turn in range(TURNS)], "sqlite")
            names = [await cluster.create() for _ in range(TURNS)]
            made += await over_the_wire(axis, [cluster.url(name) for name in names], "postgres")
    finally:
        cluster.remove()
    return made
