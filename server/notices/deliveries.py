"""Deliveries of notices to devices, and the jobs that push them; always in the caller's transaction."""

from collections.abc import Sequence

from server import jobs
from server.db import Transaction
from server.ids import new_id
from server.jobs import Lane
from server.notices import queries
from server.notices.model import HOUR_US, Deliver, DeliveryState, Purpose, Release
from server.notices.rules import Budget, Caps, budget_of

_TOGETHER = 50


async def clear(tx: Transaction, notice: str, *, except_device: str | None, now_us: int) -> None:
    """Take the notification away from the devices that have it, but for the one where it was dealt with."""
    deliveries = []
    for row in await queries.notified(tx, notice):
        if row["device"] != except_device:
            delivery = new_id()
            if await queries.insert_delivery(
                tx, id_=delivery, notice=notice, device=row["device"], transport=row["transport"], purpose=Purpose.CLEAR, now_us=now_us
            ):  # fmt: skip
                deliveries.append(delivery)
    await send(tx, Lane.NORMAL, deliveries)


async def send(tx: Transaction, lane: Lane, deliveries: Sequence[str]) -> None:
    """Enqueue deliveries, fifty a job: a broadcast is some jobs, and one person's devices are one."""
    for start in range(0, len(deliveries), _TOGETHER):
        some = tuple(deliveries[start : start + _TOGETHER])
        await jobs.enqueue(tx, "push.deliver", Deliver(deliveries=some), lane=lane)


async def deliver_to_devices(
    tx: Transaction, notice: str, organisation: str, person: str, *, step: int, held: bool, now_us: int
) -> list[str]:
    """Deliveries of a notice to the devices that its person has now; the ids of new ones."""
    made = []
    state = DeliveryState.HELD if held else DeliveryState.QUEUED
    for address in await queries.addresses(tx, organisation, person):
        delivery = new_id()
        if await queries.insert_delivery(
            tx, id_=delivery, notice=notice, device=address["device"], transport=address["transport"], step=step, state=state, now_us=now_us
        ):  # fmt: skip
            made.append(delivery)
    return made


async def by_mail(tx: Transaction, notice: str, organisation: str, person: str, *, now_us: int) -> None:
    """A notice by e-mail to somebody who has no device and gave an address; like a push it says nothing of its subject (NOT-3)."""
    own = await queries.member(tx, organisation, person, now_us)
    if own is None or not own["email"] or await queries.addresses(tx, organisation, person):
        return
    delivery = new_id()
    if await queries.insert_delivery(tx, id_=delivery, notice=notice, device="", transport="email", now_us=now_us):
        await send(tx, Lane.NORMAL, [delivery])


async def hold(tx: Transaction, person: str, lane: Lane, urgency: int, until_us: int) -> None:
    """One job a person and budget releases what was held."""
    budget = budget_of(lane, urgency)
    await jobs.enqueue(
        tx,
        "notices.release",
        Release(person=person, lane=lane, express=budget is Budget.EXPRESS),
        lane=lane,
        run_at_us=until_us,
        dedupe_key=f"notices.release:{person}:{budget}",
    )


async def within_budget(tx: Transaction, person: str, budget: Budget, caps: Caps, now_us: int) -> int | None:
    """Charge a push or message to the person's hour: None when it may go, else when the next hour begins (C13)."""
    used, since_us = await queries.charge(tx, person, budget.value, now_us, now_us - HOUR_US)
    return None if used <= caps.of(budget) else since_us + HOUR_US
