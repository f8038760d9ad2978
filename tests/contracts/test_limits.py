"""Both stores of rate windows: as many as allowed, all windows of a call or none, and then one each interval (threat C7)."""

import asyncio

import pytest
import pytest_asyncio

from server.errors import Refused
from server.identity.model import Actor, Role
from server.limits import MINUTE_US, OPEN, Limits, MemoryWindows, Rate, StoreLostError, Window
from server.limits_redis import RedisWindows
from server.settings import LimitsSettings

# So few a minute that no machine is slow enough to earn another one while a test runs.
FEW = 2
ACTOR = Actor("person", "p" * 32, "o" * 32, frozenset({Role.LEADER}), device="d" * 32)


@pytest_asyncio.fixture(params=["memory", "redis"])
async def windows(request):
    if request.param == "memory":
        yield MemoryWindows()
        return
    made = RedisWindows(request.getfixturevalue("redis_server").url)
    yield made
    await made.close()


@pytest.mark.asyncio
async def test_exactly_the_allowed_calls_pass_at_once_however_many_come_together(windows):
    window = Window("a", FEW)
    first = await windows.take([window])  # the connection and the script are there before the crowd
    waits = [first, *await asyncio.gather(*(windows.take([window]) for _ in range(49)))]
    assert sum(wait == 0 for wait in waits) == FEW
    assert all(0 < wait <= MINUTE_US // FEW for wait in waits if wait)


@pytest.mark.asyncio
async def test_who_has_no_window_left_takes_none_of_the_others(windows):
    mine, shared = Window("mine", 1), Window("shared", 2)
    assert await windows.take([mine, shared]) == 0
    assert await windows.take([mine, shared]) > 0
    assert await windows.take([shared]) == 0  # the refused call counted nowhere
    assert await windows.take([shared]) > 0


@pytest.mark.asyncio
async def test_other_keys_are_not_touched(windows):
    assert await windows.take([Window("one", 1)]) == 0
    assert await windows.take([Window("one", 1)]) > 0
    assert await windows.take([Window("two", 1)]) == 0


@pytest.mark.asyncio
async def test_what_was_waited_for_is_given(windows):
    window = Window("fast", 300)
    while (wait := await windows.take([window])) == 0:
        pass
    await asyncio.sleep(wait / 1e6 + 0.01)
    assert await windows.take([window]) == 0


def test_the_window_refills_by_time_alone():
    windows, window = MemoryWindows(), Window("k", FEW)
    assert [windows.take_at([window], 1_000) for _ in range(FEW)] == [0] * FEW
    wait = windows.take_at([window], 1_000)
    assert wait == MINUTE_US // FEW
    assert windows.take_at([window], 1_000 + wait - 1) == 1
    assert windows.take_at([window], 1_000 + wait) == 0
    assert windows.take_at([window], 1_000 + wait) == wait
    assert [windows.take_at([window], 10 * MINUTE_US) for _ in range(FEW + 1)] == [0] * FEW + [wait]


def test_memory_is_bounded_and_who_is_counting_is_not_forgotten():
    windows = MemoryWindows(most_keys=100)
    for number in range(1_000):
        windows.take_at([Window("steady", 10_000), Window(f"passing-{number}", 1)], number)
    assert len(windows._full_at) <= 102
    assert windows._full_at["steady"] >= 1_000 * MINUTE_US // 10_000


class Lost:
    async def take(self, windows):
        raise StoreLostError


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", list(Rate))
async def test_without_the_store_reads_pass_and_the_rest_is_counted_here(rate):
    limits = Limits(
        Lost(),
        LimitsSettings(
            sessions_per_address=2, public_per_address=2, signs_per_device=2, signs_per_person=2, intakes_per_client=2, writes_per_caller=2, reads_per_caller=2,
            validations_per_caller=2, applicants_per_address=2,
        ),
    )  # fmt: skip
    actor = None if rate in {Rate.SESSION, Rate.PUBLIC} else ACTOR
    passed, told = 0, []
    for _ in range(20):
        try:
            await limits.take(rate, actor, "192.0.2.1")
            passed += 1
        except Refused as refused:
            told.append((refused.code, refused.fields["retry_after"]))
    assert passed == (20 if rate in OPEN else 2)
    assert set(told) <= {("rate-limited", 30), ("rate-limited", 29)}


@pytest.mark.asyncio
async def test_a_redis_that_dies_and_comes_back_is_used_again(redis_server):
    windows = RedisWindows(redis_server.url)
    try:
        assert await windows.take([Window("a", 1)]) == 0
        assert await windows.take([Window("a", 1)]) > 0
        redis_server.stop()
        for _ in range(3):
            with pytest.raises(StoreLostError):
                await windows.take([Window("a", 1)])
        redis_server.start()
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await windows.take([Window("a", 1)]) == 0  # what it knew is gone, its script too
                    break
                except StoreLostError:
                    await asyncio.sleep(0.05)
        assert await windows.take([Window("a", 1)]) > 0
    finally:
        await windows.close()


@pytest.mark.asyncio
async def test_two_processes_share_one_window(redis_server):
    one, two = RedisWindows(redis_server.url), RedisWindows(redis_server.url)
    try:
        waits = await asyncio.gather(*(each.take([Window("k", FEW)]) for each in (one, two) * 20))
        assert sum(wait == 0 for wait in waits) == FEW
    finally:
        await one.close()
        await two.close()
