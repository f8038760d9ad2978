"""Wake-ups: they save latency, never work. A worker polls; a wake-up only ends its wait early (D9)."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from server.bus import Bus, LocalBus
from server.db import Database
from server.jobs.model import Lane
from server.jobs.queries import TOPIC

CHANNEL = "hoatoc:jobs"


class Wakeup(Protocol):
    def notify(self, lane: Lane) -> None:
        """Something may be due in `lane`. Never blocks, never raises; may be lost."""
        ...

    async def wait(self, timeout_s: float) -> None:
        """Return at the first notification since the last wait, or after `timeout_s`. One waiter at a time."""
        ...


class BusWakeup:
    """Between all workers that the bus reaches, and those that enqueue."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._event = asyncio.Event()
        bus.subscribe(CHANNEL, lambda _: self._event.set())

    def notify(self, lane: Lane) -> None:  # noqa: ARG002 - a worker looks at all its lanes at once
        self._bus.publish(CHANNEL, b"")

    async def wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()


class LocalWakeup(BusWakeup):
    """Between tasks of one event loop."""

    def __init__(self) -> None:
        super().__init__(LocalBus())


def connect(db: Database, wakeup: Wakeup) -> None:
    """Notify `wakeup` of every job that this process enqueues through `db`, after its commit."""
    db.listen(_listener(wakeup))


def _listener(wakeup: Wakeup) -> Callable[[frozenset[str]], None]:
    def on_commit(topics: frozenset[str]) -> None:
        for topic in topics:
            if topic.startswith(TOPIC):
                wakeup.notify(Lane(topic.removeprefix(TOPIC)))

    return on_commit
