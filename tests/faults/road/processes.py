"""The product as an operator runs it: signer, servers and workers as real processes, with the outside parties beside them.

People are driven over HTTP by real keys, through whichever server is up. Signature activations of one store are counted by a
signer with a witness (`tests.faults.signer.traced`), so that derivations are known independently of the product's own books.

Longer than most: starting, killing and reaching the processes are one protocol.
"""

import asyncio
import collections
import contextlib
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from server.demo.fcm import FcmDouble
from server.demo.pki import DemoPki
from server.exchange.standin import serving
from server.identity.model import Role
from server.settings import Settings, load
from server.wiring import Wiring
from signing import device, offline
from signing.client import SignerClient
from signing.core import daemon
from signing.core.codec import public_jwk
from tests.fakes.stack import ORGANISATION, ORIGIN, RECEIVERS, UNLIMITED, Caller, Stack

ROOT = Path(__file__).resolve().parents[3]
TRACED = ROOT / "tests" / "faults" / "signer" / "traced.py"
_HOATOC = [sys.executable, "-c", "from server.cli import main; main()"]
_START_S = 120.0

SIGNER_TOML = """profile = "test"
state_dir = "{state}"
head_dir = "{head}"
socket = "{socket}"
organisations = ["{organisation}"]

[argon]
memory_kib = 64
iterations = 1

[pin]
{pin}
"""
LADDER = "tries = [3, 3, 3]"
"""The product's own ladder: 3 wrong, 3 more, 3 more."""
NINE = "tries = [9]\nlock_s = []"
"""Nine in one stage, so that a success can give them back in every round."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One process of the deployment; it can be killed, armed with a crash point, and started again."""

    def __init__(self, name: str, command: list[str], environ: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.command = command
        self.environ = dict(environ)
        self.log = folder / f"{name}.log"
        self.armed = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, crash_point: str = "") -> None:
        assert not self.alive
        self.armed = crash_point
        environ = {name: value for name, value in os.environ.items() if not name.startswith("HOATOC_")}
        environ |= self.environ | ({"HOATOC_CRASH_POINT": crash_point} if crash_point else {})
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ, cwd=ROOT
            )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def stop(self, within_s: float = 30.0) -> int:
        """SIGTERM, and its exit code; a process that does not end in time fails."""
        if self._process is None:
            return 0
        self.terminate()
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.name} did not end within {within_s} s of SIGTERM: {self.last_words()}"
            ) from None

    def last_words(self) -> str:
        lines = self.log.read_text("utf-8", "replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-8:])


class Server(Process):
    """`hoatoc serve` on a port of its own."""

    def __init__(self, name: str, environ: Mapping[str, str], folder: Path) -> None:
        self.port = free_port()
        super().__init__(name, [*_HOATOC, "serve"], {**environ, "HOATOC_SERVER__PORT": str(self.port)}, folder)

    async def ready(self) -> bool:
        """Whether it began to answer; False when it died first."""
        deadline = time.monotonic() + _START_S
        while self.alive:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                assert time.monotonic() < deadline, f"{self.name} does not listen: {self.last_words()}"
                await asyncio.sleep(0.03)
                continue
            writer.close()
            return True
        return False


class SignerProcess(Process):
    def __init__(self, config: Path, socket_path: str, trace: Path, folder: Path) -> None:
        self.socket_path = socket_path
        environ = {"HOATOC_TEST_TRACE": str(trace), "PYTHONPATH": str(ROOT)}
        super().__init__("signer", [sys.executable, str(TRACED), str(config)], environ, folder)

    async def ready(self) -> bool:
        deadline = time.monotonic() + _START_S
        while self.alive:
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(self.socket_path)
                except OSError:
                    assert time.monotonic() < deadline, f"the signer does not listen: {self.last_words()}"
                else:
                    return True
            await asyncio.sleep(0.02)
        return False


class Fleet:
    """HTTP to whichever server is up, in turn, as a load balancer would; callers see one origin.

    A request that no server accepted a connection for goes to the next one. `served` counts answers by server.
    """

    def __init__(self, servers: list[Server]) -> None:
        self._clients = {
            server: httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{server.port}",
                headers={"Host": ORIGIN.removeprefix("http://")},
                timeout=60,
                trust_env=False,
                limits=httpx2.Limits(max_connections=None),
            )
            for server in servers
        }
        self._turn = itertools.count()
        self.served: collections.Counter[str] = collections.Counter()

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        servers = [one for one in self._clients if one.alive] or list(self._clients)
        first = next(self._turn)
        for number in range(len(servers)):
            server = servers[(first + number) % len(servers)]
            try:
                answer = await self._clients[server].request(method, path, **options)
            except httpx2.ConnectError:
                if number == len(servers) - 1:
                    raise
            else:
                self.served[server.name] += 1
                return answer
        raise AssertionError("there is always a server to ask")

    async def post(self, path: str, **options: Any) -> httpx2.Response:
        return await self.request("POST", path, **options)

    def only(self, server: Server) -> httpx2.AsyncClient:
        return self._clients[server]

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()


class Device(Caller):
    """A caller that keeps its refresh token: long runs outlive an access token.

    `repeats`: how often a retry-safe request (GET, or with an Idempotency-Key that its route keeps) whose answer was lost
    is sent again, with a fresh proof and the same key.
    """

    refresh = ""
    repeats = 0

    async def call(self, method: str, path: str, *, expect: int | None = None, **options: Any) -> Any:
        headers = {**options.pop("headers", {})}
        if method == "POST":
            headers.setdefault("Idempotency-Key", secrets.token_urlsafe(16))
        tries = 1 + (self.repeats if not path.endswith("/approvals") else 0)
        for number in range(tries):
            try:
                return await super().call(method, path, expect=expect, headers=headers, **options)
            except (httpx2.TransportError, OSError):
                if number == tries - 1:
                    raise
        raise AssertionError("the last try returns or raises")

    async def pair(self, code: str) -> None:
        public = self.session.as_dict(private=False)
        body = {
            "code": code, "session_jwk": {name: public[name] for name in ("kty", "crv", "x", "y")},
            "approval_jwk": msgspec.to_builtins(public_jwk(self.approval.public_key())), "label": "Điện thoại mẫu", "platform": "web",
        }  # fmt: skip
        path = "/api/v1/pairings/redeem"
        answer = await self.http.post(path, json=body, headers={"DPoP": self.proof("POST", path)})
        assert answer.status_code == 200, answer.text
        self.device = answer.json()["device"]["id"]
        self._keep(answer.json()["tokens"])

    def _keep(self, tokens: dict[str, Any]) -> None:
        self.access, self.refresh = tokens["access_token"], tokens["refresh_token"]

    async def renew(self) -> None:
        path = "/api/v1/oauth/token"
        form = {"grant_type": "refresh_token", "refresh_token": self.refresh}
        answer = await self.http.post(path, data=form, headers={"DPoP": self.proof("POST", path)})
        assert answer.status_code == 200, answer.text
        self._keep(answer.json())


class Deployment(Stack):
    """A running deployment; see `deployed`."""

    fleet: Fleet
    signer_process: SignerProcess
    servers: list[Server]
    workers: list[Process]
    trace: Path
    client: dict[str, str]

    @property
    def processes(self) -> list[Process]:
        return [self.signer_process, *self.servers, *self.workers]

    def signer_client(self) -> SignerClient:
        return SignerClient(self.settings.signer.socket, timeout_s=30)

    def derivations(self, pin: str) -> int:
        return self.trace.read_text().split().count(pin) if self.trace.exists() else 0

    async def person(self, name: str, *roles: Role, office: bool = False, position: str = "CHỦ TỊCH") -> Device:  # type: ignore[override]
        made = await self.wiring.identity.create_person(self.operator, name=name, position=position, roles=list(roles))
        code = await self.wiring.identity.pairing_code(self.operator, made.id, office=office)
        caller = Device(self.http)
        caller.person = made.id
        await caller.pair(code.code.reveal())
        return caller

    async def renew(self) -> None:
        """Fresh tokens for the document management system."""
        answer = await self.http.post("/api/v1/oauth/token", data={"grant_type": "client_credentials", **self.client})
        assert answer.status_code == 200, answer.text
        self.qlvb.access = answer.json()["access_token"]

    async def start_all(self) -> None:
        """Start what does not run, without crash points."""
        for process in self.processes:
            if not process.alive:
                process.start()
        assert await self.signer_process.ready(), self.signer_process.last_words()
        for server in self.servers:
            assert await server.ready(), server.last_words()

    def stop_all(self) -> None:
        for process in (*self.servers, *self.workers, self.signer_process):
            if process.alive:
                process.terminate()
        for process in (*self.servers, *self.workers, self.signer_process):
            if process.alive:
                with contextlib.suppress(AssertionError):
                    process.stop()


def _settings_of(
    stack: Deployment, database: str, workers: int, state: Path, more: Mapping[str, str]
) -> dict[str, str]:
    folder = stack.folder
    return {
        "HOATOC_STATE_DIR": str(state), "HOATOC_SERVER__PUBLIC_URL": ORIGIN, "HOATOC_SIGNER__EMBEDDED": "false",
        "HOATOC_SIGNER__TIMEOUT_S": "15", "HOATOC_WORKER__EMBEDDED": "false" if workers else "true",
        "HOATOC_PUSH__FCM_CREDENTIALS": str(folder / "fcm.json"), "HOATOC_PUSH__FCM_URL": stack.fcm.url,
        "HOATOC_TSA__URLS": stack.pki.tsa_url, "HOATOC_TSA__ROOTS": str(folder / "roots.pem"),
        "HOATOC_TRUST__ROOTS": str(folder / "roots.pem"), "HOATOC_EXCHANGE__URL": stack.axis_url,
        "HOATOC_EXCHANGE__SYSTEM_ID": ORGANISATION, "HOATOC_EXCHANGE__SECRET_FILE": str(stack.axis.secrets[ORGANISATION]),
        "HOATOC_EXCHANGE__POLL_S": "1", "HOATOC_EXCHANGE__SETTLE_S": "1", "HOATOC_WEBHOOKS__ALLOW_PRIVATE_ADDRESSES": "true",
        "HOATOC_WORKER__POLL_S": "0.3", "HOATOC_WORKER__LEASE_S": "4", "HOATOC_SIGNING__INTENT_CHECK_S": "1",
        "HOATOC_BLOBS__RESERVE_BYTES": "0", "HOATOC_SERVER__STOP_GRACE_S": "15", "HOATOC_PREVIEWS__CHILDREN": "2",
        **UNLIMITED, **({"HOATOC_DATABASE__URL": database} if database else {}), **more,
    }  # fmt: skip


@contextlib.asynccontextmanager
async def deployed(
    folder: Path,
    *,
    database: str = "",
    servers: int = 1,
    workers: int = 0,
    pin: str = NINE,
    state: Path | None = None,
    **more: str,
) -> AsyncIterator[Deployment]:
    """Signer, servers and workers as processes on one database; an organisation, its officer and its QLVB are there.

    `workers` 0: the servers work the queue themselves. `state`: another state folder than `folder/state`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stack = Deployment(folder)
    async with (
        DemoPki() as stack.pki,
        FcmDouble() as stack.fcm,
        serving(folder / "axis") as (stack.axis, stack.axis_url),
    ):
        stack.fcm.write_service_account(folder / "fcm.json")
        (folder / "roots.pem").write_text(stack.pki.authority.trust_pem)
        environ = _settings_of(stack, database, workers, state or folder / "state", more)
        stack.settings = load(None, environ)
        _initialise_signer(stack, stack.settings, pin)
        stack.trace = folder / "trace"
        stack.signer_process = SignerProcess(
            stack.settings.state.signer / "signer.toml", stack.settings.signer.socket, stack.trace, folder
        )
        stack.signer_process.start()
        assert await stack.signer_process.ready(), stack.signer_process.last_words()
        stack.wiring = await Wiring.open(stack.settings)
        stack.servers = [Server(f"server-{number}", environ, folder) for number in range(1, servers + 1)]
        stack.workers = [
            Process(f"worker-{number}", [*_HOATOC, "worker"], environ, folder) for number in range(1, workers + 1)
        ]
        stack.fleet = Fleet(stack.servers)
        stack.http = stack.fleet  # type: ignore[assignment]
        try:
            await stack.start_all()
            await _found(stack)
            yield stack
        finally:
            await stack.fleet.aclose()
            stack.stop_all()
            with contextlib.suppress(Exception):  # its database may be gone by then
                await stack.wiring.close()


def _initialise_signer(stack: Deployment, settings: Settings, pin: str) -> None:
    state = settings.state
    state.create()
    path = state.signer / "signer.toml"
    path.write_text(
        SIGNER_TOML.format(
            state=state.signer, head=state.head, socket=settings.signer.socket, organisation=ORGANISATION, pin=pin
        )
    )
    config = daemon.load_config(path)
    daemon.init(config)
    offline.trust_officer(config, public_jwk(stack.officer_key.public_key()), [ORGANISATION])
    offline.trust_root(config, stack.pki.authority.trust_pem.encode(), "demo")


async def _found(stack: Deployment) -> None:
    stack.organisation = (await stack.wiring.identity.create_organisation(ORGANISATION, "Ủy ban nhân dân xã Mẫu")).id
    stack.officer = await stack.person("Cán bộ đăng ký mẫu", Role.REGISTRATION_OFFICER)
    scopes = ["documents:write", "documents:read", "changes:read", "webhooks:manage", "directory:read"]
    client = await stack.wiring.identity.create_client(stack.operator, name="QLVB mẫu", scopes=scopes)
    stack.client = {"client_id": client.id, "client_secret": client.secret.reveal()}
    stack.qlvb = Device(stack.http)
    stack.qlvb.service = True
    await stack.renew()
    async with httpx2.AsyncClient(trust_env=False) as http:  # both receivers take everything and say so
        await http.put(f"{stack.axis_url}/_peers", json={code: {"statuses": ["01", "03"]} for code in RECEIVERS})


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


__all__ = ["LADDER", "NINE", "Deployment", "Device", "Fleet", "Process", "Server", "deployed", "device", "free_bytes"]
