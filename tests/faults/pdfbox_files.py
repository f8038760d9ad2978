"""`python -m tests.faults.pdfbox_files`: files signed by PDFBox, as its examples do, over files of every layout: none is accused.

Needs a Java compiler and PDFBox of the machine's packages, which are too large for the suite; without them it says so and judges nothing.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from signing.pdf.validation import Trust, validate
from tests.fakes import pdf_signing as fakes
from tests.fakes import pdfbox, products

_WAYS: tuple[tuple[str, ...], ...] = (
    (), ("older",), ("visible",), ("certified",), ("saved",), ("saved", "visible"), ("saved", "certified", "visible"),
)  # fmt: skip


def made(folder: Path) -> Iterator[tuple[str, Path]]:
    """(name, file) of what PDFBox signed once in every way, and twice; keys of both kinds."""
    for holder, ways in ((fakes.leader(), _WAYS), (fakes.clerk(), _WAYS[:3])):
        with pdfbox.running(holder) as peer:
            for name, make in products.INPUTS.items():
                source, out, again = (folder / f"{part}.pdf" for part in ("source", "out", "again"))
                source.write_bytes(make())
                for way in ways:
                    peer.sign(source, out, *way)
                    label = " ".join((name, *way))
                    yield label, out
                    if "certified" not in way:
                        peer.sign(out, again)
                        yield f"{label}, again", again


def judge(folder: Path) -> dict[str, Any]:
    """`accused`: names of files that we do not hold valid; `wrong`: how many."""
    why = pdfbox.missing()
    if why:
        return {"skipped": why}
    folder.mkdir(parents=True, exist_ok=True)
    trust, accused, count = Trust(roots=(fakes.root().der,)), [], 0
    now_us = max(fakes.NOW_US, time.time_ns() // 1000) + 60_000_000
    for name, path in made(folder):
        count += 1
        result = validate(path, trust, now_us)
        if not result.valid or not all(one.valid for one in fakes.pdfsig(path)):
            accused.append(f"{name}: {[(one.indication, one.reasons) for one in result.signatures]}")
    return {"files": count, "wrong": len(accused), "accused": accused}


async def judge_all(base: Path) -> dict[str, Any]:
    """For `make soak`."""
    return await asyncio.to_thread(judge, base)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(judge(Path(name)), ensure_ascii=False, indent=1))
