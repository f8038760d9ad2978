"""Chains of escalation in the database: each step is one transaction with what it tells and with the job of the next one (NOT-4).

A worker may die between any two statements: the step then has not happened, and its job is claimed again. A step that finds the chain
stopped, or at another position, does nothing.
"""

import secrets
from collections.abc import Collection
from functools import partial

import msgspec

from push.model import new_notice_id
from server import jobs
from server.db import Reads, Row, Transaction
from server.identity.model import Role
from server.ids import new_id
from server.jobs import Lane
from server.live import service as live
from server.live.model import Topic
from server.notices import escalation, outward, queries
from server.notices.calendar import add_working
from server.notices.deliveries import clear, deliver_to_devices, hold, send, within_budget
from server.notices.escalation import Chain, ChainState, Later, Member, Office, Told, Way
from server.notices.model import Escalate, NewNotice, NoticeKind, NoticeState
from server.notices.rules import Budget, Policy, Rules, Target, budget_of, read

_MEMBERS = 64


async def begin(tx: Transaction, new: NewNotice, notice: str, rules: Rules, now_us: int) -> None:
    """Start the chain of a notice, where its grade has a policy."""
    policy = rules.policy(new.urgency)
    if policy is None or not policy.steps:
        return
    member = await _member(tx, new.organisation, new.person, (), now_us)
    office = Office(person=new.person, members={new.person: member}, duty=())
    chain = escalation.begin(policy, office, now_us, _later(policy, rules))
    await queries.insert_chain(tx, new, notice, chain, now_us)
    await _enqueue(tx, notice, chain)


async def stop(tx: Transaction, notice: str, *, by: str, now_us: int, keep: str | None = None) -> None:
    """Somebody acknowledged, or there is nothing left to acknowledge: end the chain and close what it told others, but for `keep`."""
    person = await queries.stop_chain(tx, notice, by, now_us)
    if person is None:
        return
    seen = {person}
    for row in await queries.derived(tx, notice):
        if row["state"] == NoticeState.OPEN and row["id"] != keep:
            await queries.close(tx, row["id"], NoticeState.SETTLED)
            await clear(tx, row["id"], except_device=None, now_us=now_us)
            seen.add(row["person"])
    await live.touch(tx, Topic.NOTICES, seen)


async def step(tx: Transaction, asked: Escalate, channels: Collection[str], now_us: int) -> None:
    """Take the step that `asked` names, if the chain still stands there. `channels`: those that this installation has."""
    row = await queries.chain(tx, asked.notice)
    if row is None or row["state"] != ChainState.RUNNING or row["position"] != asked.position:
        return
    if row["notice_state"] != NoticeState.OPEN or row["expires_us"] <= now_us:
        await stop(tx, asked.notice, by="system", now_us=now_us)
        return
    rules = read(await queries.rules(tx, row["organisation"]))
    policy = msgspec.json.decode(row["policy"], type=Policy)
    chain = Chain(policy=policy, position=row["position"], state=ChainState.RUNNING, due_us=row["next_us"])
    office = await _office(tx, row, policy, channels, now_us)
    chain, lines = escalation.advance(chain, office, now_us, _later(policy, rules))
    for place, line in enumerate(lines):
        told, line = await _tell(tx, row, line, rules, now_us)  # noqa: PLW2901 - the budget may change the outcome
        await queries.insert_step(tx, asked.notice, place, line, told, now_us)
        await outward.escalated(tx, asked.notice, line, now_us)
    if chain.state is ChainState.EXHAUSTED:
        await outward.unanswered(tx, asked.notice, now_us)
    await queries.set_chain(tx, asked.notice, chain, expected=asked.position)
    await live.touch(tx, Topic.NOTICES, {row["person"], *(line.person for line in lines if line.person is not None)})
    await _enqueue(tx, asked.notice, chain)


async def rearm(tx: Transaction, late_us: int, limit: int) -> int:
    """Give running chains whose step was due before `late_us` their job again; how many were looked at.

    One whose job is waiting keeps that; a job that was buried leaves its chain without one, and nobody would be told any more.
    """
    rows = await queries.late_chains(tx, late_us, limit)
    for row in rows:
        await jobs.enqueue(
            tx, "notices.escalate", Escalate(notice=row["notice"], position=row["position"]), lane=Lane.URGENT, dedupe_key=_key(row["notice"], row["position"])
        )  # fmt: skip
    return len(rows)


async def foresee(db: Reads, row: Row, channels: Collection[str], now_us: int) -> tuple[Told, ...]:
    """What the next step of a running chain would do, as people are reachable now."""
    policy = msgspec.json.decode(row["policy"], type=Policy)
    chain = Chain(policy=policy, position=row["position"], state=ChainState.RUNNING, due_us=row["next_us"])
    return escalation.advance(
        chain, await _office(db, row, policy, channels, now_us), now_us, lambda at_us, _seconds: at_us
    )[1]


async def _enqueue(tx: Transaction, notice: str, chain: Chain) -> None:
    if chain.due_us is None:
        return
    await jobs.enqueue(
        tx,
        "notices.escalate",
        Escalate(notice=notice, position=chain.position),
        lane=Lane.URGENT,
        run_at_us=chain.due_us,
        dedupe_key=_key(notice, chain.position),
    )


def _key(notice: str, position: int) -> str:
    return f"notices.escalate:{notice}:{position}"


async def _tell(tx: Transaction, origin: Row, line: Told, rules: Rules, now_us: int) -> tuple[str | None, Told]:
    """Tell one person by one channel; the notice that was told of, and the line as the report has it."""
    if line.outcome != "told" or line.person is None:
        return None, line
    notice = origin["notice"] if line.target is Target.PERSON else await _derived(tx, origin, line, now_us)
    lane = Lane(origin["lane"])
    if line.way is Way.PUSH:
        until_us = await within_budget(tx, line.person, budget_of(lane, origin["urgency"]), rules.caps, now_us)
        made = await deliver_to_devices(
            tx, notice, origin["organisation"], line.person, step=line.position + 1, held=until_us is not None, now_us=now_us
        )  # fmt: skip
        if until_us is None:
            await send(tx, lane, made)
        else:
            await hold(tx, line.person, lane, origin["urgency"], until_us)
    elif line.way is not Way.INBOX:
        if await within_budget(tx, line.person, Budget.SECOND, rules.caps, now_us) is not None:
            return notice, msgspec.structs.replace(line, outcome="over-cap")
        delivery = new_id()
        await queries.insert_delivery(
            tx, id_=delivery, notice=notice, device="", transport=line.way.value, step=line.position + 1, now_us=now_us
        )
        await send(tx, lane, [delivery])
    return notice, line


async def _derived(tx: Transaction, origin: Row, line: Told, now_us: int) -> str:
    """The notice by which somebody else hears of it: one a person and chain. It says who has not answered, and nothing of the subject."""
    assert line.person is not None
    about = f"escalation:{origin['notice']}"
    for row in await queries.told_about(tx, origin["organisation"], about, line.person):
        return str(row["id"])
    notice = new_notice_id(secrets.token_bytes)
    new = NewNotice(
        organisation=origin["organisation"], person=line.person, kind=NoticeKind.UNANSWERED if line.target is Target.SENDER else NoticeKind.STANDING_IN,
        urgency=origin["urgency"], about=about, expires_us=origin["expires_us"], headline=f"{origin['name']}, {origin['office']}"[:300],
    )  # fmt: skip
    await queries.insert_notice(
        tx, new, id_=notice, lane=Lane(origin["lane"]), collapse="", state=NoticeState.OPEN, origin=origin["notice"], now_us=now_us
    )  # fmt: skip
    return notice


async def _office(tx: Reads, row: Row, policy: Policy, channels: Collection[str], now_us: int) -> Office:
    """Who is there now: resolved at each step, because people leave and come back while a chain runs."""
    organisation = row["organisation"]
    members: dict[str, Member] = {}
    duty = policy.duty or tuple(await queries.with_role(tx, organisation, Role.DUTY_OFFICER))
    senders = (row["sender"],) if row["sender"] else tuple(await queries.with_role(tx, organisation, Role.CLERK))
    waiting = [row["person"], *duty, *senders]
    while waiting and len(members) < _MEMBERS:
        one = waiting.pop(0)
        if one not in members:
            members[one] = await _member(tx, organisation, one, channels, now_us)
            # The deputy's deputy before the others: a long list of duty officers and clerks leaves nobody's deputy out.
            waiting = [*([members[one].deputy] if members[one].deputy else []), *waiting]
    duty = tuple(one for one in duty if not members.get(one, Member(left=True)).left)
    if not duty:
        # Those who were named have left: the chain still ends at a person.
        duty = tuple(await queries.with_role(tx, organisation, Role.ADMINISTRATOR))
        members |= {one: await _member(tx, organisation, one, channels, now_us) for one in duty}
    there = tuple(one for one in senders if one in members and not members[one].left and one != row["person"])
    return Office(person=row["person"], members=members, duty=duty, senders=there)


async def _member(tx: Reads, organisation: str, person: str, channels: Collection[str], now_us: int) -> Member:
    row = await queries.member(tx, organisation, person, now_us)
    if row is None or row["state"] != "active":
        return Member(left=True)
    push = (
        any(one["transport"] in channels for one in await queries.addresses(tx, organisation, person))
        if channels
        else False
    )
    return Member(
        deputy=row["deputy"] or row["standing"], on_leave=row["kind"] == "leave", push=push, phone=bool(row["phone"]) and Way.SMS in channels,
        email=bool(row["email"]) and Way.EMAIL in channels,
    )  # fmt: skip


def _later(policy: Policy, rules: Rules) -> Later:
    if policy.working_time:
        return partial(_working, rules)
    return lambda now_us, seconds: now_us + seconds * 1_000_000


def _working(rules: Rules, now_us: int, seconds: int) -> int:
    return add_working(now_us, seconds, rules)
