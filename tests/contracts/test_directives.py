"""Directions on both engines: reports count for the newest revision, of things at once one is done, one tree over organisations (TIM-6, EXC-6, C1).

`TEST_ROUNDS` lengthens the races and the walk (`make soak`).
"""

import asyncio
import datetime as dt
import hashlib
import os
import secrets
import shutil

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.arrivals import queries as arrivals
from server.arrivals.model import Kind, State, unknown_of
from server.arrivals.service import ArrivalService
from server.db import migrate, open_database
from server.directives import queries
from server.directives.model import DirectiveState, Order, Report, WorkState
from server.directives.service import About, DirectiveService
from server.directives.tasks import DirectiveTasks
from server.errors import Refused
from server.exchange.model import Organisation, ResponseFor, StatusPacket
from server.identity.model import Actor, Role
from server.notices.calendar import local_us
from server.once import Once
from server.preservation.course import directions
from server.preservation.queries import record_directions, record_events
from tests.fakes.clock import FrozenClock

ROUNDS = int(os.environ.get("TEST_ROUNDS", "4"))
NOW = local_us("2026-11-23T09:00")  # a Monday
UPPER, UNIT, LOWER, OTHER = (letter * 32 for letter in ("1", "2", "3", "4"))
LEADER, FIRST, SECOND, CLERK, UNIT_HEAD, UNIT_CLERK, UNIT_STAFF, LOWER_HEAD, STRANGER, SECOND_LEADER = (
    letter * 32 for letter in "abcdef5678"
)
PEOPLE = {
    LEADER: (UPPER, Role.LEADER), SECOND_LEADER: (UPPER, Role.LEADER), FIRST: (UPPER, Role.STAFF), SECOND: (UPPER, Role.STAFF), CLERK: (UPPER, Role.CLERK),
    UNIT_HEAD: (UNIT, Role.LEADER), UNIT_CLERK: (UNIT, Role.CLERK), UNIT_STAFF: (UNIT, Role.STAFF), LOWER_HEAD: (LOWER, Role.LEADER),
    STRANGER: (OTHER, Role.LEADER),
}  # fmt: skip
ARRIVAL = "9" * 32
_FILE = "INSERT INTO arrival_files (arrival, position, name, content_type, digest, size, pdf, findings) VALUES ($1, 1, 'a.pdf', 'application/pdf', 'd', 1, 1, '[]')"


def actor(person):
    organisation, role = PEOPLE[person]
    return Actor("person", person, organisation, frozenset({role}))


def once(key=None):
    return Once(actor="x", route="r", key=key or secrets.token_urlsafe(16), request=b"", now_us=NOW)


async def seed(db):
    status = StatusPacket(
        sender=Organisation(organ_id="X09", name="Bộ Mẫu"), response_for=ResponseFor(organ_id="X01", document_id="X09,2026/11/20,57/CV-CQM", code="57/CV-CQM", promulgated=dt.date(2026, 11, 20)),
        status="13", at_us=NOW,
    )  # fmt: skip
    row = msgspec.structs.replace(
        unknown_of(UPPER, status), id=ARRIVAL, kind=Kind.NEW, state=State.REGISTERED, subject="Về việc BIMAT", urgency=1, arrival_year=2026, arrival_number=1
    )  # fmt: skip

    async def body(tx):
        for id_, code, parent in (
            (UPPER, "X01", None),
            (UNIT, "X02", UPPER),
            (LOWER, "X03", UNIT),
            (OTHER, "X04", None),
        ):
            await tx.execute(
                "INSERT INTO organisations (id, code, name, parent, created_us) VALUES ($1, $2, $3, $4, 1)",
                id_,
                code,
                f"Cơ quan {code}",
                parent,
            )
        for person, (organisation, role) in PEOPLE.items():
            await tx.execute(
                "INSERT INTO people (id, organisation, name, position, authority_line, state, locale, created_us) VALUES ($1, $2, $3, 'Chuyên viên', '', 'active', 'vi', 1)",
                person, organisation, f"Người {person[0]}",
            )  # fmt: skip
            await tx.execute(
                "INSERT INTO roles (person, role, granted_by, granted_us) VALUES ($1, $2, 'x', 1)", person, role.value
            )
        assert await arrivals.insert(tx, row)

    await db.transact(body)


async def refusal(call):
    """The problem's code, or "" for what was done."""
    try:
        await call
    except Refused as refused:
        return refused.code
    return ""


class Room:
    """The service with what a test asks it again and again. `id` is the direction on the arrival."""

    def __init__(self, db):
        self.db = db
        self.clock = FrozenClock(NOW)
        service = ArrivalService(db, None, None, self.clock, max_pages=10)
        self.service = DirectiveService(db, None, service, None, None, None, self.clock, max_pages=10)
        self.tasks = DirectiveTasks(self.service, db, self.clock)
        self.id = ""

    async def give(self, by=LEADER, lead=FIRST, coordinators=(SECOND,), above=None, **order):
        about = About(above=above) if above else About(arrival=ARRIVAL)
        wanted = Order(
            **{"text": "Tham mưu trả lời", "due_date": "2026-11-27", **order}, lead=lead, coordinators=coordinators
        )
        made = msgspec.json.decode(await self.service.give(actor(by), about, wanted, once()))
        self.clock.advance(0.001)
        self.id = self.id or made["id"]
        return made["id"]

    async def change(
        self,
        sequence,
        *,
        lead=FIRST,
        coordinators=(SECOND,),
        text="Tham mưu trả lời",
        due_date="2026-11-27",
        by=LEADER,
        id_=None,
    ):
        wanted = Order(text=text, lead=lead, coordinators=coordinators, due_date=due_date)
        return await self._done(self.service.change(actor(by), id_ or self.id, sequence, wanted, once()))

    async def report(self, who, state=WorkState.IN_WORK, *, sequence=0, progress=None, word="", id_=None):
        given_ = Report(sequence, state, progress, word)
        return await self._done(self.service.report(actor(who), id_ or self.id, given_, once()))

    async def complete(self, who, *, sequence=0, id_=None):
        return await self.report(who, WorkState.COMPLETED, sequence=sequence, word="Đã xong", id_=id_)

    async def withdraw(self, sequence=0, *, by=LEADER, id_=None):
        return await self._done(self.service.withdraw(actor(by), id_ or self.id, sequence, "Giao lại", once()))

    async def _done(self, call):
        code = await refusal(call)
        self.clock.advance(0.001)  # so that notices have an order
        return code

    async def state(self, id_=None):
        return (await queries.load(self.db, id_ or self.id)).state

    async def places(self, id_=None):
        return {one.assignee: one.state.value for one in await queries.assignees(self.db, id_ or self.id)}

    async def told(self, who, about=None):
        """Kinds and states of what this person was told, in order."""
        rows = await self.db.fetch_all(
            "SELECT kind, state, about FROM notices WHERE person = $1 ORDER BY created_us, id", who
        )
        return [(row["kind"], row["state"]) for row in rows if about in {None, row["about"]}]

    async def statuses(self):
        """What the sender of the arrival is told, in the order in which it is sent."""
        rows = await self.db.fetch_all("SELECT what FROM outgoing_messages WHERE subject = $1 ORDER BY id", ARRIVAL)
        return [row["what"] for row in rows]

    async def tree(self, who, id_=None):
        shown = await self.service.show(actor(who), id_ or self.id)
        return [(one.depth, one.kind, one.name, one.state, one.progress, one.word) for one in shown.lines]


@pytest.mark.asyncio
async def test_from_the_order_over_progress_to_completion_each_is_told(db):
    await seed(db)
    room = Room(db)
    await room.give()
    assert await room.statuses() == ["04"]
    assert await room.told(FIRST) == await room.told(SECOND) == [("directed", "open")]
    assert await room.report(SECOND, progress=40, word="Đã có dự thảo") == ""
    assert await room.statuses() == ["04", "05"]
    assert await room.told(SECOND) == [("directed", "settled")]
    assert await room.told(LEADER) == [("directive_reported", "open")]
    assert (await room.told(FIRST))[-1] == ("directive_reported", "open")
    assert await room.report(FIRST) == "invalid-request"
    assert await room.report(STRANGER, progress=1) == await room.report(LEADER, progress=1) == "not-found"
    assert await room.complete(FIRST) == ""
    assert await room.statuses() == ["04", "05", "06"]
    assert await room.state() is DirectiveState.COMPLETED
    assert await room.places() == {FIRST: "completed", SECOND: "ended"}
    assert len((await room.service.show(actor(SECOND), room.id)).entries) == 3  # and reads on what came of it
    assert (await room.told(LEADER))[-1] == ("directive_completed", "open")
    assert (await room.told(SECOND))[-1] == ("directive_completed", "open")
    for code in (
        await room.complete(FIRST),
        await room.complete(SECOND),
        await room.change(0, text="Khác"),
        await room.withdraw(),
    ):
        assert code == "directive-over"
    again = await room.give()  # a further order on the same arrival: what its sender was told is not taken back
    assert await room.withdraw(id_=again) == ""
    assert await room.statuses() == ["04", "05", "06"]
    kinds = [row["kind"] for row in await queries.entries(db, room.id)]
    assert kinds == ["completed", "in_work", "given"]
    events = await db.fetch_all("SELECT kind, body FROM audit_events WHERE subject = $1 ORDER BY id", room.id)
    assert [row["kind"] for row in events] == ["directive.given", "directive.in_work", "directive.completed"]
    bodies = [msgspec.json.decode(row["body"]) for row in events]
    texts = ("Tham mưu trả lời", "Đã có dự thảo", "Đã xong")
    assert [one["text"] for one in bodies] == [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    assert not [row for row in events if "dự thảo" in bytes(row["body"]).decode()]


@pytest.mark.asyncio
async def test_a_report_counts_for_the_newest_revision_and_another_text_asks_again(db):
    await seed(db)
    room = Room(db)
    await room.give()
    assert await room.complete(SECOND) == ""
    assert await room.change(0) == "invalid-request"
    assert await room.change(0, due_date="2026-11-30") == ""
    assert await room.places() == {FIRST: "assigned", SECOND: "completed"}  # more time asks nobody again
    assert await room.report(FIRST, progress=10) == "directive-changed"
    assert await room.change(0, text="Báo cáo Ủy ban") == "directive-changed"
    assert await room.change(1, text="Báo cáo Ủy ban", due_date="2026-11-30") == ""
    assert await room.places() == {FIRST: "assigned", SECOND: "in_work"}
    assert (await room.told(SECOND))[-1] == ("directive_changed", "open")
    assert await room.report(FIRST, sequence=2, progress=10) == ""
    below = await room.give(by=FIRST, lead=CLERK, coordinators=(), above=room.id)
    assert await room.change(2, lead=SECOND, coordinators=(), text="Báo cáo Ủy ban", due_date="2026-11-30") == ""
    assert await room.places() == {FIRST: "released", SECOND: "in_work"}
    assert await room.state(below) is DirectiveState.WITHDRAWN
    assert (await room.told(FIRST))[-1] == (await room.told(CLERK))[-1] == ("directive_withdrawn", "open")
    gone = await room.service.show(actor(FIRST), room.id)
    assert [(one.name, one.state) for one in gone.lines] == [("Người b", "released")]
    assert (gone.entries, gone.files) == ([], [])
    assert await room.report(FIRST, sequence=3, progress=10) == "directive-over"
    assert await refusal(room.service.file(actor(FIRST), room.id, 1)) == "not-found"
    assert await room.complete(SECOND, sequence=3) == ""
    assert await room.state() is DirectiveState.COMPLETED


@pytest.mark.asyncio
async def test_orders_that_no_rule_allows_are_refused(db):
    await seed(db)
    room = Room(db)
    for wrong in (
        {"lead": STRANGER},
        {"lead": LEADER},
        {"lead": OTHER},
        {"lead": UPPER},
        {"coordinators": (UNIT_STAFF,)},
    ):
        assert await refusal(room.give(**wrong)) == "assignee-unknown", wrong
    await db.transact(
        lambda tx: tx.execute("UPDATE roles SET role = 'administrator' WHERE person IN ($1, $2)", LOWER_HEAD, SECOND)
    )
    for wrong in ({"lead": LOWER, "coordinators": ()}, {"coordinators": (SECOND,)}):  # nobody would hear of it
        assert await refusal(room.give(**wrong)) == "assignee-unknown", wrong
    await db.transact(lambda tx: tx.execute("UPDATE roles SET role = 'staff' WHERE person = $1", SECOND))
    for wrong in (
        {"text": "\u202e "},
        {"due_date": "2026-11-22"},
        {"due_date": "2026-02-30"},
        {"due_date": "2036-01-01"},
    ):
        assert await refusal(room.give(**wrong)) == "invalid-request", wrong
    assert await refusal(room.give(by=FIRST)) == "forbidden"
    assert await refusal(room.give(by=STRANGER, lead=FIRST)) == "not-found"
    await db.transact(lambda tx: tx.execute("UPDATE arrivals SET state = 'replaced'"))
    assert await refusal(room.give()) == "conflict"
    await db.transact(lambda tx: tx.execute("UPDATE arrivals SET state = 'registered'"))
    await room.give()
    assert (
        await refusal(room.give(by=FIRST, lead=CLERK, coordinators=(), above=room.id, due_date="2026-11-28"))
        == "invalid-request"
    )
    assert await refusal(room.give(by=SECOND_LEADER, lead=CLERK, coordinators=(), above=room.id)) == "not-found"


@pytest.mark.asyncio
async def test_one_tree_over_organisations_shows_of_others_their_own_line_alone(db):
    """C1: what a unit directs inside is its own; what it directs to units below it stands under it."""
    await seed(db)
    room = Room(db)
    await room.give(lead=UNIT, coordinators=(FIRST,))
    assert [await room.told(one) for one in (UNIT_HEAD, UNIT_CLERK)] == [[("directed", "open")]] * 2
    assert await room.told(UNIT_STAFF) == []
    inner = await room.give(
        by=UNIT_CLERK, lead=UNIT_STAFF, coordinators=(LOWER,), above=room.id, text="Nội bộ BIMAT-UNIT"
    )
    assert await room.statuses() == ["04", "05"]  # who directs onwards has begun
    assert (
        await room.told(UNIT_HEAD) == await room.told(UNIT_CLERK) == [("directed", "settled")]
    )  # one answers for the unit
    assert await room.report(LOWER_HEAD, progress=30, word="Đang rà soát", id_=inner) == ""
    assert await room.complete(UNIT_HEAD) == "directive-open-below"
    assert await room.tree(LEADER) == [
        (0, "unit", "Cơ quan X02", "in_work", 0, ""),
        (1, "unit", "Cơ quan X03", "in_work", 30, "Đang rà soát"),
        (0, "person", "Người b", "assigned", 0, ""),
    ]
    assert await room.tree(UNIT_HEAD) == [
        (0, "unit", "Cơ quan X02", "in_work", 0, ""),
        (1, "person", "Người 5", "assigned", 0, ""),
        (1, "unit", "Cơ quan X03", "in_work", 30, "Đang rà soát"),
    ]
    assert [line[2] for line in await room.tree(FIRST)] == ["Cơ quan X02", "Người b"]
    assert await room.tree(LOWER_HEAD, inner) == [(0, "unit", "Cơ quan X03", "in_work", 30, "Đang rà soát")]
    for who in (STRANGER, SECOND_LEADER, UNIT_STAFF, LOWER_HEAD, SECOND):
        assert await refusal(room.service.show(actor(who), room.id)) == "not-found", who
    for who in (LEADER, CLERK, FIRST, STRANGER):
        assert await refusal(room.service.show(actor(who), inner)) == "not-found", who
    seen = await room.service.show(actor(LEADER), room.id)
    assert "BIMAT-UNIT" not in str([seen.lines, seen.entries])
    assert await room.complete(UNIT_STAFF, id_=inner) == ""
    assert await room.complete(UNIT_HEAD) == ""
    assert await room.statuses() == ["04", "05", "06"]
    # People of another organisation are not named to the sender.
    packets = await db.fetch_all("SELECT packet FROM outgoing_messages ORDER BY id")
    assert [b"Ng\xc6\xb0\xe1\xbb\x9di a" in bytes(row["packet"]) for row in packets] == [True, False, False]
    mine = await room.service.listing(actor(UNIT_CLERK), "mine", after=(-1, "", ""), limit=10)
    assert [(row["directive"], row["state"]) for row in mine] == [(room.id, "completed")]
    assert await room.service.listing(actor(STRANGER), "mine", after=(-1, "", ""), limit=10) == []


@pytest.mark.asyncio
async def test_who_has_not_finished_is_reminded_before_and_told_after_the_deadline_once_each(db):
    """NOT-1, TIM-7: on the working day before, and on the next working day after."""
    await seed(db)
    room = Room(db)
    await room.give()  # Monday, to Friday the 27th
    about = f"order:{room.id}:due"
    assert await room.complete(SECOND) == ""

    async def at(moment):
        room.clock.advance((local_us(moment) - room.clock.now_us()) / 1e6)
        return await room.tasks.look()

    assert await at("2026-11-25T16:00") == 0
    assert [await at("2026-11-26T07:31"), await at("2026-11-27T23:00")] == [1, 0]
    assert await room.told(FIRST, about) == [("directive_near", "open")]
    assert (await room.service.show(actor(LEADER), room.id)).days_late == 0
    assert await at("2026-11-29T10:00") == 0  # a Sunday
    assert (await room.service.show(actor(LEADER), room.id)).days_late == 2
    late = await room.service.listing(actor(LEADER), "late", after=(-1, "", ""), limit=10)
    assert [row["assignee"] for row in late] == [FIRST]
    assert [await at("2026-11-30T07:30"), await at("2026-12-01T07:30")] == [1, 0]
    assert await room.told(FIRST, about) == [("directive_near", "superseded"), ("directive_late", "open")]
    assert await room.told(LEADER, about) == [("directive_late", "open")]
    assert await room.told(SECOND, about) == []
    assert await room.change(0, due_date="2026-11-26") == "invalid-request"
    assert await room.change(0, due_date="2026-12-04") == ""
    assert [state for _, state in await room.told(FIRST, about)] == ["superseded", "withdrawn"]
    assert [state for _, state in await room.told(LEADER, about)] == ["settled"]
    assert await room.service.listing(actor(FIRST), "late", after=(-1, "", ""), limit=10) == []
    assert await at("2026-12-03T08:00") == 1
    assert await room.complete(FIRST, sequence=1) == ""
    assert await room.told(FIRST, about) == [
        ("directive_near", "superseded"),
        ("directive_late", "withdrawn"),
        ("directive_near", "settled"),
    ]
    assert await at("2026-12-10T08:00") == 0
    rows = await db.fetch_all("SELECT kind FROM audit_events WHERE subject = $1 AND kind = 'directive.late'", room.id)
    assert len(rows) == 1


@pytest.mark.asyncio
async def test_who_was_taken_off_reads_no_more_through_what_he_passed_on(db):
    """C1: a unit that was taken off keeps its own direction, and not the text of the one above."""
    await seed(db)
    room = Room(db)
    await db.transact(lambda tx: tx.execute(_FILE, ARRIVAL))
    await room.give(lead=FIRST, coordinators=(UNIT,))
    inner = await room.give(by=UNIT_HEAD, lead=UNIT_STAFF, coordinators=(), above=room.id)
    deep = await room.give(by=UNIT_STAFF, lead=UNIT_CLERK, coordinators=(), above=inner)
    for who, id_ in ((UNIT_HEAD, inner), (UNIT_CLERK, inner), (UNIT_STAFF, deep)):
        assert (await room.service.file(actor(who), id_, 1)).name == "a.pdf"
    assert await room.change(0, coordinators=(SECOND,)) == ""
    for who, id_ in ((UNIT_HEAD, inner), (UNIT_CLERK, inner), (UNIT_STAFF, inner), (UNIT_STAFF, deep)):
        assert await refusal(room.service.file(actor(who), id_, 1)) == "not-found", who
        assert (await room.service.show(actor(who), id_)).files == []
    assert (await room.service.file(actor(LEADER), room.id, 1)).name == "a.pdf"


@pytest.mark.asyncio
async def test_what_was_directed_on_a_recalled_text_ends_and_shows_it_no_more(db):
    """EXC-5."""
    await seed(db)
    room = Room(db)
    await room.give(lead=UNIT, coordinators=())
    inner = await room.give(by=UNIT_HEAD, lead=UNIT_STAFF, coordinators=(), above=room.id)
    await db.transact(lambda tx: tx.execute(_FILE, ARRIVAL))
    assert (await room.service.file(actor(UNIT_STAFF), inner, 1)).name == "a.pdf"
    await db.transact(lambda tx: tx.execute("UPDATE arrivals SET state = 'recalled'"))
    assert await refusal(room.service.file(actor(UNIT_STAFF), inner, 1)) == "not-found"
    await room.tasks.look()
    assert [await room.state(), await room.state(inner)] == [DirectiveState.WITHDRAWN] * 2
    for who in (UNIT_STAFF, UNIT_HEAD, LEADER):
        assert (await room.told(who))[-1] == ("directive_withdrawn", "open"), who
    assert await room.statuses() == ["04", "05"]


@pytest.mark.asyncio
async def test_what_is_late_is_given_to_somebody_else_without_more_time(db):
    await seed(db)
    room = Room(db)
    await room.give()
    room.clock.advance(7 * 86_400)
    assert await room.change(0, lead=SECOND, coordinators=()) == ""
    assert (await queries.load(db, room.id)).due_date == "2026-11-27"
    assert await room.places() == {FIRST: "released", SECOND: "assigned"}


@pytest.mark.asyncio
async def test_the_record_of_an_arrival_has_what_was_directed_in_its_own_agency(db):
    """REC-1; what a unit directed inside is in nobody else's (C1). The log has the digest of each text."""
    await seed(db)
    room = Room(db)
    await room.give(lead=FIRST, coordinators=(UNIT,))
    await room.give(by=FIRST, lead=CLERK, coordinators=(), above=room.id, text="Đôn đốc")
    await room.give(by=UNIT_HEAD, lead=UNIT_STAFF, coordinators=(), above=room.id, text="Nội bộ")
    assert await room.report(UNIT_CLERK, progress=50, word="Được một nửa") == ""
    said = directions(await record_directions(db, UPPER, ARRIVAL))
    assert [(one["kind"], one["by"], one["assignee"], one["text"]) for one in said] == [
        ("given", "Người a", "", "Tham mưu trả lời"), ("given", "Người b", "", "Đôn đốc"), ("in_work", "", "Cơ quan X02", "Được một nửa"),
    ]  # fmt: skip
    events = [row for row in await record_events(db, UPPER, ARRIVAL) if row["kind"].startswith("directive.")]
    digests = [hashlib.sha256(one["text"].encode()).hexdigest() for one in said]
    assert [msgspec.json.decode(row["body"])["text"] for row in events] == digests


@pytest.mark.asyncio
async def test_a_tree_ends_downwards_and_sideways(db, monkeypatch):
    """Two people who hand it to and fro make no tree that cannot be shown or ended."""
    await seed(db)
    room = Room(db)
    above, turn = await room.give(coordinators=()), [FIRST, SECOND]
    for _ in range(15):
        above = await room.give(by=turn[0], lead=turn[1], coordinators=(), above=above)
        turn.reverse()
    code = "invalid-request"
    assert await refusal(room.give(by=turn[0], lead=turn[1], coordinators=(), above=above)) == code
    monkeypatch.setattr("server.directives.service._MOST_LINES", 17)
    assert await refusal(room.give(by=FIRST, lead=CLERK, coordinators=(SECOND,), above=room.id)) == code
    assert await refusal(room.give(by=FIRST, lead=CLERK, coordinators=(), above=room.id)) == ""
    assert await room.withdraw() == ""
    assert await room.state(above) is DirectiveState.WITHDRAWN


@pytest.mark.asyncio
async def test_one_tree_that_cannot_end_keeps_no_other_and_no_reminder_back(db, monkeypatch):
    await seed(db)
    room = Room(db)
    await room.give()
    other = await room.give()
    await db.transact(lambda tx: tx.execute("UPDATE arrivals SET state = 'recalled'"))
    ended = room.service.recalled

    async def recalled(directive):
        if directive == room.id:
            raise RuntimeError("broken")
        await ended(directive)

    monkeypatch.setattr(room.service, "recalled", recalled)
    await room.tasks.look()
    assert [await room.state(), await room.state(other)] == [DirectiveState.OPEN, DirectiveState.WITHDRAWN]


@pytest.mark.asyncio
async def test_of_completions_and_changes_at_once_one_is_done(db):
    await seed(db)
    room = Room(db)
    for round_ in range(ROUNDS):
        room.id = ""
        await room.give(lead=UNIT, coordinators=(FIRST,), text=f"Việc {round_}")
        change = {"lead": UNIT, "coordinators": (FIRST,)}
        done = await asyncio.gather(
            room.complete(UNIT_HEAD), room.complete(UNIT_CLERK), room.change(0, text="Một", **change), room.change(0, text="Hai", **change)
        )  # fmt: skip
        assert set(done) <= {"", "directive-changed", "directive-over"}
        row = await queries.load(db, room.id)
        completions, changes = done[:2].count(""), done[2:].count("")
        # Whichever came first: a completion ends it before any change, a change makes the completions be for what is no more asked.
        assert (completions, changes) in {(1, 0), (0, 1)}
        assert (row.state is DirectiveState.COMPLETED, row.sequence) == (completions == 1, changes)
        kinds = [one["kind"] for one in await queries.entries(db, room.id)]
        assert kinds.count("completed") == completions
        below = await asyncio.gather(
            refusal(room.give(by=UNIT_HEAD, lead=UNIT_STAFF, coordinators=(), above=room.id)), room.complete(UNIT_CLERK, sequence=1), room.withdraw(1)
        )  # fmt: skip
        if completions:
            assert set(below) == {"directive-over"}
        else:
            # Nothing open ever hangs below what has ended.
            rows = await db.fetch_all(
                "SELECT d.state AS below, p.state FROM directives d JOIN directive_assignees a ON a.id = d.parent JOIN directives p ON p.id = a.directive "
                "WHERE d.root = $1",
                room.id,
            )
            assert not [row for row in rows if row["below"] == "open" and row["state"] != "open"]
            assert below[1:].count("") == 1
    assert (await room.statuses())[: len(set(await room.statuses()))] == sorted(set(await room.statuses()))
    assert len(await room.statuses()) <= 3


@pytest.mark.asyncio
async def test_the_same_request_again_is_one_direction(db):
    await seed(db)
    room = Room(db)
    order = Order(text="Một lần", lead=FIRST)
    answers = await asyncio.gather(
        *(room.service.give(actor(LEADER), About(arrival=ARRIVAL), order, once("k" * 16)) for _ in range(4))
    )
    assert len(set(answers)) == 1
    assert (await db.fetch_one("SELECT count(*) AS n FROM directives"))["n"] == 1


@pytest.mark.asyncio
async def test_lists_have_what_is_open_first_by_its_deadline_and_turn_their_pages(db):
    await seed(db)
    room = Room(db)
    made = [await room.give(due_date=due) for due in ("2026-12-01", None, "2026-11-24", "2026-11-30")]
    assert await room.complete(FIRST, id_=made[3]) == ""
    for who, which in ((FIRST, "mine"), (LEADER, "given")):
        seen, after = [], (-1, "", "")
        while rows := await room.service.listing(actor(who), which, after=after, limit=2):
            seen += [row["directive"] for row in rows]
            after = (rows[-1]["over"], rows[-1]["due_key"], rows[-1]["id"])
        assert seen == [made[2], made[0], made[1], made[3]], which


# -- The state machine --------------------------------------------------------------------------------------------------------

_SEQUENCES = st.integers(0, 4)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("report"), st.sampled_from([FIRST, SECOND, CLERK]), _SEQUENCES, st.integers(0, 99)),
        st.tuples(st.just("complete"), st.sampled_from([FIRST, SECOND, CLERK]), _SEQUENCES),
        st.tuples(st.just("change"), _SEQUENCES, st.sampled_from(["Một", "Hai"]), st.sampled_from([(FIRST, SECOND), (SECOND, FIRST), (SECOND, CLERK)])),
        st.tuples(st.just("withdraw"), _SEQUENCES),
    ),
    min_size=3,
    max_size=12,
)  # fmt: skip


class Model:
    """What the store has to say: the order, its revision, and each one's state."""

    def __init__(self):
        self.over, self.sequence, self.text, self.named = False, 0, "Một", (FIRST, SECOND)
        self.states = {FIRST: "assigned", SECOND: "assigned"}
        self.heard = set()
        self.code = 4

    def gate(self, sequence):
        return "directive-over" if self.over else "directive-changed" if sequence != self.sequence else ""

    def work(self, who, sequence, *, done):
        if who not in self.states and who is not CLERK:
            return "not-found"
        if who not in self.states:
            return "not-found"  # a clerk reads it and has no place on it
        code = self.gate(sequence)
        if code or self.states[who] not in {"assigned", "in_work"}:
            return code or "directive-over"
        self.states[who] = "completed" if done else "in_work"
        self.heard.add(who)
        self.code = max(self.code, 5)
        if done and who == self.named[0]:
            self.over, self.code = True, 6
            self.states = {
                one: "ended" if state in {"assigned", "in_work"} else state for one, state in self.states.items()
            }
        return ""

    def change(self, sequence, text, named):
        code = self.gate(sequence)
        if code or (text, named) == (self.text, self.named):
            return code or "invalid-request"
        again = {}
        for one, state in self.states.items():
            back = state == "released" or (
                state == "completed" and (text != self.text or (one == named[0] != self.named[0]))
            )
            again[one] = ("in_work" if one in self.heard else "assigned") if one in named and back else state
            if one not in named and state in {"assigned", "in_work"}:
                again[one] = "released"
        self.states = again | {one: "assigned" for one in named if one not in again}
        self.sequence, self.text, self.named = self.sequence + 1, text, named
        return ""

    def withdraw(self, sequence):
        code = self.gate(sequence)
        if not code:
            self.over = True
            self.states = {
                one: "ended" if state in {"assigned", "in_work"} else state for one, state in self.states.items()
            }
        return code


async def walk(room, steps):
    await room.give(text="Một")
    model = Model()
    for step in steps:
        before = (await room.told(FIRST), await room.told(SECOND), await room.told(LEADER))
        match step:
            case "report", who, sequence, progress:
                found, expected = (
                    await room.report(who, sequence=sequence, progress=progress),
                    model.work(who, sequence, done=False),
                )
            case "complete", who, sequence:
                found, expected = await room.complete(who, sequence=sequence), model.work(who, sequence, done=True)
            case "change", sequence, text, (lead, other):
                found = await room.change(sequence, text=text, lead=lead, coordinators=(other,))
                expected = model.change(sequence, text, (lead, other))
            case "withdraw", sequence:
                found, expected = await room.withdraw(sequence), model.withdraw(sequence)
        assert found == expected, step
        assert await room.places() == model.states, step
        assert await room.statuses() == ["04", "05", "06"][: model.code - 3]
        if found:
            assert before == (await room.told(FIRST), await room.told(SECOND), await room.told(LEADER)), (
                "something was told although nothing was done"
            )
    assert (await queries.load(room.db, room.id)).sequence == model.sequence
    assert (await room.state() is DirectiveState.OPEN) != model.over


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    """A store with the people and the arrival, which every walk begins from."""
    path = tmp_path_factory.mktemp("seeded") / "seeded.db"

    async def run():
        db = await open_database(f"sqlite://{path}")
        try:
            await migrate(db)
            await seed(db)
        finally:
            await db.close()

    asyncio.run(run())
    return path


@settings(max_examples=3 * ROUNDS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_any_order_of_deeds_keeps_the_rules(tmp_path_factory, seeded, steps):
    async def run():
        path = shutil.copy(seeded, tmp_path_factory.mktemp("walk") / "walk.db")
        db = await open_database(f"sqlite://{path}")
        try:
            await walk(Room(db), steps)
        finally:
            await db.close()

    asyncio.run(run())
