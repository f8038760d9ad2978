"""C6: what is known cannot be told from what is not, neither by the answer nor by the work that it costs.

Time is not measured: a busy machine would decide the test. What is counted is the work itself, for every call: the statements
that reach the database, in order, and the calls of Python functions on the way to the answer. Both are the same for a known and an
unknown client, token, code and thing, so whatever time they take is the same. Secrets are compared by `hmac.compare_digest`.
"""

import contextlib
import secrets
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from server.db import sqlite
from server.identity.model import Role
from signing.core.codec import public_jwk
from tests.fakes import pdfs
from tests.fakes.stack import Caller, Stack, running

module = pytest.mark.asyncio(loop_scope="module")
ROUNDS = 9
Sample = Callable[[], Awaitable[Any]]
TOKEN = "/api/v1/oauth/token"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running(tmp_path_factory.mktemp("enumeration"), worker=False) as stack:
        yield stack


class Work:
    def __init__(self) -> None:
        self.statements: list[str] = []
        self.calls = 0


@contextlib.contextmanager
def watched() -> Iterator[Work]:
    """The statements of every reader and transaction, and the Python calls of this thread."""
    work = Work()
    reads, runs = sqlite.SqliteDatabase.fetch_all, sqlite._Transaction._run

    async def fetch_all(self: Any, sql: str, *args: Any) -> Any:
        work.statements.append(sql)
        return await reads(self, sql, *args)

    def run(self: Any, sql: str, args: Any) -> Any:
        work.statements.append(sql)
        return runs(self, sql, args)

    def profile(_frame: Any, event: str, _arg: Any) -> None:
        work.calls += event == "call"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite.SqliteDatabase, "fetch_all", fetch_all)
        patch.setattr(sqlite._Transaction, "_run", run)
        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            yield work
        finally:
            sys.setprofile(before)


def seen(answer: Any) -> tuple[Any, ...]:
    """All that a caller sees, but for the trace id."""
    headers = sorted((name, value) for name, value in answer.headers.items() if name != "x-trace-id")
    body = answer.content.replace(answer.headers["x-trace-id"].encode(), b"")
    return answer.status_code, headers, body


async def alike(**classes: Sample) -> tuple[int, bytes]:
    """Interleaved samples of every class: equal answers, equal statements, equal work. Gives what all were answered."""
    answers: set[Any] = set()
    statements: set[tuple[str, ...]] = set()
    counts: dict[str, list[int]] = {name: [] for name in classes}
    for _ in range(3):  # caches and lazy imports are there before anything is counted
        for ask in classes.values():
            await ask()
    for _ in range(ROUNDS):
        for name, ask in classes.items():
            with watched() as work:
                answer = await ask()
            answers.add(str(seen(answer)))
            statements.add(tuple(work.statements))
            counts[name].append(work.calls)
    assert len(answers) == 1, answers
    assert len(statements) == 1, statements
    assert all(statements)
    medians = {name: statistics.median(found) for name, found in counts.items()}
    assert max(medians.values()) - min(medians.values()) <= 0.05 * min(medians.values()), medians
    status, _, body = seen(answer)
    return status, body


def token_request(stack: Stack, client: str, secret: str) -> Sample:
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
    return lambda: stack.http.post(TOKEN, data=form)


@module
async def test_clients(stack: Stack) -> None:
    made = [
        await stack.wiring.identity.create_client(stack.operator, name=name, scopes=["documents:read"]) for name in "ab"
    ]
    known, revoked = made
    await stack.wiring.identity.revoke_client(stack.operator, revoked.id)
    wrong = "htc_" + secrets.token_urlsafe(32)
    status, body = await alike(
        unknown=token_request(stack, secrets.token_hex(16), wrong),
        wrong=token_request(stack, known.id, wrong),
        revoked_wrong=token_request(stack, revoked.id, wrong),
        revoked_right=token_request(stack, revoked.id, revoked.secret.reveal()),
    )
    assert (status, b"client-invalid" in body) == (401, True)


@module
async def test_tokens_of_services(stack: Stack) -> None:
    ended = await stack.service("ended", "documents:read")
    client = (await stack.wiring.identity.clients(stack.operator))[-1]["id"]
    await stack.wiring.identity.revoke_client(stack.operator, client)
    unknown = Caller(stack.http)
    unknown.service, unknown.access = True, ended.access[:4] + secrets.token_urlsafe(32)
    status, body = await alike(
        unknown=lambda: unknown.call("GET", "/api/v1/documents"), revoked=lambda: ended.call("GET", "/api/v1/documents")
    )
    assert (status, b"authentication-required" in body) == (401, True)


@module
async def test_tokens_of_devices(stack: Stack) -> None:
    gone = await stack.person("Nguyễn Văn Mẫu", Role.LEADER)
    await stack.wiring.identity.revoke_device(stack.operator, gone.device)
    stolen = await stack.person("Lê Thị Mẫu", Role.LEADER)
    stolen.session = Caller(stack.http).session  # the token without the key that it is bound to
    unknown = Caller(stack.http)
    unknown.access = gone.access[:4] + secrets.token_urlsafe(32)
    ask = {"unknown": unknown, "revoked": gone, "stolen": stolen}
    status, body = await alike(**{name: one_read(caller) for name, caller in ask.items()})
    assert (status, b"authentication-required" in body) == (401, True)


def one_read(caller: Caller) -> Sample:
    return lambda: caller.call("GET", "/api/v1/me")


@module
async def test_refresh_tokens_that_were_never_given(stack: Stack) -> None:
    """A forged one for a family that is there, for one that is not, and a text that is none."""
    phone = await stack.person("Nguyễn Văn Mẫu", Role.LEADER)
    family = (await stack.wiring.db.fetch_all("SELECT id FROM refresh_families WHERE device = $1", phone.device))[0][
        "id"
    ]
    keys = stack.wiring.identity._keys
    other = type(keys)([bytes(32)])  # forged with a key that is not the server's

    def refresh(token: str) -> Sample:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return lambda: stack.http.post(TOKEN, data=form, headers={"DPoP": phone.proof("POST", TOKEN)})

    status, body = await alike(
        known=refresh(other.refresh(family, 0).reveal()),
        unknown=refresh(other.refresh(secrets.token_hex(16), 0).reveal()),
        text=refresh("htr_" + secrets.token_urlsafe(52)),
    )
    assert (status, b"refresh-invalid" in body) == (401, True)


@module
async def test_pairing_codes(stack: Stack) -> None:
    used = await stack.person("Nguyễn Văn Mẫu", Role.LEADER)
    identity = stack.wiring.identity
    taken = (await identity.pairing_code(stack.operator, used.person)).code.reveal()
    await Caller(stack.http).pair(taken)
    expired = (await identity.pairing_code(stack.operator, used.person)).code.reveal()
    await stack.wiring.db.transact(
        lambda tx: tx.execute("UPDATE pairings SET expires_us = 1 WHERE redeemed_us IS NULL")
    )

    def redeem(code: str) -> Sample:
        stranger, path = Caller(stack.http), "/api/v1/pairings/redeem"
        public = stranger.session.as_dict(private=False)
        body = {
            "code": code, "session_jwk": {name: public[name] for name in ("kty", "crv", "x", "y")}, "label": "x", "platform": "web",
            "approval_jwk": msgspec.to_builtins(public_jwk(stranger.approval.public_key())),
        }  # fmt: skip
        return lambda: stack.http.post(path, json=body, headers={"DPoP": stranger.proof("POST", path)})

    status, body = await alike(
        unknown=redeem("A" * 32), used=redeem(taken), expired=redeem(expired), malformed=redeem("!" * 32)
    )
    assert (status, b"pairing-code-invalid" in body) == (422, True)


@module
async def test_things_of_others(stack: Stack) -> None:
    """C1: by the work too, a foreign thing is one that never was."""
    leader = await stack.person("Nguyễn Văn Mẫu", Role.LEADER)
    document = (await stack.take_in(pdfs.plain(), [leader])).json()["id"]
    neighbour = await stack.wiring.identity.create_organisation("X02", "Ủy ban nhân dân xã Bên")
    stranger = await stack.person("Hồ Văn Khác", *Role, organisation=neighbour.id)
    for path, real in (
        ("/api/v1/documents/{}", document), ("/api/v1/documents/{}/files/original", document), ("/api/v1/documents/{}/receipts", document),
        ("/api/v1/people/{}", leader.person), ("/api/v1/people/{}/devices", leader.person),
    ):  # fmt: skip

        def read(thing: str, path: str = path) -> Sample:
            return lambda: stranger.call("GET", path.format(thing))

        status, _ = await alike(foreign=read(real), unknown=read(secrets.token_hex(16)))
        assert status == 404, path
