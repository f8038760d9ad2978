"""Scripts and style sheets without what only readers need: a third of what a slow network would carry.

A lexer of ECMAScript (ECMA-262 §12), as far as it takes to tell comments and white space from strings, templates and regular
expressions. Nothing is reordered: the tokens are those of the source. A line end stays wherever automatic semicolon insertion (§12.10)
could see it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

__all__ = ["script", "style", "tokens"]

_TOKEN: Final = re.compile(
    r"""(?P<space>(?:\s|//[^\n]*|/\*.*?\*/)+)|(?P<word>[\w$#]+)|(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(?P<other>.)""",
    re.DOTALL,
)
# From a backtick or the end of a substitution to the next substitution or the closing backtick.
_PIECE: Final = re.compile(r"[`}](?:\\.|\$(?!\{)|[^\\`$])*(?:`|\$\{)", re.DOTALL)
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
_CLOSING: Final = frozenset(")]}")
# No statement ends behind the first ones or before the second ones, so no semicolon can be inserted there.
_OPEN: Final = frozenset("{([,;=:?&|<>*.")
_CLOSE: Final = frozenset(")],;:?=&|<>*.")


def tokens(source: str) -> Iterator[tuple[str, str]]:
    """Kind ("space", "word", "string", "template", "regex", "other") and text; of a template its pieces, the code in between as tokens.

    Raises: ValueError for a template or a regular expression without an end.
    """
    at, before = 0, ""
    # How many braces are open in each substitution of a template that is open.
    open_: list[int] = []
    while at < len(source):
        char = source[at]
        if char == "`" or (char == "}" and open_ and not open_[-1]):
            kind, text = "template", _matched(_PIECE, source, at)
            if char == "}":
                open_.pop()
            if text.endswith("${"):
                open_.append(0)
        elif char == "/" and source[at + 1 : at + 2] not in {"/", "*"} and before in _BEFORE_REGEX:
            kind, text = "regex", _matched(_REGEX, source, at)
        else:
            matched = _TOKEN.match(source, at)
            assert matched is not None
            kind, text = str(matched.lastgroup), matched[0]
            if open_ and kind == "other":
                open_[-1] += (text == "{") - (text == "}")
        at += len(text)
        if kind != "space":
            before = text if kind in {"word", "other"} else "" if text.endswith("${") else "literal"
        yield kind, text
    if open_:
        raise ValueError("a template without an end")


def _matched(pattern: re.Pattern[str], source: str, at: int) -> str:
    found = pattern.match(source, at)
    if found is None:
        raise ValueError(f"a template or a regular expression without an end at {at}")
    return found[0]


def script(source: bytes) -> bytes:
    """The same tokens with no comment, no sign that says nothing, no white space but what keeps them apart."""
    kept: list[tuple[str, str]] = []
    gaps: list[str] = []
    gap = ""
    for kind, text in tokens(source.decode()):
        if kind == "space":
            gap = "\n" if "\n" in text else " "
            continue
        kept.append((kind, text))
        gaps.append(gap)
        gap = ""
    out: list[str] = []
    idle = _idle(kept)
    dropped = False
    for at, ((_, text), gap) in enumerate(zip(kept, gaps, strict=True)):
        if at in idle:
            dropped = True
            continue
        if gap and out and not dropped and _apart(out[-1], gap, text):
            out.append(gap)
        dropped = False
        out.append(text)
    return "".join([*out, "\n"]).encode()


def _idle(source: Sequence[tuple[str, str]]) -> set[int]:
    """Places of signs that say nothing: a last comma or semicolon, the brackets around an arrow's only parameter."""
    found: set[int] = set()
    heads: list[str] = []  # the word before each bracket that is open
    closed = ""  # the word before the bracket that was closed last
    for at, (kind, text) in enumerate(source):
        before = source[at - 1] if at else ("", "")
        after = [one for _, one in source[at + 1 : at + 5]]
        if kind != "other":
            continue
        # Behind another one a comma is a hole in an array.
        if text == "," and after[:1] and after[0] in _CLOSING and before[1] not in {",", "["}:
            found.add(at)
        # Behind the head of a loop a semicolon is its body.
        if text == ";" and after[:1] == ["}"] and not (before[1] == ")" and closed in {"for", "while", "if"}):
            found.add(at)
        if text == "(":
            heads.append(before[1])
            if source[at + 1][0] == "word" and after[1:4] == [")", "=", ">"] and before[0] != "word":
                found |= {at, at + 2}
        elif text == ")":
            closed = heads.pop()
    return found


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
