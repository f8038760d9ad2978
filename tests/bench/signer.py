"""The signer's figures: both sides in the same run, interleaved, medians. `rows()` returns one dict per row."""

import asyncio
import hashlib
import os
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from signing.core.envelope import Argon, derive
from signing.core.model import MAX_ITEMS, KeyType
from signing.core.pin import Pin
from tests.fakes.phone import item
from tests.fakes.signer import SignerHost, enrol, now_us

ROUNDS = 30


class _Floor:
    """SHA-256 of 1 MB + a raw signature + two durable SQLite commits + one head write (two fdatasyncs)."""

    def __init__(self, folder: Path) -> None:
        import sqlite3

        self.key = ec.generate_private_key(ec.SECP256R1())
        self.database = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = FULL")
        self.database.execute("CREATE TABLE t (a)")
        self.head = os.open(folder / "floor.head", os.O_RDWR | os.O_CREAT)
        self.data = bytes(1_000_000)

    def run(self) -> float:
        begin = time.perf_counter()
        hashlib.sha256(self.data).digest()
        self.key.sign(b"x" * 150, ec.ECDSA(SHA256()))
        for _ in range(2):
            self.database.execute("INSERT INTO t VALUES (?)", (bytes(600),))
        for _ in range(2):
            os.pwrite(self.head, bytes(1024), 0)
            os.fdatasync(self.head)
        return time.perf_counter() - begin


async def _activation_rows(folder: Path) -> list[dict[str, object]]:
    """Activation without derivation (Argon2id at its smallest) against the floor of what it must do durably."""
    host = SignerHost(folder / "cheap", argon=(8, 1, 1)).start()
    client, floor = host.client(), _Floor(folder)
    phone = await enrol(host, client, host.officer())
    ours, against = [], []
    data = floor.data
    for _ in range(ROUNDS):
        grant = await client.challenge(phone.credential, phone.device)
        approval, sealed = phone.approve(grant, [item(hashlib.sha256(data).digest())], now_us=now_us())
        begin = time.perf_counter()
        hashlib.sha256(data).digest()
        await client.activate(approval, sealed)
        ours.append(time.perf_counter() - begin)
        against.append(floor.run())
    await client.close()
    host.stop()
    mine, base = statistics.median(ours) * 1000, statistics.median(against) * 1000
    row = {"bench": "signer activation without derivation", "ours": round(mine, 2), "against": round(base, 2)}
    return [row | {"unit": "ms", "ratio": round(mine / base, 2), "goal": 3.0, "met": mine / base <= 3}]


async def _pin_rows(folder: Path, seconds: float) -> list[dict[str, object]]:
    """PIN signatures a second at the product's Argon2id cost, against bare Argon2id on the same cores."""
    argon = Argon()
    host = SignerHost(folder / "full", argon=(argon.memory_kib, argon.iterations, argon.lanes)).start()
    client, officer = host.client(), host.officer()
    workers = os.cpu_count() or 1
    phones = [await enrol(host, client, officer, f"p{number}") for number in range(workers + 2)]
    ours, against = [], []
    for _ in range(5):
        end, done = time.perf_counter() + seconds, 0

        async def work(phone: object, end: float = end) -> int:
            count = 0
            while time.perf_counter() < end:
                grant = await client.challenge(phone.credential, phone.device)
                await client.activate(*phone.approve(grant, [item(os.urandom(32))], now_us=now_us()))
                count += 1
            return count

        begin = time.perf_counter()
        done = sum(await asyncio.gather(*(work(phone) for phone in phones)))
        ours.append(done / (time.perf_counter() - begin))
        with ThreadPoolExecutor(workers) as pool:
            begin = time.perf_counter()
            count = max(workers * 2, int(ours[-1] * seconds))
            list(pool.map(lambda _: derive(Pin(b"482915"), bytes(16), argon), range(count)))
            against.append(count / (time.perf_counter() - begin))
    await client.close()
    host.stop()
    mine, base = statistics.median(ours), statistics.median(against)
    row = {"bench": f"PIN signatures on {workers} cores", "ours": round(mine, 2), "against": round(base, 2)}
    return [row | {"unit": "1/s", "ratio": round(mine / base, 2), "goal": 0.8, "met": mine / base >= 0.8}]


def _openssl_signs_a_second() -> float:
    """`openssl speed` of RSA-3072 on one core, by processor time."""
    said = subprocess.run(
        ["openssl", "speed", "-seconds", "1", "rsa3072"], capture_output=True, check=True, text=True
    ).stdout
    return float(said.splitlines()[-1].split()[-2])


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _batch_rows(folder: Path) -> list[dict[str, object]]:
    """One activation of 200 digests against the same key length in `openssl speed`; RSA-3072, the only RSA that the product makes.

    Both by processor time, the signer's of its whole process: verifying, deriving (Argon2id at its smallest), signing, logging. `library`:
    bare signatures a second of the library that the signer uses, whose OpenSSL may be newer than the machine's.
    """
    host = SignerHost(folder / "batch", argon=(8, 1, 1)).start()
    client = host.client()
    phone = await enrol(host, client, host.officer(), key_type=KeyType.RSA3072)
    assert host.process
    key = rsa.generate_private_key(65537, 3072)
    ours, wall, against, bare = [], [], [], []
    for _ in range(7):
        grant = await client.challenge(phone.credential, phone.device)
        items = [item(os.urandom(32)) for _ in range(MAX_ITEMS)]
        approval = phone.approve(grant, items, now_us=now_us())
        spent, begin = _cpu_s(host.process.pid), time.perf_counter()
        await client.activate(*approval)
        wall.append(MAX_ITEMS / (time.perf_counter() - begin))
        ours.append(MAX_ITEMS / (_cpu_s(host.process.pid) - spent))
        against.append(_openssl_signs_a_second())
        begin = time.process_time()
        for _ in range(50):
            key.sign(bytes(150), padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
        bare.append(50 / (time.process_time() - begin))
    await client.close()
    host.stop()
    mine, base = statistics.median(ours), statistics.median(against)
    row = {"bench": f"signer: one activation of {MAX_ITEMS} digests, RSA-3072, / openssl speed on one core"}
    row |= {"ours": round(mine), "against": round(base), "unit": "1/s", "ratio": round(mine / base, 2), "goal": 0.6}
    return [
        row
        | {"met": mine / base >= 0.6, "wall": round(statistics.median(wall)), "library": round(statistics.median(bare))}
    ]


async def _memory_rows(folder: Path) -> list[dict[str, object]]:
    host = SignerHost(folder / "idle").start()
    client = host.client()
    await enrol(host, client, host.officer(), key_type=KeyType.RSA3072)
    await client.close()
    assert host.process
    rollup = Path(f"/proc/{host.process.pid}/smaps_rollup").read_text("ascii")
    pss = int(rollup.split("Pss:")[1].split()[0]) / 1024
    host.stop()
    row = {"bench": "signer idle, Pss", "ours": round(pss, 1), "against": 30.0, "unit": "MiB"}
    return [row | {"ratio": round(pss / 30, 2), "goal": 1.0, "met": pss <= 30}]


def rows(seconds: float = 3.0) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = asyncio.run(_activation_rows(folder))
        made += asyncio.run(_batch_rows(folder))
        made += asyncio.run(_pin_rows(folder, seconds))
        return made + asyncio.run(_memory_rows(folder))
