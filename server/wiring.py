"""The composition root: the only place that chooses an adapter, and the order in which parts start and stop.

Longer than most because the order of starting and stopping is read in one place.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import structlog

from push.dispatcher import Dispatcher, LaneSettings, Transport
from push.model import Lane as PushLane
from push.subscription import EndpointPolicy
from push.transports import EmailTransport, MailServer, open_email, open_fcm, open_mailer, open_sms, open_webpush
from push.vapid import VapidKey
from server import audit
from server.approvals.service import ApprovalService, device_revoked
from server.approvals.tasks import ApprovalTasks
from server.arrivals.service import ArrivalService
from server.audit.service import AuditService
from server.audit.tasks import AuditTasks
from server.authority.service import AuthorityService
from server.bus import Bus, LocalBus
from server.clock import Clock, SystemClock
from server.credentials.service import CredentialService, SignerAdapter
from server.db import Database, Transaction, migrate, open_database
from server.directives.service import DirectiveService
from server.directives.tasks import DirectiveTasks
from server.documents import queries as document_queries
from server.documents.model import State
from server.documents.service import DocumentService, Inspector, role_withdrawn
from server.documents.tasks import DocumentTasks
from server.exchange.axis import AxisLimits, VxpAxis
from server.exchange.directory.service import Agencies
from server.exchange.service import ExchangeService
from server.exchange.systems import Line, Systems
from server.exchange.tasks import AgencyTasks, ExchangeTasks
from server.exchange.watch import DeadlineTasks
from server.identity import tasks as identity_tasks
from server.identity.model import IdentitySettings
from server.identity.service import IdentityService
from server.identity.tokens import TokenKeys
from server.jobs import Handler, Job, Periodic
from server.jobs.queries import backlog
from server.jobs.wakeup import BusWakeup, connect
from server.jobs.worker import Outcome, Worker, WorkerSettings
from server.limits import Limits, MemoryWindows, Windows
from server.live import service as live_service
from server.live.hub import Hub
from server.live.tasks import LiveTasks
from server.meetings.calendar import CalendarService
from server.meetings.papers import PaperService
from server.meetings.service import MeetingService
from server.meetings.tasks import MeetingTasks
from server.metrics import Metrics
from server.notices.announcements import AnnouncementService
from server.notices.arrangements import ArrangementService
from server.notices.service import NoticeService
from server.notices.tasks import NoticeTasks
from server.onestop.service import OneStopService
from server.onestop.tasks import OneStopTasks
from server.oversight.service import OversightService
from server.oversight.tasks import OversightTasks
from server.pdfwork import PdfWork
from server.preservation.record import RecordService
from server.preservation.service import PreservationService
from server.preservation.tasks import PreservationTasks
from server.previews.openings import PageOpenings
from server.previews.service import PreviewService
from server.previews.tasks import PreviewTasks
from server.reports.service import ReportService
from server.revocation.service import RevocationService
from server.sandbox.pool import Sandbox
from server.settings import FCM_URL, Mode, Settings, read_secret
from server.stamp_images.service import StampImages
from server.storage import Blobs
from server.storage.files import FileBlobs
from server.timestamps import TimeStamps
from server.validations.service import ValidationService
from server.validations.tasks import ValidationTasks
from server.webhooks.service import WebhookService
from server.webhooks.tasks import WebhookTasks
from signing.client import SignerClient, SignerError
from signing.core.codec import thumbprint
from signing.pdf.appearance import DEFAULT_FONT, check_font
from signing.pdf.timestamp import TimeStampTrust

log = structlog.get_logger()

# Sends in flight, a lane. FCM's wire carries 200 over two connections; Web Push has 16 connections, mail one a message.
_IN_FLIGHT = {"fcm": 64, "webpush": 16, "sms": 8, "email": 4}


class _ClockedAudit:
    """The audit log for rooms that do not pass the time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def append(
        self,
        tx: Transaction,
        kind: str,
        *,
        organisation: str,
        actor: str,
        subject: str,
        body: msgspec.Struct | dict[str, Any],
    ) -> str:
        return await audit.append(
            tx, kind, organisation=organisation, actor=actor, subject=subject, body=body, now_us=self._clock.now_us()
        )


class Wiring:
    """Everything that one process of the server or a worker holds. Make it with `open`, end it with `close`."""

    DEPENDENCIES = (
        "arrangements", "authority", "openings",
        "db", "blobs", "settings", "clock", "identity", "documents", "previews", "approvals", "credentials", "notices", "webhooks", "audit", "exchange", "agencies", "records", "validations",
        "arrivals", "stamp_images", "meetings", "meeting_papers", "calendars", "live", "onestop", "reports", "announcements", "oversight", "directives",
    )  # fmt: skip

    settings: Settings
    db: Database
    identity: IdentityService

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.metrics = Metrics()
        self._stack = AsyncExitStack()
        self._worker: Worker | None = None
        self._known_signer_key = ""
        self._working: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, settings: Settings, clock: Clock | None = None) -> "Wiring":
        """Open stores, migrate, and build every service. Raises what the parts raise, with nothing left open."""
        self = cls(settings, clock or SystemClock())
        try:
            await self._build()
        except BaseException:
            await self.close()
            raise
        return self

    async def _build(self) -> None:
        settings, clock = self.settings, self.clock
        settings.state.create()
        self.db = await open_database(settings.database.url)
        self._stack.push_async_callback(self.db.close)
        await migrate(self.db)
        self.blobs: Blobs = FileBlobs(
            Path(settings.blobs.url.removeprefix("file://")), clock, reserve_bytes=settings.blobs.reserve_bytes
        )
        bus = self._open_bus()
        self.wakeup = BusWakeup(bus)
        connect(self.db, self.wakeup)
        self.live = Hub(
            self.db, bus, clock, most=settings.limits.live_streams, most_each=settings.limits.live_streams_per_person
        )
        self._stack.push_async_callback(self.live.stop)
        live_service.connect(self.db, bus)
        bus.start()
        self.limits = Limits(self._windows(), settings.limits, settings.server.trusted_proxies)
        self.sandbox = Sandbox(concurrency=settings.previews.children or None)
        self._stack.push_async_callback(self.sandbox.close)
        self.signer = SignerClient(settings.signer.socket, timeout_s=settings.signer.timeout_s)
        self._stack.push_async_callback(self.signer.close)
        font = Path(settings.stamp.font_file) if settings.stamp.font_file else DEFAULT_FONT
        check_font(font)
        self.audit = AuditService(self.db, clock, settings.state.secrets / "log_key.pem")
        self.notices = NoticeService(self.db, clock)
        self.announcements = AnnouncementService(self.db, clock)
        self.arrangements = ArrangementService(self.db, clock, self._channels())
        self.webhooks = WebhookService(self.db, clock, settings.webhooks)
        self._stack.push_async_callback(self.webhooks.close)
        self.vapid = self._vapid()
        self.identity = self._identity()
        self.credentials = CredentialService(self.db, self.signer, self.identity, clock)
        self.pdf = PdfWork(
            self.sandbox,
            font=font,
            roots=_certificates(settings.trust.roots),
            tsa_roots=_certificates(settings.tsa.roots),
            certify=settings.signing.certify,
            seal_locks=settings.signing.seal_locks,
            allow_invisible=settings.signing.allow_invisible,
        )
        self.stamp_images = StampImages(self.db, self.blobs, self.pdf, clock)
        self.documents = DocumentService(
            self.db,
            self.blobs,
            Inspector(
                self.pdf,
                max_pages=settings.limits.document_pages,
                allow_invisible=settings.signing.allow_invisible,
            ),
            clock,
            settings.exchange.organ_codes,
            self.stamp_images,
            free_authority=settings.signing.free_authority,
        )
        self.authority = AuthorityService(self.db, clock)
        self.validations = ValidationService(self.db, self.blobs, self.pdf, clock)
        self.previews = PreviewService(self.db, self.blobs, self.sandbox, clock)
        self.openings = PageOpenings(self.db, clock)
        self.meetings = MeetingService(self.db, clock)
        self.meeting_papers = PaperService(
            self.db, self.blobs, self.pdf, self.previews, self.meetings, clock, max_pages=settings.limits.document_pages
        )
        token_keys = TokenKeys.load_or_create(settings.state.secrets / "token_keys")
        self.calendars = CalendarService(self.db, clock, token_keys, settings.server.public_url)
        self.oversight = OversightService(self.db, clock)
        self.onestop = OneStopService(self.db, clock, token_keys, settings.server.public_url)
        self.reports = ReportService(self.db, clock, settings.reports.postage_dong)
        self.revocation = self._revocation()
        self.approvals = ApprovalService(
            db=self.db,
            blobs=self.blobs,
            documents=self.documents,
            previews=self.previews,
            pdf=self.pdf,
            images=self.stamp_images,
            signer=self.signer,
            revocation=self.revocation,
            clock=clock,
            unstamped_limit_us=settings.signing.unstamped_limit_s * 1_000_000,
            prepared_life_us=settings.signing.prepared_lifetime_s * 1_000_000,
            reconcile_after_us=settings.signing.intent_check_s * 1_000_000,
            batch_documents=settings.limits.batch_documents,
        )
        self.stamps = TimeStamps(
            settings.tsa.urls,
            TimeStampTrust(roots=_certificates(settings.tsa.roots)),
            clock,
            timeout_s=settings.tsa.timeout_s,
            revoked=self.revocation.known_revoked,
        )
        self._stack.push_async_callback(self.stamps.close)
        systems = Systems(self.db, clock, self._systems())
        self.arrivals = ArrivalService(
            self.db, self.blobs, self.previews, clock, max_pages=settings.limits.document_pages, axis_of=systems.axis_of
        )
        self.agencies = Agencies(self.db, clock, systems)
        self.exchange = ExchangeService(
            db=self.db,
            blobs=self.blobs,
            systems=systems,
            arrivals=self.arrivals,
            approvals=self.approvals,
            documents=self.documents,
            agencies=self.agencies,
            clock=clock,
            settings=settings.exchange,
        )
        self.directives = DirectiveService(
            self.db,
            self.blobs,
            self.arrivals,
            self.documents,
            self.exchange,
            self.previews,
            clock,
            max_pages=settings.limits.document_pages,
        )
        self.records = self._records()

    def _revocation(self) -> RevocationService:
        trust, tsa = self.settings.trust, self.settings.tsa
        service = RevocationService(
            db=self.db, clock=self.clock, hosts=trust.status_hosts, roots=_certificates(trust.roots) + _certificates(tsa.roots),
            timeout_s=trust.status_timeout_s, fresh_us=trust.status_fresh_s * 1_000_000, grace_us=trust.status_grace_s * 1_000_000,
        )  # fmt: skip
        self._stack.push_async_callback(service.close)
        return service

    def _preservation(self) -> PreservationService:
        signing = self.settings.signing
        return PreservationService(
            db=self.db, blobs=self.blobs, pdf=self.pdf, previews=self.previews, revocation=self.revocation, stamps=self.stamps, clock=self.clock,
            level=signing.level, wait_us=signing.archive_wait_s * 1_000_000, fallback=signing.archive_fallback,
            renewal_us=signing.archive_renewal_s * 1_000_000,
        )  # fmt: skip

    def _records(self) -> RecordService:
        roots = dict.fromkeys(_certificates(self.settings.trust.roots) + _certificates(self.settings.tsa.roots))
        return RecordService(
            db=self.db,
            blobs=self.blobs,
            audit=self.audit,
            exchange=self.exchange,
            arrivals=self.arrivals,
            roots=roots,
            now_us=self.clock.now_us,
        )

    def _open_bus(self) -> Bus:
        if not self.settings.redis.url:
            return LocalBus()
        from server.bus_redis import RedisBus

        bus = RedisBus(self.settings.redis.url)
        self._stack.push_async_callback(bus.close)
        return bus

    def _windows(self) -> Windows:
        if not self.settings.redis.url:
            return MemoryWindows()
        from server.limits_redis import RedisWindows

        windows = RedisWindows(self.settings.redis.url)
        self._stack.push_async_callback(windows.close)
        return windows

    async def _signer_key(self) -> str:
        """Asked when a link is made: the signer may start after this process, and a link without its key is of no use."""
        if not self._known_signer_key:
            try:
                self._known_signer_key = thumbprint((await self.signer.sealing_key()).identity)
            except SignerError:
                return ""
        return self._known_signer_key

    def _identity(self) -> IdentityService:
        server = self.settings.server
        return IdentityService(
            self.db, self.clock, TokenKeys.load_or_create(self.settings.state.secrets / "token_keys"),
            IdentitySettings(
                origins=(server.public_url, *server.allowed_origins), push_endpoints=self._push_endpoints(),
                vapid_key="" if self.vapid is None else self.vapid.public,
            ),
            _ClockedAudit(self.clock), signer_key=self._signer_key,
            on_device_revoked=(device_revoked,), on_role_withdrawn=(role_withdrawn,),
        )  # fmt: skip

    def _systems(self) -> list[Line]:
        exchange = self.settings.exchange
        lines = []
        for one in exchange.connected.values():
            # An unknown outcome is asked about after `settle_s`, when no send of ours can still be under way.
            limits = AxisLimits(
                read_s=exchange.timeout_s,
                send_s=min(2 * exchange.timeout_s, exchange.settle_s),
                clock_tolerance_s=one.clock_tolerance_s,
            )
            axis = VxpAxis(one.url, one.system_id, Path(one.secret_file), self.clock.now_us, limits)
            self._stack.push_async_callback(axis.close)
            lines.append(Line(axis=axis, url=one.url, system_id=one.system_id, organisations=one.organisations))
        return lines

    # What routes are given by name.

    def dependencies(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.DEPENDENCIES}

    # The worker.

    async def start_worker(self) -> None:
        """Work the outbox in this process, until `close`."""
        section = self.settings.worker
        tasks = await self._tasks()
        handlers: dict[str, Handler] = {}
        periodic: list[Periodic] = []
        for task in tasks:
            handlers.update(task.handlers())
            periodic.extend(task.periodic())
        handlers.update(identity_tasks.handlers(self.identity, SignerAdapter(self.db, self.signer)))
        periodic.extend(identity_tasks.periodic(self.identity))
        self._worker = Worker(
            self.db, handlers, self.clock, self.wakeup, periodic=periodic, observe=self._observe, on_bury=self.audit.on_bury,
            settings=WorkerSettings(
                urgent_slots=section.urgent_slots, normal_slots=section.normal_slots, bulk_slots=section.bulk_slots, poll_s=section.poll_s,
                lease_s=section.lease_s, handler_limit_s=section.handler_limit_s, max_failures=section.max_failures,
            ),
        )  # fmt: skip
        self._working = asyncio.create_task(self._worker.run())

    async def _tasks(self) -> list[Any]:
        approvals = ApprovalTasks(
            db=self.db,
            blobs=self.blobs,
            approvals=self.approvals,
            previews=self.previews,
            pdf=self.pdf,
            stamps=self.stamps,
            clock=self.clock,
            sealed=State.SEALED if self.settings.signing.level == "B-T" else State.SEALED_PENDING_ARCHIVE,
        )
        return [
            approvals,
            PreservationTasks(self._preservation(), self.db, self.clock),
            self.revocation,
            PreviewTasks(self.previews),
            DocumentTasks(self.db, self.clock, self.metrics),
            NoticeTasks(self.db, self.clock, self.identity, await self._dispatchers()),
            OneStopTasks(self.onestop),
            OversightTasks(self.db, self.clock),
            LiveTasks(self.db),
            MeetingTasks(self.db, self.clock, self._mailer()),
            WebhookTasks(self.webhooks, self.clock, self.settings.webhooks.give_up_after_s),
            AuditTasks(self.audit, self.signer),
            ExchangeTasks(self.exchange),
            AgencyTasks(self.agencies),
            DeadlineTasks(self.db, self.clock),
            DirectiveTasks(self.directives, self.db, self.clock),
            ValidationTasks(self.validations),
        ]

    def _channels(self) -> frozenset[str]:
        """By what people can be told here."""
        push = self.settings.push
        known = {
            "fcm": push.fcm_credentials,
            "webpush": push.vapid_key_file,
            "sms": push.sms_url,
            "email": push.smtp_url,
        }
        return frozenset(name for name, setting in known.items() if setting)

    async def _dispatchers(self) -> dict[str, Dispatcher]:
        """One a push service: a fault of one does not brake the other."""
        push = self.settings.push
        services: dict[str, Mapping[PushLane, Transport]] = {}
        if push.fcm_credentials:
            base_url = None if push.fcm_url == FCM_URL else push.fcm_url
            services["fcm"] = await open_fcm(Path(push.fcm_credentials), base_url=base_url)
        if self.vapid is not None:
            services["webpush"] = open_webpush(self.vapid, self._push_endpoints())
        if push.sms_url:
            services["sms"] = await open_sms(push.sms_url, _secret_text(push.sms_token_file))
        if push.smtp_url:
            services["email"] = open_email(self._mail_server())
        return {name: self._dispatcher(lanes, _IN_FLIGHT[name]) for name, lanes in services.items()}

    def _mail_server(self) -> MailServer:
        push = self.settings.push
        password = _secret_text(push.smtp_password_file)
        return MailServer(url=push.smtp_url, sender=push.email_from, user=push.smtp_user, password=password)

    def _mailer(self) -> EmailTransport | None:
        """Carries invitations to meetings, beside the lanes of notices."""
        if not self.settings.push.smtp_url:
            return None
        mailer = open_mailer(self._mail_server())
        self._stack.push_async_callback(mailer.close)
        return mailer

    def _dispatcher(self, lanes: Mapping[PushLane, Transport], in_flight: int) -> Dispatcher:
        dispatcher = Dispatcher(
            {lane: LaneSettings(transport=transport, concurrency=in_flight) for lane, transport in lanes.items()},
            now_us=self.clock.now_us,
            monotonic_us=self.clock.monotonic_us,
        )
        self._stack.push_async_callback(dispatcher.close)
        return dispatcher

    def _push_endpoints(self) -> EndpointPolicy:
        push = self.settings.push
        return EndpointPolicy(hosts=push.webpush_hosts, private_origins=push.webpush_private_origins)

    def _vapid(self) -> VapidKey | None:
        """Made at the first start where the file is ours to make; in production mode an operator's file or none."""
        push, server = self.settings.push, self.settings.server
        if not push.vapid_key_file:
            return None
        contact = push.vapid_contact or (server.public_url if server.public_url.startswith("https:") else "")
        read = VapidKey.load if server.mode is Mode.PRODUCTION else VapidKey.load_or_create
        return read(Path(push.vapid_key_file), contact)

    def _observe(self, job: Job, outcome: Outcome, _us: int) -> None:
        self.metrics.job(job.kind, outcome.value)

    # Operations.

    async def ready(self) -> dict[str, str]:
        """`ok` or `down` for each part that requests need."""
        parts = {"database": "ok", "signer": "ok"}
        try:
            await self.db.fetch_one("SELECT 1 AS one")
        except Exception:  # any failure means: not ready
            parts["database"] = "down"
        try:
            await self.signer.log_head()
        except SignerError:
            parts["signer"] = "down"
        return parts

    async def metrics_text(self) -> bytes:
        for lane in await backlog(self.db, self.clock.now_us()):
            self.metrics.backlog(
                lane.lane.value, waiting=lane.waiting, oldest_due_us=lane.oldest_due_age_us, buried=lane.buried
            )
        for row in await document_queries.counts_by_state(self.db):
            self.metrics.documents(row["state"], row["n"])
        self.metrics.parked(await self.exchange.parked_count())
        self.metrics.streams(len(self.live.streams))
        return self.metrics.text()

    async def stop_worker(self) -> None:
        """Claim no more jobs, finish what runs, release leases. From here on another process works the outbox, or nobody."""
        if self._worker is not None and self._working is not None:
            await self._worker.stop(self.settings.server.stop_grace_s)
            await asyncio.gather(self._working, return_exceptions=True)

    async def close(self) -> None:
        """Finish what runs, release leases, close stores."""
        await self.stop_worker()
        await self._stack.aclose()


def _secret_text(path: str) -> str:
    return read_secret(path).decode("ascii") if path else ""


def _certificates(path: str) -> tuple[bytes, ...]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    if not path:
        return ()
    return tuple(one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(Path(path).read_bytes()))
