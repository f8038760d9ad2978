"""A phone made of two P-256 keys, and an application that has identity and nothing else."""

import base64
import hashlib
import json
import secrets
from typing import Any

from httpx2 import ASGITransport, AsyncClient
from joserfc import jws
from joserfc.jwk import ECKey
from litestar import Litestar, Request, Response, get
from litestar.di import NamedDependency, Provide

from server import problems
from server.db import Database, Transaction
from server.identity import routes
from server.identity.guard import PERSON, Authentication, allow, guard, provide_actor
from server.identity.model import Actor, Device, IdentitySettings, Role
from server.identity.service import IdentityService, operator
from server.identity.tokens import TokenKeys
from tests.fakes.clock import FrozenClock

ORIGIN = "http://testserver.local"
SECOND_ORIGIN = "http://localhost:8765"
KEYS = TokenKeys([hashlib.sha256(b"token key of the tests").digest()])


def b64u(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(key: ECKey, header: dict[str, Any], payload: dict[str, Any] | bytes) -> str:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return jws.serialize_compact(
        header, raw, key, registry=jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)
    )


class Phone:
    """Session and approval key, and the tokens of the last answer."""

    def __init__(self, clock: FrozenClock) -> None:
        self.clock = clock
        self.session = ECKey.generate_key("P-256")
        self.approval = ECKey.generate_key("P-256")
        self.access = ""
        self.refresh_token = ""
        self.device = ""

    @staticmethod
    def public(key: ECKey) -> dict[str, Any]:
        return {name: key.as_dict(private=False)[name] for name in ("kty", "crv", "x", "y")}

    def proof(self, method: str, url: str, token: str | None = None, *, key: ECKey | None = None, **claims: Any) -> str:
        key = key or self.session
        payload: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16), "htm": method, "htu": url.split("?", maxsplit=1)[0], "iat": self.clock.now_us() // 1_000_000,
        }  # fmt: skip
        if token is not None:
            payload["ath"] = b64u(hashlib.sha256(token.encode()).digest())
        payload.update(claims)
        return sign(key, {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.public(key)}, payload)

    def headers(self, method: str, path: str, token: str | None = None) -> dict[str, str]:
        token = token or self.access
        return {"Authorization": f"DPoP {token}", "DPoP": self.proof(method, ORIGIN + path, token)}

    async def call(self, client: AsyncClient, method: str, path: str, token: str | None = None, **options: Any) -> Any:
        keyed = {"Idempotency-Key": secrets.token_urlsafe(16)} if method == "POST" else {}
        headers = {**keyed, **options.pop("headers", {}), **self.headers(method, path, token)}
        return await client.request(method, path, headers=headers, **options)

    async def redeem(self, client: AsyncClient, code: str) -> Any:
        body = {
            "code": code, "session_jwk": self.public(self.session), "approval_jwk": self.public(self.approval), "label": "Điện thoại mẫu",
            "platform": "web",
        }  # fmt: skip
        path = "/api/v1/pairings/redeem"
        answer = await client.post(path, json=body, headers={"DPoP": self.proof("POST", ORIGIN + path)})
        if answer.status_code == 200:
            self.device = answer.json()["device"]["id"]
            self.keep(answer.json()["tokens"])
        return answer

    async def refresh(self, client: AsyncClient, token: str | None = None, *, key: ECKey | None = None) -> Any:
        path = "/api/v1/oauth/token"
        form = {"grant_type": "refresh_token", "refresh_token": token or self.refresh_token}
        return await client.post(path, data=form, headers={"DPoP": self.proof("POST", ORIGIN + path, key=key)})

    def keep(self, tokens: dict[str, Any]) -> None:
        self.access, self.refresh_token = tokens["access_token"], tokens["refresh_token"]


class Log:
    """Keeps what was written in the transactions that reached their end."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str, dict[str, Any]]] = []

    async def append(
        self, tx: Transaction, kind: str, *, organisation: str, actor: str, subject: str, body: Any
    ) -> None:
        tx.after_commit(lambda: self.events.append((kind, actor, subject, body)))

    def kinds(self) -> list[str]:
        return [kind for kind, *_ in self.events]


class House:
    """Identity over one database handle, with the people that the tests need."""

    def __init__(self, db: Database, clock: FrozenClock, *, fail: bool = False) -> None:
        self.db, self.clock, self.log = db, clock, Log()
        self.voided: list[str] = []

        async def hook(tx: Transaction, device: Device) -> None:
            await tx.execute("UPDATE devices SET label = 'voided' WHERE id = $1", device.id)
            if fail:
                raise RuntimeError("the hook fails")
            tx.after_commit(lambda: self.voided.append(device.id))

        settings = IdentitySettings(origins=(ORIGIN, SECOND_ORIGIN), vapid_key="sample-vapid-key")
        self.identity = IdentityService(
            db, clock, KEYS, settings, self.log, signer_key="sample-signer-thumbprint", on_device_revoked=[hook]
        )

    async def organisation(self, code: str = "000.00.01.H99") -> Actor:
        made = await self.identity.create_organisation(code, f"Cơ quan mẫu {code}")
        return operator(made.id)

    async def paired(
        self, client: AsyncClient, admin: Actor, *roles: Role, name: str = "Người mẫu"
    ) -> tuple[str, Phone]:
        person = await self.identity.create_person(admin, name=name, roles=roles)
        phone = Phone(self.clock)
        answer = await phone.redeem(client, (await self.identity.pairing_code(admin, person.id)).code.reveal())
        assert answer.status_code == 200, answer.text
        return person.id, phone

    def client(self) -> AsyncClient:
        """Calls on the test's own event loop, which a pool of connections is bound to."""
        transport = ASGITransport(app=application(self.identity), raise_app_exceptions=False)  # type: ignore[arg-type]
        return AsyncClient(transport=transport, base_url=ORIGIN)


@get("/trivial", opt=allow(roles=PERSON, scopes={"documents:read"}), sync_to_thread=False)
def trivial(actor: NamedDependency[Actor]) -> dict[str, str]:
    return {"id": actor.id}


@get("/undeclared", sync_to_thread=False)
def undeclared() -> dict[str, str]:
    return {"secret": "content"}


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return problems.handle(request, error)


def application(identity: IdentityService) -> Litestar:
    return Litestar(
        [*routes.HANDLERS, trivial, undeclared],
        middleware=[Authentication(identity)],
        guards=[guard],
        dependencies={
            "actor": Provide(provide_actor, sync_to_thread=False),
            "identity": Provide(lambda: identity, sync_to_thread=False),
            "clock": Provide(lambda: identity._clock, sync_to_thread=False),
        },
        exception_handlers={Exception: answer_error},
        openapi_config=None,
    )
