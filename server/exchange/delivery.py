"""The road of one document to one receiver, as a pure function of (delivery, event); edxml reference §7.1, EXC-6.

Statuses come late, out of order, repeated or never. The highest rank counts for the state; the caller keeps every
status in the history. What needs a person's eye is returned as a flag.
"""

from enum import StrEnum
from typing import Final

import msgspec

from server.exchange.model import StatusCode


class State(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    RETRY_WAIT = "retry_wait"
    FAILED = "failed"
    ACCEPTED_BY_EXCHANGE = "accepted_by_exchange"
    DELIVERED = "delivered"
    ARRIVED = "arrived"
    ACCEPTED = "accepted"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    FINISHED = "finished"
    REJECTED = "rejected"
    TAKE_BACK_REQUESTED = "take_back_requested"
    TAKEN_BACK = "taken_back"


class Event(StrEnum):
    """What happens to a delivery apart from business statuses."""

    SEND_STARTED = "send_started"
    SEND_POSTPONED = "send_postponed"
    SEND_REFUSED = "send_refused"
    REQUEUED = "requeued"
    EXCHANGE_ACCEPTED = "exchange_accepted"
    DELIVERY_SEEN = "delivery_seen"
    TAKE_BACK_SENT = "take_back_sent"


class Flag(StrEnum):
    """What a clerk or operator should look at."""

    REJECTED_AFTER_ACCEPTANCE = "rejected-after-acceptance"
    STATUS_AFTER_END = "status-after-end"
    ANSWER_WITHOUT_REQUEST = "answer-without-request"
    UNKNOWN_STATUS = "unknown-status"
    UNEXPECTED_EVENT = "unexpected-event"


class Delivery(msgspec.Struct, frozen=True):
    """`before_take_back` is the state to which a refused take-back (16) returns."""

    state: State = State.QUEUED
    before_take_back: State | None = None


class Step(msgspec.Struct, frozen=True):
    delivery: Delivery
    flag: Flag | None = None


RANK: Final = {
    State.QUEUED: 0,
    State.FAILED: 0,
    State.RETRY_WAIT: 0,
    State.SENDING: 0,
    State.ACCEPTED_BY_EXCHANGE: 1,
    State.DELIVERED: 2,
    State.ARRIVED: 3,
    State.ACCEPTED: 4,
    State.ASSIGNED: 5,
    State.IN_PROGRESS: 6,
    State.FINISHED: 7,
}
"""Progress of the ordinary road; 01 < 03 < 04 < 05 < 06."""

FINAL: Final = frozenset({State.REJECTED, State.TAKEN_BACK})

_PROGRESS: Final = {
    StatusCode.ARRIVED: State.ARRIVED,
    StatusCode.ACCEPTED: State.ACCEPTED,
    StatusCode.ASSIGNED: State.ASSIGNED,
    StatusCode.IN_PROGRESS: State.IN_PROGRESS,
    StatusCode.FINISHED: State.FINISHED,
}

_LOCAL: Final = {
    (State.QUEUED, Event.SEND_STARTED): State.SENDING,
    (State.RETRY_WAIT, Event.SEND_STARTED): State.SENDING,
    (State.SENDING, Event.SEND_POSTPONED): State.RETRY_WAIT,
    (State.SENDING, Event.SEND_REFUSED): State.FAILED,
    (State.RETRY_WAIT, Event.SEND_REFUSED): State.FAILED,
    (State.FAILED, Event.REQUEUED): State.QUEUED,
}


def on_event(delivery: Delivery, event: Event) -> Step:
    """The delivery after our own doing or the axis' answer."""
    match event:
        case Event.EXCHANGE_ACCEPTED:
            return Step(_raised(delivery, State.ACCEPTED_BY_EXCHANGE))
        case Event.DELIVERY_SEEN:
            return Step(_raised(delivery, State.DELIVERED))
        case Event.TAKE_BACK_SENT:
            return _take_back(delivery)
    following = _LOCAL.get((delivery.state, event))
    if following is not None:
        return Step(msgspec.structs.replace(delivery, state=following))
    # A status can overtake the answer to our own send call: the road goes on from the status, not back to sending.
    late = RANK.get(delivery.state, 1) >= 1
    return Step(delivery, None if late and event is not Event.REQUEUED else Flag.UNEXPECTED_EVENT)


def on_status(delivery: Delivery, code: str) -> Step:
    """The delivery after a status packet with `code` from this receiver."""
    try:
        status = StatusCode(code)
    except ValueError:
        return Step(delivery, Flag.UNKNOWN_STATUS)
    if status in {StatusCode.CHANGE_AGREED, StatusCode.CHANGE_REFUSED}:
        return _change_answered(delivery, status)
    if status is StatusCode.TAKE_BACK:
        return Step(delivery, Flag.UNEXPECTED_EVENT)
    if delivery.state in FINAL:
        repeated = delivery.state is State.REJECTED and status is StatusCode.REJECTED
        return Step(delivery, None if repeated else Flag.STATUS_AFTER_END)
    if status is StatusCode.REJECTED:
        return _rejected(delivery)
    return Step(_raised(delivery, _PROGRESS[status]))


def _raised(delivery: Delivery, state: State) -> Delivery:
    if delivery.state in FINAL:
        return delivery
    if delivery.state is State.TAKE_BACK_REQUESTED:
        before = delivery.before_take_back or State.ACCEPTED_BY_EXCHANGE
        return Delivery(delivery.state, max(before, state, key=RANK.__getitem__))
    return Delivery(max(delivery.state, state, key=RANK.__getitem__))


def _rejected(delivery: Delivery) -> Step:
    reached = delivery.before_take_back or delivery.state
    if reached is State.FINISHED:
        return Step(delivery, Flag.STATUS_AFTER_END)
    after_acceptance = RANK[reached] >= RANK[State.ACCEPTED]
    return Step(Delivery(State.REJECTED), Flag.REJECTED_AFTER_ACCEPTANCE if after_acceptance else None)


def _take_back(delivery: Delivery) -> Step:
    if delivery.state is State.TAKE_BACK_REQUESTED:
        return Step(delivery)
    rank = RANK.get(delivery.state, 0)
    if RANK[State.ACCEPTED_BY_EXCHANGE] <= rank <= RANK[State.IN_PROGRESS]:
        return Step(Delivery(State.TAKE_BACK_REQUESTED, delivery.state))
    return Step(delivery, Flag.UNEXPECTED_EVENT)


def _change_answered(delivery: Delivery, status: StatusCode) -> Step:
    if delivery.state is not State.TAKE_BACK_REQUESTED:
        # 15 and 16 also answer an update, which does not move the delivery; the history shows them.
        repeated = delivery.state is State.TAKEN_BACK and status is StatusCode.CHANGE_AGREED
        return Step(delivery, None if repeated else Flag.ANSWER_WITHOUT_REQUEST)
    if status is StatusCode.CHANGE_AGREED:
        return Step(Delivery(State.TAKEN_BACK))
    return Step(Delivery(delivery.before_take_back or State.ACCEPTED_BY_EXCHANGE))
