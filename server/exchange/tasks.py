"""Jobs of the exchange: forwarding, the two polls of what waits for us at each system's axis, and the agency list once a day."""

import functools
from collections.abc import Mapping

from server.documents.service import Forward, Recall
from server.exchange import messages
from server.exchange.directory.service import Agencies
from server.exchange.model import PacketKind
from server.exchange.service import ExchangeService
from server.jobs import Context, Handler, Job, Lane, Periodic, Retry

_DAY_S = 86_400
_WAIT_S = 300.0


class ExchangeTasks:
    def __init__(self, exchange: ExchangeService) -> None:
        self._exchange = exchange

    def handlers(self) -> Mapping[str, Handler]:
        return {"exchange.forward": self.forward, messages.JOB: self.message, "exchange.recall": self.recall}

    def periodic(self) -> list[Periodic]:
        every_s = max(1, round(self._exchange.poll_s))
        # Each system's own, since an axis that answers nothing lets a poll wait for its time-out.
        polls = [
            Periodic(kind=f"exchange.{name}{behind}", every_s=every_s, handler=functools.partial(poll, system=key))
            for key in self._exchange.systems
            for behind in (f":{key}" if key else "",)
            for name, poll in (("statuses", self.statuses), ("documents", self.documents))
        ]
        return [
            *polls,
            Periodic(kind="exchange.drop_packets", every_s=_DAY_S, handler=self.drop_packets, lane=Lane.BULK),
        ]

    async def forward(self, job: Job, context: Context) -> None:
        # A job that an operator revived counts its attempts from the start again.
        await self._exchange.forward(job.decode(Forward).document, context, revived=job.attempt == 1)

    async def message(self, job: Job, context: Context) -> None:
        await self._exchange.send_message(job.decode(messages.Send).message, context, revived=job.attempt == 1)

    async def recall(self, job: Job, _context: Context) -> None:
        asked = job.decode(Recall)
        await self._exchange.recall(asked.document, asked.reason)

    async def drop_packets(self, _job: Job, _context: Context) -> None:
        await self._exchange.drop_packets()

    async def statuses(self, _job: Job, _context: Context, *, system: str = "") -> None:
        await self._exchange.poll(PacketKind.STATUS, system)
        await self._exchange.look_for_deliveries(system)

    async def documents(self, _job: Job, _context: Context, *, system: str = "") -> None:
        await self._exchange.poll(PacketKind.DOCUMENT, system)


class AgencyTasks:
    """Each axis' list is a job of its own: one that is away delays no other."""

    def __init__(self, agencies: Agencies) -> None:
        self._agencies = agencies

    def handlers(self) -> Mapping[str, Handler]:
        return {}

    def periodic(self) -> list[Periodic]:
        return [
            Periodic(
                kind=f"exchange.agencies:{axis}" if place else "exchange.agencies",
                every_s=_DAY_S,
                handler=functools.partial(self.synchronise, axis=axis),
                lane=Lane.BULK,
            )
            for place, axis in enumerate(self._agencies.axes)
        ]

    async def synchronise(self, _job: Job, _context: Context, *, axis: str) -> None:
        if not await self._agencies.take_over(axis):
            raise Retry(_WAIT_S, "axis-away")
