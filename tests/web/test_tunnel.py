"""The connection is cut at the k-th request of the signing flow, before it reaches the server or after the server did it (A10, D1).

However it is cut there is one signature, by the server's records and in the file, and no screen says what is not so: "Đã ký" only
when it is signed, "Chưa ký" only when it is not. With the network back the flow goes on by itself or by one tap.

A few cuts are in the suite, at the requests that commit; every k is in the long form (TEST_ROUNDS).
"""

import asyncio
import contextlib
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Locator, Page, Route

from tests.fakes.stack import PIN
from tests.web.conftest import Hand, People

pytestmark = pytest.mark.asyncio(loop_scope="session")
LONG = "TEST_ROUNDS" in os.environ
# What happens beside the flow: the feed, what a device reports, its addresses for push.
BESIDE = re.compile(r"/api/v1/(changes|receipts|me/push-addresses|notices|me/devices|oauth)")
# More than a call tries again by itself: the screen has to say it.
TUNNEL = 6
OBSERVE = """() => {
  let last = '';
  new MutationObserver(() => {
    const said = document.querySelector('.empty .big')?.textContent ?? '';
    if (said !== last) { last = said; window.said(said); }
  }).observe(document.getElementById('app'), { subtree: true, childList: true, characterData: true });
}"""


class Tunnel:
    """Cuts request number `at` of the flow, or the first whose path ends in `name`, and `more` requests behind it."""

    def __init__(self, *, at: int = 0, name: str = "", answered: bool, more: int) -> None:
        self._at = at
        self._name = name
        self._answered = answered
        self._more = more
        self.seen = 0
        self.left = 0
        self.cuts: list[str] = []

    def over(self) -> None:
        self.left = 0

    async def pass_or_cut(self, route: Route) -> None:
        path = urlsplit(route.request.url).path
        if BESIDE.match(path):
            # In a tunnel there is no network for these either.
            await (route.abort("connectionreset") if self.left else route.continue_())
            return
        self.seen += 1
        begins = not self.cuts and (self.seen == self._at or (self._name and path.endswith(self._name)))
        if begins:
            self.left = 1 + self._more
        if not self.left:
            await route.continue_()
            return
        self.left -= 1
        self.cuts.append(f"{route.request.method} {path}")
        with contextlib.suppress(Exception):  # the page may have left this request behind
            if self._answered:
                await route.fetch()
            await route.abort("connectionreset")


class Road:
    """A leader with a phone on the way from the inbox to the signature of one document."""

    def __init__(self, people: People, tunnel: Tunnel, document: str) -> None:
        self.hand: Hand = people.leader
        self.page: Page = people.leader.page
        self.people = people
        self.tunnel = tunnel
        self.document = document
        self.retries = 0
        self.untrue: list[str] = []
        self.said: list[str] = []

    async def signatures(self) -> int:
        rows = await self.people.site.stack.wiring.db.fetch_all(
            "SELECT 1 FROM activation_items WHERE document = $1 AND cms IS NOT NULL", self.document
        )
        return len(rows)

    async def hear(self, said: str) -> None:
        """The screen speaks of the outcome: is it so at this moment?"""
        signed = await self.signatures()
        self.said.append(said)
        if (said == "Đã ký" and not signed) or (said == "Chưa ký" and signed):
            self.untrue.append(f"{said}: {signed} signatures")

    async def reach(self, goal: Locator) -> None:
        """The goal by itself, or by one tap on "again" once the network is back."""
        again = self.page.get_by_role("button", name="Thử lại", exact=True)
        await goal.or_(again).first.wait_for(timeout=60_000)
        if await again.count() and await again.is_visible():
            self.tunnel.over()
            self.retries += 1
            await again.tap()
            await goal.wait_for(timeout=60_000)

    async def walk(self, title: str) -> None:
        page = self.page
        await page.goto("/#/")
        await page.reload()
        link = page.get_by_role("link").filter(has_text=title)
        await link.wait_for()
        await page.evaluate(OBSERVE)
        await page.route("**/api/v1/**", self.tunnel.pass_or_cut)
        try:
            await link.tap()
            await self.reach(page.locator(".page img").first)
            await page.get_by_role("link", name="Ký", exact=True).tap()
            digits = page.locator(".keys button:enabled").first
            done = page.get_by_role("heading", name="Đã ký", exact=True)
            await self.reach(digits)
            for _ in range(2):
                await self.hand.enter(PIN, "Ký văn bản này")
                await self.reach(done.or_(digits).first)
                if await done.is_visible():
                    break
            await done.wait_for()
            self.tunnel.over()
            await page.get_by_text("Chữ ký và dấu thời gian đã được ghi.").wait_for(timeout=60_000)
        finally:
            await page.unroute("**/api/v1/**")


ROADS: list[Road] = []


async def signed_through(people: People, tunnel: Tunnel, folder: Path, title: str) -> Road:
    stack = people.site.stack
    document = await people.taken(subject=title, urgency=3)
    road = Road(people, tunnel, document)
    if not ROADS:
        await people.leader.page.expose_function("said", lambda said: ROADS[-1].hear(said))
    ROADS.append(road)
    await road.walk(title)
    where = f"{tunnel.cuts} said {road.said}"
    assert road.untrue == [], where
    assert road.retries <= 1, where
    await stack.until(document, "signed", "sealed")
    assert await road.signatures() == 1, where
    file = await stack.qlvb.call("GET", f"/api/v1/documents/{document}/files/signed", expect=200)
    (path := folder / "signed.pdf").write_bytes(file.content)
    judged = await asyncio.to_thread(subprocess.run, ["pdfsig", str(path)], capture_output=True, text=True, check=False)
    # Fields of later signers stand in the file unsigned.
    assert judged.stdout.count("Signature Validation:") == 1, judged.stdout
    assert "Signature is Valid." in judged.stdout
    return road


@pytest.mark.parametrize(
    ("name", "answered", "more"),
    [
        ("/sheet", True, 0),
        ("/challenge", True, TUNNEL),
        ("/challenge", False, 0),
        ("/approvals", False, TUNNEL),
        ("/approvals", True, TUNNEL),
    ],
)
async def test_one_cut_one_signature(people: People, tmp_path: Path, name: str, answered: bool, more: int) -> None:
    tunnel = Tunnel(name=name, answered=answered, more=more)
    await signed_through(people, tunnel, tmp_path, f"Qua hầm {name} {answered} {more}")
    assert tunnel.cuts
    assert tunnel.cuts[0].endswith(name)


async def every_cut(people: People, folder: Path, *, answered: bool, more: int) -> int:
    """How many requests the flow has, each of which was cut once."""
    for at in range(1, 100):
        tunnel = Tunnel(at=at, answered=answered, more=more)
        await signed_through(people, tunnel, folder, f"Qua hầm số {at} {answered} {more}")
        if not tunnel.cuts:
            return at - 1
    pytest.fail("the flow has no end")


if LONG:

    @pytest.mark.parametrize("answered", [False, True])
    @pytest.mark.parametrize("more", [0, TUNNEL])
    async def test_every_cut_one_signature(people: People, tmp_path: Path, answered: bool, more: int) -> None:
        assert await every_cut(people, tmp_path, answered=answered, more=more) >= 10
