"""Reports on a phone: numbers in words, pictures of the server's, a table; and the applicant's page in a browser without script."""

from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser, expect

from server.identity.model import Role
from tests.fakes import pdfs
from tests.web.conftest import PHONE, Site, new_hand
from tests.web.test_layout import judged
from tests.web.test_screens import faultless

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def overdue(site: Site, document: str) -> None:
    await site.stack.wiring.db.transact(
        lambda tx: tx.execute("UPDATE documents SET state_due_us = 1 WHERE id = $1", document)
    )


async def test_a_head_reads_the_numbers_and_an_applicant_a_dossier(browser: Browser, site: Site) -> None:
    stack = site.stack
    hand = await new_hand(browser, site)
    page = hand.page
    await hand.pair("Lý Văn Báo Cáo Mẫu", Role.LEADER)
    # Two leaders' documents past their time, one of them with a long name.
    for name in ("Hồ Thị Chậm Mẫu", "Nguyễn Trần Đặng Phạm Thị Mẫu Rất Dài Tên"):
        late = await stack.person(name, Role.LEADER, position="PHÓ CHỦ TỊCH ỦY BAN NHÂN DÂN XÃ MẪU")
        taken = await stack.take_in(pdfs.plain(), [late])
        assert taken.status_code == 201, taken.text
        await overdue(site, taken.json()["id"])
    await page.goto("/#/me")
    await page.get_by_role("link", name="Báo cáo", exact=True).tap()
    pictures = page.locator("img.chart")
    await expect(pictures).to_have_count(5, timeout=60_000)
    drawn = "() => [...document.querySelectorAll('img.chart')].every((one) => one.complete && one.naturalWidth > 300)"
    await page.wait_for_function(drawn, timeout=60_000)
    await expect(page.get_by_text("× 7.000 đ")).to_be_visible()
    assert await pictures.nth(0).get_attribute("alt") == "Văn bản phát hành"
    await faultless(hand, "reports")
    assert await judged(page) == []
    await hand.shot("80-reports")
    await pictures.nth(4).scroll_into_view_if_needed()
    await hand.shot("81-reports-charts")
    async with page.expect_download(timeout=60_000) as saved:
        await hand.tap("Tải bảng số liệu (CSV)")
    table = (await (await saved.value).path()).read_bytes()
    assert table.startswith("\ufeffChỉ tiêu,".encode())
    # A period that is none is refused in words, and the next one is shown again.
    await page.get_by_label("Từ").fill(f"{datetime.now(UTC).year + 2}-01-01")
    await expect(page.get_by_role("alert")).to_be_visible(timeout=60_000)
    await page.get_by_label("Từ").fill(f"{datetime.now(UTC).year}-01-01")
    await expect(pictures).to_have_count(5, timeout=60_000)
    assert [one for one in hand.complaints if "400" not in one] == []
    await hand.context.close()

    system = await stack.service("Một cửa mẫu", "onestop:write")
    unit = {
        "name": "Phòng Kinh tế, Hạ tầng và Đô thị",
        "name_en": "Economy and infrastructure",
        "responsible": [hand.person],
    }
    await system.call("PUT", "/api/v1/onestop/units/kt", expect=204, json=unit)
    body = {"reference": "H01-1", "step": "processing", "unit": "kt", "promised": "2026-01-05", "handled": True}
    link = (await system.json("POST", "/api/v1/onestop/dossiers", expect=201, json=body))["link"]
    context = await browser.new_context(viewport=PHONE, java_script_enabled=False)
    applicant = await context.new_page()
    requests: list[str] = []
    applicant.on("request", lambda request: requests.append(request.url))
    await applicant.goto(site.origin + link[link.index("/f/") :])
    await expect(applicant.get_by_text("Quá hạn trả kết quả")).to_be_visible()
    await expect(applicant.get_by_role("main")).to_contain_text("05/01/2026")
    assert [one for one in requests if not one.endswith("/favicon.ico")] == requests[:1]
    size = await applicant.evaluate(
        "() => [document.documentElement.scrollWidth, getComputedStyle(document.body).margin]"
    )
    assert size == [PHONE["width"], "0px"], "the policy lets its style in, and nothing is wider than the phone"
    # The narrowest phone with text twice as large: a date stays on one line.
    await applicant.set_viewport_size({"width": 320, "height": 640})
    lines = """() => {
      document.documentElement.style.fontSize = "200%";
      const date = [...document.querySelectorAll("dd")].find((one) => one.textContent === "05/01/2026");
      return [document.documentElement.scrollWidth, date.getBoundingClientRect().height < 1.9 * parseFloat(getComputedStyle(date).fontSize)];
    }"""
    assert await applicant.evaluate(lines) == [320, True]
    await context.close()
