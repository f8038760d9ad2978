"""`python -m tests.faults.attack_table`: every variant of every attack before four judges, as a table.

A cell counts the variants that a judge holds valid: ours, the naive checker of `tests.fakes.attacks`, poppler's pdfsig (valid, and
"total document signed" in brackets), pyHanko with its default difference policy (intact, trusted, and no more changed than its policy
allows). Only ours is asserted; the others are shown so that a refusal proves something.
"""

import asyncio
import collections
import io
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asn1crypto import x509 as asn1_x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from signing.pdf.validation import Trust, validate
from tests.fakes import attacks
from tests.fakes import pdf_signing as fakes

JUDGES = ("ours", "naive", "pdfsig", "pdfsig whole", "pyHanko")


def hanko_holds(data: bytes) -> bool:
    """Whether pyHanko's default policy lets the first signature pass. Whatever it raises is a no."""
    context = ValidationContext(trust_roots=[asn1_x509.Certificate.load(fakes.root().der)], allow_fetching=False)
    try:
        reader = PdfFileReader(io.BytesIO(data), strict=False)
        return bool(validate_pdf_signature(reader.embedded_signatures[0], context).bottom_line)
    except Exception:  # a judge's parser may stumble in any way
        return False


def verdicts(data: bytes, path: Path) -> dict[str, bool]:
    path.write_bytes(data)
    poppler = fakes.pdfsig(path)
    return {
        "ours": validate(path, Trust(roots=(fakes.root().der,)), fakes.NOW_US).valid,
        "naive": attacks.naive(data),
        "pdfsig": any(one.valid for one in poppler),
        "pdfsig whole": any(one.valid and one.whole for one in poppler),
        "pyHanko": hanko_holds(data),
    }


def table(path: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """One line a class. Gives the counts; `accepted` is what we hold valid, and must be 0."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    say(f"{'class':30}{'variants':>9}" + "".join(f"{judge:>14}" for judge in JUDGES))
    sums: collections.Counter[str] = collections.Counter()
    for name, make in attacks.CLASSES.items():
        counts: collections.Counter[str] = collections.Counter()
        for _variant, data in make():
            counts["variants"] += 1
            counts.update({judge: int(yes) for judge, yes in verdicts(data, path).items()})
        say(f"{name:30}{counts['variants']:>9}" + "".join(f"{counts[judge]:>14}" for judge in JUDGES))
        sums.update(counts)
    return {
        "variants": sums["variants"],
        "accepted": sums["ours"],
        "others": {judge: sums[judge] for judge in JUDGES[1:]},
    }


async def judge_all(base: Path) -> dict[str, Any]:
    """For `make soak`."""
    base.mkdir(parents=True, exist_ok=True)
    return await asyncio.to_thread(table, base / "attack.pdf", lambda line: print(line, file=sys.stderr))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(table(Path(folder) / "attack.pdf", print))
