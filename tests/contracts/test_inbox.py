"""Both engines write the same lines of an inbox, and write them as the API describes them."""

import msgspec
import pytest

from server.documents import queries
from server.documents.routes import InboxItem
from server.identity.model import Actor
from server.wire import iso, iso_or_none

pytestmark = pytest.mark.asyncio

ME = Actor("person", "p1", "o1")
# waiting, urgency, at_us, state_due_us, due_date, subject
ROWS = [
    (1, 4, 1_795_000_000_000_004, None, None, 'Về việc "đỏ"\n\\ \u2028 </script>'),
    (1, 4, 1_795_000_000_000_000, 1_795_000_000_999_999, "2026-12-01", "một"),
    (1, 0, 0, 1, "", ""),
    (0, 4, 2_000_000_000_000_010, 4_102_444_800_000_000, None, "năm 2100"),
    (0, 4, 2_000_000_000_000_009, None, None, "cùng giây"),
    (0, 1, 951_782_399_999_999, None, None, "29.02.2000"),
]


async def seed(db):
    async def body(tx):
        await tx.execute("INSERT INTO organisations (id, code, name, created_us) VALUES ('o1', 'X01', 'Xã Mẫu', 1)")
        for number, (waiting, urgency, at_us, due_us, due, subject) in enumerate(ROWS):
            await tx.execute(
                "INSERT INTO documents (id, organisation, client, state, state_since_us, state_due_us, step, head, version, page_count, code_number,"
                " code_notation, subject, type_name, urgency, promulgation_place, promulgation_date, due_date, header, exchange_id, created_us, updated_us)"
                " VALUES ($1, 'o1', 'c', 'in_review', 1, $2, 1, $3, 1, 7, '31', 'QĐ-UBND', $4, 'Quyết định', 0, 'Xã Mẫu', '2026-11-22', $5, $6, $1, 1, 1)",
                f"d{number}", due_us, "ab" * 32, subject, due, b"{}",
            )  # fmt: skip
            await tx.execute(
                "INSERT INTO document_readers (person, document, organisation, reason, waiting, urgency, at_us) VALUES ('p1', $1, 'o1', 'sign', $2, $3, $4)",
                f"d{number}", waiting, urgency, at_us,
            )  # fmt: skip

    await db.transact(body)


async def test_lines_are_what_the_api_describes_in_the_promised_order(db):
    await seed(db)
    first = (9, 9, 2**62, "")
    found = await queries.inbox(db, ME, before=first, limit=50)
    assert [msgspec.json.decode(row.line, type=InboxItem) for row in found] == [
        InboxItem(
            id=f"d{number}",
            waiting=bool(waiting),
            reason="sign",
            urgency=urgency,
            state="in_review",
            number="31",
            notation="QĐ-UBND",
            subject=subject,
            type_name="Quyết định",
            page_count=7,
            revision="ab" * 32,
            due_date=due,
            overdue_at=iso_or_none(due_us),
            at=iso(at_us),
        )
        for number, (waiting, urgency, at_us, due_us, due, subject) in enumerate(ROWS)
    ]
    assert all(set(msgspec.json.decode(row.line)) == set(InboxItem.__struct_fields__) for row in found)
    assert [(row.waiting, row.urgency, row.at_us, row.id) for row in found] == [
        (*ROWS[number][:3], f"d{number}") for number in range(len(ROWS))
    ]
    assert await queries.inbox(db, Actor("person", "p2", "o1"), before=first, limit=50) == []


@pytest.mark.parametrize("size", [1, 2, 4])
async def test_pages_follow_each_other_without_gap_or_repetition(db, size):
    await seed(db)
    seen, before = [], (9, 9, 2**62, "")
    while page := await queries.inbox(db, ME, before=before, limit=size):
        seen += [row.id for row in page]
        last = page[-1]
        before = (last.waiting, last.urgency, last.at_us, last.id)
    assert seen == [f"d{number}" for number in range(len(ROWS))]
