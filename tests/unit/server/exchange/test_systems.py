"""Organisations of one installation with credentials of their own at the axis: each has its own line, and hears nobody else's (reference §8.1)."""

import asyncio
import hashlib
import uuid

import msgspec
import pytest
import pytest_asyncio

from server.exchange import edxml
from server.exchange.axis import AxisLimits, VxpAxis
from server.exchange.breaker import DOWN
from server.exchange.model import PacketKind, ResponseFor, document_id
from server.exchange.queries import known_ids, outgoing
from server.exchange.standin import Rotation, serving
from server.exchange.systems import Line
from tests.unit.server.exchange.house import ORGANISATION, House
from tests.unit.server.exchange.samples import DAY, make_packet, make_status, now_us

OTHER = uuid.uuid5(uuid.NAMESPACE_OID, "o2").hex


@pytest_asyncio.fixture
async def house(sqlite_db, tmp_path, clock, stage):
    return await two_organisations(sqlite_db, tmp_path, clock, stage)


@pytest_asyncio.fixture
async def either(db, tmp_path, clock, stage):
    """The same on each engine."""
    return await two_organisations(db, tmp_path, clock, stage)


async def two_organisations(db, tmp_path, clock, stage):
    """`H-01` through the installation's own system X01, `H-02` through X02."""
    house = House(db, tmp_path, clock, stage.client("X01", send_s=60))
    house.settings = msgspec.structs.replace(house.settings, organ_codes={"H-01": "X01", "H-02": "X02"})
    own = Line(axis=stage.client("X02", send_s=60), system_id="X02", url=stage.url, organisations=("h-02 ",))
    house.further = [own]
    house.restart()
    await house.found()
    await db.transact(
        lambda tx: tx.execute(
            "INSERT INTO organisations (id, code, name, created_us) VALUES ($1, 'H-02', 'Cơ quan Mẫu Hai', 1)", OTHER
        )
    )
    return house


async def sealed_by_the_other(house, number):
    document = await house.sealed(number, receivers=("X03",), pdf=b"%PDF-1.7\n" + hashlib.sha256(b"2").digest())
    exchange_id = f"H-02,2026/03/02,{number}/QĐ-CQM"
    await house.db.transact(
        lambda tx: tx.execute(
            "UPDATE documents SET organisation = $2, exchange_id = $3 WHERE id = $1", document, OTHER, exchange_id
        )
    )
    return document


async def run_all(house):
    while await house.run() != "none":
        pass


async def accepted(stage):
    """Who sent which number and to whom, as the axis knows it."""
    return sorted(
        (packet["sender"], packet["document_id"].split(",")[0], *sorted(copy["receiver"] for copy in packet["copies"]))
        for packet in (await stage.oracle())["packets"]
        if packet["kind"] == "edoc"
    )


async def arrivals(house):
    rows = await house.db.fetch_all("SELECT organisation, axis_id FROM arrivals ORDER BY organisation, axis_id")
    return [(row["organisation"], row["axis_id"]) for row in rows]


async def sent(stage, folder, packet, kind=PacketKind.DOCUMENT, receivers=("X01", "X02")):
    written = edxml.write(packet, folder / f"{uuid.uuid4().hex}.edxml")
    await stage.client("X03").send(kind, written.path, "X03", list(receivers))


def from_x03(packet):
    sender = msgspec.structs.replace(packet.header.sender, organ_id="X03")
    header = msgspec.structs.replace(
        packet.header, sender=sender, document_id=document_id("X03", DAY, packet.header.number, "QĐ-CQM")
    )
    return msgspec.structs.replace(packet, header=header)


@pytest.mark.asyncio
async def test_each_organisation_sends_with_its_own_credentials(either, stage):
    """The axis takes a packet from the registered code of its caller alone (reference §8.3); two agencies may issue one number."""
    await either.sealed("12", receivers=("X03",))
    await sealed_by_the_other(either, "12")
    await run_all(either)
    assert await accepted(stage) == [("X01", "H-01", "X03"), ("X02", "H-02", "X03")]
    assert await either.count("documents", "state = 'forwarded'") == 2
    own, theirs = (one.names for one in either.systems)
    # Two axes may give one id: what the one sent is no reason to doubt what the other lists.
    for organisation, system, known in ((ORGANISATION, own, 1), (OTHER, theirs, 1), (OTHER, own, 2)):
        assert len(await known_ids(either.db, "12/QĐ-CQM", "x", organisation, system)) == known


@pytest.mark.asyncio
async def test_what_comes_for_one_organisation_never_reaches_the_other(either, stage, tmp_path):
    """C1: each hears of a packet to both from its own system, once, and of the other's copy nothing."""
    await sent(stage, tmp_path, from_x03(make_packet(tmp_path, receivers=("X01", "X02"))))
    await stage.put("_faults", [{"fault": "500-before", "call": "getReceivedEdocList", "system": "X02", "times": -1}])
    assert await either.exchange.poll(PacketKind.DOCUMENT) == 1
    assert [one for one, _ in await arrivals(either)] == [ORGANISATION]
    await stage.put("_faults", [])
    either.restart()
    either.clock.advance(5)
    assert await either.exchange.poll(PacketKind.DOCUMENT) == 1
    found = await arrivals(either)
    assert sorted(one for one, _ in found) == sorted((ORGANISATION, OTHER))
    assert [axis_id.startswith("X02·") for one, axis_id in found if one == OTHER] == [True]
    assert await either.count("incoming_packets", "confirmed_us IS NOT NULL AND state = 'stored'") == 2
    for code in ("X01", "X02"):
        assert await stage.client(code).received(PacketKind.DOCUMENT) == []
    assert await either.exchange.poll(PacketKind.DOCUMENT) == 0


@pytest.mark.asyncio
async def test_a_packet_that_reaches_the_wrong_system_is_nobodys(house, stage, tmp_path):
    """An axis that lists a packet for the other organisation to this system does not get it taken in."""
    house.settings = msgspec.structs.replace(house.settings, organ_codes={"H-01": "X02", "H-02": "X01"})
    house.restart()
    await sent(stage, tmp_path, from_x03(make_packet(tmp_path, receivers=("X02",))), receivers=("X02",))
    await house.exchange.poll(PacketKind.DOCUMENT)
    house.clock.advance(2 * 3600)
    await house.exchange.poll(PacketKind.DOCUMENT)
    assert await arrivals(house) == []
    assert await house.count("incoming_packets", "state = 'unaddressed' AND organisation IS NULL") == 1


@pytest.mark.asyncio
async def test_a_status_speaks_of_documents_of_its_own_system_alone(house, stage, tmp_path):
    document = await house.sealed("12", receivers=("X03",))
    await run_all(house)
    status = make_status("03", sender="X03", to="X02")
    said = ResponseFor(organ_id="X02", code="12/QĐ-CQM", document_id="H-01,2026/03/02,12/QĐ-CQM", promulgated=DAY)
    status = msgspec.structs.replace(status, response_for=said)
    await sent(stage, tmp_path, status, PacketKind.STATUS, ("X02",))
    assert await house.exchange.poll(PacketKind.STATUS) == 1
    assert await house.count("incoming_packets", "state = 'unmatched' AND error = 'document-unknown'") == 1
    assert await house.receivers(document) == [("X03", "accepted_by_exchange", None)]
    ours = msgspec.structs.replace(status, response_for=msgspec.structs.replace(said, organ_id="X01"))
    await sent(stage, tmp_path, ours, PacketKind.STATUS, ("X01",))
    assert await house.exchange.poll(PacketKind.STATUS) == 1
    assert await house.receivers(document) == [("X03", "accepted", "03")]


@pytest.mark.asyncio
async def test_the_outage_of_one_system_stops_nothing_of_the_other(house, stage, unused_tcp_port):
    """D3, each with its own breaker: neither waits for the other, nor is it woken by the other's way being open."""
    line = house.further[0]
    key = house.systems.named("X02").key
    nowhere = VxpAxis(f"http://127.0.0.1:{unused_tcp_port}", "X02", stage.standin.secrets["X02"], now_us)
    house.further = [msgspec.structs.replace(line, axis=nowhere)]
    house.restart()
    for number in range(3):
        await house.sealed(str(number), receivers=("X03",))
        await sealed_by_the_other(house, f"9{number}")
    for _ in range(8):
        await run_all(house)
        house.clock.advance(60)
    assert await accepted(stage) == [("X01", "H-01", "X03")] * 3
    asleep = await house.count("jobs", "reason = $1 AND state = 'waiting'", f"{DOWN}:{key}")
    assert asleep >= 2
    assert await house.count("axis_health", "axis = $1", f"{stage.url}#X02") == await house.count("axis_health") == 1
    await house.sealed("late", receivers=("X03",))
    assert await house.exchange.poll(PacketKind.DOCUMENT) == 0
    await run_all(house)
    assert await accepted(stage) == [("X01", "H-01", "X03")] * 4
    # One of its own may be its minute's probe; the others sleep.
    assert await house.count("jobs", "reason = $1 AND state = 'waiting'", f"{DOWN}:{key}") >= asleep - 1 >= 1
    await nowhere.close()
    house.further = [line]
    house.restart()
    for _ in range(8):
        house.clock.advance(120)
        await house.exchange.poll(PacketKind.DOCUMENT)
        await run_all(house)
    assert await accepted(stage) == [("X01", "H-01", "X03")] * 4 + [("X02", "H-02", "X03")] * 3
    assert await house.count("axis_health") == 0


@pytest.mark.asyncio
async def test_a_system_that_answers_nothing_delays_no_poll_of_another(house, stage, tmp_path):
    """TIM-1: what hangs until its time-out is that system's own job."""
    await sent(stage, tmp_path, from_x03(make_packet(tmp_path, receivers=("X01",))), receivers=("X01",))
    never = asyncio.Event()

    async def hangs(_kind):
        await never.wait()

    house.further[0].axis.received = hangs
    polls = [one for one in house.tasks.periodic() if one.kind.startswith("exchange.documents")]
    running = [asyncio.ensure_future(one.handler(None, None)) for one in polls]
    ended, hanging = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED, timeout=30)
    for one in hanging:
        one.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert (len(ended), len(hanging)) == (1, 1)
    assert [one for one, _ in await arrivals(house)] == [ORGANISATION]


@pytest.mark.asyncio
async def test_lists_that_are_not_answered_hold_up_no_sending(house, stage):
    """TIM-3: polls and sends take turns at the minute's probe; neither takes it from the other for as long as its own call fails."""
    house.further = []
    house.restart()
    await stage.put("_faults", [{"fault": "500-before", "call": "getReceivedEdocList", "times": -1}])

    async def minutes(count):
        for _ in range(2 * count):
            for kind in PacketKind:
                await house.exchange.poll(kind)
            await run_all(house)
            house.clock.advance(30)

    await minutes(10)
    document = await house.sealed("1", receivers=("X03",))
    await minutes(5)
    assert await house.state(document) == "forwarded"


@pytest.mark.asyncio
async def test_a_rotated_secret_of_one_system_stops_nothing_of_the_other(house, stage):
    await house.sealed("1", receivers=("X03",))
    document = await sealed_by_the_other(house, "2")
    stage.standin.rotate(Rotation(system="X02"))
    await run_all(house)
    assert await accepted(stage) == [("X01", "H-01", "X03")]
    packet = await outgoing(house.db, document, "edoc")
    assert (packet.stage.value, packet.code, packet.system) == ("ready", "http-401", house.systems.named("X02").key)
    await house.sealed("3", receivers=("X03",))
    await run_all(house)
    assert len(await accepted(stage)) == 2
    stage.standin.rotate(Rotation(system="X02", do="hand_over"))
    house.clock.advance(60)
    assert await house.settle() == "done"
    assert await accepted(stage) == [("X01", "H-01", "X03")] * 2 + [("X02", "H-02", "X03")]


@pytest.mark.asyncio
async def test_an_open_outcome_is_asked_about_with_the_credentials_that_sent(either, stage):
    """D2: the sent list is each system's own. The organisation moves to another system while nobody knows what became of its packet."""
    document = await sealed_by_the_other(either, "12")
    await stage.put("_faults", [{"fault": "drop-after", "system": "X02"}])
    assert (await either.run())[0] == "retry"
    # The same number of the other agency does not wait for that answer.
    await either.sealed("12", receivers=("X03",))
    assert await either.run() == "done"
    line = either.further[0]
    either.further = []
    either.restart()
    either.clock.advance(60)
    ended, _, why = await either.run()
    assert (ended, why) == ("retry", "exchange-not-configured")
    either.further = [msgspec.structs.replace(line, organisations=("H-09",))]
    either.restart()
    either.clock.advance(3600)
    assert await either.settle() == "done"
    assert await either.state(document) == "forwarded"
    assert await accepted(stage) == [("X01", "H-01", "X03"), ("X02", "H-02", "X03")]


@pytest.mark.asyncio
async def test_the_list_of_agencies_comes_from_another_system_of_the_axis_where_one_is_refused(house, stage):
    house.url = stage.url
    house.restart()
    stage.standin.rotate(Rotation(system="X01"))
    assert await house.agencies.take_over(stage.url)
    assert [one.code for one in (await house.agencies.find(OTHER, "co quan mau ba", 5)).agencies] == ["X03"]
    stage.standin.rotate(Rotation(system="X02"))
    assert not await house.agencies.take_over(stage.url)
    # The job asks through whichever of the axis' systems may; not once a minute over again while none may (D3).
    house.clock.advance(120)
    assert not await house.agencies.take_over(stage.url)
    asked = await house.db.fetch_all("SELECT axis, failures, closed_until_us FROM axis_health ORDER BY axis")
    assert not await house.agencies.take_over(stage.url)
    assert await house.db.fetch_all("SELECT axis, failures, closed_until_us FROM axis_health ORDER BY axis") == asked
    assert len(asked) == 2


@pytest.mark.asyncio
async def test_without_a_system_of_all_others_who_is_not_named_waits(house, stage):
    house.axis = None
    house.restart()
    document = await house.sealed("1", receivers=("X03",))
    assert (await house.run())[::2] == ("retry", "exchange-not-configured")
    await sealed_by_the_other(house, "2")
    assert await house.run() == "done"
    assert await accepted(stage) == [("X02", "H-02", "X03")]
    assert await house.state(document) == "sealed"


@pytest.mark.asyncio
async def test_a_clock_that_is_an_hour_off_delays_and_refuses_nothing(sqlite_db, tmp_path, clock):
    """D7: the axis refuses what is signed at another time. What waits leaves once the clock is right, and says meanwhile why it waits."""
    (tmp_path / "axis").mkdir()
    off_s = 3600
    async with serving(tmp_path / "axis", clock_window_s=300) as (standin, url):

        def ours_us():
            return now_us() + off_s * 1_000_000

        client = VxpAxis(url, "X01", standin.secrets["X01"], ours_us, AxisLimits(send_s=60))
        house = House(sqlite_db, tmp_path, clock, client)
        await house.found()
        document = await house.sealed("1")
        assert (await house.run())[::2] == ("retry", "clock")
        assert abs(client.clock_off_s - 3600) <= 60
        packet = await outgoing(house.db, document, "edoc")
        assert (packet.stage.value, packet.code) == ("ready", "clock")
        off_s = -3600
        house.clock.advance(120)
        assert (await house.run())[::2] == ("retry", "clock")
        assert abs(client.clock_off_s + 3600) <= 60
        off_s = 0
        house.clock.advance(120)
        assert await house.settle() == "done"
        assert client.clock_off_s is None
        assert await house.state(document) == "forwarded"
        assert await house.count("audit_events", "kind = 'exchange.forward_failed'") == 0
        await client.close()
