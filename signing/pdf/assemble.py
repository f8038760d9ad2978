"""Putting the CMS into its hole: the prepared file becomes a revision, named by its SHA-256, once and for all.

For a prepared file that was stored, while somebody read and approved it. One that was never out of hand is filled by `Ready`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from signing.pdf.errors import PdfError
from signing.pdf.revision import Prepared, contents, copy_hashed, empty_hole

__all__ = ["assemble"]


def assemble(prepared: Path, info: Prepared, cms: bytes, out: Path) -> bytes:
    """Write `prepared` with `cms` (DER) in its hole to the new file `out`; gives the revision's SHA-256.

    The file is read once. On the way it is proved to be the prepared one: its length, the parent's digest, the empty
    hole and `tbs`; otherwise `prepared-changed` or `hole-not-empty`, and nothing is left behind. A CMS that does not
    fit is `hole-too-small`: the token goes to another authority, never is the revision prepared again without a PIN.
    """
    filling = contents(info, cms)
    try:
        with prepared.open("rb", buffering=0) as source, out.open("xb", buffering=0) as target:
            try:
                return _copy(source, target, info, filling)
            except BaseException:
                out.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise PdfError("disk", f"the revision could not be written (errno {error.errno})") from error


def _copy(source: BinaryIO, target: BinaryIO, info: Prepared, filling: bytes) -> bytes:
    shared = hashlib.sha256()
    copy_hashed(source, target, info.parent_length, shared)
    if shared.copy().digest() != info.parent_digest:
        raise PdfError("prepared-changed", "the prepared file does not begin with its parent")
    copy_hashed(source, target, info.hole_start - info.parent_length, shared)
    hole = source.read(info.hole_length)
    if hole != empty_hole(info.hole_length):
        raise PdfError("hole-not-empty", "the hole for the signature holds something")
    tbs, revision = shared.copy(), shared
    revision.update(filling)
    if target.write(filling) != len(filling):
        raise PdfError("disk", "the revision could not be written whole")
    copy_hashed(source, target, info.size - info.hole_start - info.hole_length, tbs, revision)
    if source.read(1):
        raise PdfError("prepared-changed", "the prepared file is longer than it was")
    if tbs.digest() != info.tbs:
        raise PdfError("prepared-changed", "the prepared bytes are not those that were signed")
    return revision.digest()
