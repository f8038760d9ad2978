"""The job that pushes: outcomes of `push` become the state of a delivery (fcm.md §2)."""

import random
from collections.abc import Mapping

import structlog

from push.dispatcher import Dispatcher
from push.model import Address, AddressKind, Language, Notice
from push.outcome import Delivered, Misconfigured, Outcome, Rejected, RetryAfter, TokenDead, Withheld
from push.schedule import next_attempt_us
from server import audit
from server.clock import Clock
from server.db import Database, Row, Transaction
from server.identity.service import ACTIVATE_PUSH, ACTIVATION_US, ActivatePush, IdentityService
from server.jobs import Bury, Context, Handler, Job, Periodic, Retry
from server.notices import queries
from server.notices.model import Deliver, interruption_of, push_lane_of

log = structlog.get_logger()

_MISCONFIGURED_PAUSE_S = 60.0
_KINDS = {
    "registration_token": AddressKind.TOKEN,
    "installation": AddressKind.FID,
    "subscription": AddressKind.SUBSCRIPTION,
}


class NoticeTasks:
    """`dispatchers`: by transport (`fcm`, `webpush`). Where one is missing the inbox is the truth, and deliveries say so."""

    def __init__(
        self, db: Database, clock: Clock, identity: IdentityService, dispatchers: Mapping[str, Dispatcher]
    ) -> None:
        self._db = db
        self._clock = clock
        self._identity = identity
        self._dispatchers = dispatchers

    def handlers(self) -> Mapping[str, Handler]:
        return {"push.deliver": self.deliver, ACTIVATE_PUSH: self.activate}

    def periodic(self) -> list[Periodic]:
        return []

    async def deliver(self, job: Job, context: Context) -> None:
        """Push one notice to one device. State and address are read now, not when it was queued (C14, NOT-4)."""
        id_ = job.decode(Deliver).delivery
        row = await queries.delivery(self._db, id_)
        if row is None or row["state"] != "queued":
            return
        dispatcher = self._dispatchers.get(row["transport"])
        if dispatcher is None or row["value"] is None:
            state = "no_transport" if dispatcher is None else "no_address"
            await self._settle(context, id_, state, state)
            return
        outcome = await dispatcher.deliver(
            Address(kind=_KINDS[row["address_kind"]], value=row["value"]),
            Notice(
                notice_id=row["notice"], lane=push_lane_of(row["urgency"]), urgency=interruption_of(row["urgency"]), expires_us=row["expires_us"],
                revision=row["revision"],
            ),
            language=_language(row),
            still_wanted=lambda: queries.still_wanted(self._db, row["notice"]),
        )  # fmt: skip
        await self._apply(job, context, row, outcome)

    async def activate(self, job: Job, context: Context) -> None:
        """Push its challenge to an address that a device named; it is used when the device gives it back."""
        address = job.decode(ActivatePush).address
        row = await self._identity.pending_address(self._db, address)
        dispatcher = None if row is None else self._dispatchers.get(row["transport"])
        if row is None or dispatcher is None:
            return

        async def still_wanted() -> bool:
            now = await self._identity.pending_address(self._db, address)
            return now is not None and now["challenge"] == row["challenge"]

        expires_us = row["seen_us"] + ACTIVATION_US
        outcome = await dispatcher.activate(
            Address(kind=_KINDS[row["kind"]], value=row["value"]),
            row["challenge"],
            language=_language(row),
            expires_us=expires_us,
            still_wanted=still_wanted,
        )
        match outcome:
            case TokenDead(reason=reason):
                await self._forget(context, row, reason)
            case RetryAfter():
                at_us = self._next(job, outcome, expires_us)
                if at_us is not None:
                    raise Retry((at_us - self._clock.now_us()) / 1e6, outcome.cause.value)
            case Misconfigured(reason=reason):
                log.error("push-misconfigured", reason=reason)
                raise Retry(_MISCONFIGURED_PAUSE_S, "misconfigured")
            case Rejected(reason=reason):
                raise Bury(reason)
            case Delivered() | Withheld():
                pass

    async def _apply(self, job: Job, context: Context, row: Row, outcome: Outcome) -> None:
        id_ = str(row["id"])
        match outcome:
            case Delivered():
                await self._settle(context, id_, "accepted", "delivered")
            case TokenDead(reason=reason):
                await self._prune(context, row, reason)
            case Withheld(reason=reason):
                await self._settle(context, id_, reason, reason)
            case RetryAfter():
                await self._again(job, context, row, outcome)
            case Misconfigured(reason=reason):
                log.error("push-misconfigured", reason=reason)
                await self._db.transact(lambda tx: queries.count_attempt(tx, id_, reason))
                raise Retry(_MISCONFIGURED_PAUSE_S, "misconfigured")
            case Rejected(reason=reason):
                await self._settle(context, id_, "rejected", reason, finish=False)
                raise Bury(reason)

    async def _again(self, job: Job, context: Context, row: Row, outcome: RetryAfter) -> None:
        id_, now_us = str(row["id"]), self._clock.now_us()
        at_us = self._next(job, outcome, row["expires_us"])
        if at_us is None:
            await self._settle(context, id_, "expired", outcome.cause.value)
            return
        await self._db.transact(lambda tx: queries.count_attempt(tx, id_, outcome.cause.value))
        raise Retry((at_us - now_us) / 1e6, outcome.cause.value)

    def _next(self, job: Job, outcome: RetryAfter, expires_us: int) -> int | None:
        return next_attempt_us(
            outcome, attempt=job.attempt, now_us=self._clock.now_us(), expires_us=expires_us, jitter=random.random()  # noqa: S311 - jitter
        )  # fmt: skip

    async def _settle(self, context: Context, id_: str, state: str, outcome: str, *, finish: bool = True) -> None:
        async def body(tx: Transaction) -> None:
            accepted_us = self._clock.now_us() if state == "accepted" else None
            await queries.settle(tx, id_, state=state, outcome=outcome, now_us=accepted_us)
            if finish:
                await context.finish(tx)

        await self._db.transact(body)

    async def _prune(self, context: Context, row: Row, reason: str) -> None:
        """The address is dead: forget it with an audit event; other devices have deliveries of their own."""
        await self._forget(context, row, reason, delivery=str(row["id"]))

    async def _forget(self, context: Context, row: Row, reason: str, delivery: str = "") -> None:
        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            if delivery:
                await queries.settle(tx, delivery, state="dead", outcome=reason, now_us=None)
            await self._identity.address_dead(tx, row["device"], row["transport"], row["address"])
            await audit.append(
                tx, "push.address_dead", organisation="", actor="system", subject=row["device"], body={"transport": row["transport"], "reason": reason},
                now_us=now_us,
            )  # fmt: skip
            await context.finish(tx)

        await self._db.transact(body)


def _language(row: Row) -> Language:
    return Language.ENGLISH if row["locale"] == "en" else Language.VIETNAMESE
