"""Our own wire in the manners that a push service, a proxy and a network have (RFC 9113; threat D4)."""

import asyncio
import json
import ssl

import pytest
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from push.model import Address, AddressKind, Lane, Language, Notice, Urgency
from push.payload import activation, build
from push.transports.fcm import message_of
from push.transports.fcm_wire import MessageWriter
from push.transports.http import HttpClient, NoAnswerError, Origin, client_tls, outbound_proxy
from server.demo.fcm import server_tls
from tests.fakes.h2_script import ScriptedHttp2

NOW_US = 1_800_000_000_000_000


@pytest.fixture
def trusting(certificate, monkeypatch):
    served, trusted = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    return server_tls(served)


def client_of(server, *, timeout_s=20.0, **more):
    return HttpClient(Origin(host="127.0.0.1", port=server.port, tls=client_tls(), **more), timeout_s=timeout_s)


def post(client, body=b"{}"):
    return client.post("/send", (("host", "127.0.0.1"), ("authorization", "Bearer t")), body)


def goaway(last):
    return GoAwayFrame(0, last_stream_id=last).serialize()


@pytest.mark.asyncio
async def test_after_goaway_accepted_requests_are_answered_and_the_others_sent_again(trusting):
    def act(connection, stream):
        if connection.number > 0:
            connection.accept(stream)
        elif len(connection.open) == 6:
            connection.raw(goaway(5))
            for accepted in (1, 3, 5):
                connection.accept(accepted)

    async with ScriptedHttp2(trusting, act) as server:
        client = client_of(server)
        answers = await asyncio.gather(*(post(client, b"%d" % number) for number in range(6)))
        await client.close()
    names = [answer.json()["name"] for answer in answers]
    assert names[:3] == ["m-0-1", "m-0-3", "m-0-5"]
    assert [name.split("-")[1] for name in names[3:]] == ["1", "1", "1"]
    assert sorted(body for number, _, body in server.bodies if number == 1) == [b"3", b"4", b"5"]


@pytest.mark.asyncio
async def test_a_connection_lost_after_sending_is_told_as_unknown_and_the_next_request_finds_a_new_one(trusting):
    def act(connection, stream):
        if connection.number == 0:
            if len(connection.open) == 3:
                connection.accept(1)
                connection.cut()
        else:
            connection.accept(stream)

    async with ScriptedHttp2(trusting, act) as server:
        client = client_of(server)
        found = await asyncio.gather(*(post(client) for _ in range(3)), return_exceptions=True)
        assert sum(isinstance(one, NoAnswerError) for one in found) >= 2
        assert (await post(client)).status_code == 200
        await client.close()
    # What may have arrived is never sent twice by the wire itself.
    assert [number for number, _, _ in server.bodies] == [0, 0, 0, 1]


@pytest.mark.asyncio
async def test_a_refused_stream_is_sent_again_and_not_for_ever(trusting):
    refused = []

    def act(connection, stream):
        if len(refused) < 2:
            refused.append(stream)
            connection.refuse(stream)
        else:
            connection.accept(stream)

    async with ScriptedHttp2(trusting, act) as server:
        client = client_of(server)
        assert (await post(client)).status_code == 200
        refused.clear()
        refused_ever, server._act = [], lambda connection, stream: connection.refuse(stream)
        with pytest.raises(NoAnswerError):
            await post(client)
        assert refused_ever == []
        await client.close()
    assert len(server.bodies) == 6


@pytest.mark.asyncio
async def test_never_more_requests_at_a_time_than_the_service_allows(trusting):
    async with ScriptedHttp2(
        trusting, lambda connection, stream: connection.accept(stream), {SettingCodes.MAX_CONCURRENT_STREAMS: 3}
    ) as server:
        client = client_of(server, connections=2)
        answers = await asyncio.gather(*(post(client) for _ in range(60)))
        await client.close()
    assert all(answer.status_code == 200 for answer in answers)
    assert 1 <= server.most <= 3
    assert len(server.connections) <= 2


@pytest.mark.asyncio
async def test_a_body_larger_than_the_window_waits_for_room(trusting):
    body = bytes(range(256)) * 40
    async with ScriptedHttp2(
        trusting, lambda connection, stream: connection.accept(stream), {SettingCodes.INITIAL_WINDOW_SIZE: 700}
    ) as server:
        client = client_of(server)
        await asyncio.gather(*(post(client, body) for _ in range(20)))
        await client.close()
    assert [arrived for _, _, arrived in server.bodies] == [body] * 20


@pytest.mark.asyncio
async def test_many_answers_do_not_exhaust_our_own_window(trusting):
    page = b'{"name":"%s"}' % (b"x" * 4000)
    async with ScriptedHttp2(trusting, lambda connection, stream: connection.accept(stream, page)) as server:
        client = client_of(server)
        for _ in range(4):
            answers = await asyncio.gather(*(post(client) for _ in range(10)))
            assert all(answer.content == page for answer in answers)
        await client.close()


@pytest.mark.asyncio
async def test_an_endless_answer_is_cut(trusting):
    def act(connection, stream):
        connection.h2.send_headers(stream, [(":status", "200")])
        for _ in range(4):
            connection.h2.send_data(stream, b"x" * 16_000)
        connection.flush()

    async with ScriptedHttp2(trusting, act) as server:
        client = client_of(server)
        with pytest.raises(NoAnswerError):
            await post(client)
        await client.close()


@pytest.mark.asyncio
async def test_a_silent_connection_is_given_up_and_replaced(trusting):
    async with ScriptedHttp2(
        trusting, lambda connection, stream: connection.accept(stream) if connection.number else None
    ) as server:
        client = client_of(server, timeout_s=4.0, connections=1)
        with pytest.raises(NoAnswerError):
            await post(client)
        assert (await post(client)).status_code == 200
        await client.close()
    assert len(server.connections) == 2


@pytest.mark.asyncio
async def test_a_caller_who_leaves_gives_the_place_back(trusting):
    asked = asyncio.Event()
    stuck = []

    def act(connection, stream):
        if not stuck:
            stuck.append(stream)
            asked.set()
        else:
            connection.accept(stream)

    async with ScriptedHttp2(trusting, act) as server:
        client = client_of(server, connections=1, streams=1)
        leaving = asyncio.create_task(post(client))
        await asked.wait()
        following = asyncio.create_task(post(client))
        leaving.cancel()
        assert (await following).status_code == 200
        await client.close()
    assert leaving.cancelled()


@pytest.mark.asyncio
async def test_a_stranger_s_certificate_gets_nothing(trusting, monkeypatch):
    async with ScriptedHttp2(trusting, lambda connection, stream: connection.accept(stream)) as server:
        monkeypatch.delenv("SSL_CERT_FILE")
        client = client_of(server)
        with pytest.raises(NoAnswerError):
            await post(client)
        await client.close()
    assert server.bodies == []


@pytest.mark.asyncio
async def test_the_outbound_proxy_is_asked_for_a_tunnel_by_name(trusting):
    heads, pipes = [], set()

    async def pipe(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def proxy(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        if b"Basic dTpwJzI=" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            writer.close()
            return
        onward, back = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        pipes.update({asyncio.create_task(pipe(reader, back)), asyncio.create_task(pipe(onward, writer))})

    async with ScriptedHttp2(trusting, lambda connection, stream: connection.accept(stream)) as server:
        tunnels = await asyncio.start_server(proxy, "127.0.0.1", 0)
        port = tunnels.sockets[0].getsockname()[1]
        client = HttpClient(
            Origin(host="localhost", port=server.port, tls=client_tls(), proxy=f"http://u:p%272@127.0.0.1:{port}"),
            timeout_s=20.0,
        )
        assert (await post(client)).status_code == 200
        await client.close()
        refused = client_of(server, proxy=f"http://127.0.0.1:{port}")
        with pytest.raises(NoAnswerError):
            await post(refused)
        await refused.close()
        tunnels.close()
        await asyncio.gather(*pipes, return_exceptions=True)
    assert heads[0].startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % server.port)
    assert len(server.bodies) == 1


def test_which_proxy_the_environment_names():
    assert outbound_proxy("fcm.googleapis.com", {}) is None
    assert outbound_proxy("fcm.googleapis.com", {"https": "http://proxy:3128"}) == "http://proxy:3128"
    assert outbound_proxy("fcm.googleapis.com", {"https": "proxy:3128"}) == "http://proxy:3128"
    assert outbound_proxy("fcm.googleapis.com", {"https": "http://proxy:3128", "no": ".googleapis.com"}) is None
    with pytest.raises(ValueError):
        outbound_proxy("fcm.googleapis.com", {"https": "socks5://proxy:1080"})


def test_certificates_and_names_are_always_checked():
    context = client_tls()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


opaque = st.text("ABCdef012-_", min_size=22, max_size=64)
notices = st.builds(
    Notice,
    notice_id=opaque,
    lane=st.just(Lane.URGENT),
    urgency=st.sampled_from(Urgency),
    expires_us=st.integers(NOW_US + 1_000_000, NOW_US + 10**13),
    revision=st.integers(0, 2**31 - 1),
    collapse_id=st.none() | st.text("ABCdef012-_", min_size=16, max_size=32),
    key_id=st.none() | st.text("ABCdef012-_", min_size=1, max_size=32),
)
addresses = st.builds(
    Address,
    kind=st.sampled_from([AddressKind.FID, AddressKind.TOKEN]),
    value=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=200),
)
WRITER = MessageWriter()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(addresses, notices), min_size=1, max_size=4), st.sampled_from(Language))
def test_bytes_written_from_a_shape_say_what_the_sdk_says(pairs, language):
    for address, notice in pairs:
        for again in (notice, Notice(**{name: getattr(notice, name) for name in notice.__struct_fields__})):
            payload = build(again, language=language, now_us=NOW_US)
            # The SDK writes the same message itself; `str` is its public form.
            assert json.loads(WRITER.write(address, payload)) == {
                "message": json.loads(str(message_of(address, payload)))
            }


def test_an_activation_is_written_whole():
    address = Address(kind=AddressKind.FID, value="device-1")
    for challenge in ("c" * 22, "d" * 22):
        payload = activation(challenge, language=Language.ENGLISH, expires_us=NOW_US + 10**7, now_us=NOW_US)
        assert json.loads(WRITER.write(address, payload))["message"]["data"]["c"] == challenge
