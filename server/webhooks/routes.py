"""Webhooks over HTTP: a service client registers, lists and ends its endpoints."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.params import JSONBody

from server.clock import Clock
from server.http import Given, Id, once
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


HANDLERS: list[Any] = [register, listing, end]
