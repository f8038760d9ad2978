"""The clerk's screens of the exchange, against the whole product: register, return, and what a recall did at receivers."""

import json
import re
import zipfile

import pytest
from playwright.async_api import expect

from server.exchange.business import Revoke
from tests.fakes import pdfs
from tests.fakes.arrivals import arrived, left, send
from tests.web.conftest import People
from tests.web.test_screens import faultless

pytestmark = pytest.mark.asyncio(loop_scope="session")
SUBJECT = "Về việc phối hợp công tác phòng, chống thiên tai mẫu"


async def test_a_clerk_registers_an_arrival_and_answers_its_recall(people: People) -> None:
    """EXC-2, EXC-5: what is not valid needs a reason, the number is shown, a recall waits for the clerk."""
    clerk, stack = people.clerk, people.site.stack
    page = clerk.page
    exchange_id = await send(stack, pdfs.vietnamese(), subject=SUBJECT, number="7001")
    await page.goto("/#/")
    await page.get_by_role("link", name="Văn bản đến", exact=True).tap()
    await page.get_by_text(SUBJECT).tap()
    await page.get_by_text("Chữ ký không hợp lệ").wait_for()
    await page.locator("main img").first.wait_for()
    await clerk.shot("80-arrival")
    await faultless(clerk, "an arrival")
    await clerk.tap("Vào sổ")
    await expect(page.locator("#said")).to_contain_text("Chữ ký không hợp lệ")
    await page.get_by_label("Lý do").fill("Đã gọi điện xác nhận với nơi gửi")
    await clerk.tap("Vào sổ")
    await page.get_by_text(re.compile(r"Số đến \d+/20\d\d")).wait_for()
    async with page.expect_download() as saved:
        await clerk.tap("Tải hồ sơ")
    with zipfile.ZipFile(await (await saved.value).path()) as record:
        assert {"record.json", "log.pdf", "files/01.pdf"} <= set(record.namelist())
    async with page.expect_download() as saved:
        await clerk.tap("Báo cáo kiểm tra chữ ký (JSON)")
    assert json.loads((await (await saved.value).path()).read_text())["signatures"] == []
    await clerk.shot("80-arrival-registered")
    request = await arrived(
        stack, pdfs.plain(), asked=Revoke(document_id=exchange_id, reason="Sai thẩm quyền ban hành"), subject=SUBJECT, number="7001", kind="revoke"
    )  # fmt: skip
    await page.goto("/#/a")
    await page.locator(f"a[href='#/a/{request}']").wait_for()
    await clerk.shot("81-arrivals")
    await faultless(clerk, "arrivals")
    await page.locator(f"a[href='#/a/{request}']").tap()
    await page.get_by_text("Sai thẩm quyền ban hành").wait_for()
    await clerk.tap("Đồng ý")
    await page.get_by_text("Đã đồng ý").first.wait_for()
    row = await stack.wiring.db.fetch_one(
        "SELECT state FROM arrivals WHERE exchange_id = $1 AND kind = 'new'", exchange_id
    )
    assert row is not None
    assert row["state"] == "recalled"
    assert not clerk.complaints


async def test_receivers_of_a_sent_document_are_shown_with_what_its_recall_did(people: People) -> None:
    """EXC-5, EXC-6: states in words, the recall, and which phones removed it."""
    clerk, stack = people.clerk, people.site.stack
    page = clerk.page
    document = await people.taken(subject="Văn bản sẽ thu hồi", number="7003")
    await left(stack, document)
    await stack.qlvb.call("POST", f"/api/v1/documents/{document}/recall", expect=200, json={"reason": "Sai thẩm quyền"})
    await page.goto(f"/#/d/{document}")
    await page.get_by_text("đã bị thu hồi").wait_for()
    await page.get_by_role("link", name="Nơi nhận…").tap()
    await page.get_by_text("Đã yêu cầu thu hồi").wait_for()
    await page.get_by_text("Đã xóa khỏi thiết bị").first.wait_for()
    await clerk.shot("82-receivers")
    await faultless(clerk, "receivers")
    assert not clerk.complaints


async def test_a_clerk_finds_one_more_receiver_while_typing_and_sends(people: People) -> None:
    """Reference §6.6: without marks, at each keystroke; nothing is sent before it was asked."""
    clerk, stack = people.clerk, people.site.stack
    page = clerk.page
    assert await stack.wiring.agencies.synchronise() is not None
    document = await people.taken(subject="Văn bản gửi thêm nơi nhận", number="7004")
    await left(stack, document)
    await page.goto(f"/#/a/sent/{document}")
    search = page.get_by_role("searchbox", name="Gửi thêm")
    await search.press_sequentially("co quan mau ba")
    hit = page.get_by_role("button", name="Cơ quan Mẫu Ba")
    await hit.wait_for()
    await clerk.shot("83-further")
    await faultless(clerk, "a further receiver")
    await hit.tap()
    await page.get_by_role("heading", name="Gửi thêm: Cơ quan Mẫu Ba (X03)?").wait_for()
    await clerk.shot("84-further-asked")
    await clerk.tap("Không, quay lại")
    await expect(page.locator("dialog")).to_have_count(0)
    await expect(page.get_by_text("Gửi thêm văn bản")).to_have_count(0)
    await hit.tap()
    await page.locator("dialog .main").tap()
    await expect(page.locator("main div.line .who", has_text="Cơ quan Mẫu Ba")).to_have_count(1)
    await expect(search).to_have_value("")
    await clerk.shot("85-further-sent")
    await search.fill("X02")
    await page.get_by_role("button", name="Cơ quan Mẫu Hai").tap()
    await page.locator("dialog .main").tap()
    await expect(page.locator("#said")).to_contain_text("Nơi nhận này đã có")
    assert not clerk.complaints
