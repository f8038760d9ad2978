# ruff: noqa: N818 - errors are named after what happened; their base says that they are errors
"""The database: one set of SQL texts and one transaction shape over SQLite and PostgreSQL (architecture §4).

`await db.transact(body)` runs `async def body(tx)`, which awaits only `tx` and has no effect but through it: on
SQLite it runs on the writer thread and shares a durable commit with others, on PostgreSQL it may run again. Both
engines give serialisable transactions and the same rules:

- an error of a statement dooms the transaction, whether or not the body catches it;
- nothing is true before `transact` returns; `after_commit` callbacks run after the durable commit;
- reads on the database itself see committed data only and cannot write; those of one `read` all see the same.

SQL is portable: `$1, $2` placeholders, `ON CONFLICT`, `RETURNING`, TEXT, BIGINT and BLOB, booleans as 0/1. A
parameter that PostgreSQL cannot type from its place is written `CAST($1 AS BIGINT)`.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import msgspec

from server.errors import HoatocError

__all__ = [
    "Conflict",
    "Database",
    "DatabaseClosed",
    "DatabaseError",
    "DatabaseUnavailable",
    "Dialect",
    "Isolation",
    "MigrationRefused",
    "OutcomeUnknown",
    "Reads",
    "Row",
    "StatementFailed",
    "StorageFailed",
    "StorageFull",
    "Transaction",
    "TransactionMisused",
    "Value",
    "Violation",
    "into",
    "migrate",
    "open_database",
]

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

Value = str | int | float | bytes | None


class Dialect(StrEnum):
    """For the few places where two named statements stand side by side."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


class Isolation(StrEnum):
    """How far concurrent transactions are kept apart on PostgreSQL. SQLite is serial whatever is asked.

    READ_COMMITTED is for bodies in which every statement decides for itself, by a condition on the row that it
    changes; it spares them collisions. Everything else is SERIALIZABLE.
    """

    SERIALIZABLE = "serializable"
    READ_COMMITTED = "read committed"


class Row(Protocol):
    def __getitem__(self, key: str | int) -> Any: ...
    def keys(self) -> Iterable[str]: ...


class Reads(Protocol):
    async def fetch_one(self, sql: str, *args: Value) -> Row | None:
        """The first row, or None. The statement itself limits what it finds."""
        ...

    async def fetch_all(self, sql: str, *args: Value) -> list[Row]: ...


class Transaction(Reads, Protocol):
    async def execute(self, sql: str, *args: Value) -> int:
        """Run a statement; the number of rows that it changed."""
        ...

    async def execute_many(self, sql: str, rows: Sequence[tuple[Value, ...]]) -> int:
        """Run a statement without RETURNING once for each row of arguments; the number of rows that all of them changed."""
        ...

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Run `callback` on the caller's loop after the durable commit, even if the caller was cancelled meanwhile."""
        ...

    def at_end(self, statements: "AtEnd") -> set[str]:
        """A set of this transaction, one for each `statements`, to add to. When the body is done, `statements(tx, set)` runs as the last of it.

        For rows that many transactions change: locked last, and in one order, they are never waited for by whoever they wait for.
        """
        ...

    def signal(self, topic: str) -> None:
        """Tell the database's listeners, after the durable commit, that something about `topic` changed."""
        ...


AtEnd = Callable[[Transaction, set[str]], Awaitable[None]]


class Database(Reads, Protocol):
    @property
    def dialect(self) -> Dialect: ...

    async def transact(
        self, body: Callable[[Transaction], Awaitable[T]], *, isolation: Isolation = Isolation.SERIALIZABLE
    ) -> T:
        """Run `body` in one transaction; its result, after the durable commit.

        Raises what the body raises, and `Conflict`, `Violation`, `StorageFull`, `DatabaseUnavailable`: in all these
        cases nothing was stored. `OutcomeUnknown` alone means that the caller has to look.
        """
        ...

    async def read(self, body: Callable[[Reads], Awaitable[T]]) -> T:
        """Run `body`, which awaits only its reads, over one committed state; its result.

        For what reads several times in a row: on SQLite all of it is one turn of a reader's thread. It cannot write, and may run again.
        """
        ...

    def listen(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Call `listener` with the topics of every transaction that this object committed (`Transaction.signal`)."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then let go of threads, files and connections."""
        ...


class DatabaseError(HoatocError):
    code = "database-error"


class Conflict(DatabaseError):
    """A unique or primary key is already taken. `table` names where (empty if the engine did not say)."""

    code = "database-conflict"

    def __init__(self, table: str = "") -> None:
        super().__init__(f"a key of {table or 'a table'} is already taken")
        self.table = table


class Violation(DatabaseError):
    """A foreign key, CHECK or NOT NULL constraint failed: a defect of ours, never an answer to a caller."""

    code = "database-violation"


class StatementFailed(DatabaseError):
    """The engine refused the statement itself (unknown column, wrong type): a defect of ours."""

    code = "database-statement-failed"


class TransactionMisused(DatabaseError):
    """A body awaited something other than its transaction, or a transaction was used after its end."""

    code = "database-transaction-misused"


class DatabaseUnavailable(DatabaseError):
    """No connection, or the lock was not had in time. Nothing was stored; trying later is safe."""

    code = "database-unavailable"


class DatabaseClosed(DatabaseUnavailable):
    code = "database-closed"


class StorageFailed(DatabaseError):
    """The volume gave an I/O error. Nothing was stored."""

    code = "storage-failed"


class StorageFull(StorageFailed):
    """The volume is full (D8). Nothing was stored; the database goes on by itself once there is space."""

    code = "storage-full"


class OutcomeUnknown(DatabaseError):
    """The answer to COMMIT was lost: the transaction took place wholly or not at all; the caller must look (D10)."""

    code = "database-outcome-unknown"


class MigrationRefused(DatabaseError):
    """The schema is newer than this program, or a migration that was applied has been edited or removed."""

    code = "database-migration-refused"


def into(row: Row, type_: type[S]) -> S:
    """The row as a struct, matched by column name; numbers 0 and 1 become booleans where the struct has one.

    Raises msgspec.ValidationError if the columns do not fit, which is a defect of the query.
    """
    return msgspec.convert({name: row[name] for name in row.keys()}, type_, strict=False)  # noqa: SIM118 - rows are no mappings


async def open_database(url: str) -> Database:
    """Open `sqlite:///absolute/path` or `postgresql://…`. For the composition root, commands and tests only."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        from server.db.sqlite import SqliteDatabase

        return await SqliteDatabase.open(rest)
    if scheme in ("postgresql", "postgres"):
        from server.db.postgres import PostgresDatabase

        return await PostgresDatabase.open(url)
    raise DatabaseUnavailable("the database URL starts neither with sqlite:/// nor with postgresql://")


async def migrate(db: Database) -> None:
    """Bring the schema to the version of this program; see `server.db.migrator`. Raises MigrationRefused."""
    from server.db.migrator import migrate as run

    await run(db)
