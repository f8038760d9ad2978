"""Which pages a person opened, as his devices say, and the proof of it that a signature rests on.

A device names a page by the SHA-256 of the image that stood on its screen, and only images of the document's own revision count.
What that proves: in a session of this person, bound to the device's key, somebody with the image said that it was shown. It does not
prove that a person looked, and a client that lies can claim it; the log keeps who claimed what and when, and cannot be changed later.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from server.clock import Clock
from server.db import Database, Reads, Row, Transaction
from server.errors import Refused
from server.identity.model import Actor
from server.previews import queries

__all__ = ["OpenedPage", "Openings", "PageOpenings", "evidence", "prove", "unopened"]


class OpenedPage(msgspec.Struct, frozen=True):
    """`image`: SHA-256 (hex) of the page's image; `at_us`: when the server was first told, microseconds UTC."""

    page: int
    image: str
    device: str
    at_us: int


class Openings(msgspec.Struct, frozen=True, tag_field="typ", tag="hoatoc-openings"):
    """The proof: JSON of this in declared order, no white space; its SHA-256 stands in the log. One entry a page, the first opening."""

    v: int
    document: str
    revision: str
    person: str
    pages: tuple[OpenedPage, ...]


class PageOpenings:
    """Takes what devices say. `now`: see `Clock`."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def report(self, actor: Actor, document: str, revision: str, pages: Sequence[tuple[int, str]]) -> int:
        """Keep that these (page, digest of its image) were shown; the caller has checked that the actor may read the document.

        Gives how many are images of that revision; the others are passed over. Raises: Refused("not-found") for a foreign revision.
        """
        if await queries.visible_revision(self._db, actor.organisation, document, revision) is None:
            raise Refused("not-found")
        return await self._db.transact(
            lambda tx: queries.put_openings(
                tx,
                document=document,
                revision=revision,
                person=actor.id,
                device=actor.device or "",
                pages=pages,
                now_us=self._clock.now_us(),
            )
        )


async def unopened(
    reads: Reads, *, document: str, revision: str, person: str, renderer: str, page_count: int
) -> list[int]:
    """Pages of the revision that none of the person's devices has shown, in order; an unchanged page opened earlier counts.

    `renderer`: that of the manifest that is approved; a page that another one drew differently is not the page that was opened.
    """
    rows = await queries.openings(reads, document=document, revision=revision, person=person, renderer=renderer)
    return _missing(rows, page_count)


def _missing(rows: list[Row], page_count: int) -> list[int]:
    return sorted(set(range(1, page_count + 1)) - {row["page"] for row in rows})


async def prove(
    tx: Transaction, prepared: str, *, document: str, revision: str, person: str, renderer: str, page_count: int
) -> dict[str, str]:
    """Keep the proof beside the prepared revision that is about to be signed, and say what the log names of it.

    Raises: Refused("pages-unopened").
    """
    rows = await queries.openings(tx, document=document, revision=revision, person=person, renderer=renderer)
    missing = _missing(rows, page_count)
    if missing:
        raise Refused("pages-unopened", document=document, pages=missing[:100])
    first = {row["page"]: row for row in reversed(rows)}
    pages = tuple(
        OpenedPage(page, first[page]["image"], first[page]["device"], first[page]["at_us"]) for page in sorted(first)
    )
    proof = msgspec.json.encode(Openings(v=1, document=document, revision=revision, person=person, pages=pages))
    digest = hashlib.sha256(proof).hexdigest()
    await queries.put_proof(tx, prepared, digest=digest, proof=proof)
    return {"openings": digest}


async def evidence(reads: Reads, prepared: str) -> dict[str, str]:
    """What the events of a signature, and so its receipt, say of the openings that it rests on."""
    digest = await queries.proof(reads, prepared)
    return {} if digest is None else {"openings": digest}
