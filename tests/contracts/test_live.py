"""Live streams on both engines and over Redis: nothing is missed, whatever is lost; an open app is not pushed what it shows (C1, C7, C12, D9)."""

import asyncio
import random
import subprocess
import sys

import pytest
import pytest_asyncio

from server.bus import LocalBus
from server.bus_redis import RedisBus
from server.clock import SystemClock
from server.db import Dialect, Isolation, StorageFull, open_database, postgres
from server.documents import queries as document_queries
from server.errors import Refused
from server.identity.model import Actor, Role
from server.live import queries
from server.live.hub import Hub
from server.live.model import Places, Topic, places_of
from server.live.routes import EventStream
from server.live.service import connect, touch
from server.live.tasks import LiveTasks
from server.notices.calendar import local_us
from server.notices.model import DeviceEvent
from tests.conftest import program
from tests.fakes.notices import ORGANISATION, House

pytestmark = pytest.mark.asyncio
LONG = 60.0
NEVER_S = 3600.0
SECOND_US = 1_000_000
MONDAY = local_us("2026-11-23T09:00")
ANNA, BINH, CHI = (digit * 32 for digit in "abc")


def actor(person, organisation=ORGANISATION):
    return Actor("person", person, organisation, device=f"{person}-0")


class Client:
    """Reads a stream as a browser does: keeps the last id, and comes back with it."""

    def __init__(self, hub, person, last=None):
        self.hub, self.person = hub, person
        self.last = last
        self.names = []
        self.stream = None
        self._reading = None

    async def __aenter__(self):
        until_us = SystemClock().now_us() + 600 * SECOND_US
        self.stream = await self.hub.open(actor(self.person), places_of(self.last), until_us)
        self._rang = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_):
        self.hub.close(self.stream)
        self._reading.cancel()
        await asyncio.wait([self._reading])

    async def _read(self):
        while body := await self.stream.next():
            for block in body.decode().split("\n\n")[:-1]:
                if not block.startswith(":"):
                    lines = dict(line.split(": ", 1) for line in block.split("\n"))
                    self.last = lines["id"]
                    self.names.append(lines["event"])
            self._rang.set()

    @property
    def places(self):
        return places_of(self.last)

    async def until(self, wanted):
        async with asyncio.timeout(LONG):
            while not wanted(self):
                self._rang.clear()
                await self._rang.wait()


async def settle_in(db, *people):
    """People with a phone each and a session that lives."""
    house = House(db, SystemClock().now_us())
    for person in people:
        await house.person(person, Role.LEADER)

        async def signed_in(tx, person=person):
            await tx.execute(
                "INSERT INTO refresh_families (id, device, generation, state, created_us, rotated_us, expires_us) VALUES ($1, $2, 1, 'active', 1, 1, $3)",
                person, f"{person}-0", 2**60,
            )  # fmt: skip
            await tx.execute(
                "INSERT INTO access_tokens (token_hash, family, device, expires_us) VALUES ($1, $1, $2, $3)",
                person, f"{person}-0", 2**60,
            )  # fmt: skip

        await db.transact(signed_in)
    return house


def hub_of(db, bus, *, poll_s=NEVER_S, most=100, most_each=8):
    hub = Hub(db, bus, SystemClock(), most=most, most_each=most_each, poll_s=poll_s)
    connect(db, bus)
    bus.start()
    return hub


def told(db, person, topic=Topic.NOTICES):
    return db.transact(lambda tx: touch(tx, topic, [person]))


@pytest_asyncio.fixture
async def two(db_url):
    """The same database as two processes have it."""
    one, other = await open_database(db_url), await open_database(db_url)
    yield one, other
    await one.close()
    await other.close()


async def test_places_count_what_changed_however_many_write_at_once(two):
    """Each adds a row of its own: no place is lost or given twice."""
    people = [f"{number:032x}" for number in range(250)]
    await asyncio.gather(*(db.transact(lambda tx: touch(tx, Topic.NOTICES, people[:3])) for db in two * 10))
    await two[0].transact(lambda tx: touch(tx, Topic.MEETINGS, people))
    found = await queries.places(two[1], people)
    assert [found[one] for one in people[:4]] == [Places(0, 20, 1)] * 3 + [Places(0, 0, 1)]
    assert len(found) == 250


async def test_whoever_tells_many_waits_for_nobody_and_nobody_for_him(two, monkeypatch):
    """A long transaction would else fail at each answer of one of those whom it tells."""
    monkeypatch.setattr(postgres, "ATTEMPTS", 1)
    people = [f"{number:032x}" for number in range(100)]
    begun, told_ = asyncio.Event(), asyncio.Event()

    async def broadcast(tx):
        await queries.places(tx, [CHI])
        await touch(tx, Topic.NOTICES, people)
        for _ in range(1000):
            if told_.is_set() or two[0].dialect is Dialect.SQLITE:
                return
            begun.set()
            await tx.fetch_one("SELECT 1 AS one")
        raise AssertionError

    async def answer():
        await begun.wait()
        await told(two[1], people[7])
        told_.set()

    if two[0].dialect is Dialect.SQLITE:
        begun.set()
    await asyncio.gather(two[0].transact(broadcast), answer())
    assert (await queries.places(two[0], people))[people[7]] == Places(0, 2, 0)


async def test_the_rows_of_a_place_are_gathered_and_their_sum_stays(two):
    people = [ANNA, BINH]
    read_committed = Isolation.READ_COMMITTED
    for _ in range(2):
        await asyncio.gather(
            *(told(db, ANNA) for db in two * 9),
            *(told(db, ANNA, Topic.MEETINGS) for db in two),
            *(db.transact(lambda tx: queries.gather(tx, ANNA), isolation=read_committed) for db in two * 3),
        )
    assert await queries.places(two[0], people) == {ANNA: Places(0, 36, 4)}
    await asyncio.gather(*(told(two[0], ANNA) for _ in range(20)))
    assert await queries.scattered(two[0], people) == [ANNA]
    await settle_in(two[0], ANNA)
    hub = hub_of(two[1], LocalBus())
    async with Client(hub, ANNA) as client:
        await client.until(lambda one: one.names == ["reload"])
        await hub._look(set(), everybody=True)
        assert client.places == Places(0, 56, 4)
    await hub.stop()
    assert len(await two[0].fetch_all("SELECT topic FROM live_places")) == 2


async def test_places_of_people_without_a_stream_are_gathered_too(db, monkeypatch):
    """Their rows would grow with every notice; their sums stay, and who has few rows is left alone."""
    monkeypatch.setattr("server.live.tasks._AT_ONCE", 2)
    everybody = [f"{number:032x}" for number in range(5)]
    for _ in range(20):
        await db.transact(lambda tx: touch(tx, Topic.NOTICES, everybody))
        await db.transact(lambda tx: touch(tx, Topic.MEETINGS, everybody[:1]))
    await db.transact(lambda tx: touch(tx, Topic.NOTICES, ["f" * 32]))
    before = await queries.places(db, [*everybody, "f" * 32])
    await LiveTasks(db).gather(None, None)
    assert await queries.places(db, [*everybody, "f" * 32]) == before
    assert (await db.fetch_one("SELECT count(*) AS n FROM live_places"))["n"] == 7


async def test_a_person_s_row_is_locked_last_and_moved_once_a_transaction(db):
    """Else a transaction that holds it would wait for the feed's counter, and the one that holds that would wait for it."""

    async def body(tx):
        for person in (BINH, ANNA, ANNA):
            await touch(tx, Topic.NOTICES, [person])
        assert await queries.places(tx, [ANNA, BINH]) == {}
        return "done"

    async def fails(tx):
        await touch(tx, Topic.NOTICES, [ANNA])
        raise ValueError("undone")

    assert await db.transact(body) == "done"
    with pytest.raises(ValueError, match="undone"):
        await db.transact(fails)
    assert await queries.places(db, [ANNA, BINH]) == {ANNA: Places(0, 1, 0), BINH: Places(0, 1, 0)}


async def test_the_feed_concerns_whom_it_shows(db):
    """C1: exactly those whom `GET /changes` shows something behind a place."""
    house = await settle_in(db, ANNA, BINH)
    await house.person(CHI, Role.CLERK)
    chosen = random.Random(7)

    async def change(tx, number):
        seq = await document_queries.next_change(tx, ORGANISATION)
        await document_queries.insert_change(
            tx, organisation=ORGANISATION, seq=seq, document=f"d{number % 4}", kind="k", tombstone=0, state="s", detail=b"{}", now_us=number
        )  # fmt: skip

    async def documents(tx):
        for number in range(4):
            await tx.execute(
                "INSERT INTO documents (id, organisation, client, state, state_since_us, head, version, page_count, code_number, code_notation, subject, type_name,"
                " urgency, promulgation_place, promulgation_date, header, exchange_id, created_us, updated_us)"
                " VALUES ($1, $2, 'c', 's', 1, 'h', 1, 1, '1', 'x', 'x', 'x', 0, 'x', 'x', $3, $1, 1, 1)",
                f"d{number}", ORGANISATION, b"",
            )  # fmt: skip
            for reader in chosen.sample([ANNA, BINH], number % 3):
                await document_queries.put_reader(
                    tx, person=reader, document=f"d{number}", organisation=ORGANISATION, reason="sign", waiting=0, urgency=0, now_us=1
                )  # fmt: skip

    await db.transact(documents)
    for number in range(8):
        await db.transact(lambda tx, number=number: change(tx, number))
    for after in range(9):
        concerned = await queries.concerned(db, ORGANISATION, after)
        for person in (ANNA, BINH, CHI):
            shown = await document_queries.changes(db, actor(person), after=after, limit=100)
            newest = shown[-1]["seq"] if shown else 0
            assert concerned.get(person, 0) == newest, (after, person)
            assert await queries.last_change_for(db, ORGANISATION, person, after) == newest
        assert await queries.concerned(db, "o2", after) == {}


async def test_a_process_hears_of_what_another_one_commits(two, redis_server):
    """Through Redis alone: nobody polls here."""
    await settle_in(two[0], ANNA, BINH)
    buses = [RedisBus(redis_server.url), RedisBus(redis_server.url)]
    near, far = (hub_of(db, bus) for db, bus in zip(two, buses, strict=True))
    try:
        async with Client(near, ANNA) as here, Client(far, ANNA) as there, Client(far, BINH) as other:
            for client in (here, there, other):
                await client.until(lambda one: one.names == ["reload"])
            for number in range(1, 4):
                await until_told([here, there], two[number % 2], ANNA)
            assert other.names == ["reload"]
            assert here.places == there.places
    finally:
        for each in (near, far):
            await each.stop()
        for bus in buses:
            await bus.close()


async def until_told(clients, db, person):
    before = [client.places.notices for client in clients]
    await told(db, person)
    for client, place in zip(clients, before, strict=True):
        await client.until(lambda one, place=place: one.places.notices > place)


_WRITER = """
import asyncio, sys
from server.bus_redis import RedisBus
from server.db import Dialect, Isolation, StorageFull, open_database, postgres
from server.live.model import Topic
from server.live.service import connect, touch

async def main(url, redis, person):
    db, bus = await open_database(url), RedisBus(redis)
    connect(db, bus)
    bus.start()
    for line in sys.stdin:
        await db.transact(lambda tx: touch(tx, Topic.NOTICES, [person]))
        await asyncio.sleep(0.02)
    while bus._waiting:
        await asyncio.sleep(0.01)
    await bus.close()
    await db.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_redis_killed_and_emptied_under_load_loses_nothing(two, db_url, redis_server):
    """D9: a process writes, another has the streams; Redis dies, comes back empty, drops everybody. Clients that come and go hear of all."""
    await settle_in(two[0], ANNA)
    bus = RedisBus(redis_server.url)
    hub = hub_of(two[1], bus, poll_s=0.2)
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, db_url, redis_server.url, ANNA, stdin=asyncio.subprocess.PIPE
    )
    rounds = 40
    try:
        writer.stdin.write(b"x\n" * rounds)
        writer.stdin.close()
        cli = [program("redis-cli", "redis-tools"), "-s", str(redis_server.socket)]
        client, cuts = Client(hub, ANNA), 0
        async with Client(hub, ANNA) as steady:
            while client.last is None or client.places.notices < rounds:
                async with Client(hub, ANNA, client.last) as client:
                    place = -1 if client.last is None else client.places.notices
                    await client.until(lambda one, place=place: one.last is not None and one.places.notices > place)
                if cuts % 10 == 3:
                    await asyncio.to_thread(redis_server.stop)
                if cuts % 10 == 6:
                    await asyncio.to_thread(redis_server.start)
                    await asyncio.to_thread(
                        subprocess.run, [*cli, "client", "kill", "type", "pubsub"], check=False, capture_output=True
                    )
                    await asyncio.to_thread(subprocess.run, [*cli, "flushall"], check=False, capture_output=True)
                cuts += 1
            await steady.until(lambda one: one.places.notices == rounds)
        assert client.names != []
        assert (await queries.places(two[0], [ANNA]))[ANNA].notices == rounds
    finally:
        if redis_server._process is None:
            redis_server.start()  # the writer's last messages leave
        await asyncio.wait_for(writer.wait(), LONG)
        await hub.stop()
        await bus.close()


async def test_without_any_wake_up_the_poll_finds_it(two):
    """SQLite with a worker of its own and no Redis, or a Redis that is gone: seconds later, and complete."""
    await settle_in(two[0], ANNA)
    hub = hub_of(two[1], LocalBus(), poll_s=0.05)
    async with Client(hub, ANNA) as client:
        await client.until(lambda one: one.names == ["reload"])
        await two[0].transact(lambda tx: touch(tx, Topic.MEETINGS, [ANNA]))
        await client.until(lambda one: one.names == ["reload", "meetings"])
    await hub.stop()


async def test_the_poll_is_not_put_off_by_wake_ups_that_never_cease(two):
    """D9, C1: what another process commits is found, and who signed out is found, however busy this one is."""
    await settle_in(two[0], ANNA, BINH)
    bus = LocalBus()
    hub = hub_of(two[1], bus, poll_s=0.2)

    async def busy():
        while True:
            hub._woken.set()
            await asyncio.sleep(0.01)

    waking = asyncio.create_task(busy())
    async with Client(hub, ANNA) as client, Client(hub, BINH) as out:
        await client.until(lambda one: one.names == ["reload"])
        await told(two[0], ANNA)
        await two[0].transact(lambda tx: tx.execute("DELETE FROM access_tokens WHERE device = $1", f"{BINH}-0"))
        await client.until(lambda one: one.names == ["reload", "notices"])
        async with asyncio.timeout(LONG):
            await asyncio.wait([out._reading])
    waking.cancel()
    await hub.stop()


async def test_a_thousand_clients_that_come_again_do_not_collide(postgres_url, monkeypatch):
    two = await open_database(postgres_url), await open_database(postgres_url)
    await settle_in(two[0], ANNA)
    hubs = [hub_of(db, LocalBus()) for db in two]
    monkeypatch.setattr(postgres, "ATTEMPTS", 1)
    until_us = SystemClock().now_us() + 600 * SECOND_US
    await asyncio.gather(*(hub.open(actor(ANNA), None, until_us) for hub in hubs * 30))
    for hub, db in zip(hubs, two, strict=True):
        await hub.stop()
        await db.close()


async def test_who_cannot_write_still_tells(two, monkeypatch):
    """A volume that is full: rows of streams that ended stay until there is space, and those who are there hear all the same."""
    monkeypatch.setattr("server.live.hub._PAUSE_S", 0.02)
    await settle_in(two[0], ANNA, BINH)
    hub = hub_of(two[1], LocalBus(), poll_s=0.05)
    async with Client(hub, ANNA) as client:
        await client.until(lambda one: one.names == ["reload"])
        hub._db = _Full(two[1])
        hub.close(client.stream.__class__(actor(BINH), None, 0, SystemClock()))
        await told(two[0], ANNA)
        await client.until(lambda one: one.names == ["reload", "notices"])
        hub._db = two[1]
    await hub.stop()


class _Full:
    def __init__(self, whole):
        self.fetch_one, self.fetch_all = whole.fetch_one, whole.fetch_all

    async def transact(self, *_, **__):
        raise StorageFull("the database's volume is full")


async def test_whoever_is_far_behind_is_told_without_a_search(sqlite_db, monkeypatch):
    """C7: what a client claims does not decide how much is read."""
    await settle_in(sqlite_db, ANNA)
    await sqlite_db.transact(
        lambda tx: tx.execute("INSERT INTO changes_counters (organisation, seq) VALUES ($1, 1000000)", ORGANISATION)
    )
    monkeypatch.delattr(queries, "last_change_for")
    hub = hub_of(sqlite_db, LocalBus())
    async with Client(hub, ANNA, "3-0-0") as client:
        await client.until(lambda one: one.last == "1000000-0-0")
        assert client.names == ["changes"]
    await hub.stop()


async def test_a_database_that_does_not_answer_ends_no_stream(two):
    await settle_in(two[0], ANNA)
    hub = hub_of(two[0], LocalBus(), poll_s=0.05)
    async with Client(hub, ANNA) as client:
        await client.until(lambda one: one.names == ["reload"])
        hub._db = _Broken(hub._db)
        await told(two[0], ANNA)
        await hub._db.refused.wait()
        hub._db = hub._db.whole
        await client.until(lambda one: one.names == ["reload", "notices"])
    await hub.stop()


class _Broken:
    def __init__(self, whole):
        self.whole = whole
        self.refused = asyncio.Event()

    def __getattr__(self, name):
        self.refused.set()
        raise OSError("the database is away")


async def test_streams_are_bounded_and_leave_nothing_behind(sqlite_db):
    await settle_in(sqlite_db, ANNA, BINH)
    hub = hub_of(sqlite_db, LocalBus(), most=3, most_each=2)
    until_us = SystemClock().now_us() + 600 * SECOND_US
    first, second, third = [await hub.open(actor(ANNA), None, until_us) for _ in range(3)]
    assert [one.ended for one in (first, second, third)] == [True, False, False]
    assert await first.next() == b""
    await hub.open(actor(BINH), None, until_us)
    with pytest.raises(Refused, match="busy"):
        await hub.open(actor(BINH), None, until_us)
    hub.end()
    assert [await one.next() for one in (second, third)] == [b"", b""]
    with pytest.raises(Refused, match="busy"):
        await hub.open(actor(ANNA), None, until_us)
    await hub.stop()
    assert await sqlite_db.fetch_all("SELECT id FROM live_streams WHERE device <> $1", f"{ANNA}-1") == []
    assert hub.streams == []


async def test_a_client_that_does_not_read_takes_no_memory_and_hears_of_all_at_once(sqlite_db):
    await settle_in(sqlite_db, ANNA)
    hub = hub_of(sqlite_db, LocalBus())
    stream = await hub.open(actor(ANNA), Places(), SystemClock().now_us() + 600 * SECOND_US)
    for number in range(2000):
        stream.reach(Places(number, number, number))
    body = await stream.next()
    assert body.count(b"\n\n") == 3
    assert body.endswith(b"id: 1999-1999-1999\nevent: meetings\ndata: {}\n\n")
    await hub.stop()


async def test_a_client_that_stops_reading_is_dropped(sqlite_db):
    """Its place among the streams is free again, and it comes back from where it was."""
    await settle_in(sqlite_db, ANNA)
    hub = hub_of(sqlite_db, LocalBus())
    stream = await hub.open(actor(ANNA), None, SystemClock().now_us() + 600 * SECOND_US)
    sent, stuck, never = [], asyncio.Event(), asyncio.Event()

    async def send(message):
        if len(sent) == 2:
            stuck.set()
            await never.wait()
        sent.append(message)

    answering = asyncio.create_task(EventStream(hub, stream, 0.05).to_asgi_response()({}, never.wait, send))
    while not stuck.is_set():
        await told(sqlite_db, ANNA)
        await asyncio.sleep(0)
    await asyncio.wait_for(answering, LONG)
    assert hub.streams == []
    assert [one["type"] for one in sent] == ["http.response.start", "http.response.body"]
    last = sent[1]["body"].split(b"\n")[0].removeprefix(b"id: ").decode()
    async with Client(hub, ANNA, last) as again:
        await again.until(lambda one: one.names == ["notices"])
    await hub.stop()


# --- no push for what an open app shows ---------------------------------------------------------------------------------


async def an_open_app(db, *, devices=1):
    house = House(db, MONDAY)
    person = await house.person(ANNA, Role.LEADER, devices=devices)
    await db.transact(lambda tx: queries.open_stream(tx, "s1", f"{ANNA}-0", MONDAY + 600 * SECOND_US, MONDAY))
    return house, person


async def states(db):
    return [row["state"] for row in await db.fetch_all("SELECT state FROM deliveries ORDER BY step, device")]


def pushed(house):
    return [address for _, address, _, _, silent in house.sent if not silent]


@pytest.mark.parametrize("urgency", [0, 3])
@pytest.mark.parametrize("event", [DeviceEvent.SHOWN, DeviceEvent.READ])
async def test_what_the_open_app_says_it_shows_is_not_pushed_to_it(db, urgency, event):
    house, person = await an_open_app(db, devices=2)
    (notice,) = await house.tell(ANNA, urgency=urgency)
    await house.work()
    assert pushed(house) == [f"{ANNA}-1"]  # the other phone does not wait
    assert await house.notices.report(person, [(notice, event, MONDAY)]) == 1
    await house.work(until_us=MONDAY + 60 * SECOND_US)
    assert pushed(house) == [f"{ANNA}-1"]
    assert await states(db) == ["seen", "accepted"]


@pytest.mark.parametrize("urgency", [0, 3])
@pytest.mark.parametrize("told_", [[], [DeviceEvent.RECEIVED]])
async def test_what_it_does_not_confirm_is_pushed_two_seconds_later(db, urgency, told_):
    house, person = await an_open_app(db)
    (notice,) = await house.tell(ANNA, urgency=urgency)
    await house.work()
    await house.notices.report(person, [(notice, one, MONDAY) for one in told_])
    await house.work(until_us=MONDAY + 2 * SECOND_US - 1)
    assert pushed(house) == []
    await house.work(until_us=MONDAY + 2 * SECOND_US)
    assert pushed(house) == [f"{ANNA}-0"]
    (row,) = await db.fetch_all("SELECT state, attempts FROM deliveries")
    assert (row["state"], row["attempts"]) == ("accepted", 1)  # waiting was no try


async def test_without_a_stream_or_after_its_end_nothing_waits(db):
    house, _ = await an_open_app(db)
    await db.transact(lambda tx: queries.close_streams(tx, ["s1"]))
    await house.tell(ANNA)
    await house.work()
    assert pushed(house) == [f"{ANNA}-0"]
    # A process that died left its row behind; it ends with the token.
    await db.transact(lambda tx: queries.open_stream(tx, "s2", f"{ANNA}-0", MONDAY + SECOND_US, MONDAY))
    house.clock.advance(1)
    await house.tell(ANNA)
    await house.work()
    assert pushed(house) == [f"{ANNA}-0"] * 2


async def test_what_was_shown_while_the_push_waited_for_its_turn_is_not_pushed(db):
    """The last look is just before the send, after every wait of the transport."""
    house = House(db, MONDAY)
    person = await house.person(ANNA, Role.LEADER)
    (notice,) = await house.tell(ANNA)

    async def shown():
        await house.notices.report(person, [(notice, DeviceEvent.SHOWN, MONDAY)])

    house.before_send = shown
    await house.work()
    assert (pushed(house), await states(db)) == ([], ["seen"])


async def test_another_device_says_nothing_for_this_one(db):
    house, _ = await an_open_app(db)
    other = Actor("person", ANNA, ORGANISATION, device="another")
    stranger = await house.person(BINH, Role.LEADER)
    (notice,) = await house.tell(ANNA)
    for one in (other, stranger):
        await house.notices.report(one, [(notice, DeviceEvent.SHOWN, MONDAY)])
    await house.work(until_us=MONDAY + 2 * SECOND_US)
    assert pushed(house) == [f"{ANNA}-0"]


async def test_a_chain_pushes_again_what_was_shown_and_not_acknowledged(db):
    """NOT-4: shown is not acknowledged; after five minutes the phone rings, and at once."""
    house, person = await an_open_app(db)
    (notice,) = await house.tell(ANNA, urgency=3)
    await house.notices.report(person, [(notice, DeviceEvent.SHOWN, MONDAY)])
    await house.work(until_us=MONDAY + 300 * SECOND_US)
    assert pushed(house) == [f"{ANNA}-0"]
    assert await states(db) == ["seen", "accepted"]


async def test_a_chain_s_push_leaves_also_when_the_app_shows_the_notice_while_it_waits(db):
    house, person = await an_open_app(db)
    (notice,) = await house.tell(ANNA, urgency=3)
    await house.work(until_us=MONDAY + 299 * SECOND_US)

    async def shown():
        await house.notices.report(person, [(notice, DeviceEvent.SHOWN, MONDAY)])

    house.before_send = shown
    await house.work(until_us=MONDAY + 300 * SECOND_US)
    assert pushed(house) == [f"{ANNA}-0"] * 2


async def test_a_notice_of_a_clock_that_was_ahead_does_not_wait_for_it(db):
    """D7: it was stored by another machine."""
    house, _ = await an_open_app(db)
    house.clock.advance(90)
    await house.tell(ANNA, urgency=3)
    house.clock.advance(-90)
    await house.work()
    assert pushed(house) == [f"{ANNA}-0"]


async def test_a_notification_is_taken_away_also_where_it_was_shown(db):
    house = House(db, MONDAY)
    person = await house.person(ANNA, Role.LEADER)
    (notice,) = await house.tell(ANNA)
    await house.work()
    await house.notices.report(person, [(notice, DeviceEvent.SHOWN, MONDAY)])
    await db.transact(lambda tx: queries.open_stream(tx, "s1", f"{ANNA}-0", MONDAY + 600 * SECOND_US, MONDAY))
    another = Actor("person", ANNA, ORGANISATION, device="elsewhere")
    await house.notices.acknowledge(another, notice)
    await house.work()
    assert [silent for *_, silent in house.sent] == [False, True]
