"""A push service in memory: records what it was given, answers what it was told to."""

from collections import deque
from collections.abc import Iterable

from push.model import Address
from push.outcome import Delivered, Outcome, Rejected
from push.payload import Payload, PayloadTooLargeError, check_size

__all__ = ["RecorderTransport"]


class RecorderTransport:
    """For tests and for running without a push service. `sent` holds (address, payload) of accepted pushes in order."""

    def __init__(self) -> None:
        self.sent: list[tuple[Address, Payload]] = []
        self.closed = False
        self._answers: dict[str, deque[Outcome]] = {}

    def script(self, address: Address, outcomes: Iterable[Outcome]) -> None:
        """Answer the next pushes to `address` with these outcomes, then accept again."""
        self._answers[address.value] = deque(outcomes)

    async def send(self, address: Address, payload: Payload) -> Outcome:
        try:
            check_size(payload)
        except PayloadTooLargeError as error:
            return Rejected(error.code)
        queue = self._answers.get(address.value)
        outcome = queue.popleft() if queue else Delivered(f"recorded-{len(self.sent) + 1}")
        if isinstance(outcome, Delivered):
            self.sent.append((address, payload))
        return outcome

    async def close(self) -> None:
        self.closed = True
