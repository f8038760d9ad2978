"""All SQL of webhooks."""

from server.db import Reads, Row, Transaction, into
from server.identity.model import Actor
from server.webhooks.model import DeadLetter


async def listening(tx: Reads, organisation: str, client: str | None) -> list[Row]:
    """Endpoints of the organisation, or of one client of it."""
    return await tx.fetch_all(
        "SELECT id, events FROM webhooks WHERE organisation = $1 AND client = coalesce($2, client) AND state = 'active' ORDER BY id",
        organisation, client,
    )  # fmt: skip


async def insert(tx: Transaction, *, id_: str, actor: Actor, url: str, secret: bytes, events: str, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO webhooks (id, organisation, client, url, secret, events, state, created_us) VALUES ($1, $2, $3, $4, $5, $6, 'active', $7)",
        id_, actor.organisation, actor.id, url, secret, events, now_us,
    )  # fmt: skip


async def secret_of(db: Reads, actor: Actor, id_: str) -> bytes:
    row = await db.fetch_one(
        "SELECT secret FROM webhooks WHERE id = $1 AND organisation = $2 AND client = $3",
        id_,
        actor.organisation,
        actor.id,
    )
    assert row is not None, "an endpoint is ended, never deleted"
    return bytes(row["secret"])


async def mine(db: Reads, actor: Actor) -> list[Row]:
    return await db.fetch_all(
        "SELECT id, url, events, state, created_us FROM webhooks WHERE organisation = $1 AND client = $2 AND state = 'active' ORDER BY id",
        actor.organisation, actor.id,
    )  # fmt: skip


async def end(tx: Transaction, actor: Actor, id_: str) -> int:
    return await tx.execute(
        "UPDATE webhooks SET state = 'ended' WHERE id = $1 AND organisation = $2 AND client = $3 AND state = 'active'",
        id_,
        actor.organisation,
        actor.id,
    )


async def retire(tx: Transaction, id_: str) -> str | None:
    """End an endpoint; its organisation, or None when it had ended before."""
    row = await tx.fetch_one(
        "UPDATE webhooks SET state = 'ended' WHERE id = $1 AND state = 'active' RETURNING organisation", id_
    )
    return None if row is None else str(row["organisation"])


async def endpoint(db: Reads, id_: str) -> Row | None:
    """For the delivery job."""
    return await db.fetch_one("SELECT id, organisation, url, secret, state FROM webhooks WHERE id = $1", id_)


async def is_mine(db: Reads, actor: Actor, id_: str) -> bool:
    row = await db.fetch_one(
        "SELECT id FROM webhooks WHERE id = $1 AND organisation = $2 AND client = $3 AND state = 'active'",
        id_, actor.organisation, actor.id,
    )  # fmt: skip
    return row is not None


_LETTER = "id, event, subject, body, reason, attempts, created_us, died_us"


async def insert_dead_letter(tx: Transaction, endpoint: str, letter: DeadLetter) -> None:
    await tx.execute(
        f"INSERT INTO webhook_dead_letters (endpoint, {_LETTER}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        endpoint, letter.id, letter.event, letter.subject, letter.body, letter.reason, letter.attempts, letter.created_us, letter.died_us,
    )  # fmt: skip


async def dead_letters(db: Reads, endpoint: str, *, after: str, limit: int) -> list[DeadLetter]:
    rows = await db.fetch_all(
        f"SELECT {_LETTER} FROM webhook_dead_letters WHERE endpoint = $1 AND id > $2 ORDER BY id LIMIT $3",
        endpoint, after, limit,
    )  # fmt: skip
    return [into(row, DeadLetter) for row in rows]


async def take_dead_letters(tx: Transaction, endpoint: str, messages: tuple[str, ...], limit: int) -> list[DeadLetter]:
    """Take them out, in the order in which they were told: those that are named, else the oldest."""
    found = await dead_letters(tx, endpoint, after="", limit=limit) if not messages else []
    taken = []
    for id_ in sorted({*messages, *(one.id for one in found)}):
        row = await tx.fetch_one(
            f"DELETE FROM webhook_dead_letters WHERE endpoint = $1 AND id = $2 RETURNING {_LETTER}", endpoint, id_
        )
        taken += [] if row is None else [into(row, DeadLetter)]
    return taken


async def sweep_dead_letters(tx: Transaction, before_us: int) -> int:
    return await tx.execute("DELETE FROM webhook_dead_letters WHERE died_us < $1", before_us)
