"""SQLite: one writer thread with group commit, and aiosqlite connections for reading.

The writer takes the bodies that have queued, steps each coroutine itself inside a savepoint (a transaction's methods
execute at once, so a body that awaits only `tx` never yields), commits the group once with `synchronous=FULL`, and
answers only then. A failing body takes back its own savepoint, or the transaction where it is alone; a failing commit
fails the whole group. Deferred constraints are therefore not part of the portable SQL: one member's would fail its neighbours.

A body that yields has awaited something else: it fails loudly. That enforces "no network in a transaction".

Longer than most: writer and readers step bodies in the same way.
"""

import asyncio
import contextvars
import queue
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite

from server import crash
from server.db import (
    Conflict,
    DatabaseClosed,
    DatabaseError,
    DatabaseUnavailable,
    Dialect,
    Isolation,
    OutcomeUnknown,
    Reads,
    Row,
    StatementFailed,
    StorageFailed,
    StorageFull,
    Transaction,
    TransactionMisused,
    Value,
    Violation,
)
from server.db.transaction import Outbox

T = TypeVar("T")

GROUP_LIMIT = 256  # members of one commit; more would only make the first of them wait longer
READERS = 3
BUSY_TIMEOUT_MS = 10_000
_MISUSE = "the body awaited something other than its transaction"
_NAMES = tuple(str(number) for number in range(1, 100))
_UNIQUE = {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID"}
_LOCKED = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"}
_BROKEN = {"SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_NOMEM"}


def _bind(args: tuple[Value, ...]) -> dict[str, Value]:
    # `$1` is a *named* parameter for SQLite; binding it by position is deprecated since Python 3.12.
    return dict(zip(_NAMES, args, strict=False))


def translate(error: sqlite3.Error) -> DatabaseError:
    """The typed error for one of sqlite3. Messages name tables and columns at most, never values."""
    name = getattr(error, "sqlite_errorname", "") or ""
    family = "_".join(name.split("_")[:2])
    if name in _UNIQUE:
        return Conflict(str(error).rpartition(": ")[2].partition(".")[0])
    if family == "SQLITE_CONSTRAINT":
        return Violation(str(error))
    if family == "SQLITE_FULL" or name == "SQLITE_IOERR_SHMSIZE":
        return StorageFull("the database's volume is full")
    if family in _LOCKED:
        return DatabaseUnavailable("the database stayed locked by another process")
    if family in _BROKEN:
        return StorageFailed(f"the database file cannot be used ({name})")
    return StatementFailed(f"{name or type(error).__name__}: {error}")


def _configure(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    _switch_to_wal(connection)
    for pragma in (
        "synchronous = FULL",
        "foreign_keys = ON",
        "trusted_schema = OFF",
        "journal_size_limit = 67108864",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Processes that meet at a new database each ask for it, and only one can have the file to itself.

    SQLite asks no busy handler where waiting could not end (two holders of a shared lock): the others are answered
    SQLITE_BUSY at once, and ask again until the same time has passed.
    """
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if isinstance(translate(error), DatabaseUnavailable) and time.monotonic() < until:
                time.sleep(0.01)
                continue
            raise
        return


class _Transaction:
    """Executes at once on the writer thread: its coroutines never suspend."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.outbox = Outbox()
        self.after_commit = self.outbox.after_commit
        self.signal = self.outbox.signal
        self.at_end = self.outbox.at_end

    async def execute(self, sql: str, *args: Value) -> int:
        cursor, _ = self._run(sql, args)
        return max(cursor.rowcount, 0)

    async def execute_many(self, sql: str, rows: Sequence[tuple[Value, ...]]) -> int:
        self.outbox.check()
        try:
            return max(self._connection.executemany(sql, map(_bind, rows)).rowcount, 0)
        except sqlite3.Error as error:
            self.outbox.doom = translate(error)
            raise self.outbox.doom from error
        except (OverflowError, ValueError) as error:  # it cannot be bound; rows before it have changed something
            self.outbox.doom = StatementFailed("a parameter does not fit its type")
            raise self.outbox.doom from error

    async def fetch_one(self, sql: str, *args: Value) -> Row | None:
        _, rows = self._run(sql, args)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, *args: Value) -> list[Row]:
        return self._run(sql, args)[1]

    def _run(self, sql: str, args: tuple[Value, ...]) -> tuple[sqlite3.Cursor, list[Row]]:
        self.outbox.check()
        try:
            cursor = self._connection.execute(sql, _bind(args))
            # All rows are taken here: a statement with RETURNING has changed everything only once it was stepped to
            # its end, and an open cursor would hold up the commit.
            return cursor, cast("list[Row]", cursor.fetchall())
        except sqlite3.Error as error:
            self.outbox.doom = translate(error)
            raise self.outbox.doom from error


class _Call:
    """One body waiting for its turn, and where its answer goes."""

    def __init__(self, body: Callable[[Transaction], Awaitable[Any]], loop: asyncio.AbstractEventLoop) -> None:
        self.body = body
        self.loop = loop
        self.context = contextvars.copy_context()
        self.future: asyncio.Future[Any] = loop.create_future()
        self.outbox: Outbox | None = None
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        """Step the body to its end; leaves `result` or `error`. Never raises."""
        transaction = _Transaction(connection)
        self.outbox = transaction.outbox
        try:
            self.result = self.context.run(_drive, partial(transaction.outbox.whole, self.body), transaction)
            if transaction.outbox.doom is not None:
                raise transaction.outbox.doom
        except BaseException as error:  # whatever a body raises is its caller's, the thread lives on
            self.error = error
        finally:
            transaction.outbox.end()

    def answer(self, listeners: list[Callable[[frozenset[str]], None]]) -> None:
        """On the caller's loop, after the commit or its failure."""
        if self.error is None and self.outbox is not None:
            self.outbox.publish(listeners)
        if self.future.done():  # cancelled while waiting
            return
        if self.error is None:
            self.future.set_result(self.result)
        elif isinstance(self.error, StopIteration):  # a future cannot carry it
            self.future.set_exception(RuntimeError("the body raised StopIteration"))
        else:
            self.future.set_exception(self.error)


def _look(connection: sqlite3.Connection, body: Callable[[Reads], Awaitable[T]]) -> T:
    """Step a reading body to its end over one snapshot, on the thread of a connection that cannot write."""
    transaction = _Transaction(connection)
    try:
        connection.execute("BEGIN")
        result = _drive(body, transaction)
    except sqlite3.Error as error:
        raise translate(error) from error
    finally:
        transaction.outbox.end()
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    if transaction.outbox.doom is not None:
        raise transaction.outbox.doom
    return result


def _drive(body: Callable[[Transaction], Awaitable[T]], transaction: Transaction) -> T:
    coroutine = cast("Coroutine[Any, Any, T]", body(transaction))
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    except RuntimeError as error:
        if str(error) == "no running event loop":  # what asyncio says before it even suspends on this thread
            raise TransactionMisused(_MISUSE) from error
        raise
    coroutine.close()
    raise TransactionMisused(_MISUSE)


class _Writer(threading.Thread):
    """Owns the only connection that writes."""

    def __init__(self, path: str, listeners: list[Callable[[frozenset[str]], None]]) -> None:
        super().__init__(name="sqlite-writer", daemon=True)
        self._path = path
        self._listeners = listeners
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None

    def submit(self, call: _Call | None) -> None:
        self._calls.put(call)

    def run(self) -> None:
        closing = False
        while not closing:
            group, closing = self._next_group()
            if group:
                self._commit_group(group)
                _deliver(group, self._listeners)
        if self._connection is not None:
            self._connection.close()

    def _next_group(self) -> tuple[list[_Call], bool]:
        call = self._calls.get()
        group: list[_Call] = []
        while call is not None:
            if not call.future.cancelled():
                group.append(call)
            if len(group) == GROUP_LIMIT:
                return group, False
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit_group(self, group: list[_Call]) -> None:
        try:
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            _fail(group, translate(error))
            self._recover()
            return
        try:
            if len(group) == 1:
                # Nobody's work has to outlive its failure: no savepoint, behind which each changed page is copied once more.
                group[0].run(connection)
                if group[0].error is not None:
                    connection.execute("ROLLBACK")
                    return
            else:
                for call in group:
                    _run_in_savepoint(call, connection)
        except sqlite3.Error as error:
            # The engine gave up the whole transaction (SQLITE_FULL and I/O errors may), with every member's savepoint;
            # what the savepoint's end reports then is only a consequence.
            _fail(group, _cause(group) or translate(error))
            self._recover()
            return
        try:
            crash.point("db.before-commit")
            connection.execute("COMMIT")
            crash.point("db.after-commit")
        except sqlite3.Error as error:
            _fail(group, _commit_failure(error))
            self._recover()

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None, cached_statements=512)
            try:
                _configure(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _recover(self) -> None:
        """Start afresh after a failure of the group: what the page cache holds is no longer to be believed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.rollback()
                connection.close()
            except sqlite3.Error:
                pass


def _run_in_savepoint(call: _Call, connection: sqlite3.Connection) -> None:
    connection.execute("SAVEPOINT member")
    call.run(connection)
    if call.error is not None:
        connection.execute("ROLLBACK TO member")
    connection.execute("RELEASE member")


def _fail(group: list[_Call], error: DatabaseError) -> None:
    for call in group:
        if call.error is None:
            call.error = error


def _cause(group: list[_Call]) -> DatabaseError | None:
    for call in group:
        if call.outbox is not None and isinstance(call.outbox.doom, StorageFailed):
            return call.outbox.doom
    return None


def _commit_failure(error: sqlite3.Error) -> DatabaseError:
    translated = translate(error)
    if isinstance(translated, StorageFull | DatabaseUnavailable | Violation):
        return translated  # the commit record was not written
    # After a failed write or flush nobody can say whether a later recovery finds the commit record.
    return OutcomeUnknown("the commit met an I/O error")


def _deliver(group: list[_Call], listeners: list[Callable[[frozenset[str]], None]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Call]] = {}
    for call in group:
        by_loop.setdefault(call.loop, []).append(call)
    for loop, calls in by_loop.items():
        try:
            loop.call_soon_threadsafe(_answer_all, calls, listeners)
        except RuntimeError:  # the loop has closed; nobody waits any more
            continue


def _answer_all(calls: list[_Call], listeners: list[Callable[[frozenset[str]], None]]) -> None:
    for call in calls:
        call.answer(listeners)


class _Reader:
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection
        self.pending = 0


class SqliteDatabase:
    """The embedded database: one file, any number of reading tasks, one writer."""

    dialect = Dialect.SQLITE

    def __init__(self, path: str) -> None:
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._writer = _Writer(path, self._listeners)
        self._readers: list[_Reader] = []
        self._closed = False

    @classmethod
    async def open(cls, path: str | Path) -> "SqliteDatabase":
        """Open or create the file at the absolute `path`. Raises DatabaseError if it is not usable."""
        if not Path(path).is_absolute():
            raise DatabaseUnavailable("the path of an SQLite database must be absolute: sqlite:///folder/file")
        database = cls(str(path))
        database._writer.start()
        try:
            await database.transact(_nothing)  # creates the file, and fails here rather than at the first use
            for _ in range(READERS):
                database._readers.append(_Reader(await _open_reader(str(path))))
        except BaseException:
            await database.close()
            raise
        return database

    async def transact(
        self,
        body: Callable[[Transaction], Awaitable[T]],
        *,
        isolation: Isolation = Isolation.SERIALIZABLE,  # noqa: ARG002 - one writer is serial
    ) -> T:
        if self._closed:
            raise DatabaseClosed("the database was closed")
        call = _Call(body, asyncio.get_running_loop())
        self._writer.submit(call)
        return cast("T", await call.future)

    async def fetch_one(self, sql: str, *args: Value) -> Row | None:
        rows = await self.fetch_all(sql, *args)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, *args: Value) -> list[Row]:
        with self._reader() as connection:
            try:
                return list(await connection.execute_fetchall(sql, _bind(args)))
            except sqlite3.Error as error:
                raise translate(error) from error

    async def read(self, body: Callable[[Reads], Awaitable[T]]) -> T:
        with self._reader() as connection:
            # aiosqlite has no public name for several statements in one turn of its thread.
            step = partial(contextvars.copy_context().run, _look, connection._conn, body)  # noqa: SLF001
            return cast("T", await connection._execute(step))  # type: ignore[no-untyped-call]  # noqa: SLF001

    @contextmanager
    def _reader(self) -> Generator[aiosqlite.Connection, None, None]:
        """A statement needs no connection to itself: aiosqlite queues; the shortest queue answers first."""
        if self._closed:
            raise DatabaseClosed("the database was closed")
        reader = min(self._readers, key=lambda one: one.pending)
        reader.pending += 1
        try:
            yield reader.connection
        finally:
            reader.pending -= 1

    def listen(self, listener: Callable[[frozenset[str]], None]) -> None:
        self._listeners.append(listener)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._writer.submit(None)
        await asyncio.to_thread(self._writer.join)
        for reader in self._readers:
            await reader.connection.close()


async def _nothing(_tx: Transaction) -> None:
    return None


async def _open_reader(path: str) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None, cached_statements=512)
    connection.row_factory = sqlite3.Row
    for pragma in (f"busy_timeout = {BUSY_TIMEOUT_MS}", "query_only = ON", "trusted_schema = OFF"):
        await connection.execute_fetchall(f"PRAGMA {pragma}")
    return connection
