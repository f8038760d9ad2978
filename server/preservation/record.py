"""The record of a document: one ZIP with everything that proves it in twenty years without us (REC-1, REC-4, SW-5).

Every revision, what was approved and by which key, receipts with their proofs, packets and statuses, certificates with their
status answers, the course of handling as JSON and XML, and a README in Vietnamese and English. `record.json` stands last and names
every file by its SHA-256. The archive is written as it is sent, stored without compression; names are ours, plain ASCII.

`check` reads such an archive and believes nothing in it (threat B8): bounded, no name is used as a path, every digest is computed.
"""

import hashlib
import re
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import msgspec

from server.audit.service import AuditService
from server.db import Database, Row
from server.errors import HoatocError, Refused
from server.exchange.service import ExchangeService
from server.identity.model import Actor
from server.preservation import queries
from server.revocation.service import der_sequence
from server.storage import Blobs
from server.wire import iso

__all__ = [
    "Contents",
    "ContentsFile",
    "ContentsRevision",
    "RecordError",
    "RecordService",
    "check",
    "metadata_of",
    "parts",
]

_CHUNK: Final = 1 << 18
_MAX_FILES: Final = 10_000
_MAX_BYTES: Final = 8 << 30
_MAX_CONTENTS: Final = 16 << 20

README = """HỒ SƠ VĂN BẢN ĐIỆN TỬ · RECORD OF AN ELECTRONIC DOCUMENT

Hồ sơ này chứa mọi thứ cần thiết để kiểm tra văn bản sau nhiều năm mà không cần hệ thống đã lập ra nó.
This record holds all that is needed to verify the document after many years without the system that made it.

record.json        mọi tệp và mã băm SHA-256; chuỗi các bản · every file with its SHA-256; the chain of revisions
revisions/         từng bản của tệp PDF, bản sau nối tiếp bản trước từng byte · each revision; each begins with the one before
signatures/N/      bản kê đã xem, phê duyệt (JWS), khóa, chứng thư · manifest that was shown, approval (JWS), its key, certificates
authority/         giấy giao quyền ký (JWS) và khóa của người giao · grants of authority (JWS), their grantors' keys
openings/          các trang mà thiết bị của người ký báo đã mở · pages that the signer's devices said were opened
evidence/          trả lời OCSP, danh sách thu hồi (DER) · OCSP answers, revocation lists (DER)
receipts/          biên nhận kèm chứng minh nhật ký · receipts with their proofs in the log
packets/           gói edXML đã gửi; trạng thái của nơi nhận · edXML packets sent; receivers' statuses
log.json, log.xml  quá trình xử lý theo thời gian · the course of handling in order of time
trust/             chứng thư gốc tại thời điểm xuất (hãy dùng bản của chính bạn) · roots at export (use your own copy)

Kiểm tra · To verify:
  hoatoc verify record.zip --trust roots.pem
Hoặc bằng công cụ khác · or with other tools:
  sha256sum revisions/*.pdf; pdfsig revisions/*.pdf
  openssl ocsp -respin evidence/X.der -noverify -text; openssl crl -inform DER -in evidence/Y.der -text
Bản cuối chứa đủ chứng thư, OCSP/CRL và dấu thời gian (PAdES B-LTA, ETSI EN 319 142-1).
The last revision itself holds certificates, OCSP/CRL and time stamps (PAdES B-LTA, ETSI EN 319 142-1).
"""


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


class Contents(msgspec.Struct, frozen=True):
    """`record.json`. `head`: SHA-256 of the last revision."""

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


class _Archive:
    """A ZIP in the making, and what `record.json` will say of it."""

    def __init__(self, at_us: int) -> None:
        self.sink = _Sink()
        self.files: list[ContentsFile] = []
        self._zip = zipfile.ZipFile(self.sink, "w", zipfile.ZIP_STORED)  # type: ignore[call-overload]
        self._at = datetime.fromtimestamp(max(at_us, 315_532_800_000_000) / 1e6, UTC).timetuple()[:6]

    def small(self, path: str, data: bytes) -> bytes:
        with self._zip.open(self._entry(path), "w") as out:
            out.write(data)
        self.files.append(ContentsFile(path, hashlib.sha256(data).hexdigest(), len(data)))
        return self.sink.take()

    async def large(self, path: str, blobs: Blobs, digest: str) -> AsyncIterator[bytes]:
        size = 0
        async with blobs.local(digest) as local:
            with local.open("rb") as source, self._zip.open(self._entry(path), "w", force_zip64=True) as out:
                while chunk := source.read(_CHUNK):
                    out.write(chunk)
                    size += len(chunk)
                    yield self.sink.take()
        self.files.append(ContentsFile(path, digest, size))
        yield self.sink.take()

    def end(self) -> bytes:
        self._zip.close()
        return self.sink.take()

    def _entry(self, path: str) -> zipfile.ZipInfo:
        return zipfile.ZipInfo(path, self._at)


class RecordService:
    """`roots`: DER certificates that the record carries as trusted at its export."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: Blobs,
        audit: AuditService,
        exchange: ExchangeService,
        roots: Iterable[bytes],
        now_us: Callable[[], int],
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._audit = audit
        self._exchange = exchange
        self._roots = tuple(roots)
        self._now_us = now_us

    async def stream(self, actor: Actor, document: str) -> AsyncIterator[bytes]:
        """The archive, piece by piece. The caller has checked that the actor may read the document.

        Raises: Refused("not-found", "file-pending") before the first piece.
        """
        row = await queries.record_document(self._db, actor.organisation, document)
        if row is None:
            raise Refused("not-found")
        # A receipt waits a second or two for the log's next head; that is said before the answer begins.
        receipts = [
            msgspec.json.encode(await self._audit.receipt(actor, one["id"]))
            for one in await self._audit.receipts(actor, document)
        ]
        archive = _Archive(self._now_us())
        yield archive.small("README.txt", README.encode())
        revisions: list[ContentsRevision] = []
        for one in await queries.record_revisions(self._db, document):
            path = f"revisions/{one['number']:02d}-{one['kind']}.pdf"
            revisions.append(
                ContentsRevision(
                    path, one["digest"], one["parent"], one["kind"], one["version"], iso(one["created_us"])
                )
            )
            async for piece in archive.large(path, self._blobs, one["digest"]):
                yield piece
        async for piece in self._signatures(archive, actor, document):
            yield piece
        for number, receipt in enumerate(receipts, 1):
            yield archive.small(f"receipts/{number:02d}.json", receipt)
        async for piece in self._exchanged(archive, actor, document):
            yield piece
        events = await queries.record_events(self._db, actor.organisation, document)
        yield archive.small("log.json", msgspec.json.format(msgspec.json.encode([_event(one) for one in events])))
        yield archive.small("log.xml", _log_xml(document, events))
        for number, root in enumerate(self._roots, 1):
            yield archive.small(f"trust/root-{number}.der", root)
        contents = Contents(
            v=1,
            document=document,
            # Not the head of the row, which the archive's next revision may have moved since it was read.
            head=revisions[-1].sha256,
            state=row["state"],
            exported_at=iso(self._now_us()),
            metadata=msgspec.json.decode(row["header"]) | {"exchange_id": row["exchange_id"]},
            route=[_step(one) for one in await queries.record_route(self._db, document)],
            revisions=revisions,
            receipts=[f"receipts/{number:02d}.json" for number in range(1, len(receipts) + 1)],
            files=list(archive.files),
        )
        yield archive.small("record.json", msgspec.json.format(msgspec.json.encode(contents)))
        yield archive.end()

    async def _signatures(self, archive: _Archive, actor: Actor, document: str) -> AsyncIterator[bytes]:
        held: set[str] = set()
        for number, one in enumerate(await queries.record_signatures(self._db, actor.organisation, document), 1):
            folder = f"signatures/{number}"
            yield archive.small(f"{folder}/manifest.json", bytes(one["manifest"]))
            yield archive.small(f"{folder}/approval.jws", str(one["approval"]).encode())
            yield archive.small(f"{folder}/approval-key.json", str(one["approval_jwk"]).encode())
            for place, certificate in enumerate((bytes(one["certificate"]), *der_sequence(bytes(one["chain"] or b"")))):
                yield archive.small(f"{folder}/certificate-{place}.der", certificate)
            evidence = await queries.record_evidence(self._db, one["prepared"])
            said = [
                {
                    "certificate": row["certificate"],
                    "state": row["state"],
                    "answer": row["digest"],
                    "checked_at": iso(row["checked_us"]),
                }
                for row in evidence
            ]
            yield archive.small(f"{folder}/status.json", msgspec.json.encode(said))
            for path, data in await self._rests_on(actor, one["prepared"]):
                if path not in held:
                    held.add(path)
                    yield archive.small(path, data)
            for row in evidence:
                if row["answer"] is not None and row["digest"] not in held:
                    held.add(row["digest"])
                    yield archive.small(f"evidence/{row['source']}-{row['digest']}.der", bytes(row["answer"]))

    async def _rests_on(self, actor: Actor, prepared: str) -> list[tuple[str, bytes]]:
        """What the signature's event names by digest besides: grants (AUT-6), and the pages that were opened."""
        files: list[tuple[str, bytes]] = []
        for grant in await queries.record_grants(self._db, actor.organisation, prepared):
            files.append((f"authority/{grant['digest']}.jws", str(grant["jws"]).encode()))
            files.append((f"authority/{grant['digest']}.key.json", str(grant["approval_jwk"]).encode()))
        opened = await queries.record_openings(self._db, prepared)
        if opened is not None:
            files.append((f"openings/{opened['digest']}.json", bytes(opened["proof"])))
        return files

    async def _exchanged(self, archive: _Archive, actor: Actor, document: str) -> AsyncIterator[bytes]:
        # The file of a packet goes some time after it has done its work; what it was stays known.
        dropped: list[dict[str, Any]] = []
        for number, one in enumerate(await queries.record_packets(self._db, actor.organisation, document), 1):
            if one["dropped_us"] is not None:
                dropped.append({"sha256": one["blob"], "axis_id": one["doc_id"], "dropped_at": iso(one["dropped_us"])})
                continue
            async for piece in archive.large(f"packets/{number:02d}-{one['kind']}.edxml", self._blobs, one["blob"]):
                yield piece
        found = await self._exchange.deliveries(actor, document)
        said = {
            "receivers": [msgspec.to_builtins(one) for one in found.receivers],
            "statuses": [dict(row) for row in found.statuses],
            "dropped": dropped,
        }
        yield archive.small("packets/statuses.json", msgspec.json.encode(said))


def _event(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "at": iso(row["at_us"]),
        "kind": row["kind"],
        "actor": row["actor"],
        "position": row["position"],
        "body": msgspec.json.decode(row["body"]),
    }


def _step(row: Row) -> dict[str, Any]:
    return {
        "position": row["position"],
        "kind": row["kind"],
        "field": row["field_name"],
        "authority": row["authority_line"],
        "state": row["state"],
        "decided_at": None if row["decided_us"] is None else iso(row["decided_us"]),
        "name": row["name"],
        "title": row["title"],
    }


def _log_xml(document: str, events: list[Row]) -> bytes:
    """The course of handling as XML (REC-4); the body of each event stands in it as the JSON that was logged."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<log document={quoteattr(document)}>"]
    for row in events:
        place = "" if row["position"] is None else f' position="{row["position"]}"'
        lines.append(
            f'  <event id={quoteattr(row["id"])} at="{iso(row["at_us"])}" kind={quoteattr(row["kind"])}'
            f" actor={quoteattr(row['actor'])}{place}>{escape(bytes(row['body']).decode())}</event>"
        )
    return ("\n".join([*lines, "</log>"]) + "\n").encode()


# --- Reading one, offline ---------------------------------------------------------------------------------------------


def check(path: Path, folder: Path) -> Contents:
    """Prove that an archive is whole, and put its revisions and receipts into `folder` under numbers of ours.

    `folder/revision-N.pdf` and `folder/receipt-N.json`, N from 0 in the order of `record.json`; beside them, as `parts` names them, what
    receipts name by digest. Raises `RecordError`:
    "record-unreadable", "record-incomplete" (a file is missing, doubled, unnamed or of another digest), "record-chain-broken".
    """
    try:
        with zipfile.ZipFile(path) as archive:
            contents = _contents(archive)
            wanted = {one.path: f"revision-{number}.pdf" for number, one in enumerate(contents.revisions)}
            wanted |= {one: f"receipt-{number}.json" for number, one in enumerate(contents.receipts)}
            wanted |= parts(contents)
            _digests(archive, contents, wanted, folder)
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, ValueError, KeyError) as error:
        raise RecordError("record-unreadable") from error
    _chain(contents, folder)
    return contents


_PART: Final = re.compile(
    r"authority/[0-9a-f]{64}\.(jws|key\.json)|openings/[0-9a-f]{64}\.json|signatures/\d+/manifest\.json"
)
_MAX_PART: Final = 32 << 20


def parts(contents: Contents) -> dict[str, str]:
    """Grants, openings and manifests of the archive, each with the name of ours under which `check` puts it into its folder."""
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
    return contents


def _digests(archive: zipfile.ZipFile, contents: Contents, wanted: dict[str, str], folder: Path) -> None:
    known = {one.path: one for one in contents.files}
    if not wanted.keys() <= known.keys() or not contents.revisions:
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
    if any(known[one.path].sha256 != one.sha256 for one in contents.revisions):
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
