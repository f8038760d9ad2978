"""The table of texts as it is sent: each language as one column, and a number for every name that only `t("…")` says.

Texts of one language compress better one below the other than in pairs, and names are for readers. A name stays where it might be meant
otherwise: where it is said elsewhere than as what `t` is asked for, or begins like one that is put together (`t(`role_${…}`)`).
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from server.web import spare

_STRING: Final = r'"(?:\\.|[^"\\])*"'
_ROW: Final = re.compile(rf'(\w+|"[\w-]*"):\[({_STRING}),({_STRING})\],?')
_TABLE: Final = re.compile(rf"(?<==)\{{(?:{_ROW.pattern})+\}}")
# Rows with a name come first; the others are called by their place.
_SENT: Final = "((a,b,c)=>Object.fromEntries(b.map((d,e)=>[a[e]??e,[d,c[e]]])))"
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")

Token = tuple[str, str]


def columns(bodies: dict[str, str], home: str) -> dict[str, str]:
    """Bare scripts by name, as they are sent; `home` has the table. Raises: ValueError for a table or a text that cannot be sent so."""
    table = _TABLE.search(bodies[home])
    if table is None:
        raise ValueError(f"{home} has no table of texts")
    rows = {name.strip('"'): (json.loads(one), json.loads(two)) for name, one, two in _ROW.findall(table[0])}
    # Without its rows, whose keys are no uses.
    bodies = {**bodies, home: bodies[home].replace(table[0], "$TABLE")}
    sources = {name: list(spare.tokens(body)) for name, body in bodies.items()}
    names = _only_asked(sources.values(), rows)
    order = [*(name for name in rows if name not in names), *names]
    numbers = {f'"{name}"': str(order.index(name)) for name in names}
    sent = {name: "".join(numbers.get(text, text) for _, text in source) for name, source in sources.items()}
    sent[home] = sent[home].replace(
        "$TABLE", _SENT + _given([name for name in rows if name not in names], [rows[name] for name in order])
    )
    return sent


def _only_asked(sources: Iterable[Sequence[Token]], rows: Iterable[str]) -> list[str]:
    """The names that stand in `t(…)` alone."""
    asked, said, begun = set[str](), set[str](), list[str]()
    for source in sources:
        places = set(_places(source))
        for at, (kind, text) in enumerate(source):
            if kind == "string":
                (asked if at in places else said).add(text[1:-1])
            elif kind == "template" and at in places and text.endswith("${"):
                begun.append(text[1:-2])
    return [name for name in rows if name in asked - said and not name.startswith(tuple(begun))]


def _places(source: Sequence[Token]) -> Iterator[int]:
    """Where a literal is what `t` is asked for: its first argument, or one of two that a condition chooses from."""
    open_: list[bool] = []
    before = ["", ""]
    for at, (kind, text) in enumerate(source):
        if kind in {"string", "template"} and open_ and open_[-1] and before[-1] in {"(", "?", ":"}:
            yield at
        if (kind == "other" and text in _CLOSING) or (kind == "template" and text.startswith("}")):
            open_.pop()
        if kind == "other" and text == "," and open_:
            open_[-1] = False
        if (kind == "other" and text in _OPENING) or (kind == "template" and text.endswith("${")):
            open_.append(text == "(" and before[-1] == "t" and before[-2] != ".")
        if kind != "space":
            before = [before[-1], text]


def _given(names: list[str], texts: list[tuple[str, str]]) -> str:
    for text in sum(texts, ()):
        if re.search(r"[\n\\`]|\$\{", text):
            raise ValueError(f"cannot stand in a column: {text}")
    one, two = ("\n".join(column) for column in zip(*texts, strict=True))
    return f'("{" ".join(names)}".split(" "),`{one}`.split("\\n"),`{two}`.split("\\n"))'
