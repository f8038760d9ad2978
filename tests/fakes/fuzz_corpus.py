"""Where the fuzz targets begin: the seeds that each makes, and the inputs that earlier runs found, kept in `tests/fuzz/corpus/TARGET.zip`.

A target that is given a folder writes what it finds there (`python tests/fuzz/cms.py -max_total_time=600 FOUND`), and
`python -m tests.fakes.fuzz_corpus cms FOUND` keeps the smallest of it: libFuzzer adds an input only where it reached something new.
"""

import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["corpus", "keep", "kept"]

KEPT = Path(__file__).parents[1] / "fuzz" / "corpus"
_MOST_FILES = 80
_MOST_BYTES = 400_000
_EPOCH = (2026, 11, 1, 0, 0, 0)


def kept(target: str) -> list[bytes]:
    path = KEPT / f"{target}.zip"
    if not path.exists():
        return []
    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


def corpus(target: str, seeds: Iterable[bytes]) -> str:
    """A new folder with the seeds and what was kept, for libFuzzer."""
    folder = Path(tempfile.mkdtemp(prefix="hoatoc-corpus-"))
    for number, seed in enumerate([*seeds, *kept(target)]):
        (folder / str(number)).write_bytes(seed)
    return str(folder)


def keep(target: str, folder: Path) -> int:
    """Keep the smallest inputs of `folder` beside what is kept already, within the bounds; gives how many there are now."""
    found = sorted(
        {*kept(target), *(path.read_bytes() for path in folder.iterdir())}, key=lambda data: (len(data), data)
    )
    KEPT.mkdir(exist_ok=True)
    total = count = 0
    with zipfile.ZipFile(KEPT / f"{target}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for data in found[:_MOST_FILES]:
            total += len(data)
            if total > _MOST_BYTES:
                break
            archive.writestr(zipfile.ZipInfo(f"{count:03}", _EPOCH), data, zipfile.ZIP_DEFLATED)
            count += 1
    return count


if __name__ == "__main__":
    print(keep(sys.argv[1], Path(sys.argv[2])))
