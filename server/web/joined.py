"""The client's scripts as they are sent: what the first screen needs is one file, because files compress together and each costs a request.

`app.js` holds every module that it draws in, each in a scope of its own, in the order of their imports; `$frame` is what `frame.js` exports.
What the worker draws in too stays a file, because it is another realm's as well, and so does what is fetched when it is opened (`import()`).
Nothing is listed by hand: the imports say it. The modules keep to what is needed for this: imports first, one or more names in braces or
a whole module, and exports that are declarations.
"""

import re
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

from server.web import spare

START: Final = "app"
_IMPORT: Final = re.compile(r'import(?:\*as (?P<whole>\w+) |\{(?P<names>[^}]*)\})from"\./(?P<module>\w+)\.js";\n?')
_WORKERS: Final = re.compile(r'from\s*"/assets/js/(\w+)\.js"')
_DECLARING: Final = frozenset({"const", "function", "class", "async"})


def scripts(folder: Path, worker: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every script under /assets/js/. Raises: ValueError for a module that cannot be joined."""
    bodies = {path.stem: spare.script(path.read_bytes()).decode() for path in sorted(folder.glob("*.js"))}
    needs = {name: [found["module"] for found in _imports(body)] for name, body in bodies.items()}
    shared = _reached(needs, _WORKERS.findall(worker.decode()))
    inside = _reached(needs, [START]) - shared
    order = [
        name
        for name in TopologicalSorter({name: needs[name] for name in sorted(inside)}).static_order()
        if name in inside
    ]
    outside = sorted({need for name in inside for need in needs[name]} & shared)
    yield (
        START,
        "".join(
            [
                *(f'import*as ${name} from"./{name}.js";' for name in outside),
                *(_scope(name, bodies[name]) for name in order),
            ]
        ).encode(),
    )
    for name, body in bodies.items():
        if name not in inside:
            yield name, _drawing(body, inside).encode()


def _imports(body: str) -> list[re.Match[str]]:
    found: list[re.Match[str]] = []
    at = 0
    while match := _IMPORT.match(body, at):
        found.append(match)
        at = match.end()
    return found


def _reached(needs: dict[str, list[str]], names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    ahead = list(names)
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += needs[name]
    return found


def _taken(found: re.Match[str]) -> str:
    """An import as a declaration."""
    if found["whole"]:
        return f"const {found['whole']}=${found['module']};"
    return f"const{{{found['names'].replace(' as ', ':')}}}=${found['module']};"


def _scope(name: str, body: str) -> str:
    """A module as an object of its exports."""
    found = _imports(body)
    rest = body[found[-1].end() if found else 0 :]
    out: list[str] = []
    exports: list[str] = []
    tokens = list(spare.tokens(rest))
    for at, (kind, text) in enumerate(tokens):
        if (kind, text) == ("word", "export"):
            words = [word for sort, word in tokens[at + 1 : at + 8] if sort == "word"]
            if words[0] not in _DECLARING:
                raise ValueError(f"{name}.js exports what is no declaration")
            exports.append(next(word for word in words if word not in _DECLARING))
        elif not (kind == "space" and at and tokens[at - 1] == ("word", "export")):
            out.append(text)
    body = "".join([*map(_taken, found), *out]).rstrip()
    return f"export const ${name}=(()=>{{{body}\nreturn{{{','.join(exports)}}}}})();\n"


def _drawing(body: str, inside: set[str]) -> str:
    """A module that stays a file, with what it imports from the joined ones taken from there."""
    found = _imports(body)
    joined = [one for one in found if one["module"] in inside]
    if not joined:
        return body
    names = ",".join(sorted({f"${one['module']}" for one in joined}))
    own = "".join(one[0].rstrip() for one in found if one["module"] not in inside)
    return f'import{{{names}}}from"./{START}.js";{own}{"".join(map(_taken, joined))}{body[found[-1].end() :]}'
