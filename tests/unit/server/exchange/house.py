"""An agency with sealed documents and the exchange service over real stores, for tests of forwarding and statuses."""

import hashlib
import uuid
from pathlib import Path

import msgspec

from server import jobs
from server.arrivals.service import ArrivalService
from server.crash import point
from server.documents import queries as document_queries
from server.documents.model import DocumentRow, Metadata, Receiver, SignerStep, State, StepState, due_us
from server.documents.service import DocumentService, Forward, route_of
from server.errors import Refused
from server.exchange.axis import AxisLimits, VxpAxis
from server.exchange.directory.service import Agencies
from server.exchange.service import ExchangeService
from server.exchange.systems import Line, Systems
from server.exchange.tasks import ExchangeTasks
from server.identity.model import Actor
from server.jobs import queries as job_queries
from server.settings import ExchangeSettings
from server.storage.files import FileBlobs

ORGANISATION, LEADER, CLERK, STRANGER = (uuid.uuid5(uuid.NAMESPACE_OID, name).hex for name in ("o", "l", "c", "s"))
SETTLE_S = 2.0


class Approvals:
    """In place of our own validation of the chain, which other tests hold to account."""

    def __init__(self):
        self.refusal = None

    async def require_valid(self, _row, code):
        if self.refusal is not None:
            raise Refused(self.refusal if self.refusal != "not-valid" else code)


class House:
    """`X01` of the stand-in, with a leader and a clerk. `run` does what a worker does with one due job."""

    def __init__(self, db, folder: Path, clock, axis, *, settle_s=SETTLE_S, jitter=lambda: 0.0):
        self.db, self.clock, self.axis = db, clock, axis
        self.blobs = FileBlobs(folder / "blobs", clock, reserve_bytes=0)
        self.approvals = Approvals()
        self.documents = DocumentService(db, self.blobs, None, clock)
        self.settings = ExchangeSettings(system_id="X01", organ_codes={"H-01": "X01"}, settle_s=settle_s, poll_s=1)
        self.jitter = jitter
        self.url = ""
        self.further = []  # lines of organisations with systems of their own
        self.restart()

    def restart(self):
        """A new process: nothing but the stores is left."""
        own = [] if self.axis is None else [Line(axis=self.axis, system_id="X01", url=self.url)]
        self.systems = Systems(self.db, self.clock, [*own, *self.further])
        self.arrivals = ArrivalService(
            self.db, self.blobs, None, self.clock, max_pages=100, axis_of=self.systems.axis_of
        )
        self.agencies = Agencies(self.db, self.clock, self.systems)
        self.exchange = ExchangeService(
            db=self.db, blobs=self.blobs,
            systems=self.systems, arrivals=self.arrivals, approvals=self.approvals, documents=self.documents, agencies=self.agencies,
            clock=self.clock, settings=self.settings, jitter=self.jitter,
        )  # fmt: skip
        self.tasks = ExchangeTasks(self.exchange)

    async def found(self):
        """The agency and its people."""

        async def body(tx):
            await tx.execute(
                "INSERT INTO organisations (id, code, name, created_us) VALUES ($1, 'H-01', 'Cơ quan Mẫu Một', 1) ON CONFLICT DO NOTHING",
                ORGANISATION,
            )
            for person, name, position, role in (
                (LEADER, "Nguyễn Văn Mẫu", "Chủ tịch", "leader"),
                (CLERK, "Trần Thị Mẫu", "Văn thư", "clerk"),
                (STRANGER, "Lê Văn Mẫu", "Chuyên viên", "staff"),
            ):
                await tx.execute(
                    "INSERT INTO people (id, organisation, name, position, authority_line, state, locale, created_us) "
                    "VALUES ($1, $2, $3, $4, '', 'active', 'vi', 1) ON CONFLICT DO NOTHING",
                    person, ORGANISATION, name, position,
                )  # fmt: skip
                await tx.execute(
                    "INSERT INTO roles (person, role, granted_by, granted_us) VALUES ($1, $2, 'x', 1) ON CONFLICT DO NOTHING",
                    person, role,
                )  # fmt: skip

        await self.db.transact(body)

    async def sealed(self, number="12", *, receivers=("X02",), pdf=None, subject=None, urgency=3, **changes) -> str:
        """A sealed document whose forwarding waits as a job; its id."""
        pdf = b"%PDF-1.7\n" + hashlib.sha256(number.encode()).digest() * 40 if pdf is None else pdf
        head = await self.blobs.put_bytes(pdf)
        metadata = Metadata(
            number=number, notation="QĐ-CQM", subject=subject or f'V/v thử số {number} & "ngoặc" <một>', type_name="Quyết định", urgency=urgency,
            promulgation_place="Hà Nội", promulgation_date="2026-03-02", due_date="2026-04-01", to_places=["Như trên", "Lưu: VT"],
            receivers=[Receiver(organ_id=code, name=f"Cơ quan {code}") for code in receivers],
            signers=[SignerStep(person=LEADER, authority="TM. ỦY BAN")],
        )  # fmt: skip
        metadata = msgspec.structs.replace(metadata, **changes)
        now_us = self.clock.now_us()
        document = uuid.uuid4().hex
        taken = await self.db.fetch_one("SELECT 1 AS one FROM documents WHERE code_number = $1", number)
        row = DocumentRow(
            id=document, organisation=ORGANISATION, client="c", source_reference=None, state=State.SEALED, state_since_us=now_us,
            state_due_us=due_us(State.SEALED, urgency, now_us), step=2, head=head, version=1, page_count=2, code_number=number,
            code_notation=metadata.notation, subject=metadata.subject, type_name=metadata.type_name, urgency=urgency,
            promulgation_place=metadata.promulgation_place, promulgation_date=metadata.promulgation_date, due_date=metadata.due_date,
            header=msgspec.json.encode(metadata), exchange_id=f"H-01,2026/03/02,{number}/QĐ-CQM" + (f"#{document}" if taken else ""),
            created_us=now_us, updated_us=now_us,
        )  # fmt: skip

        async def body(tx):
            await document_queries.insert_document(tx, row)
            await document_queries.insert_revision(
                tx, document=document, digest=head, parent=None, size=len(pdf), kind="seal", step=2, version=1, now_us=now_us
            )  # fmt: skip
            for step in route_of(document, metadata):
                await document_queries.insert_step(tx, step)
                await document_queries.set_step(
                    tx, document, step.position, expected=step.state, state=StepState.DONE, by=step.person or CLERK, now_us=now_us
                )  # fmt: skip
            await jobs.enqueue(
                tx, "exchange.forward", Forward(document=document), ordering_key=f"exchange:{document}", dedupe_key=f"exchange.forward:{document}"
            )  # fmt: skip

        await self.db.transact(body)
        return document

    async def claimed(self, lane=jobs.Lane.NORMAL):
        """A due job of the lane, or None."""

        async def body(tx):
            return await job_queries.claim(
                tx, self.db.dialect, lane, owner=uuid.uuid4().hex, limit=1, now_us=self.clock.now_us(),
                lease_end_us=self.clock.now_us() + 60_000_000, timed_first=False,
            )  # fmt: skip

        found = await self.db.transact(body)
        return found[0] if found else None

    async def run(self, lane=jobs.Lane.NORMAL):
        """One attempt at one due job: "none", "done", ("retry", seconds, reason) or ("buried", reason); others' jobs are let go."""
        job = await self.claimed(lane)
        if job is None:
            return "none"
        if job.kind not in self.tasks.handlers():
            await self.db.transact(lambda tx: job_queries.finish(tx, job))
            return "done"
        context = jobs.Context(self.db, self.clock, job, job_queries.finish)
        try:
            await self.tasks.handlers()[job.kind](job, context)
        except jobs.Retry as raised:
            retry = raised
            due_us = self.clock.now_us() + round((retry.after_s or 0) * 1e6)
            await self.db.transact(
                lambda tx: job_queries.reschedule(
                    tx, job, due_us=due_us, failures=job.failures, attempt=job.attempt, reason=retry.reason
                )
            )
            return "retry", retry.after_s, retry.reason
        except jobs.Bury as raised:
            reason = raised.reason
            await self.db.transact(lambda tx: job_queries.bury(tx, job, failures=1, reason=reason))
            return "buried", reason
        if not context.finished:
            await self.db.transact(lambda tx: job_queries.finish(tx, job))
        point("job-done")
        return "done"

    async def settle(self, limit=20):
        """Attempts with the waits between them, until the job ends; how it ended."""
        for _ in range(limit):
            match await self.run():
                case ("retry", after_s, _):
                    self.clock.advance(max(after_s or 1.0, 0.001))
                case ended:
                    return ended
        raise AssertionError("the job does not end")

    async def state(self, document):
        row = await self.db.fetch_one("SELECT state FROM documents WHERE id = $1", document)
        return row["state"]

    async def receivers(self, document):
        rows = await self.db.fetch_all(
            "SELECT r.organ_id, r.state, r.status_code FROM packet_receivers r JOIN outgoing_packets p ON p.id = r.packet WHERE p.document = $1 ORDER BY r.position",
            document,
        )
        return [(row["organ_id"], row["state"], row["status_code"]) for row in rows]

    async def count(self, table, where="1 = 1", *args):
        row = await self.db.fetch_one(f"SELECT count(*) AS n FROM {table} WHERE {where}", *args)
        return row["n"]

    async def changes(self, document):
        rows = await self.db.fetch_all(
            "SELECT kind, state, detail FROM changes WHERE document = $1 ORDER BY seq", document
        )
        return [(row["kind"], row["state"], msgspec.json.decode(row["detail"])) for row in rows]

    def actor(self, person=LEADER, roles=("leader",)):
        return Actor(
            kind="person", id=person, organisation=ORGANISATION, roles=frozenset(roles), scopes=frozenset(), device=None, session_key=None
        )  # fmt: skip


def client(url, secret, clock, code="X01", **limits):
    return VxpAxis(url, code, Path(secret), clock.now_us, AxisLimits(**limits))
