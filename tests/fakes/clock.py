"""A clock that stands until a test moves it."""

import time


class FrozenClock:
    """Starts at the real time unless told otherwise; wall and monotonic time move together by `advance`."""

    def __init__(self, now_us: int | None = None) -> None:
        self._now_us = time.time_ns() // 1000 if now_us is None else now_us
        self._monotonic_us = 1_000_000

    def now_us(self) -> int:
        return self._now_us

    def monotonic_us(self) -> int:
        return self._monotonic_us

    def advance(self, seconds: float) -> None:
        self._now_us += round(seconds * 1_000_000)
        self._monotonic_us += round(seconds * 1_000_000)

    def jump(self, seconds: float) -> None:
        """Only the wall clock steps, forward or back (threat D7)."""
        self._now_us += round(seconds * 1_000_000)
