"""The outside parties of the demonstration as processes on loopback: certificate authority with time stamps, FCM, the exchange axis."""

import asyncio
import json
import tomllib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import httpx2

from server.demo.processes import Child, hoatoc, module

__all__ = ["CODE", "RECEIVERS", "Parties", "toml"]

CODE = "X01"
"""The sample organisation's exchange code, one that the stand-in axis knows."""
RECEIVERS = (("X02", "Cơ quan Mẫu Hai"), ("X03", "Cơ quan Mẫu Ba"))

Sections = dict[str, dict[str, Any]]


class Parties:
    """`async with Parties(folder) as parties`, then `await parties.ready()`. Whatever `start` adds ends before them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            for name in ("pki", "fcm", "axis"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            self._account = self.folder / "fcm" / "service-account.json"
            self._pki = await self.start("pki", module("server.demo.pki", "--state", str(self.folder / "pki")))
            self._fcm = await self.start("fcm", module("server.demo.fcm", "--service-account", str(self._account)))
            self._axis = await self.start(
                "axis", module("server.exchange.standin", "--state", str(self.folder / "axis"))
            )
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._stack.aclose()

    async def start(self, name: str, command: Sequence[str], **environ: str) -> Child:
        """One more process; the last one started is the first to end. Raises OSError."""
        made = await Child.start(name, command, self.folder / f"{name}.log", environ=environ)
        self._stack.push_async_callback(made.stop)
        return made

    async def start_hoatoc(self, name: str, settings_file: Path, *command: str, **environ: str) -> Child:
        """`hoatoc --config FILE COMMAND`."""
        return await self.start(name, hoatoc("--config", str(settings_file), *command), **environ)

    async def ready(self) -> None:
        """Wait for all three. Raises `ChildFailed`."""
        pki, fcm, axis = await asyncio.gather(self._pki.ready(), self._fcm.ready(), self._axis.ready())
        self.pki_url, self._tsa_url, self.trust = pki["url"], pki["tsa"], Path(pki["trust"])
        self.fcm_url = fcm["url"]
        self.axis_url = f"http://127.0.0.1:{axis['port']}"
        self._axis_secret = axis["secrets"][CODE]
        # The receivers answer by themselves: 01 (arrived), then 03 (accepted).
        peers = {code: {"statuses": ["01", "03"], "delay_ms": 5} for code, _ in RECEIVERS}
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as http:
            (await http.put(f"{self.axis_url}/_peers", json=peers)).raise_for_status()

    def sections(self) -> Sections:
        """What the settings of a server or worker say about these parties."""
        return {
            "exchange": {
                "url": self.axis_url, "system_id": CODE, "secret_file": self._axis_secret, "poll_s": 1.0,
            },
            "push": {"fcm_credentials": str(self._account), "fcm_url": self.fcm_url},
            "tsa": {"urls": [self._tsa_url], "roots": str(self.trust)},
            "trust": {"roots": str(self.trust), "status_hosts": [self.pki_url.removeprefix("http://")]},
            "webhooks": {"allow_private_addresses": True},
        }  # fmt: skip


def toml(state_dir: Path, sections: Sections) -> str:
    """A settings file. TOML's basic strings and arrays are written like JSON's."""
    lines = [f"state_dir = {json.dumps(str(state_dir))}"]
    for name, values in sections.items():
        lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    text = "\n".join(lines) + "\n"
    tomllib.loads(text)
    return text
