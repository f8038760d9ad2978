"""Quick forms of the signer's fault loops; the long ones are `make soak`'s."""

import pytest

from tests.faults.signer import loops


@pytest.mark.asyncio
async def test_kill_at_every_point_loses_doubles_and_gives_nothing(tmp_path):
    """A7, A12: 0 lost, doubled or unrecorded signatures, 0 free tries."""
    result = await loops.kill_cycles(tmp_path / "h", rounds=12, seed=1)
    assert result["crashed"] >= 6  # a random moment may come after the work is done
    assert result["derived"] >= 2  # else the witness saw nothing and the count of free tries would mean nothing
    assert {name: result[name] for name in ("lost", "doubled", "unrecorded", "free_tries")} == dict.fromkeys(
        ("lost", "doubled", "unrecorded", "free_tries"), 0
    )


@pytest.mark.asyncio
async def test_200_wrong_pins_at_once_reach_three_derivations(tmp_path):
    """A6."""
    result = await loops.wrong_pin_flood(tmp_path / "h", rounds=2, seed=2)
    assert (result["wrong_derivations"], result["verdict_mismatch"], result["right_pin_accepted"]) == (0, 0, 0)


@pytest.mark.asyncio
async def test_an_old_store_is_refused_at_random_points(tmp_path):
    """A5."""
    assert (await loops.restored_stores(tmp_path / "h", rounds=6, seed=3))["accepted"] == 0


@pytest.mark.asyncio
async def test_a_kill_and_a_restored_store_give_no_free_guess(tmp_path):
    """A5, A7."""
    assert (await loops.verdict_kills(tmp_path / "h", rounds=6, seed=4))["won"] == 0
