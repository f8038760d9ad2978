"""Forward-only migrations, on both engines (architecture §4, threat D11)."""

import asyncio
import multiprocessing

import pytest

from server.db import Dialect, MigrationRefused, StatementFailed, migrate, open_database
from server.db.migrator import check_version, load, split
from server.db.migrator import migrate as migrate_from

pytestmark = pytest.mark.asyncio
NEXT = 9000  # after every real migration


@pytest.fixture
def folder(tmp_path):
    """The real migrations, to which a test adds its own."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    for migration in load():
        (folder / f"{migration.version:04}_{migration.name}.sql").write_text(migration.text)
    return folder


async def versions(db):
    return [row["version"] for row in await db.fetch_all("SELECT version FROM schema_migrations ORDER BY version")]


async def test_migrating_again_changes_nothing(db):
    before = await db.fetch_all("SELECT version, applied_us FROM schema_migrations ORDER BY version")
    await migrate(db)
    after = await db.fetch_all("SELECT version, applied_us FROM schema_migrations ORDER BY version")
    assert list(map(tuple, map(dict.items, map(dict, before)))) == list(map(tuple, map(dict.items, map(dict, after))))
    assert len(before) == len(load())
    await check_version(db)


async def test_a_new_file_is_applied_and_blob_is_bytes_on_both(db, folder):
    (folder / f"{NEXT}_more.sql").write_text(
        "-- a comment;\nCREATE TABLE more (\n  data BLOB\n);\n\nINSERT INTO more\n  VALUES (NULL);\n"
    )
    with pytest.raises(MigrationRefused, match="pending"):
        await check_version(db, folder=folder)
    await migrate_from(db, folder=folder)
    await db.transact(lambda tx: tx.execute("UPDATE more SET data = $1", b"\xff\x00"))
    assert (await db.fetch_one("SELECT data FROM more"))["data"] == b"\xff\x00"
    assert (await versions(db))[-1] == NEXT


async def test_a_newer_schema_is_refused(db, folder):
    (folder / f"{NEXT}_more.sql").write_text("CREATE TABLE more (id TEXT);\n")
    await migrate_from(db, folder=folder)
    with pytest.raises(MigrationRefused, match="newer"):
        await migrate(db)


async def test_an_edited_file_is_refused(db, folder):
    first = min(folder.iterdir())
    first.write_text(first.read_text() + "\n-- edited\n")
    with pytest.raises(MigrationRefused, match="edited"):
        await migrate_from(db, folder=folder)


async def test_a_removed_file_is_refused(db, folder):
    min(folder.iterdir()).unlink()
    with pytest.raises(MigrationRefused):
        await migrate_from(db, folder=folder)


async def test_a_failing_file_leaves_the_schema_as_it_was(db, folder):
    before = await versions(db)
    (folder / f"{NEXT}_good.sql").write_text("CREATE TABLE good (id TEXT);\n")
    (folder / f"{NEXT + 1}_bad.sql").write_text("CREATE TABLE bad (id TEXT);\nINSERT INTO nothing VALUES (1);\n")
    with pytest.raises(StatementFailed):
        await migrate_from(db, folder=folder)
    assert await versions(db) == before
    with pytest.raises(StatementFailed):
        await db.fetch_all("SELECT id FROM good")


@pytest.mark.parametrize("name", ["1_short.sql", "0001_Upper.sql", "notes.sql"])
async def test_a_stray_name_is_refused(tmp_path, name):
    (tmp_path / name).write_text("SELECT 1;\n")
    with pytest.raises(MigrationRefused):
        load(tmp_path)


async def test_a_repeated_number_is_refused(tmp_path):
    for name in ("0001_a.sql", "0001_b.sql"):
        (tmp_path / name).write_text("SELECT 1;\n")
    with pytest.raises(MigrationRefused):
        load(tmp_path)


async def test_a_file_without_its_last_semicolon_is_refused():
    assert split("SELECT 1;\n-- x\nSELECT\n ';' ;\n") == ["SELECT 1", "SELECT\n ';' "]
    with pytest.raises(MigrationRefused):
        split("SELECT 1;\nSELECT 2")


def _migrate_in_process(url: str, start) -> None:
    async def main() -> None:
        start.wait(60)  # opening a new database at once is part of it
        db = await open_database(url)
        start.wait(60)
        await migrate(db)
        await db.close()

    asyncio.run(main())


@pytest.mark.parametrize("dialect", list(Dialect))
async def test_processes_may_migrate_an_empty_database_at_once(dialect, tmp_path, request):
    if dialect is Dialect.SQLITE:
        url = f"sqlite://{tmp_path}/empty.db"
    else:
        cluster = request.getfixturevalue("postgres_cluster")
        await cluster.command("CREATE DATABASE empty")
        url = cluster.url("empty")
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(3)
    # As daemons none of them holds this process back at its end.
    processes = [context.Process(target=_migrate_in_process, args=(url, start), daemon=True) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join, 180)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    db = await open_database(url)
    assert await versions(db) == [migration.version for migration in load()]
    await db.close()
    if dialect is Dialect.POSTGRES:
        await cluster.command("DROP DATABASE empty WITH (FORCE)")
