"""Use cases of directions: give, change, withdraw, report, remind. Each is one transaction with its entry, its event and whoever is told.

A change names the revision that it was made from, a report the one that it is for; both are asked again in the statement that writes them,
so of two changes or two completions at once one is refused, and a completion that meets a change is refused or stands before it.

Longer than most: who is told of a deed, and what the sender of an arrival is told, is seen beside the deed.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from server.arrivals.model import DOCUMENTS, FileRow
from server.arrivals.model import State as ArrivalState
from server.arrivals.service import ArrivalService, about_arrival
from server.clock import Clock
from server.db import Database, Reads, Row, Transaction
from server.directives import queries
from server.directives.model import (
    BUSY,
    AssigneeRow,
    DirectiveRow,
    DirectiveState,
    Handled,
    Order,
    Report,
    WorkState,
    asked_again,
    checked,
    open_for,
    paragraphs,
    reported,
    status_of,
    today,
)
from server.directives.telling import about_directive, about_due, in_time, log_deed, notice, people_of, tell_places
from server.directives.tree import Receiver, TreeLine, Viewer, lines
from server.documents.model import ARCHIVED
from server.documents.model import State as DocumentState
from server.documents.service import SYSTEM, DocumentService, documents_load
from server.errors import Refused
from server.exchange.service import ExchangeService
from server.identity.model import Actor, Role
from server.ids import new_id
from server.notices.model import NoticeKind
from server.notices.service import settle, tell
from server.once import Once
from server.previews.service import PreviewService
from server.storage import Blobs

# A tree is read, and ends, whole: it has an end downwards and sideways.
_DEEPEST: Final = 16
_MOST_LINES: Final = 2000
_RECALLED: Final = "Văn bản đã thu hồi"


class DirectiveAnswer(msgspec.Struct, frozen=True):
    """`sequence` is the revision that reports are now for; `state` that of the direction: open, completed or withdrawn."""

    id: str
    sequence: int
    state: str


class About(msgspec.Struct, frozen=True):
    """What is directed on: an arrival, a document, or a direction that named the author. One of them."""

    arrival: str | None = None
    document: str | None = None
    above: str | None = None


class Shown(msgspec.Struct, frozen=True):
    """A direction as one person sees it. `row` is of `queries.find`; `entries` of `queries.entries`, the newest first."""

    row: Any
    author: Any
    days_late: int
    lines: list[TreeLine]
    entries: list[Row]
    files: list[FileRow]


class DirectiveService:
    """Directions of all organisations; every method for a user takes the actor and sees only what the actor may see."""

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        arrivals: ArrivalService,
        documents: DocumentService,
        exchange: ExchangeService,
        previews: PreviewService,
        clock: Clock,
        *,
        max_pages: int,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._arrivals = arrivals
        self._documents = documents
        self._exchange = exchange
        self._previews = previews
        self._clock = clock
        self._max_pages = max_pages

    # Reading.

    async def listing(self, actor: Actor, which: str, *, after: tuple[int, str, str], limit: int) -> list[Row]:
        """Lines: `mine`, `given` by the actor (its lead), or `late` of both; what is open first, by its deadline."""
        day = today(self._clock.now_us()).isoformat()
        return await queries.listing(self._db, actor, which, day=day, after=after, limit=limit)

    async def units(self, actor: Actor) -> list[Row]:
        """Organisations of this installation that the actor's may direct: those below it."""
        return await queries.units(self._db, actor.organisation)

    async def get(self, actor: Actor, directive: str, reads: Reads | None = None) -> Row:
        """Raises: Refused("not-found") alike for unknown and foreign directions (C1)."""
        row = await queries.find(reads or self._db, actor, directive)
        if row is None:
            raise Refused("not-found")
        return row

    async def show(self, actor: Actor, directive: str) -> Shown:
        """One direction with its tree. Whoever was released sees his own line alone. Raises: Refused("not-found")."""
        row = await self.get(actor, directive)
        now_us = self._clock.now_us()
        rows = await queries.tree(self._db, row["root"])
        author = next(one for one in rows if one["directive"] == directive)
        follows, released = bool(row["follows"]), row["my_state"] == WorkState.RELEASED
        viewer = Viewer(
            organisation=actor.organisation, person=actor.id, clerk=actor.has(Role.CLERK), top=directive, mine=row["mine"],
            whole=follows or bool(row["my_lead"] and row["organisation"] == actor.organisation),
        )  # fmt: skip
        sent = await self._sent(row, actor) if follows else {}
        found = lines(rows, viewer, sent, now_us)
        if released and not follows:
            own = [one for one in rows if one["id"] == row["mine"]]
            return Shown(row, author, 0, lines(own, viewer, {}, now_us), [], [])
        entries = await queries.entries(self._db, directive)
        inside = row["organisation"] == actor.organisation
        late = max((one.days_late for one in found if one.directive == directive and one.kind != "receiver"), default=0)
        return Shown(
            row, author, late, found,
            [one for one in entries if inside or one["assignee"] in {None, row["mine"]}], await self.files(row),
        )  # fmt: skip

    async def _sent(self, row: Row, actor: Actor) -> dict[str, list[Receiver]]:
        """Receivers of the document that is directed on, and of those that were written because of it, as the exchange tells of them."""
        if row["organisation"] != actor.organisation:
            return {}
        linked = await queries.linked(self._db, row["root"], actor.organisation)
        documents = [(str(one["directive"]), str(one["document"])) for one in linked]
        if row["document"] is not None and row["parent"] is None:
            documents.append((str(row["id"]), str(row["document"])))
        found: dict[str, list[Receiver]] = {}
        for directive, document in documents:
            head = await documents_load(self._db, document)
            due = None if head is None else head.due_date
            found.setdefault(directive, []).extend(
                Receiver(one.organ_id, one.name, one.state, due, one.updated_us)
                for one in await self._exchange.receivers(document)
            )
        return found

    async def files(self, row: Row) -> list[FileRow]:
        """What is directed on; nothing once it was recalled (EXC-5), nor below somebody who was taken off: who passed it on reads no more."""
        if row["parent"] is not None and await queries.taken_off_above(self._db, row["id"]):
            return []
        if row["arrival"] is not None:
            return await self._arrivals.papers(row["arrival"])
        head = await documents_load(self._db, row["document"])
        if head is None or head.state is DocumentState.RECALLED:
            return []
        name = f"{head.code_number}-{head.code_notation}.pdf".replace("/", "-")
        size = await self._blobs.size(head.head)
        return [
            FileRow(
                position=1, name=name, content_type="application/pdf", digest=head.head, size=size, pdf=1, findings="[]", verdict=None, report=None
            )
        ]  # fmt: skip

    async def file(self, actor: Actor, directive: str, position: int) -> FileRow:
        """A file for whoever the direction names. Raises: Refused("not-found")."""
        row = await self.get(actor, directive)
        if not row["follows"] and row["my_state"] == WorkState.RELEASED:
            raise Refused("not-found")
        found = next((one for one in await self.files(row) if one.position == position), None)
        if found is None:
            raise Refused("not-found")
        return found

    async def manifest(self, actor: Actor, directive: str, position: int) -> bytes:
        """The page images of a PDF. Raises: Refused("not-found", "cannot-be-shown", "too-many-pages", "busy")."""
        file = await self._drawable(actor, directive, position)
        return await self._previews.manifest_of(file.digest, file.size, most=self._max_pages)

    async def page(self, actor: Actor, directive: str, position: int, page: int, width: int) -> str:
        """The digest of one page image. Raises: as `manifest`."""
        file = await self._drawable(actor, directive, position)
        return (await self._previews.drawn(file.digest, page, width))[0]

    async def _drawable(self, actor: Actor, directive: str, position: int) -> FileRow:
        file = await self.file(actor, directive, position)
        if not file.pdf:
            raise Refused("not-found")
        return file

    # Giving and changing.

    async def give(self, actor: Actor, about: About, wanted: Order, once: Once) -> bytes:
        """A new direction, its people told; returns the encoded DirectiveAnswer.

        Raises: Refused("not-found"), "conflict" for what is not registered or not issued, "directive-over", "assignee-unknown", "invalid-request".
        """

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            row, place = await self._begun(tx, actor, about, now_us)
            above = None if place is None else await queries.load(tx, place.directive)
            order = checked(wanted, now_us, None if above is None else above.due_date)
            row = msgspec.structs.replace(row, text=order.text, due_date=order.due_date)
            named = await _named(tx, actor, order)
            if await queries.size(tx, row.root) + len(named) > _MOST_LINES:
                raise Refused("invalid-request", detail="the tree has too many lines")
            await queries.insert(tx, row)
            for one in _places(row, order, named):
                await queries.name(tx, one)
                await tell_places(tx, row, [one], NoticeKind.DIRECTED, now_us)
            await _enter(tx, row, "given", row.text, actor, _facts(order), now_us)
            if place is not None and above is not None:
                await self._passed_on(tx, above, place, now_us)
            if row.arrival is not None and row.parent is None:
                seen = about_arrival(row.arrival)
                await settle(tx, organisation=row.organisation, about=seen, kinds=[NoticeKind.TO_DIRECT], now_us=now_us)
            await self._handled(tx, row, actor, now_us)
            return await _settled(tx, once, row)

        return await self._db.transact(body)

    async def _passed_on(self, tx: Transaction, above: DirectiveRow, place: AssigneeRow, now_us: int) -> None:
        """Whoever directs onwards has begun, and was told."""
        begun = msgspec.structs.replace(place, state=WorkState.IN_WORK, told_us=place.told_us or now_us)
        await _put(tx, place, begun, above)
        about, people = about_directive(above.id), await people_of(tx, place)
        await settle(tx, organisation=place.organisation, about=about, people=people, now_us=now_us)

    async def _begun(
        self, tx: Transaction, actor: Actor, about: About, now_us: int
    ) -> tuple[DirectiveRow, AssigneeRow | None]:
        """The row that a direction begins with, and the place below which it hangs."""
        id_ = new_id()
        empty = DirectiveRow(
            id=id_, organisation=actor.organisation, root=id_, parent=None, arrival=about.arrival, document=about.document, author=actor.id, title="",
            reference="", urgency=0, text="", due_date=None, state=DirectiveState.OPEN, sequence=0, created_us=now_us,
        )  # fmt: skip
        if about.above is not None:
            above = await self.get(actor, about.above, tx)
            place = await _place(tx, above)
            if above["state"] != DirectiveState.OPEN or place.state not in BUSY:
                raise Refused("directive-over")
            if await queries.depth(tx, above["id"]) + 1 >= _DEEPEST:
                raise Refused("invalid-request", detail="too many directions stand above")
            facts = {name: above[name] for name in ("root", "arrival", "document", "title", "reference", "urgency")}
            return msgspec.structs.replace(empty, parent=place.id, **facts), place
        if not actor.has(Role.LEADER):
            raise Refused("forbidden")
        if about.arrival is not None:
            arrival = await self._arrivals.get(actor, about.arrival, tx)
            if arrival.kind not in DOCUMENTS or arrival.state is not ArrivalState.REGISTERED:
                raise Refused("conflict")
            return msgspec.structs.replace(
                empty, title=arrival.subject, reference=arrival.reference, urgency=arrival.grade
            ), None
        document = await self._documents.get(actor, str(about.document), tx)
        if document.state not in ARCHIVED:
            raise Refused("conflict")
        reference = f"{document.code_number}/{document.code_notation}"
        return msgspec.structs.replace(
            empty, title=document.subject, reference=reference, urgency=document.urgency
        ), None

    async def change(self, actor: Actor, directive: str, sequence: int, wanted: Order, once: Once) -> bytes:
        """The next revision, by its author. Who stays is told and, where the text is another, asked again; who was left out is released.

        Raises: Refused("not-found"), "directive-over", "directive-changed", "assignee-unknown", "invalid-request" also where nothing differs.
        """

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            before = await self._own(tx, actor, directive)
            open_for(before, sequence)
            order = checked(wanted, now_us, await _deadline_above(tx, before), before.due_date)
            standing = {one.assignee: one for one in await queries.assignees(tx, directive)}
            on = [one for one in standing.values() if one.state is not WorkState.RELEASED]
            old = Order(
                before.text,
                next((one.assignee for one in on if one.lead), ""),
                tuple(sorted(one.assignee for one in on if not one.lead)),
                before.due_date,
            )
            if old == order:
                raise Refused("invalid-request", detail="nothing differs from the newest revision")
            named = await _named(tx, actor, order, standing)
            if not await queries.change(tx, before, text=order.text, due_date=order.due_date):
                raise Refused("directive-changed", sequence=before.sequence + 1)
            await in_time(tx, before, now_us)
            row = msgspec.structs.replace(
                before, text=order.text, due_date=order.due_date, sequence=before.sequence + 1
            )
            await _enter(tx, row, "changed", row.text, actor, _facts(order), now_us)
            await self._relist(tx, row, standing, _places(row, order, named), actor, now_us, before.text != row.text)
            return await _settled(tx, once, row)

        return await self._db.transact(body)

    async def _relist(
        self, tx: Transaction, row: DirectiveRow, standing: dict[str, AssigneeRow], wanted: Sequence[AssigneeRow], actor: Actor, now_us: int,
        text_changed: bool,  # noqa: FBT001 - whether who had finished is asked again
    ) -> None:  # fmt: skip
        for new in wanted:
            old = standing.pop(new.assignee, None)
            if old is None:
                await queries.name(tx, new)
                await tell_places(tx, row, [new], NoticeKind.DIRECTED, now_us)
                continue
            # Whoever leads now finishes the whole, also when his own part was finished.
            again = asked_again(old, text_changed=text_changed or new.lead > old.lead)
            again = msgspec.structs.replace(again, lead=new.lead)
            if again != old:
                await _put(tx, old, again, row)
            if again.state in BUSY:
                back = old.state is WorkState.RELEASED
                await tell_places(
                    tx, row, [again], NoticeKind.DIRECTED if back else NoticeKind.DIRECTIVE_CHANGED, now_us
                )
        for gone in standing.values():
            if gone.state in BUSY:
                await _put(tx, gone, msgspec.structs.replace(gone, state=WorkState.RELEASED, lead=0), row)
                await self._end_below(tx, gone, actor.id, row.text, now_us)
                await tell_places(tx, row, [gone], NoticeKind.DIRECTIVE_WITHDRAWN, now_us)
            elif gone.lead:
                await _put(tx, gone, msgspec.structs.replace(gone, lead=0), row)

    async def withdraw(self, actor: Actor, directive: str, sequence: int, reason: str, once: Once) -> bytes:
        """Take a direction back with all that hangs below it, by its author; its people are told. Raises as `change`."""

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            row = await self._own(tx, actor, directive)
            open_for(row, sequence)
            said = paragraphs(reason)
            if not said:
                raise Refused("invalid-request", detail="the reason is empty")
            await self._withdraw(tx, row, actor.id, said, now_us)
            await self._handled(tx, row, actor, now_us)
            return await _settled(tx, once, msgspec.structs.replace(row, state=DirectiveState.WITHDRAWN))

        return await self._db.transact(body)

    async def _withdraw(self, tx: Transaction, row: DirectiveRow, by: str, reason: str, now_us: int) -> None:
        if not await queries.end(tx, row, DirectiveState.WITHDRAWN):
            raise Refused("directive-changed", sequence=row.sequence)
        await in_time(tx, row, now_us)
        busy = [one for one in await queries.assignees(tx, row.id) if one.state in BUSY]
        await queries.end_busy(tx, row.id)
        await _enter(tx, row, "withdrawn", reason, by, {}, now_us)
        await tell_places(tx, row, busy, NoticeKind.DIRECTIVE_WITHDRAWN, now_us)
        for one in busy:
            await self._end_below(tx, one, by, reason, now_us)

    async def _end_below(self, tx: Transaction, place: AssigneeRow, by: str, reason: str, now_us: int) -> None:
        for child in await queries.below(tx, place.id):
            await self._withdraw(tx, child, by, reason, now_us)

    async def recalled(self, directive: str) -> None:
        """The text was taken back: the whole tree ends (EXC-5)."""

        async def body(tx: Transaction) -> None:
            row = await queries.load(tx, directive)
            if row is not None and row.state is DirectiveState.OPEN:
                now_us = self._clock.now_us()
                await self._withdraw(tx, row, SYSTEM, _RECALLED, now_us)
                # Whoever gave it did not end it himself.
                about, kind = f"{about_directive(row.id)}:reports", NoticeKind.DIRECTIVE_WITHDRAWN
                await tell(tx, [notice(row, row.organisation, row.author, kind, about, now_us)], now_us=now_us)

        await self._db.transact(body)

    async def _own(self, tx: Transaction, actor: Actor, directive: str) -> DirectiveRow:
        row = await self.get(actor, directive, tx)
        if row["author"] != actor.id:
            raise Refused("not-found")
        return queries.directive_of(row)

    # Reporting.

    async def report(self, actor: Actor, directive: str, given: Report, once: Once) -> bytes:
        """Progress or completion of the actor's own place. The lead's completion completes the direction, and ends the part of who still helped.

        Raises: Refused("not-found") for whoever it does not name, "directive-over", "directive-changed", "directive-open-below" while something
        that hangs below is not completed, "invalid-request".
        """

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            found = await self.get(actor, directive, tx)
            row, mine = queries.directive_of(found), await _place(tx, found)
            open_for(row, given.sequence)
            after = reported(mine, given, now_us)
            done = after.state is WorkState.COMPLETED
            if done and await queries.below(tx, mine.id):
                raise Refused("directive-open-below")
            await _put(tx, mine, after, row)
            ended = done and bool(mine.lead)
            if ended:
                row = await self._complete(tx, row, mine, now_us)
            await self._heard(tx, row, mine, after, actor, given.word, now_us)
            await self._handled(tx, row, actor, now_us)
            return await _settled(tx, once, row)

        return await self._db.transact(body)

    async def _complete(self, tx: Transaction, row: DirectiveRow, lead: AssigneeRow, now_us: int) -> DirectiveRow:
        if not await queries.end(tx, row, DirectiveState.COMPLETED):
            raise Refused("directive-changed", sequence=row.sequence)
        await in_time(tx, row, now_us)
        busy = [one for one in await queries.assignees(tx, row.id) if one.state in BUSY and one.id != lead.id]
        await queries.end_busy(tx, row.id)
        for one in busy:
            await self._end_below(tx, one, SYSTEM, row.text, now_us)
        await tell_places(tx, row, busy, NoticeKind.DIRECTIVE_COMPLETED, now_us)
        return msgspec.structs.replace(row, state=DirectiveState.COMPLETED)

    async def _heard(
        self, tx: Transaction, row: DirectiveRow, mine: AssigneeRow, after: AssigneeRow, actor: Actor, word: str, now_us: int
    ) -> None:  # fmt: skip
        """Keep what was reported, tell the author and the lead, and take away what asked for it."""
        done = after.state is WorkState.COMPLETED
        kind = NoticeKind.DIRECTIVE_COMPLETED if done else NoticeKind.DIRECTIVE_REPORTED
        people = await people_of(tx, mine)
        for about in (about_directive(row.id), about_due(row.id)) if done else (about_directive(row.id),):
            await settle(tx, organisation=mine.organisation, about=about, people=people, now_us=now_us)
        await _enter(
            tx, row, after.state.value, paragraphs(word), actor, {"progress": after.progress}, now_us, mine.id, after.progress
        )  # fmt: skip
        hear = [row.author]
        if row.state is DirectiveState.OPEN and not mine.lead:
            hear += [one.person for one in await queries.assignees(tx, row.id) if one.lead and one.person is not None]
        await tell(
            tx,
            [
                notice(row, row.organisation, person, kind, f"{about_directive(row.id)}:reports", now_us)
                for person in dict.fromkeys(hear)
                if person != actor.id
            ],
            now_us=now_us,
        )

    async def _handled(self, tx: Transaction, row: DirectiveRow, actor: Actor, now_us: int) -> None:
        """Tell the sender of the arrival how far it is (04, 05, 06); people of other organisations are not named to it."""
        if row.arrival is None:
            return
        found = [
            Handled(DirectiveState(one["state"]), bool(one["begun"]))
            for one in await queries.on_arrival(tx, row.arrival)
        ]
        code = status_of(found)
        top = await queries.load(tx, row.root)
        if code is not None and top is not None:
            by = actor.id if actor.organisation == top.organisation else ""
            await self._arrivals.handled(tx, row.arrival, code, by=by, now_us=now_us)

    async def link(self, actor: Actor, directive: str, document: str, once: Once) -> bytes:
        """`document` was written because of a direction: what its receivers report stands in its tree. Raises: Refused("not-found")."""

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            row = await queries.load(tx, directive)
            if row is None or row.organisation != actor.organisation:
                raise Refused("not-found")
            await self._documents.get(actor, document, tx)
            if await queries.link(tx, directive, document):
                await log_deed(tx, row, "linked", actor.id, {"document": document}, self._clock.now_us())
            return await _settled(tx, once, row)

        return await self._db.transact(body)


async def _place(tx: Reads, row: Row) -> AssigneeRow:
    """The actor's own. Raises: Refused("not-found") for whoever the direction does not name."""
    found = None if row["mine"] is None else await queries.assignee(tx, row["mine"])
    if found is None:
        raise Refused("not-found")
    return found


async def _named(
    tx: Reads, actor: Actor, order: Order, standing: dict[str, AssigneeRow] | None = None
) -> dict[str, tuple[str, str | None]]:
    """Organisation and person of everybody whom an order names; who stands on it already stays though he left.

    Raises: Refused("assignee-unknown") for others than people of the organisation and organisations below it, for the author, and
    where nobody could be told: a person whose roles open no direction, an organisation without leaders and clerks.
    """
    people = await queries.members(tx, actor.organisation) - {actor.id}
    units = {str(one["id"]) for one in await queries.units(tx, actor.organisation)}
    found: dict[str, tuple[str, str | None]] = {}
    for one in order.named:
        known = (standing or {}).get(one)
        if one in people:
            found[one] = (actor.organisation, one)
        elif one in units and await queries.acting(tx, one):
            found[one] = (one, None)
        elif known is not None and known.state is not WorkState.RELEASED:
            found[one] = (known.organisation, known.person)
        else:
            raise Refused("assignee-unknown")
    return found


def _places(row: DirectiveRow, order: Order, named: dict[str, tuple[str, str | None]]) -> list[AssigneeRow]:
    return [
        AssigneeRow(
            id=new_id(), directive=row.id, assignee=one, organisation=named[one][0], person=named[one][1], lead=int(one == order.lead),
            state=WorkState.ASSIGNED, progress=0, word="", told_us=None, done_us=None,
        )
        for one in order.named
    ]  # fmt: skip


async def _put(tx: Transaction, before: AssigneeRow, after: AssigneeRow, row: DirectiveRow) -> None:
    if not await queries.put(tx, before, after, row.sequence):
        raise Refused("directive-changed", sequence=row.sequence)


async def _deadline_above(tx: Reads, row: DirectiveRow) -> str | None:
    place = None if row.parent is None else await queries.assignee(tx, row.parent)
    above = None if place is None else await queries.load(tx, place.directive)
    return None if above is None else above.due_date


def _facts(order: Order) -> dict[str, Any]:
    """For the log, beside the text's digest."""
    return {"lead": order.lead, "coordinators": list(order.coordinators), "due": order.due_date}


async def _enter(
    tx: Transaction, row: DirectiveRow, kind: str, text: str, by: Actor | str, facts: dict[str, Any], now_us: int, assignee: str | None = None,
    progress: int | None = None,
) -> None:  # fmt: skip
    """Into the course of handling (REC-1) and into the log."""
    author = by if isinstance(by, str) else by.id
    await queries.enter(
        tx, new_id(), row, kind, text=text, author=author, now_us=now_us, assignee=assignee, progress=progress
    )
    # The log names a text by its digest: no word of it belongs there (A14), and none is exchanged unseen.
    named = {"text": hashlib.sha256(text.encode()).hexdigest()} if text else {}
    await log_deed(tx, row, kind, author, {**named, **facts, **({"assignee": assignee} if assignee else {})}, now_us)


async def _settled(tx: Transaction, once: Once, row: DirectiveRow) -> bytes:
    answer = msgspec.json.encode(DirectiveAnswer(row.id, row.sequence, row.state.value))
    await once.settle(tx, answer)
    return answer
