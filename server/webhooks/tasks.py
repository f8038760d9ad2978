"""The job that delivers webhooks: own back-off by the queue, given up after days, ended when the receiver says 410."""

from collections.abc import Mapping

from server.clock import Clock
from server.jobs import Context, Handler, Job, Periodic, Retry
from server.webhooks.service import Deliver, NotDelivered, WebhookService


class WebhookTasks:
    def __init__(self, webhooks: WebhookService, clock: Clock, give_up_after_s: int) -> None:
        self._webhooks = webhooks
        self._clock = clock
        self._give_up_us = give_up_after_s * 1_000_000

    def handlers(self) -> Mapping[str, Handler]:
        return {"webhooks.deliver": self.deliver}

    def periodic(self) -> list[Periodic]:
        return [Periodic(kind="webhooks.sweep", every_s=86_400, handler=self.sweep)]

    async def deliver(self, job: Job, context: Context) -> None:
        wanted = job.decode(Deliver)
        try:
            await self._webhooks.deliver(wanted)
        except NotDelivered as error:
            if error.gone:
                await self._webhooks.gone(wanted.endpoint)
            elif self._clock.now_us() - job.created_us > self._give_up_us:
                await self._webhooks.give_up(wanted, job, str(error), context.finish)
            else:
                raise Retry(None, str(error)) from None

    async def sweep(self, _job: Job, _context: Context) -> None:
        await self._webhooks.sweep()
