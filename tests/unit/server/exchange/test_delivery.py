"""The road of a document to one receiver: statuses late, out of order, repeated or contradictory (EXC-6)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.exchange.delivery import FINAL, RANK, Delivery, Event, Flag, State, on_event, on_status

ROAD = {"01": State.ARRIVED, "03": State.ACCEPTED, "04": State.ASSIGNED, "05": State.IN_PROGRESS, "06": State.FINISHED}


def walk(steps, start=None):
    delivery, flags = start or Delivery(), []
    for step in steps:
        done = on_event(delivery, step) if isinstance(step, Event) else on_status(delivery, step)
        delivery = done.delivery
        flags.append(done.flag)
    return delivery, flags


SENT = [Event.SEND_STARTED, Event.EXCHANGE_ACCEPTED]


def test_the_ordinary_road_has_no_flags():
    states, delivery = [], Delivery()
    for step in [*SENT, Event.DELIVERY_SEEN, *ROAD]:
        done = on_event(delivery, step) if isinstance(step, Event) else on_status(delivery, step)
        assert done.flag is None
        delivery = done.delivery
        states.append(delivery.state)
    assert states == [
        State.SENDING, State.ACCEPTED_BY_EXCHANGE, State.DELIVERED, State.ARRIVED, State.ACCEPTED, State.ASSIGNED,
        State.IN_PROGRESS, State.FINISHED,
    ]  # fmt: skip


@pytest.mark.parametrize("order", list(itertools.permutations(ROAD)))
def test_the_order_of_arrival_does_not_matter(order):
    assert walk([*SENT, *order])[0].state is State.FINISHED


@given(st.lists(st.sampled_from(list(ROAD)), min_size=1, max_size=12))
def test_the_highest_rank_counts_whatever_is_repeated_or_missing(codes):
    delivery, flags = walk([*SENT, *codes])
    assert delivery.state is ROAD[max(codes)]
    assert set(flags) == {None}


@given(st.lists(st.sampled_from([*Event, *ROAD, "02", "13", "15", "16", "07", "99", ""]), max_size=30))
def test_no_sequence_leaves_the_rules(steps):
    delivery = Delivery()
    for step in steps:
        before = delivery
        done = on_event(delivery, step) if isinstance(step, Event) else on_status(delivery, step)
        delivery = done.delivery
        if before.state in FINAL:
            assert delivery == before
        assert (delivery.before_take_back is not None) == (delivery.state is State.TAKE_BACK_REQUESTED)
        if before.state in RANK and delivery.state in RANK and RANK[before.state] >= RANK[State.ACCEPTED_BY_EXCHANGE]:
            assert RANK[delivery.state] >= RANK[before.state]


def test_a_status_overtakes_the_answer_to_the_send_call():
    delivery, flags = walk([Event.SEND_STARTED, "01", Event.EXCHANGE_ACCEPTED, Event.SEND_POSTPONED])
    assert delivery.state is State.ARRIVED
    assert set(flags) == {None}


def test_rejection_is_final_and_flagged_after_acceptance():
    assert walk([*SENT, "01", "02"]) == (Delivery(State.REJECTED), [None] * 4)
    delivery, flags = walk([*SENT, "03", "02", "02", "05"])
    assert delivery.state is State.REJECTED
    assert flags[2:] == [None, Flag.REJECTED_AFTER_ACCEPTANCE, None, Flag.STATUS_AFTER_END]
    assert walk([*SENT, "06", "02"])[1][-1] is Flag.STATUS_AFTER_END


@pytest.mark.parametrize("reached", [[], ["01"], ["03"], ["05"]])
def test_take_back_agreed_or_refused(reached):
    before, _ = walk([*SENT, *reached])
    assert walk([Event.TAKE_BACK_SENT, "15"], before) == (Delivery(State.TAKEN_BACK), [None, None])
    assert walk([Event.TAKE_BACK_SENT, "16"], before) == (before, [None, None])


def test_progress_goes_on_under_a_take_back_and_shows_when_it_is_refused():
    delivery, _ = walk([*SENT, Event.TAKE_BACK_SENT, "03", "16"])
    assert delivery == Delivery(State.ACCEPTED)
    assert walk([*SENT, Event.TAKE_BACK_SENT, "02"])[0].state is State.REJECTED


@pytest.mark.parametrize("start", [State.QUEUED, State.SENDING, State.FINISHED, State.REJECTED, State.FAILED])
def test_take_back_needs_a_document_that_is_there_and_unfinished(start):
    done = on_event(Delivery(start), Event.TAKE_BACK_SENT)
    assert (done.delivery.state, done.flag) == (start, Flag.UNEXPECTED_EVENT)


def test_retry_failure_and_a_person_who_sends_again():
    steps = [Event.SEND_STARTED, Event.SEND_POSTPONED, Event.SEND_STARTED, Event.SEND_REFUSED, Event.REQUEUED]
    assert walk(steps) == (Delivery(), [None] * 5)


@pytest.mark.parametrize(
    ("code", "flag"),
    [
        ("07", Flag.UNKNOWN_STATUS),
        ("", Flag.UNKNOWN_STATUS),
        ("13", Flag.UNEXPECTED_EVENT),
        ("15", Flag.ANSWER_WITHOUT_REQUEST),
        ("16", Flag.ANSWER_WITHOUT_REQUEST),
    ],
)
def test_strange_statuses_move_nothing_and_are_flagged(code, flag):
    before, _ = walk([*SENT, "01"])
    assert walk([code], before) == (before, [flag])
