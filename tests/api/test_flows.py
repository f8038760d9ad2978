"""What others are told: changes feed, webhooks, notices, receipts; and that nobody is told a secret (A14, C12, C17).

Longer than most: one document is followed through everybody who is told of it.
"""

import asyncio
import base64
import hashlib
import hmac
import io
import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from server import logs
from server.demo.loopback import LoopbackServer, Reply, Request
from server.identity.model import Role
from tests.api.conftest import PIN, World, code
from tests.fakes import pdfs
from tests.fakes.arrivals import arrived
from tests.fakes.stack import Caller, Stack, running

pytestmark = pytest.mark.asyncio(loop_scope="session")


# -- Changes ----------------------------------------------------------------------------------------------------------


async def test_the_feed_is_ordered_resumable_and_complete(world: World) -> None:
    document = await world.signed(world.leader)
    assert (await world.clerk.sign(document)).status_code == 200
    await world.stack.until(document, "sealed", "forwarded", "delivered", "accepted")
    whole = await world.qlvb.json("GET", "/api/v1/changes?limit=200")
    path, walked = "/api/v1/changes?limit=3", []
    for _ in range(1000):
        page = await world.qlvb.json("GET", path)
        walked.extend(page["items"])
        path = f"/api/v1/changes?limit=3&cursor={page['next']}"
        if not page["items"]:
            break
    seqs = [one["seq"] for one in walked]
    assert seqs == sorted(set(seqs))
    assert walked[: len(whole["items"])] == whole["items"]
    kinds = [one["kind"] for one in walked if one["document"] == document]
    order = [
        "document.received",
        "signature.intended",
        "signature.made",
        "document.signed",
        "signature.intended",
        "signature.made",
        "document.sealed_pending_archive",
        "document.sealed",
    ]
    assert kinds[: len(order)] == order
    for _ in range(100):  # other documents of this house may still move; the end is reached all the same
        page = await world.qlvb.json("GET", path)
        if not page["items"]:
            break
        path = f"/api/v1/changes?limit=3&cursor={page['next']}"
    assert page["items"] == []
    fresh = await world.taken(world.leader)
    resumed = await world.qlvb.json("GET", path.replace("limit=3", "limit=200"))
    # Receivers' statuses of the first document may come in between.
    assert fresh in {one["document"] for one in resumed["items"]}
    mine = [one["document"] for one in (await world.second.json("GET", "/api/v1/changes?limit=200"))["items"]]
    assert document not in mine, "a person's feed holds what that person may read"


# -- Webhooks ---------------------------------------------------------------------------------------------------------


async def test_webhooks_are_signed_retried_and_ended_by_410(world: World) -> None:
    """standardwebhooks.com: the receiver recomputes the signature from the secret that it was shown once."""
    got: list[Request] = []
    answers = [500, 200, 200, 410]

    async def receive(request: Request) -> Reply:
        got.append(request)
        return Reply(answers[min(len(got), len(answers)) - 1])

    async with LoopbackServer(receive) as server:
        body = {
            "url": f"{server.url}/hook?x=1",
            "events": ["document.returned", "document.recalled", "document.returned"],
        }
        made = await world.qlvb.json("POST", "/api/v1/webhooks", expect=201, json=body)
        listed = next(one for one in await world.qlvb.json("GET", "/api/v1/webhooks") if one["id"] == made["id"])
        assert listed["events"] == ["document.recalled", "document.returned"]
        assert "secret" not in listed
        document = await world.taken(world.leader, source_reference="VB-9")
        await world.leader.call("POST", f"/api/v1/documents/{document}/return", expect=200, json={"reason": "sai"})
        await until(lambda: len(got) >= 2, world)
        assert got[0].headers["webhook-id"] == got[1].headers["webhook-id"]
        secret = base64.b64decode(made["secret"].removeprefix("whsec_"))
        for request in got:
            signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
            assert (
                request.headers["webhook-signature"]
                == "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
            )
        told = json.loads(got[1].body)
        assert (told["type"], told["data"]["document"], told["data"]["source_reference"]) == (
            "document.returned",
            document,
            "VB-9",
        )
        assert "subject" not in told["data"]
        for _ in range(2):
            another = await world.taken(world.leader)
            await world.qlvb.call("POST", f"/api/v1/documents/{another}/recall", expect=200, json={"reason": "x"})
            await until(lambda: len(got) >= 3, world)
        await until(lambda: len(got) >= 4, world)
        for _ in range(1200):
            if made["id"] not in [one["id"] for one in await world.qlvb.json("GET", "/api/v1/webhooks")]:
                break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError("a receiver that is gone is called no more")
    assert code(await world.qlvb.call("DELETE", f"/api/v1/webhooks/{made['id']}")) == "not-found"


async def until(done: Any, world: World, within_s: float = 90.0) -> None:
    for _ in range(int(within_s / 0.05)):
        if done():
            return
        await world.execute("UPDATE jobs SET due_us = 0 WHERE kind = 'webhooks.deliver' AND state = 'waiting'")
        await asyncio.sleep(0.05)
    raise AssertionError("it never came")


# -- Notices ----------------------------------------------------------------------------------------------------------


async def test_a_notice_is_fetched_reported_and_acknowledged_once(world: World) -> None:
    leader = await world.stack.person("Mai Văn Mẫu", Role.LEADER)
    await leader.call(
        "PUT",
        "/api/v1/me/push-addresses/fcm",
        expect=204,
        json={"registration_token": "sample-token-notice-" + leader.device},
    )
    document = await world.taken(leader)
    notice = (await leader.json("GET", "/api/v1/notices"))["items"][0]
    assert (notice["document"], notice["kind"], notice["acknowledged_at"]) == (document, "to_sign", None)
    for _ in range(1200):
        if await world.count("deliveries", "notice = $1 AND state = 'accepted'", notice["id"]):
            break
        await asyncio.sleep(0.05)
    assert not await world.count("deliveries", "notice = $1 AND received_us IS NOT NULL", notice["id"]), (
        "a push service's 200 is no receipt"
    )
    reports = {
        "reports": [
            {"notice": notice["id"], "event": event, "at": at}
            for event, at in (
                ("shown", "2026-11-22T01:00:00Z"),
                ("received", "9999-12-31T23:59:59Z"),
                ("read", "0001-01-01T00:00:00+14:00"),
            )
        ]
    }
    assert (await leader.json("POST", "/api/v1/receipts", json=reports))["recorded"] == 3
    assert (await leader.json("POST", "/api/v1/receipts", json=reports))["recorded"] == 0
    assert (await world.second.json("POST", "/api/v1/receipts", json=reports))["recorded"] == 0
    assert not await world.count("deliveries", "received_us > $1", 4 * 10**15), "not later than now"
    assert code(await world.second.call("GET", f"/api/v1/notices/{notice['id']}")) == "not-found"
    for _ in range(2):
        await leader.call("POST", f"/api/v1/notices/{notice['id']}/acknowledgement", expect=204)
    assert await world.count("audit_events", "kind = 'notice.acknowledged' AND subject = $1", notice["id"]) == 1
    await leader.call("DELETE", "/api/v1/me/push-addresses/fcm", expect=204)
    assert not await world.count("push_addresses", "device = $1", leader.device)


# -- Receipts ---------------------------------------------------------------------------------------------------------


async def test_a_receipt_is_readable_once_its_event_is_in_the_log(world: World) -> None:
    document = await world.signed(world.leader)
    line = (await world.qlvb.json("GET", f"/api/v1/documents/{document}/receipts"))[0]
    path = f"/api/v1/documents/{document}/receipts/{line['id']}"
    early = await world.qlvb.call("GET", path)
    assert early.status_code == 200 or code(early) == "file-pending"
    for _ in range(1200):
        answer = await world.qlvb.call("GET", path)
        if answer.status_code == 200:
            break
        await asyncio.sleep(0.05)
    receipt = answer.json()
    shown = await world.qlvb.json("GET", f"/api/v1/documents/{document}")
    assert receipt["revision"] == shown["revision"]
    assert receipt["document"] == document
    assert receipt["log_size"] > receipt["position"]
    other = await world.taken(world.leader)
    assert code(await world.qlvb.call("GET", f"/api/v1/documents/{other}/receipts/{line['id']}")) == "not-found"


# -- A14, C12, C17: the canary ----------------------------------------------------------------------------------------

TITLE = "Về việc CHIMHOÀNGYẾN điều động cán bộ"
NAME = "Hoàng Yến Chim Mẫu"
CANARY_PIN = "83920174"
MEETING, PLACE = "Họp CHIMSƠNCA về phân công", "Phòng CHIMSẺ tầng hai"
ARRIVED = "Về việc CHIMĐẠIBÀNG phối hợp"
ORDERED, WORD = "Giao CHIMSÁO chủ trì", "Phòng CHIMCÔNG đã có dự thảo"
PHONE, EMAIL = "+84938201746", "chim.mau@hop-thu.example.vn"
REASON = 'chim\r\n\x1b[31m{"event": "forged"}\u2028'


def forms(secret: str | bytes) -> Iterator[bytes]:
    """As it would stand in a log: raw, NFC, NFD, JSON-escaped, hex, URL-encoded, base64 at each of three offsets."""
    texts = (
        {secret, unicodedata.normalize("NFC", secret), unicodedata.normalize("NFD", secret)}
        if isinstance(secret, str)
        else {secret}
    )
    for text in texts:
        raw = text.encode() if isinstance(text, str) else text
        yield raw
        yield raw.hex().encode()
        yield quote(raw).encode()
        if isinstance(text, str):
            yield json.dumps(text)[1:-1].encode()
        for offset in range(3):
            encoded = base64.b64encode(b"\0" * offset + raw)
            core = encoded[(0, 2, 3)[offset] + (0 if offset == 0 else 2) :].rstrip(b"=")[:-2]
            if len(core) >= 10:
                yield core
                yield core.replace(b"+", b"-").replace(b"/", b"_")


def hits(output: bytes, *secrets: str | bytes) -> list[str]:
    return [repr(form[:40]) for secret in secrets for form in forms(secret) if form in output]


async def test_the_scanner_finds_what_it_looks_for() -> None:
    for secret in (TITLE, CANARY_PIN, b"\x01\x02\x03" * 8):
        for form in forms(secret):
            assert hits(b"xx" + form + b"yy", secret)
    for offset in range(3):
        assert hits(base64.b64encode(b"ab!"[:offset] + TITLE.encode() + b"zz"), TITLE)


async def _meet(stack: Stack, leader: Caller, clerk: Caller) -> str:
    """A number, an address, a meeting with an answer, a calendar that is read; the secret of the calendar's address."""
    await leader.call("PUT", "/api/v1/me/notice-settings", expect=204, json={"phone": PHONE, "email": EMAIL})
    begin = datetime.now(UTC) + timedelta(hours=3)
    plan = {
        "title": MEETING, "place": PLACE, "starts_at": begin.isoformat(), "ends_at": (begin + timedelta(hours=1)).isoformat(),
        "chair": leader.person, "attendees": [clerk.person],
    }  # fmt: skip
    meeting = (await clerk.json("POST", "/api/v1/meetings", expect=201, json=plan))["id"]
    await leader.call(
        "POST", f"/api/v1/meetings/{meeting}/answer", expect=200, json={"sequence": 0, "answer": "attend"}
    )
    change = plan | {"sequence": 0, "place": f"{PLACE} (mới)"}
    await clerk.call("POST", f"/api/v1/meetings/{meeting}/changes", expect=200, json=change)
    await clerk.call(
        "POST", f"/api/v1/meetings/{meeting}/changes", expect=400, json=change | {"sequence": 1, "ends_at": "x"}
    )
    url = (await leader.json("POST", "/api/v1/me/calendar", expect=201))["url"]
    path = "/calendar/" + url.rpartition("/")[2]
    assert "CHIMS" in (await stack.http.get(path)).text
    db, stack.wiring.calendars._db = stack.wiring.calendars._db, None  # type: ignore[assignment]
    assert (await stack.http.get(path)).status_code == 500
    stack.wiring.calendars._db = db
    return str(url.rpartition("/")[2].removesuffix(".ics"))


async def _taken_in(stack: Stack, clerk: Caller) -> None:
    """A document of another agency, and what goes wrong with it."""
    arrival = await arrived(stack, pdfs.plain(), subject=ARRIVED)
    path = f"/api/v1/arrivals/{arrival}"
    assert (await clerk.json("GET", path))["arrival"]["subject"] == ARRIVED
    assert code(await clerk.call("POST", f"{path}/return", json={"reason": ""})) == "invalid-request"
    db, stack.wiring.arrivals._db = stack.wiring.arrivals._db, None  # type: ignore[assignment]
    assert (await clerk.call("GET", path)).status_code == 500
    stack.wiring.arrivals._db = db
    await clerk.call("POST", f"{path}/return", expect=200, json={"reason": "Gửi nhầm nơi nhận"})


async def _direct(leader: Caller, clerk: Caller, document: str) -> None:
    """A direction on a document that was issued, with a report and what goes wrong."""
    body = {"document": document, "text": ORDERED, "lead": clerk.person}
    path = f"/api/v1/directives/{(await leader.json('POST', '/api/v1/directives', expect=201, json=body))['id']}"
    report = {"sequence": 0, "state": "in_work", "word": WORD}
    await clerk.call("POST", f"{path}/reports", expect=200, json=report)
    await clerk.call("POST", f"{path}/reports", expect=400, json=report | {"progress": 400})
    assert (await leader.json("GET", path))["lines"][0]["word"] == WORD
    await leader.call("POST", f"{path}/withdrawal", expect=200, json={"sequence": 0, "reason": ORDERED})


class Recorder:
    """Every answer of a stack's client."""

    def __init__(self, stack: Stack) -> None:
        self.answers: list[bytes] = []
        stack.http.event_hooks["response"].append(self.keep)

    async def keep(self, response: Any) -> None:
        await response.aread()
        self.answers.append(
            response.status_code.to_bytes(2, "big") + repr(sorted(response.headers.items())).encode() + response.content
        )


async def test_no_secret_leaves(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A whole run with bad requests in between; afterwards everything that was written anywhere is searched."""
    written = io.StringIO()
    logs.configure(level="debug", stream=written)
    try:
        async with running(tmp_path) as stack:
            recorder = Recorder(stack)
            leader = await stack.person(NAME, Role.LEADER)
            clerk = await stack.person("Văn thư mẫu", Role.CLERK, office=True, position="Văn thư")
            await stack.credential(leader, NAME, pin=CANARY_PIN)
            await stack.credential(clerk, "Ủy ban nhân dân xã Mẫu", "seal", pin=CANARY_PIN)
            for caller in (leader, clerk):
                await caller.call(
                    "PUT",
                    "/api/v1/me/push-addresses/fcm",
                    expect=204,
                    json={"registration_token": "canary-push-token-" + caller.device},
                )
            document = (
                await stack.take_in(
                    pdfs.vietnamese(), [leader], subject=TITLE, number="83920", notation="CHIM-MAU", urgency=3
                )
            ).json()["id"]
            sheet = await leader.sheet(document)
            wrong = await leader.approve(sheet, pin="49302817")
            assert code(wrong) == "pin-wrong"
            for body in (
                {"approval": "a" * 120, "sealed_pin": CANARY_PIN * 20},
                {"pin": CANARY_PIN},
                {"approval": CANARY_PIN, "sealed_pin": 1},
            ):
                await leader.call("POST", "/api/v1/approvals", json=body)
            await leader.call(
                "POST",
                "/api/v1/approvals",
                content=f'{{"pin": "{CANARY_PIN}"'.encode(),
                headers={"Content-Type": "application/json"},
            )
            await leader.call("POST", f"/api/v1/documents/{document}/return", json={"reason": "", "pin": CANARY_PIN})
            await stack.http.get("/api/v1/me", headers={"Authorization": f"Bearer {leader.access}", "DPoP": "x"})
            await stack.http.get(f"/api/v1/me?token={leader.access}")
            await stack.http.post(
                "/api/v1/oauth/token", data={"grant_type": "refresh_token", "refresh_token": leader.access}
            )
            db, kept = stack.wiring.db, stack.wiring.documents._blobs
            stack.wiring.documents._blobs = None  # type: ignore[assignment]
            broken = await stack.take_in(pdfs.plain(), [leader], subject=TITLE)
            assert (broken.status_code, code(broken)) == (500, "internal")
            assert not hits(broken.content, TITLE, "AttributeError", "Traceback")
            stack.wiring.documents._blobs = kept
            assert (await leader.approve(sheet, pin=CANARY_PIN)).status_code == 200
            await stack.until(document, "signed")
            assert (await clerk.sign(document, CANARY_PIN)).status_code == 200
            await stack.until(document, "sealed", "forwarded", "delivered", "accepted")
            other = (await stack.take_in(pdfs.plain(), [leader], subject=TITLE)).json()["id"]
            await leader.call("POST", f"/api/v1/documents/{other}/return", expect=200, json={"reason": REASON})
            feed_secret = await _meet(stack, leader, clerk)
            await _taken_in(stack, clerk)
            await _direct(leader, clerk, document)
            metrics = (await stack.http.get("/metrics")).content
            await asyncio.sleep(1.5)
            audit = [
                bytes(row["body"]) + row["kind"].encode()
                for row in await db.fetch_all("SELECT kind, body FROM audit_events")
            ]
            changes = [bytes(row["detail"]) for row in await db.fetch_all("SELECT detail FROM changes")]
            feed = await stack.qlvb.json("GET", "/api/v1/changes?limit=200")
            pushes = b"\n".join(repr(record).encode() + record.raw.encode() for record in stack.fcm.records)
            assert stack.fcm.records, "the double saw the pushes"
            stack.signer.terminate()
            stack.signer.wait(30)
            files = b"\n".join(
                path.read_bytes()
                for path in (stack.settings.state.signer, stack.settings.state.head)
                for path in path.rglob("*")
                if path.is_file()
            )
            database = b"\n".join(path.read_bytes() for path in stack.settings.state.database.parent.iterdir())
    finally:
        logs.configure()
    caught = capfd.readouterr()
    log = (written.getvalue() + caught.out + caught.err).encode()
    tokens = [leader.access, clerk.access, stack.qlvb.access]
    keys = [key.private_numbers().private_value.to_bytes(32, "big") for key in (leader.approval, clerk.approval)]
    everywhere = (CANARY_PIN, "49302817", *tokens, *keys)
    rooms = (MEETING, PLACE, ARRIVED, ORDERED, WORD, PHONE, EMAIL, feed_secret)
    outputs = {
        "log": (log, (*everywhere, *rooms, TITLE, NAME, "canary-push-token", "CHIM-MAU")),
        "metrics": (metrics, (*everywhere, *rooms, TITLE, NAME)),
        "audit": (b"\n".join(audit), (*everywhere, *rooms, TITLE, NAME, "canary-push-token")),
        "changes": (b"\n".join(changes), (*everywhere, *rooms, TITLE, NAME)),
        "push": (
            pushes,
            (*everywhere, *rooms, TITLE, NAME, "CHIM-MAU", "83920", document, "Ủy ban nhân dân xã Mẫu", leader.person),
        ),
        "answers": (b"\n".join(answer for answer in recorder.answers if b'"access_token"' not in answer), everywhere),
        "signer's files": (files, (CANARY_PIN, "49302817", TITLE, *rooms)),
        "database": (database, (CANARY_PIN, "49302817", *tokens, feed_secret)),
    }
    found = {where: hits(output, *secrets) for where, (output, secrets) in outputs.items()}
    assert not any(found.values()), {where: what for where, what in found.items() if what}
    lines = [line for line in written.getvalue().splitlines() if line]
    assert all(isinstance(json.loads(line), dict) for line in lines), "one event, one line (C17)"
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028]", written.getvalue().replace("\n", ""))
    reasons = [one["detail"].get("reason") for one in feed["items"] if one["kind"] == "document.returned"]
    assert reasons == ['chim [31m{"event": "forged"}']
    assert PIN != CANARY_PIN
