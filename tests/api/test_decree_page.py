"""The page by Decree 30 through the API: images put by their owners, places from the text layer, warnings (SIG-1, SIG-2)."""

import datetime as dt
import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image

from server.demo import paper
from tests.api.conftest import World, code
from tests.fakes import pdfs, stamp_pngs
from tests.fakes.stack import Caller
from tests.fakes.stamp_pngs import PER_MM, draw, inked

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIGNATURE = "/api/v1/me/signature-image"
SEAL = "/api/v1/organisation/seal-image"
DECISION = {"number": "15", "notation": "QĐ-UBND", "urgency": 0}
RECTANGLE = {"page": 1, "x_mm": 110, "y_mm": 220, "width_mm": 60, "height_mm": 24}


def decision() -> bytes:
    return paper.decision(dt.date(2026, 11, 18)).pdf


async def put(caller: Caller, path: str, image: bytes, **query: Any) -> Any:
    return await caller.call("PUT", path, files={"file": ("anh.png", image, "image/png")}, params=query)


@pytest_asyncio.fixture(loop_scope="session")
async def images(world: World) -> AsyncIterator[None]:
    """The leader's signature and the organisation's seal, taken back behind the test: the world is everybody's."""
    answer = await put(world.leader, SIGNATURE, stamp_pngs.signature())
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"width": 601, "height": 241, "diameter_mm": None}
    answer = await put(world.administrator, SEAL, stamp_pngs.seal(), diameter_mm=42)
    assert answer.status_code == 200, answer.text
    assert answer.json()["diameter_mm"] == 42
    yield
    await world.leader.call("DELETE", SIGNATURE, expect=204)
    await world.administrator.call("DELETE", SEAL, expect=204)


@pytest.mark.usefixtures("images")
async def test_a_document_shows_signature_and_seal_where_its_text_says(world: World, tmp_path: Path) -> None:
    answer = await world.stack.take_in(decision(), [world.leader], **DECISION)
    assert (answer.status_code, answer.json()["warnings"]) == (201, []), answer.text
    document = answer.json()["id"]
    sheet = await world.leader.sheet(document)
    manifest = json.loads((await world.leader.call("GET", f"/api/v1/prepared/{sheet['prepared']}/manifest")).content)
    digest = manifest["images"][0]["digest"]
    shown = await world.leader.call("GET", f"/api/v1/prepared/{sheet['prepared']}/images/{digest}", expect=200)
    assert inked(Image.open(BytesIO(shown.content)).convert("RGB"), 195, 270)[0] is not None
    assert (await world.leader.sign(document)).status_code == 200
    await world.stack.until(document, "signed")
    signed = (await world.qlvb.call("GET", f"/api/v1/documents/{document}/files/signed", expect=200)).content
    assert (await world.clerk.sign(document)).status_code == 200
    await world.stack.until(document, "sealed", "forwarded", "delivered", "accepted", "refused")
    final = (await world.qlvb.call("GET", f"/api/v1/documents/{document}/files/final", expect=200)).content
    boxes = []
    for name, data, hues in (("signed", signed, (195, 270)), ("final", final, (-25, 20))):
        path = tmp_path / f"{name}.pdf"
        path.write_bytes(data)
        boxes.append(inked(draw(path), *hues)[0])
    blue, red = boxes
    assert blue is not None
    assert red is not None
    assert abs((red[2] - red[0]) / PER_MM - 42) <= 0.5
    assert 0.28 <= (red[2] - blue[0]) / (blue[2] - blue[0]) <= 0.38
    middle = paper.decision(dt.date(2026, 11, 18)).signature.x_mm + 30
    assert abs((blue[0] + blue[2]) / 2 / PER_MM - middle) <= 2
    report = await world.leader.call(
        "POST", "/api/v1/validations", files={"file": ("a.pdf", final, "application/pdf")}, expect=200
    )
    found = json.loads(report.content)["signatures"]
    assert len(found) >= 2
    assert {one["indication"] for one in found} == {"TOTAL-PASSED"}


@pytest.mark.usefixtures("images")
async def test_without_the_lines_nothing_is_guessed(world: World) -> None:
    answer = await world.stack.take_in(pdfs.plain(), [world.leader])
    assert (answer.status_code, code(answer)) == (422, "placement-required")
    answer = await world.stack.take_in(pdfs.scan(), [world.leader])
    assert (answer.status_code, code(answer)) == (422, "placement-required")
    # The drafter says where; the seal then stands over a third of what the signature covers there.
    answer = await world.stack.take_in(
        pdfs.scan(), [], signers=[{"person": world.leader.person, "placement": RECTANGLE}]
    )
    assert answer.status_code == 201, answer.text
    rows = await world.rows(
        "SELECT placement FROM route_steps WHERE document = $1 ORDER BY position", answer.json()["id"]
    )
    own, seal = (json.loads(bytes(row["placement"])) for row in rows)
    assert own == RECTANGLE
    assert (seal["width_mm"], seal["height_mm"]) == (42, 42)
    assert abs(seal["x_mm"] + 42 - (110 + 60 / 3)) < 0.1
    # A field that the file brings along has no rectangle of the drafter's for the seal to stand by.
    signers = [{"person": world.leader.person, "field": "Sig1"}]
    assert code(await world.stack.take_in(pdfs.plain(), [], signers=signers)) == "placement-required"


@pytest.mark.usefixtures("images")
async def test_a_rectangle_smaller_than_the_seal_is_refused_on_the_sheet(world: World) -> None:
    signers = [{"person": world.leader.person, "placement": RECTANGLE}]
    document = await world.taken(pdf=pdfs.plain(), signers=signers, seal_placement={**RECTANGLE, "x_mm": 20})
    assert (await world.leader.sign(document)).status_code == 200
    await world.stack.until(document, "signed")
    refused = await world.clerk.call("POST", f"/api/v1/documents/{document}/sheet")
    assert (refused.status_code, code(refused)) == (422, "placement-required")


async def test_without_images_stamps_are_text(world: World) -> None:
    document = await world.taken(pdf=decision(), **DECISION)
    assert (await world.leader.sign(document)).status_code == 200
    await world.stack.until(document, "signed")
    signed = (await world.qlvb.call("GET", f"/api/v1/documents/{document}/files/signed", expect=200)).content
    assert b"/ImageMask" not in signed


@pytest.mark.parametrize(
    ("pdf", "metadata", "rules"),
    [
        (decision, DECISION, []),
        (decision, {**DECISION, "urgency": 2}, ["SIG-12"]),
        (decision, {**DECISION, "number": "16"}, ["DOC-6"]),
        (pdfs.plain, {"urgency": 1}, ["DOC-2", "DOC-6", "SIG-12"]),
        (pdfs.scan, {"urgency": 0}, ["DOC-3"]),
    ],
)
async def test_intake_warns_of_the_layout(world: World, pdf: Any, metadata: dict[str, Any], rules: list[str]) -> None:
    answer = await world.stack.take_in(pdf(), [world.leader], **metadata)
    assert answer.status_code == 201, answer.text
    assert [one["rule"] for one in answer.json()["warnings"]] == rules
    assert all(one["text_vi"] and one["text_en"] for one in answer.json()["warnings"])


@pytest.mark.usefixtures("images")
async def test_a_drafter_sees_where_marks_will_stand_and_moves_them(world: World) -> None:
    """SIG-1, SIG-2: what the text said, what his own rectangles break, and rectangles that keep the rule."""
    answer = (await world.stack.take_in(decision(), [world.leader], **DECISION)).json()
    own, seal = answer["placements"]
    assert answer["warnings"] == []
    assert (seal["page"], seal["width_mm"]) == (own["page"], 42)
    path = f"/api/v1/documents/{answer['id']}/replacements"

    async def moved(right_mm: float, seal_right_mm: float) -> list[str]:
        signers = [{"person": world.leader.person, "placement": {**own, "x_mm": own["x_mm"] + right_mm}}]
        over = {**seal, "x_mm": seal["x_mm"] + seal_right_mm}
        changed = await world.stack.take_in(decision(), [], path=path, signers=signers, seal_placement=over, **DECISION)
        assert changed.status_code == 200, changed.text
        assert changed.json()["placements"] == [signers[0]["placement"], over]
        return [one["rule"] for one in changed.json()["warnings"]]

    assert await moved(0, 0) == []
    assert await moved(1.5, 1.5) == []
    assert await moved(-30, 0) == ["SIG-1", "SIG-2"]
    assert await moved(0, -30) == ["SIG-2"]
    # Where the text does not say whose place it is, a mark at least covers none of it.
    signers = [{"person": world.leader.person, "placement": {**RECTANGLE, "x_mm": 10, "y_mm": 10, "width_mm": 190}}]
    covering = await world.stack.take_in(pdfs.plain(), [], signers=signers)
    assert "SIG-1" in [one["rule"] for one in covering.json()["warnings"]]


async def test_a_bad_image_is_refused_and_changes_nothing(world: World) -> None:
    for image, reason in (
        (b"GIF89a" + bytes(100), "not-a-png"),
        (stamp_pngs.seal(), "colour"),
        (stamp_pngs.signature()[:500], "not-readable"),
        (stamp_pngs.signature(ground=(255, 255, 255, 255)), "background"),
    ):
        answer = await put(world.second, SIGNATURE, image)
        assert (answer.status_code, code(answer), answer.json()["reason"]) == (422, "image-refused", reason)
    answer = await put(world.second, SIGNATURE, stamp_pngs.signature() + bytes(2 * 1024 * 1024))
    assert (answer.status_code, code(answer)) == (413, "too-large")
    assert code(await put(world.leader, SEAL, stamp_pngs.seal(), diameter_mm=36)) == "forbidden"
    assert code(await put(world.administrator, SEAL, stamp_pngs.seal(), diameter_mm=5)) == "invalid-request"
    assert code(await world.second.call("DELETE", SIGNATURE)) == "not-found"
    assert await world.count("stamp_images", "owner = $1", world.second.person) == 0
