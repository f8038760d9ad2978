"""The stand-in axis with clients of its agencies."""

import asyncio

import httpx2
import pytest
import pytest_asyncio

from server.exchange import edxml
from server.exchange.axis import AxisLimits, VxpAxis
from server.exchange.standin import serving
from tests.unit.server.exchange.samples import now_us


class Stage:
    """The stand-in, its base URL, and clients by agency code."""

    def __init__(self, standin, url):
        self.standin, self.url = standin, url
        self._clients = []

    def client(self, code, **limits):
        client = VxpAxis(self.url, code, self.standin.secrets[code], now_us, AxisLimits(**limits))
        self._clients.append(client)
        return client

    async def put(self, path, value):
        async with httpx2.AsyncClient(trust_env=False) as http:
            assert (await http.put(f"{self.url}/{path}", json=value)).status_code == 200

    async def get(self, path):
        async with httpx2.AsyncClient(trust_env=False) as http:
            return await http.get(f"{self.url}/{path}")

    async def oracle(self):
        return (await self.get("_oracle")).json()

    async def until(self, what, seconds=60):
        deadline = asyncio.get_running_loop().time() + seconds
        while not (found := await what()):
            assert asyncio.get_running_loop().time() < deadline, "nothing came"
            await asyncio.sleep(0.02)
        return found

    async def close(self):
        for client in self._clients:
            await client.close()


@pytest_asyncio.fixture
async def stage(tmp_path):
    (tmp_path / "axis").mkdir()
    async with serving(tmp_path / "axis") as (standin, url):
        stage = Stage(standin, url)
        try:
            yield stage
        finally:
            await stage.close()


@pytest.fixture
def written(tmp_path):
    def write(packet, name="packet.edxml"):
        return edxml.write(packet, tmp_path / name)

    return write
