"""Whoever has the thing itself open, or its card in sight, is not pushed a notice of it; what is not on the screen is (NOT-4)."""

import time
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from server.db import Transaction
from server.identity.model import Role
from server.notices.model import NewNotice, NoticeKind
from server.notices.telling import tell
from tests.fakes import pdfs
from tests.fakes.stack import Caller
from tests.web.conftest import Hand, Site, new_hand, own, until
from tests.web.test_live import LOOK

pytestmark = pytest.mark.asyncio(loop_scope="session")
# One whole look at what has come: a call while another one waits gives up at once.
LOOKED = own(
    "async () => { const { onScreen } = await $notices; let began; do { await new Promise((later) => setTimeout(later, 50));"
    " began = performance.now(); await onScreen(); } while (performance.now() - began < 400); }"
)


class Looking:
    """A leader's phone with an address for pushes, and what its server is told of it."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.db = hand.site.stack.wiring.db

    async def told(self, document: str | None, about: str = "") -> str:
        now_us = time.time_ns() // 1000
        new = NewNotice(
            organisation=self.hand.site.stack.organisation, person=self.hand.person, kind=NoticeKind.REPLACED, urgency=0, about=about, document=document,
            expires_us=now_us + 10**12,
        )  # fmt: skip
        return (await self.db.transact(lambda tx: tell(tx, [new], now_us=now_us)))[0]

    async def is_shown(self, notice: str) -> Any:
        rows = await self.db.fetch_all(
            "SELECT shown_us FROM deliveries WHERE notice = $1 AND purpose = 'notice'", notice
        )
        assert len(rows) == 1
        return rows[0]["shown_us"] is not None


async def test_what_is_open_or_in_sight_is_shown_and_nothing_else(browser: Browser, site: Site) -> None:
    hand = await new_hand(browser, site)
    await hand.pair("Nguyễn Thị Mẫu", Role.LEADER)
    stack, page, looking = site.stack, hand.page, Looking(hand)
    (row,) = await looking.db.fetch_all("SELECT id FROM devices WHERE person = $1", hand.person)

    async def address(tx: Transaction) -> None:
        await tx.execute(
            "INSERT INTO push_addresses (address, device, transport, kind, value, state, seen_us) VALUES ($1, $1, 'fcm', 'registration_token', $1, 'active', 1)",
            row["id"],
        )  # fmt: skip

    signer = Caller(stack.http)
    signer.person = hand.person
    mine, other = [
        (await stack.take_in(pdfs.plain(), [signer], number=number)).json()["id"] for number in ("881", "882")
    ]
    await looking.db.transact(address)

    async def listens() -> Any:
        return any(one.person == hand.person for one in stack.wiring.live.streams)

    # A document that is open: its own notice, and not the other's.
    await page.goto(f"/#/d/{mine}")
    await expect(page.get_by_role("heading", name="881/QĐ-UBND")).to_be_visible()
    await until(listens, "a stream")
    elsewhere = await looking.told(other)
    here = await looking.told(mine)
    await until(lambda: looking.is_shown(here), "the open document says that it is shown")
    assert not await looking.is_shown(elsewhere)

    # A card of the inbox that is in sight.
    await page.goto("/#/")
    await expect(page.locator(f"a.card[href='#/d/{other}']")).to_be_in_viewport()
    carded = await looking.told(other, "again")
    await until(lambda: looking.is_shown(carded), "the card says that it is shown")

    # A list that does not follow says nothing of its cards.
    await page.goto("/#/me")
    await looking.db.transact(
        lambda tx: tx.execute("UPDATE documents SET due_date = '2026-01-02' WHERE id = $1", other)
    )
    await page.goto("/#/held")
    await page.locator(f"a.card[href='#/d/{other}']").scroll_into_view_if_needed()
    listed = await looking.told(other, "listed")
    await page.evaluate(LOOKED)
    assert not await looking.is_shown(listed)
    await page.goto("/#/")

    # Nobody looks: nothing is said to be shown. What came meanwhile is said when somebody does again.
    await page.evaluate(LOOK, True)
    hidden = await looking.told(other, "hidden")
    assert not await looking.is_shown(hidden)
    await page.evaluate(LOOK, False)
    await until(lambda: looking.is_shown(hidden), "looked at again")
    assert hand.complaints == []
    await hand.context.close()
