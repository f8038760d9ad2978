"""All SQL of reports: reads alone, each one range of an index within one organisation (C1) and within the period."""

from datetime import date

from server.db import Reads, Row
from server.documents.model import State, StepKind
from server.identity.model import Actor
from server.onestop.model import WORKING
from server.reports.model import DayCount, Overdue, Period, Ranked, day_of

_MOST_UNITS = 200
_DAY = "(p.accepted_us + 25200000000) / 86400000000"


async def issued(db: Reads, actor: Actor, period: Period) -> list[DayCount]:
    """Documents that the exchange took, by local day."""
    rows = await db.fetch_all(
        f"SELECT {_DAY} AS day, count(*) AS n FROM outgoing_packets p "
        "WHERE p.organisation = $1 AND p.kind = 'edoc' AND p.accepted_us >= $2 AND p.accepted_us < $3 GROUP BY 1 ORDER BY 1",
        actor.organisation, period.start_us, period.end_us,
    )  # fmt: skip
    return [DayCount(day_of(row["day"]), row["n"]) for row in rows]


async def deliveries(db: Reads, actor: Actor, period: Period) -> list[DayCount]:
    """Receivers that those documents went to, by the same days."""
    rows = await db.fetch_all(
        f"SELECT {_DAY} AS day, count(*) AS n FROM outgoing_packets p JOIN packet_receivers r ON r.packet = p.id "
        "WHERE p.organisation = $1 AND p.kind = 'edoc' AND p.accepted_us >= $2 AND p.accepted_us < $3 AND r.state NOT IN ('queued', 'sending', 'retry_wait', 'failed') GROUP BY 1 ORDER BY 1",
        actor.organisation, period.start_us, period.end_us,
    )  # fmt: skip
    return [DayCount(day_of(row["day"]), row["n"]) for row in rows]


async def durations(db: Reads, actor: Actor, period: Period) -> list[Ranked]:
    """From intake to the last personal signature: the sorted values beside the median and the 90th percentile, at most four of all.

    The cross join keeps SQLite on the index of the period: it would look at all of the organisation's documents.
    """
    rows = await db.fetch_all(
        "SELECT value, place, total FROM (SELECT value, row_number() OVER (ORDER BY value) - 1 AS place, count(*) OVER () AS total FROM ("
        "SELECT s.decided_us - d.created_us AS value FROM route_steps s CROSS JOIN documents d "
        "WHERE d.id = s.document AND d.organisation = $1 AND s.decided_us >= $2 AND s.decided_us < $3 AND s.kind = 'person' AND s.state IN ('pending_timestamp', 'done') "
        "AND NOT EXISTS (SELECT 1 FROM route_steps t WHERE t.document = s.document AND t.kind = 'person' AND t.position > s.position)) AS one) AS ranked "
        "WHERE place IN ((total - 1) * 5 / 10, (total - 1) * 5 / 10 + 1, (total - 1) * 9 / 10, (total - 1) * 9 / 10 + 1) ORDER BY place",
        actor.organisation, period.start_us, period.end_us,
    )  # fmt: skip
    return [Ranked(row["value"], row["place"], row["total"]) for row in rows]


async def acknowledged(db: Reads, actor: Actor, period: Period) -> tuple[int, int]:
    """Of the notices that had to be acknowledged: how many were, or were done, before a step of their chain; at how many one was taken."""
    row = await db.fetch_one(
        "SELECT coalesce(sum(CASE WHEN stepped = 0 AND state IN ('acknowledged', 'settled') THEN 1 ELSE 0 END), 0) AS in_time, "
        "coalesce(sum(stepped), 0) AS late FROM (SELECT n.state, "
        "CASE WHEN EXISTS (SELECT 1 FROM escalation_steps s WHERE s.notice = e.notice) THEN 1 ELSE 0 END AS stepped "
        "FROM escalations e JOIN notices n ON n.id = e.notice WHERE e.organisation = $1 AND e.started_us >= $2 AND e.started_us < $3) AS chains",
        actor.organisation, period.start_us, period.end_us,
    )  # fmt: skip
    assert row is not None
    return int(row["in_time"]), int(row["late"])


async def overdue_documents(db: Reads, actor: Actor, now_us: int, others: dict[str, str]) -> list[Overdue]:
    """By who holds them now. `others`: words for `seal`, `receivers`, `system` and the `rest`."""
    rows = await db.fetch_all(
        "SELECT d.state, s.kind, p.name, p.position, count(*) AS n, sum(count(*)) OVER () AS total FROM documents d "
        "LEFT JOIN route_steps s ON s.document = d.id AND s.position = d.step AND d.state IN ('in_review', 'signed') "
        "LEFT JOIN people p ON p.id = s.person WHERE d.organisation = $1 AND d.state_due_us IS NOT NULL AND d.state_due_us < $2 "
        f"GROUP BY d.state, s.kind, p.id, p.name, p.position ORDER BY n DESC, p.name LIMIT {_MOST_UNITS}",
        actor.organisation, now_us,
    )  # fmt: skip
    counted: dict[str, int] = {}
    for row in rows:
        if row["kind"] in {StepKind.PERSON, StepKind.INITIALS}:
            unit = _unit(row)
        elif row["kind"] == StepKind.SEAL:
            unit = others["seal"]
        else:
            unit = others["receivers" if row["state"] in {State.FORWARDED, State.DELIVERED} else "system"]
        counted[unit] = counted.get(unit, 0) + row["n"]
    return _with_rest("document", list(counted.items()), rows, others["rest"])


async def late_dossiers(db: Reads, actor: Actor, today: date, others: dict[str, str]) -> list[Overdue]:
    """Open dossiers past their promised date, or whose step nobody has handled for too long, by unit."""
    steps = ", ".join(f"'{one.value}'" for one in sorted(WORKING))
    rows = await db.fetch_all(
        "SELECT u.name, count(*) AS n, sum(count(*)) OVER () AS total FROM dossiers d JOIN onestop_units u ON u.organisation = d.organisation AND u.code = d.unit "
        f"WHERE d.organisation = $1 AND d.closed_us IS NULL AND d.step IN ({steps}) AND (d.late_us IS NOT NULL OR d.promised < $2) "
        f"GROUP BY u.code, u.name ORDER BY n DESC, u.name LIMIT {_MOST_UNITS}",
        actor.organisation, today.isoformat(),
    )  # fmt: skip
    return _with_rest("dossier", [(row["name"], row["n"]) for row in rows], rows, others["rest"])


# An arrival past its deadline is with the clerks until it is registered, with the leaders while they are asked for a direction, then with the lead of
# each direction that is not completed. Each part goes through an index of what is open; the cross joins keep SQLite on it.
_LATE_ARRIVALS = (
    "SELECT a.id, 'clerks' AS holder, '' AS name, '' AS position FROM arrivals a WHERE a.organisation = $1 AND a.state = 'waiting' AND a.due_date < $2 "
    "UNION ALL SELECT a.id, 'leaders', '', '' FROM (SELECT DISTINCT n.about FROM notices n WHERE n.organisation = $1 AND n.kind = 'to_direct' AND n.state = 'open') q "
    "CROSS JOIN arrivals a WHERE a.id = substr(q.about, 9) AND a.organisation = $1 AND a.state = 'registered' AND a.due_date < $2 AND NOT EXISTS "
    "(SELECT 1 FROM notices k WHERE k.organisation = $1 AND k.about = q.about AND k.kind = 'to_direct' AND k.state = 'acknowledged') "
    "UNION ALL SELECT a.id, 'lead', coalesce(p.name, o.name), coalesce(p.position, '') FROM directives d CROSS JOIN arrivals a "
    "JOIN directive_assignees l ON l.directive = d.id AND l.lead = 1 AND l.state <> 'released' JOIN organisations o ON o.id = l.organisation "
    "LEFT JOIN people p ON p.id = l.person WHERE d.organisation = $1 AND d.state = 'open' AND d.parent IS NULL AND a.id = d.arrival "
    "AND a.state = 'registered' AND a.due_date < $2"
)


async def late_arrivals(db: Reads, actor: Actor, today: date, others: dict[str, str]) -> list[Overdue]:
    """Incoming documents past the deadline that their sender set, by who has them now. `others`: words for `clerks`, `leaders` and the `rest`."""
    rows = await db.fetch_all(
        "SELECT holder, name, position, count(DISTINCT id) AS n, sum(count(DISTINCT id)) OVER () AS total "
        f"FROM ({_LATE_ARRIVALS}) AS held GROUP BY holder, name, position ORDER BY n DESC, holder, name LIMIT {_MOST_UNITS}",
        actor.organisation, today.isoformat(),
    )  # fmt: skip
    return _with_rest(
        "arrival", [(others.get(row["holder"]) or _unit(row), row["n"]) for row in rows], rows, others["rest"]
    )


# Lines of the organisation's own directions, and those that name the organisation from above.
_LATE_DIRECTIVES = (
    "SELECT coalesce(a.person, a.assignee) AS holder, coalesce(p.name, o.name) AS name, coalesce(p.position, '') AS position FROM directives d "
    "CROSS JOIN directive_assignees a JOIN organisations o ON o.id = a.organisation LEFT JOIN people p ON p.id = a.person "
    "WHERE d.organisation = $1 AND d.state = 'open' AND d.due_date < $2 AND a.directive = d.id AND a.state IN ('assigned', 'in_work') "
    "UNION ALL SELECT o.id, o.name, '' FROM directive_assignees a CROSS JOIN directives d JOIN organisations o ON o.id = a.organisation "
    "WHERE a.assignee = $1 AND a.person IS NULL AND a.state IN ('assigned', 'in_work') AND d.id = a.directive AND d.organisation <> $1 "
    "AND d.state = 'open' AND d.due_date < $2"
)


async def late_directives(db: Reads, actor: Actor, today: date, others: dict[str, str]) -> list[Overdue]:
    """Places of directions that are not finished and whose deadline has passed, by person or organisation."""
    rows = await db.fetch_all(
        "SELECT holder, name, position, count(*) AS n, sum(count(*)) OVER () AS total "
        f"FROM ({_LATE_DIRECTIVES}) AS late GROUP BY holder, name, position ORDER BY n DESC, name, holder LIMIT {_MOST_UNITS}",
        actor.organisation, today.isoformat(),
    )  # fmt: skip
    return _with_rest("directive", [(_unit(row), row["n"]) for row in rows], rows, others["rest"])


def _unit(row: Row) -> str:
    return " · ".join(part for part in (row["name"], row["position"]) if part)


def _with_rest(kind: str, counted: list[tuple[str, int]], rows: list[Row], rest: str) -> list[Overdue]:
    """Beyond the units that are named, all others together: the sum is that of everything."""
    left = int(rows[0]["total"]) - sum(count for _, count in counted) if rows else 0
    return [Overdue(kind, unit, count) for unit, count in [*counted, *([(rest, left)] if left else [])]]
