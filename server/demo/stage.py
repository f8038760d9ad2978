"""The stage: a fresh state folder, people, settings, and the server in embedded mode beside the outside parties.

What can start at once does: the parties load while the database is made, the drivers while the server does.
"""

import asyncio
import errno
import secrets
import signal
import socket
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import httpx2
import msgspec

from server.demo.line import Line
from server.demo.parties import CODE, Parties, toml
from server.demo.people import Handed, hand_out, pairing_links
from server.demo.processes import Child, ChildFailed, module
from server.demo.showcase import Showcase

__all__ = ["Stage", "free_port", "init_signer", "serving", "trust_officer", "trust_root"]

_SERVER_READY_S = 90.0
_PORTS_TRIED = 200


class Stage:
    """`async with Stage(folder, ...) as stage`: everything is started; `await stage.serving()`: the server answers.

    `lan`: an address of this machine to serve HTTPS on. `page`: with the demonstration's own page and what its buttons need: `line` to
    the exchange, `door` as a second origin of the server. `tell` hears the name of each part as it becomes ready.
    """

    handed: Handed
    line: Line
    door: Line
    page: Showcase | None = None
    worker: Child | None = None
    worker_killed = False

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        lan: str | None = None,
        page: bool = False,
        tell: Callable[[str], None] = lambda _part: None,
    ) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.settings_file = folder / "settings.toml"
        self._tell = tell
        self._lan = lan
        self._host = lan or "127.0.0.1"
        self._wanted_port = port
        self._with_page = page and lan is None
        self.page_key = secrets.token_urlsafe(24)
        self._stack = AsyncExitStack()
        self.fingerprints: tuple[str, str] | None = None
        self.ca_file: str | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._build()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._stack.aclose()

    async def _build(self) -> None:
        self.port = free_port(self._host, self._wanted_port)
        scheme = "https" if self._lan else "http"
        self.base_url = f"{scheme}://{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"
        self.origins: tuple[str, ...] = (self.base_url, f"{scheme}://localhost:{self.port}")
        if self._with_page:
            # Browsers deny storage to a frame of another site, and localhost is one to 127.0.0.1; another port is not.
            door = Line(self.base_url, port=free_port("127.0.0.1", self.port + 2))
            self.door = await self._stack.enter_async_context(door)
            self.origins = (*self.origins, self.door.url)
        self.parties = await self._stack.enter_async_context(Parties(self.folder))
        setting_up = asyncio.create_task(asyncio.to_thread(_set_up, self.state, self.origins))
        await self.parties.ready()
        self._tell("parties")
        certificate = await self._certificate() if self._lan else {}
        self.handed, self.signer_key = await setting_up
        trust_root(self.state, self.parties.trust)
        self._tell("people")
        if self._with_page:
            await self._begin_page()
        self.settings_file.write_text(toml(self.state, self._sections(certificate)), encoding="utf-8")
        self.server = await self._start_server()

    async def _begin_page(self) -> None:
        self.line = await self._stack.enter_async_context(Line(self.parties.axis_url))
        showcase = Showcase(port=free_port("127.0.0.1", self.port + 1), frames=self.frames)
        self.page = await self._stack.enter_async_context(showcase)

    @property
    def frames(self) -> tuple[str, str]:
        """Origins of the leader's client and of the clerk's on the page: two, so that neither reaches the other's keys."""
        return self.base_url, self.door.url

    async def _start_server(self) -> Child:
        if self.page is None:
            return await self.parties.start_hoatoc("server", self.settings_file, "serve")
        command = module("server.demo.front", "--config", str(self.settings_file), "--page", self.page.url)
        return await self.parties.start("server", command, DEMO_PAGE_KEY=self.page_key)

    async def work_apart(self) -> None:
        """From here on a process of its own works the outbox, one that can be killed; the server only serves."""
        sections = self._sections({})
        # Short leases: what a killed worker held is taken up again after as many seconds.
        sections["worker"] = {"poll_s": 0.1, "lease_s": 5.0}
        self._worker_file = self.folder / "worker.toml"
        self._worker_file.write_text(toml(self.state, sections), encoding="utf-8")
        await self.start_worker()
        self.server.interrupt(signal.SIGUSR1)

    async def start_worker(self) -> Child:
        self.worker = await self.parties.start_hoatoc("worker", self._worker_file, "worker")
        return self.worker

    async def kill_worker(self) -> tuple[int, int]:
        """Kill -9, and another one as a supervisor would start it; both process ids."""
        worker = self.worker
        if worker is None:
            raise ChildFailed("there is no worker of its own")
        self.worker_killed = True
        try:
            await worker.kill()
            return worker.pid, (await self.start_worker()).pid
        finally:
            self.worker_killed = False

    async def _certificate(self) -> dict[str, Any]:
        from server.demo.tls import request_server_certificate

        made = await request_server_certificate(self.parties.pki_url, self._host, self.folder / "pki")
        self.fingerprints = (made.fingerprint, made.root_fingerprint)
        self.ca_file = str(self.parties.trust)
        return {"tls_certificate_file": str(made.chain_file), "tls_key_file": str(made.key_file)}

    def _sections(self, certificate: dict[str, Any]) -> dict[str, dict[str, Any]]:
        server = {
            "host": self._host,
            "port": self.port,
            "public_url": self.base_url,
            "allowed_origins": list(self.origins[1:]),
            "log_level": "warning",
            "stop_grace_s": 5.0,
            **certificate,
        }
        sections = {"server": server, **self.parties.sections()}
        if self.page is not None:
            sections["exchange"] |= {"url": self.line.url}
        return sections

    async def serving(self) -> None:
        """Wait until the server answers that it can work. Raises `ChildFailed`."""
        await serving(self.base_url, self.server, self.ca_file)
        self._tell("server")

    async def spare_links(self) -> dict[str, str]:
        """Fresh pairing links while the server runs."""
        from server.db import open_database

        db = await open_database(f"sqlite://{self.state / 'database' / 'hoatoc.db'}")
        try:
            return await pairing_links(
                db, self.state / "secrets" / "token_keys", self.origins, self.signer_key, self.handed
            )
        finally:
            await db.close()


async def serving(base_url: str, server: Child, ca_file: str | None = None) -> None:
    """Until `/readyz` answers 200. Raises `ChildFailed` with what the server said last."""
    verify: ssl.SSLContext | bool = True if ca_file is None else ssl.create_default_context(cafile=ca_file)
    end = asyncio.get_running_loop().time() + _SERVER_READY_S
    async with httpx2.AsyncClient(timeout=5, trust_env=False, verify=verify) as http:
        while asyncio.get_running_loop().time() < end:
            if server.ended:
                raise ChildFailed(f"the server did not start: {server.last_words()}")
            try:
                if (await http.get(f"{base_url}/readyz")).status_code == 200:
                    return
            except (httpx2.HTTPError, OSError):
                pass
            await asyncio.sleep(0.03)
    raise ChildFailed(f"the server is not ready: {server.last_words()}")


def free_port(host: str, wanted: int) -> int:
    """`wanted` or the next one that nobody listens on. Raises `ChildFailed` when `host` is not of this machine."""
    try:
        family, _, _, _, _ = socket.getaddrinfo(host, wanted, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise ChildFailed(f"{host} is no address of this machine") from None
    for port in range(wanted, min(wanted + _PORTS_TRIED, 65_536)):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    raise ChildFailed(f"{host} is no address of this machine") from None
                continue
            return port
    raise ChildFailed(f"no free port from {wanted} on")


def trust_officer(state: Path, jwk: dict[str, str], thumbprint: str) -> None:
    """`hoatoc signer trust-officer`: what the operator does after the officer read out the thumbprint."""
    from signing import offline
    from signing.core import codec, daemon

    key = msgspec.convert(jwk, codec.PublicJwk)
    if codec.thumbprint(key) != thumbprint:
        raise ChildFailed("the officer's key has another thumbprint than was read out")
    offline.trust_officer(daemon.load_config(state / "signer" / "signer.toml"), key, (CODE,))


def trust_root(state: Path, pem: Path) -> None:
    """`hoatoc signer trust-root`."""
    from signing import offline
    from signing.core import daemon

    offline.trust_root(daemon.load_config(state / "signer" / "signer.toml"), pem.read_bytes(), "demo-root")


def init_signer(state: Path) -> str:
    """`hoatoc signer init`; the identity key's thumbprint, which goes into pairing links."""
    from server.cli.signer import config_path, write_config
    from server.settings import load
    from signing.core import daemon

    settings = load(None, {"HOATOC_STATE_DIR": str(state)})
    settings.state.create()
    write_config(settings, (CODE,))
    return daemon.init(daemon.load_config(config_path(settings)))


def _set_up(state: Path, origins: tuple[str, ...]) -> tuple[Handed, str]:
    signer_key = init_signer(state)
    return asyncio.run(_people(state, origins, signer_key)), signer_key


async def _people(state: Path, origins: tuple[str, ...], signer_key: str) -> Handed:
    from server.db import migrate, open_database

    db = await open_database(f"sqlite://{state / 'database' / 'hoatoc.db'}")
    try:
        await migrate(db)
        return await hand_out(db, state / "secrets" / "token_keys", origins, signer_key)
    finally:
        await db.close()
