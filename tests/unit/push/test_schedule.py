"""The retry schedule (threat D4): Retry-After is obeyed, nothing is tried after the end, waiting clients spread."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push.outcome import Misconfigured, RetryAfter, RetryCause, SenderProof, TokenDead, parse_retry_after
from push.schedule import next_attempt_us

NOW_US = 1_800_000_000_000_000
FOREVER_US = NOW_US * 2
causes = st.sampled_from(RetryCause)
jitters = st.floats(0, 1, exclude_max=True)
attempts = st.integers(1, 10_000)


@given(causes, st.floats(0, 86_400), attempts, jitters)
def test_a_given_wait_is_never_undercut(cause, seconds, attempt, jitter):
    at_us = next_attempt_us(
        RetryAfter(cause, seconds), attempt=attempt, now_us=NOW_US, expires_us=FOREVER_US, jitter=jitter
    )
    assert at_us >= NOW_US + int(seconds * 1_000_000)


@given(attempts, jitters)
def test_quota_without_a_given_wait_is_at_least_a_minute(attempt, jitter):
    at_us = next_attempt_us(
        RetryAfter(RetryCause.QUOTA), attempt=attempt, now_us=NOW_US, expires_us=FOREVER_US, jitter=jitter
    )
    assert 60_000_000 <= at_us - NOW_US <= 5_400_000_000


@given(causes, st.none() | st.floats(0, 86_400), attempts, jitters, st.integers(0, 10**13))
def test_nothing_is_tried_at_or_after_the_end(cause, seconds, attempt, jitter, life_us):
    expires_us = NOW_US + life_us
    at_us = next_attempt_us(
        RetryAfter(cause, seconds), attempt=attempt, now_us=NOW_US, expires_us=expires_us, jitter=jitter
    )
    assert at_us is None or NOW_US + 1_000_000 <= at_us < expires_us


@given(causes, st.integers(1, 9), jitters)
def test_each_attempt_waits_longer(cause, attempt, jitter):
    def wait(number):
        return next_attempt_us(RetryAfter(cause), attempt=number, now_us=NOW_US, expires_us=FOREVER_US, jitter=jitter)

    assert wait(attempt + 1) >= wait(attempt)


def test_doubling_by_numbers():
    def wait_s(cause, attempt, jitter=0.0):
        at_us = next_attempt_us(RetryAfter(cause), attempt=attempt, now_us=NOW_US, expires_us=FOREVER_US, jitter=jitter)
        return (at_us - NOW_US) / 1_000_000

    assert [wait_s(RetryCause.QUOTA, attempt) for attempt in (1, 2, 3, 7, 99)] == [60, 120, 240, 3600, 3600]
    assert [wait_s(RetryCause.UNAVAILABLE, attempt) for attempt in (1, 2, 3, 99)] == [1, 2, 4, 300]
    assert wait_s(RetryCause.QUOTA, 1, 0.5) == 75
    assert wait_s(RetryCause.UNREACHABLE, 2, 0.5) == 3


@pytest.mark.parametrize(("attempt", "jitter"), [(0, 0.0), (1, 1.0), (1, -0.1)])
def test_senseless_input_is_refused(attempt, jitter):
    with pytest.raises(ValueError, match="attempt"):
        next_attempt_us(
            RetryAfter(RetryCause.QUOTA), attempt=attempt, now_us=NOW_US, expires_us=FOREVER_US, jitter=jitter
        )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        (" 120 ", 120),
        ("99999999999999999999999", 86_400),
        # RFC 9110, 10.2.3: the example's date, seen 1,000 seconds earlier, and seen a day later.
        ("Fri, 31 Dec 1999 23:59:59 GMT", 1000),
        ("-5", None),
        ("1e9", None),
        ("٣", None),
        ("Fri, 99 Foo 1999", None),
        ("", None),
    ],
)
def test_retry_after_header(value, seconds):
    assert parse_retry_after(value, 946_684_799.0 - 1000) == seconds


def test_retry_after_date_in_the_past_is_now():
    assert parse_retry_after("Fri, 31 Dec 1999 23:59:59 GMT", 2_000_000_000.0) == 0


@given(st.text())
def test_retry_after_is_hostile_input(value):
    seconds = parse_retry_after(value, 0.0)
    assert seconds is None or 0 <= seconds <= 86_400


def test_wrong_credentials_never_prune_a_fleet():
    """An unproven sender keeps every address, and a proven one stops believing after a run of mismatches (C14)."""
    proof = SenderProof()
    assert {type(proof.mismatch()) for _ in range(100)} == {Misconfigured}
    proof.accepted()
    verdicts = [proof.mismatch() for _ in range(100)]
    assert [isinstance(verdict, TokenDead) for verdict in verdicts] == [True] * 20 + [False] * 80
