"""Escalation as a pure state machine: (chain, who is there, time) → (chain, who is told by which channel) (NOT-4).

A step whose target cannot be told is passed over at once, with the reason: nobody waits five minutes for a deputy who does not exist. The
duty officer is always somebody: where all are away, all of them are told all the same.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

from server.notices.rules import Channel, Policy, Step, Target

_DEPTH = 8


class ChainState(StrEnum):
    """`exhausted`: all steps were taken; an acknowledgement still counts, and is reported as late."""

    RUNNING = "running"
    STOPPED = "stopped"
    EXHAUSTED = "exhausted"


class Way(StrEnum):
    """How a person was told. `inbox`: has neither a device nor a second channel."""

    PUSH = "push"
    SMS = "sms"
    EMAIL = "email"
    INBOX = "inbox"
    NONE = "none"


class Member(msgspec.Struct, frozen=True):
    """A person as reachable now. `on_leave` is out of office; who travels reads on the phone and is in. `deputy`: of the
    absence under way, else the standing one.
    """

    deputy: str | None = None
    on_leave: bool = False
    left: bool = False
    push: bool = True
    phone: bool = False
    email: bool = False


class Office(msgspec.Struct, frozen=True):
    """Who is there when a step is taken. `duty` is in order and never empty; `senders` are told at the end."""

    person: str
    members: Mapping[str, Member]
    duty: tuple[str, ...]
    senders: tuple[str, ...] = ()

    def member(self, person: str) -> Member:
        return self.members.get(person, Member(left=True))


class Chain(msgspec.Struct, frozen=True):
    policy: Policy
    position: int
    state: ChainState
    due_us: int | None


class Told(msgspec.Struct, frozen=True):
    """One line of the report. `person` None: the step had nobody. `outcome`: `told`, or why not."""

    position: int
    target: Target
    person: str | None
    way: Way
    outcome: str = "told"


Later = Callable[[int, int], int]
"""(time, seconds) → time: by the clock, or by working time."""


def begin(policy: Policy, office: Office, now_us: int, later: Later) -> Chain:
    """A chain for a notice that was just sent. Somebody on leave is not waited for: the next human is told at once."""
    position = 0
    if office.member(office.person).on_leave:
        position = next(index for index, step in enumerate(policy.steps) if step.target is not Target.PERSON)
        return Chain(policy=policy, position=position, state=ChainState.RUNNING, due_us=now_us)
    return Chain(
        policy=policy, position=position, state=ChainState.RUNNING, due_us=later(now_us, policy.steps[0].after_s)
    )


def advance(chain: Chain, office: Office, now_us: int, later: Later) -> tuple[Chain, tuple[Told, ...]]:
    """Take the step that is due, and those after it until somebody could be told."""
    if chain.state is not ChainState.RUNNING:
        return chain, ()
    lines: list[Told] = []
    position = chain.position
    while position < len(chain.policy.steps):
        told = _take(chain.policy.steps[position], position, office)
        lines += told
        position += 1
        if any(line.outcome == "told" and line.way is not Way.INBOX for line in told):
            break
    if position == len(chain.policy.steps):
        return msgspec.structs.replace(chain, position=position, state=ChainState.EXHAUSTED, due_us=None), tuple(lines)
    due_us = later(now_us, chain.policy.steps[position].after_s)
    return msgspec.structs.replace(chain, position=position, due_us=due_us), tuple(lines)


def stop(chain: Chain) -> Chain:
    """Acknowledged, settled, withdrawn: no step is taken any more, also one whose job is queued."""
    return msgspec.structs.replace(chain, state=ChainState.STOPPED, due_us=None)


def _take(step: Step, position: int, office: Office) -> list[Told]:
    people: list[str] = []
    passed: list[str] = []
    match step.target:
        case Target.PERSON:
            people = [office.person]
            if office.member(office.person).on_leave:
                return [Told(position, step.target, office.person, Way.NONE, "on-leave")]
        case Target.DEPUTY:
            people, passed = _deputy(office)
        case Target.DUTY_OFFICER:
            people, passed = _duty(office)
        case Target.SENDER:
            people = list(office.senders)
    lines = [Told(position, step.target, person, Way.NONE, "absent") for person in passed]
    for person in people:
        lines += _ways(step, position, person, office.member(person))
    return lines or [Told(position, step.target, None, Way.NONE, f"no-{step.target.value.replace('_', '-')}")]


def _deputy(office: Office) -> tuple[list[str], list[str]]:
    """The first deputy's deputy who is there, and those passed over. Two who name each other end nowhere."""
    passed: list[str] = []
    seen = {office.person}
    one = office.member(office.person).deputy
    while one is not None and one not in seen and len(seen) < _DEPTH:
        member = office.member(one)
        if not (member.on_leave or member.left):
            return [one], passed
        seen.add(one)
        passed.append(one)
        one = member.deputy
    return [], passed


def _duty(office: Office) -> tuple[list[str], list[str]]:
    there = [one for one in office.duty if not office.member(one).on_leave and one != office.person]
    if not there:
        return [one for one in office.duty if one != office.person] or list(office.duty), []
    # One who has no channel finds it in the inbox, and the next is told as well.
    first = next((place for place, one in enumerate(there) if _reached(office.member(one))), 0)
    told = there[: first + 1]
    return told, [one for one in office.duty[: office.duty.index(told[-1])] if one != office.person and one not in told]


def _reached(member: Member) -> bool:
    return member.push or member.phone or member.email


def _ways(step: Step, position: int, person: str, member: Member) -> list[Told]:
    """The channels that a step may use and the person has."""
    second = Way.SMS if member.phone else Way.EMAIL if member.email else None
    ways: list[Way] = []
    if step.channel is not Channel.SECOND and member.push:
        ways.append(Way.PUSH)
    if second is not None and (step.channel is not Channel.PUSH or not member.push):
        ways.append(second)
    if not ways and step.target is Target.PERSON:
        return [Told(position, step.target, person, Way.NONE, "no-such-channel")]
    if not ways and member.push:
        # Whoever is told in another's place has not been pushed anything yet.
        ways.append(Way.PUSH)
    return [Told(position, step.target, person, way) for way in ways or [Way.INBOX]]
