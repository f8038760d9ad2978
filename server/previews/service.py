"""Page images: made once from the exact bytes in limited children, kept as blobs, named in manifests.

A whole document is drawn in slices, two at once at most, so that one of 2,000 pages neither holds a child for minutes nor
keeps others waiting. Who asks for the images of a revision that is being drawn waits for that same work.
"""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import structlog

from server.clock import Clock
from server.db import Database, Reads, Row, Transaction
from server.errors import Refused
from server.ids import new_id
from server.previews import queries
from server.previews.model import WIDTHS, PageImage, RevisionManifest, encode
from server.previews.render import RENDERER, RenderedImage, RenderRequest, RenderResponse
from server.sandbox.model import Overloaded, Priority, SandboxFailure, SandboxRefused
from server.sandbox.pool import Child, Sandbox
from server.storage import Blobs

log = structlog.get_logger()

_ROOM = 4 << 20
"""Bytes that must be free for a failed drawing to be the document's fault: the images of a slice of dense pages."""

_SLICE = 20
_TRY_AGAIN_US = 10 * 60 * 1_000_000
_TIMEOUT_S = 60.0
_MEMORY_MB = 768


class PreviewService:
    """Images of revisions, for sheets, readers and the warming job."""

    def __init__(self, db: Database, blobs: Blobs, sandbox: Sandbox, clock: Clock) -> None:
        self._db = db
        self._blobs = blobs
        self._sandbox = sandbox
        self._clock = clock
        self._making: dict[str, asyncio.Task[tuple[PageImage, ...]]] = {}
        self.renderer = RENDERER

    async def images(
        self, revision: str, priority: Priority = Priority.INTERACTIVE, most: int | None = None
    ) -> tuple[PageImage, ...]:
        """All page images of a stored revision, drawn now if they are not there yet; `most`: the pages that are drawn at all.

        Raises: Refused("cannot-be-shown"), Refused("busy"), Refused("too-many-pages").
        """
        known = await self._known(revision)
        if known:
            return known
        task = self._making.get(revision)
        if task is None:
            task = asyncio.create_task(self._make(revision, priority, most))
            self._making[revision] = task
            task.add_done_callback(lambda _: self._making.pop(revision, None))
        return await asyncio.shield(task)

    async def _known(self, revision: str) -> tuple[PageImage, ...]:
        async def complete(reads: Reads) -> list[Row]:
            rows = await queries.images(reads, revision, RENDERER)
            return rows if rows and await self._verdict(reads, revision) == "complete" else []

        return tuple(
            PageImage(
                page=row["page"],
                width=row["width"],
                height=row["height"],
                digest=row["digest"],
                size=row["size"],
                from_revision=revision,
            )
            for row in await self._db.read(complete)
        )

    async def _verdict(self, reads: Reads, revision: str) -> str | None:
        return await queries.verdict(reads, revision, self._clock.now_us() - _TRY_AGAIN_US)

    async def _make(self, revision: str, priority: Priority, most: int | None = None) -> tuple[PageImage, ...]:
        if await self._verdict(self._db, revision) == "cannot-be-shown":
            raise Refused("cannot-be-shown")
        try:
            async with self._blobs.local(revision) as path:
                made = await self.draw(path, revision, None, priority, most)
        except Refused as error:
            if error.code == "cannot-be-shown":
                await self._db.transact(
                    lambda tx: queries.put_verdict(tx, revision, "cannot-be-shown", self._clock.now_us())
                )
            raise

        async def body(tx: Transaction) -> None:
            await queries.put(tx, revision, RENDERER, made)
            await queries.put_verdict(tx, revision, "complete", self._clock.now_us())

        await self._db.transact(body)
        return made

    async def adopt(self, tx: Transaction, revision: str, renderer: str, images: Sequence[PageImage]) -> None:
        """The images of an assembled revision are those that its approved manifest names: a filled hole draws nothing."""
        await queries.put(tx, revision, renderer, images)
        await queries.put_verdict(tx, revision, "complete", self._clock.now_us())

    async def draw(
        self,
        path: Path,
        revision: str,
        pages: list[int] | None,
        priority: Priority = Priority.INTERACTIVE,
        most: int | None = None,
        child: Child | None = None,
    ) -> tuple[PageImage, ...]:
        """Draw the pages (all if None) of a file and store the images; `revision` is the file's SHA-256. `child`: one that may read `path`
        and write into a folder of its own; it draws page after page, and ends.

        Raises: Refused("cannot-be-shown") when the child gives up, Refused("busy"), Refused("too-many-pages") beyond `most`.
        """
        if child is not None:
            answers = [await self._rendered(child, path, page, page) for page in sorted(set(pages or ()))]
            return await self._kept(child, revision, [image for answer in answers for image in answer.images])
        if pages is None:
            first = await self._slice(path, revision, 1, _SLICE, priority)
            if most is not None and first[1] > most:
                raise Refused("too-many-pages", limit=most)
            slices = [(start, start + _SLICE - 1) for start in range(_SLICE + 1, first[1] + 1, _SLICE)]
            made = list(first[0])
        else:
            slices = [(page, page) for page in sorted(set(pages))]
            made = []
        gate = asyncio.Semaphore(2)

        async def one(bounds: tuple[int, int]) -> tuple[PageImage, ...]:
            async with gate:
                return (await self._slice(path, revision, *bounds, priority))[0]

        for part in await asyncio.gather(*(one(bounds) for bounds in slices)):
            made.extend(part)
        return tuple(sorted(made, key=lambda image: (image.page, image.width)))

    async def _slice(
        self, path: Path, revision: str, first: int, last: int, priority: Priority
    ) -> tuple[tuple[PageImage, ...], int]:
        out = self._blobs.scratch() / f"pages-{new_id()}"
        out.mkdir()
        try:
            with self._sandbox.child(
                reads=[path], scratch=out, timeout_s=_TIMEOUT_S, memory_mb=_MEMORY_MB, priority=priority
            ) as child:
                answer = await self._rendered(child, path, first, last)
                return await self._kept(child, revision, answer.images), answer.page_count
        finally:
            await asyncio.to_thread(shutil.rmtree, out, ignore_errors=True)

    async def _kept(self, child: Child, revision: str, images: Sequence[RenderedImage]) -> tuple[PageImage, ...]:
        """What `child` drew, stored. It ends before: whoever can still write to a file that becomes a blob changes what others are shown."""
        out = child.scratch
        assert out is not None
        await child.gone()
        digests = await self._blobs.put_files([out / image.file for image in images])
        made = []
        for image, digest in zip(images, digests, strict=True):
            if digest != image.digest:
                raise Refused("integrity-failed")
            made.append(
                PageImage(
                    page=image.page,
                    width=image.width,
                    height=image.height,
                    digest=digest,
                    size=image.size,
                    from_revision=revision,
                )
            )
        return tuple(made)

    async def _rendered(self, child: Child, path: Path, first: int, last: int) -> RenderResponse:
        """The images of some pages, in the child's folder, and how many pages there are; `last` beyond the end is cut by the child."""
        try:
            return await child.call(
                "pages.render", RenderRequest(str(path), str(child.scratch), WIDTHS, first, last), RenderResponse
            )
        except Overloaded:
            raise Refused("busy") from None
        except (SandboxFailure, SandboxRefused) as error:
            log.warning("preview-refused", code=str(error.code))
            # A child that had no room to write says nothing about the document, and must leave no verdict on it (D8).
            await self._blobs.require_space(_ROOM)
            raise Refused("cannot-be-shown") from None

    async def manifest(self, revision: str, length: int, page_count: int) -> bytes:
        """The canonical manifest of a stored revision."""
        images = await self.images(revision)
        return encode(
            RevisionManifest(
                v=1, revision=revision, length=length, renderer=RENDERER, page_count=page_count, images=images
            )
        )

    async def manifest_of(self, revision: str, length: int, *, most: int) -> bytes:
        """The canonical manifest of a stored file of others, whose pages nobody has counted yet."""
        images = await self.images(revision, most=most)
        count = max((image.page for image in images), default=0)
        return encode(
            RevisionManifest(v=1, revision=revision, length=length, renderer=RENDERER, page_count=count, images=images)
        )

    async def belongs(self, organisation: str, document: str, revision: str) -> bool:
        return await queries.visible_revision(self._db, organisation, document, revision) is not None

    async def page(self, organisation: str, document: str, revision: str, page: int, width: int) -> tuple[str, int]:
        """Digest and size of one page image of a document's revision; drawn now if need be.

        Raises: Refused("not-found"), Refused("cannot-be-shown").
        """
        known = await queries.visible_revision(self._db, organisation, document, revision)
        if known is None:
            raise Refused("not-found")
        return await self.image(revision, known["page_count"], page, width)

    async def image(self, revision: str, page_count: int, page: int, width: int) -> tuple[str, int]:
        """As `page`, for a stored file that the caller may see. Raises: Refused("not-found"), Refused("cannot-be-shown")."""
        if width not in WIDTHS or not 1 <= page <= page_count:
            raise Refused("not-found")
        return await self.drawn(revision, page, width)

    async def drawn(self, revision: str, page: int, width: int) -> tuple[str, int]:
        """The same for a file that the caller may see. Raises: Refused("not-found") for a page that it has not."""
        if width not in WIDTHS:
            raise Refused("not-found")
        row = await queries.image(self._db, revision, RENDERER, page, width)
        if row is None:
            # The reader waits for one page, not for the document: the warming job draws the rest.
            async with self._blobs.local(revision) as path:
                drawn = await self.draw(path, revision, [page])
            await self._db.transact(lambda tx: queries.put(tx, revision, RENDERER, drawn))
            found = next((image for image in drawn if image.width == width), None)
            if found is None:
                raise Refused("not-found")
            return found.digest, found.size
        return str(row["digest"]), int(row["size"])
