"""Two panes that come and go with the width of the window: a tablet that is turned, a window that is made narrow."""

import pytest
from playwright.async_api import Route, ViewportSize, expect

from tests.web.conftest import People

pytestmark = pytest.mark.asyncio(loop_scope="session")
NARROW: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": 1280, "height": 800}


async def test_a_list_that_was_being_fetched_leaves_nothing_behind(people: People) -> None:
    """The window is narrow again before the list beside has come: no spinner stays, and the list comes when there is room again."""
    page = people.leader.page
    await people.taken(subject="Văn bản bên cạnh", number="611")
    await page.set_viewport_size(NARROW)
    await page.goto("/#/notices")
    await page.reload()
    await page.get_by_role("heading", name="Thông báo").wait_for()
    # Until the server has answered this start, the list would be drawn from its copy.
    await expect(page.locator("#main .spin")).to_have_count(0, timeout=60_000)
    held: list[Route] = []
    await page.route("**/api/v1/inbox", lambda route: held.append(route))
    await page.set_viewport_size(DESK)
    await page.locator("#side .spin").wait_for(timeout=60_000)
    await page.set_viewport_size(NARROW)
    await page.locator("#side").wait_for(state="hidden")
    await expect(page.locator(".spin")).to_have_count(0, timeout=60_000)
    await page.unroute("**/api/v1/inbox")
    await page.set_viewport_size(DESK)
    await page.locator("#side a.card").filter(has_text="Văn bản bên cạnh").wait_for(timeout=60_000)
    await page.set_viewport_size(NARROW)
    await page.goto("/#/")


async def test_what_is_being_written_stays_when_a_tablet_is_turned(people: People) -> None:
    page = people.leader.page
    document = await people.taken(subject="Văn bản sẽ trả lại", number="612")
    for turned, side in ((NARROW, 0), (DESK, 1), (NARROW, 0)):
        await page.set_viewport_size(turned)
        if not page.url.endswith("/return"):
            await page.goto(f"/#/d/{document}/return")
            await page.get_by_label("Lý do trả lại").fill("Thiếu căn cứ")
        await expect(page.locator("#side .tabs")).to_have_count(side)
        await expect(page.get_by_label("Lý do trả lại")).to_have_value("Thiếu căn cứ")
    # Half a PIN does not stay.
    await page.goto(f"/#/d/{document}/sign")
    await page.locator(".keys button:enabled").first.tap()
    await expect(page.locator(".dot.full")).to_have_count(1)
    await page.set_viewport_size(DESK)
    await expect(page.locator(".dot.full")).to_have_count(0)
    await page.set_viewport_size(NARROW)
    await page.goto("/#/notices")
    for turned, place in ((DESK, "#side"), (NARROW, "#app")):
        await page.set_viewport_size(turned)
        await expect(page.locator(".tabs")).to_have_count(1)
        await page.locator(f"{place} .tabs").wait_for()
    await page.goto("/#/")
