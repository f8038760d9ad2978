"""The stage: state folder, outside parties, settings, people, and the server in embedded mode, all fresh.

What can start at once does: certificate authority, FCM double, exchange and drivers load while the database is made.
"""

import asyncio
import json
import socket
import tomllib
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import httpx2
import msgspec

from server.demo.paper import AGENCY, LEADER
from server.demo.processes import Child, ChildFailed, module

__all__ = ["CLERK", "CODE", "OFFICER", "PINS", "RECEIVERS", "Handed", "Person", "Stage", "free_port"]

CODE = "X01"
"""The sample organisation's exchange code, one that the stand-in axis knows."""
RECEIVERS = (("X02", "Cơ quan Mẫu Hai"), ("X03", "Cơ quan Mẫu Ba"))
CLERK = "Trần Thị Văn Thư"
OFFICER = "Lê Văn Đăng Ký"
PINS = {"leader": "739154", "clerk": "482917"}
_SCOPES = ("documents:write", "documents:read", "changes:read", "webhooks:manage")
_SERVER_READY_S = 60.0


class Person(msgspec.Struct, frozen=True):
    """`link` pairs the driver's device, once."""

    id: str
    name: str
    position: str
    link: str


class Handed(msgspec.Struct, frozen=True):
    """What setting up leaves for the drivers: nothing else passes from the server to them but the public API."""

    people: dict[str, Person]
    client_id: str
    client_secret: str


class Stage:
    """`async with Stage(folder, ...) as stage`: everything is started; `await stage.serving()`: the server answers.

    `tell` hears the name of each part as it becomes ready.
    """

    def __init__(
        self, folder: Path, *, port: int, lan: str | None = None, tell: Callable[[str], None] = lambda _part: None
    ) -> None:
        self.folder = folder
        self._wanted_port = port
        self._lan = lan
        self._tell = tell
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

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def child(self, name: str, command: list[str], **environ: str) -> Child:
        """Start a part that ends with the stage."""
        made = await Child.start(name, command, self.folder / f"{name}.log", environ=environ)
        self._stack.push_async_callback(made.stop)
        return made

    async def _build(self) -> None:
        for name in ("pki", "fcm", "axis", "state", "drivers"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        pki = await self.child("pki", module("server.demo.pki", "--state", str(self.folder / "pki")))
        account = self.folder / "fcm" / "service-account.json"
        fcm = await self.child("fcm", module("server.demo.fcm", "--service-account", str(account)))
        axis = await self.child("axis", module("server.exchange.standin", "--state", str(self.folder / "axis")))
        self.port = free_port(self._lan or "127.0.0.1", self._wanted_port)
        scheme, host = ("https", self._lan) if self._lan else ("http", "127.0.0.1")
        self.base_url = f"{scheme}://{f'[{host}]' if ':' in str(host) else host}:{self.port}"
        self.origins = (self.base_url, f"{scheme}://localhost:{self.port}")
        setting_up = asyncio.create_task(asyncio.to_thread(_set_up, self.folder / "state", self.origins))
        pki_says, fcm_says, axis_says = await asyncio.gather(pki.ready(), fcm.ready(), axis.ready())
        self.pki_url, self.tsa_url, self.fcm_url = pki_says["url"], pki_says["tsa"], fcm_says["url"]
        self.axis_url = f"http://127.0.0.1:{axis_says['port']}"
        self.trust = Path(pki_says["trust"])
        self._tell("parties")
        await self._script_peers()
        server = await self._certificate() if self._lan else {}
        self.handed, self.identity = await setting_up
        self._tell("people")
        self.settings_file = self.folder / "settings.toml"
        self.settings_file.write_text(self._settings(account, axis_says["secrets"][CODE], server), encoding="utf-8")
        _trust_root(self.folder / "state", self.trust)
        command = ["-c", "from server.cli import main; main()", "--config", str(self.settings_file), "serve"]
        self.server = await self.child("server", [module("x")[0], *command])

    async def _script_peers(self) -> None:
        """The receivers answer by themselves: 01 (arrived), then 03 (accepted)."""
        peers = {code: {"statuses": ["01", "03"], "delay_ms": 5} for code, _ in RECEIVERS}
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as http:
            (await http.put(f"{self.axis_url}/_peers", json=peers)).raise_for_status()

    async def _certificate(self) -> dict[str, Any]:
        from server.demo.tls import request_server_certificate

        assert self._lan is not None
        made = await request_server_certificate(self.pki_url, self._lan, self.folder / "pki")
        self.fingerprints = (made.fingerprint, made.root_fingerprint)
        self.ca_file = str(self.trust)
        return {"tls_certificate_file": str(made.chain_file), "tls_key_file": str(made.key_file)}

    def _settings(self, account: Path, axis_secret: str, server: dict[str, Any]) -> str:
        sections: dict[str, dict[str, Any]] = {
            "server": {
                "host": self._lan or "127.0.0.1",
                "port": self.port,
                "public_url": self.base_url,
                "allowed_origins": list(self.origins[1:]),
                "log_level": "warning",
                "stop_grace_s": 5.0,
                **server,
            },
            "exchange": {
                "url": self.axis_url,
                "system_id": CODE,
                "secret_file": axis_secret,
                "poll_s": 0.25,
            },
            "push": {"fcm_credentials": str(account), "fcm_url": self.fcm_url},
            "tsa": {"urls": [self.tsa_url], "roots": str(self.trust)},
            "trust": {"roots": str(self.trust)},
            "webhooks": {"allow_private_addresses": True},
        }
        return toml(str(self.folder / "state"), sections)

    async def serving(self) -> None:
        """Wait until the server answers that it can work. Raises `ChildFailed`."""
        verify = True if self.ca_file is None else _context(self.ca_file)
        async with httpx2.AsyncClient(timeout=5, trust_env=False, verify=verify) as http:
            end = asyncio.get_running_loop().time() + _SERVER_READY_S
            while asyncio.get_running_loop().time() < end:
                if self.server.ended:
                    raise ChildFailed(f"the server did not start: {self.server.last_words()}")
                try:
                    if (await http.get(f"{self.base_url}/readyz")).status_code == 200:
                        self._tell("server")
                        return
                except (httpx2.HTTPError, OSError):
                    pass
                await asyncio.sleep(0.03)
        raise ChildFailed(f"the server is not ready: {self.server.last_words()}")

    async def spare_links(self) -> dict[str, str]:
        """Fresh pairing links for one more device of each person, as `hoatoc user pair` makes them; good for ten minutes."""
        from server.clock import SystemClock
        from server.db import open_database
        from server.identity.service import operator
        from server.settings import load

        state = load(self.settings_file, {}).state
        db = await open_database(f"sqlite://{state.database}")
        try:
            identity = _identity(db, state.secrets / "token_keys", self.origins, self.identity, SystemClock())
            actor = operator((await identity.organisation_by_code(CODE)).id)
            return {
                part: (await identity.pairing_code(actor, person.id, office=part == "clerk")).link.reveal()
                for part, person in self.handed.people.items()
            }
        finally:
            await db.close()

    def trust_officer(self, jwk: dict[str, str], thumbprint: str) -> None:
        """What the operator does with `hoatoc signer trust-officer` after the officer read out the thumbprint."""
        from signing.core import codec, daemon

        key = msgspec.convert(jwk, codec.PublicJwk)
        if codec.thumbprint(key) != thumbprint:
            raise ChildFailed("the officer's key has another thumbprint than was read out")
        daemon.trust_officer(daemon.load_config(self.folder / "state" / "signer" / "signer.toml"), key, (CODE,))


def toml(state_dir: str, sections: dict[str, dict[str, Any]]) -> str:
    """A settings file. TOML's basic strings and arrays are written like JSON's."""
    lines = [f"state_dir = {json.dumps(state_dir)}"]
    for name, values in sections.items():
        lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    text = "\n".join(lines) + "\n"
    tomllib.loads(text)
    return text


def free_port(host: str, wanted: int) -> int:
    """`wanted` or the next one that nobody listens on. Raises `ChildFailed` when `host` is not of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(wanted, min(wanted + 200, 65_536)):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except PermissionError:
                continue
            except OSError as error:
                if error.errno in {99, -2}:  # EADDRNOTAVAIL: another port would not help
                    raise ChildFailed(f"{host} is no address of this machine") from None
                continue
            return port
    raise ChildFailed(f"no free port from {wanted} on")


def _context(ca_file: str) -> Any:
    import ssl

    return ssl.create_default_context(cafile=ca_file)


def _trust_root(state: Path, pem: Path) -> None:
    from signing.core import daemon

    daemon.trust_root(daemon.load_config(state / "signer" / "signer.toml"), pem.read_bytes(), "demo-root")


def _set_up(state: Path, origins: tuple[str, ...]) -> tuple[Handed, str]:
    """What an operator does with `hoatoc migrate | signer init | org add | user add | client add`, by the same services."""
    from server.cli.signer import config_path, write_config
    from server.settings import load
    from signing.core import daemon

    settings = load(None, {"HOATOC_STATE_DIR": str(state)})
    settings.state.create()
    write_config(settings, (CODE,))
    identity = daemon.init(daemon.load_config(config_path(settings)))
    return asyncio.run(_people(settings, origins, identity)), identity


async def _people(settings: Any, origins: tuple[str, ...], identity_key: str) -> Handed:
    from server.clock import SystemClock
    from server.db import migrate, open_database

    db = await open_database(settings.database.url)
    try:
        await migrate(db)
        return await hand_out(db, settings.state.secrets / "token_keys", origins, identity_key, SystemClock())
    finally:
        await db.close()


class _Audit:
    """The audit log as identity takes it, with the time filled in."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    async def append(self, tx: Any, kind: str, *, organisation: str, actor: str, subject: str, body: Any) -> str:
        from server import audit

        now_us = self._clock.now_us()
        return await audit.append(
            tx, kind, organisation=organisation, actor=actor, subject=subject, body=body, now_us=now_us
        )


def _identity(db: Any, token_keys: Path, origins: tuple[str, ...], identity_key: str, clock: Any) -> Any:
    from server.identity.model import IdentitySettings
    from server.identity.service import IdentityService
    from server.identity.tokens import TokenKeys

    keys = TokenKeys.load_or_create(token_keys)
    return IdentityService(db, clock, keys, IdentitySettings(origins=origins), _Audit(clock), signer_key=identity_key)


async def hand_out(db: Any, token_keys: Path, origins: tuple[str, ...], identity_key: str, clock: Any) -> Handed:
    """Organisation, people, roles, a system, and one-time codes, over an open database of either kind."""
    from server.identity.model import Role
    from server.identity.service import operator

    identity = _identity(db, token_keys, origins, identity_key, clock)
    organisation = await identity.create_organisation(CODE, AGENCY)
    actor = operator(organisation.id)
    people: dict[str, Person] = {}
    for part, name, position, roles in (
        ("leader", LEADER, "CHỦ TỊCH", (Role.LEADER, Role.ADMINISTRATOR)),
        ("clerk", CLERK, "VĂN THƯ", (Role.CLERK,)),
        ("officer", OFFICER, "CÁN BỘ ĐĂNG KÝ", (Role.REGISTRATION_OFFICER,)),
    ):
        person = await identity.create_person(actor, name=name, position=position, roles=list(roles))
        code = await identity.pairing_code(actor, person.id, office=part == "clerk")
        people[part] = Person(person.id, name, position, code.link.reveal())
    client = await identity.create_client(actor, name="QLVB mẫu", scopes=_SCOPES)
    return Handed(people, client.id, client.secret.reveal())
