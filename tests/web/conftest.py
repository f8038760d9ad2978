"""The web client in Debian's Chromium, as a phone, against the whole product over real HTTP.

Pictures of every screen go to the folder named by HOATOC_SCREENSHOTS, if it is set.
"""

import asyncio
import contextlib
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from granian.constants import Interfaces
from granian.server.embed import Server
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from server.app import create_app
from server.identity.model import Role
from server.identity.service import operator
from server.web.routes import scripts
from signing import device
from signing.client import KeyType, VoucherKind
from signing.core.codec import PublicJwk
from tests.fakes import pdfs
from tests.fakes.push_service import PushService, push_service
from tests.fakes.stack import ORGANISATION, ORIGIN, PIN, Caller, Stack, running

# Not by `wait_for_function`, which looks a second time by eval, and the policy refuses that.
CONTROLLED = (
    "async () => { for (let left = 4500; !navigator.serviceWorker.controller; left--) {"
    " if (!left) throw new Error('no worker controls this page'); await new Promise((later) => setTimeout(later, 20)); } }"
)
PHONE = {"width": 390, "height": 844}
# A condition that does come, on a machine that does much else, has come by then.
expect.set_options(timeout=60_000)


def chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        pytest.fail("chromium is missing: apt-get install chromium", pytrace=False)
    return found


def own(script: str) -> str:
    """A script for the page, with a promise of what the client's module `name` exports wherever `$name` stands."""

    def module(found: re.Match[str]) -> str:
        names = ",".join(f"{name}:all.{short}" for name, short in scripts().names[found[1]].items())
        return f"import('/assets/js/app.js').then((all)=>({{{names}}}))"

    return re.sub(r"\$([a-z]+)\b", module, script)


async def until(found: Callable[[], Awaitable[Any]], what: str) -> Any:
    """What `found` gives, once it is anything; a minute and a half at least."""
    for _ in range(1800):
        if value := await found():
            return value
        await asyncio.sleep(0.05)
    pytest.fail(f"never: {what}")


class Site:
    """`stack` with an address that a browser can open, and the push service that it may push to."""

    def __init__(self, stack: Stack, origin: str, push: PushService) -> None:
        self.stack = stack
        self.origin = origin
        self.push = push


class Hand:
    """A person with a phone: one browser context, its page, and everything that its console and policy complained of."""

    def __init__(self, site: Site, context: BrowserContext, page: Page) -> None:
        self.site = site
        self.context = context
        self.page = page
        self.complaints: list[str] = []
        self.person = ""
        self.credential = ""
        self.taps = 0

    async def pair(self, name: str, *roles: Role, office: bool = False, position: str = "CHỦ TỊCH") -> None:
        stack = self.site.stack
        actor = operator(stack.organisation)
        made = await stack.wiring.identity.create_person(actor, name=name, position=position, roles=list(roles))
        self.person = made.id
        code = await stack.wiring.identity.pairing_code(actor, made.id, office=office)
        await self.page.goto(code.link.reveal())
        await self.tap("Ghép thiết bị này")
        await self.page.get_by_role("heading", name="Mã đối chiếu").wait_for()

    async def tap(self, name: str, role: Any = "button") -> None:
        self.taps += 1
        await self.page.get_by_role(role, name=name, exact=True).tap()

    async def enter(self, pin: str, deed: str) -> None:
        """Digits on the pad, then its deed; digits are no taps of the count."""
        pad = self.page.get_by_role("region", name="Bàn phím mã PIN")
        for digit in pin:
            await pad.get_by_role("button", name=digit, exact=True).tap()
        await self.tap(deed)

    async def short_code(self) -> str:
        return (await self.page.locator(".code").text_content()) or ""

    async def vouched(self, name: str, purpose: str = "person") -> None:
        """The officer compares the code with the screen, then leaves the voucher."""
        stack = self.site.stack
        waiting = await stack.officer.json("GET", "/api/v1/devices/awaiting-voucher")
        shown = await self.short_code()
        found = next(one["device"] for one in waiting if one["device"]["person"] == self.person)
        assert found["short_code"] == shown
        self.credential = device.new_credential_id()
        jwk = {name: found["approval_jwk"][name] for name in ("kty", "crv", "x", "y")}
        voucher = device.voucher_jws(
            stack.officer_key, kind=VoucherKind.ENROL, organisation=ORGANISATION, person=self.person, credential=self.credential,
            key_type=KeyType.P256, subject=f"CN={name},O=Cơ quan mẫu,C=VN", approval_key=PublicJwk(**jwk), now_us=stack.wiring.clock.now_us(),
        )  # fmt: skip
        await stack.officer.json("POST", "/api/v1/vouchers", expect=201, json={"voucher": voucher, "purpose": purpose})

    async def look(self) -> None:
        """Come back to the screen: what it waits for is asked for at once."""
        await self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    async def enrol(self, name: str, purpose: str = "person", pin: str = PIN) -> None:
        await self.vouched(name, purpose)
        await self.look()
        await self.tap("Chọn mã PIN")
        await self.enter(pin, "Tiếp tục")
        await self.page.get_by_text("Nhập lại mã PIN").wait_for()
        await self.enter(pin, "Tiếp tục")
        await self.page.get_by_text("Đang chờ chứng thư số").wait_for()
        await self.site.stack.certify(self.credential, purpose)
        await self.look()
        await self.page.get_by_text("Thiết bị đã sẵn sàng ký").wait_for()

    async def shot(self, name: str) -> None:
        folder = os.environ.get("HOATOC_SCREENSHOTS")
        if folder:
            await self.page.screenshot(path=Path(folder) / f"{name}.png")

    async def call(self, method: str, path: str) -> Any:
        """Through the page's own client."""
        return await self.page.evaluate(
            own(
                "async ([method, path]) => { const api = await $api; return method === 'GET' ? api.read(path) : api.post(path); }"
            ),
            [method, path],
        )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        await browser.close()


@contextlib.asynccontextmanager
async def open_site(folder: Path) -> AsyncIterator[Site]:
    """The whole product behind an address of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    origin = f"http://localhost:{port}"
    environment = {"HOATOC_SERVER__PUBLIC_URL": origin, "HOATOC_SERVER__ALLOWED_ORIGINS": ORIGIN}
    async with (
        push_service() as push,
        running(folder, **environment, HOATOC_PUSH__WEBPUSH_PRIVATE_ORIGINS=push.origin) as stack,
    ):
        server = Server(
            create_app(stack.wiring),
            address="127.0.0.1",
            port=port,
            interface=Interfaces.ASGINL,
            websockets=False,
            log_enabled=False,
        )
        serving = asyncio.create_task(server.serve())
        await until_open(port)
        yield Site(stack, origin, push)
        stack.wiring.live.end()  # as `hoatoc serve` does: streams that are open would hold the server
        server.stop()
        with contextlib.suppress(asyncio.TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(serving, 10)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with open_site(tmp_path_factory.mktemp("web")) as opened:
        yield opened


async def until_open(port: int) -> None:
    for _ in range(1200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    pytest.fail("the server did not open its port")


async def new_hand(browser: Browser, site: Site, **options: Any) -> Hand:
    settings = {
        "viewport": PHONE,
        "has_touch": True,
        "is_mobile": True,
        "device_scale_factor": 2,
        "locale": "vi-VN",
        **options,
    }
    context = await browser.new_context(base_url=site.origin, **settings)
    # Set before any script of the page: what the policy refused is kept where the page's own code does not look.
    await context.add_init_script(
        "window.refusals = []; document.addEventListener('securitypolicyviolation',"
        " (event) => window.refusals.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));"
    )
    page = await context.new_page()
    page.set_default_timeout(60_000)
    hand = Hand(site, context, page)
    page.on("pageerror", lambda error: hand.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            message.type == "error"
            and not re.search("Failed to load resource", message.text)
            and hand.complaints.append(message.text)
        ),
    )
    page.on(
        "request",
        lambda request: (
            request.url.startswith((site.origin, "blob:")) or hand.complaints.append(f"request to {request.url}")
        ),
    )
    return hand


@pytest_asyncio.fixture(loop_scope="session")
async def hand(browser: Browser, site: Site) -> AsyncIterator[Hand]:
    """A phone that nobody has paired."""
    made = await new_hand(browser, site)
    yield made
    await made.context.close()


class People:
    """A leader and a clerk whose browsers are ready to sign."""

    def __init__(self, site: Site, leader: Hand, clerk: Hand) -> None:
        self.site = site
        self.leader = leader
        self.clerk = clerk

    async def taken(self, pdf: bytes | None = None, **metadata: Any) -> str:
        signer = Caller(self.site.stack.http)
        signer.person = self.leader.person
        answer = await self.site.stack.take_in(pdf or pdfs.vietnamese(), [signer], **metadata)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def people(browser: Browser, site: Site) -> AsyncIterator[People]:
    leader, clerk = await new_hand(browser, site), await new_hand(browser, site)
    await leader.pair("Nguyễn Văn Mẫu", Role.LEADER)
    await leader.shot("01-code")
    await leader.enrol("Nguyễn Văn Mẫu")
    await clerk.pair("Trần Thị Mẫu", Role.CLERK, office=True, position="Văn thư")
    await clerk.enrol("Ủy ban nhân dân xã Mẫu", "seal")
    yield People(site, leader, clerk)
    await leader.context.close()
    await clerk.context.close()
