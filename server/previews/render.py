"""Page images of a PDF: the pure function that runs in a limited child, never in the server (architecture §6.3, threats B3, B5).

Images are flat pixels: JPEG, quality 80, forms (our stamps are widgets) and annotations drawn. The same bytes with the same
`RENDERER` give the same image bytes: fonts come from the file or from pdfium itself, never from the machine, and how a width is made depends
on the page alone, not on which widths or pages were asked for together.

Measured choices (`tests/bench/previews.py`): pdfium draws 4-byte pixels 2–3 × faster than its default 3-byte ones, and the encoder takes
them as they are. A text page is drawn afresh for each width (0.2–1 ms; reducing the wide image takes 2–10 ms and is less sharp); a
scanned page is drawn once at the widest and reduced (drawing again takes 16–40 ms). JPEG, because WebP takes 10–26 × the time.
"""

import ctypes
import hashlib
import io
import itertools
import mmap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import pypdfium2 as pdfium
from PIL import Image, JpegImagePlugin, features
from PIL import __version__ as pillow_version
from pypdfium2 import raw

__all__ = [
    "RENDERER",
    "CountRequest",
    "CountResponse",
    "RenderError",
    "RenderRequest",
    "RenderResponse",
    "RenderedImage",
    "count",
    "image_name",
    "rehearse",
    "render",
    "warm",
]

QUALITY: Final = 80
WIDEST: Final = 1080
"""Pixels: the width from which a scanned page's narrower images are reduced; also the widest that may be asked for."""
MAX_PIXELS: Final = 16_000_000
"""Of one page image: 1080 px wide and 14,800 high. A longer page is refused, because shrunk to fit it could not be read."""
MAX_SOURCE_PIXELS: Final = 150_000_000
"""Of one image inside the document: A3 at 1,000 dpi. pdfium leaves out what it cannot load without a word, so more is refused beforehand."""
MAX_PAGES: Final = 5_000
_SCAN_PIXELS: Final = 1_500_000  # images on a page that together have more make it a scan
_MAX_OBJECTS: Final = 100_000  # looked at on one page in search of images
_MAX_DEPTH: Final = 8

RENDERER: Final = "+".join(
    (
        f"pdfium-{pdfium.PDFIUM_INFO.build}",
        f"pillow-{pillow_version}",
        f"jpeg-{features.version('libjpeg_turbo') or features.version('jpg')}",
        f"q{QUALITY}",
        "1",  # raised by hand when this module draws differently
    )
)
"""Names everything that the bytes of an image depend on, apart from the document."""


class RenderError(Exception):
    """The document cannot be shown. `code`: `unreadable`, `encrypted`, `too-many-pages`, `no-such-page`, `page-size`, `image-too-large`."""

    def __init__(self, code: str, *, page: int | None = None) -> None:
        self.code = code
        self.fields = {} if page is None else {"page": page}
        super().__init__(code if page is None else f"{code}: page {page}")


class CountRequest(msgspec.Struct, frozen=True):
    path: str


class CountResponse(msgspec.Struct, frozen=True):
    page_count: int


class RenderRequest(msgspec.Struct, frozen=True):
    """Pages `first` … `last` (from 1, both included; `last` 0 or beyond: to the end) of the PDF at `path`, each in all `widths` (pixels, ≤ 1080), as files in `out`."""

    path: str
    out: str
    widths: tuple[int, ...]
    first: int = 1
    last: int = 0


class RenderedImage(msgspec.Struct, frozen=True):
    """`digest`: SHA-256, lower-case hex; `size`: bytes; `file`: name in `out`.

    A child that met a hostile document may say anything; so the name can only be `image_name(page, width)`, and never leads out of `out`.
    """

    page: int
    width: int
    height: int
    digest: str
    size: int
    file: str

    def __post_init__(self) -> None:
        if self.file != image_name(self.page, self.width) or min(self.page, self.width, self.height, self.size) < 1:
            raise ValueError("not an image of the renderer")


class RenderResponse(msgspec.Struct, frozen=True):
    """`images` ascend by page, then width."""

    renderer: str
    page_count: int
    images: list[RenderedImage]


def image_name(page: int, width: int) -> str:
    return f"{page:05d}-{width:04d}.jpg"


def count(request: CountRequest) -> CountResponse:
    """The number of pages. Raises `RenderError`."""
    with _opened(request.path) as document:
        return CountResponse(page_count=len(document))


def render(request: RenderRequest) -> RenderResponse:
    """Render a range of pages in all widths. Raises `RenderError`; what was written before stays in `out`."""
    if not request.widths or not all(0 < width <= WIDEST for width in request.widths):
        raise RenderError("page-size")
    out = Path(request.out)
    with _opened(request.path) as document:
        page_count = len(document)
        last = min(request.last or page_count, page_count)
        if not 1 <= request.first <= last <= page_count:
            raise RenderError("no-such-page", page=last)
        images = [
            image
            for number in range(request.first, last + 1)
            for image in _page_images(document, number, sorted(set(request.widths)), out)
        ]
    return RenderResponse(renderer=RENDERER, page_count=page_count, images=images)


def warm() -> None:
    """Fill the tables of pdfium and Pillow with a page of our own, so that forked children find them ready."""
    rehearse()
    _forget_canvas()  # children make their own: shared memory would be copied page by page


def rehearse() -> None:
    """Draw and encode a page of our own. In a forked child this takes the copying of shared memory out of the first real page."""
    _use_own_fonts()
    document = pdfium.PdfDocument(_REHEARSAL)
    document.init_forms()
    page = document[0]
    _source_pixels(page, 1)
    _jpeg(_draw(document, page, WIDEST, _height(page, WIDEST, 1)))
    page.close()
    document.close()


def _rehearsal() -> bytes:
    text = (
        b"BT /F1 11 Tf 14 TL 60 780 Td "
        + b"(Rehearsal 0123456789 abcdefghijklmnopqrstuvwxyz) ' " * 40
        + b"ET 60 60 200 90 re S"
    )
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    head = b"%PDF-1.7\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n<</Type/Pages/Count 1/Kids[3 0 R]>>\nendobj\n"
    page = (
        b"3 0 obj\n<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 "
        + font
        + b">>>>>>\nendobj\n"
    )
    content = b"4 0 obj\n<</Length %d>>stream\n%s\nendstream\nendobj\n" % (len(text), text)
    return head + page + content + b"trailer<</Root 1 0 R/Size 5>>\n"  # without a table: pdfium finds the objects


_REHEARSAL: Final = _rehearsal()


# --- drawing ---------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: str) -> Iterator[pdfium.PdfDocument]:
    _use_own_fonts()
    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        code = getattr(error, "err_code", None)
        raise RenderError("encrypted" if code == raw.FPDF_ERR_PASSWORD else "unreadable") from error
    try:
        document.init_forms()  # without it no widget is drawn, and our stamps are widgets
        if document.formenv:
            raw.FPDF_SetFormFieldHighlightAlpha(document.formenv, 0)
        if len(document) > MAX_PAGES:
            raise RenderError("too-many-pages")
        if not len(document):
            raise RenderError("unreadable")
        yield document
    finally:
        document.close()


def _page_images(document: pdfium.PdfDocument, number: int, widths: list[int], out: Path) -> Iterator[RenderedImage]:
    try:
        page = document[number - 1]
    except pdfium.PdfiumError as error:
        raise RenderError("unreadable", page=number) from error
    try:
        scan = _source_pixels(page, number) > _SCAN_PIXELS
        largest = WIDEST if scan else max(widths)
        # At once: one that grew would be touched anew for each width.
        _canvas(4 * largest * _height(page, largest, number))
        widest = _draw(document, page, WIDEST, _height(page, WIDEST, number)) if scan else None
        for width in widths:
            size = width, _height(page, width, number)
            if widest is None:
                image = _draw(document, page, *size)
            elif size == widest.size:
                image = widest
            else:
                image = widest.resize(size, Image.Resampling.BOX)
            body = _jpeg(image)
            name = image_name(number, width)
            (out / name).write_bytes(body)
            yield RenderedImage(number, *size, hashlib.sha256(body).hexdigest(), len(body), name)
    finally:
        page.close()


def _height(page: pdfium.PdfPage, width: int, number: int) -> int:
    page_width, page_height = page.get_size()  # after /Rotate, in the CropBox
    if page_width <= 0 or page_height <= 0:
        raise RenderError("page-size", page=number)
    height = max(1, int(width * page_height / page_width + 0.5))
    if WIDEST * (WIDEST * page_height / page_width) > MAX_PIXELS or height < 4:
        raise RenderError("page-size", page=number)
    return height


def _draw(document: pdfium.PdfDocument, page: pdfium.PdfPage, width: int, height: int) -> Image.Image:
    """The page as an image over the canvas: valid until the next call."""
    stride = width * 4
    pixels = _canvas(stride * height)
    memory = (ctypes.c_ubyte * (stride * height)).from_buffer(pixels)
    bitmap = raw.FPDFBitmap_CreateEx(width, height, raw.FPDFBitmap_BGRx, memory, stride)
    if not bitmap:
        raise MemoryError
    try:
        raw.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, 0xFFFFFFFF)
        place = (0, 0, width, height, 0, raw.FPDF_ANNOT | raw.FPDF_REVERSE_BYTE_ORDER)
        raw.FPDF_RenderPageBitmap(bitmap, page, *place)
        if document.formenv:
            raw.FPDF_FFLDraw(document.formenv, bitmap, page, *place)
    finally:
        raw.FPDFBitmap_Destroy(bitmap)
    return Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", stride, 1)  # type: ignore[arg-type]  # any buffer will do


_memory: mmap.mmap | None = None


def _canvas(size: int) -> mmap.mmap:
    """At least `size` bytes, kept for the next page: first touching this much memory costs as much as drawing a plain page."""
    global _memory  # noqa: PLW0603 -- one canvas for the process, which draws one page at a time
    if _memory is None or len(_memory) < size:
        step = 1 << 21
        _memory = mmap.mmap(-1, -(-size // step) * step, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel without huge pages
            _memory.madvise(mmap.MADV_HUGEPAGE)
    return _memory


def _forget_canvas() -> None:
    global _memory  # noqa: PLW0603 -- see `_canvas`
    _memory = None


def _jpeg(image: Image.Image) -> bytes:
    body = io.BytesIO()
    image.save(body, JpegImagePlugin.JpegImageFile.format, quality=QUALITY)
    return body.getvalue()


def _source_pixels(page: pdfium.PdfPage, number: int) -> int:
    """Pixels of all images that the page draws. Raises `RenderError` for one that is too large to be trusted to appear."""
    budget = itertools.count(1)

    def total(counter: Any, getter: Any, holder: Any, depth: int) -> int:
        pixels = 0
        for index in range(counter(holder)):
            if next(budget) > _MAX_OBJECTS:
                break
            item = getter(holder, index)
            kind = raw.FPDFPageObj_GetType(item)
            if kind == raw.FPDF_PAGEOBJ_IMAGE:
                pixels += _pixels(item, number)
            elif kind == raw.FPDF_PAGEOBJ_FORM and depth < _MAX_DEPTH:
                pixels += total(raw.FPDFFormObj_CountObjects, raw.FPDFFormObj_GetObject, item, depth + 1)
        return pixels

    return total(raw.FPDFPage_CountObjects, raw.FPDFPage_GetObject, page, 0)


def _pixels(item: Any, number: int) -> int:
    width, height = ctypes.c_uint(), ctypes.c_uint()
    if not raw.FPDFImageObj_GetImagePixelSize(item, width, height):
        return 0
    pixels = int(width.value) * int(height.value)
    if pixels > MAX_SOURCE_PIXELS:
        raise RenderError("image-too-large", page=number)
    return pixels


# --- fonts -----------------------------------------------------------------------------------------------------------

_fonts: Any = None


def _use_own_fonts() -> None:
    """Give pdfium a machine without fonts: it then draws what a file does not embed with the fonts built into it, everywhere alike."""
    global _fonts  # noqa: PLW0603 -- pdfium keeps one font source for the process, and the callbacks must outlive it
    if _fonts is not None:
        return
    source = raw.FPDF_SYSFONTINFO(version=1)
    members = dict(source._fields_)
    source.MapFont = members["MapFont"](lambda *_: None)
    source.GetFont = members["GetFont"](lambda *_: None)
    source.GetFontData = members["GetFontData"](lambda *_: 0)
    source.GetFaceName = members["GetFaceName"](lambda *_: 0)
    source.GetFontCharset = members["GetFontCharset"](lambda *_: 0)
    source.EnumFonts = members["EnumFonts"](lambda *_: None)
    source.DeleteFont = members["DeleteFont"](lambda *_: None)
    source.Release = members["Release"](lambda *_: None)
    raw.FPDF_SetSystemFontInfo(source)
    _fonts = source
