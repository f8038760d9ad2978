"""Approvals through the API: exactly what was shown is signed, once, by whom it waits for (A1, A10, A11, A6, D5, SIG-7, SIG-8).

Longer than most: the attacks on one approval share its people and sheets.
"""

import asyncio
import hashlib
import os
import time
from typing import Any

import pytest

from server.identity.model import Role
from signing import device
from signing.client import Item, Kind, VoucherKind
from signing.core.codec import b64u
from tests.api.conftest import PIN, World, code
from tests.fakes import pdfs
from tests.fakes.stack import Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROUNDS = int(os.environ.get("ROUNDS") or 12)


async def signatures(world: World, document: str) -> list[Any]:
    return await world.rows("SELECT tbs, cms FROM activation_items WHERE document = $1 AND cms IS NOT NULL", document)


async def approve(caller: Caller, body: dict[str, str]) -> Any:
    return await caller.call("POST", "/api/v1/approvals", json=body)


# -- A10: one approval, one signature ---------------------------------------------------------------------------------


async def test_500_parallel_uses_of_one_approval_make_one_signature(world: World) -> None:
    document = await world.taken(world.leader)
    body = await world.leader.approval_for(await world.leader.sheet(document))
    answers = await asyncio.gather(*(approve(world.leader, body) for _ in range(500)))
    refusals = {code(answer) for answer in answers if answer.status_code != 200}
    assert [answer.status_code for answer in answers].count(200) == 1
    assert refusals == {"approval-used"}
    assert len(await signatures(world, document)) == 1
    assert await world.stack.until(document, "signed") == "signed"
    for _ in range(3):
        assert code(await approve(world.leader, body)) == "approval-used"
    assert len(await signatures(world, document)) == 1


async def test_a_changed_item_is_refused_and_costs_no_try(world: World) -> None:
    document = await world.taken(world.leader)
    sheet = await world.leader.sheet(document)
    before = await tries(world.leader)
    for changed in ({**sheet, "tbs": "00" * 32}, {**sheet, "manifest_digest": "00" * 32}):
        assert code(await world.leader.approve(changed)) == "approval-invalid"
    twice = await world.leader.approve(sheet, sheet)
    assert code(twice) == "approval-invalid"
    for kind in (Kind.CHANGE_PIN, Kind.JOIN, Kind.RAW_HASH):
        assert code(await world.leader.approve(sheet, kind=kind)) == "approval-invalid"
    for change in (
        {"challenge": "\x00"},
        {"credential": "x"},
        {"items": [Item(tbs="\x00", manifest="x")]},
        {"items": []},
    ):
        assert code(await world.leader.approve(sheet, **change)) == "approval-invalid"
    body = await world.leader.approval_for(sheet, organisation="X02")
    assert code(await approve(world.leader, body)) == "approval-invalid"
    assert await tries(world.leader) == before
    assert not await signatures(world, document)
    assert await world.stack.state(document) == "in_review"


async def test_a_prepared_revision_of_another_person_cannot_be_approved(world: World) -> None:
    document = await world.taken(world.leader)
    sheet = await world.leader.sheet(document)
    mine = (await world.second.json("GET", "/api/v1/me/credentials"))[0]["id"]
    assert code(await world.second.approve({**sheet, "credential": mine})) == "approval-invalid"
    theirs = await world.leader.approval_for(sheet)
    assert code(await approve(world.second, theirs)) == "approval-invalid"
    assert (await approve(world.leader, theirs)).status_code == 200


async def test_a_batch_is_signed_whole_or_not_at_all(world: World) -> None:
    documents = [await world.taken(world.leader) for _ in range(3)]
    sheets = [await world.leader.sheet(document) for document in documents]
    recalled = await world.qlvb.call("POST", f"/api/v1/documents/{documents[1]}/recall", json={"reason": "nhầm"})
    assert recalled.status_code == 200
    refused = await world.leader.approve(*sheets)
    assert code(refused) in {"not-your-turn", "prepared-expired"}
    assert not [row for document in documents for row in await signatures(world, document)]
    done = await world.leader.approve(sheets[0], sheets[2])
    assert sorted(done.json()["documents"]) == sorted([documents[0], documents[2]])


# -- A11: what is shown is what is signed -----------------------------------------------------------------------------


async def replace(world: World, document: str, pdf: bytes, **metadata: Any) -> Any:
    return await world.stack.take_in(pdf, [world.leader], path=f"/api/v1/documents/{document}/replacements", **metadata)


async def test_replacing_against_signing(world: World) -> None:
    """`ROUNDS` rounds at varying moments: the signed digest is the shown one, or there is a clear refusal."""
    seen = set()
    for round_ in range(ROUNDS):
        document = await world.taken(world.leader)
        sheet = await world.leader.sheet(document)
        body = await world.leader.approval_for(sheet)

        async def later(body: dict[str, str] = body, round_: int = round_) -> Any:
            # Reading the new file takes most of a replacement's time: the approval falls before, into and after its end.
            await asyncio.sleep((round_ % 12) * 0.05)
            return await approve(world.leader, body)

        replaced, signed = await asyncio.gather(replace(world, document, pdfs.vietnamese()), later())
        made = await signatures(world, document)
        assert (replaced.status_code, signed.status_code) != (200, 200), "both happened"
        if signed.status_code == 200:
            assert [row["tbs"] for row in made] == [sheet["tbs"]]
            assert code(replaced) in {"document-signing", "conflict"}
        else:
            assert code(signed) in {"prepared-expired", "conflict", "not-your-turn"}
            assert not made
            assert replaced.status_code == 200
        seen.add(signed.status_code)
    assert len(seen) == 2 or ROUNDS < 12, "the rounds never met each other"


async def test_a_replacement_closes_the_open_sheet_and_shows_the_new_words(world: World) -> None:
    document = await world.taken(world.leader, subject="Bản đầu")
    sheet = await world.leader.sheet(document)
    answer = await replace(
        world, document, pdfs.vietnamese(), subject="Bản sau", number="77", notation="QĐ-SAU", urgency=3
    )
    assert answer.status_code == 200, answer.text
    assert code(await world.leader.approve(sheet)) == "prepared-expired"
    shown = await world.leader.json("GET", f"/api/v1/documents/{document}")
    assert (shown["subject"], shown["number"], shown["notation"], shown["urgency"], shown["version"]) == (
        "Bản sau",
        "77",
        "QĐ-SAU",
        3,
        2,
    )
    assert shown["exchange_id"].split("#")[0].endswith(",77/QĐ-SAU")
    assert shown["revision"] == hashlib.sha256(pdfs.vietnamese()).hexdigest()
    assert (await world.leader.sign(document)).status_code == 200
    await world.stack.until(document, "signed")
    assert code(await replace(world, document, pdfs.plain())) == "conflict"


async def test_a_returned_document_comes_back_replaced_with_its_own_signed_file(world: World) -> None:
    document = await world.signed(world.leader)
    signed = (await world.qlvb.call("GET", f"/api/v1/documents/{document}/files/signed", expect=200)).content
    returned = await world.clerk.call(
        "POST", f"/api/v1/documents/{document}/return", json={"reason": "thiếu\x00 nơi \u202enhận"}
    )
    assert returned.status_code == 200
    feed = await changes(world.qlvb)
    assert [
        one["detail"]["reason"] for one in feed if one["document"] == document and one["kind"] == "document.returned"
    ] == ["thiếu nơi nhận"]
    assert (await replace(world, document, signed)).status_code == 200
    assert (await world.leader.sign(document)).status_code == 200
    await world.stack.until(document, "signed")


async def test_other_bytes_under_the_prepared_name_are_noticed(world: World) -> None:
    """D17, A11: the blob is swapped on disk between the sheet and the time stamp: no revision comes of it."""
    document = await world.taken(world.leader)
    sheet = await world.leader.sheet(document)
    row = (await world.rows("SELECT blob, parent FROM prepared_revisions WHERE id = $1", sheet["prepared"]))[0]
    path = next((world.stack.settings.state.blobs).rglob(row["blob"]))
    honest = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(honest[:200] + bytes([honest[200] ^ 1]) + honest[201:])
    try:
        assert (await world.leader.approve(sheet)).status_code == 200
        seen = "kind = 'approvals.stamp' AND state = 'waiting' AND attempt > 0"
        async with asyncio.timeout(60):  # until the job has looked at it and will look again
            while not await world.count("jobs", seen):  # noqa: ASYNC110 - the event is a row of the database
                await asyncio.sleep(0.02)
        assert await world.stack.state(document) == "signed_pending_timestamp"
        assert await world.count("revisions", "document = $1", document) == 1
    finally:
        path.write_bytes(honest)
    await world.execute("UPDATE jobs SET due_us = 0 WHERE kind = 'approvals.stamp' AND state = 'waiting'")
    await world.stack.until(document, "signed")


async def test_a_prepared_revision_lives_its_time(world: World) -> None:
    document = await world.taken(world.leader)
    sheet = await world.leader.sheet(document)
    await world.execute(
        "UPDATE prepared_revisions SET expires_us = $2 WHERE id = $1", sheet["prepared"], time.time_ns() // 1000 - 1
    )
    assert code(await world.leader.approve(sheet)) == "prepared-expired"
    older = again = await world.leader.sheet(document)
    while again["tbs"] == older["tbs"]:  # within one second the bytes are the same, and so is what is approved
        again = await world.leader.sheet(document)
    assert code(await world.leader.approve(older)) == "prepared-expired", "opening anew kills the sheet before"
    assert (await world.leader.approve(again)).status_code == 200


async def test_a_manifest_names_what_the_images_show(world: World) -> None:
    document = await world.taken(world.leader)
    sheet = await world.leader.sheet(document)
    manifest = await world.leader.json("GET", f"/api/v1/prepared/{sheet['prepared']}/manifest")
    for image in manifest["images"]:
        got = await world.leader.call(
            "GET", f"/api/v1/prepared/{sheet['prepared']}/images/{image['digest']}", expect=200
        )
        assert hashlib.sha256(got.content).hexdigest() == image["digest"]
    stranger = manifest["images"][0]["digest"][::-1]
    assert (
        code(await world.leader.call("GET", f"/api/v1/prepared/{sheet['prepared']}/images/{stranger}")) == "not-found"
    )
    etag = {"If-None-Match": f'"{manifest["images"][0]["digest"]}"'}
    again = await world.leader.call(
        "GET", f"/api/v1/prepared/{sheet['prepared']}/images/{manifest['images'][0]['digest']}", headers=etag
    )
    assert (again.status_code, again.content) == (304, b"")


# -- Turns, seal, co-signers ------------------------------------------------------------------------------------------


async def test_two_leaders_sign_in_order_and_the_clerk_last(world: World) -> None:
    document = await world.taken(world.leader, world.second)
    assert code(await world.second.call("POST", f"/api/v1/documents/{document}/sheet")) in {
        "not-your-turn",
        "not-found",
    }
    assert code(await world.clerk.call("POST", f"/api/v1/documents/{document}/sheet")) == "not-your-turn"
    assert (await world.leader.sign(document)).status_code == 200
    await world.open(world.second, document)
    assert code(await world.leader.call("POST", f"/api/v1/documents/{document}/sheet")) == "not-your-turn"
    assert (await world.second.sign(document)).status_code == 200
    await world.stack.until(document, "signed")
    queue = await world.clerk.json("GET", "/api/v1/seal-queue?limit=200")
    assert document in [item["id"] for item in queue["items"]]
    assert (await world.clerk.sign(document)).status_code == 200
    await world.stack.until(document, "sealed", "forwarded", "delivered", "accepted")
    shown = await world.qlvb.json("GET", f"/api/v1/documents/{document}")
    assert [one["kind"] for one in shown["revisions"]] == ["intake", "signature", "signature", "seal", "archive"]
    assert [one["parent"] for one in shown["revisions"][1:]] == [one["digest"] for one in shown["revisions"][:-1]]
    bodies = [
        await world.qlvb.call("GET", f"/api/v1/documents/{document}/files/{which}", expect=200)
        for which in ("original", "signed", "final")
    ]
    assert bodies[1].content.startswith(bodies[0].content)
    assert bodies[2].content.startswith(bodies[1].content)
    assert [hashlib.sha256(body.content).hexdigest() for body in bodies] == [
        shown["revisions"][i]["digest"] for i in (0, 2, 4)
    ]


async def test_no_seal_without_the_personal_signature(world: World) -> None:
    """SIG-7: not before, and not on a chain whose validation fails."""
    document = await world.taken(world.leader)
    assert code(await world.clerk.call("POST", f"/api/v1/documents/{document}/sheet")) == "not-your-turn"
    document = await world.signed(world.leader)
    head = (await world.qlvb.json("GET", f"/api/v1/documents/{document}"))["revision"]
    assert not await world.count("validations", "revision = $1", head)  # nobody judges before somebody asks
    pdf = world.stack.wiring.pdf
    roots, pdf._roots = pdf._roots, ()  # no authority is believed any more
    try:
        answer = await world.clerk.call("POST", f"/api/v1/documents/{document}/sheet")
        assert code(answer) == "personal-signature-missing"
        assert await world.count("validations", "revision = $1 AND verdict = 'not_valid'", head)
    finally:
        pdf._roots = roots
    # A bad verdict is not kept: with its root back the same chain is good.
    await world.clerk.call("POST", f"/api/v1/documents/{document}/sheet", expect=201)
    assert await world.count("validations", "revision = $1 AND verdict = 'valid'", head)


async def test_the_seal_is_applied_at_the_office_alone(world: World) -> None:
    """SIG-8: also when the sheet was opened at the office and the approval comes from elsewhere."""
    document = await world.signed(world.leader)
    credential = (await world.clerk.json("GET", "/api/v1/me/credentials"))[0]["id"]
    home = await world.stack.phone(world.clerk.person)
    digest = await world.stack.vouch(home, VoucherKind.ADD_DEVICE, credential, "Ủy ban nhân dân xã Mẫu", "seal")
    voucher = next(one["voucher"] for one in await home.json("GET", "/api/v1/me/enrolments") if one["digest"] == digest)
    body = await home.activation(credential, Kind.ADD_DEVICE, voucher=voucher)
    await home.call("POST", f"/api/v1/me/enrolments/{digest}/device", expect=204, json=body)
    assert code(await home.call("POST", f"/api/v1/documents/{document}/sheet")) == "office-device-required"
    sheet = await world.clerk.sheet(document)
    assert code(await home.approve(sheet)) == "office-device-required"
    assert await world.stack.state(document) == "signed"
    assert (await world.clerk.approve(sheet)).status_code == 200


async def test_a_second_clerk_seals_after_the_hand_over(world: World) -> None:
    """SIG-8: the present holder's PIN and the newcomer's voucher together."""
    newcomer = await world.stack.person("Bùi Thị Mẫu", Role.CLERK, office=True, position="Văn thư")
    document = await world.signed(world.leader)
    assert code(await newcomer.call("POST", f"/api/v1/documents/{document}/sheet")) == "credential-unavailable"
    credential = (await world.clerk.json("GET", "/api/v1/me/credentials"))[0]["id"]
    digest = await world.stack.vouch(newcomer, VoucherKind.ADD_HOLDER, credential, "Ủy ban nhân dân xã Mẫu", "seal")
    waiting = next(one for one in await newcomer.json("GET", "/api/v1/me/enrolments") if one["digest"] == digest)
    join, sealed = await newcomer.join(waiting, "59163804")
    answer = await newcomer.json(
        "POST", f"/api/v1/me/enrolments/{digest}", expect=201, json={"join": join, "sealed_pin": sealed}
    )
    assert answer["state"] == "waits_for_holder"
    assert code(await newcomer.call("POST", f"/api/v1/credentials/{credential}/challenge")) == "not-found"
    offered = next(one for one in await world.clerk.json("GET", "/api/v1/me/handovers") if one["digest"] == digest)
    body = await world.clerk.activation(credential, Kind.ADD_HOLDER, voucher=offered["voucher"])
    await world.clerk.call("POST", f"/api/v1/me/handovers/{digest}", expect=204, json=body)
    assert not await world.count("vouchers", "digest = $1 AND join_sealed_pin IS NOT NULL", digest)
    assert (await newcomer.sign(document, "59163804")).status_code == 200
    await world.stack.until(document, "sealed", "forwarded", "delivered", "accepted")
    step = (await world.qlvb.json("GET", f"/api/v1/documents/{document}"))["route"][-1]
    assert step["name"] == "Bùi Thị Mẫu"
    # A frozen holder of the seal is stopped here: the signer freezes personal keys only.
    waiting_document = await world.signed(world.leader)
    sheet = await newcomer.sheet(waiting_document)
    signed = await newcomer.approval_for(sheet, pin="59163804")
    await newcomer.call("PUT", "/api/v1/me/key-freeze", expect=204)
    assert code(await approve(newcomer, signed)) == "key-frozen"
    assert code(await newcomer.call("POST", f"/api/v1/documents/{waiting_document}/sheet")) == "key-frozen"
    assert code(await newcomer.call("POST", f"/api/v1/credentials/{credential}/challenge")) == "key-frozen"
    assert (await world.clerk.sign(waiting_document)).status_code == 200


async def test_who_is_a_leader_no_more_signs_no_more(world: World) -> None:
    person = await world.stack.person("Đinh Văn Mẫu", Role.LEADER, Role.CLERK)
    await world.stack.credential(person, "Đinh Văn Mẫu")
    document = await world.taken(person)
    sheet = await person.sheet(document)
    body = await person.approval_for(sheet)
    await world.administrator.call("DELETE", f"/api/v1/people/{person.person}/roles/leader", expect=204)
    assert code(await approve(person, body)) == "not-your-turn"
    assert not await signatures(world, document)


# -- PIN, freeze, devices ---------------------------------------------------------------------------------------------


async def tries(caller: Caller) -> int:
    credential = (await caller.json("GET", "/api/v1/me/credentials"))[0]["id"]
    return int((await caller.json("GET", f"/api/v1/me/credentials/{credential}/tries"))["tries_left"])


async def fresh_leader(world: World, name: str = "Cao Văn Mẫu") -> tuple[Caller, str]:
    leader = await world.stack.person(name, Role.LEADER)
    return leader, await world.stack.credential(leader, name)


async def test_the_ladder_of_wrong_pins_through_the_api(world: World) -> None:
    """A6: three wrong PINs lock for three hours, the right one then does not open either, and nothing is signed."""
    leader, credential = await fresh_leader(world)
    document = await world.taken(leader)
    sheet = await leader.sheet(document)
    for left in (2, 1):
        answer = await leader.approve(sheet, pin="13572468")
        assert (code(answer), answer.json()["tries_left"]) == ("pin-wrong", left)
        assert await world.stack.state(document) == "in_review"
    last = await leader.approve(sheet, pin="13572468")
    assert code(last) == "pin-wrong"
    assert last.json()["tries_left"] == 0
    assert last.json()["locked_until"].endswith("Z")
    locked = await leader.approve(sheet)
    assert code(locked) == "pin-locked"
    assert locked.json()["locked_until"] == last.json()["locked_until"]
    shown = await leader.json("GET", f"/api/v1/me/credentials/{credential}/tries")
    assert shown["tries_left"] == 0 or shown["locked_until"] is not None
    assert not await signatures(world, document)


async def test_a_right_pin_restores_the_tries(world: World) -> None:
    leader, _ = await fresh_leader(world)
    sheet = await leader.sheet(await world.taken(leader))
    assert code(await leader.approve(sheet, pin="13572468")) == "pin-wrong"
    assert (await leader.approve(sheet)).status_code == 200
    assert await tries(leader) == 3


async def test_a_pin_is_changed_and_the_old_one_is_wrong(world: World) -> None:
    leader, credential = await fresh_leader(world)
    weak = await leader.activation(credential, Kind.CHANGE_PIN, new_pin="12345678")
    assert code(await leader.call("POST", "/api/v1/me/pin", json=weak)) == "pin-weak"
    body = await leader.activation(credential, Kind.CHANGE_PIN, new_pin="86420975")
    await leader.call("POST", "/api/v1/me/pin", expect=204, json=body)
    assert code(await leader.call("POST", "/api/v1/me/pin", json=body)) == "approval-used"
    sheet = await leader.sheet(await world.taken(leader))
    assert code(await leader.approve(sheet)) == "pin-wrong"
    assert (await leader.approve(sheet, pin="86420975")).status_code == 200


async def test_a_weak_first_pin_is_refused_and_the_voucher_stays_good(world: World) -> None:
    leader = await world.stack.person("Tạ Văn Mẫu", Role.LEADER)
    await world.stack.vouch(leader, VoucherKind.ENROL, device.new_credential_id(), "Tạ Văn Mẫu")
    with pytest.raises(AssertionError, match="pin-weak"):
        await leader.enrol("11111111")
    assert await leader.enrol()


async def test_freeze_by_the_owner_and_unfreeze_by_an_officer(world: World) -> None:
    leader, credential = await fresh_leader(world)
    document = await world.taken(leader)
    sheet = await leader.sheet(document)
    body = await leader.approval_for(sheet)
    await leader.call("PUT", "/api/v1/me/key-freeze", expect=204)
    assert code(await approve(leader, body)) == "key-frozen"
    assert code(await leader.call("POST", f"/api/v1/credentials/{credential}/challenge")) == "key-frozen"
    assert code(await leader.call("DELETE", f"/api/v1/people/{leader.person}/key-freeze")) == "forbidden"
    await world.duty.call("DELETE", f"/api/v1/people/{leader.person}/key-freeze", expect=204)
    for _ in range(600):
        answer = await leader.approve(sheet)
        if answer.status_code == 200:
            return
        assert code(answer) == "key-frozen"
        await asyncio.sleep(0.1)
    raise AssertionError("never unfrozen at the signer")


async def test_a_revoked_device_signs_nothing_more(world: World) -> None:
    """A1: session, sheet, challenge and approval of the device are void; the second device goes on."""
    leader, credential = await fresh_leader(world)
    second = await world.stack.phone(leader.person)
    digest = await world.stack.vouch(second, VoucherKind.ADD_DEVICE, credential, "Cao Văn Mẫu")
    voucher = next(
        one["voucher"] for one in await second.json("GET", "/api/v1/me/enrolments") if one["digest"] == digest
    )
    document = await world.taken(leader)
    sheet = await leader.sheet(document)
    assert code(await second.approve(sheet)) == "device-not-admitted"
    wrong = await second.activation(credential, Kind.ADD_DEVICE, "13572468", voucher=voucher)
    assert code(await second.call("POST", f"/api/v1/me/enrolments/{digest}/device", json=wrong)) == "pin-wrong"
    body = await second.activation(credential, Kind.ADD_DEVICE, voucher=voucher)
    await second.call("POST", f"/api/v1/me/enrolments/{digest}/device", expect=204, json=body)
    approval = await leader.approval_for(sheet)
    await second.call("POST", f"/api/v1/devices/{leader.device}/revocation", expect=200)
    for answer in await asyncio.gather(*(approve(leader, approval) for _ in range(20))):
        assert code(answer) == "authentication-required"
    relayed = await approve(second, approval)
    assert code(relayed) == "approval-invalid", "an approval of the revoked device through a good session"
    assert (await second.approve(await second.sheet(document))).status_code == 200


async def test_a_device_revoked_while_it_signs(world: World) -> None:
    """A1: whatever the moment, afterwards the document is either signed or waits again; no intent stays open."""
    for round_ in range(6):
        leader, _ = await fresh_leader(world)
        document = await world.taken(leader)
        body = await leader.approval_for(await leader.sheet(document))

        async def revoke(leader: Caller = leader, round_: int = round_) -> Any:
            await asyncio.sleep(round_ * 0.004)
            return await world.duty.call("POST", f"/api/v1/devices/{leader.device}/revocation", expect=200)

        answer, _ = await asyncio.gather(approve(leader, body), revoke())
        assert answer.status_code == 200 or code(answer) in {
            "authentication-required",
            "device-not-admitted",
            "approval-used",
            "proof-invalid",
        }
        state = await world.stack.until(document, "signed", "in_review")
        assert (state == "signed") == bool(await signatures(world, document))
        assert not await world.count("activations", "person = $1 AND state = 'intent'", leader.person)


# -- Recall, return ---------------------------------------------------------------------------------------------------


async def test_a_recall_stops_everything_and_leaves_a_tombstone(world: World) -> None:
    document = await world.taken(world.leader)
    sheet = await world.leader.sheet(document)
    await world.qlvb.call("POST", f"/api/v1/documents/{document}/recall", expect=200, json={"reason": "nhầm số"})
    assert code(await world.leader.approve(sheet)) == "not-your-turn"
    assert code(await world.leader.call("POST", f"/api/v1/documents/{document}/sheet")) == "not-your-turn"
    assert (
        code(await world.qlvb.call("POST", f"/api/v1/documents/{document}/recall", json={"reason": "lại"}))
        == "conflict"
    )
    last = [one for one in await changes(world.leader) if one["document"] == document][-1]
    assert (last["kind"], last["tombstone"]) == ("document.recalled", True)
    notice = (await world.leader.json("GET", "/api/v1/notices"))["items"][0]
    assert (notice["kind"], notice["subject"], notice["number"]) == ("recalled", None, None)


async def test_recall_and_replacement_are_refused_while_the_signature_is_made(world: World) -> None:
    document = await world.taken(world.leader)
    world.stack.pki.switches.tsa = False
    try:
        assert (await world.leader.sign(document)).status_code == 200
        assert await world.stack.state(document) == "signed_pending_timestamp"
        # The route says what the step waits for, and that it is nobody's turn.
        route = (await world.leader.json("GET", f"/api/v1/documents/{document}"))["route"]
        assert [step["state"] for step in route] == ["pending_timestamp", "waiting"]
        assert (
            code(await world.qlvb.call("POST", f"/api/v1/documents/{document}/recall", json={"reason": "x"}))
            == "document-signing"
        )
        assert code(await replace(world, document, pdfs.plain())) == "document-signing"
        assert (
            code(await world.leader.call("POST", f"/api/v1/documents/{document}/return", json={"reason": "x"}))
            == "document-signing"
        )
        assert code(await world.qlvb.call("GET", f"/api/v1/documents/{document}/files/signed")) == "file-pending"
    finally:
        world.stack.pki.switches.tsa = True
    await world.execute("UPDATE jobs SET due_us = 0 WHERE kind = 'approvals.stamp' AND state = 'waiting'")
    await world.stack.until(document, "signed")


async def test_a_return_names_its_reason_to_the_drafter(world: World) -> None:
    document = await world.taken(world.leader)
    path = f"/api/v1/documents/{document}/return"
    assert code(await world.second.call("POST", path, json={"reason": "x"})) in {"not-found", "not-your-turn"}
    assert code(await world.leader.call("POST", path, json={"reason": "\u202e"})) == "invalid-request"
    await world.leader.call("POST", path, expect=200, json={"reason": "sai thẩm quyền"})
    assert await world.stack.state(document) == "returned"
    assert code(await world.leader.call("POST", path, json={"reason": "x"})) == "not-your-turn"


# -- D5: time stamps --------------------------------------------------------------------------------------------------


async def test_signing_goes_on_without_time_stamps_until_the_limit(world: World) -> None:
    waiting = [await world.taken(world.leader) for _ in range(3)]
    world.stack.pki.switches.tsa = False
    try:
        assert (await world.leader.sign(waiting[0])).status_code == 200
        assert (await world.leader.sign(waiting[1])).status_code == 200, "signing goes on"
        sheet = await world.leader.sheet(waiting[2])
        long_ago = time.time_ns() // 1000 - world.stack.settings.signing.unstamped_limit_s * 1_000_000 - 1_000_000
        await world.execute("UPDATE activation_items SET signed_us = $2 WHERE document = $1", waiting[0], long_ago)
        stopped = await world.leader.call("POST", f"/api/v1/documents/{waiting[2]}/sheet")
        assert (stopped.status_code, code(stopped), stopped.headers["retry-after"].isdigit()) == (
            503,
            "time-stamps-overdue",
            True,
        )
        assert code(await world.leader.approve(sheet)) == "time-stamps-overdue", (
            "a sheet that was open before the limit"
        )
        assert await world.stack.state(waiting[2]) == "in_review"
    finally:
        world.stack.pki.switches.tsa = True
    await world.execute("UPDATE jobs SET due_us = 0 WHERE kind = 'approvals.stamp' AND state = 'waiting'")
    for document in waiting[:2]:
        await world.stack.until(document, "signed")
    assert not await world.count("activation_items", "cms IS NOT NULL AND stamped_us IS NULL")
    assert (await world.leader.approve(sheet)).status_code == 200


async def test_several_at_once_are_all_signed_once(world: World) -> None:
    """Thirty approvals by one holder at once: the signer is busy for some; afterwards each document is signed once or waits."""
    documents = [await world.taken(world.leader) for _ in range(8)]
    sheets = [await world.leader.sheet(document) for document in documents]
    answers = await asyncio.gather(*(world.leader.approve(sheet) for sheet in sheets))
    for document, answer in zip(documents, answers, strict=True):
        if answer.status_code == 200:
            await world.stack.until(document, "signed")
            assert len(await signatures(world, document)) == 1
        else:
            assert (answer.status_code, code(answer), answer.json()["retry"]) == (409, "signer-busy", False)
            assert await world.stack.state(document) == "in_review"
            assert not await signatures(world, document)
    # What was busy has spent its approvals and nothing else: no try, no prepared revision.
    for sheet, answer in zip(sheets, answers, strict=True):
        if answer.status_code != 200:
            assert (await world.leader.approve(sheet)).status_code == 200


# -- Certificates -----------------------------------------------------------------------------------------------------


async def test_a_certificate_of_another_key_is_refused(world: World) -> None:
    """A3: nothing but the credential's own certificate, by an officer of its own organisation."""
    held = (await world.leader.json("GET", "/api/v1/me/credentials"))[0]
    other = (await world.second.json("GET", "/api/v1/me/credentials"))[0]
    for certificate, chain in (
        (other["certificate"], []),
        (b64u(os.urandom(300)), []),
        (held["certificate"], [other["certificate"]]),
    ):
        answer = await world.officer.call(
            "POST", f"/api/v1/credentials/{held['id']}/certificate", json={"certificate": certificate, "chain": chain}
        )
        assert code(answer) == "certificate-invalid", answer.text
    assert (await world.leader.json("GET", "/api/v1/me/credentials"))[0]["certificate"] == held["certificate"]


async def test_without_a_valid_certificate_no_sheet_opens(world: World) -> None:
    leader = await world.stack.person("Lý Văn Mẫu", Role.LEADER)
    document = await world.taken(leader)
    assert code(await leader.call("POST", f"/api/v1/documents/{document}/sheet")) == "credential-unavailable"
    await world.stack.vouch(leader, VoucherKind.ENROL, device.new_credential_id(), "Lý Văn Mẫu")
    await leader.enrol()
    assert code(await leader.call("POST", f"/api/v1/documents/{document}/sheet")) == "credential-unavailable"


async def test_vouchers_of_strangers_make_nothing(world: World) -> None:
    """A3: the server may carry what it likes; the signer believes its configured officer alone."""
    person = await world.stack.person("Hà Văn Mẫu", Role.LEADER)
    honest, world.stack.officer_key = world.stack.officer_key, device.new_key()
    try:
        digest = await world.stack.vouch(person, VoucherKind.ENROL, device.new_credential_id(), "Hà Văn Mẫu")
    finally:
        world.stack.officer_key = honest
    waiting = next(one for one in await person.json("GET", "/api/v1/me/enrolments") if one["digest"] == digest)
    join, sealed = await person.join(waiting, PIN)
    answer = await person.call("POST", f"/api/v1/me/enrolments/{digest}", json={"join": join, "sealed_pin": sealed})
    assert code(answer) == "voucher-invalid"
    for voucher in ("a" * 120, "a.b." + "c" * 120):
        assert (
            code(await world.officer.call("POST", "/api/v1/vouchers", json={"voucher": voucher})) == "voucher-invalid"
        )
    foreign = await world.stack.person("Khác", Role.LEADER, organisation=world.foreign_organisation)
    with pytest.raises(AssertionError, match="voucher-invalid"):
        await world.stack.vouch(foreign, VoucherKind.ENROL, device.new_credential_id(), "Khác")


async def changes(caller: Caller) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    path = "/api/v1/changes?limit=200"
    while True:
        page = await caller.json("GET", path)
        found.extend(page["items"])
        if len(page["items"]) < 200:
            return found
        path = f"/api/v1/changes?limit=200&cursor={page['next']}"
