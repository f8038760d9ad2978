"""FCM HTTP v1 through firebase-admin: its messages, its token, what its answers mean, and its own wire for reference.

Import it late (`push.transports.open_fcm` does): the SDK costs 0.4 s and 10 MB, 16 MB with two lanes sending.
The SDK's traps that this file exists for: a broken answer loses a whole batch (so one message a call); a revoked token
makes every send refresh it, blocking the loop (so the token is renewed once, ahead of time, in a thread); the
120-second default time-out; the client belongs to the loop that used it first; `delete_app` fails inside a loop.
"""

import asyncio
import datetime as dt
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import firebase_admin
from firebase_admin import credentials, exceptions, messaging
from google.auth import credentials as google_credentials
from google.auth import exceptions as google_exceptions
from google.auth.transport import requests as google_requests

from push.model import Address, AddressKind, Lane, PushError, new_notice_id
from push.outcome import (
    Delivered,
    Misconfigured,
    Outcome,
    Rejected,
    RetryAfter,
    RetryCause,
    Scope,
    SenderProof,
    TokenDead,
    parse_retry_after,
)
from push.payload import Payload, PayloadTooLargeError, apns_payload, check_size

__all__ = [
    "Bearer",
    "FcmTransport",
    "TransportUnavailableError",
    "fcm_code_of",
    "judge",
    "message_of",
    "open_account",
    "open_lanes",
]

_RENEW_BEFORE_S = 600.0
_RENEWAL_PAUSE_S = 5.0
_TOKEN_TIMEOUT_S = 10.0
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_ADDRESS_FIELDS = frozenset({"message.token", "message.fid"})


class TransportUnavailableError(PushError):
    """The credentials cannot be read, or the SDK is not the one that this file was written for."""

    code = "push-transport-unavailable"


async def open_lanes(
    service_account: Path | Mapping[str, Any], *, base_url: str | None, timeout_s: float
) -> dict[Lane, "FcmTransport"]:
    """The stock wire, for reference: see `push.transports.open_fcm`."""
    bearer, project_id = await open_account(service_account)
    lanes: dict[Lane, FcmTransport] = {}
    for lane in Lane:
        app = await asyncio.to_thread(_start_app, bearer, project_id, timeout_s, base_url)
        lanes[lane] = FcmTransport(app, bearer, deadline_s=3 * timeout_s)
    return lanes


async def open_account(service_account: Path | Mapping[str, Any]) -> tuple["Bearer", str]:
    """A service account's access token and its project. Raises `TransportUnavailableError`."""
    try:
        source = str(service_account) if isinstance(service_account, Path) else dict(service_account)
        certificate = await asyncio.to_thread(credentials.Certificate, source)
    except (OSError, ValueError) as error:
        # The library's text may quote the key file; only the kind of fault is passed on.
        raise TransportUnavailableError(f"the FCM service account cannot be read ({type(error).__name__})") from None
    return Bearer(certificate.get_credential()), certificate.project_id


class FcmTransport:
    """One FCM client: an app with connections of its own. Belongs to the event loop that first sends with it."""

    def __init__(self, app: Any, bearer: "Bearer", *, deadline_s: float) -> None:
        self._app = app
        self._bearer = bearer
        self._deadline_s = deadline_s
        self._proof = SenderProof()
        self._closed = False

    async def check(self) -> RetryAfter | Misconfigured | None:
        """Whether an access token can be had, without sending: None if so, else what stands in the way."""
        return await self._bearer.ready()

    async def send(self, address: Address, payload: Payload) -> Outcome:
        """Send once. The SDK itself repeats 500 and 503 up to four times within seven seconds."""
        try:
            check_size(payload)
            message = message_of(address, payload)
        except PayloadTooLargeError as error:
            return Rejected(error.code)
        except ValueError:
            return Rejected("refused-by-sdk")
        try:
            # The SDK's time-out bounds each phase of each of its attempts; this one bounds the whole call.
            async with asyncio.timeout(self._deadline_s):
                return await self._send_renewing(message)
        except TimeoutError:
            return RetryAfter(RetryCause.UNREACHABLE)

    async def _send_renewing(self, message: Any) -> Outcome:
        for last_try in (False, True):
            if (fault := await self._bearer.ready()) is not None:
                return fault
            used = self._bearer.token
            error = await self._send_once(message)
            if isinstance(error, Delivered):
                self._proof.accepted()
                return error
            if (
                fcm_code_of(error.http_response) is None
                and isinstance(error, exceptions.UnauthenticatedError)
                and not last_try
            ):
                self._bearer.distrust(used)
                continue
            return judge(error, self._proof, time.time)
        raise AssertionError("unreachable")

    async def _send_once(self, message: Any) -> "Delivered | exceptions.FirebaseError":
        try:
            batch = await messaging.send_each_async([message], dry_run=False, app=self._app)
        except exceptions.FirebaseError as error:
            return error
        answer = batch.responses[0]
        if answer.exception is not None:
            return answer.exception
        return Delivered(answer.message_id) if answer.message_id else exceptions.UnknownError("no message id")

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await _close_client(self._app)
        # Outside the loop's thread, because the SDK runs a loop of its own in here.
        await asyncio.to_thread(firebase_admin.delete_app, self._app)
        await self._bearer.settle()


class Bearer(google_credentials.Credentials):
    """The access token as the SDK asks for it, which never does network work where the SDK asks.

    The SDK calls `before_request` and, after a 401, `refresh` inside the event loop; both return at once here. Renewal
    is one task for all lanes, running the blocking library in a thread, started ten minutes before the token ends.
    """

    def __init__(self, account: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library is half typed
        self._account = account
        self._good_until = 0.0
        self._renewal: asyncio.Task[RetryAfter | Misconfigured | None] | None = None
        self._failed_until = 0.0
        self._failure: RetryAfter | Misconfigured | None = None

    def before_request(self, _request: Any, _method: str, _url: str, headers: Any) -> None:
        headers["authorization"] = f"Bearer {self.token}"

    def refresh(self, _request: Any) -> None:
        """Called by the SDK after a 401, once per message. `FcmTransport` renews instead, once for all."""

    async def ready(self) -> RetryAfter | Misconfigured | None:
        """None once a token is at hand, else why there is none."""
        now = time.monotonic()
        if now >= self._good_until:
            return await asyncio.shield(self._renew())
        if now >= self._good_until - _RENEW_BEFORE_S:
            self._renew()
        return None

    def distrust(self, token: str | None) -> None:
        """The service refused `token`: get another, unless that has happened already."""
        if token == self.token:
            self._good_until = 0.0

    async def settle(self) -> None:
        if self._renewal is not None:
            await asyncio.wait({self._renewal})

    def _renew(self) -> "asyncio.Future[RetryAfter | Misconfigured | None]":
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew_once())
        return self._renewal

    async def _renew_once(self) -> RetryAfter | Misconfigured | None:
        if self._failure is not None and time.monotonic() < self._failed_until:
            return self._failure
        try:
            await asyncio.to_thread(self._account.refresh, _bounded_request())
        except google_exceptions.RefreshError as error:
            retryable = bool(getattr(error, "retryable", False))
            self._failure = RetryAfter(RetryCause.UNAVAILABLE) if retryable else Misconfigured("credentials-refused")
        except Exception:
            # Transport faults, and whatever a token endpoint that answers nonsense raises inside the library.
            self._failure = RetryAfter(RetryCause.UNREACHABLE)
        else:
            self._failure = None
            self.token = self._account.token
            self._good_until = time.monotonic() + _seconds_left(self._account.expiry)
            return None
        self._failed_until = time.monotonic() + _RENEWAL_PAUSE_S
        return self._failure


def _bounded_request() -> Callable[..., Any]:
    request = google_requests.Request()

    def call(*args: Any, **kwargs: Any) -> Any:
        return request(*args, **{**kwargs, "timeout": _TOKEN_TIMEOUT_S})

    return call


def _seconds_left(expiry: dt.datetime) -> float:
    # google-auth keeps naive UTC.
    return (expiry.replace(tzinfo=dt.UTC) - dt.datetime.now(dt.UTC)).total_seconds()


def _start_app(bearer: Bearer, project_id: str, timeout_s: float, base_url: str | None) -> Any:
    """An app whose messaging service exists already. Runs in a thread: its TLS contexts take 50 ms and more."""
    name = f"push-{new_notice_id(secrets.token_bytes)}"
    app = firebase_admin.initialize_app(bearer, {"projectId": project_id, "httpTimeout": timeout_s}, name=name)
    # An empty batch makes the service and sends nothing, so it does not bind the client to this short loop.
    asyncio.run(messaging.send_each_async([], dry_run=False, app=app))
    if base_url is not None:
        _send_to(app, base_url, project_id)
    return app


def _send_to(app: Any, base_url: str, project_id: str) -> None:
    """Point an app at another host than Google's. The SDK has no public way, so private names are used, here only."""
    find_service = getattr(messaging, "_get_messaging_service", None)
    service: Any = find_service(app) if find_service is not None else None
    if not hasattr(service, "_fcm_url") or not hasattr(service, "_fcm_topic_url"):
        raise TransportUnavailableError(
            f"firebase-admin {firebase_admin.__version__} has no place for another base URL"
        )
    root = f"{base_url.rstrip('/')}/v1/projects/{project_id}"
    service._fcm_url = f"{root}/messages:send"  # noqa: SLF001  # see above
    service._fcm_topic_url = f"{root}/registrations"  # noqa: SLF001  # see above


async def _close_client(app: Any) -> None:
    """Close the app's connections in the loop that they belong to; `delete_app` would do it from a foreign one.

    Without the private names the connections are left to `delete_app`.
    """
    find_service = getattr(messaging, "_get_messaging_service", None)
    client = getattr(find_service(app), "_async_client", None) if find_service is not None else None
    if client is not None:
        await client.aclose()


def message_of(address: Address, payload: Payload) -> Any:
    """The SDK's message. Raises ValueError where the SDK finds it malformed."""
    headers = {
        "apns-priority": "10" if payload.wakes else "5",
        "apns-expiration": str(payload.expires_s),
        "apns-push-type": "background" if payload.silent else "alert",
    }
    if payload.collapse_id is not None:
        headers["apns-collapse-id"] = payload.collapse_id
    apns = apns_payload(payload)
    aps = apns.pop("aps")
    message = messaging.Message(
        data=payload.data,
        android=messaging.AndroidConfig(
            priority="high" if payload.wakes else "normal",
            ttl=dt.timedelta(seconds=payload.ttl_s),
            collapse_key=payload.collapse_id,
            notification=None if payload.silent else _android_notification(payload),
        ),
        apns=messaging.APNSConfig(headers=headers, payload=messaging.APNSPayload(_aps(aps), **apns)),
    )
    # Set afterwards, because the constructor warns of tokens, which older apps have and FCM still serves.
    if address.kind is AddressKind.FID:
        message.fid = address.value
    else:
        message.token = address.value
    return message


def _android_notification(payload: Payload) -> Any:
    return messaging.AndroidNotification(
        title=payload.title,
        body=payload.body,
        title_loc_key=payload.title_key,
        body_loc_key=payload.body_key,
        tag=payload.tag,
        channel_id=payload.channel,
        visibility="private",
    )


def _aps(aps: Any) -> Any:
    if "alert" not in aps:
        return messaging.Aps(content_available=True)
    alert = aps["alert"]
    return messaging.Aps(
        alert=messaging.ApsAlert(
            title=alert["title"],
            body=alert["body"],
            title_loc_key=alert["title-loc-key"],
            loc_key=alert["loc-key"],
        ),
        mutable_content=True,
        thread_id=aps["thread-id"],
        sound=aps.get("sound"),
        # The SDK has no field for it.
        custom_data={"interruption-level": aps["interruption-level"]},
    )


def judge(error: Any, proof: SenderProof, now_s: Callable[[], float]) -> Outcome:
    """The outcome of a failed send: FcmError's code where there is one, else the HTTP status, else unknown."""
    response = error.http_response
    if response is None:
        return RetryAfter(RetryCause.UNREACHABLE)
    code, status = fcm_code_of(response), response.status_code
    retry_after = parse_retry_after(response.headers.get("retry-after"), now_s())
    match code:
        case "UNREGISTERED":
            return TokenDead("unregistered")
        case "SENDER_ID_MISMATCH":
            return proof.mismatch()
        case "THIRD_PARTY_AUTH_ERROR" | "APNS_AUTH_ERROR":
            return Misconfigured("third-party-key-refused", Scope.PLATFORM)
        case "QUOTA_EXCEEDED":
            return RetryAfter(RetryCause.QUOTA, retry_after)
        case _:
            pass
    if status == 400:
        return TokenDead("invalid-token") if _names_the_address(error) else Rejected("invalid-argument")
    if status == 413:
        return Rejected("payload-too-large")
    if status == 429:
        return RetryAfter(RetryCause.QUOTA, retry_after)
    if status in {401, 403, 404}:
        return Misconfigured({401: "unauthenticated", 403: "permission-denied", 404: "project-not-found"}[status])
    if status >= 500:
        return RetryAfter(RetryCause.UNAVAILABLE, retry_after)
    # A redirect or another answer that FCM never gives comes from something between: the push may be tried again.
    return RetryAfter(RetryCause.UNREACHABLE, retry_after)


def _details(response: Any) -> list[dict[str, Any]]:
    """An answer's error details, or nothing where the answer is not FCM's shape (a proxy's page, hostile input)."""
    try:
        body = response.json()
        details = body["error"]["details"]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return []
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def fcm_code_of(response: Any) -> str | None:
    """FcmError's code in an answer (httpx's, requests' or ours), None where it has none."""
    for detail in _details(response):
        if detail.get("@type") == _FCM_ERROR and isinstance(detail.get("errorCode"), str):
            return str(detail["errorCode"])
    return None


def _names_the_address(error: Any) -> bool:
    """Whether a 400 blames the address and nothing else. When unsure it does not: pruning cannot be undone."""
    if fcm_code_of(error.http_response) != "INVALID_ARGUMENT":
        return False
    violations: list[Any] = []
    for detail in _details(error.http_response):
        if detail.get("@type") == _BAD_REQUEST:
            found = detail.get("fieldViolations")
            violations.extend(found if isinstance(found, list) else [None])
    if violations:
        return all(isinstance(item, dict) and item.get("field") in _ADDRESS_FIELDS for item in violations)
    try:
        message = error.http_response.json()["error"]["message"]
    except (KeyError, TypeError, ValueError):
        return False
    return isinstance(message, str) and "registration token" in message
