"""Long private names of a script become short ones before it is sent, by its scopes (ECMA-262 §8.2) as far as this client writes them.

Careful rather than complete: a name stays wherever it is not certain that every use of it is bound here. What is exported, imported, a
member or written in shorthand (`{ name }`) stays; so does a name that is used outside the scopes that declare it, for that is the
browser's. One short name stands for one long one in the whole file and is no word of it, so nothing can be captured. TypeScript's
binder judges in the tests that every name is still bound to the same declaration.
"""

import string
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

Token = tuple[str, str]

_DECLARING: Final = frozenset({"const", "let", "function", "class"})
# What stands before the brace of a block; before any other brace an object, a pattern or a class begins.
_BEFORE_BLOCK: Final = frozenset({")", "=>", "else", "try", "finally", "do", ";", "}", "{", ""})
_RESERVED: Final = frozenset({"as", "do", "if", "in", "is", "of"})


def shortened(source: Sequence[Token]) -> list[str]:
    """The texts of tokens (kind, text) without white space, private names by short ones."""
    scopes = _Scopes(source)
    uses = Counter(scopes.texts[at] for at in scopes.names)
    words = {text for kind, text in source if kind == "word"}
    short = (one for one in _candidates() if one not in words)
    free = [name for name, _ in uses.most_common() if scopes.is_private(name) and len(name) > 2]
    names = dict(zip(free, short, strict=False))
    given = set(scopes.names)
    return [names.get(text, text) if at in given else text for at, text in enumerate(scopes.texts)]


def _candidates() -> Iterator[str]:
    letters = string.ascii_lowercase + string.ascii_uppercase
    yield from letters
    yield from (one for one in (a + b for a in letters for b in letters) if one not in _RESERVED)


class _Scopes:
    """`names`: places of tokens that name a binding. `bound`: where each declared name holds, as first and last place."""

    def __init__(self, source: Sequence[Token]) -> None:
        self.kinds = [kind for kind, _ in source]
        self.texts = [text for _, text in source]
        self.names: list[int] = []
        self.bound: dict[str, list[tuple[int, int]]] = {}
        self._kept: set[str] = set()
        self._end: dict[int, int] = {}
        self._begin: dict[int, int] = {}
        self._around: list[int] = []
        self._blocks: set[int] = set()
        self._nest()
        for at in range(len(self.texts)):
            self._functions(at)
            if self._is_name(at):
                self.names.append(at)
                self._declarations(at)
        for at in self.names:
            text = self.texts[at]
            if not any(first <= at <= last for first, last in self.bound.get(text, ())):
                self._kept.add(text)

    def is_private(self, name: str) -> bool:
        return name in self.bound and name not in self._kept

    def _nest(self) -> None:
        """Match the brackets, among them the substitutions of templates; -1 is around everything."""
        open_: list[int] = []
        for at, (kind, text) in enumerate(zip(self.kinds, self.texts, strict=True)):
            piece = kind == "template"
            if (kind == "other" and text in ")]}") or (piece and text[0] == "}"):
                self._end[open_[-1]] = at
                self._begin[at] = open_.pop()
            self._around.append(open_[-1] if open_ else -1)
            if (kind == "other" and text in "([{") or (piece and text.endswith("${")):
                if text == "{" and self._before(at) in _BEFORE_BLOCK:
                    self._blocks.add(at)
                open_.append(at)

    def _text(self, at: int) -> str:
        return self.texts[at] if 0 <= at < len(self.texts) else ""

    def _before(self, at: int) -> str:
        """The sign or word before a place; an arrow as one."""
        return "=>" if self._text(at - 1) == ">" and self._text(at - 2) == "=" else self._text(at - 1)

    def _is_spread(self, at: int) -> bool:
        return self.texts[max(0, at - 3) : at] == [".", ".", "."]

    def _in_object(self, at: int) -> bool:
        around = self._around[at]
        return around >= 0 and self._text(around) == "{" and around not in self._blocks

    def _is_name(self, at: int) -> bool:
        """Whether a binding is named, not a member; notes the names that must stay as they are."""
        text, before, after = self.texts[at], self._text(at - 1), self._text(at + 1)
        if self.kinds[at] != "word" or text[0].isdigit() or (before == "." and not self._is_spread(at)):
            return False
        if self._in_object(at) and before in {"{", ",", "}", ";", "async", "get", "set", "*"}:
            # A key, else shorthand or a method: a name and a member at once.
            if after != ":":
                self._kept.add(text)
            return False
        return True

    def _bind(self, at: int, first: int, last: int) -> None:
        self.bound.setdefault(self.texts[at], []).append((first, last))

    def _block(self, at: int) -> tuple[int, int]:
        """The nearest block around a place, else the whole script."""
        around = self._around[at]
        while around >= 0 and around not in self._blocks:
            around = self._around[around]
        return (around, self._end[around]) if around >= 0 else (0, len(self.texts))

    def _declarations(self, at: int) -> None:
        before, around = self._text(at - 1), self._around[at]
        first, last = self._block(at)
        if before in _DECLARING:
            modifiers = {self._text(at - 2), self._text(at - 3) if self._text(at - 2) == "async" else ""}
            if "export" in modifiers:
                self._kept.add(self.texts[at])
            # The head of a loop begins its scope.
            self._bind(at, around if around == at - 2 and self._text(around) == "(" else first, last)
        elif around >= 0 and self._text(around) == "[" and self._text(around - 1) in {"const", "let"}:
            self._bind(at, first, last)

    def _functions(self, at: int) -> None:
        """Bind the parameters of the function or of the `catch` whose head begins here."""
        text, after = self.texts[at], self._text(at + 1)
        if self.kinds[at] == "other" and text == ">" and self._text(at - 1) == "=":
            end = self._body_end(at + 1)
            if self._text(at - 2) == ")":
                self._parameters(self._begin[at - 2], end)
            elif self.kinds[at - 2] == "word":
                self._bind(at - 2, at - 2, end)
        elif self.kinds[at] == "word" and self._text(at - 1) != ".":
            head = at + 1 if after == "(" else at + 2
            if text == "function" or (text == "catch" and after == "("):
                self._parameters(head, self._body_end(self._end[head] + 1))

    def _parameters(self, head: int, last: int) -> None:
        for at in range(head + 1, self._end[head]):
            plain = self._text(at - 1) in {"(", ",", "["} or self._is_spread(at)
            renamed = self._in_object(at) and self._text(at - 1) == ":"
            if (
                self.kinds[at] == "word"
                and (renamed or (plain and not self._in_object(at)))
                and self._is_parameter(at, head)
            ):
                self._bind(at, head, last)

    def _is_parameter(self, at: int, head: int) -> bool:
        """Whether nothing but patterns is around; a default value is none."""
        around = self._around[at]
        while around != head and self._text(around) in {"[", "{"} and self._text(around - 1) != "=":
            around = self._around[around]
        return around == head

    def _body_end(self, at: int) -> int:
        """The last place of a function's body: its block, or the expression of an arrow."""
        if self._text(at) == "{":
            return self._end[at]
        around = self._around[at]
        limit = self._end[around] if around >= 0 else len(self.texts)
        while at < limit and self.texts[at] not in {",", ";"}:
            at = self._end.get(at, at) + 1
        return at
