"""The loops over the whole road, for the quick suite with few rounds and for `make soak` with many.

Each returns its counts. `lost`, `doubled`, `unrecorded`, `free_tries`, `unsettled`, `corrupt`, `unsigned` must be 0.
"""

import asyncio
import collections
import json
import random
import time
from pathlib import Path
from typing import Any

from server.identity.model import Role
from tests.fakes.stack import PIN, RECEIVERS
from tests.faults.road.judge import judge
from tests.faults.road.load import WRONG, Acknowledged, Load, small_pdf
from tests.faults.road.processes import (
    LADDER,
    Deployment,
    Device,
    Process,
    Server,
    SignerProcess,
    deployed,
    device,
)

SIGNER_POINTS = ("g1-before", "g1-committed", "derived", "signed", "g3-before", "g3-committed", "head-written")
SERVER_POINTS = (
    "s1-committed", "g3-answered", "s2-before", "s2-committed", "db.before-commit:9", "db.after-commit:9",
    "blobs.before-rename:2", "blobs.after-rename:2",
)  # fmt: skip
WORKER_POINTS = (
    "token-fetched", "assembled", "s3-committed", "jobs.claimed:5", "forward-built", "forward-sent", "forward-accepted",
    "status-stored",
)  # fmt: skip
ZERO = ("lost", "doubled", "unrecorded", "free_tries", "unsettled", "corrupt", "unsigned")
_FIRES_WITHIN_S = 10.0

Strike = tuple[Process, str]


def strikes(stack: Deployment, rounds: int, rng: random.Random) -> list[Strike]:
    """Every named point in turn, and moments at random; grouped by process, which halves the restarts."""
    points: list[tuple[str, str]] = []
    while len(points) < rounds:
        points += [("signer", point) for point in (*SIGNER_POINTS, "")]
        points += [("server", point) for point in (*SERVER_POINTS, "")]
        points += [("worker", point) for point in (*WORKER_POINTS, "")]
    if rounds < 26:  # fewer rounds than points: a sample that always holds the protocol's own steps
        protocol = {
            "s1-committed",
            "g3-answered",
            "s2-before",
            "token-fetched",
            "assembled",
            "g1-committed",
            "g3-committed",
        }
        must = [one for one in points[:26] if one[1] in protocol]
        rest = [one for one in points[:26] if one[1] not in protocol]
        points = must + rng.sample(rest, max(0, rounds - len(must)))
    order = {"signer": 0, "server": 1, "worker": 2}
    chosen = points[:rounds] if rounds >= 26 else sorted(points[:rounds], key=lambda one: order[one[0]])
    workers: list[Process] = [*stack.workers] or [*stack.servers]
    of = {"signer": [stack.signer_process], "server": [*stack.servers], "worker": workers}
    return [(rng.choice(of[kind]), point) for kind, point in chosen]


async def _ready(process: Process) -> bool:
    return await process.ready() if isinstance(process, Server | SignerProcess) else process.alive


async def _strike(process: Process, point: str, rng: random.Random, fired: collections.Counter[str]) -> None:
    """Kill the process at a random moment; start it armed, and wait until it kills itself, or kill it again."""
    await asyncio.sleep(rng.uniform(0.05, 0.4))
    process.kill()
    process.start(point)
    await _ready(process)
    deadline = time.monotonic() + (_FIRES_WITHIN_S if point else rng.uniform(0.2, 1.5))
    while process.alive and time.monotonic() < deadline:  # noqa: ASYNC110 - a process has no event to wait for
        await asyncio.sleep(0.02)
    fired["fired" if not process.alive else "at_random"] += 1
    process.kill()


async def kill_rounds(
    base: Path,
    rounds: int,
    seed: int,
    database: str = "",
    *,
    servers: int = 1,
    workers: int = 0,
    epoch: int = 14,
    journeys: int = 6,
) -> dict[str, int]:
    """D1, A7, A12: steady intake, signing and sealing; kill -9 at each named crash point in turn and at random moments.

    Every `epoch` strikes the load ends, everything is started without crash points, and the history is judged.
    """
    rng = random.Random(seed)
    totals: collections.Counter[str] = collections.Counter()
    async with deployed(base, database=database, servers=servers, workers=workers) as stack:
        load = Load(stack)
        await load.prepare()
        plan = strikes(stack, rounds, rng)
        for first in range(0, len(plan), epoch):
            load.start(journeys=journeys)
            previous: Process | None = None
            for process, point in plan[first : first + epoch]:
                if previous is not None and previous is not process:
                    previous.start()
                    await _ready(previous)
                await _strike(process, point, rng, totals)
                previous = process
            await stack.start_all()
            await load.renew()
            await load.finish()
            totals["free_tries"] += await load.free_tries()
            found = await judge(stack, load)
            for name, count in found.items():
                totals[name] = count if name in {"signatures", "documents"} else totals[name] + count
        totals["unknown"] = load.history.answers["unknown"]
        _explain(load, totals)
    return {"rounds": rounds, "seed": seed, **totals}


def _explain(load: Load, totals: collections.Counter[str]) -> None:
    """What was refused how often; and what stands still, for whoever reads a failure."""
    for code, count in load.history.answers.items():
        totals[f"answer_{code}"] = count
    for name in load.history.stuck:
        totals[f"stuck {name}"] = 1


# A6 at the product's level. ------------------------------------------------------------------------------------------

_AGAIN = {
    "prepared-expired",
    "document-signing",
    "busy",
    "signer-busy",
    "conflict",
    "temporarily-unavailable",
    "not-your-turn",
}
"""Answers of somebody who lost a race for the document, or met a full queue, before any try was charged."""


async def wrong_pin_flood(
    base: Path, guesses: int, seed: int, database: str, *, rounds: int = 1, at_once: int = 200, papers: int = 24
) -> dict[str, int]:
    """A6: wrong PINs over two servers at once, `busy` repeated: exactly the stage's three tries reach the derivation.

    `papers` documents wait for the victim; whoever loses the race for one asks again, so `at_once` requests are always on
    their way. Then the right PIN is refused. Before, strangers called without the victim's approval key: nothing is charged (A8).
    """
    counts: collections.Counter[str] = collections.Counter(
        wrong_derivations=0, verdict_mismatch=0, right_pin_accepted=0, charged_by_strangers=0
    )
    async with deployed(base, database=database, servers=2, pin=LADDER) as stack:
        load = Load(stack)
        await load.prepare()
        for number in range(rounds):
            victim = await stack.person(f"Nạn nhân {number}", Role.LEADER)
            credential = await stack.credential(victim, f"Nạn nhân {number}")
            documents = [await load.take_in(victim) for _ in range(papers)]
            sheets = [await victim.json("POST", f"/api/v1/documents/{one}/sheet", expect=201) for one in documents]
            counts["charged_by_strangers"] += await _strangers(stack, load, victim, sheets[0], credential)
            if number % 2:
                await _restart_signer(stack)
            before = stack.derivations(WRONG)
            verdicts = await _guesses(victim, sheets, guesses, at_once, random.Random(seed + number), counts)
            counts["wrong_derivations"] += abs(stack.derivations(WRONG) - before - 3)
            counts["verdict_mismatch"] += verdicts != {"pin-wrong": 3, "pin-locked": guesses - 3}
            right = stack.derivations(PIN)
            answer = await victim.call("POST", "/api/v1/approvals", json=await victim.approval_for(sheets[0]))
            counts["right_pin_accepted"] += answer.json().get("code") != "pin-locked" or stack.derivations(PIN) != right
        assert set(stack.fleet.served) == {"server-1", "server-2"}
    return {"rounds": rounds, "seed": seed, "guesses": guesses * rounds, **counts}


async def _restart_signer(stack: Deployment) -> None:
    stack.signer_process.stop()
    stack.signer_process.start()
    await stack.signer_process.ready()


async def _guesses(
    victim: Device,
    sheets: list[dict[str, Any]],
    guesses: int,
    at_once: int,
    rng: random.Random,
    counts: collections.Counter[str],
) -> dict[str, int]:
    """Every guess is repeated until the signer gave its verdict; the verdicts, counted."""
    verdicts: collections.Counter[str] = collections.Counter()
    room = asyncio.Semaphore(at_once)

    async def guess() -> None:
        async with room:
            while True:
                sheet = rng.choice(sheets)
                code = (
                    (await victim.call("POST", "/api/v1/approvals", json=await victim.approval_for(sheet, pin=WRONG)))
                    .json()
                    .get("code")
                )
                if code not in _AGAIN:
                    verdicts[code] += 1
                    return
                counts[f"again_{code}"] += 1

    await asyncio.gather(*(guess() for _ in range(guesses)))
    return dict(verdicts)


async def _strangers(stack: Deployment, load: Load, victim: Device, sheet: dict[str, Any], credential: str) -> int:
    """A8: without the victim's approval key no call costs the victim a try; how many tries were lost all the same."""
    client = stack.signer_client()
    before = (await client.status(credential)).holders[0].tries_left
    derived = stack.derivations(WRONG)
    body = await victim.approval_for(sheet, pin=WRONG)
    other = await load.leader.call("POST", "/api/v1/approvals", json=body)  # another device's session
    bare = await stack.http.post("/api/v1/approvals", json=body)  # no session
    stolen = await stack.http.post("/api/v1/approvals", json=body, headers={"Authorization": f"DPoP {victim.access}"})
    approval, victim.approval = victim.approval, device.new_key()  # the session, but another approval key
    forged = await victim.call("POST", "/api/v1/approvals", json=await victim.approval_for(sheet, pin=WRONG))
    victim.approval = approval
    refused = [answer.status_code for answer in (other, bare, stolen, forged)]
    assert all(400 <= status < 500 for status in refused), refused
    after = (await client.status(credential)).holders[0].tries_left
    await client.close()
    return before - after + stack.derivations(WRONG) - derived


# D10, D11. -----------------------------------------------------------------------------------------------------------


async def database_restarts(base: Path, rounds: int, seed: int, cluster: Any, database: str) -> dict[str, int]:
    """D10: PostgreSQL is stopped without warning and started again under load: nothing lost, nothing doubled."""
    rng = random.Random(seed)
    async with deployed(base, database=database, servers=2, workers=1) as stack:
        load = Load(stack)
        await load.prepare()
        load.start(journeys=5, guessing=False)
        for _ in range(rounds):
            await asyncio.sleep(rng.uniform(0.8, 2.0))
            await asyncio.to_thread(cluster.stop)
            await asyncio.sleep(rng.uniform(0.0, 0.6))
            await asyncio.to_thread(cluster.start)
        await load.finish()
        found = await judge(stack, load)
        answers = dict(load.history.answers)
    internal = answers.pop("internal", 0)
    return {"rounds": rounds, "seed": seed, "free_tries": 0, "internal": internal, **found, **answers}


async def rolling_restarts(base: Path, rounds: int, seed: int, database: str, *, journeys: int = 5) -> dict[str, int]:
    """D11: one server after the other ends by SIGTERM under load and comes back; the other one serves meanwhile.

    `failed`: retry-safe requests that nobody answered. `killed`: servers that did not end within 20 s, or not with 0.
    """
    rng = random.Random(seed)
    totals: collections.Counter[str] = collections.Counter(failed=0, killed=0)
    async with deployed(base, database=database, servers=2, workers=1) as stack:
        load = Load(stack)
        await load.prepare()
        for caller in (load.leader, load.clerk, stack.qlvb):
            caller.repeats = 2
        load.start(journeys=journeys, guessing=False)
        for number in range(rounds):
            await asyncio.sleep(rng.uniform(0.5, 1.5))
            server = stack.servers[number % 2]
            try:
                totals["killed"] += await asyncio.to_thread(server.stop, 20.0) != 0
            except AssertionError:
                totals["killed"] += 1
            server.start()
            await server.ready()
        await load.finish()
        totals.update(await judge(stack, load))
        totals["unanswered_approvals"] = load.history.unanswered_approvals
        totals["failed"] += load.history.answers["unknown"] - load.history.unanswered_approvals
        totals["failed"] += sum(
            n for code, n in load.history.answers.items() if code in {"internal", "temporarily-unavailable"}
        )
    return {"rounds": rounds, "seed": seed, "free_tries": 0, **totals}


# A11. ----------------------------------------------------------------------------------------------------------------


async def replacement_race(
    base: Path, rounds: int, seed: int, database: str = "", *, servers: int = 1
) -> dict[str, int]:
    """A11: the text is replaced while it is being signed. One of both wins; what is signed is what was on the sheet.

    `wrong`: rounds in which both won, or in which the signature stands over other bytes than the sheet named.
    """
    rng = random.Random(seed)
    counts: collections.Counter[str] = collections.Counter(wrong=0, signed_first=0, replaced_first=0, neither=0)
    async with deployed(base, database=database, servers=servers) as stack:
        load = Load(stack)
        await load.prepare()
        for number in range(rounds):
            if number and number % 100 == 0:
                await load.renew()
            await _race(stack, load, rng, counts)
        found = await judge(stack, load, sample=0)
    return {"rounds": rounds, "seed": seed, "free_tries": 0, **counts, **found}


async def _race(stack: Deployment, load: Load, rng: random.Random, counts: collections.Counter[str]) -> None:
    document = await load.take_in(load.leader)
    sheet = await load.leader.json("POST", f"/api/v1/documents/{document}/sheet", expect=201)
    body = await load.leader.approval_for(sheet)
    metadata = {
        "number": str(rng.randrange(10**6)), "notation": "QĐ-UBND", "subject": "Về việc thay thế mẫu", "type_name": "Quyết định",
        "promulgation_place": "Xã Mẫu", "promulgation_date": "2026-11-22", "signers": [{"person": load.leader.person}],
        "receivers": [{"organ_id": code, "name": f"Cơ quan {code}"} for code in RECEIVERS], "urgency": 1,
    }  # fmt: skip
    files = {
        "metadata": (None, json.dumps(metadata)),
        "file": ("van-ban.pdf", small_pdf(str(rng.random())), "application/pdf"),
    }

    async def approve() -> int:
        await asyncio.sleep(rng.uniform(0, 0.4))
        return int((await load.leader.call("POST", "/api/v1/approvals", json=body)).status_code)

    async def replace() -> int:
        path = f"/api/v1/documents/{document}/replacements"
        return int((await stack.qlvb.call("POST", path, files=files)).status_code)

    signed, replaced = await asyncio.gather(approve(), replace())
    if signed == 200:
        load.history.signatures.append(Acknowledged(document, "signature", sheet["tbs"]))
    counts["signed_first"] += signed == 200
    counts["replaced_first"] += replaced == 200
    counts["neither"] += 200 not in {signed, replaced}
    row = await stack.wiring.db.fetch_one("SELECT version FROM documents WHERE id = $1", document)
    items = await stack.wiring.db.fetch_all(
        "SELECT i.tbs FROM activation_items i JOIN activations a ON a.challenge = i.challenge"
        " WHERE i.document = $1 AND a.state = 'signed'",
        document,
    )
    assert row is not None
    consistent = (row["version"] == 1) == (replaced != 200) and [one["tbs"] for one in items] == (
        [sheet["tbs"]] if signed == 200 else []
    )
    counts["wrong"] += (signed == 200 and replaced == 200) or not consistent
