"""All SQL of directions. Every read of a user takes the actor and joins the access rule (threat C1)."""

from collections.abc import Sequence

import msgspec

from server.db import Reads, Row, Transaction, into
from server.directives.model import AssigneeRow, DirectiveRow, DirectiveState
from server.identity.model import Actor

_DIRECTIVE = ", ".join(f"d.{name}" for name in DirectiveRow.__struct_fields__)
_ASSIGNEE = ", ".join(f"a.{name}" for name in AssigneeRow.__struct_fields__)
# $1 organisation, $2 person. For an organisation that a direction names its leaders and clerks act.
_ACTS = "EXISTS (SELECT 1 FROM roles r WHERE r.person = $2 AND r.role IN ('leader', 'clerk'))"
_MINE = f"(a.assignee = $2 OR (a.person IS NULL AND a.assignee = $1 AND {_ACTS}))"
# The author and the organisation's clerks follow a direction whole; whoever it names knows it, too.
_FOLLOWS = (
    "(CASE WHEN d.organisation = $1 AND (d.author = $2 OR EXISTS (SELECT 1 FROM roles r WHERE r.person = $2 AND r.role = 'clerk')) "
    "THEN 1 ELSE 0 END)"
)
_VIEW = (
    f"SELECT {_DIRECTIVE}, {_FOLLOWS} AS follows, a.id AS mine, a.state AS my_state, a.lead AS my_lead FROM directives d "
    f"LEFT JOIN directive_assignees a ON a.directive = d.id AND {_MINE} WHERE ({_FOLLOWS} = 1 OR a.id IS NOT NULL)"
)


def _who(actor: Actor) -> tuple[str, str]:
    return actor.organisation, actor.id


async def find(db: Reads, actor: Actor, directive: str) -> Row | None:
    return await db.fetch_one(f"{_VIEW} AND d.id = $3", *_who(actor), directive)


async def listing(
    db: Reads, actor: Actor, which: str, *, day: str, after: tuple[int, str, str], limit: int
) -> list[Row]:
    """Lines of assignees: `mine` to do, `given` by me (the lead's), or `late` of both; open ones first, by deadline."""
    wanted = {
        "mine": f"{_MINE} AND a.state <> 'released'",
        "given": "d.author = $2 AND d.organisation = $1 AND a.lead = 1 AND a.state <> 'released'",
        "late": f"({_MINE} OR (d.author = $2 AND d.organisation = $1)) AND d.state = 'open' AND d.due_date < $7 AND a.state IN ('assigned', 'in_work')",
    }[which]
    return await db.fetch_all(
        "SELECT * FROM (SELECT CASE WHEN d.state = 'open' AND a.state IN ('assigned', 'in_work') THEN 0 ELSE 1 END AS over, "
        "coalesce(d.due_date, '9999') AS due_key, CASE WHEN d.due_date < $7 THEN 1 ELSE 0 END AS late, "
        f"{_LINE} {_PEOPLE} WHERE {wanted}) l WHERE (over, due_key, id) > ($3, $4, $5) "
        "ORDER BY over, due_key, id LIMIT $6",
        *_who(actor), *after, limit, day,
    )  # fmt: skip


_LINE = (
    f"{_ASSIGNEE}, d.sequence, d.root, d.parent, d.author, d.organisation AS given_in, d.due_date, d.state AS directive_state, d.text, d.title, "
    "d.reference, d.urgency, d.document, d.created_us, p.name AS person_name, p.position AS person_position, o.name AS unit_name, "
    "w.name AS author_name, w.position AS author_position, g.name AS author_unit"
)
_PEOPLE = (
    "FROM directive_assignees a JOIN directives d ON d.id = a.directive JOIN organisations o ON o.id = a.organisation "
    "LEFT JOIN people p ON p.id = a.person JOIN people w ON w.id = d.author JOIN organisations g ON g.id = d.organisation"
)


async def tree(db: Reads, root: str) -> list[Row]:
    """Every line of a tree, leads first; which of them the actor may see, the service decides."""
    return await db.fetch_all(
        f"SELECT {_LINE} {_PEOPLE} WHERE d.root = $1 ORDER BY a.lead DESC, d.created_us, a.id LIMIT 5000", root
    )


async def load(tx: Reads, directive: str) -> DirectiveRow | None:
    """For the system's own work."""
    row = await tx.fetch_one(f"SELECT {_DIRECTIVE} FROM directives d WHERE d.id = $1", directive)
    return None if row is None else into(row, DirectiveRow)


def directive_of(row: Row) -> DirectiveRow:
    return into(row, DirectiveRow)


async def insert(tx: Transaction, row: DirectiveRow) -> None:
    names = DirectiveRow.__struct_fields__
    places = ", ".join(f"${place}" for place in range(1, len(names) + 1))
    values = [row.state.value if name == "state" else getattr(row, name) for name in names]
    await tx.execute(f"INSERT INTO directives ({', '.join(names)}) VALUES ({places})", *values)


async def change(tx: Transaction, before: DirectiveRow, *, text: str, due_date: str | None) -> int:
    """To the next revision; 0 when another change or the end came first."""
    return await tx.execute(
        "UPDATE directives SET text = $3, due_date = $4, sequence = sequence + 1 WHERE id = $1 AND sequence = $2 AND state = 'open'",
        before.id,
        before.sequence,
        text,
        due_date,
    )


async def end(tx: Transaction, directive: DirectiveRow, to: DirectiveState) -> int:
    """0 when it ended, or was changed, since it was read."""
    return await tx.execute(
        "UPDATE directives SET state = $3 WHERE id = $1 AND sequence = $2 AND state = 'open'",
        directive.id,
        directive.sequence,
        to.value,
    )


async def assignees(tx: Reads, directive: str) -> list[AssigneeRow]:
    rows = await tx.fetch_all(
        f"SELECT {_ASSIGNEE} FROM directive_assignees a WHERE a.directive = $1 ORDER BY a.lead DESC, a.id", directive
    )
    return [into(row, AssigneeRow) for row in rows]


async def assignee(tx: Reads, id_: str) -> AssigneeRow | None:
    row = await tx.fetch_one(f"SELECT {_ASSIGNEE} FROM directive_assignees a WHERE a.id = $1", id_)
    return None if row is None else into(row, AssigneeRow)


async def name(tx: Transaction, row: AssigneeRow) -> None:
    await tx.execute(
        "INSERT INTO directive_assignees (id, directive, assignee, organisation, person, lead, state, progress, word, warned, late_told) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', '')",
        row.id, row.directive, row.assignee, row.organisation, row.person, row.lead, row.state.value, row.progress, row.word,
    )  # fmt: skip


async def put(tx: Transaction, before: AssigneeRow, after: AssigneeRow, sequence: int) -> int:
    """0 when he was heard or released since `before` was read, or the direction has ended or another revision."""
    return await tx.execute(
        "UPDATE directive_assignees SET lead = $4, state = $5, progress = $6, word = $7, told_us = $8, done_us = $9 "
        "WHERE id = $1 AND state = $2 AND progress = $3 "
        "AND EXISTS (SELECT 1 FROM directives d WHERE d.id = $10 AND d.sequence = $11 AND d.state = 'open')",
        before.id, before.state.value, before.progress, after.lead, after.state.value, after.progress, after.word, after.told_us, after.done_us,
        before.directive, sequence,
    )  # fmt: skip


async def end_busy(tx: Transaction, directive: str) -> None:
    """The direction ended without those who are still busy with it."""
    await tx.execute(
        "UPDATE directive_assignees SET state = 'ended' WHERE directive = $1 AND state IN ('assigned', 'in_work')",
        directive,
    )


async def below(tx: Reads, assignee: str) -> list[DirectiveRow]:
    """Open directions that hang below somebody's place."""
    rows = await tx.fetch_all(
        f"SELECT {_DIRECTIVE} FROM directives d WHERE d.parent = $1 AND d.state = 'open' ORDER BY d.id", assignee
    )
    return [into(row, DirectiveRow) for row in rows]


# Every place above a direction $1, the nearest first.
_ABOVE = (
    "WITH RECURSIVE up (place, depth) AS (SELECT parent, 1 FROM directives WHERE id = $1 AND parent IS NOT NULL UNION ALL "
    "SELECT d.parent, u.depth + 1 FROM up u JOIN directive_assignees p ON p.id = u.place JOIN directives d ON d.id = p.directive "
    "WHERE d.parent IS NOT NULL) "
)


async def size(tx: Reads, root: str) -> int:
    """How many lines a tree has."""
    row = await tx.fetch_one(
        "SELECT count(*) AS n FROM directives d JOIN directive_assignees a ON a.directive = d.id WHERE d.root = $1",
        root,
    )
    return 0 if row is None else int(row["n"])


async def depth(tx: Reads, directive: str) -> int:
    """How many directions stand above one."""
    row = await tx.fetch_one(f"{_ABOVE} SELECT count(*) AS n FROM up", directive)
    return 0 if row is None else int(row["n"])


async def taken_off_above(db: Reads, directive: str) -> bool:
    """Whether somebody through whom a direction came was taken off."""
    row = await db.fetch_one(
        f"{_ABOVE} SELECT 1 AS one FROM up u JOIN directive_assignees a ON a.id = u.place WHERE a.state = 'released' LIMIT 1",
        directive,
    )
    return row is not None


async def on_arrival(tx: Reads, arrival: str) -> list[Row]:
    """State of every direction on an arrival, and whether anybody whom it names has begun."""
    return await tx.fetch_all(
        "SELECT d.id, d.state, max(CASE WHEN a.state IN ('in_work', 'completed') THEN 1 ELSE 0 END) AS begun FROM directives d "
        "JOIN directive_assignees a ON a.directive = d.id WHERE d.arrival = $1 AND d.parent IS NULL GROUP BY d.id, d.state",
        arrival,
    )


async def enter(
    tx: Transaction, id_: str, directive: DirectiveRow, kind: str, *, text: str, author: str, now_us: int, assignee: str | None = None,
    progress: int | None = None,
) -> None:  # fmt: skip
    await tx.execute(
        "INSERT INTO directive_entries (id, directive, assignee, sequence, kind, text, due_date, progress, author, at_us) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        id_, directive.id, assignee, directive.sequence, kind, text, directive.due_date, progress, author, now_us,
    )  # fmt: skip


async def entries(db: Reads, directive: str) -> list[Row]:
    """The newest first."""
    return await db.fetch_all(
        "SELECT e.assignee, e.sequence, e.kind, e.text, e.due_date, e.progress, e.at_us, e.author, p.name, p.organisation FROM directive_entries e "
        "LEFT JOIN people p ON p.id = e.author WHERE e.directive = $1 ORDER BY e.id DESC LIMIT 200",
        directive,
    )


async def members(tx: Reads, organisation: str) -> set[str]:
    """People who may open a direction: others would be told of what they cannot read."""
    rows = await tx.fetch_all(
        "SELECT p.id FROM people p WHERE p.organisation = $1 AND p.state = 'active' "
        "AND EXISTS (SELECT 1 FROM roles r WHERE r.person = p.id AND r.role IN ('leader', 'clerk', 'staff'))",
        organisation,
    )
    return {str(row["id"]) for row in rows}


async def units(db: Reads, organisation: str) -> list[Row]:
    """The organisations of this installation below one, however deep."""
    return await db.fetch_all(
        "WITH RECURSIVE under (id) AS (SELECT id FROM organisations WHERE parent = $1 UNION "
        "SELECT o.id FROM organisations o JOIN under u ON o.parent = u.id) "
        "SELECT o.id, o.code, o.name FROM organisations o JOIN under u ON u.id = o.id ORDER BY o.name, o.id",
        organisation,
    )


async def acting(tx: Reads, organisation: str) -> list[str]:
    """Who is told for an organisation that a direction names."""
    rows = await tx.fetch_all(
        "SELECT DISTINCT p.id FROM people p JOIN roles r ON r.person = p.id WHERE p.organisation = $1 AND p.state = 'active' "
        "AND r.role IN ('leader', 'clerk') ORDER BY p.id",
        organisation,
    )
    return [str(row["id"]) for row in rows]


async def organisation_of(tx: Reads, person: str) -> str | None:
    """Of somebody who is still there."""
    row = await tx.fetch_one("SELECT organisation FROM people WHERE id = $1 AND state = 'active'", person)
    return None if row is None else str(row["organisation"])


# Documents written because of a direction.


async def link(tx: Transaction, directive: str, document: str) -> int:
    return await tx.execute(
        "INSERT INTO directive_documents (directive, document) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        directive,
        document,
    )


async def linked(db: Reads, root: str, organisation: str) -> list[Row]:
    """With the direction that caused each, of this organisation alone."""
    return await db.fetch_all(
        "SELECT l.directive, l.document FROM directive_documents l JOIN directives d ON d.id = l.directive "
        "WHERE d.root = $1 AND d.organisation = $2 ORDER BY l.directive, l.document",
        root,
        organisation,
    )


# What is looked through every minute.


class Due(msgspec.Struct, frozen=True):
    """A line whose deadline is near or past, of which somebody has to be told."""

    id: str
    directive: str
    organisation: str
    due_date: str
    since_us: int
    warned: str
    late_told: str


async def due(db: Reads, day: str, until: str, limit: int) -> list[Due]:
    """Lines that nobody has finished, of whose deadline somebody is still to be told: it lies before `day`, or lies to `until` ahead."""
    rows = await db.fetch_all(
        "SELECT a.id, a.directive, a.organisation, d.due_date, d.created_us AS since_us, a.warned, a.late_told FROM directive_assignees a "
        "JOIN directives d ON d.id = a.directive WHERE d.state = 'open' AND a.state IN ('assigned', 'in_work') AND d.due_date <= $1 "
        "AND a.late_told <> d.due_date AND (a.warned <> d.due_date OR d.due_date < $3) ORDER BY d.due_date, a.id LIMIT $2",
        until,
        limit,
        day,
    )
    return [into(row, Due) for row in rows]


async def mark(tx: Transaction, line: Due, *, late: bool) -> int:
    """0 when it was told, finished or given another deadline since it was looked up."""
    column = "late_told" if late else "warned"
    return await tx.execute(
        f"UPDATE directive_assignees SET {column} = $2 WHERE id = $1 AND {column} <> $2 AND state IN ('assigned', 'in_work') "
        "AND EXISTS (SELECT 1 FROM directives d WHERE d.id = $3 AND d.due_date = $2 AND d.state = 'open')",
        line.id,
        line.due_date,
        line.directive,
    )


async def recalled(db: Reads, limit: int) -> Sequence[str]:
    """Open directions at the top of a tree whose text was taken back (EXC-5)."""
    rows = await db.fetch_all(
        "SELECT d.id FROM directives d LEFT JOIN arrivals a ON a.id = d.arrival LEFT JOIN documents o ON o.id = d.document "
        "WHERE d.parent IS NULL AND d.state = 'open' AND (a.state = 'recalled' OR o.state = 'recalled') ORDER BY d.id LIMIT $1",
        limit,
    )
    return [str(row["id"]) for row in rows]
