"""Which system of an axis sends and receives for which organisation: an axis gives secrets to systems, not to agencies (reference §8.1).

An installation has one system for everybody, or organisations with credentials of their own beside it. Each system has its own line,
breaker and poller, so that one's outage or rotated secret is nobody else's; and what one lists reaches its own organisations alone.
A system is who the axis takes it for, its address and id, wherever in the settings it stands: packets under way stay its own when it moves there.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from server.clock import Clock
from server.db import Database, Reads
from server.exchange import queries
from server.exchange.axis import Axis
from server.exchange.breaker import Breaker
from server.exchange.forward import Stage
from server.jobs import Retry

__all__ = ["Line", "System", "Systems", "following"]

_IN_FLIGHT: Final = frozenset({Stage.SENDING, Stage.UNKNOWN})
_BETWEEN: Final = "·"
"""No id of an axis has it: those are printable ASCII."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A configured system. Without `organisations` it is the one of all that no other names; there is at most one such."""

    axis: Axis
    system_id: str
    url: str = ""
    organisations: tuple[str, ...] = ()


class _Sent(Protocol):
    """A packet or message, as far as its sender is asked for."""

    @property
    def organisation(self) -> str: ...
    @property
    def stage(self) -> Stage: ...
    @property
    def system(self) -> str: ...


class Named(Protocol):
    """A system as the settings name it, or as a line."""

    @property
    def system_id(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def organisations(self) -> Sequence[str]: ...


N = TypeVar("N", bound=Named)


def key_of(one: Named) -> str:
    """What packets remember it by: its id, and the axis that gave it."""
    return f"{one.system_id}{_BETWEEN}{hashlib.sha256(_address(one.url).encode()).hexdigest()[:8]}"


def following(key: str, systems: Sequence[N]) -> N | None:
    """The system now that something under way was sent through: the same id at the same axis; else the only one with that id, whose axis has
    another address. Rows of earlier versions have the id alone, or nothing where it was the system of all others.
    """
    same = [one for one in systems if key_of(one) == key]
    if not same:
        id_ = key.partition(_BETWEEN)[0]
        same = [one for one in systems if (one.system_id == id_ if id_ else not one.organisations)]
    return same[0] if len(same) == 1 else None


def _address(url: str) -> str:
    return url.rstrip("/")


class System:
    """`key`: see `key_of`. `names` are it and how an earlier version wrote it. `label` is empty for the system of all that no other names."""

    def __init__(self, line: Line, db: Database, clock: Clock, lines: Sequence[Line]) -> None:
        self.key = key_of(line)
        self.label = self.key if line.organisations else ""
        former = line.system_id if line.organisations else ""
        alone = following(former, lines) is line
        self.names = (self.key, former if alone else self.key)
        self.system_id = line.system_id
        self.axis = line.axis
        self.url = _address(line.url)
        health = f"{self.url}#{line.system_id}" if line.organisations else self.url
        self.breaker = Breaker(db, clock, health, self.label)
        self._own = {code.strip().casefold() for code in line.organisations}
        self._named = {code.strip().casefold() for one in lines for code in one.organisations}

    def __repr__(self) -> str:
        return f"System({self.system_id})"

    def serves(self, code: str) -> bool:
        """Whether the organisation with this code here sends and receives through it."""
        asked = code.strip().casefold()
        return asked in self._own if self._own else asked not in self._named

    def stored_id(self, doc_id: str) -> str:
        """What a packet that this system lists is known by here: two axes may give the same id."""
        return self.own_id(doc_id) if self.label else doc_id

    def own_id(self, doc_id: str) -> str:
        """An id that no other system's packet has."""
        return f"{self.key}{_BETWEEN}{doc_id}"

    def ids(self, doc_id: str) -> tuple[str, str, str]:
        """All that a packet with this id may be known by, from wherever in the settings this system stood before."""
        return doc_id, self.own_id(doc_id), f"{self.system_id}{_BETWEEN}{doc_id}"

    def given_id(self, axis_id: str) -> str:
        """What the axis calls a packet that is known by `axis_id` here."""
        return axis_id.rpartition(_BETWEEN)[2]


class Systems:
    """All of them; none where no exchange is configured, and sealed documents wait."""

    def __init__(self, db: Database, clock: Clock, lines: Iterable[Line] = ()) -> None:
        self._lines = tuple(lines)
        self._all = [System(line, db, clock, self._lines) for line in self._lines]

    def __iter__(self) -> Iterator[System]:
        return iter(self._all)

    def labelled(self, label: str) -> System | None:
        return next((one for one in self._all if one.label == label), None)

    def named(self, key: str) -> System | None:
        """The system that something was sent through, or came through, if it is still configured."""
        line = following(key, self._lines)
        return None if line is None else self._all[self._lines.index(line)]

    async def serving(self, reads: Reads, organisation: str) -> System:
        """The system of the organisation with this id. Raises: Retry where there is none."""
        code = await queries.organisation_code(reads, organisation)
        return _there(next((one for one in self if one.serves(code)), None))

    async def axis_of(self, reads: Reads, organisation: str) -> str:
        """The name of the axis whose list of agencies is this organisation's; where no system serves it, the first one's."""
        if not self._all:
            return ""
        code = await queries.organisation_code(reads, organisation)
        return next((one for one in self if one.serves(code)), self._all[0]).url

    async def of(self, reads: Reads, sent: _Sent) -> System:
        """Who sends it: the system of its organisation, and while an outcome is open the one that began (D2).

        Raises: Retry where there is none.
        """
        if sent.stage in _IN_FLIGHT:
            return _there(self.named(sent.system))
        return await self.serving(reads, sent.organisation)


def _there(found: System | None) -> System:
    if found is None:
        raise Retry(reason="exchange-not-configured")
    return found
