"""Time-stamp tokens from the configured authorities, in their order (RFC 3161; threats D5, D7).

A reply is judged by `signing.pdf.timestamp`; this module only carries it over HTTP. Outbound calls go to configured
URLs and nowhere else (threat C11).
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence

import structlog
from cryptography import x509

from server.clock import Clock
from server.outgoing import AnswerTooLarge, NoAnswer, Outgoing
from signing.pdf.errors import PdfError
from signing.pdf.timestamp import MAX_REPLY, TimeStampToken, TimeStampTrust, check_reply, timestamp_request

log = structlog.get_logger()

_WHOLE = 2
"""How many times `timeout_s` a whole call may take: each wait alone would let an authority drip its answer for hours."""


def not_after_us(certificate: bytes) -> int:
    """When a certificate (DER) ends, microseconds UTC."""
    return int(x509.load_der_x509_certificate(certificate).not_valid_after_utc.timestamp()) * 1_000_000


class NoStamp(Exception):  # noqa: N818 - said as it is: there is none now
    """No authority gave a usable token; the signature waits for the next try."""


class TimeStamps:
    """Asks the authorities one after the other until a token holds. `revoked`: whether an authority's certificate (DER) is known to be."""

    def __init__(
        self,
        urls: Sequence[str],
        trust: TimeStampTrust,
        clock: Clock,
        *,
        timeout_s: float = 10.0,
        revoked: Callable[[bytes], Awaitable[bool]] | None = None,
    ) -> None:
        self._urls = tuple(urls)
        self._trust = trust
        self._clock = clock
        self._revoked = revoked
        self._timeout_s = timeout_s
        self._http = Outgoing(read_s=timeout_s)

    async def close(self) -> None:
        await self._http.close()

    async def fetch(self, signature: bytes, *, room: int = MAX_REPLY, not_before_us: int = 0) -> bytes:
        """The DER of a time-stamp token over SHA-256 of a raw signature value; see `fetch_imprint`."""
        imprint = hashlib.sha256(signature).digest()
        return (await self.fetch_imprint(imprint, room=room, not_before_us=not_before_us)).der

    async def fetch_imprint(
        self, imprint: bytes, *, room: int = MAX_REPLY, not_before_us: int = 0, ends_after_us: int = 0
    ) -> TimeStampToken:
        """A verified token over a SHA-256 digest.

        A token of more than `room` bytes, of a second before `not_before_us` (the signature's `/M`), or of a certificate that does
        not outlive `ends_after_us` or is revoked (RFC 3161, 4) is left to the next authority. Raises: NoStamp.
        """
        for url in self._urls:
            nonce = secrets.randbits(63) | 1
            try:
                reply = await self._post(url, timestamp_request(imprint, nonce))
                token = check_reply(reply, imprint, nonce, trust=self._trust, now_us=self._clock.now_us())
                early = token.gen_time_us // 1_000_000 < not_before_us // 1_000_000
                if self._revoked is not None and await self._revoked(token.certificate):
                    log.warning("time-stamp-authority-revoked")
                    continue
                if len(token.der) <= room and not early and not_after_us(token.certificate) > ends_after_us:
                    return token
                log.warning("time-stamp-unfit", size=len(token.der))
            except (NoAnswer, PdfError, OSError) as error:
                log.warning("time-stamp-failed", cause=getattr(error, "code", type(error).__name__))
        raise NoStamp("no authority answered with a token that holds")

    async def ask(self, url: str, signature: bytes) -> TimeStampToken:
        """One authority's verified token over SHA-256 of a raw signature value.

        Raises: PdfError with a `tsa-...` code; NoAnswer or OSError where there is no answer.
        """
        imprint, nonce = hashlib.sha256(signature).digest(), secrets.randbits(63) | 1
        reply = await self._post(url, timestamp_request(imprint, nonce))
        return check_reply(reply, imprint, nonce, trust=self._trust, now_us=self._clock.now_us())

    async def _post(self, url: str, body: bytes) -> bytes:
        headers = {"Content-Type": "application/timestamp-query"}
        async with (
            asyncio.timeout(_WHOLE * self._timeout_s),
            self._http.call("POST", url, headers=headers, body=body) as answer,
        ):
            if answer.status != 200:
                raise PdfError("tsa-bad-reply", f"HTTP {answer.status}")
            try:
                return await answer.read(MAX_REPLY)
            except AnswerTooLarge:
                raise PdfError("tsa-bad-reply", "the reply is too large") from None
