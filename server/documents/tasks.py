"""Jobs of documents: the alarm for whatever stands too long in a state."""

from collections.abc import Mapping

import structlog

from server import audit, once
from server.clock import Clock
from server.db import Database, Transaction
from server.documents import queries
from server.documents.model import DocumentRow
from server.documents.service import SYSTEM, publish
from server.jobs import Context, Handler, Job, Periodic
from server.metrics import Metrics

log = structlog.get_logger()


class DocumentTasks:
    def __init__(self, db: Database, clock: Clock, metrics: Metrics) -> None:
        self._db = db
        self._clock = clock
        self._metrics = metrics

    def handlers(self) -> Mapping[str, Handler]:
        return {}

    def periodic(self) -> list[Periodic]:
        return [
            Periodic(kind="documents.alarm", every_s=30, handler=self.alarm),
            Periodic(kind="once.sweep", every_s=3600, handler=self.sweep),
        ]

    async def sweep(self, _job: Job, _context: Context) -> None:
        """Forget first answers that nobody will ask for again (C16)."""
        await self._db.transact(lambda tx: once.sweep(tx, self._clock.now_us()))

    async def alarm(self, _job: Job, _context: Context) -> None:
        """Every state that is not final has a time after which people are told (architecture §6)."""
        for row in await queries.overdue(self._db, self._clock.now_us(), 500):
            if await self._db.transact(lambda tx, row=row: self._one(tx, row)):  # type: ignore[misc]
                self._metrics.overdue(row.state.value)
                log.warning("document-overdue", document=row.id, state=row.state.value)

    async def _one(self, tx: Transaction, row: DocumentRow) -> bool:
        assert row.state_due_us is not None
        now_us = self._clock.now_us()
        if not await queries.mark_alarmed(tx, row.id, due_us=row.state_due_us, now_us=now_us):
            return False
        await audit.append(
            tx,
            "document.overdue",
            organisation=row.organisation,
            actor=SYSTEM,
            subject=row.id,
            body={"state": row.state.value, "due_us": row.state_due_us},
            now_us=now_us,
        )
        await publish(tx, row, "document.overdue", row.state, detail={}, now_us=now_us)
        return True
