"""A demonstration that was killed leaves a folder; the next one removes it, and only it."""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from server.demo.run import clean_up

# Holds a folder as a running demonstration does, and waits for its end.
HOLDS = (
    "import fcntl, sys, time; lock = open(sys.argv[1] + '/alive.new', 'w'); fcntl.flock(lock, fcntl.LOCK_EX);"
    "import os; os.rename(lock.name, sys.argv[1] + '/alive'); print('held', flush=True); time.sleep(600)"
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def folder(place: Path, name: str) -> Path:
    made = place / name
    (made / "state" / "secrets").mkdir(parents=True)
    (made / "state" / "secrets" / "token_keys").write_text("sample")
    return made


def test_what_a_killed_demonstration_left_is_removed(place: Path) -> None:
    dead = folder(place, "hoatoc-demo-dead")
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(dead)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    clean_up()
    assert (dead / "state").is_dir(), "one that runs is left alone"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    clean_up()
    assert not dead.exists()


def test_what_is_not_a_dead_demonstrations_stays(place: Path) -> None:
    starting, other = folder(place, "hoatoc-demo-starting"), folder(place, "somebody-elses")
    (other / "alive").write_text("")
    linked = place / "hoatoc-demo-link"
    linked.symlink_to(other)
    alive = folder(place, "hoatoc-demo-alive")
    with (alive / "alive").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        clean_up()
        assert alive.is_dir()
    assert starting.is_dir()  # its lock is not there yet
    assert (other / "state").is_dir()
    assert linked.is_symlink()
    clean_up()
    assert not alive.exists()
