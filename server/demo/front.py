"""The server of a demonstration that keeps serving: the product in embedded mode, with what only a demonstration has put around it.

    python -m server.demo.front --config FILE --page http://127.0.0.1:PORT

* `GET /demo` leads to the demonstration's page, which has an origin of its own: it can touch no key of the clients that it frames.
* `GET /demo/fresh?key=…` opens the client with nothing kept from an earlier demonstration at the same address (Clear-Site-Data).
* The client's own page may be framed by that page, and by nothing else.
* SIGUSR1 ends the worker of this process, because one in a process of its own has taken over: that one can be killed.

`DEMO_PAGE_KEY` in the environment is the key of `/demo/fresh`. `hoatoc serve` knows nothing of all this.
"""

import argparse
import asyncio
import hmac
import os
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from server.cli.run import run_server
from server.logs import configure
from server.settings import load
from server.wiring import Wiring

__all__ = ["Front"]

_CLIENT = {"/", "/pair"}
_NOBODY = b"frame-ancestors 'none'"
_BARE = [
    (b"content-security-policy", b"default-src 'none'; " + _NOBODY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Front:
    """`app` with the three additions. `page`: origin of the demonstration's page; `key` may be asked for by nobody else."""

    def __init__(self, app: ASGIApp, *, page: str, key: str) -> None:
        self._app = app
        self._page = page
        self._key = key
        self._framed_by = f"frame-ancestors {page}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == ScopeType.HTTP else ""
        if path == "/demo":
            await _answer(send, 307, [(b"location", f"{self._page}/".encode())])
        elif path == "/demo/fresh" and self._knows_key(scope):
            # What follows # stays with the browser on its way to /pair.
            await _answer(send, 303, [(b"location", b"/pair"), (b"clear-site-data", b'"cache", "storage"')])
        elif path in _CLIENT:
            await self._app(scope, receive, self._framed(send))
        else:
            await self._app(scope, receive, send)

    def _knows_key(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("key", [""])[0]
        return hmac.compare_digest(given.encode(), self._key.encode())

    def _framed(self, send: Send) -> Send:
        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (name, value.replace(_NOBODY, self._framed_by) if name == b"content-security-policy" else value)
                    for name, value in message["headers"]
                    if name != b"x-frame-options"
                ]
            await send(message)

        return framed


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [*_BARE, *headers]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _around(page: str, key: str) -> Callable[[Wiring, ASGIApp], ASGIApp]:
    tasks: set[asyncio.Task[None]] = set()

    def around(wiring: Wiring, app: ASGIApp) -> ASGIApp:
        def hand_over() -> None:
            task = asyncio.get_running_loop().create_task(wiring.stop_worker())
            tasks.add(task)

        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, hand_over)
        return Front(app, page=page, key=key)

    return around


def main() -> None:
    parser = argparse.ArgumentParser(description="The server of a demonstration.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--page", required=True, help="origin of the demonstration's page")
    arguments = parser.parse_args()
    settings = load(arguments.config, os.environ)
    configure(level=settings.server.log_level)
    run_server(settings, _around(arguments.page, os.environ["DEMO_PAGE_KEY"]))


if __name__ == "__main__":
    main()
