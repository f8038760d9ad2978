"""Jobs of meetings: invitations by e-mail, and asking again whoever has not answered."""

from collections.abc import Mapping
from typing import Protocol

import structlog

from push.model import Address, AddressKind
from push.outcome import Delivered, Misconfigured, Outcome, RetryAfter
from push.transports.email import CalendarMail
from server.clock import Clock
from server.db import Database, Transaction
from server.jobs import Context, Handler, Job, Periodic, Retry
from server.meetings import mail, queries
from server.meetings.model import MailInvitation, Remind
from server.meetings.service import remind

log = structlog.get_logger()


class Mailer(Protocol):
    """What carries the mails."""

    @property
    def sender(self) -> str:
        """The mailbox in From, and the organiser's in the calendar."""

    async def invite(self, address: Address, mail: CalendarMail) -> Outcome:
        """Send once; never raises for what the mail server does."""


class MeetingTasks:
    """Without a `mailer` this installation sends no mail, and what was asked for says so."""

    def __init__(self, db: Database, clock: Clock, mailer: Mailer | None) -> None:
        self._db = db
        self._clock = clock
        self._mailer = mailer

    def handlers(self) -> Mapping[str, Handler]:
        return {"meetings.mail": self.mail, "meetings.remind": self.remind}

    def periodic(self) -> list[Periodic]:
        return []

    async def remind(self, job: Job, context: Context) -> None:
        asked = job.decode(Remind)

        async def body(tx: Transaction) -> None:
            await remind(tx, asked, self._clock.now_us())
            await context.finish(tx)

        await self._db.transact(body)

    async def mail(self, job: Job, context: Context) -> None:
        """Send it as things stand now: a later revision, an answer to the rules, a meeting that began make it needless."""
        asked = job.decode(MailInvitation)
        row = await mail.current(self._db, asked, self._clock.now_us())
        found = None if row is None else await mail.mailbox(self._db, row, asked.person)
        if row is None or found is None or self._mailer is None:
            await self._settle(asked, context, "unsent", "no-longer" if self._mailer else "no-mail-server")
            return
        address, content = found
        details, off = await mail.said_to(self._db, row, asked.person)
        said = mail.written(
            row, details, asked, job.id, to=address, sender=self._mailer.sender, organisation=await queries.organisation_name(self._db, row.organisation), content=content,
            off=off, now_us=self._clock.now_us(),
        )  # fmt: skip
        match await self._mailer.invite(Address(kind=AddressKind.EMAIL, value=address), said):
            case Delivered():
                await self._settle(asked, context, "sent", "")
            case RetryAfter(cause=cause):
                raise Retry(None, cause.value)
            case Misconfigured(reason=reason):
                log.error("mail-misconfigured", reason=reason)
                raise Retry(60.0, reason)
            case outcome:
                await self._settle(asked, context, "unsent", getattr(outcome, "reason", "refused"))

    async def _settle(self, asked: MailInvitation, context: Context, state: str, outcome: str) -> None:
        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            await queries.settle_mail(
                tx, asked.meeting, asked.person, asked.sequence, asked.method, state=state, outcome=outcome, sent_us=now_us if state == "sent" else None
            )  # fmt: skip
            await context.finish(tx)

        await self._db.transact(body)
