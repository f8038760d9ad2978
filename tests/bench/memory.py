"""`hoatoc serve` as it is installed: from exec to ready, what it holds when idle, what signing a 25 MB scan adds. Linux only (/proc).

The server, its signer, worker and renderers are the processes that the command starts; the demo PKI, FCM double and exchange run here. The
limits are absolute, so `against` is the limit itself.
"""

import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from httpx2 import AsyncClient

from server.cli.signer import ensure
from server.demo.fcm import FcmDouble
from server.demo.pki import DemoPki
from server.exchange.standin import serving
from server.identity.model import Role
from server.settings import load
from server.wiring import Wiring
from signing import offline
from signing.core import daemon
from signing.core.codec import public_jwk
from tests.bench.measure import Row, at_most, show
from tests.bench.previews import scan_pdf
from tests.fakes import pdfs
from tests.fakes.stack import ORGANISATION, ORIGIN, UNLIMITED, Stack

HOATOC = (sys.executable, "-c", "from server.cli import main; main()")
IDLE_S = 10
STARTS = 5


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _ready(port: int, process: "subprocess.Popen[bytes]") -> None:
    async with AsyncClient(headers={"Host": ORIGIN.removeprefix("http://")}) as http:
        for _ in range(3000):
            assert process.poll() is None, "the server did not start"
            with contextlib.suppress(OSError, Exception):
                if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.01)
    raise TimeoutError("the server did not get ready")


def _serve(environ: dict[str, str], port: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*HOATOC, "serve", "--port", str(port)], env={**os.environ, **environ}, stderr=subprocess.DEVNULL
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait(60)


async def _start(folder: Path) -> float:
    """Seconds from exec to the first 200 of /readyz, with an empty state folder."""
    port = _port()
    begin = time.perf_counter()
    process = _serve({"HOATOC_STATE_DIR": str(folder), "HOATOC_SERVER__PUBLIC_URL": ORIGIN}, port)
    try:
        await _ready(port, process)
        return time.perf_counter() - begin
    finally:
        _end(process)


def tree(pid: int) -> list[int]:
    """A process and all that it started, and these started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text("ascii").split():
            found += tree(int(child))
    return found


def pss_mb(pids: list[int]) -> float:
    """Proportional set size in MB: shared pages count once over those who share them."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text("ascii") for pid in pids]
    return sum(int(text.split("Pss:")[1].split()[0]) for text in rollups) * 1024 / 1e6


def _status_mib(pid: int, field: str) -> float:
    return int(Path(f"/proc/{pid}/status").read_text("ascii").split(f"{field}:")[1].split()[0]) / 1024


@contextlib.asynccontextmanager
async def _served(folder: Path) -> AsyncIterator[tuple[Stack, int]]:
    """The road over a served product; the second value is the server's process id."""
    stack, port = Stack(folder), _port()
    async with (
        DemoPki() as stack.pki,
        FcmDouble() as stack.fcm,
        serving(folder / "axis") as (stack.axis, stack.axis_url),
    ):
        stack.fcm.write_service_account(folder / "fcm.json")
        (folder / "roots.pem").write_text(stack.pki.authority.trust_pem)
        environ = {
            "HOATOC_STATE_DIR": str(folder / "state"), "HOATOC_SERVER__PUBLIC_URL": ORIGIN, "HOATOC_PUSH__FCM_CREDENTIALS": str(folder / "fcm.json"),
            "HOATOC_PUSH__FCM_URL": stack.fcm.url, "HOATOC_TSA__URLS": stack.pki.tsa_url, "HOATOC_TSA__ROOTS": str(folder / "roots.pem"),
            "HOATOC_TRUST__ROOTS": str(folder / "roots.pem"), "HOATOC_EXCHANGE__URL": stack.axis_url, "HOATOC_EXCHANGE__SYSTEM_ID": ORGANISATION,
            "HOATOC_EXCHANGE__SECRET_FILE": str(stack.axis.secrets[ORGANISATION]), "HOATOC_BLOBS__RESERVE_BYTES": "0", **UNLIMITED,
        }  # fmt: skip
        stack.settings = load(None, environ)
        signer = daemon.load_config(ensure(stack.settings, (ORGANISATION,)))
        offline.trust_officer(signer, public_jwk(stack.officer_key.public_key()), [ORGANISATION])
        offline.trust_root(signer, stack.pki.authority.trust_pem.encode(), "demo")
        process = _serve(environ, port)
        try:
            await _ready(port, process)
            await _enter(stack, port)
            yield stack, process.pid
        finally:
            _end(process)


async def _enter(stack: Stack, port: int) -> None:
    # What an operator does on the command line, done here; everything else goes over HTTP.
    stack.wiring = await Wiring.open(stack.settings)
    stack.http = AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"Host": ORIGIN.removeprefix("http://")}, timeout=120
    )
    stack.organisation = (await stack.wiring.identity.create_organisation(ORGANISATION, "Ủy ban nhân dân xã Mẫu")).id
    stack.officer = await stack.person("Cán bộ đăng ký mẫu", Role.REGISTRATION_OFFICER)
    stack.qlvb = await stack.service("QLVB mẫu")


async def _signed(stack: Stack, leader: Any, pdf: bytes, pid: int) -> tuple[float, float]:
    """One document to its signature with its time stamp; MiB that the server's peak grew by: from intake on, and from the sheet on."""
    grown = []
    _forget_peak(pid)
    before = _status_mib(pid, "VmRSS")
    taken = await stack.take_in(pdf, [leader])
    assert taken.status_code == 201, taken.text
    await stack.until(taken.json()["id"], "in_review", within_s=60)
    grown.append(_status_mib(pid, "VmHWM") - before)
    _forget_peak(pid)
    before = _status_mib(pid, "VmRSS")
    answer = await leader.sign(taken.json()["id"])
    assert answer.status_code == 200, answer.text
    await stack.until(taken.json()["id"], "signed", within_s=60)
    return grown[0], _status_mib(pid, "VmHWM") - before


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")


async def _rows(folder: Path) -> list[Row]:
    starts = [await _start(folder / f"empty-{number}") for number in range(STARTS)]
    made = [at_most("serve: exec to ready, empty state folder", statistics.median(starts), 3.0, "s", 1.0)]
    (folder / "road").mkdir()
    async with _served(folder / "road") as (stack, pid):
        leader = await stack.person("Người ký mẫu", Role.LEADER)
        await stack.credential(leader, "Người ký mẫu")
        for _ in range(3):
            await _signed(stack, leader, pdfs.vietnamese(), pid)
        scans = [await _signed(stack, leader, scan_pdf(), pid) for _ in range(5)]
        intake, signing = (max(one[side] for one in scans) for side in (0, 1))
        more = {"intake_MiB": round(intake, 1), "scan_MB": round(len(scan_pdf()) / 1e6, 1)}
        made.append(
            at_most("serve: memory to sign a 25 MB scan, server's peak", max(signing, 0.0), 16.0, "MiB", 1.0, **more)
        )
        await asyncio.sleep(IDLE_S)
        each = {str(one): round(pss_mb([one]), 1) for one in tree(pid)}
        made.append(
            at_most(
                "serve: idle after work, server, signer and renderers, Pss",
                pss_mb(tree(pid)),
                200.0,
                "MB",
                1.0,
                each_MB=list(each.values()),
            )
        )
        await stack.http.aclose()
        await stack.wiring.close()
    return made


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        yield from asyncio.run(_rows(Path(name)))


if __name__ == "__main__":
    for row in rows():
        show(row)
