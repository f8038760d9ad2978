"""Wake-ups over both buses: a notification ends a wait; one that is lost costs only the time-out (threat D9)."""

import asyncio

import pytest
import pytest_asyncio

from server.bus_redis import RedisBus
from server.jobs import Lane, LocalWakeup, connect, enqueue
from server.jobs.wakeup import BusWakeup

pytestmark = pytest.mark.asyncio
LONG = 30.0


@pytest_asyncio.fixture(params=["local", "redis"])
async def wakeup(request):
    if request.param == "local":
        yield LocalWakeup()
        return
    made, bus = redis_wakeup(request.getfixturevalue("redis_server").url)
    await made.wait(LONG)  # the subscription itself wakes once
    yield made
    await bus.close()


def redis_wakeup(url):
    bus = RedisBus(url)
    wakeup = BusWakeup(bus)
    bus.start()
    return wakeup, bus


async def woken(wakeup, timeout_s=LONG):
    """Whether the wait ended before its time-out."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    await wakeup.wait(timeout_s)
    return loop.time() - start < timeout_s


async def test_a_notification_ends_a_wait(wakeup):
    waiting = asyncio.create_task(woken(wakeup))
    await asyncio.sleep(0.01)
    wakeup.notify(Lane.URGENT)
    assert await waiting


async def test_a_notification_before_the_wait_is_not_lost(wakeup):
    wakeup.notify(Lane.BULK)
    assert await woken(wakeup)


async def test_without_a_notification_the_wait_times_out(wakeup):
    assert not await woken(wakeup, 0.05)


async def test_an_enqueued_job_notifies_after_its_commit(wakeup, sqlite_db):
    connect(sqlite_db, wakeup)
    waiting = asyncio.create_task(woken(wakeup))
    await sqlite_db.transact(lambda tx: enqueue(tx, "k", {}))
    assert await waiting


async def test_redis_carries_a_notification_to_another_process_and_survives_its_loss(redis_server):
    (one, first), (two, second) = redis_wakeup(redis_server.url), redis_wakeup(redis_server.url)
    try:
        await two.wait(LONG)
        one.notify(Lane.NORMAL)
        assert await woken(two)
        redis_server.stop()
        one.notify(Lane.NORMAL)  # neither blocks nor raises
        await one.wait(LONG)
        redis_server.start()
        assert await woken(two)  # the renewed subscription wakes, since something may have been missed
        async with asyncio.timeout(LONG):
            while True:
                one.notify(Lane.NORMAL)
                if await woken(two, 0.5):
                    break
    finally:
        await first.close()
        await second.close()


async def test_redis_need_not_be_there(tmp_path):
    wakeup, bus = redis_wakeup(f"unix://{tmp_path}/nothing.sock")
    wakeup.notify(Lane.NORMAL)
    assert await woken(wakeup)  # within the process it works all the same
    await bus.close()
