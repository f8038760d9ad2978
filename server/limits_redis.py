"""Rate windows that all processes share, in Redis: one atomic script a call, by the clock of Redis itself (threats C7, D7, D9)."""

import time
from collections.abc import Sequence
from typing import Final

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from server.limits import MINUTE_US, StoreLostError, Window

log = structlog.get_logger()

PREFIX: Final = "hoatoc:rate:"
_ANSWER_S: Final = 1.0
_CONNECTIONS: Final = 16
_PAUSE_S: Final = 1.0

# As MemoryWindows.take_at: all windows or none. A key ends when it says nothing any more.
_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local minute, following, wait = tonumber(ARGV[1]), {}, 0
for i, key in ipairs(KEYS) do
  following[i] = math.max(now, tonumber(redis.call('GET', key) or '0')) + tonumber(ARGV[i + 1])
  wait = math.max(wait, following[i] - minute - now)
end
if wait > 0 then return string.format('%.0f', wait) end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.0f', following[i]), 'PX', math.ceil((following[i] - now) / 1000))
end
return '0'
"""


class RedisWindows:
    """`RedisWindows(url)`; it need not be reachable. After a failure it is left alone for a second, so that no call waits for it."""

    def __init__(self, url: str, *, prefix: str = PREFIX) -> None:
        pool = BlockingConnectionPool.from_url(
            url, max_connections=_CONNECTIONS, timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S, socket_timeout=_ANSWER_S,
            retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
        self._client = Redis.from_pool(pool)
        self._take = self._client.register_script(_TAKE)
        self._prefix = prefix
        self._again_at = 0.0

    async def take(self, windows: Sequence[Window]) -> int:
        if time.monotonic() < self._again_at:
            raise StoreLostError
        keys = [self._prefix + one.key for one in windows]
        try:
            return int(await self._take(keys=keys, args=[MINUTE_US, *(one.interval_us for one in windows)]))
        except (RedisError, OSError) as error:
            self._again_at = time.monotonic() + _PAUSE_S
            log.warning("rate-store-lost", error=type(error).__name__)
            raise StoreLostError from None

    async def close(self) -> None:
        await self._client.aclose()
