"""Transitions of documents on both engines: what a state that follows itself keeps (TIM-5), and what belongs to a document (SIG-4)."""

import pytest

from server.approvals.queries import annexed_since
from server.documents import queries
from server.documents.model import State

pytestmark = pytest.mark.asyncio


async def seed(db):
    async def body(tx):
        await tx.execute("INSERT INTO organisations (id, code, name, created_us) VALUES ('o1', 'X01', 'Xã Mẫu', 1)")
        await tx.execute(
            "INSERT INTO documents (id, organisation, client, state, state_since_us, state_due_us, alarmed_us, step, head, version, page_count,"
            " code_number, code_notation, subject, type_name, urgency, promulgation_place, promulgation_date, header, exchange_id, created_us, updated_us)"
            " VALUES ('d1', 'o1', 'c', 'forwarded', 10, 20, 30, 1, $1, 1, 7, '31', 'QĐ-UBND', 'mẫu', 'Quyết định', 0, 'Xã Mẫu', '2026-11-22', $2, $3, 1, 1)",
            "ab" * 32, b"{}", "e1",
        )  # fmt: skip

    await db.transact(body)


async def moved(db, to, head, new_head, now_us):
    done = await db.transact(
        lambda tx: queries.set_state(
            tx, "d1", expected=State.FORWARDED, head=head, state=to, step=1, new_head=new_head, due_us=20, now_us=now_us
        )
    )
    assert done == 1
    return dict(await db.fetch_one("SELECT state, head, state_since_us, alarmed_us, updated_us FROM documents"))


async def test_a_new_head_alone_repeats_no_alarm_and_a_new_state_may_alarm_again(db):
    await seed(db)
    head, archived = "ab" * 32, "cd" * 32
    same = await moved(db, State.FORWARDED, head, archived, 40)
    assert same == {"state": "forwarded", "head": archived, "state_since_us": 10, "alarmed_us": 30, "updated_us": 40}
    other = await moved(db, State.DELIVERED, archived, archived, 50)
    assert (other["state_since_us"], other["alarmed_us"]) == (50, None)


async def test_what_belongs_together_is_counted_and_a_change_of_it_is_seen(db):
    await seed(db)

    async def body(tx):
        for name in ("a1", "a2"):
            await tx.execute(
                "INSERT INTO documents (id, organisation, client, state, state_since_us, step, head, version, page_count, code_number, code_notation, subject,"
                " type_name, urgency, promulgation_place, promulgation_date, header, exchange_id, created_us, updated_us, annex_of)"
                " SELECT $1, organisation, client, 'in_review', 20, 1, $2, 1, 1, code_number, code_notation, subject, type_name, urgency, promulgation_place,"
                " promulgation_date, header, $1, 20, 20, id FROM documents WHERE id = 'd1'",
                name, name,
            )  # fmt: skip
        for document, digest, at_us in (("d1", "ab" * 32, 10), ("a1", "a1", 20), ("a1", "a1", 30), ("a2", "a2", 25)):
            await queries.insert_revision(
                tx, document=document, digest=digest, parent=None, size=7, kind="replacement", step=None, version=1, now_us=at_us
            )  # fmt: skip

    await db.transact(body)
    assert await queries.together(db, "d1") == (3, 21)
    assert [await annexed_since(db, "d1", at_us) for at_us in (30, 31)] == [True, False]
    await db.transact(
        lambda tx: tx.execute("UPDATE documents SET state = 'recalled', state_since_us = 40 WHERE id = 'a2'")
    )
    assert await queries.together(db, "d1") == (2, 14)
    assert [await annexed_since(db, "d1", at_us) for at_us in (40, 41)] == [True, False]
    assert not await annexed_since(db, "a1", 0)
