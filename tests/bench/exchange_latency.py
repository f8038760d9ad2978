"""From the leader's signature to the axis' yes: batches of twenty with one PIN by leaders and clerks, offered at a steady rate.

`python -m tests.bench.exchange_latency [SECONDS [RATE [FOLDER]]]`, 120 s of 10 documents a second unless said otherwise. The product runs as it is
installed: `hoatoc serve` with its worker, its limited children, its signer with the cost of a PIN as it ships, SQLite that flushes each commit. Time
stamps with certificates' status, and the axis, are processes of their own on loopback; the phones are this process. All of them share the cores of the
machine. Documents are taken in and drawn before; sheets are opened within the time, four at once as the web client opens them. A batch goes out every
20/RATE seconds whether the one before has left or not; its clerk begins when all twenty are signed and stamped. The bench looks on through the
database's file, which costs the server nothing. Not asked for: what a phone reads beside its sheets (document, manifest, the stamped page). The receivers'
answers belong to another road and do not come here.

`cpu_ms` is what one document cost from the first batch's beginning to the last packet's acceptance, by process: `server` (HTTP, worker, database),
`children` (the limited processes that meet the PDF, with the one that forks them), `signer`, the outside parties `pki` and `axis`; `phones` is the
bench's own part. `cores_carry_per_s` is what so many cores can carry if nothing ever waits: no rate above it holds. Where the asked rate misses its goal,
the highest that holds is looked for below it, each for a shorter time, by halving. The histogram is written as SVG into FOLDER (`out/bench`): one column
for each second, a line at the 95th percentile.

Longer than most: installing the product, offering and counting are one measurement.
"""

import asyncio
import contextlib
import itertools
import os
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from httpx2 import AsyncClient, Limits, TransportError

from server.demo.parties import CODE, Parties
from server.demo.processes import hoatoc
from server.demo.stage import free_port, init_signer, trust_root
from server.identity.model import Role
from server.identity.service import operator
from server.settings import load
from server.wiring import Wiring
from signing import offline
from signing.core import daemon
from signing.core.codec import public_jwk
from tests.bench.measure import Row, at_least, at_most, show
from tests.fakes import pdfs
from tests.fakes.stack import ORIGIN, SCOPES, UNLIMITED, Caller, Stack

BATCH = 20
AT_ONCE = 4
GOAL_S = 10.0
FOLDER = Path(__file__).parents[2] / "out" / "bench"
LEADERS, CLERKS = 4, 2
SEARCH_S = 45
HALVINGS = 3
LIMIT_S = 1200.0
CORES = len(os.sched_getaffinity(0))
_TICK = os.sysconf("SC_CLK_TCK")
_BUSY = 503
# What stands in a process' command line, and what it is called here; a limited child has its zygote's.
_PARTS = {
    "server.sandbox.zygote": "children",
    "signing.core": "signer",
    "server.demo.pki": "pki",
    "server.exchange.standin": "axis",
    "server.cli": "server",
}
_TIMES = """SELECT min(i.signed_us) AS signed, max(i.signed_us) AS sealed, p.accepted_us AS accepted FROM activation_items i
JOIN outgoing_packets p ON p.document = i.document WHERE i.document IN ({}) GROUP BY i.document, p.accepted_us"""


class Run(msgspec.Struct, frozen=True):
    """`whole`, `sealed`: seconds from the leader's and from the clerk's signature to the axis' yes, of each document. `cpu_ms`: of one, by process."""

    whole: list[float]
    sealed: list[float]
    cpu_ms: dict[str, float]
    done_per_s: float

    @property
    def p95(self) -> float:
        return percentile(self.whole, 0.95)

    @property
    def holds(self) -> bool:
        return self.p95 <= GOAL_S

    @property
    def cores_carry_per_s(self) -> float:
        return CORES * 1e3 / sum(self.cpu_ms.values())


class Watch:
    """The product's database, looked at from outside."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self._db.row_factory = sqlite3.Row

    def rows(self, sql: str, *args: str) -> list[sqlite3.Row]:
        return self._db.execute(sql, args).fetchall()

    async def until(self, documents: Sequence[str], state: str) -> None:
        """Every document is in `state`. Raises TimeoutError."""
        sql = f"SELECT count(*) AS n FROM documents WHERE state = ? AND id IN ({_marks(documents)})"
        async with asyncio.timeout(LIMIT_S):
            while self.rows(sql, state, *documents)[0]["n"] < len(documents):  # noqa: ASYNC110 - the table alone says it
                await asyncio.sleep(0.25)

    async def idle(self) -> None:
        """Nothing waits to be done at once. Raises TimeoutError."""
        async with asyncio.timeout(LIMIT_S):
            while self.rows("SELECT id FROM jobs WHERE due_us = 0 OR state = 'running' LIMIT 1"):  # noqa: ASYNC110
                await asyncio.sleep(0.2)

    def close(self) -> None:
        self._db.close()


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


class Installed(msgspec.Struct):
    """The product as processes, with its people."""

    made: Stack
    watch: Watch
    leaders: list[Caller]
    clerks: list[Caller]
    numbers: Iterator[int]


@contextlib.asynccontextmanager
async def installed(folder: Path) -> AsyncIterator[Installed]:
    """The outside parties, and `hoatoc serve` in embedded mode with one organisation, whose people have phones and certificates."""
    folder.mkdir()
    async with Parties(folder) as parties:
        await parties.ready()
        async with AsyncClient(base_url=parties.axis_url, trust_env=False) as axis:
            (await axis.put("/_peers", json={})).raise_for_status()
        port = free_port("127.0.0.1", 18480)
        environ = _environ(folder / "state", port, parties)
        made = Stack(folder, CODE)
        made.settings = load(None, environ)
        made.pki = SimpleNamespace(url=parties.pki_url)  # type: ignore[assignment]
        init_signer(folder / "state")
        config = daemon.load_config(made.settings.state.signer / "signer.toml")
        offline.trust_officer(config, public_jwk(made.officer_key.public_key()), [CODE])
        trust_root(folder / "state", parties.trust)
        host = {"Host": ORIGIN.removeprefix("http://")}
        async with AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=host, timeout=600, limits=Limits(max_connections=256), trust_env=False
        ) as http:  # fmt: skip
            codes, form = await _people(made)
            made.http = http
            await parties.start("server", hoatoc("serve"), **environ)
            await _answers(http)
            callers = [await _paired(http, person, code) for person, code in codes]
            made.officer, leaders, clerks = callers[0], callers[1 : 1 + LEADERS], callers[1 + LEADERS :]
            made.qlvb = Caller(http, CODE)
            made.qlvb.service = True
            made.qlvb._take((await http.post("/api/v1/oauth/token", data=form)).json(), form)
            for who, purpose in (*((one, "person") for one in leaders), *((one, "seal") for one in clerks)):
                await made.credential(who, "Người ký mẫu", purpose)
            watch = Watch(made.settings.state.database)
            try:
                yield Installed(made, watch, leaders, clerks, itertools.count(1))
            finally:
                watch.close()


def _environ(state: Path, port: int, parties: Parties) -> dict[str, str]:
    told = {
        f"HOATOC_{section.upper()}__{name.upper()}": ",".join(value) if isinstance(value, list) else str(value)
        for section, values in parties.sections().items()
        for name, value in values.items()
    }
    # The receivers' answers and what others send come every thirty seconds, as it ships; nobody sends here.
    del told["HOATOC_EXCHANGE__POLL_S"]
    return {
        **told,
        **UNLIMITED,
        "HOATOC_STATE_DIR": str(state),
        "HOATOC_SERVER__PUBLIC_URL": ORIGIN,
        "HOATOC_SERVER__PORT": str(port),
        "HOATOC_SERVER__LOG_LEVEL": "error",
        "HOATOC_BLOBS__RESERVE_BYTES": "0",
    }


async def _people(made: Stack) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """(id, pairing code) of the officer, the leaders and the clerks; what the document management system logs in with."""
    wiring = await Wiring.open(made.settings)
    try:
        made.organisation = (await wiring.identity.create_organisation(CODE, "Ủy ban nhân dân xã Mẫu")).id
        actor = operator(made.organisation)
        codes = []
        for role in (Role.REGISTRATION_OFFICER, *[Role.LEADER] * LEADERS, *[Role.CLERK] * CLERKS):
            person = await wiring.identity.create_person(
                actor, name=f"Người mẫu {len(codes)}", position="CHỦ TỊCH", roles=[role]
            )
            code = await wiring.identity.pairing_code(actor, person.id, office=role is Role.CLERK)
            codes.append((person.id, code.code.reveal()))
        client = await wiring.identity.create_client(actor, name="QLVB mẫu", scopes=list(SCOPES))
        return codes, {
            "grant_type": "client_credentials",
            "client_id": client.id,
            "client_secret": client.secret.reveal(),
        }
    finally:
        await wiring.close()


async def _answers(http: AsyncClient) -> None:
    async with asyncio.timeout(120):
        while True:
            with contextlib.suppress(TransportError):
                await http.get("/")
                return
            await asyncio.sleep(0.1)


async def _paired(http: AsyncClient, person: str, code: str) -> Caller:
    caller = Caller(http, CODE)
    caller.person = person
    await caller.pair(code)
    return caller


# -- What is measured ---------------------------------------------------------------------------------------------------


def cpu_s() -> Counter[str]:
    """CPU seconds until now of this process and of each part below it, with the ended processes that it waited for (proc(5))."""
    table: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            table[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15])) / _TICK
    spent = Counter({"phones": time.process_time()})
    ours = {os.getpid()}
    for pid, (parent, used) in sorted(table.items()):
        if parent in ours and pid not in ours:
            ours.add(pid)
            spent[_part(pid)] += used
    return spent


def _part(pid: int) -> str:
    line = ""
    with contextlib.suppress(OSError):
        line = Path(f"/proc/{pid}/cmdline").read_text()
    return next((name for said, name in _PARTS.items() if said in line), "other")


async def signed(who: Caller, documents: Sequence[str]) -> None:
    """Twenty sheets, one PIN, as the web client does it."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def sheet(document: str) -> dict[str, Any]:
        async with gate:
            while (opened := await who.call("POST", f"/api/v1/documents/{document}/sheet")).status_code == _BUSY:  # noqa: ASYNC110 - as phones do
                await asyncio.sleep(0.5)
        assert opened.status_code == 201, opened.text
        return dict(opened.json())

    answer = await who.approve(*await asyncio.gather(*map(sheet, documents)))
    assert answer.status_code == 200, answer.text


async def batch(installed: Installed, leader: Caller, clerk: Caller, documents: Sequence[str]) -> None:
    await signed(leader, documents)
    await installed.watch.until(documents, "signed")
    await signed(clerk, documents)
    await installed.watch.until(documents, "forwarded")


async def ready(installed: Installed, count: int) -> list[list[str]]:
    """Documents with their pages drawn, in batches of twenty, each for one leader."""
    pdf, gate = pdfs.vietnamese(), asyncio.Semaphore(8)

    async def taken(place: int) -> str:
        leader = installed.leaders[place // BATCH % LEADERS]
        async with gate:
            answer = await installed.made.take_in(pdf, [leader], number=str(next(installed.numbers)))
            while answer.status_code == _BUSY:
                await asyncio.sleep(0.5)
                answer = await installed.made.take_in(pdf, [leader], number=str(next(installed.numbers)))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    documents = await asyncio.gather(*map(taken, range(count)))
    await installed.watch.idle()
    return [documents[start : start + BATCH] for start in range(0, count, BATCH)]


async def offered(installed: Installed, seconds: int, rate: float) -> Run:
    """Batches at a steady rate, all of them to their end."""
    batches = await ready(installed, max(int(seconds * rate) // BATCH, 2) * BATCH)
    before, begun, tasks = cpu_s(), time.monotonic(), []
    for number, (documents, clerk) in enumerate(zip(batches, itertools.cycle(installed.clerks), strict=False)):
        await asyncio.sleep(max(0.0, begun + number * BATCH / rate - time.monotonic()))
        tasks.append(asyncio.create_task(batch(installed, installed.leaders[number % LEADERS], clerk, documents)))
    await asyncio.gather(*tasks)
    documents = list(itertools.chain(*batches))
    took_s, spent = time.monotonic() - begun, cpu_s() - before
    rows = installed.watch.rows(_TIMES.format(_marks(documents)), *documents)
    assert len(rows) == len(documents)
    return Run(
        whole=[(row["accepted"] - row["signed"]) / 1e6 for row in rows],
        sealed=[(row["accepted"] - row["sealed"]) / 1e6 for row in rows],
        cpu_ms={name: round(spent[name] / len(documents) * 1e3, 1) for name in (*_PARTS.values(), "phones")},
        done_per_s=len(documents) / took_s,
    )


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


async def measured(folder: Path, seconds: int, rate: float) -> tuple[Run, float | None]:
    """The asked rate; the highest that holds where that one does not, None where none of those tried does."""
    async with installed(folder) as product:
        asked = await offered(product, seconds, rate)
        if asked.holds:
            return asked, rate
        low, high, found = 0.0, min(rate, asked.cores_carry_per_s), None
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            run = await offered(product, SEARCH_S, middle)
            low, high, found = (middle, high, middle) if run.holds else (low, middle, found)
        return asked, found


def rows(seconds: int = 120, rate: int = 10, out: Path = FOLDER) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        run, found = asyncio.run(measured(Path(name) / "product", seconds, rate))
    p50_s = percentile(run.whole, 0.5)
    said = f"signed to forwarded p95, {rate} documents a second for {seconds} s, batches of {BATCH}"
    out.mkdir(parents=True, exist_ok=True)
    path = out / "exchange-latency.svg"
    path.write_text(histogram(run.whole, f"{said}: p50 {p50_s:.1f} s, p95 {run.p95:.1f} s"))
    yield at_most(
        f"exchange-latency: {said}", run.p95, GOAL_S, "s", 1.0, p50_s=round(p50_s, 2), sealed_p95_s=round(percentile(run.sealed, 0.95), 2),
        documents=len(run.whole), done_per_s=round(run.done_per_s, 2), cpu_ms_all=round(sum(run.cpu_ms.values()), 1), cpu_ms=run.cpu_ms,
        cores=CORES, cores_carry_per_s=round(run.cores_carry_per_s, 2), histogram=path.name,
    )  # fmt: skip
    held = f"each for {SEARCH_S} s" if found != rate else f"for {seconds} s"
    yield at_least(
        f"exchange-latency: highest rate found whose p95 is {GOAL_S:.0f} s at most, {held}",
        found or 0.0,
        rate,
        "documents/s",
        1.0,
    )


if __name__ == "__main__":
    given = sys.argv[1:]
    for row in rows(*map(int, given[:2]), *map(Path, given[2:3])):
        show(row)
