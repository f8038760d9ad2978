"""Small pieces that routes share: cursors, uploads, file answers, the claim on an Idempotency-Key."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec
from litestar import Request, Response
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.params import PathParameter, SkipValidation
from litestar.response import Stream

from server.errors import Refused
from server.identity.model import Role
from server.ids import new_id
from server.once import Once, check_key
from server.storage import Blobs
from server.wire import b64u, from_b64u

T = TypeVar("T")

Given: TypeAlias = NamedDependency[SkipValidation[T]]
"""A dependency that the composition root gives by its name. What it gives needs no validation, and protocols allow none."""

Id = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$", description="Identifier, 32 hexadecimal digits")]
READERS: dict[str, Any] = {"roles": {Role.LEADER, Role.CLERK, Role.STAFF}, "scopes": {"documents:read"}}
"""Who may read documents; which ones, the queries decide."""

_CHUNK = 1 << 18


Whole = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
"""A number of a cursor: what both databases can compare."""
Key = Annotated[str, msgspec.Meta(max_length=64, pattern="^[A-Za-z0-9_-]*$")]


def cursor(value: Any) -> str:
    """An opaque place in a listing."""
    return b64u(msgspec.json.encode(value))


def from_cursor(text: str | None, type_: type[T], default: T) -> T:
    """Raises: Refused("invalid-request") for a cursor that was not ours."""
    if text is None:
        return default
    try:
        return msgspec.json.decode(from_b64u(text), type=type_)
    except msgspec.MsgspecError:
        raise Refused("invalid-request", detail="unknown cursor") from None


def once(request: Request[Any, Any, Any], actor_id: str, asked: bytes, now_us: int) -> Once:
    """The claim of this request on its Idempotency-Key; `asked` is what makes two requests the same.

    Raises: Refused("idempotency-key-missing").
    """
    route = f"{request.method} {request.scope['path']}"
    return Once(
        actor=actor_id, route=route, key=check_key(request.headers.get("idempotency-key")), request=asked, now_us=now_us
    )


def encoded(body: bytes, status: int = 200) -> Response[bytes]:
    """An answer that is JSON already (a stored first answer, a canonical manifest)."""
    return Response(
        content=body, status_code=status, media_type="application/json", headers={"Cache-Control": "no-store"}
    )


async def save_upload(upload: UploadFile, folder: Path, limit: int) -> tuple[Path, str]:
    """Copy an upload to a file of our own in `folder`; gives the path and its SHA-256 in hex.

    Raises: Refused("too-large") beyond `limit` bytes, with nothing left behind.
    """
    path = folder / f"upload-{new_id()}"
    try:
        return path, await asyncio.to_thread(_copy, upload.file, path, limit)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _copy(source: Any, path: Path, limit: int) -> str:
    state = hashlib.sha256()
    size = 0
    source.seek(0)
    with path.open("xb") as target:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > limit:
                raise Refused("too-large", limit=limit)
            state.update(chunk)
            target.write(chunk)
    return state.hexdigest()


async def blob_answer(
    request: Request[Any, Any, Any],
    blobs: Blobs,
    digest: str,
    *,
    media_type: str,
    filename: str | None = None,
    private_s: int = 0,
) -> Response[Any]:
    """The bytes of a blob with its digest as ETag; 304 when the caller has them. Damaged bytes are never sent (D17)."""
    headers = {
        "ETag": f'"{digest}"',
        "Cache-Control": f"private, max-age={private_s}, immutable" if private_s else "private, no-cache",
    }
    if filename is not None:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
        headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    if request.headers.get("if-none-match") == f'"{digest}"':
        return Response(content=b"", status_code=304, headers=headers)
    size = await blobs.size(digest)
    if size <= 1 << 20:
        return Response(content=await blobs.read(digest), media_type=media_type, headers=headers)
    async with blobs.local(digest) as path:
        if await asyncio.to_thread(_digest, path) != digest:
            raise Refused("integrity-failed")
    headers["Content-Length"] = str(size)
    return Stream(_chunks(blobs, digest), media_type=media_type, headers=headers)


async def _chunks(blobs: Blobs, digest: str) -> AsyncIterator[bytes]:
    async with blobs.local(digest) as path:
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
