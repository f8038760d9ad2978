"""The product over HTTP: inbox, durable writes, warm page images, and the server under it. `rows()` gives the figures.

The application is served by a process of its own, exactly as `hoatoc serve` serves it, with the routes of `_opponents` added: the same work
done plainly, in the same server, behind the same envelope. Every request carries a fresh DPoP proof, signed before the clock runs. The
sides that use aiosqlite do all that the product's route does — verify the proof, spend it durably, look the token up, answer — in the way
that is written first: one hop a statement, one commit a transaction.

Longer than most: each measured thing has its plain opponent beside it.
"""

import asyncio
import base64
import hashlib
import importlib.util
import json
import secrets
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from httpx2 import ASGITransport, AsyncClient
from litestar import Request, Response, get, post
from litestar.response import File

from server.app import create_app
from server.identity.guard import allow, public, request_proof
from server.identity.model import Role
from server.identity.service import operator
from server.identity.tokens import Secret
from server.ids import new_id
from server.previews import render
from server.settings import Settings, load
from server.wire import iso
from server.wiring import Wiring
from tests.bench.measure import Row, at_least, at_most, show
from tests.bench.previews import text_pdf
from tests.fakes.stack import ORIGIN, UNLIMITED, Caller

DOCUMENTS = 100_000
ROUNDS = 7
CLIENTS = 64
HOST = ORIGIN.removeprefix("http://")


# -- What is served -------------------------------------------------------------------------------------------------


def settings_of(folder: Path, port: int) -> Settings:
    return load(
        None,
        {
            "HOATOC_STATE_DIR": str(folder / "state"),
            "HOATOC_SERVER__PUBLIC_URL": ORIGIN,
            "HOATOC_SERVER__PORT": str(port),
            "HOATOC_BLOBS__RESERVE_BYTES": "0",
            **UNLIMITED,
        },
    )


class _Plain:
    """One aiosqlite connection in autocommit, used as its documentation does."""

    def __init__(self, connection: aiosqlite.Connection, wiring: Wiring) -> None:
        self.connection = connection
        self.lock = asyncio.Lock()  # transactions of one connection cannot interleave
        self.identity = wiring.identity

    async def authenticate(self, request: Request[Any, Any, Any]) -> Any:
        token = request.headers["authorization"].partition(" ")[2]
        proof = request_proof(request.scope, self.identity, token=token)
        async with self.lock:
            await self.connection.execute("BEGIN IMMEDIATE")
            await self.connection.execute("INSERT INTO dpop_proofs VALUES (?, ?)", (proof.seen, proof.expires_us))
            await self.connection.commit()
        rows: list[Any] = await self.all(_DEVICE_OF_TOKEN, Secret(token).digest(), time.time_ns() // 1000)
        assert rows[0]["session_key"] == proof.thumbprint
        return rows[0]

    async def all(self, sql: str, *args: Any) -> Any:
        async with self.connection.execute(sql, args) as cursor:
            return await cursor.fetchall()


_DEVICE_OF_TOKEN = (
    "SELECT d.person, d.organisation, d.id AS device, d.session_key, d.office, r.role, t.expires_us FROM access_tokens t"
    " JOIN devices d ON d.id = t.device JOIN people p ON p.id = d.person LEFT JOIN roles r ON r.person = d.person"
    " WHERE t.token_hash = ? AND t.expires_us > ? AND d.state = 'active' AND p.state = 'active'"
)
_INBOX = (
    "SELECT a.document AS id, a.waiting, a.urgency, a.at_us, a.reason, d.state, d.code_number, d.code_notation, d.subject, d.type_name,"
    " d.page_count, d.head, d.due_date, d.state_due_us FROM document_readers a JOIN documents d ON d.id = a.document WHERE a.person = ?"
    " ORDER BY a.waiting DESC, a.urgency DESC, a.at_us DESC, a.document DESC LIMIT 50"
)


def _opponents(folder: Path, plain: _Plain) -> list[Any]:
    body, image = (folder / "inbox.json").read_bytes(), folder / "plain.jpg"
    anybody = allow(roles=set(Role))

    @get("/bench/memory", opt=anybody, include_in_schema=False)
    async def memory() -> Response[bytes]:
        return Response(content=body, media_type="application/json")

    @get("/bench/inbox", opt=public(), include_in_schema=False)
    async def inbox(request: Request[Any, Any, Any]) -> Any:
        actor = await plain.authenticate(request)
        items = [
            {
                "id": row["id"], "waiting": bool(row["waiting"]), "reason": row["reason"], "urgency": row["urgency"], "state": row["state"],
                "number": row["code_number"], "notation": row["code_notation"], "subject": row["subject"], "type_name": row["type_name"],
                "page_count": row["page_count"], "revision": row["head"], "due_date": row["due_date"], "overdue_at": None, "at": iso(row["at_us"]),
            }
            for row in await plain.all(_INBOX, actor["person"])
        ]  # fmt: skip
        return {"items": items, "next": None}

    @post("/bench/report", opt=public(), include_in_schema=False, status_code=200)
    async def report(request: Request[Any, Any, Any]) -> dict[str, int]:
        actor = await plain.authenticate(request)
        asked = msgspec.json.decode(await request.body())["reports"]
        async with plain.lock:
            await plain.connection.execute("BEGIN IMMEDIATE")
            for one in asked:
                await plain.connection.execute(
                    "UPDATE deliveries SET shown_us = ? WHERE notice = ? AND device = ? AND shown_us IS NULL",
                    (1, one["notice"], actor["device"]),
                )
            await plain.connection.commit()
        return {"recorded": len(asked)}

    @get("/bench/file", opt=anybody, include_in_schema=False)
    async def file() -> File:
        return File(path=image, media_type="image/jpeg")

    return [memory, inbox, report, file]


async def _serve(folder: Path, port: int, which: str) -> None:
    from server import app as application
    from server.cli.run import _http

    wiring = await Wiring.open(settings_of(folder, port))
    async with aiosqlite.connect(wiring.settings.state.database, isolation_level=None) as connection:
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 10000"):
            await connection.execute(f"PRAGMA {pragma}")
        own = application.routes
        application.routes = lambda: [*own(), *_opponents(folder, _Plain(connection, wiring))]
        if which == "uvicorn":
            await _uvicorn(application.create_app(wiring), port)
        else:
            await _http(wiring)
    await wiring.close()


async def _uvicorn(app: Any, port: int) -> None:
    uvicorn = importlib.import_module("uvicorn")
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False, lifespan="off")
    await uvicorn.Server(config).serve()


# -- Seed -----------------------------------------------------------------------------------------------------------


class Seed(msgspec.Struct):
    token: str
    person: str
    document: str
    revision: str
    image_path: str
    notices: list[str]


async def _seed(folder: Path) -> tuple[Seed, Caller]:
    """One leader with 100,000 documents, one of them with its page drawn; and a notice to report on."""
    wiring = await Wiring.open(settings_of(folder, 0))
    try:
        async with AsyncClient(transport=ASGITransport(app=create_app(wiring)), base_url=ORIGIN) as http:
            organisation = (await wiring.identity.create_organisation("X01", "Cơ quan mẫu")).id
            person = await wiring.identity.create_person(
                operator(organisation), name="Người ký mẫu", position="CHỦ TỊCH", roles=[Role.LEADER]
            )
            caller = Caller(http)
            caller.person = person.id
            await caller.pair((await wiring.identity.pairing_code(operator(organisation), person.id)).code.reveal())
            document, revision = await asyncio.to_thread(
                _documents, wiring.settings.state.database, organisation, person.id
            )
            await _page(wiring, folder, document, revision)
            notices = await asyncio.to_thread(
                _notices, wiring.settings.state.database, organisation, person.id, caller.device
            )
            body = (await caller.call("GET", "/api/v1/inbox?limit=50", expect=200)).content
            assert len(json.loads(body)["items"]) == 50
            (folder / "inbox.json").write_bytes(body)
            path = f"/api/v1/documents/{document}/revisions/{revision}/pages/1?width=1080"
            return Seed(caller.access, person.id, document, revision, path, notices), caller
    finally:
        await wiring.close()


def _documents(database: Path, organisation: str, person: str) -> tuple[str, str]:
    now = time.time_ns() // 1000
    ids = [new_id() for _ in range(DOCUMENTS)]
    connection = sqlite3.connect(database)
    subject = "Về việc phân công nhiệm vụ và tổ chức thực hiện kế hoạch công tác mẫu năm"
    with connection:
        connection.executemany(
            "INSERT INTO documents (id, organisation, client, state, state_since_us, state_due_us, step, head, version, page_count, code_number,"
            " code_notation, subject, type_name, urgency, promulgation_place, promulgation_date, header, exchange_id, created_us, updated_us)"
            " VALUES (?, ?, 'bench', 'in_review', ?, ?, 1, ?, 1, 1, ?, 'QĐ-UBND', ?, 'Quyết định', ?, 'Xã Mẫu', '2026-11-22', X'7B7D', ?, ?, ?)",
            (
                (one, organisation, now, now + 10**12, hashlib.sha256(one.encode()).hexdigest(), str(n), f"{subject} {n}", n % 5, one, now + n, now + n)
                for n, one in enumerate(ids)
            ),
        )  # fmt: skip
        connection.executemany(
            "INSERT INTO document_readers (person, document, organisation, reason, waiting, urgency, at_us) VALUES (?, ?, ?, 'to_sign', ?, ?, ?)",
            ((person, one, organisation, int(n % 7 == 0), n % 5, now + n) for n, one in enumerate(ids)),
        )
        connection.execute("ANALYZE")
    connection.close()
    return ids[-1], hashlib.sha256(ids[-1].encode()).hexdigest()


def _notices(database: Path, organisation: str, person: str, device: str) -> list[str]:
    """Ids of notices that were delivered to this device: each event counts once, so every report needs one of its own."""
    connection = sqlite3.connect(database)
    now = time.time_ns() // 1000
    ids = [secrets.token_urlsafe(16) for _ in range(20_000)]
    with connection:
        connection.executemany(
            "INSERT INTO notices (id, organisation, person, kind, urgency, collapse, revision, state, created_us, expires_us)"
            " VALUES (?, ?, ?, 'to_sign', 0, ?, 1, 'open', ?, ?)",
            ((one, organisation, person, one, now, now + 10**12) for one in ids),
        )
        connection.executemany(
            "INSERT INTO deliveries (id, notice, device, transport, state, attempts, queued_us) VALUES (?, ?, ?, 'fcm', 'accepted', 1, ?)",
            ((new_id(), one, device, now) for one in ids),
        )
        connection.execute("ANALYZE")
    connection.close()
    return ids


async def _page(wiring: Wiring, folder: Path, document: str, revision: str) -> None:
    """The document's page, drawn by the product's renderer, kept as the product keeps it."""
    source = folder / "page.pdf"
    source.write_bytes(text_pdf(1))
    made = render.render(render.RenderRequest(path=str(source), out=str(folder), widths=(1080,))).images[0]
    body = (folder / made.file).read_bytes()
    (folder / "plain.jpg").write_bytes(body)
    digest = await wiring.blobs.put_bytes(body)

    async def write(tx: Any) -> None:
        await tx.execute(
            "INSERT INTO revisions (document, number, digest, size, kind, version, created_us) VALUES ($1, 1, $2, $3, 'original', 1, 1)",
            document, revision, source.stat().st_size,
        )  # fmt: skip
        await tx.execute(
            "INSERT INTO page_images (revision, renderer, page, width, height, digest, size) VALUES ($1, $2, 1, 1080, $3, $4, $5)",
            revision, render.RENDERER, made.height, digest, len(body),
        )  # fmt: skip

    await wiring.db.transact(write)


# -- The client ------------------------------------------------------------------------------------------------------


def _b64u(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Signer:
    """Makes requests with DPoP proofs, quickly."""

    def __init__(self, caller: Caller) -> None:
        self._key: ec.EllipticCurvePrivateKey = caller.session.private_key  # type: ignore[assignment]
        public_ = caller.session.as_dict(private=False)
        jwk = {name: public_[name] for name in ("kty", "crv", "x", "y")}
        self._header = _b64u(json.dumps({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}).encode())
        self._token = caller.access
        self._ath = _b64u(hashlib.sha256(caller.access.encode()).digest())

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        claims = {"jti": secrets.token_urlsafe(12), "htm": method, "htu": ORIGIN + path.partition("?")[0], "iat": int(time.time()), "ath": self._ath}  # fmt: skip
        signed = f"{self._header}.{_b64u(msgspec.json.encode(claims))}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        proof = f"{signed}.{_b64u(r.to_bytes(32) + s.to_bytes(32))}"
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: DPoP {self._token}\r\nDPoP: {proof}\r\n{length}\r\n"
        return head.encode() + body


class _Connection(asyncio.Protocol):
    """One keep-alive connection: sends the next request when the last was answered with 200."""

    def __init__(self, requests: Iterator[bytes], spent: list[float]) -> None:
        self._requests, self._spent = requests, spent
        self._got, self._need = bytearray(), 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self._got, self._need = bytearray(), 0
        self._begin = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._need:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._got[:end]).lower()
            if not head.startswith(b"http/1.1 20"):
                self._fail(f"{bytes(self._got[-400:])!r}")
                return
            self._need = end + 4 + int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(self._got) >= self._need:
            self._spent.append(time.perf_counter() - self._begin)
            self._next()

    def connection_lost(self, _error: Exception | None) -> None:
        self._fail("the server closed the connection")

    def _fail(self, what: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(what))


async def _run(port: int, requests: list[bytes], clients: int) -> tuple[float, float]:
    """Answers a second, and the median time of an answer in ms."""
    loop = asyncio.get_running_loop()
    queue, spent = iter(requests), list[float]()
    begin = time.perf_counter()
    made = [
        (await loop.create_connection(lambda: _Connection(queue, spent), "127.0.0.1", port))[1] for _ in range(clients)
    ]
    await asyncio.gather(*(one.done for one in made))
    return len(spent) / (time.perf_counter() - begin), statistics.median(spent) * 1e3


def _started(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "tests.bench.http", *arguments])


@asynccontextmanager
async def _server(folder: Path, which: str = "granian") -> AsyncIterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = _started("serve", str(folder), str(port), which)
    try:
        async with AsyncClient(headers={"Host": HOST}) as http:
            for _ in range(400):
                try:
                    assert (await http.get(f"http://127.0.0.1:{port}/livez")).status_code == 200
                    break
                except Exception:
                    assert process.poll() is None, "the server did not start"
                    await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _report(notice: str) -> bytes:
    return json.dumps({"reports": [{"notice": notice, "event": "shown", "at": "2026-11-22T00:00:00Z"}]}).encode()


async def _rows(folder: Path) -> list[Row]:
    seed, caller = await _seed(folder)
    signer = Signer(caller)
    notices = iter(seed.notices)
    taken: dict[str, list[tuple[float, float]]] = {}

    async def side(name: str, port: int, count: int, clients: int, method: str, path: str) -> None:
        post = method == "POST"
        requests = [signer.request(method, path, _report(next(notices)) if post else b"") for _ in range(count)]
        taken.setdefault(name, []).append(await _run(port, requests, clients))

    async with _server(folder) as port:
        for turn in range(ROUNDS + 1):
            if turn == 1:
                taken.clear()
            await side("inbox", port, 800, CLIENTS, "GET", "/api/v1/inbox?limit=50")
            await side("memory", port, 800, CLIENTS, "GET", "/bench/memory")
            await side("plain inbox", port, 300, CLIENTS, "GET", "/bench/inbox")
            await side("write", port, 800, CLIENTS, "POST", "/api/v1/receipts")
            await side("plain write", port, 200, CLIENTS, "POST", "/bench/report")
            await side("image", port, 200, 4, "GET", seed.image_path)
            await side("file", port, 200, 4, "GET", "/bench/file")
        if importlib.util.find_spec("uvicorn") is not None:
            async with _server(folder, "uvicorn") as other:
                for _ in range(ROUNDS):
                    await side("granian", port, 600, CLIENTS, "GET", "/api/v1/inbox?limit=50")
                    await side("uvicorn", other, 600, CLIENTS, "GET", "/api/v1/inbox?limit=50")
    rate = {name: statistics.median(one[0] for one in runs) for name, runs in taken.items()}
    made = [
        at_least("http: inbox of 50 out of 100,000 / the same bytes from memory, same authentication", rate["inbox"], rate["memory"], "1/s", 0.45),
        at_least("http: inbox / the same by aiosqlite, a hop a statement", rate["inbox"], rate["plain inbox"], "1/s", 1.8),
        at_least("http: durable small write, 64 clients / aiosqlite begin, insert, commit", rate["write"], rate["plain write"], "1/s", 3.0),
        at_most("http: warm page image / a plain file of its size", 1e3 / rate["image"], 1e3 / rate["file"], "ms", 1.5),
    ]  # fmt: skip
    if "uvicorn" in rate:
        made.append(at_least("http: inbox by granian / by uvicorn", rate["granian"], rate["uvicorn"], "1/s", 1.0))
    return made


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        yield from asyncio.run(_rows(Path(name)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        import uvloop

        uvloop.run(_serve(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
    else:
        for row in rows():
            show(row)
