"""What a child says of a revision is never believed: this process writes the file, and every digest is its own (threats A11, B4)."""

import hashlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from server.errors import Refused
from server.pdfwork import Archiving, PdfWork, PreparedPdf, RouteField, _made, _taken
from server.sandbox.pool import Sandbox
from server.sandbox.tasks import TASKS, Task
from signing.pdf.appearance import DEFAULT_FONT
from signing.pdf.revocation import ValidationData
from signing.pdf.stamp_image import Ink
from tests.fakes import pdfs

pytestmark = pytest.mark.asyncio

_LIAR = Task("tests.unit.server.lying_tasks:prepare")
_WRITER = Task("tests.unit.server.lying_tasks:read_image")
_ROUTE = [
    RouteField(
        position=1, kind="person", field_name="HT_SIG1", authority="", name="Nguyễn Văn Mẫu", title="CHỦ TỊCH",
        organisation="Ủy ban nhân dân xã Mẫu", placement=None,
    )
]  # fmt: skip


@pytest_asyncio.fixture
async def work() -> AsyncGenerator[PdfWork, None]:
    async with Sandbox(tasks=TASKS | {"pdf.prepare": _LIAR, "pdf.read_image": _WRITER}) as sandbox:
        yield PdfWork(sandbox, font=DEFAULT_FONT, roots=(), tsa_roots=())


async def prepared(work: PdfWork, folder: Path, lie: str = "") -> PreparedPdf:
    parent = folder / "parent.pdf"
    parent.write_bytes(pdfs.plain())
    async with work.prepare(
        parent, folder / "out.pdf", route=_ROUTE, position=1, signer_name="Nguyễn Văn Mẫu", signer_title="CHỦ TỊCH",
        reference=lie, certificate=bytes(900), chain=bytes(900), now_us=1_795_000_000_000_000,
    ) as (made, _child):  # fmt: skip
        return made


async def test_the_digests_are_those_of_the_file(work: PdfWork, tmp_path: Path) -> None:
    made = await prepared(work, tmp_path)
    data, parent = (tmp_path / "out.pdf").read_bytes(), (tmp_path / "parent.pdf").read_bytes()
    assert data.startswith(parent)
    assert made.length == len(data)
    assert made.parent_digest == hashlib.sha256(parent).hexdigest()
    assert made.prepared_digest == hashlib.sha256(data).hexdigest()
    assert made.tbs == hashlib.sha256(data[: made.hole_start] + data[made.hole_end :]).hexdigest()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.pdf", "parent.pdf"]


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ("hole", "integrity-failed"),
        ("elsewhere", "integrity-failed"),
        ("nothing", "integrity-failed"),
        ("longer", "integrity-failed"),
        ("content", "changed-beyond-signature"),
    ],
)
async def test_a_lie_is_refused(work: PdfWork, tmp_path: Path, lie: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        await prepared(work, tmp_path, lie)
    assert caught.value.code == code


async def test_a_child_reaches_no_other_file(work: PdfWork, tmp_path: Path) -> None:
    others = tmp_path / "others.pdf"
    others.write_bytes(b"another document's")
    with pytest.raises(Refused) as caught:
        await prepared(work, tmp_path, "others")
    assert caught.value.code == "cannot-be-checked"
    assert others.read_bytes() == b"another document's"
    assert not (tmp_path / "out.pdf").exists()


async def test_neither_a_link_nor_a_pipe_is_read(tmp_path: Path) -> None:
    """Without Landlock a child could leave them."""
    (tmp_path / "secret").write_bytes(b"of the server")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    assert _made(tmp_path / "secret") == b"of the server"
    for name in ("link", "pipe"):
        with pytest.raises(FileNotFoundError):
            _made(tmp_path / name)


@pytest.mark.parametrize("left", ["link", "pipe"])
async def test_neither_a_link_nor_a_pipe_is_written_to(tmp_path: Path, left: str) -> None:
    """Whoever said whose signatures a file holds could leave them where its evidence is laid down."""
    secret, data = tmp_path / "secret", tmp_path / "data"
    secret.write_bytes(b"of the server")
    if left == "link":
        data.symlink_to(secret)
    else:
        os.mkfifo(data)
        reader = os.open(data, os.O_RDONLY | os.O_NONBLOCK)
    archiving = Archiving(None, tmp_path / "in", tmp_path / "made", tmp_path / "out", room=0)  # type: ignore[arg-type]
    with pytest.raises(Refused) as caught:
        await archiving.append_data(ValidationData())
    assert caught.value.code == "integrity-failed"
    assert secret.read_bytes() == b"of the server"
    if left == "pipe":
        os.close(reader)


async def test_no_more_is_taken_than_was_asked_for(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.write_bytes(b"1234")
    assert _taken(made, 4) == b"1234"
    made.write_bytes(b"12345")
    with pytest.raises(Refused):
        _taken(made, 4)


async def test_nobody_can_write_to_an_image_that_was_read(work: PdfWork, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(b"png")
    await work.read_image(tmp_path / "in.png", tmp_path / "out", Ink("blue"))
    assert not Path(f"/proc/{(tmp_path / 'out').read_text()}").exists()
