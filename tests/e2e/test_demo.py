"""`hoatoc demo` as a user runs it, and its drivers against several servers and workers on PostgreSQL.

Longer than most: one walk is made once and judged by many tests.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from server.db import open_database
from server.demo.cast import Cast, World
from server.demo.paper import SUBJECT, decision
from server.demo.parties import Parties, toml
from server.demo.people import hand_out
from server.demo.phone import Phone
from server.demo.play import STEPS, Play, metadata
from server.demo.stage import free_port, init_signer, serving, trust_officer, trust_root
from tests.fakes import pdf_signing, pdfs
from tests.fakes.lta import lta

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from server.cli import main; main()", "demo"]


def run(*arguments: object, limit_s: int = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=limit_s, check=False, cwd=ROOT
    )


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def descendants(pid: int) -> set[int]:
    """Process ids below `pid`, from /proc."""
    below: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                child = int(stat.parent.name)
                below |= {child} | descendants(child)
    return below


def alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z":
                found.add(pid)
    return found


# -- One walk with everything that must be signed -------------------------------------------------------------------


def linearized(path: Path) -> Path:
    out = path.with_name("linearized.pdf")
    subprocess.run(["qpdf", "--linearize", path, out], check=True)
    return out


def signed_before(folder: Path) -> tuple[Path, Path]:
    """The same file with one real PAdES signature, and with two."""
    folder.mkdir()
    plain = folder / "ky-truoc.pdf"
    plain.write_bytes(pdfs.vietnamese())
    once, _ = pdf_signing.sign(plain, folder, pdf_signing.request(0), pdf_signing.leader())
    twice, _ = pdf_signing.sign(once, folder, pdf_signing.request(1), pdf_signing.leader())
    return once, twice


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("papers")
    made = {
        "pdf-1.4": pdfs.plain().replace(pdfs.plain()[:8], b"%PDF-1.4", 1),
        "pdfa": pdfs.pdfa(1),
        "object-streams": pdfs.object_streams(),
        "hybrid": pdfs.hybrid(),
        "rotated": pdfs.rotated(),
        "form": pdfs.form(),
        "scan": pdfs.scan(),
        "117-pages": pdfs.many_pages(117),
    }
    paths = {}
    for name, data in made.items():
        paths[name] = folder / f"{name}.pdf"
        paths[name].write_bytes(data)
    paths["linearized"] = linearized(paths["pdf-1.4"])
    paths["signed-before"], paths["signed-twice"] = signed_before(folder / "signed")
    paths["lta"] = folder / "lta.pdf"
    paths["lta"].write_bytes(lta())
    paths["encrypted"], paths["broken"] = folder / "encrypted.pdf", folder / "broken.pdf"
    paths["encrypted"].write_bytes(pdfs.encrypted())
    paths["broken"].write_bytes(pdfs.wrong_offsets())
    return paths


REFUSED = {"encrypted": "encrypted", "broken": "broken-structure"}


class Walk:
    def __init__(self, papers: dict[str, Path], out: Path) -> None:
        self.out = out
        self.names = list(papers)
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", 0))
            busy.listen()
            self.busy = busy.getsockname()[1]
            files = [part for path in papers.values() for part in ("--pdf", path)]
            self.done = run("--once", "--json", "--out", out, "--port", self.busy, *files, limit_s=600)
        self.lines = lines(self.done.stdout)
        self.summary = json.loads((out / "summary.json").read_text("utf-8"))

    def outcome(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.summary["documents"][self.names.index(name)]
        return found

    def place(self, name: str) -> Path:
        return self.out / str(self.names.index(name) + 1)


@pytest.fixture(scope="module")
def walk(papers: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return Walk(papers, tmp_path_factory.mktemp("out"))


MUST_BE_SIGNED = [
    "pdf-1.4", "pdfa", "linearized", "object-streams", "hybrid", "rotated", "form", "scan", "117-pages", "signed-before", "signed-twice", "lta",
]  # fmt: skip


def test_the_walk_ends_well_and_says_so(walk: Walk):
    assert walk.done.returncode == 0, walk.done.stdout[-2000:] + walk.done.stderr[-2000:]
    assert walk.summary["ok"]
    assert walk.done.stderr == ""
    assert [line["event"] for line in walk.lines][-1] == "summary"


def test_a_busy_port_moves_on(walk: Walk):
    assert int(walk.summary["base_url"].rsplit(":", 1)[1]) > walk.busy


@pytest.mark.parametrize("name", MUST_BE_SIGNED)
def test_what_must_be_signed_goes_the_whole_road(walk: Walk, name: str):
    outcome = walk.outcome(name)
    assert outcome["outcome"] == "accepted", outcome
    assert [step["step"] for step in outcome["steps"]] == list(STEPS)
    assert all(outcome["checks"].values())


@pytest.mark.parametrize(("name", "problem"), REFUSED.items())
def test_what_must_be_refused_is_refused_with_a_listed_type(walk: Walk, name: str, problem: str):
    outcome = walk.outcome(name)
    assert (outcome["outcome"], outcome["problem_type"]) == ("refused", problem)
    listed = (ROOT / "openapi" / "problems.json").read_text("utf-8")
    assert f'"{problem}"' in listed
    assert not walk.place(name).exists()


def test_the_files_are_there_and_belong_together(walk: Walk):
    place, outcome = walk.place("pdfa"), walk.outcome("pdfa")
    names = {path.name for path in place.iterdir()}
    assert {"signed.pdf", "final.pdf", "package.edxml", "manifest.json", "push.json", "receipt.json"} <= names
    assert any(name.startswith("page-1.") for name in names)
    final = (place / "final.pdf").read_bytes()
    assert final.startswith((place / "signed.pdf").read_bytes())
    assert hashlib.sha256(final).hexdigest() == outcome["digests"]["final"]
    assert (walk.out / "trust.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert not (walk.out / "demo.json").exists()


def test_the_final_file_is_what_lies_in_the_packet(walk: Walk):
    """The attachment is unpacked here without the product's own reader."""
    place = walk.place("pdfa")
    root = etree.fromstring((place / "package.edxml").read_bytes())
    contents = []
    for element in root.iter():
        text = (element.text or "").strip()
        if len(text) > 1000:
            raw = base64.b64decode(text)
            if zipfile.is_zipfile(BytesIO(raw)):
                with zipfile.ZipFile(BytesIO(raw)) as archive:
                    contents += [archive.read(name) for name in archive.namelist()]
            else:
                contents.append(raw)
    assert (place / "final.pdf").read_bytes() in contents


def test_the_push_carries_no_content(walk: Walk):
    pushes = json.loads((walk.place("pdfa") / "push.json").read_text("utf-8"))
    assert pushes
    for push in pushes:
        assert push["status"] == 200
        # "g": silent, takes away what was shown of a notice that was dealt with.
        assert set(push["body"]["message"]["data"]) <= {"id", "l", "x", "r", "k", "g"}
        assert "Văn bản" not in push["raw"]
        assert "QĐ-UBND" not in push["raw"]


def test_other_people_s_tools_accept_the_final_file(walk: Walk, tmp_path: Path):
    for name in ("pdfa", "hybrid", "rotated", "117-pages"):
        verdicts = pdf_signing.pdfsig(walk.place(name) / "final.pdf")
        assert len([one for one in verdicts if one.valid]) == 2, name
        pdf_signing.qpdf_check(walk.place(name) / "final.pdf")


def test_every_judge_agreed(walk: Walk):
    assert {one["judge"] for one in walk.summary["judges"]} == {
        "pdfsig", "openssl cms -verify", "hoatoc verify final.pdf", "hoatoc verify receipt.json",
    }  # fmt: skip
    assert all(one["holds"] for one in walk.summary["judges"])


def test_the_refusals_on_purpose_have_their_types(walk: Walk):
    assert {one["case"]: one["code"] for one in walk.summary["refusals"]} == {
        "script": "script",
        "changed-file": "not_valid",
        "changed-approval": "approval-invalid",
        "wrong-pin": "pin-wrong",
        "replayed-approval": "approval-used",
    }
    assert all(one["title"] for one in walk.summary["refusals"])


# -- Beginning and end ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving_demo(out: Path, *arguments: object) -> Iterator[tuple["subprocess.Popen[str]", list[dict[str, Any]]]]:
    """A demonstration that keeps serving; ends with the block."""
    command = [
        *COMMAND,
        "--json",
        "--out",
        str(out),
        "--port",
        str(free_port("127.0.0.1", 20_000)),
        *map(str, arguments),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    said = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(json.loads(line))
            if said[-1]["event"] == "serving":
                break
        yield process, said
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate(timeout=60)  # what it left behind may still hold its pipes


async def joins(given: dict[str, Any]) -> str:
    """A client from outside pairs one more phone of the leader with what demo.json says, and can sign with it."""
    leader = given["people"]["leader"]
    phone = Phone(given["base_url"], leader["pairing_link"], leader["pin"])
    await phone.pair(label="Máy thứ hai", platform="web")
    credential = await phone.add()
    tries = await phone.api.get(f"/api/v1/me/credentials/{credential}/tries")
    assert tries["tries_left"] == 3
    await phone.api.close()
    return credential


def test_it_keeps_serving_and_ctrl_c_leaves_nothing(tmp_path: Path):
    import httpx2

    with serving_demo(tmp_path / "out") as (process, said):
        assert said[-1]["event"] == "serving", process.stderr.read() if process.stderr else said
        given = json.loads((tmp_path / "out" / "demo.json").read_text("utf-8"))
        assert (tmp_path / "out" / "demo.json").stat().st_mode & 0o077 == 0
        assert {"leader", "clerk", "officer"} == set(given["people"])
        with httpx2.Client(trust_env=False) as http:
            assert http.get(f"{given['base_url']}/api").status_code == 200
            service = {"grant_type": "client_credentials", **given["service"]}
            assert http.post(f"{given['base_url']}/api/v1/oauth/token", data=service).status_code == 200
            assert said[-1]["page"] == given["page"]["url"] == f"{given['base_url']}/demo"
            page = http.get(said[-1]["page"], follow_redirects=True)
            assert (page.status_code, str(page.url)) == (200, given["page"]["controls"].removesuffix("controls"))
            state = http.get(f"{page.url}state").json()
            # The document of the last refusal is still on its way: sealed, perhaps not yet with its archive stamp or its receivers.
            way = {"sealed_pending_archive", "sealed", "forwarded", "delivered", "accepted"}
            assert {one["state"] for one in state["documents"]} <= way
            assert state["worker"]["alive"]
        assert asyncio.run(joins(given)) == given["people"]["leader"]["credential"]
        children = descendants(process.pid)
        assert len(children) >= 9
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        assert "Traceback" not in out
        assert alive(children) == set()


def test_no_part_outlives_a_demonstration_that_is_killed(tmp_path: Path):
    with serving_demo(tmp_path / "out") as (process, said):
        assert said[-1]["event"] == "serving"
        children = descendants(process.pid)
        process.kill()
        process.wait()
        end = time.monotonic() + 30
        while alive(children) and time.monotonic() < end:
            time.sleep(0.1)
        assert alive(children) == set()
    for folder in Path(tempfile.gettempdir()).glob("hoatoc-demo-*"):
        if folder.stat().st_uid == os.getuid() and str(folder) in json.dumps(said):
            shutil.rmtree(folder, ignore_errors=True)


def test_a_server_that_dies_is_told_in_one_line_and_leaves_nothing(tmp_path: Path):
    """The server kills itself between the signer's answer and its own record; its signer must not stay behind."""
    command = [*COMMAND, "--once", "--out", tmp_path, "--port", str(free_port("127.0.0.1", 22_000))]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env=os.environ | {"HOATOC_CRASH_POINT": "s2-before"},
    )  # fmt: skip
    seen: set[int] = set()
    end = time.monotonic() + 300
    while process.poll() is None:
        if time.monotonic() > end:
            process.kill()
        seen |= descendants(process.pid)
        time.sleep(0.1)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the server ended" in " ".join(errors.split())
    assert "Traceback" not in out + errors
    assert alive(seen) == set()
    assert json.loads((tmp_path / "summary.json").read_text("utf-8"))["error"].startswith("the server ended")


def test_a_foreign_lan_address_is_one_clear_line():
    done = run("--once", "--lan", "192.0.2.7")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "192.0.2.7 is no address of this machine" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_on_the_lan_it_serves_https_and_says_how_to_trust_it(tmp_path: Path):
    """The drivers, too, go through HTTPS with the demonstration's root."""
    with serving_demo(tmp_path / "out", "--lan", "127.0.0.1") as (_, said):
        assert said[-1]["event"] == "serving", said
        assert said[-1]["base_url"].startswith("https://127.0.0.1:")
        summary = next(line for line in said if line["event"] == "summary")
        assert summary["ok"]
        host, port = re.match(r"https://([\d.]+):(\d+)", said[-1]["base_url"]).groups()
        shown = subprocess.run(
            ["openssl", "s_client", "-connect", f"{host}:{port}", "-CAfile", tmp_path / "out" / "trust.pem", "-verify_return_error"],
            input="", capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert "Verify return code: 0 (ok)" in shown.stdout
        assert said[-1]["fingerprint"].replace(":", "").isalnum()


# -- The same drivers against a scaled stack -------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.asyncio
async def test_the_drivers_pass_against_two_servers_and_two_workers(postgres_url: str, redis_server, tmp_path: Path):
    """`hoatoc serve` twice, `hoatoc worker` twice, `hoatoc signer`, PostgreSQL, Redis; each person calls another server."""
    state = tmp_path / "state"
    first = free_port("127.0.0.1", 21_000)
    ports = (first, free_port("127.0.0.1", first + 1))
    urls = tuple(f"http://127.0.0.1:{port}" for port in ports)
    async with Parties(tmp_path) as parties:
        await parties.ready()
        signer_key = await asyncio.to_thread(init_signer, state)
        trust_root(state, parties.trust)
        db = await open_database(postgres_url)
        handed = await hand_out(db, state / "secrets" / "token_keys", urls, signer_key)
        await db.close()

        def settings(name: str, port: int) -> Path:
            server = {
                "port": port, "public_url": f"http://127.0.0.1:{port}", "allowed_origins": list(urls), "log_level": "warning",
            }  # fmt: skip
            sections = {
                "server": server, "database": {"url": postgres_url}, "redis": {"url": redis_server.url}, "worker": {"embedded": False},
                "signer": {"embedded": False}, **parties.sections(),
            }  # fmt: skip
            path = tmp_path / f"{name}.toml"
            path.write_text(toml(state, sections), "utf-8")
            return path

        files = [settings(f"server-{number}", port) for number, port in enumerate(ports)]
        await parties.start_hoatoc("signer", files[0], "signer", "run")
        await asyncio.to_thread(wait_for, state / "run" / "signer.sock")
        servers = [await parties.start_hoatoc(file.stem, file, "serve") for file in files]
        for number in range(2):
            await parties.start_hoatoc(f"worker-{number}", files[number], "worker")
        for url, server in zip(urls, servers, strict=True):
            await serving(url, server)
        world = World(
            base_url=urls[0], fcm_url=parties.fcm_url, pki_url=parties.pki_url, axis_url=parties.axis_url, folder=tmp_path / "drivers",
            doors={"leader": urls[1], "officer": urls[1]},
        )  # fmt: skip
        async with Cast(world.folder) as cast:
            await cast.begin(world, handed)
            officer = await cast.officer_key()
            trust_officer(state, officer["jwk"], officer["thumbprint"])
            await cast.enrol()
            play = Play(world, cast, lambda _outcome, _step: None)
            made = decision(today())
            path = tmp_path / "quyet-dinh.pdf"
            path.write_bytes(made.pdf)
            for number in (1, 2):
                header = metadata(
                    number, handed.people["leader"].id, day=today().isoformat(), subject=SUBJECT, number=14 + number,
                    signature=made.signature, seal=made.seal,
                )  # fmt: skip
                outcome = await play.road(number, path, header)
                assert outcome.outcome == "accepted", outcome
            await play.close()


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} did not appear"
        time.sleep(0.05)


def today():
    import datetime as dt

    return dt.datetime.now(dt.timezone(dt.timedelta(hours=7))).date()
