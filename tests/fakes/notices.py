"""An organisation with phones whose notices are worked off by hand: a clock that a test moves, recorders for the push services, both databases."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

from push.dispatcher import Dispatcher, LaneSettings
from push.model import Lane as PushLane
from push.outcome import Outcome
from push.transports.recorder import RecorderTransport
from server import jobs
from server.db import Database, Transaction
from server.identity.model import Actor, Role
from server.jobs import queries as job_queries
from server.notices.arrangements import ArrangementService
from server.notices.model import NewNotice, NoticeKind
from server.notices.service import NoticeService, tell
from server.notices.tasks import NoticeTasks
from tests.fakes.clock import FrozenClock

ORGANISATION = "o1"
DAY_US = 86_400_000_000


class Killed(BaseException):
    """The worker died here: what it had not committed never happened."""


class House:
    """`sent` holds (channel, address, lane, notice, silent) of every message that left, in order."""

    def __init__(self, db: Database, now_us: int) -> None:
        self.db = db
        self.clock = FrozenClock(now_us)
        self.sent: list[tuple[str, str, str, str, bool]] = []
        self.transports = {name: {lane: RecorderTransport() for lane in PushLane} for name in ("fcm", "sms", "email")}
        dispatchers = {name: self._dispatcher(name) for name in self.transports}
        self.tasks = NoticeTasks(_Watched(db, self), self.clock, _Identity(), dispatchers)  # type: ignore[arg-type]
        self.notices = NoticeService(db, self.clock)
        self.arrangements = ArrangementService(db, self.clock, frozenset(self.transports))
        self.transactions = 0
        self.dies_before = self.dies_after = 0
        self.dead = False
        self.before_send: Callable[[], Any] | None = None

    def _dispatcher(self, name: str) -> Dispatcher:
        lanes = {
            lane: LaneSettings(transport=_Recording(self, name, lane, recorder), concurrency=8)
            for lane, recorder in self.transports[name].items()
        }
        return Dispatcher(lanes, now_us=self.clock.now_us, monotonic_us=self.clock.monotonic_us)

    async def person(self, id_: str, *roles: Role, devices: int = 1, phone: str = "", email: str = "") -> Actor:
        async def body(tx: Transaction) -> None:
            await tx.execute(
                "INSERT INTO organisations (id, code, name, created_us) VALUES ($1, 'X01', 'Xã Mẫu', 1) ON CONFLICT DO NOTHING", ORGANISATION
            )  # fmt: skip
            await tx.execute(
                "INSERT INTO people (id, organisation, name, position, authority_line, state, locale, created_us) VALUES ($1, $2, $3, 'CHUYÊN VIÊN', '',"
                " 'active', 'vi', 1)",
                id_, ORGANISATION, f"Người {id_}",
            )  # fmt: skip
            for role in roles:
                await tx.execute(
                    "INSERT INTO roles (person, role, granted_by, granted_us) VALUES ($1, $2, 'x', 1)", id_, role.value
                )
            for number in range(devices):
                await add_device(tx, id_, f"{id_}-{number}")
            if phone or email:
                await tx.execute(
                    "INSERT INTO notice_settings (person, organisation, phone, email, updated_us) VALUES ($1, $2, $3, $4, 1)", id_, ORGANISATION, phone, email
                )  # fmt: skip

        await self.db.transact(body)
        return Actor(
            kind="person", id=id_, organisation=ORGANISATION, roles=frozenset(roles), device=f"{id_}-0" if devices else None
        )  # fmt: skip

    async def tell(self, *people: str, urgency: int = 3, **values: Any) -> list[str]:
        now_us = self.clock.now_us()
        kind = values.pop("kind", NoticeKind.MEETING_INVITED)
        about = values.pop("about", None)
        values.setdefault("expires_us", now_us + 7 * DAY_US)
        notices = [
            NewNotice(
                organisation=ORGANISATION, person=person, kind=kind, urgency=urgency, about=about or f"meeting:{uuid.uuid4().hex}", **values
            )
            for person in people
        ]  # fmt: skip
        return await self.db.transact(lambda tx: tell(tx, notices, now_us=now_us))

    async def work(self, *, until_us: int | None = None) -> None:
        """Work off what is due; with `until_us`, move the clock from one due time to the next up to there."""
        while True:
            while await self._some():
                pass
            if until_us is None:
                return
            row = await self.db.fetch_one("SELECT min(due_us) AS due_us FROM jobs WHERE state = 'waiting'")
            due_us = None if row is None else row["due_us"]
            if due_us is None or due_us > until_us:
                self.clock.advance((until_us - self.clock.now_us()) / 1e6)
                return
            self.clock.advance(max(0, due_us - self.clock.now_us()) / 1e6)

    async def _some(self) -> bool:
        """Claim what is due in each lane and run it. A killed worker's leases have ended when the next one claims."""
        now_us = self.clock.now_us()
        found = []
        for lane in jobs.Lane:
            found += await self.db.transact(
                lambda tx, lane=lane: job_queries.claim(  # type: ignore[misc]
                    tx,
                    self.db.dialect,
                    lane,
                    owner=uuid.uuid4().hex,
                    limit=64,
                    now_us=now_us,
                    lease_end_us=now_us,
                    timed_first=False,
                )
            )
        for job in found:
            if self.before_send is not None and job.kind == "push.deliver":
                await self.before_send()
            context = jobs.Context(self.db, self.clock, job, job_queries.finish)
            try:
                await self.tasks.handlers()[job.kind](job, context)
            except jobs.LeaseLost:
                continue
            except Killed:
                await asyncio.sleep(0)  # what ran beside it has died as well
                self.dead = False
                return True
            if not context.finished:
                await self.db.transact(lambda tx, job=job: job_queries.finish(tx, job))  # type: ignore[misc]
        return bool(found)


class _Watched:
    """The database as the worker has it: it dies before or after the commit that the house names."""

    def __init__(self, db: Database, house: House) -> None:
        self._db = db
        self._house = house

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def transact(self, body: Callable[[Transaction], Any], **options: Any) -> Any:
        house = self._house
        if house.dead:
            raise Killed
        house.transactions += 1
        if house.transactions == house.dies_before:
            house.dead = True
            raise Killed
        done = await self._db.transact(body, **options)
        if house.transactions == house.dies_after:
            house.dead = True
            raise Killed
        return done


class _Recording:
    """A push service that the test may answer for, before the answer is known."""

    def __init__(self, house: House, name: str, lane: PushLane, recorder: RecorderTransport) -> None:
        self._house, self._name, self._lane, self._recorder = house, name, lane, recorder

    async def send(self, address: Any, payload: Any) -> Outcome:
        self._house.sent.append((self._name, address.value, self._lane.value, payload.data["id"], payload.silent))
        return await self._recorder.send(address, payload)

    async def close(self) -> None:
        await self._recorder.close()


class _Identity:
    async def address_dead(self, tx: Transaction, device: str, transport: str, _address: str) -> None:
        await tx.execute(
            "UPDATE push_addresses SET state = 'dead' WHERE device = $1 AND transport = $2", device, transport
        )


async def add_device(tx: Transaction, person: str, id_: str, organisation: str = ORGANISATION) -> None:
    await tx.execute(
        "INSERT INTO devices (id, person, organisation, session_key, session_jwk, approval_key, approval_jwk, label, platform, office, state, created_us, seen_us)"
        " VALUES ($1, $2, $3, $1, 'x', $1, 'x', '', 'android', 0, 'active', 1, 1)",
        id_, person, organisation,
    )  # fmt: skip
    await tx.execute(
        "INSERT INTO push_addresses (address, device, transport, kind, value, state, seen_us) VALUES ($1, $1, 'fcm', 'registration_token', $1, 'active', 1)",
        id_,
    )


async def another_device(db: Database, person: str) -> None:
    await db.transact(lambda tx: add_device(tx, person, f"{person}-1"))
