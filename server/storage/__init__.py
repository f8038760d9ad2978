# ruff: noqa: N818 - errors are named after what happened; their base says that they are errors
"""Blobs: immutable bytes named by their SHA-256 (lower-case hex), so that storing twice is storing once."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from server.errors import HoatocError

__all__ = ["BlobDamaged", "BlobMissing", "Blobs", "StorageError"]


class StorageError(HoatocError):
    code = "storage-error"


class BlobMissing(StorageError):
    """No blob has this digest. A digest from outside that is no digest at all is missing too."""

    code = "blob-missing"

    def __init__(self, digest: str) -> None:
        super().__init__("no such blob")
        self.digest = digest


class BlobDamaged(StorageError):
    """The stored bytes no longer have their digest (D17). They are neither served nor signed."""

    code = "blob-damaged"

    def __init__(self, digest: str) -> None:
        super().__init__("the stored bytes do not have their digest")
        self.digest = digest


class Blobs(Protocol):
    async def put_bytes(self, data: bytes) -> str:
        """Store `data` durably; its digest. Raises Refused("insufficient-storage")."""
        ...

    async def put_file(self, path: Path) -> str:
        """Store a finished file durably and consume it; its digest. Fastest for one made in `scratch()`.

        Nobody may write to the file any more. Raises Refused("insufficient-storage"), and then leaves the file.
        """
        ...

    async def put_files(self, paths: Sequence[Path]) -> list[str]:
        """As `put_file` for several files that belong together, quicker than one after another; their digests in this order.

        Where it raises, some of the files may have been consumed.
        """
        ...

    def local(self, digest: str) -> AbstractAsyncContextManager[Path]:
        """A file to read the bytes from, checked, for as long as the context lasts. Never to be written to.

        Raises BlobMissing, BlobDamaged.
        """
        ...

    async def size(self, digest: str) -> int:
        """Length in bytes. Raises BlobMissing."""
        ...

    async def read(self, digest: str) -> bytes:
        """All bytes, checked; for small blobs. Raises BlobMissing, BlobDamaged."""
        ...

    async def delete(self, digest: str) -> None:
        """Forget a blob that nothing names any more; nothing happens where there is none."""
        ...

    async def require_space(self, size: int) -> None:
        """Raise Refused("insufficient-storage") unless `size` more bytes leave the reserve free (D8)."""
        ...

    def scratch(self) -> Path:
        """A folder for temporary files on the same volume. What is left there is swept after a day."""
        ...
