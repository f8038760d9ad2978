"""The live stream in a browser: heard at once, closed while nobody looks, resumed, and done without where none comes through (NOT-4, D9)."""

import time
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from server.db import Transaction
from server.identity.model import Role
from server.notices.model import NewNotice, NoticeKind
from server.notices.telling import tell
from tests.web.conftest import Hand, Site, new_hand, until
from tests.web.test_screens import refused

pytestmark = pytest.mark.asyncio(loop_scope="session")
LOOK = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); document.dispatchEvent(new Event('visibilitychange')); }"


async def told(hand: Hand, headline: str) -> str:
    stack, now_us = hand.site.stack, time.time_ns() // 1000
    new = NewNotice(
        organisation=stack.organisation, person=hand.person, kind=NoticeKind.MEETING_REMINDER, urgency=0, about="", expires_us=now_us + 10**12,
        headline=headline,
    )  # fmt: skip
    return (await stack.wiring.db.transact(lambda tx: tell(tx, [new], now_us=now_us)))[0]


async def test_a_list_that_is_looked_at_hears_and_says_shown_and_a_hidden_one_catches_up(
    browser: Browser, site: Site
) -> None:
    hand = await new_hand(browser, site)
    await hand.pair("Nguyễn Văn Mẫu", Role.LEADER)
    db, hub, page = site.stack.wiring.db, site.stack.wiring.live, hand.page

    async def streams(wanted: int) -> Any:
        return sum(one.person == hand.person for one in hub.streams) == wanted

    (row,) = await db.fetch_all("SELECT id FROM devices WHERE person = $1", hand.person)

    async def address(tx: Transaction) -> None:
        await tx.execute(
            "INSERT INTO push_addresses (address, device, transport, kind, value, state, seen_us) VALUES ($1, $1, 'fcm', 'registration_token', $1, 'active', 1)",
            row["id"],
        )  # fmt: skip

    await db.transact(address)
    await page.goto("/#/notices")
    await until(lambda: streams(1), "one stream of one window")
    notice = await told(hand, "Thông báo mẫu một")
    await expect(page.get_by_text("Thông báo mẫu một")).to_be_visible()

    async def shown() -> Any:
        rows = await db.fetch_all("SELECT 1 AS one FROM deliveries WHERE notice = $1 AND shown_us IS NOT NULL", notice)
        return bool(rows)

    await until(shown, "the list says what it shows")

    await page.evaluate(LOOK, True)
    await until(lambda: streams(0), "nobody looks, nobody listens")
    await told(hand, "Thông báo mẫu hai")
    await page.evaluate(LOOK, False)
    await expect(page.get_by_text("Thông báo mẫu hai")).to_be_visible()
    await until(lambda: streams(1), "one stream again")

    await hand.context.route("**/api/v1/live", lambda route: route.abort())
    await page.reload()
    await expect(page.get_by_text("Thông báo mẫu hai")).to_be_visible()
    await until(lambda: streams(0), "no stream comes through")
    await told(hand, "Thông báo mẫu ba")
    await expect(page.get_by_text("Thông báo mẫu ba")).to_be_visible()
    assert hand.complaints == []
    assert await refused(hand) == []
    await hand.context.close()
