"""Urgent sends before broadcasts within one process: the lanes have places and connections of their own, but one processor."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from server.jobs import Lane

BESIDE: Final = 8
"""How many sends of other lanes go on while an urgent one is under way, so that a stream of urgent notices starves nobody."""


class Precedence:
    """Belongs to one event loop. Urgent sends never wait here; the others wait for a place among `BESIDE` while an urgent one is under way."""

    def __init__(self, beside: int = BESIDE) -> None:
        self._beside = beside
        self._urgent = 0
        self._others = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def place(self, lane: Lane) -> AsyncIterator[None]:
        """Hold a place of `lane` from the look at what is to be sent until its outcome is stored."""
        if lane is Lane.URGENT:
            self._urgent += 1
            try:
                yield
            finally:
                self._urgent -= 1
                self._wake()
            return
        while self._urgent and self._others >= self._beside:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                # Whoever was woken and goes away passes the turn on.
                self._wake()
                raise
        self._others += 1
        try:
            yield
        finally:
            self._others -= 1
            self._wake()

    def _wake(self) -> None:
        """One while an urgent send is under way, all of them when none is."""
        free = self._beside - self._others if self._urgent else len(self._waiting)
        while self._waiting and free > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1
