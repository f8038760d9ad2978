"""Fan-out of pushes: our wire against the SDK's two ways and against a bare h2 loop that posts the same bytes.

The double stands in a process of its own and speaks HTTP/2 over TLS; what is counted is the sender's processor time.
"""

import asyncio
import contextlib
import gc
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
import httpx2

from push.dispatcher import Dispatcher, LaneSettings
from push.model import Address, AddressKind, Lane, Language, Notice, Urgency
from push.outcome import Delivered
from push.payload import build
from push.transports import open_fcm
from push.transports.fcm_wire import MessageWriter
from tests.bench.measure import Row, at_least, at_most
from tests.fakes.tls import loopback_certificate

_NOW_US = 1_800_000_000_000_000
_IN_FLIGHT = 64
_ROUNDS = 5
_MOST = 2_000  # bytes of a body at most


@contextlib.contextmanager
def double() -> Iterator[dict[str, Any]]:
    """The double in a process of its own: its URLs and the service account; this process trusts its authority."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        served, trusted = loopback_certificate(folder)
        for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            stack.callback(_restore, variable, os.environ.get(variable))
            os.environ[variable] = str(trusted)
        account = folder / "account.json"
        command = [sys.executable, "-m", "server.demo.fcm", "--service-account", str(account)]
        command += ["--tls", str(served), "--keep", "1000"]
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(process.kill)
        assert process.stdout is not None
        started = json.loads(process.stdout.readline())
        yield {**started, "account": json.loads(account.read_text())}


def _restore(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value


def accepted(fcm: dict[str, Any]) -> int:
    """How many messages the double has accepted: what a sender says of itself is not believed."""
    return int(
        httpx2.get(f"{fcm['plain_url']}/_recorded", params={"after": "1000000"}, trust_env=False).json()["accepted"]
    )


def device(number: int) -> Address:
    return Address(kind=AddressKind.FID, value=f"c{number:021d}:APA91b" + "x" * 120)


def notice(number: int) -> Notice:
    return Notice(
        notice_id=f"{number:022d}", lane=Lane.NORMAL, urgency=Urgency.ACTIVE, expires_us=_NOW_US + 3_600_000_000
    )


async def fan_out(fcm: dict[str, Any], count: int) -> None:
    """One notice to `count` devices, as the server sends it: through a dispatcher."""
    lanes = await open_fcm(fcm["account"], base_url=fcm["url"])
    settings = {lane: LaneSettings(transport=each, concurrency=_IN_FLIGHT) for lane, each in lanes.items()}
    dispatcher = Dispatcher(settings, now_us=lambda: _NOW_US, monotonic_us=lambda: time.monotonic_ns() // 1000)

    async def wanted() -> bool:
        return True

    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            outcome = await dispatcher.deliver(
                device(number), notice(number), language=Language.VIETNAMESE, still_wanted=wanted
            )
            if not isinstance(outcome, Delivered):
                raise RuntimeError(f"not accepted: {outcome}")

    await asyncio.gather(*(worker() for _ in range(_IN_FLIGHT)))
    await dispatcher.close()


def _messages(count: int) -> list[Any]:
    from push.transports.fcm import message_of

    return [
        message_of(device(number), build(notice(number), language=Language.VIETNAMESE, now_us=_NOW_US))
        for number in range(count)
    ]


@contextlib.contextmanager
def _stock_app(fcm: dict[str, Any]) -> Iterator[Any]:
    """An app of the SDK, pointed at the double, with the connections that it has against Google's host."""
    import firebase_admin
    import requests
    from firebase_admin import credentials

    from push.transports.fcm import _send_to, messaging

    app = firebase_admin.initialize_app(
        credentials.Certificate(fcm["account"]), {"projectId": fcm["project"]}, name="b"
    )
    asyncio.run(messaging.send_each_async([], dry_run=False, app=app))
    _send_to(app, fcm["url"], fcm["project"])
    adapter = requests.adapters.HTTPAdapter(pool_connections=100, pool_maxsize=100)
    messaging._get_messaging_service(app)._client.session.mount(fcm["url"], adapter)
    try:
        yield app
    finally:
        firebase_admin.delete_app(app)


def _send_each(fcm: dict[str, Any], count: int) -> None:
    from firebase_admin import messaging

    with _stock_app(fcm) as app, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = messaging.send_each(_messages(count), app=app)
        assert answer.success_count == count


def _send_each_async(fcm: dict[str, Any], count: int) -> None:
    from firebase_admin import messaging

    from push.transports.fcm import _close_client

    with _stock_app(fcm) as app, warnings.catch_warnings():
        warnings.simplefilter("ignore")

        async def run() -> Any:
            try:
                return await messaging.send_each_async(_messages(count), dry_run=False, app=app)
            finally:
                await _close_client(app)  # in its own loop, or `delete_app` fails

        assert asyncio.run(run()).success_count == count


async def _token(fcm: dict[str, Any]) -> str:
    from push.transports.fcm import open_account

    bearer, _ = await open_account(fcm["account"])
    assert await bearer.ready() is None
    return str(bearer.token)


async def bare_h2(fcm: dict[str, Any], bodies: list[bytes]) -> None:
    """The floor: one connection, 64 requests under way, h2 and asyncio and nothing else, one write a turn of the loop."""
    token, parts = await _token(fcm), urlsplit(fcm["url"])
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context)
    config = h2.config.H2Configuration(
        header_encoding="latin-1", validate_outbound_headers=False, normalize_outbound_headers=False
    )
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    writer.write(connection.data_to_send())
    headers = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", parts.netloc),
        (":path", f"/v1/projects/{fcm['project']}/messages:send"),
        ("authorization", f"Bearer {token}"),
        ("content-type", "application/json"),
    ]
    left, done, answered, under_way = iter(bodies), 0, 0, 0

    def begin() -> None:
        nonlocal under_way
        while under_way < _IN_FLIGHT and connection.outbound_flow_control_window >= _MOST:
            if (body := next(left, None)) is None:
                return
            number = connection.get_next_available_stream_id()
            connection.send_headers(number, headers)
            connection.send_data(number, body, end_stream=True)
            under_way += 1

    begin()
    while done < len(bodies):
        writer.write(connection.data_to_send())
        for event in connection.receive_data(await reader.read(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                answered += dict(event.headers)[":status"] == "200"
            elif isinstance(event, h2.events.DataReceived):
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                done += 1
                under_way -= 1
        begin()
    assert answered == len(bodies)
    writer.close()
    await writer.wait_closed()


def _bodies(count: int) -> list[bytes]:
    writer = MessageWriter()
    return [
        writer.write(device(number), build(notice(number), language=Language.VIETNAMESE, now_us=_NOW_US))
        for number in range(count)
    ]


def _per_cpu_s(count: int, side: Callable[[], object]) -> float:
    gc.collect()
    begin = time.process_time()
    side()
    return count / (time.process_time() - begin)


def _run(make: Callable[[], Awaitable[object]]) -> Callable[[], object]:
    async def running() -> None:
        await make()

    return lambda: asyncio.run(running())


def rows() -> Iterator[Row]:
    with double() as fcm:
        asyncio.run(fan_out(fcm, 50))  # imports and first connections are not counted
        bodies = _bodies(2000)
        sides: list[tuple[int, Callable[[], object]]] = [
            (2000, _run(lambda: fan_out(fcm, 2000))),
            (2000, _run(lambda: bare_h2(fcm, bodies))),
            (300, lambda: _send_each(fcm, 300)),
            (300, lambda: _send_each_async(fcm, 300)),
        ]
        before = accepted(fcm)
        rates = [[_per_cpu_s(*side) for side in sides] for _ in range(_ROUNDS)]
        assert accepted(fcm) - before == _ROUNDS * sum(count for count, _ in sides)
        ours, bare, threads, stock = (statistics.median(column) for column in zip(*rates, strict=True))
        unit = "messages per CPU second"
        yield at_least("fcm fan-out against send_each", ours, threads, unit, 10.0)
        yield at_least("fcm fan-out against send_each_async", ours, stock, unit, 8.0)
        yield at_least("fcm fan-out against a bare h2 loop", ours, bare, unit, 0.7)
        spent = [10_000 / _per_cpu_s(10_000, _run(lambda: fan_out(fcm, 10_000))) for _ in range(3)]
        yield at_most("fcm fan-out to 10,000 devices", statistics.median(spent), 4.0, "CPU s", 1.0)


__all__ = ["accepted", "double", "fan_out", "rows"]
