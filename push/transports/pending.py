"""What a connection and its client say to each other: an answer, or why there is none."""

import json
from typing import Any

import msgspec

__all__ = ["MAX_ANSWER", "Answer", "LostError", "UnsentError"]

MAX_ANSWER = 60_000
"""Bytes of an answer at most; a push service's are below 2 kB. Under HTTP/2's first stream window (RFC 9113, 6.9.2)."""


class Answer(msgspec.Struct, frozen=True):
    """One answer. Header names are lower case; those of a 200 may be left out, `status_code` 0 is none that makes sense."""

    status_code: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return json.loads(self.content)


class LostError(Exception):
    """There will be no answer, and the request may have been acted upon."""


class UnsentError(Exception):
    """The service told that it did not look at the request: it may be sent again at once (RFC 9113, 8.7)."""
