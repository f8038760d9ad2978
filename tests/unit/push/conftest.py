import json
import subprocess
import sys

import pytest
import pytest_asyncio

from server.demo.fcm import FcmDouble


@pytest_asyncio.fixture
async def fcm():
    async with FcmDouble() as double:
        yield double


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
