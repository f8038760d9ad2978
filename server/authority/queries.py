"""All SQL of authority grants."""

from server.authority.model import GrantRow, Party
from server.db import Reads, Row, Transaction, into
from server.identity.model import Actor

_GRANT = (
    "g.id, g.organisation, g.digest, g.form, g.grantor, g.device, g.holder, g.authority_line, g.paper, g.types, g.urgency, g.parent, g.not_before_us, "
    "g.not_after_us, g.jws, g.state, g.created_us, g.used_us, g.revoked_us, g.revoked_by"
)
# $1 organisation, $2 kind of actor, $3 actor. An administrator and a service see their organisation's, a leader what he gave and holds.
_READABLE = (
    "g.organisation = $1 AND ($2 = 'service' OR g.grantor = $3 OR g.holder = $3 "
    "OR EXISTS (SELECT 1 FROM roles r WHERE r.person = $3 AND r.role = 'administrator'))"
)


async def insert(tx: Transaction, row: GrantRow) -> int:
    """0 when this very grant was brought before."""
    return await tx.execute(
        "INSERT INTO authority_grants (id, organisation, digest, form, grantor, device, holder, authority_line, paper, types, urgency, parent, not_before_us, "
        "not_after_us, jws, state, created_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT (digest) DO NOTHING",
        row.id, row.organisation, row.digest, row.form.value, row.grantor, row.device, row.holder, row.authority_line, row.paper, row.types, row.urgency,
        row.parent, row.not_before_us, row.not_after_us, row.jws, row.state.value, row.created_us,
    )  # fmt: skip


async def find(db: Reads, actor: Actor, grant: str) -> GrantRow | None:
    row = await db.fetch_one(
        f"SELECT {_GRANT} FROM authority_grants g WHERE {_READABLE} AND g.id = $4",
        actor.organisation, str(actor.kind), actor.id, grant,
    )  # fmt: skip
    return None if row is None else into(row, GrantRow)


async def listing(db: Reads, actor: Actor, *, before: tuple[int, str], limit: int) -> list[GrantRow]:
    """Newest first, from the cursor (created_us, id) exclusive."""
    rows = await db.fetch_all(
        f"SELECT {_GRANT} FROM authority_grants g WHERE {_READABLE} AND (g.created_us < $4 OR (g.created_us = $4 AND g.id < $5)) "
        "ORDER BY g.created_us DESC, g.id DESC LIMIT $6",
        actor.organisation, str(actor.kind), actor.id, before[0], before[1], limit,
    )  # fmt: skip
    return [into(row, GrantRow) for row in rows]


async def load(tx: Reads, organisation: str, grant: str) -> GrantRow | None:
    """For the system's own work: a step names it."""
    row = await tx.fetch_one(
        f"SELECT {_GRANT} FROM authority_grants g WHERE g.organisation = $1 AND g.id = $2", organisation, grant
    )
    return None if row is None else into(row, GrantRow)


async def by_digest(tx: Reads, organisation: str, digest: str) -> GrantRow | None:
    row = await tx.fetch_one(
        f"SELECT {_GRANT} FROM authority_grants g WHERE g.organisation = $1 AND g.digest = $2", organisation, digest
    )
    return None if row is None else into(row, GrantRow)


async def party(tx: Reads, organisation: str, person: str) -> Party | None:
    """An active leader of the organisation."""
    row = await tx.fetch_one(
        "SELECT p.id, p.position FROM people p JOIN roles r ON r.person = p.id WHERE p.id = $1 AND p.organisation = $2 AND p.state = 'active' AND r.role = 'leader'",
        person,
        organisation,
    )
    return None if row is None else into(row, Party)


async def admitted_key(tx: Reads, actor: Actor) -> Row | None:
    """The approval key of the calling device, if the signer has admitted it."""
    return await tx.fetch_one(
        "SELECT approval_jwk FROM devices WHERE id = $1 AND person = $2 AND state = 'active' AND admitted_us IS NOT NULL",
        actor.device,
        actor.id,
    )


async def key_stands(tx: Reads, device: str) -> bool:
    row = await tx.fetch_one("SELECT id FROM devices WHERE id = $1 AND state = 'active'", device)
    return row is not None


async def organisation_code(tx: Reads, organisation: str) -> str:
    row = await tx.fetch_one("SELECT code FROM organisations WHERE id = $1", organisation)
    assert row is not None
    return str(row["code"])


async def take(tx: Transaction, grant: str, now_us: int) -> int:
    """0 when it is revoked or out of its time. A write, so that a revocation that is under way meets it in the database."""
    return await tx.execute(
        "UPDATE authority_grants SET used_us = $2 WHERE id = $1 AND state = 'active' AND not_before_us <= $2 AND not_after_us > $2",
        grant,
        now_us,
    )


async def revoke(tx: Transaction, grant: str, *, by: str, now_us: int) -> int:
    return await tx.execute(
        "UPDATE authority_grants SET state = 'revoked', revoked_us = $3, revoked_by = $2 WHERE id = $1 AND state = 'active'",
        grant,
        by,
        now_us,
    )
