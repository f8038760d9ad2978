"""`hoatoc doctor`: what an operator should know of this installation, each finding with its cure.

Every check is a function of the settings and the clock that gives findings, so each can be broken alone in a test. Checks
change nothing: no file is made, no schema migrated, nothing sent but a time-stamp request over a fixed text, an FCM token
request, a question to the axis for its list of agencies, and a sign-in at the mail server. A check that fails unexpectedly or takes too long is itself a finding.

The module is long because it is a list: its checks share nothing but the shape of a finding, and stand where `CHECKS` names them.
"""

import asyncio
import os
import shutil
import stat
from collections.abc import Awaitable, Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from server.clock import Clock
from server.db import Database, Dialect, MigrationRefused, StatementFailed, StorageFailed, open_database
from server.errors import HoatocError
from server.settings import FCM_URL, ExchangeSystem, Mode, Settings, secret_file_problem

if TYPE_CHECKING:
    from signing.pdf.timestamp import TimeStampToken

__all__ = ["CHECKS", "Finding", "Level", "examine"]

_LIMIT_S: Final = 30.0
_QUICK_CHECK_S: Final = 20.0
_DAY_US: Final = 86_400_000_000
_WARN_DAYS: Final = 30
_TEST_TEXT: Final = b"hoatoc doctor"


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """One finding of the check `check`; `code` has its sentences in `server.doctor_texts`, which take `values`.

    Values are counts, ages, codes and paths of this machine; never a secret, nor content of a document.
    """

    check: str
    level: Level
    code: str
    values: dict[str, str | int | float] = {}


Check = Callable[[Settings, Clock], Awaitable[list[Finding]]]


async def examine(settings: Settings, clock: Clock) -> list[Finding]:
    """All checks, at once; the findings in the order of `CHECKS`."""
    wall_us, monotonic_us = clock.now_us(), clock.monotonic_us()
    found = await asyncio.gather(*(_guarded(name, check, settings, clock) for name, check in CHECKS.items()))
    jump_s = round(((clock.now_us() - wall_us) - (clock.monotonic_us() - monotonic_us)) / 1_000_000, 1)
    jumped = [Finding("clock", Level.WARN, "clock-jumped", {"jump_s": jump_s})] if abs(jump_s) >= 1 else []
    return jumped + [finding for part in found for finding in part]


async def _guarded(name: str, check: Check, settings: Settings, clock: Clock) -> list[Finding]:
    try:
        async with asyncio.timeout(_LIMIT_S):
            return await check(settings, clock)
    except TimeoutError:
        return [Finding(name, Level.FAIL, "check-slow", {"limit_s": int(_LIMIT_S)})]
    except Exception as error:
        # A doctor that dies of one broken part is of no use for finding the others.
        return [Finding(name, Level.FAIL, "check-failed", {"cause": getattr(error, "code", type(error).__name__)})]


# --- this machine ----------------------------------------------------------------------------------------------------


async def check_disk(settings: Settings, _clock: Clock) -> list[Finding]:
    """Each volume once (D8); below the reserve new documents are refused."""
    reserve = settings.blobs.reserve_bytes
    state = settings.state
    seen: dict[int, Finding] = {}
    for folder in (Path(settings.blobs.url.removeprefix("file://")), state.database.parent, state.signer, state.head):
        place = next(path for path in (folder, *folder.parents) if path.exists())
        device = place.stat().st_dev
        if device in seen:
            continue
        usage = shutil.disk_usage(place)
        values: dict[str, str | int | float] = {"free_mb": usage.free >> 20, "folder": str(place)}
        if usage.free < reserve:
            seen[device] = Finding("disk", Level.FAIL, "disk-full", values)
        elif usage.free < max(4 * reserve, usage.total // 20):
            seen[device] = Finding("disk", Level.WARN, "disk-low", values)
        else:
            seen[device] = Finding("disk", Level.OK, "disk-free", values)
    return _worst(list(seen.values()))


async def check_permissions(settings: Settings, _clock: Clock) -> list[Finding]:
    """Nothing of the state folder is open to others (`StateDir`), secret files are usable, folders can be written."""
    state = settings.state
    if not state.root.exists():
        return [Finding("permissions", Level.WARN, "state-missing")]
    found = list(_open_paths(settings))
    for name, path in (
        ("exchange.secret_file", settings.exchange.secret_file),
        *((f"exchange.systems[{n}].secret_file", one.secret_file) for n, one in enumerate(settings.exchange.systems)),
        ("push.fcm_credentials", settings.push.fcm_credentials),
        ("server.tls_key_file", settings.server.tls_key_file),
    ):
        if path and secret_file_problem(path) is not None:
            found.append(Finding("permissions", Level.FAIL, "secret-unusable", {"setting": name}))
    return found or [Finding("permissions", Level.OK, "permissions-right")]


def _open_paths(settings: Settings) -> Iterator[Finding]:
    state = settings.state
    folders = [state.root, state.database.parent, state.blobs, state.secrets, state.run]
    if settings.server.mode is Mode.EMBEDDED:  # else the signer's user owns its own, and nobody else may look
        folders += [state.signer, state.head, state.signer / "keys"]
    files = [path for folder in (state.secrets, state.signer / "keys") for path in _files(folder)]
    for path in (*(folder for folder in folders if folder.exists()), *files):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            values: dict[str, str | int | float] = {"path": str(path), "mode": f"{mode:04o}"}
            yield Finding("permissions", Level.FAIL, "permissions-open", values)
        if path.is_dir() and not os.access(path, os.W_OK | os.X_OK):
            yield Finding("permissions", Level.FAIL, "permissions-not-ours", {"path": str(path)})


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        return []  # not there yet, or another user's


async def check_sandbox(_settings: Settings, _clock: Clock) -> list[Finding]:
    """Which walls stand round the children that open hostile files (B3)."""
    from server.sandbox.model import SandboxError
    from server.sandbox.pool import Sandbox

    try:
        async with Sandbox(concurrency=1, tasks={}) as sandbox:
            walls = await sandbox.isolation()
    except (SandboxError, OSError):
        return [Finding("sandbox", Level.FAIL, "sandbox-down")]
    missing = [name for name in ("network", "syscalls", "files") if not getattr(walls, name)]
    if not walls.offline:
        return [Finding("sandbox", Level.FAIL, "sandbox-open")]
    if missing:
        return [Finding("sandbox", Level.WARN, "sandbox-partial", {"missing": ", ".join(missing)})]
    return [Finding("sandbox", Level.OK, "sandbox-right")]


async def check_font(settings: Settings, _clock: Clock) -> list[Finding]:
    from signing.pdf import appearance
    from signing.pdf.errors import PdfError

    path = Path(settings.stamp.font_file) if settings.stamp.font_file else appearance.DEFAULT_FONT
    try:
        await asyncio.to_thread(appearance.check_font, path)
    except (PdfError, OSError):
        return [Finding("font", Level.FAIL, "font-wrong")]
    return [Finding("font", Level.OK, "font-right")]


# --- database and what stands in it ----------------------------------------------------------------------------------


async def check_database(settings: Settings, _clock: Clock) -> list[Finding]:
    """Reachable, of this program's schema, and on SQLite intact."""
    from server.db.migrator import check_version, load

    db = await _opened(settings)
    if isinstance(db, Finding):
        return [db]
    try:
        try:
            await check_version(db)
        except (MigrationRefused, StatementFailed):
            return [Finding("database", Level.FAIL, "database-schema")]
        if db.dialect is Dialect.SQLITE:
            try:
                async with asyncio.timeout(_QUICK_CHECK_S):
                    rows = await db.fetch_all("PRAGMA quick_check(1)")
            except TimeoutError:
                return [Finding("database", Level.WARN, "database-slow")]
            if [row[0] for row in rows] != ["ok"]:
                return [Finding("database", Level.FAIL, "database-corrupt")]
        return [Finding("database", Level.OK, "database-right", {"version": load()[-1].version})]
    except StorageFailed:
        return [Finding("database", Level.FAIL, "database-corrupt")]
    finally:
        await db.close()


async def _opened(settings: Settings) -> Database | Finding:
    """The database, never made by looking at it; or the finding that says why there is none."""
    url = settings.database.url
    if url.startswith("sqlite://") and not Path(url.removeprefix("sqlite://")).exists():
        return Finding("database", Level.WARN, "database-missing")
    try:
        return await open_database(url)
    except StorageFailed:
        return Finding("database", Level.FAIL, "database-corrupt")
    except (HoatocError, OSError):
        return Finding("database", Level.FAIL, "database-down")


def _asks_database(name: str, ask: Callable[[Settings, Clock, Database], Awaitable[list[Finding]]]) -> Check:
    """A check over rows; without a usable database it says that it was not made."""

    async def check(settings: Settings, clock: Clock) -> list[Finding]:
        db = await _opened(settings)
        if isinstance(db, Finding):
            return [Finding(name, Level.WARN, "not-asked")]
        try:
            return await ask(settings, clock, db)
        except HoatocError:
            return [Finding(name, Level.WARN, "not-asked")]
        finally:
            await db.close()

    return check


async def _outbox(_settings: Settings, clock: Clock, db: Database) -> list[Finding]:
    from server.jobs.queries import backlog

    lanes = await backlog(db, clock.now_us())
    age_s = max(lane.oldest_due_age_us for lane in lanes) // 1_000_000
    values: dict[str, str | int | float] = {"age_s": age_s, "due": sum(lane.due for lane in lanes)}
    if age_s >= 600:
        return [Finding("outbox", Level.FAIL, "outbox-stuck", values)]
    if age_s >= 60:
        return [Finding("outbox", Level.WARN, "outbox-late", values)]
    return [Finding("outbox", Level.OK, "outbox-right", values)]


async def _buried(_settings: Settings, clock: Clock, db: Database) -> list[Finding]:
    from server.jobs.queries import backlog

    count = sum(lane.buried for lane in await backlog(db, clock.now_us()))
    if count:
        return [Finding("buried", Level.WARN, "jobs-buried", {"count": count})]
    return [Finding("buried", Level.OK, "jobs-none-buried")]


async def _parked(_settings: Settings, clock: Clock, db: Database) -> list[Finding]:
    """Packets of the exchange that were put aside (D14)."""
    from server.exchange.queries import parked_count

    row = await parked_count(db)
    if row["n"]:
        days = max(0, clock.now_us() - row["oldest_us"]) // 86_400_000_000
        return [Finding("parked", Level.WARN, "packets-parked", {"count": row["n"], "days": days})]
    return [Finding("parked", Level.OK, "packets-none-parked")]


async def _unstamped(settings: Settings, clock: Clock, db: Database) -> list[Finding]:
    """Signatures that wait for their time stamp; past the setting's limit signing has stopped (D5)."""
    from server.approvals.queries import oldest_unstamped

    oldest = await oldest_unstamped(db)
    age_s = 0 if oldest is None else max(0, clock.now_us() - oldest) // 1_000_000
    if age_s >= settings.signing.unstamped_limit_s:
        return [Finding("unstamped", Level.FAIL, "stamps-stopped", {"age_s": age_s})]
    if age_s >= min(600, settings.signing.unstamped_limit_s // 2):
        return [Finding("unstamped", Level.WARN, "stamps-late", {"age_s": age_s})]
    return [Finding("unstamped", Level.OK, "stamps-right")]


async def _certificates(settings: Settings, clock: Clock, db: Database) -> list[Finding]:
    """Days left of every active credential's certificate and of those in the configured files."""
    rows = await db.fetch_all(
        "SELECT subject, not_after_us FROM credentials WHERE state = 'active' AND not_after_us IS NOT NULL ORDER BY not_after_us LIMIT 50"
    )
    ends = [(str(row["subject"]), int(row["not_after_us"])) for row in rows]
    found = []
    for setting, path in (
        ("trust.roots", settings.trust.roots),
        ("tsa.roots", settings.tsa.roots),
        ("server.tls_certificate_file", settings.server.tls_certificate_file),
    ):
        try:
            ends += [(f"{setting}: {subject}", at) for subject, at in _ends_in(path)]
        except (OSError, ValueError):
            found.append(Finding("certificates", Level.FAIL, "certificate-unreadable", {"subject": setting}))
    if not settings.trust.roots:
        found.append(Finding("certificates", Level.WARN, "trust-off"))
    days = [(subject, (at - clock.now_us()) // _DAY_US) for subject, at in sorted(ends, key=lambda end: end[1])]
    found += [_ending(subject, left) for subject, left in days if left < _WARN_DAYS][:10]
    if found:
        return found
    if not days:
        return [Finding("certificates", Level.OK, "certificates-none")]
    return [Finding("certificates", Level.OK, "certificates-right", {"days": days[0][1]})]


def _ends_in(path: str) -> list[tuple[str, int]]:
    """(subject, end in microseconds) of the certificates of a PEM file; none for no file. Raises OSError, ValueError."""
    from cryptography import x509

    if not path:
        return []
    return [
        (one.subject.rfc4514_string(), round(one.not_valid_after_utc.timestamp() * 1_000_000))
        for one in x509.load_pem_x509_certificates(Path(path).read_bytes())
    ]


def _ending(subject: str, left: int) -> Finding:
    if left < 0:
        return Finding("certificates", Level.FAIL, "certificate-ended", {"subject": subject, "days": -left})
    return Finding("certificates", Level.WARN, "certificate-ends", {"subject": subject, "days": left})


# --- the signer ------------------------------------------------------------------------------------------------------


async def check_signer(settings: Settings, clock: Clock) -> list[Finding]:
    """Answers, its head is signed and not older than what it signed (rollback), and it knows every organisation."""
    from signing.client import SignerClient, SignerError
    from signing.core.log import ProofInvalid, verify_head

    client = SignerClient(settings.signer.socket, timeout_s=min(10.0, settings.signer.timeout_s))
    try:
        answer = await client.log_head()
        head = verify_head(answer.head, answer.identity)
    except ProofInvalid:
        return [Finding("signer", Level.FAIL, "signer-head-wrong")]
    except (SignerError, ValueError):  # ValueError: what listens there does not speak the signer's wire
        return [Finding("signer", Level.FAIL, "signer-down")]
    finally:
        await client.close()
    found = []
    age_s = (clock.now_us() - head.time) // 1_000_000
    if age_s < -5:
        found.append(Finding("signer", Level.WARN, "signer-ahead", {"ahead_s": -age_s}))
    found += await _signer_against_database(settings, head.time)
    return found or [Finding("signer", Level.OK, "signer-right", {"age_s": max(0, age_s)})]


async def _signer_against_database(settings: Settings, head_us: int) -> list[Finding]:
    db = await _opened(settings)
    if isinstance(db, Finding):
        return []
    try:
        row = await db.fetch_one("SELECT max(created_us) AS at FROM activations WHERE state = 'signed'")
        codes = [str(one["code"]) for one in await db.fetch_all("SELECT code FROM organisations ORDER BY code")]
    except HoatocError:
        return []  # the database's own check says what is wrong
    finally:
        await db.close()
    found = []
    newest = 0 if row is None else row["at"] or 0
    if newest - head_us > 60_000_000:
        values: dict[str, str | int | float] = {"behind_s": (newest - head_us) // 1_000_000}
        found.append(Finding("signer", Level.FAIL, "signer-behind", values))
    unknown = sorted(set(codes) - _signers_organisations(settings, codes))
    if unknown:
        found.append(Finding("signer", Level.WARN, "signer-organisations", {"codes": ", ".join(unknown[:10])}))
    return found


def _signers_organisations(settings: Settings, all_codes: Sequence[str]) -> set[str]:
    """The codes in the signer's configuration; all of them where that is another user's and cannot be read."""
    from signing.core import daemon

    try:
        return set(daemon.load_config(settings.state.signer / "signer.toml").organisations)
    except daemon.ConfigRefused:
        return set(all_codes)


# --- outside parties -------------------------------------------------------------------------------------------------


async def check_axis(settings: Settings, clock: Clock) -> list[Finding]:
    """Each system asks its axis for the list of agencies; the Date of the answer judges our clock, since requests are signed with their time."""
    asked = [_ask_axis(name, one, clock) for name, one in settings.exchange.connected.items()]
    found = [finding for findings in await asyncio.gather(*asked) for finding in findings]
    return found or [Finding("axis", Level.WARN, "axis-off")]


async def _ask_axis(name: str, system: ExchangeSystem, clock: Clock) -> list[Finding]:
    from server.exchange.axis import AxisLimits, AxisRefused, AxisUnavailable, VxpAxis

    limits = AxisLimits(connect_s=5, read_s=15, clock_tolerance_s=system.clock_tolerance_s)
    axis = VxpAxis(system.url, system.system_id, Path(system.secret_file), clock.now_us, limits)
    values: dict[str, str | int | float] = {"setting": name, "code": system.system_id}
    found: list[Finding] = []
    try:
        known = {agency.code for agency in await axis.agencies()}
        if system.system_id not in known:
            found.append(Finding("axis", Level.WARN, "axis-stranger", values))
    except AxisUnavailable as error:
        found.append(Finding("axis", Level.FAIL, "axis-down", values | {"cause": error.code}))
    except AxisRefused as error:
        found.append(Finding("axis", Level.FAIL, "axis-refused", values | {"cause": error.code}))
    finally:
        await axis.close()
    off_s = axis.clock_off_s
    if off_s is not None:
        # The clock's fault is said first: a secret that is right is not looked for twice.
        values |= {"seconds": abs(off_s)}
        off = Finding("axis", Level.WARN, "axis-clock-behind", values)
        if off_s > 0:
            off = Finding("axis", Level.WARN, "axis-clock-ahead", values)
        found.insert(0, msgspec.structs.replace(off, level=Level.FAIL if found else Level.WARN))
    return found or [Finding("axis", Level.OK, "axis-right", values)]


async def _systems(settings: Settings, _clock: Clock, db: Database) -> list[Finding]:
    """A code that no organisation has is a slip of the pen: whoever was meant would send through the system of all others."""
    codes = {str(one["code"]).casefold() for one in await db.fetch_all("SELECT code FROM organisations")}
    named = {code for system in settings.exchange.systems for code in system.organisations}
    unknown = sorted(code for code in named if code.strip().casefold() not in codes)
    if unknown:
        return [Finding("systems", Level.FAIL, "systems-unknown", {"codes": ", ".join(unknown[:10])})]
    stranded = await _stranded(settings, db)
    if stranded:
        return [Finding("systems", Level.FAIL, "systems-stranded", stranded)]
    return [Finding("systems", Level.OK, "systems-right", {"count": len(settings.exchange.connected)})]


async def _stranded(settings: Settings, db: Database) -> dict[str, str | int | float]:
    """Packets with an open outcome whose system is configured no more: nobody can ask its axis about them (D2)."""
    from server.exchange.queries import under_way
    from server.exchange.systems import following

    connected = list(settings.exchange.connected.values())
    if not connected:
        return {}
    left = {str(row["system"]): row["n"] for row in await under_way(db) if following(row["system"], connected) is None}
    codes = sorted({key.partition("·")[0] or "exchange" for key in left})
    return {"count": sum(left.values()), "codes": ", ".join(codes[:10])} if left else {}


async def check_tsa(settings: Settings, clock: Clock) -> list[Finding]:
    """Each authority stamps a fixed text, its token is judged like one for a signature; its time judges our clock (D7)."""
    tsa = settings.tsa
    if not tsa.urls:
        level = Level.FAIL if settings.server.mode is Mode.PRODUCTION else Level.WARN
        return [*await _clock_against(settings, clock, None), Finding("tsa", level, "tsa-off")]
    try:
        roots = _der(tsa.roots)
    except (OSError, ValueError):
        roots = ()
    if not roots:
        return [*await _clock_against(settings, clock, None), Finding("tsa", Level.FAIL, "tsa-no-roots")]
    answers = await asyncio.gather(*(_stamp(url, roots, settings, clock) for url in tsa.urls))
    causes = [answer for answer in answers if isinstance(answer, str)]
    skews = [answer for answer in answers if not isinstance(answer, str)]
    skew_s = min(skews, key=abs) if skews else None
    if skew_s is None and "tsa-clock-skew" in causes:
        found = [Finding("clock", Level.FAIL, "clock-wrong")]
    else:
        found = await _clock_against(settings, clock, skew_s)
    values: dict[str, str | int | float] = {"count": len(tsa.urls), "down": len(causes), "cause": ", ".join(causes)}
    if not skews:
        return [*found, Finding("tsa", Level.FAIL, "tsa-down", values)]
    if causes:
        return [*found, Finding("tsa", Level.WARN, "tsa-some", values)]
    return [*found, Finding("tsa", Level.OK, "tsa-right", {"count": len(tsa.urls)})]


async def _stamp(url: str, roots: tuple[bytes, ...], settings: Settings, clock: Clock) -> float | str:
    """How many seconds our clock is ahead of one authority's, or the code of what is wrong with its answer."""
    from server.outgoing import NoAnswer
    from server.timestamps import TimeStamps
    from signing.pdf.errors import PdfError
    from signing.pdf.timestamp import TimeStampTrust

    stamps = TimeStamps((url,), TimeStampTrust(roots=roots), clock, timeout_s=settings.tsa.timeout_s)
    try:
        token: TimeStampToken = await stamps.ask(url, _TEST_TEXT)
    except PdfError as error:
        return error.code
    except (NoAnswer, OSError):
        return "tsa-unreachable"
    finally:
        await stamps.close()
    # genTime is cut to whole seconds by most authorities; a difference below one says nothing.
    return round((clock.now_us() - token.gen_time_us) / 1_000_000, 1)


async def _clock_against(settings: Settings, clock: Clock, skew_s: float | None) -> list[Finding]:
    """The clock against a time stamp and against our own log, whose newest event cannot lie ahead."""
    newest_us = await _newest_event(settings)
    ahead_s = (newest_us - clock.now_us()) // 1_000_000
    if ahead_s >= 5:
        return [Finding("clock", Level.FAIL, "clock-went-back", {"ahead_s": ahead_s})]
    if skew_s is None:
        return [Finding("clock", Level.WARN, "clock-alone")]
    if abs(skew_s) >= 5:
        return [Finding("clock", Level.WARN, "clock-off", {"skew_s": skew_s})]
    return [Finding("clock", Level.OK, "clock-right", {"skew_s": skew_s})]


async def _newest_event(settings: Settings) -> int:
    db = await _opened(settings)
    if isinstance(db, Finding):
        return 0
    try:
        row = await db.fetch_one("SELECT at_us FROM audit_events ORDER BY id DESC LIMIT 1")
        return 0 if row is None else int(row["at_us"])
    except HoatocError:
        return 0
    finally:
        await db.close()


def _der(path: str) -> tuple[bytes, ...]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    if not path:
        return ()
    return tuple(one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(Path(path).read_bytes()))


async def check_fcm(settings: Settings, _clock: Clock) -> list[Finding]:
    """Whether an access token can be had; nothing is sent."""
    from push.model import PushError
    from push.outcome import Misconfigured
    from push.transports import open_fcm

    push = settings.push
    if not push.fcm_credentials:
        return [Finding("fcm", Level.WARN, "fcm-off")]
    try:
        lanes = await open_fcm(Path(push.fcm_credentials), base_url=None if push.fcm_url == FCM_URL else push.fcm_url)
    except PushError as error:
        return [Finding("fcm", Level.FAIL, "fcm-credentials", {"cause": error.code})]
    try:
        fault = await next(iter(lanes.values())).check()
    finally:
        await asyncio.gather(*(lane.close() for lane in lanes.values()))
    if fault is None:
        return [Finding("fcm", Level.OK, "fcm-right")]
    if isinstance(fault, Misconfigured):
        return [Finding("fcm", Level.FAIL, "fcm-credentials", {"cause": fault.reason})]
    return [Finding("fcm", Level.FAIL, "fcm-down", {"cause": fault.cause.value})]


async def check_webpush(settings: Settings, _clock: Clock) -> list[Finding]:
    """Whether the VAPID key can be used, and a push service can write to somebody (RFC 8292)."""
    from push.vapid import VapidKey, VapidKeyError

    push, server = settings.push, settings.server
    if not push.vapid_key_file:
        return [Finding("webpush", Level.WARN, "webpush-off")]
    if server.mode is not Mode.PRODUCTION and not Path(push.vapid_key_file).exists():
        return [Finding("webpush", Level.OK, "webpush-new")]
    try:
        VapidKey.load(Path(push.vapid_key_file))
    except VapidKeyError as error:
        return [Finding("webpush", Level.FAIL, "webpush-key", {"path": push.vapid_key_file, "cause": str(error)})]
    if not push.vapid_contact and not server.public_url.startswith("https:"):
        return [Finding("webpush", Level.WARN, "webpush-contact")]
    return [Finding("webpush", Level.OK, "webpush-right")]


async def check_sms(settings: Settings, _clock: Clock) -> list[Finding]:
    """Whether the gateway can be reached. Whether one is missed, `second` knows."""
    from push.transports import open_sms

    push = settings.push
    if not push.sms_url:
        return [Finding("sms", Level.OK, "sms-off")]
    token = _secret_of(push.sms_token_file)
    if token is None:
        return [Finding("sms", Level.FAIL, "sms-token", {"path": push.sms_token_file})]
    lanes = await open_sms(push.sms_url, token)
    try:
        fault = await next(iter(lanes.values())).check()
    finally:
        await asyncio.gather(*(lane.close() for lane in lanes.values()))
    return [Finding("sms", Level.OK, "sms-right") if fault is None else Finding("sms", Level.FAIL, "sms-down")]


async def check_email(settings: Settings, _clock: Clock) -> list[Finding]:
    """Whether the mail server lets us in. Whether one is missed, `second` knows."""
    from push.outcome import Misconfigured
    from push.transports import MailServer, open_mailer

    push = settings.push
    if not push.smtp_url:
        return [Finding("email", Level.OK, "email-off")]
    password = _secret_of(push.smtp_password_file)
    if password is None:
        return [Finding("email", Level.FAIL, "email-password", {"path": push.smtp_password_file})]
    mailer = open_mailer(MailServer(url=push.smtp_url, sender=push.email_from, user=push.smtp_user, password=password))
    try:
        fault = await mailer.check()
    finally:
        await mailer.close()
    if isinstance(fault, Misconfigured):
        return [Finding("email", Level.FAIL, "email-refused")]
    return [Finding("email", Level.OK, "email-right") if fault is None else Finding("email", Level.FAIL, "email-down")]


def _secret_of(path: str) -> str | None:
    """The secret in a file, empty without one; None where it cannot be read."""
    try:
        return Path(path).read_text("utf-8").strip() if path else ""
    except (OSError, UnicodeDecodeError):
        return None


async def _second(settings: Settings, _clock: Clock, db: Database) -> list[Finding]:
    """Chains that tell by SMS or e-mail in an installation that has neither: the step is passed over (NOT-4)."""
    from server.notices.queries import rules as rules_of
    from server.notices.rules import Channel, read

    wanting = []
    for row in (
        []
        if settings.push.sms_url or settings.push.smtp_url
        else await db.fetch_all("SELECT id, code FROM organisations ORDER BY code")
    ):
        policies = read(await rules_of(db, row["id"])).policies
        if any(step.channel is not Channel.PUSH for policy in policies for step in policy.steps):
            wanting.append(str(row["code"]))
    some = ", ".join(wanting[:5]) + ("…" if len(wanting) > 5 else "")
    if wanting:
        return [Finding("second", Level.WARN, "second-off", {"codes": some})]
    return [Finding("second", Level.OK, "second-right")]


# --- all of them -----------------------------------------------------------------------------------------------------


CHECKS: Final[dict[str, Check]] = {
    "tsa": check_tsa,
    "disk": check_disk,
    "permissions": check_permissions,
    "database": check_database,
    "signer": check_signer,
    "sandbox": check_sandbox,
    "axis": check_axis,
    "systems": _asks_database("systems", _systems),
    "fcm": check_fcm,
    "webpush": check_webpush,
    "sms": check_sms,
    "email": check_email,
    "second": _asks_database("second", _second),
    "font": check_font,
    "certificates": _asks_database("certificates", _certificates),
    "outbox": _asks_database("outbox", _outbox),
    "buried": _asks_database("buried", _buried),
    "parked": _asks_database("parked", _parked),
    "unstamped": _asks_database("unstamped", _unstamped),
}
"""`tsa` also gives the clock's finding, because it is the time stamp that judges the clock."""


def _worst(findings: list[Finding]) -> list[Finding]:
    """All that is wrong; else the first alone."""
    return [finding for finding in findings if finding.level is not Level.OK] or findings[:1]
