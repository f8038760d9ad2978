"""Who is served next: a bounded number of places, interactive work first, tenants in turn (threat D13).

Pure bookkeeping over futures, for one event loop; it knows nothing of processes.
"""

import asyncio
from collections import OrderedDict, deque
from typing import Final

from server.sandbox.model import Overloaded, Priority

__all__ = ["Places"]

_Waiter = asyncio.Future[None]


class _Lane:
    """The waiting of one priority: a queue for each tenant, tenants served in turn."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self.length = 0

    def add(self, tenant: str, waiter: _Waiter) -> None:
        self._queues.setdefault(tenant, deque()).append(waiter)
        self.length += 1

    def next(self) -> _Waiter:
        tenant, queue = self._queues.popitem(last=False)
        waiter = queue.popleft()
        self.length -= 1
        if queue:
            self._queues[tenant] = queue  # at the end of the turn
        return waiter

    def remove(self, tenant: str, waiter: _Waiter) -> None:
        queue = self._queues.get(tenant)
        if queue is None or waiter not in queue:
            return
        queue.remove(waiter)
        self.length -= 1
        if not queue:
            del self._queues[tenant]

    def make_room(self, tenant: str) -> bool:
        """Turn away the newest waiter of the longest queue, if that is longer than `tenant`'s would be."""
        longest, queue = max(self._queues.items(), key=lambda item: len(item[1]))
        if len(queue) <= len(self._queues.get(tenant, ())) + 1:
            return False
        waiter = queue[-1]
        self.remove(longest, waiter)
        if not waiter.done():
            waiter.set_exception(Overloaded())
        return True


class Places:
    """`count` places; at most `waiting` callers wait for each priority.

    Background work leaves one place free (when there are two or more), so that a leader who opens a page never waits for the end of
    somebody's slow document.
    """

    def __init__(self, count: int, waiting: int) -> None:
        self._count: Final = count
        self._waiting: Final = waiting
        self._background_limit: Final = max(1, count - 1)
        self._taken = {Priority.INTERACTIVE: 0, Priority.BACKGROUND: 0}
        self._lanes = {Priority.INTERACTIVE: _Lane(), Priority.BACKGROUND: _Lane()}

    @property
    def taken(self) -> int:
        return sum(self._taken.values())

    @property
    def waiting(self) -> int:
        return sum(lane.length for lane in self._lanes.values())

    async def take(self, priority: Priority, tenant: str) -> None:
        """Returns when the caller holds a place, to be given back with `release`. Raises `Overloaded`."""
        lane = self._lanes[priority]
        if not lane.length and self._free(priority):
            self._taken[priority] += 1
            return
        if lane.length >= self._waiting and not (lane.length and lane.make_room(tenant)):
            raise Overloaded
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        lane.add(tenant, waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            lane.remove(tenant, waiter)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(priority)  # the place came in the same turn as the cancellation
            raise

    def release(self, priority: Priority) -> None:
        self._taken[priority] -= 1
        for lane_priority, lane in self._lanes.items():
            while lane.length and self._free(lane_priority):
                waiter = lane.next()
                if not waiter.done():
                    self._taken[lane_priority] += 1
                    waiter.set_result(None)

    def _free(self, priority: Priority) -> bool:
        if self.taken >= self._count:
            return False
        return priority is Priority.INTERACTIVE or self._taken[priority] < self._background_limit
