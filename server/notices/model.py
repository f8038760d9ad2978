"""What a notice says, and for how long it is worth saying. Texts are shown by the app only, never sent through a push service."""

from enum import StrEnum

import msgspec

from push.model import Lane as PushLane
from push.model import Urgency
from server.jobs import Lane

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


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
    ARRIVED = "arrived"
    ARRIVAL_ASKED = "arrival_asked"
    RECALL_ANSWERED = "recall_answered"
    READDRESSED = "readdressed"
    SEND_FAILED = "send_failed"
    PACKET_PARKED = "packet_parked"
    SIGNER_REVOKED = "signer_revoked"
    STAMP_REVOKED = "stamp_revoked"
    DEADLINE_NEAR = "deadline_near"
    DEADLINE_MISSED = "deadline_missed"
    STANDING_IN = "standing_in"
    UNANSWERED = "unanswered"
    MEETING_INVITED = "meeting_invited"
    MEETING_CHANGED = "meeting_changed"
    MEETING_CANCELLED = "meeting_cancelled"
    MEETING_WITHDRAWN = "meeting_withdrawn"
    MEETING_PAPERS = "meeting_papers"
    MEETING_PAPER_REPLACED = "meeting_paper_replaced"
    MEETING_REMINDER = "meeting_reminder"
    MEETING_ANSWERED = "meeting_answered"
    TO_DIRECT = "to_direct"
    DIRECTED = "directed"
    DIRECTIVE_CHANGED = "directive_changed"
    DIRECTIVE_WITHDRAWN = "directive_withdrawn"
    DIRECTIVE_REPORTED = "directive_reported"
    DIRECTIVE_COMPLETED = "directive_completed"
    DIRECTIVE_NEAR = "directive_near"
    DIRECTIVE_LATE = "directive_late"
    DOSSIER_UNHANDLED = "dossier_unhandled"
    ANNOUNCED = "announced"
    DOCUMENT_IDLE = "document_idle"
    DOCUMENT_OVERDUE = "document_overdue"
    IDLE_BELOW = "idle_below"
    OVERDUE_BELOW = "overdue_below"
    MORNING_DIGEST = "morning_digest"


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
    NoticeKind.ARRIVED: ("Văn bản đến mới", "A document has arrived"),
    NoticeKind.ARRIVAL_ASKED: ("Nơi gửi yêu cầu về văn bản đến", "A sender asks something about its document"),
    NoticeKind.RECALL_ANSWERED: ("Nơi nhận trả lời yêu cầu thu hồi", "A receiver answered the recall"),
    NoticeKind.READDRESSED: ("Nơi nhận đã sáp nhập, văn bản gửi cho nơi kế thừa", "A receiver was merged; the document goes to its successor"),
    NoticeKind.SEND_FAILED: ("Không gửi được qua trục liên thông", "Could not be sent over the exchange"),
    NoticeKind.PACKET_PARKED: ("Gói tin đến không tiếp nhận được", "A packet that came could not be taken in"),
    NoticeKind.SIGNER_REVOKED: ("Chứng thư của người ký đã bị thu hồi trước khi ký", "A signer's certificate was revoked before it signed"),
    NoticeKind.STAMP_REVOKED: ("Chứng thư cấp dấu thời gian của chữ ký đã bị thu hồi", "The certificate behind a signature's time stamp was revoked"),
    NoticeKind.DEADLINE_NEAR: ("Sắp hết hạn theo quy định", "A deadline of the rules is near"),
    NoticeKind.DEADLINE_MISSED: ("Đã quá hạn theo quy định", "A deadline of the rules was missed"),
    NoticeKind.STANDING_IN: ("Thông báo khẩn chưa có người xác nhận", "An urgent notice waits for somebody to acknowledge it"),
    NoticeKind.UNANSWERED: ("Không ai xác nhận thông báo khẩn", "Nobody acknowledged an urgent notice"),
    NoticeKind.MEETING_INVITED: ("Giấy mời họp", "You are invited to a meeting"),
    NoticeKind.MEETING_CHANGED: ("Cuộc họp có thay đổi", "A meeting was changed"),
    NoticeKind.MEETING_CANCELLED: ("Cuộc họp đã hủy", "A meeting was cancelled"),
    NoticeKind.MEETING_WITHDRAWN: ("Bạn không còn trong thành phần họp", "You are no longer invited to a meeting"),
    NoticeKind.MEETING_PAPERS: ("Tài liệu họp mới", "New papers for a meeting"),
    NoticeKind.MEETING_PAPER_REPLACED: ("Tài liệu họp đã thay bằng bản mới", "A paper of a meeting was replaced"),
    NoticeKind.MEETING_REMINDER: ("Cuộc họp chờ trả lời", "A meeting waits for your answer"),
    NoticeKind.MEETING_ANSWERED: ("Có trả lời giấy mời họp", "An invitation was answered"),
    NoticeKind.TO_DIRECT: ("Văn bản đến chờ ý kiến chỉ đạo", "An arrival waits for your direction"),
    NoticeKind.DIRECTED: ("Ý kiến chỉ đạo mới", "You were directed to handle a document"),
    NoticeKind.DIRECTIVE_CHANGED: ("Ý kiến chỉ đạo có thay đổi", "A direction was changed"),
    NoticeKind.DIRECTIVE_WITHDRAWN: ("Ý kiến chỉ đạo đã rút", "A direction was withdrawn"),
    NoticeKind.DIRECTIVE_REPORTED: ("Có báo cáo tiến độ", "Progress was reported"),
    NoticeKind.DIRECTIVE_COMPLETED: ("Công việc đã hoàn thành", "A direction was completed"),
    NoticeKind.DIRECTIVE_NEAR: ("Công việc sắp đến hạn xử lý", "The deadline of a direction is near"),
    NoticeKind.DIRECTIVE_LATE: ("Công việc quá hạn xử lý", "The deadline of a direction has passed"),
    NoticeKind.DOCUMENT_IDLE: ("Văn bản chờ bạn đã lâu", "A document has waited for you too long"),
    NoticeKind.DOCUMENT_OVERDUE: ("Văn bản đã quá hạn xử lý", "A document is past its deadline"),
    NoticeKind.IDLE_BELOW: ("Văn bản chậm xử lý", "A document stands still"),
    NoticeKind.OVERDUE_BELOW: ("Văn bản quá hạn trong cơ quan", "A document of your agency is past its deadline"),
    NoticeKind.MORNING_DIGEST: ("Tổng hợp đầu ngày", "This morning's overview"),
    NoticeKind.DOSSIER_UNHANDLED: ("Hồ sơ một cửa chưa có người xử lý", "Nobody handles a dossier of the one-stop office"),
    NoticeKind.ANNOUNCED: ("Thông báo", "Announcement"),
}  # fmt: skip

ESCALATES = frozenset(
    {
        NoticeKind.TO_SIGN,
        NoticeKind.TO_SEAL,
        NoticeKind.ARRIVED,
        NoticeKind.ARRIVAL_ASKED,
        NoticeKind.TO_DIRECT,
        NoticeKind.MEETING_INVITED,
        NoticeKind.MEETING_CHANGED,
        NoticeKind.MEETING_CANCELLED,
        NoticeKind.MEETING_REMINDER,
        NoticeKind.DIRECTED,
        NoticeKind.DIRECTIVE_CHANGED,
        NoticeKind.DIRECTIVE_LATE,
        NoticeKind.ANNOUNCED,
    }
)
"""Kinds that somebody has to acknowledge, where the organisation has a policy for their grade."""

URGENCIES: tuple[tuple[str, str], ...] = (
    ("Thường", "Normal"),
    ("Khẩn", "Urgent"),
    ("Thượng khẩn", "Very urgent"),
    ("Hỏa tốc", "Express"),
    ("Hỏa tốc hẹn giờ", "Express, timed"),
)


class NoticeState(StrEnum):
    """`open` is the only one that is still pushed. `settled`: what it asked for was done without it."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    SETTLED = "settled"


class DeliveryState(StrEnum):
    """What became of a delivery on its way to one device; `received`, `shown` and `read` are told by the device and have times of their own.

    `held` waits for the end of quiet hours or of a storm; `folded` stays in the inbox and is not pushed by itself (C13). `seen`: the open app
    said that it shows the notice before the push had left.
    """

    QUEUED = "queued"
    HELD = "held"
    FOLDED = "folded"
    ACCEPTED = "accepted"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    SEEN = "seen"
    DEAD = "dead"
    REJECTED = "rejected"
    NO_TRANSPORT = "no_transport"
    NO_ADDRESS = "no_address"


class Purpose(StrEnum):
    """`clear` takes a notification away from a device, because it was dealt with elsewhere."""

    NOTICE = "notice"
    CLEAR = "clear"


class DeviceEvent(StrEnum):
    """What only the device can tell; a push service's 200 is none of these."""

    RECEIVED = "received"
    SHOWN = "shown"
    READ = "read"


class NewNotice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that one person is to be told.

    `about` names its subject (`meeting:` or `order:` and 32 hexadecimal digits): a notice with a higher `revision` of it supersedes what this person
    was told before, sends in the queue included, and acknowledging one revision acknowledges no other. `expires_us` is when telling
    becomes useless (a meeting's start). `headline` (to 300 characters) is shown by the app after it has fetched the notice, and never leaves
    in a push. `urgency` is the grade 0 to 4; `lane` None is the grade's own. `sender` is the person who is told when nobody acknowledges.
    """

    organisation: str
    person: str
    kind: NoticeKind
    urgency: int
    about: str
    expires_us: int
    revision: int = 1
    headline: str = ""
    document: str | None = None
    lane: Lane | None = None
    sender: str | None = None


class Course(msgspec.Struct, frozen=True):
    """What became of what one person was told of one revision of a subject (NOT-4): first told, first on a device, first seen; µs UTC."""

    told_us: int
    received_us: int | None
    seen_us: int | None


class OwnSettings(msgspec.Struct, frozen=True):
    """A person's own. Quiet hours in minutes of the local day; `deputy` stands in whenever no absence names another."""

    quiet_from: int | None
    quiet_to: int | None
    deputy: str | None
    phone: str
    email: str
    meetings_by_mail: bool = False


class Deliver(msgspec.Struct, frozen=True):
    """Job `push.deliver`: one delivery, or some that one broadcast made together."""

    delivery: str = ""
    deliveries: tuple[str, ...] = ()


class Release(msgspec.Struct, frozen=True):
    """Job `notices.release`: what was held for a person, of hỏa tốc or of all else in the lane."""

    person: str
    lane: Lane
    express: bool = False


class Escalate(msgspec.Struct, frozen=True):
    """Job `notices.escalate`: the step at `position` of the chain that began with `notice`."""

    notice: str
    position: int


def lane_of(urgency: int) -> Lane:
    return Lane.URGENT if urgency >= 1 else Lane.NORMAL


PUSH_LANES = {Lane.URGENT: PushLane.URGENT, Lane.NORMAL: PushLane.NORMAL, Lane.BULK: PushLane.BULK}


def interruption_of(urgency: int, lane: Lane) -> Urgency:
    """Khẩn and above may break through (TIM-1); a broadcast never, or phones would lower the app's priority."""
    return Urgency.TIME_SENSITIVE if urgency >= 1 and lane is Lane.URGENT else Urgency.ACTIVE


_TO_DO = frozenset(
    {
        NoticeKind.TO_SIGN,
        NoticeKind.TO_SEAL,
        NoticeKind.ARRIVED,
        NoticeKind.ARRIVAL_ASKED,
        NoticeKind.SEND_FAILED,
        NoticeKind.PACKET_PARKED,
        NoticeKind.SIGNER_REVOKED,
        NoticeKind.STAMP_REVOKED,
        NoticeKind.DEADLINE_NEAR,
        NoticeKind.DEADLINE_MISSED,
        NoticeKind.TO_DIRECT,
        NoticeKind.DIRECTED,
        NoticeKind.DIRECTIVE_CHANGED,
        NoticeKind.DIRECTIVE_NEAR,
        NoticeKind.DIRECTIVE_LATE,
        NoticeKind.DOSSIER_UNHANDLED,
        NoticeKind.ANNOUNCED,
        NoticeKind.DOCUMENT_IDLE,
        NoticeKind.DOCUMENT_OVERDUE,
        NoticeKind.IDLE_BELOW,
        NoticeKind.OVERDUE_BELOW,
    }
)


def lifetime_us(kind: NoticeKind) -> int:
    """A notice of something to do is worth pushing for two weeks, one of something done for a day.

    Two, because a chain that waits in working time stands still over Tết, nine days with the weekends, and ends with its notice; and what
    waits for the end of days without work is still pushed then.
    """
    return 14 * DAY_US if kind in _TO_DO else DAY_US
