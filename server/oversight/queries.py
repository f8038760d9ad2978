"""All SQL of oversight. The overview is for those whom the service admits; a subject is shown to whoever may read the document or direction (C1)."""

from collections.abc import Sequence

from server.db import Reads, Row, Transaction, into
from server.identity.model import Actor, Role
from server.oversight.model import CLERKS, LEADERS, UNIT, Counts, Held, Reason

# What waits for a person of organisation $1. `about`: what its handler was told of it under; `author`: who gave a direction.
# First a step of an outgoing document. One that was handed to somebody stands with him since then.
_DOCUMENTS = (
    "SELECT 'document' AS what, d.id, 'document:' || d.id AS key, 'document:' || d.id AS about, d.urgency, d.code_number || '/' || d.code_notation AS number, "
    f"coalesce(s.person, '{CLERKS}') AS handler, CASE WHEN r.at_us > d.state_since_us THEN r.at_us ELSE d.state_since_us END AS since_us, d.due_date, d.subject, "
    "'' AS author FROM documents d "
    "JOIN route_steps s ON s.document = d.id AND s.state = 'open' LEFT JOIN document_readers r ON r.document = d.id AND r.person = s.person AND r.waiting = 1 "
    "WHERE d.organisation = $1 AND d.state IN ('in_review', 'signed')"
)
# An incoming one that is not registered. A grade that nobody knows is khẩn, as for arrivals: never normal, and no alarm of hỏa tốc.
_ARRIVALS = (
    "SELECT 'arrival' AS what, a.id, 'arrival:' || a.id AS key, 'arrival:' || a.id AS about, coalesce(a.urgency, 1) AS urgency, a.reference AS number, "
    "{handler} AS handler, {since} AS since_us, a.due_date, a.subject, '' AS author "
)
_UNREGISTERED = (
    _ARRIVALS.format(handler=f"'{CLERKS}'", since="a.received_us")
    + "FROM arrivals a WHERE a.organisation = $1 AND a.state = 'waiting'"
)
# One that is registered and of which leaders were asked what is to be done: until one of them directs, or acknowledges that nothing is. The cross join
# keeps SQLite on the requests that are open: it would look at every arrival that was ever registered.
_UNDIRECTED = (
    _ARRIVALS.format(handler=f"'{LEADERS}'", since="a.decided_us")
    + "FROM (SELECT DISTINCT n.about FROM notices n WHERE n.organisation = $1 AND n.kind = 'to_direct' AND n.state = 'open') q "
    "CROSS JOIN arrivals a WHERE a.id = substr(q.about, 9) AND a.organisation = $1 AND a.state = 'registered' AND NOT EXISTS "
    "(SELECT 1 FROM notices k WHERE k.organisation = $1 AND k.about = q.about AND k.kind = 'to_direct' AND k.state = 'acknowledged')"
)
# A direction without a deadline, at each that it names and that has not begun; those with one are reminded of by themselves. Whoever was asked again
# by a change has it since then.
_UNBEGUN = (
    "SELECT 'order' AS what, d.id, 'order-' || a.id || ':' || d.id AS key, 'order:' || d.id AS about, d.urgency, d.reference AS number, "
    f"coalesce(a.person, '{UNIT}') AS handler, coalesce((SELECT max(e.at_us) FROM directive_entries e WHERE e.directive = d.id AND e.kind IN ('given', 'changed')), "
    "d.created_us) AS since_us, d.due_date, d.title AS subject, d.author FROM directive_assignees a CROSS JOIN directives d "
    "WHERE a.organisation = $1 AND a.state = 'assigned' AND d.id = a.directive AND d.state = 'open' AND d.due_date IS NULL"
)
_HELD = f"{_DOCUMENTS} UNION ALL {_UNREGISTERED} UNION ALL {_UNDIRECTED} UNION ALL {_UNBEGUN}"
_COLUMNS = "h.what, h.id, h.key, h.urgency, h.number, h.handler, h.since_us, h.due_date"
_GROUPS = f"('{CLERKS}', '{LEADERS}', '{UNIT}')"
# A handler touches something by acknowledging or opening what he was told of it, and by looking at a document's pages.
_TOUCHED = (
    "EXISTS (SELECT 1 FROM notices n WHERE n.organisation = $1 AND n.about IN (h.about, 'idle:' || h.key) "
    f"AND (h.handler IN {_GROUPS} OR n.person = h.handler) AND (n.acknowledged_us > $2 OR EXISTS (SELECT 1 FROM deliveries y WHERE y.notice = n.id AND y.read_us > $2))) "
    "OR EXISTS (SELECT 1 FROM page_openings o WHERE o.document = h.id AND o.person = h.handler AND o.at_us > $2)"
)
_TOLD = (
    "EXISTS (SELECT 1 FROM followups f WHERE f.organisation = $1 AND f.subject = h.key AND f.reason = $3 AND f.handler = h.handler "
    "AND f.since_us = h.since_us)"
)


async def organisations(db: Reads) -> list[str]:
    return [str(row["id"]) for row in await db.fetch_all("SELECT id FROM organisations ORDER BY id")]


async def idle(db: Reads, organisation: str, untouched_since_us: int, reason: Reason, limit: int) -> list[Held]:
    """What came to its handler by then, was not touched since, and was not told of yet; the oldest first."""
    rows = await db.fetch_all(
        f"SELECT {_COLUMNS} FROM ({_HELD}) h WHERE h.since_us <= $2 AND NOT {_TOLD} AND NOT ({_TOUCHED}) ORDER BY h.since_us, h.id LIMIT $4",
        organisation, untouched_since_us, reason.value, limit,
    )  # fmt: skip
    return [into(row, Held) for row in rows]


async def overdue(db: Reads, organisation: str, today: str, limit: int) -> list[Held]:
    """What should have been done before `today` (`YYYY-MM-DD`) and was not told of yet."""
    rows = await db.fetch_all(
        f"SELECT {_COLUMNS} FROM ({_HELD}) h WHERE h.due_date < $2 AND NOT {_TOLD} ORDER BY h.due_date, h.id LIMIT $4",
        organisation, today, Reason.OVERDUE.value, limit,
    )  # fmt: skip
    return [into(row, Held) for row in rows]


async def standing(tx: Reads, organisation: str, subject: str, handler: str, since_us: int) -> bool:
    """Whether it still stands there as it did."""
    row = await tx.fetch_one(
        f"SELECT 1 AS one FROM ({_HELD}) h WHERE h.id = $2 AND h.key = $3 AND h.handler = $4 AND h.since_us = $5",
        organisation, subject.partition(":")[2], subject, handler, since_us,
    )  # fmt: skip
    return row is not None


async def mark(
    tx: Transaction, organisation: str, subject: str, reason: Reason, handler: str, since_us: int, now_us: int
) -> int:
    """0 when it was told of before."""
    return await tx.execute(
        "INSERT INTO followups (organisation, subject, reason, handler, since_us, told_us, looked_us) VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT DO NOTHING",
        organisation, subject, reason.value, handler, since_us, now_us,
    )  # fmt: skip


async def unfinished(db: Reads, organisation: str, limit: int) -> list[Row]:
    return await db.fetch_all(
        "SELECT subject, reason, handler, since_us FROM followups WHERE organisation = $1 AND ended_us IS NULL AND reason <> 'digest' ORDER BY looked_us, subject, reason, handler LIMIT $2",
        organisation, limit,
    )  # fmt: skip


_FOLLOWUP = "organisation = $1 AND subject = $2 AND reason = $3 AND handler = $4 AND since_us = $5 AND ended_us IS NULL"


async def looked(tx: Transaction, organisation: str, row: Row, now_us: int) -> None:
    """It still stands there: those that were looked at longer ago come before it the next time."""
    await tx.execute(f"UPDATE followups SET looked_us = $6 WHERE {_FOLLOWUP}", organisation, *_key(row), now_us)


async def finish(tx: Transaction, organisation: str, row: Row, now_us: int) -> int:
    return await tx.execute(f"UPDATE followups SET ended_us = $6 WHERE {_FOLLOWUP}", organisation, *_key(row), now_us)


def _key(row: Row) -> tuple[str, str, str, int]:
    return row["subject"], row["reason"], row["handler"], row["since_us"]


_IDLE = (
    "EXISTS (SELECT 1 FROM followups f WHERE f.organisation = $1 AND f.subject = h.key AND f.reason IN ('idle', 'idle_head') "
    "AND f.handler = h.handler AND f.since_us = h.since_us AND f.ended_us IS NULL)"
)


async def counts(db: Reads, organisation: str, today: str) -> Counts:
    row = await db.fetch_one(
        f"SELECT count(*) AS held, count(CASE WHEN {_IDLE} THEN 1 END) AS idle, count(CASE WHEN h.due_date < $2 THEN 1 END) AS overdue, "
        "(SELECT count(*) FROM escalations e JOIN notices n ON n.id = e.notice WHERE e.organisation = $1 AND e.state <> 'stopped' AND n.state = 'open') AS unanswered "
        f"FROM ({_HELD}) h",
        organisation, today,
    )  # fmt: skip
    assert row is not None
    return into(row, Counts)


async def overview(db: Reads, actor: Actor, today: str, limit: int) -> list[Row]:
    """What is late, then what stands still, the most urgent and oldest first; the subject only where the actor may read it."""
    role = "EXISTS (SELECT 1 FROM roles r WHERE r.person = $3 AND r.role = '{}')".format
    mine = (
        "CASE WHEN EXISTS (SELECT 1 FROM document_readers q WHERE q.document = h.id AND q.person = $3) OR h.author = $3 "
        f"OR (h.what = 'order' AND h.handler = $3) OR (h.what <> 'document' AND {role('clerk')}) "
        f"OR (h.handler IN ('{LEADERS}', '{UNIT}') AND {role('leader')}) THEN h.subject END"
    )
    return await db.fetch_all(
        f"SELECT * FROM (SELECT {_COLUMNS}, p.name, p.position, {mine} AS subject, CASE WHEN {_IDLE} THEN 1 ELSE 0 END AS idle, "
        f"CASE WHEN h.due_date < $2 THEN 1 ELSE 0 END AS overdue FROM ({_HELD}) h LEFT JOIN people p ON p.id = h.handler) v "
        "WHERE idle = 1 OR overdue = 1 ORDER BY overdue DESC, urgency DESC, since_us, id LIMIT $4",
        actor.organisation, today, actor.id, limit,
    )  # fmt: skip


async def in_role(tx: Reads, organisation: str, role: Role) -> list[str]:
    rows = await tx.fetch_all(
        "SELECT p.id FROM people p JOIN roles r ON r.person = p.id WHERE p.organisation = $1 AND r.role = $2 AND p.state = 'active' ORDER BY p.created_us, p.id",
        organisation, role.value,
    )  # fmt: skip
    return [str(row["id"]) for row in rows]


async def acting(tx: Reads, organisation: str) -> list[str]:
    """Who acts for an organisation that a direction names."""
    return list(dict.fromkeys([*await in_role(tx, organisation, Role.LEADER), *await clerks(tx, organisation)]))


async def name_of(tx: Reads, person: str) -> str:
    row = await tx.fetch_one("SELECT name, position FROM people WHERE id = $1", person)
    return "" if row is None else ", ".join(part for part in (row["name"], row["position"]) if part)


async def clerks(tx: Reads, organisation: str) -> list[str]:
    return await in_role(tx, organisation, Role.CLERK)


async def active(tx: Reads, organisation: str, people: Sequence[str]) -> list[str]:
    rows = [
        await tx.fetch_one(
            "SELECT id FROM people WHERE id = $1 AND organisation = $2 AND state = 'active'", one, organisation
        )
        for one in people
    ]
    return [str(row["id"]) for row in rows if row is not None]
