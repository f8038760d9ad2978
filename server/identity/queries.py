"""All SQL of identity. Reads of a tenant's rows take the organisation; what is foreign is as absent as what is unknown (C1).

Longer than most because it is one list of statements, each on its own.
"""

from collections.abc import Sequence
from typing import Final

from server.db import Reads, Row, Transaction
from server.identity.model import Device, DeviceState, Organisation, Person, PersonState, Role

_DEVICE: Final = (
    "d.id, d.person, d.organisation, d.session_key, d.approval_key, d.approval_jwk, d.label, d.platform, d.office, d.state,"
    " d.created_us, d.seen_us, d.admitted_us, d.revoked_us"
)
_PERSON: Final = (
    "p.id, p.organisation, p.name, p.position, p.authority_line, p.state, p.locale, p.created_us, r.role, f.frozen_us"
    " FROM people p LEFT JOIN roles r ON r.person = p.id LEFT JOIN key_freezes f ON f.person = p.id"
)

_ROWS_AT_ONCE: Final = 32

# -- Calls ----------------------------------------------------------------------------------------------------------


async def spend_proof(tx: Transaction, proof: str, expires_us: int) -> bool:
    """False when the proof was seen before, by any process."""
    done = await tx.execute(
        "INSERT INTO dpop_proofs (proof, expires_us) VALUES ($1, $2) ON CONFLICT (proof) DO NOTHING", proof, expires_us
    )
    return done == 1


async def spend_proofs(tx: Transaction, proofs: Sequence[tuple[str, int]]) -> int:
    """How many of these (proof, expires_us) were new, and are spent now. In the order of their keys, so that two processes
    never wait for each other crosswise.
    """
    done, ordered = 0, sorted(proofs)
    for start in range(0, len(ordered), _ROWS_AT_ONCE):
        part = ordered[start : start + _ROWS_AT_ONCE]
        rows = ", ".join(f"(${2 * place + 1}, ${2 * place + 2})" for place in range(len(part)))
        done += await tx.execute(
            f"INSERT INTO dpop_proofs (proof, expires_us) VALUES {rows} ON CONFLICT (proof) DO NOTHING",
            *(value for pair in part for value in pair),
        )
    return done


_CALLER = (
    "SELECT d.person, d.organisation, d.id AS device, d.session_key, d.office, r.role, t.expires_us{more} FROM access_tokens t"
    " JOIN devices d ON d.id = t.device JOIN people p ON p.id = d.person LEFT JOIN roles r ON r.person = d.person"
    " WHERE t.token_hash = $1 AND t.expires_us > $2 AND d.state = 'active' AND p.state = 'active'"
)


async def device_of_token(tx: Reads, token_hash: str, now_us: int) -> list[Row]:
    """One row a role (or one without): person, organisation, device, session_key, office, role. Empty: not good any more."""
    return await tx.fetch_all(_CALLER.format(more=""), token_hash, now_us)


async def device_of_unspent(tx: Reads, token_hash: str, now_us: int, proof: str) -> list[Row]:
    """As `device_of_token`, and `seen`: whether the proof was spent before."""
    seen = ", EXISTS (SELECT 1 FROM dpop_proofs s WHERE s.proof = $3) AS seen"
    return await tx.fetch_all(_CALLER.format(more=seen), token_hash, now_us, proof)


async def client_of_token(tx: Reads, token_hash: str, now_us: int) -> Row | None:
    return await tx.fetch_one(
        "SELECT c.id, c.organisation, t.scopes, t.bound_key, t.expires_us FROM client_tokens t JOIN service_clients c ON c.id = t.client"
        " WHERE t.token_hash = $1 AND t.expires_us > $2 AND c.state = 'active'",
        token_hash, now_us,
    )  # fmt: skip


# -- Organisations and people ---------------------------------------------------------------------------------------


async def insert_organisation(tx: Transaction, row: Organisation) -> None:
    await tx.execute(
        "INSERT INTO organisations (id, code, name, parent, created_us) VALUES ($1, $2, $3, $4, $5)",
        row.id, row.code, row.name, row.parent, row.created_us,
    )  # fmt: skip


async def organisation_by_code(tx: Reads, code: str) -> Organisation | None:
    row = await tx.fetch_one("SELECT id, code, name, parent, created_us FROM organisations WHERE code = $1", code)
    return None if row is None else _organisation(row)


async def organisation_by_id(tx: Reads, organisation: str) -> Organisation | None:
    row = await tx.fetch_one("SELECT id, code, name, parent, created_us FROM organisations WHERE id = $1", organisation)
    return None if row is None else _organisation(row)


async def organisations(tx: Reads) -> list[Organisation]:
    """All of them: for the command line, never for a route."""
    return [
        _organisation(row)
        for row in await tx.fetch_all("SELECT id, code, name, parent, created_us FROM organisations ORDER BY code")
    ]


async def insert_person(tx: Transaction, row: Person) -> None:
    await tx.execute(
        "INSERT INTO people (id, organisation, name, position, authority_line, state, locale, created_us)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        row.id, row.organisation, row.name, row.position, row.authority_line, row.state, row.locale, row.created_us,
    )  # fmt: skip


async def person(tx: Reads, organisation: str, person_id: str) -> Person | None:
    rows = await tx.fetch_all(f"SELECT {_PERSON} WHERE p.id = $1 AND p.organisation = $2", person_id, organisation)
    people = _people(rows)
    return people[0] if people else None


async def people_page(tx: Reads, organisation: str, after_name: str, after_id: str, limit: int) -> list[Person]:
    """In order of (name, id), after the given pair."""
    rows = await tx.fetch_all(
        f"SELECT {_PERSON} WHERE p.id IN (SELECT id FROM people WHERE organisation = $1 AND (name > $2 OR (name = $2 AND id > $3))"
        " ORDER BY name, id LIMIT $4) ORDER BY p.name, p.id, r.role",
        organisation, after_name, after_id, limit,
    )  # fmt: skip
    return _people(rows)


async def set_person_state(tx: Transaction, organisation: str, person_id: str, state: PersonState) -> int:
    return await tx.execute(
        "UPDATE people SET state = $3 WHERE id = $1 AND organisation = $2 AND state <> $3",
        person_id,
        organisation,
        state,
    )


async def insert_role(tx: Transaction, person_id: str, role: Role, granted_by: str, now_us: int) -> int:
    return await tx.execute(
        "INSERT INTO roles (person, role, granted_by, granted_us) VALUES ($1, $2, $3, $4) ON CONFLICT (person, role) DO NOTHING",
        person_id, role, granted_by, now_us,
    )  # fmt: skip


async def delete_role(tx: Transaction, person_id: str, role: Role) -> int:
    return await tx.execute("DELETE FROM roles WHERE person = $1 AND role = $2", person_id, role)


async def other_administrators(tx: Reads, organisation: str, person_id: str) -> int:
    row = await tx.fetch_one(
        "SELECT COUNT(*) AS n FROM roles r JOIN people p ON p.id = r.person"
        " WHERE p.organisation = $1 AND r.role = 'administrator' AND p.state = 'active' AND p.id <> $2",
        organisation, person_id,
    )  # fmt: skip
    return 0 if row is None else int(row["n"])


# -- Freezes --------------------------------------------------------------------------------------------------------


async def insert_freeze(tx: Transaction, organisation: str, person_id: str, frozen_by: str, now_us: int) -> int:
    return await tx.execute(
        "INSERT INTO key_freezes (person, organisation, frozen_by, frozen_us) VALUES ($1, $2, $3, $4) ON CONFLICT (person) DO NOTHING",
        person_id, organisation, frozen_by, now_us,
    )  # fmt: skip


async def delete_freeze(tx: Transaction, person_id: str, lifted_by: str) -> int:
    """Only for somebody else than the owner and the one who froze it."""
    return await tx.execute(
        "DELETE FROM key_freezes WHERE person = $1 AND frozen_by <> $2 AND person <> $2", person_id, lifted_by
    )


async def is_frozen(tx: Reads, person_id: str) -> bool:
    return await tx.fetch_one("SELECT person FROM key_freezes WHERE person = $1", person_id) is not None


# -- Pairing and devices --------------------------------------------------------------------------------------------


async def insert_pairing(
    tx: Transaction,
    *,
    code_hash: str,
    person_id: str,
    organisation: str,
    office: bool,
    issued_by: str,
    now_us: int,
    expires_us: int,
) -> None:
    await tx.execute(
        "INSERT INTO pairings (code_hash, person, organisation, office, issued_by, created_us, expires_us)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        code_hash, person_id, organisation, int(office), issued_by, now_us, expires_us,
    )  # fmt: skip


async def delete_own_pairings(tx: Transaction, person: str) -> int:
    """Unused codes that a person issued for himself: any of his devices may have shown them."""
    return await tx.execute("DELETE FROM pairings WHERE person = $1 AND issued_by = $1 AND redeemed_us IS NULL", person)


async def redeem_pairing(tx: Transaction, code_hash: str, device: str, now_us: int) -> Row | None:
    """Take the code: person, organisation, office; None unless it is known, fresh, unused and its person still active."""
    rows = await tx.fetch_all(
        "UPDATE pairings SET redeemed_us = $3, redeemed_by = $2 WHERE code_hash = $1 AND redeemed_us IS NULL AND expires_us > $3"
        " AND person IN (SELECT id FROM people WHERE state = 'active') RETURNING person, organisation, office",
        code_hash, device, now_us,
    )  # fmt: skip
    return rows[0] if rows else None


async def redeemed_device(tx: Reads, code_hash: str, now_us: int) -> Device | None:
    """The device that took the code, while the code would still be fresh."""
    row = await tx.fetch_one(
        f"SELECT {_DEVICE} FROM pairings g JOIN devices d ON d.id = g.redeemed_by WHERE g.code_hash = $1 AND g.expires_us > $2",
        code_hash, now_us,
    )  # fmt: skip
    return None if row is None else _device(row)


async def insert_device(tx: Transaction, row: Device, session_jwk: str) -> int:
    """0 when either key was ever known."""
    return await tx.execute(
        "INSERT INTO devices (id, person, organisation, session_key, session_jwk, approval_key, approval_jwk, label, platform, office,"
        " state, created_us, seen_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12) ON CONFLICT DO NOTHING",
        row.id, row.person, row.organisation, row.session_key, session_jwk, row.approval_key, row.approval_jwk, row.label,
        row.platform, int(row.office), row.state, row.created_us,
    )  # fmt: skip


async def device(tx: Reads, organisation: str, device_id: str) -> Device | None:
    row = await tx.fetch_one(
        f"SELECT {_DEVICE} FROM devices d WHERE d.id = $1 AND d.organisation = $2", device_id, organisation
    )
    return None if row is None else _device(row)


async def device_by_session_key(tx: Reads, thumbprint: str) -> Device | None:
    """An active device of an active person."""
    row = await tx.fetch_one(
        f"SELECT {_DEVICE} FROM devices d JOIN people p ON p.id = d.person"
        " WHERE d.session_key = $1 AND d.state = 'active' AND p.state = 'active'",
        thumbprint,
    )
    return None if row is None else _device(row)


async def devices_of(tx: Reads, organisation: str, person_id: str) -> list[Device]:
    rows = await tx.fetch_all(
        f"SELECT {_DEVICE} FROM devices d WHERE d.person = $1 AND d.organisation = $2 ORDER BY d.created_us, d.id",
        person_id, organisation,
    )  # fmt: skip
    return [_device(row) for row in rows]


async def devices_awaiting(tx: Reads, organisation: str, limit: int) -> list[tuple[Device, str]]:
    """Active devices whose approval key no officer has vouched for, with the person's name; oldest first."""
    rows = await tx.fetch_all(
        f"SELECT {_DEVICE}, p.name FROM devices d JOIN people p ON p.id = d.person"
        " WHERE d.organisation = $1 AND d.state = 'active' AND d.admitted_us IS NULL ORDER BY d.created_us, d.id LIMIT $2",
        organisation, limit,
    )  # fmt: skip
    return [(_device(row), str(row["name"])) for row in rows]


async def admit_device(tx: Transaction, organisation: str, approval_key: str, now_us: int) -> int:
    return await tx.execute(
        "UPDATE devices SET admitted_us = $3 WHERE organisation = $1 AND approval_key = $2 AND admitted_us IS NULL",
        organisation, approval_key, now_us,
    )  # fmt: skip


async def revoke_device(tx: Transaction, organisation: str, device_id: str, now_us: int) -> int:
    return await tx.execute(
        "UPDATE devices SET state = 'revoked', revoked_us = $3 WHERE id = $1 AND organisation = $2 AND state = 'active'",
        device_id, organisation, now_us,
    )  # fmt: skip


async def void_device(tx: Transaction, device_id: str) -> None:
    """Everything that hangs on a device: access tokens, refresh families, push addresses."""
    await tx.execute("DELETE FROM access_tokens WHERE device = $1", device_id)
    await tx.execute("UPDATE refresh_families SET state = 'ended' WHERE device = $1 AND state = 'active'", device_id)
    await tx.execute("DELETE FROM push_addresses WHERE device = $1", device_id)


# -- Tokens ---------------------------------------------------------------------------------------------------------


async def insert_family(tx: Transaction, family: str, device_id: str, now_us: int, expires_us: int) -> None:
    await tx.execute(
        "INSERT INTO refresh_families (id, device, generation, state, created_us, rotated_us, expires_us)"
        " VALUES ($1, $2, 0, 'active', $3, $3, $4)",
        family, device_id, now_us, expires_us,
    )  # fmt: skip


async def rotate_family(tx: Transaction, family: str, generation: int, session_key: str, now_us: int) -> int:
    """1 when this call took the family from `generation` to the next."""
    return await tx.execute(
        "UPDATE refresh_families SET generation = generation + 1, rotated_us = $4 WHERE id = $1 AND generation = $2 AND state = 'active'"
        " AND expires_us > $4 AND device IN (SELECT d.id FROM devices d JOIN people p ON p.id = d.person"
        " WHERE d.session_key = $3 AND d.state = 'active' AND p.state = 'active')",
        family, generation, session_key, now_us,
    )  # fmt: skip


async def family(tx: Reads, family_id: str) -> Row | None:
    return await tx.fetch_one(
        "SELECT f.generation, f.state, f.rotated_us, f.expires_us, d.id AS device, d.session_key, d.organisation, d.person,"
        " d.state AS device_state, p.state AS person_state"
        " FROM refresh_families f JOIN devices d ON d.id = f.device JOIN people p ON p.id = d.person WHERE f.id = $1",
        family_id,
    )


async def family_of_device(tx: Reads, device_id: str) -> Row | None:
    """The live family of a device: id, generation, rotated_us, expires_us."""
    return await tx.fetch_one(
        "SELECT id, generation, rotated_us, expires_us FROM refresh_families WHERE device = $1 AND state = 'active'",
        device_id,
    )


async def end_families(tx: Transaction, device_id: str) -> int:
    await tx.execute("DELETE FROM access_tokens WHERE device = $1", device_id)
    return await tx.execute(
        "UPDATE refresh_families SET state = 'ended' WHERE device = $1 AND state = 'active'", device_id
    )


async def end_family(tx: Transaction, family_id: str) -> int:
    await tx.execute("DELETE FROM access_tokens WHERE family = $1", family_id)
    return await tx.execute("UPDATE refresh_families SET state = 'ended' WHERE id = $1 AND state = 'active'", family_id)


async def replace_access(
    tx: Transaction, family_id: str, device_id: str, token_hash: str, now_us: int, expires_us: int
) -> None:
    """The new access token; the one before lives on for moments, for calls already under way (RFC 9700 asks no more)."""
    await tx.execute("DELETE FROM access_tokens WHERE family = $1 AND expires_us <= $2", family_id, now_us)
    await tx.execute(
        "INSERT INTO access_tokens (token_hash, family, device, expires_us) VALUES ($1, $2, $3, $4) ON CONFLICT (token_hash) DO NOTHING",
        token_hash, family_id, device_id, expires_us,
    )  # fmt: skip
    await tx.execute("UPDATE devices SET seen_us = $2 WHERE id = $1", device_id, now_us)


# -- Service clients ------------------------------------------------------------------------------------------------


async def insert_client(
    tx: Transaction, *, client: str, organisation: str, name: str, secret_hash: str, scopes: str, now_us: int
) -> None:
    await tx.execute(
        "INSERT INTO service_clients (id, organisation, name, secret_hash, scopes, state, created_us)"
        " VALUES ($1, $2, $3, $4, $5, 'active', $6)",
        client, organisation, name, secret_hash, scopes, now_us,
    )  # fmt: skip


async def client(tx: Reads, client_id: str) -> Row | None:
    return await tx.fetch_one(
        "SELECT id, organisation, name, secret_hash, scopes, state, created_us FROM service_clients WHERE id = $1",
        client_id,
    )


async def clients(tx: Reads, organisation: str) -> list[Row]:
    return await tx.fetch_all(
        "SELECT id, name, scopes, state, created_us FROM service_clients WHERE organisation = $1 ORDER BY created_us, id",
        organisation,
    )


async def insert_client_token(
    tx: Transaction, *, token_hash: str, client_id: str, scopes: str, bound_key: str | None, expires_us: int
) -> None:
    await tx.execute(
        "INSERT INTO client_tokens (token_hash, client, scopes, bound_key, expires_us) VALUES ($1, $2, $3, $4, $5)",
        token_hash, client_id, scopes, bound_key, expires_us,
    )  # fmt: skip


async def revoke_client(tx: Transaction, organisation: str, client_id: str) -> int:
    done = await tx.execute(
        "UPDATE service_clients SET state = 'revoked' WHERE id = $1 AND organisation = $2 AND state = 'active'",
        client_id,
        organisation,
    )
    if done:
        await tx.execute("DELETE FROM client_tokens WHERE client = $1", client_id)
    return done


# -- Push addresses -------------------------------------------------------------------------------------------------


async def put_address(
    tx: Transaction,
    *,
    address: str,
    device_id: str,
    transport: str,
    kind: str,
    value: str,
    state: str,
    challenge: str | None,
    now_us: int,
) -> None:
    """Takes the address from whoever had it before, and the place of the device's earlier address of this transport (C14)."""
    await tx.execute(
        "DELETE FROM push_addresses WHERE device = $1 AND transport = $2 AND address <> $3",
        device_id,
        transport,
        address,
    )
    await tx.execute(
        "INSERT INTO push_addresses (address, device, transport, kind, value, state, challenge, seen_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        " ON CONFLICT (address) DO UPDATE SET device = excluded.device, transport = excluded.transport, kind = excluded.kind,"
        " value = excluded.value, state = excluded.state, challenge = excluded.challenge, seen_us = excluded.seen_us",
        address, device_id, transport, kind, value, state, challenge, now_us,
    )  # fmt: skip


async def address_of(tx: Reads, device_id: str, transport: str) -> Row | None:
    """The address of a device by one transport, in whatever state."""
    return await tx.fetch_one(
        "SELECT address, value, state, challenge, seen_us FROM push_addresses WHERE device = $1 AND transport = $2",
        device_id,
        transport,
    )


async def touch_address(tx: Transaction, address: str, now_us: int) -> None:
    await tx.execute("UPDATE push_addresses SET seen_us = $2 WHERE address = $1", address, now_us)


async def activate_address(tx: Transaction, address: str) -> int:
    return await tx.execute(
        "UPDATE push_addresses SET state = 'active', challenge = NULL WHERE address = $1 AND state = 'pending'", address
    )


async def pending_address(tx: Reads, address: str) -> Row | None:
    """What an activation is sent to, while its device is active and the address unproved."""
    return await tx.fetch_one(
        "SELECT a.address, a.device, a.transport, a.kind, a.value, a.challenge, a.seen_us, p.locale FROM push_addresses a"
        " JOIN devices d ON d.id = a.device AND d.state = 'active' JOIN people p ON p.id = d.person"
        " WHERE a.address = $1 AND a.state = 'pending'",
        address,
    )


async def delete_address(tx: Transaction, device_id: str, transport: str) -> int:
    return await tx.execute("DELETE FROM push_addresses WHERE device = $1 AND transport = $2", device_id, transport)


async def mark_address_dead(tx: Transaction, device_id: str, transport: str, address: str) -> int:
    """Only the address that was tried: a newer one of the device stays (threat D4)."""
    return await tx.execute(
        "UPDATE push_addresses SET state = 'dead' WHERE device = $1 AND transport = $2 AND address = $3 AND state IN ('active', 'pending')",
        device_id, transport, address,
    )  # fmt: skip


async def addresses_of(tx: Reads, organisation: str, person_id: str) -> list[Row]:
    """Where a person is reached now: address, device, transport, kind, value."""
    return await tx.fetch_all(
        "SELECT a.address, a.device, a.transport, a.kind, a.value FROM push_addresses a JOIN devices d ON d.id = a.device"
        " WHERE d.person = $1 AND d.organisation = $2 AND d.state = 'active' AND a.state = 'active' ORDER BY a.device, a.transport",
        person_id, organisation,
    )  # fmt: skip


# -- Sweep ----------------------------------------------------------------------------------------------------------


async def sweep(tx: Transaction, now_us: int) -> int:
    """Forget what has ended: proofs past their window, dead tokens, and a day later the used and stale pairing codes."""
    done = await tx.execute("DELETE FROM dpop_proofs WHERE expires_us < $1", now_us)
    done += await tx.execute("DELETE FROM access_tokens WHERE expires_us < $1", now_us)
    done += await tx.execute("DELETE FROM client_tokens WHERE expires_us < $1", now_us)
    return done + await tx.execute("DELETE FROM pairings WHERE expires_us < $1", now_us - 86_400_000_000)


# -- Rows to values -------------------------------------------------------------------------------------------------


def _organisation(row: Row) -> Organisation:
    return Organisation(row["id"], row["code"], row["name"], row["parent"], row["created_us"])


def _people(rows: list[Row]) -> list[Person]:
    """Rows of one person stand together, one a role."""
    found: dict[str, tuple[Row, list[Role]]] = {}
    for row in rows:
        roles = found.setdefault(row["id"], (row, []))[1]
        if row["role"] is not None:
            roles.append(Role(row["role"]))
    return [
        Person(
            row["id"], row["organisation"], row["name"], row["position"], row["authority_line"], PersonState(row["state"]),
            row["locale"], row["created_us"], tuple(sorted(roles)), row["frozen_us"] is not None,
        )
        for row, roles in found.values()
    ]  # fmt: skip


def _device(row: Row) -> Device:
    return Device(
        row["id"], row["person"], row["organisation"], row["session_key"], row["approval_key"], row["approval_jwk"], row["label"],
        row["platform"], bool(row["office"]), DeviceState(row["state"]), row["created_us"], row["seen_us"], row["admitted_us"],
        row["revoked_us"],
    )  # fmt: skip
