"""Notices over HTTP: the list, one by its opaque id, acknowledgement, and what devices report."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from server.db import Row
from server.http import Given, Key, Whole, cursor, from_cursor
from server.identity.guard import PERSON, allow
from server.identity.model import Actor
from server.notices.model import TITLES, URGENCIES, DeviceEvent, NoticeKind
from server.notices.service import NoticeService
from server.wire import iso, iso_or_none

NoticeId = Annotated[str, PathParameter(pattern="^[A-Za-z0-9_-]{22}$")]


class NoticeView(msgspec.Struct, frozen=True):
    """A notice with its texts; `subject` and `number` only reach a phone through this answer, never through a push."""

    id: str
    kind: str
    state: str
    urgency: int
    urgency_name: str
    title: str
    title_en: str
    document: str | None
    subject: str | None
    number: str | None
    created_at: str
    expires_at: str
    acknowledged_at: str | None


class NoticePage(msgspec.Struct, frozen=True):
    items: list[NoticeView]
    next: str | None


class DeviceReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    notice: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{22}$")]
    event: DeviceEvent
    at: datetime


class DeviceReports(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reports: Annotated[list[DeviceReport], msgspec.Meta(min_length=1, max_length=200)]


class Recorded(msgspec.Struct, frozen=True):
    recorded: int


@get(
    "/api/v1/notices",
    operation_id="listNotices",
    summary="My notices, newest first",
    tags=["notices", "phone"],
    opt=allow(roles=PERSON),
)
async def listing(
    actor: Given[Actor], notices: Given[NoticeService], cursor_: Annotated[str | None, QueryParameter(name="cursor", max_length=400)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
) -> NoticePage:  # fmt: skip
    rows = await notices.listing(actor, before=from_cursor(cursor_, tuple[Whole, Key], (2**62, "")), limit=limit)
    last = rows[-1] if len(rows) == limit else None
    return NoticePage(
        items=[_view(row) for row in rows], next=None if last is None else cursor((last["created_us"], last["id"]))
    )


@get(
    "/api/v1/notices/{notice:str}",
    operation_id="fetchNotice",
    summary="The notice that a push announced",
    tags=["notices", "phone"],
    opt=allow(roles=PERSON),
)
async def fetch(notice: NoticeId, actor: Given[Actor], notices: Given[NoticeService]) -> NoticeView:
    """Fetching is the first receipt: it says that this device received the push."""
    return _view(await notices.fetch(actor, notice))


@post(
    "/api/v1/notices/{notice:str}/acknowledgement",
    operation_id="acknowledgeNotice",
    summary="I have seen it",
    tags=["notices", "phone"],
    status_code=204,
    opt=allow(roles=PERSON),
)
async def acknowledge(notice: NoticeId, actor: Given[Actor], notices: Given[NoticeService]) -> None:
    await notices.acknowledge(actor, notice)


@post(
    "/api/v1/receipts",
    operation_id="reportReceipts",
    summary="What this device received, showed, had read",
    tags=["notices", "phone"],
    status_code=200,
    opt=allow(roles=PERSON),
)
async def report(data: JSONBody[DeviceReports], actor: Given[Actor], notices: Given[NoticeService]) -> Recorded:
    """In batches, in any order, repeated as often as the network needs: each event counts once."""
    events = [(one.notice, one.event, _us(one.at)) for one in data.reports]
    return Recorded(recorded=await notices.report(actor, events))


def _us(at: datetime) -> int:
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1e6)


def _view(row: Row) -> NoticeView:
    title_vi, title_en = TITLES[NoticeKind(row["kind"])]
    gone = row["document_state"] == "recalled"
    return NoticeView(
        id=row["id"], kind=row["kind"], state=row["state"], urgency=row["urgency"], urgency_name=URGENCIES[row["urgency"]][0], title=title_vi,
        title_en=title_en, document=row["document"], subject=None if gone else row["subject"],
        number=None if gone or row["code_number"] is None else f"{row['code_number']}/{row['code_notation']}", created_at=iso(row["created_us"]),
        expires_at=iso(row["expires_us"]), acknowledged_at=iso_or_none(row["acknowledged_us"]),
    )  # fmt: skip


HANDLERS: list[Any] = [listing, fetch, acknowledge, report]
