"""Identity through HTTP, on both engines: pairing, C1, C2, C4, C5, C14, revocation.

Longer than most: pairing, sessions and revocation are one state, tested over one server on each engine.
"""

import asyncio
import base64
import hashlib
import json

import msgspec
import pytest
import pytest_asyncio

from server.db import open_database
from server.identity import tasks
from server.identity.model import Actor, Role
from server.jobs import Context, Job, Lane
from signing.device import short_code_of as short_code
from tests.fakes.identity import KEYS, ORIGIN, SECOND_ORIGIN, House, Phone, b64u, sign

pytestmark = pytest.mark.asyncio

# The receiver's key of RFC 8291's example: a point that is on the curve.
POINT = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"


@pytest.fixture
def house(db, clock):
    return House(db, clock)


@pytest.fixture
def same_url(request, db):
    """The address of the database that `db` is, for a second process's handle."""
    return request.getfixturevalue(f"{db.dialect}_url")


@pytest_asyncio.fixture
async def client(house):
    async with house.client() as client:
        yield client


@pytest_asyncio.fixture
async def admin(house):
    return await house.organisation()


async def count(db, table, where="1 = 1"):
    return (await db.fetch_one(f"SELECT COUNT(*) AS n FROM {table} WHERE {where}"))["n"]


def reason(answer):
    return answer.status_code, answer.json()["code"], answer.json().get("reason")


# -- Pairing --------------------------------------------------------------------------------------------------------


async def test_pairing_gives_a_session_and_the_short_code(house, client, admin):
    person, phone = await house.paired(client, admin, Role.LEADER)
    assert (await phone.call(client, "GET", "/trivial")).json() == {"id": person}
    mine = (await phone.call(client, "GET", "/api/v1/me/devices")).json()
    assert [each["short_code"] for each in mine] == [short_code(phone.approval.thumbprint())]
    assert not mine[0]["admitted"]


async def test_the_link_keeps_code_and_signer_behind_the_fragment(house, client, admin):
    person = await house.identity.create_person(admin, name="Người mẫu")
    code = await house.identity.pairing_code(admin, person.id)
    assert code.link.reveal() == f"{ORIGIN}/pair#code={code.code.reveal()}&signer=sample-signer-thumbprint"
    assert len(base64.b32decode(code.code.reveal())) * 8 >= 128
    assert code.code.reveal() not in repr(code)


async def test_exactly_one_of_many_phones_redeems_a_code(house, client, admin, db):
    person = await house.identity.create_person(admin, name="Người mẫu")
    code = (await house.identity.pairing_code(admin, person.id)).code.reveal()
    answers = await asyncio.gather(*(Phone(house.clock).redeem(client, code) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 19
    assert {answer.json()["code"] for answer in answers if answer.status_code == 422} == {"pairing-code-invalid"}
    assert await count(db, "devices") == 1
    assert await count(db, "access_tokens") == 1


async def test_the_same_phone_asking_again_gets_the_same_answer(house, client, admin, db):
    person = await house.identity.create_person(admin, name="Người mẫu")
    code = (await house.identity.pairing_code(admin, person.id)).code.reveal()
    phone = Phone(house.clock)
    first, again = await phone.redeem(client, code), await phone.redeem(client, code.lower())
    assert first.json() == again.json()
    assert await count(db, "devices") == 1


@pytest.mark.parametrize("what", ["expired", "unknown", "person-left"])
async def test_void_codes_are_refused_alike(house, client, admin, what, db):
    person = await house.identity.create_person(admin, name="Người mẫu")
    code = (await house.identity.pairing_code(admin, person.id)).code.reveal()
    if what == "expired":
        house.clock.advance(600)
    elif what == "person-left":
        await house.identity.end_person(admin, person.id)
    else:
        code = "A" * 32
    answer = await Phone(house.clock).redeem(client, code)
    assert reason(answer) == (422, "pairing-code-invalid", None)
    assert await count(db, "devices") == 0


async def test_a_known_key_is_refused_and_the_code_stays_good(house, client, admin):
    person, phone = await house.paired(client, admin)
    code = (await house.identity.pairing_code(admin, person)).code.reveal()
    other = Phone(house.clock)
    other.approval = phone.approval
    assert reason(await other.redeem(client, code)) == (409, "device-key-known", None)
    assert (await Phone(house.clock).redeem(client, code)).status_code == 200


async def test_the_proof_is_by_the_session_key_and_the_two_keys_differ(house, client, admin):
    person = await house.identity.create_person(admin, name="Người mẫu")
    code = (await house.identity.pairing_code(admin, person.id)).code.reveal()
    path, phone = "/api/v1/pairings/redeem", Phone(house.clock)
    body = {
        "code": code,
        "session_jwk": phone.public(phone.session),
        "approval_jwk": phone.public(phone.approval),
        "label": "x",
        "platform": "web",
    }
    stranger = phone.proof("POST", ORIGIN + path, key=phone.approval)
    assert reason(await client.post(path, json=body, headers={"DPoP": stranger})) == (401, "proof-invalid", "key")
    body["approval_jwk"] = body["session_jwk"]
    answer = await client.post(path, json=body, headers={"DPoP": phone.proof("POST", ORIGIN + path)})
    assert reason(answer)[:2] == (400, "invalid-request")
    leaked = phone.session.as_dict(private=True)
    answer = await client.post(
        path, json={**body, "session_jwk": leaked}, headers={"DPoP": phone.proof("POST", ORIGIN + path)}
    )
    assert reason(answer)[:2] == (400, "invalid-request")
    assert leaked["d"] not in answer.text


# -- C5: proofs at the door -----------------------------------------------------------------------------------------


async def test_one_proof_opens_once_of_500_over_two_processes_stores(house, client, admin, same_url):
    _, phone = await house.paired(client, admin, Role.LEADER)
    second_db = await open_database(same_url)
    second = House(second_db, house.clock)
    try:
        async with second.client() as other:
            headers = phone.headers("GET", "/trivial")
            calls = [(client, other)[n % 2].get("/trivial", headers=headers) for n in range(500)]
            answers = await asyncio.gather(*calls)
    finally:
        await second_db.close()
    assert sum(answer.status_code == 200 for answer in answers) == 1
    assert {reason(answer) for answer in answers if answer.status_code != 200} == {(401, "proof-invalid", "replay")}


async def test_headers_must_be_there_once(house, client, admin):
    _, phone = await house.paired(client, admin)
    headers = phone.headers("GET", "/trivial")
    twice = [
        ("Authorization", headers["Authorization"]),
        ("DPoP", headers["DPoP"]),
        ("DPoP", phone.proof("GET", ORIGIN + "/trivial", phone.access)),
    ]
    assert reason(await client.get("/trivial", headers=twice))[:2] == (401, "proof-invalid")
    both = [("Authorization", headers["Authorization"])] * 2 + [("DPoP", headers["DPoP"])]
    assert (await client.get("/trivial", headers=both)).status_code == 401
    assert reason(await client.get("/trivial", headers={"Authorization": headers["Authorization"]})) == (
        401,
        "proof-invalid",
        "missing",
    )
    assert (await client.get("/trivial", headers=headers)).status_code == 200, (
        "none of the refused calls spent the proof"
    )


async def test_a_bound_token_is_refused_as_bearer_and_with_another_key(house, client, admin):
    _, phone = await house.paired(client, admin)
    assert reason(await client.get("/trivial", headers={"Authorization": f"Bearer {phone.access}"})) == (
        401,
        "authentication-required",
        None,
    )
    thief = phone.proof("GET", ORIGIN + "/trivial", phone.access, key=phone.approval)
    answer = await client.get("/trivial", headers={"Authorization": f"DPoP {phone.access}", "DPoP": thief})
    unknown = await phone.call(client, "GET", "/trivial", "hta_" + "A" * 43)
    assert answer.json() == unknown.json(), "who holds a token without its key does not learn that it is live"
    for wrong_kind in (phone.refresh_token, KEYS.access("0" * 32, 0).reveal()):
        assert (await phone.call(client, "GET", "/trivial", wrong_kind)).status_code == 401


async def test_only_configured_hosts_and_their_own_url_count(house, client, admin):
    _, phone = await house.paired(client, admin)
    token = {"Authorization": f"DPoP {phone.access}"}

    async def call(host, url):
        return await client.get(
            "/trivial", headers={**token, "Host": host, "DPoP": phone.proof("GET", url, phone.access)}
        )

    assert (await call("localhost:8765", SECOND_ORIGIN + "/trivial")).status_code == 200
    assert reason(await call("localhost:8765", ORIGIN + "/trivial")) == (401, "proof-invalid", "target")
    assert reason(await call("evil.example", "http://evil.example/trivial"))[:2] == (421, "host-unknown")


async def test_undeclared_and_foreign_roles_are_denied(house, client, admin):
    person, phone = await house.paired(client, admin, Role.STAFF)
    assert (await phone.call(client, "GET", "/undeclared")).status_code == 401
    for method, path in [
        ("GET", "/api/v1/devices/awaiting-voucher"), ("PUT", f"/api/v1/people/{person}/key-freeze"),
        ("DELETE", f"/api/v1/people/{person}/key-freeze"), ("PUT", f"/api/v1/people/{person}/roles/administrator"),
        ("DELETE", f"/api/v1/people/{person}"), ("GET", "/api/v1/clients"),
    ]:  # fmt: skip
        assert reason(await phone.call(client, method, path)) == (403, "forbidden", None), path


async def test_an_access_token_ends_after_ten_minutes(house, client, admin):
    _, phone = await house.paired(client, admin)
    house.clock.advance(599)
    assert (await phone.call(client, "GET", "/trivial")).status_code == 200
    house.clock.advance(1)
    assert reason(await phone.call(client, "GET", "/trivial")) == (401, "authentication-required", None)


# -- C4: refresh ----------------------------------------------------------------------------------------------------


async def test_a_lost_reply_is_given_again(house, client, admin):
    _, phone = await house.paired(client, admin)
    for _ in range(30):
        lost, kept = await phone.refresh(client), await phone.refresh(client)
        assert lost.status_code == kept.status_code == 200
        assert lost.json() == kept.json()
        phone.keep(kept.json())
        house.clock.advance(11)
    assert (await phone.call(client, "GET", "/trivial")).status_code == 200


async def test_100_parallel_refreshes_leave_one_live_child(house, client, admin, db):
    _, phone = await house.paired(client, admin)
    answers = await asyncio.gather(*(phone.refresh(client) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    row = await db.fetch_one("SELECT generation, state FROM refresh_families")
    assert (row["generation"], row["state"]) == (1, "active")


@pytest.mark.parametrize("how", ["late", "two-behind", "other-key"])
async def test_reuse_ends_the_family(house, client, admin, db, how):
    _, phone = await house.paired(client, admin)
    old = phone.refresh_token
    phone.keep((await phone.refresh(client)).json())
    if how == "late":
        house.clock.advance(11)
    elif how == "two-behind":
        phone.keep((await phone.refresh(client)).json())
    key = phone.approval if how == "other-key" else None
    assert reason(await phone.refresh(client, old, key=key)) == (401, "refresh-invalid", None)
    assert reason(await phone.refresh(client)) == (401, "refresh-invalid", None)
    assert (await phone.call(client, "GET", "/trivial")).status_code == 401
    assert await count(db, "refresh_families", "state = 'active'") == 0
    assert house.log.events[-1][0] == "identity.session_ended"


async def test_the_family_has_an_absolute_life(house, client, admin):
    _, phone = await house.paired(client, admin)
    house.clock.advance(15 * 86_400)
    phone.keep((await phone.refresh(client)).json())
    house.clock.advance(15 * 86_400)
    assert reason(await phone.refresh(client)) == (401, "refresh-invalid", None)


async def test_forged_refresh_tokens_end_nothing(house, client, admin):
    _, phone = await house.paired(client, admin)
    raw = bytearray(base64.urlsafe_b64decode(phone.refresh_token[4:] + "=="))
    for index in (0, 16, 19, 20, 51):
        raw[index] ^= 1
        assert reason(await phone.refresh(client, "htr_" + b64u(bytes(raw)))) == (401, "refresh-invalid", None)
        raw[index] ^= 1
    assert (await phone.refresh(client)).status_code == 200


# -- Resume, log out ------------------------------------------------------------------------------------------------


async def resume(phone, client, **changes):
    path = "/api/v1/sessions"
    proof = phone.proof(
        "POST", ORIGIN + path, jti="0123456789abcdef" + b64u(hashlib.sha256(str(changes).encode()).digest())[:8]
    )
    jti = json.loads(base64.urlsafe_b64decode(proof.split(".")[1] + "=="))["jti"]
    said = {"v": 1, "device": phone.device, "session_key": phone.session.thumbprint(), "jti": jti}
    said.update({name: value for name, value in changes.items() if name in said})
    key = changes.get("key", phone.approval)
    header = {"alg": "ES256", "typ": changes.get("typ", "hoatoc-session+jws"), "kid": phone.approval.thumbprint()}
    return await client.post(path, json={"statement": sign(key, header, said)}, headers={"DPoP": proof})


async def test_the_approval_key_starts_a_session_again(house, client, admin):
    _, phone = await house.paired(client, admin)
    house.clock.advance(31 * 86_400)
    assert (await phone.refresh(client)).status_code == 401
    for wrong in (
        {"key": phone.session},
        {"typ": "hoatoc-approval+jws"},
        {"jti": "another-jti-000"},
        {"device": "0" * 32},
        {"v": 2},
    ):
        assert reason(await resume(phone, client, **wrong)) == (401, "proof-invalid", "statement"), wrong
    answer = await resume(phone, client)
    assert answer.status_code == 200
    phone.keep(answer.json()["tokens"])
    assert (await phone.call(client, "GET", "/trivial")).status_code == 200
    assert reason(await resume(phone, client)) == (401, "proof-invalid", "replay")


async def test_log_out_ends_sessions_and_push(house, client, admin, db):
    _, phone = await house.paired(client, admin)
    await phone.call(
        client, "PUT", "/api/v1/me/push-addresses/fcm", json={"registration_token": "sample-registration-token"}
    )
    assert (await phone.call(client, "DELETE", "/api/v1/sessions/current")).status_code == 204
    assert (await phone.call(client, "GET", "/trivial")).status_code == 401
    assert (await phone.refresh(client)).status_code == 401
    assert await count(db, "push_addresses") == 0


# -- Devices and freezes --------------------------------------------------------------------------------------------


class Signer:
    def __init__(self):
        self.calls = []

    async def revoke_device(self, *, organisation, person, approval_key):
        self.calls.append(("revoke", person, approval_key))

    async def set_frozen(self, *, organisation, person, frozen):
        self.calls.append(("freeze", person, frozen))


async def nothing(tx, job):
    """These handlers end with their return."""


async def run_jobs(house, signer):
    """What the worker does with the rows that are there, in order."""
    handlers = tasks.handlers(house.identity, signer)
    for row in await house.db.fetch_all("SELECT id, kind, payload, created_us FROM jobs ORDER BY id"):
        payload = row["payload"]
        job = Job(
            id=row["id"], kind=row["kind"], lane=Lane.URGENT, payload=payload if isinstance(payload, bytes) else payload.encode(),
            ordering_key=None, created_us=row["created_us"], attempt=1, failures=0, lease="",
        )  # fmt: skip
        await handlers[row["kind"]](job, Context(house.db, house.clock, job, nothing))


async def test_revoking_voids_all_at_once_and_tells_the_signer(house, client, admin, db):
    person, phone = await house.paired(client, admin, Role.LEADER)
    _, other = await house.paired(client, admin, Role.DUTY_OFFICER)
    await phone.call(
        client, "PUT", "/api/v1/me/push-addresses/fcm", json={"registration_token": "sample-registration-token"}
    )
    phone.keep((await phone.refresh(client)).json())
    answer = await other.call(client, "POST", f"/api/v1/devices/{phone.device}/revocation")
    assert (answer.status_code, answer.json()["state"]) == (200, "revoked")
    for call in (phone.call(client, "GET", "/trivial"), phone.refresh(client), resume(phone, client)):
        assert (await call).status_code == 401
    device = f"device = '{phone.device}'"
    for table, where in (
        ("access_tokens", device),
        ("refresh_families", f"{device} AND state = 'active'"),
        ("push_addresses", device),
    ):
        assert await count(db, table, where) == 0, table
    assert house.voided == [phone.device]
    again = await other.call(client, "POST", f"/api/v1/devices/{phone.device}/revocation")
    assert again.status_code == 200
    assert house.log.kinds().count("identity.device_revoked") == 1
    signer = Signer()
    await run_jobs(house, signer)
    assert signer.calls == [("revoke", person, phone.approval.thumbprint())]
    code = (await house.identity.pairing_code(admin, person)).code.reveal()
    assert reason(await phone.redeem(client, code)) == (409, "device-key-known", None), (
        "a revoked key is never admitted again"
    )


async def test_a_failing_hook_leaves_the_device_whole(db, clock):
    house = House(db, clock, fail=True)
    admin = await house.organisation()
    async with house.client() as client:
        _, phone = await house.paired(client, admin)
        assert (await phone.call(client, "POST", f"/api/v1/devices/{phone.device}/revocation")).status_code == 500
        assert (await phone.call(client, "GET", "/trivial")).status_code == 200
    assert "identity.device_revoked" not in house.log.kinds()
    assert await count(db, "jobs") == 0


async def test_a_second_device_and_a_lost_one(house, client, admin):
    person, phone = await house.paired(client, admin, Role.LEADER)
    second = Phone(house.clock)
    await second.redeem(client, (await house.identity.pairing_code(admin, person)).code.reveal())
    assert len((await second.call(client, "GET", "/api/v1/me/devices")).json()) == 2
    await second.call(client, "POST", f"/api/v1/devices/{phone.device}/revocation")
    assert (await phone.call(client, "GET", "/trivial")).status_code == 401
    assert (await second.call(client, "GET", "/trivial")).status_code == 200


async def test_a_code_that_a_stolen_phone_asked_for_dies_with_it(house, client, admin):
    """A1: after the revocation nothing that the phone had prepared opens a session; an administrator's code is none of its."""
    person, phone = await house.paired(client, admin, Role.LEADER)
    own = await house.identity.pairing_code(Actor("person", person, admin.organisation, device=phone.device), person)
    given = (await house.identity.pairing_code(admin, person)).code.reveal()
    await house.identity.revoke_device(admin, phone.device)
    refused = await Phone(house.clock).redeem(client, own.code.reveal())
    assert reason(refused)[1] == "pairing-code-invalid"
    assert (await Phone(house.clock).redeem(client, given)).status_code == 200


async def test_freeze_by_owner_unfreeze_by_another_officer_only(house, client, admin):
    leader, phone = await house.paired(client, admin, Role.LEADER, Role.DUTY_OFFICER)
    officer_id, officer = await house.paired(client, admin, Role.DUTY_OFFICER)
    _, third = await house.paired(client, admin, Role.REGISTRATION_OFFICER)
    signer = Signer()
    assert (await phone.call(client, "PUT", "/api/v1/me/key-freeze")).status_code == 204
    assert await house.identity.is_frozen(house.db, leader)
    lift = f"/api/v1/people/{leader}/key-freeze"
    assert reason(await phone.call(client, "DELETE", lift)) == (403, "forbidden", "another-officer-needed")
    assert (await officer.call(client, "DELETE", lift)).status_code == 204
    assert not await house.identity.is_frozen(house.db, leader)
    assert (await officer.call(client, "PUT", lift)).status_code == 204
    assert reason(await officer.call(client, "DELETE", lift)) == (403, "forbidden", "another-officer-needed")
    await run_jobs(house, signer)
    assert signer.calls[-1] == ("freeze", leader, True)
    assert (await third.call(client, "DELETE", lift)).status_code == 204
    await run_jobs(house, signer)
    assert signer.calls[-1] == ("freeze", leader, False)
    assert officer_id != leader


async def test_awaiting_devices_are_for_the_registration_officer(house, client, admin, db):
    _, phone = await house.paired(client, admin, Role.LEADER, name="Lãnh đạo mẫu")
    _, officer = await house.paired(client, admin, Role.REGISTRATION_OFFICER, name="Cán bộ mẫu")
    path = "/api/v1/devices/awaiting-voucher"
    found = {
        each["person_name"]: each["device"]["short_code"] for each in (await officer.call(client, "GET", path)).json()
    }
    assert found["Lãnh đạo mẫu"] == short_code(phone.approval.thumbprint())

    async def admit(tx):
        await house.identity.admitted(tx, admin.organisation, phone.approval.thumbprint())

    await db.transact(admit)
    assert "Lãnh đạo mẫu" not in {each["person_name"] for each in (await officer.call(client, "GET", path)).json()}


# -- C14: push addresses --------------------------------------------------------------------------------------------


async def test_an_address_belongs_to_one_person_at_a_time(house, client, admin, db):
    a, phone = await house.paired(client, admin)
    b, other = await house.paired(client, admin)
    for each in (phone, other):
        body = {"registration_token": "sample-registration-token"}
        assert (await each.call(client, "PUT", "/api/v1/me/push-addresses/fcm", json=body)).status_code == 204
    assert await house.identity.addresses_of(db, admin.organisation, a) == []
    rows = await house.identity.addresses_of(db, admin.organisation, b)
    assert [(row["device"], row["transport"]) for row in rows] == [(other.device, "fcm")]


@pytest.mark.parametrize(
    ("endpoint", "good"),
    [
        ("https://fcm.googleapis.com/fcm/send/x", True), ("https://updates.push.services.mozilla.com:443/wpush/v2/x", True),
        ("http://fcm.googleapis.com/x", False), ("https://fcm.googleapis.com:8443/x", False), ("https://a@fcm.googleapis.com/x", False),
        ("https://127.0.0.1/x", False), ("https://fcm.googleapis.com.evil.example/x", False), ("https://[::1]/x", False),
        ("https://[bad/x", False), ("file:///etc/passwd", False), ("https://fcm.googleapis.com@evil.example/", False),
    ],
)  # fmt: skip
async def test_endpoints_are_of_known_push_services(house, client, admin, db, endpoint, good):
    _, phone = await house.paired(client, admin)
    body = {
        "endpoint": endpoint,
        "keys": {"p256dh": POINT, "auth": b64u(bytes(16))},
        "expirationTime": None,
    }
    answer = await phone.call(client, "PUT", "/api/v1/me/push-addresses/webpush", json=body)
    assert answer.status_code == (204 if good else 422), answer.text
    assert await count(db, "push_addresses") == int(good)
    body["keys"]["p256dh"] = b64u(b"\x04" + bytes(64))
    answer = await phone.call(client, "PUT", "/api/v1/me/push-addresses/webpush", json=body)
    assert answer.status_code == 422, "a point that is not on the curve"


async def test_an_address_is_used_after_its_device_gave_the_challenge_back(house, client, admin, db):
    """C10, C14: a subscription is pending until the challenge that was pushed to it comes back, from its device, within a day."""
    person, phone = await house.paired(client, admin)
    _, other = await house.paired(client, admin)
    path = "/api/v1/me/push-addresses/webpush"
    body = {"endpoint": "https://fcm.googleapis.com/fcm/send/x", "keys": {"p256dh": POINT, "auth": b64u(bytes(16))}}

    async def row():
        return await db.fetch_one("SELECT address, state, challenge FROM push_addresses WHERE transport = 'webpush'")

    async def live():
        return await house.identity.addresses_of(db, admin.organisation, person)

    async def state(caller):
        return (await caller.call(client, "GET", path)).json()

    assert await state(phone) == {"vapid_key": "sample-vapid-key", "state": "none"}
    assert (await phone.call(client, "PUT", path, json=body)).status_code == 204
    first = await row()
    assert (first["state"], len(first["challenge"]), await live()) == ("pending", 22, [])
    assert await count(db, "jobs", "kind = 'push.activate'") == 1
    for caller, challenge in ((phone, "A" * 22), (other, first["challenge"])):
        answer = await caller.call(client, "POST", f"{path}/activation", json={"challenge": challenge})
        assert answer.json()["code"] == "push-address-invalid"

    async def a_day_ago(tx):
        await tx.execute("UPDATE push_addresses SET seen_us = seen_us - $1", 24 * 3600 * 1_000_000 + 1)

    await db.transact(a_day_ago)
    late = await phone.call(client, "POST", f"{path}/activation", json={"challenge": first["challenge"]})
    assert (late.status_code, await live()) == (422, [])

    assert (await phone.call(client, "PUT", path, json=body)).status_code == 204
    second = await row()
    assert second["challenge"] != first["challenge"]
    echo = {"json": {"challenge": second["challenge"]}}
    assert (await phone.call(client, "POST", f"{path}/activation", **echo)).status_code == 204
    assert (await phone.call(client, "POST", f"{path}/activation", **echo)).status_code == 422, "a challenge is spent"
    assert [one["transport"] for one in await live()] == ["webpush"]
    assert (await state(phone))["state"] == "active"

    # Registered again at the next start of the client: still active, nothing pushed. Another subscription proves itself anew.
    assert (await phone.call(client, "PUT", path, json=body)).status_code == 204
    assert (await row())["state"] == "active"
    assert await count(db, "jobs", "kind = 'push.activate'") == 2
    body["keys"]["auth"] = b64u(b"1" * 16)
    assert (await phone.call(client, "PUT", path, json=body)).status_code == 204
    assert ((await row())["state"], await live()) == ("pending", [])

    # The phone was handed on: the same subscription under another person's device belongs to that device alone (C14).
    assert (await other.call(client, "PUT", path, json=body)).status_code == 204
    assert (await state(phone))["state"] == "none"
    await other.call(client, "DELETE", "/api/v1/sessions/current")
    assert await count(db, "push_addresses") == 0


async def test_without_a_vapid_key_no_subscription_is_taken(house, client, admin):
    _, phone = await house.paired(client, admin)
    house.identity._settings = msgspec.structs.replace(house.identity._settings, vapid_key="")
    body = {"endpoint": "https://fcm.googleapis.com/fcm/send/x", "keys": {"p256dh": POINT, "auth": b64u(bytes(16))}}
    answer = await phone.call(client, "PUT", "/api/v1/me/push-addresses/webpush", json=body)
    assert answer.json()["code"] == "push-address-invalid"
    shown = (await phone.call(client, "GET", "/api/v1/me/push-addresses/webpush")).json()
    assert shown == {"vapid_key": None, "state": "none"}


# -- C1: tenants ----------------------------------------------------------------------------------------------------


async def test_foreign_and_unknown_answer_alike_and_change_nothing(house, client, admin, db):
    victim, theirs = await house.paired(client, admin, Role.LEADER)
    made = await house.identity.create_client(admin, name="QLVB mẫu", scopes=["documents:read"])
    foreign_admin = await house.organisation("000.00.02.H99")
    _, attacker = await house.paired(client, foreign_admin, *Role)
    before = {
        table: await count(db, table)
        for table in ("roles", "devices", "pairings", "key_freezes", "jobs", "service_clients")
    }
    unknown = "0" * 32
    for method, path, body in [
        ("GET", "/api/v1/people/{}", None), ("GET", "/api/v1/people/{}/devices", None), ("DELETE", "/api/v1/people/{}", None),
        ("PUT", "/api/v1/people/{}/roles/leader", None), ("DELETE", "/api/v1/people/{}/roles/leader", None),
        ("POST", "/api/v1/people/{}/pairing-codes", {}), ("PUT", "/api/v1/people/{}/key-freeze", None),
        ("DELETE", "/api/v1/people/{}/key-freeze", None),
    ]:  # fmt: skip
        options = {} if body is None else {"json": body}
        answers = [await attacker.call(client, method, path.format(each), **options) for each in (victim, unknown)]
        assert [answer.status_code for answer in answers] == [404, 404], path
        assert answers[0].json() == answers[1].json()
    for method, path, real in [
        ("POST", "/api/v1/devices/{}/revocation", theirs.device),
        ("DELETE", "/api/v1/clients/{}", made.id),
    ]:
        answers = [await attacker.call(client, method, path.format(each)) for each in (real, unknown)]
        assert [answer.status_code for answer in answers] == [404, 404], path
        assert answers[0].json() == answers[1].json()
    assert {table: await count(db, table) for table in before} == before
    assert victim not in (await attacker.call(client, "GET", "/api/v1/people")).text
    assert (await theirs.call(client, "GET", "/trivial")).status_code == 200


async def test_a_colleague_without_office_cannot_revoke(house, client, admin):
    _, phone = await house.paired(client, admin, Role.LEADER)
    _, colleague = await house.paired(client, admin, Role.STAFF, Role.CLERK, Role.REGISTRATION_OFFICER)
    assert reason(await colleague.call(client, "POST", f"/api/v1/devices/{phone.device}/revocation")) == (
        404,
        "not-found",
        None,
    )
    assert (await phone.call(client, "GET", "/trivial")).status_code == 200


# -- People ---------------------------------------------------------------------------------------------------------


async def test_the_directory_is_paged_in_order(house, client, admin):
    _, phone = await house.paired(client, admin, Role.ADMINISTRATOR, name="Quản trị mẫu")
    for name in ("An", "Bình", "Bình", "Chi"):
        answer = await phone.call(client, "POST", "/api/v1/people", json={"name": name, "roles": ["staff", "clerk"]})
        assert answer.status_code == 201
    seen, cursor = [], ""
    while cursor is not None:
        page = (await phone.call(client, "GET", f"/api/v1/people?limit=2&cursor={cursor}")).json()
        seen += [(each["name"], each["id"]) for each in page["items"]]
        cursor = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 5
    assert (await phone.call(client, "GET", "/api/v1/people?cursor=AAAA")).status_code == 400
    assert (
        await phone.call(client, "POST", "/api/v1/people", json={"name": "A", "organisation": "x"})
    ).status_code == 400
    assert (await phone.call(client, "POST", "/api/v1/people", json={"name": "A\u202eB"})).status_code == 400


async def test_roles_act_at_once_and_one_administrator_stays(house, client, admin):
    boss, phone = await house.paired(client, admin, Role.ADMINISTRATOR)
    person, other = await house.paired(client, admin)
    assert (await other.call(client, "GET", "/api/v1/clients")).status_code == 403
    assert (await phone.call(client, "PUT", f"/api/v1/people/{person}/roles/administrator")).status_code == 204
    assert (await other.call(client, "GET", "/api/v1/clients")).status_code == 200
    assert (await other.call(client, "DELETE", f"/api/v1/people/{boss}/roles/administrator")).status_code == 204
    assert reason(await other.call(client, "DELETE", f"/api/v1/people/{person}")) == (409, "last-administrator", None)
    assert (await other.call(client, "DELETE", f"/api/v1/people/{boss}")).status_code == 204
    assert (await phone.call(client, "GET", "/trivial")).status_code == 401


# -- Service clients ------------------------------------------------------------------------------------------------


async def test_client_credentials_as_form_json_and_basic(house, client, admin):
    made = await house.identity.create_client(admin, name="QLVB mẫu", scopes=["documents:read", "documents:write"])
    path, secret = "/api/v1/oauth/token", made.secret.reveal()
    fields = {
        "grant_type": "client_credentials",
        "client_id": made.id,
        "client_secret": secret,
        "scope": "documents:read",
    }
    basic = "Basic " + base64.b64encode(f"{made.id}:{secret}".encode()).decode()
    answers = [
        await client.post(path, data=fields), await client.post(path, json=fields),
        await client.post(path, data={"grant_type": "client_credentials", "scope": "documents:read"}, headers={"Authorization": basic}),
    ]  # fmt: skip
    for answer in answers:
        body = answer.json()
        assert (answer.status_code, body["token_type"], body["scope"], body["expires_in"]) == (
            200,
            "Bearer",
            "documents:read",
            600,
        )
        headers = {"Authorization": f"Bearer {body['access_token']}"}
        assert (await client.get("/trivial", headers=headers)).json() == {"id": made.id}
        assert (await client.get("/api/v1/people", headers=headers)).status_code == 403
    await house.identity.revoke_client(admin, made.id)
    assert (await client.get("/trivial", headers=headers)).status_code == 401
    assert (await client.post(path, data=fields)).status_code == 401


async def test_a_client_with_a_proof_gets_a_bound_token(house, client, admin):
    made = await house.identity.create_client(admin, name="QLVB mẫu", scopes=["documents:read"])
    path, machine = "/api/v1/oauth/token", Phone(house.clock)
    form = {"grant_type": "client_credentials", "client_id": made.id, "client_secret": made.secret.reveal()}
    answer = await client.post(path, data=form, headers={"DPoP": machine.proof("POST", ORIGIN + path)})
    token = answer.json()["access_token"]
    assert answer.json()["token_type"] == "DPoP"
    assert (await machine.call(client, "GET", "/trivial", token)).status_code == 200
    assert (await Phone(house.clock).call(client, "GET", "/trivial", token)).status_code == 401
    assert (await client.get("/trivial", headers={"Authorization": f"Bearer {token}"})).status_code == 401
    unbound = (await client.post(path, data=form)).json()["access_token"]
    assert (await machine.call(client, "GET", "/trivial", unbound)).status_code == 401


async def test_wrong_clients_are_refused_alike(house, client, admin):
    made = await house.identity.create_client(admin, name="QLVB mẫu", scopes=["documents:read"])
    path = "/api/v1/oauth/token"
    wrong = {"grant_type": "client_credentials", "client_id": made.id, "client_secret": "htc_" + "A" * 43}
    answers = [await client.post(path, data=wrong), await client.post(path, data={**wrong, "client_id": "0" * 32})]
    assert {answer.text for answer in answers} == {answers[0].text}
    assert answers[0].json()["error"] == "invalid_client"
    right = {**wrong, "client_secret": made.secret.reveal()}
    assert reason(await client.post(path, data={**right, "scope": "changes:read"}))[:2] == (400, "scope-invalid")
    assert reason(
        await client.post(
            path,
            content=b"grant_type=client_credentials&grant_type=x",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
    )[:2] == (400, "invalid-request")
    assert (await client.post(path, content=b"x", headers={"Content-Type": "text/plain"})).status_code == 415
    assert (await client.post(path, json={**right, "admin": True})).status_code == 400


# -- Secrets --------------------------------------------------------------------------------------------------------


async def test_no_secret_stands_in_the_database(house, client, admin, db):
    """A2, A14: every text of every identity table against every secret that was given out."""
    person, phone = await house.paired(client, admin, Role.LEADER)
    code = (await house.identity.pairing_code(admin, person)).code.reveal()
    made = await house.identity.create_client(admin, name="QLVB mẫu", scopes=["documents:read"])
    phone.keep((await phone.refresh(client)).json())
    secrets = [phone.access, phone.refresh_token, code, made.secret.reveal(), phone.session.as_dict(private=True)["d"]]
    tables = (
        "people",
        "devices",
        "pairings",
        "refresh_families",
        "access_tokens",
        "service_clients",
        "client_tokens",
        "dpop_proofs",
        "jobs",
    )
    rows = [row for table in tables for row in await db.fetch_all(f"SELECT * FROM {table}")]
    dump = " ".join(str(row[name]) for row in rows for name in row.keys()) + json.dumps(house.log.events)  # noqa: SIM118 a Row is no mapping
    assert phone.device in dump
    assert not [secret for secret in secrets if secret in dump or secret[4:] in dump]


async def test_the_sweep_forgets_only_what_has_ended(house, client, admin, db):
    _, phone = await house.paired(client, admin)
    headers = phone.headers("GET", "/trivial")
    assert (await client.get("/trivial", headers=headers)).status_code == 200
    await db.transact(house.identity.sweep)
    assert await count(db, "dpop_proofs") == 2
    assert (await client.get("/trivial", headers=headers)).status_code == 401
    house.clock.advance(86_400 + 601)
    await db.transact(house.identity.sweep)
    for table in ("dpop_proofs", "access_tokens", "pairings"):
        assert await count(db, table) == 0, table


async def test_a_code_may_mark_an_office_device(house, client, admin):
    """SIG-8: only the administrator's code says that the device stands in the office."""
    _, phone = await house.paired(client, admin, Role.ADMINISTRATOR)
    clerk = await house.identity.create_person(admin, name="Văn thư mẫu", roles=[Role.CLERK])
    path, desk = f"/api/v1/people/{clerk.id}/pairing-codes", Phone(house.clock)
    code = (await phone.call(client, "POST", path, json={"office": True})).json()["code"]
    assert (await desk.redeem(client, code)).json()["device"]["office"] is True
    token = desk.access
    actor, _ = await house.identity.authenticate(
        token,
        house.identity.check_proof(
            desk.proof("GET", ORIGIN + "/trivial", token),
            method="GET",
            host="testserver.local",
            path="/trivial",
            token=token,
        ),
    )
    assert (actor.office, actor.device, actor.session_key) == (True, desk.device, desk.session.thumbprint())
