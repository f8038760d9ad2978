"""All SQL of approvals."""

from server.approvals.model import ActivationRow, ActivationState, CredentialRow, ItemRow, PreparedRow, PreparedState
from server.db import Reads, Row, Transaction, into
from server.identity.model import Actor

_PREPARED = "id, document, position, person, credential, parent, blob, tbs, manifest, manifest_digest, assembly, state, created_us, expires_us, authority_grant"
_ITEM = "challenge, item, document, position, prepared, tbs, manifest_digest, cms, signed_us, stamped_us, revision"
_CREDENTIAL = (
    "c.id, c.organisation, c.kind, c.person, c.key_type, c.subject, c.certificate, c.chain, c.not_after_us, c.state"
)


async def usable_credential(db: Reads, actor: Actor, kind: str) -> CredentialRow | None:
    """The newest active credential that this person holds: `person` for himself, `seal` for the organisation."""
    row = await db.fetch_one(
        f"SELECT {_CREDENTIAL} FROM credentials c JOIN credential_holders h ON h.credential = c.id "
        "WHERE h.person = $1 AND c.organisation = $2 AND c.kind = $3 AND c.state = 'active' ORDER BY c.created_us DESC LIMIT 1",
        actor.id,
        actor.organisation,
        kind,
    )
    return None if row is None else into(row, CredentialRow)


async def insert_prepared(tx: Transaction, row: PreparedRow) -> None:
    await tx.execute(
        f"INSERT INTO prepared_revisions ({_PREPARED}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        row.id,
        row.document,
        row.position,
        row.person,
        row.credential,
        row.parent,
        row.blob,
        row.tbs,
        row.manifest,
        row.manifest_digest,
        row.assembly,
        row.state.value,
        row.created_us,
        row.expires_us,
        row.authority_grant,
    )


async def prepared_of(db: Reads, actor: Actor, prepared: str) -> PreparedRow | None:
    """A prepared revision made for this person."""
    row = await db.fetch_one(
        f"SELECT {_PREPARED} FROM prepared_revisions WHERE id = $1 AND person = $2", prepared, actor.id
    )
    return None if row is None else into(row, PreparedRow)


async def prepared_by_tbs(tx: Reads, actor: Actor, tbs: str) -> PreparedRow | None:
    row = await tx.fetch_one(
        f"SELECT {_PREPARED} FROM prepared_revisions WHERE tbs = $1 AND person = $2 ORDER BY created_us DESC LIMIT 1",
        tbs,
        actor.id,
    )
    return None if row is None else into(row, PreparedRow)


async def load_prepared(tx: Reads, prepared: str) -> PreparedRow | None:
    """For the system's own work."""
    row = await tx.fetch_one(f"SELECT {_PREPARED} FROM prepared_revisions WHERE id = $1", prepared)
    return None if row is None else into(row, PreparedRow)


async def set_prepared(tx: Transaction, prepared: str, *, expected: PreparedState, state: PreparedState) -> int:
    return await tx.execute(
        "UPDATE prepared_revisions SET state = $3 WHERE id = $1 AND state = $2", prepared, expected.value, state.value
    )


async def annexed_since(tx: Reads, document: str, since_us: int) -> bool:
    """Whether an annex of the document came, was replaced or was taken back since then."""
    row = await tx.fetch_one(
        "SELECT 1 AS one FROM documents a WHERE a.annex_of = $1 AND ((a.state = 'recalled' AND a.state_since_us >= $2) OR EXISTS "
        "(SELECT 1 FROM revisions r WHERE r.document = a.id AND r.kind IN ('intake', 'replacement') AND r.created_us >= $2)) LIMIT 1",
        document,
        since_us,
    )
    return row is not None


async def kill_prepared(tx: Transaction, document: str, position: int, person: str) -> None:
    await tx.execute(
        "UPDATE prepared_revisions SET state = 'dead' WHERE document = $1 AND position = $2 AND person = $3 AND state = 'ready'",
        document,
        position,
        person,
    )


async def expired_prepared(tx: Reads, now_us: int, limit: int) -> list[Row]:
    """Prepared bytes that nobody will assemble: dead or past their life, never used."""
    return await tx.fetch_all(
        "SELECT id, blob FROM prepared_revisions WHERE blob <> '' AND (state = 'dead' OR (state = 'ready' AND expires_us < $1)) LIMIT $2",
        now_us,
        limit,
    )


async def blob_named(db: Reads, blob: str) -> bool:
    """Whether any prepared revision or stored revision still names these bytes."""
    row = await db.fetch_one(
        "SELECT 1 AS one WHERE EXISTS (SELECT 1 FROM prepared_revisions WHERE blob = $1) OR EXISTS (SELECT 1 FROM revisions WHERE digest = $1)",
        blob,
    )
    return row is not None


async def forget_blob(tx: Transaction, prepared: str) -> None:
    await tx.execute(
        "UPDATE prepared_revisions SET state = 'dead', blob = '', manifest = '' WHERE id = $1 AND state <> 'used'",
        prepared,
    )


async def insert_activation(tx: Transaction, row: ActivationRow) -> int:
    """0 when the challenge was used before (A10)."""
    return await tx.execute(
        "INSERT INTO activations (challenge, organisation, person, device, credential, approval, state, created_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "
        "ON CONFLICT DO NOTHING",
        row.challenge,
        row.organisation,
        row.person,
        row.device,
        row.credential,
        row.approval,
        row.state.value,
        row.created_us,
    )


async def insert_item(tx: Transaction, row: ItemRow) -> None:
    await tx.execute(
        "INSERT INTO activation_items (challenge, item, document, position, prepared, tbs, manifest_digest) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        row.challenge,
        row.item,
        row.document,
        row.position,
        row.prepared,
        row.tbs,
        row.manifest_digest,
    )


async def activation(tx: Reads, challenge: str) -> ActivationRow | None:
    row = await tx.fetch_one(
        "SELECT challenge, organisation, person, device, credential, approval, state, outcome, created_us, settled_us FROM activations WHERE challenge = $1",
        challenge,
    )
    return None if row is None else into(row, ActivationRow)


async def items(tx: Reads, challenge: str) -> list[ItemRow]:
    rows = await tx.fetch_all(f"SELECT {_ITEM} FROM activation_items WHERE challenge = $1 ORDER BY item", challenge)
    return [into(row, ItemRow) for row in rows]


async def item(tx: Reads, challenge: str, number: int) -> ItemRow | None:
    row = await tx.fetch_one(
        f"SELECT {_ITEM} FROM activation_items WHERE challenge = $1 AND item = $2", challenge, number
    )
    return None if row is None else into(row, ItemRow)


async def progress(db: Reads, actor: Actor, challenge: str) -> list[Row]:
    """The documents of this person's approval, in its order, and how far each of them is; none for an unknown or foreign one."""
    return await db.fetch_all(
        "SELECT a.state, i.document, i.revision, i.stamped_us FROM activations a JOIN activation_items i ON i.challenge = a.challenge "
        "WHERE a.challenge = $1 AND a.person = $2 AND a.organisation = $3 ORDER BY i.item",
        challenge,
        actor.id,
        actor.organisation,
    )


async def settle_activation(tx: Transaction, challenge: str, state: ActivationState, outcome: str, now_us: int) -> int:
    return await tx.execute(
        "UPDATE activations SET state = $2, outcome = $3, settled_us = $4 WHERE challenge = $1 AND state = 'intent'",
        challenge,
        state.value,
        outcome,
        now_us,
    )


async def store_cms(tx: Transaction, challenge: str, number: int, cms: bytes, now_us: int) -> None:
    await tx.execute(
        "UPDATE activation_items SET cms = $3, signed_us = $4 WHERE challenge = $1 AND item = $2 AND cms IS NULL",
        challenge,
        number,
        cms,
        now_us,
    )


async def finish_item(tx: Transaction, challenge: str, number: int, *, cms: bytes, revision: str, now_us: int) -> int:
    return await tx.execute(
        "UPDATE activation_items SET cms = $3, revision = $4, stamped_us = $5 WHERE challenge = $1 AND item = $2 AND stamped_us IS NULL",
        challenge,
        number,
        cms,
        revision,
        now_us,
    )


async def oldest_unstamped(db: Reads) -> int | None:
    """When the oldest signature without a time stamp was made (D5)."""
    row = await db.fetch_one(
        "SELECT min(signed_us) AS at FROM activation_items WHERE cms IS NOT NULL AND stamped_us IS NULL"
    )
    return None if row is None or row["at"] is None else int(row["at"])


async def open_activations(tx: Reads, before_us: int, limit: int) -> list[str]:
    rows = await tx.fetch_all(
        "SELECT challenge FROM activations WHERE state = 'intent' AND created_us < $1 ORDER BY created_us LIMIT $2",
        before_us,
        limit,
    )
    return [str(row["challenge"]) for row in rows]


async def open_activations_of(tx: Reads, device: str) -> list[str]:
    rows = await tx.fetch_all(
        "SELECT challenge FROM activations WHERE device = $1 AND state = 'intent' ORDER BY created_us", device
    )
    return [str(row["challenge"]) for row in rows]


async def validation(db: Reads, revision: str) -> Row | None:
    return await db.fetch_one("SELECT verdict, report, at_us FROM validations WHERE revision = $1", revision)


async def put_validation(tx: Transaction, revision: str, verdict: str, report: bytes, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO validations (revision, verdict, report, at_us) VALUES ($1, $2, $3, $4) ON CONFLICT (revision) DO UPDATE SET verdict = excluded.verdict, "
        "report = excluded.report, at_us = excluded.at_us",
        revision,
        verdict,
        report,
        now_us,
    )


async def is_office_device(db: Reads, device: str) -> bool:
    row = await db.fetch_one("SELECT office FROM devices WHERE id = $1 AND state = 'active'", device)
    return row is not None and bool(row["office"])


async def approval_key(db: Reads, device: str) -> Row | None:
    return await db.fetch_one(
        "SELECT approval_key, approval_jwk FROM devices WHERE id = $1 AND state = 'active'", device
    )


async def signer_facts(db: Reads, actor: Actor) -> Row | None:
    """What the stamp shows of the person and the organisation."""
    return await db.fetch_one(
        "SELECT p.name, p.position, p.authority_line, o.name AS organisation_name, o.code FROM people p JOIN organisations o ON o.id = p.organisation "
        "WHERE p.id = $1 AND p.organisation = $2",
        actor.id,
        actor.organisation,
    )


async def route_facts(db: Reads, document: str) -> list[Row]:
    """The route with names and titles, for the fields of the first revision."""
    return await db.fetch_all(
        "SELECT s.position, s.kind, s.field_name, s.authority_line, s.placement, p.name, p.position AS title FROM route_steps s "
        "LEFT JOIN people p ON p.id = s.person WHERE s.document = $1 ORDER BY s.position",
        document,
    )


async def insert_receipt(
    tx: Transaction, *, id_: str, organisation: str, document: str, challenge: str, event: str, kind: str, now_us: int
) -> None:
    await tx.execute(
        "INSERT INTO receipts (id, organisation, document, challenge, event, kind, created_us) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        id_,
        organisation,
        document,
        challenge,
        event,
        kind,
        now_us,
    )


async def step_kind(tx: Reads, document: str, position: int) -> str:
    row = await tx.fetch_one("SELECT kind FROM route_steps WHERE document = $1 AND position = $2", document, position)
    assert row is not None
    return str(row["kind"])


async def done_fields(db: Reads, document: str) -> list[str]:
    """Names of the signature fields of the route that are filled, in order."""
    rows = await db.fetch_all(
        "SELECT field_name FROM route_steps WHERE document = $1 AND state = 'done' ORDER BY position", document
    )
    return [str(row["field_name"]) for row in rows]


async def is_frozen(db: Reads, person: str) -> bool:
    row = await db.fetch_one("SELECT person FROM key_freezes WHERE person = $1", person)
    return row is not None
