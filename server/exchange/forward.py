"""Sending one packet exactly once over an axis that may swallow its answers (threats D1, D2, D3).

The policy is a pure function of a small state that the caller stores; `forward_once` makes one step of it. Before the
packet leaves, `sending` is stored; whoever finds `sending` after a crash does not know the outcome and asks first.
"""

from collections.abc import Awaitable, Callable, Collection
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from server.exchange.axis import (
    Accepted,
    Axis,
    AxisRefused,
    AxisUnavailable,
    Refused,
    SendOutcome,
    SentItem,
    SentKey,
    Unknown,
    Unreachable,
    find_sent,
)
from server.exchange.model import PacketKind

SECOND_US: Final = 1_000_000
FIRST_DELAY_US: Final = 30 * SECOND_US
MAX_DELAY_US: Final = 15 * 60 * SECOND_US
SETTLE_US: Final = 60 * SECOND_US
"""How long after an unknown outcome the sent list is believed to show a packet that was accepted late."""


class Stage(StrEnum):
    READY = "ready"
    SENDING = "sending"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Action(StrEnum):
    SEND = "send"
    ASK = "ask"
    WAIT = "wait"
    STOP = "stop"


class Forwarding(msgspec.Struct, frozen=True):
    """Stored per packet. `attempts` counts sends and failed questions in a row, for the delay; times in µs UTC."""

    stage: Stage = Stage.READY
    attempts: int = 0
    not_before_us: int = 0
    doc_id: str = ""
    code: str = ""
    description: str = ""


class Parcel(msgspec.Struct, frozen=True):
    """A written packet file, who sends it to whom, and what the sent list would show of it."""

    kind: PacketKind
    file: Path
    sender: str
    key: SentKey
    known: Collection[str] = ()


def action(state: Forwarding, now_us: int) -> Action:
    """What to do now. SENDING is only ever seen after a crash: its outcome is unknown, so it asks."""
    if state.stage in {Stage.ACCEPTED, Stage.REFUSED}:
        return Action.STOP
    if now_us < state.not_before_us:
        return Action.WAIT
    return Action.SEND if state.stage is Stage.READY else Action.ASK


def after_send(state: Forwarding, outcome: SendOutcome, now_us: int, settle_us: int, jitter: float) -> Forwarding:
    match outcome:
        case Accepted(doc_id):
            return msgspec.structs.replace(state, stage=Stage.ACCEPTED, doc_id=doc_id)
        case Refused(code, description):
            return msgspec.structs.replace(state, stage=Stage.REFUSED, code=code, description=description)
        case Unknown(reason):
            return msgspec.structs.replace(state, stage=Stage.UNKNOWN, not_before_us=now_us + settle_us, code=reason)
        case Unreachable(reason):
            due = now_us + delay_us(state.attempts, jitter)
            return msgspec.structs.replace(state, stage=Stage.READY, not_before_us=due, code=reason)


def after_ask(
    state: Forwarding, found: tuple[SentItem, ...] | None, now_us: int, settle_us: int, jitter: float
) -> Forwarding:
    """`found` None = the question failed. A crash while sending waits the settling time before its answer counts."""
    if found:
        return msgspec.structs.replace(state, stage=Stage.ACCEPTED, doc_id=found[0].sender_doc_id)
    if found is None:
        due = now_us + delay_us(state.attempts, jitter)
        return msgspec.structs.replace(state, attempts=state.attempts + 1, not_before_us=due)
    if state.stage is Stage.SENDING:
        return msgspec.structs.replace(state, stage=Stage.UNKNOWN, not_before_us=now_us + settle_us)
    return msgspec.structs.replace(state, stage=Stage.READY, not_before_us=now_us)


def delay_us(attempts: int, jitter: float) -> int:
    """30 s doubled per attempt up to 15 min, shortened at random by up to half; `jitter` in [0, 1)."""
    full = min(FIRST_DELAY_US << min(max(attempts - 1, 0), 10), MAX_DELAY_US)
    return full - int(full * jitter / 2)


async def forward_once(
    axis: Axis,
    parcel: Parcel,
    state: Forwarding,
    *,
    now_us: Callable[[], int],
    jitter: Callable[[], float],
    store: Callable[[Forwarding], Awaitable[None]],
    settle_us: int = SETTLE_US,
) -> Forwarding:
    """Makes the one step that is due, if any, and returns the new state, which `store` has kept durably.

    `store` is awaited before the packet leaves and after each answer; what it raises ends the step.
    """
    match action(state, now_us()):
        case Action.SEND:
            state = msgspec.structs.replace(state, stage=Stage.SENDING, attempts=state.attempts + 1)
            await store(state)
            outcome = await axis.send(parcel.kind, parcel.file, parcel.sender, parcel.key.receivers)
            state = after_send(state, outcome, now_us(), settle_us, jitter())
        case Action.ASK:
            state = after_ask(state, await _asked(axis, parcel), now_us(), settle_us, jitter())
        case Action.WAIT | Action.STOP:
            return state
    await store(state)
    return state


async def _asked(axis: Axis, parcel: Parcel) -> tuple[SentItem, ...] | None:
    try:
        return await find_sent(axis, parcel.kind, parcel.key, parcel.known)
    except (AxisUnavailable, AxisRefused):
        return None
