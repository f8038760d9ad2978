"""Who the head is, and what the head sees: how much stands still or is late, with whom, since when."""

from server.clock import Clock
from server.db import Database, Reads, Row
from server.errors import Refused
from server.identity.model import Actor, Role
from server.notices.calendar import local_day
from server.notices.rules import Rules
from server.notices.service import rules_of
from server.oversight import queries
from server.oversight.model import Counts

_OVERSEERS = frozenset({Role.ADMINISTRATOR, Role.DUTY_OFFICER})
_MOST = 200


class OversightService:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def overview(self, actor: Actor) -> tuple[Counts, list[Row]]:
        """The counts, and up to 200 documents that are late or stand still. For heads, duty officers and administrators.

        Raises: Refused("forbidden") for anybody else.
        """
        rules = await rules_of(self._db, actor.organisation)
        if not actor.roles & _OVERSEERS and actor.id not in await heads(self._db, actor.organisation, rules):
            raise Refused("forbidden")
        today = local_day(self._clock.now_us()).isoformat()
        counts = await queries.counts(self._db, actor.organisation, today)
        return counts, await queries.overview(self._db, actor, today, _MOST)


async def heads(tx: Reads, organisation: str, rules: Rules) -> list[str]:
    """Those whom the organisation named and who are still there, else every leader: somebody always hears of it."""
    named = await queries.active(tx, organisation, rules.heads)
    return named or await queries.in_role(tx, organisation, Role.LEADER)
