"""Reading a PDF as a chain of revisions (ISO 32000-1, 7.5), lazily and over a memory map.

Every revision has its own view: the objects as they stood when it was the newest. Objects are parsed on demand and keep
the span of their tokens, so that a new revision copies what it does not change. The reader repairs nothing: offsets,
lengths and keywords must hold, except where real producers deviate harmlessly (19-byte lines in a cross-reference
table, comments in the header of an object stream, a cross-reference stream that lists itself at a wrong offset).
Sections, depth, pages and decoded bytes are bounded; every loop ends (threats B3, B9).

The module is longer than most because file layout, sections and object access are one state: where a thing stands.
"""

from __future__ import annotations

import itertools
import mmap
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec

from signing.pdf import filters
from signing.pdf.errors import PdfError
from signing.pdf.objects import (
    MAX_DEPTH,
    Buffer,
    Name,
    PdfObject,
    Real,
    Ref,
    Stream,
    parse_object,
    skip_space,
)

__all__ = [
    "MAX_OBJECTS",
    "MAX_PAGES",
    "MAX_SECTIONS",
    "Document",
    "Entry",
    "Indirect",
    "Page",
    "Revision",
    "Section",
    "open_document",
]

MAX_SECTIONS: Final = 512
MAX_OBJECTS: Final = 2_000_000
MAX_PAGES: Final = 50_000
_FREE, _PLAIN, _PACKED = 0, 1, 2

_OBJECT = re.compile(rb"(\d{1,10})[\0\t\n\f\r ]++(\d{1,5})[\0\t\n\f\r ]++obj(?![^\0\t\n\f\r ()<>\[\]{}/%])")
_LINE = re.compile(rb"(\d{10}) (\d{5}) ([fn])(?: \r| \n|\r\n|\n|\r)")
_SUBSECTION = re.compile(rb"(\d{1,10}) (\d{1,10})[ \t]*(?:\r\n|\n|\r)")
_END = re.compile(rb"startxref[\0\t\n\f\r ]++(\d{1,15})[\0\t\n\f\r ]++%%EOF")
_HEADER = re.compile(rb"%PDF-(1\.[0-7]|2\.0)[\0\t\n\f\r ]")
_STREAM = re.compile(rb"[\0\t\n\f\r ]*+stream(?:\r\n|\n)")
_ENDSTREAM = re.compile(rb"[\0\t\n\f\r ]{0,4}+endstream[\0\t\n\f\r ]*+endobj")


class Entry(NamedTuple):
    """One cross-reference entry, in the numbers of a cross-reference stream (ISO 32000-1, table 18).

    kind 0: free. kind 1: `where` is the byte offset, `extra` the generation. kind 2: `where` is the number of the
    object stream, `extra` the index in it.
    """

    kind: int
    where: int
    extra: int


class Indirect(NamedTuple):
    """An indirect object and where its value's tokens stand: `data[start:end]`, without `obj`, `endobj`, stream data.

    `data` is the file, or the decoded object stream that holds the object. `offset` is that of the object's number in
    the file, None when packed in an object stream.
    """

    ref: Ref
    value: PdfObject
    data: Buffer
    start: int
    end: int
    offset: int | None

    @property
    def tokens(self) -> bytes:
        return self.data[self.start : self.end]


class _Lines(NamedTuple):
    """A subsection of a cross-reference table, read line by line only when asked."""

    first: int
    total: int
    offset: int
    width: int


class _Rows(NamedTuple):
    """A subsection of a cross-reference stream."""

    first: int
    total: int
    data: bytes
    offset: int
    widths: tuple[int, int, int]


class Section:
    """One cross-reference section: a table, a stream, or a table with the stream that `/XRefStm` names."""

    __slots__ = (
        "_lines",
        "_rows",
        "end",
        "highest",
        "kind",
        "offset",
        "startxref",
        "stream_ref",
        "trailer",
        "trailer_span",
    )

    def __init__(self, offset: int, kind: str, trailer: dict[Name, PdfObject], trailer_span: tuple[int, int]) -> None:
        self.offset = offset
        self.kind = kind  # table | stream | hybrid
        self.trailer = trailer
        self.trailer_span = trailer_span
        self.end = 0  # behind %%EOF
        self.startxref = 0  # the number that stands before that %%EOF
        self.stream_ref: Ref | None = None
        self.highest = 0  # number of an object, once settled
        self._lines: list[_Lines] = []
        self._rows: list[_Rows] = []

    def lookup(self, data: Buffer, num: int) -> Entry | None:
        """The entry of object `num`, None when this section does not speak of it.

        In a hybrid file an object that the table hides as free may be found in the stream (ISO 32000-1, 7.5.8.4).
        """
        found: Entry | None = None
        place = bisect_right(self._lines, num, key=_first) - 1
        if place >= 0 and num < self._lines[place].first + self._lines[place].total:
            found = _line(data, self._lines[place], num - self._lines[place].first)
            if found.kind != _FREE:
                return found
        place = bisect_right(self._rows, num, key=_first) - 1
        if place >= 0 and num < self._rows[place].first + self._rows[place].total:
            return _row(self._rows[place], num - self._rows[place].first)
        return found

    def settle(self) -> None:
        """Order the subsections for look-up; two that speak of one object are `broken-structure` (threat B9)."""
        self._lines.sort(key=_first)
        self._rows.sort(key=_first)
        both: tuple[Sequence[_Lines | _Rows], ...] = (self._lines, self._rows)
        for parts in both:
            for one, after in itertools.pairwise(parts):
                if one.first + one.total > after.first:
                    raise _broken("a cross-reference section lists an object twice", self.offset)
            if parts:
                self.highest = max(self.highest, parts[-1].first + parts[-1].total - 1)

    def numbers(self) -> Iterator[int]:
        for first, total in self._ranges():
            yield from range(first, first + total)

    def _ranges(self) -> list[tuple[int, int]]:
        return [(p.first, p.total) for p in self._lines] + [(p.first, p.total) for p in self._rows]

    @property
    def count(self) -> int:
        return sum(total for _first, total in self._ranges())


def _first(part: _Lines | _Rows) -> int:
    return part.first


def _line(data: Buffer, lines: _Lines, index: int) -> Entry:
    at = lines.offset + index * lines.width
    found = _LINE.match(data, at, at + 20)
    if found is None or found.end() - at != lines.width:
        raise _broken("a line of the cross-reference table is malformed", at)
    return Entry(_PLAIN if found[3] == b"n" else _FREE, int(found[1]), int(found[2]))


def _row(rows: _Rows, index: int) -> Entry:
    first, second, third = rows.widths
    at = rows.offset + index * (first + second + third)
    data = rows.data
    kind = int.from_bytes(data[at : at + first]) if first else _PLAIN
    if kind > _PACKED:
        raise _broken("unknown kind of cross-reference entry", at)
    where = int.from_bytes(data[at + first : at + first + second])
    extra = int.from_bytes(data[at + first + second : at + first + second + third])
    return Entry(kind, where, extra)


def _broken(why: str, at: int | str) -> PdfError:
    return PdfError("broken-structure", why, place=f"byte {at}" if isinstance(at, int) else at)


class Page(msgspec.Struct, frozen=True):
    """A page with what it inherits. Boxes are (left, bottom, right, top) in user space units, normalised."""

    ref: Ref
    index: int
    dictionary: dict[Name, PdfObject]
    resources: dict[Name, PdfObject]
    media_box: tuple[float, float, float, float]
    crop_box: tuple[float, float, float, float]
    rotate: int  # 0, 90, 180, 270, clockwise
    user_unit: float


class Revision:
    """The file as it stood at one of its ends: `data[:end]` is a whole PDF."""

    __slots__ = ("_cache", "_catalog", "document", "end", "index", "sections", "startxref", "trailer")

    def __init__(self, document: Document, index: int, sections: tuple[Section, ...], end: int) -> None:
        self.document = document
        self.index = index
        self.sections = sections  # newest first; the view looks through them in this order
        self.trailer = sections[0].trailer
        self.startxref = sections[0].offset
        self.end = end
        self._cache: dict[int, Indirect | None] = {}
        self._catalog: dict[Name, PdfObject] | None = None

    @property
    def kind(self) -> str:
        """Form of the newest cross-reference section: `table`, `stream` or `hybrid`."""
        return self.sections[0].kind

    @property
    def size(self) -> int:
        """The first object number that no section of this view uses or reserves."""
        sizes = [section.trailer.get(Name("Size")) for section in self.sections]
        declared = max((size for size in sizes if isinstance(size, int)), default=0)
        return max(declared, max(section.highest for section in self.sections) + 1)

    def locate(self, num: int) -> Entry | None:
        data = self.document.data
        for section in self.sections:
            entry = section.lookup(data, num)
            if entry is not None:
                return entry
        return None

    def numbers(self) -> list[int]:
        """Numbers of all objects in use in this view, ascending."""
        known: set[int] = set()
        for section in self.sections:
            known.update(section.numbers())
        return sorted(num for num in known if (entry := self.locate(num)) is not None and entry.kind != _FREE)

    def indirect(self, ref: Ref) -> Indirect | None:
        """The indirect object, or None when it is free, unknown or of another generation (it reads as null)."""
        if ref.num in self._cache:
            found = self._cache[ref.num]
        else:
            entry = self.locate(ref.num)
            found = None if entry is None or entry.kind == _FREE else self.document._load(self, ref.num, entry)  # noqa: SLF001 -- one class in two halves
            self._cache[ref.num] = found
        return found if found is not None and found.ref.gen == ref.gen else None

    def get(self, ref: Ref) -> PdfObject:
        found = self.indirect(ref)
        return None if found is None else found.value

    def resolve(self, value: PdfObject) -> PdfObject:
        """Follow references until something else stands there; a chain longer than a few is `broken-structure`."""
        for _ in range(8):
            if not isinstance(value, Ref):
                return value
            value = self.get(value)
        raise _broken("references lead in a circle", "chain")

    def dictionary(self, value: PdfObject) -> dict[Name, PdfObject]:
        """`value` resolved, as a dictionary (a stream's own); empty when absent; else `broken-structure`."""
        found = self.resolve(value)
        if isinstance(found, Stream):
            return found.dictionary
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise _broken("a dictionary is expected", str(value)[:20])
        return found

    def array(self, value: PdfObject) -> list[PdfObject]:
        found = self.resolve(value)
        if found is None:
            return []
        if not isinstance(found, list):
            raise _broken("an array is expected", str(value)[:20])
        return found

    @property
    def root(self) -> Ref:
        found = self.trailer.get(Name("Root"))
        if not isinstance(found, Ref):
            raise _broken("the trailer names no catalog", self.startxref)
        return found

    @property
    def catalog(self) -> dict[Name, PdfObject]:
        if self._catalog is None:
            found = self.dictionary(self.root)
            if found.get(Name("Type")) != "Catalog":
                raise _broken("the catalog is none", str(self.root))
            self._catalog = found
        return self._catalog

    @property
    def version(self) -> str:
        """The PDF version in force: the header's, or the catalog's where that is higher."""
        named = self.resolve(self.catalog.get(Name("Version")))
        return max(self.document.header_version, str(named) if isinstance(named, Name) else "")

    def decode(self, stream: Stream, limit: int = filters.MAX_DECODED) -> bytes:
        """The stream's data with its filters undone, at most `limit` bytes; image codecs are left as they are."""
        names = self.resolve(stream.dictionary.get(Name("Filter")))
        parms = self.resolve(stream.dictionary.get(Name("DecodeParms")))
        if Name("F") in stream.dictionary:
            raise PdfError("external-content", "a stream's data stands in another file")
        name_list = [names] if isinstance(names, Name) else self.array(names)
        parm_list = parms if isinstance(parms, list) else [parms]
        steps: list[tuple[str, dict[str, PdfObject]]] = []
        for place, item in enumerate(name_list):
            name = self.resolve(item)
            if not isinstance(name, Name):
                raise _broken("a filter is not a name", stream.start)
            given = self.dictionary(parm_list[place]) if place < len(parm_list) else {}
            steps.append((str(name), {str(key): self.resolve(value) for key, value in given.items()}))
        return filters.decode(stream.raw, steps, limit)

    # Pages

    def pages(self) -> Iterator[Page]:
        """All pages in order. Raises `broken-structure` on loops, wrong types or a wrong `/Count`, `too-large`."""
        index = 0
        seen: set[Ref] = set()
        root, inherited = self._page_root()
        # An explicit stack: (node, inherited values, depth).
        stack: list[tuple[PdfObject, dict[Name, PdfObject], int]] = [(root, inherited, 0)]
        while stack:
            ref, inherited, depth = stack.pop()
            node = self._page_node(ref, depth)
            assert isinstance(ref, Ref)
            if ref in seen:
                raise _broken("a page stands twice in the tree", str(ref))
            seen.add(ref)
            below = _inherit(inherited, node)
            if node.get(Name("Type")) == "Pages":
                stack.extend((kid, below, depth + 1) for kid in reversed(self.array(node.get(Name("Kids")))))
            else:
                yield self._page(ref, index, node, below)
                index += 1
            if len(seen) > MAX_PAGES:
                raise PdfError("too-large", "too many pages")
        if index != self.page_count:
            raise _broken("the page tree counts other pages than it holds", str(root)[:20])

    def page(self, wanted: int) -> Page:
        """Page `wanted` (0 is the first; negative counts from the end), reading only the nodes on the way to it."""
        count = self.page_count
        wanted = wanted + count if wanted < 0 else wanted
        if not 0 <= wanted < count:
            raise PdfError("bad-request", "no such page")
        ref, inherited = self._page_root()
        before = 0
        for depth in range(MAX_DEPTH):
            node = self._page_node(ref, depth)
            assert isinstance(ref, Ref)
            inherited = _inherit(inherited, node)
            if node.get(Name("Type")) == "Page":
                if before != wanted:
                    break
                return self._page(ref, wanted, node, inherited)
            for kid in self.array(node.get(Name("Kids"))):
                holds = self._page_weight(kid)
                if before + holds > wanted:
                    ref = kid
                    break
                before += holds
            else:
                break
        raise _broken("the page tree and its counts disagree", str(ref))

    def page_index(self, wanted: Ref) -> int | None:
        """Where a page stands, None where the tree does not hold it; leaves are not read, where the counts say that a
        node has nothing else. `pages()` is the proof of the counts.
        """
        stack: list[tuple[PdfObject, int, int]] = [(self._page_root()[0], 0, 0)]
        seen = 0
        while stack:
            ref, before, depth = stack.pop()
            seen += 1
            if seen > MAX_PAGES:
                raise PdfError("too-large", "too many pages")
            node = self._page_node(ref, depth)
            if node.get(Name("Type")) == "Page":
                if ref == wanted:
                    return before
                continue
            kids = self.array(node.get(Name("Kids")))
            if len(kids) == self._page_weight(ref):
                found = self.get(wanted) if wanted in kids else None
                if isinstance(found, dict) and found.get(Name("Type")) == "Page":
                    return before + kids.index(wanted)
                continue
            for kid in kids:
                stack.append((kid, before, depth + 1))
                before += self._page_weight(kid)
        # A node of one node each looks like a node of leaves.
        return next((page.index for page in self.pages() if page.ref == wanted), None)

    @property
    def page_count(self) -> int:
        """`/Count` of the page tree's root; `pages()` is the proof."""
        ref, _inherited = self._page_root()
        return self._page_weight(ref)

    def _page_root(self) -> tuple[PdfObject, dict[Name, PdfObject]]:
        return self.catalog.get(Name("Pages")), {}

    def _page_node(self, ref: PdfObject, depth: int) -> dict[Name, PdfObject]:
        if depth > MAX_DEPTH:
            raise PdfError("too-large", "the page tree is too deep")
        node = self.get(ref) if isinstance(ref, Ref) else None
        kind = node.get(Name("Type")) if isinstance(node, dict) else None
        if not isinstance(node, dict) or not isinstance(kind, Name) or kind not in {"Pages", "Page"}:
            raise _broken("not a node of a page tree", str(ref)[:20])
        return node

    def _page_weight(self, ref: PdfObject) -> int:
        node = self._page_node(ref, 0)
        if node.get(Name("Type")) == "Page":
            return 1
        count = self.resolve(node.get(Name("Count")))
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MAX_PAGES:
            raise _broken("a page tree node has no usable count", str(ref))
        return count

    def _page(self, ref: Ref, index: int, node: dict[Name, PdfObject], values: dict[Name, PdfObject]) -> Page:
        media = self._box(values.get(Name("MediaBox")), ref)
        if media is None:
            raise _broken("a page has no size", str(ref))
        crop = self._box(values.get(Name("CropBox")), ref) or media
        visible = (max(media[0], crop[0]), max(media[1], crop[1]), min(media[2], crop[2]), min(media[3], crop[3]))
        if visible[0] >= visible[2] or visible[1] >= visible[3]:
            visible = media
        rotate = self.resolve(values.get(Name("Rotate"), 0))
        if not isinstance(rotate, int | Real) or rotate % 90:
            raise _broken("a page is turned by an odd angle", str(ref))
        unit = self.resolve(node.get(Name("UserUnit"), 1))
        if not isinstance(unit, int | Real) or not 0.01 <= unit <= 1000:
            raise _broken("a page's unit is out of range", str(ref))
        resources = self.dictionary(values.get(Name("Resources")))
        return Page(ref, index, node, resources, media, visible, int(rotate) % 360, float(unit))

    def _box(self, value: PdfObject, ref: Ref) -> tuple[float, float, float, float] | None:
        if value is None:
            return None
        numbers = [self.resolve(item) for item in self.array(value)]
        if len(numbers) != 4 or not all(isinstance(n, int | Real) and abs(n) < 1e6 for n in numbers):
            raise _broken("a page box is malformed", str(ref))
        x0, y0, x1, y1 = (float(n) for n in numbers if isinstance(n, int | Real))
        box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        if box[0] == box[2] or box[1] == box[3]:
            raise _broken("a page box is empty", str(ref))
        return box


_INHERITED = tuple(Name(key) for key in ("Resources", "MediaBox", "CropBox", "Rotate"))


def _inherit(above: dict[Name, PdfObject], node: dict[Name, PdfObject]) -> dict[Name, PdfObject]:
    own = {key: node[key] for key in _INHERITED if key in node}
    return above | own if own else above


class Document:
    """A PDF over its bytes or a memory map of its file.

    `revisions` are oldest first; `head` is the newest, and the short forms (`get`, `catalog`, `pages` ...) speak of it.
    Raises `PdfError`: `broken-structure`, `encrypted`, `too-large`.
    """

    def __init__(self, data: Buffer) -> None:
        self.data = data
        header = _HEADER.match(data)
        if header is None:
            raise _broken("the file does not begin with a PDF header", 0)
        self.header_version = header[1].decode()
        self._packed: dict[tuple[int, int], tuple[bytes, list[tuple[int, int]]]] = {}
        self._loaded: dict[tuple[int, int, int], Indirect] = {}
        sections = self._sections(self._last_startxref())
        self.revisions = self._revisions(sections)
        self.head = self.revisions[-1]
        if any(Name("Encrypt") in section.trailer for section in sections):
            raise PdfError("encrypted", "the file is encrypted")

    # Layout

    def _last_startxref(self) -> int:
        tail_at = max(0, len(self.data) - 1024)
        found = max(_END.finditer(self.data, tail_at), key=re.Match.start, default=None)
        if found is None:
            raise _broken("the file does not end with startxref and %%EOF", len(self.data))
        if self.data[found.end() :].strip(b"\0\t\n\f\r "):
            raise _broken("bytes stand behind the end of the file", found.end())
        return int(found[1])

    def _sections(self, offset: int) -> list[Section]:
        sections: list[Section] = []
        seen: set[int] = set()
        total = 0
        while True:
            if offset in seen:
                raise _broken("cross-reference sections lead in a circle", offset)
            seen.add(offset)
            section = self._section(offset)
            sections.append(section)
            total += section.count
            if len(sections) > MAX_SECTIONS or total > MAX_OBJECTS:
                raise PdfError("too-large", "too many revisions or objects")
            previous = section.trailer.get(Name("Prev"))
            if previous is None:
                return sections
            if not isinstance(previous, int) or isinstance(previous, bool):
                raise _broken("/Prev is not a number", offset)
            offset = previous

    def _section(self, offset: int) -> Section:
        if not 0 < offset < len(self.data):
            raise _broken("a cross-reference section stands outside the file", offset)
        if self.data[offset : offset + 4] == b"xref":
            section, at = self._table(offset)
        else:
            section, at = self._stream_section(offset)
        found = _END.match(self.data, skip_space(self.data, at))
        previous = section.trailer.get(Name("Prev"))
        if found is None and isinstance(previous, int) and previous > offset:
            # The first-page section of a linearized file, where some producers leave both keywords out for a stream.
            section.settle()
            section.end = at
            return section
        if found is None:
            raise _broken("no startxref and %%EOF behind a cross-reference section", at)
        section.settle()
        section.startxref = int(found[1])
        section.end = found.end()
        if self.data[section.end : section.end + 2] == b"\r\n":
            section.end += 2
        elif self.data[section.end : section.end + 1] in {b"\r", b"\n"}:
            section.end += 1
        return section

    def _table(self, offset: int) -> tuple[Section, int]:
        data = self.data
        at = skip_space(data, offset + 4)
        parts: list[_Lines] = []
        while data[at : at + 7] != b"trailer":
            head = _SUBSECTION.match(data, at)
            if head is None:
                raise _broken("a cross-reference table is malformed", at)
            first, count, start = int(head[1]), int(head[2]), head.end()
            if first + count > MAX_OBJECTS:
                raise PdfError("too-large", "too many objects")
            # Lines are 20 bytes; some producers end them with a single character, which makes 19.
            width = 20 if count == 0 or data[start + 18 : start + 20] in {b" \r", b" \n", b"\r\n"} else 19
            lines = _Lines(first, count, start, width)
            if count:
                _line(data, lines, 0)
                _line(data, lines, count - 1)
                parts.append(lines)
            at = skip_space(data, start + count * width)
            if len(parts) > MAX_OBJECTS // 20:
                raise PdfError("too-large", "too many subsections")
        start = skip_space(data, at + 7)
        trailer, end = parse_object(data, start)
        if not isinstance(trailer, dict):
            raise _broken("the trailer is not a dictionary", at)
        section = Section(offset, "table", trailer, (start, end))
        section._lines = parts  # noqa: SLF001 -- filled by its only maker
        beside = trailer.get(Name("XRefStm"))
        if beside is not None:
            if not isinstance(beside, int) or not 0 < beside < len(data):
                raise _broken("/XRefStm does not name an offset", at)
            section.kind = "hybrid"
            other, _end = self._stream_section(beside)
            section._rows = other._rows  # noqa: SLF001
            section.stream_ref = other.stream_ref
        return section, end

    def _stream_section(self, offset: int) -> tuple[Section, int]:
        found, end = self._object_at(offset, None)
        stream = found.value
        if not isinstance(stream, Stream) or stream.dictionary.get(Name("Type")) != "XRef":
            raise _broken("no cross-reference section here", offset)
        own = stream.dictionary
        section = Section(offset, "stream", own, (found.start, found.end))
        section.stream_ref = found.ref
        widths = own.get(Name("W"))
        size = own.get(Name("Size"))
        index = own.get(Name("Index"), [0, size])
        if (
            not isinstance(widths, list)
            or len(widths) != 3
            or not isinstance(index, list)
            or len(index) % 2
            or not all(isinstance(n, int) and 0 <= n <= MAX_OBJECTS for n in index)
            or not all(isinstance(w, int) and 0 <= w <= 8 for w in widths)
        ):
            raise _broken("a cross-reference stream is malformed", offset)
        numbers = [n for n in index if isinstance(n, int)]
        first, second, third = (w for w in widths if isinstance(w, int))
        width = first + second + third
        total = sum(numbers[1::2])
        if total > MAX_OBJECTS:
            raise PdfError("too-large", "too many objects")
        rows = filters.decode(stream.raw, _direct_filters(own, offset), MAX_OBJECTS * 24)
        if len(rows) < total * width or width == 0:
            raise _broken("a cross-reference stream is too short", offset)
        at = 0
        for low, count in zip(numbers[::2], numbers[1::2], strict=True):
            section._rows.append(_Rows(low, count, rows, at, (first, second, third)))  # noqa: SLF001
            at += count * width
        return section, end

    def _revisions(self, sections: list[Section]) -> tuple[Revision, ...]:
        """Group sections, newest first, into revisions; a linearized file's two first sections are one revision."""
        starts = [0]
        for place in range(1, len(sections)):
            newer, older = sections[place - 1], sections[place]
            if older.offset < newer.offset:
                starts.append(place)
            elif place != len(sections) - 1:
                # Only the first-page section of a linearized file points forward, to the main one, the oldest.
                raise _broken("cross-reference sections stand out of order", newer.offset)
        made = [
            (tuple(sections[start:]), max(s.end for s in sections[start : [*starts, len(sections)][number + 1]]))
            for number, start in enumerate(starts)
        ]
        made.reverse()
        ends = [end for _, end in made]
        if ends != sorted(set(ends)):
            raise _broken("revisions overlap", sections[0].offset)
        return tuple(Revision(self, number, view, end) for number, (view, end) in enumerate(made))

    def revision_at(self, length: int) -> Revision | None:
        """The newest revision that ends at or before `length` bytes."""
        place = bisect_right([revision.end for revision in self.revisions], length)
        return self.revisions[place - 1] if place else None

    # Objects

    def _load(self, view: Revision, num: int, entry: Entry) -> Indirect | None:
        # One location holds one object, unless an indirect /Length makes it depend on the view.
        key = (entry.kind, entry.where, entry.extra)
        found = self._loaded.get(key)
        if found is not None and found.ref.num == num:
            return found
        if entry.kind == _PACKED:
            found = self._unpack(view, num, entry)
        else:
            found, _end = self._object_at(entry.where, view)
            if found.ref != (num, entry.extra):
                raise _broken("another object stands at this offset", str(Ref(num, entry.extra)))
        value = found.value
        if not (isinstance(value, Stream) and isinstance(value.dictionary.get(Name("Length")), Ref)):
            self._loaded[key] = found
        return found

    def _object_at(self, offset: int, view: Revision | None) -> tuple[Indirect, int]:
        data = self.data
        head = _OBJECT.match(data, offset) if 0 < offset < len(data) else None
        if head is None:
            raise _broken("no object stands at this offset", offset)
        ref = Ref(int(head[1]), int(head[2]))
        start = skip_space(data, head.end())
        value, end = parse_object(data, start)
        opened = _STREAM.match(data, end) if isinstance(value, dict) else None
        if opened is None:
            behind = skip_space(data, end)
            if data[behind : behind + 6] != b"endobj":
                raise _broken("no endobj behind an object", str(ref))
            return Indirect(ref, value, data, start, end, offset), behind + 6
        assert isinstance(value, dict)
        length = value.get(Name("Length"))
        if isinstance(length, Ref) and view is not None and length.num != ref.num:
            entry = view.locate(length.num)
            # A length is a plain integer; refusing all else keeps this look-up from going deeper.
            length = self._plain_integer(length, entry)
        if not isinstance(length, int) or isinstance(length, bool) or length < 0:
            raise _broken("a stream has no usable length", str(ref))
        closed = _ENDSTREAM.match(data, opened.end() + length)
        if closed is None:
            raise _broken("a stream's length is wrong", str(ref))
        stream = Stream(value, data, opened.end(), opened.end() + length)
        return Indirect(ref, stream, data, start, end, offset), closed.end()

    def _plain_integer(self, ref: Ref, entry: Entry | None) -> PdfObject:
        if entry is None or entry.kind != _PLAIN or entry.extra != ref.gen:
            return None
        head = _OBJECT.match(self.data, entry.where)
        if head is None or (int(head[1]), int(head[2])) != ref:
            return None
        return parse_object(self.data, head.end())[0]

    def _unpack(self, view: Revision, num: int, entry: Entry) -> Indirect:
        inner, header = self._object_stream(view, entry.where)
        if entry.extra >= len(header) or header[entry.extra][0] != num:
            raise _broken("an object stream does not hold this object", str(num))
        start = skip_space(inner, header[entry.extra][1])
        value, end = parse_object(inner, start)
        if isinstance(value, Ref):
            raise _broken("an object stream holds a bare reference", str(num))
        return Indirect(Ref(num, 0), value, inner, start, end, None)

    def _object_stream(self, view: Revision, num: int) -> tuple[bytes, list[tuple[int, int]]]:
        """The decoded object stream `num` and, by index, (object number, offset in it)."""
        entry = view.locate(num)
        if entry is None or entry.kind != _PLAIN:
            raise _broken("an object stream is missing", str(num))
        found = view.indirect(Ref(num, entry.extra))
        key = (entry.where, found.value.end if found and isinstance(found.value, Stream) else 0)
        if key in self._packed:
            return self._packed[key]
        stream = found.value if found else None
        if not isinstance(stream, Stream) or stream.dictionary.get(Name("Type")) != "ObjStm":
            raise _broken("an object stream is none", str(num))
        inner = filters.decode(stream.raw, _direct_filters(stream.dictionary, stream.start))
        count, first = stream.dictionary.get(Name("N")), stream.dictionary.get(Name("First"))
        if not isinstance(count, int) or not isinstance(first, int) or not 0 <= first <= len(inner):
            raise _broken("an object stream is malformed", str(num))
        if not 0 <= count <= len(inner) // 4 + 1:
            raise _broken("an object stream counts wrongly", str(num))
        # Comments between the numbers are allowed; they are cut before the numbers are read all at once.
        plain = re.sub(rb"%[^\r\n]*+", b"", inner[:first])
        numbers = plain.translate(None, b"\0").split()
        if len(numbers) < 2 * count or not all(text.isdigit() and len(text) <= 10 for text in numbers[: 2 * count]):
            raise _broken("an object stream's header is malformed", str(num))
        values = [int(text) for text in numbers[: 2 * count]]
        header = [(number, first + at) for number, at in zip(values[::2], values[1::2], strict=True)]
        self._packed[key] = (inner, header)
        return inner, header

    # Short forms for the newest revision

    @property
    def trailer(self) -> dict[Name, PdfObject]:
        return self.head.trailer

    @property
    def catalog(self) -> dict[Name, PdfObject]:
        return self.head.catalog

    @property
    def page_count(self) -> int:
        return self.head.page_count

    def get(self, ref: Ref) -> PdfObject:
        return self.head.get(ref)

    def resolve(self, value: PdfObject) -> PdfObject:
        return self.head.resolve(value)

    def indirect(self, ref: Ref) -> Indirect | None:
        return self.head.indirect(ref)

    def pages(self) -> Iterator[Page]:
        return self.head.pages()

    def decode(self, stream: Stream, limit: int = filters.MAX_DECODED) -> bytes:
        return self.head.decode(stream, limit)


def _direct_filters(own: dict[Name, PdfObject], at: int) -> list[tuple[str, dict[str, PdfObject]]]:
    """Filters of a structural stream, which must be direct: they are needed before references can be followed."""
    names = own.get(Name("Filter"))
    parms = own.get(Name("DecodeParms"))
    name_list = [] if names is None else names if isinstance(names, list) else [names]
    parm_list = parms if isinstance(parms, list) else [parms]
    steps: list[tuple[str, dict[str, PdfObject]]] = []
    for place, name in enumerate(name_list):
        given = parm_list[place] if place < len(parm_list) else None
        if not isinstance(name, Name) or not (given is None or isinstance(given, dict)):
            raise _broken("filters of a structural stream are malformed", at)
        steps.append((str(name), {str(key): value for key, value in (given or {}).items()}))
    return steps


class open_document:  # noqa: N801 -- used like a function: `with open_document(path) as document`
    """Open a file as a `Document` over a memory map, which is closed at the end of the `with` block."""

    def __init__(self, path: Path) -> None:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise _broken("the file is empty", 0) from None
        finally:
            os.close(file)

    def __enter__(self) -> Document:
        try:
            return Document(self._map)
        except BaseException:
            self._map.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Self | None:
        self._map.close()
        return None
