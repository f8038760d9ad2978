"""Which system of an axis sends and receives for which organisation: an axis gives secrets to systems, not to agencies (reference §8.1).

An installation has one system for everybody, or organisations with credentials of their own beside it. Each system has its own line,
breaker and poller, so that one's outage or rotated secret is nobody else's; and what one lists reaches its own organisations alone.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final, Protocol

import msgspec

from server.clock import Clock
from server.db import Database, Reads
from server.exchange import queries
from server.exchange.axis import Axis
from server.exchange.breaker import Breaker
from server.exchange.forward import Stage
from server.jobs import Retry

__all__ = ["Line", "System", "Systems"]

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


class System:
    """`key` is its id at the axis, and empty for the system of all that no other names."""

    def __init__(self, line: Line, breaker: Breaker, named: Collection[str]) -> None:
        self.key = key_of(line)
        self.system_id = line.system_id
        self.axis = line.axis
        self.url = line.url
        self.breaker = breaker
        self._own = {code.strip().casefold() for code in line.organisations}
        self._named = named

    def __repr__(self) -> str:
        return f"System({self.system_id})"

    def serves(self, code: str) -> bool:
        """Whether the organisation with this code here sends and receives through it."""
        asked = code.strip().casefold()
        return asked in self._own if self.key else asked not in self._named

    def stored_id(self, doc_id: str) -> str:
        """What a packet that this system lists is known by here: two axes may give the same id."""
        return f"{self.key}{_BETWEEN}{doc_id}" if self.key else doc_id

    def given_id(self, axis_id: str) -> str:
        """What the axis calls a packet that is known by `axis_id` here."""
        return axis_id.removeprefix(f"{self.key}{_BETWEEN}") if self.key else axis_id


def key_of(line: Line) -> str:
    return line.system_id if line.organisations else ""


class Systems:
    """All of them; none where no exchange is configured, and sealed documents wait."""

    def __init__(self, db: Database, clock: Clock, lines: Iterable[Line] = ()) -> None:
        lines = tuple(lines)
        named = {code.strip().casefold() for line in lines for code in line.organisations}
        self._all = {
            key: System(line, Breaker(db, clock, f"{line.url}#{key}" if key else line.url, key), named)
            for line in lines
            for key in (key_of(line),)
        }

    def __iter__(self) -> Iterator[System]:
        return iter(self._all.values())

    def named(self, key: str) -> System | None:
        """The system that something was sent through, if it is still configured."""
        return self._all.get(key)

    async def serving(self, reads: Reads, organisation: str) -> System:
        """The system of the organisation with this id. Raises: Retry where there is none."""
        code = await queries.organisation_code(reads, organisation)
        return _there(next((one for one in self if one.serves(code)), None))

    async def of(self, reads: Reads, sent: _Sent) -> System:
        """Who sends it: the system of its organisation, and while an outcome is open the one that began (D2).

        Raises: Retry where there is none.
        """
        if sent.stage in _IN_FLIGHT:
            return _there(self._all.get(sent.system))
        return await self.serving(reads, sent.organisation)


def _there(found: System | None) -> System:
    if found is None:
        raise Retry(reason="exchange-not-configured")
    return found
