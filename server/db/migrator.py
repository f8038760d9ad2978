"""Forward-only migrations: files `NNNN_name.sql`, applied in order and recorded with the SHA-256 of their text.

All that is pending is applied in one transaction, so a failing file leaves the schema as it was. Two processes may
migrate at once: SQLite's writer lock and, on PostgreSQL, a lock on the record table make the second one wait and
find nothing to do. A schema newer than this program, an edited file and a missing one are refused.

A statement ends with a `;` at the end of a line; lines that start with `--` are comments. The word BLOB becomes
BYTEA on PostgreSQL; nothing else is rewritten. The comment `-- only sqlite` or `-- only postgres` leaves the statement
that follows it to that engine, where both cannot have the same index.
"""

import hashlib
import re
from pathlib import Path

import msgspec

from server.clock import Clock, SystemClock
from server.db import Conflict, Database, Dialect, MigrationRefused, StatementFailed, Transaction

FOLDER = Path(__file__).parent / "migrations"
_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_CREATE_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations (
  version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_us BIGINT NOT NULL)
"""
_ATTEMPTS = 5
_ONLY = re.compile(r"\s*-- only (sqlite|postgres)\s*")


class Migration(msgspec.Struct, frozen=True):
    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, dialect: Dialect) -> list[str]:
        statements = split(self.text, dialect)
        if dialect is Dialect.POSTGRES:
            return [re.sub(r"\bBLOB\b", "BYTEA", statement) for statement in statements]
        return statements


def load(folder: Path = FOLDER) -> list[Migration]:
    """The migrations in order. Raises MigrationRefused on a stray name or a repeated number."""
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise MigrationRefused(f"{path.name} is not named NNNN_name.sql")
        migration = Migration(version=int(match[1]), name=match[2], text=path.read_text(encoding="utf-8"))
        if migration.version in found:
            raise MigrationRefused(f"two migrations have the number {match[1]}")
        found[migration.version] = migration
    return list(found.values())


def split(text: str, dialect: Dialect | None = None) -> list[str]:
    """The statements of a file, without comment lines and closing semicolons; with `dialect`, without those of another engine."""
    statements: list[str] = []
    lines: list[str] = []
    only: str | None = None
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("--"):
            marked = _ONLY.fullmatch(line)
            only = marked[1] if marked else only
            continue
        lines.append(line)
        if line.rstrip().endswith(";"):
            if only is None or dialect is None or only == dialect:
                statements.append("\n".join(lines).rstrip().rstrip(";"))
            lines, only = [], None
    if lines:
        raise MigrationRefused("the last statement does not end with a semicolon")
    return statements


async def migrate(db: Database, *, folder: Path = FOLDER, clock: Clock | None = None) -> None:
    """Apply what is pending in `folder`. Raises MigrationRefused, or the error of a failing statement."""
    migrations = load(folder)
    now_us = (clock or SystemClock()).now_us()
    await _create_record(db)

    async def body(tx: Transaction) -> None:
        if db.dialect is Dialect.POSTGRES:
            # Taken before the transaction's snapshot, so what follows sees what the previous holder committed.
            await tx.execute("LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE")
        for migration in await _pending(tx, migrations):
            for statement in migration.statements(db.dialect):
                await tx.execute(statement)
            await tx.execute(
                "INSERT INTO schema_migrations (version, name, checksum, applied_us) VALUES ($1, $2, $3, $4)",
                migration.version,
                migration.name,
                migration.checksum,
                now_us,
            )

    await db.transact(body)


async def check_version(db: Database, *, folder: Path = FOLDER) -> None:
    """Raise MigrationRefused unless the schema is exactly the one this program knows, without changing it."""

    async def body(tx: Transaction) -> list[Migration]:
        return await _pending(tx, load(folder))

    pending = await db.transact(body)
    if pending:
        raise MigrationRefused(f"{len(pending)} migrations are pending; run `hoatoc migrate`")


async def _create_record(db: Database) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            await db.transact(lambda tx: tx.execute(_CREATE_RECORD))
            return
        except (Conflict, StatementFailed):
            # Two first starts at once collide in PostgreSQL's own catalogue, IF NOT EXISTS notwithstanding.
            if attempt == _ATTEMPTS - 1:
                raise


async def _pending(tx: Transaction, migrations: list[Migration]) -> list[Migration]:
    rows = await tx.fetch_all("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
    for row, migration in zip(rows, migrations, strict=False):
        if row["version"] != migration.version:
            raise MigrationRefused(f"the schema has migration {row['version']} where {migration.version} was expected")
        if row["checksum"] != migration.checksum:
            raise MigrationRefused(f"migration {migration.version:04}_{migration.name} was edited after it was applied")
    if len(rows) > len(migrations):
        raise MigrationRefused(
            f"the schema is at version {rows[-1]['version']}, newer than this program; install the newer program"
        )
    return migrations[len(rows) :]
