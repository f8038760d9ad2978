"""kill -9 over the whole road (D1, A7, A12), in its quick form; the long one is `make soak`'s."""

import pytest

from tests.faults.road import loops

NOTHING = dict.fromkeys(loops.ZERO, 0)


def _zeros(result):
    return {name: result[name] for name in loops.ZERO}


@pytest.mark.asyncio
async def test_kill_at_every_step_of_the_embedded_road(tmp_path):
    result = await loops.kill_rounds(tmp_path / "h", rounds=10, seed=1)
    assert _zeros(result) == NOTHING, result
    assert result["fired"] >= 4, result
    assert result["signatures"] >= 2, result  # else nothing was under way that could have been lost


@pytest.mark.asyncio
async def test_kill_two_servers_and_two_workers_on_postgresql(tmp_path, postgres_url):
    result = await loops.kill_rounds(
        tmp_path / "h", rounds=4, seed=2, database=postgres_url, servers=2, workers=2, journeys=2
    )
    assert _zeros(result) == NOTHING, result
    assert result["signatures"] >= 2, result


@pytest.mark.asyncio
async def test_a_text_replaced_while_it_is_signed(tmp_path):
    """A11: one of both wins, and the signature stands over the bytes of the sheet."""
    result = await loops.replacement_race(tmp_path / "h", rounds=12, seed=6)
    assert {name: result[name] for name in (*loops.ZERO, "wrong", "neither")} == {
        **NOTHING,
        "wrong": 0,
        "neither": 0,
    }, result
    assert result["signed_first"] + result["replaced_first"] == 12
