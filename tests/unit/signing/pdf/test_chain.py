"""A path that was proved once is believed only for what it was proved for: its bytes, its kind, its time."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from signing.pdf import chain
from tests.fakes import pdf_signing as fakes

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
NOW = BEGIN + YEAR / 2


def test_a_proved_path_holds_no_longer_than_its_shortest_certificate() -> None:
    top = fakes.issue("Sample Root", None, authority=True, begin=BEGIN - YEAR, end=BEGIN + 4 * YEAR)
    middle = fakes.issue("Sample Middle", top, authority=True, begin=BEGIN, end=BEGIN + YEAR)
    leaf = fakes.issue("Sample Leaf", middle, begin=BEGIN - YEAR, end=BEGIN + 2 * YEAR)
    wanted = (leaf.der, middle.der, top.der)

    def at(moment: datetime) -> tuple[bytes, ...]:
        return chain.prove(leaf.der, [middle.der], [top.der], moment)

    assert [at(NOW), at(BEGIN), at(BEGIN + YEAR), at(NOW)] == [wanted] * 4
    for outside in (BEGIN - timedelta(seconds=1), BEGIN + YEAR + timedelta(seconds=1), BEGIN + 3 * YEAR):
        with pytest.raises(chain.VerificationError):
            at(outside)
    assert at(NOW) == wanted


def test_another_path_is_found_for_another_time() -> None:
    top = fakes.issue("Sample Root", None, authority=True, begin=BEGIN - YEAR, end=BEGIN + 4 * YEAR)
    early = fakes.issue("Sample Middle", top, authority=True, begin=BEGIN, end=BEGIN + YEAR)
    late = fakes.issue("Sample Middle", top, key=early.key, authority=True, begin=BEGIN + YEAR, end=BEGIN + 3 * YEAR)
    leaf = fakes.issue("Sample Leaf", early, begin=BEGIN, end=BEGIN + 3 * YEAR)
    for moment, above in ((NOW, early), (NOW + YEAR, late), (NOW, early), (NOW + YEAR, late)):
        assert chain.prove(leaf.der, [early.der, late.der], [top.der], moment)[1] == above.der


def test_which_path_is_found_does_not_hang_on_what_was_asked_before() -> None:
    top = fakes.issue(
        "Sample Root", None, authority=True, begin=BEGIN - YEAR, end=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    )
    short = fakes.issue("Sample Middle", top, authority=True, begin=BEGIN, end=BEGIN + YEAR)
    long = fakes.issue("Sample Middle", top, key=short.key, authority=True, begin=BEGIN - YEAR, end=BEGIN + 3 * YEAR)
    leaf = fakes.issue("Sample Leaf", short, begin=BEGIN - YEAR, end=BEGIN + 3 * YEAR)

    def at(moment: datetime) -> bytes:
        return chain.prove(leaf.der, [short.der, long.der], [top.der], moment)[1]

    for other in (BEGIN - YEAR / 2, BEGIN + 2 * YEAR):
        chain._proved.cache_clear()
        assert at(other) == long.der
        for moment in (BEGIN, NOW, BEGIN + YEAR, BEGIN + YEAR + timedelta(milliseconds=999)):
            assert at(moment) == short.der
        for moment in (BEGIN - timedelta(milliseconds=1), BEGIN + YEAR + timedelta(seconds=1)):
            assert at(moment) == long.der


def test_what_was_proved_for_one_root_or_kind_says_nothing_of_another() -> None:
    top = fakes.issue("Sample Root", None, authority=True)
    other = fakes.issue("Sample Root", None, authority=True)
    leaf = fakes.issue("Sample Leaf", top, usages=(ExtendedKeyUsageOID.CLIENT_AUTH,))
    stamping = fakes.issue("Sample TSA", top, usages=(ExtendedKeyUsageOID.TIME_STAMPING,))
    careless = fakes.issue("Sample TSA", top, usages=(ExtendedKeyUsageOID.TIME_STAMPING,), critical=False)
    for own in (leaf, stamping, careless):
        assert chain.prove(own.der, [], [top.der], NOW) == (own.der, top.der)
        with pytest.raises(chain.VerificationError):
            chain.prove(own.der, [], [other.der], NOW)
    assert chain.prove(stamping.der, [], [top.der], NOW, stamps=True) == (stamping.der, top.der)
    for own in (leaf, careless):
        with pytest.raises(chain.VerificationError):
            chain.prove(own.der, [], [top.der], NOW, stamps=True)


def test_a_failure_is_not_remembered() -> None:
    top = fakes.issue("Sample Root", None, authority=True)
    middle = fakes.issue("Sample Middle", top, authority=True)
    leaf = fakes.issue("Sample Leaf", middle)
    with pytest.raises(chain.VerificationError):
        chain.prove(leaf.der, [], [top.der], NOW)
    assert chain.prove(leaf.der, [middle.der], [top.der], NOW) == (leaf.der, middle.der, top.der)
    with pytest.raises(chain.VerificationError):
        chain.prove(leaf.der, [], [top.der], NOW)
