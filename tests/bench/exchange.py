"""Figures of the exchange library, one JSON line each: `python -m tests.bench.exchange`.

`edxml-write` and `edxml-read` of a 50 MB PDF against the bare work that no reader or writer can avoid (deflate or copy,
base64, SHA-256 in memory); `edxml-memory` is the peak of both over the attachment's size.
"""

import base64
import hashlib
import random
import statistics
import tempfile
import time
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path

from server.exchange import edxml
from server.exchange.model import DocumentPacket, MessageHeader, Organisation
from tests.bench.measure import Row, at_most, show

SIZE = 50 << 20
ROUNDS = 5


def packet_of(path: Path) -> DocumentPacket:
    sender = Organisation(organ_id="X01")
    file = edxml.attachment(path, "Bản quét.pdf", "application/pdf", content_id=str(uuid.UUID(int=1)))
    return DocumentPacket(header=MessageHeader(sender=sender, receivers=(sender,)), attachments=(file,))


def bare_write(data: bytes, out: Path) -> None:
    encoded = base64.b64encode(data)
    hashlib.sha256(data)
    hashlib.sha256(encoded)
    out.write_bytes(encoded)


def bare_read(encoded: Path, out: Path) -> None:
    data = base64.b64decode(encoded.read_bytes(), validate=True)
    hashlib.sha256(data)
    out.write_bytes(data)


def timed(work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = b"%PDF-1.4\n" + random.Random(1).randbytes(SIZE)
        (folder / "a.pdf").write_bytes(data)
        packet = packet_of(folder / "a.pdf")
        into = folder / "in"
        into.mkdir()
        figures: dict[str, list[float]] = {name: [] for name in ("write", "bare write", "read", "bare read")}
        for _ in range(ROUNDS):
            figures["write"].append(timed(lambda: edxml.write(packet, folder / "p")))
            figures["bare write"].append(timed(lambda: bare_write(data, folder / "b64")))
            figures["read"].append(timed(lambda: edxml.parse(folder / "p", into)))
            figures["bare read"].append(timed(lambda: bare_read(folder / "b64", folder / "back")))
        medians = {name: statistics.median(values) for name, values in figures.items()}
        yield at_most("edxml-write-50MB", medians["write"], medians["bare write"], "s", 3.0)
        yield at_most("edxml-read-50MB", medians["read"], medians["bare read"], "s", 3)
        tracemalloc.start()
        edxml.write(packet, folder / "p")
        edxml.parse(folder / "p", into)
        yield at_most("edxml-memory-50MB", tracemalloc.get_traced_memory()[1], len(data), "bytes", 2.5)


if __name__ == "__main__":
    for row in rows():
        show(row)
