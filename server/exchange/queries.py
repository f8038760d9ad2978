"""All SQL of the exchange. Users reach it only through a document that they may read (threat C1).

Longer than most because it is one list of statements, each on its own.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from server.db import Reads, Row, Transaction, into
from server.exchange.delivery import Delivery
from server.exchange.delivery import State as DeliveryState
from server.exchange.forward import Forwarding, Stage
from server.identity.model import Actor

_PACKET = (
    "p.id, p.organisation, p.document, p.kind, p.sender, p.reference, p.revision, p.blob, p.stage, p.attempts, p.not_before_us, "
    "p.doc_id, p.code, p.description, p.created_us, p.sent_us, p.accepted_us, p.system"
)


Names = tuple[str, str]
"""What a system's rows are found by; see `systems.System.names`."""


class _Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """What the sending policy knows of a packet or a message. `doc_id` is empty until the axis has accepted it. `system`: the key of the one that
    sends it, once one began to (`systems.System`).
    """

    stage: Stage
    attempts: int
    not_before_us: int
    doc_id: str
    code: str
    description: str
    created_us: int
    sent_us: int | None = None
    accepted_us: int | None = None
    system: str = ""

    @property
    def forwarding(self) -> Forwarding:
        return Forwarding(
            stage=self.stage,
            attempts=self.attempts,
            not_before_us=self.not_before_us,
            doc_id=self.doc_id,
            code=self.code,
            description=self.description,
        )


class PacketRow(_Outgoing, frozen=True, kw_only=True):
    """A document's own packet. `blob` names its file."""

    id: str
    organisation: str
    document: str
    kind: str
    sender: str
    reference: str
    revision: str
    blob: str


class ReceiverRow(msgspec.Struct, frozen=True):
    packet: str
    organ_id: str
    name: str
    state: DeliveryState
    before_take_back: DeliveryState | None
    status_code: str | None
    updated_us: int

    @property
    def delivery(self) -> Delivery:
        return Delivery(state=self.state, before_take_back=self.before_take_back)


# Packets that leave.


async def header_facts(db: Reads, document: str) -> Row | None:
    """What the packet says beyond the document's own row: the agency, the last personal signer, the clerk who sealed."""
    return await db.fetch_one(
        "SELECT o.code, o.name, s.authority_line, p.name AS signer_name, p.position AS signer_position, c.name AS clerk_name "
        "FROM documents d JOIN organisations o ON o.id = d.organisation "
        "LEFT JOIN route_steps s ON s.document = d.id AND s.kind = 'person' AND s.position = "
        "(SELECT max(t.position) FROM route_steps t WHERE t.document = d.id AND t.kind = 'person' AND t.state = 'done') "
        "LEFT JOIN people p ON p.id = coalesce(s.decided_by, s.person) "
        "LEFT JOIN route_steps q ON q.document = d.id AND q.kind = 'seal' LEFT JOIN people c ON c.id = q.decided_by WHERE d.id = $1",
        document,
    )


async def outgoing(db: Reads, document: str, kind: str) -> PacketRow | None:
    row = await db.fetch_one(
        f"SELECT {_PACKET} FROM outgoing_packets p WHERE p.document = $1 AND p.kind = $2", document, kind
    )
    return None if row is None else into(row, PacketRow)


async def silent(db: Reads, system: Names, now_us: int, since_us: int, until_us: int, *, limit: int) -> list[PacketRow]:
    """Packets that this system's axis accepted between these times and about which a receiver says nothing, where asking again is due."""
    rows = await db.fetch_all(
        f"SELECT {_PACKET} FROM outgoing_packets p WHERE p.accepted_us > $1 AND p.accepted_us <= $2 AND p.kind = 'edoc' AND p.system IN ($5, $6) "
        "AND (p.asked_us IS NULL OR $3 - p.asked_us >= p.asked_us - p.accepted_us) AND EXISTS "
        "(SELECT 1 FROM packet_receivers r WHERE r.packet = p.id AND r.state = 'accepted_by_exchange') "
        "ORDER BY coalesce(p.asked_us, 0), p.accepted_us LIMIT $4",
        since_us,
        until_us,
        now_us,
        limit,
        *system,
    )
    return [into(row, PacketRow) for row in rows]


async def mark_asked(tx: Transaction, packet: str, now_us: int) -> None:
    await tx.execute("UPDATE outgoing_packets SET asked_us = $2 WHERE id = $1", packet, now_us)


async def insert_packet(tx: Transaction, row: PacketRow) -> int:
    """0 when the document has its packet already."""
    return await tx.execute(
        "INSERT INTO outgoing_packets (id, organisation, document, kind, sender, reference, revision, blob, stage, attempts, not_before_us, "
        "doc_id, code, description, created_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) "
        "ON CONFLICT (document, kind) DO NOTHING",
        row.id,
        row.organisation,
        row.document,
        row.kind,
        row.sender,
        row.reference,
        row.revision,
        row.blob,
        row.stage.value,
        row.attempts,
        row.not_before_us,
        row.doc_id,
        row.code,
        row.description,
        row.created_us,
    )


async def insert_receiver(
    tx: Transaction, *, packet: str, position: int, organ_id: str, name: str, now_us: int
) -> None:
    await tx.execute(
        "INSERT INTO packet_receivers (packet, organ_id, position, name, state, updated_us) VALUES ($1, $2, $3, $4, $5, $6)",
        packet,
        organ_id,
        position,
        name,
        DeliveryState.QUEUED.value,
        now_us,
    )


async def replace_file(tx: Transaction, packet: PacketRow, blob: str) -> int:
    """0 when somebody else sends it, or wrote it anew, meanwhile. The attempt that it counts stops whoever is about to send the file from before."""
    return await tx.execute(
        "UPDATE outgoing_packets SET blob = $2, attempts = attempts + 1 WHERE id = $1 AND stage = 'ready' AND blob = $3",
        packet.id,
        blob,
        packet.blob,
    )


async def drop_unsent(tx: Transaction, packet: str) -> None:
    """Forget a packet that the axis certainly does not have; whoever is about to send it finds no row to begin with."""
    await tx.execute("DELETE FROM packet_receivers WHERE packet = $1", packet)
    await tx.execute("DELETE FROM outgoing_packets WHERE id = $1 AND stage IN ('ready', 'refused')", packet)


async def move_receiver(tx: Transaction, packet: str, organ_id: str, to: str, name: str, now_us: int) -> None:
    """A receiver's code has ended; one that has the same successor as another is no receiver of its own any more."""
    there = await tx.fetch_one(
        "SELECT 1 AS one FROM packet_receivers WHERE packet = $1 AND lower(trim(organ_id)) = lower($2) AND organ_id <> $3",
        packet, to.strip(), organ_id,
    )  # fmt: skip
    if there is not None:
        await tx.execute("DELETE FROM packet_receivers WHERE packet = $1 AND organ_id = $2", packet, organ_id)
        return
    await tx.execute(
        "UPDATE packet_receivers SET organ_id = $3, name = CASE WHEN $4 = '' THEN name ELSE $4 END, updated_us = $5 "
        "WHERE packet = $1 AND organ_id = $2",
        packet, organ_id, to, name, now_us,
    )  # fmt: skip


async def set_forwarding(
    tx: Transaction, packet: str, before: Forwarding, after: Forwarding, now_us: int, system: str = ""
) -> int:
    """0 when somebody else made a step since `before` was read. A packet is accepted once, whoever hears of it first.

    `system` is kept with the step that begins to send.
    """
    return await _step(tx, "outgoing_packets", packet, before, after, now_us, system)


async def set_message(
    tx: Transaction, message: str, before: Forwarding, after: Forwarding, now_us: int, system: str = ""
) -> int:
    """The same for a message."""
    return await _step(tx, "outgoing_messages", message, before, after, now_us, system)


async def _step(
    tx: Transaction, table: str, id_: str, before: Forwarding, after: Forwarding, now_us: int, system: str
) -> int:
    return await tx.execute(
        f"UPDATE {table} SET stage = $4, attempts = $5, not_before_us = $6, doc_id = $7, code = $8, description = $9, "
        "sent_us = CASE WHEN $4 = 'sending' THEN $10 ELSE sent_us END, "
        "accepted_us = CASE WHEN $4 = 'accepted' THEN $10 ELSE accepted_us END, "
        "system = CASE WHEN $4 = 'sending' THEN $11 ELSE system END "
        "WHERE id = $1 AND stage = $2 AND attempts = $3",
        id_,
        before.stage.value,
        before.attempts,
        after.stage.value,
        after.attempts,
        after.not_before_us,
        after.doc_id,
        after.code,
        after.description,
        now_us,
        system,
    )


_MESSAGE = (
    "id, organisation, subject, kind, what, reference, receivers, packet, stage, attempts, not_before_us, doc_id, code, description, "
    "created_us, sent_us, accepted_us, system"
)


class MessageRow(_Outgoing, frozen=True, kw_only=True):
    """A message of ours beside a document's own packet; `packet` is a `messages.Letter`, `receivers` a list, both as JSON."""

    id: str
    organisation: str
    subject: str
    kind: str
    what: str
    reference: str
    receivers: str
    packet: bytes


async def insert_message(tx: Transaction, row: MessageRow, distinct: str) -> int:
    """0 when the same was queued before."""
    return await tx.execute(
        "INSERT INTO outgoing_messages (id, organisation, subject, kind, what, distinct_key, reference, receivers, packet, stage, attempts, "
        "not_before_us, doc_id, code, description, created_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, '', '', '', $11) "
        "ON CONFLICT (subject, what, distinct_key) DO NOTHING",
        row.id, row.organisation, row.subject, row.kind, row.what, distinct, row.reference, row.receivers, row.packet, row.stage.value,
        row.created_us,
    )  # fmt: skip


async def message(db: Reads, id_: str) -> MessageRow | None:
    row = await db.fetch_one(f"SELECT {_MESSAGE} FROM outgoing_messages WHERE id = $1", id_)
    return None if row is None else into(row, MessageRow)


async def readdress_message(tx: Transaction, before: MessageRow, after: MessageRow) -> int:
    """0 when somebody else sends it, or addressed it anew, meanwhile; counted as above."""
    return await tx.execute(
        "UPDATE outgoing_messages SET packet = $2, receivers = $3, attempts = attempts + 1 WHERE id = $1 AND stage = 'ready' AND receivers = $4",
        before.id, after.packet, after.receivers, before.receivers,
    )  # fmt: skip


async def messages(db: Reads, subject: str) -> list[MessageRow]:
    """What was said beside the document's own packet, in order."""
    rows = await db.fetch_all(
        f"SELECT {_MESSAGE} FROM outgoing_messages WHERE subject = $1 ORDER BY created_us, id", subject
    )
    return [into(row, MessageRow) for row in rows]


async def known_ids(db: Reads, reference: str, id_: str, organisation: str, system: Names) -> list[str]:
    """Ids that the axis gave to other packets and messages with this reference; those that another organisation sent through another system may
    be of another axis, and prove nothing.
    """
    others = "reference = $1 AND id <> $2 AND doc_id <> '' AND (organisation = $3 OR system IN ($4, $5))"
    rows = await db.fetch_all(
        f"SELECT doc_id FROM outgoing_packets WHERE {others} UNION SELECT doc_id FROM outgoing_messages WHERE {others}",
        reference, id_, organisation, *system,
    )  # fmt: skip
    return [str(row["doc_id"]) for row in rows]


async def unsettled_alike(tx: Reads, reference: str, id_: str, system: Names) -> bool:
    """Whether another packet or message of this system with this reference may be at the axis without us knowing its id.

    Each system has a sent list of its own; agencies that share one may issue the same number.
    """
    row = await tx.fetch_one(
        "SELECT 1 AS one FROM outgoing_packets WHERE reference = $1 AND id <> $2 AND system IN ($3, $4) AND stage IN ('sending', 'unknown') "
        "UNION SELECT 1 AS one FROM outgoing_messages WHERE reference = $1 AND id <> $2 AND system IN ($3, $4) AND stage IN ('sending', 'unknown')",
        reference,
        id_,
        *system,
    )
    return row is not None


async def receivers(db: Reads, packet: str) -> list[ReceiverRow]:
    rows = await db.fetch_all(
        "SELECT packet, organ_id, name, state, before_take_back, status_code, updated_us FROM packet_receivers WHERE packet = $1 "
        "ORDER BY position",
        packet,
    )
    return [into(row, ReceiverRow) for row in rows]


async def set_receiver(
    tx: Transaction, row: ReceiverRow, delivery: Delivery, status_code: str | None, now_us: int
) -> None:
    await tx.execute(
        "UPDATE packet_receivers SET state = $3, before_take_back = $4, status_code = $5, updated_us = $6 WHERE packet = $1 AND organ_id = $2",
        row.packet,
        row.organ_id,
        delivery.state.value,
        None if delivery.before_take_back is None else delivery.before_take_back.value,
        status_code,
        now_us,
    )


async def under_way(db: Reads) -> list[Row]:
    """How many packets and messages have an open outcome, by the system that began to send them."""
    open_ = "WHERE stage IN ('sending', 'unknown')"
    return await db.fetch_all(
        f"SELECT system, count(*) AS n FROM (SELECT system FROM outgoing_packets {open_} UNION ALL "
        f"SELECT system FROM outgoing_messages {open_}) AS sent GROUP BY system ORDER BY system"
    )


async def people_of(tx: Reads, document: str, organisation: str) -> list[str]:
    """Who is told of the receivers' answers: everybody of the route, and the organisation's clerks."""
    return [str(row["id"]) for row in await listeners(tx, document, organisation)]


async def listeners(tx: Reads, document: str, organisation: str) -> list[Row]:
    """The same, each with their language."""
    return await tx.fetch_all(
        "SELECT p.id, p.locale FROM people p WHERE p.organisation = $2 AND p.state = 'active' AND (EXISTS (SELECT 1 FROM route_steps s "
        "WHERE s.document = $1 AND (s.person = p.id OR s.decided_by = p.id)) "
        "OR EXISTS (SELECT 1 FROM roles r WHERE r.person = p.id AND r.role = 'clerk')) ORDER BY p.id",
        document,
        organisation,
    )


async def last_failure(db: Reads, document: str) -> bytes | None:
    """Why the packet of a document could not be made, as the log has it: JSON with `code`."""
    row = await db.fetch_one(
        "SELECT body FROM audit_events WHERE subject = $1 AND kind = 'exchange.forward_failed' ORDER BY at_us DESC, id DESC LIMIT 1",
        document,
    )
    return None if row is None else row["body"]


async def insert_purge(tx: Transaction, actor: Actor, document: str, device: str, now_us: int) -> int:
    """0 for a repeated word, and for a document or arrival that is not recalled or not of this organisation."""
    return await tx.execute(
        "INSERT INTO purges (document, device, at_us) SELECT $1, $2, $3 WHERE EXISTS "
        "(SELECT 1 FROM documents d WHERE d.id = $1 AND d.organisation = $4 AND d.state = 'recalled') OR EXISTS "
        "(SELECT 1 FROM arrivals a WHERE a.id = $1 AND a.organisation = $4 AND a.state = 'recalled') ON CONFLICT (document, device) DO NOTHING",
        document, device, now_us, actor.organisation,
    )  # fmt: skip


async def purged(db: Reads, document: str) -> list[Row]:
    """Which devices said that they removed it: whose, and when."""
    return await db.fetch_all(
        "SELECT u.device, u.at_us, p.name, d.label FROM purges u JOIN devices d ON d.id = u.device JOIN people p ON p.id = d.person "
        "WHERE u.document = $1 ORDER BY u.at_us, u.device",
        document,
    )


async def unpurged(db: Reads, document: str) -> list[Row]:
    """Which devices had a recalled document and have not said that they removed it: they showed a page of it, or fetched a notice of it before
    the recall. Devices that were revoked are wiped when they are next seen, and are not waited for.
    """
    return await db.fetch_all(
        "SELECT v.id AS device, v.label, p.name FROM devices v JOIN people p ON p.id = v.person JOIN documents d ON d.id = $1 AND d.state = 'recalled' "
        "WHERE v.state = 'active' AND v.id IN (SELECT o.device FROM page_openings o WHERE o.document = $1 UNION SELECT t.device FROM notices n "
        "JOIN deliveries t ON t.notice = n.id WHERE n.document = $1 AND t.received_us < d.state_since_us) "
        "AND NOT EXISTS (SELECT 1 FROM purges u WHERE u.document = $1 AND u.device = v.id) ORDER BY p.name, v.label, v.id",
        document,
    )


# Packets that come.

PARKED: Final = ("unreadable", "unaddressed", "unfetched", "unproven")
"""Confirmed as failed: no effect was had, and a person must look. `unfetched`: the axis lists it and never hands it over; `unproven`: its
sender is not the one whom the axis lists. An operator takes one up again, or dismisses it.
"""
_IS_PARKED = "i.kind IN ('edoc', 'status') AND i.state IN (" + ", ".join(f"'{state}'" for state in PARKED) + ")"
_PARKED_ROW = (
    "SELECT i.axis_id, i.kind, i.sender, i.receiver, i.state, i.error, i.blob, i.received_us, i.dropped_us, i.system"
)


async def parked(db: Reads, limit: int) -> list[Row]:
    """The oldest parked packets, with the organisation's code where one of ours was addressed."""
    return await db.fetch_all(
        f"{_PARKED_ROW}, o.code AS organisation FROM incoming_packets i LEFT JOIN organisations o ON o.id = i.organisation "
        f"WHERE {_IS_PARKED} ORDER BY i.received_us, i.axis_id LIMIT $1",
        limit,
    )


async def parked_packet(db: Reads, axis_id: str) -> Row | None:
    return await db.fetch_one(f"{_PARKED_ROW} FROM incoming_packets i WHERE i.axis_id = $1 AND {_IS_PARKED}", axis_id)


async def parked_count(db: Reads) -> Row:
    """`n`, and `oldest_us`: since when the oldest is here, NULL where there is none."""
    row = await db.fetch_one(
        f"SELECT count(*) AS n, min(i.received_us) AS oldest_us FROM incoming_packets i WHERE {_IS_PARKED}"
    )
    assert row is not None
    return row


async def unpark(tx: Transaction, axis_id: str, state: str, blob: str) -> int:
    """0 when another took it up meanwhile."""
    return await tx.execute(
        "UPDATE incoming_packets SET state = 'stored', error = '', blob = $3 WHERE axis_id = $1 AND state = $2",
        axis_id,
        state,
        blob,
    )


async def dismiss(tx: Transaction, axis_id: str) -> None:
    await tx.execute("UPDATE incoming_packets SET state = 'dismissed' WHERE axis_id = $1", axis_id)


async def organisation_of(tx: Reads, axis_id: str) -> str | None:
    """Which organisation of ours a packet is for, as far as that is known."""
    row = await tx.fetch_one("SELECT organisation FROM incoming_packets WHERE axis_id = $1", axis_id)
    return None if row is None else row["organisation"]


async def clerks(tx: Reads, organisation: str) -> list[Row]:
    """Id and language of each clerk."""
    return await tx.fetch_all(
        "SELECT p.id, p.locale FROM people p JOIN roles r ON r.person = p.id AND r.role = 'clerk' "
        "WHERE p.organisation = $1 AND p.state = 'active' ORDER BY p.id",
        organisation,
    )


async def incoming(db: Reads, ids: tuple[str, str, str]) -> list[Row]:
    """What is kept under one of these ids; see `systems.System.ids`."""
    return await db.fetch_all(
        "SELECT axis_id, state, error, confirmed_us, system FROM incoming_packets WHERE axis_id IN ($1, $2, $3)", *ids
    )


async def insert_incoming(
    tx: Transaction,
    *,
    axis_id: str,
    kind: str,
    sender: str,
    receiver: str,
    organisation_code: str,
    system: str,
    blob: str,
    now_us: int,
) -> int:
    """0 when it is stored already. The organisation is ours with that code, if there is one."""
    return await tx.execute(
        "INSERT INTO incoming_packets (axis_id, organisation, kind, sender, receiver, blob, state, error, received_us, system) "
        "VALUES ($1, (SELECT id FROM organisations WHERE lower(code) = lower($7)), $2, $3, $4, $5, 'stored', '', $6, $8) ON CONFLICT (axis_id) DO NOTHING",
        axis_id,
        kind,
        sender,
        receiver,
        blob,
        now_us,
        organisation_code,
        system,
    )


async def organisation_code(db: Reads, organisation: str) -> str:
    row = await db.fetch_one("SELECT code FROM organisations WHERE id = $1", organisation)
    return "" if row is None else str(row["code"])


async def organisation_by_code(tx: Reads, code: str) -> str | None:
    row = await tx.fetch_one("SELECT id FROM organisations WHERE lower(code) = lower($1)", code)
    return None if row is None else str(row["id"])


async def settle_incoming(
    tx: Transaction, axis_id: str, *, state: str, error: str, organisation: str | None, document: str | None
) -> None:
    await tx.execute(
        "UPDATE incoming_packets SET state = $2, error = $3, organisation = coalesce($4, organisation), document = $5 WHERE axis_id = $1",
        axis_id,
        state,
        error,
        organisation,
        document,
    )


async def without_arrival(db: Reads, system: Names) -> list[tuple[str, str, str]]:
    """Document packets of others that were stored and handed to nobody, by id, receiver and blob, the oldest first."""
    rows = await db.fetch_all(
        "SELECT axis_id, receiver, blob FROM incoming_packets WHERE kind = 'edoc' AND state = 'stored' AND document IS NULL AND system IN ($1, $2) "
        "ORDER BY received_us, axis_id",
        *system,
    )
    return [(str(row["axis_id"]), str(row["receiver"]), str(row["blob"])) for row in rows]


async def mark_confirmed(tx: Transaction, axis_id: str, now_us: int) -> int:
    return await tx.execute(
        "UPDATE incoming_packets SET confirmed_us = $2 WHERE axis_id = $1 AND confirmed_us IS NULL", axis_id, now_us
    )


async def unconfirmed(db: Reads, kind: str, system: Names, limit: int) -> list[str]:
    rows = await db.fetch_all(
        "SELECT axis_id FROM incoming_packets WHERE kind = $1 AND system IN ($2, $3) AND confirmed_us IS NULL LIMIT $4",
        kind,
        *system,
        limit,
    )
    return [str(row["axis_id"]) for row in rows]


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong so far with a listed packet; the meaning of each field stands with the table."""

    axis_id: str
    failed: int = 0
    since_us: int = 0
    tries: int = 0
    refusals: int = 0
    unplaced_us: int = 0
    until_us: int = 0


_TROUBLE: Final = ", ".join(Trouble.__struct_fields__)


async def troubles(db: Reads, kind: str, system: str) -> list[Trouble]:
    rows = await db.fetch_all(f"SELECT {_TROUBLE} FROM incoming_troubles WHERE system = $1 AND kind = $2", system, kind)
    return [into(row, Trouble) for row in rows]


async def note_trouble(tx: Transaction, kind: str, system: str, trouble: Trouble) -> None:
    """What another system left under the same id gives way: its packet is listed no more, or is noted anew under an id of its own."""
    await tx.execute(
        f"INSERT INTO incoming_troubles ({_TROUBLE}, kind, system) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (axis_id) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in (*Trouble.__struct_fields__[1:], "kind", "system")),
        *msgspec.structs.astuple(trouble), kind, system,
    )  # fmt: skip


async def forget_trouble(tx: Transaction, axis_id: str) -> None:
    await tx.execute("DELETE FROM incoming_troubles WHERE axis_id = $1", axis_id)


async def packet_by_document_id(db: Reads, exchange_id: str, kind: str) -> PacketRow | None:
    row = await db.fetch_one(
        f"SELECT {_PACKET} FROM documents d JOIN outgoing_packets p ON p.document = d.id WHERE d.exchange_id = $1 AND p.kind = $2",
        exchange_id,
        kind,
    )
    return None if row is None else into(row, PacketRow)


async def packets_by_reference(db: Reads, reference: str, promulgated: str, kind: str) -> list[PacketRow]:
    """For answers that do not quote our id: number and notation with the day of issue (`YYYY-MM-DD`)."""
    rows = await db.fetch_all(
        f"SELECT {_PACKET} FROM outgoing_packets p JOIN documents d ON d.id = p.document "
        "WHERE p.reference = $1 AND d.promulgation_date = $2 AND p.kind = $3 LIMIT 10",
        reference,
        promulgated,
        kind,
    )
    return [into(row, PacketRow) for row in rows]


async def insert_status(
    tx: Transaction,
    *,
    id_: str,
    document: str,
    organ_id: str,
    status_code: str,
    description: str,
    stated_at: str,
    axis_id: str,
    now_us: int,
) -> int:
    """0 for a repeated one."""
    return await tx.execute(
        "INSERT INTO business_statuses (id, document, organ_id, status_code, description, stated_at, axis_id, received_us) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (document, organ_id, status_code, stated_at) DO NOTHING",
        id_,
        document,
        organ_id,
        status_code,
        description,
        stated_at,
        axis_id,
        now_us,
    )


async def statuses(db: Reads, document: str) -> list[Row]:
    return await db.fetch_all(
        "SELECT organ_id, status_code, description, stated_at, received_us FROM business_statuses WHERE document = $1 ORDER BY received_us, id",
        document,
    )


class AxisHealth(msgspec.Struct, frozen=True):
    """`polled`: 1 where a poll was answered since the last one that was not."""

    failures: int
    closed_until_us: int
    polled: int = 0


async def axis_health(db: Reads, axis: str) -> AxisHealth | None:
    row = await db.fetch_one("SELECT failures, closed_until_us, polled FROM axis_health WHERE axis = $1", axis)
    return None if row is None else AxisHealth(row["failures"], row["closed_until_us"], row["polled"])


async def take_probe(tx: Transaction, axis: str, known: AxisHealth, closed_until_us: int) -> int:
    """1 for the one process that may ask now."""
    return await tx.execute(
        "UPDATE axis_health SET closed_until_us = $4 WHERE axis = $1 AND failures = $2 AND closed_until_us = $3",
        axis, known.failures, known.closed_until_us, closed_until_us,
    )  # fmt: skip


async def axis_failed(tx: Transaction, axis: str, closed_until_us: int) -> None:
    """The first failure leaves the way open for one more try. What was under way beside it says nothing new until that was made."""
    await tx.execute(
        "INSERT INTO axis_health (axis, failures, closed_until_us) VALUES ($1, 1, 0)"
        " ON CONFLICT (axis) DO UPDATE SET failures = axis_health.failures + 1, closed_until_us = $2"
        " WHERE axis_health.failures > 1 OR axis_health.closed_until_us > 0",
        axis, closed_until_us,
    )  # fmt: skip


async def axis_unheard(tx: Transaction, axis: str, closed_until_us: int) -> None:
    """The same for a poll."""
    await axis_failed(tx, axis, closed_until_us)
    await tx.execute("UPDATE axis_health SET polled = 0 WHERE axis = $1", axis)


async def axis_polled(tx: Transaction, axis: str) -> None:
    """A poll was answered: a send may try at once."""
    await tx.execute("UPDATE axis_health SET polled = 1, closed_until_us = 0 WHERE axis = $1", axis)


async def axis_answers(tx: Transaction, axis: str) -> None:
    await tx.execute("DELETE FROM axis_health WHERE axis = $1", axis)


_OURS_DONE = (
    "o.stage = 'accepted' AND o.accepted_us < $1"
    " AND EXISTS (SELECT 1 FROM documents d WHERE d.id = o.document AND d.state IN ('accepted', 'recalled'))"
)
_THEIRS_DONE = "o.kind = 'status' AND o.state <> 'stored' AND o.confirmed_us < $1"
_DONE = (("outgoing_packets", _OURS_DONE), ("incoming_packets", _THEIRS_DONE))


def _places(first: int, digests: Sequence[str]) -> str:
    return ", ".join(f"${first + place}" for place in range(len(digests)))


async def done_packets(db: Reads, until_us: int) -> list[str]:
    """Digests of the files of packets that have done their work, in order."""
    found: set[str] = set()
    for table, done in _DONE:
        rows = await db.fetch_all(f"SELECT o.blob FROM {table} o WHERE o.dropped_us IS NULL AND {done}", until_us)
        found |= {str(row["blob"]) for row in rows}
    return sorted(found)


async def named_elsewhere(db: Reads, digests: Sequence[str]) -> set[str]:
    """Which of these a revision, a prepared revision or an image names: files are content-addressed.

    No index leads to the last two from a digest: ask for many at once, and outside the writer's transactions.
    """
    some = _places(1, digests)
    rows = await db.fetch_all(
        f"SELECT digest FROM revisions WHERE digest IN ({some}) UNION SELECT blob FROM prepared_revisions WHERE blob IN ({some})"
        f" UNION SELECT digest FROM page_images WHERE digest IN ({some}) UNION SELECT digest FROM arrival_files WHERE digest IN ({some})"
        f" UNION SELECT blob FROM arrivals WHERE blob IN ({some})",
        *digests,
    )
    return {str(row["digest"]) for row in rows}


async def drop_packets(tx: Transaction, digests: Sequence[str], until_us: int, now_us: int) -> list[str]:
    """Mark which of these are dropped; the digests that no packet needs any more."""
    found: set[str] = set()
    for table, done in _DONE:
        rows = await tx.fetch_all(
            f"UPDATE {table} AS o SET dropped_us = $2 WHERE o.dropped_us IS NULL AND o.blob IN ({_places(3, digests)}) AND {done}"
            " AND NOT EXISTS (SELECT 1 FROM revisions r WHERE r.digest = o.blob) RETURNING blob",
            until_us, now_us, *digests,
        )  # fmt: skip
        found |= {str(row["blob"]) for row in rows}
    for table, _ in _DONE:
        rows = await tx.fetch_all(
            f"SELECT blob FROM {table} WHERE dropped_us IS NULL AND blob IN ({_places(1, digests)})", *digests
        )
        found -= {str(row["blob"]) for row in rows}
    return sorted(found)


# Deadlines.

_SIGNED = "('signed', 'sealing', 'sealed_pending_timestamp', 'sealed_pending_archive', 'sealed')"
_UNHEARD = "('accepted_by_exchange', 'delivered')"
_LOOKED_BACK_US = 30 * 86_400_000_000
_AT_ONCE = 5000


class Pending(msgspec.Struct, frozen=True):
    """What a rule sets a time for. `what`: "document" to be sent, "receipt" of one that was sent, "arrival" to be registered.

    `subject` names it among the marks, `shown` is the document's or arrival's id, `since_us` what the time counts from.
    """

    what: str
    subject: str
    shown: str
    organisation: str
    state: str
    urgency: int
    title: str
    since_us: int
    warned: int


async def pending(db: Reads, now_us: int) -> list[Pending]:
    """Everything with a deadline that was not reported yet, the oldest first."""
    rows = await db.fetch_all(
        "SELECT 'document' AS what, d.id AS subject, d.id AS shown, d.organisation, d.state, d.urgency, d.subject AS title, "
        "coalesce((SELECT max(s.decided_us) FROM route_steps s WHERE s.document = d.id AND s.kind <> 'seal'), d.state_since_us) AS since_us, "
        "CASE WHEN m.warned_us IS NULL THEN 0 ELSE 1 END AS warned FROM documents d "
        f"LEFT JOIN deadline_marks m ON m.subject = d.id AND m.rule IN ('TIM-3', 'TIM-4') WHERE d.state IN {_SIGNED} AND d.annex_of IS NULL AND m.reported_us IS NULL "
        "UNION ALL SELECT 'receipt', p.id, p.document, p.organisation, d.state, d.urgency, d.subject, p.accepted_us, "
        "CASE WHEN m.warned_us IS NULL THEN 0 ELSE 1 END FROM outgoing_packets p JOIN documents d ON d.id = p.document "
        "LEFT JOIN deadline_marks m ON m.subject = p.id AND m.rule = 'TIM-5' "
        "WHERE p.accepted_us IS NOT NULL AND p.accepted_us > $1 AND m.reported_us IS NULL AND d.state <> 'recalled' "
        f"AND EXISTS (SELECT 1 FROM packet_receivers r WHERE r.packet = p.id AND r.state IN {_UNHEARD}) "
        "UNION ALL SELECT 'arrival', a.id, a.id, a.organisation, a.state, coalesce(a.urgency, 1), a.subject, a.received_us, "
        "CASE WHEN m.warned_us IS NULL THEN 0 ELSE 1 END FROM arrivals a "
        "LEFT JOIN deadline_marks m ON m.subject = a.id AND m.rule IN ('TIM-1', 'TIM-2') "
        "WHERE a.state = 'waiting' AND a.kind IN ('new', 'replace') AND m.reported_us IS NULL ORDER BY since_us LIMIT $2",
        now_us - _LOOKED_BACK_US,
        _AT_ONCE,
    )
    return [into(row, Pending) for row in rows]


_STILL = {
    "document": f"SELECT 1 AS one FROM documents WHERE id = $1 AND state IN {_SIGNED}",
    "receipt": f"SELECT 1 AS one FROM packet_receivers WHERE packet = $1 AND state IN {_UNHEARD} LIMIT 1",
    "arrival": "SELECT 1 AS one FROM arrivals WHERE id = $1 AND state = 'waiting'",
}


async def still_pending(tx: Reads, one: Pending) -> bool:
    return await tx.fetch_one(_STILL[one.what], one.subject) is not None


async def unheard(tx: Reads, packet: str) -> list[str]:
    """Receivers whose systems have not confirmed the packet."""
    rows = await tx.fetch_all(
        f"SELECT organ_id FROM packet_receivers WHERE packet = $1 AND state IN {_UNHEARD} ORDER BY position", packet
    )
    return [str(row["organ_id"]) for row in rows]


async def mark_deadline(tx: Transaction, subject: str, rule: str, due_us: int, now_us: int, *, missed: bool) -> int:
    """0 when this was warned of, or reported, before."""
    column = "reported_us" if missed else "warned_us"
    return await tx.execute(
        f"INSERT INTO deadline_marks (subject, rule, due_us, {column}) VALUES ($1, $2, $3, $4) "
        f"ON CONFLICT (subject, rule) DO UPDATE SET {column} = excluded.{column} WHERE deadline_marks.{column} IS NULL",
        subject,
        rule,
        due_us,
        now_us,
    )
