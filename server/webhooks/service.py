"""Webhooks: registration, one job per event and endpoint, delivery with signature (standardwebhooks.com, version 1).

The receiver checks `webhook-signature` = `v1,` ‖ base64(HMAC-SHA256(secret, id ‖ "." ‖ timestamp ‖ "." ‖ body)), and drops an id that it has
seen: delivery is at least once, per document and per meeting in order.
"""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import structlog

from server import audit, jobs
from server.clock import Clock
from server.db import Database, Reads, Row, Transaction
from server.errors import Refused
from server.identity.model import Actor
from server.ids import new_id
from server.jobs import Job
from server.once import Once
from server.outgoing import NoAnswer, Outgoing
from server.settings import WebhooksSettings
from server.webhooks import queries
from server.webhooks.model import DeadLetter
from server.wire import iso

EVENTS = (
    "document.returned", "document.refused", "document.signed", "document.sealed", "document.forwarded", "document.delivered", "document.accepted",
    "document.receivers_changed", "document.superseded", "document.deadline_missed", "arrival.deadline_missed",
    "arrival.arrived", "arrival.registered", "arrival.returned", "arrival.answered", "arrival.handled", "arrival.recalled", "arrival.replaced",
    "document.recalled", "meeting.answered", "notice.acknowledged", "notice.escalated", "notice.unanswered",
)  # fmt: skip


log = structlog.get_logger()

_KEPT_US: Final = 90 * 86_400_000_000
_AT_ONCE: Final = 1000


class _Event(msgspec.Struct):
    type: str


class Deliver(msgspec.Struct, frozen=True):
    """Job `webhooks.deliver`: `body` is the exact JSON text that is signed and sent."""

    endpoint: str
    message: str
    body: str


class NotDelivered(Exception):  # noqa: N818 - an outcome
    """The receiver did not answer with 2xx. `gone`: it said 410, it wants no more."""

    def __init__(self, reason: str, *, gone: bool = False) -> None:
        super().__init__(reason)
        self.gone = gone


async def enqueue(
    tx: Transaction,
    *,
    organisation: str,
    event: str,
    document: str,
    data: dict[str, Any],
    now_us: int,
    client: str | None = None,
) -> None:
    """A job for every endpoint of the organisation, or of `client` alone, that listens to `event`, in the caller's transaction."""
    for row in await queries.listening(tx, organisation, client) if event in EVENTS else ():
        if event in row["events"].split(","):
            message = f"msg_{new_id()}"
            body = msgspec.json.encode({"type": event, "timestamp": iso(now_us), "data": data}).decode()
            await _enqueue(tx, Deliver(endpoint=row["id"], message=message, body=body), document)


async def _enqueue(tx: Transaction, wanted: Deliver, subject: str) -> None:
    await jobs.enqueue(
        tx, "webhooks.deliver", wanted, ordering_key=f"webhook:{wanted.endpoint}:{subject}", dedupe_key=f"webhooks.deliver:{wanted.message}"
    )  # fmt: skip


def sign(secret: bytes, message: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    mac = hmac.digest(secret, f"{message}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac).decode()


class WebhookService:
    def __init__(self, db: Database, clock: Clock, settings: WebhooksSettings) -> None:
        self._db = db
        self._clock = clock
        self._settings = settings
        self._http = Outgoing(read_s=settings.timeout_s)

    async def close(self) -> None:
        await self._http.close()

    async def register(self, actor: Actor, url: str, events: list[str], once: Once) -> tuple[str, str]:
        """A new endpoint; its id and its secret (`whsec_…`), which only the answer to this request shows.

        Raises: Refused("webhook-url-invalid", "invalid-request").
        """
        if not events or any(event not in EVENTS for event in events):
            raise Refused("invalid-request", detail=f"events are among {', '.join(EVENTS)}")
        if await once.peek(self._db) is None:
            await self._allowed(url)
        id_, secret = new_id(), secrets.token_bytes(32)

        async def body(tx: Transaction) -> tuple[str, bytes]:
            kept = await once.claim(tx)
            if kept is not None:  # the answer names the endpoint; its secret stands in its own row
                return kept.decode(), await queries.secret_of(tx, actor, kept.decode())
            now_us = self._clock.now_us()
            await queries.insert(
                tx, id_=id_, actor=actor, url=url, secret=secret, events=",".join(sorted(set(events))), now_us=now_us
            )
            await audit.append(
                tx,
                "webhook.registered",
                organisation=actor.organisation,
                actor=actor.id,
                subject=id_,
                body={"events": events},
                now_us=now_us,
            )
            await once.settle(tx, id_.encode())
            return id_, secret

        made, shown = await self._db.transact(body)
        return made, "whsec_" + base64.b64encode(shown).decode()

    async def mine(self, actor: Actor) -> list[Row]:
        return await queries.mine(self._db, actor)

    async def end(self, actor: Actor, id_: str) -> None:
        """Raises: Refused("not-found")."""

        async def body(tx: Transaction) -> None:
            if not await queries.end(tx, actor, id_):
                raise Refused("not-found")
            now_us = self._clock.now_us()
            await audit.append(
                tx,
                "webhook.ended",
                organisation=actor.organisation,
                actor=actor.id,
                subject=id_,
                body={},
                now_us=now_us,
            )

        await self._db.transact(body)

    async def gone(self, endpoint: str) -> None:
        """The receiver said 410: it wants no more, of anything."""

        async def body(tx: Transaction) -> None:
            organisation = await queries.retire(tx, endpoint)
            if organisation is not None:
                await audit.append(
                    tx, "webhook.gone", organisation=organisation, actor="system", subject=endpoint, body={}, now_us=self._clock.now_us()
                )  # fmt: skip

        await self._db.transact(body)

    async def deliver(self, wanted: Deliver) -> None:
        """Send once. Raises: NotDelivered."""
        row = await queries.endpoint(self._db, wanted.endpoint)
        if row is None or row["state"] != "active":
            return
        try:
            # The client's own times are for each read: an endpoint that drips its answer would hold a slot of the worker for minutes (D14).
            async with asyncio.timeout(2 * self._settings.timeout_s):
                address = await self._allowed(row["url"])
                await self._post(str(row["url"]), address, bytes(row["secret"]), wanted)
        except Refused as error:
            raise NotDelivered(error.code) from None
        except NoAnswer as error:
            raise NotDelivered(error.code) from None
        except OSError as error:
            raise NotDelivered(type(error).__name__) from None

    # What was given up.

    async def give_up(
        self, wanted: Deliver, job: Job, reason: str, finish: Callable[[Transaction], Awaitable[None]]
    ) -> None:
        """Keep the message for its client instead of trying on; with an event and a line for the operator (D14)."""
        now_us = self._clock.now_us()
        subject = (job.ordering_key or "").rpartition(":")[2]
        event = msgspec.json.decode(wanted.body, type=_Event).type
        letter = DeadLetter(wanted.message, event, subject, wanted.body, reason, job.attempt, job.created_us, now_us)

        async def body(tx: Transaction) -> None:
            row = await queries.endpoint(tx, wanted.endpoint)
            assert row is not None, "an endpoint is ended, never deleted"
            await queries.insert_dead_letter(tx, wanted.endpoint, letter)
            await audit.append(
                tx, "webhook.given_up", organisation=row["organisation"], actor="system", subject=wanted.endpoint, body={"message": wanted.message}, now_us=now_us
            )  # fmt: skip
            await finish(tx)

        await self._db.transact(body)
        log.error("webhook-given-up", endpoint=wanted.endpoint, message=wanted.message, reason=reason)

    async def dead_letters(self, actor: Actor, endpoint: str, *, after: str, limit: int) -> list[DeadLetter]:
        """The endpoint's, oldest first. Raises: Refused("not-found") also for an endpoint that has ended."""
        await self._mine(self._db, actor, endpoint)
        return await queries.dead_letters(self._db, endpoint, after=after, limit=limit)

    async def retry(self, actor: Actor, endpoint: str, messages: tuple[str, ...]) -> int:
        """Send dead letters again, each with all its tries: those that are named, else the oldest thousand; how many.

        Raises: Refused("not-found").
        """

        async def body(tx: Transaction) -> int:
            await self._mine(tx, actor, endpoint)
            letters = await queries.take_dead_letters(tx, endpoint, messages, _AT_ONCE)
            for letter in letters:
                await _enqueue(tx, Deliver(endpoint=endpoint, message=letter.id, body=letter.body), letter.subject)
            if letters:
                await audit.append(
                    tx, "webhook.retried", organisation=actor.organisation, actor=actor.id, subject=endpoint, body={"messages": len(letters)},
                    now_us=self._clock.now_us(),
                )  # fmt: skip
            return len(letters)

        return await self._db.transact(body)

    async def sweep(self) -> int:
        """Forget what was given up long ago; how many."""
        return await self._db.transact(lambda tx: queries.sweep_dead_letters(tx, self._clock.now_us() - _KEPT_US))

    async def _mine(self, reads: Reads, actor: Actor, endpoint: str) -> None:
        if not await queries.is_mine(reads, actor, endpoint):
            raise Refused("not-found")

    async def _post(self, url: str, address: str, secret: bytes, wanted: Deliver) -> None:
        """To the address that was checked, under the name that was given (threat C10: no second look-up)."""
        body = wanted.body.encode()
        stamp = self._clock.now_us() // 1_000_000
        parts = urlsplit(url)
        host = f"[{address}]" if ":" in address else address
        port = parts.port or (443 if parts.scheme == "https" else 80)
        target = f"{parts.scheme}://{host}:{port}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")
        headers = {
            "Host": parts.netloc, "Content-Type": "application/json", "webhook-id": wanted.message, "webhook-timestamp": str(stamp),
            "webhook-signature": sign(secret, wanted.message, stamp, body),
        }  # fmt: skip
        name = parts.hostname if parts.scheme == "https" else None
        async with self._http.call("POST", target, headers=headers, body=body, tls_name=name) as answer:
            if not 200 <= answer.status < 300:
                raise NotDelivered(f"HTTP {answer.status}", gone=answer.status == 410)

    async def _allowed(self, url: str) -> str:
        """An address of the URL's host that may be called. Raises: Refused("webhook-url-invalid")."""
        private = self._settings.allow_private_addresses
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise Refused("webhook-url-invalid") from None
        if not url.isascii() or not url.isprintable() or " " in url:
            raise Refused("webhook-url-invalid")
        if (
            parts.scheme not in ({"https", "http"} if private else {"https"})
            or not parts.hostname
            or parts.username
            or parts.fragment
        ):
            raise Refused("webhook-url-invalid")
        if not private and port not in {None, 443}:
            raise Refused("webhook-url-invalid")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port or 443, type=socket.SOCK_STREAM)
        except (OSError, ValueError):  # a label that IDNA cannot say is a ValueError
            raise Refused("webhook-url-invalid") from None
        addresses = {str(entry[4][0]) for entry in found}
        if not private and any(not ipaddress.ip_address(address).is_global for address in addresses):
            raise Refused("webhook-url-invalid")
        return min(addresses)
