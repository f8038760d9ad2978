"""The loops over the whole road, for the quick suite with few rounds and for `make soak` with many.

Each returns its counts. `lost`, `doubled`, `unrecorded`, `free_tries`, `unsettled`, `corrupt`, `unsigned` must be 0.
"""

import asyncio
import collections
import random
import time
from pathlib import Path

from tests.faults.road.judge import judge
from tests.faults.road.load import Load
from tests.faults.road.processes import Deployment, Process, Server, SignerProcess, deployed

SIGNER_POINTS = ("g1-before", "g1-committed", "derived", "signed", "g3-before", "g3-committed", "head-written")
SERVER_POINTS = (
    "s1-committed", "g3-answered", "s2-before", "s2-committed", "db.before-commit:9", "db.after-commit:9",
    "blobs.before-rename:2", "blobs.after-rename:2",
)  # fmt: skip
WORKER_POINTS = (
    "token-fetched", "assembled", "s3-committed", "jobs.claimed:5", "forward-built", "forward-sent", "forward-accepted",
    "status-stored",
)  # fmt: skip
ZERO = ("lost", "doubled", "unrecorded", "free_tries", "unsettled", "corrupt", "unsigned")
_FIRES_WITHIN_S = 10.0

Strike = tuple[Process, str]


def strikes(stack: Deployment, rounds: int, rng: random.Random) -> list[Strike]:
    """Every named point in turn, and moments at random; grouped by process, which halves the restarts."""
    points: list[tuple[str, str]] = []
    while len(points) < rounds:
        points += [("signer", point) for point in (*SIGNER_POINTS, "")]
        points += [("server", point) for point in (*SERVER_POINTS, "")]
        points += [("worker", point) for point in (*WORKER_POINTS, "")]
    if rounds < 26:  # fewer rounds than points: a sample that always holds the protocol's own steps
        protocol = {
            "s1-committed",
            "g3-answered",
            "s2-before",
            "token-fetched",
            "assembled",
            "g1-committed",
            "g3-committed",
        }
        must = [one for one in points[:26] if one[1] in protocol]
        rest = [one for one in points[:26] if one[1] not in protocol]
        points = must + rng.sample(rest, max(0, rounds - len(must)))
    order = {"signer": 0, "server": 1, "worker": 2}
    chosen = points[:rounds] if rounds >= 26 else sorted(points[:rounds], key=lambda one: order[one[0]])
    workers: list[Process] = [*stack.workers] or [*stack.servers]
    of = {"signer": [stack.signer_process], "server": [*stack.servers], "worker": workers}
    return [(rng.choice(of[kind]), point) for kind, point in chosen]


async def _ready(process: Process) -> bool:
    return await process.ready() if isinstance(process, Server | SignerProcess) else process.alive


async def _strike(process: Process, point: str, rng: random.Random, fired: collections.Counter[str]) -> None:
    """Kill the process at a random moment; start it armed, and wait until it kills itself, or kill it again."""
    await asyncio.sleep(rng.uniform(0.05, 0.4))
    process.kill()
    process.start(point)
    await _ready(process)
    deadline = time.monotonic() + (_FIRES_WITHIN_S if point else rng.uniform(0.2, 1.5))
    while process.alive and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    fired["fired" if not process.alive else "at_random"] += 1
    process.kill()


async def kill_rounds(
    base: Path, rounds: int, seed: int, database: str = "", *, servers: int = 1, workers: int = 0, epoch: int = 14
) -> dict[str, int]:
    """D1, A7, A12: steady intake, signing and sealing; kill -9 at each named crash point in turn and at random moments.

    Every `epoch` strikes the load ends, everything is started without crash points, and the history is judged.
    """
    rng = random.Random(seed)
    totals: collections.Counter[str] = collections.Counter()
    async with deployed(base, database=database, servers=servers, workers=workers) as stack:
        load = Load(stack)
        await load.prepare()
        plan = strikes(stack, rounds, rng)
        for first in range(0, len(plan), epoch):
            load.start(journeys=6)
            previous: Process | None = None
            for process, point in plan[first : first + epoch]:
                if previous is not None and previous is not process:
                    previous.start()
                    await _ready(previous)
                await _strike(process, point, rng, totals)
                previous = process
            await stack.start_all()
            await load.renew()
            await load.finish()
            totals["free_tries"] += await load.free_tries()
            found = await judge(stack, load)
            for name, count in found.items():
                totals[name] = count if name in {"signatures", "documents"} else totals[name] + count
        totals["unknown"] = load.history.answers["unknown"]
        _explain(load, totals)
    return {"rounds": rounds, "seed": seed, **totals}


def _explain(load: Load, totals: collections.Counter[str]) -> None:
    """What was refused how often; and what stands still, for whoever reads a failure."""
    for code, count in load.history.answers.items():
        totals[f"answer_{code}"] = count
    for name in load.history.stuck:
        totals[f"stuck {name}"] = 1
