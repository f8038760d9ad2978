"""Both buses: order, fan-out, a message in one's own process at once; lost connections cost messages, never the bus (threat D9)."""

import asyncio
import subprocess

import pytest
import pytest_asyncio

from server.bus import LocalBus
from server.bus_redis import RedisBus
from tests.conftest import program

pytestmark = pytest.mark.asyncio
LONG = 60.0
CHANNEL, OTHER = "hoatoc:one", "hoatoc:other"


class Ear:
    """What one subscriber heard, in order; `None` where something may have been missed."""

    def __init__(self, bus, channel=CHANNEL):
        self.heard = []
        self._rang = asyncio.Event()
        bus.subscribe(channel, self._hear)

    def _hear(self, message):
        self.heard.append(message)
        self._rang.set()

    @property
    def messages(self):
        return [one for one in self.heard if one is not None]

    async def until(self, wanted):
        async with asyncio.timeout(LONG):
            while not wanted(self.heard):
                self._rang.clear()
                await self._rang.wait()


class Ends:
    """Two processes' ends of one bus, an ear at each, and a second one at the first."""

    def __init__(self, one, two):
        self.one, self.two = one, two
        self.near, self.beside, self.far = Ear(one), Ear(one), Ear(two)
        self.foreign = Ear(two, OTHER)


@pytest_asyncio.fixture(params=["memory", "redis"])
async def ends(request):
    if request.param == "memory":
        bus = LocalBus()
        yield Ends(bus, bus)
        return
    url = request.getfixturevalue("redis_server").url
    made = Ends(RedisBus(url), RedisBus(url))
    for bus in (made.one, made.two):
        bus.start()
    for ear in (made.near, made.far, made.foreign):
        await ear.until(lambda heard: None in heard)  # the subscription stands
    yield made
    for bus in (made.one, made.two):
        await bus.close()


async def test_messages_come_to_everybody_in_order(ends):
    said = [str(number).encode() for number in range(500)]
    for one in said:
        ends.one.publish(CHANNEL, one)
    assert ends.near.messages == said  # its own process has heard them already
    await ends.far.until(lambda heard: said[-1] in heard)
    assert ends.far.messages == said == ends.beside.messages


async def test_nobody_hears_himself_twice_or_another_channel(ends):
    ends.one.publish(CHANNEL, b"a")
    ends.two.publish(OTHER, b"b")
    ends.two.publish(CHANNEL, b"end")
    for ear in (ends.near, ends.far):
        await ear.until(lambda heard: b"end" in heard)
    assert sorted(ends.near.messages) == sorted(ends.far.messages) == [b"a", b"end"]
    assert ends.foreign.messages == [b"b"]


async def test_bytes_come_as_they_are(ends):
    every = bytes(range(256)) * 200
    ends.one.publish(CHANNEL, b"")
    ends.one.publish(CHANNEL, every)
    await ends.far.until(lambda heard: every in heard)
    assert ends.far.messages == [b"", every]


async def until_heard(ends):
    """Publish until the other end hears: the connections are there again."""
    async with asyncio.timeout(LONG):
        number = 0
        while not ends.far.messages:
            ends.one.publish(CHANNEL, b"again-%d" % number)
            number += 1
            await asyncio.sleep(0.05)


async def test_after_a_loss_subscribers_are_told_and_hear_again(redis_server):
    ends = Ends(RedisBus(redis_server.url), RedisBus(redis_server.url))
    for bus in (ends.one, ends.two):
        bus.start()
    try:
        await ends.far.until(lambda heard: None in heard)
        for _ in range(2):
            ends.near.heard.clear()
            ends.far.heard.clear()
            redis_server.stop()
            ends.one.publish(CHANNEL, b"while it is gone")
            assert ends.near.messages == [b"while it is gone"]  # within the process it works all the same
            redis_server.start()
            await ends.far.until(lambda heard: None in heard)  # something may have been missed
            await until_heard(ends)
    finally:
        await ends.one.close()
        await ends.two.close()


async def test_connections_that_redis_drops_and_data_that_it_forgets_cost_nothing_more(redis_server):
    ends = Ends(RedisBus(redis_server.url), RedisBus(redis_server.url))
    for bus in (ends.one, ends.two):
        bus.start()
    try:
        await ends.far.until(lambda heard: None in heard)
        ends.far.heard.clear()
        cli = [program("redis-cli", "redis-tools"), "-s", str(redis_server.socket)]
        for command in (("client", "kill", "type", "pubsub"), ("client", "kill", "type", "normal"), ("flushall",)):
            subprocess.run([*cli, *command], check=True, capture_output=True)  # noqa: ASYNC221 - a moment
        await ends.far.until(lambda heard: None in heard)
        ends.far.heard.clear()
        await until_heard(ends)
    finally:
        await ends.one.close()
        await ends.two.close()


async def test_what_waits_for_a_lost_redis_is_bounded(tmp_path):
    bus = RedisBus(f"unix://{tmp_path}/nothing.sock")
    ear = Ear(bus)
    bus.start()
    for number in range(5000):
        bus.publish(CHANNEL, str(number).encode())
        if number % 500 == 0:
            await asyncio.sleep(0)
    assert len(ear.messages) == 5000
    assert len(bus._waiting) <= 1000
    await bus.close()


async def test_a_subscriber_that_comes_too_late_is_refused(redis_server):
    bus = RedisBus(redis_server.url)
    bus.start()
    with pytest.raises(RuntimeError):
        bus.subscribe(CHANNEL, print)
    await bus.close()
