"""Watches the rules' deadlines: clerks are warned before, and told with a line in the log and the feed after (TIM-1 to TIM-5).

Each warning and each report is made once, by whichever process comes first. What was settled in time is never mentioned.
"""

from collections.abc import Mapping

import structlog

from server import audit
from server.clock import Clock
from server.db import Database, Reads, Transaction
from server.documents.queries import clerks
from server.documents.service import SYSTEM, announce
from server.exchange import queries
from server.exchange.deadlines import Deadline, about_deadline, receipt, registering, sending
from server.exchange.queries import Pending
from server.jobs import Context, Handler, Job, Periodic
from server.notices.model import NewNotice, NoticeKind, lifetime_us
from server.notices.queries import rules as rules_of
from server.notices.rules import Rules, read
from server.notices.service import tell

log = structlog.get_logger()

_EVERY_S = 60
_DEADLINES = {"document": sending, "arrival": registering}


class DeadlineTasks:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        return {}

    def periodic(self) -> list[Periodic]:
        return [Periodic(kind="exchange.deadlines", every_s=_EVERY_S, handler=self.watch)]

    async def watch(self, _job: Job, _context: Context) -> None:
        await self.look()

    async def look(self) -> int:
        """Warn and report what is due now; how many of both."""
        now_us = self._clock.now_us()
        rules: dict[str, Rules] = {}
        told = 0
        for pending in await queries.pending(self._db, now_us):
            if pending.organisation not in rules:
                rules[pending.organisation] = await _rules(self._db, pending.organisation)
            deadline = _deadline(pending, rules[pending.organisation])
            if now_us >= deadline.due_us or (now_us >= deadline.warn_us and not pending.warned):
                told += await self._db.transact(
                    lambda tx, pending=pending, deadline=deadline: self._tell(tx, pending, deadline, now_us)  # type: ignore[misc]
                )
        return told

    async def _tell(self, tx: Transaction, pending: Pending, deadline: Deadline, now_us: int) -> int:
        missed = now_us >= deadline.due_us
        # What was sent, confirmed or registered since it was looked up is not mentioned.
        if not await queries.still_pending(tx, pending) or not await queries.mark_deadline(
            tx, pending.subject, deadline.rule.value, deadline.due_us, now_us, missed=missed
        ):
            return 0
        kind = NoticeKind.DEADLINE_MISSED if missed else NoticeKind.DEADLINE_NEAR
        is_arrival = pending.what == "arrival"
        about = "arrival" if is_arrival else "document"
        notices = [
            NewNotice(
                organisation=pending.organisation,
                person=clerk,
                kind=kind,
                urgency=pending.urgency,
                about=about_deadline(f"{about}:{pending.shown}", deadline.rule),
                headline=pending.title[:300],
                expires_us=now_us + lifetime_us(kind),
                document=None if is_arrival else pending.shown,
                revision=2 if missed else 1,
            )
            for clerk in await clerks(tx, pending.organisation)
        ]
        await tell(tx, notices, now_us=now_us)
        if missed:
            await self._report(tx, pending, deadline, now_us)
        return 1

    async def _report(self, tx: Transaction, pending: Pending, deadline: Deadline, now_us: int) -> None:
        detail: dict[str, object] = {"rule": deadline.rule.value, "due_us": deadline.due_us}
        if pending.what == "receipt":
            detail["receivers"] = await queries.unheard(tx, pending.subject)
        about = "arrival" if pending.what == "arrival" else "document"
        kind = f"{about}.deadline_missed"
        await audit.append(
            tx, kind, organisation=pending.organisation, actor=SYSTEM, subject=pending.shown, body=detail, now_us=now_us
        )
        await announce(
            tx, pending.shown, kind, pending.state, organisation=pending.organisation, data={about: pending.shown}, detail=detail, now_us=now_us
        )  # fmt: skip
        rule, shown = deadline.rule.value, pending.shown
        tx.after_commit(lambda: log.warning("deadline-missed", rule=rule, subject=shown))


async def _rules(db: Reads, organisation: str) -> Rules:
    return read(await rules_of(db, organisation))


def _deadline(pending: Pending, rules: Rules) -> Deadline:
    if pending.what == "receipt":
        return receipt(pending.since_us, rules)
    return _DEADLINES[pending.what](pending.since_us, pending.urgency, rules)
