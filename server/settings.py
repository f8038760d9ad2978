"""Typed settings: a TOML file, then environment variables `HOATOC_<SECTION>__<KEY>`; units stand in the names.

An unknown section, key or variable is an error that names it. What is left empty is derived from `state_dir`, the one
folder that holds everything; `StateDir` documents its layout. `mode = "production"` refuses unsafe values, all of
them at once, each with the name of its setting (threat C20); see `server.settings_production`.

Longer than most because every setting stands here once, with its unit, its default and its reason.
"""

import ipaddress
import json
import re
import stat
import tomllib
import typing
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from push.subscription import PUSH_SERVICES
from server.errors import HoatocError

FCM_URL = "https://fcm.googleapis.com"
_PREFIX = "HOATOC_"
# Variables of the process rather than settings: the file to load, and the crash point of tests.
_NO_SETTINGS = {"HOATOC_CONFIG", "HOATOC_CRASH_POINT"}
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
_SECRET_LIMIT = 64 * 1024

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(gt=0)]
Seconds = Annotated[float, Meta(gt=0)]


class SettingsError(HoatocError):
    """The settings cannot be used; the message names the setting. Raised before anything was started."""

    code = "settings-error"


class Mode(StrEnum):
    EMBEDDED = "embedded"
    PRODUCTION = "production"


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    def __repr__(self) -> str:
        """Without user and password of any address."""
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__)
        return _CREDENTIALS.sub("…@", f"{type(self).__name__}({fields})")


class ServerSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`public_url`: the address under which phones reach the server, its origin. `workers`: HTTP processes. `trusted_proxies`:
    addresses or networks whose `X-Forwarded-For` is believed.
    """

    mode: Mode = Mode.EMBEDDED
    host: str = "127.0.0.1"
    port: Port = 8080
    public_url: str = ""
    workers: Positive = 1
    debug: bool = False
    log_level: str = "info"
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    stop_grace_s: Seconds = 20.0
    tls_certificate_file: str = ""
    tls_key_file: str = ""


class DatabaseSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`sqlite:///absolute/path` or `postgresql://…`; empty: the file in the state folder."""

    url: str = ""


class BlobsSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`file:///absolute/folder`; empty: the one in the state folder. `reserve_bytes` stay free on its volume (D8)."""

    url: str = ""
    reserve_bytes: Annotated[int, Meta(ge=0)] = 256 * 1024 * 1024


class SignerSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`socket`: where the signer listens; empty: the one in the state folder. `embedded`: in embedded mode the server
    runs the signer as its child; off, it uses the one that listens there (`hoatoc signer run`), as several servers do.
    """

    socket: str = ""
    embedded: bool = True
    timeout_s: Seconds = 30.0


class SigningSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Policies of signing: life of a prepared revision, age of an intent that is asked after, and the age of the
    oldest signature without a time stamp at which signing stops (threat D5).

    `level` is what a sealed file reaches before it leaves: B-T, B-LT or B-LTA (EN 319 142-1); empty: B-LTA where
    `trust.status_hosts` says whom to ask, else B-T. When the evidence for it cannot be had for `archive_wait_s`,
    `archive_fallback` decides: "forward" lets the file leave as B-T with an alarm and goes on trying, "hold" waits (D6).
    `archive_renewal_s`: how long before the last archive stamp's certificate ends the next one is appended.

    `certify`: the first signature certifies (DocMDP P=2); `seal_locks`: the seal forbids every later change but the
    archive's; `allow_invisible`: a certified input without an empty field for the route is signed invisibly.
    `free_authority`: a route may write a line of authority (KT., TL., TUQ., Q.); false: only a signed grant gives one (AUT-6).
    """

    prepared_lifetime_s: Positive = 900
    intent_check_s: Positive = 30
    unstamped_limit_s: Positive = 4 * 3600
    level: str = ""
    archive_wait_s: Positive = 900
    archive_fallback: str = "forward"
    archive_renewal_s: Positive = 90 * 24 * 3600
    certify: bool = False
    seal_locks: bool = False
    allow_invisible: bool = False
    free_authority: bool = True


class ExchangeSystem(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One system that an axis has connected, with its credentials (reference §8.1). It sends and receives for `organisations` (their codes here).

    `secret_file` holds the key of its HMAC and is read at each request. `clock_tolerance_s`: how far this machine's clock and the axis'
    may be apart before that is said to be why the axis refuses.
    """

    organisations: tuple[str, ...] = ()
    url: str = ""
    system_id: str = ""
    secret_file: str = ""
    clock_tolerance_s: Positive = 60


class ExchangeSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The national document exchange. `url` to `clock_tolerance_s` describe the system of every organisation that no entry of `systems` names; see
    `ExchangeSystem`. `organ_codes` maps the code of an
    organisation here to the one that the axis knows, where they differ. `recall`: how a document is asked back, by one revocation packet
    to all receivers or by a status 13 (`take_back`) to each. `keep_packets_days`: how long the file of a packet stays
    after it has done its work; its row and digest stay for good. `sender_check`: what is done with a packet whose `From` is neither the
    system that the axis lists as its sender nor a unit below it: `flag` takes it in with an alarm, `park` does not take it in, `off` is for
    an axis that lists another name, such as that of a shared gateway.
    """

    url: str = ""
    system_id: str = ""
    secret_file: str = ""
    clock_tolerance_s: Positive = 60
    systems: tuple[ExchangeSystem, ...] = ()
    organ_codes: dict[str, str] = {}
    recall: Literal["revocation", "take_back"] = "revocation"
    keep_packets_days: Positive = 90
    sender_check: Literal["off", "flag", "park"] = "flag"
    poll_s: Seconds = 30.0
    settle_s: Seconds = 120.0
    timeout_s: Seconds = 60.0

    @property
    def connected(self) -> "dict[str, ExchangeSystem]":
        """Every system that is configured, by the name of its settings: the installation's own first."""
        own = ExchangeSystem(
            url=self.url, system_id=self.system_id, secret_file=self.secret_file, clock_tolerance_s=self.clock_tolerance_s
        )  # fmt: skip
        named = {f"exchange.systems[{place}]": one for place, one in enumerate(self.systems)}
        return ({"exchange": own} if self.url else {}) | named


class PushSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`fcm_credentials`: the service account's JSON file; empty: no FCM. `fcm_url` differs only in demo and tests.

    Web Push: `vapid_key_file` is a PEM file with a P-256 key; empty: in embedded mode one in the state folder, made at the first
    start, else no Web Push. A new key ends every subscription. `vapid_contact` (`mailto:` or `https:`) is told to the push services.
    `webpush_hosts` are the push services that a device may name (threat C10); `webpush_private_origins` are exact origins that may
    have any port and address: an own UnifiedPush server, a double.

    SMS and e-mail are channels of escalation. `sms_url`: the gateway that takes one JSON POST a message, `sms_token_file` its bearer token.
    `smtp_url`: `smtp://host:587` (STARTTLS) or `smtps://host:465`, with `smtp_user` and `smtp_password_file`; `email_from` is the sender's
    mailbox. Empty: no such channel.
    """

    fcm_credentials: str = ""
    fcm_url: str = FCM_URL
    vapid_key_file: str = ""
    vapid_contact: str = ""
    webpush_hosts: tuple[str, ...] = PUSH_SERVICES
    webpush_private_origins: tuple[str, ...] = ()
    sms_url: str = ""
    sms_token_file: str = ""
    smtp_url: str = ""
    smtp_user: str = ""
    smtp_password_file: str = ""
    email_from: str = ""


class TsaSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """RFC 3161 time-stamp authorities in order of preference, and the file of roots that their chains end at."""

    urls: tuple[str, ...] = ()
    roots: str = ""
    timeout_s: Seconds = 10.0


class TrustSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`roots`: PEM file of the authorities whose signing certificates are accepted.

    `status_hosts` (`name` or `name:port`): whom certificates' status may be asked of (OCSP, lists); addresses in
    certificates that are not among them are never called (threat C11). An answer is used for `status_fresh_s`, then asked
    for again and used until its nextUpdate if nothing else can be had; signing stops when none could be had for
    `status_grace_s` (threat D6). Empty hosts: no status is checked, and every sheet says so.
    """

    roots: str = ""
    status_hosts: tuple[str, ...] = ()
    status_timeout_s: Seconds = 5.0
    status_fresh_s: Positive = 3600
    status_grace_s: Positive = 4 * 3600


class LimitsSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes, and calls a minute (threat C7, `server.limits`). A caller is a device or a service client. Many phones may stand
    behind one address, so those limits are wide.
    """

    document_bytes: Positive = 100 * 1024 * 1024
    document_pages: Positive = 5000
    request_bytes: Positive = 1024 * 1024
    batch_documents: Positive = 200  # the signer takes no more in one activation
    sessions_per_address: Positive = 600
    public_per_address: Positive = 6000
    signs_per_device: Positive = 300
    signs_per_person: Positive = 600
    intakes_per_client: Positive = 1200
    writes_per_caller: Positive = 1200
    reads_per_caller: Positive = 6000
    calls_per_organisation: Positive = 60_000
    live_streams: Positive = 2000  # open at once in one process
    live_streams_per_person: Positive = 8
    validations_per_caller: Positive = 300
    validations_per_address: Positive = 60
    applicants_per_address: Positive = 300
    applicants_together: Positive = 6000


class RedisSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Empty: wake-ups, live events and rate windows stay within the process."""

    url: str = ""


class WorkerSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Slots of one worker process per lane. `embedded`: `hoatoc serve` works the queue itself."""

    embedded: bool = True
    urgent_slots: Positive = 8
    normal_slots: Positive = 8
    bulk_slots: Positive = 2
    poll_s: Seconds = 1.0
    lease_s: Seconds = 60.0
    handler_limit_s: Seconds = 600.0
    max_failures: Positive = 10


class PreviewsSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`children`: limited child processes that parse and render; 0: as many as cores."""

    children: Annotated[int, Meta(ge=0)] = 0


class StampSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`font_file` empty: the font that comes with the program. It must have all Vietnamese letters."""

    font_file: str = ""


class WebhooksSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Delivery of events to registered systems (Standard Webhooks). Private addresses are refused (threat C10)."""

    timeout_s: Seconds = 10.0
    allow_private_addresses: bool = False
    give_up_after_s: Positive = 3 * 24 * 3600


class ReportsSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What reports compute with: the postage of one letter, in đồng."""

    postage_dong: Positive = 7000


class Settings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    state_dir: str = "state"
    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    blobs: BlobsSettings = BlobsSettings()
    signer: SignerSettings = SignerSettings()
    signing: SigningSettings = SigningSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    push: PushSettings = PushSettings()
    tsa: TsaSettings = TsaSettings()
    trust: TrustSettings = TrustSettings()
    limits: LimitsSettings = LimitsSettings()
    redis: RedisSettings = RedisSettings()
    worker: WorkerSection = WorkerSection()
    previews: PreviewsSettings = PreviewsSettings()
    stamp: StampSettings = StampSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    reports: ReportsSettings = ReportsSettings()

    @property
    def state(self) -> "StateDir":
        return StateDir(Path(self.state_dir))


class StateDir:
    """The state folder, mode 0700 throughout:

    | path | what | back up |
    | --- | --- | --- |
    | `database/hoatoc.db` (+ `-wal`, `-shm`) | the embedded database; nothing there with PostgreSQL | yes |
    | `blobs/ab/<sha-256>` | every file, named by its digest; `blobs/scratch/` is swept | yes |
    | `signer/` | the signer's store, keys and configuration; in production the signer's user's | yes, apart |
    | `head/` | the signer's signed heads and log copy; in production a volume of its own | no: never restored |
    | `secrets/` | the server's secret files, mode 0600 | yes, apart |
    | `run/` | sockets of running processes | no |

    There is no folder for logs: they go to standard error.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.database = self.root / "database" / "hoatoc.db"
        self.blobs = self.root / "blobs"
        self.signer = self.root / "signer"
        self.head = self.root / "head"
        self.secrets = self.root / "secrets"
        self.run = self.root / "run"

    def create(self) -> None:
        """Make the folders that are missing."""
        for folder in (self.root, self.database.parent, self.blobs, self.signer, self.head, self.secrets, self.run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read, check and complete the settings. Raises SettingsError, in production mode for every unsafe value too."""
    from server.settings_production import refuse_unsafe

    raw = _from_file(path) if path is not None else {}
    _add_environment(raw, environ)
    try:
        settings = msgspec.convert(raw, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(_named(str(error))) from None
    settings = _complete(settings)
    _check(settings)
    if settings.server.mode is Mode.PRODUCTION:
        refuse_unsafe(settings, environ, path)
    return settings


def read_secret(path: str | Path) -> bytes:
    """The content of a secret file, without the line end. Raises SettingsError if it is missing, empty or open to
    others than its owner and group.
    """
    problem = secret_file_problem(path)
    if problem is not None:
        raise SettingsError(f"the secret file {Path(path).name} {problem}")
    return Path(path).read_bytes()[:_SECRET_LIMIT].rstrip(b"\r\n")


def secret_file_problem(path: str | Path) -> str | None:
    """What is wrong with a secret file, as the end of a sentence; None if it can be used."""
    try:
        status = Path(path).stat()
    except OSError:
        return "cannot be read"
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_mode & 0o007:
        return "is open to every user of this machine (set mode 0600)"
    if status.st_size == 0:
        return "is empty"
    return None


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"the settings file {path.name} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {path.name} is not valid TOML: {error}") from None


def _add_environment(raw: dict[str, Any], environ: Mapping[str, str]) -> None:
    for variable, value in sorted(environ.items()):
        if not variable.startswith(_PREFIX) or variable in _NO_SETTINGS:
            continue
        names = variable.removeprefix(_PREFIX).lower().split("__")
        owner, table = _place(variable, names, raw)
        kinds = typing.get_type_hints(owner)
        if names[-1] not in kinds:
            raise SettingsError(f"unknown setting {'.'.join(names)} in the environment variable {variable}")
        table[names[-1]] = _parsed(variable, value, typing.get_origin(kinds[names[-1]]))


def _place(variable: str, names: list[str], raw: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    if len(names) == 1:
        return Settings, raw
    section = typing.get_type_hints(Settings).get(names[0])
    if len(names) != 2 or not (isinstance(section, type) and issubclass(section, Section)):
        raise SettingsError(f"unknown setting {'.'.join(names)} in the environment variable {variable}")
    return section, raw.setdefault(names[0], {})


def _parsed(variable: str, value: str, origin: Any) -> Any:
    if origin is tuple and not value.startswith("["):
        return [part.strip() for part in value.split(",") if part.strip()]
    if origin in (tuple, dict):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            raise SettingsError(f"the environment variable {variable} is not valid JSON") from None
    return value


def _named(message: str) -> str:
    """The message of a failed validation, with the dotted name of the setting in front."""
    text, _, path = message.partition(" - at `$")
    section = path.rstrip("`").lstrip(".")
    unknown = re.search(r"unknown field `([^`]*)`", text)
    if unknown:
        return f"unknown setting {'.'.join(filter(None, (section, unknown[1])))}"
    return f"{section or 'settings'}: {text}"


def _complete(settings: Settings) -> Settings:
    """Fill what is derived from the state folder and the address."""
    replace = msgspec.structs.replace
    state = settings.state
    server = settings.server
    scheme = "https" if server.tls_certificate_file else "http"
    return replace(
        settings,
        state_dir=str(state.root),
        server=replace(server, public_url=(server.public_url or f"{scheme}://{server.host}:{server.port}").rstrip("/")),
        database=replace(settings.database, url=settings.database.url or f"sqlite://{state.database}"),
        blobs=replace(settings.blobs, url=settings.blobs.url or f"file://{state.blobs}"),
        signing=replace(
            settings.signing, level=settings.signing.level or ("B-LTA" if settings.trust.status_hosts else "B-T")
        ),
        signer=replace(settings.signer, socket=settings.signer.socket or str(state.run / "signer.sock")),
        push=replace(
            settings.push,
            vapid_key_file=settings.push.vapid_key_file
            or ("" if server.mode is Mode.PRODUCTION else str(state.secrets / "vapid.pem")),
        ),
    )


def _check(settings: Settings) -> None:
    """Refuse what can work in no mode."""
    for name, value, schemes in (
        ("server.public_url", settings.server.public_url, ("http://", "https://")),
        ("database.url", settings.database.url, ("sqlite:///", "postgresql://", "postgres://")),
        ("blobs.url", settings.blobs.url, ("file:///",)),
        ("redis.url", settings.redis.url, ("", "redis://", "rediss://", "unix://")),
        ("exchange.url", settings.exchange.url, ("", "http://", "https://")),
        *((f"{name}.url", one.url, ("http://", "https://")) for name, one in settings.exchange.connected.items()),
        ("push.fcm_url", settings.push.fcm_url, ("http://", "https://")),
        *(("tsa.urls", url, ("http://", "https://")) for url in settings.tsa.urls),
        ("push.vapid_contact", settings.push.vapid_contact, ("", "mailto:", "https:")),
        ("push.sms_url", settings.push.sms_url, ("", "http://", "https://")),
        ("push.smtp_url", settings.push.smtp_url, ("", "smtp://", "smtps://")),
        *(
            ("push.webpush_private_origins", url, ("http://", "https://"))
            for url in settings.push.webpush_private_origins
        ),
    ):
        if not (value.startswith(tuple(filter(None, schemes))) or (value == "" and "" in schemes)):
            raise SettingsError(f"{name} must start with {' or '.join(filter(None, schemes))}")
    for proxy in settings.server.trusted_proxies:
        try:
            ipaddress.ip_network(proxy, strict=False)
        except ValueError:
            raise SettingsError(
                "server.trusted_proxies must hold addresses or networks (10.0.0.7, 10.0.0.0/24)"
            ) from None
    _check_systems(settings.exchange)
    if bool(settings.push.smtp_url) != bool(settings.push.email_from):
        raise SettingsError("push.smtp_url and push.email_from go together")
    if settings.push.smtp_user and not settings.push.smtp_password_file:
        raise SettingsError("push.smtp_user needs push.smtp_password_file")
    if bool(settings.server.tls_certificate_file) != bool(settings.server.tls_key_file):
        raise SettingsError("server.tls_certificate_file and server.tls_key_file go together")
    if settings.signing.level not in ("B-T", "B-LT", "B-LTA"):
        raise SettingsError("signing.level must be B-T, B-LT or B-LTA")
    if settings.signing.archive_fallback not in ("forward", "hold"):
        raise SettingsError("signing.archive_fallback must be forward or hold")
    if settings.signing.level != "B-T" and not settings.trust.status_hosts:
        raise SettingsError(
            "signing.level needs trust.status_hosts: without answers about certificates there is no B-LT"
        )
    for host in settings.trust.status_hosts:
        if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?", host):
            raise SettingsError("trust.status_hosts holds names or name:port, no addresses with a scheme")
    if settings.server.log_level not in ("debug", "info", "warning", "error"):
        raise SettingsError("server.log_level must be debug, info, warning or error")


def _check_systems(exchange: ExchangeSettings) -> None:
    """Each organisation has one system, and each system an id of its own at its axis: what was sent is remembered with both."""
    codes: set[str] = set()
    ids: set[tuple[str, str]] = set()
    for name, one in exchange.connected.items():
        if not (one.system_id and one.secret_file):
            raise SettingsError(f"{name}.url needs {name}.system_id and {name}.secret_file")
        id_ = (one.url.rstrip("/").casefold(), one.system_id.casefold())
        if id_ in ids:
            raise SettingsError(f"{name}.system_id stands there twice for one axis")
        ids.add(id_)
        if name != "exchange" and not one.organisations:
            raise SettingsError(f"{name}.organisations names nobody")
        for code in one.organisations:
            if not code.strip() or code.strip().casefold() in codes:
                raise SettingsError(f"{name}.organisations names {code!r} without need, or twice")
            codes.add(code.strip().casefold())
