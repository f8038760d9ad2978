"""Values that a push is made of. None of them can carry content: every text field is an opaque token."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from enum import StrEnum

import msgspec

__all__ = [
    "Address",
    "AddressKind",
    "InvalidNoticeError",
    "Lane",
    "Language",
    "Notice",
    "PushError",
    "Urgency",
    "collapse_id",
    "new_notice_id",
]

_OPAQUE_ID = re.compile(r"[A-Za-z0-9_-]{22,64}")
# 32 base64url characters is Web Push's `Topic` (RFC 8030, 5.4), the narrowest of the three services.
_COLLAPSE_ID = re.compile(r"[A-Za-z0-9_-]{16,32}")
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_MAX_REVISION = 2**31 - 1


class PushError(Exception):
    """Base of this package's errors. `code` is stable and kebab-case; messages never hold an address."""

    code = "push-error"


class InvalidNoticeError(PushError, ValueError):
    """A notice or address holds something that is not opaque, or is out of range."""

    code = "invalid-notice"


class AddressKind(StrEnum):
    """What an address is. FCM addresses are Firebase installation ids since SDK 7; tokens are still served.

    A Web Push (or UnifiedPush) address is the subscription's JSON, `push.subscription.Subscription`. A phone number is
    E.164 (`+84…`), an e-mail address one mailbox.
    """

    FID = "fid"
    TOKEN = "token"  # noqa: S105  # the field's name on the wire, no secret
    SUBSCRIPTION = "subscription"
    PHONE = "phone"
    EMAIL = "email"


class Lane(StrEnum):
    """Which workers, connections and budgets carry a push. The letter is what stands in the payload."""

    URGENT = "u"
    NORMAL = "n"
    BULK = "b"


class Urgency(StrEnum):
    """How a push may interrupt its person (the interruption levels of Apple's UserNotifications, the part in use)."""

    PASSIVE = "passive"
    ACTIVE = "active"
    TIME_SENSITIVE = "time-sensitive"


class Language(StrEnum):
    """Language of the neutral text shown when the app could not fetch the notice."""

    VIETNAMESE = "vi"
    ENGLISH = "en"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where one device is reached. The value is a bearer secret of the device, so `repr` shows a fingerprint only."""

    kind: AddressKind
    value: str

    def __post_init__(self) -> None:
        # No white space and no control characters: the value becomes part of a JSON body and of log-free look-ups.
        if not 1 <= len(self.value) <= 4096 or not self.value.isascii() or not self.value.isprintable():
            raise InvalidNoticeError("an address is 1 to 4096 printable ASCII characters")
        if " " in self.value:
            raise InvalidNoticeError("an address holds no space")

    @property
    def fingerprint(self) -> str:
        """First 8 hex digits of SHA-256 of the value: enough to follow one device through a log."""
        return hashlib.sha256(self.value.encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Address({self.kind}, #{self.fingerprint})"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """All that may leave for a push service (threat C12).

    `notice_id` is random and says nothing of order or subject; a time-ordered id (UUIDv7) must not be used.
    `collapse_id` is set only where a later revision makes an earlier push useless (a rescheduled meeting):
    an Android device keeps at most four collapse keys while offline, so giving one to each document would lose pushes.
    `expires_us` is when the notice becomes useless, in microseconds UTC. `key_id` names the device key that an
    encrypted text would be sealed to.

    Raises `InvalidNoticeError` where a field is not opaque or out of range.
    """

    notice_id: str
    lane: Lane
    urgency: Urgency
    expires_us: int
    revision: int = 1
    collapse_id: str | None = None
    key_id: str | None = None

    def __post_init__(self) -> None:
        if not _OPAQUE_ID.fullmatch(self.notice_id):
            raise InvalidNoticeError("notice_id is 22 to 64 base64url characters")
        if self.collapse_id is not None and not _COLLAPSE_ID.fullmatch(self.collapse_id):
            raise InvalidNoticeError("collapse_id is 16 to 32 base64url characters")
        if self.key_id is not None and not _KEY_ID.fullmatch(self.key_id):
            raise InvalidNoticeError("key_id is 1 to 32 base64url characters")
        if not 0 <= self.revision <= _MAX_REVISION:
            raise InvalidNoticeError("revision is a non-negative 31-bit number")
        if not 0 < self.expires_us < 2**62:
            raise InvalidNoticeError("expires_us is a time in microseconds")
        if self.urgency is Urgency.TIME_SENSITIVE and self.lane is not Lane.URGENT:
            # A broadcast of waking pushes would make Android lower the app's priority, and the next urgent one waits.
            raise InvalidNoticeError("a time-sensitive notice travels in the urgent lane")


def new_notice_id(random_bytes: Callable[[int], bytes]) -> str:
    """A fresh opaque id of 128 random bits, 22 base64url characters; `random_bytes` is `secrets.token_bytes`."""
    return base64.urlsafe_b64encode(random_bytes(16)).rstrip(b"=").decode()


def collapse_id(key: bytes, subject: str) -> str:
    """The collapse id of a subject (a meeting's id): HMAC-SHA-256 (RFC 2104) cut to 192 bits, 32 base64url characters.

    Keyed, so that who knows or guesses a subject cannot recognise it at the push service. `key` is 16 bytes or more.
    """
    if len(key) < 16:
        raise InvalidNoticeError("the collapse key is at least 16 bytes")
    return base64.urlsafe_b64encode(hmac.digest(key, subject.encode(), "sha256")[:24]).decode()
