"""All SQL of arrivals. Every read of a user takes the actor and joins the access rule (threat C1).

A service client and the clerks read what came for their organisation, its leaders what was registered; others only through a direction.
"""

from collections.abc import Sequence

import msgspec

from server.arrivals.model import ArrivalRow, FileRow, State
from server.db import Reads, Row, Transaction, into
from server.identity.model import Actor

_FIELDS = ArrivalRow.__struct_fields__
_NAMES = ", ".join(f"a.{name}" for name in _FIELDS)
# A sender may fill a header with megabytes (B6); many rows together go without it.
_LISTED = _NAMES.replace("a.header", "substr(a.header, 1, 0) AS header")
_READABLE = (
    "a.organisation = $1 AND ($2 = 'service' OR EXISTS (SELECT 1 FROM roles r WHERE r.person = $3 "
    "AND (r.role = 'clerk' OR (r.role = 'leader' AND a.arrival_number IS NOT NULL))))"
)


def _who(actor: Actor) -> tuple[str, str, str]:
    return actor.organisation, str(actor.kind), actor.id


async def find(db: Reads, actor: Actor, arrival: str) -> ArrivalRow | None:
    row = await db.fetch_one(f"SELECT {_NAMES} FROM arrivals a WHERE {_READABLE} AND a.id = $4", *_who(actor), arrival)
    return None if row is None else into(row, ArrivalRow)


async def load(tx: Reads, arrival: str) -> ArrivalRow | None:
    """For the system's own work, where no user reads."""
    row = await tx.fetch_one(f"SELECT {_NAMES} FROM arrivals a WHERE a.id = $1", arrival)
    return None if row is None else into(row, ArrivalRow)


async def waiting(db: Reads, actor: Actor, limit: int) -> list[ArrivalRow]:
    """What the clerk has to decide: the most urgent first, then the oldest; a grade that nobody knows counts as urgent. Then what was decided last."""
    rows = await db.fetch_all(
        f"SELECT {_LISTED} FROM arrivals a WHERE {_READABLE} AND a.state = 'waiting' "
        "ORDER BY coalesce(a.urgency, 1) DESC, a.received_us, a.id LIMIT $4",
        *_who(actor),
        limit,
    )
    if len(rows) < limit:
        rows += await db.fetch_all(
            f"SELECT {_LISTED} FROM arrivals a WHERE {_READABLE} AND a.decided_us IS NOT NULL ORDER BY a.decided_us DESC, a.id LIMIT $4",
            *_who(actor),
            limit - len(rows),
        )
    return [into(row, ArrivalRow) for row in rows]


async def listing(db: Reads, actor: Actor, *, before: tuple[int, str], limit: int) -> list[ArrivalRow]:
    """Newest first, from the cursor (received_us, id) exclusive."""
    rows = await db.fetch_all(
        f"SELECT {_LISTED} FROM arrivals a WHERE {_READABLE} AND (a.received_us < $4 OR (a.received_us = $4 AND a.id < $5)) "
        "ORDER BY a.received_us DESC, a.id DESC LIMIT $6",
        *_who(actor),
        *before,
        limit,
    )
    return [into(row, ArrivalRow) for row in rows]


async def related(db: Reads, row: ArrivalRow) -> list[Row]:
    """What came about this arrival, and what this one is about."""
    return await db.fetch_all(
        "SELECT id, kind, state, asked, received_us FROM arrivals WHERE organisation = $1 AND (about = $2 OR id = $3) ORDER BY received_us, id",
        row.organisation,
        row.id,
        row.about or "",
    )


async def directed(db: Reads, arrival: str) -> list[Row]:
    """Who directed what is to be done with it, the first one first; what was withdrawn is left out."""
    return await db.fetch_all(
        "SELECT d.id, d.author, d.state, d.created_us, p.name FROM directives d JOIN people p ON p.id = d.author "
        "WHERE d.arrival = $1 AND d.parent IS NULL AND d.state <> 'withdrawn' ORDER BY d.id",
        arrival,
    )


async def files(db: Reads, arrival: str) -> list[FileRow]:
    """Its files in the packet's order, each with what our validation said of it."""
    rows = await db.fetch_all(
        "SELECT f.position, f.name, f.content_type, f.digest, f.size, f.pdf, f.findings, v.verdict, v.report FROM arrival_files f "
        "JOIN arrivals a ON a.id = f.arrival LEFT JOIN incoming_validations v ON v.source = a.axis_id AND v.file = f.digest "
        "WHERE f.arrival = $1 ORDER BY f.position",
        arrival,
    )
    return [into(row, FileRow) for row in rows]


async def report(db: Reads, row: ArrivalRow, digest: str) -> bytes | None:
    """The validation's report on a file, as JSON."""
    found = await db.fetch_one(
        "SELECT report FROM incoming_validations WHERE source = $1 AND file = $2", row.axis_id, digest
    )
    return None if found is None else str(found["report"]).encode()


async def insert(tx: Transaction, row: ArrivalRow) -> int:
    """0 when this one is here already (reference §7.2)."""
    values = msgspec.structs.astuple(row)
    places = ", ".join(f"${place}" for place in range(1, len(_FIELDS) + 1))
    return await tx.execute(
        f"INSERT INTO arrivals ({', '.join(_FIELDS)}) VALUES ({places}) "
        "ON CONFLICT (organisation, sender_key, exchange_id, kind, distinct_key) DO NOTHING",
        *(value.value if isinstance(value, State) or name == "kind" else value for name, value in zip(_FIELDS, values, strict=True)),
    )  # fmt: skip


async def insert_file(tx: Transaction, arrival: str, file: FileRow) -> None:
    await tx.execute(
        "INSERT INTO arrival_files (arrival, position, name, content_type, digest, size, pdf, findings) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        arrival, file.position, file.name, file.content_type, file.digest, file.size, file.pdf, file.findings,
    )  # fmt: skip


async def copies(tx: Reads, row: ArrivalRow) -> list[ArrivalRow]:
    """What was here of this sender, DocumentId and kind before this copy came, the newest first."""
    rows = await tx.fetch_all(
        f"SELECT {_LISTED} FROM arrivals a WHERE a.organisation = $1 AND a.sender_key = $2 AND a.exchange_id = $3 AND a.kind = $4 "
        "ORDER BY a.received_us DESC, a.id DESC LIMIT 100",
        row.organisation, row.sender_key, row.exchange_id, row.kind.value,
    )  # fmt: skip
    return [into(found, ArrivalRow) for found in rows]


async def unbound(tx: Reads, row: ArrivalRow) -> list[ArrivalRow]:
    """What was asked about this document while it was unknown here, by its id or by number and day; whose it is, the caller looks at."""
    rows = await tx.fetch_all(
        f"SELECT {_LISTED} FROM arrivals a WHERE a.organisation = $1 AND a.exchange_id IN ($2, $3) AND a.about IS NULL "
        "AND a.kind IN ('revoke', 'update', 'take_back') AND a.state IN ('waiting', 'agreed') ORDER BY a.received_us, a.id LIMIT 100",
        row.organisation,
        row.exchange_id,
        f"{row.reference},{row.promulgation_date}",
    )
    return [into(found, ArrivalRow) for found in rows]


async def bind(tx: Transaction, arrival: str, about: str) -> int:
    return await tx.execute("UPDATE arrivals SET about = $2 WHERE id = $1", arrival, about)


async def documents(tx: Reads, organisation: str, exchange_id: str) -> list[ArrivalRow]:
    """Documents that came under this DocumentId, the newest first; whose they are, the caller looks at."""
    rows = await tx.fetch_all(
        f"SELECT {_NAMES} FROM arrivals a WHERE a.organisation = $1 AND a.exchange_id = $2 AND a.kind IN ('new', 'replace') "
        "ORDER BY a.received_us DESC, a.id DESC LIMIT 10",
        organisation,
        exchange_id,
    )
    return [into(row, ArrivalRow) for row in rows]


async def by_reference(tx: Reads, organisation: str, reference: str, promulgated: str) -> list[ArrivalRow]:
    """The same by number, notation and day, for requests that quote no id (reference §5)."""
    rows = await tx.fetch_all(
        f"SELECT {_NAMES} FROM arrivals a WHERE a.organisation = $1 AND a.reference = $2 AND a.promulgation_date = $3 "
        "AND a.kind IN ('new', 'replace') ORDER BY a.received_us DESC, a.id DESC LIMIT 10",
        organisation,
        reference,
        promulgated,
    )
    return [into(row, ArrivalRow) for row in rows]


async def asked_about(tx: Reads, arrival: str) -> bool:
    """Whether its sender waits for an answer about it."""
    row = await tx.fetch_one("SELECT 1 AS one FROM arrivals WHERE about = $1 AND state = 'waiting' AND kind IN ('revoke', 'take_back') LIMIT 1", arrival)  # fmt: skip
    return row is not None


async def next_number(tx: Transaction, organisation: str, year: int) -> int:
    """The next arrival number of the agency's year, from 1. The row is locked until commit, so none is lost or given twice."""
    row = await tx.fetch_one(
        "INSERT INTO arrival_counters (organisation, year, last) VALUES ($1, $2, 1) "
        "ON CONFLICT (organisation, year) DO UPDATE SET last = arrival_counters.last + 1 RETURNING last",
        organisation,
        year,
    )
    assert row is not None
    return int(row["last"])


async def decide(
    tx: Transaction,
    row: ArrivalRow,
    state: State,
    *,
    by: str,
    remark: str,
    now_us: int,
    number: tuple[int, int] | None = None,
) -> int:
    """The one conditional UPDATE that every decision is; 0 when somebody decided since `row` was read. `number`: (year, number)."""
    return await tx.execute(
        "UPDATE arrivals SET state = $3, decided_by = $4, decided_us = $5, remark = $6, arrival_year = coalesce($7, arrival_year), "
        "arrival_number = coalesce($8, arrival_number) WHERE id = $1 AND state = $2",
        row.id, row.state.value, state.value, by, now_us, remark, *(number or (None, None)),
    )  # fmt: skip


async def end(tx: Transaction, arrival: str, states: Sequence[State], to: State) -> int:
    """A document ends by what its sender sent later."""
    places = ", ".join(f"${place}" for place in range(3, 3 + len(states)))
    return await tx.execute(
        f"UPDATE arrivals SET state = $2 WHERE id = $1 AND state IN ({places})",
        arrival,
        to.value,
        *(state.value for state in states),
    )


async def set_own_number(tx: Transaction, arrival: str, number: str) -> int:
    return await tx.execute("UPDATE arrivals SET own_number = $2 WHERE id = $1", arrival, number)


async def leaders(tx: Reads, organisation: str) -> list[str]:
    rows = await tx.fetch_all(
        "SELECT p.id FROM people p JOIN roles r ON r.person = p.id WHERE p.organisation = $1 AND p.state = 'active' AND r.role = 'leader' ORDER BY p.id",
        organisation,
    )
    return [str(row["id"]) for row in rows]


async def clerk_name(db: Reads, person: str) -> str:
    row = await db.fetch_one("SELECT name FROM people WHERE id = $1", person)
    return "" if row is None else str(row["name"])


async def organisation_name(tx: Reads, organisation: str) -> str:
    row = await tx.fetch_one("SELECT name FROM organisations WHERE id = $1", organisation)
    return "" if row is None else str(row["name"])
