"""The job that pushes: outcomes of `push` become the state of a delivery (fcm.md §2)."""

import asyncio
import random
from collections.abc import Mapping

import msgspec
import structlog

from push.dispatcher import Dispatcher
from push.model import Address, AddressKind, Language, Notice
from push.outcome import Delivered, Misconfigured, Outcome, Rejected, RetryAfter, TokenDead, Withheld
from push.schedule import next_attempt_us
from server import audit, crash, jobs
from server.clock import Clock
from server.db import Database, Row, Transaction
from server.identity.service import ACTIVATE_PUSH, ACTIVATION_US, ActivatePush, IdentityService
from server.jobs import Bury, Context, Handler, Job, Lane, Periodic, Retry
from server.notices import announcements, chains, queries
from server.notices.calendar import held_until
from server.notices.deliveries import deliver_to_devices, hold, send, within_budget
from server.notices.model import PUSH_LANES, Deliver, DeliveryState, Escalate, Purpose, Release, interruption_of
from server.notices.precedence import Precedence
from server.notices.rules import DEFAULT, Budget, Hours, read

log = structlog.get_logger()


class _Again(msgspec.Struct, frozen=True):
    """A delivery that waits for `at_us`; without a `reason` it was not tried."""

    delivery: str
    at_us: int
    reason: str | None


_MISCONFIGURED_PAUSE_US = 60_000_000
_LATE_US = 60_000_000
_LATE_CHAINS = 500
_APP_OPEN_US = 2_000_000
"""How long the first push to a device waits for its open app to say that it shows the notice. What the app does not confirm is pushed."""
_KINDS = {
    "registration_token": AddressKind.TOKEN,
    "installation": AddressKind.FID,
    "subscription": AddressKind.SUBSCRIPTION,
    "phone": AddressKind.PHONE,
    "email": AddressKind.EMAIL,
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
        self._precedence = Precedence()

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "push.deliver": self.deliver,
            "notices.release": self.release,
            "notices.escalate": self.escalate,
            ACTIVATE_PUSH: self.activate,
        }

    def periodic(self) -> list[Periodic]:
        return [
            Periodic(kind="notices.rearm", every_s=60, handler=self.rearm, lane=Lane.URGENT),
            Periodic(kind="notices.sweep", every_s=86_400, handler=self.sweep),
        ]

    async def sweep(self, _job: Job, _context: Context) -> None:
        """What other systems announced long ago is forgotten."""
        await announcements.sweep(self._db, self._clock.now_us())

    async def rearm(self, _job: Job, _context: Context) -> None:
        """Chains whose job is gone go on, a minute late at most (NOT-4)."""
        late_us = self._clock.now_us() - _LATE_US
        await self._db.transact(lambda tx: chains.rearm(tx, late_us, _LATE_CHAINS))

    async def deliver(self, job: Job, context: Context) -> None:
        """Push deliveries side by side; each is settled by itself, so that a worker that dies repeats only those without an answer."""
        asked = job.decode(Deliver)
        left = await asyncio.gather(*(self._in_turn(id_, job.lane) for id_ in asked.deliveries or (asked.delivery,)))
        again = [one for one in left if isinstance(one, _Again)]

        async def body(tx: Transaction) -> None:
            for one in again:
                if one.reason is not None:
                    await queries.count_attempt(tx, one.delivery, one.reason)
                await jobs.enqueue(
                    tx, "push.deliver", Deliver(delivery=one.delivery), lane=job.lane, run_at_us=one.at_us
                )
            await context.finish(tx)

        rejected = next((one for one in left if isinstance(one, str)), None)
        if rejected is not None and not again:
            raise Bury(rejected)
        await self._db.transact(body)

    async def _in_turn(self, id_: str, lane: Lane) -> "_Again | str | None":
        async with self._precedence.place(lane):
            return await self._deliver(id_)

    async def _deliver(self, id_: str) -> "_Again | str | None":
        """Send one delivery as things stand now: state, address, quiet hours, what the device shows, revision and expiry (C14, NOT-4).

        None when it is settled, else when to send it again, or the reason why it was rejected.
        """
        row = await queries.delivery(self._db, id_, self._clock.now_us())
        if row is None or row["state"] != DeliveryState.QUEUED:
            return None
        dispatcher = self._dispatchers.get(row["transport"])
        if dispatcher is None or row["value"] is None:
            state = DeliveryState.NO_TRANSPORT if dispatcher is None else DeliveryState.NO_ADDRESS
            await self._settle(id_, state, state)
            return None
        until_us = held_until(self._clock.now_us(), Lane(row["lane"]), read(row["rules"]), _own_hours(row))
        if until_us is not None and row["purpose"] == Purpose.NOTICE:
            await self._hold(row, until_us)
            return None
        shown_by_us = row["queued_us"] + _APP_OPEN_US
        if (
            row["listens"]
            and row["step"] == 0
            and row["purpose"] == Purpose.NOTICE
            and 0 < shown_by_us - self._clock.now_us() <= _APP_OPEN_US  # a clock that was ahead holds nothing up (D7)
        ):
            return None if await self._settle_seen(id_) else _Again(id_, shown_by_us, None)
        return await self._apply(row, await self._send(dispatcher, row))

    async def _send(self, dispatcher: Dispatcher, row: Row) -> Outcome:
        address = Address(kind=_KINDS[row["address_kind"]], value=row["value"])
        lane = Lane(row["lane"])
        notice = Notice(
            notice_id=row["notice"], lane=PUSH_LANES[lane], urgency=interruption_of(row["urgency"], lane), expires_us=row["expires_us"],
            revision=row["revision"], collapse_id=row["collapse"] or None,
        )  # fmt: skip
        if row["purpose"] == Purpose.CLEAR:
            return await dispatcher.clear(address, notice)
        return await dispatcher.deliver(
            address,
            notice,
            language=_language(row),
            still_wanted=lambda: queries.still_wanted(self._db, row["id"]),
        )

    async def _hold(self, row: Row, until_us: int) -> None:
        async def body(tx: Transaction) -> None:
            await queries.settle(tx, row["id"], state=DeliveryState.HELD, outcome="quiet-hours", now_us=None)
            await hold(tx, row["person"], Lane(row["lane"]), row["urgency"], until_us)

        await self._db.transact(body)

    async def release(self, job: Job, context: Context) -> None:
        """Quiet hours or a storm are over: push what is still open. After a storm one push stands for all, because all is in the inbox (C13)."""
        asked = job.decode(Release)

        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            await context.finish(tx)
            held = await queries.held(tx, asked.person, asked.lane, express=asked.express)
            caps = DEFAULT.caps if not held else read(await queries.rules(tx, held[0]["organisation"])).caps
            budget = Budget.EXPRESS if asked.express else Budget(asked.lane.value)
            if len(held) > caps.of(budget):
                # The newest of the most urgent ones: none of a lower grade may stand before it.
                held = sorted(held, key=lambda one: int(one["urgency"]))[-1:]
            deliveries: list[str] = []
            for place, notice in enumerate(held):
                until_us = await within_budget(tx, asked.person, budget, caps, now_us)
                if until_us is not None and place == 0:
                    # Jobs are due by the database's clock (D7): by ours the hour is not over yet. Nothing was pushed for what is held.
                    await hold(tx, asked.person, asked.lane, notice["urgency"], until_us)
                    return
                if until_us is not None:
                    break
                deliveries += await queries.free(tx, notice["id"])
                deliveries += await deliver_to_devices(
                    tx, notice["id"], notice["organisation"], asked.person, step=0, held=False, now_us=now_us
                )
            await queries.fold(tx, asked.person, asked.lane, express=asked.express)
            await send(tx, asked.lane, deliveries)

        await self._db.transact(body)

    async def escalate(self, job: Job, context: Context) -> None:
        """One step of a chain, with the next one's job, in one transaction."""
        asked = job.decode(Escalate)

        async def body(tx: Transaction) -> None:
            await chains.step(tx, asked, self._dispatchers, self._clock.now_us())
            crash.point("notices.escalated")
            await context.finish(tx)

        await self._db.transact(body)

    async def activate(self, job: Job, _context: Context) -> None:
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
                await self._forget(row, reason)
            case RetryAfter():
                at_us = self._next(job.attempt, outcome, expires_us)
                if at_us is not None:
                    raise Retry((at_us - self._clock.now_us()) / 1e6, outcome.cause.value)
            case Misconfigured(reason=reason):
                log.error("push-misconfigured", reason=reason)
                raise Retry(_MISCONFIGURED_PAUSE_US / 1e6, "misconfigured")
            case Rejected(reason=reason):
                raise Bury(reason)
            case Delivered() | Withheld():
                pass

    async def _apply(self, row: Row, outcome: Outcome) -> "_Again | str | None":
        id_ = str(row["id"])
        match outcome:
            case Delivered():
                await self._settle(id_, DeliveryState.ACCEPTED, "delivered")
            case TokenDead(reason=reason) if row["address"] is None:
                await self._settle(id_, DeliveryState.DEAD, reason)
            case TokenDead(reason=reason):
                await self._forget(row, reason, delivery=id_)
            case Withheld(reason=reason):
                if not await self._settle_seen(id_):
                    await self._settle(id_, DeliveryState(reason), reason)
            case RetryAfter():
                at_us = self._next(row["attempts"] + 1, outcome, row["expires_us"])
                if at_us is not None:
                    return _Again(id_, at_us, outcome.cause.value)
                await self._settle(id_, DeliveryState.EXPIRED, outcome.cause.value)
            case Misconfigured(reason=reason):
                log.error("push-misconfigured", reason=reason)
                return _Again(id_, self._clock.now_us() + _MISCONFIGURED_PAUSE_US, reason)
            case Rejected(reason=reason):
                await self._settle(id_, DeliveryState.REJECTED, reason)
                return reason
        return None

    def _next(self, attempt: int, outcome: RetryAfter, expires_us: int) -> int | None:
        return next_attempt_us(
            outcome, attempt=attempt, now_us=self._clock.now_us(), expires_us=expires_us, jitter=random.random()  # noqa: S311 - jitter
        )  # fmt: skip

    async def _settle_seen(self, id_: str) -> bool:
        """Whether the device shows the notice already: then the delivery has done its work."""
        seen = await queries.is_seen(self._db, id_)
        if seen:
            await self._settle(id_, DeliveryState.SEEN, DeliveryState.SEEN)
        return seen

    async def _settle(self, id_: str, state: DeliveryState, outcome: str) -> None:
        accepted_us = self._clock.now_us() if state is DeliveryState.ACCEPTED else None
        await self._db.transact(lambda tx: queries.settle(tx, id_, state=state, outcome=outcome, now_us=accepted_us))

    async def _forget(self, row: Row, reason: str, delivery: str = "") -> None:
        """The address is dead: forget it with an audit event; other devices have deliveries of their own."""

        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            if delivery:
                await queries.settle(tx, delivery, state=DeliveryState.DEAD, outcome=reason, now_us=None)
            await self._identity.address_dead(tx, row["device"], row["transport"], row["address"])
            await audit.append(
                tx, "push.address_dead", organisation="", actor="system", subject=row["device"], body={"transport": row["transport"], "reason": reason},
                now_us=now_us,
            )  # fmt: skip

        await self._db.transact(body)


def _own_hours(row: Row) -> Hours | None:
    return None if row["quiet_from"] is None else Hours(start=row["quiet_from"], end=row["quiet_to"])


def _language(row: Row) -> Language:
    return Language.ENGLISH if row["locale"] == "en" else Language.VIETNAMESE
