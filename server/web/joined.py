"""The client's scripts as they are sent: two files, because modules compress together and each file costs a request.

`app.js` holds what the first screen and the worker need, `later-….js` what is fetched when it is opened (`import()`). The modules stand one
after the other in one scope, in the order of their imports, under names that are short and differ (`scopes.py`, `names.py`): what one
module exports has the same name in the modules that import it, so an import costs nothing. The worker draws in the first file as well;
only the module that starts the page is not run where there is no document, so the others do nothing to a page before they are called.
The second file is named after its bytes: a page that is older than it asks for a file that is no more, and is never given one that does
not fit it. The worker and the first file are fetched one after the other, perhaps from servers of two versions, in which a short name means
two things: both say a mark of the names, without which the browser does not begin the worker.

Nothing is listed by hand: the imports say it. The modules keep to what is needed for this: imports first, one or more names in braces or
a whole module, and exports that are declarations.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from graphlib import TopologicalSorter
from typing import Final

import msgspec

from server.web import spare
from server.web.names import Named, short_names
from server.web.scopes import Binding, Scopes, Token

START: Final = "app"
_WORKER: Final = ""
_IMPORT: Final = re.compile(
    r'import(?:\*as (?P<whole>\w+) |\{(?P<names>[^}]*)\})from"(?:\.|/assets/js)/(?P<module>\w+)\.js";\n?'
)
_OPENING: Final = re.compile(r'import\("\./(?P<module>\w+)\.js"\)')
_DECLARING: Final = frozenset({"const", "function", "class", "async"})

# What is exported or bound outermost: a module and a name in it.
Place = tuple[str, str]


class Scripts(msgspec.Struct, frozen=True):
    """`modules`: the files under /assets/js/ by name, without suffix; `worker`: the worker's script; `names`: what the start's file exports, by module and name."""

    modules: dict[str, bytes]
    worker: bytes
    names: dict[str, dict[str, str]]


class _Module:
    """A bare module without its imports and the word `export`. Raises: ValueError for one that cannot be joined."""

    def __init__(self, name: str, body: str) -> None:
        self.name = name
        self.needs: list[str] = []
        self.brought: dict[str, Place] = {}
        at = 0
        while found := _IMPORT.match(body, at):
            at = found.end()
            self.needs.append(found["module"])
            for one in (found["names"] or f"* as {found['whole']}").split(","):
                theirs, _, own = one.partition(" as ")
                self.brought[own or theirs] = (found["module"], theirs)
        self.opens = [one["module"] for one in _OPENING.finditer(body)]
        self.exports: list[str] = []
        self.tokens = self._declared(list(spare.tokens(body[at:].rstrip() + "\n")))
        self.scopes = Scopes([one for one in self.tokens if one[0] != "space"])

    def keeps(self, one: Binding) -> bool:
        """What is a key as well costs less under its own name; outermost, it might be another module's name."""
        return not self.scopes.is_outermost(one) and not self.scopes.shorthand.isdisjoint(one.uses)

    def taken(self) -> set[str]:
        """Names that mean something as they are, in this module or outside of all."""
        kept = {one.name for one in self.scopes.bindings if self.keeps(one)}
        return kept | (self.scopes.free.keys() - self.brought.keys())

    def _declared(self, tokens: list[Token]) -> list[Token]:
        kept: list[Token] = []
        for at, one in enumerate(tokens):
            if one == ("word", "export"):
                words = [text for kind, text in tokens[at + 1 : at + 8] if kind == "word"]
                if words[0] not in _DECLARING:
                    raise ValueError(f"{self.name}.js exports what is no declaration")
                self.exports.append(next(word for word in words if word not in _DECLARING))
                if words[0] == "const" and not _is_one(tokens[at + 1 :], self.exports[-1]):
                    raise ValueError(f"{self.name}.js exports several names at once")
            elif not (one[0] == "space" and at and tokens[at - 1] == ("word", "export")):
                kept.append(one)
        return kept


def scripts(bodies: dict[str, str], worker: str) -> Scripts:
    """Bare modules by name and the bare worker, joined. Raises: ValueError for one that cannot be joined or that nothing draws in."""
    modules = {name: _Module(name, body) for name, body in sorted(bodies.items())}
    modules[_WORKER] = _Module(_WORKER, worker)
    needs = {name: one.needs for name, one in modules.items()}
    opened = {name for one in modules.values() for name in one.opens}
    first = _reached(needs, [START, _WORKER]) - {_WORKER}
    later = _reached(needs, opened) - first
    if odd := (opened - later) | (set(bodies) - first - later):
        raise ValueError(f"drawn in by nothing, or at the start and later as well: {', '.join(sorted(odd))}")
    order = [modules[name] for name in TopologicalSorter(needs).static_order()]
    taken = frozenset[str]().union(*(one.taken() for one in order))
    start = _File([one for one in order if one.name in first], {}, taken)
    outward = {(one.name, name): start.names[one.name, name] for one in start.modules for name in one.exports}
    rest = _File([one for one in order if one.name in later], outward, taken)
    drawing = _File([modules[_WORKER]], outward, taken)
    files = {}
    called = ""
    if later:
        faces = {
            name: ",".join(f"{one}:{rest.names[name, one]}" for one in modules[name].exports) for name in sorted(opened)
        }
        end = "".join(f"export let ${name}={{{face}}};\n" for name, face in faces.items())
        last = _sent(rest.drawing(".", "") + rest.body + end, r"Promise.resolve($\g<module>)")
        called = f"later-{hashlib.sha256(last).hexdigest()[:12]}"
        files[called] = last
    names: dict[str, dict[str, str]] = {}
    for (module, name), short in sorted(outward.items()):
        names.setdefault(module, {})[name] = short
    shorts = sorted(outward.values())
    mark = f"${hashlib.sha256(msgspec.json.encode(names)).hexdigest()[:8]}"
    whole = f"{start.body}export{{{','.join([*shorts, *(f'{one} as {mark}' for one in shorts[:1])])}}};\n"
    files[START] = _sent(whole, rf'import("./{called}.js").then(a=>a.$\g<module>)')
    return Scripts(files, _sent(drawing.drawing("/assets/js", mark) + drawing.body, ""), names)


class _File:
    """Modules in one scope. `outward`: what other files export, as it is called there. Raises: ValueError for a use that cannot be joined."""

    def __init__(self, modules: Sequence[_Module], outward: dict[Place, str], taken: frozenset[str]) -> None:
        self.modules = modules
        self.parents = [-1]
        self._bindings: list[Named] = []
        self._places: dict[Place, int] = {}
        self._drawn: set[str] = set()
        # By module and place of a token: the binding that it names.
        self._uses: dict[str, dict[int, int]] = {}
        for one in modules:
            self._enter(one, outward)
        short = short_names(self._bindings, self.parents, taken)
        self.names = {place: short[at] for place, at in self._places.items()}
        self.body = "".join(map(self._text, modules, [short] * len(modules)))

    def _enter(self, module: _Module, outward: dict[Place, str]) -> None:
        scopes = module.scopes
        length = len(scopes.texts)
        outermost = 0
        if module.name == START:
            outermost = self._scope(0)
        innermost = [outermost] * (length + 1)
        uses = self._uses[module.name] = {}
        made = {(0, length): outermost}
        for span in sorted({one[1:3] for one in scopes.bindings}, key=lambda one: (one[0] - one[1], one[0])):
            if span not in made:
                made[span] = self._scope(innermost[span[0]])
                innermost[span[0] : span[1] + 1] = [made[span]] * (span[1] + 1 - span[0])
        for one in scopes.bindings:
            at = self._bind(made[one.first, one.last], one.name if module.keeps(one) else "")
            if scopes.is_outermost(one):
                self._places[module.name, one.name] = at
            self._name(at, one.uses, innermost, uses)
        for local, (theirs, name) in module.brought.items():
            for use in scopes.free.get(local, []):
                place = (theirs, name)
                if name == "*":
                    if scopes.texts[use + 1] != ".":
                        raise ValueError(f"{module.name}.js uses {local} other than for what is in it")
                    place = (theirs, scopes.texts[use + 2])
                if place not in self._places:
                    if place not in outward:
                        raise ValueError(f"{theirs}.js exports no {place[1]}")
                    self._places[place] = self._bind(0, outward[place])
                    self._drawn.add(outward[place])
                self._name(self._places[place], [use], innermost, uses)

    def _scope(self, parent: int) -> int:
        self.parents.append(parent)
        return len(self.parents) - 1

    def _bind(self, scope: int, name: str) -> int:
        self._bindings.append(Named(scope, [], name))
        return len(self._bindings) - 1

    def _name(self, binding: int, at: list[int], innermost: list[int], uses: dict[int, int]) -> None:
        self._bindings[binding].uses.extend(innermost[one] for one in at)
        uses.update(dict.fromkeys(at, binding))

    def _text(self, module: _Module, short: list[str]) -> str:
        """A module as it stands in the file."""
        uses, scopes = self._uses[module.name], module.scopes
        whole = {local for local, (_, name) in module.brought.items() if name == "*"}
        out: list[str] = []
        at, passed = -1, 0
        for kind, text in module.tokens:
            at += kind != "space"
            if kind == "space":
                out.append(text)
            elif passed:
                passed -= 1
            elif at in uses:
                name = short[uses[at]]
                if text in whole and at in scopes.free.get(text, ()):
                    passed = 2
                out.append(f"{text}:{name}" if at in scopes.shorthand and name != text else name)
            else:
                out.append(text)
        body = "".join(out).removesuffix("\n")
        return f"if(globalThis.document){{{body}}}\n" if module.name == START else body

    def drawing(self, folder: str, mark: str) -> str:
        """The statement that draws in what the first file exports, `mark` among it."""
        drawn = [*sorted(self._drawn), *([mark] if mark else [])]
        return f'import{{{",".join(drawn)}}}from"{folder}/{START}.js";' if self._drawn else ""


def _reached(needs: dict[str, list[str]], names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    ahead = list(names)
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += needs[name]
    return found


def _sent(body: str, opening: str) -> bytes:
    """With `opening` in place of what draws in later, and the word that stands most often shorter and once for declarations in a row.

    Nothing assigns to a constant, so it may as well be a variable.
    """
    out: list[str] = []
    declares = [False]  # whether the statement at this depth of brackets is a declaration
    before = ""
    for kind, text in spare.tokens(_OPENING.sub(opening, body)):
        sign = kind == "other"
        if kind == "word" and text in {"const", "let"}:
            if out[-1:] == [";"] and declares[-1]:
                out[-1] = ","
                before = ","
                continue
            declares[-1] = True
            out.append("let")
        elif kind == "space" and before == ",":
            continue
        else:
            if declares[-1] and before == ";":
                declares[-1] = False
            out.append(text)
        if kind != "space":
            before = text if sign else ""
        if (sign and text in ")]}") or (kind == "template" and text.startswith("}")):
            declares.pop()
        if (sign and text in "([{") or (kind == "template" and text.endswith("${")):
            declares.append(False)
    return "".join(out).encode()


def _is_one(tokens: list[Token], name: str) -> bool:
    """Whether a declaration is of this one name: of no pattern, and with no other behind a comma."""
    signs = [text for kind, text in tokens if kind != "space"]
    depth = 0
    for sign in signs:
        depth += (sign in {"(", "[", "{"} or sign.endswith("${")) - (sign in {")", "]", "}"} or sign.startswith("}"))
        if depth == 0 and sign in {",", ";"}:
            return sign == ";" and signs[1:3] == [name, "="]
    return signs[1:3] == [name, "="]
