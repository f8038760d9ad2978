"""Urgent notices beside a broadcast, the whole way: a row in the outbox, the worker, the lane's own connections, the double's answer stored.

One process with SQLite, as in embedded mode. The time of a notice is from its row to the moment at which the double's answer is known
(longer than "received by the double", which is asked for). The double answers after `_ANSWER_S`, as a service far away does.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from push.dispatcher import Dispatcher, LaneSettings
from push.transports import open_fcm
from server.clock import SystemClock
from server.db import Database, Transaction, migrate, open_database
from server.jobs import Lane, LocalWakeup, Worker, WorkerSettings, connect
from server.notices.model import NewNotice, NoticeKind
from server.notices.service import tell
from server.notices.tasks import NoticeTasks
from tests.bench.fcm import accepted, double
from tests.bench.measure import Row, at_most
from tests.fakes.notices import ORGANISATION, House

_ANSWER_S = 0.04
_BROADCAST = 100_000  # 30,000 of it are enough to be running all the while
_CROWD = 2_400
_SAMPLES = 300
_PAUSE_S = 0.02
_DAY_US = 86_400_000_000


def rows() -> Iterator[Row]:
    with double() as fcm, tempfile.TemporaryDirectory() as folder:
        step = [{"answer": "slow", "seconds": _ANSWER_S, "times": None}]
        httpx2.put(f"{fcm['plain_url']}/_script/*", json=step, trust_env=False).raise_for_status()
        told = asyncio.run(_measure(fcm, Path(folder)))
    rate = {"broadcast_per_s": round(told["broadcast_per_s"]), "cpu_s_of_1000": round(told["cpu_s_of_1000"], 2)}
    yield at_most(
        "urgent notice during a broadcast, p99 from outbox to answer",
        told["busy_ms"],
        200.0 + _ANSWER_S * 1e3,
        "ms",
        1.0,
        **rate,
    )
    yield at_most(
        "urgent notice, p99 during a broadcast against idle",
        told["busy_ms"],
        told["idle_ms"],
        "ms",
        2.0,
        median_ms=round(told["busy_median_ms"]),
    )
    yield at_most("one urgent notice to 2,400 devices, all handed over", told["crowd_s"], 30.0, "s", 1.0)


async def _measure(fcm: dict[str, Any], folder: Path, in_flight: int = 64) -> dict[str, float]:
    url = f"sqlite://{folder}/bench.db"
    db = await open_database(url)
    await migrate(db)
    house = House(db, time.time_ns() // 1000)
    people = [f"{number:032x}" for number in range(_CROWD)]
    for start in range(0, _CROWD, 200):
        await asyncio.gather(*(house.person(person) for person in people[start : start + 200]))
    clock, wakeup = SystemClock(), LocalWakeup()
    connect(db, wakeup)
    lanes = await open_fcm(fcm["account"], base_url=fcm["url"])
    settings = {lane: LaneSettings(transport=each, concurrency=in_flight) for lane, each in lanes.items()}
    dispatcher = Dispatcher(settings, now_us=clock.now_us, monotonic_us=clock.monotonic_us)
    tasks = NoticeTasks(db, clock, house.tasks._identity, {"fcm": dispatcher})
    worker = Worker(db, tasks.handlers(), clock, wakeup, settings=WorkerSettings())
    working = asyncio.create_task(worker.run())
    try:
        return await _figures(db, clock, people, fcm)
    finally:
        await worker.stop(5.0)
        await working
        await dispatcher.close()
        await db.close()


async def _figures(db: Database, clock: SystemClock, people: list[str], fcm: dict[str, Any]) -> dict[str, float]:
    await _urgent(db, clock, people[:20])  # connections are open, statements prepared
    idle = await _urgent(db, clock, people[:_SAMPLES])
    begun = time.perf_counter()
    await _tell(db, clock, people, urgency=3, kind=NoticeKind.SEALED)
    await _until_none(db, "urgent")
    crowd_s = time.perf_counter() - begun
    for _ in range(_BROADCAST // _CROWD):
        await _tell(db, clock, people, urgency=0, kind=NoticeKind.SEALED, lane=Lane.BULK)
        if await _waiting(db, "bulk") > 12 * _CROWD:
            break
    before, begun, cpu = accepted(fcm), time.perf_counter(), time.process_time()
    busy = await _urgent(db, clock, people[:_SAMPLES])
    assert await _waiting(db, "bulk") > 0, "the broadcast ended before the measurement did"
    sent, took_s, cpu_s = accepted(fcm) - before, time.perf_counter() - begun, time.process_time() - cpu
    return {
        "idle_ms": _p99(idle), "busy_ms": _p99(busy), "busy_median_ms": statistics.median(busy), "crowd_s": crowd_s,
        "broadcast_per_s": sent / took_s, "cpu_s_of_1000": cpu_s / sent * 1000,
    }  # fmt: skip


async def _tell(db: Database, clock: SystemClock, people: list[str], **values: Any) -> list[str]:
    now_us = clock.now_us()
    notices = [
        NewNotice(organisation=ORGANISATION, person=person, about="", expires_us=now_us + _DAY_US, **values)
        for person in people
    ]

    async def body(tx: Transaction) -> list[str]:
        await tx.execute("DELETE FROM push_budgets")  # no storm is measured here
        return await tell(tx, notices, now_us=now_us)

    return await db.transact(body)


async def _urgent(db: Database, clock: SystemClock, people: list[str]) -> list[float]:
    """One at a time, at an even pace; the milliseconds of each."""
    told = []
    for person in people:
        told += await _tell(db, clock, [person], urgency=3, kind=NoticeKind.SEALED)
        await asyncio.sleep(_PAUSE_S)
    await _until_none(db, "urgent")
    found = [
        await db.fetch_one("SELECT accepted_us - queued_us AS us FROM deliveries WHERE notice = $1", notice)
        for notice in told
    ]
    return [row["us"] / 1e3 for row in found if row is not None]


async def _waiting(db: Database, lane: str) -> int:
    row = await db.fetch_one(
        "SELECT count(*) AS n FROM deliveries y JOIN notices n ON n.id = y.notice WHERE n.lane = $1 AND y.state = 'queued'", lane
    )  # fmt: skip
    return 0 if row is None else int(row["n"])


async def _until_none(db: Database, lane: str) -> None:
    while await _waiting(db, lane):  # noqa: ASYNC110 - another task of this process changes what the query sees
        await asyncio.sleep(0.05)


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
