"""Grants of authority as a leader's phone makes them."""

import time
from typing import Any

from server.authority.model import GRANT_TYP, Form, Grant
from server.identity.model import Role
from signing.core.codec import sign_jws
from signing.device import new_credential_id
from tests.api.conftest import World
from tests.fakes.stack import ORGANISATION, Caller

HOUR = 3_600_000_000


def signed(grantor: Caller, holder: Caller, /, **changes: Any) -> str:
    """A KT. grant of everything for an hour, but for `changes`."""
    now_us = time.time_ns() // 1000
    values: dict[str, Any] = {
        "v": 1, "organisation": ORGANISATION, "form": Form.KT, "grantor": grantor.person, "holder": holder.person, "line": "CHỦ TỊCH",
        "paper": "Quyết định số 12/QĐ-UBND", "types": (), "urgency": 4, "parent": "", "not_before": now_us - HOUR, "not_after": now_us + HOUR,
        "nonce": new_credential_id(), **changes,
    }  # fmt: skip
    return sign_jws(Grant(**values), GRANT_TYP, grantor.approval)


async def give(grantor: Caller, holder: Caller, /, **changes: Any) -> Any:
    return await grantor.call("POST", "/api/v1/grants", json={"grant": signed(grantor, holder, **changes)})


async def granted(grantor: Caller, holder: Caller, /, **changes: Any) -> dict[str, Any]:
    answer = await give(grantor, holder, **changes)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def deputy(world: World, name: str = "Mai Văn Mẫu", position: str = "PHÓ CHỦ TỊCH") -> Caller:
    """A further leader, who cannot sign yet."""
    return await world.stack.person(name, Role.LEADER, position=position)


async def admitted(world: World, caller: Caller) -> Caller:
    """As if the signer had admitted the phone's approval key."""
    await world.execute("UPDATE devices SET admitted_us = 1 WHERE id = $1", caller.device)
    return caller


__all__ = ["HOUR", "Form", "admitted", "deputy", "give", "granted", "signed"]
