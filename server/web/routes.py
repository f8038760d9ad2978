"""The web client over HTTP: its page, its files, its service worker, its icons.

Nothing here is written to disk or fetched from elsewhere. Files are read once a process and compressed in a thread when somebody first
asks, each answered with an ETag.
The policy lets no inline script, no string into a script sink (Trusted Types) and no request outside this origin (threats C8, C9).
"""

import asyncio
import gzip
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import brotli
import msgspec
from litestar import Request, Response, get
from litestar.params import PathParameter

from server.errors import Refused
from server.identity.guard import public
from server.web import icon, joined, phrases, spare

_STATIC: Final = Path(__file__).parent / "static"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; manifest-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types hoatoc"
)
_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
# By preference; the second part ends the ETag, since the bytes differ (RFC 9110 §8.8.3.3).
_CODINGS: Final[dict[str, tuple[str, Callable[[bytes], bytes]]]] = {
    "br": ("-br", brotli.compress),
    "gzip": ("-gz", lambda body: gzip.compress(body, 9, mtime=0)),
    "": ("", bytes),
}
_PNGS: Final = {f"icon-{size}.png": size for size in (180, 192, 512)}


class File(msgspec.Struct, frozen=True):
    """A file as it is, with `tag` of the first 32 hex digits of its SHA-256."""

    body: bytes
    media_type: str
    tag: str


def _file(body: bytes, suffix: str) -> File:
    return File(body, _TYPES[suffix], hashlib.sha256(body).hexdigest()[:32])


@cache
def scripts() -> joined.Scripts:
    """What is sent of the modules, and under which names the first file exports what is theirs."""
    bare = {
        path.stem: spare.script(path.read_bytes()).decode() for path in [*_STATIC.glob("js/*.js"), _STATIC / "sw.js"]
    }
    bare = phrases.columns(bare, "texts")
    drawing = bare.pop("sw")
    return joined.scripts(bare, drawing)


@cache
def files() -> dict[str, File]:
    """Every file of the client by its path."""
    sent = scripts()
    found = dict(_assets(sent.modules))
    found["/"] = found["/pair"] = _file((_STATIC / "index.html").read_bytes(), ".html")
    found["/manifest.webmanifest"] = _file(_manifest(), ".webmanifest")
    # The worker names the files of one version of the client, so that a page never mixes two.
    version = hashlib.sha256("".join(f"{path} {file.tag}\n" for path, file in sorted(found.items())).encode())
    shell = json.dumps(
        {"version": version.hexdigest()[:16], "files": sorted(set(found) - {"/pair"})}, separators=(",", ":")
    )
    worker = f"const SHELL={shell};\n".encode() + sent.worker
    found["/sw.js"] = _file(worker, ".js")
    return found


def _assets(scripts: dict[str, bytes]) -> Iterator[tuple[str, File]]:
    yield "/assets/icon.svg", _file(icon.svg().encode(), ".svg")
    yield "/assets/app.css", _file(spare.style((_STATIC / "app.css").read_bytes()), ".css")
    for name, script in scripts.items():
        yield f"/assets/js/{name}.js", _file(script, ".js")


def _manifest() -> bytes:
    """Web app manifest (W3C): installable, in its own window, upright."""
    icons: list[dict[str, str]] = [
        {"src": f"/assets/icon-{size}.png", "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose}
        for size in (192, 512)
        for purpose in ("any", "maskable")
    ]
    value: dict[str, Any] = {
        "name": "Hỏa Tốc",
        "short_name": "Hỏa Tốc",
        "description": "Đọc và ký văn bản khẩn trên điện thoại",
        "lang": "vi",
        "id": "/",
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "orientation": "portrait",
        "background_color": "#ffffff",
        "theme_color": icon.RED,
        "icons": icons,
    }
    return json.dumps(value, ensure_ascii=False).encode()


_packed: Final[dict[tuple[str, str], bytes]] = {}
_packing: Final = threading.Lock()


def packed(path: str, coding: str) -> bytes:
    """The file in a content coding ("br", "gzip", "" for none); the first call compresses. Raises: KeyError."""
    with _packing:
        if (path, coding) not in _packed:
            _packed[path, coding] = _CODINGS[coding][1](files()[path].body)
        return _packed[path, coding]


def _coding(accepted: str) -> str:
    """The best coding that an Accept-Encoding names and does not weigh 0 (RFC 9110 §12.5.3)."""
    weights = {
        name.strip(): weight.replace(" ", "")
        for name, _, weight in (one.partition(";") for one in accepted.lower().split(","))
    }
    return next((one for one in _CODINGS if one in weights and not re.fullmatch(r"q=0(\.0*)?", weights[one])), "")


async def _answer(request: Request[Any, Any, Any], path: str) -> Response[bytes]:
    """The file or 304, packed as well as the client takes it. Raises: Refused("not-found")."""
    coding = _coding(request.headers.get("accept-encoding", ""))
    body = _packed.get((path, coding))
    if body is None:
        # Not on the event loop: all files at brotli's best take a quarter of a second.
        try:
            body = await asyncio.to_thread(packed, path, coding)
        except KeyError:
            raise Refused("not-found") from None
    file = files()[path]
    headers = {
        "ETag": f'"{file.tag}{_CODINGS[coding][0]}"',
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
        "Content-Security-Policy": POLICY,
    }
    if headers["ETag"] in {one.strip() for one in request.headers.get("if-none-match", "").split(",")}:
        return Response(content=b"", status_code=304, headers=headers)
    if coding:
        headers["Content-Encoding"] = coding
    return Response(content=body, media_type=file.media_type, headers=headers)


# A pairing link ends in /pair#code=…: the part behind # never leaves the phone with a request.
@get(["/", "/pair", "/sw.js", "/manifest.webmanifest"], opt=public(), include_in_schema=False, operation_id="webClient")
async def page(request: Request[Any, Any, Any]) -> Response[bytes]:
    return await _answer(request, request.scope["path"])


@get("/assets/{name:path}", opt=public(), include_in_schema=False, operation_id="webClientFile")
async def asset(request: Request[Any, Any, Any], name: Annotated[str, PathParameter(max_length=80)]) -> Response[bytes]:
    size = _PNGS.get(name.lstrip("/"))
    if size is None:
        return await _answer(request, f"/assets/{name.lstrip('/')}")
    body = await asyncio.to_thread(icon.png, size)
    return Response(content=body, media_type="image/png", headers={"Cache-Control": "public, max-age=86400"})


HANDLERS: list[Any] = [page, asset]
