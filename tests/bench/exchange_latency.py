"""From the leader's signature to the axis' yes: batches of twenty with one PIN by leaders and clerks, offered at a steady rate.

`python -m tests.bench.exchange_latency [SECONDS [RATE [FOLDER]]]`, 120 s of 10 documents a second unless said otherwise. The product runs whole
in this process with its worker, its signer in a process of its own with the cost of a PIN as it ships, time stamps, certificates' status and the
axis on loopback. Documents are taken in and drawn before; sheets are opened within the time. A batch goes out every 20/RATE seconds whether the one
before has left or not. `cpu_s` is what all processes together spent on one document: two cores carry no more than 2 / `cpu_s` a second.

The histogram is written as SVG into FOLDER (`out/bench`): one column for each second, the goal's line at the 95th percentile.
"""

import asyncio
import contextlib
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from unittest.mock import patch

from server.identity.model import Role
from tests.bench.measure import Row, at_most, show
from tests.fakes import pdfs, stack
from tests.fakes.stack import Caller, Stack, running

BATCH = 20
GOAL_S = 10.0
FOLDER = Path(__file__).parents[2] / "out" / "bench"
LEADERS, CLERKS = 4, 2
_SHIPPED = stack.SIGNER_TOML.replace("memory_kib = 256", "memory_kib = 65536").replace(
    "iterations = 1", "iterations = 3"
)
_SPENT = """SELECT min(i.signed_us) AS signed, max(i.signed_us) AS sealed, p.accepted_us AS accepted FROM activation_items i
LEFT JOIN outgoing_packets p ON p.document = i.document GROUP BY i.document, p.accepted_us"""


async def signed(who: Caller, documents: Sequence[str]) -> None:
    """Twenty sheets, one PIN, as a phone does it: the sheets one after another."""
    sheets = [await who.sheet(document) for document in documents]
    answer = await who.approve(*sheets)
    assert answer.status_code == 200, answer.text


async def batch(made: Stack, leader: Caller, clerk: Caller, documents: Sequence[str]) -> None:
    await signed(leader, documents)
    for document in documents:
        await made.until(document, "signed", within_s=600)
    await signed(clerk, documents)


async def people(made: Stack, count: int, role: Role, purpose: str) -> list[Caller]:
    found = []
    for number in range(count):
        who = await made.person(f"Người ký mẫu {number}", role, office=role is Role.CLERK)
        await made.credential(who, f"Người ký mẫu {number}", purpose)
        found.append(who)
    return found


async def ready(made: Stack, leaders: Sequence[Caller], count: int) -> list[list[str]]:
    """Documents with their pages drawn, in batches of twenty, each for one leader."""
    pdf = pdfs.vietnamese()
    batches = []
    for number in range(count // BATCH):
        leader = leaders[number % len(leaders)]
        answers = [await made.take_in(pdf, [leader], number=str(number * BATCH + place)) for place in range(BATCH)]
        batches.append([str(answer.json()["id"]) for answer in answers])
    while await made.wiring.db.fetch_one("SELECT id FROM jobs WHERE kind LIKE 'previews.%' LIMIT 1"):  # noqa: ASYNC110 - the table alone says it
        await asyncio.sleep(0.2)
    return batches


def cpu_s() -> float:
    """CPU seconds of this process and all below it, the ended ones too (proc(5))."""
    found: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            found[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    ours, spent = {os.getpid()}, found[os.getpid()][1]
    for pid, (parent, used) in sorted(found.items()):
        if parent in ours:
            ours.add(pid)
            spent += used
    return spent


async def measured(folder: Path, seconds: int, rate: int) -> tuple[list[tuple[float, float]], float]:
    """(signed to forwarded, sealed to forwarded) in seconds of each document, and CPU seconds of one."""
    count = max(seconds * rate // BATCH, 1) * BATCH
    async with running(folder) as made:
        leaders, clerks = (
            await people(made, LEADERS, Role.LEADER, "person"),
            await people(made, CLERKS, Role.CLERK, "seal"),
        )
        batches = await ready(made, leaders, count)
        spent = cpu_s()
        begun, tasks = time.monotonic(), []
        for number, (documents, clerk) in enumerate(zip(batches, itertools.cycle(clerks), strict=False)):
            await asyncio.sleep(max(0.0, begun + number * BATCH / rate - time.monotonic()))
            tasks.append(asyncio.create_task(batch(made, leaders[number % len(leaders)], clerk, documents)))
        await asyncio.gather(*tasks)
        for document in itertools.chain(*batches):
            await made.until(document, "forwarded", within_s=1200)
        spent = cpu_s() - spent
        rows = await made.wiring.db.fetch_all(_SPENT)
    assert len(rows) == count
    times = [((row["accepted"] - row["signed"]) / 1e6, (row["accepted"] - row["sealed"]) / 1e6) for row in rows]
    return times, spent / count


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def histogram(values: Sequence[float], title: str) -> str:
    """One column a second."""
    counts = [0] * (int(max(values)) + 1)
    for value in values:
        counts[int(value)] += 1
    wide, high, top = max(8, 640 // len(counts)), 240, max(counts)
    bars = "".join(
        f'<rect x="{40 + place * wide}" y="{30 + high - high * count / top:.1f}" width="{wide - 1}" height="{high * count / top:.1f}"/>'
        for place, count in enumerate(counts)
    )
    step = max(1, len(counts) // 16)
    ticks = "".join(
        f'<text x="{40 + place * wide}" y="{high + 46}">{place}</text>' for place in range(0, len(counts) + 1, step)
    )
    mark = 40 + percentile(values, 0.95) * wide
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{60 + len(counts) * wide}" height="{high + 70}" font-family="sans-serif" font-size="11">'
        f'<text x="40" y="18" font-size="13">{escape(title)}</text><g fill="#0b5cad">{bars}</g>'
        f'<path d="M{mark:.1f} 24V{30 + high}" stroke="#b00020" stroke-dasharray="4 3"/><text x="{mark + 4:.1f}" y="34" fill="#b00020">p95</text>'
        f'<g fill="#444">{ticks}<text x="40" y="{high + 64}">s</text><text x="4" y="40">{top}</text></g></svg>\n'
    )


def rows(seconds: int = 120, rate: int = 10, out: Path = FOLDER) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name, patch.object(stack, "SIGNER_TOML", _SHIPPED):
        times, cpu = asyncio.run(measured(Path(name) / "stack", seconds, rate))
    whole, sealed = ([pair[place] for pair in times] for place in (0, 1))
    said = f"signed to forwarded p95, {rate} documents a second for {seconds} s, batches of {BATCH}"
    out.mkdir(parents=True, exist_ok=True)
    path = out / "exchange-latency.svg"
    path.write_text(
        histogram(whole, f"{said}: p50 {percentile(whole, 0.5):.1f} s, p95 {percentile(whole, 0.95):.1f} s")
    )
    more = {"p50_s": round(percentile(whole, 0.5), 2), "sealed_p95_s": round(percentile(sealed, 0.95), 2), "cpu_s": round(cpu, 3), "documents": len(whole)}  # fmt: skip
    yield at_most(f"exchange-latency: {said}", percentile(whole, 0.95), GOAL_S, "s", 1.0, **more, histogram=path.name)


if __name__ == "__main__":
    given = sys.argv[1:]
    for row in rows(*map(int, given[:2]), *map(Path, given[2:3])):
        show(row)
