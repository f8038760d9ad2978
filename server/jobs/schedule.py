"""When a job that did not end well runs again: exponential growth with full jitter, capped. Pure.

Full jitter (a uniform draw up to the bound) spreads what failed together, as after an outage, over the whole bound.
"""

import random

import msgspec


class Schedule(msgspec.Struct, frozen=True):
    """Bounds in seconds. The defaults reach the cap of 15 minutes (D3) at the eleventh attempt."""

    base_s: float = 1.0
    cap_s: float = 900.0

    def bound_s(self, attempt: int) -> float:
        """The longest wait after `attempt` (1, 2, …)."""
        # The exponent is bounded too: a job retried for days must not overflow a float.
        return min(self.cap_s, self.base_s * 2.0 ** min(max(attempt, 1) - 1, 60))

    def delay_us(self, attempt: int, rng: random.Random) -> int:
        """Microseconds to wait after `attempt`: uniform in [0, bound]."""
        return int(rng.uniform(0.0, self.bound_s(attempt)) * 1_000_000)
