"""Wake-ups between processes through Redis pub/sub. Redis lost is latency lost: workers go on polling (D9)."""

import asyncio
import random

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from server.jobs.model import Lane

_log = structlog.get_logger()

CHANNEL = "hoatoc:jobs"
_READ_S = 15.0
_CLOSE_S = 3.0
_PAUSE_CAP_S = 5.0


class RedisWakeup:
    """`await RedisWakeup.open(url)`; it need not be reachable."""

    def __init__(self, client: "Redis", channel: str) -> None:
        self._client = client
        self._channel = channel
        self._heard = asyncio.Event()
        self._outgoing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    @classmethod
    async def open(cls, url: str, *, channel: str = CHANNEL) -> "RedisWakeup":
        client = Redis.from_url(url, socket_connect_timeout=2, socket_timeout=5, health_check_interval=10)
        wakeup = cls(client, channel)
        wakeup._tasks = [asyncio.create_task(wakeup._publish()), asyncio.create_task(wakeup._subscribe())]
        return wakeup

    def notify(self, lane: Lane) -> None:  # noqa: ARG002 - a worker looks at all its lanes at once
        self._heard.set()
        self._outgoing.set()

    async def wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._heard.wait()
        except TimeoutError:
            return
        finally:
            self._heard.clear()

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
        while not self._closing:
            await self._outgoing.wait()
            self._outgoing.clear()  # what is notified from here on is published again; what came before is one message
            try:
                await self._client.publish(self._channel, b"")
            except (RedisError, OSError):
                _log.warning("wakeup-not-published")
                await asyncio.sleep(random.uniform(0, 1))  # noqa: S311 - jitter

    async def _subscribe(self) -> None:
        pause_s = 0.1
        while not self._closing:
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(self._channel)
                    self._heard.set()  # something may have been missed while there was no subscription
                    pause_s = 0.1
                    while not self._closing:
                        if await pubsub.get_message(ignore_subscribe_messages=True, timeout=_READ_S) is not None:
                            self._heard.set()
            except (RedisError, OSError):
                _log.warning("wakeup-subscription-lost")
                await asyncio.sleep(random.uniform(0, pause_s))  # noqa: S311 - jitter
                pause_s = min(_PAUSE_CAP_S, pause_s * 2)
