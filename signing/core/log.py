"""Merkle log: RFC 9162 §2.1 hashing, and heads signed as JWS. Proofs are made and checked in `signing.proofs`.

`Frontier` keeps the log's state in at most 64 hashes and appends in O(log n).
"""

import hashlib
from collections.abc import Sequence

from signing.core.codec import CodecError, PublicJwk, SigningKey, b64u, sign_jws, unb64u, verify_jws
from signing.core.model import HEAD_TYP, Head

EMPTY_ROOT = hashlib.sha256(b"").digest()


class ProofInvalid(ValueError):  # noqa: N818 - a verdict on somebody's proof
    """A proof or head does not hold."""


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
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
            leaf = node(self._hashes.pop(), leaf)
            size >>= 1
        self._hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self._hashes:
            return EMPTY_ROOT
        *rest, root = self._hashes
        for left in reversed(rest):
            root = node(left, root)
        return root


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
