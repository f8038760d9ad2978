"""What every transport promises: the in-memory recorder and the real FCM client against the double."""

import asyncio

import msgspec
import pytest
import pytest_asyncio

from push.model import Address, AddressKind, Lane, Language, Notice, Urgency
from push.outcome import Delivered, Rejected, TokenDead
from push.payload import build
from push.transports import open_fcm
from push.transports.recorder import RecorderTransport
from server.demo.fcm import Step

NOW_US = 1_800_000_000_000_000


class Recorder:
    def __init__(self):
        self.transport = RecorderTransport()

    def kill(self, address):
        self.transport.script(address, [TokenDead("unregistered")])

    def seen(self):
        return [(address.value, payload.data) for address, payload in self.transport.sent]


class Fcm:
    def __init__(self, double, transport):
        self.double, self.transport = double, transport

    def kill(self, address):
        self.double.script(address.value, Step("unregistered"))

    def seen(self):
        accepted = [record for record in self.double.records if record.status == 200]
        return [(record.address, record.body["message"]["data"]) for record in accepted]


@pytest_asyncio.fixture(params=["recorder", "fcm"])
async def service(request, fcm):
    if request.param == "recorder":
        yield Recorder()
        return
    lanes = await open_fcm(fcm.service_account, base_url=fcm.url)
    yield Fcm(fcm, lanes[Lane.NORMAL])
    await asyncio.gather(*(lane.close() for lane in lanes.values()))


def device(number):
    return Address(kind=AddressKind.FID, value=f"device-{number}")


def payload(number):
    notice = Notice(
        notice_id=f"{number:022d}", lane=Lane.NORMAL, urgency=Urgency.ACTIVE, expires_us=NOW_US + 3_600_000_000
    )
    return build(notice, language=Language.VIETNAMESE, now_us=NOW_US)


@pytest.mark.asyncio
async def test_accepted_pushes_arrive_once_each_with_their_own_data(service):
    outcomes = await asyncio.gather(*(service.transport.send(device(n), payload(n)) for n in range(25)))
    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert len({outcome.message_id for outcome in outcomes}) == 25
    assert sorted(service.seen(), key=lambda item: item[1]["id"]) == [
        (f"device-{n}", payload(n).data) for n in range(25)
    ]


@pytest.mark.asyncio
async def test_a_dead_address_is_told_and_the_next_one_served(service):
    service.kill(device(1))
    assert await service.transport.send(device(1), payload(1)) == TokenDead("unregistered")
    assert isinstance(await service.transport.send(device(2), payload(2)), Delivered)
    assert [address for address, _ in service.seen()] == ["device-2"]


@pytest.mark.asyncio
async def test_too_large_is_rejected_before_it_leaves(service):
    big = msgspec.structs.replace(payload(1), data={"id": "x" * 5000})
    assert await service.transport.send(device(1), big) == Rejected("payload-too-large")
    assert service.seen() == []


@pytest.mark.asyncio
async def test_close_twice(service):
    await service.transport.close()
    await service.transport.close()
