"""Meetings on a phone: called, changed, answered, papers kept for reading without a network (MTG-1, MTG-5, MTG-6)."""

import csv
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from server.identity.model import Role
from tests.fakes import pdfs
from tests.fakes.stack import Caller
from tests.web.conftest import PHONE, Hand, Site, new_hand, own, until
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


async def planned(meeting: Meeting, title: str, starts: str, ends: str) -> None:
    """The organiser's form, filled in but not sent."""
    organiser, page = meeting.organiser, meeting.organiser.page
    await page.get_by_role("link", name="Mời họp").tap()
    await page.get_by_label("Nội dung").fill(title)
    await page.get_by_label("Địa điểm").fill("Phòng họp A")
    await page.get_by_label("Bắt đầu").fill(starts)
    await page.get_by_label("Kết thúc").fill(ends)
    await page.get_by_label("Chủ trì").select_option(meeting.leader.person)
    await page.locator(f"input[value='{organiser.person}']").check(force=True)


async def test_a_meeting_is_called_changed_and_answered_with_one_hand(meeting: Meeting) -> None:
    organiser, leader = meeting.organiser, meeting.leader
    page = organiser.page
    await page.goto("/#/m")
    await page.get_by_text("Chưa có cuộc họp").wait_for()
    local = datetime.now(UTC) + timedelta(hours=7 + 50)  # the form's clock is Vietnam's
    await planned(meeting, "Giao ban tháng", f"{local:%Y-%m-%dT08:00}", f"{local:%Y-%m-%dT09:30}")
    await page.get_by_label("Độ khẩn").select_option("1")
    await organiser.shot("60-meeting-plan")
    await faultless(organiser, "plan")
    await organiser.tap("Gửi giấy mời")
    await page.get_by_text(f"08:00–09:30 {local:%d/%m/%Y}").wait_for()
    await page.get_by_text("2 chưa trả lời").wait_for()
    id_ = page.url.rpartition("/")[2]
    await expect(page.get_by_text("Khẩn", exact=True)).to_be_visible()
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


async def test_papers_are_replaced_kept_and_every_screen_fits(meeting: Meeting) -> None:
    organiser, leader = meeting.organiser, meeting.leader
    page = organiser.page
    await page.goto("/#/m")
    local = datetime.now(UTC) + timedelta(hours=7)
    starts, ends = (f"{local + timedelta(hours=hours):%Y-%m-%dT%H:%M}" for hours in (1, 3))
    await planned(meeting, "Họp triển khai phòng, chống thiên tai <b>đợt 2</b>", starts, ends)
    await organiser.tap("Gửi giấy mời")
    await page.get_by_text("2 chưa trả lời").wait_for()
    id_ = page.url.rpartition("/")[2]

    async def given(which: Any, name: str, body: bytes) -> None:
        await which.set_input_files({"name": name, "mimeType": "application/pdf", "buffer": body})

    await given(page.locator("input[type=file]").last, "Báo cáo tình hình.pdf", pdfs.vietnamese())
    await page.get_by_role("link", name="Báo cáo tình hình").wait_for()
    await given(page.locator("input[type=file]").last, "Dự thảo nghị quyết.pdf", pdfs.plain())
    await page.get_by_role("link", name="Dự thảo nghị quyết").wait_for()
    await given(
        page.locator(".line", has_text="Báo cáo tình hình").get_by_label("Thay tệp"), "khac.pdf", pdfs.rotated()
    )
    await page.get_by_role("link", name="Báo cáo tình hình.pdf · bản sửa 2").wait_for()
    await leader.page.goto("/#/notices")
    await leader.page.get_by_text("Tài liệu họp đã thay bằng bản mới").first.wait_for()

    # Who came, and the list of who was told, answered and came.
    await page.locator(".line", has_text="Nguyễn Văn Mẫu").get_by_label("Có mặt").check(force=True)

    async def came() -> Any:
        return [one for one in (await meeting.seen(id_))["attendees"] if one["came_at"]]

    assert [one["person"] for one in await until(came, "written down")] == [leader.person]
    async with page.expect_download() as download:
        await organiser.tap("Tải danh sách (CSV)")
    report = await download.value
    assert report.suggested_filename == "attendance.csv"
    rows = list(csv.DictReader((await report.path()).read_text("utf-8-sig").splitlines()))
    assert {row["Họ và tên"]: bool(row["Có mặt lúc"]) for row in rows} == {
        "Nguyễn Văn Mẫu": True,
        "Phạm Thị Mẫu": False,
    }
    await organiser.shot("66-meeting-papers")

    # A pack without room is refused before anything of it is fetched.
    page = leader.page

    async def thicker(route: Route) -> None:
        answer = await route.fetch()
        found = await answer.json()
        await route.fulfill(
            response=answer, json=found | {"papers": [one | {"page_count": 900} for one in found["papers"]]}
        )

    await page.route(f"**/api/v1/meetings/{id_}", thicker)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"/#/m/{id_}")
    await leader.tap("Lưu để đọc khi mất mạng")
    await page.get_by_text("Không đủ chỗ lưu bộ tài liệu").wait_for()
    assert not [url for url in asked if "/papers/" in url]
    # The screen asks again whenever it hears of something: an answer may be on its way.
    await page.unroute_all(behavior="wait")
    await page.reload()

    # On a tablet, too: what is kept stands in for the larger image that its screen would show.
    await page.set_viewport_size({"width": 820, "height": 1180})
    await page.goto(f"/#/m/{id_}")
    await leader.tap("Lưu để đọc khi mất mạng")
    await page.get_by_role("button", name="Đã lưu").wait_for()
    await leader.shot("67-meeting-kept")
    # Once more asks the server first: a device that it does not answer forgets after the week.
    async with page.expect_request(f"**/api/v1/meetings/{id_}"):
        await leader.tap("Đã lưu")
    await page.get_by_role("button", name="Đã lưu").wait_for()

    # Taken off the list and on it again: nothing is kept, and nothing says that it were.
    async def withdrawn(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, json=await answer.json() | {"state": "withdrawn", "papers": []})

    heard = own("async () => (await $api).tell('meetings')")
    await page.route(f"**/api/v1/meetings/{id_}", withdrawn)
    await page.evaluate(heard)
    await expect(page.get_by_role("button", name="Đã lưu")).to_have_count(0)
    await page.unroute_all(behavior="wait")
    await page.evaluate(heard)
    await leader.tap("Lưu để đọc khi mất mạng")
    await page.get_by_role("button", name="Đã lưu").wait_for()
    await leader.context.set_offline(True)
    for name in ("Báo cáo tình hình", "Dự thảo nghị quyết"):
        await page.goto(f"/#/m/{id_}")
        await page.get_by_role("link", name=name).tap()
        image = page.locator(".page img").first
        await image.wait_for()
        assert await image.evaluate("(img) => img.naturalWidth") == 720, name
    await leader.shot("65-meeting-paper")
    await leader.context.set_offline(False)
    await page.set_viewport_size(PHONE)
    await looked_at(organiser, {"meetings": "/#/m", "meeting": f"/#/m/{id_}"})
