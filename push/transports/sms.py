"""Text messages through an agency's SMS gateway over HTTP: a channel of escalation, as content-free as a push (NOT-3, C12).

One POST of JSON a message, `{"to": "+84…", "text": …, "reference": …}` with `Authorization: Bearer …`; any 2xx is "taken". Gateways differ;
whose speaks otherwise gets a small relay in front. `reference` is the notice's opaque id, for the gateway's log.
"""

import re
import time
from urllib.parse import urlsplit

import msgspec

from push.model import Address, AddressKind
from push.outcome import Delivered, Misconfigured, Outcome, Rejected, RetryAfter, RetryCause, parse_retry_after
from push.payload import Payload
from push.transports.http import HttpClient, NoAnswerError, Origin

__all__ = ["NUMBER", "SmsTransport"]

NUMBER = re.compile(r"\+[1-9][0-9]{7,14}")
"""E.164, with the plus sign."""


class SmsTransport:
    """One lane's connections to the gateway at `url`. Belongs to the event loop that first sends with it."""

    def __init__(self, origin: Origin, url: str, token: str, *, timeout_s: float) -> None:
        parts = urlsplit(url)
        self._client = HttpClient(origin, timeout_s=timeout_s)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers: tuple[tuple[str, str], ...] = (("host", origin.authority), ("content-type", "application/json"))
        if token:
            self._headers += (("authorization", f"Bearer {token}"),)

    async def send(self, address: Address, payload: Payload) -> Outcome:
        """Send once. A connection lost on the way may have carried the message: it is tried again (two texts are better than none)."""
        if address.kind is not AddressKind.PHONE or not NUMBER.fullmatch(address.value) or payload.silent:
            return Rejected("not-a-number")
        text = f"{payload.title}: {payload.body}"
        body = msgspec.json.encode({"to": address.value, "text": text, "reference": payload.data.get("id", "")})
        try:
            answer = await self._client.post(self._path, self._headers, body)
        except NoAnswerError:
            return RetryAfter(RetryCause.UNREACHABLE)
        return _judge(answer.status_code, answer.headers.get("retry-after"))

    async def check(self) -> Outcome | None:
        """Why the gateway cannot be reached; None when it can. Nothing is sent: only a message would try the token."""
        try:
            await self._client.reach()
        except NoAnswerError:
            return RetryAfter(RetryCause.UNREACHABLE)
        return None

    async def close(self) -> None:
        await self._client.close()


def _judge(status: int, retry_after: str | None) -> Outcome:
    """The gateway's answer; its body, which is another party's text, decides nothing."""
    if 200 <= status < 300:
        return Delivered("sms")
    wait_s = parse_retry_after(retry_after, time.time())
    if status == 429:
        return RetryAfter(RetryCause.QUOTA, wait_s)
    if status in {401, 403, 404, 405}:
        return Misconfigured("sms-gateway-refused")
    if status >= 500 or status == 408:
        return RetryAfter(RetryCause.UNAVAILABLE, wait_s)
    if status >= 400:
        return Rejected("sms-refused")
    return RetryAfter(RetryCause.UNREACHABLE, wait_s)  # a redirect: something stands between
