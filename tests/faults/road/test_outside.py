"""FCM down and the volume full, at the product's level (D4, D8)."""

import asyncio
import contextlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from server.demo.fcm import Step
from tests.faults.road.judge import judge
from tests.faults.road.load import Load
from tests.faults.road.loops import ZERO
from tests.faults.road.processes import Deployment, deployed, free_bytes


async def _until(stack: Deployment, sql: str, wanted: int, within_s: float = 90.0) -> None:
    deadline = time.monotonic() + within_s
    while (row := await stack.wiring.db.fetch_one(sql)) is None or row["n"] != wanted:
        assert time.monotonic() < deadline, (sql, row and row["n"], wanted)
        await asyncio.sleep(0.1)


def _zeros(found: dict[str, int]) -> None:
    assert {name: found[name] for name in ZERO if name in found and name != "free_tries"} == {
        name: 0 for name in ZERO if name != "free_tries"
    }, found


@pytest.mark.asyncio
async def test_signing_goes_on_while_fcm_is_down_and_notices_follow(tmp_path):
    """D4: FCM hangs, then cuts: the road does not wait for it. It returns: every notice is delivered. Dead tokens go after one answer."""
    async with deployed(tmp_path / "h") as stack:
        load = Load(stack)
        await load.prepare()
        tokens = {"leader": load.leader, "clerk": load.clerk, "dead": load.guesser}
        for token, person in tokens.items():
            body = {"registration_token": f"sample-token-of-the-{token}"}
            await person.call("PUT", "/api/v1/me/push-addresses/fcm", expect=204, json=body)
        stack.fcm.script("sample-token-of-the-dead", Step("unregistered", times=None))
        stack.fcm.script("sample-token-of-the-leader", Step("hang", times=1), Step("cut", times=None))
        stack.fcm.script("sample-token-of-the-clerk", Step("unavailable", times=None))
        for person in (load.guesser, load.leader, load.leader, load.leader):
            await load.take_in(person)
        await asyncio.gather(*(load.journey() for _ in range(3)))
        waiting = await stack.wiring.db.fetch_one("SELECT count(*) AS n FROM deliveries WHERE state = 'queued'")
        assert waiting is not None
        assert waiting["n"] >= 3  # FCM has taken none of what was asked for
        for token in ("leader", "clerk"):
            stack.fcm.script(f"sample-token-of-the-{token}", Step("ok", times=None))
        await _until(stack, "SELECT count(*) AS n FROM deliveries WHERE state = 'queued'", 0)
        rows = await stack.wiring.db.fetch_all("SELECT state, count(*) AS n FROM deliveries GROUP BY state")
        states = {row["state"]: row["n"] for row in rows}
        # What was dealt with meanwhile is pushed no more (NOT-4); what still waits for the leader is.
        assert set(states) <= {"accepted", "dead", "superseded"}, states
        assert states["dead"] == 1
        told = await stack.wiring.db.fetch_all(
            "SELECT y.state FROM notices n JOIN deliveries y ON y.notice = n.id WHERE n.state = 'open' AND n.kind = 'to_sign' AND n.person = $1",
            load.leader.person,
        )
        assert [row["state"] for row in told] == ["accepted"] * 3
        asked = [record for record in stack.fcm.records if record.address == "sample-token-of-the-dead"]
        assert len(asked) == 1
        _zeros(await judge(stack, load))


@pytest.fixture
def volume(tmp_path: Path):
    """48 MB that can be filled."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("a small tmpfs needs root", pytrace=False)
        pytest.skip("a small tmpfs needs root; tests/faults/test_disk.py has the form without")
    folder = tmp_path / "volume"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def _full(volume: Path):
    """Nothing can be written any more, to the last block."""
    ballast = volume / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536 if free_bytes(volume) > 65536 else 4096))
    yield
    ballast.unlink()


_CLEAN = {
    "insufficient-storage", "temporarily-unavailable", "outcome-unknown", "signer-unavailable", "busy", "signer-busy", "cannot-be-checked",
    "no-challenge",
}  # fmt: skip


@pytest.mark.asyncio
async def test_a_full_volume_refuses_cleanly_and_everything_goes_on_afterwards(tmp_path, volume):
    """D8: database, blobs and the signer's store on a volume that is filled at every step; nobody is restarted."""
    async with deployed(tmp_path / "h", state=volume / "state") as stack:
        load = Load(stack)
        await load.prepare()
        await load.journey()
        with _full(volume):  # before intake
            for _ in range(40):
                answer = await stack.take_in(b"%PDF-1.4 sample", [load.leader])
                if answer.status_code == 507:
                    break
            assert answer.status_code == 507, answer.text
            assert answer.json()["code"] == "insufficient-storage"
        document = await load.take_in(load.leader)
        for step, signer, waiting in (("signature", load.leader, "in_review"), ("seal", load.clerk, "signed")):
            await load._until(document, {waiting})
            with _full(volume):  # before the sheet
                assert not await load._approve(document, signer, step)
            sheet = await signer.json("POST", f"/api/v1/documents/{document}/sheet", expect=201)
            body = await signer.approval_for(sheet)
            with _full(volume):  # between the sheet and the intent
                answer = await load.ask(signer, "POST", "/api/v1/approvals", json=body)
                assert answer is None or answer.status_code == 200
            await load._sign(document, signer, step, {waiting})
            with _full(volume):  # before the time stamp and the assembled file
                await asyncio.sleep(0.5)
        await load._until(document, {"forwarded", "delivered", "accepted"})
        load.history.finished.append(document)
        assert set(load.history.answers) <= {*_CLEAN, "unknown"}, load.history.answers
        assert all(process.alive for process in stack.processes)
        assert await stack.qlvb.json("GET", "/readyz") == {"database": "ok", "signer": "ok"}
        await load.journey()
        found = await judge(stack, load, sample=3)
        _zeros(found)
        assert (found["documents"], found["signatures"]) == (3, 6)
