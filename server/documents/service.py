"""Use cases of documents: intake, replacement, return, recall, and the one function that moves a document on.

`move` is the only way a document changes its state. It writes the change itself, the audit event, the place in the feed,
the webhooks and the readers' inboxes in the caller's transaction, so that none of them can exist without the others.

Longer than most: every use case ends in `move`, and whoever changes one must see what the others expect of it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec

from server import audit, jobs
from server.authority import service as authority
from server.clock import Clock
from server.db import Database, Reads, Transaction
from server.documents import queries
from server.documents.model import (
    ARCHIVED,
    FOLLOWS,
    IN_FLIGHT,
    TOGETHER,
    DocumentRow,
    Metadata,
    Placement,
    Receiver,
    SignerStep,
    State,
    StepKind,
    StepRow,
    StepState,
    checked,
    due_us,
)
from server.errors import Refused
from server.exchange.deadlines import Rule, about_deadline
from server.identity.model import Actor, Role
from server.ids import new_id
from server.live import service as live
from server.notices.model import NoticeKind
from server.notices.service import about_document, notify, rules_of, settle, withdraw
from server.once import Once
from server.pdftasks import InspectResponse, LayoutFound, LayoutOrder
from server.storage import Blobs
from server.webhooks import service as webhooks

SYSTEM = "system"

# Of a document and its annexes, which leave in one packet: far within what receivers of edXML take (200 files, 500 MB), with room for what signing adds.
_FILES = 51
_FILE_BYTES = 400 * 1024 * 1024


class WarmPreviews(msgspec.Struct, frozen=True):
    """Job `previews.warm`: draw the pages of a revision before anybody asks."""

    revision: str


class Forward(msgspec.Struct, frozen=True):
    """Job `exchange.forward`: the sealed document leaves for the axis."""

    document: str


class Recall(msgspec.Struct, frozen=True):
    """Job `exchange.recall`: the receivers of a recalled document are asked for it (EXC-5)."""

    document: str
    reason: str


class Archive(msgspec.Struct, frozen=True):
    """Job `preservation.archive`: the validation data and the archive time stamp behind the seal (EN 319 142-1, B-LTA)."""

    document: str


class LayoutWarning(msgspec.Struct, frozen=True):
    """Something on the page that is not as the rule has it; the document is taken in all the same."""

    rule: str
    text_vi: str
    text_en: str


_LAYOUT = {
    one.rule: one
    for one in (
        LayoutWarning(
            "DOC-2", "Trang đầu thiếu Quốc hiệu hoặc Tiêu ngữ", "The first page lacks the national name or motto"
        ),
        LayoutWarning("DOC-3", "Trang đầu không có lớp chữ", "The first page has no text layer"),
        LayoutWarning("DOC-6", "Trang đầu không có số, ký hiệu đã khai", "The first page lacks the declared number"),
        LayoutWarning(
            "SIG-1",
            "Chữ ký không nằm giữa dòng chức vụ và họ tên, hoặc đè lên chữ",
            "The signature does not stand in the middle between position and name, or covers text",
        ),
        LayoutWarning(
            "SIG-2",
            "Dấu không trùm khoảng 1/3 chữ ký về bên trái",
            "The seal does not cover about a third of the signature on its left",
        ),
        LayoutWarning(
            "SIG-12",
            "Dấu chỉ mức độ khẩn trên trang đầu khác mức đã khai",
            "The mark of urgency on the first page is not the declared one",
        ),
    )
}


class IntakeAnswer(msgspec.Struct, frozen=True):
    """What the document management system gets back: the document's id, its first revision, and warnings: documents with the
    same number (DOC-8), and what is not of Decree 30's form. `placements`: where the marks will stand, in the route's order, the seal's last, as the
    drafter said or the text does; null where a mark is laid out when it is signed. A replacement with other rectangles moves them.
    """

    id: str
    state: str
    revision: str
    page_count: int
    duplicates: list[str]
    warnings: list[LayoutWarning] = []
    placements: list[Placement | None] = []


class Change(msgspec.Struct, frozen=True):
    seq: int
    document: str
    kind: str
    tombstone: bool
    state: str
    detail: dict[str, Any]
    at_us: int


async def publish(
    tx: Transaction,
    document: DocumentRow,
    kind: str,
    state: State,
    *,
    detail: dict[str, Any],
    now_us: int,
    tombstone: bool = False,
) -> None:
    """Append to the organisation's feed and to the webhooks that listen."""
    await announce(
        tx,
        document.id,
        kind,
        state.value,
        organisation=document.organisation,
        data={"document": document.id, "source_reference": document.source_reference},
        detail=detail,
        now_us=now_us,
        tombstone=tombstone,
    )


async def announce(
    tx: Transaction,
    subject: str,
    kind: str,
    state: str,
    *,
    organisation: str,
    data: dict[str, Any],
    detail: dict[str, Any],
    now_us: int,
    tombstone: bool = False,
) -> None:
    """The same for whatever has an id in the feed; `data` says in a webhook what it is."""
    seq = await queries.next_change(tx, organisation)
    await queries.insert_change(
        tx,
        organisation=organisation,
        seq=seq,
        document=subject,
        kind=kind,
        tombstone=int(tombstone),
        state=state,
        detail=msgspec.json.encode(detail),
        now_us=now_us,
    )
    live.fed(tx, organisation)
    await webhooks.enqueue(
        tx,
        organisation=organisation,
        event=kind,
        document=subject,
        data={**data, "state": state, "seq": seq, **detail},
        now_us=now_us,
    )


# Whoever was asked has answered: phones take the notice away, and nothing escalates (NOT-4).
_ANSWERED = frozenset({State.SIGNED_PENDING_TIMESTAMP, State.SEALED_PENDING_TIMESTAMP, State.RETURNED})
_REQUESTS = frozenset({NoticeKind.TO_SIGN, NoticeKind.TO_SEAL})


async def move(
    tx: Transaction,
    document: DocumentRow,
    to: State,
    *,
    actor: str,
    now_us: int,
    step: int | None = None,
    head: str | None = None,
    event: str | None = None,
    body: dict[str, Any] | None = None,
) -> str:
    """Move `document` from the state and head it was read with to `to`, and its annexes with it from where they left together;
    returns the audit event's id.

    Raises: Refused("conflict") when the document was moved by somebody else since it was read.
    """
    assert to in FOLLOWS[document.state], f"{document.state} -> {to}"
    # SIG-7: nothing waits for the seal that nobody signed, but what the organisation seals alone.
    assert to is not State.SIGNED or document.state not in {State.IN_REVIEW, State.RETURNED} or document.sealed_alone
    moved = await queries.set_state(
        tx,
        document.id,
        expected=document.state,
        head=document.head,
        state=to,
        step=step,
        new_head=head or document.head,
        due_us=_due_us(document, to, now_us),
        now_us=now_us,
    )
    if not moved:
        raise Refused("conflict")
    if to in _ANSWERED:
        about = about_document(document.id)
        await settle(tx, organisation=document.organisation, about=about, kinds=_REQUESTS, now_us=now_us)
    kind = event or f"document.{to.value}"
    detail = body or {}
    event_id = await audit.append(
        tx,
        kind,
        organisation=document.organisation,
        actor=actor,
        subject=document.id,
        body={"from": document.state.value, "to": to.value, "head": head or document.head, **detail},
        now_us=now_us,
    )
    public = {
        name: value
        for name, value in detail.items()
        if name in {"reason", "revision", "step", "receiver", "status_code"}
    }
    await publish(tx, document, kind, to, detail=public, now_us=now_us, tombstone=to is State.RECALLED)
    if to is State.RETURNED and document.annex_of is not None:
        # The sealed main document waits now for the drafter, and nothing else would ever say so.
        await queries.set_due(tx, document.annex_of, due_us(State.SIGNED, document.urgency, now_us))
    if to in TOGETHER and to is not document.state and document.annex_of is None:
        for annex in await queries.annexes(tx, document.id):
            if annex.state is not to and to in FOLLOWS[annex.state]:
                with_it = {"annex_of": document.id, **{name: detail[name] for name in ("reason",) if name in detail}}
                await move(tx, annex, to, actor=actor, now_us=now_us, step=annex.step, body=with_it)
    return event_id


def _due_us(document: DocumentRow, to: State, now_us: int) -> int | None:
    if document.annex_of is not None and to in ARCHIVED:
        return None  # a sealed annex waits for its main document and then goes with it, whose own time runs
    # A new head alone gives nobody more time (TIM-5).
    return document.state_due_us if to is document.state in ARCHIVED else due_us(to, document.urgency, now_us)


async def _not_asked(tx: Transaction, document: DocumentRow, people: set[str | None], *, now_us: int) -> None:
    """It is somebody else's turn without an answer of theirs: their request is taken away, and nothing of it escalates (NOT-4)."""
    about, asked = about_document(document.id), {person for person in people if person is not None}
    await settle(tx, organisation=document.organisation, about=about, people=asked, kinds=_REQUESTS, now_us=now_us)


async def open_step(tx: Transaction, document: DocumentRow, step: StepRow, *, now_us: int) -> None:
    """Put the document before the person whose turn it is, or before the clerks, and tell them."""
    await queries.nobody_waits(tx, document.id)
    if step.kind is not StepKind.SEAL:
        assert step.person is not None
        await queries.put_reader(
            tx,
            person=step.person,
            document=document.id,
            organisation=document.organisation,
            reason="initials" if step.kind is StepKind.INITIALS else "sign",
            waiting=1,
            urgency=document.urgency,
            now_us=now_us,
        )
        await notify(
            tx,
            organisation=document.organisation,
            people=[step.person],
            document=document.id,
            kind="to_sign",
            urgency=document.urgency,
            now_us=now_us,
        )
        return
    clerks = await queries.clerks(tx, document.organisation)
    for clerk in clerks:
        await queries.put_reader(
            tx,
            person=clerk,
            document=document.id,
            organisation=document.organisation,
            reason="seal",
            waiting=1,
            urgency=document.urgency,
            now_us=now_us,
        )
    await notify(
        tx,
        organisation=document.organisation,
        people=clerks,
        document=document.id,
        kind="to_seal",
        urgency=document.urgency,
        now_us=now_us,
    )


async def role_withdrawn(tx: Transaction, person: str, role: Role) -> None:
    """A person who is no clerk any more reads nothing that only the clerk's role had shown; what he signs or signed stays."""
    if role is Role.CLERK:
        await queries.forget_clerk(tx, person)


class Inspects(Protocol):
    async def inspect(
        self,
        path: Path,
        *,
        fields: Sequence[str] = (),
        allow_invisible: bool = False,
        layout: LayoutOrder | None = None,
    ) -> InspectResponse:
        """Raises: Refused with a PDF refusal code, "cannot-be-checked" or "busy"."""


class Inspector:
    """Decides whether a file may be signed, in a limited child process (architecture §6.1).

    `allow_invisible`: a certified file without an empty field for every step is signed invisibly rather than refused.
    """

    def __init__(self, pdf: "Inspects", *, max_pages: int, allow_invisible: bool = False) -> None:
        self._pdf = pdf
        self._max_pages = max_pages
        self._allow_invisible = allow_invisible

    async def inspect(
        self, path: Path, metadata: Metadata, layout: LayoutOrder | None
    ) -> tuple[Metadata, int, list[str]]:
        """A file that may be signed in the fields that its route names: the metadata with the places of images (SIG-1, SIG-2),
        the number of pages, and the rules that the page does not keep.

        Raises: Refused with a PDF refusal code, "placement-required", "secret-document", "too-many-pages" or "cannot-be-checked".
        """
        report = await self._pdf.inspect(
            path, fields=metadata.route_fields(), allow_invisible=self._allow_invisible, layout=layout
        )
        if report.secrecy_mark is not None:
            raise Refused("secret-document")
        if report.page_count > self._max_pages:
            raise Refused("too-many-pages", limit=self._max_pages)
        if report.layout is None:
            return metadata, report.page_count, []
        warnings = [rule for rule in report.layout.warnings if rule in _LAYOUT]
        return _placed(metadata, report.layout), report.page_count, warnings


def _placed(metadata: Metadata, found: LayoutFound) -> Metadata:
    """The places that the text layer gave, where the drafter gave none."""
    *people, seal = [None if place is None else Placement(*place) for place in found.places]
    signers = [
        step if place is None else msgspec.structs.replace(step, placement=place)
        for step, place in zip(metadata.signers, people, strict=True)
    ]
    return msgspec.structs.replace(metadata, signers=signers, seal_placement=seal or metadata.seal_placement)


class Lays(Protocol):
    async def layout(self, reads: Reads, organisation: str, metadata: Metadata) -> LayoutOrder:
        """What a document's page is looked through for. Raises: Refused("placement-required")."""


class DocumentService:
    """Documents of all organisations; every method takes the actor and sees only what the actor may see."""

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        inspector: Inspector,
        clock: Clock,
        organ_codes: Mapping[str, str] | None = None,
        layouts: Lays | None = None,
        *,
        free_authority: bool = True,
    ) -> None:
        """`organ_codes`: from the code of an organisation here to the one that the exchange knows, where they differ.

        `free_authority`: a route may write a line of authority (AUT-1) that no grant gives.
        """
        self._free_authority = free_authority
        self._organ_codes = organ_codes or {}
        self._db = db
        self._blobs = blobs
        self._inspector = inspector
        self._clock = clock
        self._layouts = layouts

    # Reads.

    async def get(self, actor: Actor, document: str, reads: Reads | None = None) -> DocumentRow:
        """Raises: Refused("not-found") alike for unknown and foreign documents (C1)."""
        found = await queries.find(reads or self._db, actor, document)
        if found is None:
            raise Refused("not-found")
        return found

    async def changes(self, actor: Actor, *, after: int, limit: int) -> tuple[list[Change], int]:
        """The feed after `after`, and the place to continue from."""
        rows = await queries.changes(self._db, actor, after=after, limit=limit)
        found = [
            Change(
                seq=row["seq"],
                document=row["document"],
                kind=row["kind"],
                tombstone=bool(row["tombstone"]),
                state=row["state"],
                detail=msgspec.json.decode(row["detail"]),
                at_us=row["at_us"],
            )
            for row in rows
        ]
        return found, found[-1].seq if found else after

    async def file(self, actor: Actor, document: str, which: str) -> tuple[str, DocumentRow]:
        """The digest of `original`, `signed` (after the last personal signature) or `final` (after the seal, or after the newest
        archive time stamp, which extends it byte for byte).

        Raises: Refused("file-pending") while the bytes are not final.
        """
        row = await self.get(actor, document)
        if which == "final" and row.state in {State.SEALED_PENDING_ARCHIVE, State.RETURNED}:
            raise Refused("file-pending")
        chain = [
            revision for revision in await queries.revisions(self._db, document) if revision.version == row.version
        ]
        if which == "original":
            return chain[0].digest, row
        kinds = {"seal", "archive"} if which == "final" else {"signature"}
        steps = await queries.steps(self._db, document)
        # Nobody signs an annex or a copy: there is no file that was signed and not sealed.
        people = max((step.position for step in steps if step.kind is StepKind.PERSON), default=0)
        for revision in reversed(chain):
            if revision.kind in kinds and (which == "final" or revision.step == people):
                return revision.digest, row
        raise Refused("file-pending")

    # Intake.

    async def intake(self, actor: Actor, metadata: Metadata, path: Path, once: Once) -> bytes:
        """Take in a PDF with its metadata; returns the encoded IntakeAnswer. `path` is a temporary file that is consumed.

        Raises: Refused (metadata, PDF refusals, "route-invalid", "idempotency-key-reused").
        """
        today = (datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC) + timedelta(hours=7)).date()
        metadata = checked(metadata, today)
        answered = await once.peek(self._db)
        if answered is not None:
            return answered
        for other in metadata.replaces:
            # In the place of a document that receivers have: one that never left is replaced before it is signed.
            # An annex has no packet of its own that could be named to them.
            before = await self.get(actor, other)
            if before.annex_of is not None or before.state not in ARCHIVED - {State.SEALED}:
                raise Refused("conflict")
        # What can be refused is refused before anything is stored; the transaction asks again.
        metadata = await self._annexed(self._db, actor, metadata)
        await self._routed(self._db, actor, metadata)
        metadata, pages, rules = await self._inspect(actor, path, metadata)
        size = path.stat().st_size
        digest = await self._blobs.put_file(path)
        organisation_code = await self._organisation_code(actor.organisation)

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            current = await self._annexed(tx, actor, metadata)
            routed = await self._routed(tx, actor, current)
            alike = []
            if current.annex_of is None:
                alike = await queries.duplicates(
                    tx, actor.organisation, metadata.number, metadata.notation, metadata.promulgation_date[:4]
                )
            row = self._new_row(actor, current, digest, pages, now_us, organisation_code)
            row = await _with_free_exchange_id(tx, row)
            await queries.insert_document(tx, row)
            await self._first_revision(tx, row, routed, digest, size, None, actor, now_us)
            if row.annex_of is not None:
                await _check_together(tx, row.annex_of)
                await _annexes_changed(tx, row, now_us=now_us)
            answer = IntakeAnswer(
                id=row.id,
                state=row.state.value,
                revision=digest,
                page_count=pages,
                duplicates=[str(other["id"]) for other in alike],
                warnings=[_LAYOUT[rule] for rule in rules],
                placements=metadata.placements(),
            )
            encoded = msgspec.json.encode(answer)
            await once.settle(tx, encoded)
            return encoded

        return await self._db.transact(body)

    async def replace(self, actor: Actor, document: str, metadata: Metadata, path: Path, once: Once) -> bytes:
        """Replace the text of a document that nobody is signing now; the route starts again and prepared revisions die (A11).

        Raises: Refused("document-signing") in flight, "conflict" once sealed, and what intake raises.
        """
        before = await self.get(actor, document)
        today = (datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC) + timedelta(hours=7)).date()
        metadata = checked(metadata, today)
        answered = await once.peek(self._db)
        if answered is not None:
            return answered
        metadata = await self._check_replaceable(self._db, before, metadata)
        metadata, pages, rules = await self._inspect(actor, path, metadata)
        size = path.stat().st_size
        digest = await self._blobs.put_file(path)
        organisation_code = await self._organisation_code(actor.organisation)

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            row = await self.get(actor, document, tx)
            current = await self._check_replaceable(tx, row, metadata)
            fresh = self._new_row(actor, current, digest, pages, now_us, organisation_code)
            fresh = msgspec.structs.replace(
                fresh, id=document, version=row.version + 1, exchange_id=_exchange_id(organisation_code, metadata)
            )
            fresh = await _with_free_exchange_id(tx, fresh)
            if not await queries.new_version(tx, fresh, expected=row.version):
                raise Refused("conflict")
            row = msgspec.structs.replace(
                row, version=fresh.version, urgency=fresh.urgency, source_reference=fresh.source_reference
            )
            await queries.forget_steps(tx, document)
            route = route_of(document, await self._routed(tx, actor, current), row.version)
            for step in route:
                await queries.insert_step(tx, step)
            await queries.insert_revision(
                tx,
                document=document,
                digest=digest,
                parent=None,
                size=size,
                kind="replacement",
                step=None,
                version=row.version,
                now_us=now_us,
            )
            state = State.SIGNED if current.copy is not None else State.IN_REVIEW
            await move(
                tx,
                row,
                state,
                actor=actor.id,
                now_us=now_us,
                step=1,
                head=digest,
                event="document.replaced",
                body={"revision": digest},
            )
            await _not_asked(tx, row, {step.person for step in route[1:]}, now_us=now_us)
            await _check_together(tx, row.annex_of or document)
            if row.annex_of is not None:
                await self._check_same_text(tx, row, fresh)
                await queries.set_due(tx, document, None)
                await _annexes_changed(tx, row, now_us=now_us)
                await release(tx, document, now_us=now_us)
            else:
                await open_step(tx, row, route[0], now_us=now_us)
                for annex in await queries.annexes(tx, document):
                    await queries.new_version(tx, _following(annex, fresh), expected=annex.version)
            await jobs.enqueue(tx, "previews.warm", WarmPreviews(revision=digest), dedupe_key=f"previews.warm:{digest}")
            state = (await documents_load(tx, document) or row).state
            encoded = msgspec.json.encode(
                IntakeAnswer(
                    id=document,
                    state=state.value,
                    revision=digest,
                    page_count=pages,
                    duplicates=[],
                    warnings=[_LAYOUT[rule] for rule in rules],
                    placements=metadata.placements(),
                )
            )
            await once.settle(tx, encoded)
            return encoded

        return await self._db.transact(body)

    async def _inspect(self, actor: Actor, path: Path, metadata: Metadata) -> tuple[Metadata, int, list[str]]:
        layout = None
        if self._layouts is not None:
            layout = await self._layouts.layout(self._db, actor.organisation, metadata)
        return await self._inspector.inspect(path, metadata, layout)

    async def _routed(self, reads: Reads, actor: Actor, metadata: Metadata) -> Metadata:
        """The metadata with the line of authority of each grant that its route names.

        Raises: Refused("route-invalid", "authority-missing", "authority-required").
        """
        wanted = {step.person for step in metadata.signers if not step.initials}
        initials = {step.person for step in metadata.signers if step.initials}
        if (
            await queries.signers(reads, actor.organisation, sorted(wanted)) != wanted
            or await queries.signers(reads, actor.organisation, sorted(initials), "staff") != initials
        ):
            raise Refused("route-invalid", detail="a signer is unknown or not a leader of this organisation")
        steps = []
        for step in metadata.signers:
            line = step.authority
            if step.grant and line:
                raise Refused("route-invalid", detail="a step names a grant or a line of authority, not both")
            if step.grant:
                now_us = self._clock.now_us()
                line = (
                    await authority.named(reads, actor.organisation, step.grant, step.person, now_us)
                ).authority_line
            elif not self._free_authority:
                await authority.free_line(reads, actor.organisation, step.person, line)
            steps.append(msgspec.structs.replace(step, authority=line))
        return msgspec.structs.replace(metadata, signers=steps)

    async def _check_replaceable(self, reads: Reads, row: DocumentRow, metadata: Metadata) -> Metadata:
        if row.state in IN_FLIGHT:
            raise Refused("document-signing")
        if row.state not in {State.IN_REVIEW, State.RETURNED}:
            raise Refused("conflict")
        route = [(step.person, step.kind) for step in await queries.steps(reads, row.id)]
        kept = (metadata.annex_of, metadata.copy is None) == (row.annex_of, row.copy is None)
        if not kept or [(step.person, _kind(step)) for step in metadata.signers] != route[:-1]:
            raise Refused("route-invalid", detail="a replacement keeps the route")
        if row.annex_of is None:
            return metadata
        main = await documents_load(reads, row.annex_of)
        assert main is not None
        return metadata.annexed_to(main.metadata())

    async def _annexed(self, reads: Reads, actor: Actor, metadata: Metadata) -> Metadata:
        """An annex as its main document says, which nobody has signed yet: whoever signs it answers for its annexes (AUT-8).

        Raises: Refused("not-found", "route-invalid", "conflict", "invalid-request").
        """
        if metadata.annex_of is None:
            return metadata
        main = await self.get(actor, metadata.annex_of, reads)
        if main.sealed_alone:
            raise Refused("route-invalid", detail="an annex belongs to a document that somebody signs")
        if not _unsigned(main):
            raise Refused("conflict")
        return metadata.annexed_to(main.metadata())

    async def _check_same_text(self, tx: Reads, annex: DocumentRow, fresh: DocumentRow) -> None:
        """What the main document's signers answer for is only sealed again, not changed (AUT-8), nor called something else to its receivers.

        Raises: Refused("conflict").
        """
        main = await documents_load(tx, annex.annex_of or "")
        assert main is not None
        texts = [one.digest for one in await queries.revisions(tx, annex.id) if one.kind in {"intake", "replacement"}]
        before, now = (texts[-2], annex.subject, annex.type_name), (fresh.head, fresh.subject, fresh.type_name)
        if not _unsigned(main) and before != now:
            raise Refused("conflict")

    async def _organisation_code(self, organisation: str) -> str:
        row = await self._db.fetch_one("SELECT code FROM organisations WHERE id = $1", organisation)
        if row is None:
            raise Refused("not-found")
        code = str(row["code"])
        return self._organ_codes.get(code, code)

    def _new_row(
        self, actor: Actor, metadata: Metadata, digest: str, pages: int, now_us: int, organisation_code: str
    ) -> DocumentRow:
        state = State.IN_REVIEW if metadata.copy is None else State.SIGNED
        return DocumentRow(
            id=new_id(),
            organisation=actor.organisation,
            client=actor.id,
            source_reference=metadata.source_reference,
            state=state,
            state_since_us=now_us,
            # An annex waits for its main document, whose own time runs.
            state_due_us=None if metadata.annex_of else due_us(state, metadata.urgency, now_us),
            step=1,
            head=digest,
            version=1,
            page_count=pages,
            code_number=metadata.number,
            code_notation=metadata.notation,
            subject=metadata.subject,
            type_name=metadata.type_name,
            urgency=metadata.urgency,
            promulgation_place=metadata.promulgation_place,
            promulgation_date=metadata.promulgation_date,
            due_date=metadata.due_date,
            header=msgspec.json.encode(metadata),
            exchange_id=_exchange_id(organisation_code, metadata),
            created_us=now_us,
            updated_us=now_us,
            annex_of=metadata.annex_of,
        )

    async def _first_revision(
        self,
        tx: Transaction,
        row: DocumentRow,
        metadata: Metadata,
        digest: str,
        size: int,
        parent: str | None,
        actor: Actor,
        now_us: int,
    ) -> None:
        await queries.insert_revision(
            tx,
            document=row.id,
            digest=digest,
            parent=parent,
            size=size,
            kind="intake",
            step=None,
            version=1,
            now_us=now_us,
        )
        route = route_of(row.id, metadata)
        for step in route:
            await queries.insert_step(tx, step)
        await audit.append(
            tx,
            "document.received",
            organisation=row.organisation,
            actor=actor.id,
            subject=row.id,
            body={"revision": digest, "pages": row.page_count, "urgency": row.urgency, **_alone(metadata)},
            now_us=now_us,
        )
        await publish(tx, row, "document.received", row.state, detail={"revision": digest}, now_us=now_us)
        if row.annex_of is None:
            await open_step(tx, row, route[0], now_us=now_us)
        await jobs.enqueue(tx, "previews.warm", WarmPreviews(revision=digest), dedupe_key=f"previews.warm:{digest}")

    # Return and recall.

    async def give_back(self, actor: Actor, document: str, reason: str, once: Once) -> bytes:
        """The person whose turn it is, or a clerk before the seal, returns the document to its drafter with a reason.

        Raises: Refused("not-your-turn"), Refused("not-found").
        """

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            row = await self.get(actor, document, tx)
            step = await turn_of(tx, actor, row)
            await queries.set_step(
                tx,
                document,
                step.position,
                expected=StepState.OPEN,
                state=StepState.RETURNED,
                by=actor.id,
                now_us=now_us,
            )
            await queries.nobody_waits(tx, document)
            await move(
                tx, row, State.RETURNED, actor=actor.id, now_us=now_us, body={"reason": reason, "step": step.position}
            )
            encoded = msgspec.json.encode({"state": State.RETURNED.value})
            await once.settle(tx, encoded)
            return encoded

        return await self._db.transact(body)

    async def hand_over(self, actor: Actor, document: str, *, grant: str = "", person: str = "", once: Once) -> bytes:
        """Put a waiting step before somebody else (PIN locked, on leave): by whoever drafted the document, or by the person who hands it over. A signature goes
        to the holder of a `grant` that exists already, initials to a `person`, as they carry no authority (AUT-1, AUT-7).

        Raises: Refused("authority-missing") where the grant does not reach this step, "not-your-turn", "document-signing",
        "route-invalid" where he stands in the route already or has not the role any more.
        """

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            row = await self.get(actor, document, tx)
            step, route = await _handed(tx, actor, row)
            initials = step.kind is StepKind.INITIALS
            if bool(person) != initials or bool(grant) == initials:
                raise Refused("route-invalid", detail="a signature goes to the holder of a grant, initials to a person")
            fresh = (
                msgspec.structs.replace(step, person=person)
                if initials
                else await _deputised(tx, row, step, grant, now_us)
            )
            assert fresh.person is not None
            may = await queries.signers(tx, row.organisation, [fresh.person], "staff" if initials else "leader")
            if not may or fresh.person in {other.person for other in route}:
                raise Refused("route-invalid", detail="the person stands in the route already or has not the role")
            if not await queries.hand_step(tx, fresh):
                raise Refused("conflict")
            await move(
                tx,
                row,
                State.IN_REVIEW,
                actor=actor.id,
                now_us=now_us,
                step=step.position,
                event="document.handed_over",
                body={
                    "step": step.position,
                    "from_person": step.person,
                    "to_person": fresh.person,
                    **await authority.evidence(tx, row.organisation, fresh.authority_grant),
                },
            )
            await _not_asked(tx, row, {step.person}, now_us=now_us)
            await open_step(tx, row, fresh, now_us=now_us)
            answer = msgspec.json.encode({"state": State.IN_REVIEW.value})
            await once.settle(tx, answer)
            return answer

        return await self._db.transact(body)

    async def recall(self, actor: Actor, document: str, reason: str, once: Once) -> bytes:
        """The drafting system takes the document back with its annexes; phones purge them (tombstones in the feed, EXC-5).

        Raises: Refused("document-signing") while a signature is being made; "conflict" for an annex alone once it is sealed.
        """

        async def body(tx: Transaction) -> bytes:
            replay = await once.claim(tx)
            if replay is not None:
                return replay
            now_us = self._clock.now_us()
            row = await self.get(actor, document, tx)
            whole = [row, *await queries.annexes(tx, document)]
            if any(one.state in IN_FLIGHT for one in whole):
                raise Refused("document-signing")
            # A sealed annex may stand in its main document's packet already.
            if State.RECALLED not in FOLLOWS[row.state] or (row.annex_of is not None and row.state in ARCHIVED):
                raise Refused("conflict")
            await move(tx, row, State.RECALLED, actor=actor.id, now_us=now_us, body={"reason": reason})
            if row.state in ARCHIVED:
                # Behind the document's own packet, which may be on its way at this moment.
                await jobs.enqueue(
                    tx,
                    "exchange.recall",
                    Recall(document=document, reason=reason),
                    lane=jobs.Lane.URGENT if row.urgency else jobs.Lane.NORMAL,
                    ordering_key=f"exchange:{document}",
                    dedupe_key=f"exchange.recall:{document}",
                )
            # Whoever was told anything of it, reader or not: nothing of it is pushed any more.
            for one in whole:
                await queries.nobody_waits(tx, one.id)
                about = about_document(one.id)
                for subject in (about, *(about_deadline(about, rule) for rule in Rule)):
                    await withdraw(tx, organisation=row.organisation, about=subject, now_us=now_us)
            if row.annex_of is not None:
                await _annexes_changed(tx, row, now_us=now_us)
                await release(tx, row.annex_of, now_us=now_us)
            readers = await queries.readers(tx, document)
            await notify(
                tx,
                organisation=row.organisation,
                people=readers,
                document=document,
                kind="recalled",
                urgency=row.urgency,
                now_us=now_us,
            )
            encoded = msgspec.json.encode({"state": State.RECALLED.value})
            await once.settle(tx, encoded)
            return encoded

        return await self._db.transact(body)


def _exchange_id(organisation_code: str, metadata: Metadata) -> str:
    """DocumentId of the packet: `{OrganId},{yyyy/MM/dd},{number}/{notation}`, with the sender's code on the exchange."""
    return f"{organisation_code},{metadata.promulgation_date.replace('-', '/')},{metadata.number}/{metadata.notation}"


async def _with_free_exchange_id(tx: Reads, row: DocumentRow) -> DocumentRow:
    """A doubled number is only warned of (DOC-8), but packets refer to documents by this id: it stays unique."""
    if not await queries.exchange_id_taken(tx, row.exchange_id, row.id):
        return row
    return msgspec.structs.replace(row, exchange_id=f"{row.exchange_id}#{row.id}")


def _alone(metadata: Metadata) -> dict[str, Any]:
    """What the log says of a file that the organisation seals alone."""
    if metadata.copy is not None:
        return {"copy": msgspec.to_builtins(metadata.copy)}
    return {} if metadata.annex_of is None else {"annex_of": metadata.annex_of}


async def _check_together(tx: Reads, main: str) -> None:
    """What could not leave in one packet is refused before anybody signs. Raises: Refused("too-large", "invalid-request")."""
    files, size = await queries.together(tx, main)
    if files > _FILES:
        raise Refused("invalid-request", detail=f"a document has at most {_FILES - 1} annexes")
    if files > 1 and size > _FILE_BYTES:
        raise Refused("too-large", limit=_FILE_BYTES)


async def _annexes_changed(tx: Transaction, annex: DocumentRow, *, now_us: int) -> None:
    """Whoever reads the main document of `annex` is told that another annex came, or that one is not what it was (AUT-8)."""
    main = None if annex.annex_of is None else await queries.load(tx, annex.annex_of)
    if main is not None:
        await publish(tx, main, "document.annexed", main.state, detail={}, now_us=now_us)


def _unsigned(main: DocumentRow) -> bool:
    """Nobody has signed or initialled this text of the document."""
    return main.state is State.RETURNED or (main.state is State.IN_REVIEW and main.step == 1)


def _following(annex: DocumentRow, main: DocumentRow) -> DocumentRow:
    """The annex under the number, the date and the urgency that its main document has now."""
    metadata = annex.metadata().following(main.metadata())
    return msgspec.structs.replace(
        annex,
        header=msgspec.json.encode(metadata),
        code_number=metadata.number,
        code_notation=metadata.notation,
        urgency=metadata.urgency,
        promulgation_place=metadata.promulgation_place,
        promulgation_date=metadata.promulgation_date,
        due_date=None,
        exchange_id=f"{main.exchange_id}#{annex.id}",
    )


def _kind(step: SignerStep) -> StepKind:
    return StepKind.INITIALS if step.initials else StepKind.PERSON


def route_of(document: str, metadata: Metadata, version: int = 1) -> list[StepRow]:
    """The route's steps: the people in order, the organisation's seal last (SIG-10); on an annex or a copy the seal alone.

    Field names carry part of the document's id, and the version of a replacement, so that a file which was signed here before
    can be signed again.
    """
    name = f"HT_{document[-8:]}" if version == 1 else f"HT_{document[-8:]}v{version}"

    def placement(value: Any) -> bytes | None:
        return None if value is None else msgspec.json.encode(value)

    steps = [
        StepRow(
            document=document,
            position=index,
            kind=_kind(step),
            person=step.person,
            field_name=step.field or f"{name}_S{index}",
            authority_line=step.authority,
            authority_grant=step.grant or None,
            placement=placement(step.placement),
            state=StepState.OPEN if index == 1 else StepState.WAITING,
            decided_by=None,
            decided_us=None,
        )
        for index, step in enumerate(metadata.signers, start=1)
    ]
    seal = StepRow(
        document=document,
        position=len(steps) + 1,
        kind=StepKind.SEAL,
        person=None,
        field_name=metadata.seal_field or f"{name}_Seal",
        authority_line="",
        placement=placement(metadata.seal_placement),
        state=StepState.WAITING if metadata.copy is None else StepState.OPEN,
        decided_by=None,
        decided_us=None,
    )
    return [*steps, seal]


async def turn_of(tx: Reads, actor: Actor, document: DocumentRow) -> StepRow:
    """The open step, if it is this actor's to decide: the named person's, or any clerk's for the seal.

    Raises: Refused("document-signing") in flight, Refused("not-your-turn") otherwise.
    """
    if document.state in IN_FLIGHT:
        raise Refused("document-signing")
    if document.state not in {State.IN_REVIEW, State.SIGNED} or document.step is None:
        raise Refused("not-your-turn")
    step = next(step for step in await queries.steps(tx, document.id) if step.position == document.step)
    if step.state is not StepState.OPEN:
        raise Refused("not-your-turn")
    # The role is asked again, not only at intake: who is a leader no more signs no more (AUT-1).
    mine = step.kind is StepKind.SEAL or actor.id == step.person
    if not mine or not _ROLES[step.kind] & actor.roles:
        raise Refused("not-your-turn")
    return step


_ROLES: dict[StepKind, frozenset[str]] = {
    StepKind.INITIALS: frozenset({Role.LEADER, Role.STAFF}),
    StepKind.PERSON: frozenset({Role.LEADER}),
    StepKind.SEAL: frozenset({Role.CLERK}),
}


async def _deputised(tx: Reads, row: DocumentRow, step: StepRow, grant: str, now_us: int) -> StepRow:
    """The step of a signature as the holder of `grant` has it. Raises: Refused("authority-missing")."""
    given = await authority.deputises(
        tx,
        row.organisation,
        grant,
        person=step.person or "",
        under=step.authority_grant,
        line=step.authority_line,
        now_us=now_us,
    )
    # What would not be signed is not handed over either.
    await authority.check(
        tx,
        row.organisation,
        grant,
        holder=given.holder,
        type_name=row.type_name,
        urgency=row.urgency,
        now_us=now_us,
    )
    return msgspec.structs.replace(
        step, person=given.holder, authority_line=given.authority_line, authority_grant=given.id
    )


async def _handed(tx: Reads, actor: Actor, document: DocumentRow) -> tuple[StepRow, list[StepRow]]:
    """The open step that a service of the organisation, or the step's own person, may hand over; and the route.

    Raises: Refused("document-signing", "not-your-turn").
    """
    if actor.kind == "person":
        step = await turn_of(tx, actor, document)
        if step.kind is StepKind.SEAL:
            raise Refused("not-your-turn")
        return step, await queries.steps(tx, document.id)
    if document.state in IN_FLIGHT:
        raise Refused("document-signing")
    route = await queries.steps(tx, document.id)
    found = next((step for step in route if step.position == document.step and step.state is StepState.OPEN), None)
    if document.state is not State.IN_REVIEW or found is None or found.kind is StepKind.SEAL:
        raise Refused("not-your-turn")
    return found, route


async def asks_every_page(reads: Reads, document: DocumentRow) -> bool:
    """Whether the document, or else its organisation's rules as they are now, wants every page opened before anybody signs (AUT-8); of
    an annex whether its main document does.
    """
    main = document if document.annex_of is None else await queries.load(reads, document.annex_of)
    assert main is not None
    return main.open_every_page or (await rules_of(reads, document.organisation)).open_every_page


async def documents_load(tx: Reads, document: str) -> DocumentRow | None:
    """For the system's own work in other rooms (jobs), where no user reads."""
    return await queries.load(tx, document)


def state_after(step: StepRow, following: StepRow | None, sealed: State = State.SEALED) -> State:
    """Where a stamped signature leads: to the next person, to the clerks, or out (SIG-10); `sealed` is where out begins."""
    if step.kind is StepKind.SEAL or following is None:
        return sealed
    return State.SIGNED if following.kind is StepKind.SEAL else State.IN_REVIEW


async def advance(
    tx: Transaction,
    document: str,
    position: int,
    *,
    digest: str,
    size: int,
    actor: str,
    evidence: dict[str, str],
    now_us: int,
    sealed: State = State.SEALED,
) -> str:
    """A signature's revision is complete: store it as the head and put the document before whoever is next.

    `sealed`: where the seal leads, at once out or first to the archive's revision. `evidence` goes into the audit event beside the revision; returns that event's id, which the receipt proves.
    """
    row = await queries.load(tx, document)
    assert row is not None
    steps = await queries.steps(tx, document)
    step = next(one for one in steps if one.position == position)
    following = next((one for one in steps if one.position == position + 1), None)
    await queries.insert_revision(
        tx,
        document=document,
        digest=digest,
        parent=row.head,
        size=size,
        kind="signature" if step.kind is StepKind.PERSON else step.kind.value,
        step=position,
        version=row.version,
        now_us=now_us,
    )
    await queries.set_step(
        tx, document, position, expected=StepState.OPEN, state=StepState.DONE, by=actor, now_us=now_us
    )
    to = state_after(step, following, sealed)
    event = await move(
        tx,
        row,
        to,
        actor=actor,
        now_us=now_us,
        step=position if following is None else following.position,
        head=digest,
        event=_EVENTS.get(step.kind) if to is State.IN_REVIEW else None,
        body={"revision": digest, "step": position, **evidence},
    )
    if following is not None:
        await queries.set_step(tx, document, following.position, expected=StepState.WAITING, state=StepState.OPEN)
        await open_step(tx, row, following, now_us=now_us)
    else:
        await queries.nobody_waits(tx, document)
        if to is State.SEALED_PENDING_ARCHIVE:
            await preserve(tx, document, urgency=row.urgency)
        else:
            await release(tx, document, now_us=now_us)
    return event


# Steps after which the route goes on to another person.
_EVENTS = {StepKind.INITIALS: "document.initialed", StepKind.PERSON: "document.co_signed"}


async def release(tx: Transaction, document: str, *, now_us: int) -> None:
    """A sealed document may leave once each of its annexes is sealed, too; these are put before the clerks now (SIG-4).

    `document`: itself, or one of its annexes. Before the main document is sealed nothing happens.
    """
    row = await queries.load(tx, document)
    main = row if row is None or row.annex_of is None else await queries.load(tx, row.annex_of)
    assert main is not None
    if main.state is not State.SEALED:
        return
    waited = [one for one in await queries.annexes(tx, main.id) if one.state not in {State.SEALED, State.RECALLED}]
    for annex in waited:
        if annex.state is State.IN_REVIEW:
            await _to_the_seal(tx, annex, now_us=now_us)
    if waited:
        if main is row:
            await queries.set_due(tx, main.id, due_us(State.SIGNED, main.urgency, now_us))
        return
    if main is not row:
        # However long the annexes took: what does not leave now is told of.
        await queries.set_due(tx, main.id, due_us(State.SEALED, main.urgency, now_us))
    await jobs.enqueue(
        tx,
        "exchange.forward",
        Forward(document=main.id),
        lane=jobs.Lane.URGENT if main.urgency else jobs.Lane.NORMAL,
        ordering_key=f"exchange:{main.id}",
        dedupe_key=f"exchange.forward:{main.id}",
    )


async def _to_the_seal(tx: Transaction, annex: DocumentRow, *, now_us: int) -> None:
    step = (await queries.steps(tx, annex.id))[0]
    await move(tx, annex, State.SIGNED, actor=SYSTEM, now_us=now_us, step=step.position, event="document.to_seal")
    await queries.set_step(tx, annex.id, step.position, expected=StepState.WAITING, state=StepState.OPEN)
    await open_step(tx, annex, step, now_us=now_us)


async def annexes_of(reads: Reads, document: str) -> list[DocumentRow]:
    """The annexes that stand by a document, in the order of their coming. The caller may read it, and who reads it reads them."""
    return [one for one in await queries.annexes(reads, document) if one.state is not State.RECALLED]


async def set_receivers(tx: Transaction, row: DocumentRow, receivers: list[Receiver]) -> None:
    """Who receives a document that has not left, and its annexes with it."""
    metadata = msgspec.structs.replace(row.metadata(), receivers=receivers)
    await queries.set_header(tx, row.id, msgspec.json.encode(metadata))
    for annex in await annexes_of(tx, row.id):
        await queries.set_header(tx, annex.id, msgspec.json.encode(annex.metadata().following(metadata)))


async def annexes_sent(reads: Reads, document: str, at_us: int) -> list[tuple[DocumentRow, str, int]]:
    """What went with a document's packet that was built at `at_us`: each annex, the digest of its revision of then, and its size."""
    found = []
    for annex in await queries.annexes(reads, document):
        sent = await queries.revision_at(reads, annex.id, at_us)
        if sent is not None and annex.state in ARCHIVED:
            found.append((annex, str(sent["digest"]), int(sent["size"])))
    return found


async def preserve(tx: Transaction, document: str, *, urgency: int) -> None:
    """The archive's revision is due: behind the seal, or again before the last stamp's certificate ends."""
    await jobs.enqueue(
        tx,
        "preservation.archive",
        Archive(document=document),
        lane=jobs.Lane.URGENT if urgency else jobs.Lane.NORMAL,
        ordering_key=f"preservation:{document}",
        dedupe_key=f"preservation.archive:{document}",
    )


async def archived(
    tx: Transaction, row: DocumentRow, *, digest: str, size: int, evidence: dict[str, str], now_us: int
) -> None:
    """The archive's revision is the head now; a document that waited for it may leave.

    Raises: Refused("conflict") when the document was moved since it was read.
    """
    await queries.insert_revision(
        tx,
        document=row.id,
        digest=digest,
        parent=row.head,
        size=size,
        kind="archive",
        step=None,
        version=row.version,
        now_us=now_us,
    )
    waited = row.state is State.SEALED_PENDING_ARCHIVE
    await move(
        tx,
        row,
        State.SEALED if waited else row.state,
        actor=SYSTEM,
        now_us=now_us,
        step=row.step,
        head=digest,
        event=None if waited else "document.archived",
        body={"revision": digest, **evidence},
    )
    if waited:
        await release(tx, row.id, now_us=now_us)


async def archive_postponed(tx: Transaction, row: DocumentRow, reason: str, *, now_us: int) -> None:
    """The document leaves without the archive's revision, as the policy says; an event in the log tells (threat D6).

    Raises: Refused("conflict").
    """
    await move(
        tx, row, State.SEALED, actor=SYSTEM, now_us=now_us, step=row.step, body={"level": "B-T", "postponed": reason}
    )
    await release(tx, row.id, now_us=now_us)


_UNPROVEN = {NoticeKind.SIGNER_REVOKED: "certificate-revoked", NoticeKind.STAMP_REVOKED: "time-stamp-revoked"}


async def unproven(tx: Transaction, row: DocumentRow, found: NoticeKind, *, now_us: int) -> None:
    """The evidence shows that a signature can never be proven: `found` is SIGNER_REVOKED, a certificate that was revoked before it signed (SW-8), or
    STAMP_REVOKED, one that stands behind a signature's time stamp (RFC 3161, 4). What has not left goes back to its drafter, who replaces or
    drops it; what has left already stays as it is, and the clerks, who can have it recalled, are told like everybody who signed.

    Raises: Refused("conflict") when the document was moved since it was read.
    """
    detail = {"reason": _UNPROVEN[found]}
    if row.state is State.SEALED_PENDING_ARCHIVE:
        await move(tx, row, State.RETURNED, actor=SYSTEM, now_us=now_us, step=row.step, body=detail)
    else:
        await audit.append(
            tx,
            f"document.{found.value}",
            organisation=row.organisation,
            actor=SYSTEM,
            subject=row.id,
            body={"head": row.head, **detail},
            now_us=now_us,
        )
        await publish(tx, row, f"document.{found.value}", row.state, detail=detail, now_us=now_us)
    route = [step.person for step in await queries.steps(tx, row.id) if step.person is not None]
    await notify(
        tx,
        organisation=row.organisation,
        people=list(dict.fromkeys([*route, *await queries.clerks(tx, row.organisation)])),
        document=row.id,
        kind=found,
        urgency=row.urgency,
        now_us=now_us,
    )
