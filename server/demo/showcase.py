"""The demonstration's page and its controls over HTTP: loopback, an origin of their own, beside the product and not in it.

`GET /` is the page, `GET /state` what its panels show, `POST /controls/{name}` what its buttons do, for `curl` as for the page.
Another site's page gets nothing: a request with a foreign `Host` (DNS rebinding), a foreign `Origin` or a cross-site
`Sec-Fetch-Site` is refused, and no answer may be read from another origin.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, Self

from server.demo.loopback import LoopbackServer, Reply, Request, json_reply

__all__ = ["ControlRefused", "Controls", "Showcase"]

MAX_PDF: Final = 32 * 1024 * 1024
_OWN: Final = Path(__file__).parent / "static"
_CLIENT: Final = Path(__file__).parents[1] / "web" / "static"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


class ControlRefused(Exception):  # noqa: N818 - an answer
    """A button that cannot do its work now, with the reason for people."""

    def __init__(self, code: str, vi: str, en: str) -> None:
        self.code = code
        self.vi = vi
        self.en = en
        super().__init__(code)


class Controls(Protocol):
    """What the page shows and does. Both may raise `ControlRefused`."""

    async def state(self) -> dict[str, Any]: ...

    async def act(self, name: str, query: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
        """None for an unknown name."""
        ...


class Showcase:
    """`async with Showcase(port=…, frames=…) as page` serves the page; its buttons work from `open` on. `frames`: the clients' origins."""

    def __init__(self, *, port: int, frames: Sequence[str]) -> None:
        self._frames = tuple(frames)
        self._server = LoopbackServer(self._handle, port=port, max_body=MAX_PDF)
        self._controls: Controls | None = None

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.__aexit__(*exc)

    @property
    def url(self) -> str:
        return self._server.url

    def open(self, controls: Controls) -> None:
        self._controls = controls

    async def _handle(self, request: Request) -> Reply:
        if not self._from_here(request):
            return self._dressed(json_reply({"error": {"code": "foreign", "vi": "Không nhận", "en": "Refused"}}, 403))
        match request.method, request.path.split("/")[1:]:
            case "GET", [name] if (file := _files().get(name)) is not None:
                return self._dressed(Reply(200, file[0], file[1]))
            case "GET", ["state"]:
                return self._dressed(await self._answer(request, ""))
            case "POST", ["controls", name]:
                return self._dressed(await self._answer(request, name))
        return self._dressed(json_reply({"error": {"code": "not-found", "vi": "Không có", "en": "Not found"}}, 404))

    def _from_here(self, request: Request) -> bool:
        own = self.url.removeprefix("http://")
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
        if request.headers.get("host") != own or origin not in {None, self.url}:
            return False
        # A link from the product's own /demo leads here; everything else comes from the page itself or from no browser.
        return site in {"same-origin", "none"} or (request.method, request.path) == ("GET", "/")

    async def _answer(self, request: Request, name: str) -> Reply:
        try:
            if self._controls is None:
                raise ControlRefused(
                    "starting", "Phần trình diễn chưa đi hết một vòng, chờ chút.", "The walk is not over yet."
                )
            if not name:
                return json_reply(await self._controls.state())
            said = await self._controls.act(name, request.query, request.body)
        except ControlRefused as refused:
            return json_reply({"error": {"code": refused.code, "vi": refused.vi, "en": refused.en}}, 409)
        if said is None:
            return json_reply({"error": {"code": "not-found", "vi": "Không có", "en": "Not found"}}, 404)
        return json_reply(said)

    def _dressed(self, reply: Reply) -> Reply:
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
            f"frame-src {' '.join(self._frames)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )
        headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        return Reply(reply.status, reply.body, reply.content_type, headers)


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """The page's files by name; colours, type and the view helper are the client's own, so that both look alike."""
    paths = {
        "": _OWN / "index.html",
        "page.css": _OWN / "page.css",
        "page.js": _OWN / "page.js",
        "texts.js": _OWN / "texts.js",
        "app.css": _CLIENT / "app.css",
        "view.js": _CLIENT / "js" / "view.js",
    }
    files = {name: (path.read_bytes(), _TYPES[path.suffix]) for name, path in paths.items()}
    from server.web import icon

    files["icon.svg"] = (icon.svg().encode(), "image/svg+xml")
    return files
