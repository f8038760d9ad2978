"""Jobs of directions: reminders before a deadline, the alarm behind it, and the end of what was directed on a recalled text.

Each reminder is made once, by whichever process comes first. What was finished in time is never mentioned.
"""

import datetime as dt
from collections.abc import Mapping

import structlog

from server.clock import Clock
from server.db import Database
from server.directives import queries
from server.directives.model import reminder, today
from server.directives.service import DirectiveService
from server.directives.telling import remind
from server.jobs import Context, Handler, Job, Periodic
from server.notices.queries import rules as rules_of
from server.notices.rules import Rules, read

log = structlog.get_logger()

_EVERY_S = 60
_MOST = 5000
# The day before the deadline may lie before the longest run of days without work (Tết, TIM-7).
_AHEAD = dt.timedelta(days=16)


class DirectiveTasks:
    def __init__(self, directives: DirectiveService, db: Database, clock: Clock) -> None:
        self._directives = directives
        self._db = db
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        return {}

    def periodic(self) -> list[Periodic]:
        return [Periodic(kind="directives.watch", every_s=_EVERY_S, handler=self.watch)]

    async def watch(self, _job: Job, _context: Context) -> None:
        await self.look()

    async def look(self) -> int:
        """Remind and tell what is due now; how many of both."""
        for directive in await queries.recalled(self._db, _MOST):
            try:
                await self._directives.recalled(directive)
            except Exception as error:  # one tree that cannot be ended keeps no other's end and no reminder back
                log.error("directive-not-ended", directive=directive, error=type(error).__name__)  # noqa: TRY400 - texts may stand in a traceback
        now_us = self._clock.now_us()
        rules: dict[str, Rules] = {}
        told = 0
        day = today(now_us)
        for line in await queries.due(self._db, day.isoformat(), (day + _AHEAD).isoformat(), _MOST):
            if line.organisation not in rules:
                rules[line.organisation] = read(await rules_of(self._db, line.organisation))
            at = reminder(line.due_date, line.since_us, rules[line.organisation])
            late = now_us >= at.late_us
            if late or (now_us >= at.warn_us and line.warned != line.due_date):
                told += await self._db.transact(
                    lambda tx, line=line, late=late: remind(tx, line, late=late, now_us=now_us)  # type: ignore[misc]
                )
        return told
