"""Two servers on PostgreSQL under floods and restarts, in their quick forms (A6, A8, D10, D11); `make soak` has the long ones."""

import pytest

from tests.faults.road import loops

NOTHING = dict.fromkeys(loops.ZERO, 0)


@pytest.mark.asyncio
async def test_200_wrong_pins_over_two_servers_reach_three_derivations(tmp_path, postgres_url):
    result = await loops.wrong_pin_flood(tmp_path / "h", 200, 3, postgres_url)
    expected = ("wrong_derivations", "verdict_mismatch", "right_pin_accepted", "charged_by_strangers")
    assert {name: result[name] for name in expected} == dict.fromkeys(expected, 0), result


@pytest.mark.asyncio
async def test_a_database_that_restarts_three_times_loses_nothing(tmp_path, postgres_cluster, postgres_url):
    result = await loops.database_restarts(tmp_path / "h", 3, 4, postgres_cluster, postgres_url)
    assert {name: result[name] for name in loops.ZERO} == NOTHING, result
    assert result["internal"] == 0, result  # a lost database is a listed problem, never a defect of ours
    assert result["signatures"] >= 2, result


@pytest.mark.asyncio
async def test_servers_end_and_come_back_without_a_failed_request(tmp_path, postgres_url):
    result = await loops.rolling_restarts(tmp_path / "h", 2, 5, postgres_url, journeys=2)
    assert {name: result[name] for name in (*loops.ZERO, "failed", "killed")} == {
        **NOTHING,
        "failed": 0,
        "killed": 0,
    }, result
    assert result["signatures"] >= 2, result
