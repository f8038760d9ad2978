"""A push service that is down for a while (threat D4): nothing is lost, nothing is sent after its end, dead stays dead.

A small outbox in virtual time runs the dispatcher and the schedule as the owner of the outbox would.
"""

import asyncio
import heapq

from hypothesis import given, settings
from hypothesis import strategies as st

from push.dispatcher import Dispatcher, LaneSettings
from push.model import Address, AddressKind, Lane, Language, Notice, Urgency
from push.outcome import Delivered, Misconfigured, RetryAfter, RetryCause, TokenDead, Withheld
from push.schedule import next_attempt_us
from push.transports.recorder import RecorderTransport

NOW_US = 1_800_000_000_000_000
DAY_US = 86_400_000_000
faults = st.one_of(
    st.builds(RetryAfter, st.sampled_from(RetryCause), st.none() | st.floats(0, 3600)),
    st.just(Misconfigured("unauthenticated")),
)


async def run(scripts, dead, life_us, jitter):
    clock = {"us": NOW_US}
    transport = RecorderTransport()
    dispatcher = Dispatcher(
        {
            Lane.NORMAL: LaneSettings(transport=transport, concurrency=8),
            Lane.URGENT: LaneSettings(transport=RecorderTransport(), concurrency=8),
            Lane.BULK: LaneSettings(transport=RecorderTransport(), concurrency=8),
        },
        now_us=lambda: clock["us"],
        monotonic_us=lambda: clock["us"],
    )
    ends, attempts = {}, []
    queue = [(NOW_US, number, 1) for number in range(len(scripts))]
    addresses = [Address(kind=AddressKind.FID, value=f"device-{number}") for number in range(len(scripts))]
    for number, script in enumerate(scripts):
        last = [TokenDead("unregistered")] if number in dead else []
        transport.script(addresses[number], [*script, *last])

    async def wanted():
        return True

    while queue:
        clock["us"], number, attempt = heapq.heappop(queue)
        notice = Notice(
            notice_id=f"{number:022d}", lane=Lane.NORMAL, urgency=Urgency.ACTIVE, expires_us=NOW_US + life_us
        )
        outcome = await dispatcher.deliver(addresses[number], notice, language=Language.ENGLISH, still_wanted=wanted)
        attempts.append((number, clock["us"], outcome))
        if isinstance(outcome, Misconfigured):
            # The owner keeps the message and comes back; here after a minute.
            heapq.heappush(queue, (clock["us"] + 60_000_000, number, attempt))
        elif isinstance(outcome, RetryAfter):
            at_us = next_attempt_us(
                outcome, attempt=attempt, now_us=clock["us"], expires_us=notice.expires_us, jitter=jitter
            )
            if at_us is None:
                ends[number] = "expired"
            else:
                heapq.heappush(queue, (at_us, number, attempt + 1))
        else:
            ends[number] = outcome
    return ends, attempts, transport


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(faults, max_size=6), min_size=1, max_size=12),
    st.sets(st.integers(0, 11)),
    st.integers(1_000_000, DAY_US),
    st.floats(0, 0.99),
)
def test_every_notice_ends_once(scripts, dead, life_us, jitter):
    ends, attempts, transport = asyncio.run(run(scripts, dead, life_us, jitter))
    assert set(ends) == set(range(len(scripts)))
    sent = [address.value for address, _ in transport.sent]
    assert len(sent) == len(set(sent)), "one acceptance a device"
    for number, end in ends.items():
        delivered = f"device-{number}" in sent
        assert delivered == isinstance(end, Delivered)
        if number in dead:
            assert not delivered
        assert delivered or number in dead or end in ("expired", Withheld("expired"))
    assert all(at_us < NOW_US + life_us for _, at_us, outcome in attempts if isinstance(outcome, Delivered | TokenDead))


def test_a_day_long_notice_survives_an_hour_of_faults():
    scripts = [[RetryAfter(RetryCause.UNAVAILABLE)] * 12 for _ in range(10)]
    ends, attempts, _ = asyncio.run(run(scripts, set(), DAY_US, 0.5))
    assert all(isinstance(end, Delivered) for end in ends.values())
    assert max(at_us for _, at_us, _ in attempts) - NOW_US > 1_800_000_000
