"""Jobs of approvals: the time stamp and the assembled revision, intents without an answer, prepared bytes that nobody used."""

import asyncio
import hashlib
from collections.abc import Mapping

import structlog

from server.approvals import queries
from server.approvals.model import ItemRow, PreparedRow
from server.approvals.service import ApprovalService, Reconcile, Stamp
from server.authority import service as authority
from server.clock import Clock
from server.crash import point
from server.db import Database, Reads, Transaction
from server.documents.model import State, StepKind
from server.documents.service import advance
from server.errors import Refused
from server.ids import new_id
from server.jobs import Bury, Context, Handler, Job, Periodic, Retry
from server.pdfwork import PdfWork
from server.previews import openings
from server.previews.model import PreparedManifest, parse
from server.previews.service import PreviewService
from server.storage import Blobs
from server.timestamps import NoStamp, TimeStamps
from signing.client import Unavailable
from signing.cms import signature_value, with_timestamp
from signing.pdf.errors import PdfError

log = structlog.get_logger()

_ATTRIBUTE_BYTES = 128  # DER around a token: attribute, its type, longer lengths outside


class ApprovalTasks:
    """Handlers; every one is idempotent, as the outbox delivers at least once. `sealed`: where the seal leads."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: Blobs,
        approvals: ApprovalService,
        previews: PreviewService,
        pdf: PdfWork,
        stamps: TimeStamps,
        clock: Clock,
        sealed: State,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._approvals = approvals
        self._previews = previews
        self._pdf = pdf
        self._stamps = stamps
        self._clock = clock
        self._sealed = sealed

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "approvals.stamp": self.stamp,
            "approvals.reconcile": self.reconcile,
            "approvals.validate": self.judged_where_it_is_needed,
        }

    def periodic(self) -> list[Periodic]:
        return [Periodic(kind="approvals.sweep", every_s=60, handler=self.sweep)]

    async def reconcile(self, job: Job, _context: Context) -> None:
        try:
            settled = await self._approvals.reconcile(job.decode(Reconcile).challenge)
        except Unavailable:
            raise Retry(10, "the signer does not answer") from None
        if not settled:
            raise Retry(5, "the signer still works on it")

    async def judged_where_it_is_needed(self, _job: Job, _context: Context) -> None:
        """A worker of an older version that still runs beside this one asks for verdicts in advance; nobody waits for them."""

    async def stamp(self, job: Job, context: Context) -> None:
        """Fetch the time stamp, assemble the revision once, and put the document before whoever is next (architecture §6.5)."""
        wanted = job.decode(Stamp)

        async def waiting(reads: Reads) -> tuple[ItemRow | None, PreparedRow | None]:
            item = await queries.item(reads, wanted.challenge, wanted.item)
            return item, None if item is None else await queries.load_prepared(reads, item.prepared)

        item, prepared = await self._db.read(waiting)
        if item is None or item.cms is None or item.stamped_us is not None:
            return
        if prepared is None:
            raise Bury("the prepared revision is gone")
        try:
            room = self._pdf.capacity(prepared.assembly) - len(item.cms) - _ATTRIBUTE_BYTES
            token = await self._stamps.fetch(signature_value(item.cms), room=room, not_before_us=prepared.created_us)
        except NoStamp:
            raise Retry(min(60, 5 * job.attempt), "no time stamp") from None
        point("token-fetched")
        cms = with_timestamp(item.cms, token)
        digest, size = await self._assemble(prepared, cms)
        point("assembled")
        await self._db.transact(lambda tx: self._finish(tx, item, prepared, cms, digest, size, context))
        point("s3-committed")

    async def _assemble(self, prepared: PreparedRow, cms: bytes) -> tuple[str, int]:
        out = self._blobs.scratch() / f"revision-{new_id()}.pdf"
        try:
            async with self._blobs.local(prepared.blob) as path:
                digest = await asyncio.to_thread(self._pdf.assemble, path, prepared.assembly, cms, out)
            size = out.stat().st_size
            stored = await self._blobs.put_file(out)
        except (PdfError, Refused) as error:
            if error.code in {"disk", "insufficient-storage"}:
                # Waiting for space is no failure of the job: a signature must not end as a dead letter for it (D8).
                raise Retry(None, error.code) from None
            raise
        finally:
            out.unlink(missing_ok=True)
        if stored != digest:
            raise Retry(None, "the assembled bytes changed on their way to the store")
        return digest, size

    async def _finish(
        self,
        tx: Transaction,
        item: ItemRow,
        prepared: PreparedRow,
        cms: bytes,
        digest: str,
        size: int,
        context: Context,
    ) -> None:
        now_us = self._clock.now_us()
        if not await queries.finish_item(tx, item.challenge, item.item, cms=cms, revision=digest, now_us=now_us):
            return
        activation = await queries.activation(tx, item.challenge)
        assert activation is not None
        manifest = parse(prepared.manifest)
        assert isinstance(manifest, PreparedManifest)
        await self._previews.adopt(tx, digest, manifest.renderer, manifest.images)
        evidence = {
            "challenge": item.challenge,
            "tbs": item.tbs,
            "manifest": item.manifest_digest,
            "cms": hashlib.sha256(cms).hexdigest(),
            "approval": hashlib.sha256(activation.approval.encode()).hexdigest(),
            "credential": activation.credential,
            **await authority.evidence(tx, activation.organisation, prepared.authority_grant),
            **await openings.evidence(tx, prepared.id),
        }
        kind = await queries.step_kind(tx, item.document, item.position)
        event = await advance(
            tx,
            item.document,
            item.position,
            digest=digest,
            size=size,
            actor=activation.person,
            evidence=evidence,
            now_us=now_us,
            sealed=self._sealed,
        )
        await queries.insert_receipt(
            tx,
            id_=new_id(),
            organisation=activation.organisation,
            document=item.document,
            challenge=item.challenge,
            event=event,
            kind="initials" if kind == StepKind.INITIALS else "signature",
            now_us=now_us,
        )
        await context.finish(tx)

    async def sweep(self, _job: Job, _context: Context) -> None:
        """Forget the bytes of prepared revisions that died or expired unused; close intents that have no job any more."""
        now_us = self._clock.now_us()
        for row in await queries.expired_prepared(self._db, now_us, 200):
            await self._db.transact(lambda tx, id_=row["id"]: queries.forget_blob(tx, id_))  # type: ignore[misc]
            if not await queries.blob_named(self._db, str(row["blob"])):
                await self._blobs.delete(str(row["blob"]))
        for challenge in await queries.open_activations(self._db, now_us - 120_000_000, 50):
            try:
                await self._approvals.reconcile(challenge)
            except Unavailable:
                return
