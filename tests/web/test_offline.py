"""What a phone keeps: readable without a network, unreadable in its files, bounded, and gone on recall, log-out and revocation."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Response, async_playwright, expect

from server.identity.model import Role
from server.identity.service import operator
from tests.fakes import pdfs
from tests.fakes.stack import Caller
from tests.web.conftest import CONTROLLED, PHONE, Hand, Site, chromium, new_hand, own, until
from tests.web.test_screens import faultless

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUBJECT = "Về việc luân chuyển mật danh HẢI-ÂU-7719"
# Every byte that script finds in IndexedDB, buffers as they are.
STORED = """async () => {
  const found = [];
  const walk = (value) => {
    if (value instanceof ArrayBuffer) found.push(btoa(Array.from(new Uint8Array(value), (byte) => String.fromCharCode(byte)).join("")));
    else if (ArrayBuffer.isView(value)) walk(value.slice().buffer);
    else if (value instanceof CryptoKey) found.push(btoa(`${value.algorithm.name} ${value.extractable}`));
    else if (value && typeof value === "object") Object.entries(value).forEach(([name, part]) => { walk(name); walk(part); });
    else found.push(btoa(unescape(encodeURIComponent(String(value)))));
  };
  for (const { name } of await indexedDB.databases()) {
    const base = await new Promise((resolve) => { indexedDB.open(name).onsuccess = ({ target }) => resolve(target.result); });
    for (const store of base.objectStoreNames) {
      const all = base.transaction(store).objectStore(store);
      const [keys, values] = await Promise.all([all.getAllKeys(), all.getAll()].map((request) => new Promise((resolve) => { request.onsuccess = () => resolve(request.result); })));
      walk([name, store, keys, values]);
    }
    base.close();
  }
  return found;
}"""
KEPT = own("async () => (await $offline).kept(%r).then((found) => Boolean(found))")
ENTRIES = """async (store) => {
  const base = await new Promise((resolve) => { indexedDB.open("hoatoc-kept", 1).onsuccess = ({ target }) => resolve(target.result); });
  const request = base.transaction(store).objectStore(store).getAll();
  return new Promise((resolve) => { request.onsuccess = () => { base.close(); resolve(request.result.map((one) => one.path ?? one.name ?? "entry")); }; });
}"""


class Reader:
    """A leader's phone; `site.stack` gives it documents."""

    def __init__(self, hand: Hand) -> None:
        self.hand, self.page, self.site = hand, hand.page, hand.site

    async def taken(self, **metadata: Any) -> str:
        signer = Caller(self.site.stack.http)
        signer.person = self.hand.person
        answer = await self.site.stack.take_in(pdfs.vietnamese(), [signer], **{"subject": SUBJECT, **metadata})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def opened(self, **metadata: Any) -> str:
        """A document that was read, so that it and its first page are kept."""
        document = await self.taken(**metadata)
        await self.page.goto("/#/")
        await self.page.get_by_text(SUBJECT).first.wait_for()
        await self.page.goto(f"/#/d/{document}")
        await self.page.locator(".page img").first.wait_for()

        async def whole() -> bool:
            paths = await self.entries()
            return all(
                any(part in path for path in paths) for part in ("/inbox", f"{document}", "/manifest", "/pages/1")
            )

        await until(whole, "the copies")
        await self.page.evaluate(CONTROLLED)
        return document

    async def entries(self, store: str = "index") -> list[str]:
        return list(await self.page.evaluate(ENTRIES, store))

    async def cut(self) -> None:
        await self.hand.context.set_offline(True)
        # A page of its own start, as after the phone was put away.
        await self.page.goto("about:blank")

    async def restore(self) -> None:
        await self.hand.context.set_offline(False)


@pytest_asyncio.fixture(loop_scope="session")
async def reader(browser: Browser, site: Site) -> AsyncIterator[Reader]:
    made = Reader(await new_hand(browser, site))
    await made.hand.pair("Đỗ Văn Mẫu", Role.LEADER)
    yield made
    await made.hand.context.close()


async def test_inbox_and_opened_documents_are_read_without_a_network(reader: Reader) -> None:
    page = reader.page
    document = await reader.opened(number="510")
    await reader.cut()
    await page.goto("/#/")
    await page.get_by_text(SUBJECT).wait_for()
    await expect(page.locator("#offline")).to_contain_text("Bản đã lưu")
    await faultless(reader.hand, "inbox without a network")
    await reader.hand.shot("31-offline-inbox")
    await page.get_by_text(SUBJECT).tap()
    await page.locator(".page img").first.wait_for()
    await page.get_by_role("heading", name="510/QĐ-UBND").wait_for()
    await reader.hand.shot("32-offline-document")

    # Never a signature without a network: the sheet says so, and asks for no digit.
    await page.goto(f"/#/d/{document}/sign")
    await page.get_by_text("chữ ký không bao giờ chờ để gửi sau").wait_for()
    assert await page.get_by_role("region", name="Bàn phím mã PIN").count() == 0
    await faultless(reader.hand, "the sheet without a network")
    await reader.hand.shot("33-offline-sheet")
    assert await reader.entries("queue") == []

    # What was never opened is not there, and says why.
    await page.goto("/#/d/" + "0" * 32)
    await page.get_by_text("Không có mạng").wait_for()

    await page.goto("/#/")
    await page.get_by_text(SUBJECT).wait_for()
    await reader.restore()
    await reader.taken(number="511", subject="Văn bản đến trong lúc mất mạng")
    await page.get_by_text("Văn bản đến trong lúc mất mạng").wait_for(timeout=60_000)
    await expect(page.locator("#offline")).to_be_hidden()
    assert reader.hand.complaints == []


async def test_an_acknowledgement_waits_and_is_sent_once(reader: Reader) -> None:
    page, db = reader.page, reader.site.stack.wiring.db
    await reader.opened(number="512")
    await page.goto("/#/notices")
    await page.get_by_role("button", name="Đã biết").wait_for()
    await reader.cut()
    await page.goto("/#/notices")
    await page.get_by_role("button", name="Đã biết").tap()
    await page.get_by_text("Sẽ gửi khi có mạng").wait_for()
    await faultless(reader.hand, "an acknowledgement that waits")
    assert len(await reader.entries("queue")) == 1
    # Put away and taken out again without a network: it still waits.
    await page.reload()
    await page.get_by_text("Sẽ gửi khi có mạng").wait_for()
    assert len(await reader.entries("queue")) == 1

    asked: list[str] = []

    def count(answer: Response) -> None:
        # An answer, because a try of just before fails without the server having seen it.
        if answer.url.endswith("/acknowledgement"):
            asked.append(answer.url)

    reader.hand.context.on("response", count)
    await reader.restore()
    # Everything that may send it does so at the same moment: page, worker, the browser's event.
    await page.evaluate(
        own(
            "async () => { const { flush } = await $api; dispatchEvent(new Event('online')); await Promise.all([flush(), flush(), flush()]); }"
        )
    )
    assert await reader.entries("queue") == []
    await page.goto("/#/")
    await page.goto("/#/notices")
    await page.get_by_text("Đã ghi nhận").or_(page.locator(".acked")).first.wait_for()
    assert len(asked) == 1
    rows = await db.fetch_all(
        "SELECT 1 FROM audit_events WHERE kind = 'notice.acknowledged' AND actor = $1", reader.hand.person
    )
    assert len(rows) == 1


async def test_a_recall_purges_every_copy(reader: Reader) -> None:
    """While the client is open, by the feed; and a phone that was away purges before it shows anything."""
    page = reader.page
    for away in (False, True):
        document = await reader.opened(number="520")
        await page.goto("/#/me")
        if away:
            await reader.cut()
        await reader.site.stack.qlvb.call(
            "POST", f"/api/v1/documents/{document}/recall", json={"reason": "Sai thể thức"}
        )
        if away:
            await reader.restore()
            await page.goto("/#/me")

        async def gone(document: str = document) -> bool:
            return not any(document in path for path in await reader.entries())

        await until(gone, "purged")
        # An answer that was on its way does not bring it back.
        path = f"/api/v1/documents/{document}"
        await page.evaluate(
            own("async (path) => (await $offline).keep(path, new TextEncoder().encode('{}').buffer)"),
            path,
        )
        assert not await page.evaluate(KEPT % path)
        await reader.cut()
        await page.goto(f"/#/d/{document}")
        await page.get_by_text("Không có mạng").wait_for()
        assert await page.get_by_text(SUBJECT).count() == 0
        await reader.restore()
        await page.goto("/#/me")


async def test_nothing_is_left_after_log_out_or_revocation(reader: Reader, browser: Browser) -> None:
    page = reader.page
    await reader.opened(number="530")
    beside = await reader.hand.context.new_page()
    await beside.goto("/#/")
    await beside.get_by_text("530/").first.wait_for()

    async def log_out() -> None:
        await page.goto("/#/me")
        await reader.hand.tap("Đăng xuất")
        await page.get_by_role("dialog").get_by_role("button", name="Đăng xuất").tap()
        await page.get_by_role("heading", name="Đã đăng xuất").wait_for()
        # Every window shows it, so that none fills the copies again.
        await beside.get_by_role("heading", name="Đã đăng xuất").wait_for()
        for store in ("index", "bytes", "key", "queue", "gone"):
            assert await reader.entries(store) == [], store

    await log_out()
    # An answer that was on its way is kept until the next start alone.
    await page.evaluate(own("async () => (await $offline).keep('/api/v1/inbox', new ArrayBuffer(1))"))
    await page.reload()

    async def gone() -> bool:
        return not any([await reader.entries(store) for store in ("index", "bytes", "key")])

    await until(gone, "forgotten")
    await reader.hand.tap("Mở lại phiên")
    await reader.opened(number="532")
    await beside.reload()
    await beside.get_by_text("532/").first.wait_for()
    await page.goto("/#/me")
    await page.get_by_role("button", name="Đăng xuất").wait_for()
    await reader.hand.context.set_offline(True)
    await log_out()
    await reader.hand.context.set_offline(False)
    await beside.close()

    other = Reader(await new_hand(browser, reader.site))
    await other.hand.pair("Bùi Văn Mẫu", Role.LEADER)
    await other.opened(number="531")
    stack = reader.site.stack
    device = await other.page.evaluate(own("async () => (await (await $store).get('device')).device"))
    await stack.wiring.identity.revoke_device(operator(stack.organisation), device)
    await other.page.get_by_role("heading", name="Thiết bị đã bị thu hồi").wait_for()

    async def empty() -> bool:
        return not any([await other.entries(store) for store in ("index", "bytes", "key", "queue")])

    await until(empty, "everything gone before the person taps anything")
    await other.hand.context.close()


async def test_what_is_kept_is_bounded_and_grows_old(reader: Reader) -> None:
    """Oldest out, by number and by bytes; a week without the agency and nothing is readable any more."""
    page = reader.page
    await page.goto("/#/me")
    kept = await page.evaluate(
        own("""async () => {
          const { keep, kept, only, purge } = await $offline;
          const now = Date.now;
          const path = (name) => `/api/v1/documents/${name}/x`;
          let clock = now();
          Date.now = () => clock++;
          await keep(path("pack"), new ArrayBuffer(10), true);
          for (let at = 0; at < 410; at++) await keep(path(at), new ArrayBuffer(10));
          const many = [await kept(path(0)), await kept(path(9)), await kept(path(409))].map(Boolean);
          for (const name of ["a", "b", "c", "d", "e"]) await keep(path(name), new ArrayBuffer(9e6));
          const large = [await kept(path("a")), await kept(path("b")), await kept(path("e"))].map(Boolean);
          const pack = Boolean(await kept(path("pack")));
          clock += 7 * 864e5 + 1000;
          const old = Boolean(await kept(path("e")));
          await keep(path("new"), new ArrayBuffer(1));
          const meeting = "0".repeat(32);
          const paper = (name) => `/api/v1/meetings/${meeting}/papers/x/revisions/${name}/manifest`;
          for (const name of ["replaced", "newest"]) await keep(paper(name), new ArrayBuffer(1), true);
          await only(meeting, ["newest"]);
          const papers = [await kept(paper("replaced")), await kept(paper("newest"))].map(Boolean);
          await purge(meeting);
          Date.now = now;
          return { many, large, pack, old, papers };
        }""")
    )
    assert kept == {
        "many": [False, False, True], "large": [False, True, True], "pack": True, "old": False, "papers": [False, True],
    }  # fmt: skip
    assert await reader.entries() == ["/api/v1/documents/new/x"]


async def test_at_rest_nothing_can_be_read(site: Site, tmp_path: Path) -> None:
    """C9, A14: no title in what IndexedDB holds, nor in any file of the browser's profile; the key is not extractable. The scan is shown
    to find what is there: a word that the page itself stores in the clear.
    """
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=chromium(), args=["--no-sandbox"], base_url=site.origin, viewport=PHONE,
            has_touch=True, is_mobile=True, locale="vi-VN",
        )  # fmt: skip
        page = context.pages[0]
        page.set_default_timeout(20_000)
        reader = Reader(Hand(site, context, page))
        await reader.hand.pair("Vũ Văn Mẫu", Role.LEADER)
        document = await reader.opened(number="77190", notation="CHIM-MAU")
        stored = b"\x00".join(base64.b64decode(one) for one in await page.evaluate(STORED))
        await page.evaluate("() => localStorage.setItem('control', 'Về việc đối chứng KIEM-TRA-QUET')")
        await context.close()
    files = b"\x00".join(path.read_bytes() for path in (tmp_path / "profile").rglob("*") if path.is_file())

    def spelled(text: str) -> list[bytes]:
        return [
            text.encode(),
            text.encode("utf-16-le"),
            text.encode("unicode_escape"),
            base64.b64encode(text.encode())[:-4],
        ]

    for word in ("HẢI-ÂU-7719", "luân chuyển", "CHIM-MAU"):
        for form in spelled(word):
            assert form not in stored, word
            assert form not in files, word
    assert b"AES-GCM false" in stored
    assert document.encode() in stored
    assert any(form in files for form in spelled("KIEM-TRA-QUET"))
    assert stored.count(b"\xff\xd8\xff") == 0, "a page image in the clear"
