"""Stamp images over HTTP: a person's own signature, and the seal by whoever administers the organisation."""

from typing import Annotated

import msgspec
from litestar import delete, put
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body, QueryParameter

from server.http import Given, save_upload
from server.identity.guard import PERSON, allow
from server.identity.model import Actor, Role
from server.stamp_images.queries import ImageRow
from server.stamp_images.service import StampImages
from server.storage import Blobs
from signing.pdf.stamp_image import MAX_PNG

Diameter = Annotated[float, QueryParameter(ge=15, le=60, description="Diameter of the real seal in millimetres")]


class ImageForm(msgspec.Struct):
    """multipart/form-data: `file` is a PNG of at most 2 MiB with a transparent background."""

    file: UploadFile


class StampImageView(msgspec.Struct, frozen=True):
    """The image as it is kept, cut to its ink. Pixels; `diameter_mm` of the real seal, null for a person's signature."""

    width: int
    height: int
    diameter_mm: float | None


Upload = Annotated[ImageForm, Body(media_type=RequestEncodingType.MULTI_PART)]


@put(
    "/api/v1/me/signature-image",
    operation_id="putSignatureImage",
    summary="Put my signature's image",
    tags=["images", "phone"],
    opt=allow(roles=PERSON),
)
async def put_signature(
    data: Upload, actor: Given[Actor], stamp_images: Given[StampImages], blobs: Given[Blobs]
) -> StampImageView:
    """Blue on a transparent ground (SIG-1). Documents that come in from now on show it instead of a text stamp."""
    return await _put(data, actor, stamp_images, blobs, None)


@delete(
    "/api/v1/me/signature-image",
    operation_id="deleteSignatureImage",
    summary="Take my signature's image back",
    tags=["images", "phone"],
    opt=allow(roles=PERSON),
)
async def delete_signature(actor: Given[Actor], stamp_images: Given[StampImages]) -> None:
    await stamp_images.forget(actor, actor.id)


@put(
    "/api/v1/organisation/seal-image",
    operation_id="putSealImage",
    summary="Put the organisation's seal",
    tags=["images", "phone"],
    opt=allow(roles={Role.ADMINISTRATOR, Role.REGISTRATION_OFFICER}),
)
async def put_seal(
    data: Upload, diameter_mm: Diameter, actor: Given[Actor], stamp_images: Given[StampImages], blobs: Given[Blobs]
) -> StampImageView:
    """Red on a transparent ground, drawn at the real seal's size over a third of the signature on its left (SIG-2)."""
    return await _put(data, actor, stamp_images, blobs, diameter_mm)


@delete(
    "/api/v1/organisation/seal-image",
    operation_id="deleteSealImage",
    summary="Take the organisation's seal back",
    tags=["images", "phone"],
    opt=allow(roles={Role.ADMINISTRATOR, Role.REGISTRATION_OFFICER}),
)
async def delete_seal(actor: Given[Actor], stamp_images: Given[StampImages]) -> None:
    await stamp_images.forget(actor, actor.organisation)


async def _put(
    data: ImageForm, actor: Actor, stamp_images: StampImages, blobs: Blobs, diameter_mm: float | None
) -> StampImageView:
    path, _digest = await save_upload(data.file, blobs.scratch(), MAX_PNG)
    try:
        row: ImageRow = await stamp_images.put(actor, path, diameter_mm=diameter_mm)
    finally:
        path.unlink(missing_ok=True)
    return StampImageView(row.width, row.height, None if row.diameter_um is None else row.diameter_mm)


HANDLERS = [put_signature, delete_signature, put_seal, delete_seal]
