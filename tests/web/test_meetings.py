"""Meetings on a phone: called, changed, answered, papers kept for reading without a network (MTG-1, MTG-5, MTG-6)."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from server.identity.model import Role
from tests.fakes import pdfs
from tests.fakes.stack import Caller
from tests.web.conftest import Hand, Site, new_hand, until
from tests.web.test_layout import looked_at
from tests.web.test_screens import faultless, refused

pytestmark = pytest.mark.asyncio(loop_scope="session")


def at(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


class Meeting:
    """A leader's and an organiser's phones, and a clerk who works through the API."""

    def __init__(self, leader: Hand, organiser: Hand, clerk: Caller) -> None:
        self.leader, self.organiser, self.clerk = leader, organiser, clerk
        self.plan: dict[str, Any] = {
            "title": "Họp triển khai phòng, chống thiên tai <b>đợt 2</b>", "place": "Phòng họp A, trụ sở Ủy ban nhân dân xã", "starts_at": at(30), "ends_at": at(32),
            "chair": leader.person, "attendees": [organiser.person], "agenda": "1. Tình hình\n2. Thảo luận\n3. Kết luận", "asked": "Chuẩn bị số liệu của đơn vị",
        }  # fmt: skip

    async def convened(self) -> str:
        return str((await self.clerk.json("POST", "/api/v1/meetings", expect=201, json=self.plan))["id"])

    async def changed(self, meeting: str, sequence: int, **changes: Any) -> None:
        body = self.plan | changes | {"sequence": sequence}
        await self.clerk.call("POST", f"/api/v1/meetings/{meeting}/changes", expect=200, json=body)

    async def seen(self, meeting: str) -> Any:
        return await self.clerk.json("GET", f"/api/v1/meetings/{meeting}")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def meeting(browser: Browser, site: Site) -> AsyncIterator[Meeting]:
    leader, organiser = await new_hand(browser, site), await new_hand(browser, site)
    await leader.pair("Nguyễn Văn Mẫu", Role.LEADER)
    await organiser.pair("Phạm Thị Mẫu", Role.STAFF, position="Chuyên viên Văn phòng")
    clerk = await site.stack.person("Trần Văn Mẫu", Role.CLERK, position="Văn thư")
    yield Meeting(leader, organiser, clerk)
    for hand in (leader, organiser):
        assert hand.complaints == []
        assert await refused(hand) == []
        await hand.context.close()


async def test_a_meeting_is_called_changed_and_answered_with_one_hand(meeting: Meeting) -> None:
    organiser, leader = meeting.organiser, meeting.leader
    page = organiser.page
    await page.goto("/#/m")
    await page.get_by_text("Chưa có cuộc họp").wait_for()
    await page.get_by_role("link", name="Mời họp").tap()
    local = datetime.now(UTC) + timedelta(hours=7 + 50)  # the form's clock is Vietnam's
    await page.get_by_label("Nội dung").fill("Giao ban tháng")
    await page.get_by_label("Địa điểm").fill("Phòng họp A")
    await page.get_by_label("Bắt đầu").fill(f"{local:%Y-%m-%dT08:00}")
    await page.get_by_label("Kết thúc").fill(f"{local:%Y-%m-%dT09:30}")
    await page.get_by_label("Chủ trì").select_option(leader.person)
    await page.locator(f"input[value='{organiser.person}']").check(force=True)
    await organiser.shot("60-meeting-plan")
    await faultless(organiser, "plan")
    await organiser.tap("Gửi giấy mời")
    await page.get_by_text(f"08:00–09:30 {local:%d/%m/%Y}").wait_for()
    await page.get_by_text("2 chưa trả lời").wait_for()
    id_ = page.url.rpartition("/")[2]
    await organiser.shot("61-meeting-organiser")
    await leader.page.goto("/#/notices")
    await leader.page.get_by_role("link", name=re.compile("Giao ban tháng")).tap()
    await leader.page.get_by_role("button", name="Tham dự").wait_for()
    await leader.shot("62-meeting-answer")
    await leader.tap("Vắng mặt", "link")
    await leader.page.get_by_label("Lý do").fill("Đi công tác tỉnh")
    await leader.shot("63-meeting-decline")
    await leader.tap("Vắng mặt")
    await page.get_by_text("Đi công tác tỉnh").wait_for(timeout=60_000)
    await page.get_by_text("1 chưa trả lời").wait_for(timeout=60_000)
    await page.get_by_role("link", name="Thay đổi").tap()
    await page.get_by_label("Địa điểm").fill("Phòng họp B")
    await organiser.tap("Gửi giấy mời")
    await leader.page.goto("/#/m")
    card = leader.page.locator("a.card", has_text="Giao ban tháng")
    await expect(card).to_contain_text("Địa điểm: Phòng họp A → Phòng họp B", timeout=60_000)
    await leader.shot("64-meetings")
    await card.tap()
    await leader.tap("Tham dự")
    answered = await until(lambda: _answer(meeting, id_, leader.person), "the answer for the newest revision")
    assert answered == "attend"
    await faultless(leader, "meeting")


async def _answer(meeting: Meeting, id_: str, person: str) -> str:
    seen = await meeting.seen(id_)
    return str(next(one["answer"] for one in seen["attendees"] if one["person"] == person)) if seen["sequence"] else ""


async def test_papers_are_kept_and_every_screen_fits(meeting: Meeting) -> None:
    leader, page = meeting.leader, meeting.leader.page
    id_ = await meeting.convened()
    files = {"name": (None, "Báo cáo tình hình"), "file": ("a.pdf", pdfs.vietnamese(), "application/pdf")}
    paper = await meeting.clerk.json("POST", f"/api/v1/meetings/{id_}/papers", expect=201, files=files)
    await meeting.changed(id_, 0, place="Hội trường B", attendees=[])
    await page.goto(f"/#/m/{id_}")
    await leader.tap("Lưu để đọc khi mất mạng")
    await page.get_by_text("1/1").wait_for(timeout=60_000)
    reading = f"/#/m/{id_}/{paper['id']}/{paper['revision']}"
    await leader.context.set_offline(True)
    await page.goto(reading)
    await page.locator(".page img").wait_for(timeout=60_000)
    await leader.shot("65-meeting-paper")
    await leader.context.set_offline(False)
    await looked_at(leader, {"meetings": "/#/m", "meeting": f"/#/m/{id_}"})
