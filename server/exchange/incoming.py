"""What the axis holds for us: stored raw, taken into effect, and only then confirmed there (reference §7.2).

A packet is listed until it is confirmed, so a crash at any place means that it is seen again; its row, unique by the axis' id,
makes its effect happen once. Statuses come late, out of order, repeated, and from whoever can reach the axis. What cannot be read,
or fails every time, is parked with its raw bytes and an alarm, and confirmed as failed: it holds up nobody (D14).

Longer than most: storing, effect and confirmation are one sequence, and its crash points are found by reading it whole.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import structlog

from server import audit
from server.clock import Clock
from server.crash import point
from server.db import Conflict, Database, DatabaseError, Row, StatementFailed, Transaction, Violation
from server.documents.model import FOLLOWS, DocumentRow, State, clean
from server.documents.service import SYSTEM, documents_load, move, publish
from server.errors import Refused
from server.exchange import edxml, queries
from server.exchange.axis import CREDENTIALS, Axis, AxisRefused, AxisUnavailable, ReceivedItem
from server.exchange.delivery import RANK, Delivery, Flag, on_status
from server.exchange.delivery import State as DeliveryState
from server.exchange.directory import queries as directory
from server.exchange.directory.service import Agencies
from server.exchange.model import (
    DocumentPacket,
    ExchangeError,
    Organisation,
    Packet,
    PacketKind,
    ResponseFor,
    StatusCode,
    StatusPacket,
    same_organ,
)
from server.exchange.queries import PARKED, PacketRow, ReceiverRow, Trouble
from server.exchange.systems import System
from server.exchange.words import Words, of_parked
from server.ids import new_id
from server.notices.model import NewNotice, NoticeKind, lifetime_us
from server.notices.service import notify, tell
from server.storage import Blobs
from server.validations.service import IncomingPacket, is_pdf, validate_later
from server.wire import iso

log = structlog.get_logger()

_BATCH: Final = 500
_MAX_PAUSE_US: Final = 60_000_000
_SHUN_US: Final = 900_000_000
_PASS_US: Final = 30_000_000
_TRIES: Final = 3
_FETCHES: Final = 5
_LONE_FETCHES: Final = 100
_PATIENCE_US: Final = 3_600_000_000
_REASON: Final = 1000
_SENT: Final = frozenset({State.FORWARDED, State.DELIVERED, State.ACCEPTED, State.REFUSED})


_OF_ONE_PACKET: Final = (Conflict, StatementFailed, Violation)
"""What the database says to a statement because of its values, such as a text that no index takes; every other error concerns all packets."""


class _NoListYetError(Exception):
    """An answer comes from a code that only the agency list could explain, and there is none."""


class _PerhapsOursError(Exception):
    """Nobody of ours is addressed by the list that we have, which may be older than a merger."""


class Settled(msgspec.Struct, frozen=True):
    """What became of an incoming packet, and why: `stored`, `applied`, `repeated`, `unmatched`, or parked as one of `queries.PARKED`."""

    state: str
    error: str = ""
    organisation: str | None = None
    document: str | None = None


class Enclosure(msgspec.Struct, frozen=True):
    """A file of a packet that came, stored: exact bytes by their SHA-256. `pdf`: by its bytes, whatever it is called."""

    name: str
    content_type: str
    digest: str
    size: int
    pdf: bool
    findings: tuple[str, ...]


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """A document packet for one organisation of ours. `addressed` is the element To that named it."""

    axis_id: str
    blob: str
    packet: DocumentPacket
    enclosures: tuple[Enclosure, ...]
    organisation: str
    addressed: Organisation


class Arrivals(Protocol):
    """Who takes in documents of others; both in the transaction that stores the packet."""

    async def came(self, tx: Transaction, came: Came, *, now_us: int) -> Settled:
        """A document packet, new, repeated, or about an earlier one."""

    async def taken_back(
        self, tx: Transaction, axis_id: str, blob: str, organisation: str, status: StatusPacket, *, now_us: int
    ) -> Settled:
        """Its sender asks a document back (status 13)."""


def reached(deliveries: Iterable[Delivery]) -> State:
    """The document's state from its receivers': as far as the slowest is; refused as soon as one refuses."""
    ranks = []
    for delivery in deliveries:
        if delivery.state is DeliveryState.REJECTED:
            return State.REFUSED
        if delivery.state is not DeliveryState.TAKEN_BACK:
            ranks.append(RANK[delivery.before_take_back or delivery.state])
    slowest = min(ranks, default=0)
    if slowest >= RANK[DeliveryState.ACCEPTED]:
        return State.ACCEPTED
    return State.DELIVERED if slowest >= RANK[DeliveryState.ARRIVED] else State.FORWARDED


async def follow(tx: Transaction, packet: PacketRow, about: dict[str, Any], *, now_us: int) -> None:
    """Move the document to where its receivers are, if that is forward, and tell people once all have accepted."""
    row = await documents_load(tx, packet.document)
    assert row is not None
    to = reached(receiver.delivery for receiver in await queries.receivers(tx, packet.id))
    # A state may follow itself, for the archive's new head; what receivers say moves a document only forward.
    if row.state not in _SENT or to is row.state or to not in FOLLOWS[row.state]:
        return
    await move(tx, row, to, actor=SYSTEM, now_us=now_us, step=row.step, body=about)
    if to is State.ACCEPTED:
        await _tell(tx, packet, "accepted", row.urgency, now_us)


async def _asked_before(tx: Transaction, row: DocumentRow) -> bool:
    """Whether receivers were sent something about the document that they may agree or refuse."""
    asked = any(one.what != "new" for one in await queries.messages(tx, row.id))
    return asked or bool(row.metadata().replaces)


async def _tell(tx: Transaction, packet: PacketRow, kind: str, urgency: int, now_us: int) -> None:
    await notify(
        tx,
        organisation=packet.organisation,
        people=await queries.people_of(tx, packet.document, packet.organisation),
        document=packet.document,
        kind=kind,
        urgency=urgency,
        now_us=now_us,
    )


class Incoming:
    """The poller of one system. One at a time over all processes: it runs as a periodic job. What the system lists reaches those whom it serves,
    and nobody else of this installation.
    """

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        system: System,
        arrivals: Arrivals,
        agencies: Agencies,
        clock: Clock,
        *,
        organ_codes: Mapping[str, str],
        poll_s: float,
        sender_check: str,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self.system = system
        self._arrivals = arrivals
        self._agencies = agencies
        self._clock = clock
        self._sender_check = sender_check
        # Agencies of two axes may have one code.
        self._ours = {theirs.casefold(): ours for ours, theirs in organ_codes.items() if system.serves(ours)}
        self._poll_us = max(round(poll_s * 1e6), 1_000_000)
        self._failures = 0
        self._quiet_until_us = 0
        self._troubles: dict[PacketKind, dict[str, Trouble]] = {kind: {} for kind in PacketKind}
        self._handed_over = 0
        self._handed_over_at: dict[PacketKind, dict[str, int]] = {kind: {} for kind in PacketKind}
        self._caught_up = False

    async def poll(self, kind: PacketKind) -> int:
        """Take in what is listed, up to a batch; how many packets were new. An axis that is down is asked ever more seldom (D3)."""
        if self._clock.monotonic_us() < self._quiet_until_us:
            return 0
        if kind is PacketKind.DOCUMENT and not self._caught_up:
            await self._catch_up()
            self._caught_up = True
        if not await self.system.breaker.passes():
            return 0
        try:
            taken = await self._poll(self.system.axis, kind)
        except (AxisUnavailable, AxisRefused) as error:
            self._failures += 1
            pause_us = min(self._poll_us << min(self._failures, 6), _MAX_PAUSE_US)
            self._quiet_until_us = self._clock.monotonic_us() + pause_us
            if isinstance(error, AxisRefused) and error.code not in CREDENTIALS:
                await self.system.breaker.seen()  # it is there, whatever it says
            log.warning("axis-not-polled", system=self.system.system_id, kind=kind.value, code=error.code)
            return 0
        self._failures = 0
        return taken

    async def _poll(self, axis: Axis, kind: PacketKind) -> int:
        listed = {item.doc_id: item for item in await self._listed(axis, kind)}
        # Whatever becomes of a single packet below: the axis is there.
        await self.system.breaker.seen()
        troubles = await self._known_troubles(kind, listed.keys())
        now_us = self._clock.now_us()
        taken = 0
        # What broke off comes behind all others, the last one last: were it first each time, it would end every poll before them.
        items = sorted(
            listed.values(), key=lambda item: troubles[item.doc_id].until_us if item.doc_id in troubles else 0
        )
        due = [item for item in items if item.doc_id not in troubles or not _put_off(troubles[item.doc_id], now_us)]
        for item in due[:_BATCH]:
            try:
                taken += await self._take(axis, kind, item)
            except _NoListYetError:
                log.error("incoming-without-agencies", axis_id=item.doc_id)  # noqa: TRY400 - no defect of ours
                await self._note(kind, item, pause_us=_PASS_US)
            except _PerhapsOursError:
                first_us = _since(self._trouble(kind, item).unplaced_us, self._clock.now_us())
                fresh = await self._agencies.of(self.system.url).refresh()
                await self._note(kind, item, pause_us=0 if fresh else _PASS_US, unplaced_us=first_us)
            except AxisUnavailable:
                # If this one packet is the trouble, the next poll passes it over for a while.
                await self._note(kind, item, pause_us=_PASS_US)
                raise
            except Refused as refused:
                # The volume is full (D8): nothing was confirmed, so the axis keeps what we cannot.
                log.error("incoming-not-stored", code=refused.code)  # noqa: TRY400 - no trace: it may quote the packet
                return taken
            except (
                Exception
            ) as error:  # one packet must not hold up the others (D14); it stays listed until it is parked
                if isinstance(error, DatabaseError) and not isinstance(error, _OF_ONE_PACKET):
                    raise
                code = error.code if isinstance(error, AxisRefused) else type(error).__name__
                log.error("incoming-packet-failed", axis_id=item.doc_id, code=code)  # noqa: TRY400 - as above
                ours = not isinstance(error, AxisRefused)  # what was never here was not tried
                await self._note(kind, item, pause_us=_SHUN_US, failed=self._trouble(kind, item).failed + ours)
        await self._close(kind, listed.keys())
        return taken

    async def _known_troubles(self, kind: PacketKind, listed: Collection[str]) -> dict[str, Trouble]:
        """What went wrong before with what is listed, whichever process saw it; of what is listed no more it is forgotten."""
        kept = {
            self.system.given_id(one.axis_id): one
            for one in await queries.troubles(self._db, kind.value, self.system.key)
        }
        for doc_id in kept.keys() - set(listed):
            gone = kept.pop(doc_id)
            await self._db.transact(lambda tx, gone=gone: queries.forget_trouble(tx, gone.axis_id))  # type: ignore[misc]
        self._handed_over_at[kind] = {one: at for one, at in self._handed_over_at[kind].items() if one in kept}
        self._troubles[kind] = kept
        return kept

    def _trouble(self, kind: PacketKind, item: ReceivedItem) -> Trouble:
        return self._troubles[kind].get(item.doc_id) or Trouble(axis_id=self.system.stored_id(item.doc_id))

    async def _note(self, kind: PacketKind, item: ReceivedItem, *, pause_us: int, **changed: int) -> None:
        """Keep what went wrong, over restarts and for all processes: a packet that is always wrong is parked in the end (D14)."""
        until_us = self._clock.now_us() + pause_us if pause_us else 0
        trouble = msgspec.structs.replace(self._trouble(kind, item), until_us=until_us, **changed)
        self._troubles[kind][item.doc_id] = trouble
        await self._db.transact(lambda tx: queries.note_trouble(tx, kind.value, self.system.key, trouble))

    async def _listed(self, axis: Axis, kind: PacketKind) -> list[ReceivedItem]:
        """What the axis lists; one that is not there, or does not know us, is told to all who would ask it next (D3)."""
        try:
            return await axis.received(kind)
        except AxisUnavailable:
            await self.system.breaker.unheard()
            raise
        except AxisRefused as error:
            if error.code in CREDENTIALS:
                await self.system.breaker.unheard()
            raise

    async def _take(self, axis: Axis, kind: PacketKind, item: ReceivedItem) -> int:
        """Store, apply, commit; then confirm. A packet that is stored already is only confirmed again."""
        axis_id, known = await self._kept_as(item.doc_id)
        if known is not None:
            failed = str(known["error"]) if known["state"] in PARKED else None
        else:
            settled = await self._store(axis, kind, item, axis_id)
            failed = settled.error if settled.state in PARKED else None
            self._troubles[kind].pop(item.doc_id, None)
            point("status-stored")
        await axis.confirm(item.doc_id, failed)
        await self._db.transact(lambda tx: queries.mark_confirmed(tx, axis_id, self._clock.now_us()))
        return int(known is None)

    async def _kept_as(self, doc_id: str) -> tuple[str, Row | None]:
        """The id of a listed packet here, and what is kept of it; where the axis before gave another packet the same id, that one keeps it."""
        stored_id = self.system.stored_id(doc_id)
        rows = await queries.incoming(self._db, self.system.ids(doc_id))
        known = next((row for row in rows if row["system"] in self.system.names), None)
        if known is not None:
            return str(known["axis_id"]), known
        taken = stored_id in {row["axis_id"] for row in rows}
        return self.system.own_id(doc_id) if taken else stored_id, None

    async def _store(self, axis: Axis, kind: PacketKind, item: ReceivedItem, axis_id: str) -> Settled:
        with tempfile.TemporaryDirectory(dir=self._blobs.scratch(), prefix="incoming-") as folder:
            path, files = Path(folder) / "packet", Path(folder) / "files"
            if not await self._fetched(axis, kind, item, path):
                read: Packet | Settled = Settled("unfetched", "not-handed-over")
                await asyncio.to_thread(path.touch)  # what stands in for its bytes
            elif self._trouble(kind, item).failed >= _TRIES:
                read = Settled("unreadable", "failed-again-and-again")
            else:
                read = await asyncio.to_thread(_read, path, files, kind)
            enclosures = await self._enclosed(read) if isinstance(read, DocumentPacket) else ()
            blob = await self._blobs.put_file(path)

        async def body(tx: Transaction) -> Settled:
            now_us = self._clock.now_us()
            receiver = self._ours.get(item.receiver.casefold(), item.receiver)
            if not await queries.insert_incoming(
                tx, axis_id=axis_id, kind=kind.value, sender=item.sender, receiver=item.receiver,
                organisation_code=receiver if self.system.serves(receiver) else "", system=self.system.key, blob=blob, now_us=now_us,
            ):  # fmt: skip
                return Settled("repeated")
            settled = await self._effect(tx, axis_id, item, read, enclosures, blob, now_us)
            if settled.state == "unaddressed" and not await self._list_is_newer(tx, self._trouble(kind, item)):
                raise _PerhapsOursError
            if item.doc_id in self._troubles[kind]:
                await queries.forget_trouble(tx, self._trouble(kind, item).axis_id)
            if settled.error:
                await self._alarm(tx, axis_id, item.sender, settled, now_us)
            return settled

        return await self._db.transact(body)

    async def _effect(
        self,
        tx: Transaction,
        axis_id: str,
        item: ReceivedItem,
        read: Packet | Settled,
        enclosures: tuple[Enclosure, ...],
        blob: str,
        now_us: int,
    ) -> Settled:
        """What a packet means, had and written down in the transaction that keeps it. Raises: _NoListYetError."""
        flag = await self._doubt(tx, item, read)
        if flag and self._sender_check == "park":
            settled = Settled("unproven", flag)
        elif isinstance(read, DocumentPacket):
            settled = await self._came(tx, axis_id, blob, read, enclosures, now_us)
        elif isinstance(read, StatusPacket):
            settled = await self._apply(tx, axis_id, blob, read, now_us)
        else:
            settled = read
        settled = msgspec.structs.replace(settled, error=settled.error or flag)
        if settled != Settled("stored"):
            await queries.settle_incoming(
                tx, axis_id, state=settled.state, error=settled.error, organisation=settled.organisation, document=settled.document
            )  # fmt: skip
        if settled.state == "stored":
            urgent = isinstance(read, DocumentPacket) and read.header.other.priority != 0
            receiver = self._ours.get(item.receiver.casefold(), item.receiver)
            await validate_later(tx, IncomingPacket(source=axis_id, organisation=receiver, blob=blob), urgent=urgent)
        return settled

    async def again(self, axis_id: str, by: str) -> Settled:
        """Take up a parked packet from its kept bytes, in the ordinary way; one that was never handed over is fetched first.

        It stays parked, perhaps for another reason, where it is no better than before; what goes wrong otherwise changes nothing.
        Raises: Refused("not-found") for what is not parked, Refused("conflict") if another took it up meanwhile, ExchangeError.
        """
        row = await queries.parked_packet(self._db, axis_id)
        if row is None:
            raise Refused("not-found")
        item = ReceivedItem(doc_id=self.system.given_id(axis_id), sender=row["sender"], receiver=row["receiver"])
        with tempfile.TemporaryDirectory(dir=self._blobs.scratch(), prefix="incoming-") as folder:
            async with self._kept(row, item.doc_id, Path(folder) / "packet") as path:
                read = await asyncio.to_thread(_read, path, Path(folder) / "files", PacketKind(row["kind"]))
                blob = row["blob"] if row["state"] != "unfetched" else await self._blobs.put_file(path)
            enclosures = await self._enclosed(read) if isinstance(read, DocumentPacket) else ()

        async def body(tx: Transaction) -> Settled:
            now_us = self._clock.now_us()
            if not await queries.unpark(tx, axis_id, row["state"], blob):
                raise Refused("conflict")
            settled = await self._effect(tx, axis_id, item, read, enclosures, blob, now_us)
            organisation = settled.organisation or await queries.organisation_of(tx, axis_id) or ""
            await audit.append(
                tx, "exchange.packet_taken_up", organisation=organisation, actor="operator", subject=settled.document or axis_id,
                body={"axis_id": axis_id, "state": settled.state, "code": settled.error, "by": by}, now_us=now_us,
            )  # fmt: skip
            return settled

        try:
            settled = await self._db.transact(body)
        except _NoListYetError:
            raise ExchangeError("agencies-not-synchronised") from None
        if settled.state not in PARKED:
            # Its sender saw "fail". Whether the axis lets that be taken back changes nothing here.
            with contextlib.suppress(AxisUnavailable, AxisRefused):
                await self.system.axis.confirm(item.doc_id)
        return settled

    @contextlib.asynccontextmanager
    async def _kept(self, row: Row, doc_id: str, fetched: Path) -> AsyncIterator[Path]:
        """The bytes of a parked packet. Raises: ExchangeError."""
        if row["state"] == "unfetched":
            await self.system.axis.fetch(doc_id, fetched)
            yield fetched
            return
        if row["dropped_us"] is not None:
            raise ExchangeError("packet-dropped")
        async with self._blobs.local(row["blob"]) as path:
            yield path

    async def _fetched(self, axis: Axis, kind: PacketKind, item: ReceivedItem, path: Path) -> bool:
        """Whether the axis handed it over; False once it has refused that, or broken off, often enough and for an hour while it handed over
        others (D14).

        A packet alone on its list is waited for longer: then it may be the axis that is out of order, and not the packet.
        Raises: AxisRefused, AxisUnavailable.
        """
        now_us = self._clock.now_us()
        known = self._trouble(kind, item)
        before = self._handed_over_at[kind].get(item.doc_id, self._handed_over)
        try:
            await axis.fetch(item.doc_id, path)
        except (AxisRefused, AxisUnavailable) as error:
            self._handed_over_at[kind][item.doc_id] = self._handed_over
            known = msgspec.structs.replace(
                known,
                since_us=_since(known.since_us, now_us),
                tries=known.tries + (before != self._handed_over),
                refusals=known.refusals + isinstance(error, AxisRefused),
            )
            self._troubles[kind][item.doc_id] = known  # kept with the pause that follows
            lasting = now_us - known.since_us >= _PATIENCE_US  # a bad line of some minutes is nobody's packet's fault
            if (lasting and known.tries >= _FETCHES) or known.refusals >= _LONE_FETCHES:
                return False
            raise
        self._handed_over += 1
        if known.since_us:
            self._troubles[kind][item.doc_id] = msgspec.structs.replace(known, since_us=0, tries=0, refusals=0)
        return True

    async def _doubt(self, tx: Transaction, item: ReceivedItem, read: Packet | Settled) -> str:
        """A flag where the packet's own From is not the system that the axis let send it (reference §8.3): its sender is proven by nothing else.

        On a hosted axis one system sends for the units below it, and codes may have merged since.
        """
        if self._sender_check == "off" or isinstance(read, Settled) or not item.sender:
            return ""
        said = read.sender.organ_id if isinstance(read, StatusPacket) else read.header.sender.organ_id
        if same_organ(said, item.sender) or await directory.same(tx, self.system.url, said, item.sender):
            return ""
        if await directory.synchronised_us(tx, self.system.url) is None:
            if self._sender_check == "park":
                raise _NoListYetError
            return ""
        hosts = await directory.names(tx, self.system.url, item.sender)
        return "" if set(hosts) & set(await directory.above(tx, self.system.url, said)) else "sender-differs"

    async def _list_is_newer(self, tx: Transaction, known: Trouble) -> bool:
        """Whether the agency list was taken anew since this packet was first seen; one that never comes is not waited for longer than an hour."""
        since_us = known.unplaced_us
        if not since_us:
            return False
        taken_us = await directory.synchronised_us(tx, self.system.url)
        return (taken_us is not None and taken_us >= since_us) or self._clock.now_us() - since_us > _PATIENCE_US

    async def _catch_up(self) -> None:
        """Documents that an earlier version stored and confirmed without an arrival reach the clerks from their kept bytes."""
        for axis_id, receiver, blob in await queries.without_arrival(self._db, self.system.names):
            try:
                await self._take_up(axis_id, receiver, blob)
            except Exception as error:  # one packet must not hold up the others (D14)
                if isinstance(error, DatabaseError) and not isinstance(error, _OF_ONE_PACKET):
                    raise
                log.error("incoming-packet-failed", axis_id=axis_id, code=type(error).__name__)  # noqa: TRY400 - no trace: it may quote the packet

    async def _take_up(self, axis_id: str, receiver: str, blob: str) -> None:
        with tempfile.TemporaryDirectory(dir=self._blobs.scratch(), prefix="incoming-") as folder:
            async with self._blobs.local(blob) as path:
                read = await asyncio.to_thread(_read, path, Path(folder) / "files", PacketKind.DOCUMENT)
            enclosures = await self._enclosed(read) if isinstance(read, DocumentPacket) else ()

        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            if isinstance(read, DocumentPacket):
                settled = await self._came(tx, axis_id, blob, read, enclosures, now_us)
            else:
                assert isinstance(read, Settled)
                settled = read
            await queries.settle_incoming(
                tx, axis_id, state=settled.state, error=settled.error, organisation=settled.organisation, document=settled.document
            )  # fmt: skip
            if settled.error:
                await self._alarm(tx, axis_id, "", settled, now_us)
            if settled.state == "stored":
                # Verdicts that are there stay; a packet from before there were any is judged now.
                ours = self._ours.get(receiver.casefold(), receiver)
                await validate_later(tx, IncomingPacket(source=axis_id, organisation=ours, blob=blob))

        await self._db.transact(body)

    async def _enclosed(self, packet: DocumentPacket) -> tuple[Enclosure, ...]:
        """The packet's files, durable before the transaction that names them."""
        found = []
        for file in packet.attachments:
            pdf = await asyncio.to_thread(is_pdf, file.path)
            digest = await self._blobs.put_file(file.path)
            found.append(
                Enclosure(clean(file.safe_name)[:200], file.content_type, digest, file.size, pdf, file.findings)
            )
        return tuple(found)

    async def _came(
        self,
        tx: Transaction,
        axis_id: str,
        blob: str,
        packet: DocumentPacket,
        enclosures: tuple[Enclosure, ...],
        now_us: int,
    ) -> Settled:
        """Hand the packet to each of our organisations that it names; a copy for one may bring the others' along."""
        settled: list[Settled] = []
        # Of two codes of one organisation the one that still stands answers: its answer counts for both.
        ended = set(await directory.succeeded(tx, self.system.url, [to.organ_id for to in packet.header.receivers]))
        for to in sorted(packet.header.receivers, key=lambda to: to.organ_id in ended):
            organisation = await self._organisation(tx, to.organ_id)
            if organisation is not None:
                came = Came(
                    axis_id=axis_id,
                    blob=blob,
                    packet=packet,
                    enclosures=enclosures,
                    organisation=organisation,
                    addressed=to,
                )
                settled.append(await self._arrivals.came(tx, came, now_us=now_us))
        if not settled:
            return Settled("unaddressed", "not-addressed")
        flag = next((one.error for one in settled if one.error), "")
        fresh = next((one for one in settled if one.state == "stored"), settled[0])
        return msgspec.structs.replace(fresh, error=flag)

    async def _organisation(self, tx: Transaction, code: str) -> str | None:
        """The organisation of ours that a code names: as spelled, by the settings' mapping, or by the kept list (old codes, mergers).

        One that another system serves is that system's to hear: its credentials are what proves who is addressed.
        """
        for name in await directory.names(tx, self.system.url, code):
            ours = self._ours.get(name, name)
            found = await queries.organisation_by_code(tx, ours) if self.system.serves(ours) else None
            if found is not None:
                return found
        return None

    async def _apply(self, tx: Transaction, axis_id: str, blob: str, status: StatusPacket, now_us: int) -> Settled:
        if status.status == StatusCode.TAKE_BACK:
            organisation = await self._organisation(tx, status.response_for.organ_id)
            if organisation is None:
                return Settled("unaddressed", "not-addressed")
            return await self._arrivals.taken_back(tx, axis_id, blob, organisation, status, now_us=now_us)
        packet = await self._answered(tx, status.response_for)
        if packet is None:
            return Settled("unmatched", "document-unknown")
        receiver = await self._receiver(tx, packet, status.sender.organ_id)
        settled = Settled("applied", "", packet.organisation, packet.document)
        if receiver is None:
            return msgspec.structs.replace(settled, state="unmatched", error="receiver-unknown")
        flags = [
            await self._heard(tx, packet, one, status, axis_id, now_us)
            for one in (receiver, *await self._merged_into(tx, packet, receiver, status))
        ]
        if flags[0] is None:
            return msgspec.structs.replace(settled, state="repeated")
        return msgspec.structs.replace(settled, error=flags[0])

    async def _heard(
        self, tx: Transaction, packet: PacketRow, receiver: ReceiverRow, status: StatusPacket, axis_id: str, now_us: int
    ) -> str | None:
        """Keep a status of one receiver and what it means; a flag, or None where it was said before."""
        fresh = await queries.insert_status(
            tx,
            id_=new_id(),
            document=packet.document,
            organ_id=receiver.organ_id,
            status_code=status.status,
            description=clean(status.description)[:_REASON],
            stated_at="" if status.at_us is None else iso(status.at_us),
            axis_id=axis_id,
            now_us=now_us,
        )
        return await self._progress(tx, packet, receiver, status, now_us) if fresh else None

    async def _merged_into(
        self, tx: Transaction, packet: PacketRow, receiver: ReceiverRow, status: StatusPacket
    ) -> list[ReceiverRow]:
        """Further receivers of the packet that are one agency with this one now: it has both copies, and answers once.

        What was said under a code before that ended speaks for this code alone.
        """
        others = [one for one in await queries.receivers(tx, packet.id) if one.organ_id != receiver.organ_id]
        ended = set(await directory.succeeded(tx, self.system.url, [one.organ_id for one in (receiver, *others)]))
        if not ended or await _said_before(tx, self.system.url, status):
            return []
        now = await directory.current(tx, self.system.url, receiver.organ_id)
        return [
            one
            for one in others
            if (receiver.organ_id in ended and same_organ(one.organ_id, now))
            or (one.organ_id in ended and same_organ(await directory.current(tx, self.system.url, one.organ_id), now))
        ]

    async def _receiver(self, tx: Transaction, packet: PacketRow, code: str) -> ReceiverRow | None:
        """Who answers: by the code as spelled, else by the kept list, since old codes still travel and units merge (reference §6.6).

        Raises: _NoListYetError: without a list nothing is guessed, and the packet stays at the axis.
        """
        receivers = await queries.receivers(tx, packet.id)
        for receiver in receivers:
            if same_organ(receiver.organ_id, code):
                return receiver
        if await directory.synchronised_us(tx, self.system.url) is None:
            raise _NoListYetError
        for receiver in receivers:
            if await directory.same(tx, self.system.url, receiver.organ_id, code):
                return receiver
        return None

    async def _answered(self, tx: Transaction, answered: ResponseFor) -> PacketRow | None:
        """The packet of ours that is answered: by DocumentId, else by number, notation and day of the same agency (reference §5)."""
        packet = await queries.packet_by_document_id(tx, answered.document_id, PacketKind.DOCUMENT.value)
        if packet is not None:
            return packet if await self._serves(tx, packet) else None
        if not answered.code or answered.promulgated is None:
            return None
        day = answered.promulgated.isoformat()
        alike = [
            one
            for one in await queries.packets_by_reference(tx, answered.code, day, PacketKind.DOCUMENT.value)
            if await directory.same(tx, self.system.url, one.sender, answered.organ_id) and await self._serves(tx, one)
        ]
        return alike[0] if len(alike) == 1 else None

    async def _serves(self, tx: Transaction, packet: PacketRow) -> bool:
        """Whether what this system lists may speak of the packet: it sent it, or sends for its organisation now."""
        return packet.system in self.system.names or self.system.serves(
            await queries.organisation_code(tx, packet.organisation)
        )

    async def _progress(
        self, tx: Transaction, packet: PacketRow, receiver: ReceiverRow, status: StatusPacket, now_us: int
    ) -> str:
        """One new status of one receiver, in the history already; the flag that a person should see, or empty."""
        row = await documents_load(tx, packet.document)
        assert row is not None
        step = on_status(receiver.delivery, status.status)
        if step.delivery != receiver.delivery:
            await queries.set_receiver(tx, receiver, step.delivery, status.status, now_us)
        about: dict[str, Any] = {"receiver": receiver.organ_id, "status_code": status.status}
        if reason := clean(status.description)[:_REASON]:
            about["reason"] = reason
        await publish(tx, row, "document.status", row.state, detail=about, now_us=now_us)
        refused = step.delivery.state is DeliveryState.REJECTED and receiver.state is not DeliveryState.REJECTED
        answered = status.status in {StatusCode.CHANGE_AGREED, StatusCode.CHANGE_REFUSED}
        asked = answered and await _asked_before(tx, row)
        if step.delivery != receiver.delivery:
            await follow(tx, packet, about, now_us=now_us)
        if refused:
            await _tell(tx, packet, "refused", row.urgency, now_us)
        if answered and (asked or step.flag is None):
            await _tell(tx, packet, "recall_answered", row.urgency, now_us)
        # An update or a replacement is answered by 15 or 16 too, and moves nothing.
        expected = asked and step.flag is Flag.ANSWER_WITHOUT_REQUEST
        return "" if step.flag is None or expected else step.flag.value

    async def _alarm(self, tx: Transaction, axis_id: str, sender: str, settled: Settled, now_us: int) -> None:
        """In the log of the organisation concerned, with the change; a line for the operator when it is durable. Clerks hear of what was parked."""
        organisation = settled.organisation or await queries.organisation_of(tx, axis_id) or ""
        await audit.append(
            tx,
            "exchange.incoming_alarm",
            organisation=organisation,
            actor=SYSTEM,
            subject=settled.document or axis_id,
            body={"axis_id": axis_id, "state": settled.state, "code": settled.error},
            now_us=now_us,
        )
        if organisation and settled.state in PARKED:
            await _tell_clerks(tx, organisation, sender, of_parked(settled.state), now_us)
        tx.after_commit(lambda: log.error("incoming-alarm", axis_id=axis_id, state=settled.state, code=settled.error))

    async def _close(self, kind: PacketKind, listed: Iterable[str]) -> None:
        """What is no longer listed was confirmed, even if we died before we could write that down."""
        still = {id_ for doc_id in listed for id_ in self.system.ids(doc_id)}
        for axis_id in await queries.unconfirmed(self._db, kind.value, self.system.names, _BATCH):
            if axis_id not in still:
                await self._db.transact(
                    lambda tx, axis_id=axis_id: queries.mark_confirmed(tx, axis_id, self._clock.now_us())  # type: ignore[misc]
                )


def _put_off(trouble: Trouble, now_us: int) -> bool:
    """Whether it is too early; a clock that was set back holds nothing up for longer than the usual pause (D7)."""
    return 0 < trouble.until_us - now_us <= _SHUN_US


def _since(known_us: int, now_us: int) -> int:
    """Since when it is so; not from a time that a clock which was ahead wrote down (D7)."""
    return min(known_us or now_us, now_us)


async def _tell_clerks(tx: Transaction, organisation: str, sender: str, why: Words, now_us: int) -> None:
    kind = NoticeKind.PACKET_PARKED
    notices = [
        NewNotice(
            organisation=organisation,
            person=clerk["id"],
            kind=kind,
            urgency=0,
            about="",
            headline=" · ".join(part for part in (clean(sender)[:100], why.told(clerk["locale"])) if part),
            expires_us=now_us + lifetime_us(kind),
        )
        for clerk in await queries.clerks(tx, organisation)
    ]
    await tell(tx, notices, now_us=now_us)


async def _said_before(tx: Transaction, axis: str, status: StatusPacket) -> bool:
    """Whether a code that has ended said this while it stood, or does not say when."""
    code = status.sender.organ_id
    known = await directory.by_code(tx, axis, code.strip().casefold())
    ended = next((one for one in known if one.closed and same_organ(one.code, code)), None)
    return ended is not None and (status.at_us or 0) < (ended.closed_us or 1)


def _read(path: Path, files: Path, kind: PacketKind) -> Packet | Settled:
    files.mkdir()
    try:
        packet = edxml.parse(path, files).packet
    except edxml.Unreadable as error:
        return Settled("unreadable", error.code)
    return packet if packet.kind is kind else Settled("unreadable", "kind-differs")
