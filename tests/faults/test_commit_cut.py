"""D10, C16: the answer to COMMIT is lost, whichever side of it the cut falls; the same request again gives one effect and one answer."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from server.identity.model import Role
from tests.api.conftest import code
from tests.fakes import pdfs
from tests.fakes.stack import Caller, Stack, running
from tests.faults.commit_cut import Cut, PostgresProxy, SqliteCut

module = pytest.mark.asyncio(loop_scope="module")


class House:
    def __init__(self, stack: Stack, cut: Cut) -> None:
        self.stack = stack
        self.cut = cut
        self.leader: Caller
        self.administrator: Caller

    async def count(self, table: str) -> int:
        rows = await self.stack.wiring.db.fetch_all(f"SELECT count(*) AS n FROM {table}")
        return int(rows[0]["n"])


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("cut")
    async with contextlib.AsyncExitStack() as opened:
        if request.param == "sqlite":
            stack = await opened.enter_async_context(running(folder, worker=False))
            cut: Cut = SqliteCut(stack.wiring.db)
        else:
            cut, stack = await over_postgres(request, opened, folder)
        house = House(stack, cut)
        house.leader = await stack.person("Nguyễn Văn Mẫu", Role.LEADER)
        house.administrator = await stack.person("Đỗ Văn Mẫu", Role.ADMINISTRATOR)
        yield house


async def over_postgres(
    request: pytest.FixtureRequest, opened: contextlib.AsyncExitStack, folder: Path
) -> tuple[Cut, Stack]:
    cluster = request.getfixturevalue("postgres_cluster")
    name = await cluster.create()
    opened.push_async_callback(cluster.command, f"DROP DATABASE {name} WITH (FORCE)")
    proxy = PostgresProxy(cluster.url(name), folder)
    await opened.enter_async_context(proxy.serving())
    return proxy, await opened.enter_async_context(running(folder, worker=False, database=proxy.url))


Asked = Callable[[House, str], Awaitable[Any]]


async def take_in(house: House, key: str) -> Any:
    fixed = {"number": str(int.from_bytes(key.encode()[:4])), "source_reference": key}
    return await house.stack.take_in(pdfs.plain(), [house.leader], key=key, **fixed)


def posted(path: str, body: dict[str, Any], *, service: bool = False) -> Asked:
    async def ask(house: House, key: str) -> Any:
        caller = house.stack.qlvb if service else house.administrator
        where = path.format(person=house.leader.person)
        return await caller.call("POST", where, json=body, headers={"Idempotency-Key": key})

    return ask


ASKED: dict[str, tuple[Asked, tuple[str, ...]]] = {
    "intake": (take_in, ("documents", "revisions", "changes")),
    "person": (posted("/api/v1/people", {"name": "Bùi Thị Mẫu", "roles": ["staff"]}), ("people", "roles")),
    "pairing code": (posted("/api/v1/people/{person}/pairing-codes", {}), ("pairings",)),
    "client": (posted("/api/v1/clients", {"name": "QLVB ba", "scopes": ["documents:read"]}), ("service_clients",)),
    "webhook": (posted("/api/v1/webhooks", {"url": "http://127.0.0.1:9/x", "events": ["document.signed"]}, service=True), ("webhooks",)),
}  # fmt: skip


@module
@pytest.mark.parametrize("took_place", [True, False], ids=["after the commit", "before the commit"])
@pytest.mark.parametrize("what", list(ASKED))
async def test_the_same_request_again_is_one_effect_and_one_answer(
    house: House, what: str, *, took_place: bool
) -> None:
    ask, tables = ASKED[what]
    key = secrets.token_urlsafe(16)
    before = {table: await house.count(table) for table in (*tables, "audit_events", "once_answers")}
    fallen = house.cut.done
    house.cut.arm(key, took_place=took_place)
    lost = await ask(house, key)
    assert house.cut.done == fallen + 1, "the cut fell at this request's COMMIT"
    assert (lost.status_code, code(lost), lost.json()["retry"]) == (503, "outcome-unknown", True)
    assert int(lost.headers["retry-after"]) > 0
    assert (await house.count("once_answers") - before["once_answers"]) == int(took_place)
    answers = [await ask(house, key) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    grown = {table: await house.count(table) - n for table, n in before.items()}
    assert set(grown.values()) == {1}, grown


@module
@pytest.mark.parametrize("took_place", [True, False], ids=["after the commit", "before the commit"])
async def test_a_decision_is_taken_once(house: House, *, took_place: bool) -> None:
    document = (await take_in(house, secrets.token_urlsafe(16))).json()["id"]
    key, path = secrets.token_urlsafe(16), f"/api/v1/documents/{document}/return"

    async def give_back() -> Any:
        return await house.leader.call("POST", path, json={"reason": "sai"}, headers={"Idempotency-Key": key})

    before = await house.count("changes")
    house.cut.arm(key, took_place=took_place)
    assert code(await give_back()) == "outcome-unknown"
    answers = [await give_back() for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert await house.count("changes") == before + 1
    assert await house.stack.state(document) == "returned"
