"""A line between two parties: a relay on loopback that can be cut and joined again.

While it is cut nobody listens at its port and open connections are gone, as when a network is down: the next connection is refused by
the machine. What is behind it goes on.
"""

import asyncio
import contextlib
from typing import Self
from urllib.parse import urlsplit

__all__ = ["Line"]

_CHUNK = 1 << 16


class Line:
    """`async with Line(url) as line`: what connects to `line.url` reaches `url`, until `cut()`, and again after `join()`.

    `port` 0 takes a free one, which the line keeps.
    """

    def __init__(self, url: str, *, port: int = 0) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def joined(self) -> bool:
        return self._server is not None

    async def __aenter__(self) -> Self:
        await self.join()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.cut()

    async def join(self) -> None:
        """Raises OSError when somebody else has taken the port meanwhile."""
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_writer: asyncio.StreamWriter | None = None
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, far_writer))
                both.create_task(_pump(far_reader, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # one side left, which ends the other
        finally:
            for end in (writer, far_writer):
                if end is not None:
                    end.transport.abort()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK):
        target.write(chunk)
        await target.drain()
    with contextlib.suppress(OSError):
        target.write_eof()
