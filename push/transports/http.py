"""POST at full speed to one origin: HTTP/2 over few connections (RFC 9113, h2), HTTP/1.1 where nothing better is offered.

An agency's outbound proxy that opens TLS often speaks HTTP/1.1 only, so that is served too. What the caller is promised:
an answer, or `NoAnswerError`. A request that surely never reached the service (refused by GOAWAY or REFUSED_STREAM) is
sent again on another connection; all else that has no answer is told, because it may have arrived.
"""

import asyncio
import base64
import os
import socket
import ssl
import time
import urllib.request
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol, cast
from urllib.parse import unquote, urlsplit

import certifi
import msgspec

from push.model import PushError
from push.transports.http1 import Http1Connection
from push.transports.http2 import Http2Connection
from push.transports.pending import Answer, LostError, UnsentError

__all__ = ["Answer", "HttpClient", "NoAnswerError", "Origin", "client_tls", "origin_of", "outbound_proxy"]

_RESENDS = 3
_MAX_CONNECT_ANSWER = 16 * 1024
_SWEEP_S = 0.25


class NoAnswerError(PushError):
    """No answer came; whether the service acted on the request is unknown."""

    code = "push-no-answer"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests go. `tls` None speaks plain HTTP/1.1; `proxy` is an `http://` URL asked to CONNECT (RFC 9110, 9.3.6).

    At most `connections` HTTP/2 connections of `streams` requests each, or `plain_connections` of HTTP/1.1.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    proxy: str | None = None
    connections: int = 2
    streams: int = 100
    plain_connections: int = 16

    @property
    def authority(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (80 if self.tls is None else 443) else f"{name}:{self.port}"


def origin_of(base_url: str) -> Origin:
    """The origin of a URL, with this process's authorities and outbound proxy where it is https. Raises ValueError, OSError."""
    parts = urlsplit(base_url)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("the base URL is http or https and has a host")
    if parts.scheme == "http":
        return Origin(host=parts.hostname, port=parts.port or 80, tls=None)
    proxy = outbound_proxy(parts.hostname)
    return Origin(host=parts.hostname, port=parts.port or 443, tls=client_tls(), proxy=proxy)


class _Connection(Protocol):
    """What both versions of HTTP offer to the client."""

    multiplexed: bool

    @property
    def free(self) -> int: ...
    @property
    def usable(self) -> bool: ...
    @property
    def busy(self) -> bool: ...
    def begin(
        self, path: str, headers: tuple[tuple[str, str], ...], body: bytes, until: float
    ) -> asyncio.Future[Answer]: ...
    def abandon(self, future: asyncio.Future[Answer]) -> None: ...
    def expire(self, now: float) -> None: ...
    def close(self) -> None: ...


class HttpClient:
    """Connections to one origin, opened when first needed and replaced when lost. Belongs to one event loop.

    `timeout_s` bounds opening a connection and each answer; waiting for a free place is bounded by three of them.
    """

    def __init__(self, origin: Origin, *, timeout_s: float) -> None:
        self._origin = origin
        self._timeout_s = timeout_s
        self._connections: list[_Connection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._most = origin.connections if origin.tls is not None else origin.plain_connections
        self._closed = False

    async def post(self, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> Answer:
        """Send `body` and wait for the answer. Raises `NoAnswerError`."""
        for _ in range(_RESENDS):
            connection = self._free() or await self._wait_for_place()
            future = connection.begin(path, headers, body, time.monotonic() + self._timeout_s)
            if self._sweeper is None:
                self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
            try:
                return await future
            except UnsentError:
                continue
            except LostError as lost:
                raise NoAnswerError(str(lost)) from None
            except asyncio.CancelledError:
                connection.abandon(future)
                raise
        raise NoAnswerError("refused again and again")

    async def reach(self) -> None:
        """Have a connection, and send nothing. Raises `NoAnswerError`."""
        if self._free() is None:
            await self._wait_for_place()

    async def close(self) -> None:
        """Close all connections; requests under way end with `NoAnswerError`. A second call does nothing."""
        self._closed = True
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._tell_all(LostError("closed"))

    def _free(self) -> _Connection | None:
        if self._waiting:
            return None  # who came first is served first
        return self._with_place()

    def _with_place(self) -> _Connection | None:
        for connection in self._connections:
            if connection.free > 0:
                return connection
        return None

    async def _wait_for_place(self) -> _Connection:
        until = time.monotonic() + 3 * self._timeout_s
        while not self._closed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            self._open_more()
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    await waiter
            except LostError as lost:
                raise NoAnswerError(str(lost)) from None
            except (TimeoutError, asyncio.CancelledError) as error:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
                if isinstance(error, TimeoutError):
                    raise NoAnswerError("no free place") from None
                self._changed()  # the place that this one was woken for is somebody else's
                raise
            if (connection := self._with_place()) is not None:
                return connection
        raise NoAnswerError("closed")

    def _open_more(self) -> None:
        if self._with_place() is not None:
            self._changed()
            return
        usable = sum(connection.usable for connection in self._connections) + len(self._opening)
        # One more at a time for HTTP/2, whose first connection nearly always carries all.
        if usable < self._most and (not self._opening or self._origin.tls is None):
            task = asyncio.get_running_loop().create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if task.cancelled():
            return
        if (error := task.exception()) is None:
            self._changed()
        elif not any(connection.usable for connection in self._connections):
            # Details of TLS and sockets may hold addresses of the inside; their kind is enough.
            self._tell_all(LostError(f"no connection ({type(error).__name__})"))

    async def _open(self) -> None:
        async with asyncio.timeout(self._timeout_s):
            chosen: asyncio.Future[_Connection] = asyncio.get_running_loop().create_future()
            transport = await _connect(self._origin, lambda: _Negotiated(self._origin.streams, self._changed, chosen))
            try:
                connection = await chosen
            except BaseException:
                transport.abort()
                raise
        if not connection.multiplexed:
            self._most = self._origin.plain_connections
        self._connections.append(connection)

    def _changed(self) -> None:
        """A place became free, or a connection was lost: drop what is dead, wake as many as can be served."""
        self._connections = [each for each in self._connections if each.usable or each.busy]
        places = sum(max(connection.free, 0) for connection in self._connections)
        while places and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                places -= 1
        if self._waiting and not places and not self._closed:
            self._open_more()

    def _tell_all(self, error: LostError) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def _sweep(self) -> None:
        self._sweeper = None
        now = time.monotonic()
        for connection in self._connections:
            connection.expire(now)
        if any(connection.busy for connection in self._connections):
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)


class _Negotiated(asyncio.Protocol):
    """Becomes the version of HTTP that was agreed upon in the TLS handshake (RFC 7301)."""

    def __init__(self, streams: int, changed: Any, chosen: "asyncio.Future[_Connection]") -> None:
        self._streams = streams
        self._changed = changed
        self._chosen = chosen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        connection: Http2Connection | Http1Connection
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            connection = Http2Connection(self._streams, self._changed, cast("Any", self._chosen))
        else:
            connection = Http1Connection(self._changed, cast("Any", self._chosen))
        transport.set_protocol(connection)
        connection.connection_made(transport)


async def _connect(origin: Origin, protocol: Any) -> Any:
    loop = asyncio.get_running_loop()
    if origin.proxy is None:
        name = origin.host if origin.tls is not None else None
        made, _ = await loop.create_connection(protocol, origin.host, origin.port, ssl=origin.tls, server_hostname=name)
        return made
    tunnel = await _tunnel(origin)
    try:
        made, _ = await loop.create_connection(protocol, sock=tunnel, ssl=origin.tls, server_hostname=origin.host)
        return made
    except BaseException:
        tunnel.close()
        raise


async def _tunnel(origin: Origin) -> socket.socket:
    """A socket to the origin through the proxy. Raises OSError where the proxy refuses."""
    loop = asyncio.get_running_loop()
    proxy = urlsplit(cast("str", origin.proxy))
    found = await loop.getaddrinfo(proxy.hostname, proxy.port or 80, type=socket.SOCK_STREAM)
    family, kind, number, _name, address = found[0]
    tunnel = socket.socket(family, kind, number)
    try:
        tunnel.setblocking(False)
        await loop.sock_connect(tunnel, address)
        target = f"[{origin.host}]:{origin.port}" if ":" in origin.host else f"{origin.host}:{origin.port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if proxy.username is not None:
            pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
        await loop.sock_sendall(tunnel, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        head = b""
        # In TLS the client speaks first, so nothing of the origin can follow the head already.
        while not head.endswith(b"\r\n\r\n"):
            part = await loop.sock_recv(tunnel, 4096)
            head += part
            if not part or len(head) > _MAX_CONNECT_ANSWER:
                raise ConnectionError("the proxy gave no answer")
        status = head.split(b"\r\n", 1)[0].split(b" ")
        if len(status) < 2 or status[1] != b"200":
            raise ConnectionRefusedError("the proxy refused the tunnel")
    except BaseException:
        tunnel.close()
        raise
    return tunnel


def outbound_proxy(host: str, environment: Mapping[str, str] | None = None) -> str | None:
    """The proxy that `HTTPS_PROXY` and `NO_PROXY` name for a host, as curl and the token's client read them.

    Raises ValueError for a proxy that is not spoken to in plain HTTP.
    """
    found = urllib.request.getproxies() if environment is None else dict(environment)
    proxy = found.get("https")
    if not proxy or urllib.request.proxy_bypass_environment(host, found):  # type: ignore[attr-defined]  # undeclared, public in the module
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if urlsplit(proxy).scheme != "http" or not urlsplit(proxy).hostname:
        raise ValueError("the outbound proxy is an http:// URL")
    return proxy


def client_tls() -> ssl.SSLContext:
    """TLS 1.2 or newer with name and chain checked; authorities from SSL_CERT_FILE or SSL_CERT_DIR, else certifi's list."""
    own = os.environ.get("SSL_CERT_FILE") or None
    folder = os.environ.get("SSL_CERT_DIR") or None
    context = ssl.create_default_context(
        cafile=own if own or folder else certifi.where(), capath=folder if not own else None
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
