"""A full disk and failing writes (threat D8): nothing acknowledged is lost, nothing is half, and it heals by itself.

Needs root for a small tmpfs; otherwise the file-size limit of a child process stands in for the full volume.
"""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from server.clock import SystemClock
from server.db import StorageFailed, StorageFull, open_database
from server.errors import Refused
from server.storage.files import FileBlobs


@pytest.fixture
def volume(tmp_path):
    """8 MB that can be filled."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("a small tmpfs needs root", pytrace=False)
        pytest.skip("a tmpfs needs root; the file-size limit is tested instead")
    folder = tmp_path / "volume"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


async def insert(db, number, size=2000):
    async def body(tx):
        await tx.execute("INSERT INTO a (id) VALUES ($1)", number)
        await tx.execute("INSERT INTO b (id, filler) VALUES ($1, $2)", number, "x" * size)
        return number

    return await db.transact(body)


async def create(db):
    async def body(tx):
        await tx.execute("CREATE TABLE a (id BIGINT PRIMARY KEY)")
        await tx.execute("CREATE TABLE b (id BIGINT PRIMARY KEY, filler TEXT)")

    await db.transact(body)


def check(path, acknowledged):
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    a, b = ({row[0] for row in connection.execute(f"SELECT id FROM {table}")} for table in "ab")
    connection.close()
    assert a == b == acknowledged


@pytest.mark.asyncio
async def test_the_database_refuses_when_full_and_goes_on_when_there_is_space(volume):
    db = await open_database(f"sqlite://{volume}/a.db")
    await create(db)
    acknowledged: set[int] = set()
    number = 0
    for _round in range(3):
        ballast = volume / "ballast"
        free = shutil.disk_usage(volume).free
        ballast.write_bytes(b"x" * max(0, free - 400_000))
        refused = 0
        while refused < 5:
            batch = range(number, number + 8)
            number += 8
            for result in await asyncio.gather(*(insert(db, n) for n in batch), return_exceptions=True):
                if isinstance(result, int):
                    acknowledged.add(result)
                else:
                    assert isinstance(result, StorageFull), repr(result)
                    refused += 1
        assert {row["id"] for row in await db.fetch_all("SELECT id FROM a")} == acknowledged  # reading goes on
        ballast.unlink()
        number += 1
        acknowledged.add(await insert(db, number))  # the very next one, without a restart
        number += 1
        # The table's own rows must not fill the volume for the next round.
        await db.transact(lambda tx: tx.execute("UPDATE b SET filler = ''"))
    await db.close()
    check(volume / "a.db", acknowledged)


@pytest.mark.asyncio
async def test_blobs_refuse_when_full_and_leave_nothing(volume):
    blobs = FileBlobs(volume / "blobs", SystemClock(), reserve_bytes=0)
    kept = [await blobs.put_bytes(os.urandom(500_000)) for _ in range(3)]
    (volume / "ballast").write_bytes(b"x" * (shutil.disk_usage(volume).free - 100_000))
    upload = blobs.scratch() / "upload"
    upload.write_bytes(b"y" * 50_000)
    for attempt in (blobs.put_bytes(os.urandom(300_000)), blobs.require_space(300_000)):
        with pytest.raises(Refused) as caught:
            await attempt
        assert caught.value.code == "insufficient-storage"
    # The check is early; the volume may still fill up between it and the write.
    blind = FileBlobs(volume / "blobs", SystemClock(), reserve_bytes=-(2**40))
    with pytest.raises(Refused):
        await blind.put_bytes(os.urandom(300_000))
    assert [path.name for path in blobs.scratch().iterdir()] == ["upload"]
    assert len(list((volume / "blobs").glob("??/*"))) == 3
    (volume / "ballast").unlink()
    digest = await blobs.put_file(upload)
    assert await blobs.read(digest) == b"y" * 50_000
    for digest in kept:
        await blobs.read(digest)


_LIMITED = """
import asyncio, resource, signal, sys
from server.db import DatabaseError, open_database

async def main():
    db = await open_database("sqlite://" + sys.argv[1])
    async def create(tx):
        await tx.execute("CREATE TABLE a (id BIGINT PRIMARY KEY)")
        await tx.execute("CREATE TABLE b (id BIGINT PRIMARY KEY, filler TEXT)")
    await db.transact(create)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    failed = False
    for number in range(2000):
        if number == 20:
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
        async def body(tx, number=number):
            await tx.execute("INSERT INTO a (id) VALUES ($1)", number)
            await tx.execute("INSERT INTO b (id, filler) VALUES ($1, $2)", number, "x" * 3000)
        try:
            await db.transact(body)
            print(number, flush=True)
        except DatabaseError as error:
            print(error.code, file=sys.stderr)
            if failed:
                break
            failed = True
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await db.close()

asyncio.run(main())
"""


def test_a_write_that_fails_in_the_middle_loses_nothing_acknowledged(tmp_path):
    """RLIMIT_FSIZE makes the log's write fail with EFBIG, an I/O error rather than a full volume."""
    path = tmp_path / "a.db"
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(path)],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        check=False,
    )
    acknowledged = {int(line) for line in done.stdout.split()}
    errors = done.stderr.decode().split()
    assert done.returncode == 0, done.stderr
    assert errors == ["database-outcome-unknown"] or set(errors) <= {"storage-failed", "storage-full"}
    assert len(acknowledged) == 1999  # it went on after the limit was lifted
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    stored = {row[0] for row in connection.execute("SELECT id FROM a")}
    connection.close()
    assert acknowledged <= stored


@pytest.mark.asyncio
async def test_a_database_on_a_read_only_or_foreign_file_is_refused(tmp_path):
    (tmp_path / "a.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StorageFailed):
        await open_database(f"sqlite://{tmp_path}/a.db")
    with pytest.raises(StorageFailed):
        await open_database(f"sqlite://{tmp_path}/no/such/folder/a.db")
