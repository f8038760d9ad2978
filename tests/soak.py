"""`python -m tests.soak --rounds N --seconds S --seed K`: the long forms of the crash, race and fuzz tests, one after the other.

`rounds` are the cycles of each kill loop; floods and races take their counts from it. `seconds` are spent on every fuzz
target. One JSON line per part on standard error as it ends; the last line, on standard output, sums up: `lost`, `doubled`,
`unrecorded`, `free_tries` and `failed` must be 0, and the exit code says whether they are.
"""

import argparse
import asyncio
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.conftest import PostgresCluster
from tests.faults import attack_table, broadcast, pdfbox_files
from tests.faults import exchange_loops as exchange
from tests.faults.road import loops as road
from tests.faults.signer import loops as signer

SUMS = ("lost", "doubled", "unrecorded", "free_tries")
# What a part counts beside these, and must be 0 as well.
MUST_BE_ZERO = {
    "unsettled", "corrupt", "unsigned", "failed", "killed", "internal", "wrong_derivations", "verdict_mismatch", "right_pin_accepted",
    "charged_by_strangers", "accepted", "won", "mismatched", "wrong", "changed", "disordered",
    "unfinished", "repeated_here", "unheard", "untold", "arrivals_lost", "arrivals_doubled", "over_limits",
}  # fmt: skip
ROOT = Path(__file__).resolve().parent.parent

Part = Callable[[Path], Awaitable[dict[str, Any]]]


def parts(rounds: int, seconds: int, seed: int, cluster: PostgresCluster) -> dict[str, Part]:
    """Name to loop."""
    few = max(2, rounds // 10)

    async def on_postgres(base: Path, run: Callable[[Path, str], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        return await run(base, cluster.url(await cluster.create()))

    found: dict[str, Part] = {
        "signer_kill_cycles": lambda base: signer.kill_cycles(base, rounds, seed),
        "signer_wrong_pin_flood": lambda base: signer.wrong_pin_flood(base, few, seed),
        "signer_restored_stores": lambda base: signer.restored_stores(base, rounds, seed),
        "signer_verdict_kills": lambda base: signer.verdict_kills(base, few, seed),
        "road_kill_rounds": lambda base: road.kill_rounds(base, rounds, seed),
        "road_kill_rounds_scaled": lambda base: on_postgres(
            base, lambda at, url: road.kill_rounds(at, few, seed, url, servers=2, workers=2)
        ),
        "road_wrong_pin_flood": lambda base: on_postgres(
            base, lambda at, url: road.wrong_pin_flood(at, max(200, 100 * rounds), seed, url)
        ),
        "road_database_restarts": lambda base: on_postgres(
            base, lambda at, url: road.database_restarts(at, rounds, seed, cluster, url)
        ),
        "road_rolling_restarts": lambda base: on_postgres(
            base, lambda at, url: road.rolling_restarts(at, max(2, rounds // 2), seed, url)
        ),
        "road_replacement_race": lambda base: road.replacement_race(base, rounds, seed),
        "exchange_faulty_forwarding": lambda base: exchange.forwarding(base, rounds=100 * rounds, seed=seed),
        "exchange_outage": lambda base: exchange.outage(base, documents=100 * rounds, seed=seed),
        "exchange_kill_cycles": lambda base: exchange.kill_cycles(base, rounds=rounds, seed=seed),
        "broadcast_kill": lambda base: on_postgres(
            base, lambda at, url: broadcast.kill_rounds(at, max(1, rounds // 5), seed, url, lease_s=30.0)
        ),
        "attack_table": attack_table.judge_all,
        "pdfbox_files": pdfbox_files.judge_all,
        "group_commit": lambda base: asyncio.to_thread(
            _pytest, base, "tests/faults/test_group_commit.py", rounds, seed
        ),
        "directives": lambda base: asyncio.to_thread(_pytest, base, "tests/contracts/test_directives.py", rounds, seed),
        "meetings": lambda base: asyncio.to_thread(_pytest, base, "tests/contracts/test_meetings.py", rounds, seed),
        "poison": lambda base: asyncio.to_thread(
            _pytest, base, "tests/contracts/test_jobs.py", rounds, seed, "poison_is_parked"
        ),
        "storm": lambda base: asyncio.to_thread(
            _pytest, base, "tests/contracts/test_notices.py", rounds, seed, "storm_is_capped"
        ),
    }
    for name in ("tunnel", "layout"):
        found[f"web_{name}"] = lambda base, name=name: asyncio.to_thread(  # type: ignore[misc]
            _pytest, base, f"tests/web/test_{name}.py", rounds, seed
        )
    for target in sorted((ROOT / "tests" / "fuzz").glob("*.py")):
        found[f"fuzz_{target.stem}"] = lambda base, path=target: asyncio.to_thread(_fuzz, base, path, seconds, seed)  # type: ignore[misc]
    return found


def _pytest(base: Path, path: str, rounds: int, seed: int, only: str = "") -> dict[str, Any]:
    """A test file that takes its length from TEST_ROUNDS and TEST_SEED; `only` those whose name holds this text."""
    base.mkdir(parents=True, exist_ok=True)
    environ = {**os.environ, "TEST_ROUNDS": str(rounds), "TEST_SEED": str(seed)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--timeout=7200",
        f"--basetemp={base / 'pytest'}",
        path,
        "-k",
        only,
    ]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:])
    return {"rounds": rounds, "seed": seed, "failed": int(done.returncode != 0)}


def _fuzz(base: Path, target: Path, seconds: int, seed: int) -> dict[str, Any]:
    """A fuzz target takes libFuzzer's options and exits with 0 if nothing broke; what broke it stays in `base`."""
    base.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(target), f"-max_total_time={seconds}", f"-seed={seed}"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=base, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        (base / f"{target.stem}.txt").write_text(done.stdout + done.stderr)
        sys.stderr.write((done.stdout + done.stderr)[-4000:])
    return {"seconds": seconds, "seed": seed, "failed": int(done.returncode != 0)}


async def run(rounds: int, seconds: int, seed: int, only: str) -> int:
    totals: collections.Counter[str] = collections.Counter(dict.fromkeys((*SUMS, "failed"), 0))
    broken: list[str] = []
    cluster = PostgresCluster()
    started = time.monotonic()
    names: list[str] = []
    try:
        for name, part in parts(rounds, seconds, seed, cluster).items():
            if only not in name:
                continue
            names.append(name)
            base = Path(tempfile.mkdtemp(prefix="hoatoc-soak-"))
            began = time.monotonic()
            try:
                found = await part(base / "h")
            except Exception as error:  # one part's end must not hide the others' figures
                found = {"failed": 1, "error": f"{type(error).__name__}: {error}"[:500]}
            found["took_s"] = round(time.monotonic() - began)
            sys.stderr.write(json.dumps({"part": name, **found}, ensure_ascii=False) + "\n")
            totals.update({sum_: int(found.get(sum_, 0)) for sum_ in (*SUMS, "failed")})
            if any(found.get(count, 0) for count in MUST_BE_ZERO | set(SUMS)):
                broken.append(name)
            else:
                shutil.rmtree(base, ignore_errors=True)
    finally:
        cluster.remove()
    line = {
        "rounds": rounds, **totals, "seed": seed, "seconds": seconds, "parts": names, "broken": broken,
        "took_s": round(time.monotonic() - started),
    }  # fmt: skip
    sys.stdout.write(json.dumps(line) + "\n")
    return 1 if broken else 0


def main() -> None:
    parser = argparse.ArgumentParser(description="the long forms of the crash, race and fuzz tests")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="parts whose name holds this text")
    given = parser.parse_args()
    sys.exit(asyncio.run(run(given.rounds, given.seconds, given.seed, given.only)))


if __name__ == "__main__":
    main()
