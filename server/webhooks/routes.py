"""Webhooks over HTTP: a service client registers, lists and ends its endpoints."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.params import JSONBody, QueryParameter

from server.clock import Clock
from server.http import Given, Id, Key, cursor, from_cursor, once
from server.identity.guard import allow
from server.identity.model import Actor
from server.webhooks.service import WebhookService
from server.wire import iso

_MANAGERS = allow(scopes={"webhooks:manage"})


class WebhookRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: Annotated[str, msgspec.Meta(min_length=10, max_length=500)]
    events: Annotated[list[str], msgspec.Meta(min_length=1, max_length=20)]


class WebhookCreated(msgspec.Struct, frozen=True):
    """`secret` is in this answer only; check signatures with it (standardwebhooks.com)."""

    id: str
    secret: str


class WebhookView(msgspec.Struct, frozen=True):
    id: str
    url: str
    events: list[str]
    created_at: str


@post(
    "/api/v1/webhooks",
    operation_id="registerWebhook",
    summary="Be told of events",
    tags=["webhooks"],
    status_code=201,
    opt={**_MANAGERS, "idempotent": True},
)
async def register(
    request: Request[Any, Any, Any],
    data: JSONBody[WebhookRequest],
    actor: Given[Actor],
    webhooks: Given[WebhookService],
    clock: Given[Clock],
) -> WebhookCreated:
    claim = once(request, actor.id, msgspec.json.encode(data), clock.now_us())
    id_, secret = await webhooks.register(actor, data.url, data.events, claim)
    return WebhookCreated(id=id_, secret=secret)


@get("/api/v1/webhooks", operation_id="listWebhooks", summary="My endpoints", tags=["webhooks"], opt=_MANAGERS)
async def listing(actor: Given[Actor], webhooks: Given[WebhookService]) -> list[WebhookView]:
    return [
        WebhookView(id=row["id"], url=row["url"], events=row["events"].split(","), created_at=iso(row["created_us"]))
        for row in await webhooks.mine(actor)
    ]


@delete(
    "/api/v1/webhooks/{webhook:str}",
    operation_id="endWebhook",
    summary="Be told no more",
    tags=["webhooks"],
    opt=_MANAGERS,
)
async def end(webhook: Id, actor: Given[Actor], webhooks: Given[WebhookService]) -> None:
    await webhooks.end(actor, webhook)


class DeadLetterView(msgspec.Struct, frozen=True):
    """A message that was given up. `reason`: what the endpoint answered, `HTTP 503` or the kind of failure; `message` is its `webhook-id`."""

    message: str
    event: str
    reason: str
    attempts: int
    created_at: str
    given_up_at: str


class DeadLetterPage(msgspec.Struct, frozen=True):
    items: list[DeadLetterView]
    next: str | None


class Resending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`messages`: which; without them the oldest thousand."""

    messages: Annotated[
        list[Annotated[str, msgspec.Meta(pattern="^msg_[0-9a-f]{32}$")]], msgspec.Meta(max_length=1000)
    ] = []


class Resent(msgspec.Struct, frozen=True):
    queued: int


@get(
    "/api/v1/webhooks/{webhook:str}/dead-letters",
    operation_id="listDeadLetters",
    summary="What could not be delivered, oldest first",
    tags=["webhooks"],
    opt={**_MANAGERS, "problems": ("invalid-request",)},
)
async def dead_letters(
    webhook: Id,
    actor: Given[Actor],
    webhooks: Given[WebhookService],
    cursor_: Annotated[str | None, QueryParameter(name="cursor", max_length=400)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
) -> DeadLetterPage:
    """Tried for days and given up; kept for ninety days."""
    found = await webhooks.dead_letters(actor, webhook, after=from_cursor(cursor_, Key, ""), limit=limit)
    items = [
        DeadLetterView(
            message=one.id, event=one.event, reason=one.reason, attempts=one.attempts, created_at=iso(one.created_us), given_up_at=iso(one.died_us)
        )
        for one in found
    ]  # fmt: skip
    return DeadLetterPage(items=items, next=cursor(found[-1].id) if len(found) == limit else None)


@post(
    "/api/v1/webhooks/{webhook:str}/dead-letters/retry",
    operation_id="retryDeadLetters",
    summary="Send them again",
    tags=["webhooks"],
    status_code=200,
    opt=_MANAGERS,
)
async def retry(webhook: Id, data: JSONBody[Resending], actor: Given[Actor], webhooks: Given[WebhookService]) -> Resent:
    """In their order, with the same `webhook-id` and all their tries; a receiver that has one already drops it."""
    return Resent(queued=await webhooks.retry(actor, webhook, tuple(data.messages)))


HANDLERS: list[Any] = [register, listing, end, dead_letters, retry]
