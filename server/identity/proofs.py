"""Single use of DPoP proofs, for many calls in one transaction (RFC 9449 §11.1, threat C5).

Every authenticated call of a phone spends its proof durably and over all processes: a row in `dpop_proofs`, its primary key the judge. Alone,
each would be a transaction of its own; so calls that come while one transaction commits share the next. Nothing about uniqueness changes: the
rows stand in the database before any of the calls goes on, and a proof that is there already, or twice among those who share, is
found by the same key.
"""

import asyncio
from collections.abc import Sequence
from contextvars import Context
from typing import Final

import msgspec

from server.clock import Clock
from server.db import Database, Isolation, Row, Transaction
from server.errors import Refused
from server.identity import queries
from server.identity.dpop import Proof

_TOGETHER: Final = 256


class _Replayed(Exception):  # noqa: N818 - takes the transaction back, so that each proof is judged for itself
    """Not every proof of the group was new."""


class _Call(msgspec.Struct, frozen=True):
    proof: Proof
    token_hash: str
    answer: asyncio.Future[list[Row]]


class Unspent:
    """A verified proof whose route spends it in the transaction of its effect: one durable commit instead of two.

    `Authentication` spends it after the route if the route did not, so every call costs its proof, whatever became of it.
    """

    def __init__(self, proof: Proof) -> None:
        self.proof = proof
        self.spent = False

    async def spend(self, tx: Transaction) -> None:
        """Spent when `tx` commits.

        Raises: Refused("proof-invalid", reason="replay").
        """
        if not await queries.spend_proof(tx, self.proof.seen, self.proof.expires_us):
            raise Refused("proof-invalid", reason="replay")
        tx.after_commit(self._done)

    def _done(self) -> None:
        self.spent = True


class Proofs:
    """The proofs of one process's calls on their way into the database."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._waiting: list[_Call] = []
        self._working: asyncio.Task[None] | None = None

    async def spend(self, proof: Proof, token_hash: str) -> list[Row]:
        """Spend the proof; then what the device's token opens (`queries.device_of_token`). A void token's proof is spent too.

        Raises: Refused("proof-invalid", reason="replay"), DatabaseError.
        """
        answer: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(proof, token_hash, answer))
        if self._working is None or self._working.done():
            # Of no request in particular: what it logs bears no request's id.
            self._working = asyncio.get_running_loop().create_task(self._work(), context=Context())
        return await answer

    async def _work(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            try:
                await self._settle(group)
            except Exception as error:  # whatever it is, it is every caller's
                for call in group:
                    if not call.answer.done():
                        call.answer.set_exception(error)

    async def _settle(self, group: Sequence[_Call]) -> None:
        try:
            spent, opened = await self._transact(group, together=True)
        except _Replayed:
            spent, opened = await self._transact(group, together=False)
        for call, new in zip(group, spent, strict=True):
            if call.answer.done():  # cancelled meanwhile
                continue
            if new:
                call.answer.set_result(opened[call.token_hash])
            else:
                call.answer.set_exception(Refused("proof-invalid", reason="replay"))

    async def _transact(self, group: Sequence[_Call], *, together: bool) -> tuple[list[bool], dict[str, list[Row]]]:
        now_us = self._clock.now_us()
        pairs = [(call.proof.seen, call.proof.expires_us) for call in group]

        async def body(tx: Transaction) -> tuple[list[bool], dict[str, list[Row]]]:
            if together:
                if await queries.spend_proofs(tx, pairs) != len(pairs):
                    raise _Replayed
                spent = [True] * len(pairs)
            else:
                spent = [await queries.spend_proof(tx, *pair) for pair in pairs]
            tokens = {call.token_hash for call in group}
            return spent, {token: await queries.device_of_token(tx, token, now_us) for token in tokens}

        # Each statement decides for itself, by the primary key; the rest only reads.
        return await self._db.transact(body, isolation=Isolation.READ_COMMITTED)
