"""PostgreSQL through asyncpg: every body in its own SERIALIZABLE transaction, retried whole when it collides.

SERIALIZABLE rather than READ COMMITTED, because the same bodies run on SQLite, which is serial: a rule that holds in a
body there holds here, without a row lock at each place that reads before it writes. The price are collisions. The
first retry is free; from the second on a transaction queues behind an advisory lock, so that writers of one hot row
(the audit log's head) take turns instead of wearing each other out.

Reads outside a transaction run on connections whose sessions are read-only, as SQLite's readers are. Errors are
raised `from None`: a PostgreSQL error's detail quotes row values, which belong in no log (A14).
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager, suppress
from types import coroutine
from typing import Any, TypeVar, cast

import asyncpg

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
    StorageFull,
    Transaction,
    TransactionMisused,
    Value,
    Violation,
)
from server.db.transaction import Outbox

T = TypeVar("T")
# The pool hands out proxies of connections; both spellings behave alike.
_Connection = Any

POOL_SIZE = 10
COMMAND_TIMEOUT_S = 30.0
ACQUIRE_TIMEOUT_S = 10.0
ATTEMPTS = 12
RETRY_FOR_S = 10.0
QUEUE_FROM_ATTEMPT = 3
_QUEUE_LOCK = 0x686F61746F63  # "hoatoc"
_SESSION = {
    "application_name": "hoatoc",
    "default_transaction_read_only": "on",
    "idle_in_transaction_session_timeout": "60000",
    "timezone": "UTC",
}


class _Collided(DatabaseUnavailable):
    """A serialisation failure or a deadlock: nothing was stored, run it again."""


class _Lost(DatabaseUnavailable):
    """The connection was not to be had or broke."""


_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


def translate(error: Exception) -> DatabaseError:
    """The typed error for one of asyncpg or the socket. Messages hold no values."""
    if isinstance(error, DatabaseError):
        return error
    if isinstance(error, asyncpg.UniqueViolationError):
        return Conflict(getattr(error, "table_name", None) or "")
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return Violation(f"constraint {getattr(error, 'constraint_name', None) or type(error).__name__} failed")
    if isinstance(error, asyncpg.SerializationError | asyncpg.DeadlockDetectedError):
        return _Collided("the transaction collided with another")
    if isinstance(error, asyncpg.DiskFullError):
        return StorageFull("the database's volume is full")
    if isinstance(error, _LOST):
        return _Lost("the database is not reachable")
    if isinstance(error, asyncpg.DataError):  # its text quotes the value; also an InterfaceError when found client-side
        return StatementFailed("a parameter does not fit its type")
    if isinstance(error, asyncpg.PostgresError):
        return StatementFailed(f"{error.sqlstate}: {error.args[0] if error.args else type(error).__name__}")
    if isinstance(error, asyncpg.InterfaceError):
        return _Lost("the connection was closed")
    return StatementFailed(type(error).__name__)


class _Transaction:
    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self.outbox = Outbox()
        self.after_commit = self.outbox.after_commit
        self.signal = self.outbox.signal
        self.at_end = self.outbox.at_end
        self.busy = False

    async def execute(self, sql: str, *args: Value) -> int:
        count = cast("str", await self._run(self._connection.execute, sql, args)).rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def execute_many(self, sql: str, rows: Sequence[tuple[Value, ...]]) -> int:
        # One after another: asyncpg's own way does not tell how many rows were changed.
        return sum([await self.execute(sql, *row) for row in rows])

    async def fetch_one(self, sql: str, *args: Value) -> Row | None:
        return cast("Row | None", await self._run(self._connection.fetchrow, sql, args))

    async def fetch_all(self, sql: str, *args: Value) -> list[Row]:
        return cast("list[Row]", await self._run(self._connection.fetch, sql, args))

    async def _run(self, call: Callable[..., Awaitable[Any]], sql: str, args: tuple[Value, ...]) -> Any:
        self.outbox.check()
        self.busy = True
        try:
            return await call(sql, *args)
        except Exception as error:
            self.outbox.doom = translate(error)
            raise self.outbox.doom from None
        finally:
            self.busy = False


@coroutine
def _drive(body: Coroutine[Any, Any, T], transaction: _Transaction) -> Generator[Any, Any, T]:
    """Await `body`, but fail when it waits while no statement of its transaction is running (as on SQLite)."""
    sending: Any = None
    throwing: BaseException | None = None
    while True:
        try:
            waited = body.send(sending) if throwing is None else body.throw(throwing)
        except StopIteration as end:
            return cast("T", end.value)
        if not transaction.busy:
            body.close()
            raise TransactionMisused("the body awaited something other than its transaction")
        sending, throwing = None, None
        try:
            sending = yield waited
        except BaseException as error:  # a cancellation, which the body may see as any other await would
            throwing = error


class PostgresDatabase:
    """A pool of connections to one PostgreSQL database."""

    dialect = Dialect.POSTGRES

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._closed = False

    @classmethod
    async def open(cls, url: str) -> "PostgresDatabase":
        """Connect to `postgresql://…`. Raises DatabaseUnavailable."""
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=POOL_SIZE,
                command_timeout=COMMAND_TIMEOUT_S,
                init=_prepare,
                reset=_keep,
                server_settings=_SESSION,
            )
        except Exception as error:  # whatever stands between us and the server
            raise translate(error) from None
        return cls(pool)

    async def transact(
        self, body: Callable[[Transaction], Awaitable[T]], *, isolation: Isolation = Isolation.SERIALIZABLE
    ) -> T:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + RETRY_FOR_S
        attempt = 1
        while True:
            try:
                return await self._attempt(body, isolation, attempt)
            except (_Collided, _Lost):
                # Nothing was stored: a loss at COMMIT is raised as OutcomeUnknown instead.
                if attempt == ATTEMPTS or loop.time() > give_up:
                    raise
                await asyncio.sleep(random.uniform(0, min(0.5, 0.002 * 2**attempt)))  # noqa: S311 - jitter
                attempt += 1

    async def _attempt(self, body: Callable[[Transaction], Awaitable[T]], isolation: Isolation, attempt: int) -> T:
        async with self._connection() as connection:
            queued = attempt >= QUEUE_FROM_ATTEMPT
            if queued:
                await _command(connection, f"SELECT pg_advisory_lock({_QUEUE_LOCK})")
            result = await _run_body(connection, body, isolation, self._listeners)
            if queued:
                await _command(connection, f"SELECT pg_advisory_unlock({_QUEUE_LOCK})")
            return result

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[_Connection, None]:
        """A connection; one that is left by an exception with a transaction or the queue's lock is thrown away."""
        if self._closed:
            raise DatabaseClosed("the database was closed")
        try:
            connection = await self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S)
        except Exception as error:
            raise translate(error) from None
        try:
            yield connection
        except BaseException:
            await _restore(connection)
            raise
        finally:
            await self._release(connection)

    async def _release(self, connection: _Connection) -> None:
        try:
            await self._pool.release(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):  # it broke while idle: the pool replaces it
            return

    async def fetch_one(self, sql: str, *args: Value) -> Row | None:
        return cast("Row | None", await self._read("fetchrow", sql, args))

    async def fetch_all(self, sql: str, *args: Value) -> list[Row]:
        return cast("list[Row]", await self._read("fetch", sql, args))

    async def _read(self, method: str, sql: str, args: tuple[Value, ...]) -> Any:
        try:
            return await self._read_once(method, sql, args)
        except _Lost:  # a restarted server leaves the pool full of dead connections; a read may simply be done again
            return await self._read_once(method, sql, args)

    async def _read_once(self, method: str, sql: str, args: tuple[Value, ...]) -> Any:
        async with self._connection() as connection:
            try:
                return await getattr(connection, method)(sql, *args)
            except Exception as error:
                raise translate(error) from None

    async def read(self, body: Callable[[Reads], Awaitable[T]]) -> T:
        try:
            return await self._read_whole(body)
        except _Lost:
            return await self._read_whole(body)

    async def _read_whole(self, body: Callable[[Reads], Awaitable[T]]) -> T:
        async with self._connection() as connection:
            await _command(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            transaction = _Transaction(connection)
            try:
                result = await _drive(cast("Coroutine[Any, Any, T]", body(transaction)), transaction)
            finally:
                transaction.outbox.end()
            if transaction.outbox.doom is not None:
                raise transaction.outbox.doom
            await _command(connection, "COMMIT")
            return result

    def listen(self, listener: Callable[[frozenset[str]], None]) -> None:
        self._listeners.append(listener)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


async def _prepare(connection: _Connection) -> None:
    # sum() over BIGINT is NUMERIC here and an integer on SQLite; the caller gets an integer from both.
    await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=_number, format="text")


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


async def _keep(_connection: _Connection) -> None:
    """Nothing to reset: sessions hold no state, and the usual reset costs a round trip at each release."""


async def _command(connection: _Connection, sql: str) -> str:
    try:
        return cast("str", await connection.execute(sql))
    except Exception as error:
        raise translate(error) from None


async def _run_body(
    connection: _Connection,
    body: Callable[[Transaction], Awaitable[T]],
    isolation: Isolation,
    listeners: list[Callable[[frozenset[str]], None]],
) -> T:
    """BEGIN, the body, COMMIT, callbacks. Raises _Collided or _Lost when it may be run again."""
    await _command(connection, f"BEGIN ISOLATION LEVEL {isolation} READ WRITE")
    transaction = _Transaction(connection)
    outbox = transaction.outbox
    try:
        result = await _drive(cast("Coroutine[Any, Any, T]", outbox.whole(body, transaction)), transaction)
    except Exception:
        # What a body makes of a collision (it may have caught it) is no answer: the whole is run again.
        if isinstance(outbox.doom, _Collided | _Lost):
            raise outbox.doom from None
        raise
    finally:
        outbox.end()
    if outbox.doom is not None:
        raise outbox.doom
    commit = asyncio.ensure_future(connection.execute("COMMIT"))
    try:
        # A caller that goes away does not stop a COMMIT on the wire; its callbacks run if it took place.
        await asyncio.shield(commit)
    finally:
        if not commit.done():
            await asyncio.wait([commit])
        _judge(commit)
        outbox.publish(listeners)
    return result


def _judge(commit: "asyncio.Future[str]") -> None:
    """Raise unless the transaction is durable."""
    error = commit.exception()
    if error is None:
        if commit.result() != "COMMIT":  # an aborted transaction answers COMMIT with ROLLBACK
            raise StatementFailed("the transaction had been aborted")
        return
    translated = translate(error) if isinstance(error, Exception) else None
    if isinstance(translated, _Collided | Conflict | Violation | StorageFull):
        raise translated from None
    raise OutcomeUnknown("the connection was lost at COMMIT") from None


async def _restore(connection: _Connection) -> None:
    """Leave neither a transaction nor a lock behind; a connection that cannot say so is closed."""
    try:
        if connection.is_closed():
            return
        await connection.execute(f"ROLLBACK; SELECT pg_advisory_unlock_all() /* {_QUEUE_LOCK} */")
    except BaseException as error:
        # The pool takes a connection back by itself when its server goes away; then it is no longer ours to end (D10).
        with suppress(asyncpg.InterfaceError):
            connection.terminate()
        if not isinstance(error, Exception):
            raise
