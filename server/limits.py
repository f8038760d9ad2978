"""Rate limits (threats C7, D13): how many calls a device, person, service, address or organisation may make in a minute.

A route says its `Rate` in `opt["rate"]`; one that says nothing is a `READ` (GET) or a `WRITE`, or `PUBLIC` when anybody may call
it. Windows are kept in this process, or in Redis for all processes together (`server.limits_redis`), by the generic cell rate
algorithm: `calls` may come at once, then one each `minute / calls`. A refused call is not counted.

While Redis is lost, `READ` and `PUBLIC` are not limited (they fail open). Everything else is counted in the process's own window
until Redis is back, so that no limit ever disappears and no work stops.

There is no limit on what a stranger can name (a client id, a person, a credential): it would let him lock out its owner (A8).
"""

import time
from collections.abc import Iterable, Sequence
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, Protocol

import msgspec
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from server.errors import HoatocError, Refused
from server.identity.guard import access_of
from server.identity.model import Actor
from server.settings import LimitsSettings

MINUTE_US: Final = 60_000_000
_MOST_KEYS: Final = 200_000
_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")


class Rate(StrEnum):
    SESSION = "session"
    """Pairing, resuming, tokens: by address, since nobody is known yet."""
    SIGN = "sign"
    """What reaches the signer with a PIN, and its challenges: by device and by person, never by organisation."""
    INTAKE = "intake"
    WRITE = "write"
    VALIDATE = "validate"
    """A file from outside is judged by a child: by caller, and by address where nobody is signed in."""
    READ = "read"
    PUBLIC = "public"
    APPLICANT = "applicant"
    """The one-stop office's page: by address, and over all addresses together, so that many of them try no more secrets than one."""


OPEN: Final = frozenset({Rate.READ, Rate.PUBLIC})
"""What is not limited while the store of the windows is lost."""


class Window(msgspec.Struct, frozen=True):
    """`calls` in a minute for whoever `key` names."""

    key: str
    calls: int

    @property
    def interval_us(self) -> int:
        return max(1, MINUTE_US // self.calls)


class StoreLostError(HoatocError):
    """The store of the windows does not answer."""

    code = "rate-store-lost"


class Windows(Protocol):
    async def take(self, windows: Sequence[Window]) -> int:
        """Count one call in every window, or in none: 0, or the µs after which to ask again. Raises: StoreLostError."""
        ...


class MemoryWindows:
    """The windows of this process. A key that was not heard of for a minute takes no memory; the least recent goes first."""

    def __init__(self, most_keys: int = _MOST_KEYS) -> None:
        self._full_at: dict[str, int] = {}
        self._most_keys = most_keys

    async def take(self, windows: Sequence[Window]) -> int:
        return self.take_at(windows, time.monotonic_ns() // 1000)

    def take_at(self, windows: Sequence[Window], now_us: int) -> int:
        following = [max(now_us, self._full_at.get(one.key, 0)) + one.interval_us for one in windows]
        wait_us = max((full - MINUTE_US - now_us for full in following), default=0)
        if wait_us > 0:
            return wait_us
        for one, full in zip(windows, following, strict=True):
            self._full_at.pop(one.key, None)
            self._full_at[one.key] = full
        if len(self._full_at) > self._most_keys:
            self._forget(now_us)
        return 0

    def _forget(self, now_us: int) -> None:
        self._full_at = {key: full for key, full in self._full_at.items() if full > now_us}
        for key in list(self._full_at)[: max(0, len(self._full_at) - self._most_keys // 2)]:
            del self._full_at[key]


class Limits:
    """The policy: which windows a call counts in."""

    def __init__(self, windows: Windows, settings: LimitsSettings, trusted_proxies: Iterable[str] = ()) -> None:
        self._windows = windows
        self._own = MemoryWindows()
        self._settings = settings
        self._proxies = networks(trusted_proxies)

    def address(self, scope: Scope) -> str:
        """The client's address: the connection's peer, or what trusted proxies in front of it say."""
        return client_address(scope, self._proxies)

    async def take(self, rate: Rate, actor: Actor | None, address: str) -> None:
        """Count a call. Raises: Refused("rate-limited", retry_after=seconds)."""
        windows = self.windows(rate, actor, address)
        try:
            wait_us = await self._windows.take(windows)
        except StoreLostError:
            if rate in OPEN:
                return
            wait_us = await self._own.take(windows)
        if wait_us > 0:
            raise Refused("rate-limited", retry_after=-(-wait_us // 1_000_000))

    def windows(self, rate: Rate, actor: Actor | None, address: str) -> list[Window]:
        settings = self._settings
        if rate is Rate.APPLICANT:
            mine = Window(f"{rate}:address:{address}", settings.applicants_per_address)
            return [mine, Window(f"{rate}:all", settings.applicants_together)]
        if actor is None:
            calls = {
                Rate.SESSION: settings.sessions_per_address,
                Rate.VALIDATE: settings.validations_per_address,
            }.get(rate, settings.public_per_address)
            return [Window(f"{rate}:address:{address}", calls)]
        caller = f"{rate}:{actor.kind}:{actor.device or actor.id}"
        if rate is Rate.SIGN:
            person = Window(f"{rate}:owner:{actor.id}", settings.signs_per_person)
            return [Window(caller, settings.signs_per_device), person]
        calls = {
            Rate.INTAKE: settings.intakes_per_client,
            Rate.VALIDATE: settings.validations_per_caller,
            Rate.READ: settings.reads_per_caller,
        }.get(rate, settings.writes_per_caller)
        return [Window(caller, calls), Window(f"organisation:{actor.organisation}", settings.calls_per_organisation)]


class RateLimits(ASGIMiddleware):
    """Counts every call, after `Authentication` has said who makes it."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        actor = scope.get("user")
        method = scope["method"] if scope["type"] == ScopeType.HTTP else "GET"
        rate = rate_of(scope["route_handler"].opt, method)
        known = actor if isinstance(actor, Actor) else None
        await self._limits.take(rate, known, "" if known is not None else self._limits.address(scope))
        await next_app(scope, receive, send)


def rate_of(opt: dict[str, Any], method: str) -> Rate:
    """The rate of a route: as declared, else by who may call and by its method."""
    declared = opt.get("rate")
    if isinstance(declared, Rate):
        return declared
    access = access_of(opt)
    if access is None or access.open:
        return Rate.PUBLIC
    return Rate.READ if method in {"GET", "HEAD"} else Rate.WRITE


Network = IPv4Network | IPv6Network


def networks(proxies: Iterable[str]) -> tuple[Network, ...]:
    """Of addresses and networks, which the settings have checked."""
    return tuple(ip_network(one, strict=False) for one in proxies)


def client_address(scope: Scope, proxies: Sequence[Network]) -> str:
    """An IPv4 address, or the /64 of an IPv6 address, which is what one subscriber has.

    `X-Forwarded-For` is read only when the peer itself is a trusted proxy, from the right, as far as trusted proxies reach: what
    stands to the left was written by the client. `Forwarded` is not read.
    """
    peer = scope.get("client")
    found = peer[0] if peer else ""
    if proxies and _within(found, proxies):
        said = ",".join(
            value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"x-forwarded-for"
        )
        for hop in reversed([part.strip() for part in said.split(",") if part.strip()][-16:]):
            if _parsed(hop) is None:
                break
            found = hop
            if not _within(hop, proxies):
                break
    return _named(found)


def is_local(scope: Scope) -> bool:
    """Whether this machine itself calls, and not a proxy on it for somebody else."""
    forwarded = any(name.lower() in {b"x-forwarded-for", b"forwarded", b"via"} for name, _ in scope["headers"])
    peer = scope.get("client")
    return peer is not None and not forwarded and _within(peer[0], networks(_LOOPBACK))


def _parsed(text: str) -> Any:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _within(text: str, proxies: Sequence[Network]) -> bool:
    address = _parsed(text)
    return address is not None and any(address in one for one in proxies)


def _named(text: str) -> str:
    address = _parsed(text)
    if address is None:
        return text[:64]
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else str(address)
