"""Named crash points for the durability tests: `HOATOC_CRASH_POINT=g1-committed` (or `name:3`, the third passage)
kills the process with SIGKILL there. Without the variable a point is one dictionary look-up.
"""

import os
import signal
from collections import Counter

POINTS = ("g1-before", "g1-committed", "derived", "signed", "g3-before", "g3-committed", "head-written")
_passages: Counter[str] = Counter()


def point(name: str) -> None:
    wanted = os.environ.get("HOATOC_CRASH_POINT")
    if not wanted:
        return
    target, _, number = wanted.partition(":")
    if target == name:
        _passages[name] += 1
        if _passages[name] == int(number or 1):
            os.kill(os.getpid(), signal.SIGKILL)
