"""A CMS made from `tbs` alone is a signature that other people's programs accept."""

# ruff: noqa: ASYNC221 - the judges run while nothing else does

import hashlib
import shutil
import subprocess

import pytest
from asn1crypto import cms as asn1
from asn1crypto import tsp  # registers signing-certificate-v2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from signing import cms as core_cms
from signing.client import KeyType, cms
from tests.fakes.signer import enrol, sign

HOLE = 8192


def pdf_with_hole() -> tuple[bytes, int, int]:
    """A one-page PDF with a signature field, written by hand; offsets of the hole's `<` and past its `>`."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[4 0 R]/SigFlags 3>>>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Annots[4 0 R]>>",
        b"<</Type/Annot/Subtype/Widget/FT/Sig/T(S)/Rect[0 0 0 0]/F 132/P 3 0 R/V 5 0 R>>",
        b"<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/ETSI.CAdES.detached/M(D:20260101000000Z)"
        b"/ByteRange[0 AAAAAAAAAA BBBBBBBBBB CCCCCCCCCC]/Contents<" + b"0" * HOLE * 2 + b">>>",
    ]
    out, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % at for at in offsets)
    out += b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % start
    begin = out.index(b"/Contents<") + 9
    end = out.index(b">", begin) + 1
    for mark, value in ((b"A" * 10, begin), (b"B" * 10, end), (b"C" * 10, len(out) - end)):
        out = out.replace(mark, b"%-10d" % value)
    return bytes(out), begin, end


@pytest.mark.asyncio
@pytest.mark.parametrize("key_type", list(KeyType))
async def test_pdfsig_and_openssl_accept_a_cms_built_from_the_digest_alone(host, client, officer, tmp_path, key_type):
    phone = await enrol(host, client, officer, key_type=key_type)
    pdf, begin, end = pdf_with_hole()
    content = pdf[:begin] + pdf[end:]
    activation = await sign(client, phone, hashlib.sha256(content).digest())
    (der,) = cms(activation)
    padded = der.hex().encode().ljust(HOLE * 2, b"0")
    signed, trust, plain = tmp_path / "signed.pdf", tmp_path / "root.pem", tmp_path / "content"
    signed.write_bytes(pdf[: begin + 1] + padded + pdf[end - 1 :])
    plain.write_bytes(content)
    trust.write_bytes(host.authority.pem())
    (tmp_path / "cms.der").write_bytes(der)

    verdict = subprocess.run(["pdfsig", "-nocert", signed], capture_output=True, text=True, check=False).stdout
    assert "Signature is Valid." in verdict
    assert "Total document signed" in verdict
    command = ["openssl", "cms", "-verify", "-inform", "DER", "-in", tmp_path / "cms.der", "-content", plain, "-binary"]
    command += ["-CAfile", trust, "-purpose", "any", "-out", "/dev/null"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    plain.write_bytes(content[:-2] + b"X\n")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.mark.asyncio
async def test_the_signed_attributes_are_the_profiles_and_certificates_stand_once(host, client, officer):
    phone = await enrol(host, client, officer)
    activation = await sign(client, phone, b"\x07" * 32)
    root = host.authority.root.public_bytes(Encoding.DER)
    item = activation.signatures[0]
    der = core_cms.assemble(
        item.signed_attributes,
        item.signature,
        activation.key_type,
        activation.certificate,
        (root, root, activation.certificate),
    )
    signed_data = asn1.ContentInfo.load(der, strict=True)["content"]
    assert len(signed_data["certificates"]) == 2
    info = signed_data["signer_infos"][0]
    attributes = {attribute["type"].native: attribute["values"] for attribute in info["signed_attrs"]}
    assert list(attributes) == ["content_type", "message_digest", "signing_certificate_v2"], tsp.__name__
    assert attributes["message_digest"][0].native == b"\x07" * 32
    assert (
        attributes["signing_certificate_v2"][0]["certs"][0]["cert_hash"].native
        == hashlib.sha256(activation.certificate).digest()
    )
    certificate = x509.load_der_x509_certificate(activation.certificate)
    assert info["sid"].chosen["serial_number"].native == certificate.serial_number
    assert info["sid"].chosen["issuer"].dump() == certificate.issuer.public_bytes()
    assert info["signed_attrs"].untag().dump() == item.signed_attributes


@pytest.mark.asyncio
async def test_a_token_becomes_the_only_unsigned_attribute_and_changes_nothing_else(host, client, officer, tmp_path):
    phone = await enrol(host, client, officer)
    (der,) = cms(await sign(client, phone, hashlib.sha256(b"content").digest()))
    token = core_cms.seq(core_cms._SIGNED_DATA, core_cms.tlv(0xA0, core_cms.seq(b"\x02\x01\x03" * 3000)))
    stamped = core_cms.with_timestamp(der, token)
    before, after = (asn1.ContentInfo.load(each, strict=True)["content"] for each in (der, stamped))
    info = after["signer_infos"][0]
    assert [attribute["type"].native for attribute in info["unsigned_attrs"]] == ["signature_time_stamp_token"]
    assert token in stamped
    assert (
        info["signature"].native == before["signer_infos"][0]["signature"].native == core_cms.signature_value(stamped)
    )
    assert core_cms.with_timestamp(stamped, token) == stamped
    assert after["certificates"].dump() == before["certificates"].dump()
    assert shutil.which("openssl"), "openssl is needed"
    (tmp_path / "cms").write_bytes(stamped)
    printed = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER", "-in", tmp_path / "cms"], capture_output=True, check=False
    )
    assert printed.returncode == 0


def test_cut_or_foreign_bytes_are_refused():
    for raw in (b"", b"\x30", b"\x30\x80\x00\x00", b"\x30\x05\x02\x01\x01", b"\x30\x03\x02\x01\x01"):
        with pytest.raises(core_cms.CmsError):
            core_cms.with_timestamp(raw, b"")
