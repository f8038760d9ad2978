"""What the running product gives out is judged by the commands that a stranger has: files, receipts, manifest (A4, SW-7)."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from server import doctor
from server.cli import cli
from server.clock import SystemClock
from server.doctor import Level
from server.identity.model import Role
from tests.fakes import pdfs
from tests.fakes.stack import Caller, Stack, running


async def verify(*arguments: object) -> tuple[int, dict]:
    """The command in a thread, because it runs a loop of its own."""
    done = await asyncio.to_thread(CliRunner().invoke, cli, ["verify", *map(str, arguments), "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)


async def fetched(caller: Caller, path: str, into: Path) -> Path:
    into.write_bytes((await caller.call("GET", path, expect=200)).content)
    return into


async def receipts(stack: Stack, document: str, count: int, folder: Path) -> list[Path]:
    """A receipt exists once the log's next head covers it."""
    url = f"/api/v1/documents/{document}/receipts"
    paths: list[Path] = []
    for _ in range(600):
        lines = await stack.qlvb.json("GET", url)
        answers = [await stack.qlvb.call("GET", f"{url}/{line['id']}") for line in lines]
        if len(answers) == count and all(answer.status_code == 200 for answer in answers):
            for number, answer in enumerate(answers):
                paths.append(folder / f"receipt-{number}.json")
                paths[-1].write_bytes(answer.content)
            return paths
        await asyncio.sleep(0.05)
    raise AssertionError("no receipts came")


@pytest.mark.asyncio
async def test_files_receipts_and_manifest_of_the_road_hold_offline(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        leader = await stack.person("Nguyễn Văn Mẫu", Role.LEADER)
        clerk = await stack.person("Trần Thị Mẫu", Role.CLERK, office=True, position="Văn thư")
        await stack.credential(leader, "Nguyễn Văn Mẫu")
        await stack.credential(clerk, "Ủy ban nhân dân xã Mẫu", "seal")
        document = (await stack.take_in(pdfs.vietnamese(), [leader])).json()["id"]
        sheet = await leader.json("POST", f"/api/v1/documents/{document}/sheet", expect=201)
        manifest = await fetched(leader, f"/api/v1/prepared/{sheet['prepared']}/manifest", tmp_path / "manifest.json")
        await leader.call("POST", "/api/v1/approvals", expect=200, json=await leader.approval_for(sheet))
        await stack.until(document, "signed")
        signed = await fetched(stack.qlvb, f"/api/v1/documents/{document}/files/signed", tmp_path / "signed.pdf")
        assert (await clerk.sign(document)).status_code == 200
        await stack.until(document, "sealed", "forwarded", "delivered", "accepted")
        final = await fetched(stack.qlvb, f"/api/v1/documents/{document}/files/final", tmp_path / "final.pdf")
        trust, log_key = tmp_path / "roots.pem", stack.wiring.audit

        code, said = await verify(final, "--trust", trust, "--redraw", manifest)
        assert (code, said["verdict"]) == (0, "valid"), said
        *people, archive = said["signatures"]
        assert [one["signer"] for one in people] == ["Nguyễn Văn Mẫu", "Ủy ban nhân dân xã Mẫu"]
        assert {one["organisation"] for one in people} == {"Cơ quan mẫu"}
        assert archive["signer"] == "Hỏa Tốc Demo Time-Stamping Unit"
        assert [one["level"] for one in people] == ["B-LTA", "B-LTA"]
        assert all(one["time"] for one in said["signatures"])
        assert [step["code"] for step in said["steps"]] == ["manifest-file-longer", "pages-same"]

        from signing.core.codec import thumbprint

        pinned = thumbprint(log_key.log_key)
        first, second = await receipts(stack, document, 2, tmp_path)
        code, said = await verify(first, "--trust", trust, "--pdf", signed, "--redraw", manifest, "--log-key", pinned)
        assert code == 0, said["steps"]
        assert {step["outcome"] for step in said["steps"]} == {"passed"}
        code, said = await verify(second, "--trust", trust, "--pdf", final, "--log-key", pinned)
        # The archive's revision follows the one that the clerk sealed, and adds nothing else.
        assert (code, said["event"]) == (0, "document.sealed_pending_archive"), said["steps"]
        assert said["steps"][-1]["code"] == "pdf-archived"
        assert said["steps"][-1]["detail"].startswith("DSS + DocTimeStamp 20")
        # Behind the leader's revision stands the clerk's seal: that is more than an archive.
        code, said = await verify(first, "--trust", trust, "--pdf", final, "--log-key", pinned)
        assert (code, said["steps"][-1]["code"]) == (1, "pdf-extends")
        code, said = await verify(second, "--trust", trust, "--pdf", signed)
        assert (code, said["steps"][-1]["code"]) == (1, "pdf-other")

        # The same installation, running, as its operator sees it.
        seen = await doctor.examine(stack.settings, SystemClock())
        assert [one.code for one in seen if one.level is Level.FAIL] == []
