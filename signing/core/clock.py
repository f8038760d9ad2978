"""The signer's time: wall clock at start plus monotonic, never below the store's last commit."""

import time
from collections.abc import Callable

from signing.core.errors import ClockDrift

DRIFT_US = 60_000_000


def _wall_us() -> int:
    return time.time_ns() // 1000


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000


class SignerClock:
    """`floor_us` is the store's last time. Raises `ClockDrift` at construction if the wall clock is > 60 s behind it."""

    def __init__(
        self, floor_us: int = 0, wall_us: Callable[[], int] = _wall_us, monotonic_us: Callable[[], int] = _monotonic_us
    ) -> None:
        self._wall_us, self._monotonic_us = wall_us, monotonic_us
        now = wall_us()
        if now < floor_us - DRIFT_US:
            raise ClockDrift("the wall clock is behind the store's last time")
        self._base = max(now, floor_us) - monotonic_us()

    def now_us(self) -> int:
        return self._base + self._monotonic_us()

    def checked_us(self) -> int:
        """Now; raises `ClockDrift` when the wall clock has gone more than 60 s away. For everything that signs."""
        now = self.now_us()
        if abs(self._wall_us() - now) > DRIFT_US:
            raise ClockDrift
        return now
