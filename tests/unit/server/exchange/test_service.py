"""Forwarding over the real stand-in axis: one accepted copy whatever happens on the way, and the signed bytes unchanged."""

import itertools

import msgspec
import pytest
import pytest_asyncio

from server.documents.model import State
from server.documents.service import documents_load, move
from server.errors import Refused
from server.exchange import edxml
from server.exchange.delivery import Delivery
from server.exchange.delivery import State as DeliveryState
from server.exchange.incoming import reached
from server.exchange.model import PacketKind
from server.exchange.routes import FailureView, view
from server.exchange.words import of_refusal
from server.jobs import LeaseLost
from server.jobs.queries import revive
from tests.faults.exchange_loops import faulty_forwarding
from tests.unit.server.exchange.house import CLERK, LEADER, STRANGER, House, client
from tests.unit.server.exchange.samples import sha256


@pytest_asyncio.fixture
async def house(sqlite_db, tmp_path, clock, stage):
    house = House(sqlite_db, tmp_path, clock, stage.client("X01", send_s=1))
    await house.found()
    return house


async def accepted(stage, number=None):
    """Packets that the axis accepted, of one document or of all."""
    packets = (await stage.oracle())["packets"]
    return [packet for packet in packets if number is None or packet["notation"] == f"{number}/QĐ-CQM"]


@pytest.mark.asyncio
async def test_a_sealed_document_is_forwarded_with_its_bytes_and_metadata(house, stage, tmp_path):
    """The receiver gets the head's exact bytes under the header's fields (architecture §6.7, DOC-7)."""
    pdf = b"%PDF-1.7\n" + bytes(range(256)) * 50
    document = await house.sealed("12", receivers=("X02", "X03"), pdf=pdf)
    assert await house.run() == "done"
    [packet] = await accepted(stage)
    assert [file["sha256"] for file in packet["attachments"]] == [sha256(pdf)]
    assert sorted(copy["receiver"] for copy in packet["copies"]) == ["X02", "X03"]

    peer = stage.client("X02")
    [item] = await peer.received(PacketKind.DOCUMENT)
    await peer.fetch(item.doc_id, tmp_path / "got")
    (tmp_path / "files").mkdir()
    got = edxml.parse(tmp_path / "got", tmp_path / "files").packet
    assert got.attachments[0].path.read_bytes() == pdf
    header = got.header
    assert (header.sender.organ_id, header.sender.name) == ("X01", "Cơ quan Mẫu Một")
    assert (header.document_id, header.code) == ("H-01,2026/03/02,12/QĐ-CQM", "12/QĐ-CQM")
    assert (header.signer.competence, header.signer.position) == ("TM. ỦY BAN", "Chủ tịch")
    assert got.business.paper == 0  # EXC-1
    assert (header.signer.full_name, got.business.staff.staff) == ("Nguyễn Văn Mẫu", "Trần Thị Mẫu")
    assert (header.type_code, header.type_name, header.other.priority, header.other.page_amount) == (
        2,
        "Quyết định",
        3,
        2,
    )
    assert (header.due.isoformat(), header.to_places) == ("2026-04-01", ("Như trên", "Lưu: VT"))
    assert header.subject == 'V/v thử số 12 & "ngoặc" <một>'

    assert await house.state(document) == "forwarded"
    assert [state for _, state, _ in await house.receivers(document)] == ["accepted_by_exchange"] * 2
    assert await house.count("jobs") == 0
    assert [kind for kind, _, _ in await house.changes(document)] == ["document.forwarded"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "faults",
    [
        [{"fault": "drop-after"}],
        [{"fault": "500-after"}],
        [{"fault": "html"}],
        [{"fault": "drop-before"}],
        [{"fault": "500-before", "times": 3}],
        [{"fault": "slow", "delay_ms": 1500}],
        [{"fault": "late", "delay_ms": 50}],
        [{"fault": "drop-after"}, {"fault": "500-before", "call": "getSentEdocList", "times": 2}],
    ],
    ids=lambda faults: "+".join(fault["fault"] for fault in faults),
)
async def test_a_document_is_accepted_once_under_faults(house, stage, faults):
    """D2: after an unknown outcome the axis is asked first, and never sent a second copy of what it has."""
    document = await house.sealed()
    await stage.put("_faults", faults)
    for _ in range(12):
        ended = await house.run()
        if ended == "done":
            break
        if faults[0]["fault"] == "late":  # accepted in its own time, which the settling time covers
            await stage.until(lambda: accepted(stage))
        house.clock.advance(max(ended[1], 0.001))
    assert ended == "done"
    assert await house.state(document) == "forwarded"
    [packet] = await accepted(stage)
    row = await house.db.fetch_one("SELECT stage, doc_id FROM outgoing_packets")
    assert (row["stage"], row["doc_id"]) == ("accepted", packet["doc_id"])


@pytest.mark.asyncio
async def test_an_axis_that_accepts_twice_is_not_sent_again(house, stage):
    """D2: what the axis doubles itself, we record once."""
    document = await house.sealed()
    await stage.put("_faults", [{"fault": "twice"}])
    assert await house.settle() == "done"
    assert await house.state(document) == "forwarded"
    assert len(await accepted(stage)) == 2
    assert await house.count("audit_events", "kind = 'document.forwarded'") == 1


@pytest.mark.asyncio
async def test_a_refusal_alarms_buries_and_leaves_the_document_sealed(house, stage):
    document = await house.sealed()
    await stage.put("_faults", [{"fault": "refuse", "code": "18", "description": "Don vi nhan khong ton tai"}])
    assert await house.run() == ("buried", "axis-refused-18")
    assert await house.state(document) == "sealed"
    assert await house.receivers(document) == [("X02", "failed", None)]
    row = await house.db.fetch_one("SELECT stage, code, description FROM outgoing_packets")
    assert tuple(row[name] for name in ("stage", "code", "description")) == (
        "refused",
        "18",
        "Don vi nhan khong ton tai",
    )
    assert await house.changes(document) == [("document.forward_failed", "sealed", {"reason": "axis-18"})]
    assert await house.count("audit_events", "kind = 'exchange.forward_failed'") == 1
    due = await house.db.fetch_one("SELECT state_due_us FROM documents")
    assert due["state_due_us"] is not None
    shown = view(document, await house.exchange.deliveries(house.actor(CLERK, ("clerk",)), document))
    assert shown.failure == FailureView("18", of_refusal("18"), "Don vi nhan khong ton tai")

    # The operator, having seen to it, lets the dead letter run again.
    letter = await house.db.fetch_one("SELECT id FROM jobs")
    assert await house.db.transact(lambda tx: revive(tx, letter["id"]))
    assert await house.run() == "done"
    assert (await house.state(document), len(await accepted(stage))) == ("forwarded", 1)
    assert await house.count("audit_events", "kind = 'exchange.requeued' AND subject = $1", document) == 1
    assert view(document, await house.exchange.deliveries(house.actor(CLERK, ("clerk",)), document)).failure is None


@pytest.mark.asyncio
async def test_who_signed_and_the_clerk_hear_why_it_was_not_sent(house, stage):
    """EXC-6: each in their language, with the axis' own code; nobody else hears of it."""
    await house.db.transact(lambda tx: tx.execute("UPDATE people SET locale = 'en' WHERE id = $1", LEADER))
    document = await house.sealed()
    await stage.put("_faults", [{"fault": "refuse", "code": "23", "description": "Don vi nhan da khoa"}])
    assert (await house.run())[0] == "buried"
    rows = await house.db.fetch_all("SELECT person, headline, document FROM notices WHERE kind = 'send_failed'")
    assert {row["person"]: row["headline"] for row in rows} == {
        LEADER: "The receiver is locked (23)",
        CLERK: "Nơi nhận đã bị khóa (23)",
    }
    assert {row["document"] for row in rows} == {document}


@pytest.mark.asyncio
async def test_a_restart_between_sending_and_the_answer_asks_first(house, stage):
    """D1: `sending` found at start is an unknown outcome, whether the axis had the packet or not."""
    for number, had_it in (("1", True), ("2", False)):
        document = await house.sealed(number)
        await stage.put("_faults", [{"fault": "drop-after" if had_it else "drop-before"}])
        real = house.db.transact
        died = []

        async def dying(body, real=real, died=died, **options):
            row = await house.db.fetch_one("SELECT stage FROM outgoing_packets WHERE stage = 'sending'")
            if row is not None:
                died.append(True)
                raise ConnectionAbortedError
            return await real(body, **options)

        house.db.transact = dying
        with pytest.raises(ConnectionAbortedError):
            await house.run()
        house.db.transact = real
        assert died
        house.restart()
        house.clock.advance(61)  # the dead worker's lease ends
        asked = await house.run()
        if not had_it:
            assert asked[0] == "retry"
            house.clock.advance(asked[1])
            asked = await house.run()
        assert asked == "done"
        assert await house.state(document) == "forwarded"
        assert len(await accepted(stage, number)) == 1


@pytest.mark.asyncio
async def test_a_worker_that_lost_its_lease_while_sending_changes_nothing(house, stage):
    """D1: another worker has asked and finished; the late answer of the first is not written over that."""
    document = await house.sealed()
    send = house.axis.send

    async def slow(*given):
        outcome = await send(*given)
        house.clock.advance(61)
        assert await house.run() == "done"
        return outcome

    house.axis.send = slow
    with pytest.raises(LeaseLost):
        await house.run()
    assert await house.state(document) == "forwarded"
    assert await house.count("audit_events", "kind = 'document.forwarded'") == 1
    assert len(await accepted(stage)) == 1


@pytest.mark.asyncio
async def test_a_kind_of_document_outside_the_decree_goes_by_its_name(house, stage):
    await house.sealed(type_name="Thông tư mẫu")
    assert await house.run() == "done"
    assert len(await accepted(stage)) == 1


@pytest.mark.asyncio
async def test_two_documents_of_one_reference_are_never_taken_for_each_other(house, stage):
    """D2, DOC-8: the sent list cannot tell them apart, so they go one by one and know each other's ids."""
    one = await house.sealed("7", subject="V/v mẫu")
    two = await house.sealed("7", subject="V/v mẫu", pdf=b"%PDF-1.7\nother")
    await stage.put("_faults", [{"fault": "drop-after"}])
    assert (await house.run())[0] == "retry"
    held = await house.run()
    assert held[2] == "reference-in-flight"
    house.clock.advance(max(held[1], 5))
    for _ in range(10):
        ended = await house.run()
        if ended == "none":
            break
        if ended != "done":
            house.clock.advance(ended[1])
    assert [await house.state(document) for document in (one, two)] == ["forwarded", "forwarded"]
    packets = await accepted(stage, "7")
    rows = await house.db.fetch_all("SELECT doc_id, revision FROM outgoing_packets")
    assert {(row["doc_id"], row["revision"]) for row in rows} == {
        (packet["doc_id"], packet["attachments"][0]["sha256"]) for packet in packets
    }


@pytest.mark.asyncio
async def test_what_is_not_valid_or_does_not_fit_never_leaves(house, stage):
    """SIG-7: validated before it leaves. DOC-7: a field that the register cannot hold is named, not cut."""
    house.approvals.refusal = "not-valid"
    document = await house.sealed("1")
    assert await house.run() == ("buried", "personal-signature-missing")
    assert (await house.state(document), await house.count("outgoing_packets")) == ("sealed", 0)

    house.approvals.refusal = "busy"
    await house.sealed("2")
    assert await house.run() == ("retry", None, "busy")
    house.approvals.refusal = None
    assert await house.settle() == "done"

    long = await house.sealed("3", to_places=["x" * 400] * 3)
    assert await house.run() == ("buried", "field-too-long")
    event = await house.db.fetch_one(
        "SELECT body FROM audit_events WHERE kind = 'exchange.forward_failed' ORDER BY id DESC LIMIT 1"
    )
    assert msgspec.json.decode(event["body"]) == {"code": "field-too-long", "elements": ["ToPlaces"]}
    shown = view("", await house.exchange.deliveries(house.actor(CLERK, ("clerk",)), long))
    assert (shown.packet, shown.failure) == (None, FailureView("field-too-long", of_refusal("field-too-long"), ""))
    assert len(await accepted(stage)) == 1


async def recall(house, document):
    async def body(tx):
        await move(tx, await documents_load(tx, document), State.RECALLED, actor="c", now_us=house.clock.now_us())

    await house.db.transact(body)


@pytest.mark.asyncio
async def test_a_document_recalled_before_it_left_stays_here(house, stage):
    """EXC-5."""
    document = await house.sealed("1")
    await stage.put("_faults", [{"fault": "500-before"}])
    ended = await house.run()
    await recall(house, document)
    house.clock.advance(ended[1])
    assert await house.settle() == "done"
    assert (await house.state(document), await accepted(stage)) == ("recalled", [])


@pytest.mark.asyncio
async def test_a_document_recalled_on_its_way_is_recorded_and_alarmed(house, stage):
    """EXC-5: the axis has it, so the recall stands and somebody must ask for it back."""
    document = await house.sealed("1")
    await stage.put("_faults", [{"fault": "drop-after"}])
    ended = await house.run()
    await recall(house, document)
    house.clock.advance(ended[1])
    assert await house.run() == "done"
    assert await house.state(document) == "recalled"
    assert await house.count("audit_events", "kind = 'exchange.accepted_after_recall'") == 1
    assert (await house.receivers(document))[0][1] == "accepted_by_exchange"


@pytest.mark.asyncio
async def test_an_axis_that_is_down_is_probed_by_one_document_at_a_time(sqlite_db, tmp_path, clock, unused_tcp_port):
    """D3: at most one probe a minute, whatever waits; once the outage lasts, one goes on and the others sleep."""
    secret = tmp_path / "secret"
    secret.write_text("s")
    axis = client(f"http://127.0.0.1:{unused_tcp_port}", secret, clock)
    calls = []

    async def counted(*args, real=axis.send):
        calls.append(clock.now_us())
        return await real(*args)

    axis.send = counted
    house = House(sqlite_db, tmp_path, clock, axis)
    await house.found()
    for number in range(20):
        await house.sealed(str(number))
    begun_us = clock.now_us()
    while clock.now_us() < begun_us + 1800 * 1_000_000:
        while await house.run() != "none":
            pass
        clock.advance(5)
    await axis.close()
    assert 2 <= len(calls) <= 31
    assert calls[1] == calls[0], "one more at once"
    assert all(after - before >= 60_000_000 for before, after in itertools.pairwise(calls[1:]))
    assert await house.count("documents", "state = 'sealed'") == 20
    assert await house.count("jobs", "reason = 'exchange-down' AND attempt > 10") == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("rounds", [40])
async def test_exactly_one_accepted_copy_of_each_document_under_faults(house, stage, rounds):
    """D2 at the service's level: 30 % faults of every kind, each document exactly once at the axis."""
    counts = await faulty_forwarding(house, stage, rounds=rounds)
    assert counts == {"rounds": rounds, "lost": 0, "doubled": 0, "changed": 0}


@pytest.mark.asyncio
async def test_deliveries_are_shown_to_readers_only(house, stage):
    """EXC-6, C1."""
    document = await house.sealed()
    clerk = house.actor(CLERK, ("clerk",))
    assert view(document, await house.exchange.deliveries(clerk, document)).packet is None
    assert await house.run() == "done"
    shown = view(document, await house.exchange.deliveries(clerk, document))
    [packet] = await accepted(stage)
    assert (shown.packet.stage, shown.packet.axis_id, shown.packet.digest) == (
        "accepted",
        packet["doc_id"],
        packet["sha256"],
    )
    assert [(to.organ_id, to.name, to.state) for to in shown.receivers] == [
        ("X02", "Cơ quan X02", "accepted_by_exchange")
    ]
    with pytest.raises(Refused, match="not-found"):
        await house.exchange.deliveries(house.actor(STRANGER, ("staff",)), document)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["accepted_by_exchange", "arrived"], State.FORWARDED),
        (["arrived", "accepted"], State.DELIVERED),
        (["accepted", "finished"], State.ACCEPTED),
        (["accepted", "rejected"], State.REFUSED),
        (["accepted", "taken_back"], State.ACCEPTED),
        (["taken_back"], State.FORWARDED),
        ([], State.FORWARDED),
    ],
)
def test_a_document_is_as_far_as_its_slowest_receiver(states, expected):
    assert reached(Delivery(DeliveryState(state)) for state in states) is expected


def test_a_take_back_counts_as_the_state_before_it():
    assert reached([Delivery(DeliveryState.TAKE_BACK_REQUESTED, DeliveryState.ACCEPTED)]) is State.ACCEPTED
