"""The outbox, which is also the job queue: rows are stored in the caller's transaction, workers lease them.

Every outside effect is a job (architecture, rule 3). A job may run more than once; `Context.finish` makes its effect
in the database happen exactly once.
"""

from server.jobs.model import Backlog, Bury, Context, Handler, Job, JobsError, Lane, LeaseLost, Periodic, Retry
from server.jobs.queries import enqueue

__all__ = [
    "Backlog",
    "Bury",
    "Context",
    "Handler",
    "Job",
    "JobsError",
    "Lane",
    "LeaseLost",
    "Periodic",
    "Retry",
    "enqueue",
]
