"""When to try again: a pure function of what happened, how often, and when the notice ends."""

from push.outcome import RetryAfter, RetryCause

__all__ = ["next_attempt_us"]

_MICROSECONDS = 1_000_000
# FCM asks for at least a minute after 429 without Retry-After, doubled each time.
_QUOTA_FIRST_S = 60.0
_QUOTA_LONGEST_S = 3_600.0
_FAULT_FIRST_S = 2.0
_FAULT_LONGEST_S = 600.0
# Waiting clients that were all given the same Retry-After would all return in the same second.
_SPREAD = 0.1


def next_attempt_us(outcome: RetryAfter, *, attempt: int, now_us: int, expires_us: int, jitter: float) -> int | None:
    """Time of the next attempt in microseconds UTC, or None when the notice will be useless by then.

    `attempt` counts from 1 (the attempt that just failed), `jitter` is random in [0, 1).

    A given Retry-After is never undercut: the wait is that, to 10 % more. A quota answer without it waits 60 s doubled
    per attempt (at most an hour), to 50 % more. Other faults wait 2 s doubled (at most ten minutes), halved at most.
    """
    if attempt < 1 or not 0.0 <= jitter < 1.0:
        raise ValueError("attempt counts from 1, jitter lies in [0, 1)")
    doublings = min(attempt - 1, 30)
    if outcome.cause is RetryCause.QUOTA and outcome.seconds is None:
        wait_s = min(_QUOTA_FIRST_S * 2**doublings, _QUOTA_LONGEST_S) * (1 + jitter / 2)
    elif outcome.cause is RetryCause.QUOTA:
        # "Retry-After: 0" from whatever sits between must not become a hot loop.
        wait_s = max(1.0, _asked(outcome, jitter))
    else:
        own_s = min(_FAULT_FIRST_S * 2**doublings, _FAULT_LONGEST_S) * (1 + jitter) / 2
        wait_s = max(own_s, _asked(outcome, jitter))
    at_us = now_us + int(wait_s * _MICROSECONDS)
    return at_us if at_us < expires_us else None


def _asked(outcome: RetryAfter, jitter: float) -> float:
    return (outcome.seconds or 0.0) * (1 + _SPREAD * jitter)
