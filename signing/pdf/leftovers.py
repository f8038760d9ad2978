"""Reachable objects, and what lies in the bytes without being reachable in any revision (threats B2, B9).

A file may hold leftovers: superseded revisions are reachable in their own view; linearization dictionary, hint
stream, cross-reference and object streams are the file's own mechanics. What may not lie there unreached is a
catalog, a page, a page-tree node or an annotation, because a later revision brings it to light with a few bytes. Nor
may there be bytes that another reader would take for a second file: keywords of a cross-reference that our chain does
not hold, or an object that bears the number of another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from signing.pdf.errors import PdfError
from signing.pdf.objects import Name, PdfObject, Ref, Stream, parse_object, skip_space
from signing.pdf.reader import Document, Entry, Revision

__all__ = ["check_leftovers", "reachable"]

Place = tuple[int, Entry]  # an object number and where a section says that it stands

MAX_VISITS: Final = 3_000_000
MAX_LISTED: Final = 1_000_000

_OBJECT = re.compile(rb"(?<![0-9])(\d{1,10})[\0\t\n\f\r ]++(\d{1,5})[\0\t\n\f\r ]++obj(?![A-Za-z0-9])")
_KEYWORD = re.compile(rb"(?:startxref|trailer|xref)(?![A-Za-z])")

_HIDING: Final = frozenset({"Catalog", "Pages", "Page", "Annot"})
_ANNOTATION_KINDS: Final = frozenset(
    {
        *("Text", "Link", "FreeText", "Line", "Square", "Circle", "Polygon", "PolyLine", "Highlight", "Underline"),
        *("Squiggly", "StrikeOut", "Stamp", "Caret", "Ink", "Popup", "FileAttachment", "Sound", "Movie", "Widget"),
        *("Screen", "PrinterMark", "TrapNet", "Watermark", "3D", "Redact", "RichMedia", "Projection"),
    }
)


def reachable(view: Revision) -> Iterator[tuple[Ref | None, PdfObject]]:
    """Every object that the view's trailer leads to, once; first the trailer itself (with None for its reference)."""
    own = {key: value for key, value in view.trailer.items() if key not in {"Prev", "XRefStm", "Length", "Filter"}}
    yield None, own
    seen: set[Ref] = set()
    stack: list[PdfObject] = [own]
    while stack:
        value = stack.pop()
        if isinstance(value, Ref):
            if value in seen:
                continue
            seen.add(value)
            if len(seen) > MAX_VISITS:
                raise PdfError("too-large", "too many objects")
            found = view.indirect(value)
            if found is None:
                continue
            value = found.value
            yield found.ref, value
        if isinstance(value, Stream):
            value = value.dictionary
        if isinstance(value, dict):
            stack.extend(item for item in value.values() if isinstance(item, Ref | list | dict))
        elif isinstance(value, list):
            stack.extend(item for item in value if isinstance(item, Ref | list | dict))


def _hides(value: PdfObject) -> bool:
    if not isinstance(value, dict):
        return False
    kind, sub = value.get(Name("Type")), value.get(Name("Subtype"))
    if isinstance(kind, Name):
        return kind in _HIDING
    annotation = isinstance(sub, Name) and sub in _ANNOTATION_KINDS and Name("Rect") in value
    return annotation or (Name("Kids") in value and Name("Count") in value and Name("Title") not in value)


def _refuse_hidden(place: object) -> PdfError:
    return PdfError("hidden-content", "an unreachable page, catalog or annotation", place=str(place))


def check_leftovers(document: Document, reached: set[Ref]) -> int:
    """How many leftovers were found that hide nothing; `reached` are the references that the newest view leads to.

    Raises `PdfError`: `hidden-content`, `broken-structure`, `too-large`.
    """
    places = _listed(document)
    unread: dict[Place, bool] = {}
    containers: list[Place] = []
    spans = _spans(document, places, reached, unread, containers)
    suspects = {key for key, hides in unread.items() if hides}
    if suspects and len(document.revisions) > 1:
        suspects -= _reached_before(document, suspects)
    if suspects:
        raise _refuse_hidden(min(num for num, _entry in suspects))
    numbers = {num for num, _entry in places}
    return len(unread) + _between(document, spans, numbers) + _packed(document, places, containers)


def _listed(document: Document) -> dict[Place, None]:
    """Every place that any cross-reference section of the file names, in use."""
    places: dict[Place, None] = {}
    for section in document.head.sections:
        for num in section.numbers():
            entry = section.lookup(document.data, num)
            if entry is not None and entry.kind:
                places[num, entry] = None
        if len(places) > MAX_LISTED:
            raise PdfError("too-large", "too many objects")
    return places


def _spans(
    document: Document,
    places: dict[Place, None],
    reached: set[Ref],
    unread: dict[Place, bool],
    containers: list[Place],
) -> list[tuple[int, int]]:
    """Where the listed objects stand. `unread` is filled with those that the newest view does not lead to, `containers`
    with the object streams.
    """
    head = document.head
    spans = [
        (section.trailer_span[0], section.trailer_span[1]) for section in head.sections if section.kind != "stream"
    ]
    for num, entry in places:
        try:
            found = document._load(_view_of(document, num, entry), num, entry)  # noqa: SLF001 - the chain's own loader
        except PdfError as error:
            if error.code == "too-large":
                raise
            continue  # an unreachable entry may lead nowhere; what then stands unlisted is looked at below
        if found is None:
            continue
        if found.offset is not None:
            end = found.value.end if isinstance(found.value, Stream) else found.end
            spans.append((found.offset, end))
        if isinstance(found.value, Stream) and found.value.dictionary.get(Name("Type")) == "ObjStm":
            containers.append((num, entry))
        if found.ref not in reached or head.locate(num) != entry:
            unread[num, entry] = _hides(found.value)
    return spans


def _view_of(document: Document, num: int, entry: Entry) -> Revision:
    if len(document.revisions) == 1:
        return document.head
    for revision in reversed(document.revisions):
        if revision.locate(num) == entry:
            return revision
    return document.head


def _reached_before(document: Document, suspects: set[Place]) -> set[Place]:
    """Those of `suspects` that an earlier revision's own view leads to."""
    found: set[Place] = set()
    wanted = {num for num, _entry in suspects}
    visits = 0
    for revision in reversed(document.revisions[:-1]):
        for ref, _value in reachable(revision):
            visits += 1
            if ref is not None and ref.num in wanted:
                entry = revision.locate(ref.num)
                if entry is not None:
                    found.add((ref.num, entry))
        if visits > MAX_VISITS:
            raise PdfError("too-large", "too many revisions")
        if suspects <= found:
            break
    return found


def _between(document: Document, spans: list[tuple[int, int]], numbers: set[int]) -> int:
    """Look at the bytes that no listed object covers."""
    data = document.data
    sections = document.head.sections
    known = {section.offset for section in sections} | {_xref_stream(section.trailer) for section in sections}
    count, at = 0, 0
    for start, end in [*sorted(spans), (len(data), len(data))]:
        if start > at:
            count += _gap(document, at, start, numbers, known)
        at = max(at, end)
    return count


def _xref_stream(trailer: dict[Name, PdfObject]) -> int:
    value = trailer.get(Name("XRefStm"))
    return value if isinstance(value, int) else -1


def _gap(document: Document, start: int, end: int, numbers: set[int], known: set[int]) -> int:
    data = document.data
    text = data[start:end]
    count = 0
    covered = start
    for head in _OBJECT.finditer(text):
        at = start + head.start()
        if at < covered:
            continue
        count += 1
        try:
            value, covered = parse_object(data, skip_space(data, start + head.end()))
        except PdfError:
            raise PdfError("broken-structure", "an unlisted object is damaged", place=f"byte {at}") from None
        behind = skip_space(data, covered)
        if isinstance(value, dict) and data[behind : behind + 6] == b"stream":
            closed = data.find(b"endstream", covered, end)
            covered = closed if closed >= 0 else end
        if _hides(value):
            raise _refuse_hidden(f"byte {at}")
        if int(head[1]) in numbers and at not in known:
            raise PdfError("broken-structure", "an object's number stands twice", place=f"byte {at}")
    ends = {section.end for section in document.head.sections}
    for word in _KEYWORD.finditer(text):
        at = start + word.start()
        _keyword(document, at, word[0], known, ends)
    return count


def _keyword(document: Document, at: int, word: bytes, known: set[int], ends: set[int]) -> None:
    """A cross-reference keyword must belong to a section of our chain."""
    if word == b"xref" and at in known:
        return
    if word == b"startxref" and any(0 < end - at < 80 for end in ends):
        return
    sections = document.head.sections
    if word == b"trailer" and any(s.kind != "stream" and 0 < s.trailer_span[0] - at < 80 for s in sections):
        return
    raise PdfError("broken-structure", "a second cross-reference stands in the file", place=f"byte {at}")


def _packed(document: Document, places: dict[Place, None], containers: list[Place]) -> int:
    """Objects inside object streams that no section lists."""
    listed = {(entry.where, num) for num, entry in places if entry.kind == 2}
    numbers = {num for num, _entry in places}
    count = 0
    for num, entry in containers:
        inner, header = document._object_stream(_view_of(document, num, entry), num)  # noqa: SLF001 - the chain's own loader
        for inside, at in header:
            if (num, inside) in listed:
                continue
            count += 1
            hidden, _end = parse_object(inner, at)
            if _hides(hidden):
                raise _refuse_hidden(f"{inside} in {num}")
            if inside in numbers:
                raise PdfError("broken-structure", "an object's number stands twice", place=f"{inside} in {num}")
    return count
