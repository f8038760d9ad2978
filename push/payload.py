"""From a notice to what goes on the wire: pure functions, and no way in for content (threat C12).

The text that a device may show without having fetched the notice is one of four constants below; all else is opaque
tokens and numbers. A device wakes, authenticates, fetches the notice by its id and replaces the neutral text.
"""

from typing import Final

import msgspec

from push.model import Lane, Language, Notice, PushError, Urgency

__all__ = [
    "MAX_BYTES",
    "MAX_TTL_S",
    "NoticeExpiredError",
    "Payload",
    "PayloadTooLargeError",
    "activation",
    "apns_payload",
    "build",
    "check_size",
    "clearing",
]

MAX_BYTES: Final = 4096
"""Payload limit of FCM and of APNs alike."""
MAX_TTL_S: Final = 2_419_200
"""28 days, the longest that FCM keeps a message."""

_TITLE = "Hỏa Tốc"
_NEUTRAL: Final = {
    (Lane.URGENT, Language.VIETNAMESE): "Bạn có thông báo khẩn mới",
    (Lane.URGENT, Language.ENGLISH): "You have a new urgent notice",
    (Lane.NORMAL, Language.VIETNAMESE): "Bạn có thông báo mới",
    (Lane.NORMAL, Language.ENGLISH): "You have a new notice",
    (Lane.BULK, Language.VIETNAMESE): "Bạn có thông báo mới",
    (Lane.BULK, Language.ENGLISH): "You have a new notice",
}
_KEYS: Final = {Lane.URGENT: "notice_urgent", Lane.NORMAL: "notice_normal", Lane.BULK: "notice_normal"}


class NoticeExpiredError(PushError):
    """The notice is useless by now: it is not sent, and recorded so."""

    code = "notice-expired"


class PayloadTooLargeError(PushError):
    """Over 4,096 bytes. The service would answer 400, and the SDK does not look."""

    code = "payload-too-large"


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """One push, before any service's syntax. `data` holds strings only; `ttl_s` counts from when it was built.

    A `silent` one shows nothing: it takes a notification away.
    """

    data: dict[str, str]
    channel: str
    title_key: str
    body_key: str
    title: str
    body: str
    urgency: Urgency
    ttl_s: int
    expires_s: int
    tag: str
    collapse_id: str | None
    silent: bool = False

    @property
    def wakes(self) -> bool:
        """Whether the device is woken for it: Android priority `high`, apns-priority 10."""
        return self.urgency is Urgency.TIME_SENSITIVE


def build(notice: Notice, *, language: Language, now_us: int) -> Payload:
    """The payload of a notice at `now_us`. Build it at each attempt: what is left of its life shrinks.

    Raises `NoticeExpiredError`, `PayloadTooLargeError`.
    """
    left_s = (notice.expires_us - now_us) // 1_000_000
    if left_s <= 0:
        raise NoticeExpiredError("the notice is past its end")
    expires_s = notice.expires_us // 1_000_000
    data = {"id": notice.notice_id, "l": notice.lane.value, "x": str(expires_s), "r": str(notice.revision)}
    if notice.key_id is not None:
        data["k"] = notice.key_id
    key = _KEYS[notice.lane]
    payload = Payload(
        data=data,
        channel=key,
        title_key=f"{key}_title",
        body_key=f"{key}_body",
        title=_TITLE,
        body=_NEUTRAL[notice.lane, language],
        urgency=notice.urgency,
        ttl_s=min(left_s, MAX_TTL_S),
        expires_s=expires_s,
        # The tag replaces what the screen shows: the fetched text the neutral one, revision 2 revision 1.
        tag=notice.collapse_id or notice.notice_id,
        collapse_id=notice.collapse_id,
    )
    check_size(payload)
    return payload


def activation(challenge: str, *, language: Language, expires_us: int, now_us: int) -> Payload:
    """The first push to an address that a client named: it proves by giving `challenge` back that it receives there.

    `challenge` is opaque, 22 to 64 base64url characters. Raises `InvalidNoticeError`, `NoticeExpiredError`.
    """
    notice = Notice(notice_id=challenge, lane=Lane.NORMAL, urgency=Urgency.ACTIVE, expires_us=expires_us)
    built = build(notice, language=language, now_us=now_us)
    return msgspec.structs.replace(built, data={"c": challenge, "x": built.data["x"]}, tag="activation")


def clearing(notice: Notice, *, now_us: int) -> Payload:
    """Tells a device that a notice was dealt with elsewhere: the app takes its notification away (`g`, gone) and shows nothing.

    Only where the service knows silent pushes (FCM); browsers show something for every push. Raises `NoticeExpiredError`.
    """
    quiet = msgspec.structs.replace(notice, lane=Lane.NORMAL, urgency=Urgency.PASSIVE)
    built = build(quiet, language=Language.VIETNAMESE, now_us=now_us)
    return msgspec.structs.replace(built, data={**built.data, "g": "1"}, collapse_id=None, silent=True)


def apns_payload(payload: Payload) -> dict[str, object]:
    """The JSON that APNs gets. An alert that the app's service extension may rewrite; a background push only to take one away."""
    if payload.silent:
        return {"aps": {"content-available": 1}, **payload.data}
    return {
        "aps": {
            "alert": {
                "title": payload.title,
                "body": payload.body,
                "title-loc-key": payload.title_key,
                "loc-key": payload.body_key,
            },
            "mutable-content": 1,
            "thread-id": payload.channel,
            "interruption-level": payload.urgency.value,
            **({} if payload.urgency is Urgency.PASSIVE else {"sound": "default"}),
        },
        **payload.data,
    }


def check_size(payload: Payload) -> None:
    """Raise `PayloadTooLargeError` where FCM's or APNs' share of the message exceeds `MAX_BYTES`."""
    shown = [payload.title, payload.body, payload.title_key, payload.body_key, payload.tag, payload.channel]
    fcm = sum(len(text.encode()) for pair in payload.data.items() for text in pair)
    fcm += sum(len(text.encode()) for text in shown)
    apns = len(msgspec.json.encode(apns_payload(payload)))
    if max(fcm, apns) > MAX_BYTES:
        raise PayloadTooLargeError(f"{max(fcm, apns)} bytes exceed {MAX_BYTES}")
