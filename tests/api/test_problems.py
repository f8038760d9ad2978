"""The table of problems is the contract: every type is raised somewhere, nothing outside it leaves, the committed files are its image."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server import problems
from server.app import schema_document
from server.approvals.model import problem_of
from server.db import DatabaseUnavailable, OutcomeUnknown, StorageFailed, StorageFull
from server.errors import HoatocError, Refused
from server.openapi import pretty, problems_document
from server.openapi_types import types_document
from server.sandbox.model import Overloaded
from server.storage import BlobDamaged
from signing.client import Unavailable
from signing.core import errors as signer_errors
from signing.pdf.errors import REFUSALS
from tests.api.conftest import World, code
from tests.fakes import pdfs

ROOT = Path(__file__).resolve().parents[2]
SERVER = [path for path in (ROOT / "server").rglob("*.py") if path.name != "problems.py" and "demo" not in path.parts]


def raised() -> set[str]:
    """Codes that the server's own code refuses with: literals in `Refused(...)`, and the closed lists of others."""
    found = (
        set(problems._BY_STATUS.values())
        | {code for _, code in problems._OF_DATABASE}
        | {"internal", "invalid-request", "integrity-failed"}
    )
    for path in SERVER:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refused" and node.args:
                found |= {
                    each.value
                    for each in ast.walk(node.args[0])
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                } - {"http-"}
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "require_valid":
                found |= {each.value for each in node.args if isinstance(each, ast.Constant)}
    return (
        found | {problem_of(each) for each in signer_codes()} | REFUSALS | {"not-the-route", "changed-beyond-signature"}
    )


def signer_codes() -> list[str]:
    return sorted(signer_errors._BY_CODE)


def packet_codes() -> set[str]:
    """What is refused inside packets of the axis is for the log, never for a caller."""
    return {"packet-too-large", "zip-bomb", "zip-broken", "zip-entry-refused"}


def test_every_code_that_is_raised_is_in_the_table() -> None:
    assert {each for each in raised() if each not in problems.PROBLEMS} <= packet_codes()


def test_every_row_of_the_table_can_be_raised() -> None:
    assert not set(problems.PROBLEMS) - raised()


def test_every_row_is_produced_by_some_test() -> None:
    texts = (
        "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
        + (ROOT / "tests/vectors/pdf_refusals.json").read_text()
    )
    quoted = set(re.findall(r'"([a-z][a-z0-9-]+)"', texts))
    assert not set(problems.PROBLEMS) - quoted, "a type without a test"


def test_the_refusals_of_the_signer_and_of_files_have_their_rows() -> None:
    for each in signer_codes():
        assert problem_of(each) in problems.PROBLEMS, each
    assert set(problems.PROBLEMS) >= REFUSALS


def test_the_committed_files_are_what_the_code_says() -> None:
    assert (ROOT / "openapi/problems.json").read_bytes() == problems_document(), "run `hoatoc openapi`"
    assert (ROOT / "openapi/openapi.json").read_bytes() == pretty(schema_document()), "run `hoatoc openapi`"
    assert (ROOT / "openapi/types.d.ts").read_bytes() == types_document(json.loads(schema_document()))


def test_texts_are_whole_and_in_both_languages() -> None:
    for row in problems.PROBLEMS.values():
        assert all((row.title_vi, row.title_en, row.cause))
        assert row.title_vi != row.title_en
        assert 400 <= row.status <= 507
        assert re.fullmatch("[a-z]+(-[a-z0-9]+)*", row.code)
        assert row.retry or row.status not in {503, 507}


class UnlistedError(HoatocError):
    code = "khong-co-trong-bang"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("PIN 123456"), "internal"), (UnlistedError("secret"), "internal"), (Refused("khong-co"), "internal"), (StorageFull(), "insufficient-storage"),
        (StorageFailed(), "temporarily-unavailable"), (DatabaseUnavailable(), "temporarily-unavailable"), (OutcomeUnknown(), "outcome-unknown"),
        (BlobDamaged("0" * 64), "integrity-failed"), (RecursionError(), "invalid-request"), (Overloaded(), "internal"), (Unavailable(), "internal"),
        (msgspec.ValidationError("x"), "invalid-request"), (Refused("changed-beyond-signature"), "changed-beyond-signature"),
        (Refused("organisation-known"), "organisation-known"), (Refused("host-unknown"), "host-unknown"), (Refused("not-the-route"), "not-the-route"),
        (Refused("key-destroyed"), "key-destroyed"), (Refused("challenge-expired"), "challenge-expired"), (Refused("cannot-be-shown"), "cannot-be-shown"),
        (Refused("no-room-for-signature"), "no-room-for-signature"),
    ],
)  # fmt: skip
def test_whatever_is_raised_becomes_a_row(error: Exception, expected: str) -> None:
    found, fields = problems.code_of(error)
    status, body = problems.document(found, "en", "t", fields)
    told = json.loads(body)
    assert told["code"] == expected
    assert told["status"] == status == problems.PROBLEMS[expected].status
    if expected == "internal":
        assert set(told) == {"type", "title", "status", "code", "trace_id", "retry"}
        assert "123456" not in body.decode()


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        (None, "vi"),
        ("en", "en"),
        ("fr, en;q=0.3, vi;q=0.2", "en"),
        ("vi, en;q=0.9", "vi"),
        ("*", "vi"),
        ("en;q=x", "vi"),
        (";;;,,", "vi"),
        ("EN-us", "en"),
    ],
)
def test_the_language_is_the_readers(accept: str | None, language: str) -> None:
    assert problems.language(accept) == language


def test_fields_never_overwrite_the_standard_members() -> None:
    _, body = problems.document("conflict", None, "t", {"status": 200, "type": "x", "reason": "y"})
    told: dict[str, Any] = json.loads(body)
    assert (told["status"], told["type"], told["reason"]) == (409, "/problems/conflict", "y")


@pytest.mark.asyncio(loop_scope="session")
async def test_every_type_is_explained_under_its_address(world: World) -> None:
    for each in problems.PROBLEMS:
        assert (await world.stack.http.get(f"/problems/{each}")).json()["code"] == each
    assert code(await world.stack.http.get("/problems/khong-co")) == "not-found"


@pytest.mark.asyncio(loop_scope="session")
async def test_parts_that_do_not_answer(world: World) -> None:
    """A15: without the signer nothing is signed, what is asked says so, and it goes on by itself afterwards."""
    document = await world.taken(world.leader)
    sheet = await world.leader.sheet(document)
    body = await world.leader.approval_for(sheet)
    world.stack.stop_signer(kill=True)
    try:
        ready = await world.stack.http.get("/readyz")
        assert (ready.status_code, ready.json()["signer"]) == (503, "down")
        answer = await world.leader.call("POST", "/api/v1/approvals", json=body)
        assert (answer.status_code, code(answer), "retry-after" in answer.headers) == (503, "signer-unavailable", True)
        assert code(await world.leader.call("GET", "/api/v1/signer/sealing-key")) == "signer-unavailable"
    finally:
        world.stack.start_signer()
    await world.execute("UPDATE jobs SET due_us = 0 WHERE kind = 'approvals.reconcile' AND state = 'waiting'")
    await world.stack.until(document, "in_review")
    assert (await world.leader.sign(document)).status_code == 200


@pytest.mark.asyncio(loop_scope="session")
async def test_a_damaged_file_is_never_given_out(world: World) -> None:
    """D17, small and streamed."""
    large = pdfs.scan(size=3_000_000)
    for pdf in (pdfs.carriage_returns(), large):
        document = await world.taken(world.leader, pdf=pdf)
        head = (await world.qlvb.json("GET", f"/api/v1/documents/{document}"))["revision"]
        path = next(world.stack.settings.state.blobs.rglob(head))
        path.chmod(0o600)
        path.write_bytes(pdf[:-9] + bytes([pdf[-9] ^ 4]) + pdf[-8:])
        answer = await world.qlvb.call("GET", f"/api/v1/documents/{document}/files/original")
        assert (answer.status_code, code(answer)) == (500, "integrity-failed")
        path.write_bytes(pdf)
        assert (await world.qlvb.call("GET", f"/api/v1/documents/{document}/files/original")).content == pdf


@pytest.mark.asyncio(loop_scope="session")
async def test_every_answer_carries_the_headers(world: World) -> None:
    for path in ("/livez", "/api/v1/me", "/api", "/problems/conflict", "/nichts"):
        answer = await world.stack.http.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert len(answer.headers["x-trace-id"]) == 32


@pytest.mark.asyncio(loop_scope="session")
async def test_a_wrong_client_and_a_wrong_address(world: World) -> None:
    form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}
    for change in ({}, {"client_id": "%00"}, {"client_secret": ""}):
        assert code(await world.stack.http.post("/api/v1/oauth/token", data={**form, **change})) == "client-invalid"
    assert (
        code(await world.stack.http.post("/api/v1/oauth/token", data={**form, "client_id": "a\x00"}))
        == "invalid-request"
    )
    for token in ("sample-token with \u0110 in it", "sample-token\x00-of-nobody-here"):
        answer = await world.leader.call("PUT", "/api/v1/me/push-addresses/fcm", json={"registration_token": token})
        assert code(answer) == "push-address-invalid"


@pytest.mark.asyncio(loop_scope="session")
async def test_a_filter_that_nobody_can_check(world: World) -> None:
    page = pdfs.Pdf()
    strange = page.stream("x", "/Filter /SampleDecode /Type /XObject /Subtype /Form /BBox [0 0 9 9]")
    page.page(pdfs.lines() + "/X Do", resources=f"/XObject << /X {strange} 0 R >>")
    assert code(await world.stack.take_in(page.classic(), [world.leader])) == "unsupported-filter"


@pytest.mark.asyncio(loop_scope="session")
async def test_pages_and_metrics_name_their_character_set_once(world: World) -> None:
    for path in ("/api", "/api/page.js", "/api/page.css", "/metrics"):
        assert (await world.stack.http.get(path)).headers["content-type"].count("charset=utf-8") == 1, path
