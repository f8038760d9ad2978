"""Initials as a step of the route: who may give them, in which order, and what is seen of them afterwards (SIG-10, DOC-9, AUT-1)."""

import asyncio
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from server.demo import paper
from server.demo.processes import hoatoc
from server.identity.model import Role
from tests.api.conftest import World, code
from tests.fakes import pdf_signing as judges
from tests.fakes import pdfs, stamp_pngs
from tests.fakes.stack import Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")

DECISION = {"number": "15", "notation": "QĐ-UBND", "urgency": 0}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def drafter(world: World) -> Caller:
    """A member of the staff with an own key: no leader."""
    person = await world.stack.person("Bùi Thị Soạn", Role.STAFF, position="Chuyên viên")
    await world.stack.credential(person, "Bùi Thị Soạn")
    return person


def route(*steps: tuple[Caller, bool], **more: Any) -> list[dict[str, Any]]:
    return [{"person": one.person, "initials": initials, **more} for one, initials in steps]


async def taken(world: World, *steps: tuple[Caller, bool], pdf: bytes | None = None) -> str:
    answer = await world.stack.take_in(
        pdf or paper.decision(dt.date(2026, 11, 18)).pdf, [], signers=route(*steps), **DECISION
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_a_document_is_initialed_signed_and_sealed(world: World, drafter: Caller, tmp_path: Path) -> None:
    document = await taken(world, (drafter, True), (world.leader, False))
    # The order of the route holds: the leader does not sign before the initials are there.
    assert code(await world.leader.call("POST", f"/api/v1/documents/{document}/sheet")) in {
        "not-found",
        "not-your-turn",
    }
    waiting = next(one for one in (await drafter.json("GET", "/api/v1/inbox"))["items"] if one["id"] == document)
    assert (waiting["waiting"], waiting["reason"]) == (True, "initials")
    sheet = await drafter.sheet(document)
    assert (sheet["kind"], sheet["page"]) == ("initials", 1)
    assert (await drafter.approve(sheet)).status_code == 200
    await world.stack.until(document, "in_review")
    # Initials alone are no signature: there is no signed file, and nothing for the clerk.
    refused = await world.qlvb.call("GET", f"/api/v1/documents/{document}/files/signed")
    assert (refused.status_code, code(refused)) == (409, "file-pending")
    queue = await world.clerk.json("GET", "/api/v1/seal-queue")
    assert document not in {one["id"] for one in queue["items"]}
    seen = await world.leader.json("GET", f"/api/v1/documents/{document}")
    assert [(step["kind"], step["state"]) for step in seen["route"]] == [
        ("initials", "done"), ("person", "open"), ("seal", "waiting"),
    ]  # fmt: skip
    assert [one["kind"] for one in seen["revisions"]] == ["intake", "initials"]
    assert (await world.leader.sheet(document))["kind"] == "person"
    assert (await world.leader.sign(document)).status_code == 200
    await world.stack.until(document, "signed")
    assert (await world.clerk.sign(document)).status_code == 200
    await world.stack.until(document, "sealed", "forwarded", "delivered", "accepted")
    path = tmp_path / "final.pdf"
    path.write_bytes((await world.qlvb.call("GET", f"/api/v1/documents/{document}/files/final", expect=200)).content)
    verdicts = [one for one in judges.pdfsig(path) if one.subfilter == "ETSI.CAdES.detached"]
    assert len(verdicts) == 3
    assert all(one.valid for one in verdicts)
    answer = await world.leader.call(
        "POST", "/api/v1/validations", files={"file": ("a.pdf", path.read_bytes(), "application/pdf")}, expect=200
    )
    report = json.loads(answer.content)
    assert report["verdict"] == "valid"
    signed = [one for one in report["signatures"] if one["kind"] == "signature"]
    assert [(one["signer"], one["purpose"]) for one in signed] == [
        ("Bùi Thị Soạn", "Ký nháy"), ("Nguyễn Văn Mẫu", ""), ("Ủy ban nhân dân xã Mẫu", ""),
    ]  # fmt: skip
    receipts = await world.qlvb.json("GET", f"/api/v1/documents/{document}/receipts")
    assert [one["kind"] for one in receipts] == ["initials", "signature", "signature"]
    path_of_receipt = f"/api/v1/documents/{document}/receipts/{receipts[0]['id']}"
    async with asyncio.timeout(120):  # until the log has its next head
        while (receipt := await world.qlvb.call("GET", path_of_receipt)).status_code == 409:
            assert code(receipt) == "file-pending"
    (tmp_path / "receipt.json").write_bytes(receipt.content)
    said = judges.run(
        *hoatoc("verify", str(tmp_path / "receipt.json"), "--trust", str(world.stack.folder / "roots.pem"), "--json")
    )
    assert json.loads(said[said.index("{") : said.rindex("}") + 1])["event"] == "document.initialed"


async def test_initials_come_first_and_are_nobodys_authority(world: World, drafter: Caller) -> None:
    page = pdfs.plain()
    for steps in (
        route((world.leader, False), (drafter, True)),
        route((drafter, True)),
        route((drafter, False)),
        route((world.clerk, True), (world.leader, False)),
        [*route((drafter, True), authority="TL. CHỦ TỊCH"), *route((world.leader, False))],
        route((world.second, True), (world.leader, False), (drafter, True), (world.second, False)),
    ):
        answer = await world.stack.take_in(page, [], signers=steps)
        assert (answer.status_code, code(answer)) == (422, "route-invalid"), steps


async def test_whoever_initials_may_return_it_and_nobody_else_takes_his_turn(world: World, drafter: Caller) -> None:
    document = await taken(world, (drafter, True), (world.second, True), (world.leader, False), pdf=pdfs.plain())
    for other in (world.staff, world.second, world.leader, world.clerk):
        answer = await other.call("POST", f"/api/v1/documents/{document}/sheet")
        assert code(answer) in {"not-found", "not-your-turn"}
    assert (await drafter.sign(document)).status_code == 200
    await world.stack.until(document, "in_review")
    answer = await drafter.call("POST", f"/api/v1/documents/{document}/sheet")
    assert code(answer) == "not-your-turn"
    answer = await world.second.call("POST", f"/api/v1/documents/{document}/return", json={"reason": "Sai thể thức"})
    assert answer.json() == {"state": "returned"}
    # A replacement keeps who initials and who signs.
    path = f"/api/v1/documents/{document}/replacements"
    for steps in (
        route((drafter, True), (world.second, False), (world.leader, False)),
        route((drafter, True), (world.leader, False)),
    ):
        answer = await world.stack.take_in(pdfs.plain(), [], path=path, signers=steps)
        assert (answer.status_code, code(answer)) == (422, "route-invalid")
    steps = route((drafter, True), (world.second, True), (world.leader, False))
    answer = await world.stack.take_in(pdfs.plain(), [], path=path, signers=steps)
    assert answer.status_code == 200, answer.text
    assert (await drafter.sheet(document))["kind"] == "initials"
    # NOT-4: a replacement while it is his turn takes the request away from whoever comes later again.
    assert (await drafter.sign(document)).status_code == 200
    await world.stack.until(document, "in_review")
    answer = await world.stack.take_in(pdfs.plain(), [], path=path, signers=steps)
    assert answer.status_code == 200, answer.text
    asked = "SELECT person FROM notices WHERE document = $1 AND kind = 'to_sign' AND state = 'open'"
    assert [row["person"] for row in await world.rows(asked, document)] == [drafter.person]


async def test_who_is_no_staff_any_more_initials_no_more(world: World) -> None:
    person = await world.stack.person("Cao Văn Rời", Role.STAFF, position="Chuyên viên")
    await world.stack.credential(person, "Cao Văn Rời")
    document = await taken(world, (person, True), (world.leader, False), pdf=pdfs.plain())
    sheet = await person.sheet(document)
    approval = await person.approval_for(sheet)
    await world.execute("UPDATE roles SET role = 'duty_officer' WHERE person = $1", person.person)
    answer = await person.call("POST", "/api/v1/approvals", json=approval)
    assert answer.status_code in {403, 409}
    assert code(answer) in {"forbidden", "not-your-turn"}
    assert await world.stack.state(document) == "in_review"


async def test_an_image_of_initials_needs_a_place(world: World, drafter: Caller) -> None:
    """SIG-10: with an image nothing is guessed; without one the mark is laid out, and the text or the drafter says where before that."""
    image = {"file": ("anh.png", stamp_pngs.signature(), "image/png")}
    assert (await drafter.call("PUT", "/api/v1/me/signature-image", files=image)).status_code == 200
    try:
        steps = route((drafter, True), (world.leader, False))
        refused = await world.stack.take_in(pdfs.plain(), [], signers=steps)
        assert (refused.status_code, code(refused)) == (422, "placement-required")
        place = {"page": 1, "x_mm": 150, "y_mm": 200, "width_mm": 20, "height_mm": 8}
        answer = await world.stack.take_in(pdfs.plain(), [], signers=[steps[0] | {"placement": place}, steps[1]])
        assert answer.status_code == 201, answer.text
        document = await taken(world, (drafter, True), (world.leader, False))
        placed = await world.rows("SELECT placement FROM route_steps WHERE document = $1 AND position = 1", document)
        assert json.loads(bytes(placed[0]["placement"]))["page"] == 1
        assert (await drafter.sheet(document))["kind"] == "initials"
    finally:
        await drafter.call("DELETE", "/api/v1/me/signature-image", expect=204)


@pytest.mark.parametrize("by", ["system", "person"])
async def test_initials_go_to_a_colleague_when_their_person_is_away(world: World, drafter: Caller, by: str) -> None:
    """NOT-4, AUT-7: whoever takes the step initials with his own key; who handed it over is asked no more."""
    document = await taken(world, (drafter, True), (world.leader, False), pdf=pdfs.plain())
    stale = await drafter.approval_for(await drafter.sheet(document))
    path = f"/api/v1/documents/{document}/hand-over"
    caller = world.qlvb if by == "system" else drafter
    for wrong in (
        {},
        {"grant": "0" * 32},
        {"person": world.leader.person},
        {"person": world.clerk.person},
        {"person": "0" * 32},
    ):
        answer = await caller.call("POST", path, json=wrong)
        assert (answer.status_code, code(answer)) == (422, "route-invalid"), wrong
    assert code(await world.second.call("POST", path, json={"person": world.second.person})) == "not-found"
    answer = await caller.call("POST", path, json={"person": world.second.person}, expect=200)
    assert answer.json() == {"state": "in_review"}
    assert code(await drafter.call("POST", "/api/v1/approvals", json=stale)) == "not-your-turn"
    asked = "SELECT person, state FROM notices WHERE document = $1 AND kind = 'to_sign' ORDER BY created_us"
    assert [(row["person"], row["state"]) for row in await world.rows(asked, document)] == [
        (drafter.person, "settled"),
        (world.second.person, "open"),
    ]
    step = (await drafter.json("GET", f"/api/v1/documents/{document}"))["route"][0]
    assert (step["kind"], step["person"], step["authority"]) == ("initials", world.second.person, "")
    assert (await world.second.sign(document)).status_code == 200
    await world.stack.until(document, "in_review")
    # A signature goes to nobody without a grant.
    answer = await world.qlvb.call("POST", path, json={"person": world.second.person})
    assert (answer.status_code, code(answer)) == (422, "route-invalid")
    assert (await world.leader.sheet(document))["kind"] == "person"
