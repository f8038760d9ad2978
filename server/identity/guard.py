"""Who may call: authentication of every request, and authorisation that denies what no route has allowed (threats C1, C2, C5).

A route says in `opt` who may call it: `opt=public()` or `opt=allow(roles=..., scopes=...)`. A route that says nothing is
closed. Persons call with `Authorization: DPoP <token>` and one `DPoP` header; service clients with `Bearer <token>`, or with
DPoP when they sent a proof to the token endpoint, and then only so.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec
from litestar.connection import ASGIConnection, Request
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from server.errors import Refused
from server.identity.dpop import Proof, single
from server.identity.model import Actor, Role
from server.identity.service import IdentityService

_KEY: Final = "access"

# With this, every active person of any organisation may call, whatever the roles.
PERSON: Final = frozenset(Role)


class Access(msgspec.Struct, frozen=True):
    """Who may call a route: a person with one of `roles`, or a service with one of `scopes`."""

    open: bool
    roles: frozenset[Role] = frozenset()
    scopes: frozenset[str] = frozenset()

    def admits(self, actor: Actor) -> bool:
        if actor.kind == "person":
            return self.roles == PERSON or not self.roles.isdisjoint(actor.roles)
        return not self.scopes.isdisjoint(actor.scopes)


def public() -> dict[str, Any]:
    """For `opt`: anybody may call; no token is looked at."""
    return {_KEY: Access(open=True)}


def allow(*, roles: Collection[Role] = (), scopes: Collection[str] = ()) -> dict[str, Any]:
    """For `opt`: persons with one of the roles (`PERSON` for all), services with one of the scopes.

    Raises: ValueError when nobody is named.
    """
    if not roles and not scopes:
        raise ValueError("a route that nobody may call is no route")
    return {_KEY: Access(open=False, roles=frozenset(roles), scopes=frozenset(scopes))}


def access_of(opt: Mapping[str, Any]) -> Access | None:
    """What a route declared; None when it declared nothing (the application refuses to start with such a route)."""
    declared = opt.get(_KEY)
    return declared if isinstance(declared, Access) else None


class Authentication(ASGIMiddleware):
    """Puts the `Actor` into `scope["user"]` and the token's end (µs) into `scope["auth"]`, or raises `Refused`."""

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    def __init__(self, identity: IdentityService) -> None:
        self._identity = identity

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        access = access_of(scope["route_handler"].opt)
        if access is not None and not access.open:
            scope["user"], scope["auth"] = await self._authenticate(scope)
        await next_app(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> tuple[Actor, int]:
        authorization = single([value for name, value in scope["headers"] if name == b"authorization"], limit=1024)
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() == "dpop" and token:
            return await self._identity.authenticate(token, request_proof(scope, self._identity, token=token))
        if scheme.lower() == "bearer" and token:
            return await self._identity.authenticate(token, None)
        raise Refused("authentication-required")


def request_proof(scope: Scope, identity: IdentityService, *, token: str | None = None) -> Proof:
    """The verified, unspent proof of a request. Routes that give tokens call this themselves, without a token.

    Raises: Refused("proof-invalid" | "host-unknown").
    """
    proofs, hosts = [], []
    for name, value in scope["headers"]:
        if name == b"dpop":
            proofs.append(value)
        elif name == b"host":
            hosts.append(value)
    path = (scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=-._~").encode()).partition(b"?")[0]
    return identity.check_proof(
        single(proofs), method=scope["method"] if scope["type"] == ScopeType.HTTP else "GET", host=single(hosts, limit=255) or "", path=path.decode("latin-1"), token=token
    )  # fmt: skip


def has_proof(scope: Scope) -> bool:
    return any(name == b"dpop" for name, _ in scope["headers"])


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Litestar guard for the whole application: deny by default. It awaits nothing; a plain function would be called on a thread.

    Raises: Refused("authentication-required" | "forbidden").
    """
    access = access_of(handler.opt)
    if access is not None and access.open:
        return
    actor = connection.scope.get("user")
    if not isinstance(actor, Actor):
        raise Refused("authentication-required")
    if access is None or not access.admits(actor):
        raise Refused("forbidden")


def provide_actor(request: Request[Any, Any, Any]) -> Actor:
    """The dependency `actor: Actor`.

    Raises: Refused("authentication-required") on a public route, which has none.
    """
    actor = request.scope.get("user")
    if not isinstance(actor, Actor):
        raise Refused("authentication-required")
    return actor
