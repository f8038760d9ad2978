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


async def give_up_stamp(tx: Transaction, document: str) -> None:
    """There is nothing to renew any more: what the stamp was to carry on cannot be proven."""
    await tx.execute("UPDATE archive_stamps SET superseded = 1 WHERE document = $1", document)


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


# The agency's own directions on a document or an arrival $2, and what was directed onwards below them.
_DIRECTED = (
    "SELECT d.id FROM directives d WHERE d.organisation = $1 AND d.root IN (SELECT r.id FROM directives r WHERE r.arrival = $2 AND r.parent IS NULL "
    "UNION SELECT r.id FROM directives r WHERE r.document = $2 AND r.parent IS NULL)"
)


async def record_directions(db: Reads, organisation: str, subject: str) -> list[Row]:
    """What was directed, changed, reported and ended, in the words of whoever did, in order (REC-1). Nobody of another organisation is named."""
    return await db.fetch_all(
        "SELECT e.directive, e.sequence, e.kind, e.text, e.due_date, e.progress, e.at_us, p.name, coalesce(w.name, o.name) AS assignee "
        "FROM directive_entries e LEFT JOIN people p ON p.id = e.author AND p.organisation = $1 LEFT JOIN directive_assignees a ON a.id = e.assignee "
        "LEFT JOIN people w ON w.id = a.person LEFT JOIN organisations o ON o.id = a.organisation "
        f"WHERE e.directive IN ({_DIRECTED}) ORDER BY e.at_us, e.id",
        organisation,
        subject,
    )


async def record_events(db: Reads, organisation: str, subject: str) -> list[Row]:
    """The whole course of handling of a document, or of an arrival and what came about it, with what was directed, in order (REC-1, REC-4)."""
    return await db.fetch_all(
        "SELECT id, organisation, at_us, kind, actor, subject, body, position FROM audit_events WHERE organisation = $1 "
        "AND (subject = $2 OR subject IN (SELECT a.id FROM arrivals a WHERE a.organisation = $1 AND a.about = $2) "
        f"OR subject IN ({_DIRECTED})) ORDER BY at_us, id",
        organisation,
        subject,
    )


async def record_actors(db: Reads, organisation: str) -> dict[str, str]:
    """Names of everybody who may stand in the log of a document: people with their position, service clients, organisations that were directed."""
    rows = await db.fetch_all(
        "SELECT id, name, position FROM people WHERE organisation = $1 UNION ALL SELECT id, name, '' FROM service_clients WHERE organisation = $1 "
        "UNION ALL SELECT id, name, '' FROM organisations",
        organisation,
    )
    return {str(row["id"]): ", ".join(filter(None, (row["name"], row["position"]))) for row in rows}


async def record_name(db: Reads, person: str | None) -> str:
    row = await db.fetch_one("SELECT name FROM people WHERE id = $1", person or "")
    return "" if row is None else str(row["name"])


async def record_told(db: Reads, organisation: str, about: str, subject: str) -> list[Row]:
    """Who was told of `about`, or of what came about the arrival `subject`, and the first time that a device of his said it was read (NOT-4)."""
    return await db.fetch_all(
        "SELECT n.person, p.name, n.kind, n.created_us, n.fetched_us, n.acknowledged_us, "
        "(SELECT min(d.read_us) FROM deliveries d WHERE d.notice = n.id) AS read_us FROM notices n LEFT JOIN people p ON p.id = n.person "
        "WHERE n.organisation = $1 AND (n.about = $2 OR n.about IN (SELECT 'arrival:' || a.id FROM arrivals a WHERE a.organisation = $1 AND a.about = $3)) "
        "ORDER BY n.created_us, n.id",
        organisation,
        about,
        subject,
    )


async def record_opened(db: Reads, document: str) -> list[Row]:
    return await db.fetch_all(
        "SELECT o.person, p.name, count(DISTINCT o.page) AS pages, min(o.at_us) AS first_us, max(o.at_us) AS last_us FROM page_openings o "
        "JOIN people p ON p.id = o.person WHERE o.document = $1 GROUP BY o.person, p.name ORDER BY first_us, o.person",
        document,
    )


# Packets: each with `what`, `axis_id`, `blob`, `at_us` and `dropped_us`.


async def record_packets(db: Reads, organisation: str, document: str) -> list[Row]:
    return await db.fetch_all(
        "SELECT kind AS what, blob, doc_id AS axis_id, created_us AS at_us, dropped_us FROM outgoing_packets "
        "WHERE document = $1 AND organisation = $2 ORDER BY created_us, id",
        document,
        organisation,
    )


async def record_statuses(db: Reads, organisation: str, document: str) -> list[Row]:
    """What receivers answered, by its code; a packet that was no news goes as "repeated"."""
    return await db.fetch_all(
        "SELECT coalesce((SELECT s.status_code FROM business_statuses s WHERE s.axis_id = i.axis_id AND s.document = i.document), i.state) AS what, "
        "i.blob, i.axis_id, i.received_us AS at_us, i.dropped_us FROM incoming_packets i "
        "WHERE i.document = $1 AND i.organisation = $2 AND i.kind = 'status' ORDER BY i.received_us, i.axis_id",
        document,
        organisation,
    )


async def record_came(db: Reads, organisation: str, arrival: str) -> list[Row]:
    """The packets of an arrival, of its copies, and of what came about it. A packet may have come for several organisations of ours."""
    return await db.fetch_all(
        "SELECT coalesce((SELECT min(a.kind) FROM arrivals a WHERE a.axis_id = i.axis_id AND a.organisation = $1), i.state) AS what, i.kind, "
        "i.blob, i.axis_id, i.received_us AS at_us, i.dropped_us FROM incoming_packets i WHERE i.axis_id IN "
        "(SELECT a.axis_id FROM arrivals a WHERE a.organisation = $1 AND (a.id = $2 OR a.about = $2)) "
        "OR i.document IN (SELECT a.id FROM arrivals a WHERE a.organisation = $1 AND (a.id = $2 OR a.about = $2)) "
        "ORDER BY i.received_us, i.axis_id",
        organisation,
        arrival,
    )
