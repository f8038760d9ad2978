"""Receivers whose code has ended: what still waits for them goes to who has their units now (reference §6.6, EXC-3).

Agencies merge and their codes are closed while packets wait here. An axis refuses a closed code, so a packet that it certainly does not
have is addressed anew: same document, same DocumentId, another receiver.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from server.db import Reads
from server.documents.model import clean
from server.exchange.directory import queries as directory
from server.exchange.directory.service import REFRESH_S, Agencies
from server.exchange.model import Organisation

__all__ = ["GONE", "Successor", "addressed", "moved", "wait_s"]

GONE: Final = frozenset({"18", "23"})
"""What an axis says of a receiver that it does not know, or has closed (reference §9)."""
_NAME: Final = 200


class Successor(msgspec.Struct, frozen=True):
    code: str
    name: str


async def moved(db: Reads, axis: str, codes: Collection[str]) -> dict[str, Successor]:
    """Of these codes those that the kept list of this axis closed in favour of another, each with who has the unit now."""
    found = {}
    for code in await directory.succeeded(db, axis, codes):
        now = await directory.current(db, axis, code)
        if now == code:
            continue
        rows = await directory.by_code(db, axis, now.strip().casefold())
        found[code] = Successor(now, clean(rows[0].name)[:_NAME] if rows else "")
    return found


async def wait_s(db: Reads, agencies: Agencies, axis: str, codes: Collection[str], before: str) -> float | None:
    """After how many seconds a packet that was refused for a receiver's code is looked at again; None: a person must look.

    At once where the axis' own list, read anew, says who has the unit now. A list that cannot be had yet is waited for once: `before` is
    what the packet was refused with the last time.
    """
    fresh = await agencies.of(axis).refresh()
    if await moved(db, axis, codes):
        return 0.0
    return None if fresh or before in GONE else REFRESH_S


def addressed(receivers: Iterable[Organisation], moves: Mapping[str, Successor]) -> tuple[Organisation, ...]:
    """The receivers as they are now, each once: two that merged get one copy."""
    found: dict[str, Organisation] = {}
    for to in receivers:
        move = moves.get(to.organ_id)
        now = to if move is None else msgspec.structs.replace(to, organ_id=move.code, name=move.name or to.name)
        found.setdefault(now.organ_id.strip().casefold(), now)
    return tuple(found.values())
