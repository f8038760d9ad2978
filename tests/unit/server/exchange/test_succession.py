"""Agencies merge while packets are in flight (reference §6.6): none is lost, none comes twice, old codes are answered; whom packets come from."""

import asyncio
import json

import msgspec
import pytest
import pytest_asyncio

from server.documents import queries as documents
from server.exchange import edxml, queries
from server.exchange.axis import AxisRefused, AxisUnavailable
from server.exchange.directory import queries as directory
from server.exchange.forward import Stage
from server.exchange.model import Organisation, PacketKind
from server.exchange.standin_world import Merger
from server.exchange.succession import wait_s
from server.jobs import Lane
from tests.unit.server.exchange.house import CLERK, LEADER, House
from tests.unit.server.exchange.samples import make_packet, make_status

EDOC, STATUS = PacketKind.DOCUMENT, PacketKind.STATUS


async def made(db, tmp_path, clock, stage):
    house = House(db, tmp_path, clock, stage.client("X01"))
    await house.found()
    return house


@pytest_asyncio.fixture
async def house(sqlite_db, tmp_path, clock, stage):
    return await made(sqlite_db, tmp_path, clock, stage)


@pytest_asyncio.fixture
async def houses(db, tmp_path, clock, stage):
    """On both engines."""
    return await made(db, tmp_path, clock, stage)


async def merged(stage, code, into, name=""):
    assert json.loads((await stage.standin.merge(Merger(codes=(code,), into=into, name=name))).body)["status"] == "OK"


async def sent(stage, kind="edoc"):
    return [
        ([copy["receiver"] for copy in packet["copies"]], packet["document_id"])
        for packet in (await stage.oracle())["packets"]
        if packet["kind"] == kind and packet["sender"] == "X01"
    ]


async def kept(house):
    rows = await house.db.fetch_all("SELECT state, error FROM incoming_packets ORDER BY received_us, axis_id")
    return [(row["state"], row["error"]) for row in rows]


async def alarms(house, kind):
    return await house.count("audit_events", "kind = $1", kind)


@pytest.mark.asyncio
@pytest.mark.parametrize("known_before", [True, False])
async def test_what_waits_for_a_merged_agency_goes_to_its_successor_and_people_are_told(houses, stage, known_before):
    house = houses
    document = await house.sealed(receivers=("X03", "X02"))
    await stage.put("_faults", [{"fault": "drop-before"}])
    assert (await house.run())[0] == "retry"  # the packet is built and addressed
    house.clock.advance(60)
    await merged(stage, "X03", "X02", "Cơ quan Mẫu Hai mới")
    if known_before:
        await house.agencies.synchronise()
    assert await house.settle() == "done"
    identifier = (await house.db.fetch_one("SELECT exchange_id FROM documents"))["exchange_id"]
    assert await sent(stage) == [(["X02"], identifier)], "one copy, under the same DocumentId"
    assert await house.receivers(document) == [("X02", "accepted_by_exchange", None)]
    assert ("document.readdressed", "sealed", {"receivers": {"X03": "X02"}}) in await house.changes(document)
    told = await house.db.fetch_all("SELECT person FROM notices WHERE kind = 'readdressed'")
    assert {row["person"] for row in told} == {LEADER, CLERK}
    assert await alarms(house, "exchange.forward_failed") == 0
    row = await house.db.fetch_one("SELECT blob FROM outgoing_packets")
    assert b"X03" not in await house.blobs.read(row["blob"])


@pytest.mark.asyncio
async def test_a_successor_that_is_spelled_otherwise_among_the_receivers_is_one_receiver(houses, stage):
    house = houses
    document = await house.sealed(receivers=("X03", "x02"))
    await merged(stage, "X03", "X02")
    await house.agencies.synchronise()
    assert await house.settle() == "done"
    assert len(await house.receivers(document)) == 1, "nobody waits for a second answer of the same agency"
    assert [receivers for receivers, _ in await sent(stage)] == [["X02"]]


@pytest.mark.asyncio
async def test_a_merger_of_a_merger_is_followed_and_a_closed_code_without_successor_waits_for_a_person(house, stage):
    await merged(stage, "X03", "X02")
    await house.agencies.synchronise()
    await merged(stage, "X02", "X05", "Cơ quan Mẫu Năm")
    await house.agencies.synchronise()
    assert await directory.current(house.db, "", "X03") == "X05"
    assert set(await directory.names(house.db, "", "X03")) >= {"x03", "x05"}
    assert await directory.same(house.db, "", "X03", "X02"), "one agency now"
    document = await house.sealed("1", receivers=("X03",))
    assert await house.settle() == "done"
    assert await house.receivers(document) == [("X05", "accepted_by_exchange", None)]
    stranded = await house.sealed("2", receivers=("X04",))
    assert await house.settle() == ("buried", "axis-refused-23")
    assert await house.state(stranded) == "sealed"


@pytest.mark.asyncio
async def test_an_answer_to_a_merged_sender_goes_to_its_successor(houses, stage, written):
    """03 waits in the outbox while its receiver's code ends; what it says of the document stays the same."""
    house = houses
    packet = make_packet(house.blobs.scratch(), receivers=("X01",))
    header = msgspec.structs.replace(
        packet.header, sender=Organisation(organ_id="X03"), document_id="X03,2026/03/02,12/QĐ"
    )
    file = written(msgspec.structs.replace(packet, header=header))
    await stage.client("X03").send(EDOC, file.path, "X03", ["X01"])
    assert await house.exchange.poll(EDOC) == 1
    await merged(stage, "X03", "X02")
    for lane in (Lane.URGENT, Lane.NORMAL):
        while (ended := await house.run(lane)) != "none":
            house.clock.advance(1 if ended == "done" else max(ended[1], 0.001))
    assert await sent(stage, "status") == [(["X02"], "X03,2026/03/02,12/QĐ")]
    assert await alarms(house, "exchange.message_readdressed") == 1


@pytest.mark.asyncio
async def test_what_comes_for_a_code_that_merged_into_ours_is_taken_in_and_the_old_code_answered(house, stage, written):
    file = written(make_packet(house.blobs.scratch(), receivers=("X03",)))
    await stage.client("X02").send(EDOC, written(_from("X02", house, "X03"), "other").path, "X02", ["X03"])
    await house.agencies.synchronise()
    await merged(stage, "X03", "X01")
    # Our list is older than the merger: the packet is left where it is until the list is newer.
    assert await house.exchange.poll(EDOC) == 0
    assert await kept(house) == []
    house.clock.advance(31)
    assert await house.exchange.poll(EDOC) == 1
    assert await kept(house) == [("stored", "")]
    row = await house.db.fetch_one("SELECT organisation, receiver FROM arrivals")
    assert row["receiver"] == "X03"
    assert file.size


def _from(code, house, to):
    packet = make_packet(house.blobs.scratch(), receivers=(to,))
    header = msgspec.structs.replace(
        packet.header, sender=Organisation(organ_id=code), document_id=f"{code},2026/03/02,12/QĐ"
    )
    return msgspec.structs.replace(packet, header=header)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("check", "expected"),
    [("flag", ("stored", "sender-differs")), ("park", ("unproven", "sender-differs")), ("off", ("stored", ""))],
)
async def test_a_packet_under_anothers_name_is_flagged_or_parked_as_the_setting_says(
    house, stage, written, check, expected
):
    """C1, EXC-4: From is what the sender wrote; whom the axis let send is what it lists."""
    house.settings = msgspec.structs.replace(house.settings, sender_check=check)
    house.restart()
    await house.agencies.synchronise()
    await stage.client("X03").send(EDOC, written(_from("X02", house, "X01")).path, "X03", ["X01"])
    assert await house.exchange.poll(EDOC) == 1
    assert await kept(house) == [expected]
    assert await alarms(house, "exchange.incoming_alarm") == (check != "off")
    assert await house.axis.received(EDOC) == []
    assert await house.count("arrivals") == (check != "park")


@pytest.mark.asyncio
async def test_a_forged_status_moves_nothing_where_senders_are_checked(house, stage, written):
    house.settings = msgspec.structs.replace(house.settings, sender_check="park")
    house.restart()
    await house.agencies.synchronise()
    document = await house.sealed(receivers=("X02",))
    assert await house.settle() == "done"
    forged = msgspec.structs.replace(make_status(), response_for=msgspec.structs.replace(make_status().response_for, document_id=(await sent(stage))[0][1]))  # fmt: skip
    await stage.client("X03").send(STATUS, written(forged).path, "X03", ["X01"])
    assert await house.exchange.poll(STATUS) == 1
    assert await house.state(document) == "forwarded"
    await stage.client("X02").send(STATUS, written(forged, "true").path, "X02", ["X01"])
    assert await house.exchange.poll(STATUS) == 1
    assert await house.state(document) == "accepted"


@pytest.mark.asyncio
async def test_a_unit_below_the_system_that_sends_for_it_is_no_stranger(house, stage, written):
    """A hosted axis: one system sends for the units below it (reference §8.3)."""
    await merged(stage, "X03", "X02")
    await house.agencies.synchronise()
    for number, code in (("1", "X03"), ("2", "X02")):
        packet = _from(code, house, "X01")
        header = msgspec.structs.replace(packet.header, number=number, document_id=f"{code},{number}")
        file = written(msgspec.structs.replace(packet, header=header), number)
        await stage.client("X02").send(EDOC, file.path, "X02", ["X01"])
    assert await house.exchange.poll(EDOC) == 2
    assert await kept(house) == [("stored", ""), ("stored", "")]


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [AxisRefused("10"), AxisUnavailable("ReadTimeout")])
async def test_a_packet_that_is_never_handed_over_is_parked_at_last(house, stage, written, error):
    """D14: it was refused, or broke off, for an hour while others came; alone on the list it is waited for."""
    fetch, bad = house.axis.fetch, set()

    async def refuses(doc_id, into):
        if doc_id in bad:
            raise error
        return await fetch(doc_id, into)

    house.axis.fetch = refuses
    sender = stage.client("X02")
    await sender.send(STATUS, written(make_status()).path, "X02", ["X01"])
    bad |= {item.doc_id for item in await house.axis.received(STATUS)}
    for _ in range(8):
        await house.exchange.poll(STATUS)
        house.clock.advance(1000)
    assert await kept(house) == [], "nothing else came: it may be the axis that is out of order"
    for number in range(6):
        await sender.send(STATUS, written(make_status(number=str(number)), f"s{number}").path, "X02", ["X01"])
        for _ in range(2):
            await house.exchange.poll(STATUS)
            house.clock.advance(1000)
            await house.exchange.poll(EDOC)  # another list, which says nothing of this one
    assert min(await kept(house)) == ("unfetched", "not-handed-over")
    assert await house.count("incoming_packets") == 7
    assert await house.axis.received(STATUS) == []
    assert await house.count("audit_events", "kind = 'exchange.incoming_alarm'") >= 1


@pytest.mark.asyncio
async def test_a_packet_that_the_axis_lets_nobody_confirm_holds_up_no_other(house, stage, written):
    """D14: the axis breaks off each time, so that poll ends; what comes behind it on the list comes first the next time."""
    confirm, sender = house.axis.confirm, stage.client("X02")
    for number in ("1", "2", "3", "4"):
        await sender.send(STATUS, written(make_status(number=number), number).path, "X02", ["X01"])
    bad = {item.doc_id for item in (await house.axis.received(STATUS))[:2]}

    async def breaks_off(doc_id, reason=None):
        if doc_id in bad:
            raise AxisUnavailable("http-500")
        await confirm(doc_id, reason)

    house.axis.confirm = breaks_off
    for _ in range(4):
        await house.exchange.poll(STATUS)
        house.clock.advance(100)
    assert await house.count("incoming_packets") == 4
    assert await house.count("incoming_packets", "confirmed_us IS NULL") == 2


@pytest.mark.asyncio
async def test_refusals_are_counted_over_restarts_and_forgotten_with_the_packet(house, stage, written):
    """D14: of a packet that is never handed over, in whichever process; one that is listed no more leaves nothing."""
    fetch, bad = house.axis.fetch, set()

    async def refuses(doc_id, into):
        if doc_id in bad:
            raise AxisRefused("10")
        return await fetch(doc_id, into)

    house.axis.fetch = refuses
    sender = stage.client("X02")
    for number in ("1", "2"):
        await sender.send(STATUS, written(make_status(number=number), number).path, "X02", ["X01"])
    never, withdrawn = sorted(item.doc_id for item in await house.axis.received(STATUS))
    bad |= {never, withdrawn}
    for number in range(7):
        await sender.send(STATUS, written(make_status(number=f"9{number}"), f"s{number}").path, "X02", ["X01"])
        house.restart()
        for _ in range(2):  # a process counts what it sees beside others that were handed over
            await house.exchange.poll(STATUS)
            house.clock.advance(1000)
        if number == 1:
            assert await house.count("incoming_troubles", "refusals > 0") == 2
            await house.axis.confirm(withdrawn)
        await sender.send(STATUS, written(make_status(number=f"8{number}"), f"t{number}").path, "X02", ["X01"])
        await house.exchange.poll(STATUS)
        house.clock.advance(1000)
    assert min(await kept(house)) == ("unfetched", "not-handed-over")
    assert await house.count("incoming_packets", "state = 'unfetched'") == 1
    assert await house.count("incoming_troubles") == 0


@pytest.mark.asyncio
async def test_a_bad_line_of_some_minutes_parks_nothing(house, stage, written):
    fetch, bad = house.axis.fetch, set()

    async def breaks(doc_id, into):
        if doc_id in bad:
            raise AxisUnavailable("ReadTimeout")
        return await fetch(doc_id, into)

    house.axis.fetch = breaks
    sender = stage.client("X02")
    await sender.send(STATUS, written(make_status()).path, "X02", ["X01"])
    bad |= {item.doc_id for item in await house.axis.received(STATUS)}
    for number in range(8):
        await sender.send(STATUS, written(make_status(number=str(number)), f"s{number}").path, "X02", ["X01"])
        await house.exchange.poll(STATUS)
        house.clock.advance(61)
    bad.clear()
    assert await house.exchange.poll(STATUS) == 1
    assert {state for state, _ in await kept(house)} == {"unmatched"}


@pytest.mark.asyncio
async def test_an_agency_that_has_the_copies_of_two_answers_for_both(house, stage, written):
    """Both had the packet when they merged: the successor registers it once, and nobody waits for the other for ever (EXC-6)."""
    document = await house.sealed(receivers=("X02", "X03"))
    assert await house.settle() == "done"
    await merged(stage, "X03", "X02")
    await house.agencies.synchronise()
    identifier = (await sent(stage))[0][1]
    status = make_status()
    answer = msgspec.structs.replace(
        status, response_for=msgspec.structs.replace(status.response_for, document_id=identifier)
    )
    await stage.client("X02").send(STATUS, written(answer).path, "X02", ["X01"])
    assert await house.exchange.poll(STATUS) == 1
    assert await house.receivers(document) == [("X02", "accepted", "03"), ("X03", "accepted", "03")]
    assert await house.state(document) == "accepted"


@pytest.mark.asyncio
async def test_a_list_that_was_read_just_before_the_merger_is_read_again_before_a_person_is_called(house, stage):
    """A refused code may be newer than the list; whoever is still unknown after the next one is buried."""
    assert await house.agencies.of("").refresh()
    await merged(stage, "X03", "X02")
    document, stranded = await house.sealed("1", receivers=("X03",)), await house.sealed("2", receivers=("X04",))
    for _ in range(2):
        assert await house.run() == ("retry", 600.0, "receiver-gone")
    house.clock.advance(601)
    ends = [await house.run() for _ in range(3)]
    assert sorted(map(str, ends)) == sorted(
        map(str, (("retry", 0.0, "receiver-gone"), ("buried", "axis-refused-23"), "done"))
    )
    assert await house.state(document) == "forwarded"
    assert await house.state(stranded) == "sealed"


@pytest.mark.asyncio
async def test_what_a_merged_agency_said_before_speaks_for_no_other(house, stage, written):
    """Two receivers merge into a third; the status that one had sent under its own code comes after the list."""
    await house.agencies.synchronise()
    document = await house.sealed(receivers=("X02", "X03"))
    assert await house.settle() == "done"
    status = make_status()
    answered = msgspec.structs.replace(status.response_for, document_id=(await sent(stage))[0][1])
    status = msgspec.structs.replace(status, response_for=answered, at_us=house.clock.now_us())
    await stage.client("X02").send(STATUS, written(status).path, "X02", ["X01"])
    house.clock.advance(60)
    await merged(stage, "X02", "X05", "Cơ quan Mẫu Năm")
    await merged(stage, "X03", "X05")
    await house.agencies.synchronise()
    assert await house.exchange.poll(STATUS) == 1
    assert await house.receivers(document) == [("X02", "accepted", "03"), ("X03", "accepted_by_exchange", None)]
    assert await house.state(document) == "forwarded"
    # The successor goes on under the old code: it has both copies.
    later = msgspec.structs.replace(status, status="05", at_us=house.clock.now_us() + 1_000_000)
    await stage.client("X02").send(STATUS, written(later, "later").path, "X02", ["X01"])
    assert await house.exchange.poll(STATUS) == 1
    assert [state for _, state, _ in await house.receivers(document)] == ["in_progress", "in_progress"]


@pytest.mark.asyncio
async def test_of_two_codes_of_one_agency_the_one_that_stands_answers(house, stage, written):
    """Its sender may not know of the merger yet, and waits for both."""
    await merged(stage, "X03", "X01")
    await house.agencies.synchronise()
    packet = make_packet(house.blobs.scratch(), receivers=("X03", "X01"))
    await stage.client("X02").send(EDOC, written(packet).path, "X02", ["X01"])
    assert await house.exchange.poll(EDOC) == 1
    rows = await house.db.fetch_all("SELECT receiver FROM arrivals")
    assert [row["receiver"] for row in rows] == ["X01"]


@pytest.mark.asyncio
async def test_all_that_are_refused_at_once_see_the_list_that_one_of_them_reads(house, stage):
    await house.agencies.synchronise()
    await merged(stage, "X03", "X02")
    waits = [wait_s(house.db, house.agencies, "", ["X03"], "") for _ in range(3)]
    assert await asyncio.gather(*waits) == [0.0, 0.0, 0.0]


@pytest.mark.asyncio
async def test_a_ring_of_closed_codes_is_sent_round_by_nobody(house, stage):
    """A list that gives two closed codes in favour of each other names nobody: a person must look, and the axis is asked twice."""
    await house.agencies.synchronise()
    await house.db.transact(
        lambda tx: tx.execute(
            "UPDATE agencies SET closed = 1, successor = CASE WHEN code = 'X02' THEN 'X03' ELSE 'X02' END WHERE code IN ('X02', 'X03')"
        )
    )
    assert await directory.current(house.db, "", "X02") == "X02"
    house.agencies.of("").refresh = _never
    await house.sealed()
    await stage.put("_faults", [{"fault": "refuse", "code": "23", "times": -1}])
    assert await house.settle() == ("buried", "axis-refused-23")
    row = await house.db.fetch_one("SELECT attempts FROM outgoing_packets")
    assert row["attempts"] == 2  # once more after ten minutes, for a list that may come


async def _never():
    return False


@pytest.mark.asyncio
async def test_whoever_holds_the_file_from_before_a_merger_does_not_send_it(house, stage):
    """D2: a worker that lost its lease while the packet was addressed anew goes no step further with what it had read."""
    await house.sealed(receivers=("X03", "X02"))
    await stage.put("_faults", [{"fault": "401"}])
    assert (await house.run())[0] == "retry"
    row = await house.db.fetch_one("SELECT document FROM outgoing_packets")
    before = await queries.outgoing(house.db, row["document"], EDOC.value)
    fresh = await house.blobs.put_bytes(b"another packet")
    sending = msgspec.structs.replace(before.forwarding, stage=Stage.SENDING)

    async def body(tx):
        assert await queries.replace_file(tx, before, fresh) == 1
        return await queries.set_forwarding(tx, before.id, before.forwarding, sending, 1, "")

    assert await house.db.transact(body) == 0


@pytest.mark.asyncio
async def test_what_is_addressed_anew_encloses_the_revision_that_its_row_names(houses, stage, tmp_path):
    """The archive's time stamps give the document another head while its packet waits; what left is what is on record (reference §10)."""
    house = houses
    document = await house.sealed(receivers=("X03",))
    await stage.put("_faults", [{"fault": "drop-before"}])
    assert (await house.run())[0] == "retry"
    packet = await queries.outgoing(house.db, document, EDOC.value)
    stamped = await house.blobs.put_bytes(b"%PDF-1.7 stamped")

    async def body(tx):
        await documents.insert_revision(
            tx, document=document, digest=stamped, parent=packet.revision, size=16, kind="archive", step=None, version=1,
            now_us=packet.created_us + 1,
        )  # fmt: skip
        await tx.execute("UPDATE documents SET head = $2 WHERE id = $1", document, stamped)

    await house.db.transact(body)
    # By a clock that was set back since, too (D7).
    for at_us in (0, packet.created_us):
        assert (await documents.revision_at(house.db, document, at_us))["digest"] == packet.revision
    house.clock.advance(60)
    await merged(stage, "X03", "X02")
    assert await house.settle() == "done"
    [item] = await stage.client("X02").received(EDOC)
    await stage.client("X02").fetch(item.doc_id, tmp_path / "came")
    [file] = edxml.parse(tmp_path / "came", tmp_path).packet.attachments
    assert file.sha256 == packet.revision
