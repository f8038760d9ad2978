"""Leave, deputy and quiet hours on a phone; who is told next, and who was told (NOT-4)."""

import time

import pytest
from playwright.async_api import Browser, Route, expect

from server.db import Transaction
from server.identity.model import Role
from server.notices.model import NewNotice, NoticeKind
from server.notices.telling import tell
from tests.fakes import pdfs
from tests.fakes.stack import Caller
from tests.web.conftest import Site, new_hand
from tests.web.test_screens import faultless

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_absence_is_set_and_everybody_told_is_listed(browser: Browser, site: Site) -> None:
    stack = site.stack
    deputy = await stack.person("Lê Thị Thay Mẫu", Role.LEADER, position="PHÓ CHỦ TỊCH")
    address = {"registration_token": "sample-token-of-a-deputy"}
    await deputy.call("PUT", "/api/v1/me/push-addresses/fcm", expect=204, json=address)
    hand = await new_hand(browser, site)
    page = hand.page
    await hand.pair("Phan Văn Vắng Mẫu", Role.LEADER, Role.DUTY_OFFICER)
    await page.goto("/#/me")
    await page.get_by_role("link", name="Vắng mặt, giờ yên lặng").tap()
    await page.get_by_label("Nghỉ phép").check(force=True)
    await page.get_by_label("Người thay").select_option(deputy.person)
    await page.get_by_label("Từ").nth(1).fill("21:30")
    await page.get_by_label("Đến").nth(1).fill("06:00")
    await page.get_by_label("Tin nhắn đến số").fill("0900 000 001")
    await faultless(hand, "absence")
    await hand.shot("70-away")
    await hand.tap("Lưu")
    await page.get_by_role("heading", name="Của tôi", exact=True).wait_for()
    own = await hand.call("GET", "/api/v1/me/notice-settings")
    assert (own["phone"], own["quiet"], own["deputy"]) == ("+84900000001", {"start": 1290, "end": 360}, None)
    assert (own["absence"]["kind"], own["absence"]["deputy"]) == ("leave", deputy.person)

    signer = Caller(stack.http)
    signer.person = hand.person
    taken = await stack.take_in(pdfs.plain(), [signer], urgency=3)
    assert taken.status_code == 201
    # On leave nobody is waited for: the deputy has been told when the screen shows it.
    await page.goto("/#/told")
    await page.get_by_text("Văn bản chờ ký").first.tap()
    await expect(page.get_by_text("Lê Thị Thay Mẫu").first).to_be_visible(timeout=60_000)
    await faultless(hand, "who was told")
    await hand.shot("71-told")
    await page.goto("/#/notices")
    await expect(page.get_by_text("báo người trực")).to_be_visible(timeout=60_000)
    await faultless(hand, "notices")
    await hand.shot("72-notices")

    # Both screens follow: what is acknowledged elsewhere is said without a tap, and what is older is a tap away.
    own = (await hand.call("GET", "/api/v1/notices"))["items"][-1]["id"]
    await page.goto(f"/#/told/{own}")
    await page.get_by_text("Chờ xác nhận").wait_for()
    await hand.call("POST", f"/api/v1/notices/{own}/acknowledgement")
    await expect(page.get_by_text("Đã xong")).to_be_visible()

    async def chains(tx: Transaction) -> None:
        now_us = time.time_ns() // 1000
        news = [
            NewNotice(
                organisation=stack.organisation, person=hand.person, kind=NoticeKind.TO_SIGN, urgency=3, about=f"sample:{number}",
                expires_us=now_us + 10**12, headline="Chuỗi mẫu",
            )
            for number in range(61)
        ]  # fmt: skip
        await tell(tx, news, now_us=now_us)

    await page.goto("/#/told")
    await page.locator("a.card").first.wait_for()
    await stack.wiring.db.transact(chains)
    await expect(page.locator("a.card")).to_have_count(50)
    # A duty officer sees the chains of the whole organisation.
    every = len((await hand.call("GET", "/api/v1/escalations?limit=200"))["items"])
    await hand.tap("Xem thêm")
    await expect(page.locator("a.card")).to_have_count(min(every, 100))

    # As many as a page has, and no more: the tap for more takes its button away.
    found = await hand.call("GET", "/api/v1/escalations?limit=50")

    async def exactly(route: Route) -> None:
        await route.fulfill(json={"items": found["items"], "next_cursor": None})

    await page.route("**/api/v1/escalations?*", exactly)
    await page.goto("/#/me")
    await page.goto("/#/told")
    await expect(page.locator("a.card")).to_have_count(50)
    await hand.tap("Xem thêm")
    await expect(page.get_by_role("button", name="Xem thêm")).to_have_count(0)
    await page.unroute_all(behavior="wait")

    # Back again, and nobody is told in one's place.
    await page.goto("/#/away")
    await page.get_by_label("Đang làm việc").check(force=True)
    await hand.tap("Lưu")
    await page.get_by_role("heading", name="Của tôi", exact=True).wait_for()
    own = await hand.call("GET", "/api/v1/me/notice-settings")
    assert own["absence"] is None
    assert hand.complaints == []
    await hand.context.close()
