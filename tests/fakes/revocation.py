"""Answers about certificates, good and bad: OCSP by cryptography's builder and by OpenSSL, revocation lists by cryptography."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.fakes.pdf_signing import Holder, run


def moment(us: int) -> datetime:
    return datetime.fromtimestamp(us // 1_000_000, UTC)


def ocsp_answer(
    certificate: Holder,
    issuer: Holder,
    *,
    at_us: int,
    responder: Holder | None = None,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    revoked_us: int | None = None,
    reason: x509.ReasonFlags | None = None,
    life: timedelta | None = timedelta(minutes=10),
    nonce: bytes | None = None,
    named_issuer: Holder | None = None,
    digest: hashes.HashAlgorithm | None = None,
    by_hash: bool = False,
    attach: bool = True,
) -> bytes:
    """An OCSPResponse made at `at_us`, signed by `responder`, by the issuer where None."""
    signer = responder or issuer
    encoding = ocsp.OCSPResponderEncoding.HASH if by_hash else ocsp.OCSPResponderEncoding.NAME
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=certificate.certificate,
            issuer=(named_issuer or issuer).certificate,
            algorithm=hashes.SHA1(),
            cert_status=status,
            this_update=moment(at_us),
            next_update=None if life is None else moment(at_us) + life,
            revocation_time=None if revoked_us is None else moment(revoked_us),
            revocation_reason=reason,
        )
        .responder_id(encoding, signer.certificate)
    )
    if responder is not None and attach:
        builder = builder.certificates([responder.certificate])
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    made = builder.sign(signer.key, digest or hashes.SHA256())
    return made.public_bytes(Encoding.DER)


def revocation_list(
    issuer: Holder,
    *,
    at_us: int,
    revoked: dict[int, tuple[int, x509.ReasonFlags | None]] | None = None,
    life: timedelta = timedelta(hours=1),
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    signer: Holder | None = None,
    digest: hashes.HashAlgorithm | None = None,
) -> bytes:
    """A CertificateList of `issuer`; `revoked`: serial → (µs, reason)."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(moment(at_us))
        .next_update(moment(at_us) + life)
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    for serial, (when, reason) in (revoked or {}).items():
        line = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment(when))
        if reason is not None:
            line = line.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(line.build())
    return builder.sign((signer or issuer).key, digest or hashes.SHA256()).public_bytes(Encoding.DER)


def openssl_ocsp(
    request: bytes, certificate: Holder, issuer: Holder, responder: Holder, folder: Path, *, revoked: bool = False
) -> bytes:
    """An answer of OpenSSL's responder at the machine's own time, good for ten minutes."""
    (folder / "ca.pem").write_bytes(issuer.pem)
    (folder / "responder.pem").write_bytes(responder.pem)
    (folder / "responder.key").write_bytes(responder.key_pem)
    (folder / "request.der").write_bytes(request)
    state = "R\t350101000000Z\t260101000000Z,keyCompromise" if revoked else "V\t350101000000Z\t"
    serial = f"{certificate.certificate.serial_number:X}"
    serial = serial if len(serial) % 2 == 0 else f"0{serial}"
    (folder / "index.txt").write_text(f"{state}\t{serial}\tunknown\t/CN=Sample\n")
    run(
        *("openssl", "ocsp", "-index", folder / "index.txt", "-CA", folder / "ca.pem", "-rsigner"),
        *(folder / "responder.pem", "-rkey", folder / "responder.key", "-reqin", folder / "request.der"),
        *("-respout", folder / "response.der", "-nmin", "10"),
    )
    return (folder / "response.der").read_bytes()


def responder_for(issuer: Holder, *, no_check: bool = True, usage: bool = True, **dates: datetime) -> Holder:
    """A delegated responder of `issuer`: `issue` of `pdf_signing` knows no id-pkix-ocsp-nocheck."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sample OCSP Responder")]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dates.get("begin", datetime(2025, 1, 1, tzinfo=UTC)))
        .not_valid_after(dates.get("end", datetime(2035, 1, 1, tzinfo=UTC)))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
    if no_check:
        builder = builder.add_extension(x509.OCSPNoCheck(), critical=False)
    return Holder(key, builder.sign(issuer.key, hashes.SHA256()))
