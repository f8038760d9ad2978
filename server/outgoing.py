"""Calls to addresses that the configuration names or that were looked at: time stamps, certificates' status, the axis, webhooks (threats C10, C11).

HTTP/1.1 over connections that are used again while they are fresh. No redirect is followed; no proxy, credential, cookie or
authority comes from the environment. What answers is hostile input: it is asked for, and read, uncompressed (a compressed answer
could expand beyond every bound), and read in pieces that the caller bounds.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from typing import Any, Final

import aiohttp

__all__ = ["CHUNK", "Answer", "AnswerTooLarge", "NoAnswer", "NotSent", "Outgoing"]

CHUNK: Final = 1 << 18
_FRESH_S: Final = 5.0
"""A connection that was idle for longer may be closed by its peer at any moment, and is not used again."""


class NoAnswer(Exception):  # noqa: N818 - what happened
    """No answer, or none whole. Whether the request arrived is not known. `code` is a stable word without any address."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NotSent(NoAnswer):
    """Nothing of the request has left: no usable address, no connection, or no free one in time."""


class AnswerTooLarge(NoAnswer):
    """More bytes than the caller wants; the rest was not read."""


class Answer:
    """Status, headers (names in any case) and a body that is still to be read."""

    def __init__(self, response: aiohttp.ClientResponse, read_s: float) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._content = response.content
        self._read_s = read_s

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, never an empty piece. Raises: NoAnswer where it ends too early or a piece does not come in time."""
        while True:
            try:
                # Timed here too: where a later piece cannot be parsed, the library stops its own time and wakes nobody.
                async with asyncio.timeout(self._read_s):
                    chunk = await self._content.readany()
            except (aiohttp.ClientError, OSError) as error:
                raise _no_answer(error) from error
            if not chunk:
                return
            yield chunk

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises: AnswerTooLarge beyond `limit` bytes; NoAnswer."""
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise AnswerTooLarge("answer-too-large")
        return bytes(body)


class Outgoing:
    """At most `connections` at a time. `read_s` bounds each wait for the peer to take or to give, and the wait for a free
    connection; `connect_s` opening one, TLS included. Belongs to the event loop that first calls.
    """

    def __init__(
        self, *, read_s: float, connect_s: float | None = None, connections: int = 100, agent: str = "hoatoc"
    ) -> None:
        self._read_s = read_s
        self._connect_s = read_s if connect_s is None else connect_s
        self._connections = connections
        self._headers = {"User-Agent": agent, "Accept-Encoding": "identity"}
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    @contextlib.asynccontextmanager
    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] = b"",
        read_s: float | None = None,
        tls_name: str | None = None,
    ) -> AsyncIterator[Answer]:
        """One request; the answer's body is read inside the context, and what is left unread ends the connection.

        A `body` that is not bytes comes with its Content-Length in `headers`. `tls_name`: whom the certificate must name where the
        URL has a mere address. A GET is asked once more where a connection that was used before turns out to be closed; any other
        request is sent once. Raises: NoAnswer, NotSent.
        """
        _line.set(None)
        read_s = read_s or self._read_s
        try:
            response = await self._begin(method, url, headers, body, read_s, tls_name)
        except BaseException as error:
            line = _line.get()
            if line is not None:
                # Closing alone would go on sending what is buffered, long after the caller judged what became of it.
                line.abort()
            if not isinstance(error, (aiohttp.ClientError, OSError)):
                raise
            if line is None:
                late = isinstance(error, TimeoutError)
                raise NotSent("no-connection-in-time" if late else "no-connection") from error
            raise _no_answer(error) from error
        try:
            yield Answer(response, read_s)
        finally:
            # An answer that was read whole has given its connection back already.
            line = response.connection and response.connection.transport
            if line is not None:
                line.abort()
            response.close()

    async def _begin(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: bytes | AsyncIterator[bytes],
        read_s: float,
        tls_name: str | None,
    ) -> aiohttp.ClientResponse:
        session = self._session or self._open()
        if self._tls is None and url[:6].lower() == "https:":
            # Reading the system's authorities takes tens of milliseconds.
            self._tls = await asyncio.to_thread(_authorities)
        limits = aiohttp.ClientTimeout(
            total=None, connect=read_s + self._connect_s, sock_connect=self._connect_s, sock_read=read_s
        )
        options: dict[str, Any] = {
            "headers": headers,
            "timeout": limits,
            "allow_redirects": False,
            "ssl": self._tls or True,
            "server_hostname": tls_name,
        }
        if isinstance(body, bytes):
            return await session.request(method, url, data=body if method == "POST" else None, **options)
        # The library times what it reads; what the peer does not take is timed here.
        async with asyncio.timeout(None) as patience:
            return await session.request(method, url, data=_watched(body, patience, read_s), **options)

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=_Connector(limit=self._connections, keepalive_timeout=_FRESH_S),
            headers=self._headers,
            skip_auto_headers=("Content-Type",),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=CHUNK,
            trust_env=False,
        )
        return self._session


_line: ContextVar[asyncio.Transport | None] = ContextVar("_line", default=None)
"""The connection of this task's call; none as long as nothing can have left."""


class _Connector(aiohttp.TCPConnector):
    async def connect(self, *given: Any, **options: Any) -> Any:
        connection = await super().connect(*given, **options)
        _line.set(connection.transport)
        return connection


async def _watched(body: AsyncIterator[bytes], patience: asyncio.Timeout, wait_s: float) -> AsyncIterator[bytes]:
    """The body, each piece of which the peer has to take in time."""
    loop = asyncio.get_running_loop()
    patience.reschedule(loop.time() + wait_s)
    async for chunk in body:
        yield chunk
        with contextlib.suppress(RuntimeError):  # the answer came before the whole body was sent; reading it is timed
            patience.reschedule(loop.time() + wait_s)


def _no_answer(error: Exception) -> NoAnswer:
    if isinstance(error, TimeoutError):
        return NoAnswer("no-answer-in-time")
    return NoAnswer("no-http" if isinstance(error, aiohttp.ClientResponseError) else "connection-lost")


def _authorities() -> ssl.SSLContext:
    """The system's authorities, whatever SSL_CERT_FILE and its like say."""
    import httpx2

    return httpx2.create_ssl_context(trust_env=False)
