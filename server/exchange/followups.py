"""What follows a document that has left: its recall (EXC-5) and a changed list of receivers, said over the exchange.

A recall goes as one revocation packet to all receivers or as a status 13 to each, as the setting says: receivers expect the one or the other
(reference §12.4). A document that was signed is never edited (DOC-10): an update changes who receives it, a replacement is a document of its own.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from server import audit
from server.db import Database, Reads, Transaction
from server.documents.model import DocumentRow, Receiver, State
from server.documents.service import (
    SYSTEM,
    DocumentService,
    Forward,
    annexes_sent,
    documents_load,
    publish,
    set_receivers,
)
from server.errors import Refused
from server.exchange import queries
from server.exchange.business import Meaning, New, Revoke, Update, business, status
from server.exchange.compose import Sender, content_id, header_of, pdf_name
from server.exchange.delivery import Delivery
from server.exchange.delivery import State as DeliveryState
from server.exchange.directory import queries as directory
from server.exchange.forward import Stage
from server.exchange.messages import Enclosed, Letter, queue
from server.exchange.model import (
    Organisation,
    PacketKind,
    ReceiverChange,
    ResponseFor,
    StaffInfo,
    StatusCode,
    TraceHeader,
    UpdateInfo,
    same_organ,
)
from server.exchange.queries import PacketRow, ReceiverRow
from server.exchange.systems import Systems
from server.identity.model import Actor
from server.ids import new_id
from server.jobs import Lane, enqueue
from server.once import Once
from server.storage import Blobs

_AWAY = frozenset({DeliveryState.REJECTED, DeliveryState.TAKEN_BACK})
_WITHOUT = _AWAY | {DeliveryState.QUEUED}
_SENT = frozenset({State.FORWARDED, State.DELIVERED, State.ACCEPTED, State.REFUSED})
_STAYS = frozenset(State) - _SENT - {State.RETURNED, State.RECALLED}
_DOCUMENT = PacketKind.DOCUMENT.value
_NOT_THERE = frozenset({Stage.READY, Stage.REFUSED})
_MOST = 500


class ReceiversChanged(msgspec.Struct, frozen=True):
    """Who receives the document now, by code."""

    receivers: list[str]


class FollowUps:
    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        systems: Systems,
        documents: DocumentService,
        organ_codes: Mapping[str, str],
        recall_by: str,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._systems = systems
        self._documents = documents
        self._organ_codes = organ_codes
        self._recall_by = recall_by

    async def recall(self, document: str, reason: str, now_us: int) -> None:
        """Ask every receiver that has a recalled document for it. Nothing is asked for what never left; repeating changes nothing."""
        row = await documents_load(self._db, document)
        packet = await queries.outgoing(self._db, document, _DOCUMENT)
        if row is None or row.state is not State.RECALLED or packet is None or packet.stage is not Stage.ACCEPTED:
            return
        sender = await self.sender(row)

        async def body(tx: Transaction) -> None:
            asked = [to for to in await queries.receivers(tx, packet.id) if to.state not in _WITHOUT]
            if self._recall_by == "take_back":
                for to in asked:
                    await self._take_back(tx, row, packet, sender, to, reason, now_us)
            elif asked:
                await self._packet(
                    tx,
                    row,
                    sender,
                    Revoke(document_id=row.exchange_id, reason=reason),
                    _organisations(asked),
                    "revoke",
                    now_us,
                )
            await _log(tx, row, "exchange.recall_asked", SYSTEM, {"receivers": [to.organ_id for to in asked]}, now_us)

        await self._db.transact(body)

    async def change_receivers(
        self,
        actor: Actor,
        document: str,
        add: Sequence[Receiver],
        remove: Sequence[str],
        once: Once,
        now_us: int,
    ) -> bytes:
        """Who receives the document. Before it leaves, its first packet names them; afterwards it goes to further receivers and is taken back from
        others, by an update packet and, to the new ones, the document.

        Raises: Refused("not-found", "conflict") for what was returned or recalled, is just being sent, or follows its main document,
        "receiver-unknown" for a code that is no receiver or stands there already.
        """
        before = await self._documents.get(actor, document)
        sender = await self.sender(before)
        sent = await queries.outgoing(self._db, document, _DOCUMENT)
        # The archive's time stamps may have come since; what was sent is what further receivers get.
        size = 0 if sent is None else await self._blobs.size(sent.revision)
        dropped: str | None = None

        async def body(tx: Transaction) -> bytes:
            nonlocal dropped
            dropped = None
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            row = await self._documents.get(actor, document, tx)
            packet = await queries.outgoing(tx, document, _DOCUMENT)
            if row.state in _STAYS:
                receivers = await self._before_it_leaves(tx, actor, row, packet, add, remove, now_us)
                dropped = None if packet is None else packet.blob
                answer = msgspec.json.encode(ReceiversChanged(receivers))
                await once.settle(tx, answer)
                return answer
            if row.state not in _SENT or packet is None or sent is None:
                raise Refused("conflict")
            present = [to for to in await queries.receivers(tx, packet.id) if to.state not in _AWAY]
            removed = [_one_of(present, code) for code in remove]
            axis = await self._systems.axis_of(tx, row.organisation)
            for to in add:
                await _addable(tx, axis, present, to)
            stay = [to for to in present if to not in removed]
            if not stay and not add:
                raise Refused("receiver-unknown", detail="no receiver would be left: recall the document")
            changed = (
                *(ReceiverChange(organ_id=to.organ_id, change=0) for to in removed),
                *(ReceiverChange(organ_id=to.organ_id, change=1) for to in add),
            )
            info = UpdateInfo(document_changed=0, receivers_changed=1, receivers=changed)
            await self._packet(
                tx,
                row,
                sender,
                Update(document_id=row.exchange_id, info=info),
                _organisations(present),
                "update",
                now_us,
            )
            if add:
                await self._add(tx, row, packet, sender, add, size, now_us)
            receivers = [*(to.organ_id for to in stay), *(to.organ_id for to in add)]
            detail = {"added": [to.organ_id for to in add], "removed": [to.organ_id for to in removed]}
            await _log(tx, row, "document.receivers_changed", actor.id, detail, now_us)
            await publish(tx, row, "document.receivers_changed", row.state, detail=detail, now_us=now_us)
            answer = msgspec.json.encode(ReceiversChanged(receivers))
            await once.settle(tx, answer)
            return answer

        answer = await self._db.transact(body)
        if dropped is not None:  # no row names its file any more, and the one that is made now has other receivers
            await self._blobs.delete(dropped)
        return answer

    async def _before_it_leaves(
        self,
        tx: Transaction,
        actor: Actor,
        row: DocumentRow,
        packet: PacketRow | None,
        add: Sequence[Receiver],
        remove: Sequence[str],
        now_us: int,
    ) -> list[str]:
        """Nothing that is signed says who receives it, so no signature is asked again. A packet that the axis certainly does not have is made anew."""
        if row.metadata().annex_of is not None or (packet is not None and packet.stage not in _NOT_THERE):
            raise Refused("conflict")
        present = row.metadata().receivers
        removed = [_one_of(present, code) for code in remove]
        axis = await self._systems.axis_of(tx, row.organisation)
        for to in add:
            await _addable(tx, axis, present, to)
        receivers = [*(to for to in present if to not in removed), *add]
        if not 1 <= len(receivers) <= _MOST:
            raise Refused("receiver-unknown", detail=f"a document has 1 to {_MOST} receivers")
        await set_receivers(tx, row, receivers)
        if packet is not None:
            await queries.drop_unsent(tx, packet.id)
            # One that waits has its own job. That of a refused one has ended, or is just about to be buried, and must not absorb this.
            refused = f":{packet.id}" if packet.stage is Stage.REFUSED else ""
            await enqueue(
                tx, "exchange.forward", Forward(document=row.id), lane=Lane.URGENT if row.urgency else Lane.NORMAL,
                ordering_key=f"exchange:{row.id}", dedupe_key=f"exchange.forward:{row.id}{refused}",
            )  # fmt: skip
        detail = {"added": [to.organ_id for to in add], "removed": [to.organ_id for to in removed]}
        await _log(tx, row, "document.receivers_changed", actor.id, detail, now_us)
        await publish(tx, row, "document.receivers_changed", row.state, detail=detail, now_us=now_us)
        return [to.organ_id for to in receivers]

    async def _add(
        self,
        tx: Transaction,
        row: DocumentRow,
        packet: PacketRow,
        sender: Sender,
        add: Sequence[Receiver],
        size: int,
        now_us: int,
    ) -> None:
        before = await queries.receivers(tx, packet.id)
        for position, to in enumerate(add, start=len(before)):
            known = next((one for one in before if same_organ(one.organ_id, to.organ_id)), None)
            if known is not None:  # it gave the document back, and gets it again
                await queries.set_receiver(tx, known, Delivery(), None, now_us)
                continue
            await queries.insert_receiver(
                tx, packet=packet.id, position=position, organ_id=to.organ_id, name=to.name, now_us=now_us
            )
        # What was sent is what they get: the very revisions of the first packet.
        annexes = await annexes_sent(tx, row.id, packet.created_us)
        files = tuple(
            Enclosed(
                digest=digest, size=length, name=pdf_name(row, number), content_type="application/pdf", content_id=content_id(one.id, digest)
            )
            for number, (one, digest, length) in enumerate([(row, packet.revision, size), *annexes])
        )  # fmt: skip
        organisations = tuple(Organisation(organ_id=to.organ_id, name=to.name) for to in add)
        await self._packet(
            tx, row, sender, New(), organisations, "new", now_us, enclosed=files, annexes=[one for one, _, _ in annexes]
        )

    async def sender(self, row: DocumentRow, reads: Reads | None = None) -> Sender:
        """Who issued the document, as its packets say."""
        facts = await queries.header_facts(reads or self._db, row.id)
        assert facts is not None
        return Sender.of(facts, self._organ_codes)

    async def _packet(
        self,
        tx: Transaction,
        row: DocumentRow,
        sender: Sender,
        asked: Meaning,
        to: tuple[Organisation, ...],
        what: str,
        now_us: int,
        enclosed: tuple[Enclosed, ...] = (),
        annexes: Sequence[DocumentRow] = (),
    ) -> None:
        header = msgspec.structs.replace(header_of(row, sender, annexes), receivers=to)
        letter = Letter(
            header=header,
            business=business(asked, staff=_staff(sender)),
            traces=(TraceHeader(organ_id=sender.organ_id, at_us=now_us // 1_000_000 * 1_000_000),),
            enclosed=enclosed,
        )
        # A document is recalled once; its receivers may change again and again.
        distinct = "" if what == "revoke" else new_id()
        await queue(
            tx, letter, organisation=row.organisation, subject=row.id, what=what, distinct=distinct, urgent=row.urgency > 0, now_us=now_us
        )  # fmt: skip

    async def _take_back(
        self,
        tx: Transaction,
        row: DocumentRow,
        packet: PacketRow,
        sender: Sender,
        to: ReceiverRow,
        reason: str,
        now_us: int,
    ) -> None:
        header = header_of(row, sender)
        letter = Letter(
            status=status(
                StatusCode.TAKE_BACK,
                sender=header.sender,
                answered=ResponseFor(
                    organ_id=to.organ_id,
                    code=packet.reference,
                    document_id=row.exchange_id,
                    promulgated=header.promulgated,
                ),
                reason=reason,
                at_us=now_us // 1_000_000 * 1_000_000,
                staff=_staff(sender),
            )
        )
        await queue(
            tx, letter, organisation=row.organisation, subject=row.id, what=StatusCode.TAKE_BACK.value, distinct=to.organ_id,
            urgent=row.urgency > 0, now_us=now_us,
        )  # fmt: skip


def planned(row: DocumentRow) -> list[ReceiverRow]:
    """Who will receive a document that has not left; nobody where it will not."""
    if row.state not in _STAYS:
        return []
    return [
        ReceiverRow("", to.organ_id, to.name, DeliveryState.QUEUED, None, None, row.updated_us)
        for to in row.metadata().receivers
    ]


def _staff(sender: Sender) -> StaffInfo | None:
    return StaffInfo(department=sender.name, staff=sender.clerk) if sender.clerk else None


def _organisations(receivers: Sequence[ReceiverRow]) -> tuple[Organisation, ...]:
    return tuple(Organisation(organ_id=to.organ_id, name=to.name) for to in receivers)


R = TypeVar("R", Receiver, ReceiverRow)


def _one_of(receivers: Sequence[R], code: str) -> R:
    for to in receivers:
        if same_organ(to.organ_id, code):
            return to
    raise Refused("receiver-unknown", detail="a code to be removed is no receiver of the document")


async def _addable(tx: Transaction, axis: str, present: Sequence[Receiver | ReceiverRow], to: Receiver) -> None:
    if any(same_organ(one.organ_id, to.organ_id) for one in present):
        raise Refused("receiver-unknown")
    if await directory.synchronised_us(tx, axis) is not None:
        known = [one for one in await directory.by_code(tx, axis, to.organ_id.strip().casefold()) if not one.closed]
        if not known:
            raise Refused("receiver-unknown")


async def _log(
    tx: Transaction, row: DocumentRow, kind: str, actor: str, body: Mapping[str, object], now_us: int
) -> None:
    await audit.append(
        tx, kind, organisation=row.organisation, actor=actor, subject=row.id, body=dict(body), now_us=now_us
    )
