"""All SQL of the job queue. Every change of a claimed row is conditional on its lease."""

import msgspec

from server.clock import SystemClock
from server.db import Transaction
from server.ids import new_id
from server.jobs.model import Lane

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
