# ruff: noqa: N818 - errors are named after what happened; their base says that they are errors
"""Values of the job queue, and what a handler may raise."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TypeVar

import msgspec

from server.clock import Clock
from server.db import Database, Transaction
from server.errors import HoatocError

P = TypeVar("P")


class Lane(StrEnum):
    """Lanes have their own slots in a worker, so a full one never holds up another."""

    URGENT = "urgent"
    NORMAL = "normal"
    BULK = "bulk"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed job. `attempt` starts at 1 and counts every claim; `failures` only those that ended badly before."""

    id: str
    kind: str
    lane: Lane
    payload: bytes
    ordering_key: str | None
    created_us: int
    attempt: int
    failures: int
    lease: str

    def decode(self, type_: type[P]) -> P:
        """The payload as `type_`. Raises msgspec.ValidationError, which counts as a failure of the job."""
        return msgspec.json.decode(self.payload, type=type_)


class JobsError(HoatocError):
    code = "jobs-error"


class LeaseLost(JobsError):
    """The lease ran out and another worker may have the job: the transaction that noticed must not commit."""

    code = "job-lease-lost"


class Retry(JobsError):
    """Raised by a handler: not now. Counts as an attempt but not as a failure, so it may go on for days (D3).

    `after_s` None takes the queue's schedule. `reason` is a code for logs and the row; no content (A14).
    """

    code = "job-retry"

    def __init__(self, after_s: float | None = None, reason: str = "") -> None:
        super().__init__(reason)
        self.after_s = after_s
        self.reason = reason


class Bury(JobsError):
    """Raised by a handler: never again without a person. Becomes a dead letter with an alarm (D14)."""

    code = "job-buried"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Context:
    """What a handler gets beside its job."""

    def __init__(
        self, db: Database, clock: Clock, job: Job, finish: Callable[[Transaction, Job], Awaitable[None]]
    ) -> None:
        self.db = db
        self.clock = clock
        self.finished = False
        self._job = job
        self._finish = finish

    async def finish(self, tx: Transaction) -> None:
        """Mark the job done inside the handler's own transaction, so that its effect and its end are one commit.

        Raises LeaseLost, which rolls that transaction back. Without this call the job is finished after the return.
        """
        await self._finish(tx, self._job)
        tx.after_commit(self._mark)

    def _mark(self) -> None:
        self.finished = True


Handler = Callable[[Job, Context], Awaitable[None]]


class Periodic(msgspec.Struct, frozen=True):
    """A job that is started once per period of `every_s` seconds, over all processes together."""

    kind: str
    every_s: int
    handler: Handler
    lane: Lane = Lane.NORMAL


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """One lane as metrics and `doctor` show it. Ages are microseconds, 0 when there is nothing."""

    lane: Lane
    waiting: int
    due: int
    running: int
    buried: int
    oldest_due_age_us: int
    oldest_age_us: int
