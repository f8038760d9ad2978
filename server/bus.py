"""Messages between the processes of one installation. They save latency and carry no truth: whoever misses one looks at the database later (D9)."""

from collections.abc import Callable
from typing import Protocol

Hear = Callable[[bytes | None], None]
"""Called on the event loop with a message, or with None when messages may have been missed. Neither blocks nor raises."""


class Bus(Protocol):
    def publish(self, channel: str, message: bytes) -> None:
        """To every subscriber of every process, this one included and at once. Never blocks, never raises; elsewhere it may be lost, or come late.

        What one process publishes comes in its order; of equal messages that wait to leave, one is sent.
        """
        ...

    def subscribe(self, channel: str, hear: Hear) -> None:
        """Hear a channel; before `start`."""
        ...

    def start(self) -> None:
        """Everybody has subscribed."""
        ...

    async def close(self) -> None: ...


class LocalBus:
    """Within one process, which has nobody else to tell."""

    def __init__(self) -> None:
        self._hearers: dict[str, list[Hear]] = {}

    @property
    def channels(self) -> list[str]:
        return list(self._hearers)

    def publish(self, channel: str, message: bytes) -> None:
        self.hand(channel, message)

    def hand(self, channel: str, message: bytes | None) -> None:
        for hear in self._hearers.get(channel, ()):
            hear(message)

    def subscribe(self, channel: str, hear: Hear) -> None:
        self._hearers.setdefault(channel, []).append(hear)

    def start(self) -> None:
        return

    async def close(self) -> None:
        return
