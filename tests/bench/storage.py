"""Durable three-statement transactions: group commit against plain aiosqlite, interleaved, medians.

`python -m tests.bench.storage` prints one JSON object. Both sides use WAL and synchronous=FULL, 64 tasks at once.
"""

import asyncio
import statistics
import tempfile
import time
from itertools import count

import aiosqlite

from server.db import open_database
from tests.bench.measure import at_least, show

TASKS, RUNS, SECONDS = 64, 5, 1.0
GOAL = 3.0
TABLES = ("a", "b", "c")
_numbers = count()


async def ours(db):
    async def write():
        number = next(_numbers)

        async def body(tx):
            for table in TABLES:
                await tx.execute(f"INSERT INTO {table} (id) VALUES ($1)", number)

        await db.transact(body)

    return await rate(write)


async def plain(connection):
    lock = asyncio.Lock()  # transactions of one connection cannot interleave

    async def write():
        number = next(_numbers)
        async with lock:
            await connection.execute("BEGIN IMMEDIATE")
            for table in TABLES:
                await connection.execute(f"INSERT INTO {table} (id) VALUES (?)", (number,))
            await connection.commit()

    return await rate(write)


async def rate(write):
    done = 0
    end = time.perf_counter() + SECONDS

    async def work():
        nonlocal done
        while time.perf_counter() < end:
            await write()
            done += 1

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(TASKS)))
    return done / (time.perf_counter() - start)


async def main():
    with tempfile.TemporaryDirectory() as folder:
        db = await open_database(f"sqlite://{folder}/ours.db")
        connection = await aiosqlite.connect(f"{folder}/plain.db", isolation_level=None)
        await connection.execute("PRAGMA journal_mode = WAL")
        await connection.execute("PRAGMA synchronous = FULL")
        for table in TABLES:
            statement = f"CREATE TABLE {table} (id BIGINT PRIMARY KEY)"
            await db.transact(lambda tx, statement=statement: tx.execute(statement))
            await connection.execute(statement)
        results = [(await ours(db), await plain(connection)) for _ in range(RUNS)]
        await connection.close()
        await db.close()
    left, right = (statistics.median(side) for side in zip(*results, strict=True))
    return [
        at_least("storage: durable three-statement transactions, 64 tasks / plain aiosqlite", left, right, "1/s", GOAL)
    ]


def rows():
    return asyncio.run(main())


if __name__ == "__main__":
    for row in rows():
        show(row)
