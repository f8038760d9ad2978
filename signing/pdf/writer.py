"""A minimal incremental writer (ISO 32000-1, 7.5.6): it renders what is appended to a file, and nothing else.

What a revision does not change is copied token by token; `/Info`, `/Metadata` and unknown trailer keys are never
touched. The cross-reference section has the form of the parent's newest one. A hybrid parent gets a plain table: its
objects that only `/XRefStm` names stay reachable through `/Prev`, and a reader that knows no cross-reference streams
finds ours too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from signing.pdf.errors import PdfError
from signing.pdf.objects import Buffer, Name, Ref, dictionary_spans
from signing.pdf.reader import Indirect, Revision

__all__ = [
    "Addition",
    "dictionary_value",
    "edit_array",
    "edit_dictionary",
    "name_token",
    "number_token",
    "text_string",
]

# Keys of a cross-reference stream's own dictionary that describe the section, not the file.
_SECTION_KEYS = frozenset(
    {"Type", "W", "Index", "Length", "Filter", "DecodeParms", "Size", "Prev", "XRefStm", "ID", "DL", "F", "FFilter"}
)
_REGULAR = frozenset(b"!\"$&'*+,-.0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ\\^_`abcdefghijklmnopqrstuvwxyz|~")


def name_token(name: str) -> bytes:
    """A name as PDF writes it; other than regular ASCII characters are escaped."""
    raw = name.encode("latin-1")
    return b"/" + b"".join(bytes([c]) if c in _REGULAR else b"#%02X" % c for c in raw)


def number_token(value: float) -> bytes:
    """A number with at most four decimals, without exponent or needless zeros."""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return b"0" if text in {"-0", ""} else text.encode("ascii")


def text_string(text: str) -> bytes:
    """A text string: ASCII as a literal, all else as UTF-16BE with its byte order mark (ISO 32000-1, 7.9.2.2)."""
    if text.isascii() and text.isprintable():
        escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        return b"(" + escaped.encode("ascii") + b")"
    return b"<FEFF" + text.encode("utf-16-be").hex().upper().encode("ascii") + b">"


def edit_dictionary(data: Buffer, start: int, end: int, changes: Mapping[str, bytes | None]) -> bytes:
    """The tokens `data[start:end]` of a dictionary with some values replaced, added or (None) left out."""
    out: list[bytes] = []
    at = start
    done: set[str] = set()
    for key, key_start, value_start, value_end in dictionary_spans(data, start):
        if key not in changes:
            continue
        done.add(key)
        tokens = changes[key]
        out.append(data[at:key_start] if tokens is None else data[at:value_start])
        if tokens is not None:
            # A value may touch its key only because it began with a delimiter; the new one might not.
            out.append(b" " + tokens if value_start and data[value_start - 1] not in b"\0\t\n\f\r " else tokens)
            if data[value_end : value_end + 1] not in {b" ", b"\n", b"\r", b">", b"/"}:
                out.append(b" ")
        at = value_end
    out.append(data[at : end - 2])
    out.extend(b" " + name_token(key) + b" " + tokens for key, tokens in changes.items() if tokens and key not in done)
    return b"".join([*out, b" >>"])


def edit_array(tokens: bytes, more: list[Ref]) -> bytes:
    """An array's tokens with references appended."""
    return tokens[:-1] + b"".join(b" %d %d R" % ref for ref in more) + b"]"


def dictionary_value(found: Indirect, key: str) -> tuple[int, int] | None:
    """Where the tokens of `key`'s value stand in a dictionary object, None when it has no such key."""
    for name, _key_start, start, end in dictionary_spans(found.data, found.start):
        if name == key:
            return start, end
    return None


class Addition:
    """The objects that a new revision adds or replaces, and their rendering behind a parent of known length."""

    def __init__(self, parent: Revision) -> None:
        self.parent = parent
        self._next = parent.size
        self._bodies: dict[Ref, bytes] = {}
        self._hole: tuple[Ref, int, int] | None = None

    def reserve(self) -> Ref:
        """A fresh object number; never one that the parent left unused."""
        self._next += 1
        return Ref(self._next - 1, 0)

    def put(self, ref: Ref, body: bytes) -> Ref:
        """Give an object its tokens, once: one that plays two parts in the parent would lose the first change."""
        if ref in self._bodies:
            raise PdfError("broken-structure", "one object stands in two places", place=str(ref))
        self._bodies[ref] = body
        return ref

    def put_holed(self, ref: Ref, head: bytes, hole: int, rest: bytes) -> Ref:
        """Give an object tokens with `hole` zeros among them, which are filled later; they say nothing, so the file identifier leaves them out."""
        self._hole = (ref, len(head), hole)
        return self.put(ref, head + b"0" * hole + rest)

    def add(self, body: bytes) -> Ref:
        return self.put(self.reserve(), body)

    def add_stream(self, entries: bytes, data: bytes) -> Ref:
        """A new stream; `entries` are the tokens of its dictionary without `/Length`."""
        return self.add(b"<< %s /Length %d >>\nstream\n%s\nendstream" % (entries, len(data), data))

    def tokens(self, ref: Ref) -> Indirect:
        """The parent's object, which must exist, to be copied with changes."""
        found = self.parent.indirect(ref)
        if found is None:
            raise PdfError("broken-structure", "a needed object is missing", place=str(ref))
        return found

    def edit(self, ref: Ref, changes: Mapping[str, bytes | None]) -> None:
        """Replace an object of the parent that is a dictionary by a copy with `changes`."""
        found = self.tokens(ref)
        self.put(ref, edit_dictionary(found.data, found.start, found.end, changes))

    def render(self, length: int, lead: bytes = b"") -> tuple[bytes, dict[Ref, int]]:
        """The bytes to append behind a parent of `length` bytes, and the file offset of each object's body.

        `lead` is a line feed when the parent does not end with an end of line.
        """
        out = bytearray(lead)
        offsets: dict[int, tuple[int, int]] = {}
        bodies: dict[Ref, int] = {}
        for ref, body in self._bodies.items():
            offsets[ref.num] = (length + len(out), ref.gen)
            out += b"%d %d obj\n" % ref
            bodies[ref] = length + len(out)
            out += body + b"\nendobj\n"
        section = length + len(out)
        identity = self._identity(self._digest(out, bodies, length))
        if self.parent.kind == "stream":
            out += self._xref_stream(offsets, section, identity)
        else:
            out += _xref_table(offsets) + self._trailer(self._next, identity)
        out += b"startxref\n%d\n%%%%EOF\n" % section
        return bytes(out), bodies

    def _digest(self, out: bytearray, bodies: dict[Ref, int], length: int) -> str:
        """SHA-256 (hex) of what is added, without the hole."""
        state = hashlib.sha256()
        with memoryview(out) as added:
            if self._hole is None:
                state.update(added)
            else:
                ref, before, hole = self._hole
                start = bodies[ref] - length + before
                state.update(added[:start])
                state.update(added[start + hole :])
        return state.hexdigest()

    def _file_keys(self, size: int, identity: bytes) -> bytes:
        """The trailer's entries: the parent's as they stand, with ours replaced."""
        section = self.parent.sections[0]
        start, _end = section.trailer_span
        data = self.parent.document.data
        parts = [b"/Size %d /Prev %d" % (size, self.parent.startxref)]
        for key, key_start, value_start, value_end in dictionary_spans(data, start):
            if key == "ID":
                parts.append(b"/ID " + identity)
            elif key not in _SECTION_KEYS:
                parts.append(data[key_start:value_start].strip() + b" " + data[value_start:value_end])
        return b"\n".join(parts)

    def _identity(self, added: str) -> bytes:
        """The permanent half kept, the changing half derived from what is added (ISO 32000-1, 14.4)."""
        identity = self.parent.resolve(self.parent.trailer.get(Name("ID")))
        first = identity[0] if isinstance(identity, list) and identity else b""
        if not isinstance(first, bytes):
            raise PdfError("broken-structure", "the file identifier is malformed", place="trailer")
        return b"[<%s> <%s>]" % (first.hex().encode(), added[:32].encode())

    def _trailer(self, size: int, identity: bytes) -> bytes:
        return b"trailer\n<< " + self._file_keys(size, identity) + b" >>\n"

    def _xref_stream(self, offsets: dict[int, tuple[int, int]], section: int, identity: bytes) -> bytes:
        own = self._next
        entries = offsets | {own: (section, 0)}
        width = max(3, (section.bit_length() + 7) // 8)
        rows = b"".join(
            b"\1" + entries[num][0].to_bytes(width) + entries[num][1].to_bytes(2) for num in sorted(entries)
        )
        index = b" ".join(b"%d %d" % run for run in _runs(sorted(entries)))
        return (
            b"%d 0 obj\n<< /Type /XRef /W [1 %d 2] /Index [%s]\n%s /Length %d >>\nstream\n%s\nendstream\nendobj\n"
            % (
                own,
                width,
                index,
                self._file_keys(own + 1, identity),
                len(rows),
                rows,
            )
        )


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for num in numbers:
        if runs and runs[-1][0] + runs[-1][1] == num:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((num, 1))
    return runs


def _xref_table(offsets: dict[int, tuple[int, int]]) -> bytes:
    out = [b"xref\n"]
    for first, count in _runs(sorted(offsets)):
        out.append(b"%d %d\n" % (first, count))
        out.extend(b"%010d %05d n\r\n" % offsets[num] for num in range(first, first + count))
    return b"".join(out)
