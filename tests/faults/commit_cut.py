"""Cuts the connection to the database exactly at the COMMIT of the transaction in which one chosen text was stored (threat D10).

On PostgreSQL a proxy reads the wire protocol; on SQLite the writer's connection is wrapped. `took_place` says on which side of the
commit the cut falls: the caller cannot tell the two apart.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

# Simple queries ('Q', length, text, NUL; PostgreSQL documentation, 54.7) and the answer to the one that commits.
_COMMIT, _BEGIN = b"Q\x00\x00\x00\x0bCOMMIT\x00", b"BEGIN ISOLATION LEVEL"
_COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"


class Cut:
    """What is to be cut; `done` counts the cuts that fell."""

    def __init__(self) -> None:
        self.text = ""
        self.took_place = True
        self.done = 0

    def arm(self, text: str, *, took_place: bool) -> None:
        self.text, self.took_place = text, took_place

    def fall(self) -> None:
        self.text = ""
        self.done += 1


class PostgresProxy(Cut):
    """A unix socket in `folder` before the one of the server."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__()
        self._server = f"{parse_qs(urlsplit(url).query)['host'][0]}/.s.PGSQL.5432"
        self._socket = folder / ".s.PGSQL.5432"
        self.url = f"{url.partition('?')[0]}?host={folder}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["PostgresProxy"]:
        server = await asyncio.start_unix_server(self._carry, self._socket)
        try:
            yield self
        finally:
            server.close()

    async def _carry(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(self._server)
        back = asyncio.create_task(self._pump(server, to_client))
        marked = False
        try:
            while chunk := await client.read(1 << 16):
                if _BEGIN in chunk:
                    marked = False
                if self.text and self.text.encode() in chunk:
                    marked = True
                if marked and chunk == _COMMIT:
                    if self.took_place:
                        back.cancel()
                        await asyncio.wait([back])
                        to_server.write(chunk)
                        heard = b""
                        while _COMMITTED not in heard:
                            heard += await server.read(1 << 16)
                    self.fall()
                    return
                to_server.write(chunk)
                await to_server.drain()
        except ConnectionError:
            return
        finally:
            back.cancel()
            to_client.close()
            to_server.close()

    @staticmethod
    async def _pump(server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await server.read(1 << 16):
                to_client.write(chunk)
                await to_client.drain()
            to_client.close()


class SqliteCut(Cut):
    """Wraps the writer's connection of an open `SqliteDatabase`."""

    def __init__(self, database: Any) -> None:
        super().__init__()
        writer, cut, connect = database._writer, self, database._writer._connect
        wrapped: dict[int, Any] = {}

        class Connection:
            def __init__(self, real: sqlite3.Connection) -> None:
                self._real = real
                self._marked = False

            def execute(self, sql: str, parameters: Any = ()) -> Any:
                if sql.startswith("BEGIN"):
                    self._marked = False
                if cut.text and cut.text in dict(parameters or {}).values():
                    self._marked = True
                if sql != "COMMIT" or not self._marked:
                    return self._real.execute(sql, parameters)
                if cut.took_place:
                    self._real.execute(sql)
                cut.fall()
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorname, error.sqlite_errorcode = "SQLITE_IOERR_FSYNC", sqlite3.SQLITE_IOERR
                raise error

            def __getattr__(self, name: str) -> Any:
                return getattr(self._real, name)

        def connected() -> Any:
            real = connect()
            if id(real) not in wrapped:
                wrapped.clear()
                wrapped[id(real)] = Connection(real)
            return wrapped[id(real)]

        writer._connect = connected
