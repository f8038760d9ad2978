"""States, patience, and metadata of documents: pure rules."""

import unicodedata
from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.documents.model import (
    FINAL,
    FOLLOWS,
    HOUR,
    IN_FLIGHT,
    MINUTE,
    Metadata,
    Receiver,
    SignerStep,
    State,
    checked,
    clean,
    due_us,
)
from server.errors import Refused

TODAY = date(2026, 11, 22)


def metadata(**change) -> Metadata:
    values = {
        "number": "15",
        "notation": "QĐ-UBND",
        "subject": "Về việc mẫu",
        "type_name": "Quyết định",
        "urgency": 0,
        "promulgation_place": "Xã Mẫu",
        "promulgation_date": "2026-11-22",
        "receivers": [Receiver(organ_id="X02", name="Cơ quan mẫu")],
        "signers": [SignerStep(person="0" * 32)],
    }
    return Metadata(**{**values, **change})


def test_every_state_that_is_not_final_has_a_time_out():
    for state in State:
        for urgency in range(5):
            due = due_us(state, urgency, 1_000)
            assert (due is None) == (state in FINAL)
            assert due is None or due > 1_000


def test_urgent_grades_wait_less_for_people():
    """TIM-1: the urgent grades are handled at once, so their alarm comes first, for leader and clerk."""
    for state in (State.IN_REVIEW, State.SIGNED):
        waits = [due_us(state, urgency, 0) for urgency in range(5)]
        assert waits == sorted(waits, reverse=True)
        assert waits[3] <= 15 * MINUTE < 4 * HOUR <= waits[0]


def test_receipt_is_expected_within_the_day():
    """TIM-5."""
    assert due_us(State.FORWARDED, 0, 0) == 24 * HOUR


def test_nothing_leaves_a_recalled_document_and_nothing_in_flight_is_recalled():
    assert FOLLOWS[State.RECALLED] == frozenset()
    for state in IN_FLIGHT:
        assert State.RECALLED not in FOLLOWS[state]
        assert State.RETURNED not in FOLLOWS[state]


def test_every_state_is_reached_and_leads_to_an_end():
    reached = {State.IN_REVIEW}
    while True:
        more = reached | {after for state in reached for after in FOLLOWS[state]}
        if more == reached:
            break
        reached = more
    assert reached == set(State)


def test_a_seal_never_precedes_a_signature():
    """SIG-7: `sealing` is entered from `signed` alone; without a signature only what the organisation seals alone comes there (`move`)."""
    assert [state for state in State if State.SEALING in FOLLOWS[state]] == [State.SIGNED]
    assert [state for state in State if State.SIGNED in FOLLOWS[state]] == [
        State.IN_REVIEW,
        State.SIGNED_PENDING_TIMESTAMP,
        State.SEALING,
        State.RETURNED,
    ]


@pytest.mark.parametrize("grade", ["mat", "toi-mat", "tuyet-mat", "Mật", "anything"])
def test_a_declared_grade_is_refused(grade):
    """SEC-1: whatever the word, a declared grade of secrecy keeps the document out."""
    with pytest.raises(Refused) as refused:
        checked(metadata(secrecy=grade), TODAY)
    assert refused.value.code == "secret-document"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"promulgation_date": "2026-02-30"}, "invalid-request"),
        ({"promulgation_date": "22/11/2026"}, "invalid-request"),
        ({"due_date": "1800-01-01"}, "invalid-request"),
        ({"subject": "\u202e\u2066"}, "invalid-request"),
        ({"to_places": ["x" * 400] * 3}, "invalid-request"),
        ({"signers": [SignerStep(person="1" * 32)] * 2}, "route-invalid"),
        ({"receivers": [Receiver("X02", "Một"), Receiver("x02", "Hai")]}, "receiver-unknown"),
    ],
)
def test_impossible_metadata_is_refused(change, code):
    with pytest.raises(Refused) as refused:
        checked(metadata(**change), TODAY)
    assert refused.value.code == code


@given(st.text(max_size=200))
def test_cleaned_text_holds_no_control_and_no_direction(text):
    """B11: no control character, no bidirectional override, and cleaning twice changes nothing."""
    once = clean(text)
    assert clean(once) == once
    assert not any(unicodedata.category(char) == "Cc" for char in once)
    assert not set(once) & set("\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\r\n\t\x00")


@given(st.lists(st.sampled_from(["number", "notation", "subject", "unknown"]), unique=True))
def test_unknown_fields_are_refused(names):
    """C2: a request may not carry a field that the wire type does not name."""
    body = {**msgspec.to_builtins(metadata()), **dict.fromkeys(names, "x")}
    if "unknown" in names:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(body, Metadata)
    else:
        msgspec.convert(body, Metadata)
