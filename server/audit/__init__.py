"""The server's tamper-evident log: events beside their change, a Merkle tree over them, signed heads."""

from server.audit.service import append

__all__ = ["append"]
