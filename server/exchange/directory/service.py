"""The agency list as the product uses it: synchronised from the axis to a table, searched there (reference §6.6)."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

import msgspec
import structlog

from server.clock import Clock
from server.db import Database, Dialect, Isolation, Transaction
from server.exchange.axis import CREDENTIALS, Axis, AxisRefused, AxisUnavailable
from server.exchange.directory import changes, queries
from server.exchange.directory.changes import Ended, Entry, ListShrunk
from server.exchange.directory.queries import AgencyRow
from server.exchange.systems import Systems

log = structlog.get_logger()

REFRESH_S: Final = 600.0
"""How long a list that was read anew is believed whatever codes are refused."""
_AGAIN_S: Final = 60.0
_BATCH: Final = 1000  # rows of one transaction: what waits for the one writer of SQLite waits some tens of milliseconds


class Found(msgspec.Struct, frozen=True):
    """`synchronised_us` is None before the first list has come."""

    agencies: list[AgencyRow]
    synchronised_us: int | None


class AgencyDirectory:
    """The list of the axis with this `name`. `axis` None: it stays as it is. `others` are further systems of the same axis, asked where it cannot be
    had from the first. `configured` are the names of all axes that are.
    """

    def __init__(
        self,
        db: Database,
        axis: Axis | None,
        clock: Clock,
        *,
        name: str,
        others: Sequence[Axis] = (),
        configured: Collection[str] = (),
    ) -> None:
        self._db = db
        self._axes = () if axis is None else (axis, *others)
        self._clock = clock
        self._name = name
        self._configured = tuple(configured) or (name,)
        self._stale_us: int | None = None
        self._reading = asyncio.Lock()

    async def refresh(self) -> bool:
        """Take the list anew because a code says that it has changed, at most every ten minutes; whether it was taken.

        Who asks while it is being read waits for it, and finds it in the database.
        """
        async with self._reading:
            return await self._refresh()

    async def _refresh(self) -> bool:
        now_us = self._clock.monotonic_us()
        if self._stale_us is not None and now_us < self._stale_us:
            return False
        self._stale_us = now_us + round(REFRESH_S * 1e6)
        taken = await self.synchronise() is not None
        if not taken:
            self._stale_us = now_us + round(_AGAIN_S * 1e6)
        return taken

    async def synchronise(self) -> int | None:
        """Take over the axis' list; how many rows changed, or None when there was no list to believe. The kept one then stays."""
        for axis in self._axes:
            try:
                return await self.take(axis)
            except (AxisUnavailable, AxisRefused, ListShrunk) as error:
                log.error("agencies-not-synchronised", axis=self._name, code=error.code, reason=error.reason)  # noqa: TRY400 - no defect of ours
        return None

    async def take(self, axis: Axis) -> int:
        """The same through one system of it. Raises: AxisUnavailable, AxisRefused, ListShrunk."""
        listed = await axis.agencies()
        of_list = await self._db.transact(lambda tx: queries.enlist(tx, self._name, self._configured))
        known = await queries.known(self._db, of_list)
        found = await asyncio.to_thread(changes.changes, listed, known, of_list)
        del listed, known
        await self._put_all(found.put)
        for start in range(0, len(found.ended), _BATCH):
            await self._end(found.ended[start : start + _BATCH])
        if found.put:
            await self._db.transact(
                lambda tx: queries.analyse(tx, self._db.dialect), isolation=Isolation.READ_COMMITTED
            )
        await self._db.transact(
            lambda tx: queries.mark_synchronised(tx, self._name, found.listed, self._clock.now_us())
        )
        log.info(
            "agencies-synchronised",
            axis=self._name,
            listed=found.listed,
            changed=len(found.put),
            ended=len(found.ended),
        )
        return len(found.put) + len(found.ended)

    async def _put_all(self, entries: Sequence[Entry]) -> None:
        """Some of them a transaction. PostgreSQL writes one lot while the next is made ready, or written too, since they are different rows. With
        SQLite, whose writer is a thread of this process, each row would wait for whoever makes the next ones.
        """
        starts = iter(range(0, len(entries), _BATCH))

        async def lane() -> None:
            for start in starts:
                await self._put(await asyncio.to_thread(entries.__getitem__, slice(start, start + _BATCH)))

        lanes = 2 if self._db.dialect is Dialect.POSTGRES else 1
        for ended in await asyncio.gather(*(lane() for _ in range(lanes)), return_exceptions=True):
            if ended is not None:
                raise ended

    async def _put(self, entries: Sequence[Entry]) -> None:
        async def body(tx: Transaction) -> None:
            await queries.put(tx, self._db.dialect, entries, self._clock.now_us())

        await self._db.transact(body, isolation=Isolation.READ_COMMITTED)

    async def _end(self, ended: Sequence[Ended]) -> None:
        async def body(tx: Transaction) -> None:
            await queries.end(tx, self._db.dialect, ended, self._clock.now_us())

        await self._db.transact(body, isolation=Isolation.READ_COMMITTED)

    async def find(self, query: str, limit: int) -> Found:
        """Agencies by a whole code, new or old, closed ones too; then open ones by the beginnings of words of name or code."""
        words = changes.query_words(query)
        found = await queries.by_code(self._db, self._name, changes.key(query)) if words else []
        if words and len(found) < limit:
            codes = {agency.code for agency in found}
            more = await queries.search(self._db, self._db.dialect, self._name, words, limit)
            found += [agency for agency in more if agency.code not in codes]
        return Found(found[:limit], await queries.synchronised_us(self._db, self._name))


class Agencies:
    """The lists of all axes that are configured: each agency here is looked up, and looks up others, in that of its own system's axis."""

    def __init__(self, db: Database, clock: Clock, systems: Systems) -> None:
        self._db = db
        self._systems = systems
        self._directories: dict[str, AgencyDirectory] = {}
        urls = dict.fromkeys(one.url for one in systems)
        for url in urls:
            first, *others = (one.axis for one in systems if one.url == url)
            self._directories[url] = AgencyDirectory(db, first, clock, name=url, others=others, configured=urls)
        self._none = AgencyDirectory(db, None, clock, name="")

    @property
    def axes(self) -> list[str]:
        return list(self._directories)

    def of(self, axis: str) -> AgencyDirectory:
        return self._directories.get(axis, self._none)

    async def find(self, organisation: str, query: str, limit: int) -> Found:
        """As `AgencyDirectory.find`, for people of this organisation."""
        return await self.of(await self._systems.axis_of(self._db, organisation)).find(query, limit)

    async def synchronise(self) -> int | None:
        """Take over every list; how many rows changed, or None where one could not be had."""
        taken = [await one.synchronise() for one in self._directories.values()]
        return None if None in taken or not taken else sum(filter(None, taken))

    async def take_over(self, axis: str) -> bool:
        """Take over one axis' list through any of its systems that may ask now (D3); whether one has answered."""
        for system in [one for one in self._systems if one.url == axis]:
            if not await system.breaker.passes():
                continue
            try:
                await self.of(axis).take(system.axis)
            except (AxisUnavailable, AxisRefused, ListShrunk) as error:
                log.error("agencies-not-synchronised", axis=axis, code=error.code, reason=error.reason)  # noqa: TRY400 - no defect of ours
                if isinstance(error, AxisUnavailable) or error.code in CREDENTIALS:
                    await system.breaker.unheard()
                    continue
            await system.breaker.seen()
            return True
        return False
