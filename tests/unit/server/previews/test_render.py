"""Page images: what is drawn, at which size, always the same bytes; what cannot be shown has a code (threats B3, B5, rule of architecture §6.3)."""

import asyncio
import hashlib
import io
import socket
import subprocess
import sys

import msgspec
import pytest
from PIL import Image

from server.previews.render import (
    RENDERER,
    CountRequest,
    RenderError,
    RenderRequest,
    RenderResponse,
    count,
    image_name,
    render,
)
from server.sandbox.model import SandboxRefused
from server.sandbox.pool import Sandbox
from tests.shared import SAMPLES, needs_samples
from tests.unit.server.previews import samples

ALL = (360, 720, 1080)


def draw(folder, body, widths=(360,), **pages):
    path = folder / "input.pdf"
    path.write_bytes(body)
    return render(RenderRequest(path=str(path), out=str(folder), widths=widths, **pages))


def image(folder, page=1, width=360):
    return Image.open(folder / image_name(page, width)).convert("RGB")


def in_fresh_process(folder):
    """The digest of the page at 360 px, drawn by a process that has drawn nothing else and may open every file."""
    program = (
        "import sys; from server.previews.render import *; "
        "print(render(RenderRequest(path=sys.argv[1], out=sys.argv[2], widths=(360,))).images[0].digest)"
    )
    command = [sys.executable, "-c", program, str(folder / "input.pdf"), str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_each_width_of_each_page_is_a_jpeg_with_its_digest(tmp_path):
    answer = draw(tmp_path, samples.page(b"0 0 300 200 re f"), ALL)
    assert [(i.page, i.width, i.height) for i in answer.images] == [(1, 360, 480), (1, 720, 960), (1, 1080, 1440)]
    assert answer.page_count == 1
    for item in answer.images:
        body = (tmp_path / item.file).read_bytes()
        assert (hashlib.sha256(body).hexdigest(), len(body)) == (item.digest, item.size)
        with Image.open(io.BytesIO(body)) as opened:
            assert (opened.format, opened.size) == ("JPEG", (item.width, item.height))


def test_width_is_drawn_alike_alone_or_together_and_in_any_process(tmp_path):
    """`hoatoc verify --redraw` compares digests; a scan takes the path that reduces the widest image."""
    noise = io.BytesIO()
    Image.effect_noise((1300, 1300), 60).save(noise, "PDF")
    for name, body in {"text": samples.vietnamese("Quyết định"), "scan": noise.getvalue()}.items():
        together = {i.width: i.digest for i in draw(tmp_path, body, ALL).images}
        alone = {width: draw(tmp_path, body, (width,)).images[0].digest for width in ALL}
        fresh = in_fresh_process(tmp_path)
        assert together == alone, name
        assert fresh == alone[360], name


def test_vietnamese_letters_are_drawn_with_their_marks(tmp_path):
    """The glyph boxes with marks hold more ink above the line than the bare letters."""

    def ink(text):
        draw(tmp_path, samples.vietnamese(text), (1080,))
        return sum(1 for value in image(tmp_path, width=1080).convert("L").tobytes() if value < 128)

    assert ink("QUYẾT ĐỊNH VỀ VIỆC") > ink("QUYET DINH VE VIEC") > 1000


def _hue(pixel):
    red, _, blue = pixel
    if min(red, blue) > 60 or max(red, blue) < 200:
        return "neither"
    return "red" if red > blue else "blue"


def test_stamps_and_annotations_are_drawn(tmp_path):
    """Widgets need a form environment: without it a stamp would be missing from what is approved."""
    draw(tmp_path, samples.stamped())
    drawn = image(tmp_path)
    assert _hue(drawn.getpixel((50, 430))) == "red"
    assert _hue(drawn.getpixel((310, 50))) == "blue"
    assert min(drawn.getpixel((180, 240))) > 250


@pytest.mark.parametrize(
    ("turn", "size", "dark"),
    [
        (0, (360, 480), (20, 460)),
        (90, (360, 270), (20, 20)),
        (180, (360, 480), (340, 20)),
        (270, (360, 270), (340, 250)),
    ],
)
def test_rotated_page_is_shown_as_its_reader_sees_it(tmp_path, turn, size, dark):
    draw(tmp_path, samples.page(b"0 0 100 100 re f", extra=b"/Rotate %d" % turn))
    drawn = image(tmp_path)
    assert drawn.size == size
    assert drawn.getpixel(dark)[0] < 10
    assert (
        sum(
            drawn.getpixel(corner)[0] > 245
            for corner in [(2, 2), (size[0] - 3, 2), (2, size[1] - 3), (size[0] - 3, size[1] - 3)]
        )
        == 3
    )


def test_crop_box_and_not_media_box_is_shown(tmp_path):
    answer = draw(tmp_path, samples.page(b"", extra=b"/CropBox[0 0 200 100]"))
    assert (answer.images[0].width, answer.images[0].height) == (360, 180)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", [b"DejaVuSans", b"LiberationSerif", b"NoSuchFont"])
async def test_fonts_of_the_machine_are_never_used(tmp_path, name):
    """Else a document would have other digests on the next machine. The child cannot open the machine's font folders at all."""
    font = b"/Resources<</Font<</F1<</Type/Font/Subtype/TrueType/BaseFont/%s/Encoding/WinAnsiEncoding>>>>>>" % name
    (tmp_path / "input.pdf").write_bytes(samples.page(b"BT /F1 30 Tf 20 40 Td (Sample) Tj ET", extra=font))
    here = in_fresh_process(tmp_path)
    async with Sandbox() as sandbox:
        assert (await sandbox.isolation()).files
        request = RenderRequest(path=str(tmp_path / "input.pdf"), out=str(tmp_path), widths=(360,))
        there = await sandbox.call(
            "pages.render", request, RenderResponse, reads=[tmp_path / "input.pdf"], scratch=tmp_path
        )
    assert there.images[0].digest == here


@pytest.mark.parametrize("file", ["../../pepper", "/etc/passwd", "00002-0360.jpg", ""])
def test_answer_that_names_another_file_is_malformed(file):
    """The server moves the named files: a child taken over by its document must not choose them (threat B3)."""
    claim = {"page": 1, "width": 360, "height": 480, "digest": "0" * 64, "size": 1, "file": file}
    body = msgspec.msgpack.encode({"renderer": RENDERER, "page_count": 1, "images": [claim]})
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(body, type=RenderResponse)


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("unreadable", b"not a file of this kind"),
        ("unreadable", b""),
        ("page-size", samples.page(b"", box="0 0 100 2000")),
        ("page-size", samples.page(b"", box="0 0 14400 1")),
        (
            "image-too-large",
            samples.page(
                b"300 0 0 400 0 0 cm /I Do",
                extra=b"/Resources<</XObject<</I 5 0 R>>>>",
                more=(
                    samples.stream(
                        b"",
                        b"/Type/XObject/Subtype/Image/Width 32000/Height 32000/ColorSpace/DeviceGray/BitsPerComponent 1",
                    ),
                ),
            ),
        ),
    ],
)
def test_what_cannot_be_shown_has_a_code(tmp_path, code, body):
    with pytest.raises(RenderError) as caught:
        draw(tmp_path, body)
    assert caught.value.code == code


@pytest.mark.parametrize(("first", "last"), [(0, 1), (2, 2), (2, 1)])
def test_page_outside_the_document_is_refused(tmp_path, first, last):
    with pytest.raises(RenderError) as caught:
        draw(tmp_path, samples.page(b""), first=first, last=last)
    assert caught.value.code == "no-such-page"


def test_range_beyond_the_end_is_cut(tmp_path):
    assert [i.page for i in draw(tmp_path, samples.page(b""), first=1, last=20).images] == [1]


@needs_samples
def test_samples_are_drawn_or_refused_for_the_right_reason(tmp_path):
    outcomes = {}
    for path in sorted((SAMPLES / "pdf").glob("*.pdf")):
        try:
            answer = render(RenderRequest(path=str(path), out=str(tmp_path), widths=(360,)))
            assert {i.page for i in answer.images} == set(range(1, answer.page_count + 1))
            outcomes[path.name[:2]] = count(CountRequest(str(path))).page_count
        except RenderError as error:
            outcomes[path.name[:2]] = error.code
    assert outcomes["02"] == "encrypted"
    assert (outcomes["05"], outcomes["08"]) == (117, 30)
    assert sum(isinstance(outcome, int) for outcome in outcomes.values()) == 11


ACTIONS = {
    "uri": b"<</S/URI/URI(%s)>>",
    "submit": b"<</S/SubmitForm/F<</FS/URL/F(%s)>>>>",
    "launch": b"<</S/Launch/F(%s)>>",
    "remote": b"<</S/GoToR/F<</FS/URL/F(%s)>>/D[0/Fit]>>",
    "script": b"<</S/JavaScript/JS(this.submitForm\\('%s'\\))>>",
    "import": b"<</S/ImportData/F<</FS/URL/F(%s)>>>>",
}
PLACES = ("open", "page", "annotation", "external image")


@pytest.mark.asyncio
async def test_active_content_calls_nobody(tmp_path):
    """Threat B5: every action at every trigger place; a loopback listener counts callbacks, and images hold no action key."""
    calls = []
    listener = await asyncio.start_server(lambda _, writer: (calls.append(1), writer.close()), "127.0.0.1", 0)
    url = b"http://127.0.0.1:%d/" % listener.sockets[0].getsockname()[1]
    out = tmp_path / "out"
    out.mkdir()
    async with listener, Sandbox() as sandbox:
        for kind, action in ACTIONS.items():
            for place in PLACES:
                path = tmp_path / f"{kind}-{place}.pdf"
                path.write_bytes(_active(action % url, place, url))
                request = RenderRequest(path=str(path), out=str(out), widths=(360,))
                answer = await sandbox.call("pages.render", request, RenderResponse, reads=[path], scratch=out)
                body = (out / answer.images[0].file).read_bytes()
                assert body[:3] == b"\xff\xd8\xff"
                assert not any(key in body for key in (b"/S/", b"/JS", b"/URI", b"http:"))
        await asyncio.sleep(0)
        with socket.create_connection(listener.sockets[0].getsockname()):  # the listener does hear
            await asyncio.sleep(0.05)
    assert len(calls) == 1


def _active(action, place, url):
    if place == "open":
        return samples.page(b"", catalog=b"/OpenAction " + action)
    if place == "page":
        return samples.page(b"", extra=b"/AA<</O %s/C %s>>" % (action, action))
    if place == "annotation":
        return samples.page(
            b"", extra=b"/Annots[<</Type/Annot/Subtype/Link/Rect[0 0 300 400]/A %s/AA<</PV %s>>>>]" % (action, action)
        )
    image = samples.stream(
        b"",
        b"/Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8/F<</FS/URL/F(%s)>>"
        % url,
    )
    return samples.page(b"/I Do", extra=b"/Resources<</XObject<</I 5 0 R>>>>", more=(image,))


@pytest.mark.asyncio
async def test_child_draws_the_same_bytes_as_the_function(tmp_path):
    here = draw(tmp_path, samples.vietnamese("Kính gửi"), ALL)
    (tmp_path / "out").mkdir()
    path = tmp_path / "input.pdf"
    async with Sandbox() as sandbox:
        request = RenderRequest(path=str(path), out=str(tmp_path / "out"), widths=ALL)
        there = await sandbox.call("pages.render", request, RenderResponse, reads=[path], scratch=tmp_path / "out")
        assert there == here
        assert there.renderer == RENDERER
        with pytest.raises(SandboxRefused) as caught:
            await sandbox.call(
                "pages.render",
                RenderRequest(str(path), str(tmp_path / "out"), (360,), 2, 2),
                RenderResponse,
                reads=[path],
            )
    assert (caught.value.code, caught.value.fields) == ("no-such-page", {"page": 1})
