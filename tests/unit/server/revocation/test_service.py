"""Asking for a certificate's status over HTTP: what is called, what is believed, what is remembered (C11, D6)."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID

from server.db import migrate, open_database
from server.demo.loopback import LoopbackServer, Reply, Request
from server.errors import Refused
from server.revocation.model import State
from server.revocation.service import RevocationService, der_sequence
from tests.fakes import pdf_signing as fakes
from tests.fakes.clock import FrozenClock
from tests.fakes.revocation import ocsp_answer, revocation_list

pytestmark = pytest.mark.asyncio
HOUR_US = 3_600_000_000
HOUR_S = 3600


class Responder:
    """An OCSP responder and list server that says what the test wants, and notes who asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.say: Any = lambda _request: Reply(503, b"", "text/plain")
        self.server = LoopbackServer(self.handle)

    async def handle(self, request: Request) -> Reply:
        self.asked.append(f"{request.method} {request.path}")
        return self.say(request)


class Bench:
    def __init__(self, service: RevocationService, responder: Responder, clock: FrozenClock, db: Any) -> None:
        self.service, self.responder, self.clock, self.db = service, responder, clock, db

    async def check(self, leaf: fakes.Holder) -> Any:
        (found,) = await self.service.check(leaf.der, (), since_us=0)
        return found


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    responder, clock = Responder(), FrozenClock()
    db = await open_database(f"sqlite://{tmp_path}/x.db")
    await migrate(db)
    async with responder.server:
        service = RevocationService(
            db=db,
            clock=clock,
            hosts=[responder.server.url.removeprefix("http://")],
            roots=(fakes.root().der,),
            timeout_s=2,
            fresh_us=HOUR_US,
            grace_us=4 * HOUR_US,
        )
        try:
            yield Bench(service, responder, clock, db)
        finally:
            await service.close()
            await db.close()


def leaf(*ocsp: str, crl: tuple[str, ...] = ()) -> fakes.Holder:
    """A certificate that names these addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    access = [
        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url)) for url in ocsp
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Sample Leaf")]))
        .issuer_name(fakes.root().certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2035, 1, 1, tzinfo=dt.UTC))
    )
    if access:
        builder = builder.add_extension(x509.AuthorityInformationAccess(access), critical=False)
    if crl:
        points = [x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None) for url in crl]
        builder = builder.add_extension(x509.CRLDistributionPoints(points), critical=False)
    return fakes.Holder(key, builder.sign(fakes.root().key, hashes.SHA256()))


def answering(holder: fakes.Holder, bench: Bench, **changes: Any) -> None:
    at_us = bench.clock.now_us()
    raw = ocsp_answer(holder, fakes.root(), at_us=at_us, **changes)
    bench.responder.say = lambda _request: Reply(200, raw, "application/ocsp-response")


async def test_only_configured_hosts_are_called(bench: Bench) -> None:
    """C11: certificates with loopback, file:, ldap: addresses; 0 connections to a canary that listens."""
    canary = Responder()
    async with canary.server:
        port = canary.server.url.rpartition(":")[2]
        named = leaf(
            f"http://127.0.0.1:{port}/ocsp", f"http://localhost:{port}/", "file:///etc/passwd", "ldap://127.0.0.1/x",
            crl=(f"http://127.0.0.1:{port}/x.crl", "ldap:///cn=x", "file:///etc/hostname"),
        )  # fmt: skip
        assert (await bench.check(named)).state is State.NOT_CHECKED
        # No redirect is followed either.
        moved = leaf(f"{bench.responder.server.url}/ocsp", crl=(f"{bench.responder.server.url}/crl",))
        bench.responder.say = lambda _request: Reply(
            302, b"", "text/plain", headers={"Location": f"{canary.server.url}/x"}
        )
        assert (await bench.check(moved)).state is State.NOT_CHECKED
        assert canary.asked == []


async def test_an_answer_is_used_until_it_is_not_fresh_then_until_its_end(bench: Bench) -> None:
    holder = leaf(f"{bench.responder.server.url}/ocsp")
    answering(holder, bench, life=dt.timedelta(hours=3))
    assert (await bench.check(holder)).good
    assert (await bench.check(holder)).good
    assert len(bench.responder.asked) == 1
    bench.responder.say = lambda _request: Reply(503, b"", "text/plain")
    bench.clock.advance(2 * HOUR_S)
    assert (await bench.check(holder)).good  # asked again, and used though nobody answered
    assert len(bench.responder.asked) == 2
    bench.clock.advance(2 * HOUR_S)
    assert (await bench.check(holder)).state is State.NOT_CHECKED


@pytest.mark.parametrize("kind", ["huge", "text", "stale", "wrong serial", "404", "unknown"])
async def test_what_is_no_good_answer(bench: Bench, kind: str) -> None:
    """D6: 0 wrong "good"."""
    holder = leaf(f"{bench.responder.server.url}/ocsp")
    at_us = bench.clock.now_us()
    said = {
        "huge": lambda: Reply(200, bytes(200_000), "application/ocsp-response"),
        "text": lambda: Reply(200, b"<html>good</html>", "text/html"),
        "stale": lambda: Reply(200, ocsp_answer(holder, fakes.root(), at_us=at_us - 24 * HOUR_US), "x/y"),
        "wrong serial": lambda: Reply(200, ocsp_answer(leaf(), fakes.root(), at_us=at_us), "x/y"),
        "404": lambda: Reply(404, b"", "text/plain"),
        "unknown": lambda: Reply(
            200, ocsp_answer(holder, fakes.root(), at_us=at_us, status=x509.ocsp.OCSPCertStatus.UNKNOWN), "x/y"
        ),
    }[kind]()
    bench.responder.say = lambda _request: said
    found = await bench.check(holder)
    assert found.state is (State.UNKNOWN if kind == "unknown" else State.NOT_CHECKED)
    assert bench.service.require([found]) is found  # a warning at first
    bench.clock.advance(4 * HOUR_S + 1)
    with pytest.raises(Refused, match="certificate-status-unavailable"):
        bench.service.require([found])


@pytest.mark.parametrize("later", ["unknown", "stale", "good, but older"])
async def test_a_revocation_outlives_every_lesser_answer(bench: Bench, later: str) -> None:
    """D6, SW-8: only a newer good answer (a suspension that was lifted) ends what an issuer said."""
    server = bench.responder.server.url
    holder = leaf(f"{server}/ocsp", crl=(f"{server}/x.crl",))
    at_us = bench.clock.now_us()
    gone = ocsp_answer(
        holder, fakes.root(), at_us=at_us, status=x509.ocsp.OCSPCertStatus.REVOKED, revoked_us=at_us - HOUR_US,
        reason=x509.ReasonFlags.key_compromise, life=dt.timedelta(minutes=5),
    )  # fmt: skip
    bench.responder.say = lambda _request: Reply(200, gone, "application/ocsp-response")
    assert (await bench.check(holder)).state is State.REVOKED
    bench.clock.advance(2 * HOUR_S)
    now_us = bench.clock.now_us()
    lesser = {
        "unknown": ocsp_answer(holder, fakes.root(), at_us=now_us, status=x509.ocsp.OCSPCertStatus.UNKNOWN),
        "stale": ocsp_answer(holder, fakes.root(), at_us=at_us + HOUR_US),
        "good, but older": revocation_list(fakes.root(), at_us=at_us - HOUR_US, life=dt.timedelta(hours=10)),
    }[later]
    right = "GET" if later == "good, but older" else "POST"
    bench.responder.say = lambda request: Reply(200 if request.method == right else 503, lesser, "x/y")
    found = await bench.check(holder)
    assert found.state is State.REVOKED
    with pytest.raises(Refused, match="certificate-revoked"):
        bench.service.require([found])
    kept = await bench.db.fetch_one("SELECT state FROM certificate_statuses")
    assert kept["state"] == "revoked"


async def test_the_grace_ends_for_a_certificate_whose_issuer_is_not_known(bench: Bench) -> None:
    """SW-4, D6: fail closed, here too."""
    rootless = RevocationService(
        db=bench.db,
        clock=bench.clock,
        hosts=("ocsp.example",),
        roots=(),
        timeout_s=1,
        fresh_us=HOUR_US,
        grace_us=HOUR_US,
    )
    holder = leaf(f"{bench.responder.server.url}/ocsp")
    assert rootless.require(await rootless.check(holder.der, ())).state is State.NOT_CHECKED
    bench.clock.advance(HOUR_S + 1)
    found = await rootless.check(holder.der, ())
    with pytest.raises(Refused, match="certificate-status-unavailable"):
        rootless.require(found)
    await rootless.close()


async def test_a_lifted_suspension_is_believed(bench: Bench) -> None:
    holder = leaf(f"{bench.responder.server.url}/ocsp")
    at_us = bench.clock.now_us()
    held = ocsp_answer(
        holder, fakes.root(), at_us=at_us, status=x509.ocsp.OCSPCertStatus.REVOKED, revoked_us=at_us, reason=x509.ReasonFlags.certificate_hold,
    )  # fmt: skip
    bench.responder.say = lambda _request: Reply(200, held, "application/ocsp-response")
    assert (await bench.check(holder)).state is State.REVOKED
    bench.clock.advance(2 * HOUR_S)
    answering(holder, bench)
    assert (await bench.check(holder)).good


@pytest.mark.parametrize("reason", [x509.ReasonFlags.certificate_hold, x509.ReasonFlags.key_compromise])
async def test_a_suspension_is_known_as_long_as_its_answer_lasts(bench: Bench, reason: x509.ReasonFlags) -> None:
    """Nobody asks again about a time-stamp authority that is passed over: after a suspension it must get its turn."""
    holder = leaf(f"{bench.responder.server.url}/ocsp")
    at_us = bench.clock.now_us()
    gone = ocsp_answer(
        holder, fakes.root(), at_us=at_us, status=x509.ocsp.OCSPCertStatus.REVOKED, revoked_us=at_us, reason=reason
    )
    bench.responder.say = lambda _request: Reply(200, gone, "application/ocsp-response")
    assert (await bench.check(holder)).state is State.REVOKED
    assert await bench.service.known_revoked(holder.der)
    bench.clock.advance(2 * HOUR_S)
    assert await bench.service.known_revoked(holder.der) == (reason is x509.ReasonFlags.key_compromise)


async def test_an_answer_that_drips_is_given_up(bench: Bench) -> None:
    """C11, D6: each byte comes in time, the whole never would."""
    ended = asyncio.Event()

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        try:
            while not writer.is_closing():
                writer.write(b"0")
                await writer.drain()
                await asyncio.sleep(0.02)
        except OSError:
            pass
        finally:
            ended.set()
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        service = RevocationService(
            db=bench.db, clock=bench.clock, hosts=[place], roots=(fakes.root().der,), timeout_s=0.2, fresh_us=HOUR_US, grace_us=HOUR_US
        )  # fmt: skip
        try:
            async with asyncio.timeout(30):
                (found,) = await service.check(leaf(f"http://{place}/ocsp").der, ())
                await ended.wait()
        finally:
            await service.close()
    assert found.state is State.NOT_CHECKED


async def test_a_list_is_fetched_once_for_all_its_certificates(bench: Bench) -> None:
    url = f"{bench.responder.server.url}/x.crl"
    first, second = leaf(crl=(url,)), leaf(crl=(url,))
    revoked = {second.certificate.serial_number: (bench.clock.now_us() - HOUR_US, x509.ReasonFlags.key_compromise)}
    raw = revocation_list(fakes.root(), at_us=bench.clock.now_us(), revoked=revoked)
    bench.responder.say = lambda _request: Reply(200, raw, "application/pkix-crl")
    assert (await bench.check(first)).good
    found = await bench.check(second)
    assert found.state is State.REVOKED
    assert bench.responder.asked == ["GET /x.crl"]
    with pytest.raises(Refused, match="certificate-revoked"):
        bench.service.require([found])


async def test_without_hosts_nothing_is_asked_and_nothing_stops(bench: Bench) -> None:
    alone = RevocationService(
        db=bench.db, clock=bench.clock, hosts=(), roots=(fakes.root().der,), timeout_s=1, fresh_us=1, grace_us=1
    )
    holder = leaf(f"{bench.responder.server.url}/ocsp")
    found = await alone.check(holder.der, ())
    bench.clock.advance(HOUR_S)
    assert alone.require(found).state is State.NOT_CHECKED
    assert bench.responder.asked == []
    await alone.close()


async def test_many_at_once_ask_once(bench: Bench) -> None:
    holder = leaf(f"{bench.responder.server.url}/ocsp")
    answering(holder, bench)
    found = await asyncio.gather(*(bench.check(holder) for _ in range(50)))
    assert all(one.good for one in found)
    assert len(bench.responder.asked) == 1


async def test_unused_answers_are_forgotten(bench: Bench) -> None:
    holder = leaf(f"{bench.responder.server.url}/ocsp")
    answering(holder, bench)
    await bench.check(holder)
    bench.clock.advance(2 * HOUR_S)
    answering(holder, bench)
    await bench.check(holder)
    bench.clock.advance(8 * 24 * HOUR_S)
    await bench.service.sweep(None, None)  # type: ignore[arg-type]
    rows = await bench.db.fetch_all("SELECT digest FROM status_answers")
    assert len(rows) == 1


async def test_chains_are_told_apart() -> None:
    two = (fakes.leader().der, fakes.root().der)
    assert der_sequence(b"".join(two)) == two
    assert der_sequence(b"") == ()
    assert der_sequence(b"\x30\x82") == ()
