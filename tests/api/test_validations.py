"""POST /api/v1/validations and /verify: SW-7's fields in both languages, as JSON, as PDF and as a page without script."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from server.exchange import edxml
from server.sandbox.model import Priority
from server.sandbox.pool import Child
from server.validations.service import IncomingPacket, validate_later
from tests.api.conftest import World
from tests.fakes import pdfs
from tests.fakes.pdf_signing import run
from tests.unit.server.exchange.samples import make_packet

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def signed_file(world: World) -> bytes:
    document = await world.signed(world.leader, subject="Về việc kiểm tra")
    return bytes((await world.leader.call("GET", f"/api/v1/documents/{document}/files/signed", expect=200)).content)


def upload(data: bytes, **fields: str) -> dict[str, Any]:
    return {"files": {"file": ("van-ban.pdf", data, "application/pdf")}, "data": fields}


async def test_whoever_is_signed_in_gets_a_verdict_with_its_reasons(world: World) -> None:
    data = await signed_file(world)
    for caller in (world.leader, world.staff, world.clerk, world.qlvb, world.foreign_leader):
        report = await caller.json("POST", "/api/v1/validations", **upload(data))
        assert (report["verdict"], report["vi"], report["reasons"]) == ("valid", "HỢP LỆ", [])
        (found,) = report["signatures"]
        assert (found["indication"], found["integrity"], found["valid_at_signing"]) == ("TOTAL-PASSED", True, True)
        assert found["signer"] == "Nguyễn Văn Mẫu"
        assert all(
            found[name] for name in ("organisation", "issuer", "not_before", "not_after", "time", "algorithm", "level")
        )
    changed = bytearray(data)
    changed[data.index(b"/MediaBox [") + 12] ^= 1
    report = await world.leader.json("POST", "/api/v1/validations", **upload(bytes(changed)))
    assert (report["verdict"], report["signatures"][0]["integrity"]) == ("not_valid", False)
    assert report["signatures"][0]["reasons"][0]["vi"] == "Nội dung đã bị thay đổi sau khi ký."


@pytest.mark.parametrize("body", [b"", b"%PDF-1.7", b"not a pdf", b"%PDF-1.7\n" + b"\xff" * 5000, pdfs.plain()])
async def test_what_cannot_be_read_is_not_valid_and_no_error(world: World, body: bytes) -> None:
    """B4."""
    report = await world.leader.json("POST", "/api/v1/validations", **upload(body))
    assert (report["verdict"], report["signatures"]) == ("not_valid", [])
    assert [one["code"] for one in report["reasons"]] in (["broken-structure"], ["no-signature"], ["cannot-be-checked"])


async def test_the_report_is_a_pdf_on_request(world: World, tmp_path: Path) -> None:
    data = await signed_file(world)
    answer = await world.leader.call(
        "POST", "/api/v1/validations", expect=200, headers={"Accept": "application/pdf"}, **upload(data)
    )
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"].startswith("attachment")
    path = tmp_path / "report.pdf"
    path.write_bytes(answer.content)
    await asyncio.to_thread(run, "qpdf", "--check", path)
    text = " ".join((await asyncio.to_thread(run, "pdftotext", "-layout", path, "-")).split())
    for words in ("KẾT QUẢ KIỂM TRA CHỮ KÝ SỐ", "HỢP LỆ – Valid", "Nguyễn Văn Mẫu", "Nguyên vẹn", "TOTAL-PASSED"):
        assert words in text


async def test_a_stranger_waits_behind_everybody_who_is_signed_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D13: hostile files at the public page, each worth a child's whole time, must not keep leaders from their sheets."""
    asked, call = [], Child.call

    async def noted(child: Child, task: str, *args: Any) -> Any:
        asked.append((task, child._priority))
        return await call(child, task, *args)

    monkeypatch.setattr(Child, "call", noted)
    assert (await world.stack.http.post("/verify", **upload(pdfs.plain()))).status_code == 200
    await world.leader.json("POST", "/api/v1/validations", **upload(pdfs.plain()))
    found = [priority for task, priority in asked if task == "pdf.validate"]
    assert found == [Priority.BACKGROUND, Priority.INTERACTIVE]


async def test_the_public_page_needs_no_sign_in_and_no_script(world: World) -> None:
    http = world.stack.http
    shown = await http.get("/verify")
    assert shown.status_code == 200
    assert "<script" not in shown.text
    assert "noindex" in shown.headers["x-robots-tag"]
    assert "script-src" not in shown.headers["content-security-policy"]
    assert "form-action 'self'" in shown.headers["content-security-policy"]
    data = await signed_file(world)
    answer = await http.post("/verify", **upload(data, lang="vi", answer="page"))
    assert answer.status_code == 200
    assert "HỢP LỆ" in answer.text
    assert "Nguyễn Văn Mẫu" in answer.text
    english = await http.post("/verify", **upload(data + b"x", lang="en", answer="page"))
    assert "Not valid" in english.text
    assert (await http.post("/verify", **upload(data, answer="json"))).json()["verdict"] == "valid"
    assert (await http.post("/verify", **upload(data, answer="pdf"))).content.startswith(b"%PDF-")
    assert (await http.post("/verify", data={"lang": "vi"})).status_code == 400


async def test_exc_2_every_pdf_of_an_incoming_packet_is_judged_and_the_verdict_kept(
    world: World, tmp_path: Path
) -> None:
    data = await signed_file(world)
    changed = bytearray(data)
    changed[data.index(b"/MediaBox [") + 12] ^= 1
    files = {"quyet-dinh.pdf": data, "sua.pdf": bytes(changed), "khong-ky.pdf": pdfs.plain(), "bang.csv": b"a,b"}
    wiring = world.stack.wiring
    path = tmp_path / "packet.edxml"
    edxml.write(make_packet(tmp_path, receivers=("X01",), files=files), path)
    packet = IncomingPacket(source="axis-exc-2", organisation="X01", blob=await wiring.blobs.put_file(path))
    await wiring.db.transact(lambda tx: validate_later(tx, packet))
    async with asyncio.timeout(120):
        while len(found := await wiring.validations.verdicts("X01", "axis-exc-2")) < 3:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)
    assert {one.name: one.verdict for one in found} == {
        "quyet-dinh.pdf": "valid",
        "sua.pdf": "not_valid",
        "khong-ky.pdf": "not_valid",
    }
    named = {one.name: one for one in found}
    assert named["sua.pdf"].report.signatures[0].signer == "Nguyễn Văn Mẫu"
    assert await wiring.validations.verdicts("X02", "axis-exc-2") == []
    await wiring.validations.judge_packet(packet)  # a job may run twice; its verdicts stand once
    assert len(await wiring.validations.verdicts("X01", "axis-exc-2")) == 3
