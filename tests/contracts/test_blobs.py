"""What every adapter of `server.storage.Blobs` promises; the files adapter is the one there is."""

import asyncio
import hashlib
import itertools
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from server.errors import Refused
from server.storage import BlobDamaged, BlobMissing
from server.storage.files import SCRATCH_LIFETIME_S, FileBlobs

pytestmark = pytest.mark.asyncio
ABSENT = "0" * 64


def digest_of(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def blobs(tmp_path, clock):
    return FileBlobs(tmp_path / "blobs", clock, reserve_bytes=0)


def stored_files(blobs):
    return sorted(path.name for path in blobs.scratch().parent.glob("??/**/*") if path.is_file())


def flip(path, bit):
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


@pytest.mark.parametrize("size", [0, 1, 4096, 3_000_000])
async def test_round_trip(blobs, size):
    data = random.Random(size).randbytes(size)
    digest = await blobs.put_bytes(data)
    assert digest == digest_of(data)
    assert await blobs.read(digest) == data
    assert await blobs.size(digest) == size
    async with blobs.local(digest) as path:
        assert path.read_bytes() == data


async def test_storing_twice_is_storing_once(blobs):
    for _ in range(3):
        await asyncio.gather(*(blobs.put_bytes(b"same") for _ in range(8)))
    assert stored_files(blobs) == [digest_of(b"same")]
    assert list(blobs.scratch().iterdir()) == []


async def test_put_file_consumes_a_file_of_the_same_volume(blobs):
    path = blobs.scratch() / "upload"
    path.write_bytes(b"content")
    inode = path.stat().st_ino
    digest = await blobs.put_file(path)
    assert not path.exists()
    async with blobs.local(digest) as stored:
        assert stored.stat().st_ino == inode  # moved, not copied


async def test_put_file_copies_from_another_volume(blobs, tmp_path):
    here = tmp_path.stat().st_dev
    other = next((place for place in map(Path, ("/dev/shm", "/var/tmp", "/tmp")) if place.stat().st_dev != here), None)
    if other is None:
        pytest.fail("/dev/shm is expected to be a volume of its own")
    path = other / f"hoatoc-{os.getpid()}"
    path.write_bytes(b"elsewhere")
    digest = await blobs.put_file(path)
    assert await blobs.read(digest) == b"elsewhere"
    assert not path.exists()


async def test_files_that_come_together_are_each_stored(blobs):
    paths = [blobs.scratch() / f"page-{number}" for number in range(5)]
    for path in paths:
        path.write_bytes(b"page " + path.name[-1].encode() if path.name != "page-4" else b"page 0")
    digests = await blobs.put_files(paths)
    assert digests == [digest_of(f"page {number}".encode()) for number in (0, 1, 2, 3, 0)]
    assert [await blobs.read(digest) for digest in digests[:2]] == [b"page 0", b"page 1"]
    assert stored_files(blobs) == sorted(set(digests))
    assert list(blobs.scratch().iterdir()) == []
    assert await blobs.put_files([]) == []


def similar(start, count):
    """Texts that lie in the same folder as `start`."""
    texts = (start + str(number).encode() for number in itertools.count())
    return list(itertools.islice((text for text in texts if digest_of(text)[:2] == digest_of(start)[:2]), count))


@pytest.mark.parametrize("known", [False, True])
async def test_an_answer_follows_the_flush_of_every_file_and_every_changed_entry(blobs, monkeypatch, known):
    """Threat D1: what a power cut would lose is what was not flushed, and in which order."""
    root, flushed = blobs.scratch().parent, []
    first, *texts = similar(b"text", 5)
    if known:
        await blobs.put_bytes(first)
    real = os.fsync

    def fsync(descriptor):
        flushed.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    paths = [blobs.scratch() / f"file-{number}" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text)
    digests = await blobs.put_files(paths)
    assert flushed[: len(paths)] == paths  # under their old names: before they have the new ones
    [folder] = {root / digest[:2] for digest in digests}
    assert flushed[len(paths) :] == ([folder] if known else [folder, root])

    flushed.clear()
    await blobs.put_bytes(texts[0])  # another process may have renamed it and not come so far
    assert flushed == [folder]

    shutil.rmtree(folder)
    flushed.clear()
    await blobs.put_bytes(texts[0])
    assert flushed[1:] == [folder, root]


async def test_what_lies_where_stores_once_put_it_is_found_kept_and_forgotten(blobs):
    digest = await blobs.put_bytes(b"of an older store")
    root = blobs.scratch().parent
    before = root / digest[:2] / digest[2:4] / digest
    before.parent.mkdir()
    (root / digest[:2] / digest).rename(before)
    assert await blobs.read(digest) == b"of an older store"
    async with blobs.local(digest) as path:
        assert path == before
    assert await blobs.put_bytes(b"of an older store") == digest
    assert stored_files(blobs) == [digest]
    await blobs.delete(digest)
    assert stored_files(blobs) == []

    before.write_bytes(b"of a damaged store")
    assert await blobs.put_bytes(b"of an older store") == digest
    assert await blobs.read(digest) == b"of an older store"
    await blobs.delete(digest)
    assert stored_files(blobs) == []


@pytest.mark.parametrize("digest", [ABSENT, "", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
async def test_what_is_not_there_is_missing(blobs, digest):
    for call in (blobs.read, blobs.size):
        with pytest.raises(BlobMissing):
            await call(digest)
    with pytest.raises(BlobMissing):
        async with blobs.local(digest):
            pass


async def test_every_flipped_bit_is_noticed_and_nothing_damaged_is_served(blobs):
    """Threat D17: 1 bit in each of 200 objects."""
    rng = random.Random(17)
    noticed = 0
    for number in range(200):
        digest = await blobs.put_bytes(rng.randbytes(rng.randint(1, 2000)) + bytes([number % 256]))
        async with blobs.local(digest) as path:
            pass
        flip(path, rng.randrange(path.stat().st_size * 8))
        with pytest.raises(BlobDamaged):
            await blobs.read(digest)
        with pytest.raises(BlobDamaged):
            async with blobs.local(digest):
                pass
        noticed += 1
    assert noticed == 200


async def test_damage_that_leaves_the_times_alone_is_noticed_within_a_minute(blobs, clock):
    digest = await blobs.put_bytes(b"slowly rotting")
    async with blobs.local(digest) as path:
        pass
    times = path.stat()
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.write(b"S")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    clock.advance(61)
    with pytest.raises(BlobDamaged):
        async with blobs.local(digest):
            pass


async def test_putting_again_heals(blobs):
    digest = await blobs.put_bytes(b"precious")
    async with blobs.local(digest) as path:
        pass
    flip(path, 3)
    assert await blobs.put_bytes(b"precious") == digest
    assert await blobs.read(digest) == b"precious"


async def test_the_reserve_is_kept(tmp_path, clock):
    """Threat D8: checked before anything is accepted."""
    blobs = FileBlobs(tmp_path / "blobs", clock, reserve_bytes=2**62)
    with pytest.raises(Refused) as caught:
        await blobs.put_bytes(b"x")
    assert caught.value.code == "insufficient-storage"
    with pytest.raises(Refused):
        await blobs.require_space(1)
    assert stored_files(blobs) == []


async def test_only_old_leftovers_are_swept(blobs, clock):
    old, new = blobs.scratch() / "old", blobs.scratch() / "new"
    for path in (old, new):
        path.write_bytes(b"")
    (blobs.scratch() / "folder").mkdir()
    now = clock.now_us() / 1_000_000
    for path in (old, blobs.scratch() / "folder"):
        os.utime(path, (now - SCRATCH_LIFETIME_S - 60,) * 2)
    assert await blobs.sweep() == 2
    assert [path.name for path in blobs.scratch().iterdir()] == ["new"]


_CHILD = """
import asyncio, sys
from pathlib import Path
from server.clock import SystemClock
from server.storage.files import FileBlobs
blobs = FileBlobs(Path(sys.argv[1]), SystemClock(), reserve_bytes=0)
asyncio.run(blobs.put_bytes(b"x" * 100000))
print("stored")
"""


@pytest.mark.parametrize("point", ["blobs.before-rename", "blobs.after-rename"])
async def test_a_kill_leaves_a_whole_blob_or_none(blobs, point):
    """Threat D1, at both sides of the rename; putting again always works."""
    data = b"x" * 100000
    command = [sys.executable, "-c", _CHILD, str(blobs.scratch().parent)]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env={**os.environ, "HOATOC_CRASH_POINT": point, "PYTHONPATH": "."},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-9, b"")
    names = stored_files(blobs)
    assert names == ([digest_of(data)] if point == "blobs.after-rename" else [])
    assert await blobs.read(await blobs.put_bytes(data)) == data
