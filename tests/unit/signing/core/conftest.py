import pytest
import pytest_asyncio

from tests.fakes.signer import SignerHost


@pytest.fixture
def host(tmp_path):
    host = SignerHost(tmp_path / "h").start()
    yield host
    if host.process.poll() is None:
        host.stop()
    assert "internal" not in host.log()
    assert "Traceback" not in host.log()


@pytest.fixture
def officer(host):
    return host.officer()


@pytest_asyncio.fixture
async def client(host):
    client = host.client()
    yield client
    await client.close()
