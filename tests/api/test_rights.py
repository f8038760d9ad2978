"""C1, C2: what a role had shown is gone with the role; and under whose code a document travels."""

import asyncio
import json
from pathlib import Path

import pytest

from server.identity.model import Role
from tests.api.conftest import World, code
from tests.fakes import pdfs
from tests.fakes.stack import running


async def withdraw(world: World, person: str) -> None:
    path = f"/api/v1/people/{person}/roles/clerk"
    await world.administrator.call("DELETE", path, expect=204)


@pytest.mark.asyncio(loop_scope="session")
async def test_who_is_no_clerk_any_more_reads_nothing_that_the_role_had_shown(world: World) -> None:
    clerk = await world.stack.person("Phan Thị Mẫu", Role.CLERK, position="Văn thư")
    staff = await world.stack.person("Mai Văn Mẫu", Role.CLERK, Role.STAFF, position="Chuyên viên")
    document = await world.signed(world.leader)
    for caller in (clerk, staff):
        inbox = await caller.json("GET", "/api/v1/inbox")
        assert document in [one["id"] for one in inbox["items"]]
        await caller.call("GET", f"/api/v1/documents/{document}/files/signed", expect=200)
        await withdraw(world, caller.person)
    assert await world.count("document_readers", "person IN ($1, $2)", clerk.person, staff.person) == 0
    # The other role still lets him call; the document is not there for him any more.
    assert (await staff.json("GET", "/api/v1/inbox"))["items"] == []
    for path in ("", "/files/signed", "/files/original", "/receipts", "/deliveries"):
        answer = await staff.call("GET", f"/api/v1/documents/{document}{path}")
        assert (answer.status_code, code(answer)) == (404, "not-found"), path
    assert (await staff.json("GET", "/api/v1/documents"))["items"] == []
    assert (await clerk.call("GET", "/api/v1/inbox")).status_code == 403
    # The clerks that stay keep theirs.
    assert await world.count("document_readers", "document = $1 AND reason = 'seal'", document) >= 1


@pytest.mark.asyncio(loop_scope="session")
async def test_who_signs_keeps_what_he_signs(world: World) -> None:
    both = await world.stack.person("Tạ Văn Mẫu", Role.LEADER, Role.CLERK)
    await world.stack.credential(both, "Tạ Văn Mẫu")
    mine, others = await world.signed(both), await world.signed(world.leader)
    await withdraw(world, both.person)
    inbox = {one["id"]: one for one in (await both.json("GET", "/api/v1/inbox"))["items"]}
    assert mine in inbox
    assert (inbox[mine]["reason"], inbox[mine]["waiting"]) == ("sign", False)
    assert others not in inbox
    await both.call("GET", f"/api/v1/documents/{mine}/files/signed", expect=200)
    assert code(await both.call("GET", f"/api/v1/documents/{others}")) == "not-found"


@pytest.mark.asyncio
async def test_a_document_travels_under_the_exchanges_code_of_its_organisation(tmp_path: Path) -> None:
    """edXML's DocumentId names the sender by the code that the exchange knows; the code here may be another."""
    mapping = {"HOATOC_EXCHANGE__ORGAN_CODES": json.dumps({"X01": "000.00.01.H99"})}
    async with running(tmp_path, worker=False, **mapping) as stack:
        leader = await stack.person("Nguyễn Văn Mẫu", Role.LEADER)
        fixed = {"number": "7816", "notation": "UBND-VP", "promulgation_date": "2026-11-22"}
        taken = [(await stack.take_in(pdfs.plain(), [leader], **fixed)).json()["id"] for _ in range(2)]
        ids = [(await stack.qlvb.json("GET", f"/api/v1/documents/{one}"))["exchange_id"] for one in taken]
        assert ids[0] == "000.00.01.H99,2026/11/22,7816/UBND-VP"
        assert ids[1].startswith(f"{ids[0]}#")
        path = f"/api/v1/documents/{taken[0]}/replacements"
        answer = await stack.take_in(pdfs.vietnamese(), [leader], path=path, **fixed)
        assert answer.status_code == 200
        again = (await stack.qlvb.json("GET", f"/api/v1/documents/{taken[0]}"))["exchange_id"]
        assert again == ids[0]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_revoked_device_ends_at_the_signer_in_every_credential_it_was_admitted_to(world: World) -> None:
    """A1: each of two credentials knows one of two devices; the credential that never met a device does not shield the other."""
    stack = world.stack
    first = await stack.person("Hồ Văn Mẫu", Role.LEADER)
    second = await stack.phone(first.person)
    held = [(phone, await stack.credential(phone, "Hồ Văn Mẫu")) for phone in (first, second)]
    for phone, _ in held:
        await stack.wiring.identity.revoke_device(stack.operator, phone.device)
    for _ in range(600):
        seen = [(await stack.wiring.signer.status(credential)).holders[0].devices[0].state for _, credential in held]
        if seen == ["revoked", "revoked"]:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"a revoked device still stands at the signer: {seen}")
