"""What other systems are told of notices that somebody has to acknowledge: signed webhooks, in the transaction of what they tell.

An announcement is its own system's: no other hears of it (C1). What the house itself tells people is for all that listen.

No text of a notice leaves: ids, who, when, and the reference that the system itself gave.
"""

from typing import Any

from server.db import Transaction
from server.notices import queries
from server.notices.escalation import Told
from server.notices.model import ESCALATES
from server.webhooks import service as webhooks
from server.wire import iso


async def acknowledged(tx: Transaction, notice: str, *, by: str, now_us: int) -> None:
    """`notice.acknowledged`: `by` is the person that it was for, or whoever stands in."""
    await _tell(tx, "notice.acknowledged", notice, {"by": by}, now_us)


async def escalated(tx: Transaction, notice: str, line: Told, now_us: int) -> None:
    """`notice.escalated`: one line of a step: to whom, by which channel, or why nobody was told."""
    data = {"target": line.target.value, "told": line.person, "channel": line.way.value, "outcome": line.outcome}
    await _tell(tx, "notice.escalated", notice, data, now_us)


async def unanswered(tx: Transaction, notice: str, now_us: int) -> None:
    """`notice.unanswered`: the chain is at its end and nobody acknowledged."""
    await _tell(tx, "notice.unanswered", notice, {}, now_us)


async def _tell(tx: Transaction, event: str, notice: str, more: dict[str, Any], now_us: int) -> None:
    row = await queries.outward(tx, notice)
    if row is None or row["kind"] not in ESCALATES:
        return
    kind, _, id_ = row["about"].partition(":")
    source = await queries.announced_by(tx, id_) if kind == "announcement" else None
    if source is None and kind == "announcement":
        return
    data = {
        "notice": notice, "about": row["about"], "kind": row["kind"], "urgency": row["urgency"],
        "source_reference": None if source is None else source["source_reference"],
        "person": row["person"], "at": iso(now_us), **more,
    }  # fmt: skip
    client = None if source is None else str(source["client"])
    await webhooks.enqueue(
        tx, organisation=row["organisation"], event=event, document=notice, data=data, now_us=now_us, client=client
    )
