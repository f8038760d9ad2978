"""A direction on two phones: the leader directs, whom it names reports and completes, the leader sees the tree (TIM-6, EXC-6)."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from server.identity.model import Role
from tests.fakes import pdfs
from tests.fakes.arrivals import arrived, until_judged
from tests.fakes.stack import Stack
from tests.web.conftest import Hand, Site, new_hand
from tests.web.test_layout import LONG_SUBJECT, looked_at
from tests.web.test_screens import faultless, refused

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT = "Văn phòng chủ trì, tham mưu văn bản trả lời\nBáo cáo kết quả trước hạn <b>một ngày</b>"


async def registered(stack: Stack, subject: str) -> str:
    clerk = await stack.person("Đinh Thị Mẫu", Role.CLERK, position="Văn thư")
    arrival = await arrived(stack, pdfs.vietnamese(), subject=subject)
    await until_judged(clerk, arrival)
    body = {"despite": "Đã gọi điện xác nhận"}
    await clerk.call("POST", f"/api/v1/arrivals/{arrival}/register", expect=200, json=body)
    return arrival


async def directed(leader: Hand, staff: Hand) -> None:
    """From the notice of the arrival to the direction's own screen."""
    page = leader.page
    await page.goto("/#/notices")
    await page.get_by_role("link", name=re.compile("chờ ý kiến chỉ đạo")).first.tap()
    await leader.tap("Bút phê", "link")
    await page.get_by_label("Ý kiến chỉ đạo").fill(TEXT)
    await page.get_by_label("Hạn xử lý").fill(f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%d}")
    await page.get_by_label("Chủ trì").select_option(staff.person)
    await page.locator("label.tickline", has_text="Văn thư").first.tap()
    await leader.shot("90-directive-order")
    await faultless(leader, "an order")
    await leader.tap("Giao việc")
    await page.get_by_role("heading", name="Thực hiện").wait_for()


async def test_a_leader_directs_and_sees_who_does_it_how_far_and_how_late(browser: Browser, site: Site) -> None:
    leader, staff = await new_hand(browser, site), await new_hand(browser, site)
    await leader.pair("Nguyễn Văn Mẫu", Role.LEADER)
    await staff.pair("Phạm Thị Mẫu", Role.STAFF, position="Chánh Văn phòng")
    await registered(site.stack, LONG_SUBJECT)
    await directed(leader, staff)
    id_ = leader.page.url.rpartition("/")[2]
    await staff.page.goto("/#/")
    await staff.tap("Chỉ đạo", "link")
    await staff.page.locator(f"a[href='#/o/{id_}']").tap()
    await staff.page.locator("main img").first.wait_for()
    await staff.page.get_by_label("Tiến độ (%)").fill("60")
    await staff.page.get_by_label("Kết quả, vướng mắc").fill("Đã có dự thảo, đang lấy ý kiến các phòng")
    await staff.shot("91-directive-mine")
    await staff.tap("Báo cáo")
    await expect(leader.page.get_by_text("Đã có dự thảo").first).to_be_visible(timeout=60_000)
    await expect(leader.page.get_by_text("60 %").first).to_be_visible()
    # As if the deadline had passed a week ago.
    past = f"{datetime.now(UTC) + timedelta(hours=7) - timedelta(days=7):%Y-%m-%d}"

    async def late(tx: Any) -> None:
        await tx.execute("UPDATE directives SET due_date = $2 WHERE id = $1", id_, past)

    await site.stack.wiring.db.transact(late)
    await leader.page.reload()
    await expect(leader.page.get_by_text("Quá hạn 7 ngày").first).to_be_visible(timeout=60_000)
    await leader.shot("92-directive-tree")
    await leader.page.goto("/#/o")
    await leader.page.locator("label.choice", has_text="Quá hạn").tap()
    await leader.page.get_by_text("Quá hạn 7 ngày").first.wait_for()
    await leader.shot("93-directives-late")
    await looked_at(leader, {"directives": "/#/o", "directive": f"/#/o/{id_}"})
    await leader.page.goto(f"/#/o/{id_}")
    await staff.page.get_by_label("Kết quả, vướng mắc").fill("Đã trình văn bản trả lời")
    await staff.tap("Hoàn thành")
    await staff.page.get_by_role("dialog").get_by_role("button", name="Hoàn thành").tap()
    await expect(leader.page.get_by_text("Đã hoàn thành").first).to_be_visible(timeout=60_000)
    await leader.shot("94-directive-done")
    row = await site.stack.wiring.db.fetch_one("SELECT state FROM directives WHERE id = $1", id_)
    assert row is not None
    assert row["state"] == "completed"
    for hand in (leader, staff):
        assert hand.complaints == []
        assert await refused(hand) == []
        await hand.context.close()
