"""The log: events with their change, their places in the tree afterwards, signed heads, receipts.

An event is part of the transaction that it records (threat A15). One sequencer at a time gives places in the order of ids;
it takes events a second old, so that a slower transaction's event does not come after a younger one for long. The order in the
log is the order of sequencing; what counts is that nothing is changed, removed or put in between afterwards (threat A4).
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from server.audit import queries
from server.audit.model import Jwk, LogProof, ProvenLeaf, Receipt, leaf_bytes
from server.clock import Clock
from server.db import Database, Reads, Row, Transaction
from server.errors import Refused
from server.identity.model import Actor
from server.ids import new_id
from server.jobs import Job
from server.wire import b64u
from signing.core.codec import public_jwk
from signing.core.log import Frontier, ProofInvalid, leaf_hash, sign_head, verify_head
from signing.proofs import inclusion_proof

log = structlog.get_logger()

_BATCH = 2000


async def append(
    tx: Transaction,
    kind: str,
    *,
    organisation: str,
    actor: str,
    subject: str,
    body: msgspec.Struct | dict[str, Any],
    now_us: int,
) -> str:
    """Write an event in the caller's transaction; returns its id. No PIN, token, key or title belongs into `body` (A14)."""
    id_ = new_id()
    await queries.insert(
        tx, id_=id_, organisation=organisation, at_us=now_us, kind=kind, actor=actor, subject=subject, body=msgspec.json.encode(body, order="deterministic")
    )  # fmt: skip
    return id_


class AuditService:
    """Sequencing, heads and receipts. `key_path`: the server's log key (PEM), made on first use; it signs nothing else."""

    def __init__(self, db: Database, clock: Clock, key_path: Path) -> None:
        self._db = db
        self._clock = clock
        self._key = _load_key(key_path)
        self.log_key = public_jwk(self._key.public_key())

    async def on_bury(self, tx: Transaction, job: Job, reason: str) -> None:
        """A job that nobody will try again leaves a trace and a line for the operator (threat D14)."""
        log.error("job-buried", kind=job.kind, job=job.id, reason=reason)
        await append(
            tx, "job.buried", organisation="", actor="system", subject=job.id, body={"kind": job.kind}, now_us=self._clock.now_us()
        )  # fmt: skip

    async def sequence(self) -> int:
        """Give places to waiting events and sign the new head; how many."""
        placed = 0
        while count := await self._db.transact(self._batch):
            placed += count
            if count < _BATCH:
                break
        return placed

    async def _batch(self, tx: Transaction) -> int:
        now_us = self._clock.now_us()
        rows = await queries.unsequenced(tx, now_us - 1_000_000, _BATCH)
        if not rows:
            return 0
        size, raw = await queries.tree(tx)
        frontier = Frontier.decode(size, raw)
        nodes: list[tuple[int, int, bytes]] = []
        for row in rows:
            nodes.extend(grow(frontier, _leaf(row)))
        # One sequencer wins; the other's rows are taken by the next round.
        if not await queries.set_tree(tx, expected=size, size=frontier.size, frontier=frontier.encode()):
            return 0
        places = [(str(row["id"]), size + offset) for offset, row in enumerate(rows)]
        if await queries.place(tx, places) != len(places):
            raise Refused("conflict")
        await queries.put_nodes(tx, nodes)
        root = frontier.root()
        head = sign_head(
            self._key, sequence=frontier.size, log_size=frontier.size, root=root, row_sum=bytes(32), time_us=now_us
        )
        await queries.put_head(tx, size=frontier.size, root=root.hex(), at_us=now_us, head=head)
        return len(rows)

    async def record_signer_head(self, head: str) -> None:
        """The signer's signed head becomes a leaf here: neither log can be rewritten without the other."""
        await self._db.transact(
            lambda tx: append(
                tx,
                "signer.head",
                organisation="",
                actor="system",
                subject="signer",
                body={"head": head},
                now_us=self._clock.now_us(),
            )
        )

    # Receipts.

    async def receipts(self, actor: Actor, document: str) -> list[Row]:
        return await queries.receipts(self._db, actor, document)

    async def receipt(self, actor: Actor, receipt_id: str) -> Receipt:
        """Raises: Refused("not-found"); Refused("file-pending") for the second until the log's next head."""
        row = await queries.receipt(self._db, actor, receipt_id)
        if row is None:
            raise Refused("not-found")
        head = await queries.newest_head(self._db)
        if row["position"] is None or head is None or row["position"] >= head["size"]:
            raise Refused("file-pending")
        proof = await prove(self._db, int(row["position"]), int(head["size"]))
        return Receipt(
            v=1, id=row["id"], document=row["document"], leaf=b64u(_leaf(row, "event")), position=row["position"], log_size=head["size"],
            proof=[b64u(step) for step in proof], head=head["head"], log_key=self._jwk(), tbs=row["tbs"],
            manifest=row["manifest_digest"], revision=row["revision"], approval=row["approval"],
            approval_key=msgspec.json.decode(row["approval_jwk"], type=Jwk), cms=b64u(bytes(row["cms"])),
        )  # fmt: skip

    async def prove_events(self, events: Sequence[Row]) -> LogProof:
        """Where these events stand in the log; rows as `leaf_bytes` needs them, with `position`.

        Raises: Refused("file-pending") for the second until the log's next head.
        """
        head = await queries.newest_head(self._db)
        if head is None or any(row["position"] is None or row["position"] >= head["size"] for row in events):
            raise Refused("file-pending")
        size = int(head["size"])
        leaves = [
            ProvenLeaf(
                b64u(_leaf(row)), row["position"], [b64u(step) for step in await prove(self._db, row["position"], size)]
            )
            for row in events
        ]
        return LogProof(v=1, log_size=size, head=head["head"], log_key=self._jwk(), leaves=leaves)

    def _jwk(self) -> Jwk:
        return Jwk(kty="EC", crv="P-256", x=self.log_key.x, y=self.log_key.y)

    async def verify(self) -> tuple[int, int | None]:
        """Recompute the tree from the events; (leaves, first place that does not fit or None). Events that come meanwhile are left out."""
        size, raw = await queries.tree(self._db)
        frontier = Frontier()
        while frontier.size < size:
            rows = await queries.events(self._db, frontier.size, min(_BATCH, size - frontier.size))
            if not rows:
                return frontier.size, frontier.size
            for row in rows:
                if row["position"] != frontier.size:
                    return frontier.size, frontier.size
                grow(frontier, _leaf(row))
        intact = frontier.encode() == raw and await self._signed(size, frontier.root())
        return size, None if intact else size

    async def _signed(self, size: int, root: bytes) -> bool:
        """Whether the head of this size is signed over this root: whoever can write rows still has no key."""
        row = await queries.head(self._db, size)
        if row is None:
            return size == 0
        try:
            head = verify_head(row["head"], self.log_key)
        except ProofInvalid:
            return False
        return (head.log_size, head.root) == (size, b64u(root))


def grow(frontier: Frontier, leaf: bytes) -> list[tuple[int, int, bytes]]:
    """Append a leaf's bytes; the complete subtrees that this finishes, as (level, number, hash)."""
    position, current = frontier.size, leaf_hash(leaf)
    made = [(0, position, current)]
    row = frontier.encode()
    hashes = [row[at : at + 32] for at in range(0, len(row), 32)]
    level, number = 0, position
    while number & 1:
        current = hashlib.sha256(b"\x01" + hashes.pop() + current).digest()
        level, number = level + 1, number >> 1
        made.append((level, number, current))
    frontier.append(leaf_hash(leaf))
    return made


async def prove(db: Reads, position: int, size: int) -> list[bytes]:
    """The inclusion proof of a leaf, reading only the nodes on its path."""
    wanted = inclusion_proof(position, size, lambda start, end: f"{start}:{end}".encode())
    return [await _range_hash(db, *(int(edge) for edge in step.decode().split(":"))) for step in wanted]


async def _range_hash(db: Reads, start: int, end: int) -> bytes:
    """The tree hash of leaves [start, end): its complete subtrees, largest first, are stored nodes."""
    hashes = []
    at, left = start, end - start
    for level in range(left.bit_length() - 1, -1, -1):
        if left >> level & 1:
            found = await queries.node(db, level, at >> level)
            if found is None:
                raise Refused("integrity-failed")
            hashes.append(found)
            at += 1 << level
    return Frontier(left, hashes).root()


def _leaf(row: Row, id_column: str = "id") -> bytes:
    return leaf_bytes(
        id_=row[id_column], organisation=row["organisation"], at_us=row["at_us"], kind=row["kind"], actor=row["actor"], subject=row["subject"],
        body=bytes(row["body"]),
    )  # fmt: skip


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The log key; two processes that start at once agree on one, because the name is taken by link()."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        temporary = path.with_name(f".{path.name}.{new_id()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, pem)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
