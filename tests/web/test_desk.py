"""Two panes and the keyboard at a desk; several documents with one PIN; files and receipts verified; what happens while one reads."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from server.identity.model import Role
from server.web.routes import files
from tests.fakes.stack import PIN
from tests.web.conftest import PHONE, Hand, People, Site, new_hand
from tests.web.test_screens import faultless, refused
from tests.web.test_signing import opened

pytestmark = pytest.mark.asyncio(loop_scope="session")
REPOSITORY = Path(__file__).parents[2]
SAMPLES: dict[str, Any] = json.loads((REPOSITORY / "openapi" / "vectors" / "receipt.json").read_text())


@pytest_asyncio.fixture(loop_scope="session")
async def desk(people: People) -> AsyncIterator[Hand]:
    """The leader at a desk; afterwards a phone again."""
    await people.leader.page.set_viewport_size({"width": 1280, "height": 800})
    yield people.leader
    await people.leader.page.set_viewport_size({**PHONE})
    await people.leader.page.goto("/#/")


def current(page: Page) -> Any:
    return page.locator("#list a.card[aria-current]")


async def test_the_keyboard_walks_reads_and_leaves(people: People, desk: Hand) -> None:
    """j, k, arrows, Enter, Esc, s, r and the sheet of keys; the list stays, the focus is seen (WCAG 2.1.1, 2.1.4, 2.4.7)."""
    for number in ("501", "502"):
        await people.taken(number=number, subject=f"Việc ở bàn làm việc {number}", urgency=4)
    page = desk.page
    await page.goto("/#/")
    await page.reload()
    cards = page.locator("#list a.card")
    await cards.nth(1).wait_for()
    await page.get_by_text("Chọn một văn bản bên trái.").wait_for()
    await desk.shot("50-desk-empty")
    await faultless(desk, "desk, nothing open")
    await page.keyboard.press("j")
    await expect(cards.nth(0)).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(cards.nth(1)).to_be_focused()
    await expect(cards.nth(1)).to_have_css("outline-style", "solid")
    await page.keyboard.press("k")
    await expect(cards.nth(0)).to_be_focused()
    first = await cards.nth(0).get_attribute("href")
    await page.keyboard.press("Enter")
    await page.locator("#app .page img").first.wait_for()
    assert await current(page).get_attribute("href") == first
    await desk.shot("51-desk-document")
    await faultless(desk, "desk, a document")
    await page.keyboard.press("j")
    await expect(cards.nth(1)).to_be_focused()
    await page.keyboard.press("Enter")
    second = await cards.nth(1).get_attribute("href") or ""
    await expect(current(page)).to_have_attribute("href", second)
    # The letter does what the button does, once the document is there to be decided on.
    await page.locator(f'#app a[href="{second}/sign"]').wait_for()
    await page.keyboard.press("s")
    await page.locator("#app .stamped img").wait_for()
    await desk.shot("52-desk-sheet")
    await faultless(desk, "desk, the sheet")
    await page.keyboard.press("Escape")
    await page.locator(f'#app a[href="{second}/return"]').wait_for()
    await page.keyboard.press("r")
    await page.get_by_label("Lý do trả lại").fill("jjkk?")
    assert await page.get_by_label("Lý do trả lại").input_value() == "jjkk?"
    await page.keyboard.press("Escape")
    await page.locator("#app .reader").wait_for()
    await page.keyboard.press("Escape")
    await page.get_by_text("Chọn một văn bản bên trái.").wait_for()
    await page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Phím tắt")
    await dialog.wait_for()
    await desk.shot("53-desk-keys")
    await faultless(desk, "the sheet of keys")
    await dialog.get_by_role("checkbox").uncheck(force=True)
    await page.keyboard.press("Escape")
    await dialog.wait_for(state="detached")
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.press("j")
    assert await page.evaluate("document.activeElement === document.body")
    await page.keyboard.press("ArrowDown")
    await expect(cards.nth(0)).to_be_focused()
    await page.evaluate("localStorage.removeItem('keys')")
    assert desk.complaints == []
    assert await refused(desk) == []


async def test_a_clerk_seals_at_the_desk_without_a_mouse(people: People) -> None:
    """SIG-8 at the place where it is done: list, document, sheet, digits, all by keys."""
    document = await people.taken(number="503", subject="Đóng dấu tại bàn")
    deed = await opened(people.leader, document)
    await deed.wait_for()
    await people.leader.enter(PIN, "Ký văn bản này")
    await people.site.stack.until(document, "signed")
    clerk = people.clerk
    await clerk.page.set_viewport_size({"width": 1280, "height": 800})
    await clerk.page.goto("/#/seal")
    await clerk.page.reload()
    card = clerk.page.locator("#list a.card").filter(has_text="Đóng dấu tại bàn")
    await card.wait_for()
    for _ in range(20):
        await clerk.page.keyboard.press("ArrowDown")
        if await card.evaluate("e => e === document.activeElement"):
            break
    await clerk.page.keyboard.press("Enter")
    await clerk.page.locator("#app .page img").first.wait_for()
    await clerk.page.keyboard.press("s")
    await clerk.page.locator("#app .keys button:enabled").first.wait_for()
    await clerk.page.keyboard.type(PIN)
    await clerk.shot("54-desk-seal")
    await clerk.page.keyboard.press("Enter")
    await clerk.page.get_by_role("heading", name="Đã đóng dấu").wait_for()
    await card.wait_for(state="detached")
    await clerk.page.set_viewport_size({**PHONE})
    await clerk.page.goto("/#/seal")
    assert clerk.complaints == []


def _place(lines: list[str], text: str) -> int:
    return next(place for place, line in enumerate(lines) if text in line)


async def test_several_are_signed_with_one_pin_each_agreed_to(people: People) -> None:
    """SIG-7: a consent and an outcome for each; what was not agreed to stays; one wrong PIN signs none of them."""
    leader, stack = people.leader, people.site.stack
    documents = [
        await people.taken(number=str(number), subject=f"Ký theo lô {number}", urgency=3) for number in (511, 512, 513)
    ]
    page = leader.page
    await page.goto("/#/")
    await page.reload()
    await page.get_by_text("Ký theo lô 513").wait_for()
    await leader.tap("Chọn nhiều văn bản")
    for number in (511, 512, 513):
        await page.locator("label.pick").filter(has_text=f"Ký theo lô {number}").tap()
    await leader.shot("55-choose")
    await faultless(leader, "choosing")
    # Sheets are opened beside each other, and shown in their order: the slowest comes first here.
    slow, listed = asyncio.Event(), await page.locator("label.pick").filter(has_text="Ký theo lô").all_inner_texts()
    first, *others = sorted(documents, key=lambda one: _place(listed, f"Ký theo lô {511 + documents.index(one)}"))

    async def last(route: Route) -> None:
        async with asyncio.timeout(60):
            await slow.wait()
        await route.continue_()

    await page.route(f"**/documents/{first}/sheet", last)
    async with AsyncExitStack() as answered:
        for one in others:
            await answered.enter_async_context(page.expect_response(f"**/documents/{one}/sheet", timeout=60_000))
        await leader.tap("Xem và ký (3)")
    assert await page.locator("article.card:visible").count() == 0
    slow.set()
    await page.get_by_role("button", name="Ký 0 văn bản").wait_for(timeout=60_000)
    assert await page.locator("article.card:visible").count() == 3
    await page.unroute_all()
    assert await page.get_by_role("button", name="Ký 0 văn bản").is_disabled()
    for number in (511, 513):
        await page.get_by_role("checkbox", name=f"Tôi đồng ý ký văn bản này {number}/QĐ-UBND").check(force=True)
    await leader.shot("56-batch")
    await faultless(leader, "a batch")
    await leader.tap("Ký 2 văn bản")
    await page.locator(".keys button:enabled").first.wait_for()
    await leader.shot("57-batch-pin")
    await faultless(leader, "a batch's PIN")
    await leader.enter("31415926", "Ký 2 văn bản")
    await page.get_by_text("Sai mã PIN. Còn 2 lần thử.").wait_for(timeout=60_000)
    assert [await stack.state(one) for one in documents] == ["in_review"] * 3
    await leader.enter(PIN, "Ký 2 văn bản")
    await page.get_by_role("heading", name="Kết quả").wait_for()
    await expect(page.locator("li.done")).to_have_count(2)
    await leader.shot("58-batch-done")
    await faultless(leader, "a batch's outcome")
    for one in (documents[0], documents[2]):
        await stack.until(one, "signed")
    assert await stack.state(documents[1]) == "in_review"

    clerk = people.clerk
    await clerk.page.goto("/#/seal")
    await clerk.page.reload()
    await clerk.tap("Chọn nhiều văn bản")
    for number in (511, 513):
        await clerk.page.locator("label.pick").filter(has_text=f"Ký theo lô {number}").tap()
    await clerk.tap("Xem và đóng dấu (2)")
    await clerk.page.get_by_role("button", name="Đóng dấu 0 văn bản").wait_for(timeout=60_000)
    for number in (511, 513):
        await clerk.page.get_by_role("checkbox", name=f"Tôi đồng ý đóng dấu văn bản này {number}/QĐ-UBND").check(
            force=True
        )
    await clerk.tap("Đóng dấu 2 văn bản")
    await clerk.page.locator(".keys button:enabled").first.wait_for()
    await clerk.enter(PIN, "Đóng dấu 2 văn bản")
    await expect(clerk.page.locator("li.done")).to_have_count(2)
    for one in (documents[0], documents[2]):
        await stack.until(one, "sealed", "forwarded", "delivered", "accepted")


async def test_the_sheet_closes_when_the_document_goes(people: People) -> None:
    """Recalled while the sheet is open: it closes, nothing is signed, no try is charged (journey: replaced while reading)."""
    leader, stack = people.leader, people.site.stack
    document = await people.taken(number="514", subject="Bị thu hồi khi đang xem")
    await opened(leader, document)
    await stack.qlvb.call("POST", f"/api/v1/documents/{document}/recall", expect=200, json={"reason": "Gửi nhầm"})
    await leader.page.get_by_text("Văn bản đã bị thu hồi").wait_for(timeout=60_000)
    assert await leader.page.locator(".keys").count() == 0
    tries = await leader.call("GET", f"/api/v1/me/credentials/{leader.credential}/tries")
    assert tries["tries_left"] == 3


async def test_the_ladder_says_what_comes(browser: Browser, site: Site) -> None:
    """A6: the signer counts three wrong PINs and locks; opened anew the sheet still says so. Destroyed, a day later, is an answer made here."""
    hand = await new_hand(browser, site)
    await hand.pair("Đỗ Văn Mẫu", Role.LEADER)
    await hand.enrol("Đỗ Văn Mẫu")
    document = await People(site, hand, hand).taken(number="515", subject="Thang khóa PIN")
    await opened(hand, document)
    enabled = hand.page.locator(".keys button:enabled")
    for shown in ("Sai mã PIN. Còn 2 lần thử.", "Còn 1 lần, sau đó khóa tạm thời", "Mã PIN bị khóa đến"):
        await enabled.first.wait_for()
        await hand.enter("31415926", "Ký văn bản này")
        await hand.page.get_by_text(shown).wait_for()
    await expect(enabled).to_have_count(0)
    tries = await hand.call("GET", f"/api/v1/me/credentials/{hand.credential}/tries")
    until = datetime.fromisoformat(tries["locked_until"])
    assert timedelta(hours=2) < until - datetime.now(UTC) <= timedelta(hours=3)
    await hand.shot("59-locked")
    await hand.page.reload()
    await hand.page.get_by_text("Mã PIN bị khóa đến").wait_for()
    await expect(enabled).to_have_count(0)
    assert await site.stack.state(document) == "in_review"

    async def none_left(route: Route) -> None:
        await route.fulfill(json={"tries_left": 0, "locked_until": None})

    await hand.page.route("**/tries", none_left)
    await hand.page.reload()
    await hand.page.get_by_text("Khóa ký đã bị hủy sau 9 lần sai mã PIN").wait_for()
    await expect(enabled).to_have_count(0)
    await hand.shot("60-destroyed")
    await faultless(hand, "a destroyed key")
    await hand.context.close()


async def test_a_receipt_is_verified_link_by_link(people: People) -> None:
    """A4, B11: the published receipt passes in the browser's own code, and every broken one fails where WebCrypto can see it."""
    page = people.leader.page
    found: list[Any] = await page.evaluate(
        "async ([later, receipts, key]) => { const { $verify: { verifyReceipt } } = await import(later); const found = [];"
        " for (const one of receipts) found.push((await verifyReceipt(one, key)).filter(({ ok }) => ok === false).map(({ name }) => name)); return found; }",
        [
            next(path for path in files() if "/later-" in path),
            [SAMPLES["receipt"]] + [{**SAMPLES["receipt"], **one["change"]} for one in SAMPLES["invalid"]],
            SAMPLES["log_key"],
        ],
    )
    assert found[0] == []
    names = {"head": "head", "inclusion": "place", "event": "event", "approval": "approval"}
    for one, failed in zip(SAMPLES["invalid"], found[1:], strict=True):
        # What is wrong inside the CMS alone needs roots and a reader of certificates: the server and `hoatoc verify` have them.
        assert names[one["step"]] in failed if one["step"] in names else failed == [], one["why"]


async def test_files_are_verified_on_the_screen(people: People, tmp_path: Path) -> None:
    """SW-7: the signed file and its receipt together; one changed byte, and neither passes."""
    leader, stack = people.leader, people.site.stack
    document = await people.taken(number="516", subject="Kiểm tra tệp")
    await opened(leader, document)
    await leader.enter(PIN, "Ký văn bản này")
    await stack.until(document, "signed")
    pdf = (await stack.qlvb.call("GET", f"/api/v1/documents/{document}/files/signed", expect=200)).content
    listed = await stack.qlvb.json("GET", f"/api/v1/documents/{document}/receipts")
    path = f"/api/v1/documents/{document}/receipts/{listed[0]['id']}"
    deadline = time.monotonic() + 90
    while (receipt := await stack.qlvb.call("GET", path)).status_code == 409:  # until the log's next head
        assert time.monotonic() < deadline, receipt.text
        await asyncio.sleep(0.2)
    assert receipt.json()["revision"] == hashlib.sha256(pdf).hexdigest()
    (tmp_path / "signed.pdf").write_bytes(pdf)
    (tmp_path / "receipt.json").write_bytes(receipt.content)
    broken = bytearray(pdf)
    broken[len(pdf) // 3] ^= 1
    (tmp_path / "broken.pdf").write_bytes(broken)
    page = leader.page
    await page.goto("/#/me")
    await page.get_by_role("link", name="Kiểm tra tệp").tap()
    chooser = page.locator("input[type=file]")
    await chooser.set_input_files([tmp_path / "signed.pdf", tmp_path / "receipt.json"])
    await page.get_by_text("Tệp đúng là bản mà biên nhận ghi").wait_for(timeout=60_000)
    await page.locator(".verdict", has_text="Khớp với nhật ký").wait_for()
    await page.locator(".verdict", has_text="Hợp lệ").wait_for(timeout=60_000)
    await leader.shot("61-verified")
    await faultless(leader, "verified")
    (tmp_path / "grown.pdf").write_bytes(pdf + b"1 0 obj\nnull\nendobj\nstartxref\n0\n%%EOF\n")
    await chooser.set_input_files([tmp_path / "grown.pdf", tmp_path / "receipt.json"])
    await page.get_by_text("Tệp là bản trong biên nhận và có thêm phần sau").wait_for(timeout=60_000)
    await chooser.set_input_files([tmp_path / "broken.pdf", tmp_path / "receipt.json"])
    await expect(page.locator(".verdict", has_text="Không hợp lệ")).to_have_count(2, timeout=60_000)
    await leader.shot("62-not-valid")
    (tmp_path / "notes.txt").write_text("x")
    await chooser.set_input_files(tmp_path / "notes.txt")
    await page.get_by_text("Không phải tệp PDF hay biên nhận").wait_for()
    assert leader.complaints == []
