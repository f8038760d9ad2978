"""A server certificate for showing the demonstration to a phone on the same network."""

import hashlib
import ipaddress
from pathlib import Path

import httpx2
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["ServerCertificate", "request_server_certificate"]


class ServerCertificate(msgspec.Struct, frozen=True):
    """PEM files (leaf, issuing authority; key readable by its owner alone) and SHA-256 of the leaf and of the root.

    `root_fingerprint` is what a person compares before trusting the root on a phone; both are upper-case hex pairs.
    """

    chain_file: Path
    key_file: Path
    fingerprint: str
    root_fingerprint: str


async def request_server_certificate(pki_url: str, address: str, folder: Path) -> ServerCertificate:
    """Make a key, have the demonstration's authority certify `address` (IP or host name), write both to `folder`.

    Raises ValueError for something that is no address, `httpx2.HTTPError` where the authority does not answer.
    """
    name = _general_name(address)
    key = ec.generate_private_key(ec.SECP256R1())
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address[:64])]))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .sign(key, hashes.SHA256())
    )
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
        body = csr.public_bytes(serialization.Encoding.PEM)
        answer = (await client.post(f"{pki_url}/issue", params={"kind": "server"}, content=body)).raise_for_status()
    certificate, (issuing, root) = answer.json()["certificate"], answer.json()["chain"]
    chain_file, key_file = folder / "server.pem", folder / "server.key"
    chain_file.write_text(certificate + issuing)
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return ServerCertificate(chain_file, key_file, _fingerprint(certificate), _fingerprint(root))


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        pass
    labels = address.split(".")
    if not address or len(address) > 253 or not all(label.replace("-", "").isalnum() for label in labels):
        raise ValueError("neither an IP address nor a host name")
    return x509.DNSName(address)


def _fingerprint(certificate_pem: str) -> str:
    der = x509.load_pem_x509_certificate(certificate_pem.encode()).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).digest().hex(":").upper()
