"""All SQL of meetings. Every read of user data takes the actor and joins the access rule (threat C1)."""

from collections.abc import Iterable

import msgspec

from server.db import Reads, Row, Transaction, into
from server.identity.model import Actor
from server.meetings.model import AttendeeRow, Details, MeetingRow, RevisionKind

_MEETING = "m.id, m.organisation, m.uid, m.organiser, m.client, m.source_reference, m.state, m.sequence, m.starts_us, m.ends_us, m.created_us"
# $1 organisation, $2 kind of actor, $3 actor. A meeting is managed by whoever called it, and by the organisation's clerks; a service
# manages what it called. A guest of another organisation attends and manages nothing.
_MANAGED = (
    "(CASE WHEN m.organisation <> $1 THEN 0 WHEN $2 = 'service' THEN CASE WHEN m.client = $3 THEN 1 ELSE 0 END WHEN m.organiser = $3 THEN 1 "
    "WHEN EXISTS (SELECT 1 FROM roles r WHERE r.person = $3 AND r.role = 'clerk') THEN 1 ELSE 0 END)"
)
_MINE = "a.person, a.last, a.substitute_for, a.answer, a.answered, a.answered_us, a.reason, a.substitute, a.came_us"
# Whoever was taken off the list keeps the last revision that was his. `before` is what he answered last, else the revision before.
_VIEW = (
    f"SELECT {_MEETING}, {_MANAGED} AS managed, {_MINE}, n.sequence AS shown, n.details, n.urgency, n.kind, n.reason AS note, n.created_us AS changed_us, "
    "b.details AS before FROM meetings m LEFT JOIN meeting_attendees a ON a.meeting = m.id AND a.person = $3 "
    f"JOIN meeting_revisions n ON n.meeting = m.id AND n.sequence = CASE WHEN {_MANAGED} = 1 THEN m.sequence ELSE coalesce(a.last, m.sequence) END "
    "LEFT JOIN meeting_revisions b ON b.meeting = m.id AND b.sequence = coalesce(a.answered, n.sequence - 1) AND b.sequence < n.sequence "
    "WHERE (m.organisation = $1 OR m.id IN (SELECT g.meeting FROM meeting_attendees g WHERE g.person = $3)) "
    f"AND ({_MANAGED} = 1 OR a.person IS NOT NULL)"
)


def _who(actor: Actor) -> tuple[str, str, str]:
    return actor.organisation, str(actor.kind), actor.id


async def find(db: Reads, actor: Actor, meeting: str) -> Row | None:
    return await db.fetch_one(f"{_VIEW} AND m.id = $4", *_who(actor), meeting)


async def listing(
    db: Reads, actor: Actor, *, now_us: int, since_us: int, after: tuple[int, int, str], limit: int
) -> list[Row]:
    """Those that have not ended, the next first; then those that ended since `since_us`. `after`: ended (0, 1), start, id, exclusive."""
    return await db.fetch_all(
        f"SELECT * FROM (SELECT CASE WHEN v.ends_us <= $4 THEN 1 ELSE 0 END AS ended, v.* FROM ({_VIEW} AND m.ends_us > $5) v) w "
        "WHERE (ended, starts_us, id) > ($6, $7, $8) ORDER BY ended, starts_us, id LIMIT $9",
        *_who(actor), now_us, since_us, *after, limit,
    )  # fmt: skip


async def attended(db: Reads, actor: Actor, *, since_us: int, limit: int) -> list[Row]:
    """What the actor himself is or was on the list of, for his calendar."""
    return await db.fetch_all(
        f"{_VIEW} AND a.person IS NOT NULL AND m.ends_us > $4 ORDER BY m.starts_us, m.id LIMIT $5",
        *_who(actor),
        since_us,
        limit,
    )


def meeting_of(row: Row) -> MeetingRow:
    return into(row, MeetingRow)


def details_of(text: str) -> Details:
    return msgspec.json.decode(text, type=Details)


async def load(tx: Reads, meeting: str) -> MeetingRow | None:
    """For the system's own work."""
    row = await tx.fetch_one(f"SELECT {_MEETING} FROM meetings m WHERE m.id = $1", meeting)
    return None if row is None else into(row, MeetingRow)


async def insert(tx: Transaction, row: MeetingRow) -> None:
    await tx.execute(
        "INSERT INTO meetings (id, organisation, uid, organiser, client, source_reference, state, sequence, starts_us, ends_us, created_us) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        row.id, row.organisation, row.uid, row.organiser, row.client, row.source_reference, row.state.value, row.sequence, row.starts_us, row.ends_us,
        row.created_us,
    )  # fmt: skip


async def insert_revision(
    tx: Transaction, meeting: str, sequence: int, *, kind: RevisionKind, details: Details, urgency: int, reason: str, author: str, now_us: int
) -> None:  # fmt: skip
    await tx.execute(
        "INSERT INTO meeting_revisions (meeting, sequence, kind, details, urgency, reason, author, created_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        meeting, sequence, kind.value, msgspec.json.encode(details).decode(), urgency, reason, author, now_us,
    )  # fmt: skip


async def advance(tx: Transaction, before: MeetingRow, after: MeetingRow, now_us: int) -> int:
    """To the next revision; 0 when another change came first, or the start did."""
    return await tx.execute(
        "UPDATE meetings SET state = $3, sequence = $4, starts_us = $5, ends_us = $6 WHERE id = $1 AND sequence = $2 AND state = 'planned' AND starts_us > $7",
        before.id, before.sequence, after.state.value, after.sequence, after.starts_us, after.ends_us, now_us,
    )  # fmt: skip


async def revision(tx: Reads, meeting: str, sequence: int) -> Details:
    row = await tx.fetch_one(
        "SELECT details FROM meeting_revisions WHERE meeting = $1 AND sequence = $2", meeting, sequence
    )
    assert row is not None, "a meeting has every revision up to its newest"
    return details_of(row["details"])


_ATTENDEE = (
    f"SELECT {_MINE}, p.name, p.position, p.organisation, o.name AS organisation_name FROM meeting_attendees a JOIN people p ON p.id = a.person "
    "JOIN organisations o ON o.id = p.organisation WHERE a.meeting = $1"
)


async def attendees(db: Reads, meeting: str) -> list[AttendeeRow]:
    """Also those who were taken off (`last`), by name."""
    return [into(row, AttendeeRow) for row in await db.fetch_all(f"{_ATTENDEE} ORDER BY p.name, p.id", meeting)]


async def attendee(tx: Reads, meeting: str, person: str) -> AttendeeRow | None:
    row = await tx.fetch_one(f"{_ATTENDEE} AND a.person = $2", meeting, person)
    return None if row is None else into(row, AttendeeRow)


async def invite(tx: Transaction, meeting: str, person: str, substitute_for: str | None) -> None:
    """On the list, or on it again; what was answered before stays with its revision."""
    await tx.execute(
        "INSERT INTO meeting_attendees (meeting, person, substitute_for, answer, reason) VALUES ($1, $2, $3, '', '') "
        "ON CONFLICT (meeting, person) DO UPDATE SET last = NULL, substitute_for = excluded.substitute_for",
        meeting, person, substitute_for,
    )  # fmt: skip


async def take_off(tx: Transaction, meeting: str, person: str, last: int) -> None:
    await tx.execute(
        "UPDATE meeting_attendees SET last = $3, substitute = NULL WHERE meeting = $1 AND person = $2",
        meeting,
        person,
        last,
    )


async def answer(
    tx: Transaction, meeting: str, person: str, sequence: int, *, answer: str, reason: str, substitute: str | None, now_us: int
) -> int:  # fmt: skip
    """0 unless `sequence` is the newest revision of a meeting that has not started; asked again here, so that a change cannot pass by."""
    return await tx.execute(
        "UPDATE meeting_attendees SET answer = $4, answered = CAST($3 AS BIGINT), answered_us = $5, reason = $6, substitute = $7 WHERE meeting = $1 AND person = $2 AND last IS NULL "
        "AND EXISTS (SELECT 1 FROM meetings m WHERE m.id = $1 AND m.sequence = $3 AND m.state = 'planned' AND m.starts_us > $5)",
        meeting, person, sequence, answer, now_us, reason, substitute,
    )  # fmt: skip


async def unanswer(tx: Transaction, meeting: str, person: str) -> None:
    """The substitute does not come: who sent him is asked again."""
    await tx.execute(
        "UPDATE meeting_attendees SET answer = '', answered = NULL, answered_us = NULL, substitute = NULL WHERE meeting = $1 AND person = $2",
        meeting,
        person,
    )


async def check_in(tx: Transaction, meeting: str, person: str, *, came_us: int | None, by: str) -> int:
    return await tx.execute(
        "UPDATE meeting_attendees SET came_us = $3, came_by = $4 WHERE meeting = $1 AND person = $2 AND last IS NULL",
        meeting, person, came_us, None if came_us is None else by,
    )  # fmt: skip


async def members(tx: Reads, organisation: str) -> dict[str, str]:
    """Names of the active members of the organisation, by id."""
    rows = await tx.fetch_all("SELECT id, name FROM people WHERE organisation = $1 AND state = 'active'", organisation)
    return {str(row["id"]): str(row["name"]) for row in rows}


async def names(db: Reads, people: Iterable[str]) -> dict[str, str]:
    """Of these, also of those who left: what a revision said of them stays."""
    rows = [await db.fetch_one("SELECT id, name FROM people WHERE id = $1", one) for one in people]
    return {str(row["id"]): str(row["name"]) for row in rows if row is not None}


_GUEST = "p.organisation <> $1 AND p.state = 'active' AND EXISTS (SELECT 1 FROM roles r WHERE r.person = p.id AND r.role = 'leader')"


async def guests(db: Reads, organisation: str, limit: int) -> list[Row]:
    """Whom a meeting of `organisation` may invite beside its own members: leaders of the others, whose names and positions are public."""
    return await db.fetch_all(
        f"SELECT p.id, p.name, p.position, o.name AS organisation FROM people p JOIN organisations o ON o.id = p.organisation WHERE {_GUEST} "
        "ORDER BY o.name, p.name, p.id LIMIT $2",
        organisation, limit,
    )  # fmt: skip


async def is_guest(tx: Reads, organisation: str, person: str) -> bool:
    return (
        await tx.fetch_one(f"SELECT 1 AS one FROM people p WHERE {_GUEST} AND p.id = $2", organisation, person)
        is not None
    )


async def organisations_of(tx: Reads, people: Iterable[str]) -> dict[str, str]:
    rows = [await tx.fetch_one("SELECT id, organisation FROM people WHERE id = $1", one) for one in people]
    return {str(row["id"]): str(row["organisation"]) for row in rows if row is not None}


async def organisation_name(tx: Reads, organisation: str) -> str:
    row = await tx.fetch_one("SELECT name FROM organisations WHERE id = $1", organisation)
    assert row is not None
    return str(row["name"])


async def conflicts(db: Reads, meeting: MeetingRow, person: str | None) -> list[Row]:
    """Other planned meetings of its attendees (of `person` alone, if given) at the same time, but for those that they declined.

    Of others only meetings of the same organisation: how busy a guest is elsewhere is not said (C1).
    """
    return await db.fetch_all(
        "SELECT a.person, o.id AS meeting, o.starts_us, o.ends_us, n.details FROM meeting_attendees mine "
        "JOIN meeting_attendees a ON a.person = mine.person AND a.meeting <> mine.meeting JOIN meetings o ON o.id = a.meeting "
        "JOIN meeting_revisions n ON n.meeting = o.id AND n.sequence = o.sequence "
        "WHERE mine.meeting = $1 AND mine.last IS NULL AND a.last IS NULL AND o.state = 'planned' AND o.starts_us < $3 AND o.ends_us > $2 "
        "AND NOT (a.answer IN ('decline', 'substitute') AND coalesce(a.answered, -1) = o.sequence) AND (CASE WHEN CAST($4 AS TEXT) IS NULL THEN o.organisation = $5 ELSE a.person = $4 END) "
        "ORDER BY o.starts_us, o.id, a.person LIMIT 500",
        meeting.id, meeting.starts_us, meeting.ends_us, person, meeting.organisation,
    )  # fmt: skip


async def silent(db: Reads, organisation: str, since_us: int) -> dict[str, int]:
    """How many have not answered the newest revision of each meeting that did not end before `since_us`."""
    rows = await db.fetch_all(
        "SELECT m.id, count(*) AS n FROM meetings m JOIN meeting_attendees a ON a.meeting = m.id WHERE m.organisation = $1 AND m.ends_us > $2 "
        "AND a.last IS NULL AND (a.answered IS NULL OR a.answered <> m.sequence) GROUP BY m.id",
        organisation, since_us,
    )  # fmt: skip
    return {str(row["id"]): int(row["n"]) for row in rows}


async def clerks(tx: Reads, organisation: str) -> list[str]:
    """Who manages the organisation's meetings, whoever called them."""
    rows = await tx.fetch_all(
        "SELECT p.id FROM people p JOIN roles r ON r.person = p.id WHERE p.organisation = $1 AND r.role = 'clerk'", organisation
    )  # fmt: skip
    return [str(row["id"]) for row in rows]


# Invitations by e-mail.


async def insert_mail(tx: Transaction, meeting: str, person: str, sequence: int, method: str, now_us: int) -> int:
    """0 when the same is on its way already. Who was taken off a list and is put on it again is sent the same once more."""
    return await tx.execute(
        "INSERT INTO meeting_mails (meeting, person, sequence, method, state, outcome, queued_us) VALUES ($1, $2, $3, $4, 'queued', '', $5) "
        "ON CONFLICT (meeting, person, sequence, method) DO UPDATE SET state = 'queued', queued_us = excluded.queued_us, sent_us = NULL "
        "WHERE meeting_mails.state <> 'queued'",
        meeting, person, sequence, method, now_us,
    )  # fmt: skip


async def was_mailed(tx: Reads, meeting: str, person: str) -> bool:
    """Whether an invitation was sent, or may have been."""
    row = await tx.fetch_one(
        "SELECT 1 AS one FROM meeting_mails WHERE meeting = $1 AND person = $2 AND method = 'request' AND state <> 'unsent' LIMIT 1",
        meeting,
        person,
    )
    return row is not None


async def settle_mail(
    tx: Transaction, meeting: str, person: str, sequence: int, method: str, *, state: str, outcome: str, sent_us: int | None
) -> None:  # fmt: skip
    await tx.execute(
        "UPDATE meeting_mails SET state = $5, outcome = $6, sent_us = $7 WHERE meeting = $1 AND person = $2 AND sequence = $3 AND method = $4",
        meeting, person, sequence, method, state, outcome, sent_us,
    )  # fmt: skip


# Papers.


async def papers(db: Reads, meeting: str) -> list[Row]:
    return await db.fetch_all(
        "SELECT id, name, digest, size, page_count, version, changed_us FROM meeting_papers WHERE meeting = $1 ORDER BY id",
        meeting,
    )


async def insert_paper(
    tx: Transaction, *, id_: str, meeting: str, name: str, digest: str, size: int, pages: int, now_us: int
) -> None:
    await tx.execute(
        "INSERT INTO meeting_papers (id, meeting, name, digest, size, page_count, version, changed_us) VALUES ($1, $2, $3, $4, $5, $6, 1, $7)",
        id_, meeting, name, digest, size, pages, now_us,
    )  # fmt: skip


async def replace_paper(
    tx: Transaction, *, id_: str, meeting: str, name: str, digest: str, size: int, pages: int, now_us: int
) -> Row | None:
    """The new version, or None when the meeting has no such paper."""
    return await tx.fetch_one(
        "UPDATE meeting_papers SET name = $3, digest = $4, size = $5, page_count = $6, version = version + 1, changed_us = $7 WHERE id = $1 AND meeting = $2 "
        "RETURNING version",
        id_, meeting, name, digest, size, pages, now_us,
    )  # fmt: skip


# Calendars.


async def put_feed(tx: Transaction, actor: Actor, secret_hash: str, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO calendar_feeds (person, organisation, secret_hash, created_us) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (person) DO UPDATE SET secret_hash = excluded.secret_hash, created_us = excluded.created_us, fetched_us = NULL",
        actor.id, actor.organisation, secret_hash, now_us,
    )  # fmt: skip


async def end_feed(tx: Transaction, actor: Actor) -> int:
    return await tx.execute(
        "DELETE FROM calendar_feeds WHERE person = $1 AND organisation = $2", actor.id, actor.organisation
    )


async def feed(db: Reads, actor: Actor) -> Row | None:
    return await db.fetch_one(
        "SELECT created_us, fetched_us FROM calendar_feeds WHERE person = $1 AND organisation = $2",
        actor.id,
        actor.organisation,
    )


async def feed_of_secret(db: Reads, secret_hash: str) -> Row | None:
    """Found by the digest of the secret, so that no comparison of ours runs over the secret itself."""
    return await db.fetch_one(
        "SELECT f.person, f.organisation, f.secret_hash FROM calendar_feeds f JOIN people p ON p.id = f.person AND p.state = 'active' WHERE f.secret_hash = $1",
        secret_hash,
    )


async def fetched(tx: Transaction, person: str, now_us: int) -> None:
    await tx.execute("UPDATE calendar_feeds SET fetched_us = $2 WHERE person = $1", person, now_us)
