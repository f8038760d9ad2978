"""A small PKI, a signer, two time-stamp authorities and three judges, for tests of signed PDF files.

The authorities are OpenSSL's (`openssl ts`) and pyHanko's; the judges are poppler's pdfsig, qpdf and OpenSSL. A missing
program fails the test with its name. Keys and names are samples.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path

from asn1crypto import keys as asn1_keys
from asn1crypto import tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyhanko.sign.timestamps.dummy_client import DummyTimeStamper

from signing import cms as core_cms
from signing.core.model import KeyType
from signing.pdf.appearance import DEFAULT_FONT
from signing.pdf.assemble import assemble
from signing.pdf.prepare import FieldKind, Place, Prepared, PrepareRequest, RouteField, StampText, prepare
from signing.pdf.timestamp import TimeStampTrust, attach_timestamp, check_reply, signature_value, timestamp_request

NOW_US = 1_795_000_000_000_000
_BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
_END = datetime(2035, 1, 1, tzinfo=UTC)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Holder:
    key: Key = field(repr=False)
    certificate: x509.Certificate

    @cached_property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def issue(
    name: str,
    issuer: Holder | None,
    *,
    key: Key | None = None,
    authority: bool = False,
    usages: tuple[x509.ObjectIdentifier, ...] = (),
    critical: bool = True,
    begin: datetime = _BEGIN,
    end: datetime = _END,
) -> Holder:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer or Holder(key, None)  # type: ignore[arg-type] -- a root signs itself
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority,
                content_commitment=not authority and not usages,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=authority,
                crl_sign=authority,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False)
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=critical)
    return Holder(key, builder.sign(signer.key, hashes.SHA256()))


@cache
def rsa_key(slot: str) -> rsa.RSAPrivateKey:
    """RSA keys are slow to make; one for each use and test process."""
    return rsa.generate_private_key(65537, 2048 if slot.startswith("tsa") else 3072)


@cache
def root() -> Holder:
    return issue("Sample Root", None, authority=True)


@cache
def leader() -> Holder:
    return issue("Sample Leader", root())


@cache
def clerk() -> Holder:
    return issue("Sample Seal", root(), key=rsa_key("seal"))


@cache
def authority() -> Holder:
    return issue("Sample TSA", root(), key=rsa_key("tsa"), usages=(ExtendedKeyUsageOID.TIME_STAMPING,))


def trust() -> TimeStampTrust:
    return TimeStampTrust(roots=(root().der,))


def cms_for(holder: Holder, tbs: bytes) -> bytes:
    """A CMS as the signer's core makes it, from the digest alone."""
    attributes = core_cms.signed_attributes(tbs, holder.der)
    if isinstance(holder.key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        signature, kind = holder.key.sign(attributes, pss, hashes.SHA256()), KeyType.RSA3072
    else:
        signature, kind = holder.key.sign(attributes, ec.ECDSA(hashes.SHA256())), KeyType.P256
    return core_cms.assemble(attributes, signature, kind, holder.der, [root().der])


def stamp_reply(
    request: bytes, now_us: int = NOW_US, tsa: Holder | None = None, others: tuple[Holder, ...] = ()
) -> bytes:
    """A reply of pyHanko's time-stamp authority, at a time of our choice."""
    tsa = tsa or authority()
    service = DummyTimeStamper(
        asn1_x509.Certificate.load(tsa.der),
        asn1_keys.PrivateKeyInfo.load(
            tsa.key.private_bytes(
                serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        ),
        certs_to_embed=[asn1_x509.Certificate.load(other.der) for other in others],
        fixed_dt=datetime.fromtimestamp(now_us / 1e6, UTC),
    )
    return service.request_tsa_response(tsp.TimeStampReq.load(request)).dump()


def openssl_reply(request: bytes, folder: Path, digest: str = "sha256") -> bytes:
    """A reply of OpenSSL's time-stamp authority, at the machine's own time."""
    (folder / "tsa.pem").write_bytes(authority().pem)
    (folder / "tsa.key").write_bytes(authority().key_pem)
    (folder / "query.tsq").write_bytes(request)
    (folder / "serial").write_text("01")
    (folder / "ts.cnf").write_text(
        f"[tsa]\ndefault_tsa = t\n[t]\nserial = {folder}/serial\nsigner_cert = {folder}/tsa.pem\n"
        f"signer_key = {folder}/tsa.key\nsigner_digest = {digest}\ndefault_policy = 1.2.3.4\n"
        "digests = sha256\nordering = yes\ness_cert_id_alg = sha256\n"
    )
    run(
        "openssl",
        "ts",
        "-reply",
        "-config",
        folder / "ts.cnf",
        "-queryfile",
        folder / "query.tsq",
        "-out",
        folder / "r",
    )
    return (folder / "r").read_bytes()


ROUTE = (
    RouteField("HT_SIG1", FieldKind.PERSON),
    RouteField("HT_SIG2", FieldKind.PERSON),
    RouteField("HT_SEAL", FieldKind.SEAL),
)
STAMPS = (
    StampText("Nguyễn Văn Mẫu", "CHỦ TỊCH", "", "Số: 12/QĐ-UBND"),
    StampText("Trần Thị Ví Dụ", "PHÓ CHỦ TỊCH", "KT. CHỦ TỊCH"),
    StampText("Ủy ban nhân dân xã Ví Dụ", "Văn thư: Lê Thử Nghiệm"),
)


def request(signer: int = 0, **changes: object) -> PrepareRequest:
    values: dict[str, object] = {
        "route": ROUTE,
        "signer": signer,
        "stamp": STAMPS[signer],
        "now_us": NOW_US,
        "cms_size": 4096,
        "largest_token": 6000,
        "font": DEFAULT_FONT,
    }
    return PrepareRequest(**(values | changes))  # type: ignore[arg-type]


def sign(parent: Path, folder: Path, wanted: PrepareRequest, holder: Holder) -> tuple[Path, Prepared]:
    """Prepare, sign, stamp and assemble; the revision lies in `folder` under its digest."""
    prepared = folder / f"{parent.stem[:12]}-{wanted.signer}.prepared"
    info = prepare(parent, wanted, prepared)
    signature = cms_for(holder, info.tbs)
    imprint = hashlib.sha256(signature_value(signature)).digest()
    reply = stamp_reply(timestamp_request(imprint, 77), wanted.now_us + 1_000_000)
    token = check_reply(reply, imprint, 77, trust=trust(), now_us=wanted.now_us)
    out = folder / f"{parent.stem[:12]}-{wanted.signer}.pdf"
    digest = assemble(prepared, info, attach_timestamp(signature, token), out)
    assert digest == hashlib.sha256(out.read_bytes()).digest()
    return out, info


def run(*command: object, ok: tuple[int, ...] = (0,)) -> str:
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, check=False, timeout=60)
    except FileNotFoundError:
        raise AssertionError(f"{command[0]} is not installed") from None
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode in ok, f"{command[0]} ended with {done.returncode}: {said[-600:]}"
    return said


@dataclass(frozen=True)
class Verdict:
    valid: bool
    whole: bool
    subfilter: str


def pdfsig(path: Path) -> list[Verdict]:
    """poppler's verdict for each signature, in its order."""
    said = run("pdfsig", "-nocert", path, ok=(0, 1))
    parts = re.split(r"^Signature #\d+:", said, flags=re.MULTILINE)[1:]
    return [
        Verdict(
            "Signature is Valid" in part,
            "Total document signed" in part and "Not total document signed" not in part,
            (re.search(r"Signature Type: (\S+)", part) or [None, ""])[1],
        )
        for part in parts
        if "is not signed" not in part
    ]


def qpdf_check(path: Path) -> None:
    run("qpdf", "--check", path)


def openssl_verifies(path: Path, info: Prepared, folder: Path) -> None:
    """`openssl cms -verify -cades` of the signature that `info` placed, chain to the sample root included."""
    data = path.read_bytes()
    start, length = info.hole_start, info.hole_length
    contents = bytes.fromhex(data[start + 1 : start + length - 1].decode())
    size = int.from_bytes(contents[2:4]) + 4
    a, b, c, d = info.byte_range
    (folder / "content").write_bytes(data[a : a + b] + data[c : c + d])
    (folder / "cms").write_bytes(contents[:size])
    (folder / "root.pem").write_bytes(root().pem)
    run(
        *("openssl", "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", folder / "cms"),
        *("-content", folder / "content", "-CAfile", folder / "root.pem", "-purpose", "any", "-out", "/dev/null"),
    )


def place(page: int, left: float, top: float, width: float, height: float) -> Place:
    return Place(page, left, top, width, height)
