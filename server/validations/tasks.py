"""Job `validations.incoming`: the files of a packet that the exchange brought (EXC-2)."""

from collections.abc import Mapping

from server.jobs import Context, Handler, Job, Periodic
from server.validations.service import IncomingPacket, ValidationService


class ValidationTasks:
    def __init__(self, validations: ValidationService) -> None:
        self._validations = validations

    def handlers(self) -> Mapping[str, Handler]:
        return {"validations.incoming": self.incoming}

    def periodic(self) -> list[Periodic]:
        return []

    async def incoming(self, job: Job, _context: Context) -> None:
        await self._validations.judge_packet(job.decode(IncomingPacket))
