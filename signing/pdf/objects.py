"""PDF objects and their lexical form (ISO 32000-1, 7.2 and 7.3).

Python shapes: null `None`, boolean `bool`, integer `int`, real `Real`, name `Name` (without the slash, `#xx` resolved,
one character a byte), string `bytes` (decoded), array `list`, dictionary `dict` keyed by `Name`, indirect reference
`Ref`, stream `Stream`. Parsing is strict: what the standard does not allow is `broken-structure`, because a second
reader may resolve it differently (threat B9). Depth and token lengths are bounded, whatever the bytes.
"""

from __future__ import annotations

import mmap
import re
from binascii import unhexlify
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple, Self, TypeAlias

from signing.pdf.errors import PdfError

__all__ = [
    "MAX_DEPTH",
    "Buffer",
    "Name",
    "PdfObject",
    "Real",
    "Ref",
    "Stream",
    "dictionary_spans",
    "parse_object",
    "skip_space",
]

MAX_DEPTH = 64

Buffer: TypeAlias = bytes | mmap.mmap


class Name(str):
    """A name object. Strings are `bytes`, so a `str` met in a parsed object is always a name."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"/{self!s}"


class Real(float):
    """A real number that remembers how it was written; equality is that of the value."""

    __slots__ = ("token",)
    token: bytes

    def __new__(cls, token: bytes) -> Self:
        made = super().__new__(cls, token)
        made.token = token
        return made


class Ref(NamedTuple):
    num: int
    gen: int = 0

    def __str__(self) -> str:
        return f"{self.num} {self.gen}"


class Stream:
    """A stream: its dictionary and where its still encoded bytes stand in `data`."""

    __slots__ = ("data", "dictionary", "end", "start")

    def __init__(self, dictionary: dict[Name, PdfObject], data: Buffer, start: int, end: int) -> None:
        self.dictionary = dictionary
        self.data = data
        self.start = start
        self.end = end

    @property
    def raw(self) -> bytes:
        return self.data[self.start : self.end]

    def __repr__(self) -> str:
        return f"Stream({self.dictionary!r}, {self.end - self.start} bytes)"


PdfObject: TypeAlias = (
    "bool | int | Real | Name | bytes | list[PdfObject] | dict[Name, PdfObject] | Ref | Stream | None"
)

# Possessive quantifiers throughout: no input makes these expressions go back over what they have read.
_SPACE = re.compile(rb"(?:[\0\t\n\f\r ]++|%[^\r\n]*+)*+")
_REGULAR = rb"[^\0\t\n\f\r ()<>\[\]{}/%]"
_TOKEN = re.compile(
    rb"(?:[\0\t\n\f\r ]++|%[^\r\n]*+)*+(?:"
    rb"(?P<ref>(\d{1,8})[\0\t\n\f\r ]++(\d{1,5})[\0\t\n\f\r ]++R(?!" + _REGULAR + rb"))"
    rb"|(?P<int>[+-]?\d{1,19}(?!" + _REGULAR + rb"))"
    rb"|(?P<name>/(?:" + _REGULAR + rb"){0,1024}+)"
    rb"|(?P<plain>\([^()\\\r]*+\))"
    rb"|(?P<dict><<)|(?P<close>>>)"
    rb"|(?P<hex><)"
    rb"|(?P<array>\[)|(?P<end>\])"
    rb"|(?P<real>[+-]?(?:\d{1,40}\.\d{0,40}|\.\d{1,40})(?!" + _REGULAR + rb"))"
    rb"|(?P<word>(?:true|false|null)(?!" + _REGULAR + rb"))"
    rb"|(?P<string>\()"
    rb")"
)
# Whole arrays of numbers or of references, which page trees and cross-reference streams have by the thousand.
_NUMBERS = re.compile(rb"(?:[\t\n\f\r ]*+\d{1,19}(?=[\t\n\f\r \]]))*+[\t\n\f\r ]*+\]")
_REFERENCES = re.compile(
    rb"(?:[\t\n\f\r ]*+\d{1,8}[\t\n\f\r ]++\d{1,5}[\t\n\f\r ]++R(?=[\t\n\f\r \]]))*+[\t\n\f\r ]*+\]"
)
_ESCAPED_NAME = re.compile(rb"#([0-9A-Fa-f]{2})")
_STRING_STEP = re.compile(rb"[^()\\\r]*+(?:\\(?:[0-7]{1,3}|\r\n|.)|\r\n?|[()])", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"\n": b"", b"\r": b"", b"\r\n": b""}
_HEX_SPACE = b"\0\t\n\f\r "
_WORDS: dict[bytes, bool | None] = {b"true": True, b"false": False, b"null": None}


def skip_space(data: Buffer, at: int) -> int:
    """The first offset at or after `at` that is neither white space nor inside a comment."""
    found = _SPACE.match(data, at)
    return found.end() if found else at


def _broken(at: int, why: str) -> PdfError:
    return PdfError("broken-structure", why, place=f"byte {at}")


def _name(token: bytes, at: int) -> Name:
    if b"#" in token:
        if token.count(b"#") != len(_ESCAPED_NAME.findall(token)):
            raise _broken(at, "bad escape in a name")
        token = _ESCAPED_NAME.sub(lambda m: bytes([int(m[1], 16)]), token)
    # A file says the same few names over and over; what is remembered is bounded in number and length.
    return _known_name(token) if len(token) <= 32 else Name(token.decode("latin-1"))


@lru_cache(maxsize=1024)
def _known_name(token: bytes) -> Name:
    return Name(token.decode("latin-1"))


_MAX_PARENTHESES: Final = 10_000


def _string(data: Buffer, at: int) -> tuple[bytes, int]:
    """A literal string whose opening parenthesis stands at `at`: its bytes and the offset behind it."""
    out = bytearray()
    depth = 1
    at += 1
    while True:
        step = _STRING_STEP.match(data, at)
        if step is None:
            raise _broken(len(data), "unterminated string")
        text = step[0]
        at = step.end()
        last = text[-1:]
        cut = text.find(b"\\")
        if cut >= 0:
            out += text[:cut]
            escape = text[cut + 1 :]
            if escape[:1] in b"01234567":
                out.append(int(escape, 8) & 255)
            else:
                out += _ESCAPES.get(escape, escape)
        elif last == b"(":
            depth += 1
            if depth > _MAX_PARENTHESES:
                raise PdfError("too-large", "parentheses nested too deeply", place=f"byte {at}")
            out += text
        elif last == b")":
            depth -= 1
            if depth == 0:
                out += text[:-1]
                return bytes(out), at
            out += text
        else:
            # A bare end of line inside a string reads as one line feed, however it was written.
            out += text[: -2 if text.endswith(b"\r\n") else -1] + b"\n"


def _hex(data: Buffer, at: int) -> tuple[bytes, int]:
    """A hexadecimal string whose digits begin at `at`: its bytes and the offset behind it.

    A signature's hole is one of many kB, which this reads several times as fast as an expression. Looked for in steps, so that what is
    no string costs no more than the digits that it begins with (threat B3).
    """
    end, step = at, 512
    while (close := data.find(b">", end, end + step)) < 0:
        if len(data) < end + step or not _is_hex(data[end : end + step]):
            raise _broken(end, "not a hexadecimal string")
        end += step
        step *= 2
    digits = data[at:close]
    try:
        return unhexlify(digits), close + 1
    except ValueError:  # white space between the digits, an odd number of them, or something else
        digits = digits.translate(None, _HEX_SPACE)
    try:
        return unhexlify(digits + b"0" if len(digits) % 2 else digits), close + 1
    except ValueError:
        raise _broken(at, "not a hexadecimal string") from None


def _is_hex(digits: bytes) -> bool:
    return not digits.translate(None, b"0123456789ABCDEFabcdef" + _HEX_SPACE)


def parse_object(data: Buffer, at: int, depth: int = 0) -> tuple[PdfObject, int]:
    """The object that starts at `at` (after white space) and the offset behind it; a stream's data is not looked at."""
    if depth > MAX_DEPTH:
        raise PdfError("too-large", "objects nested too deeply", place=f"byte {at}")
    token = _TOKEN.match(data, at)
    if token is None:
        raise _broken(at, "no object here")
    kind = token.lastgroup
    end = token.end()
    match kind:
        case "ref":
            return Ref(int(token[2]), int(token[3])), end
        case "int":
            return int(token["int"]), end
        case "name":
            return _name(token["name"][1:], end), end
        case "plain":
            return token["plain"][1:-1], end
        case "dict":
            return _dictionary(data, end, depth)
        case "array":
            return _array(data, end, depth)
        case "hex":
            return _hex(data, end)
        case "real":
            return Real(token["real"]), end
        case "word":
            return _WORDS[token["word"]], end
        case "string":
            return _string(data, token.start("string"))
        case _:
            raise _broken(end, "a bracket closes nothing")


def _array(data: Buffer, at: int, depth: int) -> tuple[list[PdfObject], int]:
    if depth < MAX_DEPTH:
        if alike := _NUMBERS.match(data, at):
            return [int(number) for number in alike[0][:-1].split()], alike.end()
        if alike := _REFERENCES.match(data, at):
            numbers = map(int, alike[0][:-1].replace(b"R", b"").split())
            return [Ref(number, generation) for number, generation in zip(numbers, numbers, strict=True)], alike.end()
    items: list[PdfObject] = []
    while True:
        start = skip_space(data, at)
        if data[start : start + 1] == b"]":
            return items, start + 1
        item, at = parse_object(data, start, depth + 1)
        items.append(item)


def _dictionary(data: Buffer, at: int, depth: int) -> tuple[dict[Name, PdfObject], int]:
    entries: dict[Name, PdfObject] = {}
    while True:
        token = _TOKEN.match(data, at)
        if token is None:
            raise _broken(at, "unterminated dictionary")
        at = token.end()
        if token.lastgroup == "close":
            return entries, at
        if token.lastgroup != "name":
            raise _broken(at, "a dictionary key is not a name")
        key = _name(token["name"][1:], at)
        if key in entries:
            raise _broken(at, "a dictionary key stands twice")
        entries[key], at = parse_object(data, at, depth + 1)


def dictionary_spans(data: Buffer, at: int) -> Iterator[tuple[Name, int, int, int]]:
    """(key, start of the key, start of the value, end of the value) for each entry of the dictionary at `at`.

    With these a dictionary is rewritten by copying the tokens of all that does not change.
    """
    start = skip_space(data, at)
    if data[start : start + 2] != b"<<":
        raise _broken(start, "not a dictionary")
    at = start + 2
    while True:
        token = _TOKEN.match(data, at)
        if token is None or token.lastgroup not in {"name", "close"}:
            raise _broken(at, "a dictionary key is not a name")
        if token.lastgroup == "close":
            return
        key_start = token.start("name")
        key = _name(token["name"][1:], key_start)
        value_start = skip_space(data, token.end())
        _value, at = parse_object(data, value_start)
        yield key, key_start, value_start, at
