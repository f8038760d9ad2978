"""A stand-in for the national exchange axis: a small real server with several agencies, for demo and tests.

`python -m server.exchange.standin --port 0 --state DIR` prints one JSON line (`port`, `secrets`: code -> secret file)
and serves on loopback until it is ended. What it accepted is durable; `kill -9` and a new start with the same folder go
on. It speaks the VXP profile as `axis.VxpAxis` does, and beside it, unsigned:

* `GET /_oracle`: every accepted packet with digests, copies and counts per DocumentId; `GET /_oracle/raw/{docId}`.
* `PUT /_faults`: a list of `Fault`, replacing the last. `PUT /_peers`: code -> `Peer`, durable.

This module is over 400 lines: server, checks, faults and peers of one stand-in are read together.
"""

import argparse
import asyncio
import base64
import contextlib
import datetime as dt
import hashlib
import hmac
import json
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import h11
import msgspec
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
)

from server.exchange import edxml
from server.exchange.axis import PREFIX, Agency
from server.exchange.model import (
    VIETNAM,
    DocumentPacket,
    ExchangeError,
    Organisation,
    Packet,
    PacketKind,
    ResponseFor,
    StatusCode,
    StatusPacket,
    TraceHeader,
    receivers,
)
from server.exchange.standin_store import Store, Upload
from server.exchange.wire import write_time

T = TypeVar("T")

AXIS_CODE: Final = "000.00.00.W00"
CHUNK: Final = 1 << 18
_MAX_BODY: Final = 1 << 20
_MAX_UPLOAD: Final = 700 << 20

AGENCIES: Final = (
    Agency(code="X01", name="Cơ quan Mẫu Một", old_code="000.00.00.X01"),
    Agency(code="X01.02", name="Phòng Mẫu Một Hai", old_code="000.00.12.X01"),
    Agency(code="X02", name="Cơ quan Mẫu Hai", old_code="000.00.00.X02"),
    Agency(code="X03", name="Cơ quan Mẫu Ba", old_code="000.00.00.X03"),
    Agency(code="X04", name="Cơ quan Mẫu Bốn (đã đóng)", old_code="000.00.00.X04", closed=True),
    Agency(code="14.00.W00", name="Đơn vị thử nghiệm"),
)
"""Samples: codes whose first letter is no real level 1, one that is not the reversal of its old code, a closed one."""


class Fault(msgspec.Struct, frozen=True):
    """One scripted misbehaviour of `call`, `times` times (-1 = always), each time with `probability`.

    `fault`: drop-after, drop-before (connection lost after or before accepting), late (lost, accepted after
    `delay_ms`), twice (accepted two times), 500-after, 500-before, html, slow (answers after `delay_ms`), 401, refuse
    (with `code` and `description`), truncate (download cut short), duplicate (each line of the received list twice).
    """

    fault: str
    call: str = "sendEdoc"
    times: int = 1
    probability: float = 1.0
    delay_ms: int = 0
    code: str = "20"
    description: str = "Loi he thong"


class Peer(msgspec.Struct, frozen=True):
    """How an agency answers by itself: `statuses` to every document, `take_back` (15 or 16) to a 13."""

    statuses: tuple[str, ...] = ("01", "03")
    take_back: str = "15"
    reason: str = "Văn bản không đúng thẩm quyền"
    delay_ms: int = 0


class _Answer(msgspec.Struct, frozen=True):
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    file: Path | None = None
    size: int = 0


class _Refusal(Exception):  # noqa: N818 - becomes an answer
    def __init__(self, code: str, description: str) -> None:
        super().__init__(code)
        self.answer = _envelope(ErrorCode=code, ErrorDesc=description, status="FAIL")


class _Dropped(Exception):  # noqa: N818 - the scripted loss of the connection
    pass


def _envelope(**fields: object) -> _Answer:
    return _Answer(body=json.dumps({"status": "OK", "ErrorCode": "0", "ErrorDesc": "Thanh cong"} | fields).encode())


class _Request(msgspec.Struct, frozen=True):
    method: str
    path: str
    headers: dict[str, str]
    chunks: Callable[[], AsyncIterator[bytes]]

    async def body(self) -> bytes:
        data = bytearray()
        async for chunk in self.chunks():
            data += chunk
            if len(data) > _MAX_BODY:
                raise _Refusal("10", "Noi dung qua lon")
        return bytes(data)


class Standin:
    """The server. `secrets` (code -> file) are made at the first start; a system's id is its agency's code."""

    def __init__(self, state: Path, agencies: tuple[Agency, ...] = AGENCIES, clock_window_s: int | None = None) -> None:
        self._store = Store(state)
        self._state = state
        self._agencies = {agency.code: agency for agency in agencies}
        self._codes = {code.casefold(): a for a in agencies for code in (a.code, a.old_code) if code}
        self._clock_window_s = clock_window_s
        self._thread = ThreadPoolExecutor(1, "standin-store")
        self._faults: list[Fault] = []
        self._random = random.Random(0)  # noqa: S311 - faults must repeat, not be secret
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._answering: set[str] = set()
        self._scratch = state / "scratch"
        self._scratch.mkdir(exist_ok=True)
        self.secrets = {agency.code: self._secret(agency.code) for agency in agencies if not agency.closed}

    def _secret(self, code: str) -> Path:
        path = self._state / "secrets" / code
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            path.touch(0o600)
            path.write_text(secrets.token_urlsafe(32) + "=")
        return path

    async def start(self, port: int = 0) -> int:
        """Serves on 127.0.0.1; the port."""
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", port)
        self._spawn(self._answer_as_peers())
        self._wake.set()
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server:
            self._server.close()
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

    # -- HTTP --------------------------------------------------------------------------------------------------------

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
            while await self._exchange(connection, reader, writer):
                connection.start_next_cycle()
            writer.close()
        except (_Dropped, h11.RemoteProtocolError, ConnectionError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _exchange(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        async def event() -> Any:
            while (found := connection.next_event()) is h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    writer.write(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                connection.receive_data(await reader.read(CHUNK))
            return found

        async def chunks() -> AsyncIterator[bytes]:
            while isinstance(found := await event(), h11.Data):
                yield bytes(found.data)

        first = await event()
        if not isinstance(first, h11.Request):
            return False
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in first.headers}
        path = first.target.decode().partition("?")[0].strip("/")
        answer = await self._answer(_Request(first.method.decode(), path, headers, chunks))
        while connection.their_state is h11.SEND_BODY:
            await event()  # the rest of a refused body, or the refusal would be lost in a reset connection
        keep = connection.their_state is h11.DONE
        await _write(connection, writer, answer, keep)
        return keep

    async def _answer(self, request: _Request) -> _Answer:
        try:
            if request.path.startswith("_"):
                return await self._control(request)
            return await self._faulty(request)
        except _Refusal as refusal:
            return refusal.answer
        except (msgspec.MsgspecError, ExchangeError, ValueError):
            return _Answer(status=400, body=b"Bad Request", content_type="text/plain")

    async def _control(self, request: _Request) -> _Answer:
        match request.method, request.path.split("/"):
            case "GET", ["_oracle"]:
                return _Answer(body=json.dumps(await self._stored(self._oracle)).encode())
            case "GET", ["_oracle", "raw", doc_id] if doc_id.isalnum() and self._store.raw_path(doc_id).exists():
                path = self._store.raw_path(doc_id)
                return _Answer(content_type="application/xml", file=path, size=path.stat().st_size)
            case "PUT", ["_faults"]:
                self._faults = msgspec.json.decode(await request.body(), type=list[Fault])
                return _envelope()
            case "PUT", ["_peers"]:
                peers = msgspec.json.decode(await request.body(), type=dict[str, Peer])
                await self._stored(self._store.set_peers, {c: msgspec.json.encode(p) for c, p in peers.items()})
                self._wake.set()
                return _envelope()
        return _Answer(status=404)

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

    def _fault(self, call: str) -> Fault | None:
        for index, fault in enumerate(self._faults):
            if fault.call == call and fault.times and self._random.random() < fault.probability:
                self._faults[index] = msgspec.structs.replace(fault, times=max(fault.times - 1, -1))
                return fault
        return None

    async def _faulty(self, request: _Request) -> _Answer:
        fault = self._fault(request.path)
        kind = fault.fault if fault else ""
        if fault and kind in {"drop-before", "500-before", "html", "401", "refuse", "late"}:
            return await self._instead(fault, request)
        if fault and kind == "slow":
            await asyncio.sleep(fault.delay_ms / 1000)
        answer = await self._call(request, twice=kind == "twice")
        match kind:
            case "drop-after":
                raise _Dropped
            case "500-after":
                return _Answer(status=500, body=b"Internal Server Error", content_type="text/plain")
            case "truncate" if answer.file:
                return msgspec.structs.replace(answer, size=answer.size // 2)
            case "duplicate":
                fields = json.loads(answer.body)
                return _envelope(**fields | {"data": [line for line in fields["data"] for _ in range(2)]})
        return answer

    async def _instead(self, fault: Fault, request: _Request) -> _Answer:
        if fault.fault == "late":
            upload = await self._read_upload(request)
            self._spawn(self._accept_late(upload, fault.delay_ms))
            raise _Dropped
        async for _ in request.chunks():
            pass
        match fault.fault:
            case "drop-before":
                raise _Dropped
            case "500-before":
                return _Answer(status=500, body=b"Internal Server Error", content_type="text/plain")
            case "401":
                return _Answer(status=401, body=b"licenseInfo:invalid", content_type="text/plain")
            case "refuse":
                raise _Refusal(fault.code, fault.description)
        return _Answer(body=b"<html><body>Bad gateway</body></html>", content_type="text/html")

    async def _accept_late(self, upload: "tuple[Upload, Path]", delay_ms: int) -> None:
        await asyncio.sleep(delay_ms / 1000)
        await self._accept(*upload)

    # -- the axis' calls ---------------------------------------------------------------------------------------------

    async def _call(self, request: _Request, *, twice: bool) -> _Answer:
        if request.path == "sendEdoc" and request.method == "POST":
            upload, file = await self._read_upload(request)
            if twice:
                second = file.with_suffix(".second")
                os.link(file, second)
                await self._accept(upload, second)
            return _envelope(DocId=await self._accept(upload, file))
        signed = self._verified(request.headers)
        await request.body()
        calls: dict[str, Callable[[Mapping[str, str]], Awaitable[_Answer]]] = {
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
        return await call(signed) if call else _Answer(status=404, body=b"Not Found", content_type="text/plain")

    def _verified(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The signed parameters, names in lower case; anything else of the request's headers is not believed."""
        text = headers.get(f"{PREFIX}sign-header".lower(), "")
        try:
            pairs = json.loads(text)
            signed = {name.removeprefix(PREFIX).lower(): str(value) for name, value in pairs.items()}
        except (ValueError, AttributeError):
            raise _Refusal("15", "sign-header khong hop le") from None
        secret = self.secrets.get(signed.get("systemid", ""))
        given = headers.get(f"{PREFIX}hash-header".lower(), "")
        expected = hmac.new(secret.read_bytes() if secret else b"", text.encode(), hashlib.sha256).hexdigest()
        same = all(headers.get(name.lower()) == value for name, value in pairs.items())
        keys = headers.get(f"{PREFIX}sign-header-key".lower(), "").split(";")
        if not (secret and same and hmac.compare_digest(given, expected) and [PREFIX + k for k in keys] == [*pairs]):
            raise _Refusal("15", "Sai SystemId hoac SecretKey")
        self._check_clock(signed.get("timestamp", ""))
        return signed

    def _check_clock(self, stamp: str) -> None:
        try:
            at = dt.datetime.strptime(stamp[:15], "%d%m%YT%H%M%S").replace(tzinfo=VIETNAM)
        except ValueError:
            raise _Refusal("15", "timestamp khong hop le") from None
        if self._clock_window_s is not None and abs(at.timestamp() - time.time()) > self._clock_window_s:
            raise _Refusal("15", "timestamp qua han")

    async def _read_upload(self, request: _Request) -> tuple[Upload, Path]:
        signed = self._verified(request.headers)
        file = self._scratch / secrets.token_hex(8)
        try:
            digest, size = await _save_part(request, file)
            if digest != signed.get("hash-file", "").lower():
                raise _Refusal("21", "hash-file khong khop voi file")
            if signed.get("from") != signed["systemid"]:
                raise _Refusal(
                    "19", f"Don vi gui {signed.get('from')} khong dung voi ma da dang ky: {signed['systemid']}"
                )
            packet = await asyncio.to_thread(self._parsed, file)
            return self._upload(packet, signed, digest, size), file
        except BaseException:
            file.unlink(missing_ok=True)
            raise

    def _parsed(self, file: Path) -> Packet:
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            try:
                return edxml.parse(file, Path(folder)).packet
            except edxml.Unreadable:
                raise _Refusal("22", "edXML khong dung chuan") from None

    def _upload(self, packet: Packet, signed: Mapping[str, str], digest: str, size: int) -> Upload:
        if packet.kind != signed.get("messagetype"):
            raise _Refusal("22", "messagetype khong khop voi goi tin")
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
            sha256=digest,
            size=size,
            attachments=[(a.name, a.sha256, a.size) for a in document.attachments] if document else [],
            receivers=list(dict.fromkeys(systems)),
        )

    def _receiver(self, code: str) -> str:
        agency = self._codes.get(code.strip().casefold())
        if agency is None:
            raise _Refusal("18", f"Don vi nhan khong ton tai: {code}")
        if agency.closed:
            raise _Refusal("23", f"Don vi nhan da khoa: {code}")
        return agency.code

    async def _accept(self, upload: Upload, file: Path) -> str:
        doc_id = await self._stored(self._store.accept, upload, file, _now_us())
        self._wake.set()
        return doc_id

    async def _received(self, signed: Mapping[str, str]) -> _Answer:
        rows = await self._stored(self._store.waiting, signed["systemid"], signed.get("messagetype", "edoc"))
        return _envelope(
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

    async def _count(self, signed: Mapping[str, str]) -> _Answer:
        return _envelope(count=len(await self._stored(self._store.waiting, signed["systemid"], "edoc")))

    async def _count_status(self, signed: Mapping[str, str]) -> _Answer:
        return _envelope(count=len(await self._stored(self._store.waiting, signed["systemid"], "status")))

    async def _own_copy(self, signed: Mapping[str, str]) -> Any:
        row = await self._stored(self._store.copy, signed.get("docid", ""))
        if row is None or row["receiver"] != signed["systemid"]:
            raise _Refusal("10", "Khong tim thay docId")
        return row

    async def _download(self, signed: Mapping[str, str]) -> _Answer:
        row = await self._own_copy(signed)
        path = await asyncio.to_thread(self._delivered, row["packet"], _now_us())
        return _Answer(content_type="application/octet-stream", file=path, size=path.stat().st_size)

    async def _get(self, signed: Mapping[str, str]) -> _Answer:
        row = await self._own_copy(signed)
        path = await asyncio.to_thread(self._delivered, row["packet"], _now_us())
        return _envelope(data=base64.b64encode(path.read_bytes()).decode())

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

    async def _update(self, signed: Mapping[str, str]) -> _Answer:
        row = await self._own_copy(signed)
        state = signed.get("status", "").lower()
        if state not in {"processing", "done", "fail"}:
            raise _Refusal("10", "Trang thai khong hop le")
        await self._stored(self._store.mark, row["doc_id"], state, signed.get("description", ""), _now_us())
        return _envelope()

    async def _sent(self, signed: Mapping[str, str]) -> _Answer:
        kind = signed.get("messagetype", "edoc")
        rows = await self._stored(self._store.sent, signed["systemid"], kind, signed.get("docid", ""))
        return _envelope(
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

    async def _list_agencies(self, _signed: Mapping[str, str]) -> _Answer:
        return _envelope(
            data=[
                {"id": str(i), "pid": "0", "code": a.code, "name": a.name, "mail": a.mail}
                | {"oldCode": a.old_code, "code102": a.old_code}
                for i, a in enumerate(self._agencies.values(), 1)
                if not a.closed
            ]
        )

    async def _list_units(self, _signed: Mapping[str, str]) -> _Answer:
        return _envelope(
            data=[
                {"id": str(i), "pid": "0", "code": a.code, "name": a.name, "version": "1", "deleted": a.closed}
                for i, a in enumerate(self._agencies.values(), 1)
            ]
        )

    # -- scripted peers ----------------------------------------------------------------------------------------------

    async def _answer_as_peers(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            scripts = await self._stored(self._store.peers)
            peers = {code: msgspec.json.decode(script, type=Peer) for code, script in scripts.items()}
            for row in await self._stored(self._store.unanswered, list(peers)):
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
        reply = StatusPacket(
            sender=Organisation(organ_id=code, name=self._agencies[code].name),
            response_for=answered,
            status=status,
            description=peer.reason if status in {"02", "16"} else "",
            at_us=_now_us(),
        )
        file = self._scratch / secrets.token_hex(8)
        written = await asyncio.to_thread(edxml.write, reply, file)
        signed = {"from": code, "systemid": code, "messagetype": "status"}
        with contextlib.suppress(_Refusal):  # a sender that the axis does not know gets no answer
            await self._accept(self._upload(reply, signed, written.sha256, written.size), file)


def _answers(packet: Packet, peer: Peer) -> tuple[str, ...]:
    if isinstance(packet, DocumentPacket):
        return peer.statuses if packet.business_kind == 0 else (StatusCode.ARRIVED.value, peer.take_back)
    return (peer.take_back,) if packet.status == StatusCode.TAKE_BACK else ()


async def _save_part(request: _Request, file: Path) -> tuple[str, int]:
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
        raise _Refusal("10", "File khong hop le") from None
    return digest.hexdigest(), size


async def _write(connection: h11.Connection, writer: asyncio.StreamWriter, answer: _Answer, keep: bool) -> None:  # noqa: FBT001 - private
    size = answer.size if answer.file else len(answer.body)
    headers = [("Content-Type", answer.content_type), ("Content-Length", str(size))]
    if not keep:
        headers.append(("Connection", "close"))
    writer.write(connection.send(h11.Response(status_code=answer.status, headers=headers)) or b"")
    if answer.file:
        with answer.file.open("rb") as source:
            while size and (chunk := source.read(min(CHUNK, size))):
                size -= len(chunk)
                writer.write(connection.send(h11.Data(data=chunk)) or b"")
                await writer.drain()
    else:
        writer.write(connection.send(h11.Data(data=answer.body)) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()


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


async def _main(port: int, state: Path) -> None:
    standin = Standin(state)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    bound = await standin.start(port)
    line = {"port": bound, "secrets": {code: str(path) for code, path in standin.secrets.items()}}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    await ended.wait()
    await standin.stop()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="stand-in of the document exchange axis")
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--state", type=Path, required=True)
    given = arguments.parse_args()
    given.state.mkdir(parents=True, exist_ok=True)
    asyncio.run(_main(given.port, given.state.resolve()))
