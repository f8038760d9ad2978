"""All SQL of preservation."""

from server.db import Reads, Row, Transaction


async def put_stamp(
    tx: Transaction,
    *,
    document: str,
    revision: str,
    level: str,
    certificate: str,
    not_after_us: int,
    stamped_us: int,
) -> None:
    """The newest archive stamp of a document; those before it no longer need renewal."""
    await tx.execute("UPDATE archive_stamps SET superseded = 1 WHERE document = $1", document)
    await tx.execute(
        "INSERT INTO archive_stamps (document, revision, level, certificate, not_after_us, stamped_us) VALUES ($1, $2, $3, $4, $5, $6)",
        document,
        revision,
        level,
        certificate,
        not_after_us,
        stamped_us,
    )


async def newest_stamp(db: Reads, document: str) -> Row | None:
    return await db.fetch_one(
        "SELECT revision, level, certificate, not_after_us, stamped_us FROM archive_stamps WHERE document = $1 AND superseded = 0",
        document,
    )


async def due(db: Reads, before_us: int, limit: int) -> list[Row]:
    """Documents whose last stamp's certificate ends before `before_us`; recalled ones are frozen as they are (EXC-5)."""
    return await db.fetch_all(
        "SELECT a.document, d.urgency, a.not_after_us FROM archive_stamps a JOIN documents d ON d.id = a.document "
        "WHERE a.superseded = 0 AND a.not_after_us < $1 AND d.state IN ('sealed', 'forwarded', 'delivered', 'accepted', 'refused') "
        "ORDER BY a.not_after_us LIMIT $2",
        before_us,
        limit,
    )


async def route_fields(db: Reads, document: str) -> set[str]:
    """Names of the signature fields that were filled here."""
    rows = await db.fetch_all("SELECT field_name FROM route_steps WHERE document = $1 AND state = 'done'", document)
    return {str(row["field_name"]) for row in rows}
