"""Memory of one broadcast to 100,000 devices: of the library that sends, and of a worker with its outbox. Some minutes, most of them the double's. Linux only.

Each sender is a process of its own; the worker is the product's, over a SQLite file in which all hundred thousand are queued before it starts.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from server.db import migrate, open_database
from tests.bench.fcm import accepted, double
from tests.bench.measure import Row, at_most
from tests.faults import broadcast

_COUNT = 100_000
_PHONES = 4
_LONGEST_S = 1800
_SENDER = """
import asyncio, json, resource, sys, time
from tests.bench.fcm import fan_out
fcm = json.loads(sys.stdin.read())
asyncio.run(fan_out(fcm, 500))
def rss(): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) / 1024
before, spent = rss(), time.process_time()
asyncio.run(fan_out(fcm, int(sys.argv[1])))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"grown": peak - before, "peak": peak, "cpu_s": time.process_time() - spent}))
"""


def rows() -> Iterator[Row]:
    with double() as fcm:
        command = [sys.executable, "-c", _SENDER, str(_COUNT)]
        done = subprocess.run(command, input=json.dumps(fcm), capture_output=True, text=True, check=True)
        assert accepted(fcm) == _COUNT + 500
        told = json.loads(done.stdout)
        more = {"growth": f"{told['grown']:.1f} MB", "cpu_s": round(told["cpu_s"], 1)}
        yield at_most(
            "fcm fan-out to 100,000 devices, peak memory of the sender", told["peak"], 200.0, "MB", 1.0, **more
        )
        with tempfile.TemporaryDirectory() as folder:
            peak_mb, took_s = asyncio.run(_worker(fcm, Path(folder)))
        yield at_most(
            "fcm broadcast to 100,000 devices, peak memory of the worker with its outbox", peak_mb, 200.0, "MB", 1.0, took_s=round(took_s)
        )  # fmt: skip


async def _worker(fcm: dict[str, Any], folder: Path) -> tuple[float, float]:
    """Peak resident memory in MB, and the seconds from the worker's start to the last message that the double accepted."""
    url, account = f"sqlite://{folder}/bench.db", folder / "account.json"
    account.write_text(json.dumps(fcm["account"]))
    db = await open_database(url)
    try:
        await migrate(db)
        await broadcast.queue(db, _COUNT // _PHONES)
    finally:
        await db.close()
    before, loop = accepted(fcm), asyncio.get_running_loop()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.broadcast", url, str(account), fcm["url"], "60", stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    try:
        begun = loop.time()
        async with asyncio.timeout(_LONGEST_S):
            while accepted(fcm) < before + _COUNT:
                assert process.returncode is None, "the worker ended"
                await asyncio.sleep(0.5)
        took_s = loop.time() - begun
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024, took_s
    finally:
        process.kill()
        await process.wait()
