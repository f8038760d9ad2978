"""A driver: one person or system of the demonstration, in a process of its own.

    python -m server.demo.driver qlvb | leader | clerk | officer

The first line on standard input is what was handed to it (base URL, a one-time pairing code or a service client's secret), every
further line something that reaches it from outside: a push, a file to send, a short code read out across the table. What it
does and sees it says on standard output, one JSON object a line: `event`, the event's fields, `at` (seconds of the machine's
monotonic clock) and `ms` where it measured. It calls only the public API, so it works alike against one process or many.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any, Protocol

from server.demo.lines import Say, guarded, say

__all__ = ["main"]

_LINE_LIMIT = 1 << 20


class Role(Protocol):
    """What a driver plays. Both may raise `Problem`, `NotReached` and the phone's own refusals."""

    async def start(self) -> None: ...

    async def told(self, order: dict[str, Any]) -> None: ...


def _part(name: str) -> Callable[[dict[str, Any], Say], Role]:
    """The class that plays this part; loaded before the first line comes, while the rest of the stage still starts."""
    if name == "qlvb":
        from server.demo.qlvb import Qlvb

        return Qlvb
    if name == "officer":
        from server.demo.officer import Officer

        return Officer
    from server.demo.person import SigningPerson

    return SigningPerson


async def _run(name: str) -> None:
    part = _part(name)
    reader = asyncio.StreamReader(limit=_LINE_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    first = await reader.readline()
    if not first:
        return
    role = part(json.loads(first), say)
    tasks = {loop.create_task(guarded(role.start(), doing="start"))}
    while line := await reader.readline():
        order = json.loads(line)
        about = {"doing": order.get("do"), "document": order.get("document"), "ask": order.get("ask")}
        task = loop.create_task(guarded(role.told(order), **about))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Until standard input ends: a driver never outlives whoever started it."""
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(_run(sys.argv[1] if len(sys.argv) > 1 else "leader"))


if __name__ == "__main__":
    main()
