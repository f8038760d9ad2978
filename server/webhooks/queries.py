"""All SQL of webhooks."""

from server.db import Reads, Row, Transaction
from server.identity.model import Actor


async def listening(tx: Reads, organisation: str) -> list[Row]:
    return await tx.fetch_all(
        "SELECT id, events FROM webhooks WHERE organisation = $1 AND state = 'active' ORDER BY id", organisation
    )


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
    return await db.fetch_one("SELECT id, url, secret, state FROM webhooks WHERE id = $1", id_)
