"""Named crash points (threats D1, A7): one environment variable makes this process kill itself at a chosen place.

`HOATOC_CRASH_POINT=name` kills at the first passage of `point("name")`, `name:N` at the N-th. Production mode
refuses to start with the variable set (C20). Without it a point costs one comparison.
"""

import os
import signal

VARIABLE = "HOATOC_CRASH_POINT"


def _armed() -> tuple[str, int]:
    name, _, passage = os.environ.get(VARIABLE, "").partition(":")
    return name, int(passage or 1)


_name, _remaining = _armed()


def point(name: str) -> None:
    """Die by SIGKILL here, as a power cut would have it, if this point was chosen."""
    global _remaining  # noqa: PLW0603 - the count belongs to the process, like the variable it came from
    if name != _name:
        return
    _remaining -= 1
    if _remaining == 0:
        os.kill(os.getpid(), signal.SIGKILL)
