"""What is refused: an arrival returned, a sender's request refused, a send and a recall that the exchange did not take."""

import pytest
from playwright.async_api import expect

from server.exchange.business import Revoke
from tests.fakes import pdfs
from tests.fakes.arrivals import arrived, send
from tests.web.conftest import People
from tests.web.test_screens import faultless

pytestmark = pytest.mark.asyncio(loop_scope="session")
SUBJECT = "Về việc kiểm tra phòng cháy mẫu"


async def test_refusals_are_pressed_and_seen(people: People) -> None:
    """EXC-3, EXC-5, EXC-6: 02 and 16 leave with the clerk's reason; what the axis refused says why, and who still has a recalled document."""
    clerk, stack = people.clerk, people.site.stack
    page = clerk.page

    async def decided(arrival: str, reason: str, button: str, state: str) -> None:
        await page.goto(f"/#/a/{arrival}")
        await page.get_by_label("Lý do").fill(reason)
        await clerk.tap(button)
        await expect(page.get_by_text(state).first).to_be_visible()

    first = await arrived(stack, pdfs.plain(), subject=SUBJECT, number="7101")
    await decided(first, "Gửi nhầm nơi nhận", "Trả lại", "Đã trả lại")
    exchange_id = await send(stack, pdfs.plain(), subject=SUBJECT, number="7102")
    request = await arrived(
        stack, pdfs.plain(), asked=Revoke(document_id=exchange_id, reason="Sai thẩm quyền"), subject=SUBJECT, number="7102", kind="revoke"
    )  # fmt: skip
    await decided(request, "Đã xử lý xong", "Từ chối", "Đã từ chối")
    rows = await stack.wiring.db.fetch_all(
        "SELECT what, packet FROM outgoing_messages WHERE what IN ('02', '16') ORDER BY what"
    )
    said = [(row["what"], reason in bytes(row["packet"]).decode()) for row, reason in zip(rows, ("Gửi nhầm nơi nhận", "Đã xử lý xong"), strict=True)]  # fmt: skip
    assert said == [("02", True), ("16", True)]

    document = await people.taken(subject="Văn bản không gửi được", number="7103")
    now_us = stack.wiring.clock.now_us()

    async def refused(tx):  # type: ignore[no-untyped-def]
        """As if the axis had refused it: sealing has tests of its own."""
        await tx.execute("UPDATE documents SET state = 'sealed' WHERE id = $1", document)
        await tx.execute(
            "INSERT INTO outgoing_packets (id, organisation, document, kind, sender, reference, revision, blob, stage, attempts, not_before_us, doc_id, "
            "code, description, created_us) SELECT id, organisation, id, 'edoc', 'X01', '7103/QĐ-UBND', head, head, 'refused', 1, 0, '', '18', "
            "'Don vi nhan khong ton tai', $2 FROM documents WHERE id = $1",
            document, now_us,
        )  # fmt: skip
        await tx.execute(
            "INSERT INTO packet_receivers (packet, organ_id, position, name, state, updated_us) VALUES ($1, 'X02', 0, 'Cơ quan Mẫu Hai', 'failed', $2)",
            document, now_us,
        )  # fmt: skip

    async def recalled(tx):  # type: ignore[no-untyped-def]
        """And the same document once it had left and its recall was refused, with a page of it on a phone."""
        await tx.execute("UPDATE outgoing_packets SET stage = 'accepted', code = '' WHERE document = $1", document)
        await tx.execute("UPDATE documents SET state = 'recalled', state_since_us = $2 WHERE id = $1", document, now_us)
        await tx.execute(
            "INSERT INTO outgoing_messages (id, organisation, subject, kind, what, distinct_key, reference, receivers, packet, stage, attempts, "
            "not_before_us, doc_id, code, description, created_us) SELECT id, organisation, id, 'edoc', 'revoke', '', 'x', '[\"X02\"]', $3, 'refused', 1, "
            "0, '', '10', 'Goi tin khong hop le', $2 FROM documents WHERE id = $1",
            document, now_us, b"{}",
        )  # fmt: skip
        await tx.execute(
            "INSERT INTO page_openings (document, person, page, image, device, at_us) "
            "SELECT $1, person, 1, 'x', id, 1 FROM devices WHERE person = $2 AND state = 'active'",
            document, people.leader.person,
        )  # fmt: skip

    await stack.wiring.db.transact(refused)
    await page.goto(f"/#/a/sent/{document}")
    await page.get_by_text("Nơi nhận không tồn tại trên trục").wait_for()
    await page.get_by_text("18 Don vi nhan khong ton tai").wait_for()
    await clerk.shot("83-refused")
    await stack.wiring.db.transact(recalled)
    await page.reload()
    await page.get_by_text("10 Goi tin khong hop le").wait_for()
    await page.get_by_text("Chưa xóa khỏi thiết bị").first.wait_for()
    await clerk.shot("84-recall-refused")
    await faultless(clerk, "refusals")
    assert not clerk.complaints
