"""Whom the stand-in knows, what merges, who is let near its controls, and what a rotated secret and a damaged packet look like."""

import asyncio
import json
import signal

import httpx2
import msgspec
import pytest

from server.demo.processes import hoatoc
from server.exchange import edxml
from server.exchange.axis import AxisRefused, AxisUnavailable, Unreachable, VxpAxis
from server.exchange.model import PacketKind
from server.exchange.standin import serving
from server.exchange.standin_page import POLICY
from server.exchange.standin_world import ConfigError, Merger, Unit, World, configured
from tests.unit.server.exchange.conftest import Stage
from tests.unit.server.exchange.samples import make_packet, now_us

EDOC = PacketKind.DOCUMENT
FILE = """
[[agency]]
code = "H01"
name = "Tỉnh Mẫu"
secret = "a-secret-of-the-province="

[[agency]]
code = "H01.11"
name = "Xã Mẫu Một"
parent = "H01"

[[agency]]
code = "H01.12"
name = "Xã Mẫu Hai"
parent = "H01"
old_code = "000.00.12.H01"

[[agency]]
code = "H01.11.02"
name = "Phòng Mẫu"
parent = "H01.11"
system = "H01.11"

[[agency]]
code = "14.W00"
name = "Đơn vị thử nghiệm"
"""


def world(tmp_path):
    (tmp_path / "axis.toml").write_text(FILE)
    return World(configured(tmp_path / "axis.toml"))


def test_one_system_receives_for_its_own_units_and_for_those_that_merged_into_them(tmp_path):
    made = world(tmp_path)
    assert made.codes_of("H01.11") == ["H01.11", "H01.11.02"]
    assert made.find(" 000.00.12.h01 ").code == "H01.12"
    made.merge(Merger(codes=("H01.12",), into="H01.11", name="Xã Mẫu"))
    assert made.codes_of("H01.11") == ["H01.11", "H01.12", "H01.11.02"]
    assert made.codes_of("H01.12") == []
    assert [one.code for one in made.systems()] == ["H01", "H01.11", "H01.12", "14.W00"]
    closed = {row["code"]: row for row in made.whole_list()}
    assert (closed["H01.12"]["deleted"], closed["H01.12"]["id"]) == (True, closed["H01.11"]["id"])
    assert "H01.12" not in {row["code"] for row in made.open_list()}
    # Both end in a new code; its credentials stay those of the first.
    made.merge(Merger(codes=("H01.11",), into="H01.13"))
    assert made.codes_of("H01.11") == ["H01.11", "H01.12", "H01.11.02", "H01.13"]
    rows = {row["code"]: row for row in made.whole_list()}
    assert (rows["H01.13"]["id"], rows["H01.11.02"]["pid"]) == (rows["H01.11"]["id"], rows["H01.13"]["id"])


@pytest.mark.parametrize(
    "merger",
    [Merger(codes=("H01.99",), into="H01"), Merger(codes=(), into="H01"), Merger(codes=("H01.11",), into="../x")],
)
def test_a_merger_that_cannot_be_changes_nothing(tmp_path, merger):
    made = world(tmp_path)
    before = made.units()
    with pytest.raises(ConfigError):
        made.merge(merger)
    assert made.units() == before


@pytest.mark.parametrize(
    "wrong",
    [
        '[[agency]]\ncode = "../x"\n',
        '[[agency]]\ncode = "A"\n[[agency]]\ncode = "a"\n',
        '[[agency]]\ncode = "A"\nparent = "B"\n',
        '[[agency]]\ncode = "A"\nsecret = "short"\n',
        '[[agency]]\ncode = "A"\ncolour = "red"\n',
        "[[agency\n",
    ],
)
def test_a_file_that_describes_no_axis_says_why(tmp_path, wrong):
    (tmp_path / "axis.toml").write_text(wrong)
    with pytest.raises(ConfigError):
        World(configured(tmp_path / "axis.toml"))


@pytest.mark.asyncio
async def test_a_merger_outlives_kill_9_of_the_command(tmp_path):
    """The command itself, as people start it, with agencies of a file."""
    (tmp_path / "axis.toml").write_text(FILE)
    command = hoatoc(
        "axis", "--port", "0", "--json", "--state", str(tmp_path / "s"), "--config", str(tmp_path / "axis.toml"), "--clock-window", "300"
    )  # fmt: skip
    for turn in range(2):
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            told = json.loads(await process.stdout.readline())
            assert (tmp_path / "s" / "secrets" / "H01").read_text() == "a-secret-of-the-province="
            secret = tmp_path / "s" / "secrets" / "H01"
            late = VxpAxis(f"http://127.0.0.1:{told['port']}", "H01", secret, lambda: now_us() - 301 * 10**6)
            with pytest.raises(AxisRefused, match="15"):
                await late.received(PacketKind.DOCUMENT)
            await late.close()
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{told['port']}", trust_env=False) as http:
                if turn == 0:
                    body = msgspec.json.encode(Merger(codes=("H01.12",), into="H01.11"))
                    assert (await http.post("/_mergers", content=body)).json()["status"] == "OK"
                units = {one["code"]: one for one in (await http.get("/_traffic")).json()["units"]}
                assert (units["H01.12"]["closed"], units["H01.12"]["system"]) == (True, "H01.11")
                assert units["14.W00"]["test"] is True
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "axis.example:9400"},
        {"Origin": "http://elsewhere.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
    ],
)
async def test_no_page_of_another_site_reaches_the_controls(stage, headers):
    """Neither by its own scripts nor by a name that it lets point here."""
    async with httpx2.AsyncClient(base_url=stage.url, trust_env=False) as http:
        for method, path in (("PUT", "/_faults"), ("GET", "/_oracle"), ("GET", "/_traffic"), ("GET", "/")):
            answer = await http.request(method, path, headers=headers, content=b"[]")
            assert answer.status_code == 403, path
        page = await http.get("/")
        assert page.headers["content-security-policy"] == POLICY
        assert "unsafe" not in POLICY


@pytest.mark.asyncio
async def test_a_rotated_secret_is_answered_401_until_it_is_handed_over(stage):
    client = stage.client("X01")
    async with httpx2.AsyncClient(base_url=stage.url, trust_env=False) as http:
        assert (await http.post("/_secrets", json={"system": "X01"})).json()["status"] == "OK"
        with pytest.raises(AxisUnavailable, match="http-401"):
            await client.received(EDOC)
        assert await stage.client("X02").received(EDOC) == []
        await http.post("/_secrets", json={"system": "X01", "do": "hand_over"})
        assert await client.received(EDOC) == []
        assert (await http.post("/_secrets", json={"system": "Z99"})).json()["status"] == "FAIL"


@pytest.mark.asyncio
async def test_a_send_under_a_rotated_secret_is_made_again_later(stage, written, tmp_path):
    """D2: the axis said no to us, not to the packet; once it is told the new secret everything leaves."""
    await stage.put("_faults", [{"fault": "401"}, {"fault": "refuse", "code": "15"}])
    file, client = written(make_packet(tmp_path)), stage.client("X01")
    for reason in ("http-401", "15"):
        assert await client.send(EDOC, file.path, "X01", ["X02"]) == Unreachable(reason)
    assert (await stage.oracle())["packets"] == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fault", "readable"), [("damage", False), ("junk", True), ("prefix", True), ("truncate", False)]
)
async def test_damaged_packets_are_repaired_or_refused_and_whole_the_next_time(
    stage, written, tmp_path, fault, readable
):
    await stage.client("X01").send(EDOC, written(make_packet(tmp_path)).path, "X01", ["X02"])
    receiver = stage.client("X02")
    [item] = await receiver.received(EDOC)
    await stage.put("_faults", [{"fault": fault, "call": "downloadEdoc", "system": "x02"}])
    for turn in range(2):
        await receiver.fetch(item.doc_id, tmp_path / f"got-{turn}")
        (tmp_path / f"files-{turn}").mkdir()
        if readable or turn:
            assert edxml.parse(tmp_path / f"got-{turn}", tmp_path / f"files-{turn}").packet.header.number == "12"
        else:
            with pytest.raises(edxml.Unreadable):
                edxml.parse(tmp_path / f"got-{turn}", tmp_path / f"files-{turn}")


@pytest.mark.asyncio
async def test_a_unit_of_a_hosted_system_is_received_for_by_its_host(tmp_path, written):
    (tmp_path / "axis").mkdir()
    units = (Unit(code="A"), Unit(code="B"), Unit(code="B.1", system="B"))
    async with serving(tmp_path / "axis", units=units) as (standin, url):
        assert sorted(standin.secrets) == ["A", "B"]
        stage = Stage(standin, url)
        await stage.client("A").send(EDOC, written(make_packet(tmp_path, receivers=("B.1",))).path, "A", ["B.1"])
        [item] = await stage.client("B").received(EDOC)
        assert item.receiver == "B.1"
        await stage.client("B").confirm(item.doc_id)
        await stage.close()
