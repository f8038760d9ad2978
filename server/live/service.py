"""Saying that something changed, in the transaction that changes it, and carrying that to whoever has a stream open."""

from collections.abc import Iterable

from server.bus import Bus
from server.db import Database, Transaction
from server.live import queries
from server.live.model import Topic

CHANNEL = "hoatoc:live"
_PERSON, _ORGANISATION = "live:p", "live:o"
_MOST_NAMED = 200


async def touch(tx: Transaction, topic: Topic, people: Iterable[str]) -> None:
    """What these people see of `topic` is another after this transaction."""
    tx.at_end(_advance).update(f"{topic}:{person}" for person in people)


async def _advance(tx: Transaction, marks: set[str]) -> None:
    for topic in Topic:
        concerned = [mark.partition(":")[2] for mark in marks if mark.startswith(f"{topic}:")]
        await queries.advance(tx, topic, concerned)
        for person in concerned:
            tx.signal(_PERSON + person)


def fed(tx: Transaction, organisation: str) -> None:
    """The organisation's changes feed has a new place."""
    tx.signal(_ORGANISATION + organisation)


def connect(db: Database, bus: Bus) -> None:
    """Tell the hubs on `bus` of what this process commits through `db`. An empty message names everybody."""

    def on_commit(topics: frozenset[str]) -> None:
        named = [topic[5:] for topic in topics if topic.startswith((_PERSON, _ORGANISATION))]
        if named:
            bus.publish(CHANNEL, b"" if len(named) > _MOST_NAMED else ",".join(sorted(named)).encode())

    db.listen(on_commit)
