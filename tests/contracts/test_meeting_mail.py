"""Invitations by e-mail on both engines, through a mail server on loopback; icalendar and the standard library's mail parser judge (RFC 5546, RFC 6047)."""

import email.policy
import uuid
from email import message_from_bytes

import icalendar
import msgspec
import pytest

from push.transports import MailServer, open_mailer
from server import jobs
from server.jobs import queries as job_queries
from server.meetings.model import HOUR_US, Answer
from server.meetings.tasks import MeetingTasks
from server.notices.calendar import local_us, working_day_after
from server.notices.rules import MeetingMail, Meetings, Rules
from tests.contracts.test_meetings import CHAIR, FIRST, ORGANISER, SECOND, SPARE, STAFF, Room, once, plan, seed
from tests.fakes.smtp import SmtpServer

pytestmark = pytest.mark.asyncio

SENDER = "hoatoc@example.vn"
CANARY = "BIMAT"
WORDS = {"title": f"{CANARY} một", "place": f"{CANARY} hai", "agenda": f"{CANARY} ba", "asked": f"{CANARY} bốn"}
MEANT = {"meetings.mail", "meetings.remind"}


class Office(Room):
    """A room whose mails are sent by hand, by a worker's own handlers."""

    def __init__(self, db, server):
        super().__init__(db)
        mailer = open_mailer(MailServer(url=f"smtp://127.0.0.1:{server.port}", sender=SENDER))
        self.tasks = MeetingTasks(db, self.clock, mailer)
        self.server = server

    async def open(self, mail=MeetingMail.TIMES, **rules):
        await seed(self.db)
        await self.rules("o1", mail=mail, **rules)
        for one in (CHAIR, FIRST):
            await self.wish(one)
        return self

    async def rules(self, organisation, **rules):
        text = msgspec.json.encode(Rules(meetings=Meetings(**rules), policies=())).decode()
        await self.execute(
            "INSERT INTO notice_rules (organisation, rules, updated_by, updated_us) VALUES ($1, $2, 'x', 1) ON CONFLICT (organisation) DO UPDATE SET rules = excluded.rules",
            organisation, text,
        )  # fmt: skip

    async def wish(self, person, wants=1):
        await self.execute(
            "INSERT INTO notice_settings (person, organisation, phone, email, meetings_by_mail, updated_us) VALUES ($1, 'o1', '', $2, $3, 1)"
            " ON CONFLICT (person) DO UPDATE SET meetings_by_mail = excluded.meetings_by_mail",
            person, f"{person[:4]}@example.vn", wants,
        )  # fmt: skip

    async def execute(self, sql, *values):
        await self.db.transact(lambda tx: tx.execute(sql, *values))

    async def work(self):
        """Run what is due of this room's jobs; the mails that arrived since, as (to, message)."""
        before = len(self.server.mails)
        while found := await self._claimed():
            for job in found:
                context = jobs.Context(self.db, self.clock, job, job_queries.finish)
                if job.kind in MEANT:
                    await self.tasks.handlers()[job.kind](job, context)
                if not context.finished:
                    await self.db.transact(lambda tx, job=job: job_queries.finish(tx, job))
        return [
            (to, message_from_bytes(raw, policy=email.policy.default))
            for _, to, raw, _, _ in self.server.mails[before:]
        ]

    async def _claimed(self):
        now_us, found = self.clock.now_us(), []
        for lane in jobs.Lane:
            found += await self.db.transact(
                lambda tx, lane=lane: job_queries.claim(
                    tx, self.db.dialect, lane, owner=uuid.uuid4().hex, limit=64, now_us=now_us, lease_end_us=now_us + HOUR_US, timed_first=False
                )
            )  # fmt: skip
        return found


def judged(found):
    """(to, method, uid, sequence, event) of each mail, by what its two parts and its type say alike."""
    told = []
    for to, message in found:
        assert message.get_content_type() == "multipart/alternative"
        text, part = message.iter_parts()
        assert (text.get_content_type(), part.get_content_type()) == ("text/plain", "text/calendar")
        calendar = icalendar.Calendar.from_ical(part.get_content())
        (event,) = calendar.walk("VEVENT")
        assert part.get_param("method") == calendar["method"]
        attendees = event["attendee"] if isinstance(event["attendee"], list) else [event["attendee"]]
        assert [f"TO:<{one[7:]}>" for one in attendees] == [to]
        assert event["organizer"] == f"mailto:{SENDER}"
        assert attendees[0].params["RSVP"] == "FALSE"
        assert message["Auto-Submitted"] == "auto-generated"
        told.append((to[4:8], str(calendar["method"]), str(event["uid"]), event["sequence"], event))
    return sorted(told, key=lambda one: one[:4])


async def test_a_meeting_is_invited_changed_and_cancelled_by_mail_as_one_event(db):
    async with SmtpServer() as server:
        office = await Office(db, server).open()
        await office.convened(**WORDS)
        invited = judged(await office.work())
        uid = (await office.state()).uid
        assert [one[:4] for one in invited] == [(who[:4], "REQUEST", uid, 0) for who in sorted((CHAIR, FIRST))]
        event = invited[0][4]
        assert (event["dtstart"].dt.timestamp() * 1e6, event["status"]) == (
            (await office.state()).starts_us,
            "CONFIRMED",
        )
        assert await office.change(0, **WORDS, starts_us=(await office.state()).starts_us + HOUR_US) == ""
        # The last of several changes alone is sent.
        assert await office.change(1, **{**WORDS, "place": "Phòng B"}) == ""
        assert [one[1:4] for one in judged(await office.work())] == [("REQUEST", uid, 2)] * 2
        assert await office.cancel(2) == ""
        cancelled = judged(await office.work())
        assert [one[1:4] for one in cancelled] == [("CANCEL", uid, 3)] * 2
        assert {str(one[4]["status"]) for one in cancelled} == {"CANCELLED"}
        rows = await db.fetch_all(
            "SELECT sequence, method, state FROM meeting_mails WHERE person = $1 ORDER BY sequence", FIRST
        )
        assert [tuple(row) for row in rows] == [
            (0, "request", "sent"), (1, "request", "unsent"), (2, "request", "sent"), (3, "cancel", "sent"),
        ]  # fmt: skip


async def test_who_is_taken_off_gets_a_cancellation_alone_and_a_substitute_an_invitation(sqlite_db):
    async with SmtpServer() as server:
        office = await Office(sqlite_db, server).open()
        await office.wish(SPARE)
        await office.convened()
        await office.work()
        assert await office.answer(FIRST, 0, Answer.SUBSTITUTE, SPARE) == ""
        ((_, first),) = found = await office.work()
        assert [one[:2] for one in judged(found)] == [(SPARE[:4], "REQUEST")]
        assert await office.answer(FIRST, 0) == ""
        assert [one[:2] for one in judged(await office.work())] == [(SPARE[:4], "CANCEL")]
        assert await office.answer(FIRST, 0, Answer.SUBSTITUTE, SPARE) == ""
        ((_, again),) = found = await office.work()
        assert [one[:2] for one in judged(found)] == [(SPARE[:4], "REQUEST")]
        # A mail server that drops doubles by their id keeps both.
        assert again["Message-ID"] != first["Message-ID"]
        assert await office.change(0, attendees=(SECOND,)) == ""
        assert [one[:2] for one in judged(await office.work())] == sorted(
            [(CHAIR[:4], "REQUEST"), (FIRST[:4], "CANCEL"), (SPARE[:4], "CANCEL")]
        )


async def test_who_was_taken_off_is_told_so_after_a_later_change_too_and_nothing_new(sqlite_db):
    """The mail server was away meanwhile: what was decided after he was taken off is not his to read (C1)."""
    async with SmtpServer() as server:
        office = await Office(sqlite_db, server).open(MeetingMail.FULL)
        await office.convened()
        await office.work()
        starts_us = (await office.state()).starts_us
        moved = {"attendees": (SECOND,), "starts_us": starts_us + HOUR_US}
        assert await office.change(0, **moved, title=f"{CANARY} một") == ""
        assert await office.change(1, **moved, title=f"{CANARY} một", place=f"{CANARY} hai") == ""
        found = {to[1:][3:7]: message for to, message in await office.work()}
        ((_, method, _, sequence, event),) = judged([(f"TO:<{FIRST[:4]}@example.vn>", found[FIRST[:4]])])
        assert (method, sequence) == ("CANCEL", 2)
        assert event["dtstart"].dt.timestamp() * 1e6 == starts_us
        text, part = found[FIRST[:4]].iter_parts()
        for said in (str(found[FIRST[:4]]["subject"]), text.get_content(), part.get_content()):
            assert CANARY not in said
        assert "đã hủy" not in found[FIRST[:4]]["subject"]


@pytest.mark.parametrize(("content", "told"), [(MeetingMail.TIMES, 0), (MeetingMail.FULL, 4)])
async def test_as_much_leaves_as_the_rule_says_and_nobody_else_is_named(sqlite_db, content, told):
    """C12: `times` says that there is a meeting and when; no mail names another attendee or has a link."""
    async with SmtpServer() as server:
        office = await Office(sqlite_db, server).open(content)
        await office.convened(**WORDS)
        found = await office.work()
        assert await office.cancel(0) == ""
        found += await office.work()
        assert len(found) == 4
        for to, message in found:
            parts = [part.get_content() for part in message.iter_parts()]
            whole = "\n".join([str(message["subject"]), *parts])
            assert sum(f"{CANARY} {word}" in whole for word in ("một", "hai", "ba", "bốn")) == told
            assert "http" not in whole
            assert "Người" not in whole
            assert not [who for who in (ORGANISER, CHAIR, FIRST, SECOND) if who[:4] not in to and who in whole]
        if content is MeetingMail.TIMES:
            assert CANARY.encode() not in server.received


async def test_nobody_is_written_to_who_did_not_ask_or_whose_agency_does_not_let_it(sqlite_db):
    async with SmtpServer() as server:
        office = await Office(sqlite_db, server).open(MeetingMail.OFF)
        await office.convened()
        assert await office.work() == []
        await office.rules("o1", mail=MeetingMail.TIMES)
        await office.wish(CHAIR, 0)
        await office.execute("UPDATE people SET state = 'left' WHERE id = $1", FIRST)
        await office.convened(attendees=(SECOND,))
        assert await office.work() == []
        # Asked for when it was called, and taken back before it was sent.
        await office.wish(CHAIR)
        await office.convened(attendees=(SECOND,))
        await office.rules("o1", mail=MeetingMail.OFF)
        assert await office.work() == []


async def test_a_server_that_is_away_is_tried_again_and_after_the_start_nothing_is_sent(sqlite_db):
    async with SmtpServer() as server:
        office = await Office(sqlite_db, server).open()
        server.answers["RCPT"] = b"451 later"
        await office.convened()
        job = (await office._claimed())[0]
        while job.kind != "meetings.mail":
            job = (await office._claimed())[0]
        # Behind it wait no documents and no pushes: a server that does not answer keeps a slot for as long as it takes to notice.
        assert job.lane is jobs.Lane.BULK
        context = jobs.Context(office.db, office.clock, job, job_queries.finish)
        with pytest.raises(jobs.Retry):
            await office.tasks.mail(job, context)
        server.answers["RCPT"] = b"550 nobody"
        await office.tasks.mail(job, context)
        row = await sqlite_db.fetch_one("SELECT state, outcome FROM meeting_mails WHERE state <> 'queued'")
        assert tuple(row) == ("unsent", "no-mailbox")
        server.answers.clear()
        office.clock.advance(49 * 3600)
        assert await office.work() == []
        assert server.mails == []


async def test_the_silent_are_asked_again_in_time_and_nobody_else(db):
    async with SmtpServer() as server:
        office = await Office(db, server).open(MeetingMail.OFF, remind_hours=24)
        await office.convened()
        assert await office.answer(FIRST, 0) == ""
        office.clock.advance(22 * 3600)
        await office.work()
        assert [row["kind"] for row in await office.notices()].count("meeting_reminder") == 0
        assert await office.change(0, place="Phòng B") == ""
        assert await office.answer(SECOND, 1) == ""
        office.clock.advance(2 * 3600 + 60)
        await office.work()
        told = [(row["person"], row["urgency"]) for row in await office.notices() if row["kind"] == "meeting_reminder"]
        # Less than 24 hours are left, so it is khẩn (MTG-5).
        assert sorted(told) == sorted([(CHAIR, 1), (FIRST, 1)])
        office.clock.advance(86_400)
        await office.work()
        assert len([row for row in await office.notices() if row["kind"] == "meeting_reminder"]) == 2


async def test_whom_a_chain_is_after_is_not_reminded_as_well(sqlite_db):
    async with SmtpServer() as server:
        office = await Office(sqlite_db, server).open(MeetingMail.OFF)
        await office.convened(urgency=3)
        await office.execute(
            "INSERT INTO escalations (notice, organisation, person, policy, position, state, started_us, next_us)"
            " SELECT id, organisation, person, '{}', 0, 'running', 1, 9999999999999999 FROM notices WHERE person = $1",
            CHAIR,
        )
        office.clock.advance(24 * 3600 + 60)
        await office.work()
        told = [row["person"] for row in await office.notices() if row["kind"] == "meeting_reminder"]
        assert sorted(told) == sorted([FIRST, SECOND])


async def test_short_notice_is_warned_of_and_the_meeting_is_called(sqlite_db):
    """MTG-2: by the working calendar, also where a change brings it nearer."""
    async with SmtpServer() as server:
        office = await Office(sqlite_db, server).open(notice_days=3)

        async def called(at):
            made = msgspec.json.decode(
                await office.service.convene(
                    STAFF, plan(starts_us=local_us(at), ends_us=local_us(at) + HOUR_US), None, once()
                )
            )
            return made["short_notice"]

        office.clock.advance((local_us("2026-11-23T09:00") - office.clock.now_us()) / 1e6)
        # Monday; the third working day after it is Thursday.
        assert await called("2026-11-25T14:00")
        assert not await called("2026-11-26T08:00")
        office.clock.advance(4 * 86_400)
        # Friday; the third working day after it is Wednesday.
        assert await called("2026-12-01T14:00")
        assert not await called("2026-12-02T08:00")
        await office.rules("o1", notice_days=0)
        assert not await called("2026-11-27T14:00")


@pytest.mark.parametrize(
    ("day", "number", "found"),
    [
        ("2026-11-23", 0, "2026-11-23"),
        ("2026-11-27", 1, "2026-11-30"),
        ("2026-12-31", 1, "2027-01-04"),
        ("2027-02-03", 1, "2027-02-04"),
    ],
)
async def test_working_days_are_counted_by_the_calendar(day, number, found):
    assert working_day_after(local_us(f"{day}T23:59"), number, Rules()).isoformat() == found
