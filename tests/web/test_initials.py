"""Initials on a phone, on a document that wants every page opened: what is missing is said, led to, and then enough (SIG-10, AUT-8)."""

import pytest
from playwright.async_api import expect

from server.identity.model import Role
from tests.fakes import pdfs
from tests.fakes.stack import PIN
from tests.web.conftest import People, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR_MS = 60_000


async def test_every_page_is_opened_then_initialed(people: People) -> None:
    leader, stack = people.leader, people.site.stack
    signer = await stack.person("Lê Thị Ký", Role.LEADER, position="PHÓ CHỦ TỊCH")
    made = pdfs.Pdf()
    for number in range(1, 6):
        made.page(pdfs.lines((f"Trang {number}", "noi dung")))
    steps = [{"person": leader.person, "initials": True}, {"person": signer.person}]
    answer = await stack.take_in(
        made.classic(), [], signers=steps, open_every_page=True, number="771", subject="Về việc phải đọc đủ trang"
    )
    document = answer.json()["id"]
    page = leader.page
    page.set_default_timeout(FAR_MS)
    await page.goto(f"/#/d/{document}")
    await page.locator(".page img").first.wait_for()
    await leader.tap("Ký nháy", "link")
    missing = page.get_by_role("alert").filter(has_text="Chưa mở: trang")
    await missing.wait_for()
    assert await page.locator(".keys").count() == 0
    await leader.shot("71-pages-missing")
    said = await missing.text_content() or ""
    assert said.endswith("5")
    # The way leads to the first of them, and what is scrolled past counts.
    link = page.get_by_role("link", name="Mở trang")
    first = int((await link.text_content() or "").split()[-1])
    await link.tap()
    await page.locator(f".page:nth-child({first}) img").wait_for()
    for number in range(first, 6):
        await page.locator(f".page:nth-child({number})").scroll_into_view_if_needed()
        await page.locator(f".page:nth-child({number}) img").wait_for()

    async def all_opened() -> bool:
        rows = await stack.wiring.db.fetch_all("SELECT DISTINCT page FROM page_openings WHERE document = $1", document)
        return len(rows) == 5

    await until(all_opened, "every page told")
    await leader.tap("Ký nháy", "link")
    await page.get_by_role("heading", name="Ký nháy văn bản").wait_for()
    await page.locator(".stamped img").wait_for()
    await page.locator(".keys button:enabled").first.wait_for()
    await leader.shot("72-initials-sheet")
    await leader.enter(PIN, "Ký nháy văn bản này")
    await page.get_by_role("heading", name="Đã ký nháy").wait_for()
    await page.get_by_text("Chữ ký và dấu thời gian đã được ghi.").wait_for()
    await stack.until(document, "in_review", within_s=60)
    await page.goto(f"/#/d/{document}")
    await page.locator("summary").tap()
    await expect(page.locator("ol.route li.done")).to_have_count(1)
    await expect(page.locator("ol.route li.done strong")).to_have_text("Ký nháy")
    await leader.shot("73-initials-route")
    assert leader.complaints == []


async def test_initials_are_handed_to_a_colleague(people: People) -> None:
    """Whoever is leaving puts the step before somebody else; the document leaves his inbox."""
    leader, stack = people.leader, people.site.stack
    signer = await stack.person("Phạm Thị Ký", Role.LEADER, position="PHÓ CHỦ TỊCH")
    colleague = await stack.person("Vũ Văn Thay", Role.STAFF, position="Chuyên viên")
    steps = [{"person": leader.person, "initials": True}, {"person": signer.person}]
    answer = await stack.take_in(pdfs.plain(), [], signers=steps, number="772", subject="Về việc chuyển người ký nháy")
    document = answer.json()["id"]
    page = leader.page
    page.set_default_timeout(FAR_MS)
    await page.goto(f"/#/d/{document}")
    await page.locator("summary").tap()
    await page.get_by_role("link", name="Chuyển người khác ký").tap()
    await page.get_by_role("radio", name="Vũ Văn Thay").check(force=True)
    # Who signs later in the route cannot initial it, too.
    assert await page.get_by_text("Phạm Thị Ký").count() == 0
    await leader.shot("74-hand-initials")
    await leader.tap("Chuyển người khác ký")
    await page.get_by_text("Đã chuyển cho Vũ Văn Thay").wait_for()
    rows = await stack.wiring.db.fetch_all(
        "SELECT person FROM route_steps WHERE document = $1 AND position = 1", document
    )
    assert [row["person"] for row in rows] == [colleague.person]
    assert leader.complaints == []
