"""C1, C2: every operation of the OpenAPI description against everybody who may not call it, with real ids of others.

`MATRIX` says for each operation with whose ids it is attacked. An operation without a row fails, so a new route cannot be
forgotten. A foreign thing and one that never was are answered alike.

Longer than most: half of it is that table.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from server.app import schema_document
from tests.api.conftest import World, code
from tests.api.grants import deputy, granted
from tests.fakes import pdfs
from tests.fakes.arrivals import arrived, until_judged
from tests.fakes.live import first_answer
from tests.fakes.stack import Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCUMENT: dict[str, Any] = json.loads(schema_document())
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}

# What stands in for each path parameter: the other organisation's real thing, and one that never was.
UNKNOWN = {
    "document": "0" * 32, "prepared": "0" * 32, "receipt": "0" * 32, "webhook": "0" * 32, "person": "0" * 32, "device": "0" * 32, "client": "0" * 32, "grant": "0" * 32,
    "meeting": "0" * 32, "paper": "0" * 32, "dossier": "0" * 32, "announcement": "0" * 32,
    "arrival": "0" * 32, "notice": "A" * 22, "credential": "A" * 22, "digest": "0" * 64, "revision": "0" * 64,
    "challenge": "A" * 43, "directive": "0" * 32,
}  # fmt: skip
FIXED = {
    "page": "1",
    "position": "1",
    "which": "original",
    "role": "leader",
    "code": "conflict",
    "unit": "dia-chinh",
    "chart": "issued",
}

JWS = "a" * 120
SEALED = "A" * 200
MEETING: dict[str, Any] = {
    "title": "x", "place": "x", "starts_at": f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%dT08:00:00Z}",
    "ends_at": f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%dT09:00:00Z}", "chair": "0" * 32, "attendees": [],
}  # fmt: skip
ORDER: dict[str, Any] = {"text": "x", "lead": "0" * 32}
BODIES: dict[str, Any] = {
    "redeemPairing": {
        "code": "A" * 32, "label": "x", "platform": "web", "session_jwk": {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
        "approval_jwk": {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
    },
    "resumeSession": {"statement": "a.b.c"},
    "issueToken": {"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"},
    "putFcmAddress": {"registration_token": "sample-token-of-nobody-here"},
    "putWebPushAddress": {"endpoint": "https://fcm.googleapis.com/x", "keys": {"p256dh": "B" * 87, "auth": "A" * 22}},
    "activateWebPushAddress": {"challenge": "A" * 22},
    "createPerson": {"name": "Người mẫu"},
    "createPairingCode": {"office": False},
    "createClient": {"name": "x", "scopes": ["documents:read"]},
    "reportOpenings": {"pages": [{"page": 1, "image": "0" * 64}]},
    "returnDocument": {"reason": "x"},
    "recallDocument": {"reason": "x"},
    "approve": {"approval": JWS, "sealed_pin": SEALED},
    "carryVoucher": {"voucher": JWS},
    "enrol": {"join": JWS, "sealed_pin": SEALED},
    "addDevice": {"approval": JWS, "sealed_pin": SEALED},
    "handOver": {"approval": JWS, "sealed_pin": SEALED},
    "changePin": {"approval": JWS, "sealed_pin": SEALED},
    "importCertificate": {"certificate": "A" * 200},
    "reportReceipts": {"reports": [{"notice": "A" * 22, "event": "shown", "at": "2026-11-22T01:02:03Z"}]},
    "registerWebhook": {"url": "http://127.0.0.1:9/x", "events": ["document.signed"]},
    "giveAuthority": {"grant": JWS},
    "handOverStep": {"grant": "0" * 32},
    "setNoticeSettings": {"phone": "+84900000000"},
    "setAbsence": {"kind": "leave", "from": "2026-11-22T00:00:00Z", "to": "2026-11-23T00:00:00Z", "deputy": "0" * 32},
    "setNoticeRules": {},
    "registerArrival": {"despite": "x"},
    "returnArrival": {"reason": "x"},
    "answerArrival": {"agree": True},
    "numberArrival": {"number": "1"},
    "giveDirective": ORDER | {"arrival": "0" * 32},
    "changeDirective": ORDER | {"sequence": 0},
    "withdrawDirective": {"sequence": 0, "reason": "x"},
    "reportDirective": {"sequence": 0, "state": "completed"},
    "linkDirectiveDocument": {"document": "0" * 32},
    "changeReceivers": {"add": [{"organ_id": "X09", "name": "x"}]},
    "reportPurges": {"documents": ["0" * 32]},
    "conveneMeeting": MEETING,
    "changeMeeting": MEETING | {"sequence": 0},
    "cancelMeeting": {"sequence": 0, "reason": "x"},
    "answerMeeting": {"sequence": 0, "answer": "attend"},
    "checkIn": {"people": ["0" * 32]},
    "announce": {"people": ["0" * 32], "headline": "x"},
    "retryDeadLetters": {},
    "putUnit": {"name": "x", "responsible": ["0" * 32]},
    "openDossier": {"reference": "x", "step": "received", "unit": "dia-chinh"},
    "advanceDossier": {"sequence": 0, "step": "processing", "unit": "dia-chinh"},
}  # fmt: skip
QUERIES = {"findAgencies": {"query": "BIMAT"}, "findGuests": {"query": "BIMAT"}}
MULTIPART = {"putPaper", "takeInDocument", "replaceDocument", "validateFile", "putSignatureImage", "putSealImage"}

# Operations by what their ids are: those of the calling device or person alone, of an organisation, of nobody.
PUBLIC = {
    "fetchCalendar",
    "livez",
    "readyz",
    "metrics",
    "readProblem",
    "readLogHead",
    "redeemPairing",
    "resumeSession",
    "issueToken",
}
OWN = {
    "openCalendar", "readCalendar", "endCalendar", "reportPurges",
    "listEscalations", "readNoticeSettings", "setNoticeSettings", "setAbsence", "endAbsence", "readNoticeRules", "setNoticeRules",
    "endSession", "getMe", "listMyDevices", "putFcmAddress", "putWebPushAddress", "getWebPushAddress", "activateWebPushAddress", "deleteFcmAddress",
    "deleteWebPushAddress", "freezeMyKey", "listEnrolments", "readSealingKey",
    "listHandovers", "listMyCredentials", "createMyPairingCode", "changePin", "listNotices", "followLive", "reportReceipts", "approve", "putSignatureImage", "deleteSignatureImage",
}  # fmt: skip
LISTS = {
    "readOverview",
    "announce", "putUnit", "listUnits", "openDossier", "readReport", "exportReport", "drawChart",
    "listArrivals", "giveDirective", "listDirectives", "listDirectiveUnits",
    "conveneMeeting", "listMeetings", "findGuests",
    "giveAuthority", "listAuthority",
    "listAwaitingDevices", "listPeople", "listClients", "listDocuments", "readInbox", "readChanges", "readSealQueue", "listPendingCredentials", "listCredentials", "listWebhooks",
    "createPerson", "createClient", "registerWebhook", "takeInDocument", "carryVoucher", "validateFile", "findAgencies", "putSealImage", "deleteSealImage",
}  # fmt: skip
OBJECTS = {
    "readAnnouncement", "withdrawAnnouncement", "listDeadLetters", "retryDeadLetters", "advanceDossier", "relinkDossier", "readDossier",
    "readApproval",
    "readArrival", "fetchArrivalFile", "readArrivalValidation", "readArrivalManifest", "fetchArrivalPage", "registerArrival", "returnArrival",
    "answerArrival", "numberArrival", "changeReceivers",
    "readDirective", "changeDirective", "withdrawDirective", "reportDirective", "linkDirectiveDocument", "fetchDirectiveFile", "readDirectiveManifest",
    "fetchDirectivePage",
    "readMeeting", "changeMeeting", "cancelMeeting", "answerMeeting", "checkIn", "fetchInvitation", "exportAttendance", "putPaper", "readPaperManifest",
    "fetchPaperPage", "fetchPaper",
    "readAuthority", "revokeAuthority", "handOverStep",
    "listDevicesOfPerson", "revokeDevice", "freezeKey", "unfreezeKey", "getPerson", "endPerson", "grantRole", "withdrawRole", "createPairingCode",
    "revokeClient", "replaceDocument", "readDocument", "fetchFile", "returnDocument", "recallDocument", "openSheet", "readPreparedManifest",
    "fetchPreparedImage", "askChallenge", "readManifest", "fetchPage", "reportOpenings", "enrol", "addDevice", "handOver", "readTries", "importCertificate", "fetchNotice",
    "acknowledgeNotice", "whoWasTold", "endWebhook", "listReceipts", "readReceipt", "readDeliveries", "exportRecord", "exportArrivalRecord",
}  # fmt: skip
# Reads of one's own organisation that every member has by his role; `same organisation, other person` may see these.
MEMBERS = {"getPerson", "listPeople", "listDevicesOfPerson"}


async def test_every_operation_has_a_row() -> None:
    rows = [PUBLIC, OWN, LISTS, OBJECTS]
    assert set(OPERATIONS) == set().union(*rows), "a route without a row in the matrix, or a row without a route"
    assert sum(map(len, rows)) == len(OPERATIONS)


class Target(msgspec.Struct):
    """Real ids of X01, and words that no stranger may ever read."""

    ids: dict[str, str]
    secrets: list[str]
    callers: dict[str, Caller]


@pytest.fixture(scope="session")
def prepared_target() -> dict[str, Target]:
    return {}


async def target(world: World, kept: dict[str, Target]) -> Target:
    if "it" in kept:
        return kept["it"]
    subject = "Về việc BIMAT-7719 phân công"
    document = await world.signed(world.leader, subject=subject, notation="QĐ-BIMAT")
    page = pdfs.Pdf()
    page.page(pdfs.lines(("Chi co o day", "BIMAT 7719")))
    waiting = await world.taken(world.leader, pdf=page.classic(), subject=subject, notation="QĐ-BIMAT")
    sheet = await world.leader.sheet(waiting)
    manifest = json.loads((await world.leader.call("GET", f"/api/v1/prepared/{sheet['prepared']}/manifest")).content)
    held = await world.leader.json("GET", "/api/v1/me/credentials")
    notice = (await world.leader.json("GET", "/api/v1/notices"))["items"][0]["id"]
    receipt = (await world.leader.json("GET", f"/api/v1/documents/{document}/receipts"))[0]["id"]
    hook = await world.qlvb.json(
        "POST",
        "/api/v1/webhooks",
        expect=201,
        json={"url": "http://127.0.0.1:9/bimat-hook", "events": ["document.signed"]},
    )
    client = (await world.administrator.json("GET", "/api/v1/clients"))[0]["client_id"]
    voucher = (await world.rows("SELECT digest FROM vouchers WHERE person = $1", world.leader.person))[0]["digest"]
    used = (await world.rows("SELECT challenge FROM activation_items WHERE document = $1", document))[0]["challenge"]
    ids = {
        "challenge": used,
        "arrival": await arrived(world.stack, page.classic(), subject=subject),
        "document": waiting, "revision": sheet["parent"], "prepared": sheet["prepared"], "digest": voucher, "image": manifest["images"][0]["digest"],
        "credential": held[0]["id"], "notice": notice, "receipt": receipt, "signed": document, "webhook": hook["id"], "person": world.leader.person,
        "device": world.leader.device, "client": client, "grant": (await granted(world.leader, await deputy(world), paper="BIMAT 7719"))["id"],
    }  # fmt: skip
    onestop = await world.stack.service("Một cửa mẫu", "onestop:write", "notices:write")
    announced = {"people": [world.leader.person], "headline": "BIMAT 7719"}
    ids["announcement"] = (await onestop.json("POST", "/api/v1/announcements", expect=201, json=announced))["id"]
    ids |= await a_meeting(world) | await a_dossier(world, onestop)
    ids["directive"] = await a_directive(world, page.classic(), subject)
    revoked = await world.stack.phone(world.leader.person)
    await world.leader.call("POST", f"/api/v1/devices/{revoked.device}/revocation", expect=200)
    anonymous = Caller(world.stack.http)
    narrow = await world.stack.service("chỉ đọc danh bạ", "notices:write")
    kept["it"] = Target(
        ids,
        ["BIMAT", "Nguyễn Văn Mẫu", sheet["parent"], sheet["tbs"], "bimat-hook"],
        {
            "other organisation": world.foreign_leader,
            "other administrator": world.foreign_administrator,
            "other service": world.foreign_qlvb,
            "same organisation": world.staff,
            "second leader": world.second,
            "administrator": world.administrator,
            "revoked": revoked,
            "anonymous": anonymous,
            "wrong scope": narrow,
            "one-stop system": onestop,
        },
    )
    return kept["it"]


async def a_directive(world: World, pdf: bytes, subject: str) -> str:
    """The leader's to the clerk, on an arrival of its own."""
    arrival = await arrived(world.stack, pdf, subject=subject)
    await until_judged(world.clerk, arrival)
    await world.clerk.call("POST", f"/api/v1/arrivals/{arrival}/register", expect=200, json={"despite": "BIMAT 7719"})
    body = {"arrival": arrival, "text": "Chỉ đạo BIMAT 7719", "lead": world.clerk.person}
    return str((await world.leader.json("POST", "/api/v1/directives", expect=201, json=body))["id"])


async def a_meeting(world: World) -> dict[str, str]:
    """A clerk's meeting with the leader, and its paper."""
    body = MEETING | {"title": "Họp BIMAT 7719", "chair": world.leader.person}
    meeting = (await world.clerk.json("POST", "/api/v1/meetings", expect=201, json=body))["id"]
    files = {"name": (None, "BIMAT 7719"), "file": ("a.pdf", pdfs.plain(), "application/pdf")}
    made = await world.clerk.json("POST", f"/api/v1/meetings/{meeting}/papers", expect=201, files=files)
    return {"meeting": meeting, "paper": made["id"], "paper_revision": made["revision"]}


async def a_dossier(world: World, system: Caller) -> dict[str, str]:
    """What the organisation's one-stop system posted."""
    unit = {"name": "Bộ phận BIMAT", "responsible": [world.staff.person]}
    await system.call("PUT", "/api/v1/onestop/units/dia-chinh", expect=204, json=unit)
    body = {"reference": "BIMAT-7719", "step": "received", "unit": "dia-chinh"}
    return {"dossier": (await system.json("POST", "/api/v1/onestop/dossiers", expect=201, json=body))["id"]}


def path_of(operation: str, ids: dict[str, str]) -> str:
    template = OPERATIONS[operation][1]
    if operation in {"readReceipt", "listReceipts"}:
        ids = {**ids, "document": ids.get("signed", UNKNOWN["document"])}
    if operation == "fetchPreparedImage":
        ids = {**ids, "digest": ids.get("image", UNKNOWN["digest"])}
    if operation in {"readPaperManifest", "fetchPaperPage", "fetchPaper"}:
        ids = {**ids, "revision": ids.get("paper_revision", UNKNOWN["revision"])}
    for name, value in {**FIXED, **ids}.items():
        template = template.replace("{" + name + "}", value)
    assert "{" not in template, template
    return template


async def call(caller: Caller, operation: str, ids: dict[str, str]) -> Any:
    if operation == "followLive":
        return await first_answer(caller)
    method = OPERATIONS[operation][0]
    options: dict[str, Any] = {"params": QUERIES[operation]} if operation in QUERIES else {}
    if operation in MULTIPART:
        metadata = {
            "number": "1", "notation": "QĐ", "subject": "x", "type_name": "x", "urgency": 0, "promulgation_place": "x", "promulgation_date": "2026-11-22",
            "receivers": [{"organ_id": "X09", "name": "x"}], "signers": [{"person": ids["person"]}],
        }  # fmt: skip
        options["files"] = {
            "metadata": (None, json.dumps(metadata)),
            "file": ("a.pdf", pdfs.plain(), "application/pdf"),
        }
        if operation not in {"takeInDocument", "replaceDocument"}:
            del options["files"]["metadata"]
        if operation == "putPaper":
            options["files"]["name"] = (None, "x")
    elif operation in BODIES:
        options["json"] = BODIES[operation]
    if not caller.access:
        return await caller.http.request(
            method, path_of(operation, ids), headers={"Idempotency-Key": "k" * 20}, **options
        )
    return await caller.call(method, path_of(operation, ids), **options)


def admitted(caller: Caller, operation: str, who: str) -> bool:
    """By role or scope alone; the description is checked against what the server does."""
    described = OPERATIONS[operation][2]
    if who in {"revoked", "anonymous"}:
        return False
    if caller.service:
        granted = (
            {"notices:write"}
            if who == "wrong scope"
            else {"documents:write", "documents:read", "changes:read", "webhooks:manage", "directory:read"}
        )
        return bool(granted & set(described.get("x-scopes", [])))
    role = {"same organisation": "staff", "other administrator": "administrator", "administrator": "administrator"}.get(
        who, "leader"
    )
    return role in described.get("x-roles", [])


def shape(answer: Any) -> dict[str, Any]:
    body = json.loads(answer.content) if answer.content else {}
    body.pop("trace_id", None)
    return {"status": answer.status_code, "body": body}


STRANGERS = ["other organisation", "other administrator", "other service"]


@pytest.mark.parametrize("operation", sorted(OBJECTS))
async def test_a_foreign_thing_and_an_unknown_one_answer_alike(
    world: World, prepared_target: dict[str, Target], operation: str
) -> None:
    aim = await target(world, prepared_target)
    before = await world.rows("SELECT id, state, head, version FROM documents ORDER BY id")
    for who in STRANGERS:
        caller = aim.callers[who]
        foreign = await call(caller, operation, aim.ids)
        unknown = await call(
            caller,
            operation,
            {
                **aim.ids,
                **UNKNOWN,
                "image": UNKNOWN["digest"],
                "signed": UNKNOWN["document"],
                "paper_revision": UNKNOWN["revision"],
            },
        )
        assert foreign.status_code in {400, 403, 404, 422}, (who, foreign.status_code, foreign.text)
        assert shape(foreign) == shape(unknown), who
        assert code(foreign) == "forbidden" if not admitted(caller, operation, who) else code(foreign) != "forbidden", (
            who,
            foreign.text,
        )
        assert not [word for word in aim.secrets if word in foreign.text], who
    assert await world.rows("SELECT id, state, head, version FROM documents ORDER BY id") == before


@pytest.mark.parametrize("operation", sorted(OBJECTS - MEMBERS))
async def test_nobody_else_of_the_organisation_reaches_it(
    world: World, prepared_target: dict[str, Target], operation: str
) -> None:
    aim = await target(world, prepared_target)
    for who in ("same organisation", "second leader", "wrong scope"):
        caller = aim.callers[who]
        answer = await call(caller, operation, aim.ids)
        assert answer.status_code in {400, 403, 404, 422}, (who, answer.status_code, answer.text)
        assert not [word for word in aim.secrets if word in answer.text], who


@pytest.mark.parametrize("operation", sorted(set(OPERATIONS) - PUBLIC))
async def test_without_a_living_session_nothing_opens(
    world: World, prepared_target: dict[str, Target], operation: str
) -> None:
    aim = await target(world, prepared_target)
    for who in ("revoked", "anonymous"):
        answer = await call(aim.callers[who], operation, aim.ids)
        assert (answer.status_code, code(answer)) == (401, "authentication-required"), who
        assert not [word for word in aim.secrets if word in answer.text], who


@pytest.mark.parametrize("operation", sorted(OWN | LISTS))
async def test_lists_of_others_show_nothing_of_ours(
    world: World, prepared_target: dict[str, Target], operation: str
) -> None:
    aim = await target(world, prepared_target)
    callers = STRANGERS if operation not in {"endSession", "freezeMyKey"} else ["other service"]
    for who in callers:
        caller = aim.callers[who]
        answer = await call(caller, operation, aim.ids)
        assert answer.status_code < 500, answer.text
        assert (answer.status_code == 403) == (not admitted(caller, operation, who)), (who, answer.text)
        assert not [word for word in aim.secrets if word in answer.text], who


@pytest.mark.parametrize("role", ["administrator", "same organisation", "second leader"])
async def test_what_a_role_may_call_is_what_the_description_says(
    world: World, prepared_target: dict[str, Target], role: str
) -> None:
    """A3, C2: also no administrator reaches documents, keys or approvals."""
    aim = await target(world, prepared_target)
    caller = aim.callers[role]
    closed = [one for one in sorted(set(OPERATIONS) - PUBLIC) if not admitted(caller, one, role)]
    assert closed
    for operation in closed:
        answer = await call(caller, operation, aim.ids)
        assert (answer.status_code, code(answer)) == (403, "forbidden"), (operation, answer.text)
    if role == "administrator":
        assert {
            "readDocument",
            "fetchFile",
            "openSheet",
            "approve",
            "askChallenge",
            "carryVoucher",
            "importCertificate",
            "readChanges",
        } <= set(closed)


WRITES = sorted(set(BODIES))


@pytest.mark.parametrize("operation", WRITES)
async def test_an_unknown_field_is_refused(world: World, prepared_target: dict[str, Target], operation: str) -> None:
    """C2: mass assignment; also every field that only the server sets."""
    aim = await target(world, prepared_target)
    callers = {
        "registerArrival": world.clerk, "returnArrival": world.clerk, "answerArrival": world.clerk, "linkDirectiveDocument": world.qlvb, "numberArrival": world.qlvb, "changeReceivers": world.qlvb,
        "createPerson": world.administrator, "createPairingCode": world.administrator, "createClient": world.administrator, "carryVoucher": world.officer,
        "conveneMeeting": world.clerk, "changeMeeting": world.clerk, "cancelMeeting": world.clerk, "checkIn": world.clerk,
        "importCertificate": world.officer, "recallDocument": world.qlvb, "registerWebhook": world.qlvb, "setNoticeRules": world.administrator,
        **dict.fromkeys(("putUnit", "openDossier", "advanceDossier", "announce"), aim.callers["one-stop system"]), "retryDeadLetters": world.qlvb,
    }  # fmt: skip
    caller = callers.get(operation, world.second)
    method = OPERATIONS[operation][0]
    for extra in ("id", "organisation", "state", "role", "created_us", "khong_co"):
        body = {**BODIES[operation], extra: "1"}
        if operation in PUBLIC:
            answer = await caller.http.request(method, path_of(operation, aim.ids), json=body)
        else:
            answer = await caller.call(method, path_of(operation, aim.ids), json=body)
        assert (answer.status_code, code(answer)) == (400, "invalid-request"), (operation, extra, answer.text)


async def test_metadata_takes_no_unknown_field(world: World) -> None:
    for where in (
        {"state": "sealed"},
        {"organisation": world.foreign_organisation},
        {"signers": [{"person": world.leader.person, "state": "done"}]},
    ):
        answer = await world.stack.take_in(pdfs.plain(), [world.leader], **where)
        assert (answer.status_code, code(answer)) == (400, "invalid-request")


async def test_every_json_body_is_tried_with_unknown_fields() -> None:
    taking = {
        operation for operation, (_, _, described) in OPERATIONS.items() if "application/json" in described.get("requestBody", {}).get("content", {})
    }  # fmt: skip
    assert taking == set(BODIES)


async def test_foreign_ids_inside_bodies_are_refused(world: World) -> None:
    """A signer of another organisation, and the other way about, in the metadata of an intake."""
    answer = await world.stack.take_in(pdfs.plain(), [world.foreign_leader])
    unknown = await world.stack.take_in(pdfs.plain(), [], signers=[{"person": "0" * 32}])
    assert (answer.status_code, code(answer)) == (422, "route-invalid")
    assert shape(answer) == shape(unknown)
