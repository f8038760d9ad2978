"""What follows a document that has left, over the real stand-in axis: recall by packet or status, other receivers, replacement."""

import uuid

import msgspec
import pytest
import pytest_asyncio

from server.documents.model import Receiver
from server.errors import Refused
from server.exchange import edxml
from server.exchange.model import ExchangeError, PacketKind
from server.exchange.routes import FailureView, view
from server.exchange.words import of_refusal
from server.identity.model import Actor
from server.jobs import Bury, Lane
from server.jobs.queries import revive
from server.notices.service import notify
from server.once import Once
from tests.unit.server.exchange.house import CLERK, LEADER, ORGANISATION, STRANGER, House
from tests.unit.server.exchange.test_service_statuses import Sends, forwarded, incoming, notices

STATUS, DOCUMENT = PacketKind.STATUS, PacketKind.DOCUMENT
SERVICE = Actor(kind="service", id="c", organisation=ORGANISATION, scopes=frozenset({"documents:write"}))


@pytest_asyncio.fixture
async def house(sqlite_db, tmp_path, clock, stage):
    house = House(sqlite_db, tmp_path, clock, stage.client("X01"))
    await house.found()
    return house


@pytest.fixture
def sends(stage, tmp_path):
    return Sends(stage, tmp_path)


def once(house):
    return Once(actor="c", route="r", key=uuid.uuid4().hex, request=b"", now_us=house.clock.now_us())


async def work(house):
    """Do what workers would, until nothing is due; how each attempt ended."""
    ended = []
    for lane in (Lane.URGENT, Lane.NORMAL):
        while (one := await house.run(lane)) != "none":
            ended.append(one)
    return ended


async def recall(house, document, reason="Sai thẩm quyền"):
    await house.documents.recall(SERVICE, document, reason, once(house))
    return await work(house)


async def received(stage, code, folder):
    """The packets that wait for an agency, read; and confirmed."""
    found = []
    for kind in (DOCUMENT, STATUS):
        client = stage.client(code)
        for item in await client.received(kind):
            path = folder / uuid.uuid4().hex
            await client.fetch(item.doc_id, path)
            found.append(edxml.parse(path, folder).packet)
            await client.confirm(item.doc_id, None)
    return found


async def logged(house, kind, document):
    """The bodies of the log's events of this kind."""
    rows = await house.db.fetch_all(
        "SELECT body FROM audit_events WHERE kind = $1 AND subject = $2 ORDER BY id", kind, document
    )
    return [msgspec.json.decode(bytes(row["body"])) for row in rows]


@pytest.mark.asyncio
async def test_a_recall_asks_every_receiver_by_one_packet_and_hears_their_answers(house, sends, stage, tmp_path):
    """EXC-5: frozen here, asked back there; 15 and 16 are kept, told and shown, and nothing is asked twice."""
    document = await forwarded(house, receivers=("X02", "X03"))
    for code in ("X02", "X03"):
        assert len(await received(stage, code, tmp_path)) == 1
    await sends("X02", "03")
    await house.exchange.poll(STATUS)
    assert await recall(house, document) == ["done", "done"]
    for code in ("X02", "X03"):
        [packet] = await received(stage, code, tmp_path)
        said = packet.business
        assert (said.kind, said.document_id, said.reason) == (1, "H-01,2026/03/02,12/QĐ-CQM", "Sai thẩm quyền")
        assert (packet.header.document_id, packet.attachments) == (said.document_id, ())
    states = [(code, state) for code, state, _ in await house.receivers(document)]
    assert states == [("X02", "take_back_requested"), ("X03", "take_back_requested")]
    assert await logged(house, "exchange.recall_asked", document) == [{"receivers": ["X02", "X03"]}]
    await sends("X02", "16", description="Đã xử lý xong")
    await sends("X03", "15")
    await house.exchange.poll(STATUS)
    states = [(code, state) for code, state, _ in await house.receivers(document)]
    assert states == [("X02", "accepted"), ("X03", "taken_back")]
    assert await house.state(document) == "recalled"
    assert [error for _, error, _ in await incoming(house)] == ["", "", ""]
    assert set(await notices(house, "recall_answered")) == {LEADER, CLERK}
    await house.exchange.recall(document, "again")
    assert (await work(house), await received(stage, "X02", tmp_path)) == ([], [])


@pytest.mark.asyncio
async def test_by_setting_each_receiver_is_asked_by_a_status(house, stage, tmp_path):
    """Status 13 to each, with its reason; who has returned the document is not asked."""
    house.settings = msgspec.structs.replace(house.settings, recall="take_back")
    house.restart()
    await stage.put("_peers", {"X02": {"statuses": ["01"], "take_back": "15"}, "X03": {"statuses": ["02"]}})
    document = await forwarded(house, receivers=("X02", "X03"))

    async def answered(count):
        await house.exchange.poll(STATUS)
        return await house.count("business_statuses") == count

    await stage.until(lambda: answered(2), seconds=60)
    await recall(house, document)
    await stage.until(lambda: answered(3), seconds=60)
    assert await house.receivers(document) == [("X02", "taken_back", "15"), ("X03", "rejected", "02")]
    sent = [
        packet
        for packet in (await stage.oracle())["packets"]
        if packet["sender"] == "X01" and packet["kind"] == "status"
    ]
    assert [(one["status"], one["title"], [copy["receiver"] for copy in one["copies"]]) for one in sent] == [
        ("13", "Sai thẩm quyền", ["X02"])
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["drop-after", "500-after", "drop-before"])
async def test_a_recall_reaches_the_axis_once_under_faults(house, stage, fault):
    """D2 for messages: an unknown outcome is asked about before anything is sent again."""
    document = await forwarded(house)
    await stage.put("_faults", [{"fault": fault}])
    await house.documents.recall(SERVICE, document, "Sai", once(house))
    for _ in range(12):
        match await house.run(Lane.URGENT):
            case ("retry", after_s, _):
                house.clock.advance(max(after_s or 1.0, 0.001))
            case "none":
                break
    sent = [packet for packet in (await stage.oracle())["packets"] if packet["business"] == 1]
    assert len(sent) == 1
    assert (await house.receivers(document))[0][1] == "take_back_requested"


@pytest.mark.asyncio
async def test_a_recall_that_the_axis_refuses_is_seen_and_told_with_its_reason(house, stage):
    """EXC-5, EXC-6: it does not look like one under way, and clerk and signer know why."""
    document = await forwarded(house)
    await stage.put("_faults", [{"fault": "refuse", "code": "10", "description": "Goi tin khong hop le"}])
    assert ("buried", "axis-refused-10") in await recall(house, document)
    shown = view(document, await house.exchange.deliveries(house.actor(CLERK, ("clerk",)), document))
    assert shown.failure is None
    [message] = shown.messages
    assert message.failure == FailureView("10", of_refusal("10"), "Goi tin khong hop le")
    rows = await house.db.fetch_all("SELECT person, headline FROM notices WHERE kind = 'send_failed'")
    assert {row["person"] for row in rows} == {LEADER, CLERK}
    assert {row["headline"] for row in rows} == {"Yêu cầu thu hồi · Gói tin không hợp lệ (10)"}


@pytest.mark.asyncio
async def test_a_message_that_cannot_be_written_is_seen_as_not_sent(house, stage):
    document = await forwarded(house)

    async def broken(_letter, _path):
        raise ExchangeError("digest-differs")

    house.exchange._messages._write = broken
    assert ("buried", "digest-differs") in await recall(house, document)
    [message] = await house.exchange.said(document)
    assert (message.stage, message.code) == ("refused", "digest-differs")
    assert await house.count("notices", "kind = 'send_failed'") == 2


@pytest.mark.asyncio
async def test_an_open_outcome_stays_open_where_the_file_cannot_be_written_again(house, stage):
    """D2: what the axis may have is asked about when an operator runs it again, and not sent a second time."""
    document = await forwarded(house)
    await stage.put("_faults", [{"fault": "drop-after"}])
    assert [one[0] for one in await recall(house, document) if one != "done"] == ["retry"]
    write = house.exchange._messages._write

    async def broken(_letter, _path):
        raise ExchangeError("digest-differs")

    house.exchange._messages._write = broken
    house.clock.advance(60)
    assert ("buried", "digest-differs") in await work(house)
    assert [one.stage for one in await house.exchange.said(document)] == ["unknown"]
    house.exchange._messages._write = write
    letter = await house.db.fetch_one("SELECT id FROM jobs WHERE state = 'buried'")
    await house.db.transact(lambda tx: revive(tx, letter["id"]))
    await work(house)
    assert [one.stage for one in await house.exchange.said(document)] == ["accepted"]
    assert len([packet for packet in (await stage.oracle())["packets"] if packet["business"] == 1]) == 1


@pytest.mark.asyncio
async def test_a_recall_before_it_left_says_nothing_to_anybody(house, stage):
    document = await house.sealed()
    await recall(house, document)
    assert (await house.state(document), (await stage.oracle())["packets"]) == ("recalled", [])


@pytest.mark.asyncio
async def test_nothing_is_asked_back_that_was_not_recalled_or_may_not_have_left(house, stage):
    """Whatever job asks: the document's state and its own packet decide."""
    sent = await forwarded(house, "11")
    await house.exchange.recall(sent, "Sai")
    under_way = await house.sealed("12")
    await stage.put("_faults", [{"fault": "drop-after"}])
    assert (await house.run())[0] == "retry"
    await house.documents.recall(SERVICE, under_way, "Sai", once(house))
    await house.exchange.recall(under_way, "Sai")
    assert await house.count("outgoing_messages") == 0


@pytest.mark.asyncio
async def test_a_message_that_another_worker_settled_is_not_settled_again(house, monkeypatch):
    """Two that hold one message: whoever comes second changes nothing and says nothing."""
    document = await forwarded(house)
    send = house.axis.send

    async def sends_twice(*arguments):
        outcome = await send(*arguments)
        await house.db.transact(lambda tx: tx.execute("UPDATE outgoing_messages SET stage = 'unknown', attempts = 9"))
        return outcome

    monkeypatch.setattr(house.axis, "send", sends_twice)
    await house.documents.recall(SERVICE, document, "Sai", once(house))
    assert await house.run(Lane.URGENT) == "done"
    ended, _, why = await house.run(Lane.URGENT)
    assert (ended, why) == ("retry", "message-changed")
    assert await logged(house, "exchange.message_sent", document) == []
    assert (await house.receivers(document))[0][1] == "accepted_by_exchange"


@pytest.mark.asyncio
async def test_a_recall_at_the_last_moment_keeps_the_document_from_further_receivers(house, stage, monkeypatch):
    """EXC-5: between the look at the document and the send; the statement that begins the send asks again."""
    document = await forwarded(house, receivers=("X02",))
    await house.exchange.change_receivers(SERVICE, document, [Receiver(organ_id="X03", name="Ba")], [], once(house))
    assert await house.run(Lane.URGENT) == "done"  # the update
    (system,) = house.exchange._systems
    admit = system.breaker.admit

    async def recalled(jitter):
        monkeypatch.undo()
        await house.documents.recall(SERVICE, document, "Sai", once(house))
        await admit(jitter)

    monkeypatch.setattr(system.breaker, "admit", recalled)
    ended, _, why = await house.run(Lane.URGENT)
    assert (ended, why) == ("retry", "document-changed")
    await work(house)
    receivers = [copy["receiver"] for packet in (await stage.oracle())["packets"] for copy in packet["copies"]]
    assert "X03" not in receivers


@pytest.mark.asyncio
@pytest.mark.parametrize("kept", [True, False])
async def test_a_document_recalled_on_its_way_is_asked_back_once_it_is_there(house, stage, kept):
    """The recall's job stands behind the forwarding of the same document; an earlier version queued none."""
    document = await house.sealed()
    await stage.put("_faults", [{"fault": "drop-after"}])
    assert (await house.run())[0] == "retry"
    await house.documents.recall(SERVICE, document, "Sai", once(house))
    if not kept:
        await house.db.transact(lambda tx: tx.execute("DELETE FROM jobs WHERE kind = 'exchange.recall'"))
    assert await house.run(Lane.URGENT) == "none"
    house.clock.advance(house.settings.settle_s + 1)
    assert await house.run() == "done"
    await work(house)
    assert (await house.receivers(document))[0][1] == "take_back_requested"
    assert [packet["business"] for packet in (await stage.oracle())["packets"]] == [0, 1]


@pytest.mark.asyncio
async def test_what_was_recalled_is_frozen(house, tmp_path):
    """EXC-5: no packet, status or call changes the document or its metadata any more."""
    document = await forwarded(house)
    await recall(house, document)
    before = await house.db.fetch_one("SELECT * FROM documents WHERE id = $1", document)
    with pytest.raises(Refused, match="conflict"):
        await house.documents.recall(SERVICE, document, "again", once(house))
    with pytest.raises(Refused, match="conflict"):
        await house.exchange.change_receivers(SERVICE, document, [Receiver(organ_id="X03", name="Ba")], [], once(house))
    after = await house.db.fetch_one("SELECT * FROM documents WHERE id = $1", document)
    assert tuple(before) == tuple(after)


@pytest.mark.asyncio
async def test_nothing_of_a_recalled_document_is_pushed_any_more(house):
    """EXC-5: whoever was told of it, reader or not; its readers hear of the recall alone."""
    document = await forwarded(house)
    people = [LEADER, CLERK, STRANGER]

    async def tell(tx):
        await notify(
            tx, organisation=ORGANISATION, people=people, document=document, kind="accepted", urgency=1, now_us=house.clock.now_us()
        )  # fmt: skip

    await house.db.transact(tell)
    await recall(house, document)
    rows = await house.db.fetch_all("SELECT state FROM notices WHERE document = $1 AND kind = 'accepted'", document)
    assert len(rows) == len(people)
    assert "open" not in {row["state"] for row in rows}


@pytest.mark.asyncio
async def test_other_receivers_get_the_document_and_the_rest_hear_of_it(house, stage, tmp_path):
    """Update (2): receivers changed, nothing signed is edited (DOC-10); the new one gets the very bytes, the removed one is asked back."""
    await house.agencies.synchronise()
    document = await forwarded(house, receivers=("X02",))
    [first] = await received(stage, "X02", tmp_path)
    add = [Receiver(organ_id="X03", name="Cơ quan Mẫu Ba")]
    answer = await house.exchange.change_receivers(SERVICE, document, add, ["x02"], once(house))
    assert msgspec.json.decode(answer) == {"receivers": ["X03"]}
    await work(house)
    [update] = await received(stage, "X02", tmp_path)
    assert (update.business_kind, update.business.document_id) == (2, first.header.document_id)
    said = update.business.update
    assert (said.document_changed, said.receivers_changed) == (0, 1)
    assert [(one.organ_id, one.change) for one in said.receivers] == [("X02", 0), ("X03", 1)]
    [late] = await received(stage, "X03", tmp_path)
    assert (late.business_kind, late.header.document_id) == (0, first.header.document_id)
    assert late.attachments[0].sha256 == first.attachments[0].sha256
    assert await house.receivers(document) == [
        ("X02", "take_back_requested", None),
        ("X03", "accepted_by_exchange", None),
    ]
    kinds = [kind for kind, _, _ in await house.changes(document)]
    assert kinds[-1] == "document.receivers_changed"
    said = await logged(house, "document.receivers_changed", document)
    assert said == [{"added": ["X03"], "removed": ["X02"]}]


@pytest.mark.asyncio
@pytest.mark.parametrize(("add", "remove"), [(["X02"], []), ([], ["X09"]), (["X04"], []), (["X77"], []), ([], ["X02"])])
async def test_receivers_that_are_none_are_refused(house, add, remove):
    """Already there, never there, closed, unknown to the list, and none left."""
    await house.agencies.synchronise()
    document = await forwarded(house, receivers=("X02",))
    receivers = [Receiver(organ_id=code, name="x") for code in add]
    with pytest.raises(Refused, match="receiver-unknown"):
        await house.exchange.change_receivers(SERVICE, document, receivers, remove, once(house))
    assert await house.count("outgoing_messages") == 0


async def changed(house, document, add=(), remove=()):
    receivers = [Receiver(organ_id=code, name=f"Cơ quan {code}") for code in add]
    answer = await house.exchange.change_receivers(SERVICE, document, receivers, list(remove), once(house))
    return msgspec.json.decode(answer)["receivers"]


async def copies(stage):
    """Who got which document, as the axis knows it."""
    packets = (await stage.oracle())["packets"]
    return [sorted(copy["receiver"] for copy in one["copies"]) for one in packets if one["kind"] == "edoc"]


@pytest.mark.asyncio
@pytest.mark.parametrize("state", ["in_review", "signing", "signed", "sealed_pending_archive", "sealed"])
async def test_before_a_document_leaves_its_first_packet_names_who_receives_it(house, stage, tmp_path, state):
    """§4.6: no update and no second copy; the same event as afterwards, and nobody signs again."""
    document = await house.sealed(receivers=("X02",))
    await house.db.transact(lambda tx: tx.execute("UPDATE documents SET state = $2 WHERE id = $1", document, state))
    before = await house.documents.get(SERVICE, document)
    claim = once(house)
    add = [Receiver(organ_id="X03", name="Cơ quan Mẫu Ba"), Receiver(organ_id="X01.02", name="Phòng Mẫu")]
    answers = [await house.exchange.change_receivers(SERVICE, document, add, ["x02"], claim) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await changed(house, document, remove=["X01.02"]) == ["X03"]
    shown = view(document, await house.exchange.deliveries(SERVICE, document))
    assert [(one.organ_id, one.name, one.state) for one in shown.receivers] == [("X03", "Cơ quan Mẫu Ba", "queued")]
    after = await house.documents.get(SERVICE, document)
    assert (after.version, after.head, after.state) == (before.version, before.head, before.state)
    told = [detail for kind, _, detail in await house.changes(document) if kind == "document.receivers_changed"]
    assert told == [{"added": ["X03", "X01.02"], "removed": ["X02"]}, {"added": [], "removed": ["X01.02"]}]
    assert await house.count("audit_events", "kind = 'document.receivers_changed' AND actor = 'c'") == 2
    await house.db.transact(lambda tx: tx.execute("UPDATE documents SET state = 'sealed' WHERE id = $1", document))
    assert set(await work(house)) == {"done"}
    assert await copies(stage) == [["X03"]]
    [packet] = await received(stage, "X03", tmp_path)
    assert [one.organ_id for one in packet.header.receivers] == ["X03"]
    assert await house.count("outgoing_messages") == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [{"fault": "401"}, {"fault": "refuse", "code": "20"}])
async def test_a_packet_that_the_axis_does_not_have_is_made_anew_for_other_receivers(house, stage, fault):
    """D2: it waits out an outage, or was refused for a receiver; one copy goes, to who receives it now."""
    document = await house.sealed(receivers=("X02",))
    await stage.put("_faults", [fault])
    assert (await house.run())[0] in {"retry", "buried"}
    (packet,) = await house.db.fetch_all("SELECT blob FROM outgoing_packets")
    assert await changed(house, document, add=["X03"]) == ["X02", "X03"]
    assert not list(house.blobs._root.rglob(packet["blob"])), "its file is nobody's"
    house.clock.advance(120)
    assert "done" in await work(house)
    assert await copies(stage) == [["X02", "X03"]]
    assert await house.state(document) == "forwarded"
    assert [one[:2] for one in await house.receivers(document)] == [
        (code, "accepted_by_exchange") for code in ("X02", "X03")
    ]


@pytest.mark.asyncio
async def test_receivers_that_change_before_the_refused_one_is_buried_are_sent_to(house, stage, monkeypatch):
    """D2: the job that ends is not the one that the change needs."""
    document = await house.sealed(receivers=("X02",))
    await stage.put("_faults", [{"fault": "refuse", "code": "20"}])
    send = house.exchange._send

    async def meanwhile(*args):
        try:
            await send(*args)
        except Bury:
            monkeypatch.undo()
            await changed(house, document, add=["X03"])
            raise

    monkeypatch.setattr(house.exchange, "_send", meanwhile)
    assert await house.run() == ("buried", "axis-refused-20")
    assert "done" in await work(house)
    assert await copies(stage) == [["X02", "X03"]]


@pytest.mark.asyncio
async def test_receivers_stay_while_nobody_knows_what_the_axis_has(house, stage):
    document = await house.sealed(receivers=("X02",))
    await stage.put("_faults", [{"fault": "drop-after"}])
    assert (await house.run())[0] == "retry"
    with pytest.raises(Refused, match="conflict"):
        await changed(house, document, add=["X03"])
    house.clock.advance(60)
    assert await house.settle() == "done"
    assert await copies(stage) == [["X02"]]
    assert await changed(house, document, add=["X03"]) == ["X02", "X03"]
    await work(house)
    assert sorted(await copies(stage)) == [["X02"], ["X02"], ["X03"]], "the update, and the document to the new one"


@pytest.mark.asyncio
async def test_receivers_that_change_while_the_packet_is_written_are_those_it_names(house, stage, monkeypatch):
    document = await house.sealed(receivers=("X02",))
    written = house.exchange._written

    async def meanwhile(row, header, sender, annexes):
        blob = await written(row, header, sender, annexes)
        monkeypatch.undo()
        await changed(house, document, add=["X03"], remove=["X02"])
        return blob

    monkeypatch.setattr(house.exchange, "_written", meanwhile)
    ended, _, why = await house.run()
    assert (ended, why) == ("retry", "document-changed")
    assert await house.settle() == "done"
    assert await copies(stage) == [["X03"]]


@pytest.mark.asyncio
@pytest.mark.parametrize("state", ["returned", "recalled"])
async def test_what_will_not_leave_gets_no_receivers(house, state):
    document = await house.sealed(receivers=("X02",))
    await house.db.transact(lambda tx: tx.execute("UPDATE documents SET state = $2 WHERE id = $1", document, state))
    with pytest.raises(Refused, match="conflict"):
        await changed(house, document, add=["X03"])
    assert (await house.exchange.deliveries(SERVICE, document)).receivers == []


@pytest.mark.asyncio
async def test_an_annex_has_the_receivers_of_its_document(house):
    document = await house.sealed(receivers=("X02",))
    annex = await house.sealed(receivers=("X02",), annex_of=document)
    await house.db.transact(lambda tx: tx.execute("UPDATE documents SET annex_of = $2 WHERE id = $1", annex, document))
    with pytest.raises(Refused, match="conflict"):
        await changed(house, annex, add=["X03"])
    await changed(house, document, add=["X03"])
    row = await house.documents.get(SERVICE, annex)
    assert [one.organ_id for one in row.metadata().receivers] == ["X02", "X03"]


@pytest.mark.asyncio
async def test_before_it_leaves_a_document_keeps_a_receiver_and_no_unknown_code_comes(house):
    document = await house.sealed(receivers=("X02",))
    await house.agencies.synchronise()
    for add, remove in ((["x02"], []), ([], ["X03"]), ([], ["X02"]), (["X99"], []), (["X04"], [])):
        with pytest.raises(Refused, match="receiver-unknown"):
            await changed(house, document, add, remove)
    assert await house.count("changes", "kind = 'document.receivers_changed'") == 0


@pytest.mark.asyncio
async def test_a_replacement_names_what_it_replaces_and_who_holds_it(house, stage, tmp_path, sends):
    """Business kind 3; an answer of 15 to it is no alarm."""
    old = await forwarded(house, "12", receivers=("X02", "X03"))
    for code in ("X02", "X03"):
        await received(stage, code, tmp_path)
    new = await house.sealed("13", receivers=("X02",), replaces=[old])
    assert await house.run() == "done"
    [packet] = await received(stage, "X02", tmp_path)
    [named] = packet.business.replacements
    assert packet.business_kind == 3
    assert (named.document_id, named.organ_ids) == ("H-01,2026/03/02,12/QĐ-CQM", ("X02", "X03"))
    assert (await house.changes(old))[-1] == ("document.superseded", "forwarded", {"by": new})
    await sends("X02", "15", number="13")
    await house.exchange.poll(STATUS)
    assert await incoming(house) == [("applied", "", True)]


@pytest.mark.asyncio
async def test_a_device_proves_what_it_purged_once(house):
    """EXC-5: by device, and only for what was recalled."""
    document = await forwarded(house)

    async def pair(tx):
        await tx.execute(
            "INSERT INTO devices (id, person, organisation, session_key, session_jwk, approval_key, approval_jwk, label, platform, office, state, created_us, "
            "seen_us) VALUES ('d1', $2, $1, 's', '{}', 'a', '{}', 'x', 'web', 0, 'active', 1, 1), "
            "('d2', $2, $1, 's2', '{}', 'a2', '{}', 'Điện thoại', 'web', 0, 'active', 1, 1), "
            "('d3', $3, $1, 's3', '{}', 'a3', '{}', 'Máy bàn', 'web', 0, 'active', 1, 1), "
            "('d4', $3, $1, 's4', '{}', 'a4', '{}', 'Máy cũ', 'web', 0, 'revoked', 1, 1), "
            "('d5', $3, $1, 's5', '{}', 'a5', '{}', 'Máy mới', 'web', 0, 'active', 1, 1)",
            ORGANISATION, LEADER, CLERK,
        )  # fmt: skip
        # A page on one screen, a notice fetched by others before the recall and by the newest after it.
        for device in ("d1", "d4"):
            await tx.execute(
                "INSERT INTO page_openings (document, person, page, image, device, at_us) VALUES ($1, $2, 1, $3, $4, 1)",
                document, LEADER, device, device,
            )  # fmt: skip
        await tx.execute(
            "INSERT INTO notices (id, organisation, person, document, kind, urgency, collapse, revision, state, created_us, expires_us) "
            "VALUES ('n', $1, $2, $3, 'accepted', 0, '', 1, 'open', 1, 2)",
            ORGANISATION, CLERK, document,
        )  # fmt: skip
        for device, at_us in (("d2", 1), ("d3", 1), ("d5", 1 << 60)):
            await tx.execute(
                "INSERT INTO deliveries (id, notice, device, transport, state, attempts, queued_us, received_us) VALUES ($1, 'n', $1, 'fcm', 'accepted', 1, 1, $2)",
                device, at_us,
            )  # fmt: skip

    await house.db.transact(pair)
    phone = msgspec.structs.replace(house.actor(LEADER), device="d1")
    assert await house.exchange.purged(phone, [document]) == 0
    clerk = house.actor(CLERK, ("clerk",))
    assert view(document, await house.exchange.deliveries(clerk, document)).unpurged == []
    await recall(house, document)
    assert [await house.exchange.purged(phone, [document]) for _ in range(2)] == [1, 0]
    shown = view(document, await house.exchange.deliveries(clerk, document))
    assert [(one.label, one.person) for one in shown.purged] == [("x", "Nguyễn Văn Mẫu")]
    assert [(one.label, one.person) for one in shown.unpurged] == [
        ("Điện thoại", "Nguyễn Văn Mẫu"),
        ("Máy bàn", "Trần Thị Mẫu"),
    ]
    clerk = house.actor(CLERK, ("clerk",))
    assert [row["device"] for row in (await house.exchange.deliveries(clerk, document)).purged] == ["d1"]
    foreign = msgspec.structs.replace(phone, organisation="0" * 32, device="d2")
    assert await house.exchange.purged(foreign, [document]) == 0


@pytest.mark.asyncio
async def test_further_receivers_get_what_was_sent_though_the_archive_has_grown(house, stage, tmp_path):
    """The head has new time stamps since; the late receiver gets the bytes of the first packet."""
    document = await forwarded(house, receivers=("X02",))
    [first] = await received(stage, "X02", tmp_path)
    longer = await house.blobs.put_bytes(b"%PDF-1.7 with one more archive time stamp" * 500)
    await house.db.transact(lambda tx: tx.execute("UPDATE documents SET head = $2 WHERE id = $1", document, longer))
    await house.exchange.change_receivers(SERVICE, document, [Receiver(organ_id="X03", name="Ba")], [], once(house))
    assert set(await work(house)) == {"done"}
    [late] = await received(stage, "X03", tmp_path)
    assert late.attachments[0].sha256 == first.attachments[0].sha256


@pytest.mark.asyncio
async def test_a_receiver_that_gave_it_back_gets_it_again(house, stage, tmp_path, sends):
    """02 for a mistake of the clerk: the same code is a receiver once more, not an error."""
    document = await forwarded(house, receivers=("X02", "X03"))
    await received(stage, "X02", tmp_path)
    await sends("X02", "02", description="Gửi nhầm")
    await house.exchange.poll(STATUS)
    await house.exchange.change_receivers(SERVICE, document, [Receiver(organ_id="x02", name="Hai")], [], once(house))
    await work(house)
    [again] = await received(stage, "X02", tmp_path)
    assert (again.business_kind, len(again.attachments)) == (0, 1)
    states = [(code, state) for code, state, _ in await house.receivers(document)]
    assert states == [("X02", "accepted_by_exchange"), ("X03", "accepted_by_exchange")]


@pytest.mark.asyncio
async def test_what_was_recalled_reaches_no_further_receiver(house, stage):
    """EXC-5: the packet for a late receiver waits in the outbox while the document is recalled; it never leaves."""
    document = await forwarded(house, receivers=("X02",))
    await house.exchange.change_receivers(SERVICE, document, [Receiver(organ_id="X03", name="Ba")], [], once(house))
    await house.documents.recall(SERVICE, document, "Sai", once(house))
    assert set(await work(house)) == {"done"}
    copies = [
        (packet["business"], copy["receiver"])
        for packet in (await stage.oracle())["packets"]
        for copy in packet["copies"]
    ]
    assert copies == [(0, "X02"), (2, "X02"), (1, "X02")]
    states = [(code, state) for code, state, _ in await house.receivers(document)]
    assert states == [("X02", "take_back_requested"), ("X03", "queued")]
