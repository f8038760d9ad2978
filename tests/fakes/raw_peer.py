"""A server of raw bytes, for what no HTTP server of a library would say."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Event], Awaitable[None]]


@contextlib.asynccontextmanager
async def peer(serve: Serve) -> AsyncIterator[str]:
    """Its address. `serve` has one connection and an event that is set when the server ends; afterwards the connection is aborted."""
    ends = asyncio.Event()
    tasks = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await serve(reader, writer, ends)
        finally:
            writer.transport.abort()

    # Small buffers: what a server does not read stays with its client.
    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 10)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        ends.set()
        server.close()
        await asyncio.gather(*tasks)
