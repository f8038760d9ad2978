"""What the organisation seals alone, on the clerk's phone: what it is, of which document, and what was copied by whose decision (SIG-4, SIG-6)."""

import pytest
from playwright.async_api import expect

from server.identity.model import Role
from tests.fakes import pdfs
from tests.fakes.stack import PIN
from tests.web.conftest import Hand, People
from tests.web.test_screens import faultless

pytestmark = pytest.mark.asyncio(loop_scope="session")
COPY = {
    "form": "trich_sao",
    "of": "Nghị định số 30/2020/NĐ-CP ngày 05/3/2020 của Chính phủ",
    "original": "paper",
    "ordered_by": "Nguyễn Văn Mẫu, Chủ tịch",
}


async def sealed(clerk: Hand, document: str) -> None:
    page = clerk.page
    await page.goto(f"/#/d/{document}/sign")
    await page.locator(".stamped img").wait_for()
    await page.locator(".keys button:enabled").first.wait_for()
    await clerk.enter(PIN, "Đóng dấu văn bản này")
    await page.get_by_role("heading", name="Đã đóng dấu").wait_for()


async def test_annex_and_copy_say_what_they_are(people: People) -> None:
    clerk, stack = people.clerk, people.site.stack
    signer = await stack.person("Đặng Thị Ký", Role.LEADER)
    await stack.credential(signer, "Đặng Thị Ký")
    numbered = {"number": "781", "subject": "Về việc có phụ lục rời", "urgency": 2}
    main = (await stack.take_in(pdfs.vietnamese(), [signer], **numbered)).json()["id"]
    annex = (
        await stack.take_in(pdfs.vietnamese(), [], **{**numbered, "subject": "Phụ lục I. Danh sách mẫu"}, annex_of=main)
    ).json()["id"]
    second = await stack.take_in(pdfs.vietnamese(), [], **{**numbered, "subject": "Phụ lục II"}, annex_of=main)
    copied = {
        "number": "5",
        "notation": "TrS-UBND",
        "type_name": "Trích sao",
        "subject": "Quy định về công tác văn thư",
        "copy": COPY,
    }
    copy = (await stack.take_in(pdfs.scan(), [], **copied)).json()["id"]
    assert (await signer.sign(main)).status_code == 200
    await stack.until(main, "signed")
    page = clerk.page
    # AUT-8: the sheet names the annexes, and closes when they are others.
    await page.goto(f"/#/d/{main}/sign")
    await page.locator(".keys button:enabled").first.wait_for()
    assert await page.locator(".facts a").all_text_contents() == ["Phụ lục I. Danh sách mẫu", "Phụ lục II"]
    await clerk.shot("77-annexes-sheet")
    away = f"/api/v1/documents/{second.json()['id']}/recall"
    await stack.qlvb.call("POST", away, json={"reason": "Mẫu"}, expect=200)
    await page.locator(".summary").wait_for()
    assert page.url.endswith(f"#/d/{main}")
    await sealed(clerk, main)
    await stack.until(annex, "signed")
    await page.goto("/#/seal")
    await expect(page.locator(f'a.card[href="#/d/{annex}"] .meta strong').first).to_have_text("Phụ lục của")
    await expect(page.locator(f'a.card[href="#/d/{copy}"] .meta strong').first).to_have_text("Trích sao")
    await clerk.shot("78-sealed-alone-queue")
    await page.goto(f"/#/d/{copy}")
    await page.get_by_text(COPY["ordered_by"]).wait_for()
    await page.locator(".page img").first.wait_for()
    await clerk.shot("79-copy")
    await page.goto(f"/#/d/{copy}/sign")
    await page.locator(".stamped img").wait_for()
    assert COPY["of"] in await page.locator(".facts dl").inner_text()
    await clerk.shot("79-copy-sheet")
    await page.goto(f"/#/d/{main}")
    await clerk.tap("Phụ lục I. Danh sách mẫu", "link")
    await page.get_by_role("link", name="Phụ lục của 781/QĐ-UBND").wait_for()
    await page.locator(".page img").first.wait_for()
    await clerk.shot("80-annex")
    await faultless(clerk, "an annex")
    await page.goto(f"/#/d/{annex}/sign")
    await page.locator(".stamped img").wait_for()
    await clerk.shot("81-annex-sheet")
    await sealed(clerk, annex)
    await stack.until(main, "forwarded", "delivered", "accepted")
    await stack.qlvb.call("POST", f"/api/v1/documents/{copy}/recall", json={"reason": "Mẫu"}, expect=200)
    assert clerk.complaints == []
