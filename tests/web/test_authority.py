"""Who signs for whom, on a leader's phone: a grant signed in the browser, a waiting step handed over under it, its end; and the images."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from server.identity.model import Role
from tests.fakes import stamp_pngs
from tests.web.conftest import Hand, People, until
from tests.web.test_screens import faultless

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def agreed(hand: Hand, deed: str) -> None:
    await hand.page.get_by_role("dialog").get_by_role("button", name=deed, exact=True).tap()


async def test_a_deputy_is_given_authority_and_a_waiting_step(people: People) -> None:
    """AUT-1, AUT-6, AUT-7: nobody lends a key; what the page will say stands on the screen before; the grant ends at a tap."""
    leader, stack = people.leader, people.site.stack
    page = leader.page
    deputy = await stack.person("Hồ Thị Mẫu", Role.LEADER, position="PHÓ CHỦ TỊCH")
    document = await people.taken(subject="Chuyển cấp phó ký thay", number="701")
    await page.goto("/#/me")
    await page.get_by_role("link", name="Giao quyền ký thay").tap()
    await page.get_by_role("link", name="Giao quyền", exact=True).tap()
    form = page.get_by_role("combobox", name="Người được giao")
    await form.select_option(deputy.person)
    given = page.get_by_role("button", name="Giao quyền", exact=True)
    assert await given.is_disabled()
    await page.get_by_label("Văn bản giao quyền").fill("Quyết định số 12/QĐ-UBND")
    await page.get_by_text("KT. CHỦ TỊCH", exact=True).wait_for()
    await leader.shot("50-authority-new")
    await faultless(leader, "giving authority")
    # TL. goes to heads of units and names the kinds of document (AUT-4).
    await page.get_by_role("radio", name="TL. Thừa lệnh").check(force=True)
    assert await form.locator(f"option[value='{deputy.person}']").count() == 0
    await expect(given).to_be_disabled()
    await page.get_by_role("radio", name="KT. Ký thay").check(force=True)
    await form.select_option(deputy.person)
    await given.tap()
    await agreed(leader, "Giao quyền")
    await page.get_by_text("Đang có hiệu lực").first.wait_for()
    await leader.shot("51-authority")
    await faultless(leader, "authority")
    held = [one for one in (await deputy.json("GET", "/api/v1/grants"))["items"] if one["holder"] == deputy.person]
    assert [(one["authority"], one["state"], one["urgency"]) for one in held] == [("KT. CHỦ TỊCH", "active", 4)]

    await page.goto(f"/#/d/{document}")
    await page.locator("summary").tap()
    await page.get_by_role("link", name="Chuyển người khác ký").tap()
    await page.get_by_role("radio", name="Hồ Thị Mẫu").check(force=True)
    await leader.shot("52-deputy")
    await faultless(leader, "a deputy")
    await leader.tap("Chuyển người khác ký")
    await page.get_by_role("heading", name="Hộp thư").wait_for()
    step = (await deputy.json("GET", f"/api/v1/documents/{document}"))["route"][0]
    assert (step["person"], step["authority"]) == (deputy.person, "KT. CHỦ TỊCH")

    await page.goto("/#/authority")
    mine = page.locator(".line").filter(has_text="Hồ Thị Mẫu")
    await mine.get_by_role("button", name="Thu hồi").tap()
    await agreed(leader, "Thu hồi")
    await mine.get_by_text("Đã thu hồi").wait_for()
    kept = await deputy.json("GET", f"/api/v1/grants/{held[0]['id']}")
    assert kept["state"] == "revoked"
    await page.goto("/#/")


async def test_the_image_of_a_signature_is_looked_at_and_kept(people: People, tmp_path: Path) -> None:
    """SIG-1: what is no PNG is refused on the phone, what the server refuses is said in its words, and the image can be taken back."""
    leader, stack = people.leader, people.site.stack
    page = leader.page
    good, wrong = tmp_path / "chu-ky.png", tmp_path / "chu-ky.jpg"
    good.write_bytes(stamp_pngs.signature())
    wrong.write_bytes(b"\xff\xd8\xff")
    await page.goto("/#/me")
    await page.get_by_role("link", name="Ảnh chữ ký của tôi").tap()
    put = page.get_by_role("button", name="Dùng ảnh này")
    await page.locator("input[type=file]").set_input_files(wrong)
    await page.get_by_role("alert").get_by_text("Ảnh PNG nền trong suốt").wait_for()
    assert await put.is_disabled()
    await page.locator("input[type=file]").set_input_files(good)
    await page.get_by_role("img", name="Chọn ảnh").wait_for()
    await leader.shot("53-image")
    await faultless(leader, "an image")
    await put.tap()
    await page.get_by_text("Đã lưu").wait_for()

    async def kept() -> bool:
        return bool(await stack.wiring.db.fetch_all("SELECT owner FROM stamp_images WHERE owner = $1", leader.person))

    async def gone() -> bool:
        return not await kept()

    assert await kept()
    await leader.tap("Bỏ ảnh đang dùng")
    await agreed(leader, "Bỏ ảnh đang dùng")
    await until(gone, "the image is taken back")
    await page.goto("/#/")
