"""All SQL of certificate status."""

from collections.abc import Sequence

from server.db import Reads, Row, Transaction, into
from server.revocation.model import Known

_KNOWN = "certificate, state, source, this_update_us, usable_until_us, revoked_at_us, reason, answer, checked_us, failing_since_us"


async def known(db: Reads, certificate: str) -> Known | None:
    row = await db.fetch_one(f"SELECT {_KNOWN} FROM certificate_statuses WHERE certificate = $1", certificate)
    return None if row is None else into(row, Known)


async def put_known(tx: Transaction, row: Known) -> None:
    """Nothing but a newer good answer (a suspension that was lifted) or a newer revocation takes the place of a revocation."""
    await tx.execute(
        f"INSERT INTO certificate_statuses ({_KNOWN}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) "
        "ON CONFLICT (certificate) DO UPDATE SET state = excluded.state, source = excluded.source, this_update_us = excluded.this_update_us, "
        "usable_until_us = excluded.usable_until_us, revoked_at_us = excluded.revoked_at_us, reason = excluded.reason, answer = excluded.answer, "
        "checked_us = excluded.checked_us, failing_since_us = excluded.failing_since_us "
        "WHERE certificate_statuses.state <> 'revoked' "
        "OR (excluded.state IN ('good', 'revoked') AND excluded.this_update_us > certificate_statuses.this_update_us)",
        row.certificate,
        row.state.value,
        row.source,
        row.this_update_us,
        row.usable_until_us,
        row.revoked_at_us,
        row.reason,
        row.answer,
        row.checked_us,
        row.failing_since_us,
    )


async def put_answer(tx: Transaction, digest: str, source: str, answer: bytes, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO status_answers (digest, source, answer, fetched_us) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        digest,
        source,
        answer,
        now_us,
    )


async def answers(db: Reads, digests: Sequence[str]) -> list[Row]:
    """Source and bytes of the answers that are still kept."""
    rows = []
    for digest in digests:
        row = await db.fetch_one("SELECT digest, source, answer FROM status_answers WHERE digest = $1", digest)
        if row is not None:
            rows.append(row)
    return rows


async def list_of(db: Reads, url: str, now_us: int) -> bytes | None:
    """The cached list of an address, while its nextUpdate has not come."""
    row = await db.fetch_one(
        "SELECT a.answer FROM status_lists l JOIN status_answers a ON a.digest = l.answer WHERE l.url = $1 AND l.usable_until_us >= $2",
        url,
        now_us,
    )
    return None if row is None else bytes(row["answer"])


async def put_list(tx: Transaction, url: str, digest: str, usable_until_us: int, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO status_lists (url, answer, fetched_us, usable_until_us) VALUES ($1, $2, $3, $4) ON CONFLICT (url) DO UPDATE SET "
        "answer = excluded.answer, fetched_us = excluded.fetched_us, usable_until_us = excluded.usable_until_us",
        url,
        digest,
        now_us,
        usable_until_us,
    )


async def put_evidence(tx: Transaction, prepared: str, found: Known) -> None:
    await tx.execute(
        "INSERT INTO signature_evidence (prepared, certificate, state, answer, checked_us) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        prepared,
        found.certificate,
        found.state.value,
        found.answer,
        found.checked_us,
    )


async def evidence(db: Reads, prepared: str) -> list[Row]:
    """What was known of the signer's path when the sheet was opened (SW-5)."""
    return await db.fetch_all(
        "SELECT certificate, state, answer, checked_us FROM signature_evidence WHERE prepared = $1 ORDER BY certificate",
        prepared,
    )


async def known_for(tx: Reads, prepared: str) -> list[Known]:
    """What is known now of the certificates that a prepared revision was opened with."""
    columns = ", ".join(f"s.{name}" for name in _KNOWN.split(", "))
    rows = await tx.fetch_all(
        f"SELECT {columns} FROM signature_evidence e JOIN certificate_statuses s ON s.certificate = e.certificate WHERE e.prepared = $1",
        prepared,
    )
    return [into(row, Known) for row in rows]


async def forget_answers(tx: Transaction, before_us: int) -> int:
    """Answers that nothing names any more."""
    return await tx.execute(
        "DELETE FROM status_answers WHERE fetched_us < $1 AND digest NOT IN (SELECT answer FROM certificate_statuses) "
        "AND digest NOT IN (SELECT answer FROM status_lists) AND digest NOT IN (SELECT answer FROM signature_evidence)",
        before_us,
    )
