"""Who is told of a direction, and what the log keeps of it, in the transaction of the deed."""

from collections.abc import Iterable
from typing import Any

import msgspec

from server import audit
from server.db import Reads, Transaction
from server.directives import queries
from server.directives.model import AssigneeRow, DirectiveRow
from server.documents.service import SYSTEM
from server.notices.model import NewNotice, NoticeKind, lifetime_us
from server.notices.service import settle, tell, withdraw


def about_directive(directive: str) -> str:
    """The subject of what is said of a direction itself: the last of several changes is the one that shows."""
    return f"order:{directive}"


def about_due(directive: str) -> str:
    return f"{about_directive(directive)}:due"


async def in_time(tx: Transaction, row: DirectiveRow, now_us: int) -> None:
    """Its author is told of its deadline no more."""
    about = about_due(row.id)
    await settle(tx, organisation=row.organisation, about=about, people=[row.author], now_us=now_us)


async def remind(tx: Transaction, line: queries.Due, *, late: bool, now_us: int) -> bool:
    """Tell whoever has not finished that the deadline is near, or its author as well that it has passed; once each. False when that was done."""
    if not await queries.mark(tx, line, late=late):
        return False
    row, place = await queries.load(tx, line.directive), await queries.assignee(tx, line.id)
    assert row is not None
    assert place is not None
    kind = NoticeKind.DIRECTIVE_LATE if late else NoticeKind.DIRECTIVE_NEAR
    told = [(place.organisation, person) for person in await people_of(tx, place)]
    if late:
        told.append((row.organisation, row.author))
        await log_deed(tx, row, "late", SYSTEM, {"assignee": place.assignee, "due": line.due_date}, now_us)
    # A later deadline's reminder supersedes what was said of the one before.
    revision = 2 * row.sequence + (2 if late else 1)
    notices = [
        msgspec.structs.replace(notice(row, organisation, person, kind, about_due(row.id), now_us), revision=revision)
        for organisation, person in dict.fromkeys(told)
    ]
    await tell(tx, notices, now_us=now_us)
    return True


def notice(row: DirectiveRow, organisation: str, person: str, kind: NoticeKind, about: str, now_us: int) -> NewNotice:
    sender = row.author if row.organisation == organisation else None
    return NewNotice(
        organisation=organisation, person=person, kind=kind, urgency=row.urgency, about=about, expires_us=now_us + lifetime_us(kind),
        revision=row.sequence + 1, headline=row.title[:300], sender=sender,
    )  # fmt: skip


async def people_of(tx: Reads, place: AssigneeRow) -> list[str]:
    return [place.person] if place.person is not None else await queries.acting(tx, place.organisation)


async def tell_places(
    tx: Transaction, row: DirectiveRow, places: Iterable[AssigneeRow], kind: NoticeKind, now_us: int
) -> None:
    about = about_directive(row.id)
    for place in places:
        people = await people_of(tx, place)
        # What was said of a deadline that stands no more.
        await withdraw(tx, organisation=place.organisation, about=about_due(row.id), people=people, now_us=now_us)
        await tell(
            tx, [notice(row, place.organisation, person, kind, about, now_us) for person in people], now_us=now_us
        )


async def log_deed(tx: Transaction, row: DirectiveRow, kind: str, by: str, facts: dict[str, Any], now_us: int) -> None:
    await audit.append(
        tx, f"directive.{kind}", organisation=row.organisation, actor=by, subject=row.id, body={"sequence": row.sequence, **facts}, now_us=now_us
    )  # fmt: skip
