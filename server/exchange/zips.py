"""Archives around single files: the only place that opens a zip from outside (threat B8).

Nothing is ever extracted under a name from the archive; one entry is read, counted as it flows, to a path of ours.
"""

import errno
import hashlib
import os
import re
import stat
import struct
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Final

import msgspec

from server.exchange.model import ExchangeError

MAGIC: Final = b"PK\x03\x04"
CHUNK: Final = 1 << 18
_END: Final = b"PK\x05\x06"
_END_SIZE: Final = 22
_MAX_DIRECTORY: Final = 1 << 16
_UUID: Final = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


class ZipRefused(ExchangeError):  # noqa: N818 - the outcome, not a fault of ours
    """A zip that must not be opened. Codes: zip-bomb, zip-broken, zip-entry-refused."""


class ZipLimits(msgspec.Struct, frozen=True):
    """`ratio` counts only beyond the first MiB, where an honest blank form can still be a thousandfold."""

    max_bytes: int = 100 << 20
    max_ratio: int = 200


def single_entry(path: Path) -> str | None:
    """Name of the only entry of the zip at `path`; None if it is no zip, or has no or several entries.

    Looks only at the end record and a bounded directory, so an archive with a million entries costs nothing.
    """
    with path.open("rb") as file:
        if file.read(4) != MAGIC or not _directory_is_small(file):
            return None
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error):
            return None
    return entries[0].filename if len(entries) == 1 else None


def _directory_is_small(file: BinaryIO) -> bool:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END_SIZE - 0xFFFF))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        return False
    entries, directory_size = struct.unpack_from("<HI", tail, at + 10)
    file.seek(0)
    return bool(entries == 1 and directory_size <= _MAX_DIRECTORY)


def is_wrapper(entry: str, attachment_name: str) -> bool:
    """Whether `entry` is a UUID with the attachment's own extension, as the exchange's SDK names it."""
    name = PurePosixPath(entry)
    return (
        _UUID.fullmatch(name.stem) is not None and name.suffix.lower() == PurePosixPath(attachment_name).suffix.lower()
    )


def is_zip(path: Path) -> bool:
    """Whether the file starts as a zip does."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def unwrap(path: Path, out: Path, limits: ZipLimits) -> tuple[int, str]:
    """Writes the only entry of the zip at `path` to `out`; its size and hex SHA-256.

    Raises ZipRefused and leaves no `out`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.infolist()[0]
            _check(entry, limits)
            with archive.open(entry) as source, out.open("wb") as target:
                return _pour(source, target, entry, limits)
    except ZipRefused:
        out.unlink(missing_ok=True)
        raise
    except MemoryError:
        out.unlink(missing_ok=True)
        raise
    except Exception as error:  # zipfile and zlib raise half a dozen types on hostile input
        out.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: an offset that the archive invented
            raise  # the volume is full or broken, which is no fault of the archive (D8)
        raise ZipRefused("zip-broken", type(error).__name__) from error


def _check(entry: zipfile.ZipInfo, limits: ZipLimits) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.flag_bits & 0x1 or entry.is_dir() or kind not in {0, stat.S_IFREG}:
        raise ZipRefused("zip-entry-refused", "encrypted, a folder or a link")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ZipRefused("zip-entry-refused", "compression method")
    if entry.file_size > limits.max_bytes:
        raise ZipRefused("zip-bomb", "declared size over the limit")


def _pour(source: IO[bytes], target: BinaryIO, entry: zipfile.ZipInfo, limits: ZipLimits) -> tuple[int, str]:
    allowed = min(limits.max_bytes, (1 << 20) + limits.max_ratio * max(entry.compress_size, 1))
    total, digest = 0, hashlib.sha256()
    while chunk := source.read(CHUNK):
        total += len(chunk)
        if total > allowed:
            raise ZipRefused("zip-bomb", "expands beyond the limit")
        digest.update(chunk)
        target.write(chunk)
    if total != entry.file_size:
        raise ZipRefused("zip-broken", "size differs from the directory")
    return total, digest.hexdigest()
