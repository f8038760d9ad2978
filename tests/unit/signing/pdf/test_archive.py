"""Levels B-LT and B-LTA behind a whole route, renewal, and judges that are not ours (EN 319 142-1, SW-5, SW-11)."""

import asyncio
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.ades import ades_lta_validation
from pyhanko.sign.validation.policy_decl import (
    PdfSignatureValidationSpec,
    RevinfoOnlineFetchingRule,
    RevocationInfoGatheringSpec,
    SignatureValidationSpec,
)
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.ltv.types import ValidationTimingInfo
from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy
from pyhanko_certvalidator.registry import SimpleTrustManager

from signing.pdf.archive import append_validation_data, prepare_archive, signed_with
from signing.pdf.compare import chain, compare_archive
from signing.pdf.errors import PdfError
from signing.pdf.reader import open_document
from signing.pdf.revocation import CertificateState, ValidationData, path_of, read_dss, status_of
from tests.fakes import pdf_signing as fakes
from tests.fakes import pdfs
from tests.fakes.pdf_levels import gathered, stamped
from tests.fakes.revocation import revocation_list
from tests.shared import SAMPLES, needs_samples

SECOND = 1_000_000
SEALED_US = fakes.NOW_US + 60 * SECOND
FILES = {
    "plain": pdfs.plain,
    "vietnamese": pdfs.vietnamese,
    "object-streams": pdfs.object_streams,
    "hybrid": pdfs.hybrid,
    "form": pdfs.form,
    "pdfa-1b": lambda: pdfs.pdfa(1),
    "links": pdfs.links,
    "no-line-end": lambda: pdfs.plain().rstrip(b"\r\n"),
    "rotated": pdfs.rotated,
}


def sealed(source: bytes, folder: Path, **changes: object) -> Path:
    """Leader, co-signer and seal, each with a time stamp."""
    current = folder / "source.pdf"
    current.write_bytes(source)
    for signer, holder in enumerate((fakes.leader(), fakes.leader(), fakes.clerk())):
        current, _info = fakes.sign(current, folder, fakes.request(signer, **changes), holder)
    return current


def archived(parent: Path, folder: Path, number: int = 1, at_us: int = SEALED_US) -> Path:
    out = folder / f"lta-{number}.pdf"
    stamped(parent, out, gathered(parent, at_us), at_us=at_us)
    return out


def context(at_us: int) -> ValidationContext:
    return ValidationContext(
        trust_roots=[fakes.asn1_x509.Certificate.load(fakes.root().der)],
        moment=datetime.fromtimestamp(at_us / 1e6, UTC),
        revocation_mode="soft-fail",
        allow_fetching=False,
    )


def judged_by_pyhanko(path: Path, at_us: int) -> list[str]:
    """pyHanko's word (EN 319 102-1, 5.6.3) for each signature with long-term data, offline; empty: TOTAL-PASSED."""
    policy = CertValidationPolicySpec(
        trust_manager=SimpleTrustManager.build(trust_roots=[fakes.asn1_x509.Certificate.load(fakes.root().der)]),
        revinfo_policy=CertRevTrustPolicy(REQUIRE_REVINFO),
    )
    gathering = RevocationInfoGatheringSpec(online_fetching_rule=RevinfoOnlineFetchingRule.LOCAL_ONLY)
    spec = SignatureValidationSpec(cert_validation_policy=policy, revinfo_gathering_policy=gathering)
    moment = datetime.fromtimestamp(at_us / 1e6, UTC)
    timing = ValidationTimingInfo(validation_time=moment, best_signature_time=moment, point_in_time_validation=True)
    words = []
    with path.open("rb") as file:
        for embedded in PdfFileReader(file).embedded_regular_signatures:
            found = asyncio.run(ades_lta_validation(embedded, PdfSignatureValidationSpec(spec), timing))
            words.append("" if str(found.ades_subindic) == "AdESPassed.OK" else str(found.ades_subindic))
    return words


@pytest.mark.parametrize("name", FILES)
def test_a_route_to_b_lta(name: str, tmp_path: Path) -> None:
    parent = sealed(FILES[name](), tmp_path)
    final = archived(parent, tmp_path)
    assert final.read_bytes().startswith(parent.read_bytes())
    fakes.qpdf_check(final)
    verdicts = [one for one in fakes.pdfsig(final) if one.subfilter == "ETSI.CAdES.detached"]
    assert len(verdicts) == 3
    assert all(one.valid for one in verdicts)
    changes = chain(final)
    assert all(not change.reason for change in changes)
    assert changes[-1].change is not None
    assert changes[-1].change.timestamp
    assert changes[-1].change.validation_data
    if name != "hybrid":  # pyHanko's reader fails on hybrid files, its own included (pdf.md)
        assert judged_by_pyhanko(final, SEALED_US + 3600 * SECOND) == [""] * 3
    if name == "plain":  # a judge that says yes to this would say yes to anything
        assert "" not in judged_by_pyhanko(parent, SEALED_US + 3600 * SECOND)


def test_the_store_speaks_for_every_certificate(tmp_path: Path) -> None:
    # SW-5: whoever validates later needs nothing but the file and the root.
    final = archived(sealed(pdfs.plain(), tmp_path), tmp_path)
    with open_document(final) as document:
        data = read_dss(document.head)
    signed = signed_with(final)
    assert [one.timestamp for one in signed] == [False, False, False, True]
    assert [one.token_time_us for one in signed] == [fakes.NOW_US + SECOND] * 3 + [SEALED_US]
    for one in signed:
        for leaf in (one.certificate, *one.token[:1]):
            path = path_of(leaf, data.certificates)
            assert path[-1] == fakes.root().der
            found = status_of(leaf, path[1], data, at_us=one.token_time_us or 0, now_us=SEALED_US)
            assert found.state is CertificateState.GOOD


@pytest.mark.parametrize("name", ["plain", "object-streams", "links"])
def test_renewal_before_the_stamp_ends(name: str, tmp_path: Path) -> None:
    first = archived(sealed(FILES[name](), tmp_path), tmp_path)
    later = SEALED_US + 300 * 86_400 * SECOND
    second = archived(first, tmp_path, 2, later)
    third = archived(second, tmp_path, 3, later + 86_400 * SECOND)
    names = [change.change.signature for change in chain(third)[-3:] if change.change]
    assert names == ["HT_DTS1", "HT_DTS2", "HT_DTS3"]
    fakes.qpdf_check(third)
    assert sum(one.valid for one in fakes.pdfsig(third) if one.subfilter == "ETSI.CAdES.detached") == 3
    with open_document(first) as before, open_document(third) as after:
        old, new = read_dss(before.head), read_dss(after.head)
    # Lists only grow, and nothing stands in them twice.
    assert new.certificates[: len(old.certificates)] == old.certificates
    assert len(set(new.crls)) == len(new.crls) == 3


def test_renewal_on_direct_annotations_is_ours_to_accept(tmp_path: Path) -> None:
    """A further stamp's field changes a page whose `/Annots` is direct; pyHanko takes that for more than LTV data.

    Our comparison accepts it, as the field is invisible; the difference is listed in signing/README.md.
    """
    second = archived(archived(sealed(pdfs.links(), tmp_path), tmp_path), tmp_path, 2, SEALED_US + SECOND)
    assert not any(change.reason for change in chain(second))
    with second.open("rb") as file:
        first = PdfFileReader(file).embedded_signatures[0]
        status = validate_pdf_signature(first, context(SEALED_US + 3600 * SECOND))
        assert status.intact
        assert status.valid


def test_validation_data_alone_is_b_lt(tmp_path: Path) -> None:
    parent = sealed(pdfs.plain(), tmp_path)
    out = tmp_path / "lt.pdf"
    data = gathered(parent, SEALED_US)
    digest = append_validation_data(parent, data, out)
    assert digest == fakes.hashlib.sha256(out.read_bytes()).digest()
    found = compare_archive(parent, out)
    assert found.validation_data
    assert not found.timestamp
    fakes.qpdf_check(out)
    with pytest.raises(PdfError) as caught:
        append_validation_data(out, data, tmp_path / "again.pdf")
    assert caught.value.code == "bad-request"
    assert not (tmp_path / "again.pdf").exists()


def test_a_locking_seal_leaves_room_for_the_archive(tmp_path: Path) -> None:
    # pdf.md: lock by the seal (FieldMDP All, P=1), then DSS and time stamp: stays valid.
    route = tuple(
        fakes.RouteField(one.field_name, one.kind, locks=one.kind is fakes.FieldKind.SEAL) for one in fakes.ROUTE
    )
    parent = sealed(pdfs.plain(), tmp_path, route=route)
    final = archived(parent, tmp_path)
    assert not any(change.reason for change in chain(final))
    assert all(one.valid for one in fakes.pdfsig(final) if one.subfilter == "ETSI.CAdES.detached")
    assert judged_by_pyhanko(final, SEALED_US + 3600 * SECOND) == [""] * 3


def test_a_certified_route_reaches_the_archive(tmp_path: Path) -> None:
    final = archived(sealed(pdfs.plain(), tmp_path, certify=True), tmp_path)
    with final.open("rb") as file:
        assert PdfFileReader(file).root["/Perms"]["/DocMDP"]["/Type"] == "/Sig"
    assert all(one.valid for one in fakes.pdfsig(final) if one.subfilter == "ETSI.CAdES.detached")
    assert judged_by_pyhanko(final, SEALED_US + 3600 * SECOND) == [""] * 3


def test_what_is_no_archive_revision_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "source.pdf"
    parent.write_bytes(pdfs.plain())
    with pytest.raises(PdfError) as caught:
        prepare_archive(parent, ValidationData(), tmp_path / "x.pdf", room=8192)
    assert caught.value.code == "bad-request"
    signed, _info = fakes.sign(parent, tmp_path, fakes.request(0), fakes.leader())
    again, _info = fakes.sign(signed, tmp_path, fakes.request(1), fakes.leader())
    with pytest.raises(PdfError) as caught:
        compare_archive(signed, again)
    assert caught.value.code == "changed-beyond-signature"


def test_a_store_that_came_with_the_file_is_kept(tmp_path: Path) -> None:
    """Direct and indirect stores and lists: the archive of an archive, with an own list each time."""
    parent = sealed(pdfs.plain(), tmp_path)
    text = parent.read_bytes()
    direct = pdfs.append(
        text,
        {90: pdfs.stream(b"certificate of another"), **_catalog_with(parent, "/DSS << /Certs [90 0 R] >>")},
    )
    other = tmp_path / "direct.pdf"
    other.write_bytes(direct)
    out = tmp_path / "out.pdf"
    append_validation_data(
        other, ValidationData((fakes.root().der,), (), (revocation_list(fakes.root(), at_us=SEALED_US),)), out
    )
    with open_document(out) as document:
        data = read_dss(document.head)
    assert data.certificates == (b"certificate of another", fakes.root().der)
    assert len(data.crls) == 1
    compare_archive(other, out)


def _catalog_with(path: Path, entry: str) -> dict[int, bytes]:
    with open_document(path) as document:
        root = document.head.indirect(document.head.root)
        assert root is not None
        return {root.ref.num: root.tokens[:-2] + entry.encode() + b" >>"}


def test_a_hundred_megabytes_cost_no_memory(tmp_path: Path) -> None:
    """100 MB with no more than 16 MiB beside the file itself, which is mapped: comparison and archive."""
    source = tmp_path / "scan.pdf"
    source.write_bytes(pdfs.scan(100_000_000))
    # The fake that signs reads the file whole for its own check; preparing is measured in `tests/bench/memory.py`.
    signed, _info = fakes.sign(source, tmp_path, fakes.request(0), fakes.leader())
    tracemalloc.start()
    try:
        archived(signed, tmp_path)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "lta-1.pdf").stat().st_size > 100_000_000
    assert peak <= 16 * 1024 * 1024


def test_two_thousand_pages(tmp_path: Path) -> None:
    source = tmp_path / "source.pdf"
    source.write_bytes(pdfs.many_pages_compressed(2000))
    signed, _info = fakes.sign(source, tmp_path, fakes.request(0), fakes.leader())
    final = archived(signed, tmp_path)
    assert [one.valid for one in fakes.pdfsig(final) if one.subfilter == "ETSI.CAdES.detached"] == [True]
    fakes.qpdf_check(final)


@needs_samples
@pytest.mark.parametrize(
    "name", ["05-117-pages-linearized", "08-hybrid-xref", "09-signed-linearized", "10-signed-twice", "11-pades-lta-dss"]
)
def test_reference_samples_reach_the_archive(name: str, tmp_path: Path) -> None:
    """Linearized, hybrid, signed before, with a store of another product: only appended to, all still valid."""
    source = SAMPLES / "pdf" / f"{name}.pdf"
    before = [one.valid for one in fakes.pdfsig(source)] if "sig" in name or "lta" in name else []
    current = source
    for signer, holder in enumerate((fakes.leader(), fakes.leader(), fakes.clerk())):
        current, _info = fakes.sign(current, tmp_path, fakes.request(signer), holder)
    final = archived(current, tmp_path)
    assert final.read_bytes().startswith(source.read_bytes())
    after = [one.valid for one in fakes.pdfsig(final)]
    assert after.count(True) == before.count(True) + 3
    fakes.qpdf_check(final)
    with open_document(source) as old, open_document(final) as new:
        assert set(read_dss(old.head).certificates) <= set(read_dss(new.head).certificates)
