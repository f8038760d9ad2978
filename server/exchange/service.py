"""A sealed document leaves for the axis, exactly once, and its receivers' states can be read (architecture §6.7).

The packet file and its row are durable before the first send. Each step of the sending policy (`forward`) is stored before
it acts and after it was answered; what a crash interrupted is asked about at the axis before anything is sent again (D1, D2).
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import NoReturn

import msgspec
import structlog

from server import audit
from server.approvals.service import ApprovalService
from server.clock import Clock
from server.crash import point
from server.db import Database, Reads, Row, Transaction
from server.documents.model import DocumentRow, Receiver, State
from server.documents.service import (
    SYSTEM,
    DocumentService,
    Recall,
    annexes_of,
    annexes_sent,
    documents_load,
    move,
    publish,
)
from server.errors import Refused
from server.exchange import forward, queries
from server.exchange.axis import SentKey
from server.exchange.business import Meaning, New, Replace
from server.exchange.compose import Sender, header_of, write_packet
from server.exchange.delivered import Delivered
from server.exchange.delivery import Event, on_event
from server.exchange.directory.service import Agencies
from server.exchange.failures import tell_failed
from server.exchange.followups import FollowUps, planned
from server.exchange.forward import Action, Forwarding, Parcel, Stage
from server.exchange.incoming import Arrivals, Incoming, Settled, follow
from server.exchange.messages import Messages
from server.exchange.model import (
    BUSINESS_REASONS,
    BusinessKind,
    ExchangeError,
    MessageHeader,
    Organisation,
    PacketKind,
    Replacement,
    too_long,
)
from server.exchange.queries import MessageRow, PacketRow, ReceiverRow
from server.exchange.succession import GONE, Successor, addressed, moved, wait_s
from server.exchange.systems import System, Systems
from server.identity.model import Actor
from server.ids import new_id
from server.jobs import Bury, Context, Lane, Retry, enqueue
from server.notices.service import notify
from server.once import Once
from server.settings import ExchangeSettings
from server.storage import Blobs

log = structlog.get_logger()

DOCUMENT = PacketKind.DOCUMENT.value
_NOT_VALID = "personal-signature-missing"
_ALIKE_S = 5.0
_DROPPED_AT_ONCE = 90  # a statement takes 99 parameters at most
_EVENT_OF = {
    Stage.SENDING: Event.SEND_STARTED,
    Stage.UNKNOWN: Event.SEND_POSTPONED,
    Stage.READY: Event.SEND_POSTPONED,
    Stage.REFUSED: Event.SEND_REFUSED,
    Stage.ACCEPTED: Event.EXCHANGE_ACCEPTED,
}


class Deliveries(msgspec.Struct, frozen=True):
    """`packet` is None before the document has left; `failure` says why it could not be made."""

    packet: PacketRow | None
    receivers: list[ReceiverRow]
    statuses: list[Row]
    messages: list[MessageRow]
    purged: list[Row]
    unpurged: list[Row]
    failure: str = ""


class ExchangeService:
    """Documents of an organisation that no system serves wait once they are sealed, and their alarm tells."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: Blobs,
        systems: Systems,
        arrivals: Arrivals,
        approvals: ApprovalService,
        documents: DocumentService,
        agencies: Agencies,
        clock: Clock,
        settings: ExchangeSettings,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._systems = systems
        self._approvals = approvals
        self._documents = documents
        self._agencies = agencies
        self._clock = clock
        self._settings = settings
        self._jitter = jitter
        self.follow_ups = FollowUps(db, blobs, systems, documents, settings.organ_codes, settings.recall)
        self._messages = Messages(db, blobs, systems, agencies, clock.now_us, jitter, settings)
        self._delivered = Delivered(db, clock)
        self._incoming = [
            Incoming(
                db,
                blobs,
                system,
                arrivals,
                agencies,
                clock,
                organ_codes=settings.organ_codes,
                poll_s=settings.poll_s,
                sender_check=settings.sender_check,
            )
            for system in systems
        ]
        self.poll_s = settings.poll_s

    async def deliveries(self, actor: Actor, document: str) -> Deliveries:
        """What became of the document at each receiver (EXC-6); before it leaves, who will receive it.

        Raises: Refused("not-found") alike for unknown and foreign documents (C1).
        """
        row = await self._documents.get(actor, document)
        packet = await queries.outgoing(self._db, document, DOCUMENT)
        if packet is None:
            why, purges = await self._why_not(document), await self._purges(document)
            return Deliveries(None, planned(row), [], [], *purges, why)
        return Deliveries(
            packet,
            await queries.receivers(self._db, packet.id),
            await queries.statuses(self._db, document),
            await queries.messages(self._db, document),
            *await self._purges(document),
        )

    async def _purges(self, document: str) -> tuple[list[Row], list[Row]]:
        return await queries.purged(self._db, document), await queries.unpurged(self._db, document)

    async def _why_not(self, document: str) -> str:
        body = await queries.last_failure(self._db, document)
        return "" if body is None else str(msgspec.json.decode(body)["code"])

    async def said(self, subject: str) -> list[MessageRow]:
        """What was sent beside a document's own packet, or about an arrival. The caller has checked who may read it."""
        return await queries.messages(self._db, subject)

    async def purged_by(self, document: str) -> list[Row]:
        """Which devices said that they removed a document or arrival."""
        return await queries.purged(self._db, document)

    def written(self, message: MessageRow) -> AbstractAsyncContextManager[Path]:
        """The file of a message, the same bytes that were sent. Raises: ExchangeError where it cannot be written."""
        return self._messages.written(message)

    async def receivers(self, document: str) -> list[ReceiverRow]:
        """Where a document of ours stands at each receiver; the caller has decided who may read it. Empty before it has left."""
        packet = await queries.outgoing(self._db, document, DOCUMENT)
        return [] if packet is None else await queries.receivers(self._db, packet.id)

    async def purged(self, actor: Actor, documents: Sequence[str]) -> int:
        """A device says that it removed its copies (EXC-5); the first word counts. How many were new."""
        device, now_us = actor.device, self._clock.now_us()
        if device is None:
            raise Refused("forbidden")

        async def body(tx: Transaction) -> int:
            return sum([await queries.insert_purge(tx, actor, document, device, now_us) for document in documents])

        return await self._db.transact(body)

    @property
    def systems(self) -> list[str]:
        """The labels of all that are configured."""
        return [one.label for one in self._systems]

    async def poll(self, kind: PacketKind, system: str | None = None) -> int:
        """Take in what waits for us at the axis, for one system or for each beside the others; how many packets were new."""
        polled = [one for one in self._incoming if system is None or one.system.label == system]
        if len(polled) == 1:
            return await polled[0].poll(kind)
        taken = await asyncio.gather(*(one.poll(kind) for one in polled), return_exceptions=True)
        for failed in taken:
            if isinstance(failed, BaseException):
                raise failed
        return sum(one for one in taken if isinstance(one, int))

    async def look_for_deliveries(self, system: str = "") -> int:
        """Ask the system's axis who has what nobody confirms; how many receivers turned out to have it."""
        one = self._systems.labelled(system)
        return 0 if one is None else await self._delivered.look(one)

    async def parked(self, limit: int) -> list[Row]:
        """What came and was put aside, the oldest first."""
        return await queries.parked(self._db, limit)

    async def parked_count(self) -> int:
        return int((await queries.parked_count(self._db))["n"])

    @contextlib.asynccontextmanager
    async def parked_bytes(self, axis_id: str) -> AsyncIterator[Path]:
        """The kept bytes of a parked packet. Raises: Refused("not-found") where it is not parked or nothing was kept."""
        row = await queries.parked_packet(self._db, axis_id)
        if row is None or row["state"] == "unfetched" or row["dropped_us"] is not None:
            raise Refused("not-found")
        async with self._blobs.local(row["blob"]) as path:
            yield path

    async def take_up_again(self, axis_id: str, by: str) -> Settled:
        """Receive a parked packet again. Raises: as `Incoming.again`, and Refused("not-found") where its system is configured no more."""
        row = await queries.parked_packet(self._db, axis_id)
        if row is None:
            raise Refused("not-found")
        system = self._systems.named(row["system"])
        for one in self._incoming:
            if one.system is system:
                return await one.again(axis_id, by)
        raise ExchangeError("exchange-not-configured")

    async def dismiss(self, axis_id: str, by: str) -> None:
        """An operator has seen to a parked packet: it is kept, and warned of no more. Raises: Refused("not-found")."""

        async def body(tx: Transaction) -> None:
            row = await queries.parked_packet(tx, axis_id)
            if row is None:
                raise Refused("not-found")
            organisation = await queries.organisation_of(tx, axis_id) or ""
            await queries.dismiss(tx, axis_id)
            await audit.append(
                tx, "exchange.packet_dismissed", organisation=organisation, actor="operator", subject=axis_id,
                body={"axis_id": axis_id, "state": row["state"], "code": row["error"], "by": by}, now_us=self._clock.now_us(),
            )  # fmt: skip

        await self._db.transact(body)

    async def send_message(self, message: str, context: Context, *, revived: bool = False) -> None:
        """Send what stands in the outbox under this id. Raises: Retry, Bury."""
        await self._messages.send(message, context, revived=revived)

    async def recall(self, document: str, reason: str) -> None:
        """Ask the receivers of a recalled document for it, where it had left."""
        await self.follow_ups.recall(document, reason, self._clock.now_us())

    async def change_receivers(
        self, actor: Actor, document: str, add: Sequence[Receiver], remove: Sequence[str], once: Once
    ) -> bytes:
        """Raises: as `FollowUps.change_receivers`."""
        return await self.follow_ups.change_receivers(actor, document, add, remove, once, self._clock.now_us())

    # Forwarding.

    async def forward(self, document: str, context: Context, *, revived: bool = False) -> None:
        """Make the steps that are due until the axis has the document; ends with the job finished in the last transaction.

        `revived`: the job starts from the beginning; a packet that the axis had refused is offered again, as its operator wants.
        Raises: Retry (with its delay) while the outcome is open, Bury when a person must look.
        """

        async def look(reads: Reads) -> tuple[DocumentRow | None, PacketRow | None]:
            return await documents_load(reads, document), await queries.outgoing(reads, document, DOCUMENT)

        row, packet = await self._db.read(look)
        if row is None:
            raise Bury("document-unknown")
        if row.state is not State.SEALED and (packet is None or packet.stage is Stage.READY):
            return  # recalled before it left
        if packet is None:
            packet = await self._build(row)
        if packet.stage is Stage.REFUSED and revived:
            packet = await self._requeue(packet)
        if packet.stage is Stage.READY:
            packet = await self._readdressed(packet, row)
        await self._send(packet, row, context)

    async def _build(self, row: DocumentRow) -> PacketRow:
        """The packet, its file and its receivers, durable; nothing was sent yet. Raises: Retry where no system serves the organisation."""

        async def look(reads: Reads) -> tuple[list[DocumentRow], Sender]:
            await self._systems.serving(reads, row.organisation)
            return await annexes_of(reads, row.id), await self.follow_ups.sender(row, reads)

        annexes, sender = await self._db.read(look)
        for one in (row, *annexes):
            await self._require_valid(one)
        header = header_of(row, sender, annexes)
        blob = await self._written(row, header, sender, annexes)
        packet = await self._db.transact(lambda tx: self._insert(tx, row, annexes, sender, header.code, blob))
        point("forward-built")
        return packet

    async def _written(
        self, row: DocumentRow, header: MessageHeader, sender: Sender, annexes: Sequence[DocumentRow]
    ) -> str:
        """The digest of the packet's file, durable. Always raises Bury where it cannot be written."""
        if beyond := too_long(header):
            await self._fail(row, "field-too-long", {"elements": [field.element for field in beyond]})
        asked = await self._asked(row)
        path = self._blobs.scratch() / f"packet-{new_id()}.edxml"
        try:
            async with AsyncExitStack() as held:
                files = [(one, await held.enter_async_context(self._blobs.local(one.head))) for one in (row, *annexes)]
                await asyncio.to_thread(write_packet, row, header, sender.clerk, files, path, asked)
            return await self._blobs.put_file(path)
        except ExchangeError as error:
            await self._fail(row, error.code, {})
        finally:
            path.unlink(missing_ok=True)

    async def _readdressed(self, packet: PacketRow, row: DocumentRow) -> PacketRow:
        """The packet for who has the units of its receivers now, and people told. Only what the axis certainly does not have is changed (D2)."""

        async def look(reads: Reads) -> tuple[list[ReceiverRow], dict[str, Successor]]:
            before = await queries.receivers(reads, packet.id)
            axis = await self._systems.axis_of(reads, row.organisation)
            return before, await moved(reads, axis, [to.organ_id for to in before])

        before, moves = await self._db.read(look)
        if not moves:
            return packet
        sender = await self.follow_ups.sender(row)
        to = addressed([Organisation(organ_id=one.organ_id, name=one.name) for one in before], moves)
        # The very revisions that the packet says it has: the archive's time stamps may have come since.
        built = msgspec.structs.replace(row, head=packet.revision)
        enclosed = await annexes_sent(self._db, row.id, packet.created_us)
        annexes = [msgspec.structs.replace(one, head=digest) for one, digest, _ in enclosed]
        header = msgspec.structs.replace(header_of(built, sender, annexes), receivers=to)
        blob = await self._written(built, header, sender, annexes)

        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            if not await queries.replace_file(tx, packet, blob):
                raise Retry(_ALIKE_S, "packet-changed")
            for code, now in moves.items():
                await queries.move_receiver(tx, packet.id, code, now.code, now.name, now_us)
            about = {"receivers": {code: now.code for code, now in moves.items()}}
            await self._audit(tx, row, "exchange.readdressed", {"packet": blob, **about}, now_us)
            await publish(tx, row, "document.readdressed", row.state, detail=about, now_us=now_us)
            people = await queries.people_of(tx, row.id, row.organisation)
            await notify(
                tx, organisation=row.organisation, people=people, document=row.id, kind="readdressed", urgency=row.urgency, now_us=now_us
            )  # fmt: skip

        await self._db.transact(body)
        if blob != packet.blob:
            await self._blobs.delete(packet.blob)
        return msgspec.structs.replace(packet, blob=blob, attempts=packet.attempts + 1)

    async def _asked(self, row: DocumentRow) -> Meaning:
        """New, or in the place of documents that were sent before, each with who holds it (reference §4.6)."""
        replaced = []
        for document in row.metadata().replaces:
            before = await documents_load(self._db, document)
            packet = await queries.outgoing(self._db, document, DOCUMENT)
            if before is not None and packet is not None:
                holders = tuple(to.organ_id for to in await queries.receivers(self._db, packet.id))
                replaced.append(Replacement(document_id=before.exchange_id, organ_ids=holders))
        return Replace(replaced=tuple(replaced)) if replaced else New()

    async def _require_valid(self, row: DocumentRow) -> None:
        """Nothing leaves whose whole chain of signatures our own validation did not pass (SIG-7)."""
        try:
            await self._approvals.require_valid(row, _NOT_VALID)
        except Refused as refused:
            if refused.code != _NOT_VALID:
                raise Retry(reason=refused.code) from None
            await self._fail(row, refused.code, {})

    async def _insert(
        self,
        tx: Transaction,
        row: DocumentRow,
        annexes: Sequence[DocumentRow],
        sender: Sender,
        reference: str,
        blob: str,
    ) -> PacketRow:
        now_us = self._clock.now_us()
        current = [await documents_load(tx, row.id), *await annexes_of(tx, row.id)]
        # Nothing leaves without an annex that is not sealed, and none that is recalled leaves with it (SIG-4).
        sealed = [(one.head, one.header) for one in current if one is not None and one.state is State.SEALED]
        if len(sealed) != len(current) or sealed != [(one.head, one.header) for one in (row, *annexes)]:
            raise Retry(0.0, "document-changed")
        packet = PacketRow(
            id=new_id(),
            organisation=row.organisation,
            document=row.id,
            kind=DOCUMENT,
            sender=sender.organ_id,
            reference=reference,
            revision=row.head,
            blob=blob,
            stage=Stage.READY,
            attempts=0,
            not_before_us=0,
            doc_id="",
            code="",
            description="",
            created_us=now_us,
            sent_us=None,
            accepted_us=None,
        )
        if not await queries.insert_packet(tx, packet):
            raise Retry(0.0, "packet-built-twice")
        for position, to in enumerate(row.metadata().receivers):
            await queries.insert_receiver(
                tx, packet=packet.id, position=position, organ_id=to.organ_id, name=to.name, now_us=now_us
            )
        await self._audit(tx, row, "exchange.packet_built", {"packet": blob, "revision": row.head}, now_us)
        return packet

    async def _fail(self, row: DocumentRow, code: str, detail: dict[str, list[str]]) -> NoReturn:
        """The packet cannot be made: a person must look. Always raises Bury; the document stays sealed and becomes overdue."""

        async def body(tx: Transaction) -> None:
            await self._failed(tx, row, code, detail)

        await self._db.transact(body)
        raise Bury(code)

    async def _failed(self, tx: Transaction, row: DocumentRow, code: str, detail: dict[str, list[str]]) -> None:
        now_us = self._clock.now_us()
        await self._audit(tx, row, "exchange.forward_failed", {"code": code, **detail}, now_us)
        await publish(tx, row, "document.forward_failed", row.state, detail={"reason": code}, now_us=now_us)
        await tell_failed(tx, organisation=row.organisation, document=row, code=code, now_us=now_us)
        tx.after_commit(lambda: log.error("forward-failed", document=row.id, code=code))

    async def _audit(
        self, tx: Transaction, row: DocumentRow, kind: str, body: Mapping[str, object], now_us: int
    ) -> None:
        await audit.append(
            tx, kind, organisation=row.organisation, actor=SYSTEM, subject=row.id, body=dict(body), now_us=now_us
        )

    async def _requeue(self, packet: PacketRow) -> PacketRow:
        again = msgspec.structs.replace(packet, stage=Stage.READY, attempts=0, not_before_us=0)

        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            if not await queries.set_forwarding(tx, packet.id, packet.forwarding, again.forwarding, now_us):
                raise Retry(0.0, "packet-changed")
            await self._tell_receivers(tx, packet, Event.REQUEUED, now_us)
            await audit.append(
                tx, "exchange.requeued", organisation=packet.organisation, actor=SYSTEM, subject=packet.document, body={"code": packet.code}, now_us=now_us
            )  # fmt: skip

        await self._db.transact(body)
        return again

    async def _send(self, packet: PacketRow, row: DocumentRow, context: Context) -> None:
        """Steps of the policy until it says stop, or wait."""
        state = packet.forwarding

        async def look(reads: Reads) -> tuple[System, tuple[str, ...]]:
            system = await self._systems.of(reads, packet)
            return system, tuple(to.organ_id for to in await queries.receivers(reads, packet.id))

        system, codes = await self._db.read(look)
        probe = None
        if (due := forward.action(state, self._clock.now_us())) in {Action.SEND, Action.ASK}:
            probe = await system.breaker.admit(self._jitter())
        key = SentKey(notation=packet.reference, receivers=codes, title=row.subject)

        async def store(after: Forwarding) -> None:
            nonlocal state
            if after.stage is not Stage.SENDING:
                point("forward-sent")
                await system.breaker.heard(state, after, asked=due is Action.ASK)
            if after.stage is Stage.REFUSED and after.code in GONE:
                waits_s = await wait_s(self._db, self._agencies, system.url, codes, state.code)
                if waits_s is not None:
                    due_us = self._clock.now_us() + round(waits_s * 1e6)
                    after = msgspec.structs.replace(after, stage=Stage.READY, not_before_us=due_us)
                    await self._db.transact(lambda tx: self._store(tx, system, packet, state, after, context))
                    raise Retry(waits_s, "receiver-gone")
            try:
                await self._db.transact(lambda tx: self._store(tx, system, packet, state, after, context))
            except Retry:
                if after.stage is Stage.SENDING:
                    await system.breaker.give_back(probe)
                raise
            state = after

        async with self._blobs.local(packet.blob) as path:
            while (due := forward.action(state, self._clock.now_us())) in {Action.SEND, Action.ASK}:
                known = await queries.known_ids(
                    self._db, packet.reference, packet.id, packet.organisation, system.names
                )
                parcel = Parcel(kind=PacketKind.DOCUMENT, file=path, sender=system.system_id, key=key, known=known)
                await forward.forward_once(
                    system.axis,
                    parcel,
                    state,
                    now_us=self._clock.now_us,
                    jitter=self._jitter,
                    store=store,
                    settle_us=round(self._settings.settle_s * 1e6),
                )
        if due is Action.WAIT:
            raise Retry((state.not_before_us - self._clock.now_us()) / 1e6, state.code or state.stage.value)
        if state.stage is Stage.REFUSED:
            raise Bury(f"axis-refused-{state.code}")
        if state.stage is Stage.ACCEPTED:
            point("forward-accepted")

    async def _store(
        self,
        tx: Transaction,
        system: System,
        packet: PacketRow,
        before: Forwarding,
        after: Forwarding,
        context: Context,
    ) -> None:
        """Keep one step of the policy with everything that it means; the last one also ends the job."""
        now_us = self._clock.now_us()
        row = await documents_load(tx, packet.document)
        assert row is not None
        if after.stage is Stage.SENDING:
            await self._may_leave(tx, system, packet, row)
        if not await queries.set_forwarding(tx, packet.id, before, after, now_us, system.key):
            raise Retry(_ALIKE_S, "packet-changed")
        await self._tell_receivers(tx, packet, _EVENT_OF[after.stage], now_us)
        if after.stage is Stage.REFUSED:
            await self._failed(tx, row, f"axis-{after.code}", {})
        if after.stage is Stage.ACCEPTED:
            await self._accepted(tx, packet, row, after.doc_id, now_us)
            await context.finish(tx)

    async def _may_leave(self, tx: Transaction, system: System, packet: PacketRow, row: DocumentRow) -> None:
        """Raises: Retry for a document that was recalled meanwhile, and while another packet cannot be told from this one.

        Of two packets with one reference whose outcomes are both open, the sent list could prove either: they go one by one.
        """
        if row.state is not State.SEALED:
            raise Retry(0.0, "document-changed")
        if await queries.unsettled_alike(tx, packet.reference, packet.id, system.names):
            raise Retry(_ALIKE_S, "reference-in-flight")

    async def drop_packets(self) -> int:
        """Delete the files of packets that have done their work; how many. Rows stay, and with them what was sent and received.

        Ours go once the document is accepted by all or recalled, statuses of others once they were applied and confirmed; documents of
        others stay. A file that any row still needs is kept.
        """
        until_us = self._clock.now_us() - self._settings.keep_packets_days * 86_400_000_000
        done, count = await queries.done_packets(self._db, until_us), 0
        for start in range(0, len(done), _DROPPED_AT_ONCE):
            count += await self._drop(done[start : start + _DROPPED_AT_ONCE], until_us)
        return count

    async def _drop(self, some: Sequence[str], until_us: int) -> int:
        named = await queries.named_elsewhere(self._db, some)
        free = [digest for digest in some if digest not in named]
        if not free:
            return 0
        dropped = await self._db.transact(lambda tx: queries.drop_packets(tx, free, until_us, self._clock.now_us()))
        for digest in dropped:
            await self._blobs.delete(digest)
        return len(dropped)

    async def _accepted(self, tx: Transaction, packet: PacketRow, row: DocumentRow, doc_id: str, now_us: int) -> None:
        body = {"axis_id": doc_id, "packet": packet.blob, "revision": packet.revision}
        if row.state is not State.SEALED:
            # Recalled while it was on its way: the receivers have it, and are asked for it by the recall's own job (EXC-5). That one waits
            # behind this; only where it ran in vain, or an earlier version made none, is this another.
            await enqueue(
                tx, "exchange.recall", Recall(document=row.id, reason=BUSINESS_REASONS[BusinessKind.REVOKE]),
                lane=Lane.URGENT if row.urgency else Lane.NORMAL, ordering_key=f"exchange:{row.id}", dedupe_key=f"exchange.recall:{row.id}",
            )  # fmt: skip
            await self._audit(tx, row, "exchange.accepted_after_recall", body, now_us)
            tx.after_commit(lambda: log.error("accepted-after-recall", document=row.id))
            return
        await move(tx, row, State.FORWARDED, actor=SYSTEM, now_us=now_us, step=row.step, body=body)
        for document in row.metadata().replaces:
            await self._superseded(tx, document, row, now_us)
        await follow(tx, packet, {}, now_us=now_us)

    async def _superseded(self, tx: Transaction, document: str, by: DocumentRow, now_us: int) -> None:
        before = await documents_load(tx, document)
        if before is None or before.organisation != by.organisation:
            return
        await self._audit(tx, before, "document.superseded", {"by": by.id}, now_us)
        await publish(tx, before, "document.superseded", before.state, detail={"by": by.id}, now_us=now_us)

    async def _tell_receivers(self, tx: Transaction, packet: PacketRow, event: Event, now_us: int) -> None:
        for receiver in await queries.receivers(tx, packet.id):
            delivery = on_event(receiver.delivery, event).delivery
            if delivery != receiver.delivery:
                await queries.set_receiver(tx, receiver, delivery, receiver.status_code, now_us)
