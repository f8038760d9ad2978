"""A2: a dump without the pepper opens for no PIN; A4: an envelope opens for its own holder, key and certificate alone."""

import msgspec
import pytest

from signing.core.custody import KeyMismatch
from signing.core.custody.software import SoftwareCustody
from signing.core.envelope import Argon, Binding, PinMismatch, derive, open_envelope, seal_envelope
from signing.core.model import KeyType
from signing.core.pin import Pin

CHEAP = Argon(memory_kib=8, iterations=1, lanes=1)
CUSTODY = SoftwareCustody(b"c" * 32, b"p" * 32)
BINDING = Binding("H01.01", "credential", "person", 1, CUSTODY.pepper_id, CUSTODY.custody_id)
PIN = Pin(b"4829")  # the reduced space: four digits, so that every PIN can be tried
KEY = b"the wrapped private key"


def opened(envelope, pepper, binding=BINDING):
    found = []
    for number in range(10_000):
        pin = Pin(b"%04d" % number)
        try:
            open_envelope(envelope, derive(pin, envelope.salt, envelope.argon), binding, pepper)
        except PinMismatch:
            continue
        found.append(pin.digits)
    return found


def test_no_pin_of_the_whole_space_opens_a_dump_without_the_pepper():
    """Everything that is in the dump is used: envelope, ids, parameters; and the guesses an attacker would make for the pepper."""
    envelope = seal_envelope(KEY, PIN, BINDING, CHEAP, CUSTODY.pepper)
    guesses = [b"", bytes(32), envelope.salt, envelope.sealed[:32], envelope.pepper_id.encode()]
    for guess in guesses:
        import hmac

        assert opened(envelope, lambda data, key=guess: hmac.digest(key, data, "sha256")) == []
    assert opened(envelope, CUSTODY.pepper) == [b"4829"]


@pytest.mark.parametrize("field", Binding.__struct_fields__)
def test_an_envelope_is_bound_to_every_field(field):
    envelope = seal_envelope(KEY, PIN, BINDING, CHEAP, CUSTODY.pepper)
    derived = derive(PIN, envelope.salt, envelope.argon)
    assert open_envelope(envelope, derived, BINDING, CUSTODY.pepper) == KEY
    value = 2 if field == "epoch" else "other"
    with pytest.raises(PinMismatch):
        open_envelope(envelope, derived, msgspec.structs.replace(BINDING, **{field: value}), CUSTODY.pepper)


def test_the_product_costs_are_the_floor_of_a2():
    assert (Argon().memory_kib, Argon().iterations) == (64 * 1024, 3)


@pytest.mark.parametrize("key_type", list(KeyType))
def test_a_wrapped_key_signs_only_as_itself(key_type):
    inner, public, _ = CUSTODY.generate(key_type, "CN=a", b"context")
    other_inner, other_public, _ = CUSTODY.generate(key_type, "CN=a", b"context")
    assert len(CUSTODY.sign(inner, key_type, b"context", public, [b"1", b"2"])) == 2
    wrong_type = KeyType.RSA3072 if key_type is KeyType.P256 else KeyType.P256
    for arguments in (
        (inner, key_type, b"other", public),
        (inner, key_type, b"context", other_public),
        (other_inner, key_type, b"context", public),
        (inner, wrong_type, b"context", public),
        (inner[:-1], key_type, b"context", public),
        (b"", key_type, b"context", public),
    ):
        with pytest.raises(KeyMismatch):
            CUSTODY.sign(*arguments, [b"1"])


def test_custody_shows_no_secret():
    assert "cccc" not in repr(CUSTODY)
    assert "pppp" not in repr(CUSTODY)
