"""All SQL of the one-stop office. Only the client that posted a dossier reaches it by its id (C1); an applicant by the digest of the link's secret."""

from datetime import date
from typing import Any

import msgspec

from server.db import Reads, Row, Transaction
from server.identity.model import Actor, Role
from server.onestop.model import Dossier, Step, StepCode, Unit

_DOSSIER = "d.id, d.organisation, d.client, d.reference, d.sequence, d.step, d.unit, d.promised, d.handled, d.step_us, d.late_us, d.closed_us"


def _dossier(row: Row) -> Dossier:
    promised = None if row["promised"] is None else date.fromisoformat(row["promised"])
    step = Step(StepCode(row["step"]), row["unit"], promised, bool(row["handled"]))
    return Dossier(
        row["id"], row["organisation"], row["client"], row["reference"], row["sequence"], step, row["step_us"], row["late_us"], row["closed_us"]
    )  # fmt: skip


def _unit(row: Row) -> Unit:
    return Unit(row["code"], row["name"], row["name_en"], tuple(msgspec.json.decode(row["responsible"])))


# Units.


async def put_unit(tx: Transaction, actor: Actor, unit: Unit, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO onestop_units (organisation, code, name, name_en, responsible, updated_us) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (organisation, code)"
        " DO UPDATE SET name = excluded.name, name_en = excluded.name_en, responsible = excluded.responsible, updated_us = excluded.updated_us",
        actor.organisation, unit.code, unit.name, unit.name_en, msgspec.json.encode(unit.responsible).decode(), now_us,
    )  # fmt: skip


async def units(db: Reads, actor: Actor) -> list[Unit]:
    rows = await db.fetch_all(
        "SELECT code, name, name_en, responsible FROM onestop_units WHERE organisation = $1 ORDER BY code",
        actor.organisation,
    )
    return [_unit(row) for row in rows]


async def unit(db: Reads, organisation: str, code: str) -> Unit | None:
    row = await db.fetch_one(
        "SELECT code, name, name_en, responsible FROM onestop_units WHERE organisation = $1 AND code = $2",
        organisation, code,
    )  # fmt: skip
    return None if row is None else _unit(row)


async def active(db: Reads, organisation: str, people: tuple[str, ...]) -> list[str]:
    """Those of `people` who are in office, in their order."""
    found = []
    for one in dict.fromkeys(people):
        row = await db.fetch_one(
            "SELECT id FROM people WHERE id = $1 AND organisation = $2 AND state = 'active'", one, organisation
        )
        found += [one] if row is not None else []
    return found


async def administrators(db: Reads, organisation: str) -> list[str]:
    rows = await db.fetch_all(
        "SELECT p.id FROM people p JOIN roles r ON r.person = p.id AND r.role = $2 WHERE p.organisation = $1 AND p.state = 'active' ORDER BY p.id",
        organisation, Role.ADMINISTRATOR.value,
    )  # fmt: skip
    return [str(row["id"]) for row in rows]


# Dossiers.


async def insert(tx: Transaction, dossier: Dossier, secret_hash: str, look_us: int | None) -> int:
    """0 when an open dossier of this client has the reference."""
    return await tx.execute(
        "INSERT INTO dossiers (id, organisation, client, reference, secret_hash, sequence, step, unit, promised, handled, step_us, look_us, closed_us)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING",
        dossier.id, dossier.organisation, dossier.client, dossier.reference, secret_hash, dossier.sequence, *_step(dossier.step), dossier.step_us, look_us,
        dossier.closed_us,
    )  # fmt: skip


async def advance(tx: Transaction, after: Dossier, look_us: int | None) -> int:
    """Write the step behind `after.sequence` - 1; 0 when another came first."""
    return await tx.execute(
        "UPDATE dossiers SET sequence = $2, step = $3, unit = $4, promised = $5, handled = $6, step_us = $7, look_us = $8, late_us = NULL, closed_us = $9,"
        " reference = $10 WHERE id = $1 AND sequence = $2 - 1 AND closed_us IS NULL",
        after.id, after.sequence, *_step(after.step), after.step_us, look_us, after.closed_us, after.reference,
    )  # fmt: skip


def _step(step: Step) -> tuple[Any, ...]:
    return step.code.value, step.unit, None if step.promised is None else step.promised.isoformat(), int(step.handled)


async def set_secret(tx: Transaction, actor: Actor, id_: str, secret_hash: str) -> int:
    return await tx.execute(
        "UPDATE dossiers SET secret_hash = $4 WHERE id = $1 AND organisation = $2 AND client = $3",
        id_, actor.organisation, actor.id, secret_hash,
    )  # fmt: skip


async def find(db: Reads, actor: Actor, id_: str) -> Dossier | None:
    row = await db.fetch_one(
        f"SELECT {_DOSSIER} FROM dossiers d WHERE d.id = $1 AND d.organisation = $2 AND d.client = $3",
        id_, actor.organisation, actor.id,
    )  # fmt: skip
    return None if row is None else _dossier(row)


async def of_secret(db: Reads, secret_hash: str) -> tuple[Dossier, str] | None:
    """A dossier by the digest of its link's secret, with that digest."""
    row = await db.fetch_one(f"SELECT {_DOSSIER}, d.secret_hash FROM dossiers d WHERE d.secret_hash = $1", secret_hash)
    return None if row is None else (_dossier(row), str(row["secret_hash"]))


async def due(db: Reads, now_us: int, limit: int) -> list[Dossier]:
    """Steps without a handler that are to be looked at."""
    rows = await db.fetch_all(
        f"SELECT {_DOSSIER} FROM dossiers d WHERE d.look_us IS NOT NULL AND d.look_us <= $1 ORDER BY d.look_us LIMIT $2",
        now_us, limit,
    )  # fmt: skip
    return [_dossier(row) for row in rows]


async def looked(tx: Transaction, dossier: Dossier, *, look_us: int | None, late_us: int | None) -> int:
    """0 when the step has changed since it was read, or was found late before."""
    return await tx.execute(
        "UPDATE dossiers SET look_us = $3, late_us = $4 WHERE id = $1 AND sequence = $2 AND look_us IS NOT NULL",
        dossier.id, dossier.sequence, look_us, late_us,
    )  # fmt: skip


async def sweep(tx: Transaction, before_us: int) -> int:
    return await tx.execute("DELETE FROM dossiers WHERE closed_us IS NOT NULL AND closed_us < $1", before_us)
