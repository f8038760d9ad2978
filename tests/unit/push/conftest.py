import functools
import json
import subprocess
import sys

import pytest
import pytest_asyncio

from push.transports import FcmWire, open_fcm
from server.demo.fcm import FcmDouble, server_tls
from tests.fakes.tls import loopback_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return loopback_certificate(tmp_path_factory.mktemp("tls"))


@pytest_asyncio.fixture(params=["http1", "tls-http2"])
async def fcm(request, certificate, monkeypatch):
    served, trusted = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with FcmDouble(tls=server_tls(served) if request.param == "tls-http2" else None) as double:
        yield double


@pytest.fixture(params=list(FcmWire))
def open_lanes(request):
    """`open_fcm` with each wire: one suite for both."""
    return functools.partial(open_fcm, wire=request.param)


@pytest.fixture
def fcm_process(tmp_path):
    """The double as the demonstration runs it: a process of its own."""
    account = tmp_path / "account.json"
    command = [sys.executable, "-m", "server.demo.fcm", "--port", "0", "--service-account", str(account)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            started = json.loads(process.stdout.readline())
            yield {"url": started["url"], "service_account": account}
        finally:
            process.kill()
