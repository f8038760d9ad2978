"""PDF work as one-argument functions for limited children: each opens a hostile file, so none runs in the server.

Loaded by the sandbox's zygote: imports only `signing.pdf` and msgspec, the heavy part lazily.
"""

from pathlib import Path

import msgspec

from signing.pdf.archive import SignedWith, append_validation_data, prepare_archive, signed_with
from signing.pdf.compare import Comparison, Expected, compare, compare_archive
from signing.pdf.errors import PdfError
from signing.pdf.locks import Signatures
from signing.pdf.placement import FieldKind, Place, seen_size
from signing.pdf.prepare import Prepared, PrepareRequest, RouteField, StampText, prepare
from signing.pdf.reader import Page, open_document
from signing.pdf.revocation import ValidationData

__all__ = [
    "ArchiveCompareOrder",
    "ArchiveOrder",
    "CompareOrder",
    "InspectRequest",
    "InspectResponse",
    "PlacedField",
    "PrepareOrder",
    "SignedWithAnswer",
    "SignedWithOrder",
    "append_data_file",
    "archive_file",
    "compare_archive_files",
    "compare_files",
    "inspect_file",
    "prepare_file",
    "signed_with_files",
]

_POINTS_PER_MM = 72 / 25.4


class InspectRequest(msgspec.Struct, frozen=True):
    """`fields`: for each step of the route the empty field of the file that it names, or empty for one of ours."""

    path: str
    fields: list[str] = []
    allow_invisible: bool = False


class InspectResponse(msgspec.Struct, frozen=True):
    """`secrecy_mark`: what stands on the first page (SEC-1), else None. `fields`: names of the form fields that the file has."""

    page_count: int
    secrecy_mark: str | None
    version: str
    signatures: int


class PlacedField(msgspec.Struct, frozen=True):
    """A field of the route. `place` in millimetres as the reader sees the page, page from 1; None: laid out automatically."""

    field_name: str
    kind: str
    place: tuple[int, float, float, float, float] | None
    locks: bool = False


class PrepareOrder(msgspec.Struct, frozen=True):
    """See `signing.pdf.prepare.PrepareRequest`; sizes in bytes, `now_us` microseconds UTC."""

    parent: str
    out: str
    route: list[PlacedField]
    signer: int
    name: str
    position: str
    authority: str
    reference: str
    now_us: int
    cms_size: int
    largest_token: int
    font: str
    certify: bool = False
    allow_invisible: bool = False


class CompareOrder(msgspec.Struct, frozen=True):
    """`expected` is what the prepared revision says of itself; the child proves it from the two files."""

    parent: str
    child: str
    expected: Expected


def compare_files(order: CompareOrder) -> Comparison:
    """Raises `PdfError("changed-beyond-signature")`."""
    return compare(Path(order.parent), Path(order.child), order.expected)


class SignedWithOrder(msgspec.Struct, frozen=True):
    path: str


class SignedWithAnswer(msgspec.Struct, frozen=True):
    signatures: tuple[SignedWith, ...]


def signed_with_files(order: SignedWithOrder) -> SignedWithAnswer:
    """The certificates that a file's signatures bring along. Raises `PdfError`."""
    return SignedWithAnswer(signed_with(Path(order.path)))


class ArchiveOrder(msgspec.Struct, frozen=True):
    """See `signing.pdf.archive`; `data`: a file with `ValidationData` as msgpack, as lists can be long; `room` in bytes."""

    parent: str
    out: str
    data: str
    room: int


def archive_file(order: ArchiveOrder) -> Prepared:
    """Validation data and an empty document time stamp behind a file. Raises `PdfError`."""
    return prepare_archive(Path(order.parent), _data(order), Path(order.out), room=order.room)


def _data(order: ArchiveOrder) -> ValidationData:
    return msgspec.msgpack.decode(Path(order.data).read_bytes(), type=ValidationData)


class AppendedAnswer(msgspec.Struct, frozen=True):
    """`digest`: SHA-256 of the file."""

    digest: bytes


def append_data_file(order: ArchiveOrder) -> AppendedAnswer:
    """Validation data alone. Raises `PdfError`."""
    return AppendedAnswer(append_validation_data(Path(order.parent), _data(order), Path(order.out)))


class ArchiveCompareOrder(msgspec.Struct, frozen=True):
    parent: str
    child: str


def compare_archive_files(order: ArchiveCompareOrder) -> Comparison:
    """Raises `PdfError("changed-beyond-signature")`."""
    return compare_archive(Path(order.parent), Path(order.child))


class ValidateOrder(msgspec.Struct, frozen=True):
    """`roots`, `timestamp_roots`: DER certificates. `now_us`: microseconds UTC."""

    path: str
    roots: list[bytes]
    timestamp_roots: list[bytes]
    now_us: int


def validate_file(order: ValidateOrder) -> msgspec.Struct:
    """`signing.pdf.validation.ValidationResult`. Never raises for what the file holds."""
    from signing.pdf.validation import Trust, validate

    return validate(
        Path(order.path), Trust(roots=tuple(order.roots), timestamp_roots=tuple(order.timestamp_roots)), order.now_us
    )


def inspect_file(request: InspectRequest) -> InspectResponse:
    """Structure, agreement of two parsers, secrecy mark. Raises `PdfError` with a code of `errors.REFUSALS`."""
    from signing.pdf.safety import inspect
    from signing.pdf.text_agreement import agreement, secrecy_mark

    path = Path(request.path)
    report = inspect(path)
    _check_room(report.signatures, request)
    if agreement(path).blank_fields:
        # Drawn only because /NeedAppearances asks readers to; signing removes that key, and the values would vanish from sight.
        raise PdfError("form-appearance", "a filled field has no appearance of its own")
    return InspectResponse(
        page_count=report.page_count,
        secrecy_mark=secrecy_mark(path),
        version=report.version,
        signatures=len(report.signatures.signed),
    )


def _check_room(found: Signatures, request: InspectRequest) -> None:
    """Whether the route finds its fields, or may add them (ISO 32000-1, 12.8.2.2)."""
    empty = {field.name for field in found.empty}
    if not empty.issuperset(name for name in request.fields if name):
        raise PdfError("no-room-for-signature", "the file does not hold an empty field that the route names")
    missing = not request.fields or not all(request.fields)
    if missing and not found.may_add_visible and not (request.allow_invisible and found.may_add_invisible):
        # Certification forbids a new visible field; its own empty ones may be filled, and an invisible one be added.
        raise PdfError("no-room-for-signature", "the file is certified")


def prepare_file(order: PrepareOrder) -> Prepared:
    """Write the prepared revision. Raises `PdfError`."""
    parent = Path(order.parent)
    route = tuple(
        RouteField(field_name=field.field_name, kind=FieldKind(field.kind), place=place, locks=field.locks)
        for field, place in zip(order.route, _places(parent, order.route), strict=True)
    )
    request = PrepareRequest(
        route=route,
        signer=order.signer,
        stamp=StampText(name=order.name, position=order.position, authority=order.authority, reference=order.reference),
        now_us=order.now_us,
        cms_size=order.cms_size,
        largest_token=order.largest_token,
        font=Path(order.font),
        certify=order.certify,
        allow_invisible=order.allow_invisible,
    )
    return prepare(parent, request, Path(order.out))


def _places(parent: Path, route: list[PlacedField]) -> list[Place | None]:
    if all(field.place is None for field in route):
        return [None] * len(route)
    with open_document(parent) as document:
        pages = list(document.pages())
    return [None if field.place is None else _place(pages, field.place) for field in route]


def _place(pages: list[Page], place: tuple[int, float, float, float, float]) -> Place | None:
    number, left, top, width, height = place
    page = pages[min(number, len(pages)) - 1]
    across, down = (side * page.user_unit / _POINTS_PER_MM for side in seen_size(page))
    return Place(page.index, left / across, top / down, width / across, height / down)
