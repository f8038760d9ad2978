"""The page behind the morning's notice."""

from typing import Any

import msgspec
from litestar import get

from server.db import Row
from server.http import Given
from server.identity.guard import PERSON, allow
from server.identity.model import Actor
from server.oversight.model import CLERKS, LEADERS, UNIT
from server.oversight.service import OversightService
from server.wire import iso


class OverseenItem(msgspec.Struct, frozen=True):
    """What waits for somebody. `what`: document, arrival or order (a direction). `handler`: `person`, whose `name` and `position` follow, or `clerks`,
    `leaders` (an arrival that nobody directed), `unit` (leaders and clerks, whom a direction from above names). `idle`: its handler has not touched it for
    as long as the organisation allows; `overdue`: its own `due_date` has passed. `subject` only for whoever may read it.
    """

    what: str
    id: str
    number: str
    urgency: int
    handler: str
    name: str | None
    position: str | None
    since: str
    due_date: str | None
    idle: bool
    overdue: bool
    subject: str | None


class Overview(msgspec.Struct, frozen=True):
    """`held`: documents, arrivals and directions that wait for a person in all; `unanswered`: express notices that nobody has acknowledged yet. `items`: 200 at most."""

    held: int
    idle: int
    overdue: int
    unanswered: int
    items: list[OverseenItem]


@get(
    "/api/v1/overview",
    operation_id="readOverview",
    summary="What stands still or is late in the organisation, and with whom",
    tags=["notices", "phone"],
    opt={**allow(roles=PERSON), "problems": ("forbidden",)},
)
async def overview(actor: Given[Actor], oversight: Given[OversightService]) -> Overview:
    """For the head (`heads` of the organisation's rules, whatever their roles, else every leader), duty officer and administrator."""
    counts, rows = await oversight.overview(actor)
    return Overview(
        held=counts.held,
        idle=counts.idle,
        overdue=counts.overdue,
        unanswered=counts.unanswered,
        items=[_item(row) for row in rows],
    )


_HANDLERS = {CLERKS: "clerks", LEADERS: LEADERS, UNIT: UNIT}


def _item(row: Row) -> OverseenItem:
    return OverseenItem(
        what=row["what"], id=row["id"], number=row["number"], urgency=row["urgency"], handler=_HANDLERS.get(row["handler"], "person"), name=row["name"],
        position=row["position"], since=iso(row["since_us"]), due_date=row["due_date"], idle=bool(row["idle"]), overdue=bool(row["overdue"]), subject=row["subject"],
    )  # fmt: skip


HANDLERS: list[Any] = [overview]
