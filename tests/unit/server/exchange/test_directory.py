"""The agency list (reference §6.6): codes change, units merge and move, nothing is forgotten; found by what somebody types."""

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.db import Dialect, migrate, open_database
from server.db.migrator import load
from server.db.migrator import migrate as migrate_from
from server.exchange.axis import Agency, AxisUnavailable
from server.exchange.directory import changes as list_changes
from server.exchange.directory import queries
from server.exchange.directory.changes import Known, ListShrunk, changes, key, query_words, words
from server.exchange.directory.service import AgencyDirectory

pytestmark = pytest.mark.asyncio

PROVINCE = Agency(code="H01", name="UBND tỉnh Mẫu", old_code="000.00.00.H01", unit_id="1", parent_id="0")
COMMUNE = Agency(
    code="H01.151", name="Ủy ban nhân dân xã Đường Thượng", old_code="000.00.51.H01", unit_id="2", parent_id="1"
)
OFFICE = Agency(code="H01.151.04", name="Văn phòng xã Đường Thượng", unit_id="3", parent_id="2")
NEIGHBOUR = Agency(code="H01.152", name="UBND xã Đường Hạ", old_code="000.00.52.H01", unit_id="4", parent_id="1")
TRIAL = Agency(code="14.00.W00", name="Đường thử", unit_id="9")
LIST = (OFFICE, NEIGHBOUR, TRIAL, COMMUNE, PROVINCE)


class Axis:
    """What the axis would answer; counts how often it was asked."""

    def __init__(self, listed=()):
        self.listed = list(listed)
        self.asked = 0

    async def agencies(self):
        self.asked += 1
        if isinstance(self.listed, Exception):
            raise self.listed
        return list(self.listed)


class Clock:
    now = 1_795_000_000_000_000

    def now_us(self):
        return self.now


@pytest.fixture
def axis():
    return Axis(LIST)


@pytest.fixture
def directory(db, axis):
    return AgencyDirectory(db, axis, Clock(), name="axis")


async def codes(directory, query, limit=20):
    return [row.code for row in (await directory.find(query, limit)).agencies]


def replaced(agency, **fields):
    return msgspec.structs.replace(agency, **fields)


async def test_the_list_is_found_by_name_without_marks_and_by_both_codes(directory):
    assert (await directory.find("H01", 5)).synchronised_us is None
    assert await directory.synchronise() == len(LIST)
    assert await codes(directory, "H01.151") == ["H01.151", "H01.151.04"]
    assert await codes(directory, " 000.00.51.h01 ") == ["H01.151"]
    assert await codes(directory, "h01.15") == ["H01.152", "H01.151", "H01.151.04"]
    assert await codes(directory, "duong thu") == ["H01.151", "H01.151.04"]
    assert await codes(directory, "ĐƯỜNG") == ["H01.152", "H01.151", "H01.151.04"]
    assert await codes(directory, "xa ubnd") == ["H01.152", "H01.151"]
    assert await codes(directory, "uy ban nhan dan tinh") == ["H01"]
    assert await codes(directory, "uong") == []  # a word is found by its beginning
    assert await codes(directory, "du", limit=2) == ["H01.152", "H01.151"]
    assert (await directory.find("H01", 5)).synchronised_us == Clock.now


@pytest.mark.parametrize(
    "query",
    [
        "",
        "???",
        "' OR 1=1 --",
        '"',
        "a:*",
        "(((",
        "*",
        "NOT AND OR",
        "-- %_",
        "\x00",
        "x" * 5000,
        "a " * 5000,
        "𝕏",
        "'a' & !'b'",
    ],
)
async def test_what_is_typed_is_never_part_of_a_query_language(directory, query):
    await directory.synchronise()
    assert await codes(directory, query) == []


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=60))
async def test_words_of_a_query_hold_only_what_both_engines_take(text):
    found = query_words(text)
    assert len(found) <= list_changes.MAX_WORDS
    assert all(word and set(word) <= set("abcdefghijklmnopqrstuvwxyz0123456789.") and word[0] != "." for word in found)


@settings(max_examples=60, deadline=None)
@given(name=st.text("Ủy bannhdâxãĐường Thượ ", min_size=1, max_size=40))
async def test_every_word_of_a_name_finds_it(name):
    agency = Agency(code="H01", name=name)
    assert set(query_words(name)) <= set(words(agency).split())


async def test_test_units_show_by_their_whole_code_only(directory):
    await directory.synchronise()
    assert await codes(directory, "duong thu") == ["H01.151", "H01.151.04"]
    [row] = (await directory.find("14.00.w00", 20)).agencies
    assert (row.code, row.test) == ("14.00.W00", 1)


async def test_the_tree_and_its_levels_are_those_of_the_list(directory, axis):
    await directory.synchronise()
    [row] = (await directory.find("H01.151.04", 1)).agencies
    assert (row.level, row.parent_code, row.parent_name) == (3, "H01.151", COMMUNE.name)
    [top] = (await directory.find("H01", 1)).agencies
    assert (top.level, top.parent_code) == (1, None)
    axis.listed = [PROVINCE, NEIGHBOUR, TRIAL, COMMUNE, replaced(OFFICE, parent_id="1")]
    assert await directory.synchronise() == 1  # only what changed is written
    [row] = (await directory.find("H01.151.04", 1)).agencies
    assert (row.level, row.parent_code) == (2, "H01")


async def test_nothing_is_written_when_nothing_changed(directory, axis):
    await directory.synchronise()
    axis.listed = list(reversed(LIST))
    assert await directory.synchronise() == 0


async def test_units_merge_and_the_old_codes_stay_with_who_has_them_now(directory, axis, db):
    """A reform: the neighbour goes into the commune, whose code changes too, and the list maps its old one."""
    await directory.synchronise()
    merged = replaced(COMMUNE, code="H01.160", name="UBND xã Đường Mới", old_code="H01.151")
    axis.listed = [PROVINCE, TRIAL, merged, OFFICE, replaced(NEIGHBOUR, closed=True)]
    Clock.now += 86_400_000_000
    await directory.synchronise()
    assert await codes(directory, "duong moi") == ["H01.160"]
    assert await codes(directory, "duong ha") == []
    old, *_ = (await directory.find("H01.151", 20)).agencies
    assert (old.code, old.closed, old.closed_us, old.successor) == ("H01.151", 1, Clock.now, "H01.160")
    assert "H01.160" in await codes(directory, "H01.151")  # the list's mapping of old codes
    [gone] = (await directory.find("H01.152", 20)).agencies
    assert (gone.closed, gone.closed_us, gone.successor) == (1, Clock.now, "")
    [office] = (await directory.find("H01.151.04", 1)).agencies
    assert office.parent_code == "H01.160"
    ended = Clock.now
    Clock.now += 86_400_000_000
    assert await directory.synchronise() == 0
    [gone] = (await directory.find("H01.152", 20)).agencies
    assert gone.closed_us == ended
    axis.listed.append(replaced(COMMUNE, unit_id="77"))  # the code is given to another unit
    assert await directory.synchronise() == 1
    first, *_ = (await directory.find("H01.151", 20)).agencies
    assert (first.closed, first.closed_us, first.successor) == (0, None, "")
    assert len(await queries.known(db)) == len(LIST) + 1


async def test_a_list_that_shrank_or_does_not_come_changes_nothing(directory, axis):
    many = [Agency(code=f"H{n:02}.{m:03}", name=f"Xã số {n} {m}") for n in range(10) for m in range(20)]
    axis.listed = many
    assert await directory.synchronise() == 200
    for answer in (many[:99], [], AxisUnavailable("http-502")):
        axis.listed = answer
        assert await directory.synchronise() is None
        assert len(await codes(directory, "xa", limit=50)) == 50
    axis.listed = many[:100]
    assert await directory.synchronise() == 100


async def test_without_an_axis_nothing_is_asked(db):
    assert await AgencyDirectory(db, None, Clock(), name="").synchronise() is None


async def test_the_list_comes_over_the_wire(db, stage):
    directory = AgencyDirectory(db, stage.client("X01"), Clock(), name=stage.url)
    await directory.synchronise()
    assert await codes(directory, "co quan mau") == ["X03", "X01", "X02"]  # short names first
    [closed] = (await directory.find("x04", 20)).agencies
    assert (closed.code, closed.closed, closed.closed_us) == ("X04", 1, None)
    await stage.put("_faults", [{"fault": "html", "call": "getAgenciesListQD20"}])
    assert await directory.synchronise() is None


# -- the plan ---------------------------------------------------------------------------------------------------------

CODES = st.sampled_from(["A", "a ", "B", "C", "D", "E"])
AGENCIES = st.lists(
    st.builds(
        Agency, code=CODES, name=st.sampled_from(["", "Một", "Hai"]), old_code=st.sampled_from(["", "A", "B", "Z"]),
        unit_id=st.sampled_from(["", "1", "2", "3"]), parent_id=st.sampled_from(["", "0", "1", "2", "3"]), closed=st.booleans(),
    ),
    max_size=8,
)  # fmt: skip


def applied(plan, known):
    kept = {row.code_key: row for row in known}
    kept |= {e.code_key: Known(e.id, e.code_key, e.unit, e.closed, e.digest) for e in plan.put}
    for one in plan.ended:
        kept[one.code_key] = msgspec.structs.replace(kept[one.code_key], closed=1, digest="")
    return list(kept.values())


@settings(max_examples=100, deadline=None)
@given(lists=st.lists(AGENCIES, min_size=1, max_size=4))
async def test_a_kept_list_says_what_the_last_list_said_whatever_came_before(lists):
    known = []
    for listed in lists:
        try:
            known = applied(changes(listed, known), known)
        except ListShrunk:
            assert not any(not agency.closed for agency in listed)
            continue
        again = changes(listed, known)
        assert (list(again.put), again.ended) == ([], [])
        assert len({row.id for row in known}) == len(known)
        opened = {key(agency.code) for agency in listed if not agency.closed}
        assert {row.code_key for row in known if not row.closed} == opened


async def test_a_tree_that_bites_its_tail_ends():
    ring = [Agency(code=f"H{n}", unit_id=str(n), parent_id=str((n + 1) % 5)) for n in range(5)]
    assert len(changes(ring, []).put) == 5
    chain = [Agency(code=f"H{n}", unit_id=str(n), parent_id=str(n + 1)) for n in range(3000)]
    assert max(entry.level for entry in changes(chain, []).put) <= 32


async def test_the_loop_turns_while_a_long_list_is_compared(db):
    """Comparing runs on a thread and writing in batches: others' work of the same moment is done between."""
    listed = [Agency(code=f"H{n % 60:02}.{n:05}", name=f"Đơn vị {n}") for n in range(5000)]
    directory = AgencyDirectory(db, Axis(listed), Clock(), name="axis")
    writing = asyncio.create_task(directory.synchronise())
    between = 0
    while not writing.done():
        await db.transact(lambda tx: tx.fetch_one("SELECT 1 AS one"))
        between += 1
    assert await writing == 5000
    assert between > 3


async def test_who_has_the_unit_is_found_through_mergers_of_mergers(directory, axis, db):
    """Reference §6.6: a code that left the list keeps its successor, and that one may end too."""
    await directory.synchronise()
    axis.listed = [PROVINCE, OFFICE, TRIAL, replaced(NEIGHBOUR, old_code="H01.151")]
    await directory.synchronise()
    assert await queries.current(db, "axis", "h01.151") == "H01.152"
    axis.listed = [replaced(PROVINCE, old_code="H01.152"), OFFICE, TRIAL]
    await directory.synchronise()
    assert await queries.current(db, "axis", "H01.151") == "H01"
    assert set(await queries.names(db, "axis", "H01.151")) >= {"h01.151", "h01.152", "h01"}
    assert await queries.succeeded(db, "axis", ["H01.151", "H01", " h01.152"]) == ["H01.151", " h01.152"]
    assert await queries.same(db, "axis", "H01.151", "H01.152")
    assert not await queries.same(db, "axis", "H01.151", "14.00.W00")


async def test_postgresql_knows_the_words_as_soon_as_a_list_has_come(postgres_db, axis):
    """Without statistics each keystroke reads the whole list."""
    await AgencyDirectory(postgres_db, axis, Clock(), name="axis").synchronise()
    known = await postgres_db.fetch_all("SELECT attname FROM pg_stats WHERE tablename = 'agencies_words'")
    assert len(known) == 1


@pytest.mark.parametrize("dialect", list(Dialect))
async def test_what_was_kept_before_lists_had_numbers_is_the_list_that_was_taken_last(dialect, tmp_path, request):
    """Migration 0032 keeps every code, with its end and its successor."""
    url = f"sqlite://{tmp_path}/former.db"
    if dialect is Dialect.POSTGRES:
        cluster = request.getfixturevalue("postgres_cluster")
        await cluster.command("CREATE DATABASE former")
        url = cluster.url("former")
    before = tmp_path / "before"
    before.mkdir()
    for migration in load():
        if migration.version < 32:
            (before / f"{migration.version:04}_{migration.name}.sql").write_text(migration.text)
    db = await open_database(url)
    await migrate_from(db, folder=before)

    async def body(tx):
        for id_, code, closed, successor in ((1, "h01", 0, ""), (2, "h02", 1, "H01")):
            await tx.execute(
                "INSERT INTO agencies VALUES ($1, $2, '', $3, '', 'Mẫu', '', '', '', '', 1, 0, $4, 'mau', '', $5, 1, NULL)",
                id_, code, code.upper(), closed, successor,
            )  # fmt: skip
        for axis, at_us in (("http://former", 1), ("axis", 2)):
            await tx.execute("INSERT INTO agency_lists VALUES ($1, 2, $2)", axis, at_us)

    await db.transact(body)
    await migrate(db)
    assert await queries.current(db, "axis", "H02") == "H01"
    assert await queries.synchronised_us(db, "axis") == 2
    assert await queries.current(db, "http://former", "H02") == "H02"
    assert len(await queries.known(db)) == 2
    await db.close()
    if dialect is Dialect.POSTGRES:
        await cluster.command("DROP DATABASE former WITH (FORCE)")


@pytest.mark.asyncio
async def test_a_keystroke_walks_through_no_list(sqlite_db):
    """Of 123,000 agencies SQLite reads those that the words name, and a code by its two indexes."""
    found = await sqlite_db.fetch_all(f"EXPLAIN QUERY PLAN {queries.SEARCH_SQLITE}", "axis", '"uy"*', 20)
    steps = [row["detail"] for row in found if "agency_lists" not in row["detail"] and "SUBQUERY" not in row["detail"]]
    assert steps[0].startswith("SCAN agency_words VIRTUAL TABLE INDEX")
    assert steps[1] == "SEARCH a USING INTEGER PRIMARY KEY (rowid=?)"
    by_code = f"EXPLAIN QUERY PLAN SELECT a.code FROM agencies a WHERE {queries._CODE}"
    plan = " ".join(row["detail"] for row in await sqlite_db.fetch_all(by_code, "axis", "h01"))
    assert "(of_list=? AND code_key=?)" in plan
    assert "(of_list=? AND old_key=?)" in plan
