"""The server's tamper-evident log: events beside their change, a Merkle tree over them, signed heads."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server.audit.service import append

__all__ = ["append"]


def __getattr__(name: str) -> Any:
    """Loaded when it is used: `hoatoc verify` reads receipts with `model` alone, and starts three times as fast."""
    if name == "append":
        from server.audit.service import append

        return append
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
