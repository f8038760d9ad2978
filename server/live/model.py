"""Places: up to where a client has heard of everything, and the events that lead from one to another."""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple


class Topic(StrEnum):
    """What a client asks for again when it is told of it. `changes`: the feed of documents."""

    CHANGES = "changes"
    NOTICES = "notices"
    MEETINGS = "meetings"


class Places(NamedTuple):
    """One a topic, each only growing: the changes feed's number in the organisation, and two counters of the person."""

    changes: int = 0
    notices: int = 0
    meetings: int = 0

    def text(self) -> str:
        """As `Last-Event-ID` brings it back; opaque to clients."""
        return "-".join(map(str, self))

    def reach(self, other: "Places") -> "Places":
        return Places(*map(max, self, other))


_TEXT: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,18})")
BEAT: Final = b":\n\n"
"""A comment (WHATWG HTML §9.2.6) that keeps the connection open and shows that it is."""


def places_of(text: str | None) -> Places | None:
    """None for what was not ours: such a client looks at everything."""
    found = _TEXT.fullmatch(text or "")
    return None if found is None else Places(*map(int, found.groups()))


@lru_cache(maxsize=4096)
def events(told: Places | None, now: Places) -> bytes:
    """What a client at `told` has to hear to be at `now`: one event a topic, each with the places that it leads to.

    `reload` asks to look at everything: who has no place yet, or one that the database has not reached (a restored backup). Most streams that hear of a
    change go from the same place to the same place: their bytes are made once.
    """
    if told is None or any(before > after for before, after in zip(told, now, strict=True)):
        return _event("reload", now)
    body = b""
    for topic in Topic:
        reached = told._replace(**{topic.value: getattr(now, topic.value)})
        if reached != told:
            body += _event(topic.value, reached)
            told = reached
    return body


def _event(name: str, places: Places) -> bytes:
    return f"id: {places.text()}\nevent: {name}\ndata: {{}}\n\n".encode()
