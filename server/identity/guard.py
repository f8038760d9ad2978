"""Who may call: authentication of every request, and authorisation that denies what no route has allowed (threats C1, C2, C5).

A route says in `opt` who may call it: `opt=public()` or `opt=allow(roles=..., scopes=...)`. A route that says nothing is
closed. Persons call with `Authorization: DPoP <token>` and one `DPoP` header; service clients with `Bearer <token>`, or with
DPoP when they sent a proof to the token endpoint, and then only so.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

import msgspec
from litestar.connection import ASGIConnection, Request
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from server.errors import HoatocError, Refused
from server.identity.dpop import Proof, single
from server.identity.model import Actor, Role
from server.identity.proofs import Unspent
from server.identity.service import IdentityService
from server.identity.tokens import ACCESS

_KEY: Final = "access"

SPENDS_ITS_PROOF: Final = {"spends-its-proof": True}
"""For `opt`: the route gives `unspent(request)` to the transaction of its effect."""

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
        opt = scope["route_handler"].opt
        access = access_of(opt)
        if access is None or access.open:
            await next_app(scope, receive, send)
            return
        scheme, token = _authorization(scope)
        proof = request_proof(scope, self._identity, token=token) if scheme == "dpop" else None
        if proof is not None and token.startswith(ACCESS) and SPENDS_ITS_PROOF.keys() <= opt.keys():
            unspent = Unspent(proof)
            scope["proof"] = unspent  # type: ignore[typeddict-unknown-key]
            try:
                scope["user"], scope["auth"] = await self._identity.recognise(token, unspent)
                await next_app(scope, receive, send)
            finally:
                if not unspent.spent:
                    with suppress(
                        HoatocError
                    ):  # another call spent it; and what went wrong before is what the caller hears
                        await self._identity.spend(token, proof)
            return
        scope["user"], scope["auth"] = await self._identity.authenticate(token, proof)
        await next_app(scope, receive, send)


def _authorization(scope: Scope) -> tuple[str, str]:
    """Scheme (`dpop` or `bearer`) and token. Raises: Refused("authentication-required")."""
    authorization = single([value for name, value in scope["headers"] if name == b"authorization"], limit=1024)
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() not in {"dpop", "bearer"} or not token:
        raise Refused("authentication-required")
    return scheme.lower(), token


def unspent(request: Request[Any, Any, Any]) -> Unspent:
    """The proof of a call to a route that `SPENDS_ITS_PROOF`."""
    found = request.scope["proof"]  # type: ignore[typeddict-item]
    assert isinstance(found, Unspent)
    return found


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
