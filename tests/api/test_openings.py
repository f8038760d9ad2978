"""Documents that are signed only after every page was opened: what devices say, what is refused, what the log keeps (AUT-8, REC-1)."""

import hashlib
import json
from typing import Any

import pytest

from tests.api.conftest import World, code
from tests.fakes import pdfs
from tests.fakes.stack import Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")


def three_pages(second: str = "Trang hai") -> bytes:
    made = pdfs.Pdf()
    for text in ("Trang mot", second, "Trang ba"):
        made.page(pdfs.lines((text, "noi dung")))
    return made.classic()


async def images(caller: Caller, document: str) -> tuple[str, dict[int, list[str]]]:
    """The head, and the digests of each page's images."""
    head = (await caller.json("GET", f"/api/v1/documents/{document}"))["revision"]
    manifest = await caller.json("GET", f"/api/v1/documents/{document}/revisions/{head}/manifest")
    found: dict[int, list[str]] = {}
    for one in manifest["images"]:
        found.setdefault(one["page"], []).append(one["digest"])
    return head, found


async def opened(caller: Caller, document: str, *pages: int) -> int:
    head, found = await images(caller, document)
    shown = [{"page": page, "image": found[page][1]} for page in pages]
    path = f"/api/v1/documents/{document}/revisions/{head}/openings"
    return int((await caller.json("POST", path, json={"pages": shown}))["counted"])


async def tries(caller: Caller, sheet: dict[str, Any]) -> int:
    return int((await caller.json("GET", f"/api/v1/me/credentials/{sheet['credential']}/tries"))["tries_left"])


async def test_nobody_signs_before_every_page_was_opened(world: World) -> None:
    document = await world.taken(world.leader, world.second, pdf=three_pages(), open_every_page=True)
    assert (await world.leader.json("GET", f"/api/v1/documents/{document}"))["open_every_page"] is True
    sheet = await world.leader.sheet(document)
    assert sheet["unopened"] == [1, 2, 3]
    left = await tries(world.leader, sheet)
    refused = await world.leader.approve(sheet)
    assert (refused.status_code, code(refused)) == (409, "pages-unopened")
    assert (refused.json()["document"], refused.json()["pages"]) == (document, [1, 2, 3])
    # A refusal is no attempt: no try is charged, and the very sheet can still be signed.
    assert await tries(world.leader, sheet) == left
    assert await world.stack.state(document) == "in_review"
    assert await opened(world.leader, document, 1, 3) == 2
    assert (await world.leader.sheet(document))["unopened"] == [2]
    assert json.loads((await world.leader.approve(await world.leader.sheet(document))).content)["pages"] == [2]
    assert await opened(world.leader, document, 2, 2, 1) == 3
    sheet = await world.leader.sheet(document)
    assert sheet["unopened"] == []
    assert (await world.leader.approve(sheet)).status_code == 200
    await world.stack.until(document, "in_review")
    # What the leader opened is not what the next signer opened.
    sheet = await world.second.sheet(document)
    assert sheet["unopened"] == [1, 2, 3]
    assert code(await world.second.approve(sheet)) == "pages-unopened"
    await opened(world.second, document, 1, 2, 3)
    assert (await world.second.sign(document)).status_code == 200
    await world.stack.until(document, "signed")
    # The seal is not asked for it.
    sheet = await world.clerk.sheet(document)
    assert sheet["unopened"] == []
    assert (await world.clerk.approve(sheet)).status_code == 200
    await proof_stands_in_the_log(world, document)


async def test_the_pages_of_its_annexes_are_opened_too(world: World) -> None:
    document = await world.taken(number="7201", pdf=three_pages(), open_every_page=True)
    annex = (await world.stack.take_in(three_pages("Phu luc"), [], number="7201", annex_of=document)).json()["id"]
    await opened(world.leader, document, 1, 2, 3)
    assert (await world.leader.json("GET", f"/api/v1/documents/{annex}"))["open_every_page"] is True
    sheet = await world.leader.sheet(document)
    assert (sheet["unopened_in"], sheet["unopened"]) == (annex, [1, 2, 3])
    left = await tries(world.leader, sheet)
    refused = await world.leader.approve(sheet)
    assert (code(refused), refused.json()["document"], refused.json()["pages"]) == ("pages-unopened", annex, [1, 2, 3])
    assert await tries(world.leader, sheet) == left
    await opened(world.leader, annex, 1, 2, 3)
    sheet = await world.leader.sheet(document)
    assert (sheet["unopened_in"], sheet["unopened"]) == (document, [])
    assert (await world.leader.approve(sheet)).status_code == 200
    await world.stack.until(document, "signed")
    await world.qlvb.call("POST", f"/api/v1/documents/{document}/recall", json={"reason": "Mẫu"}, expect=200)


async def proof_stands_in_the_log(world: World, document: str) -> None:
    rows = await world.rows(
        "SELECT o.digest, o.proof, p.parent, p.person FROM opening_proofs o JOIN prepared_revisions p ON p.id = o.prepared "
        "WHERE p.document = $1 ORDER BY p.position",
        document,
    )
    events = await world.rows("SELECT kind, body FROM audit_events WHERE subject = $1 ORDER BY id", document)
    named = [
        json.loads(bytes(row["body"])).get("openings")
        for row in events
        if row["kind"] in {"document.co_signed", "document.signed", "signature.intended"}
    ]
    digests = [row["digest"] for row in rows]
    assert len(rows) == 2
    # Intent and completed signature of each of the two; the seal's intent names none.
    assert named == [digests[0], digests[0], digests[1], digests[1], None]
    for row, caller in zip(rows, (world.leader, world.second), strict=True):
        assert hashlib.sha256(bytes(row["proof"])).hexdigest() == row["digest"]
        said = json.loads(bytes(row["proof"]))
        assert (said["person"], said["revision"]) == (caller.person, row["parent"])
        assert [one["page"] for one in said["pages"]] == [1, 2, 3]
        assert {one["device"] for one in said["pages"]} == {caller.device}


async def test_only_images_of_the_document_count(world: World) -> None:
    document = await world.taken(world.leader, pdf=three_pages(), open_every_page=True)
    head, found = await images(world.leader, document)
    path = f"/api/v1/documents/{document}/revisions/{head}/openings"
    wrong = [{"page": 1, "image": found[2][0]}, {"page": 2, "image": "0" * 64}, {"page": 4, "image": found[1][0]}]
    assert await world.leader.json("POST", path, json={"pages": wrong}) == {"counted": 0}
    other = await world.taken(world.leader, pdf=three_pages("Khac"), open_every_page=True)
    theirs, _found = await images(world.leader, other)
    answer = await world.leader.call(
        "POST", path.replace(head, theirs), json={"pages": [{"page": 1, "image": found[1][0]}]}
    )
    assert (answer.status_code, code(answer)) == (404, "not-found")
    # Whoever may not read the document learns nothing, and what he says counts for nobody.
    answer = await world.foreign_leader.call("POST", path, json={"pages": [{"page": 1, "image": found[1][0]}]})
    assert (answer.status_code, code(answer)) == (404, "not-found")
    assert (await world.leader.sheet(document))["unopened"] == [1, 2, 3]
    for body in ({"pages": []}, {"pages": [{"page": 0, "image": "0" * 64}]}, {"pages": [{"page": 1, "image": "x"}]}):
        assert code(await world.leader.call("POST", path, json=body)) == "invalid-request"


async def test_a_page_that_changed_must_be_opened_again(world: World) -> None:
    document = await world.taken(world.leader, pdf=three_pages(), open_every_page=True)
    await opened(world.leader, document, 1, 2, 3)
    sheet = await world.leader.sheet(document)
    path = f"/api/v1/documents/{document}/replacements"
    answer = await world.stack.take_in(three_pages("Trang hai, sua"), [world.leader], path=path, open_every_page=True)
    assert answer.status_code == 200, answer.text
    assert (await world.leader.sheet(document))["unopened"] == [2]
    assert code(await world.leader.approve(sheet)) == "prepared-expired"


async def test_where_the_document_does_not_ask_nothing_is_kept_back(world: World) -> None:
    document = await world.taken(world.leader, pdf=three_pages())
    sheet = await world.leader.sheet(document)
    assert sheet["unopened"] == []
    assert (await world.leader.approve(sheet)).status_code == 200
    await world.stack.until(document, "signed")
    assert await world.count("opening_proofs", "prepared = $1", sheet["prepared"]) == 0


async def test_an_organisation_may_ask_for_it_of_every_document(world: World) -> None:
    """The rule holds from the moment it is set, also for documents that were on their way; whichever asks, is obeyed."""
    path = "/api/v1/notice-rules"
    before = await world.administrator.json("GET", path)
    assert before["open_every_page"] is False
    document = await world.taken(world.leader, pdf=three_pages())
    sheet = await world.leader.sheet(document)
    assert sheet["unopened"] == []
    await world.administrator.call("PUT", path, json=before | {"open_every_page": True}, expect=204)
    try:
        assert (await world.leader.json("GET", f"/api/v1/documents/{document}"))["open_every_page"] is True
        refused = await world.leader.approve(sheet)
        assert (code(refused), refused.json()["pages"]) == ("pages-unopened", [1, 2, 3])
        assert (await world.leader.sheet(document))["unopened"] == [1, 2, 3]
        await opened(world.leader, document, 1, 2, 3)
        sheet = await world.leader.sheet(document)
        assert (await world.leader.approve(sheet)).status_code == 200
        assert await world.count("opening_proofs", "prepared = $1", sheet["prepared"]) == 1
    finally:
        await world.administrator.call("PUT", path, json=before | {"revision": None}, expect=204)


async def test_what_another_renderer_drew_differently_is_opened_again(world: World) -> None:
    """The proof names images of the approved manifest, or nobody could check it against that manifest later (REC-1)."""
    document = await world.taken(world.leader, pdf=three_pages(), open_every_page=True)
    await opened(world.leader, document, 1, 2, 3)
    sheet = await world.leader.sheet(document)
    assert sheet["unopened"] == []
    # As after an update: page 2 was opened as an older renderer drew it.
    head, _found = await images(world.leader, document)
    await world.execute(
        "INSERT INTO page_images (revision, renderer, page, width, height, digest, size) VALUES ($1, 'older', 2, 720, 900, $2, 1)",
        head,
        "f" * 64,
    )
    await world.execute("UPDATE page_openings SET image = $2 WHERE document = $1 AND page = 2", document, "f" * 64)
    refused = await world.leader.approve(sheet)
    assert (code(refused), refused.json()["pages"]) == ("pages-unopened", [2])
    assert (await world.leader.sheet(document))["unopened"] == [2]
    assert await opened(world.leader, document, 2) == 1
    assert (await world.leader.sign(document)).status_code == 200
