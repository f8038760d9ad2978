"""Idempotency-Key: claim, effect and first answer in one transaction (threat C16).

There is no "in flight" state: the second of two equal requests waits for the first one's transaction (SQLite has one writer,
PostgreSQL blocks on the primary key) and then finds its answer.
"""

import copy
import hashlib
from typing import TYPE_CHECKING, Protocol

from server.errors import Refused

if TYPE_CHECKING:
    from server.db import Reads, Row, Transaction


class Seal(Protocol):
    """Makes an answer unreadable to whoever has the database alone (threat A2)."""

    def seal(self, plain: bytes, bound_to: bytes) -> bytes: ...

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Raises: Refused("integrity-failed") unless this was sealed with the same `bound_to`."""
        ...


KEEP_US = 48 * 3600 * 1_000_000


class Once:
    """One request's claim on its key. `request` is the digest of what was asked; the key is scoped to actor and route."""

    def __init__(self, *, actor: str, route: str, key: str, request: bytes, now_us: int) -> None:
        self._actor = actor
        self._route = route
        self._key = key
        self._request = hashlib.sha256(request).hexdigest()
        self._now_us = now_us
        self._seal: Seal | None = None

    def sealed(self, seal: Seal) -> "Once":
        """The same claim for an answer that holds a secret: it is stored sealed, bound to its row and to what was asked."""
        other = copy.copy(self)
        other._seal = seal  # noqa: SLF001 - a copy of our own
        return other

    async def peek(self, db: "Reads") -> bytes | None:
        """The stored answer, before any work is done for the request; `claim` decides in the end.

        Raises: Refused("idempotency-key-reused").
        """
        row = await self._stored(db)
        if row is not None and row["request"] != self._request:
            raise Refused("idempotency-key-reused")
        return None if row is None or row["answer"] is None else self._opened(bytes(row["answer"]))

    async def _stored(self, db: "Reads") -> "Row | None":
        return await db.fetch_one(
            "SELECT request, answer FROM once_answers WHERE actor = $1 AND route = $2 AND key = $3",
            self._actor,
            self._route,
            self._key,
        )

    async def claim(self, tx: "Transaction") -> bytes | None:
        """The stored answer if this request was answered before, else None after taking the key.

        Raises: Refused("idempotency-key-reused") when the key belongs to another request.
        """
        taken = await tx.execute(
            "INSERT INTO once_answers (actor, route, key, request, created_us) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            self._actor,
            self._route,
            self._key,
            self._request,
            self._now_us,
        )
        if taken:
            return None
        row = await self._stored(tx)
        if row is None or row["request"] != self._request:
            raise Refused("idempotency-key-reused")
        answer = row["answer"]
        if answer is None:
            raise Refused("conflict")
        return self._opened(bytes(answer))

    def _opened(self, answer: bytes) -> bytes:
        return answer if self._seal is None else self._seal.open(answer, self._bound_to())

    def _bound_to(self) -> bytes:
        return f"{self._actor}\x00{self._route}\x00{self._key}\x00{self._request}".encode()

    async def settle(self, tx: "Transaction", answer: bytes) -> None:
        """Store the answer beside the effect."""
        if self._seal is not None:
            answer = self._seal.seal(answer, self._bound_to())
        await tx.execute(
            "UPDATE once_answers SET answer = $4 WHERE actor = $1 AND route = $2 AND key = $3",
            self._actor,
            self._route,
            self._key,
            answer,
        )


def check_key(key: str | None) -> str:
    """The header's value.

    Raises: Refused("idempotency-key-missing") unless it is 16 to 128 printable ASCII characters.
    """
    if key is None or not 16 <= len(key) <= 128 or not key.isascii() or not key.isprintable():
        raise Refused("idempotency-key-missing")
    return key


async def sweep(tx: "Transaction", now_us: int) -> int:
    """Forget answers older than 48 hours."""
    return await tx.execute("DELETE FROM once_answers WHERE created_us < $1", now_us - KEEP_US)
