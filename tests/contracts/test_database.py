"""One suite for both engines: what `server.db` promises."""

import asyncio
import contextlib
import contextvars
import threading
import traceback
from contextlib import suppress

import msgspec
import pytest
import pytest_asyncio

from server.db import (
    Conflict,
    Database,
    DatabaseClosed,
    DatabaseError,
    Dialect,
    Isolation,
    StatementFailed,
    TransactionMisused,
    Violation,
    into,
    open_database,
)

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(autouse=True)
async def tables(db: Database) -> None:
    blob = "BYTEA" if db.dialect is Dialect.POSTGRES else "BLOB"

    async def body(tx):
        await tx.execute(
            "CREATE TABLE thing (id TEXT PRIMARY KEY, n BIGINT NOT NULL CHECK (n >= 0), data " + blob + ")"
        )
        await tx.execute("CREATE TABLE part (id TEXT PRIMARY KEY, thing TEXT NOT NULL REFERENCES thing (id))")

    await db.transact(body)


async def put(db, identifier, n=1, data=None):
    async def body(tx):
        return await tx.execute("INSERT INTO thing (id, n, data) VALUES ($1, $2, $3)", identifier, n, data)

    return await db.transact(body)


async def ids(db):
    return [row["id"] for row in await db.fetch_all("SELECT id FROM thing ORDER BY id")]


async def test_round_trip_of_every_type(db):
    assert await put(db, "đỏ", 2**53 + 1, b"\x00\xff") == 1
    row = await db.fetch_one("SELECT id, n, data, n * 2 AS double FROM thing WHERE id = $1", "đỏ")
    assert (row["id"], row["n"], row["data"], row["double"]) == ("đỏ", 2**53 + 1, b"\x00\xff", 2**54 + 2)
    assert row[0] == "đỏ"
    assert list(row.keys()) == ["id", "n", "data", "double"]
    assert await db.fetch_one("SELECT id FROM thing WHERE id = $1", "x") is None


async def test_sums_and_counts_are_integers_on_both(db):
    await put(db, "a", 2**40)
    await put(db, "b", 3)
    row = await db.fetch_one("SELECT sum(n) AS total, count(*) AS many, max(n) AS most FROM thing")
    assert [type(row[name]) for name in ("total", "many", "most")] == [int, int, int]
    assert row["total"] == 2**40 + 3


async def test_placeholders_may_repeat_and_stand_out_of_order(db):
    await put(db, "a", 5)
    sql = "SELECT id FROM thing WHERE n = $2 AND id = $1 AND (n = $2 OR id = $1)"
    assert (await db.fetch_one(sql, "a", 5))["id"] == "a"


async def test_upsert_and_returning(db):
    await put(db, "a", 5)
    sql = (
        "INSERT INTO thing (id, n) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = thing.n + excluded.n"
        " WHERE thing.n < 100 RETURNING n"
    )

    async def body(tx):
        first = await tx.fetch_one(sql, "a", 200)
        return first["n"], await tx.fetch_one(sql, "a", 1)

    assert await db.transact(body) == (205, None)


async def test_execute_counts_changed_rows(db):
    for name in "abc":
        await put(db, name)

    async def body(tx):
        return (
            await tx.execute("UPDATE thing SET n = 7 WHERE id <> $1", "a"),
            await tx.execute("DELETE FROM thing WHERE n = $1", 99),
        )

    assert await db.transact(body) == (2, 0)


async def test_a_statement_runs_once_for_each_row_of_arguments(db):
    await put(db, "a", 5)

    async def body(tx):
        sql = "INSERT INTO thing (id, n, data) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
        inserted = await tx.execute_many(sql, [("a", 1, None), ("b", 2, b"\x00"), ("c", 3, None)])
        updated = await tx.execute_many("UPDATE thing SET n = $2 WHERE id = $1", [("a", 7), ("x", 8), ("c", 9)])
        return inserted, updated, await tx.execute_many("DELETE FROM thing WHERE id = $1", [])

    assert await db.transact(body) == (2, 2, 0)
    rows = await db.fetch_all("SELECT id, n, data FROM thing ORDER BY id")
    assert [tuple(row[name] for name in ("id", "n", "data")) for row in rows] == [
        ("a", 7, None),
        ("b", 2, b"\x00"),
        ("c", 9, None),
    ]


async def test_one_bad_row_dooms_all_of_them(db):
    async def body(tx):
        with suppress(Conflict):
            await tx.execute_many("INSERT INTO thing (id, n) VALUES ($1, $2)", [("a", 1), ("b", 1), ("a", 2)])

    with pytest.raises(Conflict):
        await db.transact(body)
    assert await ids(db) == []


async def test_a_value_that_fits_no_column_dooms_the_rows_before_it(db):
    async def body(tx):
        with suppress(Exception):
            await tx.execute_many("INSERT INTO thing (id, n) VALUES ($1, $2)", [("a", 1), ("b", 1 << 70)])

    with pytest.raises(StatementFailed):
        await db.transact(body)
    assert await ids(db) == []


async def test_rows_become_structs(db):
    class Thing(msgspec.Struct, frozen=True):
        id: str
        n: bool

    await put(db, "a", 1)
    assert into(await db.fetch_one("SELECT id, n FROM thing"), Thing) == Thing("a", True)
    with pytest.raises(msgspec.ValidationError):
        into(await db.fetch_one("SELECT id FROM thing"), Thing)


async def test_a_failing_body_stores_nothing_and_its_error_comes_out(db):
    class OwnError(Exception):
        pass

    async def body(tx):
        await tx.execute("INSERT INTO thing (id, n) VALUES ('a', 1)")
        raise OwnError

    with pytest.raises(OwnError):
        await db.transact(body)
    assert await ids(db) == []


async def test_conflict_names_its_table(db):
    await put(db, "a")
    with pytest.raises(Conflict) as caught:
        await put(db, "a")
    assert caught.value.table == "thing"


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO thing (id, n) VALUES ('x', -1)",
        "INSERT INTO thing (id, n) VALUES ('x', NULL)",
        "INSERT INTO part (id, thing) VALUES ('p', 'no such')",
    ],
)
async def test_broken_constraints_are_violations(db, sql):
    with pytest.raises(Violation):
        await db.transact(lambda tx: tx.execute(sql))


async def test_a_bad_statement_is_typed_and_quotes_no_value(db):
    """Threat A14: neither the message nor what a logged traceback shows has a parameter's value."""
    secret = "\x71uoted-value"  # spelled so that the source lines of a traceback do not hold it
    await put(db, secret)

    async def body(tx, sql):
        await tx.execute(sql, secret)

    bad = "INSERT INTO nothing VALUES ($1)", "SELECT nothing FROM thing WHERE id = $1"
    for sql, kind in (*((sql, StatementFailed) for sql in bad), ("INSERT INTO thing (id, n) VALUES ($1, 1)", Conflict)):
        with pytest.raises(kind) as caught:
            await db.transact(lambda tx, sql=sql: body(tx, sql))
        assert secret not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(StatementFailed) as caught:
        await db.fetch_all(bad[1], secret)
    assert secret not in "".join(traceback.format_exception(caught.value))


async def test_an_error_dooms_the_transaction_even_if_the_body_catches_it(db):
    async def body(tx):
        await tx.execute("INSERT INTO thing (id, n) VALUES ('a', 1)")
        with suppress(Conflict):
            await tx.execute("INSERT INTO thing (id, n) VALUES ('a', 1)")

    with pytest.raises(Conflict):
        await db.transact(body)
    assert await ids(db) == []


async def test_a_statement_after_an_error_raises_it_again(db):
    await put(db, "a")
    seen = []

    async def body(tx):
        for sql in ("INSERT INTO thing (id, n) VALUES ('a', 1)", "INSERT INTO thing (id, n) VALUES ('b', 1)"):
            try:
                await tx.execute(sql)
            except Conflict as error:
                seen.append(error)

    with pytest.raises(Conflict):
        await db.transact(body)
    assert len(seen) == 2
    assert await ids(db) == ["a"]


@pytest.mark.parametrize("seconds", [0, 0.001])
async def test_awaiting_anything_else_fails_and_stores_nothing(db, seconds):
    async def body(tx):
        await tx.execute("INSERT INTO thing (id, n) VALUES ('a', 1)")
        await asyncio.sleep(seconds)

    with pytest.raises(TransactionMisused):
        await db.transact(body)
    assert await ids(db) == []
    assert await put(db, "b") == 1


async def test_a_transaction_cannot_be_used_after_its_end(db):
    kept = []

    async def body(tx):
        kept.append(tx)

    await db.transact(body)
    with pytest.raises(TransactionMisused):
        await kept[0].execute("INSERT INTO thing (id, n) VALUES ('a', 1)")
    assert await ids(db) == []


async def test_reads_outside_see_only_what_is_committed_and_cannot_write(db):
    with pytest.raises(DatabaseError):
        await db.fetch_all("INSERT INTO thing (id, n) VALUES ('a', 1) RETURNING id")
    assert await ids(db) == []


async def test_reads_of_one_body_see_one_state(db):
    await put(db, "a")
    between, written = threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def body(reads):
        before = await reads.fetch_all("SELECT id FROM thing ORDER BY id")
        if db.dialect is Dialect.SQLITE:  # steps on a thread of its own, which may wait
            between.set()
            assert written.wait(60)
        else:
            await reads.fetch_one("SELECT pg_sleep(0) FROM pg_advisory_xact_lock(77)")
        return before, await reads.fetch_all("SELECT id FROM thing ORDER BY id")

    if db.dialect is Dialect.SQLITE:
        reading = asyncio.ensure_future(db.read(body))
        assert await loop.run_in_executor(None, between.wait, 60)
        await put(db, "b")
        written.set()
    else:
        async with held_lock(db, 77) as waited_for:
            reading = asyncio.ensure_future(db.read(body))
            await waited_for()
            await put(db, "b")
    before, after = await reading
    assert [row["id"] for row in before] == [row["id"] for row in after] == ["a"]
    assert await ids(db) == ["a", "b"]


@contextlib.asynccontextmanager
async def held_lock(db, number):
    """PostgreSQL's advisory lock, and how to wait until somebody waits for it."""
    async with db._pool.acquire() as holder:
        await holder.execute(f"SELECT pg_advisory_lock({number})")

        async def waited_for():
            async with asyncio.timeout(60):
                while not await holder.fetchval(  # noqa: ASYNC110 - the table alone says it
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted", number
                ):
                    await asyncio.sleep(0.01)

        try:
            yield waited_for
        finally:
            await holder.execute(f"SELECT pg_advisory_unlock({number})")


async def test_a_reading_body_gives_what_it_returns_or_raises(db):
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("mine")
    await put(db, "a", 7)

    async def body(reads):
        row = await reads.fetch_one("SELECT n FROM thing WHERE id = $1", "a")
        return row["n"], await reads.fetch_one("SELECT n FROM thing WHERE id = 'x'"), variable.get()

    async def failing(reads):
        await reads.fetch_one("SELECT n FROM thing")
        raise LookupError

    assert await db.read(body) == (7, None, "mine")
    for _ in range(2 * 3 + 20):  # more than there are connections: none keeps its transaction
        with pytest.raises(LookupError):
            await db.read(failing)
    await put(db, "b")
    assert await asyncio.gather(*(db.read(body) for _ in range(40))) == [(7, None, "mine")] * 40
    assert await ids(db) == ["a", "b"]


@pytest.mark.parametrize("sql", ["INSERT INTO thing (id, n) VALUES ('a', 1) RETURNING id", "SELECT nothing FROM thing"])
async def test_a_reading_body_cannot_write_and_a_failed_statement_dooms_it(db, sql):
    async def body(reads):
        with suppress(DatabaseError):
            await reads.fetch_all(sql)
        return "caught"

    with pytest.raises(DatabaseError):
        await db.read(body)
    assert await ids(db) == []
    assert await put(db, "a") == 1


@pytest.mark.parametrize("seconds", [0, 0.001])
async def test_a_reading_body_awaits_only_its_reads_and_none_after_its_end(db, seconds):
    kept = []

    async def waiting(reads):
        await reads.fetch_one("SELECT n FROM thing")
        await asyncio.sleep(seconds)

    async def keeping(reads):
        kept.append(reads)

    with pytest.raises(TransactionMisused):
        await db.read(waiting)
    await db.read(keeping)
    with pytest.raises(TransactionMisused):
        await kept[0].fetch_one("SELECT n FROM thing")
    assert await put(db, "a") == 1


async def test_a_cancelled_reader_leaves_the_database_readable(db):
    async def body(reads):
        return [await reads.fetch_all("SELECT id FROM thing") for _ in range(50)]

    calls = [asyncio.ensure_future(db.read(body)) for _ in range(30)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in results[::2])
    assert results[1::2] == [[[]] * 50] * 15
    assert await db.read(body) == [[]] * 50


async def test_callbacks_run_on_the_callers_loop_after_the_commit_in_order(db):
    loop = asyncio.get_running_loop()
    seen = []

    def note(what):
        seen.append((what, asyncio.get_running_loop() is loop))

    def broken():
        raise RuntimeError("must not disturb the others")

    db.listen(lambda topics: note(sorted(topics)))

    async def body(tx):
        await tx.execute("INSERT INTO thing (id, n) VALUES ('a', 1)")
        tx.after_commit(lambda: note("first"))
        tx.after_commit(broken)
        tx.after_commit(lambda: note("second"))
        tx.signal("b")
        tx.signal("a")
        tx.signal("b")

    await db.transact(body)
    assert seen == [("first", True), ("second", True), (["a", "b"], True)]


async def test_no_callback_after_a_failure(db):
    seen = []
    db.listen(seen.append)

    async def body(tx):
        tx.after_commit(lambda: seen.append(1))
        tx.signal("a")
        raise LookupError

    with pytest.raises(LookupError):
        await db.transact(body)
    assert seen == []


async def test_the_callers_context_is_visible(db):
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("mine")

    async def body(tx):
        return variable.get()

    assert await db.transact(body) == "mine"


async def test_neighbours_of_a_failing_body_are_stored(db):
    async def body(tx, number):
        await tx.execute("INSERT INTO thing (id, n) VALUES ($1, 1)", f"{number:03}")
        if number % 3 == 0:
            raise LookupError(number)
        return number

    results = await asyncio.gather(
        *(db.transact(lambda tx, n=number: body(tx, n)) for number in range(60)), return_exceptions=True
    )
    assert [isinstance(result, LookupError) for result in results] == [number % 3 == 0 for number in range(60)]
    assert await ids(db) == [f"{number:03}" for number in range(60) if number % 3]


async def test_read_then_write_loses_nothing(db):
    """What SQLite gives by being serial, PostgreSQL gives by SERIALIZABLE and retries."""
    await put(db, "counter", 0)

    async def body(tx):
        row = await tx.fetch_one("SELECT n FROM thing WHERE id = 'counter'")
        await tx.execute("UPDATE thing SET n = $1 WHERE id = 'counter'", row["n"] + 1)

    await asyncio.gather(*(db.transact(body) for _ in range(80)))
    assert (await db.fetch_one("SELECT n FROM thing"))["n"] == 80


async def test_write_skew_is_impossible(db):
    """Two bodies each check that the other's row is absent; serially, only one can insert."""

    async def body(tx, mine):
        if (await tx.fetch_one("SELECT count(*) AS many FROM thing"))["many"] == 0:
            await tx.execute("INSERT INTO thing (id, n) VALUES ($1, 1)", mine)

    for _ in range(10):
        await asyncio.gather(*(db.transact(lambda tx, m=str(mine): body(tx, m)) for mine in range(4)))
        assert len(await ids(db)) == 1
        await db.transact(lambda tx: tx.execute("DELETE FROM thing"))


async def test_conditional_updates_under_read_committed_let_exactly_that_many_through(db):
    """Threats, table of section A: 5 tries are 5 tries however many ask at once."""
    await put(db, "tries", 0)
    sql = "UPDATE thing SET n = n + 1 WHERE id = 'tries' AND n < 5"
    changed = await asyncio.gather(
        *(db.transact(lambda tx: tx.execute(sql), isolation=Isolation.READ_COMMITTED) for _ in range(100))
    )
    assert sum(changed) == 5


async def test_a_cancelled_caller_leaves_a_whole_transaction_or_none(db):
    async def body(tx, number):
        await tx.execute("INSERT INTO thing (id, n) VALUES ($1, 1)", f"a{number}")
        await tx.execute("INSERT INTO thing (id, n) VALUES ($1, 1)", f"b{number}")

    async def one(number):
        task = asyncio.create_task(db.transact(lambda tx: body(tx, number)))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        await asyncio.sleep(number % 5 * 0.0005)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    await asyncio.gather(*(one(number) for number in range(40)))
    stored = await ids(db)
    assert {name[1:] for name in stored if name[0] == "a"} == {name[1:] for name in stored if name[0] == "b"}
    assert await put(db, "after") == 1


async def test_what_is_accepted_is_finished_by_close_and_nothing_after(db):
    calls = [asyncio.create_task(put(db, f"{number:02}")) for number in range(20)]
    await asyncio.sleep(0)
    await db.close()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert all(result == 1 or isinstance(result, DatabaseError) for result in done)
    with pytest.raises(DatabaseClosed):
        await put(db, "late")
    with pytest.raises(DatabaseClosed):
        await ids(db)
    with pytest.raises(DatabaseClosed):
        await db.read(lambda reads: reads.fetch_one("SELECT 1 AS one"))


async def test_two_openings_of_one_database_see_each_other(db, request):
    url = request.getfixturevalue("postgres_url" if db.dialect is Dialect.POSTGRES else "sqlite_url")
    other = await open_database(url)
    try:
        await asyncio.gather(*(put(one, f"{name}{n}") for name, one in (("a", db), ("b", other)) for n in range(20)))
        assert len(await ids(other)) == len(await ids(db)) == 40
    finally:
        await other.close()
