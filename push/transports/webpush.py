"""Web Push (RFC 8030) to browsers, and to UnifiedPush servers, which speak the same wire.

The endpoint is a client's choice, so a connection is made only to an address that was looked at: the name is resolved once, every
answer must be public, and the connection goes to one of these addresses with the name in TLS (threat C10). The client below follows
no redirect and reads no proxy from the environment, because httpcore knows neither.
"""

import asyncio
import secrets
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import httpcore2
import msgspec

from push.encryption import MAX_PLAINTEXT, encrypt
from push.model import Address, AddressKind, PushError, Urgency
from push.outcome import (
    Delivered,
    Misconfigured,
    Outcome,
    Rejected,
    RetryAfter,
    RetryCause,
    Scope,
    SenderProof,
    TokenDead,
    parse_retry_after,
)
from push.payload import Payload, PayloadTooLargeError, check_size
from push.subscription import Endpoint, EndpointPolicy, EndpointRefusedError, Subscription, SubscriptionError, is_public
from push.vapid import VapidKey

__all__ = ["Resolve", "WebPushTransport"]

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""A name and a port to its IP addresses, in the order in which they are to be tried. Raises OSError."""

_URGENCY: Final = {Urgency.PASSIVE: b"low", Urgency.ACTIVE: b"normal", Urgency.TIME_SENSITIVE: b"high"}
# All our payloads are shorter, so the service cannot tell one kind from another by its size.
_PADDED: Final = 256
_ANSWER_BYTES: Final = 16 * 1024
_TRIED: Final = 3
_SENDERS: Final = 64


class AddressRefusedError(PushError):
    """The endpoint's name leads to an address that is not public, now, whatever it did before."""

    code = "endpoint-address-refused"


class WebPushTransport:
    """One lane's connections to push services. Belongs to the event loop that first sends with it.

    `connections`: open at most, to all services together. `timeout_s` bounds each phase, three times it the whole call. `resolve` is
    the system's resolver, `tls` the system's trust unless told otherwise.
    """

    def __init__(
        self,
        vapid: VapidKey,
        policy: EndpointPolicy,
        *,
        connections: int = 16,
        timeout_s: float = 10.0,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._vapid = vapid
        self._policy = policy
        self._connections = connections
        self._timeout_s = timeout_s
        self._tls = tls
        self._now_s = now_s
        self._backend = _GuardedBackend(policy, resolve or _resolve)
        self._opening = asyncio.Lock()
        self._pool: httpcore2.AsyncConnectionPool | None = None
        self._proofs: dict[str, SenderProof] = {}
        self._closed = False

    async def send(self, address: Address, payload: Payload) -> Outcome:
        """Send once. The subscription's endpoint is checked here again, though it was when it was registered."""
        try:
            check_size(payload)
            if address.kind is not AddressKind.SUBSCRIPTION:
                return Rejected("wrong-address-kind")
            subscription = Subscription.parse(address.value)
            endpoint = self._policy.check(subscription.endpoint)
        except (PayloadTooLargeError, SubscriptionError, EndpointRefusedError) as error:
            return Rejected(error.code) if isinstance(error, PayloadTooLargeError) else TokenDead(error.code)
        plaintext = msgspec.json.encode(payload.data)
        if len(plaintext) > MAX_PLAINTEXT:
            return Rejected(PayloadTooLargeError.code)
        body = encrypt(plaintext, point=subscription.point, auth=subscription.auth, padded=_PADDED)
        try:
            async with asyncio.timeout(3 * self._timeout_s):
                status, retry_after = await self._post(endpoint, payload, body)
        except AddressRefusedError as error:
            # An attack, or a resolver of ours that lies: neither says that the address is dead.
            return Misconfigured(error.code, Scope.PLATFORM)
        except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, OSError, TimeoutError):
            return RetryAfter(RetryCause.UNREACHABLE)
        return self._judge(endpoint, status, retry_after)

    async def close(self) -> None:
        self._closed = True
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None

    async def _post(self, endpoint: Endpoint, payload: Payload, body: bytes) -> tuple[int, str | None]:
        pool = await self._open()
        usual = {"https": 443, "http": 80}[endpoint.scheme]
        host = endpoint.host if endpoint.port == usual else f"{endpoint.host}:{endpoint.port}"
        headers = [
            (b"Host", host.encode()),
            (b"Authorization", self._vapid.authorization(endpoint.origin, self._now_s()).encode()),
            (b"TTL", str(payload.ttl_s).encode()),
            (b"Urgency", _URGENCY[payload.urgency]),
            (b"Content-Encoding", b"aes128gcm"),
            (b"Content-Type", b"application/octet-stream"),
            (b"Content-Length", str(len(body)).encode()),
        ]
        if payload.collapse_id is not None:
            headers.append((b"Topic", payload.collapse_id.encode()))
        url = httpcore2.URL(
            scheme=endpoint.scheme.encode(),
            host=endpoint.host.encode(),
            port=endpoint.port,
            target=endpoint.target.encode(),
        )
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)
        async with pool.stream("POST", url, headers=headers, content=body, extensions={"timeout": limits}) as answer:
            # A short answer is read so that the connection can be used again; a long one is not ours to read.
            size = 0
            async for part in answer.aiter_stream():
                size += len(part)
                if size > _ANSWER_BYTES:
                    break
            wait = next((value for name, value in answer.headers if name.lower() == b"retry-after"), None)
            return answer.status, None if wait is None else wait[:64].decode("ascii", "replace")

    async def _open(self) -> httpcore2.AsyncConnectionPool:
        async with self._opening:
            if self._closed:
                raise httpcore2.ConnectError("closed")
            if self._pool is None:
                # Reading the system's certificates takes tens of milliseconds.
                self._tls = self._tls or await asyncio.to_thread(ssl.create_default_context)
                self._pool = httpcore2.AsyncConnectionPool(
                    ssl_context=self._tls,
                    max_connections=self._connections,
                    max_keepalive_connections=self._connections,
                    keepalive_expiry=60.0,
                    network_backend=self._backend,
                )
            return self._pool

    def _judge(self, endpoint: Endpoint, status: int, retry_after: str | None) -> Outcome:
        """RFC 8030 §5 and the services' own words; the body, which is hostile input, decides nothing."""
        if status in {200, 201, 202, 204}:
            self._proof(endpoint).accepted()
            return Delivered(f"webpush-{secrets.token_hex(8)}")
        if status in {404, 410}:
            return TokenDead("unregistered")
        wait = parse_retry_after(retry_after, self._now_s())
        if status == 413:
            return Rejected(PayloadTooLargeError.code)
        if status == 429:
            return RetryAfter(RetryCause.QUOTA, wait)
        if status == 403:
            # "Made with another VAPID key": true of one subscription, or of our key.
            verdict = self._proof(endpoint).mismatch()
            return verdict if isinstance(verdict, TokenDead) else Misconfigured("vapid-key-refused", Scope.PLATFORM)
        if status == 401:
            return Misconfigured("vapid-token-refused", Scope.PLATFORM)
        if status >= 500:
            return RetryAfter(RetryCause.UNAVAILABLE, wait)
        if status >= 400:
            return Rejected("invalid-request")
        # A redirect is not followed, and no push service gives one: something stands between.
        return RetryAfter(RetryCause.UNREACHABLE, wait)

    def _proof(self, endpoint: Endpoint) -> SenderProof:
        while len(self._proofs) >= _SENDERS and endpoint.origin not in self._proofs:
            del self._proofs[next(iter(self._proofs))]
        return self._proofs.setdefault(endpoint.origin, SenderProof())


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Resolves once, looks at every address, connects to what it has looked at."""

    def __init__(self, policy: EndpointPolicy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout("the name was not resolved in time") from None
        if not self._policy.is_private(host, port) and not all(map(is_public, addresses)):
            raise AddressRefusedError("the name leads to an address that is not public")
        fault: Exception = httpcore2.ConnectError("the name has no address")
        for address in addresses[:_TRIED]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                fault = error
        raise fault

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that IDNA cannot say
        raise OSError("not a name") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
