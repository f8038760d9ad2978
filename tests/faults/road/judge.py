"""After the faults: clients' history against database, signer's log and exchange's oracle, each with its own memory.

`lost` acknowledged and gone, or never settled · `doubled` two signatures of one step, two documents of one intake, two
accepted packets of one document · `unrecorded` a signature of the signer that no intent of the server names, or that the
server never took up (D1, A12).
"""

import asyncio
import collections
import hashlib
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from tests.faults.road.load import Load
from tests.faults.road.processes import Deployment

SETTLE_S = 60.0
"""Every intent is settled within this time of the restart (A12)."""


async def settled(stack: Deployment) -> int:
    """Wait until no intent is open; how many still are after a minute."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        row = await stack.wiring.db.fetch_one("SELECT count(*) AS n FROM activations WHERE state = 'intent'")
        assert row is not None
        if not row["n"] or time.monotonic() > deadline:
            return int(row["n"])
        await asyncio.sleep(0.2)


async def judge(stack: Deployment, load: Load, *, sample: int = 2) -> dict[str, int]:
    """Counts that all must be 0, except `signatures` and `documents`."""
    await load.settle()
    history = load.history
    counts: collections.Counter[str] = collections.Counter(lost=0, doubled=0, unrecorded=0, corrupt=0)
    counts["unsettled"] = await settled(stack)
    counts["lost"] += len(history.stuck)
    await _signatures(stack, load, counts)
    await _documents(stack, load, counts)
    await _exchange(stack, load, counts)
    size, wrong_at = await stack.wiring.audit.verify()
    counts["corrupt"] += int(wrong_at is not None or size == 0)
    counts["corrupt"] += _integrity(stack)
    counts["unsigned"] = sum([await _judged_by_pdfsig(stack, one) for one in history.finished[-sample:]])
    return dict(counts)


async def _signatures(stack: Deployment, load: Load, counts: collections.Counter[str]) -> None:
    items = await stack.wiring.db.fetch_all(
        "SELECT a.challenge, a.state, i.document, i.position, i.tbs, i.cms, s.kind FROM activations a"
        " JOIN activation_items i ON i.challenge = a.challenge"
        " JOIN route_steps s ON s.document = i.document AND s.position = i.position"
    )
    recorded = {(row["challenge"]): row for row in items}
    signed = await signed_challenges(stack)
    counts["signatures"] = len(signed)
    counts["doubled"] += len(signed) - len(set(signed))
    steps: collections.Counter[tuple[str, int]] = collections.Counter()
    for challenge in signed:
        row = recorded.get(challenge)
        if row is None or row["state"] != "signed" or row["cms"] is None:
            counts["unrecorded"] += 1
            continue
        steps[row["document"], row["position"]] += 1
    counts["doubled"] += sum(made - 1 for made in steps.values())
    kinds = {"person": "signature", "seal": "seal"}
    known = {(row["document"], kinds[row["kind"]], row["tbs"]) for row in items if row["challenge"] in set(signed)}
    for told in history_of(load):
        counts["lost"] += told not in known
    # The other way round: what the server holds for signed has a signature in the signer's log.
    counts["unrecorded"] += sum(row["state"] == "signed" and row["challenge"] not in set(signed) for row in items)


def history_of(load: Load) -> list[tuple[str, str, str]]:
    return [(told.document, told.step, told.tbs) for told in load.history.signatures]


async def signed_challenges(stack: Deployment) -> list[str]:
    """From the signer's own log: the challenge of every signature of a document."""
    client = stack.signer_client()
    found: list[str] = []
    start = 0
    while events := (await client.log_events(start)).events:
        decoded = [msgspec.json.decode(event) for event in events]
        found += [event["challenge"] for event in decoded if event["event"] == "signed"]
        start += len(events)
    await client.close()
    return found


async def _documents(stack: Deployment, load: Load, counts: collections.Counter[str]) -> None:
    history = load.history
    stored = {row["id"] for row in await stack.wiring.db.fetch_all("SELECT id FROM documents")}
    counts["documents"] = len(stored)
    counts["lost"] += len(set(history.intakes.values()) - stored)
    counts["doubled"] += len(stored) - len(history.intakes)
    revisions = await stack.wiring.db.fetch_all(
        "SELECT document, step, count(*) AS n FROM revisions WHERE step IS NOT NULL GROUP BY document, step"
    )
    counts["doubled"] += sum(row["n"] - 1 for row in revisions)
    complete = collections.Counter(row["document"] for row in revisions)
    counts["lost"] += sum(complete[document] != 2 for document in history.finished)


async def oracle(stack: Deployment) -> dict[str, Any]:
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
        found: dict[str, Any] = (await http.get(f"{stack.axis_url}/_oracle")).json()
        return found


async def _exchange(stack: Deployment, load: Load, counts: collections.Counter[str]) -> None:
    """D2: exactly one accepted packet of every document that left, and in it the bytes of our head."""
    seen = await oracle(stack)
    counts["doubled"] += sum(max(0, n - 1) for n in seen["per_document"].values())
    attached = {one["sha256"] for packet in seen["packets"] for one in packet["attachments"]}
    rows = await stack.wiring.db.fetch_all("SELECT id, head FROM documents")
    heads = {row["id"]: row["head"] for row in rows}
    counts["lost"] += sum(heads[document] not in attached for document in load.history.finished)


def _integrity(stack: Deployment) -> int:
    """PRAGMA integrity_check of every SQLite file there is."""
    files = [stack.settings.state.signer / "signer.db"]
    if stack.settings.database.url.startswith("sqlite"):
        files.append(stack.settings.state.database)
    broken = 0
    for path in files:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
        broken += connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]
        connection.close()
    return broken


async def _judged_by_pdfsig(stack: Deployment, document: str) -> int:
    """1 unless poppler finds both signatures valid in the file that the document management system gets."""
    answer = await stack.qlvb.call("GET", f"/api/v1/documents/{document}/files/final", expect=200)
    path = Path(stack.folder) / f"{hashlib.sha256(answer.content).hexdigest()[:16]}.pdf"
    path.write_bytes(answer.content)
    said = (
        await asyncio.to_thread(subprocess.run, ["pdfsig", str(path)], capture_output=True, text=True, check=False)
    ).stdout
    return int(said.count("Signature is Valid") != 2)
