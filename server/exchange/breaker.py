"""What is known of an axis that does not answer, shared by all processes in one row."""

import msgspec
import structlog

from server.clock import Clock
from server.db import Database, Transaction
from server.exchange import queries
from server.exchange.axis import CREDENTIALS
from server.exchange.forward import Forwarding, Stage
from server.exchange.queries import AxisHealth
from server.jobs import Retry, hasten, is_waiting_for

log = structlog.get_logger()

_PROBE_US = 60_000_000
_LASTING = 2
_HOLD_S = 3600.0
_SECOND_S = 5.0
DOWN = "exchange-down"
"""The reason of a job that waits for the axis and nothing else; behind it the key of a system that is not the installation's own."""


class Breaker:
    """One axis that is down is probed at most once a minute, by whatever comes first: a send, a question, a poll; however many documents wait and
    processes work (D3). A lost connection alone is no outage: whoever comes next may try once more at once, and the others wait for what that
    one finds. From there on it is one request a minute; what was under way when the axis went adds nothing.

    What is known of it stands in one row. Where polls are answered and sends are not, polls go on as usual. Once an outage lasts, what waits is
    not looked at again and again: whoever finds the axis there lets all of it go in the same transaction. One job goes on probing, at most
    a quarter of an hour apart (`forward.delay_us`), and a poll that is answered lets another try at once. Times are of the wall clock,
    since processes share them; a clock that was set back closes nothing for longer than the usual minute (D7).
    """

    def __init__(self, db: Database, clock: Clock, axis: str, system: str = "") -> None:
        self._db = db
        self._clock = clock
        self._axis = axis
        self._down = f"{DOWN}:{system}" if system else DOWN

    async def admit(self, jitter: float) -> AxisHealth | None:
        """Let this one pass; the probe that it took, for `give_back`. Raises: Retry while the axis is taken to be down."""
        known = await queries.axis_health(self._db, self._axis)
        if known is None:
            return None
        now_us = self._clock.now_us()
        wait_us = known.closed_until_us - now_us
        if 0 < wait_us <= _PROBE_US:
            if known.failures == 1:  # the second try is under way; it wakes the others where it is answered
                raise Retry(_SECOND_S * (1 + jitter), self._down)
            lasting = known.failures > _LASTING
            raise Retry(_HOLD_S * (1 + jitter) / 2 if lasting else wait_us / 1e6 + 5 * jitter, self._down)
        # This one probes; the others wait for what it finds.
        if not await self._db.transact(lambda tx: queries.take_probe(tx, self._axis, known, now_us + _PROBE_US)):
            raise Retry(1 + 5 * jitter, self._down)
        return msgspec.structs.replace(known, closed_until_us=now_us + _PROBE_US)

    async def give_back(self, probe: AxisHealth | None) -> None:
        """Nothing was asked after all: the next one may."""
        if probe is not None:
            await self._db.transact(lambda tx: queries.take_probe(tx, self._axis, probe, 0))

    async def passes(self) -> bool:
        """Whether a poll, or a question that can wait, may be asked now; where the axis is taken to be down, it is this minute's probe.

        Every other probe is left to a send, where one waits: lists alone may be what the axis does not answer.
        """
        known = await queries.axis_health(self._db, self._axis)
        if known is None or known.polled:
            return True
        now_us = self._clock.now_us()
        if 0 < known.closed_until_us - now_us <= _PROBE_US:
            return False
        if known.failures % 2 == 0 and await is_waiting_for(self._db, self._down):
            await self._db.transact(lambda tx: hasten(tx, self._down, limit=1, kept=True))
            return False
        return bool(await self._db.transact(lambda tx: queries.take_probe(tx, self._axis, known, now_us + _PROBE_US)))

    async def unheard(self) -> None:
        """A poll or a question that `passes` let go was not answered."""
        closed_until_us = self._clock.now_us() + _PROBE_US
        await self._db.transact(lambda tx: queries.axis_unheard(tx, self._axis, closed_until_us))

    async def heard(self, before: Forwarding, after: Forwarding, *, asked: bool) -> None:
        """Whether the axis was there for a send, or where `asked` for the question about one: no answer that can be used says no."""
        if asked:
            missed = after.attempts > before.attempts
        else:
            missed = after.stage is Stage.UNKNOWN or (after.stage is Stage.READY and bool(after.code))
            if after.stage is Stage.READY and after.code in CREDENTIALS:
                log.error("axis-credentials-refused", axis=self._axis, code=after.code)
        if missed:
            closed_until_us = self._clock.now_us() + _PROBE_US
            await self._db.transact(lambda tx: queries.axis_failed(tx, self._axis, closed_until_us))
        elif await queries.axis_health(self._db, self._axis) is not None:
            await self._db.transact(self._open)

    async def seen(self) -> None:
        """A poll was answered: one that waits may try, or all where the axis takes packets again.

        What fell asleep while another opened the way is woken here as well.
        """
        known = await queries.axis_health(self._db, self._axis)
        if known is not None and not known.polled:
            await self._db.transact(self._open if known.failures == 1 else self._answered)
            return
        closed = known is not None and 0 < known.closed_until_us - self._clock.now_us() <= _PROBE_US
        if not closed and await is_waiting_for(self._db, self._down):
            await self._db.transact(lambda tx: hasten(tx, self._down, limit=None if known is None else 1))

    async def _answered(self, tx: Transaction) -> None:
        await queries.axis_polled(tx, self._axis)
        await hasten(tx, self._down, limit=1)

    async def _open(self, tx: Transaction) -> None:
        await queries.axis_answers(tx, self._axis)
        await hasten(tx, self._down)
