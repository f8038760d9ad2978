"""Placing a signature revision: fields, stamp and an empty hole for the CMS, appended to an unchanged parent.

What is added is a closed list (the comparison refuses all else): see `signing/README.md`. The parent is copied
and hashed once on the way; memory does not grow with it. Profile: PAdES baseline (EN 319 142-1), no `/Cert`, no
signing-time attribute; `/M` and the stamp's time are the time of preparation.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from signing.pdf.errors import PdfError
from signing.pdf.fields import form_fields
from signing.pdf.placement import FieldKind, Place
from signing.pdf.placing import FieldRect, Placing, PrepareRequest, RouteField, StampText
from signing.pdf.reader import Document, open_document

__all__ = [
    "FieldKind",
    "FieldRect",
    "Place",
    "PrepareRequest",
    "Prepared",
    "RouteField",
    "StampText",
    "copy_hashed",
    "prepare",
    "unused_field_names",
    "write_revision",
]

_CHUNK: Final = 1 << 18


class Prepared(msgspec.Struct, frozen=True):
    """A prepared revision. `tbs` is SHA-256 over both byte ranges; offsets and lengths are bytes.

    The hole is `/Contents` with its angle brackets: `hole_start` is the offset of `<`. It takes `capacity` bytes of
    CMS.
    """

    tbs: bytes
    parent_digest: bytes
    parent_length: int
    byte_range: tuple[int, int, int, int]
    hole_start: int
    hole_length: int
    field_name: str
    page_index: int
    rects: tuple[FieldRect, ...]
    touched_pages: tuple[int, ...]
    size: int
    certified: bool

    @property
    def capacity(self) -> int:
        return (self.hole_length - 2) // 2


def prepare(parent: Path, request: PrepareRequest, out: Path) -> Prepared:
    """Write `parent` with the next signature's revision appended to the new file `out`.

    Raises `PdfError`: what the reader raises; `bad-request`, `not-the-route`, `locked-by-signature`,
    `no-room-for-signature`, `bad-font`; `disk` with nothing left behind.
    """
    _check(request)
    with open_document(parent) as document:
        placing = Placing(document, request)
        tail, hole_start, hole_length = placing.render()
        parent_length = len(document.data)
    size = parent_length + len(tail)
    byte_range = (0, hole_start, hole_start + hole_length, size - hole_start - hole_length)
    parent_digest, tbs = write_revision(parent, parent_length, tail, (hole_start, hole_length), out)
    return Prepared(
        tbs=tbs,
        parent_digest=parent_digest,
        parent_length=parent_length,
        byte_range=byte_range,
        hole_start=hole_start,
        hole_length=hole_length,
        field_name=placing.target.field_name,
        page_index=placing.page_index,
        rects=tuple(placing.rects),
        touched_pages=tuple(sorted(placing.touched)),
        size=size,
        certified=placing.certify,
    )


def unused_field_names(document: Document, stem: str, count: int) -> tuple[str, ...]:
    """`count` names `stem1`, `stem2` ... that no field of the document has, for a new route."""
    taken = {field.name for field in form_fields(document.head)}
    names: list[str] = []
    number = 0
    while len(names) < count:
        number += 1
        if f"{stem}{number}" not in taken:
            names.append(f"{stem}{number}")
    return tuple(names)


def _check(request: PrepareRequest) -> None:
    names = [field.field_name for field in request.route]
    if not 0 <= request.signer < len(names) or len(names) > 64 or len(set(names)) != len(names):
        raise PdfError("bad-request", "the route names no such signer, or a field twice")
    if not all(name and "." not in name and len(name) <= 64 and name.isprintable() for name in names):
        raise PdfError("bad-request", "a field name is not usable")
    if any(field.locks for field in request.route[:-1]):
        raise PdfError("bad-request", "only the last signer of a route may lock")
    if not (0 < request.cms_size <= 1 << 20 and 0 <= request.largest_token <= 1 << 20):
        raise PdfError("bad-request", "sizes of CMS and token are out of range")
    if not request.stamp.name.strip():
        raise PdfError("bad-request", "the stamp has no name")


def copy_hashed(source: BinaryIO, target: BinaryIO, length: int, *hashes: hashlib._Hash) -> None:
    """Copy `length` bytes from where `source` stands to where `target` stands, feeding each hash; constant memory, one read of the data.

    A chunk is hashed and written while it is still in the processor's cache, which costs less than a copy by the kernel beside the hash.
    """
    buffer = memoryview(bytearray(min(_CHUNK, max(length, 1))))
    left = length
    while left:
        got = source.readinto(buffer[: min(left, len(buffer))])  # type: ignore[attr-defined]
        if not got:
            raise PdfError("prepared-changed", "a file became shorter while it was read")
        chunk = buffer[:got]
        for state in hashes:
            state.update(chunk)
        while chunk:
            chunk = chunk[target.write(chunk) :]
        left -= got


def write_revision(parent: Path, length: int, tail: bytes, hole: tuple[int, int], out: Path) -> tuple[bytes, bytes]:
    """Write the file; gives (SHA-256 of the parent, SHA-256 of all but the hole). `hole`: (offset, length)."""
    state = hashlib.sha256()
    try:
        with parent.open("rb", buffering=0) as source, out.open("xb", buffering=0) as target:
            try:
                copy_hashed(source, target, length, state)
                parent_digest = state.copy().digest()
                cut = hole[0] - length
                state.update(tail[:cut])
                state.update(tail[cut + hole[1] :])
                view = memoryview(tail)
                while view:
                    view = view[target.write(view) :]
            except BaseException:
                out.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise PdfError("disk", f"the prepared file could not be written (errno {error.errno})") from error
    return parent_digest, state.digest()
