"""What came and was put aside: its organisation hears of it, and an operator takes it up from the kept bytes, once."""

import asyncio

import msgspec
import pytest

from server.errors import Refused
from server.exchange.axis import AxisRefused
from server.exchange.incoming import Settled
from server.exchange.model import ExchangeError, PacketKind
from tests.unit.server.exchange.house import CLERK, ORGANISATION
from tests.unit.server.exchange.test_arrivals import DOCUMENT, STATUS, identifier, made


async def poisonous(desk):
    """A document that our own defect keeps out, parked; what cures it."""
    taken = desk.house.arrivals.came

    async def fails(_tx, _came, *, now_us):
        raise RuntimeError(now_us)

    desk.house.arrivals.came = fails
    await desk.sender.send(desk.sender.document())
    for _ in range(4):
        await desk.house.exchange.poll(DOCUMENT)
        desk.house.clock.advance(1000)

    def cure():
        desk.house.arrivals.came = taken

    [row] = await desk.house.exchange.parked(10)
    return row["axis_id"], cure


@pytest.mark.asyncio
async def test_a_parked_packet_is_taken_up_once_its_cause_is_cured(db, tmp_path, clock, stage):
    """D14, EXC-3: from the kept bytes, in the ordinary way, whoever asks at the same time; its sender hears 01."""
    desk = await made(db, tmp_path, clock, stage)
    house = desk.house
    axis_id, cure = await poisonous(desk)
    with pytest.raises(RuntimeError):
        await house.exchange.take_up_again(axis_id, "nguoi-mau")
    assert [row["state"] for row in await house.exchange.parked(10)] == ["unreadable"]
    cure()
    asked = [house.exchange.take_up_again(axis_id, "nguoi-mau") for _ in range(2)]
    first, second = sorted(
        await asyncio.gather(*asked, return_exceptions=True), key=lambda one: isinstance(one, Refused)
    )
    assert (first.state, first.error, first.organisation) == ("stored", "", ORGANISATION)
    assert isinstance(second, Refused)
    assert [row["kind"] for row in await desk.rows()] == ["new"]
    await desk.answers()
    assert await desk.sender.heard() == [("01", identifier("12"), "")]
    assert await house.exchange.parked(10) == []
    event = await db.fetch_one("SELECT * FROM audit_events WHERE kind = 'exchange.packet_taken_up'")
    assert (event["organisation"], event["actor"], event["subject"]) == (ORGANISATION, "operator", first.document)
    assert msgspec.json.decode(event["body"])["by"] == "nguoi-mau"
    [packet] = [packet for packet in (await stage.oracle())["packets"] if packet["kind"] == "edoc"]
    assert [copy["state"] for copy in packet["copies"]] == ["done"]
    with pytest.raises(Refused, match="not-found"):
        await house.exchange.take_up_again(axis_id, "nguoi-mau")


@pytest.mark.asyncio
async def test_the_organisation_concerned_hears_of_what_was_parked(sqlite_db, tmp_path, clock, stage):
    """D14: the alarm stands in its own log, and its clerk reads why in their language."""
    desk = await made(sqlite_db, tmp_path, clock, stage)
    await sqlite_db.transact(lambda tx: tx.execute("UPDATE people SET locale = 'en' WHERE id = $1", CLERK))
    axis_id, _ = await poisonous(desk)
    event = await sqlite_db.fetch_one("SELECT * FROM audit_events WHERE kind = 'exchange.incoming_alarm'")
    assert (event["organisation"], event["subject"]) == (ORGANISATION, axis_id)
    told = await sqlite_db.fetch_all("SELECT person, headline FROM notices WHERE kind = 'packet_parked'")
    assert [(row["person"], row["headline"]) for row in told] == [(CLERK, "X02 · The packet cannot be read")]


@pytest.mark.asyncio
async def test_what_was_never_handed_over_is_fetched_when_it_is_taken_up(sqlite_db, tmp_path, clock, stage):
    desk = await made(sqlite_db, tmp_path, clock, stage)
    house = desk.house
    await desk.sender.send(desk.sender.document())
    [item] = await house.axis.received(DOCUMENT)
    nothing = await house.blobs.put_bytes(b"")
    await sqlite_db.transact(
        lambda tx: tx.execute(
            "INSERT INTO incoming_packets (axis_id, kind, sender, receiver, blob, state, error, received_us, confirmed_us)"
            " VALUES ($1, 'edoc', 'X02', 'X01', $2, 'unfetched', 'not-handed-over', 1, 1)",
            item.doc_id,
            nothing,
        )
    )
    with pytest.raises(Refused, match="not-found"):
        async with house.exchange.parked_bytes(item.doc_id):
            """Nothing was kept."""
    fetch = house.axis.fetch

    async def refuses(_doc_id, _into):
        raise AxisRefused("20")

    house.axis.fetch = refuses
    with pytest.raises(ExchangeError):
        await house.exchange.take_up_again(item.doc_id, "x")
    house.axis.fetch = fetch
    assert (await house.exchange.take_up_again(item.doc_id, "x")).state == "stored"
    row = await sqlite_db.fetch_one("SELECT blob FROM incoming_packets WHERE axis_id = $1", item.doc_id)
    assert b"DocumentId" in await house.blobs.read(row["blob"])
    assert len(await desk.rows()) == 1


@pytest.mark.asyncio
async def test_what_is_no_better_stays_parked_until_it_is_dismissed(sqlite_db, tmp_path, clock, stage):
    """A status that nobody can read: taken up in vain, saved byte for byte, dismissed by name."""
    desk = await made(sqlite_db, tmp_path, clock, stage)
    house = desk.house
    raw = b"no packet at all"
    blob = await house.blobs.put_bytes(raw)
    await sqlite_db.transact(
        lambda tx: tx.execute(
            "INSERT INTO incoming_packets (axis_id, kind, sender, receiver, blob, state, error, received_us, confirmed_us)"
            " VALUES ('a', $1, 'X02', 'X01', $2, 'unreadable', 'not-xml', 1, 1)",
            PacketKind.STATUS.value,
            blob,
        )
    )
    assert await house.exchange.take_up_again("a", "x") == Settled("unreadable", "not-xml")
    async with house.exchange.parked_bytes("a") as path:
        assert path.read_bytes() == raw
    assert await house.exchange.parked_count() == 1
    await house.exchange.dismiss("a", "nguoi-mau")
    assert await house.exchange.parked_count() == 0
    assert await house.count("audit_events", "kind = 'exchange.packet_dismissed'") == 1
    with pytest.raises(Refused, match="not-found"):
        await house.exchange.dismiss("a", "nguoi-mau")
    assert await house.exchange.poll(STATUS) == 0
