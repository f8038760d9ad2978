"""SQL of stamp images; every read names the organisation."""

import msgspec

from server.db import Reads, Transaction


class ImageRow(msgspec.Struct, frozen=True):
    """`owner`: a person or the organisation itself. Sizes in pixels, `diameter_um` in micrometres."""

    owner: str
    blob: str
    width: int
    height: int
    diameter_um: int | None

    @property
    def aspect(self) -> float:
        return self.width / self.height

    @property
    def diameter_mm(self) -> float:
        return (self.diameter_um or 0) / 1000


async def find(tx: Reads, organisation: str, owner: str) -> ImageRow | None:
    row = await tx.fetch_one(
        "SELECT owner, blob, width, height, diameter_um FROM stamp_images WHERE organisation = $1 AND owner = $2",
        organisation,
        owner,
    )
    return None if row is None else msgspec.convert(dict(row), ImageRow)


async def put(tx: Transaction, organisation: str, image: ImageRow, *, by: str, now_us: int) -> None:
    await tx.execute(
        "INSERT INTO stamp_images (owner, organisation, blob, width, height, diameter_um, put_by, put_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "
        "ON CONFLICT (owner) DO UPDATE SET blob = excluded.blob, width = excluded.width, height = excluded.height, "
        "diameter_um = excluded.diameter_um, put_by = excluded.put_by, put_us = excluded.put_us",
        image.owner,
        organisation,
        image.blob,
        image.width,
        image.height,
        image.diameter_um,
        by,
        now_us,
    )


async def forget(tx: Transaction, organisation: str, owner: str) -> bool:
    return (
        await tx.execute("DELETE FROM stamp_images WHERE organisation = $1 AND owner = $2", organisation, owner)
    ) == 1
