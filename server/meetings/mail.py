"""Invitations by e-mail: iTIP's REQUEST and CANCEL (RFC 5546) in mail (RFC 6047), for attendees who asked for it, as far as the rules let out.

Who calls the meeting and whose member the attendee is both have a rule (`Meetings.mail`); the stricter counts. `times` says that there is a meeting, and from
when to when; no title, place or name (C12, NOT-3). No mail names another attendee, and none has a link. Answers are given in the app: calendars are not
asked for any (RSVP), because a mail proves nobody.
"""

import hashlib
from collections.abc import Sequence
from enum import StrEnum

from push.transports.email import CalendarMail
from server import jobs
from server.db import Reads, Transaction
from server.jobs import Lane
from server.meetings import queries
from server.meetings.calendar import mailed
from server.meetings.model import Details, MailInvitation, MeetingRow, MeetingState
from server.meetings.words import span
from server.notices.model import TITLES, NoticeKind
from server.notices.rules import MeetingMail
from server.notices.service import meeting_mailbox, rules_of


class Method(StrEnum):
    REQUEST = "request"
    CANCEL = "cancel"


_METHODS = {
    NoticeKind.MEETING_INVITED: Method.REQUEST,
    NoticeKind.MEETING_CHANGED: Method.REQUEST,
    NoticeKind.MEETING_CANCELLED: Method.CANCEL,
    NoticeKind.MEETING_WITHDRAWN: Method.CANCEL,
}
_ORDER = (MeetingMail.OFF, MeetingMail.TIMES, MeetingMail.FULL)
_SUBJECTS = {
    (Method.REQUEST, True): "Giấy mời họp",
    (Method.REQUEST, False): "Cuộc họp có thay đổi",
    (Method.CANCEL, True): "Cuộc họp đã hủy",
    (Method.CANCEL, False): "Cuộc họp đã hủy",
}
_OFF = TITLES[NoticeKind.MEETING_WITHDRAWN][0]


async def enqueue(tx: Transaction, row: MeetingRow, people: Sequence[str], kind: NoticeKind, now_us: int) -> None:
    """A mail for each of `people` who wants one, in the caller's transaction; a cancellation for those who had an invitation.

    In the lane of broadcasts: five hundred mails and a server that lets each wait must not stand before documents and pushes.
    """
    method = _METHODS.get(kind)
    if method is None:
        return
    for person in people:
        wanted = method is Method.CANCEL and await queries.was_mailed(tx, row.id, person)
        if (wanted or method is Method.REQUEST) and await mailbox(tx, row, person) is not None:
            if not await queries.insert_mail(tx, row.id, person, row.sequence, method.value, now_us):
                continue
            await jobs.enqueue(
                tx, "meetings.mail", MailInvitation(row.id, person, row.sequence, method.value), lane=Lane.BULK,
                ordering_key=f"meetings.mail:{row.id}:{person}",
            )  # fmt: skip


async def mailbox(reads: Reads, row: MeetingRow, person: str) -> tuple[str, MeetingMail] | None:
    """Where an attendee's invitations go now, and what they may say; None: nowhere."""
    found = await meeting_mailbox(reads, person)
    if found is None:
        return None
    organisation, address = found
    allowed = [(await rules_of(reads, one)).meetings.mail for one in {row.organisation, organisation}]
    content = min(allowed, key=_ORDER.index)
    return None if content is MeetingMail.OFF else (address, content)


async def current(reads: Reads, asked: MailInvitation, now_us: int) -> MeetingRow | None:
    """The meeting, where the mail still says what is so; nothing is sent after the start.

    Whoever was taken off hears of no later revision: his cancellation goes out whatever became of the meeting since.
    """
    row = await queries.load(reads, asked.meeting)
    mine = await queries.attendee(reads, asked.meeting, asked.person)
    if row is None or mine is None or now_us >= row.starts_us:
        return None
    if mine.last is None and row.sequence != asked.sequence:
        return None
    gone = row.state is MeetingState.CANCELLED or mine.last is not None
    return row if gone == (asked.method == Method.CANCEL) else None


async def said_to(reads: Reads, row: MeetingRow, person: str) -> tuple[Details, bool]:
    """What an attendee may read of it, and whether he was taken off: then it is the last revision that was his (C1)."""
    mine = await queries.attendee(reads, row.id, person)
    off = mine is not None and mine.last is not None
    last = mine.last if mine is not None and mine.last is not None else row.sequence
    return await queries.revision(reads, row.id, last), off


def written(
    row: MeetingRow, details: Details, asked: MailInvitation, id_: str, *, to: str, sender: str, organisation: str, content: MeetingMail, off: bool, now_us: int
) -> CalendarMail:  # fmt: skip
    """The mail. Its Message-ID is made of its job `id`: what is sent again has the same, an invitation after a cancellation another."""
    method, full = Method(asked.method), content is MeetingMail.FULL
    subject = _OFF if off else _SUBJECTS[method, row.sequence == 0]
    lines = [f"{subject}: {span(details.starts_us, details.ends_us)}."]
    if full:
        lines += [details.title, details.place, organisation, details.agenda, details.asked]
    if method is Method.REQUEST:
        lines.append("Xem và trả lời trong ứng dụng Hỏa Tốc.")
    digest = hashlib.sha256(f"meetings.mail:{id_}".encode()).hexdigest()
    return CalendarMail(
        id=digest[:32], subject=f"{subject}: {details.title}"[:200] if full else subject, text="\n\n".join(line for line in lines if line) + "\n",
        calendar=mailed(
            row, details, now_us, method=method.value.upper(), to=to, sender=sender, organisation=organisation if full else "", neutral="" if full else subject
        ),
        method=method.value.upper(),
    )  # fmt: skip
