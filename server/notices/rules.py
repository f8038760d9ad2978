"""An organisation's rules of telling people, as data: hours, days, caps, chains of escalation."""

from enum import StrEnum
from typing import Annotated

import msgspec

from server.jobs import Lane

Minute = Annotated[int, msgspec.Meta(ge=0, le=1440)]
"""A minute of the local day."""
PersonId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class Hours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From `start` to before `end`, in minutes of the local day; past midnight where the end is the smaller one."""

    start: Minute
    end: Minute


class Target(StrEnum):
    """Whom a step tells. `person`: the one that the notice is for. `sender`: whoever caused it, else the clerks."""

    PERSON = "person"
    DEPUTY = "deputy"
    DUTY_OFFICER = "duty_officer"
    SENDER = "sender"


class Channel(StrEnum):
    """`second` is SMS or, without a number, e-mail; `all` is push and second."""

    PUSH = "push"
    SECOND = "second"
    ALL = "all"


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`after_s`: how long the step before may stay without an acknowledgement."""

    after_s: Annotated[int, msgspec.Meta(ge=30, le=7 * 86_400)]
    target: Target
    channel: Channel


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chain for notices of grade `urgency` and above, up to the next policy's.

    `duty`: who is the duty officer, in order; empty: whoever has that role. With `working_time` waiting counts working hours alone.
    """

    urgency: Annotated[int, msgspec.Meta(ge=0, le=4)]
    steps: Annotated[tuple[Step, ...], msgspec.Meta(max_length=20)]
    duty: Annotated[tuple[PersonId, ...], msgspec.Meta(max_length=20)] = ()
    working_time: bool = False


EXPRESS = Policy(
    urgency=3,
    steps=(
        Step(after_s=300, target=Target.PERSON, channel=Channel.PUSH),
        Step(after_s=120, target=Target.PERSON, channel=Channel.SECOND),
        Step(after_s=180, target=Target.DEPUTY, channel=Channel.ALL),
        Step(after_s=300, target=Target.DUTY_OFFICER, channel=Channel.ALL),
        Step(after_s=300, target=Target.SENDER, channel=Channel.PUSH),
    ),
)
"""Hỏa tốc, where an organisation has said nothing else (NOT-4)."""


class Budget(StrEnum):
    """What is counted for each person and hour by itself (C13). Hỏa tốc has its own: a storm of khẩn leaves it a push. `second`: SMS and e-mail."""

    EXPRESS = "express"
    URGENT = "urgent"
    NORMAL = "normal"
    BULK = "bulk"
    SECOND = "second"


def budget_of(lane: Lane, urgency: int) -> Budget:
    return Budget.EXPRESS if lane is Lane.URGENT and urgency >= EXPRESS.urgency else Budget(lane.value)


class Caps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pushes a person and hour: of hỏa tốc, of khẩn and thượng khẩn, of all others; SMS and e-mail. What is above waits in the inbox (C13)."""

    express: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 60
    urgent: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 120
    normal: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 60
    second: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 20

    def of(self, budget: Budget) -> int:
        caps = {Budget.EXPRESS: self.express, Budget.URGENT: self.urgent, Budget.SECOND: self.second}
        return caps.get(budget, self.normal)


class Idle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ngâm: working hours that a document may stay untouched by its handler before the handler, and then the head, is told."""

    handler_hours: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16
    head_hours: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 32


class MeetingMail(StrEnum):
    """What an invitation by e-mail says to attendees who asked for one (MTG-4). `times`: that there is a meeting, from when to when (C12); `full`: all of it."""

    OFF = "off"
    TIMES = "times"
    FULL = "full"


class Meetings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`notice_days`: working days between an invitation and its meeting; fewer are warned of, not refused (MTG-2); 0: no warning. `remind_hours` before the
    start whoever has not answered is asked again; 0: nobody.
    """

    notice_days: Annotated[int, msgspec.Meta(ge=0, le=30)] = 3
    remind_hours: Annotated[int, msgspec.Meta(ge=0, le=168)] = 24
    mail: MeetingMail = MeetingMail.OFF


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of an organisation's rules. `days`: local days (`2026-08-22`) that are working days (true) or free (false) whatever the calendar says;
    `quiet_off_days`: normal notices wait over days without work, too. `open_every_page`: nobody signs or initials a document of this
    organisation before every page of it stood on his screen; a document may ask for it by itself. `unhandled_days`: how many working days a
    step of the one-stop office may be without a handler before it is late. `heads` are told what `idle` says and, at the minute `digest` of every
    working day, how much there is; empty: every leader. `idle` and `digest` may be null: nobody is told.
    """

    quiet: Hours | None = None
    quiet_off_days: bool = False
    work: Hours = msgspec.field(default_factory=lambda: Hours(start=450, end=1020))
    days: Annotated[
        dict[Annotated[str, msgspec.Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")], bool], msgspec.Meta(max_length=400)
    ] = {}
    caps: Caps = msgspec.field(default_factory=Caps)
    policies: Annotated[tuple[Policy, ...], msgspec.Meta(max_length=5)] = msgspec.field(
        default_factory=lambda: (EXPRESS,)
    )
    open_every_page: bool = False
    unhandled_days: Annotated[int, msgspec.Meta(ge=1, le=60)] = 2
    meetings: Meetings = msgspec.field(default_factory=Meetings)
    idle: Idle | None = msgspec.field(default_factory=Idle)
    digest: Minute | None = 450
    heads: Annotated[tuple[PersonId, ...], msgspec.Meta(max_length=20)] = ()

    def policy(self, urgency: int) -> Policy | None:
        """The policy of a grade: that of the highest grade not above it."""
        return max((one for one in self.policies if one.urgency <= urgency), key=lambda one: one.urgency, default=None)


DEFAULT = Rules()


def read(text: str | None) -> Rules:
    return DEFAULT if text is None else msgspec.json.decode(text, type=Rules)


def usable(rules: Rules) -> bool:
    """Whether working hours have a length, each grade has one policy at most, the head hears after the handler, and the digest is of the morning's work."""
    grades = [one.urgency for one in rules.policies]
    ordered = rules.idle is None or rules.idle.handler_hours <= rules.idle.head_hours
    timely = rules.digest is None or rules.digest < rules.work.end
    return len(set(grades)) == len(grades) and rules.work.start < rules.work.end and ordered and timely


def ends_at_a_person(policy: Policy) -> bool:
    """Whether the last person told is a duty officer; the sender is told that nobody was reached, which is no person who acts."""
    targets = [step.target for step in policy.steps]
    return Target.DUTY_OFFICER in targets and targets[-1] in (Target.DUTY_OFFICER, Target.SENDER)
