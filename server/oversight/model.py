"""What stands still and for how long: values, reasons, and how a morning's counts are said."""

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """`idle`: its handler was told that it is untouched; `idle_head`: the head was; `overdue`: its own deadline has passed; `digest`: a morning."""

    IDLE = "idle"
    IDLE_HEAD = "idle_head"
    OVERDUE = "overdue"
    DIGEST = "digest"


CLERKS, LEADERS, UNIT = "", "leaders", "unit"
"""Handlers that are no one person: an organisation's clerks, its leaders, or both (a direction that names the organisation)."""


class Held(msgspec.Struct, frozen=True):
    """What waits for a person. `what`: document, arrival or order (a direction); `key`: its subject, with the assignee's place where it is a direction;
    `handler`: a person's id or one of the groups above; `since_us`: since when it is there.
    """

    what: str
    id: str
    key: str
    urgency: int
    number: str
    handler: str
    since_us: int
    due_date: str | None


class Counts(msgspec.Struct, frozen=True):
    """What waits for a person: documents, arrivals, directions; those of them that nobody touched for as long as the rules allow, those past their deadline, and express notices
    that nobody acknowledged.
    """

    held: int
    idle: int
    overdue: int
    unanswered: int

    @property
    def headline(self) -> str:
        """For the app's list. A day on which nothing stands still has none to send."""
        return f"Chờ xử lý {self.held} · Chưa động đến {self.idle} · Quá hạn {self.overdue} · Chưa ai xác nhận {self.unanswered}"

    @property
    def nothing(self) -> bool:
        return not (self.held or self.idle or self.overdue or self.unanswered)


def about(reason: Reason, subject: str) -> str:
    """The subject of the notices: what handler and head are told of one document supersedes what they were told of it before."""
    return f"{'overdue' if reason is Reason.OVERDUE else 'idle'}:{subject}"
