"""The one-stop office on both engines: where a dossier stands, when it is late, and that its unit is told once (TIM-7, PDP-1)."""

import asyncio
import hashlib
import secrets
from datetime import date

import msgspec
import pytest

from server.errors import Refused
from server.identity.model import Actor, Role
from server.identity.tokens import TokenKeys
from server.notices.calendar import local_us
from server.notices.rules import Rules
from server.once import Once
from server.onestop import page
from server.onestop.model import KEPT_US, WORKING, Late, Step, StepCode, Unit
from server.onestop.service import DossierAnswer, OneStopService, Shown
from tests.fakes.notices import DAY_US, ORGANISATION, House

pytestmark = pytest.mark.asyncio

HEAD, OTHER, BOSS = (digit * 32 for digit in "789")
SYSTEM = Actor("service", "c" * 32, ORGANISATION, scopes=frozenset({"onestop:write"}))
NEIGHBOUR = Actor("service", "d" * 32, ORGANISATION, scopes=frozenset({"onestop:write"}))
LAND = Unit("dia-chinh", "Bộ phận Địa chính", "Land unit", (HEAD, OTHER))
FRIDAY = local_us(
    "2027-01-29T16:00"
)  # Tết 2027: free from Friday, 5 February, to Wednesday the 10th (the 6th and 7th are made up)
RECEIVED = Step(StepCode.RECEIVED, "dia-chinh", date(2027, 2, 12), handled=False)


def once(key=None, route="r"):
    return Once(actor="x", route=route, key=key or secrets.token_urlsafe(16), request=b"", now_us=FRIDAY)


async def office(db, tmp_path, at_us=FRIDAY):
    """Two responsible people, an administrator, two one-stop systems."""
    house = House(db, at_us)
    await house.person(HEAD, Role.STAFF)
    await house.person(OTHER, Role.STAFF)
    house.boss = await house.person(BOSS, Role.ADMINISTRATOR, Role.DUTY_OFFICER)

    async def body(tx):
        for client in (SYSTEM.id, NEIGHBOUR.id):
            await tx.execute(
                "INSERT INTO service_clients (id, organisation, name, secret_hash, scopes, state, created_us) VALUES ($1, $2, 'Một cửa mẫu', 'x', '', 'active', 1)",
                client, ORGANISATION,
            )  # fmt: skip

    await db.transact(body)
    house.onestop = OneStopService(
        db, house.clock, TokenKeys.load_or_create(tmp_path / "token_keys"), "https://mau.example"
    )
    await house.onestop.put_unit(SYSTEM, LAND)
    return house


async def opened(house, step=RECEIVED, reference="H01-1", actor=SYSTEM):
    answer = msgspec.json.decode(await house.onestop.open(actor, reference, step, once()), type=DossierAnswer)
    return answer.id, answer.link.rpartition("/")[2]


async def advanced(house, dossier, sequence, actor=SYSTEM, **changes):
    step = msgspec.structs.replace(RECEIVED, **changes)
    answer = await house.onestop.advance(actor, dossier, sequence, step, once())
    return msgspec.json.decode(answer, type=DossierAnswer)


async def told(db):
    rows = await db.fetch_all("SELECT person, kind, headline, state, revision FROM notices ORDER BY created_us, person")
    return [(row["person"], row["kind"], row["headline"], row["state"], row["revision"]) for row in rows]


async def test_a_step_that_nobody_handles_is_late_after_two_working_days_and_its_unit_hears_it_once(db, tmp_path):
    """From Friday at four to Wednesday at four is two working days; the weekend counts for nothing (TIM-7)."""
    house = await office(db, tmp_path, at_us=local_us("2027-01-22T16:00"))
    dossier, secret = await opened(house)
    late_us = local_us("2027-01-26T16:00")
    for at_us in (local_us("2027-01-24T12:00"), late_us - 1_000_000):
        house.clock.advance((at_us - house.clock.now_us()) / 1e6)
        assert await house.onestop.look() == 0
        assert (await house.onestop.page(secret)).late is None
    house.clock.advance(1)
    assert (await house.onestop.page(secret)).late is Late.UNHANDLED
    results = await asyncio.gather(*(house.onestop.look() for _ in range(4)))
    assert sum(results) == 1
    house.clock.advance(30 * DAY_US / 1e6)
    assert await house.onestop.look() == 0
    headline = "H01-1 · Bộ phận Địa chính"
    assert await told(db) == [(one, "dossier_unhandled", headline, "open", 1) for one in (HEAD, OTHER)]
    # Somebody takes it up: what was asked is done, and nothing is late but what was promised.
    await advanced(house, dossier, 0, code=StepCode.PROCESSING, handled=True, promised=None)
    assert [row[3] for row in await told(db)] == ["settled", "settled"]
    assert (await house.onestop.page(secret)).late is None
    # Passed on to nobody, it is watched anew and told again.
    await advanced(house, dossier, 1, code=StepCode.PROCESSING, promised=None)
    house.clock.advance(7 * DAY_US / 1e6)
    assert await house.onestop.look() == 1
    assert [row[3:] for row in await told(db)] == [("settled", 1)] * 2 + [("open", 3)] * 2


async def test_tet_is_no_working_time_and_the_organisation_sets_days_and_their_number(sqlite_db, tmp_path):
    house = await office(sqlite_db, tmp_path)
    rules = Rules(unhandled_days=5, days={"2027-02-11": False})
    await house.arrangements.set_rules(house.boss, rules)
    _, secret = await opened(house, msgspec.structs.replace(RECEIVED, promised=None))
    # Monday 1 to Thursday 4 February are four; then Tết, one day that the organisation gave, and Friday the 12th.
    for text, late in (("2027-02-12T15:59", None), ("2027-02-12T16:00", Late.UNHANDLED)):
        house.clock.advance((local_us(text) - house.clock.now_us()) / 1e6)
        await house.onestop.look()
        assert (await house.onestop.page(secret)).late is late, text
    assert len(await told(sqlite_db)) == 2


async def test_days_that_are_set_meanwhile_count(sqlite_db, tmp_path):
    """The calendar is asked again every day, so what is announced after the step began still counts."""
    house = await office(sqlite_db, tmp_path)
    await opened(house)
    house.clock.advance(DAY_US / 1e6)
    assert await house.onestop.look() == 0
    await house.arrangements.set_rules(house.boss, Rules(days={"2027-02-01": False, "2027-02-02": False}))
    house.clock.advance((local_us("2027-02-02T16:30") - house.clock.now_us()) / 1e6)
    assert await house.onestop.look() == 0
    house.clock.advance((local_us("2027-02-04T16:30") - house.clock.now_us()) / 1e6)
    assert await house.onestop.look() == 1


async def test_the_promised_day_lasts_until_midnight_in_vietnam(sqlite_db, tmp_path):
    house = await office(sqlite_db, tmp_path)
    dossier, secret = await opened(house, msgspec.structs.replace(RECEIVED, handled=True))
    for text, late in (("2027-02-12T23:59", None), ("2027-02-13T00:00", Late.PROMISED)):
        house.clock.advance((local_us(text) - house.clock.now_us()) / 1e6)
        assert (await house.onestop.page(secret)).late is late, text
    # Where the office waits for the applicant, or has done its work, nothing is late.
    for sequence, code in enumerate((StepCode.SUPPLEMENT, StepCode.PAYMENT, StepCode.FINISHED)):
        await advanced(house, dossier, sequence, code=code)
        assert (await house.onestop.page(secret)).late is None


async def test_the_page_calls_in_time_only_what_the_office_works_on():
    """A result that was ready a week too late, or papers that the applicant owes, are not "in time"."""
    for code in StepCode:
        step = msgspec.structs.replace(RECEIVED, code=code, promised=date(2020, 1, 1))
        html = page.shown(Shown(3, step, LAND, FRIDAY, None, closed=False))
        assert ("Trong hạn" in html) == (code in WORKING), code


async def test_who_left_is_not_told_and_it_ends_at_a_person(sqlite_db, tmp_path):
    house = await office(sqlite_db, tmp_path)
    await sqlite_db.transact(
        lambda tx: tx.execute("UPDATE people SET state = 'left' WHERE id IN ($1, $2)", HEAD, OTHER),
    )
    await opened(house)
    house.clock.advance(7 * DAY_US / 1e6)
    assert await house.onestop.look() == 1
    assert [row[0] for row in await told(sqlite_db)] == [BOSS]


async def test_of_many_next_steps_at_once_one_is_taken(db, tmp_path):
    house = await office(db, tmp_path)
    dossier, _ = await opened(house)
    results = await asyncio.gather(
        *(advanced(house, dossier, 0, code=StepCode.PROCESSING) for _ in range(8)), return_exceptions=True
    )
    taken = [one for one in results if isinstance(one, DossierAnswer)]
    assert [one.sequence for one in taken] == [1]
    assert {one.code for one in results if isinstance(one, Refused)} == {"conflict"}


async def test_a_repeated_request_has_one_effect_and_the_same_link(sqlite_db, tmp_path):
    """C16, A2: the link is in the repeated answer and nowhere in the clear."""
    house = await office(sqlite_db, tmp_path)
    keys = [once("k" * 20) for _ in range(6)]
    answers = await asyncio.gather(*(house.onestop.open(SYSTEM, "H01-1", RECEIVED, key) for key in keys))
    assert len(set(answers)) == 1
    secret = msgspec.json.decode(answers[0])["link"].rpartition("/")[2]
    rows = await sqlite_db.fetch_all("SELECT secret_hash, reference FROM dossiers")
    assert [(row["secret_hash"], row["reference"]) for row in rows] == [
        (hashlib.sha256(secret.encode()).hexdigest(), "H01-1")
    ]
    kept = await sqlite_db.fetch_all("SELECT answer FROM once_answers")
    events = await sqlite_db.fetch_all("SELECT body FROM audit_events")
    for row in [*(bytes(one["answer"]) for one in kept), *(bytes(one["body"]) for one in events)]:
        assert secret.encode() not in row
    assert not [row for row in events if b"H01-1" in bytes(row["body"])]
    with pytest.raises(Refused, match="dossier-known"):
        await house.onestop.open(SYSTEM, "H01-1", RECEIVED, once())


async def test_another_link_ends_the_first_and_the_end_forgets_the_reference(db, tmp_path):
    house = await office(db, tmp_path)
    dossier, secret = await opened(house)
    answer = msgspec.json.decode(await house.onestop.relink(SYSTEM, dossier, once()), type=DossierAnswer)
    other = answer.link.rpartition("/")[2]
    with pytest.raises(Refused, match="not-found"):
        await house.onestop.page(secret)
    await advanced(house, dossier, 0, code=StepCode.RETURNED)
    assert (await house.onestop.page(other)).closed
    with pytest.raises(Refused, match="dossier-closed"):
        await advanced(house, dossier, 1, code=StepCode.PROCESSING)
    assert [row["reference"] for row in await db.fetch_all("SELECT reference FROM dossiers")] == [None]
    assert await house.onestop.sweep() == 0
    house.clock.advance(KEPT_US / 1e6 + 1)
    assert await house.onestop.sweep() == 1
    with pytest.raises(Refused, match="not-found"):
        await house.onestop.page(other)


async def test_the_end_forgets_the_reference_in_what_was_told_too(sqlite_db, tmp_path):
    """PDP-1: people and times stay, the reference does not."""
    house = await office(sqlite_db, tmp_path)
    dossier, _ = await opened(house)
    house.clock.advance(7 * DAY_US / 1e6)
    assert await house.onestop.look() == 1
    await advanced(house, dossier, 0, code=StepCode.FINISHED)
    assert {row[2] for row in await told(sqlite_db)} == {"H01-1 · Bộ phận Địa chính"}
    await advanced(house, dossier, 1, code=StepCode.RETURNED)
    assert [(row[0], row[2], row[3]) for row in await told(sqlite_db)] == [
        (HEAD, "", "settled"),
        (OTHER, "", "settled"),
    ]


async def test_another_system_reaches_nothing(sqlite_db, tmp_path):
    """C1: a dossier is its own client's, within one organisation, too."""
    house = await office(sqlite_db, tmp_path)
    dossier, _ = await opened(house)
    for deed in (
        house.onestop.show(NEIGHBOUR, dossier),
        advanced(house, dossier, 0, actor=NEIGHBOUR),
        house.onestop.relink(NEIGHBOUR, dossier, once()),
    ):
        with pytest.raises(Refused, match="not-found"):
            await deed
    assert (await house.onestop.show(SYSTEM, dossier)).sequence == 0
    # Its references are its own as well.
    await opened(house, actor=NEIGHBOUR)


async def test_units_and_people_must_be_known(sqlite_db, tmp_path):
    house = await office(sqlite_db, tmp_path)
    with pytest.raises(Refused, match="unit-unknown"):
        await opened(house, msgspec.structs.replace(RECEIVED, unit="x"))
    with pytest.raises(Refused, match="person-unknown"):
        await house.onestop.put_unit(SYSTEM, Unit("x", "Bộ phận", "", (HEAD, "f" * 32)))
    await house.onestop.put_unit(SYSTEM, msgspec.structs.replace(LAND, name="Bộ phận Địa chính, Xây dựng"))
    dossier, _ = await opened(house)
    assert (await house.onestop.show(SYSTEM, dossier)).unit.name == "Bộ phận Địa chính, Xây dựng"
    with pytest.raises(Refused, match="invalid-request"):
        await opened(house, msgspec.structs.replace(RECEIVED, code=StepCode.STOPPED), reference="H01-9")
