"""Use cases of the one-stop office. Each is one transaction with its event and whatever tells people.

The secret of a link has 192 bits. It is found by its digest, and that digest is compared in constant time: neither the database nor the
time of an answer says anything of a secret that was nearly right.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Final

import msgspec

from server import audit
from server.clock import Clock
from server.db import Database, Reads, Transaction
from server.documents.model import clean
from server.errors import Refused
from server.identity.model import Actor
from server.ids import new_id
from server.notices.model import NewNotice, NoticeKind, lifetime_us
from server.notices.service import forget, rules_of, settle, tell
from server.once import Once, Seal
from server.onestop import queries
from server.onestop.model import FINAL, KEPT_US, Dossier, Late, Step, Unit, lateness, look_us

_SECRET_BYTES: Final = 24
_SECRET_CHARS: Final = 32
_AT_ONCE: Final = 200


class DossierAnswer(msgspec.Struct, frozen=True):
    """`sequence` is the step that the next change follows. `link` is for the applicant and stands in this answer alone."""

    id: str
    sequence: int
    link: str | None = None


class Shown(msgspec.Struct, frozen=True):
    """Where a dossier stands, with the words for its unit. `since_us`: since when."""

    sequence: int
    step: Step
    unit: Unit
    since_us: int
    late: Late | None
    closed: bool


class OneStopService:
    """`seal` keeps a link readable for whoever repeats the request that made it, and for nobody who has the database alone (A2)."""

    def __init__(self, db: Database, clock: Clock, seal: Seal, public_url: str) -> None:
        self._db = db
        self._clock = clock
        self._seal = seal
        self._public_url = public_url

    # Units.

    async def units(self, actor: Actor) -> list[Unit]:
        return await queries.units(self._db, actor)

    async def put_unit(self, actor: Actor, wanted: Unit) -> None:
        """Raises: Refused("person-unknown"), Refused("invalid-request")."""
        unit = msgspec.structs.replace(wanted, name=clean(wanted.name), name_en=clean(wanted.name_en))
        if not unit.name:
            raise Refused("invalid-request", detail="the name is empty")

        async def body(tx: Transaction) -> None:
            if await queries.active(tx, actor.organisation, unit.responsible) != list(unit.responsible):
                raise Refused("person-unknown")
            now_us = self._clock.now_us()
            await queries.put_unit(tx, actor, unit, now_us)
            await audit.append(
                tx, "onestop.unit", organisation=actor.organisation, actor=actor.id, subject=actor.organisation,
                body={"code": unit.code, "responsible": list(unit.responsible)}, now_us=now_us,
            )  # fmt: skip

        await self._db.transact(body)

    # The one-stop system.

    async def open(self, actor: Actor, reference: str, step: Step, once: Once) -> bytes:
        """A new dossier; returns the encoded DossierAnswer with the applicant's link.

        Raises: Refused("unit-unknown"), Refused("dossier-known"), Refused("invalid-request").
        """
        once = once.sealed(self._seal)
        secret = secrets.token_urlsafe(_SECRET_BYTES)

        async def body(tx: Transaction) -> bytes:
            kept = await once.claim(tx)
            if kept is not None:
                return kept
            now_us = self._clock.now_us()
            named = clean(reference)
            if not named or step.code in FINAL:
                raise Refused("invalid-request", detail="a reference, and a step that something follows")
            await _known(tx, actor.organisation, step)
            dossier = Dossier(new_id(), actor.organisation, actor.id, named, 0, step, now_us, None, None)
            rules = await rules_of(tx, actor.organisation)
            if not await queries.insert(tx, dossier, _digest(secret), look_us(step, now_us, rules, now_us)):
                raise Refused("dossier-known")
            await _log(tx, "dossier.opened", dossier, actor.id, now_us)
            return await self._settled(tx, once, dossier, secret)

        return await self._db.transact(body)

    async def advance(self, actor: Actor, dossier: str, sequence: int, step: Step, once: Once) -> bytes:
        """The step behind `sequence`; returns the encoded DossierAnswer. A final step closes the dossier and forgets its reference.

        Raises: Refused("not-found"), "dossier-closed", "conflict" when another step came first, "unit-unknown".
        """

        async def body(tx: Transaction) -> bytes:
            kept = await once.claim(tx)
            if kept is not None:
                return kept
            now_us = self._clock.now_us()
            before = await self._mine(tx, actor, dossier)
            if before.closed_us is not None:
                raise Refused("dossier-closed")
            await _known(tx, actor.organisation, step)
            final = step.code in FINAL
            after = msgspec.structs.replace(
                before, sequence=sequence + 1, step=step, step_us=now_us, late_us=None, closed_us=now_us if final else None,
                reference=None if final else before.reference,
            )  # fmt: skip
            rules = await rules_of(tx, actor.organisation)
            if not await queries.advance(tx, after, look_us(step, now_us, rules, now_us)):
                raise Refused("conflict")
            await settle(tx, organisation=actor.organisation, about=about(dossier), now_us=now_us)
            if final:
                await forget(tx, organisation=actor.organisation, about=about(dossier))
            await _log(tx, "dossier.advanced", after, actor.id, now_us)
            return await self._settled(tx, once, after, None)

        return await self._db.transact(body)

    async def relink(self, actor: Actor, dossier: str, once: Once) -> bytes:
        """Another link in the place of one that was lost or given to the wrong person; that one shows nothing more.

        Raises: Refused("not-found").
        """
        once = once.sealed(self._seal)
        secret = secrets.token_urlsafe(_SECRET_BYTES)

        async def body(tx: Transaction) -> bytes:
            kept = await once.claim(tx)
            if kept is not None:
                return kept
            found = await self._mine(tx, actor, dossier)
            await queries.set_secret(tx, actor, dossier, _digest(secret))
            await _log(tx, "dossier.relinked", found, actor.id, self._clock.now_us())
            return await self._settled(tx, once, found, secret)

        return await self._db.transact(body)

    async def show(self, actor: Actor, dossier: str) -> Shown:
        """Raises: Refused("not-found") alike for foreign and unknown (C1)."""
        return await self._shown(await self._mine(self._db, actor, dossier))

    # The applicant.

    async def page(self, secret: str) -> Shown:
        """Raises: Refused("not-found") alike for whatever is no living link."""
        digest = _digest(secret)
        found = None if len(secret) != _SECRET_CHARS else await queries.of_secret(self._db, digest)
        if found is None or not hmac.compare_digest(found[1], digest):
            raise Refused("not-found")
        return await self._shown(found[0])

    # The clock.

    async def look(self) -> int:
        """Tell units of the steps that nobody has handled for too long, once each; how many."""
        told = 0
        while some := await queries.due(self._db, self._clock.now_us(), _AT_ONCE):
            for dossier in some:
                told += await self._db.transact(_watch(dossier, self._clock.now_us()))
        return told

    async def sweep(self) -> int:
        """Forget dossiers that were closed long ago; how many."""
        return await self._db.transact(lambda tx: queries.sweep(tx, self._clock.now_us() - KEPT_US))

    # Pieces.

    async def _mine(self, reads: Reads, actor: Actor, dossier: str) -> Dossier:
        found = await queries.find(reads, actor, dossier)
        if found is None:
            raise Refused("not-found")
        return found

    async def _shown(self, dossier: Dossier) -> Shown:
        unit = await queries.unit(self._db, dossier.organisation, dossier.step.unit)
        assert unit is not None, "a unit is renamed, never deleted"
        rules = await rules_of(self._db, dossier.organisation)
        late = lateness(dossier.step, dossier.step_us, rules, self._clock.now_us())
        return Shown(dossier.sequence, dossier.step, unit, dossier.step_us, late, dossier.closed_us is not None)

    async def _settled(self, tx: Transaction, once: Once, dossier: Dossier, secret: str | None) -> bytes:
        link = None if secret is None else f"{self._public_url}/f/{secret}"
        answer = msgspec.json.encode(DossierAnswer(dossier.id, dossier.sequence, link))
        await once.settle(tx, answer)
        return answer


def about(dossier: str) -> str:
    """The subject of what a unit is told."""
    return f"dossier:{dossier}"


def _watch(dossier: Dossier, now_us: int) -> Callable[[Transaction], Awaitable[int]]:
    async def body(tx: Transaction) -> int:
        rules = await rules_of(tx, dossier.organisation)
        is_late = lateness(_undated(dossier.step), dossier.step_us, rules, now_us) is Late.UNHANDLED
        following = None if is_late else look_us(dossier.step, dossier.step_us, rules, now_us)
        if not await queries.looked(tx, dossier, look_us=following, late_us=now_us if is_late else None) or not is_late:
            return 0
        await _tell_unit(tx, dossier, now_us)
        await _log(tx, "dossier.unhandled", dossier, "system", now_us)
        return 1

    return body


def _undated(step: Step) -> Step:
    return msgspec.structs.replace(step, promised=None)


async def _tell_unit(tx: Transaction, dossier: Dossier, now_us: int) -> None:
    """Its responsible people; where none is in office any more, the administrators, for it ends at a person."""
    unit = await queries.unit(tx, dossier.organisation, dossier.step.unit)
    assert unit is not None
    people = await queries.active(tx, dossier.organisation, unit.responsible)
    people = people or await queries.administrators(tx, dossier.organisation)
    kind = NoticeKind.DOSSIER_UNHANDLED
    notices = [
        NewNotice(
            organisation=dossier.organisation, person=person, kind=kind, urgency=0, about=about(dossier.id), revision=dossier.sequence + 1,
            headline=f"{dossier.reference} · {unit.name}"[:300], expires_us=now_us + lifetime_us(kind),
        )
        for person in people
    ]  # fmt: skip
    await tell(tx, notices, now_us=now_us)


async def _known(tx: Reads, organisation: str, step: Step) -> None:
    if await queries.unit(tx, organisation, step.unit) is None:
        raise Refused("unit-unknown")


async def _log(tx: Transaction, kind: str, dossier: Dossier, actor: str, now_us: int) -> None:
    """What the log keeps for good names neither the reference nor anybody (A14, PDP-1)."""
    body = {
        "sequence": dossier.sequence,
        "step": dossier.step.code.value,
        "unit": dossier.step.unit,
        "promised": _said(dossier.step.promised),
        "handled": dossier.step.handled,
    }
    await audit.append(
        tx, kind, organisation=dossier.organisation, actor=actor, subject=dossier.id, body=body, now_us=now_us
    )


def _said(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
