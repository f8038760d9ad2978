"""Short names for the bindings of a file: as few and as often used again as its scopes allow (ECMA-262 §8.2)."""

import string
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

__all__ = ["Named", "short_names"]

_RESERVED: Final = frozenset({"as", "do", "if", "in", "is", "of"})
# The letters that texts and words of the language use most come first: they compress together.
_FIRST: Final = "etaoinsrhldcumfpgwybvkxjqz" + string.ascii_uppercase


class Named(NamedTuple):
    """What is bound in `scope` and named in each of `uses`, scopes too; `name`: the one it must have, if any."""

    scope: int
    uses: list[int]
    name: str = ""


def _candidates() -> Iterator[str]:
    yield from _FIRST
    yield from (one for one in (a + b for a in _FIRST for b in _FIRST + string.digits) if one not in _RESERVED)


def short_names(bindings: Sequence[Named], parents: Sequence[int], taken: frozenset[str]) -> list[str]:
    """A name for each binding, none of them in `taken`; `parents` are the scopes around each scope, -1 around the file.

    What is used most is named first. Two bindings share a name unless one is named within the scope of the other, where it would be taken for it.
    """
    used: list[set[str]] = [set() for _ in parents]  # by scope: names said in it that are bound there or further out
    bound: list[set[str]] = [set() for _ in parents]
    names = [""] * len(bindings)
    candidates = [one for one in _candidates() if one not in taken]
    for at in sorted(range(len(bindings)), key=lambda one: (not bindings[one].name, -len(bindings[one].uses))):
        scope, uses, name = bindings[at]
        path = {scope}
        for use in uses:
            while use not in path:
                path.add(use)
                use = parents[use]  # noqa: PLW2901  the walk outward
        barred = used[scope].union(*(bound[one] for one in path))
        names[at] = name or next(one for one in candidates if one not in barred)
        bound[scope].add(names[at])
        for one in path:
            used[one].add(names[at])
    return names
