"""Records that somebody made to be believed: a text without its packet, one file under two names (threat B8)."""

import asyncio
import hashlib
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.cli.verify import _arrival
from server.preservation.record_file import (
    Contents,
    ContentsEnclosed,
    ContentsFile,
    ContentsPacket,
    ContentsRevision,
    RecordError,
    check,
)
from server.verification import Outcome

TEXT = b"%PDF-1.7 of nobody"
DIGEST = hashlib.sha256(TEXT).hexdigest()


def contents(**changes: Any) -> Contents:
    made = Contents(
        1, "d", "", "registered", "", {}, [], [], [], [ContentsFile("a", DIGEST, len(TEXT))], kind="arrival"
    )
    return msgspec.structs.replace(made, **changes)


def packet(path: str, left_out: str = "") -> ContentsPacket:
    return ContentsPacket(what="new", way="received", path=path, sha256=DIGEST, axis_id="", at="", left_out=left_out)


def enclosed(path: str, verdict: str | None = None) -> ContentsEnclosed:
    return ContentsEnclosed(path=path, name="a.pdf", sha256=DIGEST, size=len(TEXT), verdict=verdict)


@pytest.mark.parametrize("reason", ["recalled", "dropped", ""])
def test_a_text_without_the_packet_that_brought_it_is_not_believed(reason: str, tmp_path: Path) -> None:
    said = contents(packets=[packet("", reason)], enclosed=[enclosed("a", "not_valid")])
    [step] = asyncio.run(_arrival(tmp_path, said, []))
    assert (step.outcome, step.code) == (Outcome.FAILED, "record-packet-differs")
    gone = contents(packets=[packet("", reason)], enclosed=[enclosed("")])
    [step] = asyncio.run(_arrival(tmp_path, gone, []))
    assert (step.outcome, step.code) == (Outcome.NOTED, "record-withheld")


@pytest.mark.parametrize(
    "changes",
    [
        {"packets": [packet("a")], "enclosed": [enclosed("a", "valid")]},
        {"enclosed": [enclosed("a", "valid"), enclosed("a", "valid")]},
        {"receipts": ["a", "a"]},
        {"kind": "document", "head": DIGEST, "revisions": [ContentsRevision("a", DIGEST, None, "intake", 1, "")] * 2},
        {"kind": "document", "head": DIGEST, "revisions": [ContentsRevision("a", DIGEST, None, "intake", 1, "")], "receipts": ["a"]},
    ],
)  # fmt: skip
def test_one_file_of_the_archive_is_no_two(changes: dict[str, Any], tmp_path: Path) -> None:
    path, folder = tmp_path / "x.zip", tmp_path / "out"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", TEXT)
        archive.writestr("record.json", msgspec.json.encode(contents(**changes)))
    folder.mkdir()
    with pytest.raises(RecordError) as caught:
        check(path, folder)
    assert caught.value.reason == "record-incomplete"
