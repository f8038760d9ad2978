"""PDFBox of the machine's packages, in a Java process that stays warm (`PdfBoxSigner.java`, compiled when it starts).

Debian: `libpdfbox2-java libbcpkix-java openjdk-17-jdk-headless`. They are large, so tests do without them; the bench and one part of the soak
use them where they are and say so where not.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from cryptography.hazmat.primitives import serialization

from tests.fakes import pdf_signing as fakes

__all__ = ["PdfBox", "missing", "running"]

_JARS = [
    Path("/usr/share/java") / f"{name}.jar"
    for name in ("pdfbox2", "fontbox2", "commons-logging", "bcprov", "bcutil", "bcpkix")
]
_SOURCE = Path(__file__).with_name("PdfBoxSigner.java")


def missing() -> str:
    """Why PDFBox cannot be used here; empty where it can."""
    if which("javac") is None:
        return "no Java compiler"
    return ", ".join(f"no {jar.name}" for jar in _JARS if not jar.exists())


class PdfBox:
    """A process that signs for `holder`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def sign(self, source: Path, out: Path, *options: str, count: int = 1) -> float:
        """Sign `source` into `out`; gives the milliseconds of processor time of its process for one signature.

        `options`: see the Java source. Raises ValueError with PDFBox's own words.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(count, source, out, *options, sep="\t", file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline().strip()
        if not answer.isdigit():
            raise ValueError(answer or "the process ended")
        return int(answer) / 1e6


@contextmanager
def running(holder: fakes.Holder) -> Iterator[PdfBox]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        form = serialization.PrivateFormat.PKCS8
        der = holder.key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())
        for file, data in (("key", der), ("own", holder.der), ("root", fakes.root().der)):
            (folder / file).write_bytes(data)
        path = ":".join(map(str, _JARS))
        subprocess.run(["javac", "-nowarn", "-d", folder, "-cp", path, _SOURCE], check=True, capture_output=True)
        command = ["java", "-cp", f"{path}:{folder}", "PdfBoxSigner", folder / "key", folder / "own", folder / "root"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            yield PdfBox(process)
        finally:
            process.kill()
            process.wait()
