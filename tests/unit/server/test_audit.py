"""The server's log is recomputed while events keep coming; what was changed in it is found all the same."""

import pytest

from server import audit
from server.audit import queries
from server.audit.service import AuditService
from server.db import Database
from tests.fakes.clock import FrozenClock


@pytest.mark.asyncio
async def test_a_log_that_grows_while_it_is_recomputed_is_no_changed_log(db: Database, tmp_path, monkeypatch):
    clock = FrozenClock()
    service = AuditService(db, clock, tmp_path / "log_key.pem")

    async def more(count: int) -> None:
        for number in range(count):
            await db.transact(
                lambda tx, number=number: audit.append(
                    tx,
                    "test.event",
                    organisation="",
                    actor="system",
                    subject=str(number),
                    body={},
                    now_us=clock.now_us(),
                )
            )
        clock.advance(2)
        assert await service.sequence() == count

    await more(5)
    read = queries.tree

    async def grows_then(reads):
        monkeypatch.setattr(queries, "tree", read)
        found = await read(reads)
        await more(3)
        return found

    monkeypatch.setattr(queries, "tree", grows_then)
    assert await service.verify() == (5, None)
    assert await service.verify() == (8, None)
    await db.transact(lambda tx: tx.execute("UPDATE audit_events SET actor = 'other' WHERE subject = '1'"))
    assert await service.verify() == (8, 8)
