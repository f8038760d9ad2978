"""An archive's revision that its comparison refused is not stamped again every few minutes: what was refused once is refused again."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.documents.model import State
from server.errors import Refused
from server.jobs import Retry
from server.preservation.service import PreservationService


class _Database:
    async def read(self, _body: object) -> tuple[object, None]:
        return SimpleNamespace(id="d", head="0" * 64, state=State.SEALED_PENDING_ARCHIVE), None


@pytest.mark.asyncio
@pytest.mark.parametrize(("code", "hours"), [("changed-beyond-signature", 1), ("integrity-failed", 1), ("busy", None)])
async def test_a_refused_revision_waits_longer_than_a_busy_machine(
    monkeypatch: pytest.MonkeyPatch, code: str, hours: int | None
) -> None:
    nothing = cast("Any", None)
    service = PreservationService(
        db=cast("Any", _Database()), blobs=nothing, pdf=nothing, previews=nothing, revocation=nothing, stamps=nothing,
        clock=nothing, level="B-LTA", wait_us=0, fallback="hold", renewal_us=0,
    )  # fmt: skip

    async def refused(*_: object) -> None:
        raise Refused(code)

    monkeypatch.setattr(service, "_extend", refused)
    with pytest.raises(Retry) as caught:
        await service.archive("d", nothing)
    assert (caught.value.after_s, caught.value.reason) == (hours and hours * 3600.0, code)
