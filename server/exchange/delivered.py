"""Who has a packet although nobody says so: the axis' sent list is asked about receivers whose 01 does not come (reference §7.1, §8.6)."""

import functools
from typing import Final

import structlog

from server.clock import Clock
from server.db import Database, Transaction
from server.exchange import queries
from server.exchange.axis import CREDENTIALS, AxisUnavailable, SentItem
from server.exchange.delivery import Event, on_event
from server.exchange.delivery import State as DeliveryState
from server.exchange.directory import queries as directory
from server.exchange.model import ExchangeError, PacketKind
from server.exchange.queries import PacketRow
from server.exchange.systems import System

log = structlog.get_logger()

_SILENT_US: Final = 15 * 60_000_000
_LOOKED_BACK_US: Final = 30 * 86_400_000_000
_AT_ONCE: Final = 20
_TAKEN: Final = "done"


class Delivered:
    """Each packet is asked about a quarter of an hour after the axis took it, then whenever it has waited as long again."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def look(self, system: System) -> int:
        """Ask about what is due of what it sent, some at a time; how many receivers turned out to have it. An axis that is down is not asked (D3)."""
        now_us = self._clock.now_us()
        seen = 0
        for packet in await queries.silent(
            self._db, system.names, now_us, now_us - _LOOKED_BACK_US, now_us - _SILENT_US, limit=_AT_ONCE
        ):
            if not await system.breaker.passes():
                break
            try:
                items = await self._asked(system, packet)
            except ExchangeError as error:
                if isinstance(error, AxisUnavailable) or error.code in CREDENTIALS:
                    await system.breaker.unheard()
                    break
                log.warning(
                    "sent-list-refused", code=error.code
                )  # of this packet: it must not hold up the others (D14)
                items = []
            await system.breaker.seen()
            keep = functools.partial(self._keep, axis=system.url, packet=packet, items=items)
            seen += await self._db.transact(keep)
        return seen

    async def _asked(self, system: System, packet: PacketRow) -> list[SentItem]:
        """The copies of the packet, and of what brought it to further receivers."""
        further = [one.doc_id for one in await queries.messages(self._db, packet.document) if one.what == "new"]
        found = []
        for doc_id in filter(None, (packet.doc_id, *further)):
            found += [
                item
                for item in await system.axis.sent(PacketKind.DOCUMENT, doc_id)
                if item.sender_doc_id == doc_id and item.receive_status == _TAKEN
            ]
        return found

    async def _keep(self, tx: Transaction, *, axis: str, packet: PacketRow, items: list[SentItem]) -> int:
        now_us = self._clock.now_us()
        await queries.mark_asked(tx, packet.id, now_us)
        seen = 0
        for receiver in await queries.receivers(tx, packet.id):
            after = on_event(receiver.delivery, Event.DELIVERY_SEEN).delivery
            if receiver.state is not DeliveryState.ACCEPTED_BY_EXCHANGE:
                continue
            if any([await directory.same(tx, axis, item.receiver, receiver.organ_id) for item in items]):
                await queries.set_receiver(tx, receiver, after, receiver.status_code, now_us)
                seen += 1
        return seen
