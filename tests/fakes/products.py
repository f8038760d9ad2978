"""Files that are honestly signed, by our own code, by pyHanko and by OpenSSL, over files that qpdf and our generators laid out: what no
validator may accuse.

`clean` yields (name, bytes); all chain to `pdf_signing.root()`.
"""

from __future__ import annotations

import io
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asn1crypto import crl as asn1_crl
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import serialization
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields as hanko_fields
from pyhanko.sign import signers
from pyhanko.sign.timestamps.dummy_client import DummyTimeStamper
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore

from tests.fakes import pdf_signing as fakes
from tests.fakes import pdfs
from tests.fakes.attacks import append

__all__ = ["clean", "hanko", "openssl"]

INPUTS = {
    "plain": pdfs.plain, "vietnamese": pdfs.vietnamese, "object-streams": pdfs.object_streams, "form": pdfs.form, "scan": pdfs.scan, "links": pdfs.links,
    "rotated": pdfs.rotated, "letterhead": pdfs.letterhead, "pdfa-2b": pdfs.pdfa, "two-revisions": pdfs.two_revisions, "inherited": pdfs.inherited,
}  # fmt: skip


def _store() -> SimpleCertificateStore:
    store = SimpleCertificateStore()
    store.register(asn1_x509.Certificate.load(fakes.root().der))
    return store


def _key(holder: fakes.Holder) -> asn1_keys.PrivateKeyInfo:
    form = serialization.PrivateFormat.PKCS8
    der = holder.key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())
    return asn1_keys.PrivateKeyInfo.load(der)


def _signer(holder: fakes.Holder) -> signers.SimpleSigner:
    return signers.SimpleSigner(asn1_x509.Certificate.load(holder.der), _key(holder), _store())


def stamper() -> DummyTimeStamper:
    holder = fakes.authority()
    return DummyTimeStamper(asn1_x509.Certificate.load(holder.der), _key(holder), _store())


def hanko(
    data: bytes, *, times: int = 1, certify: bool = False, older: bool = False, stamped: bool = False, archived: bool = False, crls: tuple[bytes, ...] = (),
    visible: bool = False, holder: fakes.Holder | None = None,
) -> bytes:  # fmt: skip
    """Signed by pyHanko as it comes: its fields, its appearances, its object streams, its validation data (`archived`: B-LTA)."""
    for number in range(times):
        writer = IncrementalPdfFileWriter(io.BytesIO(data), strict=False)
        options: dict[str, Any] = {}
        if archived:
            context = ValidationContext(
                trust_roots=[asn1_x509.Certificate.load(fakes.root().der)],
                crls=[asn1_crl.CertificateList.load(der) for der in crls],
                allow_fetching=False,
                revocation_mode="soft-fail",
            )
            options = {"embed_validation_info": True, "use_pades_lta": True, "validation_context": context}
        kinds = hanko_fields.SigSeedSubFilter
        meta = signers.PdfSignatureMetadata(
            field_name=f"Mau{number}",
            certify=certify and number == 0,
            subfilter=kinds.ADOBE_PKCS7_DETACHED if older else kinds.PADES,
            docmdp_permissions=hanko_fields.MDPPerm.FILL_FORMS,
            md_algorithm="sha256",
            **options,
        )
        signer = signers.PdfSigner(
            meta,
            _signer(holder or fakes.leader()),
            timestamper=stamper() if stamped or archived else None,
            new_field_spec=hanko_fields.SigFieldSpec(
                meta.field_name, box=(350, 60 + 90 * number, 550, 130 + 90 * number)
            )
            if visible
            else None,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = signer.sign_pdf(writer).getvalue()
    return data


def openssl(
    data: bytes,
    folder: Path,
    *,
    name: str = "SampleSSL",
    digest: str = "sha256",
    holder: fakes.Holder | None = None,
    options: tuple[str, ...] = ("-cades",),
) -> bytes:
    """An invisible signature of the older kind, its CMS from `openssl cms`, its revision written with a text editor's means."""
    objects = [int(n) for n in re.findall(rb"/Size (\d+)", data)]
    first = max(objects)
    root = int(re.findall(rb"/Root (\d+) 0 R", data)[-1])
    catalog = re.findall(rb"(?:^|[\r\n])%d 0 obj\s*(<<.*?>>)\s*endobj" % root, data, re.DOTALL)[-1]
    body = f"<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /adbe.pkcs7.detached /ByteRange [0 0000000000 0000000000 0000000000] /Contents <{'0' * 6000}> >>"
    field = f"<< /Type /Annot /Subtype /Widget /FT /Sig /T ({name}) /F 132 /Rect [0 0 0 0] /V {first} 0 R >>"
    form = f" /AcroForm << /Fields [{first + 1} 0 R] /SigFlags 3 >> >>".encode()
    data = append(data, {first: body, first + 1: field, root: catalog[:-2] + form}, trailer={"Root": f"{root} 0 R"})
    start = data.rindex(b"<" + b"0" * 6000)
    end = start + 6002
    room = b"[0 0000000000 0000000000 0000000000]"
    numbers = b"[0 %d %d %d" % (start, end, len(data) - end)
    data = data.replace(room, numbers.ljust(len(room) - 1) + b"]")
    holder = holder or fakes.leader()
    for file, content in (
        ("key.pem", holder.key_pem),
        ("own.pem", holder.pem),
        ("root.pem", fakes.root().pem),
        ("tbs", data[:start] + data[end:]),
    ):
        (folder / file).write_bytes(content)
    files = ("-signer", folder / "own.pem", "-inkey", folder / "key.pem", "-certfile", folder / "root.pem")
    command = ("openssl", "cms", "-sign", "-binary", "-outform", "DER", "-md", digest, *files, *options)
    fakes.run(*command, "-in", folder / "tbs", "-out", folder / "cms")
    return data[:start] + b"<" + (folder / "cms").read_bytes().hex().encode().ljust(6000, b"0") + b">" + data[end:]


def qpdf(data: bytes, folder: Path, *options: str) -> bytes:
    (folder / "in.pdf").write_bytes(data)
    fakes.run("qpdf", *options, folder / "in.pdf", folder / "out.pdf", ok=(0, 3))
    return (folder / "out.pdf").read_bytes()


def ours(data: bytes, folder: Path, signers_: int = 1) -> bytes:
    folder = Path(tempfile.mkdtemp(dir=folder))  # prepare never writes over a file
    current = folder / "ours.pdf"
    current.write_bytes(data)
    for number, holder in enumerate((fakes.leader(), fakes.leader(), fakes.clerk())[:signers_]):
        current, _info = fakes.sign(current, folder, fakes.request(number), holder)
    return current.read_bytes()


def clean(folder: Path, crls: tuple[bytes, ...] = ()) -> Iterator[tuple[str, bytes]]:
    for name, make in INPUTS.items():
        data = make()
        yield f"ours-{name}", ours(data, folder)
        yield f"hanko-{name}", hanko(data)
        yield f"hanko-twice-{name}", hanko(data, times=2)
        if name not in {"object-streams", "form", "two-revisions"}:
            yield f"openssl-{name}", openssl(data, folder)
    for name in ("plain", "vietnamese", "object-streams"):
        data = INPUTS[name]()
        yield f"hanko-archived-{name}", hanko(data, archived=True, crls=crls)
        yield f"hanko-archived-twice-{name}", hanko(data, times=2, archived=True, crls=crls)
        yield f"hanko-certified-{name}", hanko(data, certify=True)
        yield f"hanko-stamped-older-{name}", hanko(data, older=True, stamped=True)
        yield f"hanko-visible-twice-{name}", hanko(data, times=2, visible=True)
        for number, options in enumerate(
            (("--linearize",), ("--object-streams=generate",), ("--qdf", "--object-streams=disable"))
        ):
            laid = qpdf(data, folder, *options)
            yield f"ours-qpdf{number}-{name}", ours(laid, folder)
            yield f"hanko-twice-qpdf{number}-{name}", hanko(laid, times=2)
    route = ours(pdfs.vietnamese(), folder, 3)
    yield "ours-route", route
    yield "ours-then-hanko", hanko(ours(pdfs.vietnamese(), folder, 1), times=1, stamped=True)
    yield "hanko-then-ours", ours(hanko(pdfs.vietnamese()), folder)
    yield "openssl-then-hanko", hanko(openssl(pdfs.plain(), folder))
