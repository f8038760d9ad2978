"""The dispatcher: bounded, apart by lane, last look before the send, brake after a fault of our configuration."""

import asyncio

import pytest

from push.dispatcher import Dispatcher, LaneSettings
from push.model import Address, AddressKind, Lane, Language, Notice, Urgency
from push.outcome import Delivered, Misconfigured, RetryAfter, RetryCause, Scope, TokenDead, Withheld
from push.transports.recorder import RecorderTransport

NOW_US = 1_800_000_000_000_000


class Gate:
    """A transport that holds every send until it is opened."""

    def __init__(self):
        self.open = asyncio.Event()
        self.inside = self.most = 0

    async def send(self, _address, _payload):
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.open.wait()
        self.inside -= 1
        return Delivered("x")

    async def close(self):
        pass


class World:
    def __init__(self, urgent=None, normal=None, concurrency=4):
        self.now_us, self.monotonic_us = NOW_US, 0
        self.urgent, self.normal = urgent or RecorderTransport(), normal or RecorderTransport()
        self.dispatcher = Dispatcher(
            {
                Lane.URGENT: LaneSettings(transport=self.urgent, concurrency=concurrency),
                Lane.NORMAL: LaneSettings(transport=self.normal, concurrency=concurrency),
                Lane.BULK: LaneSettings(transport=RecorderTransport(), concurrency=concurrency),
            },
            now_us=lambda: self.now_us,
            monotonic_us=lambda: self.monotonic_us,
        )

    async def deliver(self, lane=Lane.NORMAL, address="device", *, wanted=None, expires_us=NOW_US + 60_000_000):
        notice = Notice(notice_id="A" * 22, lane=lane, urgency=Urgency.ACTIVE, expires_us=expires_us)

        async def yes():
            return True

        return await self.dispatcher.deliver(
            Address(kind=AddressKind.FID, value=address),
            notice,
            language=Language.VIETNAMESE,
            still_wanted=wanted or yes,
        )


@pytest.mark.asyncio
async def test_a_stuck_broadcast_bounds_itself_and_never_holds_urgent():
    gate = Gate()
    world = World(normal=gate)
    broadcast = [asyncio.create_task(world.deliver()) for _ in range(50)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert gate.inside == 4
    assert isinstance(await world.deliver(Lane.URGENT), Delivered)
    assert not any(task.done() for task in broadcast)
    gate.open.set()
    assert all(isinstance(outcome, Delivered) for outcome in await asyncio.gather(*broadcast))
    assert gate.most == 4


@pytest.mark.asyncio
async def test_the_last_look_happens_after_the_wait_for_a_place():
    gate = Gate()
    world, acknowledged = World(normal=gate, concurrency=1), False

    async def wanted():
        return not acknowledged

    first = asyncio.create_task(world.deliver())
    second = asyncio.create_task(world.deliver(wanted=wanted))
    await asyncio.sleep(0)
    acknowledged = True
    gate.open.set()
    assert isinstance(await first, Delivered)
    assert await second == Withheld("superseded")


@pytest.mark.asyncio
async def test_what_expired_while_waiting_is_not_sent():
    gate = Gate()
    world = World(normal=gate, concurrency=1)
    first = asyncio.create_task(world.deliver())
    second = asyncio.create_task(world.deliver())
    await asyncio.sleep(0)
    world.now_us += 60_000_000
    gate.open.set()
    await first
    assert await second == Withheld("expired")


@pytest.mark.asyncio
async def test_a_transport_that_raises_is_a_retry_not_a_loss():
    class Broken(RecorderTransport):
        async def send(self, _address, _payload):
            raise RuntimeError

    assert await World(normal=Broken()).deliver() == RetryAfter(RetryCause.UNREACHABLE)


@pytest.mark.asyncio
async def test_a_project_fault_brakes_its_lane_only_and_for_a_time():
    world, fault = World(), Misconfigured("permission-denied")
    world.normal.script(Address(kind=AddressKind.FID, value="device"), [fault])
    assert await world.deliver() == fault
    assert await world.deliver(address="other") == fault
    assert world.normal.sent == []
    assert isinstance(await world.deliver(Lane.URGENT), Delivered)
    world.monotonic_us += 30_000_000
    assert isinstance(await world.deliver(address="other"), Delivered)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "outcome", [Misconfigured("key", Scope.PLATFORM), TokenDead("x"), RetryAfter(RetryCause.QUOTA)]
)
async def test_what_concerns_one_device_or_platform_brakes_nothing(outcome):
    world = World()
    world.normal.script(Address(kind=AddressKind.FID, value="device"), [outcome])
    assert await world.deliver() == outcome
    assert isinstance(await world.deliver(address="other"), Delivered)


@pytest.mark.asyncio
async def test_a_failing_last_look_sends_nothing_and_reaches_the_caller():
    async def broken():
        raise OSError

    world = World()
    with pytest.raises(OSError):
        await world.deliver(wanted=broken)
    assert world.normal.sent == []
    assert isinstance(await world.deliver(), Delivered)


def test_lanes_must_not_share_a_transport():
    shared = LaneSettings(transport=RecorderTransport(), concurrency=1)
    with pytest.raises(ValueError, match="own"):
        Dispatcher(dict.fromkeys(Lane, shared), now_us=lambda: 0, monotonic_us=lambda: 0)
    with pytest.raises(ValueError, match="no transport"):
        Dispatcher({Lane.URGENT: shared}, now_us=lambda: 0, monotonic_us=lambda: 0)
