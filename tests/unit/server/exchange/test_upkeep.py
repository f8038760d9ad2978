"""D3: what several processes know of one axis. And the files of packets: kept as long as anybody needs them, and no longer."""

import asyncio
import contextlib
import itertools
import random
from urllib.parse import urlsplit

import pytest

from server.exchange import edxml
from server.exchange.model import PacketKind
from server.exchange.tasks import AgencyTasks
from server.jobs import Retry
from tests.faults.exchange_loops import UNDER_WAY, outage
from tests.unit.server.exchange.house import House, client
from tests.unit.server.exchange.samples import make_status

DAY_S = 86_400


def each_call(axis, told):
    """Whatever this client asks is told, with the path alone, when it is asked."""
    call = axis._client.call

    def asked(method, url, **options):
        told(urlsplit(url).path)
        return call(method, url, **options)

    axis._client.call = asked


@pytest.mark.asyncio
async def test_processes_together_probe_an_axis_that_is_down_once_a_minute(db, tmp_path, clock, unused_tcp_port):
    """D3, on both engines: three workers, one row, whatever is asked: sends, questions, both polls, the agency list, who has what."""
    secret = tmp_path / "secret"
    secret.write_text("s")
    calls, houses, clients = [], [], []
    for _ in range(3):
        axis = client(f"http://127.0.0.1:{unused_tcp_port}", secret, clock)
        each_call(axis, lambda path: calls.append((clock.now_us(), path)))
        clients.append(axis)
        houses.append(House(db, tmp_path, clock, axis))
    await houses[0].found()
    for number in range(6):
        await houses[0].sealed(str(number))
    begun_us = clock.now_us()
    assert (await houses[0].run())[0] == "retry"
    rng = random.Random(3)
    while clock.now_us() < begun_us + 900 * 1_000_000:
        for house in rng.sample(houses, len(houses)):
            (agencies,) = AgencyTasks(house.agencies).periodic()
            askings = (
                house.tasks.statuses,
                house.tasks.documents,
                agencies.handler,
                lambda *_, house=house: house.run(),
            )
            for asking in rng.sample(askings, len(askings)):
                with contextlib.suppress(Retry):
                    await asking(None, None)
        clock.advance(5)
    for axis in clients:
        await axis.close()
    times = [at for at, _ in calls]
    # The one that found it, one more at once, and then the minute's probe from the first minute on.
    assert times[1] - times[0] <= 10_000_000
    assert all(after - before >= 60_000_000 for before, after in itertools.pairwise(times[1:]))
    assert 8 <= len(times) <= 16
    assert len({path for _, path in calls}) >= 3, "not sends alone were among them"


@pytest.mark.asyncio
async def test_one_lost_connection_holds_up_nothing(db, tmp_path, clock, stage):
    """D3: what comes next tries again at once, and wakes what waited for it meanwhile; also where that was another process' loss."""
    houses = [House(db, tmp_path, clock, stage.client("X01", send_s=60)) for _ in range(2)]
    await houses[0].found()
    await houses[0].sealed("lost")
    await stage.put("_faults", [{"fault": "500-before"}])
    assert (await houses[0].run())[0] == "retry"
    assert await db.fetch_all("SELECT failures, closed_until_us FROM axis_health") != []
    begun_us = clock.now_us()
    for number in range(4):
        await houses[0].sealed(str(number))
    lanes = [house.run() for house in houses for _ in range(2)]
    assert "done" in await asyncio.gather(*lanes)
    for _ in range(8):
        await houses[1].exchange.poll(PacketKind.STATUS)  # it wakes who fell asleep at the moment of that answer
        await houses[1].run()
    assert await houses[0].count("documents", "state = 'forwarded'") == 4
    assert await houses[0].count("axis_health") == 0
    assert clock.now_us() == begun_us, "no minute has to pass for it"


@pytest.mark.asyncio
@pytest.mark.parametrize("asked", ["list", "delivered"])
async def test_whatever_is_answered_ends_a_loss(sqlite_db, tmp_path, clock, stage, asked):
    """D3, D14: a list whose one packet cannot be had, and a question about a silent receiver; else all wait a minute for a second try that was made."""
    house = House(sqlite_db, tmp_path, clock, stage.client("X01", send_s=60))
    await house.found()
    await house.sealed("1")
    assert await house.run() == "done"
    clock.advance(1000)
    status = edxml.write(make_status(number="1"), tmp_path / "packet.edxml")
    await stage.client("X02").send(PacketKind.STATUS, status.path, "X02", ["X01"])
    await stage.put("_faults", [{"fault": "500-before", "call": "downloadEdoc", "times": -1}])
    (system,) = house.systems
    await system.breaker.unheard()
    if asked == "list":
        await house.exchange.poll(PacketKind.STATUS)
        assert await house.count("incoming_troubles") == 1
    else:
        await house.exchange.look_for_deliveries()
    assert await house.count("axis_health") == 0


@pytest.mark.asyncio
async def test_what_was_under_way_when_the_axis_went_is_no_outage_of_its_own(sqlite_db, tmp_path, clock, stage):
    """D3: five connections that are lost together are one loss: one more is tried at once."""
    house = House(sqlite_db, tmp_path, clock, stage.client("X01", send_s=60))
    await house.found()
    (system,) = house.exchange._systems
    for _ in range(5):
        await system.breaker.unheard()
    assert await system.breaker.passes()
    assert not await system.breaker.passes(), "one, and not one each"
    await system.breaker.unheard()
    clock.advance(59)
    assert not await system.breaker.passes()
    clock.advance(1)
    assert await system.breaker.passes()


@pytest.mark.asyncio
async def test_polls_go_on_where_sends_alone_fail_and_sends_where_polls_alone_are_refused(
    sqlite_db, tmp_path, clock, stage
):
    """D3: an axis that answers is not down; what it refuses holds up nothing else."""
    axis = stage.client("X01", send_s=60)
    house = House(sqlite_db, tmp_path, clock, axis)
    await house.found()
    calls = []
    each_call(axis, calls.append)
    await stage.put("_faults", [{"fault": "401", "times": -1}])
    await house.sealed("1")
    for _ in range(60):
        await house.exchange.poll(PacketKind.STATUS)
        await house.run()
        clock.advance(10)
    assert 3 <= calls.count("/sendEdoc") <= 12
    assert calls.count("/getReceivedEdocList") >= 55
    await stage.put("_faults", [{"fault": "refuse", "code": "20", "call": "getReceivedEdocList", "times": -1}])
    clock.advance(1000)
    assert await house.run() == "done"
    await house.exchange.poll(PacketKind.STATUS)
    await house.sealed("2")
    assert await house.run() == "done"
    assert await house.count("documents", "state = 'forwarded'") == 2


@pytest.mark.asyncio
async def test_one_process_finds_it_again_for_all(sqlite_db, tmp_path, clock, stage, unused_tcp_port):
    secret = tmp_path / "secret"
    secret.write_text("s")
    nowhere = client(f"http://127.0.0.1:{unused_tcp_port}", secret, clock)
    cut_off, other = (House(sqlite_db, tmp_path, clock, axis) for axis in (nowhere, stage.client("X01", send_s=1)))
    await cut_off.found()
    await cut_off.sealed("1")
    assert await cut_off.run() != "done"
    assert await other.count("axis_health", "failures = 1") == 1
    await cut_off.sealed("2")
    assert await cut_off.run() != "done"
    await other.sealed("3")
    assert (await other.run())[2] == "exchange-down"  # the other process asks nothing
    for _ in range(10):
        clock.advance(60)
        while await other.run() != "none":
            pass
    assert await other.count("axis_health") == 0
    assert await other.count("documents", "state = 'forwarded'") == 3
    await nowhere.close()


@pytest.mark.asyncio
async def test_a_clock_that_was_set_back_closes_nothing_for_longer(sqlite_db, tmp_path, clock, stage):
    """D7."""
    house = House(sqlite_db, tmp_path, clock, stage.client("X01", send_s=1))
    await house.found()
    far = clock.now_us() + 365 * DAY_S * 1_000_000
    await sqlite_db.transact(
        lambda tx: tx.execute("INSERT INTO axis_health (axis, failures, closed_until_us) VALUES ('', 6, $1)", far)
    )
    await house.sealed("1")
    assert await house.settle() == "done"


@pytest.mark.asyncio
async def test_the_file_of_a_packet_goes_when_its_work_is_done(db, tmp_path, clock, stage):
    house = House(db, tmp_path, clock, stage.client("X01", send_s=1))
    await house.found()
    done, open_, shared = [await house.sealed(number) for number in "123"]
    for _ in range(3):
        assert await house.settle() == "done"
    packets = {
        row["document"]: row["blob"] for row in await db.fetch_all("SELECT document, blob FROM outgoing_packets")
    }
    heads = [row["head"] for row in await db.fetch_all("SELECT head FROM documents")]

    async def set_up(tx):
        await tx.execute("UPDATE documents SET state = 'accepted' WHERE id IN ($1, $2)", done, shared)
        # Content-addressed: the same bytes may be a revision of some document.
        await tx.execute(
            "INSERT INTO revisions (document, number, digest, parent, size, kind, step, version, created_us) VALUES ($1, 99, $2, NULL, 1, 'seal', 1, 1, 1)",
            shared, packets[shared],
        )  # fmt: skip

    await db.transact(set_up)
    assert await house.exchange.drop_packets() == 0  # too young
    clock.advance(89 * DAY_S)
    assert await house.exchange.drop_packets() == 0
    clock.advance(2 * DAY_S)
    assert await house.exchange.drop_packets() == 1
    assert await house.exchange.drop_packets() == 0
    kept = {digest for digest in (*packets.values(), *heads) if list(house.blobs._root.rglob(digest))}
    assert kept == {packets[open_], packets[shared], *heads}
    row = await db.fetch_one("SELECT blob, stage, dropped_us FROM outgoing_packets WHERE document = $1", done)
    assert (row["blob"], row["stage"]) == (packets[done], "accepted")
    assert row["dropped_us"] is not None


@pytest.mark.asyncio
async def test_of_what_others_sent_only_applied_statuses_go(sqlite_db, tmp_path, clock, stage):
    house = House(sqlite_db, tmp_path, clock, stage.client("X01", send_s=1))
    await house.found()
    kinds = [
        ("status", "applied", 1), ("status", "unreadable", 1), ("status", "stored", 1), ("status", "applied", None), ("document", "stored", 1),
        ("document", "unreadable", 1),
    ]  # fmt: skip
    blobs = [await house.blobs.put_bytes(f"packet {n}".encode()) for n in range(len(kinds))]
    blobs.append(blobs[0])  # the same file again, not confirmed yet

    async def body(tx):
        for n, (kind, state, confirmed) in enumerate([*kinds, ("status", "applied", None)]):
            await tx.execute(
                "INSERT INTO incoming_packets (axis_id, kind, sender, receiver, blob, state, error, received_us, confirmed_us) VALUES ($1, $2, 'X02', 'X01', $3, $4, '', 1, $5)",
                f"a{n}", kind, blobs[n], state, confirmed,
            )  # fmt: skip

    await sqlite_db.transact(body)
    assert await house.exchange.drop_packets() == 1
    left = [bool(list(house.blobs._root.rglob(digest))) for digest in blobs[:6]]
    assert left == [True, False, True, True, True, True]


@pytest.mark.asyncio
async def test_many_packets_go_some_at_a_time_and_nobody_waits_for_a_scan(db, tmp_path, clock, stage, monkeypatch):
    """D13: no transaction, for which all writers wait, looks through every image and prepared revision for each packet."""
    house = House(db, tmp_path, clock, stage.client("X01", send_s=1))
    await house.found()

    async def body(tx):
        for n in range(200):
            await tx.execute(
                "INSERT INTO incoming_packets (axis_id, kind, sender, receiver, blob, state, error, received_us, confirmed_us)"
                " VALUES ($1, 'status', 'X02', 'X01', $2, 'applied', '', 1, 1)",
                f"a{n}", f"{n:064x}",
            )  # fmt: skip

    await db.transact(body)
    marked, transact = [], db.transact

    async def noted(body, **options):
        async def within(tx):
            result = await body(_Watched(tx))
            marked.append(len(result))
            return result

        return await transact(within, **options)

    monkeypatch.setattr(db, "transact", noted)
    assert await house.exchange.drop_packets() == 200
    assert sum(marked) == 200
    assert max(marked) <= 90


class _Watched:
    """A transaction that refuses to read what no index leads to."""

    def __init__(self, tx):
        self._tx = tx

    async def fetch_all(self, sql, *args):
        assert "page_images" not in sql
        assert "prepared_revisions" not in sql
        return await self._tx.fetch_all(sql, *args)


@pytest.mark.asyncio
async def test_an_answered_poll_lets_one_try_and_the_first_accepted_packet_lets_all_go(
    db, tmp_path, clock, stage, unused_tcp_port
):
    """D3: after an outage that lasted, what sleeps is woken by whoever finds the axis there, and in the same transaction."""
    secret = tmp_path / "secret"
    secret.write_text("s")
    nowhere = client(f"http://127.0.0.1:{unused_tcp_port}", secret, clock)
    house = House(db, tmp_path, clock, nowhere)
    await house.found()
    for number in range(5):
        await house.sealed(str(number))
    for _ in range(40):
        while await house.run() != "none":
            pass
        clock.advance(60)
    asleep = await house.count("jobs", "reason = 'exchange-down' AND due_us > $1", clock.now_us() + 600_000_000)
    assert asleep >= 3
    house.axis = stage.client("X01", send_s=60)
    house.restart()
    clock.advance(61)
    await house.exchange.poll(PacketKind.DOCUMENT)
    while await house.run() != "none":
        pass
    assert await house.count("documents", "state = 'forwarded'") >= 4
    clock.advance(900)  # the one that probed last had its own delay
    assert await house.run() in {"done", "none"}
    assert len((await stage.oracle())["packets"]) == 5
    assert await house.count("axis_health") == 0
    # One that fell asleep at that moment is found by the next poll.
    await house.sealed("late")
    await house.db.transact(
        lambda tx: tx.execute("UPDATE jobs SET due_us = $1, reason = 'exchange-down'", clock.now_us() + 10**10)
    )
    assert await house.run() == "none"
    await house.exchange.poll(PacketKind.DOCUMENT)
    assert await house.settle() == "done"
    await nowhere.close()


@pytest.mark.asyncio
async def test_days_of_outage_lose_double_and_disorder_nothing(tmp_path):
    """D3, a tenth of days and packets: three restarts, one probe a minute at most, then a part of the packets and at last all get through."""
    counts = await outage(tmp_path / "loop", documents=1_000, size=5_000, hours=4.8, seed=2)
    expected = {"rounds": 1_000, "lost": 0, "doubled": 0, "changed": 0, "disordered": 0, "unsettled": 0}
    assert {name: counts[name] for name in expected} == expected
    assert counts["probes"] >= 1
    assert 1 <= counts["found_by"] <= UNDER_WAY + 1
    assert counts["most_probes_a_minute"] == 1
