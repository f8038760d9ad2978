"""Transitions of documents on both engines: what a state that follows itself keeps (TIM-5)."""

import pytest

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
