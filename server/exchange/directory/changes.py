"""What a new agency list changes in the one that is kept: pure, and run on a thread (123,000 entries, reference §6.6).

Codes are never forgotten: one that is listed no more, or as closed, stays with the time of its end, since packets with it still travel.
The tree is what the list says; a level is the depth in it, whatever the length of a code. Old codes come from the list's own mapping.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, overload

import msgspec

from server.exchange.axis import Agency
from server.exchange.model import ExchangeError

_WORD: Final = re.compile(r"[a-z0-9][a-z0-9.]*")
_LETTERS: Final = re.compile(r"[a-z0-9]+")
_SHORT: Final = (("uy ban nhan dan", "ubnd"), ("hoi dong nhan dan", "hdnd"))
_MAX_LEVEL: Final = 32
_FEW: Final = 100
IDS: Final = 1 << 22
MAX_WORDS: Final = 8
"""Words of one query that are looked at; more narrow nothing on a phone."""


class ListShrunk(ExchangeError):  # noqa: N818 - the outcome, not a fault of ours
    """Less than half of what was open is listed: an axis that is half down, not a reform. The kept list stays as it is."""

    def __init__(self, listed: int, known: int) -> None:
        super().__init__("agency-list-shrunk", f"{listed} entries where {known} are open")


class Known(msgspec.Struct, frozen=True, gc=False):
    """What is kept of one code, as far as a comparison needs it."""

    id: int
    code_key: str
    unit: str
    closed: int
    digest: str


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `agencies` as the list has it now; the meaning of each field stands with the table."""

    id: int
    of_list: int
    code_key: str
    old_key: str
    code: str
    old_code: str
    name: str
    mail: str
    unit: str
    parent_unit: str
    parent_key: str
    level: int
    test: int
    closed: int
    words: str
    digest: str
    successor: str


class Ended(msgspec.Struct, frozen=True):
    """A code that is listed no more. `successor` is empty where the list does not show who has the unit now."""

    id: int
    code_key: str
    successor: str


class Entries(Sequence[Entry]):
    """New and changed entries in the order of their ids, each made when it is asked for: a whole list's words take as long as writing half of it."""

    def __init__(self, tree: "_Tree", of_list: int) -> None:
        self._tree = tree
        self._of_list = of_list
        self._rows: list[tuple[str, str, int]] = []

    def add(self, code_key: str, digest: str, id_: int) -> None:
        self._rows.append((code_key, digest, id_))

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> list[Entry]: ...
    def __getitem__(self, place: int | slice) -> Entry | list[Entry]:
        if isinstance(place, slice):
            return [self._tree.entry(*row, self._of_list) for row in self._rows[place]]
        return self._tree.entry(*self._rows[place], self._of_list)


class Changes(msgspec.Struct, frozen=True):
    """`put` are new and changed entries, `ended` codes that have gone; `listed` counts the whole list."""

    put: Entries
    ended: list[Ended]
    listed: int


def first_id(of_list: int) -> int:
    """Where the ids of a list begin: each has four millions of its own, so that two axes can be taken over at once."""
    return of_list * IDS + 1


def key(code: str) -> str:
    """A code as codes are compared: trimmed, without case."""
    return code.strip().casefold()


def _plain(text: str) -> str:
    """Lower case without marks. Half a million texts of a whole list come here, so nothing looks at single letters."""
    lower = text.casefold().replace("đ", "d")
    return lower if lower.isascii() else unicodedata.normalize("NFD", lower).encode("ascii", "ignore").decode()


def query_words(text: str) -> list[str]:
    """The words of what somebody types, without marks and case; codes keep their dots. At most `MAX_WORDS` of 40 characters."""
    found = (word.rstrip(".")[:40] for word in _WORD.findall(_plain(text)))
    return [word for word in dict.fromkeys(found) if word][:MAX_WORDS]


def words(agency: Agency) -> str:
    """What a search finds the agency by: words of its name, both codes, and the usual abbreviations written out or short."""
    name = " ".join(_LETTERS.findall(_plain(agency.name)))
    spelled = f" {name} "
    for full, short in _SHORT:
        if f" {full} " in spelled:
            name += f" {short}"
        elif f" {short} " in spelled:
            name += f" {full}"
    codes = _WORD.findall(_plain(f"{agency.code} {agency.old_code}"))
    return " ".join(dict.fromkeys([*name.split(), *(code.rstrip(".") for code in codes)]))


def changes(listed: Iterable[Agency], known: Iterable[Known], of_list: int = 0) -> Changes:
    """What to write so that the kept list with this number says what `listed` says.

    Raises: ListShrunk.
    """
    kept = {row.code_key: row for row in known}
    now = _by_key(listed)
    _check_size(now, kept)
    tree = _Tree(now)
    last = max((row.id for row in kept.values()), default=first_id(of_list) - 1)
    fresh = iter(range(last + 1, first_id(of_list + 1)))
    put = Entries(tree, of_list)
    for code_key, agency in sorted(now.items(), key=lambda item: tree.order(*item)):
        before = kept.get(code_key)
        digest = tree.digest(code_key, agency)
        if before is None or before.digest != digest or before.closed != agency.closed:
            put.add(code_key, digest, before.id if before else next(fresh))
    ended = [
        Ended(row.id, row.code_key, tree.successor(row.code_key, row.unit))
        for row in kept.values()
        if not row.closed and row.code_key not in now
    ]
    return Changes(put, ended, len(now))


def _by_key(listed: Iterable[Agency]) -> dict[str, Agency]:
    """One entry a code: two spellings of one code are one, and the open one counts."""
    found: dict[str, Agency] = {}
    for agency in listed:
        code_key = key(agency.code)
        if code_key and (code_key not in found or (found[code_key].closed and not agency.closed)):
            found[code_key] = agency
    return found


def _check_size(now: Mapping[str, Agency], kept: Mapping[str, Known]) -> None:
    was = sum(not row.closed for row in kept.values())
    are = sum(not agency.closed for agency in now.values())
    if (was >= _FEW and are * 2 < was) or (was and not are):
        raise ListShrunk(are, was)


class _Tree:
    """The list as units: who stands above whom, and who has a unit now."""

    def __init__(self, now: Mapping[str, Agency]) -> None:
        self._now = now
        self._unit: dict[str, str] = {}
        self._of_old: dict[str, list[str]] = {}
        self._levels: dict[str, int] = {}
        self._parents: dict[str, str] = {}
        for code_key, agency in now.items():
            if agency.unit_id and (agency.unit_id not in self._unit or not agency.closed):
                self._unit[agency.unit_id] = code_key
            if agency.old_code and not agency.closed:
                self._of_old.setdefault(key(agency.old_code), []).append(code_key)
        for code_key, agency in now.items():
            above = self._unit.get(agency.parent_id, "")
            self._parents[code_key] = "" if above == code_key else above

    def order(self, code_key: str, agency: Agency) -> tuple[bool, int, int, str]:
        """High units and short names first: what most people look for."""
        return agency.closed, self.level(code_key), len(agency.name), code_key

    def level(self, code_key: str) -> int:
        """Depth from 1; a list that bites its own tail ends at the bound."""
        if code_key in self._levels:
            return self._levels[code_key]
        path: list[str] = []
        at = code_key
        while at and at not in self._levels and len(path) < _MAX_LEVEL and at not in path:
            path.append(at)
            at = self._parents[at]
        depth = self._levels.get(at, 0)
        for depth, step in enumerate(reversed(path), depth + 1):  # noqa: B020 - counts on from the known part
            self._levels[step] = min(depth, _MAX_LEVEL)
        return self._levels[code_key]

    def successor(self, code_key: str, unit: str) -> str:
        """The code that the unit has now, by its id or by the list's mapping of old codes; empty where that is not one."""
        now = self._unit.get(unit, "")
        if now and now != code_key and not self._now[now].closed:
            return self._now[now].code
        mapped = [one for one in self._of_old.get(code_key, ()) if one != code_key]
        return self._now[mapped[0]].code if len(mapped) == 1 else ""

    def digest(self, code_key: str, agency: Agency) -> str:
        said = (
            *msgspec.structs.astuple(agency),
            self.level(code_key),
            self._parents[code_key],
            self._moved(code_key, agency),
        )
        return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:32]

    def _moved(self, code_key: str, agency: Agency) -> str:
        return self.successor(code_key, agency.unit_id) if agency.closed else ""

    def entry(self, code_key: str, digest: str, id_: int, of_list: int) -> Entry:
        agency = self._now[code_key]
        return Entry(
            id=id_,
            of_list=of_list,
            code_key=code_key,
            old_key=key(agency.old_code),
            code=agency.code,
            old_code=agency.old_code,
            name=agency.name,
            mail=agency.mail,
            unit=agency.unit_id,
            parent_unit=agency.parent_id,
            parent_key=self._parents[code_key],
            level=self.level(code_key),
            test=int("w00" in code_key),
            closed=int(agency.closed),
            words=words(agency),
            digest=digest,
            successor=self._moved(code_key, agency),
        )
