"""The time by which leases and due times are judged (threat D7)."""

from server.clock import Clock
from server.db import Database, Dialect

_NOW = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) AS now_us"


class LeaseTime:
    """With PostgreSQL its server's time, carried on by our monotonic clock: workers on several machines agree on
    when a lease ends, whatever their own clocks say. With SQLite there is one machine and its clock.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._offset_us: int | None = None

    async def synchronise(self) -> None:
        if self._db.dialect is not Dialect.POSTGRES:
            return
        before = self._clock.monotonic_us()
        row = await self._db.fetch_one(_NOW)
        if row is not None:
            self._offset_us = row["now_us"] - (before + self._clock.monotonic_us()) // 2

    def now_us(self) -> int:
        if self._offset_us is None:
            return self._clock.now_us()
        return self._clock.monotonic_us() + self._offset_us
