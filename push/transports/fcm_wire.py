"""FCM HTTP v1 at full speed: firebase-admin's messages, credentials and error classes over a wire of our own.

The SDK builds and checks one message of each shape; the same bytes then carry every device of a broadcast, with address
and notice id put in place. No answer is repeated in here: the owner of the outbox has the schedule.
"""

import asyncio
import json
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from firebase_admin import exceptions, messaging

from push.model import Address, AddressKind, Lane
from push.outcome import Delivered, Misconfigured, Outcome, Rejected, RetryAfter, RetryCause, SenderProof
from push.payload import Payload, PayloadTooLargeError, check_size
from push.transports.fcm import Bearer, TransportUnavailableError, fcm_code_of, judge, message_of, open_account
from push.transports.http import Answer, HttpClient, NoAnswerError, origin_of

__all__ = ["FcmWireTransport", "MessageWriter", "open_lanes"]

_GOOGLE = "https://fcm.googleapis.com"
_SHAPES = 64
_OPAQUE = re.compile(r"[A-Za-z0-9_-]+")
# Neither can be part of a real value: addresses and ids have no control characters. JSON writes them as in `_PLACES`.
_ADDRESS, _ID = "\x01address", "\x01id"
_PLACES = {r"\u0001address": 0, r"\u0001id": 1}
_CUTS = re.compile(r"(\\u0001address|\\u0001id)")
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
_ERRORS = {
    "UNREGISTERED": messaging.UnregisteredError,
    "SENDER_ID_MISMATCH": messaging.SenderIdMismatchError,
    "THIRD_PARTY_AUTH_ERROR": messaging.ThirdPartyAuthError,
    "APNS_AUTH_ERROR": messaging.ThirdPartyAuthError,
    "QUOTA_EXCEEDED": messaging.QuotaExceededError,
}


async def open_lanes(
    service_account: Path | Mapping[str, Any], *, base_url: str | None, timeout_s: float
) -> dict[Lane, "FcmWireTransport"]:
    """See `push.transports.open_fcm`."""
    bearer, project_id = await open_account(service_account)
    try:
        # Reading the authorities takes 20 ms and more.
        origin = await asyncio.to_thread(origin_of, base_url or _GOOGLE)
    except (OSError, ValueError) as error:
        raise TransportUnavailableError(f"base URL, proxy or authorities do not fit ({type(error).__name__})") from None
    path = f"{urlsplit(base_url or _GOOGLE).path.rstrip('/')}/v1/projects/{project_id}/messages:send"
    return {
        lane: FcmWireTransport(HttpClient(origin, timeout_s=timeout_s), bearer, origin.authority, path) for lane in Lane
    }


class FcmWireTransport:
    """One lane: connections of its own. Belongs to the event loop that first sends with it."""

    def __init__(self, client: HttpClient, bearer: Bearer, authority: str, path: str) -> None:
        self._client = client
        self._bearer = bearer
        self._authority = authority
        self._path = path
        self._writer = MessageWriter()
        self._proof = SenderProof()
        self._token: str | None = None
        self._headers: tuple[tuple[str, str], ...] = ()

    async def check(self) -> RetryAfter | Misconfigured | None:
        """Whether an access token can be had, without sending: None if so, else what stands in the way."""
        return await self._bearer.ready()

    async def send(self, address: Address, payload: Payload) -> Outcome:
        """Send once; a refused access token is renewed and the message sent once more."""
        try:
            body = self._writer.write(address, payload)
        except PayloadTooLargeError as error:
            return Rejected(error.code)
        except ValueError:
            return Rejected("refused-by-sdk")
        for last_try in (False, True):
            if (fault := await self._bearer.ready()) is not None:
                return fault
            used = self._bearer.token
            try:
                answer = await self._client.post(self._path, self._headers_with(used), body)
            except NoAnswerError:
                return RetryAfter(RetryCause.UNREACHABLE)
            if answer.status_code == 200:
                return self._accepted(answer)
            failure = _failure(answer)
            ours = not isinstance(failure, messaging.ThirdPartyAuthError)  # else no access token of ours would help
            if isinstance(failure, exceptions.UnauthenticatedError) and ours and not last_try:
                self._bearer.distrust(used)
                continue
            return judge(failure, self._proof, time.time)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        await self._client.close()
        await self._bearer.settle()

    def _accepted(self, answer: Answer) -> Outcome:
        try:
            name = msgspec.json.decode(answer.content, type=dict[str, Any])["name"]
        except (msgspec.DecodeError, KeyError):
            name = None
        if not isinstance(name, str) or not name:
            return RetryAfter(RetryCause.UNREACHABLE)  # a portal's page: whether FCM saw the message is unknown
        self._proof.accepted()
        return Delivered(name)

    def _headers_with(self, token: Any) -> tuple[tuple[str, str], ...]:
        if token != self._token:
            # The token is another party's text and goes into a header.
            if not isinstance(token, str) or not _TOKEN.fullmatch(token):
                token = ""
            self._token = token
            self._headers = (
                ("host", self._authority),
                ("authorization", f"Bearer {token}"),
                ("content-type", "application/json"),
                ("x-goog-api-format-version", "2"),
            )
        return self._headers


class MessageWriter:
    """Request bodies. The SDK writes each shape of message once; later ones differ in address and notice id alone."""

    def __init__(self) -> None:
        self._shapes: OrderedDict[tuple[Any, ...], list[bytes | int]] = OrderedDict()

    def write(self, address: Address, payload: Payload) -> bytes:
        """The body of `messages:send`. Raises `PayloadTooLargeError`; ValueError where the SDK finds it malformed."""
        shape = _shape(address.kind, payload)
        parts = self._shapes.get(shape)
        if parts is None:
            # The length of the id is part of the shape, so what fits once fits always.
            check_size(payload)
            parts = self._shapes[shape] = _parts(address.kind, payload)
            if len(self._shapes) > _SHAPES:
                self._shapes.popitem(last=False)
        # JSON's encoder knows what to do with quotes and backslashes; an id has none, or it is part of the shape.
        texts = (msgspec.json.encode(address.value)[1:-1], payload.data.get("id", "").encode())
        return b"".join([part if isinstance(part, bytes) else texts[part] for part in parts])


def _shape(kind: AddressKind, payload: Payload) -> tuple[Any, ...]:
    """All of a payload but the notice id; where that is not opaque (never, from `payload.build`), that too."""
    data = payload.data
    notice_id = data.get("id", "")
    key = len(notice_id) if _OPAQUE.fullmatch(notice_id) else notice_id
    tag = True if payload.tag == notice_id else payload.tag
    others = tuple([pair for pair in data.items() if pair[0] != "id"])
    texts = (
        payload.title,
        payload.body,
        payload.title_key,
        payload.body_key,
        payload.channel,
        payload.collapse_id,
        payload.silent,
    )
    return (kind, key, tag, others, texts, payload.urgency, payload.ttl_s, payload.expires_s)


def _parts(kind: AddressKind, payload: Payload) -> list[bytes | int]:
    """The SDK's JSON, cut where the address (0) and the notice id (1) stand."""
    notice_id = payload.data.get("id", "")
    if _OPAQUE.fullmatch(notice_id):
        tag = _ID if payload.tag == notice_id else payload.tag
        payload = msgspec.structs.replace(payload, data={**payload.data, "id": _ID}, tag=tag)
    # Set past the check of real addresses, which have no control character.
    message = message_of(Address(kind=kind, value="address"), payload)
    setattr(message, kind.value, _ADDRESS)
    encoded = json.dumps({"message": json.loads(str(message))}, ensure_ascii=False, separators=(",", ":"))
    cut = _CUTS.split(encoded)
    return [_PLACES[part] if part in _PLACES else part.encode() for part in cut]


def _failure(answer: Answer) -> exceptions.FirebaseError:
    """The SDK's class for an answer: by FcmError's code, else by the HTTP status (the SDK's own order)."""
    code = fcm_code_of(answer)
    if code in _ERRORS:
        return _ERRORS[code]("refused", http_response=answer)
    if answer.status_code == 401:
        return exceptions.UnauthenticatedError("refused", http_response=answer)
    return exceptions.UnknownError("refused", http_response=answer)
