"""What passes between a stand-in and its server, whichever version of HTTP carries it."""

from collections.abc import Mapping

import msgspec

__all__ = ["CUT", "Cut", "Reply", "Request"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it arrived. Header names are lower case; `path` is decoded; `connection` counts from 1."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    connection: int
    arrived_us: int


class Reply(msgspec.Struct, frozen=True):
    """One answer. `delay_s` is slept through before the first byte leaves."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}
    delay_s: float = 0.0


class Cut(msgspec.Struct, frozen=True):
    """Instead of an answer: close the connection without a byte, `delay_s` after the request was read."""

    delay_s: float = 0.0


CUT = Cut()
