"""What every transport promises: the in-memory recorder, the real FCM client against the double, Web Push against a push service."""

import asyncio

import msgspec
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from push.model import Address, AddressKind, Lane, Language, Notice, Urgency
from push.outcome import Delivered, Rejected, TokenDead
from push.payload import build
from push.subscription import EndpointPolicy
from push.transports import FcmWire, open_fcm, open_webpush
from push.transports.recorder import RecorderTransport
from push.vapid import VapidKey
from server.demo.fcm import FcmDouble, Step, server_tls
from tests.fakes.push_service import address_of, push_service

NOW_US = 1_800_000_000_000_000


class Recorder:
    def __init__(self):
        self.transport = RecorderTransport()

    async def device(self, number):
        return device(number)

    async def kill(self, address):
        self.transport.script(address, [TokenDead("unregistered")])

    async def seen(self):
        return [(address.value, payload.data) for address, payload in self.transport.sent]


class Fcm:
    def __init__(self, double, transport):
        self.double, self.transport = double, transport

    async def device(self, number):
        return device(number)

    async def kill(self, address):
        self.double.script(address.value, Step("unregistered"))

    async def seen(self):
        accepted = [record for record in self.double.records if record.status == 200]
        return [(record.address, record.body["message"]["data"]) for record in accepted]


class WebPush:
    def __init__(self, service, transport, vapid):
        self.service, self.transport, self.vapid = service, transport, vapid
        self.names = {}

    async def device(self, _number):
        name, subscription = await self.service.subscribe(self.vapid.public)
        address = address_of(subscription)
        self.names[address.value] = name
        return address

    async def kill(self, address):
        await self.service.expire(self.names[address.value])

    async def seen(self):
        return [(value, message) for value, name in self.names.items() for message in await self.service.messages(name)]


@pytest_asyncio.fixture(
    params=["recorder", "fcm-own-http1", "fcm-own-tls", "fcm-stock-http1", "fcm-stock-tls", "webpush"]
)
async def service(request, certificate, monkeypatch):
    if request.param == "recorder":
        yield Recorder()
        return
    if request.param == "webpush":
        async with push_service() as double:
            vapid = VapidKey(ec.generate_private_key(ec.SECP256R1()), "mailto:van-thu@example.gov.vn")
            lanes = open_webpush(vapid, EndpointPolicy(private_origins=(double.origin,)))
            yield WebPush(double, lanes[Lane.NORMAL], vapid)
            await asyncio.gather(*(lane.close() for lane in lanes.values()))
        return
    served, trusted = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    _, wire, over = request.param.split("-")
    async with FcmDouble(tls=server_tls(served) if over == "tls" else None) as fcm:
        lanes = await open_fcm(fcm.service_account, base_url=fcm.url, wire=FcmWire(wire))
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
    devices = [await service.device(n) for n in range(25)]
    outcomes = await asyncio.gather(*(service.transport.send(each, payload(n)) for n, each in enumerate(devices)))
    assert all(isinstance(outcome, Delivered) for outcome in outcomes), outcomes
    assert len({outcome.message_id for outcome in outcomes}) == 25
    assert sorted(await service.seen(), key=lambda item: item[1]["id"]) == [
        (each.value, payload(n).data) for n, each in enumerate(devices)
    ]


@pytest.mark.asyncio
async def test_a_dead_address_is_told_and_the_next_one_served(service):
    dead, living = await service.device(1), await service.device(2)
    await service.kill(dead)
    assert await service.transport.send(dead, payload(1)) == TokenDead("unregistered")
    assert isinstance(await service.transport.send(living, payload(2)), Delivered)
    assert [value for value, _ in await service.seen()] == [living.value]


@pytest.mark.asyncio
async def test_too_large_is_rejected_before_it_leaves(service):
    big = msgspec.structs.replace(payload(1), data={"id": "x" * 5000})
    assert await service.transport.send(await service.device(1), big) == Rejected("payload-too-large")
    assert await service.seen() == []


@pytest.mark.asyncio
async def test_close_twice(service):
    await service.transport.close()
    await service.transport.close()
