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


# The record of a document. The caller has checked that the actor may read it; the organisation is asked again all the same.


async def record_document(db: Reads, organisation: str, document: str) -> Row | None:
    return await db.fetch_one(
        "SELECT id, source_reference, state, head, version, page_count, header, exchange_id, created_us, updated_us FROM documents "
        "WHERE id = $1 AND organisation = $2",
        document,
        organisation,
    )


async def record_revisions(db: Reads, document: str) -> list[Row]:
    return await db.fetch_all(
        "SELECT number, digest, parent, size, kind, step, version, created_us FROM revisions WHERE document = $1 ORDER BY number",
        document,
    )


async def record_signatures(db: Reads, organisation: str, document: str) -> list[Row]:
    """Each signature with what its person approved, by which key, and the certificate's path."""
    return await db.fetch_all(
        "SELECT i.challenge, i.item, i.position, i.tbs, i.manifest_digest, i.revision, i.prepared, i.signed_us, i.stamped_us, p.manifest, a.approval, "
        "d.approval_jwk, c.certificate, c.chain FROM activation_items i JOIN activations a ON a.challenge = i.challenge "
        "JOIN prepared_revisions p ON p.id = i.prepared JOIN devices d ON d.id = a.device JOIN credentials c ON c.id = a.credential "
        "WHERE i.document = $1 AND a.organisation = $2 AND i.stamped_us IS NOT NULL ORDER BY i.stamped_us, i.item",
        document,
        organisation,
    )


async def record_evidence(db: Reads, prepared: str) -> list[Row]:
    return await db.fetch_all(
        "SELECT e.certificate, e.state, e.answer AS digest, e.checked_us, s.source, s.answer FROM signature_evidence e "
        "LEFT JOIN status_answers s ON s.digest = e.answer WHERE e.prepared = $1 ORDER BY e.certificate",
        prepared,
    )


async def record_grants(db: Reads, organisation: str, prepared: str) -> list[Row]:
    """The grant that a signature was made under and those that it rests on, newest first, each with the key that signed it (AUT-6)."""
    found: list[Row] = []
    wanted = await db.fetch_one("SELECT authority_grant AS id FROM prepared_revisions WHERE id = $1", prepared)
    while wanted is not None and wanted["id"] is not None:
        row = await db.fetch_one(
            "SELECT g.parent AS id, g.digest, g.jws, d.approval_jwk FROM authority_grants g JOIN devices d ON d.id = g.device "
            "WHERE g.id = $1 AND g.organisation = $2",
            wanted["id"],
            organisation,
        )
        if row is not None:
            found.append(row)
        wanted = row
    return found


async def record_openings(db: Reads, prepared: str) -> Row | None:
    return await db.fetch_one("SELECT digest, proof FROM opening_proofs WHERE prepared = $1", prepared)


async def record_route(db: Reads, document: str) -> list[Row]:
    return await db.fetch_all(
        "SELECT s.position, s.kind, s.field_name, s.authority_line, s.state, s.decided_us, p.name, p.position AS title FROM route_steps s "
        "LEFT JOIN people p ON p.id = coalesce(s.decided_by, s.person) WHERE s.document = $1 ORDER BY s.position",
        document,
    )


async def record_events(db: Reads, organisation: str, document: str) -> list[Row]:
    """The whole course of handling, in order (REC-1, REC-4)."""
    return await db.fetch_all(
        "SELECT id, at_us, kind, actor, body, position FROM audit_events WHERE organisation = $1 AND subject = $2 ORDER BY at_us, id",
        organisation,
        document,
    )


async def record_packets(db: Reads, organisation: str, document: str) -> list[Row]:
    return await db.fetch_all(
        "SELECT id, kind, revision, blob, stage, doc_id, created_us, accepted_us, dropped_us FROM outgoing_packets "
        "WHERE document = $1 AND organisation = $2 "
        "ORDER BY created_us, id",
        document,
        organisation,
    )
