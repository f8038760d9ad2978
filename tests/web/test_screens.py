"""Every screen on a phone: hostile texts stay texts, nothing is clipped or too small, and each deed does what it says."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser

from server.identity.model import Role
from server.identity.service import operator
from tests.fakes import pdfs
from tests.fakes.stack import PIN
from tests.shared import SHARED
from tests.web.conftest import CONTROLLED, Hand, People, Site, new_hand, own, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'--></title>{{7*7}}javascript:alert(3)"
# Right-to-left override and isolates, an invisible mark: what could make "từ chối" read as something else.
DIRECTIONS = "Duyệt \u202egnôhk\u202c \u2067abc\u2069 \u200fxong"

# What a script can find: text or controls that leave their box, targets below 44 px (WCAG 2.5.5), pages wider than the screen.
FAULTS = """() => {
  const found = [];
  const name = (e) => `${e.tagName}.${e.className} “${(e.textContent || e.ariaLabel || '').trim().slice(0, 40)}”`;
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) found.push(`page ${document.documentElement.scrollWidth} > ${wide}`);
  for (const e of document.querySelectorAll('body *')) {
    const box = e.getBoundingClientRect();
    const style = getComputedStyle(e);
    if (!box.width || !box.height || style.visibility === 'hidden' || e.closest('.unseen, .skip, svg, .pages, noscript')) continue;
    if (box.right > wide + 0.5 || box.left < -0.5) found.push(`outside: ${name(e)} ${box.left}–${box.right}`);
    if (e.scrollWidth > e.clientWidth + 1 && style.overflowX !== 'visible' && style.display !== 'inline') found.push(`clipped: ${name(e)}`);
    if (e.matches('a, button, summary, input, textarea') && (box.height < 44 || box.width < 44)) found.push(`small: ${name(e)} ${box.width}×${box.height}`);
  }
  return found;
}"""


async def faultless(hand: Hand, where: str) -> None:
    found = await hand.page.evaluate(FAULTS)
    assert found == [], f"{where}: {found}"


async def refused(hand: Hand) -> list[str]:
    return list(await hand.page.evaluate("window.refusals"))


async def test_hostile_texts_stay_texts(people: People, browser: Browser) -> None:
    """C9, C17: markup and directions in every field that comes from outside; no script, no refusal by the policy, no request elsewhere."""
    leader = people.leader
    document = await people.taken(
        subject=f"{HOSTILE} {DIRECTIONS}",
        type_name=HOSTILE[:90],
        promulgation_place=HOSTILE[:90],
        notation="<b>QĐ</b>&amp;",
        number="<i>1</i>",
    )
    dialogs: list[str] = []
    leader.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await leader.page.goto("/#/")
    await leader.page.get_by_text("<img src=x onerror=alert(1)>").first.wait_for()
    await leader.page.goto(f"/#/d/{document}")
    await leader.page.locator(".page img").first.wait_for()
    await leader.page.locator("summary").tap()
    shown = await leader.page.locator(".summary .subject").text_content() or ""
    assert shown.startswith(HOSTILE)
    assert not set(shown) & set("\u202e\u202c\u2067\u2069\u200f")
    assert await leader.page.locator("main img").count() == await leader.page.locator(".page img").count()
    await faultless(leader, "a hostile document")
    await leader.shot("10-hostile")
    await leader.page.goto(f"/#/d/{document}/sign")
    await leader.page.locator(".stamped img").first.wait_for()
    await leader.page.goto("/#/notices")
    await leader.page.get_by_text("<img src=x onerror=alert(1)>").first.wait_for()

    stranger = await new_hand(browser, people.site)
    await stranger.pair("<script>alert(1)</script>", Role.STAFF, position=HOSTILE[:150])
    await stranger.page.goto("/#/me")
    await stranger.page.get_by_text("<script>alert(1)</script>").wait_for()
    await faultless(stranger, "a hostile person")
    for one in (leader, stranger):
        assert await refused(one) == []
        assert one.complaints == []
    assert dialogs == []
    await stranger.context.close()


async def test_the_policy_stops_what_would_set_markup(hand: Hand) -> None:
    """The refusals of the test above are counted by something that does count (C9)."""
    await hand.page.goto("/")
    stopped = await hand.page.evaluate(
        "async () => { const tries = [() => { document.body.innerHTML = '<p>x'; }, () => navigator.serviceWorker.register('/assets/js/app.js'),"
        " () => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s); }];"
        " return Promise.all(tries.map(async (act) => { try { await act(); return 'done'; } catch (error) { return error.name; } })); }"
    )
    assert stopped == ["TypeError", "TypeError", "TypeError"]
    assert await hand.page.evaluate("window.ran") is None
    assert len(await refused(hand)) >= 3


async def test_the_inbox_follows_what_happens(people: People) -> None:
    """A new document appears by itself, above less urgent ones; what is recalled leaves the screen."""
    page = people.leader.page
    await people.taken(number="301", subject="Việc thường ngày", urgency=0)
    await page.goto("/#/")
    await page.get_by_text("Việc thường ngày").wait_for()
    document = await people.taken(number="302", subject="Việc hỏa tốc mới đến", urgency=3)
    await page.get_by_text("Việc hỏa tốc mới đến").wait_for(timeout=60_000)
    order = await page.locator(".card .subject").all_text_contents()
    assert order.index("Việc hỏa tốc mới đến") < order.index("Việc thường ngày")
    await people.leader.shot("02-inbox")
    await page.get_by_role("link").filter(has_text="Việc hỏa tốc mới đến").tap()
    await page.locator(".page img").first.wait_for()
    await people.site.stack.qlvb.call(
        "POST", f"/api/v1/documents/{document}/recall", expect=200, json={"reason": "Gửi nhầm"}
    )
    await page.get_by_text("Văn bản đã bị thu hồi").wait_for(timeout=60_000)
    assert await page.locator(".page").count() == 0


async def test_returning_needs_a_reason(people: People) -> None:
    leader, stack = people.leader, people.site.stack
    document = await people.taken(number="303", subject="Về việc cần sửa lại")
    await leader.page.goto(f"/#/d/{document}")
    await leader.tap("Trả lại", "link")
    await leader.tap("Trả lại văn bản")
    await leader.page.get_by_text("Hãy ghi lý do.").wait_for()
    assert await stack.state(document) == "in_review"
    await leader.page.get_by_label("Lý do trả lại").fill("Thiếu phụ lục 2")
    await leader.shot("11-return")
    await leader.tap("Trả lại văn bản")
    await leader.page.get_by_role("heading", name="Hộp thư").wait_for()
    assert await stack.until(document, "returned") == "returned"


async def test_a_notice_is_acknowledged(people: People) -> None:
    leader, stack = people.leader, people.site.stack
    await people.taken(number="304", subject="Về việc họp đột xuất", urgency=2)
    await leader.page.goto("/#/notices")
    await leader.page.reload()
    line = leader.page.locator("article").filter(has_text="họp đột xuất")
    await line.get_by_role("button").tap()
    await line.get_by_text("Đã xác nhận").wait_for()
    await leader.shot("12-notices")
    rows = await stack.wiring.db.fetch_all(
        "SELECT acknowledged_us FROM notices WHERE acknowledged_us IS NOT NULL AND person = $1", leader.person
    )
    assert len(rows) == 1


async def test_pages_come_and_go_with_the_screen(people: People) -> None:
    """117 pages: every place has its size at once, images are few at any time, the counter tells the page."""
    leader = people.leader
    sample = SHARED / "samples" / "pdf" / "05-117-pages-linearized.pdf"
    assert sample.exists(), "../shared/samples is needed"
    document = await people.taken(sample.read_bytes(), number="305", subject="Văn bản 117 trang")
    await leader.page.goto(f"/#/d/{document}")
    await leader.page.locator(".page img").first.wait_for(timeout=60_000)
    assert await leader.page.locator(".page").count() == 117
    height = await leader.page.evaluate("document.querySelector('main').scrollHeight")
    for page in (20, 60, 117):
        await leader.page.evaluate(
            "n => document.querySelectorAll('.page')[n - 1].scrollIntoView({block: 'center'})", page
        )
        await leader.page.get_by_text(f"Trang {page}/117", exact=True).wait_for()
        await leader.page.locator(".page").nth(page - 1).locator("img").wait_for()
        await asyncio.sleep(0.2)
        assert await leader.page.locator(".page img").count() <= 8
    assert await leader.page.evaluate("document.querySelector('main').scrollHeight") == height
    await leader.shot("13-pages")
    wide = "document.querySelector('.pages').getBoundingClientRect().width"
    before = await leader.page.evaluate(wide)
    await leader.tap("Phóng to")
    assert await leader.page.evaluate(wide) == pytest.approx(before * 1.5)
    await leader.page.locator('.page img[width="1080"]').first.wait_for()


async def test_two_fingers_enlarge_what_lies_between_them(people: People) -> None:
    leader = people.leader
    document = await people.taken(number="309", subject="Xem gần")
    await leader.page.goto(f"/#/d/{document}")
    await leader.page.locator(".page img").first.wait_for()
    touch = await leader.context.new_cdp_session(leader.page)
    place = (
        "([x, y]) => { const box = document.querySelector('.page').getBoundingClientRect();"
        " return [(x - box.left) / box.width, (y - box.top) / box.height, box.width]; }"
    )
    before = await leader.page.evaluate(place, [200, 500])

    async def fingers(kind: str, *points: tuple[int, int]) -> None:
        given = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        await touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": given})

    await fingers("touchStart", (150, 500), (250, 500))
    for wider in range(10, 60, 10):
        await fingers("touchMove", (150 - wider, 500), (250 + wider, 500))
        await asyncio.sleep(0.05)  # the browser gathers moves of one frame
    await fingers("touchEnd")
    after = await leader.page.evaluate(place, [200, 500])
    assert after[2] == pytest.approx(2 * before[2], rel=0.02)
    assert after[:2] == pytest.approx(before[:2], abs=0.02)
    assert await leader.page.evaluate("visualViewport.scale") == pytest.approx(1)
    left = await leader.page.evaluate("document.querySelector('.summary').getBoundingClientRect().left")
    assert left == pytest.approx(0, abs=1)
    await leader.shot("18-enlarged")


async def test_nothing_moves_while_a_document_comes_in(people: People, browser: Browser) -> None:
    """Images arrive late and one after another; what stands on the screen stays where it is."""
    leader = people.leader
    document = await people.taken(number="308", subject="Văn bản đến chậm")

    async def late(route: Any) -> None:
        await asyncio.sleep(0.4)
        await route.continue_()

    await leader.page.route("**/pages/*?width=*", late)
    await leader.page.goto("/#/")
    await leader.page.get_by_text("Văn bản đến chậm").wait_for()
    await leader.page.goto(f"/#/d/{document}")
    await leader.page.locator(".page").first.wait_for()
    await leader.page.evaluate(
        "() => { window.moved = 0; new PerformanceObserver((list) => { for (const one of list.getEntries()) window.moved += one.value; })"
        ".observe({type: 'layout-shift'}); }"
    )
    await leader.page.locator(".page img").first.wait_for()
    await asyncio.sleep(0.3)
    assert await leader.page.evaluate("window.moved") == 0
    await leader.page.unroute("**/pages/*?width=*")


async def test_the_pin_is_changed(people: People) -> None:
    """The old one no longer signs, the new one does; afterwards the old one is restored for the other tests."""
    clerk = people.clerk
    new = "83051946"
    for old, following in ((PIN, new), (new, PIN)):
        await clerk.page.goto("/#/me")
        await clerk.tap("Đổi mã PIN", "link")
        await clerk.page.get_by_text("Nhập mã PIN hiện tại").wait_for()
        await clerk.enter(old, "Tiếp tục")
        await clerk.page.get_by_text("Chọn mã PIN mới").wait_for()
        if old == PIN:
            await clerk.enter("123456", "Tiếp tục")
            await clerk.page.get_by_text("quá dễ đoán").wait_for()
        await clerk.enter(following, "Tiếp tục")
        await clerk.page.get_by_text("Nhập lại mã PIN").wait_for()
        await clerk.enter(following, "Tiếp tục")
        await clerk.page.get_by_text("Đã đổi mã PIN").wait_for()
        await clerk.page.get_by_role("heading", name="Của tôi", exact=True).wait_for()
    kinds = [
        row["kind"]
        for row in await people.site.stack.wiring.db.fetch_all(
            "SELECT kind FROM audit_events WHERE kind = 'credential.pin_changed'"
        )
    ]
    assert len(kinds) == 2


async def test_the_keys_cannot_be_read_and_no_answer_is_kept(people: People) -> None:
    """Non-extractable keys; caches hold the shell alone, offline too (C9, A14)."""
    leader = people.leader
    document = await people.taken(number="306", subject="Về việc không lưu vết")
    await leader.page.goto(f"/#/d/{document}")
    await leader.page.locator(".page img").first.wait_for()
    await leader.page.evaluate(CONTROLLED)
    found: dict[str, Any] = await leader.page.evaluate(
        own("""async () => {
      const store = await $store;
      const device = await store.get('device');
      const refused = [];
      for (const name of ['session', 'approval'])
        for (const format of ['jwk', 'pkcs8']) await crypto.subtle.exportKey(format, device[name].key).catch((error) => refused.push(error.name));
      const kept = [];
      for (const name of await caches.keys()) for (const request of await (await caches.open(name)).keys()) kept.push(new URL(request.url).pathname);
      return {refused, kept, stored: JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage}), algorithms: [device.session.key.usages, device.approval.key.usages]};
    }""")
    )
    assert found["refused"] == ["InvalidAccessError"] * 4
    assert found["kept"]
    assert not any(path.startswith("/api") for path in found["kept"])
    assert "không lưu vết" not in found["stored"]
    await leader.context.set_offline(True)
    await leader.page.goto("/#/")
    await leader.page.reload()
    await leader.page.get_by_text("Bản đã lưu").wait_for()
    await leader.shot("14-offline")
    await leader.context.set_offline(False)
    await leader.page.get_by_text("Bản đã lưu").wait_for(state="hidden")
    await leader.page.get_by_text("Về việc không lưu vết").wait_for()


async def test_tokens_rotate_and_a_session_is_revived(browser: Browser, site: Site) -> None:
    """An ended access token is refreshed, an ended family revived by the approval key, a revoked device shown as such (C4)."""
    hand = await new_hand(browser, site)
    await hand.pair("Lê Văn Mẫu", Role.STAFF, position="Chuyên viên")
    await hand.page.goto("/#/")
    await hand.page.get_by_text("Không có văn bản nào chờ bạn").wait_for()
    identity, db = site.stack.wiring.identity, site.stack.wiring.db
    tokens = own("async () => (await $store).get('tokens')")
    first = await hand.page.evaluate(tokens)
    await hand.page.evaluate(
        own("async () => { const s = await $store; await s.put('tokens', {...await s.get('tokens'), ends: 0}); }")
    )
    await hand.page.reload()

    async def renewed() -> Any:
        found = await hand.page.evaluate(tokens)
        return found if found["access"] != first["access"] else None

    second = await until(renewed, "an access token of this start")
    await hand.page.get_by_text("Không có văn bản nào chờ bạn").wait_for()
    assert second["refresh"] != first["refresh"]

    await hand.page.goto("/#/me")
    await hand.tap("Đăng xuất")
    await hand.page.get_by_role("dialog").get_by_role("button", name="Đăng xuất").tap()
    await hand.page.get_by_role("heading", name="Đã đăng xuất").wait_for()
    await hand.tap("Mở lại phiên")
    await hand.page.get_by_role("heading", name="Của tôi", exact=True).wait_for()
    resumed = await db.fetch_all("SELECT 1 FROM audit_events WHERE kind = 'identity.session_resumed'")
    assert resumed

    device = await hand.page.evaluate(own("async () => (await (await $store).get('device')).device"))
    await identity.revoke_device(operator(site.stack.organisation), device)
    await hand.page.goto("/#/notices")
    await hand.page.get_by_role("heading", name="Thiết bị đã bị thu hồi").wait_for()
    await hand.shot("15-revoked")
    await hand.tap("Xóa dữ liệu trên thiết bị")
    await hand.page.get_by_role("heading", name="Ghép thiết bị").wait_for()
    await hand.context.close()


async def test_a_frozen_key_says_so(browser: Browser, site: Site) -> None:
    hand = await new_hand(browser, site)
    await hand.pair("Phạm Thị Mẫu", Role.LEADER, position="PHÓ CHỦ TỊCH")
    await hand.enrol("Phạm Thị Mẫu")
    await hand.shot("04-ready")
    await hand.page.goto("/#/me")
    await hand.tap("Tạm khóa ký khẩn cấp")
    await hand.shot("16-freeze")
    await hand.page.get_by_role("dialog").get_by_role("button", name="Tạm khóa ký khẩn cấp").tap()
    await hand.page.get_by_text("Khóa ký đang bị tạm khóa").wait_for()
    await hand.shot("17-me")
    assert (await hand.call("GET", "/api/v1/me"))["person"]["key_frozen"] is True
    await hand.context.close()


async def test_a_link_without_the_signer_is_refused(hand: Hand, site: Site) -> None:
    """No PIN can be asked without the signer's thumbprint, so nothing is paired with such a link; the code is not spent."""
    await hand.page.goto("/pair#code=SAMPLE-SAMPLE-SAMPLE")
    await hand.page.get_by_text("thiếu dấu nhận dạng").wait_for()
    await faultless(hand, "pairing refused")
    # A home screen has no address that another link could be entered at.
    for signer in ("", "A" * 43):
        await hand.page.get_by_label("dán đường liên kết").fill(
            f"{site.origin}/pair#code=SAMPLE-SAMPLE-SAMPLE&signer={signer}"
        )
        await hand.tap("Tiếp tục")
    await hand.tap("Ghép thiết bị này")
    await hand.page.get_by_role("alert").wait_for()
    await hand.page.get_by_label("dán đường liên kết").wait_for()
    await hand.page.goto("/")
    await hand.page.get_by_text("Mở đường liên kết").wait_for()
    await hand.shot("00-welcome")


async def test_a_lost_answer_does_not_cost_the_pairing_code(hand: Hand, site: Site) -> None:
    """The first answer is lost; the same keys ask again and are paired once."""
    actor = operator(site.stack.organisation)
    made = await site.stack.wiring.identity.create_person(actor, name="Hoàng Văn Mẫu", position="", roles=[Role.STAFF])
    code = await site.stack.wiring.identity.pairing_code(actor, made.id)
    cut = 0

    async def lose(route: Any) -> None:
        nonlocal cut
        cut += 1
        if cut == 1:
            await route.fetch()
            await route.abort("connectionreset")
        else:
            await route.continue_()

    await hand.page.route("**/pairings/redeem", lose)
    # As from a home screen, where no link opens.
    link = code.link.reveal()
    await hand.page.goto("/")
    await hand.page.get_by_label("dán đường liên kết").fill(link.replace("//", "//other."))
    await hand.tap("Tiếp tục")
    await hand.page.get_by_text("không phải đường liên kết ghép của").wait_for()
    await hand.page.get_by_label("dán đường liên kết").fill(f" {link} ")
    await hand.tap("Tiếp tục")
    assert await hand.page.evaluate("location.href") == link
    await hand.tap("Ghép thiết bị này")
    await hand.page.get_by_role("heading", name="Mã đối chiếu").wait_for()
    assert cut == 2
    assert "code" not in hand.page.url
    assert len(await site.stack.wiring.db.fetch_all("SELECT id FROM devices WHERE person = $1", made.id)) == 1


async def test_every_page_image_is_checked(people: People) -> None:
    """A page whose bytes are not the manifest's is not shown."""
    leader = people.leader
    document = await people.taken(pdfs.plain(), number="307", subject="Trang bị thay")

    async def change(route: Any) -> None:
        answer = await route.fetch()
        body = bytearray(await answer.body())
        body[-40] ^= 1
        await route.fulfill(response=answer, body=bytes(body))

    await leader.page.route("**/pages/1?width=*", change)
    await leader.page.goto(f"/#/d/{document}")
    await leader.page.get_by_text("không khớp mã băm").wait_for()
    assert await leader.page.locator(".page img").count() == 0
    await leader.page.unroute("**/pages/1?width=*")
