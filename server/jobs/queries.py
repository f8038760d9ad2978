"""All SQL of the job queue. Every change of a claimed row is conditional on its lease."""

import msgspec

from server.clock import SystemClock
from server.db import Dialect, Reads, Row, Transaction, into
from server.ids import new_id
from server.jobs.model import Backlog, Job, Lane, LeaseLost

_clock = SystemClock()

TOPIC = "jobs:"


async def enqueue(
    tx: Transaction,
    kind: str,
    payload: msgspec.Struct | dict[str, object],
    *,
    lane: Lane = Lane.NORMAL,
    run_at_us: int | None = None,
    ordering_key: str | None = None,
    dedupe_key: str | None = None,
) -> str:
    """Store a job in the caller's transaction; its id.

    `run_at_us` None means at once, whatever any clock says. Of one `ordering_key` one job at a time runs, in order of
    creation; a buried one lets the next go on. A `dedupe_key` already held by a job that is not finished or buried
    absorbs this one, and that job's id is returned: the key must name all that the handler acts on.
    """
    job_id = new_id()
    row = await tx.fetch_one(
        "INSERT INTO jobs (id, kind, lane, payload, ordering_key, dedupe_key, state, due_us, created_us, attempt,"
        " failures) VALUES ($1, $2, $3, $4, $5, $6, 'waiting', $7, $8, 0, 0)"
        " ON CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING RETURNING id",
        job_id,
        kind,
        lane.value,
        msgspec.json.encode(payload).decode(),
        ordering_key,
        dedupe_key,
        run_at_us or 0,
        _clock.now_us(),
    )
    if row is None:
        row = await tx.fetch_one("SELECT id FROM jobs WHERE dedupe_key = $1", dedupe_key)
        if row is None:  # both statements see one snapshot
            raise AssertionError("a job that absorbed another is gone within one transaction")
        return str(row["id"])
    tx.signal(TOPIC + lane.value)
    return job_id


# One text; PostgreSQL passes over rows that another claim holds. A candidate of an ordering key is the oldest one
# waiting, and none of its key runs. A running row is due when its lease has ended, but a worker never takes back what
# it runs itself: a jump of the clock ends leases early (D7).
_CLAIM = """
WITH picked AS MATERIALIZED (
  SELECT id FROM jobs AS candidate
  WHERE lane = $4 AND state <> 'buried' AND due_us <= $5 AND due_us >= $6
    AND (state = 'waiting' OR owner <> $1)
    AND (ordering_key IS NULL OR NOT EXISTS (
      SELECT 1 FROM jobs AS other
      WHERE other.ordering_key = candidate.ordering_key AND other.state <> 'buried' AND other.id <> candidate.id
        AND (other.state = 'running' OR (candidate.state = 'waiting' AND other.id < candidate.id))))
  ORDER BY due_us, id LIMIT $7{skip_locked})
UPDATE jobs SET state = 'running', owner = $1, lease = $2, due_us = $3, attempt = attempt + 1, failures = failures + 1
WHERE id IN (SELECT id FROM picked)
RETURNING id, kind, lane, payload, ordering_key, created_us, attempt, failures, lease
"""
_CLAIMS = {
    Dialect.SQLITE: _CLAIM.format(skip_locked=""),
    Dialect.POSTGRES: _CLAIM.format(skip_locked=" FOR UPDATE SKIP LOCKED"),
}


async def claim(
    tx: Transaction,
    dialect: Dialect,
    lane: Lane,
    *,
    owner: str,
    limit: int,
    now_us: int,
    lease_end_us: int,
    timed_first: bool,
) -> list[Job]:
    """Lease up to `limit` due jobs of `lane` to `owner` until `lease_end_us`.

    Jobs stored for "at once" and those with a time (scheduled, retried, of a lost lease) take turns at going first,
    so that neither stream can hold up the other.
    """
    jobs: list[Job] = []
    for floor in (1, 0) if timed_first else (0,):
        if len(jobs) < limit:
            lease = new_id()
            rows = await tx.fetch_all(
                _CLAIMS[dialect], owner, lease, lease_end_us, lane.value, now_us, floor, limit - len(jobs)
            )
            jobs += [_job(row) for row in rows]
    return sorted(jobs, key=lambda job: job.id)


def _job(row: Row) -> Job:
    return Job(
        id=row["id"],
        kind=row["kind"],
        lane=Lane(row["lane"]),
        payload=row["payload"].encode(),
        ordering_key=row["ordering_key"],
        created_us=row["created_us"],
        attempt=row["attempt"],
        failures=row["failures"] - 1,  # the claim counts as one until it ends well
        lease=row["lease"],
    )


async def finish(tx: Transaction, job: Job) -> None:
    """Remove a finished job. Raises LeaseLost if another claim has it."""
    _held(await tx.execute("DELETE FROM jobs WHERE id = $1 AND lease = $2", job.id, job.lease))
    if job.ordering_key is not None:
        tx.signal(TOPIC + job.lane.value)  # the next of the key may go


async def reschedule(tx: Transaction, job: Job, *, due_us: int, failures: int, attempt: int, reason: str) -> None:
    """Give the lease back; the job waits until `due_us`. Raises LeaseLost."""
    _held(
        await tx.execute(
            "UPDATE jobs SET state = 'waiting', owner = NULL, lease = NULL, due_us = $3, failures = $4, attempt = $5,"
            " reason = $6 WHERE id = $1 AND lease = $2",
            job.id,
            job.lease,
            due_us,
            failures,
            attempt,
            reason,
        )
    )


async def bury(tx: Transaction, job: Job, *, failures: int, reason: str) -> None:
    """Make the job a dead letter: it keeps its payload, frees its keys and is never claimed. Raises LeaseLost."""
    _held(
        await tx.execute(
            "UPDATE jobs SET state = 'buried', owner = NULL, lease = NULL, dedupe_key = NULL, failures = $3,"
            " reason = $4 WHERE id = $1 AND lease = $2",
            job.id,
            job.lease,
            failures,
            reason,
        )
    )
    if job.ordering_key is not None:
        tx.signal(TOPIC + job.lane.value)


async def renew(tx: Transaction, job: Job, lease_end_us: int) -> bool:
    """Whether the lease was still held, and now ends at `lease_end_us`."""
    changed = await tx.execute(
        "UPDATE jobs SET due_us = $3 WHERE id = $1 AND lease = $2", job.id, job.lease, lease_end_us
    )
    return changed == 1


def _held(changed: int) -> None:
    if changed != 1:
        raise LeaseLost("the lease of this job was lost")


async def revive(tx: Transaction, job_id: str) -> str | None:
    """Let a dead letter run again from the start; its kind, or None where there is none. For the operator."""
    row = await tx.fetch_one(
        "UPDATE jobs SET state = 'waiting', due_us = 0, attempt = 0, failures = 0, reason = NULL"
        " WHERE id = $1 AND state = 'buried' RETURNING lane, kind",
        job_id,
    )
    if row is None:
        return None
    tx.signal(TOPIC + str(row["lane"]))
    return str(row["kind"])


async def is_waiting_for(db: Reads, reason: str) -> bool:
    """Whether a job was put off for this reason and waits."""
    return (
        await db.fetch_one("SELECT 1 AS one FROM jobs WHERE state = 'waiting' AND reason = $1 LIMIT 1", reason)
        is not None
    )


async def hasten(tx: Transaction, reason: str, *, limit: int | None = None, kept: bool = False) -> int:
    """Let jobs that were put off for this reason run at once; how many. Of some, those that are due first: one that was put off again comes last.

    `kept`: until they run, they wait for this reason still.
    """
    said = "" if kept else ", reason = NULL"
    changed = await tx.execute(
        f"UPDATE jobs SET due_us = 0{said} WHERE id IN (SELECT id FROM jobs WHERE state = 'waiting' AND reason = $1"
        " ORDER BY due_us, id LIMIT $2)",
        reason,
        1 << 31 if limit is None else limit,
    )
    if changed:
        for lane in Lane:
            tx.signal(TOPIC + lane.value)
    return changed


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """`ordering_key` tells what the job is about, where it has one: `exchange:` and a document's id."""

    id: str
    kind: str
    ordering_key: str | None
    created_us: int
    attempt: int
    reason: str | None


async def dead_letters(db: Reads, *, limit: int = 100) -> list[DeadLetter]:
    """The oldest dead letters, without their payloads."""
    rows = await db.fetch_all(
        "SELECT id, kind, ordering_key, created_us, attempt, reason FROM jobs WHERE state = 'buried' ORDER BY created_us LIMIT $1",
        limit,
    )
    return [into(row, DeadLetter) for row in rows]


async def start_period(tx: Transaction, kind: str, period: int) -> bool:
    """Whether this caller is the first of all processes to start `period` of the periodic job `kind`.

    A process one period behind starts nothing; a stored period further ahead was written by a wrong clock and yields.
    """
    changed = await tx.execute(
        "INSERT INTO job_periods (kind, period) VALUES ($1, $2)"
        " ON CONFLICT (kind) DO UPDATE SET period = excluded.period"
        " WHERE job_periods.period < excluded.period OR job_periods.period > excluded.period + 1",
        kind,
        period,
    )
    return changed == 1


async def backlog(db: Reads, now_us: int) -> list[Backlog]:
    """Depth and ages of every lane, for metrics and `doctor`."""
    rows = await db.fetch_all(
        "SELECT lane,"
        " count(CASE WHEN state = 'waiting' THEN 1 END) AS waiting,"
        " count(CASE WHEN state = 'waiting' AND due_us <= $1 THEN 1 END) AS due,"
        " count(CASE WHEN state = 'running' THEN 1 END) AS running,"
        " count(CASE WHEN state = 'buried' THEN 1 END) AS buried,"
        " min(CASE WHEN state = 'waiting' AND due_us <= $1"
        " THEN CASE WHEN due_us < created_us THEN created_us ELSE due_us END END) AS oldest_due_us,"
        " min(CASE WHEN state <> 'buried' THEN created_us END) AS oldest_us"
        " FROM jobs GROUP BY lane",
        now_us,
    )
    by_lane = {row["lane"]: row for row in rows}
    return [_backlog(lane, by_lane.get(lane.value), now_us) for lane in Lane]


def _backlog(lane: Lane, row: Row | None, now_us: int) -> Backlog:
    if row is None:
        return Backlog(lane=lane, waiting=0, due=0, running=0, buried=0, oldest_due_age_us=0, oldest_age_us=0)
    return Backlog(
        lane=lane,
        waiting=row["waiting"],
        due=row["due"],
        running=row["running"],
        buried=row["buried"],
        oldest_due_age_us=max(0, now_us - (row["oldest_due_us"] or now_us)),
        oldest_age_us=max(0, now_us - (row["oldest_us"] or now_us)),
    )
