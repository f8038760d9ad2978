"""From a sealed file to B-LTA, and again before the last archive stamp's certificate ends (EN 319 142-1; SW-5, D6).

The evidence is gathered first: certificates, OCSP answers and lists for every signer, the seal and the time-stamping
authorities, each proving what was so at its signature's own time. Then one revision carries it with a document time stamp. No
person is involved and no key of ours: a revision that was prepared and lost is prepared anew.
"""

import asyncio
import hashlib
from collections.abc import Sequence

import structlog

from server.approvals.service import keep_verdict, required_fields
from server.clock import Clock
from server.crash import point
from server.db import Database, Reads, Row, Transaction
from server.documents.model import ARCHIVED, DocumentRow, State
from server.documents.service import archive_postponed, archived, documents_load, unproven
from server.errors import Refused
from server.ids import new_id
from server.jobs import Context, Retry
from server.notices.model import NoticeKind
from server.pdfwork import PdfWork
from server.preservation import queries
from server.previews.service import PreviewService
from server.revocation.service import RevocationService
from server.storage import Blobs
from server.timestamps import NoStamp, TimeStamps, not_after_us
from signing.pdf.archive import SignedWith
from signing.pdf.errors import PdfError
from signing.pdf.revision import Prepared
from signing.pdf.revocation import ON_HOLD, CertificateState, ValidationData
from signing.pdf.timestamp import TimeStampToken

log = structlog.get_logger()

_RETRY_S = 60.0
_DEFECT = frozenset({"changed-beyond-signature", "integrity-failed"})
_DEFECT_RETRY_S = 3600.0
"""What the comparison refused it will refuse again, and every try costs a time stamp."""
_NEVER_US = 1 << 62  # without a stamp there is nothing to renew


class EvidenceMissingError(Exception):
    """What the level needs cannot be had now; `reason` is a stable code."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class SuspendedError(EvidenceMissingError):
    """A certificate behind a time stamp is on hold, which may end; until then it proves nothing."""


class UnprovenError(Exception):
    """The document will never be proven, whatever is waited for. `found`: see `documents.service.unproven`."""

    def __init__(self, found: NoticeKind) -> None:
        self.found = found
        super().__init__(found.value)


class PreservationService:
    """`level`: "B-T", "B-LT" or "B-LTA". `fallback`: "forward" or "hold", after `wait_us` without the evidence."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: Blobs,
        pdf: PdfWork,
        previews: PreviewService,
        revocation: RevocationService,
        stamps: TimeStamps,
        clock: Clock,
        level: str,
        wait_us: int,
        fallback: str,
        renewal_us: int,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._pdf = pdf
        self._previews = previews
        self._revocation = revocation
        self._stamps = stamps
        self._clock = clock
        self._level = level
        self._wait_us = wait_us
        self._fallback = fallback
        self._renewal_us = renewal_us

    async def archive(self, document: str, context: Context) -> None:
        """Append the archive's revision to the document's head; ends with the job finished in the same transaction.

        A document with a signature that cannot be proven, because a certificate was revoked before it signed or behind its time stamp, goes back to
        its drafter, and the clerks are told.

        Raises: Retry while evidence is missing.
        """

        async def look(reads: Reads) -> tuple[DocumentRow | None, Row | None]:
            return await documents_load(reads, document), await queries.newest_stamp(reads, document)

        row, last = await self._db.read(look)
        if row is None or row.state not in ARCHIVED | {State.SEALED_PENDING_ARCHIVE}:
            return
        if last is not None and last["not_after_us"] >= self._clock.now_us() + self._renewal_us:
            return  # done by an earlier run of this job
        try:
            await self._extend(row, 0 if last is None else int(last["not_after_us"]), context)
        except EvidenceMissingError as missing:
            log.warning("archive-postponed", document=document, reason=missing.reason)
            await self._without(row, missing.reason)
            raise Retry(_RETRY_S, missing.reason) from None
        except UnprovenError as never:
            await self._unproven(row, never.found, context)
        except Refused as refused:
            # Mostly another change came first, or there is no room or child now: neither says anything about the file.
            raise Retry(_DEFECT_RETRY_S if refused.code in _DEFECT else None, refused.code) from None

    async def _without(self, row: DocumentRow, reason: str) -> None:
        """After the wait that is set, the policy decides whether the document leaves as it is (D6)."""
        now_us = self._clock.now_us()
        waited = now_us - row.state_since_us > self._wait_us
        if row.state is State.SEALED_PENDING_ARCHIVE and self._fallback == "forward" and waited:
            await self._db.transact(lambda tx: archive_postponed(tx, row, reason, now_us=now_us))

    async def _unproven(self, row: DocumentRow, found: NoticeKind, context: Context) -> None:
        async def body(tx: Transaction) -> None:
            await unproven(tx, row, found, now_us=self._clock.now_us())
            await queries.give_up_stamp(tx, row.id)
            await context.finish(tx)

        log.error("archive-unproven", document=row.id, reason=found.value)
        try:
            await self._db.transact(body)
        except Refused as refused:
            raise Retry(None, refused.code) from None

    async def _extend(self, row: DocumentRow, outlive_us: int, context: Context) -> None:
        out = self._blobs.scratch() / f"archive-{new_id()}.pdf"
        try:
            async with self._blobs.local(row.head) as parent:
                async with self._pdf.archiving(parent, out) as archiving:
                    signatures = await archiving.signed_with()
                    with archiving.gathering():
                        data = await self._gathered(row.id, signatures, renewing=outlive_us > 0)
                    if self._level == "B-LT":
                        ready, written = None, await archiving.append_data(data)
                    else:
                        ready = await archiving.place_stamp(data)
                token = None
                if ready is not None:
                    token = await self._stamped(ready.info, outlive_us)
                    written = await asyncio.to_thread(ready.fill, token.der)
                verdict, report = await self._pdf.check_archive(
                    parent,
                    out,
                    None if ready is None else ready.info.byte_range,
                    await required_fields(self._db, row.id),
                    self._clock.now_us(),
                )
            point("archive-assembled")
            size = out.stat().st_size
            digest = await self._blobs.put_file(out)
            if digest != written.hex():
                raise Retry(None, "the assembled bytes changed on their way to the store")
        except PdfError as error:
            raise Retry(None, error.code) from None
        finally:
            out.unlink(missing_ok=True)
        images = await self._previews.images(row.head)

        async def body(tx: Transaction) -> None:
            now_us = self._clock.now_us()
            # An invisible field draws nothing: the pages are those that were approved.
            await self._previews.adopt(tx, digest, self._previews.renderer, images)
            evidence = {"level": self._level}
            if token is not None:
                evidence["stamp"] = _hex(token.der)
            await queries.put_stamp(
                tx,
                document=row.id,
                revision=digest,
                level=self._level,
                certificate="" if token is None else _hex(token.certificate),
                not_after_us=_NEVER_US if token is None else not_after_us(token.certificate),
                stamped_us=now_us if token is None else token.gen_time_us,
            )
            await keep_verdict(tx, digest, verdict, report, now_us)
            await archived(tx, row, digest=digest, size=size, evidence=evidence, now_us=now_us)
            await context.finish(tx)

        await self._db.transact(body)
        point("archive-committed")

    async def _stamped(self, prepared: Prepared, outlive_us: int) -> TimeStampToken:
        try:
            return await self._stamps.fetch_imprint(prepared.tbs, room=prepared.capacity, ends_after_us=outlive_us)
        except NoStamp:
            raise EvidenceMissingError("no-time-stamp") from None

    # Evidence.

    async def _gathered(self, document: str, signatures: Sequence[SignedWith], *, renewing: bool) -> ValidationData:
        ours = await queries.route_fields(self._db, document)
        return await (self._renewed(signatures, ours) if renewing else self._evidence(signatures, ours))

    async def _renewed(self, signatures: Sequence[SignedWith], ours: set[str]) -> ValidationData:
        """What the last stamp covers is proven already; only the stamp itself has to be. Where its own authority was revoked or suspended
        it proves nothing any more, and everything is proven anew for the next stamp, as if this one was never there.

        Raises: as `_evidence`.
        """
        try:
            return await self._evidence(signatures[-1:], ours)
        except (UnprovenError, SuspendedError):
            log.warning("archive-stamp-revoked")
            return await self._evidence([one for one in signatures if not _archive(one)], ours)

    async def _evidence(self, signatures: Sequence[SignedWith], ours: set[str]) -> ValidationData:
        """Everything that the signatures made here need to be judged later without us.

        Raises: EvidenceMissingError; UnprovenError when a certificate was revoked at its signature's time, or one behind a time stamp at all:
        from then on whoever has its key stamps any time, and no validator believes the older ones without a stamp from before.
        """
        data = ValidationData()
        wanted = [
            (one.certificate, one.certificates, at, one.timestamp)
            for one in signatures
            if (at := self._time(one, ours)) is not None
        ]
        wanted += [
            (one.token[0], one.token, one.token_time_us, True)
            for one in signatures
            if one.token and one.token_time_us is not None and one.field in ours
        ]
        for gathered, _known in await asyncio.gather(
            *(self._revocation.gather(certificate, pool, at) for certificate, pool, at, _ in wanted)
        ):
            data = data.merged(gathered)
        for certificate, pool, at, stamping in wanted:
            found = self._revocation.status_at(certificate, pool, data, at)
            if stamping and (revoked := [status for status in found if status.revoked_at_us is not None]):
                if all(status.reason == ON_HOLD for status in revoked):
                    raise SuspendedError("certificate-status-unavailable")
                raise UnprovenError(NoticeKind.STAMP_REVOKED)
            if any(status.state is CertificateState.REVOKED for status in found):
                raise UnprovenError(NoticeKind.SIGNER_REVOKED)
            if not found or any(status.state is not CertificateState.GOOD for status in found):
                raise EvidenceMissingError("certificate-status-unavailable")
        return data

    @staticmethod
    def _time(one: SignedWith, ours: set[str]) -> int | None:
        """The time for which a signature's certificate must be good; None for those that the file brought along."""
        return one.token_time_us if one.field in ours or _archive(one) else None

    # Renewal.

    async def renewals(self, limit: int) -> list[tuple[str, int]]:
        """(document, urgency) of those whose last stamp ends within the time that is set."""
        rows = await queries.due(self._db, self._clock.now_us() + self._renewal_us, limit)
        return [(str(row["document"]), int(row["urgency"])) for row in rows]


def _archive(one: SignedWith) -> bool:
    """Whether it is one of our archive stamps."""
    return one.timestamp and one.field.startswith("HT_DTS")


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
