"""PDF work as one-argument functions for limited children: each opens a hostile file, so none runs in the server.

Loaded by the sandbox's zygote: imports only `signing.pdf` and msgspec, the heavy part lazily.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from signing.pdf.archive import SignedWith, place_archive, place_validation_data, signed_with
from signing.pdf.compare import Comparison, Expected, compare, compare_archive
from signing.pdf.errors import PdfError
from signing.pdf.locks import Signatures
from signing.pdf.page_check import Millimetres
from signing.pdf.placement import NOTE_LEAST_MM, FieldKind, Place, over_left, seen_size, top_right
from signing.pdf.prepare import Placed, PrepareRequest, RouteField, StampText, place
from signing.pdf.reader import Page, open_document
from signing.pdf.revocation import ValidationData
from signing.pdf.stamp_image import Ink, StampImage, read_stamp_image

__all__ = [
    "ArchiveCompareOrder",
    "ArchiveOrder",
    "CompareOrder",
    "ImageAnswer",
    "ImageOrder",
    "InspectRequest",
    "InspectResponse",
    "LayoutFound",
    "LayoutOrder",
    "PlacedField",
    "PrepareOrder",
    "SignedWithAnswer",
    "SignedWithOrder",
    "SignerLook",
    "append_data_file",
    "archive_file",
    "compare_archive_files",
    "compare_files",
    "inspect_file",
    "prepare_file",
    "read_image_file",
    "signed_with_files",
]

_POINTS_PER_MM = 72 / 25.4


class SignerLook(msgspec.Struct, frozen=True):
    """A person of the route. `aspect`: of his image, 0 without one. `wanted`: the place is to be found; else `place` is the
    drafter's, None where nothing needs one. `initials`: a small mark where the text ends, laid out on the last page where
    neither the text nor an image asks for more.
    """

    name: str
    positions: list[str]
    aspect: float
    wanted: bool
    place: Millimetres | None
    initials: bool = False


class LayoutOrder(msgspec.Struct, frozen=True):
    """`seal_mm`: diameter of a seal that has an image and no rectangle, else 0. `seal_drawn`: what the image covers in the drafter's rectangle.
    `noted`: an annex or a copy, which is sealed in the corner of page one and is no document of the form that is looked for.
    """

    number: str
    urgency: int
    signers: list[SignerLook]
    seal_mm: float
    seal_drawn: Millimetres | None = None
    noted: bool = False


class LayoutFound(msgspec.Struct, frozen=True):
    """`places`: of the persons in order, then the seal; None where none was wanted. `warnings`: rule ids."""

    places: list[Millimetres | None]
    warnings: list[str]


class InspectRequest(msgspec.Struct, frozen=True):
    """`fields`: for each step of the route the empty field of the file that it names, or empty for one of ours."""

    path: str
    fields: list[str] = []
    allow_invisible: bool = False
    layout: LayoutOrder | None = None


class InspectResponse(msgspec.Struct, frozen=True):
    """`secrecy_mark`: what stands on the first page (SEC-1), else None. `fields`: names of the form fields that the file has."""

    page_count: int
    secrecy_mark: str | None
    version: str
    signatures: int
    layout: LayoutFound | None = None


class PlacedField(msgspec.Struct, frozen=True):
    """A field of the route. `place` in millimetres as the reader sees the page, page from 1; None: laid out automatically."""

    field_name: str
    kind: str
    place: tuple[int, float, float, float, float] | None
    locks: bool = False


class PrepareOrder(msgspec.Struct, frozen=True):
    """See `signing.pdf.prepare.PrepareRequest`; sizes in bytes, `now_us` microseconds UTC. `tail`: where the bytes to append go."""

    parent: str
    tail: str
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
    image: str = ""
    diameter_mm: float = 0.0
    reason: str = ""


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
    """See `signing.pdf.archive`; `data`: a file with `ValidationData` as msgpack, as lists can be long; `room` in bytes.

    `tail`: where the bytes to append go.
    """

    parent: str
    tail: str
    data: str
    room: int


def archive_file(order: ArchiveOrder) -> Placed:
    """Validation data and an empty document time stamp, to stand behind a file. Raises `PdfError`."""
    placed, tail = place_archive(Path(order.parent), _data(order), room=order.room)
    _write_tail(Path(order.tail), tail)
    return placed


def _data(order: ArchiveOrder) -> ValidationData:
    return msgspec.msgpack.decode(Path(order.data).read_bytes(), type=ValidationData)


def _write_tail(path: Path, tail: bytes) -> None:
    try:
        path.write_bytes(tail)
    except OSError as error:
        raise PdfError("disk", f"the revision could not be written (errno {error.errno})") from error


class AppendedAnswer(msgspec.Struct, frozen=True):
    """Bytes of the parent."""

    parent_length: int


def append_data_file(order: ArchiveOrder) -> AppendedAnswer:
    """Validation data alone, to stand behind a file. Raises `PdfError`."""
    length, tail = place_validation_data(Path(order.parent), _data(order))
    _write_tail(Path(order.tail), tail)
    return AppendedAnswer(length)


class ArchiveCompareOrder(msgspec.Struct, frozen=True):
    parent: str
    child: str


def compare_archive_files(order: ArchiveCompareOrder) -> Comparison:
    """Raises `PdfError("changed-beyond-signature")`."""
    return compare_archive(Path(order.parent), Path(order.child))


class ImageOrder(msgspec.Struct, frozen=True):
    """`path`: a PNG from outside; `out`: where the `StampImage` goes as msgpack; `ink`: a value of `Ink`."""

    path: str
    out: str
    ink: str


class ImageAnswer(msgspec.Struct, frozen=True):
    """Pixels; `reason` says why there is no image."""

    width: int = 0
    height: int = 0
    reason: str = ""


def read_image_file(order: ImageOrder) -> ImageAnswer:
    """The image of a signature or a seal, ready for stamps."""
    try:
        image = read_stamp_image(Path(order.path).read_bytes(), Ink(order.ink))
    except PdfError as error:
        return ImageAnswer(reason=error.reason)
    Path(order.out).write_bytes(msgspec.msgpack.encode(image))
    return ImageAnswer(image.width, image.height)


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
        layout=None if request.layout is None else _layout(path, request.layout),
    )


def _layout(path: Path, order: LayoutOrder) -> LayoutFound:
    """Places for the images that have none. Raises `PdfError("placement-required")` where the text does not say them."""
    from signing.pdf.locate import find_space, fit
    from signing.pdf.page_check import Drawn, check_first_page, check_places

    with open_document(path) as document:
        pages = list(document.pages())
    if order.noted:
        wide, high = NOTE_LEAST_MM
        top_right(pages[0], max(wide, order.seal_mm), high + order.seal_mm)
        return LayoutFound([None], [])
    marks = _marks(path, pages, [look for look in order.signers if look.initials and look.wanted])
    places: list[Millimetres | None] = []
    over: Place | None = None  # what the last person's signature covers
    drafted: list[Drawn] = []
    for look in order.signers:
        if look.initials:
            places.append(next(marks) if look.wanted else None)
        elif look.wanted:
            space = find_space(path, look.name, look.positions)
            if space is None:
                raise PdfError("placement-required", "the text layer does not say where a person signs")
            over = fit(space, look.aspect or _TEXT_ASPECT)
            places.append(_in_millimetres(pages[over.page], over))
        else:
            places.append(None)
            over = None if look.place is None else _inner(_place(pages, look.place), pages, look.aspect)
            if over is not None and look.aspect:
                drafted.append(Drawn(look.name, look.positions, _in_millimetres(pages[over.page], over)))
    seal = None
    if order.seal_mm:
        if over is None:
            raise PdfError("placement-required", "the seal has no signature to stand over")
        seal = _in_millimetres(pages[over.page], over_left(pages[over.page], over, order.seal_mm))
    last = None if over is None else _in_millimetres(pages[over.page], over)
    warnings = check_first_page(path, order.number, order.urgency)
    return LayoutFound([*places, seal], warnings + check_places(path, drafted, last, order.seal_drawn))


def _marks(path: Path, pages: list[Page], looks: list[SignerLook]) -> Iterator[Millimetres | None]:
    """Where the initials stand, in order. Raises `PdfError("placement-required")` where an image has no place."""
    from signing.pdf.locate import find_end

    found = find_end(path, len(looks)) if looks else None
    if found is None and any(look.aspect for look in looks):
        raise PdfError("placement-required", "the text layer does not say where the text ends")
    yield from [None] * len(looks) if found is None else [_in_millimetres(pages[one.page], one) for one in found]


_TEXT_ASPECT = 180 / 64  # of a text stamp


def _inner(place: Place, pages: list[Page], aspect: float) -> Place:
    """What an image of `aspect` covers in the middle of a rectangle; the whole of it where there is no image."""
    if not aspect:
        return place
    across, down = seen_size(pages[place.page])
    wide, high = place.width * across, place.height * down
    scale = min(wide / aspect, high)
    width, height = scale * aspect / across, scale / down
    return Place(
        place.page,
        place.left + (place.width - width) / 2,
        place.top + (place.height - height) / 2,
        width,
        height,
    )


def _in_millimetres(page: Page, place: Place) -> Millimetres:
    across, down = (side * page.user_unit / _POINTS_PER_MM for side in seen_size(page))
    parts = (place.left * across, place.top * down, place.width * across, place.height * down)
    left, top, width, height = (round(part, 3) for part in parts)
    return page.index + 1, left, top, width, height


def _check_room(found: Signatures, request: InspectRequest) -> None:
    """Whether the route finds its fields, or may add them (ISO 32000-1, 12.8.2.2)."""
    empty = {field.name for field in found.empty}
    if not empty.issuperset(name for name in request.fields if name):
        raise PdfError("no-room-for-signature", "the file does not hold an empty field that the route names")
    missing = not request.fields or not all(request.fields)
    if missing and not found.may_add_visible and not (request.allow_invisible and found.may_add_invisible):
        # Certification forbids a new visible field; its own empty ones may be filled, and an invisible one be added.
        raise PdfError("no-room-for-signature", "the file is certified")


def prepare_file(order: PrepareOrder) -> Placed:
    """The signature's revision, to stand behind a file. Raises `PdfError`."""
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
        reason=order.reason,
        image=msgspec.msgpack.decode(Path(order.image).read_bytes(), type=StampImage) if order.image else None,
        diameter_mm=order.diameter_mm,
    )
    placed, tail = place(parent, request)
    _write_tail(Path(order.tail), tail)
    return placed


def _places(parent: Path, route: list[PlacedField]) -> list[Place | None]:
    if all(field.place is None for field in route):
        return [None] * len(route)
    with open_document(parent) as document:
        pages = list(document.pages())
    return [None if field.place is None else _place(pages, field.place) for field in route]


def _place(pages: list[Page], place: Millimetres) -> Place:
    number, left, top, width, height = place
    page = pages[min(number, len(pages)) - 1]
    across, down = (side * page.user_unit / _POINTS_PER_MM for side in seen_size(page))
    return Place(page.index, left / across, top / down, width / across, height / down)
