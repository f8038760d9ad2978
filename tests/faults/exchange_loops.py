"""The long forms of the exchange's fault tests; each loop takes its rounds and gives its counts. `make soak` calls them.

Longer than most: every loop is judged by the same books of sender, axis and receiver.
"""

import asyncio
import collections
import gc
import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

import httpx2
import msgspec

from server.clock import SystemClock
from server.db import migrate, open_database
from server.exchange import edxml
from server.exchange.axis import AxisUnavailable, Unreachable
from server.exchange.business import Update, business
from server.exchange.messages import Letter, queue
from server.exchange.model import Organisation, PacketKind, UpdateInfo
from server.exchange.standin import serving
from server.jobs import Lane, LocalWakeup, Worker, WorkerSettings
from tests.unit.server.exchange.house import ORGANISATION, House, client
from tests.unit.server.exchange.samples import make_packet

FAULTS = ("drop-after", "500-after", "drop-before", "500-before", "html", "late")
POINTS = ("forward-built", "forward-sent", "forward-accepted", "status-stored", "message-sent")


async def faulty_forwarding(house, stage, *, rounds: int, share: float = 0.3) -> dict[str, int]:
    """Documents one after another while a share of the axis' answers goes wrong; waits pass by the frozen clock (D2)."""
    faults = [{"fault": name, "times": -1, "probability": share / len(FAULTS), "delay_ms": 20} for name in FAULTS]
    asking = {"fault": "500-before", "call": "getSentEdocList", "times": -1, "probability": share}
    await stage.put("_faults", [*faults, asking])
    heads = {}
    for number in range(rounds):
        document = await house.sealed(str(number))
        row = await house.db.fetch_one("SELECT head, exchange_id FROM documents WHERE id = $1", document)
        heads[row["exchange_id"]] = row["head"]
        while True:
            ended = await house.run()
            if ended == "done":
                break
            # What is accepted late comes within the settling time, which the frozen clock would jump over.
            await asyncio.sleep(0.05 if ended[2] not in {"http-500", "not-json"} else 0)
            house.clock.advance(max(ended[1], 0.001))
    return verdict((await stage.oracle())["packets"], heads)


async def forwarding(folder: Path, *, rounds: int, seed: int) -> dict[str, int]:
    """`faulty_forwarding` with an axis and a house of its own."""
    from tests.fakes.clock import FrozenClock
    from tests.unit.server.exchange.conftest import Stage

    (folder / "axis").mkdir(parents=True)
    random.seed(seed)  # the retries' jitter; the axis draws its faults by itself
    db = await open_database(f"sqlite://{folder}/house.db")
    await migrate(db)
    async with serving(folder / "axis") as (standin, url):
        stage = Stage(standin, url)
        try:
            house = House(db, folder, FrozenClock(), stage.client("X01", send_s=1))
            await house.found()
            return await faulty_forwarding(house, stage, rounds=rounds)
        finally:
            await stage.close()
            await db.close()


class Shifted:
    """The system's clock, set forward by what an outage lasted."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self._ahead_us = 0

    def now_us(self) -> int:
        return self._real.now_us() + self._ahead_us

    def monotonic_us(self) -> int:
        return self._real.monotonic_us() + self._ahead_us

    def advance(self, seconds: float) -> None:
        self._ahead_us += round(seconds * 1e6)


class Gate:
    """The axis' client with the axis behind it away until `share` is more than 0: every request is counted, and answered as by a dead host."""

    def __init__(self, axis, clock) -> None:
        self._axis, self._clock = axis, clock
        self.share = 0.0
        self.probes: list[int] = []

    def __getattr__(self, name: str):
        return getattr(self._axis, name)

    def _away(self) -> bool:
        self.probes.append(self._clock.now_us())
        return random.random() >= self.share

    async def send(self, *given):
        return Unreachable("ConnectError") if self._away() else await self._axis.send(*given)

    async def sent(self, *given):
        if self._away():
            raise AxisUnavailable("ConnectError")
        return await self._axis.sent(*given)

    async def received(self, *given):
        if self._away():
            raise AxisUnavailable("ConnectError")
        return await self._axis.received(*given)

    async def agencies(self):
        if self._away():
            raise AxisUnavailable("ConnectError")
        return await self._axis.agencies()


STEP_S = 20.0
# Each of the loop's lanes may be sending when the axis goes, and one more tries at once.
UNDER_WAY = 5
# What a long outage may add to the process: all that waits is in the database (D3).
GROWN_MIB = 16


async def outage(
    folder: Path, *, documents: int, size: int = 100_000, hours: float = 48, seed: int = 1
) -> dict[str, object]:
    """An axis that is away for days (D3): documents with a follow-up each wait, three restarts between, then it comes back in part and whole.

    The outage passes by the clock; the drain is real, with the product's worker. Figures: probes a minute while it was away, memory
    before and after, packets a second of the drain with the CPU time that this process and the axis, its own process, spent on each.
    """
    random.seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    process, url, secret = await axis_process(folder / "axis")
    clock = Shifted()
    db = await open_database(f"sqlite://{folder}/house.db")
    await migrate(db)
    gate = Gate(client(url, secret, clock), clock)
    house = House(db, folder, clock, gate, settle_s=0.2, jitter=random.random)
    try:
        await house.found()
        heads = await _queued(house, documents, size)
        begun_us = clock.now_us()
        await _rounds(house)  # every packet is built
        before_mib = _resident_mib()
        for leg in range(4):
            while clock.now_us() < begun_us + (leg + 1) * hours / 4 * 3.6e9:
                clock.advance(STEP_S)
                await _rounds(house)
                for kind in PacketKind:
                    await house.exchange.poll(kind)
            if leg < 3:
                house.restart()
        probes, grown_mib = list(gate.probes), _resident_mib() - before_mib
        gate.share = 0.1
        for _ in range(10):
            clock.advance(STEP_S)
            for kind in PacketKind:
                await house.exchange.poll(kind)
            await _rounds(house)
        gate.share = 1.0
        axis_s = _cpu_s(process.pid)
        drained = await _drained(house, documents, clock)
        axis_ms = 1000 * (_cpu_s(process.pid) - axis_s) / max(int(drained["drained"]), 1)
        async with httpx2.AsyncClient(trust_env=False, timeout=120) as http:
            packets = (await http.get(f"{url}/_oracle")).json()["packets"]
        found = sum(at < probes[0] + 59_000_000 for at in probes)
        most = most_a_minute(probes[found:])
        over = (most > 1) + (found > UNDER_WAY + 1) + (grown_mib > GROWN_MIB)
        return {
            **verdict(packets, heads), "disordered": _disordered(packets), "unsettled": await house.count("documents", "state = 'sealed'"),
            "hours": hours, "probes": len(probes), "found_by": found, "most_probes_a_minute": most,
            "memory_grown_mib": round(grown_mib, 1), "over_limits": over, "size": size, **drained, "axis_cpu_ms_each": round(axis_ms, 2),
        }  # fmt: skip
    finally:
        await gate.close()
        await db.close()
        process.send_signal(signal.SIGKILL)
        await process.wait()


def most_a_minute(times_us: list[int]) -> int:
    """The most in any sixty seconds, a second less for what the clock passes between two readings."""
    window: collections.deque[int] = collections.deque()
    most = 0
    for at in sorted(times_us):
        window.append(at)
        while window[0] <= at - 59_000_000:
            window.popleft()
        most = max(most, len(window))
    return most


async def axis_process(folder: Path) -> tuple[asyncio.subprocess.Process, str, str]:
    """The stand-in as a process of its own; its address and the secret's file of X01."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server.exchange.standin", "--port", "0", "--state", str(folder), stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    told = json.loads(await process.stdout.readline())
    return process, f"http://127.0.0.1:{told['port']}", told["secrets"]["X01"]


async def _queued(house: House, documents: int, size: int) -> dict[str, str]:
    """Sealed documents of `size` bytes, one in ten with an update queued behind it; DocumentId to head."""
    noise = random.randbytes(size)
    heads = {}
    for number in range(documents):
        pdf = b"%PDF-1.7\n%" + str(number).encode() + b"\n" + noise
        document = await house.sealed(str(number), pdf=pdf[:size], urgency=0)
        row = await house.db.fetch_one("SELECT head, exchange_id FROM documents WHERE id = $1", document)
        heads[row["exchange_id"]] = row["head"]
        if number % 10 == 0:
            await house.db.transact(
                lambda tx, document=document, row=row: _update(tx, house, document, row["exchange_id"])
            )
    return heads


async def _update(tx, house: House, document: str, exchange_id: str) -> None:
    """A message that must not be there before its document."""
    header = make_packet(house.blobs.scratch(), number=document[:8]).header
    letter = Letter(
        header=msgspec.structs.replace(header, document_id=exchange_id),
        business=business(
            Update(document_id=exchange_id, info=UpdateInfo(document_changed=0, receivers_changed=1, receivers=()))
        ),
    )
    await queue(
        tx,
        letter,
        organisation=ORGANISATION,
        subject=document,
        what="update",
        distinct=document,
        now_us=house.clock.now_us(),
    )


def _worker(house: House) -> Worker:
    return Worker(
        house.db, {**house.tasks.handlers(), "webhooks.deliver": _nothing, "notices.push": _nothing}, house.clock, LocalWakeup(),
        settings=WorkerSettings(poll_s=0.05, lease_s=600),
    )  # fmt: skip


async def _nothing(_job, _context) -> None:
    """Others' work, which the worker of this loop does not do."""


async def _rounds(house: House) -> None:
    """What is due now, several at a time as a worker does."""
    await asyncio.gather(*(_lane(house, lane) for lane in (Lane.URGENT, *(Lane.NORMAL for _ in range(4)))))


async def _lane(house: House, lane: Lane) -> None:
    while await house.run(lane) != "none":
        pass


async def _drained(house: House, documents: int, clock: Shifted) -> dict[str, float]:
    """Let the product's worker send all that waits, and say how fast."""
    clock.advance(3600)
    already = await house.count("outgoing_packets", "stage = 'accepted'")
    worker = _worker(house)
    begun, cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(worker.run())
    left = documents
    try:
        while left:
            for kind in PacketKind:  # as the product does beside it: what fell asleep while the way was opened is woken
                await house.exchange.poll(kind)
            await asyncio.sleep(0.2)
            left = await house.count("outgoing_packets", "stage <> 'accepted'")
            assert time.perf_counter() - begun < 3600, f"{left} documents are not sent"
            if await house.count("jobs", "state = 'waiting' AND due_us > $1", clock.now_us()):
                clock.advance(1)
    finally:
        took_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
        await worker.stop(5)
        await running
    sent = documents - already
    return {
        "drained": sent,
        "drain_per_s": round(sent / took_s, 1),
        "drain_cpu_ms_each": round(1000 * cpu_s / max(sent, 1), 2),
    }


def _disordered(packets) -> int:
    """Messages that stood at the axis before the document that they are about."""
    seen: set[str] = set()
    wrong = 0
    for packet in packets:
        if packet["business"] == 0 and packet["kind"] == PacketKind.DOCUMENT:
            seen.add(packet["document_id"])
        elif packet["sender"] == "X01" and packet["document_id"] not in seen:
            wrong += 1
    return wrong


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def verdict(packets, heads: dict[str, str]) -> dict[str, int]:
    """`heads`: DocumentId to the digest that every accepted packet of it must carry."""
    seen: dict[str, list[str]] = {}
    changed = 0
    for packet in packets:
        if packet["kind"] == PacketKind.DOCUMENT and packet["sender"] == "X01" and packet["business"] == 0:
            seen.setdefault(packet["document_id"], []).append(packet["doc_id"])
            changed += [file["sha256"] for file in packet["attachments"]] != [heads[packet["document_id"]]]
    return {
        "rounds": len(heads),
        "lost": len(heads.keys() - seen.keys()),
        "doubled": sum(len(ids) - 1 for ids in seen.values()),
        "changed": changed,
    }


async def kill_cycles(folder: Path, *, rounds: int, seed: int) -> dict[str, int]:
    """A worker process killed at every point in turn and at random; each document forwarded, answered and applied once, each one that
    comes in the meantime taken in and confirmed to its sender (01) once (D1).
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    axis = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server.exchange.standin", "--port", "0", "--state", str(folder / "axis"),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        told = json.loads(await axis.stdout.readline())
        url, secret = f"http://127.0.0.1:{told['port']}", told["secrets"]["X01"]
        sender = Neighbour(client(url, told["secrets"]["X02"], SystemClock(), "X02"), folder)
        async with httpx2.AsyncClient(trust_env=False) as http:
            await http.put(f"{url}/_peers", json={"X02": {"statuses": ["01", "03"]}, "X03": {"statuses": ["03", "01"]}})
            crashed = 0
            for number in range(rounds):
                point = rng.choice((*POINTS, ""))
                await sender.sends(str(number))
                crashed += await _killed(folder, url, secret, number, point, rng)
            await _worked(folder, url, secret, "", until_quiet=True)
            packets = (await http.get(f"{url}/_oracle")).json()["packets"]
        await sender.axis.close()
        return {**await _judged(folder, packets), "rounds": rounds, "crashed": crashed}
    finally:
        axis.send_signal(signal.SIGKILL)
        await axis.wait()


class Neighbour:
    """`X02`, which sends documents of its own."""

    def __init__(self, axis, folder: Path) -> None:
        self.axis = axis
        self._folder = folder

    async def sends(self, number: str) -> None:
        files = {"van-ban.pdf": b"%PDF-1.7\n" + number.encode() * 200}
        packet = make_packet(self._folder, number=number, receivers=("X01",), files=files)
        header = msgspec.structs.replace(
            packet.header, sender=Organisation(organ_id="X02"), document_id=f"X02,2026/03/02,{number}/CV",
            other=msgspec.structs.replace(packet.header.other, priority=0),
        )  # fmt: skip
        path = self._folder / f"from-{number}"
        edxml.write(msgspec.structs.replace(packet, header=header), path)
        outcome = await self.axis.send(PacketKind.DOCUMENT, path, "X02", ["X01"])
        assert outcome.doc_id


async def _killed(folder: Path, url: str, secret: str, number: int, point: str, rng: random.Random) -> int:
    """One life of a worker that is killed, at a crash point or at any moment of its work; whether it died of that."""
    at_work = folder / "at-work"
    at_work.unlink(missing_ok=True)
    process = await _started(folder, url, secret, point, "--seal", str(number))
    if not point:
        while process.returncode is None and not at_work.exists():  # noqa: ASYNC110 - another process makes the file
            await asyncio.sleep(0.01)
        await asyncio.sleep(rng.uniform(0, 0.5))
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
    await asyncio.wait_for(process.wait(), 300)
    return process.returncode == -signal.SIGKILL


async def _worked(folder: Path, url: str, secret: str, point: str, *, until_quiet: bool) -> None:
    process = await _started(folder, url, secret, point, *(["--quiet"] if until_quiet else []))
    assert await asyncio.wait_for(process.wait(), 1800) == 0


async def _started(folder: Path, url: str, secret: str, point: str, *arguments: str) -> asyncio.subprocess.Process:
    root = str(Path(__file__).resolve().parents[2])
    environ = {**os.environ, "PYTHONPATH": root, "HOATOC_CRASH_POINT": point}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.exchange_loops", str(folder), url, secret, *arguments, env=environ, cwd=root,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


async def _judged(folder: Path, packets) -> dict[str, int]:
    db = await open_database(f"sqlite://{folder}/house.db")
    try:
        rows = await db.fetch_all("SELECT id, exchange_id, head, state FROM documents")
        counts = verdict(packets, {row["exchange_id"]: row["head"] for row in rows})
        moved = await db.fetch_all(
            "SELECT subject, kind, count(*) AS n FROM audit_events WHERE kind IN ('document.forwarded', 'document.accepted') GROUP BY subject, kind"
        )
        told = await db.fetch_all(
            "SELECT document, person, count(*) AS n FROM notices WHERE kind = 'accepted' GROUP BY document, person"
        )
        history = await db.fetch_all("SELECT document, count(*) AS n FROM business_statuses GROUP BY document")
        came = [
            packet["document_id"]
            for packet in packets
            if packet["sender"] == "X02" and packet["kind"] == PacketKind.DOCUMENT
        ]
        kept = [row["exchange_id"] for row in await db.fetch_all("SELECT exchange_id FROM arrivals")]
        confirmed = [
            packet["document_id"] for packet in packets if packet["sender"] == "X01" and packet["status"] == "01"
        ]
        return counts | {
            "unfinished": sum(row["state"] != "accepted" for row in rows),
            "unrecorded": 2 * len(rows) - len(moved),
            "repeated_here": sum(row["n"] - 1 for row in (*moved, *told))
            + sum(max(0, row["n"] - 4) for row in history),
            "unheard": 4 * len(rows) - sum(min(4, row["n"]) for row in history),
            "untold": 2 * len(rows) - len(told),
            "arrivals_lost": len(set(came) - set(kept)) + len(set(came) - set(confirmed)),
            "arrivals_doubled": len(kept) - len(set(kept)) + len(confirmed) - len(set(confirmed)),
        }
    finally:
        await db.close()


async def _child(folder: Path, url: str, secret: str, arguments: list[str]) -> None:
    """A worker by hand: seals a document if told to, then forwards and polls until nothing is left to do."""
    clock = SystemClock()
    db = await open_database(f"sqlite://{folder}/house.db")
    await migrate(db)
    axis = client(url, secret, clock)
    house = House(db, folder, clock, axis, settle_s=0.2)
    await house.found()
    if "--seal" in arguments:
        await house.sealed(arguments[-1], receivers=("X02", "X03"))
    await db.transact(_leases_ended)
    (folder / "at-work").touch()
    while True:
        await house.run()
        for kind in PacketKind:
            await house.exchange.poll(kind)
        open_ = await house.count("documents", "state <> 'accepted'")
        # X03 says 03 before 01: the last document is accepted while one of its four statuses may still be on its way.
        unheard = "--quiet" in arguments and await house.count("business_statuses", "1 = 1") < 4 * await house.count(
            "documents", "1 = 1"
        )
        unsaid = await house.count("jobs", "kind = 'exchange.message'") or await axis.received(PacketKind.DOCUMENT)
        if (
            not open_
            and not unheard
            and not unsaid
            and not await house.count("incoming_packets", "confirmed_us IS NULL")
        ):
            break
        await asyncio.sleep(0.02)
    await axis.close()
    await db.close()


async def _leases_ended(tx) -> None:
    """The dead process' lease, which a real worker would wait for."""
    await tx.execute("UPDATE jobs SET due_us = 0 WHERE state = 'running'")


if __name__ == "__main__":
    asyncio.run(_child(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
