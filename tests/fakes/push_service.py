"""The npm package web-push-testing as a push service in a process of its own: it checks VAPID and decrypts what it is sent."""

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from push.model import Address, AddressKind

FOLDER = Path(__file__).parents[1] / "push_service"


class PushService:
    """`origin` is what a policy has to list. A subscription is named by its `hash`."""

    def __init__(self, http: httpx2.AsyncClient, origin: str) -> None:
        self.http = http
        self.origin = origin

    async def subscribe(self, vapid_key: str) -> tuple[str, dict[str, Any]]:
        """The hash, and the subscription as a browser's toJSON() gives it."""
        form = {"userVisibleOnly": "true", "applicationServerKey": vapid_key}
        answer = await self.http.post("/subscribe", data=form)
        assert answer.status_code == 200, answer.text
        made = answer.json()["data"]
        return made["clientHash"], {"endpoint": made["endpoint"], "keys": made["keys"]}

    async def expire(self, name: str) -> None:
        await self.http.post(f"/expire-subscription/{name}")

    async def messages(self, name: str) -> list[Any]:
        """What it decrypted, in order."""
        answer = await self.http.post("/get-notifications", json={"clientHash": name})
        return [json.loads(text.rstrip("\x00")) for text in answer.json()["data"]["messages"]]


def address_of(subscription: dict[str, Any]) -> Address:
    return Address(kind=AddressKind.SUBSCRIPTION, value=msgspec.json.encode(subscription).decode())


@contextlib.asynccontextmanager
async def push_service() -> AsyncIterator[PushService]:
    if not (FOLDER / "node_modules" / "web-push-testing").is_dir():
        pytest.fail("web-push-testing is missing: make system (npm ci in tests/push_service)", pytrace=False)
    process = await asyncio.create_subprocess_exec(
        "node", "serve.js", cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        origin = f"http://localhost:{json.loads(await process.stdout.readline())['port']}"
        async with httpx2.AsyncClient(base_url=origin, timeout=20, trust_env=False) as http:
            yield PushService(http, origin)
    finally:
        process.kill()
        await process.wait()
