"""Scripted misbehaviour of the stand-in axis, and what became of it, for tests, demonstrations and operators who try their own system."""

import random
import time
from collections import deque
from pathlib import Path
from typing import Final, Literal

import msgspec

from server.exchange.standin_http import Answer, Dropped, Refusal, envelope

__all__ = ["CALLS", "Fault", "Faults", "Fired", "damaged"]

_SERVER_ERROR: Final = Answer(status=500, body=b"Internal Server Error", content_type="text/plain")
UNAUTHORISED: Final = Answer(status=401, body=b"licenseInfo:invalid", content_type="text/plain")
_HTML: Final = Answer(body=b"<html><body>Bad gateway</body></html>", content_type="text/html")

CALLS: Final = ("sendEdoc", "getReceivedEdocList", "downloadEdoc", "updateStatus", "getSentEdocList", "getSynchronizeUnit", "getAgenciesListQD20")  # fmt: skip
_REMEMBERED: Final = 200

Kind = Literal[
    "drop-after", "drop-before", "late", "twice", "500-after", "500-before", "html", "slow", "401", "refuse", "truncate", "damage", "junk",
    "prefix", "duplicate",
]  # fmt: skip
INSTEAD: Final = frozenset({"drop-before", "500-before", "html", "401", "refuse"})
"""Nothing is done but to say this."""
DAMAGES: Final = frozenset({"truncate", "damage", "junk", "prefix"})
"""Of a download."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One scripted misbehaviour of `call`, `times` times (-1 = always), each time with `probability`; of one `system` or of all.

    `fault`: drop-after, drop-before (connection lost after or before accepting), late (lost, accepted after `delay_ms`), twice
    (accepted two times), 500-after, 500-before, html, slow (answers after `delay_ms`), 401, refuse (with `code` and `description`),
    duplicate (each line of the received list twice). Of a download: truncate (cut short), damage (a byte of the payload that base64
    does not know), junk (text before the XML declaration), prefix (the namespace prefix unbound).
    """

    fault: Kind
    call: str = "sendEdoc"
    times: int = 1
    probability: float = 1.0
    delay_ms: int = 0
    code: str = "20"
    description: str = "Loi he thong"
    system: str = ""


class Fired(msgspec.Struct, frozen=True):
    """A fault that happened: when (µs UTC), which, at which call, to whom."""

    at_us: int
    fault: str
    call: str
    system: str


class Faults:
    """What is scripted now, and the last that happened. Draws repeat: the same script and calls give the same faults."""

    def __init__(self) -> None:
        self.scripted: list[Fault] = []
        self.fired: deque[Fired] = deque(maxlen=_REMEMBERED)
        self.count = 0
        self._random = random.Random(0)  # noqa: S311 - faults must repeat, not be secret

    def draw(self, call: str, system: str) -> Fault | None:
        """The fault of this call, if it is to have one."""
        for index, fault in enumerate(self.scripted):
            if fault.call != call or not fault.times or (fault.system and fault.system.casefold() != system.casefold()):
                continue
            if self._random.random() < fault.probability:
                self.scripted[index] = msgspec.structs.replace(fault, times=max(fault.times - 1, -1))
                self.fired.append(Fired(time.time_ns() // 1000, fault.fault, call, system))
                self.count += 1
                return fault
        return None


def instead(fault: Fault) -> Answer:
    """What is said instead of doing the call. Raises: Dropped, Refusal."""
    match fault.fault:
        case "drop-before":
            raise Dropped
        case "500-before":
            return _SERVER_ERROR
        case "401":
            return UNAUTHORISED
        case "refuse":
            raise Refusal(fault.code, fault.description)
    return _HTML


def afterwards(fault: Fault, answer: Answer, scratch: Path) -> Answer:
    """What is said of a call that was done. Raises: Dropped."""
    match fault.fault:
        case "drop-after":
            raise Dropped
        case "500-after":
            return _SERVER_ERROR
        case "duplicate":
            fields = msgspec.json.decode(answer.body)
            return envelope(**fields | {"data": [line for line in fields["data"] for _ in range(2)]})
        case "truncate" if answer.file:
            return msgspec.structs.replace(answer, size=answer.size // 2)
        case how if how in DAMAGES and answer.file:
            body = damaged(answer.file.read_bytes(), how)
            kept = scratch / f"{answer.file.stem}.{how}"
            kept.write_bytes(body)
            return msgspec.structs.replace(answer, file=kept, size=len(body))
    return answer


def damaged(packet: bytes, how: str) -> bytes:
    match how:
        case "junk":
            return b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n" + packet
        case "prefix":
            return packet.replace(b' xmlns:edXML="http://www.mic.gov.vn/TBT/QCVN_102_2016"', b"")
    middle = len(packet) // 2
    return packet[:middle] + b"\xef\xbf\xbd" + packet[middle + 1 :]
