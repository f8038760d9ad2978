"""The organisation's rules on a phone, what stands still, and the address of one's own calendar (NOT-1, NOT-4)."""

import icalendar
import pytest
from playwright.async_api import Browser, expect

from server.identity.model import Role
from tests.fakes import pdfs
from tests.fakes.stack import Caller
from tests.web.conftest import Site, new_hand, own
from tests.web.test_screens import faultless

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_rules_are_set_and_a_chain_to_nobody_is_refused(browser: Browser, site: Site) -> None:
    hand = await new_hand(browser, site)
    page = hand.page
    await hand.pair("Đỗ Thị Quản Mẫu", Role.ADMINISTRATOR, Role.LEADER, Role.DUTY_OFFICER)
    before = await hand.call("GET", "/api/v1/notice-rules")
    signer = Caller(site.stack.http)
    signer.person = hand.person
    taken = await site.stack.take_in(pdfs.plain(), [signer], due_date="2026-11-01")
    assert taken.status_code == 201

    await page.goto("/#/me")
    await page.get_by_role("link", name="Quy định của cơ quan").tap()
    await page.get_by_label("Nhắc người xử lý sau (giờ làm việc)").fill("6")
    await page.get_by_label("Ngày nghỉ thêm").fill("31/8/2027, 1/9/2027")
    await page.get_by_label("Phải mở hết các trang trước khi ký").check(force=True)
    await page.get_by_text("Lãnh đạo được báo: mọi lãnh đạo").tap()
    await page.get_by_label("Đỗ Thị Quản Mẫu").first.check(force=True)
    caps = page.locator("section", has=page.get_by_role("heading", name="Số lần báo nhiều nhất"))
    await caps.get_by_label("Hỏa tốc").fill("0")
    await hand.tap("Lưu")
    await expect(caps.get_by_label("Hỏa tốc")).to_be_focused()
    assert await hand.call("GET", "/api/v1/notice-rules") == before
    await caps.get_by_label("Hỏa tốc").fill("40")
    await caps.scroll_into_view_if_needed()
    await hand.shot("75-rules")
    await faultless(hand, "rules")
    await hand.tap("Thêm chuỗi")
    await hand.tap("Lưu")
    await expect(page.get_by_text("người trực").last).to_be_visible()
    assert await hand.call("GET", "/api/v1/notice-rules") == before
    # The new chain, from khẩn on, gets its one step: the duty officer.
    await page.get_by_role("button", name="Bước", exact=True).last.tap()
    await hand.shot("76-chain")
    await hand.tap("Lưu")
    await page.get_by_role("heading", name="Của tôi", exact=True).wait_for()
    after = await hand.call("GET", "/api/v1/notice-rules")
    assert (after["idle"]["handler_hours"], after["heads"], after["open_every_page"]) == (6, [hand.person], True)
    assert after["days"] == {"2027-08-31": False, "2027-09-01": False}
    assert [(one["urgency"], [step["target"] for step in one["steps"]]) for one in after["policies"]] == [
        *[(one["urgency"], [step["target"] for step in one["steps"]]) for one in before["policies"]],
        (1, ["duty_officer"]),
    ]
    assert after["policies"][:1] == before["policies"]
    assert after["caps"] == before["caps"] | {"express": 40}
    await page.evaluate(
        own("async (json) => (await $api).call('PUT', '/api/v1/notice-rules', { json })"),
        {**before, "revision": None},
    )

    await page.get_by_role("link", name="Chậm, quá hạn").tap()
    await expect(page.get_by_text("Hạn 01/11/2026").first).to_be_visible()
    await faultless(hand, "what is late")
    await hand.shot("77-held")

    await page.goto("/#/calendar")
    await hand.tap("Tạo địa chỉ")
    address = await page.get_by_label("Địa chỉ", exact=True).input_value()
    feed = await site.stack.http.get(address.partition("/calendar/")[1] + address.partition("/calendar/")[2])
    assert icalendar.Calendar.from_ical(feed.content)["method"] == "PUBLISH"
    await faultless(hand, "calendar")
    await hand.shot("78-calendar")
    await hand.tap("Thu hồi địa chỉ")
    await expect(page.get_by_text("Tạo lúc")).to_have_count(0)
    assert await hand.call("GET", "/api/v1/me/calendar") is None
    assert hand.complaints == []
    await hand.context.close()
