"""All SQL of documents. Every read of user data takes the actor and joins the access rule (threat C1).

Longer than most because it is one list of statements, each on its own.
"""

import msgspec

from server.db import Database, Dialect, Reads, Row, Transaction, into
from server.documents.model import DocumentRow, InboxLine, RevisionRow, State, StepRow, StepState
from server.identity.model import Actor

_DOCUMENT = (
    "d.id, d.organisation, d.client, d.source_reference, d.state, d.state_since_us, d.state_due_us, d.step, d.head, d.version, d.page_count, "
    "d.code_number, d.code_notation, d.subject, d.type_name, d.urgency, d.promulgation_place, d.promulgation_date, d.due_date, d.header, "
    "d.exchange_id, d.created_us, d.updated_us, d.annex_of"
)
# $1 organisation, $2 kind of actor, $3 actor. A service client reads its organisation; a person reads what names him, a clerk
# the organisation's documents. Who reads a document reads its annexes.
_READABLE = (
    "d.organisation = $1 AND ($2 = 'service' OR EXISTS (SELECT 1 FROM document_readers a WHERE a.person = $3 AND a.document IN (d.id, d.annex_of)) "
    "OR EXISTS (SELECT 1 FROM roles r WHERE r.person = $3 AND r.role = 'clerk'))"
)

# What came from others, for the same callers: services and clerks.
_ARRIVED = (
    "EXISTS (SELECT 1 FROM arrivals b WHERE b.id = c.document AND b.organisation = $1) "
    "AND ($2 = 'service' OR EXISTS (SELECT 1 FROM roles r WHERE r.person = $3 AND r.role = 'clerk'))"
)


def _who(actor: Actor) -> tuple[str, str, str]:
    return actor.organisation, str(actor.kind), actor.id


async def find(db: Reads, actor: Actor, document: str) -> DocumentRow | None:
    row = await db.fetch_one(
        f"SELECT {_DOCUMENT} FROM documents d WHERE {_READABLE} AND d.id = $4", *_who(actor), document
    )
    return None if row is None else into(row, DocumentRow)


async def load(tx: Reads, document: str) -> DocumentRow | None:
    """For the system's own work (jobs), where no user reads."""
    row = await tx.fetch_one(f"SELECT {_DOCUMENT} FROM documents d WHERE d.id = $1", document)
    return None if row is None else into(row, DocumentRow)


async def listing(db: Reads, actor: Actor, *, before: tuple[int, str], limit: int) -> list[DocumentRow]:
    """Newest first, from the cursor (created_us, id) exclusive."""
    rows = await db.fetch_all(
        f"SELECT {_DOCUMENT} FROM documents d WHERE {_READABLE} AND (d.created_us < $4 OR (d.created_us = $4 AND d.id < $5)) "
        "ORDER BY d.created_us DESC, d.id DESC LIMIT $6",
        *_who(actor),
        before[0],
        before[1],
        limit,
    )
    return [into(row, DocumentRow) for row in rows]


_INBOX = (
    "SELECT a.document AS id, a.waiting, a.urgency, a.at_us, a.reason, d.state, d.code_number, d.code_notation, d.subject, d.type_name, "
    "d.page_count, d.head, d.due_date, d.state_due_us FROM document_readers a JOIN documents d ON d.id = a.document "
    "WHERE a.person = $1 AND (a.waiting, a.urgency, a.at_us, a.document) < ($2, $3, $4, $5) "
    "ORDER BY a.waiting DESC, a.urgency DESC, a.at_us DESC, a.document DESC LIMIT $6"
)
# A line is made where its row is read: fifty rows would each be taken apart, put together and written again on the way.
_LINE = (
    "'id', id, 'waiting', {waiting}, 'reason', reason, 'urgency', urgency, 'state', state, 'number', code_number, 'notation', code_notation, "
    "'subject', subject, 'type_name', type_name, 'page_count', page_count, 'revision', head, 'due_date', due_date, 'overdue_at', {overdue}, 'at', {at}"
)


def _sqlite_iso(us: str) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%S', {us} / 1000000, 'unixepoch') || printf('.%06dZ', {us} % 1000000)"


def _postgres_iso(us: str) -> str:
    second = f"to_char(to_timestamp({us} / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS')"
    return f"{second} || '.' || lpad(({us} % 1000000)::text, 6, '0') || 'Z'"


_SQLITE_LINE = _LINE.format(
    waiting="json(CASE waiting WHEN 1 THEN 'true' ELSE 'false' END)",
    overdue=_sqlite_iso("state_due_us"),
    at=_sqlite_iso("at_us"),
)
_POSTGRES_LINE = _LINE.format(waiting="waiting = 1", overdue=_postgres_iso("state_due_us"), at=_postgres_iso("at_us"))
_POSTGRES_INBOX = (
    f"SELECT waiting, urgency, at_us, id, json_build_object({_POSTGRES_LINE})::text AS line FROM ({_INBOX}) i "
    "ORDER BY waiting DESC, urgency DESC, at_us DESC, id DESC"
)
# All as one row. SQLite hands over row by row, each time letting go of the interpreter and waiting to have it back, which at
# 50 rows costs a busy server more than the query. Bytes, because nobody needs the text that Python would make of them.
_SQLITE_INBOX = f"SELECT CAST(json_group_array(json_array(waiting, urgency, at_us, id, json_object({_SQLITE_LINE}))) AS BLOB) AS lines FROM ({_INBOX})"


async def inbox(db: Database, actor: Actor, *, before: tuple[int, int, int, str], limit: int) -> list[InboxLine]:
    """What names this person: waiting first, then by urgency, then newest. One index range."""
    if db.dialect is Dialect.SQLITE:
        packed = await db.fetch_one(_SQLITE_INBOX, actor.id, *before, limit)
        found = [] if packed is None else msgspec.json.decode(packed["lines"], type=list[InboxLine])
        # SQLite keeps the order of the inner query but does not promise it.
        return sorted(found, key=lambda row: (row.waiting, row.urgency, row.at_us, row.id), reverse=True)
    rows = await db.fetch_all(_POSTGRES_INBOX, actor.id, *before, limit)
    return [
        InboxLine(row["waiting"], row["urgency"], row["at_us"], row["id"], msgspec.Raw(row["line"].encode()))
        for row in rows
    ]


async def seal_queue(db: Reads, actor: Actor, *, limit: int) -> list[DocumentRow]:
    """Documents of the clerk's organisation that wait for the seal (SIG-7), most urgent first, oldest first."""
    rows = await db.fetch_all(
        f"SELECT {_DOCUMENT} FROM documents d WHERE d.organisation = $1 AND d.state = 'signed' "
        "AND EXISTS (SELECT 1 FROM roles r WHERE r.person = $2 AND r.role = 'clerk') ORDER BY d.urgency DESC, d.created_us LIMIT $3",
        actor.organisation,
        actor.id,
        limit,
    )
    return [into(row, DocumentRow) for row in rows]


async def steps(db: Reads, document: str) -> list[StepRow]:
    rows = await db.fetch_all(
        "SELECT document, position, kind, person, field_name, authority_line, placement, state, decided_by, decided_us, authority_grant FROM route_steps "
        "WHERE document = $1 ORDER BY position",
        document,
    )
    return [into(row, StepRow) for row in rows]


async def step_names(db: Reads, document: str) -> list[Row]:
    """The route as shown: position, kind, state, and who."""
    return await db.fetch_all(
        "SELECT s.position, s.kind, s.state, s.person, s.authority_line, s.decided_us, p.name, p.position AS title FROM route_steps s "
        "LEFT JOIN people p ON p.id = coalesce(s.decided_by, s.person) WHERE s.document = $1 ORDER BY s.position",
        document,
    )


async def revisions(db: Reads, document: str) -> list[RevisionRow]:
    rows = await db.fetch_all(
        "SELECT document, number, digest, parent, size, kind, step, version, created_us FROM revisions WHERE document = $1 ORDER BY number",
        document,
    )
    return [into(row, RevisionRow) for row in rows]


async def duplicates(tx: Reads, organisation: str, number: str, notation: str, promulgation_year: str) -> list[Row]:
    """Documents of the agency with the same number and symbol in the same year (DOC-5, DOC-8)."""
    return await tx.fetch_all(
        "SELECT id, state FROM documents WHERE organisation = $1 AND code_number = $2 AND code_notation = $3 AND promulgation_date LIKE $4 "
        "AND state NOT IN ('returned', 'recalled') AND annex_of IS NULL ORDER BY id",
        organisation,
        number,
        notation,
        promulgation_year + "%",
    )


async def exchange_id_taken(tx: Reads, exchange_id: str, document: str) -> bool:
    """Whether another document, in any state, has this id on the exchange."""
    row = await tx.fetch_one("SELECT id FROM documents WHERE exchange_id = $1 AND id <> $2", exchange_id, document)
    return row is not None


async def signers(tx: Reads, organisation: str, people: list[str], also: str = "leader") -> set[str]:
    """Those of `people` who are active members of the organisation and leaders, or have the role `also`."""
    found: set[str] = set()
    for person in people:
        row = await tx.fetch_one(
            "SELECT p.id FROM people p JOIN roles r ON r.person = p.id WHERE p.id = $1 AND p.organisation = $2 AND p.state = 'active' AND r.role IN ('leader', $3)",
            person,
            organisation,
            also,
        )
        if row is not None:
            found.add(person)
    return found


async def insert_document(tx: Transaction, row: DocumentRow) -> None:
    await tx.execute(
        "INSERT INTO documents (id, organisation, client, source_reference, state, state_since_us, state_due_us, step, head, version, page_count, "
        "code_number, code_notation, subject, type_name, urgency, promulgation_place, promulgation_date, due_date, header, exchange_id, created_us, "
        "updated_us, annex_of) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)",
        row.id,
        row.organisation,
        row.client,
        row.source_reference,
        row.state.value,
        row.state_since_us,
        row.state_due_us,
        row.step,
        row.head,
        row.version,
        row.page_count,
        row.code_number,
        row.code_notation,
        row.subject,
        row.type_name,
        row.urgency,
        row.promulgation_place,
        row.promulgation_date,
        row.due_date,
        row.header,
        row.exchange_id,
        row.created_us,
        row.updated_us,
        row.annex_of,
    )


async def annexes(tx: Reads, document: str) -> list[DocumentRow]:
    """The annexes of a main document in the order of their coming; the caller may read it."""
    rows = await tx.fetch_all(
        f"SELECT {_DOCUMENT} FROM documents d WHERE d.annex_of = $1 ORDER BY d.created_us, d.id", document
    )
    return [into(row, DocumentRow) for row in rows]


async def together(tx: Reads, main: str) -> tuple[int, int]:
    """How many files a document and its annexes are now, and of how many bytes in all."""
    row = await tx.fetch_one(
        "SELECT count(*) AS n, coalesce(sum((SELECT max(r.size) FROM revisions r WHERE r.document = d.id AND r.digest = d.head)), 0) AS size "
        "FROM documents d WHERE (d.id = $1 OR d.annex_of = $1) AND d.state <> 'recalled'",
        main,
    )
    assert row is not None
    return int(row["n"]), int(row["size"])


async def insert_revision(
    tx: Transaction,
    *,
    document: str,
    digest: str,
    parent: str | None,
    size: int,
    kind: str,
    step: int | None,
    version: int,
    now_us: int,
) -> None:
    await tx.execute(
        "INSERT INTO revisions (document, number, digest, parent, size, kind, step, version, created_us) "
        "SELECT $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5, $6, $7, $8 FROM revisions WHERE document = $1",
        document,
        digest,
        parent,
        size,
        kind,
        step,
        version,
        now_us,
    )


async def insert_step(tx: Transaction, row: StepRow) -> None:
    await tx.execute(
        "INSERT INTO route_steps (document, position, kind, person, field_name, authority_line, placement, state, authority_grant) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        row.document,
        row.position,
        row.kind.value,
        row.person,
        row.field_name,
        row.authority_line,
        row.placement,
        row.state.value,
        row.authority_grant,
    )


async def hand_step(tx: Transaction, row: StepRow) -> int:
    """The open step gets another person and another authority."""
    return await tx.execute(
        "UPDATE route_steps SET person = $3, authority_line = $4, authority_grant = $5 WHERE document = $1 AND position = $2 AND state = 'open'",
        row.document,
        row.position,
        row.person,
        row.authority_line,
        row.authority_grant,
    )


async def set_step(
    tx: Transaction,
    document: str,
    position: int,
    *,
    expected: StepState,
    state: StepState,
    by: str | None = None,
    now_us: int | None = None,
) -> int:
    return await tx.execute(
        "UPDATE route_steps SET state = $4, decided_by = coalesce($5, decided_by), decided_us = coalesce($6, decided_us) "
        "WHERE document = $1 AND position = $2 AND state = $3",
        document,
        position,
        expected.value,
        state.value,
        by,
        now_us,
    )


async def forget_steps(tx: Transaction, document: str) -> None:
    """A replacement writes the route anew."""
    await tx.execute("DELETE FROM route_steps WHERE document = $1", document)


async def set_state(
    tx: Transaction,
    document: str,
    *,
    expected: State,
    head: str,
    state: State,
    step: int | None,
    new_head: str,
    due_us: int | None,
    now_us: int,
) -> int:
    """The one conditional UPDATE that every transition is: state and head must be the expected ones (threats A10, A11)."""
    return await tx.execute(
        "UPDATE documents SET state = $4, step = $5, head = $6, state_due_us = $8, updated_us = $7, "
        # A state that follows itself has a new head and no new beginning: what was told of it is not told again.
        "state_since_us = CASE WHEN state = $4 THEN state_since_us ELSE $7 END, alarmed_us = CASE WHEN state = $4 THEN alarmed_us END "
        "WHERE id = $1 AND state = $2 AND head = $3",
        document,
        expected.value,
        head,
        state.value,
        step,
        new_head,
        now_us,
        due_us,
    )


async def set_due(tx: Transaction, document: str, due_us: int | None) -> None:
    """Whoever is waited for has other time than the state alone says."""
    await tx.execute("UPDATE documents SET state_due_us = $2, alarmed_us = NULL WHERE id = $1", document, due_us)


async def revision_at(tx: Reads, document: str, at_us: int) -> Row | None:
    """`digest` and `size` of what was the sealed document's head then; by a clock that was set back meanwhile, of its seal (D7)."""
    return await tx.fetch_one(
        "SELECT digest, size FROM revisions WHERE document = $1 AND kind IN ('seal', 'archive') "
        "ORDER BY CASE WHEN created_us <= $2 THEN 0 ELSE 1 END, CASE WHEN created_us <= $2 THEN -number ELSE number END LIMIT 1",
        document,
        at_us,
    )


async def new_version(tx: Transaction, row: DocumentRow, *, expected: int) -> int:
    """What readers are shown and what the exchange is sent change together."""
    return await tx.execute(
        "UPDATE documents SET version = $3, header = $4, page_count = $5, code_number = $6, code_notation = $7, subject = $8, type_name = $9, urgency = $10, "
        "promulgation_place = $11, promulgation_date = $12, due_date = $13, source_reference = $14, exchange_id = $15 WHERE id = $1 AND version = $2",
        row.id,
        expected,
        row.version,
        row.header,
        row.page_count,
        row.code_number,
        row.code_notation,
        row.subject,
        row.type_name,
        row.urgency,
        row.promulgation_place,
        row.promulgation_date,
        row.due_date,
        row.source_reference,
        row.exchange_id,
    )


async def set_header(tx: Transaction, document: str, header: bytes) -> None:
    """What the exchange is sent changes, and nothing that a reader is shown."""
    await tx.execute("UPDATE documents SET header = $2 WHERE id = $1", document, header)


async def put_reader(
    tx: Transaction,
    *,
    person: str,
    document: str,
    organisation: str,
    reason: str,
    waiting: int,
    urgency: int,
    now_us: int,
) -> None:
    await tx.execute(
        "INSERT INTO document_readers (person, document, organisation, reason, waiting, urgency, at_us) VALUES ($1, $2, $3, $4, $5, $6, $7) "
        "ON CONFLICT (person, document) DO UPDATE SET reason = excluded.reason, waiting = excluded.waiting, urgency = excluded.urgency, at_us = excluded.at_us",
        person,
        document,
        organisation,
        reason,
        waiting,
        urgency,
        now_us,
    )


async def forget_clerk(tx: Transaction, person: str) -> None:
    """Take back what stands in the inbox for the seal, but for documents on whose route the person is."""
    mine = "EXISTS (SELECT 1 FROM route_steps s WHERE s.document = document_readers.document AND s.person = $1)"
    await tx.execute(f"DELETE FROM document_readers WHERE person = $1 AND reason = 'seal' AND NOT {mine}", person)
    await tx.execute(
        "UPDATE document_readers SET reason = 'sign', waiting = 0 WHERE person = $1 AND reason = 'seal'", person
    )


async def nobody_waits(tx: Transaction, document: str) -> None:
    await tx.execute("UPDATE document_readers SET waiting = 0 WHERE document = $1 AND waiting = 1", document)


async def next_change(tx: Transaction, organisation: str) -> int:
    """The next place in the organisation's feed. The counter row is locked until commit, so places become visible in order."""
    row = await tx.fetch_one(
        "INSERT INTO changes_counters (organisation, seq) VALUES ($1, 1) ON CONFLICT (organisation) DO UPDATE SET seq = changes_counters.seq + 1 RETURNING seq",
        organisation,
    )
    assert row is not None
    return int(row["seq"])


async def insert_change(
    tx: Transaction,
    *,
    organisation: str,
    seq: int,
    document: str,
    kind: str,
    tombstone: int,
    state: str,
    detail: bytes,
    now_us: int,
) -> None:
    await tx.execute(
        "INSERT INTO changes (organisation, seq, document, kind, tombstone, state, detail, at_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        organisation,
        seq,
        document,
        kind,
        tombstone,
        state,
        detail,
        now_us,
    )


async def changes(db: Reads, actor: Actor, *, after: int, limit: int) -> list[Row]:
    """The feed after a place, in order, joined with the access rule."""
    return await db.fetch_all(
        "SELECT c.seq, c.document, c.kind, c.tombstone, c.state, c.detail, c.at_us FROM changes c LEFT JOIN documents d ON d.id = c.document "
        f"WHERE c.organisation = $1 AND (({_READABLE}) OR (d.id IS NULL AND {_ARRIVED})) AND c.seq > $4 ORDER BY c.seq LIMIT $5",
        *_who(actor),
        after,
        limit,
    )


async def overdue(tx: Reads, now_us: int, limit: int) -> list[DocumentRow]:
    rows = await tx.fetch_all(
        f"SELECT {_DOCUMENT} FROM documents d WHERE d.state_due_us IS NOT NULL AND d.alarmed_us IS NULL AND d.state_due_us < $1 ORDER BY d.state_due_us LIMIT $2",
        now_us,
        limit,
    )
    return [into(row, DocumentRow) for row in rows]


async def mark_alarmed(tx: Transaction, document: str, *, due_us: int, now_us: int) -> int:
    return await tx.execute(
        "UPDATE documents SET alarmed_us = $3 WHERE id = $1 AND state_due_us = $2 AND alarmed_us IS NULL",
        document,
        due_us,
        now_us,
    )


async def counts_by_state(db: Reads) -> list[Row]:
    return await db.fetch_all("SELECT state, count(*) AS n FROM documents GROUP BY state")


async def readers(tx: Reads, document: str) -> list[str]:
    rows = await tx.fetch_all("SELECT person FROM document_readers WHERE document = $1 ORDER BY person", document)
    return [str(row["person"]) for row in rows]


async def clerks(tx: Reads, organisation: str) -> list[str]:
    rows = await tx.fetch_all(
        "SELECT p.id FROM people p JOIN roles r ON r.person = p.id WHERE p.organisation = $1 AND p.state = 'active' AND r.role = 'clerk' ORDER BY p.id",
        organisation,
    )
    return [str(row["id"]) for row in rows]
