"""Meetings as iCalendar (RFC 5545, RFC 5546): one invitation as a file, and a feed per person.

Nobody's mail address is known here, so people are named by `urn:uuid:` of their id. Times are written in UTC, which every calendar shows
in the zone of its reader.

The feed is for calendars that cannot sign a request: whoever has its address reads it. The address holds 256 bits of its own, is kept as
a digest alone, is found by that digest, and ends when its person makes another, takes it back or leaves.
"""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from server import audit
from server.clock import Clock
from server.db import Database, Row, Transaction
from server.errors import Refused
from server.identity.model import Actor
from server.meetings import queries
from server.meetings.model import DAY_US, Answer, AttendeeRow, Details, MeetingRow, MeetingState
from server.once import Once, Seal

if TYPE_CHECKING:
    from icalendar import Calendar, Event

_PRODUCT = "-//Hoa Toc//hoatoc//VI"
_KEPT_US = 90 * DAY_US
_MOST = 1000
_PARTSTAT = {
    Answer.NONE: "NEEDS-ACTION",
    Answer.ATTEND: "ACCEPTED",
    Answer.DECLINE: "DECLINED",
    Answer.SUBSTITUTE: "DELEGATED",
}


def invitation(row: Row, attendees: list[AttendeeRow], organisation: str) -> bytes:
    """One meeting as its reader may see it: REQUEST, or CANCEL where it was cancelled or he was taken off the list (RFC 5546, 3.2.2, 3.2.5).

    What others answered is for whoever manages the meeting; to all others they stand there as asked (C1).
    """
    meeting, details = queries.meeting_of(row), queries.details_of(row["details"])
    off = row["last"] is not None and not row["managed"]
    gone = off or meeting.state is MeetingState.CANCELLED
    calendar = _calendar("CANCEL" if gone else "REQUEST")
    event = _event(meeting, details, row["changed_us"], cancelled=gone)
    event.add("organizer", _address(meeting.organiser or meeting.organisation, organisation))
    for one in attendees:
        if one.last is None:
            address = _address(one.person, one.name)
            told = row["managed"] or one.person == row["person"]
            address.params["PARTSTAT"] = _PARTSTAT[one.answer_for(meeting.sequence) if told else Answer.NONE]
            address.params["ROLE"] = "CHAIR" if one.person == details.chair else "REQ-PARTICIPANT"
            event.add("attendee", address)
    calendar.add_component(event)
    return bytes(calendar.to_ical())


def mailed(
    meeting: MeetingRow, details: Details, now_us: int, *, method: str, to: str, sender: str, organisation: str, neutral: str
) -> bytes:  # fmt: skip
    """The calendar part of a mail to one attendee (RFC 6047): REQUEST or CANCEL, from our mailbox to his, naming nobody else.

    `neutral`: what stands in the place of title, place and texts, where the rules let no more out.
    """
    from icalendar import vCalAddress

    calendar = _calendar(method)
    event = _event(meeting, details, now_us, cancelled=method == "CANCEL")
    if neutral:
        event["summary"] = neutral
        for name in ("location", "description"):
            event.pop(name, None)
    organiser, attendee = vCalAddress(f"mailto:{sender}"), vCalAddress(f"mailto:{to}")
    if organisation:
        organiser.params["CN"] = organisation.replace('"', "'")
    attendee.params.update({"ROLE": "REQ-PARTICIPANT", "PARTSTAT": "NEEDS-ACTION", "RSVP": "FALSE"})
    event.add("organizer", organiser)
    event.add("attendee", attendee)
    calendar.add_component(event)
    return bytes(calendar.to_ical())


def _calendar(method: str) -> "Calendar":
    from icalendar import Calendar

    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", method)
    return calendar


def _event(meeting: MeetingRow, details: Details, changed_us: int, *, cancelled: bool) -> "Event":
    from icalendar import Event

    event = Event()
    event.add("uid", meeting.uid)
    event.add("sequence", meeting.sequence)
    event.add("dtstamp", _time(changed_us))
    event.add("dtstart", _time(details.starts_us))
    event.add("dtend", _time(details.ends_us))
    event.add("summary", details.title)
    event.add("location", details.place)
    text = "\n\n".join(part for part in (details.agenda, details.asked) if part)
    if text:
        event.add("description", text)
    event.add("status", "CANCELLED" if cancelled else "CONFIRMED")
    return event


def _address(id_: str, name: str) -> Any:
    from icalendar import vCalAddress

    address = vCalAddress(f"urn:uuid:{UUID(hex=id_)}")
    address.params["CN"] = name.replace('"', "'")  # RFC 5545, 3.2: a parameter has no way to say a double quote
    return address


def _time(us: int) -> datetime:
    return datetime.fromtimestamp(us // 1_000_000, UTC)


class CalendarService:
    """Feeds of all people; each person's own to make and to end."""

    def __init__(self, db: Database, clock: Clock, seal: Seal, public_url: str) -> None:
        self._db = db
        self._clock = clock
        self._seal = seal
        self._public_url = public_url

    async def open(self, actor: Actor, once: Once) -> str:
        """A new address; the one before stops working. The repeated request gets the same one (kept sealed)."""
        once = once.sealed(self._seal)

        async def body(tx: Transaction) -> str:
            kept = await once.claim(tx)
            if kept is not None:
                return kept.decode()
            now_us, secret = self._clock.now_us(), secrets.token_urlsafe(32)
            await queries.put_feed(tx, actor, _digest(secret), now_us)
            await self._log(tx, "calendar.opened", actor, now_us)
            await once.settle(tx, secret.encode())
            return secret

        return f"{self._public_url}/calendar/{await self._db.transact(body)}.ics"

    async def end(self, actor: Actor) -> None:
        async def body(tx: Transaction) -> None:
            if await queries.end_feed(tx, actor):
                await self._log(tx, "calendar.ended", actor, self._clock.now_us())

        await self._db.transact(body)

    async def _log(self, tx: Transaction, kind: str, actor: Actor, now_us: int) -> None:
        await audit.append(
            tx, kind, organisation=actor.organisation, actor=actor.id, subject=actor.id, body={}, now_us=now_us
        )

    async def standing(self, actor: Actor) -> Row | None:
        return await queries.feed(self._db, actor)

    async def feed(self, secret: str) -> bytes:
        """The calendar behind an address: what its person attends, from three months back. Raises: Refused("not-found")."""
        digest = _digest(secret.removesuffix(".ics"))
        found = await queries.feed_of_secret(self._db, digest)
        if found is None or not hmac.compare_digest(found["secret_hash"], digest):
            raise Refused("not-found")
        now_us, person = self._clock.now_us(), str(found["person"])
        actor = Actor("person", person, found["organisation"])
        rows = await queries.attended(self._db, actor, since_us=now_us - _KEPT_US, limit=_MOST)
        calendar = _calendar("PUBLISH")
        for row in rows:
            meeting = queries.meeting_of(row)
            gone = row["last"] is not None or meeting.state is MeetingState.CANCELLED
            calendar.add_component(
                _event(meeting, queries.details_of(row["details"]), row["changed_us"], cancelled=gone)
            )
        await self._db.transact(lambda tx: queries.fetched(tx, person, now_us))
        return bytes(calendar.to_ical())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
