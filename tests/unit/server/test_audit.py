"""The server's log is recomputed while events keep coming; what was changed in it is found all the same."""

from pathlib import Path

import pytest

from server import audit
from server.audit import queries
from server.audit.service import AuditService
from server.db import Database
from tests.fakes.clock import FrozenClock


class Log:
    """A log that a test lets grow."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.db = db
        self.clock = FrozenClock()
        self.service = AuditService(db, self.clock, folder / "log_key.pem")

    async def more(self, count: int) -> None:
        async def one(number: int) -> None:
            values = {"organisation": "", "actor": "system", "subject": str(number), "body": {}}
            now_us = self.clock.now_us()
            await self.db.transact(lambda tx: audit.append(tx, "test.event", **values, now_us=now_us))

        for number in range(count):
            await one(number)
        self.clock.advance(2)
        assert await self.service.sequence() == count


@pytest.mark.asyncio
async def test_a_log_that_grows_while_it_is_recomputed_is_no_changed_log(db: Database, tmp_path, monkeypatch):
    log = Log(db, tmp_path)
    service, more = log.service, log.more
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


CHANGES = {
    "an event": ("UPDATE audit_events SET at_us = 2 WHERE position = 3", 7),
    "an event that is gone": ("DELETE FROM audit_events WHERE position = 3", 3),
    "the last event": ("DELETE FROM audit_events WHERE position = 6", 6),
    "all that is newer": ("DELETE FROM audit_events WHERE position >= 2", 2),
    "places": ("UPDATE audit_events SET position = 100 WHERE position = 3", 3),
    "the tree": ("UPDATE audit_tree SET frontier = (SELECT hash FROM audit_nodes WHERE level = 0 AND number = 0)", 7),
    "the head": ("DELETE FROM audit_heads WHERE size = 7", 7),
    "another head": ("UPDATE audit_heads SET head = (SELECT head FROM audit_heads WHERE size = 4) WHERE size = 7", 7),
    "no head": ("UPDATE audit_heads SET head = 'x' WHERE size = 7", 7),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("change", CHANGES)
async def test_what_was_changed_in_the_log_is_found(sqlite_db, tmp_path, change):
    """A4: rows that were rewritten, removed or moved, the tree, and the signed head of it."""
    log = Log(sqlite_db, tmp_path)
    await log.more(4)
    await log.more(3)
    assert await log.service.verify() == (7, None)
    statement, place = CHANGES[change]
    assert await sqlite_db.transact(lambda tx: tx.execute(statement)) > 0
    assert (await log.service.verify())[1] == place


@pytest.mark.asyncio
async def test_whoever_rewrites_events_tree_and_root_has_no_key(sqlite_db, tmp_path):
    """A4: the log of another key, in the place of this one, every row of it consistent."""
    log = Log(sqlite_db, tmp_path)
    await log.more(5)
    forger = Log(sqlite_db, tmp_path / "forger")

    async def emptied(tx):
        for table in ("audit_events", "audit_nodes", "audit_heads"):
            await tx.execute(f"DELETE FROM {table}")
        await tx.execute("UPDATE audit_tree SET size = 0, frontier = ''")

    await sqlite_db.transact(emptied)
    await forger.more(5)
    assert await forger.service.verify() == (5, None)
    assert await log.service.verify() == (5, 5)
