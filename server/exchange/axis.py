"""Client of the document exchange axis (trục liên thông văn bản quốc gia), VXP profile of its SDK 2.0.1.

Every parameter is an `XroadVnpt-…` header, signed together by HMAC-SHA256; answers are JSON with `ErrorCode` "0" for
success. Answers are hostile input: bounded, and believed only where they parse. The signing headers and the secret are
never logged.

The module is over 400 lines: the calls of one wire, their outcomes and the signing stay together.
"""

import asyncio
import base64
import binascii
import datetime as dt
import email.utils
import hashlib
import hmac
import json
import os
import unicodedata
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from server.exchange.model import VIETNAM, ExchangeError, PacketKind, same_organ
from server.outgoing import CHUNK, Answer, AnswerTooLarge, NoAnswer, NotSent, Outgoing

PREFIX: Final = "XroadVnpt-"
VERSION: Final = "3.0.201608"
USER_AGENT: Final = "JAVASDKAgent/1.0.0 XRoad/VPCP"
_CONNECTIONS: Final = 10
_RETRY_LATER: Final = frozenset({408, 425, 429})
_NOT_US: Final = frozenset({401, 403})
_WRONG_SECRET: Final = "15"  # noqa: S105 - an error code of the axis
CLOCK: Final = "clock"
"""In place of the axis' word, where it refuses a system whose clock is not its own: requests are signed with their time (reference §8.1)."""
CREDENTIALS: Final = frozenset({"http-401", "http-403", _WRONG_SECRET, CLOCK})
"""What the axis says to a system whose secret it does not know, or no more: nothing is wrong with what was sent."""


class Accepted(msgspec.Struct, frozen=True):
    """The axis has the packet under this id (the sender's id of the sent list)."""

    doc_id: str


class Refused(msgspec.Struct, frozen=True):
    """The axis said no; a person must look. `code` and `description` as received (`http-400` for a bare status)."""

    code: str
    description: str


class Unknown(msgspec.Struct, frozen=True):
    """The packet may or may not be there: ask before sending again (threat D2). `reason` is a fixed word of ours."""

    reason: str


class Unreachable(msgspec.Struct, frozen=True):
    """Certainly not accepted, for a reason that is not the packet's: not sent whole, or under a secret that the axis does not know
    (`CREDENTIALS`). Send again later (threat D3).
    """

    reason: str


SendOutcome = Accepted | Refused | Unknown | Unreachable


class AxisUnavailable(ExchangeError):  # noqa: N818 - the outcome, not a fault of ours
    """No usable answer: time-out, lost connection, 5xx, no JSON, reply too large. Try again later."""


class AxisRefused(ExchangeError):  # noqa: N818 - the outcome, not a fault of ours
    """A business error or 4xx on a call other than send. `code` as received; `reason` is the axis' description."""


class ReceivedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the received list. Only `doc_id` is sure; `status` is the transport status in lower case."""

    doc_id: str
    sender: str = ""
    receiver: str = ""
    status: str = ""
    created: str = ""


class SentItem(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the sent list: one receiver's copy. Two ids: ours and the receiver's. Times as received."""

    sender_doc_id: str
    receiver_doc_id: str = ""
    receiver: str = ""
    title: str = ""
    notation: str = ""
    sent: str = ""
    send_status: str = ""
    receive_status: str = ""
    description: str = ""


class Agency(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of the agency list; `old_code` is the code of QCVN 102:2016 where the list gives one.

    `unit_id` and `parent_id` are the axis' ids of the unit and of the one above it; a unit keeps its id when its code changes.
    """

    code: str
    name: str = ""
    old_code: str = ""
    unit_id: str = ""
    parent_id: str = ""
    mail: str = ""
    closed: bool = False


class SentKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a sent packet is recognised by: the sent list knows neither DocumentId nor file hash.

    `notation` is the full reference `number/notation`, unique per agency and year (DOC-5); an empty `title` is not
    compared (status packets). `receivers` are the codes it was addressed to.
    """

    notation: str
    receivers: tuple[str, ...]
    title: str = ""


class Axis(Protocol):
    """The exchange as the product sees it. `sender` is the registered code; all calls but `send` raise
    AxisUnavailable (retry) or AxisRefused (show).
    """

    async def send(self, kind: PacketKind, file: Path, sender: str, receivers: Collection[str]) -> SendOutcome:
        """Sends the packet file; never raises for what the axis or the network does."""

    async def received(self, kind: PacketKind) -> list[ReceivedItem]:
        """Packets that wait for us: everything not yet confirmed."""

    async def fetch(self, doc_id: str, into: Path) -> int:
        """Streams the packet to the new file `into`; its size in bytes. On any error no file is left.

        FileExistsError or another OSError is the local disk's.
        """

    async def confirm(self, doc_id: str, reason: str | None = None) -> None:
        """`done` once the raw packet is stored durably; `fail` with a reason for one that cannot be read."""

    async def sent(self, kind: PacketKind, doc_id: str | None = None) -> list[SentItem]:
        """The sent list, of one packet or whole."""

    async def agencies(self) -> list[Agency]:
        """The national agency list (above 100,000 entries), closed ones marked."""


async def find_sent(axis: Axis, kind: PacketKind, key: SentKey, known: Collection[str]) -> tuple[SentItem, ...]:
    """Copies in the sent list that are this packet; empty if the axis does not have it.

    `known` are ids already recorded for other packets: a revocation quotes the same number as the document that it
    revokes, so an id that belongs to another packet is no proof for this one.
    """
    return tuple(item for item in await axis.sent(kind) if _is(item, key) and item.sender_doc_id not in known)


def _is(item: SentItem, key: SentKey) -> bool:
    return (
        item.notation.strip() == key.notation.strip()
        and (not key.title or " ".join(item.title.split()) == " ".join(key.title.split()))
        and any(same_organ(item.receiver, receiver) for receiver in key.receivers)
    )


class AxisLimits(msgspec.Struct, frozen=True):
    """Bytes and seconds. `send_s` bounds each wait of a send, not the whole of it. `clock_tolerance_s`: see `VxpAxis.clock_off_s`."""

    max_packet: int = 700 << 20
    max_list: int = 64 << 20
    connect_s: float = 10
    read_s: float = 60
    send_s: float = 120
    clock_tolerance_s: float = 60


class VxpAxis:
    """`Axis` over HTTP. One client, at most 10 connections as in the SDK; the secret's file is read at each request."""

    def __init__(
        self, url: str, system_id: str, secret_file: Path, now_us: Callable[[], int], limits: AxisLimits | None = None
    ) -> None:
        self._system_id = system_id
        self._secret_file = secret_file
        self._now_us = now_us
        self._limits = limits or AxisLimits()
        self._url = url.rstrip("/")
        self._client = Outgoing(
            read_s=self._limits.read_s,
            connect_s=self._limits.connect_s,
            connections=_CONNECTIONS,
            agent=USER_AGENT,
        )
        self._ahead_s: float | None = None

    def __repr__(self) -> str:
        return f"VxpAxis({self._url}, {self._system_id})"

    async def close(self) -> None:
        await self._client.close()

    @property
    def clock_off_s(self) -> int | None:
        """By how many seconds our clock is ahead of the axis' (negative: behind), by the Date of its last answer; None within the tolerance,
        and where none is said. A hint for people: nothing signed says when an answer was given.
        """
        beyond = self._ahead_s is not None and abs(self._ahead_s) > self._limits.clock_tolerance_s
        return round(self._ahead_s) if beyond and self._ahead_s is not None else None

    def _look_at_clock(self, answer: Answer) -> None:
        try:
            at_s = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
        except (KeyError, ValueError, OverflowError):  # the last for a year or a zone beyond every calendar
            return
        self._ahead_s = self._now_us() / 1e6 - at_s

    def _stranger(self, code: str) -> Unreachable:
        """The axis does not know who signed: the clock's fault where that is off, else the secret's."""
        return Unreachable(code if self.clock_off_s is None else CLOCK)

    async def send(self, kind: PacketKind, file: Path, sender: str, receivers: Collection[str]) -> SendOutcome:
        try:
            body = await asyncio.to_thread(_Multipart, file)
            headers = self._signed(
                {
                    "servicetype": "eDoc",
                    "messagetype": kind.value,
                    "from": sender,
                    "to": json.dumps(list(receivers), separators=(",", ":")),
                    "hash-file": body.digest,
                }
            )
        except OSError:
            return Unreachable("local-file")
        try:
            return await self._send(headers, body)
        except NotSent as error:
            return Unreachable(error.code)
        except NoAnswer as error:
            # The axis believes Content-Length: a body that was not handed over whole cannot have been accepted.
            return Unknown(error.code) if body.handed_over else Unreachable(error.code)

    async def _send(self, headers: Mapping[str, str], body: "_Multipart") -> SendOutcome:
        async with self._client.call(
            "POST", f"{self._url}/sendEdoc", body=body.stream(), headers={**headers, **body.headers()}, read_s=self._limits.send_s
        ) as answer:  # fmt: skip
            self._look_at_clock(answer)
            status = answer.status
            if status >= 500 or status in _RETRY_LATER or 300 <= status < 400:
                return Unknown(f"http-{status}")
            if status in _NOT_US:
                return self._stranger(f"http-{status}")
            if status >= 400:
                return Refused(f"http-{status}", "")
            try:
                said = _envelope(await _read_bounded(answer, 1 << 20))
            except AxisUnavailable as error:
                return Unknown(error.code)
            except AxisRefused as error:
                return self._stranger(error.code) if error.code == _WRONG_SECRET else Refused(error.code, error.reason)
            if not body.handed_over:
                return Unknown("answered-early")
        doc_id = _text(said, "docid")
        return Accepted(doc_id) if doc_id else Unknown("no-doc-id")

    async def received(self, kind: PacketKind) -> list[ReceivedItem]:
        answer = await self._call("getReceivedEdocList", {"servicetype": "eDoc", "messagetype": kind.value})
        return [
            ReceivedItem(
                doc_id=_text(row, "docid"),
                sender=_text(row, "from"),
                receiver=_text(row, "to"),
                status=_text(row, "status").lower(),
                created=_text(row, "created_time"),
            )
            for row in _rows(answer)
            if _is_usable(_text(row, "docid")) and _text(row, "status").lower() not in {"done", "fail"}
        ]

    async def fetch(self, doc_id: str, into: Path) -> int:
        headers = self._signed_or_unavailable({"docId": doc_id})
        try:
            async with self._client.call("GET", f"{self._url}/downloadEdoc", headers=headers) as answer:
                self._look_at_clock(answer)
                if answer.status not in {404, 405}:
                    _check_status(answer.status)
                    return await _download(answer, into, self._limits.max_packet)
        except NoAnswer as error:
            raise AxisUnavailable(error.code) from error
        return await self._fetch_whole(doc_id, into)

    async def _fetch_whole(self, doc_id: str, into: Path) -> int:
        """For an axis without `/downloadEdoc`: the packet as base64 inside JSON, held in memory, so bounded lower."""
        answer = await self._call("getEdoc", {"docId": doc_id}, content=b"{}")
        try:
            data = base64.b64decode(_text(answer, "data"), validate=True)
        except (binascii.Error, ValueError):
            raise AxisUnavailable("not-base64") from None
        await asyncio.to_thread(into.write_bytes, data)
        return len(data)

    async def confirm(self, doc_id: str, reason: str | None = None) -> None:
        parameters = {"docId": doc_id, "status": "done" if reason is None else "fail"}
        if reason:
            parameters["description"] = unmarked(reason)[:200]
        await self._call("updateStatus", parameters, content=b"{}")

    async def sent(self, kind: PacketKind, doc_id: str | None = None) -> list[SentItem]:
        parameters = {"servicetype": "eDoc", "messagetype": kind.value}
        answer = await self._call("getSentEdocList", parameters | ({"docId": doc_id} if doc_id else {}))
        return [
            SentItem(
                sender_doc_id=_text(row, "senderdocid"),
                receiver_doc_id=_text(row, "receiverdocid"),
                receiver=_text(row, "tocode"),
                title=_text(row, "title"),
                notation=_text(row, "notation"),
                sent=_text(row, "senttime"),
                send_status=_text(row, "sendstatus").lower(),
                receive_status=_text(row, "receivestatus").lower(),
                description=_text(row, "receivestatusdesc"),
            )
            for row in _rows(answer)
        ]

    async def agencies(self) -> list[Agency]:
        """Both lists are read: one has the old codes, the other knows which units are closed.

        They are decoded on a thread: a list of the whole country would hold the loop for a second.
        """
        units = await self._answer("getSynchronizeUnit", {})
        listed = await self._answer("getAgenciesListQD20", {})
        return await asyncio.to_thread(_agencies, units, listed)

    async def _call(self, path: str, parameters: Mapping[str, str], content: bytes = b"") -> dict[str, Any]:
        return _envelope(await self._answer(path, parameters, content))

    async def _answer(self, path: str, parameters: Mapping[str, str], content: bytes = b"") -> bytes:
        headers = self._signed_or_unavailable(parameters)
        try:
            async with self._client.call("POST", f"{self._url}/{path}", headers=headers, body=content) as answer:
                self._look_at_clock(answer)
                _check_status(answer.status)
                return await _read_bounded(answer, self._limits.max_list)
        except NoAnswer as error:
            raise AxisUnavailable(error.code) from error

    def _signed_or_unavailable(self, parameters: Mapping[str, str]) -> dict[str, str]:
        try:
            return self._signed(parameters)
        except OSError as error:
            raise AxisUnavailable("secret-file") from error

    def _signed(self, parameters: Mapping[str, str]) -> dict[str, str]:
        secret = self._secret_file.read_bytes().rstrip(b"\r\n")
        stamp = {"timestamp": timestamp(self._now_us()), "systemid": self._system_id}
        return sign(stamp | dict(parameters), secret)


def timestamp(now_us: int) -> str:
    """`ddMMyyyy'T'HHmmss+SSSS`, Vietnam time; `+SSSS` is the milliseconds in four digits, not a zone."""
    at = dt.datetime.fromtimestamp(now_us // 1_000_000, VIETNAM)
    return f"{at:%d%m%YT%H%M%S}+{now_us // 1000 % 1000:04}"


def sign(parameters: Mapping[str, str], secret: bytes) -> dict[str, str]:
    """All `XroadVnpt-…` headers of one request. `secret` is the text as issued, never decoded.

    Raises ExchangeError `invalid-header` for a value that is not printable ASCII: it could smuggle a header.
    """
    for name, value in parameters.items():
        if not (value.isascii() and value.isprintable()):
            raise ExchangeError("invalid-header", name)
    headers = {PREFIX + name: value for name, value in parameters.items()}
    signed = json.dumps(headers, separators=(",", ":"))
    return headers | {
        PREFIX + "sign-header": signed,
        PREFIX + "sign-header-key": ";".join(parameters),
        PREFIX + "hash-header": hmac.new(secret, signed.encode(), hashlib.sha256).hexdigest(),
        PREFIX + "version": VERSION,
    }


def unmarked(text: str) -> str:
    """Vietnamese without marks in printable ASCII, as the axis itself writes its descriptions."""
    plain = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    return "".join(c if c.isprintable() else " " for c in plain.encode("ascii", "ignore").decode())


class _Multipart:
    """The one part `file_doc`, streamed from the file with a known length (chunked bodies fail at gateways).

    Blocking: reads the file, and keeps a small one. `digest` is its SHA-256. Raises: OSError.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._whole: bytes | None = None
        with file.open("rb") as source:
            self._size = os.fstat(source.fileno()).st_size
            if self._size <= CHUNK:
                self._whole = source.read()
                self._size = len(self._whole)
                self.digest = hashlib.sha256(self._whole).hexdigest()
            else:
                self.digest = hashlib.file_digest(source, "sha256").hexdigest()
        self._boundary = f"----hoatoc{self.digest[:32]}"
        self._head = (
            f"--{self._boundary}\r\n"
            f'Content-Disposition: form-data; name="file_doc"; filename="{self.digest[:16]}.edxml"\r\n'
            "Content-Type: application/xml\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{self._boundary}--\r\n".encode()
        self.handed_over = False

    def headers(self) -> dict[str, str]:
        return {
            "Content-Type": f"multipart/form-data; boundary={self._boundary}",
            "Content-Length": str(len(self._head) + self._size + len(self._tail)),
        }

    async def stream(self) -> AsyncIterator[bytes]:
        rest = self._tail
        if self._whole is not None:
            rest = self._head + self._whole + self._tail
        else:
            yield self._head
            with self._file.open("rb") as source:
                left = self._size
                while left and (chunk := await asyncio.to_thread(source.read, min(CHUNK, left))):
                    left -= len(chunk)
                    yield chunk
            if left:
                raise OSError("the file became shorter")
        # From here on the last bytes are with the network, and the axis may have the packet.
        self.handed_over = True
        yield rest


def _check_status(status: int) -> None:
    if status >= 500 or status in _RETRY_LATER or status in _NOT_US or 300 <= status < 400:
        raise AxisUnavailable(f"http-{status}")
    if status >= 400:
        raise AxisRefused(f"http-{status}")


async def _read_bounded(answer: Answer, limit: int) -> bytes:
    try:
        return await answer.read(limit)
    except AnswerTooLarge:
        raise AxisUnavailable("reply-too-large") from None


async def _download(answer: Answer, into: Path, limit: int) -> int:
    total, envelope, said = 0, False, b""
    target = into.open("xb")
    try:
        with target:
            async for chunk in answer.chunks():
                if not total:
                    envelope = chunk.lstrip()[:1] == b"{"
                total += len(chunk)
                if envelope:
                    # Business errors come with HTTP 200 and an envelope where the file should be.
                    said += chunk
                    if total > 1 << 20:
                        raise AxisUnavailable("reply-too-large")
                    continue
                if total > limit:
                    raise AxisRefused("packet-too-large")
                await asyncio.to_thread(target.write, chunk)
        if envelope:
            _envelope(said)
            raise AxisUnavailable("not-a-packet")
    except BaseException:
        into.unlink(missing_ok=True)
        raise
    if not total:
        into.unlink(missing_ok=True)
        raise AxisUnavailable("empty-packet")
    return total


def _envelope(body: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise AxisUnavailable("not-json") from None
    if not isinstance(answer, dict):
        raise AxisUnavailable("not-json")
    answer = {str(name).lower(): value for name, value in answer.items()}
    code = _text(answer, "errorcode")
    status = _text(answer, "status").upper()
    if not (code or status):
        raise AxisUnavailable("not-an-envelope")
    if code not in {"", "0"} or (code != "0" and status not in {"OK", "SUCCESS"}):
        # Its code goes to people's notices and the operator's screen.
        raise AxisRefused(unmarked(code)[:40] or "fail", _text(answer, "errordesc")[:500])
    return answer


def _rows(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = answer.get("data")
    rows = data if isinstance(data, list) else []
    return [{str(name).lower(): value for name, value in row.items()} for row in rows if isinstance(row, dict)]


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    # PostgreSQL takes no NUL, and what cannot be written down would be sent, or fetched, again and again.
    return "" if value == "null" else str(value).replace("\0", "")


def _is_usable(doc_id: str) -> bool:
    """Whether the id can go back in a header; one that cannot was made to do harm, and can be fetched by nobody."""
    return 0 < len(doc_id) <= 200 and doc_id.isascii() and doc_id.isprintable()


def _agencies(synchronised: bytes, by_level: bytes) -> list[Agency]:
    units = {_text(row, "code"): row for row in _rows(_envelope(synchronised))}
    listed = {_text(row, "code"): row for row in _rows(_envelope(by_level))}
    return [_agency(code, {**units.get(code, {}), **listed.get(code, {})}) for code in units | listed if code]


def _agency(code: str, row: Mapping[str, Any]) -> Agency:
    old = _text(row, "code102") or _text(row, "oldcode")
    return Agency(
        code=code,
        name=_text(row, "name"),
        old_code="" if old == code else old,
        unit_id=_text(row, "id"),
        parent_id=_text(row, "pid"),
        mail=_text(row, "mail"),
        closed=row.get("deleted") in (True, 1, "1", "true"),
    )
