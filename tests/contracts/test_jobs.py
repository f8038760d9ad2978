"""The job queue, on both engines: what it promises whatever workers, handlers and clocks do.

Longer than most: one promise of the queue a test.
"""

import asyncio
import contextlib
import os
import random

import msgspec
import pytest

from server.db import Conflict, Isolation
from server.jobs import (
    Bury,
    Lane,
    LeaseLost,
    LocalWakeup,
    Outcome,
    Periodic,
    Retry,
    Schedule,
    Worker,
    WorkerSettings,
    backlog,
    connect,
    dead_letters,
    enqueue,
    hasten,
    queries,
    revive,
)
from tests.fakes.clock import FrozenClock

pytestmark = pytest.mark.asyncio

ROUNDS = int(os.environ.get("TEST_ROUNDS", "0"))
QUICK = WorkerSettings(poll_s=0.02, schedule=Schedule(base_s=0.001, cap_s=0.01), max_failures=3)


@contextlib.asynccontextmanager
async def working(db, handlers, clock, *, settings=QUICK, grace_s=5.0, **options):
    wakeup = LocalWakeup()
    connect(db, wakeup)
    worker = Worker(db, handlers, clock, wakeup, settings=settings, rng=random.Random(1), **options)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        await worker.stop(grace_s)
        await running


async def until(condition, within_s=60):
    """Wait for `condition` to hold."""
    async with asyncio.timeout(within_s):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.005)


async def put(db, kind="k", payload=None, **options):
    return await db.transact(lambda tx: enqueue(tx, kind, payload or {}, **options))


async def rows(db):
    return {row["id"]: dict(row) for row in await db.fetch_all("SELECT * FROM jobs")}


async def empty(db):
    return not await rows(db)


class System(FrozenClock):
    """A clock of its own that runs on from the real one, so that timers pass and tests can still move it."""

    def __init__(self):
        super().__init__()
        self._started = asyncio.get_running_loop().time()

    def _passed(self):
        return round((asyncio.get_running_loop().time() - self._started) * 1_000_000)

    def now_us(self):
        return super().now_us() + self._passed()

    def monotonic_us(self):
        return super().monotonic_us() + self._passed()


async def test_a_job_runs_with_its_payload_and_leaves_no_row(db):
    class Order(msgspec.Struct):
        name: str
        number: int

    seen = []

    async def handler(job, context):
        seen.append((job.decode(Order), job.attempt, job.lane, context.db is db))

    async with working(db, {"k": handler}, System()):
        await put(db, payload=Order("đơn", 7), lane=Lane.URGENT)
        await until(lambda: empty(db))
    assert seen == [(Order("đơn", 7), 1, Lane.URGENT, True)]


async def test_a_job_of_a_rolled_back_transaction_never_was(db):
    async def body(tx):
        await enqueue(tx, "k", {})
        raise LookupError

    with pytest.raises(LookupError):
        await db.transact(body)
    assert await empty(db)


async def test_a_job_waits_for_its_time(db):
    clock = System()
    seen = []

    async def handler(job, context):
        seen.append(job.id)

    async with working(db, {"k": handler}, clock):
        late = await put(db, run_at_us=clock.now_us() + 3600_000_000)
        soon = await put(db, run_at_us=clock.now_us() + 50_000)
        await until(lambda: soon in seen)
        await asyncio.sleep(0.1)
        assert seen == [soon]
        clock.advance(3601)
        await until(lambda: late in seen)


async def test_finish_is_one_commit_with_the_effect(db):
    await db.transact(lambda tx: tx.execute("CREATE TABLE effect (id TEXT PRIMARY KEY)"))
    after = []

    async def handler(job, context):
        async def body(tx):
            await tx.execute("INSERT INTO effect (id) VALUES ($1)", job.id)
            await context.finish(tx)

        await context.db.transact(body)
        after.append(await rows(db))
        raise LookupError("after the commit nothing can be undone, nor is it done again")

    async with working(db, {"k": handler}, System()):
        await put(db)
        await until(lambda: len(after) == 1)
    assert after == [{}]
    assert len(await db.fetch_all("SELECT id FROM effect")) == 1


async def test_a_lost_lease_rolls_the_effect_back(db):
    await db.transact(lambda tx: tx.execute("CREATE TABLE effect (id TEXT PRIMARY KEY)"))
    lost = []

    async def handler(job, context):
        await db.transact(lambda tx: tx.execute("UPDATE jobs SET lease = 'of another worker'"))

        async def body(tx):
            await tx.execute("INSERT INTO effect (id) VALUES ($1)", job.id)
            await context.finish(tx)

        try:
            await context.db.transact(body)
        except LeaseLost:
            lost.append(job.id)
            raise

    outcomes = []
    async with working(db, {"k": handler}, System(), observe=lambda job, outcome, us: outcomes.append(outcome)):
        await put(db)
        await until(lambda: outcomes)
    assert outcomes == [Outcome.LOST]
    assert len(lost) == 1
    assert await db.fetch_all("SELECT id FROM effect") == []
    assert [row["lease"] for row in (await rows(db)).values()] == ["of another worker"]


async def test_failures_are_retried_then_buried_with_an_alarm_and_can_be_revived(db):
    attempts, alarms, good = [], [], []

    async def handler(job, context):
        attempts.append(job.attempt)
        if not good:
            raise ValueError("content that belongs in no row")

    async def on_bury(tx, job, reason):
        alarms.append((job.id, reason))

    async with working(db, {"k": handler}, System(), on_bury=on_bury):
        job_id = await put(db, dedupe_key="same")
        await until(lambda: alarms)
        await until(lambda: dead_letters(db))
        (letter,) = await dead_letters(db)
        assert (letter.id, letter.kind, letter.reason, letter.attempt) == (job_id, "k", "ValueError", 3)
        assert attempts == [1, 2, 3]
        assert alarms == [(job_id, "ValueError")]
        again = await put(db, kind="later", dedupe_key="same", run_at_us=2**60)
        assert again != job_id  # a dead letter absorbs nothing
        good.append(1)
        assert await db.transact(lambda tx: revive(tx, job_id))
        await until(lambda: len(attempts) == 4)
        assert not await db.transact(lambda tx: revive(tx, job_id))


async def test_what_was_hastened_in_vain_lets_the_others_go_first(db):
    async def put_off(job_id, due_us):
        sql = "UPDATE jobs SET due_us = $2, reason = 'down' WHERE id = $1"
        await db.transact(lambda tx: tx.execute(sql, job_id, due_us))

    async def hastened():
        assert await db.transact(lambda tx: hasten(tx, "down", limit=1)) == 1
        rows = await db.fetch_all("SELECT id FROM jobs WHERE reason IS NULL AND due_us = 0")
        return [row["id"] for row in rows]

    first, second = await put(db, lane=Lane.URGENT), await put(db)
    await put_off(first, 100)
    await put_off(second, 200)
    assert await hastened() == [first]
    await put_off(first, 300)
    assert await hastened() == [second]
    assert await db.transact(lambda tx: hasten(tx, "down")) == 1


async def test_a_retry_is_no_failure_and_keeps_its_time(db):
    seen = []

    async def handler(job, context):
        seen.append((job.attempt, job.failures))
        if len(seen) < 9:
            raise Retry(after_s=0.0, reason="axis-away")

    async with working(db, {"k": handler}, System()):
        await put(db)
        await until(lambda: len(seen) == 9)
        await until(lambda: empty(db))
    assert seen == [(attempt, 0) for attempt in range(1, 10)]


async def test_bury_is_final_and_an_alarm_that_fails_does_not_stop_it(db):
    seen = []

    async def handler(job, context):
        seen.append(job.id)
        raise Bury("rejected-by-axis")

    async def on_bury(tx, job, reason):
        raise RuntimeError

    async with working(db, {"k": handler}, System(), on_bury=on_bury):
        await put(db)
        await until(lambda: dead_letters(db))
    assert len(seen) == 1
    assert [letter.reason for letter in await dead_letters(db)] == ["rejected-by-axis"]


async def test_a_kind_without_handler_is_retried_then_buried(db):
    async with working(db, {}, System()):
        await put(db, kind="of a newer program")
        await until(lambda: dead_letters(db))
    assert [letter.reason for letter in await dead_letters(db)] == ["job-without-handler"]


async def test_a_job_that_kills_its_workers_is_buried_without_running(db, clock):
    """Threat D14: every claim that is never settled counts."""
    job_id = await put(db)
    for number in range(3):
        (job,) = await claim(db, clock, owner=f"w{number}")
        assert job.id == job_id
        clock.advance(61)
    seen = []

    async def handler(job, context):
        seen.append(job.id)

    ahead = System()
    ahead.advance(300)
    async with working(db, {"k": handler}, ahead):
        await db.transact(lambda tx: tx.execute("UPDATE jobs SET due_us = 1"))
        await until(lambda: dead_letters(db))
    assert seen == []
    assert [letter.reason for letter in await dead_letters(db)] == ["workers-died"]


async def test_poison_is_parked_and_the_queue_goes_on(db):
    """Threat D14: 1 % poison, in 10,000 where the soak asks for it."""
    jobs, done = max(500, 100 * ROUNDS), []

    async def handler(job, context):
        if job.decode(int) % 100 == 0:
            raise ValueError
        done.append(job.decode(int))

    async def fill(tx):
        for number in range(jobs):
            await enqueue(tx, "k", number)

    await db.transact(fill)
    async with working(db, {"k": handler}, System()):
        await until(lambda: len(done) >= jobs * 99 // 100, within_s=60 + jobs / 4 if ROUNDS else 60)
        await until(lambda: _buried(db, jobs // 100), within_s=60 + jobs / 4 if ROUNDS else 60)
    assert sorted(done) == [number for number in range(jobs) if number % 100]


async def _buried(db, count):
    return len(await dead_letters(db)) == count


async def test_dedupe_absorbs_until_the_job_is_done(db):
    first = await put(db, dedupe_key="a")
    assert await put(db, dedupe_key="a") == first
    assert await put(db, dedupe_key="b") != first
    assert len(set(await asyncio.gather(*(put(db, dedupe_key="c") for _ in range(20))))) == 1
    done = []

    async def handler(job, context):
        done.append(job.id)

    async with working(db, {"k": handler}, System()):
        await until(lambda: empty(db))
    assert len(done) == 3
    assert await put(db, dedupe_key="a") != first


async def test_lanes_have_their_own_slots(db):
    """A full bulk lane does not hold up an urgent job."""
    release, bulk, urgent = asyncio.Event(), [], []

    async def slow(job, context):
        bulk.append(job.id)
        await release.wait()

    async def quick(job, context):
        urgent.append(job.id)

    async with working(db, {"slow": slow, "quick": quick}, System()):
        for _ in range(6):
            await put(db, "slow", lane=Lane.BULK)
        await until(lambda: len(bulk) == QUICK.bulk_slots)
        await put(db, "quick", lane=Lane.URGENT)
        await until(lambda: urgent)
        assert len(bulk) == QUICK.bulk_slots
        release.set()
        await until(lambda: len(bulk) == 6)


async def test_jobs_of_a_key_run_one_at_a_time_in_order_and_a_failing_head_blocks_only_them(db):
    order, running, overlaps = [], set(), []
    failures = {"a3": 2}

    async def handler(job, context):
        if job.ordering_key in running:
            overlaps.append(job.id)
        running.add(job.ordering_key)
        await asyncio.sleep(0.002)
        running.discard(job.ordering_key)
        name = job.decode(str)
        if failures.get(name):
            failures[name] -= 1
            raise ValueError
        order.append(name)

    for number in range(6):
        for key in "abc":
            await put(db, payload=f"{key}{number}", ordering_key=key)
    async with working(db, {"k": handler}, System()), working(db, {"k": handler}, System()):
        await until(lambda: empty(db))
    assert overlaps == []
    for key in "abc":
        assert [name for name in order if name[0] == key] == [f"{key}{number}" for number in range(6)]


async def test_a_buried_head_lets_its_key_go_on(db):
    done = []

    async def handler(job, context):
        if job.decode(str) == "0":
            raise Bury("poison")
        done.append(job.decode(str))

    async with working(db, {"k": handler}, System()):
        for number in range(4):
            await put(db, payload=f"{number}", ordering_key="key")
        await until(lambda: len(done) == 3)
    assert done == ["1", "2", "3"]


async def claim(db, clock, *, owner="w", limit=1, lane=Lane.NORMAL):
    return await db.transact(
        lambda tx: queries.claim(
            tx,
            db.dialect,
            lane,
            owner=owner,
            limit=limit,
            now_us=clock.now_us(),
            lease_end_us=clock.now_us() + 60_000_000,
            timed_first=True,
        ),
        isolation=Isolation.READ_COMMITTED,
    )


async def test_a_lease_protects_until_it_ends_and_its_holder_then_has_lost(db, clock):
    await put(db)
    (job,) = await claim(db, clock, owner="one")
    assert await claim(db, clock, owner="two") == []
    clock.advance(59)
    assert await claim(db, clock, owner="two") == []
    clock.advance(2)
    assert await claim(db, clock, owner="one") == []  # a worker never takes back what it runs itself (D7)
    (again,) = await claim(db, clock, owner="two")
    assert (again.id, again.attempt, again.failures) == (job.id, 2, 1)
    with pytest.raises(LeaseLost):
        await db.transact(lambda tx: queries.finish(tx, job))
    assert not await db.transact(lambda tx: queries.renew(tx, job, clock.now_us()))
    await db.transact(lambda tx: queries.finish(tx, again))
    assert await empty(db)


async def test_two_running_jobs_of_one_key_are_impossible_in_the_table_itself(db, clock):
    await put(db, ordering_key="key")
    await put(db, ordering_key="key")
    assert len(await claim(db, clock, limit=10)) == 1
    with pytest.raises(Conflict):
        await db.transact(lambda tx: tx.execute("UPDATE jobs SET state = 'running', lease = 'x'"))


async def test_claims_at_once_give_each_job_to_one_worker(db, clock):
    for _ in range(40):
        await put(db)
    taken = await asyncio.gather(*(claim(db, clock, owner=f"w{n}", limit=5) for n in range(12)))
    claimed = [job.id for jobs in taken for job in jobs]
    assert len(claimed) == len(set(claimed)) <= 40
    while more := await claim(db, clock, owner="last", limit=7):
        claimed += [job.id for job in more]
    assert sorted(claimed) == sorted(await rows(db))


async def test_a_stop_lets_handlers_finish_and_releases_the_leases_of_the_rest(db):
    started, release, done = [], asyncio.Event(), []

    async def handler(job, context):
        started.append(job.id)
        if job.decode(str) == "quick":
            await release.wait()
            done.append(job.id)
        else:
            await asyncio.Event().wait()

    quick = await put(db, payload="quick")
    stuck = await put(db, payload="stuck")
    async with working(db, {"k": handler}, System(), grace_s=0.3):
        await until(lambda: len(started) == 2)
        release.set()
    assert done == [quick]
    (row,) = (await rows(db)).values()
    assert (row["id"], row["state"], row["attempt"], row["failures"], row["lease"]) == (stuck, "waiting", 0, 0, None)


async def test_leases_are_renewed_while_a_handler_works(db):
    settings = msgspec.structs.replace(QUICK, lease_s=4.0)
    starts, release = [], asyncio.Event()

    async def ends():
        (row,) = (await rows(db)).values()
        return row["due_us"]

    async def handler(job, context):
        starts.append(job.id)
        await release.wait()

    async with working(db, {"k": handler}, System(), settings=settings):
        await put(db)
        await until(lambda: starts)
        first = await ends()

        async def first_lease_is_over():
            return await ends() > first + 4_000_000

        async with working(db, {"k": handler}, System(), settings=settings):
            await until(first_lease_is_over)
            release.set()
            await until(lambda: empty(db))
    assert len(starts) == 1


async def test_a_handler_whose_lease_was_taken_is_cancelled(db):
    settings = msgspec.structs.replace(QUICK, lease_s=0.2)
    cancelled = asyncio.Event()

    async def handler(job, context):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with working(db, {"k": handler}, System(), settings=settings):
        await put(db)
        await until(lambda: _state(db, "running"))
        await db.transact(lambda tx: tx.execute("UPDATE jobs SET lease = 'another', due_us = $1", 2**60))
        async with asyncio.timeout(30):
            await cancelled.wait()
    assert await _state(db, "running")


async def _state(db, state):
    return any(row["state"] == state for row in (await rows(db)).values())


async def test_a_handler_has_a_time_limit_and_may_not_swallow_a_slot(db):
    settings = msgspec.structs.replace(QUICK, handler_limit_s=0.05, normal_slots=1)

    async def forever(job, context):
        await asyncio.Event().wait()

    async def cancelled(job, context):
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    async with working(db, {"forever": forever, "cancelled": cancelled}, System(), settings=settings):
        await put(db, "forever")
        await put(db, "cancelled")
        await until(lambda: _buried(db, 2))
    assert {letter.kind: letter.reason for letter in await dead_letters(db)} == {
        "forever": "TimeoutError",
        "cancelled": "job-handler-cancelled",
    }


async def test_a_periodic_job_runs_once_a_period_over_all_workers(db):
    clock = System()
    runs = []

    async def handler(job, context):
        runs.append(job.id)

    periodic = [Periodic("tick", 1000, handler)]
    async with working(db, {}, clock, periodic=periodic), working(db, {}, clock, periodic=periodic):
        await until(lambda: len(runs) == 1)
        await asyncio.sleep(0.15)
        assert len(runs) == 1
        clock.advance(1000)
        await until(lambda: len(runs) == 2)
        await asyncio.sleep(0.15)
    assert len(runs) == 2


async def test_periods_survive_a_clock_that_was_far_ahead(db):
    first = await db.transact(lambda tx: queries.start_period(tx, "tick", 10_000))
    back = await db.transact(lambda tx: queries.start_period(tx, "tick", 50))
    behind = await db.transact(lambda tx: queries.start_period(tx, "tick", 49))
    again = await db.transact(lambda tx: queries.start_period(tx, "tick", 50))
    assert (first, back, behind, again) == (True, True, False, False)


async def test_the_backlog_counts_and_ages(db, clock):
    await put(db)
    await put(db, run_at_us=clock.now_us() + 10_000_000)
    await put(db, lane=Lane.URGENT, run_at_us=clock.now_us() - 5_000_000)
    clock.advance(2)
    lanes = {one.lane: one for one in await backlog(db, clock.now_us())}
    normal, urgent = lanes[Lane.NORMAL], lanes[Lane.URGENT]
    assert (normal.waiting, normal.due, normal.running, normal.buried) == (2, 1, 0, 0)
    assert 0 <= normal.oldest_due_age_us <= 2_000_000
    assert (urgent.due, lanes[Lane.BULK].waiting, lanes[Lane.BULK].oldest_age_us) == (1, 0, 0)
    assert urgent.oldest_due_age_us <= 2_000_000  # created just now, however early it asked to run
    await claim(db, clock)
    lanes = {one.lane: one for one in await backlog(db, clock.now_us())}
    assert (lanes[Lane.NORMAL].running, lanes[Lane.NORMAL].due) == (1, 0)
