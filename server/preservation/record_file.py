"""The file of a record: a ZIP, written as it is sent, stored without compression, with names of ours in plain ASCII.

`record.json` stands last and names every other file by its SHA-256. `check` reads such a file and believes nothing in it (threat B8):
bounded, no name is used as a path, every digest is computed.
"""

import hashlib
import re
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from server.errors import HoatocError, Refused

__all__ = [
    "LOG",
    "LOG_PROOF",
    "Contents",
    "ContentsEnclosed",
    "ContentsFile",
    "ContentsPacket",
    "ContentsRevision",
    "RecordError",
    "RecordFile",
    "check",
    "metadata_of",
    "parts",
]

LOG: Final = "log.json"
LOG_PROOF: Final = "log-proof.json"
_CHUNK: Final = 1 << 18
_MAX_FILES: Final = 10_000
_MAX_BYTES: Final = 8 << 30
_MAX_CONTENTS: Final = 16 << 20


class RecordError(HoatocError):
    """An archive that is no record, or not whole; `reason` is a stable code."""

    code = "record-unreadable"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class ContentsFile(msgspec.Struct, frozen=True):
    path: str
    sha256: str
    size: int


class ContentsRevision(msgspec.Struct, frozen=True):
    """`path`: the file in the archive; `parent`: SHA-256 of the revision that it begins with, None for a new text."""

    path: str
    sha256: str
    parent: str | None
    kind: str
    version: int
    at: str


class ContentsPacket(msgspec.Struct, frozen=True, kw_only=True):
    """A packet of the exchange, raw. `what`: the kind of business or the status code; `way`: "sent" or "received".

    `path` is empty where the file is not in the record: `left_out` says why ("dropped" when its work was done, "recalled" by its sender,
    "not-written"). `sha256` is empty for one of ours that was never written.
    """

    what: str
    way: str
    path: str
    sha256: str
    axis_id: str
    at: str
    left_out: str = ""


class ContentsEnclosed(msgspec.Struct, frozen=True, kw_only=True):
    """A file that came in the packet, under its sender's name. `verdict` of our validation, None for what is no PDF or was not judged.

    `path` is empty where its sender took it back. `report`: the validation's, as JSON; a PDF of the same name stands beside it.
    """

    path: str
    name: str
    sha256: str
    size: int
    verdict: str | None
    report: str = ""


class Contents(msgspec.Struct, frozen=True):
    """`record.json`. `kind`: "document" of ours or "arrival" of others. `head`: SHA-256 of the last revision, empty for an arrival.

    `packets` in the order of time; the first of an arrival is its own.
    """

    v: int
    document: str
    head: str
    state: str
    exported_at: str
    metadata: dict[str, Any]
    route: list[dict[str, Any]]
    revisions: list[ContentsRevision]
    receipts: list[str]
    files: list[ContentsFile]
    kind: str = "document"
    packets: list[ContentsPacket] = []
    enclosed: list[ContentsEnclosed] = []


class _Sink:
    """Where the archive is written to: what has come since the last `take`. No file object that a garbage collector closes
    under an archive whose reader went away.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Everything is where `take` finds it."""

    def take(self) -> bytes:
        made = b"".join(self._parts)
        self._parts.clear()
        return made


class RecordFile:
    """A record in the making: each method gives the bytes that are due, and `files` is what `record.json` will say."""

    def __init__(self, at_us: int) -> None:
        self.files: list[ContentsFile] = []
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_STORED)  # type: ignore[call-overload]
        self._at = datetime.fromtimestamp(max(at_us, 315_532_800_000_000) / 1e6, UTC).timetuple()[:6]

    def small(self, path: str, data: bytes) -> bytes:
        with self._zip.open(self._entry(path), "w") as out:
            out.write(data)
        self.files.append(ContentsFile(path, hashlib.sha256(data).hexdigest(), len(data)))
        return self._sink.take()

    async def large(self, path: str, source: Path, digest: str | None = None) -> AsyncIterator[bytes]:
        """The file at `source`. Raises: Refused("integrity-failed") behind the last piece where its SHA-256 is not `digest` (D17)."""
        state, size = hashlib.sha256(), 0
        with source.open("rb") as reading, self._zip.open(self._entry(path), "w", force_zip64=True) as out:
            while chunk := reading.read(_CHUNK):
                out.write(chunk)
                state.update(chunk)
                size += len(chunk)
                yield self._sink.take()
        found = state.hexdigest()
        if digest is not None and found != digest:
            raise Refused("integrity-failed")
        self.files.append(ContentsFile(path, found, size))
        yield self._sink.take()

    def end(self, contents: Contents) -> bytes:
        """`record.json` and the end of the archive."""
        made = self.small("record.json", msgspec.json.format(msgspec.json.encode(contents)))
        self._zip.close()
        return made + self._sink.take()

    def _entry(self, path: str) -> zipfile.ZipInfo:
        return zipfile.ZipInfo(path, self._at)


# --- Reading one, offline ---------------------------------------------------------------------------------------------


def check(path: Path, folder: Path) -> Contents:
    """Prove that an archive is whole, and put its revisions and receipts into `folder` under numbers of ours.

    `folder/revision-N.pdf` and `folder/receipt-N.json`, N from 0 in the order of `record.json`; of an arrival `folder/packet` and
    `folder/file-N`; beside them, as `parts` names them, the log with its proof and what receipts name by digest. Raises `RecordError`:
    "record-unreadable", "record-incomplete" (a file is missing, doubled, unnamed or of another digest), "record-chain-broken".
    """
    try:
        with zipfile.ZipFile(path) as archive:
            contents = _contents(archive)
            _digests(archive, contents, _wanted(contents), folder)
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, ValueError, KeyError) as error:
        raise RecordError("record-unreadable") from error
    if contents.kind == "document":
        _chain(contents, folder)
    return contents


def _wanted(contents: Contents) -> dict[str, str]:
    """Names of ours by paths of the archive. A path that is named twice would leave one of ours without its file."""
    named = [(one.path, f"revision-{number}.pdf") for number, one in enumerate(contents.revisions)]
    named += [(one, f"receipt-{number}.json") for number, one in enumerate(contents.receipts)]
    if contents.kind == "arrival":
        named += [(one.path, f"file-{number}") for number, one in enumerate(contents.enclosed) if one.path]
        named += [(one.path, "packet") for one in contents.packets[:1] if one.path]
    named += parts(contents).items()
    wanted = dict(named)
    if len(wanted) != len(named):
        raise RecordError("record-incomplete")
    return wanted


_PART: Final = re.compile(
    r"authority/[0-9a-f]{64}\.(jws|key\.json)|openings/[0-9a-f]{64}\.json|signatures/\d+/manifest\.json|log(-proof)?\.json"
)
_MAX_PART: Final = 32 << 20


def parts(contents: Contents) -> dict[str, str]:
    """The log, grants, openings and manifests of the archive, each with the name of ours under which `check` puts it into its folder."""
    return {
        one.path: f"part-{number}"
        for number, one in enumerate(contents.files)
        if _PART.fullmatch(one.path) and one.size <= _MAX_PART
    }


def metadata_of(contents: Contents, revision: str) -> dict[str, Any] | None:
    """The metadata that held when this revision was signed; None for one of a text that was replaced, whose metadata no record keeps."""
    versions = {one.sha256: one.version for one in contents.revisions}
    return contents.metadata if versions.get(revision) == contents.revisions[-1].version else None


def _contents(archive: zipfile.ZipFile) -> Contents:
    entries = archive.infolist()
    if len(entries) > _MAX_FILES or sum(entry.file_size for entry in entries) > _MAX_BYTES:
        raise RecordError("record-unreadable")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise RecordError("record-unreadable")  # ours is stored; what is packed could unpack to anything (B8)
    entry = archive.getinfo("record.json")
    if entry.file_size > _MAX_CONTENTS:
        raise RecordError("record-unreadable")
    try:
        contents = msgspec.json.decode(archive.read(entry), type=Contents)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RecordError("record-unreadable") from error
    names = [entry.filename for entry in entries]
    listed = [one.path for one in contents.files]
    if contents.v != 1 or len(set(names)) != len(names) or sorted(names) != sorted([*listed, "record.json"]):
        raise RecordError("record-incomplete")
    if contents.kind not in {"document", "arrival"} or (contents.kind == "document") is not bool(contents.revisions):
        raise RecordError("record-incomplete")
    return contents


def _digests(archive: zipfile.ZipFile, contents: Contents, wanted: dict[str, str], folder: Path) -> None:
    known = {one.path: one for one in contents.files}
    if not wanted.keys() <= known.keys():
        raise RecordError("record-incomplete")
    for one in contents.files:
        state, size = hashlib.sha256(), 0
        out = (folder / wanted[one.path]).open("xb") if one.path in wanted else None
        try:
            with archive.open(one.path) as source:
                while chunk := source.read(_CHUNK):
                    state.update(chunk)
                    size += len(chunk)
                    if out is not None:
                        out.write(chunk)
        finally:
            if out is not None:
                out.close()
        if state.hexdigest() != one.sha256 or size != one.size:
            raise RecordError("record-incomplete")
    named = [(one.path, one.sha256) for one in contents.revisions]
    named += [(one.path, one.sha256) for one in contents.packets if one.path]
    named += [(one.path, one.sha256) for one in contents.enclosed if one.path]
    if any(path not in known or known[path].sha256 != digest for path, digest in named):
        raise RecordError("record-incomplete")


def _chain(contents: Contents, folder: Path) -> None:
    """Each revision begins with its parent, byte for byte, and the last one is the head."""
    places = {one.sha256: number for number, one in enumerate(contents.revisions)}
    for number, one in enumerate(contents.revisions):
        if one.parent is None:
            continue
        before = places.get(one.parent)
        if before is None or not _begins(folder / f"revision-{number}.pdf", folder / f"revision-{before}.pdf"):
            raise RecordError("record-chain-broken")
    if contents.revisions[-1].sha256 != contents.head:
        raise RecordError("record-chain-broken")


def _begins(child: Path, parent: Path) -> bool:
    if child.stat().st_size <= parent.stat().st_size:
        return False
    with child.open("rb") as newer, parent.open("rb") as older:
        while chunk := older.read(_CHUNK):
            if newer.read(len(chunk)) != chunk:
                return False
    return True
