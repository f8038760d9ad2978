"""Proofs that are spent together are still each spent once (threat C5)."""

import asyncio

import pytest

from server.clock import SystemClock
from server.db import migrate, open_database
from server.errors import Refused
from server.identity.dpop import Proof
from server.identity.proofs import Proofs


def proof(name: str) -> Proof:
    return Proof(thumbprint="t", seen=name, expires_us=2**60, jti=name)


async def outcomes(*calls):
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(answer == [] or (isinstance(answer, Refused) and answer.code == "proof-invalid") for answer in answers)
    return [answer == [] for answer in answers]


@pytest.mark.asyncio
async def test_of_equal_proofs_in_a_group_one_is_accepted_and_the_others_of_the_group_are_not_hurt(tmp_path):
    db = await open_database(f"sqlite://{tmp_path}/a.db")
    await migrate(db)
    here, there = Proofs(db, SystemClock()), Proofs(db, SystemClock())
    names = [f"p{n % 100}" for n in range(300)]  # each three times, over two processes' worth of groups
    accepted = await outcomes(*((here, there)[n % 2].spend(proof(name), "void") for n, name in enumerate(names)))
    assert sum(accepted) == 100
    assert {name for name, fine in zip(names, accepted, strict=True) if fine} == set(names)
    assert await outcomes(*(here.spend(proof(name), "void") for name in names)) == [False] * 300
    await db.close()


@pytest.mark.asyncio
async def test_a_caller_that_goes_away_has_spent_its_proof_and_the_others_are_answered(tmp_path):
    db = await open_database(f"sqlite://{tmp_path}/a.db")
    await migrate(db)
    proofs = Proofs(db, SystemClock())
    gone = asyncio.create_task(proofs.spend(proof("gone"), "void"))
    stays = asyncio.create_task(proofs.spend(proof("stays"), "void"))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == []
    assert await outcomes(proofs.spend(proof("gone"), "void")) == [False]
    await db.close()


@pytest.mark.asyncio
async def test_a_failing_database_fails_every_caller_of_the_group_and_none_waits_for_ever(tmp_path):
    db = await open_database(f"sqlite://{tmp_path}/a.db")  # without its tables
    proofs = Proofs(db, SystemClock())
    answers = await asyncio.gather(*(proofs.spend(proof(str(n)), "void") for n in range(5)), return_exceptions=True)
    assert [getattr(answer, "code", None) for answer in answers] == ["database-statement-failed"] * 5
    await db.close()
