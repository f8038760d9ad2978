"""Use cases of notices."""

from server import audit
from server.clock import Clock
from server.db import Database, Reads, Row, Transaction
from server.errors import Refused
from server.identity.model import Actor
from server.live import service as live
from server.live.model import Topic
from server.notices import chains, outward, queries
from server.notices.deliveries import clear
from server.notices.model import DeviceEvent, NewNotice, NoticeKind, NoticeState
from server.notices.rules import Rules, read
from server.notices.telling import about_document, forget, notify, settle, tell, withdraw

__all__ = [
    "NewNotice",
    "NoticeKind",
    "NoticeService",
    "about_document",
    "chased",
    "forget",
    "meeting_mailbox",
    "notify",
    "rules_of",
    "settle",
    "tell",
    "withdraw",
]


async def rules_of(reads: Reads, organisation: str) -> Rules:
    """An organisation's rules, for other rooms."""
    return read(await queries.rules(reads, organisation))


async def meeting_mailbox(reads: Reads, person: str) -> tuple[str, str] | None:
    """Organisation and address of somebody who wants invitations to meetings by e-mail."""
    row = await queries.meeting_mailbox(reads, person)
    return None if row is None else (str(row["organisation"]), str(row["email"]))


async def chased(reads: Reads, organisation: str, about: str) -> set[str]:
    """Who has an open notice about a subject whose chain is running."""
    return set(await queries.chased(reads, organisation, about))


class NoticeService:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def listing(self, actor: Actor, *, before: tuple[int, str], limit: int) -> list[Row]:
        return await queries.listing(self._db, actor, before=before, limit=limit)

    async def fetch(self, actor: Actor, notice: str) -> Row:
        """A notice by its opaque id; fetching it from a device says that the device received it.

        Raises: Refused("not-found") alike for foreign and unknown (C1).
        """
        row = await queries.notice(self._db, actor, notice)
        if row is None:
            raise Refused("not-found")
        if actor.device is not None:
            device, now_us = actor.device, self._clock.now_us()
            await self._db.transact(lambda tx: queries.device_event(tx, device, notice, "received", now_us))
        return row

    async def acknowledge(self, actor: Actor, notice: str) -> None:
        """A named person has seen it; what is queued for it stops, the chain's steps included (NOT-4). Repeating changes nothing.

        Whoever a chain told may acknowledge for the one who did not: the chain stops, that one's own notice stays open. The sender, who is told
        that nobody did, says so for himself alone.
        """

        async def body(tx: Transaction) -> None:
            row = await queries.notice(tx, actor, notice)
            if row is None:
                raise Refused("not-found")
            now_us = self._clock.now_us()
            if await queries.acknowledge(tx, actor, notice, now_us):
                await live.touch(tx, Topic.NOTICES, [actor.id])
                await clear(tx, notice, except_device=actor.device, now_us=now_us)
                # Who was told that nobody acknowledged does not act: it stays with those who were asked to.
                if row["kind"] != NoticeKind.UNANSWERED:
                    for chain in [row["origin"] or notice, *await queries.siblings(tx, notice)]:
                        await chains.stop(tx, chain, by=actor.id, now_us=now_us, keep=notice)
                    # What was withdrawn, overtaken, or answered by somebody else, asks nobody any more: other systems were told how it ended.
                    if row["state"] == NoticeState.OPEN:
                        await outward.acknowledged(tx, row["origin"] or notice, by=actor.id, now_us=now_us)
                await audit.append(
                    tx, "notice.acknowledged", organisation=actor.organisation, actor=actor.id, subject=notice, body={"device": actor.device}, now_us=now_us
                )  # fmt: skip

        await self._db.transact(body)

    async def report(self, actor: Actor, events: list[tuple[str, DeviceEvent, int]]) -> int:
        """What a device says it received, showed and had read, in any order and any number of times; how many were new."""
        device = actor.device
        if device is None:
            raise Refused("forbidden")
        now_us = self._clock.now_us()

        async def body(tx: Transaction) -> int:
            # A phone's clock may be wrong: a report from the future is taken as of now.
            return sum(
                [
                    await queries.device_event(tx, device, notice, event.value, min(at_us, now_us))
                    for notice, event, at_us in events
                ]
            )

        return await self._db.transact(body)
