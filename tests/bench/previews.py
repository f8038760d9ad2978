"""Figures of page rendering. `rows()` gives one dictionary a figure, both sides measured in the same run, interleaved, as medians."""

import asyncio
import io
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from server.previews import render
from server.sandbox.pool import Sandbox
from tests.bench.measure import at_most, medians_ms_async, show, times_faster

ROUNDS = 7
WIDTH = 1080
Side = Callable[[], Awaitable[object]]


def text_pdf(pages: int) -> bytes:
    """A4 pages of 45 lines of text in a standard font."""
    lines = "".join(
        f"1 0 0 1 60 {790 - 16 * i} Tm (Line {i} of a plain page with some words to draw, 0123456789) Tj "
        for i in range(45)
    )
    content = f"BT /F1 11 Tf {lines}ET".encode()
    kids = " ".join(f"{5 + i} 0 R" for i in range(pages))
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
    return _pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            f"<</Type/Pages/Count {pages}/Kids[{kids}]>>".encode(),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
            b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
            *[page] * pages,
        ]
    )


def _pdf(objects: list[bytes]) -> bytes:
    body, offsets = b"%PDF-1.7\n", []
    for number, item in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return body + b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        size,
        table,
        size,
        len(body),
    )


def scan_pdf(pages: int = 5) -> bytes:
    """A4 pages at 300 dpi, each a JPEG of noise as a scanner leaves it, about 25 MB in all."""
    images = [Image.effect_noise((2480, 3508), 60 + number).convert("RGB") for number in range(pages)]
    body = io.BytesIO()
    images[0].save(body, "PDF", save_all=True, append_images=images[1:], resolution=300, quality=82)
    return body.getvalue()


async def _interleaved(ours: Side, against: Side) -> tuple[float, float]:
    """Medians in milliseconds; the pause lets the ended child go and the next one get ready, as between two readers."""
    mine, theirs = await medians_ms_async([ours, against], ROUNDS, pause_s=0.1)
    return mine, theirs


def _row(name: str, ours: float, against: float, goal: float, *, faster: bool) -> dict[str, Any]:
    return (times_faster if faster else at_most)(name, ours, against, "ms", goal)


async def _rows(folder: Path) -> list[dict[str, Any]]:
    files = {"text": folder / "text.pdf", "scan": folder / "scan.pdf", "p200": folder / "p200.pdf"}
    files["text"].write_bytes(text_pdf(1))
    files["scan"].write_bytes(scan_pdf())
    files["p200"].write_bytes(text_pdf(200))
    rows = []
    async with Sandbox() as sandbox:
        await sandbox.start()
        render.warm()

        def request(name: str, last: int) -> render.RenderRequest:
            return render.RenderRequest(path=str(files[name]), out=str(folder), widths=(WIDTH,), first=1, last=last)

        def in_child(name: str, last: int = 1) -> Side:
            async def call() -> object:
                return await sandbox.call(
                    "pages.render",
                    request(name, last),
                    render.RenderResponse,
                    reads=[files[name]],
                    scratch=folder,
                    timeout_s=60,
                )

            return call

        def ready(name: str, last: int = 1) -> Side:
            async def call() -> object:
                return render.render(request(name, last))

            return call

        def poppler(name: str) -> Side:
            async def call() -> object:
                command = [
                    "pdftoppm",
                    "-jpeg",
                    "-r",
                    str(WIDTH * 72 / 595),
                    "-f",
                    "1",
                    "-l",
                    "1",
                    str(files[name]),
                    str(folder / "poppler"),
                ]
                return await asyncio.to_thread(subprocess.run, command, check=True)

            return call

        for name in ("text", "scan"):
            ours, against = await _interleaved(in_child(name), ready(name))
            rows.append(
                _row(
                    f"preview: cold {name} page in a child / render and encode in a ready process",
                    ours,
                    against,
                    1.3,
                    faster=False,
                )
            )
        many, one = await _interleaved(in_child("p200", 200), ready("p200"))
        rows.append(
            _row("preview: each of 200 pages / one page in a ready process", many / 200, one, 1.3, faster=False)
        )
        for name, goal in (("text", 3.0), ("scan", 1.5)):
            ours, against = await _interleaved(in_child(name), poppler(name))
            rows.append(_row(f"preview: {name} page against pdftoppm as a process", ours, against, goal, faster=True))
    return rows


def rows() -> Iterator[dict[str, Any]]:
    """The figures of the previews; needs `pdftoppm`."""
    with tempfile.TemporaryDirectory() as folder:
        yield from asyncio.run(_rows(Path(folder)))


if __name__ == "__main__":
    for row in rows():
        show(row)
