"""Jobs of the log: places and heads every second, the signer's head every minute."""

from collections.abc import Mapping

from server.audit.service import AuditService
from server.jobs import Context, Handler, Job, Periodic
from signing.client import SignerClient, SignerError


class AuditTasks:
    def __init__(self, audit: AuditService, signer: SignerClient) -> None:
        self._audit = audit
        self._signer = signer
        self._told = ""

    def handlers(self) -> Mapping[str, Handler]:
        return {}

    def periodic(self) -> list[Periodic]:
        return [
            Periodic(kind="audit.sequence", every_s=1, handler=self.sequence),
            Periodic(kind="audit.signer_head", every_s=60, handler=self.signer_head),
        ]

    async def sequence(self, _job: Job, _context: Context) -> None:
        await self._audit.sequence()

    async def signer_head(self, _job: Job, _context: Context) -> None:
        """A signer that does not answer is the readiness check's business, not a failure of the log."""
        try:
            head = (await self._signer.log_head()).head
        except SignerError:
            return
        if head != self._told:
            await self._audit.record_signer_head(head)
            self._told = head
