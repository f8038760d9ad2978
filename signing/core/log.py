"""Merkle log: RFC 9162 §2.1 hashing, inclusion and consistency proofs, and heads signed as JWS.

`Frontier` keeps the log's state in at most 64 hashes and appends in O(log n). Proofs ask a `Subtree` for the hash of
a range of leaves, so that a caller with cached subtrees pays O(log n) and a caller with a list of leaf hashes needs
nothing else.
"""

import hashlib
from collections.abc import Callable, Sequence

from signing.core.codec import CodecError, PublicJwk, SigningKey, b64u, sign_jws, unb64u, verify_jws
from signing.core.model import HEAD_TYP, Head

__all__ = [
    "EMPTY_ROOT",
    "Frontier",
    "ProofInvalid",
    "Subtree",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "root_of",
    "sign_head",
    "subtree_of",
    "verify_consistency",
    "verify_head",
    "verify_inclusion",
]

EMPTY_ROOT = hashlib.sha256(b"").digest()
Subtree = Callable[[int, int], bytes]
"""The Merkle tree hash of the leaves [start, end), end > start."""


class ProofInvalid(ValueError):  # noqa: N818 - a verdict on somebody's proof
    """A proof or head does not hold."""


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The hashes of the complete subtrees that the log consists of, largest first; one per set bit of `size`."""

    __slots__ = ("_hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if len(hashes) != size.bit_count():
            raise ValueError("a frontier has one hash per set bit of its size")
        self.size = size
        self._hashes = list(hashes)

    @classmethod
    def decode(cls, size: int, raw: bytes) -> "Frontier":
        if len(raw) % 32:
            raise ValueError("a frontier is a row of 32-byte hashes")
        return cls(size, [raw[at : at + 32] for at in range(0, len(raw), 32)])

    def encode(self) -> bytes:
        return b"".join(self._hashes)

    def copy(self) -> "Frontier":
        return Frontier(self.size, self._hashes)

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        size = self.size
        while size & 1:
            leaf = _node(self._hashes.pop(), leaf)
            size >>= 1
        self._hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self._hashes:
            return EMPTY_ROOT
        *rest, root = self._hashes
        for left in reversed(rest):
            root = _node(left, root)
        return root


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Merkle tree hash of leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def subtree_of(leaves: Sequence[bytes]) -> Subtree:
    return lambda start, end: root_of(leaves[start:end])


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (> 1)."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """RFC 9162 §2.1.3.1: the path from leaf `index` to the root of the first `size` leaves."""
    if not 0 <= index < size:
        raise ValueError("no such leaf")
    path, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(start, middle))
            start = middle
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162 §2.1.3.2; raises `ProofInvalid`."""
    if not 0 <= index < size:
        raise ProofInvalid("no such leaf")
    number, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise ProofInvalid("path is too long")
        if number & 1 or number == last:
            found = _node(step, found)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            found = _node(found, step)
        number, last = number >> 1, last >> 1
    if last or found != root:
        raise ProofInvalid("path does not lead to the root")


def consistency_proof(first: int, second: int, subtree: Subtree) -> list[bytes]:
    """RFC 9162 §2.1.4.1: that the log of `second` leaves extends the log of `first` leaves (0 < first ≤ second)."""
    if not 0 < first <= second:
        raise ValueError("consistency is asked from a smaller, non-empty log")
    path, start, end, whole = [], 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(start, middle))
            start, whole = middle, False
    if not whole:
        path.append(subtree(start, end))
    return path[::-1]


def verify_consistency(first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes) -> None:
    """RFC 9162 §2.1.4.2; raises `ProofInvalid`."""
    if not 0 < first <= second or (first == second and proof):
        raise ProofInvalid("sizes do not fit")
    if first == second:
        if first_root != second_root:
            raise ProofInvalid("same size, other root")
        return
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    number, last = first - 1, second - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    if not path:
        raise ProofInvalid("path is too short")
    old = new = path[0]
    for step in path[1:]:
        if last == 0:
            raise ProofInvalid("path is too long")
        if number & 1 or number == last:
            old, new = _node(step, old), _node(step, new)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            new = _node(new, step)
        number, last = number >> 1, last >> 1
    if last or old != first_root or new != second_root:
        raise ProofInvalid("path does not lead to both roots")


def sign_head(key: SigningKey, *, sequence: int, log_size: int, root: bytes, row_sum: bytes, time_us: int) -> str:
    """A head as JWS. A log without a store behind it passes an all-zero `row_sum`."""
    head = Head(v=1, sequence=sequence, log_size=log_size, root=b64u(root), sum=b64u(row_sum), time=time_us)
    return sign_jws(head, HEAD_TYP, key)


def verify_head(jws: str, identity: PublicJwk) -> Head:
    """The head under the identity key; raises `ProofInvalid`."""
    try:
        head = verify_jws(jws, HEAD_TYP, identity, Head)
        unb64u(head.root, 32)
        unb64u(head.sum, 32)
    except CodecError as error:
        raise ProofInvalid(str(error)) from error
    if head.v != 1:
        raise ProofInvalid("unknown version")
    return head
