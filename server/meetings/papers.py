"""Papers of a meeting: PDFs that were looked at as any document's, kept as blobs, shown as page images.

A changed paper takes the old one's place under the same id with the next version, and its attendees are told. The listing gives digest
and size of each, so a phone can fetch all of them for reading without a network and know how far it is.
"""

from pathlib import Path
from typing import Protocol

import msgspec

from server import audit, jobs
from server.clock import Clock
from server.db import Database, Row, Transaction
from server.documents.model import clean
from server.documents.service import WarmPreviews
from server.errors import Refused
from server.identity.model import Actor
from server.ids import new_id
from server.meetings import queries
from server.meetings.model import open_for, urgency_of
from server.meetings.service import MeetingService, show_all, tell
from server.notices.model import NoticeKind
from server.once import Once
from server.pdftasks import InspectResponse
from server.previews.service import PreviewService
from server.storage import Blobs

MOST = 50


class PaperAnswer(msgspec.Struct, frozen=True):
    """`revision` is the file's SHA-256; `version` counts from 1."""

    id: str
    revision: str
    version: int
    page_count: int


class Inspects(Protocol):
    async def inspect(self, path: Path, *, allow_invisible: bool = False) -> InspectResponse:
        """Raises: Refused with a PDF refusal code, "cannot-be-checked" or "busy"."""


class PaperService:
    """Papers of the meetings that the actor manages or attends."""

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        pdf: Inspects,
        previews: PreviewService,
        meetings: MeetingService,
        clock: Clock,
        *,
        max_pages: int,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._pdf = pdf
        self._previews = previews
        self._meetings = meetings
        self._clock = clock
        self._max_pages = max_pages

    async def put(
        self, actor: Actor, meeting: str, path: Path, *, name: str, replaces: str | None, once: Once
    ) -> bytes:
        """Take in the PDF at `path` (consumed), as a new paper or in the place of one; returns the encoded PaperAnswer.

        Raises: Refused("not-found"), "meeting-over", "secret-document", "too-many-pages", PDF refusals, "invalid-request".
        """
        name = clean(name)
        if not name:
            raise Refused("invalid-request", detail="the name is empty")
        answered = await once.peek(self._db)
        if answered is not None:
            return answered
        before = await self._meetings.managed(actor, meeting)
        open_for(before, before.sequence, self._clock.now_us())
        pages = await self._inspected(path)
        size = path.stat().st_size
        digest = await self._blobs.put_file(path)

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            row = await self._meetings.managed(actor, meeting, tx)
            open_for(row, row.sequence, now_us)
            id_, version = await self._kept(
                tx, row.id, replaces, name=name, digest=digest, size=size, pages=pages, now_us=now_us
            )
            await jobs.enqueue(tx, "previews.warm", WarmPreviews(revision=digest), dedupe_key=f"previews.warm:{digest}")
            event = {"paper": id_, "revision": digest, "version": version}
            await audit.append(
                tx, "meeting.paper_put", organisation=row.organisation, actor=actor.id, subject=row.id, body=event, now_us=now_us
            )  # fmt: skip
            await show_all(tx, row)
            people = [one.person for one in await queries.attendees(tx, meeting) if one.last is None]
            details = await queries.revision(tx, meeting, row.sequence)
            # What is said of papers does not hide a change of time that nobody has read yet: it has a subject of its own.
            kind = NoticeKind.MEETING_PAPERS if version == 1 else NoticeKind.MEETING_PAPER_REPLACED
            await tell(
                tx, row, people, kind, urgency_of(0, now_us, row.starts_us), details.title, now_us,
                subject=f"meeting-papers:{row.id}",
            )  # fmt: skip
            answer = msgspec.json.encode(PaperAnswer(id_, digest, version, pages))
            await once.settle(tx, answer)
            return answer

        return await self._db.transact(body)

    async def _inspected(self, path: Path) -> int:
        """The same look as at a document's file: nothing hidden, nothing active, no state secrets (B2, SEC-1)."""
        report = await self._pdf.inspect(path, allow_invisible=True)
        if report.secrecy_mark is not None:
            raise Refused("secret-document")
        if report.page_count > self._max_pages:
            raise Refused("too-many-pages", limit=self._max_pages)
        return report.page_count

    async def _kept(
        self, tx: Transaction, meeting: str, replaces: str | None, *, name: str, digest: str, size: int, pages: int, now_us: int
    ) -> tuple[str, int]:  # fmt: skip
        if replaces is not None:
            new = await queries.replace_paper(
                tx, id_=replaces, meeting=meeting, name=name, digest=digest, size=size, pages=pages, now_us=now_us
            )
            if new is None:
                raise Refused("not-found")
            return replaces, int(new["version"])
        if len(await queries.papers(tx, meeting)) >= MOST:
            raise Refused("invalid-request", detail=f"a meeting has at most {MOST} papers")
        id_ = new_id()
        await queries.insert_paper(
            tx, id_=id_, meeting=meeting, name=name, digest=digest, size=size, pages=pages, now_us=now_us
        )
        return id_, 1

    async def of(self, meeting: Row) -> list[Row]:
        """The papers of a meeting that the caller was shown; none for whoever is no longer on its list."""
        return (
            []
            if meeting["last"] is not None and not meeting["managed"]
            else await queries.papers(self._db, meeting["id"])
        )

    async def find(self, actor: Actor, meeting: str, paper: str, revision: str) -> Row:
        """A paper in this very revision. Raises: Refused("not-found") also for a replaced one."""
        for row in await self.of(await self._meetings.get(actor, meeting)):
            if row["id"] == paper and row["digest"] == revision:
                return row
        raise Refused("not-found")

    async def manifest(self, actor: Actor, meeting: str, paper: str, revision: str) -> bytes:
        """Raises: Refused("not-found"), Refused("cannot-be-shown"), Refused("busy")."""
        row = await self.find(actor, meeting, paper, revision)
        return await self._previews.manifest(revision, row["size"], row["page_count"])

    async def page(self, actor: Actor, meeting: str, paper: str, revision: str, page: int, width: int) -> str:
        """The digest of a page image. Raises as `manifest`."""
        row = await self.find(actor, meeting, paper, revision)
        digest, _ = await self._previews.image(revision, row["page_count"], page, width)
        return digest
