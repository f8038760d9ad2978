"""Urgent sends go before broadcasts: what each lane waits for, and that nobody is forgotten."""

import asyncio

import pytest

from server.jobs import Lane
from server.notices.precedence import Precedence

pytestmark = pytest.mark.asyncio


async def _settle():
    for _ in range(20):
        await asyncio.sleep(0)


class _Sends:
    """Sends that hold their places until they are told to end."""

    def __init__(self, precedence):
        self.precedence = precedence
        self.under_way = set()
        self.ends = {}

    def start(self, name, lane=Lane.BULK):
        async def send():
            async with self.precedence.place(lane):
                self.under_way.add(name)
                try:
                    await self.ends[name].wait()
                finally:
                    self.under_way.discard(name)

        self.ends[name] = asyncio.Event()
        return asyncio.create_task(send())


async def test_a_broadcast_keeps_few_places_beside_an_urgent_send_and_all_of_them_after_it():
    sends = _Sends(Precedence(beside=2))
    tasks = [sends.start("urgent", Lane.URGENT)]
    await _settle()
    tasks += [sends.start(number) for number in range(10)]
    await _settle()
    assert sends.under_way == {"urgent", 0, 1}
    sends.ends[0].set()
    await _settle()
    assert sends.under_way == {"urgent", 1, 2}
    tasks.append(sends.start("another", Lane.URGENT))
    await _settle()
    assert "another" in sends.under_way
    sends.ends["urgent"].set()
    await _settle()
    assert sends.under_way == {"another", 1, 2}
    sends.ends["another"].set()
    await _settle()
    assert sends.under_way == set(range(1, 10))
    for end in sends.ends.values():
        end.set()
    await asyncio.gather(*tasks)


async def test_without_urgent_sends_nobody_waits():
    sends = _Sends(Precedence(beside=1))
    tasks = [sends.start(number) for number in range(50)]
    await _settle()
    assert len(sends.under_way) == 50
    for end in sends.ends.values():
        end.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("woken", [False, True])
async def test_whoever_is_cancelled_while_waiting_holds_up_nobody(woken):
    sends = _Sends(Precedence(beside=1))
    tasks = [sends.start("urgent", Lane.URGENT)]
    await _settle()
    tasks += [sends.start(number) for number in range(3)]
    await _settle()
    assert sends.under_way == {"urgent", 0}
    if woken:
        # The send ends and hands its place on; the one that gets it is cancelled before it runs.
        sends.ends[0].set()
        tasks[1].add_done_callback(lambda _: tasks[2].cancel())
    else:
        tasks[2].cancel()
    sends.ends[0].set()
    await _settle()
    assert sends.under_way == {"urgent", 2}
    for end in sends.ends.values():
        end.set()
    await asyncio.gather(*tasks, return_exceptions=True)
