"""Use cases of authority grants, and what other rooms ask of them in their own transactions.

`spend` is the one check that counts: in S1, in the transaction that records the intent, so that a grant which was revoked or ended a
moment ago signs nothing (AUT-6). What intake and the sheet ask is kindness: an early refusal.
"""

import hashlib

import msgspec

from server import audit
from server.authority import queries
from server.authority.model import (
    GRANT_TYP,
    Form,
    Grant,
    GrantRow,
    GrantState,
    authority_line,
    covers,
    fits,
    folded,
    in_order,
    is_deputy,
    passed_on,
    stands_at,
)
from server.clock import Clock
from server.db import Database, Reads, Transaction
from server.errors import Refused
from server.identity.model import Actor, Role
from server.ids import new_id
from server.once import Once
from signing.client import PublicJwk
from signing.core.codec import CodecError, parse_jws


class GrantAnswer(msgspec.Struct, frozen=True):
    """`authority` is what will stand on the page; `digest` the SHA-256 of the signed grant, which a grant passed on names."""

    id: str
    digest: str
    authority: str


class AuthorityService:
    """Grants of one organisation at a time: the actor's."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def give(self, actor: Actor, signed: str, once: Once) -> bytes:
        """Keep what the grantor's device signed; returns the encoded GrantAnswer.

        Raises: Refused("grant-invalid") with a `reason`; Refused("device-not-admitted") where the signer does not know this device's
        approval key; Refused("conflict") for a grant that was brought before.
        """
        try:
            claimed = parse_jws(signed, GRANT_TYP)
            grant = claimed.peek(Grant)
        except CodecError:
            raise Refused("grant-invalid", reason="form") from None

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            key = None if actor.device is None else await queries.admitted_key(tx, actor)
            if key is None or actor.device is None:
                raise Refused("device-not-admitted")
            try:
                claimed.check(msgspec.json.decode(key["approval_jwk"], type=PublicJwk))
            except CodecError:
                raise Refused("grant-invalid", reason="signature") from None
            row = await self._row(tx, actor, actor.device, grant, signed, now_us)
            if not await queries.insert(tx, row):
                raise Refused("conflict")
            body = {"grant": row.digest, "form": row.form.value, "holder": row.holder, "parent": row.parent or ""}
            await self._log(tx, "authority.granted", actor, row, body, now_us)
            answer = msgspec.json.encode(GrantAnswer(id=row.id, digest=row.digest, authority=row.authority_line))
            await once.settle(tx, answer)
            return answer

        return await self._db.transact(body)

    async def _row(
        self, tx: Transaction, actor: Actor, device: str, grant: Grant, signed: str, now_us: int
    ) -> GrantRow:
        """What will be kept of a grant whose signature holds. Raises: Refused("grant-invalid")."""
        if grant.grantor != actor.id or grant.organisation != await queries.organisation_code(tx, actor.organisation):
            raise Refused("grant-invalid", reason="grantor")
        grantor = await queries.party(tx, actor.organisation, grant.grantor)
        holder = await queries.party(tx, actor.organisation, grant.holder)
        if grantor is None or holder is None:
            raise Refused("grant-invalid", reason="grantor" if grantor is None else "holder")
        in_order(grant, now_us)
        fits(grant, grantor, holder)
        parent = await queries.by_digest(tx, actor.organisation, grant.parent) if grant.parent else None
        if grant.parent and (parent is None or stands_at(parent, now_us)):
            raise Refused("grant-invalid", reason="parent")
        if parent is not None:
            passed_on(grant, parent)
        return GrantRow(
            id=new_id(),
            organisation=actor.organisation,
            digest=hashlib.sha256(signed.encode()).hexdigest(),
            form=grant.form,
            grantor=grant.grantor,
            device=device,
            holder=grant.holder,
            authority_line=authority_line(grant, grantor, parent),
            paper=grant.paper,
            types=msgspec.json.encode(grant.types).decode(),
            urgency=grant.urgency,
            parent=None if parent is None else parent.id,
            not_before_us=grant.not_before,
            not_after_us=grant.not_after,
            jws=signed,
            state=GrantState.ACTIVE,
            created_us=now_us,
            used_us=None,
            revoked_us=None,
            revoked_by=None,
        )

    async def listing(self, actor: Actor, *, before: tuple[int, str], limit: int) -> list[GrantRow]:
        return await queries.listing(self._db, actor, before=before, limit=limit)

    async def get(self, actor: Actor, grant: str) -> GrantRow:
        """Raises: Refused("not-found")."""
        row = await queries.find(self._db, actor, grant)
        if row is None:
            raise Refused("not-found")
        return row

    async def revoke(self, actor: Actor, grant: str) -> None:
        """End a grant for good: by its grantor, or by an administrator, who can stop but not give. What was signed stays signed.

        A grant that is revoked already is left as it is. Raises: Refused("not-found").
        """

        async def body(tx: Transaction) -> None:
            row = await queries.find(tx, actor, grant)
            if row is None or (row.grantor != actor.id and not actor.has(Role.ADMINISTRATOR)):
                raise Refused("not-found")
            now_us = self._clock.now_us()
            if await queries.revoke(tx, grant, by=actor.id, now_us=now_us):
                await self._log(tx, "authority.revoked", actor, row, {"grant": row.digest}, now_us)

        await self._db.transact(body)

    async def _log(
        self, tx: Transaction, kind: str, actor: Actor, row: GrantRow, body: dict[str, str], now_us: int
    ) -> None:
        await audit.append(
            tx, kind, organisation=actor.organisation, actor=actor.id, subject=row.id, body=body, now_us=now_us
        )


# What documents and approvals ask.


async def named(reads: Reads, organisation: str, grant: str, holder: str, now_us: int) -> GrantRow:
    """A grant that a route may name for this person: it is his, and neither revoked nor over. One that begins later may be named.

    Raises: Refused("authority-missing").
    """
    row = await queries.load(reads, organisation, grant)
    reason = "unknown" if row is None else "other-holder" if row.holder != holder else stands_at(row, now_us)
    if row is None or reason not in {"", "not-yet"}:
        raise Refused("authority-missing", reason=reason)
    return row


async def check(
    reads: Reads, organisation: str, grant: str, *, holder: str, type_name: str, urgency: int, now_us: int
) -> list[GrantRow]:
    """The grant and those that it rests on, all standing and covering such a document (AUT-6).

    Each grantor still is a leader, and each key that signed is not revoked: a lost phone's grants end with it.

    Raises: Refused("authority-missing") with a `reason`.
    """
    rows: list[GrantRow] = []
    wanted: str | None = grant
    while wanted is not None:
        row = await queries.load(reads, organisation, wanted)
        reason = "unknown" if row is None else "other-holder" if row.holder != holder else ""
        if row is None or reason:
            raise Refused("authority-missing", reason=reason)
        reason = stands_at(row, now_us) or covers(row, type_name, urgency)
        if not reason and await queries.party(reads, organisation, row.grantor) is None:
            reason = "grantor-left"
        if not reason and not await queries.key_stands(reads, row.device):
            reason = "key-revoked"
        if reason:
            raise Refused("authority-missing", reason=reason)
        rows.append(row)
        wanted, holder = row.parent, row.grantor
    return rows


async def spend(
    tx: Transaction, organisation: str, grant: str, *, holder: str, type_name: str, urgency: int, now_us: int
) -> None:
    """`check` in S1, and a write on each grant, which a revocation at the same moment cannot pass by.

    Raises: Refused("authority-missing").
    """
    rows = await check(tx, organisation, grant, holder=holder, type_name=type_name, urgency=urgency, now_us=now_us)
    for row in rows:
        if not await queries.take(tx, row.id, now_us):
            raise Refused("authority-missing", reason="revoked")


async def evidence(reads: Reads, organisation: str, grant: str | None) -> dict[str, str]:
    """What the events of a signature, and so its receipt, say of the authority: the digest of each signed grant, newest first."""
    rows: list[GrantRow] = []
    while grant is not None:
        row = await queries.load(reads, organisation, grant)
        if row is None:
            break
        rows.append(row)
        grant = row.parent
    if not rows:
        return {}
    return {
        "authority": " ".join(row.form.value for row in rows),
        "authority_grant": " ".join(row.digest for row in rows),
    }


async def replaces_position(reads: Reads, organisation: str, grant: str | None) -> bool:
    """Whether the line of the grant is the position itself: Q. (AUT-5) stands where the holder's own position would."""
    row = None if grant is None else await queries.load(reads, organisation, grant)
    return row is not None and row.form is Form.Q


async def free_line(reads: Reads, organisation: str, person: str, line: str) -> None:
    """A written line of authority where grants are required: only the head's own TM. needs none (AUT-2).

    Raises: Refused("authority-required").
    """
    if not line:
        return
    party = await queries.party(reads, organisation, person)
    if party is None or is_deputy(party.position) or not folded(line).startswith("tm. "):
        raise Refused("authority-required")


async def deputises(
    reads: Reads, organisation: str, grant: str, *, person: str, under: str | None, line: str, now_us: int
) -> GrantRow:
    """The grant that lets its holder take over a step of `person`, who would sign under the grant `under` (None: by his own office).

    `line`: the step's line of authority as it was written. The person's own authority goes to whoever holds a grant of his; what he was given himself goes further only as a TL. to his deputy (AUT-4),
    or by another grant of the same giver. A TUQ. is never handed on (AUT-3).

    Raises: Refused("authority-missing").
    """
    row = await queries.load(reads, organisation, grant)
    if row is None:
        raise Refused("authority-missing", reason="unknown")
    given = None if under is None else await queries.load(reads, organisation, under)
    if given is None:
        own = not line or folded(line).startswith("tm. ")  # what a line says was given to him is not his to give
        allowed = own and row.grantor == person and row.parent is None
    else:
        allowed = row.parent == given.id if row.grantor == person else row.grantor == given.grantor
    if not allowed:
        raise Refused("authority-missing", reason="re-delegated")
    reason = stands_at(row, now_us)
    if reason:
        raise Refused("authority-missing", reason=reason)
    return row
