"""Every screen at every width, text size, language and theme: a script finds nothing clipped, covered, too small or moving; axe-core nothing else.

WCAG 2.2 AA: 1.4.4 and 1.4.10 (200 % text at 320 px), 1.4.3 (contrast, by axe-core in both themes), 2.5.8, and 44 px of our own.
The suite looks at a few combinations of each screen, the long form (TEST_ROUNDS) at all of them.
"""

import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from server.identity.model import Role
from tests.web.conftest import PHONE, Hand, People, Site, new_hand, own

pytestmark = pytest.mark.asyncio(loop_scope="session")
LONG = "TEST_ROUNDS" in os.environ
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = {320: 568, 360: 740, 390: 844, 768: 1024, 1024: 768, 1280: 800}
Size = tuple[int, int]
# Language, theme, the width and text size at which a screen is opened (there it may not move), and those that it is then looked at in.
EVERY: list[tuple[str, str, Size, list[Size]]] = [
    (language, theme, first, sizes)
    for language in ("vi", "en")
    for theme in ("light", "dark")
    for first, sizes in (
        ((390, 100), list(itertools.product(WIDTHS, (100, 200)))),
        ((320, 200), []),
        ((1280, 100), []),
    )
]
# The suite: opened on a phone and at a desk; the narrowest with the largest text in both languages; each theme once.
FEW: list[tuple[str, str, Size, list[Size]]] = [
    ("vi", "light", (390, 100), [(320, 200), (1280, 100)]),
    ("en", "dark", (1280, 100), [(320, 200)]),
]
LOOK = EVERY if LONG else FEW
LONG_SUBJECT = (
    "Về việc tăng cường các biện pháp phòng, chống thiên tai và tìm kiếm cứu nạn trên địa bàn xã trong mùa mưa bão năm 2026 "
    + "Nghiêngngả" * 9
    + " 🌊🌊 \u202eđảo ngược\u202c null undefined"
)
FAULTS = """() => {
  const found = [];
  const name = (e) => `${e.tagName}.${e.className} “${(e.textContent || e.ariaLabel || '').trim().slice(0, 40)}”`;
  const wide = document.documentElement.clientWidth, high = document.documentElement.clientHeight;
  if (document.documentElement.scrollWidth > wide) found.push(`page ${document.documentElement.scrollWidth} > ${wide}`);
  // Pictures of pages are as large as the person wants them; what is said to screen readers alone has no place.
  const skipped = '.unseen, .skip, svg, .pages, noscript, #said, [inert]';
  // What is left of the screen for an element, by everything around it that scrolls or cuts.
  const room = (e) => {
    const left = { left: 0, top: 0, right: wide, bottom: high };
    for (let up = e.parentElement; up && up !== document.body; up = up.parentElement) {
      const s = getComputedStyle(up);
      if (s.overflowX === 'visible' && s.overflowY === 'visible') continue;
      const box = up.getBoundingClientRect();
      Object.assign(left, { left: Math.max(left.left, box.left), top: Math.max(left.top, box.top), right: Math.min(left.right, box.right), bottom: Math.min(left.bottom, box.bottom) });
    }
    return left;
  };
  // What a screen is about has a place, whatever stands above and below it.
  const main = document.querySelector('main').getBoundingClientRect();
  if (main.height < 96 || main.width < 288) found.push(`no room: ${main.width}×${main.height}`);
  for (const e of document.querySelectorAll('body *')) {
    const box = e.getBoundingClientRect();
    const style = getComputedStyle(e);
    if (!box.width || !box.height || !e.checkVisibility({ checkVisibilityCSS: true }) || e.closest(skipped)) continue;
    if (box.right > wide + 0.5 || box.left < -0.5) found.push(`outside: ${name(e)} ${box.left}–${box.right}`);
    const cuts = (value) => value === 'hidden' || value === 'clip';
    // Three lines of a subject and then dots are meant: the whole stands behind the tap.
    if (style.display !== 'inline' && style.webkitLineClamp === 'none' && e.textContent.trim()) {
      if (e.scrollWidth > e.clientWidth + 1 && style.overflowX !== 'visible') found.push(`clipped: ${name(e)} ${e.scrollWidth} > ${e.clientWidth}`);
      if (e.scrollHeight > e.clientHeight + 1 && cuts(style.overflowY)) found.push(`clipped: ${name(e)} ${e.scrollHeight} > ${e.clientHeight} high`);
    }
    const target = e.matches('a, button, summary, select, input:not([type=radio], [type=checkbox], [type=file]), textarea, label.tickline, label.choice');
    if (target && (box.height < 43.9 || box.width < 43.9)) found.push(`small: ${name(e)} ${box.width}×${box.height}`);
    const text = [...e.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!target && !text) continue;
    // A letter a line is no text.
    for (const one of e.childNodes) {
      if (one.nodeType !== 3 || one.data.trim().length < 5) continue;
      const range = document.createRange();
      range.selectNodeContents(one);
      const { width: line } = range.getBoundingClientRect();
      if (line && line < parseFloat(style.fontSize) * 1.5) found.push(`stacked: ${name(e)} ${line}`);
    }
    // What lies above its middle must be itself, what is in it or what it is in.
    const inside = room(e);
    for (const rect of text ? e.getClientRects() : [box]) {
      const [x, y] = [(rect.left + rect.right) / 2, (rect.top + rect.bottom) / 2];
      // Edges of boxes lie between pixels; what is asked for lies on one.
      if (x <= inside.left + 1 || x >= inside.right - 1 || y <= inside.top + 1 || y >= inside.bottom - 1) continue;
      const top = document.elementFromPoint(x, y);
      const kin = !top || top === e || e.contains(top) || top.contains(e) || (e.closest('label') && e.closest('label') === top.closest('label'));
      if (!kin && !top.closest('.zoom')) found.push(`covered: ${name(e)} by ${name(top)}`);
    }
  }
  return found;
}"""
WATCH = """() => { window.moved = 0; window.mover ??= new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.moved += one.value; }); window.mover.observe({type: 'layout-shift'}); }"""
# What the size before has moved is on the screen by then, and forgotten: for some frames nothing moved.
CALM = """() => new Promise((done) => {
  let calm = 0;
  const look = (left) => {
    const some = window.mover?.takeRecords().length || window.moved;
    window.moved = 0;
    calm = some ? 0 : calm + 1;
    if (calm > 3 || !left) done();
    else requestAnimationFrame(() => look(left - 1));
  };
  look(600); })"""
JUDGE = """() => axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }).then((found) =>
  found.violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.target} ${node.any.concat(node.all).map((it) => it.message)[0] ?? ''}`)))"""


async def judged(page: Page) -> list[str]:
    """What axe-core finds; the policy of the page does not bind the debugger that brings it in."""
    if not await page.evaluate("'axe' in window"):
        assert AXE.exists(), "npm ci --prefix tests/web (make test does it)"
        await page.evaluate(AXE.read_text() + ";0")
    return list(await page.evaluate(JUDGE))


async def settled(page: Page, path: str) -> None:
    await page.locator("main").first.wait_for(state="attached")
    # The client hears of another width with the next frame, and then draws its panes.
    await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    if path.partition("#")[2] != "/enrol":
        await expect(page.locator(".spin")).to_have_count(0, timeout=60_000)


async def sized(page: Page, size: Size) -> None:
    width, text = size
    await page.set_viewport_size({"width": width, "height": WIDTHS[width]})
    await page.evaluate("(size) => { document.documentElement.style.fontSize = `${size}%`; }", text)


async def looked_at(hand: Hand, screens: dict[str, str]) -> None:
    """Each screen by its name and address, once opened in each language and theme, then resized where it stands."""
    page = hand.page
    faults: list[str] = []
    for row, (language, theme, first, sizes) in enumerate(LOOK):
        await page.set_viewport_size({**PHONE})
        await page.goto("/")
        await page.evaluate(
            "([l, t]) => { localStorage.setItem('language', l); localStorage.setItem('theme', t); }", [language, theme]
        )
        await page.reload()
        # What was kept before is drawn until the answer comes: the list is settled before anything is said to move.
        await settled(page, "/")
        await page.evaluate(WATCH)
        for name, path in screens.items():
            await sized(page, first)
            if LONG:
                # From a screen that asks for nothing: the one before may still be drawn anew for its width.
                await page.goto("/#/nothing-yet")
            await settled(page, "")
            await page.evaluate(CALM)
            await page.goto(path)
            for size in (first, *sizes):
                await sized(page, size)
                await settled(page, path)
                here = f"{name} {language} {theme} {size[0]} px {size[1]} %"
                if size == first and (moved := await page.evaluate("window.moved")):
                    faults.append(f"{here}: moved by {moved}")
                # In the suite once at each of three sizes: on a phone, at a desk, the narrowest with the largest text.
                if LONG or size == first or row:
                    faults += [f"{here}: {one}" for one in await judged(page)]
                await hand.shot(f"layout-{name}-{language}-{theme}-{size[0]}-{size[1]}")
                faults += [f"{here}: {one}" for one in await page.evaluate(FAULTS)]
    await page.set_viewport_size({**PHONE})
    await page.evaluate("localStorage.setItem('language', 'vi'); localStorage.setItem('theme', 'auto')")
    await page.goto("/#/")
    await page.reload()
    assert faults == [], "\n".join(faults)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def documents(people: People) -> list[str]:
    """What hangs over a leader's screens: long words, directions, pictures in the text, an end that has passed."""
    return [
        await people.taken(subject=LONG_SUBJECT, urgency=4, number="2026", due_date="2026-12-01", type_name="Công văn"),
        await people.taken(subject="null", urgency=0, number="0", notation="<b>QĐ</b>", type_name="undefined"),
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def keeper(browser: Browser, site: Site) -> AsyncIterator[Hand]:
    """Whoever registers people and devices."""
    hand = await new_hand(browser, site)
    await hand.pair("Vũ Thị Mẫu", Role.REGISTRATION_OFFICER, Role.ADMINISTRATOR, position="Cán bộ đăng ký")
    yield hand
    await hand.context.close()


async def test_the_screens_of_a_leader(people: People, documents: list[str]) -> None:
    document = documents[0]
    await people.leader.page.goto("/#/")
    await people.leader.page.evaluate("(ids) => sessionStorage.setItem('batch', JSON.stringify(ids))", documents)
    await looked_at(
        people.leader,
        {
            "inbox": "/#/", "document": f"/#/d/{document}", "sheet": f"/#/d/{document}/sign", "return": f"/#/d/{document}/return", "batch": "/#/batch",
            "notices": "/#/notices", "me": "/#/me", "pin": "/#/pin", "verify": "/#/verify", "reports": "/#/reports",
            "device": "/#/device", "grant": "/#/authority/new", "image": "/#/image/mine", "missing": "/#/nothing",
            **(
                {"grants": "/#/authority", "deputy": f"/#/d/{document}/deputy", "away": "/#/away", "chains": "/#/told", "order": f"/#/o/new/d/{document}"}
                if LONG
                else {}
            ),
        },
    )  # fmt: skip


async def test_the_screens_of_a_clerk(people: People) -> None:
    more = {"arrivals": "/#/a", "plan": "/#/m/new", "image-seal": "/#/image/seal"} if LONG else {}
    await looked_at(people.clerk, {"seal": "/#/seal", "enrol": "/#/enrol", **more})


async def test_the_screens_of_a_keeper_of_people(keeper: Hand, people: People) -> None:
    device: Any = await people.leader.page.evaluate(own("async () => (await (await $store).get('device')).device"))
    person = people.leader.person
    await looked_at(
        keeper,
        {
            "officer": "/#/officer", "people": "/#/people", "person": f"/#/people/{person}", "voucher": f"/#/people/{person}/{device}",
            "rules": "/#/rules", "held": "/#/held", "calendar": "/#/calendar",
        },
    )  # fmt: skip


async def test_the_screens_before_anybody_is_paired(browser: Browser, site: Site) -> None:
    hand = await new_hand(browser, site)
    await looked_at(hand, {"welcome": "/", "pair": "/pair#code=SAMPLE&signer=" + "A" * 43})
    await hand.context.close()
