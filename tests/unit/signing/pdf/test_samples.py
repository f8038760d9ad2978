"""The reference samples, and files signed by another product, through intake and back: none refused without reason."""

import io
import time
import warnings
from pathlib import Path

import pytest
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields as hanko_fields
from pyhanko.sign import signers
from pyhanko.sign.timestamps.dummy_client import DummyTimeStamper
from pyhanko_certvalidator.registry import SimpleCertificateStore

from signing.pdf.compare import Expected, compare
from signing.pdf.errors import PdfError
from signing.pdf.prepare import prepare
from signing.pdf.safety import inspect
from signing.pdf.text_agreement import agreement
from signing.pdf.validation import Indication, Trust, validate
from tests.fakes import pdf_signing as fakes
from tests.fakes import pdfs
from tests.shared import SAMPLES, needs_samples

REFUSED = {"02-encrypted-user-password": "encrypted", "12-broken-xref": "broken-structure"}
PAGES = {"05-117-pages-linearized": 117, "06-rotated-rtl": 4, "08-hybrid-xref": 30}
SIGNATURES = {"09-signed-linearized": 1, "10-signed-twice": 2, "11-pades-lta-dss": 2}
NAMES = [
    *("01-plain-libreoffice", "02-encrypted-user-password", "03-acroform", "04-pdfa", "05-117-pages-linearized"),
    *("06-rotated-rtl", "07-scan-like-image", "08-hybrid-xref", "09-signed-linearized", "10-signed-twice"),
    *("11-pades-lta-dss", "12-broken-xref"),
]


@needs_samples
@pytest.mark.parametrize("name", NAMES)
def test_each_sample_goes_through_or_is_refused_for_the_right_reason(name: str) -> None:
    path = SAMPLES / "pdf" / f"{name}.pdf"
    if name in REFUSED:
        with pytest.raises(PdfError) as caught:
            inspect(path)
        assert caught.value.code == REFUSED[name]
        return
    report = inspect(path)
    assert agreement(path).page_count == report.page_count == PAGES.get(name, 1)
    assert len(report.signatures.signed) == SIGNATURES.get(name, 0)
    assert report.pdfa == ("1B" if name == "04-pdfa" else None)


def test_every_sample_is_named_here() -> None:
    if not SAMPLES.is_dir():
        pytest.skip("the reference samples are not beside this checkout")
    assert sorted(path.stem for path in (SAMPLES / "pdf").glob("*.pdf")) == NAMES


def hanko_signer() -> signers.SimpleSigner:
    holder = fakes.leader()
    store = SimpleCertificateStore()
    store.register(asn1_x509.Certificate.load(fakes.root().der))
    key = asn1_keys.PrivateKeyInfo.load(_pkcs8(holder))
    return signers.SimpleSigner(asn1_x509.Certificate.load(holder.der), key, store)


def _pkcs8(holder: fakes.Holder) -> bytes:
    from cryptography.hazmat.primitives import serialization

    encoding, form = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
    return holder.key.private_bytes(encoding, form, serialization.NoEncryption())


def hanko_stamper() -> DummyTimeStamper:
    authority = fakes.authority()
    key = asn1_keys.PrivateKeyInfo.load(_pkcs8(authority))
    store = SimpleCertificateStore()
    store.register(asn1_x509.Certificate.load(fakes.root().der))
    return DummyTimeStamper(asn1_x509.Certificate.load(authority.der), key, store)


def archived(data: bytes) -> bytes:
    """With a document time stamp of pyHanko's."""
    writer = IncrementalPdfFileWriter(io.BytesIO(data), strict=False)
    stamper = signers.PdfTimeStamper(hanko_stamper(), field_name="SampleStamp")
    return bytes(stamper.timestamp_pdf(writer, "sha256").getvalue())


def hanko_signed(data: bytes, *, times: int, certify: bool = False, stamped: bool = False) -> bytes:
    """Signed by pyHanko as it comes: its fields, its appearances, its object streams."""
    for number in range(times):
        writer = IncrementalPdfFileWriter(io.BytesIO(data), strict=False)
        meta = signers.PdfSignatureMetadata(
            field_name=f"Sample{number}",
            certify=certify and number == 0,
            subfilter=hanko_fields.SigSeedSubFilter.PADES,
            docmdp_permissions=hanko_fields.MDPPerm.FILL_FORMS,
        )
        signer = signers.PdfSigner(meta, hanko_signer(), timestamper=hanko_stamper() if stamped else None)
        data = signer.sign_pdf(writer).getvalue()
    return archived(data) if stamped else data


FOREIGN = {
    "signed-before": (pdfs.vietnamese, {"times": 1}),
    "signed-twice": (pdfs.plain, {"times": 2}),
    "signed-in-object-streams": (pdfs.object_streams, {"times": 2}),
    "certified-2": (pdfs.plain, {"times": 1, "certify": True}),
    "signed-and-archived": (pdfs.vietnamese, {"times": 1, "stamped": True}),
    "signed-form": (pdfs.form, {"times": 1}),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_signed_by_another_product_can_be_signed_again(name: str, tmp_path: Path) -> None:
    make, options = FOREIGN[name]
    path = tmp_path / "foreign.pdf"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        path.write_bytes(hanko_signed(make(), **options))  # type: ignore[arg-type]
    report = inspect(path)
    assert len(report.signatures.signed) == options["times"] + bool(options.get("stamped"))
    assert agreement(path).page_count == 1
    child = tmp_path / "child.pdf"
    info = prepare(path, fakes.request(allow_invisible=True), child)
    found = compare(path, child, Expected.of(info))
    assert found.signature == info.field_name
    signed, _info = fakes.sign(path, tmp_path, fakes.request(allow_invisible=True), fakes.leader())
    ours = validate(signed, Trust(roots=(fakes.root().der,)), fakes.NOW_US).signatures[-1]
    assert (ours.field, ours.indication) == (info.field_name, Indication.PASSED)
    # poppler cannot judge document time stamps and calls their type unknown.
    judged = [verdict for verdict in fakes.pdfsig(signed) if verdict.subfilter == "ETSI.CAdES.detached"]
    assert len(judged) == options["times"] + 1
    assert all(verdict.valid for verdict in judged)


def test_a_document_time_stamp_is_judged_over_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "stamped.pdf"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        path.write_bytes(archived(pdfs.plain()))
    trust = Trust(roots=(fakes.root().der,))
    now_us = max(fakes.NOW_US, time.time_ns() // 1000)  # the stamp bears the machine's own time
    (found,) = validate(path, trust, now_us).signatures
    assert (found.indication, found.timestamp, found.signer) == (Indication.PASSED, True, "Sample TSA")
    assert found.time_us is not None
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(QUYET DINH)", b"(QUYET DANH)"))
    (changed,) = validate(path, trust, now_us).signatures
    assert (changed.indication, changed.reasons) == (Indication.FAILED, ("timestamp-wrong",))
