"""Several documents with one PIN: what becomes of each is told while it happens, to whoever approved them and to nobody else."""

from typing import Any

import pytest

from server.settings import LimitsSettings
from signing.core.model import MAX_ITEMS
from tests.api.conftest import World, code
from tests.fakes.stack import Caller, b64u
from tests.web.conftest import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


def challenge_of(body: dict[str, str]) -> str:
    import json
    from base64 import urlsafe_b64decode

    return str(json.loads(urlsafe_b64decode(body["approval"].split(".")[1] + "=="))["challenge"])


async def progress(caller: Caller, challenge: str) -> list[dict[str, Any]]:
    return list((await caller.json("GET", f"/api/v1/approvals/{challenge}"))["documents"])


async def test_each_document_of_a_batch_has_its_own_result(world: World) -> None:
    documents = [await world.taken(world.leader) for _ in range(3)]
    sheets = [await world.leader.sheet(document) for document in documents]
    body = await world.leader.approval_for(*sheets)
    challenge = challenge_of(body)
    path = f"/api/v1/approvals/{challenge}"
    assert code(await world.leader.call("GET", path)) == "not-found"
    assert (await world.leader.call("POST", "/api/v1/approvals", json=body)).status_code == 200
    first = await progress(world.leader, challenge)
    assert [one["document"] for one in first] == documents
    assert {one["state"] for one in first} <= {"stamping", "signed"}

    async def settled() -> list[dict[str, Any]]:
        found = await progress(world.leader, challenge)
        return found if {one["state"] for one in found} == {"signed"} else []

    for one in await until(settled, "all of them signed"):
        seen = await world.qlvb.json("GET", f"/api/v1/documents/{one['document']}")
        assert seen["revision"] == one["revision"]
        assert one["at"] is not None
    for other in (world.second, world.clerk, world.foreign_leader):
        answer = await other.call("GET", path)
        assert (answer.status_code, code(answer)) == (404, "not-found")


async def test_a_batch_that_was_not_signed_says_so_of_each(world: World) -> None:
    documents = [await world.taken(world.second) for _ in range(2)]
    sheets = [await world.second.sheet(document) for document in documents]
    body = await world.second.approval_for(*sheets, pin="31415926")
    assert code(await world.second.call("POST", "/api/v1/approvals", json=body)) == "pin-wrong"
    found = await progress(world.second, challenge_of(body))
    assert [(one["document"], one["state"], one["revision"], one["at"]) for one in found] == [
        (document, "not_signed", None, None) for document in documents
    ]
    assert (await world.second.approve(*[await world.second.sheet(one) for one in documents])).status_code == 200


async def test_an_approval_takes_two_hundred_and_no_more(world: World) -> None:
    assert LimitsSettings().batch_documents == MAX_ITEMS == 200
    sheet = await world.leader.sheet(await world.taken(world.leader))
    many = [{**sheet, "tbs": f"{number:064x}"} for number in range(201)]
    # Two hundred fit the request's bounds and fail only for naming what was never prepared; one more is refused for its number.
    body = await world.leader.approval_for(*many[:200])
    assert len(body["approval"]) < 100_000
    assert code(await world.leader.call("POST", "/api/v1/approvals", json=body)) == "approval-invalid"
    assert code(await world.leader.approve(*many)) == "approval-invalid"
    assert code(await world.leader.call("GET", f"/api/v1/approvals/{b64u(bytes(32))}")) == "not-found"
