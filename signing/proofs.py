"""Proofs over a Merkle log (RFC 9162 §2.1.3, §2.1.4): made by whoever has the leaves, checked by anybody.

Proofs ask a `Subtree` for the hash of a range of leaves, so that a caller with cached subtrees pays O(log n) and a
caller with a list of leaf hashes needs nothing else. The signer itself makes none.
"""

from collections.abc import Callable, Sequence

from signing.core.log import Frontier, ProofInvalid, node

Subtree = Callable[[int, int], bytes]
"""The Merkle tree hash of the leaves [start, end), end > start."""


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
            found = node(step, found)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            found = node(found, step)
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
            old, new = node(step, old), node(step, new)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            new = node(new, step)
        number, last = number >> 1, last >> 1
    if last or old != first_root or new != second_root:
        raise ProofInvalid("path does not lead to both roots")
