"""The demonstration's page in Chromium: every button is pressed, and its effect is seen in the panels and in both clients.

The drivers are processes with the public API alone; the leader and the clerk are the clients in the page's two frames.

Longer than most: one demonstration is started once and pressed by all.
"""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from playwright.async_api import Browser, FrameLocator, Page, expect

from server.db import open_database
from server.demo.caller import Caller
from server.demo.cast import Cast, World
from server.demo.controls import DemoControls
from server.demo.people import PINS
from server.demo.stage import Stage, trust_officer
from tests.fakes import pdfs
from tests.web.conftest import own

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEEDS = {"leader": ("Ký", "Ký văn bản này", "Đã ký"), "clerk": ("Đóng dấu", "Đóng dấu văn bản này", "Đã đóng dấu")}
FAR_MS = 60_000


class Show:
    """A demonstration that keeps serving, without the walk before it."""

    def __init__(self, stage: Stage, cast: Cast) -> None:
        self.stage = stage
        self.cast = cast
        self.http = httpx2.AsyncClient(trust_env=False, timeout=60)

    @property
    def here(self) -> str:
        assert self.stage.page is not None
        return self.stage.page.url

    async def state(self) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.http.get(f"{self.here}/state")).raise_for_status().json()
        return answer

    async def control(self, name: str, **order: Any) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.http.post(f"{self.here}/controls/{name}", json=order)).json()
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def show(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Show]:
    folder = tmp_path_factory.mktemp("show")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    drivers = folder / "drivers"
    async with Stage(folder, port=port, page=True) as stage:
        parties = stage.parties
        world = World(
            base_url=stage.base_url, fcm_url=parties.fcm_url, pki_url=parties.pki_url, axis_url=parties.axis_url, folder=drivers
        )  # fmt: skip
        async with Cast(drivers) as cast:
            await stage.serving()
            await cast.begin(world, stage.handed)
            officer = await cast.officer_key()
            trust_officer(stage.state, officer["jwk"], officer["thumbprint"])
            await cast.enrol()
            await cast.welcome()
            await stage.work_apart()
            caller = Caller(stage.base_url)
            db = await open_database(f"sqlite://{stage.state / 'database' / 'hoatoc.db'}")
            controls = DemoControls(
                stage, cast, db, folder, first=100, read_head=lambda: caller.get("/api/v1/log/head")
            )
            assert stage.page is not None
            stage.page.open(controls)
            made = Show(stage, cast)
            yield made
            await made.http.aclose()
            await controls.close()
            await db.close()
            await caller.close()


class Desk:
    """The page in a browser, with a device paired in each frame."""

    def __init__(self, show: Show, page: Page) -> None:
        self.show = show
        self.page = page
        self.complaints: list[str] = []

    def client(self, who: str) -> FrameLocator:
        return self.page.frame_locator(f"#frame-{who}")

    async def press(self, name: str, said: str | re.Pattern[str]) -> str:
        """Press a button and wait for what it says; the text."""
        await self.page.locator(f"#deed-{name}").click()
        outcome = self.page.locator(f"#deed-{name}").locator("..").locator(".outcome")
        await expect(outcome).to_contain_text(said, timeout=FAR_MS)
        return await outcome.inner_text()

    async def urgent(self) -> str:
        """Number of a fresh urgent document."""
        text = await self.press("urgent", re.compile(r"Đã gửi số \d+"))
        number = re.search(r"\d+", text)
        assert number is not None
        await self.stands(number[0], "Chờ ký")
        return number[0]

    async def stands(self, number: str, state: str) -> None:
        row = self.page.locator("#docs .row").filter(has_text=f"{number}/QĐ-UBND")
        await expect(row.locator(".chip")).to_have_text(state, timeout=FAR_MS)

    async def receipts_of(self, number: str) -> None:
        """Until the QLVB has both: the log's head covers them a second or two after the signatures."""
        for _ in range(300):
            papers = (await self.show.state())["documents"]
            if len(next(one for one in papers if one["number"] == number)["receipts"]) >= 2:
                return
            await asyncio.sleep(0.2)
        pytest.fail("the receipts did not come")

    async def enter(self, who: str, pin: str) -> None:
        pad = self.client(who).get_by_role("region", name="Bàn phím mã PIN")
        for digit in pin:
            await pad.get_by_role("button", name=digit, exact=True).click()

    async def pair(self, who: str) -> None:
        client = self.client(who)
        await client.get_by_role("button", name="Ghép thiết bị này").click()
        await client.get_by_role("button", name="Nhập mã PIN đang dùng").click(timeout=FAR_MS)
        await self.enter(who, PINS[who])
        await client.get_by_role("button", name="Tiếp tục").click()
        await client.get_by_role("link", name="Vào hộp thư").click(timeout=FAR_MS)

    async def open(self, who: str, number: str) -> None:
        client = self.client(who)
        await client.get_by_role("link", name="Đóng dấu" if who == "clerk" else "Hộp thư", exact=True).first.click()
        await client.get_by_role("link").filter(has_text=f"{number}/QĐ-UBND").click(timeout=FAR_MS)

    async def decide(self, who: str, number: str) -> None:
        """Sign or seal, as the person does it."""
        deed, sure, done = DEEDS[who]
        client = self.client(who)
        await self.open(who, number)
        await client.get_by_role("link", name=deed, exact=True).click(timeout=FAR_MS)
        await client.locator(".keys button:enabled").first.wait_for(timeout=FAR_MS)
        await self.enter(who, PINS[who])
        await client.get_by_role("button", name=sure).click()
        await client.get_by_role("heading", name=done).wait_for(timeout=FAR_MS)

    async def home(self, who: str) -> None:
        await (
            self.client(who)
            .get_by_role("link", name="Vào hộp thư")
            .or_(self.client(who).get_by_role("link", name="Quay lại"))
            .first.click()
        )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def desk(browser: Browser, show: Show) -> AsyncIterator[Desk]:
    context = await browser.new_context(viewport={"width": 1280, "height": 1000}, locale="vi-VN")
    page = await context.new_page()
    page.set_default_timeout(FAR_MS)
    made = Desk(show, page)
    page.on("pageerror", lambda error: made.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            message.type == "error"
            and not re.search("Failed to load resource", message.text)
            and made.complaints.append(message.text)
        ),
    )
    await page.goto(f"{show.stage.base_url}/demo")
    await asyncio.gather(made.pair("leader"), made.pair("clerk"))
    yield made
    await context.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def storm(desk: Desk) -> str:
    """The whole road while everything around it fails; the number of the document that was sealed with the exchange away."""
    await desk.press("exchange", "Đã cắt")
    # The button's minute may be too short on a machine with other work.
    assert (await desk.show.control("exchange", off_s=600))["on"] is False
    number = await desk.urgent()
    await desk.press("tsa", "Đã tắt")
    await desk.decide("leader", number)
    await desk.stands(number, "Đã ký, chờ dấu thời gian")
    await desk.client("leader").get_by_text("Đang chờ dấu thời gian").wait_for(timeout=FAR_MS)
    await desk.press("worker", "làm tiếp")
    await desk.press("tsa", "Đã bật")
    await desk.stands(number, "Đã ký, chờ đóng dấu")
    await desk.home("leader")
    await desk.decide("clerk", number)
    await desk.stands(number, "Đã đóng dấu")
    await expect(desk.page.locator("#world")).to_contain_text(re.compile(r"cắt, còn \d+ s"))
    await expect(desk.page.locator("#axis .row.edoc").filter(has_text=f"{number}/QĐ-UBND")).to_have_count(0)
    await desk.press("exchange", "Đã nối")
    await desk.home("clerk")
    return number


async def test_two_devices_at_two_origins(desk: Desk) -> None:
    """Each frame has keys of its own, and the page that frames them can reach neither."""
    state = await desk.show.state()
    origins = {person["origin"] for person in state["people"].values()}
    assert len(origins | {desk.show.here}) == 3
    assert [person["devices"] for person in state["people"].values()] == [1, 1]
    for who in PINS:
        blocked = await desk.page.evaluate(
            "(id) => { try { return document.getElementById(id).contentDocument?.title ?? 'closed'; } catch (error) { return error.name; } }",
            f"frame-{who}",
        )
        assert blocked == "closed"
        prints = [
            await frame.evaluate(STORED)
            for frame in desk.page.frames
            if frame.url.startswith(state["people"][who]["origin"])
        ]
        assert len(prints) == 1
        assert prints[0]["extractable"] is False
        assert prints[0]["worker"]


STORED = """() => new Promise((resolve, reject) => {
  const request = indexedDB.open("hoatoc");
  request.onsuccess = () => {
    const rows = request.result.transaction("device").objectStore("device").get("device");
    rows.onsuccess = async () => resolve({
      extractable: rows.result.approval.key.extractable, print: rows.result.approval.print,
      worker: Boolean(await navigator.serviceWorker.getRegistration()),
    });
    rows.onerror = reject;
  };
})"""


async def test_an_urgent_document_is_seen_by_google_without_content(desk: Desk) -> None:
    before = (await desk.show.state())["google"]["count"]
    number = await desk.urgent()
    await expect(desk.client("leader").get_by_text(f"{number}/QĐ-UBND").first).to_be_visible(timeout=FAR_MS)
    await expect(desk.page.locator("#google p").first).not_to_have_text(re.compile(rf"^{before} "), timeout=FAR_MS)
    google = (await desk.show.state())["google"]
    assert google["count"] > before
    raw = " ".join(one["raw"] for one in google["requests"])
    assert f"{number}/QĐ" not in raw
    assert "kiện toàn" not in raw
    assert all(one["status"] == 200 for one in google["requests"])


async def test_a_recall_purges_the_document_that_is_open(desk: Desk) -> None:
    number = await desk.urgent()
    await desk.open("leader", number)
    leader = desk.client("leader")
    await leader.locator(".page img").first.wait_for(timeout=FAR_MS)
    await desk.press("recall", f"Đã thu hồi số {number}")
    await desk.stands(number, "Đã thu hồi")
    await leader.get_by_text("Văn bản đã bị thu hồi").first.wait_for(timeout=FAR_MS)
    assert await leader.locator(".page img").count() == 0
    await leader.get_by_role("link", name="Quay lại").click()


async def test_a_pdf_of_ones_own_and_one_that_is_refused(desk: Desk, tmp_path: Path) -> None:
    good, bad = tmp_path / "cua-toi.pdf", tmp_path / "ma-doc.pdf"
    good.write_bytes(pdfs.vietnamese())
    bad.write_bytes(pdfs.encrypted())
    for path, said in ((good, "Đã gửi số"), (bad, "(encrypted)")):
        async with desk.page.expect_file_chooser() as chooser:
            await desk.page.locator("#deed-own").click()
        await (await chooser.value).set_files(path)
        outcome = desk.page.locator("#deed-own").locator("..").locator(".outcome")
        await expect(outcome).to_contain_text(said, timeout=FAR_MS)
    await expect(desk.page.locator("#docs")).to_contain_text("Văn bản cua-toi")


async def test_the_road_goes_on_without_stamps_exchange_and_worker(storm: str, desk: Desk) -> None:
    """D1, D3, D5: nothing is lost and nothing is made twice, whatever dies beside it."""
    worker = (await desk.show.state())["worker"]
    assert worker["alive"]
    assert worker["kills"] >= 1
    page = await desk.show.http.get(f"{desk.show.stage.parties.pki_url}/_recorded")
    stamps = [one["imprint"] for one in page.json()["stamps"]]
    assert len(stamps) == len(set(stamps)) >= 2
    paper = next(one for one in (await desk.show.state())["documents"] if one["number"] == storm)
    assert set(paper["files"]) == {"signed", "final"}


async def test_a_signature_without_its_stamp_is_never_called_missing(desk: Desk) -> None:
    """D5: while the authority is away the step stays open; the document's state says that the signature was made."""
    frame = next(one for one in desk.page.frames if one.url.startswith(desk.show.stage.base_url))
    asked = own("""async (cases) => {
      const { outcomeOf } = await $signing;
      return cases.map(([state, step]) => outcomeOf({ state, route: [{ position: 1, state: step }, { position: 2, state: "waiting" }] }, 1));
    }""")
    cases = [
        ["signed_pending_timestamp", "open"],
        ["sealed_pending_timestamp", "open"],
        ["signing", "open"],
        ["in_review", "open"],
        ["signed", "done"],
        ["returned", "returned"],
    ]
    assert await frame.evaluate(asked, cases) == ["stamping", "stamping", "unknown", "open", "signed", "open"]


async def test_one_changed_byte_is_noticed_by_server_receipt_and_log(storm: str, desk: Desk) -> None:
    """D17, A4: the API does not hand the file out, its receipt does not fit, and both do again afterwards."""
    page = desk.page
    verdict = page.locator("#log .outcome")
    await expect(page.locator("#log .verdict")).to_have_text("Nhật ký còn nguyên", timeout=FAR_MS)
    await desk.receipts_of(storm)
    said = await desk.press("byte", f"Số {storm}")
    assert "Máy chủ không đưa tệp ra: Dữ liệu lưu trữ bị hỏng" in said
    assert "Biên nhận: Tệp PDF KHÔNG phải là bản mà biên nhận nêu" in said
    await page.locator("#deed-verify").click()
    await expect(verdict).to_contain_text("Có chỗ không khớp", timeout=FAR_MS)
    await desk.press("byte", "lại đúng từng byte")
    await page.locator("#deed-verify").click()
    await expect(verdict).to_contain_text(f"số {storm} đều khớp", timeout=FAR_MS)


async def test_the_commands_that_are_shown_work(desk: Desk, tmp_path: Path) -> None:
    """Each is run in a shell as it stands on the page; what they switched off is switched on again."""
    if shutil.which("curl") is None:
        pytest.fail("curl is missing: apt-get install curl", pytrace=False)
    (tmp_path / "van-ban.pdf").write_bytes(pdfs.vietnamese())
    commands = (await desk.show.state())["curl"]
    try:
        for name, command in commands.items():
            opener = desk.page.locator(f"#curl-{name}")
            await opener.click()
            assert await desk.page.locator(f"#command-{name} code").inner_text() == command
            await opener.click()
            ran = await asyncio.create_subprocess_exec(
                "bash", "-c", command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
            out, _ = await asyncio.wait_for(ran.communicate(), 180)
            assert (ran.returncode, out[:1]) == (0, b"{"), (name, out)
            assert b'"error"' not in out, (name, out)
    finally:
        await desk.show.control("tsa", on=True)
        await desk.show.control("exchange", off_s=0)
        await desk.show.control("byte", changed=False)
    assert set(commands) == {
        "urgent", "own", "tsa", "exchange", "worker", "recall", "byte", "verify", "documents", "google", "packets", "log",
    }  # fmt: skip


async def test_other_sites_get_nothing(show: Show) -> None:
    """C8: no page of another origin presses a button, reads a panel or frames anything."""
    here, base = show.here, show.stage.base_url
    for headers in (
        {"Origin": "https://elsewhere.example"},
        {"Origin": base},
        {"Origin": "null"},
        {"Host": "elsewhere.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        for method, path in (("POST", "/controls/worker"), ("GET", "/state")):
            answer = await show.http.request(method, here + path, headers=headers)
            assert answer.status_code == 403, headers
            assert "access-control-allow-origin" not in answer.headers
    page = await show.http.get(here)
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert (await show.http.post(f"{here}/controls/nothing")).status_code == 404
    assert (await show.http.post(f"{here}/controls/tsa", content=b"[")).status_code == 409


async def test_the_client_is_framed_by_the_page_and_by_nothing_else(show: Show) -> None:
    base, here = show.stage.base_url, show.here
    for path in ("/", "/pair"):
        answer = await show.http.get(base + path)
        assert f"frame-ancestors {here};" in answer.headers["content-security-policy"]
        assert "x-frame-options" not in answer.headers
    for path in ("/api", "/livez", "/assets/app.css"):
        answer = await show.http.get(base + path)
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    led = await show.http.get(f"{base}/demo")
    assert (led.status_code, led.headers["location"]) == (307, f"{here}/")
    assert (await show.http.get(f"{base}/demo/fresh")).status_code == 404
    assert (await show.http.get(f"{base}/demo/fresh?key=x")).status_code == 404


WIDER = """() => {
  const wide = document.documentElement.clientWidth;
  return [...document.querySelectorAll("body, body *")].filter((one) => {
    const box = one.getBoundingClientRect();
    const small = one.matches("button, summary, a") && (box.height < 44 || box.width < 44);
    return box.width > 0 && !one.closest("[hidden], svg, noscript") && (box.right > wide + 0.5 || box.left < -0.5 || small);
  }).map((one) => `${one.tagName}.${one.className} ${one.textContent.slice(0, 30)}`);
}"""


async def test_nothing_is_cut_off_at_any_width(desk: Desk) -> None:
    """1280 px shows both clients and the buttons side by side; a phone shows one below the other; two languages."""
    page = desk.page
    boxes = [await page.locator(f"#frame-{who}").bounding_box() for who in PINS] + [
        await page.locator("#deeds").bounding_box()
    ]
    lefts = [box["x"] for box in boxes if box]
    assert lefts == sorted(lefts)
    assert boxes[0] is not None
    assert (boxes[0]["width"], boxes[0]["height"]) == (390, 844)
    try:
        for tongue in ("English", "Tiếng Việt"):
            await page.get_by_role("button", name=tongue).click()
            for width in (1920, 1280, 900, 390, 320):
                await page.set_viewport_size({"width": width, "height": 900})
                assert await page.evaluate(WIDER) == [], (tongue, width)
    finally:
        await page.set_viewport_size({"width": 1280, "height": 1000})


async def test_what_was_sealed_without_the_exchange_arrives_once(storm: str, desk: Desk) -> None:
    """D2, D3. The product asks again after 15 to 30 seconds, which the tests above have filled."""
    packet = desk.page.locator("#axis .row.edoc").filter(has_text=f"{storm}/QĐ-UBND")
    await expect(packet).to_have_count(1, timeout=3 * FAR_MS)
    oracle = (await desk.show.http.get(f"{desk.show.stage.parties.axis_url}/_oracle")).json()
    copies = [one for one in oracle["packets"] if one["kind"] == "edoc" and one["notation"].startswith(f"{storm}/")]
    assert len(copies) == 1
    paper = next(one for one in (await desk.show.state())["documents"] if one["number"] == storm)
    assert paper["files"]["final"] in {one["sha256"] for one in copies[0]["attachments"]}
    await desk.stands(storm, "Nơi nhận đã tiếp nhận")
    assert desk.complaints == []
