"""Scripts and style sheets without what only readers need: a third of what a slow network would carry.

A lexer of ECMAScript (ECMA-262 §12), as far as it takes to tell comments and white space from strings, templates and regular
expressions. Nothing is renamed or reordered: the tokens are those of the source. A line end stays wherever automatic semicolon
insertion (§12.10) could see it.
"""

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["script", "style", "tokens"]

_TOKEN: Final = re.compile(
    r"""(?P<space>(?:\s|//[^\n]*|/\*.*?\*/)+)|(?P<word>[\w$#]+)|(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(?P<other>.)""",
    re.DOTALL,
)
_REGEX: Final = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/\w*")
# A slash after one of these begins a regular expression; after a name, a number or a closing bracket it divides.
_BEFORE_REGEX: Final = frozenset("(,=:[!&|?{};+-*%<>~^") | {
    "",
    "return",
    "typeof",
    "case",
    "in",
    "of",
    "await",
    "yield",
}
# No statement ends behind the first ones or before the second ones, so no semicolon can be inserted there.
_OPEN: Final = frozenset("{([,;=:?&|<>*.")
_CLOSE: Final = frozenset(")],;:?=&|<>*.")


def tokens(source: str, at: int = 0, *, until: str = "") -> Iterator[tuple[str, str]]:
    """Kind ("space", "word", "string", "template", "regex", "other") and text, to the end or to the unmatched `until`.

    Raises: ValueError for a template or a regular expression without an end.
    """
    before, depth = "", 0
    while at < len(source):
        char = source[at]
        if char == "`":
            kind, text = "template", source[at : _template_end(source, at)]
        elif char == "/" and source[at + 1 : at + 2] not in {"/", "*"} and before in _BEFORE_REGEX:
            found = _REGEX.match(source, at)
            if found is None:
                raise ValueError(f"a regular expression without an end at {at}")
            kind, text = "regex", found[0]
        else:
            matched = _TOKEN.match(source, at)
            assert matched is not None
            kind, text = str(matched.lastgroup), matched[0]
        if until and text == until and depth == 0:
            return
        depth += (text == "{") - (text == "}")
        at += len(text)
        if kind != "space":
            before = text if kind in {"word", "other"} else "literal"
        yield kind, text


def _template_end(source: str, start: int) -> int:
    """Behind the closing backtick; substitutions are code of their own, with strings and templates in them."""
    at = start + 1
    while at < len(source):
        if source[at] == "`":
            return at + 1
        if source.startswith("${", at):
            at += 2 + sum(len(text) for _, text in tokens(source, at + 2, until="}")) + 1
        else:
            at += 2 if source[at] == "\\" else 1
    raise ValueError(f"a template without an end at {start}")


def script(source: bytes) -> bytes:
    """The same tokens with no comment, and no white space but what keeps them apart."""
    out: list[str] = []
    gap = ""
    for kind, text in tokens(source.decode()):
        if kind == "space":
            gap = "\n" if "\n" in text else " "
            continue
        if gap and out and _apart(out[-1], gap, text):
            out.append(gap)
        out.append(text)
        gap = ""
    return "".join([*out, "\n"]).encode()


def _apart(before: str, gap: str, after: str) -> bool:
    """Whether `gap` must stay: between words, between signs that would run together, at a line end that may end a statement."""
    last, first = before[-1], after[0]
    if gap == "\n":
        return before not in _OPEN and after not in _CLOSE
    words = (last.isalnum() or last in "_$") and (first.isalnum() or first in "_$#")
    return words or (last == first and last in "+-") or (last.isdigit() and first == ".") or (last, first) == ("/", "/")


def style(source: bytes) -> bytes:
    """CSS without comments, indents and the spaces that no grammar asks for; no string of ours holds `/*`, `{`, `;` or a double space."""
    bare = re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", source.decode(), flags=re.DOTALL))
    return re.sub(r" ?([{};,]) ?", r"\1", bare).replace(";}", "}").replace(": ", ":").strip().encode() + b"\n"
