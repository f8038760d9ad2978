"""A9: guessable PINs; A6: the ladder; A14: a PIN that never shows."""

import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.core.errors import PinForbidden, PinMalformed
from signing.core.pin import COMMON, Ladder, Pin, charge, check_choice, parse, tries_left
from signing.device import pin_plaintext

DIGITS = "0123456789"


def reason(digits, personal=(), previous=""):
    try:
        check_choice(Pin(digits.encode()), personal, Pin(previous.encode()) if previous else None)
    except PinForbidden as refused:
        return refused.fields["reason"]
    return ""


@given(st.sampled_from(DIGITS), st.integers(6, 31))
def test_all_same_digits_of_any_length_are_refused(digit, length):
    assert reason(digit * length) == "repeated"


@given(st.integers(0, 9), st.sampled_from([1, 2, 3, 7, 8, 9]), st.integers(6, 31))
def test_all_runs_of_any_length_start_and_direction_are_refused(start, step, length):
    assert reason("".join(str((start + step * at) % 10) for at in range(length))) == "run"


@given(st.text(DIGITS, min_size=1, max_size=5), st.integers(6, 24))
def test_repeated_blocks_of_any_length_are_refused(block, length):
    digits = (block * length)[: max(length, 2 * len(block))]
    assert reason(digits)


def test_the_commonest_are_refused_one_by_one():
    assert len(COMMON) >= 1000
    assert all(digits.isdecimal() and 6 <= len(digits) <= 31 for digits in COMMON)
    assert [digits for digits in COMMON if not reason(digits)] == []
    known = (
        "123456 654321 123123 159753 112233 696969 147258 789456 520520 131313 121212 101010 222333 199019 147258369"
    )
    assert all(reason(digits) for digits in known.split())


@pytest.mark.parametrize(
    ("pin", "part"),
    [
        ("310180", "19800131"), ("800131", "19800131"), ("19800131", "19800131"), ("013180", "19800131"),
        ("131098", "0912 389 013 1"[::-1]), ("912345", "0912345678"), ("678543", "+84 912 345 678"), ("719800131", "19800131"),
        ("001099", "001099012345"), ("543210", "0123456789"),
    ],
)  # fmt: skip
def test_parts_of_birthday_phone_and_identity_number_are_refused(pin, part):
    assert reason(pin, [part]) in ("personal", "run", "common")


@pytest.mark.parametrize("pin", ["482915", "730592", "905173", "48291573", "618034925", "2718395046"])
def test_ordinary_pins_pass(pin):
    assert reason(pin, ["19800131", "0912345678", "001099012345", "12"]) == ""


def test_the_old_pin_is_not_a_new_one():
    assert reason("482915", previous="482915") == "unchanged"


def test_most_random_pins_pass():
    chosen = random.Random(1).sample(range(1_000_000), 20_000)
    assert sum(bool(reason(f"{number:06d}")) for number in chosen) < 20_000 * 0.03


@given(st.text(DIGITS, min_size=6, max_size=31), st.one_of(st.just(""), st.text(DIGITS, min_size=6, max_size=31)))
def test_the_form_is_read_back(pin, new_pin):
    plaintext = pin_plaintext(pin, new_pin)
    assert len(plaintext) == 64
    first, second = parse(plaintext)
    assert first.digits.decode() == pin
    assert (second.digits.decode() if second else "") == new_pin


@given(st.binary(min_size=64, max_size=64))
def test_other_bytes_are_refused(plaintext):
    with pytest.raises(PinMalformed):
        parse(plaintext)


@pytest.mark.parametrize(
    "plaintext",
    [
        b"", bytes(64), pin_plaintext("482915")[:63], pin_plaintext("482915") + b"\0", pin_plaintext("48291"),
        b"\x06482915" + bytes(24) + b"1" + bytes(32), b"\x0648291x" + bytes(57), b"\x0648291\xb2" + bytes(57),
        pin_plaintext("482915")[:32] + b"\x05" + b"73059" + bytes(26), b"\x07482915" + bytes(57), b"\xff" + bytes(63),
    ],
)  # fmt: skip
def test_broken_forms_are_refused(plaintext):
    with pytest.raises(PinMalformed):
        parse(plaintext)


def test_a_pin_does_not_show():
    pin = Pin(b"482915")
    assert "482915" not in f"{pin} {pin!r} {[pin]}"
    with pytest.raises(TypeError):
        pickle.dumps(pin)


def test_the_ladder_locks_twice_and_ends():
    ladder, failures, seen = Ladder(), 0, []
    for attempt in range(9):
        charged = charge(ladder, failures, attempt)
        failures = charged.failures
        seen.append((charged.failures, charged.locked_until_us, charged.ended))
    hours = 3_600_000_000
    assert seen == [
        (1, 0, False), (2, 0, False), (3, 2 + 3 * hours, False), (4, 0, False), (5, 0, False), (6, 5 + 24 * hours, False),
        (7, 0, False), (8, 0, False), (9, 0, True),
    ]  # fmt: skip
    assert [tries_left(ladder, number, 0, 1) for number in range(10)] == [3, 2, 1, 3, 2, 1, 3, 2, 1, 0]
    assert tries_left(ladder, 3, 5, 4) == 0


@pytest.mark.parametrize("values", [((3, 3), ()), ((3, 0, 3), (1, 1)), ((5, 5), (1,)), ((), ())])
def test_a_ladder_of_more_than_nine_tries_or_without_locks_is_no_ladder(values):
    with pytest.raises(ValueError, match=r"ladder|empty"):
        Ladder(*values)
