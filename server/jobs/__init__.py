"""The outbox, which is also the job queue: rows are stored in the caller's transaction, workers lease them.

Every outside effect is a job (architecture, rule 3). A job may run more than once; `Context.finish` makes its effect
in the database happen exactly once.
"""

from server.jobs.model import Backlog, Bury, Context, Handler, Job, JobsError, Lane, LeaseLost, Periodic, Retry
from server.jobs.queries import DeadLetter, backlog, dead_letters, enqueue, hasten, is_waiting_for, revive
from server.jobs.schedule import Schedule
from server.jobs.wakeup import LocalWakeup, Wakeup, connect
from server.jobs.worker import Outcome, Worker, WorkerSettings

__all__ = [
    "Backlog",
    "Bury",
    "Context",
    "DeadLetter",
    "Handler",
    "Job",
    "JobsError",
    "Lane",
    "LeaseLost",
    "LocalWakeup",
    "Outcome",
    "Periodic",
    "Retry",
    "Schedule",
    "Wakeup",
    "Worker",
    "WorkerSettings",
    "backlog",
    "connect",
    "dead_letters",
    "enqueue",
    "hasten",
    "is_waiting_for",
    "revive",
]
