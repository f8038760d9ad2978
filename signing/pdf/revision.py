"""Writing one revision in one pass: the parent is copied and hashed on the way, what is new stands behind it.

Whoever wrote a revision (`Ready`) knows SHA-256 of every byte of it, and fills its hole where it stands: nothing is copied or read
twice. A prepared file that lay somewhere in the meantime is proved again, byte by byte, by `assemble`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from signing.pdf.errors import PdfError
from signing.pdf.placing import FieldRect

__all__ = ["Placed", "Prepared", "Ready", "append_bytes", "append_revision", "contents", "copy_hashed", "empty_hole"]

_CHUNK: Final = 1 << 18


class Placed(msgspec.Struct, frozen=True):
    """What a revision adds, before it is written. Offsets count from the file's beginning, in bytes; `size` is the whole file's.

    The hole is `/Contents` with its angle brackets: `hole_start` is the offset of `<`.
    """

    parent_length: int
    hole_start: int
    hole_length: int
    size: int
    field_name: str
    page_index: int
    rects: tuple[FieldRect, ...] = ()
    touched_pages: tuple[int, ...] = ()
    certified: bool = False


class Prepared(msgspec.Struct, frozen=True):
    """A prepared revision. `tbs` is SHA-256 over both byte ranges; offsets and lengths are bytes.

    The hole is `/Contents` with its angle brackets: `hole_start` is the offset of `<`. It takes `capacity` bytes of
    CMS.
    """

    tbs: bytes
    parent_digest: bytes
    parent_length: int
    byte_range: tuple[int, int, int, int]
    hole_start: int
    hole_length: int
    field_name: str
    page_index: int
    rects: tuple[FieldRect, ...]
    touched_pages: tuple[int, ...]
    size: int
    certified: bool

    @property
    def capacity(self) -> int:
        return (self.hole_length - 2) // 2


class Ready:
    """A prepared file that this process wrote itself, in a place where nobody else writes.

    `info` says what it holds, `digest` is SHA-256 of the whole file with its hole empty.
    """

    def __init__(self, path: Path, file: tuple[int, int], info: Prepared, before: hashlib._Hash, after: bytes) -> None:
        self._path = path
        self._file = file
        self._before = before
        self._after = after
        self.info = info

    @property
    def digest(self) -> bytes:
        return self._with(empty_hole(self.info.hole_length))

    def fill(self, cms: bytes) -> bytes:
        """Write `cms` (DER) into the hole; gives the revision's SHA-256. Once: a hole that holds something is `hole-not-empty`.

        The digest is that of the bytes as they were written and approved (`tbs` is over the same ones). Whoever stores the file hashes
        what it finds there and compares: so a file that was changed after it was written is noticed before it becomes a revision.
        Raises `PdfError`: `hole-too-small`, `hole-not-empty`, `prepared-changed`, `disk`.
        """
        filling = contents(self.info, cms)
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                self._write(descriptor, filling)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise PdfError("disk", f"the revision could not be written (errno {error.errno})") from error
        return self._with(filling)

    def _write(self, descriptor: int, filling: bytes) -> None:
        start, length = self.info.hole_start, self.info.hole_length
        found = os.fstat(descriptor)
        if (found.st_dev, found.st_ino, found.st_size) != (*self._file, self.info.size):
            raise PdfError("prepared-changed", "the prepared file is not the one that was written")
        if os.pread(descriptor, length, start) != empty_hole(length):
            raise PdfError("hole-not-empty", "the hole for the signature holds something")
        if os.pwrite(descriptor, filling, start) != length:
            raise PdfError("disk", "the revision could not be written whole")

    def _with(self, filling: bytes) -> bytes:
        state = self._before.copy()
        state.update(filling)
        state.update(self._after)
        return state.digest()


def empty_hole(length: int) -> bytes:
    return b"<" + b"0" * (length - 2) + b">"


def contents(info: Prepared, cms: bytes) -> bytes:
    """The hole with `cms` in it. Raises `PdfError("hole-too-small")`."""
    if len(cms) > info.capacity:
        raise PdfError("hole-too-small", f"{len(cms)} bytes for {info.capacity}")
    return b"<" + cms.hex().encode("ascii").ljust(info.hole_length - 2, b"0") + b">"


def append_revision(parent: Path, placed: Placed, tail: bytes, out: Path) -> Ready:
    """Write `parent` with `tail` behind it to the new file `out`.

    `placed` and `tail` may come from a process that met hostile bytes: they must fit each other and the parent, else `prepared-changed`
    or `hole-not-empty`. Raises `disk` too; nothing is left behind then.
    """
    length, start = placed.parent_length, placed.hole_start - placed.parent_length
    end = start + placed.hole_length
    if placed.size != length + len(tail) or not 0 <= start < start + 2 <= end <= len(tail):
        raise PdfError("prepared-changed", "the revision has another length than it says")
    if tail[start:end] != empty_hole(placed.hole_length):
        raise PdfError("hole-not-empty", "the hole for the signature holds something")
    file, state = _append(parent, length, tail, out)
    parent_digest = state.copy().digest()
    state.update(tail[:start])
    tbs = state.copy()
    tbs.update(tail[end:])
    info = Prepared(
        tbs=tbs.digest(),
        parent_digest=parent_digest,
        parent_length=length,
        byte_range=(0, placed.hole_start, length + end, len(tail) - end),
        hole_start=placed.hole_start,
        hole_length=placed.hole_length,
        field_name=placed.field_name,
        page_index=placed.page_index,
        rects=placed.rects,
        touched_pages=placed.touched_pages,
        size=placed.size,
        certified=placed.certified,
    )
    return Ready(out, file, info, state, tail[end:])


def append_bytes(parent: Path, length: int, tail: bytes, out: Path) -> bytes:
    """Write `parent`, which has `length` bytes, with `tail` behind it to the new file `out`; gives the file's SHA-256.

    Raises `PdfError`: `prepared-changed`, `disk`, with nothing left behind.
    """
    _file, state = _append(parent, length, tail, out)
    state.update(tail)
    return state.digest()


def _append(parent: Path, length: int, tail: bytes, out: Path) -> tuple[tuple[int, int], hashlib._Hash]:
    """Which file was written (device, inode), and the hash as it stood at the parent's end."""
    state = hashlib.sha256()
    try:
        with parent.open("rb", buffering=0) as source, out.open("xb", buffering=0) as target:
            try:
                copy_hashed(source, target, length, state)
                if source.read(1):
                    raise PdfError("prepared-changed", "the parent is longer than it was")
                view = memoryview(tail)
                while view:
                    view = view[target.write(view) :]
                written = os.fstat(target.fileno())
            except BaseException:
                out.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise PdfError("disk", f"the prepared file could not be written (errno {error.errno})") from error
    return (written.st_dev, written.st_ino), state


def copy_hashed(source: BinaryIO, target: BinaryIO, length: int, *hashes: hashlib._Hash) -> None:
    """Copy `length` bytes from where `source` stands to where `target` stands, feeding each hash; constant memory, one read of the data.

    A chunk is hashed and written while it is still in the processor's cache, which costs less than a copy by the kernel beside the hash.
    """
    buffer = memoryview(bytearray(min(_CHUNK, max(length, 1))))
    left = length
    while left:
        got = source.readinto(buffer[: min(left, len(buffer))])  # type: ignore[attr-defined]
        if not got:
            raise PdfError("prepared-changed", "a file became shorter while it was read")
        chunk = buffer[:got]
        for state in hashes:
            state.update(chunk)
        while chunk:
            chunk = chunk[target.write(chunk) :]
        left -= got
