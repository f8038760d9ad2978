"""kill -9 under group commit (threat D1): what was acknowledged is there, whole, and nothing else half.

`TEST_ROUNDS` and `TEST_SEED` lengthen the run (`make soak`).
"""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

ROUNDS = int(os.environ.get("TEST_ROUNDS", "12"))
SEED = int(os.environ.get("TEST_SEED", "20260101"))
STRIDE = 1_000_000


def writer(path, first, tasks=12, **environ):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.writer", f"sqlite://{path}", str(first), str(tasks)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ".", **environ},
    )


def judge(path, acknowledged):
    """Every acknowledged triple is there, no triple is partial, and the file is sound."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    tables = [
        {row[0] for row in connection.execute(f"SELECT id FROM {table}")} for table in ("state", "event", "effect")
    ]
    connection.close()
    assert tables[0] == tables[1] == tables[2]
    assert not {number for number in tables[0] if number % 7 == 0}
    assert acknowledged - tables[0] == set()
    return tables[0]


def test_every_acknowledged_transaction_survives_kill_9(tmp_path):
    rng = random.Random(SEED)
    path = tmp_path / "a.db"
    acknowledged: set[int] = set()
    for number in range(ROUNDS):
        child = writer(path, number * STRIDE + 1)
        first = child.stdout.readline()
        assert first, "the writer died before its first commit"
        time.sleep(rng.uniform(0, 0.15))
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate()
        acknowledged |= {int(line) for line in (first + rest).split()}
        judge(path, acknowledged)
    assert len(acknowledged) >= ROUNDS


@pytest.mark.parametrize(("point", "unreported"), [("db.before-commit:20", 0), ("db.after-commit:20", 1)])
def test_a_kill_at_either_side_of_the_commit(tmp_path, point, unreported):
    """Before it the transaction is gone; after it the transaction is there though nobody was told."""
    path = tmp_path / "a.db"
    child = writer(path, 1, tasks=1, HOATOC_CRASH_POINT=point)
    output, _ = child.communicate(timeout=300)
    assert child.returncode == -signal.SIGKILL
    acknowledged = {int(line) for line in output.split()}
    assert len(judge(path, acknowledged) - acknowledged) == unreported


def test_a_cut_or_torn_log_loses_only_its_end(tmp_path):
    """kill -9 keeps the kernel's pages; a power cut does not: cut the WAL at many lengths and flip bits in it.

    What is left is always sound and a prefix of the history, because each transaction holds the next number.
    """
    path = tmp_path / "a.db"
    child = writer(path, 1)
    while int(child.stdout.readline()) < 150:
        pass
    child.kill()
    child.communicate()
    wal = (tmp_path / "a.db-wal").read_bytes()
    whole = judge_copy(tmp_path, path, wal)
    rng = random.Random(SEED)
    frame = 24 + 4096
    lengths = {0, 31, 32, len(wal) - 1, *(rng.randrange(len(wal)) for _ in range(40))}
    lengths |= {32 + frame * rng.randrange(len(wal) // frame) for _ in range(20)}
    previous: set[int] = set()
    for length in sorted(lengths):
        found = judge_copy(tmp_path, path, wal[:length])
        assert previous <= found <= whole
        previous = found
    for _ in range(40):
        torn = bytearray(wal)
        torn[rng.randrange(len(torn))] ^= 1 << rng.randrange(8)
        assert judge_copy(tmp_path, path, bytes(torn)) <= whole


def judge_copy(folder, path, wal):
    copy = folder / "copy.db"
    for leftover in folder.glob("copy.db*"):
        leftover.unlink()
    shutil.copyfile(path, copy)
    (folder / "copy.db-wal").write_bytes(wal)
    connection = sqlite3.connect(copy)
    has_tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0] == 3
    connection.close()
    if not has_tables:
        return set()
    shutil.copyfile(path, copy)
    (folder / "copy.db-wal").write_bytes(wal)
    return judge(copy, set())
