"""The scopes of a script (ECMA-262 §8.2) as far as this client writes them: what is bound where, and each place that names it.

Statements end in a semicolon or a brace. Known are `const`, `let`, `function`, `class`, arrows, methods, `catch` and patterns; `var`, labels
and `with` are not. acorn and eslint-scope judge in the tests that every name is found bound as they find it.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

__all__ = ["Binding", "Scopes", "Token"]

# Kind and text (`spare.tokens`).
Token = tuple[str, str]

# What stands before the brace of a block; before any other brace an object, a pattern or a class begins.
_BEFORE_BLOCK: Final = frozenset({")", "=>", "else", "try", "finally", "do", ";", "}", "{", ""})
_MODIFIERS: Final = frozenset({"async", "get", "set", "static"})


class Binding(NamedTuple):
    """`first`, `last`: the places of the tokens between which `name` means this; `uses`: where it is named, its declaration among them."""

    name: str
    first: int
    last: int
    uses: list[int]


class Scopes:
    """Of tokens without white space. `free`: names that nothing here binds, keywords among them; `shorthand`: uses that are a key as well (`{ name }`)."""

    def __init__(self, source: Sequence[Token]) -> None:
        self.kinds = [kind for kind, _ in source]
        self.texts = [text for _, text in source]
        self.bindings: list[Binding] = []
        self.free: dict[str, list[int]] = {}
        self.shorthand: set[int] = set()
        self._end: dict[int, int] = {}
        self._begin: dict[int, int] = {}
        self._around: list[int] = []
        self._blocks: set[int] = set()
        self._classes: set[int] = set()
        # The head of the function or of the `catch` whose body a block is: no name may be bound in both.
        self._heads: dict[int, int] = {}
        self._nest()
        for at in range(len(source)):
            self._functions(at)
        for at in range(len(source)):
            self._declarations(at)
        self._resolve()

    def is_outermost(self, one: Binding) -> bool:
        return (one.first, one.last) == (0, len(self.texts))

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
                if text == "{" and (self._text(at - 2) == "class" or self._text(at - 4) == "class"):
                    self._classes.add(at)
                elif text == "{" and self._before(at) in _BEFORE_BLOCK:
                    self._blocks.add(at)
                open_.append(at)

    def _text(self, at: int) -> str:
        return self.texts[at] if 0 <= at < len(self.texts) else ""

    def _before(self, at: int) -> str:
        """The sign or word before a place; an arrow as one."""
        return "=>" if self._text(at - 1) == ">" and self._text(at - 2) == "=" else self._text(at - 1)

    def _is_member(self, at: int) -> bool:
        return self._text(at - 1) == "." and self.texts[max(0, at - 3) : at] != [".", ".", "."]

    def _is_key(self, at: int) -> bool:
        """Whether a word stands where an object or a class names its members."""
        around, before = self._around[at], self._text(at - 1)
        if around in self._classes:
            return before in {"{", "}", ";"} or before in _MODIFIERS
        if around < 0 or self.texts[around] != "{" or around in self._blocks:
            return False
        return before in {"{", ","} or (before in _MODIFIERS and self._text(at - 2) in {"{", ","})

    def _functions(self, at: int) -> None:
        """Bind the parameters of the function or of the `catch` whose head begins here."""
        text, after = self.texts[at], self._text(at + 1)
        if self.kinds[at] == "other" and text == ">" and self._text(at - 1) == "=":
            end = self._body_end(at + 1)
            if self._text(at - 2) == ")":
                self._parameters(self._begin[at - 2], at + 1, end)
            else:
                self._heads[at + 1] = at - 2
                self._bind(at - 2, at - 2, end)
        elif self.kinds[at] == "word" and not self._is_member(at):
            head = at + 1 if after == "(" else at + 2
            body = self._end.get(head, -2) + 1
            method = after == "(" and self._is_key(at) and self._text(body) == "{"
            if method or (text == "function" and not self._is_key(at)) or (text == "catch" and after == "("):
                self._parameters(head, body, self._end[body])

    def _parameters(self, head: int, body: int, last: int) -> None:
        if self._text(body) == "{":
            self._heads[body] = head
        for at in self._elements(head):
            self._bind(at, head, last)

    def _body_end(self, at: int) -> int:
        """The last place of an arrow's body: its block, or its expression and what ends it."""
        if self._text(at) == "{":
            self._blocks.add(at)
            return self._end[at]
        return self._skip(at, self._limit(at))

    def _limit(self, at: int) -> int:
        around = self._around[at] if at < len(self.texts) else -1
        return self._end[around] if around >= 0 else len(self.texts)

    def _skip(self, at: int, limit: int) -> int:
        """Where an expression ends: at a comma, a semicolon or the limit."""
        while at < limit and not (self.kinds[at] == "other" and self.texts[at] in {",", ";"}):
            at = self._end.get(at, at) + 1
        return min(at, limit)

    def _elements(self, opening: int) -> Iterator[int]:
        """The places that a pattern in brackets binds, or the parameters of a head."""
        at, limit = opening + 1, self._end[opening]
        while at < limit:
            while self.texts[at] in {",", "."}:
                at += 1
            if at >= limit:
                return
            if self.texts[opening] == "{" and self._text(self._end.get(at, at) + 1) == ":":
                at = self._end.get(at, at) + 2
            yield from self._pattern(at)
            at = self._skip(at, limit)

    def _pattern(self, at: int) -> Iterator[int]:
        if self.kinds[at] == "word":
            yield at
        else:
            yield from self._elements(at)

    def _declarations(self, at: int) -> None:
        text = self.texts[at]
        if self.kinds[at] != "word" or self._is_member(at) or self._is_key(at):
            return
        first, last = self._block(at)
        if text in {"class", "function"} and self.kinds[at + 1] == "word":
            self._bind(at + 1, first, last)
        elif text in {"const", "let"}:
            around = self._around[at]
            if around == at - 1 and self._text(around) == "(":
                first, last = around, self._statement_end(self._end[around] + 1)
            limit = self._limit(at)
            while at < limit and self.texts[at] != ";":
                for place in self._pattern(at + 1):
                    self._bind(place, first, last)
                at = self._skip(at + 1, limit)

    def _statement_end(self, at: int) -> int:
        text = self._text(at)
        if text == "{":
            return self._end[at]
        if text in {"for", "while", "if"}:
            end = self._statement_end(self._end[at + 1] + 1)
            return self._statement_end(end + 2) if text == "if" and self._text(end + 1) == "else" else end
        if text == "try":
            end = self._end[at + 1]
            while self._text(end + 1) in {"catch", "finally"}:
                body = end + 2 if self._text(end + 2) == "{" else self._end[end + 2] + 1
                end = self._end[body]
            return end
        limit = self._limit(at)
        while (at := self._skip(at, limit)) < limit and self.texts[at] == ",":
            at += 1
        return at

    def _block(self, at: int) -> tuple[int, int]:
        """The nearest block around a place with the head that it belongs to, else the whole script."""
        around = self._around[at]
        while around >= 0 and around not in self._blocks:
            around = self._around[around]
        return (self._heads.get(around, around), self._end[around]) if around >= 0 else (0, len(self.texts))

    def _bind(self, at: int, first: int, last: int) -> None:
        self.bindings.append(Binding(self.texts[at], first, last, []))

    def _resolve(self) -> None:
        known: dict[str, list[Binding]] = {}
        # The narrowest first; what is bound twice in one scope is one.
        unique = {one[:3]: one for one in reversed(self.bindings)}
        self.bindings = sorted(unique.values(), key=lambda one: one.last - one.first)
        for one in self.bindings:
            known.setdefault(one.name, []).append(one)
        for at, (kind, text) in enumerate(zip(self.kinds, self.texts, strict=True)):
            if kind != "word" or text[0].isdigit() or self._is_member(at):
                continue
            if self._is_key(at):
                after = self._text(at + 1)
                if self._around[at] in self._classes or after in {":", "("} or self.kinds[at + 1] == "word":
                    continue
                self.shorthand.add(at)
            found = next((one for one in known.get(text, ()) if one.first <= at <= one.last), None)
            (found.uses if found else self.free.setdefault(text, [])).append(at)
