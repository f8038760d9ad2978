"""Use cases of stamp images: put one's own or the organisation's, and say which a document's route will show."""

from pathlib import Path

from server import audit
from server.clock import Clock
from server.db import Database, Reads, Transaction
from server.documents.model import Metadata, Placement
from server.errors import Refused
from server.identity.model import Actor
from server.ids import new_id
from server.pdftasks import LayoutOrder, SignerLook
from server.pdfwork import PdfWork
from server.stamp_images import queries
from server.stamp_images.queries import ImageRow
from server.storage import Blobs
from signing.pdf.page_check import Millimetres
from signing.pdf.stamp_image import Ink

__all__ = ["StampImages"]


class StampImages:
    """Images of one database; blobs are never deleted, as prepared revisions and other owners may hold the same."""

    def __init__(self, db: Database, blobs: Blobs, pdf: PdfWork, clock: Clock) -> None:
        self._db = db
        self._blobs = blobs
        self._pdf = pdf
        self._clock = clock

    async def put(self, actor: Actor, path: Path, *, diameter_mm: float | None) -> ImageRow:
        """Keep the PNG at `path` as the caller's signature, or with a `diameter_mm` as his organisation's seal.

        Raises: Refused("image-refused") with a reason, "busy", "cannot-be-checked".
        """
        out = self._blobs.scratch() / f"image-{new_id()}"
        try:
            ink = Ink.BLUE if diameter_mm is None else Ink.RED
            width, height = await self._pdf.read_image(path, out, ink)
            blob = await self._blobs.put_file(out)
        finally:
            out.unlink(missing_ok=True)
        owner = actor.id if diameter_mm is None else actor.organisation
        diameter_um = None if diameter_mm is None else round(diameter_mm * 1000)
        row = ImageRow(owner=owner, blob=blob, width=width, height=height, diameter_um=diameter_um)

        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            await queries.put(tx, actor.organisation, row, by=actor.id, now_us=now_us)
            await self._log(tx, actor, owner, {"image": blob, "diameter_um": diameter_um}, now_us)

        await self._db.transact(body)
        return row

    async def forget(self, actor: Actor, owner: str) -> None:
        """Later stamps are text again. Raises: Refused("not-found")."""

        async def body(tx: Transaction) -> None:
            if not await queries.forget(tx, actor.organisation, owner):
                raise Refused("not-found")
            await self._log(tx, actor, owner, {"image": None}, self._clock.now_us())

        await self._db.transact(body)

    async def _log(self, tx: Transaction, actor: Actor, owner: str, body: dict[str, object], now_us: int) -> None:
        await audit.append(
            tx,
            "stamp_image.put" if body["image"] else "stamp_image.forgotten",
            organisation=actor.organisation,
            actor=actor.id,
            subject=owner,
            body=body,
            now_us=now_us,
        )

    async def of(self, organisation: str, owner: str, reads: Reads | None = None) -> ImageRow | None:
        return await queries.find(reads or self._db, organisation, owner)

    async def layout(self, reads: Reads, organisation: str, metadata: Metadata) -> LayoutOrder:
        """What the layout of a document is looked through for: the mark, and where images without a rectangle belong.

        The seal stands over the last person's signature, who is the competent one (SIG-10). Raises: Refused("placement-required")
        where it should stand over a field that the file brought along.
        """
        seal = await queries.find(reads, organisation, organisation)
        sealed = seal is not None and metadata.seal_placement is None and not metadata.seal_field
        looks = []
        if metadata.sealed_alone:
            return LayoutOrder(
                number="",
                urgency=metadata.urgency,
                signers=[],
                seal_mm=0.0 if seal is None or metadata.copy is None else seal.diameter_mm,
                noted=True,
            )
        for step in metadata.signers:
            image = await queries.find(reads, organisation, step.person)
            covered = sealed and step is metadata.signers[-1]
            if covered and step.field:
                raise Refused("placement-required")
            person = await reads.fetch_one(
                "SELECT name, position FROM people WHERE id = $1 AND organisation = $2", step.person, organisation
            )
            given = step.placement
            looks.append(
                SignerLook(
                    name="" if person is None else str(person["name"]),
                    positions=["" if person is None else str(person["position"]), step.authority],
                    aspect=0.0 if image is None else image.aspect,
                    wanted=given is None and not step.field and (image is not None or covered or step.initials),
                    place=None if given is None else given.sides(),
                    initials=step.initials,
                )
            )
        return LayoutOrder(
            number=f"{metadata.number}/{metadata.notation}",
            urgency=metadata.urgency,
            signers=looks,
            seal_mm=seal.diameter_mm if sealed and seal is not None else 0.0,
            seal_drawn=None
            if seal is None or metadata.seal_placement is None
            else _drawn(metadata.seal_placement, seal),
        )


def _drawn(rectangle: Placement, seal: ImageRow) -> Millimetres:
    """The seal at its real size in the middle of its rectangle."""
    page, left, top, width, height = rectangle.sides()
    side = seal.diameter_mm
    return page, left + (width - side) / 2, top + (height - side) / 2, side, side
