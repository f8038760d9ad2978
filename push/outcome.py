"""What became of one push: six outcomes, and what the owner of the outbox does with each.

A push service's 200 means "accepted by it", not "received": that is told by the device alone.
Reasons are words of ours, never text of the answer, because answers are hostile input.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum

import msgspec

__all__ = [
    "Delivered",
    "Misconfigured",
    "Outcome",
    "Rejected",
    "RetryAfter",
    "RetryCause",
    "Scope",
    "SenderProof",
    "TokenDead",
    "Withheld",
    "parse_retry_after",
]

_LONGEST_WAIT_S = 86_400.0


class RetryCause(StrEnum):
    """Why a push is to be tried again; the schedule differs."""

    QUOTA = "quota"  # told to slow down (429)
    UNAVAILABLE = "unavailable"  # the service answered that it cannot (5xx)
    UNREACHABLE = "unreachable"  # no answer, or one that is not the service's: a duplicate is possible


class Scope(StrEnum):
    """How much a fault of our configuration stops."""

    PROJECT = "project"  # every push of the lane
    PLATFORM = "platform"  # only devices behind a third party (an APNs or Web Push key)


class Delivered(msgspec.Struct, frozen=True, tag="delivered"):
    """Accepted by the push service under `message_id`. Not yet received, shown or read."""

    message_id: str


class TokenDead(msgspec.Struct, frozen=True, tag="token_dead"):
    """The address will never work again: prune it, audit that, try the person's other devices (threat C14)."""

    reason: str


class RetryAfter(msgspec.Struct, frozen=True, tag="retry_after"):
    """Try again. `seconds` is what the service asked for (0 to 86,400), None where it did not say."""

    cause: RetryCause
    seconds: float | None = None


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """Our payload is wrong: dead letter and alarm. The address is innocent and never pruned."""

    reason: str


class Misconfigured(msgspec.Struct, frozen=True, tag="misconfigured"):
    """Our credentials, project or URL are wrong: alarm, keep message and address."""

    reason: str
    scope: Scope = Scope.PROJECT


class Withheld(msgspec.Struct, frozen=True, tag="withheld"):
    """Not sent: `expired`, or `superseded` (the last look before the send said that it is no longer wanted)."""

    reason: str


Outcome = Delivered | TokenDead | RetryAfter | Rejected | Misconfigured | Withheld


def parse_retry_after(value: str | None, now_s: float) -> float | None:
    """Seconds asked for by a `Retry-After` header (RFC 9110, 10.2.3: delta or HTTP date), held to 0 to 86,400.

    None where the header is absent or makes no sense. The cap keeps a hostile answer from parking a message for years.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), _LONGEST_WAIT_S)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - now_s, 0.0), _LONGEST_WAIT_S)


class SenderProof:
    """Whether "address of another project" may prune.

    A single such answer means a foreign address. If all answers are such, it is we who hold the wrong project's
    credentials, and believing them would prune every device. So an address dies by it only after this sender has been
    accepted since its last `LIMIT` mismatches in a row.
    """

    LIMIT = 20

    def __init__(self) -> None:
        self._accepted = False
        self._in_a_row = 0

    def accepted(self) -> None:
        """The service accepted a message of this sender."""
        self._accepted = True
        self._in_a_row = 0

    def mismatch(self) -> TokenDead | Misconfigured:
        """The verdict on one mismatch answer."""
        self._in_a_row += 1
        if self._in_a_row > self.LIMIT:
            self._accepted = False
        if self._accepted:
            return TokenDead("sender-id-mismatch")
        return Misconfigured("sender-id-mismatch")
