"""Every fuzz target for two seconds; `make soak` runs them for as long as it is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.fuzz_corpus import kept

ROOT = Path(__file__).resolve().parents[2]
TARGETS = sorted((ROOT / "tests" / "fuzz").glob("*.py"))


@pytest.mark.parametrize("target", TARGETS, ids=lambda path: path.stem)
def test_nothing_is_found_in_two_seconds(target: Path, tmp_path: Path) -> None:
    """B4: whatever bytes come, only a typed refusal or a verdict comes out."""
    command = [sys.executable, str(target), "-max_total_time=2", "-seed=1"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]


def test_there_are_targets() -> None:
    assert len(TARGETS) >= 11
    assert all(kept(target.stem) for target in TARGETS), "a target's corpus is kept beside it"
