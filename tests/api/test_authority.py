"""Authority to sign in another's place: who may give it, that it is asked in the moment of signing, that it is in the receipt (AUT-1 to AUT-8)."""

import asyncio
import base64
import hashlib
import json
import os
import subprocess
import unicodedata
from typing import Any

import pytest

from tests.api.conftest import World, code
from tests.api.grants import Form, admitted, deputy, give, granted, signed
from tests.fakes.stack import Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROUNDS = int(os.environ.get("ROUNDS") or 6)


async def under(world: World, grant: dict[str, Any], signer: Caller, **metadata: Any) -> str:
    """A document whose one signer signs under the grant."""
    return await world.taken(signer, signers=[{"person": signer.person, "grant": grant["id"]}], **metadata)


async def made(world: World, document: str) -> int:
    return await world.count("activation_items", "document = $1", document)


async def revoke(caller: Caller, grant: dict[str, Any], *, expect: int = 204) -> Any:
    return await caller.call("POST", f"/api/v1/grants/{grant['id']}/revocation", expect=expect)


def reason(answer: Any) -> tuple[str, str]:
    return code(answer), json.loads(answer.content).get("reason", "")


# -- AUT-6: in the route, on the page, in the log and in the receipt ------------------------------------------------------


async def test_a_deputy_signs_under_a_grant_and_the_receipt_names_it(world: World) -> None:
    text = signed(world.leader, world.second)
    given = (await world.leader.call("POST", "/api/v1/grants", expect=201, json={"grant": text})).json()
    assert given["authority"] == "KT. CHỦ TỊCH"
    assert given["digest"] == hashlib.sha256(text.encode()).hexdigest()
    document = await under(world, given, world.second)
    shown = await world.second.json("GET", f"/api/v1/documents/{document}")
    assert [step["authority"] for step in shown["route"]] == ["KT. CHỦ TỊCH", ""]
    assert (await world.second.sign(document)).status_code == 200
    await world.stack.until(document, "signed")
    events = await world.rows("SELECT kind, body FROM audit_events WHERE subject = $1", document)
    named = {row["kind"]: json.loads(row["body"]).get("authority_grant") for row in events}
    assert named["signature.intended"] == named["document.signed"] == given["digest"]
    receipt = (await world.second.json("GET", f"/api/v1/documents/{document}/receipts"))[0]["id"]
    path = f"/api/v1/documents/{document}/receipts/{receipt}"
    async with asyncio.timeout(60):  # until the log has its next head
        while (answer := await world.second.call("GET", path)).status_code != 200:
            assert code(answer) == "file-pending"
            await asyncio.sleep(0.05)
    leaf = json.loads(base64.urlsafe_b64decode(answer.json()["leaf"] + "=="))
    assert leaf["body"]["authority_grant"] == given["digest"]
    assert leaf["body"]["authority"] == "KT"
    kept = await world.leader.json("GET", f"/api/v1/grants/{given['id']}")
    assert kept["signed"] == text
    assert kept["used_at"] is not None


async def test_who_sees_and_who_ends_a_grant(world: World) -> None:
    given = await granted(world.leader, world.second)
    for caller in (world.leader, world.second, world.administrator, world.qlvb):
        page = await caller.json("GET", "/api/v1/grants")
        assert given["id"] in [one["id"] for one in page["items"]]
    first = await world.qlvb.json("GET", "/api/v1/grants?limit=1")
    second = await world.qlvb.json("GET", f"/api/v1/grants?limit=1&cursor={first['next']}")
    assert first["items"][0]["id"] > second["items"][0]["id"]
    assert (
        code(await revoke(world.second, given, expect=404)) == "not-found"
    )  # the holder cannot end what he did not give
    await revoke(world.administrator, given)
    await revoke(world.leader, given)  # ended already: nothing is changed
    seen = await world.leader.json("GET", f"/api/v1/grants/{given['id']}")
    assert seen["state"] == "revoked"
    events = await world.rows(
        "SELECT actor FROM audit_events WHERE subject = $1 AND kind = 'authority.revoked'", given["id"]
    )
    assert [row["actor"] for row in events] == [world.administrator.person]
    again = await world.leader.call("POST", "/api/v1/grants", json={"grant": seen["signed"]})
    assert code(again) == "conflict"  # nothing un-revokes


# -- AUT-6: asked in the moment of signing ------------------------------------------------------------------------------


async def test_what_was_revoked_after_the_sheet_signs_nothing(world: World) -> None:
    given = await granted(world.leader, world.second)
    document = await under(world, given, world.second)
    body = await world.second.approval_for(await world.second.sheet(document))
    await revoke(world.leader, given)
    answer = await world.second.call("POST", "/api/v1/approvals", json=body)
    assert reason(answer) == ("authority-missing", "revoked")
    assert not await made(world, document)
    assert await world.stack.state(document) == "in_review"
    assert reason(await world.second.call("POST", f"/api/v1/documents/{document}/sheet"))[1] == "revoked"
    named = await world.stack.take_in(b"%PDF-", [], signers=[{"person": world.second.person, "grant": given["id"]}])
    assert reason(named) == ("authority-missing", "revoked")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("not_after_us = 1", "ended"),
        ("not_before_us = 9000000000000000", "not-yet"),
        ("types = '[\"Công văn\"]'", "type"),
        ("urgency = 0", "urgency"),
    ],
)
async def test_out_of_time_or_scope_signs_nothing(world: World, change: str, why: str) -> None:
    given = await granted(world.leader, world.second, types=("QUYẾT ĐỊNH",), urgency=1)
    document = await under(world, given, world.second)
    body = await world.second.approval_for(await world.second.sheet(document))
    await world.execute(f"UPDATE authority_grants SET {change} WHERE id = $1", given["id"])
    assert reason(await world.second.call("POST", "/api/v1/approvals", json=body)) == ("authority-missing", why)
    assert not await made(world, document)


async def test_a_grant_ends_with_the_phone_and_with_the_office_of_its_grantor(world: World) -> None:
    phone = await admitted(world, await world.stack.phone(world.leader.person))
    given = await granted(phone, world.second)
    document = await under(world, given, world.second)
    await world.leader.call("POST", f"/api/v1/devices/{phone.device}/revocation", expect=200)
    assert reason(await world.second.call("POST", f"/api/v1/documents/{document}/sheet"))[1] == "key-revoked"
    head = await admitted(world, await deputy(world, "Đinh Văn Mẫu", "CHỦ TỊCH"))
    other = await granted(head, world.second)
    document = await under(world, other, world.second)
    await world.execute("DELETE FROM roles WHERE person = $1", head.person)
    assert reason(await world.second.call("POST", f"/api/v1/documents/{document}/sheet"))[1] == "grantor-left"


async def test_revoking_against_signing(world: World) -> None:
    """Whatever the moment: one signature and its event before the revocation's, or none; and none after its answer."""
    for round_ in range(ROUNDS):
        given = await granted(world.leader, world.second)
        documents = [await under(world, given, world.second) for _ in range(2)]
        bodies = [await world.second.approval_for(await world.second.sheet(document)) for document in documents]

        async def later(given: dict[str, Any] = given, round_: int = round_) -> None:
            await asyncio.sleep(round_ % 6 * 0.004)
            await revoke(world.leader, given)

        answer, _ = await asyncio.gather(world.second.call("POST", "/api/v1/approvals", json=bodies[0]), later())
        if answer.status_code == 200:
            assert await made(world, documents[0]) == 1
        else:
            assert reason(answer) == ("authority-missing", "revoked")
            assert not await made(world, documents[0])
        last = await world.second.call("POST", "/api/v1/approvals", json=bodies[1])
        assert reason(last) == ("authority-missing", "revoked")
        assert not await made(world, documents[1])


# -- AUT-1 to AUT-5: who may give what to whom ---------------------------------------------------------------------------


async def test_what_is_no_grant_is_refused(world: World) -> None:
    chief = await deputy(world, "Cao Thị Mẫu", "CHÁNH VĂN PHÒNG")
    leader, second = world.leader, world.second
    for why, grantor, holder, changes in (
        ("to-oneself", leader, leader, {}),
        ("holder", leader, world.foreign_leader, {}),
        ("holder", leader, world.staff, {}),
        ("grantor", leader, second, {"grantor": second.person}),
        ("grantor", leader, second, {"organisation": "X02"}),
        ("grantor-position", second, await deputy(world), {"line": "PHÓ CHỦ TỊCH"}),
        ("holder-position", leader, chief, {}),
        ("holder-position", leader, second, {"form": Form.TL, "types": ("Công văn",)}),
        ("holder-position", leader, second, {"form": Form.TUQ, "types": ("Công văn",)}),
        ("types", leader, chief, {"form": Form.TL}),
        ("types", leader, chief, {"form": Form.TUQ}),
        ("line", leader, second, {"line": "BỘ TRƯỞNG"}),
        ("text", leader, second, {"paper": "Quyết định \u202e12"}),
        ("time", leader, second, {"not_after": 1}),
        ("time", leader, second, {"not_before": 0}),
        ("parent", leader, second, {"parent": "0" * 64}),
    ):
        assert reason(await give(grantor, holder, **changes)) == ("grant-invalid", why), changes
    forged = signed(leader, second)
    middle = forged[:-8] + ("A" * 8 if not forged.endswith("A" * 8) else "B" * 8)
    for text in (middle[:-1] + "A", "a" * 200, forged.replace(".", ". ", 1)):
        assert code(await leader.call("POST", "/api/v1/grants", json={"grant": text})) == "grant-invalid"
    other = await world.stack.phone(leader.person)
    assert code(await give(other, second)) == "device-not-admitted"
    await admitted(world, other)
    answer = await other.call("POST", "/api/v1/grants", json={"grant": forged})
    assert reason(answer) == ("grant-invalid", "signature")


async def test_a_tl_goes_on_to_a_deputy_and_a_tuq_goes_nowhere(world: World) -> None:
    chief = await admitted(world, await deputy(world, "Cao Văn Mẫu", "CHÁNH VĂN PHÒNG"))
    types = ("Quyết định",)
    for form in (Form.TUQ, Form.TL):
        given = await granted(world.leader, chief, form=form, types=types)
        assert given["authority"] == f"{form}. CHỦ TỊCH"
        passed = await give(chief, world.second, line="CHÁNH VĂN PHÒNG", parent=given["digest"])
        if form is Form.TUQ:
            assert reason(passed) == ("grant-invalid", "not-delegable")
            continue
        assert passed.json()["authority"] == "TL. CHỦ TỊCH\nKT. CHÁNH VĂN PHÒNG"
        again = await give(world.leader, world.second, parent=given["digest"])
        assert reason(again) == ("grant-invalid", "not-delegable")  # not its holder
        document = await under(world, passed.json(), world.second)
        assert (await world.second.sign(document)).status_code == 200
        outside = await under(world, passed.json(), world.second, type_name="Công văn")
        assert reason(await world.second.call("POST", f"/api/v1/documents/{outside}/sheet"))[1] == "type"
        later = await under(world, passed.json(), world.second)
        await revoke(world.leader, given)  # what rests on it falls with it
        assert reason(await world.second.call("POST", f"/api/v1/documents/{later}/sheet"))[1] == "revoked"


async def test_tm_stands_over_kt_and_q_stands_for_the_position(world: World) -> None:
    collective = await granted(world.leader, world.second, form=Form.TM, line="ỦY BAN NHÂN DÂN")
    assert collective["authority"] == "TM. ỦY BAN NHÂN DÂN\nKT. CHỦ TỊCH"
    acting = await granted(world.leader, world.second, form=Form.Q, line="CỤC TRƯỞNG")
    assert acting["authority"] == "Q. CỤC TRƯỞNG"
    for given in (collective, acting):
        document = await under(world, given, world.second)
        assert (await world.second.sign(document)).status_code == 200
        await world.stack.until(document, "signed")
        file = await world.second.call("GET", f"/api/v1/documents/{document}/files/signed", expect=200)
        page = subprocess.run(["pdftotext", "-", "-"], input=file.content, capture_output=True, check=True)  # noqa: ASYNC221 - one page
        lines = unicodedata.normalize("NFC", page.stdout.decode()).splitlines()
        wanted = given["authority"].splitlines() + ([] if given is acting else ["PHÓ CHỦ TỊCH"])
        at = lines.index(wanted[0])
        assert [line for line in lines[at:] if line][: len(wanted)] == wanted
        assert given is collective or "PHÓ CHỦ TỊCH" not in lines


async def test_a_route_names_a_grant_or_writes_a_line(world: World) -> None:
    given = await granted(world.leader, world.second)
    for step, why in (
        ({"person": world.second.person, "grant": given["id"], "authority": "KT. CHỦ TỊCH"}, "route-invalid"),
        ({"person": world.leader.person, "grant": given["id"]}, "authority-missing"),
        ({"person": world.second.person, "grant": "0" * 32}, "authority-missing"),
    ):
        assert code(await world.stack.take_in(b"%PDF-", [], signers=[step])) == why
    documents = world.stack.wiring.documents
    documents._free_authority = False
    try:
        for signer, line, fine in (
            (world.second, "", True),
            (world.second, "KT. CHỦ TỊCH", False),
            (world.second, "TM. ỦY BAN NHÂN DÂN", False),
            (world.leader, "TM. ỦY BAN NHÂN DÂN", True),
            (world.leader, "TUQ. GIÁM ĐỐC", False),
        ):
            answer = await world.stack.take_in(b"%PDF-", [], signers=[{"person": signer.person, "authority": line}])
            assert (code(answer) != "authority-required") == fine, (line, answer.text)
    finally:
        documents._free_authority = True


# -- The step handed to a deputy (PIN locked, on leave) ------------------------------------------------------------------


async def hand(caller: Caller, document: str, grant: dict[str, Any]) -> Any:
    return await caller.call("POST", f"/api/v1/documents/{document}/hand-over", json={"grant": grant["id"]})


@pytest.mark.parametrize("by", ["system", "leader"])
async def test_a_waiting_step_goes_to_a_deputy_who_has_a_grant(world: World, by: str) -> None:
    given = await granted(world.leader, world.second)
    document = await world.taken(world.leader)
    stale = await world.leader.approval_for(await world.leader.sheet(document))
    answer = await hand(world.qlvb if by == "system" else world.leader, document, given)
    assert answer.json() == {"state": "in_review"}
    assert code(await world.leader.call("POST", "/api/v1/approvals", json=stale)) == "not-your-turn"
    # NOT-4: who hands it over, or is on leave, is asked no more, and nobody above him is told that he does not answer.
    asked = await world.rows(
        "SELECT person, state FROM notices WHERE document = $1 AND kind = 'to_sign' ORDER BY created_us", document
    )
    assert [(row["person"], row["state"]) for row in asked] == [
        (world.leader.person, "settled"),
        (world.second.person, "open"),
    ]
    waiting = [
        one["id"] for one in (await world.second.json("GET", "/api/v1/inbox?limit=200"))["items"] if one["waiting"]
    ]
    assert document in waiting
    told = [one for one in (await world.leader.json("GET", "/api/v1/notices"))["items"] if one["document"] == document]
    assert [(one["kind"], one["state"]) for one in told] == [("to_sign", "settled")]
    shown = await world.leader.json("GET", f"/api/v1/documents/{document}")
    step = shown["route"][0]
    assert (step["person"], step["authority"]) == (world.second.person, "KT. CHỦ TỊCH")
    assert (await world.second.sign(document)).status_code == 200
    await world.stack.until(document, "signed")
    assert code(await hand(world.qlvb, document, given)) == "not-your-turn"


async def test_a_step_is_not_handed_where_the_grant_does_not_reach(world: World) -> None:
    chief = await admitted(world, await deputy(world, "Lý Thị Mẫu", "TRƯỞNG PHÒNG"))
    given = await granted(world.leader, world.second)
    document = await world.taken(world.leader)
    other = await world.taken(world.second)
    assert reason(await hand(world.qlvb, other, given)) == ("authority-missing", "re-delegated")
    assert code(await hand(world.second, document, given)) == "not-found"
    ended = await granted(world.leader, world.second)
    await revoke(world.leader, ended)
    assert reason(await hand(world.qlvb, document, ended)) == ("authority-missing", "revoked")
    assert reason(await hand(world.qlvb, document, {"id": "0" * 32})) == ("authority-missing", "unknown")
    narrow = await granted(world.leader, world.second, types=("Công văn",))
    assert reason(await hand(world.qlvb, document, narrow)) == ("authority-missing", "type")
    both = await world.taken(world.leader, world.second)
    assert code(await hand(world.qlvb, both, given)) == "route-invalid"
    # AUT-3: what was given as TUQ. goes no further, whether the route names the grant or writes the line.
    special = await granted(world.leader, chief, form=Form.TUQ, types=("Quyết định",))
    own = await granted(chief, world.second, line="TRƯỞNG PHÒNG")
    step = {"person": chief.person}
    for signer in ({**step, "grant": special["id"]}, {**step, "authority": "TUQ. CHỦ TỊCH"}):
        held = await world.taken(chief, signers=[signer])
        assert reason(await hand(world.qlvb, held, own)) == ("authority-missing", "re-delegated")
    assert await made(world, document) == 0


async def test_handing_over_against_signing(world: World) -> None:
    given = await granted(world.leader, world.second)
    for round_ in range(ROUNDS):
        document = await world.taken(world.leader)
        body = await world.leader.approval_for(await world.leader.sheet(document))

        async def later(document: str = document, round_: int = round_) -> Any:
            await asyncio.sleep(round_ % 6 * 0.004)
            return await hand(world.qlvb, document, given)

        signed_, handed = await asyncio.gather(world.leader.call("POST", "/api/v1/approvals", json=body), later())
        assert sorted((signed_.status_code == 200, handed.status_code == 200)) == [False, True]
        assert await made(world, document) == (signed_.status_code == 200)
