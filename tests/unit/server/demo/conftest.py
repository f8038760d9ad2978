import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.demo.fcm import FcmDouble
from server.demo.pki import DemoPki


@pytest_asyncio.fixture
async def fcm():
    async with FcmDouble() as double:
        yield double


@pytest_asyncio.fixture
async def pki():
    async with DemoPki() as running:
        yield running


@pytest.fixture(scope="module")
def pki_process(tmp_path_factory):
    """The PKI as the demonstration runs it: a process of its own."""
    state = tmp_path_factory.mktemp("pki")
    command = [sys.executable, "-m", "server.demo.pki", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield SimpleNamespace(state=state, **json.loads(process.stdout.readline()))
        finally:
            process.kill()


@pytest.fixture(scope="session")
def make_csr():
    def make(names=None, key=None, address=None):
        key = key or ec.generate_private_key(ec.SECP256R1())
        names = names or {NameOID.COUNTRY_NAME: "VN", NameOID.COMMON_NAME: "Người Ký Mẫu"}
        subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in names.items()])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        if address is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    return make
