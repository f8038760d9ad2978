"""Urgent notices beside a broadcast, the whole way: a row in the outbox, the worker, the lane's own connections, the double's answer stored.

One process with SQLite, as in embedded mode. The time of a notice is from its row to the moment at which the double's answer is known
(longer than "received by the double", which is asked for). The double answers after `_ANSWER_S`, as a service far away does. A hundred thousand are
queued before the first of the broadcast leaves.

The crowd begins at a request: `hoatoc serve` is a process of its own, and a system announces to 480 people with five phones each.
"""

import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
from httpx2 import AsyncClient

from push.dispatcher import Dispatcher, LaneSettings
from push.transports import open_fcm
from server.clock import SystemClock
from server.db import Database, Transaction, migrate, open_database
from server.jobs import Lane, LocalWakeup, Worker, WorkerSettings, connect
from server.notices.model import NewNotice, NoticeKind
from server.notices.service import tell
from server.notices.tasks import NoticeTasks
from server.settings import load
from server.wiring import Wiring
from tests.bench.fcm import accepted, double
from tests.bench.measure import Row, at_most
from tests.bench.memory import _end, _port, _ready, _serve
from tests.fakes.notices import ORGANISATION, House, add_device
from tests.fakes.stack import ORGANISATION as CODE
from tests.fakes.stack import ORIGIN, UNLIMITED, Stack

_ANSWER_S = 0.04
_BROADCAST = 100_000
_PEOPLE, _PHONES = 480, 5
_CROWD = _PEOPLE * _PHONES
_SAMPLES = 300
_PAUSE_S = 0.02
_DAY_US = 86_400_000_000


def rows() -> Iterator[Row]:
    with double() as fcm, tempfile.TemporaryDirectory() as folder:
        step = [{"answer": "slow", "seconds": _ANSWER_S, "times": None}]
        httpx2.put(f"{fcm['plain_url']}/_script/*", json=step, trust_env=False).raise_for_status()
        crowd_s = asyncio.run(_crowd(fcm, Path(folder)))
        told = asyncio.run(_measure(fcm, Path(folder)))
    rate = {
        "queued": round(told["queued"]), "left": round(told["left"]), "broadcast_per_s": round(told["broadcast_per_s"]),
        "cpu_s_of_1000": round(told["cpu_s_of_1000"], 2),
    }  # fmt: skip
    yield at_most(
        "urgent: a notice during a broadcast to 100,000 devices, p99 from outbox to answer",
        told["busy_ms"],
        200.0 + _ANSWER_S * 1e3,
        "ms",
        1.0,
        **rate,
    )
    yield at_most(
        "urgent: a notice, p99 during that broadcast against idle",
        told["busy_ms"],
        told["idle_ms"],
        "ms",
        2.0,
        median_ms=round(told["busy_median_ms"]),
    )
    yield at_most(
        "urgent: one to 2,400 devices, all handed over, from the intake request",
        crowd_s,
        30.0,
        "s",
        1.0,
        people=_PEOPLE,
    )


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

    @contextlib.asynccontextmanager
    async def working() -> AsyncIterator[None]:
        worker = Worker(db, tasks.handlers(), clock, wakeup, settings=WorkerSettings())
        running = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            await worker.stop(5.0)
            await running

    try:
        async with working():
            await _urgent(db, clock, people[:20])  # connections are open, statements prepared
            idle = await _urgent(db, clock, people[:_SAMPLES])
        while (queued := await _waiting(db, "bulk")) < _BROADCAST:
            await _tell(db, clock, people, urgency=0, kind=NoticeKind.SEALED, lane=Lane.BULK)
        async with working():
            return {"idle_ms": _p99(idle), "queued": queued, **await _beside(db, clock, people, fcm)}
    finally:
        await dispatcher.close()
        await db.close()


async def _beside(db: Database, clock: SystemClock, people: list[str], fcm: dict[str, Any]) -> dict[str, float]:
    """Urgent notices while the broadcast leaves."""
    before = accepted(fcm)
    while accepted(fcm) < before + 1000:  # noqa: ASYNC110 - the double is another process
        await asyncio.sleep(0.05)
    before, begun, cpu = accepted(fcm), time.perf_counter(), time.process_time()
    busy = await _urgent(db, clock, people[:_SAMPLES])
    left = await _waiting(db, "bulk")
    assert left > 0, "the broadcast ended before the measurement did"
    sent, took_s, cpu_s = accepted(fcm) - before, time.perf_counter() - begun, time.process_time() - cpu
    return {
        "busy_ms": _p99(busy), "busy_median_ms": statistics.median(busy), "left": left,
        "broadcast_per_s": sent / took_s, "cpu_s_of_1000": cpu_s / sent * 1000,
    }  # fmt: skip


async def _crowd(fcm: dict[str, Any], folder: Path) -> float:
    """Seconds from a system's request to the last message that the double accepted."""
    port, account = _port(), folder / "account.json"
    account.write_text(json.dumps(fcm["account"]))
    account.chmod(0o600)
    environ = {
        "HOATOC_STATE_DIR": str(folder / "state"), "HOATOC_SERVER__PUBLIC_URL": ORIGIN, "HOATOC_BLOBS__RESERVE_BYTES": "0",
        "HOATOC_PUSH__FCM_CREDENTIALS": str(account), "HOATOC_PUSH__FCM_URL": fcm["url"], **UNLIMITED,
    }  # fmt: skip
    stack = Stack(folder)
    stack.settings = load(None, environ)
    process = _serve(environ, port)
    try:
        await _ready(port, process)
        stack.wiring = await Wiring.open(stack.settings)
        host = ORIGIN.removeprefix("http://")
        stack.http = AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"Host": host}, timeout=120)
        stack.organisation = (await stack.wiring.identity.create_organisation(CODE, "Cơ quan mẫu")).id
        system = await stack.service("Hệ thống mẫu", "notices:write")
        people = await _people(stack.wiring.db, stack.organisation)
        before, begun = accepted(fcm), time.perf_counter()
        await system.call(
            "POST", "/api/v1/announcements", json={"people": people, "headline": "mẫu", "urgency": 3}, expect=201
        )
        async with asyncio.timeout(300):
            while accepted(fcm) < before + _CROWD:  # noqa: ASYNC110 - the double is another process
                await asyncio.sleep(0.05)
        return time.perf_counter() - begun
    finally:
        await stack.http.aclose()
        await stack.wiring.close()
        _end(process)


async def _people(db: Database, organisation: str) -> list[str]:
    people = [f"{number:032x}" for number in range(_PEOPLE)]
    for start in range(0, _PEOPLE, 60):

        async def body(tx: Transaction, some: list[str] = people[start : start + 60]) -> None:
            for person in some:
                await tx.execute(
                    "INSERT INTO people (id, organisation, name, position, authority_line, state, locale, created_us) VALUES ($1, $2, 'x', 'x', '', 'active', 'vi', 1)",
                    person, organisation,
                )  # fmt: skip
                for phone in range(_PHONES):
                    await add_device(tx, person, f"{person}-{phone}", organisation)

        await db.transact(body)
    return people


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
