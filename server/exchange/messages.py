"""What is sent beside a document's own packet: business statuses, revocations, updates, late receivers (reference §10, outbox).

`queue` keeps the typed packet in the transaction of whoever acts; the job `exchange.message` writes the file from it, the same bytes each
time, and sends it under the policy of `forward`. The messages of one document go in order, none before the document itself.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec
import structlog

from server import audit
from server.crash import point
from server.db import Database, Reads, Transaction
from server.documents.model import State
from server.documents.service import documents_load
from server.exchange import edxml, forward, queries
from server.exchange.axis import SentKey
from server.exchange.business import Revoke, Update, meaning
from server.exchange.delivery import Event, on_event
from server.exchange.directory import queries as directory
from server.exchange.directory.service import Agencies
from server.exchange.failures import tell_failed
from server.exchange.forward import Action, Forwarding, Parcel, Stage
from server.exchange.model import (
    Attachment,
    Business,
    DocumentPacket,
    ExchangeError,
    MessageHeader,
    PacketKind,
    StatusCode,
    StatusPacket,
    TraceHeader,
    receivers,
)
from server.exchange.queries import MessageRow
from server.exchange.succession import GONE, Successor, addressed, moved, wait_s
from server.exchange.systems import System, Systems
from server.exchange.words import of_code
from server.ids import new_id
from server.jobs import Bury, Context, Lane, Retry, enqueue
from server.settings import ExchangeSettings
from server.storage import Blobs

log = structlog.get_logger()

JOB = "exchange.message"
_SYSTEM = "system"
_ALIKE_S = 5.0


class Send(msgspec.Struct, frozen=True):
    """Job `exchange.message`."""

    message: str


class Enclosed(msgspec.Struct, frozen=True):
    """A file of a message: the blob with this digest, under the name and id that receivers see."""

    digest: str
    size: int
    name: str
    content_type: str
    content_id: str


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A packet without its bytes: either `status`, or `header` with what belongs to a document packet."""

    status: StatusPacket | None = None
    header: MessageHeader | None = None
    business: Business | None = None
    traces: tuple[TraceHeader, ...] = ()
    enclosed: tuple[Enclosed, ...] = ()

    @property
    def kind(self) -> PacketKind:
        return PacketKind.DOCUMENT if self.status is None else PacketKind.STATUS

    def packet(self, files: Sequence[Attachment] = ()) -> DocumentPacket | StatusPacket:
        if self.status is not None:
            return self.status
        assert self.header is not None
        return DocumentPacket(header=self.header, business=self.business, traces=self.traces, attachments=tuple(files))

    def readdressed(self, moves: Mapping[str, Successor]) -> "Letter":
        """The same, to who has the units of its receivers now."""
        if self.status is not None:
            answered = self.status.response_for
            move = moves[answered.organ_id]
            status = msgspec.structs.replace(
                self.status, response_for=msgspec.structs.replace(answered, organ_id=move.code)
            )
            return msgspec.structs.replace(self, status=status)
        assert self.header is not None
        to = addressed(self.header.receivers, moves)
        return msgspec.structs.replace(self, header=msgspec.structs.replace(self.header, receivers=to))


async def queue(
    tx: Transaction,
    letter: Letter,
    *,
    organisation: str,
    subject: str,
    what: str,
    distinct: str = "",
    urgent: bool = False,
    now_us: int,
) -> bool:
    """Send `letter` once it is this one's turn among those of `subject`; False when the same was said before.

    `what` names the message in the outbox: a status code, or the kind of business. `distinct` tells repeated ones apart.
    """
    packet = letter.packet()
    reference = packet.response_for.code if isinstance(packet, StatusPacket) else packet.header.code
    id_ = new_id()
    fresh = await queries.insert_message(
        tx,
        MessageRow(
            id=id_,
            organisation=organisation,
            subject=subject,
            kind=letter.kind.value,
            what=what,
            reference=reference,
            receivers=msgspec.json.encode(receivers(packet)).decode(),
            packet=msgspec.json.encode(letter),
            stage=Stage.READY,
            attempts=0,
            not_before_us=0,
            doc_id="",
            code="",
            description="",
            created_us=now_us,
        ),
        distinct,
    )
    if fresh:
        await enqueue(
            tx,
            JOB,
            Send(message=id_),
            lane=Lane.URGENT if urgent else Lane.NORMAL,
            ordering_key=f"exchange:{subject}",
            dedupe_key=f"{JOB}:{id_}",
        )
    return bool(fresh)


class Messages:
    """The sender of queued messages."""

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        systems: Systems,
        agencies: Agencies,
        now_us: Callable[[], int],
        jitter: Callable[[], float],
        settings: ExchangeSettings,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._systems = systems
        self._agencies = agencies
        self._now_us = now_us
        self._jitter = jitter
        self._settings = settings

    async def send(self, id_: str, context: Context, *, revived: bool = False) -> None:
        """Make the steps that are due until the axis has the message; ends with the job finished in the last transaction.

        Raises: Retry (with its delay) while the outcome is open, Bury when a person must look.
        """
        row = await queries.message(self._db, id_)
        if row is None or row.stage is Stage.ACCEPTED:
            return
        system = await self._systems.of(self._db, row)
        state = row.forwarding
        if await self._dropped(row, state):
            return
        if state.stage is Stage.REFUSED and revived:
            state = await self._requeue(row)
        if state.stage is Stage.READY:
            row = await self._readdressed(row, system.url)
            state = row.forwarding
        try:
            async with self.written(row) as path:
                state = await self._steps(system, row, state, path, context)
        except ExchangeError as error:
            # What cannot be written was never sent; what had begun is left as it stands, and asked about when it is run again.
            if state.stage is Stage.READY:
                refused = msgspec.structs.replace(state, stage=Stage.REFUSED, code=error.code)
                with contextlib.suppress(Retry):
                    await self._db.transact(lambda tx: self._store(tx, system, row, state, refused, context))
            raise Bury(error.code) from None
        if state.stage is Stage.REFUSED:
            raise Bury(f"axis-refused-{state.code}")
        if state.stage is not Stage.ACCEPTED:
            raise Retry((state.not_before_us - self._now_us()) / 1e6, state.code or state.stage.value)

    async def _dropped(self, row: MessageRow, state: Forwarding) -> bool:
        """Whether it would bring further receivers a document that was recalled meanwhile: it stays here (EXC-5)."""
        if state.stage not in {Stage.READY, Stage.REFUSED} or not await _recalled(self._db, row):
            return False
        after = msgspec.structs.replace(state, stage=Stage.REFUSED, code="recalled")
        await self._db.transact(lambda tx: queries.set_message(tx, row.id, state, after, self._now_us()))
        return True

    async def _readdressed(self, row: MessageRow, axis: str) -> MessageRow:
        """The message for who has the units of its receivers now. Only what the axis certainly does not have is changed (D2)."""
        moves = await moved(self._db, axis, msgspec.json.decode(row.receivers, type=list[str]))
        if not moves:
            return row
        letter = msgspec.json.decode(row.packet, type=Letter).readdressed(moves)
        after = msgspec.structs.replace(
            row,
            packet=msgspec.json.encode(letter),
            receivers=msgspec.json.encode(receivers(letter.packet())).decode(),
            attempts=row.attempts + 1,
        )

        async def body(tx: Transaction) -> None:
            if not await queries.readdress_message(tx, row, after):
                raise Retry(_ALIKE_S, "message-changed")
            changed = {code: now.code for code, now in moves.items()}
            await self._audit(tx, row, "exchange.message_readdressed", {"receivers": changed}, self._now_us())

        await self._db.transact(body)
        return after

    async def _requeue(self, row: MessageRow) -> Forwarding:
        again = msgspec.structs.replace(row.forwarding, stage=Stage.READY, attempts=0, not_before_us=0)

        async def body(tx: Transaction) -> None:
            await self._audit(tx, row, "exchange.requeued", {"code": row.code}, self._now_us())
            if not await queries.set_message(tx, row.id, row.forwarding, again, self._now_us()):
                raise Retry(0.0, "message-changed")

        await self._db.transact(body)
        return again

    @contextlib.asynccontextmanager
    async def written(self, row: MessageRow) -> AsyncIterator[Path]:
        """The message's file, the same bytes each time. Raises: ExchangeError."""
        path = self._blobs.scratch() / f"message-{new_id()}.edxml"
        try:
            await self._write(msgspec.json.decode(row.packet, type=Letter), path)
            yield path
        finally:
            path.unlink(missing_ok=True)

    async def _write(self, letter: Letter, path: Path) -> None:
        async with contextlib.AsyncExitStack() as stack:
            files = [
                Attachment(
                    content_id=one.content_id,
                    name=one.name,
                    content_type=one.content_type,
                    size=one.size,
                    sha256=one.digest,
                    path=await stack.enter_async_context(self._blobs.local(one.digest)),
                )
                for one in letter.enclosed
            ]
            # The writer itself refuses a file whose bytes are not those of its digest.
            await asyncio.to_thread(edxml.write, letter.packet(files), path)

    async def _steps(
        self, system: System, row: MessageRow, state: Forwarding, path: Path, context: Context
    ) -> Forwarding:
        probe = None
        if (due := forward.action(state, self._now_us())) in {Action.SEND, Action.ASK}:
            probe = await system.breaker.admit(self._jitter())
        letter = msgspec.json.decode(row.packet, type=Letter)
        title = "" if letter.header is None else letter.header.subject
        codes = tuple(msgspec.json.decode(row.receivers, type=list[str]))
        key = SentKey(notation=row.reference, receivers=codes, title=title)

        async def store(after: Forwarding) -> None:
            nonlocal state
            if after.stage is not Stage.SENDING:
                point("message-sent")
                await system.breaker.heard(state, after, asked=due is Action.ASK)
            if after.stage is Stage.REFUSED and after.code in GONE:
                waits_s = await wait_s(self._db, self._agencies, system.url, codes, state.code)
                if waits_s is not None:
                    due_us = self._now_us() + round(waits_s * 1e6)
                    after = msgspec.structs.replace(after, stage=Stage.READY, not_before_us=due_us)
                    await self._db.transact(lambda tx: self._store(tx, system, row, state, after, context))
                    raise Retry(waits_s, "receiver-gone")
            try:
                await self._db.transact(lambda tx: self._store(tx, system, row, state, after, context))
            except Retry:
                if after.stage is Stage.SENDING:
                    await system.breaker.give_back(probe)
                raise
            state = after

        while (due := forward.action(state, self._now_us())) in {Action.SEND, Action.ASK}:
            known = await queries.known_ids(self._db, row.reference, row.id, row.organisation, system.names)
            parcel = Parcel(kind=PacketKind(row.kind), file=path, sender=system.system_id, key=key, known=known)
            await forward.forward_once(
                system.axis,
                parcel,
                state,
                now_us=self._now_us,
                jitter=self._jitter,
                store=store,
                settle_us=round(self._settings.settle_s * 1e6),
            )
        return state

    async def _store(
        self,
        tx: Transaction,
        system: System,
        row: MessageRow,
        before: Forwarding,
        after: Forwarding,
        context: Context,
    ) -> None:
        now_us = self._now_us()
        if after.stage is Stage.SENDING and await queries.unsettled_alike(tx, row.reference, row.id, system.names):
            raise Retry(_ALIKE_S, "reference-in-flight")
        if after.stage is Stage.SENDING and await _recalled(tx, row):
            raise Retry(0.0, "document-changed")
        if not await queries.set_message(tx, row.id, before, after, now_us, system.key):
            raise Retry(_ALIKE_S, "message-changed")
        if after.stage is Stage.REFUSED:
            await self._audit(tx, row, "exchange.message_failed", {"code": after.code}, now_us)
            document = await documents_load(tx, row.subject)
            await tell_failed(
                tx, organisation=row.organisation, document=document, arrival=row.subject, what=of_code(row.what), code=after.code, now_us=now_us
            )  # fmt: skip
            tx.after_commit(lambda: log.error("message-failed", subject=row.subject, what=row.what, code=after.code))
        if after.stage is Stage.ACCEPTED:
            await self._audit(tx, row, "exchange.message_sent", {"axis_id": after.doc_id}, now_us)
            await self._follow(tx, system.url, row, now_us)
            await context.finish(tx)

    async def _follow(self, tx: Transaction, axis: str, row: MessageRow, now_us: int) -> None:
        """What the axis' yes means for the receivers of the document: asked for it back, or sent to at last."""
        packet = await queries.outgoing(tx, row.subject, PacketKind.DOCUMENT.value)
        events = _events(msgspec.json.decode(row.packet, type=Letter))
        for receiver in [] if packet is None or not events else await queries.receivers(tx, packet.id):
            event = events.get(receiver.organ_id.strip().casefold())
            if event is None:  # the message went to who has the receiver's unit now
                event = events.get((await directory.current(tx, axis, receiver.organ_id)).strip().casefold())
            if event is not None:
                after = on_event(receiver.delivery, event).delivery
                await queries.set_receiver(tx, receiver, after, receiver.status_code, now_us)

    async def _audit(
        self, tx: Transaction, row: MessageRow, kind: str, body: Mapping[str, object], now_us: int
    ) -> None:
        await audit.append(
            tx,
            kind,
            organisation=row.organisation,
            actor=_SYSTEM,
            subject=row.subject,
            body={"message": row.id, "what": row.what, **body},
            now_us=now_us,
        )


async def _recalled(reads: Reads, row: MessageRow) -> bool:
    if row.what != "new":
        return False
    document = await documents_load(reads, row.subject)
    return document is not None and document.state is State.RECALLED


def _events(letter: Letter) -> dict[str, Event]:
    """By receiver; an update asks back from those whom it removes."""
    if letter.status is not None:
        codes = [letter.status.response_for.organ_id] if letter.status.status == StatusCode.TAKE_BACK else []
        return {code.strip().casefold(): Event.TAKE_BACK_SENT for code in codes}
    asked = meaning(cast("DocumentPacket", letter.packet()))
    addressed = [to.organ_id for to in letter.header.receivers] if letter.header is not None else []
    match asked:
        case Revoke():
            return {code.strip().casefold(): Event.TAKE_BACK_SENT for code in addressed}
        case Update():
            removed = [one.organ_id for one in asked.info.receivers if one.change == 0]
            return {code.strip().casefold(): Event.TAKE_BACK_SENT for code in removed}
        case _:
            return {code.strip().casefold(): Event.EXCHANGE_ACCEPTED for code in addressed}
