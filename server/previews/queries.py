"""All SQL of page images."""

from collections.abc import Iterable

from server.db import Reads, Row, Transaction
from server.previews.model import PageImage


async def images(db: Reads, revision: str, renderer: str) -> list[Row]:
    return await db.fetch_all(
        "SELECT page, width, height, digest, size FROM page_images WHERE revision = $1 AND renderer = $2 ORDER BY page, width",
        revision,
        renderer,
    )


async def image(db: Reads, revision: str, renderer: str, page: int, width: int) -> Row | None:
    return await db.fetch_one(
        "SELECT digest, size FROM page_images WHERE revision = $1 AND renderer = $2 AND page = $3 AND width = $4",
        revision,
        renderer,
        page,
        width,
    )


async def put(tx: Transaction, revision: str, renderer: str, made: Iterable[PageImage]) -> None:
    await tx.execute_many(
        "INSERT INTO page_images (revision, renderer, page, width, height, digest, size) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        [(revision, renderer, one.page, one.width, one.height, one.digest, one.size) for one in made],
    )


async def verdict(db: Reads, revision: str, since_us: int) -> str | None:
    """`complete`, or `cannot-be-shown` if that was found after `since_us`: a child may have been killed by load, not by the file."""
    row = await db.fetch_one("SELECT verdict, at_us FROM preview_verdicts WHERE revision = $1", revision)
    if row is None or (row["verdict"] != "complete" and row["at_us"] < since_us):
        return None
    return str(row["verdict"])


async def put_verdict(tx: Transaction, revision: str, what: str, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO preview_verdicts (revision, verdict, at_us) VALUES ($1, $2, $3) ON CONFLICT (revision) DO UPDATE SET verdict = excluded.verdict, at_us = excluded.at_us",
        revision,
        what,
        now_us,
    )


async def visible_revision(db: Reads, organisation: str, document: str, revision: str) -> Row | None:
    """Whether `revision` is one of the document's own, in the organisation."""
    return await db.fetch_one(
        "SELECT r.digest, r.size, d.page_count FROM revisions r JOIN documents d ON d.id = r.document WHERE d.organisation = $1 AND d.id = $2 AND r.digest = $3 LIMIT 1",
        organisation,
        document,
        revision,
    )


async def put_openings(
    tx: Transaction,
    *,
    document: str,
    revision: str,
    person: str,
    device: str,
    pages: Iterable[tuple[int, str]],
    now_us: int,
) -> int:
    """Keep the first opening of each page image that is one of the revision's; how many of `pages` (page, digest) are."""
    known = 0
    for page, image_digest in pages:
        found = await tx.fetch_one(
            "SELECT page FROM page_images WHERE revision = $1 AND page = $2 AND digest = $3 LIMIT 1",
            revision,
            page,
            image_digest,
        )
        if found is None:
            continue
        known += 1
        await tx.execute(
            "INSERT INTO page_openings (document, person, page, image, device, at_us) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            document,
            person,
            page,
            image_digest,
            device,
            now_us,
        )
    return known


async def openings(db: Reads, *, document: str, revision: str, person: str, renderer: str) -> list[Row]:
    """What this person opened of the pages as the renderer draws them for the revision, in their order, the earliest of a page first."""
    return await db.fetch_all(
        "SELECT DISTINCT o.page, o.image, o.device, o.at_us FROM page_openings o JOIN page_images i ON i.page = o.page AND i.digest = o.image "
        "WHERE i.revision = $1 AND o.document = $2 AND o.person = $3 AND i.renderer = $4 ORDER BY o.page, o.at_us, o.image",
        revision,
        document,
        person,
        renderer,
    )


async def put_proof(tx: Transaction, prepared: str, *, digest: str, proof: bytes) -> None:
    await tx.execute(
        "INSERT INTO opening_proofs (prepared, digest, proof) VALUES ($1, $2, $3) "
        "ON CONFLICT (prepared) DO UPDATE SET digest = excluded.digest, proof = excluded.proof",
        prepared,
        digest,
        proof,
    )


async def proof(db: Reads, prepared: str) -> str | None:
    row = await db.fetch_one("SELECT digest FROM opening_proofs WHERE prepared = $1", prepared)
    return None if row is None else str(row["digest"])
