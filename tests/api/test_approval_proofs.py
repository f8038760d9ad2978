"""C5 for the one route that spends its DPoP proof in the transaction of its effect: whatever becomes of the call, its proof is good once."""

import asyncio
from typing import Any

import pytest

from tests.api.conftest import World, code
from tests.fakes.stack import Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATH = "/api/v1/approvals"


async def post(caller: Caller, proof: str, body: dict[str, Any]) -> Any:
    headers = {"Authorization": f"DPoP {caller.access}", "DPoP": proof}
    return await caller.http.post(PATH, headers=headers, json=body)


async def test_a_proof_signs_once_and_then_does_nothing_more(world: World) -> None:
    bodies = [await world.leader.approval_for(await world.leader.sheet(await world.taken(world.leader))) for _ in "ab"]
    proof = world.leader.proof("POST", PATH, world.leader.access)
    assert (await post(world.leader, proof, bodies[0])).status_code == 200
    again = await post(world.leader, proof, bodies[1])
    assert (again.status_code, code(again), again.json()["reason"]) == (401, "proof-invalid", "replay")
    assert (
        await post(world.leader, world.leader.proof("POST", PATH, world.leader.access), bodies[1])
    ).status_code == 200


async def test_of_two_calls_at_once_with_one_proof_one_takes_effect(world: World) -> None:
    bodies = [
        await world.leader.approval_for(await world.leader.sheet(await world.taken(world.leader))) for _ in range(6)
    ]
    proof = world.leader.proof("POST", PATH, world.leader.access)
    before = await world.count("activations")
    answers = await asyncio.gather(*(post(world.leader, proof, body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 5
    assert {answer.json()["reason"] for answer in answers if answer.status_code == 401} == {"replay"}
    assert await world.count("activations") == before + 1


async def test_a_refused_call_costs_its_proof_too(world: World) -> None:
    body = await world.leader.approval_for(await world.leader.sheet(await world.taken(world.leader)))
    for bad in ({}, {**body, "approval": "x" * 200}):
        proof = world.leader.proof("POST", PATH, world.leader.access)
        assert (await post(world.leader, proof, bad)).status_code in {400, 422}
        assert (await post(world.leader, proof, body)).json()["reason"] == "replay"
    assert (await world.leader.call("POST", PATH, json=body)).status_code == 200
