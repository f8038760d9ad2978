"""A record is of one moment: what moves while the log's next head is waited for is read again."""

import asyncio
from typing import Any

import pytest

from server.errors import Refused
from server.preservation.record import RecordService


def test_what_the_log_proves_and_what_the_record_names_are_of_one_moment() -> None:
    """An arrival that is registered meanwhile would be in the log with a number that its record does not name."""
    rooms: Any = dict.fromkeys(("db", "blobs", "audit", "exchange", "arrivals"))
    made: Any = RecordService(**rooms, roots=(), now_us=lambda: 0)
    state, moves = ["waiting"], ["registered"]

    async def logged(_actor: object, _subject: str) -> tuple[list[Any], bytes, list[bytes]]:
        if moves:
            state.append(moves.pop())
        return [*state], b"", []

    async def read() -> str:
        return state[-1]

    made._logged = logged
    found, (events, _, _) = asyncio.run(made._at_once(None, "a", read))
    assert (found, events) == ("registered", ["waiting", "registered"])
    moves += map(str, range(100))
    with pytest.raises(Refused) as caught:
        asyncio.run(made._at_once(None, "a", read))
    assert caught.value.code == "file-pending"
