"""What the clock does: units are told of steps without a handler, closed dossiers are forgotten."""

from collections.abc import Mapping

from server.jobs import Context, Handler, Job, Periodic
from server.onestop.service import OneStopService


class OneStopTasks:
    def __init__(self, onestop: OneStopService) -> None:
        self._onestop = onestop

    def handlers(self) -> Mapping[str, Handler]:
        return {}

    def periodic(self) -> list[Periodic]:
        return [
            Periodic(kind="onestop.look", every_s=300, handler=self.look),
            Periodic(kind="onestop.sweep", every_s=86_400, handler=self.sweep),
        ]

    async def look(self, _job: Job, _context: Context) -> None:
        await self._onestop.look()

    async def sweep(self, _job: Job, _context: Context) -> None:
        await self._onestop.sweep()
