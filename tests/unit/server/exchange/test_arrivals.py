"""Documents of others over the real stand-in axis: kept before they are confirmed, judged, numbered, answered once.

Longer than most: all of it is one life of one document.
"""

import asyncio
import datetime as dt
import itertools

import msgspec
import pytest
import pytest_asyncio

from server.db import StatementFailed
from server.errors import Refused
from server.exchange import edxml
from server.exchange.axis import AxisRefused
from server.exchange.business import Replace, Revoke, Update, business
from server.exchange.model import (
    BusinessKind,
    Organisation,
    PacketKind,
    Replacement,
    ResponseFor,
    StatusCode,
    StatusPacket,
    UpdateInfo,
)
from server.exchange.watch import DeadlineTasks
from server.identity.model import Actor
from server.jobs import Lane
from server.notices.service import NoticeService
from server.once import Once
from tests.unit.server.exchange.house import CLERK, LEADER, ORGANISATION, STRANGER, House
from tests.unit.server.exchange.samples import AT_US, DAY, make_packet

STATUS, DOCUMENT = PacketKind.STATUS, PacketKind.DOCUMENT


class Sender:
    """`X02` of the stand-in: sends packets to X01 and reads the statuses that come back."""

    def __init__(self, stage, folder):
        self.axis, self.folder = stage.client("X02"), folder
        self._read = 0

    async def send(self, packet, to=("X01",)):
        path = self.folder / "out.edxml"
        path.unlink(missing_ok=True)
        edxml.write(packet, path)
        outcome = await self.axis.send(packet.kind, path, "X02", list(to))
        assert outcome.doc_id

    def document(self, number="12", *, asked=None, urgency=2, files=None, sender="X02", to=("X01",), subject=None):
        packet = make_packet(self.folder, number=number, receivers=to, files=files)
        header = msgspec.structs.replace(
            packet.header,
            sender=Organisation(organ_id=sender, name="Cơ quan Mẫu Hai"),
            document_id=identifier(number),
            subject=subject or packet.header.subject,
            other=msgspec.structs.replace(packet.header.other, priority=urgency),
        )
        said = packet.business if asked is None else business(asked)
        return msgspec.structs.replace(packet, header=header, business=said)

    async def heard(self):
        """(status, document id, reason) of what came back, in order."""
        found = []
        for item in await self.axis.received(STATUS):
            self._read += 1
            path = self.folder / f"back-{self._read}"
            await self.axis.fetch(item.doc_id, path)
            packet = edxml.parse(path, self.folder).packet
            found.append((packet.status, packet.response_for.document_id, packet.description))
            await self.axis.confirm(item.doc_id, None)
        return found


def identifier(number):
    return f"X02,2026/03/02,{number}/QĐ-CQM"


def asking(at_us):
    return StatusPacket(
        sender=Organisation(organ_id="X02"), status=StatusCode.TAKE_BACK.value, description="Xin lấy lại", at_us=at_us,
        response_for=ResponseFor(organ_id="X01", code="12/QĐ-CQM", document_id=identifier("12"), promulgated=DAY),
    )  # fmt: skip


class Desk:
    """The clerk of X01, and how our validation judges in its place."""

    def __init__(self, house, sender):
        self.house, self.sender = house, sender
        self.clerk = house.actor(CLERK, ("clerk",))
        self._asked = 0

    def once(self):
        self._asked += 1
        return Once(actor=CLERK, route="r", key=f"key-{self._asked:020}", request=b"", now_us=self.house.clock.now_us())

    async def take(self, *packets, kind=DOCUMENT):
        """Send, poll and answer; the ids of what is new here."""
        before = {row["id"] for row in await self.rows()}
        for packet in packets:
            await self.sender.send(packet)
        self.house.clock.advance(2)
        await self.house.exchange.poll(kind)
        await self.answers()
        return [row["id"] for row in await self.rows() if row["id"] not in before]

    async def rows(self):
        return await self.house.db.fetch_all("SELECT id, kind, state, about FROM arrivals ORDER BY received_us, id")

    async def answers(self):
        """Do what the workers would: every message of ours leaves."""
        for lane in (Lane.URGENT, Lane.NORMAL):
            while (ended := await self.house.run(lane)) != "none":
                assert ended == "done"

    async def judge(self, arrival, verdict="valid"):
        axis_id = (await self.house.db.fetch_one("SELECT axis_id FROM arrivals WHERE id = $1", arrival))["axis_id"]
        files = await self.house.db.fetch_all(
            "SELECT digest FROM arrival_files WHERE arrival = $1 AND pdf = 1", arrival
        )
        for file in files:
            await self.house.db.transact(
                lambda tx, file=file: tx.execute(
                    "INSERT INTO incoming_validations (id, organisation, source, file, name, verdict, report, judged_us) "
                    "VALUES ($1, 'X01', $2, $3, 'x', $4, '{}', 1)",
                    f"{axis_id}{file['digest']}", axis_id, file["digest"], verdict,
                )
            )  # fmt: skip

    async def register(self, arrival, despite=""):
        answer = await self.house.arrivals.register(self.clerk, arrival, despite, self.once())
        return msgspec.json.decode(answer)

    async def answer(self, arrival, *, agree, reason=""):
        await self.house.arrivals.answer(self.clerk, arrival, reason, self.once(), agree=agree)
        await self.answers()

    async def state(self, arrival):
        return (await self.house.db.fetch_one("SELECT state FROM arrivals WHERE id = $1", arrival))["state"]

    async def feed(self, arrival):
        changes, _ = await self.house.documents.changes(self.clerk, after=0, limit=1000)
        return [(one.kind, one.tombstone) for one in changes if one.document == arrival]


async def made(db, tmp_path, clock, stage):
    house = House(db, tmp_path, clock, stage.client("X01"))
    await house.found()
    return Desk(house, Sender(stage, tmp_path))


@pytest_asyncio.fixture
async def desk(sqlite_db, tmp_path, clock, stage):
    return await made(sqlite_db, tmp_path, clock, stage)


@pytest_asyncio.fixture
async def desks(db, tmp_path, clock, stage):
    """On each engine."""
    return await made(db, tmp_path, clock, stage)


async def parked(house):
    rows = await house.db.fetch_all(
        "SELECT state, error, confirmed_us FROM incoming_packets ORDER BY received_us, axis_id"
    )
    return [(row["state"], row["error"], row["confirmed_us"] is not None) for row in rows]


@pytest.mark.asyncio
async def test_a_document_arrives_is_judged_numbered_and_its_sender_told(desks):
    """EXC-2, TIM-1: clerks are told at once; 01 with the commit, 03 with the arrival number."""
    house = desks.house
    [arrival] = await desks.take(desks.sender.document())
    assert await desks.sender.heard() == [("01", identifier("12"), "")]
    assert await house.axis.received(DOCUMENT) == []
    told = await house.db.fetch_all("SELECT person, kind, urgency FROM notices")
    assert [(row["person"], row["kind"], row["urgency"]) for row in told] == [(CLERK, "arrived", 2)]
    with pytest.raises(Refused, match="arrival-not-judged"):
        await desks.register(arrival)
    await desks.judge(arrival)
    assert await desks.register(arrival) == {"state": "registered", "number": 1, "year": 2026}
    await desks.answers()
    assert await desks.sender.heard() == [("03", identifier("12"), "")]
    with pytest.raises(Refused, match="conflict"):
        await desks.register(arrival)
    assert await desks.feed(arrival) == [("arrival.arrived", False), ("arrival.registered", False)]
    kinds = await house.db.fetch_all("SELECT kind FROM audit_events WHERE subject = $1 ORDER BY id", arrival)
    assert [row["kind"] for row in kinds] == [
        "arrival.arrived", "exchange.message_sent", "arrival.registered", "exchange.message_sent",
    ]  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize(("files", "verdict"), [(None, "not_valid"), ({"bảng.docx": b"PK\x03\x04x"}, None)])
async def test_what_is_not_valid_is_registered_with_a_reason_alone(desk, files, verdict):
    """EXC-2: also where there is no PDF that could be judged."""
    [arrival] = await desk.take(desk.sender.document(files=files))
    await desk.judge(arrival, verdict)
    with pytest.raises(Refused, match="arrival-not-valid"):
        await desk.register(arrival)
    assert (await desk.register(arrival, "Nơi gửi xác nhận qua điện thoại"))["number"] == 1
    row = await desk.house.db.fetch_one("SELECT body FROM audit_events WHERE kind = 'arrival.registered'")
    assert "qua điện thoại" in msgspec.json.decode(row["body"])["despite"]


@pytest.mark.asyncio
async def test_a_document_is_returned_with_its_reason(desk):
    """EXC-3: 02 is final here; a returned document gets no number."""
    [arrival] = await desk.take(desk.sender.document())
    await desk.sender.heard()
    await desk.house.arrivals.give_back(desk.clerk, arrival, "Gửi nhầm nơi nhận", desk.once())
    await desk.answers()
    assert await desk.sender.heard() == [("02", identifier("12"), "Gửi nhầm nơi nhận")]
    await desk.judge(arrival)
    with pytest.raises(Refused, match="conflict"):
        await desk.register(arrival)
    assert await desk.house.count("arrival_counters") == 0


@pytest.mark.asyncio
async def test_documents_stored_by_an_earlier_version_reach_the_clerk_once(desk):
    """It kept and confirmed them without an arrival; the verdicts that it found still count."""
    [lost] = await desk.take(desk.sender.document())
    await desk.judge(lost)
    await desk.sender.heard()

    async def earlier(tx):
        for table in ("arrival_files", "arrivals", "outgoing_messages", "notices"):
            await tx.execute(f"DELETE FROM {table}")
        await tx.execute("UPDATE incoming_packets SET document = NULL")

    await desk.house.db.transact(earlier)
    desk.house.restart()
    [arrival] = await desk.take()
    desk.house.restart()
    assert await desk.take() == []
    assert await desk.house.count("notices", "kind = 'arrived'") == 1
    assert (await desk.register(arrival))["number"] == 1
    await desk.answers()
    assert [status for status, _, _ in await desk.sender.heard()] == ["01", "03"]


@pytest.mark.asyncio
async def test_a_repeated_packet_is_answered_once_and_one_that_differs_is_alarmed(desk):
    """D2 on our side: same sender, DocumentId and kind is the same document, whatever the axis calls it."""
    packet = desk.sender.document()
    assert len(await desk.take(packet, packet)) == 1
    assert await desk.take(desk.sender.document(subject="Nội dung khác")) == []
    assert await desk.sender.heard() == [("01", identifier("12"), "")]
    assert sorted(await parked(desk.house)) == [
        ("repeated", "", True),
        ("repeated", "duplicate-differs", True),
        ("stored", "", True),
    ]
    assert await desk.house.count("notices") == 1


@pytest.mark.asyncio
async def test_a_document_for_nobody_of_ours_is_parked(sqlite_db, tmp_path, clock, stage):
    """Reference §7.2: the axis hands us a copy that names another agency alone."""
    house = House(sqlite_db, tmp_path, clock, stage.client("X03"))
    await house.found()
    sender = Sender(stage, tmp_path)
    await sender.send(sender.document(to=("X03",)), ("X03",))
    await house.exchange.poll(DOCUMENT)
    assert await parked(house) == [], "our list may be older than a merger"
    await house.exchange.poll(DOCUMENT)
    assert await parked(house) == [("unaddressed", "not-addressed", True)]
    assert await house.count("arrivals") == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("since", ["unplaced_us", "since_us"])
async def test_what_a_clock_that_was_ahead_wrote_down_holds_no_packet_for_days(
    sqlite_db, tmp_path, clock, stage, since
):
    """D7, D14: neither one for nobody of ours, nor one that the axis does not hand over."""
    house = House(sqlite_db, tmp_path, clock, stage.client("X03"))
    await house.found()
    sender = Sender(stage, tmp_path)
    await sender.send(sender.document(to=("X03",)), ("X03",))
    if since == "since_us":
        await stage.put("_faults", [{"fault": "500-before", "call": "downloadEdoc", "times": -1}])
    await house.exchange.poll(DOCUMENT)
    ahead = f"UPDATE incoming_troubles SET until_us = 0, tries = 5, {since} = {since} + {7 * 86_400_000_000}"
    assert await sqlite_db.transact(lambda tx: tx.execute(ahead)) == 1
    await sqlite_db.transact(lambda tx: tx.execute("DELETE FROM agency_lists"))
    for _ in range(3):
        house.restart()
        await house.exchange.poll(DOCUMENT)
        clock.advance(3700)
    assert [state for state, _, _ in await parked(house)] == ["unaddressed" if since == "unplaced_us" else "unfetched"]


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [BusinessKind.REPLACE, 7])
async def test_a_packet_without_a_meaning_is_parked_with_its_bytes(desk, kind, stage):
    """D14: confirmed as failed, raw bytes kept, an alarm; the next is taken in."""
    bad = desk.sender.document("1")
    bad = msgspec.structs.replace(bad, business=msgspec.structs.replace(bad.business, kind=int(kind)))
    assert len(await desk.take(bad, desk.sender.document("2"))) == 1
    states = await parked(desk.house)
    assert sorted(state for state, _, _ in states) == ["stored", "unreadable"]
    row = await desk.house.db.fetch_one("SELECT blob FROM incoming_packets WHERE state = 'unreadable'")
    assert b"BussinessDocType" in await desk.house.blobs.read(row["blob"])
    assert await desk.house.count("audit_events", "kind = 'exchange.incoming_alarm'") == 1
    copies = [
        copy for packet in (await stage.oracle())["packets"] for copy in packet["copies"] if packet["kind"] == "edoc"
    ]
    assert sorted(copy["state"] for copy in copies) == ["done", "fail"]


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [RuntimeError, StatementFailed])
async def test_a_packet_that_fails_every_time_is_parked_at_last(desk, error):
    """D14: an error of ours, or of the database at a text that no index takes, holds up nobody for ever; both polls go on beside it."""
    taken = desk.house.arrivals.came

    async def fails(tx, came, *, now_us):
        if came.packet.header.number == "1":
            raise error("a defect")
        return await taken(tx, came, now_us=now_us)

    desk.house.arrivals.came = fails
    await desk.sender.send(desk.sender.document("1"))
    await desk.sender.send(desk.sender.document("2"))
    for _ in range(4):
        await desk.house.exchange.poll(DOCUMENT)
        await desk.house.exchange.poll(STATUS)
        desk.house.clock.advance(1000)
    assert sorted(await parked(desk.house)) == [("stored", "", True), ("unreadable", "failed-again-and-again", True)]
    assert await desk.house.axis.received(DOCUMENT) == []


@pytest.mark.asyncio
async def test_tries_are_counted_over_restarts_and_processes(db, tmp_path, clock, stage):
    """D14, on both engines: another process at each try; the pause between two tries holds for all of them too."""
    desk = await made(db, tmp_path, clock, stage)
    tries = []

    async def fails(_tx, came, *, now_us):
        tries.append(now_us)
        raise RuntimeError(came.axis_id)

    await desk.sender.send(desk.sender.document("1"))
    for _ in range(8):
        desk.house.restart()
        desk.house.arrivals.came = fails
        await desk.house.exchange.poll(DOCUMENT)
        clock.advance(500)
    assert [after - before for before, after in itertools.pairwise(tries)] == [1_000_000_000, 1_000_000_000]
    assert await parked(desk.house) == [("unreadable", "failed-again-and-again", True)]
    assert await desk.house.count("incoming_troubles") == 0
    clock.jump(-7 * 86_400)  # D7: what was put off by a clock that was ahead is looked at
    await desk.sender.send(desk.sender.document("2"))
    desk.house.restart()
    desk.house.arrivals.came = fails
    await desk.house.exchange.poll(DOCUMENT)
    clock.jump(-86_400)
    desk.house.restart()
    assert await desk.house.exchange.poll(DOCUMENT) == 1


@pytest.mark.asyncio
async def test_a_packet_that_could_not_be_fetched_is_no_poison(desk):
    """Nothing of it was tried: it is taken in as soon as the axis gives it."""
    fetch = desk.house.axis.fetch

    async def refuses(doc_id, into):
        raise AxisRefused("20")

    await desk.sender.send(desk.sender.document())
    desk.house.axis.fetch = refuses
    for _ in range(4):
        await desk.house.exchange.poll(DOCUMENT)
        desk.house.clock.advance(1000)
    desk.house.axis.fetch = fetch
    assert len(await desk.take()) == 1


@pytest.mark.asyncio
async def test_numbers_have_no_gap_and_no_twin_when_many_register_at_once(desks):
    """The arrival number per agency and year, on both engines; a refused registration takes none."""
    arrivals = await desks.take(*(desks.sender.document(str(number)) for number in range(1, 13)))
    assert len(arrivals) == 12
    for arrival in arrivals[:10]:
        await desks.judge(arrival)

    async def one(arrival):
        try:
            return (await desks.register(arrival))["number"]
        except Refused as refused:
            return refused.code

    got = await asyncio.gather(*(one(arrival) for arrival in [*arrivals, *arrivals[:3]]))
    numbers = sorted(number for number in got if isinstance(number, int))
    assert numbers == list(range(1, 11))
    assert sorted(code for code in got if isinstance(code, str)) == ["arrival-not-judged"] * 2 + ["conflict"] * 3
    # Another year begins at one.
    year = dt.datetime.fromtimestamp(desks.house.clock.now_us() / 1e6, dt.UTC).year
    new_year = dt.datetime(year, 12, 31, 17, 0, 1, tzinfo=dt.UTC)  # the first second of the year in Vietnam (TIM-7)
    desks.house.clock.advance(new_year.timestamp() - desks.house.clock.now_us() / 1e6)
    await desks.judge(arrivals[10])
    assert await desks.register(arrivals[10]) == {"state": "registered", "number": 1, "year": year + 1}


@pytest.mark.asyncio
async def test_a_revocation_waits_for_the_clerk_and_ends_the_document(desk):
    """EXC-5: nothing is removed by a packet alone; 15 tells the sender, phones get a tombstone, files are shown no more."""
    [document] = await desk.take(desk.sender.document())
    await desk.judge(document)
    [request] = await desk.take(
        desk.sender.document(asked=Revoke(document_id=identifier("12"), reason="Sai thẩm quyền"))
    )
    with pytest.raises(Refused, match="arrival-asked-back"):
        await desk.register(document)
    assert await desk.state(document) == "waiting"
    await desk.sender.heard()
    await desk.answer(request, agree=True)
    assert await desk.sender.heard() == [("15", identifier("12"), "")]
    assert (await desk.state(document), await desk.state(request)) == ("recalled", "agreed")
    assert (await desk.feed(document))[-1] == ("arrival.recalled", True)
    with pytest.raises(Refused, match="not-found"):
        await desk.house.arrivals.file(desk.clerk, document, 1)
    with pytest.raises(Refused, match="conflict"):
        await desk.register(document)


@pytest.mark.asyncio
async def test_an_answer_that_the_axis_refuses_takes_no_arrival_from_its_clerk(desk, stage):
    """TIM-1: that our 01 did not leave is told beside what waits for the clerk, which goes on being told."""
    await desk.sender.send(desk.sender.document())
    await desk.house.exchange.poll(DOCUMENT)
    await stage.put("_faults", [{"fault": "refuse", "code": "10", "description": "Goi tin khong hop le"}])
    ended = [await desk.house.run(lane) for lane in (Lane.URGENT, Lane.NORMAL)]
    assert ("buried", "axis-refused-10") in ended
    rows = await desk.house.db.fetch_all("SELECT kind, state FROM notices WHERE person = $1", CLERK)
    assert {row["kind"]: row["state"] for row in rows} == {"arrived": "open", "send_failed": "open"}


@pytest.mark.asyncio
async def test_a_take_back_is_refused_with_a_reason_and_may_come_again(desk):
    """Status 13 from the sender, 16 from us; the document goes on."""
    [document] = await desk.take(desk.sender.document())
    await desk.judge(document)
    await desk.register(document)
    await desk.answers()
    await desk.sender.heard()

    [first] = await desk.take(asking(AT_US), asking(AT_US), kind=STATUS)
    await desk.answer(first, agree=False, reason="Đã xử lý xong")
    assert await desk.sender.heard() == [("16", identifier("12"), "Đã xử lý xong")]
    assert await desk.state(document) == "registered"
    [second] = await desk.take(asking(AT_US + 60_000_000), kind=STATUS)
    await desk.answer(second, agree=True)
    assert await desk.sender.heard() == [("15", identifier("12"), "")]
    assert await desk.state(document) == "recalled"


@pytest.mark.asyncio
async def test_nobody_takes_back_what_another_sent(desk, stage, tmp_path):
    """Spoofing: a revocation under a known DocumentId from another agency touches nothing, and is alarmed."""
    [document] = await desk.take(desk.sender.document())
    forged = desk.sender.document(asked=Revoke(document_id=identifier("12")), sender="X03")
    [request] = await desk.take(forged)
    assert {row["id"]: row["about"] for row in await desk.rows()}[request] is None
    await desk.answer(request, agree=True)
    assert await desk.state(document) == "waiting"
    assert ("stored", "sender-differs", True) in await parked(desk.house)


@pytest.mark.asyncio
@pytest.mark.parametrize("by", [DOCUMENT, STATUS])
@pytest.mark.parametrize("agreed_first", [False, True])
async def test_a_recall_that_overtakes_its_document_ends_it_all_the_same(desk, by, agreed_first):
    """Out of order: the two kinds are polled apart, and a packet that fails for a while is passed over."""
    revocation = desk.sender.document(asked=Revoke(document_id=identifier("12")))
    [request] = await desk.take(revocation if by is DOCUMENT else asking(AT_US), kind=by)
    if agreed_first:
        await desk.answer(request, agree=True)
    [document] = await desk.take(desk.sender.document())
    await desk.judge(document)
    if not agreed_first:
        with pytest.raises(Refused, match="arrival-asked-back"):
            await desk.register(document)
        await desk.answer(request, agree=True)
    assert (await desk.state(document), await desk.state(request)) == ("recalled", "agreed")
    assert ("15", identifier("12"), "") in await desk.sender.heard()
    with pytest.raises(Refused, match="not-found"):
        await desk.house.arrivals.file(desk.clerk, document, 1)
    assert await desk.house.count("notices", "state = 'open'") == 0


@pytest.mark.asyncio
async def test_nothing_of_a_recalled_document_stays_readable(desk):
    """EXC-5: also one that was returned, the text that an update brought along, and what deadlines said of it."""
    [document] = await desk.take(desk.sender.document())
    desk.house.clock.advance(3600)
    await DeadlineTasks(desk.house.db, desk.house.clock).look()
    assert await desk.house.count("notices", "kind = 'deadline_missed' AND state = 'open'") == 1
    asked = Update(document_id=identifier("12"), info=UpdateInfo(document_changed=1))
    [update] = await desk.take(desk.sender.document("12", asked=asked, subject="Trích yếu sửa"))
    await desk.answer(update, agree=True)
    await desk.house.arrivals.file(desk.clerk, update, 1)
    await desk.house.arrivals.give_back(desk.clerk, document, "Sai nơi nhận", desk.once())
    await desk.house.arrivals.file(desk.clerk, document, 1)
    [request] = await desk.take(desk.sender.document(asked=Revoke(document_id=identifier("12"))))
    await desk.answer(request, agree=True)
    for arrival in (document, update, request):
        with pytest.raises(Refused, match="not-found"):
            await desk.house.arrivals.file(desk.clerk, arrival, 1)
    assert (await desk.feed(document))[-1] == ("arrival.recalled", True)
    assert await desk.house.count("notices", "state = 'open'") == 0


@pytest.mark.asyncio
async def test_what_was_returned_comes_again_corrected_and_a_late_copy_does_not(desk):
    """The sender keeps its DocumentId; two copies of the same packet are one document still."""
    wrong, right = desk.sender.document(), desk.sender.document(subject="Trích yếu đúng")
    [first] = await desk.take(wrong)
    await desk.house.arrivals.give_back(desk.clerk, first, "Sai trích yếu", desk.once())
    [second] = await desk.take(right)
    assert await desk.take(right, wrong) == []
    await desk.judge(second)
    assert (await desk.register(second))["number"] == 1
    await desk.answers()
    assert await desk.take(right, wrong, desk.sender.document(subject="Lần ba")) == []
    assert [status for status, _, _ in await desk.sender.heard()] == ["01", "02", "01", "03"]
    [request] = await desk.take(desk.sender.document(asked=Revoke(document_id=identifier("12"))))
    await desk.answer(request, agree=True)
    assert (await desk.state(first), await desk.state(second)) == ("returned", "recalled")


@pytest.mark.asyncio
async def test_a_revocation_that_was_refused_may_be_asked_again(desk):
    """It says the same words, at another time; a copy of the first asks nothing."""
    [document] = await desk.take(desk.sender.document())
    asked = desk.sender.document(asked=Revoke(document_id=identifier("12")))
    later = tuple(msgspec.structs.replace(trace, at_us=(trace.at_us or 0) + 60_000_000) for trace in asked.traces)
    assert later
    [first] = await desk.take(asked)
    await desk.answer(first, agree=False, reason="Đã xử lý xong")
    assert await desk.take(asked) == []
    [second] = await desk.take(msgspec.structs.replace(asked, traces=later))
    await desk.answer(second, agree=True)
    assert await desk.state(document) == "recalled"


@pytest.mark.asyncio
async def test_a_replacement_is_registered_and_the_old_one_marked(desk):
    [old] = await desk.take(desk.sender.document("12"))
    await desk.judge(old)
    await desk.register(old)
    replaced = (Replacement(document_id=identifier("12"), organ_ids=("X01",)),)
    [new] = await desk.take(
        desk.sender.document("13", asked=Replace(replaced=replaced), files={"b.pdf": b"%PDF-1.7\nb"})
    )
    await desk.judge(new)
    assert await desk.state(old) == "registered"
    assert (await desk.register(new))["number"] == 2
    assert (await desk.state(old), await desk.state(new)) == ("replaced", "registered")


@pytest.mark.asyncio
async def test_an_update_is_shown_and_answered_and_a_second_one_is_another(desk):
    [document] = await desk.take(desk.sender.document())
    info = UpdateInfo(document_changed=1)
    asked = Update(document_id=identifier("12"), info=info)
    [first] = await desk.take(desk.sender.document("12", asked=asked, subject="Trích yếu sửa lần một"))
    [second] = await desk.take(desk.sender.document("12", asked=asked, subject="Trích yếu sửa lần hai"))
    await desk.sender.heard()
    await desk.answer(first, agree=True)
    await desk.answer(second, agree=False, reason="Đã trình lãnh đạo")
    assert [status for status, _, _ in await desk.sender.heard()] == ["15", "16"]
    assert await desk.state(document) == "waiting"
    opened = await desk.house.arrivals.open(desk.clerk, document)
    assert [(one["kind"], one["state"]) for one in opened.related] == [("update", "agreed"), ("update", "refused")]


@pytest.mark.asyncio
async def test_the_most_urgent_waits_first_and_an_unknown_grade_is_never_normal(desk):
    """TIM-1, reference §6.2."""
    arrivals = await desk.take(*(desk.sender.document(str(n), urgency=n) for n in (0, 9, 3, 1)))
    grades = {arrival: (0, None, 3, 1)[place] for place, arrival in enumerate(arrivals)}
    listed = await desk.house.arrivals.waiting(desk.clerk, 10)
    assert (listed[0].urgency, listed[-1].urgency) == (3, 0)
    assert sorted(map(str, grades.values())) == sorted(str(row.urgency) for row in listed)
    told = await desk.house.db.fetch_all("SELECT urgency FROM notices ORDER BY urgency")
    assert [row["urgency"] for row in told] == [0, 1, 1, 3]


@pytest.mark.asyncio
async def test_an_express_arrival_escalates_until_it_is_registered_and_then_until_somebody_directs(desks):
    """TIM-1, NOT-4: each who may act has a chain; the act, or one acknowledgement, ends those of all."""
    house = desks.house
    for role in ("clerk", "leader"):
        await house.db.transact(
            lambda tx, role=role: tx.execute(
                "INSERT INTO roles (person, role, granted_by, granted_us) VALUES ($1, $2, 'x', 1)", STRANGER, role
            )
        )

    async def running():
        rows = await house.db.fetch_all(
            "SELECT n.kind, n.person FROM escalations e JOIN notices n ON n.id = e.notice WHERE e.state = 'running'"
        )
        return {(row["kind"], row["person"]) for row in rows}

    [arrival] = await desks.take(desks.sender.document(urgency=3))
    assert await running() == {("arrived", CLERK), ("arrived", STRANGER)}
    await desks.judge(arrival)
    await desks.register(arrival)
    assert await running() == {("to_direct", LEADER), ("to_direct", STRANGER)}
    mine = await house.db.fetch_one("SELECT id FROM notices WHERE kind = 'to_direct' AND person = $1", LEADER)
    await NoticeService(house.db, house.clock).acknowledge(house.actor(LEADER, ("leader",)), mine["id"])
    assert await running() == set()


@pytest.mark.asyncio
async def test_a_list_does_not_hold_the_headers_of_its_arrivals(desks):
    """B6: each may have megabytes of its sender's texts; one arrival alone has its own."""
    [arrival] = await desks.take(desks.sender.document())
    service = Actor(kind="service", id="q", organisation=ORGANISATION, scopes=frozenset({"documents:read"}))
    for rows in (
        await desks.house.arrivals.waiting(desks.clerk, 10),
        await desks.house.arrivals.listing(service, before=(2**62, ""), limit=10),
    ):
        assert [(row.id, row.header) for row in rows] == [(arrival, b"")]
    assert (await desks.house.arrivals.get(desks.clerk, arrival)).message().number == "12"


@pytest.mark.asyncio
async def test_the_old_code_of_ours_still_finds_us_and_answers_go_to_who_has_the_unit_now(desk):
    """Reference §6.6: units merge while packets are on their way; nothing is lost and nothing guessed."""
    house = desk.house
    await house.agencies.synchronise()
    await desk.sender.send(desk.sender.document(to=("000.00.00.X01",)), ("000.00.00.X01",))

    async def merged(tx):
        await tx.execute("UPDATE agencies SET closed = 1, successor = 'X03' WHERE code = 'X02'")

    await house.db.transact(merged)
    await house.exchange.poll(DOCUMENT)
    [row] = await house.db.fetch_all("SELECT organisation FROM arrivals")
    assert row["organisation"] == ORGANISATION
    [message] = await house.db.fetch_all("SELECT receivers FROM outgoing_messages")
    assert msgspec.json.decode(message["receivers"]) == ["X03"]


@pytest.mark.asyncio
async def test_arrivals_are_for_clerks_and_services_of_the_organisation(desk):
    """C1: unknown and foreign alike."""
    [arrival] = await desk.take(desk.sender.document())
    service = Actor(kind="service", id="q", organisation=ORGANISATION, scopes=frozenset({"documents:read"}))
    assert (await desk.house.arrivals.get(service, arrival)).id == arrival
    foreign = Actor(kind="service", id="q", organisation="0" * 32, scopes=frozenset({"documents:read"}))
    for actor in (desk.house.actor(LEADER), foreign):
        with pytest.raises(Refused, match="not-found"):
            await desk.house.arrivals.get(actor, arrival)
        assert await desk.house.arrivals.waiting(actor, 10) == []
        changes, _ = await desk.house.documents.changes(actor, after=0, limit=10)
        assert changes == []
