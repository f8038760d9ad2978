"""How values look on the wire: times RFC 3339 in UTC, bytes base64url without padding."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from server.errors import Refused

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(us: int) -> str:
    """Microseconds since the epoch as `2026-11-22T01:02:03.000004Z`."""
    seconds, rest = divmod(us, 1_000_000)
    return f"{_second(seconds)}.{rest:06d}Z"


@lru_cache(maxsize=16_384)  # the same documents' times are shown again and again, fifty on a page
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def iso_or_none(us: int | None) -> str | None:
    return None if us is None else iso(us)


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64u(text: str) -> bytes:
    """Strict: the text must be the unpadded encoding of what it decodes to.

    Raises: Refused("invalid-request").
    """
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise Refused("invalid-request", detail="not base64url") from None
    if b64u(data) != text:
        raise Refused("invalid-request", detail="not canonical base64url")
    return data
