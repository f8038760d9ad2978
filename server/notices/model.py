"""What a notice says, and for how long it is worth saying. Texts are shown by the app only, never sent through a push service."""

from enum import StrEnum

import msgspec

from push.model import Lane as PushLane
from push.model import Urgency
from server.jobs import Lane

HOUR_US = 3_600_000_000


class NoticeKind(StrEnum):
    TO_SIGN = "to_sign"
    TO_SEAL = "to_seal"
    SIGNED = "signed"
    SEALED = "sealed"
    FORWARDED = "forwarded"
    ACCEPTED = "accepted"
    RETURNED = "returned"
    REFUSED = "refused"
    RECALLED = "recalled"
    REPLACED = "replaced"


TITLES: dict[NoticeKind, tuple[str, str]] = {
    NoticeKind.TO_SIGN: ("Văn bản chờ ký", "A document waits for your signature"),
    NoticeKind.TO_SEAL: ("Văn bản chờ đóng dấu", "A document waits for the seal"),
    NoticeKind.SIGNED: ("Văn bản đã được ký", "The document was signed"),
    NoticeKind.SEALED: ("Văn bản đã đóng dấu", "The document was sealed"),
    NoticeKind.FORWARDED: ("Văn bản đã gửi lên trục liên thông", "The document was sent to the exchange"),
    NoticeKind.ACCEPTED: ("Nơi nhận đã tiếp nhận văn bản", "The receivers accepted the document"),
    NoticeKind.RETURNED: ("Văn bản bị trả lại", "The document was returned"),
    NoticeKind.REFUSED: ("Nơi nhận từ chối văn bản", "A receiver refused the document"),
    NoticeKind.RECALLED: ("Văn bản đã thu hồi", "The document was recalled"),
    NoticeKind.REPLACED: ("Văn bản đã được thay thế", "The document was replaced"),
}

URGENCIES: tuple[tuple[str, str], ...] = (
    ("Thường", "Normal"),
    ("Khẩn", "Urgent"),
    ("Thượng khẩn", "Very urgent"),
    ("Hỏa tốc", "Express"),
    ("Hỏa tốc hẹn giờ", "Express, timed"),
)


class DeviceEvent(StrEnum):
    """What only the device can tell; a push service's 200 is none of these."""

    RECEIVED = "received"
    SHOWN = "shown"
    READ = "read"


class Deliver(msgspec.Struct, frozen=True):
    """Job `push.deliver`."""

    delivery: str


def lane_of(urgency: int) -> Lane:
    return Lane.URGENT if urgency >= 1 else Lane.NORMAL


def push_lane_of(urgency: int) -> PushLane:
    return PushLane.URGENT if urgency >= 1 else PushLane.NORMAL


def interruption_of(urgency: int) -> Urgency:
    """Khẩn and above may break through (TIM-1)."""
    return Urgency.TIME_SENSITIVE if urgency >= 1 else Urgency.ACTIVE


def lifetime_us(kind: NoticeKind) -> int:
    """A notice of something to do is worth pushing for a week, one of something done for a day."""
    return (7 * 24 if kind in {NoticeKind.TO_SIGN, NoticeKind.TO_SEAL} else 24) * HOUR_US
