import random

from hypothesis import given
from hypothesis import strategies as st

from server.jobs import Schedule

schedules = st.builds(
    Schedule, base_s=st.floats(0.001, 60, allow_nan=False), cap_s=st.floats(60, 86_400, allow_nan=False)
)
attempts = st.integers(1, 10**6)


@given(schedules, attempts, st.integers())
def test_a_delay_is_within_its_bound_and_repeatable(schedule, attempt, seed):
    delay = schedule.delay_us(attempt, random.Random(seed))
    assert 0 <= delay <= schedule.bound_s(attempt) * 1_000_000
    assert delay == schedule.delay_us(attempt, random.Random(seed))


@given(schedules, attempts)
def test_bounds_double_up_to_the_cap_and_never_shrink(schedule, attempt):
    here, following = schedule.bound_s(attempt), schedule.bound_s(attempt + 1)
    assert schedule.bound_s(1) == schedule.base_s
    assert here <= following <= schedule.cap_s
    assert following in (2 * here, schedule.cap_s)


@given(schedules, st.integers(1, 30))
def test_jitter_fills_the_whole_bound(schedule, attempt):
    """Full jitter: the draws of many that failed together reach both ends."""
    rng = random.Random(7)
    bound = schedule.bound_s(attempt) * 1_000_000
    draws = [schedule.delay_us(attempt, rng) for _ in range(400)]
    assert min(draws) < bound * 0.05
    assert max(draws) > bound * 0.95


def test_the_default_reaches_a_quarter_of_an_hour_at_the_eleventh_attempt():
    schedule = Schedule()
    assert [schedule.bound_s(attempt) for attempt in (1, 2, 10, 11, 12)] == [1, 2, 512, 900, 900]
