"""Sends one delivery at a time per caller, with bounded concurrency and apart by lane.

The lanes share nothing: an own transport (own connections), an own bound, an own brake. A broadcast in the normal lane
can never stand before an urgent push.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec

from push.model import Address, Lane, Language, Notice
from push.outcome import Misconfigured, Outcome, Rejected, RetryAfter, RetryCause, Scope, Withheld
from push.payload import NoticeExpiredError, Payload, PayloadTooLargeError, activation, build, clearing

__all__ = ["Dispatcher", "LaneSettings", "Transport"]


class Transport(Protocol):
    """One push service. Adapters are interchangeable and pass the same tests."""

    async def send(self, address: Address, payload: Payload) -> Outcome:
        """Send once. Never raises for what the service does; what it did is the outcome."""

    async def close(self) -> None:
        """Release connections and threads. A second call does nothing."""


class LaneSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`concurrency`: sends in flight at most. `brake_s`: pause after a fault of our project's configuration."""

    transport: Transport
    concurrency: int
    brake_s: float = 30.0


class Dispatcher:
    """Delivers notices through each lane's transport. Belongs to one event loop. One dispatcher a push service, so that a
    fault of one never brakes another.

    `now_us` gives microseconds UTC, `monotonic_us` never goes back.
    """

    def __init__(
        self, lanes: Mapping[Lane, LaneSettings], *, now_us: Callable[[], int], monotonic_us: Callable[[], int]
    ) -> None:
        missing = set(Lane) - set(lanes)
        if missing:
            raise ValueError(f"no transport for lanes {sorted(missing)}")
        if len({id(settings.transport) for settings in lanes.values()}) < len(lanes):
            raise ValueError("each lane has a transport of its own")
        self._lanes = {lane: _LaneState(settings) for lane, settings in lanes.items()}
        self._now_us = now_us
        self._monotonic_us = monotonic_us

    async def deliver(
        self, address: Address, notice: Notice, *, language: Language, still_wanted: Callable[[], Awaitable[bool]]
    ) -> Outcome:
        """Send `notice` to one device and say what became of it.

        `still_wanted` is asked at the last moment, after waiting for a free place: a notice that was acknowledged,
        superseded or withdrawn meanwhile is `Withheld`. Its exceptions pass to the caller; nothing was sent then.
        """
        return await self._send(
            notice.lane, address, lambda now_us: build(notice, language=language, now_us=now_us), still_wanted
        )

    async def activate(
        self,
        address: Address,
        challenge: str,
        *,
        language: Language,
        expires_us: int,
        still_wanted: Callable[[], Awaitable[bool]],
    ) -> Outcome:
        """Send an address its challenge (`payload.activation`), under the rules of `deliver`."""
        return await self._send(
            Lane.NORMAL,
            address,
            lambda now_us: activation(challenge, language=language, expires_us=expires_us, now_us=now_us),
            still_wanted,
        )

    async def clear(self, address: Address, notice: Notice) -> Outcome:
        """Take a notice's notification away from a device, silently. Whoever asks knows that it is to go: there is no last look."""

        async def wanted() -> bool:
            return True

        return await self._send(Lane.NORMAL, address, lambda now_us: clearing(notice, now_us=now_us), wanted)

    async def _send(
        self,
        name: Lane,
        address: Address,
        make: Callable[[int], Payload],
        still_wanted: Callable[[], Awaitable[bool]],
    ) -> Outcome:
        lane = self._lanes[name]
        async with lane.places:
            if (held := lane.held(self._monotonic_us())) is not None:
                return held
            if not await still_wanted():
                return Withheld("superseded")
            try:
                payload = make(self._now_us())
            except NoticeExpiredError:
                return Withheld("expired")
            except PayloadTooLargeError as error:
                return Rejected(error.code)
            try:
                outcome = await lane.settings.transport.send(address, payload)
            except Exception:
                # A transport promises not to raise. If one does, the push may have left: trying again is right,
                # because a device drops an id that it has seen, while a lost push is never noticed.
                outcome = RetryAfter(RetryCause.UNREACHABLE)
            lane.learn(outcome, self._monotonic_us())
            return outcome

    async def close(self) -> None:
        """Close every lane's transport."""
        await asyncio.gather(*(lane.settings.transport.close() for lane in self._lanes.values()))


class _LaneState:
    """A lane's places and brake: after a project-wide fault the rest of the queue is not sent into the same wall."""

    def __init__(self, settings: LaneSettings) -> None:
        self.settings = settings
        self.places = asyncio.Semaphore(settings.concurrency)
        self._fault: Misconfigured | None = None
        self._until_us = 0

    def held(self, monotonic_us: int) -> Misconfigured | None:
        return self._fault if self._fault is not None and monotonic_us < self._until_us else None

    def learn(self, outcome: Outcome, monotonic_us: int) -> None:
        if isinstance(outcome, Misconfigured):
            if outcome.scope is Scope.PROJECT:
                self._fault = outcome
                self._until_us = monotonic_us + int(self.settings.brake_s * 1_000_000)
        else:
            self._fault = None
