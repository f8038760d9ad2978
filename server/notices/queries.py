"""All SQL of notices and their deliveries."""

from server.db import Reads, Row, Transaction
from server.identity.model import Actor


async def insert_notice(
    tx: Transaction,
    *,
    id_: str,
    organisation: str,
    person: str,
    document: str | None,
    kind: str,
    urgency: int,
    now_us: int,
    expires_us: int,
) -> None:
    await tx.execute(
        "INSERT INTO notices (id, organisation, person, document, kind, urgency, collapse, revision, state, created_us, expires_us) "
        "VALUES ($1, $2, $3, $4, $5, $6, '', 1, 'open', $7, $8)",
        id_, organisation, person, document, kind, urgency, now_us, expires_us,
    )  # fmt: skip


async def addresses(tx: Reads, organisation: str, person: str) -> list[Row]:
    """Where a person is reached now: only active devices with living, proved addresses (threat C14)."""
    return await tx.fetch_all(
        "SELECT a.device, a.transport FROM push_addresses a JOIN devices d ON d.id = a.device WHERE d.person = $1 AND d.organisation = $2 "
        "AND d.state = 'active' AND a.state = 'active' ORDER BY a.device, a.transport",
        person, organisation,
    )  # fmt: skip


async def insert_delivery(tx: Transaction, *, id_: str, notice: str, device: str, transport: str, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO deliveries (id, notice, device, transport, state, attempts, queued_us) VALUES ($1, $2, $3, $4, 'queued', 0, $5)",
        id_, notice, device, transport, now_us,
    )  # fmt: skip


async def outdate(tx: Transaction, person: str, document: str, now_us: int) -> None:
    """What was said of a document before is overtaken by what is said now; queued pushes of it are not sent."""
    await tx.execute(
        "UPDATE notices SET state = 'superseded' WHERE person = $1 AND document = $2 AND state = 'open' AND created_us < $3",
        person,
        document,
        now_us,
    )


async def delivery(db: Reads, id_: str) -> Row | None:
    """A delivery with its notice and the address as it stands now."""
    return await db.fetch_one(
        "SELECT y.id, y.state, y.attempts, y.device, y.transport, n.id AS notice, n.urgency, n.kind, n.state AS notice_state, n.revision, n.expires_us, "
        "n.person, p.locale, a.address, a.kind AS address_kind, a.value FROM deliveries y JOIN notices n ON n.id = y.notice "
        "JOIN people p ON p.id = n.person JOIN devices d ON d.id = y.device AND d.state = 'active' "
        "LEFT JOIN push_addresses a ON a.device = y.device AND a.transport = y.transport AND a.state = 'active' WHERE y.id = $1",
        id_,
    )


async def still_wanted(db: Reads, notice: str) -> bool:
    row = await db.fetch_one("SELECT state FROM notices WHERE id = $1", notice)
    return row is not None and row["state"] == "open"


async def settle(tx: Transaction, id_: str, *, state: str, outcome: str, now_us: int | None) -> None:
    await tx.execute(
        "UPDATE deliveries SET state = $2, outcome = $3, accepted_us = $4, attempts = attempts + 1 WHERE id = $1 AND state = 'queued'",
        id_, state, outcome, now_us,
    )  # fmt: skip


async def count_attempt(tx: Transaction, id_: str, outcome: str) -> None:
    await tx.execute(
        "UPDATE deliveries SET attempts = attempts + 1, outcome = $2 WHERE id = $1 AND state = 'queued'", id_, outcome
    )


_NOTICE = "n.id, n.kind, n.urgency, n.state, n.document, n.created_us, n.expires_us, n.acknowledged_us, d.subject, d.code_number, d.code_notation, d.state AS document_state"


async def listing(db: Reads, actor: Actor, *, before: tuple[int, str], limit: int) -> list[Row]:
    return await db.fetch_all(
        f"SELECT {_NOTICE} FROM notices n LEFT JOIN documents d ON d.id = n.document WHERE n.person = $1 AND n.organisation = $2 "
        "AND (n.created_us < $3 OR (n.created_us = $3 AND n.id < $4)) ORDER BY n.created_us DESC, n.id DESC LIMIT $5",
        actor.id, actor.organisation, *before, limit,
    )  # fmt: skip


async def notice(db: Reads, actor: Actor, id_: str) -> Row | None:
    return await db.fetch_one(
        f"SELECT {_NOTICE} FROM notices n LEFT JOIN documents d ON d.id = n.document WHERE n.id = $1 AND n.person = $2 AND n.organisation = $3",
        id_, actor.id, actor.organisation,
    )  # fmt: skip


async def acknowledge(tx: Transaction, actor: Actor, id_: str, now_us: int) -> int:
    """1 when this call acknowledged it, 0 when it was before or is not the actor's."""
    return await tx.execute(
        "UPDATE notices SET acknowledged_us = $3, state = 'acknowledged' WHERE id = $1 AND person = $2 AND acknowledged_us IS NULL",
        id_,
        actor.id,
        now_us,
    )


_COLUMNS = {"received": "received_us", "shown": "shown_us", "read": "read_us"}


async def device_event(tx: Transaction, device: str, notice_id: str, event: str, at_us: int) -> int:
    """The first report of an event stands; repeating it changes nothing."""
    column = _COLUMNS[event]
    return await tx.execute(
        f"UPDATE deliveries SET {column} = $3 WHERE notice = $1 AND device = $2 AND {column} IS NULL",
        notice_id,
        device,
        at_us,
    )
