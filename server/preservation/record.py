"""The record of a document, of ours or of others: one ZIP with everything that proves it in twenty years without us (REC-1, REC-4, SW-5).

Of ours: every revision, what was approved and by which key, receipts with their proofs, certificates with their status answers, packets
to receivers and what they answered. Of others: the raw packet and what came about it, its files, our validation's reports, the arrival
number, and everything that its sender was told. Of both: the course of handling as JSON, XML and PDF with its proof in the log, who was
told and who opened it, and a README in Vietnamese and English.

Longer than most: each part of the record is gathered by one function, and together they are the list of what REC-1 asks for.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from server.arrivals.model import DOCUMENTS, ArrivalRow, FileRow, words_of
from server.arrivals.model import State as ArrivalState
from server.arrivals.service import ArrivalService, about_arrival
from server.audit.service import AuditService
from server.db import Database, Row
from server.documents.service import annexes_of
from server.errors import Refused
from server.exchange.model import ExchangeError
from server.exchange.service import ExchangeService
from server.identity.model import Actor
from server.notices.service import about_document
from server.preservation import course, queries
from server.preservation.record_file import (
    LOG,
    LOG_PROOF,
    Contents,
    ContentsEnclosed,
    ContentsPacket,
    ContentsRevision,
    RecordFile,
)
from server.revocation.service import der_sequence
from server.storage import Blobs
from server.validations import sheet
from server.validations.model import Report
from server.wire import iso, iso_or_none

__all__ = ["RecordService"]

_LOOKS: Final = 10
_LOOK_S: Final = 0.5
_Found = TypeVar("_Found")
_Logged = tuple[list[Row], bytes, list[bytes]]

README: Final = """HỒ SƠ VĂN BẢN ĐIỆN TỬ · RECORD OF AN ELECTRONIC DOCUMENT

Hồ sơ này chứa mọi thứ cần thiết để kiểm tra văn bản sau nhiều năm mà không cần hệ thống đã lập ra nó.
This record holds all that is needed to verify the document after many years without the system that made it.

record.json        mọi tệp và mã băm SHA-256; chuỗi các bản · every file with its SHA-256; the chain of revisions
(Văn bản đi và văn bản đến có những phần khác nhau · Outgoing and incoming documents have different parts.)
revisions/         từng bản của tệp PDF, bản sau nối tiếp bản trước từng byte · each revision; each begins with the one before
signatures/N/      bản kê đã xem, phê duyệt (JWS), khóa, chứng thư · manifest that was shown, approval (JWS), its key, certificates
authority/         giấy giao quyền ký (JWS) và khóa của người giao · grants of authority (JWS), their grantors' keys
openings/          các trang mà thiết bị của người ký báo đã mở · pages that the signer's devices said were opened
evidence/          trả lời OCSP, danh sách thu hồi (DER) · OCSP answers, revocation lists (DER)
receipts/          biên nhận kèm chứng minh nhật ký · receipts with their proofs in the log
packets/           gói edXML đã gửi và đã nhận, nguyên văn · edXML packets sent and received, raw
exchange.json      trạng thái tại từng nơi nhận, thông báo đã gửi · each receiver's states, messages sent
files/             tệp trong gói tin đến · files of a packet that came
validations/       kết quả kiểm tra chữ ký khi đến · what our validation said of them
directives.json    ý kiến chỉ đạo và báo cáo, nguyên văn; mã băm nằm trong nhật ký · directions and reports in full; the log has their digests
log.*              quá trình xử lý theo thời gian (PDF, XML, JSON) · the course of handling in order of time
log-proof.json     chứng minh từng sự kiện của log.json có trong nhật ký đã ký · proof that each event of log.json stands in the signed log
accesses.json      ai được báo, ai đã mở · who was told, who opened it
trust/             chứng thư gốc tại thời điểm xuất (hãy dùng bản của chính bạn) · roots at export (use your own copy)

Kiểm tra · To verify:
  hoatoc verify record.zip --trust roots.pem
Hoặc bằng công cụ khác · or with other tools:
  sha256sum revisions/*.pdf; pdfsig revisions/*.pdf
  openssl ocsp -respin evidence/X.der -noverify -text; openssl crl -inform DER -in evidence/Y.der -text
Bản cuối chứa đủ chứng thư, OCSP/CRL và dấu thời gian (PAdES B-LTA, ETSI EN 319 142-1).
The last revision itself holds certificates, OCSP/CRL and time stamps (PAdES B-LTA, ETSI EN 319 142-1).
"""


class RecordService:
    """`roots`: DER certificates that the record carries as trusted at its export."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: Blobs,
        audit: AuditService,
        exchange: ExchangeService,
        arrivals: ArrivalService,
        roots: Iterable[bytes],
        now_us: Callable[[], int],
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._audit = audit
        self._exchange = exchange
        self._arrivals = arrivals
        self._roots = tuple(roots)
        self._now_us = now_us

    async def stream(self, actor: Actor, document: str) -> AsyncIterator[bytes]:
        """The record of a document of ours, piece by piece. The caller has checked that the actor may read it.

        Raises: Refused("not-found", "file-pending") before the first piece.
        """

        async def read() -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
            row = await queries.record_document(self._db, actor.organisation, document)
            if row is None:
                raise Refused("not-found")
            chain = await queries.record_revisions(self._db, document)
            out = await queries.record_packets(self._db, actor.organisation, document)
            return _plain(row), [_plain(one) for one in chain], [_plain(one) for one in out]

        (row, chain, out), (events, proof, receipts) = await self._at_once(actor, document, read)
        made = RecordFile(self._now_us())
        yield made.small("README.txt", README.encode())
        revisions: list[ContentsRevision] = []
        for one in chain:
            path = f"revisions/{one['number']:02d}-{one['kind']}.pdf"
            revisions.append(
                ContentsRevision(
                    path, one["digest"], one["parent"], one["kind"], one["version"], iso(one["created_us"])
                )
            )
            async for piece in self._blob(made, path, one["digest"]):
                yield piece
        async for piece in self._signatures(made, actor, document):
            yield piece
        for number, receipt in enumerate(receipts, 1):
            yield made.small(f"receipts/{number:02d}.json", receipt)
        packets: list[ContentsPacket] = []
        async for piece in self._exchanged(made, packets, actor, document, out):
            yield piece
        metadata = msgspec.json.decode(row["header"]) | {"exchange_id": row["exchange_id"]}
        # Each has a record of its own; the packet carries their bytes (SIG-4).
        metadata["annexes"] = [
            {"document": one.id, "subject": one.subject, "sha256": one.head}
            for one in await annexes_of(self._db, document)
        ]
        title = f"{metadata['number']}/{metadata['notation']} · {metadata['subject']}"
        async for piece in self._course(made, actor, document, title, about_document(document), events, proof):
            yield piece
        yield made.end(
            Contents(
                v=1,
                document=document,
                # Not the head of the row, which the archive's next revision may have moved since it was read.
                head=revisions[-1].sha256,
                state=row["state"],
                exported_at=iso(self._now_us()),
                metadata=metadata,
                route=[_step(one) for one in await queries.record_route(self._db, document)],
                revisions=revisions,
                receipts=[f"receipts/{number:02d}.json" for number in range(1, len(receipts) + 1)],
                files=list(made.files),
                packets=packets,
            )
        )

    async def arrival(self, actor: Actor, arrival: str) -> AsyncIterator[bytes]:
        """The record of a document of others, piece by piece. What its sender took back goes without its text (EXC-5).

        Raises: Refused("not-found", "file-pending") before the first piece.
        """

        async def read() -> tuple[ArrivalRow, list[FileRow], bool]:
            found = await self._arrivals.open(actor, arrival)
            return found.row, found.files, await self._arrivals.recalled(found.row)

        (row, files, recalled), (events, proof, _) = await self._at_once(actor, arrival, read)
        made = RecordFile(self._now_us())
        yield made.small("README.txt", README.encode())
        packets: list[ContentsPacket] = []
        async for piece in self._came(made, packets, actor, row, recalled=recalled):
            yield piece
        async for piece in self._said(made, packets, row.about or row.id):
            yield piece
        enclosed: list[ContentsEnclosed] = []
        for file in files:
            async for piece in self._file(made, enclosed, file, recalled=recalled):
                yield piece
        purged = await self._exchange.purged_by(row.id)
        yield made.small("exchange.json", _json({"purged": _purged(purged)}))
        title = f"{words_of(row).vi} · {row.reference} · {row.sender_name} · {row.subject}"
        async for piece in self._course(made, actor, row.id, title, about_arrival(row.id), events, proof):
            yield piece
        yield made.end(
            Contents(
                v=1,
                document=row.id,
                head="",
                state=row.state.value,
                exported_at=iso(self._now_us()),
                metadata=_metadata(row, await queries.record_name(self._db, row.decided_by)),
                route=[],
                revisions=[],
                receipts=[],
                files=list(made.files),
                kind="arrival",
                packets=packets,
                enclosed=enclosed,
            )
        )

    # What both have.

    async def _blob(self, made: RecordFile, path: str, digest: str) -> AsyncIterator[bytes]:
        async with self._blobs.local(digest) as local:
            async for piece in made.large(path, local, digest):
                yield piece

    async def _at_once(
        self, actor: Actor, subject: str, read: Callable[[], Awaitable[_Found]]
    ) -> tuple[_Found, _Logged]:
        """What `read` finds and what the log says of the same moment: a record that names a number or packet besides its log is not believed.

        Raises: as `_logged`; Refused("file-pending") while it keeps moving.
        """
        for _ in range(_LOOKS):
            found = await read()
            logged = await self._logged(actor, subject)
            if await read() == found:
                return found, logged
        raise Refused("file-pending")

    async def _logged(self, actor: Actor, subject: str) -> _Logged:
        """The events in order of time, the proof that they stand in the log, and the receipts.

        The log's next head is a second or two away; it is waited for before the answer begins. Raises: Refused("file-pending").
        """
        for look in range(_LOOKS):
            try:
                # Before the events, which then have those of all receipts.
                given = await self._audit.receipts(actor, subject)
                events = await queries.record_events(self._db, actor.organisation, subject)
                proof = await self._audit.prove_events(events)
                receipts = [await self._audit.receipt(actor, one["id"]) for one in given]
                return events, msgspec.json.encode(proof), [msgspec.json.encode(one) for one in receipts]
            except Refused as refused:
                if refused.code != "file-pending" or look == _LOOKS - 1:
                    raise
            await asyncio.sleep(_LOOK_S)
        raise AssertionError

    async def _course(
        self,
        made: RecordFile,
        actor: Actor,
        subject: str,
        title: str,
        about: str,
        events: list[Row],
        proof: bytes,
    ) -> AsyncIterator[bytes]:
        names = await queries.record_actors(self._db, actor.organisation)
        directed = await queries.record_directions(self._db, actor.organisation, subject)
        spoken = {hashlib.sha256(one["text"].encode()).hexdigest(): str(one["text"]) for one in directed}
        if directed:
            yield made.small("directives.json", _json(course.directions(directed)))
        told = await queries.record_told(self._db, actor.organisation, about, subject)
        seen = course.accesses(told, await queries.record_opened(self._db, subject))
        yield made.small(LOG, course.as_json(events, names))
        yield made.small(LOG_PROOF, proof)
        yield made.small("log.xml", course.as_xml(subject, events, names))
        # The font's first cut takes a while.
        for number, pdf in enumerate(await asyncio.to_thread(course.as_pdfs, title, events, names | spoken, seen), 1):
            yield made.small("log.pdf" if number == 1 else f"log-{number}.pdf", pdf)
        yield made.small("accesses.json", _json(seen))
        for number, root in enumerate(self._roots, 1):
            yield made.small(f"trust/root-{number}.der", root)

    async def _said(self, made: RecordFile, packets: list[ContentsPacket], subject: str) -> AsyncIterator[bytes]:
        """What was said beside the document's own packet: recalls, updates, late receivers; to its sender, statuses."""
        for one in await self._exchange.said(subject):
            path, written = f"packets/{len(packets) + 1:02d}-{one.what}.edxml", True
            try:
                async with self._exchange.written(one) as local:
                    async for piece in made.large(path, local):
                        yield piece
            except ExchangeError:
                written = False
            packets.append(
                ContentsPacket(
                    what=one.what,
                    way="sent",
                    path=path if written else "",
                    sha256=made.files[-1].sha256 if written else "",
                    axis_id=one.doc_id,
                    at=iso(one.created_us),
                    left_out="" if written else "not-written",
                )
            )

    async def _kept(
        self,
        made: RecordFile,
        packets: list[ContentsPacket],
        one: Row | dict[str, Any],
        way: str,
        *,
        withheld: str = "",
    ) -> AsyncIterator[bytes]:
        """A packet whose bytes are kept. Its file goes some time after it has done its work; what it was stays known."""
        left_out = withheld or ("dropped" if one["dropped_us"] is not None else "")
        path = "" if left_out else f"packets/{len(packets) + 1:02d}-{one['what']}.edxml"
        packets.append(
            ContentsPacket(
                what=one["what"],
                way=way,
                path=path,
                sha256=one["blob"],
                axis_id=one["axis_id"],
                at=iso(one["at_us"]),
                left_out=left_out,
            )
        )
        if path:
            async for piece in self._blob(made, path, one["blob"]):
                yield piece

    # Ours.

    async def _signatures(self, made: RecordFile, actor: Actor, document: str) -> AsyncIterator[bytes]:
        held: set[str] = set()
        for number, one in enumerate(await queries.record_signatures(self._db, actor.organisation, document), 1):
            folder = f"signatures/{number}"
            yield made.small(f"{folder}/manifest.json", bytes(one["manifest"]))
            yield made.small(f"{folder}/approval.jws", str(one["approval"]).encode())
            yield made.small(f"{folder}/approval-key.json", str(one["approval_jwk"]).encode())
            for place, certificate in enumerate((bytes(one["certificate"]), *der_sequence(bytes(one["chain"] or b"")))):
                yield made.small(f"{folder}/certificate-{place}.der", certificate)
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
            yield made.small(f"{folder}/status.json", msgspec.json.encode(said))
            for path, data in await self._rests_on(actor, one["prepared"]):
                if path not in held:
                    held.add(path)
                    yield made.small(path, data)
            for row in evidence:
                if row["answer"] is not None and row["digest"] not in held:
                    held.add(row["digest"])
                    yield made.small(f"evidence/{row['source']}-{row['digest']}.der", bytes(row["answer"]))

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

    async def _exchanged(
        self,
        made: RecordFile,
        packets: list[ContentsPacket],
        actor: Actor,
        document: str,
        out: list[dict[str, Any]],
    ) -> AsyncIterator[bytes]:
        """The packet to all receivers, what was said beside it, and every status that came; then each receiver's state."""
        for packet in out:
            async for piece in self._kept(made, packets, packet, "sent"):
                yield piece
        async for piece in self._said(made, packets, document):
            yield piece
        for one in await queries.record_statuses(self._db, actor.organisation, document):
            async for piece in self._kept(made, packets, one, "received"):
                yield piece
        found = await self._exchange.deliveries(actor, document)
        said = {
            "receivers": [msgspec.to_builtins(one) for one in found.receivers],
            "statuses": [dict(row) for row in found.statuses],
            "messages": [
                {
                    "what": one.what,
                    "receivers": msgspec.json.decode(one.receivers),
                    "stage": one.stage,
                    "code": one.code,
                    "created_at": iso(one.created_us),
                    "accepted_at": iso_or_none(one.accepted_us),
                }
                for one in found.messages
            ],
            "purged": _purged(found.purged),
        }
        yield made.small("exchange.json", _json(said))

    # Others'.

    async def _came(
        self, made: RecordFile, packets: list[ContentsPacket], actor: Actor, row: ArrivalRow, *, recalled: bool
    ) -> AsyncIterator[bytes]:
        """Its own packet first, then its copies and what was asked about it, in the order of their coming."""
        rows = await queries.record_came(self._db, actor.organisation, row.id)
        for one in sorted(rows, key=lambda one: one["axis_id"] != row.axis_id):
            withheld = "recalled" if recalled and one["kind"] == "edoc" else ""
            async for piece in self._kept(made, packets, one, "received", withheld=withheld):
                yield piece

    async def _file(
        self, made: RecordFile, enclosed: list[ContentsEnclosed], file: FileRow, *, recalled: bool
    ) -> AsyncIterator[bytes]:
        path = "" if recalled else f"files/{file.position:02d}.{'pdf' if file.pdf else 'bin'}"
        report = "" if file.report is None else f"validations/{file.position:02d}.json"
        enclosed.append(
            ContentsEnclosed(
                path=path,
                name=file.name,
                sha256=file.digest,
                size=file.size,
                verdict=file.verdict,
                report=report,
            )
        )
        if path:
            async for piece in self._blob(made, path, file.digest):
                yield piece
        if file.report is not None:
            yield made.small(report, file.report.encode())
            shown = await sheet.render(msgspec.json.decode(file.report, type=Report))
            yield made.small(f"validations/{file.position:02d}.pdf", shown)


def _plain(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in row.keys()}  # noqa: SIM118 - a row is no mapping


def _metadata(row: ArrivalRow, clerk: str) -> dict[str, Any]:
    """What the packet's header says, and what became of it here."""
    registered = None if row.arrival_number is None else {"year": row.arrival_year, "number": row.arrival_number}
    return {
        "kind": row.kind.value,
        "about": row.about,
        "exchange_id": row.exchange_id,
        "receiver": row.receiver,
        "header": msgspec.json.decode(row.header),
        "received_at": iso(row.received_us),
        "asked": row.asked if row.kind not in DOCUMENTS else "",
        "registered": registered,
        "own_number": row.own_number,
        "returned": row.remark if row.state is ArrivalState.RETURNED else None,
        "decided_by": clerk,
        "decided_at": iso_or_none(row.decided_us),
        "remark": row.remark,
    }


def _purged(rows: Iterable[Row]) -> list[dict[str, Any]]:
    return [{"device": row["device"], "person": row["name"], "at": iso(row["at_us"])} for row in rows]


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value))


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
