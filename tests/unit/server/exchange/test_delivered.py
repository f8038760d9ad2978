"""Receivers that have a packet and say nothing: the axis is asked, ever more seldom."""

import pytest

from server.exchange.axis import AxisRefused
from server.exchange.model import PacketKind
from tests.unit.server.exchange.house import House
from tests.unit.server.exchange.test_service_statuses import Sends

STATUS, EDOC = PacketKind.STATUS, PacketKind.DOCUMENT


async def made(db, tmp_path, clock, stage):
    """A house that counts how often it asks the sent list."""
    axis = stage.client("X01")
    house = House(db, tmp_path, clock, axis)
    await house.found()
    house.asked, real = [], axis.sent

    async def sent(*given):
        house.asked.append(given[1] if len(given) > 1 else None)
        return await real(*given)

    axis.sent = sent
    return house


async def taken(stage, code, folder):
    """The system of `code` fetches and confirms what waits for it; no clerk there does anything."""
    peer = stage.client(code)
    for item in await peer.received(EDOC):
        await peer.fetch(item.doc_id, folder / item.doc_id)
        await peer.confirm(item.doc_id)


@pytest.mark.asyncio
async def test_who_has_it_and_says_nothing_is_seen_at_the_axis(db, tmp_path, clock, stage):
    """EXC-6: delivered is what the axis says of the receiver's system; 01 and all above it are the receiver's own word and stand higher."""
    house = await made(db, tmp_path, clock, stage)
    document = await house.sealed(receivers=("X02", "X03"))
    assert await house.settle() == "done"
    await taken(stage, "X02", tmp_path)
    await house.tasks.statuses(None, None)
    assert house.asked == [], "its 01 may still come"
    clock.advance(16 * 60)
    await house.tasks.statuses(None, None)
    assert [state for _, state, _ in await house.receivers(document)] == ["delivered", "accepted_by_exchange"]
    assert len(house.asked) == 1
    await Sends(stage, tmp_path)("X02", "01")
    await house.tasks.statuses(None, None)
    assert [state for _, state, _ in await house.receivers(document)] == ["arrived", "accepted_by_exchange"]
    await taken(stage, "X03", tmp_path)
    clock.advance(17 * 60)
    await house.tasks.statuses(None, None)
    assert [state for _, state, _ in await house.receivers(document)] == ["arrived", "delivered"]
    clock.advance(86_400)
    await house.tasks.statuses(None, None)
    assert len(house.asked) == 2, "nobody is silent any more"
    assert await house.state(document) == "forwarded", "what the axis says is no receiver's confirmation"


@pytest.mark.asyncio
async def test_a_silent_receiver_is_asked_about_ever_more_seldom_and_not_for_ever(sqlite_db, tmp_path, clock, stage):
    house = await made(sqlite_db, tmp_path, clock, stage)
    await house.sealed()
    assert await house.settle() == "done"
    for _ in range(45 * 24):
        await house.exchange.look_for_deliveries()
        clock.advance(3600)
    assert 8 <= len(house.asked) <= 12
    assert len(set(house.asked)) == 1


@pytest.mark.asyncio
async def test_packets_that_cannot_be_asked_about_hold_up_no_others(sqlite_db, tmp_path, clock, stage, monkeypatch):
    """D14: of a system that is configured no more, and one whose id goes in no header."""
    monkeypatch.setattr("server.exchange.delivered._AT_ONCE", 2)
    house = await made(sqlite_db, tmp_path, clock, stage)
    gone, broken, asked = [await house.sealed(number) for number in ("1", "2", "3")]
    for _ in range(3):
        assert await house.settle() == "done"
        clock.advance(1)
    for document, change in ((gone, "system = 'X09'"), (broken, "doc_id = 'é'")):
        await sqlite_db.transact(
            lambda tx, document=document, change=change: tx.execute(
                f"UPDATE outgoing_packets SET {change} WHERE document = $1", document
            )
        )
    await taken(stage, "X02", tmp_path)
    clock.advance(16 * 60)
    assert await house.exchange.look_for_deliveries() == 1
    assert await house.receivers(asked) == [("X02", "delivered", None)]


@pytest.mark.asyncio
async def test_a_system_that_is_not_known_any_more_is_asked_once_a_minute(sqlite_db, tmp_path, clock, stage):
    """D3: what refuses the credentials is no answer about a packet."""
    house = await made(sqlite_db, tmp_path, clock, stage)
    for number in ("1", "2"):
        await house.sealed(number)
        assert await house.settle() == "done"
    clock.advance(16 * 60)
    asked = []

    async def refuses(_kind, doc_id):
        asked.append(doc_id)
        raise AxisRefused("15")

    house.axis.sent = refuses
    assert await house.exchange.look_for_deliveries() == 0
    assert len(asked) == 1
    assert await house.count("outgoing_packets", "asked_us IS NOT NULL") == 0
    assert await house.count("axis_health") == 1
