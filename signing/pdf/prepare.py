"""Placing a signature revision: fields, stamp and an empty hole for the CMS, appended to an unchanged parent.

What is added is a closed list (the comparison refuses all else): see `signing/README.md`. The parent is read once to
be copied and hashed (`revision`); memory does not grow with it. Profile: PAdES baseline (EN 319 142-1), no `/Cert`, no
signing-time attribute; `/M` and the stamp's time are the time of preparation.
"""

from __future__ import annotations

from pathlib import Path

from signing.pdf.errors import PdfError
from signing.pdf.fields import form_fields
from signing.pdf.placement import FieldKind, Place
from signing.pdf.placing import FieldRect, Placing, PrepareRequest, RouteField, StampText
from signing.pdf.reader import Document, open_document
from signing.pdf.revision import Placed, Prepared, Ready, append_revision

__all__ = [
    "FieldKind",
    "FieldRect",
    "Place",
    "Placed",
    "PrepareRequest",
    "Prepared",
    "RouteField",
    "StampText",
    "place",
    "prepare",
    "ready",
    "unused_field_names",
]


def prepare(parent: Path, request: PrepareRequest, out: Path) -> Prepared:
    """Write `parent` with the next signature's revision appended to the new file `out`, to be filled by `assemble`.

    Raises `PdfError`: what the reader raises; `bad-request`, `not-the-route`, `locked-by-signature`,
    `no-room-for-signature`, `bad-font`; `disk` with nothing left behind.
    """
    return ready(parent, request, out).info


def ready(parent: Path, request: PrepareRequest, out: Path) -> Ready:
    """The same, to be filled where it stands by this process. Raises as `prepare`."""
    return append_revision(parent, *place(parent, request), out)


def place(parent: Path, request: PrepareRequest) -> tuple[Placed, bytes]:
    """The next signature's revision as bytes to append, and where everything in it stands. Raises as `prepare`, but for `disk`."""
    _check(request)
    with open_document(parent) as document:
        placing = Placing(document, request)
        tail, hole_start, hole_length = placing.render()
        parent_length = len(document.data)
    placed = Placed(
        parent_length=parent_length,
        hole_start=hole_start,
        hole_length=hole_length,
        size=parent_length + len(tail),
        field_name=placing.target.field_name,
        page_index=placing.page_index,
        rects=tuple(placing.rects),
        touched_pages=tuple(sorted(placing.touched)),
        certified=placing.certify,
    )
    return placed, tail


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
