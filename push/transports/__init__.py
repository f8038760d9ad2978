"""Adapters to push services. Importing this package loads no vendor's SDK."""

import asyncio
import importlib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from push.model import Lane
from push.subscription import EndpointPolicy
from push.transports.email import EmailTransport, MailServer
from push.vapid import VapidKey

if TYPE_CHECKING:
    from push.transports.fcm import FcmTransport
    from push.transports.fcm_wire import FcmWireTransport
    from push.transports.sms import SmsTransport
    from push.transports.webpush import WebPushTransport

__all__ = [
    "EmailTransport",
    "FcmWire",
    "MailServer",
    "open_email",
    "open_fcm",
    "open_mailer",
    "open_sms",
    "open_webpush",
]


class FcmWire(StrEnum):
    """What carries FCM's messages."""

    OWN = "own"  # HTTP/2 by h2, HTTP/1.1 where no more is offered
    STOCK = "stock"  # firebase-admin's `send_each_async`, the reference


async def open_fcm(
    service_account: Path | Mapping[str, Any],
    *,
    base_url: str | None = None,
    timeout_s: float = 10.0,
    wire: FcmWire = FcmWire.OWN,
) -> "Mapping[Lane, FcmTransport | FcmWireTransport]":
    """One FCM transport per lane (own app and connections each), sharing one access token.

    The SDK is imported in a thread, because that takes half a second which the event loop has better use for.
    `service_account` is a key file or its JSON content. `base_url` replaces Google's host, for a local double.
    `wire`: the measured decision stands in this package's README.
    Raises `push.transports.fcm.TransportUnavailableError` where the credentials or the installed SDK do not fit.
    """
    name = "push.transports.fcm_wire" if wire is FcmWire.OWN else "push.transports.fcm"
    fcm = await asyncio.to_thread(importlib.import_module, name)
    return await fcm.open_lanes(service_account, base_url=base_url, timeout_s=timeout_s)  # type: ignore[no-any-return]


def open_webpush(vapid: VapidKey, policy: EndpointPolicy, *, timeout_s: float = 10.0) -> "dict[Lane, WebPushTransport]":
    """One Web Push transport per lane, own connections each. Nothing is opened before the first send."""
    from push.transports.webpush import WebPushTransport

    return {lane: WebPushTransport(vapid, policy, timeout_s=timeout_s) for lane in Lane}


async def open_sms(url: str, token: str, *, timeout_s: float = 10.0) -> "dict[Lane, SmsTransport]":
    """One client of the SMS gateway per lane. Raises ValueError for a URL that is none."""
    from push.transports.http import origin_of
    from push.transports.sms import SmsTransport

    origin = await asyncio.to_thread(origin_of, url)
    return {lane: SmsTransport(origin, url, token, timeout_s=timeout_s) for lane in Lane}


def open_mailer(server: MailServer, *, timeout_s: float = 15.0) -> EmailTransport:
    """One sender of mail for what is no notice: invitations to meetings."""
    return EmailTransport(server, timeout_s=timeout_s)


def open_email(server: MailServer, *, timeout_s: float = 15.0) -> dict[Lane, EmailTransport]:
    """One sender of e-mail per lane."""
    return {lane: EmailTransport(server, timeout_s=timeout_s) for lane in Lane}
