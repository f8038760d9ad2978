"""A stand-in for the national exchange axis: a small real server with several agencies, for demonstrations, trials and tests.

`hoatoc axis` runs it for people; `python -m server.exchange.standin --port 0 --state DIR` prints one JSON line (`port`, `secrets`:
code -> secret file) and serves on loopback until it is ended. What it accepted is durable; `kill -9` and a new start with the same
folder go on. It speaks the VXP profile as `axis.VxpAxis` does. Beside it, unsigned and for this machine alone:

* `GET /`: a page that shows who sent what to whom, live, with faults to switch. It reads `GET /_traffic`.
* `GET /_oracle`: every accepted packet with digests, copies and counts per DocumentId; `GET /_oracle/raw/{docId}`.
* `PUT /_faults`: a list of `Fault`, replacing the last. `PUT /_peers`: code -> `Peer`, durable.
* `POST /_mergers`: a `Merger`, durable. `POST /_secrets`: a `Rotation`; who signs with the former secret is answered 401.

This module is over 400 lines: the calls of one wire, their checks and the peers of one stand-in are read together.
"""

import argparse
import asyncio
import base64
import contextlib
import datetime as dt
import gc
import hashlib
import hmac
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
import uvloop
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
)

from server.exchange import edxml, standin_page
from server.exchange.axis import PREFIX
from server.exchange.model import (
    VIETNAM,
    DocumentPacket,
    Organisation,
    Packet,
    PacketKind,
    ResponseFor,
    StatusCode,
    StatusPacket,
    TraceHeader,
    receivers,
)
from server.exchange.standin_faults import DAMAGES, INSTEAD, UNAUTHORISED, Fault, Faults, afterwards, instead
from server.exchange.standin_http import CHUNK, Answer, Dropped, Refusal, Request, Server, envelope
from server.exchange.standin_store import Store, Upload
from server.exchange.standin_world import UNITS, ConfigError, Merger, Unit, World, configured, fresh_secret, keys_of
from server.exchange.wire import write_time

T = TypeVar("T")

AXIS_CODE: Final = "000.00.00.W00"
_MAX_UPLOAD: Final = 700 << 20
_LONG_POLL_S: Final = 25.0


class Peer(msgspec.Struct, frozen=True):
    """How an agency answers by itself: `statuses` to every document, `take_back` (15 or 16) to a 13."""

    statuses: tuple[str, ...] = ("01", "03")
    take_back: str = "15"
    reason: str = "Văn bản không đúng thẩm quyền"
    delay_ms: int = 0


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`rotate`: the axis takes a new secret of `system` only, kept in `rotated/`; `hand_over`: the system's file has it too."""

    system: str
    do: Literal["rotate", "hand_over"] = "rotate"


class _Unauthorised(Exception):  # noqa: N818 - becomes an answer
    pass


class Standin:
    """The server. `secrets` (system code -> file) are made at the first start; a system's id is its unit's code.

    Raises: ConfigError for units that contradict each other.
    """

    def __init__(self, state: Path, units: Iterable[Unit] = UNITS, clock_window_s: int | None = None) -> None:
        self._store = Store(state)
        self._state = state
        self._world = World(units, [msgspec.json.decode(one, type=Merger) for one in self._store.mergers()])
        self._clock_window_s = clock_window_s
        self._thread = ThreadPoolExecutor(1, "standin-store")
        self.faults = Faults()
        self._server = Server(self._answer)
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._version = 1
        self._answering: set[str] = set()
        self._peers = {c: msgspec.json.decode(script, type=Peer) for c, script in self._store.peers().items()}
        self._scratch = state / "scratch"
        self._scratch.mkdir(exist_ok=True)
        self._rotated = state / "rotated"
        self._rotated.mkdir(mode=0o700, exist_ok=True)
        self.secrets = keys_of(state / "secrets", self._world)

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> int:
        """The port that it serves on."""
        bound = await self._server.start(host, port)
        self._spawn(self._answer_as_peers())
        self._wake.set()
        return bound

    async def stop(self) -> None:
        await self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stored(self._store.close)
        self._thread.shutdown()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stored(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def _bump(self) -> None:
        """Something that the page shows has changed."""
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def _answer(self, request: Request) -> Answer:
        if not request.path or request.path.startswith("_") or request.path in standin_page.FILES:
            if not request.is_local():
                return Answer(status=403, body=b"Forbidden", content_type="text/plain")
            return await self._control(request)
        try:
            return await self._faulty(request)
        except _Unauthorised:
            return UNAUTHORISED

    # -- for this machine alone --------------------------------------------------------------------------------------

    async def _control(self, request: Request) -> Answer:
        match request.method, request.path.split("/"):
            case "GET" | "HEAD", [name] if name in standin_page.FILES:
                return standin_page.file(name)
            case "GET", ["_traffic"]:
                return await self._traffic(request)
            case "GET", ["_oracle"]:
                return Answer(body=json.dumps(await self._stored(self._oracle)).encode())
            case "GET", ["_oracle", "raw", doc_id] if doc_id.isalnum() and self._store.raw_path(doc_id).exists():
                path = self._store.raw_path(doc_id)
                return Answer(content_type="application/xml", file=path, size=path.stat().st_size)
            case "PUT", ["_faults"]:
                self.faults.scripted = msgspec.json.decode(await request.body(), type=list[Fault])
                self._bump()
                return envelope()
            case "PUT", ["_peers"]:
                peers = msgspec.json.decode(await request.body(), type=dict[str, Peer])
                await self._stored(self._store.set_peers, {c: msgspec.json.encode(p) for c, p in peers.items()})
                self._peers = peers
                self._wake.set()
                return envelope()
            case "POST", ["_mergers"]:
                return await self.merge(msgspec.json.decode(await request.body(), type=Merger))
            case "POST", ["_secrets"]:
                return self.rotate(msgspec.json.decode(await request.body(), type=Rotation))
        return Answer(status=404)

    async def _traffic(self, request: Request) -> Answer:
        """What the page shows; with `seen`, only once there is something newer, or after a while."""
        if request.query.get("seen") == str(self._version):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _LONG_POLL_S)
        version = self._version
        return standin_page.traffic(
            await self._stored(standin_page.shown, self._store, self._world, self.faults, version)
        )

    async def merge(self, merger: Merger) -> Answer:
        """Close codes in favour of another, durably; what waits for them is listed for who has their units now."""
        try:
            self._world.merge(merger)
        except ConfigError as error:
            raise Refusal("merger", error.reason) from None
        await self._stored(self._store.add_merger, msgspec.json.encode(merger))
        self.secrets |= keys_of(self._state / "secrets", self._world)
        self._bump()
        return envelope()

    def rotate(self, rotation: Rotation) -> Answer:
        """From now on the former secret is answered 401."""
        given, rotated = self.secrets.get(rotation.system), self._rotated / rotation.system
        if given is None:
            raise Refusal("15", "Khong co he thong nay")
        if rotation.do == "rotate":
            rotated.touch(0o600)
            rotated.write_text(fresh_secret())
        elif rotated.exists():
            rotated.rename(given)
        self._bump()
        return envelope()

    def _oracle(self) -> dict[str, object]:
        counts: dict[str, int] = {}
        packets = []
        for packet, copies in self._store.all():
            if packet["kind"] == PacketKind.DOCUMENT:
                counts[packet["document_id"]] = counts.get(packet["document_id"], 0) + 1
            row = {name: packet[name] for name in packet.keys() if name not in {"seq", "attachments"}}  # noqa: SIM118
            row["attachments"] = [
                {"name": name, "sha256": digest, "size": size}
                for name, digest, size in json.loads(packet["attachments"])
            ]
            row["copies"] = [{name: c[name] for name in ("doc_id", "receiver", "state", "reason")} for c in copies]
            packets.append(row)
        return {"packets": packets, "per_document": counts}

    # -- faults ------------------------------------------------------------------------------------------------------

    async def _faulty(self, request: Request) -> Answer:
        system = request.headers.get(f"{PREFIX}systemid".lower(), "")
        fault = self.faults.draw(request.path, system)
        if fault is None:
            return await self._call(request, twice=False)
        self._bump()
        if fault.fault in INSTEAD:
            async for _ in request.chunks():
                pass
            return instead(fault)
        if fault.fault == "late":
            upload = await self._read_upload(request)
            self._spawn(self._accept_late(upload, fault.delay_ms))
            raise Dropped
        if fault.fault == "slow":
            await asyncio.sleep(fault.delay_ms / 1000)
        answer = await self._call(request, twice=fault.fault == "twice")
        if fault.fault in DAMAGES:
            return await asyncio.to_thread(afterwards, fault, answer, self._scratch)
        return afterwards(fault, answer, self._scratch)

    async def _accept_late(self, upload: "tuple[Upload, Path]", delay_ms: int) -> None:
        await asyncio.sleep(delay_ms / 1000)
        await self._accept(*upload)

    # -- the axis' calls ---------------------------------------------------------------------------------------------

    async def _call(self, request: Request, *, twice: bool) -> Answer:
        if request.path == "sendEdoc" and request.method == "POST":
            upload, file = await self._read_upload(request)
            if twice:
                second = file.with_suffix(".second")
                os.link(file, second)
                await self._accept(upload, second)
            return envelope(DocId=await self._accept(upload, file))
        signed = self._verified(request.headers)
        await request.body()
        calls: dict[str, Callable[[Mapping[str, str]], Awaitable[Answer]]] = {
            "getReceivedEdocList": self._received,
            "getEdoc": self._get,
            "downloadEdoc": self._download,
            "updateStatus": self._update,
            "getSentEdocList": self._sent,
            "getAgenciesList": self._list_agencies,
            "getAgenciesListQD20": self._list_agencies,
            "getSynchronizeUnit": self._list_units,
            "countReceiveEdoc": self._count,
            "countReceiveStatus": self._count_status,
        }
        call = calls.get(request.path)
        return await call(signed) if call else Answer(status=404, body=b"Not Found", content_type="text/plain")

    def _verified(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The signed parameters, names in lower case; anything else of the request's headers is not believed."""
        text = headers.get(f"{PREFIX}sign-header".lower(), "")
        try:
            pairs = json.loads(text)
            signed = {name.removeprefix(PREFIX).lower(): str(value) for name, value in pairs.items()}
        except (ValueError, AttributeError):
            raise Refusal("15", "sign-header khong hop le") from None
        secret = self.secrets.get(signed.get("systemid", ""))
        rotated = self._rotated / (secret.name if secret else "-")
        given = headers.get(f"{PREFIX}hash-header".lower(), "")
        expected = hmac.new(secret.read_bytes() if secret else b"", text.encode(), hashlib.sha256).hexdigest()
        same = all(headers.get(name.lower()) == value for name, value in pairs.items())
        keys = headers.get(f"{PREFIX}sign-header-key".lower(), "").split(";")
        if secret and rotated.exists():
            former = hmac.compare_digest(given, expected)
            expected = hmac.new(rotated.read_bytes(), text.encode(), hashlib.sha256).hexdigest()
            if former:
                raise _Unauthorised
        if not (secret and same and hmac.compare_digest(given, expected) and [PREFIX + k for k in keys] == [*pairs]):
            raise Refusal("15", "Sai SystemId hoac SecretKey")
        self._check_clock(signed.get("timestamp", ""))
        return signed

    def _check_clock(self, stamp: str) -> None:
        try:
            at = dt.datetime.strptime(stamp[:15], "%d%m%YT%H%M%S").replace(tzinfo=VIETNAM)
        except ValueError:
            raise Refusal("15", "timestamp khong hop le") from None
        if self._clock_window_s is not None and abs(at.timestamp() - time.time()) > self._clock_window_s:
            raise Refusal("15", "timestamp qua han")

    async def _read_upload(self, request: Request) -> tuple[Upload, Path]:
        signed = self._verified(request.headers)
        file = self._scratch / secrets.token_hex(8)
        try:
            digest, size = await _save_part(request, file)
            if digest != signed.get("hash-file", "").lower():
                raise Refusal("21", "hash-file khong khop voi file")
            if signed.get("from") != signed["systemid"]:
                raise Refusal(
                    "19", f"Don vi gui {signed.get('from')} khong dung voi ma da dang ky: {signed['systemid']}"
                )
            # A usual packet is read in a millisecond; handing it to a thread and back costs a third of that.
            packet = self._parsed(file) if size <= CHUNK else await asyncio.to_thread(self._parsed, file)
            return self._upload(packet, signed, digest, size), file
        except BaseException:
            file.unlink(missing_ok=True)
            raise

    def _parsed(self, file: Path) -> Packet:
        """Of a packet that was sent, what counts for the axis; its attachments are measured and let go."""
        try:
            packet = edxml.parse(file, self._scratch).packet
        except edxml.Unreadable:
            raise Refusal("22", "edXML khong dung chuan") from None
        for attachment in packet.attachments if isinstance(packet, DocumentPacket) else ():
            attachment.path.unlink()
        return packet

    def _upload(self, packet: Packet, signed: Mapping[str, str], digest: str, size: int) -> Upload:
        if packet.kind != signed.get("messagetype"):
            raise Refusal("22", "messagetype khong khop voi goi tin")
        addressed = receivers(packet)
        named = {code.casefold() for code in json.loads(signed.get("to", "[]"))}
        systems = [self._receiver(code) for code in addressed if not named or code.casefold() in named]
        document = packet if isinstance(packet, DocumentPacket) else None
        status = packet if isinstance(packet, StatusPacket) else None
        return Upload(
            kind=packet.kind.value,
            sender=signed["from"],
            document_id=document.header.document_id if document else status.response_for.document_id if status else "",
            business=document.business_kind if document else 0,
            status=status.status if status else "",
            notation=document.header.code if document else status.response_for.code if status else "",
            title=document.header.subject if document else status.description if status else "",
            type_name=document.header.type_name if document else "",
            urgency=(-1 if document.header.other.priority is None else document.header.other.priority)
            if document
            else 0,
            sha256=digest,
            size=size,
            attachments=[(a.name, a.sha256, a.size) for a in document.attachments] if document else [],
            receivers=list(dict.fromkeys(systems)),
        )

    def _receiver(self, code: str) -> str:
        unit = self._world.find(code)
        if unit is None:
            raise Refusal("18", f"Don vi nhan khong ton tai: {code}")
        if unit.closed:
            raise Refusal("23", f"Don vi nhan da khoa: {code}")
        return unit.code

    async def _accept(self, upload: Upload, file: Path) -> str:
        doc_id = await self._stored(self._store.accept, upload, file, _now_us())
        self._wake.set()
        self._bump()
        return doc_id

    async def _waiting(self, signed: Mapping[str, str], kind: str) -> list[Any]:
        """One system may receive for several units, those that merged into its own among them."""
        return list(await self._stored(self._store.waiting, self._world.codes_of(signed["systemid"]), kind))

    async def _received(self, signed: Mapping[str, str]) -> Answer:
        rows = await self._waiting(signed, signed.get("messagetype", "edoc"))
        return envelope(
            data=[
                {
                    "docId": row["doc_id"],
                    "serviceType": "eDoc",
                    "messageType": row["kind"],
                    "from": row["sender"],
                    "to": row["receiver"],
                    "status": row["state"],
                    "created_time": write_time(row["sent_us"]),
                    "updated_time": write_time(row["updated_us"]),
                }
                for row in rows
            ]
        )

    async def _count(self, signed: Mapping[str, str]) -> Answer:
        return envelope(count=len(await self._waiting(signed, "edoc")))

    async def _count_status(self, signed: Mapping[str, str]) -> Answer:
        return envelope(count=len(await self._waiting(signed, "status")))

    async def _own_copy(self, signed: Mapping[str, str]) -> Any:
        row = await self._stored(self._store.copy, signed.get("docid", ""))
        if row is None or row["receiver"] not in self._world.codes_of(signed["systemid"]):
            raise Refusal("10", "Khong tim thay docId")
        return row

    async def _download(self, signed: Mapping[str, str]) -> Answer:
        row = await self._own_copy(signed)
        path = await asyncio.to_thread(self._delivered, row["packet"], _now_us())
        return Answer(content_type="application/octet-stream", file=path, size=path.stat().st_size)

    async def _get(self, signed: Mapping[str, str]) -> Answer:
        row = await self._own_copy(signed)
        path = await asyncio.to_thread(self._delivered, row["packet"], _now_us())
        return envelope(data=base64.b64encode(path.read_bytes()).decode())

    def _delivered(self, doc_id: str, now_us: int) -> Path:
        """The packet as receivers get it: the axis' own hop added, serialised again in its SDK's order."""
        path = self._state / f"delivered-{doc_id}.edxml"
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
                packet = edxml.parse(self._store.raw_path(doc_id), Path(folder)).packet
                if isinstance(packet, DocumentPacket):
                    hop = TraceHeader(organ_id=AXIS_CODE, at_us=now_us)
                    packet = msgspec.structs.replace(packet, traces=(*packet.traces, hop))
                edxml.write(packet, Path(folder) / "delivered").path.rename(path)
        return path

    async def _update(self, signed: Mapping[str, str]) -> Answer:
        row = await self._own_copy(signed)
        state = signed.get("status", "").lower()
        if state not in {"processing", "done", "fail"}:
            raise Refusal("10", "Trang thai khong hop le")
        await self._stored(self._store.mark, row["doc_id"], state, signed.get("description", ""), _now_us())
        self._bump()
        return envelope()

    async def _sent(self, signed: Mapping[str, str]) -> Answer:
        kind = signed.get("messagetype", "edoc")
        rows = await self._stored(self._store.sent, signed["systemid"], kind, signed.get("docid", ""))
        return envelope(
            data=[
                {
                    "serviceType": "eDoc",
                    "messageType": kind,
                    "senderDocId": row["doc_id"],
                    "receiverDocId": row["copy_id"],
                    "fromCode": row["sender"],
                    "toCode": row["receiver"],
                    "title": row["title"],
                    "notation": row["notation"],
                    "sentTime": write_time(row["sent_us"]),
                    "receivedTime": write_time(row["updated_us"]) if row["state"] == "done" else None,
                    "sendStatus": "done",
                    "sendStatusDesc": "",
                    "receiveStatus": row["state"],
                    "receiveStatusDesc": row["reason"],
                }
                for row in rows
            ]
        )

    async def _list_agencies(self, _signed: Mapping[str, str]) -> Answer:
        return envelope(data=self._world.open_list())

    async def _list_units(self, _signed: Mapping[str, str]) -> Answer:
        return envelope(data=self._world.whole_list())

    # -- scripted peers ----------------------------------------------------------------------------------------------

    async def _answer_as_peers(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            peers = self._peers
            for row in await self._stored(self._store.unanswered, list(peers)) if peers else ():
                if row["doc_id"] in self._answering:
                    continue
                self._answering.add(row["doc_id"])
                self._spawn(self._answer_copy(row["packet"], row["doc_id"], row["receiver"], peers[row["receiver"]]))

    async def _answer_copy(self, packet_id: str, doc_id: str, code: str, peer: Peer) -> None:
        packet = await asyncio.to_thread(self._parsed, self._store.raw_path(packet_id))
        answers = _answers(packet, peer)
        for status in answers:
            await asyncio.sleep(peer.delay_ms / 1000)
            await self._send_status(packet, code, status, peer)
        await self._stored(self._store.mark, doc_id, "done", "", _now_us())
        await self._stored(self._store.answered, doc_id)
        self._answering.discard(doc_id)

    async def _send_status(self, packet: Packet, code: str, status: str, peer: Peer) -> None:
        if isinstance(packet, DocumentPacket):
            header = packet.header
            answered = ResponseFor(
                organ_id=header.sender.organ_id,
                code=header.code,
                document_id=header.document_id,
                promulgated=header.promulgated,
            )
        else:
            answered = msgspec.structs.replace(packet.response_for, organ_id=packet.sender.organ_id)
        unit = self._world.find(code)
        reply = StatusPacket(
            sender=Organisation(organ_id=code, name=unit.name if unit else ""),
            response_for=answered,
            status=status,
            description=peer.reason if status in {"02", "16"} else "",
            at_us=_now_us(),
        )
        file = self._scratch / secrets.token_hex(8)
        written = await asyncio.to_thread(edxml.write, reply, file)
        signed = {"from": code, "systemid": code, "messagetype": "status"}
        with contextlib.suppress(Refusal):  # a sender that the axis does not know gets no answer
            await self._accept(self._upload(reply, signed, written.sha256, written.size), file)


def _answers(packet: Packet, peer: Peer) -> tuple[str, ...]:
    if isinstance(packet, DocumentPacket):
        return peer.statuses if packet.business_kind == 0 else (StatusCode.ARRIVED.value, peer.take_back)
    return (peer.take_back,) if packet.status == StatusCode.TAKE_BACK else ()


async def _save_part(request: Request, file: Path) -> tuple[str, int]:
    """Streams the part `file_doc` to `file`; its hex SHA-256 and size."""
    boundary = request.headers.get("content-type", "").partition("boundary=")[2].strip('"')
    digest, size, inside = hashlib.sha256(), 0, False
    try:
        with PushMultipartParser(boundary, max_segment_size=_MAX_UPLOAD) as parser, file.open("wb") as target:
            async for chunk in request.chunks():
                for event in parser.parse(chunk):
                    if isinstance(event, MultipartSegment):
                        inside = event.name == "file_doc"
                    elif event and inside:
                        digest.update(event)
                        size += len(event)
                        target.write(event)
    except MultipartError:
        raise Refusal("10", "File khong hop le") from None
    return digest.hexdigest(), size


def _now_us() -> int:
    return time.time_ns() // 1000


@contextlib.asynccontextmanager
async def serving(state: Path, **options: Any) -> AsyncIterator[tuple[Standin, str]]:
    """The stand-in within this process, for tests: (server, base URL)."""
    standin = Standin(state, **options)
    port = await standin.start()
    try:
        yield standin, f"http://127.0.0.1:{port}"
    finally:
        await standin.stop()


Told = Callable[[int, Mapping[str, Path]], None]


async def run(
    state: Path, *, host: str, port: int, units: Iterable[Unit], told: Told, clock_window_s: int | None = None
) -> None:
    """Serve until SIGTERM or SIGINT. `told` gets the port and the secrets' files once it serves. Raises: ConfigError, OSError."""
    state.mkdir(parents=True, exist_ok=True)
    gc.freeze()  # what the start made stays
    standin = Standin(state.resolve(), units, clock_window_s)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        told(await standin.start(port, host), standin.secrets)
        await ended.wait()
    finally:
        await standin.stop()


def tell_json(port: int, files: Mapping[str, Path]) -> None:
    """One line for whoever started this process."""
    sys.stdout.write(json.dumps({"port": port, "secrets": {code: str(path) for code, path in files.items()}}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="stand-in of the document exchange axis")
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--state", type=Path, required=True)
    arguments.add_argument("--config", type=Path)
    given = arguments.parse_args()
    asked = configured(given.config) if given.config else UNITS
    uvloop.run(run(given.state, host="127.0.0.1", port=given.port, units=asked, told=tell_json))
