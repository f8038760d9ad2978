"""Blobs as files: `<root>/ab/<digest>`, beside `<root>/scratch/`. Stores once had a second level of 65,536 folders, each of which cost its first file
three flushes; what lies there is found there.

A blob appears whole or not at all, and for good: temporary file, fsync, rename, fsync of every folder whose entries
changed; of files that come together each folder is flushed once, and a folder's own entry once by each process. Bytes are checked against their name when they are read (D17); a large file that was
hashed a moment ago, to be checked or to be stored, and has not changed since is not hashed again for every page of it.
"""

import asyncio
import errno
import hashlib
import os
import re
import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from server import crash
from server.clock import Clock
from server.errors import Refused
from server.ids import new_id
from server.storage import BlobDamaged, BlobMissing

T = TypeVar("T")

RESERVE_BYTES = 256 * 1024 * 1024
SCRATCH_LIFETIME_S = 24 * 3600
_CHECKED_FOR_US = 60 * 1_000_000
_CHECKED_LIMIT = 4096
_SMALL_BYTES = 1 << 18
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_Identity = tuple[int, int, int]  # inode, size, modification time in nanoseconds


class FileBlobs:
    """One folder. Any number of processes may use it at once."""

    def __init__(self, root: Path, clock: Clock, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._root = root
        self._scratch = root / "scratch"
        self._clock = clock
        self._reserve = reserve_bytes
        self._checked: dict[str, tuple[_Identity, int]] = {}
        self._durable: set[Path] = set()  # folders whose own entries are
        self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)

    def scratch(self) -> Path:
        return self._scratch

    async def put_bytes(self, data: bytes) -> str:
        return await asyncio.to_thread(_space_errors(self._put_bytes), data)

    async def put_file(self, path: Path) -> str:
        return (await self.put_files([path]))[0]

    async def put_files(self, paths: Sequence[Path]) -> list[str]:
        return await asyncio.to_thread(_space_errors(self._put_files), paths)

    async def size(self, digest: str) -> int:
        return (await asyncio.to_thread(self._stat, digest)).st_size

    async def read(self, digest: str) -> bytes:
        return await asyncio.to_thread(self._read, digest)

    async def delete(self, digest: str) -> None:
        await asyncio.to_thread(self._delete, digest)

    async def require_space(self, size: int) -> None:
        await asyncio.to_thread(self._require_space, size)

    @asynccontextmanager
    async def local(self, digest: str) -> AsyncGenerator[Path, None]:
        # What was hashed within this minute has its inode in memory: looking at that costs less than a thread's turn.
        if digest not in self._checked or not self._is_checked(digest, self._stat(digest)):
            await asyncio.to_thread(self._check, digest)
        yield self._path(digest)

    async def sweep(self) -> int:
        """Delete what crashes left in `scratch()` longer than a day ago; how many files."""
        return await asyncio.to_thread(self._sweep)

    # -- on a thread

    def _put_bytes(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        if not self._stored(digest):
            self._require_space(len(data))
            temporary = self._scratch / new_id()
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                self._adopt(temporary, digest)
            finally:
                temporary.unlink(missing_ok=True)
        self._flush_folders([digest])
        return digest

    def _put_files(self, paths: Sequence[Path]) -> list[str]:
        digests = [self._put_file(path) for path in paths]
        self._flush_folders(digests)
        for path in paths:
            path.unlink(missing_ok=True)
        return digests

    def _put_file(self, path: Path) -> str:
        """Durable bytes under their name; the name itself is not durable yet."""
        status = path.stat()
        digest = _digest_of(path)
        if not self._stored(digest):
            if status.st_dev == self._scratch.stat().st_dev:
                _flush(path)
                self._adopt(path, digest)
                self._remember(digest, status)
            else:
                self._copy(path, digest)
        return digest

    def _copy(self, path: Path, digest: str) -> None:
        self._require_space(path.stat().st_size)
        temporary = self._scratch / new_id()
        try:
            shutil.copyfile(path, temporary)
            if _digest_of(temporary) != digest:
                raise BlobDamaged(digest)  # the file changed while it was handed over
            _flush(temporary)
            self._adopt(temporary, digest)
        finally:
            temporary.unlink(missing_ok=True)

    def _adopt(self, temporary: Path, digest: str) -> None:
        """Move a durable file to its name."""
        folder = self._root / digest[:2]
        temporary.chmod(0o400)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            self._durable.discard(folder)
        crash.point("blobs.before-rename")
        temporary.rename(folder / digest)
        crash.point("blobs.after-rename")

    def _stored(self, digest: str) -> bool:
        """Whether the blob is there and whole. A damaged one is not: putting it again heals it."""
        try:
            self._check(digest)
        except (BlobMissing, BlobDamaged):
            return False
        return True

    def _flush_folders(self, digests: Sequence[str]) -> None:
        """Make the names durable, also those that were there: another process may have renamed a file and not come so far."""
        folders = {self._path(digest).parent for digest in digests}
        new = folders - self._durable
        for folder in folders:
            _flush(folder)
        for above in {above for folder in new for above in folder.parents if above.is_relative_to(self._root)}:
            _flush(above)
        self._durable |= new

    def _path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        if _DIGEST.fullmatch(digest) is None:
            raise BlobMissing(digest)
        path = self._root / digest[:2] / digest
        if not path.exists() and (before := self._root / digest[:2] / digest[2:4] / digest).exists():
            return before
        return path

    def _stat(self, digest: str) -> os.stat_result:
        try:
            return self._path(digest).stat()
        except FileNotFoundError:
            raise BlobMissing(digest) from None

    def _read(self, digest: str) -> bytes:
        try:
            data = self._path(digest).read_bytes()
        except FileNotFoundError:
            raise BlobMissing(digest) from None
        except OSError as error:
            raise BlobDamaged(digest) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise BlobDamaged(digest)
        return data

    def _check(self, digest: str) -> None:
        """Raise unless the stored bytes have their digest."""
        status = self._stat(digest)
        if self._is_checked(digest, status):
            return
        try:
            damaged = _digest_of(self._path(digest)) != digest
        except OSError:  # unreadable sectors
            damaged = True
        if damaged:
            self._checked.pop(digest, None)
            raise BlobDamaged(digest)
        self._remember(digest, status)

    def _is_checked(self, digest: str, status: os.stat_result) -> bool:
        """Whether the file of this status was hashed a moment ago."""
        known, checked_us = self._checked.get(digest, (None, 0))
        return known == _identity(status) and self._clock.monotonic_us() - checked_us < _CHECKED_FOR_US

    def _remember(self, digest: str, status: os.stat_result) -> None:
        """The file of this status, which was taken before it was hashed, has its digest."""
        if len(self._checked) >= _CHECKED_LIMIT:
            self._checked.clear()
        self._checked[digest] = (_identity(status), self._clock.monotonic_us())

    def _delete(self, digest: str) -> None:
        # Behind a blob that healed an older store's, the damaged one still lies where it was.
        while (path := self._path(digest)).exists():
            path.unlink(missing_ok=True)

    def _require_space(self, size: int) -> None:
        if shutil.disk_usage(self._root).free - size < self._reserve:
            raise Refused("insufficient-storage")

    def _sweep(self) -> int:
        oldest = self._clock.now_us() // 1_000_000 - SCRATCH_LIFETIME_S
        swept = 0
        for entry in os.scandir(self._scratch):
            with suppress(FileNotFoundError):  # its owner was quicker
                if entry.stat(follow_symlinks=False).st_mtime >= oldest:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    Path(entry.path).unlink()
                swept += 1
        return swept


def _space_errors(call: Callable[..., T]) -> Callable[..., T]:
    """`call`, with a full volume turned into the refusal that it is (D8)."""

    def wrapped(*args: object) -> T:
        try:
            return call(*args)
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise Refused("insufficient-storage") from error
            raise

    return wrapped


def _identity(status: os.stat_result) -> _Identity:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _digest_of(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        # The buffer that large files want costs more than a small one's hash.
        if os.fstat(file.fileno()).st_size <= _SMALL_BYTES:
            return hashlib.sha256(file.read()).hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
