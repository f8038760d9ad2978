"""The road through the browser: pairing, enrolment, reading, signing, sealing; wrong PINs; what is true on the screen."""

import pytest

from tests.fakes.stack import PIN
from tests.web.conftest import People

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_from_the_inbox_to_sealed(people: People) -> None:
    """Pairing and enrolment stand in the fixture; here: open, read, sign, seal, in three taps besides the digits (SIG-7, SIG-8)."""
    leader, clerk, stack = people.leader, people.clerk, people.site.stack
    document = await people.taken(subject="Về việc phân công trực phòng chống bão số 9", urgency=3, number="101")
    await leader.page.goto("/")
    await leader.page.get_by_text("bão số 9").wait_for()
    leader.taps = 0
    await leader.page.get_by_role("link").filter(has_text="bão số 9").tap()
    leader.taps += 1
    await leader.page.locator(".page img").first.wait_for()
    await leader.shot("05-document")
    await leader.tap("Ký", "link")
    await leader.page.locator(".stamped img").wait_for()
    await leader.shot("06-sheet")
    await leader.enter(PIN, "Ký văn bản này")
    await leader.page.get_by_role("heading", name="Đã ký").wait_for()
    assert leader.taps == 3
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
    assert leader.complaints == [] and clerk.complaints == []
    assert await leader.page.evaluate("window.refusals") == []
