"""Statuses of receivers over the real stand-in axis: stored before they are confirmed, applied once, in whatever order.

Longer than most: orders and crashes are tried on the same road.
"""

import asyncio
import itertools

import msgspec
import pytest
import pytest_asyncio

from server.clock import SystemClock
from server.documents.model import State
from server.documents.service import documents_load, move
from server.errors import Refused
from server.exchange import edxml
from server.exchange.axis import AxisUnavailable
from server.exchange.model import Organisation, PacketKind, ResponseFor, StatusPacket
from server.jobs import LocalWakeup, Worker, connect
from server.settings import ExchangeSettings
from tests.faults.exchange_loops import kill_cycles
from tests.unit.server.exchange.house import CLERK, LEADER, ORGANISATION, House
from tests.unit.server.exchange.samples import AT_US, DAY, make_packet

STATUS, DOCUMENT = PacketKind.STATUS, PacketKind.DOCUMENT


@pytest_asyncio.fixture
async def house(sqlite_db, tmp_path, clock, stage):
    house = House(sqlite_db, tmp_path, clock, stage.client("X01", send_s=1))
    await house.found()
    return house


class Sends:
    """Status packets of peers, written by hand so that any order, time and code can be had."""

    def __init__(self, stage, folder):
        self.stage, self.folder, self.clients = stage, folder, {}

    async def __call__(
        self, code, status, *, number="12", at_us=None, document_id=None, spelled=None, description="", to="X01"
    ):
        packet = StatusPacket(
            sender=Organisation(organ_id=spelled or code, name="Cơ quan Mẫu"),
            response_for=ResponseFor(
                organ_id=to, code=f"{number}/QĐ-CQM", promulgated=DAY,
                document_id=f"H-01,2026/03/02,{number}/QĐ-CQM" if document_id is None else document_id,
            ),
            status=status, description=description, at_us=AT_US + int(status) * 1_000_000 if at_us is None else at_us,
        )  # fmt: skip
        await self.packet(code, packet, STATUS, to)

    async def packet(self, code, packet, kind, to="X01"):
        path = self.folder / "out.edxml"
        path.unlink(missing_ok=True)
        edxml.write(packet, path)
        if code not in self.clients:
            self.clients[code] = self.stage.client(code)
        outcome = await self.clients[code].send(kind, path, code, [to])
        assert outcome.doc_id


@pytest.fixture
def sends(stage, tmp_path):
    return Sends(stage, tmp_path)


async def forwarded(house, number="12", receivers=("X02",)):
    document = await house.sealed(number, receivers=receivers)
    assert await house.run() == "done"
    return document


async def notices(house, kind):
    rows = await house.db.fetch_all("SELECT person FROM notices WHERE kind = $1 ORDER BY person", kind)
    return [row["person"] for row in rows]


async def incoming(house):
    rows = await house.db.fetch_all(
        "SELECT state, error, confirmed_us FROM incoming_packets ORDER BY received_us, axis_id"
    )
    return [(row["state"], row["error"], row["confirmed_us"] is not None) for row in rows]


@pytest.mark.asyncio
async def test_arrived_and_accepted_by_all_move_the_document_and_tell_people(house, sends):
    """EXC-6: delivered when all have it, accepted when all took it in; each status is in the feed."""
    document = await forwarded(house, receivers=("X02", "X03"))
    for code, status, expected in (
        ("X02", "01", "forwarded"),
        ("X03", "01", "delivered"),
        ("X02", "03", "delivered"),
        ("X03", "03", "accepted"),
    ):
        await sends(code, status)
        assert await house.exchange.poll(STATUS) == 1
        assert await house.state(document) == expected
    assert await notices(house, "accepted") == sorted([LEADER, CLERK])
    assert await house.receivers(document) == [("X02", "accepted", "03"), ("X03", "accepted", "03")]
    assert [
        (kind, detail.get("receiver"), detail.get("status_code")) for kind, _, detail in await house.changes(document)
    ][1:] == [
        ("document.status", "X02", "01"),
        ("document.status", "X03", "01"),
        ("document.delivered", "X03", "01"),
        ("document.status", "X02", "03"),
        ("document.status", "X03", "03"),
        ("document.accepted", "X03", "03"),
    ]
    assert await incoming(house) == [("applied", "", True)] * 4
    assert await house.axis.received(STATUS) == []


@pytest.mark.asyncio
async def test_a_refusal_names_receiver_and_reason_and_tells_people(house, sends):
    """EXC-3."""
    document = await forwarded(house, receivers=("X02", "X03"))
    await sends("X03", "03")
    await sends("X02", "02", description="Không\u202e đúng thẩm quyền")
    await house.exchange.poll(STATUS)
    assert await house.state(document) == "refused"
    assert await notices(house, "refused") == sorted([LEADER, CLERK])
    last = (await house.changes(document))[-1]
    assert last == (
        "document.refused",
        "refused",
        {"receiver": "X02", "status_code": "02", "reason": "Không đúng thẩm quyền"},
    )
    # A late 03 of the same receiver does not undo its refusal; a person is asked to look.
    await sends("X02", "03")
    await house.exchange.poll(STATUS)
    assert (await house.state(document), (await house.receivers(document))[0]) == ("refused", ("X02", "rejected", "02"))
    assert ("applied", "status-after-end", True) in await incoming(house)
    assert len(await notices(house, "refused")) == 2


@pytest.mark.asyncio
async def test_late_repeated_and_lower_statuses_go_into_the_history_only(house, sends, stage):
    document = await forwarded(house)
    for status in ("05", "03", "01", "05"):
        await sends("X02", status)
    await stage.put("_faults", [{"fault": "duplicate", "call": "getReceivedEdocList"}])
    assert await house.exchange.poll(STATUS) == 4
    assert (await house.state(document), await house.receivers(document)) == (
        "accepted",
        [("X02", "in_progress", "05")],
    )
    rows = await house.db.fetch_all("SELECT status_code FROM business_statuses ORDER BY received_us, id")
    assert [row["status_code"] for row in rows] == ["05", "03", "01"]
    assert sorted(state for state, _, _ in await incoming(house)) == ["applied", "applied", "applied", "repeated"]
    assert [kind for kind, _, _ in await house.changes(document)].count("document.accepted") == 1
    assert await notices(house, "accepted") == sorted([LEADER, CLERK])


@pytest.mark.asyncio
async def test_what_answers_nothing_of_ours_is_kept_alarmed_and_confirmed(house, sends):
    """Unknown document, a receiver that was never addressed, an unknown code: no transition, nothing lost, no blocked queue."""
    document = await forwarded(house)
    await house.agencies.synchronise()
    await sends("X02", "03", number="99", document_id="X09,2026/01/01,99/KHAC")
    await sends("X03", "03")
    await sends("X02", "09")
    assert await house.exchange.poll(STATUS) == 3
    assert (await house.state(document), await house.receivers(document)) == (
        "forwarded",
        [("X02", "accepted_by_exchange", None)],
    )
    assert sorted(await incoming(house)) == [
        ("applied", "unknown-status", True),
        ("unmatched", "document-unknown", True),
        ("unmatched", "receiver-unknown", True),
    ]
    rows = await house.db.fetch_all(
        "SELECT organisation, body FROM audit_events WHERE kind = 'exchange.incoming_alarm' ORDER BY id"
    )
    assert {msgspec.json.decode(row["body"])["code"] for row in rows} == {
        "unknown-status",
        "document-unknown",
        "receiver-unknown",
    }
    assert await house.axis.received(STATUS) == []
    for row in await house.db.fetch_all("SELECT blob FROM incoming_packets"):
        assert b"StatusCode" in await house.blobs.read(row["blob"])


@pytest.mark.asyncio
async def test_codes_are_compared_by_the_kept_list_and_answers_without_our_id_by_reference(house, sends):
    """Reference §5, §6.6: old codes still travel, and some answers quote number and day only."""
    document = await forwarded(house)
    await sends("X02", "01", spelled="000.00.00.x02")
    assert await house.exchange.poll(STATUS) == 0  # without the list nothing is guessed; the packet stays at the axis
    assert await incoming(house) == []
    await house.agencies.synchronise()
    house.clock.advance(120)
    assert await house.exchange.poll(STATUS) == 1
    assert await house.state(document) == "delivered"
    await sends("X02", "03", document_id="", to="000.00.00.X01")
    house.clock.advance(2)
    assert await house.exchange.poll(STATUS) == 1
    assert (await house.state(document), await house.receivers(document)) == ("accepted", [("X02", "accepted", "03")])


@pytest.mark.asyncio
async def test_a_status_that_overtakes_the_answer_to_our_send_is_not_lost(house, sends, stage):
    """The receiver was quicker than the axis' answer: the document arrives in its right state once we know."""
    document = await house.sealed()
    await stage.put("_faults", [{"fault": "drop-after"}])
    ended = await house.run()
    await sends("X02", "01")
    await sends("X02", "03")
    assert await house.exchange.poll(STATUS) == 2
    assert await house.state(document) == "sealed"
    house.clock.advance(ended[1])
    assert await house.run() == "done"
    assert await house.state(document) == "accepted"
    assert await notices(house, "accepted") == sorted([LEADER, CLERK])
    kinds = [kind for kind, _, _ in await house.changes(document)]
    assert kinds == ["document.status", "document.status", "document.forwarded", "document.accepted"]


@pytest.mark.asyncio
async def test_a_recalled_document_is_moved_by_no_status(house, sends):
    document = await forwarded(house)

    async def recall(tx):
        await move(tx, await documents_load(tx, document), State.RECALLED, actor="c", now_us=house.clock.now_us())

    await house.db.transact(recall)
    await sends("X02", "03")
    await house.exchange.poll(STATUS)
    assert (await house.state(document), await house.receivers(document)) == ("recalled", [("X02", "accepted", "03")])
    assert await notices(house, "accepted") == []


@pytest.mark.asyncio
async def test_a_status_is_applied_once_when_the_process_dies_before_it_is_confirmed(house, sends):
    """D1: the axis lists a packet until it is confirmed, so it is seen again, and is known."""
    document = await forwarded(house)
    await sends("X02", "03")
    confirm = house.axis.confirm

    async def dies(*_):
        raise KeyboardInterrupt

    house.axis.confirm = dies
    with pytest.raises(KeyboardInterrupt):
        await house.exchange.poll(STATUS)
    assert await house.state(document) == "accepted"
    house.axis.confirm = confirm
    house.restart()
    assert await house.exchange.poll(STATUS) == 0
    assert await house.axis.received(STATUS) == []
    assert [kind for kind, _, _ in await house.changes(document)].count("document.accepted") == 1
    assert (await notices(house, "accepted"), await incoming(house)) == (
        sorted([LEADER, CLERK]),
        [("applied", "", True)],
    )


@pytest.mark.asyncio
async def test_a_confirmation_that_was_made_but_not_written_down_is_found_out(house, sends):
    await forwarded(house)
    await sends("X02", "03")
    confirm = house.axis.confirm

    async def confirms_and_dies(*given):
        await confirm(*given)
        raise AxisUnavailable("http-500")

    house.axis.confirm = confirms_and_dies
    await house.exchange.poll(STATUS)
    assert await incoming(house) == [("applied", "", False)]
    house.axis.confirm = confirm
    house.clock.advance(120)
    await house.exchange.poll(STATUS)
    assert await incoming(house) == [("applied", "", True)]


@pytest.mark.asyncio
async def test_an_unreadable_packet_is_kept_confirmed_as_failed_and_blocks_nothing(house, sends, stage):
    """D14, reference §7.2."""
    document = await forwarded(house)
    await sends("X02", "01")
    await sends("X02", "03")
    [first, _] = await house.axis.received(STATUS)
    fetch = house.axis.fetch

    async def damaged(doc_id, into):
        size = await fetch(doc_id, into)
        if doc_id == first.doc_id:
            into.write_bytes(b"<edXML><broken")
        return size

    house.axis.fetch = damaged
    assert await house.exchange.poll(STATUS) == 2
    states = await incoming(house)
    assert sorted(state for state, _, _ in states) == ["applied", "unreadable"]
    assert await house.state(document) == "accepted"
    packets = (await stage.oracle())["packets"]
    copies = [copy for packet in packets for copy in packet["copies"] if packet["kind"] == "status"]
    assert [(copy["state"], bool(copy["reason"])) for copy in copies] == [("fail", True), ("done", False)]
    row = await house.db.fetch_one("SELECT blob FROM incoming_packets WHERE state = 'unreadable'")
    assert await house.blobs.read(row["blob"]) == b"<edXML><broken"


@pytest.mark.asyncio
async def test_a_packet_that_cannot_be_fetched_holds_up_no_other(house, sends):
    """D14: it stays at the axis and is tried again later."""
    document = await forwarded(house)
    await sends("X02", "01")
    await sends("X02", "03")
    [first, _] = await house.axis.received(STATUS)
    fetch = house.axis.fetch

    async def broken(doc_id, into):
        if doc_id == first.doc_id:
            raise AxisUnavailable("ReadTimeout")
        return await fetch(doc_id, into)

    house.axis.fetch = broken
    for _ in range(5):
        await house.exchange.poll(STATUS)
        house.clock.advance(1)
    assert (await house.state(document), await incoming(house)) == ("accepted", [("applied", "", True)])
    house.axis.fetch = fetch
    house.clock.advance(60)
    assert await house.exchange.poll(STATUS) == 1
    assert await house.receivers(document) == [("X02", "accepted", "03")]


@pytest.mark.asyncio
async def test_a_full_volume_leaves_the_packet_at_the_axis(house, sends):
    """D8: what we cannot store is not confirmed."""
    document = await forwarded(house)
    await sends("X02", "03")
    put_file = house.blobs.put_file

    async def full(_path):
        raise Refused("insufficient-storage")

    house.blobs.put_file = full
    assert await house.exchange.poll(STATUS) == 0
    assert (len(await house.axis.received(STATUS)), await incoming(house)) == (1, [])
    assert await house.state(document) == "forwarded"
    house.blobs.put_file = put_file
    assert await house.exchange.poll(STATUS) == 1
    assert await house.state(document) == "accepted"


@pytest.mark.asyncio
async def test_incoming_documents_are_stored_raw_before_they_are_confirmed(house, sends, tmp_path):
    packet = make_packet(tmp_path, receivers=("X01",))
    sender = msgspec.structs.replace(packet.header.sender, organ_id="X02")
    packet = msgspec.structs.replace(packet, header=msgspec.structs.replace(packet.header, sender=sender))
    await sends.packet("X02", packet, DOCUMENT)
    confirm, seen = house.axis.confirm, []

    async def watched(*given):
        seen.append(await incoming(house))
        await confirm(*given)

    house.axis.confirm = watched
    assert await house.exchange.poll(DOCUMENT) == 1
    assert seen == [[("stored", "", False)]]
    assert await incoming(house) == [("stored", "", True)]
    # EXC-2: the same transaction asks for the validation of its files, once.
    assert await house.exchange.poll(DOCUMENT) == 0
    jobs = await house.db.fetch_all("SELECT kind, payload FROM jobs WHERE kind = 'validations.incoming'")
    assert len(jobs) == 1
    row = await house.db.fetch_one("SELECT kind, sender, receiver, organisation, blob FROM incoming_packets")
    assert tuple(row[name] for name in ("kind", "sender", "receiver", "organisation")) == (
        "edoc",
        "X02",
        "X01",
        ORGANISATION,
    )
    raw = tmp_path / "raw.edxml"
    raw.write_bytes(await house.blobs.read(row["blob"]))
    (tmp_path / "files").mkdir()
    got = edxml.parse(raw, tmp_path / "files").packet
    assert got.attachments[0].sha256 == packet.attachments[0].sha256
    assert await house.axis.received(DOCUMENT) == []


@pytest.mark.asyncio
async def test_an_axis_that_is_down_is_asked_ever_more_seldom(house, stage):
    """D3."""
    await stage.put("_faults", [{"fault": "500-before", "call": "getReceivedEdocList", "times": -1}])
    asked = []
    received = house.axis.received

    async def counted(kind):
        asked.append(house.clock.now_us())
        return await received(kind)

    house.axis.received = counted
    for _ in range(600):
        await house.exchange.poll(STATUS)
        house.clock.advance(1)
    assert len(asked) <= 16
    assert all(after - before >= 59_000_000 for before, after in itertools.pairwise(asked[6:]))


@pytest.mark.asyncio
async def test_without_an_axis_documents_wait(sqlite_db, tmp_path, clock):
    house = House(sqlite_db, tmp_path, clock, None)
    await house.found()
    document = await house.sealed()
    assert await house.run() == ("retry", None, "exchange-not-configured")
    assert await house.exchange.poll(STATUS) == 0
    assert await house.state(document) == "sealed"
    assert ExchangeSettings().settle_s >= 120


@pytest.mark.asyncio
async def test_the_road_on_both_engines(db, tmp_path, clock, stage):
    """One text for SQLite and PostgreSQL: forwarded, delivered, accepted, repeated, refused."""
    house = House(db, tmp_path, clock, stage.client("X01", send_s=1))
    await house.found()
    await stage.put("_peers", {"X02": {"statuses": ["01", "03"]}, "X03": {"statuses": ["01", "03", "02"]}})
    one = await forwarded(house, "1", ("X02",))
    two = await forwarded(house, "2", ("X02", "X03"))

    async def all_in():
        await house.exchange.poll(STATUS)
        return await house.count("business_statuses") == 7

    await stage.until(all_in)
    assert [await house.state(document) for document in (one, two)] == ["accepted", "refused"]
    assert ("applied", "rejected-after-acceptance", True) in await incoming(house)
    assert await house.count("jobs") == 0


@pytest.mark.asyncio
async def test_a_real_worker_takes_a_document_all_the_way(db, tmp_path, stage):
    """Jobs, their last transaction and the periodic polls as the product runs them."""
    clock = SystemClock()
    house = House(db, tmp_path, clock, stage.client("X01"), settle_s=0.2)
    await house.found()
    await stage.put("_peers", {"X02": {}, "X03": {}})
    await stage.put("_faults", [{"fault": "drop-after"}])
    wakeup = LocalWakeup()
    connect(db, wakeup)
    worker = Worker(db, house.tasks.handlers(), clock, wakeup, periodic=house.tasks.periodic())
    running = asyncio.create_task(worker.run())
    documents = [await house.sealed(str(number), receivers=("X02", "X03")) for number in range(5)]

    async def all_accepted():
        return [await house.state(document) for document in documents] == ["accepted"] * 5

    await stage.until(all_accepted, seconds=60)
    await worker.stop()
    await running
    assert len([packet for packet in (await stage.oracle())["packets"] if packet["kind"] == "edoc"]) == 5
    assert await house.count("jobs", "kind = 'exchange.forward' OR state = 'buried'") == 0


@pytest.mark.asyncio
async def test_kill_9_at_every_point_loses_and_doubles_nothing(tmp_path):
    """D1, D2: each document is accepted, answered, applied and told once."""
    counts = await kill_cycles(tmp_path / "loop", rounds=10, seed=3)
    assert counts.pop("crashed") >= 1
    assert counts == dict.fromkeys(
        (
            "lost",
            "doubled",
            "changed",
            "unfinished",
            "unrecorded",
            "repeated_here",
            "unheard",
            "untold",
            "arrivals_lost",
            "arrivals_doubled",
        ),
        0,
    ) | {"rounds": 10}
