"""`hoatoc doctor`: a healthy installation is all right, and each part broken in turn is named with its cure (D5, D7, D8, B3).

Longer than most: one finding a test, over one healthy installation.
"""

import asyncio
import json
import shutil
import sqlite3
import string
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from push.vapid import VapidKey
from server import doctor
from server.cli.run import start_signer, stop_signer
from server.clock import SystemClock
from server.db import migrate, open_database
from server.demo.fcm import FcmDouble
from server.demo.pki import DemoPki
from server.doctor import Level
from server.doctor_texts import TEXTS
from server.exchange.standin import serving
from server.settings import ExchangeSystem, load
from signing.core import daemon
from tests.fakes import pdf_signing as fakes
from tests.fakes.clock import FrozenClock
from tests.fakes.smtp import SmtpServer

DAY_US = 86_400_000_000
replace = msgspec.structs.replace


def now_us():
    return time.time_ns() // 1000


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """A state folder with a migrated database and a running signer; nothing outside configured."""
    folder = tmp_path_factory.mktemp("d")
    settings = load(None, {"HOATOC_STATE_DIR": str(folder / "s"), "HOATOC_BLOBS__RESERVE_BYTES": "0"})
    signer = start_signer(settings)

    async def make():
        db = await open_database(settings.database.url)
        await migrate(db)
        await db.close()

    import asyncio

    asyncio.run(make())
    yield settings
    stop_signer(signer)


@pytest.fixture
def own(installation, tmp_path):
    """The installation with a database of this test's own, and a way to write rows into it."""
    path = tmp_path / "own.db"
    shutil.copy(installation.state.database, path)
    return replace(installation, database=replace(installation.database, url=f"sqlite://{path}"))


def rows(settings, *statements):
    """Rows as they stand when something has gone wrong; foreign keys are not of interest here."""
    connection = sqlite3.connect(settings.database.url.removeprefix("sqlite://"))
    for sql, *values in statements:
        connection.execute(sql, values)
    connection.commit()
    connection.close()


async def found(name, settings, clock=None):
    return await doctor.CHECKS[name](settings, clock or SystemClock())


async def codes(name, settings, clock=None):
    return {(finding.level, finding.code) for finding in await found(name, settings, clock)}


FAIL, WARN, OK = Level.FAIL, Level.WARN, Level.OK


@pytest_asyncio.fixture
async def connected(own, tmp_path):
    """Everything configured: time stamps, FCM, the axis, roots."""
    (tmp_path / "axis").mkdir()
    async with DemoPki() as pki, FcmDouble() as fcm, serving(tmp_path / "axis") as (axis, url):
        fcm.write_service_account(tmp_path / "fcm.json")
        (tmp_path / "fcm.json").chmod(0o600)
        (tmp_path / "roots.pem").write_text(pki.authority.trust_pem)
        roots = str(tmp_path / "roots.pem")
        settings = replace(
            own,
            tsa=replace(own.tsa, urls=(pki.tsa_url,), roots=roots),
            trust=replace(own.trust, roots=roots),
            push=replace(own.push, fcm_credentials=str(tmp_path / "fcm.json"), fcm_url=fcm.url),
            exchange=replace(own.exchange, url=url, system_id="X01", secret_file=str(axis.secrets["X01"])),
        )
        yield settings, pki, fcm, axis


@pytest.mark.asyncio
async def test_a_healthy_installation_is_all_right(connected):
    settings, *_ = connected
    seen = await doctor.examine(settings, SystemClock())
    bad = [finding for finding in seen if finding.level is not OK]
    # Not every machine that runs the tests offers all three walls; the doctor names those that are missing.
    assert [finding.code for finding in bad if finding.check != "sandbox"] == []
    assert {finding.check for finding in seen} == set(doctor.CHECKS) | {"clock"}


# --- this machine ---


@pytest.mark.asyncio
async def test_a_clock_that_is_off_jumps_or_went_back(connected):
    settings, *_ = connected
    clock = FrozenClock()
    clock.jump(20)
    assert (WARN, "clock-off") in await codes("tsa", settings, clock)
    clock.jump(100)
    assert {(FAIL, "clock-wrong"), (FAIL, "tsa-down")} == await codes("tsa", settings, clock)
    future = now_us() + 3_600_000_000
    rows(settings, ("INSERT INTO audit_events VALUES ('ff', '', ?, 'x', 'x', 'x', x'7b7d', NULL)", future))
    assert (FAIL, "clock-went-back") in await codes("tsa", settings)


@pytest.mark.asyncio
async def test_a_jump_during_the_check_is_seen(own, monkeypatch):
    clock = FrozenClock()

    async def jumping(_settings, the_clock):
        the_clock.jump(-3)
        return []

    monkeypatch.setattr(doctor, "CHECKS", {"disk": jumping})
    assert [(one.code, one.values["jump_s"]) for one in await doctor.examine(own, clock)] == [("clock-jumped", -3.0)]


@pytest.mark.asyncio
async def test_a_disk_below_the_reserve(own):
    free = shutil.disk_usage(own.state_dir).free
    assert await codes("disk", replace(own, blobs=replace(own.blobs, reserve_bytes=2 * free))) == {(FAIL, "disk-full")}
    assert await codes("disk", replace(own, blobs=replace(own.blobs, reserve_bytes=free // 2))) == {(WARN, "disk-low")}


@pytest.mark.asyncio
async def test_open_folders_and_secrets(own, tmp_path):
    state = tmp_path / "state"
    settings = replace(own, state_dir=str(state))
    assert await codes("permissions", settings) == {(WARN, "state-missing")}
    settings.state.create()
    assert await codes("permissions", settings) == {(OK, "permissions-right")}
    secret = settings.state.secrets / "log_key.pem"
    secret.write_text("secret")
    secret.chmod(0o644)
    (finding,) = await found("permissions", settings)
    assert (finding.level, finding.code, finding.values) == (
        FAIL,
        "permissions-open",
        {"path": str(secret), "mode": "0644"},
    )
    secret.chmod(0o600)
    settings.state.blobs.chmod(0o755)
    assert await codes("permissions", settings) == {(FAIL, "permissions-open")}
    settings.state.blobs.chmod(0o700)
    absent = replace(settings, exchange=replace(settings.exchange, secret_file=str(tmp_path / "absent")))
    (finding,) = await found("permissions", absent)
    assert (finding.code, finding.values) == ("secret-unusable", {"setting": "exchange.secret_file"})


@pytest.mark.asyncio
async def test_missing_walls_are_named(own, monkeypatch):
    from server.sandbox.model import Isolation
    from server.sandbox.pool import Sandbox

    for walls, code in (
        (Isolation(network=True, syscalls=True, files=True), (OK, "sandbox-right")),
        (Isolation(network=False, syscalls=True, files=True), (WARN, "sandbox-partial")),
        (Isolation(network=False, syscalls=False, files=True), (FAIL, "sandbox-open")),
    ):

        async def isolation(_self, walls=walls):
            return walls

        monkeypatch.setattr(Sandbox, "isolation", isolation)
        assert await codes("sandbox", own) == {code}


@pytest.mark.asyncio
async def test_children_that_do_not_start(own, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert await codes("sandbox", own) == {(FAIL, "sandbox-down")}


@pytest.mark.asyncio
async def test_a_font_without_vietnamese_letters(own, tmp_path):
    (tmp_path / "font.ttf").write_bytes(b"no font")
    for path in (tmp_path / "font.ttf", tmp_path / "absent.ttf"):
        assert await codes("font", replace(own, stamp=replace(own.stamp, font_file=str(path)))) == {
            (FAIL, "font-wrong")
        }


# --- the database ---


@pytest.mark.asyncio
async def test_a_database_that_is_missing_down_old_new_or_corrupt(own, tmp_path):
    def at(url):
        return replace(own, database=replace(own.database, url=url))

    assert await codes("database", own) == {(OK, "database-right")}
    absent = tmp_path / "absent.db"
    assert await codes("database", at(f"sqlite://{absent}")) == {(WARN, "database-missing")}
    assert not absent.exists()  # looking makes nothing
    assert await codes("outbox", at(f"sqlite://{absent}")) == {(WARN, "not-asked")}
    assert await codes("database", at("postgresql://nobody@127.0.0.1:1/none")) == {(FAIL, "database-down")}
    empty = tmp_path / "empty.db"
    sqlite3.connect(empty).close()
    empty.touch()
    assert await codes("database", at(f"sqlite://{empty}")) == {(FAIL, "database-schema")}
    rows(own, ("INSERT INTO schema_migrations VALUES (9999, 'newer', 'x', 0)",))
    assert await codes("database", own) == {(FAIL, "database-schema")}


@pytest.mark.asyncio
async def test_a_corrupt_database(own):
    path = Path(own.database.url.removeprefix("sqlite://"))
    rows(
        own,
        *(
            ("INSERT INTO audit_events VALUES (?, '', 0, 'x', 'x', 'x', x'7b7d', NULL)", f"{n:040}")
            for n in range(2000)
        ),
    )
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (root,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'audit_events_unsequenced'"
    ).fetchone()
    connection.close()
    body = bytearray(path.read_bytes())
    body[(root - 1) * 4096 : root * 4096] = bytes(4096)
    path.write_bytes(body)
    assert await codes("database", own) == {(FAIL, "database-corrupt")}
    path.write_bytes(b"this is no database, but it is long enough to be taken for one" * 100)
    assert await codes("database", own) == {(FAIL, "database-corrupt")}


JOB = "INSERT INTO jobs VALUES (?, 'x', 'normal', '{}', NULL, NULL, ?, ?, ?, 1, 0, NULL, NULL, NULL)"


@pytest.mark.asyncio
async def test_a_late_outbox_and_buried_jobs(own):
    assert await codes("outbox", own) == {(OK, "outbox-right")}
    rows(own, (JOB, "a", "waiting", now_us() - 90_000_000, now_us() - 90_000_000))
    assert await codes("outbox", own) == {(WARN, "outbox-late")}
    rows(own, (JOB, "b", "waiting", now_us() - 900_000_000, now_us() - 900_000_000))
    assert await codes("outbox", own) == {(FAIL, "outbox-stuck")}
    assert await codes("buried", own) == {(OK, "jobs-none-buried")}
    rows(own, (JOB, "c", "buried", 0, 0))
    (finding,) = await found("buried", own)
    assert (finding.level, finding.code, finding.values) == (WARN, "jobs-buried", {"count": 1})


@pytest.mark.asyncio
async def test_packets_that_were_put_aside(own):
    """D14."""
    sql = (
        "INSERT INTO incoming_packets (axis_id, kind, sender, receiver, blob, state, error, received_us)"
        " VALUES (?, 'edoc', 'X02', 'X01', 'b', ?, '', ?)"
    )
    rows(own, (sql, "a", "stored", 0), (sql, "b", "dismissed", 0))
    assert await codes("parked", own) == {(OK, "packets-none-parked")}
    old_us = now_us() - 3 * DAY_US - 5_000_000
    rows(own, (sql, "c", "unproven", now_us()), (sql, "d", "unreadable", old_us))
    (finding,) = await found("parked", own)
    assert (finding.level, finding.code, finding.values) == (WARN, "packets-parked", {"count": 2, "days": 3})


@pytest.mark.asyncio
async def test_signatures_that_wait_for_their_time_stamp(own):
    sql = "INSERT INTO activation_items VALUES (?, 0, 'd', 1, 'p', 't', 'm', x'30', ?, NULL, NULL)"
    assert await codes("unstamped", own) == {(OK, "stamps-right")}
    rows(own, (sql, "one", now_us() - 1_200_000_000))
    assert await codes("unstamped", own) == {(WARN, "stamps-late")}
    rows(own, (sql, "two", now_us() - own.signing.unstamped_limit_s * 1_000_000))
    assert await codes("unstamped", own) == {(FAIL, "stamps-stopped")}


@pytest.mark.asyncio
async def test_certificates_that_end_or_have_ended(own, tmp_path):
    assert await codes("certificates", own) == {(WARN, "trust-off")}
    roots = tmp_path / "roots.pem"
    roots.write_bytes(fakes.root().pem)
    own = replace(own, trust=replace(own.trust, roots=str(roots)))
    assert await codes("certificates", own) == {(OK, "certificates-right")}
    sql = "INSERT INTO credentials (id, organisation, kind, key_type, subject, not_after_us, state, created_us) VALUES (?, 'o', 'person', 'p256', ?, ?, ?, 0)"
    rows(
        own,
        (sql, "a", "CN=Sample A", now_us() + 31 * DAY_US, "active"),
        (sql, "b", "CN=Gone", now_us() - DAY_US, "revoked"),
    )
    assert await codes("certificates", own) == {(OK, "certificates-right")}
    rows(own, (sql, "c", "CN=Sample C", now_us() + 10 * DAY_US + 5_000_000, "active"))
    (finding,) = await found("certificates", own)
    assert (finding.level, finding.code, finding.values) == (
        WARN,
        "certificate-ends",
        {"subject": "CN=Sample C", "days": 10},
    )
    rows(own, (sql, "d", "CN=Sample D", now_us() - 2 * DAY_US + 5_000_000, "active"))
    assert {(WARN, "certificate-ends"), (FAIL, "certificate-ended")} == await codes("certificates", own)
    soon = fakes.issue("Soon", None, authority=True, end=datetime.now(UTC) + timedelta(days=3))
    roots.write_bytes(soon.pem)
    assert any("trust.roots" in str(one.values.get("subject")) for one in await found("certificates", own))
    roots.write_text("no certificate")
    assert (FAIL, "certificate-unreadable") in await codes("certificates", own)


# --- the signer ---


@pytest.mark.asyncio
async def test_a_signer_that_is_down_or_is_something_else(own, tmp_path):
    def at(path):
        return replace(own, signer=replace(own.signer, socket=str(path), timeout_s=2.0))

    assert await codes("signer", own) == {(OK, "signer-right")}
    assert await codes("signer", at(tmp_path / "none")) == {(FAIL, "signer-down")}
    import asyncio

    async def nonsense(reader, writer):
        await reader.read(4)
        writer.write((5).to_bytes(4, "big") + b"hello")
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(nonsense, tmp_path / "x"):
        assert await codes("signer", at(tmp_path / "x")) == {(FAIL, "signer-down")}


@pytest.mark.asyncio
async def test_a_signer_behind_its_signatures_or_without_an_organisation(own):
    sql = "INSERT INTO activations VALUES ('c', 'o', 'p', 'd', 'x', 'j', 'signed', 'signed', ?, ?)"
    rows(own, (sql, now_us() + 120_000_000, 0))
    assert await codes("signer", own) == {(FAIL, "signer-behind")}
    rows(
        own, ("DELETE FROM activations",), ("INSERT INTO organisations VALUES ('o', 'H01.77', 'Cơ quan mẫu', NULL, 0)",)
    )
    (finding,) = await found("signer", own)
    assert (finding.level, finding.code, finding.values) == (WARN, "signer-organisations", {"codes": "H01.77"})
    clock = FrozenClock()
    clock.jump(-3600)
    assert (WARN, "signer-ahead") in await codes("signer", own, clock)


# --- outside ---


@pytest.mark.asyncio
async def test_what_is_not_configured_is_said(own):
    assert await codes("axis", own) == {(WARN, "axis-off")}
    assert await codes("fcm", own) == {(WARN, "fcm-off")}
    assert await codes("tsa", own) == {(WARN, "tsa-off"), (WARN, "clock-alone")}
    assert await codes("webpush", own) == {(OK, "webpush-new")}
    assert await codes("sms", own) == {(OK, "sms-off")}
    assert await codes("email", own) == {(OK, "email-off")}
    assert await codes("second", own) == {(OK, "second-right")}


@pytest.mark.asyncio
async def test_the_key_of_web_push_and_whom_its_services_write_to(own, tmp_path):
    key = tmp_path / "vapid.pem"
    settings = replace(own, push=replace(own.push, vapid_key_file=str(key)))
    VapidKey.load_or_create(key)
    assert await codes("webpush", settings) == {(WARN, "webpush-contact")}
    known = replace(settings, push=replace(settings.push, vapid_contact="mailto:a@example.vn"))
    assert await codes("webpush", known) == {(OK, "webpush-right")}
    key.write_text("no key", "utf-8")
    assert await codes("webpush", known) == {(FAIL, "webpush-key")}
    assert await codes("webpush", replace(own, push=replace(own.push, vapid_key_file=""))) == {(WARN, "webpush-off")}


@pytest.mark.asyncio
async def test_a_chain_without_its_second_channel_is_said_and_each_gateway_is_tried_without_a_message(own, tmp_path):
    rows(own, ("INSERT INTO organisations VALUES ('o', 'H01.77', 'Cơ quan mẫu', NULL, 0)",))
    (finding,) = await found("second", own)
    assert (finding.level, finding.code, finding.values) == (WARN, "second-off", {"codes": "H01.77"})
    rows(
        own,
        (
            "INSERT INTO notice_rules (organisation, rules, updated_by, updated_us) VALUES ('o', '{\"policies\": []}', 'x', 1)",
        ),
    )
    assert await codes("second", own) == {(OK, "second-right")}
    secret = tmp_path / "secret"
    secret.write_text("right\n", "utf-8")

    def push(**values):
        return replace(own, push=replace(own.push, email_from="hoatoc@example.vn", **values))

    async with SmtpServer(user="hoatoc", password="right") as mail:
        signing_in = push(smtp_url=f"smtp://127.0.0.1:{mail.port}", smtp_user="hoatoc", smtp_password_file=str(secret))
        assert await codes("email", signing_in) == {(OK, "email-right")}
        assert await codes("second", signing_in) == {(OK, "second-right")}
        assert (mail.mails, b"MAIL FROM" in mail.received) == ([], False)
        secret.write_text("wrong", "utf-8")
        assert await codes("email", signing_in) == {(FAIL, "email-refused")}
    assert await codes("email", signing_in) == {(FAIL, "email-down")}
    gone = replace(signing_in, push=replace(signing_in.push, smtp_password_file=str(tmp_path / "none")))
    assert await codes("email", gone) == {(FAIL, "email-password")}
    heard = []

    async def gateway(reader, writer):
        heard.append(await reader.read())
        writer.close()

    async with await asyncio.start_server(gateway, "127.0.0.1", 0) as server:
        texting = push(
            sms_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/send", sms_token_file=str(secret)
        )
        assert await codes("sms", texting) == {(OK, "sms-right")}
    assert await codes("sms", texting) == {(FAIL, "sms-down")}
    assert b"".join(heard) == b""
    unread = replace(texting, push=replace(texting.push, sms_token_file=str(tmp_path / "none")))
    assert await codes("sms", unread) == {(FAIL, "sms-token")}


@pytest.mark.asyncio
async def test_time_stamp_authorities(connected):
    settings, pki, *_ = connected
    assert await codes("tsa", settings) == {(OK, "clock-right"), (OK, "tsa-right")}
    two = replace(settings, tsa=replace(settings.tsa, urls=(*settings.tsa.urls, "http://127.0.0.1:1/tsa")))
    assert (WARN, "tsa-some") in await codes("tsa", two)
    pki.switches.tsa = False
    assert await codes("tsa", settings) == {(WARN, "clock-alone"), (FAIL, "tsa-down")}
    pki.switches.tsa = True
    other = Path(settings.tsa.roots).with_name("other.pem")
    other.write_bytes(fakes.root().pem)
    seen = await found("tsa", replace(settings, tsa=replace(settings.tsa, roots=str(other))))
    assert [(one.code, one.values.get("cause")) for one in seen if one.check == "tsa"] == [
        ("tsa-down", "tsa-untrusted")
    ]
    assert (FAIL, "tsa-no-roots") in await codes("tsa", replace(settings, tsa=replace(settings.tsa, roots="")))


@pytest.mark.asyncio
async def test_the_axis(connected, tmp_path):
    settings, *_ = connected
    exchange = settings.exchange

    def with_(**changes):
        return replace(settings, exchange=replace(exchange, **changes))

    assert await codes("axis", settings) == {(OK, "axis-right")}
    assert await codes("axis", with_(url="http://127.0.0.1:1")) == {(FAIL, "axis-down")}
    (tmp_path / "wrong").write_text("another secret")
    assert await codes("axis", with_(secret_file=str(tmp_path / "wrong"))) == {(FAIL, "axis-refused")}


async def _under_way(settings, system):
    db = await open_database(settings.database.url)
    try:
        await db.transact(
            lambda tx: tx.execute(
                "INSERT INTO organisations (id, code, name, created_us) VALUES ('o', 'H-09', 'Cơ quan Mẫu Chín', 1)"
            )
        )
        await db.transact(
            lambda tx: tx.execute(
                "INSERT INTO outgoing_messages (id, organisation, subject, kind, what, distinct_key, reference, receivers, packet, stage, attempts, "
                "not_before_us, doc_id, code, description, created_us, system) SELECT 'm', 'o', 'd', 'status', '03', '', '1/CV', '[]', $1, "
                "'unknown', 1, 0, '', '', '', 1, $2",
                b"{}",
                system,
            )
        )
    finally:
        await db.close()


@pytest.mark.asyncio
async def test_the_systems_of_organisations_are_asked_one_by_one(connected, tmp_path):
    settings, _pki, _fcm, axis = connected
    exchange = settings.exchange
    own = ExchangeSystem(
        organisations=("H-02",), url=exchange.url, system_id="X02", secret_file=str(axis.secrets["X02"])
    )
    (tmp_path / "wrong").write_text("another secret")
    lost = replace(own, organisations=("H-03",), system_id="X03", secret_file=str(tmp_path / "wrong"))
    seen = await found("axis", replace(settings, exchange=replace(exchange, systems=(own, lost))))
    assert [(one.code, one.values["setting"], one.values["code"]) for one in seen] == [
        ("axis-right", "exchange", "X01"), ("axis-right", "exchange.systems[0]", "X02"), ("axis-refused", "exchange.systems[1]", "X03"),
    ]  # fmt: skip
    assert await codes("systems", settings) == {(OK, "systems-right")}
    assert await codes("systems", replace(settings, exchange=replace(exchange, systems=(own,)))) == {
        (FAIL, "systems-unknown")
    }
    # D2: what was sent through a system that is configured no more has nobody who could ask about it.
    await _under_way(settings, "X09·00000000")
    [stranded] = await found("systems", settings)
    assert (stranded.level, stranded.code, stranded.values) == (FAIL, "systems-stranded", {"count": 1, "codes": "X09"})
    (tmp_path / "wrong").chmod(0o644)
    unusable = await found("permissions", replace(settings, exchange=replace(exchange, systems=(own, lost))))
    assert [one.values["setting"] for one in unusable if one.code == "secret-unusable"] == [
        "exchange.systems[1].secret_file"
    ]


@pytest.mark.asyncio
async def test_a_clock_that_is_not_the_axis_is_said_to_be_why(own, tmp_path):
    """Ahead or behind by the Date of its answers (D7); one that takes every time is only told of."""
    (tmp_path / "axis").mkdir()
    async with serving(tmp_path / "axis", clock_window_s=300) as (axis, url):
        exchange = replace(own.exchange, url=url, system_id="X01", secret_file=str(axis.secrets["X01"]))
        settings = replace(own, exchange=exchange)
        clock = FrozenClock()
        clock.jump(3600)
        seen = await found("axis", settings, clock)
        assert [(one.level, one.code) for one in seen] == [(FAIL, "axis-clock-ahead"), (FAIL, "axis-refused")]
        assert abs(seen[0].values["seconds"] - 3600) <= 60
        clock.jump(-7200)
        assert (FAIL, "axis-clock-behind") in await codes("axis", settings, clock)
        clock.jump(3600 - 200)
        assert await codes("axis", settings, clock) == {(WARN, "axis-clock-behind")}
        wide = replace(settings, exchange=replace(exchange, clock_tolerance_s=290))
        assert await codes("axis", wide, clock) == {(OK, "axis-right")}


@pytest.mark.asyncio
async def test_fcm(connected, tmp_path):
    settings, _pki, fcm, _axis = connected

    def with_(path):
        return replace(settings, push=replace(settings.push, fcm_credentials=str(path)))

    assert await codes("fcm", settings) == {(OK, "fcm-right")}
    assert fcm.connections
    (tmp_path / "none.json").write_text("{}")
    assert await codes("fcm", with_(tmp_path / "none.json")) == {(FAIL, "fcm-credentials")}
    said = json.loads((tmp_path / "fcm.json").read_text())
    (tmp_path / "unreachable.json").write_text(json.dumps(said | {"token_uri": "http://127.0.0.1:1/token"}))
    assert await codes("fcm", with_(tmp_path / "unreachable.json")) == {(FAIL, "fcm-down")}
    fcm.switch_tokens("refuse")
    assert await codes("fcm", settings) == {(FAIL, "fcm-credentials")}


# --- the whole ---


@pytest.mark.asyncio
async def test_a_check_that_breaks_or_hangs_is_itself_a_finding(own, monkeypatch):
    import asyncio

    async def broken(_settings, _clock):
        raise KeyError("x")

    async def hanging(_settings, _clock):
        await asyncio.sleep(3600)

    monkeypatch.setattr(doctor, "CHECKS", {"disk": broken, "font": hanging})
    monkeypatch.setattr(doctor, "_LIMIT_S", 0.05)
    seen = await doctor.examine(own, SystemClock())
    assert [(one.check, one.level, one.code) for one in seen] == [
        ("disk", FAIL, "check-failed"),
        ("font", FAIL, "check-slow"),
    ]


def test_every_finding_has_its_sentences():
    """Each code of the module has a text; all four sentences take the same values; whatever is not right has a cure."""
    import re

    source = Path(doctor.__file__).read_text("utf-8")
    used = set(re.findall(r'Finding\(\s*(?:"[a-z]+"|name), Level\.(OK|WARN|FAIL), "([a-z-]+)"', source))
    assert {code for _, code in used} | {"tsa-off"} == set(TEXTS)
    for level, code in used:
        text = TEXTS[code]
        assert bool(text.cure_vi) == bool(text.cure_en) == (level != "OK"), code
        assert text.vi != text.en
        names = [{name for _, name, _, _ in string.Formatter().parse(one) if name} for one in (text.vi, text.en)]
        assert names[0] == names[1], code


def test_the_command_says_it_and_ends_with_the_worst(installation):
    def run(*arguments):
        command = [sys.executable, "-m", "server.cli", "--state", installation.state_dir, "doctor", *arguments]
        code = "import sys; from server.cli import main; sys.argv = sys.argv[1:]; main()"
        return subprocess.run([command[0], "-c", code, *command[2:]], capture_output=True, text=True, check=False)

    done = run("--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["verdict"]) == (1, "warn")
    off = next(one for one in said["findings"] if one["check"] == "fcm")
    assert (off["level"], off["code"]) == ("warn", "fcm-off")
    assert off["cure_vi"].startswith("Cấu hình push.fcm_credentials")
    assert off["cure_en"].startswith("Set push.fcm_credentials")
    shown = run()
    assert shown.returncode == 1
    assert "Cách khắc phục" in shown.stdout
    assert "Traceback" not in shown.stderr
    assert daemon.load_config(installation.state.signer / "signer.toml").profile == "embedded"
