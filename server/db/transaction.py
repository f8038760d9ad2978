"""What transactions of both engines share: callbacks after the commit, and the rule that an error dooms."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from server.db import AtEnd, Transaction, TransactionMisused

_log = structlog.get_logger()


T = TypeVar("T")


class Outbox:
    """Callbacks and topics of one transaction, and whether it can still succeed."""

    def __init__(self) -> None:
        self.doom: BaseException | None = None
        self._open = True
        self._callbacks: list[Callable[[], None]] = []
        self._topics: set[str] = set()
        self._ends: dict[AtEnd, set[str]] = {}

    def at_end(self, statements: AtEnd) -> set[str]:
        return self._ends.setdefault(statements, set())

    async def whole(self, body: Callable[[Transaction], Awaitable[T]], transaction: Transaction) -> T:
        """The body, then what was left for its end."""
        result = await body(transaction)
        for statements, given in self._ends.items():
            await statements(transaction, given)
        return result

    def after_commit(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def signal(self, topic: str) -> None:
        self._topics.add(topic)

    def check(self) -> None:
        """Raise if a statement can no longer run: the transaction has ended, or an earlier statement failed."""
        if not self._open:
            raise TransactionMisused("the transaction was used after its end")
        if self.doom is not None:
            raise self.doom

    def end(self) -> None:
        self._open = False

    def publish(self, listeners: list[Callable[[frozenset[str]], None]]) -> None:
        """After the durable commit, on the caller's loop: callbacks, then listeners; one failing stops none."""
        for callback in self._callbacks:
            _guarded(callback)
        if self._topics:
            topics = frozenset(self._topics)
            for listener in listeners:
                _guarded(lambda listener=listener: listener(topics))  # type: ignore[misc]


def _guarded(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:  # the commit has happened: whoever waits for it must hear of it whatever a callback does
        _log.exception("after-commit-callback-failed")
