"""What other systems tell people through us, and what such a system learns of it: who acknowledged, to whom it escalated, that nobody did.

The same machinery as for everything else carries it: lanes, caps, quiet hours, chains. Its webhooks go out in the transaction of what they tell.
"""

from typing import Any

import msgspec

from server import audit
from server.clock import Clock
from server.db import Database, Row, Transaction
from server.documents.model import clean
from server.errors import Refused
from server.identity.model import Actor
from server.ids import new_id
from server.jobs import Lane
from server.notices import queries
from server.notices.model import DAY_US, NewNotice, NoticeKind, lifetime_us
from server.notices.telling import tell, withdraw
from server.once import Once

ABOUT = "announcement:"
_BROADCAST = 50
_KEPT_US = 365 * DAY_US
"""Longer than anything about it is told; what people were told stays with them."""


async def sweep(db: Database, now_us: int) -> int:
    """Forget announcements of more than a year ago; how many."""
    return await db.transact(lambda tx: queries.sweep_announcements(tx, now_us - _KEPT_US))


class NoticeTo(msgspec.Struct, frozen=True):
    person: str
    notice: str


class AnnouncementAnswer(msgspec.Struct, frozen=True):
    """`notices`: one a person, in their order; webhooks name them."""

    id: str
    notices: list[NoticeTo]


class Announcing(msgspec.Struct, frozen=True):
    """`expires_us`: when telling becomes useless; None: after two weeks."""

    people: tuple[str, ...]
    urgency: int
    headline: str
    expires_us: int | None
    source_reference: str | None


class AnnouncementService:
    """Announcements of one client at a time: the actor's (C1)."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def announce(self, actor: Actor, wanted: Announcing, once: Once) -> bytes:
        """Tell people of the organisation; returns the encoded AnnouncementAnswer.

        Raises: Refused("person-unknown"), Refused("invalid-request").
        """

        async def body(tx: Transaction) -> bytes:
            kept = await once.claim(tx)
            if kept is not None:
                return kept
            now_us = self._clock.now_us()
            headline, kind = clean(wanted.headline), NoticeKind.ANNOUNCED
            latest_us = now_us + lifetime_us(kind)
            until_us = latest_us if wanted.expires_us is None else min(wanted.expires_us, now_us + 60 * DAY_US)
            if not headline or until_us <= now_us:
                raise Refused("invalid-request", detail="the headline is empty, or it has expired")
            people = list(dict.fromkeys(wanted.people))
            if await queries.active_people(tx, actor.organisation, people) != people:
                raise Refused("person-unknown")
            id_ = new_id()
            await queries.insert_announcement(
                tx, actor, id_, headline=headline, urgency=wanted.urgency, source_reference=wanted.source_reference, now_us=now_us
            )  # fmt: skip
            lane = Lane.BULK if wanted.urgency == 0 and len(people) > _BROADCAST else None
            new = [
                NewNotice(
                    organisation=actor.organisation, person=person, kind=kind, urgency=wanted.urgency, about=ABOUT + id_, headline=headline,
                    expires_us=until_us, lane=lane,
                )
                for person in people
            ]  # fmt: skip
            made = await tell(tx, new, now_us=now_us)
            await self._log(tx, "announcement.made", actor, id_, {"people": len(people), "urgency": wanted.urgency})
            pairs = [NoticeTo(person, notice) for person, notice in zip(people, made, strict=True)]
            answer = msgspec.json.encode(AnnouncementAnswer(id_, pairs))
            await once.settle(tx, answer)
            return answer

        return await self._db.transact(body)

    async def show(self, actor: Actor, announcement: str) -> tuple[Row, list[Row]]:
        """The announcement, and what became of it person by person. Raises: Refused("not-found")."""
        row = await queries.announcement(self._db, actor, announcement)
        if row is None:
            raise Refused("not-found")
        return row, await queries.announced(self._db, actor.organisation, ABOUT + announcement)

    async def withdraw(self, actor: Actor, announcement: str) -> None:
        """What is queued is not sent, what is shown is taken away, nothing escalates. Raises: Refused("not-found")."""

        async def body(tx: Transaction) -> None:
            if await queries.announcement(tx, actor, announcement) is None:
                raise Refused("not-found")
            now_us = self._clock.now_us()
            if await queries.withdraw_announcement(tx, announcement, now_us):
                await withdraw(tx, organisation=actor.organisation, about=ABOUT + announcement, now_us=now_us)
                await self._log(tx, "announcement.withdrawn", actor, announcement, {})

        await self._db.transact(body)

    async def _log(self, tx: Transaction, kind: str, actor: Actor, subject: str, body: dict[str, Any]) -> None:
        await audit.append(
            tx, kind, organisation=actor.organisation, actor=actor.id, subject=subject, body=body, now_us=self._clock.now_us()
        )  # fmt: skip
