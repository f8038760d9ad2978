"""The drivers and what surrounds them, without the processes: proofs, checks of a phone, judges, the papers, the settings file."""

import base64
import datetime as dt
import hashlib
import hmac
import io
import json
import re
import socket
import subprocess
import time
import tomllib
import unicodedata

import msgspec
import pytest
from rich.console import Console

from server.demo.caller import DeviceCaller, Problem, proof
from server.demo.judges import Verdict, containers, merged, reason_of
from server.demo.loopback import LoopbackServer, Reply, Request
from server.demo.paper import LEADER, SUBJECT, decision, with_script
from server.demo.parties import CODE, Parties, toml
from server.demo.people import PINS
from server.demo.phone import Phone, Unsafe, pairing_parts
from server.demo.play import STEPS, Outcome, Refusal, StepTime, metadata
from server.demo.processes import Child, ChildFailed, module
from server.demo.qlvb import Qlvb
from server.demo.run import acceptable
from server.demo.screen import Screen, places
from server.demo.stage import free_port
from server.documents.model import Metadata, checked
from server.identity.dpop import Verifier
from server.settings import load
from signing.core.pin import check_choice, parse
from signing.device import StatementInvalid, new_key, pin_plaintext
from signing.pdf.errors import PdfError
from signing.pdf.safety import inspect

DAY = dt.date(2026, 11, 22)
LINK = "http://127.0.0.1:8080/pair#code=SAMPLECODE&signer=sample-thumbprint"


# -- Proofs and tokens ----------------------------------------------------------------------------------------------


def test_a_proof_is_one_that_the_server_verifies():
    url, token = "http://127.0.0.1:8080/api/v1/inbox", "sample-token"
    text = proof(new_key(), "GET", url, token)
    found = Verifier().verify(text, method="GET", target=url, now_us=time.time_ns() // 1000, token=token)
    assert found.jti


@pytest.mark.asyncio
async def test_tokens_are_renewed_before_they_end_and_the_query_stays_out_of_the_proof():
    asked: list[Request] = []

    async def answer(request: Request) -> Reply:
        asked.append(request)
        if request.path == "/api/v1/oauth/token":
            tokens = {"access_token": "second", "refresh_token": "r2", "expires_in": 600}
            return Reply(200, json.dumps(tokens).encode())
        return Reply(200, b"{}")

    async with LoopbackServer(answer, port=0) as server:
        caller = DeviceCaller(server.url)
        caller._keep({"access_token": "first", "refresh_token": "r1", "expires_in": 600})
        await caller.get("/api/v1/changes", params={"cursor": "x"})
        caller._ends = 0.0
        await caller.get("/api/v1/changes")
        await caller.close()
    assert [request.path for request in asked] == ["/api/v1/changes", "/api/v1/oauth/token", "/api/v1/changes"]
    assert [asked[0].headers["authorization"], asked[2].headers["authorization"]] == ["DPoP first", "DPoP second"]
    payload = asked[0].headers["dpop"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["htu"] == f"{server.url}/api/v1/changes"


# -- What a phone checks --------------------------------------------------------------------------------------------


def _phone(url: str) -> Phone:
    return Phone(url, LINK, PINS["leader"])


def test_a_pairing_link_gives_the_code_and_the_signer():
    assert pairing_parts(LINK) == ("SAMPLECODE", "sample-thumbprint")


@pytest.mark.asyncio
@pytest.mark.parametrize("lie", ["image", "revision", "missing-page"])
async def test_pages_that_do_not_fit_the_manifest_are_not_shown(lie: str):
    image = b"\xff\xd8 sample"
    page = {"page": 1, "width": 720, "digest": hashlib.sha256(image).hexdigest()}
    manifest = {"revision": "a" * 64, "page_count": 2 if lie == "missing-page" else 1, "images": [page]}
    if lie == "revision":
        manifest["revision"] = "b" * 64

    async def answer(request: Request) -> Reply:
        if request.path.endswith("/manifest"):
            return Reply(200, json.dumps(manifest).encode())
        return Reply(200, image + (b"!" if lie == "image" else b""), "image/jpeg")

    async with LoopbackServer(answer, port=0) as server:
        phone = _phone(server.url)
        with pytest.raises(Unsafe):
            await phone.pages("d", "a" * 64)
        await phone.api.close()


@pytest.mark.asyncio
async def test_the_pin_is_not_sealed_for_a_signer_that_the_pairing_link_did_not_name():
    jwk = msgspec.to_builtins(_jwk())
    grant = {"challenge": "c" * 43, "statement": "x.y.z", "identity": jwk}

    async def answer(_request: Request) -> Reply:
        return Reply(200, json.dumps(grant).encode())

    async with LoopbackServer(answer, port=0) as server:
        phone = _phone(server.url)
        with pytest.raises(StatementInvalid, match="another identity key"):
            await phone._sealing_key(grant)
        await phone.api.close()


def _jwk():
    from signing.device import public_jwk

    return public_jwk(new_key().public_key())


def test_the_shown_pins_pass_the_product_s_own_policy():
    for pin in PINS.values():
        check_choice(parse(pin_plaintext(pin))[0])


# -- Webhooks -------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(("change", "status"), [("", 204), ("body", 401), ("time", 401)])
async def test_a_webhook_counts_only_with_its_signature(change: str, status: int, tmp_path):
    said = []
    qlvb = Qlvb(
        {"base_url": "http://127.0.0.1:1", "client_id": "c", "client_secret": "s", "folder": str(tmp_path)},
        lambda event, **fields: said.append((event, fields)),
    )
    qlvb._secret = b"k" * 32
    stamp = str(int(time.time()) - (3600 if change == "time" else 0))
    body = json.dumps({"type": "document.signed", "data": {"document": "d"}}).encode()
    mac = hmac.digest(qlvb._secret, f"msg_1.{stamp}.".encode() + body, hashlib.sha256)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }
    sent = body + b" " if change == "body" else body
    request = Request(method="POST", path="/hoatoc", query={}, headers=headers, body=sent, connection=1, arrived_us=0)
    assert (await qlvb._called(request)).status == status
    assert [fields["valid"] for _, fields in said] == [status == 204]
    await qlvb._called(request)
    assert len(said) == (1 if status == 204 else 2)
    await qlvb._api.close()


# -- The papers -----------------------------------------------------------------------------------------------------


def test_the_decision_reads_as_vietnamese_in_another_program(tmp_path):
    path = tmp_path / "decision.pdf"
    made = decision(DAY)
    path.write_bytes(made.pdf)
    text = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True).stdout
    words = " ".join(text.split())
    for expected in ("CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", "Độc lập - Tự do - Hạnh phúc", SUBJECT, LEADER, "Nơi nhận:"):
        assert expected in words
    assert "ngày 22 tháng 11 năm 2026" in words
    assert words == unicodedata.normalize("NFC", words)
    subprocess.run(["qpdf", "--check", path], check=True, capture_output=True)
    report = inspect(path)
    assert report.page_count == 1
    covered = made.seal.x_mm + made.seal.width_mm - made.signature.x_mm
    assert covered / made.signature.width_mm == pytest.approx(1 / 3, abs=0.05)  # SIG-2
    page_height = 297
    for place in (made.signature, made.seal):
        assert 0 < place.x_mm < 210 - place.width_mm
        assert 0 < place.y_mm < page_height - place.height_mm


def test_the_script_paper_is_refused_for_its_script(tmp_path):
    path = tmp_path / "script.pdf"
    path.write_bytes(with_script(DAY))
    with pytest.raises(PdfError) as refused:
        inspect(path)
    assert refused.value.code == "script"


@pytest.mark.parametrize("day", [dt.date(2026, 11, 1), dt.date(2030, 2, 28)])
def test_the_metadata_are_those_of_the_api(day: dt.date):
    made = decision(day)
    body = metadata(
        1, "a" * 32, day=day.isoformat(), subject=SUBJECT, number=15, signature=made.signature, seal=made.seal
    )
    accepted = checked(msgspec.json.decode(msgspec.json.encode(body), type=Metadata), day)
    assert accepted.signers[0].placement is not None
    assert accepted.urgency == 3


# -- Judges ---------------------------------------------------------------------------------------------------------


def test_containers_are_cut_out_by_their_byte_range_alone():
    head, hole, tail = b"%PDF sample /Contents ", b"<" + b"3003020105".ljust(20, b"0") + b">", b" more"
    numbers = b"/ByteRange [0 %05d %05d %05d]"
    size = len(numbers % (0, 0, 0))
    start = size + len(head)
    data = numbers % (start, start + len(hole), len(tail)) + head + hole + tail
    assert containers(data) == [(bytes.fromhex("3003020105"), data[:start] + tail, False)]
    stamp = b"1 0 obj << /SubFilter /ETSI.RFC3161 "
    start += len(stamp)
    (found,) = containers(stamp + numbers % (start, start + len(hole), len(tail)) + head + hole + tail)
    assert found.stamp
    assert containers(data, len(data)) == []


def test_a_judge_holds_only_when_it_holds_for_every_document():
    found = merged(
        [Verdict("a", True, "1"), Verdict("b", None, "-"), Verdict("a", False, "2"), Verdict("a", True, "3")]
    )
    assert [(one.judge, one.holds, one.sentence) for one in found] == [("a", False, "2"), ("b", None, "-")]


def test_the_reason_of_a_refusal_is_told_in_both_languages():
    said = {
        "signatures": [{"reasons": []}, {"reasons": [{"code": "x", "vi": "Sai", "en": "Wrong"}]}],
        "verdict": "not_valid",
    }
    assert reason_of(said) == ("Sai", "Wrong")
    assert reason_of({"verdict": "not_valid"}) == ("not_valid", "")


# -- The stage ------------------------------------------------------------------------------------------------------


def test_a_busy_port_moves_on():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", port) > port


@pytest.mark.parametrize("address", ["192.0.2.7", "not an address"])
def test_an_address_of_another_machine_is_refused_in_one_sentence(address: str):
    with pytest.raises(ChildFailed, match="no address of this machine"):
        free_port(address, 8080)


def test_the_settings_file_is_one_that_the_server_reads(tmp_path):
    parties = Parties(tmp_path)
    parties._account, parties._axis_secret, parties._tsa_url = (
        tmp_path / "a",
        str(tmp_path / "s"),
        "http://127.0.0.1:1/tsa",
    )
    parties.axis_url, parties.fcm_url, parties.trust = "http://127.0.0.1:2", "http://127.0.0.1:3", tmp_path / "t"
    parties.pki_url = "http://127.0.0.1:4"
    path = tmp_path / 'with "quotes" và dấu.toml'
    path.write_text(toml(tmp_path / "state", parties.sections()), "utf-8")
    settings = load(path, {})
    assert (settings.exchange.system_id, settings.tsa.urls) == (CODE, ("http://127.0.0.1:1/tsa",))
    assert (settings.trust.status_hosts, settings.signing.level) == (("127.0.0.1:4",), "B-LTA")
    assert tomllib.loads(path.read_text("utf-8"))["state_dir"] == str(tmp_path / "state")


@pytest.mark.asyncio
async def test_a_part_that_ends_at_once_says_why(tmp_path):
    child = await Child.start("sample", [*module("x")[:1], "-c", "raise SystemExit('no such thing')"], tmp_path / "log")
    with pytest.raises(ChildFailed, match="sample ended at once: no such thing"):
        await child.ready()
    await child.stop()


# -- Outcome and screen ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "problem", "fine"),
    [
        ("accepted", None, True),
        ("refused", "script", True),
        ("refused", "unlisted-type", False),
        ("refused", "internal", False),
        ("failed", "script", False),
    ],
)
def test_only_a_listed_refusal_is_a_good_end(outcome: str, problem: str | None, fine: bool):
    made = Outcome(n=1, file="a.pdf", outcome=outcome, problem_type=problem)
    assert acceptable(made, frozenset({"script", "internal"})) is fine


def test_the_screen_fits_eighty_columns():
    screen = Screen()
    screen.console = Console(file=io.StringIO(), width=80, highlight=False)
    outcome = Outcome(n=1, file="quyet-dinh.pdf", outcome="accepted", total_ms=1234.5)
    screen.document(1, outcome.file, 1)
    for step in STEPS:
        screen.step(outcome, StepTime(step, 12_345.6))
    screen.done(outcome)
    screen.refusals([Refusal("wrong-pin", "pin-wrong", "pin-wrong", "Sai mã PIN", {"tries_left": 2})], {})
    text = screen.console.file.getvalue()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "còn 2 lần thử" in text
    assert len(re.findall(r"12,345\.6 ms", text)) == len(STEPS)


def test_leader_and_clerk_are_two_origins_once_the_web_client_is_there():
    shown = places("http://127.0.0.1:8080", "/f", "/f/demo.json", web=True, lan=False)
    assert {"http://127.0.0.1:8080/", "http://localhost:8080/"} <= set(shown.values())
    assert not any(
        value.endswith(":8080/") for value in places("http://127.0.0.1:8080", "", "", web=False, lan=False).values()
    )


def test_a_problem_carries_its_code():
    assert Problem(422, {"code": "script"}).code == "script"
    assert Problem(500, {}).code == "unlisted"
