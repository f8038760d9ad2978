"""The registration officer's screens against the real signer: a key made in the browser, vouchers, certificates, a further device, a hand-over."""

import base64
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_pem_x509_csr
from httpx2 import AsyncClient
from playwright.async_api import Browser

from server.identity.model import Role
from signing import offline
from signing.core import daemon
from signing.core.codec import PublicJwk
from tests.fakes.stack import ORGANISATION, PIN
from tests.web.conftest import Hand, People, Site, new_hand, own
from tests.web.test_screens import faultless, refused

JSQR = Path(__file__).parent / "node_modules" / "jsqr" / "dist" / "jsQR.js"
DECODE = """async (png) => {
  const picture = await createImageBitmap(new Blob([Uint8Array.from(atob(png), (char) => char.charCodeAt(0))]));
  const place = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
  place.drawImage(picture, 0, 0);
  const { data, width, height } = place.getImageData(0, 0, picture.width, picture.height);
  return window.jsQR(data, width, height)?.data ?? "";
}"""

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def officer(browser: Browser, site: Site) -> Any:
    """An officer whose key was made in the browser and entered by the signer's operator, who was read the thumbprint."""
    hand = await new_hand(browser, site)
    await hand.pair("Phạm Thị Mẫu", Role.REGISTRATION_OFFICER, Role.ADMINISTRATOR, position="Cán bộ đăng ký")
    await hand.page.goto("/#/officer")
    await hand.page.reload()
    await hand.page.get_by_text("Máy này chưa có khóa").wait_for()
    await hand.shot("40-officer-no-key")
    await hand.tap("Tạo khóa trên máy này")
    await hand.page.locator("summary").tap()
    await hand.shot("41-officer-key")
    command = await hand.page.locator(".command").text_content() or ""
    found = re.search(r"--thumbprint (\S{43}) --organisation (\S+)$", command)
    assert found
    assert found[2] == ORGANISATION
    async with hand.page.expect_download() as download:
        await hand.page.get_by_role("button", name="officer.json").tap()

    jwk = msgspec.json.decode(Path(await (await download.value).path()).read_bytes(), type=PublicJwk)
    config = daemon.load_config(site.stack.settings.state.signer / "signer.toml")
    assert offline.trust_officer(config, jwk, [ORGANISATION]) == found[1]
    yield hand
    assert hand.complaints == []
    assert await refused(hand) == []
    await hand.context.close()


async def opened(officer: Hand, person: str) -> None:
    """The voucher screen of this person's device; a name may be several people's, and the list may not have all of them yet."""
    await officer.page.goto("/#/officer")
    await officer.page.locator(f'a.card[href^="#/people/{person}/"]').tap(timeout=60_000)
    await officer.page.get_by_label("Mã đối chiếu trên máy của người này").wait_for()


async def compared(officer: Hand, code: str) -> None:
    """Type the code that was read out."""
    await officer.page.get_by_label("Mã đối chiếu trên máy của người này").fill(code)
    await officer.page.get_by_text("Đúng máy này").wait_for()


async def vouch(officer: Hand, code: str, what: str) -> None:
    """Type the code that was read out, choose, sign."""
    await compared(officer, code)
    await officer.page.get_by_role("radio", name=what).check(force=True)
    await officer.tap("Ký phiếu")
    await officer.page.get_by_text("Đã ký phiếu").wait_for()


async def scanned(hand: Hand) -> str:
    """What another decoder (jsQR) reads in a photograph of the screen."""
    assert JSQR.exists(), "npm ci --prefix tests/web (make test does it)"
    seen = await hand.page.locator(".qr").screenshot()
    await hand.page.evaluate(JSQR.read_text() + ";0")
    return str(await hand.page.evaluate(DECODE, base64.b64encode(seen).decode()))


async def new_pin(hand: Hand) -> None:
    await hand.tap("Chọn mã PIN")
    await hand.enter(PIN, "Tiếp tục")
    await hand.page.get_by_text("Nhập lại mã PIN").wait_for()
    await hand.enter(PIN, "Tiếp tục")


async def certify(officer: Hand, site: Site, name: str, purpose: str, folder: Path) -> None:
    """Carry the request to the authority and its certificate back, as files."""
    await officer.page.goto("/#/officer")
    card = officer.page.locator("article").filter(has_text=name)
    await card.wait_for()
    async with officer.page.expect_download() as download:
        await card.get_by_role("button", name="Yêu cầu (CSR)").tap()
    pem = Path(await (await download.value).path()).read_bytes()
    der = load_pem_x509_csr(pem).public_bytes(serialization.Encoding.DER)
    async with AsyncClient() as http:
        made = (await http.post(f"{site.stack.pki.url}/issue?kind={purpose}", content=der)).json()
    path = folder / "certificate.pem"
    path.write_text(made["certificate"] + made["chain"][0])
    await card.locator("input[type=file]").set_input_files(path)
    await card.wait_for(state="detached")


async def test_a_voucher_needs_the_code_that_the_phone_shows(
    officer: Hand, browser: Browser, site: Site, tmp_path: Path
) -> None:
    """A3, A8: from pairing to a certificate by the officer's screens alone; another code opens nothing."""
    person = await new_hand(browser, site)
    await person.pair("Vũ Văn Mẫu", Role.LEADER)
    code = await person.short_code()
    # Somebody else of the same name waits too: his device has another code, which the officer's screen sees.
    namesake = await new_hand(browser, site)
    await namesake.pair("Vũ Văn Mẫu", Role.STAFF, position="Chuyên viên")
    await opened(officer, namesake.person)
    await officer.page.get_by_text("Chuyên viên").wait_for()
    await officer.page.get_by_label("Mã đối chiếu trên máy của người này").fill(code)
    await officer.page.get_by_text("Mã không khớp").wait_for()
    await namesake.context.close()
    await opened(officer, person.person)
    field = officer.page.get_by_label("Mã đối chiếu trên máy của người này")
    other = ("A" if code[0] != "A" else "B") + code[1:]
    await field.fill(other)
    await officer.page.get_by_text("Mã không khớp").wait_for()
    assert await officer.page.get_by_role("button", name="Ký phiếu").is_disabled()
    assert (
        await officer.page.get_by_role("radio").count() == 0
        or not await officer.page.get_by_role("radio").first.is_visible()
    )
    await faultless(officer, "another code")
    await compared(officer, code.lower().replace("-", " "))
    assert (
        await officer.page.get_by_label("Tên trên chứng thư").input_value()
        == "CN=Vũ Văn Mẫu,O=Ủy ban nhân dân xã Mẫu,C=VN"
    )
    await officer.page.get_by_label("Số không được dùng làm PIN").fill("19800131 0912345678")
    await officer.shot("42-voucher")
    await faultless(officer, "the voucher")
    await vouch(officer, code, "Cấp chữ ký số cá nhân mới")
    await officer.shot("43-voucher-signed")
    await person.look()
    # A9: what the officer forbade is refused by the signer, which alone sees the PIN.
    await person.tap("Chọn mã PIN")
    for deed in ("Chọn mã PIN mới", "Nhập lại mã PIN"):
        await person.page.get_by_text(deed).wait_for()
        await person.enter("912345678", "Tiếp tục")
    await person.page.get_by_text("quá dễ đoán").wait_for()
    await person.enter(PIN, "Tiếp tục")
    await person.page.get_by_text("Nhập lại mã PIN").wait_for()
    await person.enter(PIN, "Tiếp tục")
    await person.page.get_by_text("Đang chờ chứng thư số").wait_for()
    await certify(officer, site, "Vũ Văn Mẫu", "person", tmp_path)
    await person.look()
    await person.page.get_by_text("Thiết bị đã sẵn sàng ký").wait_for()
    await person.context.close()


async def test_the_officers_key_cannot_be_read(officer: Hand) -> None:
    kinds = await officer.page.evaluate(
        own(
            "async () => { const { key } = await (await $store).get('officer'); const found = [];"
            " for (const form of ['jwk', 'pkcs8']) await crypto.subtle.exportKey(form, key).catch((error) => found.push(error.name)); return found; }"
        )
    )
    assert kinds == ["InvalidAccessError"] * 2


async def test_a_further_device_signs_after_voucher_and_pin(officer: Hand, people: People, browser: Browser) -> None:
    """The person's own screen makes the code; the picture is the link; the key is admitted with the present PIN (A8)."""
    leader = people.leader
    await leader.page.goto("/#/me")
    await leader.page.get_by_role("link", name="Thêm thiết bị của tôi").tap()
    await leader.tap("Tạo mã ghép")
    link = await leader.page.get_by_label("Đường liên kết ghép thiết bị").input_value()
    assert await scanned(leader) == link
    await leader.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert await scanned(leader) == link
    await leader.page.evaluate("delete document.documentElement.dataset.theme")
    await leader.shot("44-further-device")
    await faultless(leader, "a further device")
    tablet = await new_hand(browser, people.site)
    tablet.person = leader.person
    await tablet.page.goto(link)
    await tablet.tap("Ghép thiết bị này")
    await tablet.page.get_by_role("heading", name="Mã đối chiếu").wait_for()
    await opened(officer, leader.person)
    await vouch(officer, await tablet.short_code(), "Thêm máy này cho chữ ký của Nguyễn Văn Mẫu")
    await tablet.look()
    await tablet.tap("Nhập mã PIN đang dùng")
    await tablet.enter("31415926", "Tiếp tục")
    await tablet.page.get_by_text("Sai mã PIN. Còn 2 lần thử.").wait_for()
    await tablet.enter(PIN, "Tiếp tục")
    await tablet.page.get_by_text("Thiết bị đã sẵn sàng ký").wait_for()
    document = await people.taken(number="401", subject="Ký từ máy thứ hai")
    await tablet.page.goto(f"/#/d/{document}/sign")
    await tablet.page.locator(".stamped img").wait_for()
    await tablet.enter(PIN, "Ký văn bản này")
    await tablet.page.get_by_role("heading", name="Đã ký").wait_for()
    await people.site.stack.until(document, "signed")
    await tablet.context.close()


async def test_a_seal_is_handed_to_a_further_holder(officer: Hand, people: People, browser: Browser) -> None:
    """SIG-8: voucher, the newcomer's own PIN, then the present holder's PIN after comparing the code; then the newcomer seals."""
    clerk, stack = people.clerk, people.site.stack
    newcomer = await new_hand(browser, people.site)
    await newcomer.pair("Bùi Thị Mẫu", Role.CLERK, office=True, position="Văn thư")
    code = await newcomer.short_code()
    await opened(officer, newcomer.person)
    await vouch(officer, code, "Thêm người giữ con dấu Ủy ban nhân dân xã Mẫu")
    await newcomer.look()
    await new_pin(newcomer)
    await newcomer.page.get_by_text("Chờ người đang giữ con dấu bàn giao").wait_for()
    await newcomer.page.reload()
    await newcomer.page.get_by_text("Chờ người đang giữ con dấu bàn giao").wait_for()
    await clerk.page.goto("/#/me")
    await clerk.page.reload()
    await clerk.page.get_by_role("link").filter(has_text="Bàn giao con dấu").tap()
    await clerk.page.get_by_text(code).wait_for()
    await clerk.shot("45-hand-over")
    await faultless(clerk, "hand over")
    await clerk.tap("Bàn giao")
    await clerk.enter(PIN, "Bàn giao")
    await clerk.page.get_by_text("Đã bàn giao").wait_for()
    await newcomer.look()
    await newcomer.page.get_by_text("Thiết bị đã sẵn sàng ký").wait_for()
    document = await people.taken(number="402", subject="Đóng dấu bởi người mới")
    leader = people.leader
    await leader.page.goto(f"/#/d/{document}/sign")
    await leader.page.locator(".stamped img").wait_for()
    await leader.enter(PIN, "Ký văn bản này")
    await stack.until(document, "signed")
    await newcomer.page.goto(f"/#/d/{document}/sign")
    await newcomer.page.locator(".stamped img").wait_for()
    await newcomer.enter(PIN, "Đóng dấu văn bản này")
    await newcomer.page.get_by_role("heading", name="Đã đóng dấu").wait_for()
    await newcomer.context.close()


async def test_people_are_found_frozen_and_paired(officer: Hand, people: People, browser: Browser) -> None:
    """A duty officer freezes, an officer lifts; an administrator makes a pairing code with its picture (C1: each by his role)."""
    stack = people.site.stack
    duty = await new_hand(browser, people.site)
    await duty.pair("Lý Văn Mẫu", Role.DUTY_OFFICER)
    page = duty.page
    await page.goto("/#/people")
    await page.reload()
    await page.get_by_role("searchbox").fill("tran thi mau")
    await page.get_by_role("link").filter(has_text="Trần Thị Mẫu").tap()
    assert await page.get_by_role("button", name="Tạo mã ghép").count() == 0
    await duty.tap("Tạm khóa khóa ký")
    await page.get_by_role("dialog").get_by_role("button", name="Tạm khóa khóa ký").tap()
    await page.get_by_text("Khóa ký đang tạm khóa").wait_for()
    await duty.shot("46-person-frozen")
    await faultless(duty, "a person")
    await officer.page.goto("/#/people")
    await officer.page.get_by_role("link").filter(has_text="Trần Thị Mẫu").tap()
    await officer.tap("Mở lại khóa ký")
    await officer.page.get_by_role("dialog").get_by_role("button", name="Mở lại khóa ký").tap()
    await officer.page.get_by_text("Khóa ký đang tạm khóa").wait_for(state="detached")
    await officer.page.get_by_label("Máy đặt tại cơ quan").check()
    await officer.tap("Tạo mã ghép")
    await officer.page.locator(".qr").wait_for()
    await officer.shot("47-person-pairing")
    await faultless(officer, "pairing code")
    rows = await stack.wiring.db.fetch_all(
        "SELECT office FROM pairings WHERE person = $1 ORDER BY created_us DESC", people.clerk.person
    )
    assert rows[0]["office"]
    assert duty.complaints == []
    await duty.context.close()
