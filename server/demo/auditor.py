"""Somebody who does not believe the server: keeps every signed head of its log that was seen, and checks that none is taken back.

A head comes from the public API. The leaves are read from the database file, as an auditor reads a copy of it, and hashed here again;
what is then checked needs nothing but these hashes and `signing.proofs` (RFC 9162).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from server.audit import queries
from server.audit.model import leaf_bytes
from server.db import Database
from signing.core.codec import CodecError, PublicJwk, thumbprint, unb64u
from signing.core.log import ProofInvalid, leaf_hash, verify_head
from signing.core.model import Head
from signing.proofs import (
    consistency_proof,
    inclusion_proof,
    root_of,
    subtree_of,
    verify_consistency,
    verify_inclusion,
)

__all__ = ["Auditor", "Findings"]

_BATCH = 2000
_KEPT = 200


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """`size` leaves with the root `root` (hex) are signed; `heads` were kept, the oldest over `first` leaves.

    `included` leaves were proved to lie under the newest root, `consistent` kept heads to be its beginnings. `fault` None: all holds.
    """

    size: int = 0
    root: str = ""
    signed_us: int = 0
    key: str = ""
    heads: int = 0
    first: int = 0
    included: int = 0
    consistent: int = 0
    fault: str | None = None


class Auditor:
    """`read_head` fetches `GET /api/v1/log/head`; what it raises goes through."""

    def __init__(self, db: Database, read_head: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._db = db
        self._read_head = read_head
        self._key: PublicJwk | None = None
        self._heads: list[Head] = []
        self._newest = ""
        self._last = Findings()
        self._looking = asyncio.Lock()

    async def look(self) -> Findings:
        """The findings about the newest head, checked once for each head."""
        async with self._looking:
            said = await self._read_head()
            if said["head"] != self._newest:
                self._last = await self._checked(said)
                self._newest = said["head"]
            return self._last

    async def again(self) -> Findings:
        """Everything once more, from the leaves on."""
        async with self._looking:
            said = await self._read_head()
            self._last = await self._checked(said)
            self._newest = said["head"]
            return self._last

    async def _checked(self, said: dict[str, Any]) -> Findings:
        try:
            key = msgspec.convert(said["log_key"], PublicJwk)
            head = verify_head(said["head"], key)
        except (ProofInvalid, CodecError, msgspec.ValidationError) as error:
            return msgspec.structs.replace(self._last, fault=f"head: {error}")
        self._key = self._key or key
        if key != self._key:
            return msgspec.structs.replace(self._last, fault="head: signed by another key than before")
        if not self._heads or self._heads[-1] != head:
            self._heads.append(head)
            # The oldest head is kept for good: it is the promise that reaches back farthest.
            del self._heads[1 : max(1, len(self._heads) - _KEPT)]
        leaves = await self._leaves(head.log_size)
        return await asyncio.to_thread(self._proved, head, leaves)

    async def _leaves(self, size: int) -> list[bytes]:
        hashes: list[bytes] = []
        while len(hashes) < size:
            rows = await queries.events(self._db, len(hashes), min(_BATCH, size - len(hashes)))
            if not rows:
                break
            hashes += [
                leaf_hash(
                    leaf_bytes(
                        id_=row["id"], organisation=row["organisation"], at_us=row["at_us"], kind=row["kind"], actor=row["actor"],
                        subject=row["subject"], body=bytes(row["body"]),
                    )
                )
                for row in rows
            ]  # fmt: skip
        return hashes

    def _proved(self, head: Head, leaves: list[bytes]) -> Findings:
        assert self._key is not None
        root, subtree = unb64u(head.root, 32), subtree_of(leaves)
        found = Findings(
            size=head.log_size, root=root.hex(), signed_us=head.time, key=thumbprint(self._key), heads=len(self._heads), first=self._heads[0].log_size
        )  # fmt: skip
        if len(leaves) != head.log_size or root_of(leaves) != root:
            return msgspec.structs.replace(found, fault="leaves: they do not have the root that was signed")
        try:
            newest = range(max(0, head.log_size - 8), head.log_size)
            for index in newest:
                proof = inclusion_proof(index, head.log_size, subtree)
                verify_inclusion(leaves[index], index, head.log_size, proof, root)
            for old in self._heads:
                path = consistency_proof(old.log_size, head.log_size, subtree)
                verify_consistency(old.log_size, head.log_size, path, unb64u(old.root, 32), root)
        except (ProofInvalid, ValueError) as error:
            return msgspec.structs.replace(found, fault=f"proof: {error}")
        return msgspec.structs.replace(found, included=len(newest), consistent=len(self._heads))
