"""Makes `signing/pdf/rehearsal.pdf.gz` anew, from a document that goes the whole road here: `python -m tests.fakes.rehearsal [FILE]`."""

import asyncio
import gzip
import sys
import tempfile
from pathlib import Path

from server.identity.model import Role
from tests.fakes import pdfs
from tests.fakes.stack import running

FILE = Path(__file__).parents[2] / "signing" / "pdf" / "rehearsal.pdf.gz"


async def made(folder: Path) -> bytes:
    """A file with a personal signature, the seal, validation data and the archive's time stamp, by sample certificates."""
    async with running(folder) as stack:
        leader = await stack.person("Người ký mẫu", Role.LEADER)
        clerk = await stack.person("Văn thư mẫu", Role.CLERK, office=True)
        await stack.credential(leader, "Người ký mẫu")
        await stack.credential(clerk, "Văn thư mẫu", "seal")
        document = (await stack.take_in(pdfs.vietnamese(), [leader], number="1")).json()["id"]
        for who, state in ((leader, "signed"), (clerk, "forwarded")):
            await who.sign(document)
            await stack.until(document, state)
        row = await stack.wiring.db.fetch_one("SELECT head FROM documents WHERE id = $1", document)
        return await stack.wiring.blobs.read(row["head"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        data = asyncio.run(made(Path(name) / "stack"))
    Path(*sys.argv[1:2] or [FILE]).write_bytes(gzip.compress(data, 9, mtime=0))
