"""The client's scripts as they are sent: three files, because modules compress together and each file costs a request.

`app.js` holds what the first screen needs, `shared.js` what the worker draws in too (it is another realm's as well, so it is carried once),
`later-….js` what is fetched when it is opened (`import()`). Each module stands in a scope of its own, in the order of the imports; `$frame`
is what `frame.js` exports. The last file is named after its bytes: a page that is older than it asks for a file that is no more, and is
never given one that does not fit it.

Nothing is listed by hand: the imports say it. The modules keep to what is needed for this: imports first, one or more names in braces or
a whole module, and exports that are declarations.
"""

import hashlib
import re
from collections.abc import Iterable
from graphlib import TopologicalSorter
from typing import Final

import msgspec

from server.web import spare

START: Final = "app"
SHARED: Final = "shared"
_IMPORT: Final = re.compile(
    r'import(?:\*as (?P<whole>\w+) |\{(?P<names>[^}]*)\})from"(?:\.|/assets/js)/(?P<module>\w+)\.js";\n?'
)
_OPENING: Final = re.compile(r'import\("\./(?P<module>\w+)\.js"\)')
_DECLARING: Final = frozenset({"const", "function", "class", "async"})


class Scripts(msgspec.Struct, frozen=True):
    """`modules`: the files under /assets/js/ by name, without suffix; `worker`: the worker's script."""

    modules: dict[str, bytes]
    worker: bytes


def scripts(bodies: dict[str, str], worker: str) -> Scripts:
    """Bare modules by name and the bare worker, joined. Raises: ValueError for one that cannot be joined or that nothing draws in."""
    needs = {name: [found["module"] for found in _imports(body)] for name, body in sorted(bodies.items())}
    shared = _reached(needs, [found["module"] for found in _imports(worker)])
    first = _reached(needs, [START]) - shared
    opened = {found["module"] for body in bodies.values() for found in _OPENING.finditer(body)}
    later = _reached(needs, opened) - shared - first
    if odd := (opened - later) | (set(bodies) - shared - first - later):
        raise ValueError(f"drawn in by nothing, or at the start and later as well: {', '.join(sorted(odd))}")
    order = [(name, bodies[name]) for name in TopologicalSorter(needs).static_order()]
    homes = dict.fromkeys(shared, SHARED) | dict.fromkeys(first, START)
    files = {}
    last = _file([one for one in order if one[0] in later], homes, "")
    called = f"later-{hashlib.sha256(last).hexdigest()[:12]}"
    for home, names in ((SHARED, shared), (START, first)):
        files[home] = _file([one for one in order if one[0] in names], homes, called)
    files[called] = last
    return Scripts({name: body for name, body in files.items() if body}, _drawing(worker, homes))


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


def _file(modules: list[tuple[str, str]], homes: dict[str, str], later: str) -> bytes:
    """Modules (name, body) in their order as one file; `later` names the file of what is opened, nothing that it is this one."""
    own = {name for name, _ in modules}
    found = [one["module"] for _, body in modules for one in _imports(body)]
    body = _importing(set(found) - own, homes, ".") + "".join(_scope(name, body) for name, body in modules)
    opening = rf'import("./{later}.js").then((a)=>a.$\g<module>)' if later else r"Promise.resolve($\g<module>)"
    return _OPENING.sub(opening, body).encode()


def _importing(names: set[str], homes: dict[str, str], folder: str) -> str:
    """Statements that draw in joined modules from their files."""
    by_home: dict[str, list[str]] = {}
    for name in sorted(names):
        by_home.setdefault(homes[name], []).append(f"${name}")
    return "".join(f'import{{{",".join(by_home[home])}}}from"{folder}/{home}.js";' for home in sorted(by_home))


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


def _drawing(worker: str, homes: dict[str, str]) -> bytes:
    """The worker's script, with what it imports taken from the joined file."""
    found = _imports(worker)
    names = {one["module"] for one in found}
    rest = worker[found[-1].end() if found else 0 :]
    return f"{_importing(names, homes, '/assets/js')}{''.join(map(_taken, found))}{rest}".encode()
