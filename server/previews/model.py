"""The manifest of page images: what the phone showed, as a value that a device signs (architecture §6.3, §6.4).

**Canonical bytes.** UTF-8 JSON of the struct: members in the order declared here (`typ` first), no white space, no member left out, integers
only, strings of the closed alphabets below (so nothing is ever escaped), arrays in the order that `problems` demands. `JSON.stringify` of
an object with the same members in the same order gives the same bytes. **Digest**: SHA-256 of these bytes, lower-case hex. There is one
encoding of one manifest: `parse` refuses every other spelling. `openapi/vectors/manifest.json` has examples, good and bad.

Two kinds, told apart by `typ`: `hoatoc-revision-manifest` (page images of one stored revision) and `hoatoc-prepared-manifest` (a
revision with an empty hole for a signature: what approval covers).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Final

import msgspec

__all__ = [
    "MAX_PAGES",
    "WIDTHS",
    "FieldArea",
    "Manifest",
    "ManifestError",
    "PageImage",
    "PreparedManifest",
    "RevisionManifest",
    "encode",
    "manifest_digest",
    "parse",
    "problems",
    "redraw_differences",
    "with_touched_pages",
]

WIDTHS: Final = (360, 720, 1080)
"""Pixels: the page images made for phones."""
MAX_PAGES: Final = 5_000
_SAFE: Final = 2**53 - 1  # the integers that JavaScript holds exactly

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Renderer = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9.+_-]{1,120}$")]
FieldName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Natural = Annotated[int, msgspec.Meta(ge=1, le=_SAFE)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=_SAFE)]
Coordinate = Annotated[int, msgspec.Meta(ge=-_SAFE, le=_SAFE)]
PageNumber = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGES)]
Pixels = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class ManifestError(ValueError):
    """Bytes or a value that are no manifest."""

    code = "manifest-invalid"


class PageImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One image of one page.

    `page` counts from 1; `width`, `height` in pixels; `digest`, `size`: SHA-256 and bytes of the image file; `from_revision`: the SHA-256 of
    the file that it was rendered from (an older one, if the comparison proved that the page has not changed since).
    """

    page: PageNumber
    width: Pixels
    height: Pixels
    digest: Digest
    size: Natural
    from_revision: Digest


class FieldArea(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a signature field shows on a page.

    `state`: `filled` is the stamp of this approval, `reserved` an empty field of a later signer or of the seal. `rect`: left, bottom, right,
    top in thousandths of a user-space unit, unrotated; all zero for an invisible field.
    """

    name: FieldName
    state: Annotated[str, msgspec.Meta(pattern="^(filled|reserved)$")]
    page: PageNumber
    rect: tuple[Coordinate, Coordinate, Coordinate, Coordinate]


class RevisionManifest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="typ", tag="hoatoc-revision-manifest"
):
    """Page images of the revision with SHA-256 `revision` and `length` bytes. `page_count`: pages of the document."""

    v: Annotated[int, msgspec.Meta(ge=1, le=1)]
    revision: Digest
    length: Natural
    renderer: Renderer
    page_count: PageNumber
    images: tuple[PageImage, ...]


class PreparedManifest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="typ", tag="hoatoc-prepared-manifest"
):
    """Page images of a prepared revision.

    `parent`, `parent_length`: SHA-256 and bytes of the file that it extends; `prepared`, `length`: the same of the file with its
    hole still empty; `tbs`: SHA-256 of its bytes without `hole_start` ≤ offset < `hole_end`, which is what gets signed.
    """

    v: Annotated[int, msgspec.Meta(ge=1, le=1)]
    parent: Digest
    parent_length: Natural
    prepared: Digest
    length: Natural
    tbs: Digest
    hole_start: Offset
    hole_end: Offset
    fields: tuple[FieldArea, ...]
    renderer: Renderer
    page_count: PageNumber
    images: tuple[PageImage, ...]


Manifest = RevisionManifest | PreparedManifest


def encode(manifest: Manifest) -> bytes:
    """The canonical bytes. Raises `ManifestError` for a manifest that breaks a rule of `problems`."""
    found = next(problems(manifest), None)
    if found is not None:
        raise ManifestError(found)
    return msgspec.json.encode(manifest)


def manifest_digest(manifest: Manifest) -> str:
    """SHA-256 of the canonical bytes, lower-case hex: what the device signs beside `tbs`."""
    return hashlib.sha256(encode(manifest)).hexdigest()


def parse(body: bytes) -> Manifest:
    """The manifest of canonical bytes. Raises `ManifestError` for anything else, another spelling of the same value included."""
    try:
        manifest: Manifest = msgspec.json.decode(body, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ManifestError("not a manifest") from error
    if encode(manifest) != body:
        raise ManifestError("not the canonical encoding")
    return manifest


def problems(manifest: Manifest) -> Iterator[str]:
    """The rules that the types do not carry, broken ones only.

    Images ascend by page, then width, none twice; every page has one; all pages have the same widths. A prepared file extends its parent, its
    hole lies in the added part, exactly one field is filled, names are unique.
    """
    try:
        msgspec.convert(msgspec.to_builtins(manifest), type=type(manifest), strict=True)
    except msgspec.ValidationError as error:
        yield str(error)
        return
    keys = [(image.page, image.width) for image in manifest.images]
    if any(later <= earlier for earlier, later in pairwise(keys)):
        yield "images do not ascend by page and width"
    widths = _widths(manifest.images)
    if set(widths) != set(range(1, manifest.page_count + 1)):
        yield "not every page has an image"
    elif len(set(widths.values())) != 1:
        yield "pages differ in their widths"
    if isinstance(manifest, PreparedManifest):
        yield from _prepared_problems(manifest)


def _widths(images: Iterable[PageImage]) -> dict[int, tuple[int, ...]]:
    widths: dict[int, tuple[int, ...]] = {}
    for image in images:
        widths[image.page] = (*widths.get(image.page, ()), image.width)
    return widths


def _prepared_problems(manifest: PreparedManifest) -> Iterator[str]:
    if not manifest.parent_length < manifest.hole_start < manifest.hole_end < manifest.length:
        yield "the hole does not lie in what the prepared file adds to its parent"
    if sum(area.state == "filled" for area in manifest.fields) != 1:
        yield "not exactly one field is filled"
    if len({area.name for area in manifest.fields}) != len(manifest.fields):
        yield "a field stands twice"
    for area in manifest.fields:
        left, bottom, right, top = area.rect
        if area.page > manifest.page_count:
            yield "a field stands on no page"
        if area.rect != (0, 0, 0, 0) and not (left < right and bottom < top):
            yield "a field's rectangle has no area"


def with_touched_pages(parent: Sequence[PageImage], redrawn: Sequence[PageImage]) -> tuple[PageImage, ...]:
    """The images of a child revision: the parent's, but those of the pages in `redrawn` are replaced by these (`pdf.md`, placement)."""
    touched = {image.page for image in redrawn}
    kept = [image for image in parent if image.page not in touched]
    return tuple(sorted((*kept, *redrawn), key=lambda image: (image.page, image.width)))


def redraw_differences(manifest: Manifest, renderer: str, images: Iterable[tuple[int, int, str]]) -> list[str]:
    """`hoatoc verify --redraw`: how freshly rendered (page, width, digest) differ from the manifest; empty when they agree."""
    if renderer != manifest.renderer:
        return [f"another renderer: {manifest.renderer} made the images, {renderer} is here"]
    fresh = {(page, width): digest for page, width, digest in images}
    stated = {(image.page, image.width): image.digest for image in manifest.images}
    return [
        f"page {page}, {width} px: {'not rendered' if (page, width) not in fresh else 'differs'}"
        for (page, width), digest in stated.items()
        if fresh.get((page, width)) != digest
    ] + [f"page {page}, {width} px: not in the manifest" for page, width in fresh if (page, width) not in stated]
