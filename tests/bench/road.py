"""Signing one document, from the request to its answer, against the least that any signer with two durable stores does.

The product runs whole in this process, its signer in its own, Argon2id at its smallest; time stamps are a job and do not run. The floor:
SHA-256 of the file, one raw signature, four durable commits (intent and result in each store), one write of the head. `preparation` is what opening
the sheet took before; `share` says where the request's time went.
"""

import asyncio
import hashlib
import json
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from server.identity.model import Role
from tests.bench.measure import Row, at_most, show
from tests.fakes import pdfs
from tests.fakes.stack import Caller, Stack, running

ROUNDS = 15
PATH = "/api/v1/approvals"
STEPS = {
    "authenticated": "envelope, proof, token (a read)",
    "s1-committed": "S1: proof spent, approval checked, intent, audit (1 commit)",
    "g3-answered": "G1-G3: the signer's process (2 commits, 2 head writes)",
    "s2-before": "CMS",
    "s2-committed": "S2: answer checked, CMS, audit, outbox (1 commit)",
    "answered": "answer",
}


class Floor:
    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._database = sqlite3.connect(folder / "floor.db", isolation_level=None)
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "CREATE TABLE t (a)"):
            self._database.execute(statement)
        self._head = os.open(folder / "floor.head", os.O_RDWR | os.O_CREAT)

    def run(self, path: Path) -> float:
        begin = time.perf_counter()
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
        self._key.sign(bytes(150), ec.ECDSA(SHA256()))
        for _ in range(4):
            self._database.execute("INSERT INTO t VALUES (?)", (bytes(600),))
        os.pwrite(self._head, bytes(1024), 0)
        os.fdatasync(self._head)
        return time.perf_counter() - begin


async def asked(app: Any, caller: Caller, body: bytes) -> tuple[float, float]:
    """POST the approval to the application; when it was asked and when it had answered."""
    headers = {
        "host": "testserver.local", "authorization": f"DPoP {caller.access}", "dpop": caller.proof("POST", PATH, caller.access),
        "content-type": "application/json", "content-length": str(len(body)),
    }  # fmt: skip
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "root_path": "",
        "query_string": b"", "headers": [(k.encode(), v.encode()) for k, v in headers.items()], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        "scheme": "http", "state": {},
    }  # fmt: skip
    answers: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        answers.append(message)

    begin = time.perf_counter()
    await app(scope, receive, send)
    end = time.perf_counter()
    assert answers[0]["status"] == 200, answers
    return begin, end


async def _signed(stack: Stack, leader: Caller, pdf: bytes, floor: Floor, path: Path) -> dict[str, float]:
    """One document on the road: ms of its preparation, of the request by step, and of the floor beside it."""
    document = (await stack.take_in(pdf, [leader])).json()["id"]
    begin = time.perf_counter()
    sheet = await leader.json("POST", f"/api/v1/documents/{document}/sheet", expect=201)
    spent = {"preparation": time.perf_counter() - begin}
    body = json.dumps(await leader.approval_for(sheet)).encode()
    reached: dict[str, float] = {}

    def point(name: str) -> None:
        reached[name] = time.perf_counter()

    own = stack.wiring.identity.recognise

    async def recognise(*args: Any) -> Any:
        found = await own(*args)
        point("authenticated")
        return found

    with (
        patch("server.approvals.service.point", point),
        patch.object(stack.wiring.identity, "recognise", recognise),
    ):
        begin, reached["answered"] = await asked(stack.http._transport.app, leader, body)  # type: ignore[attr-defined]
    spent["ours"] = reached["answered"] - begin
    for step in STEPS:
        spent[step], begin = reached[step] - begin, reached[step]
    spent["floor"] = floor.run(path)
    return {name: value * 1e3 for name, value in spent.items()}


async def _rows(folder: Path) -> list[Row]:
    made = []
    async with running(folder / "stack", worker=False) as stack:
        leader = await stack.person("Người ký mẫu", Role.LEADER)
        await stack.credential(leader, "Người ký mẫu")
        floor = Floor(folder)
        for label, pdf in (("1 page", pdfs.vietnamese()), ("10 MB", pdfs.scan(10_000_000))):
            path = folder / "document.pdf"
            path.write_bytes(pdf)
            runs = [await _signed(stack, leader, pdf, floor, path) for _ in range(ROUNDS + 1)][1:]
            ms = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
            share = {text: f"{ms[step] / ms['ours']:.0%}" for step, text in STEPS.items()}
            made.append(
                at_most(
                    f"road: sign one document, {label} / SHA-256, raw signature, four durable commits, one head write",
                    ms["ours"],
                    ms["floor"],
                    "ms",
                    3.0,
                    preparation_ms=round(ms["preparation"], 1),
                    share=share,
                )
            )
    return made


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "stack").mkdir()
        yield from asyncio.run(_rows(Path(name)))


if __name__ == "__main__":
    for row in rows():
        show(row)
