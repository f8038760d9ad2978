"""The demonstration's certificate authority: root, issuing authority, OCSP signer, time-stamping unit.

Everything is made new for each run and private keys stay in memory. Certificates say in issuer and policy that they
have no legal value.
"""

import datetime as dt
import ipaddress
from collections.abc import Callable
from enum import StrEnum

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    CertificatePoliciesOID,
    ExtendedKeyUsageOID,
    NameOID,
)

__all__ = ["MARK", "REVOCATION_REASONS", "Authority", "Identity", "IssueError", "Issued", "Kind", "pem"]

MARK = "Hỏa Tốc Demo — không có giá trị pháp lý"
_NOTICE = f"{MARK} / demonstration only, no legal value"
# Clocks of phones and virtual machines differ by minutes.
_BACKDATE = dt.timedelta(minutes=10)
_CA_LIFE = dt.timedelta(days=730)
_LIVES = {"person": dt.timedelta(days=365), "seal": dt.timedelta(days=365), "server": dt.timedelta(days=30)}
_CRL_LIFE = dt.timedelta(hours=1)
_MAX_CSR = 16 * 1024

REVOCATION_REASONS = {
    x509.ReasonFlags.unspecified: "unspecified",
    x509.ReasonFlags.key_compromise: "key_compromise",
    x509.ReasonFlags.affiliation_changed: "affiliation_changed",
    x509.ReasonFlags.superseded: "superseded",
    x509.ReasonFlags.cessation_of_operation: "cessation_of_operation",
}
"""Reasons in use (RFC 5280, 5.3.1), with asn1crypto's names for them."""


class IssueError(ValueError):
    """A request for a certificate that is not fulfilled, with the reason."""


class Kind(StrEnum):
    """A person's signature, an organisation's seal, or a server's TLS certificate."""

    PERSON = "person"
    SEAL = "seal"
    SERVER = "server"


class Identity(msgspec.Struct, frozen=True):
    """A key and its certificate. `repr` shows the subject only."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def __repr__(self) -> str:
        return f"Identity({self.certificate.subject.rfc4514_string()})"


class Issued(msgspec.Struct):
    """What the authority knows of a certificate. `revoked_at` is UTC; `reason` is a name of RFC 5280, 5.3.1."""

    kind: str
    certificate: x509.Certificate
    revoked_at: dt.datetime | None = None
    reason: x509.ReasonFlags = x509.ReasonFlags.unspecified


class Authority:
    """Issues and revokes. `base_url` stands in the certificates as the place of OCSP, CRLs and issuers.

    `tsa_life`: how long the first time-stamping unit's certificate is valid; `renew_tsa` makes the next.
    """

    def __init__(self, base_url: str, *, now: Callable[[], dt.datetime], tsa_life: dt.timedelta = _CA_LIFE) -> None:
        self._base_url = base_url
        self._now = now
        self.issued: dict[int, Issued] = {}
        self.root = self._make_root()
        self.issuing = self._make_issuing()
        self.ocsp = self._make_unit("OCSP Responder", ExtendedKeyUsageOID.OCSP_SIGNING)
        self.tsa = self._make_unit("Time-Stamping Unit", ExtendedKeyUsageOID.TIME_STAMPING, tsa_life)

    def renew_tsa(self, life: dt.timedelta = _CA_LIFE) -> None:
        """A new key and certificate for the time-stamping unit; the old certificate stays good until its end."""
        self.tsa = self._make_unit("Time-Stamping Unit", ExtendedKeyUsageOID.TIME_STAMPING, life)

    @property
    def trust_pem(self) -> str:
        """The root alone: what a verifier is told to trust."""
        return pem(self.root.certificate)

    def issue(self, csr_bytes: bytes, kind: Kind) -> x509.Certificate:
        """A certificate for a PKCS#10 request (PEM or DER), its subject unchanged. Raises `IssueError`."""
        csr = _checked(csr_bytes, kind)
        builder = (
            self._builder(csr.subject, csr.public_key(), self.issuing.certificate, _LIVES[kind])
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(content_commitment=kind is not Kind.SERVER), critical=True)
        )
        if kind is Kind.SERVER:
            names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            builder = builder.add_extension(names, critical=False).add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
            )
        certificate = self._sign(self._located(builder), self.issuing)
        self.issued[certificate.serial_number] = Issued(kind, certificate)
        return certificate

    def revoke(self, serial: int, reason: x509.ReasonFlags) -> None:
        """Known to OCSP and CRL at once. Raises `IssueError` for an unknown serial; a second call changes nothing."""
        if reason not in REVOCATION_REASONS:
            raise IssueError("not a reason for which the demonstration revokes")
        entry = self.issued.get(serial)
        if entry is None:
            raise IssueError("no such certificate")
        if entry.revoked_at is None:
            entry.revoked_at, entry.reason = self._now().replace(microsecond=0), reason

    def crl(self, issuer: Identity) -> x509.CertificateRevocationList:
        """The issuer's current list (RFC 5280, 5), numbered by the second."""
        now = self._now().replace(microsecond=0)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.certificate.subject)
            .last_update(now)
            .next_update(now + _CRL_LIFE)
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
            .add_extension(_issuer_key(issuer.certificate), critical=False)
        )
        for serial, entry in self.issued.items():
            if entry.revoked_at is not None and entry.certificate.issuer == issuer.certificate.subject:
                line = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(entry.revoked_at)
                if entry.reason is not x509.ReasonFlags.unspecified:
                    # RFC 5280, 5.3.1: the unspecified reason is left out.
                    line = line.add_extension(x509.CRLReason(entry.reason), critical=False)
                builder = builder.add_revoked_certificate(line.build())
        return builder.sign(issuer.key, hashes.SHA256())

    def _make_root(self) -> Identity:
        key, name = ec.generate_private_key(ec.SECP256R1()), _name("Demo Root CA")
        builder = self._builder(name, key.public_key(), None, _CA_LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        builder = builder.add_extension(_key_usage(authority=True), critical=True)
        return Identity(key, builder.issuer_name(name).sign(key, hashes.SHA256()))

    def _make_issuing(self) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_name("Demo Issuing CA"), key.public_key(), self.root.certificate, _CA_LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(authority=True), critical=True)
        builder = self._located(builder, issuer_file="root")
        return Identity(key, self._sign(builder, self.root))

    def _make_unit(self, title: str, usage: x509.ObjectIdentifier, life: dt.timedelta = _CA_LIFE) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(_name(f"Demo {title}"), key.public_key(), self.issuing.certificate, life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(), critical=True)
            # RFC 3161, 2.3: critical, and nothing but time-stamping.
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        )
        responder = usage == ExtendedKeyUsageOID.OCSP_SIGNING
        located = builder.add_extension(x509.OCSPNoCheck(), critical=False) if responder else self._located(builder)
        certificate = self._sign(located, self.issuing)
        self.issued[certificate.serial_number] = Issued("unit", certificate)
        return Identity(key, certificate)

    def _builder(
        self,
        subject: x509.Name,
        key: CertificatePublicKeyTypes,
        issuer: x509.Certificate | None,
        life: dt.timedelta,
    ) -> x509.CertificateBuilder:
        now = self._now().replace(microsecond=0)
        notice = x509.PolicyInformation(CertificatePoliciesOID.ANY_POLICY, [x509.UserNotice(None, _NOTICE)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(now + life)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.CertificatePolicies([notice]), critical=False)
        )
        return builder if issuer is None else builder.add_extension(_issuer_key(issuer), critical=False)

    def _located(self, builder: x509.CertificateBuilder, issuer_file: str = "issuing") -> x509.CertificateBuilder:
        """Where to ask about a certificate. The root has no responder: its list covers the one authority below it."""
        access = [
            x509.AccessDescription(
                AuthorityInformationAccessOID.CA_ISSUERS,
                x509.UniformResourceIdentifier(f"{self._base_url}/{issuer_file}.crt"),
            )
        ]
        if issuer_file == "issuing":
            place = x509.UniformResourceIdentifier(f"{self._base_url}/ocsp")
            access.append(x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place))
        lists = [x509.UniformResourceIdentifier(f"{self._base_url}/{issuer_file}.crl")]
        point = x509.DistributionPoint(full_name=lists, relative_name=None, reasons=None, crl_issuer=None)
        return builder.add_extension(x509.AuthorityInformationAccess(access), critical=False).add_extension(
            x509.CRLDistributionPoints([point]), critical=False
        )

    @staticmethod
    def _sign(builder: x509.CertificateBuilder, issuer: Identity) -> x509.Certificate:
        return builder.issuer_name(issuer.certificate.subject).sign(issuer.key, hashes.SHA256())


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _checked(csr_bytes: bytes, kind: Kind) -> x509.CertificateSigningRequest:
    if len(csr_bytes) > _MAX_CSR:
        raise IssueError("the request is too large")
    try:
        is_pem = csr_bytes.lstrip().startswith(b"-----BEGIN")
        load = x509.load_pem_x509_csr if is_pem else x509.load_der_x509_csr
        csr = load(csr_bytes)
        valid = csr.is_signature_valid
    except (ValueError, InvalidSignature, TypeError) as error:
        raise IssueError("not a PKCS#10 request") from error
    if not valid:
        raise IssueError("the request is not signed by its own key")
    key = csr.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < 2048:
            raise IssueError("RSA keys have 2048 bits or more")
    elif not isinstance(key, ec.EllipticCurvePublicKey):
        raise IssueError("only RSA and elliptic curve keys")
    needed = {Kind.PERSON: [NameOID.COMMON_NAME], Kind.SEAL: [NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME]}
    if any(not csr.subject.get_attributes_for_oid(oid) for oid in needed.get(kind, [])):
        raise IssueError("a person's subject has a common name, a seal's an organisation too")
    if kind is Kind.SERVER:
        _check_addresses(csr)
    return csr


def _check_addresses(csr: x509.CertificateSigningRequest) -> None:
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise IssueError("a server names its addresses") from error
    for name in names:
        if isinstance(name, x509.IPAddress) and isinstance(name.value, ipaddress.IPv4Address | ipaddress.IPv6Address):
            continue
        if not isinstance(name, x509.DNSName):
            raise IssueError("a server's addresses are IP addresses or host names")


def _name(title: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "VN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, MARK),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Hỏa Tốc {title}"),
        ]
    )


def _issuer_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(*, authority: bool = False, content_commitment: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=content_commitment,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
