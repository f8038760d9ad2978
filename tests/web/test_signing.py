"""The road through the browser: pairing, enrolment, reading, signing, sealing; wrong PINs; what is true on the screen."""

import pytest
from playwright.async_api import Locator, Request, Route

from signing.client import SignerClient
from signing.core.errors import Busy
from tests.fakes.stack import PIN
from tests.web.conftest import Hand, People

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_from_the_inbox_to_sealed(people: People) -> None:
    """Pairing and enrolment stand in the fixture; here: open, read, sign, seal, in three taps besides the digits (SIG-7, SIG-8)."""
    leader, clerk, stack = people.leader, people.clerk, people.site.stack
    document = await people.taken(subject="Về việc phân công trực phòng chống bão số 9", urgency=3, number="101")
    await leader.page.goto("/")
    await leader.page.get_by_text("bão số 9").wait_for()
    leader.taps = 0
    answers: list[Request] = []

    def finished(request: Request) -> None:
        answers.append(request)

    leader.page.on("requestfinished", finished)
    await leader.page.get_by_role("link").filter(has_text="bão số 9").tap()
    leader.taps += 1
    await leader.page.locator(".page img").first.wait_for()
    await leader.shot("05-document")
    await leader.tap("Ký", "link")
    await leader.page.locator(".stamped img").wait_for()
    await leader.page.get_by_role("button", name="1", exact=True).wait_for()
    await leader.shot("06-sheet")
    await leader.enter(PIN, "Ký văn bản này")
    await leader.page.get_by_role("heading", name="Đã ký").wait_for()
    assert leader.taps == 3
    leader.page.remove_listener("requestfinished", finished)
    sizes = [await one.sizes() for one in answers if one.url.startswith(people.site.origin)]
    total = sum(
        size["responseBodySize"] + size["responseHeadersSize"] + size["requestBodySize"] + size["requestHeadersSize"]
        for size in sizes
    )
    assert 10_000 < total <= 150_000
    await leader.page.get_by_text("Chữ ký và dấu thời gian đã được ghi.").wait_for()
    await leader.shot("07-signed")
    await stack.until(document, "signed")

    await clerk.page.goto("/#/seal")
    await clerk.page.get_by_role("link").filter(has_text="bão số 9").tap()
    await clerk.tap("Đóng dấu", "link")
    await clerk.page.locator(".stamped img").wait_for()
    await clerk.enter(PIN, "Đóng dấu văn bản này")
    await clerk.page.get_by_role("heading", name="Đã đóng dấu").wait_for()
    await stack.until(document, "sealed", "forwarded", "delivered", "accepted")
    assert leader.complaints == []
    assert clerk.complaints == []
    assert await leader.page.evaluate("window.refusals") == []


async def opened(hand: Hand, document: str, deed: str = "Ký văn bản này") -> Locator:
    """The sheet of a document, ready for digits; its deed."""
    await hand.page.goto(f"/#/d/{document}/sign")
    await hand.page.locator(".stamped img").wait_for()
    await hand.page.locator(".keys button:enabled").first.wait_for()
    return hand.page.get_by_role("button", name=deed)


async def test_a_wrong_pin_shows_the_tries_left_and_signs_nothing(people: People) -> None:
    """A6: what the screen says is what the signer counted."""
    leader, stack = people.leader, people.site.stack
    document = await people.taken(number="102", subject="Về việc sai mã PIN")
    deed = await opened(leader, document)
    assert await deed.is_disabled()
    await leader.enter("31415926", "Ký văn bản này")
    await leader.page.get_by_text("Sai mã PIN. Còn 2 lần thử.").wait_for()
    await leader.page.locator(".keys button:enabled").first.wait_for()
    await leader.shot("08-wrong-pin")
    assert await stack.state(document) == "in_review"
    tries = await leader.call("GET", f"/api/v1/me/credentials/{leader.credential}/tries")
    assert tries["tries_left"] == 2
    await leader.enter(PIN, "Ký văn bản này")
    await leader.page.get_by_role("heading", name="Đã ký").wait_for()
    await stack.until(document, "signed")


async def test_a_lost_answer_is_not_taken_for_a_no(people: People) -> None:
    """A10, D1: the approval arrives, its answer does not; the screen finds the truth and nothing is signed twice."""
    leader, stack = people.leader, people.site.stack
    document = await people.taken(number="103", subject="Về việc mất mạng khi đang ký")
    await opened(leader, document)
    lost = 0

    async def cut(route: Route) -> None:
        nonlocal lost
        if lost < 2:
            await route.fetch()
            lost += 1
            await route.abort("connectionreset")
        else:
            await route.continue_()

    await leader.page.route("**/api/v1/approvals", cut)
    await leader.enter(PIN, "Ký văn bản này")
    await leader.page.get_by_text("Mất mạng khi đang gửi").wait_for()
    await leader.page.get_by_text("Chữ ký và dấu thời gian đã được ghi.").wait_for(timeout=60_000)
    await leader.page.unroute("**/api/v1/approvals")
    assert lost >= 1
    read = await leader.call("GET", f"/api/v1/documents/{document}")
    assert [one["kind"] for one in read["revisions"]].count("signature") == 1
    await stack.until(document, "signed")


async def test_an_approval_that_never_arrived_is_sent_again(people: People) -> None:
    leader, stack = people.leader, people.site.stack
    document = await people.taken(number="104", subject="Về việc yêu cầu không đến nơi")
    await opened(leader, document)
    cut = 0

    async def drop(route: Route) -> None:
        nonlocal cut
        cut += 1
        if cut == 1:
            await route.abort("connectionreset")
        elif cut == 2:  # a gateway that gave up says nothing of what is behind it
            await route.fulfill(status=504, content_type="text/html", body="<h1>Gateway Time-out</h1>")
        else:
            await route.continue_()

    await leader.page.route("**/api/v1/approvals", drop)
    await leader.enter(PIN, "Ký văn bản này")
    await leader.page.get_by_text("Chữ ký và dấu thời gian đã được ghi.").wait_for(timeout=60_000)
    await leader.page.unroute("**/api/v1/approvals")
    assert cut == 3
    await stack.until(document, "signed")


@pytest.mark.parametrize("part", ["manifest", "image", "statement"])
async def test_no_pin_is_taken_for_bytes_that_do_not_fit(people: People, part: str) -> None:
    """Rule: what is shown is what is approved is what is signed. One changed byte on the way, and nothing is approved."""
    leader, stack = people.leader, people.site.stack
    document = await people.taken(subject=f"Về việc nội dung bị đổi: {part}")
    pattern = {
        "manifest": "**/prepared/*/manifest",
        "image": "**/prepared/*/images/*",
        "statement": "**/credentials/*/challenge",
    }[part]
    sent: list[str] = []
    leader.page.on("request", lambda request: sent.append(request.url))

    async def change(route: Route) -> None:
        answer = await route.fetch()
        body = bytearray(await answer.body())
        at = (
            body.index(b'"y":"') + 6
            if part == "statement"
            else body.index(b'"digest":"') + 10
            if part == "manifest"
            else len(body) // 2
        )
        body[at] = ord("A") if body[at] != ord("A") else ord("B")
        await route.fulfill(response=answer, body=bytes(body))

    await leader.page.route(pattern, change)
    if part == "statement":
        await opened(leader, document)
        await leader.enter(PIN, "Ký văn bản này")
        await leader.page.get_by_text("Bộ ký số không khớp").wait_for()
        await leader.shot("09-unsafe")
    else:
        await leader.page.goto(f"/#/d/{document}/sign")
        await leader.page.get_by_text("không khớp mã băm").wait_for()
        assert await leader.page.locator(".keys button:enabled").count() == 0
    await leader.page.unroute(pattern)
    assert not any(url.endswith("/api/v1/approvals") for url in sent)
    assert await stack.state(document) == "in_review"


async def test_a_busy_signer_costs_a_new_sheet_and_no_try(people: People) -> None:
    """The approval is spent, nothing was signed: the screen prepares anew, says so, and the same PIN signs."""
    leader, stack = people.leader, people.site.stack
    document = await people.taken(number="106", subject="Về việc ký lúc đông người")
    await opened(leader, document)

    async def busy(*_: object) -> None:
        raise Busy("too many at once")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SignerClient, "activate", busy)
        await leader.enter(PIN, "Ký văn bản này")
        await leader.page.get_by_text("Văn bản chưa được ký; đợi vài giây").wait_for(timeout=60_000)
    assert await stack.state(document) == "in_review"
    await leader.page.locator(".keys button:enabled").first.wait_for(timeout=60_000)
    tries = await leader.call("GET", f"/api/v1/me/credentials/{leader.credential}/tries")
    assert tries["tries_left"] == 3
    await leader.enter(PIN, "Ký văn bản này")
    await leader.page.get_by_text("Chữ ký và dấu thời gian đã được ghi.").wait_for(timeout=60_000)
    await stack.until(document, "signed")
