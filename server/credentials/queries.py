"""All SQL of credentials and vouchers."""

from server.db import Reads, Row, Transaction
from server.identity.model import Actor


async def organisation_code(db: Reads, organisation: str) -> str:
    row = await db.fetch_one("SELECT code FROM organisations WHERE id = $1", organisation)
    assert row is not None
    return str(row["code"])


async def member(db: Reads, organisation: str, person: str) -> bool:
    row = await db.fetch_one(
        "SELECT id FROM people WHERE id = $1 AND organisation = $2 AND state = 'active'", person, organisation
    )
    return row is not None


async def insert_voucher(
    tx: Transaction, *, digest: str, organisation: str, kind: str, person: str, credential: str, approval_key: str, purpose: str, voucher: str,
    not_after_us: int, now_us: int,
) -> int:  # fmt: skip
    return await tx.execute(
        "INSERT INTO vouchers (digest, organisation, kind, person, credential, approval_key, purpose, voucher, state, not_after_us, created_us) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'waiting', $9, $10) ON CONFLICT (digest) DO NOTHING",
        digest, organisation, kind, person, credential, approval_key, purpose, voucher, not_after_us, now_us,
    )  # fmt: skip


_VOUCHER = "v.digest, v.organisation, v.kind, v.person, v.credential, v.approval_key, v.purpose, v.voucher, v.join_approval, v.join_sealed_pin, v.state, v.not_after_us"


async def waiting_for(db: Reads, actor: Actor, now_us: int) -> list[Row]:
    """Vouchers that name this person and the approval key of this device."""
    return await db.fetch_all(
        f"SELECT {_VOUCHER} FROM vouchers v JOIN devices d ON d.approval_key = v.approval_key AND d.person = v.person WHERE v.person = $1 AND d.id = $2 "
        "AND v.state = 'waiting' AND v.not_after_us > $3 ORDER BY v.created_us",
        actor.id, actor.device, now_us,
    )  # fmt: skip


async def mine(db: Reads, actor: Actor, digest: str) -> Row | None:
    return await db.fetch_one(
        f"SELECT {_VOUCHER} FROM vouchers v JOIN devices d ON d.approval_key = v.approval_key AND d.person = v.person WHERE v.digest = $1 AND v.person = $2 "
        "AND d.id = $3",
        digest, actor.id, actor.device,
    )  # fmt: skip


async def handover(db: Reads, actor: Actor, digest: str) -> Row | None:
    """A voucher for a further holder of a credential that this person holds, with the newcomer's part."""
    return await db.fetch_one(
        f"SELECT {_VOUCHER} FROM vouchers v JOIN credential_holders h ON h.credential = v.credential WHERE v.digest = $1 AND h.person = $2 "
        "AND v.organisation = $3 AND v.kind = 'add_holder' AND v.join_approval IS NOT NULL",
        digest, actor.id, actor.organisation,
    )  # fmt: skip


async def handovers(db: Reads, actor: Actor, now_us: int) -> list[Row]:
    return await db.fetch_all(
        "SELECT v.digest, v.credential, v.voucher, p.name FROM vouchers v JOIN credential_holders h ON h.credential = v.credential "
        "JOIN people p ON p.id = v.person WHERE h.person = $1 AND v.organisation = $2 AND v.kind = 'add_holder' AND v.state = 'waiting' "
        "AND v.join_approval IS NOT NULL AND v.not_after_us > $3 ORDER BY v.created_us",
        actor.id, actor.organisation, now_us,
    )  # fmt: skip


async def put_join(tx: Transaction, digest: str, join: str, sealed_pin: bytes) -> int:
    return await tx.execute(
        "UPDATE vouchers SET join_approval = $2, join_sealed_pin = $3 WHERE digest = $1 AND state = 'waiting'",
        digest,
        join,
        sealed_pin,
    )


async def redeem(tx: Transaction, digest: str) -> int:
    """The sealed PIN is not kept a moment longer than the signer needs it."""
    return await tx.execute(
        "UPDATE vouchers SET state = 'redeemed', join_sealed_pin = NULL WHERE digest = $1 AND state = 'waiting'", digest
    )


async def insert_credential(
    tx: Transaction,
    *,
    id_: str,
    organisation: str,
    kind: str,
    person: str | None,
    key_type: str,
    subject: str,
    csr: bytes,
    now_us: int,
) -> None:
    await tx.execute(
        "INSERT INTO credentials (id, organisation, kind, person, key_type, subject, csr, state, created_us) VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8) "
        "ON CONFLICT (id) DO NOTHING",
        id_, organisation, kind, person, key_type, subject, csr, now_us,
    )  # fmt: skip


async def insert_holder(tx: Transaction, credential: str, person: str, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO credential_holders (credential, person, created_us) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        credential,
        person,
        now_us,
    )


_CREDENTIAL = "c.id, c.kind, c.person, c.key_type, c.subject, c.csr, c.certificate, c.not_after_us, c.state"


async def credential(db: Reads, actor: Actor, id_: str) -> Row | None:
    """Of the actor's organisation; for officers."""
    return await db.fetch_one(
        f"SELECT {_CREDENTIAL} FROM credentials c WHERE c.id = $1 AND c.organisation = $2", id_, actor.organisation
    )


async def held(db: Reads, actor: Actor) -> list[Row]:
    return await db.fetch_all(
        f"SELECT {_CREDENTIAL} FROM credentials c JOIN credential_holders h ON h.credential = c.id WHERE h.person = $1 AND c.organisation = $2 ORDER BY c.created_us",
        actor.id, actor.organisation,
    )  # fmt: skip


async def pending(db: Reads, actor: Actor) -> list[Row]:
    """Credentials of the organisation that wait for their certificate."""
    return await db.fetch_all(
        f"SELECT {_CREDENTIAL} FROM credentials c WHERE c.organisation = $1 AND c.state = 'pending' ORDER BY c.created_us",
        actor.organisation,
    )


async def of_organisation(db: Reads, actor: Actor) -> list[Row]:
    """A row for each holder of each credential of the organisation, one without a person where nobody holds it yet; for officers."""
    return await db.fetch_all(
        "SELECT c.id, c.kind, c.subject, c.state, c.not_after_us, h.person AS holder FROM credentials c "
        "LEFT JOIN credential_holders h ON h.credential = c.id WHERE c.organisation = $1 ORDER BY c.created_us, c.id, h.created_us",
        actor.organisation,
    )


async def holds(db: Reads, actor: Actor, id_: str) -> bool:
    row = await db.fetch_one(
        "SELECT h.person FROM credential_holders h JOIN credentials c ON c.id = h.credential WHERE h.credential = $1 AND h.person = $2 AND c.organisation = $3",
        id_, actor.id, actor.organisation,
    )  # fmt: skip
    return row is not None


async def put_certificate(tx: Transaction, id_: str, *, certificate: bytes, chain: bytes, not_after_us: int) -> None:
    await tx.execute(
        "UPDATE credentials SET certificate = $2, chain = $3, not_after_us = $4, state = 'active' WHERE id = $1",
        id_,
        certificate,
        chain,
        not_after_us,
    )


async def credentials_of(db: Reads, person: str, organisation: str) -> list[Row]:
    """For telling the signer: what a person holds, of any kind."""
    return await db.fetch_all(
        "SELECT c.id, c.kind FROM credentials c JOIN credential_holders h ON h.credential = c.id WHERE h.person = $1 AND c.organisation = $2 ORDER BY c.id",
        person, organisation,
    )  # fmt: skip
