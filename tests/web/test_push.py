"""Web Push as a person meets it: turned on by a tap, proved by an echo, shown without content, opened, acknowledged, taken away.

The subscription itself is made at the push service of the npm package web-push-testing, because a browser without a network cannot make
one at its vendor's; what that service decrypted is delivered to the service worker through DevTools. All between is the real thing.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Worker, expect

from server.identity.model import Role
from tests.fakes import pdfs
from tests.fakes.stack import Caller
from tests.web.conftest import CONTROLLED, Hand, Site, new_hand, own, until
from tests.web.test_screens import faultless, refused

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUBJECT = "Về việc điều động nhân sự mật danh CHIM-ÉN"
# A subscription as the page sees it; it lives as long as the page's storage does.
STUB = """() => {
  const held = () => {
    const text = localStorage.getItem("stub");
    if (!text) return null;
    const { endpoint, keys } = JSON.parse(text);
    return { endpoint, options: {}, toJSON: () => ({ endpoint, expirationTime: null, keys }), unsubscribe: async () => { localStorage.removeItem("stub"); return true; } };
  };
  PushManager.prototype.getSubscription = async () => held();
  PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
    if (!userVisibleOnly) throw new Error("silent");
    localStorage.setItem("stub", await window.subscribeAt(btoa(String.fromCharCode(...new Uint8Array(applicationServerKey)))));
    return held();
  };
}"""


class Pushed:
    """A paired phone whose push messages pass through the test's hands."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.site = hand.site
        self.name = ""
        self._taken = 0
        self._registration = ""
        self._devtools: Any = None

    async def open(self) -> None:
        hand = self.hand
        await hand.context.grant_permissions(["notifications"], origin=self.site.origin)
        await hand.page.expose_function("subscribeAt", self._subscribe)
        await hand.page.add_init_script(f"({STUB})()")
        self._devtools = await hand.context.new_cdp_session(hand.page)
        self._devtools.on("ServiceWorker.workerRegistrationUpdated", self._learn)
        await self._devtools.send("ServiceWorker.enable")
        await hand.pair("Nguyễn Thị Mẫu", Role.LEADER)
        await hand.page.evaluate(CONTROLLED)

    def _learn(self, event: Any) -> None:
        for one in event["registrations"]:
            if one["scopeURL"].startswith(self.site.origin):
                self._registration = one["registrationId"]

    async def _subscribe(self, key: str) -> str:
        point = base64.urlsafe_b64encode(base64.b64decode(key)).rstrip(b"=").decode()
        vapid = self.site.stack.wiring.vapid
        assert vapid is not None
        assert point == vapid.public
        self.name, made = await self.site.push.subscribe(point)
        return json.dumps(made)

    async def message(self) -> dict[str, Any]:
        """The next message that the push service decrypted."""

        async def more() -> Any:
            found = await self.site.push.messages(self.name)
            return found[self._taken :]

        found: list[dict[str, Any]] = await until(more, "a push")
        self._taken += 1
        return found[0]

    async def deliver(self, message: Any) -> None:
        data = message if isinstance(message, str) else json.dumps(message)
        await self._devtools.send(
            "ServiceWorker.deliverPushMessage",
            {"origin": self.site.origin, "registrationId": self._registration, "data": data},
        )

    async def arrives(self, message: Any, found: Callable[[], Awaitable[Any]], what: str) -> Any:
        """What `found` gives once it is anything. A push service repeats what a worker that was just restarted did not take; DevTools does not tell."""
        for _ in range(3):
            await self.deliver(message)
            for _ in range(600):
                if value := await found():
                    return value
                await asyncio.sleep(0.05)
        pytest.fail(f"never: {what}")

    async def worker(self) -> Worker:
        return self.hand.context.service_workers[0]

    async def shown(self) -> list[dict[str, Any]]:
        return list(
            await self.hand.page.evaluate(
                "async () => (await (await navigator.serviceWorker.ready).getNotifications())"
                ".map(({ title, body, tag, data, actions, requireInteraction }) => ({ title, body, tag, data, actions: actions.map((one) => one.title), requireInteraction }))"
            )
        )

    async def click(self, tag: str, action: str = "") -> None:
        """What the system tells the worker when a person taps the notification, or one of its buttons."""
        await (await self.worker()).evaluate(
            """async ([tag, action]) => {
              const [notification] = await self.registration.getNotifications({ tag });
              self.dispatchEvent(new NotificationEvent("notificationclick", { notification, action }));
            }""",
            [tag, action],
        )

    async def settle(self) -> str:
        """One more document and its push. The worker takes pushes in turn, so all before are done with when this one is shown."""
        document = await self.taken(subject="Để biết là đã xong", urgency=0)
        message = await self.message()

        async def shown() -> bool:
            return any(one["tag"] == document for one in await self.shown())

        await self.arrives(message, shown, "the last of the pushes")
        return document

    async def turn_on(self) -> None:
        page = self.hand.page
        await page.goto("/#/me")
        await self.hand.tap("Bật thông báo")
        await page.get_by_text("Đang chờ thông báo thử").wait_for()
        await self.arrives(await self.message(), self.shown, "the notification of the activation")
        await page.get_by_text("Đang bật trên máy này").wait_for()
        await page.evaluate(
            "async () => { for (const one of await (await navigator.serviceWorker.ready).getNotifications()) one.close(); }"
        )

    async def taken(self, **metadata: Any) -> str:
        signer = Caller(self.site.stack.http)
        signer.person = self.hand.person
        answer = await self.site.stack.take_in(pdfs.vietnamese(), [signer], **{"subject": SUBJECT, **metadata})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def delivery(self, notice: str) -> Any:
        return await self.site.stack.wiring.db.fetch_one(
            "SELECT state, received_us, shown_us, read_us FROM deliveries WHERE notice = $1", notice
        )


@pytest_asyncio.fixture(loop_scope="session")
async def phone(browser: Browser, site: Site) -> AsyncIterator[Pushed]:
    made = Pushed(await new_hand(browser, site))
    await made.open()
    yield made
    await made.hand.context.close()


async def test_from_the_tap_in_settings_to_the_open_document(phone: Pushed) -> None:
    """C10's echo, C12's empty payload, receipts of the device itself; the document opens by a tap on the notification."""
    page, db = phone.hand.page, phone.site.stack.wiring.db
    await page.goto("/#/me")
    await page.get_by_text("Đang tắt trên máy này").wait_for()
    await faultless(phone.hand, "settings of push")
    await phone.hand.tap("Bật thông báo")
    await page.get_by_text("Đang chờ thông báo thử").wait_for()
    challenge = await phone.message()
    assert set(challenge) == {"c", "x"}
    state = "SELECT state FROM push_addresses WHERE transport = 'webpush' ORDER BY seen_us DESC"
    assert (await db.fetch_one(state))["state"] == "pending"
    await phone.arrives(challenge, phone.shown, "the notification of the activation")
    await page.get_by_text("Đang bật trên máy này").wait_for()
    assert (await db.fetch_one(state))["state"] == "active"
    await phone.hand.shot("30-push-on")

    document = await phone.taken(urgency=3, number="412")
    message = await phone.message()
    assert set(message) == {"id", "l", "x", "r"}
    assert message["l"] == "u"

    async def standing() -> Any:
        return [one for one in await phone.shown() if one["data"]]

    (shown,) = await phone.arrives(message, standing, "a notification")
    assert shown["title"] == "Hỏa tốc · Văn bản chờ ký"
    assert shown["body"] == "Bạn có thông báo khẩn mới"
    assert (shown["tag"], shown["requireInteraction"]) == (document, True)
    assert shown["actions"] == ["Mở văn bản", "Đã biết"]
    assert SUBJECT not in json.dumps(shown, ensure_ascii=False)

    async def reported() -> bool:
        row = await phone.delivery(message["id"])
        return bool(row["received_us"] and row["shown_us"])

    await until(reported, "received and shown")
    assert (await phone.delivery(message["id"]))["state"] == "accepted"
    await phone.deliver(message)
    after = await phone.settle()
    tags = [one["tag"] for one in await standing()]
    assert sorted(tags) == sorted([document, after]), "the same push again replaces its notification"

    await phone.click(document)
    await page.get_by_role("heading", name="412/QĐ-UBND").wait_for()
    assert page.url.endswith(f"/#/d/{document}")

    async def read() -> bool:
        return bool((await phone.delivery(message["id"]))["read_us"])

    await until(read, "read")
    await phone.deliver(message)
    await phone.deliver({"id": "A" * 22, "l": "n", "x": "1", "r": "1"})
    await phone.deliver("not JSON")
    last = await phone.settle()
    tags = [one["tag"] for one in await standing()]
    assert sorted(tags) == sorted([after, last]), "what was put aside stays aside; another person's notice is not shown"
    assert await refused(phone.hand) == []
    assert phone.hand.complaints == []


async def test_a_recall_replaces_the_notification_and_an_acknowledgement_takes_it_away(phone: Pushed) -> None:
    await phone.turn_on()
    document = await phone.taken(urgency=1)
    first = await phone.message()

    async def titles() -> list[str]:
        return [one["title"] for one in await phone.shown()]

    async def waiting() -> bool:
        return await titles() == ["Khẩn · Văn bản chờ ký"]

    await phone.arrives(first, waiting, "the first notification")
    await phone.site.stack.qlvb.call("POST", f"/api/v1/documents/{document}/recall", json={"reason": "Sai thể thức"})
    second = await phone.message()

    async def replaced() -> bool:
        return await titles() == ["Khẩn · Văn bản đã thu hồi"]

    await phone.arrives(second, replaced, "one notification, of the recall")
    # The overtaken push, late: it says nothing any more, and takes nothing away that is newer.
    await phone.deliver(first)
    await phone.settle()
    assert sorted(await titles()) == ["Khẩn · Văn bản đã thu hồi", "Văn bản chờ ký"]

    await phone.click(document, "ack")

    async def acknowledged() -> bool:
        rows = await phone.site.stack.wiring.db.fetch_all(
            "SELECT 1 FROM notices WHERE id = $1 AND acknowledged_us IS NOT NULL", second["id"]
        )
        return bool(rows)

    await until(acknowledged, "the acknowledgement")
    assert await titles() == ["Văn bản chờ ký"]

    # Acknowledged on another device: gone here with the next sign of life.
    await phone.taken(urgency=2)
    third = await phone.message()

    async def two() -> bool:
        return len(await titles()) == 2

    await phone.arrives(third, two, "a third notification")
    await phone.hand.call("POST", f"/api/v1/notices/{third['id']}/acknowledgement")
    await phone.settle()

    async def gone() -> bool:
        return await titles() == ["Văn bản chờ ký"] * 2

    await until(gone, "the acknowledged one is taken away")


async def test_the_subject_stands_on_the_screen_only_where_the_person_asked_for_it(phone: Pushed) -> None:
    """C12, fcm.md 7: nothing of the content on a lock screen unasked."""
    await phone.turn_on()
    await phone.hand.page.get_by_text("Hiện số và trích yếu").tap()
    await phone.taken(urgency=1, number="5", subject=f"{SUBJECT} \u202egnas")
    (shown,) = await phone.arrives(await phone.message(), phone.shown, "a notification")
    assert shown["body"] == f"5/QĐ-UBND · {SUBJECT} gnas"

    # With the client closed the tap opens it, and the notice has been read all the same.
    worker = await phone.worker()
    await worker.evaluate(
        "() => { self.clients.matchAll = async () => []; self.clients.openWindow = async (url) => { self.opening = url; }; }"
    )
    await phone.click(shown["tag"], "open")

    async def read() -> bool:
        return bool((await phone.delivery(shown["data"]["notice"]))["read_us"])

    await until(read, "read")
    assert await worker.evaluate("() => self.opening") == f"/#/d/{shown['data']['document']}"


async def test_without_a_network_the_neutral_sentence_is_shown(phone: Pushed) -> None:
    await phone.turn_on()
    await phone.taken(urgency=1)
    message = await phone.message()
    # The worker's requests fail too.
    await phone.hand.context.set_offline(True)
    worker = await phone.worker()
    await worker.evaluate("() => { self.fetch = async () => { throw new TypeError('cut'); }; }")
    (shown,) = await phone.arrives(message, phone.shown, "a notification")
    assert (shown["title"], shown["body"], shown["tag"]) == ("Hỏa Tốc", "Bạn có thông báo khẩn mới", message["id"])


async def test_log_out_ends_it_on_both_sides(phone: Pushed) -> None:
    """C14: no subscription, no address, no notification is left; a late push says only that there is something."""
    await phone.turn_on()
    await phone.taken(urgency=1)
    message = await phone.message()
    await phone.arrives(message, phone.shown, "a notification")
    await phone.hand.tap("Đăng xuất")
    await phone.hand.page.get_by_role("dialog").get_by_role("button", name="Đăng xuất").tap()
    await phone.hand.page.get_by_role("heading", name="Đã đăng xuất").wait_for()
    assert await phone.shown() == []
    assert await phone.hand.page.evaluate("localStorage.getItem('stub')") is None
    device = await phone.hand.page.evaluate(own("async () => (await (await $store).get('device')).device"))
    rows = await phone.site.stack.wiring.db.fetch_all("SELECT 1 FROM push_addresses WHERE device = $1", device)
    assert rows == []
    (shown,) = await phone.arrives(message, phone.shown, "the neutral notification")
    assert shown["body"] == "Bạn có thông báo khẩn mới"
    # A tap on it begins no session; another push after it shows that the worker is done with the tap.
    await phone.click(shown["tag"])

    async def after() -> bool:
        return any(one["tag"] == "B" * 22 for one in await phone.shown())

    await phone.arrives({"id": "B" * 22, "l": "n", "x": "1", "r": "1"}, after, "what came after the tap")
    assert not await phone.site.stack.wiring.db.fetch_all("SELECT 1 FROM access_tokens WHERE device = $1", device)


async def test_it_is_turned_off_and_a_dead_subscription_is_made_anew(phone: Pushed) -> None:
    """D4: gone at the service is forgotten here after one answer; the next start of the client subscribes again."""
    db, page = phone.site.stack.wiring.db, phone.hand.page
    await phone.turn_on()
    device = await page.evaluate(own("async () => (await (await $store).get('device')).device"))
    state = "SELECT state FROM push_addresses WHERE device = $1"
    await phone.site.push.expire(phone.name)
    await phone.taken()

    async def dead() -> bool:
        row = await db.fetch_one(state, device)
        return row is not None and row["state"] == "dead"

    await until(dead, "the address is dead")
    first = phone.name
    await page.evaluate("localStorage.removeItem('pushed')")
    await page.reload()

    async def pending() -> bool:
        row = await db.fetch_one(state, device)
        return row is not None and row["state"] == "pending"

    await until(pending, "a new subscription")
    assert phone.name != first
    phone._taken = 0
    await phone.arrives(await phone.message(), phone.shown, "the notification of the activation")
    await page.get_by_text("Đang bật trên máy này").wait_for()
    await phone.hand.tap("Tắt thông báo")
    await expect(page.get_by_role("button", name="Bật thông báo")).to_be_visible()
    assert await db.fetch_one(state, device) is None
