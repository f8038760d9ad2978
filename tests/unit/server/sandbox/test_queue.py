"""Fairness of the waiting line, without processes (threat D13)."""

import asyncio

import pytest

from server.sandbox.model import Overloaded, Priority
from server.sandbox.queue import Places

pytestmark = pytest.mark.asyncio


async def _waiting(places, order, tenant, priority=Priority.INTERACTIVE):
    async def caller():
        await places.take(priority, tenant)
        order.append(tenant)

    task = asyncio.create_task(caller())
    await asyncio.sleep(0)
    return task


async def test_tenants_are_served_in_turn():
    """Ten callers of one agency do not stand before the first caller of another."""
    places, order = Places(1, 64), []
    await places.take(Priority.INTERACTIVE, "a")
    tasks = [await _waiting(places, order, tenant) for tenant in ["a"] * 10 + ["b", "c"]]
    for _ in tasks:
        places.release(Priority.INTERACTIVE)
        await asyncio.sleep(0)
    assert order[:5] == ["a", "b", "c", "a", "a"]
    await asyncio.gather(*tasks)


async def test_full_line_turns_away_the_longest_queue_first():
    places, order = Places(1, 3), []
    await places.take(Priority.INTERACTIVE, "a")
    tasks = [await _waiting(places, order, "a") for _ in range(3)]
    other = await _waiting(places, order, "b")
    await asyncio.sleep(0)
    assert isinstance(tasks[-1].exception(), Overloaded)
    with pytest.raises(Overloaded):
        await places.take(Priority.INTERACTIVE, "a")
    for _ in range(3):
        places.release(Priority.INTERACTIVE)
        await asyncio.sleep(0)
    await asyncio.gather(*tasks[:2], other)
    assert order == ["a", "b", "a"]


async def test_background_work_leaves_one_place_to_readers():
    places, order = Places(2, 64), []
    await places.take(Priority.BACKGROUND, "a")
    waiting = await _waiting(places, order, "a", Priority.BACKGROUND)
    assert not waiting.done()
    await places.take(Priority.INTERACTIVE, "b")
    assert places.taken == 2
    places.release(Priority.BACKGROUND)
    await waiting


async def test_cancelled_caller_loses_no_place():
    places, order = Places(1, 64), []
    await places.take(Priority.INTERACTIVE, "a")
    leaving, staying = [await _waiting(places, order, "a") for _ in range(2)]
    leaving.cancel()
    places.release(Priority.INTERACTIVE)
    await staying
    assert (places.taken, places.waiting) == (1, 0)

    late = await _waiting(places, order, "a")
    places.release(Priority.INTERACTIVE)
    late.cancel()  # in the same turn as the place came
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert places.taken == 0
