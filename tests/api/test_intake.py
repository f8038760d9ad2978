"""Intake: honest files of every kind go to `signed`, hostile ones are refused with their type and leave nothing (DOC-3, B2, B3, SEC-1, C16)."""

import asyncio
import json
import secrets
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.openapi import problems_document
from tests.api.conftest import World, code
from tests.fakes import pdfs
from tests.fakes.lta import lta
from tests.fakes.stack import Caller
from tests.shared import SAMPLES, needs_samples

pytestmark = pytest.mark.asyncio(loop_scope="session")

LISTED = {row["code"]: row for row in json.loads(problems_document())["problems"]}
REFUSALS = {
    row["generator"]: row for row in json.loads((Path(__file__).parents[1] / "vectors" / "pdf_refusals.json").read_text())
}  # fmt: skip


def linearized() -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(pdfs.vietnamese())
        file.flush()
        return subprocess.run(["qpdf", "--linearize", file.name, "-"], capture_output=True, check=True).stdout


HONEST: dict[str, Callable[[], bytes]] = {
    "1.4": pdfs.plain, "vietnamese": pdfs.vietnamese, "pdfa-1b": lambda: pdfs.pdfa(1), "pdfa-2b": pdfs.pdfa, "linearized": linearized,
    "object-streams": pdfs.object_streams, "hybrid": pdfs.hybrid, "rotated": pdfs.rotated, "form": pdfs.form, "scan": pdfs.scan,
    "117-pages": pdfs.many_pages, "signed": pdfs.signed, "locked-include": pdfs.HONEST["locked-include"], "letterhead": pdfs.letterhead,
    "lta": lta, "lta-twice": lambda: lta(2),
}  # fmt: skip


def unique_pdf() -> bytes:
    page = pdfs.Pdf()
    page.page(pdfs.lines((f"Van ban so {secrets.randbelow(10**9)}",)))
    return page.classic()


async def goes_to_signed(world: World, pdf: bytes) -> str:
    document = await world.taken(world.leader, pdf=pdf)
    answer = await world.leader.sign(document)
    assert answer.status_code == 200, answer.text
    await world.stack.until(document, "signed")
    signed = await world.qlvb.call("GET", f"/api/v1/documents/{document}/files/signed", expect=200)
    assert signed.content.startswith(pdf)
    return document


@pytest.mark.parametrize("name", sorted(HONEST))
async def test_an_honest_file_is_signed(world: World, name: str) -> None:
    # Off the loop: the other product signs with one of its own.
    await goes_to_signed(world, await asyncio.to_thread(HONEST[name]))


async def test_a_file_signed_here_twice_is_taken_in_again(world: World) -> None:
    document = await world.taken(world.leader, world.second)
    for signer in (world.leader, world.second):
        await world.open(signer, document)
        assert (await signer.sign(document)).status_code == 200
    await world.stack.until(document, "signed")
    twice = (await world.qlvb.call("GET", f"/api/v1/documents/{document}/files/signed", expect=200)).content
    assert twice.count(b"/ByteRange") == 2
    await goes_to_signed(world, twice)


SIGNED_SAMPLES = [
    "01-plain-libreoffice", "04-pdfa", "05-117-pages-linearized", "06-rotated-rtl", "07-scan-like-image", "08-hybrid-xref",
    "09-signed-linearized", "10-signed-twice", "11-pades-lta-dss",
]  # fmt: skip
REFUSED_SAMPLES = {
    "02-encrypted-user-password": "encrypted",
    # Its values are drawn only because /NeedAppearances asks readers to draw them; a signature would take them from sight.
    "03-acroform": "form-appearance",
    "12-broken-xref": "broken-structure",
}


@needs_samples
@pytest.mark.parametrize("name", SIGNED_SAMPLES)
async def test_a_sample_is_signed(world: World, name: str) -> None:
    await goes_to_signed(world, (SAMPLES / "pdf" / f"{name}.pdf").read_bytes())


@needs_samples
@pytest.mark.parametrize(("name", "expected"), sorted(REFUSED_SAMPLES.items()))
async def test_a_sample_is_refused_for_its_reason(world: World, name: str, expected: str) -> None:
    assert code(await world.stack.take_in((SAMPLES / "pdf" / f"{name}.pdf").read_bytes(), [world.leader])) == expected


@needs_samples
async def test_every_sample_has_its_test() -> None:
    assert {path.stem for path in (SAMPLES / "pdf").glob("*.pdf")} == {*SIGNED_SAMPLES, *REFUSED_SAMPLES}


async def traces(world: World) -> tuple[Any, ...]:
    """Everything that an intake may leave: rows, jobs, blobs, scratch files."""
    blobs = world.stack.settings.state.blobs
    tables = (
        "documents",
        "revisions",
        "route_steps",
        "changes",
        "audit_events",
        "document_readers",
        "notices",
        "once_answers",
        "page_images",
    )
    counts = [await world.count(table) for table in tables if table != "audit_events"]
    counts.append(await world.count("audit_events", "kind LIKE 'document.%'"))
    return (*counts, sorted(path.name for path in blobs.rglob("*") if path.is_file()))


async def quiet(world: World) -> None:
    """Until no job runs, so that what is counted is this test's alone."""
    for _ in range(1200):
        if not await world.count(
            "jobs",
            "state IN ('waiting', 'running') AND kind IN ('previews.warm', 'approvals.stamp')",
        ):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the queue never came to rest")


@pytest.mark.parametrize("name", sorted(set(pdfs.HOSTILE)))
async def test_a_hostile_file_is_refused_with_its_type(world: World, name: str) -> None:
    expected = REFUSALS[name]["code"]
    answer = await world.stack.take_in(pdfs.HOSTILE[name](), [world.leader])
    found = code(answer)
    assert found == expected or (found == "cannot-be-checked" and "bomb" in name), answer.text
    assert found in LISTED
    assert answer.status_code in {413, 422}
    assert answer.json()["title"] == LISTED[found]["title_vi"]


async def test_what_is_refused_leaves_nothing(world: World) -> None:
    await quiet(world)
    before = await traces(world)
    refused: list[Any] = [
        await world.stack.take_in(pdfs.HOSTILE[name](), [world.leader])
        for name in ("script-open-action", "broken-structure", "xfa", "encrypted")
        if name in pdfs.HOSTILE
    ]
    unique = unique_pdf()
    refused += [
        await world.stack.take_in(unique, [world.foreign_leader]),
        await world.stack.take_in(unique, [world.leader], secrecy="mat"),
        await world.stack.take_in(unique, [world.leader], promulgation_date="2026-W47-7"),
        await world.stack.take_in(unique, [world.leader], promulgation_date="20261122"),
        await world.stack.take_in(
            unique, [world.leader], receivers=[{"organ_id": "X02", "name": "a"}, {"organ_id": "x02", "name": "b"}]
        ),
        await world.stack.take_in(unique, [world.leader, world.leader]),
        await world.stack.take_in(unique, [world.leader], number=" \u202e "),
        await world.stack.take_in(unique, [world.leader], key="short"),
        await world.stack.take_in(unique, [world.leader], subject="x" * 501),
    ]
    assert [code(one) for one in refused[-9:]] == [
        "route-invalid", "secret-document", "invalid-request", "invalid-request", "receiver-unknown", "route-invalid", "invalid-request",
        "idempotency-key-missing", "invalid-request",
    ]  # fmt: skip
    await quiet(world)
    assert await traces(world) == before


async def test_too_large_and_too_many_pages(world: World) -> None:
    limits = world.stack.settings.limits
    await quiet(world)
    before = await traces(world)
    answer = await world.stack.take_in(pdfs.plain() + b"%" * limits.document_bytes, [world.leader])
    assert (answer.status_code, code(answer)) == (413, "too-large")
    beyond = await world.qlvb.call(
        "POST",
        "/api/v1/documents",
        content=b"x" * (limits.document_bytes + 3 * limits.request_bytes),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert (beyond.status_code, code(beyond)) == (413, "too-large")
    large = await world.leader.call(
        "POST",
        "/api/v1/approvals",
        content=b"{" + b" " * limits.request_bytes,
        headers={"Content-Type": "application/json"},
    )
    assert (large.status_code, code(large)) == (413, "too-large")
    assert await traces(world) == before


async def test_a_page_limit_is_a_type_of_its_own(world: World) -> None:
    inspector = world.stack.wiring.documents._inspector
    inspector._max_pages, kept = 3, inspector._max_pages
    try:
        assert code(await world.stack.take_in(pdfs.many_pages(4), [world.leader])) == "too-many-pages"
    finally:
        inspector._max_pages = kept


async def test_secrecy_on_the_page_is_refused(world: World) -> None:
    page = pdfs.Pdf()
    pdfs.vietnamese_page(page, ("TUYỆT MẬT", "QUYẾT ĐỊNH", "Về việc mẫu"))
    assert code(await world.stack.take_in(page.classic(), [world.leader])) in {"secret-document", "secrecy-mark"}


async def test_a_doubled_number_is_warned_of_and_its_exchange_id_stays_its_own(world: World) -> None:
    """DOC-8; also where number and symbol only look alike once joined."""
    first = await world.stack.take_in(pdfs.plain(), [world.leader], number="9", notation="1/QĐ")
    second = await world.stack.take_in(pdfs.vietnamese(), [world.leader], number="9", notation="1/QĐ")
    joined = await world.stack.take_in(pdfs.plain(), [world.leader], number="9/1", notation="QĐ")
    assert [one.status_code for one in (first, second, joined)] == [201, 201, 201]
    assert second.json()["duplicates"] == [first.json()["id"]]
    assert joined.json()["duplicates"] == []
    ids = {
        (await world.qlvb.json("GET", f"/api/v1/documents/{one.json()['id']}"))["exchange_id"]
        for one in (first, second, joined)
    }
    assert len(ids) == 3


# -- C16 --------------------------------------------------------------------------------------------------------------


async def test_the_same_key_many_times_at_once_is_one_document(world: World) -> None:
    key, fixed = secrets.token_urlsafe(16), {"number": "31", "source_reference": "C16"}
    before = await world.count("documents")
    answers = await asyncio.gather(
        *(world.stack.take_in(pdfs.plain(), [world.leader], key=key, **fixed) for _ in range(25))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await world.count("documents") == before + 1
    later = await world.stack.take_in(pdfs.plain(), [world.leader], key=key, **fixed)
    assert later.content == answers[0].content


async def test_the_same_key_with_another_body_or_file_is_refused(world: World) -> None:
    key = secrets.token_urlsafe(16)
    assert (await world.stack.take_in(pdfs.plain(), [world.leader], key=key, number="32")).status_code == 201
    for pdf, number in ((pdfs.plain(), "33"), (pdfs.vietnamese(), "32")):
        answer = await world.stack.take_in(pdf, [world.leader], key=key, number=number)
        assert (answer.status_code, code(answer)) == (422, "idempotency-key-reused")


async def test_the_same_key_of_another_system_is_another_key(world: World) -> None:
    key = secrets.token_urlsafe(16)
    other = await world.stack.service("QLVB thứ hai")
    first = await world.stack.take_in(pdfs.plain(), [world.leader], key=key, number="34")
    second = await world.stack.take_in(pdfs.plain(), [world.leader], key=key, number="34", by=other)
    third = await world.stack.take_in(pdfs.plain(), [world.foreign_leader], key=key, number="34", by=world.foreign_qlvb)
    ids = [answer.json()["id"] for answer in (first, second, third)]
    assert len(set(ids)) == 3


async def test_a_refused_request_does_not_use_up_its_key(world: World) -> None:
    key = secrets.token_urlsafe(16)
    assert code(await world.stack.take_in(pdfs.HOSTILE["xfa"](), [world.leader], key=key, number="35")) == "xfa"
    assert (await world.stack.take_in(pdfs.plain(), [world.leader], key=key, number="35")).status_code == 201


async def test_a_repeated_return_has_one_effect(world: World) -> None:
    document = await world.taken(world.leader)
    key, path = secrets.token_urlsafe(16), f"/api/v1/documents/{document}/return"

    async def give_back(caller: Caller, reason: str = "sai") -> Any:
        return await caller.call("POST", path, json={"reason": reason}, headers={"Idempotency-Key": key})

    answers = await asyncio.gather(*(give_back(world.leader) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert await world.count("changes", "document = $1 AND kind = 'document.returned'", document) == 1
    assert code(await give_back(world.leader, "khác")) == "idempotency-key-reused"
    assert (
        code(
            await world.leader.call("POST", path, json={"reason": "x"}, headers={"Idempotency-Key": "é".encode() * 16})
        )
        == "idempotency-key-missing"
    )
