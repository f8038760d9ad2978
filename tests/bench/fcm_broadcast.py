"""Memory of one broadcast to 100,000 devices. It takes minutes (the double's, mostly), so it runs only when named."""

import json
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.measure import Row, at_most

_COUNT = 100_000
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
    from tests.bench.fcm import accepted, double

    with double() as fcm:
        command = [sys.executable, "-c", _SENDER, str(_COUNT)]
        done = subprocess.run(command, input=json.dumps(fcm), capture_output=True, text=True, check=True)
        assert accepted(fcm) == _COUNT + 500
        told = json.loads(done.stdout)
    more = {"growth": f"{told['grown']:.1f} MB", "cpu_s": round(told["cpu_s"], 1)}
    yield at_most("fcm fan-out to 100,000 devices, peak memory of the sender", told["peak"], 200.0, "MB", 1.0, **more)
