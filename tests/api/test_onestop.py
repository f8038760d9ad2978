"""The one-stop office over HTTP: what an applicant's link shows to anybody, and what it never shows (PDP-1, C1, C7, C16)."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
import pytest_asyncio
from httpx2 import ASGITransport, AsyncClient

from server.app import create_app
from server.limits import Limits, MemoryWindows, Rate
from server.settings import LimitsSettings
from tests.api.conftest import World, code
from tests.fakes.stack import ORIGIN, Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNIT = {"name": "Bộ phận <Địa chính>", "name_en": "Land unit"}
REFERENCE = "H01.23-BIMAT-0007"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(world: World) -> AsyncIterator[Caller]:
    caller = await world.stack.service("Một cửa mẫu", "onestop:write")
    body = UNIT | {"responsible": [world.staff.person]}
    await caller.call("PUT", "/api/v1/onestop/units/dia-chinh", expect=204, json=body)
    yield caller


def today() -> date:
    return (datetime.now(UTC) + timedelta(hours=7)).date()


def dossier(**changes: Any) -> dict[str, Any]:
    return {
        "reference": REFERENCE + secrets.token_hex(4), "step": "received", "unit": "dia-chinh", "promised": f"{today() + timedelta(days=3)}", "handled": True,
        **changes,
    }  # fmt: skip


async def opened(system: Caller, **changes: Any) -> tuple[str, str]:
    made = await system.json("POST", "/api/v1/onestop/dossiers", expect=201, json=dossier(**changes))
    assert made["link"].startswith(ORIGIN + "/f/")
    return made["id"], made["link"].removeprefix(ORIGIN)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


async def test_the_link_shows_step_unit_and_date_to_anybody_and_nobodys_name(world: World, system: Caller) -> None:
    _, path = await opened(system)
    secret = path.removeprefix("/f/")
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", secret), "192 bits"
    answer = await world.stack.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "set-cookie" not in answer.headers
    assert len(answer.content) <= 15_000
    tags = Tags(answer.text).found
    assert ("meta", {"name": "robots", "content": "noindex,nofollow"}) in tags
    # Nothing is fetched and nothing runs: the page is one answer.
    assert not [
        tag
        for tag, attrs in tags
        if tag in {"script", "link", "img", "iframe", "form"} or {"src", "href"} & attrs.keys()
    ]
    promised = today() + timedelta(days=3)
    for said in (
        "Đã tiếp nhận",
        "Received",
        "Bộ phận &lt;Địa chính&gt;",
        "Land unit",
        f"{promised:%d/%m/%Y}",
        "Trong hạn",
        "In time",
    ):
        assert said in answer.text, said
    # Vietnamese stands before English, and each says which it is.
    assert '<html lang="vi">' in answer.text
    assert answer.text.index("Đã tiếp nhận") < answer.text.index("Received")
    for hidden in ("BIMAT", "Phạm Văn Mẫu", "Chuyên viên", world.staff.person, secret):
        assert hidden not in answer.text, hidden


async def test_what_is_late_says_so(world: World, system: Caller) -> None:
    _, path = await opened(system, promised=f"{today() - timedelta(days=1)}")
    assert "Quá hạn trả kết quả" in (await world.stack.http.get(path)).text
    id_, path = await opened(system, handled=False)
    assert "Trong hạn" in (await world.stack.http.get(path)).text
    long_ago = (
        "UPDATE dossiers SET step_us = step_us - 30 * 86400000000, look_us = look_us - 30 * 86400000000 WHERE id = $1"
    )
    await world.execute(long_ago, id_)
    assert "chưa có người xử lý" in (await world.stack.http.get(path)).text
    assert (await system.json("GET", f"/api/v1/onestop/dossiers/{id_}"))["late"] == "unhandled"
    await world.stack.wiring.onestop.look()
    notices = (await world.staff.json("GET", "/api/v1/notices?limit=200"))["items"]
    mine = [one for one in notices if one["about"] == f"dossier:{id_}"]
    assert [(one["kind"], one["state"]) for one in mine] == [("dossier_unhandled", "open")]
    assert "BIMAT" in mine[0]["headline"]


async def test_every_link_that_is_none_gets_the_same_page(world: World, system: Caller) -> None:
    """C1: malformed, unknown, replaced: one status, one body."""
    id_, path = await opened(system)
    await system.call("POST", f"/api/v1/onestop/dossiers/{id_}/link", expect=200)
    secret = path.removeprefix("/f/")
    flipped = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    paths = [
        path,
        f"/f/{flipped}",
        f"/f/{'A' * 32}",
        "/f/x",
        f"/f/{'%00' * 8}",
        f"/f/{'ệ' * 32}",
        f"/f/{'A' * 5000}",
        f"/f/{secret.upper()}",
    ]
    answers = [await world.stack.http.get(one) for one in paths]
    assert {(one.status_code, one.content) for one in answers} == {(404, answers[0].content)}
    assert {one.headers["x-robots-tag"] for one in answers} == {"noindex, nofollow"}
    assert len(answers[0].content) <= 15_000


async def test_too_many_visits_are_told_to_wait_by_address_and_all_together(world: World, system: Caller) -> None:
    """C7: by address, and over all addresses; other pages are counted apart."""
    _, path = await opened(system)
    wiring, before = world.stack.wiring, world.stack.wiring.limits
    few = LimitsSettings(applicants_per_address=2, applicants_together=3)
    wiring.limits = Limits(MemoryWindows(), few, ("10.0.0.0/8", "127.0.0.0/8"))
    try:
        async with AsyncClient(transport=ASGITransport(app=create_app(wiring)), base_url=ORIGIN, timeout=60) as http:

            async def visit(address: str) -> Any:
                return await http.get(path, headers={"X-Forwarded-For": address})

            statuses = [(await visit("192.0.2.1")).status_code for _ in range(3)]
            assert statuses == [200, 200, 429]
            assert (await visit("192.0.2.2")).status_code == 200
            refused = await visit("192.0.2.3")
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 0
            assert "Xin chờ một lát" in refused.text
            assert (await http.get("/livez", headers={"X-Forwarded-For": "192.0.2.1"})).status_code == 200
    finally:
        wiring.limits = before
    keys = [one.key for one in Limits(MemoryWindows(), few).windows(Rate.APPLICANT, None, "192.0.2.1")]
    assert keys == ["applicant:address:192.0.2.1", "applicant:all"]


async def test_steps_are_posted_in_order_and_once(world: World, system: Caller) -> None:
    id_, path = await opened(system)
    steps = f"/api/v1/onestop/dossiers/{id_}/steps"
    step = {"sequence": 0, "step": "processing", "unit": "dia-chinh", "promised": None}
    key = {"Idempotency-Key": secrets.token_urlsafe(16)}
    answers = await asyncio.gather(*(system.call("POST", steps, json=step, headers=key) for _ in range(5)))
    assert {one.status_code for one in answers} == {200}
    assert {one.content for one in answers} == {answers[0].content}
    assert answers[0].json() == {"id": id_, "sequence": 1, "link": None}
    assert code(await system.call("POST", steps, json=step)) == "conflict"
    assert "Chưa hẹn" in (await world.stack.http.get(path)).text
    end = {"sequence": 1, "step": "returned", "unit": "dia-chinh"}
    await system.call("POST", steps, expect=200, json=end)
    assert code(await system.call("POST", steps, json=end | {"sequence": 2})) == "dossier-closed"
    shown = await world.stack.http.get(path)
    assert "Đã trả kết quả" in shown.text
    assert "Trong hạn" not in shown.text
    assert (await system.json("GET", f"/api/v1/onestop/dossiers/{id_}"))["closed"]


async def test_what_is_refused_says_why(world: World, system: Caller) -> None:
    units = "/api/v1/onestop/units"
    stranger = UNIT | {"responsible": [world.foreign_leader.person]}
    assert code(await system.call("PUT", f"{units}/x", json=stranger)) == "person-unknown"
    assert code(await system.call("PUT", f"{units}/x", json=UNIT | {"responsible": []})) == "invalid-request"
    listed = await system.json("GET", units)
    assert [(one["code"], one["responsible"]) for one in listed] == [("dia-chinh", [world.staff.person])]
    posts = "/api/v1/onestop/dossiers"
    assert code(await system.call("POST", posts, json=dossier(unit="y"))) == "unit-unknown"
    assert code(await system.call("POST", posts, json=dossier(step="Ông A ký"))) == "invalid-request"
    assert code(await system.call("POST", posts, json=dossier(), keyless=True)) == "idempotency-key-missing"
    same = dossier()
    await system.call("POST", posts, expect=201, json=same)
    assert code(await system.call("POST", posts, json=same)) == "dossier-known"
    # C1: people, other scopes and other organisations have no way in.
    for caller in (world.leader, world.administrator, world.qlvb):
        assert code(await caller.call("POST", posts, json=dossier())) == "forbidden"
    id_, _ = await opened(system)
    foreign = await world.stack.service("Một cửa khác", "onestop:write", organisation=world.foreign_organisation)
    assert code(await foreign.call("GET", f"{posts}/{id_}")) == "not-found"
    assert code(await foreign.call("POST", f"{posts}/{id_}/link")) == "not-found"
    assert await foreign.json("GET", units) == []
