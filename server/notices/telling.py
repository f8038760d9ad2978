"""Telling people in the caller's transaction: the notice, its deliveries and the jobs that push are one commit with what they tell of."""

import secrets
from collections.abc import Collection, Sequence

from push.model import new_notice_id
from server.db import Reads, Transaction
from server.jobs import Lane
from server.live import service as live
from server.live.model import Topic
from server.notices import chains, queries
from server.notices.deliveries import clear, deliver_to_devices, hold, send, within_budget
from server.notices.model import ESCALATES, Course, NewNotice, NoticeKind, NoticeState, lane_of, lifetime_us
from server.notices.rules import Rules, budget_of, read

SYSTEM = "system"


async def tell(tx: Transaction, notices: Sequence[NewNotice], *, now_us: int) -> list[str]:
    """Tell people; the ids of the notices, in order. One that an already newer revision of its subject has overtaken is kept and not sent."""
    broadcast: dict[Lane, list[str]] = {}
    rules: dict[str, Rules] = {}
    made = []
    for new in notices:
        if new.organisation not in rules:
            rules[new.organisation] = read(await queries.rules(tx, new.organisation))
        id_, queued = await _tell_one(tx, new, rules[new.organisation], now_us)
        broadcast.setdefault(new.lane or lane_of(new.urgency), []).extend(queued)
        made.append(id_)
    for lane, deliveries in broadcast.items():
        await send(tx, lane, deliveries)
    await live.touch(tx, Topic.NOTICES, {new.person for new in notices})
    return made


async def notify(
    tx: Transaction, *, organisation: str, people: list[str], document: str | None, kind: str, urgency: int, now_us: int
) -> None:
    """Tell people of a document. What was said of it before is overtaken by what is said now."""
    what = NoticeKind(kind)
    about = "" if document is None else about_document(document)
    await tell(
        tx,
        [
            NewNotice(
                organisation=organisation, person=person, kind=what, urgency=urgency, about=about, expires_us=now_us + lifetime_us(what), document=document
            )
            for person in people
        ],
        now_us=now_us,
    )  # fmt: skip


async def courses(reads: Reads, organisation: str, about: str, revision: int) -> dict[str, Course]:
    """What became of one revision of a subject, by person; for whoever may see all of them."""
    rows = await queries.courses(reads, organisation, about, revision)
    return {str(row["person"]): Course(row["told_us"], row["received_us"], row["seen_us"]) for row in rows}


def about_document(document: str) -> str:
    return f"document:{document}"


async def withdraw(
    tx: Transaction, *, organisation: str, about: str, people: Collection[str] | None = None, now_us: int
) -> int:
    """Take back what was said about a subject, to all or to some people; what is queued is not sent, what is shown is taken away."""
    return await end(tx, NoticeState.WITHDRAWN, organisation=organisation, about=about, people=people, now_us=now_us)


async def settle(
    tx: Transaction,
    *,
    organisation: str,
    about: str,
    people: Collection[str] | None = None,
    kinds: Collection[NoticeKind] | None = None,
    now_us: int,
) -> int:
    """What the notices asked for was done: they are not pushed again, nothing escalates, phones take them away."""
    return await end(
        tx, NoticeState.SETTLED, organisation=organisation, about=about, people=people, kinds=kinds, now_us=now_us
    )


async def end(
    tx: Transaction,
    state: NoticeState,
    *,
    organisation: str,
    about: str,
    people: Collection[str] | None = None,
    kinds: Collection[NoticeKind] | None = None,
    now_us: int,
) -> int:
    """Close the open notices about a subject as `state`; how many."""
    ended = []
    for row in await queries.open_about(tx, organisation, about):
        if (people is None or row["person"] in people) and (kinds is None or row["kind"] in kinds):
            await queries.close(tx, row["id"], state.value)
            await chains.stop(tx, row["id"], by=SYSTEM, now_us=now_us)
            await clear(tx, row["id"], except_device=None, now_us=now_us)
            ended.append(row["person"])
    await live.touch(tx, Topic.NOTICES, ended)
    return len(ended)


async def forget(tx: Transaction, *, organisation: str, about: str) -> None:
    """What was told of a subject keeps its times and no longer says what it was about (PDP-1)."""
    await queries.forget(tx, organisation, about)


async def _tell_one(tx: Transaction, new: NewNotice, rules: Rules, now_us: int) -> tuple[str, list[str]]:
    id_ = new_notice_id(secrets.token_bytes)
    lane = new.lane or lane_of(new.urgency)
    state, collapse = NoticeState.OPEN, ""
    if new.about:
        overtaken, collapse = await _supersede(tx, new, now_us)
        state = NoticeState.SUPERSEDED if overtaken else state
    await queries.insert_notice(tx, new, id_=id_, lane=lane, collapse=collapse, state=state, now_us=now_us)
    if state is not NoticeState.OPEN:
        return id_, []
    if new.kind in ESCALATES:
        await chains.begin(tx, new, id_, rules, now_us)
    until_us = await within_budget(tx, new.person, budget_of(lane, new.urgency), rules.caps, now_us)
    queued = await deliver_to_devices(
        tx, id_, new.organisation, new.person, step=0, held=until_us is not None, now_us=now_us
    )
    if until_us is None:
        return id_, queued
    await hold(tx, new.person, lane, new.urgency, until_us)
    return id_, []


async def _supersede(tx: Transaction, new: NewNotice, now_us: int) -> tuple[bool, str]:
    """Close what this person was told of the subject before; whether a newer revision is known already, and the token its pushes share.

    A document's pushes share none: an Android phone keeps four collapse keys at most while it is offline.
    """
    before = await queries.told_about(tx, new.organisation, new.about, new.person)
    for row in before:
        if row["state"] == NoticeState.OPEN and row["revision"] <= new.revision:
            await queries.close(tx, row["id"], NoticeState.SUPERSEDED)
            await chains.stop(tx, row["id"], by=SYSTEM, now_us=now_us)
    overtaken = any(row["revision"] > new.revision for row in before)
    if new.document is not None:
        return overtaken, ""
    return overtaken, next((row["collapse"] for row in before if row["collapse"]), "") or secrets.token_urlsafe(24)
