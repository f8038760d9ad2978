"""The bus over Redis pub/sub: one connection that publishes, one that listens. Redis lost is latency lost (D9)."""

import asyncio
import random
import secrets
from itertools import islice
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from server.bus import Hear, LocalBus

_log = structlog.get_logger()

_READ_S: Final = 15.0
_CLOSE_S: Final = 3.0
_PAUSE_CAP_S: Final = 5.0
_MARK: Final = 8
_MOST_WAITING: Final = 1000


class RedisBus:
    """`RedisBus(url)`, then `subscribe`, then `start()`. Redis need not be reachable.

    Each message begins with a mark of its sender, who has heard it already. While Redis is lost the oldest messages wait, up to a thousand.
    """

    def __init__(self, url: str) -> None:
        self._client = Redis.from_url(url, socket_connect_timeout=2, socket_timeout=5, health_check_interval=10)
        self._mark = secrets.token_bytes(_MARK)
        self._local = LocalBus()
        self._waiting: dict[tuple[str, bytes], None] = {}
        self._outgoing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._listen())]

    def publish(self, channel: str, message: bytes) -> None:
        self._local.publish(channel, message)
        if len(self._waiting) < _MOST_WAITING:
            self._waiting[channel, message] = None
        self._outgoing.set()

    def subscribe(self, channel: str, hear: Hear) -> None:
        """Raises: RuntimeError after `start`."""
        if self._tasks:
            raise RuntimeError("the bus listens already")
        self._local.subscribe(channel, hear)

    async def close(self) -> None:
        # redis-py may turn a cancellation into a time-out of its own; then the flag ends the task.
        self._closing = True
        self._outgoing.set()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_S)
        await self._client.aclose()

    async def _publish(self) -> None:
        pause_s = 0.1
        while not self._closing:
            await self._outgoing.wait()
            self._outgoing.clear()
            leaving, self._waiting = self._waiting, {}
            if not leaving:
                continue
            try:
                async with self._client.pipeline(transaction=False) as pipe:
                    for channel, message in leaving:
                        pipe.publish(channel, self._mark + message)
                    await pipe.execute()
                pause_s = 0.1
            except (RedisError, OSError):
                _log.warning("bus-not-published")
                self._waiting = dict.fromkeys(islice(leaving | self._waiting, _MOST_WAITING))
                self._outgoing.set()
                await asyncio.sleep(random.uniform(0, pause_s))  # noqa: S311 - jitter
                pause_s = min(_PAUSE_CAP_S, pause_s * 2)

    async def _listen(self) -> None:
        pause_s = 0.1
        channels = self._local.channels
        while channels and not self._closing:
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(*channels)
                    for channel in channels:
                        self._local.hand(
                            channel, None
                        )  # something may have been missed while there was no subscription
                    pause_s = 0.1
                    while not self._closing:
                        self._hear(await pubsub.get_message(ignore_subscribe_messages=True, timeout=_READ_S))
            except (RedisError, OSError):
                _log.warning("bus-subscription-lost")
                await asyncio.sleep(random.uniform(0, pause_s))  # noqa: S311 - jitter
                pause_s = min(_PAUSE_CAP_S, pause_s * 2)

    def _hear(self, message: dict[str, bytes] | None) -> None:
        if message is not None and not message["data"].startswith(self._mark):
            self._local.hand(message["channel"].decode(), message["data"][_MARK:])
