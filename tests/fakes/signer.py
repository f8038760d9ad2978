"""A real signer process in a temporary folder, with a test CA, for whoever needs one: small Argon2id costs, test profile."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from signing import device, offline
from signing.client import Activation, SignerClient
from signing.core import daemon
from signing.core.model import KeyType, VoucherKind
from tests.fakes.phone import Officer, Phone, item

ORGANISATION = "H01.01"
OTHER_ORGANISATION = "H01.02"
DER = serialization.Encoding.DER


def now_us() -> int:
    return time.time_ns() // 1000


class TestAuthority:
    """A root that issues signing certificates for CSRs; its certificates have no legal value."""

    __test__ = False

    def __init__(self, name: str = "Test Root", path_length: int = 0) -> None:
        self.path_length = path_length
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = self.issue(self.name, self.key.public_key(), ca=True)

    def issue(
        self, subject: x509.Name, key, *, ca: bool = False, days: int = 365, start: datetime | None = None
    ) -> x509.Certificate:
        begin = start or datetime.now(UTC) - timedelta(hours=1)
        usage = x509.KeyUsage(
            digital_signature=not ca,
            content_commitment=not ca,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=ca,
            crl_sign=ca,
            encipher_only=False,
            decipher_only=False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=self.path_length if ca else None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def answer(self, csr: bytes, **options) -> bytes:
        request = x509.load_der_x509_csr(csr)
        assert request.is_signature_valid
        return self.issue(request.subject, request.public_key(), **options).public_bytes(DER)

    def pem(self) -> bytes:
        return self.root.public_bytes(serialization.Encoding.PEM)


@dataclass
class SignerHost:
    """Configuration, folders and the process of one signer."""

    base: Path
    organisations: tuple[str, ...] = (ORGANISATION, OTHER_ORGANISATION)
    argon: tuple[int, int, int] = (64, 1, 1)
    profile: str = "test"
    authority: TestAuthority = field(default_factory=TestAuthority)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.base.mkdir(parents=True, exist_ok=True)
        self.config_path = self.base / "signer.toml"
        memory, iterations, lanes = self.argon
        lines = [
            f'state_dir = "{self.base / "state"}"',
            f'head_dir = "{self.base / "head"}"',
            f'socket = "{self.base / "s"}"',
            f"organisations = {list(self.organisations)!r}".replace("'", '"'),
            f'profile = "{self.profile}"',
            f"[argon]\nmemory_kib = {memory}\niterations = {iterations}\nlanes = {lanes}",
        ]
        self.config_path.write_text("\n".join(lines))
        self.config = daemon.load_config(self.config_path)
        if not (self.base / "state").exists():
            daemon.init(self.config)
            offline.trust_root(self.config, self.authority.pem(), "test-root")
        self.identity = daemon.identity(self.config)[0]

    @property
    def database(self) -> Path:
        return self.base / "state" / "signer.db"

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "signing.core", str(self.config_path)]

    def officer(self, *organisations: str) -> Officer:
        """A trusted officer."""
        officer = Officer(organisations or (ORGANISATION,))
        offline.trust_officer(self.config, officer.jwk, officer.organisations)
        return officer

    def start(self, crash_point: str = "", **environment: str) -> "SignerHost":
        """Start the process and wait for its socket; raises RuntimeError with its log when it refuses."""
        socket = self.base / "s"
        socket.unlink(missing_ok=True)
        env = os.environ | environment | ({"HOATOC_CRASH_POINT": crash_point} if crash_point else {})
        with (self.base / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stderr=log, env=env)
        for _ in range(2000):
            if socket.exists():
                return self
            if self.process.poll() is not None:
                raise RuntimeError(self.log())
            time.sleep(0.005)
        raise RuntimeError("the signer's socket did not appear")

    def log(self) -> str:
        return (self.base / "log").read_text()

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process
        self.process.terminate()
        return self.process.wait(30)

    def client(self, **options) -> SignerClient:
        return SignerClient(self.base / "s", **options)


async def enrol(
    host: SignerHost,
    client: SignerClient,
    officer: Officer,
    person: str = "person-1",
    *,
    key_type: KeyType = KeyType.P256,
    organisation: str = ORGANISATION,
    pin: str = "482915",
    certified: bool = True,
) -> Phone:
    """A phone whose credential is enrolled and certified."""
    phone = Phone(organisation, person, host.identity, pin=pin)
    voucher = officer.voucher(VoucherKind.ENROL, phone, now_us=now_us(), key_type=key_type)
    join, sealed = phone.join(await client.sealing_key(), voucher, now_us=now_us())
    enrolment = await client.enrol(voucher, join, sealed)
    if certified:
        certificate = host.authority.answer(enrolment.csr)
        await client.import_certificate(phone.credential, certificate)
    return phone


async def sign(client: SignerClient, phone: Phone, *digests: bytes, pin: str = "") -> Activation:
    grant = await client.challenge(phone.credential, phone.device)
    return await client.activate(*phone.approve(grant, [item(each) for each in digests], now_us=now_us(), pin=pin))


__all__ = ["ORGANISATION", "OTHER_ORGANISATION", "SignerHost", "TestAuthority", "device", "enrol", "now_us", "sign"]
