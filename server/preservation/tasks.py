"""Jobs of preservation: the archive's revision, and the watch over the last stamps' certificates."""

from collections.abc import Mapping

from server.clock import Clock
from server.db import Database
from server.documents.service import Archive, preserve
from server.jobs import Context, Handler, Job, Periodic
from server.preservation.service import PreservationService

_AT_ONCE = 200


class PreservationTasks:
    def __init__(self, preservation: PreservationService, db: Database, clock: Clock) -> None:
        self._preservation = preservation
        self._db = db
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        return {"preservation.archive": self.archive}

    def periodic(self) -> list[Periodic]:
        return [Periodic(kind="preservation.renewals", every_s=3600, handler=self.renewals)]

    async def archive(self, job: Job, context: Context) -> None:
        await self._preservation.archive(job.decode(Archive).document, context)

    async def renewals(self, _job: Job, _context: Context) -> None:
        """Archives whose last stamp can be proven only a while longer get the next one (EN 319 142-1, 5.5)."""
        for document, _urgency in await self._preservation.renewals(_AT_ONCE):
            # Never urgent: there are months to do it in.
            await self._db.transact(lambda tx, document=document: preserve(tx, document, urgency=0))  # type: ignore[misc]
