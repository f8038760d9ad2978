"""C7 through HTTP: who is counted as whom, what is told, and what still works while Redis is dead."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from httpx2 import ASGITransport, AsyncClient

from server.app import create_app, routes
from server.identity.guard import access_of
from server.limits import Limits, MemoryWindows, Rate, client_address, is_local, networks, rate_of
from server.limits_redis import RedisWindows
from server.settings import LimitsSettings
from tests.api.conftest import World, code
from tests.conftest import RedisServer
from tests.fakes import pdfs
from tests.fakes.stack import ORIGIN, Caller

session = pytest.mark.asyncio(loop_scope="session")
FEW = LimitsSettings(
    sessions_per_address=2, public_per_address=2, signs_per_device=2, signs_per_person=3, intakes_per_client=2, writes_per_caller=2, reads_per_caller=2,
)  # fmt: skip
TOKEN = "/api/v1/oauth/token"
FORM = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}


@pytest_asyncio.fixture(loop_scope="session")
async def few(world: World) -> AsyncIterator[World]:
    """The world's application with two calls a minute for everybody."""
    wiring, before, http = world.stack.wiring, world.stack.wiring.limits, world.stack.http
    wiring.limits = Limits(MemoryWindows(), FEW, ("10.0.0.0/8",))
    world.stack.http = AsyncClient(transport=ASGITransport(app=create_app(wiring)), base_url=ORIGIN, timeout=60)
    yield world
    await world.stack.http.aclose()
    world.stack.http, wiring.limits = http, before


def through(few: World, caller: Caller) -> Caller:
    """The same phone or service, calling the limited application."""
    moved = Caller(few.stack.http)
    moved.__dict__.update(caller.__dict__, http=few.stack.http)
    return moved


def test_what_signs_and_what_gives_tokens_has_its_own_limit() -> None:
    """A new route that takes a PIN or gives a token cannot be forgotten."""
    found: dict[Rate, set[str]] = {}
    for handler in routes():
        for method in handler.http_methods:
            found.setdefault(rate_of(handler.opt, method), set()).add(str(handler.operation_id))
    assert found[Rate.SESSION] == {"redeemPairing", "resumeSession", "issueToken"}
    assert found[Rate.SIGN] == {
        "askChallenge",
        "approve",
        "enrol",
        "addDevice",
        "handOver",
        "changePin",
        "giveAuthority",
    }
    assert found[Rate.INTAKE] == {"takeInDocument", "replaceDocument", "putPaper"}
    for handler in routes():
        access = access_of(handler.opt)
        assert access is not None
        for method in handler.http_methods:
            if access.open:
                assert rate_of(handler.opt, method) in {Rate.PUBLIC, Rate.SESSION, Rate.VALIDATE, Rate.APPLICANT}
            else:
                assert rate_of(handler.opt, method) not in {Rate.PUBLIC, Rate.SESSION, Rate.APPLICANT}
            if method == "GET":
                assert rate_of(handler.opt, method) in {Rate.READ, Rate.PUBLIC, Rate.APPLICANT}


@session
async def test_too_many_calls_are_told_when_to_come_back(few: World) -> None:
    for _ in range(2):
        assert code(await few.stack.http.post(TOKEN, data=FORM)) == "client-invalid"
    answer = await few.stack.http.post(TOKEN, data=FORM, headers={"Accept-Language": "en"})
    assert (answer.status_code, code(answer), answer.json()["retry"]) == (429, "rate-limited", True)
    assert 0 < int(answer.headers["retry-after"]) == answer.json()["retry_after"] <= 30
    assert answer.json()["title"] == "Too many requests, wait and try again"


@session
async def test_devices_and_services_are_counted_apart_and_a_refused_call_does_nothing(few: World) -> None:
    leader, second, qlvb = (through(few, one) for one in (few.leader, few.second, few.qlvb))
    assert [(await leader.call("GET", "/api/v1/me")).status_code for _ in range(4)] == [200, 200, 429, 429]
    assert (await second.call("GET", "/api/v1/me")).status_code == 200
    before = await few.count("documents")
    taken = [(await few.stack.take_in(pdfs.plain(), [few.leader], by=qlvb)).status_code for _ in range(4)]
    assert taken == [201, 201, 429, 429]
    assert await few.count("documents") == before + 2
    assert (await qlvb.call("GET", "/api/v1/documents")).status_code == 200  # intakes leave the reads alone


@session
async def test_a_second_device_does_not_double_what_a_person_may_ask_of_the_signer(few: World) -> None:
    phone = await few.stack.phone(few.leader.person)
    held = (await through(few, few.leader).json("GET", "/api/v1/me/credentials"))[0]["id"]
    path = f"/api/v1/credentials/{held}/challenge"
    first = [(await through(few, few.leader).call("POST", path)).status_code for _ in range(3)]
    other = [(await through(few, phone).call("POST", path)).status_code for _ in range(2)]
    assert first == [201, 201, 429]
    assert other[0] != 429
    assert other[1] == 429


@session
async def test_a_stranger_cannot_use_up_what_a_known_caller_has(few: World) -> None:
    """A8: calls that fail to authenticate, whatever they name, leave the victim's windows alone."""
    for _ in range(20):
        answer = await few.stack.http.get("/api/v1/me", headers={"Authorization": f"Bearer {few.qlvb.access}x"})
        assert answer.status_code == 401
    assert (await through(few, few.qlvb).call("GET", "/api/v1/documents")).status_code == 200


@session
async def test_spoofed_addresses_of_one_peer_count_as_one(few: World) -> None:
    """C7: nothing that the client writes changes whom it is counted as, unless a trusted proxy stands in front."""
    passed = 0
    for number in range(300):
        headers = {"X-Forwarded-For": f"203.0.113.{number % 250}", "Forwarded": f"for=192.0.2.{number % 250}"}
        passed += (await few.stack.http.post(TOKEN, data=FORM, headers=headers)).status_code != 429
    assert passed == 2


PROXIES = networks(("10.0.0.0/8", "2001:db8:1::/48"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.7", [], "192.0.2.7"),
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),  # no proxy of ours: not believed
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),  # what the client put in front
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),  # as a second header
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),  # two proxies of ours
        ("10.0.0.1", ["10.0.0.9"], "10.0.0.9"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["x" * 9000], "10.0.0.1"),
        ("::ffff:192.0.2.7", [], "192.0.2.7"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8:5:6:1:2:3:4", [], "2001:db8:5:6::/64"),
        ("2001:db8:5:6:ffff::1", [], "2001:db8:5:6::/64"),  # a walk through one's own /64 stays one
        ("fe80::1%eth0", [], "fe80::/64"),
        ("2001:db8:1::5", ["2001:db8:9:9::1"], "2001:db8:9:9::/64"),
        ("", [], ""),
    ],
)
def test_the_address_is_what_trusted_proxies_say(peer: str, forwarded: list[str], expected: str) -> None:
    scope = {"client": (peer, 1), "headers": [(b"x-forwarded-for", one.encode()) for one in forwarded]}
    assert client_address(scope, PROXIES) == expected


@pytest.mark.parametrize(
    ("peer", "header", "local"),
    [
        ("127.0.0.1", None, True),
        ("::1", None, True),
        ("127.0.0.1", b"x-forwarded-for", False),  # a proxy on this machine, for somebody else
        ("127.0.0.1", b"forwarded", False),
        ("192.0.2.1", None, False),
    ],
)
def test_metrics_are_for_this_machine_itself(peer: str, header: bytes | None, local: bool) -> None:
    scope = {"client": (peer, 1), "headers": [(header, b"192.0.2.1")] if header else []}
    assert is_local(scope) is local


@session
async def test_work_goes_on_while_redis_is_dead(few: World, redis_server: RedisServer) -> None:
    """C7, D9: reads are not limited, everything else is counted here, and the shared windows are used when Redis is back."""
    windows = RedisWindows(redis_server.url)
    few.stack.wiring.limits._windows = windows
    leader, other = through(few, few.leader), through(few, few.second)
    try:
        assert [(await leader.call("GET", "/api/v1/me")).status_code for _ in range(3)] == [200, 200, 429]
        redis_server.stop()
        assert [(await leader.call("GET", "/api/v1/me")).status_code for _ in range(5)] == [200] * 5
        told = [(await few.stack.http.post(TOKEN, data=FORM)).status_code for _ in range(4)]
        assert told == [401, 401, 429, 429]
        held = (await other.json("GET", "/api/v1/me/credentials"))[0]["id"]
        asked = [(await other.call("POST", f"/api/v1/credentials/{held}/challenge")).status_code for _ in range(4)]
        assert asked == [201, 201, 429, 429]
    finally:
        await windows.close()


@session
async def test_an_organisation_has_a_limit_of_its_own(few: World) -> None:
    """D13: one agency's crowd does not use up what the server has for the others."""
    few.stack.wiring.limits._settings = LimitsSettings(calls_per_organisation=3)
    mine = [through(few, one) for one in (few.leader, few.second, few.clerk, few.staff)]
    assert [(await one.call("GET", "/api/v1/me")).status_code for one in mine] == [200, 200, 200, 429]
    assert (await through(few, few.foreign_leader).call("GET", "/api/v1/me")).status_code == 200
    held = (await few.rows("SELECT credential FROM credential_holders WHERE person = $1", few.leader.person))[0]
    answer = await through(few, few.leader).call("POST", f"/api/v1/credentials/{held['credential']}/challenge")
    assert answer.status_code == 201
