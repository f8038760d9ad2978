"""Two organisations of one installation, each with a system of its own at an axis of its own (reference §8.1): apart in everything (C1, D3).

Both axes gave their system the same id, and list agencies of the same codes under other names.
"""

import contextlib

import msgspec
import pytest
import pytest_asyncio

from server.exchange import edxml
from server.exchange.business import status
from server.exchange.directory import queries as directory
from server.exchange.model import Organisation, PacketKind, ResponseFor, StatusCode, document_id
from server.exchange.queries import Trouble, note_trouble, outgoing
from server.exchange.standin import serving
from server.exchange.standin_world import Merger, Unit
from server.exchange.systems import Line, following, key_of
from server.exchange.tasks import AgencyTasks
from server.jobs import Retry
from tests.unit.server.exchange.conftest import Stage
from tests.unit.server.exchange.house import ORGANISATION, House
from tests.unit.server.exchange.samples import DAY, make_packet, now_us
from tests.unit.server.exchange.test_systems import OTHER, accepted, arrivals, run_all, sealed_by_the_other

EDOC, STATUS = PacketKind.DOCUMENT, PacketKind.STATUS
UNITS = (
    Unit(code="X01", name="Sở Mẫu Bắc", old_code="000.00.00.X01"),
    Unit(code="X03", name="Trung tâm Mẫu Bắc"),
    Unit(code="B07", name="Chi cục Mẫu Bảy", parent="X01"),
)


@contextlib.asynccontextmanager
async def second_axis(folder):
    folder.mkdir()
    async with serving(folder, units=UNITS) as (standin, url):
        stage = Stage(standin, url)
        try:
            yield stage
        finally:
            await stage.close()


@pytest_asyncio.fixture
async def other(tmp_path):
    async with second_axis(tmp_path / "second") as stage:
        yield stage


@pytest_asyncio.fixture
async def house(db, tmp_path, clock, stage, other):
    """On each engine: `H-01` is X01 of the first axis, `H-02` is X01 of the second."""
    house = House(db, tmp_path, clock, stage.client("X01", send_s=60))
    house.url = stage.url
    house.settings = msgspec.structs.replace(house.settings, organ_codes={"H-01": "X01", "H-02": "X01"})
    house.further = [Line(axis=other.client("X01", send_s=60), system_id="X01", url=other.url, organisations=("H-02",))]
    house.restart()
    await house.found()
    await db.transact(
        lambda tx: tx.execute(
            "INSERT INTO organisations (id, code, name, created_us) VALUES ($1, 'H-02', 'Cơ quan Mẫu Hai', 1)", OTHER
        )
    )
    return house


async def from_(stage, folder, code, number):
    """A document of a neighbour to X01 of its own axis."""
    packet = make_packet(folder, number=number, receivers=("X01",))
    header = msgspec.structs.replace(
        packet.header, sender=Organisation(organ_id=code, name=f"Cơ quan {code}"), document_id=document_id(code, DAY, number, "QĐ-CQM")
    )  # fmt: skip
    written = edxml.write(msgspec.structs.replace(packet, header=header), folder / f"{code}-{number}.edxml")
    await stage.client(code).send(EDOC, written.path, code, ["X01"])


async def answered(stage, folder, code, exchange_id):
    packet = status(
        StatusCode.ACCEPTED, sender=Organisation(organ_id=code), answered=ResponseFor(organ_id="X01", document_id=exchange_id), at_us=now_us()
    )  # fmt: skip
    written = edxml.write(packet, folder / f"03-{code}-{len(exchange_id)}.edxml")
    await stage.client(code).send(STATUS, written.path, code, ["X01"])


async def names(house, organisation, query):
    return {one.code: one.name for one in (await house.agencies.find(organisation, query, 20)).agencies}


@pytest.mark.asyncio
async def test_each_sends_receives_and_is_answered_over_its_own_axis(house, stage, other, tmp_path):
    assert await house.agencies.synchronise() == 9
    document = await house.sealed("12", receivers=("X03",))
    theirs = await sealed_by_the_other(house, "12")
    await run_all(house)
    assert await accepted(stage) == [("X01", "H-01", "X03")]
    assert await accepted(other) == [("X01", "H-02", "X03")]
    await answered(other, tmp_path, "X03", "H-02,2026/03/02,12/QĐ-CQM")
    # What an axis says of a document that another axis took is nobody's.
    await answered(other, tmp_path, "B07", "H-01,2026/03/02,12/QĐ-CQM")
    assert await house.exchange.poll(STATUS) == 2
    assert (await house.receivers(document), await house.receivers(theirs)) == (
        [("X03", "accepted_by_exchange", None)], [("X03", "accepted", "03")],
    )  # fmt: skip
    assert await house.count("incoming_packets", "state = 'unmatched'") == 1
    await from_(stage, tmp_path, "X02", "1")
    await from_(other, tmp_path, "B07", "1")
    assert await house.exchange.poll(EDOC) == 2
    rows = await house.db.fetch_all("SELECT organisation, sender FROM arrivals")
    assert sorted((row["organisation"], row["sender"]) for row in rows) == sorted(
        [(ORGANISATION, "X02"), (OTHER, "B07")]
    )
    for one in (stage, other):
        assert await one.client("X01").received(EDOC) == []


@pytest.mark.asyncio
async def test_each_has_the_list_of_its_own_axis(house, stage, other):
    assert await names(house, OTHER, "mau") == {}
    assert await house.agencies.take_over(stage.url)
    assert await names(house, OTHER, "mau") == {}, "the other's list is none"
    assert await house.agencies.take_over(other.url)
    assert set(await names(house, ORGANISATION, "mau")) == {"X01", "X01.02", "X02", "X03"}
    assert await names(house, OTHER, "mau") == {unit.code: unit.name for unit in UNITS}
    assert (await names(house, ORGANISATION, "x03"), await names(house, OTHER, "x03")) == (
        {"X03": "Cơ quan Mẫu Ba"}, {"X03": "Trung tâm Mẫu Bắc"},
    )  # fmt: skip
    ids = [row["id"] for row in await house.db.fetch_all("SELECT id FROM agencies ORDER BY id")]
    assert ids[-1] > 1 << 22 > ids[0], "ranges of their own"
    # A code that ends in one list stands in the other; what is listed nowhere else ends nothing.
    await other.standin.merge(Merger(codes=("X03",), into="B07"))
    assert await house.agencies.synchronise() is not None
    assert await directory.current(house.db, other.url, "X03") == "B07"
    assert await directory.current(house.db, stage.url, "X03") == "X03"
    assert "X03" not in await names(house, OTHER, "mau")
    assert "X03" in await names(house, ORGANISATION, "mau")


@pytest.mark.asyncio
async def test_one_axis_is_away_and_nothing_of_the_other_waits(house, stage, other, tmp_path):
    """D3: sends, polls, and the list of agencies, each a job of its own."""
    every = [{"fault": "500-before", "call": call, "times": -1} for call in ("sendEdoc", "getSentEdocList", "getReceivedEdocList", "getSynchronizeUnit")]  # fmt: skip
    await other.put("_faults", every)
    tasks = AgencyTasks(house.agencies).periodic()
    assert [one.kind for one in tasks] == ["exchange.agencies", f"exchange.agencies:{other.url}"]
    await tasks[0].handler(None, None)
    with pytest.raises(Retry):
        await tasks[1].handler(None, None)
    document = await house.sealed("12", receivers=("X03",))
    theirs = await sealed_by_the_other(house, "12")
    for _ in range(4):
        await from_(stage, tmp_path, "X02", str(_))
        await house.exchange.poll(EDOC)
        await run_all(house)
        house.clock.advance(61)
    assert await house.state(document) == "forwarded"
    assert len(await arrivals(house)) == 4
    assert {row["axis"] for row in await house.db.fetch_all("SELECT axis FROM axis_health")} == {f"{other.url}#X01"}
    assert (await accepted(other), (await names(house, ORGANISATION, "x03"))) == ([], {"X03": "Cơ quan Mẫu Ba"})
    await other.put("_faults", [])
    for _ in range(6):
        house.clock.advance(120)
        await house.exchange.poll(EDOC)
        await run_all(house)
    assert await house.state(theirs) == "forwarded"
    assert await accepted(other) == [("X01", "H-02", "X03")]
    assert len(await accepted(stage)) == 1 + 4


@pytest.mark.asyncio
async def test_packets_under_way_follow_their_system_when_it_moves_in_the_settings(house, stage, other):
    """D2: from `[exchange]` to a table, with the same axis and id; its outcome is asked about there, and nowhere else."""
    document = await house.sealed("12", receivers=("X03",))
    await stage.put("_faults", [{"fault": "drop-after"}])
    assert (await house.run())[0] == "retry"
    packet = await outgoing(house.db, document, "edoc")
    assert (packet.stage.value, packet.system) == ("unknown", next(iter(house.systems)).key)
    own = Line(axis=house.axis, system_id="X01", url=f"{stage.url}/", organisations=("H-01",))
    house.axis, house.further = None, [*house.further, own]
    house.restart()
    house.clock.advance(60)
    assert await house.settle() == "done"
    assert await house.state(document) == "forwarded"
    assert (await accepted(stage), await accepted(other)) == ([("X01", "H-01", "X03")], [])


@pytest.mark.asyncio
async def test_what_was_taken_in_before_a_system_moved_is_not_taken_in_again(house, stage, other, tmp_path):
    await from_(stage, tmp_path, "X02", "1")
    await stage.put("_faults", [{"fault": "500-before", "call": "updateStatus"}])
    await house.exchange.poll(EDOC)
    assert await house.count("incoming_packets", "confirmed_us IS NULL") == 1
    own = Line(axis=house.axis, system_id="X01", url=stage.url, organisations=("H-01",))
    general = Line(axis=house.further[0].axis, system_id="X01", url=other.url)
    house.axis, house.further = None, [own, general]  # and the other's table goes the other way
    house.restart()
    house.clock.advance(60)
    assert await house.exchange.poll(EDOC) == 0
    assert (
        await house.count("incoming_packets", "confirmed_us IS NOT NULL") == await house.count("incoming_packets") == 1
    )
    assert len(await arrivals(house)) == 1
    # An axis that gives an id which the axis before gave: both are kept.
    (known,) = await house.db.fetch_all("SELECT axis_id FROM incoming_packets")
    await from_(other, tmp_path, "B07", "1")
    received, fetch, confirm = (getattr(general.axis, name) for name in ("received", "fetch", "confirm"))
    (item,) = await received(EDOC)
    listed = [msgspec.structs.replace(item, doc_id=known["axis_id"])]

    async def lists(kind):
        return listed if kind is EDOC else []

    async def gives(_doc_id, into):
        return await fetch(item.doc_id, into)

    async def confirms(_doc_id, reason=None):
        listed.clear()
        await confirm(item.doc_id, reason)

    general.axis.received, general.axis.fetch, general.axis.confirm = lists, gives, confirms
    assert await house.exchange.poll(EDOC) == 1
    assert sorted(one for one, _ in await arrivals(house)) == sorted((ORGANISATION, OTHER))
    assert await house.exchange.poll(EDOC) == 0


@pytest.mark.asyncio
async def test_a_list_is_kept_where_its_axis_has_another_address(house, stage, other):
    await house.agencies.synchronise()
    house.url = "http://elsewhere.example"  # asked by nobody here
    house.axis = stage.client("X01")
    house.restart()
    assert await house.agencies.take_over(house.url)
    rows = await house.db.fetch_all("SELECT axis, number FROM agency_lists ORDER BY number")
    assert [(row["axis"], row["number"]) for row in rows] == [(house.url, 0), (other.url, 1)]
    assert await house.count("agencies") == 9


@pytest.mark.asyncio
async def test_the_list_of_an_earlier_version_is_the_first_axis_own_whichever_asks_first(house, stage, other):
    """It stood there with the address as it was written, with a slash; the second axis was none's."""
    await house.agencies.take_over(stage.url)
    await house.db.transact(lambda tx: tx.execute("UPDATE agency_lists SET axis = $1", f"{stage.url}/"))
    for axis in (other.url, stage.url):
        assert await house.agencies.take_over(axis)
    rows = await house.db.fetch_all("SELECT axis, number FROM agency_lists ORDER BY number")
    assert [(row["axis"], row["number"]) for row in rows] == [(stage.url, 0), (other.url, 1)]


@pytest.mark.asyncio
async def test_what_went_wrong_with_a_packet_is_its_own_where_another_axis_gave_its_id(house, stage, other, tmp_path):
    """D14: the packet of the axis before, whose trouble nobody ends, keeps no other from being parked."""
    await from_(stage, tmp_path, "X02", "1")
    (item,) = await house.axis.received(EDOC)
    foreign = Trouble(axis_id=item.doc_id, failed=1)
    await house.db.transact(lambda tx: note_trouble(tx, EDOC.value, "X09·00000000", foreign))

    async def fails(_tx, came, *, now_us):
        raise RuntimeError(came.axis_id)

    for _ in range(4):
        house.restart()
        house.arrivals.came = fails
        await house.exchange.poll(EDOC)
        house.clock.advance(1000)
    assert await house.count("incoming_packets", "state = 'unreadable'") == 1
    assert await house.count("incoming_troubles") == 0


def test_what_is_under_way_is_followed_by_axis_and_id():
    """Rows of earlier versions hold the id alone, or nothing."""
    one = Line(axis=None, system_id="S", url="http://one")
    two = Line(axis=None, system_id="S", url="http://two", organisations=("H-02",))
    moved = Line(axis=None, system_id="S", url="http://one/", organisations=("H-01",))
    elsewhere = Line(axis=None, system_id="S", url="http://three", organisations=("H-01",))
    assert following(key_of(one), [two, moved]) is moved
    assert following(key_of(one), [two, elsewhere]) is None, "which of them is not known"
    assert following(key_of(one), [elsewhere]) is elsewhere, "the only one with this id: another address"
    assert following(key_of(one), [msgspec.structs.replace(two, system_id="T")]) is None
    assert following("", [one, two]) is one
    assert following("", [two]) is None
    assert following("S", [two]) is two
    assert following("S", [one, two]) is None
