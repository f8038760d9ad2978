"""Validation before seal and before forward (B1, B4): own signed files pass, every tampered one does not."""

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asn1crypto import algos, cms, core, parser
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signing import cms as core_cms
from signing.core.model import KeyType
from signing.pdf.assemble import assemble
from signing.pdf.prepare import Prepared, prepare
from signing.pdf.validation import Indication, SignatureResult, Trust, validate, validate_cms
from tests.fakes import pdf_signing as fakes
from tests.fakes import pdfs

NOW = fakes.NOW_US


def trust() -> Trust:
    return Trust(roots=(fakes.root().der,))


def signed(folder: Path, holders: int = 3) -> Path:
    current = folder / "input.pdf"
    current.write_bytes(pdfs.vietnamese())
    for signer, holder in enumerate((fakes.leader(), fakes.leader(), fakes.clerk())[:holders]):
        current, _info = fakes.sign(current, folder, fakes.request(signer), holder)
    return current


@pytest.fixture(scope="module")
def route(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return signed(tmp_path_factory.mktemp("route"))


def with_cms(folder: Path, change: Callable[[bytes], bytes]) -> Path:
    """A file signed by the leader whose CMS (without a time stamp) went through `change`."""
    folder.mkdir(exist_ok=True)
    parent, unsigned, out = folder / "p.pdf", folder / "u.pdf", folder / "s.pdf"
    parent.write_bytes(pdfs.plain())
    info: Prepared = prepare(parent, fakes.request(), unsigned)
    assemble(unsigned, info, change(fakes.cms_for(fakes.leader(), info.tbs)), out)
    return out


def only(path: Path, believed: Trust | None = None, now_us: int = NOW) -> SignatureResult:
    result = validate(path, believed or trust(), now_us)
    assert not result.reason
    (found,) = result.signatures
    assert result.valid is (found.indication is Indication.PASSED)
    return found


def test_leader_co_signer_and_seal_pass_with_their_names_and_times(route: Path) -> None:
    result = validate(route, trust(), NOW)
    assert result.valid
    assert [(s.field, s.signer, s.algorithm, s.level) for s in result.signatures] == [
        ("HT_SIG1", "Sample Leader", "ecdsa-sha256", "B-T"),
        ("HT_SIG2", "Sample Leader", "ecdsa-sha256", "B-T"),
        ("HT_SEAL", "Sample Seal", "rsassa-pss-sha256", "B-T"),
    ]
    assert {s.time_us for s in result.signatures} == {NOW + 1_000_000}
    assert {s.certificate_sha256 for s in result.signatures} == {
        hashlib.sha256(holder.der).hexdigest() for holder in (fakes.leader(), fakes.clerk())
    }
    assert result.signatures[-1].covers == route.stat().st_size
    # The judge that is not ours agrees.
    assert all(verdict.valid for verdict in fakes.pdfsig(route))


def test_a_signature_without_a_time_stamp_is_judged_now(tmp_path: Path) -> None:
    path = with_cms(tmp_path, lambda der: der)
    found = only(path)
    assert (found.indication, found.level, found.time_us) == (Indication.PASSED, "B-B", None)
    late = int(datetime(2040, 1, 1, tzinfo=UTC).timestamp() * 1e6)
    assert (only(path, now_us=late).sub_indication, only(path, now_us=late).reasons) == (
        "OUT_OF_BOUNDS_NO_POE",
        ("expired",),
    )
    assert only(path, now_us=1_000_000).sub_indication == "NOT_YET_VALID"


def us(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1e6)


def test_the_time_stamp_keeps_an_ended_certificate_valid_until_its_own_authority_ends(tmp_path: Path) -> None:
    """EN 319 102-1, 5.6: whoever holds the authority's ended key could stamp any time."""
    path, short = tmp_path / "in.pdf", fakes.issue("Short Leader", fakes.root(), end=datetime(2028, 1, 1, tzinfo=UTC))
    path.write_bytes(pdfs.vietnamese())
    signed_, _info = fakes.sign(path, tmp_path, fakes.request(), short)
    found = only(signed_, now_us=us(2030))
    assert (found.indication, found.level, found.time_source) == (Indication.PASSED, "B-T", "signature")
    found = only(signed_, now_us=us(2036))
    assert (found.indication, found.sub_indication) == (Indication.INDETERMINATE, "OUT_OF_BOUNDS_NO_POE")
    assert found.reasons[0] == "timestamp-expired"


def test_unknown_roots_and_a_certificate_of_another_use_never_pass(route: Path) -> None:
    stranger = fakes.issue("Other Root", None, authority=True)
    for roots in ((), (stranger.der,)):
        result = validate(route, Trust(roots=roots, timestamp_roots=(fakes.root().der,)), NOW)
        assert {s.indication for s in result.signatures} == {Indication.INDETERMINATE}
        assert {s.sub_indication for s in result.signatures} == {"NO_CERTIFICATE_CHAIN_FOUND"}
    result = validate(route, Trust(roots=(fakes.root().der,), timestamp_roots=(stranger.der,)), NOW)
    assert {s.reasons for s in result.signatures} == {("timestamp-untrusted",)}
    assert not result.valid


def test_a_byte_changed_anywhere_that_is_signed_fails(route: Path, tmp_path: Path) -> None:
    data = route.read_bytes()
    out = tmp_path / "changed.pdf"
    for needle in (b"(CID", b"/MediaBox [0 0 595", b"/Rect [", b"/M (D:2"):
        at = data.find(needle)
        if at < 0:
            continue
        changed = bytearray(data)
        changed[at + len(needle) - 1] ^= 1
        out.write_bytes(changed)
        result = validate(out, trust(), NOW)
        assert not result.valid
    changed = bytearray(data)
    changed[data.index(b"stream") + 40] ^= 1
    out.write_bytes(changed)
    assert {s.sub_indication for s in validate(out, trust(), NOW).signatures} == {"HASH_FAILURE"}


@pytest.mark.parametrize("revision", [0, 1, 2, 3])
def test_each_signature_notices_what_changed_before_its_end_and_nothing_else(
    route: Path, tmp_path: Path, revision: int
) -> None:
    """Digests of several signatures share their work: what is changed ahead of a hole, or behind one, is seen by all that cover it."""
    data = bytearray(route.read_bytes())
    dates = [found.end() for found in re.finditer(rb"/M ?\(D:2", bytes(data))]  # one in each signature's dictionary
    assert len(dates) == 3
    at = dates[revision - 1] if revision else data.index(b"\xe2\xe3\xcf\xd3")  # the comment in the first revision
    data[at] ^= 1
    out = tmp_path / "changed.pdf"
    out.write_bytes(data)
    found = ["content-changed" in signature.reasons for signature in validate(out, trust(), NOW).signatures]
    assert found == [number >= revision for number in (1, 2, 3)]


def edit_cms(change: Callable[[cms.ContentInfo], None]) -> Callable[[bytes], bytes]:
    def edited(der: bytes) -> bytes:
        content = cms.ContentInfo.load(der)
        change(content)
        return bytes(content.dump(force=True))

    return edited


def drop_attribute(name: str) -> Callable[[cms.ContentInfo], None]:
    def change(content: cms.ContentInfo) -> None:
        signer = content["content"]["signer_infos"][0]
        kept = [item for item in signer["signed_attrs"] if item["type"].native != name]
        signer["signed_attrs"] = cms.CMSAttributes(kept)

    return change


def flip_signature(content: cms.ContentInfo) -> None:
    signer = content["content"]["signer_infos"][0]
    raw = bytearray(signer["signature"].native)
    raw[-1] ^= 1
    signer["signature"] = bytes(raw)


def drop_certificates(content: cms.ContentInfo) -> None:
    content["content"]["certificates"] = cms.CertificateSet([])


def other_signer(content: cms.ContentInfo) -> None:
    content["content"]["signer_infos"][0]["sid"].chosen["serial_number"] = 7


def attach_content(content: cms.ContentInfo) -> None:
    content["content"]["encap_content_info"] = {"content_type": "data", "content": b"other"}


def double(content: cms.ContentInfo) -> None:
    infos = content["content"]["signer_infos"]
    infos.append(infos[0].copy())


@pytest.mark.parametrize(
    ("change", "sub_indication"),
    [
        (drop_attribute("message_digest"), "FORMAT_FAILURE"),
        (drop_attribute("content_type"), "FORMAT_FAILURE"),
        (drop_attribute("signing_certificate_v2"), "SIG_CONSTRAINTS_FAILURE"),
        (flip_signature, "SIG_CRYPTO_FAILURE"),
        (drop_certificates, "NO_SIGNING_CERTIFICATE_FOUND"),
        (other_signer, "FORMAT_FAILURE"),
        (attach_content, "FORMAT_FAILURE"),
        (double, "FORMAT_FAILURE"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_b1_a_changed_cms_never_passes(
    change: Callable[[cms.ContentInfo], None], sub_indication: str, tmp_path: Path
) -> None:
    found = only(with_cms(tmp_path, edit_cms(change)))
    assert found.indication is not Indication.PASSED
    assert found.sub_indication == sub_indication


@pytest.mark.parametrize("length", [383, 384, 385, 640])
@pytest.mark.parametrize("order", [1, -1])
def test_attributes_of_any_length_are_verified_as_they_stand(length: int, order: int) -> None:
    """asn1crypto takes ..80 (hex) at the end of a length for BER's indefinite one and would encode the attributes anew."""
    leader, tbs, emit = fakes.leader(), b"t" * 32, parser.emit
    sha256 = algos.DigestAlgorithm({"algorithm": "sha256"}).dump()  # the default, written out as many signers do
    named = emit(0, 1, 16, sha256 + core.OctetString(hashlib.sha256(leader.der).digest()).dump())
    values = {
        "1.2.840.113549.1.9.3": core.ObjectIdentifier("1.2.840.113549.1.7.1").dump(),
        "1.2.840.113549.1.9.4": core.OctetString(tbs).dump(),
        "1.2.840.113549.1.9.16.2.47": emit(0, 1, 16, emit(0, 1, 16, named)),
    }
    one_of = [
        emit(0, 1, 16, core.ObjectIdentifier(kind).dump() + emit(0, 1, 17, value)) for kind, value in values.items()
    ]
    own = core.ObjectIdentifier("1.3.6.1.4.1.99999.1").dump()
    pads = (emit(0, 1, 16, own + emit(0, 1, 17, core.OctetString(b"p" * count).dump())) for count in range(128, 600))
    one_of.append(next(pad for pad in pads if sum(map(len, one_of)) + len(pad) == length))
    attributes = emit(0, 1, 17, b"".join(sorted(one_of)[::order]))
    signature = leader.key.sign(attributes, ec.ECDSA(hashes.SHA256()))  # type: ignore[call-arg, arg-type]
    der = core_cms.assemble(attributes, signature, KeyType.P256, leader.der, [fakes.root().der])
    assert validate_cms(der, tbs, trust(), NOW).reasons == ()


@pytest.mark.parametrize("junk", [b"", b"\x00" * 40, b"\x30\x80\x00", b"\x30\x03\x02\x01\x01", b"\xff" * 64])
def test_b1_an_empty_or_odd_cms_is_not_valid(junk: bytes, tmp_path: Path) -> None:
    found = only(with_cms(tmp_path, lambda _der: junk))
    assert (found.indication, found.sub_indication) == (Indication.FAILED, "FORMAT_FAILURE")


def test_b1_bytes_behind_the_cms_in_its_hole_are_not_valid(tmp_path: Path) -> None:
    found = only(with_cms(tmp_path, lambda der: der + b"hidden"))
    assert found.reasons == ("hole-not-empty",)


@pytest.mark.parametrize("moved", ["[0 %d %d %d]", "[1 %d %d %d]"], ids=["shorter", "not-from-zero"])
def test_b1_a_moved_byte_range_is_not_valid(moved: str, tmp_path: Path) -> None:
    path = with_cms(tmp_path, lambda der: der)
    data = path.read_bytes()
    at = data.index(b"/ByteRange [") + len(b"/ByteRange ")
    end = data.index(b"/Contents", at)
    a, b, c, d = (int(n) for n in data[at:end].strip(b" []\n").split())
    assert a == 0
    text = (moved % (b, c, d - 10 if moved.startswith("[0") else d)).encode()
    path.write_bytes(data[:at] + text.ljust(end - at) + data[end:])
    result = validate(path, trust(), NOW)
    assert not result.valid
    assert [s.indication for s in result.signatures] == [Indication.FAILED]


def test_b1_any_later_change_of_another_kind_is_told(route: Path, tmp_path: Path) -> None:
    out = tmp_path / "later.pdf"
    out.write_bytes(pdfs.append(route.read_bytes(), {900: b"<< /Sample 1 >>"}))
    result = validate(out, trust(), NOW)
    assert {s.indication for s in result.signatures} == {Indication.INDETERMINATE}
    assert {s.reasons for s in result.signatures} == {("changed-after-signing",)}


@pytest.mark.parametrize("name", ["encrypted", "wrong-offsets", "empty", "deep-array", "form-loop"])
def test_b4_a_hostile_file_is_not_valid_and_no_exception(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pdf"
    path.write_bytes(pdfs.HOSTILE[name]())
    assert not validate(path, trust(), NOW).valid


@given(st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_b4_whatever_is_broken_in_a_signed_file_it_is_never_valid_by_accident(
    route: Path, tmp_path: Path, data: st.DataObject
) -> None:
    seed = bytearray(route.read_bytes())
    original = bytes(seed)
    at = data.draw(st.integers(0, len(seed) - 1))
    seed[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path = tmp_path / "mutated.pdf"
    path.write_bytes(seed)
    result = validate(path, trust(), NOW)
    if result.valid:
        # Only what no signature covers may differ and still be valid: letters of hexadecimal in the last hole.
        assert bytes(seed).lower() == original.lower()
