"""Fuzz target: packets of the document exchange. Only `Unreadable` comes out, nothing is written outside the folder given, and no more
than the bounds allow (threats B6, B8).

`python tests/fuzz/edxml.py [libFuzzer options] [corpus]`.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["server.exchange"]):
    from server.exchange import edxml
    from server.exchange.xmlread import Limits

from tests.fakes.fuzz_corpus import corpus
from tests.shared import SAMPLES

FOLDER = Path(tempfile.mkdtemp(prefix="hoatoc-fuzz-"))
PACKET, INTO = FOLDER / "packet.edxml", FOLDER / "into"
LIMITS = Limits(max_packet=1 << 20, max_attachment=1 << 18, max_all_attachments=1 << 19)
SEEDS = [path.read_bytes() for path in sorted((SAMPLES / "edxml").glob("*.edxml")) if path.stat().st_size < 60_000]


def one_input(data: bytes) -> None:
    PACKET.write_bytes(data)
    shutil.rmtree(INTO, ignore_errors=True)
    INTO.mkdir()
    try:
        parsed = edxml.parse(PACKET, INTO, LIMITS)
    except edxml.Unreadable:
        if any(INTO.iterdir()):
            raise AssertionError("files were left behind") from None
    else:
        for attachment in getattr(parsed.packet, "attachments", ()):
            if attachment.path.parent != INTO or attachment.path.stat().st_size != attachment.size:
                raise AssertionError("an attachment is not what it says")
    if {path.name for path in FOLDER.iterdir()} != {"packet.edxml", "into"}:
        raise AssertionError("something was written elsewhere")


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=60000", corpus("edxml", SEEDS)], one_input)
    atheris.Fuzz()
