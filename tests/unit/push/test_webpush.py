"""Web Push: encryption and VAPID against the RFCs' vectors and other implementations, answers to outcomes, the guard of C10.

Longer than most: the vectors of four RFCs stand with what they are for.
"""

import asyncio
import base64
import contextlib
import json
import os
import ssl
import stat

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

import push.transports.webpush as module
from push.encryption import MAX_PLAINTEXT, encrypt
from push.model import Address, AddressKind, Lane, Language, Notice, Urgency
from push.outcome import Delivered, Misconfigured, Rejected, RetryAfter, RetryCause, Scope, TokenDead
from push.payload import activation, build
from push.subscription import EndpointPolicy, EndpointRefusedError, Subscription, SubscriptionError, is_public
from push.transports.webpush import WebPushTransport
from push.vapid import VapidKey, VapidKeyError
from tests.fakes.push_service import address_of, push_service

NOW_US = 1_800_000_000_000_000


def unb64u(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key_of(text):
    return ec.derive_private_key(int.from_bytes(unb64u(text), "big"), ec.SECP256R1())


# RFC 8291, section 5 and appendix A.
POINT = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
SENDER = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1"
    "CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def subscription(endpoint):
    return {"endpoint": endpoint, "keys": {"p256dh": POINT, "auth": AUTH}}


def address(endpoint):
    return address_of(subscription(endpoint))


def payload(urgency=Urgency.ACTIVE, **fields):
    lane = Lane.URGENT if urgency is Urgency.TIME_SENSITIVE else Lane.NORMAL
    notice = Notice(notice_id="N" * 22, lane=lane, urgency=urgency, expires_us=NOW_US + 600_000_000, **fields)
    return build(notice, language=Language.VIETNAMESE, now_us=NOW_US)


@pytest.fixture
def vapid():
    return VapidKey(ec.generate_private_key(ec.SECP256R1()), "mailto:van-thu@example.gov.vn")


# -- RFC 8291 -------------------------------------------------------------------------------------------------------


def test_the_example_of_rfc_8291():
    body = encrypt(
        b"When I grow up, I want to be a watermelon", point=unb64u(POINT), auth=unb64u(AUTH), sender=key_of(SENDER), salt=unb64u(SALT)
    )  # fmt: skip
    assert base64.urlsafe_b64encode(body).rstrip(b"=").decode() == BODY


@given(length=st.integers(0, 300), padded=st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_the_size_tells_nothing_below_the_padding(length, padded):
    body = encrypt(bytes(length), point=unb64u(POINT), auth=unb64u(AUTH), padded=padded)
    assert len(body) == 86 + max(length, padded) + 1 + 16


def test_the_longest_message_fills_4096_bytes_and_no_key_or_salt_is_used_twice():
    bodies = [encrypt(bytes(MAX_PLAINTEXT), point=unb64u(POINT), auth=unb64u(AUTH)) for _ in range(20)]
    assert {len(body) for body in bodies} == {4096}
    assert len({body[:16] for body in bodies}) == len({body[21:86] for body in bodies}) == 20
    with pytest.raises(ValueError, match="too long"):
        encrypt(bytes(MAX_PLAINTEXT + 1), point=unb64u(POINT), auth=unb64u(AUTH))


@pytest.mark.parametrize(
    "change",
    [
        {"p256dh": POINT[:-4]}, {"p256dh": "B" * 87}, {"p256dh": base64.urlsafe_b64encode(b"\x04" + bytes(64)).rstrip(b"=").decode()}, {"auth": "AAAA"},
        {"auth": 7}, {"auth": "!" * 22},
        {"p256dh": "A" + POINT[1:]},
    ],
)  # fmt: skip
def test_what_is_no_subscription_is_refused(change):
    wrong = subscription("https://fcm.googleapis.com/x")
    wrong["keys"] |= change
    with pytest.raises(SubscriptionError):
        Subscription.parse(json.dumps(wrong))
    for text in ("", "[]", "{}", '{"endpoint":1}', "[" * 5000):
        with pytest.raises(SubscriptionError):
            Subscription.parse(text)


def test_a_subscription_is_its_own_canonical_text_and_masked():
    value = json.dumps({**subscription("https://fcm.googleapis.com/x"), "expirationTime": None}, indent=1)
    parsed = Subscription.parse(value)
    assert Subscription.parse(parsed.value()) == parsed
    assert " " not in parsed.value()
    assert "googleapis" not in repr(parsed)
    Address(kind=AddressKind.SUBSCRIPTION, value=parsed.value())


# -- RFC 8292 -------------------------------------------------------------------------------------------------------


def test_the_token_is_signed_for_its_origin_and_cached(vapid):
    first = vapid.authorization("https://fcm.googleapis.com", 1_800_000_000.5)
    scheme, _, rest = first.partition(" ")
    token, key = (part.partition("=")[2] for part in rest.split(", "))
    assert (scheme, key) == ("vapid", vapid.public)
    point = unb64u(vapid.public)
    public = {"kty": "EC", "crv": "P-256"} | {
        name: base64.urlsafe_b64encode(raw).rstrip(b"=").decode() for name, raw in (("x", point[1:33]), ("y", point[33:]))
    }  # fmt: skip
    found = jwt.decode(token, ECKey.import_key(public), algorithms=["ES256"])
    assert found.header == {"typ": "JWT", "alg": "ES256"}
    assert found.claims == {
        "aud": "https://fcm.googleapis.com",
        "exp": 1_800_000_000 + 12 * 3600,
        "sub": "mailto:van-thu@example.gov.vn",
    }
    assert vapid.authorization("https://fcm.googleapis.com", 1_800_000_000 + 6 * 3600 - 1) == first
    assert vapid.authorization("https://fcm.googleapis.com", 1_800_000_000 + 6 * 3600 + 1) != first
    assert vapid.authorization("https://web.push.apple.com", 1_800_000_001) != first
    # A clock that was set back must not hand out a token that ends further ahead than 24 h.
    late = vapid.authorization("https://a.example", 1_900_000_000)
    assert vapid.authorization("https://a.example", 1_800_000_000) != late
    for number in range(500):
        vapid.authorization(f"https://{number}.example", 1_800_000_000)
    assert len(vapid._tokens) <= 64


def test_the_key_file_is_made_once_and_for_its_owner(tmp_path):
    path = tmp_path / "vapid.pem"
    first = VapidKey.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert VapidKey.load_or_create(path).public == VapidKey.load(path).public == first.public
    assert os.listdir(tmp_path) == ["vapid.pem"]
    assert first.public[:11] in repr(first)
    path.chmod(0o604)
    with pytest.raises(VapidKeyError):
        VapidKey.load(path)
    path.chmod(0o600)
    path.write_text("secret content that no message repeats")
    with pytest.raises(VapidKeyError) as caught:
        VapidKey.load(path)
    assert "secret content" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(VapidKeyError):
        VapidKey.load(tmp_path / "none.pem")
    with pytest.raises(VapidKeyError):
        VapidKey(ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(VapidKeyError):
        VapidKey(ec.generate_private_key(ec.SECP256R1()), "van-thu@example.gov.vn")


# -- C10: which endpoints, which addresses ---------------------------------------------------------------------------

GOOD = [
    "https://fcm.googleapis.com/fcm/send/cX9:APA91b-_x", "https://fcm.googleapis.com:443/wp/x", "https://updates.push.services.mozilla.com/wpush/v2/gA=",
    "https://web.push.apple.com/QA", "https://wns2-sg2p.notify.windows.com/w/?token=BQ%3d%3d", "https://api.push.apple.com/x?y=1",
]  # fmt: skip
_NUMBERS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "0", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "8.8.8.8", "1.1.1.1", "127.0.0.1.", "127.0.0.0x1", "127.000.000.001",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:4860:4860::8888]",
]  # fmt: skip
_NAMES = [
    "localhost", "LOCALHOST", "localhost.", "localhost.localdomain", "ip6-localhost", "metadata.google.internal", "metadata", "internal", "push", "evil.example",
    "fcm.googleapis.com.evil.example", "evil-fcm.googleapis.com", "xfcm.googleapis.com", "googleapis.com", "storage.googleapis.com", "fcm.googleapis.com.",
    "FCM.googleapis.com", "fcm.googleapis.com\u3002evil.example", "fcm\uff0egoogleapis.com", "fcm.googleapis.c\u043em", "xn--fcm-googleapis-com.example", "127.0.0.1.nip.io",
    "localtest.me", "notify.windows.com", "wns2-.notify.windows.com.evil.example", "apple.com", "xpush.apple.com", "-fcm.googleapis.com", "fcm..googleapis.com",
    "fcm.googleapis.com%00.evil.example", "fcm.googleapis.com%2eevil.example", "fcm_googleapis.com", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "",
]  # fmt: skip
_SHAPES = [
    "http://fcm.googleapis.com/x", "HTTPS://fcm.googleapis.com/x", "ftp://fcm.googleapis.com/x", "file:///etc/passwd", "gopher://fcm.googleapis.com/x",
    "//fcm.googleapis.com/x", "fcm.googleapis.com/x", "https:fcm.googleapis.com/x", "https:/fcm.googleapis.com/x", "https:///fcm.googleapis.com/x",
    "https://fcm.googleapis.com:80/x", "https://fcm.googleapis.com:8443/x", "https://fcm.googleapis.com:0/x", "https://fcm.googleapis.com:/x",
    "https://fcm.googleapis.com:443443/x", "https://fcm.googleapis.com:0443/x", "https://fcm.googleapis.com:+443/x", "https://fcm.googleapis.com:443:443/x",
    "https://user@fcm.googleapis.com/x", "https://user:secret@fcm.googleapis.com/x", "https://@fcm.googleapis.com/x", "https://fcm.googleapis.com@evil.example/x",
    "https://evil.example@fcm.googleapis.com/x", "https://fcm.googleapis.com#@evil.example/x", "https://fcm.googleapis.com/x#y", "https://evil.example#.googleapis.com/",
    "https://fcm.googleapis.com\\@evil.example/x", "https://evil.example\\.fcm.googleapis.com/x", "https://fcm.googleapis.com\\evil.example/x",
    "https://fcm.googleapis.com/x y", "https://fcm.googleapis.com/x\r\nHost: evil.example", "https://fcm.googleapis.com/x\nX: y", "https://fcm.googleapis.com/\x00",
    "https://fcm.googleapis.com\t/x", " https://fcm.googleapis.com/x", "https://fcm.googleapis.com/x ", "https://fcm.googleapis.com/\u1eb7", "https://fcm.googleapis.com/<x>",
    'https://fcm.googleapis.com/"', "https://fcm.googleapis.com/" + "x" * 2048, "https://", "", "https://[", "https://[bad/x", "https://[::1]@fcm.googleapis.com/x",
    "https://fcm.googleapis.com;evil.example/x", "https://fcm.googleapis.com,evil.example/x", "https://fcm.googleapis.com?x@evil.example", "javascript:alert(1)", "data:,x",
    "https://*/x", "https://*.push.apple.com/x", "https://wns2-*.notify.windows.com/x", "https://fcm.googleapis.com|evil.example/x", "https://fcm.googleapis.com\x7f/x",
]  # fmt: skip
BAD = (
    [f"https://{host}/x" for host in _NUMBERS + _NAMES] + [f"https://{host}:443/x" for host in _NUMBERS[:24]] + _SHAPES
)


def test_the_table_of_endpoints():
    """C10: at registration and at each send the same table decides; nothing but plain https URLs of listed services passes."""
    assert len(set(BAD)) >= 140
    assert len(set(GOOD + BAD)) >= 145
    policy = EndpointPolicy()
    for url in GOOD:
        assert policy.check(url).port == 443, url
    for url in BAD:
        with pytest.raises(EndpointRefusedError) as caught:
            policy.check(url)
        assert "evil" not in str(caught.value)


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_passes_is_a_listed_host(text):
    policy = EndpointPolicy()
    for url in (text, f"https://{text}", f"https://fcm.googleapis.com{text}", f"https://{text}fcm.googleapis.com/x"):
        with contextlib.suppress(EndpointRefusedError):
            found = policy.check(url)
            assert (found.scheme, found.host, found.port) == ("https", "fcm.googleapis.com", 443)
            assert found.target.startswith("/")
            assert not set(found.target) & set(" \r\n\t#\\")


def test_a_private_origin_is_exact():
    policy = EndpointPolicy(private_origins=("http://127.0.0.1:8090", "https://push.xa-mau.gov.vn"))
    assert policy.check("http://127.0.0.1:8090/notify/x").origin == "http://127.0.0.1:8090"
    assert policy.check("https://push.xa-mau.gov.vn/up?x=1").target == "/up?x=1"
    for url in (
        "http://127.0.0.1:8091/x", "https://127.0.0.1:8090/x", "http://localhost:8090/x", "http://127.0.0.1/x", "http://push.xa-mau.gov.vn/x",
        "https://push.xa-mau.gov.vn:8443/x", "http://127.0.0.1:8090@evil.example/", "http://127.1:8090/x",
    ):  # fmt: skip
        with pytest.raises(EndpointRefusedError):
            policy.check(url)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("142.250.66.10", True), ("2404:6800:4005:80a::200a", True), ("64:ff9b::8efa:420a", True), ("::ffff:142.250.66.10", True),
        ("127.0.0.1", False), ("10.1.2.3", False), ("100.64.1.1", False), ("169.254.169.254", False), ("0.0.0.0", False), ("224.0.1.1", False), ("240.0.0.1", False),
        ("255.255.255.255", False), ("192.0.2.1", False), ("198.18.0.1", False), ("::1", False), ("::", False), ("fe80::1", False), ("fe80::1%eth0", False), ("fc00::1", False),
        ("2404:6800::1%eth0", False), ("ff02::1", False), ("::ffff:127.0.0.1", False), ("::ffff:10.0.0.1", False), ("64:ff9b::7f00:1", False), ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False), ("2001:0:7f00:1::", False), ("2001:db8::1", False), ("not an address", False), ("", False),
    ],
)  # fmt: skip
def test_public_addresses(address, public):
    assert is_public(address) is public


class Canary:
    """Counts who connects; answers nothing."""

    async def __aenter__(self):
        self.connections = 0
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _meet(self, _reader, writer):
        self.connections += 1
        writer.close()

    async def __aexit__(self, *_):
        self._server.close()


class Wire(module.httpcore2.AsyncNetworkBackend):
    """Where the guard would connect to, led to a local port."""

    def __init__(self, port):
        self.port, self.asked = port, []
        self._inner = module.httpcore2.AnyIOBackend()

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        self.asked.append((host, port))
        return await self._inner.connect_tcp("127.0.0.1", self.port, timeout, local_address, socket_options)


@pytest.mark.asyncio
async def test_no_endpoint_of_the_table_and_no_private_address_is_connected_to(vapid):
    """C10: 0 connections to the canary, whatever the URL says and whatever the name resolves to."""
    async with Canary() as canary:
        asked = []

        async def resolve(host, port):
            asked.append((host, port))
            return ["127.0.0.1"]

        transport = WebPushTransport(vapid, EndpointPolicy(), resolve=resolve)
        transport._backend._inner = Wire(canary.port)
        for url in BAD:
            if 0 < len(url) <= 2048 and url.isascii():
                with contextlib.suppress(ValueError):
                    assert await transport.send(address(url), payload()) == TokenDead("endpoint-refused"), url
        for port in (canary.port, 443):
            refused = await transport.send(address(f"https://127.0.0.1:{port}/x"), payload())
            assert refused == TokenDead("endpoint-refused")
        assert asked == []
        for answer in (["127.0.0.1"], ["142.250.66.10", "127.0.0.1"], ["::ffff:10.0.0.1"], ["fe80::1%lo"]):
            transport._backend._resolve = lambda _host, _port, answer=answer: _soon(answer)
            outcome = await transport.send(address("https://fcm.googleapis.com/x"), payload())
            assert outcome == Misconfigured("endpoint-address-refused", Scope.PLATFORM)
        assert (canary.connections, transport._backend._inner.asked) == (0, [])
        await transport.close()


async def _soon(value):
    return value


@pytest.mark.asyncio
async def test_rebinding_finds_no_second_look_up(vapid, monkeypatch):
    """The name is resolved once a connection, and the connection goes to that very address."""
    async with Canary() as canary:
        answers = [["142.250.66.10"], ["127.0.0.1"], ["142.250.66.10"], ["127.0.0.1"]]
        transport = WebPushTransport(
            vapid, EndpointPolicy(), resolve=lambda _host, _port: _soon(answers.pop(0)), timeout_s=5
        )
        wire = transport._backend._inner = Wire(canary.port)
        outcomes = [await transport.send(address("https://fcm.googleapis.com/x"), payload()) for _ in range(4)]
        assert [type(one) for one in outcomes] == [RetryAfter, Misconfigured] * 2
        assert wire.asked == [("142.250.66.10", 443)] * 2
        await transport.close()


# -- The wire and its answers ----------------------------------------------------------------------------------------


class Service:
    """A push service that answers what it was told and keeps every request."""

    def __init__(self, tls=None):
        self.answer = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
        self.requests, self.connections, self.open, self.most, self._tls = [], 0, 0, 0, tls
        self.hold = None
        self._writers, self._serving = [], []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader, writer):
        self._writers.append(writer)
        self._serving.append(asyncio.current_task())
        self.connections += 1
        self.open += 1
        self.most = max(self.most, self.open)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
                body = await reader.readexactly(int(headers["content-length"]))
                self.requests.append((head[0], headers, body))
                if self.hold is not None:
                    await self.hold.wait()
                writer.write(self.answer)
                await writer.drain()
                if not self.answer:
                    break
        self.open -= 1
        writer.close()


def answer(status, *headers, body=b""):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.asyncio
async def test_what_leaves(vapid):
    """Headers of RFC 8030 and 8292; the body holds nothing readable, and all bodies are of one size (C12)."""
    async with Service() as service:
        transport = WebPushTransport(
            vapid, EndpointPolicy(private_origins=(service.origin,)), now_s=lambda: 1_800_000_000.0
        )
        there = address(f"{service.origin}/p/x?y=1")
        collapse = "c" * 32
        for one in (
            payload(Urgency.TIME_SENSITIVE, collapse_id=collapse, revision=2),
            payload(),
            payload(Urgency.PASSIVE),
            activation("C" * 22, language=Language.VIETNAMESE, expires_us=NOW_US + 600_000_000, now_us=NOW_US),
        ):
            assert isinstance(await transport.send(there, one), Delivered)
        line, headers, _ = service.requests[0]
        assert line == "POST /p/x?y=1 HTTP/1.1"
        assert headers == {
            "host": f"127.0.0.1:{service.port}",
            "authorization": vapid.authorization(service.origin, 1_800_000_000.0),
            "ttl": "600",
            "urgency": "high",
            "topic": collapse,
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "content-length": str(len(service.requests[0][2])),
        }
        assert [one[1]["urgency"] for one in service.requests] == ["high", "normal", "low", "normal"]
        assert ["topic" in one[1] for one in service.requests] == [True, False, False, False]
        assert len({len(body) for _, _, body in service.requests}) == 1
        assert service.connections == 1
        everything = b"".join(body + json.dumps(headers).encode() for _, headers, body in service.requests)
        for word in ("N" * 22, "C" * 22, "Hỏa Tốc", "thông báo", base64.b64encode(b"N" * 21).decode()[:20]):
            assert word.encode() not in everything
        await transport.close()


@pytest.mark.asyncio
async def test_another_implementation_reads_it(vapid):
    """The npm package web-push-testing checks the VAPID token and decrypts (http_ece)."""
    async with push_service() as service:
        transport = WebPushTransport(vapid, EndpointPolicy(private_origins=(service.origin,)))
        name, made = await service.subscribe(vapid.public)
        sent = payload(Urgency.TIME_SENSITIVE, revision=3)
        challenge = activation("C" * 22, language=Language.ENGLISH, expires_us=NOW_US + 600_000_000, now_us=NOW_US)
        assert isinstance(await transport.send(address_of(made), sent), Delivered)
        assert isinstance(await transport.send(address_of(made), challenge), Delivered)
        ends = str(NOW_US // 1_000_000 + 600)
        assert await service.messages(name) == [
            {"id": "N" * 22, "l": "u", "x": ends, "r": "3"},
            {"c": "C" * 22, "x": ends},
        ]
        other = VapidKey(ec.generate_private_key(ec.SECP256R1()))
        _, theirs = await service.subscribe(other.public)
        assert isinstance(await transport.send(address_of(theirs), sent), Rejected)
        await service.expire(name)
        assert await transport.send(address_of(made), sent) == TokenDead("unregistered")
        await transport.close()


QUOTA, DOWN, LOST = RetryCause.QUOTA, RetryCause.UNAVAILABLE, RetryCause.UNREACHABLE


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (answer(404), TokenDead("unregistered")), (answer(410), TokenDead("unregistered")), (answer(413), Rejected("payload-too-large")),
        (answer(400, body=b'{"reason":"BadRequest"}'), Rejected("invalid-request")), (answer(422), Rejected("invalid-request")),
        (answer(401), Misconfigured("vapid-token-refused", Scope.PLATFORM)), (answer(403), Misconfigured("vapid-key-refused", Scope.PLATFORM)),
        (answer(429), RetryAfter(QUOTA)), (answer(429, "Retry-After: 120"), RetryAfter(QUOTA, 120.0)),
        (answer(429, "retry-after: soon"), RetryAfter(QUOTA)), (answer(429, "Retry-After: 99999999999"), RetryAfter(QUOTA, 86_400.0)),
        (answer(500), RetryAfter(DOWN)), (answer(503, "Retry-After: 30"), RetryAfter(DOWN, 30.0)),
        (answer(301, "Location: http://127.0.0.1:9/"), RetryAfter(LOST)), (answer(307, "Location: https://evil.example/"), RetryAfter(LOST)),
        (b"", RetryAfter(LOST)), (b"SSH-2.0-x\r\n\r\n", RetryAfter(LOST)), (b"HTTP/1.1 201 Created\r\nContent-Length: nonsense\r\n\r\n", RetryAfter(LOST)),
        (b"HTTP/1.1 201 X\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 200) for n in range(600)) + b"\r\n", RetryAfter(LOST)),
    ],
)  # fmt: skip
@pytest.mark.asyncio
async def test_the_answer_of_a_push_service(vapid, said, outcome):
    async with Service() as service:
        service.answer = said
        policy = EndpointPolicy(private_origins=(service.origin,))
        transport = WebPushTransport(vapid, policy, timeout_s=5, now_s=lambda: 1_800_000_000.0)
        assert await transport.send(address(f"{service.origin}/x"), payload()) == outcome
        assert len(service.requests) == 1, "no redirect is followed, nothing is sent twice"
        await transport.close()


@pytest.mark.asyncio
async def test_a_flood_of_an_answer_is_not_read(vapid):
    async with Service() as service:
        service.answer = answer(201, body=b"x" * 4_000_000)
        transport = WebPushTransport(vapid, EndpointPolicy(private_origins=(service.origin,)))
        assert isinstance(await transport.send(address(f"{service.origin}/x"), payload()), Delivered)
        service.answer = answer(201)
        assert isinstance(await transport.send(address(f"{service.origin}/x"), payload()), Delivered)
        assert service.connections == 2, "the flooded connection is not used again"
        await transport.close()


@pytest.mark.asyncio
async def test_a_subscription_of_another_key_dies_only_by_a_proved_sender(vapid):
    """403 prunes one address, never all of them when it is our key that is wrong."""
    async with Service() as service:
        transport = WebPushTransport(vapid, EndpointPolicy(private_origins=(service.origin,)))
        there = address(f"{service.origin}/x")
        service.answer = answer(403)
        assert isinstance(await transport.send(there, payload()), Misconfigured)
        service.answer = answer(201)
        assert isinstance(await transport.send(there, payload()), Delivered)
        service.answer = answer(403)
        outcomes = [await transport.send(there, payload()) for _ in range(25)]
        assert outcomes[0] == TokenDead("sender-id-mismatch")
        assert outcomes[-1] == Misconfigured("vapid-key-refused", Scope.PLATFORM)
        await transport.close()


@pytest.mark.asyncio
async def test_connections_are_bounded_and_a_silent_service_is_left(vapid):
    async with Service() as service:
        service.hold = asyncio.Event()
        policy = EndpointPolicy(private_origins=(service.origin,))
        transport = WebPushTransport(vapid, policy, connections=4, timeout_s=20)
        sending = [asyncio.create_task(transport.send(address(f"{service.origin}/x"), payload())) for _ in range(40)]
        async with asyncio.timeout(20):
            while service.open < 4:  # noqa: ASYNC110 - the service is told apart from its test
                await asyncio.sleep(0.01)
        service.hold.set()
        assert all(isinstance(one, Delivered) for one in await asyncio.gather(*sending))
        assert (service.most, len(service.requests)) == (4, 40)
        await transport.close()

        service.hold = asyncio.Event()
        hasty = WebPushTransport(vapid, policy, timeout_s=0.2)
        assert await hasty.send(address(f"{service.origin}/x"), payload()) == RetryAfter(LOST)
        await hasty.close()
        assert await hasty.send(address(f"{service.origin}/x"), payload()) == RetryAfter(LOST), "closed"
        service.hold.set()


@pytest.mark.asyncio
async def test_tls_is_checked_against_the_name_and_not_the_address(vapid, tmp_path):
    """The connection goes to the address that was looked at; the certificate must be for the endpoint's name (C10)."""
    authority, leaf, key = _certificates(tmp_path, "push.example.gov.vn")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(leaf, key)
    trust = ssl.create_default_context(cafile=authority)
    async with Service(serving) as service:
        policy = EndpointPolicy(hosts=("push.example.gov.vn", "other.example.gov.vn"))
        transport = WebPushTransport(vapid, policy, resolve=lambda *_: _soon(["142.250.66.10"]), tls=trust)
        wire = transport._backend._inner = Wire(service.port)
        assert isinstance(await transport.send(address("https://push.example.gov.vn/x"), payload()), Delivered)
        assert wire.asked == [("142.250.66.10", 443)]
        assert service.requests[0][1]["host"] == "push.example.gov.vn"
        # The same address under another name shares neither connection nor certificate.
        assert await transport.send(address("https://other.example.gov.vn/x"), payload()) == RetryAfter(LOST)
        assert len(service.requests) == 1
        await transport.close()
        untrusting = WebPushTransport(vapid, policy, resolve=lambda *_: _soon(["142.250.66.10"]))
        untrusting._backend._inner = Wire(service.port)
        assert await untrusting.send(address("https://push.example.gov.vn/x"), payload()) == RetryAfter(LOST)
        await untrusting.close()


@pytest.mark.asyncio
async def test_other_kinds_and_broken_addresses_cost_no_connection(vapid):
    transport = WebPushTransport(vapid, EndpointPolicy())
    token = Address(kind=AddressKind.TOKEN, value="a-registration-token")
    assert await transport.send(token, payload()) == Rejected("wrong-address-kind")
    broken = Address(kind=AddressKind.SUBSCRIPTION, value="{}")
    assert await transport.send(broken, payload()) == TokenDead("subscription-invalid")
    big = msgspec.structs.replace(payload(), data={"id": "x" * 4050})
    assert await transport.send(address("https://fcm.googleapis.com/x"), big) == Rejected("payload-too-large")
    assert transport._pool is None


def _certificates(folder, name):
    import subprocess

    config = f"subjectAltName=DNS:{name}\nbasicConstraints=critical,CA:FALSE\n"
    (folder / "leaf.ext").write_text(config)
    run = lambda *arguments: subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    run("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Sample root", "-days", "2",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    run("req", *curve, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", f"/CN={name}")
    run(
        "x509",
        "-req",
        "-in",
        "leaf.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-out",
        "leaf.pem",
        "-days",
        "2",
        "-extfile",
        "leaf.ext",
    )
    return folder / "ca.pem", folder / "leaf.pem", folder / "leaf.key"
