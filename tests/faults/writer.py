"""A child process for the fault tests: concurrent durable writers that report what was acknowledged.

`python -m tests.faults.writer URL FIRST TASKS` writes triples of rows until it dies. A line `id` goes to standard output
only after `transact` returned, so whoever kills this process knows what must be there.
"""

import asyncio
import os
import sys
from itertools import count

from server.db import open_database

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS state (id BIGINT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS event (id BIGINT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS effect (id BIGINT PRIMARY KEY, filler TEXT)",
)


async def main(url: str, first: int, tasks: int) -> None:
    db = await open_database(url)

    async def create(tx):
        for statement in SCHEMA:
            await tx.execute(statement)

    await db.transact(create)
    numbers = count(first)

    async def write(tx, number):
        await tx.execute("INSERT INTO state (id) VALUES ($1)", number)
        await tx.execute("INSERT INTO event (id) VALUES ($1)", number)
        await tx.execute("INSERT INTO effect (id, filler) VALUES ($1, $2)", number, "x" * (number % 500))
        if number % 7 == 0:
            raise LookupError  # never acknowledged, and must leave nothing

    async def work():
        while True:
            number = next(numbers)
            try:
                await db.transact(lambda tx, number=number: write(tx, number))
            except LookupError:
                continue
            os.write(1, b"%d\n" % number)  # one write is whole or absent

    await asyncio.gather(*(work() for _ in range(tasks)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
