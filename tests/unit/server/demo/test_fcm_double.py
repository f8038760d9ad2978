"""The FCM double is a fair judge: it refuses what FCM refuses, and its records are what arrived."""

import asyncio
import json
import time

import httpx2
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey

from server.demo.fcm import FcmDouble, Step, body_faults

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"


@pytest_asyncio.fixture
async def client():
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as opened:
        yield opened


def assertion(fcm, key=None, header=None, **changes):
    now = int(time.time())
    claims = {"iss": fcm.service_account["client_email"], "aud": f"{fcm.url}/token", "scope": SCOPE}
    claims |= {"iat": now, "exp": now + 3600} | changes
    return jwt.encode(header or {"alg": "RS256"}, claims, key or RSAKey.import_key(fcm.service_account["private_key"]))


async def ask(client, fcm, text, grant=GRANT):
    return await client.post(f"{fcm.url}/token", data={"grant_type": grant, "assertion": text})


async def send(client, fcm, body, token=None):
    if token is None:
        token = (await ask(client, fcm, assertion(fcm))).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post(f"{fcm.url}/v1/projects/{fcm.project}/messages:send", content=content, headers=headers)


@pytest.mark.asyncio
async def test_token_endpoint_takes_only_an_assertion_of_the_account(client, fcm):
    foreign = RSAKey.import_key(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    now = int(time.time())
    refused = [
        assertion(fcm, key=foreign),
        assertion(fcm, iss="other@hoatoc-demo.iam.gserviceaccount.com"),
        assertion(fcm, aud="https://elsewhere.example/token"),
        assertion(fcm, scope="https://www.googleapis.com/auth/drive"),
        assertion(fcm, iat=now - 7200, exp=now - 3600),
        assertion(fcm, exp=now + 7200),
        assertion(fcm, scope=7),
        "",
        "a.b.c",
    ]
    for text in refused:
        answer = await ask(client, fcm, text)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await ask(client, fcm, assertion(fcm), grant="client_credentials")).status_code == 400
    assert fcm.tokens_issued == 0
    assert (await ask(client, fcm, assertion(fcm))).json()["token_type"] == "Bearer"


@pytest.mark.asyncio
async def test_send_needs_a_living_bearer(client, fcm):
    body = {"message": {"fid": "x", "data": {"id": "1"}}}
    assert (await send(client, fcm, body, token="invented")).status_code == 401
    token = (await ask(client, fcm, assertion(fcm))).json()["access_token"]
    assert (await send(client, fcm, body, token=token)).status_code == 200
    fcm.revoke_tokens()
    assert (await send(client, fcm, body, token=token)).status_code == 401
    async with FcmDouble(token_life_s=0) as short:
        assert (await send(client, short, body)).status_code == 401


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({}, "message"),
        ({"fid": "a", "token": "b"}, "message"),
        ({"fid": ""}, "message"),
        ({"fid": "a", "surprise": 1}, "message.surprise"),
        ({"fid": "a", "data": {"n": 1}}, "message.data"),
        ({"fid": "a", "data": {"google.x": "1"}}, "message.data.google.x"),
        ({"fid": "a", "data": {"from": "1"}}, "message.data.from"),
        ({"fid": "a", "data": {"k": "ỏ" * 1400}}, "message"),
        ({"fid": "a", "android": {"ttl": "2419201s"}}, "message.android.ttl"),
        ({"fid": "a", "android": {"ttl": "-1s"}}, "message.android.ttl"),
        ({"fid": "a", "android": {"ttl": "1h"}}, "message.android.ttl"),
        ({"fid": "a", "android": {"priority": "urgent"}}, "message.android.priority"),
        ({"fid": "a", "apns": {"headers": {"apns-priority": "11"}}}, "message.apns.headers.apns-priority"),
        ({"fid": "a", "apns": {"headers": {"apns-expiration": "soon"}}}, "message.apns.headers.apns-expiration"),
        ({"fid": "a", "apns": {"headers": {"apns-collapse-id": "x" * 65}}}, "message.apns.headers.apns-collapse-id"),
        ({"fid": "a", "apns": {"payload": {"k": "v"}}}, "message.apns.payload.aps"),
        ({"fid": "a", "apns": {"payload": {"aps": {}, "k": "x" * 4096}}}, "message.apns.payload"),
    ],
)
def test_bodies_that_fcm_refuses(message, field):
    assert [name for name, _ in body_faults({"message": message})] == [field]


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"message": []},
        {"message": {"fid": "a"}, "dry": 1},
        {"message": {"fid": "a", "android": []}},
        {"message": {"fid": "a", "data": "x"}},
    ],
)
def test_bodies_that_are_no_message(body):
    assert len(body_faults(body)) == 1


def test_a_full_body_has_no_fault():
    message = {
        "fid": "a",
        "data": {"k": "x" * 4000},
        "android": {"ttl": "2419200s", "priority": "high"},
        "apns": {"headers": {"apns-priority": "5", "apns-expiration": "0", "apns-collapse-id": "x" * 64}},
    }
    assert body_faults({"message": message, "validate_only": True}) == []


@pytest.mark.asyncio
async def test_records_are_what_arrived_byte_for_byte(client, fcm):
    raw = b'{"message":  {"fid":"thi\xe1\xba\xbft-b\xe1\xbb\x8b","data":{"id":"\\u1ea3"}}}'
    await send(client, fcm, raw)
    await send(client, fcm, b"not json")
    recorded = (await client.get(f"{fcm.url}/_recorded")).json()
    first, second = recorded["requests"]
    assert (first["address"], first["raw"].encode(), first["status"]) == ("thiết-bị", raw, 200)
    assert (second["body"], second["status"], second["answer"]) == (None, 400, "invalid_payload")
    assert first["arrived_us"] <= second["arrived_us"]
    assert recorded["connections"] == 1
    assert recorded["tokens_issued"] == 2


@pytest.mark.asyncio
async def test_a_reader_can_wait_for_the_next_record_of_its_address(client, fcm):
    async def wait():
        return (await client.get(f"{fcm.url}/_recorded", params={"address": "b", "after": "1", "wait": "10"})).json()

    await send(client, fcm, {"message": {"fid": "b", "data": {"id": "1"}}})
    waiting = asyncio.create_task(wait())
    await send(client, fcm, {"message": {"fid": "a", "data": {"id": "2"}}})
    assert not waiting.done()
    await send(client, fcm, {"message": {"fid": "b", "data": {"id": "3"}}})
    assert [record["body"]["message"]["data"]["id"] for record in (await waiting)["requests"]] == ["3"]


@pytest.mark.asyncio
async def test_script_over_http_runs_in_order_then_accepts(client, fcm):
    steps = [{"answer": "quota", "retry_after": "3"}, {"answer": "unavailable", "times": 2}]
    assert (await client.put(f"{fcm.url}/_script/dev/1", json=steps)).status_code == 204
    answers = [await send(client, fcm, {"message": {"fid": "dev/1"}}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [429, 503, 503, 200]
    assert answers[0].headers["Retry-After"] == "3"
    for wrong in ([{"answer": "nonsense"}], [{"answer": "ok", "extra": 1}], {"answer": "ok"}):
        assert (await client.put(f"{fcm.url}/_script/x", json=wrong)).status_code == 400
    assert (await client.put(f"{fcm.url}/_switch", json={"tokens": "maybe"})).status_code == 400


@pytest.mark.asyncio
async def test_default_script_covers_addresses_without_an_own_one(client, fcm):
    fcm.script("*", Step("unregistered", times=None))
    fcm.script("own", Step("slow"))
    assert (await send(client, fcm, {"message": {"fid": "any"}})).status_code == 404
    assert (await send(client, fcm, {"message": {"fid": "own"}})).status_code == 200


@pytest.mark.asyncio
async def test_cut_sends_no_byte(client, fcm):
    fcm.script("x", Step("cut"))
    with pytest.raises(httpx2.RemoteProtocolError):
        await send(client, fcm, {"message": {"fid": "x"}})
    assert fcm.records[0].status is None


@pytest.mark.asyncio
async def test_malformed_http_closes_the_connection_only(client, fcm):
    for junk in (
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /token HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"x" * 70_000,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", fcm.port)
        writer.write(junk)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
    assert (await send(client, fcm, {"message": {"fid": "x"}})).status_code == 200
