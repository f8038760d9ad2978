"""Leader, co-signer, seal over honest files: three judges that are not ours say yes, and earlier signatures stay valid."""

from pathlib import Path

import pytest
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from signing.pdf.compare import Expected, compare
from signing.pdf.fields import form_fields
from signing.pdf.objects import Name
from signing.pdf.reader import Document, open_document
from tests.fakes import pdf_signing as fakes
from tests.fakes.pdfs import HONEST
from tests.shared import SAMPLES, needs_samples

SIGNABLE = [
    "01-plain-libreoffice",
    "03-acroform",
    "04-pdfa",
    "05-117-pages-linearized",
    "06-rotated-rtl",
    "07-scan-like-image",
    "08-hybrid-xref",
    "09-signed-linearized",
    "10-signed-twice",
    "11-pades-lta-dss",
]
SIGNED_BEFORE = {"09-signed-linearized": 1, "10-signed-twice": 2, "11-pades-lta-dss": 1}


# poppler cannot judge a document time stamp, and names its type "unknown".
NOT_JUDGED = "unknown"


def walk_route(source: Path, folder: Path, before: int) -> Path:
    current = source
    for signer, holder in enumerate((fakes.leader(), fakes.leader(), fakes.clerk())):
        parent, before_path = current.read_bytes(), current
        current, info = fakes.sign(current, folder, fakes.request(signer), holder)
        data = current.read_bytes()
        assert data.startswith(parent)
        compare(before_path, current, Expected.of(info))
        fakes.qpdf_check(current)
        fakes.openssl_verifies(current, info, folder)
        verdicts = [verdict for verdict in fakes.pdfsig(current) if verdict.subfilter != NOT_JUDGED]
        ours = verdicts[-signer - 1 :] if before == 0 else verdicts
        assert len([v for v in verdicts if v.subfilter == "ETSI.CAdES.detached"]) >= signer + 1
        assert all(verdict.valid for verdict in ours)
        assert sum(verdict.whole for verdict in verdicts) == 1
        # What the revision must never touch (pdf.md): the parent's information, metadata and identity.
        with open_document(current) as document:
            older, newer = document.revisions[-2], document.head
            assert older.end <= len(parent) + (
                not parent.endswith((b"\n", b"\r"))
            )  # a line end that it lacked is its child's gift
            for key in set(older.trailer) - {"ID", "Size", "Prev", "XRefStm", "Type", "W", "Index", "Length"}:
                if key not in {"Filter", "DecodeParms", "DL"}:
                    assert newer.trailer[key] == older.trailer[key]
            assert newer.catalog.get(Name("Metadata")) == older.catalog.get(Name("Metadata"))
            changed = set(newer.catalog) - set(older.catalog)
            assert changed <= {"AcroForm", "Extensions", "Version"}
    return current


@needs_samples
@pytest.mark.parametrize("name", SIGNABLE)
def test_a_route_signs_reference_samples(name: str, tmp_path: Path) -> None:
    # SIG-10: each signature is an incremental update and leaves the earlier ones valid.
    before = SIGNED_BEFORE.get(name, 0)
    final = walk_route(SAMPLES / "pdf" / f"{name}.pdf", tmp_path, before)
    verdicts = fakes.pdfsig(final)
    assert sum(verdict.subfilter == "ETSI.CAdES.detached" and verdict.valid for verdict in verdicts) >= 3


def _unsigned() -> list[str]:
    """Own files without a signature; those with one hold samples that no judge could call valid."""
    return sorted(
        name
        for name, make in HONEST.items()
        if not any(field.is_signature for field in form_fields(Document(make()).head))
    )


@pytest.mark.parametrize("name", _unsigned())
def test_a_route_signs_own_files(name: str, tmp_path: Path) -> None:
    source = tmp_path / f"{name}.pdf"
    source.write_bytes(HONEST[name]())
    walk_route(source, tmp_path, 0)


@pytest.mark.parametrize("name", ["plain", "object-streams", "pdfa-2b", "form", "117-pages"])
def test_pyhanko_trusts_the_whole_route(name: str, tmp_path: Path) -> None:
    source = tmp_path / f"{name}.pdf"
    source.write_bytes(HONEST[name]())
    final = walk_route(source, tmp_path, 0)
    trusted = ValidationContext(trust_roots=[_asn1(fakes.root().der)], allow_fetching=False)
    with final.open("rb") as file:
        reader = PdfFileReader(file)
        signatures = reader.embedded_regular_signatures
        assert [signature.field_name for signature in signatures] == ["HT_SIG1", "HT_SIG2", "HT_SEAL"]
        for signature in signatures:
            status = validate_pdf_signature(signature, trusted, ts_validation_context=trusted)
            assert status.intact
            assert status.valid
            assert status.trusted
            assert status.timestamp_validity is not None
            assert status.timestamp_validity.trusted
            # pyHanko takes every drawn field of a locked form for changed, so it is no judge of that policy.
            assert status.docmdp_ok or name == "form", status.pretty_print_details()


def _asn1(der: bytes) -> object:
    from asn1crypto import x509

    return x509.Certificate.load(der)
