"""Use cases of arrivals: taken in with their packet, registered, returned, answered, handled; each one transaction with what it tells the sender.

What a sender may ask about a document of its own (revocation, update, take-back) waits for a clerk as well: nothing that is registered is
changed or removed by a packet alone (reference §6.3). The answers are business statuses in the exchange's outbox (01, 02, 03, 15, 16; 04 to 06 from directions).

Longer than most: every decision tells the log, the feed, the clerks and the sender, and each is seen beside the others.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from server import audit
from server.arrivals import queries
from server.arrivals.model import (
    DOCUMENTS,
    ArrivalRow,
    FileRow,
    Judgement,
    Kind,
    State,
    judged,
    row_of,
    take_back_of,
    unknown_of,
)
from server.clock import Clock
from server.db import Database, Reads, Row, Transaction
from server.documents.queries import clerks
from server.documents.service import SYSTEM, announce
from server.errors import Refused
from server.exchange.business import Meaning, Replace, Revoke, Update, meaning, status
from server.exchange.deadlines import Rule, about_deadline
from server.exchange.directory import queries as directory
from server.exchange.failures import about_unsent
from server.exchange.incoming import Came, Settled
from server.exchange.messages import Letter, queue
from server.exchange.model import ExchangeError, Organisation, ResponseFor, StaffInfo, StatusCode, StatusPacket
from server.identity.model import Actor
from server.ids import new_id
from server.notices.model import NewNotice, NoticeKind, lifetime_us
from server.notices.service import settle, tell, withdraw
from server.once import Once
from server.previews.service import PreviewService
from server.storage import Blobs

_ENDS = {Kind.REVOKE: State.RECALLED, Kind.TAKE_BACK: State.RECALLED}
_OPEN = (State.WAITING, State.REGISTERED)
_HELD = (*_OPEN, State.RETURNED, State.REPLACED)
# Assigned, in work, completed (reference §6.4).
_HANDLING = (StatusCode.ASSIGNED, StatusCode.IN_PROGRESS, StatusCode.FINISHED)
_OVER = frozenset({State.RETURNED, State.RECALLED, State.REFUSED})


class Opened(msgspec.Struct, frozen=True):
    """One arrival with its files, what came about it, and who directed what is to be done."""

    row: ArrivalRow
    files: list[FileRow]
    related: list[Row]
    directed: list[Row]


class Registered(msgspec.Struct, frozen=True):
    """The arrival number, of the agency and year."""

    state: str
    number: int
    year: int


class Decided(msgspec.Struct, frozen=True):
    state: str


class ArrivalService:
    """Arrivals of all organisations; every method for a user takes the actor and sees only what the actor may see."""

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        previews: PreviewService,
        clock: Clock,
        *,
        max_pages: int,
        axis_of: Callable[[Reads, str], Awaitable[str]] | None = None,
    ) -> None:
        """`axis_of` gives the axis by whose list of agencies an organisation's senders are known; None: none has a list."""
        self._db = db
        self._blobs = blobs
        self._previews = previews
        self._clock = clock
        self._max_pages = max_pages
        self._axis = axis_of or _no_axis

    # Taking in.

    async def came(self, tx: Transaction, came: Came, *, now_us: int) -> Settled:
        """A document packet for one organisation: kept, told to its clerks, and answered with 01, once."""
        try:
            asked = meaning(came.packet)
        except ExchangeError as error:
            return Settled("unreadable", error.code)
        sender = came.packet.header.sender.organ_id
        axis = await self._axis(tx, came.organisation)
        targets, flag = await _targets(tx, axis, came.organisation, sender, asked)
        row = row_of(came, asked, new_id(), targets, now_us)
        if not await queries.insert(tx, row):
            before = await queries.copies(tx, row)
            same = next((one for one in before if one.content == row.content), None)
            if same is not None:
                return Settled("repeated", "", row.organisation, same.id)
            if not _comes_anew(before[0], row):
                return Settled("repeated", "duplicate-differs", row.organisation, before[0].id)
            row = msgspec.structs.replace(row, distinct_key=row.content)
            if not await queries.insert(tx, row):
                return Settled("repeated", "", row.organisation, before[0].id)
        for position, file in enumerate(came.enclosures, start=1):
            findings = msgspec.json.encode(file.findings).decode()
            kept = FileRow(
                position=position, name=file.name, content_type=file.content_type[:100], digest=file.digest, size=file.size, pdf=int(file.pdf),
                findings=findings, verdict=None, report=None,
            )  # fmt: skip
            await queries.insert_file(tx, row.id, kept)
        await self._arrived(tx, row, now_us)
        await self._answer(tx, row, StatusCode.ARRIVED, now_us=now_us)
        if row.kind in DOCUMENTS:
            await self._asked_early(tx, row, now_us)
        return Settled("stored", flag, row.organisation, row.id)

    async def taken_back(
        self, tx: Transaction, axis_id: str, blob: str, organisation: str, status: StatusPacket, *, now_us: int
    ) -> Settled:
        """A status 13: a request about a document that this sender sent, for a clerk to answer."""
        asked = status.response_for
        found = await queries.documents(tx, organisation, asked.document_id)
        if not found and asked.code and asked.promulgated is not None:
            found = await queries.by_reference(tx, organisation, asked.code, asked.promulgated.isoformat())
        if not found and not asked.document_id and not asked.code:
            return Settled("unmatched", "document-unknown", organisation)
        target = await _of_sender(tx, await self._axis(tx, organisation), found, status.sender.organ_id)
        if found and target is None:
            return Settled("unmatched", "sender-differs", organisation)
        # Statuses are polled apart from documents: a request may be here before what it asks for.
        about = target or unknown_of(organisation, status)
        row = take_back_of(about, status, id_=new_id(), axis_id=axis_id, blob=blob, now_us=now_us)
        if not await queries.insert(tx, row):
            return Settled("repeated", "", organisation, about.id or None)
        await self._arrived(tx, row, now_us)
        return Settled("applied", "" if target else "document-unknown", organisation, row.id)

    async def _asked_early(self, tx: Transaction, row: ArrivalRow, now_us: int) -> None:
        """What its sender asked about a document before it was here is about it from now on; what was agreed then, is done."""
        for asked in await queries.unbound(tx, row):
            if not await directory.same(tx, await self._axis(tx, row.organisation), asked.sender, row.sender):
                continue
            await queries.bind(tx, asked.id, row.id)
            if asked.state is State.AGREED and asked.kind in _ENDS:
                await self._end(tx, row.id, _ENDS[asked.kind], asked, now_us)

    async def _arrived(self, tx: Transaction, row: ArrivalRow, now_us: int) -> None:
        """Into the feed and to the clerks at once; the grade decides the lane of the push (TIM-1)."""
        await _log(
            tx, row, "arrival.arrived", SYSTEM, {"kind": row.kind, "packet": row.blob, "sender": row.sender}, now_us
        )
        await _tell(tx, row, "arrival.arrived", row.state, {"kind": row.kind.value}, now_us)
        kind = NoticeKind.ARRIVED if row.kind in DOCUMENTS else NoticeKind.ARRIVAL_ASKED
        notices = [
            NewNotice(
                organisation=row.organisation,
                person=clerk,
                kind=kind,
                urgency=row.grade,
                about=about_arrival(row.id),
                headline=row.subject[:300],
                expires_us=now_us + lifetime_us(kind),
            )
            for clerk in await clerks(tx, row.organisation)
        ]
        await tell(tx, notices, now_us=now_us)

    async def _answer(
        self,
        tx: Transaction,
        row: ArrivalRow,
        code: StatusCode,
        *,
        now_us: int,
        reason: str = "",
        by: str = "",
    ) -> bool:
        """Tell the sender by a status packet, after everything that it was told of this document before; False when it was told already."""
        header = row.message()
        packet = status(
            code,
            sender=Organisation(organ_id=row.receiver, name=await queries.organisation_name(tx, row.organisation)),
            answered=ResponseFor(
                organ_id=await directory.current(tx, await self._axis(tx, row.organisation), row.sender),
                code=header.code,
                document_id=row.exchange_id,
                promulgated=header.promulgated,
            ),
            reason=reason,
            at_us=now_us // 1_000_000 * 1_000_000,
            staff=StaffInfo(staff=await queries.clerk_name(tx, by)) if by else None,
        )
        return await queue(
            tx,
            Letter(status=packet),
            organisation=row.organisation,
            subject=row.about or row.id,
            what=code.value,
            distinct=row.id,
            urgent=row.grade > 0,
            now_us=now_us,
        )

    # Reading.

    async def get(self, actor: Actor, arrival: str, reads: Reads | None = None) -> ArrivalRow:
        """Raises: Refused("not-found") alike for unknown and foreign arrivals (C1)."""
        found = await queries.find(reads or self._db, actor, arrival)
        if found is None:
            raise Refused("not-found")
        return found

    async def open(self, actor: Actor, arrival: str) -> Opened:
        row = await self.get(actor, arrival)
        return Opened(
            row,
            await queries.files(self._db, arrival),
            await queries.related(self._db, row),
            await queries.directed(self._db, arrival),
        )

    async def waiting(self, actor: Actor, limit: int) -> list[ArrivalRow]:
        return await queries.waiting(self._db, actor, limit)

    async def listing(self, actor: Actor, *, before: tuple[int, str], limit: int) -> list[ArrivalRow]:
        return await queries.listing(self._db, actor, before=before, limit=limit)

    async def file(self, actor: Actor, arrival: str, position: int) -> tuple[ArrivalRow, FileRow]:
        """One file. What its sender took back is shown no more (EXC-5). Raises: Refused("not-found")."""
        row = await self.get(actor, arrival)
        files = [one for one in await queries.files(self._db, arrival) if one.position == position]
        if not files or await self.recalled(row):
            raise Refused("not-found")
        return row, files[0]

    async def recalled(self, row: ArrivalRow) -> bool:
        """Whether its sender took it back, or the document that it is about: that may bring the text along."""
        about = None if row.about is None else await queries.load(self._db, row.about)
        return State.RECALLED in {row.state, None if about is None else about.state}

    async def report(self, actor: Actor, arrival: str, position: int) -> bytes:
        """The validation's report on a PDF. Raises: Refused("not-found", "arrival-not-judged")."""
        row, file = await self.file(actor, arrival, position)
        if not file.pdf:
            raise Refused("not-found")
        found = await queries.report(self._db, row, file.digest)
        if found is None:
            raise Refused("arrival-not-judged")
        return found

    async def manifest(self, actor: Actor, arrival: str, position: int) -> bytes:
        """The page images of a PDF. Raises: Refused("not-found", "cannot-be-shown", "too-many-pages", "busy")."""
        file = await self._shown(actor, arrival, position)
        return await self._previews.manifest_of(file.digest, file.size, most=self._max_pages)

    async def page(self, actor: Actor, arrival: str, position: int, page: int, width: int) -> str:
        """The digest of one page image. Raises: as `manifest`."""
        file = await self._shown(actor, arrival, position)
        return (await self._previews.drawn(file.digest, page, width))[0]

    async def _shown(self, actor: Actor, arrival: str, position: int) -> FileRow:
        _, file = await self.file(actor, arrival, position)
        if not file.pdf:
            raise Refused("not-found")
        return file

    # Deciding.

    async def register(self, actor: Actor, arrival: str, despite: str, once: Once) -> bytes:
        """Enter the document under the next arrival number and tell its sender (03). `despite`: why, where the files are not valid.

        Raises: Refused("not-found", "conflict"), Refused("arrival-not-judged", "arrival-not-valid") by EXC-2, Refused("arrival-asked-back")
        while its sender waits for an answer about it.
        """

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            row = await self._open_document(tx, actor, arrival)
            if await queries.asked_about(tx, row.id):
                raise Refused("arrival-asked-back")
            judgement = judged(await queries.files(tx, row.id))
            if judgement is Judgement.PENDING:
                raise Refused("arrival-not-judged")
            if judgement is not Judgement.VALID and not despite:
                raise Refused("arrival-not-valid")
            year = (datetime.fromtimestamp(now_us / 1e6, UTC) + timedelta(hours=7)).year
            number = await queries.next_number(tx, row.organisation, year)
            await self._decide(tx, row, State.REGISTERED, actor, despite, now_us, (year, number))
            await _log(
                tx, row, "arrival.registered", actor.id,
                {"number": number, "year": year, "judgement": judgement.value, "despite": despite}, now_us,
            )  # fmt: skip
            await _tell(tx, row, "arrival.registered", State.REGISTERED, {"number": number, "year": year}, now_us)
            await self._answer(tx, row, StatusCode.ACCEPTED, by=actor.id, now_us=now_us)
            await self._present(tx, row, now_us)
            for other in msgspec.json.decode(row.replaced, type=list[str]):
                await self._end(tx, other, State.REPLACED, row, now_us)
            answer = msgspec.json.encode(Registered(State.REGISTERED.value, number, year))
            await once.settle(tx, answer)
            return answer

        return await self._db.transact(body)

    async def _present(self, tx: Transaction, row: ArrivalRow, now_us: int) -> None:
        """To the leaders, who direct what is to be done (Decree 30 art. 23, 24); an urgent one at once (TIM-1)."""
        kind = NoticeKind.TO_DIRECT
        notices = [
            NewNotice(
                organisation=row.organisation, person=leader, kind=kind, urgency=row.grade, about=about_arrival(row.id), headline=row.subject[:300],
                expires_us=now_us + lifetime_us(kind),
            )
            for leader in await queries.leaders(tx, row.organisation)
        ]  # fmt: skip
        await tell(tx, notices, now_us=now_us)

    async def handled(self, tx: Transaction, arrival: str, code: StatusCode, *, by: str, now_us: int) -> None:
        """Tell the sender how far the handling is: 04, 05 and 06 up to `code`, each once and in order, so that none is ever taken back.

        `by`: who is named to the sender. What was not registered or has ended meanwhile is told nothing more.
        """
        row = await queries.load(tx, arrival)
        if row is None or row.kind not in DOCUMENTS or row.state is not State.REGISTERED:
            return
        for one in _HANDLING[: _HANDLING.index(code) + 1]:
            if await self._answer(tx, row, one, by=by, now_us=now_us):
                detail = {"status_code": one.value}
                await _log(tx, row, "arrival.handled", by or SYSTEM, detail, now_us)
                await _tell(tx, row, "arrival.handled", row.state, detail, now_us)

    async def papers(self, arrival: str) -> list[FileRow]:
        """Its files for those whom a direction names; the caller has decided who may read. None of what its sender took back (EXC-5)."""
        row = await queries.load(self._db, arrival)
        return [] if row is None or row.state is State.RECALLED else await queries.files(self._db, arrival)

    async def give_back(self, actor: Actor, arrival: str, reason: str, once: Once) -> bytes:
        """Return the document to its sender with a reason (02, EXC-3). Raises: Refused("not-found", "conflict")."""

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            row = await self._open_document(tx, actor, arrival)
            await self._decide(tx, row, State.RETURNED, actor, reason, now_us)
            await _log(tx, row, "arrival.returned", actor.id, {"reason": reason}, now_us)
            await _tell(tx, row, "arrival.returned", State.RETURNED, {"reason": reason}, now_us)
            await self._answer(tx, row, StatusCode.REJECTED, reason=reason, by=actor.id, now_us=now_us)
            answer = msgspec.json.encode(Decided(State.RETURNED.value))
            await once.settle(tx, answer)
            return answer

        return await self._db.transact(body)

    async def answer(self, actor: Actor, arrival: str, reason: str, once: Once, *, agree: bool) -> bytes:
        """Agree (15) or refuse (16) what its sender asks. An agreed recall ends the document here, and phones purge it (EXC-5).

        Raises: Refused("not-found", "conflict").
        """

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            row = await self.get(actor, arrival, tx)
            if row.kind in DOCUMENTS or row.state is not State.WAITING:
                raise Refused("conflict")
            to = State.AGREED if agree else State.REFUSED
            await self._decide(tx, row, to, actor, reason, now_us)
            detail = {"kind": row.kind.value, "agreed": agree, **({"reason": reason} if reason else {})}
            await _log(tx, row, "arrival.answered", actor.id, detail, now_us)
            await _tell(tx, row, "arrival.answered", to, detail, now_us)
            code = StatusCode.CHANGE_AGREED if agree else StatusCode.CHANGE_REFUSED
            await self._answer(tx, row, code, reason=reason, by=actor.id, now_us=now_us)
            if agree and row.about is not None and row.kind in _ENDS:
                await self._end(tx, row.about, _ENDS[row.kind], row, now_us)
            encoded = msgspec.json.encode(Decided(to.value))
            await once.settle(tx, encoded)
            return encoded

        return await self._db.transact(body)

    async def number(self, actor: Actor, arrival: str, number: str) -> None:
        """The document management system's own arrival number. Raises: Refused("not-found", "conflict") for what is no document."""

        async def body(tx: Transaction) -> None:
            row = await self.get(actor, arrival, tx)
            if row.kind not in DOCUMENTS:
                raise Refused("conflict")
            if row.own_number == number:
                return
            now_us = self._clock.now_us()
            await queries.set_own_number(tx, row.id, number)
            await _log(tx, row, "arrival.numbered", actor.id, {"number": number, "before": row.own_number}, now_us)

        await self._db.transact(body)

    async def _open_document(self, tx: Transaction, actor: Actor, arrival: str) -> ArrivalRow:
        row = await self.get(actor, arrival, tx)
        if row.kind not in DOCUMENTS or row.state is not State.WAITING:
            raise Refused("conflict")
        return row

    async def _decide(
        self,
        tx: Transaction,
        row: ArrivalRow,
        to: State,
        actor: Actor,
        remark: str,
        now_us: int,
        number: tuple[int, int] | None = None,
    ) -> None:
        if not await queries.decide(tx, row, to, by=actor.id, remark=remark, now_us=now_us, number=number):
            raise Refused("conflict")
        for about in _abouts(row.id):
            await settle(tx, organisation=row.organisation, about=about, now_us=now_us)

    async def _end(self, tx: Transaction, arrival: str, to: State, by: ArrivalRow, now_us: int) -> None:
        """A document of the same sender ends by what it sent later. What was returned is not replaced, but it is recalled (EXC-5)."""
        row = await queries.load(tx, arrival)
        if row is None or not await queries.end(tx, arrival, _HELD if to is State.RECALLED else _OPEN, to):
            return
        for about in _abouts(row.id):
            await withdraw(tx, organisation=row.organisation, about=about, now_us=now_us)
        await _log(tx, row, f"arrival.{to.value}", SYSTEM, {"by": by.id, "from": row.state.value}, now_us)
        await _tell(tx, row, f"arrival.{to.value}", to, {"by": by.id}, now_us, tombstone=to is State.RECALLED)


def about_arrival(arrival: str) -> str:
    """The subject of its notices."""
    return f"arrival:{arrival}"


def _abouts(arrival: str) -> list[str]:
    """Its own, those of the deadlines that clerks were told of, and of answers that did not leave."""
    return [
        about_arrival(arrival),
        about_unsent(arrival),
        *(about_deadline(about_arrival(arrival), rule) for rule in Rule),
    ]


def _comes_anew(before: ArrivalRow, row: ArrivalRow) -> bool:
    """Whether another packet of this sender, DocumentId and kind is no copy: what was returned is corrected and sent again, what was refused asked again."""
    return before.state in _OVER or (before.state is State.AGREED and row.about != before.about)


async def _no_axis(_reads: Reads, _organisation: str) -> str:
    return ""


async def _targets(tx: Transaction, axis: str, organisation: str, sender: str, asked: Meaning) -> tuple[list[str], str]:
    """The arrivals that a packet is about, and the flag where one is unknown or another sender's: nobody touches others' documents."""
    match asked:
        case Revoke() | Update():
            named = [asked.document_id]
        case Replace():
            named = [one.document_id for one in asked.replaced]
        case _:
            return [], ""
    found, flag = [], ""
    for document_id in named:
        rows = await queries.documents(tx, organisation, document_id)
        target = await _of_sender(tx, axis, rows, sender)
        if target is not None:
            found.append(target.id)
        else:
            flag = "sender-differs" if rows else "document-unknown"
    return found, flag


async def _of_sender(tx: Transaction, axis: str, rows: Sequence[ArrivalRow], sender: str) -> ArrivalRow | None:
    for row in rows:
        if await directory.same(tx, axis, row.sender, sender):
            return row
    return None


async def _log(tx: Transaction, row: ArrivalRow, kind: str, actor: str, body: dict[str, Any], now_us: int) -> None:
    await audit.append(tx, kind, organisation=row.organisation, actor=actor, subject=row.id, body=body, now_us=now_us)


async def _tell(
    tx: Transaction,
    row: ArrivalRow,
    kind: str,
    state: State,
    detail: dict[str, Any],
    now_us: int,
    *,
    tombstone: bool = False,
) -> None:
    await announce(
        tx,
        row.id,
        kind,
        state.value,
        organisation=row.organisation,
        data={"arrival": row.id, "exchange_id": row.exchange_id, "sender": row.sender, "own_number": row.own_number},
        detail=detail,
        now_us=now_us,
        tombstone=tombstone,
    )
