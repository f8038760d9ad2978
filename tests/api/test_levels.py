"""Levels and certificate status through the whole product: B-LTA before a document leaves, renewal, outages (SW-1, SW-4, SW-5; D6).

Longer than most: every outage is made on one stack with its own authority.
"""

import asyncio
import contextlib
import datetime as dt
import hashlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from server.demo.pki import DemoPki
from server.identity.model import Role
from server.jobs import Retry
from server.pdfwork import PdfWork, RouteField
from server.preservation.service import PreservationService
from server.revocation.service import RevocationService
from server.timestamps import NoStamp, TimeStamps
from signing.pdf.appearance import DEFAULT_FONT
from signing.pdf.archive import signed_with
from signing.pdf.compare import chain
from signing.pdf.fields import form_fields
from signing.pdf.objects import Name
from signing.pdf.reader import open_document
from signing.pdf.revocation import CertificateState, ValidationData, path_of, read_dss, status_of
from signing.pdf.timestamp import TimeStampTrust
from signing.pdf.validation import Indication, Trust, validate
from tests.api.conftest import code
from tests.fakes import pdf_signing as fakes
from tests.fakes import pdfs
from tests.fakes.pdf_signing import pdfsig, qpdf_check
from tests.fakes.stack import Caller, Stack, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

DAY_US = 86_400_000_000
OUT = ("sealed", "forwarded", "delivered", "accepted")


class Shifted:
    """The machine's clock, moved by `offset` for the demo's PKI and for what a test builds on it."""

    def __init__(self) -> None:
        self.offset = dt.timedelta(0)

    def __call__(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.offset

    def now_us(self) -> int:
        return int(self().timestamp() * 1_000_000)

    def monotonic_us(self) -> int:
        return self.now_us()


class House:
    def __init__(self, stack: Stack, clock: Shifted) -> None:
        self.stack = stack
        self.clock = clock
        self.unit = stack.pki.authority.tsa
        self.leader: Caller
        self.clerk: Caller

    async def signed(self) -> str:
        answer = await self.stack.take_in(pdfs.vietnamese(), [self.leader])
        assert answer.status_code == 201, answer.text
        document = str(answer.json()["id"])
        assert (await self.leader.sign(document)).status_code == 200
        await self.stack.until(document, "signed")
        return document

    async def sealed(self, *states: str) -> str:
        document = await self.signed()
        assert (await self.clerk.sign(document)).status_code == 200
        await self.stack.until(document, *(states or OUT))
        return document

    async def file(self, document: str, folder: Path) -> Path:
        answer = await self.stack.qlvb.call("GET", f"/api/v1/documents/{document}/files/final", expect=200)
        out = folder / f"{document}.pdf"
        out.write_bytes(answer.content)
        return out

    def switch(self, **on: bool) -> None:
        for name, value in on.items():
            setattr(self.stack.pki.switches, name, value)

    async def forget_statuses(self) -> None:
        """As if nothing had been asked yet."""

        async def body(tx: Any) -> None:
            for table in ("certificate_statuses", "status_lists"):
                await tx.execute(f"DELETE FROM {table}")

        await self.stack.wiring.db.transact(body)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    clock = Shifted()
    pki = DemoPki(now=clock, tsa_life=dt.timedelta(days=300))
    async with running(tmp_path_factory.mktemp("levels"), pki=pki) as stack:
        made = House(stack, clock)
        made.leader = await stack.person("Nguyễn Văn Mẫu", Role.LEADER)
        made.clerk = await stack.person("Trần Thị Mẫu", Role.CLERK, office=True, position="Văn thư")
        await stack.credential(made.leader, "Nguyễn Văn Mẫu")
        await stack.credential(made.clerk, "Ủy ban nhân dân xã Mẫu", "seal")
        yield made


@pytest.fixture(autouse=True)
def _all_on(house: House) -> Any:
    yield
    house.switch(tsa=True, ocsp=True, crl=True)
    house.clock.offset = dt.timedelta(0)
    house.stack.pki.authority.tsa = house.unit


def proven(path: Path, root: bytes, now_us: int) -> None:
    """Every certificate of the file was good at its signature's time, by what the file itself holds."""
    with open_document(path) as document:
        data = read_dss(document.head)
    for one in signed_with(path)[:-1]:
        for leaf in (one.certificate, *one.token[:1]):
            road = path_of(leaf, data.certificates)
            assert road[-1] == root
            for own, above in itertools.pairwise(road):
                found = status_of(own, above, data, at_us=one.token_time_us or 0, now_us=now_us)
                assert found.state is CertificateState.GOOD


async def test_a_sealed_document_leaves_as_b_lta(house: House, tmp_path: Path) -> None:
    document = await house.sealed("forwarded", "delivered", "accepted")
    final = await house.file(document, tmp_path)
    qpdf_check(final)
    assert [one.timestamp for one in signed_with(final)] == [False, False, True]
    assert all(one.valid for one in pdfsig(final) if one.subfilter == "ETSI.CAdES.detached")
    assert not any(change.reason for change in chain(final))
    root = house.stack.pki.authority.root.certificate.public_bytes(serialization.Encoding.DER)
    proven(final, root, house.clock.now_us())
    # The forwarded file is the head of the chain (architecture, rule 1).
    db = house.stack.wiring.db
    packet = await db.fetch_one("SELECT revision FROM outgoing_packets WHERE document = $1", document)
    head = await db.fetch_one("SELECT head FROM documents WHERE id = $1", document)
    assert packet is not None
    assert head is not None
    assert packet["revision"] == head["head"] == hashlib.sha256(final.read_bytes()).hexdigest()
    kinds = await db.fetch_all("SELECT kind FROM revisions WHERE document = $1 ORDER BY number", document)
    assert [row["kind"] for row in kinds] == ["intake", "signature", "seal", "archive"]


async def test_the_sheet_says_that_the_certificate_is_good(house: House) -> None:
    answer = await house.stack.take_in(pdfs.plain(), [house.leader])
    sheet = await house.leader.sheet(answer.json()["id"])
    assert sheet["certificate_status"]["state"] == "good"
    assert sheet["certificate_status"]["signing_stops_at"] is None
    # SW-5: the evidence is kept with the signature: for the person's certificate and the authority's above it.
    rows = await house.stack.wiring.db.fetch_all(
        "SELECT e.state, a.source FROM signature_evidence e JOIN status_answers a ON a.digest = e.answer WHERE e.prepared = $1",
        sheet["prepared"],
    )
    assert sorted((row["state"], row["source"]) for row in rows) == [("good", "crl"), ("good", "ocsp")]


async def test_answers_are_used_again(house: House) -> None:
    await house.sealed()
    before = house.stack.pki.ocsp_answers
    answer = await house.stack.take_in(pdfs.plain(), [house.leader])
    for _ in range(3):
        await house.leader.sheet(answer.json()["id"])
    assert house.stack.pki.ocsp_answers <= before + 1


async def test_without_a_status_the_signer_is_warned_and_stopped_after_the_grace(house: House) -> None:
    # SW-4: warn the signer; D6: fail closed after the grace.
    await house.forget_statuses()
    house.switch(ocsp=False, crl=False)
    answer = await house.stack.take_in(pdfs.plain(), [house.leader])
    document = str(answer.json()["id"])
    sheet = await house.leader.sheet(document)
    assert sheet["certificate_status"]["state"] == "not_checked"
    assert sheet["certificate_status"]["signing_stops_at"] is not None
    opened = await house.leader.sheet(document)
    db = house.stack.wiring.db
    await db.transact(
        lambda tx: tx.execute(
            "UPDATE certificate_statuses SET failing_since_us = failing_since_us - $1 WHERE state = 'not_checked'",
            4 * 3600 * 1_000_000 + 1,
        )
    )
    # S1 asks again by what is known, so a sheet that was opened in time does not help.
    assert code(await house.leader.approve(opened)) == "certificate-status-unavailable"
    refused = await house.leader.call("POST", f"/api/v1/documents/{document}/sheet")
    assert code(refused) == "certificate-status-unavailable"
    house.switch(ocsp=True, crl=True)
    assert (await house.leader.sign(document)).status_code == 200


async def test_a_revoked_certificate_is_refused_before_the_pin(house: House) -> None:
    person = await house.stack.person("Lê Văn Thu Hồi", Role.LEADER)
    credential = await house.stack.credential(person, "Lê Văn Thu Hồi")
    answer = await house.stack.take_in(pdfs.plain(), [person])
    document = str(answer.json()["id"])
    sheet = await person.sheet(document)
    db = house.stack.wiring.db
    row = await db.fetch_one("SELECT certificate FROM credentials WHERE id = $1", credential)
    assert row is not None
    serial = x509.load_der_x509_certificate(bytes(row["certificate"])).serial_number
    house.stack.pki.authority.revoke(serial, x509.ReasonFlags.key_compromise)
    await house.forget_statuses()
    refused = await person.call("POST", f"/api/v1/documents/{document}/sheet")
    assert code(refused) == "certificate-revoked"
    assert refused.json()["revoked_at"].endswith("Z")
    # The sheet that was opened before is of no use any more, and no try was charged for it.
    assert code(await person.approve(sheet)) == "certificate-revoked"
    intents = await db.fetch_one("SELECT count(*) AS n FROM activations WHERE person = $1", person.person)
    assert intents is not None
    assert intents["n"] == 0
    house.switch(ocsp=False, crl=False)
    # An outage does not bring a revoked certificate back.
    assert code(await person.call("POST", f"/api/v1/documents/{document}/sheet")) == "certificate-revoked"


async def test_without_evidence_a_document_waits_and_leaves_by_the_policy(house: House, tmp_path: Path) -> None:
    # D6 with the policy "forward": B-T leaves after the wait, the log tells, and the archive follows when it can be had.
    document = await house.signed()
    assert (await house.clerk.sheet(document))["certificate_status"]["state"] == "good"
    await house.forget_statuses()
    house.switch(ocsp=False, crl=False)
    assert (await house.clerk.sign(document)).status_code == 200
    await house.stack.until(document, "sealed_pending_archive")
    pending = await house.stack.qlvb.call("GET", f"/api/v1/documents/{document}/files/final")
    assert code(pending) == "file-pending"
    await house.stack.wiring.db.transact(
        lambda tx: tx.execute(
            "UPDATE documents SET state_since_us = state_since_us - 901000000 WHERE id = $1", document
        )
    )
    while await house.stack.state(document) == "sealed_pending_archive":
        await run_again(house, document)
    await house.stack.until(document, "forwarded", "delivered", "accepted")
    events = await house.stack.wiring.db.fetch_all(
        "SELECT body FROM audit_events WHERE subject = $1 AND kind = 'document.sealed'", document
    )
    assert b"certificate-status-unavailable" in bytes(events[0]["body"])
    before = (await house.file(document, tmp_path)).read_bytes()
    house.switch(ocsp=True, crl=True)
    while (after := (await house.file(document, tmp_path)).read_bytes()) == before:
        await run_again(house, document)
    assert after.startswith(before)
    assert signed_with(tmp_path / f"{document}.pdf")[-1].timestamp


@pytest.mark.parametrize("left", [False, True], ids=["waits", "left"])
async def test_a_signer_revoked_before_signing_is_a_clear_end(house: House, left: bool) -> None:
    """SW-8: found while the evidence is gathered; nothing stays silent in between, and the clerk knows what to do."""
    person = await house.stack.person("Đỗ Văn Thu Hồi", Role.LEADER)
    credential = await house.stack.credential(person, "Đỗ Văn Thu Hồi")
    document = str((await house.stack.take_in(pdfs.vietnamese(), [person])).json()["id"])
    assert (await person.sign(document)).status_code == 200
    await house.stack.until(document, "signed")
    assert (await house.clerk.sheet(document))["certificate_status"]["state"] == "good"
    await house.forget_statuses()
    house.switch(ocsp=False, crl=False)
    assert (await house.clerk.sign(document)).status_code == 200
    await house.stack.until(document, "sealed_pending_archive")
    db = house.stack.wiring.db
    if left:
        await db.transact(
            lambda tx: tx.execute(
                "UPDATE documents SET state_since_us = state_since_us - 901000000 WHERE id = $1", document
            )
        )
        while await house.stack.state(document) == "sealed_pending_archive":
            await run_again(house, document)
    row = await db.fetch_one("SELECT certificate FROM credentials WHERE id = $1", credential)
    assert row is not None
    serial = x509.load_der_x509_certificate(bytes(row["certificate"])).serial_number
    house.clock.offset = dt.timedelta(hours=-1)
    house.stack.pki.authority.revoke(serial, x509.ReasonFlags.key_compromise)
    house.clock.offset = dt.timedelta(0)
    house.switch(ocsp=True, crl=True)
    kind = "document.signer_revoked" if left else "document.returned"
    told = "SELECT body FROM audit_events WHERE subject = $1 AND kind = $2"
    while not (events := await db.fetch_all(told, document, kind)):
        await run_again(house, document)
    assert len(events) == 1
    assert b"certificate-revoked" in bytes(events[0]["body"])
    jobs = await db.fetch_all("SELECT kind FROM jobs WHERE ordering_key = $1", f"preservation:{document}")
    assert jobs == []
    asked = "SELECT person FROM notices WHERE document = $1 AND kind = 'signer_revoked' AND state = 'open'"
    assert {one["person"] for one in await db.fetch_all(asked, document)} >= {person.person, house.clerk.person}
    changes = (await house.stack.qlvb.json("GET", "/api/v1/changes?limit=200"))["items"]
    said = [one for one in changes if one["document"] == document and one["kind"] == kind]
    assert [one["detail"] for one in said] == [{"reason": "certificate-revoked"}]
    final = await house.stack.qlvb.call("GET", f"/api/v1/documents/{document}/files/final")
    if left:
        assert final.status_code == 200
        return
    assert await house.stack.state(document) == "returned"
    assert code(final) == "file-pending"
    # The way out: the drafter replaces the text, and the route begins again.
    path = f"/api/v1/documents/{document}/replacements"
    answer = await house.stack.take_in(pdfs.vietnamese(), [person], path=path)
    assert answer.status_code == 200, answer.text
    assert await house.stack.state(document) == "in_review"


async def held(house: House) -> str:
    """A sealed document whose archive waits for evidence, and the time-stamping unit of its signatures is followed by another."""
    document = await house.signed()
    assert (await house.clerk.sheet(document))["certificate_status"]["state"] == "good"
    await house.forget_statuses()
    house.switch(ocsp=False, crl=False)
    assert (await house.clerk.sign(document)).status_code == 200
    await house.stack.until(document, "sealed_pending_archive")
    house.stack.pki.authority.renew_tsa(dt.timedelta(days=300))
    return document


async def test_a_signature_whose_stamp_lost_its_authority_is_a_clear_end(house: House) -> None:
    """RFC 3161, 4: its time is proven by nobody any more; the document goes back, and is not told as a revoked signer's."""
    house.stack.pki.authority.renew_tsa()
    unit = house.stack.pki.authority.tsa
    document = await held(house)
    house.stack.pki.authority.revoke(unit.certificate.serial_number, x509.ReasonFlags.key_compromise)
    house.switch(ocsp=True, crl=True)
    while await house.stack.state(document) == "sealed_pending_archive":
        await run_again(house, document)
    assert await house.stack.state(document) == "returned"
    db = house.stack.wiring.db
    changes = (await house.stack.qlvb.json("GET", "/api/v1/changes?limit=200"))["items"]
    said = [one["detail"] for one in changes if (one["document"], one["kind"]) == (document, "document.returned")]
    assert said == [{"reason": "time-stamp-revoked"}]
    rows = await db.fetch_all("SELECT kind FROM notices WHERE document = $1 AND state = 'open'", document)
    assert {one["kind"] for one in rows} >= {"stamp_revoked"}
    assert "signer_revoked" not in {one["kind"] for one in rows}
    assert await db.fetch_all("SELECT kind FROM jobs WHERE ordering_key = $1", f"preservation:{document}") == []
    # From now on the next authority is asked where this one still answers.
    house.stack.pki.authority.tsa = unit
    with pytest.raises(NoStamp):
        await house.stack.wiring.stamps.fetch(b"a signature value")


async def test_a_document_is_stamped_anew_where_its_archive_stamp_lost_its_authority(
    house: House, tmp_path: Path
) -> None:
    document = await held(house)
    unit = house.stack.pki.authority.tsa
    house.switch(ocsp=True, crl=True)
    while await house.stack.state(document) == "sealed_pending_archive":
        await run_again(house, document)
    first = (await house.file(document, tmp_path)).rename(tmp_path / "first.pdf")
    keeper, parts = keeping(house, "B-LTA")
    house.clock.offset = dt.timedelta(days=211)
    try:
        house.stack.pki.authority.revoke(unit.certificate.serial_number, x509.ReasonFlags.key_compromise)
        house.stack.pki.authority.renew_tsa()
        finishing = Finishing()
        for _ in range(600):
            # A receiver's status may move the document at the same moment; then the job comes again.
            with contextlib.suppress(Retry):
                await keeper.archive(document, finishing)  # type: ignore[arg-type]
            if finishing.finished:
                break
            await asyncio.sleep(0.1)
        assert finishing.finished == 1
    finally:
        for part in parts:
            await part.close()
    final = await house.file(document, tmp_path)
    assert final.read_bytes().startswith(first.read_bytes())
    assert [one.field for one in signed_with(final) if one.timestamp] == ["HT_DTS1", "HT_DTS2"]
    root = house.stack.pki.authority.root.certificate.public_bytes(serialization.Encoding.DER)
    now_us = house.clock.now_us()
    assert {one.indication for one in validate(final, Trust(roots=(root,)), now_us).signatures} == {Indication.PASSED}
    # The new stamp rests on nothing that the lost one proved: what it covers brings every signature's evidence of today.
    was, now = (store(path) for path in (first, final))
    fresh = ValidationData(
        now.certificates,
        tuple(one for one in now.ocsps if one not in was.ocsps),
        tuple(one for one in now.crls if one not in was.crls),
    )
    for one in signed_with(final)[:2]:
        for leaf in (one.certificate, one.token[0]):
            for own, above in itertools.pairwise(path_of(leaf, fresh.certificates)):
                state = status_of(own, above, fresh, at_us=one.token_time_us or 0, now_us=now_us).state
                assert state is CertificateState.GOOD


def store(path: Path) -> ValidationData:
    with open_document(path) as document:
        return read_dss(document.head)


async def run_again(house: House, document: str) -> None:
    """Make the waiting job due now rather than in a minute; it may still be at work, so it is asked for repeatedly."""
    await asyncio.sleep(0.05)
    await house.stack.wiring.db.transact(
        lambda tx: tx.execute(
            "UPDATE jobs SET due_us = 0 WHERE kind = 'preservation.archive' AND ordering_key = $1",
            f"preservation:{document}",
        )
    )


def keeping(house: House, level: str) -> tuple[PreservationService, tuple[RevocationService, TimeStamps]]:
    """The service as it would be at the moved clock, and what has to be closed behind it."""
    wiring, settings = house.stack.wiring, house.stack.settings
    root = house.stack.pki.authority.root.certificate.public_bytes(serialization.Encoding.DER)
    revocation = RevocationService(
        db=wiring.db, clock=house.clock, hosts=settings.trust.status_hosts, roots=(root,), timeout_s=5,
        fresh_us=3600_000_000, grace_us=3600_000_000,
    )  # fmt: skip
    stamps = TimeStamps(settings.tsa.urls, TimeStampTrust(roots=(root,)), house.clock)
    keeper = PreservationService(
        db=wiring.db, blobs=wiring.blobs, pdf=wiring.pdf, previews=wiring.previews, revocation=revocation, stamps=stamps, clock=house.clock,
        level=level, wait_us=1, fallback="hold", renewal_us=90 * DAY_US,
    )  # fmt: skip
    return keeper, (revocation, stamps)


async def test_a_policy_may_hold_and_may_ask_for_b_lt(house: House, tmp_path: Path) -> None:
    # D6 with the policy "hold": nothing leaves; B-LT is evidence without the archive's stamp.
    document = await house.signed()
    assert (await house.clerk.sheet(document))["certificate_status"]["state"] == "good"
    await house.forget_statuses()
    house.switch(ocsp=False, crl=False)
    assert (await house.clerk.sign(document)).status_code == 200
    await house.stack.until(document, "sealed_pending_archive")
    keeper, parts = keeping(house, "B-LT")
    try:
        with pytest.raises(Retry) as caught:
            await keeper.archive(document, Finishing())  # type: ignore[arg-type]
        assert caught.value.reason == "certificate-status-unavailable"
        assert await house.stack.state(document) == "sealed_pending_archive"
        house.switch(ocsp=True, crl=True)
        await keeper.archive(document, Finishing())  # type: ignore[arg-type]
        await keeper.archive(document, Finishing())  # type: ignore[arg-type]
    finally:
        for part in parts:
            await part.close()
    await house.stack.until(document, *OUT)
    final = await house.file(document, tmp_path)
    assert [one.timestamp for one in signed_with(final)] == [False, False]
    with open_document(final) as opened:
        assert read_dss(opened.head).ocsps
    changes = chain(final)
    assert not any(change.reason for change in changes)
    assert changes[-1].change is not None
    assert changes[-1].change.validation_data


async def test_the_archive_is_renewed_before_its_stamp_ends(house: House, tmp_path: Path) -> None:
    """The demo's time-stamping certificate ends after 300 days; 90 days before, the next stamp is due."""
    document = await house.sealed("forwarded", "delivered", "accepted")
    before = (await house.file(document, tmp_path)).read_bytes()
    clock = house.clock
    root = house.stack.pki.authority.root.certificate.public_bytes(serialization.Encoding.DER)
    keeper, parts = keeping(house, "B-LTA")
    try:
        clock.offset = dt.timedelta(days=209)
        assert document not in [one for one, _ in await keeper.renewals(500)]
        clock.offset = dt.timedelta(days=211)
        assert document in [one for one, _ in await keeper.renewals(500)]
        # A stamp of the same certificate would win no time: it is not taken, and the job goes on asking.
        with pytest.raises(Retry) as caught:
            await keeper.archive(document, Finishing())  # type: ignore[arg-type]
        assert caught.value.reason == "no-time-stamp"
        house.stack.pki.authority.renew_tsa()
        finishing = Finishing()
        await keeper.archive(document, finishing)  # type: ignore[arg-type]
        assert finishing.finished == 1
        assert document not in [one for one, _ in await keeper.renewals(500)]
        # Once done, the same job does nothing.
        await keeper.archive(document, Finishing())  # type: ignore[arg-type]
    finally:
        for part in parts:
            await part.close()
    final = await house.file(document, tmp_path)
    assert final.read_bytes().startswith(before)
    signed = signed_with(final)
    assert [one.field for one in signed if one.timestamp] == ["HT_DTS1", "HT_DTS2"]
    proven(final, root, clock.now_us())
    assert all(one.valid for one in pdfsig(final) if one.subfilter == "ETSI.CAdES.detached")
    assert not any(change.reason for change in chain(final))


class Finishing:
    """The part of a job's context that ends it in the handler's transaction."""

    def __init__(self) -> None:
        self.finished = 0

    async def finish(self, _tx: Any) -> None:
        self.finished += 1


# -- Fields that the file brings along, certification, lock ---------------------------------------------------------------


def certified(folder: Path) -> bytes:
    """A file of another agency: certified at P=2, with an empty field for a person and one for a seal."""
    source = folder / "source.pdf"
    source.write_bytes(pdfs.plain())
    signed, _info = fakes.sign(source, folder, fakes.request(0, certify=True), fakes.leader())
    return signed.read_bytes()


async def test_a_certified_file_is_signed_in_its_own_empty_fields(house: House, tmp_path: Path) -> None:
    # ISO 32000-1, 12.8.2.2: P=2 lets existing fields be signed and forbids new visible ones.
    pdf = certified(tmp_path)
    signers = [{"person": house.leader.person, "field": "HT_SIG2"}]
    refused = await house.stack.take_in(pdf, [house.leader])
    assert code(refused) == "no-room-for-signature"
    refused = await house.stack.take_in(pdf, [], signers=signers, seal_field="HT_SIG1")
    assert code(refused) == "no-room-for-signature"  # that one is filled
    refused = await house.stack.take_in(pdf, [], signers=signers, seal_field="HT_SIG2")
    assert code(refused) == "route-invalid"
    taken = await house.stack.take_in(pdf, [], signers=signers, seal_field="HT_SEAL")
    assert taken.status_code == 201, taken.text
    document = str(taken.json()["id"])
    assert (await house.leader.sign(document)).status_code == 200
    await house.stack.until(document, "signed")
    assert (await house.clerk.sign(document)).status_code == 200
    await house.stack.until(document, *OUT)
    final = await house.file(document, tmp_path)
    assert final.read_bytes().startswith(pdf)
    assert [one.field for one in signed_with(final)] == ["HT_SIG1", "HT_SIG2", "HT_SEAL", "HT_DTS1"]
    verdicts = [one for one in pdfsig(final) if one.subfilter == "ETSI.CAdES.detached"]
    assert [one.valid for one in verdicts] == [True] * 3
    assert not any(change.reason for change in chain(final))


async def test_policy_certifies_and_lets_the_seal_lock(house: House, tmp_path: Path) -> None:
    wiring = house.stack.wiring
    work = PdfWork(wiring.sandbox, font=DEFAULT_FONT, roots=(), tsa_roots=(), certify=True, seal_locks=True)
    source, out = tmp_path / "source.pdf", wiring.blobs.scratch() / "certified.pdf"
    source.write_bytes(pdfs.plain())
    route = [
        RouteField(
            position=place, kind=kind, field_name=name, authority="", name="Nguyễn Văn Mẫu", title="CHỦ TỊCH",
            organisation="Ủy ban nhân dân xã Mẫu", placement=None,
        )
        for place, kind, name in ((1, "person", "HT_A"), (2, "seal", "HT_B"))
    ]  # fmt: skip
    try:
        async with work.prepare(
            source, out, route=route, position=1, signer_name="Nguyễn Văn Mẫu", signer_title="CHỦ TỊCH", reference="",
            certificate=bytes(900), chain=bytes(900), now_us=house.clock.now_us(),
        ):  # fmt: skip
            pass
        with open_document(out) as document:
            view = document.head
            assert view.dictionary(view.catalog[Name("Perms")]).keys() == {"DocMDP"}
            locks = {one.name: view.dictionary(one.dictionary.get(Name("Lock"))) for one in form_fields(view)}
    finally:
        out.unlink(missing_ok=True)
    assert locks["HT_A"] == {}
    assert (locks["HT_B"][Name("Action")], locks["HT_B"][Name("P")]) == ("All", 1)
