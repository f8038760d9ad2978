"""A child that places a revision, taken over by the file that it reads. `reference` of the order names the lie; tests alone register it."""

import os
from pathlib import Path

import msgspec

from server.pdftasks import ImageAnswer, ImageOrder, PrepareOrder, prepare_file
from server.previews.render import RenderedImage, RenderRequest, RenderResponse, image_name
from signing.pdf.prepare import Placed


def prepare(order: PrepareOrder) -> Placed:
    placed, tail = prepare_file(order), Path(order.tail)
    data = tail.read_bytes()
    match order.reference:
        case "hole":
            return msgspec.structs.replace(placed, hole_start=placed.hole_start + 2, hole_length=placed.hole_length - 4)
        case "elsewhere":  # the second half of the file's identifier, which may be any string
            start = data.rindex(b"<", 0, data.rindex(b">]"))
            length = data.index(b">", start) + 1 - start
            tail.write_bytes(data[:start] + b"<" + b"0" * (length - 2) + b">" + data[start + length :])
            return msgspec.structs.replace(placed, hole_start=placed.parent_length + start, hole_length=length)
        case "nothing":
            tail.unlink()
        case "longer":
            tail.write_bytes(data + b"%%EOF\n")
        case "content":
            tail.write_bytes(data.replace(b"/Filter /Adobe.PPKLite", b"/Secret /Adobe.PPKLite"))
        case "others":
            (tail.parent.parent / "others.pdf").write_bytes(b"mine now")
    return placed


def draw(request: RenderRequest) -> RenderResponse:
    """An image that says who wrote it."""
    name = image_name(request.first, request.widths[0])
    (Path(request.out) / name).write_text(str(os.getpid()))
    image = RenderedImage(request.first, request.widths[0], 1, "0" * 64, 1, name)
    return RenderResponse("renderer", 2, [image])


def read_image(order: ImageOrder) -> ImageAnswer:
    Path(order.out).write_text(str(os.getpid()))
    return ImageAnswer(1, 1)
