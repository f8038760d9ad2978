"""All SQL of notices and their deliveries.

Longer than most because it is one list of statements, each on its own.
"""

import msgspec

from server.db import Reads, Row, Transaction
from server.identity.model import Actor, Role
from server.jobs import Lane
from server.notices.escalation import Chain, Told
from server.notices.model import DeliveryState, NewNotice, NoticeState, OwnSettings, Purpose


async def insert_notice(
    tx: Transaction, new: NewNotice, *, id_: str, lane: Lane, collapse: str, state: NoticeState, origin: str | None = None, now_us: int
) -> None:  # fmt: skip
    await tx.execute(
        "INSERT INTO notices (id, organisation, person, document, kind, urgency, lane, about, headline, sender, origin, collapse, revision, state, created_us,"
        " expires_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        id_, new.organisation, new.person, new.document, new.kind.value, new.urgency, lane.value, new.about, new.headline, new.sender, origin, collapse,
        new.revision, state.value, now_us, new.expires_us,
    )  # fmt: skip


async def addresses(tx: Reads, organisation: str, person: str) -> list[Row]:
    """Where a person is reached now: only active devices with living, proved addresses (threat C14)."""
    return await tx.fetch_all(
        "SELECT a.device, a.transport FROM push_addresses a JOIN devices d ON d.id = a.device WHERE d.person = $1 AND d.organisation = $2 "
        "AND d.state = 'active' AND a.state = 'active' ORDER BY a.device, a.transport",
        person, organisation,
    )  # fmt: skip


async def rules(tx: Reads, organisation: str) -> str | None:
    row = await tx.fetch_one("SELECT rules FROM notice_rules WHERE organisation = $1", organisation)
    return None if row is None else str(row["rules"])


async def insert_delivery(
    tx: Transaction,
    *,
    id_: str,
    notice: str,
    device: str,
    transport: str,
    purpose: Purpose = Purpose.NOTICE,
    step: int = 0,
    state: DeliveryState = DeliveryState.QUEUED,
    now_us: int,
) -> int:
    """0 when the same step has delivered the same there before."""
    return await tx.execute(
        "INSERT INTO deliveries (id, notice, device, transport, purpose, step, state, attempts, queued_us) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8)"
        " ON CONFLICT (notice, device, transport, purpose, step) DO NOTHING",
        id_, notice, device, transport, purpose.value, step, state.value, now_us,
    )  # fmt: skip


async def told_about(tx: Reads, organisation: str, about: str, person: str) -> list[Row]:
    return await tx.fetch_all(
        "SELECT id, state, revision, collapse FROM notices WHERE organisation = $1 AND about = $2 AND person = $3 ORDER BY created_us DESC",
        organisation, about, person,
    )  # fmt: skip


async def open_about(tx: Reads, organisation: str, about: str) -> list[Row]:
    return await tx.fetch_all(
        "SELECT id, person, kind FROM notices WHERE organisation = $1 AND about = $2 AND state = 'open'", organisation, about
    )  # fmt: skip


async def close(tx: Transaction, id_: str, state: str) -> int:
    return await tx.execute("UPDATE notices SET state = $2 WHERE id = $1 AND state = 'open'", id_, state)


async def forget(tx: Transaction, organisation: str, about: str) -> int:
    return await tx.execute(
        "UPDATE notices SET headline = '' WHERE organisation = $1 AND about = $2 AND headline <> ''",
        organisation,
        about,
    )


async def notified(tx: Reads, notice: str) -> list[Row]:
    """The devices whose push service took a push of this notice, where a push can take it away again.

    Browsers show something for every push, so Web Push has no silent one.
    """
    return await tx.fetch_all(
        "SELECT DISTINCT device, transport FROM deliveries WHERE notice = $1 AND purpose = 'notice' AND transport = 'fcm' AND state = 'accepted'"
        " ORDER BY device",
        notice,
    )  # fmt: skip


async def charge(tx: Transaction, person: str, lane: str, now_us: int, ended_us: int) -> tuple[int, int]:
    """Count one push in the person's running hour; how many it has, and when it began."""
    row = await tx.fetch_one(
        "INSERT INTO push_budgets (person, lane, since_us, used) VALUES ($1, $2, $3, 1) ON CONFLICT (person, lane) DO UPDATE SET"
        " used = CASE WHEN push_budgets.since_us > $4 THEN push_budgets.used + 1 ELSE 1 END,"
        " since_us = CASE WHEN push_budgets.since_us > $4 THEN push_budgets.since_us ELSE excluded.since_us END RETURNING used, since_us",
        person, lane, now_us, ended_us,
    )  # fmt: skip
    assert row is not None
    return int(row["used"]), int(row["since_us"])


async def delivery(db: Reads, id_: str, now_us: int) -> Row | None:
    """A delivery with its notice, what decides whether it may go now, and the address as it stands now (C14)."""
    return await db.fetch_one(
        "SELECT y.id, y.state, y.attempts, y.queued_us, y.device, y.transport, y.purpose, y.step, "
        "EXISTS (SELECT 1 FROM live_streams l WHERE l.device = y.device AND l.until_us > $2) AS listens, n.id AS notice, n.organisation, n.urgency, n.lane, n.kind, "
        "n.state AS notice_state, n.revision, n.collapse, n.expires_us, n.person, p.locale, r.rules, s.quiet_from, s.quiet_to, a.address, "
        "CASE y.transport WHEN 'sms' THEN 'phone' WHEN 'email' THEN 'email' ELSE a.kind END AS address_kind, "
        "CASE y.transport WHEN 'sms' THEN NULLIF(s.phone, '') WHEN 'email' THEN NULLIF(s.email, '') ELSE a.value END AS value "
        "FROM deliveries y JOIN notices n ON n.id = y.notice JOIN people p ON p.id = n.person AND p.state = 'active' "
        "LEFT JOIN notice_rules r ON r.organisation = n.organisation LEFT JOIN notice_settings s ON s.person = n.person "
        "LEFT JOIN devices d ON d.id = y.device AND d.state = 'active' AND d.person = n.person "
        "LEFT JOIN push_addresses a ON a.device = d.id AND a.transport = y.transport AND a.state = 'active' WHERE y.id = $1",
        id_, now_us,
    )  # fmt: skip


async def still_wanted(db: Reads, id_: str) -> bool:
    """Whether the notice of a delivery is open and not shown by the device yet; a step of a chain asks whether nobody stopped that instead (NOT-4)."""
    row = await db.fetch_one(
        "SELECT n.state, y.step, e.state AS chain, COALESCE(y.shown_us, y.read_us) AS seen_us FROM deliveries y JOIN notices n ON n.id = y.notice "
        "LEFT JOIN escalations e ON e.notice = COALESCE(n.origin, n.id) WHERE y.id = $1",
        id_,
    )
    return (
        row is not None
        and row["state"] == "open"
        and (row["seen_us"] is None if row["step"] == 0 else row["chain"] != "stopped")
    )


async def is_seen(db: Reads, id_: str) -> bool:
    """Whether the device said that it shows, or had read, an open notice; no step of a chain is content with that."""
    row = await db.fetch_one(
        "SELECT 1 AS one FROM deliveries y JOIN notices n ON n.id = y.notice AND n.state = 'open' "
        "WHERE y.id = $1 AND y.step = 0 AND COALESCE(y.shown_us, y.read_us) IS NOT NULL",
        id_,
    )
    return row is not None


# Hỏa tốc has a budget of its own, so it is held and released by itself.
_EXPRESS = "CASE WHEN n.lane = 'urgent' AND n.urgency >= 3 THEN 1 ELSE 0 END"


async def held(tx: Reads, person: str, lane: Lane, *, express: bool) -> list[Row]:
    """Open notices with held deliveries, oldest first."""
    return await tx.fetch_all(
        "SELECT n.id, n.organisation, n.person, n.urgency FROM notices n WHERE n.person = $1 AND n.lane = $2 AND n.state = 'open' AND EXISTS "
        f"(SELECT 1 FROM deliveries y WHERE y.notice = n.id AND y.state = 'held') AND {_EXPRESS} = $3 ORDER BY n.created_us, n.id",
        person, lane.value, int(express),
    )  # fmt: skip


async def free(tx: Transaction, notice: str) -> list[str]:
    rows = await tx.fetch_all(
        "UPDATE deliveries SET state = 'queued' WHERE notice = $1 AND state = 'held' RETURNING id", notice
    )
    return [str(row["id"]) for row in rows]


async def fold(tx: Transaction, person: str, lane: Lane, *, express: bool) -> None:
    """What is still held stays in the inbox; what is overtaken says so."""
    await tx.execute(
        "UPDATE deliveries SET state = CASE (SELECT n.state FROM notices n WHERE n.id = deliveries.notice) WHEN 'open' THEN 'folded' ELSE 'superseded' END"
        f" WHERE state = 'held' AND notice IN (SELECT n.id FROM notices n WHERE n.person = $1 AND n.lane = $2 AND {_EXPRESS} = $3)",
        person, lane.value, int(express),
    )  # fmt: skip


async def settle(tx: Transaction, id_: str, *, state: str, outcome: str, now_us: int | None) -> None:
    await tx.execute(
        "UPDATE deliveries SET state = $2, outcome = $3, accepted_us = $4, attempts = attempts + 1 WHERE id = $1 AND state = 'queued'",
        id_, state, outcome, now_us,
    )  # fmt: skip


async def count_attempt(tx: Transaction, id_: str, outcome: str) -> None:
    await tx.execute(
        "UPDATE deliveries SET attempts = attempts + 1, outcome = $2 WHERE id = $1 AND state = 'queued'", id_, outcome
    )


_NOTICE = (
    "n.id, n.kind, n.urgency, n.state, n.document, n.about, n.revision, n.headline, n.origin, n.created_us, n.expires_us, n.acknowledged_us, "
    "d.subject, d.code_number, d.code_notation, d.state AS document_state, e.next_us, e.position AS step, e.policy"
)
_SOURCE = "notices n LEFT JOIN documents d ON d.id = n.document LEFT JOIN escalations e ON e.notice = n.id AND e.state = 'running'"


async def listing(db: Reads, actor: Actor, *, before: tuple[int, str], limit: int) -> list[Row]:
    return await db.fetch_all(
        f"SELECT {_NOTICE} FROM {_SOURCE} WHERE n.person = $1 AND n.organisation = $2 "
        "AND (n.created_us < $3 OR (n.created_us = $3 AND n.id < $4)) ORDER BY n.created_us DESC, n.id DESC LIMIT $5",
        actor.id, actor.organisation, *before, limit,
    )  # fmt: skip


async def notice(db: Reads, actor: Actor, id_: str) -> Row | None:
    return await db.fetch_one(
        f"SELECT {_NOTICE} FROM {_SOURCE} WHERE n.id = $1 AND n.person = $2 AND n.organisation = $3",
        id_, actor.id, actor.organisation,
    )  # fmt: skip


async def acknowledge(tx: Transaction, actor: Actor, id_: str, now_us: int) -> int:
    """1 when this call acknowledged it, 0 when it was before or is not the actor's."""
    return await tx.execute(
        "UPDATE notices SET acknowledged_us = $3, state = 'acknowledged' WHERE id = $1 AND person = $2 AND acknowledged_us IS NULL",
        id_,
        actor.id,
        now_us,
    )


_COLUMNS = {"received": "received_us", "shown": "shown_us", "read": "read_us"}


async def device_event(tx: Transaction, device: str, notice_id: str, event: str, at_us: int) -> int:
    """The first report of an event stands; repeating it changes nothing."""
    column = _COLUMNS[event]
    return await tx.execute(
        f"UPDATE deliveries SET {column} = $3 WHERE notice = $1 AND device = $2 AND {column} IS NULL",
        notice_id,
        device,
        at_us,
    )


# --- chains of escalation ---------------------------------------------------------------------------------------------


async def insert_chain(tx: Transaction, new: NewNotice, id_: str, chain: Chain, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO escalations (notice, organisation, person, policy, position, state, started_us, next_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        id_, new.organisation, new.person, msgspec.json.encode(chain.policy).decode(), chain.position, chain.state.value, now_us, chain.due_us,
    )  # fmt: skip


async def chain(tx: Reads, id_: str) -> Row | None:
    """A chain with the notice that it began with."""
    return await tx.fetch_one(
        "SELECT e.notice, e.policy, e.position, e.state, e.next_us, n.organisation, n.person, n.urgency, n.lane, n.state AS notice_state, n.sender, n.expires_us,"
        " p.name, p.position AS office FROM escalations e JOIN notices n ON n.id = e.notice JOIN people p ON p.id = n.person WHERE e.notice = $1",
        id_,
    )  # fmt: skip


async def set_chain(tx: Transaction, id_: str, chain: Chain, *, expected: int) -> int:
    return await tx.execute(
        "UPDATE escalations SET position = $2, state = $3, next_us = $4 WHERE notice = $1 AND state = 'running' AND position = $5",
        id_, chain.position, chain.state.value, chain.due_us, expected,
    )  # fmt: skip


async def late_chains(tx: Reads, due_before_us: int, limit: int) -> list[Row]:
    return await tx.fetch_all(
        "SELECT notice, position FROM escalations WHERE state = 'running' AND next_us < $1 ORDER BY next_us LIMIT $2",
        due_before_us,
        limit,
    )


async def stop_chain(tx: Transaction, id_: str, by: str, now_us: int) -> str | None:
    """The person with whom it began; None when it had stopped, or never began."""
    row = await tx.fetch_one(
        "UPDATE escalations SET state = 'stopped', next_us = NULL, ended_us = $2, ended_by = $3 WHERE notice = $1 AND state <> 'stopped' RETURNING person",
        id_, now_us, by,
    )  # fmt: skip
    return None if row is None else str(row["person"])


async def insert_step(tx: Transaction, notice: str, place: int, line: Told, told: str | None, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO escalation_steps (notice, position, place, target, person, channel, outcome, told, at_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        notice, line.position, place, line.target.value, line.person, line.way.value, line.outcome, told, now_us,
    )  # fmt: skip


async def derived(tx: Reads, origin: str) -> list[Row]:
    """What others were told because of a chain."""
    return await tx.fetch_all("SELECT id, person, state FROM notices WHERE origin = $1 ORDER BY id", origin)


async def member(tx: Reads, organisation: str, person: str, now_us: int) -> Row | None:
    """A person as reachable now; where two absences overlap, leave counts."""
    return await tx.fetch_one(
        "SELECT p.state, s.deputy AS standing, s.phone, s.email, b.kind, b.deputy FROM people p LEFT JOIN notice_settings s ON s.person = p.id "
        "LEFT JOIN absences b ON b.person = p.id AND b.from_us <= $3 AND b.to_us > $3 AND b.ended_us IS NULL "
        "WHERE p.id = $2 AND p.organisation = $1 ORDER BY b.kind, b.created_us DESC LIMIT 1",
        organisation, person, now_us,
    )  # fmt: skip


async def with_role(tx: Reads, organisation: str, role: Role) -> list[str]:
    rows = await tx.fetch_all(
        "SELECT p.id FROM people p JOIN roles r ON r.person = p.id WHERE p.organisation = $1 AND r.role = $2 AND p.state = 'active' ORDER BY p.created_us, p.id",
        organisation, role.value,
    )  # fmt: skip
    return [str(row["id"]) for row in rows]


async def siblings(tx: Reads, notice: str) -> list[str]:
    """Running chains of the same request to others who may answer it: clerks asked for one seal or about one arrival, leaders who may direct it."""
    rows = await tx.fetch_all(
        "SELECT o.id FROM notices n JOIN notices o ON o.organisation = n.organisation AND o.about = n.about AND o.kind = n.kind AND o.id <> n.id "
        "JOIN escalations e ON e.notice = o.id AND e.state = 'running' WHERE n.id = $1 AND n.kind IN ('to_seal', 'arrived', 'arrival_asked', 'to_direct')",
        notice,
    )
    return [str(row["id"]) for row in rows]


async def root(db: Reads, organisation: str, notice: str) -> Row | None:
    """The notice that a chain began with, for any notice of that chain."""
    return await db.fetch_one(
        "SELECT r.id, r.person, r.sender, r.kind, r.state, r.urgency, r.created_us, r.acknowledged_us, p.name, p.position FROM notices n "
        "JOIN notices r ON r.id = COALESCE(n.origin, n.id) JOIN people p ON p.id = r.person WHERE n.id = $1 AND n.organisation = $2",
        notice, organisation,
    )  # fmt: skip


async def told_lines(db: Reads, origin: str) -> list[Row]:
    """Deliveries of a notice and of what its chain told others, and the steps that told nobody by a channel; in the order of time."""
    return await db.fetch_all(
        "SELECT y.queued_us AS at_us, y.step, n.person, p.name, p.position, y.transport AS channel, y.state AS outcome, y.accepted_us, y.received_us, "
        "y.shown_us, y.read_us, n.acknowledged_us FROM notices n JOIN deliveries y ON y.notice = n.id AND y.purpose = 'notice' JOIN people p ON p.id = n.person "
        "WHERE n.id = $1 OR n.origin = $1 "
        "UNION ALL SELECT s.at_us, s.position + 1, s.person, p.name, p.position, s.channel, CASE s.outcome WHEN 'told' THEN 'inbox' ELSE s.outcome END, "
        "NULL, NULL, NULL, NULL, n.acknowledged_us FROM escalation_steps s LEFT JOIN people p ON p.id = s.person LEFT JOIN notices n ON n.id = s.told "
        "WHERE s.notice = $1 AND (s.outcome <> 'told' OR s.channel = 'inbox') ORDER BY 1, 2, 4, 6",
        origin,
    )  # fmt: skip


async def chains(db: Reads, actor: Actor, *, everything: bool, before: tuple[int, str], limit: int) -> list[Row]:
    return await db.fetch_all(
        "SELECT e.notice, e.state, e.position, e.policy, e.started_us, e.next_us, e.ended_us, e.ended_by, n.kind, n.urgency, n.state AS notice_state, p.name, "
        "p.position AS office FROM escalations e JOIN notices n ON n.id = e.notice JOIN people p ON p.id = e.person WHERE e.organisation = $1 "
        "AND (CAST($2 AS BIGINT) = 1 OR e.person = $3 OR n.sender = $3) AND (e.started_us < $4 OR (e.started_us = $4 AND e.notice < $5)) "
        "ORDER BY e.started_us DESC, e.notice DESC LIMIT $6",
        actor.organisation, int(everything), actor.id, *before, limit,
    )  # fmt: skip


async def name_of(db: Reads, person: str | None) -> str:
    row = None if person is None else await db.fetch_one("SELECT name FROM people WHERE id = $1", person)
    return "" if row is None else str(row["name"])


# --- what people and organisations arrange ----------------------------------------------------------------------------


async def own_settings(db: Reads, actor: Actor) -> Row | None:
    return await db.fetch_one(
        "SELECT quiet_from, quiet_to, deputy, phone, email, meetings_by_mail FROM notice_settings WHERE person = $1 AND organisation = $2",
        actor.id, actor.organisation,
    )  # fmt: skip


async def put_settings(tx: Transaction, actor: Actor, own: OwnSettings, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO notice_settings (person, organisation, quiet_from, quiet_to, deputy, phone, email, meetings_by_mail, updated_us)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        " ON CONFLICT (person) DO UPDATE SET quiet_from = excluded.quiet_from, quiet_to = excluded.quiet_to, deputy = excluded.deputy,"
        " phone = excluded.phone, email = excluded.email, meetings_by_mail = excluded.meetings_by_mail, updated_us = excluded.updated_us",
        actor.id, actor.organisation, own.quiet_from, own.quiet_to, own.deputy, own.phone, own.email, int(own.meetings_by_mail), now_us,
    )  # fmt: skip


async def meeting_mailbox(tx: Reads, person: str) -> Row | None:
    """The organisation and address of an active person who wants invitations by e-mail."""
    return await tx.fetch_one(
        "SELECT p.organisation, s.email FROM people p JOIN notice_settings s ON s.person = p.id AND s.meetings_by_mail = 1 AND s.email <> ''"
        " WHERE p.id = $1 AND p.state = 'active'",
        person,
    )


async def chased(tx: Reads, organisation: str, about: str) -> list[str]:
    rows = await tx.fetch_all(
        "SELECT n.person FROM notices n JOIN escalations e ON e.notice = n.id AND e.state = 'running' WHERE n.organisation = $1 AND n.about = $2",
        organisation, about,
    )  # fmt: skip
    return [str(row["person"]) for row in rows]


async def absence(db: Reads, actor: Actor, now_us: int) -> Row | None:
    return await db.fetch_one(
        "SELECT kind, from_us, to_us, deputy FROM absences WHERE person = $1 AND organisation = $2 AND to_us > $3 AND ended_us IS NULL ORDER BY from_us LIMIT 1",
        actor.id, actor.organisation, now_us,
    )  # fmt: skip


async def insert_absence(
    tx: Transaction, actor: Actor, id_: str, kind: str, from_us: int, to_us: int, deputy: str, now_us: int
) -> None:
    await tx.execute(
        "INSERT INTO absences (id, organisation, person, kind, from_us, to_us, deputy, created_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        id_, actor.organisation, actor.id, kind, from_us, to_us, deputy, now_us,
    )  # fmt: skip


async def end_absences(tx: Transaction, actor: Actor, now_us: int) -> int:
    return await tx.execute(
        "UPDATE absences SET ended_us = $2 WHERE person = $1 AND ended_us IS NULL AND to_us > $2", actor.id, now_us
    )


async def active_people(tx: Reads, organisation: str, people: list[str]) -> list[str]:
    rows = [
        await tx.fetch_one(
            "SELECT id FROM people WHERE id = $1 AND organisation = $2 AND state = 'active'", one, organisation
        )
        for one in dict.fromkeys(people)
    ]
    return [str(row["id"]) for row in rows if row is not None]


async def courses(db: Reads, organisation: str, about: str, revision: int) -> list[Row]:
    return await db.fetch_all(
        "SELECT n.person, min(n.created_us) AS told_us, min(y.received_us) AS received_us, min(coalesce(n.acknowledged_us, y.shown_us)) AS seen_us"
        " FROM notices n LEFT JOIN deliveries y ON y.notice = n.id WHERE n.organisation = $1 AND n.about = $2 AND n.revision = $3 GROUP BY n.person",
        organisation, about, revision,
    )  # fmt: skip


async def put_rules(tx: Transaction, actor: Actor, rules_: str, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO notice_rules (organisation, rules, updated_by, updated_us) VALUES ($1, $2, $3, $4) ON CONFLICT (organisation) DO UPDATE SET"
        " rules = excluded.rules, updated_by = excluded.updated_by, updated_us = excluded.updated_us",
        actor.organisation, rules_, actor.id, now_us,
    )  # fmt: skip


# --- what other systems announce -------------------------------------------------------------------------------------


async def insert_announcement(
    tx: Transaction, actor: Actor, id_: str, *, headline: str, urgency: int, source_reference: str | None, now_us: int
) -> None:
    await tx.execute(
        "INSERT INTO announcements (id, organisation, client, source_reference, headline, urgency, created_us) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        id_, actor.organisation, actor.id, source_reference, headline, urgency, now_us,
    )  # fmt: skip


async def announcement(db: Reads, actor: Actor, id_: str) -> Row | None:
    return await db.fetch_one(
        "SELECT id, source_reference, headline, urgency, created_us, withdrawn_us FROM announcements WHERE id = $1 AND organisation = $2 AND client = $3",
        id_, actor.organisation, actor.id,
    )  # fmt: skip


async def withdraw_announcement(tx: Transaction, id_: str, now_us: int) -> int:
    return await tx.execute("UPDATE announcements SET withdrawn_us = $2 WHERE id = $1 AND withdrawn_us IS NULL", id_, now_us)  # fmt: skip


async def announced_by(db: Reads, id_: str) -> Row | None:
    """The client of an announcement, and what it calls it."""
    return await db.fetch_one("SELECT client, source_reference FROM announcements WHERE id = $1", id_)


async def sweep_announcements(tx: Transaction, before_us: int) -> int:
    return await tx.execute("DELETE FROM announcements WHERE created_us < $1", before_us)


async def announced(db: Reads, organisation: str, about: str) -> list[Row]:
    """A notice a person, with the first time of each receipt and the state of its chain."""
    return await db.fetch_all(
        "SELECT n.id, n.person, n.state, n.created_us AS told_us, n.acknowledged_us, e.state AS chain, min(y.received_us) AS received_us, "
        "min(coalesce(y.read_us, y.shown_us)) AS seen_us FROM notices n LEFT JOIN deliveries y ON y.notice = n.id LEFT JOIN escalations e ON e.notice = n.id "
        "WHERE n.organisation = $1 AND n.about = $2 GROUP BY n.id, n.person, n.state, n.created_us, n.acknowledged_us, e.state ORDER BY n.person",
        organisation, about,
    )  # fmt: skip


async def outward(db: Reads, notice: str) -> Row | None:
    """What webhooks say of a notice."""
    return await db.fetch_one("SELECT organisation, person, kind, urgency, about FROM notices WHERE id = $1", notice)
