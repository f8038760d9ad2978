"""The worker: claims due jobs lane by lane, runs their handlers, keeps their leases, and settles how they ended.

A job whose worker dies is claimed again when its lease ends; that claim stays counted as a failure, so a job that
kills its workers ends as a dead letter too (D14). A lease that could not be renewed cancels its handler: what the
handler then still does to the database fails at `Context.finish`.

Longer than most: claiming, keeping and settling a lease are one protocol.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum

import msgspec
import structlog

from server import crash
from server.clock import Clock
from server.db import Database, DatabaseError, Isolation, OutcomeUnknown, Transaction
from server.errors import HoatocError
from server.ids import new_id
from server.jobs import queries
from server.jobs.clock import LeaseTime
from server.jobs.model import Bury, Context, Handler, Job, Lane, LeaseLost, Periodic, Retry
from server.jobs.schedule import Schedule
from server.jobs.wakeup import Wakeup

_log = structlog.get_logger()

OnBury = Callable[[Transaction, Job, str], Awaitable[None]]
Observe = Callable[[Job, "Outcome", int], None]


class Outcome(StrEnum):
    DONE = "done"
    RETRIED = "retried"
    FAILED = "failed"
    BURIED = "buried"
    LOST = "lost"


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Slots per lane, and the times of a lease, which is renewed for as long as a handler may take."""

    urgent_slots: int = 8
    normal_slots: int = 8
    bulk_slots: int = 2
    poll_s: float = 1.0
    lease_s: float = 60.0
    handler_limit_s: float = 600.0
    max_failures: int = 10
    schedule: Schedule = Schedule()

    def slots(self, lane: Lane) -> int:
        return {Lane.URGENT: self.urgent_slots, Lane.NORMAL: self.normal_slots, Lane.BULK: self.bulk_slots}[lane]


class _Running:
    """A job in a slot. `lease_end_us` is by the monotonic clock."""

    def __init__(self, job: Job, task: "asyncio.Task[None]", lease_end_us: int) -> None:
        self.job = job
        self.task = task
        self.lease_end_us = lease_end_us


class Worker:
    """`on_bury` runs inside the burying transaction (store an alarm there); `observe` gets each outcome and its
    microseconds, for metrics.
    """

    def __init__(
        self,
        db: Database,
        handlers: Mapping[str, Handler],
        clock: Clock,
        wakeup: Wakeup,
        *,
        settings: WorkerSettings | None = None,
        periodic: Sequence[Periodic] = (),
        on_bury: OnBury | None = None,
        observe: Observe | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._db = db
        self._handlers = {**handlers, **{one.kind: one.handler for one in periodic}}
        self._clock = clock
        self._time = LeaseTime(db, clock)
        self._wakeup = wakeup
        self._settings = settings or WorkerSettings()
        self._periodic = periodic
        self._periods: dict[str, int] = {}
        self._on_bury = on_bury
        self._observe = observe
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._owner = new_id()
        self._running: dict[str, _Running] = {}
        self._full: set[Lane] = set()
        self._timed_first = False
        self._nudge = asyncio.Event()
        self._stopping = False
        self._grace_s = 0.0
        self._ended = asyncio.Event()
        self._ended.set()

    async def run(self) -> None:
        """Work until `stop`. Survives a database that goes away; a cancellation releases every lease at once."""
        self._ended.clear()
        helpers = [asyncio.create_task(self._listen()), asyncio.create_task(self._keep_leases())]
        try:
            await self._work()
        finally:
            try:
                await self._drain()
            finally:
                for helper in helpers:
                    helper.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
                self._ended.set()

    async def stop(self, grace_s: float = 20.0) -> None:
        """Claim nothing more, let what runs finish for `grace_s` seconds, cancel the rest and release its leases."""
        self._grace_s = grace_s
        self._stopping = True
        self._nudge.set()
        await self._ended.wait()

    # -- claiming

    async def _work(self) -> None:
        pause_s = 0.1
        synchronised = False
        while not self._stopping:
            self._nudge.clear()
            try:
                if not synchronised:
                    await self._time.synchronise()
                    synchronised = True
                await self._start_periods()
                await self._claim()
                pause_s = 0.1
            except Exception as error:  # a worker that stopped claiming would look alive and do nothing (D10)
                # Rows of a claim whose answer was lost stay with the old name until their leases end.
                self._owner = new_id()
                _log.warning("jobs-database-error", code=_code(error), exc_info=not isinstance(error, DatabaseError))
                await asyncio.sleep(self._rng.uniform(0, pause_s))
                pause_s = min(5.0, pause_s * 2)
                continue
            await self._nudge.wait()

    async def _listen(self) -> None:
        """Turn wake-ups and the passing of the polling period into nudges."""
        while True:
            await self._wakeup.wait(self._settings.poll_s * self._rng.uniform(0.75, 1.25))
            self._nudge.set()

    async def _claim(self) -> None:
        free = {lane: self._free(lane) for lane in Lane}
        self._full = {lane for lane, slots in free.items() if slots == 0}
        self._timed_first = not self._timed_first
        now_us = self._time.now_us()
        taken_us = self._clock.monotonic_us()
        lease_us = round(self._settings.lease_s * 1_000_000)

        async def body(tx: Transaction) -> list[Job]:
            jobs: list[Job] = []
            for lane, slots in free.items():
                if slots:
                    jobs += await queries.claim(
                        tx,
                        self._db.dialect,
                        lane,
                        owner=self._owner,
                        limit=slots,
                        now_us=now_us,
                        lease_end_us=now_us + lease_us,
                        timed_first=self._timed_first,
                    )
            return jobs

        jobs = await self._db.transact(body, isolation=Isolation.READ_COMMITTED)
        crash.point("jobs.claimed")
        for job in jobs:
            if job.id in self._running:  # claimed again under a new name: the old lease is gone
                self._lose(self._running[job.id])
            task = asyncio.create_task(self._run(job), name=f"job-{job.kind}")
            self._running[job.id] = _Running(job, task, taken_us + lease_us)
        self._full |= {lane for lane in Lane if self._free(lane) == 0}

    def _free(self, lane: Lane) -> int:
        taken = sum(1 for running in self._running.values() if running.job.lane is lane)
        return max(0, self._settings.slots(lane) - taken)

    async def _start_periods(self) -> None:
        for periodic in self._periodic:
            period = self._time.now_us() // (periodic.every_s * 1_000_000)
            if self._periods.get(periodic.kind) == period:
                continue
            await self._db.transact(_starter(periodic, period))
            self._periods[periodic.kind] = period

    # -- running

    async def _run(self, job: Job) -> None:
        context = Context(self._db, self._clock, job, queries.finish)
        started_us = self._clock.monotonic_us()
        with structlog.contextvars.bound_contextvars(job=job.id, kind=job.kind, attempt=job.attempt):
            try:
                outcome = await self._handle(job, context)
                self._running.pop(job.id, None)
                if self._observe is not None:
                    self._observe(job, outcome, self._clock.monotonic_us() - started_us)
            except Exception:  # whatever went wrong in settling, the slot is free again and the lease runs out
                _log.exception("job-not-settled")
                self._running.pop(job.id, None)
            finally:
                if job.lane in self._full:
                    self._nudge.set()

    async def _handle(self, job: Job, context: Context) -> Outcome:
        """Run the handler and store how it ended. Only a cancellation gets out."""
        limit = self._settings.max_failures
        if job.failures >= limit:
            return await self._bury(job, job.failures, "workers-died")
        try:
            handler = self._handlers.get(job.kind)
            if handler is None:
                raise NoHandlerError
            async with asyncio.timeout(self._settings.handler_limit_s):
                await handler(job, context)
        except Retry as retry:
            return await self._retry(job, retry)
        except Bury as bury:
            return await self._bury(job, job.failures + 1, bury.reason)
        except LeaseLost:
            return Outcome.LOST
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return await self._fail(job, context, HandlerCancelledError())
        except Exception as error:  # a handler's defect is its job's failure, never the worker's (D14)
            return await self._fail(job, context, error)
        if context.finished:
            return Outcome.DONE
        return await self._settle(job, lambda tx: queries.finish(tx, job), Outcome.DONE)

    async def _retry(self, job: Job, retry: Retry) -> Outcome:
        delay_us = self._settings.schedule.delay_us(job.attempt, self._rng)
        if retry.after_s is not None:
            delay_us = round(retry.after_s * 1_000_000)
        return await self._reschedule(job, delay_us, job.failures, retry.reason or retry.code, Outcome.RETRIED)

    async def _fail(self, job: Job, context: Context, error: Exception) -> Outcome:
        # The code or the class: messages of foreign errors may quote content (A14).
        reason = error.code if isinstance(error, HoatocError) else type(error).__name__
        _log.warning("job-failed", reason=reason, exc_info=not isinstance(error, HoatocError | TimeoutError))
        if context.finished:
            return Outcome.DONE
        failures = job.failures + 1
        if failures >= self._settings.max_failures:
            return await self._bury(job, failures, reason)
        delay_us = self._settings.schedule.delay_us(failures, self._rng)
        return await self._reschedule(job, delay_us, failures, reason, Outcome.FAILED)

    async def _reschedule(self, job: Job, delay_us: int, failures: int, reason: str, outcome: Outcome) -> Outcome:
        due_us = self._time.now_us() + delay_us

        async def body(tx: Transaction) -> None:
            await queries.reschedule(tx, job, due_us=due_us, failures=failures, attempt=job.attempt, reason=reason)

        return await self._settle(job, body, outcome)

    async def _bury(self, job: Job, failures: int, reason: str) -> Outcome:
        _log.error("job-buried", reason=reason, failures=failures)

        async def body(tx: Transaction) -> None:
            await queries.bury(tx, job, failures=failures, reason=reason)

        async def body_with_alarm(tx: Transaction) -> None:
            await body(tx)
            if self._on_bury is not None:
                await self._on_bury(tx, job, reason)

        try:
            return await self._settle(job, body_with_alarm, Outcome.BURIED, Isolation.SERIALIZABLE)
        except Exception:  # an alarm that cannot be stored must not keep a poisonous job alive
            _log.exception("job-alarm-failed")
            return await self._settle(job, body, Outcome.BURIED)

    async def _settle(
        self,
        job: Job,
        body: Callable[[Transaction], Awaitable[None]],
        outcome: Outcome,
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> Outcome:
        """Store how a job ended; again while the database is away and the lease lasts."""
        pause_s = 0.1
        unknown = False
        while True:
            try:
                await self._db.transact(body, isolation=isolation)
                return outcome
            except LeaseLost:
                # After an unknown outcome the missing row is our own commit.
                return outcome if unknown else Outcome.LOST
            except DatabaseError as error:
                unknown = unknown or isinstance(error, OutcomeUnknown)
                running = self._running.get(job.id)
                if running is None or self._clock.monotonic_us() > running.lease_end_us:
                    return Outcome.LOST
                _log.warning("job-not-settled", code=error.code)
            await asyncio.sleep(self._rng.uniform(0, pause_s))
            pause_s = min(5.0, pause_s * 2)

    # -- leases

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_s / 3)
            try:
                await self._time.synchronise()
                await self._renew()
            except Exception as error:  # as above: whoever does not renew loses every job
                _log.warning("leases-not-renewed", code=_code(error), exc_info=not isinstance(error, DatabaseError))
            now_us = self._clock.monotonic_us()
            for running in list(self._running.values()):
                if running.lease_end_us <= now_us:
                    self._lose(running)

    async def _renew(self) -> None:
        held = list(self._running.values())
        if not held:
            return
        lease_us = round(self._settings.lease_s * 1_000_000)
        taken_us = self._clock.monotonic_us()
        lease_end_us = self._time.now_us() + lease_us

        async def body(tx: Transaction) -> list[bool]:
            return [await queries.renew(tx, running.job, lease_end_us) for running in held]

        for running, renewed in zip(
            held, await self._db.transact(body, isolation=Isolation.READ_COMMITTED), strict=True
        ):
            if renewed:
                running.lease_end_us = taken_us + lease_us
            else:
                self._lose(running)

    def _lose(self, running: _Running) -> None:
        if self._running.pop(running.job.id, None) is not None:
            _log.warning("job-lease-lost", job=running.job.id, kind=running.job.kind)
            running.task.cancel()

    async def _drain(self) -> None:
        if self._running and self._grace_s > 0:
            await asyncio.wait([running.task for running in self._running.values()], timeout=self._grace_s)
        left = list(self._running.values())
        for running in left:
            running.task.cancel()
        await asyncio.gather(*(running.task for running in left), return_exceptions=True)
        jobs = [running.job for running in left if running.job.id in self._running]
        self._running.clear()
        if jobs:
            await self._release(jobs)

    async def _release(self, jobs: list[Job]) -> None:
        """Give leases back as if the jobs had not been claimed, so that the next worker need not wait for their end."""

        def body_of(job: Job) -> Callable[[Transaction], Awaitable[None]]:
            async def body(tx: Transaction) -> None:
                await queries.reschedule(
                    tx, job, due_us=0, failures=job.failures, attempt=job.attempt - 1, reason="released"
                )
                tx.signal(queries.TOPIC + job.lane.value)

            return body

        for job in jobs:
            try:
                await self._db.transact(body_of(job), isolation=Isolation.READ_COMMITTED)
            except (LeaseLost, DatabaseError) as error:
                _log.warning("lease-not-released", job=job.id, code=error.code)


class HandlerCancelledError(HoatocError):
    """The handler let the cancellation of something it had awaited escape."""

    code = "job-handler-cancelled"


class NoHandlerError(HoatocError):
    """The worker does not know this kind of job: it may be of a newer program in a rolling update."""

    code = "job-without-handler"


def _code(error: Exception) -> str:
    return error.code if isinstance(error, HoatocError) else type(error).__name__


def _starter(periodic: Periodic, period: int) -> Callable[[Transaction], Awaitable[None]]:
    async def body(tx: Transaction) -> None:
        if await queries.start_period(tx, periodic.kind, period):
            key = f"periodic:{periodic.kind}"
            await queries.enqueue(tx, periodic.kind, {}, lane=periodic.lane, dedupe_key=key)

    return body
