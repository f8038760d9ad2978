"""Documents made to exhaust the reader: each gets a verdict inside its limits, and the server lives (threats B3, D12, D13).

Four at once, while ordinary pages are drawn; what is asserted is the outcome and the server's memory, never a time: the
wall limit of ten seconds is enforced by the pool itself.
"""

import asyncio
import zlib
from pathlib import Path

import pytest

from server.previews.render import RenderRequest, RenderResponse
from server.sandbox.model import Failure, Priority, SandboxFailure, SandboxRefused
from server.sandbox.pool import Sandbox
from tests.unit.server.previews import samples

WALL_S = 10.0
MEMORY_MB = 256


def _flate(inner: bytes, layers: int) -> bytes:
    for _ in range(layers):
        inner = zlib.compress(inner, 9)
    return inner


def _zeros(gigabytes: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(gigabytes << 10)) + packer.flush()


def _content(body: bytes, filters: str) -> bytes:
    return samples.pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 400]/Contents 4 0 R>>",
        samples.stream(body, f"/Filter[{filters}]".encode()),
    )


def _image(width: int, height: int, body: bytes) -> bytes:
    image = samples.stream(
        body,
        b"/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/FlateDecode"
        % (width, height),
    )
    return samples.page(b"300 0 0 400 0 0 cm /I Do", extra=b"/Resources<</XObject<</I 5 0 R>>>>", more=(image,))


def _forms(depth: int, times: int) -> bytes:
    """Form `n` draws form `n + 1` several times: `times ** depth` drawings."""
    forms = [
        samples.stream(
            b"/F Do " * times,
            b"/Type/XObject/Subtype/Form/BBox[0 0 300 400]/Resources<</XObject<</F %d 0 R>>>>" % (6 + level),
        )
        for level in range(depth)
    ]
    last = samples.stream(b"0 0 300 400 re f", b"/Type/XObject/Subtype/Form/BBox[0 0 300 400]")
    return samples.page(b"/F Do", extra=b"/Resources<</XObject<</F 5 0 R>>>>", more=(*forms, last))


def bombs() -> dict[str, bytes]:
    gigabyte = _zeros(1)
    return {
        "flate-1kB-to-1GB": _content(_flate(gigabyte, 1), "/FlateDecode/FlateDecode"),
        "flate-chain": _content(_flate(gigabyte, 2), "/FlateDecode" * 3),
        "image-10^9-pixels": _image(31_623, 31_623, gigabyte),
        "page-10^9-points": samples.page(b"0 0 100 100 re f", box="0 0 1 1000000000"),
        "page-tree-loop": samples.pdf(
            b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 1000000>>"
        ),
        "form-loop": samples.page(
            b"/F Do",
            extra=b"/Resources<</XObject<</F 5 0 R>>>>",
            more=(
                samples.stream(
                    b"/F Do /F Do", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 5 0 R>>>>"
                ),
            ),
        ),
        "form-doubling": _forms(30, 4),
        "deep-arrays": samples.pdf(
            b"<</Type/Catalog/Pages 2 0 R/X " + b"[" * 200_000 + b"]" * 200_000 + b">>",
            b"<</Type/Pages/Kids[]/Count 0>>",
        ),
        "deep-operators": samples.page(b"q " * 3_000_000),
        "10^6-paths": samples.page(b"0 0 m 300 400 l 0 400 l 300 0 l S " * 1_000_000),
        "10^6-objects": samples.pdf(
            b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>", *[b"[]"] * 1_000_000
        ),
        "count-lie": samples.pdf(
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 2000000000>>",
            b"<</Type/Page/Parent 2 0 R>>",
        ),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bombs")
    for name, body in bombs().items():
        (folder / f"{name}.pdf").write_bytes(body)
    return folder


def _resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


async def _judge(sandbox: Sandbox, path: Path, out: Path) -> str:
    out.mkdir()
    request = RenderRequest(path=str(path), out=str(out), widths=(360, 720, 1080))
    try:
        answer = await sandbox.call(
            "pages.render",
            request,
            RenderResponse,
            reads=[path],
            scratch=out,
            timeout_s=WALL_S,
            memory_mb=MEMORY_MB,
            priority=Priority.BACKGROUND,
        )
    except SandboxFailure as failure:
        return f"cannot be shown: {failure.code}"
    except SandboxRefused as refusal:
        return f"cannot be shown: {refusal.code}"
    assert answer.images
    return "shown"


@pytest.mark.slow
@pytest.mark.asyncio
async def test_bombs_end_inside_their_limits_while_pages_are_drawn(folder: Path, tmp_path: Path) -> None:
    """Every bomb gets a verdict; those that cannot be drawn at all are never called shown; other readers are served throughout."""
    plain = tmp_path / "plain.pdf"
    plain.write_bytes(samples.vietnamese("Quyết định"))
    (tmp_path / "plain").mkdir()
    peak, stop, served = 0.0, asyncio.Event(), 0

    async def reader() -> None:
        nonlocal served, peak
        request = RenderRequest(path=str(plain), out=str(tmp_path / "plain"), widths=(360,))
        while not stop.is_set():
            answer = await sandbox.call(
                "pages.render", request, RenderResponse, reads=[plain], scratch=tmp_path / "plain"
            )
            assert len(answer.images) == 1
            served += 1
            peak = max(peak, _resident_mb())
            await asyncio.sleep(0.05)

    async with Sandbox(concurrency=5) as sandbox:
        await sandbox.start()
        before = _resident_mb()
        reading = asyncio.create_task(reader())
        paths = sorted(folder.glob("*.pdf"))
        verdicts = await asyncio.gather(*(_judge(sandbox, path, tmp_path / path.stem) for path in paths))
        stop.set()
        await reading
    outcome = dict(zip((path.stem for path in paths), verdicts, strict=True))
    for hopeless in (
        "page-10^9-points",
        "image-10^9-pixels",
        "page-tree-loop",
        "form-doubling",
        "deep-arrays",
        "10^6-objects",
    ):
        assert outcome[hopeless].startswith("cannot be shown"), outcome
    assert served > 0
    assert peak - before <= 50, outcome


@pytest.mark.asyncio
async def test_bomb_that_only_time_can_end_is_ended(folder: Path, tmp_path: Path) -> None:
    """The limit, not the document, decides: even a second is enforced."""
    async with Sandbox(concurrency=1) as sandbox:
        path = folder / "form-doubling.pdf"
        (tmp_path / "out").mkdir()
        request = RenderRequest(path=str(path), out=str(tmp_path / "out"), widths=(1080,))
        with pytest.raises(SandboxFailure) as caught:
            await sandbox.call(
                "pages.render", request, RenderResponse, reads=[path], scratch=tmp_path / "out", timeout_s=1
            )
        assert caught.value.code in (Failure.TIMEOUT, Failure.CRASHED)
