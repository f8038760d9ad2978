"""The page of the stand-in axis in a real browser, as wide as a phone: traffic as it comes, faults and mergers by finger."""

import json
import os
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from server.exchange import edxml
from server.exchange.axis import VxpAxis
from server.exchange.model import PacketKind
from server.exchange.standin import serving
from tests.unit.server.exchange.samples import make_packet, make_status, now_us
from tests.web.conftest import PHONE

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_traffic_faults_and_a_merger_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "axis").mkdir()
    async with serving(tmp_path / "axis") as (standin, url):
        sender, receiver = (VxpAxis(url, code, standin.secrets[code], now_us) for code in ("X01", "X02"))
        context = await browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, locale="vi-VN")
        page = await context.new_page()
        complaints: list[str] = []
        page.on("console", lambda one: complaints.append(one.text) if one.type in {"error", "warning"} else None)
        page.on("pageerror", lambda one: complaints.append(str(one)))
        await page.goto(url)
        await expect(page.get_by_text("Chưa có gói tin nào.")).to_be_visible()

        packet = edxml.write(make_packet(tmp_path, receivers=("X02", "X03")), tmp_path / "packet")
        await sender.send(PacketKind.DOCUMENT, packet.path, "X01", ["X02", "X03"])
        document = page.locator(".document")
        await expect(document).to_contain_text("12/QĐ-CQM")
        # What came from outside is text.
        await expect(document).to_contain_text('V/v ban hành quy chế mẫu & "thử" <một>')
        await expect(document).to_contain_text("X02 đang chờ lấy")
        [item] = await receiver.received(PacketKind.DOCUMENT)
        await receiver.confirm(item.doc_id)
        status = edxml.write(make_status(), tmp_path / "status")
        await receiver.send(PacketKind.STATUS, status.path, "X02", ["X01"])
        await expect(document).to_contain_text("X02 đã nhận")
        await expect(document).to_contain_text("03 Đã tiếp nhận")

        await page.get_by_label("Lỗi", exact=True).select_option("500-before")
        await page.get_by_role("button", name="Đặt lỗi", exact=True).tap()
        await expect(page.locator("#said")).to_have_text("Đã đặt lỗi.")
        assert getattr(await sender.send(PacketKind.DOCUMENT, packet.path, "X01", ["X02"]), "reason", "") == "http-500"
        await expect(page.locator("header")).to_contain_text("1 lỗi đã gây")

        await page.get_by_text("Sáp nhập, đổi mã").tap()
        await page.get_by_label("Các mã kết thúc").fill("X03")
        await page.get_by_label("Vào mã (đã có hoặc mới)").fill("X02")
        await page.get_by_role("button", name="Sáp nhập", exact=True).tap()
        await expect(page.locator("#said")).to_have_text("Đã sáp nhập.")
        await expect(page.locator(".closed", has_text="X03")).to_contain_text("→ X02")
        assert len(await receiver.received(PacketKind.DOCUMENT)) == 1, "what waited for X03 is X02's to fetch"

        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        small = "[...document.querySelectorAll('button, summary, input, select')].filter((one) => one.offsetParent && one.offsetHeight < 44).length"
        assert json.loads(await page.evaluate(f"String({small})")) == 0
        assert complaints == []
        if folder := os.environ.get("HOATOC_SCREENSHOTS"):
            await page.screenshot(path=Path(folder) / "axis.png", full_page=True)
        await context.close()
        await sender.close()
        await receiver.close()
