"""Calls to configured addresses: what leaves, what is read, and when a request surely did not leave (C11, D1, D2)."""

import asyncio
import contextlib
import ssl

import pytest
import uvloop

from server.demo.loopback import LoopbackServer, Reply
from server.outgoing import AnswerTooLarge, NoAnswer, NotSent, Outgoing
from tests.fakes.raw_peer import peer
from tests.fakes.tls import loopback_certificate

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def calls(**options):
    http = Outgoing(**({"read_s": 60} | options))
    try:
        yield http
    finally:
        await http.close()


async def asked(http, url, **options):
    async with http.call("POST", url, **options) as answer:
        return answer.status, await answer.read(1000)


async def pieces(*sizes):
    for size in sizes:
        yield bytes(size)


@pytest.mark.asyncio
async def test_a_call_says_no_more_than_it_must_and_follows_nothing(monkeypatch, tmp_path):
    """C11: neither a redirect, a proxy, a cookie nor a password of the environment; and nothing compressed is asked for."""
    led = []

    async def canary(request):
        led.append(request.path)
        return Reply(200, b"")

    async def leading(request):
        seen.append(request)
        return Reply(302, headers={"Location": elsewhere.url + "/led", "Set-Cookie": "a=b"})

    seen = []
    (tmp_path / ".netrc").write_text("default login a password b")
    async with LoopbackServer(canary) as elsewhere, LoopbackServer(leading) as server, calls() as http:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, elsewhere.url)
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        for _ in range(2):
            assert (await asked(http, server.url + "/a?b=c", headers={"X-Own": "1"}))[0] == 302
    assert led == []
    assert {(request.method, request.path) for request in seen} == {("POST", "/a")}
    assert set(seen[1].headers) == {"host", "x-own", "user-agent", "accept", "accept-encoding", "content-length"}
    assert (seen[1].headers["accept-encoding"], seen[1].headers["user-agent"]) == ("identity", "hoatoc")
    assert seen[0].connection == seen[1].connection, "a connection is used again"


@pytest.mark.asyncio
async def test_what_surely_did_not_leave_is_told_apart(unused_tcp_port):
    """D1, D2."""

    async def silent(_reader, _writer, ends):
        arrived.set()
        await ends.wait()

    arrived = asyncio.Event()

    async with calls() as http:
        for url in (f"http://127.0.0.1:{unused_tcp_port}/", "http://", "ldap://127.0.0.1/"):
            with pytest.raises(NotSent):
                await asked(http, url)
    async with peer(silent) as url, calls(connections=1) as http:
        first = asyncio.create_task(asked(http, url))
        await arrived.wait()
        http._connect_s = 0.1
        with pytest.raises(NotSent, match="no-connection-in-time"):
            await asked(http, url, read_s=0.1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    async with peer(silent) as url, calls() as http:
        with pytest.raises(NoAnswer, match="no-answer-in-time") as silence:
            await asked(http, url, read_s=0.1)
        assert not isinstance(silence.value, NotSent)


@pytest.mark.asyncio
async def test_a_request_is_sent_once_and_a_connection_closed_meanwhile_is_not_used():
    """D1: the peer reads a second request on a kept connection and ends: it may have acted, so nothing is sent again."""
    heads = []

    async def serve(reader, writer, _ends):
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            if b"/ends" in heads[-1]:
                return
            writer.write(OK)
            await writer.drain()
            if b"/last" in heads[-1]:
                writer.close()  # without having said so
                await writer.wait_closed()
                closed.set()
                return

    closed = asyncio.Event()
    async with peer(serve) as url, calls() as http:
        assert await asked(http, url + "/kept") == (200, b"ok")
        with pytest.raises(NoAnswer) as lost:
            await asked(http, url + "/ends")
        assert not isinstance(lost.value, NotSent)
        assert len(heads) == 2
        assert await asked(http, url + "/last") == (200, b"ok")
        await closed.wait()
        for _ in range(10):
            await asyncio.sleep(0)  # turns of the loop: the end has arrived on the same machine
        assert await asked(http, url + "/new") == (200, b"ok")
        assert len(heads) == 4


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"])
def test_what_was_given_up_does_not_go_on_leaving(run, answer):
    """D2: who takes the packet after its outcome was judged, by silence or by an early answer, gets no more than the machine's buffers held."""
    length = 32 << 20

    async def scenario():
        got = asyncio.get_running_loop().create_future()
        given_up = asyncio.Event()

        async def serve(reader, writer, _ends):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await given_up.wait()
            size = 0
            try:
                while part := await reader.read(1 << 20):
                    size += len(part)
            finally:
                got.set_result(size)

        async with peer(serve) as url, calls() as http:
            sent = asked(
                http, url, headers={"Content-Length": str(length)}, body=pieces(length), read_s=30 if answer else 0.2
            )
            if answer:
                assert await sent == (413, b"no")
            else:
                with pytest.raises(NoAnswer, match="no-answer-in-time") as late:
                    await sent
                assert not isinstance(late.value, NotSent)
            given_up.set()
            assert await got < length

    run(scenario())


@pytest.mark.asyncio
async def test_a_certificate_must_be_of_a_known_authority_and_name_who_is_called(tmp_path):
    served, trusted = loopback_certificate(tmp_path)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(served)
    seen = []

    async def serve(request):
        seen.append(request.headers["host"])
        return Reply(200, b"ok")

    async with LoopbackServer(serve, tls=own) as server, calls() as http:
        with pytest.raises(NotSent, match="no-connection"):
            await asked(http, server.url)
        http._tls = ssl.create_default_context(cafile=trusted)
        assert await asked(http, server.url) == (200, b"ok")
        assert await asked(http, server.url, tls_name="localhost", headers={"Host": "localhost"}) == (200, b"ok")
        with pytest.raises(NotSent, match="no-connection"):
            await asked(http, server.url, tls_name="other.example")
    assert seen == [f"127.0.0.1:{server.port}", "localhost"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1 << 16), AnswerTooLarge),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n" + bytes(1 << 16), AnswerTooLarge),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", NoAnswer),
        (b"HTTP/1.1 200 OK\r\nX: " + bytes(1 << 20), NoAnswer),
        (b"220 smtp.example ESMTP\r\n", NoAnswer),
        (b"", NoAnswer),
    ],
)
async def test_a_hostile_answer_is_bounded(said, error):
    async def serve(reader, writer, _ends):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with peer(serve) as url, calls() as http:
        with pytest.raises(error):
            await asked(http, url)


@pytest.mark.asyncio
async def test_an_answer_that_turns_out_to_be_none_in_its_middle_ends_in_time():
    """What came before was read already; the rest is no piece of it, whether its peer goes on or not."""

    async def serve(reader, writer, ends):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")
        await read.wait()
        writer.write(b"no size\r\n")
        await ends.wait()

    read = asyncio.Event()
    async with peer(serve) as url, calls(read_s=0.1) as http, asyncio.timeout(20):
        with pytest.raises(NoAnswer, match="no-answer-in-time"):
            async with http.call("GET", url) as answer:
                async for chunk in answer.chunks():
                    assert chunk == b"begun"
                    read.set()


@pytest.mark.asyncio
async def test_an_answer_left_unread_harms_no_other_call():
    """Its connection may serve somebody else by the time it is left."""

    async def serve(request):
        return Reply(500 if request.path == "/bad" else 200, request.path.encode())

    async def one(number):
        if number % 2:
            return (await asked(http, server.url + f"/{number}")) == (200, f"/{number}".encode())
        async with http.call("GET", server.url + "/bad") as answer:
            await asyncio.sleep(0)
            return answer.status == 500

    async with LoopbackServer(serve) as server, calls(connections=2) as http:
        assert all(await asyncio.gather(*map(one, range(200))))
