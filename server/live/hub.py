"""The open streams of one process, and the one task that looks into the database for all of them.

Nothing is queued: a stream knows what its client was told and what is true now, so that a slow client hears of many changes at once and
takes no more memory than another. A wake-up says whom to look for; every few seconds all are looked for, whatever was heard (D9).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final

import structlog

from server.bus import Bus
from server.clock import Clock
from server.db import Database, DatabaseError, Isolation, Transaction
from server.errors import Refused
from server.identity.model import Actor
from server.ids import new_id
from server.live import queries
from server.live.model import BEAT, Places, events
from server.live.service import CHANNEL

_log = structlog.get_logger()

POLL_S: Final = 3.0
BEAT_S: Final = 15.0
_GATHER_S: Final = 0.05
"""What changes at once is looked up at once."""
_PAUSE_S: Final = 1.0
_GATHERED: Final = 50
_FAR: Final = 5000
"""Changes of an organisation. Whoever is further behind hears that there are some, and not first whether one of them is for him."""


class Stream:
    """What one client was told, and what there is."""

    __slots__ = ("_clock", "_now", "_told", "_woken", "device", "ended", "id", "organisation", "person", "until_us")

    def __init__(self, actor: Actor, told: Places | None, until_us: int, clock: Clock) -> None:
        assert actor.device is not None
        self.id = new_id()
        self.person, self.organisation, self.device = actor.id, actor.organisation, actor.device
        self.ended = False
        self._told = told
        self._now = Places() if told is None else told
        self.until_us = until_us
        self._clock = clock
        self._woken = asyncio.Event()

    def reach(self, places: Places) -> None:
        """There is something up to `places`."""
        reached = self._now.reach(places)
        if reached != self._now:
            self._now = reached
            self._woken.set()

    def begin(self, places: Places) -> None:
        """What the database held when the stream was opened; a client that claims more has to look at everything."""
        if self._told is not None and any(before > after for before, after in zip(self._told, places, strict=True)):
            self._told, self._now = None, Places()
        self.reach(places)

    def end(self) -> None:
        self.ended = True
        self._woken.set()

    async def next(self) -> bytes:
        """The next bytes for the client, empty at the end: when its token ends, or when it was ended."""
        while True:
            left_s = (self.until_us - self._clock.now_us()) / 1e6
            if self.ended or left_s <= 0:
                return b""
            self._woken.clear()
            if body := events(self._told, self._now):
                self._told = self._now
                return body
            if not await self._wait(min(BEAT_S, left_s)) and left_s > BEAT_S:
                return BEAT

    async def _wait(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._woken.wait()
        return False


class Hub:
    """`most`: streams of this process; `most_each`: of one person, whose oldest gives way to the newest (a phone that changed its network)."""

    def __init__(
        self, db: Database, bus: Bus, clock: Clock, *, most: int, most_each: int, poll_s: float = POLL_S
    ) -> None:
        self._db = db
        self._clock = clock
        self._most, self._most_each = most, most_each
        self._poll_s = poll_s
        self._streams: dict[str, dict[str, Stream]] = {}
        self._organisations: dict[str, int] = {}
        """Of those with streams: the place of the feed up to which they were told."""
        self._named: set[str] = set()
        self._everybody = False
        self._ended: list[str] = []
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        bus.subscribe(CHANNEL, self._hear)

    @property
    def streams(self) -> list[Stream]:
        return [stream for each in self._streams.values() for stream in each.values()]

    async def open(self, actor: Actor, told: Places | None, until_us: int) -> Stream:
        """A stream of the actor's device, until `until_us`. Raises: Refused("busy") when the process holds as many as it may."""
        if self._closed or sum(map(len, self._streams.values())) >= self._most:
            raise Refused("busy")
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        stream = Stream(actor, told, until_us, self._clock)
        mine = self._streams.setdefault(actor.id, {})
        for oldest in list(mine.values())[: max(0, len(mine) + 1 - self._most_each)]:
            oldest.end()
            self.close(oldest)
        self._streams.setdefault(actor.id, {})[stream.id] = stream
        try:
            await self._begin(stream, told)
        except BaseException:
            self.close(stream)
            raise
        return stream

    def close(self, stream: Stream) -> None:
        """Its client has gone. May be repeated."""
        self._forget(stream)
        self._ended.append(stream.id)
        self._woken.set()

    def end(self) -> None:
        """End every stream and open no more; clients come again, to another process (D11)."""
        self._closed = True
        for stream in self.streams:
            stream.end()
            self.close(stream)

    async def stop(self) -> None:
        self.end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            with contextlib.suppress(DatabaseError):
                await self._sweep()

    async def _begin(self, stream: Stream, told: Places | None) -> None:
        """It is among the streams already: what is committed while this reads comes to it as well."""
        now_us = self._clock.now_us()
        await self._write(lambda tx: queries.open_stream(tx, stream.id, stream.device, stream.until_us, now_us))
        places = (await queries.places(self._db, [stream.person])).get(stream.person, Places())
        seq = (await queries.last_changes(self._db, [stream.organisation])).get(stream.organisation, 0)
        self._organisations.setdefault(stream.organisation, seq)
        newest = seq
        if told is not None and 0 <= seq - told.changes <= _FAR:
            last = await queries.last_change_for(self._db, stream.organisation, stream.person, told.changes)
            newest = max(last, told.changes)
        stream.begin(places._replace(changes=newest))
        self._name([f"o{stream.organisation}"])

    def _forget(self, stream: Stream) -> None:
        mine = self._streams.get(stream.person, {})
        mine.pop(stream.id, None)
        if not mine:
            self._streams.pop(stream.person, None)

    def _hear(self, message: bytes | None) -> None:
        if not self._streams:
            return
        if not message:
            self._everybody = True
            self._woken.set()
        else:
            self._name(message.decode("ascii", "replace").split(","))

    def _name(self, named: Iterable[str]) -> None:
        here = [
            one for one in named if (self._streams if one[:1] == "p" else self._organisations).get(one[1:]) is not None
        ]
        if here:
            self._named.update(here)
            self._woken.set()

    async def _run(self) -> None:
        time = asyncio.get_running_loop().time
        due_s = time() + self._poll_s
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due_s):
                    await self._woken.wait()
            self._woken.clear()
            everybody, self._everybody = self._everybody or time() >= due_s, False
            if everybody:  # by the clock and not by the silence: wake-ups may never cease
                due_s = time() + self._poll_s
            named, self._named = self._named, set()
            try:
                await self._look(named, everybody=everybody)
            except Exception as error:  # everybody's stream hangs on this task
                _log.warning("live-not-looked", error=type(error).__name__)
                self._everybody = True
                await asyncio.sleep(_PAUSE_S)
            await asyncio.sleep(_GATHER_S)

    async def _look(self, named: set[str], *, everybody: bool) -> None:
        if everybody:
            still = {stream.organisation for stream in self.streams}
            self._organisations = {one: seq for one, seq in self._organisations.items() if one in still}
            await self._end_signed_out()
        people = list(self._streams) if everybody else [one[1:] for one in named if one[0] == "p"]
        for person, places in (await queries.places(self._db, people)).items():
            self._reach(person, places)
        organisations = list(self._organisations) if everybody else [one[1:] for one in named if one[0] == "o"]
        for organisation, seq in (await queries.last_changes(self._db, organisations)).items():
            before = self._organisations.get(organisation, seq)
            if seq <= before:
                continue
            for person, newest in (await queries.concerned(self._db, organisation, before)).items():
                self._reach(person, Places(changes=newest))
            if organisation in self._organisations:
                self._organisations[organisation] = seq
        await self._sweep()  # the last: who cannot write, because a volume is full, still tells
        if everybody:
            for person in (await queries.scattered(self._db, people))[:_GATHERED]:
                await self._write(partial(queries.gather, person=person))

    def _reach(self, person: str, places: Places) -> None:
        for stream in self._streams.get(person, {}).values():
            stream.reach(places)

    async def _end_signed_out(self) -> None:
        """Revoked, logged out or gone: such a device hears nothing more, though its token might live."""
        devices = {stream.device for stream in self.streams}
        known = await queries.signed_in(self._db, list(devices), self._clock.now_us())
        for stream in self.streams:
            if stream.device in devices - known:
                stream.end()

    async def _sweep(self) -> None:
        ended, self._ended = self._ended, []
        if ended:
            try:
                await self._write(lambda tx: queries.close_streams(tx, ended))
            except DatabaseError:
                self._ended += ended
                raise

    async def _write(self, body: Callable[[Transaction], Awaitable[None]]) -> None:
        """Each statement is about rows of its own; a thousand clients that come again at once would only collide."""
        await self._db.transact(body, isolation=Isolation.READ_COMMITTED)
