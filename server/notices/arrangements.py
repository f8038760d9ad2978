"""What people and organisations arrange: quiet hours, channels, absences with a deputy, rules; and the report of who was told."""

import hashlib
from collections.abc import Collection
from typing import Any

import msgspec

from server import audit
from server.clock import Clock
from server.db import Database, Reads, Row, Transaction
from server.errors import Refused
from server.identity.model import Actor, Role
from server.ids import new_id
from server.notices import chains, queries
from server.notices.escalation import Told
from server.notices.model import DAY_US, OwnSettings
from server.notices.rules import Rules, ends_at_a_person, read, usable

_LONGEST_US = 400 * DAY_US
OVERSEERS = frozenset({Role.DUTY_OFFICER, Role.ADMINISTRATOR})


class Report(msgspec.Struct, frozen=True):
    """Who was told of a notice. `lines` are in the order of time; `next_lines` what the next step would do if it were taken now."""

    chain: Row | None
    notice: Row
    lines: list[Row]
    next_lines: list[tuple[Told, str]]


class ArrangementService:
    """`channels`: by what this installation can tell people: fcm, webpush, sms, email."""

    def __init__(self, db: Database, clock: Clock, channels: Collection[str]) -> None:
        self._db = db
        self._clock = clock
        self._channels = channels

    # A person's own.

    async def own(self, actor: Actor) -> tuple[Row | None, Row | None]:
        """The settings, and the absence that is under way or comes next."""
        now_us = self._clock.now_us()
        return await queries.own_settings(self._db, actor), await queries.absence(self._db, actor, now_us)

    async def set_own(self, actor: Actor, settings: OwnSettings) -> None:
        """Raises: Refused("deputy-unusable")."""

        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            if settings.deputy is not None:
                await _usable_deputy(tx, actor, settings.deputy)
            await queries.put_settings(tx, actor, settings, now_us)
            # Numbers and addresses are personal: the log says that they were set, not what they are.
            await self._log(tx, "notices.settings", actor, actor.id, {"deputy": settings.deputy})

        await self._db.transact(body)

    async def set_absence(self, actor: Actor, *, kind: str, from_us: int, to_us: int, deputy: str) -> None:
        """Leave or travel, in the place of the one before. Raises: Refused("invalid-request" | "deputy-unusable")."""

        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            if not (from_us < to_us and now_us < to_us <= now_us + _LONGEST_US):
                raise Refused(
                    "invalid-request",
                    detail="an absence ends in the future, after it begins, and lasts 400 days at most",
                )
            await _usable_deputy(tx, actor, deputy)
            await queries.end_absences(tx, actor, now_us)
            await queries.insert_absence(tx, actor, new_id(), kind, from_us, to_us, deputy, now_us)
            await self._log(
                tx, "absence.set", actor, actor.id, {"kind": kind, "deputy": deputy, "from": from_us, "to": to_us}
            )

        await self._db.transact(body)

    async def end_absence(self, actor: Actor) -> None:
        async def body(tx: Transaction) -> None:
            if await queries.end_absences(tx, actor, self._clock.now_us()):
                await self._log(tx, "absence.ended", actor, actor.id, {})

        await self._db.transact(body)

    # An organisation's.

    async def rules(self, actor: Actor) -> tuple[Rules, str]:
        """The rules and their revision."""
        text = await queries.rules(self._db, actor.organisation)
        return read(text), _revision(text)

    async def set_rules(self, actor: Actor, rules: Rules, *, revision: str | None = None) -> None:
        """`revision`: those that these were made from; None: whatever stands there.

        Raises: Refused("notice-rules-unusable" | "escalation-ends-with-nobody" | "conflict").
        """

        async def body(tx: Transaction) -> None:
            if revision not in {None, _revision(await queries.rules(tx, actor.organisation))}:
                raise Refused("conflict")
            heads = await queries.active_people(tx, actor.organisation, list(rules.heads))
            if not usable(rules) or len(heads) < len(set(rules.heads)):
                raise Refused("notice-rules-unusable")
            if not all(map(ends_at_a_person, rules.policies)) or await _without_duty(tx, actor.organisation, rules):
                raise Refused("escalation-ends-with-nobody")
            await queries.put_rules(tx, actor, msgspec.json.encode(rules).decode(), self._clock.now_us())
            await self._log(tx, "notices.rules", actor, actor.organisation, {"rules": msgspec.to_builtins(rules)})

        await self._db.transact(body)

    # Who was told.

    async def told(self, actor: Actor, notice: str) -> Report:
        """For whom the notice was for, who sent it, whom its chain told, the duty officer and the administrator.

        Raises: Refused("not-found") alike for foreign and unknown (C1).
        """
        root = await queries.root(self._db, actor.organisation, notice)
        if root is None or not await self._may_see(actor, root):
            raise Refused("not-found")
        chain = await queries.chain(self._db, root["id"])
        lines = await queries.told_lines(self._db, root["id"])
        return Report(chain=chain, notice=root, lines=lines, next_lines=await self._next(chain))

    async def chains(self, actor: Actor, *, before: tuple[int, str], limit: int) -> list[Row]:
        """Chains that the actor may see, newest first."""
        everything = bool(actor.roles & OVERSEERS)
        return await queries.chains(self._db, actor, everything=everything, before=before, limit=limit)

    async def _may_see(self, actor: Actor, root: Row) -> bool:
        if actor.id in (root["person"], root["sender"]) or actor.roles & OVERSEERS:
            return True
        return any(row["person"] == actor.id for row in await queries.derived(self._db, root["id"]))

    async def _next(self, chain: Row | None) -> list[tuple[Told, str]]:
        if chain is None or chain["next_us"] is None:
            return []
        lines = await chains.foresee(self._db, chain, self._channels, self._clock.now_us())
        return [(line, await queries.name_of(self._db, line.person)) for line in lines if line.outcome == "told"]

    async def _log(self, tx: Transaction, kind: str, actor: Actor, subject: str, body: dict[str, Any]) -> None:
        await audit.append(
            tx,
            kind,
            organisation=actor.organisation,
            actor=actor.id,
            subject=subject,
            body=body,
            now_us=self._clock.now_us(),
        )


def _revision(text: str | None) -> str:
    return hashlib.sha256((text or "").encode()).hexdigest()[:32]


async def _usable_deputy(tx: Reads, actor: Actor, deputy: str) -> None:
    found = await queries.active_people(tx, actor.organisation, [deputy])
    if deputy == actor.id or not found:
        raise Refused("deputy-unusable")


async def _without_duty(tx: Reads, organisation: str, rules: Rules) -> bool:
    """Whether a chain would end at nobody: those named are not in office, or, where none is named, nobody has the role."""
    for policy in rules.policies:
        named = await queries.active_people(tx, organisation, list(policy.duty))
        if len(named) < len(set(policy.duty)):
            return True
        if not policy.duty and not await queries.with_role(tx, organisation, Role.DUTY_OFFICER):
            return True
    return False
