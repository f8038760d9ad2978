"""While servers are replaced one after another, those of the version before still enqueue what this one does not need."""

from typing import Any, cast

import pytest

from server.approvals.tasks import ApprovalTasks
from server.documents.model import State


@pytest.mark.asyncio
async def test_a_verdict_that_is_asked_for_in_advance_ends_as_done() -> None:
    nothing = cast("Any", None)
    tasks = ApprovalTasks(
        db=nothing, blobs=nothing, approvals=nothing, previews=nothing, pdf=nothing, stamps=nothing, clock=nothing,
        sealed=State.SEALED,
    )  # fmt: skip
    await tasks.handlers()["approvals.validate"](nothing, nothing)
