"""What the organisation seals alone, through the API: annexes in files of their own (SIG-4, SIG-5) and copies (SIG-5, SIG-6)."""

import io
import json
import re
import subprocess
import unicodedata
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from httpx2 import AsyncClient
from PIL import Image

from tests.api.conftest import World, code
from tests.fakes import pdfs, stamp_pngs
from tests.fakes.stamp_pngs import DPI, PER_MM, inked

pytestmark = pytest.mark.asyncio(loop_scope="session")

COPY = {
    "form": "sao_y",
    "of": "Nghị định số 30/2020/NĐ-CP ngày 05/3/2020 của Chính phủ",
    "original": "paper",
    "ordered_by": "Nguyễn Văn Mẫu, Chủ tịch",
}
LEFT = ("forwarded", "delivered", "accepted", "refused")
TIME = r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d \+07:00"


async def main_document(world: World, number: str) -> dict[str, Any]:
    """Metadata of a document that waits for its leader, and its id."""
    metadata = {"number": number, "notation": "QĐ-UBND"}
    return {**metadata, "annex_of": await world.taken(**metadata)}


async def annexed(world: World, annex: dict[str, Any], pdf: bytes | None = None, **change: Any) -> Any:
    return await world.stack.take_in(
        pdf or pdfs.vietnamese(),
        [],
        **{"subject": "Phụ lục I. Danh sách mẫu", "type_name": "Phụ lục", **annex, **change},
    )


async def sealed(world: World, document: str) -> None:
    assert (await world.clerk.sign(document)).status_code == 200
    await world.stack.until(document, "sealed", *LEFT)


async def queue(world: World) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in (await world.clerk.json("GET", "/api/v1/seal-queue?limit=200"))["items"]}


async def final(world: World, document: str, path: Path) -> Path:
    answer = await world.qlvb.call("GET", f"/api/v1/documents/{document}/files/final", expect=200)
    path.write_bytes(answer.content)
    return path


def said(path: Path) -> str:
    text = subprocess.run(["pdftotext", "-raw", path, "-"], capture_output=True, check=True, text=True).stdout
    return " ".join(unicodedata.normalize("NFC", text).split())


@pytest_asyncio.fixture(loop_scope="session")
async def seal_image(world: World) -> AsyncIterator[None]:
    files = {"file": ("dau.png", stamp_pngs.seal(), "image/png")}
    path = "/api/v1/organisation/seal-image"
    await world.administrator.call("PUT", path, files=files, params={"diameter_mm": 36}, expect=200)
    yield
    await world.administrator.call("DELETE", path, expect=204)


async def test_annexes_are_sealed_behind_their_document_and_leave_with_it(world: World, tmp_path: Path) -> None:
    annex = await main_document(world, "7101")
    main = annex["annex_of"]
    taken = [await annexed(world, annex), await annexed(world, annex, pdfs.plain(), subject="Phụ lục II. Biểu mẫu")]
    assert [one.status_code for one in taken] == [201, 201], taken[0].text
    first, second = (one.json()["id"] for one in taken)
    assert (taken[0].json()["state"], taken[0].json()["placements"], taken[0].json()["duplicates"]) == (
        "in_review",
        [None],
        [],
    )
    # AUT-8: whoever signs the document reads its annexes, and finds them by it; nobody else does.
    shown = await world.leader.json("GET", f"/api/v1/documents/{main}")
    assert [(one["id"], one["subject"], one["state"]) for one in shown["annexes"]] == [
        (first, "Phụ lục I. Danh sách mẫu", "in_review"), (second, "Phụ lục II. Biểu mẫu", "in_review"),
    ]  # fmt: skip
    assert (await world.leader.json("GET", f"/api/v1/documents/{first}"))["annex_of"] == main
    assert code(await world.second.call("GET", f"/api/v1/documents/{first}")) == "not-found"
    # Nobody can seal it before its document is.
    assert code(await world.clerk.call("POST", f"/api/v1/documents/{first}/sheet")) == "not-your-turn"
    assert (await world.leader.sign(main)).status_code == 200
    await world.stack.until(main, "signed")
    assert first not in await queue(world)
    assert code(await annexed(world, annex)) == "conflict"  # AUT-8: he has signed what he saw
    await sealed(world, main)
    await world.stack.until(first, "signed")
    waiting = await queue(world)
    assert (waiting[first]["number"], waiting[first]["annex_of"], waiting[first]["copy"]) == ("7101", main, None)
    assert await world.stack.state(main) == "sealed"
    sheets = [await world.clerk.sheet(first), await world.clerk.sheet(second)]
    assert {one["kind"] for one in sheets} == {"seal"}
    assert (await world.clerk.approve(*sheets)).status_code == 200
    await world.stack.until(main, *LEFT)
    states = {await world.stack.until(one, *LEFT) for one in (first, second)}
    assert states <= set(LEFT)
    # Its receivers' time runs once, for the document.
    assert [(await world.qlvb.json("GET", f"/api/v1/documents/{one}"))["overdue_at"] for one in (first, second)] == [
        None, None,
    ]  # fmt: skip
    assert code(await world.stack.take_in(pdfs.plain(), [world.leader], replaces=[first])) == "conflict"
    # The text in the corner: number and symbol, and the time of this seal; no image (SIG-4, SIG-5).
    text = said(await final(world, first, tmp_path / "annex.pdf"))
    assert re.search(rf"7101/QĐ-UBND {TIME}", text), text
    assert red(tmp_path / "annex.pdf") is None
    report = await world.leader.call(
        "POST", "/api/v1/validations", files={"file": ("a.pdf", (tmp_path / "annex.pdf").read_bytes(), "application/pdf")}, expect=200
    )  # fmt: skip
    found = json.loads(report.content)["signatures"]
    assert [(one["indication"], one["purpose"]) for one in found if one["purpose"]] == [
        ("TOTAL-PASSED", "Phụ lục của 7101/QĐ-UBND")
    ]
    # One packet, three files, each byte for byte.
    packets = [one for one in await oracle(world) if one["document_id"].endswith(",7101/QĐ-UBND")]
    assert len([one for one in packets if one["kind"] == "edoc"]) == 1
    heads = [(await world.qlvb.json("GET", f"/api/v1/documents/{one}"))["revision"] for one in (main, first, second)]
    packet = next(one for one in packets if one["kind"] == "edoc")
    assert [one["sha256"] for one in packet["attachments"]] == heads
    assert await world.count("outgoing_packets", "document IN ($1, $2)", first, second) == 0


async def test_a_recall_takes_the_annexes_with_it(world: World) -> None:
    """EXC-5: tombstones for each of them, nothing left to seal; an annex alone can be taken back until it is sealed."""
    annex = await main_document(world, "7102")
    main = annex["annex_of"]
    first, second, third = [(await annexed(world, annex, subject=f"Phụ lục {n}")).json()["id"] for n in (1, 2, 3)]
    assert (await world.leader.sign(main)).status_code == 200
    await world.stack.until(main, "signed")
    await sealed(world, main)
    await world.stack.until(second, "signed")
    # Returned by the clerk, it can only be handed in as the signer saw it (AUT-8), or be left out.
    await world.execute("UPDATE documents SET state_due_us = 1, alarmed_us = 2 WHERE id = $1", main)
    await world.clerk.call("POST", f"/api/v1/documents/{first}/return", json={"reason": "Thiếu trang"}, expect=200)
    # Nothing but its main document's time tells that it waits for the drafter now.
    waits = (await world.rows("SELECT state_due_us, alarmed_us FROM documents WHERE id = $1", main))[0]
    assert (waits["state_due_us"] > 2, waits["alarmed_us"]) == (True, None)
    path = f"/api/v1/documents/{first}/replacements"
    assert code(await annexed(world, annex, pdfs.plain(), path=path)) == "conflict"
    assert code(await annexed(world, annex, path=path, subject="Phụ lục khác")) == "conflict"
    again = await annexed(world, annex, path=path, subject="Phụ lục 1")
    assert (again.status_code, again.json()["state"]) == (200, "signed"), again.text
    await recalled(world, first)
    await sealed(world, second)
    # Sealed, it waits for the others without an alarm of its own.
    assert (await world.qlvb.json("GET", f"/api/v1/documents/{second}"))["overdue_at"] is None
    assert (
        code(await world.qlvb.call("POST", f"/api/v1/documents/{second}/recall", json={"reason": "Nhầm"})) == "conflict"
    )
    assert await world.stack.state(main) == "sealed"
    await recalled(world, main)
    assert {await world.stack.state(one) for one in (main, first, second, third)} == {"recalled"}
    assert not {first, second, third} & set(await queue(world))
    gone = {(one["document"], one["detail"].get("reason")) for one in await changes(world) if one["tombstone"]}
    assert gone >= {(one, "Nhầm số") for one in (main, first, second, third)}
    assert await world.count("document_readers", "waiting = 1 AND document IN ($1, $2, $3)", first, second, third) == 0
    assert await world.count("outgoing_packets", "document = $1", main) == 0


async def recalled(world: World, document: str) -> None:
    await world.qlvb.call("POST", f"/api/v1/documents/{document}/recall", json={"reason": "Nhầm số"}, expect=200)


async def changes(world: World) -> list[dict[str, Any]]:
    found, cursor = [], ""
    while True:
        page = await world.qlvb.json("GET", f"/api/v1/changes?limit=200{cursor}")
        found += page["items"]
        if not page["items"]:
            return found
        cursor = f"&cursor={page['next']}"


async def test_a_sheet_ends_when_an_annex_comes_changes_or_goes(world: World) -> None:
    """AUT-8: nobody signs for an annex that he could not see when the sheet was opened."""
    annex = await main_document(world, "7108")
    main = annex["annex_of"]
    path = f"/api/v1/documents/{main}"
    before = {one["seq"] for one in await changes(world)}
    sheet = await world.leader.sheet(main)
    own = (await annexed(world, annex)).json()["id"]
    assert code(await world.leader.approve(sheet)) == "prepared-expired"
    sheet = await world.leader.sheet(main)
    shown = (await world.leader.json("GET", path))["annexes"]
    again = await annexed(world, annex, pdfs.plain(), path=f"/api/v1/documents/{own}/replacements")
    assert again.status_code == 200, again.text
    assert [one["revision"] for one in (await world.leader.json("GET", path))["annexes"]] == [again.json()["revision"]]
    assert shown[0]["revision"] != again.json()["revision"]
    assert code(await world.leader.approve(sheet)) == "prepared-expired"
    sheet = await world.leader.sheet(main)
    await recalled(world, own)
    assert code(await world.leader.approve(sheet)) == "prepared-expired"
    # Phones that show the document are told each time, by its own id.
    told = [one["kind"] for one in await changes(world) if one["document"] == main and one["seq"] not in before]
    assert told == ["document.annexed"] * 3
    assert (await world.leader.sign(main)).status_code == 200
    await world.stack.until(main, "signed")
    await recalled(world, main)


async def test_the_last_annex_that_is_taken_back_lets_its_document_leave(world: World) -> None:
    annex = await main_document(world, "7103")
    main, only = annex["annex_of"], (await annexed(world, annex)).json()["id"]
    # A new number of the main document is its annexes' number (SIG-4).
    path = f"/api/v1/documents/{main}/replacements"
    signers = [{"person": world.leader.person}]
    changed = await world.stack.take_in(pdfs.plain(), [], path=path, number="7104", signers=signers, urgency=3)
    assert changed.status_code == 200, changed.text
    shown = await world.qlvb.json("GET", f"/api/v1/documents/{only}")
    assert (shown["number"], shown["urgency"], shown["state"], shown["overdue_at"]) == ("7104", 3, "in_review", None)
    assert (await world.leader.sign(main)).status_code == 200
    await world.stack.until(main, "signed")
    await sealed(world, main)
    await world.stack.until(only, "signed")
    await recalled(world, only)
    await world.stack.until(main, *LEFT)
    packet = next(one for one in await oracle(world) if one["document_id"].endswith(",7104/QĐ-UBND"))
    assert len(packet["attachments"]) == 1


@pytest.mark.usefixtures("seal_image")
async def test_a_copy_says_what_it_is_and_leaves_alone(world: World, tmp_path: Path) -> None:
    answer = await world.stack.take_in(
        pdfs.scan(), [], number="7105", notation="SY-UBND", type_name="Sao y", subject="Quy định về công tác văn thư", copy=COPY
    )  # fmt: skip
    assert (answer.status_code, answer.json()["state"], answer.json()["warnings"]) == (201, "signed", []), answer.text
    document = answer.json()["id"]
    assert (await queue(world))[document]["copy"] == "sao_y"
    shown = await world.clerk.json("GET", f"/api/v1/documents/{document}")
    assert (shown["copy"], [one["kind"] for one in shown["route"]]) == (COPY, ["seal"])
    assert code(await world.clerk.call("GET", f"/api/v1/documents/{document}/files/signed")) == "file-pending"
    await sealed(world, document)
    await world.stack.until(document, *LEFT)
    path = await final(world, document, tmp_path / "copy.pdf")
    assert re.search(rf"Sao y Ủy ban nhân dân xã Mẫu {TIME}", said(path)), said(path)
    ink = red(path)
    assert ink is not None
    assert abs((ink[2] - ink[0]) / PER_MM - 36) <= 0.5  # SIG-6: of its real size
    judged = await world.qlvb.call("GET", f"/api/v1/documents/{document}/record", expect=200)
    with zipfile.ZipFile(io.BytesIO(judged.content)) as record:
        assert json.loads(record.read("record.json"))["metadata"]["copy"] == COPY
        log = json.loads(record.read("log.json"))
    received = next(one for one in log if one["kind"] == "document.received")
    assert COPY["of"] in json.dumps(received, ensure_ascii=False)


async def test_what_is_sealed_alone_has_no_other_route(world: World) -> None:
    """SIG-7: nobody hands in an unsigned document as something else, and an annex has its document's number."""
    annex = await main_document(world, "7106")
    signers = [{"person": world.leader.person}]
    rectangle = {"page": 1, "x_mm": 10, "y_mm": 10, "width_mm": 60, "height_mm": 60}
    for problem, change in (
        ("route-invalid", {"signers": signers}),
        ("route-invalid", {"copy": COPY}),
        ("route-invalid", {"seal_placement": rectangle}),
        ("invalid-request", {"number": "7107"}),
        ("not-found", {"annex_of": "0" * 32}),
    ):
        assert code(await annexed(world, annex, **change)) == problem
    assert code(await world.stack.take_in(pdfs.plain(), [])) == "route-invalid"
    assert code(await world.stack.take_in(pdfs.plain(), [], copy={**COPY, "of": " "})) == "invalid-request"
    own = (await annexed(world, annex)).json()["id"]
    assert code(await annexed(world, {**annex, "annex_of": own})) == "route-invalid"
    path = f"/api/v1/documents/{own}/replacements"
    assert code(await world.stack.take_in(pdfs.plain(), [], path=path, copy=COPY)) == "route-invalid"
    assert code(await annexed(world, annex, by=world.foreign_qlvb)) == "not-found"
    # The clerk's sheet is as everywhere: from an office device alone (SIG-8).
    copy = (await world.stack.take_in(pdfs.plain(), [], copy=COPY)).json()["id"]
    home = await world.stack.phone(world.clerk.person)
    assert code(await home.call("POST", f"/api/v1/documents/{copy}/sheet")) == "office-device-required"
    assert code(await world.leader.call("POST", f"/api/v1/documents/{copy}/sheet")) == "not-found"
    await recalled(world, copy)
    await recalled(world, annex["annex_of"])


async def test_what_could_not_leave_in_one_packet_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    annex = await main_document(world, "7109")
    path = f"/api/v1/documents/{(await annexed(world, annex)).json()['id']}/replacements"
    monkeypatch.setattr("server.documents.service._FILES", 2)
    refused = await annexed(world, annex)
    assert (code(refused), refused.json()["detail"]) == ("invalid-request", "a document has at most 1 annexes")
    assert (await annexed(world, annex, path=path)).status_code == 200
    monkeypatch.setattr("server.documents.service._FILE_BYTES", len(pdfs.plain()) + 100)
    assert code(await annexed(world, annex, pdfs.vietnamese(), path=path)) == "too-large"
    await recalled(world, annex["annex_of"])


def red(path: Path) -> tuple[int, int, int, int] | None:
    """Where the first page is red at 300 dpi, as poppler draws it."""
    drawn = path.with_suffix("")
    subprocess.run(["pdftoppm", "-png", "-r", str(DPI), "-f", "1", "-singlefile", path, drawn], check=True)
    with Image.open(drawn.with_suffix(".png")) as image:
        return inked(image.convert("RGB"), -25, 25)[0]


async def oracle(world: World) -> list[dict[str, Any]]:
    """What the exchange accepted."""
    async with AsyncClient() as axis:
        return list((await axis.get(f"{world.stack.axis_url}/_oracle")).json()["packets"])
