"""Watches what stands still, "ngâm" (NOT-1), documents, arrivals without a direction and directions not begun: their handler is told, then the head; what is past its deadline when the next day's
work begins; and every working morning the head is told how much there is.

Each is told once for each stay of a document with a handler, by whichever process comes first. What moves on takes its notices along.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from server import audit
from server.clock import Clock
from server.db import Database, Transaction
from server.identity.model import Role
from server.jobs import Context, Handler, Job, Periodic
from server.notices.calendar import before_working, day_us, is_working_day, local_day
from server.notices.deliveries import by_mail
from server.notices.model import NewNotice, NoticeKind, lifetime_us
from server.notices.rules import Rules
from server.notices.service import rules_of, settle, tell
from server.oversight import queries
from server.oversight.model import CLERKS, LEADERS, UNIT, Held, Reason, about
from server.oversight.service import heads

SYSTEM: Final = "system"
_EVERY_S: Final = 300
_SOME: Final = 200
_MINUTE_US: Final = 60_000_000
_HOUR_S: Final = 3600
_GROUPS: Final = {CLERKS: "Văn thư", LEADERS: "Lãnh đạo", UNIT: "Lãnh đạo, văn thư"}
_LOGGED: Final = {"order": "directive"}
_EVENTS: Final = {Reason.IDLE_HEAD: "idle", Reason.OVERDUE: "past_due"}


class OversightTasks:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        return {}

    def periodic(self) -> list[Periodic]:
        return [Periodic(kind="oversight.look", every_s=_EVERY_S, handler=self.watch)]

    async def watch(self, _job: Job, _context: Context) -> None:
        await self.look()

    async def look(self) -> None:
        """One look at every organisation, some documents of each: the rest at the next."""
        failed: list[Exception] = []
        for organisation in await queries.organisations(self._db):
            try:
                await self._look_at(organisation)
            except Exception as error:  # what is wrong with one organisation leaves no other one unwatched
                failed.append(error)
        if failed:
            raise failed[0]

    async def _look_at(self, organisation: str) -> None:
        rules, now_us = await rules_of(self._db, organisation), self._clock.now_us()
        await self._moved_on(organisation, now_us)
        if rules.idle is not None:
            hours = {Reason.IDLE: rules.idle.handler_hours, Reason.IDLE_HEAD: rules.idle.head_hours}
            for reason, allowed in hours.items():
                since_us = before_working(now_us, allowed * _HOUR_S, rules)
                found = await queries.idle(self._db, organisation, since_us, reason, _SOME)
                await self._tell_all(organisation, reason, found, rules, now_us)
        # A deadline passes at midnight; an urgent document's would ring then, whatever the quiet hours. It is told when work begins.
        today = local_day(now_us - rules.work.start * _MINUTE_US).isoformat()
        found = await queries.overdue(self._db, organisation, today, _SOME)
        await self._tell_all(organisation, Reason.OVERDUE, found, rules, now_us)
        await self._digest(organisation, rules, now_us)

    async def _tell_all(
        self, organisation: str, reason: Reason, found: Sequence[Held], rules: Rules, now_us: int
    ) -> None:
        for one in found:
            await self._db.transact(lambda tx, one=one: _tell(tx, organisation, reason, one, rules, now_us))  # type: ignore[misc]

    async def _moved_on(self, organisation: str, now_us: int) -> None:
        async def body(tx: Transaction) -> None:
            for row in await queries.unfinished(tx, organisation, _SOME):
                if await queries.standing(tx, organisation, row["subject"], row["handler"], row["since_us"]):
                    await queries.looked(tx, organisation, row, now_us)
                elif await queries.finish(tx, organisation, row, now_us):
                    what = about(Reason(row["reason"]), row["subject"])
                    await settle(tx, organisation=organisation, about=what, now_us=now_us)

        await self._db.transact(body)

    async def _digest(self, organisation: str, rules: Rules, now_us: int) -> None:
        """One notice a head and working morning: how much there is, and no title; the page behind it has the list."""
        today = local_day(now_us)
        minute = (now_us - day_us(today)) // _MINUTE_US
        if rules.digest is None or not rules.digest <= minute < rules.work.end or not is_working_day(today, rules):
            return

        async def body(tx: Transaction) -> None:
            if not await queries.mark(tx, organisation, f"digest:{today}", Reason.DIGEST, "", 0, now_us):
                return
            counts = await queries.counts(tx, organisation, today.isoformat())
            for head in [] if counts.nothing else await heads(tx, organisation, rules):
                (notice,) = await tell(
                    tx,
                    [
                        NewNotice(
                            organisation=organisation, person=head, kind=NoticeKind.MORNING_DIGEST, urgency=0, about="digest:", revision=today.toordinal(),
                            headline=counts.headline, expires_us=day_us(today) + rules.work.end * _MINUTE_US,
                        )
                    ],
                    now_us=now_us,
                )  # fmt: skip
                await by_mail(tx, notice, organisation, head, now_us=now_us)

        await self._db.transact(body)


async def _tell(tx: Transaction, organisation: str, reason: Reason, held: Held, rules: Rules, now_us: int) -> None:
    """Tell whoever is to know of it, unless it moved on since it was found, or was told of."""
    if not await queries.standing(tx, organisation, held.key, held.handler, held.since_us) or not await queries.mark(
        tx, organisation, held.key, reason, held.handler, held.since_us, now_us
    ):
        return
    handlers = await _handlers(tx, organisation, held.handler)
    above = [one for one in await heads(tx, organisation, rules) if one not in handlers]
    name = _GROUPS.get(held.handler) or await queries.name_of(tx, held.handler)
    late = reason is Reason.OVERDUE
    notices = []
    if reason is not Reason.IDLE_HEAD:
        kind = NoticeKind.DOCUMENT_OVERDUE if late else NoticeKind.DOCUMENT_IDLE
        document = held.id if held.what == "document" else None
        notices += [_notice(organisation, one, kind, held, reason, held.number, document, now_us) for one in handlers]
    if reason is not Reason.IDLE:
        kind = NoticeKind.OVERDUE_BELOW if late else NoticeKind.IDLE_BELOW
        # The head hears who and which number, not what it is about: being told widens nobody's reading (C1).
        notices += [
            _notice(organisation, one, kind, held, reason, f"{held.number} · {name}", None, now_us) for one in above
        ]
    await tell(tx, notices, now_us=now_us)
    if event := _EVENTS.get(reason):
        await audit.append(
            tx, f"{_LOGGED.get(held.what, held.what)}.{event}", organisation=organisation, actor=SYSTEM, subject=held.id, body={"handler": held.handler, "since_us": held.since_us},
            now_us=now_us,
        )  # fmt: skip


async def _handlers(tx: Transaction, organisation: str, handler: str) -> list[str]:
    if handler == LEADERS:
        return await queries.in_role(tx, organisation, Role.LEADER)
    if handler == UNIT:
        return await queries.acting(tx, organisation)
    return [handler] if handler else await queries.clerks(tx, organisation)


def _notice(
    organisation: str, person: str, kind: NoticeKind, held: Held, reason: Reason, headline: str, document: str | None, now_us: int
) -> NewNotice:  # fmt: skip
    return NewNotice(
        organisation=organisation, person=person, kind=kind, urgency=held.urgency, about=about(reason, held.key), headline=headline[:300],
        expires_us=now_us + lifetime_us(kind), document=document,
    )  # fmt: skip
