"""Adapters to push services. Importing this package loads no vendor's SDK."""

import asyncio
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from push.model import Lane
from push.subscription import EndpointPolicy
from push.vapid import VapidKey

if TYPE_CHECKING:
    from push.transports.fcm import FcmTransport
    from push.transports.webpush import WebPushTransport

__all__ = ["open_fcm", "open_webpush"]


async def open_fcm(
    service_account: Path | Mapping[str, Any], *, base_url: str | None = None, timeout_s: float = 10.0
) -> "dict[Lane, FcmTransport]":
    """One FCM transport per lane (own app and connections each), sharing one access token.

    The SDK is imported in a thread, because that takes half a second which the event loop has better use for.
    `service_account` is a key file or its JSON content. `base_url` replaces Google's host, for a local double.
    Raises `push.transports.fcm.TransportUnavailableError` where the credentials or the installed SDK do not fit.
    """
    fcm = await asyncio.to_thread(importlib.import_module, "push.transports.fcm")
    return await fcm.open_lanes(service_account, base_url=base_url, timeout_s=timeout_s)  # type: ignore[no-any-return]


def open_webpush(vapid: VapidKey, policy: EndpointPolicy, *, timeout_s: float = 10.0) -> "dict[Lane, WebPushTransport]":
    """One Web Push transport per lane, own connections each. Nothing is opened before the first send."""
    from push.transports.webpush import WebPushTransport

    return {lane: WebPushTransport(vapid, policy, timeout_s=timeout_s) for lane in Lane}
