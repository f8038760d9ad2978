"""What the clock does: places of people who have no stream open are gathered, too, or their rows would grow with every notice."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from server.db import Database, Isolation
from server.jobs import Context, Handler, Job, Periodic
from server.live import queries

_EVERY_S: Final = 3600
_AT_ONCE: Final = 500


class LiveTasks:
    def __init__(self, db: Database) -> None:
        self._db = db

    def handlers(self) -> Mapping[str, Handler]:
        return {}

    def periodic(self) -> list[Periodic]:
        return [Periodic(kind="live.gather", every_s=_EVERY_S, handler=self.gather)]

    async def gather(self, _job: Job, _context: Context) -> None:
        """Everybody's, some at a time; each in a transaction of its own, beside which people may be told."""
        last = ""
        while people := await queries.crowded(self._db, last, _AT_ONCE):
            last = people[-1]
            for person in people:
                await self._db.transact(partial(queries.gather, person=person), isolation=Isolation.READ_COMMITTED)
