"""The record of a document: whole, streamed, verified offline by `hoatoc verify`, and not believed when it was changed (REC-1, REC-4)."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from server.demo.processes import hoatoc
from server.preservation.record import RecordError, check
from tests.api.conftest import World, code
from tests.api.grants import granted, signed
from tests.api.test_openings import opened
from tests.fakes.pdf_signing import run

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def exported(world: World, folder: Path) -> Path:
    document = await world.signed(world.leader, world.second)
    assert (await world.clerk.sign(document)).status_code == 200
    await world.stack.until(document, "accepted", "delivered", "forwarded")
    return await fetched(world, document, folder)


async def fetched(world: World, document: str, folder: Path) -> Path:
    answer = await world.qlvb.call("GET", f"/api/v1/documents/{document}/record")
    while answer.status_code == 409:  # the log's next head is a second or two away
        assert code(answer) == "file-pending"
        answer = await world.qlvb.call("GET", f"/api/v1/documents/{document}/record")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith("attachment")
    out = folder / "record.zip"
    out.write_bytes(answer.content)
    return out


def verify(path: Path, world: World) -> tuple[int, dict[str, Any]]:
    said = run(
        *hoatoc("verify", str(path), "--trust", str(world.stack.folder / "roots.pem"), "--json"), ok=(0, 1, 2)
    )  # fmt: skip
    found = json.loads(said[said.index("{") : said.rindex("}") + 1])
    return {"valid": 0, "not_valid": 1, "unreadable": 2}[found["verdict"]], found


def rewritten(path: Path, out: Path, change: Any) -> Path:
    """The same archive with `change(name, data)` in place of each file; None leaves it out."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for entry in source.infolist():
            data = change(entry.filename, source.read(entry))
            if data is not None:
                target.writestr(entry.filename, data)
    return out


async def test_a_record_is_whole_and_verified_offline(world: World, tmp_path: Path) -> None:
    path = await exported(world, tmp_path)
    status, found = verify(path, world)
    assert status == 0, found
    assert [step["code"] for step in found["steps"]] == ["record-whole"] + ["record-receipt-right"] * 3
    assert [one["indication"] for one in found["signatures"]] == ["TOTAL-PASSED"] * 4
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        contents = json.loads(archive.read("record.json"))
        log = json.loads(archive.read("log.json"))
        xml = ET.fromstring(archive.read("log.xml"))
        readme = archive.read("README.txt").decode()
    assert [one["kind"] for one in contents["revisions"]] == ["intake", "signature", "signature", "seal", "archive"]
    assert len([name for name in names if name.startswith("evidence/ocsp-")]) >= 3
    assert any(name.startswith("evidence/crl-") for name in names)
    assert any(name.startswith("packets/01-") for name in names)
    assert {"signatures/1/approval.jws", "signatures/3/manifest.json", "packets/statuses.json"} <= set(names)
    assert all(name.isascii() and ".." not in name and not name.startswith("/") for name in names)
    # REC-4: the course of handling, in order of time, as JSON and XML.
    assert [one["at"] for one in log] == sorted(one["at"] for one in log)
    assert [one.get("id") for one in xml] == [one["id"] for one in log]
    assert "Kiểm tra" in readme
    assert "To verify" in readme


async def test_a_record_proves_authority_and_opened_pages(world: World, tmp_path: Path) -> None:
    """AUT-6, REC-1: the grant that the deputy signed under and what he opened, by the digests that the log names."""
    given = await granted(world.leader, world.second)
    step = {"person": world.second.person, "grant": given["id"]}
    document = await world.taken(world.second, signers=[step], open_every_page=True)
    assert await opened(world.second, document, 1) == 1
    assert (await world.second.sign(document)).status_code == 200
    await world.stack.until(document, "signed")
    path = await fetched(world, document, tmp_path)
    status, found = verify(path, world)
    assert (status, [one["code"] for one in found["steps"]]) == (
        0, ["record-whole", "record-receipt-right", "authority-holds", "openings-whole"],
    ), found  # fmt: skip
    assert "KT. CHỦ TỊCH" in found["steps"][2]["detail"]
    with zipfile.ZipFile(path) as archive:
        grant = archive.read(f"authority/{given['digest']}.jws").decode()
    # Another grant of the same people under the name of this one: whoever rewrites the list too, meets the log.
    other = signed(world.leader, world.second).encode()
    assert other != grant.encode()
    status, found = verify(relisted(path, tmp_path / "forged.zip", f"authority/{given['digest']}.jws", other), world)
    assert (status, found["steps"][2]["code"]) == (1, "authority-not-signed")


def relisted(path: Path, out: Path, name: str, data: bytes) -> Path:
    """The same archive with another file under a name, and a `record.json` that says so."""
    with zipfile.ZipFile(path) as source:
        contents = json.loads(source.read("record.json"))
    for one in contents["files"]:
        if one["path"] == name:
            one |= {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    fresh = {name: data, "record.json": json.dumps(contents).encode()}
    return rewritten(path, out, lambda entry, before: fresh.get(entry, before))


async def test_a_record_outlives_the_file_of_its_packet(world: World, tmp_path: Path) -> None:
    """REC-1: packets go when their work is done; what is left is exported whole and says what the packet was."""
    document = await world.signed(world.leader)
    assert (await world.clerk.sign(document)).status_code == 200
    await world.stack.until(document, "accepted", "delivered", "forwarded")
    (packet,) = await world.rows("SELECT blob FROM outgoing_packets WHERE document = $1", document)
    await world.execute("UPDATE outgoing_packets SET dropped_us = 1 WHERE document = $1", document)
    await world.stack.wiring.blobs.delete(packet["blob"])
    out = tmp_path / "record.zip"
    answer = await world.qlvb.call("GET", f"/api/v1/documents/{document}/record")
    while answer.status_code == 409:
        answer = await world.qlvb.call("GET", f"/api/v1/documents/{document}/record")
    out.write_bytes(answer.content)
    with zipfile.ZipFile(out) as archive:
        said = json.loads(archive.read("packets/statuses.json"))
        assert not [name for name in archive.namelist() if name.endswith(".edxml")]
    assert [one["sha256"] for one in said["dropped"]] == [packet["blob"]]
    folder = tmp_path / "parts"
    folder.mkdir()
    check(out, folder)


async def test_a_changed_record_is_not_believed(world: World, tmp_path: Path) -> None:
    path = await exported(world, tmp_path)
    out = tmp_path / "changed.zip"
    cases = {
        "a byte of a revision": lambda name, data: data[:-1] + b"X" if name.endswith("01-intake.pdf") else data,
        "a file left out": lambda name, data: None if name == "log.json" else data,
        "a byte of a receipt": lambda name, data: data[:-2] + b" }" if name == "receipts/01.json" else data,
    }
    for what, change in cases.items():
        status, found = verify(rewritten(path, out, change), world)
        assert status == 1, what
        assert found["steps"][0]["code"] == "record-incomplete", what
    with zipfile.ZipFile(path) as source:
        contents = json.loads(source.read("record.json"))
        receipt = source.read("receipts/02.json")
    # Whoever rewrites the list too still meets the receipts, which only their keys can make.
    swapped = receipt.replace(b'"tbs":"', b'"tbs":"00', 1)
    for one in contents["files"]:
        if one["path"] == "receipts/02.json":
            one |= {"sha256": hashlib.sha256(swapped).hexdigest(), "size": len(swapped)}

    def forged(name: str, data: bytes) -> bytes:
        return {"receipts/02.json": swapped, "record.json": json.dumps(contents).encode()}.get(name, data)

    status, found = verify(rewritten(path, out, forged), world)
    assert status == 1
    assert "record-receipt-wrong" in [step["code"] for step in found["steps"]]


def _zip(*entries: tuple[str, bytes], packed: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", packed) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return made.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04 no archive", "record-unreadable"),
        (_zip(("a", b"b")), "record-unreadable"),
        (_zip(("record.json", b"[]")), "record-unreadable"),
        (_zip(("record.json", b"{}" * 100), packed=zipfile.ZIP_DEFLATED), "record-unreadable"),
        (
            _zip(
                (
                    "record.json",
                    (
                        b'{"v":1,"document":"d","head":"h","state":"s","exported_at":"t","metadata":{},"route":[],"revisions":[],'
                        b'"receipts":[],"files":[]}'
                    ),
                ),
                ("../../escape", b"x"),
            ),
            "record-incomplete",
        ),
    ],
)
async def test_a_hostile_archive_is_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    # B8: no name in the archive becomes a path, nothing packed is unpacked.
    path, folder = tmp_path / "x.zip", tmp_path / "out"
    path.write_bytes(data)
    folder.mkdir()
    with pytest.raises(RecordError) as caught:
        check(path, folder)
    assert caught.value.reason == reason
    assert list(folder.iterdir()) == []
    assert not (tmp_path.parent / "escape").exists()
