"""A small broadcast whose worker is killed, and the judge that sees what it is there to see; `make soak` has twenty large ones (D1)."""

from types import SimpleNamespace

import pytest

from tests.faults.broadcast import Life, _judge, kill_rounds

A, B = ("phone-a", "notice-a"), ("phone-b", "notice-b")


def life(*sent, killed=False, unstored=()):
    records = [
        SimpleNamespace(address=device, answer="slow", body={"message": {"data": {"id": notice}}})
        for device, notice in sent
    ]
    found = Life(SimpleNamespace(records=records), None)
    found.killed, found.unstored = killed, set(unstored)
    return found


@pytest.mark.parametrize(
    ("lives", "lost", "doubled", "repeated"),
    [
        ([life(A), life(B)], 0, 0, 0),
        ([life(A)], 1, 0, 0),
        ([life(A, B, killed=True, unstored=[B]), life(B)], 0, 0, 1),
        # Its answer was stored, nobody was killed, it went twice from one worker, or the sender had not died.
        ([life(A, B, killed=True), life(B)], 0, 1, 0),
        ([life(A, B), life(B)], 0, 1, 0),
        ([life(A, B, B, killed=True, unstored=[B])], 0, 1, 0),
        ([life(A, B, killed=True, unstored=[B]), life(B), life(B)], 0, 1, 1),
        # Under another id, or to another phone, it is another message.
        ([life(A, B, killed=True, unstored=[B]), life(("phone-b", "notice-c"))], 0, 1, 0),
        ([life(A, B, ("phone-a", "notice-b"))], 0, 1, 0),
    ],
)
def test_lost_doubled_and_repeated_are_told_apart(lives, lost, doubled, repeated):
    assert _judge(lives, {A, B}) == {"lost": lost, "doubled": doubled, "repeated": repeated}


@pytest.mark.asyncio
async def test_a_worker_killed_in_a_broadcast_loses_and_doubles_nothing(postgres_url, tmp_path):
    found = await kill_rounds(tmp_path / "h", 1, 1, postgres_url, devices=400, kills=1)
    assert (found["lost"], found["doubled"], found["unsettled"], found["kills"]) == (0, 0, 0, 1)
