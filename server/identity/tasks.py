"""Jobs of identity: telling the signer what the server has already decided, and forgetting what has ended.

Both calls to the signer state the wish and not the step, so a job that runs twice, or after a newer one, does no harm.
"""

from typing import Final

from server.db import Transaction
from server.identity.model import SignerPort
from server.identity.service import ALIGN_FREEZE, REVOKE_AT_SIGNER, AlignFreeze, IdentityService, RevokeAtSigner
from server.jobs import Context, Handler, Job, Periodic

SWEEP: Final = "identity.sweep"
SWEEP_SECONDS: Final = 60


def handlers(identity: IdentityService, signer: SignerPort) -> dict[str, Handler]:
    """Job kinds to handlers. A signer that does not answer raises, and the queue's schedule tries again."""

    async def revoke(job: Job, _context: Context) -> None:
        what = job.decode(RevokeAtSigner)
        await signer.revoke_device(organisation=what.organisation, person=what.person, approval_key=what.approval_key)

    async def align_freeze(job: Job, context: Context) -> None:
        what = job.decode(AlignFreeze)
        frozen = await identity.is_frozen(context.db, what.person)
        await signer.set_frozen(organisation=what.organisation, person=what.person, frozen=frozen)

    return {REVOKE_AT_SIGNER: revoke, ALIGN_FREEZE: align_freeze}


def periodic(identity: IdentityService) -> list[Periodic]:
    return [Periodic(kind=SWEEP, every_s=SWEEP_SECONDS, handler=_sweeper(identity))]


def _sweeper(identity: IdentityService) -> Handler:
    async def sweep(_job: Job, context: Context) -> None:
        async def body(tx: Transaction) -> None:
            await identity.sweep(tx)

        await context.db.transact(body)

    return sweep
