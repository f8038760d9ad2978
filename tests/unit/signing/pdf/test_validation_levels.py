"""Levels, revocation and proof of existence in our own validation (EN 319 102-1, 5.5 and 5.6; SW-5, SW-8)."""

import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from signing.pdf.archive import append_validation_data
from signing.pdf.revocation import ValidationData
from signing.pdf.validation import Indication, Trust, ValidationResult, validate
from tests.fakes import pdf_signing as fakes
from tests.fakes import pdfs, products
from tests.fakes.pdf_levels import gathered, stamped
from tests.fakes.revocation import revocation_list

SECOND = 1_000_000
SEALED_US = fakes.NOW_US + 60 * SECOND
TRUST = Trust(roots=(fakes.root().der,))


def us(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * SECOND


def judged(path: Path, now_us: int = SEALED_US + 3600 * SECOND) -> ValidationResult:
    return validate(path, TRUST, now_us)


def sealed(folder: Path, source: bytes | None = None) -> Path:
    current = folder / "source.pdf"
    current.write_bytes(source or pdfs.vietnamese())
    for signer, holder in enumerate((fakes.leader(), fakes.leader(), fakes.clerk())):
        current, _info = fakes.sign(current, folder, fakes.request(signer), holder)
    return current


def with_list(parent: Path, out: Path, **revoked: int) -> Path:
    """The route with a list of the root that names the leader as revoked at a time."""
    listed = {fakes.leader().certificate.serial_number: (at, None) for at in revoked.values()}
    data = gathered(parent, SEALED_US)
    crl = revocation_list(fakes.root(), at_us=SEALED_US, revoked=listed)
    append_validation_data(parent, msgspec.structs.replace(data, crls=(crl,)), out)
    return out


def test_each_level_is_named_by_what_the_file_holds(tmp_path: Path) -> None:
    parent = sealed(tmp_path)
    assert [found.level for found in judged(parent).signatures] == ["B-T"] * 3
    lt = with_list(parent, tmp_path / "lt.pdf")
    result = judged(lt)
    assert result.valid
    assert [(found.level, found.revocation) for found in result.signatures] == [("B-LT", "good")] * 3
    lta = tmp_path / "lta.pdf"
    stamped(parent, lta, gathered(parent, SEALED_US), at_us=SEALED_US)
    result = judged(lta)
    assert result.valid
    assert [(found.level, found.revocation) for found in result.signatures[:3]] == [("B-LTA", "good")] * 3
    assert (result.signatures[3].timestamp, result.signatures[3].time_us) == (True, SEALED_US)


def test_who_was_revoked_before_the_proven_time_does_not_pass(tmp_path: Path) -> None:
    parent = sealed(tmp_path)
    early = judged(with_list(parent, tmp_path / "early.pdf", at=fakes.NOW_US - 86_400 * SECOND))
    leader = early.signatures[0]
    assert (leader.indication, leader.sub_indication) == (Indication.INDETERMINATE, "REVOKED_NO_POE")
    assert (leader.reasons, leader.revocation) == (("revoked",), "revoked")
    assert early.signatures[2].indication is Indication.PASSED  # the seal's own certificate was not
    late = judged(with_list(parent, tmp_path / "late.pdf", at=fakes.NOW_US + 30 * SECOND))
    assert late.valid
    assert late.signatures[0].revocation == "good"


def test_an_authority_that_is_believed_beside_its_own_root_may_be_revoked(tmp_path: Path) -> None:
    """The proved path ends at the first believed certificate; those above it, believed too, still speak of it."""
    top = fakes.issue("Sample Top", None, authority=True)
    middle = fakes.issue("Sample Middle", top, authority=True)
    path = tmp_path / "in.pdf"
    path.write_bytes(pdfs.vietnamese())
    parent, _info = fakes.sign(path, tmp_path, fakes.request(), fakes.issue("Sample Leaf", middle))

    def reasons(trust: Trust, issuer: fakes.Holder, gone: fakes.Holder, *lists: bytes) -> tuple[str, ...]:
        revoked = {gone.certificate.serial_number: (fakes.NOW_US - 86_400 * SECOND, x509.ReasonFlags.key_compromise)}
        lists = (*lists, revocation_list(issuer, at_us=SEALED_US, revoked=dict(revoked)))
        out = tmp_path / "out.pdf"
        out.unlink(missing_ok=True)
        append_validation_data(parent, ValidationData((middle.der,), (), lists), out)
        return validate(out, trust, SEALED_US).signatures[0].reasons

    stamping = fakes.root().der
    for roots in ((top.der,), (middle.der, top.der)):
        assert reasons(Trust(roots, (), (stamping,)), top, middle, revocation_list(middle, at_us=SEALED_US)) == (
            "revoked",
        )
    for believed in ((stamping,), (fakes.authority().der, stamping)):
        assert reasons(Trust((top.der,), (), believed), fakes.root(), fakes.authority()) == ("timestamp-untrusted",)


def test_renewal_keeps_a_file_valid_past_the_end_of_its_first_authority(tmp_path: Path) -> None:
    """A chain of archive time stamps, each made while the one before could still be believed."""
    parent = sealed(tmp_path)
    first, second = tmp_path / "lta1.pdf", tmp_path / "lta2.pdf"
    stamped(parent, first, gathered(parent, SEALED_US), at_us=SEALED_US)
    assert judged(first, us(2034)).valid
    ended = judged(first, us(2036))
    assert not ended.valid
    assert "timestamp-expired" in ended.signatures[-1].reasons
    usage = (ExtendedKeyUsageOID.TIME_STAMPING,)
    successor = fakes.issue("Next TSA", fakes.root(), key=fakes.rsa_key("tsa2"), usages=usage, end=us_date(2034, 12))
    renewed_us = us(2034)
    stamped(first, second, gathered(first, renewed_us), at_us=renewed_us, tsa=successor)
    assert judged(second, us(2034) + 86_400 * SECOND).valid
    # The new authority ends before the old one here: the old stamp then speaks for itself no longer than its own end.
    assert not judged(second, us(2036)).valid


def us_date(year: int, month: int) -> datetime:
    return datetime(year, month, 1, tzinfo=UTC)


def test_archive_renewal_on_direct_annotations_is_accepted(tmp_path: Path) -> None:
    """pyHanko's difference policy takes the new field on a direct /Annots for more than long-term data; listed as a difference."""
    first, second = tmp_path / "lta1.pdf", tmp_path / "lta2.pdf"
    parent = sealed(tmp_path, pdfs.links())
    stamped(parent, first, gathered(parent, SEALED_US), at_us=SEALED_US)
    stamped(first, second, gathered(first, SEALED_US + SECOND), at_us=SEALED_US + SECOND)
    result = judged(second)
    assert result.valid
    assert [found.level for found in result.signatures] == ["B-LTA"] * 3 + ["", ""]


@pytest.mark.parametrize("times", [1, 2])
def test_what_another_product_archived_has_its_level(times: int, tmp_path: Path) -> None:
    now_us = max(fakes.NOW_US, time.time_ns() // 1000)
    crl = revocation_list(fakes.root(), at_us=now_us - 60 * SECOND)
    path = tmp_path / "hanko.pdf"
    path.write_bytes(products.hanko(pdfs.plain(), times=times, archived=True, crls=(crl,)))
    result = judged(path, now_us + 60 * SECOND)
    assert result.valid
    assert [found.level for found in result.signatures if not found.timestamp] == ["B-LTA"] * times


STRONG = [
    ("p256", "sha256", ("-cades",)), ("p256", "sha384", ("-cades",)), ("p256", "sha512", ()), ("rsa2048", "sha256", ("-cades",)),
    ("rsa2048", "sha384", ("-keyopt", "rsa_padding_mode:pss")), ("rsa3072", "sha512", ("-keyopt", "rsa_padding_mode:pss", "-cades")),
]  # fmt: skip
WEAK = [
    ("p256", "sha1", "weak-digest"),
    ("p256", "sha224", "weak-digest"),
    ("rsa2048", "md5", "weak-digest"),
    ("rsa1024", "sha256", "weak-key"),
]


def holder_of(kind: str) -> fakes.Holder:
    if kind == "p256":
        return fakes.leader()
    key = fakes.rsa_key("tsa-leaf") if kind == "rsa2048" else fakes.rsa_key("leaf")
    if kind == "rsa1024":
        key = rsa.generate_private_key(65537, 1024)
    return fakes.issue("Sample Holder", fakes.root(), key=key)


@pytest.mark.parametrize(("kind", "digest", "options"), STRONG)
def test_sw_9_and_sw_10_the_algorithms_of_the_field_are_known(
    kind: str, digest: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "signed.pdf"
    path.write_bytes(products.openssl(pdfs.plain(), tmp_path, digest=digest, holder=holder_of(kind), options=options))
    result = judged(path)
    assert result.valid, result
    scheme = "ecdsa" if kind == "p256" else "rsassa-pss" if "-keyopt" in options else "rsassa-pkcs1v15"
    assert result.signatures[0].algorithm == f"{scheme}-{digest}"


@pytest.mark.parametrize(("kind", "digest", "reason"), WEAK)
def test_b10_weak_algorithms_are_flagged(kind: str, digest: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "weak.pdf"
    path.write_bytes(products.openssl(pdfs.plain(), tmp_path, digest=digest, holder=holder_of(kind), options=()))
    (found,) = judged(path).signatures
    assert (found.indication, found.sub_indication) == (Indication.INDETERMINATE, "CRYPTO_CONSTRAINTS_FAILURE")
    assert found.reasons == (reason,)
