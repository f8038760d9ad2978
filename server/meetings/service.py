"""Use cases of meetings: call, change, cancel, answer, check in. Each is one transaction with its event and whatever tells people.

A change names the revision that it was made from, an answer the one that it is for; both are asked again in the statement that writes
them, so of two changes at once one is refused, and an answer that meets a change either counts for what it answered or is refused.

Longer than most: every change of a meeting voids answers, and the rule is kept only where all changes stand together.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec

from server import audit, jobs
from server.clock import Clock
from server.db import Database, Reads, Row, Transaction
from server.documents.model import clean
from server.errors import Refused
from server.identity.model import Actor
from server.ids import new_id
from server.live import service as live
from server.live.model import Topic
from server.meetings import mail, queries
from server.meetings.model import (
    HOUR_US,
    LATE_US,
    Answer,
    AttendeeRow,
    Details,
    MeetingRow,
    MeetingState,
    Remind,
    RevisionKind,
    check_answer,
    check_in_open,
    checked,
    differences,
    open_for,
    urgency_of,
)
from server.meetings.words import ChangeView, changes, people_in, span
from server.notices.calendar import local_day, working_day_after
from server.notices.model import Course, NewNotice, NoticeKind
from server.notices.service import chased, rules_of
from server.notices.telling import courses, settle
from server.notices.telling import tell as notify
from server.once import Once
from server.webhooks import service as webhooks
from server.wire import iso

WITHDRAWN = "withdrawn"
_MOST_GUESTS = 10_000


class MeetingAnswer(msgspec.Struct, frozen=True):
    """`sequence` is the revision that attendees now answer for; `urgency` how its notices go out (MTG-5). `short_notice`: there are fewer working days
    left than the organisation's rule asks for (MTG-2); it is called all the same.
    """

    id: str
    sequence: int
    state: str
    urgency: int
    short_notice: bool = False


class AnswerGiven(msgspec.Struct, frozen=True):
    """`substitute`: a person's id (MTG-6: a member of the same body)."""

    sequence: int
    answer: Answer
    reason: str = ""
    substitute: str | None = None


class Conflict(msgspec.Struct, frozen=True):
    """Another meeting of this person at the same time; what and which it is only for himself."""

    person: str
    name: str
    time: str
    meeting: str | None
    title: str | None


class Shown(msgspec.Struct, frozen=True):
    """A meeting as one person sees it. `row` is of `queries.find`; the last three are of `show` alone."""

    row: Any
    details: Details
    state: str
    time: str
    open: bool
    answer: Answer
    silent: int | None
    changes: list[ChangeView]
    attendees: list[AttendeeRow] = []
    conflicts: list[Conflict] = []
    organisation: str = ""


class MeetingService:
    """Meetings of the actor's organisation, and those of others that he is invited to."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    # Reading.

    async def listing(self, actor: Actor, *, after: tuple[int, int, str], limit: int) -> list[Shown]:
        """What the actor attends or manages: the next first, then what ended within a week."""
        now_us = self._clock.now_us()
        rows = await queries.listing(
            self._db, actor, now_us=now_us, since_us=now_us - LATE_US, after=after, limit=limit
        )
        managed = any(row["managed"] for row in rows)
        silent = await queries.silent(self._db, actor.organisation, now_us - LATE_US) if managed else {}
        wanted = {person for row in rows if row["before"] for person in people_in(*_sides(row))}
        names = await queries.names(self._db, sorted(wanted))
        return [_shown(row, now_us, names, silent.get(row["id"], 0) if row["managed"] else None) for row in rows]

    async def show(self, actor: Actor, meeting: str) -> Shown:
        """One meeting with its list as the actor may see it. Raises: Refused("not-found")."""
        row = await self.get(actor, meeting)
        now_us = self._clock.now_us()
        everybody = await queries.attendees(self._db, meeting)
        on = [one for one in everybody if one.last is None]
        silent = sum(one.answer_for(row["sequence"]) is Answer.NONE for one in on) if row["managed"] else None
        if row["last"] is not None and not row["managed"]:
            on, conflicts = [one for one in everybody if one.person == actor.id], []
        else:
            whose = None if row["managed"] else actor.id
            conflicts = await queries.conflicts(self._db, queries.meeting_of(row), whose)
        names = {one.person: one.name for one in everybody}
        shown = _shown(row, now_us, names, silent)
        organisation = await queries.organisation_name(self._db, row["organisation"])
        found = [_conflict(one, names, own=one["person"] == actor.id) for one in conflicts]
        return msgspec.structs.replace(shown, attendees=on, conflicts=found, organisation=organisation)

    async def course(self, actor: Actor, meeting: str) -> tuple[MeetingRow, list[AttendeeRow], dict[str, Course]]:
        """The list and what became of the notices of the newest revision, a person each. Raises: Refused("not-found")."""
        row = await self.managed(actor, meeting)
        attendees = await queries.attendees(self._db, meeting)
        told: dict[str, Course] = {}
        for organisation in sorted({one.organisation for one in attendees}):
            told |= await courses(self._db, organisation, about(row.id), row.sequence + 1)
        return row, attendees, told

    async def guests(self, actor: Actor, query: str) -> list[Row]:
        """Leaders of other organisations of this installation whose name, position or organisation has the words of `query`; fifty at most."""
        words = set(_plain(query).split())
        rows = await queries.guests(self._db, actor.organisation, _MOST_GUESTS)
        # Each text once, whatever is asked: a hundred characters may be fifty words.
        texts = ((_plain(f"{row['name']} {row['position']} {row['organisation']}"), row) for row in rows)
        found = (row for text, row in texts if all(word in text for word in words))
        return list(islice(found, 50))

    async def get(self, actor: Actor, meeting: str, reads: Reads | None = None) -> Row:
        """Raises: Refused("not-found")."""
        row = await queries.find(reads or self._db, actor, meeting)
        if row is None:
            raise Refused("not-found")
        return row

    async def managed(self, actor: Actor, meeting: str, reads: Reads | None = None) -> MeetingRow:
        """Raises: Refused("not-found") also for a meeting that the actor only attends."""
        row = await self.get(actor, meeting, reads)
        if not row["managed"]:
            raise Refused("not-found")
        return queries.meeting_of(row)

    # Calling and changing.

    async def convene(self, actor: Actor, wanted: Details, source_reference: str | None, once: Once) -> bytes:
        """A new meeting, its attendees told; returns the encoded MeetingAnswer.

        Raises: Refused("invalid-request"), Refused("attendee-unknown").
        """

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            details = checked(wanted, now_us)
            await _known(tx, actor.organisation, details)
            id_ = new_id()
            person = actor.kind == "person"
            row = MeetingRow(
                id=id_, organisation=actor.organisation, uid=f"{id_}@hoatoc", organiser=actor.id if person else None, client=None if person else actor.id,
                source_reference=source_reference, state=MeetingState.PLANNED, sequence=0, starts_us=details.starts_us, ends_us=details.ends_us, created_us=now_us,
            )  # fmt: skip
            await queries.insert(tx, row)
            for one in details.attendees:
                await queries.invite(tx, id_, one, None)
            urgency = urgency_of(details.urgency, now_us, details.starts_us)
            await self._revise(tx, actor, row, RevisionKind.INVITED, details, urgency, "", now_us)
            await tell(tx, row, list(details.attendees), NoticeKind.MEETING_INVITED, urgency, details.title, now_us)
            return await _settled(tx, once, row, urgency, short_notice=await _planned(tx, row, now_us))

        return await self._db.transact(body)

    async def change(
        self, actor: Actor, meeting: str, sequence: int, wanted: Details, once: Once, *, keeps_urgency: bool = False
    ) -> bytes:
        """The next revision; everybody on the list is told and asked again (MTG-5). Whoever was taken off is told that, too.

        `keeps_urgency`: what the organiser wanted at least stays.

        Raises: Refused("not-found"), "meeting-over", "meeting-changed", "attendee-unknown", "invalid-request" also where nothing differs.
        """

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            before = await self.managed(actor, meeting, tx)
            open_for(before, sequence, now_us)
            old = await queries.revision(tx, meeting, sequence)
            details = checked(msgspec.structs.replace(wanted, urgency=old.urgency) if keeps_urgency else wanted, now_us)
            if not differences(old, details):
                raise Refused("invalid-request", detail="nothing differs from the newest revision")
            await _known(tx, actor.organisation, details)
            row = msgspec.structs.replace(
                before, sequence=sequence + 1, starts_us=details.starts_us, ends_us=details.ends_us
            )
            urgency = urgency_of(details.urgency, now_us, old.starts_us, details.starts_us)
            await self._advance(tx, before, row, now_us)
            await self._revise(tx, actor, row, RevisionKind.CHANGED, details, urgency, "", now_us)
            await self._relist(tx, row, old, details, urgency, now_us)
            return await _settled(tx, once, row, urgency, short_notice=await _planned(tx, row, now_us))

        return await self._db.transact(body)

    async def cancel(self, actor: Actor, meeting: str, sequence: int, reason: str, once: Once) -> bytes:
        """The last revision: everybody on the list is told why. Raises as `change`."""

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            before = await self.managed(actor, meeting, tx)
            open_for(before, sequence, now_us)
            said = clean(reason)
            if not said:
                raise Refused("invalid-request", detail="the reason is empty")
            row = msgspec.structs.replace(before, sequence=sequence + 1, state=MeetingState.CANCELLED)
            details = await queries.revision(tx, meeting, sequence)
            urgency = urgency_of(details.urgency, now_us, details.starts_us)
            await self._advance(tx, before, row, now_us)
            await self._revise(tx, actor, row, RevisionKind.CANCELLED, details, urgency, said, now_us)
            people = [one.person for one in await queries.attendees(tx, meeting) if one.last is None]
            await tell(tx, row, people, NoticeKind.MEETING_CANCELLED, urgency, details.title, now_us)
            return await _settled(tx, once, row, urgency)

        return await self._db.transact(body)

    async def _advance(self, tx: Transaction, before: MeetingRow, after: MeetingRow, now_us: int) -> None:
        if not await queries.advance(tx, before, after, now_us):
            raise Refused("meeting-changed")

    async def _revise(
        self, tx: Transaction, actor: Actor, row: MeetingRow, kind: RevisionKind, details: Details, urgency: int, reason: str, now_us: int
    ) -> None:  # fmt: skip
        """The revision and its event, which names what it says by digest: no title belongs into the log (A14)."""
        await queries.insert_revision(
            tx,
            row.id,
            row.sequence,
            kind=kind,
            details=details,
            urgency=urgency,
            reason=reason,
            author=actor.id,
            now_us=now_us,
        )
        digest = hashlib.sha256(msgspec.json.encode(details)).hexdigest()
        body = {"sequence": row.sequence, "details": digest, "urgency": urgency}
        await _log(tx, f"meeting.{kind.value}", actor, row, body, now_us)
        await show_all(tx, row)

    async def _relist(
        self, tx: Transaction, row: MeetingRow, old: Details, details: Details, urgency: int, now_us: int
    ) -> None:  # fmt: skip
        """Bring the list to `details`: substitutes stay as long as whom they stand for."""
        on = {one.person: one for one in await queries.attendees(tx, row.id) if one.last is None}
        wanted = set(details.attendees)
        kept = {one.person for one in on.values() if one.substitute_for in wanted}
        for one in sorted(on.keys() - wanted - kept):
            await queries.take_off(tx, row.id, one, row.sequence - 1)
        for one in sorted(wanted):
            if one not in on or on[one].substitute_for is not None:
                await queries.invite(tx, row.id, one, None)
        staying = sorted((wanted | kept) & on.keys())
        coming, leaving = sorted(wanted - on.keys()), sorted(on.keys() - wanted - kept)
        await _show(tx, row, coming)
        # Whoever leaves reads the title that was his, no newer one (C1).
        for people, kind, title in (
            (staying, NoticeKind.MEETING_CHANGED, details.title),
            (coming, NoticeKind.MEETING_INVITED, details.title),
            (leaving, NoticeKind.MEETING_WITHDRAWN, old.title),
        ):
            await tell(tx, row, people, kind, urgency, title, now_us)

    # Answering.

    async def answer(self, actor: Actor, meeting: str, given: AnswerGiven, once: Once) -> bytes:
        """The actor's answer for the newest revision (MTG-6); the last one counts. Returns the encoded MeetingAnswer.

        Raises: Refused("not-found") for whoever is not on the list, "meeting-over", "meeting-changed", "answer-invalid".
        """

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            row = queries.meeting_of(await self.get(actor, meeting, tx))
            mine = await queries.attendee(tx, meeting, actor.id)
            if mine is None or mine.last is not None:
                raise Refused("not-found")
            open_for(row, given.sequence, now_us)
            reason = check_answer(given.answer, given.reason, given.substitute, mine)
            details = await queries.revision(tx, meeting, row.sequence)
            urgency = urgency_of(details.urgency, now_us, row.starts_us)
            await self._substitute(tx, row, mine, given.substitute, details.title, urgency, now_us)
            if not await queries.answer(
                tx, meeting, actor.id, row.sequence, answer=given.answer.value, reason=reason, substitute=given.substitute, now_us=now_us
            ):  # fmt: skip
                raise Refused("meeting-changed")
            if given.answer is Answer.DECLINE and mine.substitute_for is not None and await _sent(tx, row.id, mine):
                await queries.unanswer(tx, meeting, mine.substitute_for)
                await tell(tx, row, [mine.substitute_for], NoticeKind.MEETING_REMINDER, urgency, details.title, now_us)
            await settle(tx, organisation=actor.organisation, about=about(row.id), people=[actor.id], now_us=now_us)
            if row.organiser not in {None, actor.id} and given.answer is not Answer.ATTEND:
                await tell(
                    tx, row, [str(row.organiser)], NoticeKind.MEETING_ANSWERED, min(1, urgency_of(0, now_us, row.starts_us)), details.title, now_us,
                    subject=f"meeting-answers:{row.id}",
                )  # fmt: skip
            body = {"sequence": row.sequence, "answer": given.answer.value, "substitute": given.substitute or ""}
            await _log(tx, "meeting.answered", actor, row, body, now_us)
            await _show(tx, row, {actor.id, mine.substitute, mine.substitute_for, given.substitute})
            await self._announce(tx, row, mine, given, reason, now_us)
            return await _settled(tx, once, row, urgency)

        return await self._db.transact(body)

    async def _substitute(
        self, tx: Transaction, row: MeetingRow, mine: AttendeeRow, chosen: str | None, title: str, urgency: int, now_us: int
    ) -> None:  # fmt: skip
        """Take a former substitute off the list and put the chosen one on it. Raises: Refused("answer-invalid")."""
        if mine.substitute == chosen:
            return
        former = None if mine.substitute is None else await queries.attendee(tx, row.id, mine.substitute)
        if former is not None and former.last is None and former.substitute_for == mine.person:
            await queries.take_off(tx, row.id, former.person, row.sequence)
            await tell(tx, row, [former.person], NoticeKind.MEETING_WITHDRAWN, urgency, title, now_us)
        if chosen is None:
            return
        known = await queries.attendee(tx, row.id, chosen)
        if (known is not None and known.last is None) or chosen not in await queries.members(tx, mine.organisation):
            raise Refused("answer-invalid", reason="substitute")
        await queries.invite(tx, row.id, chosen, mine.person)
        await queries.unanswer(tx, row.id, chosen)
        await tell(tx, row, [chosen], NoticeKind.MEETING_INVITED, urgency, title, now_us)

    async def _announce(
        self, tx: Transaction, row: MeetingRow, mine: AttendeeRow, given: AnswerGiven, reason: str, now_us: int
    ) -> None:
        """Tell the systems that listen; each answer in the order in which it was given."""
        data: dict[str, Any] = {
            "meeting": row.id, "source_reference": row.source_reference, "sequence": row.sequence, "person": mine.person, "answer": given.answer.value,
            "reason": reason, "substitute": given.substitute, "at": iso(now_us),
        }  # fmt: skip
        await webhooks.enqueue(
            tx, organisation=row.organisation, event="meeting.answered", document=row.id, data=data, now_us=now_us
        )

    # At the door.

    async def check_in(self, actor: Actor, meeting: str, people: tuple[str, ...], *, came: bool) -> None:
        """Write down who came, or take it back. Raises: Refused("not-found"), "meeting-over", "attendee-unknown"."""

        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            row = await self.managed(actor, meeting, tx)
            check_in_open(row, now_us)
            for person in people:
                if not await queries.check_in(tx, meeting, person, came_us=now_us if came else None, by=actor.id):
                    raise Refused("attendee-unknown")
            body = {"people": list(people), "came": came}
            await _log(tx, "meeting.checked_in", actor, row, body, now_us)
            await _show(tx, row, people)

        await self._db.transact(body)


def about(meeting: str) -> str:
    """The subject of what is said of a meeting itself: the last of several changes is the one that shows."""
    return f"meeting:{meeting}"


async def tell(
    tx: Transaction,
    row: MeetingRow,
    people: Sequence[str],
    kind: NoticeKind,
    urgency: int,
    title: str,
    now_us: int,
    *,
    subject: str | None = None,
) -> None:
    """In the caller's transaction. `subject`: what it supersedes, else what was said of the meeting; worth nothing once that has started."""
    homes = await queries.organisations_of(tx, people)
    # A guest is told as his own organisation arranges it: its policy, its duty officer, and its clerks where the sender is a stranger there.
    notices = [
        NewNotice(
            organisation=homes[person], person=person, kind=kind, urgency=urgency, about=subject or about(row.id), expires_us=row.starts_us,
            revision=row.sequence + 1, headline=title, sender=row.organiser if homes[person] == row.organisation else None,
        )
        for person in people
    ]  # fmt: skip
    await notify(tx, notices, now_us=now_us)
    await mail.enqueue(tx, row, people, kind, now_us)


async def remind(tx: Transaction, asked: Remind, now_us: int) -> None:
    """Ask those again who have not answered the newest revision, but for whom a chain is after already (NOT-4)."""
    row = await queries.load(tx, asked.meeting)
    if (
        row is None
        or row.sequence != asked.sequence
        or row.state is not MeetingState.PLANNED
        or now_us >= row.starts_us
    ):
        return
    details = await queries.revision(tx, row.id, row.sequence)
    on = [one for one in await queries.attendees(tx, row.id) if one.last is None]
    running = {person for one in {one.organisation for one in on} for person in await chased(tx, one, about(row.id))}
    silent = [one.person for one in on if one.answer_for(row.sequence) is Answer.NONE and one.person not in running]
    urgency = urgency_of(details.urgency, now_us, row.starts_us)
    await tell(tx, row, silent, NoticeKind.MEETING_REMINDER, urgency, details.title, now_us)


async def _planned(tx: Transaction, row: MeetingRow, now_us: int) -> bool:
    """Ask again in time whoever will not have answered by then; whether the time left is short by the organisation's rule (MTG-2)."""
    rules = await rules_of(tx, row.organisation)
    remind_us = row.starts_us - rules.meetings.remind_hours * HOUR_US
    if rules.meetings.remind_hours and remind_us > now_us + HOUR_US:
        await jobs.enqueue(tx, "meetings.remind", Remind(row.id, row.sequence), run_at_us=remind_us)
    return local_day(row.starts_us) < working_day_after(now_us, rules.meetings.notice_days, rules)


def _sides(row: Row) -> tuple[Details, Details]:
    return queries.details_of(row["before"]), queries.details_of(row["details"])


def _shown(row: Row, now_us: int, names: dict[str, str], silent: int | None) -> Shown:
    details = queries.details_of(row["details"])
    meeting = queries.meeting_of(row)
    off = row["last"] is not None
    before = None if row["before"] is None else queries.details_of(row["before"])
    planned = meeting.state is MeetingState.PLANNED
    return Shown(
        row=row,
        details=details,
        state=WITHDRAWN if off and not row["managed"] else meeting.state.value,
        time=span(details.starts_us, details.ends_us),
        open=planned and now_us < meeting.starts_us,
        answer=Answer(row["answer"]) if row["answered"] == meeting.sequence and not off else Answer.NONE,
        silent=silent,
        changes=changes(before, details, names) if planned else [],
    )


def _conflict(row: Row, names: dict[str, str], *, own: bool) -> Conflict:
    return Conflict(
        person=row["person"], name=names.get(row["person"], ""), time=span(row["starts_us"], row["ends_us"]), meeting=row["meeting"] if own else None,
        title=queries.details_of(row["details"]).title if own else None,
    )  # fmt: skip


async def _sent(tx: Reads, meeting: str, substitute: AttendeeRow) -> bool:
    """Whether the one he stands for still sends him: who has answered otherwise since is not asked again."""
    sender = await queries.attendee(tx, meeting, substitute.substitute_for or "")
    return sender is not None and sender.substitute == substitute.person


async def _known(tx: Reads, organisation: str, details: Details) -> None:
    """Members of the organisation, one of whom is in the chair, and leaders of others."""
    for one in set(details.attendees) - (await queries.members(tx, organisation)).keys():
        if one == details.chair or not await queries.is_guest(tx, organisation, one):
            raise Refused("attendee-unknown")


def _plain(text: str) -> str:
    """Without case and marks: what is typed on a phone finds what was recorded with all of its marks."""
    bare = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return "".join(letter for letter in bare if not unicodedata.combining(letter))


async def _settled(tx: Transaction, once: Once, row: MeetingRow, urgency: int, *, short_notice: bool = False) -> bytes:
    answer = msgspec.json.encode(MeetingAnswer(row.id, row.sequence, row.state.value, urgency, short_notice))
    await once.settle(tx, answer)
    return answer


async def show_all(tx: Transaction, row: MeetingRow) -> None:
    """Everybody on its list, and whoever was, sees the meeting otherwise now."""
    await _show(tx, row, [one.person for one in await queries.attendees(tx, row.id)])


async def _show(tx: Transaction, row: MeetingRow, people: Iterable[str | None]) -> None:
    """These see the meeting otherwise now, and so do those who manage it."""
    managers = [row.organiser, *await queries.clerks(tx, row.organisation)]
    await live.touch(tx, Topic.MEETINGS, [one for one in (*people, *managers) if one is not None])


async def _log(tx: Transaction, kind: str, actor: Actor, row: MeetingRow, body: dict[str, Any], now_us: int) -> None:
    await audit.append(
        tx, kind, organisation=row.organisation, actor=actor.id, subject=row.id, body=body, now_us=now_us
    )
