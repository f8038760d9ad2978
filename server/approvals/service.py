"""From the open sheet to the stored signature: prepare, show, approve, and the protocol across the two stores.

S1  server: `in_review → signing` (or `signed → sealing`) by one conditional UPDATE, the intent, the audit event; commit.
G1–G3  signer: verify, charge, derive, sign, log; only then answer.
S2  server: CMS beside the prepared bytes, `→ …_pending_timestamp`, audit, outbox; commit. The time stamp is a job.
A crash between any two steps is settled by the job `approvals.reconcile`, which asks the signer what became of the intent
(threats A10, A11, A12, D1).

Longer than most: sheet, approval and the protocol with the signer are one story, told in its order.
"""

import asyncio
import hashlib
import random
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypedDict

import msgspec
import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from server import jobs
from server.approvals import queries
from server.approvals.model import (
    ActivationRow,
    ActivationState,
    CredentialRow,
    ItemRow,
    PreparedRow,
    PreparedState,
    problem_of,
)
from server.authority import service as authority
from server.clock import Clock
from server.crash import point
from server.db import Database, DatabaseError, Reads, Row, Transaction
from server.documents.model import FORM_WORDS, DocumentRow, State, StepKind, StepRow
from server.documents.service import DocumentService, annexes_of, asks_every_page, documents_load, move, turn_of
from server.errors import PublicField, Refused
from server.identity.model import Actor, Device
from server.identity.proofs import Unspent
from server.ids import new_id
from server.pdfwork import PdfWork, PreparedPdf, RouteField
from server.previews import openings
from server.previews.model import PreparedManifest, encode, parse, with_touched_pages
from server.previews.service import PreviewService
from server.revocation.model import Known
from server.revocation.service import RevocationService, der_sequence
from server.sandbox.pool import Child
from server.stamp_images.queries import ImageRow
from server.stamp_images.service import StampImages
from server.storage import Blobs
from server.wire import iso
from signing.client import Activation, Approval, Kind, PublicJwk, SignerClient, SignerError, Unavailable, cms
from signing.client import ActivationState as SignerState
from signing.core.cms import signed_attributes
from signing.core.codec import CodecError, Unverified, parse_jws, unb64u
from signing.core.model import APPROVAL_TYP

log = structlog.get_logger()

_BUSY_TRIES = 6
# Answers that do not say whether a signature was made: a defect of the signer may show itself after the signature was
# logged. Only the signer's own record decides then (A12).
_ASK_AFTER = frozenset({"challenge-used", "void", "internal", "tampered", "clock-drift"})


class Sheet(msgspec.Struct, frozen=True):
    """What the phone needs before it asks for a PIN. `tbs` and `manifest_digest` (hex) are what the approval names.

    `organisation` is the exchange code that vouchers and approvals use; `field` and `page` say where the stamp stands.
    `unopened`: pages of `unopened_in`, the document or one of its annexes, that must still be opened before the approval is taken; empty where
    the document does not ask for it.
    `certificate`: what is known of the signer's path (SW-4); `signing_stops_us`: until when one signs without a status, None
    where it is good or nobody can be asked.
    """

    prepared: str
    document: str
    kind: StepKind
    parent: str
    tbs: str
    manifest_digest: str
    organisation: str
    credential: str
    subject: str
    field: str
    page: int
    page_count: int
    unopened: list[int]
    unopened_in: str
    expires_us: int
    certificate: Known
    signing_stops_us: int | None


class Reconcile(msgspec.Struct, frozen=True):
    """Job `approvals.reconcile`."""

    challenge: str


class Stamp(msgspec.Struct, frozen=True):
    """Job `approvals.stamp`."""

    challenge: str
    item: int


class _Asked(NamedTuple):
    """What a sheet is made of, all of one state. `answered_for`: whose personal signatures have to be valid before the seal."""

    row: DocumentRow
    step: StepRow
    credential: CredentialRow
    answered_for: DocumentRow | None
    facts: Row
    title: str
    route: list[Row]
    image: ImageRow | None


class ApprovalService:
    """Sheets and activations for people; see the module for the protocol."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: Blobs,
        documents: DocumentService,
        previews: PreviewService,
        pdf: PdfWork,
        images: StampImages,
        signer: SignerClient,
        revocation: RevocationService,
        clock: Clock,
        unstamped_limit_us: int,
        prepared_life_us: int,
        reconcile_after_us: int,
        batch_documents: int,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._documents = documents
        self._previews = previews
        self._pdf = pdf
        self._images = images
        self._signer = signer
        self._revocation = revocation
        self._clock = clock
        self._unstamped_limit_us = unstamped_limit_us
        self._prepared_life_us = prepared_life_us
        self._reconcile_after_us = reconcile_after_us
        self._batch = batch_documents

    # The sheet.

    async def open_sheet(self, actor: Actor, document: str) -> Sheet:
        """Append the signature revision for this person, compare it with its parent, draw what changed, and keep it 15 minutes.

        Raises: Refused("not-your-turn", "document-signing", "credential-unavailable", "office-device-required",
        "personal-signature-missing", "time-stamps-overdue", "authority-missing", "cannot-be-shown", "certificate-revoked",
        "certificate-status-unavailable", "placement-required", PDF refusals).
        """
        asked = await self._db.read(lambda reads: self._asked(reads, actor, document))
        row, step, credential, facts, image = asked.row, asked.step, asked.credential, asked.facts, asked.image
        certificate = credential.certificate or b""
        # SW-1, SW-4: before the PIN is asked, and before any work is done for a sheet that could not be signed.
        known = await self._revocation.check(certificate, der_sequence(credential.chain or b""))
        status = self._revocation.require(known)
        copy = row.copy
        alone = "annex" if row.annex_of is not None else "copy" if copy is not None else ""
        route = [
            RouteField(
                position=other["position"],
                kind=alone or other["kind"],
                field_name=other["field_name"],
                authority=other["authority_line"],
                name=other["name"] or "",
                title=(other["title"] or "") if copy is None else FORM_WORDS[copy.form],
                organisation=facts["organisation_name"],
                placement=None if other["placement"] is None else bytes(other["placement"]),
            )
            for other in asked.route
        ]
        parent_images = await self._previews.images(row.head)
        now_us = self._clock.now_us()
        async with AsyncExitStack() as held:
            parent_path = await held.enter_async_context(self._blobs.local(row.head))
            drawn = None if image is None else await held.enter_async_context(self._blobs.local(image.blob))
            if asked.answered_for is not None and asked.answered_for.id != row.id:
                await self.require_valid(asked.answered_for, "personal-signature-missing")
            out = self._blobs.scratch() / f"prepared-{new_id()}.pdf"
            try:
                async with self._pdf.prepare(
                    parent_path,
                    out,
                    route=route,
                    position=step.position,
                    signer_name=facts["name"],
                    signer_title=asked.title,
                    reference=f"{row.code_number}/{row.code_notation}",
                    certificate=certificate,
                    chain=credential.chain or b"",
                    now_us=now_us,
                    image=drawn,
                    diameter_mm=0.0 if image is None else image.diameter_mm,
                    first=partial(self._check_signed, row, parent_path) if asked.answered_for is row else None,
                ) as (prepared, child):
                    redrawn = await self._previews.draw(
                        out, prepared.prepared_digest, list(prepared.touched_pages), child=child
                    )
                manifest = encode(self._manifest(row, prepared, with_touched_pages(parent_images, redrawn)))
                blob = await self._blobs.put_file(out)
            finally:
                out.unlink(missing_ok=True)
        # What is stored to be signed is what was written and compared, behind the head (rule 3, D17).
        if (prepared.parent_digest, prepared.prepared_digest) != (row.head, blob):
            raise Refused("integrity-failed")
        made = PreparedRow(
            id=new_id(),
            document=document,
            position=step.position,
            person=actor.id,
            credential=credential.id,
            parent=row.head,
            blob=blob,
            tbs=prepared.tbs,
            manifest=manifest,
            manifest_digest=_hex(manifest),
            assembly=prepared.assembly,
            state=PreparedState.READY,
            created_us=now_us,
            expires_us=now_us + self._prepared_life_us,
            authority_grant=step.authority_grant,
        )

        async def body(tx: Transaction) -> None:
            again = await self._documents.get(actor, document, tx)
            now = await turn_of(tx, actor, again)
            if again.head != row.head or now.authority_grant != step.authority_grant:
                raise Refused("conflict")
            await queries.kill_prepared(tx, document, step.position, actor.id)
            await queries.insert_prepared(tx, made)
            await self._revocation.keep(tx, made.id, known)

        await self._db.transact(body)
        filled = next(area for area in prepared.fields if area.state == "filled")
        unopened_in, unopened = await self._unopened(actor, row, step)
        return Sheet(
            prepared=made.id,
            document=document,
            kind=step.kind,
            parent=row.head,
            tbs=made.tbs,
            manifest_digest=made.manifest_digest,
            organisation=facts["code"],
            credential=credential.id,
            subject=credential.subject,
            field=filled.name,
            page=filled.page,
            page_count=row.page_count,
            unopened=unopened,
            unopened_in=unopened_in,
            expires_us=made.expires_us,
            certificate=status,
            signing_stops_us=(
                None if status.good or not self._revocation.configured else self._revocation.stops_us(status)
            ),
        )

    async def _asked(self, reads: Reads, actor: Actor, document: str) -> _Asked:
        """Whether this person may sign now, and what the sheet is made of. Raises: as `open_sheet`, before any work is done for it."""
        row = await self._documents.get(actor, document, reads)
        step = await turn_of(reads, actor, row)
        await self._check_not_frozen(reads, actor)
        credential = await self._credential(reads, actor, step)
        await self._check_stamps_in_time(reads)
        answered_for = await self._check_seal(reads, actor, row) if step.kind is StepKind.SEAL else None
        if step.authority_grant is not None:
            await authority.check(reads, row.organisation, step.authority_grant, **_signing(actor, row, self._clock))
        facts = await queries.signer_facts(reads, actor)
        assert facts is not None
        return _Asked(
            row=row,
            step=step,
            credential=credential,
            answered_for=answered_for,
            facts=facts,
            title=await self._title(reads, row, step, facts["position"]),
            route=await queries.route_facts(reads, document),
            image=await self._image(reads, row, step),
        )

    async def _image(self, reads: Reads, row: DocumentRow, step: StepRow) -> ImageRow | None:
        """The image that this step's stamp shows: only where its place on the page is known (SIG-1), else it stays text.

        A copy's is the corner (SIG-6); an annex shows none (SIG-4).
        """
        if row.annex_of is not None or (step.placement is None and row.copy is None):
            return None
        owner = row.organisation if step.person is None else step.person
        return await self._images.of(row.organisation, owner, reads)

    async def _unopened(self, actor: Actor, row: DocumentRow, step: StepRow) -> tuple[str, list[int]]:
        """The pages that are still to be opened, of the document or else of its first annex that has such (AUT-8)."""
        if await _asks_every_page(self._db, row, step):
            for one in (row, *await annexes_of(self._db, row.id)):
                if pages := await self._unopened_of(self._db, actor, one):
                    return one.id, pages
        return row.id, []

    async def _unopened_of(self, reads: Reads, actor: Actor, row: DocumentRow) -> list[int]:
        return await openings.unopened(
            reads,
            document=row.id,
            revision=row.head,
            person=actor.id,
            renderer=self._previews.renderer,
            page_count=row.page_count,
        )

    async def _title(self, reads: Reads, row: DocumentRow, step: StepRow, position: str) -> str:
        replaced = await authority.replaces_position(reads, row.organisation, step.authority_grant)
        return "" if replaced else position

    def _manifest(self, row: DocumentRow, prepared: PreparedPdf, images: tuple[object, ...]) -> PreparedManifest:
        return PreparedManifest(
            v=1,
            parent=row.head,
            parent_length=prepared.parent_length,
            prepared=prepared.prepared_digest,
            length=prepared.length,
            tbs=prepared.tbs,
            hole_start=prepared.hole_start,
            hole_end=prepared.hole_end,
            fields=prepared.fields,
            renderer=self._previews.renderer,
            page_count=row.page_count,
            images=images,  # type: ignore[arg-type]
        )

    async def manifest(self, actor: Actor, prepared: str) -> bytes:
        """The canonical bytes of the manifest of a prepared revision made for this person."""
        row = await queries.prepared_of(self._db, actor, prepared)
        if row is None or not row.manifest:
            raise Refused("not-found")
        return row.manifest

    async def _credential(self, reads: Reads, actor: Actor, step: StepRow) -> CredentialRow:
        credential = await queries.usable_credential(reads, actor, "seal" if step.kind is StepKind.SEAL else "person")
        if credential is None or credential.certificate is None:
            raise Refused("credential-unavailable")
        certificate = x509.load_der_x509_certificate(credential.certificate)
        now = self._clock.now_us() / 1e6
        # SW-1: the certificate's dates are checked before the PIN is asked.
        if not certificate.not_valid_before_utc.timestamp() <= now <= certificate.not_valid_after_utc.timestamp():
            raise Refused("credential-unavailable")
        return credential

    async def _check_office(self, reads: Reads, actor: Actor) -> None:
        if actor.device is None or not await queries.is_office_device(reads, actor.device):
            raise Refused("office-device-required")

    async def _check_not_frozen(self, reads: Reads, actor: Actor) -> None:
        """The signer freezes a person's own key; the organisation's seal has other holders, so a frozen one is stopped here."""
        if await queries.is_frozen(reads, actor.id):
            raise Refused("key-frozen")

    async def _check_seal(self, reads: Reads, actor: Actor, row: DocumentRow) -> DocumentRow | None:
        """The document whose personal signatures must be valid before this one is sealed; None where nobody signs one (SIG-6, SIG-7)."""
        await self._check_office(reads, actor)
        if row.annex_of is not None:
            # Nobody signs an annex: what it belongs to is signed and sealed (SIG-4).
            main = await documents_load(reads, row.annex_of)
            assert main is not None
            if main.state is not State.SEALED:
                raise Refused("conflict")
            row = main
        return row if row.copy is None else None  # what others answer for has no personal signature

    async def require_valid(self, row: DocumentRow, code: str) -> None:
        """Our own validation of the head's whole chain must have passed (before the seal, before forwarding; SIG-7).

        Raises: Refused(code).
        """
        async with self._blobs.local(row.head) as path:
            if not await self._valid(row, path, None):
                raise Refused(code)

    async def _check_signed(self, row: DocumentRow, path: Path, child: Child) -> None:
        if not await self._valid(row, path, child):
            raise Refused("personal-signature-missing")

    async def _valid(self, row: DocumentRow, path: Path, child: Child | None) -> bool:
        """`path`: the head; `child`: one that may read it."""

        async def to_judge(reads: Reads) -> list[str] | None:
            known = await queries.validation(reads, row.head)
            # Only a good verdict is kept: a bad one may have come from a root that was not configured yet.
            if known is not None and known["verdict"] == "valid":
                return None
            return await required_fields(reads, row.id)

        required = await self._db.read(to_judge)
        if required is None:
            return True
        verdict, report = await self._pdf.validate(path, required, self._clock.now_us(), child)
        await self._db.transact(lambda tx: keep_verdict(tx, row.head, verdict, report, self._clock.now_us()))
        return verdict == "valid"

    async def _check_stamps_in_time(self, reads: Reads) -> None:
        oldest = await queries.oldest_unstamped(reads)
        if oldest is not None and self._clock.now_us() - oldest > self._unstamped_limit_us:
            raise Refused("time-stamps-overdue")

    # The activation.

    async def challenge(self, actor: Actor, credential: str) -> dict[str, object]:
        """A challenge of the signer for this device and credential, with the statement of the key that the PIN is sealed to."""
        held = await self._db.fetch_one(
            "SELECT c.id FROM credentials c JOIN credential_holders h ON h.credential = c.id WHERE c.id = $1 AND h.person = $2 AND c.organisation = $3",
            credential,
            actor.id,
            actor.organisation,
        )
        device = None if actor.device is None else await queries.approval_key(self._db, actor.device)
        if held is None or device is None:
            raise Refused("not-found")
        await self._check_not_frozen(self._db, actor)
        try:
            grant = await self._signer.challenge(credential, str(device["approval_key"]))
        except SignerError as error:
            raise refused(error) from None
        return {
            "challenge": grant.challenge,
            "statement": grant.statement,
            "identity": msgspec.to_builtins(grant.identity),
        }

    async def approve(self, actor: Actor, approval: str, sealed_pin: bytes, proof: Unspent) -> list[str]:
        """Sign every item of an approval, or none; returns the documents' ids, now awaiting their time stamps.

        The call's proof is spent in S1.

        Runs to its end even if the caller goes away. Raises: Refused (see `PROBLEM_OF_SIGNER`, "prepared-expired", ...).
        """
        claimed = self._claimed(approval)
        payload = claimed.peek(Approval)

        async def body(tx: Transaction) -> list[PreparedRow]:
            await proof.spend(tx)
            await self._admitted(tx, actor, claimed)
            return await self._intend(tx, actor, payload, approval)

        rows = await self._db.transact(body)
        point("s1-committed")
        task = asyncio.create_task(self._activate(payload.challenge, approval, sealed_pin))
        try:
            await asyncio.shield(task)
        except DatabaseError:
            # The intent stands and the signature may exist: whoever reads "nothing was done" would be misled.
            raise Refused("outcome-unknown") from None
        return [row.document for row in rows]

    async def progress(self, actor: Actor, challenge: str) -> list[Row]:
        """What became of each document of an approval of this person. Raises: Refused("not-found") until it has arrived."""
        rows = await queries.progress(self._db, actor, challenge)
        if not rows:
            raise Refused("not-found")
        return rows

    def _claimed(self, approval: str) -> Unverified:
        """An approval in form; whose it is, S1 finds out."""
        try:
            claimed = parse_jws(approval, APPROVAL_TYP)
            payload = claimed.peek(Approval)
            # The signer checks these too; here they become keys of our own rows first.
            unb64u(payload.challenge, 32), unb64u(payload.credential, 16)
            for item in payload.items:
                unb64u(item.tbs, 32), unb64u(item.manifest, 32)
        except CodecError:
            raise Refused("approval-invalid") from None
        if (
            payload.kind is not Kind.DOCUMENT
            or not payload.items
            or len({item.tbs for item in payload.items}) != len(payload.items)
            or len(payload.items) > self._batch
        ):
            raise Refused("approval-invalid")
        return claimed

    async def _admitted(self, tx: Transaction, actor: Actor, claimed: Unverified) -> None:
        """The approval is signed by this device's key. Asked in the transaction that records the intent: the device may have been
        revoked since the call began (A1).
        """
        device = None if actor.device is None else await queries.approval_key(tx, actor.device)
        if device is None:
            raise Refused("device-not-admitted")
        await self._check_not_frozen(tx, actor)
        try:
            claimed.check(msgspec.json.decode(device["approval_jwk"], type=PublicJwk))
        except CodecError:
            raise Refused("approval-invalid") from None

    async def _intend(self, tx: Transaction, actor: Actor, payload: Approval, approval: str) -> list[PreparedRow]:
        """S1: everything that this approval will change is taken by conditional updates, or nothing is."""
        now_us = self._clock.now_us()
        assert actor.device is not None
        await self._check_stamps_in_time(tx)
        taken = await queries.insert_activation(
            tx,
            ActivationRow(
                challenge=payload.challenge,
                organisation=actor.organisation,
                person=actor.id,
                device=actor.device,
                credential=payload.credential,
                approval=approval,
                state=ActivationState.INTENT,
                outcome=None,
                created_us=now_us,
                settled_us=None,
            ),
        )
        if not taken:
            raise Refused("approval-used")
        rows: list[PreparedRow] = []
        for number, item in enumerate(payload.items):
            row = await queries.prepared_by_tbs(tx, actor, unb64u(item.tbs, 32).hex())
            if (
                row is None
                or row.credential != payload.credential
                or row.manifest_digest != unb64u(item.manifest, 32).hex()
            ):
                raise Refused("approval-invalid")
            if row.expires_us < now_us or not await queries.set_prepared(
                tx, row.id, expected=PreparedState.READY, state=PreparedState.USED
            ):
                raise Refused("prepared-expired")
            document = await self._documents.get(actor, row.document, tx)
            step = await turn_of(tx, actor, document)
            if (document.head, step.position, step.authority_grant) != (row.parent, row.position, row.authority_grant):
                raise Refused("prepared-expired")
            # AUT-8: with the document he signs for its annexes as they were when the sheet was opened.
            if await queries.annexed_since(tx, document.id, row.created_us):
                raise Refused("prepared-expired")
            if step.authority_grant is not None:
                # AUT-6: asked now, not when the step was assigned.
                await authority.spend(
                    tx, document.organisation, step.authority_grant, **_signing(actor, document, self._clock)
                )
            if step.kind is StepKind.SEAL:
                await self._check_office(tx, actor)
            opened: dict[str, str] = {}
            if await _asks_every_page(tx, document, step):
                opened = await openings.prove(
                    tx,
                    row.id,
                    document=document.id,
                    revision=document.head,
                    person=actor.id,
                    renderer=parse(row.manifest).renderer,
                    page_count=document.page_count,
                )
                for annex in await annexes_of(tx, document.id):
                    if pages := await self._unopened_of(tx, actor, annex):
                        raise Refused("pages-unopened", document=annex.id, pages=pages[:100])
            checked = await self._revocation.require_still(tx, row.id)
            target = State.SEALING if step.kind is StepKind.SEAL else State.SIGNING
            await move(
                tx,
                document,
                target,
                actor=actor.id,
                now_us=now_us,
                step=step.position,
                event="signature.intended",
                body={
                    "challenge": payload.challenge,
                    "tbs": row.tbs,
                    "manifest": row.manifest_digest,
                    "credential": row.credential,
                    **checked,
                    **opened,
                    **await authority.evidence(tx, document.organisation, step.authority_grant),
                },
            )
            await queries.insert_item(
                tx,
                ItemRow(
                    challenge=payload.challenge,
                    item=number,
                    document=row.document,
                    position=row.position,
                    prepared=row.id,
                    tbs=row.tbs,
                    manifest_digest=row.manifest_digest,
                    cms=None,
                    signed_us=None,
                    stamped_us=None,
                    revision=None,
                ),
            )
            rows.append(row)
        await jobs.enqueue(
            tx,
            "approvals.reconcile",
            Reconcile(challenge=payload.challenge),
            lane=jobs.Lane.URGENT,
            run_at_us=now_us + self._reconcile_after_us,
            dedupe_key=f"approvals.reconcile:{payload.challenge}",
        )
        return rows

    async def _activate(self, challenge: str, approval: str, sealed_pin: bytes) -> None:
        try:
            activation = await self._signer_signs(approval, sealed_pin)
        except Unavailable:
            # The answer was lost; whether a signature exists is found by `reconcile`. Nothing may be undone here.
            raise Refused("signer-unavailable") from None
        except SignerError as error:
            if error.code not in _ASK_AFTER:
                await self.abandon(challenge, error.code)
                if error.code == "busy":  # this approval is spent here, whatever the signer would still make of it
                    raise Refused("signer-busy") from None
                raise refused(error) from None
            try:
                await self.reconcile(challenge)
            except SignerError:
                raise Refused("signer-unavailable") from None
            raise refused(error) from None
        point("g3-answered")
        await self.settle(challenge, activation)

    async def _signer_signs(self, approval: str, sealed_pin: bytes) -> Activation:
        """Ask the signer; `busy` is answered before anything is charged, so it is asked again for a few seconds."""
        for attempt in range(_BUSY_TRIES):
            try:
                return await self._signer.activate(approval, sealed_pin)
            except SignerError as error:
                if error.code != "busy" or attempt == _BUSY_TRIES - 1:
                    raise
            await asyncio.sleep((0.05 * 2**attempt) * (0.5 + random.random()))  # noqa: S311 - jitter
        raise AssertionError

    async def settle(self, challenge: str, activation: Activation) -> None:
        """S2: check the signer's answer against what was approved and keep the CMS; idempotent.

        Raises: Refused("integrity-failed") if the answer is not a signature by the stored certificate over the approved `tbs`;
        the document then stays in flight and alarms.
        """
        containers = cms(activation)
        point("s2-before")

        async def body(tx: Transaction) -> None:
            row = await queries.activation(tx, challenge)
            if row is None or row.state is not ActivationState.INTENT:
                return
            now_us = self._clock.now_us()
            items = await queries.items(tx, challenge)
            check_answer(activation, items)
            await queries.settle_activation(tx, challenge, ActivationState.SIGNED, "signed", now_us)
            for item, container in zip(items, containers, strict=True):
                await queries.store_cms(tx, challenge, item.item, container, now_us)
                document = await self._loaded(tx, item.document)
                sealing = document.state is State.SEALING
                await move(
                    tx,
                    document,
                    State.SEALED_PENDING_TIMESTAMP if sealing else State.SIGNED_PENDING_TIMESTAMP,
                    actor=row.person,
                    now_us=now_us,
                    step=item.position,
                    event="signature.made",
                    body={
                        "challenge": challenge,
                        "tbs": item.tbs,
                        "cms": _hex(container),
                        "certificate": _hex(activation.certificate),
                    },
                )
                await jobs.enqueue(
                    tx,
                    "approvals.stamp",
                    Stamp(challenge=challenge, item=item.item),
                    lane=jobs.Lane.URGENT,
                    ordering_key=f"stamp:{item.document}",
                    dedupe_key=f"approvals.stamp:{challenge}:{item.item}",
                )

        await self._db.transact(body)
        point("s2-committed")

    async def abandon(self, challenge: str, outcome: str) -> None:
        """No signature came of the intent: the documents wait for their signer again; idempotent."""

        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            if not await queries.settle_activation(tx, challenge, ActivationState.VOID, outcome, now_us):
                return
            row = await queries.activation(tx, challenge)
            assert row is not None
            for item in await queries.items(tx, challenge):
                document = await self._loaded(tx, item.document)
                back = State.SIGNED if document.state is State.SEALING else State.IN_REVIEW
                await move(
                    tx,
                    document,
                    back,
                    actor=row.person,
                    now_us=now_us,
                    step=item.position,
                    event="signature.abandoned",
                    body={"challenge": challenge, "outcome": outcome},
                )
                await queries.set_prepared(tx, item.prepared, expected=PreparedState.USED, state=PreparedState.READY)

        await self._db.transact(body)

    async def reconcile(self, challenge: str) -> bool:
        """Find out what became of an intent and finish it; False while the signer still works on it.

        Raises: Unavailable when the signer does not answer.
        """
        row = await queries.activation(self._db, challenge)
        if row is None or row.state is not ActivationState.INTENT:
            return True
        outcome = await self._signer.result(challenge)
        if outcome.state is SignerState.RUNNING:
            return False
        if outcome.state is SignerState.UNKNOWN:
            outcome = await self._signer.void(challenge)
        if outcome.state is SignerState.SIGNED and outcome.activation is not None:
            await self.settle(challenge, outcome.activation)
        elif outcome.state is SignerState.RUNNING:
            return False
        else:
            await self.abandon(challenge, str(outcome.state))
        return True

    @staticmethod
    async def _loaded(tx: Transaction, document: str) -> DocumentRow:
        row = await documents_load(tx, document)
        if row is None:
            raise Refused("not-found")
        return row


async def device_revoked(tx: Transaction, device: Device) -> None:
    """In the transaction that revokes a device: what it set going is fenced at the signer at once, not after the usual wait (A1)."""
    for challenge in await queries.open_activations_of(tx, device.id):
        await jobs.enqueue(
            tx,
            "approvals.reconcile",
            Reconcile(challenge=challenge),
            lane=jobs.Lane.URGENT,
            dedupe_key=f"approvals.fence:{challenge}",
        )


async def required_fields(reads: Reads, document: str) -> list[str]:
    """The signature fields of the route that are filled, in order: each must pass wherever the document's head is judged."""
    return await queries.done_fields(reads, document)


async def keep_verdict(tx: Transaction, revision: str, verdict: str, report: bytes, now_us: int) -> None:
    """What our own validation said of a stored revision's whole chain (SIG-7)."""
    await queries.put_validation(tx, revision, verdict, report, now_us)


async def _asks_every_page(reads: Reads, row: DocumentRow, step: StepRow) -> bool:
    """The clerk seals what others answer for (AUT-8); they read it."""
    return step.kind is not StepKind.SEAL and await asks_every_page(reads, row)


class _Signing(TypedDict):
    holder: str
    type_name: str
    urgency: int
    now_us: int


def _signing(actor: Actor, row: DocumentRow, clock: Clock) -> _Signing:
    """Who signs what, as the scope of a grant sees it."""
    return _Signing(holder=actor.id, type_name=row.type_name, urgency=row.urgency, now_us=clock.now_us())


def refused(error: SignerError) -> Refused:
    """The signer's refusal as a problem; tries and locks are public to the person concerned."""
    fields: dict[str, PublicField] = {}
    if "tries_left" in error.fields:
        fields["tries_left"] = error.fields["tries_left"]
    until = error.fields.get("locked_until_us", 0)
    if isinstance(until, int) and until > 0:
        fields["locked_until"] = iso(until)
    if "reason" in error.fields:
        fields["reason"] = error.fields["reason"]
    return Refused(problem_of(error.code), **fields)


def check_answer(activation: Activation, items: list[ItemRow]) -> None:
    """The signatures are over exactly the approved digests, with our attributes, by the certificate's key (≤ 1 ms an item).

    Raises: Refused("integrity-failed").
    """
    if [signature.tbs.hex() for signature in activation.signatures] != [item.tbs for item in items]:
        raise Refused("integrity-failed")
    key = x509.load_der_x509_certificate(activation.certificate).public_key()
    for signature in activation.signatures:
        if signature.signed_attributes != signed_attributes(signature.tbs, activation.certificate):
            raise Refused("integrity-failed")
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature.signature, signature.signed_attributes, ec.ECDSA(hashes.SHA256()))
            elif isinstance(key, rsa.RSAPublicKey):
                key.verify(
                    signature.signature,
                    signature.signed_attributes,
                    padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32),
                    hashes.SHA256(),
                )
            else:
                raise Refused("integrity-failed")
        except InvalidSignature:
            raise Refused("integrity-failed") from None


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
