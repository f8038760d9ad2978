"""Values of webhooks."""

import msgspec


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that was given up. It keeps its id when it is sent again: the receiver drops it when it had come after all."""

    id: str
    event: str
    subject: str
    body: str
    reason: str
    attempts: int
    created_us: int
    died_us: int
