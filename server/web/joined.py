"""The client's scripts as they are sent: two files, because modules compress together and each file costs a request.

`app.js` holds what the first screen and the worker need, `later-….js` what is fetched when it is opened (`import()`). Each module stands in
a scope of its own, in the order of the imports; `$frame` is what `frame.js` exports. What the worker does not draw in is not run where there
is no document. The second file is named after its bytes: a page that is older than it asks for a file that is no more, and is never given
one that does not fit it.

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
    scopes = {name: _scope(name, bodies[name]) for name in TopologicalSorter(needs).static_order()}
    files = {}
    called = ""
    if later:
        rest = _drawing({need for name in later for need in needs[name]} - later, ".")
        rest += "".join(f"export const {scope};\n" for name, scope in scopes.items() if name in later)
        last = _sent(rest, r"Promise.resolve($\g<module>)")
        called = f"later-{hashlib.sha256(last).hexdigest()[:12]}"
        files[called] = last
    own = [name for name in scopes if name in first]
    whole = "".join(f"export const {scope};\n" for name, scope in scopes.items() if name in shared)
    whole += f"export let {','.join(f'${name}' for name in own)};\nif(globalThis.document){{"
    whole += "".join(f"{scopes[name]};\n" for name in own) + "}\n"
    files[START] = _sent(whole, rf'import("./{called}.js").then(a=>a.$\g<module>)')
    drawn = _imports(worker)
    begun = _drawing({found["module"] for found in drawn}, "/assets/js") + "".join(map(_taken, drawn))
    return Scripts(files, (begun + worker[drawn[-1].end() if drawn else 0 :]).encode())


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


def _drawing(names: set[str], folder: str) -> str:
    """The statement that draws in modules of the first file."""
    return f'import{{{",".join(f"${name}" for name in sorted(names))}}}from"{folder}/{START}.js";' if names else ""


def _sent(body: str, opening: str) -> bytes:
    """With `opening` in place of what draws in later, and the word that stands most often shorter: nothing assigns to a constant."""
    body = _OPENING.sub(opening, body)
    return "".join("let" if one == ("word", "const") else one[1] for one in spare.tokens(body)).encode()


def _taken(found: re.Match[str]) -> str:
    """An import as a declaration."""
    if found["whole"]:
        return f"const {found['whole']}=${found['module']};"
    return f"const{{{found['names'].replace(' as ', ':')}}}=${found['module']};"


def _is_one(tokens: list[tuple[str, str]], name: str) -> bool:
    """Whether a declaration is of this one name: of no pattern, and with no other behind a comma."""
    signs = [text for kind, text in tokens if kind != "space"]
    depth = 0
    for sign in signs:
        depth += (sign in {"(", "[", "{"} or sign.endswith("${")) - (sign in {")", "]", "}"} or sign.startswith("}"))
        if depth == 0 and sign in {",", ";"}:
            return sign == ";" and signs[1:3] == [name, "="]
    return signs[1:3] == [name, "="]


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
            if words[0] == "const" and not _is_one(tokens[at + 1 :], exports[-1]):
                raise ValueError(f"{name}.js exports several names at once")
        elif not (kind == "space" and at and tokens[at - 1] == ("word", "export")):
            out.append(text)
    body = "".join([*map(_taken, found), *out]).rstrip()
    return f"${name}=(()=>{{{body}\nreturn{{{','.join(exports)}}}}})()"
