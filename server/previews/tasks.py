"""Jobs of previews."""

from collections.abc import Mapping

from server.documents.service import WarmPreviews
from server.errors import Refused
from server.jobs import Context, Handler, Job, Periodic, Retry
from server.previews.service import PreviewService
from server.sandbox.model import Priority


class PreviewTasks:
    def __init__(self, previews: PreviewService) -> None:
        self._previews = previews

    def handlers(self) -> Mapping[str, Handler]:
        return {"previews.warm": self.warm}

    def periodic(self) -> list[Periodic]:
        return []

    async def warm(self, job: Job, _context: Context) -> None:
        """Draw a revision before anybody asks. "Cannot be shown" is an outcome, remembered, and no reason to try again."""
        try:
            await self._previews.images(job.decode(WarmPreviews).revision, Priority.BACKGROUND)
        except Refused as error:
            if error.code == "busy":
                raise Retry(2, "busy") from None
            if error.code != "cannot-be-shown":
                raise
