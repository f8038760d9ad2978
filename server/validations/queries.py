"""All SQL of stored verdicts."""

from server.db import Reads, Row, Transaction

__all__ = ["by_source", "insert"]


async def insert(
    tx: Transaction,
    *,
    id_: str,
    organisation: str,
    source: str,
    file: str,
    name: str,
    verdict: str,
    report: str,
    now_us: int,
) -> bool:
    """Store a verdict once; False where it stands already."""
    row = await tx.fetch_one(
        "INSERT INTO incoming_validations (id, organisation, source, file, name, verdict, report, judged_us)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (source, file) DO NOTHING RETURNING id",
        id_, organisation, source, file, name, verdict, report, now_us,
    )  # fmt: skip
    return row is not None


async def by_source(db: Reads, organisation: str, source: str) -> list[Row]:
    """What was found in the attachments of one packet that came for `organisation` (its code on the exchange)."""
    return await db.fetch_all(
        "SELECT file, name, verdict, report, judged_us FROM incoming_validations WHERE organisation = $1 AND source = $2 ORDER BY name, file",
        organisation,
        source,
    )
