"""Meetings on both engines: revisions grow by one, an answer counts for the newest alone, nothing is said after the start (MTG-5, MTG-6).

`TEST_ROUNDS` lengthens the race and the walk (`make soak`).

Longer than most: half of it is the race and the walk, with the model that judges both.
"""

import asyncio
import os
import secrets

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.db import migrate, open_database
from server.errors import Refused
from server.identity.model import Actor, Role
from server.identity.tokens import TokenKeys
from server.meetings import queries, service
from server.meetings.calendar import CalendarService
from server.meetings.model import HOUR_US, MINUTE_US, Answer, Details, MeetingState
from server.meetings.service import AnswerGiven, MeetingService
from server.once import Once
from tests.fakes.clock import FrozenClock

ROUNDS = int(os.environ.get("TEST_ROUNDS", "4"))
NOW = 1_795_000_020_000_000
ORGANISER, CHAIR, FIRST, SECOND, SPARE, STRANGER = (letter * 32 for letter in "abcdef")
STAFF = Actor("person", ORGANISER, "o1", frozenset({Role.STAFF}))


def person(id_, organisation="o1"):
    return Actor("person", id_, organisation, frozenset({Role.LEADER}))


def plan(**changes):
    values = {
        "title": "Họp giao ban", "place": "Phòng A", "starts_us": NOW + 48 * HOUR_US, "ends_us": NOW + 50 * HOUR_US, "chair": CHAIR,
        "attendees": (FIRST, SECOND), **changes,
    }  # fmt: skip
    return Details(**values)


def once(key=None):
    return Once(actor="x", route="r", key=key or secrets.token_urlsafe(16), request=b"", now_us=NOW)


async def seed(db):
    async def body(tx):
        for organisation in ("o1", "o2"):
            await tx.execute(
                "INSERT INTO organisations (id, code, name, created_us) VALUES ($1, $1, 'Xã Mẫu', 1)", organisation
            )
        for one in (ORGANISER, CHAIR, FIRST, SECOND, SPARE, STRANGER):
            await tx.execute(
                "INSERT INTO people (id, organisation, name, position, authority_line, state, locale, created_us) VALUES ($1, $2, $3, 'Chuyên viên', '', 'active', 'vi', 1)",
                one, "o2" if one == STRANGER else "o1", f"Người {one[0]}",
            )  # fmt: skip

    await db.transact(body)


class Room:
    """The service with what a test asks it again and again."""

    def __init__(self, db):
        self.db = db
        self.clock = FrozenClock(NOW)
        self.service = MeetingService(db, self.clock)
        self.id = ""

    async def convened(self, **changes):
        made = await self.service.convene(STAFF, plan(**changes), None, once())
        self.id = msgspec.json.decode(made)["id"]
        self.clock.advance(0.001)
        return self.id

    async def _done(self, call):
        code = await refusal(call)
        self.clock.advance(0.001)  # so that notices have an order
        return code

    async def change(self, sequence, **changes):
        return await self._done(self.service.change(STAFF, self.id, sequence, plan(**changes), once()))

    async def cancel(self, sequence):
        return await self._done(self.service.cancel(STAFF, self.id, sequence, "Lý do mẫu", once()))

    async def answer(self, who, sequence, what=Answer.ATTEND, substitute=None):
        given_ = AnswerGiven(sequence, what, "Bận" if what is Answer.DECLINE else "", substitute)
        return await self._done(self.service.answer(person(who), self.id, given_, once()))

    async def state(self):
        return await queries.load(self.db, self.id)

    async def on(self):
        """Who is on the list, and what counts of each answer."""
        sequence = (await self.state()).sequence
        rows = await queries.attendees(self.db, self.id)
        return {one.person: one.answer_for(sequence) for one in rows if one.last is None}

    async def notices(self, who=None):
        rows = await self.db.fetch_all(
            "SELECT person, kind, state, revision, urgency, expires_us, created_us FROM notices WHERE about = $1 ORDER BY created_us, id",
            f"meeting:{self.id}",
        )
        return [row for row in rows if who in {None, row["person"]}]


async def refusal(call):
    """The problem's code, or "" for what was done."""
    try:
        await call
    except Refused as refused:
        return refused.code
    return ""


@pytest.mark.asyncio
async def test_a_change_asks_everybody_again_and_only_the_last_of_several_shows(db):
    await seed(db)
    room = Room(db)
    await room.convened()
    assert await room.answer(FIRST, 0) == ""
    assert await room.on() == {CHAIR: "", FIRST: "attend", SECOND: ""}
    for sequence, place in enumerate(("Phòng B", "Phòng C", "Phòng D")):
        assert await room.change(sequence, place=place) == ""
    assert (await room.state()).sequence == 3
    assert set((await room.on()).values()) == {""}
    for who in (CHAIR, SECOND):
        told = [(row["kind"], row["revision"], row["state"]) for row in await room.notices(who)]
        assert sorted(told) == [
            ("meeting_changed", 2, "superseded"),
            ("meeting_changed", 3, "superseded"),
            ("meeting_changed", 4, "open"),
            ("meeting_invited", 1, "superseded"),
        ]
    # Before and after are told from what this person knew: the first answered for room A, the others saw room C last.
    seen = {who: (await room.service.show(person(who), room.id)).changes for who in (FIRST, SECOND)}
    assert [(one.before, one.after) for one in seen[FIRST]] == [("Phòng A", "Phòng D")]
    assert [(one.before, one.after) for one in seen[SECOND]] == [("Phòng C", "Phòng D")]
    assert await room.answer(FIRST, 3, Answer.DECLINE) == ""
    assert (await room.service.show(person(FIRST), room.id)).changes == []
    assert [row["state"] for row in await room.notices(FIRST)].count("open") == 0  # the answer settled it
    shown = await room.service.show(STAFF, room.id)
    assert shown.silent == 2
    assert (await queries.listing(db, STAFF, now_us=NOW, since_us=NOW, after=(-1, 0, ""), limit=5))[0]["id"] == room.id


@pytest.mark.asyncio
async def test_who_is_taken_off_keeps_his_last_revision_and_nobody_else_sees_the_meeting(db):
    await seed(db)
    room = Room(db)
    await room.convened()
    assert await room.change(0, attendees=(SECOND, SPARE), place="Phòng B", title="BIMAT") == ""
    gone = await room.service.show(person(FIRST), room.id)
    assert (gone.state, gone.details.place, gone.attendees[0].person) == ("withdrawn", "Phòng A", FIRST)
    assert len(gone.attendees) == 1
    assert await room.answer(FIRST, 1) == "not-found"
    kinds = {who: (await room.notices(who))[-1]["kind"] for who in (FIRST, SECOND, SPARE)}
    assert kinds == {FIRST: "meeting_withdrawn", SECOND: "meeting_changed", SPARE: "meeting_invited"}
    said = await db.fetch_all("SELECT person FROM notices WHERE headline = 'BIMAT' ORDER BY person")
    assert [row["person"] for row in said] == [CHAIR, SECOND, SPARE]
    for stranger in (
        person(STRANGER, "o2"), Actor("service", "s", "o1"), person(ORGANISER, "o2"), Actor("person", "9" * 32, "o1", frozenset(Role)),
    ):  # fmt: skip
        assert await refusal(room.service.show(stranger, room.id)) == "not-found"
    assert await refusal(room.service.managed(person(SECOND), room.id)) == "not-found"
    assert await room.change(1, attendees=(FIRST, SECOND)) == ""
    assert (await room.service.show(person(FIRST), room.id)).state == "planned"


@pytest.mark.asyncio
async def test_a_leader_of_another_organisation_is_a_guest_in_all_of_it(db, monkeypatch):
    """Invited, told and asked as his own organisation arranges it; its others see nothing, and he sees no more than an attendee (C1)."""
    await seed(db)
    aide, keeper = "7" * 32, "8" * 32

    async def neighbours(tx):
        for one in (aide, keeper):
            await tx.execute(
                "INSERT INTO people (id, organisation, name, position, authority_line, state, locale, created_us) VALUES ($1, 'o2', $2, 'Chuyên viên', '', 'active', 'vi', 1)",
                one, f"Người {one[0]}",
            )  # fmt: skip
        await tx.execute("UPDATE people SET name = 'Đặng Văn Mẫu', position = 'Chủ tịch' WHERE id = $1", STRANGER)
        for one, role in ((STRANGER, "leader"), (keeper, "clerk")):
            await tx.execute(
                "INSERT INTO roles (person, role, granted_by, granted_us) VALUES ($1, $2, 'x', 1)", one, role
            )

    await db.transact(neighbours)
    room = Room(db)
    assert await refusal(room.service.convene(STAFF, plan(attendees=(aide,)), None, once())) == "attendee-unknown"
    assert await refusal(room.service.convene(STAFF, plan(chair=STRANGER), None, once())) == "attendee-unknown"
    for words, count in (("dang van", 1), ("CHỦ TỊCH mẫu", 1), ("xa mau", 1), ("người 7", 0), ("Người c", 0)):
        assert len(await room.service.guests(STAFF, words)) == count, words
    # Each text is made plain once, however many words are asked for.
    plained, plain_ = [], service._plain
    monkeypatch.setattr(service, "_plain", lambda text: plained.append(text) or plain_(text))
    assert await room.service.guests(STAFF, "d v a n " * 10) != []
    assert len(plained) == 2
    await room.convened(attendees=(FIRST, STRANGER))
    guest, neighbour = person(STRANGER, "o2"), Actor("person", keeper, "o2", frozenset({Role.CLERK}))
    rows = await db.fetch_all("SELECT person, organisation, sender FROM notices ORDER BY person")
    assert {(row["person"], row["organisation"], row["sender"]) for row in rows} == {
        (CHAIR, "o1", ORGANISER),
        (FIRST, "o1", ORGANISER),
        (STRANGER, "o2", None),
    }
    seen = await room.service.show(guest, room.id)
    assert (bool(seen.row["managed"]), seen.organisation, seen.silent) == (False, "Xã Mẫu", None)
    assert {one.person: one.organisation for one in seen.attendees} == {CHAIR: "o1", FIRST: "o1", STRANGER: "o2"}
    assert [one.row["id"] for one in await room.service.listing(guest, after=(-1, 0, ""), limit=5)] == [room.id]
    for who in (neighbour, person(aide, "o2")):
        assert await refusal(room.service.show(who, room.id)) == "not-found"
    for deed in (room.service.managed(guest, room.id), room.service.managed(neighbour, room.id)):
        assert await refusal(deed) == "not-found"
    # His substitute is of his own body (MTG-6), who then attends as he would have.
    for chosen, code in ((SPARE, "answer-invalid"), (aide, "")):
        given_ = AnswerGiven(0, Answer.SUBSTITUTE, "", chosen)
        assert await refusal(room.service.answer(guest, room.id, given_, once())) == code
    assert await refusal(room.service.answer(person(aide, "o2"), room.id, AnswerGiven(0, Answer.ATTEND), once())) == ""
    assert await room.on() == {CHAIR: "", FIRST: "", STRANGER: "substitute", aide: "attend"}
    assert {row["state"] for row in await room.notices(STRANGER)} == {"settled"}
    assert (await room.service.show(STAFF, room.id)).silent == 2
    assert await room.change(0, attendees=(FIRST, STRANGER), place="Phòng B") == ""
    assert [row["kind"] for row in await room.notices(STRANGER)][-1] == "meeting_changed"
    _, everybody, told = await room.service.course(STAFF, room.id)
    assert told.keys() == {one.person for one in everybody}
    assert await room.change(1, attendees=(FIRST,), place="Phòng B") == ""
    gone = await room.service.show(guest, room.id)
    assert (gone.state, [one.person for one in gone.attendees]) == ("withdrawn", [STRANGER])
    changes = (await room.service.show(STAFF, room.id)).changes
    assert [(one.field, one.before) for one in changes] == [("attendees", "Đặng Văn Mẫu")]


@pytest.mark.asyncio
async def test_a_substitute_is_asked_himself_and_goes_with_whom_he_stands_for(db):
    await seed(db)
    room = Room(db)
    await room.convened()
    for chosen, why in (
        (FIRST, "himself"),
        (SECOND, "on the list"),
        (STRANGER, "another organisation"),
        (None, "none"),
    ):
        assert await room.answer(FIRST, 0, Answer.SUBSTITUTE, chosen) == "answer-invalid", why
    assert await room.answer(FIRST, 0, Answer.SUBSTITUTE, SPARE) == ""
    assert await room.on() == {CHAIR: "", FIRST: "substitute", SECOND: "", SPARE: ""}
    assert await room.answer(SPARE, 0, Answer.SUBSTITUTE, ORGANISER) == "answer-invalid"
    assert await room.answer(SPARE, 0, Answer.DECLINE) == ""
    assert (await room.on())[FIRST] == ""  # who sent him is asked again
    assert (await room.notices(FIRST))[-1]["kind"] == "meeting_reminder"
    assert await room.answer(FIRST, 0) == ""
    assert await room.answer(SPARE, 0, Answer.DECLINE) == ""
    assert (await room.on())[FIRST] == "attend"  # who comes himself by now is not asked again
    assert await room.answer(FIRST, 0, Answer.SUBSTITUTE, ORGANISER) == ""
    assert await room.answer(FIRST, 0) == ""
    assert ORGANISER not in await room.on()
    assert await room.answer(FIRST, 0, Answer.SUBSTITUTE, ORGANISER) == ""
    assert await room.change(0, place="Phòng B") == ""
    assert set((await room.on()).values()) == {""}
    assert ORGANISER in await room.on()
    assert await room.change(1, attendees=(SECOND,)) == ""
    assert (await room.on()).keys() == {CHAIR, SECOND}


@pytest.mark.asyncio
async def test_conflicts_are_the_same_person_at_overlapping_times(db):
    await seed(db)
    room = Room(db)
    await room.convened(attendees=(FIRST,))
    other = await room.convened(attendees=(SECOND,), starts_us=NOW + 49 * HOUR_US, ends_us=NOW + 51 * HOUR_US)
    await room.convened(attendees=(FIRST, SECOND), starts_us=NOW + 50 * HOUR_US, ends_us=NOW + 52 * HOUR_US)
    found = (await room.service.show(STAFF, room.id)).conflicts
    assert [(one.person, one.meeting) for one in found] == [(CHAIR, None), (SECOND, None)]
    own = (await room.service.show(person(SECOND), room.id)).conflicts
    assert [(one.meeting, one.title) for one in own] == [(other, "Họp giao ban")]
    last, room.id = room.id, other
    assert await room.answer(SECOND, 0, Answer.DECLINE) == ""
    assert (await room.service.show(person(SECOND), last)).conflicts == []
    assert await room.cancel(0) == ""
    assert (await room.service.show(STAFF, last)).conflicts == []


@pytest.mark.asyncio
async def test_of_changes_at_once_one_is_made_and_an_answer_counts_for_what_it_answered(db):
    await seed(db)
    room = Room(db)
    for round_ in range(ROUNDS):
        await room.convened(title=f"Họp {round_}")
        done = await asyncio.gather(
            room.answer(FIRST, 0), *(room.change(0, place=f"Phòng {one}") for one in range(6)), room.cancel(0), room.answer(SECOND, 0)
        )  # fmt: skip
        changes = [done[1:-1].count(code) for code in ("", "meeting-changed", "meeting-over")]
        assert changes[0] == 1
        assert sum(changes) == 7
        state = await room.state()
        assert state.sequence == 1
        for answer in (done[0], done[-1]):
            assert answer in {"", "meeting-changed", "meeting-over"}
        assert set((await room.on()).values()) == {""}  # the answers were for revision 0, whenever they came
        rows = await db.fetch_all(
            "SELECT sequence FROM meeting_revisions WHERE meeting = $1 ORDER BY sequence", room.id
        )
        assert [row["sequence"] for row in rows] == [0, 1]
        open_ = [row for row in await room.notices() if row["state"] == "open"]
        assert [row["revision"] for row in open_] == [2, 2, 2]  # nobody is told of two places, nobody of the old one


@pytest.mark.asyncio
async def test_the_same_request_again_is_one_meeting(db):
    await seed(db)
    room = Room(db)
    keys = [once("k" * 16) for _ in range(5)]
    answers = await asyncio.gather(*(room.service.convene(STAFF, plan(), None, one) for one in keys))
    assert len(set(answers)) == 1
    assert (await db.fetch_one("SELECT count(*) AS n FROM meetings"))["n"] == 1


@pytest.mark.asyncio
async def test_lists_papers_courses_and_calendars(db):
    await seed(db)
    room = Room(db)
    await room.convened()
    first = room.id
    await room.convened(attendees=(FIRST,), title="Họp hai", starts_us=NOW + 24 * HOUR_US, ends_us=NOW + 25 * HOUR_US)
    assert await room.answer(FIRST, 0) == ""
    listed = await room.service.listing(STAFF, after=(-1, 0, ""), limit=10)
    assert [(one.row["id"], one.silent) for one in listed] == [(room.id, 1), (first, 3)]
    own = await room.service.listing(person(FIRST), after=(0, NOW + 24 * HOUR_US, room.id), limit=10)
    assert [(one.row["id"], one.silent, one.answer) for one in own] == [(first, None, "")]
    paper = {"id_": "p" * 32, "meeting": first, "digest": "d" * 64, "size": 7, "pages": 1, "now_us": NOW}
    await db.transact(lambda tx: queries.insert_paper(tx, name="Báo cáo", **paper))
    new = await db.transact(lambda tx: queries.replace_paper(tx, name="Báo cáo sửa", **paper))
    assert new["version"] == 2
    assert await db.transact(lambda tx: queries.replace_paper(tx, name="x", **paper | {"meeting": room.id})) is None
    assert [(one["name"], one["version"]) for one in await queries.papers(db, first)] == [("Báo cáo sửa", 2)]
    _, attendees, told = await room.service.course(STAFF, room.id)
    assert [one.person for one in attendees] == [CHAIR, FIRST]
    assert told.keys() == {CHAIR, FIRST}
    calendars = CalendarService(db, room.clock, TokenKeys([b"k" * 32]), "https://hoatoc.example")
    key = once("k" * 16)
    urls = [await calendars.open(person(FIRST), key) for _ in range(2)]
    assert urls[0] == urls[1]
    feed = await calendars.feed(urls[0].rpartition("/")[2])
    assert [feed.count(word) for word in (b"BEGIN:VEVENT", b"STATUS:CONFIRMED", b"METHOD:PUBLISH")] == [2, 2, 1]
    assert (await calendars.standing(person(FIRST)))["fetched_us"] == room.clock.now_us()
    assert await calendars.standing(person(SECOND)) is None
    await db.transact(lambda tx: tx.execute("UPDATE people SET state = 'left' WHERE id = $1", FIRST))
    assert await refusal(calendars.feed(urls[0].rpartition("/")[2])) == "not-found"


# -- The state machine --------------------------------------------------------------------------------------------------------

_SEQUENCES = st.integers(0, 6)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), _SEQUENCES, st.sampled_from(["Phòng A", "Phòng B", "Phòng C"]), st.integers(1, 60)),
        st.tuples(st.just("answer"), _SEQUENCES, st.sampled_from([FIRST, SECOND, SPARE]), st.sampled_from(list(Answer))),
        st.tuples(st.just("cancel"), _SEQUENCES),
        st.tuples(st.just("wait"), st.integers(1, 30 * 3600)),
    ),
    min_size=4,
    max_size=14,
)  # fmt: skip


async def walk(room, steps):
    """Do the steps and hold the store to a model of five lines: sequence, start, cancelled, answers of the newest revision."""
    await room.convened()
    sequence, starts_us, place, cancelled, answers = 0, NOW + 48 * HOUR_US, "Phòng A", False, {}
    listed = {CHAIR, FIRST, SECOND}
    for step in steps:
        over = cancelled or room.clock.now_us() >= starts_us
        before = len(await room.notices())
        match step:
            case "wait", seconds:
                room.clock.advance(seconds)
                continue
            case "change", at, where, hours:
                now_us = room.clock.now_us()
                new = (now_us + hours * HOUR_US) // MINUTE_US * MINUTE_US
                code = await room.change(at, place=where, starts_us=new, ends_us=new + HOUR_US)
                expected = "meeting-over" if over else "meeting-changed" if at != sequence else ""
                if not expected and (where, new) == (place, starts_us):
                    expected = "invalid-request"
                if code == "":
                    left_us = min(starts_us, new) - now_us
                    sequence, starts_us, place, answers = sequence + 1, new, where, {}
                    grade = (await room.notices())[-1]["urgency"]
                    assert grade == (3 if left_us < 4 * HOUR_US else 1 if left_us < 24 * HOUR_US else 0)
            case "cancel", at:
                code = await room.cancel(at)
                expected = "meeting-over" if over else "meeting-changed" if at != sequence else ""
                if code == "":
                    sequence, cancelled, answers = sequence + 1, True, {}
            case "answer", at, who, what:
                substitute = SPARE if what is Answer.SUBSTITUTE else None
                code = await room.answer(who, at, what, substitute)
                on = who in listed or SPARE in await room.on()
                expected = (
                    "not-found" if not on else "meeting-over" if over else "meeting-changed" if at != sequence else None
                )
                if code == "" and what is not Answer.SUBSTITUTE and who is not SPARE:
                    answers[who] = what
                elif code == "":
                    answers.pop(who, None)
                    continue  # what a substitute does has a test of its own; here it must only keep the invariants below
        if expected is not None:
            assert code == expected, step
        state = await room.state()
        assert (state.sequence, state.starts_us, state.state is MeetingState.CANCELLED) == (
            sequence,
            starts_us,
            cancelled,
        )
        counted = await room.on()
        assert set(counted) >= listed
        if over or code:
            assert len(await room.notices()) == before, (
                "something was told although nothing was done, or after the start"
            )
        for who, what in answers.items():
            assert counted[who] in {what, Answer.NONE}
    for row in await room.notices():
        assert row["created_us"] < row["expires_us"]
    rows = await room.db.fetch_all(
        "SELECT sequence FROM meeting_revisions WHERE meeting = $1 ORDER BY sequence", room.id
    )
    assert [row["sequence"] for row in rows] == list(range(sequence + 1))


@settings(max_examples=6 * ROUNDS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_any_order_of_deeds_keeps_the_rules(tmp_path_factory, steps):
    async def run():
        path = tmp_path_factory.mktemp("walk") / "walk.db"
        db = await open_database(f"sqlite://{path}")
        try:
            await migrate(db)
            await seed(db)
            await walk(Room(db), steps)
        finally:
            await db.close()

    asyncio.run(run())
