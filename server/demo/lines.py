"""What drivers say: one JSON object a line on standard output."""

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from server.demo.caller import NotReached, Problem

__all__ = ["Say", "Stopwatch", "guarded", "say"]

Say = Callable[..., None]


class Stopwatch:
    """Milliseconds since it was made or last asked."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        passed, self._since = now - self._since, now
        return round(passed * 1e3, 1)


def say(event: str, **fields: Any) -> None:
    """`at`: seconds of the machine's monotonic clock, the same for all processes of one machine."""
    print(json.dumps({"event": event, "at": time.monotonic(), **fields}, ensure_ascii=False), flush=True)


async def guarded(work: Awaitable[None], tell: Say = say, **about: Any) -> None:
    """What goes wrong is said, with its cause, and ends nothing else."""
    try:
        await work
    except Problem as problem:
        tell("failed", code=problem.code, status=problem.status, problem=problem.body, **about)
    except NotReached as error:
        tell("failed", code="not-reached", detail=str(error), **about)
    except Exception as error:
        tell("failed", code="driver", detail=f"{type(error).__name__}: {error}"[:300], **about)
