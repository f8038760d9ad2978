"""C16 for everything that is created: the same request again gives the same answer and has one effect, and no secret is kept open."""

import asyncio
import json
import secrets
from typing import Any

import pytest

from server.app import routes, schema_document
from server.errors import Refused
from server.identity.tokens import TokenKeys
from tests.api.conftest import World, code
from tests.fakes.stack import Caller

session = pytest.mark.asyncio(loop_scope="session")
HOOK = {"url": "http://127.0.0.1:9/once", "events": ["document.signed"]}

# What needs no key, and why repeating it is harmless all the same.
BY_NATURE = {
    "redeemPairing": "the code is single use; the same phone gets the same answer",
    "resumeSession": "the proof is single use; a further session ends the one before",
    "issueToken": "a further token; a refresh answers the same device alike for ten seconds (C4)",
    "revokeDevice": "revoking twice is one revocation",
    "revokeAuthority": "revoking twice is one revocation",
    "reportOpenings": "the first opening of a page counts, however often it is told",
    "openSheet": "a further prepared revision, of which one can be signed",
    "askChallenge": "a further challenge, of which each signs once",
    "approve": "the challenge is single use (A10)",
    "carryVoucher": "a voucher is its digest",
    "enrol": "the voucher is single use; the same phone gets the same answer",
    "addDevice": "the challenge is single use (A10)",
    "handOver": "the challenge is single use (A10)",
    "changePin": "the challenge is single use (A10)",
    "importCertificate": "the same certificate again changes nothing",
    "reportReceipts": "a report is kept once for each notice and event",
    "acknowledgeNotice": "the first acknowledgement counts",
    "withdrawAnnouncement": "withdrawing twice is one withdrawal",
    "retryDeadLetters": "what is on its way is no dead letter any more, and a message keeps its id",
    "reportPurges": "the first word of a device counts",
    "validateFile": "changes nothing",
    "checkIn": "who came is written down once; the last word counts",
    "verifyPageAnswer": "changes nothing",
    "activateWebPushAddress": "an address that was activated stays so",
}


def test_every_route_that_makes_something_takes_a_key_or_says_why_not() -> None:
    posts = {str(one.operation_id): one.opt for one in routes() if "POST" in one.http_methods}
    keyed = {name for name, opt in posts.items() if opt.get("idempotent")}
    assert keyed >= {"takeInDocument", "createPerson", "createPairingCode", "createClient", "registerWebhook"}
    assert not keyed & set(BY_NATURE)
    assert set(posts) - keyed <= set(BY_NATURE), "a new POST without an Idempotency-Key and without a reason"
    described = json.loads(schema_document())["paths"].values()
    for item in described:
        operation = item.get("post")
        if operation is not None and operation["operationId"] in keyed:
            assert any(one["name"] == "Idempotency-Key" for one in operation["parameters"])


def wanted(world: World) -> list[tuple[Caller, str, dict[str, Any], str]]:
    """Who asks, where, what, and the table that grows by one row."""
    return [
        (world.administrator, "/api/v1/people", {"name": "Bùi Thị Mẫu", "roles": ["staff"]}, "people"),
        (world.administrator, f"/api/v1/people/{world.staff.person}/pairing-codes", {"office": True}, "pairings"),
        (world.administrator, "/api/v1/clients", {"name": "QLVB ba", "scopes": ["documents:read"]}, "service_clients"),
        (world.qlvb, "/api/v1/webhooks", HOOK, "webhooks"),
    ]


@session
@pytest.mark.parametrize("which", range(4))
async def test_many_at_once_and_one_later_are_one_thing(world: World, which: int) -> None:
    caller, path, body, table = wanted(world)[which]
    headers = {"Idempotency-Key": secrets.token_urlsafe(16)}
    before = await world.count(table)
    answers = await asyncio.gather(*(caller.call("POST", path, json=body, headers=headers) for _ in range(10)))
    answers.append(await caller.call("POST", path, json=body, headers=headers))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await world.count(table) == before + 1
    other = await caller.call("POST", path, json={**body, **another(body)}, headers=headers)
    assert (other.status_code, code(other)) == (422, "idempotency-key-reused")
    assert code(await caller.call("POST", path, json=body, keyless=True)) == "idempotency-key-missing"
    fresh = await caller.call("POST", path, json=body)
    assert fresh.status_code == 201
    assert fresh.content != answers[0].content
    assert await world.count(table) == before + 2


def another(body: dict[str, Any]) -> dict[str, Any]:
    return (
        {"office": not body["office"]}
        if "office" in body
        else {"name": "khác"}
        if "name" in body
        else {"events": ["document.sealed"]}
    )


@session
async def test_the_repeated_answer_works_and_its_secret_is_nowhere_in_the_clear(world: World) -> None:
    """A2: whoever has the database alone reads neither the code nor the client's secret, in any spelling."""
    found = []
    for which in (1, 2):
        caller, path, body, _ = wanted(world)[which]
        headers = {"Idempotency-Key": secrets.token_urlsafe(16)}
        await caller.call("POST", path, json=body, headers=headers)
        found.append((await caller.call("POST", path, json=body, headers=headers)).json())
    pairing, client = found
    phone = Caller(world.stack.http)
    await phone.pair(pairing["code"])
    assert (await phone.call("GET", "/api/v1/me")).status_code == 200
    form = {
        "grant_type": "client_credentials",
        "client_id": client["client_id"],
        "client_secret": client["client_secret"],
    }
    assert (await world.stack.http.post("/api/v1/oauth/token", data=form)).status_code == 200
    rows = await world.rows("SELECT answer FROM once_answers WHERE answer IS NOT NULL")
    kept = b"\n".join(bytes(row["answer"]) for row in rows)
    for secret in (pairing["code"], client["client_secret"]):
        for spelling in (
            secret.encode(),
            secret.encode().hex().encode(),
            secret.encode("utf-16-le"),
            secret[4:].encode(),
        ):
            assert spelling not in kept


@session
async def test_a_sealed_answer_moved_to_another_row_opens_nothing(world: World) -> None:
    """A4: answers swapped between two keys, or altered, are noticed; nothing is given out."""
    caller, path, body, _ = wanted(world)[2]
    keys = [secrets.token_urlsafe(16) for _ in range(2)]
    for key in keys:
        await caller.call("POST", path, json=body, headers={"Idempotency-Key": key}, expect=201)
    rows = {
        row["key"]: bytes(row["answer"])
        for row in await world.rows("SELECT key, answer FROM once_answers")
        if row["key"] in keys
    }
    changed = bytes([rows[keys[0]][-1] ^ 1])
    for forged in (rows[keys[1]], rows[keys[0]][:-1] + changed, b"", b"\x02" + rows[keys[0]][1:], rows[keys[0]][:20]):
        await world.execute("UPDATE once_answers SET answer = $1 WHERE key = $2", forged, keys[0])
        answer = await caller.call("POST", path, json=body, headers={"Idempotency-Key": keys[0]})
        assert (answer.status_code, code(answer)) == (500, "integrity-failed")
    await world.execute("UPDATE once_answers SET answer = $1 WHERE key = $2", rows[keys[0]], keys[0])
    assert (await caller.call("POST", path, json=body, headers={"Idempotency-Key": keys[0]})).status_code == 201


def test_a_ring_with_a_newer_key_still_opens() -> None:
    """D16: a repeated request may come after the keys were rotated."""
    old, new = bytes(32), bytes([1]) * 32
    sealed = TokenKeys([old]).seal(b"answer", b"row")
    assert TokenKeys([new, old]).open(sealed, b"row") == b"answer"
    assert TokenKeys([old]).seal(b"answer", b"row") != sealed
    for keys, bound_to in ((TokenKeys([new]), b"row"), (TokenKeys([old]), b"other row")):
        with pytest.raises(Refused, match="integrity-failed"):
            keys.open(sealed, bound_to)


@session
async def test_another_administrators_key_is_another_key(world: World) -> None:
    """C16: 0 answers leak to another caller."""
    path, body = "/api/v1/clients", {"name": "chung khóa", "scopes": ["documents:read"]}
    headers = {"Idempotency-Key": secrets.token_urlsafe(16)}
    mine = await world.administrator.call("POST", path, json=body, headers=headers, expect=201)
    theirs = await world.foreign_administrator.call("POST", path, json=body, headers=headers, expect=201)
    assert mine.json()["client_id"] != theirs.json()["client_id"]
    assert mine.json()["client_secret"] != theirs.json()["client_secret"]
