"""The long forms of the signer's durability and guessing tests. Each loop takes its rounds and seed and returns its counts.

`make soak` calls them with many rounds, the quick suite with few. Every count but `rounds` must be what its name says is
allowed: lost, doubled, unrecorded, free_tries, accepted = 0.
"""

import asyncio
import contextlib
import hashlib
import random
import shutil
import sys
from pathlib import Path

import msgspec

from signing.client import ActivationState, SignerClient
from signing.core.crash import POINTS
from signing.core.errors import Busy, Locked, SignerError, WrongPin
from signing.device import unb64u
from tests.fakes.phone import Phone, item
from tests.fakes.signer import SignerHost, enrol, now_us, sign

WRONG = "905173"
TRACED = Path(__file__).with_name("traced.py")


class TracedHost(SignerHost):
    """A host whose signer leaves a line for every derivation; nine tries in one stage, so that rounds can be reset."""

    tries = "[9]\nlock_s = []"

    def __post_init__(self) -> None:
        fresh = not (self.base / "signer.toml").exists()
        super().__post_init__()
        if fresh and self.tries:
            self.config_path.write_text(self.config_path.read_text() + f"\n[pin]\ntries = {self.tries}\n")

    @property
    def command(self) -> list[str]:
        return [sys.executable, str(TRACED), str(self.config_path)]

    def begin(self, crash_point: str = "", head_delay_s: float = 0) -> None:
        root, trace = str(TRACED.parents[3]), str(self.base / "trace")
        delay = str(head_delay_s)
        self.start(crash_point, HOATOC_TEST_TRACE=trace, HOATOC_TEST_HEAD_DELAY=delay, PYTHONPATH=root)

    def derivations(self, pin: str) -> int:
        path = self.base / "trace"
        return path.read_text().split().count(pin) if path.exists() else 0


class LadderHost(TracedHost):
    tries = ""


def challenge_of(approval: str) -> str:
    return msgspec.json.decode(unb64u(approval.split(".")[1]))["challenge"]


async def _approval(client: SignerClient, phone: Phone, tbs: bytes, pin: str = "") -> tuple[str, bytes]:
    grant = await client.challenge(phone.credential, phone.device)
    return phone.approve(grant, [item(tbs)], now_us=now_us(), pin=pin)


async def _signed_events(client: SignerClient) -> list[str]:
    found: list[str] = []
    start = 0
    while events := (await client.log_events(start)).events:
        decoded = [msgspec.json.decode(event) for event in events]
        found += [event["challenge"] for event in decoded if event["event"] == "signed"]
        start += len(events)
    return found


async def kill_cycles(base: Path, rounds: int, seed: int) -> dict[str, int]:
    """A7, A12: kill -9 at each named point in turn and at random moments, with a right and a wrong PIN under way."""
    rng = random.Random(seed)
    host = TracedHost(base)
    host.begin()
    client, officer = host.client(), host.officer()
    right = await enrol(host, client, officer, "right")
    wrong = await enrol(host, client, officer, "wrong")
    counts = dict.fromkeys(("lost", "doubled", "unrecorded", "free_tries", "crashed", "derived"), 0)
    for number in range(rounds):
        host.stop()
        point = POINTS[number % (len(POINTS) + 3)] if number % (len(POINTS) + 3) < len(POINTS) else ""
        host.begin(point and f"{point}:{rng.randint(1, 3)}")
        derived_before = host.derivations(WRONG)
        approvals = [await _approval(client, right, rng.randbytes(32)) for _ in range(3)]
        guesses = [await _approval(client, wrong, rng.randbytes(32), WRONG) for _ in range(3)]
        answers: dict[str, object] = {}

        async def drive(batch: list[tuple[str, bytes]], answers: dict[str, object] = answers) -> None:
            for approval, sealed in batch:
                try:
                    answers[challenge_of(approval)] = await client.activate(approval, sealed)
                except SignerError as error:
                    answers[challenge_of(approval)] = error

        work = asyncio.gather(drive(approvals), drive(guesses))
        if not point:
            await asyncio.sleep(rng.random() * 0.06)
            host.kill()
        await work
        counts["crashed"] += host.process.poll() is not None
        if host.process.poll() is None:
            host.kill()
        host.begin()
        signed = await _signed_events(client)
        counts["doubled"] += len(signed) - len(set(signed))
        for approval, _ in approvals:
            challenge = challenge_of(approval)
            outcome = await client.result(challenge)
            answer = answers.get(challenge)
            answered = answer is not None and not isinstance(answer, SignerError)
            if answered and outcome.state is not ActivationState.SIGNED:
                counts["lost"] += 1
            if answered and outcome.activation != answer:
                counts["lost"] += 1
            if (outcome.state is ActivationState.SIGNED) != (challenge in signed):
                counts["unrecorded"] += 1
            if outcome.state is ActivationState.RUNNING:
                counts["lost"] += 1
            fenced = await client.void(challenge)
            if (fenced.state is ActivationState.SIGNED) != (outcome.state is ActivationState.SIGNED):
                counts["doubled"] += 1
        left = (await client.status(wrong.credential)).holders[0].tries_left
        started = host.derivations(WRONG) - derived_before
        counts["derived"] += started
        counts["free_tries"] += max(0, started - (9 - left))
        await sign(client, wrong, rng.randbytes(32))
        await sign(client, right, rng.randbytes(32))
    await client.close()
    host.stop()
    return {"rounds": rounds, "seed": seed, **counts}


async def wrong_pin_flood(base: Path, rounds: int, seed: int, at_once: int = 200) -> dict[str, int]:
    """A6: `at_once` wrong PINs at once, `busy` repeated until a verdict: exactly the stage's tries reach the derivation."""
    host = LadderHost(base)
    host.begin()
    client, officer = host.client(timeout_s=120), host.officer()
    counts = dict.fromkeys(("wrong_derivations", "right_pin_accepted", "verdict_mismatch"), 0)
    for number in range(rounds):
        phone = await enrol(host, client, officer, f"person-{number}")
        before = host.derivations(WRONG)

        async def guess(phone: Phone = phone) -> type[SignerError]:
            approval, sealed = await _approval(client, phone, bytes(32), WRONG)
            while True:
                try:
                    await client.activate(approval, sealed)
                except Busy:
                    await asyncio.sleep(0.002)
                except SignerError as error:
                    return type(error)

        if number % 2:
            host.stop()
            host.begin()
        verdicts = await asyncio.gather(*(guess() for _ in range(at_once)))
        derived = host.derivations(WRONG) - before
        counts["wrong_derivations"] += abs(derived - 3)
        counts["verdict_mismatch"] += verdicts.count(WrongPin) != 3 or verdicts.count(Locked) != at_once - 3
        try:
            await sign(client, phone, bytes(32))
        except Locked:
            continue
        counts["right_pin_accepted"] += 1
    await client.close()
    host.stop()
    return {"rounds": rounds, "seed": seed, **counts}


async def restored_stores(base: Path, rounds: int, seed: int) -> dict[str, int]:
    """A5: an old store put back at random points, after a stop or a kill: refused every time, 0 guesses won."""
    rng = random.Random(seed)
    host = TracedHost(base)
    host.begin()
    client, officer = host.client(), host.officer()
    phone = await enrol(host, client, officer)
    accepted = 0
    for _ in range(rounds):
        for _ in range(rng.randint(0, 2)):
            await sign(client, phone, rng.randbytes(32))
        rng.choice((host.stop, host.kill))()
        shutil.copytree(base / "state", base / "old")
        host.begin()
        for _ in range(rng.randint(1, 2)):
            with contextlib.suppress(WrongPin):
                await sign(client, phone, rng.randbytes(32), pin=rng.choice((WRONG, "")))
        rng.choice((host.stop, host.kill))()
        shutil.move(base / "state", base / "new")
        shutil.move(base / "old", base / "state")
        try:
            host.begin()
            accepted += 1
            host.kill()
        except RuntimeError as refused:
            accepted += "rolled-back" not in str(refused)
        shutil.rmtree(base / "state")
        shutil.move(base / "new", base / "state")
        host.begin()
        if (await client.status(phone.credential)).holders[0].tries_left < 9:
            await sign(client, phone, rng.randbytes(32))
    await client.close()
    host.stop()
    return {"rounds": rounds, "seed": seed, "accepted": accepted}


async def verdict_kills(base: Path, rounds: int, seed: int) -> dict[str, int]:
    """A5 with A7: a guess, killed as soon as its derivation began, then the store from before: never a free second guess.

    Whoever learns a verdict must not be able to put the old store back and start it.
    """
    rng = random.Random(seed)
    host = TracedHost(base)
    host.begin()
    client, officer = host.client(), host.officer()
    phone = await enrol(host, client, officer)
    won = 0
    for _ in range(rounds):
        host.stop()
        shutil.rmtree(base / "old", ignore_errors=True)
        shutil.copytree(base / "state", base / "old")
        host.begin(rng.choice(("derived", "", "")), head_delay_s=0.2)
        verdict = ""
        try:
            await sign(client, phone, hashlib.sha256(b"x").digest(), pin=WRONG)
        except SignerError as error:
            verdict = error.code
        if host.process.poll() is None:
            host.kill()
        shutil.move(base / "state", base / "new")
        shutil.copytree(base / "old", base / "state")
        try:
            host.begin()
            won += verdict == "wrong-pin"
            host.kill()
        except RuntimeError:
            shutil.rmtree(base / "state")
            shutil.move(base / "new", base / "state")
        shutil.rmtree(base / "new", ignore_errors=True)
        host.begin()
        await sign(client, phone, rng.randbytes(32))
    await client.close()
    host.stop()
    return {"rounds": rounds, "seed": seed, "won": won}
