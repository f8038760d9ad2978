"""The scaled stack: `hoatoc serve` ×2, `hoatoc worker` ×2 and one signer on PostgreSQL, woken by Redis, walk the whole road."""

import asyncio
import subprocess

import pytest

from tests.conftest import program
from tests.faults.road.judge import judge
from tests.faults.road.load import Load
from tests.faults.road.loops import ZERO
from tests.faults.road.processes import deployed


def _subscribers(redis_server) -> int:
    cli = program("redis-cli", "redis-tools")
    said = subprocess.run(
        [cli, "-s", redis_server.socket, "pubsub", "numsub", "hoatoc:jobs"], capture_output=True, text=True, check=True
    )
    return int(said.stdout.split()[-1])


@pytest.mark.asyncio
async def test_ten_documents_over_two_servers_and_the_loss_of_redis(tmp_path, postgres_url, redis_server):
    """Redis lost costs latency, never work and never safety (D9)."""
    more = {"HOATOC_REDIS__URL": redis_server.url, "HOATOC_WORKER__POLL_S": "2"}
    async with deployed(tmp_path / "h", database=postgres_url, servers=2, workers=2, **more) as stack:
        load = Load(stack)
        await load.prepare()
        assert _subscribers(redis_server) >= 4  # two servers and two workers hear each other's jobs
        await asyncio.gather(*(load.journey() for _ in range(10)))
        assert min(stack.fleet.served["server-1"], stack.fleet.served["server-2"]) > 5

        async def lose_redis() -> None:
            while load.history.answers["lost-redis"] == 0:
                if len(load.history.signatures) > 20:  # in the middle of the second batch
                    redis_server.stop()
                    load.history.answers["lost-redis"] = 1
                await asyncio.sleep(0.05)

        async with asyncio.timeout(400):
            await asyncio.gather(lose_redis(), *(load.journey() for _ in range(4)))
        assert all(process.alive for process in stack.processes)
        redis_server.start()
        found = await judge(stack, load, sample=4)
        assert {name: found[name] for name in ZERO if name != "free_tries"} == {
            name: 0 for name in ZERO if name != "free_tries"
        }, (found, load.history.stuck)
        assert (found["documents"], found["signatures"]) == (14, 28)
        assert set(load.history.answers) == {"lost-redis"}, load.history.answers  # no request was refused
