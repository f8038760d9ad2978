"""The server brings a newer client while somebody has the older one open."""

import shutil
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from server.identity.model import Role
from server.web import routes
from tests.web.conftest import CONTROLLED, Hand, Site, new_hand

pytestmark = pytest.mark.asyncio(loop_scope="session")
NAME = "Nguyễn Văn Nâng Cấp"
# The newer worker is there, and what the older one had is forgotten.
CHANGED = (
    "async (later) => { const changed = new Promise((done) => navigator.serviceWorker.addEventListener('controllerchange', done, { once: true }));"
    " await (await navigator.serviceWorker.ready).update();"
    " await Promise.race([changed, new Promise((_, late) => setTimeout(late, 90_000, new Error('no newer worker')))]);"
    " for (let left = 1000; left && (await fetch(later)).ok; left--) await new Promise((done) => setTimeout(done, 20)); window.older = true; location.hash = '#/verify'; }"
)


async def test_a_screen_opened_after_an_upgrade_is_the_newer_clients(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older page asks for a file that the newer worker no longer has; it begins anew and opens what was asked for."""
    await hand.pair(NAME, Role.LEADER)
    await hand.page.evaluate(CONTROLLED)
    later = next(path for path in routes.files() if "/later-" in path)
    shutil.copytree(routes._STATIC, tmp_path / "static")
    with (tmp_path / "static" / "js" / "verify.js").open("a") as module:
        module.write('window.newer = t("verifyTitle");\n')
    monkeypatch.setattr(routes, "_STATIC", tmp_path / "static")
    monkeypatch.setattr(routes, "scripts", routes.scripts.__wrapped__)
    newer = routes.files.__wrapped__()
    assert later not in newer
    monkeypatch.setattr(routes, "files", lambda: newer)
    monkeypatch.setattr(routes, "_packed", {})
    await hand.page.evaluate(CHANGED, later)
    await expect(hand.page.get_by_role("heading", level=1)).to_have_text("Kiểm tra tệp")
    assert await hand.page.evaluate("[location.hash, window.older, window.newer]") == [
        "#/verify",
        None,
        "Kiểm tra tệp",
    ]
    assert await hand.page.evaluate("sessionStorage.getItem('anew')") is None


async def test_a_file_that_stays_away_is_asked_for_once_more(browser: Browser, site: Site) -> None:
    """No circle of new beginnings; and none at all without a network."""
    hand = await new_hand(browser, site, service_workers="block")
    await hand.pair(NAME, Role.LEADER)
    asked: list[str] = []
    begun: list[str] = []
    await hand.page.route(
        "**/assets/js/later-*", lambda route: (asked.append(route.request.url), route.fulfill(status=404))[1]
    )
    hand.page.on("domcontentloaded", lambda page: begun.append(page.url))
    await hand.page.route("**/api/v1/me", lambda route: route.abort())
    await hand.page.evaluate("location.hash = '#/verify'")
    await hand.page.get_by_text("Không có mạng").wait_for()
    assert (len(asked), begun) == (1, [])
    await hand.page.unroute("**/api/v1/me")
    await hand.tap("Thử lại")
    await hand.page.get_by_text("Có lỗi trên thiết bị này").wait_for()
    assert begun == [f"{site.origin}/#/verify"]
    assert set(asked) == {asked[0]}
    await hand.context.close()
