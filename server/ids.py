"""Identifiers: UUID version 7 (RFC 9562 §5.7) as 32 lower-case hexadecimal characters.

They sort by time of creation; within one process they strictly increase, also when the wall clock steps back
(RFC 9562 §6.2, method 2: within one millisecond the random tail counts up).
"""

import os
import re
import threading
import time

_SHAPE = re.compile(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}")
_TAIL_BITS = 74  # rand_a (12) and rand_b (62)


class _Generator:
    """The last millisecond and tail handed out; a lock, because the database's writer thread makes ids too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = 0
        self._tail = 0

    def next(self) -> str:
        now = time.time_ns() // 1_000_000
        # The top bit of a fresh tail stays clear, which leaves room to count up for longer than a millisecond lasts.
        fresh = int.from_bytes(os.urandom(10)) >> 7
        with self._lock:
            if now > self._millisecond:
                self._millisecond, self._tail = now, fresh
            else:
                self._tail += 1 + (fresh & 0xFFFF_FFFF)
                if self._tail >> _TAIL_BITS:
                    self._millisecond, self._tail = self._millisecond + 1, fresh
            millisecond, tail = self._millisecond, self._tail
        value = millisecond << 80 | 0x7 << 76 | (tail >> 62) << 64 | 0b10 << 62 | tail & (1 << 62) - 1
        return f"{value:032x}"


_generator = _Generator()


def new_id() -> str:
    """A new identifier, greater than every one that this process made before."""
    return _generator.next()


def is_id(text: str) -> bool:
    """Whether `text` has the exact form of an identifier; used on what comes from outside."""
    return _SHAPE.fullmatch(text) is not None


def created_ms(identifier: str) -> int:
    """Milliseconds since the epoch at which `identifier` was made (its first 48 bits)."""
    return int(identifier[:12], 16)
