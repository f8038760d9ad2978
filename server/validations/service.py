"""Validation of files from outside: for whoever asks, and for every document that the exchange brings (EXC-2)."""

import asyncio
import hashlib
import tempfile
from pathlib import Path

import msgspec

from server.clock import Clock
from server.db import Database, Transaction
from server.documents.model import clean
from server.exchange import edxml
from server.exchange.model import DocumentPacket
from server.ids import new_id
from server.jobs import Lane, enqueue
from server.jobs.model import Retry
from server.pdfwork import PdfWork
from server.storage import Blobs
from server.validations import queries
from server.validations.model import Report, report_of

__all__ = ["IncomingFile", "IncomingPacket", "ValidationService", "is_pdf", "validate_later"]

_JOB = "validations.incoming"
_BUSY_AGAIN_S = 15.0


class IncomingPacket(msgspec.Struct, frozen=True):
    """A stored packet of the exchange. `source`: its id on the axis; `organisation`: the receiver's code; `blob`: SHA-256."""

    source: str
    organisation: str
    blob: str


class IncomingFile(msgspec.Struct, frozen=True):
    """A verdict on one attachment; `file` is its SHA-256."""

    file: str
    name: str
    verdict: str
    report: Report
    judged_us: int


async def validate_later(tx: Transaction, packet: IncomingPacket, *, urgent: bool = False) -> None:
    """For the exchange, in the transaction that stores a document packet: its files will be judged (EXC-2), urgent ones first (TIM-1)."""
    lane = Lane.URGENT if urgent else Lane.NORMAL
    await enqueue(tx, _JOB, packet, lane=lane, dedupe_key=f"{_JOB}:{packet.source}")


class ValidationService:
    def __init__(self, db: Database, blobs: Blobs, pdf: PdfWork, clock: Clock) -> None:
        self._db = db
        self._blobs = blobs
        self._pdf = pdf
        self._clock = clock

    async def judge(self, path: Path, *, waiting: bool = True) -> Report:
        """Judge the file at `path`. Whatever is wrong with it is an answer, never an error (threat B4).

        Raises: Refused("busy").
        """
        now_us = self._clock.now_us()
        result = await self._pdf.judge(path, now_us, waiting=waiting)
        digest = await asyncio.to_thread(_digest, path)
        return report_of(result, sha256=digest, size=path.stat().st_size, now_us=now_us)

    async def judge_packet(self, packet: IncomingPacket) -> None:
        """Judge every PDF of a stored packet and keep the verdicts; may be repeated. A packet that cannot be read has none.

        Raises: Retry while the children are busy.
        """
        with tempfile.TemporaryDirectory(dir=self._blobs.scratch(), prefix="validate-") as folder:
            async with self._blobs.local(packet.blob) as path:
                try:
                    parsed = await asyncio.to_thread(edxml.parse, path, Path(folder))
                except edxml.Unreadable:
                    return
            if not isinstance(parsed.packet, DocumentPacket):
                return
            for attachment in parsed.packet.attachments:
                if await asyncio.to_thread(is_pdf, attachment.path):
                    await self._judge_attachment(packet, attachment.path, attachment.sha256, attachment.safe_name)

    async def _judge_attachment(self, packet: IncomingPacket, path: Path, digest: str, name: str) -> None:
        from server.errors import Refused

        try:
            report = await self.judge(path, waiting=False)
        except Refused as refused:
            if refused.code == "busy":
                raise Retry(_BUSY_AGAIN_S, "sandbox-busy") from None
            raise
        now_us = self._clock.now_us()
        await self._db.transact(
            lambda tx: queries.insert(
                tx, id_=new_id(), organisation=packet.organisation, source=packet.source, file=digest, name=clean(name)[:200],
                verdict=report.verdict, report=msgspec.json.encode(report).decode(), now_us=now_us,
            )
        )  # fmt: skip

    async def verdicts(self, organisation: str, source: str) -> list[IncomingFile]:
        """What was found in the files of a packet that came for the organisation (its code on the exchange)."""
        return [
            IncomingFile(
                file=row["file"],
                name=row["name"],
                verdict=row["verdict"],
                report=msgspec.json.decode(row["report"], type=Report),
                judged_us=row["judged_us"],
            )
            for row in await queries.by_source(self._db, organisation, source)
        ]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_pdf(path: Path) -> bool:
    """By its bytes, not by its sender's words; readers take a header anywhere in the first kilobyte for a PDF."""
    with path.open("rb") as file:
        return b"%PDF-" in file.read(1024)
