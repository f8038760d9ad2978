"""kill -9 of workers while they send a broadcast: none lost, and twice only what was sent without its answer being stored, under one id (D1).

`python -m tests.faults.broadcast DATABASE ACCOUNT FCM LEASE_S` is one worker: the product's own worker, tasks, dispatcher and wire. Each one has a push
service of its own, so that whoever sent a message is known; the database says at a worker's death whose answers were stored.
"""

import asyncio
import collections
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from push.dispatcher import Dispatcher, LaneSettings
from push.transports import open_fcm
from server.clock import SystemClock
from server.db import Database, Isolation, Transaction, migrate, open_database
from server.demo.fcm import FcmDouble, Step
from server.jobs import Lane, LocalWakeup, Worker, WorkerSettings, connect
from server.notices.model import NewNotice, NoticeKind
from server.notices.service import tell
from server.notices.tasks import NoticeTasks
from tests.fakes.notices import ORGANISATION, House, add_device

_DEVICES_EACH = 4
_WORKERS = 2
_DAY_US = 86_400_000_000
_TOGETHER = 250
_ANSWER_S = 0.02
_LONGEST_S = 600.0
_LEASE_S = 60.0


class Life:
    """One worker from its start to its end, with the push service that only it knows. `unstored`: what had no stored answer when it was killed."""

    def __init__(self, fcm: FcmDouble, process: asyncio.subprocess.Process, owner: str = "") -> None:
        self.fcm = fcm
        self.process = process
        self.owner = owner
        self.killed = False
        self.unstored: set[tuple[str, str]] = set()

    def sent(self) -> collections.Counter[tuple[str, str]]:
        """(device, notice) of every message that it was told is accepted, or that was on its way when it died."""
        return collections.Counter(
            (record.address or "", record.body["message"]["data"]["id"])
            for record in self.fcm.records
            if record.answer == "slow"
        )


async def kill_rounds(
    base: Path,
    rounds: int,
    seed: int,
    database: str,
    *,
    devices: int = 10_000,
    kills: int = 4,
    lease_s: float | None = None,
) -> dict[str, Any]:
    """`rounds` broadcasts to `devices` phones by two workers, `kills` of them killed each time at random.

    `lease_s`: leases of that length, which end by themselves. Without it they have the product's length, and a killed worker's are ended at once: a
    minute would be waited for at every kill.
    """
    rng = random.Random(seed)
    base.mkdir(parents=True, exist_ok=True)
    db = await open_database(database)
    try:
        await migrate(db)
        people = await _people(db, devices // _DEVICES_EACH)
        found: collections.Counter[str] = collections.Counter(
            dict.fromkeys(("lost", "doubled", "repeated", "kills", "unsettled"), 0)
        )
        for _ in range(rounds):
            found.update(await _round(base, rng, db, database, people, kills, lease_s))
    finally:
        await db.close()
    return {"rounds": rounds, "devices": devices, "seed": seed, **found}


async def _round(
    base: Path, rng: random.Random, db: Database, database: str, people: list[str], kills: int, lease_s: float | None
) -> dict[str, int]:
    await _broadcast(db, people)
    wanted = {(str(row["device"]), str(row["notice"])) for row in await _deliveries(db, "queued")}
    lives: list[Life] = []
    async with contextlib.AsyncExitStack() as stack:

        async def live() -> Life:
            life = await stack.enter_async_context(_worker(base, database, lease_s or _LEASE_S))
            lives.append(life)
            return life

        running = [await live() for _ in range(_WORKERS)]
        at = sorted(rng.sample(range(1, len(wanted) * 9 // 10), kills))
        deadline = time.monotonic() + _LONGEST_S
        while time.monotonic() < deadline:
            sent = sum(len(life.fcm.records) for life in lives)
            if at and sent >= at[0]:
                at.pop(0)
                await _kill(db, victim := running.pop(rng.randrange(len(running))), end_leases=lease_s is None)
                assert victim.killed
                running.append(await live())
            elif sent >= len(wanted) and not await _deliveries(db, "queued"):
                break
            # While the kills are still to come only what the push services count is looked at.
            await asyncio.sleep(0.02 if at else 0.5)
        left = len(await _deliveries(db, "queued"))
        unsettled = left + len(await db.fetch_all("SELECT id FROM jobs WHERE state = 'buried'"))
    return {**_judge(lives, wanted), "kills": sum(life.killed for life in lives), "unsettled": unsettled}


def _judge(lives: list[Life], wanted: set[tuple[str, str]]) -> dict[str, int]:
    """Each wanted message left once; again only after a worker was killed that had sent it and had not stored the answer.

    A message to the wrong device or under another id than its notice's is none of the wanted ones, and so a doubled one.
    """
    counts = [(life, life.sent()) for life in lives]
    lost = doubled = repeated = 0
    for key in wanted | {key for _, sent in counts for key in sent}:
        times = sum(sent[key] for _, sent in counts)
        excused = sum(1 for life, sent in counts if sent[key] == 1 and life.killed and key in life.unstored)
        lost += key in wanted and times == 0
        extra = times - 1 if key in wanted else times
        repeated += max(0, min(extra, excused))
        doubled += max(0, extra - excused)
    return {"lost": lost, "doubled": doubled, "repeated": repeated}


async def _kill(db: Database, life: Life, *, end_leases: bool) -> None:
    life.process.send_signal(signal.SIGKILL)
    await life.process.wait()
    life.killed = True
    if end_leases:
        await db.transact(
            lambda tx: tx.execute("UPDATE jobs SET due_us = 1 WHERE owner = $1 AND state = 'running'", life.owner),
            isolation=Isolation.READ_COMMITTED,
        )
    life.unstored = {(str(row["device"]), str(row["notice"])) for row in await _deliveries(db, "queued")}


@contextlib.asynccontextmanager
async def _worker(base: Path, database: str, lease_s: float) -> AsyncIterator[Life]:
    async with FcmDouble() as fcm:
        fcm.script("*", Step("slow", times=None, seconds=_ANSWER_S))
        account = base / f"account-{fcm.port}.json"
        fcm.write_service_account(account)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.broadcast", database, str(account), fcm.url, str(lease_s),
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            yield Life(fcm, process, (await process.stdout.readline()).decode().strip())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def queue(db: Database, people: int) -> None:
    """One broadcast to so many people with four phones each, not yet begun."""
    await _broadcast(db, await _people(db, people))


async def _people(db: Database, number: int) -> list[str]:
    people = [f"{one:032x}" for one in range(number)]
    await House(db, 0).person("f" * 32, devices=0)  # makes the organisation
    for start in range(0, number, _TOGETHER):

        async def body(tx: Transaction, some: list[str] = people[start : start + _TOGETHER]) -> None:
            for person in some:
                await tx.execute(
                    "INSERT INTO people (id, organisation, name, position, authority_line, state, locale, created_us) VALUES ($1, $2, 'x', 'x', '', 'active', 'vi', 1)",
                    person, ORGANISATION,
                )  # fmt: skip
                for device in range(_DEVICES_EACH):
                    await add_device(tx, person, f"{person}-{device}")

        await db.transact(body)
    return people


async def _broadcast(db: Database, people: list[str]) -> None:
    now_us = time.time_ns() // 1000
    for start in range(0, len(people), _TOGETHER):
        notices = [
            NewNotice(
                organisation=ORGANISATION, person=person, kind=NoticeKind.SEALED, urgency=0, about="", expires_us=now_us + _DAY_US, lane=Lane.BULK
            )
            for person in people[start : start + _TOGETHER]
        ]  # fmt: skip

        async def body(tx: Transaction, notices: list[NewNotice] = notices) -> None:
            await tx.execute("DELETE FROM push_budgets")  # no storm is meant here
            await tell(tx, notices, now_us=now_us)

        await db.transact(body)


async def _deliveries(db: Database, state: str) -> list[Any]:
    return await db.fetch_all("SELECT device, notice FROM deliveries WHERE state = $1", state)


async def _work(database: str, account: Path, url: str, lease_s: float) -> None:
    """Until it is killed; its name as the owner of leases goes first."""
    db = await open_database(database)
    clock, wakeup = SystemClock(), LocalWakeup()
    connect(db, wakeup)
    lanes = await open_fcm(json.loads(account.read_text()), base_url=url)
    settings = {lane: LaneSettings(transport=each, concurrency=64) for lane, each in lanes.items()}
    dispatcher = Dispatcher(settings, now_us=clock.now_us, monotonic_us=clock.monotonic_us)
    tasks = NoticeTasks(db, clock, House(db, 0).tasks._identity, {"fcm": dispatcher})
    worker = Worker(db, tasks.handlers(), clock, wakeup, settings=WorkerSettings(poll_s=0.2, lease_s=lease_s))
    print(worker._owner, flush=True)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
