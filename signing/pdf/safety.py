"""May this file be put before a signer? (`inspect`; rules DOC-3, SEC-1, threats B2, B3, B5, B9)

`inspect` is our own structural pass: it repairs nothing, and refuses with a listed code what hides, runs, points
outside or could be read in two ways. Text is compared between two parsers in `text_agreement`, which needs pdfium;
the two are apart because this one imports nothing heavy. Both are pure functions of the file and meant for a limited
child process. Any exception of a parser, whatever its type, leaves as `PdfError("broken-structure")` (threat B4).
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Final

import msgspec

from signing.pdf.content import Budget, check_page
from signing.pdf.errors import MACHINE, PdfError
from signing.pdf.fields import form_fields
from signing.pdf.interactive import page_annotations, shown_values, sweep
from signing.pdf.leftovers import check_leftovers, reachable
from signing.pdf.locks import Signatures, find_signatures
from signing.pdf.objects import Name, Ref, Stream
from signing.pdf.polyglot import other_reading
from signing.pdf.reader import MAX_OBJECTS, Document, Page, Revision, open_document

__all__ = ["MAX_BYTES", "MAX_PAGES", "InputField", "PageBox", "SafetyReport", "inspect"]

MAX_BYTES: Final = 100 * 1024 * 1024
MAX_PAGES: Final = 5_000
MAX_IN_USE: Final = 500_000
MAX_SIDE_POINTS: Final = 14_400.0  # 5.08 m, the largest side that ISO 32000-1, annex C knows
_VERSIONS: Final = frozenset({"1.4", "1.5", "1.6", "1.7", "2.0"})
_PDFA = re.compile(rb"pdfaid:(part|conformance)(?:=[\"']|>)\s*([0-9A-Za-z]{1,2})")

Box = tuple[float, float, float, float]


class PageBox(msgspec.Struct, frozen=True):
    """A page as a stamp needs it: boxes (left, bottom, right, top) in user space, the crop box inside the media box;
    `rotate` in degrees clockwise; one unit is `user_unit` / 72 inch.
    """

    media: Box
    crop: Box
    rotate: int
    user_unit: float
    annotations: int  # appearances drawn over the page


class InputField(msgspec.Struct, frozen=True):
    """A form field of the input. `name` is fully qualified; `kind` is Tx, Ch, Btn, Sig or empty."""

    name: str
    kind: str
    filled: bool


class SafetyReport(msgspec.Struct, frozen=True):
    """What intake needs to know of a file that may be signed.

    `pdfa` is like "2B", None where the file does not claim it. `needs_field_lock`: the input has other form fields than
    signature fields, so our first signature carries FieldMDP. `leftovers` counts unreachable objects that hide nothing.
    """

    version: str
    length: int
    page_count: int
    pages: tuple[PageBox, ...]
    revisions: int
    signatures: Signatures
    fields: tuple[InputField, ...]
    pdfa: str | None
    needs_field_lock: bool
    leftovers: int


def inspect(path: Path) -> SafetyReport:
    """Read the whole structure of the file at `path` and say what it is.

    Raises `PdfError` with a code of `errors.REFUSALS` where the file may not be signed; `OSError` where it cannot be
    read.
    """
    if path.stat().st_size > MAX_BYTES:
        raise PdfError("too-large", "the file is larger than the bound")
    try:
        with open_document(path) as document:
            return _inspect(document)
    except (PdfError, OSError, *MACHINE):
        raise
    except Exception as error:
        # Whatever a hostile file makes this code stumble over is a reason not to sign it, never an error of the server.
        raise PdfError("broken-structure", f"unreadable: {type(error).__name__}") from None


def _inspect(document: Document) -> SafetyReport:
    head = document.head
    if head.version not in _VERSIONS:
        raise PdfError("broken-structure", "a version below PDF 1.4 or unknown")
    if head.size > MAX_OBJECTS or sum(section.count for section in head.sections) > MAX_IN_USE:
        raise PdfError("too-large", "too many objects")
    reached, tree = _sweep_all(head)
    pages = _pages(head, tree)
    found = form_fields(head)
    signatures = find_signatures(head, found)
    _ranges(document, signatures)
    shown_values(head, found)
    if kind := other_reading(document.data):
        raise PdfError("broken-structure", f"the file is an archive as well: {kind}")
    return SafetyReport(
        version=head.version,
        length=len(document.data),
        page_count=len(pages),
        pages=pages,
        revisions=len(document.revisions),
        signatures=signatures,
        fields=tuple(InputField(name=field.name, kind=field.kind, filled=field.is_filled) for field in found),
        pdfa=_pdfa(head),
        needs_field_lock=any(not field.is_signature for field in found),
        leftovers=check_leftovers(document, reached),
    )


def _sweep_all(head: Revision) -> tuple[set[Ref], list[Page]]:
    """Judge every reachable object, and count the pages and catalogs that hang where they should not; gives what was
    reached, and the pages.
    """
    reached: set[Ref] = set()
    loose: set[Ref] = set()
    for ref, value in reachable(head):
        sweep(head, ref, value)
        if ref is not None:
            reached.add(ref)
            if isinstance(value, dict) and value.get(Name("Type")) in ("Page", "Pages", "Catalog"):
                loose.add(ref)
    pages = list(itertools.islice(head.pages(), MAX_PAGES + 1))
    loose -= _tree(head, pages)
    if loose:
        raise PdfError("hidden-content", "a page or catalog stands outside the page tree", place=str(min(loose)))
    return reached, pages


def _tree(head: Revision, pages: list[Page]) -> set[Ref]:
    """The catalog and all nodes of the page tree, which `Revision.pages` bounds; every /Count must be right.

    Readers that look for a page by the counts and readers that walk the tree else find two different ones (threat B9).
    """
    if len(pages) > MAX_PAGES:
        raise PdfError("too-large", "too many pages")
    weights = {page.ref: 1 for page in pages}
    inner: list[Ref] = []
    stack = [head.catalog.get(Name("Pages"))]
    while stack:
        ref = stack.pop()
        if isinstance(ref, Ref) and ref not in weights:
            inner.append(ref)
            stack.extend(head.array(head.dictionary(ref).get(Name("Kids"))))
    # Children stand behind their parents in `inner`, so that backwards every weight below is known.
    for ref in reversed(inner):
        own = head.dictionary(ref)
        weights[ref] = sum(weights[kid] for kid in head.array(own.get(Name("Kids"))) if isinstance(kid, Ref))
        if head.resolve(own.get(Name("Count"))) != weights[ref]:
            raise PdfError("broken-structure", "the page tree and its counts disagree", place=str(ref))
    return {head.root, *weights}


def _pages(head: Revision, pages: list[Page]) -> tuple[PageBox, ...]:
    budget = Budget()
    made = tuple(_page(head, page, budget) for page in pages)
    if not made:
        raise PdfError("broken-structure", "the file has no pages")
    return made


def _page(head: Revision, page: Page, budget: Budget) -> PageBox:
    sides = (page.media_box[2] - page.media_box[0], page.media_box[3] - page.media_box[1])
    if max(sides) * page.user_unit > MAX_SIDE_POINTS:
        raise PdfError("too-large", "a page is larger than the bound", place=str(page.ref))
    drawn = page_annotations(head, page)
    check_page(head, page, budget, drawn)
    return PageBox(
        media=page.media_box,
        crop=page.crop_box,
        rotate=page.rotate,
        user_unit=page.user_unit,
        annotations=len(drawn),
    )


def _ranges(document: Document, signatures: Signatures) -> None:
    """Every signature must cover a whole revision; else what it covers is no file that anybody could have seen."""
    ends = {revision.end for revision in document.revisions} | {len(document.data)}
    blank = b"\0\t\n\f\r "
    for found in signatures.signed:
        covered = found.covers
        revision = document.revision_at(covered)
        exact = covered in ends or (revision is not None and not document.data[revision.end : covered].strip(blank))
        # A producer may sign up to %%EOF and leave its line end outside.
        short = any(0 < end - covered <= 2 for end in ends)
        if not exact and not short:
            raise PdfError("broken-structure", "a signature covers no whole revision")


def _pdfa(head: Revision) -> str | None:
    metadata = head.resolve(head.catalog.get(Name("Metadata")))
    if not isinstance(metadata, Stream):
        return None
    try:
        found = dict(_PDFA.findall(head.decode(metadata, 4 * 1024 * 1024)))
    except PdfError:
        return None  # damaged metadata shows nothing and runs nothing; the file then claims no conformance
    part = found.get(b"part")
    return (part + found.get(b"conformance", b"")).decode("ascii") if part else None
