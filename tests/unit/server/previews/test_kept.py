"""What a child drew becomes a blob only when the child is gone: an open descriptor would go on changing what everybody is shown."""

from pathlib import Path

import pytest

from server.previews.service import PreviewService
from server.sandbox.pool import Sandbox
from server.sandbox.tasks import Task


class _Blobs:
    """Looks, when files are handed over, for the process that wrote them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writers: list[bool] = []

    def scratch(self) -> Path:
        return self.folder

    async def put_files(self, paths: list[Path]) -> list[str]:
        self.writers += [Path(f"/proc/{path.read_text()}").exists() for path in paths]
        return ["0" * 64 for _ in paths]


@pytest.mark.asyncio
@pytest.mark.parametrize("shared", [False, True])
async def test_nobody_can_write_to_an_image_that_is_stored(tmp_path: Path, shared: bool) -> None:
    file, out = tmp_path / "file.pdf", tmp_path / "out"
    file.write_bytes(b"%PDF")
    out.mkdir()
    blobs = _Blobs(tmp_path)
    async with Sandbox(tasks={"pages.render": Task("tests.unit.server.lying_tasks:draw")}) as sandbox:
        previews = PreviewService(None, blobs, sandbox, None)  # type: ignore[arg-type]
        if shared:
            with sandbox.child(reads=[file], scratch=out) as child:
                made = await previews.draw(file, "1" * 64, [2, 1], child=child)
        else:
            made = await previews.draw(file, "1" * 64, [1, 2])
    assert [image.page for image in made] == [1, 2]
    assert blobs.writers == [False, False]
