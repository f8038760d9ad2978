"""Certificate status from OCSP answers and revocation lists (SW-4, SW-8, SW-14; threat D6: 0 wrong "good")."""

import hashlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from signing.pdf.errors import CODES, PdfError
from signing.pdf.revocation import (
    CertificateState,
    Status,
    ValidationData,
    check_crl,
    check_ocsp,
    ocsp_request,
    path_of,
    sources,
    status_of,
)
from tests.fakes import pdf_signing as fakes
from tests.fakes.revocation import ocsp_answer, openssl_ocsp, responder_for, revocation_list

# The builder of answers dates them by the machine's clock (producedAt), so the tests stand in its time.
NOW = time.time_ns() // 1_000_000_000 * 1_000_000
MINUTE = 60_000_000
HOUR = 60 * MINUTE
LATER = 48 * HOUR  # farther than any test run takes


def wall() -> int:
    return time.time_ns() // 1000


def judge(answer: bytes, *, at_us: int = NOW, **more: object) -> Status:
    return check_ocsp(answer, fakes.leader().der, fakes.root().der, at_us=at_us, now_us=wall(), **more)  # type: ignore[arg-type]


def answer(at_us: int = NOW - MINUTE, **changes: object) -> bytes:
    return ocsp_answer(fakes.leader(), fakes.root(), at_us=at_us, **changes)  # type: ignore[arg-type]


def refused(raw: bytes, **more: object) -> str:
    with pytest.raises(PdfError) as caught:
        judge(raw, **more)  # type: ignore[arg-type]
    return caught.value.code


@pytest.mark.parametrize("by_hash", [False, True])
@pytest.mark.parametrize("delegated", [False, True])
def test_a_good_answer(*, delegated: bool, by_hash: bool) -> None:
    responder = responder_for(fakes.root()) if delegated else None
    raw = answer(responder=responder, by_hash=by_hash)
    found = judge(raw)
    assert found.state is CertificateState.GOOD
    assert (found.this_update_us, found.next_update_us) == (NOW - MINUTE, NOW + 9 * MINUTE)
    assert found.answer_sha256 == hashlib.sha256(raw).hexdigest()


def test_a_revoked_certificate_was_good_before() -> None:
    raw = answer(
        status=ocsp.OCSPCertStatus.REVOKED, revoked_us=NOW - 5 * MINUTE, reason=x509.ReasonFlags.key_compromise
    )
    found = judge(raw)
    assert (found.state, found.reason) == (CertificateState.REVOKED, "keyCompromise")
    earlier = judge(raw, at_us=NOW - 6 * MINUTE)
    assert (earlier.state, earlier.revoked_at_us) == (CertificateState.GOOD, NOW - 5 * MINUTE)
    # Suspended is not valid either (SW-8), and an old answer that says so still does.
    held = answer(
        at_us=NOW - 40 * HOUR,
        status=ocsp.OCSPCertStatus.REVOKED,
        revoked_us=NOW - 50 * HOUR,
        reason=x509.ReasonFlags.certificate_hold,
    )
    assert judge(held).state is CertificateState.REVOKED


def test_times_decide_what_an_answer_proves() -> None:
    stale = answer(at_us=NOW - HOUR)
    assert judge(stale).state is CertificateState.STALE
    # It was no worse at its own time, and an answer from after the time asked for is the best there is.
    assert judge(stale, at_us=NOW - HOUR + 5 * MINUTE).state is CertificateState.GOOD
    assert judge(answer(), at_us=NOW - 30 * HOUR).state is CertificateState.GOOD
    # Without nextUpdate the freshness limit of D6 holds.
    assert judge(answer(at_us=NOW - 59 * MINUTE, life=None)).state is CertificateState.GOOD
    assert judge(answer(at_us=NOW - 61 * MINUTE, life=None)).state is CertificateState.STALE
    assert refused(answer(at_us=NOW + LATER)) == "status-bad-answer"


def test_unknown_is_not_good() -> None:
    assert judge(answer(status=ocsp.OCSPCertStatus.UNKNOWN)).state is CertificateState.UNKNOWN


def test_silence_about_an_expired_certificate_proves_nothing() -> None:
    ended = fakes.issue("Sample Ended", fakes.root(), end=datetime(2026, 1, 1, tzinfo=UTC))
    raw = ocsp_answer(ended, fakes.root(), at_us=NOW)
    found = check_ocsp(raw, ended.der, fakes.root().der, at_us=NOW - HOUR, now_us=wall())
    assert found.state is CertificateState.UNKNOWN
    listed = revocation_list(fakes.root(), at_us=NOW)
    assert check_crl(listed, ended.der, fakes.root().der, at_us=NOW, now_us=NOW).state is CertificateState.UNKNOWN


def test_nonces() -> None:
    assert judge(answer(nonce=b"n" * 16), nonce=b"n" * 16).state is CertificateState.GOOD
    assert refused(answer(nonce=b"o" * 16), nonce=b"n" * 16) == "status-bad-answer"
    # Answers made beforehand carry none (RFC 5019).
    assert judge(answer(), nonce=b"n" * 16).state is CertificateState.GOOD


def stranger() -> fakes.Holder:
    return fakes.issue("Sample Stranger", None, authority=True)


WRONG = {
    "another serial": lambda: ocsp_answer(fakes.clerk(), fakes.root(), at_us=NOW - MINUTE),
    "another issuer's name and key": lambda: answer(named_issuer=stranger(), responder=responder_for(fakes.root())),
    "signed by a stranger": lambda: answer(responder=responder_for(stranger())),
    "signed by a stranger with the issuer's name": lambda: ocsp_answer(
        fakes.leader(), fakes.issue("Sample Root", None, authority=True), at_us=NOW - MINUTE, named_issuer=fakes.root()
    ),
    "responder without the right": lambda: answer(responder=responder_for(fakes.root(), usage=False)),
    "responder whose own status is unknown": lambda: answer(responder=responder_for(fakes.root(), no_check=False)),
    "responder of another time": lambda: answer(
        responder=responder_for(fakes.root(), end=datetime(2026, 1, 1, tzinfo=UTC))
    ),
    "responder not attached": lambda: answer(responder=responder_for(fakes.root()), attach=False),
    "signed by a mere end entity": lambda: answer(responder=fakes.clerk()),
    "not DER": lambda: b"<html>200 OK</html>",
    "empty": lambda: b"",
    "refusal": lambda: ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(
        fakes.serialization.Encoding.DER
    ),
    "huge": lambda: answer() + bytes(70_000),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_an_answer(name: str) -> None:
    # D6: stale, future-dated, wrong-serial, wrong-signer, unknown, huge replies; 0 wrong "good".
    assert refused(WRONG[name]()) in {"status-bad-answer", "status-untrusted"}


def test_a_weak_signature_is_no_answer() -> None:
    # SW-10: the digest of the signature itself; cryptography makes none with SHA-1, so OpenSSL does.
    weak = answer(responder=responder_for(fakes.root()), digest=hashes.SHA224())
    assert refused(weak) == "status-untrusted"


def test_a_responder_known_good_by_its_list() -> None:
    responder = responder_for(fakes.root(), no_check=False)
    listed = revocation_list(fakes.root(), at_us=NOW - MINUTE)
    assert judge(answer(responder=responder), crls=[listed]).state is CertificateState.GOOD
    bad = revocation_list(
        fakes.root(), at_us=NOW - MINUTE, revoked={responder.certificate.serial_number: (NOW - HOUR, None)}
    )
    assert refused(answer(responder=responder), crls=[bad]) == "status-untrusted"


@pytest.mark.parametrize("revoked", [False, True])
def test_openssl_answers(*, revoked: bool, tmp_path: Path) -> None:
    now = wall()
    responder = responder_for(fakes.root())
    request = ocsp_request(fakes.leader().der, fakes.root().der, b"n" * 32)
    raw = openssl_ocsp(request, fakes.leader(), fakes.root(), responder, tmp_path, revoked=revoked)
    found = judge(raw, at_us=now, nonce=b"n" * 32)
    assert found.state is (CertificateState.REVOKED if revoked else CertificateState.GOOD)
    assert refused(raw, at_us=now, nonce=b"o" * 32) == "status-bad-answer"


# Lists


def listed(**changes: object) -> bytes:
    return revocation_list(fakes.root(), **({"at_us": NOW - MINUTE} | changes))  # type: ignore[arg-type]


def judge_list(raw: bytes, at_us: int = NOW) -> Status:
    return check_crl(raw, fakes.leader().der, fakes.root().der, at_us=at_us, now_us=wall())


def test_a_list() -> None:
    serial = fakes.leader().certificate.serial_number
    assert judge_list(listed()).state is CertificateState.GOOD
    held = judge_list(listed(revoked={serial: (NOW - HOUR, x509.ReasonFlags.certificate_hold)}))
    assert (held.state, held.reason) == (CertificateState.REVOKED, "certificateHold")
    assert judge_list(listed(), at_us=NOW + 2 * HOUR).state is CertificateState.STALE


def scope(**flags: bool) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    values = {
        name: flags.get(name, False)
        for name in (
            "only_contains_user_certs",
            "only_contains_ca_certs",
            "indirect_crl",
            "only_contains_attribute_certs",
        )
    }
    point = x509.IssuingDistributionPoint(full_name=None, relative_name=None, only_some_reasons=None, **values)
    return ((point, True),)


WRONG_LISTS = {
    "of another issuer": lambda: revocation_list(stranger(), at_us=NOW - MINUTE),
    "signed by another": lambda: listed(signer=stranger()),
    "from the future": lambda: listed(at_us=NOW + LATER),
    "of authorities only": lambda: listed(extensions=scope(only_contains_ca_certs=True)),
    "of attribute certificates": lambda: listed(extensions=scope(only_contains_attribute_certs=True)),
    "indirect": lambda: listed(extensions=scope(indirect_crl=True)),
    "changes only": lambda: listed(extensions=((x509.DeltaCRLIndicator(1), True),)),
    "weak": lambda: listed(digest=hashes.SHA224()),
    "not DER": lambda: b"0\x80",
    "empty": lambda: b"",
}


@pytest.mark.parametrize("name", WRONG_LISTS)
def test_what_is_not_a_list(name: str) -> None:
    with pytest.raises(PdfError) as caught:
        judge_list(WRONG_LISTS[name]())
    assert caught.value.code in {"status-bad-answer", "status-untrusted"}


def test_a_list_of_end_entities_covers_one() -> None:
    assert judge_list(listed(extensions=scope(only_contains_user_certs=True))).state is CertificateState.GOOD


# All evidence together


def test_the_worst_that_holds_decides() -> None:
    serial = fakes.leader().certificate.serial_number
    good, late = answer(), answer(at_us=NOW - HOUR)
    bad = listed(revoked={serial: (NOW - HOUR, None)})

    def state(**data: tuple[bytes, ...]) -> CertificateState:
        return status_of(fakes.leader().der, fakes.root().der, ValidationData(**data), at_us=NOW, now_us=wall()).state

    assert state() is CertificateState.UNKNOWN
    assert state(ocsps=(late,)) is CertificateState.STALE
    assert state(ocsps=(late, good, b"junk")) is CertificateState.GOOD
    assert state(ocsps=(good,), crls=(bad,)) is CertificateState.REVOKED


def test_what_an_issuer_proved_proves_nothing_for_another_of_its_name() -> None:
    """Answers and lists are read once; who signed them is asked for each issuer, in whatever order."""
    honest, impostor = (fakes.issue("Sample Middle", fakes.root(), authority=True) for _ in range(2))
    leaf = fakes.issue("Sample Leaf", honest)
    listed = revocation_list(honest, at_us=NOW)
    said = ocsp_answer(leaf, honest, at_us=NOW - MINUTE)

    def holds(issuer: bytes) -> tuple[bool, bool]:
        found = []
        for check, raw in ((check_crl, listed), (check_ocsp, said)):
            try:
                state = check(raw, leaf.der, issuer, at_us=NOW, now_us=wall()).state
            except PdfError:
                found.append(False)
            else:
                found.append(state is CertificateState.GOOD)
        return found[0], found[1]

    for _ in range(2):
        assert holds(honest.der) == (True, True)
        assert holds(impostor.der) == (False, False)


def test_paths_are_built_by_signature() -> None:
    middle = fakes.issue("Sample Middle", fakes.root(), authority=True)
    impostor = fakes.issue("Sample Middle", fakes.root(), authority=True)
    leaf = fakes.issue("Sample Leaf", middle)
    pool = [b"junk", impostor.der, fakes.root().der, middle.der]
    assert path_of(leaf.der, pool) == (leaf.der, middle.der, fakes.root().der)
    assert path_of(leaf.der, [impostor.der]) == (leaf.der,)


def test_a_certificate_of_a_size_that_none_has_is_not_kept() -> None:
    usages = tuple(x509.ObjectIdentifier(f"1.3.6.1.4.1.99999.{number}") for number in range(6000))
    large = fakes.issue("Sample Large", fakes.root(), authority=True, usages=usages)
    assert len(large.der) > 64 * 1024
    leaf = fakes.issue("Sample Leaf", large)
    assert path_of(leaf.der, [large.der, fakes.root().der]) == (leaf.der,)
    with pytest.raises(PdfError):
        path_of(large.der, [fakes.root().der])


def test_where_to_ask() -> None:
    from server.demo.authority import Authority

    authority = Authority("http://ca.example", now=lambda: datetime(2026, 11, 22, tzinfo=UTC) + timedelta(0))
    unit = authority.tsa.certificate.public_bytes(fakes.serialization.Encoding.DER)
    assert sources(unit).ocsp == ("http://ca.example/ocsp",)
    assert sources(unit).crl == ("http://ca.example/issuing.crl",)
    assert sources(fakes.leader().der).ocsp == ()
    with pytest.raises(PdfError):
        sources(b"junk")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_answer_is_refused_or_says_the_same(data: st.DataObject) -> None:
    # B4: whatever a parser raises leaves as PdfError; a changed byte never makes another "good".
    good, raw = SAMPLE, bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = judge(bytes(raw))
    except PdfError as error:
        assert error.code in CODES  # noqa: PT017 -- most are refused
    else:
        same = judge(good)
        assert (found.state, found.this_update_us, found.revoked_at_us) == (
            same.state,
            same.this_update_us,
            same.revoked_at_us,
        )


SAMPLE = ocsp_answer(
    fakes.leader(), fakes.root(), at_us=NOW - MINUTE, status=ocsp.OCSPCertStatus.REVOKED, revoked_us=NOW - HOUR
)
