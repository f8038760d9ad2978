"""Which addresses of a certificate may be called (threat C11), and what an answer makes of what was known (threat D6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.revocation.model import Hosts, Known, State, known_from, not_checked, worst
from signing.pdf.revocation import CertificateState, Status

HOSTS = Hosts(["ocsp.ca.example", "127.0.0.1:8081", "crl.ca.example:8080", "[::1]:8082"])


@pytest.mark.parametrize(
    "url",
    [
        "http://ocsp.ca.example/",
        "http://ocsp.ca.example:80/a",
        "https://ocsp.ca.example/a?b",
        "https://OCSP.ca.example:443/",
        "http://127.0.0.1:8081/ocsp",
        "http://crl.ca.example:8080/x.crl",
        "http://[::1]:8082/x",
    ],
)
def test_configured_hosts_are_called(url: str) -> None:
    assert HOSTS.allow(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1:8080/",
        "http://localhost:8081/",
        "http://2130706433:8081/",
        "http://0x7f.1:8081/",
        "http://[::ffff:127.0.0.1]:8081/",
        "http://ocsp.ca.example:8081/",
        "http://ocsp.ca.example.evil.example/",
        "http://evil.example/ocsp.ca.example",
        "http://ocsp.ca.example@evil.example/",
        "http://evil.example#ocsp.ca.example",
        "http://user:secret@ocsp.ca.example/",
        "http://ocsp.ca.example\\@evil.example/",
        "http://ocsp.ca.example /",
        "http://ocsp。ca。example/",
        "http://ocsp.ca.example:99999/",
        "http://ocsp.ca.example:abc/",
        "ftp://ocsp.ca.example/",
        "file:///etc/passwd",
        "ldap://ocsp.ca.example/cn=x?certificateRevocationList",
        "gopher://ocsp.ca.example/",
        "//ocsp.ca.example/",
        "ocsp.ca.example",
        "http://",
        "",
        "http://ocsp.ca.example/" + "a" * 3000,
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::1/",
    ],
)
def test_no_other_address_is_called(url: str) -> None:
    assert not HOSTS.allow(url)


@given(st.text(max_size=60))
def test_nothing_is_allowed_by_accident(text: str) -> None:
    assert not Hosts([]).allow(f"http://{text}/")
    assert not Hosts(["a.example"]).allow(f"http://b.example{text}" if not text.startswith(":") else "x")


NOW = 1_795_000_000_000_000


def row(state: State, **changes: object) -> Known:
    values: dict[str, object] = {
        "certificate": "c", "state": state, "source": "ocsp", "this_update_us": NOW - 10, "usable_until_us": NOW + 600,
        "revoked_at_us": None, "reason": "", "answer": "a", "checked_us": NOW - 10, "failing_since_us": None,
    }  # fmt: skip
    return Known(**(values | changes))  # type: ignore[arg-type]


def test_silence_never_makes_a_certificate_better() -> None:
    revoked = row(State.REVOKED, revoked_at_us=NOW - 100)
    assert not_checked("c", NOW, revoked) is revoked
    good = row(State.GOOD)
    assert not_checked("c", NOW + 600, good) is good  # cached until nextUpdate
    late = not_checked("c", NOW + 601, good)
    assert (late.state, late.failing_since_us) == (State.NOT_CHECKED, NOW + 601)
    # The grace is counted from the first failure, not from the last.
    assert not_checked("c", NOW + 9000, late).failing_since_us == NOW + 601


@pytest.mark.parametrize(
    ("said", "state", "failing"),
    [
        (CertificateState.GOOD, State.GOOD, None),
        (CertificateState.REVOKED, State.REVOKED, None),
        (CertificateState.UNKNOWN, State.UNKNOWN, NOW),
        (CertificateState.STALE, State.NOT_CHECKED, NOW),
    ],
)
def test_only_good_is_good(said: CertificateState, state: State, failing: int | None) -> None:
    found = known_from("c", Status(state=said, source="ocsp", this_update_us=NOW - 1), NOW, None)
    assert (found.state, found.failing_since_us, found.good) == (state, failing, state is State.GOOD)


def test_the_worst_of_a_path_decides() -> None:
    everything = [row(State.GOOD), row(State.UNKNOWN), row(State.NOT_CHECKED), row(State.REVOKED)]
    for count in range(1, 5):
        assert worst(everything[:count]) is everything[count - 1]
