"""The one source of time. Everything that needs it takes a `Clock`, so that tests can stop it (threat D7)."""

import time
from typing import Protocol


class Clock(Protocol):
    def now_us(self) -> int:
        """Wall time: microseconds since 1970-01-01T00:00:00Z."""
        ...

    def monotonic_us(self) -> int:
        """Microseconds from an arbitrary start; never goes back. Durations are measured with this."""
        ...


class SystemClock:
    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000
