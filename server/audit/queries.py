"""All SQL of the server's log and of receipts."""

from collections.abc import Sequence

from server.db import Reads, Row, Transaction
from server.identity.model import Actor


async def insert(
    tx: Transaction, *, id_: str, organisation: str, at_us: int, kind: str, actor: str, subject: str, body: bytes
) -> None:
    await tx.execute(
        "INSERT INTO audit_events (id, organisation, at_us, kind, actor, subject, body) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        id_, organisation, at_us, kind, actor, subject, body,
    )  # fmt: skip


async def unsequenced(tx: Reads, before_us: int, limit: int) -> list[Row]:
    """Committed events without a place, oldest first."""
    return await tx.fetch_all(
        "SELECT id, organisation, at_us, kind, actor, subject, body FROM audit_events WHERE position IS NULL AND at_us < $1 ORDER BY id LIMIT $2",
        before_us, limit,
    )  # fmt: skip


async def tree(tx: Reads) -> tuple[int, bytes]:
    """Size and frontier."""
    row = await tx.fetch_one("SELECT size, frontier FROM audit_tree WHERE id = 1")
    assert row is not None
    return int(row["size"]), bytes(row["frontier"] or b"")


async def set_tree(tx: Transaction, *, expected: int, size: int, frontier: bytes) -> int:
    return await tx.execute(
        "UPDATE audit_tree SET size = $2, frontier = $3 WHERE id = 1 AND size = $1", expected, size, frontier
    )


async def place(tx: Transaction, places: Sequence[tuple[str, int]]) -> int:
    """How many of these (event, position) had no place yet, and have it now."""
    return await tx.execute_many("UPDATE audit_events SET position = $2 WHERE id = $1 AND position IS NULL", places)


async def put_nodes(tx: Transaction, nodes: Sequence[tuple[int, int, bytes]]) -> None:
    await tx.execute_many("INSERT INTO audit_nodes (level, number, hash) VALUES ($1, $2, $3)", nodes)


async def node(db: Reads, level: int, number: int) -> bytes | None:
    row = await db.fetch_one("SELECT hash FROM audit_nodes WHERE level = $1 AND number = $2", level, number)
    return None if row is None else bytes(row["hash"])


async def put_head(tx: Transaction, *, size: int, root: str, at_us: int, head: str) -> None:
    await tx.execute(
        "INSERT INTO audit_heads (size, root, at_us, head) VALUES ($1, $2, $3, $4) ON CONFLICT (size) DO UPDATE SET at_us = excluded.at_us, head = excluded.head",
        size, root, at_us, head,
    )  # fmt: skip


async def newest_head(db: Reads) -> Row | None:
    return await db.fetch_one("SELECT size, root, at_us, head FROM audit_heads ORDER BY size DESC LIMIT 1")


async def head(db: Reads, size: int) -> Row | None:
    return await db.fetch_one("SELECT head FROM audit_heads WHERE size = $1", size)


async def events(db: Reads, start: int, limit: int) -> list[Row]:
    return await db.fetch_all(
        "SELECT id, organisation, at_us, kind, actor, subject, body, position FROM audit_events WHERE position >= $1 ORDER BY position LIMIT $2",
        start, limit,
    )  # fmt: skip


async def receipts(db: Reads, actor: Actor, document: str) -> list[Row]:
    """Receipts of a document of the actor's organisation; the caller has checked that the actor may read it."""
    return await db.fetch_all(
        "SELECT id, kind, created_us FROM receipts WHERE organisation = $1 AND document = $2 ORDER BY created_us, id",
        actor.organisation,
        document,
    )


async def receipt(db: Reads, actor: Actor, receipt_id: str) -> Row | None:
    """Everything that a receipt shows, from the tables that keep it."""
    return await db.fetch_one(
        "SELECT r.id, r.document, e.id AS event, e.organisation, e.at_us, e.kind, e.actor, e.subject, e.body, e.position, i.tbs, i.manifest_digest, "
        "i.cms, i.revision, i.challenge, a.approval, d.approval_jwk FROM receipts r JOIN audit_events e ON e.id = r.event "
        "JOIN activations a ON a.challenge = r.challenge JOIN activation_items i ON i.challenge = r.challenge AND i.document = r.document "
        "JOIN devices d ON d.id = a.device WHERE r.id = $1 AND r.organisation = $2",
        receipt_id, actor.organisation,
    )  # fmt: skip
