"""The record of a document: whole, streamed, verified offline by `hoatoc verify`, and not believed when it was changed (REC-1, REC-4)."""

import asyncio
import hashlib
import io
import json
import tempfile
import time
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from server.demo.processes import hoatoc
from server.exchange.business import Revoke
from server.exchange.model import StatusCode
from server.preservation.proofs import log_step
from server.preservation.record_file import RecordError, check, parts
from tests.api.conftest import World, code
from tests.api.grants import granted, signed
from tests.api.test_openings import opened
from tests.fakes import pdfs
from tests.fakes.arrivals import answer, arrived, send
from tests.fakes.pdf_signing import run

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def sealed(world: World) -> str:
    """A document with two signatures and the seal, that has left; one for all tests."""
    if "sealed" not in world.known:
        document = await world.signed(world.leader, world.second)
        assert (await world.clerk.sign(document)).status_code == 200
        await world.stack.until(document, "accepted", "delivered", "forwarded")
        world.known["sealed"] = document
    return world.known["sealed"]


async def exported(world: World, folder: Path) -> Path:
    return await fetched(world, f"documents/{await sealed(world)}", folder)


async def fetched(world: World, what: str, folder: Path) -> Path:
    answer = await world.qlvb.call("GET", f"/api/v1/{what}/record")
    while answer.status_code == 409:  # the log's next head did not come in the time that an answer waits
        assert code(answer) == "file-pending"
        answer = await world.qlvb.call("GET", f"/api/v1/{what}/record")
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
    assert [step["code"] for step in found["steps"]] == ["record-whole", "record-log-proven"] + [
        "record-receipt-right"
    ] * 3
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
    assert {"signatures/1/approval.jws", "signatures/3/manifest.json", "exchange.json"} <= set(names)
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
    path = await fetched(world, f"documents/{document}", tmp_path)
    status, found = verify(path, world)
    assert (status, [one["code"] for one in found["steps"]]) == (
        0, ["record-whole", "record-log-proven", "record-receipt-right", "authority-holds", "openings-whole"],
    ), found  # fmt: skip
    assert "KT. CHỦ TỊCH" in found["steps"][3]["detail"]
    with zipfile.ZipFile(path) as archive:
        grant = archive.read(f"authority/{given['digest']}.jws").decode()
    # Another grant of the same people under the name of this one: whoever rewrites the list too, meets the log.
    other = signed(world.leader, world.second).encode()
    assert other != grant.encode()
    status, found = verify(relisted(path, tmp_path / "forged.zip", f"authority/{given['digest']}.jws", other), world)
    assert (status, found["steps"][3]["code"]) == (1, "authority-not-signed")


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
    out = await fetched(world, f"documents/{document}", tmp_path)
    with zipfile.ZipFile(out) as archive:
        contents = json.loads(archive.read("record.json"))
        assert not [name for name in archive.namelist() if name.endswith("edoc.edxml")]
    assert [(one["sha256"], one["left_out"]) for one in contents["packets"][:1]] == [(packet["blob"], "dropped")]
    folder = tmp_path / "parts"
    folder.mkdir()
    check(out, folder)


def text_of(archive: zipfile.ZipFile, folder: Path) -> str:
    """What a search finds in the PDF of the course of handling."""
    path = folder / "log.pdf"
    path.write_bytes(archive.read("log.pdf"))
    assert run("qpdf", "--check", str(path))
    return " ".join(unicodedata.normalize("NFC", run("pdftotext", "-layout", str(path), "-")).split())


async def judged(world: World, arrival: str) -> None:
    deadline = time.monotonic() + 90
    while (await world.clerk.json("GET", f"/api/v1/arrivals/{arrival}"))["judgement"] == "pending":
        assert time.monotonic() < deadline, "not judged"


async def test_the_record_of_an_arrival_has_both_directions(world: World, tmp_path: Path) -> None:
    """REC-1, REC-4, EXC-2: raw packets both ways, files, reports, the number, the log as XML and PDF; proven offline."""
    final = await world.qlvb.call("GET", f"/api/v1/documents/{await sealed(world)}/files/final", expect=200)
    exchange_id = await send(world.stack, final.content, number="9301", subject="Về việc mẫu để lưu hồ sơ")
    request = await arrived(world.stack, pdfs.plain(), asked=Revoke(document_id=exchange_id, reason="Nhầm"), number="9301", kind="revoke")  # fmt: skip
    [row] = await world.rows("SELECT id, axis_id FROM arrivals WHERE exchange_id = $1 AND kind = 'new'", exchange_id)
    arrival = row["id"]
    await judged(world, arrival)
    path = f"/api/v1/arrivals/{request}/answer"
    await world.clerk.call("POST", path, expect=200, json={"agree": False, "reason": "Đã chuyển xử lý"})
    number = await world.clerk.json("POST", f"/api/v1/arrivals/{arrival}/register", json={})
    await world.qlvb.call("PUT", f"/api/v1/arrivals/{arrival}/own-number", expect=204, json={"number": "000119"})
    out = await fetched(world, f"arrivals/{arrival}", tmp_path)
    status, found = verify(out, world)
    assert (status, [step["code"] for step in found["steps"]]) == (
        0, ["record-whole", "record-log-proven", "record-packet-right", "record-file-valid"],
    ), found  # fmt: skip
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
        contents = json.loads(archive.read("record.json"))
        kinds = [one.get("kind") for one in ET.fromstring(archive.read("log.xml"))]
        log, text = archive.read("log.json"), text_of(archive, tmp_path)
        assert archive.read("files/01.pdf") == final.content
        assert json.loads(archive.read("validations/01.json"))["verdict"] == "valid"
    assert {"validations/01.pdf", "accesses.json"} <= set(names)
    assert [(one["way"], one["what"]) for one in contents["packets"]] == [
        ("received", "new"), ("received", "revoke"), ("sent", "01"), ("sent", "01"), ("sent", "16"), ("sent", "03"),
    ]  # fmt: skip
    assert all(one["path"] in names for one in contents["packets"])
    assert contents["packets"][0]["axis_id"] == row["axis_id"]
    assert contents["metadata"]["registered"] == {"year": number["year"], "number": number["number"]}
    assert (contents["metadata"]["own_number"], contents["enclosed"][0]["verdict"]) == ("000119", "valid")
    assert sorted(kind for kind in kinds if kind.startswith("arrival.")) == [
        "arrival.answered", "arrival.arrived", "arrival.arrived", "arrival.numbered", "arrival.registered",
    ]  # fmt: skip
    for said in (
        "QUÁ TRÌNH XỬ LÝ VĂN BẢN",
        "Vào sổ văn bản đến",
        "Đã chuyển xử lý",
        "Trần Thị Mẫu, Văn thư",
        "Về việc mẫu để lưu hồ sơ",
    ):
        assert said in text

    # Whoever rewrites the list too, meets the log and the packet.
    def forged(fresh: dict[str, bytes], change: Callable[[dict[str, Any]], object] = bool) -> Path:
        altered = json.loads(json.dumps(contents))
        change(altered)
        for one in altered["files"]:
            if one["path"] in fresh:
                one |= {"sha256": hashlib.sha256(fresh[one["path"]]).hexdigest(), "size": len(fresh[one["path"]])}
        fresh["record.json"] = json.dumps(altered).encode()
        return rewritten(out, tmp_path / "forged.zip", lambda name, data: fresh.get(name, data))

    assert log_code(forged({}), tmp_path) == "record-log-proven"
    assert (
        log_code(forged({}, lambda said: said["metadata"]["registered"].update(number=9)), tmp_path)
        == "record-log-differs"
    )
    course = log.replace("Đã chuyển xử lý".encode(), "Đã đồng ý".encode())
    assert log_code(forged({"log.json": course}), tmp_path) == "record-log-wrong"
    other = pdfs.plain()
    replaced = {"sha256": hashlib.sha256(other).hexdigest(), "verdict": None}
    status, found = verify(forged({"files/01.pdf": other}, lambda said: said["enclosed"][0].update(replaced)), world)
    assert (status, found["steps"][2]["code"]) == (1, "record-packet-differs")


def log_code(path: Path, folder: Path) -> str:
    """What is said of the course of handling alone."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        contents = check(path, Path(name))
        kept = parts(contents)
        return log_step(contents, None, lambda part: (Path(name) / kept[part]).read_bytes()).code


async def test_the_record_of_what_its_sender_took_back_goes_without_the_text(world: World, tmp_path: Path) -> None:
    """EXC-5: the text is gone; that it was here, and the recall, stay known."""
    exchange_id = await send(world.stack, pdfs.vietnamese(), number="9302")
    request = await arrived(world.stack, pdfs.plain(), asked=Revoke(document_id=exchange_id, reason="Nhầm"), number="9302", kind="revoke")  # fmt: skip
    [row] = await world.rows("SELECT id FROM arrivals WHERE exchange_id = $1 AND kind = 'new'", exchange_id)
    await judged(world, row["id"])
    await world.clerk.call("POST", f"/api/v1/arrivals/{request}/answer", expect=200, json={"agree": True})
    out = await fetched(world, f"arrivals/{row['id']}", tmp_path)
    status, found = verify(out, world)
    assert (status, [step["code"] for step in found["steps"]]) == (
        0,
        ["record-whole", "record-log-proven", "record-withheld"],
    )
    with zipfile.ZipFile(out) as archive:
        contents = json.loads(archive.read("record.json"))
        assert not [name for name in archive.namelist() if name.startswith("files/")]
    assert [(one["what"], one["left_out"]) for one in contents["packets"]] == [
        ("new", "recalled"), ("revoke", "recalled"), ("01", ""), ("01", ""), ("15", ""),
    ]  # fmt: skip
    assert contents["state"] == "recalled"


async def test_the_record_of_a_recalled_document_has_what_receivers_were_asked_and_said(
    world: World, tmp_path: Path
) -> None:
    """REC-1, EXC-5, EXC-6: the packet, the recall after it, every status as it came."""
    document = await world.signed(world.leader)
    assert (await world.clerk.sign(document)).status_code == 200
    await world.stack.until(document, "forwarded")
    [row] = await world.rows("SELECT exchange_id FROM documents WHERE id = $1", document)
    await world.qlvb.call("POST", f"/api/v1/documents/{document}/recall", expect=200, json={"reason": "Sai số liệu"})
    wanted = [("outgoing_messages", "subject = $1 AND stage = 'accepted'")]
    for status in (StatusCode.ARRIVED, StatusCode.ACCEPTED, StatusCode.CHANGE_AGREED):
        await answer(world.stack, row["exchange_id"], status)
        wanted.append(("business_statuses", f"document = $1 AND status_code = '{status}'"))
    deadline = time.monotonic() + 90
    while not all([await world.count(table, where, document) for table, where in wanted]):
        assert time.monotonic() < deadline, "the recall was not sent, or a status did not come"
        await asyncio.sleep(0.05)
    out = await fetched(world, f"documents/{document}", tmp_path)
    assert log_code(out, tmp_path) == "record-log-proven"
    with zipfile.ZipFile(out) as archive:
        contents = json.loads(archive.read("record.json"))
        said = json.loads(archive.read("exchange.json"))
        text = text_of(archive, tmp_path)
        for one in contents["packets"]:
            assert hashlib.sha256(archive.read(one["path"])).hexdigest() == one["sha256"]
    packets = [(one["way"], one["what"]) for one in contents["packets"]]
    assert packets[:2] == [("sent", "edoc"), ("sent", "revoke")]
    assert sorted(packets[2:]) == [("received", "01"), ("received", "03"), ("received", "15")]
    assert said["messages"][0]["receivers"] == [one["organ_id"] for one in said["receivers"]]
    assert {one["organ_id"]: one["state"] for one in said["receivers"]}["X02"] == "taken_back"
    assert "Sai số liệu" in text
    assert "Thu hồi" in text


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
